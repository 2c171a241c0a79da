/* fuzz_readsnapshot: a byte of flags, and a snapshot file. With the flag "forge" all checksums, ids and numbers are made to fit first, so that what
 * stands behind them is reached. Whatever the file is, it has a verdict, and what is printed in JSON is JSON. Thread: one. */
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "fuzz/fuzz.h"
#include "fuzz/tool_rig.h"
#include "lib/snapshot_rig.h"
#include "readsnapshot_print.h"

enum { FLAG_JSON = 1, FLAG_FORGE = 2, FLAG_KEYS = 4, FLAG_VALUES = 8, FLAG_ALL = 16, FLAG_OLD = 32 };

static void put_u32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

static void forge(uint8_t *bytes, size_t size)
{
    struct snapshot_format_head head;
    bool is_supported = true;
    if (size < SNAPSHOT_FORMAT_HEAD) return;
    put_u32(bytes + SNAPSHOT_FORMAT_HEAD - 4, crc32c(0, bytes, SNAPSHOT_FORMAT_HEAD - 4));
    if (snapshot_format_get_head(bytes, &head, &is_supported) != NULL) return;
    uint64_t id = snapshot_format_id(&head);
    uint32_t number = 0;
    for (size_t at = SNAPSHOT_FORMAT_HEAD; size - at >= SNAPSHOT_FORMAT_FRAME; number++) {
        struct snapshot_format_block block = snapshot_format_get_frame(bytes + at);
        if (block.payload_bytes > size - at - SNAPSHOT_FORMAT_FRAME) return;
        memcpy(bytes + at + 8, &id, sizeof id);
        put_u32(bytes + at + 16, number);
        put_u32(bytes + at, crc32c(0, bytes + at + 4, SNAPSHOT_FORMAT_FRAME - 4 + block.payload_bytes));
        at += SNAPSHOT_FORMAT_FRAME + block.payload_bytes;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint8_t flags = data[0];
    struct blob *file = blob_copy(slice_make(data + 1, size - 1));
    if ((flags & FLAG_FORGE) != 0) forge(file->data, file->size);
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    char *path = snapshot_rig_path(1);
    snapshot_rig_make_dir(fs);
    snapshot_rig_put(fs, path, blob_slice(file));

    struct readsnapshot_print_options options = {.path = path, .prefix = "", .has_all_versions = (flags & FLAG_ALL) != 0};
    options.has_keys = (flags & FLAG_KEYS) != 0;
    options.has_values = (flags & FLAG_VALUES) != 0;
    options.at_revision = (flags & FLAG_OLD) != 0 && !options.has_all_versions ? 3 : 0;
    struct tool_rig tool;
    tool_rig_init(&tool, disk, (flags & FLAG_JSON) != 0);
    enum tool_exit code = readsnapshot_print(&tool.tool, &options);
    ASSERT(code == TOOL_CLEAN || code == TOOL_ERROR || code == TOOL_CORRUPT);
    tool_rig_check(&tool);
    ASSERT(tool.size > 0);
    tool_rig_deinit(&tool);
    alloc_free(path);
    fs_free(fs);
    fs_sim_disk_free(disk);
    blob_unref(file);
    return 0;
}
