/* compare: the same workload against two clusters in turn, A B A B: for each figure both medians, how far their rounds lie apart, and the ratio
 * of each round. What else the machine does changes both sides of a round alike, so ratios are what to read.
 * Thread: main. Limits: COMPARE_ROUNDS_MAX rounds. */
#ifndef KVBENCH_COMPARE_H
#define KVBENCH_COMPARE_H
#include <stdbool.h>

#include "settings.h"

#define COMPARE_ROUNDS_MAX 100

/* False: a run came to nothing, and stderr says why; *out_is_written: whether all files could be written. */
bool compare_run(const struct settings *settings, bool *out_is_written);

/* The median, and the range of the values in parts of it (0 = all are alike); the values are sorted. */
double compare_median(double *values, size_t count, double *out_spread);

#endif
