/* blob: immutable bytes with an atomic reference count: what travels between threads.
 * Owner: whoever holds a reference; the last unref frees, on whatever thread. Filled by its maker before it is shared.
 * Thread: any. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"

struct blob {
    atomic_uint refs;
    uint32_t size;
    uint8_t data[];
};

struct blob *blob_new(size_t size);            /* one reference, bytes uninitialised; size < 4 GiB asserted */
struct blob *blob_copy(struct slice bytes);    /* one reference */
struct blob *blob_ref(struct blob *blob);      /* returns its argument */
void blob_unref(struct blob *blob);            /* accepts NULL */
static inline struct slice blob_slice(const struct blob *blob)
{
    return blob == NULL ? slice_empty() : slice_make(blob->data, blob->size);
}

#endif
