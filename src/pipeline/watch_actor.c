/* watch_actor: see watch_actor.h. */
#include "pipeline/watch_actor.h"

#include "base/alloc.h"
#include "base/buggify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "watch/watch_list.h"

#define EVENTS_PER_ROUND 128
#define EVENTS_PER_STEP 512  /* of streams: messages, and frames that are done */
#define FRAMES_PER_STEP 1024 /* then they leave, about a millisecond behind the first: a stream that is cut off here is written twice */
#define SWEEP_BUDGET 4096    /* changes */
#define FRAME_BUDGET 32768   /* looks, or 64 bytes of events each */
#define LEADERLESS_TIMEOUTS 3
#define NET_MAILS_PER_STEP 256

struct watch_actor_stream {
    struct list node;
    uint64_t name;
    struct watch_stream *stream; /* NULL: ended by us, CLOSED has not come yet */
    uint64_t opened_ns;
    bool require_leader;
    bool is_receiving;
    bool is_progress;       /* the message that the stream is sending, its events, and when it was begun */
    uint32_t event_count;
    uint64_t begun_ns;
};

/* --- streams --- */

static struct watch_actor_stream *find(const struct watch_actor *role, uint64_t name) { return map_get(&role->names, name); }

static void end(struct watch_actor *role, struct watch_actor_stream *held, enum err err)
{
    if (held->stream == NULL) return;
    watch_close(role->watch, held->stream);
    held->stream = NULL;
    if (held->require_leader) role->leader_count--;
    role->port->table->finish(role->port, held->name, err);
    rpc_metrics_end(&role->shared->rpc, role->methods[WATCH_METHOD_WATCH], err, role->now_ns - held->opened_ns);
}

static void receive(struct watch_actor *role, struct watch_actor_stream *held)
{
    if (held->stream == NULL || held->is_receiving || !watch_may_receive(held->stream)) return;
    held->is_receiving = true;
    role->port->table->next(role->port, held->name);
}

static void turn_away(struct watch_actor *role, const struct watch_event *event)
{
    enum err err = role->is_stopping ? ERR_STOPPED : ERR_NO_LEADER;
    role->port->table->finish(role->port, event->stream, err);
    rpc_metrics_end(&role->shared->rpc, role->methods[event->method], err, 0);
}

static void take_open(struct watch_actor *role, const struct watch_event *event)
{
    struct watch_actor_stream *held = ALLOC(struct watch_actor_stream);
    held->name = event->stream;
    held->opened_ns = role->now_ns;
    held->require_leader = event->require_leader;
    held->stream = watch_open(role->watch, event->stream, event->address);
    bool is_new = map_put(&role->names, held->name, held);
    ASSERT(is_new);
    list_push_back(&role->streams, &held->node);
    if (held->require_leader) role->leader_count++;
    receive(role, held);
}

static void forget(struct watch_actor *role, struct watch_actor_stream *held)
{
    ASSERT(held->stream == NULL);
    (void)map_take(&role->names, held->name);
    list_remove(&held->node);
    alloc_free(held);
}

static void take_message(struct watch_actor *role, struct watch_actor_stream *held, const struct watch_event *event,
                         const struct mvcc_view *view, uint64_t now_ns)
{
    held->is_receiving = false;
    if (held->stream == NULL) return;
    if (!event->ok) { /* the client has said its last word: so do we */
        end(role, held, ERR_OK);
        return;
    }
    METRIC_ADD(&role->shared->metrics, client_received_bytes, event->body.size);
    enum err err = event->err != ERR_OK ? event->err : watch_request(role->watch, held->stream, event->body, view, now_ns);
    if (err != ERR_OK) {
        METRIC_ADD(&role->shared->metrics, watch_receive_failures, 1);
        end(role, held, err);
    }
    receive(role, held);
}

/* Messages of one kind that went out: how many, their events, and the time for each message. */
struct sent_run {
    uint64_t answers, progress, frames, events; /* `frames` have the events */
};

static void count_sent(struct sent_run *run, uint32_t event_count, bool is_progress)
{
    run->events += event_count;
    if (event_count > 0) run->frames++;
    else if (is_progress) run->progress++;
    else run->answers++;
}

static void note_sent(struct watch_actor *role, const struct sent_run *run, uint64_t took_ns)
{
    struct metrics *metrics = &role->shared->metrics;
    uint64_t count = run->answers + run->progress + run->frames;
    ASSERT(count > 0);
    uint64_t each_ns = took_ns / count;
    if (run->answers > 0) metrics_observe_many(&metrics->watch_answer_sent, METRICS_FROM_1MS, each_ns, run->answers);
    if (run->progress > 0) metrics_observe_many(&metrics->watch_progress_sent, METRICS_FROM_1MS, each_ns, run->progress);
    if (run->frames == 0) return;
    metrics_observe_many(&metrics->watch_events_sent, METRICS_FROM_1MS, each_ns, run->frames);
    metrics_observe_many(&metrics->watch_event_sent, METRICS_FROM_1MS, each_ns * run->frames / run->events, run->frames);
}

/* The message that was on its way. */
static void note_waited(struct watch_actor *role, const struct watch_actor_stream *held)
{
    struct sent_run run = {.answers = 0};
    count_sent(&run, held->event_count, held->is_progress);
    note_sent(role, &run, clock_mono_ns() - held->begun_ns);
}

static void take_watch_event(struct watch_actor *role, const struct watch_event *event, const struct mvcc_view *view, uint64_t now_ns)
{
    if (event->kind == WATCH_OPEN) {
        take_open(role, event);
        return;
    }
    struct watch_actor_stream *held = find(role, event->stream);
    if (held == NULL) return; /* refused when it came */
    switch (event->kind) {
    case WATCH_MESSAGE: take_message(role, held, event, view, now_ns); break;
    case WATCH_SENT:
        if (held->stream == NULL) break;
        if (event->ok) {
            note_waited(role, held);
            watch_sent(role->watch, held->stream);
        } else {
            METRIC_ADD(&role->shared->metrics, watch_send_failures, 1);
            end(role, held, ERR_OK);
        }
        receive(role, held);
        break;
    case WATCH_CLOSED:
        ASSERT(held->stream == NULL);
        forget(role, held);
        break;
    case WATCH_OPEN:
    default: ASSERT(false);
    }
}

static void take_event(struct watch_actor *role, const struct watch_event *event, const struct mvcc_view *view, uint64_t now_ns)
{
    bool is_leaderless = event->require_leader && SHARED_GET(role->shared, leader) == RAFT_NONE;
    if (event->kind == WATCH_OPEN) rpc_metrics_start(&role->shared->rpc, role->methods[event->method], event->api_version);
    if (event->kind == WATCH_MESSAGE && event->ok) rpc_metrics_receive(&role->shared->rpc, role->methods[event->method]);
    if (event->kind == WATCH_OPEN && (role->is_stopping || is_leaderless)) {
        turn_away(role, event);
        return;
    }
    if (event->kind == WATCH_OPEN && event->require_leader && role->look_ns == CLOCK_NEVER) role->look_ns = now_ns;
    if (event->method == WATCH_METHOD_WATCH) take_watch_event(role, event, view, now_ns);
    else keep_alive_take_event(&role->keep_alive, event, mvcc_view_revision(view), now_ns);
}

static void end_all(struct watch_actor *role, bool only_with_leader, enum err err)
{
    keep_alive_end_all(&role->keep_alive, only_with_leader, err);
    for (struct list *at = role->streams.next; at != &role->streams; at = at->next) {
        struct watch_actor_stream *held = LIST_ENTRY(at, struct watch_actor_stream, node);
        if (!only_with_leader || held->require_leader) end(role, held, err);
    }
}

/* Nobody tells when a leader is missing: it is looked at once in an election timeout while somebody wants to know. */
static void look_at_leader(struct watch_actor *role, uint64_t now_ns)
{
    uint64_t timeout_ns = role->config->election_timeout_ms * NS_PER_MS;
    uint32_t leader_count = role->leader_count + role->keep_alive.leader_count;
    role->look_ns = leader_count == 0 ? CLOCK_NEVER : now_ns + timeout_ns;
    if (leader_count == 0 || SHARED_GET(role->shared, leader) != RAFT_NONE) {
        role->leaderless_ns = 0;
        return;
    }
    if (role->leaderless_ns == 0) role->leaderless_ns = now_ns;
    if (now_ns - role->leaderless_ns < LEADERLESS_TIMEOUTS * timeout_ns) return;
    LOG(WARN, "streams end: there is no leader", LOG_F_U64("streams", leader_count));
    end_all(role, true, ERR_NO_LEADER);
    watch_waits_end_all(role, true, ERR_NO_LEADER);
    role->leaderless_ns = 0;
}

/* --- history that is held --- */

static void drop_pin(struct watch_actor *role)
{
    if (role->pin >= 0) mvcc_unpin(role->mvcc, role->pin);
    role->pin = -1;
}

/* Forward the pin moves; back it is taken anew, as far as the mark lets it. Without streams nothing is held. */
static void hold(struct watch_actor *role, const struct mvcc_view *view)
{
    bool is_compacted;
    if (!role->is_watched) {
        drop_pin(role);
        return;
    }
    int64_t revision = watch_hold_revision(role->watch);
    if (role->pin >= 0 && revision == role->pin_revision) return;
    if (role->pin >= 0 && revision > role->pin_revision) {
        mvcc_move_pin(role->mvcc, role->pin, revision);
        role->pin_revision = revision;
        return;
    }
    int64_t mark = mvcc_view_compact_revision(view);
    if (revision < mark) revision = mark; /* whoever needs the changes of the mark's own revision: they are still there */
    if (role->pin >= 0 && revision >= role->pin_revision) return;
    int pin = mvcc_pin(role->mvcc, revision, &is_compacted);
    if (pin < 0) return; /* what is held already stays */
    drop_pin(role);
    role->pin = pin;
    role->pin_revision = revision;
}

/* The first revision whose changes are all in the view. */
static int64_t floor_of(struct watch_actor *role, const struct mvcc_view *view)
{
    int64_t floor = mvcc_view_compact_revision(view);
    if (role->epoch != mvcc_view_epoch(view)) { /* a snapshot was installed: pins below its mark are void */
        role->epoch = mvcc_view_epoch(view);
        drop_pin(role);
    }
    if (role->pin >= 0 && mvcc_view_check_pinned(view, role->pin_revision) != ERR_OK) drop_pin(role);
    return role->pin >= 0 && role->pin_revision < floor ? role->pin_revision : floor;
}

/* --- the role --- */

static void take_mail(struct watch_actor *role)
{
    struct mail mail;
    while (lane_take(role->lanes.from_apply, &mail)) ASSERT(mail.kind == MAIL_PUBLISHED);
    while (lane_take(role->lanes.from_main, &mail)) {
        if (mail.kind == MAIL_DRAIN) {
            role->is_stopping = true;
            end_all(role, false, ERR_STOPPED);
            watch_waits_end_all(role, false, ERR_STOPPED);
            continue;
        }
        actor_answer_ping(&mail, role->lanes.to_main);
    }
}

static enum err cancel(struct watch_actor *role, struct slice request, const struct mvcc_view *view)
{
    struct watch_list_cancel cancel;
    enum err err = watch_list_parse_cancel(request, &cancel);
    if (err != ERR_OK) return err;
    if (cancel.member_id != role->self) return ERR_OTHER_MEMBER; /* streams of two members may have one name */
    struct watch_actor_stream *held = find(role, cancel.stream);
    if (held == NULL || held->stream == NULL) return ERR_WATCHER_NOT_FOUND;
    if (!watch_cancel(role->watch, held->stream, cancel.watch_id, view, WATCH_LIST_REASON)) return ERR_WATCHER_NOT_FOUND;
    LOG(INFO, "a watcher was canceled by an operator", LOG_F_HEX("stream", cancel.stream), LOG_F_I64("watch-id", cancel.watch_id));
    return ERR_OK;
}

static void answer_operator(struct watch_actor *role, const struct mail *ask, const struct mvcc_view *view, uint64_t now_ns)
{
    struct buf body;
    ASSERT(ask->kind == MAIL_WATCHERS || ask->kind == MAIL_CANCEL_WATCHER);
    buf_init(&body);
    struct slice request = blob_slice(ask->ask.request);
    enum err err = ask->kind == MAIL_WATCHERS ? watch_list_page(role->watch, request, view, now_ns, &body) : cancel(role, request, view);
    struct mail told = {.kind = MAIL_TOLD, .reply = {.call = ask->ask.call, .revision = mvcc_view_revision(view), .err = err}};
    if (err == ERR_OK && body.size > 0) told.reply.body = buf_take_blob(&body);
    lane_must_post(role->lanes.to_net, &told);
    buf_deinit(&body);
}

/* Calls that wait; and what an operator asks: one question a step, which is bounded. True: there may be more. */
static bool take_net(struct watch_actor *role, const struct mvcc_view *view, uint64_t now_ns)
{
    struct mail mail;
    bool is_done = false;
    uint32_t count = 0;
    while (!is_done && count++ < NET_MAILS_PER_STEP && lane_take(role->lanes.from_net, &mail)) {
        is_done = !watch_waits_mail(role, &mail, view, now_ns);
        if (is_done) answer_operator(role, &mail, view, now_ns);
        mail_deinit(&mail);
    }
    return is_done || count > NET_MAILS_PER_STEP;
}

/* The stream takes the next frame at once; and its client's next request, where an answer waits no more. */
static void frame_sent(struct watch_actor *role, const struct watch_frame *frame)
{
    watch_sent(role->watch, frame->stream);
    if (frame->is_answer) receive(role, find(role, frame->name));
}

/* SENT will say when it did. */
static void frame_waits(struct watch_actor *role, const struct watch_frame *frame, uint64_t begun_ns)
{
    struct watch_actor_stream *held = find(role, frame->name);
    ASSERT(held != NULL);
    held->event_count = frame->event_count;
    held->is_progress = frame->is_progress;
    held->begun_ns = begun_ns;
}

static void end_hopeless(struct watch_actor *role, const struct watch_frame *frame)
{
    LOG(WARN, "a watch stream ends", LOG_F_HEX("stream", frame->name), LOG_F_TEXT("error", err_text(frame->err)));
    METRIC_ADD(&role->shared->metrics, watch_send_failures, 1);
    end(role, find(role, frame->name), frame->err);
}

/* The clock is looked at twice for a run of frames, and the counts that others read are written once: each costs as much as a good part of a
 * frame. */
static void send_frames(struct watch_actor *role, const struct mvcc_view *view, size_t *frames, size_t *budget)
{
    struct watch_frame frame;
    struct sent_run run = {.answers = 0};
    uint64_t term = SHARED_GET(role->shared, term), begun_ns = clock_mono_ns(), messages = 0, bytes = 0;
    for (; *frames > 0 && watch_next(role->watch, view, term, budget, &frame); (*frames)--) {
        if (watch_waits_frame(role, &frame)) continue;
        if (frame.err != ERR_OK) {
            end_hopeless(role, &frame);
            continue;
        }
        messages++;
        bytes += frame.head.size + blob_slice(frame.events).size;
        bool is_sent = role->port->table->send(role->port, frame.name, frame.head, frame.events);
        if (is_sent) count_sent(&run, frame.event_count, frame.is_progress);
        if (is_sent) frame_sent(role, &frame);
        else frame_waits(role, &frame, begun_ns);
    }
    if (messages == 0) return;
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, bytes);
    rpc_metrics_send_many(&role->shared->rpc, role->methods[WATCH_METHOD_WATCH], messages);
    if (run.answers + run.progress + run.frames > 0) note_sent(role, &run, clock_mono_ns() - begun_ns);
}

/* True: there may be more. */
static bool serve_streams(struct watch_actor *role, const struct mvcc_view *view, uint64_t now_ns)
{
    struct watch_event events[EVENTS_PER_ROUND];
    size_t budget = FRAME_BUDGET, frames = FRAMES_PER_STEP, count = 1;
    for (size_t taken = 0; taken < EVENTS_PER_STEP && count > 0 && frames > 0 && budget > 0; taken += count) {
        count = role->port->table->take(role->port, events, BUGGIFY(WATCH_ONE_EVENT) ? 1 : EVENTS_PER_ROUND);
        for (size_t i = 0; i < count; i++) take_event(role, &events[i], view, now_ns);
        send_frames(role, view, &frames, &budget);
    }
    return count > 0 || frames == 0 || budget == 0;
}

static void note_metrics(struct watch_actor *role)
{
    struct watch_stats stats;
    struct metrics *metrics = &role->shared->metrics;
    watch_get_stats(role->watch, &stats);
    METRIC_SET(metrics, watch_streams, stats.streams);
    METRIC_SET(metrics, watchers, stats.watchers);
    METRIC_SET(metrics, watchers_behind, stats.behind);
    METRIC_SET(metrics, watch_key_bytes, stats.key_bytes);
    METRIC_SET(metrics, watch_events, stats.events);
    METRIC_SET(metrics, watch_events_pending, stats.pending_events);
    METRIC_SET(metrics, watch_frames, stats.frames);
    METRIC_SET(metrics, watchers_compacted, stats.compacted);
}

/* While there is no stream, apply does not wake us. True: the first one came, so that what was published meanwhile is to be looked at: both
 * sides change the word, so that either apply finds ours, or we find its, and with it its view. */
static bool ask_for_wakes(struct watch_actor *role)
{
    bool is_watched = !list_is_empty(&role->streams) || role->waits.by_call.count > 0;
    if (is_watched == role->is_watched) return false;
    role->is_watched = is_watched;
    atomic_exchange_explicit(&role->shared->is_watched, is_watched, memory_order_seq_cst);
    return is_watched;
}

static void report_unwatched(struct watch_actor *role)
{
    if (role->has_reported || !list_is_empty(&role->streams) || role->keep_alive.stream_count > 0) return;
    ASSERT(role->waits.by_call.count == 0);
    struct mail mail = {.kind = MAIL_UNWATCHED};
    role->has_reported = lane_post(role->lanes.to_main, &mail);
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct watch_actor *role = (struct watch_actor *)actor;
    role->now_ns = now_ns;
    take_mail(role);
    const struct mvcc_view *view = mvcc_view(role->mvcc);
    size_t sweep_budget = BUGGIFY(WATCH_SWEEP_ONE) ? 1 : SWEEP_BUDGET;
    (void)watch_step(role->watch, view, floor_of(role, view), sweep_budget, now_ns);
    keep_alive_take_mail(&role->keep_alive, mvcc_view_revision(view), now_ns);
    bool has_more = take_net(role, view, now_ns);
    if (role->look_ns <= now_ns) look_at_leader(role, now_ns);
    has_more = serve_streams(role, view, now_ns) || has_more;
    has_more = (watch_has_more(role->watch) && !MUTANT(D97)) || has_more; /* who came to look at the past */
    has_more = keep_alive_flush(&role->keep_alive, now_ns) || has_more;
    role->port->table->flush(role->port);
    has_more = ask_for_wakes(role) || has_more;
    hold(role, view);
    note_metrics(role);
    if (role->is_stopping) report_unwatched(role);
    return has_more;
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct watch_actor *role = (const struct watch_actor *)actor;
    uint64_t due_ns = watch_deadline_ns(role->watch);
    return due_ns < role->look_ns ? due_ns : role->look_ns;
}

static void wait(struct actor *actor, uint64_t until_ns)
{
    struct watch_port *port = ((struct watch_actor *)actor)->port;
    port->table->wait(port, until_ns);
}

static void ring(struct actor *actor)
{
    struct watch_port *port = ((struct watch_actor *)actor)->port;
    port->table->ring(port);
}

static const struct actor_table table = {
    .name = "kvd-watch", .is_reader = true, .step = step, .deadline_ns = deadline_ns, .wait = wait, .ring = ring};

void watch_actor_init(struct watch_actor *role, const struct watch_actor_options *options)
{
    const struct config *config = options->config;
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->config = config;
    role->shared = options->shared;
    role->self = options->self;
    role->port = options->port;
    role->methods[WATCH_METHOD_WATCH] = rpc_method_find("/etcdserverpb.Watch/Watch");
    role->methods[WATCH_METHOD_KEEP_ALIVE] = rpc_method_find("/etcdserverpb.Lease/LeaseKeepAlive");
    role->mvcc = state_machine_mvcc(options->machine);
    role->pin = -1;
    role->look_ns = CLOCK_NEVER;
    role->epoch = mvcc_view_epoch(mvcc_view(role->mvcc));
    role->watch = watch_new(&(struct watch_options){.cluster_id = options->cluster_id,
                                                    .member_id = options->self,
                                                    .watchers_max = config->watchers_max,
                                                    .key_bytes_max = (size_t)config->watch_key_bytes_max,
                                                    .fragment_bytes = (size_t)config->max_request_bytes + 512 * 1024,
                                                    .message_bytes_max = config->watch_message_bytes_max,
                                                    .progress_ns = config->watch_progress_ns,
                                                    .hold_bytes_max = config->watch_hold_bytes_max,
                                                    .seed = options->seed,
                                                    .secret = options->secret},
                            mvcc_view(role->mvcc));
    keep_alive_init(&role->keep_alive, &(struct keep_alive_options){.config = config, .shared = options->shared, .port = options->port,
                                                                    .cluster_id = options->cluster_id, .self = options->self});
    list_init(&role->streams);
    map_init(&role->names);
    watch_waits_init(&role->waits);
    ASSERT(role->port != NULL);
}

void watch_actor_deinit(struct watch_actor *role)
{
    if (role->port == NULL) return;
    actor_deinit(&role->actor);
    while (!list_is_empty(&role->streams)) {
        struct watch_actor_stream *held = LIST_ENTRY(role->streams.next, struct watch_actor_stream, node);
        if (held->stream != NULL) watch_close(role->watch, held->stream);
        held->stream = NULL;
        forget(role, held);
    }
    map_deinit(&role->names);
    keep_alive_deinit(&role->keep_alive);
    watch_waits_deinit(&role->waits); /* watch_free closes what is left */
    watch_free(role->watch);
    drop_pin(role);
    role->port = NULL;
}
