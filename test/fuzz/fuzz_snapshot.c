/* fuzz_snapshot: a byte of flags, and a snapshot file that a member starts with or is sent, or that a client saved and restores.
 *
 * As it is, a file is refused with its name and a reason, or it is one that a writer could have made. With the flag "forge" its checksums, ids
 * and numbers are made to fit first, and nothing is promised about what it says; but what is loaded must be a whole state all the same: it
 * has the hash that it names, it can be walked at every revision, written once more, compacted and taken apart. Whatever can be loaded can be
 * restored, with and without a bump, and nothing else can. Thread: one. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "fuzz/fuzz.h"
#include "lib/snapshot_rig.h"
#include "storage/mvcc_content.h"
#include "storage/restore.h"

enum { FLAG_FORGE = 1, FLAG_STEPS = 2, FLAG_VERIFY = 4, FLAG_SAVED = 8, FLAG_RESTORE = 16, FLAG_BUMP = 32 };
#define REVISIONS_MAX 40
#define BUMP 1000

static void put_u32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

static void forge_head(uint8_t *bytes, size_t file_bytes)
{
    if (file_bytes < SNAPSHOT_FORMAT_HEAD) return;
    put_u32(bytes + SNAPSHOT_FORMAT_HEAD - 4, crc32c(0, bytes, SNAPSHOT_FORMAT_HEAD - 4));
}

/* Everything that guards the blocks. */
static void forge(uint8_t *bytes, size_t size)
{
    struct snapshot_format_head head;
    bool is_supported = true;
    forge_head(bytes, size);
    if (size < SNAPSHOT_FORMAT_HEAD || snapshot_format_get_head(bytes, &head, &is_supported) != NULL) return;
    uint64_t id = snapshot_format_id(&head);
    uint32_t number = 0;
    for (size_t at = SNAPSHOT_FORMAT_HEAD; size - at >= SNAPSHOT_FORMAT_FRAME; number++) {
        struct snapshot_format_block block = snapshot_format_get_frame(bytes + at);
        if (block.payload_bytes > size - at - SNAPSHOT_FORMAT_FRAME) return;
        memcpy(bytes + at + 8, &id, sizeof id);
        put_u32(bytes + at + 16, number);
        if (block.section == SNAPSHOT_FORMAT_END && block.payload_bytes == SNAPSHOT_FORMAT_END_BYTES) {
            uint64_t file_bytes = size;
            memcpy(bytes + at + SNAPSHOT_FORMAT_FRAME, &file_bytes, sizeof file_bytes);
            put_u32(bytes + at + SNAPSHOT_FORMAT_FRAME + 32, number);
        }
        put_u32(bytes + at, crc32c(0, bytes + at + 4, SNAPSHOT_FORMAT_FRAME - 4 + block.payload_bytes));
        at += SNAPSHOT_FORMAT_FRAME + block.payload_bytes;
    }
}

static void walk(const struct mvcc_view *view)
{
    int64_t last = mvcc_view_revision(view);
    int64_t first = mvcc_view_compact_revision(view) > 0 ? mvcc_view_compact_revision(view) : 1;
    if (last - first > REVISIONS_MAX) first = last - REVISIONS_MAX;
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    for (int64_t revision = first; revision <= last; revision++) {
        struct mvcc_scan scan;
        struct mvcc_kv kv;
        int64_t count = 0;
        mvcc_scan_init(&scan, view, &all, revision);
        for (; mvcc_scan_next(&scan, &kv); count++) ASSERT(kv.mod_revision <= revision);
        ASSERT(mvcc_count(view, &all, revision) == count);
        (void)mvcc_hash(view, revision);
    }
    struct mvcc_history history;
    struct mvcc_change change;
    int64_t seen = 0;
    mvcc_history_init(&history, view, first);
    for (; mvcc_history_next(&history, &change); seen = change.revision) ASSERT(change.revision >= seen);
}

/* What was loaded lives: it is written again, and goes on. */
static void live(struct fs *fs, struct state_machine_loaded *loaded)
{
    struct snapshot_rig_store store, again;
    struct state_machine_loaded *second = NULL;
    char *path = snapshot_rig_path(2);
    struct rng rng = snapshot_rig_rng(1);
    snapshot_rig_store_init(&store, loaded->content);
    loaded->content = NULL;
    walk(mvcc_view(store.mvcc));
    enum err err = snapshot_rig_write(fs, snapshot_rig_image(store.mvcc, 2), NULL, NULL);
    ASSERT(err == ERR_OK);
    err = snapshot_rig_load(fs, path, &second);
    ASSERT(err == ERR_OK);
    snapshot_rig_store_init(&again, second->content);
    second->content = NULL;
    state_machine_loaded_free(second);
    ASSERT(mvcc_hash(mvcc_view(again.mvcc), 0) == mvcc_hash(mvcc_view(store.mvcc), 0));
    snapshot_rig_store_deinit(&again);
    if (mvcc_view_revision(mvcc_view(store.mvcc)) < INT64_C(1) << 50) {
        for (int i = 0; i < 10; i++) snapshot_rig_change(store.mvcc, &rng, 12, false);
        snapshot_rig_compact(store.mvcc, mvcc_view_revision(mvcc_writer_view(store.mvcc)));
        snapshot_rig_settle(&store);
        walk(mvcc_view(store.mvcc));
    }
    snapshot_rig_store_deinit(&store);
    alloc_free(path);
}

static void restore(struct fs *fs, const char *path, uint8_t flags, bool is_loaded)
{
    char message[512] = "";
    struct restore_result result;
    struct restore_file file;
    struct cluster *cluster = cluster_from_initial("a=http://h:1", "another", message, sizeof message);
    const struct restore_options options = {.fs = fs, .file = path, .data_path = "new", .wal_path = "", .cluster = cluster,
                                            .member_id = cluster->members[0].id, .conf = slice_from_string("conf"),
                                            .bump_revision = (flags & FLAG_BUMP) != 0 ? BUMP : 0, .segment_bytes = 4096,
                                            .skip_hash_check = (flags & FLAG_SAVED) == 0};
    enum err err = restore_run(&options, &result, message, sizeof message);
    bool is_too_high = err == ERR_STOPPED && (strstr(message, "cannot be raised") != NULL || strstr(message, "nothing can follow") != NULL);
    ASSERT((err == ERR_OK) == is_loaded || is_too_high);
    ASSERT(err == ERR_OK || message[0] != '\0');
    if (err == ERR_OK) {
        char name[SNAPSHOT_FORMAT_NAME_SIZE], made[80];
        snapshot_format_name(result.head.index, result.head.term, name);
        (void)snprintf(made, sizeof made, "new/snap/%s", name);
        err = restore_inspect(fs, made, SNAPSHOT_READER_NO_TRAILER, NULL, NULL, &file, message, sizeof message);
        ASSERT(err == ERR_OK && file.head.revision == result.file_revision + options.bump_revision);
    }
    cluster_unref(cluster);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct blob *file = blob_copy(slice_make(data + 1, size - 1));
    if ((data[0] & FLAG_FORGE) != 0) forge(file->data, file->size);
    if ((data[0] & FLAG_SAVED) != 0) {
        struct blob *saved = snapshot_rig_saved(blob_slice(file));
        blob_unref(file);
        file = saved;
    }
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    char *path = snapshot_rig_path(1);
    snapshot_rig_make_dir(fs);
    snapshot_rig_put(fs, path, blob_slice(file));
    struct snapshot_load_options options = {.fs = fs, .path = path, .is_blocking = (data[0] & FLAG_STEPS) == 0};
    options.is_verify_only = (data[0] & FLAG_VERIFY) != 0;
    if ((data[0] & FLAG_SAVED) != 0) options.trailer = SNAPSHOT_READER_TRAILER_MUST;
    struct snapshot_load *load = snapshot_load_new(&options);
    while (snapshot_load_step(load)) ASSERT(snapshot_load_state(load) == SNAPSHOT_LOAD_RUNNING);
    bool is_done = snapshot_load_state(load) == SNAPSHOT_LOAD_DONE;
    ASSERT(is_done || strncmp(snapshot_load_message(load), path, strlen(path)) == 0);
    struct state_machine_loaded *loaded = is_done && !options.is_verify_only ? snapshot_load_take(load) : NULL;
    snapshot_load_free(load);
    if ((data[0] & FLAG_RESTORE) != 0 && !options.is_verify_only) restore(fs, path, data[0], is_done);
    if (loaded != NULL) live(fs, loaded);
    state_machine_loaded_free(loaded);
    alloc_free(path);
    fs_free(fs);
    fs_sim_disk_free(disk);
    blob_unref(file);
    return 0;
}
