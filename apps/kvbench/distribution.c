/* distribution: see the header. */
#include "distribution.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define EXPONENT 0.99
#define SPREAD UINT64_C(2654435761) /* a prime above DISTRIBUTION_MAX: times it, modulo the count, every rank has a key of its own */

static double unit(struct rng *rng) { return (double)(rng_next(rng) >> 11) * 0x1p-53; }

/* --- Zipf's law: h is the density, h_integral its integral ----------------------------------------------------------------- */

static double h(double x) { return pow(x, -EXPONENT); }
static double h_integral(double x) { return (pow(x, 1 - EXPONENT) - 1) / (1 - EXPONENT); }
static double h_integral_inverse(double y) { return pow(1 + y * (1 - EXPONENT), 1 / (1 - EXPONENT)); }

void distribution_zipf_init(struct distribution_zipf *zipf, uint64_t count)
{
    ASSERT(count > 0 && count <= DISTRIBUTION_MAX);
    zipf->count = count;
    zipf->h_first = h_integral(1.5) - 1;
    zipf->h_last = h_integral((double)count + 0.5);
    zipf->skip = 2 - h_integral_inverse(h_integral(2.5) - h(2));
}

uint64_t distribution_zipf_rank(const struct distribution_zipf *zipf, struct rng *rng)
{
    for (;;) {
        double area = zipf->h_last + unit(rng) * (zipf->h_first - zipf->h_last);
        double x = h_integral_inverse(area), rank = floor(x + 0.5);
        if (rank < 1) rank = 1;
        if (rank > (double)zipf->count) rank = (double)zipf->count;
        if (rank - x <= zipf->skip || area >= h_integral(rank + 0.5) - h(rank)) return (uint64_t)rank - 1;
    }
}

/* --- keys ------------------------------------------------------------------------------------------------------------------ */

bool distribution_parse_kind(const char *text, enum distribution_kind *out_kind)
{
    static const char *const names[] = {"uniform", "zipf", "latest"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out_kind = (enum distribution_kind)i;
        return true;
    }
    return false;
}

void distribution_keys_init(struct distribution_keys *keys, enum distribution_kind kind, uint64_t count)
{
    keys->kind = kind;
    distribution_zipf_init(&keys->zipf, count);
}

uint64_t distribution_keys_next(const struct distribution_keys *keys, struct rng *rng, uint64_t count)
{
    ASSERT(count >= keys->zipf.count);
    switch (keys->kind) {
    case DISTRIBUTION_UNIFORM: break;
    case DISTRIBUTION_ZIPF: return distribution_zipf_rank(&keys->zipf, rng) * SPREAD % keys->zipf.count;
    case DISTRIBUTION_LATEST: return count - 1 - distribution_zipf_rank(&keys->zipf, rng);
    }
    return rng_below(rng, count);
}

/* --- sizes ----------------------------------------------------------------------------------------------------------------- */

static bool parse_number(const char **at, uint64_t *out_number)
{
    char *end = NULL;
    errno = 0;
    if (!isdigit((unsigned char)**at)) return false;
    *out_number = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

bool distribution_parse_sizes(const char *text, uint64_t most, struct distribution_sizes *out_sizes)
{
    const char *at = text, *colon = strchr(text, ':');
    *out_sizes = (struct distribution_sizes){.kind = DISTRIBUTION_UNIFORM};
    if (colon != NULL) {
        if (strncmp(text, "zipf:", 5) == 0) out_sizes->kind = DISTRIBUTION_ZIPF;
        else if (strncmp(text, "uniform:", 8) != 0) return false;
        at = colon + 1;
    }
    if (!parse_number(&at, &out_sizes->least)) return false;
    out_sizes->most = out_sizes->least;
    if (colon != NULL && (*at++ != '-' || !parse_number(&at, &out_sizes->most))) return false;
    if (*at != '\0' || out_sizes->least > out_sizes->most || out_sizes->most > most) return false;
    distribution_zipf_init(&out_sizes->zipf, out_sizes->most - out_sizes->least + 1);
    return true;
}

uint64_t distribution_sizes_next(const struct distribution_sizes *sizes, struct rng *rng)
{
    if (sizes->least == sizes->most) return sizes->least;
    if (sizes->kind == DISTRIBUTION_ZIPF) return sizes->least + distribution_zipf_rank(&sizes->zipf, rng);
    return sizes->least + rng_below(rng, sizes->most - sizes->least + 1);
}
