/* rpc_listener: hands connections that we accepted to a gRPC server (gRPC's own listener accepts nothing more after one EMFILE, and
 * cannot share its port). gRPC calls this an external acceptor: a "port" of the name "external:NAME", and a pointer channel argument of
 * that same name, through which it writes the handler that takes descriptors.
 * Owner: embedded beside the server. Thread: adopt on any; the rest on the server's owner. Limits: a number per descriptor of the process. */
#ifndef RPC_RPC_LISTENER_H
#define RPC_RPC_LISTENER_H
#include <pthread.h>
#include <stdint.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

struct rpc_listener {
    const char *name;     /* "external:kvd" */
    pthread_mutex_t lock; /* between adopt and close: gRPC frees the handler once the server shuts down */
    void *handler;        /* gRPC's; NULL = descriptors are closed */
    unsigned user_timeout_ms;
    uint64_t *cookies;    /* by descriptor: the kernel's number of the socket that was adopted; the descriptor may be another one's by now */
    uint32_t cookie_count;
};

/* name: "external:NAME", one per server; borrowed. user_timeout_ns: a TCP connection ends when what it was given to send makes no way for so
 * long, be it that the other end does not read; 0 = when the system says so. */
void rpc_listener_init(struct rpc_listener *listener, const char *name, uint64_t user_timeout_ns);
grpc_arg rpc_listener_arg(struct rpc_listener *listener);                  /* for grpc_server_create */
/* Before grpc_server_start. Without credentials (NULL) its connections are plain; the caller's stay the caller's. */
void rpc_listener_bind(struct rpc_listener *listener, grpc_server *server, grpc_server_credentials *credentials);
/* Takes the descriptor: connected, non-blocking, nothing of what the client says read. */
void rpc_listener_adopt(struct rpc_listener *listener, int descriptor);
void rpc_listener_close(struct rpc_listener *listener);                    /* before the server is shut down; twice is once */
/* After close, when a connection keeps the server from its end: a write that waits for the other end to read completes no batch of its calls,
 * cancelled or not. */
void rpc_listener_shut_sockets(struct rpc_listener *listener);
void rpc_listener_deinit(struct rpc_listener *listener);

/* rpc_listener.cc */
#ifdef __cplusplus
extern "C"
#endif
void rpc_listener_handle(void *handler, int descriptor);

#endif
