/* Is each waiting call in exactly one place, found by its id, in order of its deadline, and gone exactly once? */
#include <check.h>
#include <stdlib.h>

#include "base/clock.h"
#include "pipeline/pending.h"

#define CALLS_MAX 4

static struct pending pending;
static struct blob *command;

static void set_up(void)
{
    pending_init(&pending, CALLS_MAX);
    command = blob_copy(slice_from_string("command"));
}

static void tear_down(void)
{
    pending_deinit(&pending);
    ck_assert_uint_eq(atomic_load(&command->refs), 1);
    blob_unref(command);
}

static struct pending_call *add(uint64_t counter)
{
    return pending_add(&pending, counter, 100 + counter, command, 1000 + counter);
}

static int length(const struct list *list)
{
    int count = 0;
    for (const struct list *at = list->next; at != list; at = at->next) count++;
    return count;
}

START_TEST(test_pending_new_call_is_held)
{
    struct pending_call *call = add(1);
    ck_assert_ptr_nonnull(call);
    ck_assert_int_eq(call->state, PENDING_HELD);
    ck_assert_int_eq(length(&pending.held), 1);
    ck_assert_int_eq(length(&pending.proposed), 0);
    ck_assert_ptr_eq(pending_find(&pending, 1), call);
    ck_assert_ptr_null(pending_find(&pending, 2));
    ck_assert_uint_eq(atomic_load(&command->refs), 2);
}
END_TEST

START_TEST(test_pending_held_calls_keep_their_order)
{
    struct pending_call *first = add(1), *second = add(2), *third = add(3);
    ck_assert_ptr_eq(pending.held.next, &first->queue);
    ck_assert_ptr_eq(first->queue.next, &second->queue);
    ck_assert_ptr_eq(second->queue.next, &third->queue);
}
END_TEST

START_TEST(test_pending_proposed_call_leaves_the_held_ones)
{
    struct pending_call *first = add(1), *second = add(2);
    pending_set_proposed(&pending, first, 50);
    ck_assert_int_eq(first->state, PENDING_PROPOSED);
    ck_assert_uint_eq(first->index, 50);
    ck_assert_int_eq(length(&pending.held), 1);
    ck_assert_int_eq(length(&pending.proposed), 1);
    pending_set_proposed(&pending, second, 51);
    ck_assert_ptr_eq(LIST_ENTRY(pending.proposed.next, struct pending_call, queue), first); /* ascending index */
    ck_assert(list_is_empty(&pending.held));
}
END_TEST

START_TEST(test_pending_forwarded_call_belongs_to_its_forward_and_may_come_back)
{
    struct list forward;
    list_init(&forward);
    struct pending_call *first = add(1), *second = add(2);
    pending_set_forwarded(first, &forward, 77);
    pending_set_forwarded(second, &forward, 77);
    ck_assert_int_eq(first->state, PENDING_FORWARDED);
    ck_assert_uint_eq(first->forward, 77);
    ck_assert_int_eq(length(&forward), 2);
    ck_assert(list_is_empty(&pending.held));
    pending_set_held(&pending, first);
    ck_assert_int_eq(first->state, PENDING_HELD);
    ck_assert_int_eq(length(&forward), 1);
    ck_assert_int_eq(length(&pending.held), 1);
    pending_set_proposed(&pending, first, 9);
    ck_assert_uint_eq(pending_remove(&pending, second), 102);
    ck_assert(list_is_empty(&forward));
}
END_TEST

START_TEST(test_pending_proposed_call_may_be_held_again)
{
    struct pending_call *call = add(1);
    pending_set_proposed(&pending, call, 5);
    pending_set_held(&pending, call);
    ck_assert_int_eq(call->state, PENDING_HELD);
    ck_assert(list_is_empty(&pending.proposed));
    ck_assert_int_eq(length(&pending.held), 1);
}
END_TEST

START_TEST(test_pending_full_refuses_and_keeps_no_reference)
{
    for (uint64_t i = 1; i <= CALLS_MAX; i++) ck_assert_ptr_nonnull(add(i));
    ck_assert_ptr_null(add(CALLS_MAX + 1));
    ck_assert_uint_eq(atomic_load(&command->refs), 1 + CALLS_MAX);
    ck_assert_uint_eq(pending_remove(&pending, pending_find(&pending, 2)), 102);
    ck_assert_ptr_nonnull(add(CALLS_MAX + 1));
}
END_TEST

START_TEST(test_pending_same_counter_twice_is_refused)
{
    struct pending_call *call = add(1);
    ck_assert_ptr_null(add(1));
    ck_assert_ptr_eq(pending_find(&pending, 1), call);
    ck_assert_int_eq(length(&pending.fifo), 1);
    ck_assert_uint_eq(atomic_load(&command->refs), 2);
}
END_TEST

START_TEST(test_pending_oldest_is_the_next_deadline_whatever_its_state)
{
    struct list forward;
    list_init(&forward);
    ck_assert_uint_eq(pending_deadline_ns(&pending), CLOCK_NEVER);
    ck_assert_ptr_null(pending_oldest(&pending));
    struct pending_call *first = add(1), *second = add(2), *third = add(3);
    pending_set_forwarded(first, &forward, 1);
    pending_set_proposed(&pending, second, 8);
    uint64_t expected[] = {1001, 1002, 1003};
    struct pending_call *calls[] = {first, second, third};
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(pending_oldest(&pending), calls[i]);
        ck_assert_uint_eq(pending_deadline_ns(&pending), expected[i]);
        ck_assert_uint_eq(pending_remove(&pending, calls[i]), 101 + (uint64_t)i);
    }
    ck_assert_uint_eq(pending_deadline_ns(&pending), CLOCK_NEVER);
}
END_TEST

START_TEST(test_pending_removed_call_is_gone_everywhere)
{
    struct pending_call *call = add(1);
    ck_assert_uint_eq(pending_remove(&pending, call), 101);
    ck_assert_ptr_null(pending_find(&pending, 1));
    ck_assert(list_is_empty(&pending.fifo) && list_is_empty(&pending.held) && list_is_empty(&pending.proposed));
    ck_assert_uint_eq(atomic_load(&command->refs), 1);
}
END_TEST

START_TEST(test_pending_deinit_drops_what_still_waits)
{
    struct pending_call *call = add(1);
    (void)add(2);
    pending_set_proposed(&pending, call, 1); /* the fixture looks at the references */
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("pending");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_pending_new_call_is_held);
    tcase_add_test(tests, test_pending_held_calls_keep_their_order);
    tcase_add_test(tests, test_pending_proposed_call_leaves_the_held_ones);
    tcase_add_test(tests, test_pending_forwarded_call_belongs_to_its_forward_and_may_come_back);
    tcase_add_test(tests, test_pending_proposed_call_may_be_held_again);
    tcase_add_test(tests, test_pending_full_refuses_and_keeps_no_reference);
    tcase_add_test(tests, test_pending_same_counter_twice_is_refused);
    tcase_add_test(tests, test_pending_oldest_is_the_next_deadline_whatever_its_state);
    tcase_add_test(tests, test_pending_removed_call_is_gone_everywhere);
    tcase_add_test(tests, test_pending_deinit_drops_what_still_waits);
    Suite *suite = suite_create("pending");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
