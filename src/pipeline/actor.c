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

static void sleep_until_rung(struct actor *actor)
{
    atomic_exchange_explicit(&actor->bell.sleeping, 1, memory_order_seq_cst);
    if (!actor_has_mail(actor) && !atomic_load_explicit(&actor->stopping, memory_order_acquire)) {
        if (actor->table->is_reader) rcu_reader_offline();
        uint64_t deadline_ns = actor_deadline_ns(actor);
        if (actor->table->wait != NULL) {
            actor->table->wait(actor, deadline_ns);
        } else {
            futex_wait(actor, deadline_ns);
        }
        if (actor->table->is_reader) rcu_reader_online();
    }
    atomic_store_explicit(&actor->bell.sleeping, 0, memory_order_seq_cst);
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
    if (actor->table->is_background) step_back();
    if (actor->log_lane != NULL) log_set_thread_sink(log_to_main, actor);
    if (actor->table->is_reader) {
        rcu_reader_register();
        rcu_reader_online();
    }
    while (!atomic_load_explicit(&actor->stopping, memory_order_acquire)) {
        bool more = actor_step(actor, clock_mono_ns());
        if (actor->table->is_reader) rcu_reader_quiescent();
        if (!more) sleep_until_rung(actor);
    }
    if (actor->table->is_reader) rcu_reader_unregister();
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
