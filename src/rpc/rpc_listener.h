/* rpc_listener: hands connections that we accepted to a gRPC server (gRPC's own listener accepts nothing more after one EMFILE, and
 * cannot share its port). gRPC calls this an external acceptor: a "port" of the name "external:NAME", and a pointer channel argument of
 * that same name, through which it writes the handler that takes descriptors.
 * Owner: embedded beside the server. Thread: adopt on any; the rest on the server's owner. */
#ifndef RPC_RPC_LISTENER_H
#define RPC_RPC_LISTENER_H
#include <pthread.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

struct rpc_listener {
    const char *name;     /* "external:kvd" */
    pthread_mutex_t lock; /* between adopt and close: gRPC frees the handler once the server shuts down */
    void *handler;        /* gRPC's; NULL = descriptors are closed */
};

void rpc_listener_init(struct rpc_listener *listener, const char *name);    /* "external:NAME", one per server; borrowed */
grpc_arg rpc_listener_arg(struct rpc_listener *listener);                  /* for grpc_server_create */
/* Before grpc_server_start. Without credentials (NULL) its connections are plain; the caller's stay the caller's. */
void rpc_listener_bind(struct rpc_listener *listener, grpc_server *server, grpc_server_credentials *credentials);
/* Takes the descriptor: connected, non-blocking, nothing of what the client says read. */
void rpc_listener_adopt(struct rpc_listener *listener, int descriptor);
void rpc_listener_close(struct rpc_listener *listener);                    /* before the server is shut down; twice is once */
void rpc_listener_deinit(struct rpc_listener *listener);

/* rpc_listener.cc */
#ifdef __cplusplus
extern "C"
#endif
void rpc_listener_handle(void *handler, int descriptor);

#endif
