/* test_raft_paper: one test per rule of the Raft paper (Ongaro and Ousterhout, 2014): terms and elections (5.1, 5.2, 5.4.1), what
 * is persistent (figure 2). The rules of the log are in test_raft_paper_log.c, what the thesis adds in test_raft_thesis.c and
 * test_raft_members.c.
 *
 * Many tests play the other members, which are not there; then the watcher of raft_cluster, which knows all disks, is off.
 */
#include <check.h>
#include <stdlib.h>

#include "lib/raft_rig.h"

/* ---- 5.1: terms ------------------------------------------------------------------------------------------------------ */

/* 5.1: a larger term in any message is taken over, and whoever had another role follows. */
START_TEST(test_raft_5_1_a_larger_term_is_taken_over_by_everybody)
{
    static const enum raft_role ROLES[] = {RAFT_FOLLOWER, RAFT_CANDIDATE, RAFT_LEADER};
    for (size_t i = 0; i < sizeof ROLES / sizeof ROLES[0]; i++) {
        begin_alone(3);
        if (ROLES[i] == RAFT_CANDIDATE) raft_cluster_campaign(cluster, 1);
        if (ROLES[i] == RAFT_LEADER) become_leader_alone();
        ck_assert_int_eq(status_of(1).role, ROLES[i]);
        give((struct raft_msg){.kind = RAFT_MSG_HEARTBEAT, .from = 2, .term = 5});
        ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
        ck_assert_uint_eq(status_of(1).term, 5);
        ck_assert_uint_eq(status_of(1).leader, 2);
        finish();
    }
}
END_TEST

/* 5.1: a request of an older term changes nothing; its sender is told the newer one. */
START_TEST(test_raft_5_1_a_request_of_an_older_term_is_rejected_with_the_own_term)
{
    static const enum raft_msg_kind REQUESTS[] = {RAFT_MSG_APPEND, RAFT_MSG_HEARTBEAT, RAFT_MSG_VOTE, RAFT_MSG_PRE_VOTE};
    static const enum raft_msg_kind ANSWERS[] = {RAFT_MSG_APPEND_ANSWER, RAFT_MSG_APPEND_ANSWER, RAFT_MSG_VOTE_ANSWER,
                                                 RAFT_MSG_PRE_VOTE_ANSWER};
    for (size_t i = 0; i < 4; i++) {
        begin_alone(3);
        set_log((const uint64_t[]){1}, 1, 4);
        give((struct raft_msg){.kind = REQUESTS[i], .from = 2, .term = 3, .index = 1, .log_term = 1, .commit = 1});
        raft_cluster_settle(cluster, 1);
        const struct raft_msg *answer = sent(1, 2, ANSWERS[i]);
        ck_assert_ptr_nonnull(answer);
        ck_assert(answer->reject);
        ck_assert_uint_eq(answer->term, 4);
        ck_assert_uint_eq(status_of(1).leader, RAFT_NONE);
        ck_assert_uint_eq(status_of(1).commit_index, 0);
        finish();
    }
}
END_TEST

/* ---- 5.2: elections -------------------------------------------------------------------------------------------------- */

START_TEST(test_raft_5_2_members_begin_as_followers)
{
    begin(3, true, true);
    for (uint64_t id = 1; id <= 3; id++) ck_assert_int_eq(status_of(id).role, RAFT_FOLLOWER);
    finish();
}
END_TEST

/* 5.2: heartbeats, so that nobody else begins an election. */
START_TEST(test_raft_5_2_a_leader_sends_heartbeats_at_every_interval)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 1);
    for (uint32_t i = 0; i < 5; i++) {
        raft_cluster_tick(cluster, 1, RAFT_CLUSTER_HEARTBEAT_NS - 1);
        raft_cluster_take(cluster, 1);
        ck_assert_ptr_null(sent(1, 2, RAFT_MSG_HEARTBEAT));
        raft_cluster_tick(cluster, 1, 1);
        raft_cluster_take(cluster, 1);
        ck_assert_ptr_nonnull(sent(1, 2, RAFT_MSG_HEARTBEAT));
        ck_assert_ptr_nonnull(sent(1, 3, RAFT_MSG_HEARTBEAT));
        raft_cluster_stabilize(cluster);
    }
    finish();
}
END_TEST

/* 5.2, figure 2: new term, own vote, and to all others in parallel a request that tells where the own log ends. */
START_TEST(test_raft_5_2_an_election_begins_with_a_new_term_an_own_vote_and_requests_to_all_others)
{
    begin_alone(3);
    set_log((const uint64_t[]){1, 1, 2}, 3, 2);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_settle(cluster, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_CANDIDATE);
    ck_assert_uint_eq(status_of(1).term, 3);
    ck_assert_uint_eq(status_of(1).vote, 1);
    for (uint64_t id = 2; id <= 3; id++) {
        const struct raft_msg *msg = sent(1, id, RAFT_MSG_VOTE);
        ck_assert_ptr_nonnull(msg);
        ck_assert_uint_eq(msg->term, 3);
        ck_assert_uint_eq(msg->index, 3);
        ck_assert_uint_eq(msg->log_term, 2);
    }
    finish();
}
END_TEST

/* 5.2: a majority of the whole cluster in one term. */
START_TEST(test_raft_5_2_a_candidate_wins_with_a_majority_and_loses_without)
{
    static const struct {
        uint32_t members;
        uint32_t yes; /* besides its own */
        uint32_t no;
        enum raft_role role;
    } TABLE[] = {
        {1, 0, 0, RAFT_LEADER},    {2, 0, 0, RAFT_CANDIDATE}, {2, 1, 0, RAFT_LEADER},    {2, 0, 1, RAFT_FOLLOWER},
        {3, 0, 1, RAFT_CANDIDATE}, {3, 1, 1, RAFT_LEADER},    {3, 0, 2, RAFT_FOLLOWER},  {5, 1, 2, RAFT_CANDIDATE},
        {5, 2, 0, RAFT_LEADER},    {5, 2, 2, RAFT_LEADER},    {5, 1, 3, RAFT_FOLLOWER},  {5, 4, 0, RAFT_LEADER},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(TABLE[i].members);
        raft_cluster_campaign(cluster, 1);
        raft_cluster_settle(cluster, 1);
        for (uint64_t id = 2; id < 2 + TABLE[i].no; id++) {
            give((struct raft_msg){.kind = RAFT_MSG_VOTE_ANSWER, .from = id, .term = 1, .reject = true});
        }
        for (uint64_t id = 2 + TABLE[i].no; id < 2 + TABLE[i].no + TABLE[i].yes; id++) {
            for (uint32_t twice = 0; twice < 2; twice++) { /* one vote each, however often it comes */
                give((struct raft_msg){.kind = RAFT_MSG_VOTE_ANSWER, .from = id, .term = 1});
            }
        }
        ck_assert_int_eq(status_of(1).role, TABLE[i].role);
        finish();
    }
}
END_TEST

/* 5.2, figure 2: the vote is on disk; the same candidate may ask again. */
START_TEST(test_raft_5_2_one_vote_per_term_first_come_first_served_also_after_a_crash)
{
    begin_alone(3);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint64_t id = 2; id <= 3; id++) {
            give((struct raft_msg){.kind = RAFT_MSG_VOTE, .from = id, .term = 1});
            raft_cluster_settle(cluster, 1);
            const struct raft_msg *answer = sent(1, id, RAFT_MSG_VOTE_ANSWER);
            ck_assert_ptr_nonnull(answer);
            ck_assert(answer->reject == (id == 3));
        }
        ck_assert_uint_eq(status_of(1).vote, 2);
        raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
        raft_cluster_crash(cluster, 1, 0);
        raft_cluster_restart(cluster, 1);
    }
    finish();
}
END_TEST

/* 5.2: somebody else won this term; the own vote of this term stays given. */
START_TEST(test_raft_5_2_a_candidate_that_hears_a_leader_of_its_term_follows_it)
{
    static const enum raft_msg_kind KINDS[] = {RAFT_MSG_APPEND, RAFT_MSG_HEARTBEAT};
    for (size_t i = 0; i < 2; i++) {
        begin_alone(3);
        raft_cluster_campaign(cluster, 1);
        raft_cluster_settle(cluster, 1);
        give((struct raft_msg){.kind = KINDS[i], .from = 2, .term = 1});
        ck_assert_int_eq(status_of(1).role, RAFT_FOLLOWER);
        ck_assert_uint_eq(status_of(1).leader, 2);
        ck_assert_uint_eq(status_of(1).vote, 1); /* given in this term, and kept */
        finish();
    }
}
END_TEST

START_TEST(test_raft_5_2_a_candidate_without_a_result_tries_again_in_a_new_term)
{
    begin_alone(3);
    for (uint64_t term = 1; term <= 3; term++) {
        raft_cluster_campaign(cluster, 1);
        raft_cluster_settle(cluster, 1);
        ck_assert_int_eq(status_of(1).role, RAFT_CANDIDATE);
        ck_assert_uint_eq(status_of(1).term, term);
    }
    finish();
}
END_TEST

/* 5.2: drawn anew at each round, so that a split vote is not followed by the next one. */
START_TEST(test_raft_5_2_election_timeouts_are_random_within_an_interval_at_every_round)
{
    begin_alone(3);
    uint64_t previous = 0;
    uint32_t different = 0;
    uint32_t quarters[4] = {0};
    for (uint32_t round = 0; round < 400; round++) {
        struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
        uint64_t timeout_ns = raft_deadline_ns(node->raft) - node->now_ns;
        ck_assert_uint_ge(timeout_ns, RAFT_CLUSTER_ELECTION_NS);
        ck_assert_uint_lt(timeout_ns, 2 * RAFT_CLUSTER_ELECTION_NS);
        quarters[(timeout_ns - RAFT_CLUSTER_ELECTION_NS) * 4 / RAFT_CLUSTER_ELECTION_NS]++;
        if (timeout_ns != previous) different++;
        previous = timeout_ns;
        raft_cluster_campaign(cluster, 1);
    }
    ck_assert_uint_gt(different, 390);
    for (uint32_t i = 0; i < 4; i++) ck_assert_uint_gt(quarters[i], 60); /* 100 each on average */
    finish();
}
END_TEST

START_TEST(test_raft_5_2_members_have_different_timeouts)
{
    begin(5, true, true);
    for (uint64_t a = 1; a <= 5; a++) {
        for (uint64_t b = 1; b < a; b++) {
            uint64_t one = raft_deadline_ns(raft_cluster_node(cluster, a)->raft);
            ck_assert_uint_ne(one, raft_deadline_ns(raft_cluster_node(cluster, b)->raft));
        }
    }
    finish();
}
END_TEST

/* Figure 2, followers: a leader heard, or a vote given. A vote that is refused does not put the own election off. */
START_TEST(test_raft_5_2_leader_and_granted_vote_put_the_election_off_and_a_refused_vote_does_not)
{
    static const struct {
        struct raft_msg msg;
        bool is_put_off;
    } TABLE[] = {
        {{.kind = RAFT_MSG_HEARTBEAT, .from = 2, .term = 2}, true},
        {{.kind = RAFT_MSG_APPEND, .from = 2, .term = 2, .index = 1, .log_term = 1}, true},
        {{.kind = RAFT_MSG_VOTE, .from = 2, .term = 2, .index = 1, .log_term = 1}, true},
        {{.kind = RAFT_MSG_VOTE, .from = 2, .term = 2, .index = 0, .log_term = 0}, false},
        {{.kind = RAFT_MSG_VOTE, .from = 2, .term = 3, .index = 0, .log_term = 0}, false},
        {{.kind = RAFT_MSG_PRE_VOTE, .from = 2, .term = 3, .index = 1, .log_term = 1}, false},
        {{.kind = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1}, false},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(3);
        set_log((const uint64_t[]){1}, 1, 2);
        struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
        uint64_t before_ns = raft_deadline_ns(node->raft);
        raft_cluster_tick(cluster, 1, RAFT_CLUSTER_ELECTION_NS - 1);
        give(TABLE[i].msg);
        uint64_t after_ns = raft_deadline_ns(node->raft);
        ck_assert_msg(TABLE[i].is_put_off == (after_ns >= node->now_ns + RAFT_CLUSTER_ELECTION_NS), "row %zu", i);
        ck_assert_msg(TABLE[i].is_put_off || after_ns == before_ns, "row %zu", i);
        finish();
    }
}
END_TEST

/* ---- 5.4.1: who may win ---------------------------------------------------------------------------------------------- */

/* 5.4.1: the later last term is more up to date, then the longer log. Questions are judged in the same way. */
START_TEST(test_raft_5_4_1_a_vote_is_denied_to_a_log_that_is_less_up_to_date)
{
    static const struct {
        uint64_t index;
        uint64_t term;
        bool is_denied;
    } TABLE[] = {{3, 2, false}, {4, 2, false}, {2, 2, true}, {9, 1, true}, {1, 3, false}, {3, 1, true}, {0, 0, true}};
    static const enum raft_msg_kind KINDS[] = {RAFT_MSG_VOTE, RAFT_MSG_PRE_VOTE};
    for (size_t i = 0; i < 2 * sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(3);
        set_log((const uint64_t[]){1, 1, 2}, 3, 2);
        enum raft_msg_kind kind = KINDS[i % 2];
        give((struct raft_msg){.kind = kind, .from = 2, .term = 3, .index = TABLE[i / 2].index, .log_term = TABLE[i / 2].term});
        raft_cluster_settle(cluster, 1);
        const struct raft_msg *answer = sent(1, 2, kind == RAFT_MSG_VOTE ? RAFT_MSG_VOTE_ANSWER : RAFT_MSG_PRE_VOTE_ANSWER);
        ck_assert_ptr_nonnull(answer);
        ck_assert_msg(answer->reject == TABLE[i / 2].is_denied, "row %zu", i / 2);
        finish();
    }
}
END_TEST

/* ---- Figure 2, thesis 3.8: persistent state -------------------------------------------------------------------------- */

/* Figure 2, thesis 3.8: term, vote and log are on the disk before anybody is told. */
START_TEST(test_raft_3_8_votes_and_acknowledgements_wait_for_the_disk)
{
    static const struct raft_entry ENTRY = {.index = 1, .term = 1};
    const struct raft_msg requests[] = {
        {.kind = RAFT_MSG_VOTE, .from = 2, .term = 1},
        {.kind = RAFT_MSG_APPEND, .from = 2, .term = 1, .entries = &ENTRY, .entry_count = 1},
        {.kind = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1},
    };
    static const enum raft_msg_kind ANSWERS[] = {RAFT_MSG_VOTE_ANSWER, RAFT_MSG_APPEND_ANSWER, RAFT_MSG_HEARTBEAT_ANSWER};
    for (size_t i = 0; i < 3; i++) {
        begin_alone(3);
        give(requests[i]);
        raft_cluster_take(cluster, 1);
        ck_assert_ptr_null(sent(1, 2, ANSWERS[i]));
        ck_assert_uint_eq(raft_cluster_node(cluster, 1)->hard.term, 0);
        raft_cluster_persist(cluster, 1, SIZE_MAX);
        raft_cluster_take(cluster, 1);
        ck_assert_ptr_nonnull(sent(1, 2, ANSWERS[i]));
        ck_assert_uint_eq(raft_cluster_node(cluster, 1)->hard.term, 1);
        finish();
    }
}
END_TEST

START_TEST(test_raft_3_8_a_candidate_asks_and_counts_itself_only_when_its_own_vote_is_durable)
{
    begin_alone(1);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_int_eq(status_of(1).role, RAFT_CANDIDATE);
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    ck_assert_int_eq(status_of(1).role, RAFT_LEADER);
    finish();
    begin_alone(3);
    raft_cluster_campaign(cluster, 1);
    raft_cluster_take(cluster, 1);
    ck_assert_ptr_null(sent(1, 2, RAFT_MSG_VOTE));
    raft_cluster_persist(cluster, 1, SIZE_MAX);
    ck_assert_ptr_nonnull(sent(1, 2, RAFT_MSG_VOTE));
    finish();
}
END_TEST

START_TEST(test_raft_3_8_term_vote_and_log_come_back_after_a_crash)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 1);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_stabilize(cluster);
    for (uint64_t id = 1; id <= 3; id++) {
        struct raft_status before = status_of(id);
        raft_cluster_crash(cluster, id, 0);
        raft_cluster_restart(cluster, id);
        struct raft_status after = status_of(id);
        ck_assert_uint_eq(after.term, before.term);
        ck_assert_uint_eq(after.vote, before.vote);
        ck_assert_uint_eq(after.last_index, before.last_index);
        ck_assert_int_eq(after.role, RAFT_FOLLOWER);
        ck_assert_uint_le(after.commit_index, before.commit_index);
    }
    finish();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_raft_5_1_a_larger_term_is_taken_over_by_everybody);
    tcase_add_test(tcase, test_raft_5_1_a_request_of_an_older_term_is_rejected_with_the_own_term);
    tcase_add_test(tcase, test_raft_5_2_members_begin_as_followers);
    tcase_add_test(tcase, test_raft_5_2_a_leader_sends_heartbeats_at_every_interval);
    tcase_add_test(tcase, test_raft_5_2_an_election_begins_with_a_new_term_an_own_vote_and_requests_to_all_others);
    tcase_add_test(tcase, test_raft_5_2_a_candidate_wins_with_a_majority_and_loses_without);
    tcase_add_test(tcase, test_raft_5_2_one_vote_per_term_first_come_first_served_also_after_a_crash);
    tcase_add_test(tcase, test_raft_5_2_a_candidate_that_hears_a_leader_of_its_term_follows_it);
    tcase_add_test(tcase, test_raft_5_2_a_candidate_without_a_result_tries_again_in_a_new_term);
    tcase_add_test(tcase, test_raft_5_2_election_timeouts_are_random_within_an_interval_at_every_round);
    tcase_add_test(tcase, test_raft_5_2_members_have_different_timeouts);
    tcase_add_test(tcase, test_raft_5_2_leader_and_granted_vote_put_the_election_off_and_a_refused_vote_does_not);
    tcase_add_test(tcase, test_raft_5_4_1_a_vote_is_denied_to_a_log_that_is_less_up_to_date);
    tcase_add_test(tcase, test_raft_3_8_votes_and_acknowledgements_wait_for_the_disk);
    tcase_add_test(tcase, test_raft_3_8_a_candidate_asks_and_counts_itself_only_when_its_own_vote_is_durable);
    tcase_add_test(tcase, test_raft_3_8_term_vote_and_log_come_back_after_a_crash);
}

int main(void)
{
    Suite *suite = suite_create("raft_paper");
    TCase *tcase = tcase_create("paper");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
