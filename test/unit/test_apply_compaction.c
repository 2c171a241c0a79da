/* Does a compaction go at its pace and no faster, faster where there is much, always to its end, and is who waits for that answered then? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/kv_rig.h"
#include "pipeline/apply_compaction.h"

#define STEP_VERSIONS ((uint64_t)APPLY_COMPACTION_VERSIONS)

static struct kv_rig rig;
static struct apply_compaction compaction;
static struct metrics metrics;
static uint64_t now_ns;

static void setup(void)
{
    kv_rig_init(&rig);
    apply_compaction_init(&compaction);
    memset(&metrics, 0, sizeof metrics);
    now_ns = 1000 * NS_PER_S;
}
static void teardown(void)
{
    apply_compaction_deinit(&compaction);
    kv_rig_deinit(&rig);
}

static void put_one_key(uint64_t versions)
{
    for (uint64_t i = 0; i < versions; i++) {
        mvcc_begin(rig.mvcc);
        mvcc_put(rig.mvcc, slice_from_string("k"), slice_from_string("v"), 0);
        mvcc_commit(rig.mvcc);
        if (i % 512 == 0) mvcc_publish(rig.mvcc);
    }
    mvcc_publish(rig.mvcc);
}

static int64_t compact_all(void)
{
    int64_t revision = mvcc_view_revision(mvcc_view(rig.mvcc));
    ck_assert_int_eq(mvcc_compact(rig.mvcc, revision), ERR_OK);
    mvcc_publish(rig.mvcc);
    return revision;
}

static bool is_done(void) { return mvcc_compact_done_revision(rig.mvcc) == mvcc_view_compact_revision(mvcc_view(rig.mvcc)); }

static uint64_t versions(void)
{
    struct mvcc_stats stats;
    mvcc_get_stats(rig.mvcc, &stats);
    return stats.versions;
}

static void step(void)
{
    apply_compaction_step(&compaction, rig.mvcc, now_ns, &metrics);
    ck_assert(is_done() == (compaction.next_ns == CLOCK_NEVER));
}

/* As a role that sleeps until the next is due; how many steps were made. */
static uint64_t step_to_the_end(void)
{
    uint64_t steps = 0;
    for (step(); !is_done(); step(), steps++) {
        ck_assert_uint_lt(steps, 100000);
        if (compaction.next_ns > now_ns) now_ns = compaction.next_ns;
    }
    return steps;
}

START_TEST(test_a_step_is_due_at_each_gap_and_none_between)
{
    put_one_key(20 * STEP_VERSIONS);
    uint64_t hash = mvcc_hash(mvcc_view(rig.mvcc), 0), before = versions(), start_ns = now_ns;
    compact_all();
    ck_assert_uint_ne(mvcc_hash(mvcc_view(rig.mvcc), 0), hash);
    hash = mvcc_hash(mvcc_view(rig.mvcc), 0);
    step();
    ck_assert_uint_le(before - versions(), STEP_VERSIONS);
    before = versions();
    ck_assert_uint_eq(compaction.next_ns, now_ns + APPLY_COMPACTION_GAP_NS);
    now_ns = compaction.next_ns - 1;
    for (int i = 0; i < 10; i++) step(); /* puts have their steps meanwhile */
    ck_assert_uint_eq(versions(), before);
    uint64_t steps = step_to_the_end();
    ck_assert_uint_ge(steps, 19);
    ck_assert_uint_le(steps, 21);
    ck_assert_uint_ge(now_ns - start_ns, 19 * APPLY_COMPACTION_GAP_NS);
    ck_assert_uint_eq(versions(), 1);
    ck_assert_uint_eq(mvcc_hash(mvcc_view(rig.mvcc), 0), hash); /* known from the mark on */
    ck_assert_uint_eq(mvcc_compact_backlog(rig.mvcc), 0);
}
END_TEST

START_TEST(test_steps_that_came_late_are_made_up_for_but_not_all)
{
    const uint64_t made_up = APPLY_COMPACTION_LATE_NS / APPLY_COMPACTION_GAP_NS;
    put_one_key(40 * STEP_VERSIONS);
    compact_all();
    step();
    now_ns += 10 * NS_PER_S;
    uint64_t steps = 0;
    for (; compaction.next_ns <= now_ns; steps++) step();
    ck_assert_uint_eq(steps, 1 + made_up);
    ck_assert(!is_done());
    step_to_the_end();
    step(); /* nothing to do: nothing is due */
    ck_assert_uint_eq(compaction.next_ns, CLOCK_NEVER);
    put_one_key(5 * STEP_VERSIONS);
    compact_all();
    now_ns += NS_PER_S;
    step();
    ck_assert_uint_eq(compaction.next_ns, now_ns + APPLY_COMPACTION_GAP_NS); /* the next one owes nothing */
}
END_TEST

START_TEST(test_a_large_backlog_goes_faster)
{
    const uint64_t steady = APPLY_COMPACTION_AIM_NS / APPLY_COMPACTION_GAP_NS; /* as many steps at the slow pace */
    put_one_key(5 * steady / 4 * STEP_VERSIONS);
    compact_all();
    uint64_t start_ns = now_ns;
    step();
    ck_assert_uint_ge(compaction.next_ns - now_ns, APPLY_COMPACTION_GAP_NS * 79 / 100);
    ck_assert_uint_le(compaction.next_ns - now_ns, APPLY_COMPACTION_GAP_NS * 81 / 100);
    step_to_the_end();
    ck_assert_uint_lt(now_ns - start_ns, APPLY_COMPACTION_AIM_NS * 124 / 100); /* 1 + ln 1.25 */
    ck_assert_uint_eq(versions(), 1);
}
END_TEST

/* Each mark moves on before the steps have come to the one before. */
START_TEST(test_marks_that_keep_moving_leave_a_bounded_backlog_and_an_end)
{
    uint64_t most = 0;
    for (int i = 0; i < 200; i++) {
        put_one_key(2 * STEP_VERSIONS);
        compact_all();
        for (uint64_t end_ns = now_ns + 10 * NS_PER_MS; now_ns < end_ns; now_ns += NS_PER_MS) step();
        if (mvcc_compact_backlog(rig.mvcc) > most) most = mvcc_compact_backlog(rig.mvcc);
    }
    ck_assert_uint_le(most, 4 * STEP_VERSIONS);
    step_to_the_end();
    ck_assert_uint_eq(versions(), 1);
}
END_TEST

START_TEST(test_what_a_pin_holds_is_looked_at_again_but_not_at_each_gap)
{
    bool is_compacted = false;
    put_one_key(3 * STEP_VERSIONS);
    int pin = mvcc_pin(rig.mvcc, 5, &is_compacted);
    ck_assert_int_ge(pin, 0);
    compact_all();
    step();
    ck_assert_uint_eq(compaction.next_ns, now_ns + APPLY_COMPACTION_AGAIN_NS);
    now_ns = compaction.next_ns;
    step();
    ck_assert_uint_eq(compaction.next_ns, now_ns + APPLY_COMPACTION_AGAIN_NS);
    mvcc_unpin(rig.mvcc, pin);
    step_to_the_end();
    ck_assert_uint_eq(versions(), 1);
}
END_TEST

static void wait_for(uint64_t call, int64_t revision)
{
    struct mail reply = {.kind = MAIL_REPLY, .reply = {.call = call, .revision = revision}};
    apply_compaction_wait(&compaction, revision, &reply);
}

static void expect_answer(struct lane *lane, uint64_t call, enum err err)
{
    struct mail mail;
    ck_assert(lane_take(lane, &mail));
    ck_assert_int_eq(mail.kind, MAIL_REPLY);
    ck_assert_uint_eq(mail.reply.call, call);
    ck_assert_int_eq(mail.reply.err, err);
    mail_deinit(&mail);
}

START_TEST(test_who_waits_is_answered_at_the_end_or_when_the_member_stops)
{
    struct lane lane;
    struct mail mail;
    lane_init(&lane, "apply→net", 8, NULL);
    put_one_key(5 * STEP_VERSIONS);
    wait_for(1, compact_all());
    step();
    apply_compaction_answer(&compaction, rig.mvcc, false, &lane);
    ck_assert(!lane_take(&lane, &mail));
    put_one_key(STEP_VERSIONS);
    wait_for(2, compact_all()); /* the mark moves while the first waits */
    step_to_the_end();
    apply_compaction_answer(&compaction, rig.mvcc, false, &lane);
    expect_answer(&lane, 1, ERR_OK);
    expect_answer(&lane, 2, ERR_OK);
    put_one_key(2 * STEP_VERSIONS);
    wait_for(3, compact_all());
    apply_compaction_answer(&compaction, rig.mvcc, true, &lane);
    expect_answer(&lane, 3, ERR_STOPPED);
    ck_assert(list_is_empty(&compaction.waiting));
    lane_deinit(&lane);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apply_compaction");
    TCase *tcase = tcase_create("pace");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_a_step_is_due_at_each_gap_and_none_between);
    tcase_add_test(tcase, test_steps_that_came_late_are_made_up_for_but_not_all);
    tcase_add_test(tcase, test_a_large_backlog_goes_faster);
    tcase_add_test(tcase, test_marks_that_keep_moving_leave_a_bounded_backlog_and_an_end);
    tcase_add_test(tcase, test_what_a_pin_holds_is_looked_at_again_but_not_at_each_gap);
    tcase_add_test(tcase, test_who_waits_is_answered_at_the_end_or_when_the_member_stops);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
