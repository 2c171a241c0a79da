/* raft_core: see raft_core.h. */
#include "raft/raft_core.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "raft/election.h"

enum { MESSAGES_MIN = 16 };

uint32_t raft_core_place(const struct raft *raft, uint64_t id)
{
    uint32_t place = 0;
    while (place < raft->peer_count && raft->peers[place].id != id) place++;
    ASSERT(place <= RAFT_MEMBERS_MAX);
    return place;
}

struct raft_msg raft_core_message(const struct raft *raft, enum raft_msg_kind kind, uint64_t to)
{
    ASSERT(to != RAFT_NONE && to != raft->options.self);
    return (struct raft_msg){.kind = kind, .from = raft->options.self, .to = to, .term = raft->term};
}

void raft_core_send(struct raft *raft, const struct raft_msg *msg, uint64_t ack_index)
{
    ASSERT(msg->entry_count == 0); /* it may wait longer than entries are lent */
    ASSERT(ack_index <= raft_log_last(&raft->log));
    if (raft->held_count > 0 && ack_index > 0) { /* of several acknowledgements in one step the last says all */
        struct raft_core_held *last = &raft->held[raft->held_count - 1];
        bool is_same = last->msg.kind == msg->kind && last->msg.to == msg->to && !last->msg.reject && !msg->reject;
        if (is_same && last->is_fresh && last->ack_index <= ack_index) {
            *last = (struct raft_core_held){.msg = *msg, .ack_index = ack_index, .is_fresh = true};
            return;
        }
    }
    if (raft->held_count == RAFT_CORE_HELD_MAX) return; /* lost, as on a network */
    if (raft->held_count == raft->held_capacity) {
        raft->held_capacity = raft->held_capacity == 0 ? MESSAGES_MIN : raft->held_capacity * 2;
        raft->held = alloc_resize(raft->held, raft->held_capacity * sizeof(*raft->held));
    }
    raft->held[raft->held_count++] = (struct raft_core_held){.msg = *msg, .ack_index = ack_index, .is_fresh = true};
}

void raft_core_push_message(struct raft_core_messages *messages, const struct raft_msg *msg)
{
    ASSERT(messages->count <= messages->capacity);
    if (messages->count == messages->capacity) {
        messages->capacity = messages->capacity == 0 ? MESSAGES_MIN : messages->capacity * 2;
        messages->items = alloc_resize(messages->items, messages->capacity * sizeof(*messages->items));
    }
    messages->items[messages->count++] = *msg;
}

void raft_core_send_now(struct raft *raft, const struct raft_msg *msg)
{
    ASSERT(raft->role == RAFT_LEADER && raft_core_hard_is_durable(raft));
    raft_core_push_message(&raft->messages, msg);
}

bool raft_core_hard_is_durable(const struct raft *raft)
{
    return raft->hard_sequence <= raft->persisted_sequence;
}

uint64_t raft_core_wal_deadline_ns(const struct raft *raft)
{
    const struct raft_log *log = &raft->log;
    if (log->append_count == 0 || MUTANT(P27)) return UINT64_MAX;
    uint64_t since_ns = log->appends[log->append_head].since_ns;
    if (raft->wal_progress_ns > since_ns) since_ns = raft->wal_progress_ns;
    ASSERT(since_ns <= raft->now_ns);
    return since_ns + raft->options.election_timeout_ns;
}

bool raft_core_wal_is_stuck(const struct raft *raft) { return raft->now_ns >= raft_core_wal_deadline_ns(raft); }

void raft_core_set_term(struct raft *raft, uint64_t term, uint64_t vote)
{
    ASSERT(term > raft->term || (term == raft->term && raft->vote == RAFT_NONE)); /* one vote per term (thesis 3.4) */
    if (term > raft->term) raft->held_count = 0; /* nobody wants answers of an older term */
    raft->term = term;
    raft->vote = vote;
    raft->hard_sequence = UINT64_MAX;
}

/* Progress of members that stay is kept. A new member is heard "now", so that it does not count as silent at once. */
static void update_peers(struct raft *raft)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    uint32_t count = member_ids(raft_core_conf(raft), ids);
    struct progress next[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        struct progress *known = raft_core_peer(raft, ids[i]);
        if (known != NULL) {
            next[i] = *known;
            known->id = RAFT_NONE; /* moved */
        } else {
            progress_init(&next[i], ids[i], &raft->options);
            progress_lead(&next[i], raft_log_last(&raft->log), raft->now_ns);
        }
    }
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id != RAFT_NONE) progress_deinit(&raft->peers[i]);
    }
    if (count > 0) memcpy(raft->peers, next, count * sizeof(*next));
    raft->peer_count = count;
}

void raft_core_conf_changed(struct raft *raft)
{
    update_peers(raft);
    raft->has_conf_changed = true;
    raft->is_quorum_dirty = true;
    bool is_target_gone = raft->transferee != RAFT_NONE && !raft_is_voter(raft_core_conf(raft), raft->transferee);
    if (is_target_gone) raft->transferee = RAFT_NONE;
}

void raft_core_append(struct raft *raft, uint64_t term, enum raft_entry_kind kind, struct blob *data)
{
    ASSERT(term >= raft_log_last_term(&raft->log) && term <= raft->term);
    raft_log_push(&raft->log, term, kind, data);
    if (kind != RAFT_ENTRY_CONF || (MUTANT(P3) && raft->role != RAFT_LEADER)) return;
    struct raft_conf conf;
    bool is_sound = raft_conf_decode(blob_slice(data), &conf);
    ASSERT(is_sound);
    member_push(&raft->confs, raft_log_last(&raft->log), &conf);
    raft_conf_deinit(&conf);
    raft_core_conf_changed(raft);
}

void raft_core_truncate(struct raft *raft, uint64_t from)
{
    ASSERT(raft->role != RAFT_LEADER); /* a leader never changes its own log (thesis 3.5) */
    raft_log_truncate(&raft->log, from);
    if (!MUTANT(D9) && member_rollback(&raft->confs, from)) raft_core_conf_changed(raft);
}

void raft_core_commit(struct raft *raft, uint64_t index)
{
    ASSERT(index <= raft_log_last(&raft->log));
    if (index <= raft->log.commit) return;
    raft->log.commit = index;
    member_prune(&raft->confs, index);
    election_settle_suspect(raft);
}
