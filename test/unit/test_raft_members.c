/* test_raft_members: one test per rule of Ongaro's thesis about who leads and who belongs: leadership transfer (3.10), changes of the
 * configuration (4).
 */
#include <check.h>
#include <stdlib.h>

#include "lib/raft_rig.h"

static enum raft_answer transfer(uint64_t from, uint64_t to) { return raft_cluster_input(cluster, from, RAFT_IN_TRANSFER, to); }

static enum raft_answer propose_conf(uint64_t id, const uint64_t *voters, uint32_t count)
{
    struct raft_conf conf = raft_cluster_conf(voters, count);
    return raft_cluster_propose_conf(cluster, id, &conf);
}

/* ---- 3.10: leadership transfer --------------------------------------------------------------------------------------- */

START_TEST(test_raft_3_10_a_leader_takes_no_proposals_while_it_hands_over)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 2);
    ck_assert_int_eq(transfer(1, 2), RAFT_OK);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_FULL);
    ck_assert_int_eq(transfer(1, 2), RAFT_IGNORED); /* it is under way */
    finish();
}
END_TEST

/* The target must be able to win: first it gets all entries. */
START_TEST(test_raft_3_10_the_target_is_told_only_when_it_has_the_whole_log)
{
    begin_led(3);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(transfer(1, 3), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    ck_assert_ptr_null(sent(1, 3, RAFT_MSG_TIMEOUT_NOW));
    raft_cluster_deliver(cluster, 3);
    raft_cluster_settle(cluster, 3);
    raft_cluster_deliver(cluster, 1);
    raft_cluster_settle(cluster, 1);
    ck_assert_ptr_nonnull(sent(1, 3, RAFT_MSG_TIMEOUT_NOW));
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    finish();
}
END_TEST

/* As if its timer had elapsed, but without a question first; and others answer although they hear a leader (4.2.3). */
START_TEST(test_raft_3_10_the_target_campaigns_at_once_and_is_heard_beside_the_leader)
{
    begin_led(3);
    transfer(1, 2);
    raft_cluster_settle(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    ck_assert_int_eq(status_of(2).role, RAFT_CANDIDATE);
    raft_cluster_settle(cluster, 2);
    ck_assert(sent(2, 3, RAFT_MSG_VOTE)->transfer);
    raft_cluster_deliver(cluster, 3);
    ck_assert_uint_eq(status_of(3).vote, 2);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 2);
    ck_assert_int_eq(transfer(2, 1), RAFT_OK); /* and back */
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 1);
    finish();
}
END_TEST

/* The target may be dead: then the leader goes on. */
START_TEST(test_raft_3_10_a_transfer_ends_after_an_election_timeout)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 2);
    transfer(1, 2);
    run_for(RAFT_CLUSTER_ELECTION_NS - RAFT_CLUSTER_HEARTBEAT_NS);
    ck_assert_uint_eq(status_of(1).transferee, 2);
    run_for(2 * RAFT_CLUSTER_HEARTBEAT_NS);
    ck_assert_uint_eq(status_of(1).transferee, RAFT_NONE);
    ck_assert_int_eq(raft_cluster_propose(cluster, 1, "x"), RAFT_OK);
    finish();
}
END_TEST

START_TEST(test_raft_3_10_a_second_transfer_to_another_one_replaces_the_first)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 2);
    transfer(1, 2);
    raft_cluster_take(cluster, 1);
    ck_assert_int_eq(transfer(1, 3), RAFT_OK);
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 3);
    finish();
}
END_TEST

START_TEST(test_raft_3_10_a_transfer_ends_when_another_term_begins_or_the_target_is_no_voter_any_more)
{
    begin_led(4);
    raft_cluster_isolate(cluster, 2);
    const uint64_t smaller[] = {1, 3, 4};
    ck_assert_int_eq(propose_conf(1, smaller, 3), RAFT_OK);
    ck_assert_int_eq(transfer(1, 2), RAFT_IGNORED); /* a stranger from the append on */
    raft_cluster_stabilize(cluster);
    raft_cluster_isolate(cluster, 3);
    ck_assert_int_eq(transfer(1, 3), RAFT_OK);
    struct raft_msg higher = {.kind = RAFT_MSG_VOTE, .from = 4, .to = 1, .term = 9, .transfer = true};
    raft_cluster_message(cluster, &higher);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    ck_assert_uint_eq(status_of(1).transferee, RAFT_NONE);
    finish();
}
END_TEST

START_TEST(test_raft_3_10_who_may_not_lead_ignores_the_request_to_campaign)
{
    struct raft_options options = raft_cluster_options();
    const uint64_t voters[] = {1, 2};
    struct raft_conf conf = raft_cluster_conf(voters, 2);
    conf.learners[conf.learner_count++] = 3;
    cluster = raft_cluster_new();
    for (uint32_t i = 0; i < 3; i++) raft_cluster_add(cluster, &options, &conf);
    raft_cluster_elect(cluster, 1);
    struct raft_msg msg = {.kind = RAFT_MSG_TIMEOUT_NOW, .from = 1, .to = 3, .term = 1};
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    raft_cluster_input(cluster, 2, RAFT_IN_NO_SPACE, 1);
    msg.to = 2;
    ck_assert_int_eq(raft_cluster_message(cluster, &msg), RAFT_IGNORED);
    ck_assert_uint_eq(status_of(2).term, 1);
    finish();
}
END_TEST

/* ---- 4: configurations ----------------------------------------------------------------------------------------------- */

/* 4.1: the newest one in the log counts, committed or not. */
START_TEST(test_raft_4_1_a_configuration_counts_from_its_append_and_until_it_is_cut_off)
{
    begin_led(3);
    raft_cluster_isolate(cluster, 1);
    const uint64_t smaller[] = {1, 2};
    ck_assert_int_eq(propose_conf(1, smaller, 2), RAFT_OK);
    ck_assert_uint_eq(raft_conf(raft_cluster_node(cluster, 1)->raft)->voter_count, 2);
    run_for(5 * RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_heal(cluster);
    run_for(RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_conf(raft_cluster_node(cluster, 1)->raft)->voter_count, 3);
    finish();
}
END_TEST

/* 4.1, and the correction of 2015: a new leader inherits the pending change, and must first commit an entry of its own. */
START_TEST(test_raft_4_1_one_change_at_a_time_also_across_leaders)
{
    begin_led(3);
    const uint64_t smaller[] = {1, 2};
    const uint64_t same[] = {1, 2, 3};
    ck_assert_int_eq(propose_conf(1, smaller, 2), RAFT_OK);
    ck_assert_int_eq(propose_conf(1, same, 3), RAFT_FULL);
    raft_cluster_settle(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    raft_cluster_isolate(cluster, 3);
    raft_cluster_advance(cluster, RAFT_CLUSTER_ELECTION_NS);
    raft_cluster_campaign(cluster, 2);
    while (status_of(2).role != RAFT_LEADER) {
        raft_cluster_settle(cluster, 2);
        raft_cluster_deliver(cluster, 1);
        raft_cluster_settle(cluster, 1);
        raft_cluster_deliver(cluster, 2);
    }
    ck_assert_int_eq(propose_conf(2, same, 3), RAFT_FULL); /* pending, and nothing of its own term committed */
    raft_cluster_stabilize(cluster);
    ck_assert_int_eq(propose_conf(2, same, 3), RAFT_OK);
    finish();
}
END_TEST

/* 4.2.2: from the append on it counts the others only, and leads until the entry is committed. */
START_TEST(test_raft_4_2_2_a_removed_leader_does_not_count_itself_and_steps_down_in_the_end)
{
    begin_led(3);
    const uint64_t others[] = {2, 3};
    propose_conf(1, others, 2);
    raft_cluster_settle(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    raft_cluster_settle(cluster, 2);
    raft_cluster_deliver(cluster, 1);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(status_of(1).commit_index, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_LEADER);
    raft_cluster_stabilize(cluster);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
    run_for(5 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER); /* and never asks again */
    ck_assert(raft_cluster_leader(cluster) == 2 || raft_cluster_leader(cluster) == 3);
    finish();
}
END_TEST

/* 4.2.3: within the shortest election timeout after a leader was heard neither term nor vote changes. */
START_TEST(test_raft_4_2_3_votes_are_not_looked_at_while_a_leader_is_heard)
{
    begin_led(3);
    struct raft_msg vote = {.kind = RAFT_MSG_VOTE, .from = 3, .to = 2, .term = 9, .index = 9, .log_term = 9};
    ck_assert_int_eq(raft_cluster_message(cluster, &vote), RAFT_IGNORED);
    vote.to = 1;
    ck_assert_int_eq(raft_cluster_message(cluster, &vote), RAFT_IGNORED); /* nor by the leader itself */
    ck_assert_uint_eq(status_of(1).term, 1);
    ck_assert_uint_eq(status_of(2).term, 1);
    raft_cluster_node(cluster, 2)->now_ns += RAFT_CLUSTER_ELECTION_NS - 1;
    vote.to = 2;
    ck_assert_int_eq(raft_cluster_message(cluster, &vote), RAFT_IGNORED);
    raft_cluster_node(cluster, 2)->now_ns += 1;
    ck_assert_int_eq(raft_cluster_message(cluster, &vote), RAFT_OK);
    ck_assert_uint_eq(status_of(2).vote, 3);
    finish();
}
END_TEST

START_TEST(test_raft_4_3_commits_and_elections_need_both_majorities)
{
    begin_led(5);
    struct raft_conf conf = {.voter_count = 3, .outgoing_count = 5, .voters = {3, 4, 5}, .outgoing = {1, 2, 3, 4, 5}};
    ck_assert_int_eq(raft_cluster_propose_conf(cluster, 1, &conf), RAFT_OK);
    raft_cluster_settle(cluster, 1);
    for (uint64_t id = 2; id <= 3; id++) { /* 1, 2, 3 are three of five, but one of three */
        raft_cluster_deliver(cluster, id);
        raft_cluster_settle(cluster, id);
    }
    raft_cluster_deliver(cluster, 1);
    ck_assert_uint_eq(status_of(1).commit_index, 1);
    raft_cluster_crash(cluster, 4, 0);
    raft_cluster_crash(cluster, 5, 0);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    run_for(6 * RAFT_CLUSTER_ELECTION_NS);
    ck_assert_uint_eq(raft_cluster_leader(cluster), RAFT_NONE); /* 1, 2, 3 cannot elect anybody either */
    raft_cluster_restart(cluster, 4);
    run_for(6 * RAFT_CLUSTER_ELECTION_NS);
    uint64_t leader = raft_cluster_leader(cluster);
    ck_assert_uint_ne(leader, RAFT_NONE);
    ck_assert_uint_eq(raft_conf(raft_cluster_node(cluster, leader)->raft)->outgoing_count, 0); /* it was ended */
    finish();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_raft_3_10_a_leader_takes_no_proposals_while_it_hands_over);
    tcase_add_test(tcase, test_raft_3_10_the_target_is_told_only_when_it_has_the_whole_log);
    tcase_add_test(tcase, test_raft_3_10_the_target_campaigns_at_once_and_is_heard_beside_the_leader);
    tcase_add_test(tcase, test_raft_3_10_a_transfer_ends_after_an_election_timeout);
    tcase_add_test(tcase, test_raft_3_10_a_second_transfer_to_another_one_replaces_the_first);
    tcase_add_test(tcase, test_raft_3_10_a_transfer_ends_when_another_term_begins_or_the_target_is_no_voter_any_more);
    tcase_add_test(tcase, test_raft_3_10_who_may_not_lead_ignores_the_request_to_campaign);
    tcase_add_test(tcase, test_raft_4_1_a_configuration_counts_from_its_append_and_until_it_is_cut_off);
    tcase_add_test(tcase, test_raft_4_1_one_change_at_a_time_also_across_leaders);
    tcase_add_test(tcase, test_raft_4_2_2_a_removed_leader_does_not_count_itself_and_steps_down_in_the_end);
    tcase_add_test(tcase, test_raft_4_2_3_votes_are_not_looked_at_while_a_leader_is_heard);
    tcase_add_test(tcase, test_raft_4_3_commits_and_elections_need_both_majorities);
}

int main(void)
{
    Suite *suite = suite_create("raft_members");
    TCase *tcase = tcase_create("members");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
