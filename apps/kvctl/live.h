/* live: a command that stays until it is told to end: its calls and streams, times, and an ear, behind one place to wait.
 * Owner: live_new/live_free; timers are embedded by their users and unset before they go. Thread: main. */
#ifndef KVCTL_LIVE_H
#define KVCTL_LIVE_H
#include "base/heap.h"
#include "ctl.h"
#include "ear.h"

struct live_timer {
    struct heap_node node;
    void (*fn)(void *context, uint64_t now_ns); /* may set it again */
    void *context;
};
struct live {
    struct ctl *ctl;
    struct ear *ear;
    struct heap timers;
};

void live_init(struct live *live, struct ctl *ctl, bool wants_lines);
void live_init_deaf(struct live *live, struct ctl *ctl); /* without an ear: on a thread beside the one that hears */
void live_deinit(struct live *live); /* nothing is set */

void live_timer_init(struct live_timer *timer, void (*fn)(void *context, uint64_t now_ns), void *context);
void live_set(struct live *live, struct live_timer *timer, uint64_t at_ns); /* again, if it is set */
void live_unset(struct live *live, struct live_timer *timer);               /* accepts one that is not set */

void live_step(struct live *live); /* waits until something happened, and runs what is due */
/* One call; everything else goes on meanwhile. `keep_going`, asked after each step: false ends the call with CANCELLED. NULL = always.
 * *out_answer is filled and owned in any case. */
void live_call(struct live *live, const struct calls_request *request, bool (*keep_going)(void *context), void *context,
               struct calls_answer *out_answer);

#endif
