/* rcu_double: an rcu whose grace periods pass when the test says so.
 * Owner: embedded by the test. Thread: one. */
#ifndef TEST_LIB_RCU_DOUBLE_H
#define TEST_LIB_RCU_DOUBLE_H
#include <stdint.h>

#include "storage/rcu.h"

struct rcu_double {
    struct rcu rcu; /* first: give &double->rcu away */
    struct rcu_node *first;
    struct rcu_node *last;
    uint64_t now; /* counts retirements: a reader that begins at `now` may hold what is retired from then on */
    uint64_t waiting;
};
void rcu_double_init(struct rcu_double *rcu_double);
/* A grace period for everything that was retired before `time` (UINT64_MAX: all). */
void rcu_double_pass(struct rcu_double *rcu_double, uint64_t time);

#endif
