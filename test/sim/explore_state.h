/* explore_state: a state of the whole cluster, what can happen in it, and the rules between nodes.
 *
 * A state is small: the numbers of its nodes, the numbers of the messages in flight, what was used up of the scope, and a ghost:
 * what nobody in the cluster needs to know, but the rules do (who led which term; what is committed, and in which term it was).
 *
 * Owner: struct explore_world embedded by its user. Thread: one. Limits: EXPLORE_FLIGHT_MAX messages in flight.
 */
#ifndef SIM_EXPLORE_STATE_H
#define SIM_EXPLORE_STATE_H
#include "sim/explore_node.h"

enum { EXPLORE_FLIGHT_MAX = 8, EXPLORE_TERMS_MAX = 6, EXPLORE_NEXT_MAX = 80 };

/* What was used up. */
struct explore_used {
    uint8_t proposals;
    uint8_t confs;
    uint8_t crashes;
    uint8_t duplicates;
    uint8_t beats;
    uint8_t ages;
    uint8_t reads;
    uint8_t flight; /* messages in flight now */
    uint8_t snapshots;
    uint8_t installs;
    uint8_t unused[6];
};

struct explore_state {
    uint32_t nodes[EXPLORE_NODES_MAX];
    uint32_t ghost;
    struct explore_used used;
    uint32_t flight[EXPLORE_FLIGHT_MAX];
    uint32_t place; /* in the set of states met */
};

struct explore_ghost {
    uint64_t hash[EXPLORE_ORDERS_MAX];
    uint32_t log; /* what is committed */
    uint8_t leaders[EXPLORE_TERMS_MAX + 1];
    uint8_t committed;
    uint8_t commit_terms[EXPLORE_LOG_MAX + 1]; /* per index: the term in which it was */
    uint8_t read_floor; /* what was committed when the read was asked */
    uint32_t chain[EXPLORE_LOG_MAX + 1];
};

enum explore_choice {
    EXPLORE_CHOICE_DELIVER,
    EXPLORE_CHOICE_DUPLICATE,
    EXPLORE_CHOICE_LOSE,
    EXPLORE_CHOICE_PERSIST,
    EXPLORE_CHOICE_TIMEOUT,
    EXPLORE_CHOICE_BEAT,
    EXPLORE_CHOICE_AGE,
    EXPLORE_CHOICE_PROPOSE,
    EXPLORE_CHOICE_CONF,
    EXPLORE_CHOICE_READ,
    EXPLORE_CHOICE_CRASH,
    EXPLORE_CHOICE_TAKE,
    EXPLORE_CHOICE_INSTALL,
};

struct explore_next {
    struct explore_state state;
    uint64_t hash; /* the same for states that differ in names only */
    enum explore_choice choice;
    uint32_t node;     /* 0-based; of the receiver */
    uint32_t argument; /* message, proposal, change, log */
    enum explore_rule rule;
};

struct explore_world {
    const struct explore_scope *scope;
    struct explore_pool pool;
    struct explore_nodes *nodes;
    struct map ghost_ids;
    struct explore_ghost *ghosts;
    size_t ghost_count;
    size_t ghost_capacity;
    /* Of the state that is being gone on from. */
    struct explore_next nexts[EXPLORE_NEXT_MAX];
    uint32_t next_count;
    bool has_blocked; /* something found no room for its messages */
    struct explore_next trying; /* for the report when the core stops in it */
};

void explore_world_init(struct explore_world *world, const struct explore_scope *scope);
void explore_world_deinit(struct explore_world *world);
struct explore_state explore_world_first(struct explore_world *world);
uint64_t explore_world_hash(const struct explore_world *world, const struct explore_state *state);
/* Fills nexts with all that can happen, broken rules too. */
void explore_world_expand(struct explore_world *world, const struct explore_state *state);

#endif
