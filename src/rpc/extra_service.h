/* extra_service: kvd.v1.Extra, what etcd has not. Source: proto/kvd/extra.proto.
 * Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_EXTRA_SERVICE_H
#define RPC_EXTRA_SERVICE_H
#include "rpc/service_job.h"

/* `method` is one of RPC_EXTRA_*. */
void extra_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan);
enum service_progress extra_service_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                         enum err *out_err);

#endif
