/* rpc_wake: see rpc_wake.h. */
#include "rpc/rpc_wake.h"

#include "base/assert.h"

void rpc_wake_init(struct rpc_wake *wake, grpc_completion_queue *queue)
{
    ASSERT(wake != NULL && queue != NULL);
    wake->tag.kind = RPC_TAG_WAKE;
    atomic_init(&wake->pending, false);
    wake->channel = grpc_lame_client_channel_create("wake", GRPC_STATUS_UNAVAILABLE, "wake");
    wake->call = grpc_channel_create_call(wake->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue, grpc_slice_from_static_string("/w/w"),
                                          NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    ASSERT(wake->call != NULL);
}

void rpc_wake_deinit(struct rpc_wake *wake)
{
    if (wake == NULL || wake->call == NULL) return;
    grpc_call_unref(wake->call);
    grpc_channel_destroy(wake->channel);
    wake->call = NULL;
    wake->channel = NULL;
}

/* One batch at a time: whoever turns `pending` on starts it, and it is turned off only after the tag came out. */
void rpc_wake_ring(struct rpc_wake *wake)
{
    ASSERT(wake->call != NULL);
    if (atomic_exchange(&wake->pending, true)) return;
    RPC_TAG_RELEASE(&wake->tag);
    grpc_call_error error = grpc_call_start_batch(wake->call, NULL, 0, &wake->tag, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

/* The exchange is a full fence: a ringer that found `pending` on has published before it, and its work is seen behind it. */
void rpc_wake_answer(struct rpc_wake *wake)
{
    bool was_pending = atomic_exchange(&wake->pending, false);
    ASSERT(was_pending);
}
