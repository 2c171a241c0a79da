/* explore: all that can happen to a small cluster, one state after the other, breadth first.
 *
 * Two or three nodes (or one) run the production core of consensus (raft/raft.h). Every choice that the world has is made in every
 * way: which message arrives next, which arrives twice, which is lost, whose timer runs out, whose disk is done, who crashes and
 * starts again, what is proposed, when an election timeout passes, who lets its log go for a snapshot, whom another's snapshot reaches. The scope bounds it, so that it ends, or the time does.
 *
 * Reductions, and why each is sound for what is looked for (states in which a rule is broken):
 *   - A message that is never delivered is lost: losing one is a choice only where its place is needed (a step whose messages do not
 *     find room is not taken, and then any message may be lost instead).
 *   - The network is a set: a second copy is the choice to deliver and keep. A delivery that changes nothing is a loss.
 *   - Names do not matter: of states that differ in the naming of nodes only, one is kept (not while configurations change: then
 *     names stand in the log).
 *   - A node between two steps behaves alike if its image is alike (raft/raft_image.h).
 * A state is known by 64 bits of hash; that two of 10^8 states share one has a probability of 3 in 10,000, and hides one state.
 *
 * Rules (names as in the plan for the simulator). On its own, at each step of a node (explore_node):
 *   R2 a leader only appends to its log        R8 commit never goes back; handed out in order, only what is committed and durable here
 *   R9 durable before said: term, vote, acknowledged entries          R10 one vote per term, on disk
 *   R11 durable terms ascend; older messages change nothing           R12 a pre-vote changes neither term nor vote
 *   R15 the log begins behind a committed entry and knows its term; it never begins earlier again, and is empty behind an installed snapshot
 *   M1 one uncertain configuration at a time, and none before an entry of the own term is committed
 *   M2 in force is the newest configuration in the own log, from the append on and until it is cut off
 * Between nodes, at each state (explore_state):
 *   R1 one leader per term, ever; elected by votes that are on disk, of both majorities (M2)
 *   R3 same index and term: same log up to there, in memory and on disk
 *   R4 what was committed in an earlier term is in the log of every leader
 *   R5 what nodes hold committed is the same       R6 committed is what the disks of a quorum (of both) hold, learners not counted (M3);
 *      and what a leader counts for a member is on that member's disk     R7 by counting, only entries of the own term
 *   R14 a read sees all that was committed before it was asked
 * M4 has no state here: a configuration takes effect when it is appended.
 * A failed ASSERT of the core counts as broken, too.
 *
 * Owner: the caller; one run at a time (a failed ASSERT is caught by a signal handler). Thread: one. Limits: struct explore_scope.
 */
#ifndef SIM_EXPLORE_H
#define SIM_EXPLORE_H
#include <stdbool.h>
#include <stdint.h>

enum explore_rule {
    EXPLORE_HOLDS,
    EXPLORE_R1,
    EXPLORE_R1_VOTES,
    EXPLORE_R2,
    EXPLORE_R3,
    EXPLORE_R4,
    EXPLORE_R5,
    EXPLORE_R6,
    EXPLORE_R6_MATCH,
    EXPLORE_R7,
    EXPLORE_R8,
    EXPLORE_R9,
    EXPLORE_R10,
    EXPLORE_R11,
    EXPLORE_R12,
    EXPLORE_R14,
    EXPLORE_R15,
    EXPLORE_M1,
    EXPLORE_M2_CONF,
    EXPLORE_ASSERT,
    EXPLORE_RULES,
};
const char *explore_rule_text(enum explore_rule rule);

struct explore_scope {
    uint32_t nodes;     /* 1–3 */
    uint32_t voters;    /* of them; the others begin as learners */
    uint32_t terms;
    uint32_t proposals;
    uint32_t confs;
    uint32_t crashes;
    uint32_t duplicates;
    uint32_t beats;     /* heartbeats that a leader's timer starts */
    uint32_t ages;      /* election timeouts in which a node hears nothing; with check_quorum only */
    uint32_t reads;     /* 0 or 1 */
    uint32_t snapshots; /* taken, and the log behind let go at once */
    uint32_t installs;  /* a node is given any other one's snapshot, newer or older than its state; not with disk_lies */
    uint32_t flight;    /* messages in flight at once */
    uint32_t appends;   /* on their way to one disk at once; 0 = the disk is done before the step ends */
    uint32_t batch;     /* entries in one message */
    uint32_t own_wait;  /* own_wait_entries_min */
    bool pre_vote;
    bool check_quorum;
    bool is_asymmetric; /* keep states that differ in names only */
    bool disk_lies;     /* for tests of the checks: a disk that reports appends as done, and loses the last one in a crash */
};

struct explore_limits {
    double seconds;
    uint64_t states;   /* 0 = as many as fit */
    uint64_t memory;   /* bytes for states: half for those that were met, half for those to go on from */
    uint64_t width;    /* states of one depth that are gone on from; 0 = all. What is left out is drawn by the seed */
    uint64_t seed;
};

enum { EXPLORE_CHOICES = 13, EXPLORE_STEPS_MAX = 400 };
struct explore_result {
    enum explore_rule rule;
    uint64_t states;   /* distinct */
    uint64_t steps;    /* taken, to known states too */
    uint64_t left_out; /* by width */
    uint32_t depth;
    uint64_t node_states;
    uint64_t core_runs;
    double seconds;
    bool is_exhausted; /* nothing is left in this scope */
    uint64_t by_choice[EXPLORE_CHOICES];
    uint32_t path_steps; /* to where the rule was broken */
};
const char *explore_choice_text(uint32_t choice);
/* Prints the way to a broken rule to stdout. */
struct explore_result explore_run(const struct explore_scope *scope, const struct explore_limits *limits);

#endif
