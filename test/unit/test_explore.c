/* test_explore: does the explorer see all states of a small scope, always the same, and does it see when a rule is broken?
 *
 * In full sizes (KVD_TEST_LONG=1) the plan has ten minutes; else each of its scopes is gone through to a number of states.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "raft/raft_image.h"
#include "sim/explore_plan.h"

enum { GATE_STATES = 200000, LONG_SECONDS = 600 };

static bool is_long(void)
{
    const char *value = getenv("KVD_TEST_LONG");
    return value != NULL && value[0] == '1';
}

static struct explore_limits states_at_most(uint64_t states)
{
    return (struct explore_limits){.seconds = 60, .states = states, .memory = UINT64_C(1) << 28};
}

static struct explore_scope small_scope(void)
{
    return (struct explore_scope){.nodes = 2, .voters = 2, .terms = 2, .proposals = 1, .flight = 4, .appends = 1, .batch = 8};
}

START_TEST(test_explore_plan_breaks_no_rule)
{
    const struct explore_plan *plan = &explore_plan[_i];
    struct explore_limits limits = states_at_most(GATE_STATES);
    limits.width = GATE_STATES / 20; /* deeper than all states would let it */
    if (is_long()) limits = (struct explore_limits){.seconds = (double)LONG_SECONDS / explore_plan_count, .memory = UINT64_C(1) << 32};
    struct explore_result result = explore_run(&plan->scope, &limits);
    ck_assert_msg(result.rule == EXPLORE_HOLDS, "%s: %s", plan->name, explore_rule_text(result.rule));
    ck_assert_uint_ge(result.states, GATE_STATES / 10);
    printf("%s: %llu states, depth %u\n", plan->name, (unsigned long long)result.states, result.depth);
}
END_TEST

START_TEST(test_explore_meets_the_same_states_each_time)
{
    struct explore_scope scope = small_scope();
    struct explore_limits limits = states_at_most(1000000);
    struct explore_result first = explore_run(&scope, &limits);
    limits.seed = 7; /* another order, the same states */
    struct explore_result second = explore_run(&scope, &limits);
    ck_assert(first.rule == EXPLORE_HOLDS && first.is_exhausted && second.is_exhausted);
    ck_assert_uint_eq(first.states, second.states);
    ck_assert_uint_eq(first.depth, second.depth);
    ck_assert_uint_eq(first.steps, second.steps);
    ck_assert_uint_gt(first.states, 1000);
}
END_TEST

START_TEST(test_explore_takes_states_that_differ_in_names_for_one)
{
    struct explore_scope scope = small_scope();
    struct explore_limits limits = states_at_most(1000000);
    struct explore_result merged = explore_run(&scope, &limits);
    scope.is_asymmetric = true;
    struct explore_result all = explore_run(&scope, &limits);
    ck_assert(merged.is_exhausted && all.is_exhausted);
    ck_assert_uint_eq(merged.depth, all.depth);
    ck_assert_uint_lt(merged.states, all.states);
    ck_assert_uint_ge(2 * merged.states, all.states); /* two names: at most two states become one */
}
END_TEST

START_TEST(test_explore_finds_a_disk_that_loses_what_it_reported)
{
    struct explore_scope scope = {
        .nodes = 2, .voters = 2, .terms = 2, .crashes = 1, .flight = 4, .appends = 2, .batch = 8, .disk_lies = true};
    struct explore_limits limits = states_at_most(1000000);
    struct explore_result result = explore_run(&scope, &limits);
    ck_assert(result.rule != EXPLORE_HOLDS);
    ck_assert_uint_eq(result.path_steps, result.depth + 1); /* a shortest way, and it was walked again */
}
END_TEST

START_TEST(test_explore_says_what_it_left_out)
{
    struct explore_scope scope = small_scope();
    struct explore_limits limits = states_at_most(1000000);
    limits.width = 20;
    struct explore_result result = explore_run(&scope, &limits);
    ck_assert(result.rule == EXPLORE_HOLDS && !result.is_exhausted);
    ck_assert_uint_gt(result.left_out, 0);
}
END_TEST

static struct raft *make_raft(void)
{
    struct raft_options options = {.self = 1,
                                   .election_timeout_ns = 1000,
                                   .heartbeat_ns = 100,
                                   .inflight_messages_max = 4,
                                   .inflight_bytes_max = 1 << 16,
                                   .message_bytes_max = 1 << 12,
                                   .tail_bytes_max = 1 << 20,
                                   .uncommitted_bytes_max = 1 << 20,
                                   .apply_bytes_max = 1 << 20,
                                   .seed = 3};
    struct raft_restore restore = {.conf = {.voter_count = 2, .voters = {1, 2}}};
    return raft_new(&options, &restore, 10000);
}

static void step(struct raft *raft, struct raft_input input)
{
    input.now_ns = 10000;
    (void)raft_step(raft, &input);
    (void)raft_take_output(raft, 10000);
}

static void save(const struct raft *raft, struct buf *out)
{
    buf_clear(out);
    raft_image_save(raft, NULL, out);
}

/* The node of an image makes the same image, before and after what both go through then. */
static void check_image(struct raft *raft, struct raft *copy, struct buf *image, struct buf *other)
{
    save(raft, image);
    struct reader reader = reader_make(buf_slice(image));
    raft_image_load(copy, &reader, 10000);
    ck_assert(reader_left(&reader) == 0);
    (void)raft_take_output(copy, 10000);
    save(copy, other);
    ck_assert(slice_equal(buf_slice(image), buf_slice(other)));
}

START_TEST(test_raft_image_is_the_whole_node)
{
    struct raft *raft = make_raft();
    struct raft *copy = make_raft();
    struct buf image;
    struct buf other;
    buf_init(&image);
    buf_init(&other);
    (void)raft_take_output(raft, 10000);
    check_image(raft, copy, &image, &other);
    raft_image_make_due(raft);
    step(raft, (struct raft_input){.kind = RAFT_IN_TICK});
    check_image(raft, copy, &image, &other); /* a candidate whose vote is on its way to the disk */
    step(raft, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 1});
    struct raft_msg answer = {.kind = RAFT_MSG_VOTE_ANSWER, .from = 2, .to = 1, .term = 1};
    step(raft, (struct raft_input){.kind = RAFT_IN_MESSAGE, .message = answer});
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = blob_copy(slice_from_string("x"))};
    step(raft, (struct raft_input){.kind = RAFT_IN_PROPOSE, .proposals = &entry, .proposal_count = 1});
    step(raft, (struct raft_input){.kind = RAFT_IN_READ, .context = 5});
    check_image(raft, copy, &image, &other); /* a leader with a read that waits */
    struct raft_msg match = {.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .to = 1, .term = 1, .index = 1};
    step(raft, (struct raft_input){.kind = RAFT_IN_MESSAGE, .message = match});
    check_image(raft, copy, &image, &other); /* entries in its window */
    step(raft, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 2});
    step(copy, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 1});
    save(raft, &image);
    save(copy, &other);
    ck_assert(slice_equal(buf_slice(&image), buf_slice(&other)));
    blob_unref(entry.data);
    buf_deinit(&image);
    buf_deinit(&other);
    raft_free(raft);
    raft_free(copy);
}
END_TEST

START_TEST(test_raft_image_has_snapshots_offered_and_installed)
{
    struct raft *raft = make_raft();
    struct raft *copy = make_raft();
    struct buf image, other;
    buf_init(&image);
    buf_init(&other);
    struct raft_msg offer = {.kind = RAFT_MSG_SNAPSHOT, .from = 2, .to = 1, .term = 1, .index = 3, .log_term = 1};
    step(raft, (struct raft_input){.kind = RAFT_IN_MESSAGE, .message = offer});
    check_image(raft, copy, &image, &other); /* an offer that waits for its term to be durable */
    step(raft, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 1});
    struct raft_conf conf = {.voter_count = 2, .voters = {1, 2}};
    step(raft, (struct raft_input){.kind = RAFT_IN_INSTALL, .index = 3, .term = 1, .conf = &conf});
    check_image(raft, copy, &image, &other); /* a new beginning on its way to the disk */
    step(raft, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 2});
    raft_image_make_due(raft);
    step(raft, (struct raft_input){.kind = RAFT_IN_TICK});
    step(raft, (struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = 3});
    step(raft, (struct raft_input){.kind = RAFT_IN_MESSAGE, .message = {.kind = RAFT_MSG_VOTE_ANSWER, .from = 2, .to = 1, .term = 2}});
    struct raft_msg refusal = {.kind = RAFT_MSG_APPEND_ANSWER, .from = 2, .to = 1, .term = 2, .index = 3, .reject = true};
    step(raft, (struct raft_input){.kind = RAFT_IN_MESSAGE, .message = refusal});
    struct buf text;
    buf_init(&text);
    raft_describe_status(raft, &text);
    buf_put_u8(&text, 0);
    ck_assert_ptr_nonnull(strstr((const char *)buf_slice(&text).data, "2: snapshot match 0"));
    buf_deinit(&text);
    check_image(raft, copy, &image, &other); /* a leader that offers its own */
    buf_deinit(&image);
    buf_deinit(&other);
    raft_free(raft);
    raft_free(copy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explore");
    TCase *tcase = tcase_create("explore");
    tcase_set_timeout(tcase, is_long() ? 2 * LONG_SECONDS : 120);
    tcase_add_test(tcase, test_raft_image_is_the_whole_node);
    tcase_add_test(tcase, test_raft_image_has_snapshots_offered_and_installed);
    tcase_add_test(tcase, test_explore_meets_the_same_states_each_time);
    tcase_add_test(tcase, test_explore_takes_states_that_differ_in_names_for_one);
    tcase_add_test(tcase, test_explore_finds_a_disk_that_loses_what_it_reported);
    tcase_add_test(tcase, test_explore_says_what_it_left_out);
    tcase_add_loop_test(tcase, test_explore_plan_breaks_no_rule, 0, (int)explore_plan_count);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
