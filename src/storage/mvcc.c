/* mvcc: the store's writer. See mvcc.h.
 *
 * A version is a record (mvcc_record.h) that never changes. The index (mvcc_index.h) is a copy-on-write tree of pointers to the newest record
 * of each key, records are chained newest to oldest, the history (mvcc_history_log.h) is the list of all records in the order of writing. A
 * view is {root, end of the history, sums}: it says all there is at its revision, and readers never meet anything half made, because
 * nothing that a view reaches is written after it was published.
 *
 * Compaction at e (mvcc_compact.c) takes away the front of the history. When it passes the entry v it drops the version that v followed;
 * when it passes a delete that is still the newest, it takes the key out of the index. So each record is dropped exactly once, in the order of
 * writing, and no key has to be searched but deleted ones. Entries at e itself stay: e is readable, and its changes are still told.
 * All that is dropped or replaced is retired in one bag per publish (mvcc_reclaim.h). Who reads at r ≥ e never follows a pointer to what is
 * gone (mvcc_record.h says why), so a view that was published after the drop is safe, and one from before is protected by its grace period.
 *
 * Hash: P(r) = sum of the hashes of all versions ever written up to r; G(c) = sum of those that compaction at c makes garbage, which is known
 * when they are written, apart from c (see mvcc_history_log_sums). hash(r, c) = P(r) − G(c), no matter what has been freed.
 *
 * Memory of one key that was put once, beyond key and value, at 1 million keys in random order:
 *      leaf slot 16 B, leaves 83 % full                       20.6
 *      inner nodes and separators                              2.0
 *      record header                                          32.0
 *      history entry 8 B                                       8.2
 *      allocator, rounding of one allocation per record        8.0 (size classes 16 B apart)
 *      free nodes kept for the next copies                     3.1 (3 MiB at any size)
 *      sum                                                    73.9    ≤ 76, asserted below
 * A key that was put again takes 16 more (create revision, version), with a lease 8 more, and each older version that is kept the same
 * again without the slot, plus its key. Compacted, the history's 8 are gone.
 */
#include "storage/mvcc.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "storage/mvcc_content.h"
#include "storage/mvcc_state.h"

#define BUDGET_BYTES 76
#define REPUBLISH_BYTES (64 << 10) /* freed since the view that readers (and the quota) see: worth a new one */
STATIC_ASSERT((sizeof(struct mvcc_node_leaf) * 100 / (MVCC_NODE_LEAF_MAX * 83)) + 2 + sizeof(struct mvcc_record) +
                      sizeof(struct mvcc_history_log_chunk) / MVCC_HISTORY_LOG_CHUNK + 1 + 8 <=
                  BUDGET_BYTES,
              "bytes per key beyond key and value");
STATIC_ASSERT(sizeof(((struct mvcc_scan *)NULL)->path) / sizeof(((struct mvcc_scan *)NULL)->path[0]) >= MVCC_INDEX_DEPTH_MAX,
              "a scan holds a path of the index");

static const struct mvcc_view *make_draft(struct mvcc *mvcc)
{
    mvcc->draft = (struct mvcc_view){.root = mvcc->index.root,
                                     .revision = mvcc->revision + (mvcc->txn_changes > 0 ? 1 : 0),
                                     .compact_revision = mvcc->compact_revision,
                                     .garbage_hash = mvcc->garbage_hash,
                                     .log = mvcc->log,
                                     .bytes = mvcc->reclaim.bytes,
                                     .live_bytes = mvcc->live_bytes,
                                     .epoch = mvcc->epoch,
                                     .adopted_revision = mvcc->adopted_revision};
    return &mvcc->draft;
}

static void publish(struct mvcc *mvcc)
{
    ASSERT(!mvcc->is_in_txn && mvcc->txn_changes == 0);
    struct mvcc_view *view = alloc_new(sizeof *view);
    struct mvcc_view *before = mvcc->published;
    mvcc->reclaim.bytes += sizeof *view;
    *view = *make_draft(mvcc);
    RCU_PUBLISH(mvcc->published, view);
    if (before != NULL) mvcc_reclaim_view(&mvcc->reclaim, before);
    mvcc_reclaim_close(&mvcc->reclaim);
    mvcc->index.batch++;
    mvcc->is_changed = false;
    mvcc->publishes++;
}

/* --- contents ---------------------------------------------------------------------------------------------------------------- */

/* Moves all there is into a content of its own; what is left must be filled again. */
static struct mvcc_content *take_out(struct mvcc *mvcc)
{
    struct mvcc_content *content = ALLOC(struct mvcc_content);
    content->root = mvcc->index.root;
    content->keys = mvcc->index.keys;
    content->log = mvcc->log;
    content->trim = mvcc->trim;
    content->drop = mvcc->drop;
    content->pool = mvcc->pool;
    mvcc->index.root = NULL;
    return content; /* its bytes stay counted in mvcc->reclaim until they are freed there */
}

static void take_in(struct mvcc *mvcc, struct mvcc_content *content)
{
    ASSERT(mvcc->index.root == NULL && content->root != NULL && !content->is_walking);
    ASSERT(content->root->batch < mvcc->index.batch);
    mvcc->index.root = content->root;
    mvcc->index.keys = content->keys;
    mvcc->log = content->log;
    mvcc->trim = content->trim;
    mvcc->drop = content->drop;
    mvcc->pool = content->pool;
    mvcc->revision = content->revision;
    mvcc->garbage_hash = content->garbage_hash;
    mvcc->done_revision = mvcc->adopted_revision = content->compact_revision;
    mvcc->live_bytes = content->live_bytes;
    mvcc->versions = content->versions;
    mvcc->reclaim.bytes += content->bytes;
    __atomic_store_n(&mvcc->compact_revision, content->compact_revision, __ATOMIC_SEQ_CST); /* as in mvcc_compact */
    alloc_free(content);
}

struct mvcc *mvcc_new(const struct mvcc_options *options)
{
    ASSERT(options->rcu != NULL);
    struct mvcc *mvcc = ALLOC(struct mvcc);
    mvcc_reclaim_init(&mvcc->reclaim, options->rcu);
    mvcc_index_init(&mvcc->index, &mvcc->reclaim);
    mvcc->revision = 1;
    if (options->content != NULL) {
        mvcc_index_deinit(&mvcc->index);
        take_in(mvcc, options->content);
    } else {
        mvcc->pool = mvcc_pool_new();
    }
    publish(mvcc);
    return mvcc;
}

void mvcc_adopt(struct mvcc *mvcc, struct mvcc_content *content)
{
    ASSERT(!mvcc->is_in_txn);
    ASSERT(content->compact_revision >= mvcc->compact_revision && content->revision >= mvcc->revision);
    mvcc_reclaim_content(&mvcc->reclaim, take_out(mvcc));
    take_in(mvcc, content);
    mvcc->epoch++;
    publish(mvcc);
}

void mvcc_free(struct mvcc *mvcc)
{
    if (mvcc == NULL) return;
    ASSERT(!mvcc->is_in_txn);
    struct mvcc_content *content = take_out(mvcc);
    bool more = mvcc_content_discard(content, &mvcc->reclaim, SIZE_MAX);
    ASSERT(!more);
    mvcc_pool_close(content->pool);
    alloc_free(content);
    mvcc_reclaim_free_view(&mvcc->reclaim, mvcc->published);
    mvcc_reclaim_deinit(&mvcc->reclaim);
    ASSERT(mvcc->reclaim.bytes == 0);
    alloc_free(mvcc);
}

/* --- transactions ------------------------------------------------------------------------------------------------------------ */

void mvcc_begin(struct mvcc *mvcc)
{
    ASSERT(!mvcc->is_in_txn && mvcc->txn_changes == 0);
    mvcc->is_in_txn = true;
}

int64_t mvcc_commit(struct mvcc *mvcc)
{
    ASSERT(mvcc->is_in_txn);
    if (mvcc->txn_changes > 0 || MUTANT(D44)) mvcc->revision++;
    mvcc->txn_changes = 0;
    mvcc->is_in_txn = false;
    return mvcc->revision;
}

static uint64_t kv_bytes(const struct mvcc_record *record)
{
    return record == NULL || mvcc_record_is_delete(record) ? 0 : (uint64_t)record->key_size + record->value_size;
}

/* Makes the record, puts it into index and history. */
static void change(struct mvcc *mvcc, struct mvcc_index_path *path, const struct mvcc_record_options *options)
{
    ASSERT(mvcc->is_in_txn && options->revision == mvcc->revision + 1);
    struct mvcc_record *record = mvcc_record_new(options);
    mvcc->reclaim.bytes += mvcc_record_bytes(record);
    mvcc_index_set(&mvcc->index, path, record);
    mvcc->reclaim.bytes += mvcc_history_log_append(&mvcc->log, record);
    mvcc->live_bytes += kv_bytes(record) - kv_bytes(options->older);
    mvcc->versions++;
    mvcc->txn_changes++;
    mvcc->is_changed = true;
    if (options->is_delete) mvcc->deletes++;
    else mvcc->puts++;
    if (!options->is_delete) mvcc->put_bytes += options->key.size + options->value.size;
}

void mvcc_put(struct mvcc *mvcc, struct slice key, struct slice value, int64_t lease)
{
    ASSERT(mvcc->is_in_txn);
    struct mvcc_index_path path;
    struct mvcc_record_options options = {.key = key,
                                          .value = value,
                                          .lease = lease,
                                          .revision = mvcc->revision + 1,
                                          .create_revision = mvcc->revision + 1,
                                          .version = 1,
                                          .floor_revision = mvcc->log.floor_revision,
                                          .pool = mvcc->pool};
    options.older = mvcc_index_seek(&mvcc->index, key, &path);
    if (options.older != NULL && !mvcc_record_is_delete(options.older)) {
        struct mvcc_kv before;
        mvcc_record_kv(options.older, &before);
        options.create_revision = before.create_revision;
        options.version = before.version + 1;
    }
    if (MUTANT(D45) && options.older != NULL) options.version = options.version == 1 ? 2 : options.version;
    change(mvcc, &path, &options);
}

static void delete_key(struct mvcc *mvcc, struct slice key)
{
    struct mvcc_index_path path;
    struct mvcc_record_options options = {
        .key = key, .revision = mvcc->revision + 1, .is_delete = true, .floor_revision = mvcc->log.floor_revision,
                                          .pool = mvcc->pool};
    options.older = mvcc_index_seek(&mvcc->index, key, &path);
    ASSERT(options.older != NULL && !mvcc_record_is_delete(options.older));
    change(mvcc, &path, &options);
}

/* The scan is begun anew for each key, from the range's start: deleted keys cost nothing, for they are not live. */
int64_t mvcc_delete(struct mvcc *mvcc, const struct mvcc_range *range, mvcc_each_fn *each_fn, void *context)
{
    ASSERT(mvcc->is_in_txn);
    int64_t count = 0;
    for (;;) {
        struct mvcc_scan scan;
        struct mvcc_kv kv;
        mvcc_scan_init(&scan, make_draft(mvcc), range, 0);
        if (!mvcc_scan_next(&scan, &kv)) return count;
        if (each_fn != NULL) each_fn(context, &kv);
        delete_key(mvcc, kv.key);
        count++;
    }
}

const struct mvcc_view *mvcc_writer_view(struct mvcc *mvcc) { return make_draft(mvcc); }

void mvcc_publish(struct mvcc *mvcc)
{
    ASSERT(!mvcc->is_in_txn);
    if (mvcc->is_changed || BUGGIFY(REPUBLISH)) publish(mvcc);
}

bool mvcc_is_unpublished(const struct mvcc *mvcc)
{
    ASSERT(!mvcc->is_in_txn);
    return mvcc->is_changed;
}

bool mvcc_reclaim_step(struct mvcc *mvcc, size_t budget)
{
    bool more = mvcc_reclaim_run(&mvcc->reclaim, budget);
    ASSERT(mvcc->published != NULL);
    if (mvcc->published->bytes >= mvcc->reclaim.bytes + REPUBLISH_BYTES) mvcc->is_changed = true;
    return more;
}

/* --- pins -------------------------------------------------------------------------------------------------------------------- */

/* Store, fence, look again: either we see the new mark here, or mvcc_compact_step sees our pin. */
int mvcc_pin(struct mvcc *mvcc, int64_t revision, bool *out_compacted)
{
    ASSERT(revision > 0);
    *out_compacted = false;
    for (int slot = 0; slot < MVCC_PINS_MAX; slot++) {
        int64_t expected = 0;
        if (__atomic_load_n(&mvcc->pins[slot], __ATOMIC_RELAXED) != 0) continue;
        if (!__atomic_compare_exchange_n(&mvcc->pins[slot], &expected, revision, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            continue;
        }
        if (__atomic_load_n(&mvcc->compact_revision, __ATOMIC_SEQ_CST) <= revision) return slot;
        mvcc_unpin(mvcc, slot);
        *out_compacted = true;
        return -1;
    }
    return -1;
}

void mvcc_unpin(struct mvcc *mvcc, int slot)
{
    ASSERT(slot >= 0 && slot < MVCC_PINS_MAX);
    ASSERT(__atomic_load_n(&mvcc->pins[slot], __ATOMIC_RELAXED) != 0);
    __atomic_store_n(&mvcc->pins[slot], 0, __ATOMIC_RELEASE);
}

void mvcc_move_pin(struct mvcc *mvcc, int slot, int64_t revision)
{
    ASSERT(slot >= 0 && slot < MVCC_PINS_MAX);
    int64_t pinned = __atomic_load_n(&mvcc->pins[slot], __ATOMIC_RELAXED);
    ASSERT(pinned > 0 && pinned <= revision);
    __atomic_store_n(&mvcc->pins[slot], revision, __ATOMIC_RELEASE);
}

/* --- small readers ----------------------------------------------------------------------------------------------------------- */

struct mvcc_range mvcc_range_make(struct slice key, struct slice range_end)
{
    bool is_open = range_end.size == 1 && range_end.data[0] == 0;
    return (struct mvcc_range){.key = key, .end = range_end, .is_single = range_end.size == 0, .is_open = is_open};
}

bool mvcc_range_contains(const struct mvcc_range *range, struct slice key)
{
    ASSERT(!range->is_single || !range->is_open);
    if (range->is_single) return slice_equal(range->key, key);
    return slice_compare(range->key, key) <= 0 && (range->is_open || slice_compare(key, range->end) < 0);
}

bool mvcc_get(const struct mvcc_view *view, struct slice key, int64_t revision, struct mvcc_kv *out_kv)
{
    const struct mvcc_record *record = mvcc_index_get(view->root, key);
    if (record != NULL) record = mvcc_state_select(record, mvcc_state_past(view, revision));
    if (record == NULL) return false;
    mvcc_record_kv(record, out_kv);
    return true;
}

/* P(revision) − G(compact revision); see the head of this file. */
uint64_t mvcc_hash(const struct mvcc_view *view, int64_t revision)
{
    int64_t past = mvcc_state_past(view, revision);
    ASSERT(past == 0 || past >= view->compact_revision);
    if (past == 0) return view->log.sums.hash - view->garbage_hash;
    return mvcc_history_log_sums_at(&view->log, past).hash - view->garbage_hash;
}

void mvcc_get_stats(const struct mvcc *mvcc, struct mvcc_stats *out_stats)
{
    ASSERT(mvcc->log.sums.live >= 0);
    uint64_t pins = 0;
    for (int slot = 0; slot < MVCC_PINS_MAX; slot++) pins += __atomic_load_n(&mvcc->pins[slot], __ATOMIC_RELAXED) != 0;
    *out_stats = (struct mvcc_stats){.keys = mvcc->index.keys,
                                     .live_keys = (uint64_t)mvcc->log.sums.live,
                                     .versions = mvcc->versions,
                                     .live_bytes = mvcc->live_bytes,
                                     .bytes = mvcc->reclaim.bytes,
                                     .bags_outstanding = mvcc->reclaim.bags_outstanding,
                                     .publishes = mvcc->publishes,
                                     .puts = mvcc->puts,
                                     .deletes = mvcc->deletes,
                                     .put_bytes = mvcc->put_bytes,
                                     .compacted = mvcc->compacted,
                                     .pins = pins};
}
