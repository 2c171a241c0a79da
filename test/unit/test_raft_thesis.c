/* test_raft_thesis: one test per rule of Ongaro's thesis that goes beyond the paper: check-quorum (6.2), read index (6.4), pre-vote
 * (9.6), writing to the leader's disk in parallel (10.2.1). Transfer and configurations are in test_raft_members.c.
 */
#include <check.h>
#include <stdlib.h>

#include "lib/raft_rig.h"

/* ---- 6.2: check-quorum ----------------------------------------------------------------------------------------------- */

START_TEST(test_raft_6_2_a_leader_that_hears_no_majority_steps_down)
{
    begin_led(5);
    for (uint64_t id = 3; id <= 5; id++) raft_cluster_isolate(cluster, id);
    run_for(RAFT_CLUSTER_ELECTION_NS - RAFT_CLUSTER_HEARTBEAT_NS);
    ck_assert_int_eq(status_of(1).role, RAFT_LEADER);
    run_for(2 * RAFT_CLUSTER_HEARTBEAT_NS);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    ck_assert_uint_eq(status_of(1).term, 1);
    finish();
}
END_TEST

/* One way: it can be heard, and hears nothing; the others would follow it for ever. */
START_TEST(test_raft_6_2_a_leader_that_is_only_heard_steps_down_and_another_one_is_elected)
{
    begin_led(3);
    cluster->is_cut[2][1] = cluster->is_cut[3][1] = true;
    run_for(6 * RAFT_CLUSTER_ELECTION_NS);
    uint64_t leader = raft_cluster_leader(cluster);
    ck_assert(leader == 2 || leader == 3);
    ck_assert_int_eq(raft_cluster_propose(cluster, leader, "x"), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(status_of(leader).commit_index, status_of(leader).last_index);
    finish();
}
END_TEST

/* It is heard and cannot hear: it must not depose anybody, again and again (pre-vote and check-quorum together). */
START_TEST(test_raft_6_2_a_deaf_member_does_not_disturb)
{
    begin_led(3);
    cluster->is_cut[1][3] = cluster->is_cut[2][3] = true;
    run_for(10 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 1);
    ck_assert_uint_eq(status_of(1).term, 1);
    ck_assert_uint_eq(status_of(3).term, 1);
    finish();
}
END_TEST

/* A candidate whose term ran ahead is not ignored for ever: its refusal of a heartbeat frees it. */
START_TEST(test_raft_6_2_a_candidate_of_a_higher_term_is_freed)
{
    for (uint32_t pre_vote = 0; pre_vote < 2; pre_vote++) {
        begin(3, pre_vote == 1, true);
        raft_cluster_elect(cluster, 1);
        raft_cluster_crash(cluster, 3, 0);
        raft_cluster_node(cluster, 3)->hard = (struct raft_hard_state){.term = 7, .vote = 3, .commit = 1};
        raft_cluster_restart(cluster, 3);
        run_for(10 * RAFT_CLUSTER_ELECTION_NS);
        uint64_t leader = raft_cluster_leader(cluster);
        ck_assert_uint_ne(leader, RAFT_NONE);
        ck_assert_uint_gt(status_of(leader).term, 7);
        for (uint64_t id = 1; id <= 3; id++) ck_assert_uint_eq(status_of(id).leader, leader);
        finish();
    }
}
END_TEST

/* Heartbeats wait for no disk; so the leader itself must look at its disk, and not campaign before a sync completes. */
START_TEST(test_raft_6_2_a_leader_whose_disk_hangs_steps_down_and_does_not_campaign)
{
    begin_led(3);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_take(cluster, 1);
    for (uint32_t i = 0; i < 80; i++) { /* everybody works, but 1's disk */
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        for (uint64_t id = 1; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_take(cluster, id);
            if (id != 1) raft_cluster_settle(cluster, id);
        }
        ck_assert(i < 10 || status_of(1).role == RAFT_FOLLOWER);
    }
    uint64_t leader = raft_cluster_leader(cluster);
    ck_assert(leader == 2 || leader == 3);
    finish();
}
END_TEST

/* ---- 6.4: read index ------------------------------------------------------------------------------------------------- */

/* Step 1: before that it does not know what is committed. */
START_TEST(test_raft_6_4_a_fresh_leader_answers_no_read_before_an_entry_of_its_term_is_committed)
{
    begin_led(3);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_stabilize(cluster);
    raft_cluster_crash(cluster, 1, 0);
    raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_campaign(cluster, 2);
    while (status_of(2).role != RAFT_LEADER) {
        raft_cluster_settle(cluster, 2);
        raft_cluster_deliver(cluster, 3);
        raft_cluster_settle(cluster, 3);
        raft_cluster_deliver(cluster, 2);
    }
    ck_assert_int_eq(raft_cluster_read(cluster, 2, 1), RAFT_OK);
    raft_cluster_settle(cluster, 2);
    ck_assert_ptr_null(sent(2, 3, RAFT_MSG_HEARTBEAT)); /* the round does not even begin */
    ck_assert_uint_eq(raft_cluster_node(cluster, 2)->reads_done, 0);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_node(cluster, 2)->reads_done, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 2)->last_read_index, 3);
    finish();
}
END_TEST

/* Steps 2 and 3: the commit index is noted, then a majority must confirm that no newer leader existed. */
START_TEST(test_raft_6_4_a_read_needs_a_majority_of_answers_to_a_round_that_began_after_it)
{
    begin_led(5);
    raft_cluster_tick(cluster, 1, RAFT_CLUSTER_HEARTBEAT_NS);
    raft_cluster_settle(cluster, 1);
    for (uint64_t id = 2; id <= 5; id++) {
        raft_cluster_deliver(cluster, id);
        raft_cluster_settle(cluster, id);
    }
    raft_cluster_read(cluster, 1, 1);
    raft_cluster_take(cluster, 1);
    const struct raft_cluster_node *leader = raft_cluster_node(cluster, 1);
    uint64_t started_ns = leader->now_ns;
    raft_cluster_deliver(cluster, 1); /* four answers, of the round before */
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(leader->reads_done, 0);
    for (uint64_t id = 2; id <= 3; id++) {
        raft_cluster_tick(cluster, 1, RAFT_CLUSTER_HEARTBEAT_NS / 10);
        raft_cluster_deliver(cluster, id);
        raft_cluster_settle(cluster, id);
        raft_cluster_deliver(cluster, 1);
        raft_cluster_take(cluster, 1);
        ck_assert_uint_eq(leader->reads_done, id == 3 ? 1 : 0);
    }
    ck_assert_uint_eq(leader->last_read_started_ns, started_ns); /* at that time nobody else led; it is not known of any later one */
    finish();
}
END_TEST

START_TEST(test_raft_6_4_one_round_serves_all_reads_that_wait)
{
    begin_led(3);
    uint64_t before = raft_cluster_node(cluster, 1)->messages_sent;
    for (uint64_t context = 1; context <= 1000; context++) ck_assert_int_eq(raft_cluster_read(cluster, 1, context), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->reads_done, 1000);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->messages_sent - before, 2);
    finish();
}
END_TEST

/* The second round does not wait for the first; the third, for all that came since, waits for one of them. */
START_TEST(test_raft_6_4_two_rounds_are_in_flight_and_what_comes_then_waits_together)
{
    begin_led(3);
    const struct raft_cluster_node *leader = raft_cluster_node(cluster, 1);
    for (uint64_t context = 1; context <= 4; context++) {
        uint64_t before = leader->messages_sent;
        raft_cluster_read(cluster, 1, context);
        raft_cluster_take(cluster, 1);
        ck_assert_uint_eq(leader->messages_sent - before, context <= 2 ? 2 : 0);
    }
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    uint64_t before = leader->messages_sent;
    raft_cluster_deliver(cluster, 1); /* both answers, and the third round leaves */
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(leader->reads_done, 2);
    ck_assert_uint_eq(leader->messages_sent - before, 2);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(leader->reads_done, 4);
    finish();
}
END_TEST

/* Whoever answers a later round has heard its leader later: the rounds before are over, too, each with the index of its own beginning. */
START_TEST(test_raft_6_4_an_answer_to_a_later_round_confirms_those_before)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 3);
    const struct raft_cluster_node *leader = raft_cluster_node(cluster, 1);
    uint64_t index = status_of(1).commit_index;
    cluster->is_cut[1][2] = true; /* the first round is lost */
    raft_cluster_read(cluster, 1, 1);
    raft_cluster_settle(cluster, 1);
    cluster->is_cut[1][2] = false;
    raft_cluster_read(cluster, 1, 2);
    raft_cluster_settle(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    raft_cluster_deliver(cluster, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(leader->reads_done, 2);
    ck_assert_uint_eq(leader->last_read_index, index);
    finish();
}
END_TEST

START_TEST(test_raft_6_4_reads_are_bounded_and_the_same_context_may_come_twice)
{
    begin_led(3);
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) ck_assert_int_eq(raft_cluster_read(cluster, 1, 7), RAFT_OK);
    ck_assert_int_eq(raft_cluster_read(cluster, 1, 7), RAFT_FULL);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->reads_done, RAFT_READS_MAX);
    ck_assert_int_eq(raft_cluster_read(cluster, 1, 7), RAFT_OK);
    finish();
}
END_TEST

/* Whichever way it learns of it: it never answers, it says that the reads are lost. */
START_TEST(test_raft_6_4_a_deposed_leader_loses_its_reads)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 1);
    raft_cluster_read(cluster, 1, 1);
    raft_cluster_settle(cluster, 1);
    raft_cluster_read(cluster, 1, 2); /* waits for the next round */
    struct raft_msg higher = {.kind = RAFT_MSG_HEARTBEAT_ANSWER, .from = 2, .to = 1, .term = 4, .round = 1};
    raft_cluster_message(cluster, &higher);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->reads_done, 0);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->reads_lost, 2);
    ck_assert_int_eq(raft_cluster_read(cluster, 1, 3), RAFT_NOT_LEADER);
    finish();
}
END_TEST

START_TEST(test_raft_6_4_a_single_member_confirms_its_reads_itself)
{
    begin_led(1);
    raft_cluster_read(cluster, 1, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->reads_done, 1);
    finish();
}
END_TEST

/* ---- 9.6: pre-vote --------------------------------------------------------------------------------------------------- */

/* Nobody enters a new term before a majority would vote. */
START_TEST(test_raft_9_6_a_question_changes_neither_term_nor_vote_on_either_side)
{
    begin(3, true, true);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_PRE_CANDIDATE);
    ck_assert_uint_eq(status_of(1).term, 0);
    ck_assert_uint_eq(status_of(1).vote, RAFT_NONE);
    ck_assert_uint_eq(sent(1, 2, RAFT_MSG_PRE_VOTE)->term, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    ck_assert_uint_eq(status_of(2).term, 0);
    ck_assert_uint_eq(status_of(2).vote, RAFT_NONE);
    ck_assert(!sent(2, 1, RAFT_MSG_PRE_VOTE_ANSWER)->reject);
    finish();
}
END_TEST

/* A question is not a vote. */
START_TEST(test_raft_9_6_a_question_may_be_granted_to_several)
{
    begin(4, true, true);
    for (uint64_t id = 1; id <= 3; id++) {
        raft_cluster_campaign(cluster, id);
        raft_cluster_settle(cluster, id);
    }
    raft_cluster_deliver(cluster, 4);
    raft_cluster_settle(cluster, 4);
    for (uint64_t id = 1; id <= 3; id++) ck_assert(!sent(4, id, RAFT_MSG_PRE_VOTE_ANSWER)->reject);
    finish();
}
END_TEST

START_TEST(test_raft_9_6_only_a_majority_of_this_rounds_grants_leads_to_an_election)
{
    begin(5, true, true);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    struct raft_msg grant = {.kind = RAFT_MSG_PRE_VOTE_ANSWER, .from = 2, .to = 1, .term = 1};
    raft_cluster_message(cluster, &grant);
    raft_cluster_message(cluster, &grant);
    ck_assert_int_eq(status_of(1).role, RAFT_PRE_CANDIDATE);
    struct raft_msg other_term = {.kind = RAFT_MSG_PRE_VOTE_ANSWER, .from = 3, .to = 1, .term = 2};
    raft_cluster_message(cluster, &other_term);
    ck_assert_int_eq(status_of(1).role, RAFT_PRE_CANDIDATE);
    struct raft_msg refusal = {.kind = RAFT_MSG_PRE_VOTE_ANSWER, .from = 4, .to = 1, .term = 0, .reject = true};
    raft_cluster_message(cluster, &refusal);
    ck_assert_int_eq(status_of(1).role, RAFT_PRE_CANDIDATE);
    grant.from = 5;
    raft_cluster_message(cluster, &grant);
    ck_assert_int_eq(status_of(1).role, RAFT_CANDIDATE);
    ck_assert_uint_eq(status_of(1).term, 1);
    finish();
}
END_TEST

/* It is an answer like any other in this. */
START_TEST(test_raft_9_6_a_refusal_of_a_newer_term_is_obeyed)
{
    begin(3, true, true);
    raft_cluster_campaign(cluster, 1);
    struct raft_msg refusal = {.kind = RAFT_MSG_PRE_VOTE_ANSWER, .from = 2, .to = 1, .term = 5, .reject = true};
    raft_cluster_message(cluster, &refusal);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    ck_assert_uint_eq(status_of(1).term, 5);
    finish();
}
END_TEST

/* ---- 10.2.1: the disk in parallel ------------------------------------------------------------------------------------ */

/* The own disk is one of many. Applying waits for it all the same: the own machine has only what the own disk has. */
START_TEST(test_raft_10_2_1_entries_leave_before_the_own_disk_has_them_and_may_be_committed_without_it)
{
    begin_led(3);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(status_of(1).durable_index, 1);
    for (uint64_t id = 2; id <= 3; id++) {
        ck_assert_ptr_nonnull(sent(1, id, RAFT_MSG_APPEND));
        raft_cluster_deliver(cluster, id);
        raft_cluster_settle(cluster, id);
    }
    raft_cluster_deliver(cluster, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(status_of(1).commit_index, 2);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, 1);
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, 2);
    finish();
}
END_TEST

static void begin_led_with_own_wait(uint32_t count, uint32_t own_wait_entries_min)
{
    struct raft_options options = raft_cluster_options();
    options.own_wait_entries_min = own_wait_entries_min;
    cluster = raft_cluster_of(count, &options);
    raft_cluster_elect(cluster, 1);
}

static void propose_and_take(const char *data)
{
    raft_cluster_propose(cluster, 1, data);
    raft_cluster_take(cluster, 1);
}

/* With enough on its way the own disk gets nothing until another member has more than it, and then all that there is. */
START_TEST(test_raft_10_2_1_under_load_the_own_disk_waits_for_the_first_acknowledgement)
{
    begin_led_with_own_wait(3, 2);
    struct raft_cluster_node *leader = raft_cluster_node(cluster, 1);
    propose_and_take("alone");
    ck_assert_uint_eq(leader->append_count, 1); /* little: at once */
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    for (uint32_t i = 0; i < 3; i++) raft_cluster_propose(cluster, 1, "one of many");
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(leader->append_count, 0);
    ck_assert_ptr_nonnull(sent(1, 2, RAFT_MSG_APPEND));
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    raft_cluster_propose(cluster, 1, "meanwhile");
    raft_cluster_deliver(cluster, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(leader->append_count, 1);
    ck_assert_uint_eq(leader->appends[0].entry_count, 4);
    finish();
}
END_TEST

/* A message of some size is on its way for long: then the own disk is not to begin only behind it. */
START_TEST(test_raft_10_2_1_many_bytes_do_not_wait_for_an_acknowledgement)
{
    begin_led_with_own_wait(3, 1);
    static char value[RAFT_OWN_WAIT_BYTES_MAX / 4];
    memset(value, 'v', sizeof(value) - 1);
    for (uint32_t i = 0; i < 3; i++) raft_cluster_propose(cluster, 1, value);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 0);
    for (uint32_t i = 0; i < 2; i++) raft_cluster_propose(cluster, 1, value);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 1);
    finish();
}
END_TEST

/* Who does not answer for the time of a heartbeat may not be there any more. */
START_TEST(test_raft_10_2_1_the_own_disk_does_not_wait_for_a_late_acknowledgement)
{
    begin_led_with_own_wait(3, 1);
    propose_and_take("x");
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 0);
    raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 1);
    finish();
}
END_TEST

/* Nobody else is needed, so nobody is waited for; and who leads no more has to have it all the same. */
START_TEST(test_raft_10_2_1_a_member_alone_and_one_that_leads_no_more_write_at_once)
{
    begin_led_with_own_wait(1, 1);
    propose_and_take("x");
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 1);
    finish();
    begin_led_with_own_wait(3, 1);
    raft_cluster_isolate(cluster, 1);
    propose_and_take("x");
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->append_count, 0);
    run_for(2 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_int_ne(status_of(1).role, RAFT_LEADER);
    ck_assert_uint_eq(status_of(1).durable_index, status_of(1).last_index);
    finish();
}
END_TEST

START_TEST(test_raft_10_2_1_the_leader_counts_itself_only_when_its_disk_has_the_entry)
{
    begin_led(3);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_take(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    raft_cluster_deliver(cluster, 1);
    ck_assert_uint_eq(status_of(1).commit_index, 1);
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    ck_assert_uint_eq(status_of(1).commit_index, 2);
    finish();
}
END_TEST

/* Completions carry the sequence of their append: one that was overwritten meanwhile acknowledges nothing of now. */
START_TEST(test_raft_10_2_1_a_late_completion_does_not_count_for_what_replaced_its_entries)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 1);
    raft_cluster_propose(cluster, 1, "old");
    raft_cluster_take(cluster, 1); /* on its way to the disk */
    raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_settle(cluster, 2);
    raft_cluster_campaign(cluster, 2);
    for (uint32_t i = 0; i < 10; i++) {
        for (uint64_t id = 2; id <= 3; id++) {
            raft_cluster_deliver(cluster, id);
            raft_cluster_settle(cluster, id);
        }
    }
    ck_assert_uint_eq(status_of(2).commit_index, 2);
    raft_cluster_heal(cluster);
    const struct raft_entry entry = {.index = 2, .term = status_of(2).term, .kind = RAFT_ENTRY_EMPTY};
    struct raft_msg append = {.kind = RAFT_MSG_APPEND, .from = 2, .to = 1, .term = entry.term, .index = 1, .log_term = 1,
                              .commit = 2, .entries = &entry, .entry_count = 1};
    raft_cluster_message(cluster, &append);
    raft_cluster_take(cluster, 1);
    raft_cluster_persist(cluster, 1, 1); /* "old" */
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(status_of(1).durable_index, 1);
    ck_assert_ptr_null(sent(1, 2, RAFT_MSG_APPEND_ANSWER));
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, 1);
    raft_cluster_persist(cluster, 1, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_ptr_nonnull(sent(1, 2, RAFT_MSG_APPEND_ANSWER));
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, 2);
    finish();
}
END_TEST

/* The election is lost before the own vote is durable: it is not counted any more. */
START_TEST(test_raft_10_2_1_an_own_vote_that_is_durable_too_late_wins_nothing)
{
    begin(3, false, true);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_take(cluster, 1);
    struct raft_msg leader = {.kind = RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 1};
    raft_cluster_message(cluster, &leader);
    struct raft_msg vote = {.kind = RAFT_MSG_VOTE_ANSWER, .from = 3, .to = 1, .term = 1};
    raft_cluster_message(cluster, &vote);
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    ck_assert_uint_eq(status_of(1).leader, 2);
    finish();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_raft_6_2_a_leader_that_hears_no_majority_steps_down);
    tcase_add_test(tcase, test_raft_6_2_a_leader_that_is_only_heard_steps_down_and_another_one_is_elected);
    tcase_add_test(tcase, test_raft_6_2_a_deaf_member_does_not_disturb);
    tcase_add_test(tcase, test_raft_6_2_a_candidate_of_a_higher_term_is_freed);
    tcase_add_test(tcase, test_raft_6_2_a_leader_whose_disk_hangs_steps_down_and_does_not_campaign);
    tcase_add_test(tcase, test_raft_6_4_a_fresh_leader_answers_no_read_before_an_entry_of_its_term_is_committed);
    tcase_add_test(tcase, test_raft_6_4_a_read_needs_a_majority_of_answers_to_a_round_that_began_after_it);
    tcase_add_test(tcase, test_raft_6_4_one_round_serves_all_reads_that_wait);
    tcase_add_test(tcase, test_raft_6_4_two_rounds_are_in_flight_and_what_comes_then_waits_together);
    tcase_add_test(tcase, test_raft_6_4_an_answer_to_a_later_round_confirms_those_before);
    tcase_add_test(tcase, test_raft_6_4_reads_are_bounded_and_the_same_context_may_come_twice);
    tcase_add_test(tcase, test_raft_6_4_a_deposed_leader_loses_its_reads);
    tcase_add_test(tcase, test_raft_6_4_a_single_member_confirms_its_reads_itself);
    tcase_add_test(tcase, test_raft_9_6_a_question_changes_neither_term_nor_vote_on_either_side);
    tcase_add_test(tcase, test_raft_9_6_a_question_may_be_granted_to_several);
    tcase_add_test(tcase, test_raft_9_6_only_a_majority_of_this_rounds_grants_leads_to_an_election);
    tcase_add_test(tcase, test_raft_9_6_a_refusal_of_a_newer_term_is_obeyed);
    tcase_add_test(tcase, test_raft_10_2_1_entries_leave_before_the_own_disk_has_them_and_may_be_committed_without_it);
    tcase_add_test(tcase, test_raft_10_2_1_under_load_the_own_disk_waits_for_the_first_acknowledgement);
    tcase_add_test(tcase, test_raft_10_2_1_many_bytes_do_not_wait_for_an_acknowledgement);
    tcase_add_test(tcase, test_raft_10_2_1_the_own_disk_does_not_wait_for_a_late_acknowledgement);
    tcase_add_test(tcase, test_raft_10_2_1_a_member_alone_and_one_that_leads_no_more_write_at_once);
    tcase_add_test(tcase, test_raft_10_2_1_the_leader_counts_itself_only_when_its_disk_has_the_entry);
    tcase_add_test(tcase, test_raft_10_2_1_a_late_completion_does_not_count_for_what_replaced_its_entries);
    tcase_add_test(tcase, test_raft_10_2_1_an_own_vote_that_is_durable_too_late_wins_nothing);
}

int main(void)
{
    Suite *suite = suite_create("raft_thesis");
    TCase *tcase = tcase_create("thesis");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
