/* txn_reader: see txn_reader.h. */
#include "storage/txn_reader.h"

#include "base/alloc.h"
#include "base/assert.h"

#define OPERATIONS_PER_STEP 16 /* each may look at rows_max rows */
#define FIELD_SUCCEEDED 2
#define FIELD_RESPONSES 3
#define FIELD_HEADER 1
#define FIELD_REVISION 3

struct txn_reader {
    struct mvcc *mvcc;
    struct blob *request;
    struct txn txn;
    struct operation_cursor cursor;
    int64_t revision;     /* 0 = not begun */
    int64_t revision_min; /* the oldest that it reads: what the pin keeps */
    int pin;              /* -1 = none */
    struct range *range;  /* of the operation that is read; NULL = it is being written, or none is */
    struct blob **chunks; /* its rows */
    uint32_t chunk_count, chunk_room, chunk_at;
    size_t held_bytes;
};

struct txn_reader *txn_reader_new(struct slice request, struct mvcc *mvcc)
{
    ASSERT(mvcc != NULL);
    struct txn_reader *reader = ALLOC(struct txn_reader);
    reader->mvcc = mvcc;
    reader->request = blob_copy(request);
    reader->pin = -1;
    txn_init(&reader->txn);
    return reader;
}

static void drop_chunks(struct txn_reader *reader)
{
    for (uint32_t i = reader->chunk_at; i < reader->chunk_count; i++) blob_unref(reader->chunks[i]);
    reader->chunk_count = reader->chunk_at = 0;
    reader->held_bytes = 0;
}

static void forget(struct txn_reader *reader)
{
    range_free(reader->range);
    reader->range = NULL;
    drop_chunks(reader);
    reader->revision = 0;
}

void txn_reader_free(struct txn_reader *reader)
{
    if (reader == NULL) return;
    forget(reader);
    if (reader->pin >= 0) mvcc_unpin(reader->mvcc, reader->pin);
    txn_deinit(&reader->txn);
    blob_unref(reader->request);
    alloc_free(reader->chunks);
    alloc_free(reader);
}

int64_t txn_reader_revision(const struct txn_reader *reader) { return reader->revision; }

size_t txn_reader_held_bytes(const struct txn_reader *reader) { return reader->held_bytes; }

/* --- the walk --- */

static void enter(struct txn_reader *reader)
{
    bool succeeded = buf_slice(&reader->txn.path).data[0] != 0;
    enum operation_field branch = succeeded ? OPERATION_SUCCESS : OPERATION_FAILURE;
    operation_cursor_init(&reader->cursor);
    bool is_entered = operation_cursor_enter(&reader->cursor, blob_slice(reader->request), branch, branch);
    ASSERT(is_entered);
}

/* False at the end. */
static bool next_range(struct txn_reader *reader, struct range_request *out_request)
{
    struct operation operation;
    enum operation_step step = operation_cursor_next(&reader->cursor, &operation);
    if (step == OPERATION_STEP_END) return false;
    ASSERT(step == OPERATION_STEP_OP && operation.kind == OPERATION_RANGE); /* request_check_txn saw it */
    enum err err = range_parse(operation.body, out_request);
    ASSERT(err == ERR_OK);
    return true;
}

static enum err begin(struct txn_reader *reader, const struct mvcc_view *view, struct buf *out_body)
{
    enum err err = txn_decide(&reader->txn, blob_slice(reader->request), view, NULL);
    if (err != ERR_OK) return err;
    reader->revision = reader->revision_min = mvcc_view_revision(view);
    ASSERT(buf_slice(&reader->txn.path).size == 1); /* none is nested */
    struct range_request request;
    enter(reader);
    while (next_range(reader, &request)) {
        if (request.revision > 0 && request.revision < reader->revision_min) reader->revision_min = request.revision;
    }
    enter(reader);
    if (buf_slice(&reader->txn.path).data[0] != 0) buf_put_pb_varint(out_body, FIELD_SUCCEEDED, 1);
    return ERR_OK;
}

/* --- one operation --- */

static void keep_chunk(struct txn_reader *reader, struct buf *rows)
{
    if (rows->size == 0) return;
    if (reader->chunk_count == reader->chunk_room) {
        reader->chunk_room = reader->chunk_room == 0 ? 4 : 2 * reader->chunk_room;
        reader->chunks = alloc_resize(reader->chunks, reader->chunk_room * sizeof *reader->chunks);
    }
    reader->held_bytes += rows->size;
    reader->chunks[reader->chunk_count++] = buf_take_blob(rows);
}

/* Everything of ResponseOp { RangeResponse { header, rows } } that stands before the rows. */
static void write_head(struct txn_reader *reader, struct buf *out_body)
{
    size_t header = 1 + pb_varint_size((uint64_t)reader->revision);
    size_t response = 2 + header + reader->held_bytes;
    buf_put_u8(out_body, (uint8_t)pb_tag(FIELD_RESPONSES, PB_BYTES));
    buf_put_varint(out_body, 1 + pb_varint_size(response) + response);
    buf_put_u8(out_body, (uint8_t)pb_tag(OPERATION_RANGE, PB_BYTES));
    buf_put_varint(out_body, response);
    buf_put_u8(out_body, (uint8_t)pb_tag(FIELD_HEADER, PB_BYTES));
    buf_put_varint(out_body, header);
    buf_put_pb_varint(out_body, FIELD_REVISION, (uint64_t)reader->revision);
}

/* A chunk of rows read. False: failed. */
static bool read_chunk(struct txn_reader *reader, const struct mvcc_view *view, size_t bytes_max, size_t rows_max, struct buf *out_body,
                       bool *out_is_done, enum err *out_err)
{
    struct buf rows;
    buf_init(&rows);
    enum range_progress progress = range_step(reader->range, view, bytes_max, rows_max, &rows, out_err);
    keep_chunk(reader, &rows);
    buf_deinit(&rows);
    if (progress == RANGE_FAILED) return false;
    if (reader->held_bytes > TXN_REPLY_BYTES_MAX) {
        *out_err = ERR_TOO_MANY_REQUESTS;
        return false;
    }
    *out_is_done = progress == RANGE_DONE;
    if (!*out_is_done) return true;
    range_free(reader->range);
    reader->range = NULL;
    write_head(reader, out_body);
    return true;
}

static void write_chunk(struct txn_reader *reader, struct buf *out_body)
{
    struct blob *chunk = reader->chunks[reader->chunk_at++];
    buf_put_slice(out_body, blob_slice(chunk));
    reader->held_bytes -= chunk->size;
    blob_unref(chunk);
    if (reader->chunk_at == reader->chunk_count) reader->chunk_at = reader->chunk_count = 0;
}

/* --- the step --- */

static enum range_progress go_on(struct txn_reader *reader, const struct mvcc_view *view, size_t size_max, size_t rows_max,
                                 struct buf *out_body, enum err *out_err)
{
    struct range_request request;
    uint32_t operations = 0;
    while (out_body->size < size_max && operations < OPERATIONS_PER_STEP) {
        bool is_done = true;
        if (reader->range != NULL) {
            if (!read_chunk(reader, view, size_max - out_body->size, rows_max, out_body, &is_done, out_err)) return RANGE_FAILED;
            if (!is_done) return RANGE_MORE; /* that was a step's work */
            operations++;
        } else if (reader->chunk_at < reader->chunk_count) {
            write_chunk(reader, out_body);
        } else if (next_range(reader, &request)) {
            if (request.revision <= 0) request.revision = reader->revision;
            reader->range = range_new(&request, NULL, TXN_REPLY_BYTES_MAX);
            range_set_kept(reader->range); /* txn_decide checked it, our pin keeps it */
        } else {
            return RANGE_DONE;
        }
    }
    return RANGE_MORE;
}

/* Keeps the state for the steps to come; until now the view did. */
static enum range_progress keep(struct txn_reader *reader, size_t size_before, struct buf *out_body, enum err *out_err)
{
    bool is_compacted = false;
    reader->pin = mvcc_pin(reader->mvcc, reader->revision_min, &is_compacted);
    if (reader->pin >= 0) return RANGE_MORE;
    if (!is_compacted) {
        *out_err = ERR_TOO_MANY_REQUESTS;
        return RANGE_FAILED;
    }
    out_body->size = size_before; /* overtaken by a compaction: decided again on the next view */
    forget(reader);
    return RANGE_MORE;
}

enum range_progress txn_reader_step(struct txn_reader *reader, const struct mvcc_view *view, size_t bytes_max, size_t rows_max,
                                    struct buf *out_body, enum err *out_err)
{
    ASSERT(reader != NULL && view != NULL && bytes_max > 0);
    size_t size_before = out_body->size;
    if (reader->revision == 0) {
        enum err err = begin(reader, view, out_body);
        if (err != ERR_OK) {
            *out_err = err;
            return RANGE_FAILED;
        }
    }
    if (reader->pin >= 0 && mvcc_view_check_pinned(view, reader->revision_min) != ERR_OK) {
        *out_err = ERR_LEADER_CHANGED; /* a leader's snapshot took the store's place: decided anew when it is asked again */
        return RANGE_FAILED;
    }
    enum range_progress progress = go_on(reader, view, size_before + bytes_max, rows_max, out_body, out_err);
    if (progress == RANGE_MORE && reader->pin < 0) return keep(reader, size_before, out_body, out_err);
    return progress;
}
