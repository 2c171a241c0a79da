/* rpc_still: a completion queue that does not poll, in which a role waits for rings and for seldom things; what comes often comes as signals.
 * To look into such a queue is a timed futex wait, even where nothing shall be waited for: the wait sees what comes, and who is too busy to
 * wait looks at each RPC_STILL_SKIPS-th time.
 * Owner: embedded by the port; the queue is the port's to destroy. Thread: the role's. Source: grpc-core 5. */
#ifndef RPC_RPC_STILL_H
#define RPC_RPC_STILL_H
#include <grpc/grpc.h>
#include <stdbool.h>
#include <stdint.h>

#include "rpc/rpc_signal.h"

#define RPC_STILL_SKIPS 16

struct rpc_still {
    grpc_completion_queue *queue;
    grpc_event kept; /* that a wait met, for the next look */
    bool has_kept;
    uint32_t skips;  /* asked and not looked, since the last look */
};

void rpc_still_init(struct rpc_still *still); /* makes the queue */
/* Is now the time to look? One question per round of rpc_still_take. */
bool rpc_still_is_due(struct rpc_still *still);
/* The next completion, without a wait. False: there is none. */
bool rpc_still_take(struct rpc_still *still, grpc_event *out_event);
/* Until a completion, a signal of the inbox or the deadline. */
void rpc_still_wait(struct rpc_still *still, struct rpc_signal_inbox *inbox, uint64_t deadline_ns);
void rpc_still_deinit(struct rpc_still *still); /* nothing is to come any more: shuts the queue down and destroys it */

#endif
