/* snapshot_io: one fs operation in flight, for the state machines of snapshots that share the snap role's fs.
 *
 * They share a directory, too. Once a sync of it has failed, a later one that succeeds says nothing of the names that were given before (what
 * failed is not tried again by the system): so whoever gave a name before a failure has failed with it, whosesoever sync it was.
 *
 * Owner: embedded. Thread: the role that owns the fs, and all operations submitted to that fs are snapshot_io's.
 */
#ifndef STORAGE_SNAPSHOT_IO_H
#define STORAGE_SNAPSHOT_IO_H
#include <stdbool.h>
#include <stdint.h>

#include "base/fs.h"

struct snapshot_io {
    struct fs *fs;
    struct fs_op op;
    bool in_flight;
    bool is_done;     /* completed, not yet looked at */
    bool is_blocking; /* start-up: the operation is run, not submitted */
    uint64_t *failed_syncs;  /* of the directory, so far; shared by all that give names in it. NULL: gives none */
    uint64_t failed_before;  /* when the last name was given */
};

void snapshot_io_start(struct snapshot_io *io, const struct fs_op *op);
/* Takes in whatever the fs has completed, for whomever. True: this one's is among it, or was before: once. */
bool snapshot_io_is_done(struct snapshot_io *io);
/* At an early end, with nothing in flight: `file` as its owner knows it; what is open after a completion that nobody looked at. */
struct fs_file *snapshot_io_abandon(struct snapshot_io *io, struct fs_file *file);

#endif
