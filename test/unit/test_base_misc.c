/* Checksums, chance, time, the table of errors, log lines, and the two ways to stop. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"

START_TEST(test_crc32c_known_vectors)
{
    uint8_t bytes[32];
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(crc32c(0, NULL, 0), 0);
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x8a9136aa); /* RFC 3720 B.4 */
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}
END_TEST

/* The definition, bit by bit. */
static uint32_t crc32c_by_bits(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

START_TEST(test_crc32c_of_any_part_can_be_continued)
{
    uint8_t bytes[300];
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)rng_next(&rng);
    for (int round = 0; round < 500; round++) {
        size_t start = rng_below(&rng, sizeof bytes), size = rng_below(&rng, sizeof bytes - start + 1);
        size_t cut = rng_below(&rng, size + 1);
        uint32_t whole = crc32c(0, bytes + start, size);
        ck_assert_uint_eq(whole, crc32c_by_bits(bytes + start, size));
        ck_assert_uint_eq(whole, crc32c(crc32c(0, bytes + start, cut), bytes + start + cut, size - cut));
    }
}
END_TEST

START_TEST(test_rng_same_seed_gives_the_same_stream)
{
    struct rng a, b, c;
    rng_init(&a, 42);
    rng_init(&b, 42);
    rng_init(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rng_next(&a);
        ck_assert_uint_eq(value, rng_next(&b));
        same += value == rng_next(&c);
    }
    ck_assert_int_eq(same, 0);
    /* the stream is part of every recorded simulation: it may never change */
    rng_init(&a, 0);
    ck_assert_uint_eq(rng_next(&a), UINT64_C(0x99ec5f36cb75f2b4));
    ck_assert_uint_eq(rng_next(&a), UINT64_C(0xbf6e1f784956452a));
}
END_TEST

START_TEST(test_rng_below_stays_below_and_is_even)
{
    struct rng rng;
    rng_init(&rng, 8);
    int counts[10] = {0};
    for (int i = 0; i < 10000; i++) counts[rng_below(&rng, 10)]++;
    for (int i = 0; i < 10; i++) ck_assert(counts[i] > 850 && counts[i] < 1150);
    for (int i = 0; i < 100; i++) ck_assert_uint_eq(rng_below(&rng, 1), 0);
    for (int i = 0; i < 100; i++) ck_assert_uint_lt(rng_below(&rng, UINT64_MAX), UINT64_MAX);
    ck_assert_uint_ne(rng_seed_from_system(), rng_seed_from_system());
}
END_TEST

START_TEST(test_clock_does_not_go_back)
{
    uint64_t last = clock_mono_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_ns();
        ck_assert_uint_ge(now, last);
        last = now;
    }
    ck_assert_uint_gt(clock_wall_ns(), UINT64_C(1600000000) * NS_PER_S);
}
END_TEST

START_TEST(test_err_every_error_has_a_text_a_code_and_a_name)
{
    for (enum err err = ERR_OK; err < ERR_COUNT; err++) {
        ck_assert_ptr_nonnull(err_text(err));
        ck_assert(err == ERR_OK || err_text(err)[0] != '\0');
        ck_assert(err_name(err)[0] != '\0');
        ck_assert((err == ERR_OK) == (err_grpc_code(err) == ERR_CODE_OK));
        ck_assert_int_le((int)err_grpc_code(err), ERR_CODE_UNAUTHENTICATED);
        ck_assert_str_eq(err_text(err_inner(err)), err_text(err));
        ck_assert_int_eq(err_grpc_code(err_inner(err)), err == ERR_OK ? ERR_CODE_OK : ERR_CODE_UNKNOWN);
    }
    ck_assert_str_eq(err_text(ERR_OK), "");
    ck_assert_str_eq(err_name(ERR_COMPACTED), "COMPACTED");
    ck_assert_str_eq(err_text(ERR_COMPACTED), "etcdserver: mvcc: required revision has been compacted");
    ck_assert_int_eq(err_grpc_code(ERR_COMPACTED), ERR_CODE_OUT_OF_RANGE);
}
END_TEST

static char line[LOG_LINE_MAX + 1];
static int lines;

static void keep_line(void *context, struct slice bytes)
{
    ck_assert_ptr_eq(context, &lines);
    ck_assert_uint_le(bytes.size, LOG_LINE_MAX);
    memcpy(line, bytes.data, bytes.size);
    line[bytes.size] = '\0';
    lines++;
}

static void log_set_up(void)
{
    lines = 0;
    log_set_thread_sink(keep_line, &lines);
}

START_TEST(test_log_json_line_has_the_layout_that_people_grep)
{
    LOG(WARN, "hello", LOG_F_TEXT("name", "m1"), LOG_F_U64("u", UINT64_MAX), LOG_F_I64("i", -7), LOG_F_HEX("id", 0xabc),
        LOG_F_BOOL("yes", true), LOG_F_TEXT("none", NULL));
    ck_assert_int_eq(lines, 1);
    ck_assert_ptr_eq(strstr(line, "{\"level\":\"warn\",\"ts\":\"20"), line);
    ck_assert_ptr_nonnull(strstr(line, "Z\",\"caller\":\"unit/test_base_misc.c:"));
    const char *fields = strstr(line, "\"msg\"");
    ck_assert_str_eq(fields, "\"msg\":\"hello\",\"name\":\"m1\",\"u\":18446744073709551615,\"i\":-7,\"id\":\"abc\","
                             "\"yes\":true,\"none\":\"\"}\n");
    LOG0(INFO, "no fields");
    ck_assert_ptr_nonnull(strstr(line, "\"msg\":\"no fields\"}\n"));
}
END_TEST

START_TEST(test_log_console_line_is_tabbed)
{
    log_set_format(LOG_FORMAT_CONSOLE);
    LOG(INFO, "hello", LOG_F_U64("a", 1), LOG_F_TEXT("b", "x"));
    ck_assert_ptr_nonnull(strstr(line, "Z\tinfo\tunit/test_base_misc.c:"));
    ck_assert_ptr_nonnull(strstr(line, "\thello\t{\"a\":1,\"b\":\"x\"}\n"));
    LOG0(INFO, "no fields");
    ck_assert_ptr_nonnull(strstr(line, "\tno fields\n"));
}
END_TEST

START_TEST(test_log_escapes_what_json_forbids)
{
    LOG(INFO, "a\"b\\c", LOG_F_TEXT("t", "\n\r\t\x01\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    ck_assert_ptr_nonnull(strstr(line, "\"msg\":\"a\\\"b\\\\c\",\"t\":\"\\n\\r\\t\\u0001\\u007f"
                                       "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}\n"));
    static const char *const invalid[] = {"\xff", "\xc3", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"};
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        LOG(INFO, "m", LOG_F_TEXT("t", invalid[i]));
        ck_assert_ptr_nonnull(strstr(line, "\"t\":\"\\ufffd"));
        for (const char *at = line; *at != '\0'; at++) ck_assert_int_ge(*at, '\n');
    }
}
END_TEST

START_TEST(test_log_long_line_is_cut_and_still_json)
{
    char text[2 * LOG_LINE_MAX];
    for (size_t size = LOG_LINE_MAX - 200; size < LOG_LINE_MAX + 50; size++) {
        memset(text, 'x', size);
        text[size] = '\0';
        LOG(INFO, "m", LOG_F_TEXT("t", text), LOG_F_U64("after", 123456789));
        size_t length = strlen(line);
        ck_assert_uint_le(length, LOG_LINE_MAX);
        ck_assert_str_eq(line + length - 2, "}\n");
        bool whole = strstr(line, "\"after\":123456789}\n") != NULL;
        bool text_cut = strstr(line, "x\xe2\x80\xa6\"}\n") != NULL;
        bool field_cut = strstr(line, "x\",\"cut\":\"\xe2\x80\xa6\"}\n") != NULL;
        ck_assert_int_eq(whole + text_cut + field_cut, 1);
    }
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    LOG0(INFO, text);
    ck_assert_uint_gt(strlen(line), LOG_LINE_MAX - 64);
    ck_assert_ptr_nonnull(strstr(line, "\\\"\xe2\x80\xa6\"}\n"));
}
END_TEST

START_TEST(test_log_below_the_level_is_dropped)
{
    enum log_level level = LOG_INFO;
    LOG0(DEBUG, "not seen");
    ck_assert_int_eq(lines, 0);
    ck_assert(log_level_from_text("debug", &level) && level == LOG_DEBUG);
    log_set_level(level);
    LOG0(DEBUG, "seen");
    ck_assert_int_eq(lines, 1);
    log_set_level(LOG_ERROR);
    LOG0(WARN, "not seen");
    LOG0(FATAL, "seen");
    ck_assert_int_eq(lines, 2);
    ck_assert(!log_level_from_text("verbose", &level) && level == LOG_DEBUG);
}
END_TEST

/* check runs each in a child of its own and looks at how it ended. */
START_TEST(test_assert_that_fails_aborts) { ASSERT(lines > 1000); }
END_TEST

START_TEST(test_fatal_exits_with_its_code) { fatal("wal: %s: %s", "/data/wal/1", "a sync failed"); }
END_TEST

int main(void)
{
    TCase *tests = tcase_create("misc");
    tcase_add_checked_fixture(tests, log_set_up, NULL);
    tcase_add_test(tests, test_crc32c_known_vectors);
    tcase_add_test(tests, test_crc32c_of_any_part_can_be_continued);
    tcase_add_test(tests, test_rng_same_seed_gives_the_same_stream);
    tcase_add_test(tests, test_rng_below_stays_below_and_is_even);
    tcase_add_test(tests, test_clock_does_not_go_back);
    tcase_add_test(tests, test_err_every_error_has_a_text_a_code_and_a_name);
    tcase_add_test(tests, test_log_json_line_has_the_layout_that_people_grep);
    tcase_add_test(tests, test_log_console_line_is_tabbed);
    tcase_add_test(tests, test_log_escapes_what_json_forbids);
    tcase_add_test(tests, test_log_long_line_is_cut_and_still_json);
    tcase_add_test(tests, test_log_below_the_level_is_dropped);
    tcase_add_test_raise_signal(tests, test_assert_that_fails_aborts, SIGABRT);
    tcase_add_exit_test(tests, test_fatal_exits_with_its_code, FATAL_EXIT_CODE);
    Suite *suite = suite_create("base_misc");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
