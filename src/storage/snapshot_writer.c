/* snapshot_writer: see snapshot_writer.h; bytes and order of syncs: the essay in snapshot_format.c.
 *
 *   OPEN ──► WALK ⇄ (write, and a sync every few MiB) ──► SYNC ──► CLOSE ──► RENAME ──► SYNC_DIR ──► done
 *              │ any failure
 *              └──► DROP_FILE ──► DROP_NAME ──► failed
 *
 * The syncs on the way keep the last one short: the log's own sync waits for the same disk. The pin goes as soon as the walk has ended.
 */
#include "storage/snapshot_writer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/clock.h"
#include "storage/snapshot_format.h"
#include "storage/snapshot_io.h"

#define WALK_BUDGET 512               /* records looked at per step */
#define SYNC_EVERY_BYTES (UINT64_C(1) << 20) /* a sync of the log that comes meanwhile waits for no more than these */
#define AHEAD_OF_LOG 4                /* times as many bytes as the log got meanwhile, whatever the rate */
#define CATCH_UP_NS (100 * NS_PER_MS) /* of what a sync, or others at the processor, took from the rate */

enum phase { PHASE_OPEN, PHASE_WALK, PHASE_FLUSH, PHASE_SYNC, PHASE_CLOSE, PHASE_RENAME, PHASE_SYNC_DIR, PHASE_DROP_FILE, PHASE_DROP_NAME };
struct snapshot_writer {
    struct snapshot_io io;
    struct state_machine_image *image;
    struct mvcc_export *export;
    struct snapshot_format_head head;
    char *directory;
    char *path;
    char *tmp_path;
    uint64_t rate_bytes;
    bool unsafe_no_fsync;
    bool is_cancelled;
    bool is_named;         /* renamed: its bytes are durable, its name may not be */
    bool is_left;          /* it failed, and its file could not be removed */
    bool is_walked;        /* the end block is in `out` or written */
    enum phase phase;
    enum snapshot_writer_state state;
    enum err err;
    char message[512];
    struct fs_file *file;
    struct buf out;        /* what the next write, or the one in flight, takes along */
    size_t block_begin;    /* in `out` */
    size_t leases_left;
    uint32_t lease_cursor;
    bool is_in_block;
    uint32_t blocks;
    uint64_t offset;       /* of `out` in the file */
    uint64_t unsynced;
    uint64_t next_ns;      /* not before, unless it is behind: */
    uint64_t owed;         /* bytes that are due whatever the rate */
    uint64_t told;
    struct snapshot_writer_stats stats;
};

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static char *join(const char *directory, const char *name, const char *suffix)
{
    size_t size = strlen(directory) + 1 + strlen(name) + strlen(suffix) + 1;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s%s", directory, name, suffix);
    return path;
}

struct snapshot_writer *snapshot_writer_new(const struct snapshot_writer_options *options, struct state_machine_image *image)
{
    ASSERT(options->fs != NULL && options->directory != NULL && image->keys.pin >= 0);
    char name[SNAPSHOT_FORMAT_NAME_SIZE];
    struct snapshot_writer *writer = ALLOC(struct snapshot_writer);
    snapshot_format_name(image->index, image->term, name);
    writer->io.fs = options->fs;
    writer->io.failed_syncs = options->failed_syncs;
    writer->image = image;
    writer->leases_left = image->leases == NULL ? 0 : lease_image_count(image->leases);
    writer->export = mvcc_export_new(&image->keys);
    writer->head = (struct snapshot_format_head){.major = SNAPSHOT_FORMAT_MAJOR,
                                                 .minor = SNAPSHOT_FORMAT_MINOR,
                                                 .checksum_kind = SNAPSHOT_FORMAT_CHECKSUM_CRC32C,
                                                 .cluster_id = image->cluster->id,
                                                 .member_id = options->member_id,
                                                 .index = image->index,
                                                 .term = image->term,
                                                 .revision = image->keys.revision,
                                                 .compact_revision = image->keys.compact_revision,
                                                 .history_count = image->keys.history_count,
                                                 .live_keys = image->keys.live_keys,
                                                 .live_bytes = image->keys.live_bytes};
    writer->directory = alloc_string(options->directory);
    writer->path = join(options->directory, name, "");
    writer->tmp_path = join(options->directory, name, SNAPSHOT_FORMAT_TMP_SUFFIX);
    writer->rate_bytes = options->rate_bytes;
    writer->unsafe_no_fsync = options->unsafe_no_fsync;
    buf_init(&writer->out);
    return writer;
}

void snapshot_writer_free(struct snapshot_writer *writer)
{
    if (writer == NULL) return;
    fs_close(writer->io.fs, snapshot_io_abandon(&writer->io, writer->file));
    mvcc_export_free(writer->export);
    state_machine_image_free(writer->image);
    buf_deinit(&writer->out);
    alloc_free(writer->directory);
    alloc_free(writer->path);
    alloc_free(writer->tmp_path);
    alloc_free(writer);
}

/* --- failing ----------------------------------------------------------------------------------------------------------------- */

static void fail(struct snapshot_writer *writer, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct snapshot_writer *writer, enum err err, const char *format, ...)
{
    ASSERT(err != ERR_OK && writer->err == ERR_OK);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(writer->message, sizeof writer->message, format, arguments);
    va_end(arguments);
    writer->err = err;
    writer->phase = writer->file != NULL ? PHASE_DROP_FILE : PHASE_DROP_NAME;
    state_machine_image_unpin(writer->image);
}

static const char *doing(enum phase phase)
{
    switch (phase) {
    case PHASE_OPEN: return "making a snapshot";
    case PHASE_WALK: return "writing a snapshot";
    case PHASE_RENAME: return "naming a snapshot";
    case PHASE_SYNC_DIR: return "sync of a snapshot's name";
    default: return "sync of a snapshot";
    }
}

static void fail_op(struct snapshot_writer *writer)
{
    int error = writer->io.op.error;
    bool has_no_room = error == ENOSPC || error == EDQUOT;
    fail(writer, has_no_room ? ERR_NO_SPACE : ERR_STOPPED, "%s: %s: %s", writer->tmp_path, doing(writer->phase), strerror(error));
}

/* --- bytes ------------------------------------------------------------------------------------------------------------------- */

static void begin_block(struct snapshot_writer *writer)
{
    ASSERT(!writer->is_in_block);
    writer->block_begin = writer->out.size;
    writer->is_in_block = true;
    snapshot_format_block_begin(&writer->out);
}

static void end_block(struct snapshot_writer *writer, enum snapshot_format_section section)
{
    ASSERT(writer->is_in_block);
    snapshot_format_block_end(&writer->out, writer->block_begin, &writer->head, (uint16_t)section, SNAPSHOT_FORMAT_INCOMPATIBLE, writer->blocks++);
    writer->is_in_block = false;
}

static void put_front(struct snapshot_writer *writer)
{
    ASSERT(writer->out.size == 0 && writer->blocks == 0);
    snapshot_format_put_head(&writer->out, &writer->head);
    begin_block(writer);
    buf_put_slice(&writer->out, blob_slice(writer->image->conf));
    end_block(writer, SNAPSHOT_FORMAT_CONF);
    begin_block(writer);
    snapshot_format_put_cluster(&writer->out, writer->image->cluster);
    end_block(writer, SNAPSHOT_FORMAT_CLUSTER);
    begin_block(writer);
    snapshot_format_put_sums(&writer->out, &writer->image->keys);
    end_block(writer, SNAPSHOT_FORMAT_SUMS);
    if (writer->image->alarms == NULL) return;
    begin_block(writer);
    buf_put_slice(&writer->out, blob_slice(writer->image->alarms));
    end_block(writer, SNAPSHOT_FORMAT_ALARMS);
}

static void put_end(struct snapshot_writer *writer)
{
    if (writer->is_in_block) end_block(writer, SNAPSHOT_FORMAT_KEYS);
    ASSERT(writer->told == writer->head.history_count);
    struct snapshot_format_end end = {.keys = writer->stats.keys,
                                      .versions = writer->stats.versions,
                                      .history_count = writer->told,
                                      .blocks = writer->blocks,
                                      .file_bytes = writer->offset + writer->out.size + SNAPSHOT_FORMAT_FRAME + SNAPSHOT_FORMAT_END_BYTES};
    begin_block(writer);
    snapshot_format_put_end(&writer->out, &end);
    end_block(writer, SNAPSHOT_FORMAT_END);
    ASSERT(writer->offset + writer->out.size == end.file_bytes);
    writer->is_walked = true;
    state_machine_image_unpin(writer->image);
}

static void put_version(struct snapshot_writer *writer, const struct mvcc_export_version *version)
{
    if (!writer->is_in_block) begin_block(writer);
    snapshot_format_put_version(&writer->out, version);
    writer->stats.versions++;
    if (version->is_first) writer->stats.keys++;
    if (version->is_told) writer->told++;
}

static void walk_leases(struct snapshot_writer *writer)
{
    struct lease_row row;
    ASSERT(!writer->is_in_block && writer->stats.versions == 0);
    begin_block(writer);
    while (writer->leases_left > 0 && writer->out.size < SNAPSHOT_FORMAT_BLOCK_BYTES) {
        bool is_there = lease_image_next(writer->image->leases, &writer->lease_cursor, &row);
        ASSERT(is_there);
        snapshot_format_put_lease(&writer->out, &row);
        writer->leases_left--;
    }
    end_block(writer, SNAPSHOT_FORMAT_LEASES);
}

/* True: `out` holds a write's worth. */
static bool walk(struct snapshot_writer *writer)
{
    if (writer->leases_left > 0) {
        walk_leases(writer);
        return true;
    }
    size_t budget = BUGGIFY(SNAPSHOT_ONE) ? 1 : WALK_BUDGET;
    struct mvcc_export_version version;
    enum mvcc_export_progress progress = MVCC_EXPORT_VERSION;
    if (!mvcc_export_enter(writer->export, mvcc_view(writer->image->mvcc))) progress = MVCC_EXPORT_LOST;
    while (progress == MVCC_EXPORT_VERSION && writer->out.size < SNAPSHOT_FORMAT_BLOCK_BYTES) {
        progress = mvcc_export_next(writer->export, &budget, &version);
        if (progress == MVCC_EXPORT_VERSION) put_version(writer, &version);
    }
    if (progress == MVCC_EXPORT_PAUSE) return false;
    if (progress == MVCC_EXPORT_LOST) {
        fail(writer, ERR_COMPACTED, "%s: another state was installed while this one was written", writer->tmp_path);
    } else if (progress == MVCC_EXPORT_END) {
        put_end(writer);
    } else {
        end_block(writer, SNAPSHOT_FORMAT_KEYS);
    }
    return progress != MVCC_EXPORT_LOST;
}

/* --- operations -------------------------------------------------------------------------------------------------------------- */

static const char *dropped(const struct snapshot_writer *writer) { return writer->is_named ? writer->path : writer->tmp_path; }

static void start(struct snapshot_writer *writer)
{
    struct fs_op op = {.file = writer->file};
    switch (writer->phase) {
    case PHASE_OPEN:
        op.kind = FS_OPEN;
        op.path = writer->tmp_path;
        op.flags = FS_WRITE | FS_CREATE | FS_TRUNC;
        break;
    case PHASE_WALK:
        op.kind = FS_PWRITE;
        op.offset = writer->offset;
        op.data = buf_slice(&writer->out).data;
        op.size = writer->out.size;
        break;
    case PHASE_FLUSH:
    case PHASE_SYNC: op.kind = FS_FDATASYNC; break;
    case PHASE_DROP_FILE:
    case PHASE_CLOSE: op.kind = FS_CLOSE; break;
    case PHASE_RENAME:
        op.kind = FS_RENAME;
        op.path = writer->tmp_path;
        op.path2 = writer->path;
        break;
    case PHASE_SYNC_DIR:
        op.kind = FS_FSYNC_DIR;
        op.path = writer->directory;
        break;
    case PHASE_DROP_NAME:
        op.kind = FS_UNLINK;
        op.path = dropped(writer);
        break;
    }
    snapshot_io_start(&writer->io, &op);
}

static void written(struct snapshot_writer *writer, uint64_t now_ns)
{
    uint64_t bytes = writer->out.size;
    uint64_t least_ns = now_ns > CATCH_UP_NS ? now_ns - CATCH_UP_NS : 0;
    uint64_t from_ns = writer->next_ns > least_ns ? writer->next_ns : least_ns;
    writer->offset += bytes;
    writer->stats.bytes = writer->offset;
    writer->unsynced += bytes;
    if (writer->rate_bytes > 0) writer->next_ns = from_ns + bytes * NS_PER_S / writer->rate_bytes;
    buf_clear(&writer->out);
    if (writer->is_walked) writer->phase = writer->unsafe_no_fsync ? PHASE_CLOSE : PHASE_SYNC;
    else if (writer->unsynced >= SYNC_EVERY_BYTES && !writer->unsafe_no_fsync) writer->phase = PHASE_FLUSH;
}

/* What follows an operation that was done. */
static void go_on(struct snapshot_writer *writer, uint64_t now_ns)
{
    switch (writer->phase) {
    case PHASE_OPEN:
        writer->file = writer->io.op.file;
        put_front(writer);
        writer->phase = PHASE_WALK;
        break;
    case PHASE_WALK: written(writer, now_ns); break;
    case PHASE_FLUSH:
        writer->unsynced = 0;
        writer->phase = PHASE_WALK;
        break;
    case PHASE_SYNC: writer->phase = PHASE_CLOSE; break;
    case PHASE_CLOSE:
        writer->file = NULL;
        writer->phase = PHASE_RENAME;
        break;
    case PHASE_RENAME:
        writer->is_named = true;
        writer->phase = PHASE_SYNC_DIR;
        if (writer->unsafe_no_fsync) writer->state = SNAPSHOT_WRITER_DONE;
        break;
    case PHASE_SYNC_DIR: writer->state = SNAPSHOT_WRITER_DONE; break;
    case PHASE_DROP_FILE:
        writer->file = NULL;
        writer->phase = PHASE_DROP_NAME;
        break;
    case PHASE_DROP_NAME:
        writer->is_left = writer->io.op.error != 0 && writer->io.op.error != ENOENT;
        writer->state = SNAPSHOT_WRITER_FAILED;
        break;
    }
}

static void complete(struct snapshot_writer *writer, uint64_t now_ns)
{
    enum phase phase = writer->phase;
    bool is_dropping = phase == PHASE_DROP_FILE || phase == PHASE_DROP_NAME; /* as well as can be: snapshot_writer_left */
    if (phase == PHASE_CLOSE) writer->file = NULL; /* gone in any case */
    if (phase == PHASE_FLUSH || phase == PHASE_SYNC) {
        writer->stats.syncs++;
        writer->stats.sync_ns_last = writer->io.op.took_ns;
    }
    if (writer->io.op.error != 0 && !is_dropping) fail_op(writer);
    else go_on(writer, now_ns);
}

bool snapshot_writer_step(struct snapshot_writer *writer, uint64_t now_ns)
{
    if (writer->state != SNAPSHOT_WRITER_RUNNING) return false;
    writer->stats.steps++;
    bool is_busy = writer->io.in_flight || writer->io.is_done;
    if (is_busy && !snapshot_io_is_done(&writer->io)) return false;
    if (is_busy) complete(writer, now_ns);
    if (writer->state != SNAPSHOT_WRITER_RUNNING) return false;
    if (writer->is_cancelled && writer->err == ERR_OK) fail(writer, ERR_CANCELED, "%s: given up", writer->tmp_path);
    if (writer->phase == PHASE_WALK) {
        if (writer->offset == 0 && writer->next_ns == 0) writer->next_ns = now_ns;
        if (now_ns < writer->next_ns && writer->offset >= writer->owed) return false;
        if (!walk(writer)) return true;
    }
    start(writer);
    return true;
}

uint64_t snapshot_writer_deadline_ns(const struct snapshot_writer *writer)
{
    bool is_paced = writer->state == SNAPSHOT_WRITER_RUNNING && writer->phase == PHASE_WALK && !writer->io.in_flight && !writer->is_cancelled;
    if (is_paced && writer->offset < writer->owed) return 0;
    return is_paced ? writer->next_ns : CLOCK_NEVER;
}

void snapshot_writer_keep_up(struct snapshot_writer *writer, uint64_t log_bytes)
{
    ASSERT(log_bytes < UINT64_MAX / AHEAD_OF_LOG);
    writer->owed = log_bytes * AHEAD_OF_LOG;
}

void snapshot_writer_cancel(struct snapshot_writer *writer)
{
    ASSERT(writer != NULL);
    writer->is_cancelled = true;
}

/* --- questions --------------------------------------------------------------------------------------------------------------- */

enum snapshot_writer_state snapshot_writer_state(const struct snapshot_writer *writer) { return writer->state; }
enum err snapshot_writer_err(const struct snapshot_writer *writer) { return writer->err; }
const char *snapshot_writer_message(const struct snapshot_writer *writer) { return writer->message; }
const char *snapshot_writer_left(const struct snapshot_writer *writer) { return writer->is_left ? dropped(writer) : NULL; }
uint64_t snapshot_writer_index(const struct snapshot_writer *writer) { return writer->head.index; }
uint64_t snapshot_writer_term(const struct snapshot_writer *writer) { return writer->head.term; }
void snapshot_writer_get_stats(const struct snapshot_writer *writer, struct snapshot_writer_stats *out_stats) { *out_stats = writer->stats; }
