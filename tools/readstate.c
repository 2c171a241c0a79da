/* readstate: prints who a member is and where it stands, from its data directory. */
#include "base/alloc.h"
#include "readstate_print.h"

#define SETTLE_MS 25

static const struct tool_text text = {
    .summary = "prints who a member is and where it stands, from its data directory",
    .usage = "[flags] DATA_DIRECTORY",
    .examples =
        "  readstate /var/lib/kvd\n"
        "  readstate --wal-dir /fast/wal /var/lib/kvd        as the member's own --wal-dir\n"
        "  readstate --json /var/lib/kvd | jq .raft.term\n"
        "  for d in data/*; do readstate --json $d; done | jq -c '[.identity.member_id, .raft.term, .raft.last_index]'\n",
    .more =
        "identity: cluster, member, directory, and how often it was started. raft: term, vote and commit index as of the newest batch of the\n"
        "log; `applied` is what a start replays: all that is known committed. members: as of that entry; a name is empty until the member\n"
        "has published it. log: the verdict of a start, and the segments.\n",
};

int main(int argc, char **argv)
{
    struct tool tool;
    const char *wal_dir = "";
    struct flag flags[] = {
        {"json", 'j', FLAG_BOOL, &tool.is_json, NULL, "one JSON object", "Options", false},
        {"wal-dir", 0, FLAG_STRING, &wal_dir, "<path>", "the segments, if the data directory does not hold them", "Options", false},
        {"help", 'h', FLAG_BOOL, NULL, NULL, "this text", "Options", false},
        {"version", 0, FLAG_BOOL, NULL, NULL, "the program's version", "Options", false},
    };
    const char **words = NULL;
    int count = 0;
    enum tool_exit code = TOOL_ERROR;
    struct tool_place place = {0};
    tool_init(&tool, "readstate");
    if (!tool_start(&tool, &text, flags, sizeof flags / sizeof flags[0], argc, argv, &words, &count, &code)) goto out;
    if (count != 1) code = tool_fail(&tool, "which data directory?\nRun 'readstate --help' for usage.");
    else if (tool_place_init(&place, &tool, words, count, wal_dir)) code = readstate_print(&tool, &place, SETTLE_MS);
    else code = TOOL_ERROR;
out:
    code = tool_finish(&tool, code);
    tool_place_deinit(&place);
    alloc_free(words);
    tool_deinit(&tool);
    return (int)code;
}
