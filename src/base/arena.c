/* arena: chunks in a chain, newest first. */
#include "base/arena.h"

#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ARENA_CHUNK_BYTES 4080 /* of the first chunk; each later one is twice as large, up to the next constant */
#define ARENA_CHUNK_BYTES_MAX (64 * 1024 - 16)
#define ARENA_ALIGNMENT 16

struct arena_chunk {
    struct arena_chunk *next; /* older */
    size_t size;
    _Alignas(ARENA_ALIGNMENT) uint8_t data[];
};

STATIC_ASSERT(sizeof(struct arena_chunk) == 16, "a chunk's bytes are aligned like the heap's");

void arena_init(struct arena *arena, size_t bytes_max)
{
    ASSERT(arena != NULL && bytes_max <= SIZE_MAX / 2);
    *arena = (struct arena){.chunks = NULL, .bytes_max = bytes_max};
}

static void free_down_to(struct arena *arena, const struct arena_chunk *last)
{
    while (arena->chunks != last) {
        struct arena_chunk *chunk = arena->chunks;
        ASSERT(chunk != NULL);
        arena->chunks = chunk->next;
        alloc_free(chunk);
    }
}

void arena_deinit(struct arena *arena)
{
    if (arena == NULL) return;
    free_down_to(arena, NULL);
    arena_init(arena, arena->bytes_max);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *first = arena->chunks;
    while (first != NULL && first->next != NULL) first = first->next;
    free_down_to(arena, first);
    ASSERT(arena->chunks == NULL || arena->chunks->next == NULL);
    arena->used = 0;
    arena->bytes = 0;
    arena->exhausted = false;
}

static void add_chunk(struct arena *arena, size_t size)
{
    size_t chunk_size = arena->chunks == NULL ? ARENA_CHUNK_BYTES : arena->chunks->size * 2 + ARENA_ALIGNMENT;
    if (chunk_size > ARENA_CHUNK_BYTES_MAX) chunk_size = ARENA_CHUNK_BYTES_MAX;
    if (chunk_size < size) chunk_size = size;
    struct arena_chunk *chunk = alloc_new(sizeof *chunk + chunk_size);
    ASSERT((uintptr_t)chunk->data % ARENA_ALIGNMENT == 0);
    chunk->next = arena->chunks;
    chunk->size = chunk_size;
    arena->chunks = chunk;
    arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    ASSERT(arena->bytes <= arena->bytes_max);
    size_t rounded = ((size == 0 ? 1 : size) + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    if (rounded < size || rounded > arena->bytes_max - arena->bytes) {
        arena->exhausted = true;
        return NULL;
    }
    if (arena->chunks == NULL || rounded > arena->chunks->size - arena->used) add_chunk(arena, rounded);
    void *memory = arena->chunks->data + arena->used;
    arena->used += rounded;
    arena->bytes += rounded;
    ASSERT(arena->used <= arena->chunks->size);
    return memory;
}
