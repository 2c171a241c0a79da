/* readwal: prints a member's write-ahead log, and judges it as a start would. */
#include "base/alloc.h"
#include "readwal_print.h"
#include "tool_place.h"
#include "tool_snap.h"

#define SETTLE_MS 25

static const struct tool_text text = {
    .summary = "prints a member's write-ahead log, and judges it as a start would",
    .usage = "[flags] DIRECTORY | SEGMENT...",
    .examples =
        "  readwal /var/lib/kvd                            the log of a data directory, one line for each entry\n"
        "  readwal --summary /var/lib/kvd                  segments, sizes, indexes and the verdict only\n"
        "  readwal --from-index 100 --to-index 120 wal/    some entries, of a directory of segments\n"
        "  readwal --type put,txn /var/lib/kvd             what changed keys\n"
        "  readwal --type conf,head --marks /var/lib/kvd   configurations, and each batch's term, vote and commit index\n"
        "  readwal wal/0000000000000003-00000000000004d2.wal    one segment (those behind it are read for the verdict)\n"
        "  readwal --json /var/lib/kvd | jq -r 'select(.command.kind == \"put\") | .command.body.key | @base64d'\n",
    .more =
        "A line: SEGMENT:OFFSET INDEX/TERM TYPE FIELDS. The offset is that of the batch in its file. An index may come again: the later one\n"
        "counts. Types: normal (a command), conf (a configuration), empty (the first of a leader's term), head (the configuration at the\n"
        "beginning of a segment), batch and mark (with --marks: a batch's hard state). --type takes kinds of commands, too.\n"
        "The last line is the verdict: clean, torn, suspect, corrupt (file and offset), refused (not this program's or member's), new.\n"
        "What stands behind damage is not shown. In JSON bytes are base64, ids hexadecimal strings, `data` the entry's own bytes.\n",
};

static enum tool_exit run(struct tool *tool, struct tool_place *place, struct readwal_print_options *options)
{
    options->log.directory = place->wal_path;
    options->log.identity = place->has_identity ? &place->identity : NULL;
    options->log.is_part = place->data_path == NULL || place->sequence_count > 0;
    options->log.settle_ms = SETTLE_MS;
    if (options->index_max == 0) options->index_max = UINT64_MAX;
    options->sequences = place->sequences;
    options->sequence_count = place->sequence_count;
    uint64_t least = place->sequence_count > 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < place->sequence_count; i++)
        if (place->sequences[i] < least) least = place->sequences[i];
    tool_fs_hide_below(tool->fs, least);
    if (tool->is_shown && !options->has_summary) tool->has_progress = false;
    if (options->log.is_part) return readwal_print(tool, options);
    struct tool_snap_list *snaps = ALLOC(struct tool_snap_list);
    tool_snap_list_init(snaps, tool, place->snap_path, place->identity.cluster_id, true);
    options->log.snapshot_fn = tool_snap_list_ask;
    options->log.snapshot_context = snaps;
    enum tool_exit code = readwal_print(tool, options);
    tool_snap_list_deinit(snaps);
    alloc_free(snaps);
    return code;
}

int main(int argc, char **argv)
{
    struct tool tool;
    struct readwal_print_options options = {.types = ""};
    const char *wal_dir = "";
    struct flag flags[] = {
        {"json", 'j', FLAG_BOOL, &tool.is_json, NULL, "one JSON object per line", "Options", false},
        {"summary", 's', FLAG_BOOL, &options.has_summary, NULL, "segments and verdict, no entries", "Options", false},
        {"from-index", 0, FLAG_U64, &options.index_min, "<index>", "no entries before this one", "Options", false},
        {"to-index", 0, FLAG_U64, &options.index_max, "<index>", "no entries behind this one", "Options", false},
        {"type", 't', FLAG_STRING, &options.types, "<list>", "only these types or kinds of commands, with commas", "Options", false},
        {"marks", 'm', FLAG_BOOL, &options.has_marks, NULL, "a line for each batch: term, vote, commit index", "Options", false},
        {"wal-dir", 0, FLAG_STRING, &wal_dir, "<path>", "the segments, if the data directory does not hold them", "Options", false},
        {"help", 'h', FLAG_BOOL, NULL, NULL, "this text", "Options", false},
        {"version", 0, FLAG_BOOL, NULL, NULL, "the program's version", "Options", false},
    };
    const char **words = NULL;
    char bad_type[32];
    int count = 0;
    enum tool_exit code = TOOL_ERROR;
    struct tool_place place = {0};
    tool_init(&tool, "readwal");
    if (!tool_start(&tool, &text, flags, sizeof flags / sizeof flags[0], argc, argv, &words, &count, &code)) goto out;
    code = TOOL_ERROR;
    if (count == 0) (void)tool_fail(&tool, "which log? Give a data directory or segments.\nRun 'readwal --help' for usage.");
    else if (readwal_print_bad_type(options.types, bad_type) != NULL) (void)tool_fail(&tool, "--type: there is no type %s", bad_type);
    else if (tool_place_init(&place, &tool, words, count, wal_dir)) code = run(&tool, &place, &options);
out:
    code = tool_finish(&tool, code);
    tool_place_deinit(&place);
    alloc_free(words);
    tool_deinit(&tool);
    return (int)code;
}
