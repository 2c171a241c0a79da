/* replication: how the log spreads (thesis 3.5), what is committed (3.6.2), heartbeats, windows.
 *
 * Owner, Thread: as struct raft. Private to src/raft.
 */
#ifndef RAFT_REPLICATION_H
#define RAFT_REPLICATION_H
#include "raft/raft_core.h"

/* Follower. */
enum raft_answer replication_append(struct raft *raft, const struct raft_msg *msg);
enum raft_answer replication_commit(struct raft *raft, const struct raft_msg *msg);
enum raft_answer replication_heartbeat(struct raft *raft, const struct raft_msg *msg);
/* The own log has all up to index; told when that is durable. */
void replication_acknowledge(struct raft *raft, uint64_t leader, uint64_t index);
/* Leader. */
enum raft_answer replication_append_answer(struct raft *raft, const struct raft_msg *msg);
enum raft_answer replication_heartbeat_answer(struct raft *raft, const struct raft_msg *msg);
enum raft_answer replication_propose(struct raft *raft, const struct raft_input *input);
enum raft_answer replication_fetched(struct raft *raft, const struct raft_input *input);
enum raft_answer replication_unreachable(struct raft *raft, uint64_t peer);
/* Appends, heartbeats and fetches of this output. */
void replication_send_all(struct raft *raft);
/* After match indexes, durability or the configuration changed: commit, leave a joint configuration, confirm read rounds. */
void replication_settle_quorum(struct raft *raft);
bool replication_has_own_commit(const struct raft *raft);
/* The last moment at which majorities were in touch with this leader. */
uint64_t replication_quorum_heard_ns(const struct raft *raft);

#endif
