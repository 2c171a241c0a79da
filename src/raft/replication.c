/* replication: see replication.h.
 *
 * A leader probes until it knows where a follower's log agrees with its own, then sends ahead of the acknowledgements, inside a
 * window of messages and bytes. A refusal carries the highest (index, term) at which the follower may still agree; each side skips
 * what the other's terms rule out, so that a probe costs one round trip per term and not per entry (thesis 3.5, end).
 * What is lost shows at the next heartbeat answer: a peer that lacks something gets a message, if need be an empty one, whose
 * answer tells.
 */
#include "raft/replication.h"

#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "raft/election.h"
#include "raft/snapshot.h"

/* ---- Follower ------------------------------------------------------------------------------------------------------- */

/* Bytes of a peer must not stop this member: what no leader sends is ignored. Only the place before the log has term 0. */
static bool is_sound(const struct raft_msg *msg)
{
    uint64_t term = msg->log_term;
    if ((msg->index == 0) != (term == 0) || term > msg->term) return false;
    for (size_t i = 0; i < msg->entry_count; i++) {
        const struct raft_entry *entry = &msg->entries[i];
        if (entry->term == 0 || entry->index != msg->index + 1 + i || entry->term < term || entry->term > msg->term) return false;
        term = entry->term;
        if (entry->kind != RAFT_ENTRY_CONF) continue;
        struct raft_conf conf;
        if (!raft_conf_decode(blob_slice(entry->data), &conf)) return false;
        raft_conf_deinit(&conf);
    }
    return true;
}

static void refuse(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_msg answer = raft_core_message(raft, RAFT_MSG_APPEND_ANSWER, msg->from);
    answer.reject = true;
    answer.index = msg->index;
    answer.hint_index = raft_log_last_within(&raft->log, msg->index, msg->log_term);
    answer.hint_term = raft_log_term(&raft->log, answer.hint_index);
    raft_core_send(raft, &answer, 0);
}

void replication_acknowledge(struct raft *raft, uint64_t leader, uint64_t index)
{
    struct raft_msg answer = raft_core_message(raft, RAFT_MSG_APPEND_ANSWER, leader);
    answer.index = index;
    raft_core_send(raft, &answer, index);
}

static size_t entries_bytes(const struct raft_entry *entries, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += raft_log_entry_bytes(entries[i].data);
    return bytes;
}

/* A follower takes entries behind `matched` (the rest goes) only as fast as its state machine can: what is committed waits in
 * memory. But when nothing that is committed waits, all that fills the tail is uncommitted, which the leader bounds; and then these
 * entries may be the very ones without which nothing is ever committed (thesis 3.6.2): they must be taken. */
static bool may_take(const struct raft *raft, uint64_t matched, const struct raft_entry *fresh, size_t count)
{
    const struct raft_log *log = &raft->log;
    if (raft->has_no_space) return false;
    return log->applied == log->commit || raft_log_has_room(log, matched, entries_bytes(fresh, count));
}

enum raft_answer replication_append(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(msg->term == raft->term);
    if (!is_sound(msg)) return RAFT_IGNORED;
    election_hear_leader(raft, msg->from);
    struct raft_log *log = &raft->log;
    uint64_t last_new = msg->index + msg->entry_count;
    if (last_new <= log->commit) { /* an old message: all of it is committed here, so it agrees */
        replication_acknowledge(raft, msg->from, log->commit);
        return RAFT_OK;
    }
    bool is_unasked = MUTANT(D3) && msg->index <= raft_log_last(log);
    if (msg->index > log->commit && raft_log_term(log, msg->index) != msg->log_term && !is_unasked) {
        refuse(raft, msg);
        return RAFT_OK;
    }
    /* Thesis 3.5: entries that agree stay, so that a late message cannot cut off what a later one brought. */
    size_t known = msg->index < log->commit ? (size_t)(log->commit - msg->index) : 0;
    while (!MUTANT(P11) && known < msg->entry_count && raft_log_term(log, msg->index + 1 + known) == msg->entries[known].term) known++;
    const struct raft_entry *fresh = msg->entries + known;
    size_t fresh_count = msg->entry_count - known;
    uint64_t matched = msg->index + known;
    if (fresh_count > 0 && may_take(raft, matched, fresh, fresh_count)) {
        if (matched < raft_log_last(log)) raft_core_truncate(raft, matched + 1);
        for (size_t i = 0; i < fresh_count; i++) raft_core_append(raft, fresh[i].term, fresh[i].kind, fresh[i].data);
        matched = last_new;
    }
    uint64_t certain = MUTANT(D7) ? raft_log_last(log) : matched;
    raft_core_commit(raft, msg->commit < certain ? msg->commit : certain);
    if (matched == last_new) replication_acknowledge(raft, msg->from, matched); /* else silence: the leader tries again by heartbeat */
    return RAFT_OK;
}

enum raft_answer replication_commit(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(msg->term == raft->term);
    election_hear_leader(raft, msg->from);
    /* The leader bounds it by what it knows to match. A log that lost its damaged tail may be shorter; and where the tail had replaced
     * entries, these stand there again, with the index and not the content that was acknowledged. An entry of the leader's own term is
     * proof (thesis 3.5, log matching); without it the leader is told to look again from what is committed here. */
    uint64_t last = raft_log_last(&raft->log), commit = msg->commit < last ? msg->commit : last;
    bool is_proved = !raft->is_suspect || raft_log_term(&raft->log, commit) == msg->term;
    if (is_proved) {
        raft_core_commit(raft, commit);
    } else if (msg->commit > raft->log.commit) {
        refuse(raft, &(struct raft_msg){.from = msg->from, .index = msg->commit, .log_term = raft_log_term(&raft->log, raft->log.commit)});
    }
    return RAFT_OK;
}

enum raft_answer replication_heartbeat(struct raft *raft, const struct raft_msg *msg)
{
    (void)replication_commit(raft, msg);
    struct raft_msg answer = raft_core_message(raft, RAFT_MSG_HEARTBEAT_ANSWER, msg->from);
    answer.round = msg->round;
    raft_core_send(raft, &answer, 0);
    return RAFT_OK;
}

/* ---- Leader: answers ------------------------------------------------------------------------------------------------ */

enum raft_answer replication_append_answer(struct raft *raft, const struct raft_msg *msg)
{
    struct progress *peer = raft_core_peer(raft, msg->from);
    if (raft->role != RAFT_LEADER || peer == NULL || msg->index > raft_log_last(&raft->log)) return RAFT_IGNORED;
    peer->heard_ns = raft->now_ns;
    if (msg->reject) {
        uint64_t agree = raft_log_last_within(&raft->log, msg->hint_index, msg->hint_term);
        uint64_t start = raft->log.snapshot_index;
        bool was_probe = peer->state == PROGRESS_PROBE; /* its refusal is news; ahead of acknowledgements it may be an old one */
        if (!progress_refuse(peer, msg->index, agree)) return RAFT_IGNORED;
        /* It lacks what is compacted here. Without a snapshot it is asked again at the next heartbeat answer. */
        bool is_behind = was_probe && peer->next_index <= start;
        if (is_behind && !snapshot_serve(raft, peer, start)) peer->is_paused = true;
        return RAFT_OK;
    }
    if (progress_acknowledge(peer, msg->index, raft->now_ns)) {
        raft->is_quorum_dirty = true;
        election_transfer_when_ready(raft, peer);
    }
    if (peer->state == PROGRESS_SNAPSHOT) snapshot_acknowledged(raft, peer);
    return RAFT_OK;
}

enum raft_answer replication_heartbeat_answer(struct raft *raft, const struct raft_msg *msg)
{
    struct progress *peer = raft_core_peer(raft, msg->from);
    if (raft->role != RAFT_LEADER || peer == NULL || msg->round > raft->reads.round) return RAFT_IGNORED;
    peer->heard_ns = raft->now_ns;
    peer->is_paused = false;
    if (peer->match_index < raft_log_last(&raft->log)) peer->is_nudged = true;
    if (msg->round > peer->round_acked) {
        peer->round_acked = msg->round;
        raft->is_quorum_dirty = true;
    }
    return RAFT_OK;
}

enum raft_answer replication_unreachable(struct raft *raft, uint64_t id)
{
    struct progress *peer = raft_core_peer(raft, id);
    if (raft->role != RAFT_LEADER || peer == NULL || id == raft->options.self) return RAFT_IGNORED;
    progress_become_probe(peer);
    return RAFT_OK;
}

/* ---- Leader: proposals and commit ----------------------------------------------------------------------------------- */

static bool conf_may_follow(const struct raft *raft, const struct raft_entry *entry)
{
    struct raft_conf next;
    if (!raft_conf_decode(blob_slice(entry->data), &next)) return false;
    bool is_legal = member_is_legal_change(raft_core_conf(raft), &next);
    raft_conf_deinit(&next);
    return is_legal;
}

static enum raft_answer check_proposals(const struct raft *raft, const struct raft_input *input)
{
    const struct raft_log *log = &raft->log;
    uint64_t last = raft_log_last(log);
    if (raft->transferee != RAFT_NONE || raft->has_no_space || BUGGIFY(PROPOSE_FULL)) return RAFT_FULL;
    size_t bytes = entries_bytes(input->proposals, input->proposal_count);
    size_t waiting = raft_log_bytes(log, log->commit + 1, last);
    if (waiting > 0 && waiting + bytes > raft->options.uncommitted_bytes_max) return RAFT_FULL;
    if (!raft_log_has_room(log, last, bytes)) return RAFT_FULL;
    for (size_t i = 0; i < input->proposal_count; i++) {
        const struct raft_entry *entry = &input->proposals[i];
        if (entry->kind == RAFT_ENTRY_COMMAND) continue;
        ASSERT(entry->kind == RAFT_ENTRY_CONF && input->proposal_count == 1);
        /* One change at a time, and none before an entry of the own term is committed (thesis 4.1; Ongaro's note of 2015). */
        if (member_top(&raft->confs)->index > log->commit && !MUTANT(D11)) return RAFT_FULL;
        if (!replication_has_own_commit(raft) && !MUTANT(P2)) return RAFT_FULL;
        if (!conf_may_follow(raft, entry)) return RAFT_IGNORED;
    }
    return RAFT_OK;
}

enum raft_answer replication_propose(struct raft *raft, const struct raft_input *input)
{
    ASSERT(input->proposal_count > 0 && input->proposals != NULL);
    if (raft->role != RAFT_LEADER) return RAFT_NOT_LEADER;
    enum raft_answer answer = check_proposals(raft, input);
    if (answer != RAFT_OK) return answer;
    for (size_t i = 0; i < input->proposal_count; i++) {
        raft_core_append(raft, raft->term, input->proposals[i].kind, input->proposals[i].data);
    }
    return RAFT_OK;
}

bool replication_has_own_commit(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->log.commit >= raft->lead_index;
}

enum reached_by { REACHED_BY_MATCH, REACHED_BY_HEARD, REACHED_BY_ROUND };

static uint64_t member_value(const struct raft *raft, uint64_t id, enum reached_by which)
{
    bool is_self = id == raft->options.self;
    uint32_t place = raft_core_place(raft, id);
    ASSERT(place < raft->peer_count);
    const struct progress *peer = &raft->peers[place];
    if (MUTANT(P13) && is_self && which == REACHED_BY_MATCH) return raft_log_last(&raft->log);
    switch (which) {
    case REACHED_BY_MATCH: return is_self ? raft->log.durable : peer->match_index; /* the own disk is one of many (10.2.1) */
    case REACHED_BY_HEARD: return is_self ? raft->now_ns : peer->heard_ns;
    case REACHED_BY_ROUND: return is_self ? raft->reads.round : peer->round_acked;
    }
    ASSERT(false);
    return 0;
}

static uint64_t reached(const struct raft *raft, enum reached_by which)
{
    const struct raft_conf *conf = raft_core_conf(raft);
    uint64_t incoming[RAFT_MEMBERS_MAX];
    uint64_t outgoing[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < conf->voter_count; i++) incoming[i] = member_value(raft, conf->voters[i], which);
    for (uint32_t i = 0; i < conf->outgoing_count; i++) outgoing[i] = member_value(raft, conf->outgoing[i], which);
    if (MUTANT(P4) && which == REACHED_BY_MATCH && !raft_is_voter(conf, raft->options.self)) incoming[0] = raft->log.durable;
    return quorum_reached_joint(incoming, conf->voter_count, outgoing, conf->outgoing_count);
}

uint64_t replication_quorum_heard_ns(const struct raft *raft)
{
    return reached(raft, REACHED_BY_HEARD);
}

static void leave_joint(struct raft *raft)
{
    struct raft_conf next;
    member_leave_joint(raft_core_conf(raft), &next);
    struct blob *bytes = raft_conf_encode(&next);
    raft_core_append(raft, raft->term, RAFT_ENTRY_CONF, bytes); /* thesis 4.3: whoever leads ends it */
    blob_unref(bytes);
    raft_conf_deinit(&next);
}

void replication_settle_quorum(struct raft *raft)
{
    while (raft->role == RAFT_LEADER && raft->is_quorum_dirty) {
        raft->is_quorum_dirty = false;
        uint64_t index = reached(raft, REACHED_BY_MATCH);
        ASSERT(index <= raft_log_last(&raft->log));
        /* Thesis 3.6.2: by counting, only entries of the own term; those before come with them. */
        if (index > raft->log.commit && (index >= raft->lead_index || MUTANT(P1))) raft_core_commit(raft, index);
        const struct member_conf *top = member_top(&raft->confs);
        bool is_joint_certain = top->conf.outgoing_count > 0 && top->index <= raft->log.commit;
        if (is_joint_certain && replication_has_own_commit(raft)) leave_joint(raft); /* makes the quorum dirty: once more */
        if (raft->reads.round_count > 0) read_confirm(&raft->reads, reached(raft, REACHED_BY_ROUND));
    }
}

/* ---- Leader: sending ------------------------------------------------------------------------------------------------ */

static void send_append(struct raft *raft, struct progress *peer, uint64_t previous, const struct raft_entry *entries,
                        size_t count)
{
    struct raft_msg msg = raft_core_message(raft, RAFT_MSG_APPEND, peer->id);
    msg.index = previous;
    msg.log_term = raft_log_term(&raft->log, previous);
    msg.commit = raft->log.commit;
    msg.entries = count == 0 ? NULL : entries;
    msg.entry_count = count;
    raft_core_send_now(raft, &msg);
    uint64_t last = previous + count;
    peer->commit_sent = raft->log.commit < last ? raft->log.commit : last;
    peer->is_nudged = false;
}

/* The commit index as far as the peer is known to agree: behind that its log may say something else. */
static uint64_t known_commit(const struct raft *raft, const struct progress *peer)
{
    return raft->log.commit < peer->match_index || MUTANT(D6) ? raft->log.commit : peer->match_index;
}

static void send_commit(struct raft *raft, struct progress *peer)
{
    struct raft_msg msg = raft_core_message(raft, RAFT_MSG_COMMIT, peer->id);
    msg.commit = peer->commit_sent = known_commit(raft, peer);
    raft_core_send_now(raft, &msg);
}

/* How many entries of the tail from `first` on go into one message. */
static size_t batch(const struct raft *raft, uint64_t first, size_t room)
{
    const struct raft_log *log = &raft->log;
    size_t bytes_max = room < raft->options.message_bytes_max ? room : raft->options.message_bytes_max;
    if (BUGGIFY(APPEND_ONE)) return raft_log_fit(log, first, first, bytes_max);
    return raft_log_fit(log, first, raft_log_last(log), bytes_max);
}

/* A probe is asked again with every heartbeat answer until it is answered, and heartbeats go the same road behind it: so it is one that
 * a slow road carries within an election timeout. */
static void send_probe(struct raft *raft, struct progress *peer)
{
    if (peer->is_paused) return;
    /* What is compacted cannot be sent as entries: then the question is whether the peer has all of that. */
    if (peer->next_index <= raft->log.snapshot_index) peer->next_index = raft->log.snapshot_index + 1;
    uint64_t next = peer->next_index;
    size_t count = 0;
    if (next >= raft->log.tail_first && next <= raft_log_last(&raft->log)) {
        count = batch(raft, next, RAFT_PROBE_BYTES_MAX);
        if (count == 0) count = 1; /* a single bigger entry goes alone */
    }
    send_append(raft, peer, next - 1, count == 0 ? NULL : raft_log_entry(&raft->log, next), count);
    peer->is_paused = true;
}

static void start_fetch(struct raft *raft, struct progress *peer, size_t room)
{
    /* The sizes are not known before the read: wait for room that any message fits into. */
    size_t bytes_max = peer->window < raft->options.message_bytes_max ? peer->window : raft->options.message_bytes_max;
    if (peer->is_fetching || (peer->flight_count > 0 && room < bytes_max)) return;
    peer->is_fetching = true;
    peer->state = PROGRESS_FETCH;
    raft->fetches[raft->fetch_count++] = (struct raft_fetch){
        .peer = peer->id,
        .first_index = peer->next_index,
        .last_index = raft->log.tail_first - 1,
        .bytes_max = bytes_max,
    };
}

static void send_fetched(struct raft *raft, struct progress *peer)
{
    if (peer->fetched_count == 0 || peer->is_fetched_sent) return;
    uint64_t first = peer->fetched[0].index;
    if (first <= raft->log.snapshot_index) { /* compacted while they waited: the term before them is gone */
        progress_become_probe(peer);
        return;
    }
    if (first != peer->next_index) { /* an acknowledgement came first */
        progress_release_fetched(peer);
        return;
    }
    size_t bytes = entries_bytes(peer->fetched, peer->fetched_count);
    if (peer->flight_count > 0 && bytes > progress_room(peer)) return; /* a single big one goes alone */
    send_append(raft, peer, first - 1, peer->fetched, peer->fetched_count);
    progress_sent(peer, first - 1 + peer->fetched_count, bytes, raft->now_ns);
    peer->is_fetched_sent = true; /* lent until the next step */
}

/* Under load, what is proposed between two acknowledgements leaves in one message: a message costs each end more than an entry. A
 * message that ends before the log does is full. */
static bool is_held(const struct raft *raft, const struct progress *peer, uint64_t last)
{
    uint32_t partial_max = raft->options.inflight_partial_max;
    return partial_max > 0 && peer->flight_count >= partial_max && last == raft_log_last(&raft->log);
}

static void send_ahead(struct raft *raft, struct progress *peer)
{
    const struct raft_log *log = &raft->log;
    if (peer->fetched_count > 0 && !peer->is_fetched_sent) return;
    while (peer->state == PROGRESS_REPLICATE && peer->next_index <= raft_log_last(log)) {
        uint64_t next = peer->next_index;
        size_t room = progress_room(peer);
        if (room == 0) break;
        if (next < log->tail_first) {
            start_fetch(raft, peer, room);
            break;
        }
        size_t count = batch(raft, next, room);
        if (count == 0 && peer->flight_count > 0) break;
        if (count == 0) count = 1;
        if (is_held(raft, peer, next - 1 + count)) break;
        send_append(raft, peer, next - 1, raft_log_entry(log, next), count);
        progress_sent(peer, next - 1 + count, raft_log_bytes(log, next, next - 1 + count), raft->now_ns);
    }
}

static void send_to(struct raft *raft, struct progress *peer)
{
    /* Compacted under its feet: a full window must not hide that, since what was in it may be lost. */
    if (peer->state == PROGRESS_REPLICATE && peer->next_index <= raft->log.snapshot_index) progress_become_probe(peer);
    if (peer->state == PROGRESS_PROBE) {
        send_probe(raft, peer);
        return;
    }
    if (peer->state == PROGRESS_SNAPSHOT) {
        snapshot_send(raft, peer);
        return;
    }
    send_fetched(raft, peer);
    send_ahead(raft, peer);
    if (peer->state == PROGRESS_PROBE || peer->next_index <= raft->log.snapshot_index) return;
    if (peer->is_nudged) send_append(raft, peer, peer->next_index - 1, NULL, 0);
    bool is_held_back = peer->state == PROGRESS_REPLICATE && peer->next_index <= raft_log_last(&raft->log);
    if (known_commit(raft, peer) > peer->commit_sent && !is_held_back) send_commit(raft, peer); /* else the next message tells it */
}

static void send_heartbeat(struct raft *raft, const struct progress *peer)
{
    struct raft_msg msg = raft_core_message(raft, RAFT_MSG_HEARTBEAT, peer->id);
    msg.commit = known_commit(raft, peer);
    msg.round = raft->reads.round;
    raft_core_send_now(raft, &msg);
}

void replication_send_all(struct raft *raft)
{
    ASSERT(raft->role == RAFT_LEADER && raft_core_hard_is_durable(raft));
    bool has_round = (replication_has_own_commit(raft) || MUTANT(P8)) && read_start(&raft->reads, raft->log.commit, raft->now_ns);
    bool is_heartbeat = raft->is_heartbeat_due || has_round;
    if (MUTANT(P10) && has_round) read_confirm(&raft->reads, raft->reads.round);
    /* A leader that nobody answers looks at that with its heartbeat (election_tick): no more than one round puts it off. */
    bool is_first = raft->is_heartbeat_due || raft->reads.round_count == 1;
    if (is_heartbeat && is_first) raft->heartbeat_deadline_ns = raft->now_ns + raft->options.heartbeat_ns;
    raft->is_heartbeat_due = false;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct progress *peer = &raft->peers[i];
        if (peer->id == raft->options.self) continue;
        send_to(raft, peer);
        if (is_heartbeat) send_heartbeat(raft, peer);
    }
    if (has_round) { /* alone, it is a majority at once */
        raft->is_quorum_dirty = true;
        replication_settle_quorum(raft);
    }
}

enum raft_answer replication_fetched(struct raft *raft, const struct raft_input *input)
{
    struct progress *peer = raft_core_peer(raft, input->peer);
    if (peer == NULL || !peer->is_fetching) return RAFT_IGNORED;
    peer->is_fetching = false;
    if (raft->role != RAFT_LEADER || peer->state != PROGRESS_FETCH) return RAFT_IGNORED;
    peer->state = PROGRESS_REPLICATE;
    if (input->entry_count > 0 && input->entries[0].index != peer->next_index) return RAFT_IGNORED; /* it moved on meanwhile */
    bool is_sound = input->entry_count > 0;
    for (size_t i = 0; i < input->entry_count; i++) {
        uint64_t index = peer->next_index + i;
        const struct raft_entry *entry = &input->entries[i];
        is_sound = is_sound && entry->index == index && entry->term == raft_log_term(&raft->log, index);
    }
    if (is_sound) {
        progress_keep_fetched(peer, input->entries, input->entry_count);
    } else {
        uint64_t lost_index = peer->next_index;
        progress_become_probe(peer);
        if (!snapshot_serve(raft, peer, lost_index)) peer->is_paused = true; /* tried again at the next heartbeat answer */
    }
    return RAFT_OK;
}
