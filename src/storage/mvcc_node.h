/* mvcc_node: nodes of the copy-on-write B+tree: their layout, search, and every change inside one node.
 *
 * A node strips the prefix that all its texts share (up to MVCC_NODE_PREFIX_MAX bytes, held in its first line) and keeps the next 8 bytes of
 * each text as a big-endian number, its `head`: a search compares numbers that stand side by side and touches a text only where heads are
 * equal (heads of short texts are padded with zeros, so equal heads say nothing yet). A leaf's texts are the keys of its records; an inner
 * node's are separators: separators[i] ≤ every key below children[i], > every key left of it; slot 0 has none.
 *
 * A leaf holds which of its records are live as bits, an inner node how many are live below each child.
 * Owner: mvcc_index. Thread: the writer while the running batch owns the node; then immutable, any reader.
 */
#ifndef STORAGE_MVCC_NODE_H
#define STORAGE_MVCC_NODE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "storage/mvcc_record.h"

#define MVCC_NODE_LEAF_MAX 60
#define MVCC_NODE_INNER_MAX 62
#define MVCC_NODE_PREFIX_MAX 40

struct mvcc_node {
    uint64_t batch; /* that made it, and may change it */
    uint64_t live;  /* a leaf's: bit i = records[i] is live */
    uint16_t count;
    uint8_t level; /* 0 = leaf */
    uint8_t prefix_size;
    uint8_t prefix[MVCC_NODE_PREFIX_MAX + 4];
};
struct mvcc_node_leaf {
    struct mvcc_node node;
    uint64_t heads[MVCC_NODE_LEAF_MAX];
    struct mvcc_record *records[MVCC_NODE_LEAF_MAX];
};
struct mvcc_node_text { /* a separator; shared by the copies of the nodes that hold it */
    uint32_t size;
    uint8_t data[];
};
struct mvcc_node_inner {
    struct mvcc_node node;
    uint64_t heads[MVCC_NODE_INNER_MAX];
    struct mvcc_node *children[MVCC_NODE_INNER_MAX];
    uint64_t lives[MVCC_NODE_INNER_MAX];
    struct mvcc_node_text *separators[MVCC_NODE_INNER_MAX];
};
STATIC_ASSERT(sizeof(struct mvcc_node) == 64, "a cache line");
STATIC_ASSERT(sizeof(struct mvcc_node_leaf) == 1024, "an allocator's size class");
STATIC_ASSERT(sizeof(struct mvcc_node_inner) == 2048, "an allocator's size class");

/* What a split hands to the parent: the new right neighbour and the separator in front of it. */
struct mvcc_node_carry {
    struct mvcc_node *right;
    struct mvcc_node_text *separator;
};

static inline struct mvcc_node_leaf *mvcc_node_leaf(const struct mvcc_node *node)
{
    ASSERT(node->level == 0);
    return (struct mvcc_node_leaf *)(uintptr_t)node;
}
static inline struct mvcc_node_inner *mvcc_node_inner(const struct mvcc_node *node)
{
    ASSERT(node->level > 0);
    return (struct mvcc_node_inner *)(uintptr_t)node;
}
static inline uint32_t mvcc_node_max(const struct mvcc_node *node)
{
    return node->level == 0 ? MVCC_NODE_LEAF_MAX : MVCC_NODE_INNER_MAX;
}
static inline size_t mvcc_node_bytes(const struct mvcc_node *node)
{
    return node->level == 0 ? sizeof(struct mvcc_node_leaf) : sizeof(struct mvcc_node_inner);
}

/* Asks for a leaf, or for the heads and children of an inner node, at once: a search would wait for one line after another. */
static inline void mvcc_node_prefetch(const struct mvcc_node *node)
{
    for (size_t at = 0; at < sizeof(struct mvcc_node_leaf); at += 64) __builtin_prefetch((const uint8_t *)node + at);
}

struct mvcc_node *mvcc_node_new(uint64_t batch, uint32_t level);
/* Into `room`, memory of mvcc_node_bytes(node). */
struct mvcc_node *mvcc_node_copy(const struct mvcc_node *node, uint64_t batch, void *room);
uint64_t mvcc_node_live(const struct mvcc_node *node); /* live keys at and below it */

/* The first slot with a text ≥ key (an inner node's slot 0 has none and is passed over), or the count; *out_equal if it is the key. */
uint32_t mvcc_node_search(const struct mvcc_node *node, struct slice key, bool *out_equal);
/* The child below which the key belongs. */
uint32_t mvcc_node_child(const struct mvcc_node *node, struct slice key);

/* The shortest text that tells the two apart: > left, ≤ right. */
struct mvcc_node_text *mvcc_node_separator(struct slice left, struct slice right);
/* Into a node that has room. */
void mvcc_node_leaf_insert(struct mvcc_node *node, uint32_t slot, struct mvcc_record *record, bool is_live);
void mvcc_node_inner_insert(struct mvcc_node *node, uint32_t slot, struct mvcc_node_carry carry);
/* Into a full one, which is split. A slot at either end leaves the old node whole: keys that come in order fill their nodes. */
struct mvcc_node_carry mvcc_node_leaf_split(struct mvcc_node *node, uint32_t slot, struct mvcc_record *record, bool is_live);
struct mvcc_node_carry mvcc_node_inner_split(struct mvcc_node *node, uint32_t slot, struct mvcc_node_carry carry);
void mvcc_node_leaf_remove(struct mvcc_node *node, uint32_t slot);
/* Evens out two neighbours; returns the separator that belongs between them now. */
struct mvcc_node_text *mvcc_node_leaf_even(struct mvcc_node *left, struct mvcc_node *right);
/* Puts another separator in front of a child; returns the one that was there. */
struct mvcc_node_text *mvcc_node_inner_separate(struct mvcc_node *node, uint32_t slot, struct mvcc_node_text *separator);
/* Returns the separator that is not needed any more, or NULL. */
struct mvcc_node_text *mvcc_node_inner_remove(struct mvcc_node *node, uint32_t slot);
/* Moves all of `right` behind `left`; `separator` stands between them (an inner node takes it, a leaf leaves it to the caller). */
void mvcc_node_merge(struct mvcc_node *left, const struct mvcc_node *right, struct mvcc_node_text *separator);

#endif
