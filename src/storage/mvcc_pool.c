/* mvcc_pool: see mvcc_pool.h. A slab: its head, then places of one size, each behind a pointer to the slab. */
#include "storage/mvcc_pool.h"

#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/list.h"

#define SLAB_BYTES ((size_t)256 << 10) /* a class of the allocator's, so that only its page comes on top */
#define SIZES ((MVCC_POOL_MAX - MVCC_POOL_MIN) / MVCC_POOL_STEP + 1)
#define PLACES_MAX 64

struct slab {
    struct list node; /* in the pool's list while it has room */
    struct mvcc_pool *pool;
    size_t size_number;
    uint64_t taken; /* bit per place */
    uint32_t taken_count;
};
struct place {
    struct slab *slab;
    uint64_t memory[];
};
struct mvcc_pool {
    bool is_closed;
    size_t slab_count;
    struct list roomy[SIZES]; /* slabs that have a place */
};

static size_t place_bytes(size_t size_number) { return sizeof(struct place) + MVCC_POOL_MIN - 1 + (size_number + 1) * MVCC_POOL_STEP; }

static uint32_t places(size_t size_number) { return (uint32_t)((SLAB_BYTES - sizeof(struct slab)) / place_bytes(size_number)); }

STATIC_ASSERT((SLAB_BYTES - sizeof(struct slab)) / (sizeof(struct place) + MVCC_POOL_MIN - 1 + MVCC_POOL_STEP) < PLACES_MAX, "a bit for each");
STATIC_ASSERT(sizeof(struct slab) % sizeof(uint64_t) == 0 && (MVCC_POOL_MIN - 1) % sizeof(uint64_t) == 0, "places lie on words");

struct mvcc_pool *mvcc_pool_new(void)
{
    struct mvcc_pool *pool = ALLOC(struct mvcc_pool);
    for (size_t i = 0; i < SIZES; i++) list_init(&pool->roomy[i]);
    return pool;
}

static void drop_slab(struct slab *slab)
{
    ASSERT(slab->taken_count == 0 && slab->pool->slab_count > 0);
    slab->pool->slab_count--;
    list_remove(&slab->node);
    alloc_free(slab);
}

void mvcc_pool_close(struct mvcc_pool *pool)
{
    if (pool == NULL) return;
    ASSERT(!pool->is_closed);
    pool->is_closed = true;
    for (size_t i = 0; i < SIZES; i++) { /* what was kept for the next one is the last of its list */
        if (list_is_empty(&pool->roomy[i])) continue;
        struct slab *slab = LIST_ENTRY(pool->roomy[i].prev, struct slab, node);
        if (slab->taken_count == 0) drop_slab(slab);
    }
    if (pool->slab_count == 0) alloc_free(pool);
}

static struct slab *slab_with_room(struct mvcc_pool *pool, size_t size_number)
{
    struct list *roomy = &pool->roomy[size_number];
    if (!list_is_empty(roomy)) return LIST_ENTRY(roomy->next, struct slab, node);
    struct slab *slab = alloc_new(SLAB_BYTES);
    *slab = (struct slab){.pool = pool, .size_number = size_number};
    list_push_back(roomy, &slab->node);
    pool->slab_count++;
    return slab;
}

void *mvcc_pool_take(struct mvcc_pool *pool, size_t size)
{
    ASSERT(mvcc_pool_takes(size) && pool != NULL && !pool->is_closed);
    size_t size_number = (size - MVCC_POOL_MIN) / MVCC_POOL_STEP;
    struct slab *slab = slab_with_room(pool, size_number);
    uint32_t number = (uint32_t)__builtin_ctzll(~slab->taken);
    ASSERT(number < places(size_number));
    slab->taken |= UINT64_C(1) << number;
    if (++slab->taken_count == places(size_number)) list_remove(&slab->node);
    struct place *place = (struct place *)(void *)((char *)(slab + 1) + number * place_bytes(size_number));
    place->slab = slab;
    return place->memory;
}

void mvcc_pool_give(void *memory)
{
    struct place *place = (struct place *)(void *)((char *)memory - offsetof(struct place, memory));
    struct slab *slab = place->slab;
    struct mvcc_pool *pool = slab->pool;
    struct list *roomy = &pool->roomy[slab->size_number];
    size_t number = (size_t)((char *)place - (char *)(slab + 1)) / place_bytes(slab->size_number);
    ASSERT(number < places(slab->size_number) && (slab->taken >> number & 1) != 0);
    bool was_full = slab->taken_count == places(slab->size_number);
    slab->taken &= ~(UINT64_C(1) << number);
    slab->taken_count--;
    if (was_full) list_push_front(roomy, &slab->node); /* the fullest are filled first, so that the others may become empty */
    bool is_only = roomy->next == &slab->node && roomy->prev == &slab->node;
    if (slab->taken_count == 0 && (!is_only || pool->is_closed)) drop_slab(slab);
    if (pool->is_closed && pool->slab_count == 0) alloc_free(pool);
}

size_t mvcc_pool_slabs(const struct mvcc_pool *pool)
{
    ASSERT(pool != NULL);
    return pool->slab_count;
}
