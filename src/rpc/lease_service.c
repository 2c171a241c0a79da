/* lease_service: see lease_service.h. */
#include "rpc/lease_service.h"

#include "base/assert.h"
#include "rpc/kv_service.h"
#include "storage/lease.h"

static const uint32_t NO_STRINGS[] = {0};

/* The alarms are asked before the TTL is looked at, as the log's order of checks would have it. */
static void plan_grant(struct service_env *env, struct slice request, struct service_plan *plan)
{
    struct lease_request_grant grant = {.id = 0};
    struct kv_service_write write = {.kind = COMMAND_LEASE_GRANT, .request = request, .err = lease_request_parse_grant(request, &grant)};
    ASSERT(env->lease_ttl_min > 0);
    if (write.err == ERR_OK) {
        write.cost_bytes = REQUEST_LEASE_COST;
        write.err = alarm_admit_change(state_machine_alarms(env->machine), true);
        if (write.err == ERR_OK && grant.ttl > LEASE_TTL_MAX) write.err = ERR_LEASE_TTL_TOO_LARGE;
    }
    kv_service_plan_write(env, &write, plan);
    if (plan->action != SERVICE_PROPOSE || plan->kind != COMMAND_LEASE_GRANT) return;
    plan->chosen_lease_ids = grant.id == 0;
    if (grant.ttl < env->lease_ttl_min) plan->chosen_ttl = env->lease_ttl_min;
}

static void plan_revoke(struct service_env *env, struct slice request, struct service_plan *plan)
{
    int64_t id = 0;
    struct kv_service_write write = {.kind = COMMAND_LEASE_REVOKE, .request = request, .err = lease_request_parse_revoke(request, &id)};
    ASSERT(write.cost_bytes == 0);
    kv_service_plan_write(env, &write, plan);
}

void lease_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    struct lease_question question = {.is_list = method == RPC_LEASE_LEASES};
    enum err err = request_scan(request, NO_STRINGS);
    if (err == ERR_OK && method == RPC_LEASE_TIME_TO_LIVE) err = lease_request_parse_time_to_live(request, &question);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
    } else if (method == RPC_LEASE_GRANT) {
        plan_grant(env, request, plan);
    } else if (method == RPC_LEASE_REVOKE) {
        plan_revoke(env, request, plan);
    } else {
        *plan = (struct service_plan){.action = SERVICE_ASK, .err = ERR_OK, .question = question};
    }
}
