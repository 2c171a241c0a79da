/* sim_leases: the part of the clients' workload that grants, revokes and asks about leases, and puts keys to them. Clients mostly choose the ids
 * from a few, so that an id that is over is granted again at once. Expiries come from the log into the history, as operations that nobody asked
 * for. It draws from a stream of its own. Owner: embedded in sim_clients. Thread: one. */
#ifndef TEST_LIB_SIM_LEASES_H
#define TEST_LIB_SIM_LEASES_H
#include "lib/kv_history.h"
#include "lib/tape.h"

#define SIM_LEASES_IDS_MAX 16   /* that clients choose: 1 to … */
#define SIM_LEASES_CHOSEN 4     /* by the store, remembered */
#define SIM_LEASES_FOREVER 1000000
#define SIM_LEASES_HUNTS 8
#define SIM_LEASES_SHORT_TTL 5  /* seconds; all others outlive the run */

struct sim_clients;
/* Just when a lease should be over somebody revokes it, and somebody else grants its id again. */
struct sim_leases_hunt {
    uint64_t at_ns;
    int64_t lease;
    bool is_revoked;
};
struct sim_leases {
    struct tape tape;
    bool lives[SIM_LEASES_IDS_MAX + 1]; /* as answers let clients believe */
    int64_t chosen[SIM_LEASES_CHOSEN];
    uint32_t chosen_count;
    size_t seen;                        /* of world_lease_entries */
    struct sim_leases_hunt hunts[SIM_LEASES_HUNTS];
    uint32_t hunt_count;
};
struct sim_leases_counts { /* nothing but uint64_t */
    uint64_t grants, revokes, questions, puts, hunts, makers;
};
void sim_leases_init(struct sim_clients *clients);
void sim_leases_vary(struct sim_clients *clients, struct kv_op *op);   /* one that was drawn */
int64_t sim_leases_draw(struct sim_clients *clients, struct tape *tape); /* an id, mostly of a lease that lives */
void sim_leases_note(struct sim_clients *clients, const struct kv_op *op); /* one that is done */
/* Expiries that were written since: before anything is asked. */
void sim_leases_take(struct sim_clients *clients);
/* Before the history is checked: what only the log knows; and whether leases lived as long as clients were told (L1). */
void sim_leases_check(struct sim_clients *clients);

#endif
