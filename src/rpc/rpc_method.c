/* rpc_method: the table behind rpc_method.h. One row per method of the wire API, in the order of its services. */
#include "rpc/rpc_method.h"

#include <string.h>

#include "base/assert.h"

/* ROW(path, kind, owner, id, is_hot, waits). Bidirectional streams belong to watch, everything else to net. */
#define ROW(path, kind, owner, id, is_hot, waits) {(path), RPC_##kind, RPC_OWNER_##owner, RPC_##id, (is_hot), (waits)}
#define UNARY(path, id) ROW(path, UNARY, NET, id, false, false)
#define UNARY_HOT(path, id) ROW(path, UNARY, NET, id, true, false)
#define UNARY_WAITS(path, id) ROW(path, UNARY, NET, id, false, true)
#define STREAM(path, id) ROW(path, SERVER_STREAM, NET, id, false, false)
#define STREAM_WAITS(path, id) ROW(path, SERVER_STREAM, NET, id, false, true)
#define BIDI(path, id) ROW(path, BIDI, WATCH, id, false, false)

static const struct rpc_method METHODS[] = {
    UNARY_HOT("/etcdserverpb.KV/Range", KV_RANGE),
    STREAM("/etcdserverpb.KV/RangeStream", KV_RANGE_STREAM),
    UNARY_HOT("/etcdserverpb.KV/Put", KV_PUT),
    UNARY_HOT("/etcdserverpb.KV/DeleteRange", KV_DELETE_RANGE),
    UNARY_HOT("/etcdserverpb.KV/Txn", KV_TXN),
    UNARY("/etcdserverpb.KV/Compact", KV_COMPACT),

    BIDI("/etcdserverpb.Watch/Watch", OTHER),

    UNARY("/etcdserverpb.Lease/LeaseGrant", LEASE_GRANT),
    UNARY("/etcdserverpb.Lease/LeaseRevoke", LEASE_REVOKE),
    BIDI("/etcdserverpb.Lease/LeaseKeepAlive", OTHER),
    UNARY("/etcdserverpb.Lease/LeaseTimeToLive", LEASE_TIME_TO_LIVE),
    UNARY("/etcdserverpb.Lease/LeaseLeases", LEASE_LEASES),

    UNARY("/etcdserverpb.Cluster/MemberAdd", OTHER),
    UNARY("/etcdserverpb.Cluster/MemberRemove", OTHER),
    UNARY("/etcdserverpb.Cluster/MemberUpdate", OTHER),
    UNARY("/etcdserverpb.Cluster/MemberList", CLUSTER_MEMBER_LIST),
    UNARY("/etcdserverpb.Cluster/MemberPromote", OTHER),

    UNARY("/etcdserverpb.Maintenance/Alarm", MAINTENANCE_ALARM),
    UNARY("/etcdserverpb.Maintenance/Status", MAINTENANCE_STATUS),
    UNARY("/etcdserverpb.Maintenance/Defragment", MAINTENANCE_DEFRAGMENT),
    UNARY("/etcdserverpb.Maintenance/Hash", MAINTENANCE_HASH),
    UNARY("/etcdserverpb.Maintenance/HashKV", MAINTENANCE_HASH_KV),
    STREAM("/etcdserverpb.Maintenance/Snapshot", MAINTENANCE_SNAPSHOT),
    UNARY("/etcdserverpb.Maintenance/MoveLeader", MAINTENANCE_MOVE_LEADER),
    UNARY("/etcdserverpb.Maintenance/Downgrade", MAINTENANCE_DOWNGRADE),

    UNARY("/etcdserverpb.Auth/AuthEnable", OTHER),
    UNARY("/etcdserverpb.Auth/AuthDisable", OTHER),
    UNARY("/etcdserverpb.Auth/AuthStatus", OTHER),
    UNARY("/etcdserverpb.Auth/Authenticate", AUTH_AUTHENTICATE),
    UNARY("/etcdserverpb.Auth/UserAdd", OTHER),
    UNARY("/etcdserverpb.Auth/UserGet", OTHER),
    UNARY("/etcdserverpb.Auth/UserList", OTHER),
    UNARY("/etcdserverpb.Auth/UserDelete", OTHER),
    UNARY("/etcdserverpb.Auth/UserChangePassword", OTHER),
    UNARY("/etcdserverpb.Auth/UserGrantRole", OTHER),
    UNARY("/etcdserverpb.Auth/UserRevokeRole", OTHER),
    UNARY("/etcdserverpb.Auth/RoleAdd", OTHER),
    UNARY("/etcdserverpb.Auth/RoleGet", OTHER),
    UNARY("/etcdserverpb.Auth/RoleList", OTHER),
    UNARY("/etcdserverpb.Auth/RoleDelete", OTHER),
    UNARY("/etcdserverpb.Auth/RoleGrantPermission", OTHER),
    UNARY("/etcdserverpb.Auth/RoleRevokePermission", OTHER),

    UNARY_WAITS("/v3lockpb.Lock/Lock", LOCK_LOCK),
    UNARY("/v3lockpb.Lock/Unlock", LOCK_UNLOCK),

    UNARY_WAITS("/v3electionpb.Election/Campaign", ELECTION_CAMPAIGN),
    UNARY("/v3electionpb.Election/Proclaim", ELECTION_PROCLAIM),
    UNARY("/v3electionpb.Election/Leader", ELECTION_LEADER),
    STREAM_WAITS("/v3electionpb.Election/Observe", ELECTION_OBSERVE),
    UNARY("/v3electionpb.Election/Resign", ELECTION_RESIGN),

    UNARY("/grpc.health.v1.Health/Check", HEALTH_CHECK),
    STREAM("/grpc.health.v1.Health/Watch", HEALTH_WATCH),

    UNARY("/kvd.v1.Extra/Features", EXTRA_FEATURES),
    UNARY("/kvd.v1.Extra/History", EXTRA_HISTORY),
    UNARY("/kvd.v1.Extra/Watchers", EXTRA_WATCHERS),
    UNARY("/kvd.v1.Extra/CancelWatcher", EXTRA_CANCEL_WATCHER),
};
#define METHOD_COUNT (sizeof METHODS / sizeof METHODS[0])
STATIC_ASSERT(METHOD_COUNT == 42 + 2 + 5 + 2 + 4, "every method of the wire API has a row, and of kvd.v1");

const struct rpc_method *rpc_method_table(size_t *out_count)
{
    ASSERT(out_count != NULL);
    *out_count = METHOD_COUNT;
    return METHODS;
}

const struct rpc_method *rpc_method_find(const char *path)
{
    ASSERT(path != NULL);
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (strcmp(METHODS[i].path, path) == 0) return &METHODS[i];
    return NULL;
}
