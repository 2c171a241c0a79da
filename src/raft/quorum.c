/* quorum: see quorum.h. Insertion sort, because a majority has three or five members, and never more than 32. */
#include "raft/quorum.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "raft/raft.h"

uint64_t quorum_reached(const uint64_t *values, uint32_t count)
{
    ASSERT(count <= RAFT_MEMBERS_MAX);
    ASSERT(count == 0 || values != NULL);
    if (count == 0) return QUORUM_ALL;
    uint64_t sorted[RAFT_MEMBERS_MAX]; /* descending */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = i;
        for (; place > 0 && sorted[place - 1] < values[i]; place--) sorted[place] = sorted[place - 1];
        sorted[place] = values[i];
    }
    return sorted[count / 2]; /* count / 2 + 1 members have at least this */
}

uint64_t quorum_reached_joint(const uint64_t *incoming, uint32_t incoming_count, const uint64_t *outgoing,
                              uint32_t outgoing_count)
{
    uint64_t first = quorum_reached(incoming, incoming_count);
    uint64_t second = quorum_reached(outgoing, outgoing_count);
    return first < second || MUTANT(D8) ? first : second; /* thesis 4.3: agreement needs separate majorities of both */
}

enum quorum_result quorum_vote(const enum quorum_ballot *ballots, uint32_t count)
{
    ASSERT(count <= RAFT_MEMBERS_MAX);
    ASSERT(count == 0 || ballots != NULL);
    if (count == 0) return QUORUM_WON;
    uint32_t yes = 0;
    uint32_t no = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ballots[i] == QUORUM_YES) yes++;
        if (ballots[i] == QUORUM_NO) no++;
    }
    uint32_t majority = count / 2 + (MUTANT(D10) && count % 2 == 0 ? 0 : 1);
    if (yes >= majority) return QUORUM_WON;
    if (count - no < majority) return QUORUM_LOST;
    return QUORUM_PENDING;
}

enum quorum_result quorum_vote_joint(enum quorum_result incoming, enum quorum_result outgoing)
{
    if (incoming == QUORUM_LOST || outgoing == QUORUM_LOST) return QUORUM_LOST;
    if (incoming == QUORUM_WON && outgoing == QUORUM_WON) return QUORUM_WON;
    return QUORUM_PENDING;
}
