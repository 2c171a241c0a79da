/* wal_reader: iteration over the log's intact batches. Layout and meaning: the essay in wal_format.c. */
#include "storage/wal_reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"

void wal_reader_init(struct wal_reader *reader, struct fs *fs, const char *directory)
{
    ASSERT(fs != NULL);
    ASSERT(directory != NULL);
    *reader = (struct wal_reader){.fs = fs, .directory = alloc_string(directory)};
}

static void reader_close(struct wal_reader *reader)
{
    fs_close(reader->fs, reader->file);
    reader->file = NULL;
    alloc_free(reader->path);
    reader->path = NULL;
    reader->window_bytes = 0;
    reader->head_ok = false;
}

void wal_reader_deinit(struct wal_reader *reader)
{
    if (reader == NULL || reader->fs == NULL) return;
    reader_close(reader);
    alloc_free(reader->segments);
    alloc_free(reader->directory);
    alloc_free(reader->window);
    *reader = (struct wal_reader){0};
}

static void reader_take_name(void *owner, const char *name)
{
    struct wal_reader *reader = owner;
    struct wal_reader_segment segment = {.bytes = 0};
    size_t length = strlen(name);
    size_t suffix = strlen(WAL_FORMAT_BROKEN_SUFFIX);
    if (length > suffix && strcmp(name + length - suffix, WAL_FORMAT_BROKEN_SUFFIX) == 0) reader->broken_count++;
    if (!wal_format_parse_name(name, &segment.sequence, &segment.first_index)) return;
    if (reader->segment_count == reader->segment_capacity) {
        reader->segment_capacity = reader->segment_capacity == 0 ? 16 : reader->segment_capacity * 2;
        reader->segments = alloc_resize(reader->segments, reader->segment_capacity * sizeof *reader->segments);
    }
    reader->segments[reader->segment_count++] = segment;
}

int wal_reader_list(struct wal_reader *reader)
{
    ASSERT(reader->fs != NULL);
    reader_close(reader);
    reader->segment_count = 0;
    reader->broken_count = 0;
    reader->at = 0;
    struct fs_op op = {.kind = FS_LIST, .path = reader->directory, .list_fn = reader_take_name, .owner = reader};
    int error = fs_run(reader->fs, &op);
    wal_reader_rewind(reader, 0);
    return error;
}

size_t wal_reader_gap(const struct wal_reader *reader, size_t at)
{
    ASSERT(at <= reader->segment_count);
    for (at = at == 0 ? 1 : at; at < reader->segment_count; at++) {
        if (reader->segments[at].sequence != reader->segments[at - 1].sequence + 1) return at;
    }
    return reader->segment_count;
}

void wal_reader_rewind(struct wal_reader *reader, size_t at)
{
    ASSERT(at <= reader->segment_count);
    reader_close(reader);
    reader->at = at;
    reader->offset = 0;
    reader->next_batch = 0;
    reader->stop_batch = 0;
}

bool wal_reader_seek(struct wal_reader *reader, const struct wal_reader_position *position)
{
    ASSERT(position->batch > 0);
    size_t at = 0;
    while (at < reader->segment_count && reader->segments[at].sequence != position->sequence) at++;
    if (at == reader->segment_count) return false;
    wal_reader_rewind(reader, at);
    reader->offset = position->offset;
    reader->next_batch = position->batch;
    return true;
}

/* Makes `size` bytes at `offset` readable in the window. False beyond the end of the file, or with `error`. */
static bool reader_load(struct wal_reader *reader, uint64_t offset, size_t size)
{
    ASSERT(reader->file != NULL);
    reader->error = 0;
    if (size > reader->file_bytes || offset > reader->file_bytes - size) return false;
    if (offset >= reader->window_offset && offset + size <= reader->window_offset + reader->window_bytes) return true;
    size_t wanted = reader->file_bytes < WAL_READER_WINDOW ? (size_t)reader->file_bytes : WAL_READER_WINDOW;
    if (wanted < size) wanted = size;
    if (reader->window_capacity < wanted) {
        alloc_free(reader->window);
        reader->window = alloc_new(wanted);
        reader->window_capacity = wanted;
    }
    reader->window_bytes = 0;
    struct fs_op op = {.kind = FS_PREAD, .file = reader->file, .offset = offset, .size = wanted, .memory = reader->window};
    reader->error = fs_run(reader->fs, &op);
    if (reader->error != 0) return false;
    ASSERT(op.result <= wanted);
    uint64_t left = reader->file_bytes - offset;
    /* The file says that there is more: this is not its end, and must not be taken for the end of the log. */
    if (op.result < wanted && op.result < left && !MUTANT(D28)) reader->error = EIO;
    if (reader->error != 0) return false;
    reader->window_offset = offset;
    reader->window_bytes = (size_t)op.result;
    return reader->window_bytes >= size;
}

static uint8_t *reader_at(struct wal_reader *reader, uint64_t offset)
{
    ASSERT(offset >= reader->window_offset && offset < reader->window_offset + reader->window_bytes);
    return reader->window + (offset - reader->window_offset);
}

const uint8_t *wal_reader_block(struct wal_reader *reader, uint64_t offset)
{
    ASSERT(offset % WAL_FORMAT_BLOCK == 0);
    return reader_load(reader, offset, WAL_FORMAT_BLOCK) ? reader_at(reader, offset) : NULL;
}

char *wal_reader_path(const struct wal_reader *reader, size_t at)
{
    ASSERT(at < reader->segment_count);
    char name[WAL_FORMAT_NAME_SIZE];
    wal_format_name(reader->segments[at].sequence, reader->segments[at].first_index, name);
    size_t size = strlen(reader->directory) + 1 + sizeof name;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s", reader->directory, name);
    return path;
}

int wal_reader_head(struct wal_reader *reader, size_t at)
{
    ASSERT(at < reader->segment_count);
    struct wal_reader_segment *segment = &reader->segments[at];
    uint8_t block[WAL_FORMAT_BLOCK] = {0};
    struct fs_file *file = NULL;
    char *path = wal_reader_path(reader, at);
    int error = fs_open(reader->fs, path, FS_READ, &file);
    struct fs_op size = {.kind = FS_SIZE, .file = file};
    if (error == 0) error = fs_run(reader->fs, &size);
    struct fs_op read = {.kind = FS_PREAD, .file = file, .offset = 0, .size = sizeof block, .memory = block};
    if (error == 0) error = fs_run(reader->fs, &read);
    fs_close(reader->fs, file);
    alloc_free(path);
    if (error != 0) return error;
    struct wal_format_stamp stamp;
    struct wal_format_head head;
    segment->bytes = size.result;
    if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD || stamp.block != 0) return 0;
    segment->first_batch = stamp.batch;
    if (!wal_format_head_decode(block, &head) || !wal_format_head_is_supported(&head)) return 0;
    segment->is_reset = wal_format_is_reset(&head) && head.sequence == segment->sequence;
    return 0;
}

/* Where segments[at] stops: at the first batch of segments[at + 1]; 0 if there is none. */
static int reader_stop(struct wal_reader *reader, uint64_t *out_batch)
{
    *out_batch = 0;
    if (reader->at + 1 >= reader->segment_count) return 0;
    const struct wal_reader_segment *next = &reader->segments[reader->at + 1];
    int error = next->first_batch == 0 ? wal_reader_head(reader, reader->at + 1) : 0;
    *out_batch = next->first_batch;
    return error;
}

static int reader_open(struct wal_reader *reader)
{
    ASSERT(reader->file == NULL);
    ASSERT(reader->at < reader->segment_count);
    reader->path = wal_reader_path(reader, reader->at);
    reader->window_bytes = 0;
    int error = fs_open(reader->fs, reader->path, FS_READ, &reader->file);
    if (error != 0) return error;
    struct fs_op op = {.kind = FS_SIZE, .file = reader->file};
    error = fs_run(reader->fs, &op);
    if (error != 0) return error;
    reader->file_bytes = op.result - op.result % WAL_FORMAT_BLOCK;
    error = reader_stop(reader, &reader->stop_batch);
    if (error != 0) return error;

    const uint8_t *block = wal_reader_block(reader, 0);
    if (block == NULL) return reader->error;
    reader->head_ok = wal_format_classify(block, &reader->head_stamp) == WAL_FORMAT_GOOD && reader->head_stamp.block == 0 &&
                      wal_format_head_decode(block, &reader->head);
    if (reader->next_batch == 0 && reader->head_ok) reader->next_batch = reader->head_stamp.batch;
    return 0;
}

bool wal_reader_skip(struct wal_reader *reader)
{
    ASSERT(reader->at < reader->segment_count);
    reader->error = 0;
    if (reader->file == NULL || !reader->head_ok) return false;
    uint64_t offset = reader->offset + WAL_FORMAT_BLOCK;
    for (; offset + WAL_FORMAT_BLOCK <= reader->file_bytes; offset += WAL_FORMAT_BLOCK) {
        const uint8_t *block = wal_reader_block(reader, offset);
        if (block == NULL) return false;
        struct wal_format_stamp stamp;
        if (wal_format_classify(block, &stamp) != WAL_FORMAT_GOOD || stamp.block != 0) continue;
        if (stamp.segment_id != reader->head_stamp.segment_id || stamp.batch <= reader->next_batch) continue;
        if (reader->stop_batch != 0 && stamp.batch >= reader->stop_batch) return false;
        reader->offset = offset;
        reader->next_batch = stamp.batch;
        return true;
    }
    return false;
}

/* The batch `next_batch` at `offset`, if it is there and all its blocks are intact. */
static enum wal_reader_verdict reader_batch(struct wal_reader *reader, struct wal_format_batch *out_batch)
{
    if (!reader->head_ok || !wal_format_head_is_supported(&reader->head)) return WAL_READER_END;
    const uint8_t *first = wal_reader_block(reader, reader->offset);
    if (first == NULL) return reader->error != 0 ? WAL_READER_FAILED : WAL_READER_END;
    struct wal_format_stamp stamp;
    if (wal_format_classify(first, &stamp) != WAL_FORMAT_GOOD) return WAL_READER_END;
    if (stamp.segment_id != reader->head_stamp.segment_id && !MUTANT(P22)) return WAL_READER_END;
    if (stamp.batch != reader->next_batch) return WAL_READER_END;
    if (stamp.block != 0) return WAL_READER_END;

    size_t size = (size_t)stamp.blocks * WAL_FORMAT_BLOCK;
    if (!reader_load(reader, reader->offset, size)) return reader->error != 0 ? WAL_READER_FAILED : WAL_READER_END;
    uint8_t *blocks = reader_at(reader, reader->offset);
    for (uint32_t i = 1; i < stamp.blocks && !MUTANT(P20); i++) {
        struct wal_format_stamp other;
        if (wal_format_classify(blocks + (size_t)i * WAL_FORMAT_BLOCK, &other) != WAL_FORMAT_GOOD) return WAL_READER_END;
        bool is_ours = other.segment_id == stamp.segment_id && other.batch == stamp.batch && other.block == i;
        if (!is_ours || other.blocks != stamp.blocks) return WAL_READER_END;
    }
    if (!wal_format_batch_decode(blocks, stamp.blocks, reader->offset == 0, out_batch)) {
        reader->window_bytes = 0; /* decoding works in place */
        return WAL_READER_END;
    }
    reader->last = (struct wal_reader_position){
        .sequence = reader->segments[reader->at].sequence, .offset = reader->offset, .batch = stamp.batch};
    reader->offset += size;
    reader->next_batch++;
    return WAL_READER_BATCH;
}

enum wal_reader_verdict wal_reader_next(struct wal_reader *reader, struct wal_format_batch *out_batch)
{
    ASSERT(reader->at <= reader->segment_count);
    while (reader->at < reader->segment_count) {
        if (reader->file == NULL) {
            reader->error = reader_open(reader);
            if (reader->error != 0) return WAL_READER_FAILED;
        }
        if (reader->stop_batch == 0 || reader->next_batch != reader->stop_batch) return reader_batch(reader, out_batch);
        uint64_t next_batch = reader->next_batch;
        wal_reader_rewind(reader, reader->at + 1);
        reader->next_batch = next_batch;
    }
    return WAL_READER_END;
}
