/* test_raft_paper_log: one test per rule of the Raft paper (Ongaro and Ousterhout, 2014) about the log: replication (5.3), commit
 * (5.4.2), the first entry of a term (8). Elections are in test_raft_paper.c.
 *
 * Many tests play the other members, which are not there; then the watcher of raft_cluster, which knows all disks, is off.
 */
#include <check.h>
#include <stdlib.h>

#include "lib/raft_rig.h"

/* ---- 5.3: log replication -------------------------------------------------------------------------------------------- */

/* 5.3: appended, then sent to all in parallel, with index and term of the entry before. */
START_TEST(test_raft_5_3_a_proposal_is_appended_and_sent_to_all_with_its_predecessor)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 1);
    raft_cluster_propose(cluster, 1, "command");
    raft_cluster_take(cluster, 1);
    ck_assert_uint_eq(status_of(1).last_index, 2);
    for (uint64_t id = 2; id <= 3; id++) {
        const struct raft_msg *msg = sent(1, id, RAFT_MSG_APPEND);
        ck_assert_ptr_nonnull(msg);
        ck_assert_uint_eq(msg->index, 1);
        ck_assert_uint_eq(msg->log_term, 1);
        ck_assert_uint_eq(msg->entry_count, 1);
        ck_assert(slice_equal(blob_slice(msg->entries[0].data), slice_from_string("command")));
    }
    finish();
}
END_TEST

/* 5.3: with the leader itself. */
START_TEST(test_raft_5_3_an_entry_is_committed_when_a_majority_has_it)
{
    static const struct {
        uint32_t members;
        uint32_t answers;
        bool is_committed;
    } TABLE[] = {{1, 0, true},  {2, 0, false}, {2, 1, true},  {3, 0, false}, {3, 1, true}, {3, 2, true},
                 {4, 1, false}, {4, 2, true},  {5, 1, false}, {5, 2, true},  {5, 4, true}, {7, 2, false}, {7, 3, true}};
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(TABLE[i].members);
        become_leader_alone();
        raft_cluster_propose(cluster, 1, "x");
        raft_cluster_settle(cluster, 1); /* its own disk has it */
        for (uint64_t id = 2; id < 2 + TABLE[i].answers; id++) {
            give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = id, .term = 1, .index = 2});
            give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = id, .term = 1, .index = 2});
        }
        ck_assert_uint_eq(status_of(1).commit_index == 2, TABLE[i].is_committed);
        finish();
    }
}
END_TEST

/* 5.3: those of earlier leaders too. */
START_TEST(test_raft_5_3_an_entry_commits_all_before_it)
{
    begin_alone(3);
    set_log((const uint64_t[]){1, 2, 3}, 3, 3);
    become_leader_alone();
    ck_assert_uint_eq(status_of(1).commit_index, 0);
    give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = 4, .index = 4});
    ck_assert_uint_eq(status_of(1).commit_index, 4);
    raft_cluster_settle(cluster, 1);
    ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, 4);
    finish();
}
END_TEST

/* 5.3; figure 2, AppendEntries 5: the smaller of the leader's commit index and the last entry that the message speaks of. */
START_TEST(test_raft_5_3_a_follower_commits_what_the_leader_did_but_only_what_it_knows_to_agree)
{
    static const struct {
        uint64_t previous;
        size_t entries;
        uint64_t leader_commit;
        uint64_t commit;
    } TABLE[] = {
        {0, 1, 1, 1}, {0, 1, 9, 1}, {1, 0, 1, 1}, {1, 0, 9, 1}, {1, 1, 1, 1}, {1, 1, 9, 2}, {0, 2, 9, 2}, {2, 0, 9, 2}, {0, 0, 9, 0},
    };
    static const struct raft_entry ENTRIES[] = {{.index = 1, .term = 1}, {.index = 2, .term = 1}};
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(3);
        set_log((const uint64_t[]){1, 1}, 2, 1);
        give((struct raft_msg){.kind = RAFT_MSG_APPEND,
                               .from = 2,
                               .term = 1,
                               .index = TABLE[i].previous,
                               .log_term = TABLE[i].previous == 0 ? 0 : 1,
                               .commit = TABLE[i].leader_commit,
                               .entries = &ENTRIES[TABLE[i].previous],
                               .entry_count = TABLE[i].entries});
        ck_assert_msg(status_of(1).commit_index == TABLE[i].commit, "row %zu", i);
        raft_cluster_settle(cluster, 1);
        ck_assert_uint_eq(raft_cluster_node(cluster, 1)->handed_index, TABLE[i].commit);
        finish();
    }
}
END_TEST

/* Figure 2, AppendEntries 2. */
START_TEST(test_raft_5_3_an_append_whose_predecessor_is_missing_or_different_is_refused)
{
    static const struct {
        uint64_t index;
        uint64_t term;
        bool is_refused;
    } TABLE[] = {{0, 0, false}, {1, 1, false}, {2, 2, false}, {1, 2, true}, {2, 1, true}, {3, 2, true}, {3, 3, true}, {9, 3, true}};
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(3);
        set_log((const uint64_t[]){1, 2}, 2, 3);
        give((struct raft_msg){
            .kind = RAFT_MSG_APPEND, .from = 2, .term = 3, .index = TABLE[i].index, .log_term = TABLE[i].term});
        raft_cluster_settle(cluster, 1);
        const struct raft_msg *answer = sent(1, 2, RAFT_MSG_APPEND_ANSWER);
        ck_assert_ptr_nonnull(answer);
        ck_assert_msg(answer->reject == TABLE[i].is_refused, "row %zu", i);
        ck_assert_uint_eq(answer->index, TABLE[i].index);
        ck_assert_uint_eq(status_of(1).last_index, 2);
        finish();
    }
}
END_TEST

/* Figure 2, AppendEntries 3 and 4: without a conflict nothing is deleted, however short the message is. */
START_TEST(test_raft_5_3_conflicting_entries_are_deleted_and_only_those)
{
    static const struct {
        uint64_t previous;
        uint64_t terms[4]; /* of the entries in the message */
        size_t count;
        uint64_t log[6];   /* afterwards */
        size_t log_count;
    } TABLE[] = {
        {3, {0}, 0, {1, 1, 2}, 3},       {3, {3}, 1, {1, 1, 2, 3}, 4},    {2, {3, 3}, 2, {1, 1, 3, 3}, 4},
        {2, {2}, 1, {1, 1, 2}, 3},       {1, {1}, 1, {1, 1, 2}, 3},       {0, {1}, 1, {1, 1, 2}, 3},
        {1, {1, 3}, 2, {1, 1, 3}, 3},    {0, {3}, 1, {3}, 1},             {0, {1, 1, 2, 3}, 4, {1, 1, 2, 3}, 4},
        {0, {1, 2, 3}, 3, {1, 2, 3}, 3}, {1, {2, 3, 3}, 3, {1, 2, 3, 3}, 4},
    };
    static const uint64_t LOG[] = {1, 1, 2};
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++) {
        begin_alone(3);
        set_log(LOG, 3, 4);
        struct raft_entry entries[4];
        for (size_t k = 0; k < TABLE[i].count; k++) {
            entries[k] = (struct raft_entry){.index = TABLE[i].previous + 1 + k, .term = TABLE[i].terms[k]};
        }
        uint64_t previous = TABLE[i].previous;
        give((struct raft_msg){.kind = RAFT_MSG_APPEND, .from = 2, .term = 4, .index = previous,
                               .log_term = previous == 0 ? 0 : LOG[previous - 1], .entries = entries,
                               .entry_count = TABLE[i].count});
        ck_assert_msg(status_of(1).last_index == TABLE[i].log_count, "row %zu", i);
        raft_cluster_settle(cluster, 1);
        const struct raft_cluster_node *node = raft_cluster_node(cluster, 1);
        ck_assert_uint_eq(node->entry_count, TABLE[i].log_count);
        for (size_t k = 0; k < TABLE[i].log_count; k++) {
            ck_assert_uint_eq(raft_term_at(node->raft, k + 1), TABLE[i].log[k]);
            ck_assert_uint_eq(node->entries[k].term, TABLE[i].log[k]);
        }
        finish();
    }
}
END_TEST

/* 5.3: it begins behind its own last entry. */
START_TEST(test_raft_5_3_the_leader_goes_back_after_a_refusal_until_the_logs_match)
{
    begin_alone(3);
    set_log((const uint64_t[]){1, 1, 1, 2, 2, 2}, 6, 2);
    become_leader_alone();
    const struct raft_msg *msg = sent(1, 2, RAFT_MSG_APPEND);
    ck_assert_uint_eq(msg->index, 6);
    uint64_t previous = 6;
    while (previous > 0) { /* the other has nothing that agrees, and gives no useful hint */
        give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = 3, .reject = true, .index = previous,
                               .hint_index = previous, .hint_term = 9});
        raft_cluster_take(cluster, 1);
        msg = sent(1, 2, RAFT_MSG_APPEND);
        ck_assert_uint_lt(msg->index, previous);
        previous = msg->index;
    }
    ck_assert_uint_eq(msg->entry_count, 7);
    finish();
}
END_TEST

/* 5.3, end: one round trip per term, not per entry. */
START_TEST(test_raft_5_3_refusals_skip_whole_terms)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 1);
    raft_cluster_isolate(cluster, 3);
    for (uint32_t i = 0; i < 200; i++) raft_cluster_propose(cluster, 1, "x");
    raft_cluster_stabilize(cluster);
    raft_cluster_heal(cluster);
    raft_cluster_input(cluster, 1, RAFT_IN_TRANSFER, 2);
    raft_cluster_settle(cluster, 1);
    raft_cluster_deliver(cluster, 2);
    uint64_t before = raft_cluster_node(cluster, 3)->messages_sent;
    raft_cluster_stabilize(cluster);
    ck_assert_uint_eq(raft_cluster_leader(cluster), 2);
    ck_assert_uint_eq(status_of(3).last_index, status_of(2).last_index);
    ck_assert_uint_le(raft_cluster_node(cluster, 3)->messages_sent - before, 5); /* vote, refusal, match, commit */
    finish();
}
END_TEST

/* 5.3: for ever, if need be. */
START_TEST(test_raft_5_3_lost_entries_are_sent_again)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 1);
    raft_cluster_propose(cluster, 1, "x");
    raft_cluster_settle(cluster, 1);
    raft_cluster_drop(cluster, RAFT_NONE, RAFT_NONE);
    for (uint32_t i = 0; i < 5; i++) {
        raft_cluster_advance(cluster, RAFT_CLUSTER_HEARTBEAT_NS);
        raft_cluster_stabilize(cluster);
    }
    for (uint64_t id = 1; id <= 3; id++) ck_assert_uint_eq(status_of(id).applied_index, 2);
    finish();
}
END_TEST

/* ---- 5.4.2: commit --------------------------------------------------------------------------------------------------- */

/* 5.4.2, figure 8: those of earlier terms come along with one of the own term. */
START_TEST(test_raft_5_4_2_only_entries_of_the_own_term_are_committed_by_counting)
{
    for (uint64_t index = 1; index <= 4; index++) {
        begin_alone(3);
        set_log((const uint64_t[]){1, 2, 2}, 3, 2);
        become_leader_alone(); /* term 3; its own entry is 4 */
        give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .term = 3, .index = index});
        give((struct raft_msg){.kind = RAFT_MSG_APPEND_ANSWER, .from = 3, .term = 3, .index = index});
        ck_assert_uint_eq(status_of(1).commit_index, index == 4 ? 4 : 0);
        finish();
    }
}
END_TEST

/* ---- 8: clients ------------------------------------------------------------------------------------------------------ */

/* 8: so it learns what is committed. */
START_TEST(test_raft_8_a_leader_begins_its_term_with_an_empty_entry)
{
    begin(3, true, true);
    raft_cluster_elect(cluster, 2);
    const struct raft_cluster_node *node = raft_cluster_node(cluster, 3);
    ck_assert_uint_eq(node->entry_count, 1);
    ck_assert_int_eq(node->entries[0].kind, RAFT_ENTRY_EMPTY);
    ck_assert_uint_eq(status_of(3).commit_index, 1);
    ck_assert(status_of(2).has_own_commit);
    finish();
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, test_raft_5_3_a_proposal_is_appended_and_sent_to_all_with_its_predecessor);
    tcase_add_test(tcase, test_raft_5_3_an_entry_is_committed_when_a_majority_has_it);
    tcase_add_test(tcase, test_raft_5_3_an_entry_commits_all_before_it);
    tcase_add_test(tcase, test_raft_5_3_a_follower_commits_what_the_leader_did_but_only_what_it_knows_to_agree);
    tcase_add_test(tcase, test_raft_5_3_an_append_whose_predecessor_is_missing_or_different_is_refused);
    tcase_add_test(tcase, test_raft_5_3_conflicting_entries_are_deleted_and_only_those);
    tcase_add_test(tcase, test_raft_5_3_the_leader_goes_back_after_a_refusal_until_the_logs_match);
    tcase_add_test(tcase, test_raft_5_3_refusals_skip_whole_terms);
    tcase_add_test(tcase, test_raft_5_3_lost_entries_are_sent_again);
    tcase_add_test(tcase, test_raft_5_4_2_only_entries_of_the_own_term_are_committed_by_counting);
    tcase_add_test(tcase, test_raft_8_a_leader_begins_its_term_with_an_empty_entry);
}

int main(void)
{
    Suite *suite = suite_create("raft_paper_log");
    TCase *tcase = tcase_create("paper_log");
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
