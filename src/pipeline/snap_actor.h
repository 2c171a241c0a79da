/* snap_actor: the role beside the line that reads and writes what is too big for it: old entries from the log's segments for followers that
 * lag (FETCH), snapshots of the state (TAKE), their bytes for members that need them (snap_serve) and for clients (snap_stream), and a
 * leader's snapshot for this member (snap_pull).
 *
 * A snapshot that cannot be read, or that came to a member damaged, is offered no more, and another one taken in its place: at most one in
 * SNAP_ANEW_NS, whoever complains; one that could not be written is tried again after SNAP_AGAIN_NS.
 * Owner: the node. Thread: snap, with an fs of its own; a registered reader (it walks the store). Limits: one snapshot taken, one got, one
 * chunk read at a time; one FETCH per peer (raft sees to it).
 */
#ifndef PIPELINE_SNAP_ACTOR_H
#define PIPELINE_SNAP_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/shared.h"
#include "pipeline/snap_metrics.h"
#include "pipeline/snap_pull.h"
#include "pipeline/snap_serve.h"
#include "pipeline/snap_stream.h"
#include "storage/snapshot_writer.h"
#include "storage/wal.h"

#define SNAP_ANEW_NS (10 * NS_PER_S)
#define SNAP_AGAIN_NS NS_PER_S

struct snap_lanes {
    struct lane *from_net, *from_raft, *from_raft_offers, *from_apply, *from_peer, *from_main;
    struct lane *to_net, *to_raft, *to_apply, *to_peer, *to_main;
};
struct snap_actor {
    struct actor actor; /* first */
    const struct config *config;
    struct shared *shared;
    struct fs *fs;
    uint64_t self;
    struct wal_fetch *fetch;        /* owned */
    struct snapshot_dir *dir;       /* borrowed: the line's */
    struct snapshot_writer *writer; /* NULL = none is taken */
    uint64_t writer_start_ns;
    uint64_t writer_syncs;          /* of its, that were noted */
    uint64_t writer_busy_ns;        /* its steps; of these: */
    uint64_t writer_synced_ns;
    uint64_t writer_log_bytes;      /* written to the log when it began */
    struct snap_serve serve;
    struct snap_pull pull;
    struct snap_metrics note;
    struct snap_streams streams;
    uint64_t want_posted;           /* number of the WANT under way; 0 = none */
    uint64_t writer_want;           /* the last WANT that the snapshot being taken answers */
    uint64_t anew_ns;               /* until then no other snapshot in place of one that is no good */
    struct snap_lanes lanes;
};
struct snap_options {
    const struct config *config;
    struct shared *shared;
    struct fs *fs;              /* borrowed; the role's own */
    struct wal_fetch *fetch;    /* taken over */
    struct snapshot_dir *dir;   /* borrowed */
    uint64_t self;
    uint64_t cluster_id;
};
void snap_actor_init(struct snap_actor *role, const struct snap_options *options);
void snap_actor_connect(struct snap_actor *role); /* when the lanes are there */
void snap_actor_deinit(struct snap_actor *role);

#endif
