/* lease: the leases of the replicated state: id, granted TTL, who belongs to which, and, beside the state, the timers of whoever leads.
 *
 * A lease's row {id, TTL, index of its grant, what a checkpoint left of it} stands in a page of many; an image shares the pages and a page
 * is copied before its first change afterwards, so that an image costs a pointer per page. Which keys belong to a lease follows from the
 * keys: it is kept here and stands in no snapshot. Timers are values that the owner gives and takes; they are no part of the state: not in
 * the hash, not in an image.
 * Owner: lease_set_new/_free; an image has its own life. Thread: one at a time per set (apply, or who loads one aside); an image goes to
 * another.
 * Limits: LEASE_MAX leases; keys as the store has them. Source: the API's rules for leases.
 */
#ifndef STORAGE_LEASE_H
#define STORAGE_LEASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/slice.h"

#define LEASE_MAX (UINT32_C(1) << 24)
#define LEASE_TTL_MAX INT64_C(9000000000) /* seconds */

/* What is replicated of one. */
struct lease_row {
    int64_t id;             /* never 0 */
    int64_t ttl;            /* granted, in seconds */
    uint64_t granted_index; /* of the entry that granted it: tells it from an earlier one of the same id */
    int64_t remaining;      /* seconds that a checkpoint left it for a new leader to count from; 0 = none is in force: its TTL */
};
struct lease {
    int64_t id;
    uint32_t slot;          /* of its row */
    uint32_t key_count;
    struct list keys;       /* struct lease_key, in no order */
    struct heap_node timer; /* in the set's heap, key = its deadline; or not armed: */
    struct list queue;      /* not armed: in the set's list of those; armed: in that of checkpoints to come, or in none */
    uint64_t checkpoint_ns; /* in that list: when */
    uint64_t asked_number;  /* of the last checkpoint that was asked for in this term; 0 = none */
    uint64_t void_number;   /* of the last that took it back and was applied; in this term: 0 = none */
    uint32_t expiring;      /* the round in which its expiry was asked for; 0 = none */
};

struct lease_set;
struct lease_set *lease_set_new(void);
void lease_set_free(struct lease_set *set); /* accepts NULL; not bounded */
/* Frees about `budget` leases and keys; true while something is left, then the set itself is gone. */
bool lease_set_free_step(struct lease_set *set, size_t budget);

/* --- the state ----------------------------------------------------------------------------------------------------------- */

/* ERR_LEASE_TTL_TOO_LARGE, ERR_LEASE_EXISTS, ERR_TOO_MANY_REQUESTS (LEASE_MAX); else it is there, not armed. */
MUST_USE enum err lease_set_grant(struct lease_set *set, const struct lease_row *row);
struct lease *lease_set_find(const struct lease_set *set, int64_t id); /* NULL = there is none */
void lease_set_remove(struct lease_set *set, struct lease *lease);      /* its keys belong to none from now on */
void lease_set_checkpoint(struct lease_set *set, struct lease *lease, int64_t remaining); /* 0..TTL; 0 takes an earlier one back */
/* The key belongs to this lease and to no other; 0, or one that is not there: to none. Copies the key. */
void lease_set_attach(struct lease_set *set, struct slice key, int64_t id);
size_t lease_set_count(const struct lease_set *set);
size_t lease_set_key_count(const struct lease_set *set); /* of all */
const struct lease_row *lease_set_row(const struct lease_set *set, const struct lease *lease); /* until the next change */
/* Its keys in ascending order, lease->key_count of them: the array is the caller's, the bytes stay the set's until its next change. */
struct slice *lease_set_keys(const struct lease_set *set, const struct lease *lease);
uint64_t lease_set_hash(const struct lease_set *set); /* additive, O(1); 0 without leases */

/* --- images -------------------------------------------------------------------------------------------------------------- */

struct lease_image; /* all rows as they were; any thread */
struct lease_image *lease_set_freeze(struct lease_set *set);
/* From *cursor = 0; false at the end. */
bool lease_image_next(const struct lease_image *image, uint32_t *cursor, struct lease_row *out_row);
size_t lease_image_count(const struct lease_image *image);
void lease_image_free(struct lease_image *image); /* accepts NULL */

/* --- timers -------------------------------------------------------------------------------------------------------------- */

struct lease *lease_set_first_unarmed(const struct lease_set *set); /* NULL = all are armed */
struct lease *lease_set_first_due(const struct lease_set *set);     /* the armed one with the least deadline; NULL = none is armed */
uint64_t lease_set_deadline_ns(const struct lease_set *set, const struct lease *lease); /* armed */
void lease_set_arm(struct lease_set *set, struct lease *lease, uint64_t deadline_ns); /* or again, with another deadline; awaits no checkpoint */
/* An armed one. The times must not go back from one call to the next. */
void lease_set_await_checkpoint(struct lease_set *set, struct lease *lease, uint64_t at_ns);
void lease_set_await_no_checkpoint(struct lease *lease);
struct lease *lease_set_first_awaiting(const struct lease_set *set); /* NULL = none */
/* Takes up to `budget` out of the heap; true while any is armed. */
bool lease_set_disarm_step(struct lease_set *set, size_t budget);
/* Asked-for expiries are counted per round; a lease that goes counts no more. A new round begins with none. */
void lease_set_note_expiring(struct lease_set *set, struct lease *lease);
uint32_t lease_set_expiring(const struct lease_set *set);
void lease_set_new_round(struct lease_set *set);

#endif
