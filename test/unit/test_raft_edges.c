/* test_raft_edges: corners in which a consensus core could stall, lose something or stop: full tails, silent members, late
 * answers, garbled messages, reads from disk that are overtaken.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/raft_cluster.h"

static size_t propose_until_full(struct raft_cluster *cluster, uint64_t id)
{
    size_t count = 0;
    while (raft_cluster_propose(cluster, id, "sixteen bytes...") == RAFT_OK) count++;
    return count;
}

/* Heartbeats and time enough for every retry. */
static void run_for(struct raft_cluster *cluster, uint64_t total_ns)
{
    for (uint64_t ns = 0; ns < total_ns; ns += RAFT_CLUSTER_HEARTBEAT_NS / 2) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS / 2);
        raft_cluster_stabilize(cluster);
    }
}

/* ---- Full tails ----------------------------------------------------------------------------------------------------- */

/* Everything that fills the tails is uncommitted, and only an entry of the new leader's own term can commit it (thesis
 * 3.6.2): so a full tail must not refuse that one. */
START_TEST(test_raft_full_tails_of_uncommitted_entries_take_the_next_leaders_entry)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = options.uncommitted_bytes_max = 480;
    options.message_bytes_max = 480;
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    ck_assert_uint_eq(propose_until_full(cluster, 1), 10);
    raft_cluster_take(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_deliver(cluster, 3);
    raft_cluster_settle(cluster, 2);
    raft_cluster_settle(cluster, 3);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE); /* both have it all, and nobody knows */
    raft_cluster_crash(cluster, 1, 0);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_status(cluster, 2).commit_index, 12);
    ck_assert_uint_eq(raft_cluster_status(cluster, 3).applied_index, 12);
    raft_cluster_free(cluster);
}
END_TEST

/* What a conflict cuts off does not count. */
START_TEST(test_raft_full_tail_of_a_deposed_leader_makes_room_for_what_replaces_it)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = options.uncommitted_bytes_max = 480;
    options.message_bytes_max = 480;
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 1);
    propose_until_full(cluster, 1);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    uint64_t leader = raft_cluster_leader(cluster);
    ck_assert(leader == 2 || leader == 3);
    raft_cluster_heal(cluster);
    ck_assert_uint_eq(raft_cluster_propose(cluster, leader, "replaces them"), RAFT_OK);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).applied_index, raft_cluster_status(cluster, leader).commit_index);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).commit_index, 3);
    raft_cluster_free(cluster);
}
END_TEST

/* The memory bound: a state machine that does not keep up holds the log back, entries wait at the leader. */
START_TEST(test_raft_full_tail_of_unapplied_entries_refuses_until_they_are_applied)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = 200;
    struct raft_cluster *cluster = raft_cluster_of(1, &options);
    raft_cluster_elect(cluster, 1);
    size_t count = 0;
    for (; raft_cluster_propose(cluster, 1, "sixteen bytes...") == RAFT_OK; count++) {
        ck_assert_uint_lt(count, 10);
        raft_cluster_take(cluster, 1);
        raft_cluster_persist(cluster, 1, SIZE_MAX);
        raft_cluster_take(cluster, 1); /* handed out, not applied */
    }
    ck_assert_uint_eq(count, 4);
    raft_cluster_apply(cluster, 1);
    ck_assert_uint_eq(raft_cluster_propose(cluster, 1, "room again"), RAFT_OK);
    raft_cluster_free(cluster);
}
END_TEST

/* ---- Handing over --------------------------------------------------------------------------------------------------- */

START_TEST(test_raft_transfer_to_the_best_one_passes_over_who_does_not_answer)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_crash(cluster, 2, 0);
    run_for(cluster, 2 * RAFT_CLUSTER_ELECTION_NS); /* idle: 2's log is as good as 3's */
    ck_assert_uint_eq(raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, RAFT_NONE), RAFT_OK);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).transferee, 3);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    raft_cluster_free(cluster);
}
END_TEST

START_TEST(test_raft_leader_without_space_hands_over_again_when_the_first_one_did_not_answer)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_crash(cluster, 2, 0); /* just now: the leader cannot know */
    raft_cluster_input(cluster, 1, RAFT_IN_NO_SPACE, 1);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).transferee, 2);
    run_for(cluster, 3 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    raft_cluster_free(cluster);
}
END_TEST

START_TEST(test_raft_leader_without_space_hands_over_as_soon_as_there_is_somebody)
{
    struct raft_options options = raft_cluster_options();
    options.check_quorum = false;
    struct raft_cluster *cluster = raft_cluster_of(2, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_crash(cluster, 2, 0);
    run_for(cluster, 2 * RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_input(cluster, 1, RAFT_IN_NO_SPACE, 1);
    run_for(cluster, 2 * RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_restart(cluster, 2);
    run_for(cluster, 3 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 2);
    raft_cluster_free(cluster);
}
END_TEST

/* ---- Damaged tails -------------------------------------------------------------------------------------------------- */

/* The answer to a question that this member asked before it crashed says nothing of now: the entry that its disk has lost was
 * acknowledged after it. */
START_TEST(test_raft_damaged_tail_is_not_settled_by_an_answer_from_before_the_crash)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    for (uint64_t id = 2; id <= 3; id++) {
        raft_cluster_deliver(cluster, id);
        raft_cluster_settle(cluster, id);
    }
    raft_cluster_deliver_at(cluster, 0, false); /* 2's answer is enough; 3's stays on the way */
    ck_assert_uint_eq(cluster->network_count, 1);
    struct raft_msg late = cluster->network[0].msg;
    ck_assert(late.kind == RAFT_MSG_PRE_VOTE_ANSWER && late.from == 3 && late.term == 1);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 1);
    raft_cluster_isolate(cluster, 2);
    raft_cluster_propose(cluster, 1, "on 1 and 3");
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(cluster->commit_index, 2);
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_crash(cluster, 3, 0);
    raft_cluster_damage(cluster, 1, 1);
    raft_cluster_restart(cluster, 1);
    ck_assert(raft_cluster_status(cluster, 1).is_suspect);
    raft_cluster_heal(cluster);
    raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    raft_cluster_message(cluster, &late);
    raft_cluster_stabilize(cluster); /* 2 answers too: it has nothing behind index 1 */
    ck_assert(raft_cluster_status(cluster, 1).is_suspect);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), RAFT_NONE);
    raft_cluster_restart(cluster, 3);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    ck_assert(!raft_cluster_status(cluster, 1).is_suspect);
    raft_cluster_free(cluster);
}
END_TEST

/* The suspect's term ran ahead; the other one refuses in an older term, and tells all the same how far its log goes. */
START_TEST(test_raft_damaged_tail_is_narrowed_by_answers_of_an_older_term)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(2, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_propose(cluster, 1, "on both");
    raft_cluster_stabilize(cluster);
    raft_cluster_isolate(cluster, 2);
    raft_cluster_propose(cluster, 1, "on 1 only");
    raft_cluster_settle(cluster, 1);
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_damage(cluster, 1, 1);
    raft_cluster_node(cluster, 1)->hard.term = 7;
    raft_cluster_node(cluster, 1)->hard.vote = RAFT_NONE;
    raft_cluster_restart(cluster, 1);
    raft_cluster_heal(cluster);
    raft_cluster_node(cluster, 2)->now_ns += RAFT_CLUSTER_ELECTION_NS; /* no lease, and it does not ask itself */
    raft_cluster_campaign(cluster, 1);
    raft_cluster_stabilize(cluster);
    struct buf text;
    buf_init(&text);
    raft_describe_status(raft_cluster_node(cluster, 1)->raft, &text);
    buf_put_u8(&text, 0);
    const char *status = (const char *)buf_slice(&text).data;
    ck_assert_msg(strstr(status, "suspect 2/1") != NULL, "%s", status);
    buf_deinit(&text);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 2);
    raft_cluster_free(cluster);
}
END_TEST

/* The lost end of the log had replaced an entry, which stands there again at the start. The leader counts on what was acknowledged, so its
 * heartbeats tell a commit index that covers the place: that entry must not be taken for the committed one. */
START_TEST(test_raft_entries_that_come_back_with_a_damaged_tail_are_not_committed_by_heartbeats)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 1);
    raft_cluster_propose(cluster, 1, "on 1 only");
    raft_cluster_settle(cluster, 1);
    run_for(cluster, 5 * RAFT_CLUSTER_ELECTION_NS);
    uint64_t leader = raft_cluster_leader(cluster);
    ck_assert(leader == 2 || leader == 3);
    raft_cluster_heal(cluster);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).commit_index, 2);
    ck_assert_uint_gt(node->entries[1].term, 1);
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_damage(cluster, 1, 1);
    struct raft_hard_state hard = {.term = 1, .commit = 1};
    raft_cluster_set_disk(cluster, 1, hard, (const uint64_t[]){1, 1}, 2);
    raft_cluster_restart(cluster, 1);
    struct raft_status status = raft_cluster_status(cluster, leader);
    raft_cluster_message(cluster, &(struct raft_msg){.kind = RAFT_MSG_HEARTBEAT, .from = leader, .to = 1, .term = status.term, .commit = 2});
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).commit_index, 1);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_status(cluster, 1).commit_index, 2);
    ck_assert_uint_eq(raft_term_at(raft_cluster_node(cluster, 1)->raft, 2), status.term);
    ck_assert(!raft_cluster_status(cluster, 1).is_suspect);
    raft_cluster_free(cluster);
}
END_TEST

/* ---- Messages that no healthy member sends -------------------------------------------------------------------------- */

/* Each round of reads puts the next heartbeat off; the look at the disk must not be put off with it. */
START_TEST(test_raft_a_leader_whose_disk_hangs_gives_up_though_reads_go_on)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_OK);
    raft_cluster_take(cluster, 1); /* on its way to the disk, for ever */
    uint64_t total_ns = 0;
    for (uint64_t context = 1; raft_cluster_status(cluster, 1).role == RAFT_LEADER; context++) {
        ck_assert_uint_lt(total_ns, 2 * RAFT_CLUSTER_ELECTION_NS);
        ck_assert_int_eq(raft_cluster_read(cluster, 1, context), RAFT_OK);
        raft_cluster_take(cluster, 1);
        for (uint64_t id = 2; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_settle(cluster, id);
        }
        raft_cluster_deliver(cluster, 1);
        raft_cluster_take(cluster, 1);
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS / 2);
        total_ns += RAFT_CLUSTER_HEARTBEAT_NS / 2;
    }
    ck_assert_uint_ge(total_ns, RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_free(cluster);
}
END_TEST

START_TEST(test_raft_garbled_messages_change_nothing)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    struct raft_entry no_term = {.index = 2, .term = 0, .kind = RAFT_ENTRY_EMPTY};
    struct raft_entry wrong_index = {.index = 7, .term = 1, .kind = RAFT_ENTRY_EMPTY};
    struct raft_entry no_conf = {.index = 2, .term = 1, .kind = RAFT_ENTRY_CONF};
    const struct raft_msg messages[] = {
        {.kind = RAFT_MSG_APPEND, .index = 100, .log_term = 0, .commit = 100},
        {.kind = RAFT_MSG_APPEND, .index = 0, .log_term = 0, .commit = 9, .entries = &no_term, .entry_count = 1},
        {.kind = RAFT_MSG_APPEND, .index = 1, .log_term = 0, .commit = 9, .entries = &no_term, .entry_count = 1},
        {.kind = RAFT_MSG_APPEND, .index = 1, .log_term = 1, .commit = 9, .entries = &wrong_index, .entry_count = 1},
        {.kind = RAFT_MSG_APPEND, .index = 1, .log_term = 1, .commit = 9, .entries = &no_conf, .entry_count = 1},
        {.kind = RAFT_MSG_FORWARD},
        {.kind = (enum raft_msg_kind)77},
        {.kind = RAFT_MSG_VOTE, .term = UINT64_MAX, .transfer = true, .index = 9, .log_term = 9},
        {.kind = RAFT_MSG_PRE_VOTE, .term = UINT64_MAX, .index = 9, .log_term = 9},
    };
    struct raft_status before = raft_cluster_status(cluster, 2);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        struct raft_msg msg = messages[i];
        msg.from = 1;
        msg.to = 2;
        if (msg.term == 0) msg.term = 1;
        (void)raft_cluster_message(cluster, &msg);
        raft_cluster_take(cluster, 2);
        struct raft_status after = raft_cluster_status(cluster, 2);
        ck_assert_uint_eq(after.last_index, before.last_index);
        ck_assert_uint_eq(after.commit_index, before.commit_index);
        ck_assert_uint_eq(after.term, before.term);
    }
    raft_cluster_free(cluster);
}
END_TEST

START_TEST(test_raft_answers_beyond_the_leaders_log_are_ignored)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    struct raft_msg match = {.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .to = 1, .term = 1, .index = 50};
    ck_assert_uint_eq(raft_cluster_message(cluster, &match), RAFT_IGNORED);
    struct raft_msg round = {.kind = RAFT_MSG_HEARTBEAT_ANSWER, .from = 2, .to = 1, .term = 1, .round = 50};
    ck_assert_uint_eq(raft_cluster_message(cluster, &round), RAFT_IGNORED);
    struct raft_msg stranger = {.kind = RAFT_MSG_APPEND_ANSWER, .from = 8, .to = 1, .term = 1, .index = 1};
    ck_assert_uint_eq(raft_cluster_message(cluster, &stranger), RAFT_IGNORED);
    raft_cluster_free(cluster);
}
END_TEST

/* ---- Reads from disk ------------------------------------------------------------------------------------------------ */

/* Old entries were read back and wait for room in the window; meanwhile the log is compacted past them. Their
 * predecessor's term is not known any more: they must not leave. */
START_TEST(test_raft_fetched_entries_that_were_compacted_meanwhile_do_not_leave)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = 100;
    options.message_bytes_max = 40;
    options.inflight_bytes_max = 80;
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (uint32_t i = 0; i < 6; i++) {
        raft_cluster_propose(cluster, 1, "an entry that is bigger than one message may be: it goes alone");
        raft_cluster_stabilize(cluster);
    }
    raft_cluster_heal(cluster);
    while (raft_cluster_node(cluster, 1)->fetch_count == 0) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        for (uint64_t id = 1; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_take(cluster, id);
            raft_cluster_persist(cluster, id, SIZE_MAX);
            raft_cluster_apply(cluster, id);
        }
    }
    raft_cluster_fetch(cluster, 1, true);
    raft_compact(raft_cluster_node(cluster, 1)->raft, 5);
    raft_cluster_take(cluster, 1);
    for (size_t i = 0; i < cluster->network_count; i++) {
        const struct raft_msg *msg = &cluster->network[i].msg;
        ck_assert(msg->kind != RAFT_MSG_APPEND || msg->to != 3 || msg->log_term != 0 || msg->index == 0);
    }
    raft_cluster_free(cluster);
}
END_TEST

/* What comes back from the disk is compared with the terms that are known: something else never leaves. */
START_TEST(test_raft_fetched_entries_of_another_term_do_not_leave)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = 100;
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (uint32_t i = 0; i < 6; i++) {
        raft_cluster_propose(cluster, 1, "sixteen bytes...");
        raft_cluster_stabilize(cluster);
    }
    raft_cluster_heal(cluster);
    struct raft_cluster_node *leader = raft_cluster_node(cluster, 1);
    while (leader->fetch_count == 0) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        for (uint64_t id = 1; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_take(cluster, id);
            raft_cluster_persist(cluster, id, SIZE_MAX);
        }
    }
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    const struct raft_entry wrong = {.index = leader->fetches[0].first_index, .term = 9, .kind = RAFT_ENTRY_EMPTY};
    struct raft_input input = {.kind = RAFT_IN_FETCHED, .peer = 3, .entries = &wrong, .entry_count = 1};
    leader->fetch_count = 0;
    (void)raft_cluster_step(cluster, 1, &input);
    raft_cluster_take(cluster, 1);
    ck_assert_ptr_null(raft_cluster_sent(cluster, 1, 3, RAFT_MSG_APPEND));
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS); /* and it is tried again */
    ck_assert_uint_eq(raft_cluster_status(cluster, 3).applied_index, 7);
    raft_cluster_free(cluster);
}
END_TEST

/* ---- A log that does not begin at index 1 ---------------------------------------------------------------------------- */

/* A new leader does not know yet how far the others' logs match, and its own log begins behind a snapshot: it probes from there. */
START_TEST(test_raft_probe_of_a_compacted_log_begins_behind_the_snapshot)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    for (uint32_t i = 0; i < 5; i++) raft_cluster_propose(cluster, 1, "x");
    raft_cluster_stabilize(cluster);
    raft_compact(raft_cluster_node(cluster, 2)->raft, 5);
    raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, 2);
    while (raft_cluster_status(cluster, 2).role != RAFT_LEADER) {
        for (uint64_t id = 1; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            if (raft_cluster_status(cluster, 2).role != RAFT_LEADER) raft_cluster_settle(cluster, id);
        }
    }
    raft_cluster_input(cluster, 2, RAFT_IN_UNREACHABLE, 3);
    raft_cluster_input(cluster, 2, RAFT_IN_UNREACHABLE, 1);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_status(cluster, 2).commit_index, 7);
    ck_assert_uint_eq(raft_cluster_status(cluster, 3).applied_index, 7);
    raft_cluster_free(cluster);
}
END_TEST

static char *text_of(size_t size)
{
    char *text = alloc_new(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    return text;
}

/* The entries of the next probe of member 3, which hears again, in bytes. */
static size_t next_probe(struct raft_cluster *cluster, size_t *out_count)
{
    raft_cluster_heal(cluster);
    raft_cluster_input(cluster, 1, RAFT_IN_UNREACHABLE, 3);
    raft_cluster_tick(cluster, 1, RAFT_CLUSTER_HEARTBEAT_NS);
    raft_cluster_take(cluster, 1);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    struct raft_msg answer = {.kind = RAFT_MSG_HEARTBEAT_ANSWER, .from = 3, .to = 1, .term = raft_cluster_status(cluster, 1).term};
    (void)raft_cluster_message(cluster, &answer);
    raft_cluster_take(cluster, 1);
    const struct raft_msg *probe = raft_cluster_sent(cluster, 1, 3, RAFT_MSG_APPEND);
    ck_assert_ptr_nonnull(probe);
    size_t bytes = 0;
    for (size_t i = 0; i < probe->entry_count; i++) bytes += RAFT_ENTRY_BYTES + probe->entries[i].data->size;
    *out_count = probe->entry_count;
    return bytes;
}

/* A probe is as long as a slow road can carry, whatever an append may be; one bigger entry goes alone; what is behind an answered one is not
 * bounded so. */
START_TEST(test_raft_probe_is_short_though_appends_may_be_long)
{
    struct raft_options options = raft_cluster_options();
    options.message_bytes_max = options.inflight_bytes_max = options.tail_bytes_max = options.uncommitted_bytes_max = options.apply_bytes_max = 8 << 20;
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    char *small = text_of(10000), *big = text_of(300000);
    for (int i = 0; i < 50; i++) ck_assert_int_eq(raft_cluster_propose(cluster, 1, small), RAFT_OK);
    raft_cluster_stabilize(cluster);
    size_t count = 0, bytes = next_probe(cluster, &count);
    ck_assert_uint_eq(count, 6);
    ck_assert_uint_le(bytes, RAFT_PROBE_BYTES_MAX);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_status(cluster, 3).applied_index, raft_cluster_status(cluster, 1).commit_index);
    raft_cluster_isolate(cluster, 3);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(raft_cluster_propose(cluster, 1, big), RAFT_OK);
    raft_cluster_stabilize(cluster);
    bytes = next_probe(cluster, &count);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_gt(bytes, 300000);
    alloc_free(small);
    alloc_free(big);
    raft_cluster_free(cluster);
}
END_TEST

/* Who lacks what was compacted is asked once per heartbeat, not as fast as it can refuse. */
START_TEST(test_raft_member_that_lacks_compacted_entries_is_not_asked_without_end)
{
    struct raft_options options = raft_cluster_options();
    struct raft_cluster *cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (uint32_t i = 0; i < 5; i++) raft_cluster_propose(cluster, 1, "x");
    raft_cluster_stabilize(cluster);
    raft_compact(raft_cluster_node(cluster, 1)->raft, 4);
    raft_cluster_heal(cluster);
    run_for(cluster, RAFT_CLUSTER_ELECTION_NS);
    uint64_t before = raft_cluster_node(cluster, 3)->messages_sent;
    run_for(cluster, 10 * RAFT_CLUSTER_HEARTBEAT_NS);
    uint64_t answers = raft_cluster_node(cluster, 3)->messages_sent - before;
    ck_assert_uint_ge(answers, 10);
    ck_assert_uint_le(answers, 20); /* to a heartbeat and a probe each time */
    ck_assert_uint_eq(raft_cluster_status(cluster, 3).last_index, 1);
    raft_cluster_free(cluster);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_edges");
    TCase *tcase = tcase_create("edges");
    tcase_add_test(tcase, test_raft_full_tails_of_uncommitted_entries_take_the_next_leaders_entry);
    tcase_add_test(tcase, test_raft_full_tail_of_a_deposed_leader_makes_room_for_what_replaces_it);
    tcase_add_test(tcase, test_raft_full_tail_of_unapplied_entries_refuses_until_they_are_applied);
    tcase_add_test(tcase, test_raft_transfer_to_the_best_one_passes_over_who_does_not_answer);
    tcase_add_test(tcase, test_raft_leader_without_space_hands_over_again_when_the_first_one_did_not_answer);
    tcase_add_test(tcase, test_raft_leader_without_space_hands_over_as_soon_as_there_is_somebody);
    tcase_add_test(tcase, test_raft_damaged_tail_is_not_settled_by_an_answer_from_before_the_crash);
    tcase_add_test(tcase, test_raft_damaged_tail_is_narrowed_by_answers_of_an_older_term);
    tcase_add_test(tcase, test_raft_entries_that_come_back_with_a_damaged_tail_are_not_committed_by_heartbeats);
    tcase_add_test(tcase, test_raft_a_leader_whose_disk_hangs_gives_up_though_reads_go_on);
    tcase_add_test(tcase, test_raft_garbled_messages_change_nothing);
    tcase_add_test(tcase, test_raft_answers_beyond_the_leaders_log_are_ignored);
    tcase_add_test(tcase, test_raft_fetched_entries_that_were_compacted_meanwhile_do_not_leave);
    tcase_add_test(tcase, test_raft_fetched_entries_of_another_term_do_not_leave);
    tcase_add_test(tcase, test_raft_probe_of_a_compacted_log_begins_behind_the_snapshot);
    tcase_add_test(tcase, test_raft_probe_is_short_though_appends_may_be_long);
    tcase_add_test(tcase, test_raft_member_that_lacks_compacted_entries_is_not_asked_without_end);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
