/* measure: what the load generators measure alike: latencies in buckets, processor time and memory of processes.
 * Owner: structs are embedded. Thread: one at a time. Errors: a process that is not there ends the program. */
#ifndef TEST_LIB_MEASURE_H
#define TEST_LIB_MEASURE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/flags.h"

/* 32 buckets for each power of two of nanoseconds, so 3 % wide. */
#define MEASURE_BUCKETS_PER_POWER 32
#define MEASURE_BUCKETS (64 * MEASURE_BUCKETS_PER_POWER)

struct measure_latencies {
    uint64_t buckets[MEASURE_BUCKETS];
    uint64_t count, max_ns;
};
void measure_add(struct measure_latencies *latencies, uint64_t ns);
uint64_t measure_percentile_ns(const struct measure_latencies *latencies, double share);

uint64_t measure_own_cpu_ns(void);
/* Of processes, "11,12,13" ("" = none), summed: the run time of all their threads; the memory that is resident. */
uint64_t measure_cpu_ns(const char *pids);
uint64_t measure_rss_bytes(const char *pids);

/* A program's command line. False: that was all: help was asked for (`help`, one of the flags), or the mistake is told on stderr. */
bool measure_read_flags(const char *program, struct flag *flags, int count, int argc, char **argv, const bool *help);
bool measure_in_range(const char *program, bool is_in_range); /* the same answer, with a word on stderr where it is false */

#endif
