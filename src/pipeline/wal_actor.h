/* wal_actor: the role that owns the log on disk: takes every APPEND that waits, writes once, syncs once, then lets go what had to wait
 * for the disk: PERSISTED to raft, acknowledgements straight to peer.
 * Owner: the node. Thread: wal (it blocks in the disk; nobody else does). */
#ifndef PIPELINE_WAL_ACTOR_H
#define PIPELINE_WAL_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/shared.h"
#include "pipeline/work_actor.h"
#include "storage/wal.h"

struct wal_actor {
    struct actor actor; /* first */
    struct shared *shared;
    struct wal *wal;    /* owned */
    struct work_files files; /* the log's chores, carried out by work */
    struct lane *from_raft, *from_main, *to_raft, *to_peer, *to_main;
    struct append_batch *first, *last; /* appended, not yet durable, by sequence */
    uint64_t persisted;
    bool no_space;
};
void wal_actor_init(struct wal_actor *role, struct wal *wal, struct shared *shared);
/* Chores go to work from now on; `direct` is the wal role's own fs. */
void wal_actor_connect_work(struct wal_actor *role, struct fs *direct, struct lane *to_work, struct lane *from_work);
void wal_actor_settle(struct wal_actor *role); /* at stop, before the lanes go: no chore is under way any more */
void wal_actor_deinit(struct wal_actor *role);

#endif
