/* test_snapshot_dir: which of a directory's snapshots stay, and what becomes of those that are to go and that the disk does not remove? */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "lib/snapshot_rig.h"
#include "storage/snapshot_dir.h"
#include "storage/snapshot_writer.h"

struct scene {
    struct fs_sim_disk *disk;
    struct fs *fs;
    struct snapshot_dir dir;
    uint64_t now_ns;
};

/* Files 100, 200 … without content. */
static void scene_init(struct scene *scene, uint64_t count)
{
    char message[256];
    *scene = (struct scene){.disk = fs_sim_disk_new(), .now_ns = 1};
    scene->fs = fs_sim_new(scene->disk, true);
    snapshot_rig_make_dir(scene->fs);
    for (uint64_t index = 1; index <= count; index++) {
        char *path = snapshot_rig_path(index * 100);
        snapshot_rig_put(scene->fs, path, slice_from_string("x"));
        alloc_free(path);
    }
    snapshot_rig_put(scene->fs, SNAPSHOT_RIG_DIR "/0000000000000003-0000000000000777.snap.tmp", slice_from_string("x"));
    ck_assert_int_eq(snapshot_dir_open(scene->fs, SNAPSHOT_RIG_DIR, &scene->dir, message, sizeof message), ERR_OK);
    ck_assert_uint_eq(scene->dir.count, count);
}

static void scene_deinit(struct scene *scene)
{
    snapshot_dir_close(&scene->dir);
    fs_free(scene->fs);
    fs_sim_disk_free(scene->disk);
}

static size_t files_of(const struct scene *scene)
{
    char name[64];
    size_t files = 0;
    while (fs_sim_name(scene->disk, SNAPSHOT_RIG_DIR, files, name, sizeof name)) files++;
    return files;
}

static bool exists(const struct scene *scene, uint64_t index)
{
    char *path = snapshot_rig_path(index);
    bool is_there = fs_sim_exists(scene->disk, path);
    alloc_free(path);
    return is_there;
}

static bool claims(struct scene *scene, uint64_t index)
{
    char *tmp = snapshot_dir_file(&scene->dir, index, 3, true);
    bool is_free = snapshot_dir_claim(&scene->dir, index, 3, tmp);
    alloc_free(tmp);
    return is_free;
}

static void run(struct scene *scene)
{
    while (snapshot_dir_step(&scene->dir, scene->now_ns)) ck_assert_ptr_nonnull(scene->dir.path);
}

static void run_purge(struct scene *scene, size_t keep)
{
    snapshot_dir_purge(&scene->dir, keep);
    run(scene);
    ck_assert(snapshot_dir_is_idle(&scene->dir));
    ck_assert_uint_eq(snapshot_dir_deadline_ns(&scene->dir), UINT64_MAX);
}

START_TEST(test_old_ones_go_and_the_newest_good_ones_stay)
{
    struct scene scene;
    scene_init(&scene, 6);
    struct snapshot_dir *dir = &scene.dir;
    snapshot_dir_mark_broken(dir, 600, 3);
    snapshot_dir_mark_broken(dir, 400, 3);
    ck_assert_uint_eq(snapshot_dir_good(dir, 0)->index, 500);
    ck_assert(snapshot_dir_has(dir, 500, 3) && !snapshot_dir_has(dir, 600, 3));
    run_purge(&scene, 2); /* 600 and 400 are broken: 500 and 300 are the good ones */
    ck_assert_uint_eq(dir->count, 4);
    snapshot_dir_add(dir, 700, 3);
    ck_assert(snapshot_dir_has(dir, 700, 3));
    run_purge(&scene, 2);
    ck_assert_uint_eq(dir->count, 3);
    ck_assert_uint_eq(snapshot_dir_good(dir, 1)->index, 500);
    ck_assert_ptr_null(snapshot_dir_good(dir, 2));
    ck_assert_uint_eq(files_of(&scene), 2); /* 500 and 600; 700 was only told */
    scene_deinit(&scene);
}
END_TEST

/* The first removal fails: the file stays behind, the others go when their turn comes, and it is tried again. */
START_TEST(test_a_file_that_cannot_be_removed_is_told_and_tried_again)
{
    static const int errors[] = {EIO, EROFS, EACCES};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct scene scene;
        const char *path = NULL;
        scene_init(&scene, 5);
        fs_sim_fail(scene.disk, FS_UNLINK, 1, errors[i]);
        snapshot_dir_purge(&scene.dir, 2);
        run(&scene);
        ck_assert_int_eq(snapshot_dir_take_error(&scene.dir, &path), errors[i]);
        ck_assert_ptr_nonnull(strstr(path, "64.snap"));
        ck_assert_int_eq(snapshot_dir_take_error(&scene.dir, &path), 0); /* once */
        ck_assert(!snapshot_dir_is_idle(&scene.dir) && !claims(&scene, 100) && claims(&scene, 500));
        ck_assert_uint_eq(files_of(&scene), 5);
        ck_assert_uint_eq(snapshot_dir_good(&scene.dir, 1)->index, 400);
        scene.now_ns = snapshot_dir_deadline_ns(&scene.dir);
        ck_assert_uint_eq(scene.now_ns, 1 + SNAPSHOT_DIR_AGAIN_NS);
        run(&scene);
        ck_assert(snapshot_dir_is_idle(&scene.dir) && claims(&scene, 100));
        ck_assert_uint_eq(files_of(&scene), 2);
        ck_assert(exists(&scene, 400) && exists(&scene, 500));
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_one_that_stays_keeps_no_other_one)
{
    struct scene scene;
    scene_init(&scene, 3);
    snapshot_dir_purge(&scene.dir, 1);
    for (uint64_t index = 4; index < 200; index++) { /* each second removal fails: that of 100 again and again, or another one's */
        char *path = snapshot_rig_path(index * 100);
        snapshot_rig_put(scene.fs, path, slice_from_string("x"));
        alloc_free(path);
        snapshot_dir_add(&scene.dir, index * 100, 3);
        fs_sim_fail(scene.disk, FS_UNLINK, 2, EIO);
        run(&scene);
        scene.now_ns += SNAPSHOT_DIR_AGAIN_NS;
        ck_assert_uint_le(files_of(&scene), 6);
    }
    fs_sim_fail(scene.disk, FS_UNLINK, 0, 0);
    run(&scene);
    ck_assert_uint_eq(files_of(&scene), 1);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_what_somebody_else_removed_is_gone)
{
    struct scene scene;
    const char *path = NULL;
    scene_init(&scene, 4);
    char *first = snapshot_rig_path(100);
    fs_sim_remove(scene.disk, first);
    run_purge(&scene, 2);
    ck_assert_int_eq(snapshot_dir_take_error(&scene.dir, &path), 0);
    ck_assert_uint_eq(files_of(&scene), 2);
    alloc_free(first);
    scene_deinit(&scene);
}
END_TEST

/* Hundreds of them: what is kept in mind has a limit, and all go when the disk lets them. */
START_TEST(test_what_a_disk_did_not_remove_for_long_goes_in_the_end)
{
    struct scene scene;
    scene_init(&scene, 1);
    snapshot_dir_purge(&scene.dir, 2);
    for (uint64_t index = 2; index <= 300; index++) {
        char *path = snapshot_rig_path(index * 100);
        snapshot_rig_put(scene.fs, path, slice_from_string("x"));
        alloc_free(path);
        snapshot_dir_add(&scene.dir, index * 100, 3);
        fs_sim_fail(scene.disk, FS_UNLINK, 1, EROFS);
        run(&scene);
        scene.now_ns += SNAPSHOT_DIR_AGAIN_NS;
    }
    ck_assert_uint_eq(files_of(&scene), 300);
    fs_sim_fail(scene.disk, FS_LIST, 1, EIO);
    fs_sim_fail(scene.disk, FS_UNLINK, 0, 0);
    run(&scene);
    ck_assert(!snapshot_dir_is_idle(&scene.dir));
    scene.now_ns = snapshot_dir_deadline_ns(&scene.dir);
    run(&scene);
    ck_assert(snapshot_dir_is_idle(&scene.dir));
    ck_assert_uint_eq(files_of(&scene), 2);
    ck_assert(exists(&scene, 30000) && exists(&scene, 29900));
    scene_deinit(&scene);
}
END_TEST

/* A writer's file whose name could not be made durable, and could not be removed. */
START_TEST(test_a_name_that_is_to_go_is_taken_over_by_who_comes_to_its_end)
{
    struct scene scene;
    struct snapshot_rig_store store;
    scene_init(&scene, 2);
    snapshot_rig_store_init(&store, NULL);
    struct snapshot_writer *writer = snapshot_writer_new(&(struct snapshot_writer_options){.fs = scene.fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1},
                                                         snapshot_rig_image(store.mvcc, 900));
    fs_sim_fail(scene.disk, FS_FSYNC_DIR, 1, EIO);
    fs_sim_fail(scene.disk, FS_UNLINK, 1, EIO);
    while (snapshot_writer_state(writer) == SNAPSHOT_WRITER_RUNNING) (void)snapshot_writer_step(writer, scene.now_ns);
    ck_assert_int_eq(snapshot_writer_state(writer), SNAPSHOT_WRITER_FAILED);
    char *path = snapshot_rig_path(900);
    ck_assert_str_eq(snapshot_writer_left(writer), path);
    snapshot_dir_leave(&scene.dir, snapshot_writer_left(writer), scene.now_ns);
    snapshot_writer_free(writer);
    ck_assert(!claims(&scene, 900) && !snapshot_dir_has(&scene.dir, 900, 3));
    run(&scene);
    ck_assert(fs_sim_exists(scene.disk, path)); /* its time has not come */
    snapshot_dir_add(&scene.dir, 900, 3);
    scene.now_ns += SNAPSHOT_DIR_AGAIN_NS;
    run(&scene);
    ck_assert(fs_sim_exists(scene.disk, path) && snapshot_dir_has(&scene.dir, 900, 3) && claims(&scene, 900));
    alloc_free(path);
    snapshot_rig_store_deinit(&store);
    scene_deinit(&scene);
}
END_TEST

static struct snapshot_writer *named_writer(struct scene *scene, struct snapshot_rig_store *store, uint64_t index)
{
    struct snapshot_writer_options options = {.fs = scene->fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1, .failed_syncs = &scene->dir.failed_syncs};
    struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(store->mvcc, index));
    char *path = snapshot_rig_path(index);
    while (!fs_sim_exists(scene->disk, path)) (void)snapshot_writer_step(writer, scene->now_ns);
    alloc_free(path);
    return writer;
}

static enum snapshot_writer_state run_writer(struct scene *scene, struct snapshot_writer *writer)
{
    while (snapshot_writer_state(writer) == SNAPSHOT_WRITER_RUNNING) (void)snapshot_writer_step(writer, scene->now_ns);
    enum snapshot_writer_state state = snapshot_writer_state(writer);
    snapshot_writer_free(writer);
    return state;
}

/* Both have their names, and neither's is durable: the sync that fails takes the other's along, and its own, which succeeds, says nothing. A name
 * given since is good. */
START_TEST(test_a_sync_that_failed_fails_whoever_gave_a_name_before_it)
{
    struct scene scene;
    struct snapshot_rig_store store;
    scene_init(&scene, 2);
    snapshot_rig_store_init(&store, NULL);
    struct snapshot_writer *one = named_writer(&scene, &store, 900), *other = named_writer(&scene, &store, 901);
    fs_sim_fail(scene.disk, FS_FSYNC_DIR, 1, EIO);
    ck_assert_int_eq(run_writer(&scene, one), SNAPSHOT_WRITER_FAILED);
    ck_assert_int_eq(run_writer(&scene, other), SNAPSHOT_WRITER_FAILED);
    ck_assert_int_eq(run_writer(&scene, named_writer(&scene, &store, 902)), SNAPSHOT_WRITER_DONE);
    snapshot_rig_store_deinit(&store);
    scene_deinit(&scene);
}
END_TEST

/* What was not finished is written over; a whole one has to go first, and so has one that is just being removed. */
START_TEST(test_a_name_is_claimed_unless_something_whole_or_a_removal_is_in_its_way)
{
    struct scene scene;
    scene_init(&scene, 1);
    char *tmp = snapshot_dir_file(&scene.dir, 900, 3, true), *whole = snapshot_dir_file(&scene.dir, 800, 3, false);
    snapshot_rig_put(scene.fs, tmp, slice_from_string("x"));
    snapshot_dir_leave(&scene.dir, tmp, scene.now_ns);
    snapshot_dir_leave(&scene.dir, whole, scene.now_ns);
    ck_assert(claims(&scene, 900) && !claims(&scene, 800));
    ck_assert_uint_eq(scene.dir.left_count, 1);
    char *rest = snapshot_dir_file(&scene.dir, 800, 3, true);
    snapshot_dir_leave(&scene.dir, rest, scene.now_ns);
    ck_assert(!claims(&scene, 800));
    ck_assert_uint_eq(scene.dir.left_count, 2); /* who gets no claim changes nothing */
    alloc_free(rest);
    scene.now_ns += SNAPSHOT_DIR_AGAIN_NS;
    run(&scene);
    ck_assert(fs_sim_exists(scene.disk, tmp) && snapshot_dir_is_idle(&scene.dir) && claims(&scene, 800));
    snapshot_dir_leave(&scene.dir, tmp, scene.now_ns);
    scene.now_ns += SNAPSHOT_DIR_AGAIN_NS;
    ck_assert(snapshot_dir_step(&scene.dir, scene.now_ns)); /* it is under way */
    ck_assert(!claims(&scene, 900));
    run(&scene);
    ck_assert(!fs_sim_exists(scene.disk, tmp) && claims(&scene, 900));
    alloc_free(tmp);
    alloc_free(whole);
    scene_deinit(&scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_dir");
    TCase *tcase = tcase_create("dir");
    tcase_add_test(tcase, test_old_ones_go_and_the_newest_good_ones_stay);
    tcase_add_test(tcase, test_a_file_that_cannot_be_removed_is_told_and_tried_again);
    tcase_add_test(tcase, test_a_sync_that_failed_fails_whoever_gave_a_name_before_it);
    tcase_add_test(tcase, test_a_name_is_claimed_unless_something_whole_or_a_removal_is_in_its_way);
    tcase_add_test(tcase, test_one_that_stays_keeps_no_other_one);
    tcase_add_test(tcase, test_what_somebody_else_removed_is_gone);
    tcase_add_test(tcase, test_what_a_disk_did_not_remove_for_long_goes_in_the_end);
    tcase_add_test(tcase, test_a_name_that_is_to_go_is_taken_over_by_who_comes_to_its_end);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
