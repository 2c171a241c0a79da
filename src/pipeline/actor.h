/* actor: what every role is: state, a bounded step over its lanes, a place to wait; and the one runner that gives a role its thread.
 *
 * The runner's round: now → step → ring the consumers → quiescent state → step what was lent → wait if there is nothing to do. A role waits in
 * exactly one place and never polls. The same roles run without threads: call actor_step by hand.
 *
 * Lending. A wake costs more than most steps, so a thread that has rung a role asleep, and has nothing to do itself, steps that role instead of
 * waking its thread, and whom that step rings in turn. It gives the role back after each step, and to its own thread where there is more to do,
 * a deadline came nearer, or that thread woke meanwhile; after ACTOR_LENT_STEPS_MAX steps it returns to its own role. So under load every
 * role has its thread, and a lone call takes the whole line on the threads that have to wake for it anyway. Only roles that wait in the
 * runner's futex are lent, since nothing else in them belongs to their thread. What they log goes down the lane of the thread's own role.
 * Turns. Who was borrowed is served in the order of the rings: `first_out`, then the lanes as they were connected. Two kinds of lanes change it
 * (mailbox.h): the consumer of one that `waits_turn` is woken when those that were rung before it have been stepped, since the thread that wakes
 * takes the processor as often as not; a few mails in one that `is_pressing`, for the thread's own role, come before the turns that are left.
 *
 * Owner: the role embeds struct actor; the node starts and stops it. Thread: the role's own or who borrowed it (mailbox.h), but for actor_rouse and
 * actor_stop (any). Limits: ACTOR_LANES_MAX lanes in and out; a thread has ACTOR_BORROWED_MAX roles at once.
 */
#ifndef PIPELINE_ACTOR_H
#define PIPELINE_ACTOR_H
#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/mailbox.h"

#define ACTOR_LANES_MAX 16
#define ACTOR_BORROWED_MAX 8
#define ACTOR_LENT_STEPS_MAX 32
#define ACTOR_PRESSING_MAX 4 /* mails: with more, who waits for its turn would wait long */

struct actor;
struct actor_table {
    const char *name;      /* the thread's name: "kvd-net" */
    bool is_reader;        /* registers with RCU; offline round every wait */
    bool is_background;    /* its thread comes behind the others at the processor and the disk, and steps nobody else */
    bool may_be_lent;      /* others may step it while it sleeps: waits in the futex, never blocks in a step */
    /* Bounded work at time now_ns. True: there is more to do right now. */
    bool (*step)(struct actor *actor, uint64_t now_ns);
    uint64_t (*deadline_ns)(struct actor *actor); /* CLOCK_NEVER = none; may be NULL */
    /* What came past the lanes, with the lanes' order of memory; NULL = nothing does. Any thread. */
    bool (*has_more)(const struct actor *actor);
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
    struct lane *first_out;  /* of `out`: rung before the others; NULL = none. The role's step may change it */
    struct lane *log_lane;   /* to main; NULL = stderr */
    struct doorbell bell;
    uint64_t armed_ns;       /* its thread sleeps until then */
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
/* Something came for it that is in no lane. Any thread; a runner's own steps it, if it may be lent, as soon as its own step or wait is over. */
void actor_rouse(struct actor *actor);
void actor_start(struct actor *actor); /* a thread */
void actor_stop(struct actor *actor);  /* asks, wakes, joins; the role's lanes keep what was not taken */

#endif
