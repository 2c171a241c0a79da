/* What of kvctl's commands can be said without a server: where the words of a watch belong, and how bytes are quoted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quote.h"
#include "watch_words.h"

#define CONFLICT "bad number of arguments (found conflicting environment key)"

/* "k1 k2 | c1 c2" of a line in which "--" is the mark, or what is wrong with it. */
static const char *split(const char *line, const char *env_key, const char *env_end)
{
    static char text[256], result[256];
    const char *words[16];
    int count = 0, before = -1;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        if (before < 0 && strcmp(word, "--") == 0) before = count;
        else words[count++] = word;
    }
    struct watch_words out;
    const char *wrong = watch_words_split(words, count, before, env_key, env_end, &out);
    if (wrong != NULL) return wrong;
    size_t size = 0;
    for (int i = 0; i < out.key_count; i++) size += (size_t)snprintf(result + size, sizeof result - size, "%s ", out.keys[i]);
    size += (size_t)snprintf(result + size, sizeof result - size, "|");
    for (int i = 0; i < out.command_count; i++) size += (size_t)snprintf(result + size, sizeof result - size, " %s", out.command[i]);
    return result;
}

START_TEST(test_kvctl_watch_words_are_keys_and_a_command)
{
    ck_assert_str_eq(split("a", NULL, NULL), "a |");
    ck_assert_str_eq(split("a b", NULL, NULL), "a b |");
    ck_assert_str_eq(split("a -- echo 1", NULL, NULL), "a | echo 1");
    ck_assert_str_eq(split("a b -- echo -- x", NULL, NULL), "a b | echo -- x");
    ck_assert_str_eq(split("a", "", ""), "a |");
    ck_assert_str_eq(split("", NULL, NULL), "bad number of arguments");
    ck_assert_str_eq(split("a b c", NULL, NULL), "bad number of arguments");
    ck_assert_str_eq(split("-- echo", NULL, NULL), "bad number of arguments");
    ck_assert_str_eq(split("a --", NULL, NULL), "bad number of arguments (found separator --, but no commands)");
}
END_TEST

START_TEST(test_kvctl_watch_words_come_from_the_environment)
{
    ck_assert_str_eq(split("", "k", NULL), "k |");
    ck_assert_str_eq(split("", "k", "l"), "k l |");
    ck_assert_str_eq(split("-- echo 1", "k", "l"), "k l | echo 1");
    ck_assert_str_eq(split("a", "k", NULL), CONFLICT);
    ck_assert_str_eq(split("a -- echo", "k", NULL), CONFLICT);
    ck_assert_str_eq(split("--", "k", NULL), "bad number of arguments (found separator --, but no commands)");
}
END_TEST

START_TEST(test_kvctl_quotes_as_go_does)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *quoted;
    } cases[] = {{"", 0, "\"\""},
                 {"plain", 5, "\"plain\""},
                 {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
                 {"\0\x01\a\b\t\n\v\f\r\x1f\x7f", 11, "\"\\x00\\x01\\a\\b\\t\\n\\v\\f\\r\\x1f\\x7f\""},
                 {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
                 {"\xff\xc3(\xe2\x82", 5, "\"\\xff\\xc3(\\xe2\\x82\""},
                 {"\xc2\x85\xe2\x80\xa8\xf3\xa0\x80\x81", 9, "\"\\u0085\\u2028\\U000e0001\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        buf_init(&out);
        quote_put(&out, slice_make(cases[i].bytes, cases[i].size));
        ck_assert_msg(slice_equal(buf_slice(&out), slice_from_string(cases[i].quoted)), "%zu: %.*s", i, (int)out.size,
                      (const char *)out.blob->data);
        buf_deinit(&out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kvctl");
    TCase *tests = tcase_create("words");
    tcase_add_test(tests, test_kvctl_watch_words_are_keys_and_a_command);
    tcase_add_test(tests, test_kvctl_watch_words_come_from_the_environment);
    tcase_add_test(tests, test_kvctl_quotes_as_go_does);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
