/* fuzz_readstate: an identity file (a byte of flags, a byte of size, so many bytes), and edits of a log whose content is known, as fuzz_wal makes
 * them. Whatever they are, readstate ends with a verdict, and what it prints in JSON is JSON. Thread: one; the log is made by the first
 * input. */
#include "fuzz/fuzz.h"
#include "fuzz/tool_rig.h"
#include "fuzz/wal_edit.h"
#include "readstate_print.h"

static struct wal_edit *edit; /* the same for every input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (edit == NULL) edit = wal_edit_learn(wal_rig_script);
    struct wal_rig *rig = wal_edit_begin(edit);
    struct reader reader = reader_make(slice_make(data, size));
    struct tool_rig tool;
    char message[512] = "", path[] = WAL_RIG_DIRECTORY;
    if (size < 2) return 0;
    uint8_t flags = reader_u8(&reader);
    size_t identity_size = reader_u8(&reader);
    if (identity_size > reader_left(&reader)) identity_size = reader_left(&reader);
    struct fs *fs = fs_sim_new(rig->disk, true);
    int error = fs_replace_file(fs, WAL_RIG_DIRECTORY, "identity", reader_bytes(&reader, identity_size));
    ASSERT(error == 0);
    fs_free(fs);
    (void)wal_edit_apply(edit, &reader);

    tool_rig_init(&tool, rig->disk, (flags & 1) != 0);
    struct data_dir dir = {.fs = tool.tool.fs, .path = path, .names = data_names_usual()};
    struct tool_place place = {.wal_path = path, .data_path = (flags & 2) != 0 ? path : NULL};
    enum err err = data_dir_load_identity(&dir, &place.identity, message, sizeof message);
    ASSERT(err == ERR_OK || message[0] != '\0');
    place.has_identity = err == ERR_OK;
    enum tool_exit code = readstate_print(&tool.tool, &place, 0);
    ASSERT(code == TOOL_CLEAN || code == TOOL_ERROR || code == TOOL_TORN || code == TOOL_CORRUPT);
    tool_rig_check(&tool);
    ASSERT(tool.size > 0);
    tool_rig_deinit(&tool);
    return 0;
}
