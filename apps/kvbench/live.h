/* live: what is told while a load runs: a line on the terminal that is written over, or a JSON line each second. Thread: main. */
#ifndef KVBENCH_LIVE_H
#define KVBENCH_LIVE_H
#include <stdint.h>

#include "run.h"

void live_show(const struct settings *settings, const struct run_second *second, uint64_t all_errors);
void live_end(const struct settings *settings); /* the terminal's line is wiped */

#endif
