/* sim_saves: a client that saves snapshots of members beside the others (Maintenance.Snapshot), one at a time, some of them slowly. What it
 * gets whole must be what the API promises: blocks of 512, their SHA-256 behind them, a file that loads, and the state of the cluster at
 * that index, not older than what the member had published when it was asked. Some are restored (sim_backups.h).
 * Owner: embedded (init). Thread: one. */
#ifndef TEST_LIB_SIM_SAVES_H
#define TEST_LIB_SIM_SAVES_H
#include "lib/world.h"
#include "lib/tape.h"

struct sim_saves {
    struct world *world;
    struct tape tape;
    uint32_t members, per_minute;
    uint64_t call;          /* 0 = none under way */
    uint64_t floor_index;   /* published when it was asked */
    bool is_slow;
    uint64_t saved, failed, restored; /* for the report */
};
void sim_saves_init(struct sim_saves *saves, struct world *world, uint64_t seed, uint32_t members, uint32_t per_minute);
/* Once in so many ns; `is_over`: no new ones. */
void sim_saves_step(struct sim_saves *saves, uint64_t ns, bool is_over);

#endif
