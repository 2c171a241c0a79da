/* pending: the calls that wait for their entry, on the member that received them: the only map from request id to call, and one FIFO of
 * deadlines (all calls get the same time, so arrival order is deadline order). Owner: the raft role. Thread: raft.
 * Limits: `calls_max`; an entry leaves exactly once (pending_take). Source: design, "A call that enters leaves exactly once". */
#ifndef PIPELINE_PENDING_H
#define PIPELINE_PENDING_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/list.h"
#include "base/map.h"

enum pending_state {
    PENDING_HELD,      /* not proposed: no leader known, or refused by it */
    PENDING_PROPOSED,  /* in the own log at `index` */
    PENDING_FORWARDED, /* left for the leader, once */
};
struct pending_call {
    struct list fifo;       /* by deadline */
    struct list queue;      /* held calls, proposed calls, or the calls of one forward */
    uint64_t counter;       /* request id of this boot */
    uint64_t call;
    struct blob *command;   /* one reference, for the way after HELD or a refusal */
    uint64_t deadline_ns;
    uint64_t index;         /* PROPOSED */
    uint64_t forward;       /* FORWARDED */
    enum pending_state state;
};
struct pending {
    struct map by_counter;
    struct list fifo;
    struct list held;
    struct list proposed;
    uint32_t calls_max;
};

void pending_init(struct pending *pending, uint32_t calls_max);
void pending_deinit(struct pending *pending);
/* In state HELD, at the end of `held`; takes a reference to command. NULL: full, or the counter is there already. */
struct pending_call *pending_add(struct pending *pending, uint64_t counter, uint64_t call, struct blob *command,
                                 uint64_t deadline_ns);
struct pending_call *pending_find(const struct pending *pending, uint64_t counter); /* NULL = none */
void pending_set_held(struct pending *pending, struct pending_call *call);
void pending_set_proposed(struct pending *pending, struct pending_call *call, uint64_t index);
void pending_set_forwarded(struct pending_call *call, struct list *calls_of_forward, uint64_t forward);
struct pending_call *pending_oldest(const struct pending *pending); /* NULL = none */
uint64_t pending_remove(struct pending *pending, struct pending_call *call); /* frees it; returns the call's name */
uint64_t pending_deadline_ns(const struct pending *pending);

#endif
