/* rpc_peer: see rpc_peer.h.
 *
 * Two queues. What comes in lives on the one queue that polls: net's thread reads the frame, gets its tag and passes the signal on, without a
 * hop of gRPC's own between (a callback queue's receives go over gRPC's executor: a thread more to wake). What goes out lives on `callbacks`:
 * a send completes inside of its own start, and wakes nobody. (gRPC 1.51 aborts when a call of a channel that still connects is bound to a
 * queue without a pollset.)
 *
 * Membership is what connect() was called for: a hello of anybody else is refused. Each completion means one event at most. */
#include "rpc/rpc_peer.h"

#include <grpc/grpc.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "raft/raft.h"
#include "rpc/peer_hello.h"
#include "rpc/rpc_arg.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_listener.h"
#include "rpc/rpc_peer_in.h"
#include "rpc/rpc_peer_out.h"
#include "rpc/rpc_unknown.h"

#define IN_MAX 128               /* streams to us, those that have not said hello included */
#define MEMORY_BYTES_MAX (512u << 20)
#define FREE_SHUT_NS (2 * NS_PER_S) /* then connections that keep the end waiting are shut */
#define MIN_PING_INTERVAL_MS 50  /* members find hung connections by pings, as often as their election timeouts are short */

struct rpc_peer {
    struct peer_port port; /* first */
    struct rpc_peer_options options;
    struct rng rng;
    grpc_completion_queue *callbacks;
    struct rpc_signal_inbox inbox;
    struct rpc_signal callbacks_closed;
    bool is_callbacks_closed;
    grpc_server *server;
    grpc_resource_quota *quota;
    void *method;
    struct rpc_listener listener;
    struct rpc_unknown unknown;
    struct rpc_signal shutdown;
    bool is_ending, is_shut_down;

    struct rpc_signal arrived; /* the one requested stream */
    bool is_armed;
    grpc_call *arriving;
    gpr_timespec arriving_deadline;
    grpc_metadata_array arriving_metadata;

    struct rpc_peer_out *outs[RAFT_MEMBERS_MAX];
    uint32_t out_count;
    struct list ins;
    uint32_t in_count;
};

static struct rpc_peer *peer_of(struct peer_port *port) { return (struct rpc_peer *)(void *)port; }

static struct rpc_peer_out *find_out(const struct rpc_peer *peer, uint64_t id)
{
    for (uint32_t i = 0; i < peer->out_count; i++) {
        if (peer->outs[i]->peer == id) return peer->outs[i];
    }
    return NULL;
}

/* --- streams to us --- */

static void arm(struct rpc_peer *peer)
{
    ASSERT(!peer->is_armed && peer->arriving == NULL);
    if (peer->is_ending) return;
    grpc_metadata_array_init(&peer->arriving_metadata);
    grpc_completion_queue *queue = peer->options.queue;
    grpc_call_error error = grpc_server_request_registered_call(peer->server, peer->method, &peer->arriving, &peer->arriving_deadline,
                                                                &peer->arriving_metadata, NULL, queue, queue, rpc_signal_carrier(&peer->arrived));
    ASSERT(error == GRPC_CALL_OK);
    peer->is_armed = true;
}

static void cut_ins(struct rpc_peer *peer, uint64_t id)
{
    struct list *next;
    for (struct list *at = peer->ins.next; at != &peer->ins; at = next) {
        next = at->next;
        struct rpc_peer_in *in = LIST_ENTRY(at, struct rpc_peer_in, node);
        if (in->peer == id) rpc_peer_in_cut(in);
    }
}

static void stream_arrived(struct rpc_peer *peer, bool ok, uint64_t now_ns)
{
    ASSERT(peer->is_armed);
    grpc_call *call = peer->arriving;
    peer->is_armed = false;
    peer->arriving = NULL;
    grpc_metadata_array_destroy(&peer->arriving_metadata);
    if (!ok) return; /* the server was shut down */
    struct rpc_peer_in *in = rpc_peer_in_new(call, &peer->inbox, now_ns);
    list_push_back(&peer->ins, &in->node);
    peer->in_count++;
    if (peer->in_count > IN_MAX) rpc_peer_in_refuse(in, GRPC_STATUS_RESOURCE_EXHAUSTED, "too many streams between members");
    if (peer->is_ending) rpc_peer_in_cut(in);
    arm(peer);
}

/* Why this hello is not welcome; false = it is. */
static bool is_unwelcome(const struct rpc_peer *peer, const struct peer_hello *hello, char text[160])
{
    const struct peer_hello *self = &peer->options.self;
    if (peer_hello_conflict(self, hello, text)) return true;
    if (hello->target_id != self->member_id) {
        snprintf(text, 160, "member %llx looks for member %llx, but this is member %llx", (unsigned long long)hello->member_id,
                 (unsigned long long)hello->target_id, (unsigned long long)self->member_id);
        return true;
    }
    if (find_out(peer, hello->member_id) == NULL) {
        snprintf(text, 160, "member %llx is not a member of cluster %llx", (unsigned long long)hello->member_id,
                 (unsigned long long)self->cluster_id);
        return true;
    }
    return peer->port.judge != NULL && !peer->port.judge(peer->port.judge_context, hello, text);
}

static void judge_hello(struct rpc_peer *peer, struct rpc_peer_in *in, struct peer_event *out_event)
{
    struct peer_hello *hello = &out_event->hello;
    bool is_garbage = !peer_hello_decode(rpc_bytes_flatten(&in->message), hello);
    if (is_garbage) snprintf(out_event->text, sizeof out_event->text, "its hello is garbage");
    out_event->peer = hello->member_id;
    if (is_garbage || is_unwelcome(peer, hello, out_event->text)) {
        out_event->kind = PEER_REFUSED;
        rpc_peer_in_refuse(in, GRPC_STATUS_FAILED_PRECONDITION, out_event->text);
        return;
    }
    cut_ins(peer, hello->member_id); /* an older stream of a run that is gone */
    out_event->kind = PEER_HELLO;
    rpc_peer_in_accept(in, &peer->options.self, hello->member_id);
}

static void free_if_over(struct rpc_peer *peer, struct rpc_peer_in *in)
{
    if (!rpc_peer_in_is_over(in)) return;
    rpc_peer_in_free(in);
    ASSERT(peer->in_count > 0);
    peer->in_count--;
}

static bool in_received(struct rpc_peer *peer, struct rpc_peer_in *in, bool ok, struct peer_event *out_event)
{
    *out_event = (struct peer_event){.peer = in->peer};
    bool has_message = rpc_peer_in_received(in, ok);
    if (has_message && in->peer == 0) {
        judge_hello(peer, in, out_event);
    } else if (has_message) {
        out_event->kind = PEER_BYTES;
        out_event->body = rpc_peer_in_take(in);
    }
    free_if_over(peer, in);
    return has_message;
}

static void in_done(struct rpc_peer *peer, struct rpc_peer_in *in, const struct rpc_signal *signal)
{
    rpc_peer_in_done(in, signal);
    free_if_over(peer, in);
}

/* --- the port --- */

static bool handle_signal(struct rpc_peer *peer, struct rpc_signal *signal, struct peer_event *out_event)
{
    uint64_t now_ns = clock_mono_ns();
    switch (signal->tag.kind) {
    case RPC_TAG_OUT_GREETED:
        return rpc_peer_out_greeted(LIST_ENTRY(signal, struct rpc_peer_out, greeted), signal->ok, now_ns, out_event);
    case RPC_TAG_OUT_SENT: return rpc_peer_out_sent(LIST_ENTRY(signal, struct rpc_peer_out, sent), signal->ok, now_ns, out_event);
    case RPC_TAG_OUT_CLOSED: return rpc_peer_out_closed(LIST_ENTRY(signal, struct rpc_peer_out, closed), now_ns, out_event);
    case RPC_TAG_IN_RECEIVED: return in_received(peer, LIST_ENTRY(signal, struct rpc_peer_in, received), signal->ok, out_event);
    case RPC_TAG_IN_GREETED: in_done(peer, LIST_ENTRY(signal, struct rpc_peer_in, greeted), signal); return false;
    case RPC_TAG_IN_FINISHED: in_done(peer, LIST_ENTRY(signal, struct rpc_peer_in, finished), signal); return false;
    case RPC_TAG_IN_CLOSED: in_done(peer, LIST_ENTRY(signal, struct rpc_peer_in, closed), signal); return false;
    case RPC_TAG_IN_ARRIVED: stream_arrived(peer, signal->ok, now_ns); return false;
    case RPC_TAG_UNKNOWN_ARRIVED: rpc_unknown_arrived(&signal->tag, signal->ok); return false;
    case RPC_TAG_UNKNOWN_ANSWERED: rpc_unknown_answered(&signal->tag); return false;
    case RPC_TAG_SHUTDOWN:
        if (signal == &peer->shutdown) peer->is_shut_down = true;
        else peer->is_callbacks_closed = true;
        return false;
    default: ASSERT(false && "a signal of the peer port"); return false;
    }
}

static void tick(struct rpc_peer *peer)
{
    uint64_t now_ns = clock_mono_ns();
    for (uint32_t i = 0; i < peer->out_count; i++) rpc_peer_out_tick(peer->outs[i], now_ns);
    for (struct list *at = peer->ins.next; at != &peer->ins; at = at->next) {
        struct rpc_peer_in *in = LIST_ENTRY(at, struct rpc_peer_in, node);
        if (in->due_ns <= now_ns) rpc_peer_in_cut(in);
    }
}

/* All that is there, unless the events are too many: each signal is embedded in its stream and comes once. */
static size_t peer_take(struct peer_port *port, struct peer_event *out_events, size_t max)
{
    struct rpc_peer *peer = peer_of(port);
    ASSERT(out_events != NULL && max > 0);
    tick(peer);
    size_t count = 0;
    struct rpc_signal *signal;
    while (count < max && (signal = rpc_signal_take(&peer->inbox)) != NULL) {
        if (handle_signal(peer, signal, &out_events[count])) count++;
    }
    return count;
}

static bool peer_has_events(const struct peer_port *port)
{
    return rpc_signal_has_new(&((const struct rpc_peer *)(const void *)port)->inbox);
}

static uint64_t peer_deadline_ns(const struct peer_port *port)
{
    const struct rpc_peer *peer = (const struct rpc_peer *)(const void *)port;
    uint64_t deadline_ns = CLOCK_NEVER;
    for (uint32_t i = 0; i < peer->out_count; i++) {
        uint64_t due_ns = rpc_peer_out_deadline_ns(peer->outs[i]);
        if (due_ns < deadline_ns) deadline_ns = due_ns;
    }
    for (const struct list *at = peer->ins.next; at != &peer->ins; at = at->next) {
        uint64_t due_ns = LIST_ENTRY(at, struct rpc_peer_in, node)->due_ns;
        if (due_ns < deadline_ns) deadline_ns = due_ns;
    }
    return deadline_ns;
}

/* A role that was not started yet looks when it is. */
static void rouse_role(void *context)
{
    const struct peer_port *port = context;
    if (port->rouse != NULL) port->rouse(port->rouse_context);
}

static void peer_connect(struct peer_port *port, uint64_t id, const char *const *urls, size_t url_count)
{
    struct rpc_peer *peer = peer_of(port);
    struct rpc_peer_out *out = find_out(peer, id);
    if (out == NULL) {
        ASSERT(peer->out_count < RAFT_MEMBERS_MAX && id != peer->options.self.member_id);
        out = ALLOC(struct rpc_peer_out);
        rpc_peer_out_init(out, id, &peer->options, &peer->port, &peer->rng, peer->callbacks, &peer->inbox);
        peer->outs[peer->out_count++] = out;
    }
    rpc_peer_out_set_urls(out, urls, url_count);
}

static void peer_cut(struct peer_port *port, uint64_t id)
{
    struct rpc_peer *peer = peer_of(port);
    struct rpc_peer_out *out = find_out(peer, id);
    ASSERT(id != 0);
    cut_ins(peer, id);
    if (out != NULL) rpc_peer_out_cut(out, "we cut it");
}

static bool peer_send(struct peer_port *port, uint64_t id, struct blob *frame)
{
    struct rpc_peer_out *out = find_out(peer_of(port), id);
    ASSERT(out != NULL);
    return rpc_peer_out_send(out, frame);
}

/* Each frame is a write of its own already: there is nothing to merge. */
static void peer_flush(struct peer_port *port) { (void)port; }

static const struct peer_port_table PORT_TABLE = {
    .take = peer_take,
    .has_events = peer_has_events,
    .deadline_ns = peer_deadline_ns,
    .connect = peer_connect,
    .cut = peer_cut,
    .send = peer_send,
    .flush = peer_flush,
};

/* --- make and free --- */

static void make_server(struct rpc_peer *peer)
{
    peer->quota = grpc_resource_quota_create("members");
    grpc_resource_quota_resize(peer->quota, MEMORY_BYTES_MAX);
    grpc_arg args[] = {
        rpc_arg_integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), /* members compress nothing: what is compressed is garbage */
        rpc_arg_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, PEER_FRAME_BYTES_MAX),
        rpc_arg_integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, IN_MAX),
        rpc_arg_integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, MIN_PING_INTERVAL_MS),
        rpc_arg_integer(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        {.type = GRPC_ARG_POINTER, .key = GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {.p = peer->quota, .vtable = grpc_resource_quota_arg_vtable()}},
        rpc_listener_arg(&peer->listener),
    };
    grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
    peer->server = grpc_server_create(&channel_args, NULL);
    ASSERT(peer->server != NULL);
    peer->callbacks = grpc_completion_queue_create_for_callback(&peer->callbacks_closed.functor, NULL);
    grpc_server_register_completion_queue(peer->server, peer->options.queue, NULL);
    peer->method = grpc_server_register_method(peer->server, "/kvd.Peer/Stream", NULL, GRPC_SRM_PAYLOAD_NONE, 0);
    ASSERT(peer->method != NULL);
}

struct rpc_peer *rpc_peer_new(const struct rpc_peer_options *options)
{
    ASSERT(options->self.member_id != 0 && options->keepalive_ns > 0 && options->queue != NULL);
    struct rpc_peer *peer = ALLOC(struct rpc_peer);
    peer->port.table = &PORT_TABLE;
    peer->options = *options;
    rng_init(&peer->rng, options->seed);
    list_init(&peer->ins);
    rpc_listener_init(&peer->listener, "external:peers", 0);
    rpc_signal_inbox_init_roused(&peer->inbox, rouse_role, &peer->port);
    rpc_signal_init(&peer->callbacks_closed, RPC_TAG_SHUTDOWN, &peer->inbox);
    rpc_signal_init(&peer->shutdown, RPC_TAG_SHUTDOWN, &peer->inbox);
    rpc_signal_init(&peer->arrived, RPC_TAG_IN_ARRIVED, &peer->inbox);
    make_server(peer);
    rpc_listener_bind(&peer->listener, peer->server, NULL);
    grpc_server_start(peer->server);
    rpc_unknown_init(&peer->unknown, peer->server, options->queue, &peer->inbox, false);
    arm(peer);
    return peer;
}

struct peer_port *rpc_peer_port(struct rpc_peer *peer)
{
    ASSERT(peer->port.table == &PORT_TABLE);
    return &peer->port;
}

void rpc_peer_adopt(struct rpc_peer *peer, int descriptor)
{
    ASSERT(peer->server != NULL);
    rpc_listener_adopt(&peer->listener, descriptor);
}

static bool is_at_rest(const struct rpc_peer *peer)
{
    for (uint32_t i = 0; i < peer->out_count; i++) {
        if (peer->outs[i]->call != NULL) return false;
    }
    return peer->is_shut_down && !rpc_unknown_is_busy(&peer->unknown) && !peer->is_armed && peer->in_count == 0;
}

static void end_streams(struct rpc_peer *peer)
{
    peer->is_ending = true;
    rpc_listener_close(&peer->listener);
    grpc_server_shutdown_and_notify(peer->server, peer->options.queue, rpc_signal_carrier(&peer->shutdown));
    for (uint32_t i = 0; i < peer->out_count; i++) rpc_peer_out_cut(peer->outs[i], "this member stops");
    for (struct list *at = peer->ins.next; at != &peer->ins; at = at->next) rpc_peer_in_cut(LIST_ENTRY(at, struct rpc_peer_in, node));
    grpc_server_cancel_all_calls(peer->server);
}

/* Whatever still comes is dropped. */
static void drain(struct rpc_peer *peer)
{
    struct peer_event event;
    struct rpc_signal *signal;
    peer->options.pump(peer->options.pump_context, clock_mono_ns() + NS_PER_MS);
    while ((signal = rpc_signal_take(&peer->inbox)) != NULL) {
        if (handle_signal(peer, signal, &event) && event.kind == PEER_BYTES) blob_unref(event.body);
    }
}

void rpc_peer_free(struct rpc_peer *peer)
{
    if (peer == NULL) return;
    end_streams(peer);
    uint64_t shut_ns = clock_mono_ns() + FREE_SHUT_NS;
    while (!is_at_rest(peer)) {
        drain(peer);
        if (clock_mono_ns() < shut_ns) continue;
        rpc_listener_shut_sockets(&peer->listener); /* what is left of ours has a limit in time of its own, by keepalive_ns */
        shut_ns = CLOCK_NEVER;
    }
    grpc_server_destroy(peer->server);
    rpc_signal_release(&peer->callbacks_closed);
    grpc_completion_queue_shutdown(peer->callbacks);
    while (!peer->is_callbacks_closed) drain(peer);
    grpc_completion_queue_destroy(peer->callbacks);
    rpc_signal_inbox_deinit(&peer->inbox);
    grpc_resource_quota_unref(peer->quota);
    rpc_listener_deinit(&peer->listener);
    for (uint32_t i = 0; i < peer->out_count; i++) alloc_free(peer->outs[i]);
    alloc_free(peer);
}
