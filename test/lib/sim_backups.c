/* sim_backups: see sim_backups.h. */
#include "lib/sim_backups.h"

#include <stdio.h>

#include "lib/snapshot_rig.h"
#include "lib/world_watch.h"
#include "storage/data_dir.h"
#include "storage/restore.h"

#define DATA_PATH "restored"
#define SEGMENT_BYTES 8192

static void demand(struct world *world, bool holds, const char *invariant, int64_t expected, int64_t got)
{
    if (!holds) world_watch_broken(world, invariant, 0, (uint64_t)expected, (uint64_t)got);
}

/* As a start finds it. */
static struct state_machine_loaded *load(struct world *world, struct fs *fs)
{
    struct data_dir dir;
    struct snapshot_dir snapshots;
    struct data_dir_identity identity;
    struct state_machine_loaded *loaded = NULL;
    char message[512] = "";
    bool is_open = data_dir_open(fs, DATA_PATH, "", NULL, &dir, message, sizeof message) == ERR_OK;
    demand(world, is_open, "B1 a restored directory opens", 0, 0);
    bool is_good = data_dir_load_identity(&dir, &identity, message, sizeof message) == ERR_OK &&
                   snapshot_dir_open(fs, dir.snap_path, &snapshots, message, sizeof message) == ERR_OK;
    demand(world, is_good, "B1 a restored directory has an identity", 0, 0);
    enum err err = snapshot_dir_load(&snapshots, identity.cluster_id, NULL, NULL, &loaded, message, sizeof message);
    if (err != ERR_OK) fprintf(stderr, "a restored snapshot: %s\n", message);
    demand(world, err == ERR_OK && loaded != NULL, "B1 a restored snapshot loads", 0, (int64_t)err);
    snapshot_dir_close(&snapshots);
    data_dir_close(&dir);
    return loaded;
}

static void compare_present(struct world *world, const struct mvcc_view *before, const struct mvcc_view *after)
{
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    struct mvcc_scan was, is;
    struct mvcc_kv old_kv, kv;
    mvcc_scan_init(&was, before, &all, 0);
    mvcc_scan_init(&is, after, &all, 0);
    while (mvcc_scan_next(&was, &old_kv)) {
        bool is_same = mvcc_scan_next(&is, &kv) && slice_equal(old_kv.key, kv.key) && slice_equal(old_kv.value, kv.value) &&
                       old_kv.mod_revision == kv.mod_revision && old_kv.create_revision == kv.create_revision &&
                       old_kv.version == kv.version && old_kv.lease == kv.lease;
        demand(world, is_same, "B3 a restored key is as it was", old_kv.mod_revision, kv.mod_revision);
    }
    demand(world, !mvcc_scan_next(&is, &kv), "B3 nothing is restored that was not there", 0, 1);
}

static void compare(struct world *world, struct mvcc_content *saved, struct mvcc_content *restored, int64_t bump)
{
    struct snapshot_rig_store was, is;
    snapshot_rig_store_init(&was, saved);
    snapshot_rig_store_init(&is, restored);
    const struct mvcc_view *before = mvcc_view(was.mvcc), *after = mvcc_view(is.mvcc);
    int64_t revision = mvcc_view_revision(before) + bump, mark = bump > 0 ? revision : mvcc_view_compact_revision(before);
    demand(world, mvcc_view_revision(after) == revision, "B3 a restored revision goes up by the bump", revision, mvcc_view_revision(after));
    demand(world, mvcc_view_compact_revision(after) == mark, "B3 below the bump all is compacted", mark, mvcc_view_compact_revision(after));
    compare_present(world, before, after);
    if (bump == 0) demand(world, mvcc_hash(after, 0) == mvcc_hash(before, 0), "B2 every version is restored", 0, 1);
    snapshot_rig_store_deinit(&was);
    snapshot_rig_store_deinit(&is);
}

void sim_backups_check(struct world *world, struct fs *fs, const char *file, struct state_machine_loaded *loaded, int64_t bump)
{
    struct restore_result result;
    char message[512] = "";
    struct cluster *cluster = cluster_from_initial("m0=http://127.0.0.1:1000,m1=http://127.0.0.1:1001", "restored", message, sizeof message);
    struct restore_options options = {.fs = fs, .file = file, .data_path = DATA_PATH, .wal_path = "", .cluster = cluster,
                                      .member_id = cluster->members[0].id, .conf = slice_from_string("the configuration of the new cluster"),
                                      .uuid = {1, 2, 3}, .bump_revision = bump, .segment_bytes = SEGMENT_BYTES};
    enum err err = restore_run(&options, &result, message, sizeof message);
    if (err != ERR_OK) fprintf(stderr, "a restore: %s\n", message);
    demand(world, err == ERR_OK, "B1 a saved snapshot is restored", 0, (int64_t)err);
    struct state_machine_loaded *restored = load(world, fs);
    bool is_new = restored->index == loaded->index && restored->term > loaded->term && restored->cluster->id == cluster->id;
    demand(world, is_new, "B1 a restored member begins behind the position of the file", (int64_t)loaded->term, (int64_t)restored->term);
    demand(world, restored->alarms == NULL, "B1 alarms were about members that are gone", 0, 1);
    struct mvcc_content *saved = loaded->content, *content = restored->content;
    loaded->content = restored->content = NULL;
    state_machine_loaded_free(restored);
    compare(world, saved, content, bump);
    cluster_unref(cluster);
}
