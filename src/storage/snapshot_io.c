/* snapshot_io: see snapshot_io.h. */
#include "storage/snapshot_io.h"

#include <errno.h>

#include "base/assert.h"
#include "base/mutant.h"

void snapshot_io_start(struct snapshot_io *io, const struct fs_op *op)
{
    ASSERT(!io->in_flight && !io->is_done && io->fs != NULL);
    io->op = *op;
    io->op.owner = io;
    if (op->kind == FS_RENAME && io->failed_syncs != NULL) io->failed_before = *io->failed_syncs;
    if (io->is_blocking) {
        (void)fs_run(io->fs, &io->op);
        io->is_done = true;
        return;
    }
    io->in_flight = true;
    fs_submit(io->fs, &io->op);
}

static void note_sync(struct snapshot_io *io)
{
    if (io->op.kind != FS_FSYNC_DIR || io->failed_syncs == NULL) return;
    if (io->op.error != 0) (*io->failed_syncs)++;
    else if (*io->failed_syncs != io->failed_before && !MUTANT(D135)) io->op.error = EIO;
}

bool snapshot_io_is_done(struct snapshot_io *io)
{
    struct fs_op *op;
    while (io->in_flight && (op = fs_take_done(io->fs)) != NULL) {
        struct snapshot_io *other = op->owner;
        ASSERT(other->in_flight && op == &other->op);
        other->in_flight = false;
        other->is_done = true;
        note_sync(other);
    }
    bool is_done = io->is_done;
    io->is_done = false;
    return is_done;
}

struct fs_file *snapshot_io_abandon(struct snapshot_io *io, struct fs_file *file)
{
    ASSERT(!io->in_flight);
    if (!io->is_done) return file;
    io->is_done = false;
    if (io->op.kind == FS_CLOSE) return NULL;
    return io->op.kind == FS_OPEN && io->op.error == 0 ? io->op.file : file;
}
