/* rcu: the one door to liburcu (QSBR flavour), so that tests and the simulator can put a double in its place.
 *
 * Readers: net, watch, snap and apply register; a registered thread is online while it runs a step and offline round every wait
 * (the runner does that). Between two quiescent states a pointer got by RCU_LOAD stays valid. Nobody ever waits for readers:
 * what is retired is handed to rcu_retire, whose call-back (on liburcu's thread) may only push it back to its owner.
 * Source: liburcu's QSBR documentation. Thread: as said per function.
 */
#ifndef STORAGE_RCU_H
#define STORAGE_RCU_H
#include <stdbool.h>
#include <stddef.h>

/* Embedded in what is retired; opaque room for liburcu's rcu_head, asserted in rcu.c. */
struct rcu_node {
    struct rcu_node *next;
    void *reserved[4];
    void (*fn)(struct rcu_node *node);
};

/* How retired things wait for their readers: production (rcu_system) or a double whose owner says when a grace period has passed. */
struct rcu;
struct rcu_table {
    void (*retire)(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node));
    void (*wait)(struct rcu *rcu);
};
struct rcu {
    const struct rcu_table *table;
};
struct rcu *rcu_system(void); /* liburcu's call_rcu; a TSan build maps it to a double of C11 atomics with the same promises */
static inline void rcu_retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    rcu->table->retire(rcu, node, fn);
}

/* Any thread that reads; the calling thread. */
void rcu_reader_register(void);
void rcu_reader_unregister(void);
void rcu_reader_online(void);
void rcu_reader_offline(void);
void rcu_reader_quiescent(void);
/* Waits until every call-back ran; at stop, or at a start that fails, by a thread that is offline or not registered. */
static inline void rcu_wait(struct rcu *rcu) { rcu->table->wait(rcu); }

#define RCU_LOAD(pointer) __atomic_load_n(&(pointer), __ATOMIC_ACQUIRE) /* consume in theory; acquire costs nothing on x86-64 */
#define RCU_PUBLISH(pointer, value) __atomic_store_n(&(pointer), (value), __ATOMIC_RELEASE)

#endif
