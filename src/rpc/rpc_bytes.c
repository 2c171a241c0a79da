/* rpc_bytes: see rpc_bytes.h. */
#include "rpc/rpc_bytes.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/slice_buffer.h>

#include "base/assert.h"

static void drop_blob(void *blob) { blob_unref(blob); }

static grpc_slice reference_blob(struct blob *blob)
{
    ASSERT(blob->size >= RPC_BYTES_REFERENCE_MIN);
    return grpc_slice_new_with_user_data(blob->data, blob->size, drop_blob, blob);
}

/* Packs head and pieces, which are `size` bytes together, and drops the pieces. */
static grpc_slice pack(struct slice head, struct blob **pieces, size_t piece_count, size_t size)
{
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    if (head.size != 0) memcpy(at, head.data, head.size);
    at += head.size;
    for (size_t i = 0; i < piece_count; i++) {
        memcpy(at, pieces[i]->data, pieces[i]->size);
        at += pieces[i]->size;
        blob_unref(pieces[i]);
    }
    ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

void rpc_bytes_put(grpc_byte_buffer *buffer, struct slice head, struct blob **pieces, size_t piece_count)
{
    ASSERT(pieces != NULL || piece_count == 0);
    size_t first = 0; /* of the run of small pieces that is being looked at */
    size_t run_bytes = head.size;
    for (size_t i = 0; i <= piece_count; i++) {
        bool is_small = i < piece_count && pieces[i]->size < RPC_BYTES_REFERENCE_MIN;
        if (is_small) {
            run_bytes += pieces[i]->size;
            continue;
        }
        grpc_slice packed = pack(head, pieces + first, i - first, run_bytes);
        if (run_bytes != 0) grpc_slice_buffer_add(&buffer->data.raw.slice_buffer, packed);
        if (i < piece_count) grpc_slice_buffer_add(&buffer->data.raw.slice_buffer, reference_blob(pieces[i]));
        head = slice_empty();
        first = i + 1;
        run_bytes = 0;
    }
}

grpc_byte_buffer *rpc_bytes_make(struct slice head, struct blob **pieces, size_t piece_count)
{
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(NULL, 0);
    ASSERT(buffer != NULL);
    rpc_bytes_put(buffer, head, pieces, piece_count);
    return buffer;
}

void rpc_bytes_clear(grpc_byte_buffer *buffer)
{
    ASSERT(buffer->type == GRPC_BB_RAW);
    grpc_slice_buffer_reset_and_unref(&buffer->data.raw.slice_buffer);
}

struct slice rpc_bytes_flatten(grpc_byte_buffer **buffer)
{
    ASSERT(*buffer != NULL && (*buffer)->type == GRPC_BB_RAW);
    if ((*buffer)->data.raw.slice_buffer.count == 0) return slice_empty();
    if ((*buffer)->data.raw.slice_buffer.count != 1) {
        grpc_byte_buffer_reader reader;
        int is_readable = grpc_byte_buffer_reader_init(&reader, *buffer);
        ASSERT(is_readable);
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        grpc_byte_buffer_reader_destroy(&reader);
        grpc_byte_buffer_destroy(*buffer);
        *buffer = grpc_raw_byte_buffer_create(&all, 1);
        grpc_slice_unref(all);
    }
    grpc_slice *slice = &(*buffer)->data.raw.slice_buffer.slices[0];
    return slice_make(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
}

struct blob *rpc_bytes_copy(grpc_byte_buffer *buffer)
{
    ASSERT(buffer != NULL && buffer->type == GRPC_BB_RAW);
    grpc_slice_buffer *from = &buffer->data.raw.slice_buffer;
    struct blob *blob = blob_new(grpc_byte_buffer_length(buffer));
    uint8_t *at = blob->data;
    for (size_t i = 0; i < from->count; i++) {
        size_t size = GRPC_SLICE_LENGTH(from->slices[i]);
        if (size != 0) memcpy(at, GRPC_SLICE_START_PTR(from->slices[i]), size);
        at += size;
    }
    ASSERT(at == blob->data + blob->size);
    return blob;
}
