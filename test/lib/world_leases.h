/* world_leases: what the log says of leases, seen from outside: each grant, revoke and expiry when a leader first writes it, and when it commits.
 *
 *   L1  no lease is called over before its TTL has passed since its grant was committed, by the clock of whoever says so
 *   L2  nor before a new leader has led for as long, or for what a checkpoint left of it
 *   L3  whoever says so leads in the term in which it is said
 *   L8  a renewal counts from when its round began, not from when it was confirmed (seen in the timers of who leads)
 *   L6  in the end none is left that should be over (asked by sim_run)
 *
 * What a lease's end does to keys is the history's matter (kv_history). Owner: embedded in the world. Thread: one. */
#ifndef TEST_LIB_WORLD_LEASES_H
#define TEST_LIB_WORLD_LEASES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/raft_entry.h"

struct world;
struct world_member;

#define WORLD_LEASE_PLACES 64 /* of one entry, at most */

enum world_lease_kind { WORLD_LEASE_GRANT, WORLD_LEASE_REVOKE, WORLD_LEASE_EXPIRE, WORLD_LEASE_CHECKPOINT };
struct world_lease_entry {
    enum world_lease_kind kind;
    uint64_t index, term;
    uint32_t place;          /* of several in one entry */
    int64_t id;
    int64_t ttl;             /* GRANT: as granted, in seconds */
    int64_t remaining;       /* CHECKPOINT; GRANT: the least that one ever left it; 0 = none did */
    uint64_t granted_index;  /* EXPIRE, CHECKPOINT */
    uint64_t granted_ns;     /* EXPIRE: when that grant was committed */
    bool is_made;            /* GRANT: by a put with a TTL; of a transaction, perhaps not */
    bool has_ended;          /* EXPIRE, REVOKE: committed, and a lease is over by it */
    uint64_t issued_ns;
    uint64_t committed_ns;   /* 0 = it is not */
    size_t before;           /* another one at the same index, + 1; 0 = none */
    /* GRANT that took effect: */
    size_t earlier;          /* the life before it under this id, + 1; 0 = none */
    enum world_lease_kind end;
    uint64_t ended_ns;       /* when its end was committed; 0 = it is there */
    uint64_t end_issued_ns;
    uint64_t timer_ns, timer_term; /* as it ran when its leader was looked at last, by that one's clock */
};
struct world_leases {
    struct world_lease_entry *entries; /* in the order of their issue */
    size_t count, capacity;
    struct map newest;       /* index → number of the newest entry there, + 1 */
    struct map lives;        /* id → number of its newest grant that took effect, + 1 */
    size_t *alive;           /* grants that are not over, as committed; in no order */
    size_t alive_count, alive_capacity;
};
void world_leases_init(struct world *world);
void world_leases_deinit(struct world *world);
void world_leases_issued(struct world_member *member, const struct raft_entry *entry); /* for the first time anywhere: by a leader */
void world_leases_committed(struct world *world, uint64_t index, uint64_t term);        /* in order */

void world_leases_look(struct world_member *member); /* behind a step of its apply role */

/* --- for whoever has the world --- */
/* Of what is committed at an index, one after the other, the last first: from NULL on; NULL = that is all. */
const struct world_lease_entry *world_lease_at(const struct world *world, uint64_t index, const struct world_lease_entry *last);
const struct world_lease_entry *world_lease_entries(const struct world *world, size_t *out_count);
/* The lives of an id, the newest first; NULL = there is no other. */
const struct world_lease_entry *world_lease_newest(const struct world *world, int64_t id);
const struct world_lease_entry *world_lease_earlier(const struct world *world, const struct world_lease_entry *grant);
/* Who was told of a lease of that id between the two moments that it lives so many seconds from `since_ns` on was told the truth, by whatever
 * clock: of one that was there then. One that ends otherwise than by its time keeps every promise. */
bool world_lease_keeps(const struct world *world, int64_t id, const uint64_t between_ns[2], uint64_t since_ns, int64_t lives_s);
/* Seconds of the fastest clock that a member may have, in the world's time. */
uint64_t world_lease_least_ns(const struct world *world, int64_t seconds);
uint32_t world_leases_left(const struct world *world, int64_t ttl_max); /* with no longer TTL */

#endif
