/* rng: the only chance in the project: a seeded xoshiro256** stream, one per purpose. Thread: one at a time. */
#ifndef BASE_RNG_H
#define BASE_RNG_H
#include <stdint.h>

struct rng {
    uint64_t state[4];
};
void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t limit); /* uniform in [0, limit), limit > 0 */
uint64_t rng_seed_from_system(void);                 /* getrandom; for apps, never for replicated state */

#endif
