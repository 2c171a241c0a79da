/* mvcc_pool: room for records that are too big for the allocator's small classes, packed.
 *
 * jemalloc rounds what is above 14 KiB up to a quarter of its power of two, and 5.3.0 adds a page to each: a value of 16 KiB takes 24. Here
 * records of about one size share a slab of 256 KiB; a size is rounded up to MVCC_POOL_STEP bytes. A slab goes back when nothing is in it,
 * unless it is the only one of its size with room.
 * Owner: the content of a store (mvcc_new, mvcc_import); with a content all its records change hands. mvcc_pool_close: nothing is asked for
 * any more, and the pool goes with the last of its records. Thread: the content's.
 * Limits: at most one slab per size with less than all of its places taken, and those that deletes and compaction leave behind.
 */
#ifndef STORAGE_MVCC_POOL_H
#define STORAGE_MVCC_POOL_H
#include <stdbool.h>
#include <stddef.h>

#define MVCC_POOL_MIN ((size_t)14336 + 1)  /* bytes: one more than the largest small class */
#define MVCC_POOL_MAX ((size_t)66 << 10)   /* values from 64 KiB on are blobs */
#define MVCC_POOL_STEP ((size_t)1 << 10)

static inline bool mvcc_pool_takes(size_t size) { return size >= MVCC_POOL_MIN && size <= MVCC_POOL_MAX; }

struct mvcc_pool;
struct mvcc_pool *mvcc_pool_new(void);
void mvcc_pool_close(struct mvcc_pool *pool); /* accepts NULL */
/* mvcc_pool_takes(size); not initialised, on a boundary of 8 bytes. */
void *mvcc_pool_take(struct mvcc_pool *pool, size_t size);
void mvcc_pool_give(void *memory); /* to the pool that it came from */
size_t mvcc_pool_slabs(const struct mvcc_pool *pool);

#endif
