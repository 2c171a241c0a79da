/* Does a ClientHello tell gRPC from HTTP/1.1, whole, in pieces, over several records, and does nothing else pass for one? */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/rng.h"
#include "pipeline/door_hello.h"

static struct buf hello, record;

static void set_up(void)
{
    buf_init(&hello);
    buf_init(&record);
}

static void tear_down(void)
{
    buf_deinit(&hello);
    buf_deinit(&record);
}

static void put_u16(struct buf *out, size_t value)
{
    buf_put_u8(out, (uint8_t)(value >> 8));
    buf_put_u8(out, (uint8_t)value);
}

/* The message with an ALPN of these protocols behind another extension of padding_size bytes; NULL = without extensions. */
static void make_hello(const char *const *protocols, size_t count, size_t padding_size)
{
    struct buf list, extensions, body;
    buf_init(&list);
    buf_init(&extensions);
    buf_init(&body);
    for (size_t i = 0; i < count; i++) {
        buf_put_u8(&list, (uint8_t)strlen(protocols[i]));
        buf_put_slice(&list, slice_from_string(protocols[i]));
    }
    put_u16(&extensions, 21);
    put_u16(&extensions, padding_size);
    memset(buf_extend(&extensions, padding_size), 0, padding_size);
    put_u16(&extensions, 16);
    put_u16(&extensions, list.size + 2);
    put_u16(&extensions, list.size);
    buf_put_slice(&extensions, buf_slice(&list));
    put_u16(&body, 0x0303);
    memset(buf_extend(&body, 32), 0xaa, 32);
    buf_put_u8(&body, 32);
    memset(buf_extend(&body, 32), 0xbb, 32);
    put_u16(&body, 4);
    memset(buf_extend(&body, 4), 0xcc, 4);
    buf_put_u8(&body, 1);
    buf_put_u8(&body, 0);
    if (protocols != NULL) {
        put_u16(&body, extensions.size);
        buf_put_slice(&body, buf_slice(&extensions));
    }
    buf_clear(&hello);
    buf_put_u8(&hello, 1);
    buf_put_u8(&hello, 0);
    put_u16(&hello, body.size);
    buf_put_slice(&hello, buf_slice(&body));
    buf_deinit(&list);
    buf_deinit(&extensions);
    buf_deinit(&body);
}

/* In records of at most piece_size bytes. */
static struct slice in_records(size_t piece_size)
{
    buf_clear(&record);
    for (struct slice left = buf_slice(&hello); left.size > 0;) {
        size_t size = left.size < piece_size ? left.size : piece_size;
        buf_put_u8(&record, 22);
        put_u16(&record, 0x0301);
        put_u16(&record, size);
        buf_put_slice(&record, slice_make(left.data, size));
        left = slice_from(left, size);
    }
    return buf_slice(&record);
}

static enum door_hello verdict_of(const char *const *protocols, size_t count)
{
    make_hello(protocols, count, 40);
    return door_hello_of(in_records(16384));
}

START_TEST(test_door_hello_protocols_tell_who_comes)
{
    ck_assert_int_eq(verdict_of((const char *[]){"h2"}, 1), DOOR_HELLO_HTTP2);
    ck_assert_int_eq(verdict_of((const char *[]){"grpc-exp", "h2"}, 2), DOOR_HELLO_HTTP2);
    ck_assert_int_eq(verdict_of((const char *[]){"h2", "http/1.1"}, 2), DOOR_HELLO_HTTP1);
    ck_assert_int_eq(verdict_of((const char *[]){"http/1.1"}, 1), DOOR_HELLO_HTTP1);
    ck_assert_int_eq(verdict_of((const char *[]){"h2c", "http/1.10"}, 2), DOOR_HELLO_HTTP1);
    ck_assert_int_eq(verdict_of((const char *[]){""}, 0), DOOR_HELLO_HTTP1);
    ck_assert_int_eq(verdict_of(NULL, 0), DOOR_HELLO_HTTP1);
}
END_TEST

START_TEST(test_door_hello_waits_for_the_whole_of_it_however_it_is_cut)
{
    make_hello((const char *[]){"h2"}, 1, 300);
    static const size_t pieces[] = {16384, 100, 7, 1};
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        struct slice all = in_records(pieces[p]);
        for (size_t size = 0; size < all.size; size++) ck_assert_int_eq(door_hello_of(slice_make(all.data, size)), DOOR_HELLO_MORE);
        ck_assert_int_eq(door_hello_of(all), DOOR_HELLO_HTTP2);
    }
    (void)in_records(16384);
    buf_put_slice(&record, slice_from_string("\x14\x03\x03")); /* data that comes early is not looked at */
    ck_assert_int_eq(door_hello_of(buf_slice(&record)), DOOR_HELLO_HTTP2);
}
END_TEST

START_TEST(test_door_hello_nothing_else_passes_for_one)
{
    static const char *const others[] = {"PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n", "\x17\x03\x03", "\x15\x03\x01", "\x16\x02", "\x16\x03\x01\x40\x01x",
                                         "\x16\x03\x01\x01\x10\x02", "\x80\x2e\x01"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(door_hello_of(slice_from_string(others[i])) == DOOR_HELLO_OTHER, "%zu", i);
    ck_assert_int_eq(door_hello_of(slice_make("\x16\x03\x01\x00\x00", 5)), DOOR_HELLO_OTHER);                     /* an empty record */
    ck_assert_int_eq(door_hello_of(slice_make("\x16\x03\x01\x00\x04\x01\x01\x00\x00", 9)), DOOR_HELLO_OTHER);     /* 65,536 bytes */
    ck_assert_int_eq(door_hello_of(slice_make("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", 10)), DOOR_HELLO_OTHER); /* a byte */
}
END_TEST

START_TEST(test_door_hello_the_largest_is_taken_and_a_larger_one_is_not)
{
    static uint8_t flood[DOOR_HELLO_BYTES_MAX + 100];
    make_hello((const char *[]){"h2"}, 1, 15000);
    ck_assert_int_eq(door_hello_of(in_records(16384)), DOOR_HELLO_HTTP2);
    make_hello((const char *[]){"h2"}, 1, 16384);
    ck_assert_int_eq(door_hello_of(in_records(8000)), DOOR_HELLO_OTHER);
    make_hello((const char *[]){"h2"}, 1, 15000); /* in so many records that all of them are too much */
    struct slice all = in_records(10);
    ck_assert_int_eq(door_hello_of(slice_make(all.data, DOOR_HELLO_BYTES_MAX - 1)), DOOR_HELLO_MORE);
    ck_assert_int_eq(door_hello_of(all), DOOR_HELLO_OTHER);
    memset(flood, 0x16, sizeof flood);
    ck_assert_int_eq(door_hello_of(slice_make(flood, sizeof flood)), DOOR_HELLO_OTHER);
}
END_TEST

/* Lengths that lie: any byte changed, any bytes at all. ASan looks on. */
START_TEST(test_door_hello_survives_whatever_comes)
{
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        make_hello((const char *[]){"h2", "http/1.1"}, 1 + (size_t)round % 2, 20);
        struct slice all = in_records(1 + rng_below(&rng, 200));
        struct buf copy;
        buf_init(&copy);
        buf_put_slice(&copy, slice_make(all.data, 1 + rng_below(&rng, all.size)));
        for (int i = 0; i < 3; i++) copy.blob->data[rng_below(&rng, copy.size)] = (uint8_t)rng_below(&rng, 256);
        (void)door_hello_of(buf_slice(&copy));
        buf_deinit(&copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("door_hello");
    TCase *tests = tcase_create("door_hello");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_door_hello_protocols_tell_who_comes);
    tcase_add_test(tests, test_door_hello_waits_for_the_whole_of_it_however_it_is_cut);
    tcase_add_test(tests, test_door_hello_nothing_else_passes_for_one);
    tcase_add_test(tests, test_door_hello_the_largest_is_taken_and_a_larger_one_is_not);
    tcase_add_test(tests, test_door_hello_survives_whatever_comes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
