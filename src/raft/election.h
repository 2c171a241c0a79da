/* election: who leads: timeouts, pre-vote (thesis 9.6), votes (3.4), check-quorum (6.2), transfer (3.10), damaged tails.
 *
 * Owner, Thread: as struct raft. Private to src/raft.
 */
#ifndef RAFT_ELECTION_H
#define RAFT_ELECTION_H
#include "raft/raft_core.h"

void election_become_follower(struct raft *raft, uint64_t term, uint64_t leader);
/* A message of the term's leader came in. */
void election_hear_leader(struct raft *raft, uint64_t leader);
/* A live leader was heard within an election timeout: votes are refused without a look (thesis 4.2.3). */
bool election_has_lease(const struct raft *raft);
enum raft_answer election_vote(struct raft *raft, const struct raft_msg *msg);        /* PRE_VOTE and VOTE */
enum raft_answer election_vote_answer(struct raft *raft, const struct raft_msg *msg); /* and their answers */
/* Into an answer: where this member's log ends, with what it may have lost. */
void election_tell_position(const struct raft *raft, struct raft_msg *answer);
/* A PRE_VOTE_ANSWER of any term: where the sender's log ends. */
void election_hear_position(struct raft *raft, const struct raft_msg *msg);
enum raft_answer election_timeout_now(struct raft *raft, const struct raft_msg *msg);
enum raft_answer election_peer_died(struct raft *raft, uint64_t peer);
/* A candidate's own vote counts when it is durable. */
void election_persisted(struct raft *raft);
void election_tick(struct raft *raft);
uint64_t election_deadline_ns(const struct raft *raft);
void election_reset_timer(struct raft *raft);

enum raft_answer election_transfer(struct raft *raft, uint64_t peer);
/* The transferee has the whole log: tell it to campaign. */
void election_transfer_when_ready(struct raft *raft, const struct progress *peer);
/* A leader that the committed configuration does not contain gives up (thesis 4.2.2). */
void election_retire(struct raft *raft);
/* The commit index moved: the damaged tail may be settled. */
void election_settle_suspect(struct raft *raft);

#endif
