/* mvcc_index: key → newest record, as a copy-on-write B+tree with counts of live keys.
 *
 * The writer changes nodes that the running batch made in place and copies all others; what it replaces goes to mvcc_reclaim. A root is a whole
 * immutable tree for everybody who got it by a published view. Deleted keys stay until compaction removes them, so that old revisions are
 * found from the newest record.
 * A full leaf evens out with a neighbour that has room before it is split, so that leaves are fuller (83 % instead of 69 with keys in random order).
 * Nodes below a quarter full join a neighbour if both fill at most three quarters; an empty one goes in any case.
 * Owner: embedded in struct mvcc. Thread: functions with `struct mvcc_index *` the writer; those with a root any reader.
 * Limits: MVCC_INDEX_DEPTH_MAX levels (nodes that split keep half, so 10^12 keys fit many times).
 */
#ifndef STORAGE_MVCC_INDEX_H
#define STORAGE_MVCC_INDEX_H
#include <stdbool.h>
#include <stdint.h>

#include "storage/mvcc_node.h"
#include "storage/mvcc_reclaim.h"

#define MVCC_INDEX_DEPTH_MAX 24 /* mvcc_scan.path has as many */

struct mvcc_index {
    struct mvcc_node *root;
    struct mvcc_reclaim *reclaim; /* borrowed */
    uint64_t batch;               /* nodes with this number are the running batch's own */
    uint64_t keys;                /* records in leaves */
};

/* The way from the root to a key; good until the next change. */
struct mvcc_index_path {
    struct mvcc_node *nodes[MVCC_INDEX_DEPTH_MAX];
    uint32_t slots[MVCC_INDEX_DEPTH_MAX];
    uint32_t depth;
    bool is_found;
};

void mvcc_index_init(struct mvcc_index *index, struct mvcc_reclaim *reclaim);
void mvcc_index_deinit(struct mvcc_index *index); /* frees nodes, separators and the newest record of each key */
/* The key's newest record (NULL = the key is not there) and the way to it. */
struct mvcc_record *mvcc_index_seek(const struct mvcc_index *index, struct slice key, struct mvcc_index_path *out_path);
/* Puts the record where `path` leads: in the place of the older one, or as a new key. */
void mvcc_index_set(struct mvcc_index *index, struct mvcc_index_path *path, struct mvcc_record *record);
/* Takes a deleted key out; the record is left to the caller. */
void mvcc_index_remove(struct mvcc_index *index, struct mvcc_index_path *path);

const struct mvcc_record *mvcc_index_get(const struct mvcc_node *root, struct slice key);
/* Live keys below `key`. */
uint64_t mvcc_index_rank(const struct mvcc_node *root, struct slice key);

#endif
