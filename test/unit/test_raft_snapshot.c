/* test_raft_snapshot: a snapshot in the place of a log (thesis 5): who is offered one and until when, what an install replaces and what
 * it must not touch, when it may be told.
 */
#include <stdlib.h>

#include "lib/raft_rig.h"

static const uint64_t THREE[] = {1, 2, 3};

static enum raft_answer install_conf(uint64_t index, uint64_t term, const uint64_t *voters, uint32_t voter_count)
{
    struct raft_conf conf = raft_cluster_conf(voters, voter_count);
    struct raft_input input = {.kind = RAFT_IN_INSTALL, .index = index, .term = term, .conf = &conf};
    return raft_cluster_step(cluster, 1, &input);
}

static enum raft_answer install(uint64_t index, uint64_t term) { return install_conf(index, term, THREE, 3); }

static struct raft *core(uint64_t id) { return raft_cluster_node(cluster, id)->raft; }

/* Member 1 follows 2 in this term, and all is durable. */
static void follow(uint64_t term)
{
    give((struct raft_msg){.kind = RAFT_MSG_HEARTBEAT, .from = 2, .term = term});
    raft_cluster_settle(cluster, 1);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
}

/* Member 1 alone, with a log of these terms, following 2. */
static void begin_follower(const uint64_t *terms, size_t count, uint64_t term)
{
    begin_alone(3);
    set_log(terms, count, term);
    follow(term);
}

/* Member 1 leads; entries 1 to 6 are in its log, applied, and answered by 2. Its log begins behind 4, its snapshot is at 5. */
static void begin_leader(void)
{
    begin_alone(3);
    become_leader_alone();
    for (int i = 0; i < 5; i++) ck_assert_int_eq(raft_cluster_propose(cluster, 1, "entry"), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = status_of(1).term, .index = 6});
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(status_of(1).applied_index, 6);
    raft_offer(core(1), 5, status_of(1).term);
    raft_compact(core(1), 4);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
}

static void answer(bool reject, uint64_t index, uint64_t hint)
{
    struct raft_msg msg = {.kind = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = status_of(1).term, .index = index, .reject = reject};
    if (reject) msg.hint_index = hint;
    if (reject && hint > 0) msg.hint_term = 1;
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    give(msg);
    raft_cluster_settle(cluster, 1);
}

static void answer_heartbeat(void)
{
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    give((struct raft_msg){.kind = RAFT_MSG_HEARTBEAT_ANSWER, .from = 3, .term = status_of(1).term});
    raft_cluster_settle(cluster, 1);
}

/* The leader of begin_leader has found out that 3 ends at 1. */
static void begin_serving(void)
{
    begin_leader();
    give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = status_of(1).term, .reject = true, .index = 0});
    answer(true, 0, 0);
    raft_cluster_input(cluster, 1, RAFT_IN_UNREACHABLE, 3); /* what went ahead is lost: it asks behind its log's start */
    raft_cluster_settle(cluster, 1);
    answer(true, 4, 1);
    const struct raft_msg *msg = sent(1, 3, RAFT_MSG_SNAPSHOT);
    ck_assert_ptr_nonnull(msg);
    ck_assert(msg->index == 5 && msg->log_term == 1 && msg->term == 1);
}

/* ---- Leader --------------------------------------------------------------------------------------------------------- */

START_TEST(test_raft_peer_behind_the_log_is_offered_the_newest_snapshot_at_each_heartbeat_answer)
{
    begin_serving();
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "more"), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND)); /* nothing that it could not use */
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_SNAPSHOT));
    raft_offer(core(1), 6, 1);
    answer_heartbeat();
    ck_assert_uint_eq(sent(1, 3, RAFT_MSG_SNAPSHOT)->index, 6);
    answer_heartbeat();
    ck_assert_ptr_nonnull(sent(1, 3, RAFT_MSG_SNAPSHOT));
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND));
    finish();
}
END_TEST

START_TEST(test_raft_old_answers_do_not_end_the_offers)
{
    begin_serving();
    answer(false, 1, 0);
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND));
    answer(true, 4, 1);
    answer(true, 1, 0);
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND));
    answer_heartbeat();
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND));
    ck_assert_ptr_nonnull(sent(1, 3, RAFT_MSG_SNAPSHOT));
    finish();
}
END_TEST

START_TEST(test_raft_peer_with_the_snapshot_gets_the_entries_behind_it)
{
    begin_serving();
    answer(false, 5, 0);
    const struct raft_msg *msg = sent(1, 3, RAFT_MSG_APPEND);
    ck_assert_ptr_nonnull(msg);
    ck_assert(msg->index == 5 && msg->entry_count == 1);
    answer_heartbeat();
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_SNAPSHOT));
    finish();
}
END_TEST

START_TEST(test_raft_peer_with_less_than_the_snapshot_but_all_up_to_the_log_gets_entries)
{
    begin_serving();
    answer(false, 4, 0);
    const struct raft_msg *msg = sent(1, 3, RAFT_MSG_APPEND);
    ck_assert_ptr_nonnull(msg);
    ck_assert(msg->index == 4 && msg->entry_count == 2);
    finish();
}
END_TEST

START_TEST(test_raft_log_that_is_compacted_meanwhile_keeps_the_offers_going)
{
    begin_serving();
    raft_offer(core(1), 6, 1);
    raft_compact(core(1), 6);
    answer(false, 5, 0); /* the snapshot that it was offered before */
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND));
    answer_heartbeat();
    ck_assert_uint_eq(sent(1, 3, RAFT_MSG_SNAPSHOT)->index, 6);
    answer(false, 6, 0);
    ck_assert_uint_eq(sent(1, 3, RAFT_MSG_APPEND)->index, 6);
    finish();
}
END_TEST

START_TEST(test_raft_peer_that_has_all_that_is_compacted_is_offered_nothing)
{
    begin_leader();
    raft_cluster_input(cluster, 1, RAFT_IN_UNREACHABLE, 3);
    raft_cluster_settle(cluster, 1);
    const struct raft_msg *msg = sent(1, 3, RAFT_MSG_APPEND); /* the question: has it all up to the log's start? */
    ck_assert(msg->index == 4 && msg->log_term == 1);
    answer(false, 6, 0);
    answer_heartbeat();
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_SNAPSHOT));
    finish();
}
END_TEST

START_TEST(test_raft_transfer_passes_over_who_needs_a_snapshot)
{
    begin_serving();
    ck_assert_int_eq(raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, 3), RAFT_IGNORED);
    ck_assert_uint_eq(status_of(1).transferee, RAFT_NONE);
    ck_assert_int_eq(raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, RAFT_NONE), RAFT_OK);
    ck_assert_uint_eq(status_of(1).transferee, 2);
    finish();
}
END_TEST

START_TEST(test_raft_peers_that_get_snapshots_keep_their_leader_by_answering)
{
    begin_serving();
    for (int i = 0; i < 30; i++) {
        raft_cluster_tick(cluster, 1, RAFT_CLUSTER_HEARTBEAT_NS);
        answer_heartbeat();
    }
    ck_assert_int_eq(status_of(1).role, RAFT_LEADER);
    finish();
}
END_TEST

START_TEST(test_raft_leader_installs_nothing)
{
    begin_leader();
    ck_assert_int_eq(install(9, 1), RAFT_IGNORED);
    ck_assert_uint_eq(status_of(1).last_index, 6);
    finish();
}
END_TEST

/* A damaged place in the log on disk: entries in front of it cannot be read, but the snapshot is beyond. */
static void begin_unreadable(uint64_t snapshot_index)
{
    struct raft_options options = raft_cluster_options();
    options.tail_bytes_max = options.uncommitted_bytes_max = 120;
    options.message_bytes_max = 80;
    cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_OK);
        raft_cluster_stabilize(cluster);
    }
    while (raft_cluster_node(cluster, 1)->applied_index < snapshot_index) raft_cluster_stabilize(cluster);
    struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
    ck_assert_uint_eq(node->applied_index, 7);
    uint64_t applied = node->applied_index;
    node->applied_index = snapshot_index;
    ck_assert(raft_cluster_take_snapshot(cluster, 1));
    node->applied_index = applied;
    raft_cluster_heal(cluster);
}

static void run_unreadable(void)
{
    for (int round = 0; round < 40; round++) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        for (uint64_t id = 1; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_take(cluster, id);
            raft_cluster_persist(cluster, id, SIZE_MAX);
            raft_cluster_apply(cluster, id);
            raft_cluster_fetch(cluster, id, false);
            raft_cluster_receive(cluster, id, true);
            raft_cluster_install(cluster, id);
        }
    }
}

START_TEST(test_raft_entries_that_cannot_be_read_are_replaced_by_a_snapshot)
{
    begin_unreadable(6);
    run_unreadable();
    ck_assert_uint_eq(raft_cluster_node(cluster, 3)->installs, 1);
    ck_assert_uint_eq(status_of(3).commit_index, status_of(1).commit_index);
    finish();
}
END_TEST

START_TEST(test_raft_entries_that_cannot_be_read_are_tried_again_while_no_snapshot_reaches_them)
{
    begin_unreadable(1);
    run_unreadable();
    ck_assert_uint_eq(raft_cluster_node(cluster, 3)->installs, 0);
    ck_assert_uint_eq(status_of(3).commit_index, 1);
    run_for(2 * RAFT_CLUSTER_ELECTION_NS); /* the disk recovers */
    ck_assert_uint_eq(status_of(3).commit_index, status_of(1).commit_index);
    finish();
}
END_TEST

/* The one message of its window was lost, and then the log was compacted past it. */
START_TEST(test_raft_full_window_does_not_hide_that_the_log_is_gone)
{
    struct raft_options options = raft_cluster_options();
    options.inflight_messages_max = 1;
    cluster = raft_cluster_of(3, &options);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_OK);
        raft_cluster_stabilize(cluster);
    }
    ck_assert(raft_cluster_take_snapshot(cluster, 1));
    raft_cluster_compact(cluster, 1, 6);
    raft_cluster_heal(cluster);
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(status_of(3).commit_index, 6);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 1);
    finish();
}
END_TEST

/* ---- Log ------------------------------------------------------------------------------------------------------------ */

START_TEST(test_raft_compacted_log_remembers_the_term_of_the_last_entry_that_went)
{
    static const uint64_t TERMS[] = {1, 1, 2, 2, 3};
    for (uint64_t index = 1; index <= 5; index++) {
        begin_follower(TERMS, 5, 3);
        give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .index = 5, .log_term = 3, .commit = 5});
        raft_cluster_settle(cluster, 1);
        raft_compact(core(1), index);
        for (uint64_t i = 0; i <= 5; i++) ck_assert_uint_eq(raft_term_at(core(1), i), i < index || i == 0 ? 0 : TERMS[i - 1]);
        finish();
    }
}
END_TEST

/* ---- Follower ------------------------------------------------------------------------------------------------------- */

START_TEST(test_raft_offer_comes_out_until_it_is_installed_or_has_come_by_itself)
{
    static const uint64_t TERMS[] = {1, 1};
    begin_follower(TERMS, 2, 2);
    struct raft_msg offer = {.kind = RAFT_MSG_SNAPSHOT, .from = 2, .term = 2, .index = 5, .log_term = 2};
    give(offer);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 5);
    raft_cluster_node(cluster, 1)->offer.index = 0;
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 0); /* once for each message */
    give(offer);
    ck_assert_int_eq(install(5, 2), RAFT_OK);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 0);
    raft_cluster_settle(cluster, 1);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    give(offer);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 0);
    const struct raft_msg *msg = sent(1, 2, RAFT_MSG_APPEND_ANSWER);
    ck_assert(!msg->reject && msg->index == 5);
    finish();
}
END_TEST

START_TEST(test_raft_offer_waits_until_its_term_is_durable)
{
    begin_follower(NULL, 0, 1);
    give((struct raft_msg){.kind = RAFT_MSG_SNAPSHOT, .from = 2, .term = 2, .index = 5, .log_term = 2});
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 0);
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->offer.index, 5);
    finish();
}
END_TEST

START_TEST(test_raft_offer_of_what_the_log_holds_commits_it)
{
    static const uint64_t TERMS[] = {1, 1, 2, 2};
    begin_follower(TERMS, 4, 2);
    ck_assert_uint_eq(status_of(1).commit_index, 0);
    give((struct raft_msg){.kind = RAFT_MSG_SNAPSHOT, .from = 2, .term = 2, .index = 3, .log_term = 2});
    raft_cluster_settle(cluster, 1);
    ck_assert(status_of(1).commit_index == 3 && status_of(1).last_index == 4 && status_of(1).first_index == 1);
    ck_assert_uint_eq(sent(1, 2, RAFT_MSG_APPEND_ANSWER)->index, 3);
    finish();
}
END_TEST

START_TEST(test_raft_offers_that_no_leader_makes_are_ignored)
{
    begin_follower(NULL, 0, 2);
    struct raft_msg msg = {.kind = RAFT_MSG_SNAPSHOT, .from = 2, .to = 1, .term = 2, .index = 5, .log_term = 3};
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    msg.log_term = 0;
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    msg = (struct raft_msg){.kind = RAFT_MSG_SNAPSHOT, .from = 2, .to = 1, .term = 2, .index = UINT64_MAX, .log_term = 2};
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    msg = (struct raft_msg){.kind = RAFT_MSG_SNAPSHOT, .from = 2, .to = 1, .term = 1, .index = 5, .log_term = 1};
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    raft_cluster_settle(cluster, 1);
    ck_assert(sent(1, 2, RAFT_MSG_APPEND_ANSWER)->reject); /* an old leader learns the term */
    finish();
}
END_TEST

START_TEST(test_raft_install_replaces_log_commit_and_applied_and_is_told_when_durable)
{
    static const uint64_t TERMS[] = {1, 1};
    begin_follower(TERMS, 2, 3);
    ck_assert_int_eq(install(7, 3), RAFT_OK);
    struct raft_status status = status_of(1);
    ck_assert(status.first_index == 8 && status.last_index == 7 && status.commit_index == 7);
    ck_assert(status.applied_index == 7 && status.durable_index == 7 && status.tail_bytes == 0);
    ck_assert_uint_eq(raft_term_at(core(1), 7), 3);
    raft_cluster_take(cluster, 1);
    ck_assert_ptr_null(sent(1, 2, RAFT_MSG_APPEND_ANSWER));
    struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
    ck_assert_uint_eq(node->append_count, 1);
    ck_assert(node->appends[0].is_reset && node->appends[0].reset_index == 7 && node->appends[0].reset_term == 3);
    ck_assert(node->appends[0].hard.term == 3 && node->appends[0].hard.commit == 7);
    raft_cluster_persist(cluster, 1, 1);
    const struct raft_msg *msg = sent(1, 2, RAFT_MSG_APPEND_ANSWER);
    ck_assert(msg != NULL && !msg->reject && msg->index == 7);
    finish();
}
END_TEST

/* Other entries stand there, of a leader that never committed them: their index may not become a match. */
START_TEST(test_raft_install_drops_what_stood_behind_its_position)
{
    static const uint64_t TERMS[] = {1, 2, 2, 2, 2};
    begin_follower(TERMS, 5, 3);
    ck_assert_int_eq(install(3, 3), RAFT_OK);
    ck_assert_uint_eq(status_of(1).last_index, 3);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->entry_count, 3); /* on disk, too */
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .index = 4, .log_term = 2});
    raft_cluster_settle(cluster, 1);
    ck_assert(sent(1, 2, RAFT_MSG_APPEND_ANSWER)->reject);
    finish();
}
END_TEST

START_TEST(test_raft_install_of_an_older_snapshot_changes_nothing)
{
    begin_follower(NULL, 0, 3);
    ck_assert_int_eq(install(7, 3), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(install(5, 2), RAFT_IGNORED);
    ck_assert_int_eq(install(7, 3), RAFT_IGNORED);
    ck_assert(status_of(1).commit_index == 7 && status_of(1).first_index == 8);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->installs, 1);
    finish();
}
END_TEST

START_TEST(test_raft_install_of_what_the_log_holds_commits_it_and_keeps_the_log)
{
    static const uint64_t TERMS[] = {1, 1, 2, 2};
    begin_follower(TERMS, 4, 2);
    ck_assert_int_eq(install(3, 2), RAFT_IGNORED);
    ck_assert(status_of(1).commit_index == 3 && status_of(1).last_index == 4 && status_of(1).first_index == 1);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->applied_index, 3);
    ck_assert_uint_eq(sent(1, 2, RAFT_MSG_APPEND_ANSWER)->index, 3);
    finish();
}
END_TEST

START_TEST(test_raft_install_of_a_term_that_was_never_heard_of_is_ignored)
{
    begin_follower(NULL, 0, 3);
    ck_assert_int_eq(install(7, 4), RAFT_IGNORED);
    ck_assert_uint_eq(status_of(1).last_index, 0);
    finish();
}
END_TEST

/* Two installs before one output: one reset, the later one's. */
START_TEST(test_raft_second_install_before_the_output_takes_the_place_of_the_first)
{
    begin_follower(NULL, 0, 3);
    ck_assert_int_eq(install(5, 2), RAFT_OK);
    ck_assert_int_eq(install(7, 3), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->installs, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->base_index, 7);
    finish();
}
END_TEST

START_TEST(test_raft_entries_that_follow_an_install_leave_with_it)
{
    begin_follower(NULL, 0, 3);
    ck_assert_int_eq(install(5, 2), RAFT_OK);
    struct raft_entry entry = {.index = 6, .term = 3, .kind = RAFT_ENTRY_EMPTY};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .index = 5, .log_term = 2, .commit = 6, .entries = &entry, .entry_count = 1});
    raft_cluster_take(cluster, 1);
    struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
    ck_assert(node->append_count == 1 && node->appends[0].is_reset && node->appends[0].entry_count == 1);
    ck_assert_uint_eq(node->handed_index, 5); /* not durable yet */
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(node->applied_index, 6);
    finish();
}
END_TEST

/* An append that was on its way when the log was replaced is not one of the new log. */
START_TEST(test_raft_append_on_its_way_does_not_count_for_the_log_behind_an_install)
{
    begin_follower(NULL, 0, 2);
    struct raft_entry old[9];
    for (uint64_t i = 0; i < 9; i++) old[i] = (struct raft_entry){.index = i + 1, .term = 2, .kind = RAFT_ENTRY_EMPTY};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 2, .entries = old, .entry_count = 9});
    raft_cluster_take(cluster, 1); /* on its way to the disk: up to 9 */
    give((struct raft_msg){.kind = RAFT_MSG_HEARTBEAT, .from = 3, .term = 3});
    ck_assert_int_eq(install(5, 3), RAFT_OK);
    struct raft_entry fresh[] = {{.index = 6, .term = 3, .kind = RAFT_ENTRY_EMPTY}, {.index = 7, .term = 3, .kind = RAFT_ENTRY_EMPTY}};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 3, .term = 3, .index = 5, .log_term = 3, .commit = 7, .entries = fresh, .entry_count = 2});
    raft_cluster_take(cluster, 1);
    raft_cluster_persist(cluster, 1, 1);
    ck_assert_uint_eq(status_of(1).durable_index, 5);
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_APPEND_ANSWER));
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(status_of(1).durable_index, 7);
    finish();
}
END_TEST

START_TEST(test_raft_applied_that_comes_late_is_ignored)
{
    static const uint64_t TERMS[] = {1, 1, 1};
    begin_follower(TERMS, 3, 1);
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 1, .index = 3, .log_term = 1, .commit = 3});
    raft_cluster_take(cluster, 1); /* handed out, not applied yet */
    ck_assert_int_eq(install(7, 1), RAFT_OK);
    for (uint64_t index = 1; index <= 7; index++) {
        struct raft_input input = {.kind = RAFT_IN_APPLIED, .index = index};
        ck_assert_int_eq(raft_cluster_step(cluster, 1, &input), RAFT_IGNORED);
    }
    ck_assert_uint_eq(status_of(1).applied_index, 7);
    finish();
}
END_TEST

START_TEST(test_raft_install_brings_its_configuration_and_forgets_those_of_the_log)
{
    static const uint64_t OTHERS[] = {1, 2, 4, 5};
    begin_follower(NULL, 0, 3);
    struct raft_conf in_log = raft_cluster_conf(THREE, 2);
    struct raft_entry entry = {.index = 1, .term = 3, .kind = RAFT_ENTRY_CONF, .data = raft_conf_encode(&in_log)};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .entries = &entry, .entry_count = 1});
    blob_unref(entry.data);
    ck_assert_uint_eq(raft_conf(core(1))->voter_count, 2);
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(install_conf(7, 3, OTHERS, 4), RAFT_OK);
    ck_assert_uint_eq(raft_conf(core(1))->voter_count, 4);
    uint64_t changes = raft_cluster_node(cluster, 1)->conf_changes;
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->conf_changes, changes + 1);
    /* What comes behind may be cut off again: then the snapshot's is in force. */
    entry = (struct raft_entry){.index = 8, .term = 3, .kind = RAFT_ENTRY_CONF, .data = raft_conf_encode(&in_log)};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .index = 7, .log_term = 3, .entries = &entry, .entry_count = 1});
    blob_unref(entry.data);
    ck_assert_uint_eq(raft_conf(core(1))->voter_count, 2);
    entry = (struct raft_entry){.index = 8, .term = 4, .kind = RAFT_ENTRY_EMPTY};
    give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 4, .term = 4, .index = 7, .log_term = 3, .entries = &entry, .entry_count = 1});
    ck_assert_uint_eq(raft_conf(core(1))->voter_count, 4);
    finish();
}
END_TEST

START_TEST(test_raft_candidate_that_installs_asks_no_more)
{
    begin_follower(NULL, 0, 3);
    raft_cluster_campaign(cluster, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_CANDIDATE);
    ck_assert_int_eq(install(7, 3), RAFT_OK);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(status_of(1).vote, 1); /* what it said stays said */
    finish();
}
END_TEST

static void begin_suspect(void)
{
    static const uint64_t TERMS[] = {1, 1, 2, 2, 2};
    begin_alone(3);
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_set_disk(cluster, 1, (struct raft_hard_state){.term = 3}, TERMS, 5);
    raft_cluster_damage(cluster, 1, 2);
    raft_cluster_restart(cluster, 1);
    follow(3);
    ck_assert(status_of(1).is_suspect);
}

START_TEST(test_raft_install_that_covers_the_damaged_tail_settles_it)
{
    begin_suspect();
    ck_assert_int_eq(install(5, 2), RAFT_OK);
    ck_assert(!status_of(1).is_suspect);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->suspect_index, 0);
    finish();
}
END_TEST

START_TEST(test_raft_install_of_a_later_term_settles_a_damaged_tail_too)
{
    begin_suspect();
    ck_assert_int_eq(install(4, 3), RAFT_OK);
    ck_assert(!status_of(1).is_suspect);
    finish();
}
END_TEST

START_TEST(test_raft_install_that_ends_before_the_damaged_tail_settles_nothing)
{
    begin_suspect();
    ck_assert_int_eq(install(4, 2), RAFT_OK);
    ck_assert(status_of(1).is_suspect);
    finish();
}
END_TEST

/* ---- Clusters ------------------------------------------------------------------------------------------------------- */

/* Three members, 3 was away while the others went on to 6 and compacted all of it. */
static void begin_left_behind(void)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 3);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert(raft_cluster_take_snapshot(cluster, 1));
    raft_cluster_compact(cluster, 1, 6);
    ck_assert_uint_eq(status_of(1).first_index, 7);
    raft_cluster_heal(cluster);
}

START_TEST(test_raft_member_that_was_away_too_long_catches_up_by_snapshot)
{
    begin_left_behind();
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert(status_of(3).first_index == 7 && status_of(3).commit_index == 6);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "behind it"), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert(status_of(3).applied_index == 7 && raft_cluster_node(cluster, 3)->installs == 1);
    finish();
}
END_TEST

START_TEST(test_raft_member_that_installed_may_lead)
{
    begin_left_behind();
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_int_eq(raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, 3), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    ck_assert_uint_eq(status_of(3).commit_index, 7);
    finish();
}
END_TEST

/* The file is durable, the log does not begin behind it yet. */
START_TEST(test_raft_crash_between_file_and_reset_is_made_good_at_the_start)
{
    begin_left_behind();
    for (int round = 0; raft_cluster_node(cluster, 3)->offer.index == 0; round++) {
        ck_assert_int_lt(round, 100);
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        raft_cluster_settle(cluster, 1);
        raft_cluster_deliver(cluster, 3);
        raft_cluster_take(cluster, 3);
        raft_cluster_persist(cluster, 3, SIZE_MAX);
        raft_cluster_deliver(cluster, 1);
    }
    ck_assert_uint_eq(raft_cluster_receive(cluster, 3, true), 1);
    ck_assert_uint_eq(raft_cluster_install(cluster, 3), 1);
    raft_cluster_take(cluster, 3); /* the reset is on its way */
    raft_cluster_crash(cluster, 3, 0);
    raft_cluster_restart(cluster, 3);
    ck_assert(status_of(3).first_index == 7 && status_of(3).commit_index == 6 && status_of(3).applied_index == 6);
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "behind it"), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(status_of(3).applied_index, 7);
    finish();
}
END_TEST

START_TEST(test_raft_member_that_knows_nobody_learns_all_by_snapshot)
{
    begin_led(3);
    struct raft_options options = raft_cluster_options();
    struct raft_conf nobody = {.voter_count = 0};
    (void)raft_cluster_add(cluster, &options, &nobody);
    struct raft_conf conf = raft_cluster_conf(THREE, 3);
    conf.learners[conf.learner_count++] = 4;
    raft_cluster_isolate(cluster, 4);
    ck_assert_int_eq(raft_cluster_propose_conf(cluster, 1, &conf), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert(raft_cluster_take_snapshot(cluster, 1));
    raft_cluster_compact(cluster, 1, 2);
    raft_cluster_heal(cluster);
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_node(cluster, 4)->installs, 1);
    ck_assert(raft_conf(core(4))->voter_count == 3 && raft_conf(core(4))->learner_count == 1);
    raft_cluster_crash(cluster, 4, 0);
    raft_cluster_restart(cluster, 4);
    ck_assert(raft_conf(core(4))->voter_count == 3 && raft_conf(core(4))->learner_count == 1);
    finish();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_snapshot");
    TCase *leader = tcase_create("leader");
    tcase_add_test(leader, test_raft_peer_behind_the_log_is_offered_the_newest_snapshot_at_each_heartbeat_answer);
    tcase_add_test(leader, test_raft_old_answers_do_not_end_the_offers);
    tcase_add_test(leader, test_raft_peer_with_the_snapshot_gets_the_entries_behind_it);
    tcase_add_test(leader, test_raft_peer_with_less_than_the_snapshot_but_all_up_to_the_log_gets_entries);
    tcase_add_test(leader, test_raft_log_that_is_compacted_meanwhile_keeps_the_offers_going);
    tcase_add_test(leader, test_raft_peer_that_has_all_that_is_compacted_is_offered_nothing);
    tcase_add_test(leader, test_raft_transfer_passes_over_who_needs_a_snapshot);
    tcase_add_test(leader, test_raft_peers_that_get_snapshots_keep_their_leader_by_answering);
    tcase_add_test(leader, test_raft_leader_installs_nothing);
    tcase_add_test(leader, test_raft_entries_that_cannot_be_read_are_replaced_by_a_snapshot);
    tcase_add_test(leader, test_raft_entries_that_cannot_be_read_are_tried_again_while_no_snapshot_reaches_them);
    tcase_add_test(leader, test_raft_full_window_does_not_hide_that_the_log_is_gone);
    tcase_add_test(leader, test_raft_compacted_log_remembers_the_term_of_the_last_entry_that_went);
    suite_add_tcase(suite, leader);
    TCase *follower = tcase_create("follower");
    tcase_add_test(follower, test_raft_offer_comes_out_until_it_is_installed_or_has_come_by_itself);
    tcase_add_test(follower, test_raft_offer_waits_until_its_term_is_durable);
    tcase_add_test(follower, test_raft_offer_of_what_the_log_holds_commits_it);
    tcase_add_test(follower, test_raft_offers_that_no_leader_makes_are_ignored);
    tcase_add_test(follower, test_raft_install_replaces_log_commit_and_applied_and_is_told_when_durable);
    tcase_add_test(follower, test_raft_install_drops_what_stood_behind_its_position);
    tcase_add_test(follower, test_raft_install_of_an_older_snapshot_changes_nothing);
    tcase_add_test(follower, test_raft_install_of_what_the_log_holds_commits_it_and_keeps_the_log);
    tcase_add_test(follower, test_raft_install_of_a_term_that_was_never_heard_of_is_ignored);
    tcase_add_test(follower, test_raft_second_install_before_the_output_takes_the_place_of_the_first);
    tcase_add_test(follower, test_raft_entries_that_follow_an_install_leave_with_it);
    tcase_add_test(follower, test_raft_append_on_its_way_does_not_count_for_the_log_behind_an_install);
    tcase_add_test(follower, test_raft_applied_that_comes_late_is_ignored);
    tcase_add_test(follower, test_raft_install_brings_its_configuration_and_forgets_those_of_the_log);
    tcase_add_test(follower, test_raft_candidate_that_installs_asks_no_more);
    tcase_add_test(follower, test_raft_install_that_covers_the_damaged_tail_settles_it);
    tcase_add_test(follower, test_raft_install_of_a_later_term_settles_a_damaged_tail_too);
    tcase_add_test(follower, test_raft_install_that_ends_before_the_damaged_tail_settles_nothing);
    suite_add_tcase(suite, follower);
    TCase *clusters = tcase_create("clusters");
    tcase_add_test(clusters, test_raft_member_that_was_away_too_long_catches_up_by_snapshot);
    tcase_add_test(clusters, test_raft_member_that_installed_may_lead);
    tcase_add_test(clusters, test_raft_crash_between_file_and_reset_is_made_good_at_the_start);
    tcase_add_test(clusters, test_raft_member_that_knows_nobody_learns_all_by_snapshot);
    suite_add_tcase(suite, clusters);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
