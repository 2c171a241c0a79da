/* raft_actor: the role around consensus: drains its lanes into raft_step, takes the output once, and owns the calls that wait
 * (raft_calls.c) and the reads that wait (raft_reads.c).
 *
 * A write is answered by the member's own apply; this role only answers what did not get through. A forward is sent at most once, stamped
 * with the leader's term. Read requests are idempotent and repeated with a fresh context.
 * Owner: the node. Thread: raft. Limits: calls_max calls, as many reads; lanes as in node.c.
 */
#ifndef PIPELINE_RAFT_ACTOR_H
#define PIPELINE_RAFT_ACTOR_H
#include "base/heap.h"
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/pending.h"
#include "pipeline/shared.h"
#include "raft/raft.h"

#define RAFT_ACTOR_MAILS_MAX 2048 /* per lane and step */

struct raft_actor_lanes {
    struct lane *from_net, *from_watch, *from_peer, *from_peer_calls, *from_wal, *from_apply, *from_snap, *from_main;
    struct lane *to_net, *to_watch, *to_peer, *to_peer_calls, *to_wal, *to_apply, *to_snap, *to_snap_offers, *to_main;
};

/* One forward to the leader: the calls in it, until each is answered. */
struct raft_forward {
    uint64_t id;
    uint64_t to;
    struct list calls;
};

/* What waits for the read index: a batch of our own, a follower's request, or the probe for readiness (neither). */
enum raft_read_state { RAFT_READ_WAITING, RAFT_READ_ASKED, RAFT_READ_CONFIRMED };
struct raft_read_wait {
    struct list fifo;          /* own batches by deadline; others by arrival */
    struct list turn;          /* ASKED: of what was asked with it; CONFIRMED: own ones, by index */
    enum raft_read_state state;
    struct raft_read_asking *asking; /* NULL unless ASKED */
    struct read_batch *batch;  /* NULL: probe, or remote without questions */
    uint64_t remote_peer;
    uint64_t remote_context;
    uint64_t index;
    uint64_t started_ns;       /* of the round that confirmed it, where this member leads */
    uint64_t deadline_ns;
};

/* A context of the read index, fresh for each asking, and all that was asked for under it; freed when the last of it has left. */
struct raft_read_asking {
    uint64_t context;
    uint64_t asked_ns;
    struct list waits; /* never empty */
};

struct raft_actor {
    struct actor actor; /* first */
    const struct config *config;
    struct shared *shared;
    struct raft *raft;
    struct raft_actor_lanes lanes;
    uint64_t self;
    uint64_t run_id;            /* of this run's request ids */
    uint64_t now_ns;

    struct pending pending;
    struct map forwards;        /* id → struct raft_forward */
    uint64_t next_id;           /* forwards and read contexts; the boot in its upper bits */

    struct map reads;           /* context → struct raft_read_asking */
    struct raft_read_asking *gathered[RAFT_READ_ROUNDS_MAX]; /* a follower: those under way for all that had no questions; NULL = may ask */
    struct list read_fifo;
    struct list read_confirmed; /* ascending by index */
    uint32_t read_count;

    struct raft_entry *proposals; /* of this step */
    struct pending_call **proposal_calls;
    uint32_t proposal_count;

    struct mail *backlog;       /* for raft → apply, in order, when the lane is full */
    uint32_t backlog_first, backlog_count, backlog_capacity;
    uint64_t posted_index;      /* last entry posted to apply */
    uint64_t applied_index;     /* what apply said that it has published; 0 = nothing in this run */
    bool wants_applied;         /* as apply was told */
    bool gathers_reads;         /* as net was told */
    struct mail installing;     /* INSTALL: what raft was given in this step, until its output says so; kind NONE = nothing */
    bool transferring;
    uint64_t move_call;         /* of a client that moves the leader; one at a time, 0 = none */
    uint64_t move_target;
    uint64_t move_deadline_ns;
    bool flush_held;            /* something changed: try held calls and reads again */
    uint64_t retry_ns;          /* when unsent calls are tried again; CLOCK_NEVER = none */
};

struct raft_actor_options {
    const struct config *config;
    struct shared *shared;
    struct raft *raft;          /* taken over */
    uint64_t self;
    uint64_t run_id;            /* in the ids of its calls */
    uint64_t boot_id;           /* how often the directory was started */
    uint64_t applied_index;     /* what apply holds at start */
};
void raft_actor_init(struct raft_actor *role, const struct raft_actor_options *options);
void raft_actor_deinit(struct raft_actor *role); /* every waiting call gets no more answers: stop has failed them */
/* At stop: every call and read that still waits is answered with `err` (posted to net). */
void raft_actor_fail_all(struct raft_actor *role, enum err err);

/* raft_calls.c */
void raft_calls_say_of_leases(struct raft_actor *role, struct blob *command, uint64_t term); /* takes the command over */
void raft_calls_propose(struct raft_actor *role, uint64_t call, struct blob *command); /* takes the reference */
void raft_calls_flush(struct raft_actor *role);                     /* held calls: into the log, or on their way to the leader */
void raft_calls_expire(struct raft_actor *role);
void raft_calls_committed(struct raft_actor *role, struct commit_batch *batch); /* fills in the calls */
void raft_calls_covered(struct raft_actor *role, uint64_t index);   /* a snapshot stands for the log up to there: who knows what it holds */
void raft_calls_take_forward(struct raft_actor *role, const struct raft_msg *msg); /* leader's side */
void raft_calls_refused(struct raft_actor *role, uint64_t forward, bool is_full);
void raft_calls_fail(struct raft_actor *role, uint64_t call, enum err err);
uint64_t raft_calls_deadline_ns(const struct raft_actor *role);

/* raft_reads.c */
void raft_reads_add(struct raft_actor *role, struct read_batch *batch);
void raft_reads_add_remote(struct raft_actor *role, const struct raft_msg *msg);
void raft_reads_answered(struct raft_actor *role, const struct raft_msg *msg);      /* the leader told what only it knows */
void raft_reads_answer(struct raft_actor *role, const struct mail *mail);           /* ANSWERED by our apply: back to who asked */
void raft_reads_probe(struct raft_actor *role);                     /* readiness */
void raft_reads_flush(struct raft_actor *role);                     /* asks for all that wait, if there is anybody to ask */
void raft_reads_confirmed(struct raft_actor *role, uint64_t context, const struct raft_read *read); /* its own context is of no account */
void raft_reads_lost(struct raft_actor *role, uint64_t context);
void raft_reads_reset(struct raft_actor *role);                     /* the leader changed: what was asked is asked again */
void raft_reads_release(struct raft_actor *role);                   /* the head of the FIFO, up to posted_index */
void raft_reads_expire(struct raft_actor *role);
void raft_reads_fail_batch(struct raft_actor *role, struct read_batch *batch, enum err err); /* takes it over */
void raft_reads_fail_all(struct raft_actor *role, enum err err);
bool raft_reads_gather(const struct raft_actor *role);              /* what comes now waits for the end of a question that is under way */
uint64_t raft_reads_deadline_ns(const struct raft_actor *role);

/* raft_actor.c, for the two above */
void raft_actor_send_call(struct raft_actor *role, const struct raft_msg *msg); /* FORWARD … READ_ANSWER; lost = UNSENT locally */
void raft_actor_post_apply(struct raft_actor *role, const struct mail *mail);   /* in position */

#endif
