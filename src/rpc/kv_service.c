/* kv_service: plans of the six KV methods, steps of the reading ones.
 *
 * Order of checks of a write (API §6): shape of the bytes, space (which answers even for an invalid request), the request's own
 * rules, alarms, size. Of a Range (API §5): key, sort; the revision is looked at when the read runs.
 */
#include "rpc/kv_service.h"

#include "base/assert.h"
#include "rpc/maintenance_service.h"
#include "storage/request.h"

/* A row costs about 100 ns, a step of net may take about a millisecond. */
#define STEP_ROWS_MAX 8192
/* The first message of a stream is small, so that its reader has something early. */
#define STREAM_FIRST_ROWS 10

static bool is_malformed(enum err err) { return err == ERR_MALFORMED || err == ERR_BAD_UTF8; }

/* What puts of `cost_bytes` would bring the store over the quota. API §11. */
static bool is_over_quota(const struct service_env *env, uint64_t cost_bytes)
{
    if (env->quota_bytes == 0 || cost_bytes == 0) return false;
    uint64_t bytes = 0, live_bytes = 0;
    mvcc_view_sizes(service_job_view(env), &bytes, &live_bytes);
    ASSERT(live_bytes <= bytes);
    return bytes >= env->quota_bytes || cost_bytes >= env->quota_bytes - bytes;
}

static enum err check_compaction(struct slice request)
{
    int64_t revision = 0;
    bool is_physical = false;
    return request_check_compaction(request, &revision, &is_physical);
}

/* What every member of the cluster obeys: they agreed on a version, and there was none yet without the levels of today. */
static uint32_t level_of_cluster(const struct service_env *env)
{
    const struct cluster *cluster = state_machine_cluster(env->machine);
    ASSERT(cluster->version != NULL);
    return cluster->version[0] == '\0' ? COMMAND_LEVEL_FIRST : COMMAND_LEVEL;
}

/* The alarms are asked last, as they would be at apply. */
void kv_service_plan_write(struct service_env *env, const struct kv_service_write *write, struct service_plan *plan)
{
    ASSERT(plan != NULL);
    enum err err = write->err;
    if (!is_malformed(err) && env->no_space) err = ERR_NO_SPACE;
    if (!is_malformed(err) && !env->no_space && is_over_quota(env, write->cost_bytes)) {
        maintenance_service_plan_no_space(env, plan);
        return;
    }
    uint32_t level = write->lease_count > 0 ? COMMAND_LEVEL_PUT_TTL : COMMAND_LEVEL_FIRST;
    if (err == ERR_OK && level > level_of_cluster(env)) err = ERR_NOT_CAPABLE;
    if (err == ERR_OK) err = alarm_admit_change(state_machine_alarms(env->machine), write->cost_bytes > 0);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    service_plan_propose(plan, env, write->kind, write->request);
    if (write->lease_count == 0 || plan->action != SERVICE_PROPOSE) return;
    ASSERT(env->lease_ttl_min > 0);
    plan->level = level;
    plan->chosen_lease_ids = write->lease_count;
    plan->chosen_ttl = env->lease_ttl_min;
}

static void plan_put(struct service_env *env, struct slice request, struct service_plan *plan)
{
    struct kv_service_write write = {.kind = COMMAND_PUT, .request = request, .err = request_check_put(request)};
    if (!is_malformed(write.err)) write.cost_bytes = request_put_cost(request);
    if (write.err == ERR_OK && request_put_makes_lease(request)) write.lease_count = 1;
    ASSERT(is_malformed(write.err) || write.cost_bytes > 0);
    kv_service_plan_write(env, &write, plan);
}

static void plan_range(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    struct range_request range;
    enum err err = range_parse(request, &range);
    if (err == ERR_OK && env->is_learner && !range.serializable) err = ERR_NOT_SUPPORTED_FOR_LEARNER;
    if (err == ERR_OK) err = range_check(&range);
    if (err == ERR_OK && method == RPC_KV_RANGE_STREAM) err = range_check_stream(&range);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    ASSERT(env->gather_bytes_max > 0);
    struct service_job *job = service_job_new(method);
    job->range = range_new(&range, state_machine_mvcc(env->machine), env->gather_bytes_max);
    range_set_memo(job->range, env->range_memo);
    service_plan_read(plan, job, !range.serializable);
}

static void plan_txn(struct service_env *env, struct slice request, struct service_plan *plan)
{
    struct request_txn_info info = {.is_read_only = false};
    enum err err = request_check_txn(request, &env->limits, env->scratch, &info);
    if (!info.is_read_only) {
        struct kv_service_write write = {.kind = COMMAND_TXN, .request = request, .err = err,
                                         .cost_bytes = info.has_put ? info.cost_bytes : 0, .lease_count = info.lease_count};
        kv_service_plan_write(env, &write, plan);
        return;
    }
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    ASSERT(!info.has_put);
    struct service_job *job = service_job_new(RPC_KV_TXN);
    job->txn = txn_reader_new(request, state_machine_mvcc(env->machine));
    service_plan_read(plan, job, !info.is_serializable);
}

void kv_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    switch (method) {
    case RPC_KV_RANGE:
    case RPC_KV_RANGE_STREAM: plan_range(env, method, request, plan); break;
    case RPC_KV_PUT: plan_put(env, request, plan); break;
    case RPC_KV_DELETE_RANGE:
        kv_service_plan_write(env, &(struct kv_service_write){.kind = COMMAND_DELETE_RANGE, .request = request,
                                                              .err = request_check_delete_range(request)}, plan);
        break;
    case RPC_KV_TXN: plan_txn(env, request, plan); break;
    default:
        ASSERT(method == RPC_KV_COMPACT);
        kv_service_plan_write(env, &(struct kv_service_write){.kind = COMMAND_COMPACTION, .request = request, .err = check_compaction(request)}, plan);
        break;
    }
}

static enum service_progress progress_of(enum range_progress progress)
{
    switch (progress) {
    case RANGE_DONE: return SERVICE_DONE;
    case RANGE_MORE: return SERVICE_MORE;
    case RANGE_FAILED: break;
    }
    return SERVICE_FAILED;
}

/* The header stands first: written by the step that begins the range, with the revision of the same view, and taken back if the range has
 * to begin anew. */
static enum service_progress step_range(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                        enum err *out_err)
{
    const struct mvcc_view *view = service_job_view(env);
    int64_t revision = mvcc_view_revision(view);
    size_t size_before = out->size;
    bool is_first = !range_is_begun(job->range);
    if (is_first) service_put_header(env, revision, out);
    enum service_progress progress = progress_of(range_step(job->range, view, bytes_max, STEP_ROWS_MAX, out, out_err));
    if (!range_is_begun(job->range)) out->size = size_before;
    else ASSERT(progress == SERVICE_FAILED || !is_first || range_header_revision(job->range) == revision);
    return progress;
}

/* One RangeStreamResponse: only the last one carries header, `more` and `count` (API §5). Nothing is written by a step that has no rows
 * (it gathers, or begins anew). */
static enum service_progress step_stream(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                         enum err *out_err)
{
    size_t rows_max = range_is_begun(job->range) ? STEP_ROWS_MAX : STREAM_FIRST_ROWS;
    struct buf body, header;
    buf_init(&body);
    buf_init(&header);
    enum service_progress progress =
        progress_of(range_step(job->range, service_job_view(env), bytes_max, rows_max, &body, out_err));
    if (progress == SERVICE_FAILED) goto out;
    if (progress == SERVICE_MORE && body.size == 0) goto out;
    if (progress == SERVICE_DONE) service_put_header(env, range_header_revision(job->range), &header);
    size_t size = header.size + body.size;
    ASSERT(body.size <= size && out->size == 0);
    buf_reserve(out, size + 16);
    buf_put_varint(out, pb_tag(1, PB_BYTES));
    buf_put_varint(out, size);
    buf_put_slice(out, buf_slice(&header));
    buf_put_slice(out, buf_slice(&body));
out:
    buf_deinit(&header);
    buf_deinit(&body);
    return progress;
}

/* As with a range, the header stands first and is taken back if the transaction has to be decided anew. */
static enum service_progress step_txn(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                      enum err *out_err)
{
    const struct mvcc_view *view = service_job_view(env);
    size_t size_before = out->size;
    if (txn_reader_revision(job->txn) == 0) service_put_header(env, mvcc_view_revision(view), out);
    enum service_progress progress = progress_of(txn_reader_step(job->txn, view, bytes_max, STEP_ROWS_MAX, out, out_err));
    if (progress == SERVICE_MORE && txn_reader_revision(job->txn) == 0) out->size = size_before;
    return progress;
}

enum service_progress kv_service_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                      enum err *out_err)
{
    ASSERT(job != NULL && out != NULL && out_err != NULL);
    /* Asked in each step: whoever learns that its state is wrong shows no more of it. */
    enum err err = alarm_admit_read(state_machine_alarms(env->machine), env->member_id);
    if (err != ERR_OK) {
        *out_err = err;
        return SERVICE_FAILED;
    }
    switch (job->method) {
    case RPC_KV_RANGE: return step_range(job, env, bytes_max, out, out_err);
    case RPC_KV_RANGE_STREAM: return step_stream(job, env, bytes_max, out, out_err);
    default: ASSERT(job->method == RPC_KV_TXN); return step_txn(job, env, bytes_max, out, out_err);
    }
}
