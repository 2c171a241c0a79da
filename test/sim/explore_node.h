/* explore_node: one node of the explorer: its consensus (the production core), its disk, and what one input makes of them.
 *
 * A step of the cluster changes one node. So each different pair of node and input is run through the core once; the millions
 * of cluster states that contain it look the result up (explore_node_move).
 *
 * Disk: what is durable (term, vote, commit, log), and the appends on their way, in order, each with the messages that must wait
 * for it. A crash loses what is on its way (a part that was written after all is a PERSIST before the crash, its messages lost).
 * Time stands still: timers run out when the explorer chooses (TIMEOUT, BEAT); AGE lets an election timeout pass with nothing
 * heard and no sync reported. Committed entries are applied at once.
 *
 * What a node may do on its own is checked here: R2 R8 R9 R10 R11 R12 R15 M1, the configuration of M2, the second half of R14 (see explore.h).
 *
 * Owner: explore_nodes_new/free. Thread: one. Limits: EXPLORE_APPENDS_MAX appends on their way; struct explore_scope.
 */
#ifndef SIM_EXPLORE_NODE_H
#define SIM_EXPLORE_NODE_H
#include "sim/explore.h"
#include "sim/explore_pool.h"

enum { EXPLORE_APPENDS_MAX = 4, EXPLORE_AFTER_MAX = 8, EXPLORE_OUT_MAX = 24 };

enum explore_input_kind {
    EXPLORE_DELIVER,
    EXPLORE_PERSIST,
    EXPLORE_TIMEOUT,
    EXPLORE_BEAT,
    EXPLORE_AGE,
    EXPLORE_PROPOSE,
    EXPLORE_CONF,
    EXPLORE_READ,
    EXPLORE_CRASH,
    EXPLORE_TAKE,    /* a snapshot of what is applied; the log is let go */
    EXPLORE_INSTALL, /* that of another node: argument = its log */
};
/* An input is one number: its kind and the message, the proposal's number, or the change of configuration. */
static inline uint32_t explore_input(enum explore_input_kind kind, uint32_t argument) { return (uint32_t)kind << 24 | argument; }
/* Changes: member k (1..) goes or, if it is a learner, becomes a voter; at once or through a joint configuration. */
static inline uint32_t explore_conf_change(uint32_t member, bool is_joint) { return member << 1 | (uint32_t)is_joint; }

/* What the checks ask of a node. */
struct explore_node {
    uint64_t hash[EXPLORE_ORDERS_MAX];
    size_t bytes_at; /* its image and disk */
    uint32_t bytes_size;
    uint8_t id;
    uint8_t role;
    uint8_t term;
    uint8_t vote;
    uint8_t commit;
    uint8_t last;
    uint8_t disk_term;
    uint8_t disk_vote;
    uint8_t disk_last;
    uint8_t append_count;
    uint8_t base;      /* the core's log begins behind it */
    uint32_t snapshot; /* on its disk: a log; 0 = none */
    uint8_t voters;   /* of the effective configuration: a bit per node */
    uint8_t outgoing;
    uint8_t match[EXPLORE_NODES_MAX]; /* leader: what it counts for each other one */
    uint32_t log[EXPLORE_LOG_MAX + 1]; /* per index: the chain up to it */
    uint32_t disk[EXPLORE_LOG_MAX + 1];
};

struct explore_move {
    uint32_t node; /* EXPLORE_NOTHING: out of scope, or refused */
    uint32_t first_message;
    uint8_t message_count;
    uint8_t rule;       /* enum explore_rule that was broken */
    uint8_t read_index; /* UINT8_MAX: no read was answered */
};

struct explore_nodes;
struct explore_nodes *explore_nodes_new(const struct explore_scope *scope, struct explore_pool *pool);
void explore_nodes_free(struct explore_nodes *nodes);
size_t explore_nodes_count(const struct explore_nodes *nodes);
size_t explore_nodes_moves(const struct explore_nodes *nodes); /* how often the core was run */
/* A node that starts with an empty disk. */
uint32_t explore_node_first(struct explore_nodes *nodes, uint64_t id);
/* Borrowed until the next move that is new. */
const struct explore_node *explore_node(const struct explore_nodes *nodes, uint32_t node);
struct explore_move explore_node_move(struct explore_nodes *nodes, uint32_t node, uint32_t input);
const uint32_t *explore_move_messages(const struct explore_nodes *nodes, const struct explore_move *move);
/* After the core has stopped in the middle of a step. */
void explore_nodes_renew(struct explore_nodes *nodes);
/* Its state as text. */
void explore_node_describe(struct explore_nodes *nodes, uint32_t node, struct buf *out_text);

#endif
