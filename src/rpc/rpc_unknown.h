/* rpc_unknown: answers UNIMPLEMENTED to every method that a server has not registered, with the words of Go's server (clients know them).
 * Without it gRPC would queue such calls for ever. One call at a time: the next is taken when the answer to the last has left.
 * Its completions are tags for who waits in the queue, or, with an inbox, signals for who owns that.
 * Owner: embedded beside the server. Thread: the one that takes them. */
#ifndef RPC_RPC_UNKNOWN_H
#define RPC_RPC_UNKNOWN_H
#include <stdbool.h>

#include <grpc/grpc.h>

#include "rpc/rpc_signal.h"

struct rpc_unknown {
    grpc_server *server;
    grpc_completion_queue *queue;
    bool is_client_port; /* a method of rpc_method's table is not unknown, but not built yet */
    bool is_busy;        /* a tag is outstanding; false for ever once the server is shut down */
    bool has_inbox;
    struct rpc_signal arrived, answered;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    grpc_slice text;
    int is_cancelled;
};

/* inbox: NULL = the completions come as tags. */
void rpc_unknown_init(struct rpc_unknown *unknown, grpc_server *server, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox,
                      bool is_client_port);
void rpc_unknown_arrived(struct rpc_unknown *unknown, bool ok); /* RPC_TAG_UNKNOWN_ARRIVED came out */
void rpc_unknown_answered(struct rpc_unknown *unknown);        /* RPC_TAG_UNKNOWN_ANSWERED came out */
void rpc_unknown_deinit(struct rpc_unknown *unknown);          /* when it is no longer busy */

#endif
