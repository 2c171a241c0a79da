/* Does auto compaction name the revision of `retention` ago (or the newest N), at the API's pace, on the leader only? */
#include <check.h>
#include <stdlib.h>

#include "base/clock.h"
#include "storage/compactor.h"

#define MINUTE (60 * NS_PER_S)
#define HOUR (60 * MINUTE)

START_TEST(test_compactor_reads_retentions_as_the_flag_says)
{
    static const struct {
        const char *mode, *retention;
        bool ok;
        enum compactor_mode expected;
        uint64_t value;
    } cases[] = {
        {"periodic", "0", true, COMPACTOR_OFF, 0},
        {"revision", "0", true, COMPACTOR_OFF, 0},
        {"periodic", "1", true, COMPACTOR_PERIODIC, HOUR},
        {"periodic", "1h", true, COMPACTOR_PERIODIC, HOUR},
        {"periodic", "30m", true, COMPACTOR_PERIODIC, 30 * MINUTE},
        {"periodic", "1h30m", true, COMPACTOR_PERIODIC, 90 * MINUTE},
        {"periodic", "1.5h", true, COMPACTOR_PERIODIC, 90 * MINUTE},
        {"periodic", "250ms", true, COMPACTOR_PERIODIC, 250 * NS_PER_MS},
        {"periodic", "0s", true, COMPACTOR_OFF, 0},
        {"revision", "1000", true, COMPACTOR_REVISION, 1000},
        {"revision", "1h", false, COMPACTOR_OFF, 0},
        {"periodic", "", false, COMPACTOR_OFF, 0},
        {"periodic", "5x", false, COMPACTOR_OFF, 0},
        {"periodic", "-1", false, COMPACTOR_OFF, 0},
        {"periodic", "h", false, COMPACTOR_OFF, 0},
        {"periodic", "99999999999999999999h", false, COMPACTOR_OFF, 0},
        {"periodic", "9999999999", false, COMPACTOR_OFF, 0},
        {"sometimes", "1h", false, COMPACTOR_OFF, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct compactor compactor;
        bool ok = compactor_init(&compactor, cases[i].mode, cases[i].retention, 5);
        ck_assert_msg(ok == cases[i].ok, "%s %s", cases[i].mode, cases[i].retention);
        if (!ok) continue;
        ck_assert_int_eq((int)compactor.mode, (int)cases[i].expected);
        if (compactor.mode != COMPACTOR_OFF) ck_assert_uint_eq(compactor.retention, cases[i].value);
        ck_assert((compactor_deadline_ns(&compactor) == CLOCK_NEVER) == (compactor.mode == COMPACTOR_OFF));
    }
}
END_TEST

/* Runs a leader whose revision is the number of seconds passed; checks that each compaction is to `retention` ago, at most `late_ns`
 * earlier, and that two are `period_ns` apart. */
static int run_periodic(const char *retention_text, uint64_t retention_ns, uint64_t period_ns, uint64_t late_ns, uint64_t total_ns)
{
    struct compactor compactor;
    int count = 0;
    int64_t compacted = 0;
    uint64_t start = 77 * NS_PER_S, last = 0;
    ck_assert(compactor_init(&compactor, "periodic", retention_text, start));
    for (uint64_t now = start; now < start + total_ns; now = compactor_deadline_ns(&compactor)) {
        int64_t told = compactor_step(&compactor, now, (int64_t)(now / NS_PER_S), compacted, true);
        ck_assert_uint_gt(compactor_deadline_ns(&compactor), now);
        if (told == 0) continue;
        uint64_t age = now - (uint64_t)told * NS_PER_S;
        ck_assert_uint_ge(age, retention_ns);
        ck_assert_uint_le(age, retention_ns + late_ns);
        if (last != 0) ck_assert_uint_ge(now - last, period_ns);
        if (last != 0) ck_assert_uint_le(now - last, period_ns + late_ns);
        last = now;
        compacted = told;
        count++;
    }
    return count;
}

START_TEST(test_compactor_periodic_compacts_to_the_revision_of_retention_ago)
{
    ck_assert_int_eq(run_periodic("30m", 30 * MINUTE, 30 * MINUTE, 3 * MINUTE, 5 * HOUR), 9);
    ck_assert_int_eq(run_periodic("1h", HOUR, HOUR, 6 * MINUTE, 10 * HOUR), 9);
    ck_assert_int_ge(run_periodic("24h", 24 * HOUR, HOUR, 13 * MINUTE, 48 * HOUR), 20);
    ck_assert_int_ge(run_periodic("720h", 720 * HOUR, HOUR, 7 * HOUR, 1000 * HOUR), 40);
}
END_TEST

START_TEST(test_compactor_follower_samples_but_says_nothing)
{
    struct compactor compactor;
    ck_assert(compactor_init(&compactor, "periodic", "10m", 0));
    int64_t told = 0;
    uint64_t now = 0;
    for (; now < HOUR; now = compactor_deadline_ns(&compactor))
        ck_assert_int_eq(compactor_step(&compactor, now, 1 + (int64_t)(now / MINUTE), 0, false), 0);
    told = compactor_step(&compactor, now, 1 + (int64_t)(now / MINUTE), 0, true); /* becomes leader: knows at once */
    ck_assert_int_eq(told, 1 + (int64_t)((now - 10 * MINUTE) / MINUTE));
}
END_TEST

START_TEST(test_compactor_tells_again_what_did_not_happen)
{
    struct compactor compactor;
    int told = 0;
    ck_assert(compactor_init(&compactor, "periodic", "10m", 0));
    for (uint64_t now = 0; now <= 15 * MINUTE; now = compactor_deadline_ns(&compactor))
        told += compactor_step(&compactor, now, 100 + (int64_t)(now / MINUTE), 0, true) != 0;
    ck_assert_int_ge(told, 5); /* the compact revision never moved, so each sample asks again */
}
END_TEST

START_TEST(test_compactor_is_silent_when_nothing_changed)
{
    struct compactor compactor;
    int64_t compacted = 0;
    int told = 0;
    ck_assert(compactor_init(&compactor, "periodic", "10m", 0));
    for (uint64_t now = 0; now <= 10 * HOUR; now = compactor_deadline_ns(&compactor)) {
        int64_t revision = compactor_step(&compactor, now, 42, compacted, true);
        if (revision != 0) compacted = revision;
        told += revision != 0;
    }
    ck_assert_int_eq(told, 1);
    ck_assert_int_eq(compacted, 42);
}
END_TEST

START_TEST(test_compactor_revision_mode_keeps_the_newest_n)
{
    struct compactor compactor;
    ck_assert(compactor_init(&compactor, "revision", "100", 0));
    ck_assert_uint_eq(compactor_deadline_ns(&compactor), 5 * MINUTE);
    ck_assert_int_eq(compactor_step(&compactor, MINUTE, 500, 0, true), 0); /* too early */
    ck_assert_int_eq(compactor_step(&compactor, 5 * MINUTE, 100, 0, true), 0);
    ck_assert_int_eq(compactor_step(&compactor, 10 * MINUTE, 500, 0, true), 400);
    ck_assert_int_eq(compactor_step(&compactor, 15 * MINUTE, 500, 400, true), 0);
    ck_assert_int_eq(compactor_step(&compactor, 20 * MINUTE, 501, 400, true), 401);
    ck_assert_int_eq(compactor_step(&compactor, 25 * MINUTE, 900, 401, false), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compactor");
    TCase *tcase = tcase_create("steps");
    tcase_add_test(tcase, test_compactor_reads_retentions_as_the_flag_says);
    tcase_add_test(tcase, test_compactor_periodic_compacts_to_the_revision_of_retention_ago);
    tcase_add_test(tcase, test_compactor_follower_samples_but_says_nothing);
    tcase_add_test(tcase, test_compactor_tells_again_what_did_not_happen);
    tcase_add_test(tcase, test_compactor_is_silent_when_nothing_changed);
    tcase_add_test(tcase, test_compactor_revision_mode_keeps_the_newest_n);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
