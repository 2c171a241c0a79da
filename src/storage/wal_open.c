/* wal_open: from a directory to a running log, and back. Everything here runs at start and blocks (fs_run). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/wal.h"
#include "storage/wal_core.h"
#include "storage/wal_recover.h"

static struct wal *open_new(const struct wal_options *options, const struct wal_recover *recover)
{
    struct wal *wal = ALLOC(struct wal);
    wal->options = *options;
    wal->directory = alloc_string(options->directory);
    wal->options.directory = wal->directory;
    list_init(&wal->queue);
    wal->hard = wal->queue_hard = recover->found.hard;
    wal->last_index = wal->queue_last_index = recover->found.last_index;
    wal->last_term = wal->queue_last_term = recover->last_term;
    wal->next_batch = recover->next_batch;
    wal->durable_batch = recover->next_batch - 1;
    wal->suspect_index = recover->suspect_index;
    wal->suspect_term = recover->suspect_term;
    wal->last_is_mark = recover->last_is_mark || recover->reader.last.offset == 0;
    wal->stats.segments = recover->reader.segment_count;
    wal_conf_init(&wal->conf);
    for (size_t i = 0; i < recover->conf.count; i++) {
        wal_conf_push(&wal->conf, recover->conf.items[i].index, recover->conf.items[i].data);
    }
    wal_format_writer_init(&wal->writer);
    wal->chores = options->fs;
    wal_old_init(&wal->old, wal->chores, wal->directory, options->segments_kept_max, options->unsafe_no_fsync);
    wal->old.void_sequence = recover->void_sequence;
    size_t old_count = recover->reader.segment_count - (recover->needs_segment ? 0 : 1); /* the last one goes on */
    for (size_t i = 0; i < old_count; i++) {
        const struct wal_reader_segment *segment = &recover->reader.segments[i];
        wal_old_add(&wal->old, &(struct wal_old_segment){
                                   .sequence = segment->sequence, .first_index = segment->first_index, .bytes = segment->bytes});
    }
    wal_spare_init(&wal->spare, wal->chores, wal->directory, options->unsafe_no_fsync);
    return wal;
}

static int open_write_first(struct wal *wal, struct wal_segment *segment, const struct wal_plan *plan)
{
    struct fs *fs = wal->options.fs;
    struct fs_op allocate = {.kind = FS_ALLOCATE, .file = segment->file, .offset = 0, .size = segment->capacity};
    int error = fs_run(fs, &allocate);
    if (error != 0) return error;
    wal_core_encode(wal, plan, segment, true);
    struct fs_op write = {.kind = FS_PWRITE, .file = segment->file, .size = wal->batch.size, .data = wal->batch.data};
    error = fs_run(fs, &write);
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = segment->file};
    if (error == 0 && !wal->options.unsafe_no_fsync) error = fs_run(fs, &sync);
    struct fs_op rename = {.kind = FS_RENAME, .path = wal->spare.path, .path2 = segment->path};
    if (error == 0) error = fs_run(fs, &rename);
    struct fs_op sync_dir = {.kind = FS_FSYNC_DIR, .path = wal->directory};
    if (error == 0 && !wal->options.unsafe_no_fsync) error = fs_run(fs, &sync_dir);
    return error;
}

/* The segment whose tail was cut is shortened to what counts of it, as a full one is: then a later start knows that there was a next one. */
static void retire_cut(struct wal *wal, const struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    struct fs_file *file = NULL;
    ASSERT(wal->retired.sequence == 0 && reader->at + 1 == reader->segment_count);
    if (fs_open(wal->options.fs, reader->path, FS_READ | FS_WRITE, &file) != 0) return; /* nothing depends on it */
    wal->retired.sequence = reader->segments[reader->at].sequence;
    wal_core_segment_begin(wal, &wal->retired, reader->head.first_index, reader->head.capacity, file);
    wal->retired.offset = recover->cut_offset;
    wal->retired_truncated = false;
}

/* Batches are synced one by one and not read soon: the page cache would write whole pages, or whole large folios, for a part of them. */
static int writes_of(const struct wal *wal) { return wal->options.unsafe_no_fsync ? 0 : FS_DIRECT; }

/* Begins a segment: the log is new, or the damaged end of the last one must never be read again. As in wal_format.c, the file
 * gets its name once its first batch is durable. */
static enum err open_segment(struct wal *wal, struct wal_recover *recover)
{
    const struct wal_conf_item *conf = wal_conf_newest(&recover->conf);
    const struct wal_core_reset reset = {.index = wal->last_index, .term = wal->last_term, .conf = conf == NULL ? NULL : conf->data};
    struct wal_plan plan = {.is_mark = true, .reset = recover->found.is_reset ? &reset : NULL};
    uint64_t capacity = wal->options.segment_bytes < WAL_CORE_FIRST_BYTES ? wal->options.segment_bytes : WAL_CORE_FIRST_BYTES;
    uint64_t needed = wal_core_head_bytes(wal, &plan);
    if (capacity < needed) capacity = (needed + WAL_CORE_ALIGN - 1) / WAL_CORE_ALIGN * WAL_CORE_ALIGN;
    struct fs_file *file = NULL;
    int error = fs_open(wal->options.fs, wal->spare.path, FS_WRITE | FS_CREATE | FS_TRUNC | writes_of(wal), &file);
    if (error != 0) {
        return wal_recover_refuse(recover, ERR_STOPPED, "%s: cannot be made: %s", wal->spare.path, strerror(error));
    }
    wal->current.sequence = recover->sequence + 1;
    wal->current.is_own = true;
    wal_core_segment_begin(wal, &wal->current, wal_core_first_index(wal, &plan), capacity, file);
    error = open_write_first(wal, &wal->current, &plan);
    if (error != 0) {
        return wal_recover_refuse(recover, ERR_STOPPED, "%s: making a log segment: %s", wal->spare.path, strerror(error));
    }
    wal->current.offset = wal->current.filled = wal->batch.size;
    wal->batch = slice_empty();
    wal->durable_batch = wal->next_batch++;
    wal->last_is_mark = true;
    if (recover->found.is_reset) wal->old.void_sequence = wal->current.sequence;
    if (recover->found.cut_bytes > 0 && !recover->found.is_reset) retire_cut(wal, recover);
    wal->stats.segments++;
    return ERR_OK;
}

static enum err open_existing(struct wal *wal, struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    struct fs_file *file = NULL;
    ASSERT(reader->at + 1 == reader->segment_count);
    ASSERT(reader->offset > 0);
    int error = fs_open(wal->options.fs, reader->path, FS_WRITE | writes_of(wal), &file);
    if (error != 0) {
        return wal_recover_refuse(recover, ERR_STOPPED, "%s: cannot be opened: %s", reader->path, strerror(error));
    }
    wal->current.sequence = recover->sequence;
    wal_core_segment_begin(wal, &wal->current, reader->head.first_index, reader->head.capacity, file);
    wal->current.offset = wal->current.filled = reader->offset;
    wal->current.entries = recover->segment_entries;
    wal->current.may_shorten = (reader->head.features & WAL_FORMAT_FEATURE_NEXT) != 0; /* who began it may have to read it again */
    return ERR_OK;
}

struct spare_name {
    char name[WAL_SPARE_NAME_SIZE];
};

static void take_spare_name(void *owner, const char *name)
{
    struct spare_name *found = owner;
    if (wal_spare_is_name(name)) (void)snprintf(found->name, sizeof found->name, "%s", name);
}

/* Spares that were left when the process ended are made anew: how far the making got, or which batch they held, is not known. */
static enum err open_drop_spares(struct wal *wal, struct wal_recover *recover)
{
    struct fs *fs = wal->options.fs;
    size_t size = strlen(wal->directory) + 1 + WAL_SPARE_NAME_SIZE;
    char *path = alloc_string(wal->directory);
    enum err err = ERR_OK;
    for (bool is_there = true; is_there && err == ERR_OK;) {
        struct spare_name found = {.name = ""};
        struct fs_op list = {.kind = FS_LIST, .path = wal->directory, .list_fn = take_spare_name, .owner = &found};
        int error = fs_run(fs, &list);
        is_there = found.name[0] != '\0';
        if (error == 0 && is_there) {
            path = alloc_resize(path, size);
            (void)snprintf(path, size, "%s/%s", wal->directory, found.name);
            struct fs_op unlink = {.kind = FS_UNLINK, .path = path};
            error = fs_run(fs, &unlink);
        }
        if (error != 0) err = wal_recover_refuse(recover, ERR_STOPPED, "%s: cannot be removed: %s", path, strerror(error));
    }
    alloc_free(path);
    return err;
}

static bool options_are_valid(const struct wal_options *options)
{
    return options->fs != NULL && options->directory != NULL && options->segment_bytes >= WAL_CORE_ALIGN &&
           options->segment_bytes % WAL_CORE_ALIGN == 0 && options->batch_bytes_max > 0;
}

enum err wal_open(const struct wal_options *options, struct slice conf, wal_entry_fn *entry_fn, void *context, struct wal **out_wal,
                  struct wal_recovered *out_recovered)
{
    ASSERT(options_are_valid(options));
    ASSERT(out_wal != NULL && out_recovered != NULL);
    ASSERT(options->snapshot_index == 0 || (options->snapshot_term > 0 && conf.size > 0));
    struct wal_recover recover;
    struct wal *wal = NULL;
    wal_recover_init(&recover, options, entry_fn, context);
    if (options->snapshot_index > 0) {
        struct blob *snapshot_conf = blob_copy(conf);
        wal_conf_push(&recover.conf, options->snapshot_index, snapshot_conf);
        blob_unref(snapshot_conf);
    }
    enum err err = wal_recover_read(&recover);
    if (err != ERR_OK) goto out;
    if (recover.found.is_new && options->snapshot_index == 0 && conf.size > 0) {
        recover.found.conf = blob_copy(conf);
        wal_conf_push(&recover.conf, 0, recover.found.conf);
    }
    err = wal_repair(&recover);
    if (err != ERR_OK) goto out;
    wal = open_new(options, &recover);
    err = open_drop_spares(wal, &recover);
    if (err != ERR_OK) goto out;
    err = recover.needs_segment ? open_segment(wal, &recover) : open_existing(wal, &recover);
    if (err != ERR_OK) goto out;
    wal->last_used_bytes = wal->current.capacity;
    *out_recovered = recover.found;
    recover.found = (struct wal_recovered){0};
    *out_wal = wal;
    wal = NULL;
out:
    if (err != ERR_OK) {
        *out_recovered = (struct wal_recovered){0};
        memcpy(out_recovered->message, recover.found.message, sizeof out_recovered->message);
        out_recovered->is_without_state = recover.is_headless;
    }
    wal_close(wal);
    wal_recover_deinit(&recover);
    return err;
}

void wal_close(struct wal *wal)
{
    if (wal == NULL) return;
    ASSERT(!wal->in_flight && !wal->retired_in_flight);
    while (!list_is_empty(&wal->queue)) {
        struct wal_queued *queued = LIST_ENTRY(list_pop_front(&wal->queue), struct wal_queued, node);
        for (size_t i = 0; i < queued->entry_count; i++) blob_unref(queued->entries[i].data);
        blob_unref(queued->reset.conf);
        alloc_free(queued);
    }
    wal_spare_deinit(&wal->spare);
    wal_old_deinit(&wal->old);
    wal_core_segment_close(wal, &wal->current);
    wal_core_segment_close(wal, &wal->next);
    wal_core_segment_close(wal, &wal->retired);
    wal_conf_deinit(&wal->conf);
    wal_format_writer_deinit(&wal->writer);
    alloc_free(wal->directory);
    alloc_free(wal);
}
