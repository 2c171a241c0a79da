/* test_peer_past: is a member that has forgotten what it promised told from one that was merely restarted? */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/peer_past.h"

#define SELF 1
#define OTHER 2

static struct peer_hello hello_of(uint64_t boot_id, uint64_t term, uint64_t vote, uint64_t index)
{
    return (struct peer_hello){.protocol_min = 1, .protocol_max = 1, .member_id = OTHER, .directory_uuid = {7}, .boot_id = boot_id,
                               .run_id = 1000 + boot_id, .start_term = term, .start_vote = vote, .start_index = index};
}

static void hear(struct peer_past *past, enum raft_msg_kind kind, uint64_t term, uint64_t index, bool reject)
{
    peer_past_hear(past, &(struct raft_msg){.kind = kind, .from = OTHER, .to = SELF, .term = term, .index = index, .reject = reject});
}

/* It was met at start 3, voted for us in term 5, and acknowledged up to 20 in it. */
static struct peer_past past_of_term_five(void)
{
    struct peer_past past = {.is_met = false};
    struct peer_hello hello = hello_of(3, 4, 0, 10);
    char text[160];
    ck_assert(!peer_past_conflict(&past, SELF, &hello, text));
    peer_past_meet(&past, &hello);
    hear(&past, RAFT_MSG_VOTE_ANSWER, 5, 0, false);
    hear(&past, RAFT_MSG_APPEND_ANSWER, 5, 20, false);
    hear(&past, RAFT_MSG_APPEND_ANSWER, 5, 12, false); /* came late */
    return past;
}

static void expect(const struct peer_past *past, const struct peer_hello *hello, const char *text_or_null)
{
    char text[160] = "";
    bool is_refused = peer_past_conflict(past, SELF, hello, text);
    ck_assert_msg(is_refused == (text_or_null != NULL), "%s", text);
    if (is_refused) ck_assert_msg(strstr(text, text_or_null) != NULL, "%s is not in: %s", text_or_null, text);
    if (is_refused) ck_assert_uint_lt(strlen(text), 159); /* nothing is cut off */
}

START_TEST(test_peer_past_welcomes_whoever_comes_back_with_all_that_it_promised)
{
    struct peer_past past = past_of_term_five();
    struct peer_hello same = hello_of(3, 4, 0, 10), next = hello_of(4, 5, SELF, 20), later = hello_of(9, 6, 0, 11);
    expect(&past, &same, NULL);  /* a new stream of the same run: it began before it promised */
    expect(&past, &next, NULL);
    expect(&past, &later, NULL); /* in a later term the log may have become shorter */
    struct peer_hello silent = hello_of(4, 0, 0, 0);
    silent.run_id = 0;
    expect(&past, &silent, NULL); /* an older program that says nothing */
}
END_TEST

START_TEST(test_peer_past_refuses_another_directory_under_the_same_id)
{
    struct peer_past past = past_of_term_five();
    struct peer_hello wiped = hello_of(1, 1, 0, 1);
    wiped.directory_uuid[0] = 8;
    expect(&past, &wiped, "member 2 comes with another data directory, without its votes: put its own one back");
    wiped.boot_id = 9;
    wiped.start_term = 9;
    expect(&past, &wiped, "another data directory");
}
END_TEST

START_TEST(test_peer_past_refuses_an_old_copy_by_its_number_of_starts)
{
    struct peer_past past = past_of_term_five();
    struct peer_hello earlier = hello_of(2, 5, SELF, 20), twin = hello_of(3, 5, SELF, 20);
    expect(&past, &earlier, "an old copy of its data directory: start 2, but start 3 was seen");
    twin.run_id = 77;
    expect(&past, &twin, "a copy of its data directory: another process was start 3 of it");
}
END_TEST

START_TEST(test_peer_past_refuses_an_old_copy_by_what_it_forgot)
{
    struct peer_past past = past_of_term_five();
    struct peer_hello term = hello_of(4, 4, 0, 30), index = hello_of(4, 5, SELF, 19), vote = hello_of(4, 5, 0, 20);
    expect(&past, &term, "it ends in term 4, but its member spoke in term 5");
    expect(&past, &index, "the log ends at 19, but 20 was acknowledged");
    expect(&past, &vote, "the vote in term 5 is missing");
    uint64_t most = UINT64_MAX;
    struct peer_past far = {.is_met = true, .uuid = {7}, .boot_id = 1, .term = most, .ack_term = most, .ack_index = most, .vote_term = most};
    struct peer_hello near = hello_of(most - 1000, most - 1, 0, most - 1);
    near.member_id = most;
    expect(&far, &near, "spoke in term 18446744073709551615");
}
END_TEST

START_TEST(test_peer_past_counts_only_what_is_durable_before_it_is_said)
{
    struct peer_past past = past_of_term_five();
    hear(&past, RAFT_MSG_PRE_VOTE, 9, 30, false);        /* a term that it would campaign in */
    hear(&past, RAFT_MSG_PRE_VOTE_ANSWER, 9, 30, false);
    hear(&past, RAFT_MSG_FORWARD, 9, 0, false);          /* the leader's, not its own */
    hear(&past, RAFT_MSG_APPEND_ANSWER, 5, 40, true);    /* refused entries are not acknowledged */
    struct peer_hello next = hello_of(4, 5, SELF, 20);
    expect(&past, &next, NULL);
    hear(&past, RAFT_MSG_VOTE_ANSWER, 6, 0, true);       /* no vote, but a term */
    expect(&past, &next, "spoke in term 6");
    next.start_term = 6;
    expect(&past, &next, NULL);
    hear(&past, RAFT_MSG_APPEND_ANSWER, 6, 3, false);    /* in a new term it begins anew */
    expect(&past, &next, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peer_past");
    TCase *tests = tcase_create("peer_past");
    tcase_add_test(tests, test_peer_past_welcomes_whoever_comes_back_with_all_that_it_promised);
    tcase_add_test(tests, test_peer_past_refuses_another_directory_under_the_same_id);
    tcase_add_test(tests, test_peer_past_refuses_an_old_copy_by_its_number_of_starts);
    tcase_add_test(tests, test_peer_past_refuses_an_old_copy_by_what_it_forgot);
    tcase_add_test(tests, test_peer_past_counts_only_what_is_durable_before_it_is_said);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
