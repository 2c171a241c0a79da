/* Does readsnapshot show the keys that the store had, at every revision that the file retains, and does it tell a good file from a damaged one? */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "fuzz/tool_rig.h"
#include "lib/snapshot_rig.h"
#include "lib/wal_rig.h"
#include "readsnapshot_print.h"
#include "readstate_print.h"
#include "tool_snap.h"

#define INDEX 70

struct disk {
    struct fs_sim_disk *disk;
    struct fs *fs;
    struct snapshot_rig_store store;
    char *path;
};

/* A store of so many changes, compacted at `mark` (0 = never), and its snapshot. */
static void disk_init(struct disk *disk, uint64_t seed, int changes, int64_t mark)
{
    struct rng rng = snapshot_rig_rng(seed);
    disk->disk = fs_sim_disk_new();
    disk->fs = fs_sim_new(disk->disk, true);
    disk->path = snapshot_rig_path(INDEX);
    snapshot_rig_make_dir(disk->fs);
    snapshot_rig_store_init(&disk->store, NULL);
    for (int i = 0; i < changes; i++) snapshot_rig_change(disk->store.mvcc, &rng, 30, seed % 2 == 0);
    mvcc_publish(disk->store.mvcc);
    if (mark > 0) snapshot_rig_compact(disk->store.mvcc, mark);
    ck_assert_int_eq(snapshot_rig_write(disk->fs, snapshot_rig_image(disk->store.mvcc, INDEX), NULL, NULL), ERR_OK);
}

static void disk_deinit(struct disk *disk)
{
    snapshot_rig_store_deinit(&disk->store);
    alloc_free(disk->path);
    fs_free(disk->fs);
    fs_sim_disk_free(disk->disk);
}

static enum tool_exit read_into(struct disk *disk, const struct readsnapshot_print_options *options, bool is_json, struct tool_rig *rig)
{
    tool_rig_init(rig, disk->disk, is_json);
    enum tool_exit code = readsnapshot_print(&rig->tool, options);
    tool_rig_check(rig);
    return code;
}

/* ---- keys ---- */

static void expect_keys(const struct mvcc_view *view, int64_t revision, const char *prefix, struct tool_tree *tree)
{
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    mvcc_scan_init(&scan, view, &all, revision);
    while (mvcc_scan_next(&scan, &kv)) {
        if (kv.key.size < strlen(prefix) || memcmp(kv.key.data, prefix, strlen(prefix)) != 0) continue;
        tree->needs_comma = false;
        tool_tree_open(tree, NULL, '{');
        tool_tree_bytes(tree, "key", kv.key);
        tool_tree_i64(tree, "mod_revision", kv.mod_revision);
        tool_tree_i64(tree, "create_revision", kv.create_revision);
        tool_tree_i64(tree, "version", kv.version);
        if (kv.lease != 0) tool_tree_i64(tree, "lease", kv.lease);
        tool_tree_bytes(tree, "value", kv.value);
        tool_tree_close(tree);
        buf_printf(&tree->text, "\n");
    }
    buf_printf(&tree->text, "verdict: good\n");
}

static void check_keys(struct disk *disk, int64_t revision, const char *prefix)
{
    const struct readsnapshot_print_options options = {
        .path = disk->path, .has_keys = true, .has_values = true, .at_revision = revision, .prefix = prefix};
    struct tool_rig rig;
    struct tool_tree expected;
    ck_assert_int_eq(read_into(disk, &options, false, &rig), TOOL_CLEAN);
    tool_tree_init(&expected, TOOL_TREE_LINE);
    const struct mvcc_view *view = mvcc_view(disk->store.mvcc);
    expect_keys(view, revision == 0 ? mvcc_view_revision(view) : revision, prefix, &expected);
    struct slice text = buf_slice(&expected.text);
    ck_assert_msg(slice_equal(text, slice_make(rig.text, rig.size)), "at %ld:\n%.*s\nbut it printed\n%s", (long)revision, (int)text.size,
                  (const char *)text.data, rig.text);
    tool_tree_deinit(&expected);
    tool_rig_deinit(&rig);
}

START_TEST(test_keys_are_those_of_the_store_at_every_revision)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct disk disk;
        int64_t mark = seed % 3 == 0 ? 0 : (int64_t)(20 + seed);
        disk_init(&disk, seed, 60, mark);
        int64_t last = mvcc_view_revision(mvcc_view(disk.store.mvcc));
        for (int64_t revision = mark > 0 ? mark : 1; revision <= last; revision++) check_keys(&disk, revision, "");
        check_keys(&disk, 0, "");
        check_keys(&disk, 0, "/key/0000");
        disk_deinit(&disk);
    }
}
END_TEST

START_TEST(test_a_revision_that_the_file_does_not_have_is_an_error)
{
    struct disk disk;
    struct tool_rig rig;
    disk_init(&disk, 3, 40, 20);
    const int64_t revisions[] = {19, mvcc_view_revision(mvcc_view(disk.store.mvcc)) + 1};
    for (size_t i = 0; i < 2; i++) {
        const struct readsnapshot_print_options options = {
            .path = disk.path, .has_keys = true, .at_revision = revisions[i], .prefix = ""};
        ck_assert_int_eq(read_into(&disk, &options, false, &rig), TOOL_ERROR);
        tool_rig_deinit(&rig);
    }
    disk_deinit(&disk);
}
END_TEST

START_TEST(test_everything_is_json)
{
    struct disk disk;
    struct tool_rig rig;
    disk_init(&disk, 4, 80, 30);
    const struct readsnapshot_print_options options = {
        .path = disk.path, .has_keys = true, .has_values = true, .has_all_versions = true, .prefix = ""};
    ck_assert_int_eq(read_into(&disk, &options, true, &rig), TOOL_CLEAN);
    ck_assert_ptr_nonnull(strstr(rig.text, "{\"type\":\"delete\",\"key\":\""));
    ck_assert_ptr_nonnull(strstr(rig.text, "\"index\":70,\"term\":3,"));
    ck_assert_ptr_nonnull(strstr(rig.text, "\"cluster_version\":\"3.6.0\",\"members\":[{\"id\":"));
    ck_assert_ptr_nonnull(strstr(rig.text, "\"verdict\":\"good\"}"));
    tool_rig_deinit(&rig);
    disk_deinit(&disk);
}
END_TEST

/* ---- damage ---- */

static enum tool_exit read_whole(struct disk *disk)
{
    struct tool_rig rig;
    const struct readsnapshot_print_options options = {.path = disk->path, .has_keys = true, .prefix = ""};
    enum tool_exit code = read_into(disk, &options, true, &rig);
    ck_assert(code == TOOL_CLEAN || strstr(rig.text, disk->path) != NULL);
    tool_rig_deinit(&rig);
    return code;
}

START_TEST(test_a_damaged_file_is_said_to_be_corrupt)
{
    struct disk disk;
    disk_init(&disk, 5, 40, 0);
    struct blob *bytes = snapshot_rig_bytes(disk.fs, disk.path);
    for (size_t at = 0; at < bytes->size; at += at < 200 ? 1 : 37) {
        bytes->data[at] ^= 8;
        snapshot_rig_put(disk.fs, disk.path, blob_slice(bytes));
        struct state_machine_loaded *loaded = NULL;
        enum err err = snapshot_rig_load(disk.fs, disk.path, &loaded);
        enum tool_exit expected = err == ERR_CORRUPT ? TOOL_CORRUPT : TOOL_ERROR;
        ck_assert_int_ne(err, ERR_OK);
        ck_assert_int_eq(read_whole(&disk), expected);
        bytes->data[at] ^= 8;
    }
    for (size_t size = 0; size < bytes->size; size += size < 200 ? 1 : 37) {
        snapshot_rig_put(disk.fs, disk.path, slice_make(bytes->data, size));
        ck_assert_int_eq(read_whole(&disk), TOOL_CORRUPT);
    }
    snapshot_rig_put(disk.fs, disk.path, blob_slice(bytes));
    ck_assert_int_eq(read_whole(&disk), TOOL_CLEAN);
    blob_unref(bytes);
    disk_deinit(&disk);
}
END_TEST

START_TEST(test_a_file_that_is_not_there_is_an_error)
{
    struct disk disk;
    disk_init(&disk, 5, 4, 0);
    fs_sim_remove(disk.disk, disk.path);
    ck_assert_int_eq(read_whole(&disk), TOOL_ERROR);
    disk_deinit(&disk);
}
END_TEST

START_TEST(test_the_newest_good_file_of_a_directory_counts)
{
    struct disk disk;
    struct tool_rig rig;
    disk_init(&disk, 5, 40, 0);
    struct tool_snap_list *list = ALLOC(struct tool_snap_list);
    tool_rig_init(&rig, disk.disk, false);
    tool_snap_list_init(list, &rig.tool, SNAPSHOT_RIG_DIR, 0, false);
    ck_assert_uint_eq(tool_snap_list_ask(list).index, INDEX);
    ck_assert_int_eq(snapshot_rig_write(disk.fs, snapshot_rig_image(disk.store.mvcc, INDEX + 5), NULL, NULL), ERR_OK);
    ck_assert_uint_eq(tool_snap_list_ask(list).index, INDEX + 5);
    ck_assert_uint_eq(tool_snap_list_ask(list).term, 3);
    char *newest = snapshot_rig_path(INDEX + 5);
    fs_sim_flip(disk.disk, newest, 300, 1);
    ck_assert_uint_eq(tool_snap_list_ask(list).index, INDEX);
    ck_assert_uint_eq(list->count, 2);
    fs_sim_flip(disk.disk, disk.path, 300, 1);
    ck_assert_uint_eq(tool_snap_list_ask(list).index, 0);
    alloc_free(newest);
    tool_snap_list_deinit(list);
    alloc_free(list);
    tool_rig_deinit(&rig);
    disk_deinit(&disk);
}
END_TEST

/* ---- snapshot and log ---- */

/* A log up to index 90 on the same disk, whose segments below the snapshot were removed. */
static void add_log(struct disk *disk)
{
    struct wal_rig rig;
    wal_rig_init(&rig);
    fs_sim_disk_free(rig.disk);
    rig.disk = disk->disk;
    struct fs_op make = {.kind = FS_MKDIR, .path = WAL_RIG_DIRECTORY};
    ck_assert_int_eq(fs_run(disk->fs, &make), 0);
    ck_assert_int_eq(wal_rig_open(&rig), ERR_OK);
    for (uint64_t index = 1; index <= 90; index += 5) {
        wal_rig_append(&rig, index, 5, 3, index + 3, 700);
        wal_rig_run(&rig);
    }
    wal_drop_head(rig.wal, INDEX);
    wal_rig_run(&rig);
    wal_rig_close(&rig);
    rig.disk = NULL;
    wal_rig_deinit(&rig);
}

static void check_state(struct disk *disk, enum tool_exit expected, const char *text)
{
    struct tool_rig rig;
    char wal_path[] = WAL_RIG_DIRECTORY, snap_path[] = SNAPSHOT_RIG_DIR, data_path[] = "data";
    const struct tool_place place = {.data_path = data_path, .wal_path = wal_path, .snap_path = snap_path};
    tool_rig_init(&rig, disk->disk, true);
    enum tool_exit code = readstate_print(&rig.tool, &place, 0);
    tool_rig_check(&rig);
    ck_assert_msg(code == expected && strstr(rig.text, text) != NULL, "%d, without %s: %s", (int)code, text, rig.text);
    tool_rig_deinit(&rig);
}

START_TEST(test_a_log_without_its_head_is_judged_with_the_snapshot)
{
    struct disk disk;
    disk_init(&disk, 5, 40, 0);
    add_log(&disk);
    check_state(&disk, TOOL_CLEAN, "\"commit\":89,\"applied\":89,");
    check_state(&disk, TOOL_CLEAN, "\"index\":70,\"term\":3,\"revision\":");
    check_state(&disk, TOOL_CLEAN, "\"cluster_version\":\"3.6.0\"");
    fs_sim_flip(disk.disk, disk.path, 300, 1);
    check_state(&disk, TOOL_TORN, "but the state without it ends at 0: the others have to give it");
    fs_sim_flip(disk.disk, disk.path, 300, 1);
    fs_sim_flip(disk.disk, disk.path, 8, 2); /* the major version, with a checksum that fits: of a newer program */
    struct blob *bytes = snapshot_rig_bytes(disk.fs, disk.path);
    uint32_t checksum = crc32c(0, bytes->data, SNAPSHOT_FORMAT_HEAD - 4);
    memcpy(bytes->data + SNAPSHOT_FORMAT_HEAD - 4, &checksum, sizeof checksum);
    snapshot_rig_put(disk.fs, disk.path, blob_slice(bytes));
    check_state(&disk, TOOL_ERROR, "a newer program must open it");
    blob_unref(bytes);
    disk_deinit(&disk);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("readsnapshot");
    tcase_add_test(tests, test_keys_are_those_of_the_store_at_every_revision);
    tcase_add_test(tests, test_a_revision_that_the_file_does_not_have_is_an_error);
    tcase_add_test(tests, test_everything_is_json);
    tcase_add_test(tests, test_a_damaged_file_is_said_to_be_corrupt);
    tcase_add_test(tests, test_a_file_that_is_not_there_is_an_error);
    tcase_add_test(tests, test_the_newest_good_file_of_a_directory_counts);
    tcase_add_test(tests, test_a_log_without_its_head_is_judged_with_the_snapshot);
    Suite *suite = suite_create("readsnapshot");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
