/* Is the distance between two words what the definition says, whatever their case, and is nothing read beyond the longest? */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

START_TEST(test_nearest_counts_insertions_deletions_and_substitutions)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {{"", "", 0},           {"", "abc", 3},        {"abc", "", 3},         {"put", "put", 0},   {"PUT", "put", 0},
                 {"kitten", "sitting", 3}, {"get", "gets", 1}, {"names", "name", 1}, {"SERVER_COUNT", "server_cuont", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_uint_eq(nearest_distance(cases[i].a, cases[i].b), cases[i].distance);
        ck_assert_uint_eq(nearest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}
END_TEST

START_TEST(test_nearest_a_word_that_is_too_long_is_near_to_nothing)
{
    char longest[NEAREST_BYTES_MAX + 1], longer[NEAREST_BYTES_MAX + 2];
    memset(longest, 'a', NEAREST_BYTES_MAX);
    memset(longer, 'a', NEAREST_BYTES_MAX + 1);
    longest[NEAREST_BYTES_MAX] = longer[NEAREST_BYTES_MAX + 1] = '\0';
    ck_assert_uint_eq(nearest_distance(longest, longest), 0);
    ck_assert_uint_eq(nearest_distance(longest, ""), NEAREST_BYTES_MAX);
    ck_assert_uint_eq(nearest_distance(longest, longer), SIZE_MAX);
    ck_assert_uint_eq(nearest_distance(longer, "a"), SIZE_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/nearest");
    TCase *tcase = tcase_create("nearest");
    tcase_add_test(tcase, test_nearest_counts_insertions_deletions_and_substitutions);
    tcase_add_test(tcase, test_nearest_a_word_that_is_too_long_is_near_to_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
