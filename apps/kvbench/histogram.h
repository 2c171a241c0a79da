/* histogram: latencies in constant memory: 128 buckets for each power of two of nanoseconds, so that what is read back is within 0.4 % of
 * what was added, from 1 ns to centuries; below 256 ns exact.
 * Owner: embedded, 58 KiB. Thread: one at a time. Source: the layout is HdrHistogram's; so is the text form of percentiles. */
#ifndef KVBENCH_HISTOGRAM_H
#define KVBENCH_HISTOGRAM_H
#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_BUCKETS ((65 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count, min_ns, max_ns; /* min_ns and max_ns are exact; 0 of an empty one */
    double sum_ns;
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The least value that `share` (0 to 1) of all are not above; 0 of an empty one. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double share);
double histogram_mean_ns(const struct histogram *histogram);
double histogram_deviation_ns(const struct histogram *histogram);
/* HdrHistogram's percentile distribution as its plotters read it; values in milliseconds. */
void histogram_write_hdr(const struct histogram *histogram, FILE *file);

#endif
