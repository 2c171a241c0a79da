/* heap: intrusive binary min-heap by a 64-bit key (timers). Ties in order of nothing in particular but deterministic.
 * Owner: embedded; nodes belong to the caller. Thread: one at a time. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H
#include <stddef.h>
#include <stdint.h>

#define HEAP_NONE ((size_t)-1)
struct heap_node {
    uint64_t key;
    size_t place; /* HEAP_NONE when not in a heap */
};
struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t capacity;
};

void heap_init(struct heap *heap);
void heap_deinit(struct heap *heap); /* nodes are left alone */
void heap_node_init(struct heap_node *node);
void heap_push(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_change(struct heap *heap, struct heap_node *node, uint64_t key);
void heap_remove(struct heap *heap, struct heap_node *node);
static inline struct heap_node *heap_first(const struct heap *heap) { return heap->count == 0 ? NULL : heap->nodes[0]; }
struct heap_node *heap_pop(struct heap *heap); /* NULL when empty */

#endif
