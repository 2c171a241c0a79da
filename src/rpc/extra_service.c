/* extra_service: see the header. */
#include "rpc/extra_service.h"

#include "base/assert.h"
#include "rpc/rpc_features.h"
#include "storage/request.h"

static const uint32_t NO_STRINGS[] = {0};

void extra_service_plan(enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    enum err err = request_scan(request, NO_STRINGS);
    ASSERT(method == RPC_EXTRA_FEATURES);
    if (err != ERR_OK) service_plan_refuse(plan, err);
    else service_plan_read(plan, service_job_new(method), false);
}

enum service_progress extra_service_step(struct service_job *job, const struct service_env *env, struct buf *out)
{
    const struct rpc_features features = {.bits = UINT32_C(1) << RPC_FEATURE_KVD | UINT32_C(1) << RPC_FEATURE_PUT_TTL};
    ASSERT(job->method == RPC_EXTRA_FEATURES && !job->is_started);
    service_put_header(env, mvcc_view_revision(service_job_view(env)), out);
    rpc_features_put(&features, out);
    return SERVICE_DONE;
}
