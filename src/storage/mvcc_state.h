/* mvcc_state: what struct mvcc and struct mvcc_view are made of, for the files of mvcc alone. mvcc.c has the essay.
 * Owner: mvcc.h. Thread: mvcc.h.
 */
#ifndef STORAGE_MVCC_STATE_H
#define STORAGE_MVCC_STATE_H
#include <stdbool.h>
#include <stdint.h>

#include "storage/mvcc.h"
#include "storage/mvcc_history_log.h"
#include "storage/mvcc_index.h"
#include "storage/mvcc_reclaim.h"

struct mvcc_view {
    const struct mvcc_node *root;
    int64_t revision;
    int64_t compact_revision;
    uint64_t garbage_hash;       /* G(compact_revision) */
    struct mvcc_history_log log; /* its sums.live = live keys */
    uint64_t bytes;
    uint64_t live_bytes;
    uint64_t epoch;
    int64_t adopted_revision; /* nothing that only reads below it need is there, pinned or not */
};

struct mvcc {
    struct mvcc_reclaim reclaim;
    struct mvcc_index index;
    struct mvcc_history_log log;
    struct mvcc_pool *pool;   /* of big records */
    int64_t revision;         /* committed */
    int64_t txn_changes;      /* of the open transaction */
    bool is_in_txn;
    bool is_changed;          /* since the last publish */
    uint64_t live_bytes;
    uint64_t versions;        /* records */
    uint64_t publishes;
    uint64_t puts, deletes;   /* of keys, since the start */
    uint64_t put_bytes, compacted;
    int64_t compact_revision; /* the mark; atomic (seq_cst): pins look at it */
    uint64_t garbage_hash;
    int64_t done_revision;    /* compaction has done all up to here */
    struct mvcc_history_log_place trim; /* entries in front of it are gone */
    struct mvcc_history_log_place drop; /* entries in front of it have dropped what they followed; never behind trim */
    struct mvcc_view *published;        /* RCU */
    struct mvcc_view draft;             /* mvcc_writer_view's */
    uint64_t epoch;                     /* contents adopted */
    int64_t adopted_revision;           /* compact revision of the last one: pins below it are void */
    int64_t pins[MVCC_PINS_MAX];        /* atomic (seq_cst); 0 = free */
};

/* Any revision from 1 on below the view's own; 0 = the view's present. */
static inline int64_t mvcc_state_past(const struct mvcc_view *view, int64_t revision)
{
    return revision <= 0 || revision >= view->revision ? 0 : revision;
}
/* What a record's key is at a past revision (0 = now); NULL = not there. */
static inline const struct mvcc_record *mvcc_state_select(const struct mvcc_record *record, int64_t past)
{
    if (past != 0) record = mvcc_record_find(record, past);
    return record == NULL || mvcc_record_is_delete(record) ? NULL : record;
}

#endif
