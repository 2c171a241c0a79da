/* peer_past: what another member has shown of itself since this process began, and whether a hello of it can follow that.
 *
 * A directory that was wiped, or an old copy of it that was put back, has forgotten votes and entries that its member promised: it must not
 * vote or count again. The member itself cannot know; those who heard it do:
 *   another directory under the same id      the uuid differs (wiped)
 *   an older copy                            an earlier start than one seen, or the same start by another process; a term below one that it
 *                                            spoke in; a log that ends before what it acknowledged in that very term; a vote that is gone
 * All of these are durable before they are said, so that a member with its own files is never refused. The memory is that of a process:
 * who was restarted meanwhile, or never heard what was promised, notices nothing.
 * Owner: embedded, one per other member, zeroed at first. Thread: the peer role's.
 */
#ifndef PIPELINE_PEER_PAST_H
#define PIPELINE_PEER_PAST_H
#include <stdbool.h>
#include <stdint.h>

#include "raft/raft.h"
#include "rpc/peer_port.h"

struct peer_past {
    bool is_met;
    uint8_t uuid[16];
    uint64_t boot_id;             /* the highest, and of which process */
    uint64_t run_id;
    uint64_t term;                /* the highest that it spoke in */
    uint64_t ack_term, ack_index; /* the latest term in which it acknowledged entries to this member, and how far */
    uint64_t vote_term;           /* the latest in which it voted for this member */
};

/* A message of the member to this one. */
void peer_past_hear(struct peer_past *past, const struct raft_msg *msg);
/* True: this hello contradicts what was heard; out_text says how. */
bool peer_past_conflict(const struct peer_past *past, uint64_t self, const struct peer_hello *hello, char out_text[160]);
/* The hello is good, and what is heard from now on is of its run. */
void peer_past_meet(struct peer_past *past, const struct peer_hello *hello);

#endif
