/* rpc_wake: makes a thread that waits in a completion queue return: an empty batch on a call that goes nowhere posts its tag at once.
 * (There is no alarm in gRPC's C interface.) Rings that come before the waiter has answered the last one cost an exchange only.
 * Owner: embedded by the queue's owner. Thread: ring on any; the rest on the thread that waits.
 * The waiter, on rpc_wake_tag: rpc_wake_answer, and only then looks at what the ringers have published. */
#ifndef RPC_RPC_WAKE_H
#define RPC_RPC_WAKE_H
#include <stdatomic.h>
#include <stdbool.h>

#include <grpc/grpc.h>

#include "rpc/rpc_tag.h"

struct rpc_wake {
    struct rpc_tag tag;
    atomic_bool pending; /* the tag is in the queue, or about to be */
    grpc_channel *channel;
    grpc_call *call;
};

void rpc_wake_init(struct rpc_wake *wake, grpc_completion_queue *queue);
void rpc_wake_deinit(struct rpc_wake *wake); /* no ring may come any more; before the queue is shut down */
void rpc_wake_ring(struct rpc_wake *wake);
void rpc_wake_answer(struct rpc_wake *wake);

#endif
