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
        reader->file_bytes = op->result;
        reader->phase = PHASE_HEAD;
    } else {
        if (op->result < op->size) return refuse(reader, ERR_STOPPED, op->offset + op->result, "became shorter while it was read");
        reader->filled += (size_t)op->result;
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

static const char *check_end(const struct snapshot_reader *reader, struct slice payload)
{
    struct snapshot_format_end end;
    if (!snapshot_format_get_end(payload, &end)) return "the end block makes no sense";
    if (end.blocks != reader->blocks) return "blocks are missing";
    if (end.file_bytes != reader->file_bytes) return "the file has another size than it says";
    return NULL;
}

static enum snapshot_reader_progress take_block(struct snapshot_reader *reader, struct snapshot_format_block *out_block, struct slice *out_payload)
{
    uint64_t at = place(reader);
    uint64_t rest = reader->file_bytes - at;
    if (reader->has_ended) {
        if (rest > 0) return refuse(reader, ERR_CORRUPT, at, "the file goes on behind its end");
        close_file(reader);
        return SNAPSHOT_READER_END;
    }
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
