/* test_snapshot_file: what becomes of a snapshot's file when disks fail, power goes, bits flip?
 *
 * A damaged file is never loaded, an unfinished one never seen, and whatever happens while a new one is written, the older one stays good. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "lib/snapshot_rig.h"

#define OLD_INDEX 5
#define NEW_INDEX 9

struct scene {
    struct snapshot_rig_store store;
    struct fs_sim_disk *disk;
    struct fs *fs;
    uint64_t old_hash; /* of the state in the older file */
    uint64_t new_hash; /* of the store now */
};

static void scene_init(struct scene *scene, int changes)
{
    struct rng rng = snapshot_rig_rng(1);
    scene->disk = fs_sim_disk_new();
    scene->fs = fs_sim_new(scene->disk, true);
    snapshot_rig_make_dir(scene->fs);
    snapshot_rig_store_init(&scene->store, NULL);
    for (int i = 0; i < changes; i++) snapshot_rig_change(scene->store.mvcc, &rng, 12, false);
    if (changes > 10) snapshot_rig_compact(scene->store.mvcc, 8);
    ck_assert_int_eq(snapshot_rig_write(scene->fs, snapshot_rig_image(scene->store.mvcc, OLD_INDEX), NULL, NULL), ERR_OK);
    scene->old_hash = mvcc_hash(mvcc_view(scene->store.mvcc), 0);
    for (int i = 0; i < changes; i++) snapshot_rig_change(scene->store.mvcc, &rng, 400, true);
    mvcc_publish(scene->store.mvcc);
    scene->new_hash = mvcc_hash(mvcc_view(scene->store.mvcc), 0);
}

static void scene_deinit(struct scene *scene)
{
    snapshot_rig_store_deinit(&scene->store);
    fs_free(scene->fs);
    fs_sim_disk_free(scene->disk);
}

static void count_report(void *context, const char *message, bool is_unread)
{
    (void)is_unread;
    ck_assert_ptr_nonnull(strstr(message, ".snap: "));
    (*(int *)context)++;
}

/* What a start finds on a disk: the index of the state, 0 = none. Its content is that of the scene. */
static uint64_t found_on(struct scene *scene, struct fs_sim_disk *disk, int *out_broken)
{
    struct fs *fs = fs_sim_new(disk, true);
    struct snapshot_dir dir;
    struct state_machine_loaded *loaded = NULL;
    char message[512];
    *out_broken = 0;
    ck_assert_int_eq(snapshot_dir_open(fs, SNAPSHOT_RIG_DIR, &dir, message, sizeof message), ERR_OK);
    ck_assert_int_eq(snapshot_dir_load(&dir, 0, count_report, out_broken, &loaded, message, sizeof message), ERR_OK);
    char name[64];
    for (size_t at = 0; fs_sim_name(disk, SNAPSHOT_RIG_DIR, at, name, sizeof name); at++) ck_assert_ptr_null(strstr(name, ".tmp"));
    uint64_t index = loaded == NULL ? 0 : loaded->index;
    if (loaded != NULL) {
        struct snapshot_rig_store store;
        snapshot_rig_store_init(&store, loaded->content);
        loaded->content = NULL;
        uint64_t expected = index == OLD_INDEX ? scene->old_hash : scene->new_hash;
        ck_assert_uint_eq(mvcc_hash(mvcc_view(store.mvcc), 0), expected);
        snapshot_rig_store_deinit(&store);
    }
    state_machine_loaded_free(loaded);
    snapshot_dir_close(&dir);
    fs_free(fs);
    return index;
}

/* --- damage ------------------------------------------------------------------------------------------------------------------ */

static void expect_refusal(struct scene *scene, const char *path, const char *what, uint64_t place)
{
    struct state_machine_loaded *loaded = NULL;
    enum err err = snapshot_rig_load(scene->fs, path, &loaded);
    ck_assert_msg(err == ERR_CORRUPT, "%s %lu: %s", what, (unsigned long)place, err_name(err));
}

START_TEST(test_every_bit_that_flips_is_noticed)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    scene_init(&scene, 16);
    uint64_t size = fs_sim_size(scene.disk, path);
    ck_assert_uint_lt(size, 4000);
    for (uint64_t bit = 0; bit < 8 * size; bit++) {
        fs_sim_flip(scene.disk, path, bit / 8, (uint8_t)(1 << bit % 8));
        expect_refusal(&scene, path, "bit", bit);
        fs_sim_flip(scene.disk, path, bit / 8, (uint8_t)(1 << bit % 8));
    }
    struct state_machine_loaded *loaded = NULL;
    ck_assert_int_eq(snapshot_rig_load(scene.fs, path, &loaded), ERR_OK);
    state_machine_loaded_free(loaded);
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_every_cut_and_every_byte_too_many_is_noticed)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    scene_init(&scene, 16);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, path);
    for (uint32_t size = 0; size < bytes->size; size++) {
        snapshot_rig_put(scene.fs, path, slice_make(bytes->data, size));
        expect_refusal(&scene, path, "size", size);
    }
    for (size_t more = 1; more <= 200; more += 7) {
        struct buf buf;
        buf_init(&buf);
        buf_put_slice(&buf, blob_slice(bytes));
        memset(buf_extend(&buf, more), more % 2 == 0 ? 0 : 0x5a, more);
        snapshot_rig_put(scene.fs, path, buf_slice(&buf));
        expect_refusal(&scene, path, "longer by", more);
        buf_deinit(&buf);
    }
    blob_unref(bytes);
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_blocks_of_another_snapshot_do_not_pass)
{
    struct scene scene;
    scene_init(&scene, 16);
    char *path = snapshot_rig_path(OLD_INDEX);
    char *other_path = snapshot_rig_path(NEW_INDEX);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, path);
    ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_OK);
    struct blob *other = snapshot_rig_bytes(scene.fs, other_path);
    struct buf buf; /* the head of one, the blocks of the other */
    buf_init(&buf);
    buf_put(&buf, bytes->data, SNAPSHOT_FORMAT_HEAD);
    buf_put(&buf, other->data + SNAPSHOT_FORMAT_HEAD, other->size - SNAPSHOT_FORMAT_HEAD);
    snapshot_rig_put(scene.fs, path, buf_slice(&buf));
    expect_refusal(&scene, path, "mixed", 0);
    buf_deinit(&buf);
    blob_unref(bytes);
    blob_unref(other);
    alloc_free(path);
    alloc_free(other_path);
    scene_deinit(&scene);
}
END_TEST

/* Puts the right checksum into the block that begins at `at`; its size. */
static size_t seal_block(struct blob *bytes, size_t at)
{
    struct snapshot_format_block block = snapshot_format_get_frame(bytes->data + at);
    size_t size = SNAPSHOT_FORMAT_FRAME + block.payload_bytes;
    uint32_t checksum = crc32c(0, bytes->data + at + 4, size - 4);
    memcpy(bytes->data + at, &checksum, sizeof checksum);
    return size;
}

START_TEST(test_a_file_with_right_checksums_and_wrong_content_is_refused_or_the_same)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    scene_init(&scene, 16);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, path);
    size_t at = SNAPSHOT_FORMAT_HEAD;
    while (snapshot_format_get_frame(bytes->data + at).section != SNAPSHOT_FORMAT_KEYS) at += seal_block(bytes, at);
    size_t end = at + seal_block(bytes, at);
    size_t passed = 0;
    for (size_t place = at + SNAPSHOT_FORMAT_FRAME; place < end; place++) {
        for (int bit = 0; bit < 8; bit++) {
            struct state_machine_loaded *loaded = NULL;
            bytes->data[place] ^= (uint8_t)(1 << bit);
            (void)seal_block(bytes, at);
            snapshot_rig_put(scene.fs, path, blob_slice(bytes));
            enum err err = snapshot_rig_load(scene.fs, path, &loaded);
            ck_assert(err == ERR_CORRUPT || err == ERR_OK);
            if (err == ERR_OK) { /* a bit of a number's encoding that carries nothing */
                int broken = 0;
                ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
                passed++;
            }
            state_machine_loaded_free(loaded);
            bytes->data[place] ^= (uint8_t)(1 << bit);
        }
    }
    ck_assert_uint_lt(passed, (end - at) / 10);
    blob_unref(bytes);
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_a_newer_program_s_file_is_refused_by_name)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    scene_init(&scene, 16);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, path);
    for (int kind = 0; kind < 4; kind++) {
        struct blob *changed = blob_copy(blob_slice(bytes));
        struct state_machine_loaded *loaded = NULL;
        if (kind == 0) changed->data[8]++;  /* major */
        if (kind == 1) changed->data[17]++; /* a feature bit */
        if (kind == 2) changed->data[SNAPSHOT_FORMAT_HEAD + 4] = SNAPSHOT_FORMAT_AUTH; /* a section that must not be left out */
        if (kind == 3) changed->data[10]++; /* minor: fine */
        uint32_t checksum = crc32c(0, changed->data, SNAPSHOT_FORMAT_HEAD - 4);
        memcpy(changed->data + SNAPSHOT_FORMAT_HEAD - 4, &checksum, sizeof checksum);
        (void)seal_block(changed, SNAPSHOT_FORMAT_HEAD);
        snapshot_rig_put(scene.fs, path, blob_slice(changed));
        ck_assert_int_eq(snapshot_rig_load(scene.fs, path, &loaded), kind == 3 ? ERR_OK : ERR_STOPPED);
        state_machine_loaded_free(loaded);
        struct snapshot_dir dir;
        char message[512] = "";
        loaded = NULL;
        ck_assert_int_eq(snapshot_dir_open(scene.fs, SNAPSHOT_RIG_DIR, &dir, message, sizeof message), ERR_OK);
        enum err err = snapshot_dir_load(&dir, 0, NULL, NULL, &loaded, message, sizeof message);
        ck_assert_int_eq(err, kind == 3 ? ERR_OK : ERR_STOPPED);
        if (kind < 3) ck_assert_ptr_nonnull(strstr(message, "a newer program must open it"));
        state_machine_loaded_free(loaded);
        snapshot_dir_close(&dir);
        blob_unref(changed);
    }
    blob_unref(bytes);
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_a_section_that_may_be_left_out_is_left_out)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    scene_init(&scene, 16);
    struct blob *bytes = snapshot_rig_bytes(scene.fs, path);
    struct snapshot_format_head head;
    bool is_supported = false;
    ck_assert_ptr_null(snapshot_format_get_head(bytes->data, &head, &is_supported));
    struct buf buf;
    buf_init(&buf);
    snapshot_format_put_head(&buf, &head);
    uint32_t number = 0;
    for (size_t at = SNAPSHOT_FORMAT_HEAD; at < bytes->size;) { /* all blocks anew, with one more before the keys */
        struct snapshot_format_block block = snapshot_format_get_frame(bytes->data + at);
        struct snapshot_format_end end;
        size_t begin = buf.size;
        if (block.section == SNAPSHOT_FORMAT_KEYS) {
            snapshot_format_block_begin(&buf);
            buf_put(&buf, "to come", 7);
            snapshot_format_block_end(&buf, begin, &head, 99, 0, number++);
            begin = buf.size;
        }
        snapshot_format_block_begin(&buf);
        struct slice payload = slice_make(bytes->data + at + SNAPSHOT_FORMAT_FRAME, block.payload_bytes);
        if (block.section == SNAPSHOT_FORMAT_END) {
            ck_assert(snapshot_format_get_end(payload, &end));
            end.blocks++;
            end.file_bytes += SNAPSHOT_FORMAT_FRAME + 7;
            snapshot_format_put_end(&buf, &end);
        } else {
            buf_put_slice(&buf, payload);
        }
        snapshot_format_block_end(&buf, begin, &head, block.section, block.flags, number++);
        at += SNAPSHOT_FORMAT_FRAME + block.payload_bytes;
    }
    snapshot_rig_put(scene.fs, path, buf_slice(&buf));
    int broken = 0;
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    buf_deinit(&buf);
    blob_unref(bytes);
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

/* --- disks that fail ----------------------------------------------------------------------------------------------------------- */

START_TEST(test_whatever_operation_fails_the_older_snapshot_stays_and_nothing_is_left_over)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_PWRITE, FS_FDATASYNC, FS_CLOSE, FS_RENAME, FS_FSYNC_DIR};
    static const int errors[] = {ENOSPC, EIO, EDQUOT};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        for (uint64_t nth = 1; nth < 6; nth++) {
            for (size_t i = 0; i < 3; i++) {
                struct scene scene;
                int broken = 0;
                scene_init(&scene, 100);
                fs_sim_fail(scene.disk, kinds[kind], nth, errors[i]);
                enum err err = snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL);
                ck_assert(err == ERR_OK || err == (errors[i] == EIO ? ERR_STOPPED : ERR_NO_SPACE));
                if (nth == 1 && kinds[kind] != FS_CLOSE) ck_assert_int_ne(err, ERR_OK);
                char name[64];
                size_t files = 0;
                while (fs_sim_name(scene.disk, SNAPSHOT_RIG_DIR, files, name, sizeof name)) files++;
                ck_assert_uint_eq(files, err == ERR_OK ? 2 : 1);
                fs_sim_fail(scene.disk, kinds[kind], 1000000, EIO);
                ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), err == ERR_OK ? NEW_INDEX : OLD_INDEX);
                ck_assert_int_eq(broken, 0);
                if (err != ERR_OK) /* the next attempt has nothing to do with the one before */
                    ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_OK);
                scene_deinit(&scene);
            }
        }
    }
}
END_TEST

START_TEST(test_without_room_the_writer_gives_up_and_the_room_comes_back)
{
    struct scene scene;
    int broken = 0;
    scene_init(&scene, 100);
    uint64_t used = fs_sim_used(scene.disk);
    for (uint64_t room = 0; room < 60000; room += 7001) {
        fs_sim_set_room(scene.disk, used + room);
        ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_NO_SPACE);
        ck_assert_uint_eq(fs_sim_used(scene.disk), used);
        ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    }
    scene_deinit(&scene);
}
END_TEST

START_TEST(test_reads_that_fail_are_no_damage)
{
    struct scene scene;
    char *path = snapshot_rig_path(OLD_INDEX);
    static const enum fs_kind kinds[] = {FS_OPEN, FS_SIZE, FS_PREAD};
    scene_init(&scene, 16);
    for (size_t kind = 0; kind < 3; kind++) {
        struct state_machine_loaded *loaded = NULL;
        fs_sim_fail(scene.disk, kinds[kind], 1, EIO);
        ck_assert_int_eq(snapshot_rig_load(scene.fs, path, &loaded), ERR_STOPPED);
    }
    alloc_free(path);
    scene_deinit(&scene);
}
END_TEST

/* --- power ------------------------------------------------------------------------------------------------------------------- */

static uint64_t count_ops(void)
{
    struct scene scene;
    scene_init(&scene, 60);
    uint64_t before = fs_sim_op_count(scene.disk);
    ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_OK);
    uint64_t ops = fs_sim_op_count(scene.disk) - before;
    scene_deinit(&scene);
    return ops;
}

START_TEST(test_power_may_go_at_any_operation)
{
    uint64_t ops = count_ops();
    uint64_t tries = getenv("KVD_TEST_LONG") != NULL ? 60 : 6;
    uint64_t olds = 0, news = 0;
    ck_assert_uint_gt(ops, 4);
    for (uint64_t op = 1; op <= ops + 1; op++) {
        struct scene scene;
        scene_init(&scene, 60);
        fs_sim_freeze_at(scene.disk, fs_sim_op_count(scene.disk) + op);
        ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_OK);
        const struct fs_sim_disk *frozen = fs_sim_frozen(scene.disk);
        for (uint64_t seed = 0; seed < 3 * tries; seed++) {
            struct fs_sim_crash crash = {.loss = seed % 3 == 0 ? FS_SIM_LOSE_ALL : seed % 3 == 1 ? FS_SIM_RANDOM : FS_SIM_KEEP_ALL,
                                         .seed = seed,
                                         .names = (enum fs_sim_names)(seed / 3 % FS_SIM_NAMES_KINDS)};
            int broken = 0;
            struct fs_sim_disk *disk = fs_sim_crash(frozen == NULL ? scene.disk : frozen, &crash);
            uint64_t index = found_on(&scene, disk, &broken);
            ck_assert(index == NEW_INDEX || (index == OLD_INDEX && frozen != NULL)); /* what was told is there */
            ck_assert_int_eq(broken, 0);                                            /* a name means a whole file */
            if (index == OLD_INDEX) olds++;
            else news++;
            fs_sim_disk_free(disk);
        }
        scene_deinit(&scene);
    }
    ck_assert(olds > 0 && news > 0);
}
END_TEST

START_TEST(test_a_broken_newest_one_is_reported_and_the_older_one_serves)
{
    struct scene scene;
    int broken = 0;
    scene_init(&scene, 60);
    ck_assert_int_eq(snapshot_rig_write(scene.fs, snapshot_rig_image(scene.store.mvcc, NEW_INDEX), NULL, NULL), ERR_OK);
    char *path = snapshot_rig_path(NEW_INDEX);
    fs_sim_flip(scene.disk, path, 1000, 4);
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    ck_assert_int_eq(broken, 1);
    fs_sim_cut(scene.disk, path, 0); /* empty */
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    ck_assert_int_eq(broken, 1);
    fs_sim_remove(scene.disk, path); /* missing */
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    ck_assert_int_eq(broken, 0);
    char *old_path = snapshot_rig_path(OLD_INDEX); /* under a name that is not its own */
    struct blob *bytes = snapshot_rig_bytes(scene.fs, old_path);
    snapshot_rig_put(scene.fs, path, blob_slice(bytes));
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), OLD_INDEX);
    ck_assert_int_eq(broken, 1);
    snapshot_rig_put(scene.fs, SNAPSHOT_RIG_DIR "/readme", blob_slice(bytes));
    snapshot_rig_put(scene.fs, SNAPSHOT_RIG_DIR "/0000000000000003-000000000000000g.snap", blob_slice(bytes));
    fs_sim_remove(scene.disk, old_path);
    ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), 0);
    blob_unref(bytes);
    alloc_free(path);
    alloc_free(old_path);
    scene_deinit(&scene);
}
END_TEST

/* --- in steps ---------------------------------------------------------------------------------------------------------------- */

START_TEST(test_operations_that_complete_late_are_waited_for)
{
    struct scene scene;
    scene_init(&scene, 60);
    struct fs *slow = fs_sim_new(scene.disk, false);
    struct snapshot_writer_options options = {.fs = slow, .directory = SNAPSHOT_RIG_DIR, .member_id = 1};
    struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(scene.store.mvcc, NEW_INDEX));
    char *path = snapshot_rig_path(NEW_INDEX);
    while (snapshot_writer_state(writer) == SNAPSHOT_WRITER_RUNNING) {
        while (snapshot_writer_step(writer, 1)) ck_assert_uint_le(fs_sim_pending(slow), 1);
        (void)fs_sim_complete(slow, 0);
    }
    ck_assert_int_eq(snapshot_writer_state(writer), SNAPSHOT_WRITER_DONE);
    struct snapshot_load_options load_options = {.fs = slow, .path = path};
    struct snapshot_load *load = snapshot_load_new(&load_options);
    while (snapshot_load_state(load) == SNAPSHOT_LOAD_RUNNING) {
        while (snapshot_load_step(load)) ck_assert_uint_le(fs_sim_pending(slow), 1);
        ck_assert_uint_eq(snapshot_load_is_waiting(load), fs_sim_pending(slow));
        (void)fs_sim_complete(slow, 0);
    }
    ck_assert_int_eq(snapshot_load_state(load), SNAPSHOT_LOAD_DONE);
    snapshot_load_free(load);
    load_options.is_verify_only = true;
    load_options.is_blocking = true;
    load_options.cluster_id = 4711; /* not its own */
    load = snapshot_load_new(&load_options);
    while (snapshot_load_step(load)) ck_assert(!snapshot_load_is_waiting(load));
    ck_assert_int_eq(snapshot_load_err(load), ERR_CLUSTER_ID_MISMATCH);
    snapshot_load_free(load);
    snapshot_writer_free(writer);
    alloc_free(path);
    fs_free(slow);
    scene_deinit(&scene);
}
END_TEST

/* Its writer died between the file's name and the sync of the directory: the page cache shows it, the disk may not have it. */
START_TEST(test_what_a_start_loads_is_on_the_disk)
{
    static const struct fs_sim_crash worst = {.loss = FS_SIM_LOSE_ALL, .names = FS_SIM_NAMES_NONE};
    struct scene scene;
    struct snapshot_dir dir;
    struct state_machine_loaded *loaded = NULL;
    char message[512];
    scene_init(&scene, 30);
    struct snapshot_writer_options options = {.fs = scene.fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1, .unsafe_no_fsync = true};
    struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(scene.store.mvcc, NEW_INDEX));
    while (snapshot_writer_step(writer, 1)) continue;
    ck_assert_int_eq(snapshot_writer_state(writer), SNAPSHOT_WRITER_DONE);
    snapshot_writer_free(writer);
    int broken = 0;
    struct fs_sim_disk *lost = fs_sim_crash(scene.disk, &worst);
    ck_assert_uint_eq(found_on(&scene, lost, &broken), OLD_INDEX);
    fs_sim_disk_free(lost);
    ck_assert_int_eq(snapshot_dir_open(scene.fs, SNAPSHOT_RIG_DIR, &dir, message, sizeof message), ERR_OK);
    ck_assert_int_eq(snapshot_dir_load(&dir, 0, NULL, NULL, &loaded, message, sizeof message), ERR_OK);
    ck_assert_uint_eq(loaded->index, NEW_INDEX);
    state_machine_loaded_free(loaded);
    snapshot_dir_close(&dir);
    struct fs_sim_disk *kept = fs_sim_crash(scene.disk, &worst);
    ck_assert_uint_eq(found_on(&scene, kept, &broken), NEW_INDEX);
    ck_assert_int_eq(broken, 0);
    fs_sim_disk_free(kept);
    scene_deinit(&scene);
}
END_TEST

/* A log may hang on whether a snapshot is lost: a disk that did not give it, or not all of it, says nothing of that. */
START_TEST(test_what_a_disk_did_not_give_is_not_lost)
{
    for (int is_short = 0; is_short < 2; is_short++) {
        struct scene scene;
        struct snapshot_dir dir;
        struct state_machine_loaded *loaded = NULL;
        char message[512];
        scene_init(&scene, 30);
        ck_assert_int_eq(snapshot_dir_open(scene.fs, SNAPSHOT_RIG_DIR, &dir, message, sizeof message), ERR_OK);
        ck_assert(!snapshot_dir_has_unread(&dir));
        fs_sim_fail(scene.disk, FS_PREAD, 1, is_short ? FS_SIM_SHORT : EIO);
        ck_assert_int_eq(snapshot_dir_load(&dir, 0, NULL, NULL, &loaded, message, sizeof message), ERR_OK);
        ck_assert_ptr_null(loaded);
        ck_assert(snapshot_dir_has_unread(&dir));
        snapshot_dir_close(&dir);
        scene_deinit(&scene);
    }
}
END_TEST

START_TEST(test_a_cancelled_writer_leaves_nothing)
{
    for (int steps = 0; steps < 14; steps++) {
        struct scene scene;
        int broken = 0;
        scene_init(&scene, 60);
        struct snapshot_writer_options options = {.fs = scene.fs, .directory = SNAPSHOT_RIG_DIR, .member_id = 1};
        struct snapshot_writer *writer = snapshot_writer_new(&options, snapshot_rig_image(scene.store.mvcc, NEW_INDEX));
        for (int i = 0; i < steps; i++) (void)snapshot_writer_step(writer, 1);
        bool is_done = snapshot_writer_state(writer) == SNAPSHOT_WRITER_DONE;
        snapshot_writer_cancel(writer);
        while (snapshot_writer_step(writer, 1)) ck_assert_ptr_nonnull(writer);
        is_done = is_done || snapshot_writer_state(writer) == SNAPSHOT_WRITER_DONE; /* the last sync was under way */
        if (!is_done) ck_assert_int_eq(snapshot_writer_err(writer), ERR_CANCELED);
        ck_assert_uint_eq(found_on(&scene, scene.disk, &broken), is_done ? NEW_INDEX : OLD_INDEX);
        snapshot_writer_free(writer);
        scene_deinit(&scene);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshot_file");
    TCase *tcase = tcase_create("files");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_every_bit_that_flips_is_noticed);
    tcase_add_test(tcase, test_every_cut_and_every_byte_too_many_is_noticed);
    tcase_add_test(tcase, test_blocks_of_another_snapshot_do_not_pass);
    tcase_add_test(tcase, test_a_file_with_right_checksums_and_wrong_content_is_refused_or_the_same);
    tcase_add_test(tcase, test_a_newer_program_s_file_is_refused_by_name);
    tcase_add_test(tcase, test_a_section_that_may_be_left_out_is_left_out);
    tcase_add_test(tcase, test_whatever_operation_fails_the_older_snapshot_stays_and_nothing_is_left_over);
    tcase_add_test(tcase, test_without_room_the_writer_gives_up_and_the_room_comes_back);
    tcase_add_test(tcase, test_reads_that_fail_are_no_damage);
    tcase_add_test(tcase, test_power_may_go_at_any_operation);
    tcase_add_test(tcase, test_a_broken_newest_one_is_reported_and_the_older_one_serves);
    tcase_add_test(tcase, test_operations_that_complete_late_are_waited_for);
    tcase_add_test(tcase, test_a_cancelled_writer_leaves_nothing);
    tcase_add_test(tcase, test_what_a_disk_did_not_give_is_not_lost);
    tcase_add_test(tcase, test_what_a_start_loads_is_on_the_disk);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
