/* sim_quota: an operator who looks after the quota's alarms beside the clients: asks for the list of them (Q5), takes them back, and now and then
 * raises one by hand. Puts that find the quota reached raise them, compactions and deletes make room (world_alarms.h has what must hold).
 * One call at a time. Owner: embedded (init). Thread: one. */
#ifndef TEST_LIB_SIM_QUOTA_H
#define TEST_LIB_SIM_QUOTA_H
#include "lib/tape.h"
#include "lib/world.h"

struct sim_quota_counts { /* nothing but uint64_t */
    uint64_t lists, disarms;
};
struct sim_quota {
    struct world *world;
    struct tape tape;
    uint32_t members, per_minute;
    bool is_waiting, is_list;
    uint64_t call;
    struct sim_quota_counts counts; /* answered */
};
void sim_quota_init(struct sim_quota *quota, struct world *world, uint64_t seed, uint32_t members, uint32_t per_minute);
/* Once in so many ns; `is_over`: no new ones. */
void sim_quota_step(struct sim_quota *quota, uint64_t ns, bool is_over);

#endif
