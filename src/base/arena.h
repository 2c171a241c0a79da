/* arena: memory that is freed all at once, with a limit in bytes (bytes from outside are unpacked into one).
 * Owner: embedded by its user. Thread: one at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t used;                /* in the newest chunk */
    size_t bytes;               /* handed out in all */
    size_t bytes_max;
    bool exhausted;             /* an allocation was refused */
};

void arena_init(struct arena *arena, size_t bytes_max);
void arena_deinit(struct arena *arena);
void arena_reset(struct arena *arena);              /* keeps the first chunk for reuse */
void *arena_alloc(struct arena *arena, size_t size); /* 16-byte aligned; NULL beyond the limit, and `exhausted` */

#endif
