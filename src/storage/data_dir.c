/* data_dir: the member's directory. See data_dir.h.
 *
 * The identity file is 88 bytes, little endian: "kvd-id\n" and a NUL, u16 major, u16 minor, u32 checksum kind (1 = CRC32C), u64
 * incompatible-feature bits, u64 cluster id, u64 member id, 16 bytes uuid, u64 boot count, 16 bytes of zeros, u32 zero, u32
 * checksum of all bytes before it. It is replaced whole (written aside, synced, renamed, directory synced).
 */
#include "storage/data_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/crc32c.h"

#define DATA_DIR_MAJOR 1
#define DATA_DIR_MINOR 0
#define DATA_DIR_CHECKSUM_CRC32C 1
#define DATA_DIR_IDENTITY_SIZE 88u
#define DATA_DIR_LOCK_NAME "LOCK"

static const char data_dir_magic[8] = "kvd-id\n";

static enum err refuse(char *out_message, size_t message_size, enum err err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static enum err refuse(char *out_message, size_t message_size, enum err err, const char *format, ...)
{
    ASSERT(err != ERR_OK);
    ASSERT(message_size > 0);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out_message, message_size, format, arguments);
    va_end(arguments);
    return err;
}

static char *join(const char *directory, const char *name)
{
    size_t size = strlen(directory) + 1 + strlen(name) + 1;
    char *path = alloc_new(size);
    (void)snprintf(path, size, "%s/%s", directory, name);
    return path;
}

/* Without slashes at the end. */
static char *clean_path(const char *path)
{
    ASSERT(path[0] != '\0');
    char *copy = alloc_string(path);
    for (size_t length = strlen(copy); length > 1 && copy[length - 1] == '/'; length--) copy[length - 1] = '\0';
    return copy;
}

/* Makes one directory and its name durable. One that is there already may be so since an instant before a crash: its name is
 * synced, too, if the directory above lets us. `path` is given back as it was. */
static int make_one(struct fs *fs, char *path)
{
    ASSERT(path[0] != '\0');
    struct fs_op make = {.kind = FS_MKDIR, .path = path};
    int made = fs_run(fs, &make);
    if (made != 0 && made != EEXIST) return made;
    char *slash = strrchr(path, '/');
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = slash == NULL ? "." : slash == path ? "/" : path};
    bool cut = slash != NULL && slash != path;
    if (cut) *slash = '\0';
    int error = fs_run(fs, &sync);
    if (cut) *slash = '/';
    return made == EEXIST ? 0 : error;
}

/* Makes a directory and what is missing above it. What exists above may not be ours to make: only the last one must succeed. */
static int make_path(struct fs *fs, const char *path)
{
    char *copy = alloc_string(path);
    int error = make_one(fs, copy);
    if (error == ENOENT) {
        for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
            *slash = '\0';
            (void)make_one(fs, copy);
            *slash = '/';
        }
        error = make_one(fs, copy);
    }
    alloc_free(copy);
    return error;
}

static int take_lock(struct data_dir *dir)
{
    char *path = join(dir->path, DATA_DIR_LOCK_NAME);
    int error = fs_open(dir->fs, path, FS_READ | FS_WRITE | FS_CREATE, &dir->lock);
    struct fs_op lock = {.kind = FS_LOCK, .file = dir->lock};
    if (error == 0) error = fs_run(dir->fs, &lock);
    alloc_free(path);
    return error;
}

enum err data_dir_open(struct fs *fs, const char *path, const char *wal_path_or_empty, const struct data_names *names,
                       struct data_dir *out_dir, char *out_message, size_t message_size)
{
    ASSERT(fs != NULL && path != NULL && path[0] != '\0');
    struct data_dir dir = {.fs = fs, .path = clean_path(path), .names = names == NULL ? data_names_usual() : *names};
    bool has_wal_path = wal_path_or_empty != NULL && wal_path_or_empty[0] != '\0';
    dir.wal_path = has_wal_path ? clean_path(wal_path_or_empty) : join(dir.path, dir.names.wal);
    dir.snap_path = join(dir.path, dir.names.snap);

    enum err err = ERR_OK;
    const char *failed = dir.path;
    int error = make_path(fs, dir.path);
    if (error == 0) {
        error = take_lock(&dir);
        if (error == EWOULDBLOCK) {
            err = refuse(out_message, message_size, ERR_STOPPED, "%s: another process holds the lock of this directory", dir.path);
            goto out;
        }
    }
    if (error == 0 && names != NULL) err = data_names_settle(fs, dir.path, names, out_message, message_size);
    if (err != ERR_OK) goto out;
    if (error == 0) {
        failed = dir.wal_path;
        error = make_path(fs, dir.wal_path);
    }
    if (error == 0) {
        failed = dir.snap_path;
        error = make_path(fs, dir.snap_path);
    }
    if (error != 0) {
        err = refuse(out_message, message_size, ERR_STOPPED, "%s: cannot be used: %s", failed, strerror(error));
        goto out;
    }
    *out_dir = dir;
    return ERR_OK;
out:
    data_dir_close(&dir);
    return err;
}

void data_dir_close(struct data_dir *dir)
{
    if (dir == NULL || dir->fs == NULL) return;
    fs_close(dir->fs, dir->lock);
    alloc_free(dir->path);
    alloc_free(dir->wal_path);
    alloc_free(dir->snap_path);
    *dir = (struct data_dir){0};
}

static enum err decode_identity(struct slice bytes, const char *path, struct data_dir_identity *out_identity, char *out_message,
                                size_t message_size)
{
    struct reader reader = reader_make(bytes);
    struct slice magic = reader_bytes(&reader, sizeof data_dir_magic);
    if (bytes.size != DATA_DIR_IDENTITY_SIZE || memcmp(magic.data, data_dir_magic, magic.size) != 0) {
        return refuse(out_message, message_size, ERR_CORRUPT, "%s: corrupt: not an identity file of %u bytes", path,
                      DATA_DIR_IDENTITY_SIZE);
    }
    uint16_t major = reader_u16(&reader);
    (void)reader_u16(&reader);
    uint32_t checksum_kind = reader_u32(&reader);
    uint64_t features = reader_u64(&reader);
    struct reader crc = reader_make(slice_from(bytes, DATA_DIR_IDENTITY_SIZE - 4));
    if (reader_u32(&crc) != crc32c(0, bytes.data, DATA_DIR_IDENTITY_SIZE - 4)) {
        return refuse(out_message, message_size, ERR_CORRUPT, "%s: corrupt: the checksum is wrong", path);
    }
    if (major != DATA_DIR_MAJOR || checksum_kind != DATA_DIR_CHECKSUM_CRC32C || features != 0) {
        return refuse(out_message, message_size, ERR_STOPPED,
                      "%s: written in format %u with incompatible features %" PRIx64 " and checksum kind %u; this program knows format "
                      "%u, features 0 and checksum kind %u: a newer program must open it",
                      path, major, features, checksum_kind, DATA_DIR_MAJOR, DATA_DIR_CHECKSUM_CRC32C);
    }
    struct data_dir_identity identity = {.cluster_id = reader_u64(&reader)};
    identity.member_id = reader_u64(&reader);
    struct slice uuid = reader_bytes(&reader, sizeof identity.uuid);
    identity.boot_count = reader_u64(&reader);
    ASSERT(!reader.bad && uuid.size == sizeof identity.uuid);
    memcpy(identity.uuid, uuid.data, sizeof identity.uuid);
    *out_identity = identity;
    return ERR_OK;
}

enum err data_dir_load_identity(struct data_dir *dir, struct data_dir_identity *out_identity, char *out_message,
                                size_t message_size)
{
    ASSERT(dir->fs != NULL);
    struct blob *bytes = NULL;
    enum err err = ERR_OK;
    char *path = join(dir->path, dir->names.identity);
    int error = fs_read_file(dir->fs, path, DATA_DIR_IDENTITY_SIZE, &bytes);
    if (error == ENOENT) {
        err = refuse(out_message, message_size, ERR_KEY_NOT_FOUND, "%s: not there yet", path);
    } else if (error == EFBIG) {
        err = refuse(out_message, message_size, ERR_CORRUPT, "%s: corrupt: more than %u bytes", path, DATA_DIR_IDENTITY_SIZE);
    } else if (error != 0) {
        err = refuse(out_message, message_size, ERR_STOPPED, "%s: cannot be read: %s", path, strerror(error));
    } else {
        err = decode_identity(blob_slice(bytes), path, out_identity, out_message, message_size);
    }
    blob_unref(bytes);
    alloc_free(path);
    return err;
}

enum err data_dir_store_identity(struct data_dir *dir, const struct data_dir_identity *identity, char *out_message,
                                 size_t message_size)
{
    ASSERT(dir->fs != NULL);
    struct buf buf;
    buf_init(&buf);
    buf_put(&buf, data_dir_magic, sizeof data_dir_magic);
    buf_put_u16(&buf, DATA_DIR_MAJOR);
    buf_put_u16(&buf, DATA_DIR_MINOR);
    buf_put_u32(&buf, DATA_DIR_CHECKSUM_CRC32C);
    buf_put_u64(&buf, 0);
    buf_put_u64(&buf, identity->cluster_id);
    buf_put_u64(&buf, identity->member_id);
    buf_put(&buf, identity->uuid, sizeof identity->uuid);
    buf_put_u64(&buf, identity->boot_count);
    buf_put_u64(&buf, 0);
    buf_put_u64(&buf, 0);
    buf_put_u32(&buf, 0);
    buf_put_u32(&buf, crc32c(0, buf_slice(&buf).data, buf.size));
    ASSERT(buf.size == DATA_DIR_IDENTITY_SIZE);
    int error = fs_replace_file(dir->fs, dir->path, dir->names.identity, buf_slice(&buf));
    buf_deinit(&buf);
    if (error == 0) return ERR_OK;
    return refuse(out_message, message_size, ERR_STOPPED, "%s/%s: cannot be written: %s", dir->path, dir->names.identity,
                  strerror(error));
}
