/* snapshot_dir: the directory of snapshots: which there are, which is the newest good one, and the removal of old ones.
 *
 * Names are TERM-INDEX.snap, 16 hexadecimal digits each; NAME.tmp is one that is being written or received. A tmp that is found at start
 * was left by a crash and is removed. Broken ones are reported and skipped; they stay until they are old enough to go.
 *
 * A file that is to go and that the disk does not remove is tried again, beside the others, until it is gone: their number is bounded once the
 * disk lets them go. One that was not finished is written over by the next of its name (snapshot_dir_claim), a whole one has to go first; one
 * that had begun and comes to its end takes the name over.
 * Owner: snapshot_dir_open/_close. Thread: start-up, then the snap role, with its fs. Limits: the SNAPSHOT_DIR_MAX newest files are
 * known, and as many that go with their age; if there are more, the directory is listed again when those are gone. SNAPSHOT_DIR_LEFT_MAX in all
 * that are to go: unfinished ones beyond that wait for the next start.
 */
#ifndef STORAGE_SNAPSHOT_DIR_H
#define STORAGE_SNAPSHOT_DIR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/snapshot_format.h"
#include "storage/snapshot_io.h"
#include "storage/state_machine.h"

#define SNAPSHOT_DIR_MAX 64
#define SNAPSHOT_DIR_LEFT_MAX 192 /* more than what goes with its age may take, so that what its maker could not remove has room */
#define SNAPSHOT_DIR_AGAIN_NS (UINT64_C(10) * 1000 * 1000 * 1000) /* behind a removal that failed */

struct snapshot_dir_entry {
    uint64_t index;
    uint64_t term;
    bool is_broken;
    bool is_unread; /* broken, because the disk did not give its bytes: it may be whole */
};
struct snapshot_dir {
    struct snapshot_io io;
    char *path;
    struct snapshot_dir_entry entries[SNAPSHOT_DIR_MAX]; /* newest (highest index) first */
    size_t count;
    size_t keep;    /* purge down to so many good ones */
    char *left[SNAPSHOT_DIR_LEFT_MAX]; /* paths of what is to go; the first one is next, or under way */
    size_t left_count;
    bool has_more;  /* older ones than are known, perhaps */
    bool is_removing, is_listing;
    uint64_t again_ns; /* not before */
    int error;      /* of a removal, until somebody has asked */
    uint64_t failed_syncs; /* see snapshot_io.h */
};

/* Start-up, blocking: lists, removes tmp files. On failure out_message says what and why. */
MUST_USE enum err snapshot_dir_open(struct fs *fs, const char *path, struct snapshot_dir *out_dir, char *out_message, size_t message_size);
/* From now on with the role's own fs. */
void snapshot_dir_set_fs(struct snapshot_dir *dir, struct fs *fs);
void snapshot_dir_close(struct snapshot_dir *dir); /* accepts one that is all zeros; no operation may be in flight */
/* Start-up, blocking: the newest good one loaded; *out_loaded NULL: there is none. Each broken one is reported by `report_fn` (may be NULL)
 * (`is_unread`: the disk did not give its bytes) and marked. Fails if the newest that is not damaged was written by a newer program, or for another cluster. */
typedef void snapshot_dir_report_fn(void *context, const char *message, bool is_unread);
MUST_USE enum err snapshot_dir_load(struct snapshot_dir *dir, uint64_t cluster_id, snapshot_dir_report_fn *report_fn, void *context,
                                    struct state_machine_loaded **out_loaded, char *out_message, size_t message_size);

/* A file is there and durable. */
void snapshot_dir_add(struct snapshot_dir *dir, uint64_t index, uint64_t term);
/* It is no good, until one of this name is added again. False: there is no such one, good or broken. */
bool snapshot_dir_mark_broken(struct snapshot_dir *dir, uint64_t index, uint64_t term);
/* Good ones; NULL = none so far back. 0 = the newest. */
const struct snapshot_dir_entry *snapshot_dir_good(const struct snapshot_dir *dir, size_t place);
/* The disk did not give the bytes of one of them at start. */
bool snapshot_dir_has_unread(const struct snapshot_dir *dir);
/* That one, and nothing is known against it. */
bool snapshot_dir_has(const struct snapshot_dir *dir, uint64_t index, uint64_t term);
/* DIRECTORY/NAME, or with .tmp behind it. The caller frees it. */
char *snapshot_dir_file(const struct snapshot_dir *dir, uint64_t index, uint64_t term, bool is_tmp);

/* Removes what is older than the `keep`-th good one, by steps. */
void snapshot_dir_purge(struct snapshot_dir *dir, size_t keep);
/* A file of this directory that its maker could not remove. */
void snapshot_dir_leave(struct snapshot_dir *dir, const char *path, uint64_t now_ns);
/* Before one of that position is made as `tmp_path`: what was to go under this name stays, to be written over. False: a whole one is still to go,
 * or the removal is under way, and none may be made. */
bool snapshot_dir_claim(struct snapshot_dir *dir, uint64_t index, uint64_t term, const char *tmp_path);
/* Once for each removal that failed: errno, and of which file (until the next step). 0 = none has. */
int snapshot_dir_take_error(struct snapshot_dir *dir, const char **out_path);
/* True: can go on at once. False: waits for a completion or its deadline, or nothing is left to do. */
bool snapshot_dir_step(struct snapshot_dir *dir, uint64_t now_ns);
uint64_t snapshot_dir_deadline_ns(const struct snapshot_dir *dir); /* UINT64_MAX = none */
bool snapshot_dir_is_idle(const struct snapshot_dir *dir);

#endif
