/* heap: intrusive binary min-heap by a 64-bit key (timers). Ties in order of nothing in particular but deterministic. The keys stand in the
 * array, so that a node is four bytes of whoever may be in a heap, and a comparison costs no look at it.
 * Owner: embedded; nodes belong to the caller. Thread: one at a time. Limits: 2^32 - 1 nodes. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H
#include <stddef.h>
#include <stdint.h>

#define HEAP_NONE UINT32_MAX
struct heap_node {
    uint32_t place; /* HEAP_NONE when not in a heap */
};
struct heap_slot {
    uint64_t key;
    struct heap_node *node;
};
struct heap {
    struct heap_slot *slots;
    size_t count;
    size_t capacity;
};

void heap_init(struct heap *heap);
void heap_deinit(struct heap *heap); /* nodes are left alone */
void heap_node_init(struct heap_node *node);
void heap_push(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_change(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node);
static inline struct heap_node *heap_first(const struct heap *heap) { return heap->count == 0 ? NULL : heap->slots[0].node; }
static inline uint64_t heap_key(const struct heap *heap, const struct heap_node *node) { return heap->slots[node->place].key; } /* is in it */
struct heap_node *heap_pop(struct heap *heap); /* NULL when empty */

#endif
