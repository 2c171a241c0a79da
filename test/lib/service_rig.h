/* service_rig: a state and what services are given of it, for tests of what they answer. A header, so that each test has its own.
 * Thread: the test's. Source: rpc/service.h. */
#ifndef TEST_LIB_SERVICE_RIG_H
#define TEST_LIB_SERVICE_RIG_H
#include "base/arena.h"
#include "lib/kv_rig.h"
#include "rpc/rpc_method.h"
#include "rpc/service.h"

struct service_rig {
    struct kv_rig kv;
    struct arena scratch;
    struct service_env env; /* member 8 of cluster 7, which leads in term 3 */
};

static inline void service_rig_init(struct service_rig *rig)
{
    kv_rig_init(&rig->kv);
    arena_init(&rig->scratch, 64 << 20);
    rig->env = (struct service_env){.machine = rig->kv.machine, .limits = {.txn_ops_max = 128}, .max_request_bytes = 1536 * 1024,
                                    .gather_bytes_max = SIZE_MAX, .cluster_id = 7, .member_id = 8, .term = 3, .leader = 8,
                                    .scratch = &rig->scratch};
}

static inline void service_rig_deinit(struct service_rig *rig)
{
    arena_deinit(&rig->scratch);
    kv_rig_deinit(&rig->kv);
}

static inline struct service_plan service_rig_plan(struct service_rig *rig, const char *path, struct slice request)
{
    struct service_plan plan;
    arena_reset(&rig->scratch);
    service_plan(&rig->env, rpc_method_find(path), request, &plan);
    return plan;
}

#endif
