/* sim_locks: clients of a world that lock and campaign: each has a call at a time, at any member, under one of two names, with a lease that the
 * clients of sim_leases grant, revoke and let end. Some go away while they wait; owners unlock, resign, or forget it.
 *
 * A place in a queue is a key of the history (sim_bytes.h), written by what the calls' members proposed (world_locks.h): these writes stand in
 * the history as operations that nobody asked for. What must hold of whoever was told that it owns, by the model that holds all of it:
 *   N1 its place is there    N2 nobody else's is older: places are served in the order of their revisions, and no two own at one revision
 *   N3 a call that is given up gives its place up, and ends (in a quiet cluster, at the end)
 * Owner: embedded in sim_clients. Thread: one. */
#ifndef TEST_LIB_SIM_LOCKS_H
#define TEST_LIB_SIM_LOCKS_H
#include "lib/kv_model.h"
#include "lib/tape.h"

#define SIM_LOCKS_CLIENTS_MAX 6
#define SIM_LOCKS_LAST 3 /* calls that wait at the end, to be given up */

struct sim_clients;
enum sim_lock_what { SIM_LOCK_LOCK, SIM_LOCK_CAMPAIGN, SIM_LOCK_UNLOCK, SIM_LOCK_RESIGN, SIM_LOCK_PROCLAIM };
struct sim_lock_client {
    enum sim_lock_what what; /* of the call under way, or the last one */
    bool is_waiting, has_left, owns;
    uint32_t member;
    uint64_t call, next_ns, leave_ns;
    int64_t lease;
    uint32_t place;          /* a key */
    int64_t revision;        /* of a leader's key */
    bool was_canceled;
};
/* Somebody was told that it owns. */
struct sim_lock_owner {
    uint32_t place, member;
    bool is_leader;          /* of an election: the revision that is told is that of its entering */
    int64_t revision;
    int64_t created;         /* 0 = not told */
    int64_t newest;          /* that any member had shown when the answer was taken */
};
struct sim_locks {
    struct tape tape;
    struct sim_lock_client clients[SIM_LOCKS_CLIENTS_MAX];
    struct sim_lock_owner *owners;
    size_t owner_count, owner_capacity;
    size_t seen;             /* of world_lock_writes */
};
struct sim_locks_counts { /* nothing but uint64_t */
    uint64_t calls, owners, left, canceled, writes;
};
void sim_locks_init(struct sim_clients *clients);
void sim_locks_deinit(struct sim_clients *clients);
void sim_locks_step(struct sim_clients *clients, bool is_over);
bool sim_locks_end(struct sim_clients *clients);  /* all that wait are given up; true: nobody waits */
/* In a quiet cluster: some calls for one name, the first of which owns; true when the others stand behind it. */
void sim_locks_queue(struct sim_clients *clients);
bool sim_locks_stand(struct sim_clients *clients);
/* Behind sim_locks_end: a key that is there though its call was given up; KV_HISTORY_KEYS = none. */
uint32_t sim_locks_left(const struct sim_clients *clients);
void sim_locks_take(struct sim_clients *clients); /* what was written since, into the history; before anything is asked */
void sim_locks_place(struct sim_clients *clients); /* before the history is checked */
const char *sim_locks_check(const struct sim_clients *clients, const struct kv_model *model, int64_t *out_expected, int64_t *out_got);

#endif
