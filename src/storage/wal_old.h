/* wal_old: the segments before the current one, until a snapshot stands for them or a reset has voided them: then their files are
 * removed, or given the name under which wal_spare keeps them for use again, oldest first, each time with a sync of the directory before the
 * next may go, or the file may be used. See THE HEAD OF THE LOG and A SEGMENT in wal_format.c.
 *
 * A state machine as wal_spare is: wal_old_step submits its next operation, wal_old_done takes its completion (the op is old->op).
 * Owner: embedded in the wal. Thread: the wal role. Limits: one operation in flight; a few words per segment.
 * A file that cannot be removed costs its room and is tried again, one that cannot be renamed is removed; a failed sync of the directory is
 * fatal.
 */
#ifndef STORAGE_WAL_OLD_H
#define STORAGE_WAL_OLD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/fs.h"

#define WAL_OLD_RETRY_NS NS_PER_S

struct wal_old_segment {
    uint64_t sequence;
    uint64_t first_index;
    uint64_t bytes;
    bool is_whole; /* these bytes are its batches and nothing else: its file may be used again */
};

struct wal_old {
    struct fs *fs;
    const char *directory;            /* borrowed */
    struct wal_old_segment *segments; /* by sequence */
    size_t count;
    size_t capacity;
    uint64_t bytes;         /* of all of them */
    uint64_t drop_index;    /* a snapshot stands for the log up to here */
    uint64_t void_sequence; /* segments before this one do not count any more */
    uint64_t kept_max;      /* so many of those that a snapshot stands for stay */
    bool no_sync;
    bool is_ending;         /* at stop: errors are of no account */
    bool is_unsynced;       /* a file was removed or renamed, the directory not synced since */
    bool rename_failed;     /* of the oldest one */
    struct wal_old_segment kept; /* renamed, and not yet taken; sequence 0 = none */
    bool in_flight;
    struct fs_op op;
    char *path;             /* of the file that is being removed, or renamed to kept_path */
    char *kept_path;
    uint64_t retry_ns;      /* 0 = nothing failed */
};

void wal_old_init(struct wal_old *old, struct fs *fs, const char *directory, uint64_t kept_max, bool no_sync);
void wal_old_deinit(struct wal_old *old);
void wal_old_add(struct wal_old *old, const struct wal_old_segment *segment); /* behind those there are */
/* The first index of what counts, where the current segment begins at `current_first_index`. */
uint64_t wal_old_first_index(const struct wal_old *old, uint64_t current_first_index);
void wal_old_set_whole(struct wal_old *old, uint64_t sequence);
/* True if an operation was submitted. The segment `busy_sequence` is not touched. `may_keep`: there is room to keep a file for use again. */
bool wal_old_step(struct wal_old *old, uint64_t current_first_index, uint64_t busy_sequence, bool may_keep, uint64_t now_ns);
void wal_old_done(struct wal_old *old, uint64_t now_ns);
/* The segment whose file may be used again now; false if there is none. */
bool wal_old_take_kept(struct wal_old *old, struct wal_old_segment *out_segment);

#endif
