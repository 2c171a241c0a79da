/* sim_core: the liveness of a majority. At the end of a run's faults a random majority is started, healed and connected; nothing new happens,
 * and all else stays as it is: who is dead stays dead, who sleeps sleeps on, what is cut outside stays cut, in one direction or both.
 *
 *   V1  it has a leader that a majority follows within ten election timeouts, and a write is answered
 *   V2  while the network stays as it is, that leader stays: whoever hears a part of it only cannot disturb it
 *
 * Nothing is asked where damage took the tail of a log that only who is dead could replace.
 * Owner: nothing is left behind. Thread: one. */
#ifndef TEST_LIB_SIM_CORE_H
#define TEST_LIB_SIM_CORE_H
#include "lib/sim_clients.h"
#include "lib/sim_options.h"
#include "lib/tape.h"

#define SIM_CORE_SPANS 12

struct sim_core {
    struct world *world;
    struct sim_clients *clients;
    const struct sim_options *options;
    struct tape *tape;
};
/* False: there was nothing to ask. `*out_spans`: election timeouts until it was led, rounded down. */
bool sim_core_run(const struct sim_core *core, uint64_t *out_spans);

#endif
