/* live: see the header. */
#include "live.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"

void live_init(struct live *live, struct ctl *ctl, bool wants_lines)
{
    ASSERT(ctl->client != NULL);
    *live = (struct live){.ctl = ctl, .ear = ear_new(ctl->client, wants_lines)};
    heap_init(&live->timers);
}

void live_init_deaf(struct live *live, struct ctl *ctl)
{
    ASSERT(ctl->client != NULL);
    *live = (struct live){.ctl = ctl};
    heap_init(&live->timers);
}

void live_deinit(struct live *live)
{
    ASSERT(live->timers.count == 0);
    ear_free(live->ear);
    heap_deinit(&live->timers);
}

void live_timer_init(struct live_timer *timer, void (*fn)(void *context, uint64_t now_ns), void *context)
{
    ASSERT(fn != NULL);
    *timer = (struct live_timer){.fn = fn, .context = context};
    heap_node_init(&timer->node);
}

void live_set(struct live *live, struct live_timer *timer, uint64_t at_ns)
{
    live_unset(live, timer);
    heap_push(&live->timers, &timer->node, at_ns);
}

void live_unset(struct live *live, struct live_timer *timer)
{
    if (timer->node.place != HEAP_NONE) heap_remove(&live->timers, &timer->node);
}

static void run_timers(struct live *live)
{
    uint64_t now_ns = clock_mono_ns();
    for (struct heap_node *first; (first = heap_first(&live->timers)) != NULL && heap_key(&live->timers, first) <= now_ns;) {
        struct live_timer *due = LIST_ENTRY(heap_pop(&live->timers), struct live_timer, node);
        due->fn(due->context, now_ns);
    }
}

void live_step(struct live *live)
{
    run_timers(live);
    const struct heap_node *first = heap_first(&live->timers);
    calls_pump(live->ctl->client, first == NULL ? CLOCK_NEVER : heap_key(&live->timers, first));
    run_timers(live);
}

void live_call(struct live *live, const struct calls_request *request, bool (*keep_going)(void *context), void *context,
               struct calls_answer *out_answer)
{
    uint64_t call = calls_begin(live->ctl->client, request, out_answer);
    while (out_answer->text == NULL) {
        live_step(live);
        if (keep_going != NULL && !keep_going(context)) calls_cancel(live->ctl->client, call);
    }
}
