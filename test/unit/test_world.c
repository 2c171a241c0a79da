/* test_world: do whole clusters under faults keep every promise? Each seed is a world with its own limits and faults (lib/sim_run.h), all
 * invariants watched, every history checked.
 *
 *   test_world                 the gate: regressions (test/sim/regressions), then fresh seeds for some seconds, the first ones twice
 *   KVD_TEST_LONG=1            thousands of seeds
 *
 * bin/simulate runs single seeds and long ranges, and prints what was broken. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/sim_fleet.h"
#include "lib/sim_report.h"

#define REGRESSIONS "test/sim/regressions"
#define REGRESSIONS_MAX 256
#define GATE_NS (6 * NS_PER_S)
#define GATE_SEEDS 12 /* at least, however slow the machine is */
#define LONG_SEEDS 3000

static int is_file(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* False: the folder is not there, or a file in it cannot be read. */
static bool read_regressions(struct sim_options *out_options, uint64_t *out_count)
{
    struct dirent **entries;
    bool is_good = true;
    int count = scandir(REGRESSIONS, &entries, is_file, alphasort);
    if (count <= 0 || count > REGRESSIONS_MAX) {
        fprintf(stderr, "%s: %d files\n", REGRESSIONS, count);
        return false;
    }
    for (int i = 0; i < count; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", REGRESSIONS, entries[i]->d_name);
        is_good = sim_options_read(path, &out_options[i]) && is_good;
        free(entries[i]);
    }
    free(entries);
    *out_count = (uint64_t)count;
    return is_good;
}

static bool run(const char *what, const struct sim_fleet_plan *plan)
{
    static struct sim_fleet_result result;
    bool is_good = sim_fleet_run(plan, &result);
    printf("%s\n", what);
    sim_report_print(&result, stdout);
    if (!is_good) world_trace_print(&result.last, 200);
    return is_good;
}

int main(void)
{
    static struct sim_options regressions[REGRESSIONS_MAX];
    const char *is_long = getenv("KVD_TEST_LONG");
    bool is_full = is_long != NULL && is_long[0] == '1';
    uint64_t count = 0;
    bool is_good = read_regressions(regressions, &count);
    if (is_good) is_good = run("regressions", &(struct sim_fleet_plan){.last = count - 1, .list = regressions});
    struct sim_fleet_plan plan = {.first = 1, .last = LONG_SEEDS, .until_ns = is_full ? 0 : clock_mono_ns() + GATE_NS,
                                  .seeds_min = GATE_SEEDS, .twice_first = 2, .twice_percent = is_full ? 1 : 0};
    bool holds = run("seeds", &plan);
    printf("%d passed, %d failed\n", is_good + holds, !is_good + !holds);
    return is_good && holds ? 0 : 1;
}
