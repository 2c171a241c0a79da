/* rpc_client_conn: one connection of the client library: a gRPC channel of its own to one endpoint, and whether it stands. While it has a
 * socket that it was given, it stands.
 * Inside of rpc_client only. Owner: rpc_client_conn_new/_free. Thread: the client's.
 * Limits: RPC_CLIENT_PATHS_MAX registered paths. Source: grpc/grpc.h; the settings are measured ones. */
#ifndef RPC_RPC_CLIENT_CONN_H
#define RPC_RPC_CLIENT_CONN_H
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "rpc/rpc_client.h"

struct rpc_client_conn {
    size_t endpoint;
    grpc_channel *channel;
    grpc_channel *given;     /* on a socket that was connected before; NULL: there is none, or none any more */
    grpc_channel *left;      /* it was `given` until a call on it was unavailable; other calls may still be answered */
    char *authority;         /* that calls name */
    bool is_watched;         /* a watch of its state is outstanding */
    int state;               /* gRPC's, as rpc_client_conn_check saw it last */
    struct list waiting;     /* calls that wait for it to stand */
    size_t path_count;
    struct {
        const char *path;
        void *handle;
    } paths[RPC_CLIENT_PATHS_MAX];
};

/* What gRPC needs to reach an endpoint, from its text: target for a channel and whether it is TLS (`tls_default`: what a text without
 * a scheme means). False: not an endpoint. */
bool rpc_client_conn_parse(const char *endpoint, bool tls_default, char *out_target, size_t target_size, bool *out_is_tls);
/* Credentials for TLS endpoints, or insecure ones; NULL: certificate and key do not fit each other. */
grpc_channel_credentials *rpc_client_conn_credentials(const struct rpc_client_tls *tls, bool is_tls);

struct rpc_client_conn *rpc_client_conn_new(const char *target, grpc_channel_credentials *credentials, size_t endpoint,
                                            const struct rpc_client_options *options);
/* Takes the socket, which is connected to the target; without TLS. */
void rpc_client_conn_give(struct rpc_client_conn *conn, int descriptor, const struct rpc_client_options *options);
void rpc_client_conn_leave(struct rpc_client_conn *conn); /* the socket that it was given, if there is one, is used no more */
void rpc_client_conn_close(struct rpc_client_conn *conn); /* an outstanding watch ends now */
void rpc_client_conn_free(struct rpc_client_conn *conn);  /* accepts NULL; nothing waits, no watch is outstanding */

enum rpc_client_conn_state { RPC_CLIENT_CONN_READY, RPC_CLIENT_CONN_CONNECTING, RPC_CLIENT_CONN_FAILED };
/* Looks, and starts to connect if it was idle. */
enum rpc_client_conn_state rpc_client_conn_check(struct rpc_client_conn *conn);
/* An event comes when the state is not the one that the last check saw, or at the deadline; its tag names the conn. At most one at a
 * time. */
void rpc_client_conn_watch(struct rpc_client_conn *conn, grpc_completion_queue *queue, uint64_t deadline_ns);
struct rpc_client_conn *rpc_client_conn_of_tag(void *tag); /* NULL = not the tag of a watch */
grpc_call *rpc_client_conn_call(struct rpc_client_conn *conn, grpc_completion_queue *queue, const char *path,
                                uint64_t deadline_ns);
gpr_timespec rpc_client_conn_time(uint64_t mono_ns); /* CLOCK_NEVER = infinite */

#endif
