/* snap_actor: the role beside the line that reads files: old entries from WAL segments for followers that lag (FETCH). One operation at a
 * time per peer (raft sees to it). Owner: the node. Thread: snap, with an fs of its own. */
#ifndef PIPELINE_SNAP_ACTOR_H
#define PIPELINE_SNAP_ACTOR_H
#include "pipeline/actor.h"
#include "storage/wal.h"

struct snap_actor {
    struct actor actor; /* first */
    struct wal_fetch *fetch; /* owned */
    struct lane *from_raft, *from_main, *to_raft, *to_main;
};
void snap_actor_init(struct snap_actor *role, struct wal_fetch *fetch);
void snap_actor_deinit(struct snap_actor *role);

#endif
