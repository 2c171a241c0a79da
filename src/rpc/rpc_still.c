/* rpc_still: see rpc_still.h. */
#include "rpc/rpc_still.h"

#include "base/assert.h"

void rpc_still_init(struct rpc_still *still)
{
    grpc_completion_queue_attributes attributes = {.version = GRPC_CQ_CURRENT_VERSION, .cq_completion_type = GRPC_CQ_NEXT,
                                                   .cq_polling_type = GRPC_CQ_NON_POLLING};
    *still = (struct rpc_still){.queue = grpc_completion_queue_create(grpc_completion_queue_factory_lookup(&attributes), &attributes, NULL)};
    ASSERT(still->queue != NULL);
}

bool rpc_still_is_due(struct rpc_still *still)
{
    if (still->has_kept) return true;
    ASSERT(still->skips < RPC_STILL_SKIPS);
    if (++still->skips < RPC_STILL_SKIPS) return false;
    still->skips = 0;
    return true;
}

bool rpc_still_take(struct rpc_still *still, grpc_event *out_event)
{
    *out_event = still->has_kept ? still->kept : grpc_completion_queue_next(still->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
    still->has_kept = false;
    still->skips = 0;
    return out_event->type == GRPC_OP_COMPLETE;
}

void rpc_still_wait(struct rpc_still *still, struct rpc_signal_inbox *inbox, uint64_t deadline_ns)
{
    if (still->has_kept || !rpc_signal_sleep(inbox)) return;
    still->kept = grpc_completion_queue_next(still->queue, rpc_tag_deadline(deadline_ns), NULL);
    still->has_kept = still->kept.type == GRPC_OP_COMPLETE;
    rpc_signal_awake(inbox);
}

void rpc_still_deinit(struct rpc_still *still)
{
    ASSERT(!still->has_kept);
    grpc_completion_queue_shutdown(still->queue);
    while (grpc_completion_queue_next(still->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN) continue;
    grpc_completion_queue_destroy(still->queue);
}
