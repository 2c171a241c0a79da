/* Does a message that came compressed become what was sent, whatever pieces it came in, and does one that is none, or longer than allowed,
 * take neither the server down nor its memory? */
#include <check.h>
#include <stdlib.h>
#include <zlib.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rng.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_inflate.h"

#define GZIP (MAX_WBITS + 16)
#define DEFLATE MAX_WBITS

/* Compressed, in pieces of `piece` bytes. */
static grpc_byte_buffer *compressed(struct slice bytes, int head, size_t piece)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.size};
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, head, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, (uLong)bytes.size);
    uint8_t *out = alloc_new(room);
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t size = room - stream.avail_out;
    ck_assert_int_eq(deflateEnd(&stream), Z_OK);
    grpc_byte_buffer *buffer = grpc_raw_compressed_byte_buffer_create(NULL, 0, GRPC_COMPRESS_GZIP);
    for (size_t at = 0; at < size; at += piece) {
        size_t part = size - at < piece ? size - at : piece;
        grpc_slice_buffer_add_indexed(&buffer->data.raw.slice_buffer, grpc_slice_from_copied_buffer((const char *)out + at, part));
    }
    alloc_free(out);
    return buffer;
}

static struct blob *some_bytes(struct rng *rng, size_t size, uint64_t letters)
{
    struct blob *blob = blob_new(size);
    for (size_t i = 0; i < size; i++) blob->data[i] = (uint8_t)rng_below(rng, letters);
    return blob;
}

START_TEST(test_rpc_inflate_gives_back_what_was_sent_in_any_pieces)
{
    struct rng rng;
    rng_init(&rng, 7);
    static const size_t sizes[] = {0, 1, 1000, 65535, 65536, 65537, 131072, 700000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t kind = 0; kind < 6; kind++) {
            struct blob *sent = some_bytes(&rng, sizes[i], kind % 3 == 0 ? 1 : kind % 3 == 1 ? 4 : 256);
            size_t piece = 1 + rng_below(&rng, kind < 3 ? 40000 : 300);
            grpc_byte_buffer *buffer = compressed(blob_slice(sent), kind % 2 == 0 ? GZIP : DEFLATE, piece);
            ck_assert_int_eq(rpc_inflate(&buffer, sizes[i]), ERR_OK);
            ck_assert_int_eq(buffer->data.raw.compression, GRPC_COMPRESS_NONE);
            ck_assert(slice_equal(rpc_bytes_flatten(&buffer), blob_slice(sent)));
            grpc_byte_buffer_destroy(buffer);
            blob_unref(sent);
        }
    }
}
END_TEST

START_TEST(test_rpc_inflate_leaves_alone_what_is_not_compressed)
{
    grpc_slice plain = grpc_slice_from_static_string("plain and longer than the limit");
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&plain, 1), *before = buffer;
    ck_assert_int_eq(rpc_inflate(&buffer, 4), ERR_OK);
    ck_assert_ptr_eq(buffer, before);
    grpc_byte_buffer_destroy(buffer);
}
END_TEST

START_TEST(test_rpc_inflate_stops_at_the_limit)
{
    struct rng rng;
    rng_init(&rng, 8);
    struct blob *bomb = some_bytes(&rng, 16u << 20, 1);
    static const size_t limits[] = {0, 1, 65535, 65536, 1u << 20, (16u << 20) - 1};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        grpc_byte_buffer *buffer = compressed(blob_slice(bomb), GZIP, 8192);
        ck_assert_int_eq(rpc_inflate(&buffer, limits[i]), ERR_MESSAGE_TOO_LARGE);
        grpc_byte_buffer_destroy(buffer);
    }
    blob_unref(bomb);
}
END_TEST

START_TEST(test_rpc_inflate_refuses_what_is_cut_changed_or_followed_by_more)
{
    struct rng rng;
    rng_init(&rng, 9);
    struct blob *sent = some_bytes(&rng, 5000, 16);
    grpc_byte_buffer *whole = compressed(blob_slice(sent), GZIP, 1 << 20);
    struct blob *bytes = rpc_bytes_copy(whole);
    for (size_t size = 0; size < bytes->size; size += 1 + size / 16) {
        grpc_slice cut = grpc_slice_from_copied_buffer((const char *)bytes->data, size);
        grpc_byte_buffer *buffer = grpc_raw_compressed_byte_buffer_create(&cut, 1, GRPC_COMPRESS_GZIP);
        ck_assert_int_eq(rpc_inflate(&buffer, 1 << 20), ERR_MALFORMED);
        grpc_byte_buffer_destroy(buffer);
        grpc_slice_unref(cut);
    }
    for (uint32_t n = 0; n < 2000; n++) {
        grpc_slice changed = grpc_slice_from_copied_buffer((const char *)bytes->data, bytes->size);
        for (uint64_t k = 1 + rng_below(&rng, 3); k > 0; k--) {
            GRPC_SLICE_START_PTR(changed)[rng_below(&rng, bytes->size)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        }
        grpc_byte_buffer *buffer = grpc_raw_compressed_byte_buffer_create(&changed, 1, GRPC_COMPRESS_GZIP);
        enum err err = rpc_inflate(&buffer, 8192);
        ck_assert(err == ERR_MALFORMED || err == ERR_MESSAGE_TOO_LARGE || slice_equal(rpc_bytes_flatten(&buffer), blob_slice(sent)));
        grpc_byte_buffer_destroy(buffer);
        grpc_slice_unref(changed);
    }
    grpc_slice_buffer_add_indexed(&whole->data.raw.slice_buffer, grpc_slice_from_static_string("more"));
    ck_assert_int_eq(rpc_inflate(&whole, 8192), ERR_MALFORMED);
    grpc_byte_buffer_destroy(whole);
    blob_unref(bytes);
    blob_unref(sent);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("rpc_inflate");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_rpc_inflate_gives_back_what_was_sent_in_any_pieces);
    tcase_add_test(tests, test_rpc_inflate_leaves_alone_what_is_not_compressed);
    tcase_add_test(tests, test_rpc_inflate_stops_at_the_limit);
    tcase_add_test(tests, test_rpc_inflate_refuses_what_is_cut_changed_or_followed_by_more);
    Suite *suite = suite_create("rpc_inflate");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
