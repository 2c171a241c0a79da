/* rng: xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64. */
#include "base/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t value, unsigned bits) { return value << bits | value >> (64 - bits); }

void rng_init(struct rng *rng, uint64_t seed)
{
    ASSERT(rng != NULL);
    for (int i = 0; i < 4; i++) rng->state[i] = splitmix(&seed);
    ASSERT((rng->state[0] | rng->state[1] | rng->state[2] | rng->state[3]) != 0);
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

/* Draws that fall into the last, incomplete stretch of the 64-bit range are thrown away. */
uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    ASSERT(limit > 0);
    uint64_t value = rng_next(rng);
    if (value < limit) { /* 2^64 mod limit is less: most draws need not know it */
        uint64_t refused = (UINT64_MAX - limit + 1) % limit;
        while (value < refused) value = rng_next(rng);
    }
    return value % limit;
}

uint64_t rng_seed_from_system(void)
{
    uint64_t seed = 0;
    ssize_t got = getrandom(&seed, sizeof seed, 0);
    if (got != (ssize_t)sizeof seed) fatal("getrandom: %s", strerror(errno));
    return seed;
}
