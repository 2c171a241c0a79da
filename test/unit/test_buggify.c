/* Planted bugs and rare behaviour: absent without KVD_SIM; with it, chosen by name and decided by the seed alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buggify.h"
#include "base/mutant.h"

#ifdef KVD_SIM

START_TEST(test_a_mutant_is_chosen_by_its_name)
{
    size_t count = 0;
    const struct mutant_line *lines = mutant_list(&count);
    ck_assert_uint_ge(count, 40);
    for (size_t i = 0; i < count; i++) {
        ck_assert(mutant_choose(lines[i].name));
        ck_assert_int_eq(mutant_chosen, (int)i + 1);
        ck_assert_uint_gt(strlen(lines[i].text), 10);
        ck_assert_uint_gt(strlen(lines[i].source), 0);
    }
    ck_assert(mutant_choose("P1"));
    ck_assert(MUTANT(P1));
    ck_assert(!MUTANT(P2));
    ck_assert(!mutant_choose("P0"));
    ck_assert(!MUTANT(P1));
    ck_assert(mutant_choose(NULL));
    ck_assert(mutant_choose(""));
}
END_TEST

/* One bit for each visit of each site. */
static void visit_all(uint64_t seed, bool fired[BUGGIFY_SITE_COUNT][100])
{
    buggify_start(seed);
    for (int i = 0; i < 100; i++) {
        for (int site = 0; site < BUGGIFY_SITE_COUNT; site++) fired[site][i] = buggify_fires((enum buggify_site)site);
    }
}

START_TEST(test_sites_fire_as_the_seed_says)
{
    static bool first[BUGGIFY_SITE_COUNT][100], second[BUGGIFY_SITE_COUNT][100];
    visit_all(7, first);
    visit_all(7, second);
    ck_assert_int_eq(memcmp(first, second, sizeof first), 0);
    visit_all(8, second);
    ck_assert_int_ne(memcmp(first, second, sizeof first), 0);
    buggify_stop();
    for (int site = 0; site < BUGGIFY_SITE_COUNT; site++) ck_assert(!buggify_fires((enum buggify_site)site));
}
END_TEST

START_TEST(test_a_quarter_of_the_sites_is_enabled_and_fires_sometimes)
{
    static bool fired[BUGGIFY_SITE_COUNT][100];
    int enabled = 0, all = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        visit_all(seed, fired);
        for (int site = 0; site < BUGGIFY_SITE_COUNT; site++) {
            int count = 0;
            for (int i = 0; i < 100; i++) count += fired[site][i];
            ck_assert_int_le(count, 60); /* 25 % at most, each by chance */
            enabled += count > 0;
            all++;
        }
    }
    ck_assert_int_ge(enabled * 5, all);     /* > 20 % */
    ck_assert_int_le(enabled * 10, all * 3); /* < 30 % */
    struct buf text;
    buf_init(&text);
    buggify_report(&text);
    ck_assert_uint_gt(text.size, 0);
    for (int site = 0; site < BUGGIFY_SITE_COUNT; site++) {
        ck_assert_uint_gt(buggify_fired((enum buggify_site)site), 0);
        ck_assert_uint_ge(buggify_visited((enum buggify_site)site), buggify_fired((enum buggify_site)site));
    }
    buf_deinit(&text);
    buggify_stop();
}
END_TEST

#else

START_TEST(test_without_the_simulator_there_is_no_mutant_and_nothing_rare)
{
    buggify_start(1);
    for (int i = 0; i < 1000; i++) {
        ck_assert(!BUGGIFY(APPEND_ONE));
        ck_assert(!MUTANT(P1));
    }
    buggify_stop();
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("buggify");
    TCase *cases = tcase_create("all");
#ifdef KVD_SIM
    tcase_add_test(cases, test_a_mutant_is_chosen_by_its_name);
    tcase_add_test(cases, test_sites_fire_as_the_seed_says);
    tcase_add_test(cases, test_a_quarter_of_the_sites_is_enabled_and_fires_sometimes);
#else
    tcase_add_test(cases, test_without_the_simulator_there_is_no_mutant_and_nothing_rare);
#endif
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
