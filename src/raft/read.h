/* read: linearizable reads by read index (thesis 6.4).
 *
 * A round begins by fixing the index: the leader's commit index, which is current because an entry of its own term is committed; then
 * heartbeats carry the round's number, and when majorities have answered with that number or a later one, no newer leader existed
 * when the round began. Rounds ascend within a process, and answers of another term do not count, so that a late answer cannot
 * confirm a younger round. Reads that come while RAFT_READ_ROUNDS_MAX rounds are in flight wait for the next one together: with one alone,
 * a read that just missed it would take twice as long; with any number, each read would cost messages of its own.
 *
 * Owner: embedded in struct raft. Thread: raft's. Limits: RAFT_READS_MAX contexts waiting or not yet taken by the caller.
 */
#ifndef RAFT_READ_H
#define RAFT_READ_H
#include "raft/raft.h"

struct read_round {
    uint64_t number;
    uint64_t index;
    uint64_t started_ns; /* when its heartbeats left */
    uint32_t count;      /* of contexts */
};

struct read_queue {
    uint64_t *contexts; /* ring of RAFT_READS_MAX; the oldest belong to the rounds in flight, in their order */
    uint32_t head;
    uint32_t count;
    struct read_round rounds[RAFT_READ_ROUNDS_MAX]; /* in flight, ascending */
    uint32_t round_count;
    uint64_t round;     /* the number of the last round */
    struct raft_read *confirmed; /* for the output */
    uint32_t confirmed_count;
    uint64_t *lost; /* for the output */
    uint32_t lost_count;
};

void read_init(struct read_queue *reads);
void read_deinit(struct read_queue *reads);
enum raft_answer read_add(struct read_queue *reads, uint64_t context); /* RAFT_OK or RAFT_FULL */
/* Begins a round for all that wait, unless too many are in flight. True if heartbeats must go out. */
bool read_start(struct read_queue *reads, uint64_t commit_index, uint64_t now_ns);
/* Majorities have confirmed `round`, and so all before it. */
void read_confirm(struct read_queue *reads, uint64_t round);
void read_lose_all(struct read_queue *reads);
void read_forget_output(struct read_queue *reads);

#endif
