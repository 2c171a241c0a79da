/* mvcc_count: how many keys of a range live. See mvcc.h.
 *
 * Now: the difference of two ranks, O(log n). In the past: over all keys by the history's sums; else the count of now less what the changes
 * since then did to the range, or a walk of the range, whichever looks at fewer records. A reader with bounded steps asks mvcc_count_quickly
 * and, if that refuses, counts the rows of its own scan.
 */
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/mvcc_state.h"

static int64_t count_now(const struct mvcc_view *view, const struct mvcc_range *range)
{
    if (!range->is_open && slice_compare(range->key, range->end) >= 0) return 0;
    uint64_t below_end = range->is_open ? mvcc_node_live(view->root) : mvcc_index_rank(view->root, range->end);
    uint64_t below_key = mvcc_index_rank(view->root, range->key);
    ASSERT(below_key <= below_end);
    return (int64_t)(below_end - below_key);
}

/* Keys are not empty, so none is left of "\0". */
static bool is_everything(const struct mvcc_range *range)
{
    return range->is_open && range->key.size == 1 && range->key.data[0] == 0;
}

static int64_t net_change(const struct mvcc_view *view, const struct mvcc_range *range, struct mvcc_history_log_place place)
{
    int64_t change = 0;
    ASSERT(place.ordinal <= view->log.end);
    while (place.ordinal < view->log.end) {
        const struct mvcc_record *record = mvcc_history_log_next(&place);
        int64_t sign = mvcc_record_is_create(record) - (mvcc_record_is_delete(record) && !MUTANT(D67));
        if (sign != 0 && mvcc_range_contains(range, mvcc_record_key(record))) change += sign;
    }
    return change;
}

static int64_t walk(const struct mvcc_view *view, const struct mvcc_range *range, int64_t past)
{
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    int64_t count = 0;
    ASSERT(past > 0);
    mvcc_scan_init(&scan, view, range, past);
    while (mvcc_scan_next(&scan, &kv)) count++;
    return count;
}

bool mvcc_count_quickly(const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision, size_t budget,
                        int64_t *out_count)
{
    int64_t past = mvcc_state_past(view, revision);
    struct mvcc_kv kv;
    if (range->is_single) {
        *out_count = mvcc_get(view, range->key, revision, &kv) ? 1 : 0;
    } else if (past == 0) {
        *out_count = count_now(view, range);
    } else if (is_everything(range)) {
        *out_count = mvcc_history_log_sums_at(&view->log, past).live;
    } else {
        struct mvcc_history_log_place place = mvcc_history_log_find(&view->log, past + 1);
        if (view->log.end - place.ordinal > budget) return false;
        *out_count = count_now(view, range) - net_change(view, range, place);
    }
    ASSERT(*out_count >= 0);
    return true;
}

int64_t mvcc_count(const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision)
{
    int64_t count = 0;
    size_t walk_size = range->is_single ? 1 : (size_t)count_now(view, range);
    if (mvcc_count_quickly(view, range, revision, walk_size, &count)) return count;
    return walk(view, range, mvcc_state_past(view, revision));
}
