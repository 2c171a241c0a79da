/* net_actor: see net_actor.h. */
#include "pipeline/net_actor.h"

#include "base/buggify.h"
#include "base/clock.h"
#include "base/mutant.h"

static struct net_call *find(struct net_actor *role, uint64_t name)
{
    uint32_t slot = (uint32_t)name;
    ASSERT(slot < role->slot_count);
    struct net_call *call = &role->calls[slot];
    return call->call == name && call->state != NET_FREE ? call : NULL;
}

/* --- out --- */

/* The call has its answer; the slot stays until the port says CLOSED: until the client took the answer. */
void net_actor_answered(struct net_actor *role, struct net_call *call)
{
    ASSERT(role->call_count > 0 && list_is_empty(&call->turn));
    role->call_count--;
    role->answered_count++;
    call->state = NET_ANSWERED;
    call->answered_ns = role->now_ns;
    list_push_back(&role->unread, &call->turn);
    METRIC_ADD(&role->shared->metrics, calls_answered, 1);
    if (call->err == ERR_OK && call->method->kind == RPC_UNARY) rpc_metrics_send(&role->shared->rpc, call->method);
    rpc_metrics_end(&role->shared->rpc, call->method, call->err, role->now_ns - call->started_ns);
}

void net_actor_fail(struct net_actor *role, struct net_call *call, enum err err)
{
    ASSERT(err != ERR_OK);
    call->err = err;
    net_jobs_drop(role, call);
    if (call->method->kind == RPC_SERVER_STREAM) {
        role->port->table->finish(role->port, call->call, err);
    } else {
        role->port->table->reply(role->port, call->call, err, slice_empty(), NULL, 0);
    }
    net_actor_answered(role, call);
}

static void send_reply(struct net_actor *role, struct net_call *call, struct mail *mail)
{
    struct blob *body = mail->reply.body;
    int64_t revision = mail->reply.revision;
    net_jobs_drop(role, call);
    buf_clear(&role->out);
    if (body == NULL || body->size < NET_COPY_BYTES_MAX) {
        service_encode_reply(&role->env, revision, blob_slice(body), &role->out);
        METRIC_ADD(&role->shared->metrics, client_sent_bytes, role->out.size);
        role->port->table->reply(role->port, call->call, ERR_OK, buf_slice(&role->out), NULL, 0);
    } else {
        service_put_header(&role->env, revision, &role->out);
        net_jobs_reply(role, call, body);
        mail->reply.body = NULL;
    }
    if (MUTANT(D33)) role->port->table->reply(role->port, call->call, ERR_OK, slice_empty(), NULL, 0);
    net_actor_answered(role, call);
}

void net_actor_refuse(struct net_actor *role, struct net_call *call, enum err err)
{
    if (call->lock != NULL) net_lock_failed(role, call, err);
    else net_actor_fail(role, call, err);
}

static void take_reply(struct net_actor *role, struct mail *mail)
{
    struct net_call *call = find(role, mail->reply.call);
    if (call != NULL && (call->state == NET_PROPOSED || call->state == NET_ASKED)) {
        if (call->refusal != ERR_OK) {
            net_actor_refuse(role, call, call->refusal);
        } else if (mail->reply.err != ERR_OK) {
            net_actor_refuse(role, call, (enum err)mail->reply.err);
        } else if (call->lock != NULL) {
            net_lock_replied(role, call, mail->reply.revision, blob_slice(mail->reply.body));
        } else {
            send_reply(role, call, mail);
        }
    }
    mail_deinit(mail);
}

static void take_fail(struct net_actor *role, const struct mail *mail)
{
    struct net_call *call = find(role, mail->fail.call);
    if (call == NULL || call->state != NET_PROPOSED) return;
    net_actor_refuse(role, call, call->refusal != ERR_OK ? call->refusal : (enum err)mail->fail.err);
}

static void take_moved(struct net_actor *role, const struct mail *mail)
{
    struct net_call *call = find(role, mail->move.call);
    if (call == NULL || call->state != NET_PROPOSED) return;
    role->port->table->reply(role->port, call->call, ERR_OK, slice_empty(), NULL, 0);
    net_actor_answered(role, call);
}

static void take_read_batch(struct net_actor *role, struct mail *mail)
{
    const struct read_batch *batch = mail->read.batch;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (net_check_is_name(batch->calls[i])) {
            net_check_done(role, batch->calls[i], mail->kind == MAIL_READ_FAIL ? (enum err)mail->read.err : ERR_OK);
            continue;
        }
        struct net_call *call = find(role, batch->calls[i]);
        if (call == NULL || (call->state != NET_READ_WAITING && call->state != NET_ASKED)) continue;
        if (mail->kind == MAIL_READ_FAIL) {
            net_actor_refuse(role, call, (enum err)mail->read.err);
        } else {
            net_jobs_start(role, call);
        }
    }
    mail_deinit(mail);
}

static void take_main(struct net_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_DRAIN) {
        role->is_draining = true;
        net_jobs_end_staying(role);
        net_snapshot_end_all(role);
        role->port->table->refuse(role->port);
    } else {
        actor_answer_ping(mail, role->lanes.to_main);
    }
}

static void take_mail(struct net_actor *role, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_REPLY: take_reply(role, mail); break;
    case MAIL_TOLD:
        ASSERT(role->watch_ask_count > 0);
        role->watch_ask_count--;
        take_reply(role, mail);
        break;
    case MAIL_FAIL: take_fail(role, mail); break;
    case MAIL_MOVED: take_moved(role, mail); break;
    case MAIL_READ_BATCH:
    case MAIL_READ_FAIL: take_read_batch(role, mail); break;
    case MAIL_NEWS: net_lock_news(role, mail, find(role, mail->news.call)); break;
    case MAIL_SNAP_PIECE: net_snapshot_piece(role, mail, find(role, mail->piece.call)); break;
    case MAIL_CAUGHT_UP: role->is_caught_up = true; break;
    case MAIL_CHECK: net_check_take(role, mail); break;
    default: take_main(role, mail); break;
    }
}

/* --- in --- */

/* Not like any other: of this member, this run and this call; positive, as clients print them. */
static int64_t choose_lease_id(const struct net_actor *role)
{
    uint64_t id = role->run_id ^ role->self * UINT64_C(0x9e3779b97f4a7c15);
    id = (id ^ id >> 32) * UINT64_C(0xd6e8feb86659fd93) + role->counter;
    id &= INT64_MAX;
    return id == 0 ? 1 : (int64_t)id;
}

static struct blob *make_command(struct net_actor *role, const struct service_plan *plan)
{
    struct command command = {.level = plan->level, .kind = plan->kind, .body = plan->body, .chosen_ttl = plan->chosen_ttl,
                              .id = {.member = role->self, .boot = role->run_id, .counter = role->counter++}};
    struct buf ids;
    buf_init(&ids);
    for (uint32_t i = 0; i < plan->chosen_lease_ids; i++, role->counter++) {
        command.chosen_lease_id = choose_lease_id(role);
        buf_put_varint(&ids, (uint64_t)command.chosen_lease_id);
    }
    if (plan->kind != COMMAND_LEASE_GRANT) {
        command.chosen_lease_id = 0;
        command.chosen_lease_ids = buf_slice(&ids);
    }
    struct blob *encoded = command_encode(&command);
    buf_deinit(&ids);
    return encoded;
}

static enum err propose(struct net_actor *role, struct net_call *call, const struct service_plan *plan)
{
    struct mail mail = {.kind = MAIL_PROPOSE, .propose = {.call = call->call, .command = make_command(role, plan)}};
    uint32_t bytes = mail.propose.command->size;
    bool has_room = role->request_bytes + bytes <= NET_REQUEST_BYTES_MAX;
    if (!has_room || !lane_post(role->lanes.to_raft, &mail)) {
        mail_deinit(&mail);
        return ERR_TOO_MANY_REQUESTS;
    }
    call->state = NET_PROPOSED;
    call->refusal = plan->refusal;
    call->request_bytes = bytes;
    role->request_bytes += bytes;
    return ERR_OK;
}

static void ask_watch(struct net_actor *role, struct net_call *call, struct slice body)
{
    bool is_list = call->method->id == RPC_EXTRA_WATCHERS;
    struct mail mail = {.kind = is_list ? MAIL_WATCHERS : MAIL_CANCEL_WATCHER, .ask = {.call = call->call, .request = blob_copy(body)}};
    ASSERT(is_list || call->method->id == RPC_EXTRA_CANCEL_WATCHER);
    bool is_posted = role->lanes.to_watch != NULL && role->watch_ask_count < NET_WATCH_ASKS_MAX;
    if (is_posted) {
        lane_must_post(role->lanes.to_watch, &mail);
        role->watch_ask_count++;
        call->state = NET_ASKED;
        return;
    }
    mail_deinit(&mail);
    net_actor_fail(role, call, role->lanes.to_watch == NULL ? ERR_UNIMPLEMENTED : ERR_TOO_MANY_REQUESTS);
}

static void move_leader(struct net_actor *role, struct net_call *call, uint64_t target)
{
    struct mail mail = {.kind = MAIL_MOVE_LEADER, .move = {.call = call->call, .target = target}};
    call->state = NET_PROPOSED;
    if (!lane_post(role->lanes.to_raft, &mail)) net_actor_fail(role, call, ERR_TOO_MANY_REQUESTS);
}

/* A member that was started again does not know yet how far it had come: a read of the state, serializable or not, would show revisions
 * that go back (etcd does not even listen before that). */
static bool must_wait(const struct net_actor *role, const struct net_call *call, const struct service_plan *plan)
{
    enum rpc_method_id id = call->method->id;
    bool is_of_state = id == RPC_KV_RANGE || id == RPC_KV_RANGE_STREAM || id == RPC_KV_TXN || id == RPC_EXTRA_HISTORY;
    return plan->linearizable || (is_of_state && !role->is_caught_up);
}

static void post_read_batch(struct net_actor *role, struct read_batch *batch)
{
    struct mail mail = {.kind = MAIL_READ, .read.batch = batch};
    bool is_urgent = batch->questions != NULL; /* a question of its own */
    if (lane_post_quietly(role->lanes.to_raft, &mail)) {
        /* Either we see that raft does not gather, or raft sees the mail before it sleeps. */
        bool gathers = atomic_fetch_add_explicit(&role->shared->gathers_reads, 0, memory_order_seq_cst) != 0;
        if (!gathers || is_urgent) role->lanes.to_raft->posted = true;
        return;
    }
    METRIC_ADD(&role->shared->metrics, lane_full, 1);
    mail.kind = MAIL_READ_FAIL;
    mail.read.err = ERR_TOO_MANY_REQUESTS;
    take_read_batch(role, &mail);
}

/* Which leases there are, every member knows, and that answer may be long: it travels alone and no further than a read of the view. */
static void ask(struct net_actor *role, struct net_call *call, const struct lease_question *question)
{
    call->state = NET_ASKED;
    METRIC_ADD(&role->shared->metrics, reads_linearizable, 1);
    if (question->is_list) {
        post_read_batch(role, mail_questions_new(&call->call, question, 1, role->now_ns));
        return;
    }
    role->questions[role->ask_count] = *question;
    role->asks[role->ask_count++] = call->call;
    ASSERT(role->ask_count <= CONFIG_NET_EVENTS_MAX);
}

static void post_reads(struct net_actor *role)
{
    uint32_t read_count = role->read_count, ask_count = role->ask_count;
    role->read_count = 0;
    role->ask_count = 0;
    if (read_count > 0) post_read_batch(role, mail_read_new(role->reads, read_count, role->now_ns));
    if (ask_count > 0) post_read_batch(role, mail_questions_new(role->asks, role->questions, ask_count, role->now_ns));
}

static void read(struct net_actor *role, struct net_call *call, const struct service_plan *plan)
{
    call->job = plan->job;
    if (must_wait(role, call, plan)) {
        if (role->read_count >= CONFIG_NET_EVENTS_MAX) post_reads(role); /* steps of lock calls come by mail, too */
        call->state = NET_READ_WAITING;
        role->reads[role->read_count++] = call->call;
        METRIC_ADD(&role->shared->metrics, reads_linearizable, 1);
    } else {
        net_jobs_start(role, call);
        METRIC_ADD(&role->shared->metrics, reads_serializable, 1);
    }
}

enum err net_actor_start(struct net_actor *role, struct net_call *call, const struct service_plan *plan)
{
    if (plan->action == SERVICE_REFUSE) return plan->err;
    if (role->is_alone && (plan->action == SERVICE_PROPOSE || must_wait(role, call, plan))) return ERR_STOPPED;
    if (plan->action == SERVICE_PROPOSE) return propose(role, call, plan);
    ASSERT(plan->action == SERVICE_READ);
    read(role, call, plan);
    return ERR_OK;
}

static void route(struct net_actor *role, struct net_call *call, struct service_plan *plan)
{
    enum err err = ERR_OK;
    switch (plan->action) {
    case SERVICE_REFUSE:
    case SERVICE_PROPOSE:
    case SERVICE_READ: err = net_actor_start(role, call, plan); break;
    case SERVICE_ASK: ask(role, call, &plan->question); break;
    case SERVICE_WATCHERS: ask_watch(role, call, plan->body); break;
    case SERVICE_MOVE_LEADER: move_leader(role, call, plan->target); break;
    case SERVICE_SNAPSHOT: net_snapshot_open(role, call); break;
    case SERVICE_LOCK: net_lock_begin(role, call, plan->lock); break;
    }
    if (err != ERR_OK) net_actor_fail(role, call, err);
}

static enum err refuse_at_door(const struct net_actor *role, const struct call_event *event)
{
    if (role->is_draining) return ERR_STOPPED;
    if (event->bad_api_version) return ERR_INVALID_CLIENT_API_VERSION;
    if (event->require_leader && SHARED_GET(role->shared, leader) == 0) return ERR_NO_LEADER;
    if (event->method->waits && role->lanes.to_watch == NULL) return ERR_UNIMPLEMENTED; /* a line without the watch role */
    if (event->method->waits && role->wait_count >= role->waits_max) return ERR_TOO_MANY_REQUESTS;
    return ERR_OK;
}

static void take_new(struct net_actor *role, const struct call_event *event)
{
    uint32_t slot = (uint32_t)event->call;
    ASSERT(slot < role->slot_count);
    struct net_call *call = &role->calls[slot];
    ASSERT(call->state == NET_FREE);
    *call = (struct net_call){.call = event->call, .method = event->method, .state = NET_JOB, .require_leader = event->require_leader,
                              .started_ns = role->now_ns};
    list_init(&call->turn);
    role->call_count++;
    METRIC_ADD(&role->shared->metrics, calls_started, 1);
    METRIC_ADD(&role->shared->metrics, client_received_bytes, event->body.size);
    rpc_metrics_start(&role->shared->rpc, event->method, event->api_version);
    rpc_metrics_receive(&role->shared->rpc, event->method);
    enum err err = refuse_at_door(role, event);
    if (err != ERR_OK) {
        METRIC_ADD(&role->shared->metrics, calls_refused, 1);
        net_actor_fail(role, call, err);
        return;
    }
    struct service_plan plan = {.action = SERVICE_REFUSE};
    arena_reset(&role->scratch);
    service_plan(&role->env, event->method, event->body, &plan);
    route(role, call, &plan);
}

static void take_closed(struct net_actor *role, struct net_call *call)
{
    if (call->state == NET_ANSWERED) {
        ASSERT(role->answered_count > 0);
        role->answered_count--;
    } else {
        /* The client of a stream went away between two chunks. */
        role->call_count--;
        rpc_metrics_end(&role->shared->rpc, call->method, ERR_CANCELED, role->now_ns - call->started_ns);
        net_snapshot_gone(role, call);
    }
    net_jobs_drop(role, call);
    call->state = NET_FREE;
}

static void take_event(struct net_actor *role, const struct call_event *event)
{
    struct net_call *call = event->kind == CALL_NEW ? NULL : find(role, event->call);
    if (event->kind == CALL_NEW) {
        take_new(role, event);
    } else if (call != NULL && event->kind == CALL_SENT) {
        if (call->state == NET_SNAPSHOT_SENDING) net_snapshot_sent(role, call, event->ok);
        else if (call->lock != NULL) net_lock_sent(role, call, event->ok);
        else net_jobs_sent(role, call, event->ok);
    } else if (call != NULL && event->kind == CALL_GONE) {
        net_lock_gone(role, call);
    } else if (call != NULL) {
        take_closed(role, call);
    }
}

/* --- the step --- */

static void renew_env(struct net_actor *role)
{
    role->env.term = SHARED_GET(role->shared, term);
    role->env.leader = SHARED_GET(role->shared, leader);
    role->env.commit_index = SHARED_GET(role->shared, commit_index);
    role->env.applied_index = SHARED_GET(role->shared, applied_index);
    role->env.is_learner = SHARED_GET(role->shared, is_learner);
    role->env.no_space = SHARED_GET(role->shared, no_space);
}

/* Of a living client on a slow road the last of many small answers may take their time; so they may, while nobody wants their places. */
static bool may_stay(const struct net_actor *role, const struct net_call *call)
{
    bool is_scarce = role->call_count + role->answered_count > role->config->calls_max / 2 || role->reply_bytes >= role->config->reply_bytes_max;
    return call->state == NET_ANSWERED && call->reply_bytes < NET_LARGE_BYTES && !is_scarce;
}

static void cancel_unread(struct net_actor *role)
{
    while (!list_is_empty(&role->unread)) {
        struct net_call *call = LIST_ENTRY(role->unread.next, struct net_call, turn);
        if (call->answered_ns + NET_UNREAD_NS > role->now_ns) return;
        list_remove(&call->turn);
        if (may_stay(role, call)) {
            call->answered_ns = role->now_ns;
            list_push_back(&role->unread, &call->turn);
        } else {
            role->port->table->finish(role->port, call->call, ERR_CANCELED);
        }
    }
}

static void report_drained(struct net_actor *role)
{
    if (!role->is_draining || role->has_reported_drained || role->call_count > 0) return;
    struct mail mail = {.kind = MAIL_DRAINED};
    role->has_reported_drained = lane_post(role->lanes.to_main, &mail);
}

/* Calls that are one step got their answer from raft. Those of many steps would send the next one to nobody. */
static void stay_alone(struct net_actor *role)
{
    role->is_alone = !MUTANT(D113);
    if (role->is_alone) net_lock_end_all(role);
}

static bool drain_lane(struct net_actor *role, struct lane *lane)
{
    struct mail mail;
    uint32_t n = 0;
    while (n < CONFIG_NET_MAILS_MAX && !(n > 0 && !role->is_draining && BUGGIFY(NET_ONE_MAIL)) && lane_take(lane, &mail)) {
        take_mail(role, &mail);
        n++;
    }
    return n == CONFIG_NET_MAILS_MAX;
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct net_actor *role = (struct net_actor *)actor;
    struct call_event events[CONFIG_NET_EVENTS_MAX];
    role->now_ns = now_ns;
    renew_env(role);
    /* Mail first, the view after: a view is at least as new as what its read needs. */
    bool more = drain_lane(role, role->lanes.from_apply);
    more = drain_lane(role, role->lanes.from_raft) || more;
    if (SHARED_GET(role->shared, raft_is_gone) && !role->is_alone) stay_alone(role);
    more = drain_lane(role, role->lanes.from_snap) || more;
    if (role->lanes.from_door != NULL) (void)drain_lane(role, role->lanes.from_door);
    if (role->lanes.from_watch != NULL) more = drain_lane(role, role->lanes.from_watch) || more;
    (void)drain_lane(role, role->lanes.from_main);
    size_t count = role->port->table->take(role->port, events, BUGGIFY(NET_ONE_EVENT) ? 1 : CONFIG_NET_EVENTS_MAX);
    for (size_t i = 0; i < count; i++) take_event(role, &events[i]);
    post_reads(role);
    net_jobs_run(role);
    post_reads(role); /* of lock calls whose step was a job */
    cancel_unread(role);
    report_drained(role);
    role->port->table->flush(role->port);
    METRIC_SET(&role->shared->metrics, request_bytes, role->request_bytes);
    METRIC_SET(&role->shared->metrics, reply_bytes, role->reply_bytes);
    METRIC_SET(&role->shared->metrics, calls_in_flight, role->call_count);
    return more || count == CONFIG_NET_EVENTS_MAX || net_jobs_any(role);
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct net_actor *role = (const struct net_actor *)actor;
    if (list_is_empty(&role->unread)) return CLOCK_NEVER;
    return LIST_ENTRY(role->unread.next, struct net_call, turn)->answered_ns + NET_UNREAD_NS;
}

static void wait(struct actor *actor, uint64_t until_ns)
{
    struct call_port *port = ((struct net_actor *)actor)->port;
    port->table->wait(port, until_ns);
}

static void ring(struct actor *actor)
{
    struct call_port *port = ((struct net_actor *)actor)->port;
    port->table->ring(port);
}

static const struct actor_table table = {
    .name = "kvd-net", .is_reader = true, .step = step, .deadline_ns = deadline_ns, .wait = wait, .ring = ring};

void net_actor_init(struct net_actor *role, const struct net_options *options)
{
    ASSERT(options->port != NULL && options->port->slot_count > 0 && options->machine != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->config = options->config;
    role->shared = options->shared;
    role->port = options->port;
    role->self = options->self;
    role->run_id = options->run_id;
    /* For each there may be a WAIT and its UNWAIT on the way, and the UNWAIT of a call that is over already; and operators ask. */
    uint32_t room = options->config->lane_calls / 4;
    role->waits_max = options->config->waits_max < room ? options->config->waits_max : room;
    arena_init(&role->scratch, 64u << 20);
    buf_init(&role->out);
    role->slot_count = options->port->slot_count;
    role->calls = alloc_zero(role->slot_count, sizeof(struct net_call));
    role->reads = alloc_zero(CONFIG_NET_EVENTS_MAX + NET_CHECKS_MAX, sizeof(uint64_t));
    role->asks = alloc_zero(CONFIG_NET_EVENTS_MAX, sizeof(uint64_t));
    role->questions = alloc_zero(CONFIG_NET_EVENTS_MAX, sizeof(struct lease_question));
    list_init(&role->jobs);
    list_init(&role->unread);
    role->env = (struct service_env){
        .machine = options->machine,
        .limits = {.txn_ops_max = (uint32_t)options->config->max_txn_ops},
        .max_request_bytes = options->config->max_request_bytes,
        .gather_bytes_max = options->config->gather_bytes_max,
        .range_memo = range_memo_new(),
        .quota_bytes = options->config->quota_bytes,
        .lease_ttl_min = (int64_t)(options->config->election_timeout_ms * 3 / 2 + 999) / 1000,
        .cluster_id = options->cluster_id,
        .member_id = options->self,
        .scratch = &role->scratch,
        .metrics = &options->shared->metrics,
        .process = options->process,
    };
}

void net_actor_deinit(struct net_actor *role)
{
    if (role->calls == NULL) return;
    actor_deinit(&role->actor);
    for (uint32_t i = 0; i < role->slot_count; i++) {
        if (role->calls[i].state != NET_FREE) net_jobs_drop(role, &role->calls[i]);
    }
    alloc_free(role->calls);
    alloc_free(role->reads);
    alloc_free(role->asks);
    alloc_free(role->questions);
    range_memo_free(role->env.range_memo);
    arena_deinit(&role->scratch);
    buf_deinit(&role->out);
    role->calls = NULL;
}
