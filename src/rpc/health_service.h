/* health_service: grpc.health.v1.Health: Check and Watch. One service is known, "" = the whole server, and it is SERVING.
 * Source: gRPC's health protocol; API §15. Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_HEALTH_SERVICE_H
#define RPC_HEALTH_SERVICE_H
#include "rpc/service_job.h"

void health_service_plan(enum rpc_method_id method, struct slice request, struct service_plan *plan);
enum service_progress health_service_step(struct service_job *job, struct buf *out);

#endif
