/* rpc_signal: completions of a callback queue, brought to the one thread that owns them. gRPC runs the functor of a completed batch on
 * whatever thread completes it: it pushes the signal and rings, nothing else.
 *
 * A batch takes &signal->functor as its tag, after rpc_signal_release. A call that lives on the one polling queue takes rpc_signal_carrier
 * instead: who waits there passes the signal on (rpc_signal_pass), on his own thread and without gRPC's executor between (grpc-core 5.3).
 * Signals are intrusive, so that the inbox is never full; they come
 * out in order of arrival.
 * The doorbell's contract is the mailbox's: the owner announces its sleep and looks again; a pusher rings only a sleeper. An owner that sleeps
 * elsewhere has a bell of its own there: without a wake each push is told to `rouse`.
 * gRPC counts a batch as done before it runs the functor, so that even its queue may be gone while a pusher is still on its way out of
 * the inbox: `pushers` says when the inbox may go.
 * A batch that its owner starts between rpc_signal_catch and rpc_signal_caught is often done before its start returns: then it is the
 * owner's at once, and does not go through the inbox.
 * Owner: embedded beside the call that it tells of; one outstanding batch each. Thread: push on any, the rest on the owner's. */
#ifndef RPC_RPC_SIGNAL_H
#define RPC_RPC_SIGNAL_H
#include <grpc/grpc.h>

#include "rpc/rpc_tag.h"
#include "rpc/rpc_wake.h"

struct rpc_signal {
    grpc_completion_queue_functor functor; /* first: gRPC's tag */
    struct rpc_tag tag;
    struct rpc_tag carrier; /* RPC_TAG_SIGNAL */
    struct rpc_signal_inbox *inbox;
    struct rpc_signal *next;
    atomic_uint catching; /* enum rpc_signal_catching */
    bool ok;
};
enum rpc_signal_catching { RPC_SIGNAL_FREE, RPC_SIGNAL_CATCHING, RPC_SIGNAL_CAUGHT };
struct rpc_signal_inbox {
    _Atomic(struct rpc_signal *) newest;
    struct rpc_signal *oldest; /* taken from `newest` and put in order */
    atomic_bool sleeping;
    atomic_uint pushers;
    struct rpc_wake *wake;     /* of the queue that the owner waits in; NULL = it waits elsewhere */
    void (*rouse)(void *context);
    void *context;
};

void rpc_signal_inbox_init(struct rpc_signal_inbox *inbox, struct rpc_wake *wake);
void rpc_signal_inbox_init_roused(struct rpc_signal_inbox *inbox, void (*rouse)(void *context), void *context);
void rpc_signal_inbox_deinit(struct rpc_signal_inbox *inbox); /* every batch is done; before the wake goes */
void rpc_signal_init(struct rpc_signal *signal, enum rpc_tag_kind kind, struct rpc_signal_inbox *inbox);
struct rpc_tag *rpc_signal_carrier(struct rpc_signal *signal);  /* for a batch that is about to be started */
void rpc_signal_pass(struct rpc_tag *carrier, bool ok);         /* it came out */
/* Is there one that was pushed since rpc_signal_take said that there is none? Any thread. */
static inline bool rpc_signal_has_new(const struct rpc_signal_inbox *inbox) { return atomic_load(&inbox->newest) != NULL; }
static inline void rpc_signal_release(struct rpc_signal *signal) { RPC_TAG_RELEASE(&signal->tag); } /* before its batch is started */
/* In place of rpc_signal_release; and behind the start: true = the batch is done, and its signal nowhere. */
static inline void rpc_signal_catch(struct rpc_signal *signal)
{
    atomic_store_explicit(&signal->catching, RPC_SIGNAL_CATCHING, memory_order_relaxed);
    RPC_TAG_RELEASE(&signal->tag);
}
bool rpc_signal_caught(struct rpc_signal *signal);
void rpc_signal_post(struct rpc_signal *signal); /* into the inbox after all */
struct rpc_signal *rpc_signal_take(struct rpc_signal_inbox *inbox); /* NULL = none */
/* Before the owner waits in its queue, and after. False: something is there, do not wait. */
bool rpc_signal_sleep(struct rpc_signal_inbox *inbox);
void rpc_signal_awake(struct rpc_signal_inbox *inbox);

#endif
