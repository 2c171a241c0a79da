/* rcu: liburcu's QSBR flavour behind rcu.h. The only file that includes its headers.
 *
 * Under ThreadSanitizer, which cannot see into liburcu's barriers, rcu_system is a double of C11 atomics with the same promises: a global
 * number that each retirement raises, and per registered thread the number it saw at its last quiescent state (0 = offline). What was
 * retired at number n is called back when no thread is online with less than n.
 */
#include "storage/rcu.h"

#include "base/assert.h"

#if defined(__SANITIZE_THREAD__)
#define RCU_IS_DOUBLE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_IS_DOUBLE 1
#endif
#endif

#ifndef RCU_IS_DOUBLE

#include <urcu-qsbr.h>

STATIC_ASSERT(sizeof(struct rcu_head) <= sizeof(((struct rcu_node *)NULL)->reserved), "the head fits in the node");

static void call_back(struct rcu_head *head)
{
    struct rcu_node *node = (struct rcu_node *)(void *)((char *)head - offsetof(struct rcu_node, reserved));
    ASSERT(node->fn != NULL);
    node->fn(node);
}

static void system_retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    ASSERT(rcu == rcu_system() && fn != NULL);
    node->fn = fn;
    call_rcu((struct rcu_head *)(void *)node->reserved, call_back);
}

static void system_wait(struct rcu *rcu)
{
    ASSERT(rcu == rcu_system());
    rcu_barrier();
}

void rcu_reader_register(void) { rcu_register_thread(); }
void rcu_reader_unregister(void) { rcu_unregister_thread(); }
void rcu_reader_online(void) { rcu_thread_online(); }
void rcu_reader_offline(void) { rcu_thread_offline(); }
void rcu_reader_quiescent(void) { rcu_quiescent_state(); }

#else

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#define READERS_MAX 64

/* The state of the process, as liburcu's own is. */
static struct {
    pthread_mutex_t lock; /* over the queue */
    struct rcu_node *first;
    struct rcu_node *last;
    atomic_uint_fast64_t number;
    atomic_bool is_taken[READERS_MAX];
    atomic_uint_fast64_t seen[READERS_MAX];
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .number = 1};
static _Thread_local int reader_slot = -1;

static uint64_t seen_by_all(void)
{
    uint64_t least = UINT64_MAX;
    for (int slot = 0; slot < READERS_MAX; slot++) {
        uint64_t seen = atomic_load(&world.seen[slot]);
        if (seen != 0 && seen < least) least = seen;
    }
    return least;
}

/* Calls back what all have let go of; true if nothing is left. */
static bool sweep(void)
{
    uint64_t seen = seen_by_all();
    pthread_mutex_lock(&world.lock);
    while (world.first != NULL && (uint64_t)(uintptr_t)world.first->reserved[0] <= seen) {
        struct rcu_node *node = world.first;
        world.first = node->next;
        node->fn(node);
    }
    bool is_empty = world.first == NULL;
    pthread_mutex_unlock(&world.lock);
    return is_empty;
}

static void system_retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    ASSERT(rcu == rcu_system() && fn != NULL);
    node->fn = fn;
    node->next = NULL;
    pthread_mutex_lock(&world.lock);
    node->reserved[0] = (void *)(uintptr_t)(atomic_fetch_add(&world.number, 1) + 1);
    if (world.first == NULL) {
        world.first = node;
    } else {
        world.last->next = node;
    }
    world.last = node;
    pthread_mutex_unlock(&world.lock);
    (void)sweep();
}

void rcu_reader_register(void)
{
    ASSERT(reader_slot == -1);
    for (int slot = 0; slot < READERS_MAX && reader_slot == -1; slot++) {
        if (!atomic_exchange(&world.is_taken[slot], true)) reader_slot = slot;
    }
    ASSERT(reader_slot != -1);
    rcu_reader_online();
}
void rcu_reader_unregister(void)
{
    rcu_reader_offline();
    atomic_store(&world.is_taken[reader_slot], false);
    reader_slot = -1;
}
/* Both are seq_cst: a retirement that does not see the store here was numbered, and its memory unlinked, before our first look. */
void rcu_reader_online(void)
{
    ASSERT(reader_slot != -1);
    atomic_store(&world.seen[reader_slot], atomic_load(&world.number));
}
void rcu_reader_offline(void)
{
    ASSERT(reader_slot != -1);
    atomic_store(&world.seen[reader_slot], 0);
}
void rcu_reader_quiescent(void) { rcu_reader_online(); }
static void system_wait(struct rcu *rcu)
{
    ASSERT(rcu == rcu_system());
    while (!sweep()) sched_yield();
}

#endif

struct rcu *rcu_system(void)
{
    static const struct rcu_table table = {.retire = system_retire, .wait = system_wait};
    static struct rcu rcu = {.table = &table};
    return &rcu;
}
