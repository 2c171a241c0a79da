/* blob: see blob.h. */
#include "base/blob.h"

#include "base/alloc.h"
#include "base/assert.h"

#define BLOB_REFS_MAX (UINT32_C(1) << 31) /* beyond it somebody leaks references */

struct blob *blob_new(size_t size)
{
    ASSERT(size <= UINT32_MAX);
    struct blob *blob = alloc_new(sizeof *blob + size);
    atomic_init(&blob->refs, 1);
    blob->size = (uint32_t)size;
    return blob;
}

struct blob *blob_copy(struct slice bytes)
{
    ASSERT(bytes.data != NULL || bytes.size == 0);
    struct blob *blob = blob_new(bytes.size);
    if (bytes.size != 0) memcpy(blob->data, bytes.data, bytes.size);
    return blob;
}

/* Relaxed: whoever passes a reference on has one, and hands it over by something that orders (a lane). */
struct blob *blob_ref(struct blob *blob)
{
    ASSERT(blob != NULL);
    unsigned before = atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    ASSERT(before > 0 && before < BLOB_REFS_MAX);
    return blob;
}

/* Release: my last look at the bytes comes before; acquire: the one who frees comes after everybody's last look. */
void blob_unref(struct blob *blob)
{
    if (blob == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel);
    ASSERT(before > 0 && before < BLOB_REFS_MAX);
    if (before == 1) alloc_free(blob);
}
