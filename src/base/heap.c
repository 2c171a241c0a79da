/* heap: an array of keys and pointers; every node knows its place in it. */
#include "base/heap.h"

#include <stdbool.h>

#include "base/alloc.h"
#include "base/assert.h"

#define HEAP_CAPACITY_MIN 16

void heap_init(struct heap *heap)
{
    ASSERT(heap != NULL);
    *heap = (struct heap){.slots = NULL, .count = 0, .capacity = 0};
}

void heap_deinit(struct heap *heap)
{
    if (heap == NULL) return;
    alloc_free(heap->slots);
    heap_init(heap);
}

void heap_node_init(struct heap_node *node)
{
    ASSERT(node != NULL);
    *node = (struct heap_node){.place = HEAP_NONE};
}

static void set(struct heap *heap, size_t place, struct heap_slot slot)
{
    heap->slots[place] = slot;
    slot.node->place = (uint32_t)place;
}

static void sift_up(struct heap *heap, size_t place)
{
    struct heap_slot slot = heap->slots[place];
    while (place > 0 && heap->slots[(place - 1) / 2].key > slot.key) {
        set(heap, place, heap->slots[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    set(heap, place, slot);
}

static void sift_down(struct heap *heap, size_t place)
{
    struct heap_slot slot = heap->slots[place];
    for (;;) {
        size_t child = 2 * place + 1;
        if (child + 1 < heap->count && heap->slots[child + 1].key < heap->slots[child].key) child++;
        if (child >= heap->count || heap->slots[child].key >= slot.key) break;
        set(heap, place, heap->slots[child]);
        place = child;
    }
    set(heap, place, slot);
}

static bool is_member(const struct heap *heap, const struct heap_node *node)
{
    return node->place < heap->count && heap->slots[node->place].node == node;
}

void heap_push(struct heap *heap, struct heap_node *node, uint64_t key)
{
    ASSERT(node->place == HEAP_NONE);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity == 0 ? HEAP_CAPACITY_MIN : heap->capacity * 2;
        heap->slots = alloc_resize(heap->slots, heap->capacity * sizeof *heap->slots);
    }
    ASSERT(heap->count < heap->capacity && heap->count < HEAP_NONE);
    set(heap, heap->count++, (struct heap_slot){.key = key, .node = node});
    sift_up(heap, node->place);
}

void heap_change(struct heap *heap, struct heap_node *node, uint64_t key)
{
    ASSERT(is_member(heap, node));
    heap->slots[node->place].key = key;
    sift_up(heap, node->place);
    sift_down(heap, node->place);
    ASSERT(is_member(heap, node));
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    ASSERT(is_member(heap, node));
    size_t place = node->place;
    struct heap_slot last = heap->slots[--heap->count];
    if (heap->count > 0) __builtin_prefetch(heap->slots[heap->count - 1].node, 1); /* who removes many moves this one next */
    node->place = HEAP_NONE;
    if (last.node == node) return;
    set(heap, place, last);
    sift_up(heap, place);
    sift_down(heap, last.node->place);
    ASSERT(is_member(heap, last.node));
}

struct heap_node *heap_pop(struct heap *heap)
{
    struct heap_node *node = heap_first(heap);
    if (node != NULL) heap_remove(heap, node);
    ASSERT(node == NULL || node->place == HEAP_NONE);
    return node;
}
