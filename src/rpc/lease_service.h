/* lease_service: etcdserverpb.Lease: LeaseGrant, LeaseRevoke, LeaseTimeToLive, LeaseLeases. Grant and revoke go through the log; what is asked
 * about leases, their writer answers. Source: API §10; order of checks as for writes of KV.
 * Thread: net. Inside of the service files only. */
#ifndef RPC_LEASE_SERVICE_H
#define RPC_LEASE_SERVICE_H
#include "rpc/service_job.h"

/* `method` is one of RPC_LEASE_*. */
void lease_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan);

#endif
