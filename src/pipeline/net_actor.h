/* net_actor: the role that owns client calls: decodes, checks, routes; serves reads itself from the published view; sends the replies.
 *
 * A write leaves as PROPOSE with its envelope and comes back as REPLY or FAIL; a linearizable read waits in a batch for READ_BATCH and is
 * then read under RCU; everything else is served at once. Large reads are resumable jobs: a chunk per step, fair turns, within a
 * budget of reply bytes. A call of the Lock or Election service is several of these one after the other, and waits in between.
 * Owner: the node. Thread: net, the one that polls. Limits: calls_max, waits_max, request_bytes_max, reply_bytes_max.
 */
#ifndef PIPELINE_NET_ACTOR_H
#define PIPELINE_NET_ACTOR_H
#include "base/arena.h"
#include "base/list.h"
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/shared.h"
#include "rpc/call_port.h"
#include "rpc/service.h"

#define NET_REPLY_BYTES_MAX ((size_t)INT32_MAX) /* of one reply: what the API's clients can take; beyond it, too many requests */
#define NET_LARGE_BYTES (1u << 20)
#define NET_PIECES_MAX 16384     /* chunks of one reply */
#define NET_CHECKS_MAX 2         /* reads without a call in a step */
#define NET_WATCH_ASKS_MAX 32    /* operators' questions under way; the lanes from and to watch hold as many */
#define NET_STAYING_MAX 8        /* streams that stay open: each costs the queue a tag. Beyond it such a method is "not built" */
#define NET_COPY_BYTES_MAX 65536 /* larger replies go by reference and count against the budget */
#define NET_REQUEST_BYTES_MAX (256u << 20)
#define NET_LOCK_BYTES_MAX (64u << 20)
#define NET_UNREAD_NS (30 * UINT64_C(1000000000)) /* a large reply, or a stream's chunk, that has not left: then it is given up; a small one where places are scarce */

struct net_lanes {
    struct lane *from_raft, *from_apply, *from_snap, *from_watch, *from_door, *from_main; /* watch's and door's: NULL without one */
    struct lane *to_raft, *to_snap, *to_watch, *to_door, *to_main;
};
enum net_call_state {
    NET_FREE, NET_PROPOSED, NET_READ_WAITING, NET_ASKED, NET_JOB, NET_JOB_SENDING, NET_STAYING, NET_SNAPSHOT, NET_SNAPSHOT_SENDING,
    NET_LOCK_WATCHING, NET_LOCK_SENDING, NET_ANSWERED
};
struct net_call {
    uint64_t call;
    const struct rpc_method *method;
    struct service_job *job;
    struct list turn;            /* jobs that may run; or replies and chunks not yet read */
    struct blob **pieces;        /* finished chunks of a unary reply */
    uint32_t piece_count;
    uint32_t request_bytes;      /* of the proposal in flight */
    size_t reply_bytes;          /* encoded and not yet gone, what its job holds included */
    size_t held_bytes;           /* in its job */
    uint64_t answered_ns;
    uint64_t started_ns;
    uint64_t job_ns;             /* that its job has run so far */
    enum err refusal;            /* of a proposal in the call's stead; ERR_OK = the call's own */
    enum err err;                /* what it is answered with */
    bool is_last_piece;          /* a snapshot's, on its way */
    bool stays;                  /* a stream that is open until its client or we end it */
    bool require_leader;
    struct lock_call *lock;      /* of the Lock and Election services: what comes next */
    size_t lock_bytes;           /* that it counts for in role->lock_bytes */
    enum net_call_state state;
};
struct net_actor {
    struct actor actor; /* first */
    const struct config *config;
    struct shared *shared;
    struct call_port *port;      /* borrowed */
    struct net_lanes lanes;
    struct service_env env;
    struct arena scratch;
    struct buf out;
    uint64_t self, run_id;
    uint64_t now_ns;
    uint64_t counter;            /* request ids of this boot */
    struct net_call *calls;      /* slot_count */
    uint32_t slot_count;         /* the port's */
    uint32_t call_count;         /* entered and not answered */
    uint64_t *reads;             /* linearizable reads of this step */
    uint32_t read_count;
    uint64_t *asks;              /* questions about leases of this step */
    struct lease_question *questions;
    uint32_t ask_count;
    struct list jobs;
    struct list unread;          /* replies and chunks, by answered_ns */
    uint32_t answered_count;     /* calls whose answer has not left */
    size_t request_bytes;
    size_t reply_bytes;
    uint32_t staying_count;
    uint32_t snapshot_count;     /* streams of snapshots */
    uint32_t watch_ask_count;    /* mails to watch that were not answered */
    uint32_t waits_max;
    uint32_t wait_count;         /* calls of methods that wait */
    size_t lock_bytes;           /* names and keys that lock calls hold */
    uint64_t overdraft;          /* the one call that goes on beyond the budget; 0 = none */
    bool is_caught_up;           /* reads of the state need not wait for the first confirmed one */
    bool is_draining;
    bool is_alone;               /* raft has stopped: what goes its way is refused */
    bool has_reported_drained;
};
struct net_options {
    const struct config *config;
    struct shared *shared;
    struct call_port *port;
    struct state_machine *machine;
    uint64_t cluster_id;
    uint64_t self;
    uint64_t run_id;
    void (*process)(struct process_stats *out_stats); /* for Status; NULL = it says nothing of the process */
};
void net_actor_init(struct net_actor *role, const struct net_options *options);
void net_actor_deinit(struct net_actor *role);

/* net_jobs.c */
void net_jobs_start(struct net_actor *role, struct net_call *call);
void net_jobs_run(struct net_actor *role);                       /* this step's share */
void net_jobs_sent(struct net_actor *role, struct net_call *call, bool ok);
void net_jobs_end_staying(struct net_actor *role);               /* the member stops */
/* Sends role->out and then the body, by reference (it is taken over); counts it until it is gone. */
void net_jobs_reply(struct net_actor *role, struct net_call *call, struct blob *body);
void net_jobs_drop(struct net_actor *role, struct net_call *call);  /* whatever the call holds */
void net_jobs_drop_job(struct net_actor *role, struct net_call *call); /* its job, its bytes, its place in a list */
bool net_jobs_any(const struct net_actor *role);                 /* one could run right now */

/* net_snapshot.c: a client's snapshot, fed by the snap role piece by piece */
void net_snapshot_open(struct net_actor *role, struct net_call *call);
void net_snapshot_piece(struct net_actor *role, struct mail *mail, struct net_call *call_or_null);
void net_snapshot_sent(struct net_actor *role, struct net_call *call, bool ok);
void net_snapshot_gone(struct net_actor *role, struct net_call *call); /* the snap role forgets it */
void net_snapshot_end_all(struct net_actor *role);                     /* the member stops */

/* net_check.c: reads without a call, for the HTTP front: its answers are those that a Range would get */
void net_check_take(struct net_actor *role, const struct mail *mail);
bool net_check_is_name(uint64_t name); /* stands for a call's in a batch of reads */
void net_check_done(struct net_actor *role, uint64_t name, enum err err);

/* net_lock.c: the steps of a call of the Lock or Election service */
void net_lock_begin(struct net_actor *role, struct net_call *call, struct lock_call *lock); /* takes it over */
void net_lock_replied(struct net_actor *role, struct net_call *call, int64_t revision, struct slice body);
void net_lock_was_read(struct net_actor *role, struct net_call *call); /* its job is done; the last bytes are in role->out */
void net_lock_news(struct net_actor *role, struct mail *mail, struct net_call *call_or_null);
void net_lock_sent(struct net_actor *role, struct net_call *call, bool ok);
void net_lock_failed(struct net_actor *role, struct net_call *call, enum err err);
void net_lock_gone(struct net_actor *role, struct net_call *call);
void net_lock_end_all(struct net_actor *role); /* what they wait for of raft does not come any more */
void net_lock_drop(struct net_actor *role, struct net_call *call);

/* net_actor.c, for the files above */
void net_actor_fail(struct net_actor *role, struct net_call *call, enum err err);
void net_actor_answered(struct net_actor *role, struct net_call *call);
/* A proposal, or a read: it is under way, or what refuses it. */
MUST_USE enum err net_actor_start(struct net_actor *role, struct net_call *call, const struct service_plan *plan);
/* The answer to what was under way: the call's, or its next step's. */
void net_actor_refuse(struct net_actor *role, struct net_call *call, enum err err);

#endif
