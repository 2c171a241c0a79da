/* fuzz_readwal: edits of a log whose content is known, as fuzz_wal makes them, behind a byte of flags. readwal's verdict is that of a start on
 * the same bytes; it changes none of them; and what it prints in JSON is JSON. Thread: one; the log is made by the first input. */
#include "fuzz/fuzz.h"
#include "fuzz/tool_rig.h"
#include "fuzz/wal_edit.h"
#include "readwal_print.h"

static struct wal_edit *edit; /* the same for every input */

static void pass_over(void *context, const struct raft_entry *entry)
{
    (void)context;
    ASSERT(entry->index > 0);
}

static enum tool_exit start(const struct wal_rig *rig)
{
    struct wal_recovered found = {0};
    struct wal *wal = NULL;
    struct wal_options options = rig->options;
    options.fs = fs_sim_new(rig->disk, true);
    options.alone_fn = NULL;
    options.may_ask_others = true;
    enum err err = wal_open(&options, slice_empty(), pass_over, NULL, &wal, &found);
    enum tool_exit code = err == ERR_CORRUPT ? TOOL_CORRUPT : err != ERR_OK ? TOOL_ERROR : TOOL_CLEAN;
    if (err == ERR_OK && found.tail != WAL_TAIL_CLEAN) code = TOOL_TORN;
    wal_close(wal);
    wal_recovered_deinit(&found);
    fs_free(options.fs);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (edit == NULL) edit = wal_edit_learn(wal_rig_script);
    struct wal_rig *rig = wal_edit_begin(edit);
    struct reader reader = reader_make(slice_make(data, size));
    uint8_t flags = reader_left(&reader) > 0 ? reader_u8(&reader) : 0;
    (void)wal_edit_apply(edit, &reader);

    struct data_dir_identity identity = {.cluster_id = rig->options.cluster_id, .member_id = rig->options.member_id};
    struct readwal_print_options options = {.index_max = UINT64_MAX, .types = (flags & 8) != 0 ? "put,conf,head,unknown" : ""};
    options.log.directory = WAL_RIG_DIRECTORY;
    options.log.identity = &identity;
    options.log.is_part = (flags & 16) != 0;
    options.has_summary = (flags & 2) != 0;
    options.has_marks = (flags & 4) != 0;
    uint64_t used = fs_sim_used(rig->disk);
    size_t unsynced = fs_sim_unsynced(rig->disk);
    struct tool_rig tool;
    tool_rig_init(&tool, rig->disk, (flags & 1) != 0);
    enum tool_exit code = readwal_print(&tool.tool, &options);
    tool_rig_check(&tool);
    tool_rig_deinit(&tool);
    ASSERT(fs_sim_used(rig->disk) == used && fs_sim_unsynced(rig->disk) == unsynced);
    if (options.log.is_part) return 0;
    enum tool_exit started = start(rig);
    ASSERT(code == started);
    return 0;
}
