/* rpc_peer: gRPC behind peer_port: a bidirectional stream per direction and pair of members. It has no place to wait: what comes rouses the role
 * (peer_port.h). Owner: rpc_peer_new/_free. Thread: the port belongs to peer; adopt to the door. */
#ifndef RPC_RPC_PEER_H
#define RPC_RPC_PEER_H
#include <grpc/grpc.h>
#include <stdint.h>

#include "rpc/peer_port.h"

struct rpc_peer_options {
    struct peer_hello self;           /* target_id unused */
    uint64_t reconnect_min_ns, reconnect_max_ns;
    uint64_t keepalive_ns;            /* finds a hung connection */
    uint64_t seed;                    /* jitter of the back-off */
    grpc_completion_queue *queue;     /* that polls; who waits in it passes the signals on (rpc_server_queue). Borrowed */
    void (*pump)(void *context, uint64_t until_ns); /* when nobody waits in it any more: rpc_server_pump */
    void *pump_context;
};
struct rpc_peer;
struct rpc_peer *rpc_peer_new(const struct rpc_peer_options *options);
struct peer_port *rpc_peer_port(struct rpc_peer *peer);
void rpc_peer_adopt(struct rpc_peer *peer, int descriptor); /* a connection accepted on the peer port; any thread */
void rpc_peer_free(struct rpc_peer *peer);                  /* after the peer thread is joined */

#endif
