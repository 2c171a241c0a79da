/* raft_calls: writes on their way into the log, on the member that received them, and forwards that others sent to us as leader. */
#include "base/clock.h"
#include "base/mutant.h"
#include "pipeline/raft_actor.h"
#include "storage/command.h"

static void refuse_all(struct raft_actor *role, struct list *calls, enum err err)
{
    while (!list_is_empty(calls)) {
        struct pending_call *call = LIST_ENTRY(calls->next, struct pending_call, queue);
        raft_calls_fail(role, pending_remove(&role->pending, call), err);
    }
}

void raft_calls_fail(struct raft_actor *role, uint64_t call, enum err err)
{
    ASSERT(err != ERR_OK);
    struct mail mail = {.kind = MAIL_FAIL, .fail = {.call = call, .err = err}};
    lane_must_post(role->lanes.to_net, &mail);
    METRIC_ADD(&role->shared->metrics, proposals_failed, 1);
}

/* A command of the member's own: proposed or forwarded now, or dropped (whoever wants it asks again). */
static void propose_internal(struct raft_actor *role, struct blob *command)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = command};
    if (status.role == RAFT_LEADER) {
        struct raft_input input = {
            .kind = RAFT_IN_PROPOSE, .now_ns = role->now_ns, .proposals = &entry, .proposal_count = 1};
        (void)raft_step(role->raft, &input);
    } else if (status.leader != RAFT_NONE) {
        struct raft_msg msg = {.kind = RAFT_MSG_FORWARD, .from = role->self, .to = status.leader, .term = status.term,
                               .round = role->next_id++, .entries = &entry, .entry_count = 1};
        raft_actor_send_call(role, &msg);
    }
}

/* Whoever led in that term and leads no more knows nothing of renewals since. */
void raft_calls_say_of_leases(struct raft_actor *role, struct blob *command, uint64_t term)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    ASSERT(term > 0 && term <= status.term);
    if ((status.role == RAFT_LEADER && status.term == term) || MUTANT(P25)) propose_internal(role, command);
    blob_unref(command);
}

void raft_calls_propose(struct raft_actor *role, uint64_t call, struct blob *command)
{
    struct command_id id;
    bool has_id = command_peek_id(blob_slice(command), &id);
    ASSERT(has_id && id.member == role->self && id.boot == role->run_id);
    if (call == 0) {
        propose_internal(role, command);
    } else {
        uint64_t deadline_ns = role->now_ns + role->config->request_timeout_ns;
        if (pending_add(&role->pending, id.counter, call, command, deadline_ns) == NULL) {
            raft_calls_fail(role, call, ERR_TOO_MANY_REQUESTS);
        }
        role->flush_held = true;
    }
    blob_unref(command);
}

/* All held calls as one proposal; they keep their order. */
static void propose_held(struct raft_actor *role)
{
    struct list *held = &role->pending.held;
    while (!list_is_empty(held)) {
        uint32_t count = 0;
        for (struct list *at = held->next; at != held && count < RAFT_ACTOR_MAILS_MAX; at = at->next) {
            struct pending_call *call = LIST_ENTRY(at, struct pending_call, queue);
            role->proposals[count] = (struct raft_entry){.kind = RAFT_ENTRY_COMMAND, .data = call->command};
            role->proposal_calls[count++] = call;
        }
        struct raft_status status;
        raft_get_status(role->raft, &status);
        struct raft_input input = {.kind = RAFT_IN_PROPOSE, .now_ns = role->now_ns, .proposals = role->proposals,
                                   .proposal_count = count};
        enum raft_answer answer = raft_step(role->raft, &input);
        if (answer == RAFT_FULL) {
            /* While leadership is being handed over nothing was proposed: they wait for whoever leads next. */
            if (status.transferee == RAFT_NONE) {
                bool no_space = SHARED_GET(role->shared, no_space);
                refuse_all(role, held, no_space ? ERR_NO_SPACE : ERR_TOO_MANY_REQUESTS);
            }
            return;
        }
        if (answer != RAFT_OK) return;
        for (uint32_t i = 0; i < count; i++) {
            pending_set_proposed(&role->pending, role->proposal_calls[i], status.last_index + 1 + i);
        }
    }
}

/* Held calls to the leader, in forwards of bounded bytes. Each call leaves once; what comes back refused or unsent is held again. */
static void forward_held(struct raft_actor *role, const struct raft_status *status)
{
    struct list *held = &role->pending.held;
    while (!list_is_empty(held)) {
        struct raft_forward *forward = ALLOC(struct raft_forward);
        forward->id = role->next_id++;
        forward->to = status->leader;
        list_init(&forward->calls);
        uint32_t count = 0;
        size_t bytes = 0;
        while (!list_is_empty(held) && count < RAFT_ACTOR_MAILS_MAX && bytes < role->config->message_bytes_max) {
            struct pending_call *call = LIST_ENTRY(held->next, struct pending_call, queue);
            role->proposals[count++] = (struct raft_entry){.kind = RAFT_ENTRY_COMMAND, .data = call->command};
            bytes += call->command->size;
            pending_set_forwarded(call, &forward->calls, forward->id);
        }
        bool is_new = map_put(&role->forwards, forward->id, forward);
        ASSERT(is_new);
        struct raft_msg msg = {.kind = RAFT_MSG_FORWARD, .from = role->self, .to = status->leader, .term = status->term,
                               .round = forward->id, .entries = role->proposals, .entry_count = count};
        raft_actor_send_call(role, &msg);
        if (MUTANT(P33)) raft_actor_send_call(role, &msg);
    }
}

void raft_calls_flush(struct raft_actor *role)
{
    if (list_is_empty(&role->pending.held)) return;
    struct raft_status status;
    raft_get_status(role->raft, &status);
    if (status.role == RAFT_LEADER) {
        propose_held(role);
    } else if (status.leader != RAFT_NONE) {
        forward_held(role, &status);
    }
}

static void forward_free_if_empty(struct raft_actor *role, uint64_t id)
{
    struct raft_forward *forward = map_get(&role->forwards, id);
    if (forward == NULL || !list_is_empty(&forward->calls)) return;
    map_take(&role->forwards, id);
    alloc_free(forward);
}

static uint64_t finish_call(struct raft_actor *role, struct pending_call *call)
{
    uint64_t forward = call->state == PENDING_FORWARDED ? call->forward : 0;
    uint64_t name = pending_remove(&role->pending, call);
    if (forward != 0) forward_free_if_empty(role, forward);
    return name;
}

void raft_calls_expire(struct raft_actor *role)
{
    struct pending_call *oldest;
    while ((oldest = pending_oldest(&role->pending)) != NULL && oldest->deadline_ns <= role->now_ns) {
        enum err err = oldest->state == PENDING_FORWARDED ? ERR_TIMEOUT_CONN_LOST : ERR_TIMEOUT;
        uint64_t call = finish_call(role, oldest);
        if (!MUTANT(D34) || err != ERR_TIMEOUT_CONN_LOST) raft_calls_fail(role, call, err);
    }
}

void raft_calls_committed(struct raft_actor *role, struct commit_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct command_id id;
        if (batch->entries[i].kind != RAFT_ENTRY_COMMAND) continue;
        if (!command_peek_id(blob_slice(batch->entries[i].data), &id)) continue;
        if (id.member != role->self || id.boot != role->run_id) continue;
        struct pending_call *call = pending_find(&role->pending, id.counter);
        if (call != NULL) batch->calls[i] = finish_call(role, call);
    }
    /* Thesis 3.5: another entry was committed at the place of these, so they can never be: the call must not wait its time out. */
    uint64_t last_index = batch->entries[batch->count - 1].index;
    while (!list_is_empty(&role->pending.proposed)) {
        struct pending_call *call = LIST_ENTRY(role->pending.proposed.next, struct pending_call, queue);
        if (call->index > last_index) break;
        raft_calls_fail(role, finish_call(role, call), ERR_TIMEOUT_LEADER_FAIL);
    }
}

/* Their entries, or others in their place, are in the snapshot: nobody here will meet them. */
void raft_calls_covered(struct raft_actor *role, uint64_t index)
{
    while (!list_is_empty(&role->pending.proposed)) {
        struct pending_call *call = LIST_ENTRY(role->pending.proposed.next, struct pending_call, queue);
        if (call->index > index) break;
        raft_calls_fail(role, finish_call(role, call), MUTANT(D71) ? ERR_TIMEOUT_LEADER_FAIL : ERR_TIMEOUT);
    }
}

void raft_calls_take_forward(struct raft_actor *role, const struct raft_msg *msg)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    enum raft_answer answer = RAFT_NOT_LEADER;
    if (status.role == RAFT_LEADER && status.term == msg->term) {
        struct raft_input input = {.kind = RAFT_IN_PROPOSE, .now_ns = role->now_ns, .proposals = msg->entries,
                                   .proposal_count = msg->entry_count};
        answer = raft_step(role->raft, &input);
    }
    if (answer == RAFT_OK && !MUTANT(P34B)) return;
    bool is_full = answer == RAFT_FULL && status.transferee == RAFT_NONE;
    struct raft_msg refusal = {.kind = RAFT_MSG_REFUSED, .from = role->self, .to = msg->from, .term = status.term,
                               .round = msg->round, .reject = is_full};
    raft_actor_send_call(role, &refusal);
}

void raft_calls_refused(struct raft_actor *role, uint64_t id, bool is_full)
{
    struct raft_forward *forward = map_take(&role->forwards, id);
    if (forward == NULL) return;
    if (is_full) refuse_all(role, &forward->calls, ERR_TOO_MANY_REQUESTS);
    while (!list_is_empty(&forward->calls)) {
        pending_set_held(&role->pending, LIST_ENTRY(forward->calls.next, struct pending_call, queue));
    }
    alloc_free(forward);
}

uint64_t raft_calls_deadline_ns(const struct raft_actor *role) { return pending_deadline_ns(&role->pending); }
