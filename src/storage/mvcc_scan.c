/* mvcc_scan: keys of a range in order, now or in the past. See mvcc.h.
 *
 * The path holds nodes and the slot to go on with: in a leaf the next one to look at, in an inner node the child that is being walked. A scan of
 * the present passes over subtrees and slots without live keys; one of the past must look at every key's versions. Records lie anywhere in
 * memory, so the scan asks for those ahead while it hands out the ones before.
 */
#include "base/assert.h"
#include "storage/mvcc_state.h"

#define AHEAD 12 /* records */

static void push(struct mvcc_scan *scan, const struct mvcc_node *node, uint32_t place)
{
    ASSERT(scan->depth < MVCC_INDEX_DEPTH_MAX);
    scan->path[scan->depth].node = node;
    scan->path[scan->depth++].place = place;
}

static void fetch_records(const struct mvcc_node *node, uint32_t from, uint32_t to)
{
    const struct mvcc_node_leaf *leaf = mvcc_node_leaf(node);
    if (to > node->count) to = node->count;
    for (uint32_t slot = from; slot < to; slot++) __builtin_prefetch(leaf->records[slot]);
}

static void fetch_leaf(const struct mvcc_node *node)
{
    const struct mvcc_node_leaf *leaf = (const struct mvcc_node_leaf *)(const void *)node;
    __builtin_prefetch(leaf);
    for (uint32_t slot = 0; slot < MVCC_NODE_LEAF_MAX; slot += 8) __builtin_prefetch(&leaf->records[slot]);
}

void mvcc_scan_init(struct mvcc_scan *scan, const struct mvcc_view *view, const struct mvcc_range *range, int64_t revision)
{
    const struct mvcc_node *node = view->root;
    bool is_equal = false;
    scan->view = view;
    scan->range = *range;
    scan->revision = mvcc_state_past(view, revision);
    scan->depth = 0;
    while (node->level > 0) {
        uint32_t slot = mvcc_node_child(node, range->key);
        push(scan, node, slot);
        node = mvcc_node_inner(node)->children[slot];
        mvcc_node_prefetch(node);
    }
    uint32_t slot = mvcc_node_search(node, range->key, &is_equal);
    push(scan, node, slot);
    fetch_records(node, slot, slot + AHEAD);
}

/* The next slot of an inner node, from `slot` on, that may hold something for this scan. */
static uint32_t next_child(const struct mvcc_scan *scan, const struct mvcc_node *node, uint32_t slot)
{
    const uint64_t *lives = mvcc_node_inner(node)->lives;
    while (scan->revision == 0 && slot < node->count && lives[slot] == 0) slot++;
    return slot;
}

/* Leaves the leaf at the path's end for the next one; false at the end of the tree. */
static bool go_on(struct mvcc_scan *scan)
{
    scan->depth--;
    while (scan->depth > 0) {
        const struct mvcc_node *node = scan->path[scan->depth - 1].node;
        uint32_t slot = next_child(scan, node, scan->path[scan->depth - 1].place + 1);
        if (slot == node->count) {
            scan->depth--;
            continue;
        }
        scan->path[scan->depth - 1].place = slot;
        const struct mvcc_node *child = mvcc_node_inner(node)->children[slot];
        if (child->level == 0) {
            if (slot + 1 < node->count) fetch_leaf(mvcc_node_inner(node)->children[slot + 1]);
            fetch_records(child, 0, AHEAD);
            push(scan, child, 0);
            return true;
        }
        push(scan, child, UINT32_MAX); /* its first child comes next */
    }
    return false;
}

/* The next record of the leaf that lives at the scan's revision; NULL = none. */
static const struct mvcc_record *next_of_leaf(const struct mvcc_node *node, uint32_t *place, int64_t past)
{
    const struct mvcc_node_leaf *leaf = mvcc_node_leaf(node);
    if (past == 0) {
        uint64_t live = *place < node->count ? node->live >> *place : 0;
        if (live == 0) return NULL;
        *place += (uint32_t)__builtin_ctzll(live);
        if (*place + AHEAD < node->count) __builtin_prefetch(leaf->records[*place + AHEAD]);
        return leaf->records[(*place)++];
    }
    while (*place < node->count) {
        if (*place + AHEAD < node->count) __builtin_prefetch(leaf->records[*place + AHEAD]);
        if (*place + AHEAD / 2 < node->count) __builtin_prefetch(leaf->records[*place + AHEAD / 2]->older);
        const struct mvcc_record *record = mvcc_state_select(leaf->records[(*place)++], past);
        if (record != NULL) return record;
    }
    return NULL;
}

static bool is_past_end(const struct mvcc_range *range, struct slice key)
{
    if (range->is_open) return false;
    int order = slice_compare(key, range->is_single ? range->key : range->end);
    return range->is_single ? order != 0 : order >= 0;
}

bool mvcc_scan_next(struct mvcc_scan *scan, struct mvcc_kv *out_kv)
{
    while (scan->depth > 0) {
        const struct mvcc_node *leaf = scan->path[scan->depth - 1].node;
        const struct mvcc_record *record = next_of_leaf(leaf, &scan->path[scan->depth - 1].place, scan->revision);
        if (record == NULL) {
            if (!go_on(scan)) return false;
            continue;
        }
        if (is_past_end(&scan->range, mvcc_record_key(record))) {
            scan->depth = 0;
            return false;
        }
        mvcc_record_kv(record, out_kv);
        return true;
    }
    return false;
}
