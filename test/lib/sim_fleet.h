/* sim_fleet: many seeds in forked workers. Each seed is one sim_run, so that a failed assertion of the product, a hang or a wild pointer ends
 * one worker and is a finding with its seed; a new worker goes on behind it. Which seeds run is settled by the plan alone; what a seed does,
 * by the seed alone.
 *
 * Owner: sim_fleet_run leaves nothing behind; failures are copied to the caller. Thread: one, and no other in the process (it forks). */
#ifndef TEST_LIB_SIM_FLEET_H
#define TEST_LIB_SIM_FLEET_H
#include "lib/sim_run.h"
#include "lib/world_watch.h"

#define SIM_FLEET_JOBS_MAX 16
#define SIM_FLEET_FAILURES_MAX 64

struct sim_fleet_plan {
    uint64_t first, last;        /* seeds; with `list`: places in it */
    const struct sim_options *list;
    uint64_t until_ns;           /* of clock_mono_ns: behind it no seed begins, but the first `seeds_min`; 0 = all of them */
    uint64_t seeds_min;
    uint64_t twice_first;        /* so many of the first run twice: same seed, same trace */
    uint32_t twice_percent;      /* of the others, too */
    uint32_t jobs;               /* workers; 0 = 1 */
    uint32_t failures_max;       /* no new worker beyond; 0 = 1 */
    uint32_t seed_seconds;       /* of processor time; more is a hang; 0 = 20 */
    void (*adjust)(struct sim_options *options, void *context); /* behind the draw; NULL = nothing */
    void (*progress)(const struct sim_result *total, void *context); /* a few times each second; NULL = nobody looks */
    void *context;
};
struct sim_fleet_failure {
    uint64_t seed;
    bool is_hang;
    char broken[256];            /* the invariant; "it died" and its last words for all else */
    char options[SIM_OPTIONS_TEXT_MAX];
};
struct sim_fleet_result {
    struct sim_result total;     /* of all seeds that held, and of what the others did until then nothing */
    uint64_t seeds;
    uint64_t wall_ns, cpu_ns;    /* of all workers together; after the run */
    uint32_t failure_count;
    struct sim_fleet_failure failures[SIM_FLEET_FAILURES_MAX];
    struct world_trace last;     /* of the last failure */
    bool stopped_early;          /* by failures_max */
};
/* What a process that is dead said into the file `words`: why it died ("it died" without more if it says nothing); `echo`: on stderr, too. */
void sim_fleet_words(int words, bool echo, char *out_death, size_t size);
/* True if every seed held. */
bool sim_fleet_run(const struct sim_fleet_plan *plan, struct sim_fleet_result *out_result);

#endif
