/* fs: file operations as a table: the real file system, and a test's or the simulator's own.
 *
 * Two ways to run an operation:
 *   fs_run      start-up, tools: returns when it is done.
 *   fs_submit   roles: completes later through fs_take_done, in the order of completion. The real one performs the call
 *               inside fs_submit on the calling thread and queues the result; a simulated one completes when its world says.
 * Each role has a `struct fs` of its own (its queue of completions is not shared); a file may be used through any of them, by one role
 * at a time. At most FS_OPS_MAX in flight.
 * Errors: op->error is an errno value (0 = done). Writes are whole or failed: short writes and EINTR are handled here.
 * Paths are borrowed until completion. Owner: the caller owns ops, and files from FS_OPEN to FS_CLOSE.
 * Thread: the role that owns the instance. */
#ifndef BASE_FS_H
#define BASE_FS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"

struct blob;

#define FS_OPS_MAX 64

enum fs_kind {
    FS_OPEN,       /* path, flags → file */
    FS_CLOSE,      /* file */
    FS_PREAD,      /* file, offset, memory, size → result = bytes read (less than size only at the end of the file) */
    FS_PWRITE,     /* file, offset, data, size → all written, or error */
    FS_FDATASYNC,  /* file */
    FS_ALLOCATE,   /* file, offset, size: room on the disk for these bytes behind the file's end, which read as zeros; the first write to them changes
                    * metadata once more, and cannot fail for want of space */
    FS_TRUNCATE,   /* file, size */
    FS_SIZE,       /* file → result */
    FS_RENAME,     /* path → path2; of a directory too, over an empty one at most */
    FS_UNLINK,     /* path; of an empty directory too */
    FS_MKDIR,      /* path, mode 0700; EEXIST is reported */
    FS_FSYNC_DIR,  /* path of the directory */
    FS_LIST,       /* path → names: calls list_fn(owner, name) for each entry but . and .., sorted by name */
    FS_LOCK,       /* file: exclusive flock, EWOULDBLOCK if held by another */
};

enum { FS_READ = 1, FS_WRITE = 2, FS_CREATE = 4, FS_EXCLUSIVE = 8, FS_TRUNC = 16, FS_DIRECT = 32 }; /* files are created 0600 */

/* FS_DIRECT: every write is aligned to this in memory, place and size, and need not go through the page cache; where the file system or the disk
 * wants more than that, it goes there all the same. Reads are not made through such a file. */
#define FS_DIRECT_ALIGN 512

struct fs_file;
struct fs_op {
    enum fs_kind kind;
    int flags;
    struct fs_file *file;
    const char *path;
    const char *path2;
    uint64_t offset;
    uint64_t size;
    const void *data; /* FS_PWRITE */
    void *memory;     /* FS_PREAD */
    void (*list_fn)(void *owner, const char *name);
    void *owner;      /* the submitter's own */
    int error;        /* out: errno */
    uint64_t result;  /* out */
    uint64_t took_ns; /* out: of the system call; 0 where there is none */
    struct list node; /* the fs's while in flight */
};

struct fs;
struct fs_table {
    void (*run)(struct fs *fs, struct fs_op *op);
    void (*submit)(struct fs *fs, struct fs_op *op);
    struct fs_op *(*take_done)(struct fs *fs); /* NULL = none */
    void (*free)(struct fs *fs);
};
struct fs {
    const struct fs_table *table; /* first member of every implementation */
};

struct fs *fs_real_new(void);
static inline void fs_free(struct fs *fs) { if (fs != NULL) fs->table->free(fs); }
static inline int fs_run(struct fs *fs, struct fs_op *op) { fs->table->run(fs, op); return op->error; }
static inline void fs_submit(struct fs *fs, struct fs_op *op) { fs->table->submit(fs, op); }
static inline struct fs_op *fs_take_done(struct fs *fs) { return fs->table->take_done(fs); }

/* Conveniences over fs_run; all return an errno value. */
int fs_open(struct fs *fs, const char *path, int flags, struct fs_file **out_file);
void fs_close(struct fs *fs, struct fs_file *file); /* accepts NULL */
int fs_read_file(struct fs *fs, const char *path, size_t size_max, struct blob **out_bytes); /* EFBIG beyond size_max */
/* Write aside, sync, rename, sync the directory: the file is old or new, never half. */
int fs_replace_file(struct fs *fs, const char *directory, const char *name, struct slice bytes);

#endif
