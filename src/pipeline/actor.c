/* actor: the runner. */
#include "pipeline/actor.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "storage/rcu.h"

#define BACKGROUND_NICE 2

/* The default place to wait: a futex word that every ring raises. */
static void futex_ring(struct actor *actor)
{
    atomic_store_explicit(&actor->futex, 1, memory_order_release);
    syscall(SYS_futex, &actor->futex, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_wait(struct actor *actor, uint64_t deadline_ns)
{
    if (atomic_exchange_explicit(&actor->futex, 0, memory_order_acquire) == 1) return;
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
    syscall(SYS_futex, &actor->futex, FUTEX_WAIT_BITSET_PRIVATE, 0, deadline_ns == CLOCK_NEVER ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
    atomic_store_explicit(&actor->futex, 0, memory_order_relaxed);
}

static void ring_actor(void *context)
{
    struct actor *actor = context;
    if (actor->table->ring != NULL) {
        actor->table->ring(actor);
    } else {
        futex_ring(actor);
    }
}

void actor_init(struct actor *actor, const struct actor_table *table)
{
    ASSERT(table->step != NULL);
    ASSERT((table->wait == NULL) == (table->ring == NULL));
    memset(actor, 0, sizeof(*actor));
    actor->table = table;
    atomic_init(&actor->futex, 0);
    atomic_init(&actor->stopping, false);
    doorbell_init(&actor->bell, ring_actor, actor);
}

void actor_deinit(struct actor *actor) { ASSERT(!actor->is_running); }

void actor_connect(struct actor *from, struct actor *to, struct lane *lane)
{
    ASSERT(from->out_count < ACTOR_LANES_MAX && to->in_count < ACTOR_LANES_MAX);
    ASSERT(lane->bell == NULL);
    from->out[from->out_count++] = lane;
    to->in[to->in_count++] = lane;
    lane->bell = &to->bell;
}

void actor_answer_ping(const struct mail *mail, struct lane *to_main)
{
    ASSERT(mail->kind == MAIL_PING);
    struct mail pong = {.kind = MAIL_PONG, .ping.cookie = mail->ping.cookie};
    (void)lane_post(to_main, &pong); /* full: main will miss it */
}

void actor_answer_pings(struct lane *from_main, struct lane *to_main)
{
    struct mail mail;
    while (lane_take(from_main, &mail)) actor_answer_ping(&mail, to_main);
}

bool actor_has_mail(const struct actor *actor)
{
    for (uint32_t i = 0; i < actor->in_count; i++) {
        if (ring_size(&actor->in[i]->ring) > 0) return true;
    }
    return false;
}

uint64_t actor_deadline_ns(struct actor *actor)
{
    return actor->table->deadline_ns == NULL ? CLOCK_NEVER : actor->table->deadline_ns(actor);
}

/* --- lending --- */

/* The thread's own: whom it has rung and not served yet. */
struct runner {
    struct actor *self;
    struct {
        struct actor *actor;
        bool is_wake; /* not borrowed: only to be woken when its turn comes */
    } turns[ACTOR_BORROWED_MAX];
    uint32_t count;
    bool is_pressed; /* its own role comes before them */
};
static _Thread_local struct runner *this_runner; /* NULL = a thread that steps nobody but itself */

void actor_rouse(struct actor *actor)
{
    struct runner *runner = this_runner;
    bool has_room = runner != NULL && runner->count < ACTOR_BORROWED_MAX;
    if (!has_room || !actor->table->may_be_lent) {
        doorbell_ring(&actor->bell);
    } else if (doorbell_claim(&actor->bell, DOORBELL_LENT)) {
        runner->turns[runner->count].is_wake = false;
        runner->turns[runner->count++].actor = actor;
    }
}

/* A wake that may stay behind those who are to be stepped first. */
static bool wake_in_turn(struct actor *actor)
{
    struct runner *runner = this_runner;
    if (runner == NULL || runner->count == 0 || runner->count == ACTOR_BORROWED_MAX) return false;
    runner->turns[runner->count].is_wake = true;
    runner->turns[runner->count++].actor = actor;
    return true;
}

static void press(const struct lane *lane)
{
    struct runner *runner = this_runner;
    bool is_mine = runner != NULL && lane->bell->context == runner->self;
    if (is_mine && ring_size(&lane->ring) <= ACTOR_PRESSING_MAX) runner->is_pressed = true;
}

/* Lanes of a role that was never started, or of a test, have a bell and nothing round it. */
static void ring_consumer(struct lane *lane)
{
    if (!lane->posted || lane->bell->ring != ring_actor) {
        lane_ring(lane);
        return;
    }
    lane->posted = false;
    if (lane->is_pressing) press(lane);
    if (!lane->waits_turn || !wake_in_turn(lane->bell->context)) actor_rouse(lane->bell->context);
}

static bool step_and_ring(struct actor *actor)
{
    bool more = actor->table->step(actor, clock_mono_ns());
    if (actor->first_out != NULL) ring_consumer(actor->first_out);
    for (uint32_t i = 0; i < actor->out_count; i++) ring_consumer(actor->out[i]);
    if (actor->table->is_reader) rcu_reader_quiescent();
    return more;
}

static bool has_work(const struct actor *actor)
{
    return actor_has_mail(actor) || (actor->table->has_more != NULL && actor->table->has_more(actor));
}

/* To its own thread, which sleeps or waits to have it back. */
static void send_home(struct actor *actor)
{
    atomic_exchange_explicit(&actor->bell.state, DOORBELL_AWAKE, memory_order_seq_cst);
    futex_ring(actor);
}

/* The sleeper's contract, kept in its place: asleep, then another look. */
static void give_back(struct actor *actor, bool more)
{
    if (more || actor_deadline_ns(actor) < actor->armed_ns) {
        send_home(actor);
        return;
    }
    bool is_wanted = atomic_exchange_explicit(&actor->bell.state, DOORBELL_ASLEEP, memory_order_seq_cst) == DOORBELL_WANTED;
    if (is_wanted || atomic_load_explicit(&actor->stopping, memory_order_acquire)) {
        doorbell_ring(&actor->bell);
    } else if (has_work(actor)) {
        actor_rouse(actor);
    }
}

static void send_all_home(struct runner *runner)
{
    for (uint32_t i = 0; i < runner->count; i++) {
        if (runner->turns[i].is_wake) doorbell_ring(&runner->turns[i].actor->bell);
        else send_home(runner->turns[i].actor);
    }
    runner->count = 0;
}

/* In the order in which they were rung. False: the thread's own role comes first; the others keep their turns. */
static bool serve_turns(struct runner *runner, bool is_online)
{
    for (uint32_t steps = 0; runner->count > 0 && steps < ACTOR_LENT_STEPS_MAX; steps++) {
        if (runner->is_pressed) return false;
        struct actor *actor = runner->turns[0].actor;
        bool is_wake = runner->turns[0].is_wake;
        runner->count--;
        memmove(runner->turns, runner->turns + 1, runner->count * sizeof(runner->turns[0]));
        if (is_wake) {
            doorbell_ring(&actor->bell);
            continue;
        }
        bool goes_online = actor->table->is_reader && !is_online;
        if (goes_online) rcu_reader_online();
        bool more = step_and_ring(actor);
        if (goes_online) rcu_reader_offline();
        give_back(actor, more);
    }
    send_all_home(runner);
    return true;
}

/* --- the runner --- */

bool actor_step(struct actor *actor, uint64_t now_ns)
{
    bool more = actor->table->step(actor, now_ns);
    for (uint32_t i = 0; i < actor->out_count; i++) lane_ring(actor->out[i]);
    return more || actor_has_mail(actor);
}

static void log_to_main(void *context, struct slice line)
{
    struct actor *actor = context;
    struct mail mail = {.kind = MAIL_LOG, .log.line = blob_copy(line)};
    if (!lane_post(actor->log_lane, &mail)) mail_deinit(&mail);
}

/* Rung, in time, or for no reason: who borrowed the role has it until he gives it back. */
static void take_back(struct actor *actor)
{
    for (;;) {
        unsigned state = atomic_load_explicit(&actor->bell.state, memory_order_seq_cst);
        if (state == DOORBELL_AWAKE) return;
        unsigned mine = state == DOORBELL_ASLEEP ? DOORBELL_AWAKE : DOORBELL_WANTED;
        bool is_set = state == DOORBELL_WANTED || atomic_compare_exchange_strong_explicit(&actor->bell.state, &state, mine,
                                                                                          memory_order_seq_cst, memory_order_seq_cst);
        if (is_set && mine == DOORBELL_WANTED) futex_wait(actor, CLOCK_NEVER);
    }
}

static void sleep_until_rung(struct actor *actor)
{
    uint64_t deadline_ns = actor_deadline_ns(actor);
    actor->armed_ns = deadline_ns;
    atomic_exchange_explicit(&actor->bell.state, DOORBELL_ASLEEP, memory_order_seq_cst);
    if (!has_work(actor) && !atomic_load_explicit(&actor->stopping, memory_order_acquire)) {
        if (actor->table->is_reader) rcu_reader_offline();
        if (actor->table->wait != NULL) {
            actor->table->wait(actor, deadline_ns);
        } else {
            futex_wait(actor, deadline_ns);
        }
        if (actor->table->is_reader) rcu_reader_online();
    }
    take_back(actor);
}

/* Linux counts niceness and I/O priority by thread. Without them it still works: errors are of no account. */
static void step_back(void)
{
    const int io_best_effort = 2 << 13, io_lowest = 7;
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), BACKGROUND_NICE);
    (void)syscall(SYS_ioprio_set, 1, 0, io_best_effort | io_lowest);
}

static void *run(void *context)
{
    struct actor *actor = context;
    struct runner runner = {.self = actor};
    bool is_reader = actor->table->is_reader;
    if (actor->table->is_background) step_back();
    else this_runner = &runner;
    if (actor->log_lane != NULL) log_set_thread_sink(log_to_main, actor);
    rcu_reader_register();
    if (is_reader) rcu_reader_online();
    else rcu_reader_offline();
    while (!atomic_load_explicit(&actor->stopping, memory_order_acquire)) {
        runner.is_pressed = false;
        bool more = step_and_ring(actor);
        if (more || actor_has_mail(actor)) {
            send_all_home(&runner);
            continue;
        }
        if (!serve_turns(&runner, is_reader)) continue;
        sleep_until_rung(actor);
        serve_turns(&runner, is_reader);
    }
    send_all_home(&runner);
    this_runner = NULL;
    rcu_reader_unregister();
    return NULL;
}

void actor_start(struct actor *actor)
{
    ASSERT(!actor->is_running);
    int error = pthread_create(&actor->thread, NULL, run, actor);
    if (error != 0) fatal("cannot start the thread %s: %s", actor->table->name, strerror(error));
    pthread_setname_np(actor->thread, actor->table->name);
    actor->is_running = true;
}

void actor_stop(struct actor *actor)
{
    if (!actor->is_running) return;
    atomic_store_explicit(&actor->stopping, true, memory_order_release);
    doorbell_ring(&actor->bell);
    int error = pthread_join(actor->thread, NULL);
    ASSERT(error == 0);
    actor->is_running = false;
}
