/* test_world: seeds of the world: whole clusters under faults, every invariant watched, every history checked.
 *
 *   test_world                 the gate: fresh seeds for some seconds, the first ones twice (same seed, same trace), regressions
 *   KVD_TEST_LONG=1            thousands of seeds
 *   KVD_TEST_SEED=N            that seed only, with its last events;  KVD_TEST_SEEDS=N..M  these, all failures listed
 *
 * Seeds run in a child process, so that a failed assertion of the product is a finding like any other: the parent prints seed, invariant,
 * options and the last events from shared memory. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/sim_run.h"
#include "lib/world_watch.h"

#define GATE_NS (9 * NS_PER_S)
#define GATE_SEEDS 25 /* at least, however slow the machine is */
#define LONG_SEEDS 3000
#define SEED_SECONDS 20 /* of processor time; one seed takes well under a second; more is a hang */
#define EVENTS_SHOWN 400

/* Seeds that found something once. */
static const uint64_t regressions[] = {5, 251, 262, 525, 543, 1312, 2418, 2688};

struct totals {
    uint64_t seeds, steps, simulated_ns, done, unknown, entries;
    struct world_counts counts;
};

static void add(struct totals *totals, const struct sim_result *result)
{
    totals->seeds++;
    totals->steps += result->steps;
    totals->simulated_ns += result->simulated_ns;
    totals->done += result->done;
    totals->unknown += result->unknown;
    totals->entries += result->entries;
    const uint64_t *from = (const uint64_t *)&result->counts;
    uint64_t *to = (uint64_t *)&totals->counts;
    for (size_t i = 0; i < sizeof(totals->counts) / sizeof(uint64_t); i++) to[i] += from[i];
}

static void print_totals(const struct totals *totals)
{
    const struct world_counts *counts = &totals->counts;
    printf("%" PRIu64 " seeds, %.2f cluster-hours, %" PRIu64 " steps, %" PRIu64 " operations done, %" PRIu64 " of unknown outcome, %" PRIu64
           " entries\n",
           totals->seeds, (double)totals->simulated_ns / 3600e9, totals->steps, totals->done, totals->unknown, totals->entries);
    printf("kills %" PRIu64 ", power losses %" PRIu64 ", stops %" PRIu64 ", pauses %" PRIu64 ", frames %" PRIu64 ", streams broken %" PRIu64
           ", elections %" PRIu64 ", transfers %" PRIu64 ", looks at all disks %" PRIu64
           ", starts refused for space %" PRIu64 "\n",
           counts->kills, counts->power_losses, counts->stops, counts->pauses, counts->frames, counts->streams_broken, counts->elections,
           counts->transfers, counts->probes, counts->refused_space);
}

static void run_seed(uint64_t seed, struct sim_result *out_result)
{
    struct sim_options options;
    sim_options_draw(seed, &options);
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = SEED_SECONDS}, NULL);
    sim_run(&options, out_result);
}

static void run_twice(uint64_t seed)
{
    struct sim_result first, second;
    run_seed(seed, &first);
    run_seed(seed, &second);
    if (first.trace_hash == second.trace_hash && first.steps == second.steps) return;
    snprintf(world_trace()->broken, sizeof(world_trace()->broken), "same seed, same trace");
    abort();
}

struct plan {
    uint64_t first, last;
    uint64_t until_ns; /* 0 = all of them; else behind it no seed begins, but the first GATE_SEEDS */
    uint32_t twice;    /* so many of the first */
    const uint64_t *list;
};

static void run_plan(const struct plan *plan)
{
    struct totals totals = {0};
    for (uint64_t i = plan->first; i <= plan->last; i++) {
        bool is_late = plan->until_ns != 0 && clock_mono_ns() >= plan->until_ns;
        if (is_late && i - plan->first >= GATE_SEEDS) break;
        uint64_t seed = plan->list == NULL ? i : plan->list[i];
        struct sim_result result;
        world_trace()->done = i;
        if (i - plan->first < plan->twice) run_twice(seed);
        run_seed(seed, &result);
        add(&totals, &result);
    }
    print_totals(&totals);
    fflush(stdout);
}

/* True if all seeds of the plan hold. Goes on behind a seed that does not, `failures_max` times. */
static bool run_in_child(struct plan plan, uint32_t failures_max)
{
    uint32_t failures = 0;
    while (plan.first <= plan.last && failures < failures_max) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            run_plan(&plan);
            exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) return false;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
        failures++;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) fprintf(stderr, "it hangs\n");
        world_trace_print(failures_max > 1 ? 0 : EVENTS_SHOWN);
        plan.first = world_trace()->done + 1;
    }
    return failures == 0;
}

int main(void)
{
    const char *seed = getenv("KVD_TEST_SEED"), *seeds = getenv("KVD_TEST_SEEDS"), *is_long = getenv("KVD_TEST_LONG");
    (void)world_trace(); /* before the first fork */
    if (seed != NULL) {
        uint64_t number = strtoull(seed, NULL, 10);
        return run_in_child((struct plan){.first = number, .last = number}, 1) ? 0 : 1;
    }
    if (seeds != NULL) {
        const char *dots = strstr(seeds, "..");
        uint64_t first = strtoull(seeds, NULL, 10);
        return run_in_child((struct plan){.first = first, .last = dots == NULL ? first : strtoull(dots + 2, NULL, 10)}, 1000) ? 0 : 1;
    }
    uint64_t regression_count = sizeof(regressions) / sizeof(regressions[0]);
    bool is_good = run_in_child((struct plan){.first = 0, .last = regression_count - 1, .list = regressions}, 1);
    bool is_full = is_long != NULL && is_long[0] == '1';
    struct plan plan = {.first = 1, .last = LONG_SEEDS, .until_ns = is_full ? 0 : clock_mono_ns() + GATE_NS, .twice = is_full ? 30 : 2};
    return run_in_child(plan, 1) && is_good ? 0 : 1;
}
