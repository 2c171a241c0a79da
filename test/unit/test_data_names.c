/* Does a data directory keep the names that it was made with, is everybody else's look refused, and is nothing written when they are the usual ones? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "lib/fs_sim.h"
#include "storage/data_dir.h"

static struct fs_sim_disk *disk;
static struct fs *fs;
static char message[512];

static void set_up(void)
{
    disk = fs_sim_disk_new();
    fs = fs_sim_new(disk, true);
    message[0] = '\0';
}

static void tear_down(void)
{
    fs_free(fs);
    fs_sim_disk_free(disk);
}

static enum err open_as(const char *wal, const char *snap, const char *identity)
{
    struct data_dir dir = {.fs = NULL};
    const struct data_names names = data_names_make(wal, snap, identity);
    enum err err = data_dir_open(fs, "d", "", &names, &dir, message, sizeof message);
    if (err == ERR_OK) {
        char path[128];
        snprintf(path, sizeof path, "d/%s", wal);
        ck_assert_str_eq(dir.wal_path, path);
        snprintf(path, sizeof path, "d/%s", snap);
        ck_assert_str_eq(dir.snap_path, path);
        struct data_dir_identity identity_of = {.cluster_id = 1, .member_id = 2, .boot_count = 3};
        ck_assert_int_eq(data_dir_store_identity(&dir, &identity_of, message, sizeof message), ERR_OK);
        ck_assert_int_eq(data_dir_load_identity(&dir, &identity_of, message, sizeof message), ERR_OK);
    }
    data_dir_close(&dir);
    return err;
}

static int read_file(const char *path)
{
    struct blob *bytes = NULL;
    int error = fs_read_file(fs, path, 4096, &bytes);
    blob_unref(bytes);
    return error;
}

START_TEST(test_data_names_a_directory_keeps_its_names)
{
    struct data_names found;
    ck_assert_int_eq(open_as("log", "pictures", "who"), ERR_OK);
    ck_assert_int_eq(read_file("d/who"), 0);
    ck_assert_int_eq(open_as("log", "pictures", "who"), ERR_OK);
    ck_assert_int_eq(data_names_load(fs, "d", &found, message, sizeof message), ERR_OK);
    ck_assert(strcmp(found.wal, "log") == 0 && strcmp(found.snap, "pictures") == 0 && strcmp(found.identity, "who") == 0);
    static const char *const others[][3] = {{"wal", "pictures", "who"}, {"log", "snap", "who"}, {"log", "pictures", "identity"},
                                            {"wal", "snap", "identity"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ck_assert_int_eq(open_as(others[i][0], others[i][1], others[i][2]), ERR_STOPPED);
        ck_assert_ptr_nonnull(strstr(message, "was made with the names log, pictures and who"));
    }
}
END_TEST

START_TEST(test_data_names_the_usual_ones_are_not_written_and_kept_all_the_same)
{
    struct data_names found;
    ck_assert_int_eq(open_as("wal", "snap", "identity"), ERR_OK);
    ck_assert_int_ne(read_file("d/names"), 0);
    ck_assert_int_eq(open_as("log", "snap", "identity"), ERR_STOPPED);
    ck_assert_ptr_nonnull(strstr(message, "was made with the names wal, snap and identity"));
    ck_assert_int_eq(data_names_load(fs, "d", &found, message, sizeof message), ERR_OK);
    ck_assert_str_eq(found.wal, "wal");
    ck_assert_int_eq(data_names_load(fs, "absent", &found, message, sizeof message), ERR_OK);
}
END_TEST

START_TEST(test_data_names_a_damaged_file_is_refused)
{
    static const char *const texts[] = {"", "kvd-names 1\n", "kvd-names 2\na\nb\nc\n", "kvd-names 1\na\nb\nc\nd\n", "kvd-names 1\na\nb\nc",
                                        "kvd-names 1\n../a\nb\nc\n", "kvd-names 1\n\nb\nc\n"};
    struct data_names found;
    ck_assert_int_eq(open_as("log", "pictures", "who"), ERR_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_int_eq(fs_replace_file(fs, "d", "names", slice_from_string(texts[i])), 0);
        ck_assert_int_eq(data_names_load(fs, "d", &found, message, sizeof message), ERR_CORRUPT);
        ck_assert_int_eq(open_as("log", "pictures", "who"), ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(message, "d/names: corrupt"));
    }
}
END_TEST

START_TEST(test_data_names_what_is_a_name)
{
    static const char *const good[] = {"wal", "raft_state.json", "A-1", "x.tmp1"};
    static const char *const bad[] = {"", ".", "..", ".hidden", "a/b", "LOCK", "names", "a.tmp", "a b", "\xc3\xbc",
                                      "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) ck_assert_msg(data_names_is_name(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) ck_assert_msg(!data_names_is_name(bad[i]), "%s", bad[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("storage/data_names");
    TCase *tcase = tcase_create("names");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_data_names_a_directory_keeps_its_names);
    tcase_add_test(tcase, test_data_names_the_usual_ones_are_not_written_and_kept_all_the_same);
    tcase_add_test(tcase, test_data_names_a_damaged_file_is_refused);
    tcase_add_test(tcase, test_data_names_what_is_a_name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
