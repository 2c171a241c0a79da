/* sim_run: one seed: a world with limits and faults drawn from the seed (a swarm: each seed draws which classes of faults there are at all),
 * clients that work through it, then everything is healed, and it must elect, answer, and agree.
 *
 * A breach of what must hold prints its name and aborts; world_trace() keeps seed, options and the last events.
 * Owner: nothing is left behind. Thread: one. */
#ifndef TEST_LIB_SIM_RUN_H
#define TEST_LIB_SIM_RUN_H
#include "base/buggify.h"
#include "lib/sim_core.h"
#include "lib/sim_history.h"
#include "lib/sim_options.h"
#include "lib/sim_renew.h"
#include "lib/sim_quota.h"
#include "lib/sim_saves.h"
#include "lib/sim_watch.h"
#include "lib/sim_who.h"

/* Nothing but uint64_t: results are added up field by field. */
struct sim_result {
    struct world_counts counts;
    struct sim_clients_counts clients;
    struct sim_watch_counts watch;
    struct sim_leases_counts leases;
    struct sim_renew_counts renew;
    struct sim_quota_counts quota;
    struct sim_history_counts history;
    struct sim_who_counts who;
    struct sim_hashes_counts hashes;
    struct sim_locks_counts locks;
    uint64_t faults[SIM_FAULTS];
    uint64_t fired[BUGGIFY_SITE_COUNT]; /* the sites of rare behaviour; zeros in a build without them */
    uint64_t trace_hash;
    uint64_t events;  /* lines of the trace: steps of roles, messages and frames, file operations, calls and answers, faults */
    uint64_t steps;   /* of roles, of these */
    uint64_t simulated_ns, done, unknown, entries;
    uint64_t saves, restores; /* snapshots that a client got whole, and of these */
    uint64_t cores;   /* majorities that were healed first */
    uint64_t led_after[SIM_CORE_SPANS]; /* how many of them had a leader after so many election timeouts */
};
void sim_run(const struct sim_options *options, struct sim_result *out_result);

#endif
