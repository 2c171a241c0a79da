/* tool_log: see tool_log.h. */
#include "tool_log.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "raft/raft.h"

#define JUDGEMENTS_MAX 10

void tool_log_init(struct tool_log *log, struct tool *tool, const struct tool_log_options *options)
{
    ASSERT(tool->fs != NULL);
    ASSERT(options->directory != NULL);
    *log = (struct tool_log){.tool = tool, .options = *options};
}

static void drop_recover(struct tool_log *log)
{
    if (log->has_recover) wal_recover_deinit(&log->recover);
    log->has_recover = false;
}

void tool_log_deinit(struct tool_log *log)
{
    if (log == NULL) return;
    drop_recover(log);
    alloc_free(log->segments);
    alloc_free(log->file);
    log->segments = NULL;
    log->file = NULL;
}

/* ---- what recovery shows ---- */

static uint64_t file_size(const struct tool_log *log, const char *path)
{
    struct fs_file *file = NULL;
    if (fs_open(log->tool->fs, path, FS_READ, &file) != 0) return 0;
    struct fs_op op = {.kind = FS_SIZE, .file = file};
    int error = fs_run(log->tool->fs, &op);
    fs_close(log->tool->fs, file);
    return error == 0 ? op.result : 0;
}

static void begin_segments(struct tool_log *log, const struct wal_reader *reader)
{
    log->segment_count = 0;
    log->total_bytes = log->done_bytes = 0;
    if (log->segment_capacity < reader->segment_count) {
        log->segment_capacity = reader->segment_count;
        log->segments = alloc_resize(log->segments, log->segment_capacity * sizeof *log->segments);
    }
    for (size_t i = 0; i < reader->segment_count; i++) {
        char *path = wal_reader_path(reader, i);
        struct tool_log_segment *segment = &log->segments[log->segment_count++];
        *segment = (struct tool_log_segment){.sequence = reader->segments[i].sequence, .first_index = reader->segments[i].first_index};
        segment->file_bytes = file_size(log, path);
        log->total_bytes += segment->file_bytes;
        alloc_free(path);
    }
}

static void count_record(struct tool_log_segment *segment, const struct wal_format_record *record)
{
    if (record->kind != WAL_FORMAT_ENTRY) return;
    bool is_first = segment->entries++ == 0;
    if (is_first || record->index < segment->index_min) segment->index_min = record->index;
    if (is_first || record->term < segment->term_min) segment->term_min = record->term;
    if (record->index > segment->index_max) segment->index_max = record->index;
    if (record->term > segment->term_max) segment->term_max = record->term;
}

static uint64_t bytes_before(const struct tool_log *log, size_t at)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < at; i++) bytes += log->segments[i].file_bytes;
    return bytes;
}

static void take_batch(void *context, const struct wal_recover *recover, const struct wal_format_batch *batch)
{
    struct tool_log *log = context;
    const struct wal_reader *reader = &recover->reader;
    if (log->segment_count != reader->segment_count) begin_segments(log, reader);
    ASSERT(reader->at < log->segment_count);
    struct tool_log_segment *segment = &log->segments[reader->at];
    struct wal_format_records records = wal_format_records(batch);
    struct wal_format_record record;
    while (wal_format_record_next(&records, &record)) count_record(segment, &record);
    segment->batches++;
    if (batch->has_head) log->done_bytes = bytes_before(log, reader->at);
    segment->used_bytes = reader->offset;
    log->major = reader->head.major;
    log->minor = reader->head.minor;
    tool_progress(log->tool, log->done_bytes + reader->offset, log->total_bytes);
    if (batch->sequence <= log->shown_batch) return;
    log->shown_batch = batch->sequence;
    if (log->options.batch_fn != NULL) log->options.batch_fn(log->options.context, recover, batch);
}

static void take_entry(void *context, const struct raft_entry *entry)
{
    const struct tool_log *log = context;
    if (log->options.entry_fn != NULL) log->options.entry_fn(log->options.context, entry);
}

/* As a starting member answers it. */
static bool is_alone(void *context, struct slice bytes)
{
    const struct tool_log *log = context;
    struct raft_conf conf;
    if (!raft_conf_decode(bytes, &conf)) return false;
    bool is_only = conf.voter_count == 1 && conf.outgoing_count == 0 && conf.voters[0] == log->self;
    raft_conf_deinit(&conf);
    return is_only;
}

/* ---- judging ---- */

/* The oldest segment that counts: the newest that voids those before it, if there is one. */
static size_t first_segment(struct wal_reader *reader)
{
    size_t first = 0;
    for (size_t at = 0; at < reader->segment_count; at++)
        if (wal_reader_head(reader, at) == 0 && reader->segments[at].is_reset) first = at;
    return first;
}

static struct blob *conf_of(const struct wal_format_batch *batch)
{
    struct wal_format_records records = wal_format_records(batch);
    struct wal_format_record record;
    while (wal_format_record_next(&records, &record))
        if (record.kind == WAL_FORMAT_CONF && record.data.size > 0) return blob_copy(record.data);
    return NULL;
}

/* Who wrote the oldest segment that counts, and what it says stands before it. *out_snapshot holds a reference. */
static void ask_first_segment(const struct tool_log *log, struct wal_options *options, struct tool_log_snapshot *out_snapshot)
{
    struct wal_reader reader;
    struct wal_format_batch batch;
    wal_reader_init(&reader, log->tool->fs, log->options.directory);
    bool is_there = wal_reader_list(&reader) == 0 && reader.segment_count > 0;
    if (is_there) wal_reader_rewind(&reader, first_segment(&reader));
    size_t at = reader.at;
    if (is_there && wal_reader_next(&reader, &batch) == WAL_READER_BATCH && reader.at == at && batch.has_head) {
        bool is_empty = batch.last_index + 1 == batch.head.first_index;
        options->cluster_id = batch.head.cluster_id;
        options->member_id = batch.head.member_id;
        out_snapshot->term = wal_format_is_reset(&batch.head) ? batch.head.reset_term : is_empty ? batch.last_term : 0;
        out_snapshot->conf = conf_of(&batch);
    }
    if (is_there) out_snapshot->index = reader.segments[at].first_index - 1;
    if (out_snapshot->term == 0) out_snapshot->term = 1; /* not known, and not asked for then */
    wal_reader_deinit(&reader);
}

static void judge(struct tool_log *log)
{
    const struct data_dir_identity *identity = log->options.identity;
    struct wal_options options = {.fs = log->tool->fs, .directory = log->options.directory, .alone_fn = is_alone};
    struct tool_log_snapshot snapshot = {.index = 0};
    ask_first_segment(log, &options, &snapshot);
    if (!log->options.is_part) {
        blob_unref(snapshot.conf);
        snapshot = (struct tool_log_snapshot){.index = 0};
        if (log->options.snapshot_fn != NULL) snapshot = log->options.snapshot_fn(log->options.snapshot_context);
        if (snapshot.conf != NULL) (void)blob_ref(snapshot.conf);
    }
    if (identity != NULL) {
        options.cluster_id = identity->cluster_id;
        options.member_id = identity->member_id;
        options.must_exist = true;
    }
    options.may_ask_others = !log->options.is_part;
    options.snapshot_index = snapshot.index;
    options.snapshot_term = snapshot.index > 0 ? snapshot.term : 0;
    drop_recover(log);
    log->wal_options = options;
    log->self = options.member_id;
    log->segment_count = 0;
    wal_recover_init(&log->recover, &log->wal_options, take_entry, log);
    log->recover.batch_fn = take_batch;
    log->has_recover = true;
    if (snapshot.index > 0 && snapshot.conf != NULL) wal_conf_push(&log->recover.conf, snapshot.index, snapshot.conf);
    blob_unref(snapshot.conf);
    log->err = wal_recover_read(&log->recover);
    if (log->segment_count != log->recover.reader.segment_count) begin_segments(log, &log->recover.reader);
    for (size_t i = 0; i < log->segment_count; i++)
        log->segments[i].is_void = log->segments[i].sequence < log->recover.void_sequence;
    log->message = log->recover.found.message;
}

static char *segment_name(const struct tool_log *log, uint64_t sequence)
{
    for (size_t i = 0; i < log->segment_count; i++) {
        if (log->segments[i].sequence != sequence) continue;
        char name[WAL_FORMAT_NAME_SIZE];
        wal_format_name(sequence, log->segments[i].first_index, name);
        return alloc_string(name);
    }
    return NULL;
}

static void name_verdict(struct tool_log *log)
{
    const struct wal_recover *recover = &log->recover;
    const struct wal_recovered *found = &recover->found;
    alloc_free(log->file);
    log->file = NULL;
    log->has_offset = false;
    if (log->err == ERR_CORRUPT) {
        log->verdict = "corrupt";
        log->code = TOOL_CORRUPT;
        log->file = segment_name(log, recover->damage_sequence);
        log->has_offset = log->file != NULL;
        log->offset = recover->damage_offset;
    } else if (log->err != ERR_OK) {
        log->verdict = "refused";
        log->code = TOOL_ERROR;
    } else if (found->tail == WAL_TAIL_CLEAN) {
        log->verdict = found->is_new ? "new" : "clean";
        log->code = TOOL_CLEAN;
    } else {
        log->verdict = found->tail == WAL_TAIL_TORN ? "torn" : "suspect";
        log->code = TOOL_TORN;
        log->has_offset = found->cut_bytes > 0;
        if (log->has_offset) log->file = segment_name(log, recover->sequence);
        log->offset = recover->cut_offset;
    }
}

enum tool_exit tool_log_read(struct tool_log *log)
{
    char before[sizeof log->recover.found.message] = "";
    for (int i = 0; i < JUDGEMENTS_MAX; i++) {
        judge(log);
        name_verdict(log);
        if (log->code == TOOL_CLEAN || (i > 0 && strcmp(before, log->message) == 0)) break;
        memcpy(before, log->message, sizeof before);
        struct timespec pause = {.tv_nsec = (long)(log->options.settle_ms * NS_PER_MS)};
        ASSERT(log->options.settle_ms < 1000);
        if (log->options.settle_ms > 0) (void)nanosleep(&pause, NULL);
    }
    tool_progress_end(log->tool);
    return log->code;
}

/* ---- showing ---- */

void tool_log_put_verdict(const struct tool_log *log, struct tool_tree *tree)
{
    const struct wal_recovered *found = &log->recover.found;
    ASSERT(log->verdict != NULL);
    tool_tree_word(tree, "verdict", log->verdict);
    if (log->file != NULL) tool_tree_word(tree, "file", log->file);
    if (log->has_offset) tool_tree_u64(tree, "offset", log->offset);
    if (found->cut_bytes > 0) tool_tree_u64(tree, "cut_bytes", found->cut_bytes);
    if (log->err == ERR_OK) {
        tool_tree_u64(tree, "first_index", found->first_index);
        tool_tree_u64(tree, "last_index", found->last_index);
        tool_tree_u64(tree, "term", found->hard.term);
        if (found->hard.vote != RAFT_NONE) tool_tree_id(tree, "vote", found->hard.vote);
        tool_tree_u64(tree, "commit", found->hard.commit);
    }
    if (found->suspect_index > 0) tool_tree_u64(tree, "suspect_index", found->suspect_index);
    if (found->suspect_index > 0 && found->suspect_term != UINT64_MAX) tool_tree_u64(tree, "suspect_term", found->suspect_term);
    if (log->message[0] != '\0') tool_tree_string(tree, "message", slice_from_string(log->message));
}

void tool_log_put_segment(const struct tool_log_segment *segment, struct tool_tree *tree)
{
    char name[WAL_FORMAT_NAME_SIZE];
    ASSERT(segment->sequence > 0);
    wal_format_name(segment->sequence, segment->first_index, name);
    tool_tree_word(tree, "file", name);
    tool_tree_u64(tree, "file_bytes", segment->file_bytes);
    if (segment->is_void) tool_tree_bool(tree, "void", true);
    if (segment->is_void) return;
    tool_tree_u64(tree, "used_bytes", segment->used_bytes);
    tool_tree_u64(tree, "batches", segment->batches);
    tool_tree_u64(tree, "entries", segment->entries);
    if (segment->entries == 0) return;
    tool_tree_u64(tree, "first_index", segment->index_min);
    tool_tree_u64(tree, "last_index", segment->index_max);
    tool_tree_u64(tree, "first_term", segment->term_min);
    tool_tree_u64(tree, "last_term", segment->term_max);
}

void tool_log_put_segments(const struct tool_log *log, struct tool_tree *tree, const char *name)
{
    tool_tree_open(tree, name, '[');
    for (size_t i = 0; i < log->segment_count; i++) {
        tool_tree_open(tree, NULL, '{');
        tool_log_put_segment(&log->segments[i], tree);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}
