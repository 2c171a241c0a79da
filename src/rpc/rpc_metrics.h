/* rpc_metrics: what became of the calls of each method, under the names that go-grpc-prometheus gave: alerts and dashboards of etcd
 * select them. Every method of the table has its series from the start.
 * Owner: embedded by the node. Thread: written by the method's owner with relaxed atomics; read by any. Limits: RPC_METRICS_CLIENTS_MAX. Source: process §4.1.
 */
#ifndef RPC_RPC_METRICS_H
#define RPC_RPC_METRICS_H
#include "base/err.h"
#include "base/metrics.h"
#include "rpc/rpc_method.h"

#define RPC_METRICS_METHODS_MAX 64
#define RPC_METRICS_CLIENTS_MAX 16 /* versions; who tells another one is told as "other" */
#define RPC_METRICS_CODES (ERR_CODE_UNAUTHENTICATED + 1)

struct rpc_metrics_method {
    atomic_uint_fast64_t started, received, sent; /* calls, messages in, messages out */
    atomic_uint_fast64_t handled[RPC_METRICS_CODES];
    struct metrics_histogram seconds; /* METRICS_CALLS */
    struct metrics_histogram requests[2]; /* METRICS_FROM_1MS, of calls with one answer; [1]: without an error */
};
/* Calls by the version that their clients tell: an entry is there once it is counted, and never changes its name. */
struct rpc_metrics_clients {
    atomic_uint_fast64_t count;
    struct {
        char version[RPC_API_VERSION_BYTES];
        atomic_uint_fast64_t calls[2]; /* [1]: streams */
    } of[RPC_METRICS_CLIENTS_MAX];
};
struct rpc_metrics {
    struct rpc_metrics_method methods[RPC_METRICS_METHODS_MAX];
    struct rpc_metrics_clients clients[RPC_OWNERS]; /* each owner's */
};

/* `api_version`: what the client told, "" = nothing. */
void rpc_metrics_start(struct rpc_metrics *metrics, const struct rpc_method *method, const char *api_version);
void rpc_metrics_receive(struct rpc_metrics *metrics, const struct rpc_method *method); /* a message */
void rpc_metrics_send(struct rpc_metrics *metrics, const struct rpc_method *method);
void rpc_metrics_send_many(struct rpc_metrics *metrics, const struct rpc_method *method, uint64_t count);
void rpc_metrics_end(struct rpc_metrics *metrics, const struct rpc_method *method, enum err err, uint64_t took_ns);
uint64_t rpc_metrics_started(const struct rpc_metrics *metrics, enum rpc_method_id id);
void rpc_metrics_put(struct buf *out, const struct rpc_metrics *metrics); /* the text */

#endif
