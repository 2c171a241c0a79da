/* quorum: the arithmetic of majorities, alone: no raft, no state.
 *
 * A configuration is one majority, or two while joint (thesis 4.3): both must agree. A majority without members agrees with
 * everything, so that a plain configuration is a joint one whose second half is empty.
 *
 * Owner: none. Thread: any; pure. Limits: RAFT_MEMBERS_MAX values per majority.
 */
#ifndef RAFT_QUORUM_H
#define RAFT_QUORUM_H
#include <stdint.h>

enum quorum_ballot { QUORUM_SILENT, QUORUM_YES, QUORUM_NO };
enum quorum_result { QUORUM_PENDING, QUORUM_WON, QUORUM_LOST };

#define QUORUM_ALL UINT64_MAX /* what an empty majority has reached */

/* The highest value that a majority has reached or passed: of match indexes the commit index, of times the last moment at which a
 * majority was heard, of round numbers the last round that a majority confirmed. The values come in any order. */
uint64_t quorum_reached(const uint64_t *values, uint32_t count);
uint64_t quorum_reached_joint(const uint64_t *incoming, uint32_t incoming_count, const uint64_t *outgoing,
                              uint32_t outgoing_count);

/* Won with a majority of YES, lost when that cannot happen any more. */
enum quorum_result quorum_vote(const enum quorum_ballot *ballots, uint32_t count);
enum quorum_result quorum_vote_joint(enum quorum_result incoming, enum quorum_result outgoing);

#endif
