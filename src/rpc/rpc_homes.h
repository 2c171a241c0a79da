/* rpc_homes: callback queues for calls that may be outstanding for long: libgrpc scans all outstanding tags of a queue at each completion,
 * so no queue has more than RPC_HOMES_CALLS of them. Completions come out of one inbox as signals (rpc_signal).
 * Owner: embedded by the port whose calls they are. Thread: the port's. Limits: as many queues as calls_max needs. */
#ifndef RPC_RPC_HOMES_H
#define RPC_RPC_HOMES_H
#include "base/list.h"
#include "rpc/rpc_signal.h"

#define RPC_HOMES_CALLS 16

struct rpc_home {
    struct rpc_homes *homes;
    struct list of_room;      /* in homes->room, while it has any */
    grpc_completion_queue *queue;
    struct rpc_signal closed; /* RPC_TAG_SHUTDOWN */
    uint32_t call_count;
    bool is_closed;
};
struct rpc_homes {
    struct rpc_signal_inbox *inbox;
    struct rpc_home **all;
    uint32_t count, max;
    struct list room;         /* homes */
};

void rpc_homes_init(struct rpc_homes *homes, struct rpc_signal_inbox *inbox, uint32_t calls_max);
struct rpc_home *rpc_homes_enter(struct rpc_homes *homes); /* one with room; it counts the call */
void rpc_homes_leave(struct rpc_home *home);
static inline void rpc_homes_closed(struct rpc_signal *signal) { LIST_ENTRY(signal, struct rpc_home, closed)->is_closed = true; }
/* Stop: no call is left, the server is destroyed. Takes what is in the inbox. */
void rpc_homes_deinit(struct rpc_homes *homes);

#endif
