/* Does the real file system do every kind of operation, and report what the kernel reports?
 *
 * The system calls that may be interrupted or cut short stand here in a version of their own, which takes the place of libc's in
 * this program: with `kernel.is_moody` every other call is interrupted and none moves more than a few bytes.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/fs.h"

#define MOODY_BYTES 1000

static struct {
    bool is_moody;
    uint64_t calls;
    uint64_t interrupted;
    uint64_t syncs;
    int sync_error; /* 0 = the kernel's own answer */
    int room_error; /* of fallocate; likewise */
} kernel;

static bool interrupts(void)
{
    if (!kernel.is_moody || kernel.calls++ % 2 != 0) return false;
    kernel.interrupted++;
    errno = EINTR;
    return true;
}

static size_t at_most(size_t size)
{
    return kernel.is_moody && size > MOODY_BYTES ? MOODY_BYTES : size;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return interrupts() ? -1 : syscall(SYS_pwrite64, fd, data, at_most(size), offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    if (interrupts()) return -1;
    if (kernel.is_moody) return syscall(SYS_pwrite64, fd, pieces[0].iov_base, at_most(pieces[0].iov_len), offset);
    return syscall(SYS_pwritev, fd, pieces, count, offset, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (interrupts()) return -1;
    errno = kernel.room_error;
    return kernel.room_error != 0 ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

ssize_t pread(int fd, void *memory, size_t size, off_t offset)
{
    return interrupts() ? -1 : syscall(SYS_pread64, fd, memory, at_most(size), offset);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    return interrupts() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int ftruncate(int fd, off_t size)
{
    return interrupts() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int flock(int fd, int operation)
{
    return interrupts() ? -1 : (int)syscall(SYS_flock, fd, operation);
}

static int answer_sync(int answer)
{
    kernel.syncs++;
    if (kernel.sync_error == 0) return answer;
    errno = kernel.sync_error;
    return -1;
}

int fdatasync(int fd)
{
    return answer_sync((int)syscall(SYS_fdatasync, fd));
}

int fsync(int fd)
{
    return answer_sync((int)syscall(SYS_fsync, fd));
}

struct place {
    struct fs *fs;
    char directory[64];
    char path[PATH_MAX];
};

static struct place place;

/* place.path := directory/name */
static const char *at(const char *name)
{
    snprintf(place.path, sizeof place.path, "%s/%s", place.directory, name);
    return place.path;
}

static void set_up(void)
{
    snprintf(place.directory, sizeof place.directory, "/tmp/test_base_fs.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(place.directory));
    place.fs = fs_real_new();
}

static void remove_entry(void *owner, const char *name)
{
    (void)owner;
    remove(at(name));
}

static void tear_down(void)
{
    struct fs_op list = {.kind = FS_LIST, .path = place.directory, .list_fn = remove_entry};
    ck_assert_int_eq(fs_run(place.fs, &list), 0);
    ck_assert_int_eq(rmdir(place.directory), 0);
    fs_free(place.fs);
    fs_free(NULL);
}

static struct fs_file *open_new(const char *name)
{
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(place.fs, at(name), FS_READ | FS_WRITE | FS_CREATE, &file), 0);
    return file;
}

static int run(struct fs_op op) { return fs_run(place.fs, &op); }

static uint64_t size_of(struct fs_file *file)
{
    struct fs_op op = {.kind = FS_SIZE, .file = file};
    ck_assert_int_eq(fs_run(place.fs, &op), 0);
    return op.result;
}

START_TEST(test_fs_what_is_written_is_read)
{
    struct fs_file *file = open_new("data");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .offset = 3, .data = "abcdef", .size = 6}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FDATASYNC, .file = file}), 0);
    ck_assert_uint_eq(size_of(file), 9);
    char bytes[16] = "................";
    struct fs_op read = {.kind = FS_PREAD, .file = file, .offset = 2, .memory = bytes, .size = 4};
    ck_assert_int_eq(fs_run(place.fs, &read), 0);
    ck_assert_uint_eq(read.result, 4);
    ck_assert_mem_eq(bytes, "\0abc.", 5);
    read.offset = 8;
    ck_assert_int_eq(fs_run(place.fs, &read), 0);
    ck_assert_uint_eq(read.result, 1);
    read.offset = 100;
    ck_assert_int_eq(fs_run(place.fs, &read), 0);
    ck_assert_uint_eq(read.result, 0);
    fs_close(place.fs, file);
    struct stat status;
    ck_assert_int_eq(stat(at("data"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

/* By the file system's own means, or by writing. */
START_TEST(test_fs_allocated_room_is_taken_and_reads_as_zeros)
{
    static const int errors[] = {0, EOPNOTSUPP, ENOSYS};
    kernel.room_error = errors[_i];
    struct fs_file *file = open_new("zeros");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .data = "x", .size = 1}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = file, .offset = 1, .size = 200000}), 0);
    kernel.room_error = 0;
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FDATASYNC, .file = file}), 0);
    ck_assert_uint_eq(size_of(file), 200001);
    struct blob *bytes = NULL;
    ck_assert_int_eq(fs_read_file(place.fs, at("zeros"), 1 << 20, &bytes), 0);
    ck_assert_uint_eq(bytes->size, 200001);
    ck_assert_uint_eq(bytes->data[0], 'x');
    for (size_t i = 1; i < bytes->size; i++) ck_assert_uint_eq(bytes->data[i], 0);
    blob_unref(bytes);
    struct stat status;
    ck_assert_int_eq(stat(at("zeros"), &status), 0);
    ck_assert_int_ge(status.st_blocks * 512, 200001);
    fs_close(place.fs, file);
}
END_TEST

/* Past the page cache or not: it is there for who reads, beside zeros that were written before, and over what a page cache holds of it. */
START_TEST(test_fs_direct_writes_are_read)
{
    _Alignas(FS_DIRECT_ALIGN) uint8_t wrote[3 * FS_DIRECT_ALIGN];
    uint8_t read[sizeof wrote];
    memset(wrote, 'a', sizeof wrote);
    struct fs_file *file = open_new("direct"), *direct = NULL;
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = file, .size = 8192}), 0);
    ck_assert_int_eq(fs_open(place.fs, at("direct"), FS_WRITE | FS_DIRECT, &direct), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = direct, .offset = 8192, .size = 3 << 20}), 0);
    ck_assert_uint_eq(size_of(file), 8192 + (3 << 20));
    for (uint64_t offset = FS_DIRECT_ALIGN; offset < 20000; offset += 2 * sizeof wrote) {
        ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = direct, .offset = offset, .data = wrote, .size = sizeof wrote}), 0);
        struct fs_op op = {.kind = FS_PREAD, .file = file, .offset = offset - FS_DIRECT_ALIGN, .memory = read, .size = sizeof read};
        ck_assert_int_eq(fs_run(place.fs, &op), 0);
        ck_assert_int_eq(read[FS_DIRECT_ALIGN - 1], 0);
        ck_assert_mem_eq(read + FS_DIRECT_ALIGN, wrote, sizeof read - FS_DIRECT_ALIGN);
    }
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FDATASYNC, .file = direct}), 0);
    fs_close(place.fs, direct);
    fs_close(place.fs, file);
}
END_TEST

START_TEST(test_fs_truncate_cuts_and_extends)
{
    struct fs_file *file = open_new("cut");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .data = "abcdef", .size = 6}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_TRUNCATE, .file = file, .size = 2}), 0);
    ck_assert_uint_eq(size_of(file), 2);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_TRUNCATE, .file = file, .size = 10}), 0);
    ck_assert_uint_eq(size_of(file), 10);
    fs_close(place.fs, file);
    ck_assert_int_eq(fs_open(place.fs, at("cut"), FS_WRITE | FS_TRUNC, &file), 0);
    ck_assert_uint_eq(size_of(file), 0);
    fs_close(place.fs, file);
}
END_TEST

START_TEST(test_fs_open_reports_missing_and_existing_files)
{
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(place.fs, at("no"), FS_READ, &file), ENOENT);
    ck_assert_ptr_null(file);
    ck_assert_int_eq(fs_open(place.fs, at("new"), FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file), 0);
    fs_close(place.fs, file);
    struct fs_file *untouched = file;
    ck_assert_int_eq(fs_open(place.fs, at("new"), FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file), EEXIST);
    ck_assert_ptr_eq(file, untouched);
    fs_close(place.fs, NULL);
}
END_TEST

START_TEST(test_fs_writing_a_file_opened_for_reading_is_an_error)
{
    fs_close(place.fs, open_new("ro"));
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(place.fs, at("ro"), FS_READ, &file), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .data = "x", .size = 1}), EBADF);
    fs_close(place.fs, file);
}
END_TEST

START_TEST(test_fs_rename_unlink_and_directories)
{
    fs_close(place.fs, open_new("a"));
    char from[PATH_MAX];
    snprintf(from, sizeof from, "%s", at("a"));
    ck_assert_int_eq(run((struct fs_op){.kind = FS_RENAME, .path = from, .path2 = at("b")}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_RENAME, .path = from, .path2 = at("b")}), ENOENT);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FSYNC_DIR, .path = place.directory}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FSYNC_DIR, .path = at("none")}), ENOENT);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_FSYNC_DIR, .path = at("b")}), ENOTDIR);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_UNLINK, .path = at("b")}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_UNLINK, .path = at("b")}), ENOENT);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_MKDIR, .path = at("d")}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_MKDIR, .path = at("d")}), EEXIST);
    struct stat status;
    ck_assert_int_eq(stat(at("d"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0700);
}
END_TEST

static void add_name(void *owner, const char *name)
{
    char *names = owner;
    size_t size = strlen(names);
    snprintf(names + size, 256 - size, "%s;", name);
}

START_TEST(test_fs_list_is_sorted)
{
    static const char *const made[] = {"c", "a", "b10", "b1", ".hidden"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) fs_close(place.fs, open_new(made[i]));
    char names[256] = "";
    struct fs_op op = {.kind = FS_LIST, .path = place.directory, .list_fn = add_name, .owner = names};
    ck_assert_int_eq(fs_run(place.fs, &op), 0);
    ck_assert_str_eq(names, ".hidden;a;b1;b10;c;");
    op.path = at("none");
    ck_assert_int_eq(fs_run(place.fs, &op), ENOENT);
}
END_TEST

START_TEST(test_fs_lock_is_refused_to_a_second_open)
{
    struct fs_file *first = open_new("lock"), *second = open_new("lock");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = first}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = second}), EWOULDBLOCK);
    fs_close(place.fs, first);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = second}), 0);
    fs_close(place.fs, second);
}
END_TEST

START_TEST(test_fs_submitted_operations_complete_in_order)
{
    struct fs_file *file = open_new("queue");
    struct fs_op ops[FS_OPS_MAX];
    ck_assert_ptr_null(fs_take_done(place.fs));
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < FS_OPS_MAX; i++) {
            ops[i] = (struct fs_op){.kind = FS_PWRITE, .file = file, .offset = i, .data = "x", .size = 1};
            fs_submit(place.fs, &ops[i]);
        }
        for (int i = 0; i < FS_OPS_MAX; i++) {
            ck_assert_ptr_eq(fs_take_done(place.fs), &ops[i]);
            ck_assert_int_eq(ops[i].error, 0);
        }
        ck_assert_ptr_null(fs_take_done(place.fs));
    }
    ck_assert_uint_eq(size_of(file), FS_OPS_MAX);
    fs_close(place.fs, file);
}
END_TEST

START_TEST(test_fs_read_file_refuses_what_is_too_big)
{
    struct blob *bytes = NULL;
    ck_assert_int_eq(fs_read_file(place.fs, at("f"), 10, &bytes), ENOENT);
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "f", slice_from_string("0123456789")), 0);
    ck_assert_int_eq(fs_read_file(place.fs, at("f"), 9, &bytes), EFBIG);
    ck_assert_ptr_null(bytes);
    ck_assert_int_eq(fs_read_file(place.fs, at("f"), 10, &bytes), 0);
    ck_assert(slice_equal(blob_slice(bytes), slice_from_string("0123456789")));
    blob_unref(bytes);
}
END_TEST

START_TEST(test_fs_replace_file_replaces_and_leaves_nothing_aside)
{
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "f", slice_from_string("a long first text")), 0);
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "f", slice_from_string("short")), 0);
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "empty", slice_empty()), 0);
    struct blob *bytes = NULL;
    ck_assert_int_eq(fs_read_file(place.fs, at("f"), 100, &bytes), 0);
    ck_assert(slice_equal(blob_slice(bytes), slice_from_string("short")));
    blob_unref(bytes);
    char names[256] = "";
    struct fs_op list = {.kind = FS_LIST, .path = place.directory, .list_fn = add_name, .owner = names};
    ck_assert_int_eq(fs_run(place.fs, &list), 0);
    ck_assert_str_eq(names, "empty;f;");
}
END_TEST

START_TEST(test_fs_replace_file_that_fails_leaves_no_file_aside)
{
    /* a directory cannot be replaced by a file: the rename fails */
    ck_assert_int_eq(run((struct fs_op){.kind = FS_MKDIR, .path = at("d")}), 0);
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "d", slice_from_string("x")), EISDIR);
    char names[256] = "";
    struct fs_op list = {.kind = FS_LIST, .path = place.directory, .list_fn = add_name, .owner = names};
    ck_assert_int_eq(fs_run(place.fs, &list), 0);
    ck_assert_str_eq(names, "d;");
    char name[PATH_MAX];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    ck_assert_int_eq(fs_replace_file(place.fs, place.directory, name, slice_empty()), ENAMETOOLONG);
}
END_TEST

START_TEST(test_fs_file_outlives_the_instance_that_opened_it)
{
    struct fs *fs = fs_real_new();
    struct fs_file *file = NULL;
    ck_assert_int_eq(fs_open(fs, at("open"), FS_WRITE | FS_CREATE, &file), 0);
    ck_assert_int_eq(fs_run(fs, &(struct fs_op){.kind = FS_LOCK, .file = file}), 0);
    fs_free(fs);
    struct fs_file *other = open_new("open");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = other}), EWOULDBLOCK);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .data = "abc", .size = 3}), 0);
    ck_assert_uint_eq(size_of(other), 3);
    fs_close(place.fs, file);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = other}), 0);
    fs_close(place.fs, other);
}
END_TEST

START_TEST(test_fs_interrupted_and_short_calls_are_not_seen)
{
    uint8_t wrote[10 * MOODY_BYTES + 7];
    uint8_t read[sizeof wrote + 1];
    for (size_t i = 0; i < sizeof wrote; i++) wrote[i] = (uint8_t)(i * 31 + i / 256);
    kernel.is_moody = true;
    struct fs_file *file = open_new("moody");
    ck_assert_int_eq(run((struct fs_op){.kind = FS_LOCK, .file = file}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = file, .size = 20000}), 0);
    ck_assert_uint_eq(size_of(file), 20000);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .offset = 5, .data = wrote, .size = sizeof wrote}), 0);
    ck_assert_int_eq(run((struct fs_op){.kind = FS_TRUNCATE, .file = file, .size = 5 + sizeof wrote}), 0);
    struct fs_op op = {.kind = FS_PREAD, .file = file, .offset = 5, .memory = read, .size = sizeof read};
    ck_assert_int_eq(fs_run(place.fs, &op), 0);
    kernel.is_moody = false;
    ck_assert_uint_eq(op.result, sizeof wrote); /* less than asked for at the end of the file only */
    ck_assert_mem_eq(read, wrote, sizeof wrote);
    ck_assert_uint_gt(kernel.interrupted, 20);
    fs_close(place.fs, file);
}
END_TEST

/* Whatever it answers, EINTR too: after it the page cache may say that what is not on the disk is clean. */
START_TEST(test_fs_failed_sync_is_reported_and_never_tried_again)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EINTR, EINVAL};
    struct fs_file *file = open_new("sync");
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        kernel.sync_error = errors[i];
        kernel.syncs = 0;
        ck_assert_int_eq(run((struct fs_op){.kind = FS_FDATASYNC, .file = file}), errors[i]);
        ck_assert_int_eq(run((struct fs_op){.kind = FS_FSYNC_DIR, .path = place.directory}), errors[i]);
        ck_assert_uint_eq(kernel.syncs, 2);
        ck_assert_int_eq(fs_replace_file(place.fs, place.directory, "whole", slice_from_string("x")), errors[i]);
        ck_assert_uint_eq(kernel.syncs, 3); /* the file's; it was not put in the other's place */
    }
    kernel.sync_error = 0;
    struct fs_file *whole = NULL;
    ck_assert_int_eq(fs_open(place.fs, at("whole"), FS_READ, &whole), ENOENT);
    fs_close(place.fs, file);
}
END_TEST

START_TEST(test_fs_full_disk_is_reported)
{
    struct fs_file *file = NULL;
    if (fs_open(place.fs, "/dev/full", FS_WRITE, &file) != 0) return; /* not everywhere */
    ck_assert_int_eq(run((struct fs_op){.kind = FS_PWRITE, .file = file, .data = "x", .size = 1}), ENOSPC);
    kernel.room_error = EOPNOTSUPP;
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = file, .size = 100000}), ENOSPC);
    kernel.room_error = EDQUOT;
    ck_assert_int_eq(run((struct fs_op){.kind = FS_ALLOCATE, .file = file, .size = 100000}), EDQUOT);
    kernel.room_error = 0;
    fs_close(place.fs, file);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("fs");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_fs_what_is_written_is_read);
    tcase_add_loop_test(tests, test_fs_allocated_room_is_taken_and_reads_as_zeros, 0, 3);
    tcase_add_test(tests, test_fs_direct_writes_are_read);
    tcase_add_test(tests, test_fs_truncate_cuts_and_extends);
    tcase_add_test(tests, test_fs_open_reports_missing_and_existing_files);
    tcase_add_test(tests, test_fs_writing_a_file_opened_for_reading_is_an_error);
    tcase_add_test(tests, test_fs_rename_unlink_and_directories);
    tcase_add_test(tests, test_fs_list_is_sorted);
    tcase_add_test(tests, test_fs_lock_is_refused_to_a_second_open);
    tcase_add_test(tests, test_fs_submitted_operations_complete_in_order);
    tcase_add_test(tests, test_fs_read_file_refuses_what_is_too_big);
    tcase_add_test(tests, test_fs_replace_file_replaces_and_leaves_nothing_aside);
    tcase_add_test(tests, test_fs_replace_file_that_fails_leaves_no_file_aside);
    tcase_add_test(tests, test_fs_file_outlives_the_instance_that_opened_it);
    tcase_add_test(tests, test_fs_interrupted_and_short_calls_are_not_seen);
    tcase_add_test(tests, test_fs_failed_sync_is_reported_and_never_tried_again);
    tcase_add_test(tests, test_fs_full_disk_is_reported);
    Suite *suite = suite_create("base_fs");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
