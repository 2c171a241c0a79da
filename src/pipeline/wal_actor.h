/* wal_actor: the role that owns the log on disk: takes every APPEND that waits, writes once, syncs once, then lets go what had to wait
 * for the disk: PERSISTED to raft, acknowledgements straight to peer.
 * Owner: the node. Thread: wal (it blocks in the disk; nobody else does). */
#ifndef PIPELINE_WAL_ACTOR_H
#define PIPELINE_WAL_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/shared.h"
#include "storage/wal.h"

struct wal_actor {
    struct actor actor; /* first */
    struct shared *shared;
    struct wal *wal;    /* owned */
    struct lane *from_raft, *from_main, *to_raft, *to_peer, *to_main;
    struct append_batch *first, *last; /* appended, not yet durable, by sequence */
    uint64_t persisted;
    bool no_space;
};
void wal_actor_init(struct wal_actor *role, struct wal *wal, struct shared *shared);
void wal_actor_deinit(struct wal_actor *role);

#endif
