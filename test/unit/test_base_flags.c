/* Are command lines and environments read as a user of such flags expects? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/flags.h"

#define WORDS_MAX 32

static bool yes;
static const char *text;
static int64_t i64;
static uint64_t u64, duration_ns;
static struct flags_list list;
static struct flag flags[] = {
    {.name = "yes", .letter = 'y', .kind = FLAG_BOOL, .target = &yes, .help = "a boolean", .group = "First"},
    {.name = "data-dir", .letter = 'd', .kind = FLAG_STRING, .target = &text, .value_name = "<path>", .help = "a text",
     .group = "First"},
    {.name = "i64", .kind = FLAG_I64, .target = &i64, .value_name = "<n>", .help = "a number", .group = "Second"},
    {.name = "u64", .kind = FLAG_U64, .target = &u64, .value_name = "<n>", .help = "a number", .group = "Second"},
    {.name = "timeout", .kind = FLAG_DURATION_NS, .target = &duration_ns, .value_name = "<time>", .help = "a duration",
     .group = "Second"},
    {.name = "list", .letter = 'l', .kind = FLAG_LIST, .target = &list},
    {.name = "force", .letter = 'f', .kind = FLAG_IGNORED_BOOL},
    {.name = "retry-interval", .kind = FLAG_IGNORED},
};
#define FLAG_COUNT ((int)(sizeof flags / sizeof flags[0]))
static const char *arguments[WORDS_MAX];
static struct flags_result result;
static struct flags_options options;

static void set_up(void)
{
    yes = false;
    text = "default";
    i64 = -5;
    u64 = 5;
    duration_ns = 55;
    list = (struct flags_list){.words = {"a", "b"}, .count = 2};
    options = (struct flags_options){.environment_prefix = NULL};
}

/* Parses the words of a line, split at blanks. */
static bool parse(const char *line)
{
    static char words[512];
    char *argv[WORDS_MAX] = {(char *)"program"};
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " ")) != NULL && argc < WORDS_MAX;)
        if (word[0] != '\0') argv[argc++] = word;
    result.arguments = arguments;
    return flags_parse(flags, FLAG_COUNT, argc, argv, &options, &result);
}

START_TEST(test_flags_every_form_of_a_value_is_read)
{
    static const char *const lines[] = {"--data-dir /x", "--data-dir=/x", "-data-dir /x", "-data-dir=/x", "-d /x",
                                        "-d=/x", "-d/x", "--data-dir=/y --data-dir=/x"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        set_up();
        ck_assert_msg(parse(lines[i]), "%s: %s", lines[i], result.error);
        ck_assert_str_eq(text, "/x");
        ck_assert(flags[1].is_set && !flags[0].is_set && result.arguments_count == 0);
    }
    ck_assert(parse("--data-dir="));
    ck_assert_str_eq(text, "");
    ck_assert(parse("--data-dir=a=b"));
    ck_assert_str_eq(text, "a=b");
    ck_assert(parse(""));
    ck_assert(!flags[1].is_set);
}
END_TEST

START_TEST(test_flags_booleans_are_bare_or_after_an_equal_sign)
{
    ck_assert(parse("--yes") && yes);
    ck_assert(parse("--yes=false") && !yes);
    ck_assert(parse("-y=true") && yes);
    ck_assert(parse("--yes=0") && !yes);
    ck_assert(parse("--yes false") && yes);
    ck_assert_int_eq(result.arguments_count, 1);
    ck_assert(!parse("--yes=maybe"));
    ck_assert_str_eq(result.error, "invalid value \"maybe\" for --yes: expected true or false");
    ck_assert(!result.unknown_flag);
}
END_TEST

START_TEST(test_flags_numbers_must_be_whole_and_in_range)
{
    ck_assert(parse("--i64 -9223372036854775808") && i64 == INT64_MIN);
    ck_assert(parse("--i64=0x10") && i64 == 16);
    ck_assert(parse("--u64=18446744073709551615") && u64 == UINT64_MAX);
    static const char *const bad[] = {"--i64=", "--i64=1x", "--i64=9223372036854775808", "--u64=-1", "--u64=+1",
                                      "--u64=1.5", "--u64=18446744073709551616", "--u64="};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) ck_assert_msg(!parse(bad[i]), "%s", bad[i]);
    ck_assert(u64 == UINT64_MAX && i64 == 16);
}
END_TEST

START_TEST(test_flags_durations_have_units)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"5s", UINT64_C(5000000000)},
                {"100ms", 100000000},
                {"1h30m", UINT64_C(5400000000000)},
                {"1.5s", 1500000000},
                {"2us3ns", 2003},
                {"7\xc2\xb5s", 7000},
                {"0", 0},
                {"0s", 0},
                {".5s", 500000000}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--timeout=%s", good[i].text);
        ck_assert_msg(parse(line), "%s", line);
        ck_assert_uint_eq(duration_ns, good[i].ns);
    }
    static const char *const bad[] = {"--timeout=5", "--timeout=", "--timeout=s", "--timeout=-1s", "--timeout=1.2.3s",
                                      "--timeout=1d", "--timeout=0x10s", "--timeout=1e3s", "--timeout=.s",
                                      "--timeout=99999999h99999999h", "--timeout=5s6"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) ck_assert_msg(!parse(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(test_flags_unknown_flag_is_named)
{
    ck_assert(!parse("--yes --nothing=7"));
    ck_assert(result.unknown_flag);
    ck_assert_str_eq(result.error, "unknown flag: --nothing");
    ck_assert(!parse("-z") && result.unknown_flag);
    ck_assert_str_eq(result.error, "unknown flag: -z");
    ck_assert(!parse("--data-di /x") && result.unknown_flag);
}
END_TEST

START_TEST(test_flags_missing_value_is_an_error)
{
    ck_assert(!parse("--data-dir"));
    ck_assert_str_eq(result.error, "flag needs an argument: --data-dir");
    ck_assert(!result.unknown_flag);
}
END_TEST

START_TEST(test_flags_plain_words_are_arguments)
{
    ck_assert(parse("put --yes key - -- --i64 -x"));
    ck_assert(yes && i64 == -5);
    static const char *const expected[] = {"put", "key", "-", "--i64", "-x"};
    ck_assert_int_eq(result.arguments_count, 5);
    for (int i = 0; i < 5; i++) ck_assert_str_eq(result.arguments[i], expected[i]);
}
END_TEST

START_TEST(test_flags_first_word_ends_them_before_a_command)
{
    options.stop_at_command = true;
    ck_assert(parse("--yes put --unknown -- x"));
    static const char *const expected[] = {"put", "--unknown", "--", "x"};
    ck_assert_int_eq(result.arguments_count, 4);
    for (int i = 0; i < 4; i++) ck_assert_str_eq(result.arguments[i], expected[i]);
}
END_TEST

START_TEST(test_flags_say_where_dashes_end_them)
{
    ck_assert(parse("one --yes two"));
    ck_assert_int_eq(result.before_dashes, -1);
    ck_assert(parse("-- one"));
    ck_assert_int_eq(result.before_dashes, 0);
    ck_assert(parse("one two --yes -- three -- --four"));
    ck_assert_int_eq(result.before_dashes, 2);
    ck_assert_int_eq(result.arguments_count, 5);
}
END_TEST

START_TEST(test_flags_ignored_ones_are_reported_once)
{
    ck_assert(parse("--force --retry-interval 5 --yes --force=1 word"));
    ck_assert_int_eq(result.ignored_count, 2);
    ck_assert_str_eq(result.ignored[0], "force");
    ck_assert_str_eq(result.ignored[1], "retry-interval");
    ck_assert(yes && result.arguments_count == 1);
}
END_TEST

START_TEST(test_flags_ignored_booleans_leave_the_next_word_alone)
{
    ck_assert(parse("one --force two -f three --force=false --retry-interval four"));
    ck_assert_int_eq(result.arguments_count, 3);
    ck_assert_str_eq(result.arguments[1], "two");
    ck_assert_str_eq(result.arguments[2], "three");
    ck_assert_int_eq(result.ignored_count, 2);
}
END_TEST

static void is_list(const char *line, const char *expected)
{
    ck_assert_msg(line == NULL || parse(line), "%s: %s", line, result.error);
    char *all = flags_list_string(&list);
    ck_assert_str_eq(all, expected);
    alloc_free(all);
}

START_TEST(test_flags_repeated_lists_are_joined)
{
    is_list("", "a,b");
    is_list("--list c", "c");
    is_list("--list c,d --yes -l e word --list=", "c,d,e,");
    is_list("--list f", "f"); /* parsed again, as a command does it with its own flags: from the beginning */
    options = (struct flags_options){.environment_prefix = "TESTFLAGS"};
    setenv("TESTFLAGS_LIST", "g,h", 1);
    is_list("", "g,h");
    is_list("--list i", "i");
}
END_TEST

START_TEST(test_flags_lists_have_a_limit)
{
    char word[] = "-lx", *argv[FLAGS_LIST_MAX + 2] = {word};
    const char *words[FLAGS_LIST_MAX + 2];
    result.arguments = words;
    for (int i = 1; i < FLAGS_LIST_MAX + 2; i++) argv[i] = word;
    ck_assert(flags_parse(flags, FLAG_COUNT, FLAGS_LIST_MAX + 1, argv, &options, &result));
    ck_assert_int_eq(list.count, FLAGS_LIST_MAX);
    ck_assert(!flags_parse(flags, FLAG_COUNT, FLAGS_LIST_MAX + 2, argv, &options, &result));
    ck_assert_str_eq(result.error, "invalid value \"x\" for --list: expected any text, at most 64 times");
}
END_TEST

START_TEST(test_flags_environment_fills_what_the_line_leaves_open)
{
    options = (struct flags_options){.environment_prefix = "TESTFLAGS"};
    setenv("TESTFLAGS_DATA_DIR", "/environment", 1);
    setenv("TESTFLAGS_TIMEOUT", "7s", 1);
    setenv("TESTFLAGS_YES", "true", 1);
    setenv("TESTFLAGS_U64", "", 1);
    ck_assert(parse("--data-dir=/line"));
    ck_assert_str_eq(text, "/line");
    ck_assert(yes && duration_ns == UINT64_C(7000000000) && u64 == 5 && flags[4].is_set && !flags[3].is_set);
    setenv("TESTFLAGS_I64", "nonsense", 1);
    ck_assert(!parse(""));
    ck_assert_str_eq(result.error, "invalid value \"nonsense\" for TESTFLAGS_I64: expected a whole number");
}
END_TEST

static char told[512];

static void tell(void *context, const char *word, const char *error)
{
    ck_assert_ptr_eq(context, told);
    size_t size = strlen(told);
    snprintf(told + size, sizeof told - size, "%s: %s\n", word, error);
}

START_TEST(test_flags_all_mistakes_are_told_to_who_asks_for_them)
{
    options = (struct flags_options){.environment_prefix = "TESTFLAGS", .complain = tell, .context = told};
    setenv("TESTFLAGS_I64", "nonsense", 1);
    told[0] = '\0';
    ck_assert(!parse("--nothing 7 --u64 many -z --data-dir /x --timeout"));
    ck_assert_str_eq(told, "--nothing: unknown flag: --nothing\n"
                           "--u64: invalid value \"many\" for --u64: expected a whole number that is not negative\n"
                           "-z: unknown flag: -z\n"
                           "--timeout: flag needs an argument: --timeout\n"
                           "TESTFLAGS_I64: invalid value \"nonsense\" for TESTFLAGS_I64: expected a whole number\n");
    ck_assert_str_eq(text, "/x"); /* what can be read is read */
    ck_assert_int_eq(result.arguments_count, 0);
}
END_TEST

START_TEST(test_flags_a_value_is_written_as_it_is_read)
{
    static const char *const values[][2] = {{"yes", "true"}, {"data-dir", "/x"}, {"i64", "-7"}, {"u64", "9"}, {"timeout", "90s"}};
    struct buf out;
    buf_init(&out);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct flag *flag = flags;
        while (strcmp(flag->name, values[i][0]) != 0) flag++;
        ck_assert(flags_set(flag, values[i][1]));
        buf_clear(&out);
        flags_value_text(flag, true, &out);
        buf_put_u8(&out, 0);
        ck_assert_str_eq((const char *)buf_slice(&out).data, values[i][1]);
    }
    buf_deinit(&out);
}
END_TEST

START_TEST(test_flags_help_is_grouped_and_aligned)
{
    char path[] = "/tmp/test_base_flags.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    yes = true;
    duration_ns = 90 * NS_PER_S;
    ck_assert(parse("--u64 7")); /* what is set is not the default any more */
    ck_assert_ptr_nonnull(freopen(path, "w", stdout));
    flags_print_help(flags, FLAG_COUNT);
    fflush(stdout);
    FILE *file = fdopen(fd, "r");
    char help[1024];
    size_t size = fread(help, 1, sizeof help - 1, file);
    help[size] = '\0';
    fclose(file);
    remove(path);
    ck_assert_str_eq(help, "First:\n"
                           "  -y, --yes              a boolean (default true)\n"
                           "  -d, --data-dir <path>  a text (default default)\n"
                           "\nSecond:\n"
                           "      --i64 <n>          a number (default -5)\n"
                           "      --u64 <n>          a number\n"
                           "      --timeout <time>   a duration (default 90s)\n");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("flags");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, test_flags_every_form_of_a_value_is_read);
    tcase_add_test(tests, test_flags_booleans_are_bare_or_after_an_equal_sign);
    tcase_add_test(tests, test_flags_numbers_must_be_whole_and_in_range);
    tcase_add_test(tests, test_flags_durations_have_units);
    tcase_add_test(tests, test_flags_unknown_flag_is_named);
    tcase_add_test(tests, test_flags_missing_value_is_an_error);
    tcase_add_test(tests, test_flags_plain_words_are_arguments);
    tcase_add_test(tests, test_flags_first_word_ends_them_before_a_command);
    tcase_add_test(tests, test_flags_say_where_dashes_end_them);
    tcase_add_test(tests, test_flags_ignored_ones_are_reported_once);
    tcase_add_test(tests, test_flags_ignored_booleans_leave_the_next_word_alone);
    tcase_add_test(tests, test_flags_repeated_lists_are_joined);
    tcase_add_test(tests, test_flags_lists_have_a_limit);
    tcase_add_test(tests, test_flags_environment_fills_what_the_line_leaves_open);
    tcase_add_test(tests, test_flags_all_mistakes_are_told_to_who_asks_for_them);
    tcase_add_test(tests, test_flags_a_value_is_written_as_it_is_read);
    tcase_add_test(tests, test_flags_help_is_grouped_and_aligned);
    Suite *suite = suite_create("base_flags");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
