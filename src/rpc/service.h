/* service: what a client's request means: from encoded request to a plan, from state to encoded response. Pure: the net role drives it,
 * in production and in the simulator; no gRPC here.
 *
 * Owner: jobs are made by service_plan and freed by service_job_free. Thread: net (jobs read under RCU).
 * Source: API §5–12, order of checks as there.
 */
#ifndef RPC_SERVICE_H
#define RPC_SERVICE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/metrics.h"
#include "base/process_stats.h"
#include "rpc/rpc_method.h"
#include "storage/command.h"
#include "storage/lease_request.h"
#include "storage/range_memo.h"
#include "storage/request.h"
#include "storage/state_machine.h"

/* The level of the API that is served: what Status, `--version` and /version say. Clients decide features by it. */
#define SERVICE_API_VERSION "3.6.12"
#define SERVICE_STORAGE_VERSION "3.6.0"

/* What the member knows about itself; kept by the net role, renewed by mail. */
struct service_env {
    struct state_machine *machine;   /* published views only */
    struct request_limits limits;
    size_t max_request_bytes;
    size_t gather_bytes_max;
    struct range_memo *range_memo;   /* borrowed; NULL = none */
    uint64_t quota_bytes;            /* 0 = off */
    int64_t lease_ttl_min;           /* seconds; shorter ones are granted for as long */
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t term;
    uint64_t leader;                 /* 0 = none */
    uint64_t commit_index;
    uint64_t applied_index;
    bool is_learner;
    bool no_space;                   /* the disk takes no more: refuse writes */
    const struct metrics *metrics;   /* borrowed; NULL = Status gives no account */
    void (*process)(struct process_stats *out_stats); /* NULL = what the system says is left out of it */
    struct arena *scratch;           /* reset by the caller */
};

enum service_action {
    SERVICE_REFUSE,  /* plan.err */
    SERVICE_PROPOSE, /* plan.kind, plan.body (borrowed from the request or the scratch arena) */
    SERVICE_SNAPSHOT, /* a stream of the state, which the caller's member feeds: service_encode_piece */
    SERVICE_READ,    /* plan.job; plan.linearizable: only after a read-index round */
    SERVICE_ASK,     /* plan.question, which the state's writer answers after a read-index round */
    SERVICE_WATCHERS, /* plan.body, which the role of the watch streams answers */
    SERVICE_MOVE_LEADER, /* plan.target: hand leadership over, answer when that member leads */
    SERVICE_LOCK,    /* plan.lock, the caller's to free: many steps (lock_call.h) */
};
struct service_job;
struct lock_call;
struct service_plan {
    enum service_action action;
    enum err err;
    enum command_kind kind;
    struct slice body;
    uint32_t level;            /* of a proposal */
    uint32_t chosen_lease_ids; /* likewise: so many the caller has to choose */
    int64_t chosen_ttl;        /* likewise: who asks for less gets as much; 0 = as the body says */
    enum err refusal;  /* a proposal in the call's stead: once it is through, the call is refused with this; ERR_OK = the call's own */
    struct service_job *job;
    bool linearizable;
    struct lease_question question;
    uint64_t target;
    struct lock_call *lock;
};
void service_plan(struct service_env *env, const struct rpc_method *method, struct slice request, struct service_plan *out_plan);

/* One bounded step. Unary: bytes are appended to out over the steps, the whole is the response message (header first). Server stream: each
 * step writes one complete message, or nothing (SERVICE_MORE only). */
enum service_progress { SERVICE_DONE, SERVICE_MORE, SERVICE_FAILED, SERVICE_STAYS /* a stream: one message, then open until the end */ };
enum service_progress service_job_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                       enum err *out_err);
/* The reply may be large (a range of many keys): it counts against the budget of reply bytes while it is made. */
bool service_job_is_large(const struct service_job *job);
size_t service_job_held_bytes(const struct service_job *job); /* made, and not yet handed out by a step */
void service_job_free(struct service_job *job); /* accepts NULL */

/* The answer to a proposal: header (cluster, member, revision, term) + the body that apply encoded. */
void service_encode_reply(const struct service_env *env, int64_t revision, struct slice body, struct buf *out);
/* A message of Maintenance.Snapshot without its bytes, which follow: so many of them. */
void service_encode_piece(const struct service_env *env, uint64_t remaining_bytes, size_t piece_bytes, struct buf *out);
/* The header as field 1 of a response. revision 0 is omitted. */
void service_put_header(const struct service_env *env, int64_t revision, struct buf *out);

#endif
