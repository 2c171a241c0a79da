/* Does what buf writes come back from reader, and does a reader stop at its end whatever the bytes are? */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/rng.h"

START_TEST(test_buf_fixed_integers_are_little_endian)
{
    static const uint8_t expected[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8};
    struct buf buf;
    buf_init(&buf);
    buf_put_u8(&buf, 1);
    buf_put_u16(&buf, 0x0203);
    buf_put_u32(&buf, 0x04050607);
    buf_put_u64(&buf, UINT64_C(0x08090a0b0c0d0e0f));
    ck_assert(slice_equal(buf_slice(&buf), slice_make(expected, sizeof expected)));
    struct reader reader = reader_make(buf_slice(&buf));
    ck_assert_uint_eq(reader_u8(&reader), 1);
    ck_assert_uint_eq(reader_u16(&reader), 0x0203);
    ck_assert_uint_eq(reader_u32(&reader), 0x04050607);
    ck_assert_uint_eq(reader_u64(&reader), UINT64_C(0x08090a0b0c0d0e0f));
    ck_assert(!reader.bad && reader_left(&reader) == 0);
    buf_deinit(&buf);
}
END_TEST

START_TEST(test_buf_varints_of_every_length_come_back)
{
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t value = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
        struct buf buf;
        buf_init(&buf);
        buf_put_varint(&buf, value);
        ck_assert_uint_eq(buf.size, pb_varint_size(value));
        ck_assert_uint_eq(buf.size, bits <= 7 ? 1 : (bits + 6) / 7);
        struct reader reader = reader_make(buf_slice(&buf));
        ck_assert_uint_eq(reader_varint(&reader), value);
        ck_assert(!reader.bad && reader_left(&reader) == 0);
        buf_deinit(&buf);
    }
}
END_TEST

START_TEST(test_reader_varint_beyond_ten_bytes_is_bad)
{
    uint8_t bytes[11];
    memset(bytes, 0x80, sizeof bytes);
    bytes[10] = 1;
    struct reader reader = reader_make(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(reader_varint(&reader), 0);
    ck_assert(reader.bad);
}
END_TEST

START_TEST(test_reader_cut_varint_is_bad)
{
    static const uint8_t bytes[] = {0xff, 0xff};
    struct reader reader = reader_make(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(reader_varint(&reader), 0);
    ck_assert(reader.bad);
}
END_TEST

START_TEST(test_reader_past_the_end_is_bad_and_answers_zeros)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct reader reader = reader_make(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(reader_u32(&reader), 0);
    ck_assert(reader.bad && reader_left(&reader) == 0);
    ck_assert_uint_eq(reader_u8(&reader), 0);
    ck_assert_uint_eq(reader_varint(&reader), 0);
    ck_assert_uint_eq(reader_bytes(&reader, 0).size, 0);
    ck_assert(reader.bad);
}
END_TEST

START_TEST(test_reader_of_nothing_is_at_its_end)
{
    struct reader reader = reader_make(slice_empty());
    struct pb_field field;
    ck_assert(!reader_pb_field(&reader, &field) && !reader.bad);
    ck_assert_uint_eq(reader_bytes(&reader, 0).size, 0);
    ck_assert(!reader.bad);
    reader_skip(&reader, 1);
    ck_assert(reader.bad);
}
END_TEST

START_TEST(test_reader_huge_lengths_do_not_wrap)
{
    static const uint8_t bytes[] = {1, 2, 3};
    struct reader reader = reader_make(slice_make(bytes, sizeof bytes));
    ck_assert_uint_eq(reader_bytes(&reader, SIZE_MAX).size, 0);
    ck_assert(reader.bad);
}
END_TEST

START_TEST(test_reader_pb_fields_of_every_wire_come_back)
{
    struct buf buf;
    buf_init(&buf);
    buf_put_pb_varint(&buf, 1, UINT64_MAX);
    buf_put_pb_bytes(&buf, 536870911, slice_from_string("hello"));
    buf_put_varint(&buf, pb_tag(10001, PB_FIXED64));
    buf_put_u64(&buf, 42);
    buf_put_varint(&buf, pb_tag(7, PB_FIXED32));
    buf_put_u32(&buf, 43);
    buf_put_pb_bytes(&buf, 2, slice_empty());
    struct reader reader = reader_make(buf_slice(&buf));
    struct pb_field field;
    ck_assert(reader_pb_field(&reader, &field) && field.number == 1 && field.value == UINT64_MAX);
    ck_assert(reader_pb_field(&reader, &field) && field.number == 536870911 && field.wire == PB_BYTES);
    ck_assert(slice_equal(field.bytes, slice_from_string("hello")));
    ck_assert(reader_pb_field(&reader, &field) && field.number == 10001 && field.value == 42);
    ck_assert(reader_pb_field(&reader, &field) && field.number == 7 && field.value == 43 && field.wire == PB_FIXED32);
    ck_assert(reader_pb_field(&reader, &field) && field.number == 2 && field.bytes.size == 0);
    ck_assert(!reader_pb_field(&reader, &field) && !reader.bad);
    buf_deinit(&buf);
}
END_TEST

START_TEST(test_reader_pb_groups_number_zero_and_cut_bytes_are_bad)
{
    static const struct {
        uint8_t bytes[8];
        size_t size;
    } cases[] = {
        {{1 << 3 | 3}, 1},                                /* group start */
        {{1 << 3 | 4}, 1},                                /* group end */
        {{1 << 3 | 6}, 1},                                /* no such wire */
        {{0 << 3 | 0, 1}, 2},                             /* number 0 */
        {{1 << 3 | 2, 5, 'a'}, 3},                        /* bytes cut */
        {{1 << 3 | 1, 0, 0, 0, 0, 0, 0, 0}, 8},           /* fixed64 cut */
        {{1 << 3 | 0}, 1},                                /* varint missing */
        {{0x80, 0x80, 0x80, 0x80, 0x10, 0}, 6},           /* tag beyond 32 bits */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reader reader = reader_make(slice_make(cases[i].bytes, cases[i].size));
        struct pb_field field = {.number = 77};
        ck_assert_msg(!reader_pb_field(&reader, &field) && reader.bad, "case %zu", i);
        ck_assert_uint_eq(field.number, 77);
    }
}
END_TEST

START_TEST(test_buf_random_sequences_round_trip)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 300; round++) {
        struct rng again = rng;
        struct buf buf;
        buf_init(&buf);
        int steps = (int)rng_below(&rng, 200);
        for (int i = 0; i < steps; i++) {
            uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);
            switch (rng_below(&rng, 5)) {
            case 0: buf_put_u8(&buf, (uint8_t)value); break;
            case 1: buf_put_u32(&buf, (uint32_t)value); break;
            case 2: buf_put_u64(&buf, value); break;
            case 3: buf_put_varint(&buf, value); break;
            case 4: memset(buf_extend(&buf, value % 300), (int)(value & 0xff), value % 300); break;
            }
        }
        struct reader reader = reader_make(buf_slice(&buf));
        ck_assert_int_eq((int)rng_below(&again, 200), steps);
        for (int i = 0; i < steps; i++) {
            uint64_t value = rng_next(&again) >> rng_below(&again, 64);
            struct slice bytes;
            switch (rng_below(&again, 5)) {
            case 0: ck_assert_uint_eq(reader_u8(&reader), (uint8_t)value); break;
            case 1: ck_assert_uint_eq(reader_u32(&reader), (uint32_t)value); break;
            case 2: ck_assert_uint_eq(reader_u64(&reader), value); break;
            case 3: ck_assert_uint_eq(reader_varint(&reader), value); break;
            case 4:
                bytes = reader_bytes(&reader, value % 300);
                ck_assert_uint_eq(bytes.size, value % 300);
                for (size_t k = 0; k < bytes.size; k++) ck_assert_uint_eq(bytes.data[k], value & 0xff);
                break;
            }
        }
        ck_assert(!reader.bad && reader_left(&reader) == 0);
        buf_deinit(&buf);
    }
}
END_TEST

START_TEST(test_reader_pb_survives_random_bytes)
{
    struct rng rng;
    rng_init(&rng, 2);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[24];
        size_t size = rng_below(&rng, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(rng_next(&rng) & (round % 2 == 0 ? 0xff : 0x1f));
        struct reader reader = reader_make(slice_make(bytes, size));
        struct pb_field field;
        while (reader_pb_field(&reader, &field)) {
            ck_assert(field.number != 0);
            ck_assert(field.bytes.size <= size);
        }
        ck_assert(reader.bad || reader_left(&reader) == 0);
        ck_assert_uint_eq(reader_left(&reader), 0);
    }
}
END_TEST

START_TEST(test_buf_shrink_gives_back_what_is_not_used)
{
    struct buf buf;
    buf_init(&buf);
    buf_shrink(&buf); /* nothing there yet */
    ck_assert_ptr_null(buf.blob);
    buf_put(&buf, "abc", 3);
    buf_reserve(&buf, 100000);
    buf_shrink(&buf);
    ck_assert_uint_eq(buf.capacity, 3);
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("abc")));
    buf_put(&buf, "def", 3);
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("abcdef")));
    buf_clear(&buf);
    buf_shrink(&buf);
    ck_assert_uint_eq(buf.capacity, 0);
    buf_put(&buf, "g", 1);
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("g")));
    buf_deinit(&buf);
}
END_TEST

START_TEST(test_buf_take_blob_hands_the_bytes_over_without_a_copy)
{
    struct buf buf;
    buf_init(&buf);
    buf_put_slice(&buf, slice_from_string("abc"));
    const uint8_t *place = buf_slice(&buf).data;
    struct blob *blob = buf_take_blob(&buf);
    ck_assert_ptr_eq(blob->data, place);
    ck_assert(slice_equal(blob_slice(blob), slice_from_string("abc")));
    ck_assert(buf.size == 0 && buf.blob == NULL);
    buf_put_u8(&buf, 'x');
    ck_assert(slice_equal(blob_slice(blob), slice_from_string("abc")));
    blob_unref(blob);
    buf_deinit(&buf);
    blob = buf_take_blob(&buf);
    ck_assert_uint_eq(blob->size, 0);
    blob_unref(blob);
}
END_TEST

START_TEST(test_buf_clear_and_cut_keep_the_memory_and_printf_appends)
{
    struct buf buf;
    buf_init(&buf);
    for (int i = 0; i < 100; i++) buf_printf(&buf, "%d,", i);
    ck_assert_uint_eq(buf.size, 10 * 2 + 90 * 3);
    const struct blob *memory = buf.blob;
    buf_clear(&buf);
    ck_assert_uint_eq(buf_slice(&buf).size, 0);
    buf_printf(&buf, "%s", "");
    buf_put(&buf, NULL, 0);
    ck_assert_uint_eq(buf.size, 0);
    buf_printf(&buf, "%s-%d", "a", 7);
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("a-7")));
    buf_cut(&buf, 3);
    buf_cut(&buf, 1);
    buf_put_pb_varint(&buf, 2, 300); /* 0x10 0xac 0x02 */
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("a\x10\xac\x02")));
    ck_assert_ptr_eq(buf.blob, memory);
    buf_deinit(&buf);
    buf_deinit(NULL);
}
END_TEST

START_TEST(test_buf_base64_is_padded_to_whole_groups)
{
    static const char *const wanted[] = {"", "+w==", "+/8=", "+/8A", "+/8AZg=="};
    for (size_t size = 0; size < 5; size++) {
        struct buf buf;
        buf_init(&buf);
        buf_put_base64(&buf, slice_make((const uint8_t *)"\xfb\xff\x00" "f", size));
        ck_assert(slice_equal(buf_slice(&buf), slice_from_string(wanted[size])));
        buf_deinit(&buf);
    }
}
END_TEST

START_TEST(test_slices_compare_by_bytes_then_by_length)
{
    ck_assert_int_lt(slice_compare(slice_from_string("a"), slice_from_string("b")), 0);
    ck_assert_int_lt(slice_compare(slice_from_string("a"), slice_from_string("ab")), 0);
    ck_assert_int_gt(slice_compare(slice_from_string("\xff"), slice_from_string("a")), 0);
    ck_assert_int_eq(slice_compare(slice_empty(), slice_from_string("")), 0);
    ck_assert_int_lt(slice_compare(slice_empty(), slice_from_string("a")), 0);
    ck_assert(slice_equal(slice_from(slice_from_string("abc"), 1), slice_from_string("bc")));
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("buf");
    tcase_add_test(tests, test_buf_fixed_integers_are_little_endian);
    tcase_add_test(tests, test_buf_varints_of_every_length_come_back);
    tcase_add_test(tests, test_reader_varint_beyond_ten_bytes_is_bad);
    tcase_add_test(tests, test_reader_cut_varint_is_bad);
    tcase_add_test(tests, test_reader_past_the_end_is_bad_and_answers_zeros);
    tcase_add_test(tests, test_reader_of_nothing_is_at_its_end);
    tcase_add_test(tests, test_reader_huge_lengths_do_not_wrap);
    tcase_add_test(tests, test_reader_pb_fields_of_every_wire_come_back);
    tcase_add_test(tests, test_reader_pb_groups_number_zero_and_cut_bytes_are_bad);
    tcase_add_test(tests, test_buf_random_sequences_round_trip);
    tcase_add_test(tests, test_reader_pb_survives_random_bytes);
    tcase_add_test(tests, test_buf_shrink_gives_back_what_is_not_used);
    tcase_add_test(tests, test_buf_take_blob_hands_the_bytes_over_without_a_copy);
    tcase_add_test(tests, test_buf_clear_and_cut_keep_the_memory_and_printf_appends);
    tcase_add_test(tests, test_buf_base64_is_padded_to_whole_groups);
    tcase_add_test(tests, test_slices_compare_by_bytes_then_by_length);
    Suite *suite = suite_create("base_buf");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
