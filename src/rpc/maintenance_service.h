/* maintenance_service: etcdserverpb.Maintenance but Snapshot. Status, Hash, HashKV and Defragment are answered from this member alone, leader
 * or not; Alarm GET is a linearizable read, its changes and the leader's move go through consensus.
 * Source: API §11. Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_MAINTENANCE_SERVICE_H
#define RPC_MAINTENANCE_SERVICE_H
#include "rpc/service_job.h"

/* `method` is one of RPC_MAINTENANCE_*. */
void maintenance_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request,
                              struct service_plan *plan);
/* A write that finds the quota reached: raises this member's NOSPACE alarm in its stead, so that the alarm stands when its client hears of
 * the refusal; if the alarm stands already, refuses at once. */
void maintenance_service_plan_no_space(struct service_env *env, struct service_plan *plan);
enum service_progress maintenance_service_step(struct service_job *job, struct service_env *env, struct buf *out,
                                               enum err *out_err);

#endif
