/* mvcc_content: all that a store holds, loose: made aside by mvcc_import, taken in by mvcc_new or mvcc_adopt, and what was in the store before
 * leaves it in the same shape.
 *
 * Taking apart is bounded: first along the history (each entry frees the version that it followed, each chunk goes when it is passed), then
 * along the tree (the newest records, leaves, inner nodes). Nobody may read it any more.
 * Owner: mvcc_import_finish makes one, mvcc_new/mvcc_adopt take it over, mvcc_content_free. Thread: one at a time.
 */
#ifndef STORAGE_MVCC_CONTENT_H
#define STORAGE_MVCC_CONTENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mvcc_history_log.h"
#include "storage/mvcc_index.h"
#include "storage/mvcc_reclaim.h"

struct mvcc_content {
    struct mvcc_node *root;           /* its nodes have numbers of batches that are over; NULL = taken apart */
    uint64_t keys;
    struct mvcc_history_log log;
    struct mvcc_history_log_place trim; /* as in struct mvcc */
    struct mvcc_history_log_place drop;
    int64_t revision;
    int64_t compact_revision;
    uint64_t garbage_hash;
    uint64_t live_bytes;
    uint64_t versions;
    uint64_t bytes;                   /* allocated, and not counted anywhere else */
    struct mvcc_pool *pool;           /* of its big records */
    /* Taking apart: */
    struct mvcc_content *next;        /* in the list of the store that it left */
    bool is_walking;                  /* along the history; then: */
    bool is_in_tree;
    uint32_t depth;
    struct {
        struct mvcc_node *node;
        uint32_t slot;
    } path[MVCC_INDEX_DEPTH_MAX];
};

/* Frees about `budget` records and nodes, counted in `reclaim`; true while some are left. */
bool mvcc_content_discard(struct mvcc_content *content, struct mvcc_reclaim *reclaim, size_t budget);
/* Of one that no store has taken: true while something is left; then the content itself is gone. */
bool mvcc_content_free_step(struct mvcc_content *content, size_t budget);
void mvcc_content_free(struct mvcc_content *content); /* accepts NULL; not bounded */

#endif
