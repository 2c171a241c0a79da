/* slice: bytes that somebody else owns. Passed by value; never freed through. Thread: any. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL when size is 0 */
    size_t size;
};

static inline struct slice slice_make(const void *data, size_t size)
{
    return (struct slice){.data = (const uint8_t *)data, .size = size};
}
static inline struct slice slice_empty(void) { return (struct slice){.data = NULL, .size = 0}; }
static inline struct slice slice_from_string(const char *text) { return slice_make(text, strlen(text)); }
static inline struct slice slice_from(struct slice s, size_t offset)
{
    return slice_make(s.data == NULL ? NULL : s.data + offset, s.size - offset);
}
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* Byte order: <0, 0, >0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
