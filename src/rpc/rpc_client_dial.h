/* rpc_client_dial: sockets for rpc_client_options.sockets: all connections at once, before there is a client whose thread they could keep.
 *
 * Only what needs no look-up and no handshake is dialled: "1.2.3.4:2379", "http://[::1]:2379". All else, and what does not stand in time or
 * refuses, is -1: gRPC connects, and says what is wrong.
 *
 * Owner: the caller of what stands. Thread: any; waits at most wait_ns. Limits: RPC_CLIENT_CONNECTIONS_MAX sockets. Source: connect(2). */
#ifndef RPC_RPC_CLIENT_DIAL_H
#define RPC_RPC_CLIENT_DIAL_H
#include <stddef.h>
#include <stdint.h>

/* Connection i goes to endpoint i modulo their count, as rpc_client's do. */
void rpc_client_dial(const char *const *endpoints, size_t endpoint_count, int *out_sockets, size_t count, uint64_t wait_ns);

#endif
