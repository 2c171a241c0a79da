/* extra_service: see the header. */
#include "rpc/extra_service.h"

#include "base/assert.h"
#include "rpc/rpc_features.h"
#include "storage/history.h"
#include "storage/request.h"

#define STEP_LOOKS_MAX 8192 /* a look costs about 100 ns, a step of net may take about a millisecond */

static const uint32_t NO_STRINGS[] = {0};

static void plan_features(struct slice request, struct service_plan *plan)
{
    enum err err = request_scan(request, NO_STRINGS);
    ASSERT(plan != NULL);
    if (err != ERR_OK) service_plan_refuse(plan, err);
    else service_plan_read(plan, service_job_new(RPC_EXTRA_FEATURES), false);
}

static void plan_history(struct service_env *env, struct slice bytes, struct service_plan *plan)
{
    struct history_request request;
    enum err err = history_parse(bytes, &request);
    if (err == ERR_OK && env->is_learner && !request.serializable) err = ERR_NOT_SUPPORTED_FOR_LEARNER;
    if (err == ERR_OK) err = history_check(&request);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    struct service_job *job = service_job_new(RPC_EXTRA_HISTORY);
    job->history = history_new(&request, state_machine_mvcc(env->machine));
    ASSERT(!history_is_begun(job->history));
    service_plan_read(plan, job, !request.serializable);
}

void extra_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    switch (method) {
    case RPC_EXTRA_FEATURES: plan_features(request, plan); break;
    case RPC_EXTRA_HISTORY: plan_history(env, request, plan); break;
    default:
        ASSERT(method == RPC_EXTRA_WATCHERS || method == RPC_EXTRA_CANCEL_WATCHER);
        *plan = (struct service_plan){.action = SERVICE_WATCHERS, .err = ERR_OK, .body = request};
        break;
    }
}

static enum service_progress step_features(const struct service_job *job, const struct service_env *env, struct buf *out)
{
    const struct rpc_features features = {.bits = (UINT32_C(1) << RPC_FEATURE_COUNT) - 1};
    ASSERT(!job->is_started);
    service_put_header(env, mvcc_view_revision(service_job_view(env)), out);
    rpc_features_put(&features, out);
    return SERVICE_DONE;
}

/* As with a range, the header stands first and is taken back if the history has to begin anew; and whoever learns that its state is wrong
 * shows no more of it. */
static enum service_progress step_history(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                          enum err *out_err)
{
    const struct mvcc_view *view = service_job_view(env);
    size_t size_before = out->size;
    *out_err = alarm_admit_read(state_machine_alarms(env->machine), env->member_id);
    if (*out_err != ERR_OK) return SERVICE_FAILED;
    if (!history_is_begun(job->history)) service_put_header(env, mvcc_view_revision(view), out);
    enum history_progress progress = history_step(job->history, view, bytes_max, STEP_LOOKS_MAX, out, out_err);
    if (progress == HISTORY_FAILED) return SERVICE_FAILED;
    if (!history_is_begun(job->history)) out->size = size_before;
    return progress == HISTORY_DONE ? SERVICE_DONE : SERVICE_MORE;
}

enum service_progress extra_service_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                         enum err *out_err)
{
    ASSERT(job->method == RPC_EXTRA_FEATURES || job->method == RPC_EXTRA_HISTORY);
    return job->method == RPC_EXTRA_FEATURES ? step_features(job, env, out) : step_history(job, env, bytes_max, out, out_err);
}
