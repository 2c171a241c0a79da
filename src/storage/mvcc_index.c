/* mvcc_index: see mvcc_index.h. */
#include "storage/mvcc_index.h"

#include "base/assert.h"
#include "base/mutant.h"

#define ROOMY_MAX (MVCC_NODE_LEAF_MAX * 9 / 10) /* keys of a leaf that takes some of its neighbour's: fewer at once, and it would be full again soon */

static struct mvcc_node *new_node(struct mvcc_index *index, uint32_t level)
{
    struct mvcc_node *node = mvcc_node_new(index->batch, level);
    index->reclaim->bytes += mvcc_node_bytes(node);
    return node;
}

static void drop_node(struct mvcc_index *index, struct mvcc_node *node)
{
    ASSERT(node->batch <= index->batch);
    if (node->batch == index->batch) {
        mvcc_reclaim_free_node(index->reclaim, node);
    } else {
        mvcc_reclaim_node(index->reclaim, node);
    }
}

/* The node itself, or the batch's own copy in its place. */
static struct mvcc_node *own(struct mvcc_index *index, struct mvcc_node *node)
{
    if (node->batch == index->batch || MUTANT(P32C)) return node;
    struct mvcc_node *copy = mvcc_node_copy(node, index->batch, mvcc_reclaim_room(index->reclaim, node));
    index->reclaim->bytes += mvcc_node_bytes(copy);
    mvcc_reclaim_node(index->reclaim, node);
    return copy;
}

static void own_path(struct mvcc_index *index, struct mvcc_index_path *path)
{
    ASSERT(path->depth > 0 && path->nodes[0] == index->root);
    index->root = path->nodes[0] = own(index, path->nodes[0]);
    for (uint32_t i = 1; i < path->depth; i++) {
        path->nodes[i] = own(index, path->nodes[i]);
        mvcc_node_inner(path->nodes[i - 1])->children[path->slots[i - 1]] = path->nodes[i];
    }
}

static void count_live(struct mvcc_index_path *path, int64_t change)
{
    if (change == 0 || (change < 0 && MUTANT(D40))) return;
    for (uint32_t i = 0; i + 1 < path->depth; i++) {
        mvcc_node_inner(path->nodes[i])->lives[path->slots[i]] += (uint64_t)change;
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

void mvcc_index_init(struct mvcc_index *index, struct mvcc_reclaim *reclaim)
{
    ASSERT(reclaim != NULL);
    *index = (struct mvcc_index){.reclaim = reclaim, .batch = 1};
    index->root = new_node(index, 0);
}

/* As deep as the tree, at most MVCC_INDEX_DEPTH_MAX. */
static void free_tree(struct mvcc_reclaim *reclaim, struct mvcc_node *node)
{
    ASSERT(node->level < MVCC_INDEX_DEPTH_MAX);
    for (uint32_t slot = 0; slot < node->count; slot++) {
        if (node->level == 0) {
            mvcc_reclaim_free_record(reclaim, mvcc_node_leaf(node)->records[slot]);
        } else {
            free_tree(reclaim, mvcc_node_inner(node)->children[slot]);
            if (slot > 0) mvcc_reclaim_free_text(reclaim, mvcc_node_inner(node)->separators[slot]);
        }
    }
    mvcc_reclaim_free_node(reclaim, node);
}

void mvcc_index_deinit(struct mvcc_index *index)
{
    if (index->root == NULL) return;
    free_tree(index->reclaim, index->root);
    index->root = NULL;
}

/* --- search ---------------------------------------------------------------------------------------------------------------- */

struct mvcc_record *mvcc_index_seek(const struct mvcc_index *index, struct slice key, struct mvcc_index_path *out_path)
{
    struct mvcc_node *node = index->root;
    uint32_t depth = 0;
    while (node->level > 0) {
        ASSERT(depth < MVCC_INDEX_DEPTH_MAX);
        uint32_t slot = mvcc_node_child(node, key);
        out_path->nodes[depth] = node;
        out_path->slots[depth++] = slot;
        node = mvcc_node_inner(node)->children[slot];
        mvcc_node_prefetch(node);
    }
    out_path->nodes[depth] = node;
    out_path->slots[depth] = mvcc_node_search(node, key, &out_path->is_found);
    out_path->depth = depth + 1;
    return out_path->is_found ? mvcc_node_leaf(node)->records[out_path->slots[depth]] : NULL;
}

const struct mvcc_record *mvcc_index_get(const struct mvcc_node *root, struct slice key)
{
    const struct mvcc_node *node = root;
    while (node->level > 0) {
        node = mvcc_node_inner(node)->children[mvcc_node_child(node, key)];
        mvcc_node_prefetch(node);
    }
    bool is_equal = false;
    uint32_t slot = mvcc_node_search(node, key, &is_equal);
    return is_equal ? mvcc_node_leaf(node)->records[slot] : NULL;
}

uint64_t mvcc_index_rank(const struct mvcc_node *root, struct slice key)
{
    const struct mvcc_node *node = root;
    uint64_t rank = 0;
    while (node->level > 0) {
        const struct mvcc_node_inner *inner = mvcc_node_inner(node);
        uint32_t child = mvcc_node_child(node, key);
        mvcc_node_prefetch(inner->children[child]);
        for (uint32_t slot = 0; slot < child; slot++) rank += inner->lives[slot];
        node = inner->children[child];
    }
    bool is_equal = false;
    uint32_t slot = mvcc_node_search(node, key, &is_equal);
    ASSERT(slot <= MVCC_NODE_LEAF_MAX);
    return rank + (uint64_t)__builtin_popcountll(node->live & ((UINT64_C(1) << slot) - 1));
}

/* --- put ------------------------------------------------------------------------------------------------------------------- */

static void count_carry(struct mvcc_index *index, struct mvcc_node_carry carry, bool is_new_text)
{
    ASSERT(carry.right != NULL && carry.separator != NULL);
    index->reclaim->bytes += mvcc_node_bytes(carry.right);
    if (is_new_text) index->reclaim->bytes += sizeof *carry.separator + carry.separator->size;
}

static void grow_root(struct mvcc_index *index, struct mvcc_node_carry carry)
{
    struct mvcc_node *root = new_node(index, index->root->level + 1u);
    ASSERT(root->level < MVCC_INDEX_DEPTH_MAX);
    mvcc_node_inner_insert(root, 0, (struct mvcc_node_carry){.right = index->root});
    mvcc_node_inner_insert(root, 1, carry);
    index->root = root;
}

/* Splits the leaf, and above it every node that has no room for its half. */
static void insert_splitting(struct mvcc_index *index, struct mvcc_index_path *path, struct mvcc_record *record, bool is_live)
{
    uint32_t level = path->depth - 1;
    struct mvcc_node_carry carry = mvcc_node_leaf_split(path->nodes[level], path->slots[level], record, is_live);
    count_carry(index, carry, true);
    while (level > 0) {
        struct mvcc_node *child = path->nodes[level--];
        struct mvcc_node *parent = path->nodes[level];
        uint32_t slot = path->slots[level];
        mvcc_node_inner(parent)->lives[slot] = mvcc_node_live(child);
        if (parent->count < MVCC_NODE_INNER_MAX) {
            mvcc_node_inner_insert(parent, slot + 1, carry);
            path->depth = level + 1; /* what is above gains a key, no node */
            count_live(path, is_live ? 1 : 0);
            return;
        }
        carry = mvcc_node_inner_split(parent, slot + 1, carry);
        count_carry(index, carry, false);
    }
    grow_root(index, carry);
}

static bool is_roomy(const struct mvcc_node *parent, uint32_t slot)
{
    return slot < parent->count && mvcc_node_inner(parent)->children[slot]->count <= ROOMY_MAX;
}

/* Evens out the leaves at `slot` and `slot` + 1. */
static void even(struct mvcc_index *index, struct mvcc_node *parent, uint32_t slot)
{
    struct mvcc_node_inner *inner = mvcc_node_inner(parent);
    struct mvcc_node *left = inner->children[slot] = own(index, inner->children[slot]);
    struct mvcc_node *right = inner->children[slot + 1] = own(index, inner->children[slot + 1]);
    struct mvcc_node_text *separator = mvcc_node_leaf_even(left, right);
    index->reclaim->bytes += sizeof *separator + separator->size;
    inner->lives[slot] = mvcc_node_live(left);
    inner->lives[slot + 1] = mvcc_node_live(right);
    mvcc_reclaim_text(index->reclaim, mvcc_node_inner_separate(parent, slot + 1, separator));
}

/* The full leaf at the end of the path, which is the batch's own. False: nobody has room, or keys come in order, which splitting at the end
 * suits best. */
static bool spill(struct mvcc_index *index, const struct mvcc_index_path *path)
{
    uint32_t level = path->depth - 1;
    if (level == 0 || path->slots[level] == 0 || path->slots[level] == path->nodes[level]->count) return false;
    struct mvcc_node *parent = path->nodes[level - 1];
    uint32_t slot = path->slots[level - 1];
    if (slot > 0 && is_roomy(parent, slot - 1)) even(index, parent, slot - 1);
    else if (is_roomy(parent, slot + 1)) even(index, parent, slot);
    else return false;
    return true;
}

void mvcc_index_set(struct mvcc_index *index, struct mvcc_index_path *path, struct mvcc_record *record)
{
    own_path(index, path);
    struct mvcc_node *leaf = path->nodes[path->depth - 1];
    uint32_t slot = path->slots[path->depth - 1];
    bool is_live = !mvcc_record_is_delete(record);
    if (path->is_found) {
        ASSERT(record->older == mvcc_node_leaf(leaf)->records[slot]);
        bool was_live = (leaf->live >> slot & 1) != 0;
        mvcc_node_leaf(leaf)->records[slot] = record;
        leaf->live = (leaf->live & ~(UINT64_C(1) << slot)) | (uint64_t)is_live << slot;
        count_live(path, (int64_t)is_live - (int64_t)was_live);
        return;
    }
    index->keys++;
    if (leaf->count == MVCC_NODE_LEAF_MAX && spill(index, path)) {
        (void)mvcc_index_seek(index, mvcc_record_key(record), path);
        leaf = path->nodes[path->depth - 1];
        slot = path->slots[path->depth - 1];
    }
    if (leaf->count == MVCC_NODE_LEAF_MAX) {
        insert_splitting(index, path, record, is_live);
        return;
    }
    mvcc_node_leaf_insert(leaf, slot, record, is_live);
    count_live(path, is_live ? 1 : 0);
}

/* --- remove ---------------------------------------------------------------------------------------------------------------- */

static void drop_slot(struct mvcc_index *index, struct mvcc_node *parent, uint32_t slot)
{
    struct mvcc_node_text *separator = mvcc_node_inner_remove(parent, slot);
    if (separator != NULL) mvcc_reclaim_text(index->reclaim, separator);
}

/* Joins the children at `slot` and `slot` + 1. */
static void join(struct mvcc_index *index, struct mvcc_node *parent, uint32_t slot)
{
    struct mvcc_node_inner *inner = mvcc_node_inner(parent);
    struct mvcc_node *left = inner->children[slot] = own(index, inner->children[slot]);
    struct mvcc_node *right = inner->children[slot + 1];
    mvcc_node_merge(left, right, inner->separators[slot + 1]);
    inner->lives[slot] += inner->lives[slot + 1];
    struct mvcc_node_text *separator = mvcc_node_inner_remove(parent, slot + 1);
    ASSERT(separator != NULL);
    if (left->level == 0) mvcc_reclaim_text(index->reclaim, separator); /* an inner node has taken it */
    drop_node(index, right);
}

static bool can_join(const struct mvcc_node *parent, uint32_t slot)
{
    if (slot + 1 >= parent->count) return false;
    const struct mvcc_node *left = mvcc_node_inner(parent)->children[slot];
    const struct mvcc_node *right = mvcc_node_inner(parent)->children[slot + 1];
    return left->count + right->count <= mvcc_node_max(left) * 3 / 4;
}

/* Mends the underfull child at `slot`; true if the parent lost a slot. */
static bool mend(struct mvcc_index *index, struct mvcc_node *parent, uint32_t slot)
{
    struct mvcc_node *child = mvcc_node_inner(parent)->children[slot];
    if (child->count == 0) {
        drop_slot(index, parent, slot);
        drop_node(index, child);
        return true;
    }
    if (slot > 0 && can_join(parent, slot - 1)) {
        join(index, parent, slot - 1);
        return true;
    }
    if (!can_join(parent, slot)) return false;
    join(index, parent, slot);
    return true;
}

static void shorten_root(struct mvcc_index *index)
{
    while (index->root->level > 0 && index->root->count <= 1) {
        struct mvcc_node *root = index->root;
        index->root = root->count == 1 ? mvcc_node_inner(root)->children[0] : new_node(index, 0);
        drop_node(index, root);
    }
}

void mvcc_index_remove(struct mvcc_index *index, struct mvcc_index_path *path)
{
    ASSERT(path->is_found && index->keys > 0);
    own_path(index, path);
    uint32_t level = path->depth - 1;
    struct mvcc_node *leaf = path->nodes[level];
    ASSERT((leaf->live >> path->slots[level] & 1) == 0);
    mvcc_node_leaf_remove(leaf, path->slots[level]);
    index->keys--;
    while (level > 0 && path->nodes[level]->count < mvcc_node_max(path->nodes[level]) / 4) {
        level--;
        if (!mend(index, path->nodes[level], path->slots[level])) break;
    }
    shorten_root(index);
}
