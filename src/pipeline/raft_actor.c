/* raft_actor: lanes into raft_step, output to lanes. See raft_actor.h. */
#include "pipeline/raft_actor.h"

#include "base/buggify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "storage/state_machine.h"

#define BOOT_BITS 24 /* of an id: sixteen million starts, and 2^40 forwards and reads in each */
#define RETRY_NS (50 * NS_PER_MS) /* calls that could not leave for the leader */

/* --- towards the peers --- */

static void post_peer(struct raft_actor *role, const struct raft_msg *msg)
{
    struct mail mail = {.kind = MAIL_PEER, .peer = {.message = mail_peer_new(msg), .to = msg->to}};
    if (BUGGIFY(PEER_LANE_FULL) || !lane_post(role->lanes.to_peer, &mail)) {
        METRIC_ADD(&role->shared->metrics, lane_full, 1);
        mail_deinit(&mail); /* raft sends again */
    }
}

static void take_unsent(struct raft_actor *role, const struct raft_msg *msg)
{
    if (msg->kind == RAFT_MSG_FORWARD) raft_calls_refused(role, msg->round, false);
    bool was_held = role->flush_held;
    if (msg->kind == RAFT_MSG_READ_INDEX) raft_reads_lost(role, msg->round);
    role->flush_held = was_held; /* not at once: the clock asks again */
    if (role->retry_ns == CLOCK_NEVER) role->retry_ns = role->now_ns + RETRY_NS;
}

void raft_actor_send_call(struct raft_actor *role, const struct raft_msg *msg)
{
    struct mail mail = {.kind = MAIL_FORWARD, .peer = {.message = mail_peer_new(msg), .to = msg->to}};
    if (!BUGGIFY(CALL_LANE_FULL) && lane_post(role->lanes.to_peer_calls, &mail)) return;
    METRIC_ADD(&role->shared->metrics, lane_full, 1);
    take_unsent(role, msg);
    mail_deinit(&mail);
}

/* --- towards apply, in position --- */

static void flush_backlog(struct raft_actor *role)
{
    while (role->backlog_count > 0 && lane_post(role->lanes.to_apply, &role->backlog[role->backlog_first])) {
        role->backlog_first++;
        role->backlog_count--;
    }
    if (role->backlog_count == 0) role->backlog_first = 0;
}

void raft_actor_post_apply(struct raft_actor *role, const struct mail *mail)
{
    if (!MUTANT(D35)) flush_backlog(role);
    if ((role->backlog_count == 0 || MUTANT(D35)) && !BUGGIFY(APPLY_LANE_FULL) && lane_post(role->lanes.to_apply, mail)) return;
    uint32_t end = role->backlog_first + role->backlog_count;
    if (end == role->backlog_capacity) {
        role->backlog_capacity = role->backlog_capacity == 0 ? 256 : role->backlog_capacity * 2;
        role->backlog = alloc_resize(role->backlog, role->backlog_capacity * sizeof(struct mail));
    }
    role->backlog[end] = *mail;
    role->backlog_count++;
}

/* --- output of a step --- */

static void note_leader(struct raft_actor *role)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    bool changed = SHARED_GET(role->shared, leader) != status.leader || SHARED_GET(role->shared, term) != status.term;
    bool is_me = status.role == RAFT_LEADER;
    SHARED_SET(role->shared, term, status.term);
    SHARED_SET(role->shared, leader, status.leader);
    SHARED_SET(role->shared, is_leader, is_me);
    struct mail mail = {.kind = MAIL_LEADER, .leader = {.term = status.term, .leader = status.leader, .is_me = is_me}};
    raft_actor_post_apply(role, &mail);
    raft_reads_reset(role);
    role->flush_held = true;
    if (!changed) return;
    METRIC_ADD(&role->shared->metrics, leader_changes, status.leader != RAFT_NONE ? 1 : 0);
    if (status.leader != RAFT_NONE) {
        LOG(INFO, is_me ? "elected leader" : "found leader", LOG_F_HEX("local-member-id", role->self),
            LOG_F_HEX("leader", status.leader), LOG_F_U64("term", status.term));
    } else {
        LOG(WARN, "no leader", LOG_F_HEX("local-member-id", role->self), LOG_F_U64("term", status.term),
            LOG_F_TEXT("role", raft_role_name(status.role)));
    }
}

/* Whether this member's own clients wait for any of it. */
static bool post_commits(struct raft_actor *role, const struct raft_output *output)
{
    struct commit_batch *batch = mail_commit_new(output->committed, (uint32_t)output->committed_count);
    bool has_calls = false;
    raft_calls_committed(role, batch);
    for (uint32_t i = 0; i < batch->count && !has_calls; i++) has_calls = batch->calls[i] != 0;
    role->posted_index = batch->entries[batch->count - 1].index;
    METRIC_ADD(&role->shared->metrics, proposals_committed, batch->count);
    struct mail mail = {.kind = MAIL_COMMIT, .commit.batch = batch};
    raft_actor_post_apply(role, &mail);
    return has_calls;
}

static void post_fetches(struct raft_actor *role, const struct raft_output *output)
{
    for (size_t i = 0; i < output->fetch_count; i++) {
        const struct raft_fetch *fetch = &output->fetches[i];
        struct mail mail = {.kind = MAIL_FETCH,
                            .fetch = {.peer = fetch->peer, .first_index = fetch->first_index,
                                      .last_index = fetch->last_index, .bytes_max = fetch->bytes_max}};
        lane_must_post(role->lanes.to_snap, &mail); /* one under way per peer */
    }
}

/* In position: what is committed from now on builds upon it. */
static void post_install(struct raft_actor *role, const struct raft_output *output)
{
    ASSERT(role->installing.kind == MAIL_INSTALL && output->persist);
    role->posted_index = output->install_index;
    raft_calls_covered(role, output->install_index);
    METRIC_ADD(&role->shared->metrics, snapshots_installed, 1);
    raft_actor_post_apply(role, &role->installing);
    role->installing = (struct mail){.kind = MAIL_NONE};
}

static void post_offer(struct raft_actor *role, const struct raft_offer *offer)
{
    struct mail mail = {.kind = MAIL_OFFER, .offer = {.from = offer->from, .index = offer->index, .term = offer->term}};
    (void)lane_post(role->lanes.to_snap_offers, &mail); /* full: it comes again */
}

static void take_output(struct raft_actor *role)
{
    const struct raft_output *output = raft_take_output(role->raft, role->now_ns);
    /* Thesis 10.2.1: the leader's entries leave for the followers before its own disk is done. */
    for (size_t i = 0; i < output->message_count; i++) post_peer(role, &output->messages[i]);
    if (output->persist) {
        struct mail mail = {.kind = MAIL_APPEND, .append.batch = mail_append_new(output)};
        lane_must_post(role->lanes.to_wal, &mail);
    }
    if (output->install) post_install(role, output);
    if (output->offer != NULL) post_offer(role, output->offer);
    bool has_calls = output->committed_count > 0 && post_commits(role, output);
    /* What the others need leaves first, unless all that there is for them is news that our own clients wait for, too. */
    role->actor.first_out = output->persist || !has_calls ? role->lanes.to_peer : NULL;
    for (size_t i = 0; i < output->read_count; i++) {
        raft_reads_confirmed(role, output->reads[i].context, &output->reads[i]);
    }
    for (size_t i = 0; i < output->read_lost_count; i++) raft_reads_lost(role, output->reads_lost[i]);
    post_fetches(role, output);
    raft_reads_release(role);
    if (output->leader_changed) note_leader(role);
}

/* --- input --- */

static void step_simple(struct raft_actor *role, struct raft_input *input)
{
    input->now_ns = role->now_ns;
    (void)raft_step(role->raft, input);
}

static void take_wal(struct raft_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_PERSISTED) {
        step_simple(role, &(struct raft_input){.kind = RAFT_IN_PERSISTED, .sequence = mail->persisted.sequence});
    } else {
        ASSERT(mail->kind == MAIL_SPACE);
        SHARED_SET(role->shared, no_space, mail->space.full);
        step_simple(role, &(struct raft_input){.kind = RAFT_IN_NO_SPACE, .flag = mail->space.full});
    }
}

static void take_apply(struct raft_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_APPLIED) {
        role->applied_index = mail->applied.index;
        step_simple(role, &(struct raft_input){.kind = RAFT_IN_APPLIED, .index = mail->applied.index});
    } else if (mail->kind == MAIL_ANSWERED) {
        raft_reads_answer(role, mail);
    } else if (mail->kind == MAIL_LEASES) {
        raft_calls_say_of_leases(role, mail->leases.command, mail->leases.term);
    } else {
        ASSERT(mail->kind == MAIL_INTERNAL);
        raft_calls_propose(role, 0, mail->propose.command);
    }
}

static void take_peer(struct raft_actor *role, struct mail *mail)
{
    ASSERT(mail->kind == MAIL_PEER);
    step_simple(role, &(struct raft_input){.kind = RAFT_IN_MESSAGE, .message = mail->peer.message->msg});
    mail_deinit(mail);
}

static void take_link(struct raft_actor *role, const struct mail *mail)
{
    uint64_t peer = mail->link.peer;
    switch ((enum link_state)mail->link.state) {
    case LINK_UP: role->flush_held = true; raft_reads_reset(role); break;
    case LINK_DOWN: step_simple(role, &(struct raft_input){.kind = RAFT_IN_UNREACHABLE, .peer = peer}); break;
    case LINK_DIED: step_simple(role, &(struct raft_input){.kind = RAFT_IN_PEER_DIED, .peer = peer}); break;
    }
}

static void take_peer_call(struct raft_actor *role, struct mail *mail)
{
    if (mail->kind == MAIL_LINK) {
        take_link(role, mail);
        return;
    }
    const struct raft_msg *msg = &mail->peer.message->msg;
    if (mail->kind == MAIL_UNSENT) {
        take_unsent(role, msg);
    } else if (msg->kind == RAFT_MSG_FORWARD) {
        raft_calls_take_forward(role, msg);
    } else if (msg->kind == RAFT_MSG_REFUSED) {
        raft_calls_refused(role, msg->round, msg->reject);
        if (!msg->reject && role->retry_ns == CLOCK_NEVER) role->retry_ns = role->now_ns + RETRY_NS;
    } else if (msg->kind == RAFT_MSG_READ_INDEX) {
        raft_reads_add_remote(role, msg);
    } else if (msg->kind == RAFT_MSG_READ_ANSWER && msg->entry_count > 0) {
        raft_reads_answered(role, msg);
    } else if (msg->kind == RAFT_MSG_READ_ANSWER && !msg->reject) {
        raft_reads_confirmed(role, msg->round, &(struct raft_read){.index = msg->index});
    } else if (msg->kind == RAFT_MSG_READ_ANSWER) {
        raft_reads_lost(role, msg->round);
        role->flush_held = false; /* the other side does not lead: a change of leader or the clock asks again */
        if (role->retry_ns == CLOCK_NEVER) role->retry_ns = role->now_ns + RETRY_NS;
    }
    mail_deinit(mail);
}

/* Thesis 3.10, asked for by a client. */
static void take_move(struct raft_actor *role, const struct mail *mail)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    bool is_there = status.role == RAFT_LEADER && mail->move.target == role->self;
    struct raft_input input = {.kind = RAFT_IN_TRANSFER, .now_ns = role->now_ns, .peer = mail->move.target};
    if (role->move_call != 0 || role->transferring) {
        raft_calls_fail(role, mail->move.call, ERR_TOO_MANY_REQUESTS);
    } else if (!is_there && raft_step(role->raft, &input) != RAFT_OK) {
        raft_calls_fail(role, mail->move.call, status.role == RAFT_LEADER ? ERR_BAD_LEADER_TRANSFEREE : ERR_NOT_LEADER);
    } else {
        role->move_call = mail->move.call;
        role->move_target = mail->move.target;
        role->move_deadline_ns = role->now_ns + role->config->request_timeout_ns;
    }
}

static void take_net(struct raft_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_PROPOSE) {
        raft_calls_propose(role, mail->propose.call, mail->propose.command);
    } else if (mail->kind == MAIL_MOVE_LEADER) {
        take_move(role, mail);
    } else {
        ASSERT(mail->kind == MAIL_READ);
        raft_reads_add(role, mail->read.batch);
    }
}

static void take_fetched(struct raft_actor *role, struct mail *mail)
{
    struct fetched_batch *batch = mail->fetched.batch;
    step_simple(role, &(struct raft_input){.kind = RAFT_IN_FETCHED, .peer = batch->peer, .entries = batch->entries,
                                           .entry_count = batch->err == ERR_OK ? batch->count : 0});
    mail_deinit(mail);
}

/* A new snapshot of our own: the log before the one that is kept may go, and slow followers may still ask for some of it. */
static void take_snapshot(struct raft_actor *role, const struct mail *mail)
{
    uint64_t catchup = role->config->snapshot_catchup_entries;
    uint64_t behind = mail->snapshot.index > catchup ? mail->snapshot.index - catchup : 0;
    uint64_t kept = mail->snapshot.kept_index < behind || MUTANT(D72) ? mail->snapshot.kept_index : behind;
    raft_offer(role->raft, mail->snapshot.index, mail->snapshot.term);
    if (kept == 0) return;
    raft_compact(role->raft, kept);
    struct mail drop = {.kind = MAIL_DROP_HEAD, .drop_head.index = kept};
    lane_must_post(role->lanes.to_wal, &drop);
}

static void take_received(struct raft_actor *role, struct mail *mail)
{
    const struct state_machine_loaded *state = mail->loaded.state;
    struct raft_conf conf;
    bool is_good = raft_conf_decode(blob_slice(state->conf), &conf);
    ASSERT(is_good && role->installing.kind == MAIL_NONE);
    struct raft_input input = {.kind = RAFT_IN_INSTALL, .now_ns = role->now_ns, .index = state->index, .term = state->term, .conf = &conf};
    bool is_wanted = raft_step(role->raft, &input) == RAFT_OK;
    raft_conf_deinit(&conf);
    if (is_wanted) {
        mail->kind = MAIL_INSTALL;
        role->installing = *mail;
        return;
    }
    struct raft_status status;
    raft_get_status(role->raft, &status);
    if (state->index <= status.commit_index) raft_offer(role->raft, state->index, state->term); /* the file is as good as any */
    mail->kind = MAIL_UNWANTED; /* a whole state takes its time to free: not here */
    lane_must_post(role->lanes.to_snap, mail);
}

static void take_snap(struct raft_actor *role, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_FETCHED: take_fetched(role, mail); break;
    case MAIL_SNAPSHOT: take_snapshot(role, mail); break;
    case MAIL_RECEIVED: take_received(role, mail); break;
    default: ASSERT(false);
    }
}

static void take_main(struct raft_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_TRANSFER) {
        role->transferring = true;
        step_simple(role, &(struct raft_input){.kind = RAFT_IN_TRANSFER, .peer = RAFT_NONE});
    } else {
        actor_answer_ping(mail, role->lanes.to_main);
    }
}

static void drain(struct raft_actor *role)
{
    struct mail mail;
    uint32_t n;
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && lane_take(role->lanes.from_wal, &mail); n++) take_wal(role, &mail);
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && lane_take(role->lanes.from_apply, &mail); n++) take_apply(role, &mail);
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && !(n > 0 && BUGGIFY(RAFT_ONE_MAIL)) && lane_take(role->lanes.from_peer, &mail); n++) take_peer(role, &mail);
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && lane_take(role->lanes.from_peer_calls, &mail); n++) {
        take_peer_call(role, &mail);
    }
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && !(n > 0 && BUGGIFY(RAFT_ONE_MAIL)) && lane_take(role->lanes.from_net, &mail); n++) take_net(role, &mail);
    while (role->lanes.from_watch != NULL && lane_take(role->lanes.from_watch, &mail)) raft_reads_add(role, mail.read.batch);
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && lane_take(role->lanes.from_snap, &mail); n++) take_snap(role, &mail);
    for (n = 0; n < RAFT_ACTOR_MAILS_MAX && lane_take(role->lanes.from_main, &mail); n++) take_main(role, &mail);
}

static void report_transfer(struct raft_actor *role)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    bool is_done = status.role != RAFT_LEADER || status.transferee == RAFT_NONE;
    if (!is_done) return;
    struct mail mail = {.kind = MAIL_TRANSFERRED};
    if (lane_post(role->lanes.to_main, &mail)) role->transferring = false;
}

/* Consensus gives a transfer up by itself after an election timeout. */
static void report_move(struct raft_actor *role)
{
    struct raft_status status;
    raft_get_status(role->raft, &status);
    bool is_given_up = status.leader != RAFT_NONE && status.transferee == RAFT_NONE;
    if (status.leader == role->move_target) {
        struct mail mail = {.kind = MAIL_MOVED, .move = {.call = role->move_call, .target = role->move_target}};
        lane_must_post(role->lanes.to_net, &mail);
    } else if (is_given_up || role->move_deadline_ns <= role->now_ns) {
        raft_calls_fail(role, role->move_call, ERR_TIMEOUT_LEADER_TRANSFER);
    } else {
        return;
    }
    role->move_call = 0;
    role->move_deadline_ns = CLOCK_NEVER;
}

/* A leader's deadline is its next heartbeat. */
static void tick(struct raft_actor *role, uint64_t due_ns)
{
    bool is_late = role->now_ns - due_ns > role->config->heartbeat_ms * NS_PER_MS;
    if (is_late && SHARED_GET(role->shared, is_leader)) METRIC_ADD(&role->shared->metrics, heartbeats_late, 1);
    step_simple(role, &(struct raft_input){.kind = RAFT_IN_TICK});
}

/* With nothing held back, news of what was applied is credit for later: no reason to wake up. Whoever waits asks for it first. */
static void ask_for_wakes(struct raft_actor *role, const struct raft_status *status)
{
    uint64_t end = status->commit_index < status->durable_index ? status->commit_index : status->durable_index;
    bool wants = (role->backlog_count > 0 || role->posted_index < end) && !MUTANT(D119);
    if (wants == role->wants_applied) return;
    role->wants_applied = wants;
    atomic_exchange_explicit(&role->shared->wants_applied, wants, memory_order_seq_cst);
}

/* While reads are asked for, those that come meanwhile go with the next question: no reason to wake up before the answer. Whoever stops
 * gathering looks into its lanes before it sleeps. */
static void tell_of_gathering(struct raft_actor *role)
{
    bool gathers = raft_reads_gather(role);
    if (gathers == role->gathers_reads) return;
    role->gathers_reads = gathers;
    atomic_exchange_explicit(&role->shared->gathers_reads, gathers, memory_order_seq_cst);
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct raft_actor *role = (struct raft_actor *)actor;
    ASSERT(now_ns >= role->now_ns);
    role->now_ns = now_ns;
    drain(role);
    if (!MUTANT(D35)) flush_backlog(role);
    uint64_t due_ns = raft_deadline_ns(role->raft);
    if (due_ns <= now_ns) tick(role, due_ns);
    if (raft_calls_deadline_ns(role) <= now_ns) raft_calls_expire(role);
    if (raft_reads_deadline_ns(role) <= now_ns) raft_reads_expire(role);
    if (role->retry_ns <= now_ns) {
        role->retry_ns = CLOCK_NEVER;
        role->flush_held = true;
    }
    if (role->flush_held) {
        role->flush_held = false;
        raft_calls_flush(role);
        raft_reads_flush(role);
    }
    take_output(role);
    if (MUTANT(D35)) flush_backlog(role);
    if (role->transferring) report_transfer(role);
    if (role->move_call != 0) report_move(role);
    struct raft_status status;
    raft_get_status(role->raft, &status);
    SHARED_SET(role->shared, commit_index, status.commit_index);
    METRIC_SET(&role->shared->metrics, raft_tail_bytes, status.tail_bytes);
    METRIC_SET(&role->shared->metrics, proposals_pending, role->pending.by_counter.count);
    ask_for_wakes(role, &status);
    tell_of_gathering(role);
    return role->flush_held;
}

/* Looked at before it sleeps: room that apply made before it was asked to tell of it. */
static bool has_room(const struct actor *actor)
{
    const struct raft_actor *role = (const struct raft_actor *)actor;
    return role->backlog_count > 0 && !lane_is_full(role->lanes.to_apply);
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct raft_actor *role = (const struct raft_actor *)actor;
    uint64_t first = raft_deadline_ns(role->raft);
    uint64_t calls = raft_calls_deadline_ns(role);
    uint64_t reads = raft_reads_deadline_ns(role);
    if (calls < first) first = calls;
    if (reads < first) first = reads;
    if (role->move_deadline_ns < first) first = role->move_deadline_ns;
    return role->retry_ns < first ? role->retry_ns : first;
}

static const struct actor_table table = {.name = "kvd-raft", .may_be_lent = true, .step = step, .deadline_ns = deadline_ns, .has_more = has_room};

void raft_actor_init(struct raft_actor *role, const struct raft_actor_options *options)
{
    ASSERT(options->raft != NULL && options->self != RAFT_NONE);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->config = options->config;
    role->shared = options->shared;
    role->raft = options->raft;
    role->self = options->self;
    role->run_id = options->run_id;
    role->posted_index = options->applied_index;
    /* No id comes twice in the life of a member: an answer to what an earlier boot asked may still be on its way to this one. */
    ASSERT(options->boot_id < UINT64_C(1) << BOOT_BITS);
    role->next_id = (MUTANT(D36) ? 0 : options->boot_id) << (64 - BOOT_BITS) | 1;
    role->retry_ns = CLOCK_NEVER;
    role->move_deadline_ns = CLOCK_NEVER;
    pending_init(&role->pending, options->config->calls_max);
    map_init(&role->forwards);
    map_init(&role->reads);
    list_init(&role->read_fifo);
    list_init(&role->read_confirmed);
    role->proposals = alloc_new(RAFT_ACTOR_MAILS_MAX * sizeof(struct raft_entry));
    role->proposal_calls = alloc_new(RAFT_ACTOR_MAILS_MAX * sizeof(struct pending_call *));
    raft_reads_probe(role);
}

/* What was decided and waits for room in apply's lane leaves no more if it does not leave now: nobody steps this role again. */
static void fail_backlog(struct raft_actor *role, enum err err)
{
    flush_backlog(role);
    for (uint32_t i = 0; i < role->backlog_count; i++) {
        struct mail *mail = &role->backlog[role->backlog_first + i];
        if (mail->kind == MAIL_READ_BATCH && mail->read.batch != NULL && mail->read.batch->remote_peer == RAFT_NONE) {
            raft_reads_fail_batch(role, mail->read.batch, err);
            mail->read.batch = NULL; /* whose it was, has it */
        }
        if (mail->kind != MAIL_COMMIT) continue;
        struct commit_batch *batch = mail->commit.batch;
        for (uint32_t j = 0; j < batch->count; j++) {
            if (batch->calls[j] != 0) raft_calls_fail(role, batch->calls[j], err);
            batch->calls[j] = 0;
        }
    }
}

void raft_actor_fail_all(struct raft_actor *role, enum err err)
{
    struct pending_call *call;
    SHARED_SET(role->shared, raft_is_gone, true);
    if (!MUTANT(D38)) fail_backlog(role, err);
    while (!MUTANT(D68) && (call = pending_oldest(&role->pending)) != NULL) {
        raft_calls_fail(role, pending_remove(&role->pending, call), err);
    }
    raft_reads_fail_all(role, err);
    if (role->move_call != 0) raft_calls_fail(role, role->move_call, err);
    role->move_call = 0;
    for (uint32_t i = 0; i < role->actor.out_count; i++) lane_ring(role->actor.out[i]);
}

void raft_actor_deinit(struct raft_actor *role)
{
    if (role->raft == NULL) return;
    actor_deinit(&role->actor);
    while (!list_is_empty(&role->read_fifo)) {
        struct raft_read_wait *wait = LIST_ENTRY(role->read_fifo.next, struct raft_read_wait, fifo);
        list_remove(&wait->fifo);
        mail_read_free(wait->batch);
        alloc_free(wait);
    }
    mail_deinit(&role->installing);
    for (uint32_t i = 0; i < role->backlog_count; i++) mail_deinit(&role->backlog[role->backlog_first + i]);
    alloc_free(role->backlog);
    pending_deinit(&role->pending);
    size_t cursor = 0;
    uint64_t id = 0;
    struct raft_read_asking *asking;
    while ((asking = map_each(&role->reads, &cursor, &id)) != NULL) alloc_free(asking);
    cursor = 0;
    struct raft_forward *forward;
    while ((forward = map_each(&role->forwards, &cursor, &id)) != NULL) alloc_free(forward);
    map_deinit(&role->forwards);
    map_deinit(&role->reads);
    alloc_free(role->proposals);
    alloc_free(role->proposal_calls);
    raft_free(role->raft);
    role->raft = NULL;
}
