/* explore_set: the states that were met: 64 bits of hash and the place of the state that it came from, 12 bytes each.
 * Owner: embedded. Thread: one. Limits: the capacity it was made with; it does not grow, so a place stays a name. */
#ifndef SIM_EXPLORE_SET_H
#define SIM_EXPLORE_SET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_SET_NONE UINT32_MAX

struct explore_set {
    uint64_t *hashes; /* 0 = free */
    uint32_t *parents;
    uint64_t mask;
    uint64_t count;
    uint64_t count_max; /* fuller, it would be slow */
};

/* Room for so many places, or as many as fit into the bytes. */
void explore_set_init(struct explore_set *set, uint64_t places, uint64_t bytes_max);
void explore_set_deinit(struct explore_set *set);
static inline void explore_set_prefetch(const struct explore_set *set, uint64_t hash)
{
    __builtin_prefetch(&set->hashes[hash & set->mask]);
}
static inline bool explore_set_is_full(const struct explore_set *set) { return set->count >= set->count_max; }
/* True if it is new; *out_place is set in any case. hash != 0. */
bool explore_set_add(struct explore_set *set, uint64_t hash, uint32_t parent, uint32_t *out_place);

#endif
