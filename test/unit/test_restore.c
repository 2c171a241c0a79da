/* test_restore: does a saved snapshot become a member, and only a whole one?
 *
 * Files as clients save them are verified to the last byte; what is restored is the same state under another cluster's identity, for all its
 * members alike, with revisions raised or not; and whatever fails or ends while it is made, no half of a directory is left under its name. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "lib/snapshot_rig.h"
#include "storage/data_dir.h"
#include "storage/restore.h"
#include "storage/snapshot_rewrite.h"
#include "storage/wal.h"

#define INDEX 7
#define TERM 3 /* snapshot_rig's */
#define SAVED "saved.db"
#define BUMP 1000
#define INITIAL "a=http://h:1,b=http://h:2,c=http://h:3"

struct scene {
    struct snapshot_rig_store store;
    struct fs_sim_disk *disk;
    struct fs *fs;
    char *path; /* of the member's own file; SAVED is what a client saved of it */
    struct cluster *cluster;
    char message[512];
};

/* An image whose cluster has no space left, as alarm_state_encode says it. */
static struct state_machine_image *image_of(struct mvcc *mvcc)
{
    struct state_machine_image *image = snapshot_rig_image(mvcc, INDEX);
    struct alarm_state *state = alarm_state_new();
    const struct alarm_request request = {.action = ALARM_ACTIVATE, .alarm = {.member = 42, .type = ALARM_NOSPACE}};
    bool is_named = false;
    struct buf bytes;
    ck_assert_int_eq(alarm_state_change(state, &request, &is_named), ERR_OK);
    buf_init(&bytes);
    alarm_state_encode(state, &bytes);
    blob_unref(image->alarms);
    image->alarms = buf_take_blob(&bytes);
    buf_deinit(&bytes);
    alarm_state_free(state);
    return image;
}

static void scene_init(struct scene *scene, int changes, uint32_t keys)
{
    struct rng rng = snapshot_rig_rng(4);
    *scene = (struct scene){.disk = fs_sim_disk_new()};
    scene->fs = fs_sim_new(scene->disk, true);
    scene->path = snapshot_rig_path(INDEX);
    snapshot_rig_make_dir(scene->fs);
    snapshot_rig_store_init(&scene->store, NULL);
    for (int i = 0; i < changes; i++) snapshot_rig_change(scene->store.mvcc, &rng, keys, keys > 100);
    if (changes > 10) snapshot_rig_compact(scene->store.mvcc, changes / 3);
    ck_assert_int_eq(snapshot_rig_write(scene->fs, image_of(scene->store.mvcc), NULL, NULL), ERR_OK);
    struct blob *file = snapshot_rig_bytes(scene->fs, scene->path);
    struct blob *saved = snapshot_rig_saved(blob_slice(file));
    snapshot_rig_put(scene->fs, SAVED, blob_slice(saved));
    scene->cluster = cluster_from_initial(INITIAL, "another token", scene->message, sizeof scene->message);
    ck_assert_ptr_nonnull(scene->cluster);
    blob_unref(saved);
    blob_unref(file);
}

static void scene_deinit(struct scene *scene)
{
    snapshot_rig_store_deinit(&scene->store);
    cluster_unref(scene->cluster);
    alloc_free(scene->path);
    fs_free(scene->fs);
    fs_sim_disk_free(scene->disk);
}

/* --- saved files --------------------------------------------------------------------------------------------------------------- */

static enum err inspect(struct scene *scene, const char *path, enum snapshot_reader_trailer trailer)
{
    struct restore_file file;
    enum err err = restore_inspect(scene->fs, path, trailer, NULL, NULL, &file, scene->message, sizeof scene->message);
    ck_assert(err == ERR_OK || strncmp(scene->message, path, strlen(path)) == 0);
    return err;
}

START_TEST(test_restore_status_says_what_the_file_is)
{
    struct scene scene;
    struct restore_file file;
    scene_init(&scene, 40, 12);
    const struct mvcc_view *view = mvcc_view(scene.store.mvcc);
    ck_assert_int_eq(restore_inspect(scene.fs, SAVED, SNAPSHOT_READER_TRAILER, NULL, NULL, &file, scene.message, 512), ERR_OK);
    ck_assert_uint_eq(file.hash, mvcc_hash(view, 0));
    ck_assert_int_eq(file.head.revision, mvcc_view_revision(view));
    ck_assert_int_eq(file.head.compact_revision, mvcc_view_compact_revision(view));
    ck_assert_uint_eq(file.file_bytes, fs_sim_size(scene.disk, SAVED));
    ck_assert_str_eq(file.version, "3.6.0");
    ck_assert_uint_eq(file.head.index, INDEX);
    ck_assert_uint_gt(file.versions, file.head.live_keys);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_a_trailer_is_taken_only_where_it_may_be)
{
    struct scene scene;
    scene_init(&scene, 20, 12);
    ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER), ERR_OK);
    ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER_MUST), ERR_OK);
    ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER_UNSEEN), ERR_OK);
    ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_NO_TRAILER), ERR_CORRUPT);
    ck_assert_int_eq(inspect(&scene, scene.path, SNAPSHOT_READER_TRAILER), ERR_OK);
    ck_assert_int_eq(inspect(&scene, scene.path, SNAPSHOT_READER_TRAILER_UNSEEN), ERR_OK);
    ck_assert_int_eq(inspect(&scene, scene.path, SNAPSHOT_READER_NO_TRAILER), ERR_OK);
    ck_assert_int_eq(inspect(&scene, scene.path, SNAPSHOT_READER_TRAILER_MUST), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(scene.message, "the hash is missing"));
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_every_bit_of_a_saved_file_that_flips_is_noticed)
{
    struct scene scene;
    scene_init(&scene, 16, 12);
    uint64_t size = fs_sim_size(scene.disk, SAVED), end = fs_sim_size(scene.disk, scene.path), sum = size - SHA256_BYTES;
    for (uint64_t bit = 0; bit < 8 * size; bit++) {
        uint64_t place = bit / 8;
        fs_sim_flip(scene.disk, SAVED, place, (uint8_t)(1 << bit % 8));
        ck_assert_msg(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER) == ERR_CORRUPT, "bit %lu", (unsigned long)bit);
        enum err unseen = inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER_UNSEEN);
        if (place < end || place >= sum) ck_assert_int_eq(unseen, place < end ? ERR_CORRUPT : ERR_OK);
        fs_sim_flip(scene.disk, SAVED, place, (uint8_t)(1 << bit % 8));
    }
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_every_cut_of_a_saved_file_and_every_byte_too_many_is_noticed)
{
    struct scene scene;
    scene_init(&scene, 16, 12);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, SAVED);
    uint64_t end = fs_sim_size(scene.disk, scene.path);
    for (uint32_t size = 0; size < bytes->size; size++) {
        snapshot_rig_put(scene.fs, SAVED, slice_make(bytes->data, size));
        ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER_MUST), ERR_CORRUPT);
        ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER), size == end ? ERR_OK : ERR_CORRUPT);
    }
    uint8_t *longer = alloc_zero(bytes->size + 2000, 1);
    memcpy(longer, bytes->data, bytes->size);
    for (uint32_t more = 1; more <= 2000; more += more < 600 ? 1 : 7) {
        snapshot_rig_put(scene.fs, SAVED, slice_make(longer, bytes->size + more));
        ck_assert_int_eq(inspect(&scene, SAVED, SNAPSHOT_READER_TRAILER_UNSEEN), ERR_CORRUPT);
    }
    alloc_free(longer);
    blob_unref(bytes);
    scene_deinit(&scene);
}
END_TEST

/* --- members --------------------------------------------------------------------------------------------------------------------- */

static struct restore_options options_of(struct scene *scene, size_t member, const char *data_path)
{
    return (struct restore_options){.fs = scene->fs, .file = SAVED, .data_path = data_path, .wal_path = "", .cluster = scene->cluster,
                                    .member_id = scene->cluster->members[member].id, .conf = slice_from_string("their configuration"),
                                    .uuid = {1, 2, 3}, .segment_bytes = 8192};
}

static enum err restore(struct scene *scene, const struct restore_options *options, struct restore_result *out_result)
{
    return restore_run(options, out_result, scene->message, sizeof scene->message);
}

static void no_entry(void *context, const struct raft_entry *entry)
{
    (void)context;
    ck_assert_ptr_null(entry);
}

/* A start's way to the state: identity, snapshot, log. */
static struct state_machine_loaded *start(struct fs *fs, const char *data_path, const char *wal_path, struct data_dir_identity *out_identity)
{
    struct data_dir dir;
    struct snapshot_dir snapshots;
    struct state_machine_loaded *loaded = NULL;
    struct wal *wal = NULL;
    struct wal_recovered found = {0};
    char message[512] = "";
    struct data_names names;
    ck_assert_int_eq(data_names_load(fs, data_path, &names, message, sizeof message), ERR_OK);
    ck_assert_int_eq(data_dir_open(fs, data_path, wal_path, &names, &dir, message, sizeof message), ERR_OK);
    ck_assert_msg(data_dir_load_identity(&dir, out_identity, message, sizeof message) == ERR_OK, "%s", message);
    ck_assert_int_eq(snapshot_dir_open(fs, dir.snap_path, &snapshots, message, sizeof message), ERR_OK);
    enum err err = snapshot_dir_load(&snapshots, out_identity->cluster_id, NULL, NULL, &loaded, message, sizeof message);
    ck_assert_msg(err == ERR_OK && loaded != NULL, "%s", message);
    const struct wal_options options = {.fs = fs, .directory = dir.wal_path, .cluster_id = out_identity->cluster_id,
                                        .member_id = out_identity->member_id, .segment_bytes = 8192, .batch_bytes_max = 65536,
                                        .snapshot_index = loaded->index, .snapshot_term = loaded->term, .must_exist = true};
    err = wal_open(&options, blob_slice(loaded->conf), no_entry, NULL, &wal, &found);
    ck_assert_msg(err == ERR_OK, "%s", found.message);
    ck_assert(!found.is_reset && found.tail == WAL_TAIL_CLEAN && found.message[0] == '\0');
    ck_assert_uint_eq(found.last_index, loaded->index);
    ck_assert_uint_eq(found.hard.term, loaded->term);
    ck_assert_uint_eq(found.hard.commit, loaded->index);
    wal_close(wal);
    wal_recovered_deinit(&found);
    snapshot_dir_close(&snapshots);
    data_dir_close(&dir);
    return loaded;
}

static void check_identity(const struct scene *scene, const struct data_dir_identity *identity, const struct state_machine_loaded *loaded,
                           size_t member)
{
    ck_assert_uint_eq(identity->cluster_id, scene->cluster->id);
    ck_assert_uint_eq(identity->member_id, scene->cluster->members[member].id);
    ck_assert_uint_eq(identity->uuid[2], 3);
    ck_assert_uint_eq(loaded->index, INDEX);
    ck_assert_uint_eq(loaded->term, TERM + 1);
    ck_assert(slice_equal(blob_slice(loaded->conf), slice_from_string("their configuration")));
    ck_assert_uint_eq(loaded->cluster->id, scene->cluster->id);
    ck_assert_uint_eq(loaded->cluster->member_count, 3);
    ck_assert_str_eq(loaded->cluster->version, "");
    ck_assert_ptr_null(loaded->alarms);
}

START_TEST(test_restore_without_a_bump_keeps_every_version)
{
    struct scene scene;
    struct snapshot_rig_store store;
    struct restore_result result;
    struct data_dir_identity identity;
    scene_init(&scene, 60, 400);
    for (size_t member = 0; member < 3; member++) {
        char path[8];
        (void)snprintf(path, sizeof path, "new%zu", member);
        struct restore_options options = options_of(&scene, member, path);
        ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
        struct state_machine_loaded *loaded = start(scene.fs, path, "", &identity);
        check_identity(&scene, &identity, loaded, member);
        snapshot_rig_store_init(&store, loaded->content);
        loaded->content = NULL;
        state_machine_loaded_free(loaded);
        snapshot_rig_compare(mvcc_view(scene.store.mvcc), mvcc_view(store.mvcc));
        snapshot_rig_store_deinit(&store);
    }
    ck_assert_int_eq(result.file_revision, result.head.revision);
    scene_deinit(&scene);
}
END_TEST

/* Every key as it is in `before`, at raised revisions; nothing older. */
static void check_bumped(const struct mvcc_view *before, const struct mvcc_view *after)
{
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    struct mvcc_scan was, is;
    struct mvcc_kv old_kv, kv;
    int64_t revision = mvcc_view_revision(before) + BUMP;
    ck_assert_int_eq(mvcc_view_revision(after), revision);
    ck_assert_int_eq(mvcc_view_compact_revision(after), revision);
    ck_assert_int_eq(mvcc_view_check(after, revision - 1), ERR_COMPACTED);
    ck_assert_int_eq(mvcc_view_check(after, revision), ERR_OK);
    mvcc_scan_init(&was, before, &all, 0);
    mvcc_scan_init(&is, after, &all, revision);
    while (mvcc_scan_next(&was, &old_kv)) {
        ck_assert(mvcc_scan_next(&is, &kv));
        ck_assert(slice_equal(old_kv.key, kv.key) && slice_equal(old_kv.value, kv.value));
        ck_assert_int_eq(old_kv.mod_revision, kv.mod_revision);
        ck_assert_int_eq(old_kv.create_revision, kv.create_revision);
        ck_assert_int_eq(old_kv.version, kv.version);
        ck_assert_int_eq(old_kv.lease, kv.lease);
    }
    ck_assert(!mvcc_scan_next(&is, &kv));
}

/* What goes on in a restored store, and in what is restored from it again. */
static void live_on(struct scene *scene, struct snapshot_rig_store *store)
{
    struct rng rng = snapshot_rig_rng(9);
    struct state_machine_loaded *loaded = NULL;
    struct snapshot_rig_store again;
    char *path = snapshot_rig_path(INDEX + 1);
    for (int i = 0; i < 30; i++) snapshot_rig_change(store->mvcc, &rng, 12, false);
    mvcc_publish(store->mvcc);
    ck_assert_int_eq(snapshot_rig_write(scene->fs, snapshot_rig_image(store->mvcc, INDEX + 1), NULL, NULL), ERR_OK);
    ck_assert_int_eq(snapshot_rig_load(scene->fs, path, &loaded), ERR_OK);
    snapshot_rig_store_init(&again, loaded->content);
    loaded->content = NULL;
    state_machine_loaded_free(loaded);
    snapshot_rig_compare(mvcc_view(store->mvcc), mvcc_view(again.mvcc));
    struct snapshot_rig_store *both[] = {store, &again};
    for (size_t i = 0; i < 2; i++) {
        struct rng same = snapshot_rig_rng(10);
        for (int n = 0; n < 30; n++) snapshot_rig_change(both[i]->mvcc, &same, 12, false);
        snapshot_rig_compact(both[i]->mvcc, mvcc_view_revision(mvcc_writer_view(both[i]->mvcc)) - 20);
        snapshot_rig_settle(both[i]);
    }
    snapshot_rig_compare(mvcc_view(store->mvcc), mvcc_view(again.mvcc));
    snapshot_rig_store_deinit(&again);
    alloc_free(path);
}

START_TEST(test_restore_with_a_bump_keeps_what_is_there_and_raises_the_revision)
{
    static const struct {
        int changes;
        uint32_t keys;
    } sizes[] = {{0, 1}, {1, 1}, {9, 12}, {60, 12}, {300, 400}, {3000, 2000}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct scene scene;
        struct snapshot_rig_store store;
        struct restore_result result;
        struct data_dir_identity identity;
        scene_init(&scene, sizes[i].changes, sizes[i].keys);
        struct restore_options options = options_of(&scene, 1, "new");
        options.bump_revision = BUMP;
        ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
        ck_assert_int_eq(result.head.revision, result.file_revision + BUMP);
        struct state_machine_loaded *loaded = start(scene.fs, "new", "", &identity);
        check_identity(&scene, &identity, loaded, 1);
        snapshot_rig_store_init(&store, loaded->content);
        loaded->content = NULL;
        state_machine_loaded_free(loaded);
        check_bumped(mvcc_view(scene.store.mvcc), mvcc_view(store.mvcc));
        live_on(&scene, &store);
        snapshot_rig_store_deinit(&store);
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_restore_members_of_one_file_have_one_state)
{
    struct scene scene;
    struct restore_result results[3];
    struct restore_file files[3];
    scene_init(&scene, 100, 30);
    for (size_t member = 0; member < 3; member++) {
        char path[8], file[64];
        (void)snprintf(path, sizeof path, "new%zu", member);
        struct restore_options options = options_of(&scene, member, path);
        options.bump_revision = BUMP;
        ck_assert_msg(restore(&scene, &options, &results[member]) == ERR_OK, "%s", scene.message);
        (void)snprintf(file, sizeof file, "%s/snap/%016x-%016x.snap", path, TERM + 1, INDEX);
        ck_assert_int_eq(restore_inspect(scene.fs, file, SNAPSHOT_READER_NO_TRAILER, NULL, NULL, &files[member], scene.message, 512), ERR_OK);
        ck_assert_uint_eq(files[member].hash, files[0].hash);
        ck_assert_uint_eq(results[member].head.index, results[0].head.index);
        ck_assert_uint_eq(results[member].head.term, results[0].head.term);
    }
    scene_deinit(&scene);
}
END_TEST

/* --- refusals -------------------------------------------------------------------------------------------------------------------- */

static void refused(struct scene *scene, const struct restore_options *options, enum err expected, const char *words)
{
    struct restore_result result;
    enum err err = restore(scene, options, &result);
    ck_assert_msg(err == expected && strstr(scene->message, words) != NULL, "%s: %s", err_name(err), scene->message);
    ck_assert(!fs_sim_exists(scene->disk, "new/identity"));
    ck_assert(!fs_sim_exists(scene->disk, "new.part"));
}

static void make_dir(struct scene *scene, const char *path)
{
    struct fs_op make = {.kind = FS_MKDIR, .path = path};
    ck_assert_int_eq(fs_run(scene->fs, &make), 0);
}

START_TEST(test_restore_a_file_that_is_damaged_or_no_saved_snapshot_is_refused)
{
    struct scene scene;
    struct restore_result result;
    scene_init(&scene, 40, 12);
    struct restore_options options = options_of(&scene, 0, "new");
    for (options.bump_revision = 0; options.bump_revision <= BUMP; options.bump_revision += BUMP) {
        for (uint64_t place = 0; place < fs_sim_size(scene.disk, SAVED); place += 61) {
            fs_sim_flip(scene.disk, SAVED, place, 4);
            refused(&scene, &options, ERR_CORRUPT, "saved.db: corrupt");
            fs_sim_flip(scene.disk, SAVED, place, 4);
        }
    }
    options.file = "data/snap/none";
    refused(&scene, &options, ERR_STOPPED, "cannot be read");
    snapshot_rig_put(scene.fs, "foreign", slice_make("something of another kind, and longer than a head is, so that it is looked at as one: "
                                                     "this is not a snapshot at all, whoever made it", 128));
    options.file = "foreign";
    refused(&scene, &options, ERR_CORRUPT, "not a snapshot file");
    options.file = scene.path;
    refused(&scene, &options, ERR_CORRUPT, "the hash is missing");
    options.skip_hash_check = true;
    ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_skips_the_hash_of_the_file_but_not_those_of_its_blocks)
{
    struct scene scene;
    struct restore_result result;
    scene_init(&scene, 40, 12);
    struct restore_options options = options_of(&scene, 0, "new");
    options.skip_hash_check = true;
    fs_sim_flip(scene.disk, SAVED, fs_sim_size(scene.disk, scene.path) / 2, 1);
    refused(&scene, &options, ERR_CORRUPT, "a block is damaged");
    fs_sim_flip(scene.disk, SAVED, fs_sim_size(scene.disk, scene.path) / 2, 1);
    fs_sim_flip(scene.disk, SAVED, fs_sim_size(scene.disk, SAVED) - 1, 1);
    ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_a_directory_that_is_not_new_is_refused)
{
    struct scene scene;
    struct restore_result result;
    scene_init(&scene, 10, 12);
    struct restore_options options = options_of(&scene, 0, "new");
    make_dir(&scene, "new");
    make_dir(&scene, "new/snap");
    refused(&scene, &options, ERR_STOPPED, "new: not empty");
    options.data_path = "other";
    options.wal_path = "new/";
    refused(&scene, &options, ERR_STOPPED, "new: not empty");
    ck_assert(!fs_sim_exists(scene.disk, "other"));
    options.data_path = SAVED "/";
    options.wal_path = "";
    options.data_path = "third";
    make_dir(&scene, "third.part");
    make_dir(&scene, "third.part/precious");
    refused(&scene, &options, ERR_STOPPED, "third.part/precious: in the way");
    ck_assert(fs_sim_exists(scene.disk, "third.part/precious"));
    options.data_path = "empty";
    make_dir(&scene, "empty");
    ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
    refused(&scene, &options, ERR_STOPPED, "empty: not empty");
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_a_revision_that_cannot_be_raised_so_far_is_refused)
{
    struct scene scene;
    scene_init(&scene, 10, 12);
    struct restore_options options = options_of(&scene, 0, "new");
    options.bump_revision = INT64_MAX;
    refused(&scene, &options, ERR_STOPPED, "cannot be raised so far");
    options.bump_revision = MVCC_RECORD_REVISION_MAX - 12; /* nothing could be written afterwards */
    refused(&scene, &options, ERR_STOPPED, "cannot be raised so far");
    options.bump_revision = SNAPSHOT_REWRITE_REVISION_MAX - 11;
    refused(&scene, &options, ERR_STOPPED, "its revision is 11");
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_restore_puts_the_log_where_it_is_wanted)
{
    static const char *const places[] = {"elsewhere/log", "new/log", "new/deep/log/"};
    for (size_t i = 0; i < 3; i++) {
        struct scene scene;
        struct restore_result result;
        struct data_dir_identity identity;
        scene_init(&scene, 10, 12);
        struct restore_options options = options_of(&scene, 0, "new");
        options.wal_path = places[i];
        ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
        ck_assert(!fs_sim_exists(scene.disk, "new/wal") && !fs_sim_exists(scene.disk, "new.part"));
        ck_assert(!fs_sim_exists(scene.disk, "elsewhere/log.part"));
        state_machine_loaded_free(start(scene.fs, "new", places[i], &identity));
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_restore_under_other_names)
{
    const struct data_names names = data_names_make("log", "pictures", "who");
    struct scene scene;
    struct restore_result result;
    struct data_dir_identity identity;
    scene_init(&scene, 10, 12);
    struct restore_options options = options_of(&scene, 0, "new");
    options.names = &names;
    ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
    ck_assert(fs_sim_exists(scene.disk, "new/who") && fs_sim_exists(scene.disk, "new/names") && !fs_sim_exists(scene.disk, "new/wal"));
    ck_assert(!fs_sim_exists(scene.disk, "new/snap") && !fs_sim_exists(scene.disk, "new/identity") && !fs_sim_exists(scene.disk, "new.part"));
    state_machine_loaded_free(start(scene.fs, "new", "", &identity));
    scene_deinit(&scene);
}
END_TEST

/* --- interruptions ---------------------------------------------------------------------------------------------------------------- */

/* On such a disk DATA is whole or not there, and the next restore is done. */
static void check_disk(struct scene *scene, struct fs_sim_disk *disk, struct restore_options options)
{
    struct fs *fs = fs_sim_new(disk, true);
    struct restore_result result;
    struct data_dir_identity identity;
    struct fs *own = scene->fs;
    options.fs = scene->fs = fs;
    if (fs_sim_exists(disk, "new/identity") || fs_sim_exists(disk, "new/snap") || fs_sim_exists(disk, "new")) {
        ck_assert_int_eq(restore(scene, &options, &result), ERR_STOPPED);
    } else if (options.wal_path[0] != '\0' && fs_sim_exists(disk, options.wal_path)) {
        ck_assert_int_eq(restore(scene, &options, &result), ERR_STOPPED); /* it says which directory is in the way */
        ck_assert_ptr_nonnull(strstr(scene->message, "elsewhere: not empty"));
        scene->fs = own;
        fs_free(fs);
        return;
    } else {
        ck_assert_msg(restore(scene, &options, &result) == ERR_OK, "%s", scene->message);
    }
    state_machine_loaded_free(start(fs, "new", options.wal_path, &identity));
    scene->fs = own;
    fs_free(fs);
}

/* The file and its name are safe. */
static void sync_saved(struct scene *scene)
{
    struct fs_op sync_file = {.kind = FS_FDATASYNC};
    ck_assert_int_eq(fs_open(scene->fs, SAVED, FS_READ | FS_WRITE, &sync_file.file), 0);
    ck_assert_int_eq(fs_run(scene->fs, &sync_file), 0);
    fs_close(scene->fs, sync_file.file);
    static const char *const directories[] = {".", "data", SNAPSHOT_RIG_DIR};
    for (size_t i = 0; i < 3; i++) {
        struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = directories[i]};
        ck_assert_int_eq(fs_run(scene->fs, &sync), 0);
    }
}

static void crash_everywhere(const char *wal_path)
{
    struct scene scene;
    struct restore_result result;
    uint64_t ops = 1;
    for (uint64_t at = 1; at <= ops; at++) {
        scene_init(&scene, 12, 12);
        struct restore_options options = options_of(&scene, 0, "new");
        options.wal_path = wal_path;
        options.bump_revision = at % 2 == 0 ? BUMP : 0;
        sync_saved(&scene);
        uint64_t before = fs_sim_op_count(scene.disk);
        fs_sim_freeze_at(scene.disk, before + at);
        ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
        ops = fs_sim_op_count(scene.disk) - before;
        const struct fs_sim_disk *found = at < ops ? fs_sim_frozen(scene.disk) : scene.disk;
        ck_assert_ptr_nonnull(found);
        for (int names = 0; names < FS_SIM_NAMES_KINDS; names++) {
            for (uint64_t seed = 0; seed < 4; seed++) {
                const struct fs_sim_crash crash = {.loss = FS_SIM_RANDOM, .seed = at * 100 + seed, .names = (enum fs_sim_names)names};
                struct fs_sim_disk *disk = fs_sim_crash(found, &crash);
                check_disk(&scene, disk, options);
                fs_sim_disk_free(disk);
            }
        }
        scene_deinit(&scene);
    }
    ck_assert_uint_gt(ops, 10);
}

START_TEST(test_restore_power_that_goes_at_any_step_leaves_a_whole_directory_or_none) { crash_everywhere(""); }
END_TEST

START_TEST(test_restore_with_a_log_of_its_own_is_whole_or_says_what_is_in_the_way) { crash_everywhere("elsewhere"); }
END_TEST

START_TEST(test_restore_a_call_that_fails_is_named_and_leaves_nothing)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_PREAD, FS_SIZE, FS_LIST, FS_PWRITE, FS_FDATASYNC, FS_FSYNC_DIR, FS_RENAME, FS_MKDIR,
                                         FS_ALLOCATE, FS_LOCK};
    const struct data_names names = data_names_make("log", "pictures", "who");
    struct restore_result result;
    struct data_dir_identity identity;
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        uint64_t failed = 1;
        for (uint64_t nth = 1; failed > 0; nth++) {
            struct scene scene;
            scene_init(&scene, 12, 12);
            struct restore_options options = options_of(&scene, 0, "new");
            options.bump_revision = nth % 2 == 0 ? BUMP : 0;
            options.names = nth % 3 == 0 ? NULL : &names;
            fs_sim_fail(scene.disk, kinds[kind], nth, EIO);
            enum err err = restore(&scene, &options, &result);
            failed = fs_sim_failed(scene.disk);
            fs_sim_fail(scene.disk, kinds[kind], 0, 0);
            if (err != ERR_OK) ck_assert_msg(!fs_sim_exists(scene.disk, "new"), "kind %d, call %lu", (int)kinds[kind], (unsigned long)nth);
            if (err != ERR_OK) ck_assert_ptr_nonnull(strstr(scene.message, ": "));
            if (err != ERR_OK) ck_assert_msg(restore(&scene, &options, &result) == ERR_OK, "%s", scene.message);
            state_machine_loaded_free(start(scene.fs, "new", "", &identity));
            scene_deinit(&scene);
        }
    }
}
END_TEST

START_TEST(test_restore_a_full_disk_is_named_and_leaves_nothing)
{
    struct scene scene;
    struct restore_result result;
    scene_init(&scene, 40, 12);
    const struct data_names names = data_names_make("log", "pictures", "who");
    struct restore_options options = options_of(&scene, 0, "new");
    options.names = &names;
    fs_sim_set_room(scene.disk, fs_sim_used(scene.disk) + 600);
    ck_assert_int_ne(restore(&scene, &options, &result), ERR_OK);
    ck_assert_ptr_nonnull(strstr(scene.message, strerror(ENOSPC)));
    ck_assert(!fs_sim_exists(scene.disk, "new") && !fs_sim_exists(scene.disk, "new.part"));
    scene_deinit(&scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore");
    TCase *files = tcase_create("files"), *members = tcase_create("members"), *faults = tcase_create("faults");
    tcase_set_timeout(files, 60);
    tcase_add_test(files, test_restore_status_says_what_the_file_is);
    tcase_add_test(files, test_restore_a_trailer_is_taken_only_where_it_may_be);
    tcase_add_test(files, test_restore_every_bit_of_a_saved_file_that_flips_is_noticed);
    tcase_add_test(files, test_restore_every_cut_of_a_saved_file_and_every_byte_too_many_is_noticed);
    tcase_set_timeout(members, 60);
    tcase_add_test(members, test_restore_without_a_bump_keeps_every_version);
    tcase_add_test(members, test_restore_with_a_bump_keeps_what_is_there_and_raises_the_revision);
    tcase_add_test(members, test_restore_members_of_one_file_have_one_state);
    tcase_add_test(members, test_restore_a_file_that_is_damaged_or_no_saved_snapshot_is_refused);
    tcase_add_test(members, test_restore_skips_the_hash_of_the_file_but_not_those_of_its_blocks);
    tcase_add_test(members, test_restore_a_directory_that_is_not_new_is_refused);
    tcase_add_test(members, test_restore_a_revision_that_cannot_be_raised_so_far_is_refused);
    tcase_add_test(members, test_restore_puts_the_log_where_it_is_wanted);
    tcase_add_test(members, test_restore_under_other_names);
    tcase_set_timeout(faults, 60);
    tcase_add_test(faults, test_restore_power_that_goes_at_any_step_leaves_a_whole_directory_or_none);
    tcase_add_test(faults, test_restore_with_a_log_of_its_own_is_whole_or_says_what_is_in_the_way);
    tcase_add_test(faults, test_restore_a_call_that_fails_is_named_and_leaves_nothing);
    tcase_add_test(faults, test_restore_a_full_disk_is_named_and_leaves_nothing);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, members);
    suite_add_tcase(suite, faults);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
