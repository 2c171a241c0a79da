/* raft_rig: what the tests of single rules share: one cluster, and members that the test plays itself. A header, because each program has
 * its own cluster. Thread: one. */
#ifndef TEST_LIB_RAFT_RIG_H
#define TEST_LIB_RAFT_RIG_H
#include <check.h>

#include "lib/raft_cluster.h"

#define RAFT_RIG static __attribute__((unused))

static struct raft_cluster *cluster;

RAFT_RIG void begin(uint32_t count, bool has_pre_vote, bool has_check_quorum)
{
    struct raft_options options = raft_cluster_options();
    options.pre_vote = has_pre_vote;
    options.check_quorum = has_check_quorum;
    cluster = raft_cluster_of(count, &options);
}

/* Member 1 leads. */
RAFT_RIG void begin_led(uint32_t count)
{
    begin(count, true, true);
    raft_cluster_elect(cluster, 1);
}

/* A single member of a cluster whose others are played by the test: the watcher, which knows all disks, is off. */
RAFT_RIG void begin_alone(uint32_t count)
{
    begin(count, false, true);
    cluster->is_unwatched = true;
    for (uint64_t id = 2; id <= count; id++) raft_cluster_crash(cluster, id, 0);
}

RAFT_RIG void finish(void)
{
    raft_cluster_free(cluster);
    cluster = NULL;
}

RAFT_RIG struct raft_status status_of(uint64_t id) { return raft_cluster_status(cluster, id); }

RAFT_RIG const struct raft_msg *sent(uint64_t from, uint64_t to, enum raft_msg_kind kind)
{
    return raft_cluster_sent(cluster, from, to, kind);
}

RAFT_RIG void give(struct raft_msg msg)
{
    if (msg.to == RAFT_NONE) msg.to = 1;
    (void)raft_cluster_message(cluster, &msg);
}

/* Disk of member 1: entries of these terms, and the term of the last one as its own. */
RAFT_RIG void set_log(const uint64_t *terms, size_t count, uint64_t term)
{
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_set_disk(cluster, 1, (struct raft_hard_state){.term = term}, terms, count);
    raft_cluster_restart(cluster, 1);
}

RAFT_RIG void become_leader_alone(void)
{
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    uint64_t term = status_of(1).term;
    for (uint64_t id = 2; id <= cluster->node_count; id++) {
        give((struct raft_msg){.kind = RAFT_MSG_VOTE_ANSWER, .from = id, .term = term});
    }
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_LEADER);
}

RAFT_RIG void run_for(uint64_t total_ns)
{
    for (uint64_t ns = 0; ns < total_ns; ns += RAFT_CLUSTER_HEARTBEAT_NS) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        raft_cluster_stabilize(cluster);
    }
}

#endif
