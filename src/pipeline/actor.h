/* actor: what every role is: state, a bounded step over its lanes, a place to wait; and the one runner that gives a role its thread.
 *
 * The runner's round: now → step → ring the consumers → quiescent state → wait if there is nothing to do. A role waits in exactly one
 * place and never polls. The same roles run without threads: call actor_step by hand.
 * Owner: the role embeds struct actor; the node starts and stops it. Thread: the role's own, but for actor_wake and actor_stop (any).
 * Limits: ACTOR_LANES_MAX lanes in and out.
 */
#ifndef PIPELINE_ACTOR_H
#define PIPELINE_ACTOR_H
#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/mailbox.h"

#define ACTOR_LANES_MAX 16

struct actor;
struct actor_table {
    const char *name;      /* the thread's name: "kvd-net" */
    bool is_reader;        /* registers with RCU; offline round every wait */
    bool is_background;    /* its thread comes behind the others at the processor and the disk */
    /* Bounded work at time now_ns. True: there is more to do right now. */
    bool (*step)(struct actor *actor, uint64_t now_ns);
    uint64_t (*deadline_ns)(struct actor *actor); /* CLOCK_NEVER = none; may be NULL */
    /* Where it waits; NULL = the runner's futex. `ring` may be called by any thread and makes the running or next wait return. */
    void (*wait)(struct actor *actor, uint64_t deadline_ns);
    void (*ring)(struct actor *actor);
};

struct actor {
    const struct actor_table *table;
    struct lane *in[ACTOR_LANES_MAX];
    struct lane *out[ACTOR_LANES_MAX];
    uint32_t in_count;
    uint32_t out_count;
    struct lane *log_lane;   /* to main; NULL = stderr */
    struct doorbell bell;
    atomic_uint futex;
    atomic_bool stopping;
    bool is_running;
    pthread_t thread;
};

void actor_init(struct actor *actor, const struct actor_table *table);
void actor_deinit(struct actor *actor); /* must not run */
void actor_connect(struct actor *from, struct actor *to, struct lane *lane);
/* One step by hand: what the runner does between two waits, without threads. */
bool actor_step(struct actor *actor, uint64_t now_ns);
uint64_t actor_deadline_ns(struct actor *actor);
/* Answers one PING. */
void actor_answer_ping(const struct mail *mail, struct lane *to_main);
/* Takes what main posted, where that can only be PING, and answers it. */
void actor_answer_pings(struct lane *from_main, struct lane *to_main);
bool actor_has_mail(const struct actor *actor);
void actor_start(struct actor *actor); /* a thread */
void actor_stop(struct actor *actor);  /* asks, wakes, joins; the role's lanes keep what was not taken */

#endif
