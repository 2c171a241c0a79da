/* snapshot_writer: an image into a file: walk, write aside, sync, rename, sync the directory.
 *
 * A state machine over fs operations (submitted and completed as in wal.h) that walks the keys in bounded steps, at a limited rate.
 * No room: the file is removed and the answer is ERR_NO_SPACE. Any other failure of the disk: the file is removed, never trusted, and the
 * answer is ERR_STOPPED with path and reason; the log is still whole, so that nothing is lost.
 * Owner: snapshot_writer_new/_free. Thread: one registered RCU reader with an fs of its own (the snap role).
 * Limits: one write in flight; two blocks of memory, 4 bytes per revision since the compact revision (mvcc_export.h).
 */
#ifndef STORAGE_SNAPSHOT_WRITER_H
#define STORAGE_SNAPSHOT_WRITER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "storage/state_machine.h"

struct snapshot_writer_options {
    struct fs *fs;         /* borrowed; see snapshot_io.h */
    const char *directory; /* copied */
    uint64_t member_id;
    uint64_t rate_bytes;   /* per second; 0 = no limit */
    bool unsafe_no_fsync;
    uint64_t *failed_syncs; /* of the directory, borrowed; NULL: nobody else gives names there */
};
struct snapshot_writer_stats {
    uint64_t bytes; /* of the file, so far */
    uint64_t keys;
    uint64_t versions;
    uint64_t steps;
    uint64_t syncs, sync_ns_last; /* of the file */
};
enum snapshot_writer_state { SNAPSHOT_WRITER_RUNNING, SNAPSHOT_WRITER_DONE, SNAPSHOT_WRITER_FAILED };

struct snapshot_writer;
/* Takes the image over. Its revision must have been published. */
struct snapshot_writer *snapshot_writer_new(const struct snapshot_writer_options *options, struct state_machine_image *image);
void snapshot_writer_free(struct snapshot_writer *writer); /* accepts NULL; no operation may be in flight */
/* Takes in completions, walks for less than a millisecond, starts at most one operation. True: can go on at once. False: waits for a
 * completion, for its deadline, or has ended. */
/* How much the log has grown since the image was taken: the rate is no limit where the file would fall behind that, or disks would fill with
 * a log that cannot be cut, and memory with versions that the walk may still read. */
void snapshot_writer_keep_up(struct snapshot_writer *writer, uint64_t log_bytes);
bool snapshot_writer_step(struct snapshot_writer *writer, uint64_t now_ns);
uint64_t snapshot_writer_deadline_ns(const struct snapshot_writer *writer); /* CLOCK_NEVER = none */
/* Gives up: goes on by steps until the file is removed, then has FAILED with ERR_CANCELED. */
void snapshot_writer_cancel(struct snapshot_writer *writer);

enum snapshot_writer_state snapshot_writer_state(const struct snapshot_writer *writer);
/* After FAILED: ERR_NO_SPACE, ERR_STOPPED, ERR_CANCELED, or ERR_COMPACTED: another state was installed in between. */
enum err snapshot_writer_err(const struct snapshot_writer *writer);
const char *snapshot_writer_message(const struct snapshot_writer *writer);
const char *snapshot_writer_left(const struct snapshot_writer *writer); /* the path of a file that could not be removed; NULL = none is left */
uint64_t snapshot_writer_index(const struct snapshot_writer *writer);
uint64_t snapshot_writer_term(const struct snapshot_writer *writer);
void snapshot_writer_get_stats(const struct snapshot_writer *writer, struct snapshot_writer_stats *out_stats);

#endif
