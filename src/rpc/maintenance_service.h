/* maintenance_service: etcdserverpb.Maintenance: Status, HashKV. Both are answered from this member alone, leader or not.
 * Source: API §11. Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_MAINTENANCE_SERVICE_H
#define RPC_MAINTENANCE_SERVICE_H
#include "rpc/service_job.h"

/* `method` is one of RPC_MAINTENANCE_*. */
void maintenance_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request,
                              struct service_plan *plan);
enum service_progress maintenance_service_step(struct service_job *job, struct service_env *env, struct buf *out,
                                               enum err *out_err);

#endif
