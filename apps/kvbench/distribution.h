/* distribution: which number comes next: keys, and sizes of values.
 *
 * zipf is Zipf's law with exponent 0.99 (as YCSB has it): rank r comes in proportion to 1/r^0.99; drawn by rejection-inversion, which needs
 * no table. Ranks of keys are spread over all keys, so that popular ones are no neighbours; sizes are not: small ones are the many.
 *
 * Owner: embedded. Thread: one at a time. Limits: DISTRIBUTION_MAX numbers. Source: W. Hörmann, G. Derflinger, Rejection-inversion to
 * generate variates from monotone discrete distributions (1996); YCSB (2010). */
#ifndef KVBENCH_DISTRIBUTION_H
#define KVBENCH_DISTRIBUTION_H
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

#define DISTRIBUTION_MAX (UINT64_C(1) << 30)

enum distribution_kind { DISTRIBUTION_UNIFORM, DISTRIBUTION_ZIPF, DISTRIBUTION_LATEST };

struct distribution_zipf {
    uint64_t count;
    double h_first, h_last, skip;
};
void distribution_zipf_init(struct distribution_zipf *zipf, uint64_t count); /* 1 ≤ count ≤ DISTRIBUTION_MAX */
uint64_t distribution_zipf_rank(const struct distribution_zipf *zipf, struct rng *rng); /* 0 is the most frequent */

/* Keys 0 to count − 1. */
struct distribution_keys {
    enum distribution_kind kind;
    struct distribution_zipf zipf;
};
bool distribution_parse_kind(const char *text, enum distribution_kind *out_kind); /* uniform, zipf, latest */
void distribution_keys_init(struct distribution_keys *keys, enum distribution_kind kind, uint64_t count);
/* `count`: as many keys as there are now, at least those of the beginning; the newest is count − 1. */
uint64_t distribution_keys_next(const struct distribution_keys *keys, struct rng *rng, uint64_t count);

/* Sizes: "256", "uniform:A-B", "zipf:A-B". */
struct distribution_sizes {
    enum distribution_kind kind;
    uint64_t least, most;
    struct distribution_zipf zipf;
};
bool distribution_parse_sizes(const char *text, uint64_t most, struct distribution_sizes *out_sizes);
uint64_t distribution_sizes_next(const struct distribution_sizes *sizes, struct rng *rng);

#endif
