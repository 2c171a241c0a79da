/* rpc_signal: see rpc_signal.h. */
#include "rpc/rpc_signal.h"

#include <sched.h>

#include "base/assert.h"
#include "base/list.h"

void rpc_signal_post(struct rpc_signal *signal)
{
    struct rpc_signal_inbox *inbox = signal->inbox;
    ASSERT(inbox != NULL);
    atomic_fetch_add(&inbox->pushers, 1);
    signal->next = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&inbox->newest, &signal->next, signal)) continue;
    if (inbox->wake == NULL) inbox->rouse(inbox->context);
    else if (atomic_exchange(&inbox->sleeping, false)) rpc_wake_ring(inbox->wake);
    atomic_fetch_sub(&inbox->pushers, 1); /* the last that it touches */
}

/* Of `catching` one of the two changes the word first: then the other one knows. */
static bool change(struct rpc_signal *signal, unsigned to)
{
    unsigned expected = RPC_SIGNAL_CATCHING;
    return atomic_compare_exchange_strong(&signal->catching, &expected, to);
}

/* Any thread of gRPC's, or the owner inside its own start of a batch. A signal that was caught is its owner's from then on. */
static void run(grpc_completion_queue_functor *functor, int ok)
{
    struct rpc_signal *signal = LIST_ENTRY(functor, struct rpc_signal, functor);
    RPC_TAG_ACQUIRE(&signal->tag);
    signal->ok = ok != 0;
    bool is_catching = atomic_load(&signal->catching) == RPC_SIGNAL_CATCHING;
    if (!is_catching || !change(signal, RPC_SIGNAL_CAUGHT)) rpc_signal_post(signal);
}

bool rpc_signal_caught(struct rpc_signal *signal)
{
    bool is_caught = atomic_load(&signal->catching) == RPC_SIGNAL_CAUGHT; /* nearly always, and nobody else looks at it any more */
    if (!is_caught && change(signal, RPC_SIGNAL_FREE)) return false;
    ASSERT(atomic_load(&signal->catching) == RPC_SIGNAL_CAUGHT);
    atomic_store_explicit(&signal->catching, RPC_SIGNAL_FREE, memory_order_relaxed);
    return true;
}

static void init(struct rpc_signal_inbox *inbox)
{
    *inbox = (struct rpc_signal_inbox){.oldest = NULL};
    atomic_init(&inbox->newest, NULL);
    atomic_init(&inbox->sleeping, false);
    atomic_init(&inbox->pushers, 0);
}

void rpc_signal_inbox_init(struct rpc_signal_inbox *inbox, struct rpc_wake *wake)
{
    ASSERT(wake != NULL);
    init(inbox);
    inbox->wake = wake;
}

void rpc_signal_inbox_init_roused(struct rpc_signal_inbox *inbox, void (*rouse)(void *context), void *context)
{
    ASSERT(rouse != NULL);
    init(inbox);
    inbox->rouse = rouse;
    inbox->context = context;
}

/* Whoever pushed what was taken has announced itself before: the count covers it. It has a few instructions to go. */
void rpc_signal_inbox_deinit(struct rpc_signal_inbox *inbox)
{
    ASSERT(inbox->oldest == NULL && atomic_load(&inbox->newest) == NULL);
    while (atomic_load(&inbox->pushers) > 0) sched_yield();
}

void rpc_signal_init(struct rpc_signal *signal, enum rpc_tag_kind kind, struct rpc_signal_inbox *inbox)
{
    *signal = (struct rpc_signal){.functor = {.functor_run = run, .inlineable = 1}, .tag.kind = kind,
                                   .carrier.kind = RPC_TAG_SIGNAL, .inbox = inbox};
}

struct rpc_tag *rpc_signal_carrier(struct rpc_signal *signal)
{
    rpc_signal_release(signal);
    RPC_TAG_RELEASE(&signal->carrier);
    return &signal->carrier;
}

void rpc_signal_pass(struct rpc_tag *carrier, bool ok)
{
    RPC_TAG_ACQUIRE(carrier);
    ASSERT(carrier->kind == RPC_TAG_SIGNAL);
    run(&LIST_ENTRY(carrier, struct rpc_signal, carrier)->functor, ok);
}

struct rpc_signal *rpc_signal_take(struct rpc_signal_inbox *inbox)
{
    if (inbox->oldest == NULL && atomic_load_explicit(&inbox->newest, memory_order_relaxed) != NULL) {
        struct rpc_signal *newest = atomic_exchange(&inbox->newest, NULL);
        while (newest != NULL) { /* turns the stack round */
            struct rpc_signal *older = newest->next;
            newest->next = inbox->oldest;
            inbox->oldest = newest;
            newest = older;
        }
    }
    struct rpc_signal *signal = inbox->oldest;
    if (signal != NULL) inbox->oldest = signal->next;
    return signal;
}

bool rpc_signal_sleep(struct rpc_signal_inbox *inbox)
{
    ASSERT(inbox->wake != NULL);
    if (inbox->oldest != NULL) return false;
    atomic_exchange(&inbox->sleeping, true);
    if (atomic_load(&inbox->newest) == NULL) return true;
    rpc_signal_awake(inbox);
    return false;
}

void rpc_signal_awake(struct rpc_signal_inbox *inbox) { atomic_store(&inbox->sleeping, false); }
