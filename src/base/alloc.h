/* alloc: memory from the heap. Out of memory stops the node, so no function returns NULL (limits stand at the doors).
 * Thread: any. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H
#include <stddef.h>

void *alloc_new(size_t size) __attribute__((malloc, alloc_size(1)));                  /* uninitialised */
void *alloc_zero(size_t count, size_t size) __attribute__((malloc, alloc_size(1, 2))); /* zeroed; checks overflow */
void *alloc_resize(void *memory, size_t size) __attribute__((alloc_size(2)));
void *alloc_aligned(size_t alignment, size_t size) __attribute__((malloc, alloc_size(2))); /* a power of two; size a multiple of it */
char *alloc_string(const char *text); /* a copy */
void alloc_free(void *memory);        /* accepts NULL */

#define ALLOC(type) ((type *)alloc_zero(1, sizeof(type)))

#endif
