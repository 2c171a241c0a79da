/* rpc_server: gRPC behind call_port: the process's only polling completion queue, the client listener's gRPC server, its calls.
 *
 * Sockets are accepted by the door and handed over with rpc_server_adopt (gRPC's own listener would die at the first EMFILE).
 * rpc_process_init/_deinit: gRPC's own global state, once per process (deadlock detector off, log routed). Source: grpc-core 2.2, 3, 10, 12.
 * Owner: rpc_server_new/_free. Thread: the port belongs to net; adopt to the door; ring to any.
 */
#ifndef RPC_RPC_SERVER_H
#define RPC_RPC_SERVER_H
#include <grpc/grpc.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/call_port.h"
#include "rpc/rpc_tls.h"
#include "rpc/watch_port.h"

#define RPC_SERVER_HANDSHAKE_NS (10 * UINT64_C(1000000000))

void rpc_process_init(void);
void rpc_process_deinit(void); /* blocks until gRPC's threads are gone */

struct rpc_server_options {
    size_t max_request_bytes;        /* receive limit = this + 512 KiB */
    uint32_t max_concurrent_streams;
    uint32_t calls_max;              /* in flight */
    uint32_t streams_max[WATCH_METHODS]; /* of each method of watch_port; that of Watch 0 = they are left out */
    uint64_t keepalive_min_time_ns, keepalive_interval_ns, keepalive_timeout_ns;
    size_t memory_bytes_max;         /* resource quota */
    struct rpc_tls *tls;             /* borrowed: for rpc_server_adopt_tls; NULL = there is none */
};
struct rpc_server;
struct rpc_server *rpc_server_new(const struct rpc_server_options *options);
struct call_port *rpc_server_port(struct rpc_server *server);
struct watch_port *rpc_server_watch_port(struct rpc_server *server); /* the watch role's; NULL without one */
/* Takes the connected descriptor (non-blocking, HTTP/2 preface not consumed). Any thread. */
void rpc_server_adopt(struct rpc_server *server, int descriptor);
/* The same of a TLS connection, ClientHello not consumed. One that has not shaken hands in RPC_SERVER_HANDSHAKE_NS is closed. */
void rpc_server_adopt_tls(struct rpc_server *server, int descriptor);
/* The polling queue, for streams whose frames shall come without a hop: whose tags are rpc_signal's carriers, which net passes on. */
grpc_completion_queue *rpc_server_queue(struct rpc_server *server);
/* Once net's thread is joined: takes one tag of the queue and acts on it, waiting until then for it at most. `context` is the rpc_server. */
void rpc_server_pump(void *context, uint64_t until_ns);
/* Stop, last phase, after the threads of net and watch are joined: cancels what is left, drains, destroys. */
void rpc_server_free(struct rpc_server *server);

#endif
