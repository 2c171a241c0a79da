/* simulate_mutants: does each planted bug (base/mutant.h) get seen? A bug is planted in a forked process of its own, which runs fresh seeds
 * until one breaks; a bug that no seed shows is given to the test programs beside the simulator, in the order of their list, until one fails.
 * Some bugs can only be seen there: what they break does not come up in a world; for them no seed is run.
 *
 * In the simulator's build only. Owner: nothing is left behind. Thread: one, and no other in the process (it forks).
 * Limits: SIM_FLEET_JOBS_MAX bugs at a time; a program may take a minute. */
#ifndef TEST_SIM_SIMULATE_MUTANTS_H
#define TEST_SIM_SIMULATE_MUTANTS_H
#include <stdbool.h>
#include <stdint.h>

struct simulate_mutants {
    const char **ids;        /* NULL-terminated list of these only; none = all */
    uint64_t first_seed;
    uint64_t seeds_max;      /* of each bug; 0 = the programs alone */
    uint32_t jobs;
    bool json, quiet;
};
/* The exit code: 0 if at least 95 of 100 bugs that the simulator can see were seen by it, all others by a program, and nothing fails without
 * a planted bug; 1 if not; 2 if this build has none, or an id is unknown. */
int simulate_mutants(const struct simulate_mutants *asked);

#endif
