/* rcu_double: see rcu_double.h. */
#include "lib/rcu_double.h"

#include "base/assert.h"

static void retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    struct rcu_double *rcu_double = (struct rcu_double *)(void *)rcu;
    ASSERT(fn != NULL);
    node->fn = fn;
    node->next = NULL;
    node->reserved[0] = (void *)(uintptr_t)rcu_double->now++;
    if (rcu_double->first == NULL) {
        rcu_double->first = node;
    } else {
        rcu_double->last->next = node;
    }
    rcu_double->last = node;
    rcu_double->waiting++;
}

static void wait(struct rcu *rcu) { rcu_double_pass((struct rcu_double *)(void *)rcu, UINT64_MAX); }

static const struct rcu_table rcu_double_table = {.retire = retire, .wait = wait};

void rcu_double_init(struct rcu_double *rcu_double)
{
    *rcu_double = (struct rcu_double){.rcu = {.table = &rcu_double_table}};
}

void rcu_double_pass(struct rcu_double *rcu_double, uint64_t time)
{
    while (rcu_double->first != NULL && (uint64_t)(uintptr_t)rcu_double->first->reserved[0] < time) {
        struct rcu_node *node = rcu_double->first;
        ASSERT(rcu_double->waiting > 0);
        rcu_double->first = node->next;
        rcu_double->waiting--;
        node->fn(node);
    }
}
