/* explore_set: see explore_set.h. Anonymous memory comes zeroed when it is first touched, so a big set costs what is in it. */
#include "sim/explore_set.h"

#include <sys/mman.h>

#include "base/assert.h"

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(memory != MAP_FAILED);
    (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void explore_set_init(struct explore_set *set, uint64_t places, uint64_t bytes_max)
{
    const uint64_t place_bytes = sizeof(*set->hashes) + sizeof(*set->parents);
    uint64_t capacity = 1024;
    while (capacity < places && capacity * 2 * place_bytes <= bytes_max && capacity < UINT64_C(1) << 31) capacity *= 2;
    *set = (struct explore_set){.mask = capacity - 1, .count_max = capacity / 8 * 7};
    set->hashes = reserve(capacity * sizeof(*set->hashes));
    set->parents = reserve(capacity * sizeof(*set->parents));
}

void explore_set_deinit(struct explore_set *set)
{
    if (set == NULL || set->hashes == NULL) return;
    (void)munmap(set->hashes, (set->mask + 1) * sizeof(*set->hashes));
    (void)munmap(set->parents, (set->mask + 1) * sizeof(*set->parents));
    *set = (struct explore_set){.hashes = NULL};
}

bool explore_set_add(struct explore_set *set, uint64_t hash, uint32_t parent, uint32_t *out_place)
{
    ASSERT(hash != 0 && set->count < set->mask);
    uint64_t place = hash & set->mask;
    while (set->hashes[place] != 0 && set->hashes[place] != hash) place = (place + 1) & set->mask;
    *out_place = (uint32_t)place;
    if (set->hashes[place] == hash) return false;
    set->hashes[place] = hash;
    set->parents[place] = parent;
    set->count++;
    return true;
}
