/* rpc_method: the one table of every method of the wire API: path, kind, who owns its calls, which service function plans it.
 * A method that has no plan yet answers UNIMPLEMENTED. Thread: any; immutable. Source: API §1. */
#ifndef RPC_RPC_METHOD_H
#define RPC_RPC_METHOD_H
#include <stdbool.h>
#include <stddef.h>

enum rpc_method_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_BIDI };
/* The role that owns calls of the method, and so the completion queue that they live on. */
enum rpc_method_owner { RPC_OWNER_NET, RPC_OWNER_WATCH };
#define RPC_OWNERS 2

enum rpc_method_id {
    RPC_KV_RANGE,
    RPC_KV_RANGE_STREAM,
    RPC_KV_PUT,
    RPC_KV_DELETE_RANGE,
    RPC_KV_TXN,
    RPC_KV_COMPACT,
    RPC_LEASE_GRANT,
    RPC_LEASE_REVOKE,
    RPC_LEASE_TIME_TO_LIVE,
    RPC_LEASE_LEASES,
    RPC_MAINTENANCE_ALARM,
    RPC_MAINTENANCE_STATUS,
    RPC_MAINTENANCE_DEFRAGMENT,
    RPC_MAINTENANCE_HASH,
    RPC_MAINTENANCE_HASH_KV,
    RPC_MAINTENANCE_MOVE_LEADER,
    RPC_MAINTENANCE_DOWNGRADE,
    RPC_MAINTENANCE_SNAPSHOT,
    RPC_CLUSTER_MEMBER_LIST,
    RPC_AUTH_AUTHENTICATE,
    RPC_HEALTH_CHECK,
    RPC_HEALTH_WATCH,
    RPC_EXTRA_FEATURES,
    RPC_EXTRA_HISTORY,
    RPC_EXTRA_WATCHERS,
    RPC_EXTRA_CANCEL_WATCHER,
    RPC_LOCK_LOCK,
    RPC_LOCK_UNLOCK,
    RPC_ELECTION_CAMPAIGN,
    RPC_ELECTION_PROCLAIM,
    RPC_ELECTION_LEADER,
    RPC_ELECTION_OBSERVE,
    RPC_ELECTION_RESIGN,
    RPC_OTHER, /* in the table, not built yet */
};

/* A client's version as it tells it ("3.5"), with its zero. */
#define RPC_API_VERSION_BYTES 16

struct rpc_method {
    const char *path;            /* "/etcdserverpb.KV/Put" */
    enum rpc_method_kind kind;
    enum rpc_method_owner owner;
    enum rpc_method_id id;
    bool is_hot;                 /* many requested calls (grpc-core: 8–16), else 1 */
    bool waits;                  /* for what others do, for any time: the port tells when the client goes away, and few calls may */
};

const struct rpc_method *rpc_method_table(size_t *out_count);
const struct rpc_method *rpc_method_find(const char *path); /* NULL = unknown */

#endif
