/* rpc_tag: what gRPC gives back with a completed batch: the kind says what completed, the struct round the tag whose it is.
 * Owner: embedded in the object that started the batch. Thread: the one that waits in the queue.
 * Under TSan a tag carries the order from the start of a batch to its completion, which gRPC (not instrumented) provides. */
#ifndef RPC_RPC_TAG_H
#define RPC_RPC_TAG_H
#include <stdint.h>

#include <grpc/support/time.h>

#include "base/clock.h"

enum rpc_tag_kind {
    RPC_TAG_WAKE,            /* rpc_wake */
    RPC_TAG_SIGNAL,          /* rpc_signal: for whoever owns its inbox */
    RPC_TAG_SHUTDOWN,        /* the server has no connection any more */
    RPC_TAG_UNKNOWN_ARRIVED, /* rpc_unknown */
    RPC_TAG_UNKNOWN_ANSWERED,
    RPC_TAG_CALL_ARRIVED,    /* rpc_call */
    RPC_TAG_CALL_SENT,
    RPC_TAG_CALL_CLOSED,
    RPC_TAG_CALL_GONE,
    RPC_TAG_IN_ARRIVED,      /* rpc_peer_in */
    RPC_TAG_IN_GREETED,
    RPC_TAG_IN_RECEIVED,
    RPC_TAG_IN_FINISHED,
    RPC_TAG_IN_CLOSED,
    RPC_TAG_OUT_GREETED,     /* rpc_peer_out */
    RPC_TAG_OUT_SENT,
    RPC_TAG_OUT_CLOSED,
    RPC_TAG_WATCH_ARRIVED,   /* rpc_watch */
    RPC_TAG_WATCH_RECEIVED,
    RPC_TAG_WATCH_SENT,
    RPC_TAG_WATCH_FINISHED,
};

struct rpc_tag {
    enum rpc_tag_kind kind;
};

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RPC_TAG_TSAN
#endif
#elif defined(__SANITIZE_THREAD__)
#define RPC_TAG_TSAN
#endif
#ifdef RPC_TAG_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define RPC_TAG_ACQUIRE(address) __tsan_acquire(address)
#define RPC_TAG_RELEASE(address) __tsan_release(address)
#else
#define RPC_TAG_ACQUIRE(address) ((void)(address))
#define RPC_TAG_RELEASE(address) ((void)(address))
#endif

/* gRPC's deadlines in our clock: GPR_CLOCK_MONOTONIC is CLOCK_MONOTONIC. */
static inline gpr_timespec rpc_tag_deadline(uint64_t deadline_ns)
{
    if (deadline_ns == CLOCK_NEVER) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return (gpr_timespec){.tv_sec = (int64_t)(deadline_ns / NS_PER_S),
                          .tv_nsec = (int32_t)(deadline_ns % NS_PER_S),
                          .clock_type = GPR_CLOCK_MONOTONIC};
}

#endif
