/* snap_pull: gets a leader's snapshot that this member needs: asks for its chunks, writes them aside, loads and so verifies the file, gives
 * it its name. What comes out is durable on disk and a state in memory; raft decides whether it is still wanted.
 *
 *   IDLE ─offer─► OPEN ─► GET … ─► SYNC ─► CLOSE ─► LOAD ─► RENAME ─► SYNC_DIR ─► READY ─take─► IDLE
 *                                                                       any failure ─► REMOVE ─► IDLE
 *
 * Chunks come in order on one stream or are lost with it: what is missing is asked for again from where the file ends, so that a broken
 * stream costs what was in flight. Another leader's file has other bytes: then it begins anew. How much is in flight follows the time
 * that a chunk takes, since heartbeats wait behind chunks on the same stream; so does the time after which a chunk counts as lost, or a
 * slow stream would carry the same chunk again and again.
 * Owner: the snap role, embedded. Thread: snap, with its fs. Limits: SNAP_PULL_WINDOW chunks in flight or waiting for the disk.
 */
#ifndef PIPELINE_SNAP_PULL_H
#define PIPELINE_SNAP_PULL_H
#include "pipeline/mailbox.h"
#include "storage/snapshot_dir.h"
#include "storage/snapshot_load.h"

#define SNAP_PULL_WINDOW 8

enum snap_pull_phase {
    SNAP_PULL_IDLE,
    SNAP_PULL_OPEN,
    SNAP_PULL_GET,
    SNAP_PULL_FLUSH, /* in between */
    SNAP_PULL_SYNC,
    SNAP_PULL_CLOSE,
    SNAP_PULL_LOAD,
    SNAP_PULL_RENAME,
    SNAP_PULL_SYNC_DIR,
    SNAP_PULL_READY,
    SNAP_PULL_CLOSE_BROKEN,
    SNAP_PULL_REMOVE,
};
struct snap_pull {
    struct snapshot_io io;
    struct snapshot_dir *dir;
    struct lane *to_peer;
    uint64_t self;
    uint64_t cluster_id;
    bool unsafe_no_fsync;
    enum snap_pull_phase phase;
    uint64_t from, index, term; /* what is being got; index 0 = nothing */
    char *tmp_path, *path;
    struct fs_file *file;
    uint64_t file_bytes;        /* 0 = not told yet */
    uint64_t asked;             /* bytes asked for, received, written, synced: offsets into the file */
    uint64_t received;
    uint64_t written;
    uint64_t synced;
    uint64_t asked_ns[SNAP_PULL_WINDOW];   /* when each chunk in flight was last asked for */
    uint32_t window;            /* chunks in flight at most */
    uint64_t wait_ns;           /* without a chunk for so long, what is in flight counts as lost */
    struct blob *chunks[SNAP_PULL_WINDOW]; /* received, not written */
    uint32_t first, count;
    const char *complaint;      /* what is wrong with a piece that came; NULL = nothing */
    uint64_t progress_ns;       /* when the last chunk came */
    uint64_t waiting_ns;        /* since when the next chunk is waited for */
    bool is_overdue;            /* it counts as lost */
    uint64_t not_before_ns;     /* after a failure */
    bool is_named;              /* it has its final name, which is not durable yet */
    struct snapshot_load *load;
    struct state_machine_loaded *loaded;
    uint64_t syncs, sync_ns_last; /* of files, for metrics */
    uint64_t restarts;          /* how often it asked again, for logs */
};

void snap_pull_init(struct snap_pull *pull, struct fs *fs, struct snapshot_dir *dir, uint64_t self, uint64_t cluster_id,
                    bool unsafe_no_fsync);
void snap_pull_deinit(struct snap_pull *pull);
void snap_pull_offer(struct snap_pull *pull, uint64_t from, uint64_t index, uint64_t term, uint64_t now_ns);
void snap_pull_chunk(struct snap_pull *pull, const struct raft_msg *msg, uint64_t now_ns); /* CHUNK */
/* True if something moved. */
bool snap_pull_step(struct snap_pull *pull, uint64_t now_ns);
uint64_t snap_pull_deadline_ns(const struct snap_pull *pull);
/* READY: what was got; the caller owns it. Else NULL. Afterwards the next offer may come. */
struct state_machine_loaded *snap_pull_take(struct snap_pull *pull);

#endif
