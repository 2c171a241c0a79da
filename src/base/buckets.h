/* buckets: where a key stands in a hash of chains that grows by one bucket at a time (linear hashing): no step of it is long, and the load
 * stays what its owner keeps it at, instead of halving at each doubling. Chains and hashes are the owner's.
 *
 * To grow from n buckets to n + 1: those of bucket buckets_source(n) whose place among n + 1 is n move there; all others stay.
 * Thread: any. Limits: 2^32 - 1 buckets. Source: Litwin, Linear hashing (1980). */
#ifndef BASE_BUCKETS_H
#define BASE_BUCKETS_H
#include <stddef.h>
#include <stdint.h>

/* All bits below the highest one of count - 1: of the round that is under way. */
static inline uint32_t buckets_mask(uint32_t count)
{
    return count <= 1 ? 0 : UINT32_MAX >> __builtin_clz(count - 1);
}
static inline uint32_t buckets_place(uint32_t count, uint64_t hash)
{
    uint32_t mask = buckets_mask(count), place = (uint32_t)hash & mask;
    return place < count ? place : place & (mask >> 1);
}
static inline uint32_t buckets_source(uint32_t count) { return count & (buckets_mask(count + 1) >> 1); }

/* The finalizer of a hash, for keys that are counters or share low bits. */
static inline uint64_t buckets_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

#endif
