/* raft: inputs are dispatched here, outputs put together. See raft.h for the contract and raft_core.h for the state.
 *
 * What may leave when. A message may leave when the term and vote under which it was made are durable, and an acknowledgement when
 * the entries are, too: so says the thesis in 3.8. Here every answer is held with what it needs and at each output
 *   - leaves at once, if that is durable already,
 *   - rides with the append of this very output (messages_after), if that makes it durable,
 *   - stays held, if an earlier append which is still on its way makes it durable: then it leaves after that one's PERSISTED.
 * It is dropped when the term changes. A leader speaks for itself (appends, heartbeats) only once its term and vote are durable,
 * and then at once: its entries reach the followers while its own disk still works (10.2.1).
 */
#include "raft/raft.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "raft/election.h"
#include "raft/raft_core.h"
#include "raft/replication.h"
#include "raft/snapshot.h"

static bool options_are_valid(const struct raft_options *options)
{
    if (options->self == RAFT_NONE || options->heartbeat_ns == 0) return false;
    if (options->election_timeout_ns < 2 * options->heartbeat_ns) return false; /* thesis 3.9: broadcast ≪ election */
    if (options->inflight_messages_max == 0 || options->message_bytes_max == 0) return false;
    if (options->inflight_bytes_max < options->message_bytes_max) return false;
    return options->tail_bytes_max > 0 && options->uncommitted_bytes_max > 0 && options->apply_bytes_max > 0;
}

static bool raft_is_valid(const struct raft *raft)
{
    if (!raft_log_is_valid(&raft->log) || raft->persisted_sequence > raft->sequence) return false;
    if (raft_log_last_term(&raft->log) > raft->term) return false;
    if (raft->role == RAFT_LEADER && (raft->leader != raft->options.self || raft->vote != raft->options.self)) return false;
    if (raft->role == RAFT_CANDIDATE && raft->vote != raft->options.self) return false;
    if (raft->role != RAFT_LEADER && raft->reads.count > 0) return false;
    return raft->role == RAFT_FOLLOWER || raft->role == RAFT_LEADER || raft->leader == RAFT_NONE;
}

struct raft *raft_new(const struct raft_options *options, const struct raft_restore *restore, uint64_t now_ns)
{
    ASSERT(options_are_valid(options));
    struct raft *raft = ALLOC(struct raft);
    raft->options = *options;
    raft->now_ns = raft->wal_progress_ns = now_ns;
    rng_init(&raft->rng, options->seed);
    raft_log_init(&raft->log, restore, options->tail_bytes_max);
    member_init(&raft->confs, &restore->conf, restore->applied_index);
    read_init(&raft->reads);
    raft->term = restore->hard.term;
    raft->vote = restore->hard.vote;
    raft->is_suspect = restore->suspect_index > 0;
    raft->suspect_index = restore->suspect_index;
    raft->suspect_term = restore->suspect_term;
    for (size_t i = 0; i < restore->entry_count; i++) {
        const struct raft_entry *entry = &restore->entries[i];
        if (entry->kind != RAFT_ENTRY_CONF || entry->index <= restore->applied_index) continue;
        struct raft_conf conf;
        bool is_sound = raft_conf_decode(blob_slice(entry->data), &conf);
        ASSERT(is_sound);
        member_push(&raft->confs, entry->index, &conf);
        raft_conf_deinit(&conf);
    }
    member_prune(&raft->confs, raft->log.commit);
    raft_core_conf_changed(raft);
    raft->has_conf_changed = false;
    raft->told = (struct raft_core_told){.term = raft->term};
    election_settle_suspect(raft);
    election_reset_timer(raft);
    if (member_is_only_voter(raft_core_conf(raft), options->self)) {
        ASSERT(!raft->is_suspect); /* there is nobody to ask; the log was cut openly */
        raft->election_deadline_ns = now_ns; /* nobody else could be leader: it need not wait */
    }
    ASSERT(raft_is_valid(raft));
    return raft;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL) return;
    for (uint32_t i = 0; i < raft->peer_count; i++) progress_deinit(&raft->peers[i]);
    member_deinit(&raft->confs);
    raft_log_deinit(&raft->log);
    read_deinit(&raft->reads);
    raft_conf_deinit(&raft->install_conf);
    alloc_free(raft->held);
    alloc_free(raft->messages.items);
    alloc_free(raft->messages_after.items);
    alloc_free(raft);
}

#define TERM_MAX (UINT64_MAX / 2) /* no cluster gets there; beyond, a garbled message could make terms wrap */

/* ---- Inputs --------------------------------------------------------------------------------------------------------- */

static bool is_vote_request(const struct raft_msg *msg)
{
    return msg->kind == RAFT_MSG_VOTE || msg->kind == RAFT_MSG_PRE_VOTE;
}

static bool is_from_leader(const struct raft_msg *msg)
{
    bool is_log = msg->kind == RAFT_MSG_APPEND || msg->kind == RAFT_MSG_COMMIT || msg->kind == RAFT_MSG_SNAPSHOT;
    return is_log || msg->kind == RAFT_MSG_HEARTBEAT;
}

/* Requests of an older term are refused with the own term, so that the sender learns it: that ends a deposed leader, and it frees a
 * candidate whose term ran ahead while the others had a leader (its refusal deposes that one, and all meet in the higher term). */
static enum raft_answer step_older_term(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(msg->term < raft->term);
    bool is_request = (is_from_leader(msg) && !MUTANT(P6)) || is_vote_request(msg);
    if (!is_request) return RAFT_IGNORED;
    enum raft_msg_kind kind = RAFT_MSG_APPEND_ANSWER;
    if (msg->kind == RAFT_MSG_PRE_VOTE) kind = RAFT_MSG_PRE_VOTE_ANSWER;
    if (msg->kind == RAFT_MSG_VOTE) kind = RAFT_MSG_VOTE_ANSWER;
    struct raft_msg answer = raft_core_message(raft, kind, msg->from);
    answer.reject = true;
    if (is_vote_request(msg)) {
        election_tell_position(raft, &answer);
        answer.round = msg->round;
    }
    raft_core_send(raft, &answer, 0);
    return RAFT_IGNORED;
}

static enum raft_answer step_message(struct raft *raft, const struct raft_msg *msg)
{
    if (msg->from == RAFT_NONE || msg->from == raft->options.self || msg->to != raft->options.self) return RAFT_IGNORED;
    if (msg->term > TERM_MAX) return RAFT_IGNORED;
    if (msg->kind == RAFT_MSG_PRE_VOTE_ANSWER) election_hear_position(raft, msg);
    if (msg->term < raft->term) return step_older_term(raft, msg);
    if (msg->term > raft->term) {
        if (is_vote_request(msg) && !msg->transfer && election_has_lease(raft)) return RAFT_IGNORED; /* thesis 4.2.3 */
        /* A pre-vote names a term that nobody has entered (9.6). */
        bool is_future = msg->kind == RAFT_MSG_PRE_VOTE || (msg->kind == RAFT_MSG_PRE_VOTE_ANSWER && !msg->reject);
        if (!is_future) election_become_follower(raft, msg->term, is_from_leader(msg) ? msg->from : RAFT_NONE);
    }
    switch (msg->kind) {
    case RAFT_MSG_PRE_VOTE:
    case RAFT_MSG_VOTE: return election_vote(raft, msg);
    case RAFT_MSG_PRE_VOTE_ANSWER:
    case RAFT_MSG_VOTE_ANSWER: return election_vote_answer(raft, msg);
    case RAFT_MSG_APPEND: return replication_append(raft, msg);
    case RAFT_MSG_APPEND_ANSWER: return replication_append_answer(raft, msg);
    case RAFT_MSG_HEARTBEAT: return replication_heartbeat(raft, msg);
    case RAFT_MSG_HEARTBEAT_ANSWER: return replication_heartbeat_answer(raft, msg);
    case RAFT_MSG_TIMEOUT_NOW: return election_timeout_now(raft, msg);
    case RAFT_MSG_COMMIT: return replication_commit(raft, msg);
    case RAFT_MSG_SNAPSHOT: return snapshot_hear(raft, msg);
    case RAFT_MSG_FORWARD:
    case RAFT_MSG_REFUSED:
    case RAFT_MSG_READ_INDEX:
    case RAFT_MSG_READ_ANSWER:
    case RAFT_MSG_CHUNK_GET:
    case RAFT_MSG_CHUNK: break; /* the role's own */
    }
    return RAFT_IGNORED;
}

static enum raft_answer step_persisted(struct raft *raft, uint64_t sequence)
{
    ASSERT(sequence <= raft->sequence);
    if (sequence <= raft->persisted_sequence) return RAFT_IGNORED;
    bool is_known = raft_log_persisted(&raft->log, sequence);
    ASSERT(is_known);
    raft->persisted_sequence = sequence;
    raft->wal_progress_ns = raft->now_ns;
    raft->is_quorum_dirty = true;
    election_persisted(raft);
    return RAFT_OK;
}

static enum raft_answer step_applied(struct raft *raft, uint64_t index)
{
    ASSERT(index <= raft->log.handed);
    if (index <= raft->log.applied) return RAFT_IGNORED;
    raft_log_apply(&raft->log, index);
    return RAFT_OK;
}

static enum raft_answer step_no_space(struct raft *raft, bool flag)
{
    bool is_new = flag && !raft->has_no_space;
    raft->has_no_space = flag;
    if (is_new && raft->role == RAFT_LEADER) (void)election_transfer(raft, RAFT_NONE);
    return RAFT_OK;
}

static enum raft_answer step_read(struct raft *raft, uint64_t context)
{
    return raft->role == RAFT_LEADER ? read_add(&raft->reads, context) : RAFT_NOT_LEADER;
}

static void release_output(struct raft *raft)
{
    if (!raft->is_output_taken) return;
    raft->is_output_taken = false;
    read_forget_output(&raft->reads);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].is_fetched_sent) progress_release_fetched(&raft->peers[i]);
    }
}

static enum raft_answer dispatch(struct raft *raft, const struct raft_input *input)
{
    switch (input->kind) {
    case RAFT_IN_TICK: election_tick(raft); return RAFT_OK;
    case RAFT_IN_MESSAGE: return step_message(raft, &input->message);
    case RAFT_IN_PROPOSE: return replication_propose(raft, input);
    case RAFT_IN_READ: return step_read(raft, input->context);
    case RAFT_IN_PERSISTED: return step_persisted(raft, input->sequence);
    case RAFT_IN_APPLIED: return step_applied(raft, input->index);
    case RAFT_IN_FETCHED: return replication_fetched(raft, input);
    case RAFT_IN_TRANSFER: return election_transfer(raft, input->peer);
    case RAFT_IN_UNREACHABLE: return replication_unreachable(raft, input->peer);
    case RAFT_IN_PEER_DIED: return election_peer_died(raft, input->peer);
    case RAFT_IN_NO_SPACE: return step_no_space(raft, input->flag);
    case RAFT_IN_INSTALL: return snapshot_install(raft, input);
    }
    ASSERT(false);
    return RAFT_IGNORED;
}

enum raft_answer raft_step(struct raft *raft, const struct raft_input *input)
{
    ASSERT(input->now_ns >= raft->now_ns);
    release_output(raft);
    raft->now_ns = input->now_ns;
    uint64_t commit = raft->log.commit;
    enum raft_answer answer = dispatch(raft, input);
    if (raft->is_quorum_dirty) replication_settle_quorum(raft);
    ASSERT(raft->log.commit >= commit);
    ASSERT(raft_is_valid(raft));
    return answer;
}

/* ---- Output --------------------------------------------------------------------------------------------------------- */

static void take_leader(struct raft *raft)
{
    if (raft->role != RAFT_LEADER || !raft_core_hard_is_durable(raft)) return;
    replication_send_all(raft);
    const struct member_conf *top = member_top(&raft->confs);
    bool is_removed = !raft_is_voter(&top->conf, raft->options.self) && top->index <= raft->log.commit;
    if (is_removed) election_retire(raft); /* after the commit index has left for the others */
}

/* An acknowledgement that is late may never come. */
static bool is_about_to_acknowledge(const struct raft *raft, const struct progress *peer)
{
    return peer->flight_count > 0 && raft->now_ns - peer->flights[peer->flight_head].sent_ns < raft->options.heartbeat_ns;
}

/* What the leader alone has is committed nowhere (thesis 10.2.1: its disk is one of many). So under load its disk need not be ahead of all others:
 * it gets in one batch what came until the first of them has more than it, as they get theirs. With little on its way it starts at once,
 * since then the two disks' times would add up. */
static bool is_waiting_for_others(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    const struct raft_conf *conf = raft_core_conf(raft);
    uint32_t least = raft->options.own_wait_entries_min;
    uint64_t last = raft_log_last(log);
    bool is_loaded = least > 0 && last - log->commit >= least && raft_log_bytes(log, log->unsent, last) < RAFT_OWN_WAIT_BYTES_MAX;
    if (raft->role != RAFT_LEADER || conf->voter_count < 2 || !is_loaded) return false;
    bool is_near = MUTANT(D134);
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (peer->id == raft->options.self) continue;
        if (peer->match_index >= log->unsent && !MUTANT(D134)) return false;
        is_near = is_near || is_about_to_acknowledge(raft, peer);
    }
    return is_near;
}

static void take_persist(struct raft *raft)
{
    struct raft_log *log = &raft->log;
    uint64_t last = raft_log_last(log);
    bool has_entries = log->unsent <= last && !is_waiting_for_others(raft);
    bool has_news = raft->hard_sequence == UINT64_MAX || raft->has_install || has_entries;
    if (!has_news || log->append_count == RAFT_APPENDS_MAX) return;
    struct raft_output *output = &raft->output;
    output->persist = true;
    output->sequence = ++raft->sequence;
    output->hard = (struct raft_hard_state){.term = raft->term, .vote = raft->vote, .commit = log->commit};
    if (log->unsent <= last) {
        output->entries = raft_log_entry(log, log->unsent);
        output->entry_count = (size_t)(last + 1 - log->unsent);
    }
    if (raft->hard_sequence == UINT64_MAX) raft->hard_sequence = raft->sequence;
    snapshot_take_install(raft);
    raft_log_sent(log, raft->sequence, raft->now_ns);
}

static void take_held(struct raft *raft)
{
    size_t kept = 0;
    for (size_t i = 0; i < raft->held_count; i++) {
        struct raft_core_held *held = &raft->held[i];
        uint64_t needed = held->ack_index == 0 || MUTANT(D1) ? 0 : raft_log_sequence_of(&raft->log, held->ack_index);
        if (raft->hard_sequence > needed && !MUTANT(P14)) needed = raft->hard_sequence;
        if (needed <= raft->persisted_sequence && !BUGGIFY(ACK_LATE)) {
            raft_core_push_message(&raft->messages, &held->msg);
        } else if (raft->output.persist && needed == raft->sequence) {
            raft_core_push_message(&raft->messages_after, &held->msg);
        } else {
            held->is_fresh = false;
            raft->held[kept++] = *held;
        }
    }
    raft->held_count = kept;
}

static void take_committed(struct raft *raft)
{
    struct raft_log *log = &raft->log;
    uint64_t end = log->commit < log->durable || MUTANT(P13) || MUTANT(D2) ? log->commit : log->durable;
    if (log->handed >= end) return;
    size_t outstanding = raft_log_bytes(log, log->applied + 1, log->handed);
    size_t room = outstanding < raft->options.apply_bytes_max ? raft->options.apply_bytes_max - outstanding : 0;
    size_t count = raft_log_fit(log, log->handed + 1, end, room);
    if ((count == 0 && outstanding == 0) || (count > 1 && BUGGIFY(APPLY_ONE))) count = 1;
    if (count == 0) return;
    raft->output.committed = raft_log_entry(log, log->handed + 1);
    raft->output.committed_count = count;
    log->handed += count;
    ASSERT(log->handed <= end);
}

static void take_rest(struct raft *raft)
{
    struct raft_output *output = &raft->output;
    output->messages = raft->messages.items;
    output->message_count = raft->messages.count;
    output->messages_after = raft->messages_after.items;
    output->message_after_count = raft->messages_after.count;
    output->reads = raft->reads.confirmed;
    output->read_count = raft->reads.confirmed_count;
    output->reads_lost = raft->reads.lost;
    output->read_lost_count = raft->reads.lost_count;
    output->fetches = raft->fetches;
    output->fetch_count = raft->fetch_count;
    output->conf_changed = raft->has_conf_changed;
    raft->has_conf_changed = false;
    struct raft_core_told now = {.term = raft->term, .leader = raft->leader, .role = raft->role};
    output->leader_changed =
        now.term != raft->told.term || now.leader != raft->told.leader || now.role != raft->told.role;
    raft->told = now;
}

const struct raft_output *raft_take_output(struct raft *raft, uint64_t now_ns)
{
    ASSERT(now_ns >= raft->now_ns);
    release_output(raft);
    raft->now_ns = now_ns;
    raft->output = (struct raft_output){.persist = false};
    raft->messages.count = 0;
    raft->messages_after.count = 0;
    raft->fetch_count = 0;
    take_leader(raft);
    take_persist(raft);
    take_held(raft);
    take_committed(raft);
    snapshot_take_offer(raft);
    take_rest(raft);
    raft->is_output_taken = true;
    ASSERT(raft_is_valid(raft));
    return &raft->output;
}

/* ---- Questions ------------------------------------------------------------------------------------------------------ */

uint64_t raft_deadline_ns(const struct raft *raft)
{
    return election_deadline_ns(raft);
}

void raft_get_status(const struct raft *raft, struct raft_status *out_status)
{
    const struct raft_log *log = &raft->log;
    *out_status = (struct raft_status){
        .role = raft->role,
        .term = raft->term,
        .vote = raft->vote,
        .leader = raft->leader,
        .commit_index = log->commit,
        .applied_index = log->applied,
        .durable_index = log->durable,
        .last_index = raft_log_last(log),
        .first_index = log->snapshot_index + 1,
        .tail_first_index = log->tail_first,
        .tail_bytes = raft_log_bytes(log, log->tail_first, raft_log_last(log)),
        .transferee = raft->transferee,
        .is_suspect = raft->is_suspect,
        .has_own_commit = replication_has_own_commit(raft),
    };
}

const struct raft_conf *raft_conf(const struct raft *raft)
{
    return raft_core_conf(raft);
}

bool raft_peer_match(const struct raft *raft, uint64_t peer, uint64_t *out_match_index)
{
    uint32_t place = raft_core_place(raft, peer);
    if (raft->role != RAFT_LEADER || place == raft->peer_count) return false;
    *out_match_index = peer == raft->options.self ? raft->log.durable : raft->peers[place].match_index;
    return true;
}

uint64_t raft_term_at(const struct raft *raft, uint64_t index)
{
    return raft_log_term(&raft->log, index);
}

void raft_compact(struct raft *raft, uint64_t index)
{
    release_output(raft);
    raft_log_compact(&raft->log, index);
    ASSERT(raft_is_valid(raft));
}
