/* apply_leases: what the apply role does with leases beyond the state: the leader's timers, and answers to questions about them.
 *
 * Timers run on the leader only, on its monotonic clock. They start when its own first entry is met: each lease then lives for its TTL and an
 * election timeout more, because the leader before may have promised as much a moment ago; one that is granted later lives for its TTL. A
 * lease that is over is said so by an EXPIRE with the term, as often as it takes; it goes when the log says so.
 * A long lease that nobody renews has what is left of it written to the log from time to time: a checkpoint, from which a new leader counts. A
 * renewal first has it taken back: only when that stands in the log may the lease be said to live longer. Since checkpoints and what takes
 * them back are numbered in the order in which they are asked for, which is that of the log, the leader knows which of two came later.
 * All of it is done in slices: arming and disarming a million, asking for a hundred thousand expiries, checkpoints, listing.
 * Owner: embedded in the apply role. Thread: apply. Limits: EXPIRIES_MAX under way; answers as the log has calls.
 */
#ifndef PIPELINE_APPLY_LEASES_H
#define PIPELINE_APPLY_LEASES_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/metrics.h"
#include "pipeline/mail.h"
#include "storage/lease_request.h"
#include "storage/state_machine.h"

#define APPLY_LEASES_EXPIRIES_MAX 64 /* asked for and not seen in the log yet */

struct apply_leases {
    uint64_t term;              /* in which this member leads; 0 = it does not */
    uint64_t first_index;       /* its own first entry in that term; 0 = not met yet */
    bool is_disarming;          /* timers of an earlier term are still there */
    bool is_held;               /* as many expiries as may be are under way, since: */
    uint64_t held_until_ns;
    uint64_t election_timeout_ns;
    uint64_t checkpoint_ns;     /* the interval; leases that live no longer get none */
    uint64_t number;            /* of the last checkpoint or its voiding that was asked for */
    uint64_t pause_until_ns;    /* after the last checkpoints that were asked for */
    struct list listings;       /* questions for all leases, being answered */
};
void apply_leases_init(struct apply_leases *leases, uint64_t election_timeout_ns, uint64_t checkpoint_ns);
void apply_leases_deinit(struct apply_leases *leases);
void apply_leases_lead(struct apply_leases *leases, uint64_t term); /* 0 = somebody else does, or nobody */
void apply_leases_met(struct apply_leases *leases, const struct raft_entry *entry); /* every entry that was applied */
/* The TTLs of the leases that the entry has made: a grant's, or those of puts. It was applied just now. */
void apply_leases_note_ttls(const struct lease_set *set, const struct raft_entry *entry, struct metrics *metrics);
/* Arms and disarms a slice; before the entries of a step are taken, so that no timer starts before its grant was asked for. */
void apply_leases_arm_step(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns);
bool apply_leases_is_arming(const struct apply_leases *leases, const struct lease_set *set); /* a step has more of it to do */
/* The next lease that is over, to be asked for; false: none now. */
bool apply_leases_next_expiry(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns, struct lease_request_expiry *out_expiry);
uint64_t apply_leases_deadline_ns(const struct apply_leases *leases, const struct lease_set *set);

/* Up to `max` checkpoints that are due; how many. */
uint32_t apply_leases_checkpoints(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns, uint32_t max,
                                  struct lease_request_checkpoint *out_checkpoints);

/* Lets it live for its TTL from started_ns on, at least: when a round began that has shown since that nobody else led then. This member leads
 * and has met its first entry. *out_ttl is 0 if there is none, or its time is over, whether it is gone yet or not. False: it has a checkpoint,
 * or may have one soon, which must be void first. */
bool apply_leases_renew(const struct apply_leases *leases, struct lease_set *set, int64_t id, uint64_t started_ns, uint64_t now_ns, int64_t *out_ttl);
/* What voids it, to be asked for; false: it has none. */
bool apply_leases_void(struct apply_leases *leases, struct lease_set *set, int64_t id, uint64_t now_ns, struct lease_request_checkpoint *out_void);

/* ERR_OK and the fields of a TimeToLiveResponse behind its header; ERR_LEADER_CHANGED: only who leads knows. */
enum err apply_leases_time_to_live(const struct apply_leases *leases, const struct lease_set *set, const struct lease_question *question,
                                   uint64_t now_ns, struct buf *out_body);
void apply_leases_list(struct apply_leases *leases, struct lease_set *set, uint64_t call, int64_t revision);
/* A slice of the first listing; true when it is whole: *out_reply. */
bool apply_leases_list_step(struct apply_leases *leases, struct mail *out_reply);
static inline bool apply_leases_is_listing(const struct apply_leases *leases) { return !list_is_empty(&leases->listings); }

#endif
