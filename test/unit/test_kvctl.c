/* What of kvctl's commands can be said without a server: where the words of a watch belong, and how bytes are quoted. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quote.h"
#include "watch_words.h"
#include "words.h"

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

/* The words in brackets, or what is wrong. */
static const char *shell_words(const char *line)
{
    static char text[512];
    char *words[WORDS_MAX + 1];
    struct arena arena;
    int count = 0;
    size_t size = 0;
    arena_init(&arena, 1 << 20);
    const char *wrong = words_split(line, &arena, words, &count);
    text[0] = '\0';
    for (int i = 0; i < count && wrong == NULL; i++) size += (size_t)snprintf(text + size, sizeof text - size, "[%s]", words[i]);
    arena_deinit(&arena);
    return wrong != NULL ? wrong : text;
}

START_TEST(test_kvctl_splits_lines_as_a_shell_does)
{
    ck_assert_str_eq(shell_words("put a b"), "[put][a][b]");
    ck_assert_str_eq(shell_words("  put\t'a b'  \"c d\"  "), "[put][a b][c d]");
    ck_assert_str_eq(shell_words("a''b \"\" c\\ d"), "[ab][][c d]");
    ck_assert_str_eq(shell_words("\"\\\"\\\\\\$\\x\" '\\n'"), "[\"\\$\\x][\\n]");
    ck_assert_str_eq(shell_words("$'a\\tb\\x41\\'' $x $\"q\""), "[a\tbA'][$x][$q]");
    ck_assert_str_eq(shell_words("$'\\u20ac'"), "[\xe2\x82\xac]");
    ck_assert_str_eq(shell_words("a # comment 'open"), "[a]");
    ck_assert_str_eq(shell_words("a#b"), "[a#b]");
    ck_assert_str_eq(shell_words("# all"), "");
    ck_assert_str_eq(shell_words(""), "");
    ck_assert_str_eq(shell_words("'open"), WORDS_OPEN);
    ck_assert_str_eq(shell_words("\"open\\"), WORDS_OPEN);
    ck_assert_str_eq(shell_words("open\\"), WORDS_OPEN);
    ck_assert_str_eq(shell_words("$'\\x00'"), "an escape in $'...' is wrong");
    char many[1024] = "";
    for (int i = 0; i < WORDS_MAX + 1; i++) memcpy(many + (size_t)i * 2, "a ", 3);
    ck_assert_str_eq(shell_words(many), "there are too many words");
}
END_TEST

START_TEST(test_kvctl_knows_the_word_under_the_cursor)
{
    static const struct {
        const char *text;
        int before;
        size_t start;
        const char *word;
    } cases[] = {{"", 0, 0, ""}, {"get", 0, 0, "get"}, {"get ", 1, 4, ""}, {"get 'a b", 1, 4, "a b"}, {"get x\\ y", 1, 4, "x y"},
                 {"  get a  b", 2, 9, "b"}, {"get \"q", 1, 4, "q"}, {"# no", -1, 0, ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf word;
        size_t start = 99;
        buf_init(&word);
        int before = words_last(cases[i].text, &start, &word);
        ck_assert_int_eq(before, cases[i].before);
        if (before >= 0) ck_assert_uint_eq(start, cases[i].start);
        if (before >= 0) ck_assert_str_eq((const char *)word.blob->data, cases[i].word);
        buf_deinit(&word);
    }
}
END_TEST

START_TEST(test_kvctl_reads_back_what_it_quotes)
{
    static const char *const texts[] = {"plain/1", "two words", "it's", "\"", "tab\t", "\xc3\xa4", "\xff\x01'\\", "", "#", "$x", "-1"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf quoted;
        char wanted[64];
        buf_init(&quoted);
        words_quote(&quoted, slice_from_string(texts[i]), true);
        buf_put_u8(&quoted, '\0');
        snprintf(wanted, sizeof wanted, "[%s]", texts[i]);
        ck_assert_str_eq(shell_words((const char *)quoted.blob->data), wanted);
        buf_deinit(&quoted);
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
    tcase_add_test(tests, test_kvctl_splits_lines_as_a_shell_does);
    tcase_add_test(tests, test_kvctl_knows_the_word_under_the_cursor);
    tcase_add_test(tests, test_kvctl_reads_back_what_it_quotes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
