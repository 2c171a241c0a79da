/* readwal_print: see readwal_print.h. */
#include "readwal_print.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "tool_entry.h"
#include "tool_message.h"

struct print {
    struct tool *tool;
    const struct readwal_print_options *options;
    struct tool_tree tree;
};

/* ---- filters ---- */

/* The next word of a list with commas; false at its end. */
static bool next_word(const char **at, struct slice *out_word)
{
    ASSERT(*at != NULL);
    if (**at == '\0') return false;
    size_t length = strcspn(*at, ",");
    *out_word = slice_make(*at, length);
    *at += length + ((*at)[length] == ',');
    return true;
}

static bool has_type(const char *types, const char *type)
{
    struct slice word;
    while (next_word(&types, &word))
        if (slice_equal(word, slice_from_string(type))) return true;
    return false;
}

static bool is_type(struct slice word)
{
    static const char *const types[] = {"normal", "conf", "empty", "head", "unknown"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (slice_equal(word, slice_from_string(types[i]))) return true;
    const ProtobufCMessageDescriptor *envelope = tool_message_find("kvd.Envelope"); /* kinds are named as its fields */
    ASSERT(envelope != NULL);
    for (size_t i = 0; i < envelope->n_fields; i++) {
        bool is_kind = envelope->fields[i].type == PROTOBUF_C_TYPE_MESSAGE && strcmp(envelope->fields[i].name, "header") != 0;
        if (is_kind && slice_equal(word, slice_from_string(envelope->fields[i].name))) return true;
    }
    return false;
}

const char *readwal_print_bad_type(const char *types, char out_word[32])
{
    struct slice word;
    ASSERT(types != NULL && out_word != NULL);
    while (next_word(&types, &word)) {
        if (is_type(word)) continue;
        (void)snprintf(out_word, 32, "%.*s", (int)(word.size < 31 ? word.size : 31), (const char *)word.data);
        return out_word;
    }
    return NULL;
}

static bool is_wanted_segment(const struct readwal_print_options *options, uint64_t sequence)
{
    for (size_t i = 0; i < options->sequence_count; i++)
        if (options->sequences[i] == sequence) return true;
    return options->sequence_count == 0;
}

static const char *type_of(const struct wal_format_record *record)
{
    return record->kind == WAL_FORMAT_CONF ? "head" : tool_entry_kind_name(record->entry_kind);
}

static bool is_wanted(const struct readwal_print_options *options, const struct wal_format_record *record)
{
    const char *type = type_of(record);
    if (record->kind == WAL_FORMAT_ENTRY && (record->index < options->index_min || record->index > options->index_max)) return false;
    if (options->types[0] == '\0') return record->kind == WAL_FORMAT_ENTRY || options->has_marks;
    if (has_type(options->types, type)) return true;
    bool is_command = record->kind == WAL_FORMAT_ENTRY && record->entry_kind == RAFT_ENTRY_COMMAND;
    return is_command && has_type(options->types, tool_entry_command_name(record->data));
}

/* ---- lines ---- */

static void begin(struct print *print, const struct wal_reader *reader, const char *type)
{
    const struct wal_reader_segment *segment = &reader->segments[reader->at];
    struct tool_tree *tree = &print->tree;
    if (tree->style == TOOL_TREE_JSON) {
        char name[WAL_FORMAT_NAME_SIZE];
        wal_format_name(segment->sequence, segment->first_index, name);
        tool_tree_open(tree, NULL, '{');
        tool_tree_word(tree, "type", type);
        tool_tree_word(tree, "segment", name);
        tool_tree_u64(tree, "offset", reader->last.offset);
        tool_tree_u64(tree, "batch", reader->last.batch);
    } else {
        buf_printf(&tree->text, "%" PRIx64 ":%-8" PRIu64 " ", segment->sequence, reader->last.offset);
        tool_tree_open(tree, NULL, '{');
    }
}

static void end(struct print *print)
{
    tool_tree_close(&print->tree);
    tool_tree_print(&print->tree, print->tool->out);
}

static void print_batch(struct print *print, const struct wal_reader *reader, const struct wal_format_batch *batch)
{
    struct tool_tree *tree = &print->tree;
    const char *type = batch->is_mark ? "mark" : "batch";
    begin(print, reader, type);
    if (tree->style != TOOL_TREE_JSON) buf_printf(&tree->text, "%" PRIu64 "/%" PRIu64 " %s ", batch->last_index, batch->last_term, type);
    tool_tree_u64(tree, "term", batch->hard.term);
    tool_tree_id(tree, "vote", batch->hard.vote);
    tool_tree_u64(tree, "commit", batch->hard.commit);
    if (tree->style == TOOL_TREE_JSON) {
        tool_tree_u64(tree, "last_index", batch->last_index);
        tool_tree_u64(tree, "last_term", batch->last_term);
    }
    tool_tree_u64(tree, "records", batch->record_count);
    tool_tree_u64(tree, "bytes", reader->offset - reader->last.offset);
    if (batch->has_head && batch->head.suspect_index > 0) tool_tree_u64(tree, "suspect_index", batch->head.suspect_index);
    end(print);
}

static void print_record(struct print *print, const struct wal_reader *reader, const struct wal_format_record *record)
{
    struct tool_tree *tree = &print->tree;
    const char *type = type_of(record);
    begin(print, reader, type);
    if (tree->style == TOOL_TREE_JSON) {
        tool_tree_u64(tree, "index", record->index);
        tool_tree_u64(tree, "term", record->term);
    } else {
        buf_printf(&tree->text, "%" PRIu64 "/%" PRIu64 " %s ", record->index, record->term, type);
    }
    if (record->kind == WAL_FORMAT_CONF) tool_entry_put_conf(tree, "conf", record->data);
    else tool_entry_put(tree, record->entry_kind, record->data);
    if (tree->style == TOOL_TREE_JSON) tool_tree_base64(tree, "data", record->data);
    end(print);
}

static void take_batch(void *context, const struct wal_recover *recover, const struct wal_format_batch *batch)
{
    struct print *print = context;
    const struct readwal_print_options *options = print->options;
    const struct wal_reader *reader = &recover->reader;
    if (!is_wanted_segment(options, reader->segments[reader->at].sequence)) return;
    struct wal_format_records records = wal_format_records(batch);
    struct wal_format_record record;
    while (wal_format_record_next(&records, &record)) {
        struct blob *data = wal_format_record_blob(&record);
        record.lead = slice_empty();
        record.data = blob_slice(data);
        if (is_wanted(options, &record)) print_record(print, reader, &record);
        blob_unref(data);
    }
    bool is_inside = batch->last_index >= options->index_min && batch->last_index <= options->index_max;
    if (options->has_marks && is_inside) print_batch(print, reader, batch);
}

/* ---- what recovery says ---- */

static void print_summary(struct print *print, const struct tool_log *log)
{
    for (size_t i = 0; i < log->segment_count; i++) {
        const struct tool_log_segment *segment = &log->segments[i];
        if (!is_wanted_segment(print->options, segment->sequence)) continue;
        tool_tree_open(&print->tree, NULL, '{');
        if (print->tool->is_json) tool_tree_word(&print->tree, "type", "segment");
        tool_log_put_segment(segment, &print->tree);
        end(print);
    }
}

static void print_verdict(struct print *print, const struct tool_log *log)
{
    tool_tree_open(&print->tree, NULL, '{');
    if (print->tool->is_json) tool_tree_word(&print->tree, "type", "verdict");
    tool_log_put_verdict(log, &print->tree);
    end(print);
}

enum tool_exit readwal_print(struct tool *tool, const struct readwal_print_options *options)
{
    struct print print = {.tool = tool, .options = options};
    struct tool_log log;
    struct tool_log_options log_options = options->log;
    ASSERT(options->types != NULL);
    log_options.batch_fn = options->has_summary ? NULL : take_batch;
    log_options.context = &print;
    tool_tree_init(&print.tree, tool->is_json ? TOOL_TREE_JSON : TOOL_TREE_LINE);
    tool_log_init(&log, tool, &log_options);
    enum tool_exit code = tool_log_read(&log);
    if (options->has_summary) print_summary(&print, &log);
    bool is_nothing = log.err == ERR_OK && log.recover.found.is_new && options->log.identity == NULL;
    if (is_nothing) code = tool_fail(tool, "%s: no log segments are there", options->log.directory);
    else print_verdict(&print, &log);
    tool_log_deinit(&log);
    tool_tree_deinit(&print.tree);
    return code;
}
