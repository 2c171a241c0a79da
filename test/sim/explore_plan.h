/* explore_plan: the scopes that are looked at by default, each for a question of its own.
 * Owner: none; immutable. Thread: any. */
#ifndef SIM_EXPLORE_PLAN_H
#define SIM_EXPLORE_PLAN_H
#include "sim/explore.h"

struct explore_plan {
    const char *name;
    double share; /* of the time, against the others */
    uint64_t width;
    struct explore_scope scope;
};
extern const struct explore_plan explore_plan[];
extern const uint32_t explore_plan_count;

#endif
