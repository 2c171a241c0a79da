/* rpc_inflate: see rpc_inflate.h. */
#include "rpc/rpc_inflate.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/buf.h"

#define STEP_BYTES (64u << 10)        /* room that is made at once */
#define EITHER_HEAD (MAX_WBITS + 32)  /* of gzip or of zlib: inflate looks which */

/* One piece of the message; Z_OK: the next one, please. */
static int inflate_piece(z_stream *stream, grpc_slice piece, size_t bytes_max, struct buf *out)
{
    int result = Z_OK;
    stream->next_in = GRPC_SLICE_START_PTR(piece);
    stream->avail_in = (uInt)GRPC_SLICE_LENGTH(piece);
    do { /* once more where the room was used up, since zlib may hold bytes back for it */
        stream->next_out = buf_extend(out, STEP_BYTES);
        stream->avail_out = STEP_BYTES;
        result = inflate(stream, Z_NO_FLUSH);
        buf_cut(out, out->size - stream->avail_out);
    } while (result == Z_OK && stream->avail_out == 0 && out->size <= bytes_max);
    if (result == Z_BUF_ERROR) result = Z_OK; /* nothing was to be done */
    return result == Z_STREAM_END && stream->avail_in != 0 ? Z_DATA_ERROR : result;
}

static enum err inflate_all(const grpc_slice_buffer *pieces, size_t bytes_max, struct buf *out)
{
    z_stream stream = {.next_in = Z_NULL};
    int result = inflateInit2(&stream, EITHER_HEAD);
    if (result != Z_OK) return ERR_TOO_MANY_REQUESTS; /* no memory */
    size_t count = 0;
    for (; count < pieces->count && result == Z_OK && out->size <= bytes_max; count++) {
        result = inflate_piece(&stream, pieces->slices[count], bytes_max, out);
    }
    (void)inflateEnd(&stream);
    if (out->size > bytes_max) return ERR_MESSAGE_TOO_LARGE;
    return result == Z_STREAM_END && count == pieces->count ? ERR_OK : ERR_MALFORMED;
}

enum err rpc_inflate(grpc_byte_buffer **buffer, size_t bytes_max)
{
    ASSERT(*buffer != NULL && (*buffer)->type == GRPC_BB_RAW);
    if ((*buffer)->data.raw.compression == GRPC_COMPRESS_NONE) return ERR_OK;
    struct buf out;
    buf_init(&out);
    enum err err = inflate_all(&(*buffer)->data.raw.slice_buffer, bytes_max, &out);
    if (err == ERR_OK) {
        struct slice bytes = buf_slice(&out);
        grpc_slice whole = grpc_slice_from_copied_buffer((const char *)bytes.data, bytes.size);
        grpc_byte_buffer_destroy(*buffer);
        *buffer = grpc_raw_byte_buffer_create(&whole, 1);
        grpc_slice_unref(whole);
    }
    buf_deinit(&out);
    return err;
}
