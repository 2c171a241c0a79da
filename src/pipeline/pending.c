/* pending: calls that wait for their entry. */
#include "pipeline/pending.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

void pending_init(struct pending *pending, uint32_t calls_max)
{
    ASSERT(calls_max > 0);
    map_init(&pending->by_counter);
    list_init(&pending->fifo);
    list_init(&pending->held);
    list_init(&pending->proposed);
    pending->calls_max = calls_max;
}

void pending_deinit(struct pending *pending)
{
    struct pending_call *call;
    while ((call = pending_oldest(pending)) != NULL) pending_remove(pending, call);
    map_deinit(&pending->by_counter);
}

struct pending_call *pending_add(struct pending *pending, uint64_t counter, uint64_t call, struct blob *command,
                                 uint64_t deadline_ns)
{
    ASSERT(call != 0 && command != NULL);
    if (pending->by_counter.count >= pending->calls_max) return NULL;
    struct pending_call *waiting = ALLOC(struct pending_call);
    if (!map_put(&pending->by_counter, counter, waiting)) {
        alloc_free(waiting);
        return NULL;
    }
    waiting->counter = counter;
    waiting->call = call;
    waiting->command = blob_ref(command);
    waiting->deadline_ns = deadline_ns;
    waiting->state = PENDING_HELD;
    list_push_back(&pending->fifo, &waiting->fifo);
    list_push_back(&pending->held, &waiting->queue);
    return waiting;
}

struct pending_call *pending_find(const struct pending *pending, uint64_t counter)
{
    return map_get(&pending->by_counter, counter);
}

void pending_set_held(struct pending *pending, struct pending_call *call)
{
    list_remove(&call->queue);
    call->state = PENDING_HELD;
    list_push_back(&pending->held, &call->queue);
}

void pending_set_proposed(struct pending *pending, struct pending_call *call, uint64_t index)
{
    ASSERT(call->state == PENDING_HELD && index > 0);
    list_remove(&call->queue);
    call->state = PENDING_PROPOSED;
    call->index = index;
    list_push_back(&pending->proposed, &call->queue);
}

void pending_set_forwarded(struct pending_call *call, struct list *calls_of_forward, uint64_t forward)
{
    ASSERT(call->state == PENDING_HELD);
    list_remove(&call->queue);
    call->state = PENDING_FORWARDED;
    call->forward = forward;
    list_push_back(calls_of_forward, &call->queue);
}

struct pending_call *pending_oldest(const struct pending *pending)
{
    if (list_is_empty(&pending->fifo)) return NULL;
    return LIST_ENTRY(pending->fifo.next, struct pending_call, fifo);
}

uint64_t pending_remove(struct pending *pending, struct pending_call *call)
{
    void *known = map_take(&pending->by_counter, call->counter);
    ASSERT(known == call);
    uint64_t name = call->call;
    list_remove(&call->fifo);
    list_remove(&call->queue);
    blob_unref(call->command);
    alloc_free(call);
    return name;
}

uint64_t pending_deadline_ns(const struct pending *pending)
{
    struct pending_call *oldest = pending_oldest(pending);
    return oldest == NULL ? CLOCK_NEVER : oldest->deadline_ns;
}
