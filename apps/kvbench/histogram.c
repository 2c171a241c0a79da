/* histogram: see the header. */
#include "histogram.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"

#define SUB (1u << HISTOGRAM_SUB_BITS)
#define TICKS_PER_HALF 5 /* lines of the text form for each halving of what is left to 100 % */
#define NS_PER_MS_REAL 1e6

static size_t bucket_of(uint64_t ns)
{
    if (ns < SUB) return (size_t)ns;
    unsigned shift = 63 - HISTOGRAM_SUB_BITS - (unsigned)__builtin_clzll(ns); /* leaves the highest bit and SUB_BITS below it */
    size_t bucket = (size_t)shift * SUB + (size_t)(ns >> shift);
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    return bucket;
}

/* The middle of a bucket. */
static uint64_t bucket_ns(size_t bucket)
{
    if (bucket < 2 * SUB) return bucket;
    unsigned shift = (unsigned)(bucket / SUB) - 1;
    uint64_t lowest = (uint64_t)(bucket % SUB + SUB) << shift;
    return lowest + (UINT64_C(1) << shift) / 2;
}

void histogram_clear(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    if (histogram->count == 0 || ns < histogram->min_ns) histogram->min_ns = ns;
    if (ns > histogram->max_ns) histogram->max_ns = ns;
    histogram->count++;
    histogram->sum_ns += (double)ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) return;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->counts[i] += from->counts[i];
    if (into->count == 0 || from->min_ns < into->min_ns) into->min_ns = from->min_ns;
    if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
    into->count += from->count;
    into->sum_ns += from->sum_ns;
}

static uint64_t clamp(const struct histogram *histogram, uint64_t ns)
{
    if (ns < histogram->min_ns) return histogram->min_ns;
    return ns > histogram->max_ns ? histogram->max_ns : ns;
}

/* Of the value that is the `wanted`-th from below, counted from 1. */
static uint64_t value_at(const struct histogram *histogram, uint64_t wanted, uint64_t *out_count)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen < wanted || seen == 0) continue;
        *out_count = seen;
        return clamp(histogram, bucket_ns(i));
    }
    ASSERT(histogram->count == 0);
    *out_count = 0;
    return 0;
}

static uint64_t rank_of(const struct histogram *histogram, double share)
{
    double rank = ceil(share * (double)histogram->count);
    if (rank < 1) return 1;
    return rank > (double)histogram->count ? histogram->count : (uint64_t)rank;
}

uint64_t histogram_percentile_ns(const struct histogram *histogram, double share)
{
    uint64_t count;
    if (share >= 1) return histogram->max_ns;
    return value_at(histogram, rank_of(histogram, share), &count);
}

double histogram_mean_ns(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_ns / (double)histogram->count;
}

double histogram_deviation_ns(const struct histogram *histogram)
{
    double mean = histogram_mean_ns(histogram), sum = 0;
    if (histogram->count == 0) return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double off = (double)bucket_ns(i) - mean;
        if (histogram->counts[i] > 0) sum += off * off * (double)histogram->counts[i];
    }
    return sqrt(sum / (double)histogram->count);
}

/* Lines stand closer the nearer they are to 100 %: TICKS_PER_HALF between a share and the one half way to it. */
void histogram_write_hdr(const struct histogram *histogram, FILE *file)
{
    double share = 0;
    uint64_t count = 0;
    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    while (histogram->count > 0) {
        double value_ms = (double)value_at(histogram, rank_of(histogram, share), &count) / NS_PER_MS_REAL;
        if (count == histogram->count) break;
        fprintf(file, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", value_ms, share, count, 1 / (1 - share));
        double halves = floor(log2(1 / (1 - share))) + 1;
        share += 1 / (TICKS_PER_HALF * exp2(halves));
    }
    double max_ms = (double)histogram->max_ns / NS_PER_MS_REAL;
    fprintf(file, "%12.3f %2.12f %10" PRIu64 "\n", max_ms, 1.0, histogram->count);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean_ns(histogram) / NS_PER_MS_REAL,
            histogram_deviation_ns(histogram) / NS_PER_MS_REAL);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", max_ms, histogram->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12u]\n", 64 - HISTOGRAM_SUB_BITS, 2 * SUB);
}
