/* alloc: the heap with one answer to "out of memory": stop. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void *checked(void *memory, size_t size)
{
    if (memory == NULL) fatal("out of memory: %zu bytes asked for", size);
    return memory;
}

/* One byte at least, so that NULL always means failure. */
void *alloc_new(size_t size) { return checked(malloc(size == 0 ? 1 : size), size); }

void *alloc_zero(size_t count, size_t size)
{
    size_t total = 0;
    ASSERT(!__builtin_mul_overflow(count, size, &total));
    return checked(calloc(1, total == 0 ? 1 : total), total);
}

void *alloc_resize(void *memory, size_t size) { return checked(realloc(memory, size == 0 ? 1 : size), size); }

void *alloc_aligned(size_t alignment, size_t size)
{
    ASSERT(size > 0 && size % alignment == 0);
    return checked(aligned_alloc(alignment, size), size);
}

char *alloc_string(const char *text)
{
    ASSERT(text != NULL);
    size_t size = strlen(text) + 1;
    return memcpy(alloc_new(size), text, size);
}

void alloc_free(void *memory) { free(memory); }
