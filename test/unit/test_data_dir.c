/* test_data_dir: does the directory know who it belongs to, whatever happens, and keep a second process out? */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "lib/fs_sim.h"
#include "storage/data_dir.h"

#define IDENTITY_SIZE 88
#define IDENTITY_PATH "d/identity"

struct rig {
    struct fs_sim_disk *disk;
    struct fs *fs;
    struct data_dir dir;
    char message[512];
};

static void rig_open(struct rig *rig)
{
    rig->fs = fs_sim_new(rig->disk, true);
    enum err err = data_dir_open(rig->fs, "d", "", NULL, &rig->dir, rig->message, sizeof rig->message);
    ck_assert_msg(err == ERR_OK, "%s", rig->message);
}

static void rig_close(struct rig *rig)
{
    data_dir_close(&rig->dir);
    fs_free(rig->fs);
    rig->fs = NULL;
}

static void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->disk = fs_sim_disk_new();
    rig_open(rig);
}

static void rig_deinit(struct rig *rig)
{
    rig_close(rig);
    fs_sim_disk_free(rig->disk);
}

static struct data_dir_identity identity_of(uint64_t boot_count)
{
    struct data_dir_identity identity = {.cluster_id = 0xc0ffee, .member_id = 0xbeef, .boot_count = boot_count};
    for (size_t i = 0; i < sizeof identity.uuid; i++) identity.uuid[i] = (uint8_t)(i + 1);
    return identity;
}

static void store(struct rig *rig, uint64_t boot_count)
{
    struct data_dir_identity identity = identity_of(boot_count);
    ck_assert_int_eq(data_dir_store_identity(&rig->dir, &identity, rig->message, sizeof rig->message), ERR_OK);
}

static enum err load(struct rig *rig, struct data_dir_identity *out_identity)
{
    return data_dir_load_identity(&rig->dir, out_identity, rig->message, sizeof rig->message);
}

START_TEST(test_data_dir_identity_comes_back)
{
    struct rig rig;
    struct data_dir_identity found = {0};
    rig_init(&rig);
    ck_assert_int_eq(load(&rig, &found), ERR_KEY_NOT_FOUND);
    for (uint64_t boot = 1; boot < 4; boot++) {
        store(&rig, boot);
        rig_close(&rig);
        rig_open(&rig);
        struct data_dir_identity expected = identity_of(boot);
        ck_assert_int_eq(load(&rig, &found), ERR_OK);
        ck_assert_uint_eq(found.cluster_id, expected.cluster_id);
        ck_assert_uint_eq(found.member_id, expected.member_id);
        ck_assert_uint_eq(found.boot_count, boot);
        ck_assert_mem_eq(found.uuid, expected.uuid, sizeof expected.uuid);
    }
    rig_deinit(&rig);
}
END_TEST

START_TEST(test_data_dir_every_flipped_bit_of_the_identity_is_noticed)
{
    struct rig rig;
    struct data_dir_identity found = {0};
    rig_init(&rig);
    store(&rig, 1);
    for (uint64_t bit = 0; bit < IDENTITY_SIZE * 8; bit++) {
        fs_sim_flip(rig.disk, IDENTITY_PATH, bit / 8, (uint8_t)(1u << bit % 8));
        ck_assert_int_eq(load(&rig, &found), ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(rig.message, IDENTITY_PATH ": corrupt"));
        fs_sim_flip(rig.disk, IDENTITY_PATH, bit / 8, (uint8_t)(1u << bit % 8));
    }
    ck_assert_int_eq(load(&rig, &found), ERR_OK);
    rig_deinit(&rig);
}
END_TEST

START_TEST(test_data_dir_identity_of_another_length_is_noticed)
{
    struct rig rig;
    struct data_dir_identity found = {0};
    rig_init(&rig);
    for (uint64_t size = 0; size < IDENTITY_SIZE + 20; size++) {
        store(&rig, 1);
        fs_sim_cut(rig.disk, IDENTITY_PATH, size);
        ck_assert_int_eq(load(&rig, &found), size == IDENTITY_SIZE ? ERR_OK : ERR_CORRUPT);
    }
    rig_deinit(&rig);
}
END_TEST

/* Sets bytes of the identity and its checksum with them. */
static void forge(struct rig *rig, uint64_t offset, uint8_t byte)
{
    uint8_t bytes[IDENTITY_SIZE];
    fs_sim_peek(rig->disk, IDENTITY_PATH, 0, bytes, sizeof bytes);
    bytes[offset] = byte;
    uint32_t crc = crc32c(0, bytes, IDENTITY_SIZE - 4);
    for (size_t i = 0; i < 4; i++) bytes[IDENTITY_SIZE - 4 + i] = (uint8_t)(crc >> (8 * i));
    fs_sim_poke(rig->disk, IDENTITY_PATH, 0, bytes, sizeof bytes);
}

START_TEST(test_data_dir_identity_of_a_newer_format_is_refused_as_such)
{
    static const struct {
        uint64_t offset;
        uint8_t byte;
        enum err err;
    } cases[] = {{8, 2, ERR_STOPPED}, {12, 7, ERR_STOPPED}, {16, 1, ERR_STOPPED}, {23, 0x80, ERR_STOPPED}, {10, 5, ERR_OK}};
    struct rig rig;
    struct data_dir_identity found = {0};
    rig_init(&rig);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        store(&rig, 1);
        forge(&rig, cases[i].offset, cases[i].byte); /* a newer minor changes nothing for us */
        ck_assert_int_eq(load(&rig, &found), cases[i].err);
        if (cases[i].err != ERR_OK) ck_assert_ptr_nonnull(strstr(rig.message, "a newer program must open it"));
    }
    rig_deinit(&rig);
}
END_TEST

/* Old or new, never neither; and once the store was answered, new. */
START_TEST(test_data_dir_identity_survives_power_loss_at_every_operation)
{
    for (uint64_t op = 1;; op++) {
        struct rig rig;
        struct data_dir_identity found = {0};
        rig_init(&rig);
        store(&rig, 1);
        fs_sim_freeze_at(rig.disk, fs_sim_op_count(rig.disk) + op);
        store(&rig, 2);
        const struct fs_sim_disk *frozen = fs_sim_frozen(rig.disk);
        bool is_over = frozen == NULL;
        if (is_over) frozen = rig.disk;
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct rig after = {.disk = fs_sim_crash(frozen, &(struct fs_sim_crash){
                                    .loss = seed % 2 == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = seed,
                                    .names = (enum fs_sim_names)(seed / 2 % FS_SIM_NAMES_KINDS)})};
            rig_open(&after);
            ck_assert_msg(load(&after, &found) == ERR_OK, "op %lu: %s", (unsigned long)op, after.message);
            ck_assert_uint_ge(found.boot_count, is_over ? 2 : 1);
            store(&after, 3); /* what was left aside is not in the way */
            ck_assert_int_eq(load(&after, &found), ERR_OK);
            ck_assert_uint_eq(found.boot_count, 3);
            rig_deinit(&after);
        }
        rig_deinit(&rig);
        if (is_over) break;
        ck_assert_uint_lt(op, 20);
    }
}
END_TEST

START_TEST(test_data_dir_failing_operation_is_reported_with_path_and_reason)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_PWRITE, FS_FDATASYNC, FS_RENAME, FS_FSYNC_DIR};
    struct rig rig;
    struct data_dir_identity identity = identity_of(2);
    struct data_dir_identity found = {0};
    rig_init(&rig);
    store(&rig, 1);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        fs_sim_fail(rig.disk, kinds[i], 1, ENOSPC);
        ck_assert_int_eq(data_dir_store_identity(&rig.dir, &identity, rig.message, sizeof rig.message), ERR_STOPPED);
        ck_assert_ptr_nonnull(strstr(rig.message, IDENTITY_PATH));
        ck_assert_ptr_nonnull(strstr(rig.message, strerror(ENOSPC)));
        ck_assert_int_eq(load(&rig, &found), ERR_OK);
    }
    fs_sim_fail(rig.disk, FS_PREAD, 1, EIO);
    ck_assert_int_eq(load(&rig, &found), ERR_STOPPED);
    ck_assert_ptr_nonnull(strstr(rig.message, strerror(EIO)));
    fs_sim_fail(rig.disk, FS_OPEN, 1, EACCES);
    ck_assert_int_eq(load(&rig, &found), ERR_STOPPED); /* and not "new" */
    ck_assert_ptr_nonnull(strstr(rig.message, strerror(EACCES)));
    rig_deinit(&rig);
}
END_TEST

START_TEST(test_data_dir_second_process_is_refused)
{
    struct rig rig;
    struct data_dir second;
    char message[256];
    rig_init(&rig);
    struct fs *fs = fs_sim_new(rig.disk, true);
    ck_assert_int_eq(data_dir_open(fs, "d", "", NULL, &second, message, sizeof message), ERR_STOPPED);
    ck_assert_ptr_nonnull(strstr(message, "another process holds the lock"));
    data_dir_close(&rig.dir);
    ck_assert_int_eq(data_dir_open(fs, "d", "", NULL, &second, message, sizeof message), ERR_OK);
    data_dir_close(&second);
    fs_free(fs);
    rig_deinit(&rig);
}
END_TEST

START_TEST(test_data_dir_is_private_and_makes_what_is_missing)
{
    char base[] = "/tmp/test_data_dir_XXXXXX";
    char path[128], wal[128], message[256], command[256];
    struct data_dir dir;
    struct stat status;
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof path, "%s/a/b/data//", base);
    snprintf(wal, sizeof wal, "%s/other/wal", base);
    struct fs *fs = fs_real_new();
    enum err err = data_dir_open(fs, path, wal, NULL, &dir, message, sizeof message);
    ck_assert_msg(err == ERR_OK, "%s", message);
    const char *const made[] = {dir.path, dir.wal_path, dir.snap_path};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(stat(made[i], &status), 0);
        ck_assert_uint_eq(status.st_mode & 07777, 0700);
    }
    struct data_dir_identity identity = identity_of(1);
    ck_assert_int_eq(data_dir_store_identity(&dir, &identity, message, sizeof message), ERR_OK);
    snprintf(path, sizeof path, "%s/a/b/data/identity", base);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    data_dir_close(&dir);
    ck_assert_int_eq(data_dir_open(fs, path, "", NULL, &dir, message, sizeof message), ERR_STOPPED); /* a file is no directory */
    ck_assert_ptr_nonnull(strstr(message, path));
    fs_free(fs);
    snprintf(command, sizeof command, "rm -r %s", base);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("data_dir");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_data_dir_identity_comes_back);
    tcase_add_test(tests, test_data_dir_every_flipped_bit_of_the_identity_is_noticed);
    tcase_add_test(tests, test_data_dir_identity_of_another_length_is_noticed);
    tcase_add_test(tests, test_data_dir_identity_of_a_newer_format_is_refused_as_such);
    tcase_add_test(tests, test_data_dir_identity_survives_power_loss_at_every_operation);
    tcase_add_test(tests, test_data_dir_failing_operation_is_reported_with_path_and_reason);
    tcase_add_test(tests, test_data_dir_second_process_is_refused);
    tcase_add_test(tests, test_data_dir_is_private_and_makes_what_is_missing);
    Suite *suite = suite_create("data_dir");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
