/* snapshot_rewrite: see snapshot_rewrite.h; bytes: the essay in snapshot_format.c.
 *
 * One walk along the file, section by section. What the sums will be after a bump is known only at the end of the keys: their block has one
 * size whatever they are, and is written again at its place.
 */
#include "storage/snapshot_rewrite.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"

#define WRITE_BYTES (256u << 10)

struct rewrite {
    const struct snapshot_rewrite_options *options;
    struct snapshot_reader reader;
    struct fs_file *file;
    int error;                     /* of a write; the first one */
    struct snapshot_format_head head;
    struct buf out;
    uint64_t offset;               /* of `out` in the file */
    uint32_t blocks;
    bool has_head;
    struct mvcc_export_image sums;
    uint64_t sums_offset;
    uint32_t sums_number;
    struct snapshot_format_end end;
    /* With a bump: */
    struct mvcc_export_version newest; /* of the key that is being read; key and value stand in the buffers */
    bool has_newest;
    struct buf key;
    struct buf value;
    size_t block_begin;
    bool is_in_block;
};

static bool is_bump(const struct rewrite *rewrite) { return rewrite->options->bump_revision > 0 && !MUTANT(P37B); }

/* --- bytes out --------------------------------------------------------------------------------------------------------------- */

static void write_at(struct rewrite *rewrite, uint64_t offset, struct slice bytes)
{
    struct fs_op op = {.kind = FS_PWRITE, .file = rewrite->file, .offset = offset, .data = bytes.data, .size = bytes.size};
    if (rewrite->error == 0) rewrite->error = fs_run(rewrite->options->fs, &op);
}

static void flush(struct rewrite *rewrite)
{
    ASSERT(!rewrite->is_in_block);
    write_at(rewrite, rewrite->offset, buf_slice(&rewrite->out));
    rewrite->offset += rewrite->out.size;
    buf_clear(&rewrite->out);
}

static void end_block(struct rewrite *rewrite, size_t begin, uint16_t section, uint16_t flags)
{
    snapshot_format_block_end(&rewrite->out, begin, &rewrite->head, section, flags, rewrite->blocks++);
    rewrite->is_in_block = false;
    if (rewrite->out.size >= WRITE_BYTES) flush(rewrite);
}

static void put_block(struct rewrite *rewrite, uint16_t section, uint16_t flags, struct slice payload)
{
    size_t begin = rewrite->out.size;
    ASSERT(!rewrite->is_in_block);
    snapshot_format_block_begin(&rewrite->out);
    buf_put_slice(&rewrite->out, payload);
    end_block(rewrite, begin, section, flags);
}

/* --- head and small sections ------------------------------------------------------------------------------------------------- */

/* False: the revisions would leave the room that they have. */
static bool put_head(struct rewrite *rewrite)
{
    const struct snapshot_rewrite_options *options = rewrite->options;
    rewrite->head = rewrite->reader.head;
    rewrite->head.cluster_id = options->cluster->id;
    rewrite->head.member_id = options->member_id;
    rewrite->head.term = options->term;
    if (is_bump(rewrite)) {
        if (options->bump_revision >= SNAPSHOT_REWRITE_REVISION_MAX - rewrite->head.revision) return false;
        rewrite->head.revision += options->bump_revision;
        rewrite->head.compact_revision = rewrite->head.revision;
        rewrite->head.history_count = 0;
    }
    snapshot_format_put_head(&rewrite->out, &rewrite->head);
    rewrite->has_head = true;
    rewrite->sums.revision = rewrite->head.revision;
    return true;
}

static void put_cluster(struct rewrite *rewrite, uint16_t flags)
{
    struct buf payload;
    buf_init(&payload);
    snapshot_format_put_cluster(&payload, rewrite->options->cluster);
    put_block(rewrite, SNAPSHOT_FORMAT_CLUSTER, flags, buf_slice(&payload));
    buf_deinit(&payload);
}

/* What is to come of a bumped state is not known yet: it begins with nothing. */
static void put_sums(struct rewrite *rewrite, uint16_t flags, struct slice payload)
{
    rewrite->sums_offset = rewrite->offset + rewrite->out.size;
    rewrite->sums_number = rewrite->blocks;
    put_block(rewrite, SNAPSHOT_FORMAT_SUMS, flags, payload);
}

static void put_sums_again(struct rewrite *rewrite)
{
    struct buf block;
    buf_init(&block);
    snapshot_format_block_begin(&block);
    snapshot_format_put_sums(&block, &rewrite->sums);
    snapshot_format_block_end(&block, 0, &rewrite->head, SNAPSHOT_FORMAT_SUMS, SNAPSHOT_FORMAT_INCOMPATIBLE, rewrite->sums_number);
    write_at(rewrite, rewrite->sums_offset, buf_slice(&block));
    buf_deinit(&block);
}

/* --- keys after a bump --------------------------------------------------------------------------------------------------------- */

static void put_newest(struct rewrite *rewrite)
{
    struct mvcc_export_version *version = &rewrite->newest;
    bool is_kept = rewrite->has_newest && !version->is_delete;
    rewrite->has_newest = false;
    if (!is_kept) return;
    version->is_first = true;
    version->is_told = false;
    version->kv.key = buf_slice(&rewrite->key);
    version->kv.value = buf_slice(&rewrite->value);
    if (!rewrite->is_in_block) {
        rewrite->block_begin = rewrite->out.size;
        snapshot_format_block_begin(&rewrite->out);
        rewrite->is_in_block = true;
    }
    snapshot_format_put_version(&rewrite->out, version);
    const struct mvcc_record_options record = {.key = version->kv.key,
                                               .value = version->kv.value,
                                               .revision = version->kv.mod_revision,
                                               .create_revision = version->kv.create_revision,
                                               .version = version->kv.version,
                                               .lease = version->kv.lease};
    rewrite->sums.hash += mvcc_record_hash(&record);
    rewrite->end.keys++;
    rewrite->end.versions++;
    size_t bytes = rewrite->out.size - rewrite->block_begin;
    if (bytes >= SNAPSHOT_FORMAT_BLOCK_BYTES) end_block(rewrite, rewrite->block_begin, SNAPSHOT_FORMAT_KEYS, SNAPSHOT_FORMAT_INCOMPATIBLE);
}

/* NULL, or what is wrong. */
static const char *take_versions(struct rewrite *rewrite, struct slice payload)
{
    struct reader reader = reader_make(payload);
    struct mvcc_export_version version;
    while (snapshot_format_get_version(&reader, &version)) {
        if (version.is_first) {
            put_newest(rewrite);
            buf_clear(&rewrite->key);
            buf_put_slice(&rewrite->key, version.kv.key);
        }
        buf_clear(&rewrite->value);
        buf_put_slice(&rewrite->value, version.kv.value);
        rewrite->newest = version;
        rewrite->has_newest = true;
    }
    return reader.bad ? "a version makes no sense" : NULL;
}

/* --- the walk ---------------------------------------------------------------------------------------------------------------- */

static void put_end(struct rewrite *rewrite, struct slice payload)
{
    struct buf end;
    if (is_bump(rewrite)) {
        put_newest(rewrite);
        if (rewrite->is_in_block) end_block(rewrite, rewrite->block_begin, SNAPSHOT_FORMAT_KEYS, SNAPSHOT_FORMAT_INCOMPATIBLE);
    } else {
        bool is_good = snapshot_format_get_end(payload, &rewrite->end);
        ASSERT(is_good); /* the reader has seen it */
    }
    rewrite->end.blocks = rewrite->blocks;
    rewrite->end.file_bytes = rewrite->offset + rewrite->out.size + SNAPSHOT_FORMAT_FRAME + SNAPSHOT_FORMAT_END_BYTES;
    buf_init(&end);
    snapshot_format_put_end(&end, &rewrite->end);
    put_block(rewrite, SNAPSHOT_FORMAT_END, SNAPSHOT_FORMAT_INCOMPATIBLE, buf_slice(&end));
    buf_deinit(&end);
    flush(rewrite);
    ASSERT(rewrite->offset == rewrite->end.file_bytes);
    if (is_bump(rewrite)) put_sums_again(rewrite);
}

/* NULL, or what is wrong. */
static const char *take_block(struct rewrite *rewrite, const struct snapshot_format_block *block, struct slice payload)
{
    if (!rewrite->has_head && !put_head(rewrite)) return "its revision cannot be raised so far";
    switch (block->section) {
    case SNAPSHOT_FORMAT_CONF: put_block(rewrite, block->section, block->flags, rewrite->options->conf); break;
    case SNAPSHOT_FORMAT_CLUSTER: put_cluster(rewrite, block->flags); break;
    case SNAPSHOT_FORMAT_SUMS: put_sums(rewrite, block->flags, payload); break;
    case SNAPSHOT_FORMAT_ALARMS: break;
    case SNAPSHOT_FORMAT_KEYS:
        if (is_bump(rewrite)) return take_versions(rewrite, payload);
        put_block(rewrite, block->section, block->flags, payload);
        break;
    case SNAPSHOT_FORMAT_END: put_end(rewrite, payload); break;
    default: put_block(rewrite, block->section, block->flags, payload);
    }
    return NULL;
}

static enum err walk(struct rewrite *rewrite)
{
    const struct snapshot_rewrite_options *options = rewrite->options;
    struct snapshot_reader *reader = &rewrite->reader;
    struct snapshot_format_block block;
    struct slice payload;
    enum snapshot_reader_progress progress = SNAPSHOT_READER_AGAIN;
    while (progress != SNAPSHOT_READER_END && rewrite->error == 0) {
        progress = snapshot_reader_step(reader, &block, &payload);
        if (progress == SNAPSHOT_READER_FAILED) return reader->err;
        if (progress != SNAPSHOT_READER_BLOCK) continue;
        const char *complaint = take_block(rewrite, &block, payload);
        if (complaint != NULL) snapshot_reader_refuse(reader, rewrite->has_head ? ERR_CORRUPT : ERR_STOPPED, "%s", complaint);
        if (options->progress_fn != NULL) options->progress_fn(options->context, reader->offset + reader->used, reader->file_bytes);
    }
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = rewrite->file};
    if (rewrite->error == 0) rewrite->error = fs_run(options->fs, &sync);
    return rewrite->error == 0 ? ERR_OK : ERR_STOPPED;
}

enum err snapshot_rewrite(const struct snapshot_rewrite_options *options, struct snapshot_format_head *out_head, char *out_message,
                          size_t message_size)
{
    ASSERT(options->cluster != NULL && options->conf.size > 0 && options->term > 0 && options->bump_revision >= 0);
    ASSERT(message_size > 0);
    struct rewrite rewrite = {.options = options};
    buf_init(&rewrite.out);
    buf_init(&rewrite.key);
    buf_init(&rewrite.value);
    snapshot_reader_init(&rewrite.reader, options->fs, options->from, true);
    snapshot_reader_set_trailer(&rewrite.reader, options->trailer);
    rewrite.error = fs_open(options->fs, options->to, FS_WRITE | FS_CREATE | FS_TRUNC, &rewrite.file);
    enum err err = rewrite.error == 0 ? walk(&rewrite) : ERR_STOPPED;
    if (err != ERR_OK && rewrite.error == 0) (void)snprintf(out_message, message_size, "%s", rewrite.reader.message);
    if (rewrite.error != 0) (void)snprintf(out_message, message_size, "%s: cannot be written: %s", options->to, strerror(rewrite.error));
    if (err == ERR_OK) *out_head = rewrite.head;
    fs_close(options->fs, rewrite.file);
    snapshot_reader_deinit(&rewrite.reader);
    buf_deinit(&rewrite.out);
    buf_deinit(&rewrite.key);
    buf_deinit(&rewrite.value);
    return err;
}
