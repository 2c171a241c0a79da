/* readsnapshot: prints a snapshot file, and verifies it as a start would. */
#include "base/alloc.h"
#include "readsnapshot_print.h"

static const struct tool_text text = {
    .summary = "prints a snapshot file, and verifies it as a start would",
    .usage = "[flags] FILE",
    .examples =
        "  readsnapshot snap/0000000000000002-00000000000186a0.snap             position, members, sections, verdict\n"
        "  readsnapshot --keys snap/...snap                                     the keys at the snapshot's revision\n"
        "  readsnapshot --keys --values --prefix users/ snap/...snap            some of them, with their values\n"
        "  readsnapshot --at-revision 4711 snap/...snap                         the keys as they were then\n"
        "  readsnapshot --all-versions --json snap/...snap                      every version that is retained, deletes too\n"
        "  readsnapshot --keys --values --json snap/...snap | jq -r 'select(.type == \"key\") | .key | @base64d'\n",
    .more =
        "Each key is a line: mod revision, create revision, version, lease. An older revision can be asked for from the compact revision on.\n"
        "Keys are shown as far as the file is intact; the verdict comes last: good, corrupt (the next older snapshot would be used),\n"
        "refused (of a newer program).\n",
};

int main(int argc, char **argv)
{
    struct tool tool;
    struct readsnapshot_print_options options = {.prefix = ""};
    uint64_t at_revision = 0;
    struct flag flags[] = {
        {"json", 'j', FLAG_BOOL, &tool.is_json, NULL, "one JSON object per line", "Options", false},
        {"keys", 'k', FLAG_BOOL, &options.has_keys, NULL, "the keys", "Options", false},
        {"values", 0, FLAG_BOOL, &options.has_values, NULL, "and their values", "Options", false},
        {"all-versions", 0, FLAG_BOOL, &options.has_all_versions, NULL, "each version, deletes too", "Options", false},
        {"at-revision", 0, FLAG_U64, &at_revision, "<revision>", "the keys at this one instead of the snapshot's", "Options", false},
        {"prefix", 0, FLAG_STRING, &options.prefix, "<text>", "only keys that begin so", "Options", false},
        {"help", 'h', FLAG_BOOL, NULL, NULL, "this text", "Options", false},
        {"version", 0, FLAG_BOOL, NULL, NULL, "the program's version", "Options", false},
    };
    const char **words = NULL;
    int count = 0;
    enum tool_exit code = TOOL_ERROR;
    tool_init(&tool, "readsnapshot");
    if (!tool_start(&tool, &text, flags, sizeof flags / sizeof flags[0], argc, argv, &words, &count, &code)) goto out;
    if (count != 1) {
        code = tool_fail(&tool, "which file?\nRun 'readsnapshot --help' for usage.");
    } else if (at_revision > INT64_MAX || (at_revision > 0 && options.has_all_versions)) {
        code = tool_fail(&tool, "--at-revision is a revision, and not for --all-versions");
    } else {
        options.path = words[0];
        options.at_revision = (int64_t)at_revision;
        if (options.has_values || options.has_all_versions || at_revision > 0) options.has_keys = true;
        if (tool.is_shown && options.has_keys) tool.has_progress = false;
        code = readsnapshot_print(&tool, &options);
    }
out:
    code = tool_finish(&tool, code);
    alloc_free(words);
    tool_deinit(&tool);
    return (int)code;
}
