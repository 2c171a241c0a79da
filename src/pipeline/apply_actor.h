/* apply_actor: the role that owns the state machine: executes what is committed, publishes the view once per drain, and only then posts
 * replies and read batches. Compaction and reclamation run in bounded steps between drains.
 *
 * Besides it says what only the state knows is missing: the member's own attributes, the cluster version, auto compaction, what its state
 * hashes to, that there is room again, which leases are over; as commands of the member's own through raft.
 * Owner: the node. Thread: apply (the one writer). Limits: entries per step.
 */
#ifndef PIPELINE_APPLY_ACTOR_H
#define PIPELINE_APPLY_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/apply_compaction.h"
#include "pipeline/apply_leases.h"
#include "pipeline/config.h"
#include "pipeline/shared.h"
#include "storage/compactor.h"
#include "storage/state_machine.h"

struct apply_lanes {
    struct lane *from_raft, *from_snap, *from_main, *to_net, *to_raft, *to_snap, *to_main, *to_watch, *to_watch_answers;
};
/* When the next snapshot is due: counted from the last image, or from the one before it if that became none. */
struct apply_snapshots {
    uint64_t entries;
    uint64_t log_bytes;
    uint64_t taking_entries;    /* what the image that is being written answers */
    uint64_t taking_log_bytes;
    uint64_t last_bytes;        /* of the last snapshot's file; 0 = none yet */
    uint64_t not_before_ns;     /* after one that failed */
    uint64_t pin_ns;            /* when a free pin is looked for again: readers have them all */
    uint64_t want;              /* number of the last WANT, and of the last that an image answers */
    uint64_t want_taken;
    bool is_taking;
    bool is_alone;              /* the one that was installed has none beside it to fall back to */
    bool is_taking_beside;      /* the one being taken is of a state behind that */
};
struct apply_actor {
    struct actor actor; /* first */
    const struct config *config;
    struct shared *shared;
    const struct switchboard *board;
    struct state_machine *machine; /* owned */
    struct apply_lanes lanes;
    uint64_t self;
    uint64_t run_id;
    uint64_t now_ns;
    struct mail *after;         /* posted to net, or watch, when the view is published; in order */
    uint32_t after_count, after_capacity;
    uint64_t applied_bytes;     /* credit of this step */
    uint64_t applied_reported;
    struct apply_snapshots snapshots;
    struct apply_compaction compaction;
    bool is_draining;           /* no physical compaction waits any more */
    struct apply_leases leases;
    struct list renewals;       /* batches that wait for a checkpoint to be void; in order */
    struct compactor compactor;
    uint64_t counter;           /* ids of own commands; top bit set, apart from net's */
    uint64_t leader;
    bool is_leader;
    const struct cluster *cluster; /* as last looked at, for metrics; not to be followed */
    uint64_t entry_ns;          /* when the entry before was applied, for metrics */
    uint64_t disarm_ns;         /* next look whether NOSPACE may go; CLOCK_NEVER = no alarm, or not ours to take back */
    struct alarm_list *alarms;  /* as last seen; a reference */
    uint64_t propose_ns;        /* next look at what is missing */
    uint64_t free_ns;           /* next look for what readers gave back, or step of the compaction */
    bool more_to_free;
};
struct apply_options {
    const struct config *config;
    struct shared *shared;
    const struct switchboard *board;
    struct state_machine *machine; /* taken over */
    uint64_t self;
    uint64_t run_id;
    uint64_t now_ns;
    struct apply_snapshots snapshots; /* as recovery found them */
};
void apply_actor_init(struct apply_actor *role, const struct apply_options *options);
void apply_actor_deinit(struct apply_actor *role);

/* apply_asks.c: what is asked about leases, and what the leader has to say about them */
void apply_asks_take(struct apply_actor *role, struct mail *mail); /* READ_BATCH with questions; takes it over */
void apply_asks_resume(struct apply_actor *role);                  /* behind the entries of a step: renewals that waited for one */
uint64_t apply_asks_deadline_ns(const struct apply_actor *role);
void apply_asks_deinit(struct apply_actor *role);
bool apply_asks_step(struct apply_actor *role);                    /* its share of a step; true: there is more */

/* apply_actor.c, for it */
void apply_actor_after_publish(struct apply_actor *role, const struct mail *mail); /* to whom it is for, once the view is published */
struct blob *apply_actor_command(struct apply_actor *role, enum command_kind kind, struct slice body); /* of the member's own */
void apply_actor_answer(struct apply_actor *role, uint64_t call, struct state_machine_result *result); /* takes its body over */

#endif
