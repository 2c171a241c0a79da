/* service: the way from a method to its service, and what all services share: headers, outcomes of a plan, jobs. */
#include "rpc/service.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/cluster_service.h"
#include "rpc/extra_service.h"
#include "rpc/health_service.h"
#include "rpc/kv_service.h"
#include "rpc/lease_service.h"
#include "rpc/lock_call.h"
#include "rpc/maintenance_service.h"
#include "rpc/service_clean.h"
#include "rpc/service_job.h"

/* A learner answers what it can know by itself; whether a read is serializable, its service sees. Health says that the process
 * serves, which is so. API §16. */
static bool learner_may_serve(enum rpc_method_id method)
{
    return method == RPC_KV_RANGE || method == RPC_MAINTENANCE_STATUS || method == RPC_MAINTENANCE_SNAPSHOT || method == RPC_HEALTH_CHECK ||
           method == RPC_HEALTH_WATCH || method == RPC_EXTRA_FEATURES || method == RPC_EXTRA_HISTORY || method == RPC_EXTRA_WATCHERS ||
           method == RPC_EXTRA_CANCEL_WATCHER;
}

/* As an etcd without authentication: a client with a user then goes on without a token. */
static void plan_authenticate(struct slice request, struct service_plan *plan)
{
    static const uint32_t STRINGS[] = {1, 2, 0};
    enum err err = request_scan(request, STRINGS);
    service_plan_refuse(plan, err == ERR_OK ? ERR_AUTH_NOT_ENABLED : err);
}

void service_plan(struct service_env *env, const struct rpc_method *method, struct slice request, struct service_plan *out_plan)
{
    ASSERT(env != NULL && env->machine != NULL && env->scratch != NULL);
    ASSERT(method != NULL && out_plan != NULL);
    *out_plan = (struct service_plan){.action = SERVICE_REFUSE, .err = ERR_UNIMPLEMENTED};
    if (method->id == RPC_OTHER) return;
    if (env->is_learner && !learner_may_serve(method->id)) {
        service_plan_refuse(out_plan, ERR_NOT_SUPPORTED_FOR_LEARNER);
        return;
    }
    switch (method->id) {
    case RPC_KV_RANGE:
    case RPC_KV_RANGE_STREAM:
    case RPC_KV_PUT:
    case RPC_KV_DELETE_RANGE:
    case RPC_KV_TXN:
    case RPC_KV_COMPACT: kv_service_plan(env, method->id, request, out_plan); break;
    case RPC_LEASE_GRANT:
    case RPC_LEASE_REVOKE:
    case RPC_LEASE_TIME_TO_LIVE:
    case RPC_LEASE_LEASES: lease_service_plan(env, method->id, request, out_plan); break;
    case RPC_MAINTENANCE_ALARM:
    case RPC_MAINTENANCE_STATUS:
    case RPC_MAINTENANCE_DEFRAGMENT:
    case RPC_MAINTENANCE_HASH:
    case RPC_MAINTENANCE_HASH_KV:
    case RPC_MAINTENANCE_MOVE_LEADER:
    case RPC_MAINTENANCE_DOWNGRADE: maintenance_service_plan(env, method->id, request, out_plan); break;
    case RPC_MAINTENANCE_SNAPSHOT: *out_plan = (struct service_plan){.action = SERVICE_SNAPSHOT}; break; /* the request has no fields */
    case RPC_CLUSTER_MEMBER_LIST: cluster_service_plan(env, request, out_plan); break;
    case RPC_AUTH_AUTHENTICATE: plan_authenticate(request, out_plan); break;
    case RPC_HEALTH_CHECK:
    case RPC_HEALTH_WATCH: health_service_plan(method->id, request, out_plan); break;
    case RPC_EXTRA_FEATURES:
    case RPC_EXTRA_HISTORY:
    case RPC_EXTRA_WATCHERS:
    case RPC_EXTRA_CANCEL_WATCHER: extra_service_plan(env, method->id, request, out_plan); break;
    case RPC_LOCK_LOCK:
    case RPC_LOCK_UNLOCK:
    case RPC_ELECTION_CAMPAIGN:
    case RPC_ELECTION_PROCLAIM:
    case RPC_ELECTION_LEADER:
    case RPC_ELECTION_OBSERVE:
    case RPC_ELECTION_RESIGN: lock_call_plan(env, method->id, request, out_plan); break;
    case RPC_OTHER: break;
    }
    ASSERT((out_plan->action == SERVICE_LOCK) == (out_plan->lock != NULL));
    ASSERT((out_plan->action == SERVICE_READ) == (out_plan->job != NULL));
    ASSERT(out_plan->refusal == ERR_OK || out_plan->action == SERVICE_PROPOSE);
    ASSERT((out_plan->action == SERVICE_REFUSE) == (out_plan->err != ERR_OK));
}

enum service_progress service_job_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                       enum err *out_err)
{
    ASSERT(job != NULL && env != NULL && env->machine != NULL);
    ASSERT(out != NULL && out_err != NULL && bytes_max > 0);
    enum service_progress progress = SERVICE_FAILED;
    switch (job->method) {
    case RPC_KV_RANGE:
    case RPC_KV_RANGE_STREAM:
    case RPC_KV_TXN: progress = kv_service_step(job, env, bytes_max, out, out_err); break;
    case RPC_MAINTENANCE_ALARM:
    case RPC_MAINTENANCE_STATUS:
    case RPC_MAINTENANCE_DEFRAGMENT:
    case RPC_MAINTENANCE_HASH:
    case RPC_MAINTENANCE_HASH_KV: progress = maintenance_service_step(job, env, out, out_err); break;
    case RPC_CLUSTER_MEMBER_LIST: progress = cluster_service_step(job, env, out); break;
    case RPC_EXTRA_FEATURES:
    case RPC_EXTRA_HISTORY: progress = extra_service_step(job, env, bytes_max, out, out_err); break;
    default:
        ASSERT(job->method == RPC_HEALTH_CHECK || job->method == RPC_HEALTH_WATCH);
        progress = health_service_step(job, out);
        break;
    }
    job->is_started = true;
    return progress;
}

struct service_job *service_job_new(enum rpc_method_id method)
{
    ASSERT(method < RPC_OTHER);
    struct service_job *job = ALLOC(struct service_job);
    job->method = method;
    return job;
}

bool service_job_is_large(const struct service_job *job)
{
    ASSERT((job->range != NULL) == (job->method == RPC_KV_RANGE || job->method == RPC_KV_RANGE_STREAM));
    return job->method == RPC_KV_TXN || job->method == RPC_EXTRA_HISTORY || (job->method == RPC_KV_RANGE && !range_is_single(job->range));
}

size_t service_job_held_bytes(const struct service_job *job) { return job->txn == NULL ? 0 : txn_reader_held_bytes(job->txn); }

void service_job_free(struct service_job *job)
{
    if (job == NULL) return;
    range_free(job->range);
    txn_reader_free(job->txn);
    history_free(job->history);
    alloc_free(job);
}

const struct mvcc_view *service_job_view(const struct service_env *env)
{
    ASSERT(env->machine != NULL);
    return mvcc_view(state_machine_mvcc(env->machine));
}

void service_plan_refuse(struct service_plan *plan, enum err err)
{
    ASSERT(err != ERR_OK && err_text(err) != NULL);
    *plan = (struct service_plan){.action = SERVICE_REFUSE, .err = err};
}

void service_plan_read(struct service_plan *plan, struct service_job *job, bool is_linearizable)
{
    ASSERT(job != NULL);
    *plan = (struct service_plan){.action = SERVICE_READ, .err = ERR_OK, .job = job, .linearizable = is_linearizable};
}

void service_plan_propose(struct service_plan *plan, struct service_env *env, enum command_kind kind, struct slice body)
{
    ASSERT(env->max_request_bytes > 0);
    if (body.size > env->max_request_bytes) {
        service_plan_refuse(plan, ERR_REQUEST_TOO_LARGE);
        return;
    }
    struct slice clean = slice_empty();
    enum err err = service_clean_body(kind, body, env->scratch, &clean);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    ASSERT(clean.size <= body.size);
    *plan = (struct service_plan){.action = SERVICE_PROPOSE, .err = ERR_OK, .kind = kind, .level = COMMAND_LEVEL_FIRST, .body = clean};
}

/* Lengths of a header stay below 128, so that the length is one byte: four fields of at most 11 bytes each. */
void service_put_header(const struct service_env *env, int64_t revision, struct buf *out)
{
    const uint64_t values[4] = {env->cluster_id, env->member_id, (uint64_t)revision, env->term};
    ASSERT(revision >= 0);
    size_t length = 0;
    for (uint32_t i = 0; i < 4; i++)
        if (values[i] != 0) length += 1 + pb_varint_size(values[i]);
    ASSERT(length < 128);
    buf_put_u8(out, (uint8_t)pb_tag(1, PB_BYTES));
    buf_put_u8(out, (uint8_t)length);
    for (uint32_t i = 0; i < 4; i++)
        if (values[i] != 0) buf_put_pb_varint(out, i + 1, values[i]);
}

/* SnapshotResponse: header, remaining_bytes, version, and the tag of the blob, which may come last. */
void service_encode_piece(const struct service_env *env, uint64_t remaining_bytes, size_t piece_bytes, struct buf *out)
{
    ASSERT(piece_bytes > 0 && out != NULL);
    service_put_header(env, mvcc_view_revision(service_job_view(env)), out);
    if (remaining_bytes > 0) buf_put_pb_varint(out, 2, remaining_bytes);
    buf_put_pb_bytes(out, 4, slice_from_string(SERVICE_STORAGE_VERSION));
    buf_put_varint(out, pb_tag(3, PB_BYTES));
    buf_put_varint(out, piece_bytes);
}

void service_encode_reply(const struct service_env *env, int64_t revision, struct slice body, struct buf *out)
{
    ASSERT(revision > 0 && out != NULL);
    buf_reserve(out, body.size + 48);
    service_put_header(env, revision, out);
    buf_put_slice(out, body);
}
