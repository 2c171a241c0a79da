/* rpc_unknown: answers UNIMPLEMENTED to every method that a server has not registered, with the words of Go's server (clients know them).
 * Without it gRPC would queue such calls for ever. RPC_UNKNOWN_CALLS_MAX at a time: an answer leaves when its client's socket takes it, and
 * nobody else is to wait for that.
 * Its completions are tags for who waits in the queue, or, with an inbox, signals for who owns that.
 * Owner: embedded beside the server. Thread: the one that takes them. */
#ifndef RPC_RPC_UNKNOWN_H
#define RPC_RPC_UNKNOWN_H
#include <stdbool.h>

#include <grpc/grpc.h>

#include "rpc/rpc_signal.h"

#define RPC_UNKNOWN_CALLS_MAX 64

struct rpc_unknown;
struct rpc_unknown_call {
    struct rpc_unknown *unknown;
    struct rpc_signal arrived, answered;
    bool is_busy;        /* a tag is outstanding */
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_slice text;
    int is_cancelled;
};
struct rpc_unknown {
    grpc_server *server;
    grpc_completion_queue *queue;
    bool is_client_port; /* a method of rpc_method's table is not unknown, but not built yet */
    bool has_inbox;
    bool is_shut_down;
    struct rpc_unknown_call *armed; /* one of `calls`, which gRPC was asked for */
    uint32_t busy_count;
    struct rpc_unknown_call calls[RPC_UNKNOWN_CALLS_MAX];
};

/* inbox: NULL = the completions come as tags. */
void rpc_unknown_init(struct rpc_unknown *unknown, grpc_server *server, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox,
                      bool is_client_port);
void rpc_unknown_arrived(struct rpc_tag *tag, bool ok); /* RPC_TAG_UNKNOWN_ARRIVED came out */
void rpc_unknown_answered(struct rpc_tag *tag);         /* RPC_TAG_UNKNOWN_ANSWERED came out */
bool rpc_unknown_is_busy(const struct rpc_unknown *unknown); /* false for ever once the server is shut down and all answers have left */

#endif
