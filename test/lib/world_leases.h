/* world_leases: what the log says of leases, seen from outside: each grant, revoke and expiry when a leader first writes it, and when it commits.
 *
 *   L1  no lease is called over before its TTL has passed since its grant was committed, by the clock of whoever says so
 *   L2  nor before a new leader has led for as long, or for what a checkpoint left of it
 *   L3  whoever says so leads in the term in which it is said
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
    int64_t remaining;       /* CHECKPOINT; GRANT: of the one in force; 0 = none is */
    uint64_t granted_index;  /* EXPIRE, CHECKPOINT */
    uint64_t granted_ns;     /* EXPIRE: when that grant was committed */
    bool has_ended;          /* EXPIRE, REVOKE: committed, and a lease is over by it */
    uint64_t issued_ns;
    uint64_t committed_ns;   /* 0 = it is not */
    size_t before;           /* another one at the same index, + 1; 0 = none */
};
struct world_leases {
    struct world_lease_entry *entries; /* in the order of their issue */
    size_t count, capacity;
    struct map newest;       /* index → number of the newest entry there, + 1 */
    size_t *alive;           /* grants that are not over, as committed; in no order */
    size_t alive_count, alive_capacity;
};
void world_leases_init(struct world *world);
void world_leases_deinit(struct world *world);
void world_leases_issued(struct world_member *member, const struct raft_entry *entry); /* for the first time anywhere: by a leader */
void world_leases_committed(struct world *world, uint64_t index, uint64_t term);        /* in order */

/* --- for whoever has the world --- */
const struct world_lease_entry *world_lease_entries(const struct world *world, size_t *out_count);
uint32_t world_leases_left(const struct world *world, int64_t ttl_max); /* with no longer TTL */

#endif
