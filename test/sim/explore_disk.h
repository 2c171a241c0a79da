/* explore_disk: what the nodes of the explorer keep: the disk of each, and the snapshots on it.
 *
 * A snapshot is a log up to its position, and so the number of that log. A disk's log is named whole, as if nothing of it had been let
 * go: `base` says where it really begins. So logs are compared from the first entry on, whoever has them as entries or in a snapshot.
 *
 * Private to the explorer: shared by explore_node.c and explore_disk.c. Owner: struct explore_nodes. Thread: one.
 */
#ifndef SIM_EXPLORE_DISK_H
#define SIM_EXPLORE_DISK_H
#include "sim/explore_node.h"

enum { EXPLORE_ELECTION_NS = 1000, EXPLORE_NOW_NS = 10 * EXPLORE_ELECTION_NS, EXPLORE_VALUES = 16 };

struct explore_append {
    struct raft_hard_state hard;
    uint32_t log;   /* what the disk holds when it is done */
    uint32_t reset; /* the log begins behind it then; 0 = where it began before */
    uint32_t after_count;
    uint32_t after[EXPLORE_AFTER_MAX];
};

struct explore_disk {
    struct raft_hard_state hard;
    uint32_t log;       /* as if it held all from the first entry on */
    uint32_t base;      /* the log begins behind this one; 0 = with the first */
    uint32_t snapshot;  /* the newest file: a log up to its position; 0 = none */
    uint32_t core_base; /* no disk: what the core's own log begins behind */
    uint32_t append_count;
    struct explore_append appends[EXPLORE_APPENDS_MAX];
    struct raft_hard_state old_hard; /* a disk that lies: what it really has */
    uint32_t old_log;
};

struct explore_nodes {
    const struct explore_scope *scope;
    struct explore_pool *pool;
    struct raft_options options;
    struct raft_conf conf; /* of the first start */
    struct blob *values[EXPLORE_VALUES];

    struct map node_ids;
    struct explore_node *items;
    size_t count;
    size_t capacity;
    struct buf bytes; /* of all of them */

    struct map move_ids;
    struct explore_move *moves;
    size_t move_count;
    size_t move_capacity;
    uint32_t *messages;
    size_t message_count;
    size_t message_capacity;

    /* The step under way. */
    struct raft *raft;
    uint64_t now_ns;
    uint64_t persisted; /* appends reported done: a loaded node counts from 0 */
    struct explore_disk disk;
    struct explore_move move;
    uint32_t installing; /* a snapshot that the core has taken: its output says so */
    bool is_out_of_scope;
    uint32_t out[EXPLORE_OUT_MAX];
    struct buf scratch;
};

/* A core that starts with what is on the disk. A log that does not hold the newest snapshot's position is reset to it first. */
struct raft *explore_disk_start(struct explore_nodes *nodes, uint64_t id, struct explore_disk *disk);
/* The disk of the node under way. Messages by number, or for comparing under an order by their hash there. */
void explore_disk_put(const struct explore_nodes *nodes, struct buf *out, uint32_t order, bool is_hash);
void explore_disk_read(struct explore_nodes *nodes, struct reader *in);
/* The configuration in force at the end of a log; the caller's. */
void explore_disk_conf(const struct explore_nodes *nodes, uint32_t log, struct raft_conf *out_conf);
/* A snapshot of `applied`, the log up to what the node has applied, and nothing of the log behind it is kept. False: it has that one. */
bool explore_disk_take(struct explore_nodes *nodes, uint32_t applied);
/* Another one's is durable, and is given to the core. */
void explore_disk_install(struct explore_nodes *nodes, uint32_t snapshot);

#endif
