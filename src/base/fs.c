/* fs: conveniences over fs_run, for start-up and tools. */
#include "base/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/blob.h"

int fs_open(struct fs *fs, const char *path, int flags, struct fs_file **out_file)
{
    ASSERT(path != NULL && out_file != NULL);
    struct fs_op op = {.kind = FS_OPEN, .path = path, .flags = flags};
    int error = fs_run(fs, &op);
    if (error != 0) return error;
    ASSERT(op.file != NULL);
    *out_file = op.file;
    return 0;
}

void fs_close(struct fs *fs, struct fs_file *file)
{
    if (file == NULL) return;
    struct fs_op op = {.kind = FS_CLOSE, .file = file};
    (void)fs_run(fs, &op);
}

int fs_read_file(struct fs *fs, const char *path, size_t size_max, struct blob **out_bytes)
{
    ASSERT(out_bytes != NULL && size_max <= UINT32_MAX);
    struct fs_file *file = NULL;
    struct blob *blob = NULL;
    int error = fs_open(fs, path, FS_READ, &file);
    if (error != 0) goto out;
    struct fs_op size = {.kind = FS_SIZE, .file = file};
    error = fs_run(fs, &size);
    if (error == 0 && size.result > size_max) error = EFBIG;
    if (error != 0) goto out;
    blob = blob_new(size.result);
    struct fs_op read = {.kind = FS_PREAD, .file = file, .memory = blob->data, .size = blob->size};
    error = fs_run(fs, &read);
    if (error != 0) goto out;
    ASSERT(read.result <= blob->size);
    blob->size = (uint32_t)read.result; /* it may have shrunk in between */
    *out_bytes = blob;
    blob = NULL;
out:
    blob_unref(blob);
    fs_close(fs, file);
    return error;
}

static int write_and_sync(struct fs *fs, const char *path, struct slice bytes)
{
    ASSERT(bytes.data != NULL || bytes.size == 0);
    struct fs_file *file = NULL;
    int error = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    if (error != 0) return error;
    struct fs_op write = {.kind = FS_PWRITE, .file = file, .data = bytes.data, .size = bytes.size};
    error = fs_run(fs, &write);
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = file};
    if (error == 0) error = fs_run(fs, &sync);
    fs_close(fs, file);
    return error;
}

int fs_replace_file(struct fs *fs, const char *directory, const char *name, struct slice bytes)
{
    char path[PATH_MAX], aside[PATH_MAX];
    ASSERT(directory != NULL && name != NULL);
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    int aside_length = snprintf(aside, sizeof aside, "%s/%s.tmp", directory, name);
    ASSERT(length > 0 && aside_length > length);
    if ((size_t)aside_length >= sizeof aside) return ENAMETOOLONG;
    int error = write_and_sync(fs, aside, bytes);
    struct fs_op rename = {.kind = FS_RENAME, .path = aside, .path2 = path};
    if (error == 0) error = fs_run(fs, &rename);
    if (error != 0) {
        struct fs_op unlink = {.kind = FS_UNLINK, .path = aside};
        (void)fs_run(fs, &unlink);
        return error;
    }
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = directory};
    return fs_run(fs, &sync);
}
