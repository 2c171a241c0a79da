/* snapshot: who is behind the retained log gets a snapshot in its place (thesis 5).
 *
 * Only positions pass through consensus; the bytes are fetched by the roles. A leader offers its newest snapshot to a peer that lacks
 * what is compacted (or cannot be read), again at each of its heartbeat answers, until the peer has said that it has all up to where
 * entries can go on. A follower passes the offer out, gets the file in its own time, and puts the snapshot in the place of log,
 * configuration and state only if that still brings it further.
 *
 * Owner, Thread: as struct raft. Private to src/raft.
 */
#ifndef RAFT_SNAPSHOT_H
#define RAFT_SNAPSHOT_H
#include "raft/raft_core.h"

/* Follower. */
enum raft_answer snapshot_hear(struct raft *raft, const struct raft_msg *msg);
enum raft_answer snapshot_install(struct raft *raft, const struct raft_input *input);
/* Leader: the peer cannot get the entry at needed_index from here, nor any before. False: no snapshot reaches that far, nothing changed. */
bool snapshot_serve(struct raft *raft, struct progress *peer, uint64_t needed_index);
void snapshot_send(struct raft *raft, struct progress *peer);
/* The peer's match index was told again: can entries go on behind it? */
void snapshot_acknowledged(struct raft *raft, struct progress *peer);
/* What an install and an offer say in this output. */
void snapshot_take_install(struct raft *raft);
void snapshot_take_offer(struct raft *raft);

#endif
