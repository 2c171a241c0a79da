/* mvcc: all keys with all retained versions, in memory: one ordered index, a history by revision, compaction in bounded steps.
 *
 * One writer (apply) works on the next state and publishes it by one pointer swap; readers walk the published view without locks.
 * A reader borrows a view between two quiescent states (rcu.h); for longer work it keeps (key, revision), pins the revision and
 * borrows a fresh view in each step.
 *
 * Revisions: a fresh store is at revision 1 with compact revision 0; the first writing transaction makes 2. `revision` is the main
 * revision, `sub` numbers the changes inside one.
 * Owner: mvcc_new/mvcc_free (no reader may be left). Thread: functions with `struct mvcc *` belong to the writer unless said
 * otherwise; functions with `const struct mvcc_view *` to any RCU reader (and the writer).
 * Limits: keys and values < 4 GiB (the door refuses far earlier); bags outstanding ≤ MVCC_BAGS_MAX before the writer frees in line.
 * Source: the API's rules for revisions, ranges, compaction.
 */
#ifndef STORAGE_MVCC_H
#define STORAGE_MVCC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/rcu.h"

#define MVCC_PINS_MAX 256

/* An interval of keys by the API's rule: end empty = the single key; end "\0" = all keys ≥ key; else [key, end). */
struct mvcc_range {
    struct slice key;
    struct slice end;
    bool is_single;
    bool is_open;  /* no upper bound */
};
struct mvcc_range mvcc_range_make(struct slice key, struct slice range_end);
bool mvcc_range_contains(const struct mvcc_range *range, struct slice key);

/* One version of one key. Slices are borrowed: valid as long as the view (until the next quiescent state), or, for the writer,
 * until its next change or publish. */
struct mvcc_kv {
    struct slice key;
    struct slice value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
    struct blob *value_blob; /* set when the value is held as a blob (large values, ≥ 64 KiB): a reader may take a reference inside
                                a read section and send the bytes without a copy; else NULL */
};

struct mvcc;
struct mvcc_view; /* immutable */
struct mvcc_content;

struct mvcc_options {
    struct rcu *rcu;              /* borrowed */
    struct mvcc_content *content; /* NULL = begin empty; taken over */
};
struct mvcc *mvcc_new(const struct mvcc_options *options);
void mvcc_free(struct mvcc *mvcc);

/* --- writer -------------------------------------------------------------------------------------------------------------- */
void mvcc_begin(struct mvcc *mvcc);                 /* a transaction; its changes get revision current + 1 */
/* Puts; keeps create_revision and counts version up if the key lives. Copies key and value. */
void mvcc_put(struct mvcc *mvcc, struct slice key, struct slice value, int64_t lease);
/* Deletes every live key of the range, in key order; the number of keys. `each_fn` (may be NULL) sees each before it goes
 * (prev_kv, leases). */
typedef void mvcc_each_fn(void *context, const struct mvcc_kv *kv);
int64_t mvcc_delete(struct mvcc *mvcc, const struct mvcc_range *range, mvcc_each_fn *each_fn, void *context);
int64_t mvcc_commit(struct mvcc *mvcc);             /* ends it; the revision after: raised by one if anything changed */
/* The state with all that the writer did so far, open transaction included; its revision is that of the last change. Valid until the
 * next call of the writer. */
const struct mvcc_view *mvcc_writer_view(struct mvcc *mvcc);
void mvcc_publish(struct mvcc *mvcc);               /* readers see everything committed so far; not inside a transaction */

/* Another content (taken over) takes the place of all there is, and is published. Not inside a transaction. What was there is freed by
 * mvcc_reclaim_step once its readers are gone. Pins go on to hold what they name; those below the new compact revision are void
 * (mvcc_view_check_pinned). */
void mvcc_adopt(struct mvcc *mvcc, struct mvcc_content *content);

/* ERR_COMPACTED (revision ≤ mark), ERR_FUTURE_REV; ERR_OK moves the mark. Freeing follows in steps. */
MUST_USE enum err mvcc_compact(struct mvcc *mvcc, int64_t revision);
/* Frees what compaction made garbage: about `budget` versions. True while something is left to do (a pin that holds work back
 * counts as nothing to do). */
bool mvcc_compact_step(struct mvcc *mvcc, size_t budget);
int64_t mvcc_compact_done_revision(const struct mvcc *mvcc); /* everything ≤ this that could go is gone */
uint64_t mvcc_compact_backlog(const struct mvcc *mvcc);      /* about how many versions the steps have still to look at, held by a pin or not */
/* Frees or reuses about `budget` nodes whose readers are gone; true while more wait. */
bool mvcc_reclaim_step(struct mvcc *mvcc, size_t budget);
/* The next mvcc_publish has something to show: changes, or much that was freed since the last. */
bool mvcc_is_unpublished(const struct mvcc *mvcc);

/* --- readers -------------------------------------------------------------------------------------------------------------- */
const struct mvcc_view *mvcc_view(const struct mvcc *mvcc);  /* the published one; any registered reader */
int64_t mvcc_view_revision(const struct mvcc_view *view);
int64_t mvcc_view_compact_revision(const struct mvcc_view *view);
uint64_t mvcc_view_epoch(const struct mvcc_view *view);      /* counts mvcc_adopt: pointers that a pin kept are good within one */
int64_t mvcc_view_key_count(const struct mvcc_view *view);   /* live now */
/* ERR_FUTURE_REV / ERR_COMPACTED (revision < compact revision). revision ≤ 0 is "now" and always fine. */
MUST_USE enum err mvcc_view_check(const struct mvcc_view *view, int64_t revision);
/* Of a revision that is pinned: what it needs is there although the mark may have passed it, unless mvcc_adopt brought a content that begins
 * later: ERR_COMPACTED. To be asked in each step. */
MUST_USE enum err mvcc_view_check_pinned(const struct mvcc_view *view, int64_t revision);
/* In all of these revision ≤ 0 = the view's own; others must have passed one of the checks on this view. */
bool mvcc_get(const struct mvcc_view *view, struct slice key, int64_t revision, struct mvcc_kv *out_kv);
int64_t mvcc_count(const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision);
/* The count, if it takes no walk and no look at more than `budget` changes of the past. */
bool mvcc_count_quickly(const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision, size_t budget,
                        int64_t *out_count);

/* Keys in ascending order. The scan lives on the reader's stack and dies with the view. */
struct mvcc_scan {
    const struct mvcc_view *view;
    struct mvcc_range range;
    int64_t revision;
    uint32_t depth;
    struct {
        const void *node;
        uint32_t place;
    } path[24];
};
void mvcc_scan_init(struct mvcc_scan *scan, const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision);
bool mvcc_scan_next(struct mvcc_scan *scan, struct mvcc_kv *out_kv);

/* Changes by (revision, sub) from `from_revision` up to the view's revision; what is compacted is not there any more. */
struct mvcc_change {
    int64_t revision;
    int64_t sub;
    bool is_delete;
    struct mvcc_kv kv; /* of a delete: key and mod_revision only */
};
struct mvcc_history {
    const struct mvcc_view *view;
    const void *chunk;
    uint64_t ordinal;
    int64_t revision; /* of the last change told, and its sub */
    int64_t sub;
};
void mvcc_history_init(struct mvcc_history *history, const struct mvcc_view *view, int64_t from_revision);
bool mvcc_history_next(struct mvcc_history *history, struct mvcc_change *out_change);
/* The same walk from the change (revision, sub) on; where a revision has fewer, from its end. Its changes must all be there. */
void mvcc_history_init_at(struct mvcc_history *history, const struct mvcc_view *view, int64_t revision, int64_t sub);
/* And backwards: `prev` tells the changes in front of (revision, sub); sub INT64_MAX = from the last one of the revision on. The caller
 * ends it where revisions are no longer complete. */
void mvcc_history_init_back(struct mvcc_history *history, const struct mvcc_view *view, int64_t revision, int64_t sub);
bool mvcc_history_prev(struct mvcc_history *history, struct mvcc_change *out_change);

/* The versions of one key, newest first, down to the revision `floor`, which is readable. Costs no look at other keys. `sub` of such a change
 * counts the key's own versions inside one revision, from the newest. */
struct mvcc_versions {
    const void *next;
    int64_t floor;
    int64_t revision, sub; /* of the last one told */
};
void mvcc_versions_init(struct mvcc_versions *versions, const struct mvcc_view *view, struct slice key, int64_t floor);
/* Once, before the first one is told: passes all above `revision`, and `count` of that very revision. */
void mvcc_versions_pass(struct mvcc_versions *versions, int64_t revision, int64_t count);
bool mvcc_versions_next(struct mvcc_versions *versions, struct mvcc_change *out_change);

/* Pins keep every version that a read at `revision` needs, across steps. Any reader thread. -1 = all slots taken; ERR-like refusal
 * when the mark has passed: *out_compacted is set. */
int mvcc_pin(struct mvcc *mvcc, int64_t revision, bool *out_compacted);
void mvcc_unpin(struct mvcc *mvcc, int slot);
/* A pin that is held goes forward: what lies before the new revision may go. Also where the mark has passed it already. */
void mvcc_move_pin(struct mvcc *mvcc, int slot, int64_t revision);

/* Additive hash of all versions up to `revision` less what compaction at the view's mark makes garbage: equal on all members at equal
 * (revision, compact revision), whatever was already freed. revision ≤ 0 = now. */
uint64_t mvcc_hash(const struct mvcc_view *view, int64_t revision);

struct mvcc_stats {
    uint64_t keys;              /* headers in the index, deleted ones that history still needs included */
    uint64_t live_keys;
    uint64_t versions;
    uint64_t live_bytes;        /* keys + values of live keys */
    uint64_t bytes;             /* everything allocated */
    uint64_t bags_outstanding;  /* retired, readers not yet known gone */
    uint64_t publishes;
    uint64_t puts, deletes;     /* of keys, since the start */
    uint64_t put_bytes;         /* their keys and values */
    uint64_t compacted;         /* versions that compactions freed, since the start */
    uint64_t pins;              /* that readers hold */
};
void mvcc_get_stats(const struct mvcc *mvcc, struct mvcc_stats *out_stats); /* writer; relaxed copies */
/* For Status, from any thread: bytes in use as of the view. */
void mvcc_view_sizes(const struct mvcc_view *view, uint64_t *out_bytes, uint64_t *out_live_bytes);

#endif
