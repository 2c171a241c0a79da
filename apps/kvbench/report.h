/* report: a result as figures with names, as a table, as one JSON line, as a file for HdrHistogram's plotters. Thread: main. */
#ifndef KVBENCH_REPORT_H
#define KVBENCH_REPORT_H
#include <stdbool.h>
#include <stddef.h>

#include "run.h"

#define REPORT_FIGURES_MAX 32

struct report_figure {
    const char *name; /* as in JSON: with its unit */
    double value;
    int decimals;
    bool is_compared; /* it says something beside another cluster's */
};
/* All figures of a result; how many. */
size_t report_figures(const struct settings *settings, const struct run_result *result, struct report_figure out_figures[REPORT_FIGURES_MAX]);
void report_table(const struct settings *settings, const struct run_result *result);
void report_json(const struct settings *settings, const struct run_result *result);
/* False: the file could not be written, and stderr says so. */
bool report_hdr(const struct settings *settings, const struct run_result *result);
void report_json_text(const char *text); /* with its quotes */

#endif
