/* raft_cluster: a cluster of consensus cores in memory: disks, a network, state machines, and a watcher that checks safety.
 *
 * Every node has a clock, a disk (what survives a crash), a queue of appends on their way to it, a queue of committed
 * entries and one of reads from disk. Nothing moves by itself: tests and scripts take outputs, complete appends, deliver
 * messages. After each step the watcher checks the invariants of raft (R1–R14 of the test plan) and aborts with a line
 * that names the broken one. If `trace` is set, everything that happens is written to it as text.
 *
 * Owner: raft_cluster_new/raft_cluster_free. Thread: one. Limits: RAFT_CLUSTER_NODES_MAX nodes.
 */
#ifndef TEST_LIB_RAFT_CLUSTER_H
#define TEST_LIB_RAFT_CLUSTER_H
#include "base/rng.h"
#include "raft/raft.h"

#define RAFT_CLUSTER_NODES_MAX 8
#define RAFT_CLUSTER_READS_MAX 4096
#define RAFT_CLUSTER_ROUNDS_MAX 256
#define RAFT_CLUSTER_ELECTION_NS UINT64_C(1000000000)
#define RAFT_CLUSTER_HEARTBEAT_NS UINT64_C(100000000)

struct raft_cluster_mail { /* a message on the network; owns its entries */
    struct raft_msg msg;
};

struct raft_cluster_append { /* an append on its way to the disk */
    uint64_t sequence;
    bool is_reset; /* the log on disk begins anew behind this position */
    uint64_t reset_index;
    uint64_t reset_term;
    struct raft_hard_state hard;
    struct raft_entry *entries;
    size_t entry_count;
    struct raft_cluster_mail *after;
    size_t after_count;
    uint64_t since_ns;
};

struct raft_cluster_snapshot { /* of any node: what is at a position is the same everywhere */
    uint64_t index;
    uint64_t term;
    struct raft_conf conf;
};

struct raft_cluster_round { /* of read index */
    uint64_t round;
    uint64_t step; /* at which its first heartbeat was sent */
};

struct raft_cluster_node {
    uint64_t id;
    struct raft *raft; /* NULL = crashed */
    uint64_t now_ns;
    struct raft_options options;
    struct raft_conf boot_conf;

    struct raft_hard_state hard; /* the disk */
    struct raft_entry *entries;  /* from index 1 on; those up to base_index are blank */
    size_t entry_count;          /* = the last index */
    uint64_t base_index;         /* the log on disk begins behind it */
    uint64_t base_term;
    size_t snapshot;             /* its newest file: place in the cluster's list + 1; 0 = none */
    size_t received;             /* the same: loaded aside, to be given to the core */
    struct raft_offer offer;     /* to be fetched; index 0 = none */

    uint64_t persisted_ns;                           /* its disk last completed something */
    uint64_t lead_ns;                                /* it became leader */
    uint64_t led_ns, led_term;                       /* it last heard a leader, and in which term */
    uint64_t conf_ns;                                /* its effective configuration last changed */
    uint64_t conf_hash;
    uint64_t conf_index;                             /* leader: the last one proposed to it */
    uint64_t heard_ns[RAFT_CLUSTER_NODES_MAX + 1];   /* the last answer of its term from each other node */
    struct raft_cluster_round rounds[RAFT_CLUSTER_ROUNDS_MAX]; /* ring by round number */
    uint64_t confirmed_step[RAFT_CLUSTER_NODES_MAX + 1]; /* leader: it was heard to have got a round that began at that step */

    uint64_t suspect_index;      /* the disk lost acknowledged entries up to here; it knows until its own commit index is behind */
    uint64_t suspect_term;

    struct raft_cluster_append appends[RAFT_APPENDS_MAX];
    size_t append_count;
    uint64_t handed_index;  /* committed entries given out by the core */
    uint64_t applied_index;
    struct raft_fetch fetches[RAFT_CLUSTER_NODES_MAX];
    size_t fetch_count;

    uint64_t reads_done;     /* how many were confirmed */
    uint64_t reads_lost;
    uint64_t last_read_index;
    uint64_t last_read_started_ns;
    uint64_t messages_sent;
    uint64_t conf_changes;
    uint64_t installs;
};

struct raft_cluster_fact { /* what the watcher knows of an index */
    uint64_t committed_term; /* 0 = not committed yet */
    uint64_t committed_hash;
    uint64_t conf_hash;      /* of the configuration in it; 0 = it brings none */
    struct raft_cluster_seen *seen; /* every (term, previous term, hash) ever on a disk at this index */
    size_t seen_count;
};

struct raft_cluster_term { /* what the watcher knows of a term */
    uint64_t leader;
    uint8_t votes[RAFT_CLUSTER_NODES_MAX + 1]; /* voter → to whom it said yes; 0 = to nobody */
};

struct raft_cluster {
    struct raft_cluster_node nodes[RAFT_CLUSTER_NODES_MAX]; /* ids 1.. */
    uint32_t node_count;
    struct raft_cluster_mail *network; /* in order of sending */
    size_t network_count;
    size_t network_capacity;
    bool is_cut[RAFT_CLUSTER_NODES_MAX + 1][RAFT_CLUSTER_NODES_MAX + 1]; /* [from][to] */
    struct raft_cluster_snapshot *snapshots; /* every one that was ever taken, in that order */
    size_t snapshot_count;
    struct buf *trace;
    bool is_unwatched; /* for scripts that break the rules on purpose */

    uint64_t commit_index; /* the highest anywhere, ever */
    uint64_t step;         /* of any node, counted */
    uint64_t read_floor[RAFT_CLUSTER_READS_MAX]; /* context → what was committed anywhere when it was asked */
    uint64_t read_step[RAFT_CLUSTER_READS_MAX];  /* context → when it was asked */
    struct raft_cluster_fact *facts; /* by index */
    size_t fact_capacity;
    struct raft_cluster_term *terms;
    size_t term_capacity;
};

struct raft_options raft_cluster_options(void); /* generous limits, pre-vote and check-quorum on */
struct raft_cluster *raft_cluster_new(void);
void raft_cluster_free(struct raft_cluster *cluster);
/* The next id. The configuration is copied; the node starts with an empty disk. */
struct raft_cluster_node *raft_cluster_add(struct raft_cluster *cluster, const struct raft_options *options,
                                           const struct raft_conf *conf);
/* `count` voters. */
struct raft_cluster *raft_cluster_of(uint32_t count, const struct raft_options *options);
struct raft_cluster_node *raft_cluster_node(struct raft_cluster *cluster, uint64_t id);
struct raft_status raft_cluster_status(struct raft_cluster *cluster, uint64_t id);

/* Inputs; the answer is raft_step's. */
enum raft_answer raft_cluster_step(struct raft_cluster *cluster, uint64_t id, struct raft_input *input);
enum raft_answer raft_cluster_input(struct raft_cluster *cluster, uint64_t id, enum raft_input_kind kind, uint64_t peer);
enum raft_answer raft_cluster_propose(struct raft_cluster *cluster, uint64_t id, const char *text);
enum raft_answer raft_cluster_propose_conf(struct raft_cluster *cluster, uint64_t id, const struct raft_conf *conf);
enum raft_answer raft_cluster_read(struct raft_cluster *cluster, uint64_t id, uint64_t context); /* each context once */
enum raft_answer raft_cluster_message(struct raft_cluster *cluster, const struct raft_msg *msg);
void raft_cluster_tick(struct raft_cluster *cluster, uint64_t id, uint64_t ns); /* its clock moves, then a tick */
void raft_cluster_campaign(struct raft_cluster *cluster, uint64_t id);          /* its clock moves to its deadline */
void raft_cluster_advance(struct raft_cluster *cluster, uint64_t ns);           /* all clocks; due ticks happen */

/* Movement; each returns how many things moved. */
size_t raft_cluster_take(struct raft_cluster *cluster, uint64_t id);
size_t raft_cluster_persist(struct raft_cluster *cluster, uint64_t id, size_t count);
size_t raft_cluster_apply(struct raft_cluster *cluster, uint64_t id);
size_t raft_cluster_fetch(struct raft_cluster *cluster, uint64_t id, bool succeeds);
size_t raft_cluster_deliver(struct raft_cluster *cluster, uint64_t to);
size_t raft_cluster_drop(struct raft_cluster *cluster, uint64_t from, uint64_t to); /* RAFT_NONE = any */
/* The newest message of that kind on its way from one to the other; NULL = none. Borrowed until something moves. */
const struct raft_msg *raft_cluster_sent(const struct raft_cluster *cluster, uint64_t from, uint64_t to,
                                         enum raft_msg_kind kind);
void raft_cluster_drop_at(struct raft_cluster *cluster, size_t place);
void raft_cluster_deliver_at(struct raft_cluster *cluster, size_t place, bool keep); /* one message; keep = duplicate it */
bool raft_cluster_settle(struct raft_cluster *cluster, uint64_t id); /* take, persist, apply, fetch until nothing moves */
void raft_cluster_stabilize(struct raft_cluster *cluster);           /* and deliver, for all */

/* Snapshots. Taken at what the node has applied; false if it has one of there already. */
bool raft_cluster_take_snapshot(struct raft_cluster *cluster, uint64_t id);
/* The core lets the log go up to index; so does the disk, if a snapshot reaches there. */
void raft_cluster_compact(struct raft_cluster *cluster, uint64_t id, uint64_t index);
/* What the node was offered is durable at it now, whole; or (fails) the way there was lost. */
size_t raft_cluster_receive(struct raft_cluster *cluster, uint64_t id, bool succeeds);
size_t raft_cluster_install(struct raft_cluster *cluster, uint64_t id); /* what it received last */
/* Any snapshot, however old, by its place in the cluster's list: as if it had been received. */
enum raft_answer raft_cluster_install_at(struct raft_cluster *cluster, uint64_t id, size_t place);
void raft_cluster_snapshot_take_output(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_output *output);
void raft_cluster_reset_disk(struct raft_cluster_node *node, uint64_t index, uint64_t term);
void raft_cluster_snapshot_deinit(struct raft_cluster *cluster);

/* Faults. */
void raft_cluster_crash(struct raft_cluster *cluster, uint64_t id, size_t appends_kept);
void raft_cluster_restart(struct raft_cluster *cluster, uint64_t id);
void raft_cluster_restart_from(struct raft_cluster *cluster, uint64_t id, uint64_t applied_index);
/* The end of a crashed node's log is unreadable: it restarts as suspect. */
void raft_cluster_damage(struct raft_cluster *cluster, uint64_t id, size_t entries_kept);
void raft_cluster_isolate(struct raft_cluster *cluster, uint64_t id);
void raft_cluster_heal(struct raft_cluster *cluster);
/* Rewrites the disk of a crashed node: a log of entries with these terms. */
void raft_cluster_set_disk(struct raft_cluster *cluster, uint64_t id, struct raft_hard_state hard, const uint64_t *terms,
                           size_t count);

uint64_t raft_cluster_leader(struct raft_cluster *cluster); /* of the highest term; RAFT_NONE */
/* Elects `id` and lets everything settle. */
void raft_cluster_elect(struct raft_cluster *cluster, uint64_t id);
struct raft_conf raft_cluster_conf(const uint64_t *voters, uint32_t count); /* no learners, not joint */

/* raft_cluster_watch.c: the invariants. */
void raft_cluster_watch_step(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_status *before,
                             const struct raft_input *input);
void raft_cluster_watch_send(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_msg *msg);
void raft_cluster_watch_disk(struct raft_cluster *cluster, struct raft_cluster_node *node, const struct raft_hard_state *hard,
                             const struct raft_entry *entries, size_t count);
void raft_cluster_watch_apply(struct raft_cluster *cluster, const struct raft_cluster_node *node,
                              const struct raft_entry *entry);
/* Of the configuration in force at a committed index. */
uint64_t raft_cluster_watch_conf_hash(struct raft_cluster *cluster, uint64_t index);
void raft_cluster_watch_snapshot(struct raft_cluster *cluster, const struct raft_cluster_node *node, const struct raft_conf *conf,
                                 uint64_t index, uint64_t term);
/* is_same_conf: the configuration did not change since the output before, so that it is the one under which it was
 * confirmed. */
/* After a hand-out: what is not applied yet is within its limit. */
void raft_cluster_watch_credit(struct raft_cluster *cluster, const struct raft_cluster_node *node);
void raft_cluster_watch_read(struct raft_cluster *cluster, const struct raft_cluster_node *node, const struct raft_read *read,
                             bool is_same_conf);
void raft_cluster_watch_deinit(struct raft_cluster *cluster);

#endif
