/* rpc_homes: see rpc_homes.h. */
#include "rpc/rpc_homes.h"

#include "base/alloc.h"
#include "base/assert.h"

void rpc_homes_init(struct rpc_homes *homes, struct rpc_signal_inbox *inbox, uint32_t calls_max)
{
    ASSERT(calls_max > 0);
    *homes = (struct rpc_homes){.inbox = inbox, .max = calls_max / RPC_HOMES_CALLS + 1};
    homes->all = alloc_zero(homes->max, sizeof *homes->all);
    list_init(&homes->room);
}

static void make_home(struct rpc_homes *homes)
{
    struct rpc_home *home = ALLOC(struct rpc_home);
    ASSERT(homes->count < homes->max);
    *home = (struct rpc_home){.homes = homes};
    rpc_signal_init(&home->closed, RPC_TAG_SHUTDOWN, homes->inbox);
    home->queue = grpc_completion_queue_create_for_callback(&home->closed.functor, NULL);
    homes->all[homes->count++] = home;
    list_push_back(&homes->room, &home->of_room);
}

struct rpc_home *rpc_homes_enter(struct rpc_homes *homes)
{
    if (list_is_empty(&homes->room)) make_home(homes);
    struct rpc_home *home = LIST_ENTRY(homes->room.next, struct rpc_home, of_room);
    ASSERT(home->call_count < RPC_HOMES_CALLS);
    if (++home->call_count == RPC_HOMES_CALLS) list_remove(&home->of_room);
    return home;
}

void rpc_homes_leave(struct rpc_home *home)
{
    ASSERT(home->call_count > 0);
    if (home->call_count-- == RPC_HOMES_CALLS) list_push_back(&home->homes->room, &home->of_room);
}

void rpc_homes_deinit(struct rpc_homes *homes)
{
    for (uint32_t i = 0; i < homes->count; i++) {
        struct rpc_home *home = homes->all[i];
        struct rpc_signal *signal;
        ASSERT(home->call_count == 0);
        rpc_signal_release(&home->closed);
        grpc_completion_queue_shutdown(home->queue);
        while (!home->is_closed) {
            while ((signal = rpc_signal_take(homes->inbox)) != NULL) rpc_homes_closed(signal);
        }
        grpc_completion_queue_destroy(home->queue);
        alloc_free(home);
    }
    alloc_free(homes->all);
    *homes = (struct rpc_homes){.inbox = NULL};
}
