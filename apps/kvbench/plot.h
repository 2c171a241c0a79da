/* plot: pictures by gnuplot, which is started for it: SVG or PNG, by the file's name. Thread: main; no client of the library is there. */
#ifndef KVBENCH_PLOT_H
#define KVBENCH_PLOT_H
#include <stdbool.h>
#include <stddef.h>

#include "run.h"

struct plot_bar {
    const char *name;
    double ratio;
};
bool plot_can_write(const char *path); /* a name that ends in .svg or .png */
/* Rate over time, and latencies by percentile. All of them: true if no picture is wanted; false: stderr says what is wrong. */
bool plot_run(const struct settings *settings, const struct run_result *result);
bool plot_bars(const struct settings *settings, const char *a, const char *b, const struct plot_bar *bars, size_t count);

#endif
