/* load: the calls of a run: clients, each with one call at a time, divided among workers; a worker is a client of the library, and so a
 * thread. In a closed loop a client starts its next call when its last one has ended, on the library's thread and without any hop. In an
 * open loop the main thread hands out what is due to clients that are free; when all are busy, whoever ends a call takes the next that is due.
 *
 * Owner: load_new/load_free. Thread: main, but for the call-backs. Limits: settings' clients. */
#ifndef KVBENCH_LOAD_H
#define KVBENCH_LOAD_H
#include <stdbool.h>
#include <stdint.h>

#include "settings.h"
#include "tally.h"

enum load_phase {
    LOAD_CONNECT, /* each connection is used once */
    LOAD_FILL,    /* every key is put once, in batches; counted are keys */
    LOAD_GRANT,   /* leases that are renewed */
    LOAD_OPEN,    /* streams and watchers; begun by load_start, counted by nobody */
    LOAD_WORK     /* what the command says */
};
struct load;
/* NULL: out_text says what is wrong. `on_idle` runs on any thread when nothing is left to do and nothing in flight. */
struct load *load_new(const struct settings *settings, void (*on_idle)(void), char out_text[SETTINGS_TEXT_BYTES]);
void load_free(struct load *load); /* what is in flight is cancelled; accepts NULL */

/* Only when load_can_start. `total`: operations; 0 = until load_stop. Only LOAD_WORK knows a rate, and an end for what is due. */
void load_start(struct load *load, enum load_phase phase, uint64_t total, uint64_t now_ns, uint64_t end_ns);
/* Open loop: starts what is due; answers when to come again, CLOCK_NEVER = there is no need to. */
uint64_t load_pace(struct load *load, uint64_t now_ns);
void load_stop(struct load *load, uint64_t now_ns); /* nothing new, but what in an open loop was due by now */
bool load_is_idle(struct load *load);
bool load_can_start(struct load *load); /* false: something is still in flight, or a stream is over */
bool load_is_broken(struct load *load); /* a stream is over, and nothing can go on */
/* Ends of operations are written there from now on; NULL = no more. */
void load_record(struct load *load, FILE *raw);
/* Adds what was counted since the last time to *sum. */
void load_collect(struct load *load, struct tally *sum);

#endif
