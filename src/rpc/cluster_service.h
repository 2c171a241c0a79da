/* cluster_service: etcdserverpb.Cluster: MemberList, from the published cluster. Headers of this service carry no revision.
 * Source: API §4, §12. Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_CLUSTER_SERVICE_H
#define RPC_CLUSTER_SERVICE_H
#include "rpc/service_job.h"

void cluster_service_plan(struct service_env *env, struct slice request, struct service_plan *plan);
enum service_progress cluster_service_step(struct service_job *job, struct service_env *env, struct buf *out);

#endif
