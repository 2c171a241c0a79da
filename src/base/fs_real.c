/* fs_real: the file operations of fs.h by system calls. A submitted one runs at once; only its completion is queued. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fs.h"

#define FS_REAL_ZEROS_BYTES (64 * 1024)
#define FS_REAL_ZEROS_AT_ONCE 16
#define FS_REAL_NAMES_MAX 100000 /* of one directory; more is EOVERFLOW */

struct fs_file {
    int fd;
    bool is_direct;
};

struct fs_real {
    struct fs fs;
    struct list done;  /* completed, not taken yet */
    unsigned in_flight;
};

static struct fs_real *real_of(struct fs *fs)
{
    ASSERT(fs != NULL);
    return LIST_ENTRY(fs, struct fs_real, fs);
}

/* A kernel that cannot tell (before 6.1), a file system without it, or a disk with bigger blocks: the page cache then. */
static bool may_be_direct(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx status;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0 || (status.stx_mask & STATX_DIOALIGN) == 0) return false;
    bool is_known = status.stx_dio_mem_align > 0 && status.stx_dio_offset_align > 0;
    return is_known && status.stx_dio_mem_align <= FS_DIRECT_ALIGN && status.stx_dio_offset_align <= FS_DIRECT_ALIGN;
#else
    return fd < 0;
#endif
}

static bool make_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && may_be_direct(fd) && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
}

static int open_file(struct fs_op *op)
{
    ASSERT(op->path != NULL && (op->flags & (FS_READ | FS_WRITE)) != 0);
    int flags = O_CLOEXEC;
    if ((op->flags & FS_WRITE) == 0)
        flags |= O_RDONLY;
    else
        flags |= (op->flags & FS_READ) != 0 ? O_RDWR : O_WRONLY;
    if ((op->flags & FS_CREATE) != 0) flags |= O_CREAT;
    if ((op->flags & FS_EXCLUSIVE) != 0) flags |= O_EXCL;
    if ((op->flags & FS_TRUNC) != 0) flags |= O_TRUNC;
    int fd = -1;
    do {
        fd = open(op->path, flags, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return errno;
    op->file = ALLOC(struct fs_file);
    op->file->fd = fd;
    op->file->is_direct = (op->flags & FS_DIRECT) != 0 && make_direct(fd);
    return 0;
}

/* The descriptor is gone whatever close answers, EINTR included (Linux); what must be durable was synced before. */
static int close_file(struct fs_op *op)
{
    ASSERT(op->file != NULL && op->file->fd >= 0);
    int error = close(op->file->fd) == 0 || errno == EINTR ? 0 : errno;
    alloc_free(op->file);
    op->file = NULL;
    return error;
}

static int read_all(struct fs_op *op)
{
    ASSERT(op->memory != NULL || op->size == 0);
    uint64_t done = 0;
    while (done < op->size) {
        ssize_t got = pread(op->file->fd, (char *)op->memory + done, op->size - done, (off_t)(op->offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) break;
        done += (uint64_t)got;
    }
    ASSERT(done <= op->size);
    op->result = done;
    return 0;
}

static int write_bytes(int fd, uint64_t offset, const void *data, uint64_t size)
{
    ASSERT(data != NULL || size == 0);
    uint64_t done = 0;
    while (done < size) {
        ssize_t put = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        if (put == 0) return EIO;
        done += (uint64_t)put;
    }
    ASSERT(done == size);
    return 0;
}

static int write_zeros(int fd, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[FS_REAL_ZEROS_BYTES] __attribute__((aligned(FS_DIRECT_ALIGN)));
    struct iovec pieces[FS_REAL_ZEROS_AT_ONCE];
    while (size > 0) {
        int count = 0;
        for (uint64_t left = size; left > 0 && count < FS_REAL_ZEROS_AT_ONCE; left -= pieces[count++].iov_len) {
            pieces[count] = (struct iovec){.iov_base = (void *)(uintptr_t)zeros, .iov_len = left < sizeof zeros ? left : sizeof zeros};
        }
        ssize_t put = pwritev(fd, pieces, count, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        if (put == 0) return EIO;
        offset += (uint64_t)put;
        size -= (uint64_t)put;
    }
    return 0;
}

/* Where a file system cannot promise room (ZFS, say), bytes take it. */
static int allocate(int fd, uint64_t offset, uint64_t size)
{
    int failed;
    ASSERT(offset + size <= INT64_MAX);
    do {
        failed = fallocate(fd, 0, (off_t)offset, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? write_zeros(fd, offset, size) : errno;
}

static int sync_file(int fd)
{
    ASSERT(fd >= 0);
    return fdatasync(fd) == 0 ? 0 : errno; /* never tried again: after a failure the page cache is not to be trusted */
}

static int truncate_file(int fd, uint64_t size)
{
    ASSERT(fd >= 0 && size <= INT64_MAX);
    int failed;
    do {
        failed = ftruncate(fd, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? 0 : errno;
}

static int size_of_file(struct fs_op *op)
{
    struct stat status;
    if (fstat(op->file->fd, &status) != 0) return errno;
    ASSERT(status.st_size >= 0);
    op->result = (uint64_t)status.st_size;
    return 0;
}

static int sync_directory(const char *path)
{
    ASSERT(path != NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    int error = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

struct names {
    char **names;
    size_t count;
    size_t capacity;
};

/* All names but . and .. into `names`, unsorted. */
static int collect_names(DIR *directory, struct names *names)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) return errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (names->count == FS_REAL_NAMES_MAX) return EOVERFLOW;
        if (names->count == names->capacity) {
            names->capacity = names->capacity == 0 ? 16 : names->capacity * 2;
            names->names = alloc_resize(names->names, names->capacity * sizeof *names->names);
        }
        ASSERT(names->count < names->capacity);
        names->names[names->count++] = alloc_string(entry->d_name);
    }
}

static int list_directory(struct fs_op *op)
{
    ASSERT(op->path != NULL && op->list_fn != NULL);
    DIR *directory = opendir(op->path);
    if (directory == NULL) return errno;
    struct names names = {.names = NULL, .count = 0, .capacity = 0};
    int error = collect_names(directory, &names);
    closedir(directory);
    if (names.count > 1) qsort(names.names, names.count, sizeof *names.names, compare_names);
    for (size_t i = 0; i < names.count; i++) {
        if (error == 0) op->list_fn(op->owner, names.names[i]);
        alloc_free(names.names[i]);
    }
    alloc_free(names.names);
    return error;
}

static int lock_file(int fd)
{
    ASSERT(fd >= 0);
    int failed;
    do {
        failed = flock(fd, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    return failed == 0 ? 0 : errno;
}

static int perform(struct fs_op *op)
{
    switch (op->kind) {
    case FS_OPEN: return open_file(op);
    case FS_CLOSE: return close_file(op);
    case FS_PREAD: return read_all(op);
    case FS_PWRITE:
        ASSERT(!op->file->is_direct || ((uintptr_t)op->data | op->offset | op->size) % FS_DIRECT_ALIGN == 0);
        return write_bytes(op->file->fd, op->offset, op->data, op->size);
    case FS_FDATASYNC: return sync_file(op->file->fd);
    case FS_ALLOCATE: return allocate(op->file->fd, op->offset, op->size);
    case FS_TRUNCATE: return truncate_file(op->file->fd, op->size);
    case FS_SIZE: return size_of_file(op);
    case FS_RENAME: return rename(op->path, op->path2) == 0 ? 0 : errno;
    case FS_UNLINK: return remove(op->path) == 0 ? 0 : errno;
    case FS_MKDIR: return mkdir(op->path, 0700) == 0 ? 0 : errno;
    case FS_FSYNC_DIR: return sync_directory(op->path);
    case FS_LIST: return list_directory(op);
    case FS_LOCK: return lock_file(op->file->fd);
    }
    ASSERT(op->kind <= FS_LOCK);
    return EINVAL;
}

static void real_run(struct fs *fs, struct fs_op *op)
{
    ASSERT(op != NULL);
    op->result = 0;
    ASSERT(fs != NULL);
    uint64_t start_ns = clock_mono_ns();
    op->error = perform(op);
    op->took_ns = clock_mono_ns() - start_ns;
    ASSERT(op->error >= 0);
}

static void real_submit(struct fs *fs, struct fs_op *op)
{
    struct fs_real *real = real_of(fs);
    ASSERT(real->in_flight < FS_OPS_MAX);
    real->in_flight++;
    real_run(fs, op);
    list_push_back(&real->done, &op->node);
}

static struct fs_op *real_take_done(struct fs *fs)
{
    struct fs_real *real = real_of(fs);
    struct list *node = list_pop_front(&real->done);
    if (node == NULL) return NULL;
    ASSERT(real->in_flight > 0);
    real->in_flight--;
    return LIST_ENTRY(node, struct fs_op, node);
}

/* Files that are still open and completions that nobody took stay their owners'. */
static void real_free(struct fs *fs) { alloc_free(real_of(fs)); }

struct fs *fs_real_new(void)
{
    static const struct fs_table table = {
        .run = real_run, .submit = real_submit, .take_done = real_take_done, .free = real_free};
    struct fs_real *real = ALLOC(struct fs_real);
    real->fs.table = &table;
    list_init(&real->done);
    return &real->fs;
}
