/* election: see election.h. The path of a member that hears no leader:
 *
 *   FOLLOWER ──timeout──► PRE_CANDIDATE ──majority would vote──► CANDIDATE ──majority voted──► LEADER
 *                           │ asks; changes neither term nor vote │ term + 1, votes for itself   │ an empty entry of its term
 *                           └───────────── TIMEOUT_NOW (transfer) skips the question ──────────► │
 *
 * Who hears a live leader refuses both questions, so that a member which was cut off cannot disturb it (4.2.3, 6.2); only a
 * transfer, which the leader itself started, passes.
 *
 * Damaged tail ("suspect"): the member may have acknowledged entries up to (suspect_term, suspect_index) that it no longer holds.
 * Its vote could elect a leader without them. So it votes only for logs that reach that position, and asks pre-votes only to learn
 * where the others stand. It is settled when a leader's commit passes the position, or when all other voters have said, in answer to
 * its last question, that they hold nothing behind the own log: then no quorum can hold it. Whoever may have lost something itself tells
 * the end of its log with that: of several who lost the same entry, none may take another's log for proof that it was never there.
 */
#include "raft/election.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/mutant.h"
#include "raft/replication.h"

void election_reset_timer(struct raft *raft)
{
    uint64_t timeout_ns = raft->options.election_timeout_ns;
    raft->election_span_ns = timeout_ns + (MUTANT(P38) ? 0 : rng_below(&raft->rng, timeout_ns)); /* thesis 3.4: randomised at each round */
    raft->election_deadline_ns = raft->now_ns + raft->election_span_ns;
}

/* Thesis 4.2.2: a member whose removal is in its log but not certain yet still campaigns, and counts others only: it may be the
 * only one whose log is complete enough. */
static bool may_campaign(const struct raft *raft)
{
    bool is_voter = member_has_voter(&raft->confs, raft->options.self);
    return is_voter && !raft->has_no_space && !raft_core_wal_is_stuck(raft);
}

void election_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
    ASSERT(term >= raft->term);
    bool keeps_timer = raft->role == RAFT_FOLLOWER && leader == RAFT_NONE;
    if (term > raft->term) raft_core_set_term(raft, term, RAFT_NONE);
    if (raft->role == RAFT_LEADER) read_lose_all(&raft->reads);
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    raft->transferee = RAFT_NONE;
    raft->is_heartbeat_due = false;
    if (!keeps_timer) election_reset_timer(raft);
}

void election_hear_leader(struct raft *raft, uint64_t leader)
{
    ASSERT(leader != RAFT_NONE);
    ASSERT(raft->role != RAFT_LEADER); /* election safety: one leader per term (thesis 3.2) */
    if (raft->role != RAFT_FOLLOWER || raft->leader != leader) election_become_follower(raft, raft->term, leader);
    raft->leader_heard_ns = raft->now_ns;
    raft->election_deadline_ns = raft->now_ns + raft->election_span_ns;
}

bool election_has_lease(const struct raft *raft)
{
    if (!raft->options.check_quorum || raft->leader == RAFT_NONE || MUTANT(P7)) return false;
    return raft->role == RAFT_LEADER || raft->now_ns - raft->leader_heard_ns < raft->options.election_timeout_ns;
}

static bool reaches(uint64_t term, uint64_t index, uint64_t other_term, uint64_t other_index)
{
    return term > other_term || (term == other_term && index >= other_index);
}

void election_tell_position(const struct raft *raft, struct raft_msg *answer)
{
    answer->index = raft_log_last(&raft->log);
    answer->log_term = raft_log_last_term(&raft->log);
    if (!raft->is_suspect || reaches(answer->log_term, answer->index, raft->suspect_term, raft->suspect_index) || MUTANT(D117)) return;
    answer->index = raft->suspect_index;
    answer->log_term = raft->suspect_term;
}

static void settle(struct raft *raft)
{
    raft->is_suspect = false;
    raft->suspect_index = 0;
    raft->suspect_term = 0;
}

void election_settle_suspect(struct raft *raft)
{
    if (!raft->is_suspect) return;
    uint64_t commit = raft->log.commit;
    /* Committed at or behind the position, or in a later term: whatever was committed there is in the own log now. */
    if (commit >= raft->suspect_index || raft_log_term(&raft->log, commit) > raft->suspect_term) settle(raft);
}

/* What was committed with this member's lost acknowledgement is held by another voter too. So when all of them have told the end of
 * their logs, nothing behind the most advanced one was committed: only up to there must a candidate reach.
 * Only an answer to the last question counts, whatever its term: the sender made it after this process began, and so after all that
 * may have been lost. (One from before the crash could come late, and tell of a log that has grown since.) */
void election_hear_position(struct raft *raft, const struct raft_msg *msg)
{
    struct progress *peer = raft_core_peer(raft, msg->from);
    if (!raft->is_suspect || peer == NULL || raft->question == 0 || msg->round != raft->question) return;
    peer->has_position = true;
    peer->position_index = msg->index;
    peer->position_term = msg->log_term;
    uint64_t own_index = raft_log_last(&raft->log);
    uint64_t own_term = raft_log_last_term(&raft->log);
    uint64_t index = own_index;
    uint64_t term = own_term;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct progress *other = &raft->peers[i];
        if (other->id == raft->options.self || !raft_is_voter(raft_core_conf(raft), other->id)) continue;
        if (!other->has_position) return;
        if (reaches(term, index, other->position_term, other->position_index)) continue;
        index = other->position_index;
        term = other->position_term;
    }
    if (reaches(own_term, own_index, term, index)) {
        settle(raft); /* nobody has more */
    } else if (reaches(raft->suspect_term, raft->suspect_index, term, index)) {
        raft->suspect_index = index;
        raft->suspect_term = term;
    }
}

static void ask_all(struct raft *raft, enum raft_msg_kind kind, uint64_t term, bool is_transfer)
{
    raft->question = rng_next(&raft->rng) | 1; /* never 0, and not one of another process of this member */
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct progress *peer = &raft->peers[i];
        peer->ballot = QUORUM_SILENT;
        peer->has_position = false;
        if (peer->id == raft->options.self || !raft_is_voter(raft_core_conf(raft), peer->id)) continue;
        struct raft_msg msg = raft_core_message(raft, kind, peer->id);
        msg.term = term;
        msg.index = raft_log_last(&raft->log);
        msg.log_term = raft_log_last_term(&raft->log);
        msg.transfer = is_transfer;
        msg.round = raft->question;
        raft_core_send(raft, &msg, 0);
    }
}

static enum quorum_result count_ballots(struct raft *raft)
{
    const struct raft_conf *conf = raft_core_conf(raft);
    enum quorum_ballot incoming[RAFT_MEMBERS_MAX];
    enum quorum_ballot outgoing[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < conf->voter_count; i++) incoming[i] = raft_core_peer(raft, conf->voters[i])->ballot;
    for (uint32_t i = 0; i < conf->outgoing_count; i++) outgoing[i] = raft_core_peer(raft, conf->outgoing[i])->ballot;
    return quorum_vote_joint(quorum_vote(incoming, conf->voter_count), quorum_vote(outgoing, conf->outgoing_count));
}

static void become_leader(struct raft *raft)
{
    ASSERT(raft->role == RAFT_CANDIDATE && raft->vote == raft->options.self);
    raft->role = RAFT_LEADER;
    raft->leader = raft->options.self;
    raft->transferee = RAFT_NONE;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        progress_lead(&raft->peers[i], raft_log_last(&raft->log), raft->now_ns);
    }
    raft->heartbeat_deadline_ns = raft->now_ns + raft->options.heartbeat_ns;
    raft->lead_index = raft_log_last(&raft->log) + 1;
    /* Thesis 6.4: only after an entry of its own term is committed does a leader know what is committed. */
    raft_core_append(raft, raft->term, RAFT_ENTRY_EMPTY, NULL);
    raft->is_quorum_dirty = true;
}

static void campaign(struct raft *raft, bool is_transfer)
{
    ASSERT(raft->role != RAFT_LEADER && !raft->is_suspect);
    raft_core_set_term(raft, raft->term + 1, raft->options.self);
    raft->role = RAFT_CANDIDATE;
    raft->leader = RAFT_NONE;
    election_reset_timer(raft);
    ask_all(raft, RAFT_MSG_VOTE, raft->term, is_transfer); /* the own ballot counts when it is durable: election_persisted */
}

static void tally(struct raft *raft)
{
    enum quorum_result result = count_ballots(raft);
    if (result == QUORUM_LOST) {
        raft->role = RAFT_FOLLOWER;
    } else if (result == QUORUM_WON && raft->role == RAFT_CANDIDATE) {
        become_leader(raft);
    } else if (result == QUORUM_WON && !raft->is_suspect) {
        campaign(raft, false);
    }
}

static void pre_campaign(struct raft *raft)
{
    ASSERT(raft->role != RAFT_LEADER);
    raft->role = RAFT_PRE_CANDIDATE; /* term and vote stay as they are (thesis 9.6) */
    raft->leader = RAFT_NONE;
    election_reset_timer(raft);
    ask_all(raft, RAFT_MSG_PRE_VOTE, raft->term + 1, false);
    struct progress *self = raft_core_peer(raft, raft->options.self);
    if (self != NULL) self->ballot = QUORUM_YES;
    tally(raft);
}

enum raft_answer election_vote(struct raft *raft, const struct raft_msg *msg)
{
    bool is_question = msg->kind == RAFT_MSG_PRE_VOTE;
    ASSERT(is_question ? msg->term >= raft->term : msg->term == raft->term);
    uint64_t last = raft_log_last(&raft->log);
    uint64_t last_term = raft_log_last_term(&raft->log);
    bool is_free = MUTANT(D5) || raft->vote == msg->from || (raft->vote == RAFT_NONE && raft->leader == RAFT_NONE) ||
                   (is_question && msg->term > raft->term);
    if (MUTANT(P5) && !raft_is_voter(raft_core_conf(raft), raft->options.self)) is_free = false;
    bool is_complete = MUTANT(D4) || reaches(msg->log_term, msg->index, last_term, last); /* thesis 3.6.1 */
    if (raft->is_suspect && !MUTANT(D12)) {
        is_complete = is_complete && reaches(msg->log_term, msg->index, raft->suspect_term, raft->suspect_index);
    }
    bool is_granted = is_free && is_complete;
    struct raft_msg answer = raft_core_message(
        raft, is_question ? RAFT_MSG_PRE_VOTE_ANSWER : RAFT_MSG_VOTE_ANSWER, msg->from);
    answer.reject = !is_granted;
    election_tell_position(raft, &answer);
    answer.round = msg->round;
    if (is_granted && is_question) answer.term = msg->term; /* so that it is not taken for one of an older term */
    if (is_granted && !is_question) {
        if (raft->vote == RAFT_NONE) raft_core_set_term(raft, raft->term, msg->from);
        raft->role = RAFT_FOLLOWER; /* it may have been asking itself */
        election_reset_timer(raft);
    }
    raft_core_send(raft, &answer, 0);
    return RAFT_OK;
}

enum raft_answer election_vote_answer(struct raft *raft, const struct raft_msg *msg)
{
    bool is_question = msg->kind == RAFT_MSG_PRE_VOTE_ANSWER;
    struct progress *peer = raft_core_peer(raft, msg->from);
    if (peer == NULL || raft->role != (is_question ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE)) return RAFT_IGNORED;
    if (is_question && !msg->reject && msg->term != raft->term + 1) return RAFT_IGNORED;
    if (peer->ballot == QUORUM_SILENT) peer->ballot = msg->reject ? QUORUM_NO : QUORUM_YES;
    tally(raft);
    return RAFT_OK;
}

void election_persisted(struct raft *raft)
{
    if (raft->role != RAFT_CANDIDATE || !raft_core_hard_is_durable(raft)) return;
    struct progress *self = raft_core_peer(raft, raft->options.self);
    if (self == NULL || self->ballot != QUORUM_SILENT) return;
    self->ballot = QUORUM_YES;
    tally(raft);
}

enum raft_answer election_timeout_now(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(msg->term == raft->term);
    if (raft->role != RAFT_FOLLOWER || !may_campaign(raft) || raft->is_suspect) return RAFT_IGNORED;
    campaign(raft, true); /* thesis 3.10: as if its election timer had elapsed */
    return RAFT_OK;
}

enum raft_answer election_peer_died(struct raft *raft, uint64_t peer)
{
    if (raft->role != RAFT_FOLLOWER || raft->leader != peer || raft->died_term == raft->term) return RAFT_IGNORED;
    raft->died_term = raft->term; /* once per term: a leader that lives after all is not forgotten again */
    raft->leader = RAFT_NONE;
    raft->election_deadline_ns = raft->now_ns + rng_below(&raft->rng, raft->options.election_timeout_ns / 4 + 1);
    return RAFT_OK;
}

static void time_out(struct raft *raft)
{
    ASSERT(raft->role != RAFT_LEADER);
    if (!may_campaign(raft)) {
        raft->role = RAFT_FOLLOWER;
        raft->leader = RAFT_NONE; /* nobody was heard for a whole timeout */
        election_reset_timer(raft);
    } else if (raft->options.pre_vote || raft->is_suspect) {
        pre_campaign(raft);
    } else {
        campaign(raft, false);
    }
}

void election_tick(struct raft *raft)
{
    if (raft->role != RAFT_LEADER) {
        if (raft->now_ns >= raft->election_deadline_ns) time_out(raft);
        return;
    }
    if (raft->transferee != RAFT_NONE && raft->now_ns >= raft->transfer_deadline_ns) raft->transferee = RAFT_NONE;
    uint64_t timeout_ns = raft->options.election_timeout_ns;
    bool is_deaf = raft->options.check_quorum && !MUTANT(P26) && raft->now_ns >= replication_quorum_heard_ns(raft) + timeout_ns;
    if (is_deaf || raft_core_wal_is_stuck(raft)) { /* thesis 6.2; and nobody should wait for a disk that hangs */
        election_become_follower(raft, raft->term, RAFT_NONE);
    } else if (raft->now_ns >= raft->heartbeat_deadline_ns) {
        raft->is_heartbeat_due = true;
        raft->heartbeat_deadline_ns = raft->now_ns + raft->options.heartbeat_ns;
        /* A leader that cannot write hands over, again and again until somebody takes it. */
        if (raft->has_no_space && raft->transferee == RAFT_NONE) (void)election_transfer(raft, RAFT_NONE);
    }
}

uint64_t election_deadline_ns(const struct raft *raft)
{
    if (raft->role != RAFT_LEADER) return raft->election_deadline_ns;
    uint64_t deadline_ns = raft->heartbeat_deadline_ns;
    if (raft->transferee != RAFT_NONE && raft->transfer_deadline_ns < deadline_ns) deadline_ns = raft->transfer_deadline_ns;
    /* Rounds of reads put the next heartbeat off, and the reads of a leader whose disk hangs go on: that check has a time of its own. A
     * leader that nobody answers has no new rounds: that check is made at each heartbeat. */
    uint64_t wal_ns = raft_core_wal_deadline_ns(raft);
    return wal_ns < deadline_ns ? wal_ns : deadline_ns;
}

static bool is_heard(const struct raft *raft, const struct progress *peer)
{
    return raft->now_ns - peer->heard_ns < raft->options.election_timeout_ns;
}

/* Who should lead next: the most advanced voter of those that answer; of the silent ones if all are. */
static const struct progress *best_heir(const struct raft *raft)
{
    const struct progress *best = NULL;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (peer->id == raft->options.self || !raft_is_voter(raft_core_conf(raft), peer->id)) continue;
        if (peer->state == PROGRESS_SNAPSHOT) continue; /* by far not ready */
        bool is_better = best == NULL || (is_heard(raft, peer) && !is_heard(raft, best)) ||
                         (is_heard(raft, peer) == is_heard(raft, best) && peer->match_index > best->match_index);
        if (is_better) best = peer;
    }
    return best;
}

enum raft_answer election_transfer(struct raft *raft, uint64_t peer)
{
    if (raft->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    const struct progress *target = peer == RAFT_NONE ? best_heir(raft) : raft_core_peer(raft, peer);
    if (target == NULL || target->id == raft->options.self || !raft_is_voter(raft_core_conf(raft), target->id)) {
        return RAFT_IGNORED;
    }
    if (target->state == PROGRESS_SNAPSHOT) return RAFT_IGNORED; /* writes would be refused for longer than a transfer may take */
    if (raft->transferee == target->id) return RAFT_IGNORED;
    raft->transferee = target->id;
    raft->transfer_deadline_ns = raft->now_ns + raft->options.election_timeout_ns; /* thesis 3.10: else it resumes */
    election_transfer_when_ready(raft, target);
    return RAFT_OK;
}

void election_transfer_when_ready(struct raft *raft, const struct progress *peer)
{
    ASSERT(raft->role == RAFT_LEADER);
    if (raft->transferee != peer->id || peer->match_index != raft_log_last(&raft->log)) return;
    struct raft_msg msg = raft_core_message(raft, RAFT_MSG_TIMEOUT_NOW, peer->id);
    raft_core_send(raft, &msg, 0);
}

void election_retire(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER);
    const struct progress *heir = best_heir(raft);
    if (heir != NULL) { /* it holds the committed configuration at best, and saves the others a timeout */
        struct raft_msg msg = raft_core_message(raft, RAFT_MSG_TIMEOUT_NOW, heir->id);
        raft_core_send(raft, &msg, 0);
    }
    election_become_follower(raft, raft->term, RAFT_NONE);
}
