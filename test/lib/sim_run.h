/* sim_run: one seed: a world with limits and faults drawn from the seed (a swarm: each seed draws which classes of faults there are at all),
 * clients that work through it, then everything is healed, and it must elect, answer, and agree.
 *
 * A breach of what must hold prints its name and aborts; world_trace() keeps seed, options and the last events.
 * Owner: nothing is left behind. Thread: one. */
#ifndef TEST_LIB_SIM_RUN_H
#define TEST_LIB_SIM_RUN_H
#include "lib/sim_clients.h"
#include "lib/world.h"

enum sim_fault {
    SIM_KILL,
    SIM_POWER_LOSS,
    SIM_POWER_LOSS_OF_ALL,
    SIM_STOP,
    SIM_PAUSE,
    SIM_CUT,        /* one direction */
    SIM_PARTITION,  /* one member, or two sides */
    SIM_SLOW_DISK,
    SIM_STUCK_DISK,
    SIM_FULL_DISK,
    SIM_TRANSFER,
    SIM_FAULTS,
};
struct sim_options {
    struct world_options world;
    struct sim_clients_options clients;
    uint64_t run_ns;               /* with faults */
    uint64_t lag_ns;               /* between two looks of the clients and the faults, at most */
    uint32_t per_minute[SIM_FAULTS]; /* 0 = not in this run */
    uint32_t heals_per_minute, starts_per_minute;
};
struct sim_result {
    struct world_counts counts;
    uint64_t trace_hash, steps, simulated_ns, done, unknown, entries;
};
void sim_options_draw(uint64_t seed, struct sim_options *out_options);
void sim_options_text(const struct sim_options *options, char *out_text, size_t size);
void sim_run(const struct sim_options *options, struct sim_result *out_result);

#endif
