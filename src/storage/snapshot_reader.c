/* snapshot_reader: see snapshot_reader.h; bytes: the essay in snapshot_format.c. */
#include "storage/snapshot_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

enum phase { PHASE_OPEN, PHASE_SIZE, PHASE_HEAD, PHASE_BLOCKS, PHASE_CLOSED };

void snapshot_reader_init(struct snapshot_reader *reader, struct fs *fs, const char *path, bool is_blocking)
{
    ASSERT(fs != NULL && path != NULL);
    memset(reader, 0, sizeof *reader);
    reader->io.fs = fs;
    reader->io.is_blocking = is_blocking;
    reader->path = alloc_string(path);
    reader->phase = PHASE_OPEN;
}

void snapshot_reader_set_trailer(struct snapshot_reader *reader, enum snapshot_reader_trailer trailer)
{
    ASSERT(reader->phase == PHASE_OPEN && !reader->io.in_flight && !reader->io.is_done);
    reader->trailer = trailer;
}

static void close_file(struct snapshot_reader *reader)
{
    fs_close(reader->io.fs, reader->file);
    reader->file = NULL;
    reader->phase = PHASE_CLOSED;
}

void snapshot_reader_deinit(struct snapshot_reader *reader)
{
    if (reader->path == NULL) return;
    ASSERT(!reader->io.in_flight);
    close_file(reader);
    sha256_free(reader->sha256);
    alloc_free(reader->buffer);
    alloc_free(reader->path);
    memset(reader, 0, sizeof *reader);
}

/* --- refusals ---------------------------------------------------------------------------------------------------------------- */

/* `at`: place in the file, UINT64_MAX = none. */
static enum snapshot_reader_progress refuse(struct snapshot_reader *reader, enum err err, uint64_t at, const char *reason)
{
    ASSERT(err != ERR_OK && reader->err == ERR_OK);
    reader->err = err;
    const char *word = err == ERR_CORRUPT ? "corrupt: " : "";
    if (at == UINT64_MAX) {
        (void)snprintf(reader->message, sizeof reader->message, "%s: %s%s", reader->path, word, reason);
    } else {
        (void)snprintf(reader->message, sizeof reader->message, "%s: %sat byte %" PRIu64 ": %s", reader->path, word, at, reason);
    }
    close_file(reader);
    return SNAPSHOT_READER_FAILED;
}

void snapshot_reader_refuse(struct snapshot_reader *reader, enum err err, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    (void)refuse(reader, err, UINT64_MAX, reason);
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------- */

static uint64_t place(const struct snapshot_reader *reader) { return reader->offset + reader->used; }

static enum snapshot_reader_progress start(struct snapshot_reader *reader, const struct fs_op *op)
{
    snapshot_io_start(&reader->io, op);
    return SNAPSHOT_READER_AGAIN;
}

/* Reads on, so that the next `size` bytes will be there: they are in the file. */
static enum snapshot_reader_progress read_on(struct snapshot_reader *reader, uint64_t size)
{
    size_t left = reader->filled - reader->used;
    ASSERT(place(reader) + size <= reader->file_bytes && left < size);
    if (reader->used > 0 && left > 0) memmove(reader->buffer, reader->buffer + reader->used, left);
    reader->offset += reader->used;
    reader->used = 0;
    reader->filled = left;
    size_t wanted = size > SNAPSHOT_READER_BYTES ? (size_t)size : SNAPSHOT_READER_BYTES;
    if (reader->capacity < wanted) {
        reader->buffer = alloc_resize(reader->buffer, wanted);
        reader->capacity = wanted;
    }
    uint64_t begin = reader->offset + reader->filled;
    uint64_t room = reader->capacity - reader->filled;
    uint64_t rest = reader->file_bytes - begin;
    struct fs_op op = {.kind = FS_PREAD, .file = reader->file, .offset = begin, .size = room < rest ? room : rest,
                       .memory = reader->buffer + reader->filled};
    return start(reader, &op);
}

static void take_size(struct snapshot_reader *reader, uint64_t size)
{
    bool has_shape = size >= SNAPSHOT_FORMAT_TRAILER_BYTES &&
                     (size - SNAPSHOT_FORMAT_TRAILER_BYTES) % SNAPSHOT_FORMAT_SAVED_BLOCK == 0;
    bool is_looked_at = reader->trailer == SNAPSHOT_READER_TRAILER || reader->trailer == SNAPSHOT_READER_TRAILER_MUST;
    ASSERT(reader->sha256 == NULL);
    reader->file_bytes = size;
    reader->phase = PHASE_HEAD;
    if (has_shape && is_looked_at) reader->sha256 = sha256_new();
}

/* Bytes come in order, each once; the trailer is not part of its own sum. */
static void take_bytes(struct snapshot_reader *reader, const struct fs_op *op)
{
    ASSERT(op->offset == reader->offset + reader->filled);
    reader->filled += (size_t)op->result;
    if (reader->sha256 == NULL) return;
    uint64_t end = reader->file_bytes - SNAPSHOT_FORMAT_TRAILER_BYTES;
    uint64_t rest = op->offset < end ? end - op->offset : 0;
    sha256_add(reader->sha256, slice_make(op->memory, (size_t)(op->result < rest ? op->result : rest)));
}

static enum snapshot_reader_progress complete(struct snapshot_reader *reader)
{
    struct fs_op *op = &reader->io.op;
    if (op->kind == FS_OPEN && op->error == 0) reader->file = op->file;
    if (op->error != 0) {
        char reason[128];
        (void)snprintf(reason, sizeof reason, "cannot be read: %s", strerror(op->error));
        return refuse(reader, ERR_STOPPED, op->kind == FS_PREAD ? op->offset : UINT64_MAX, reason);
    }
    if (op->kind == FS_OPEN) {
        reader->phase = PHASE_SIZE;
    } else if (op->kind == FS_SIZE) {
        take_size(reader, op->result);
    } else {
        if (op->result < op->size) return refuse(reader, ERR_STOPPED, op->offset + op->result, "became shorter while it was read");
        take_bytes(reader, op);
    }
    return SNAPSHOT_READER_AGAIN;
}

/* --- head and blocks --------------------------------------------------------------------------------------------------------- */

static bool has(const struct snapshot_reader *reader, uint64_t size) { return reader->filled - reader->used >= size; }

static enum snapshot_reader_progress take_head(struct snapshot_reader *reader)
{
    if (reader->file_bytes < SNAPSHOT_FORMAT_HEAD) return refuse(reader, ERR_CORRUPT, reader->file_bytes, "cut off inside its head");
    if (!has(reader, SNAPSHOT_FORMAT_HEAD)) return read_on(reader, SNAPSHOT_FORMAT_HEAD);
    bool is_supported = true;
    const char *complaint = snapshot_format_get_head(reader->buffer + reader->used, &reader->head, &is_supported);
    reader->is_unsupported = !is_supported;
    if (!is_supported) {
        char reason[256];
        (void)snprintf(reason, sizeof reason,
                       "written in format %u with incompatible features %" PRIx64 " and checksum kind %u; this program knows format %u, "
                       "features %" PRIx64 " and checksum kind %u: a newer program must open it",
                       reader->head.major, reader->head.features, reader->head.checksum_kind, SNAPSHOT_FORMAT_MAJOR,
                       SNAPSHOT_FORMAT_FEATURES_KNOWN, SNAPSHOT_FORMAT_CHECKSUM_CRC32C);
        return refuse(reader, ERR_STOPPED, UINT64_MAX, reason);
    }
    if (complaint != NULL) return refuse(reader, ERR_CORRUPT, 0, complaint);
    reader->used += SNAPSHOT_FORMAT_HEAD;
    reader->phase = PHASE_BLOCKS;
    return SNAPSHOT_READER_AGAIN;
}

static const char *check_end(struct snapshot_reader *reader, struct slice payload)
{
    struct snapshot_format_end end;
    if (!snapshot_format_get_end(payload, &end)) return "the end block makes no sense";
    if (end.blocks != reader->blocks) return "blocks are missing";
    if (end.file_bytes == reader->file_bytes) return NULL;
    reader->is_saved = reader->trailer != SNAPSHOT_READER_NO_TRAILER && end.file_bytes < reader->file_bytes &&
                       snapshot_format_saved_bytes(end.file_bytes) == reader->file_bytes;
    return reader->is_saved ? NULL : "the file has another size than it says";
}

/* NULL, or what is wrong with the padding and the sum behind the end. */
static const char *check_trailer(struct snapshot_reader *reader, struct slice rest)
{
    uint8_t sum[SHA256_BYTES];
    size_t padding = rest.size - SHA256_BYTES;
    ASSERT(rest.size >= SHA256_BYTES && padding < SNAPSHOT_FORMAT_SAVED_BLOCK);
    for (size_t i = 0; i < padding; i++)
        if (rest.data[i] != 0) return "the file goes on behind its end";
    if (reader->sha256 == NULL) return NULL;
    sha256_finish(reader->sha256, sum);
    return memcmp(sum, rest.data + padding, SHA256_BYTES) == 0 ? NULL : "the hash at the end is not that of the file";
}

/* Behind the end block. */
static enum snapshot_reader_progress take_rest(struct snapshot_reader *reader, uint64_t at)
{
    uint64_t rest = reader->file_bytes - at;
    bool is_trailer = reader->is_saved && rest > 0 && snapshot_format_saved_bytes(at) == reader->file_bytes;
    if (rest > 0 && !is_trailer) return refuse(reader, ERR_CORRUPT, at, "the file goes on behind its end");
    if (rest == 0 && reader->trailer == SNAPSHOT_READER_TRAILER_MUST)
        return refuse(reader, ERR_CORRUPT, at, "the hash is missing that a saved snapshot has at its end");
    if (is_trailer) {
        if (!has(reader, rest)) return read_on(reader, rest);
        const char *complaint = check_trailer(reader, slice_make(reader->buffer + reader->used, (size_t)rest));
        if (complaint != NULL) return refuse(reader, ERR_CORRUPT, at, complaint);
    }
    close_file(reader);
    return SNAPSHOT_READER_END;
}

static enum snapshot_reader_progress take_block(struct snapshot_reader *reader, struct snapshot_format_block *out_block, struct slice *out_payload)
{
    uint64_t at = place(reader);
    uint64_t rest = reader->file_bytes - at;
    if (reader->has_ended) return take_rest(reader, at);
    if (rest < SNAPSHOT_FORMAT_FRAME) return refuse(reader, ERR_CORRUPT, at, "cut off: there is no end block");
    if (!has(reader, SNAPSHOT_FORMAT_FRAME)) return read_on(reader, SNAPSHOT_FORMAT_FRAME);
    struct snapshot_format_block block = snapshot_format_get_frame(reader->buffer + reader->used);
    uint64_t bytes = SNAPSHOT_FORMAT_FRAME + (uint64_t)block.payload_bytes;
    if (block.payload_bytes > SNAPSHOT_FORMAT_PAYLOAD_MAX) return refuse(reader, ERR_CORRUPT, at, "a block of impossible size");
    if (bytes > rest) return refuse(reader, ERR_CORRUPT, at, "cut off inside a block, or its size is damaged");
    if (!has(reader, bytes)) return read_on(reader, bytes);
    const uint8_t *frame = reader->buffer + reader->used;
    if (!snapshot_format_block_is_good(frame, &reader->head, reader->blocks)) return refuse(reader, ERR_CORRUPT, at, "a block is damaged");
    struct slice payload = slice_make(frame + SNAPSHOT_FORMAT_FRAME, block.payload_bytes);
    reader->has_ended = block.section == SNAPSHOT_FORMAT_END;
    const char *complaint = reader->has_ended ? check_end(reader, payload) : NULL;
    if (complaint != NULL) return refuse(reader, ERR_CORRUPT, at, complaint);
    reader->used += (size_t)bytes;
    reader->blocks++;
    *out_block = block;
    *out_payload = payload;
    return SNAPSHOT_READER_BLOCK;
}

enum snapshot_reader_progress snapshot_reader_step(struct snapshot_reader *reader, struct snapshot_format_block *out_block,
                                                   struct slice *out_payload)
{
    if (reader->err != ERR_OK) return SNAPSHOT_READER_FAILED;
    bool is_busy = reader->io.in_flight || reader->io.is_done;
    if (is_busy && !snapshot_io_is_done(&reader->io)) return SNAPSHOT_READER_WAIT;
    if (is_busy) return complete(reader);
    struct fs_op op = {.file = reader->file, .path = reader->path, .flags = FS_READ};
    switch ((enum phase)reader->phase) {
    case PHASE_OPEN: op.kind = FS_OPEN; return start(reader, &op);
    case PHASE_SIZE: op.kind = FS_SIZE; return start(reader, &op);
    case PHASE_HEAD: return take_head(reader);
    case PHASE_BLOCKS: return take_block(reader, out_block, out_payload);
    case PHASE_CLOSED: return SNAPSHOT_READER_END;
    }
    return SNAPSHOT_READER_END;
}
