/* wal_repair: what recovery changes on disk once the log was accepted. Declared in wal_recover.h; the rule is the essay in
 * wal_format.c. Every step may be cut short by a crash and is then done again from its beginning, with the same result.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/wal_recover.h"
#include "storage/wal_spare.h"

static enum err refuse_repair(struct wal_recover *recover, const char *path, int error)
{
    return wal_recover_refuse(recover, ERR_STOPPED, "%s: repair of the log's tail failed: %s", path, strerror(error));
}

struct oldest_broken {
    char name[WAL_FORMAT_NAME_SIZE + sizeof WAL_FORMAT_BROKEN_SUFFIX];
};

/* Names come sorted, and begin with the segment's sequence. */
static void take_oldest_broken(void *owner, const char *name)
{
    struct oldest_broken *oldest = owner;
    size_t length = strlen(name);
    size_t suffix = strlen(WAL_FORMAT_BROKEN_SUFFIX);
    if (oldest->name[0] != '\0' || length >= sizeof oldest->name || length <= suffix) return;
    if (strcmp(name + length - suffix, WAL_FORMAT_BROKEN_SUFFIX) == 0) memcpy(oldest->name, name, length + 1);
}

static int drop_oldest_broken(struct wal_recover *recover)
{
    struct fs *fs = recover->options->fs;
    struct oldest_broken oldest = {.name = ""};
    struct fs_op list = {
        .kind = FS_LIST, .path = recover->options->directory, .list_fn = take_oldest_broken, .owner = &oldest};
    int error = fs_run(fs, &list);
    if (error != 0 || oldest.name[0] == '\0') return error;
    size_t size = strlen(recover->options->directory) + 1 + sizeof oldest.name;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s", recover->options->directory, oldest.name);
    struct fs_op unlink = {.kind = FS_UNLINK, .path = path};
    error = fs_run(fs, &unlink);
    alloc_free(path);
    return error;
}

/* The directory sync that follows covers the name, too. */
static int keep_aside(struct wal_recover *recover, const char *path)
{
    struct wal_reader *reader = &recover->reader;
    struct fs *fs = recover->options->fs;
    ASSERT(recover->found.cut_bytes > 0);
    if (reader->broken_count >= WAL_RECOVER_BROKEN_MAX) {
        int error = drop_oldest_broken(recover);
        if (error != 0) return error;
    }
    struct fs_file *file = NULL;
    int error = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    for (uint64_t done = 0; error == 0 && done < recover->found.cut_bytes; done += WAL_FORMAT_BLOCK) {
        const uint8_t *block = wal_reader_block(reader, recover->cut_offset + done);
        struct fs_op write = {.kind = FS_PWRITE, .file = file, .offset = done, .size = WAL_FORMAT_BLOCK, .data = block};
        error = block == NULL ? EIO : fs_run(fs, &write);
    }
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = file};
    if (error == 0 && !recover->options->unsafe_no_fsync) error = fs_run(fs, &sync);
    fs_close(fs, file);
    return error;
}

/* Reads the last batch, and so many bytes behind it, into memory of the caller's. */
static int read_last(const struct wal_reader *reader, struct fs *fs, struct fs_file *file, uint64_t behind, uint8_t **out_bytes, size_t *out_size)
{
    ASSERT(reader->offset > reader->last.offset);
    size_t size = (size_t)(reader->offset - reader->last.offset + behind);
    uint8_t *bytes = alloc_new(size);
    struct fs_op read = {.kind = FS_PREAD, .file = file, .offset = reader->last.offset, .size = size, .memory = bytes};
    int error = fs_run(fs, &read);
    if (error == 0 && read.result != size) error = EIO;
    *out_bytes = bytes;
    *out_size = size;
    return error;
}

static int write_and_sync(struct fs *fs, struct fs_file *file, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct fs_op write = {.kind = FS_PWRITE, .file = file, .offset = offset, .size = size, .data = bytes};
    int error = fs_run(fs, &write);
    struct fs_op sync = {.kind = FS_FDATASYNC, .file = file};
    return error == 0 ? fs_run(fs, &sync) : error;
}

/* The same bytes to the same place: a crash in between leaves them as they are, and a sync that succeeds covers them. */
static int rewrite_last(const struct wal_recover *recover)
{
    const struct wal_reader *reader = &recover->reader;
    struct fs *fs = recover->options->fs;
    ASSERT(reader->last.sequence == recover->sequence);
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct fs_file *file = NULL;
    int error = fs_open(fs, reader->path, FS_READ | FS_WRITE, &file);
    if (error != 0) return error;
    error = read_last(reader, fs, file, 0, &bytes, &size);
    if (error == 0) error = write_and_sync(fs, file, reader->last.offset, bytes, size);
    fs_close(fs, file);
    alloc_free(bytes);
    return error;
}

/* A first batch was synced before its segment got a name, but the sync of that name may have failed, and the directory in the cache
 * then says nothing about the one on disk. A new file with the same content takes the name: that writes it again. What is cut behind it
 * stays, too: until there is a next segment whose head remembers that something was lost, it alone says so. */
static int rename_first(const struct wal_recover *recover, const char *spare)
{
    const struct wal_reader *reader = &recover->reader;
    struct fs *fs = recover->options->fs;
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct fs_file *file = NULL;
    int error = read_last(reader, fs, reader->file, MUTANT(D115) ? 0 : recover->found.cut_bytes, &bytes, &size);
    if (error == 0) error = fs_open(fs, spare, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    struct fs_op allocate = {.kind = FS_ALLOCATE, .file = file, .size = reader->head.capacity};
    if (error == 0) error = fs_run(fs, &allocate);
    if (error == 0) error = write_and_sync(fs, file, 0, bytes, size);
    fs_close(fs, file);
    struct fs_op rename = {.kind = FS_RENAME, .path = spare, .path2 = reader->path};
    if (error == 0) error = fs_run(fs, &rename);
    alloc_free(bytes);
    return error;
}

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + 1 + strlen(name) + 1;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s", directory, name);
    return path;
}

/* After a failed sync the page cache may show what the disk never got: the newest batch and its name are made durable anew. */
static enum err distrust_cache(struct wal_recover *recover)
{
    const char *directory = recover->options->directory;
    if (recover->options->unsafe_no_fsync) return ERR_OK;
    bool is_first = recover->reader.last.offset == 0;
    char *spare = join(directory, WAL_SPARE_NAME);
    int error = is_first ? rename_first(recover, spare) : rewrite_last(recover);
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = directory};
    enum err err = error == 0 ? ERR_OK : refuse_repair(recover, is_first ? spare : recover->reader.path, error);
    if (err == ERR_OK && fs_run(recover->options->fs, &sync) != 0) err = refuse_repair(recover, directory, sync.error);
    alloc_free(spare);
    return err;
}

enum err wal_repair(struct wal_recover *recover)
{
    struct wal_reader *reader = &recover->reader;
    if (recover->found.is_new) return ERR_OK;
    ASSERT(reader->path != NULL && reader->file != NULL);
    if (recover->found.cut_bytes > 0) {
        size_t size = strlen(reader->path) + sizeof WAL_FORMAT_BROKEN_SUFFIX;
        char *path = alloc_new(size);
        (void)snprintf(path, size, "%s" WAL_FORMAT_BROKEN_SUFFIX, reader->path);
        int error = keep_aside(recover, path);
        enum err err = error == 0 ? ERR_OK : refuse_repair(recover, path, error);
        alloc_free(path);
        if (err != ERR_OK) return err;
    }
    return distrust_cache(recover);
}
