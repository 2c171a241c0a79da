/* wal_spare: makes the next segment's file ahead of its need, under the name "spare": room over its whole length, synced, that reads as zeros. Where
 * an old segment's file is there to be used again, it holds what that one left, and appends over that change no metadata; then only what the file
 * lacks in length is allocated. The only place where a running log can run out of space.
 *
 * Files of old segments wait under the names "spare-SEQUENCE" (16 hexadecimal digits). The directory was synced after each got that name and
 * before it is given to wal_spare_keep: a crash never brings the segment's name back to a file that holds other bytes. A start keeps none of them.
 *
 * A state machine: wal_spare_step submits its next operation, wal_spare_done takes its completion (the op is spare->op).
 * Owner: embedded in the wal. Thread: the wal role. Limits: one file under way, one operation in flight of at most WAL_SPARE_CHUNK bytes;
 * WAL_SPARE_KEPT_MAX files that wait.
 * ENOSPC and EDQUOT: what was allocated is given back, and tried again WAL_SPARE_RETRY_NS later; other errors are fatal.
 */
#ifndef STORAGE_WAL_SPARE_H
#define STORAGE_WAL_SPARE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/fs.h"

#define WAL_SPARE_NAME "spare"
#define WAL_SPARE_NAME_SIZE 24u /* of the longest, with its NUL */
#define WAL_SPARE_KEPT_MAX 8u
#define WAL_SPARE_CHUNK (UINT64_C(1) << 20)
#define WAL_SPARE_SYNC_BYTES (UINT64_C(4) << 20) /* so that no sync has more than this to write */
#define WAL_SPARE_RETRY_NS NS_PER_S

enum wal_spare_phase {
    WAL_SPARE_NONE,
    WAL_SPARE_OPEN,
    WAL_SPARE_ALLOCATE,
    WAL_SPARE_SYNC,
    WAL_SPARE_READY,
    WAL_SPARE_CLOSE,    /* no space: giving it back */
    WAL_SPARE_UNLINK,
    WAL_SPARE_NO_SPACE, /* until retry_ns */
};

/* The file of an old segment that waits. */
struct wal_spare_kept {
    uint64_t sequence; /* of that segment */
    uint64_t bytes;    /* all of them that segment's batches */
};

struct wal_spare {
    struct fs *fs;
    const char *directory; /* borrowed */
    char *path;            /* of the one under way, until the next is begun */
    struct fs_file *file;
    enum wal_spare_phase phase;
    bool in_flight;
    bool no_sync;
    bool is_ending; /* at stop: nobody will use it, so its errors are of no account */
    bool no_space; /* the last attempt failed; stays until one succeeds */
    struct fs_op op;
    uint64_t former; /* the segment whose file it was; 0 = none */
    uint64_t filled_bytes;
    uint64_t target_bytes;
    uint64_t allocated_bytes;
    uint64_t synced_bytes;
    uint64_t retry_ns;
    struct wal_spare_kept kept[WAL_SPARE_KEPT_MAX];
    size_t kept_count;
};

void wal_spare_init(struct wal_spare *spare, struct fs *fs, const char *directory, bool no_sync);
void wal_spare_deinit(struct wal_spare *spare);
/* The name of a file that waits; and whether a name is one of those, or the spare's. */
void wal_spare_kept_name(uint64_t sequence, char out_name[WAL_SPARE_NAME_SIZE]);
bool wal_spare_is_name(const char *name);
bool wal_spare_has_room(const struct wal_spare *spare); /* for one more that waits */
void wal_spare_keep(struct wal_spare *spare, const struct wal_spare_kept *kept);
uint64_t wal_spare_disk_bytes(const struct wal_spare *spare); /* of all files */
void wal_spare_want(struct wal_spare *spare, uint64_t bytes); /* begins one, or enlarges the one there is */
bool wal_spare_is_ready(const struct wal_spare *spare, uint64_t bytes);
bool wal_spare_step(struct wal_spare *spare, uint64_t now_ns); /* true if an operation was submitted */
void wal_spare_done(struct wal_spare *spare, uint64_t now_ns);
/* Hands the ready file over; it keeps the name `path` until the caller renames it. */
struct wal_spare_file {
    struct fs_file *file;
    uint64_t bytes;
    uint64_t filled; /* of them: written once, the rest is only allocated */
    uint64_t former; /* the segment that it was; 0 = none */
};
struct wal_spare_file wal_spare_take(struct wal_spare *spare);

#endif
