/* rpc_watch: gRPC behind watch_port: the methods Watch and LeaseKeepAlive of the client listener's server.
 *
 * Streams arrive in a queue of their own, which does not poll and in which the watch role waits. Each lives on a callback queue that it
 * shares with some others (libgrpc scans all outstanding tags of a queue at each completion); completions come to the role as signals.
 * Source: grpc-core 5, 12. Owner: rpc_server makes and frees it. Thread: the port belongs to the watch role; ring to any; the rest to
 * start-up and stop. Limits, asked for when made: streams_max of each method, bytes of a message that came compressed. */
#ifndef RPC_RPC_WATCH_H
#define RPC_RPC_WATCH_H
#include <grpc/grpc.h>

#include "rpc/watch_port.h"

struct rpc_watch;
/* Before the server is started: registers queue and methods. */
struct rpc_watch *rpc_watch_new(grpc_server *server, const uint32_t streams_max[WATCH_METHODS], size_t message_bytes_max);
void rpc_watch_start(struct rpc_watch *watch); /* after it is started */
struct watch_port *rpc_watch_port(struct rpc_watch *watch);
/* Stop: the server is shut down, the role is joined. Ends what is left; true when nothing is. Asked again and again. */
bool rpc_watch_drain(struct rpc_watch *watch);
void rpc_watch_free(struct rpc_watch *watch); /* drained, the server is destroyed; accepts NULL */

#endif
