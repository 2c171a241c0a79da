/* rpc_server: see rpc_server.h.
 *
 * Slots. The table holds calls_max calls of the role, the calls that gRPC was asked for (a few per method: each is a tag that libgrpc
 * scans at every completion), and RPC_SERVER_OWN_MAX that the port answers by itself. When no slot is free, a method is asked for
 * again as soon as one is (`owed`); until then gRPC keeps the client waiting.
 *
 * The turn. wait() blocks in the queue and keeps the event that it got; the role acts on its mail and on what take() drains, which
 * starts batches on this same thread; the first of these corks the writes, flush() uncorks. gRPC reads and writes sockets only inside these
 * calls (and on its own threads, for timers).
 *
 * The end. refuse() closes the listener and shuts the server down: requested calls come back not ok, connections get GOAWAY. free()
 * answers what is left, gives it a moment to leave, cancels, drains every tag, and only then destroys: gRPC hangs or crashes if a
 * tag or a call is left over. Calls of a connection whose client leaves its socket full give no tag back, cancelled or not, until it is shut. */
#include "rpc/rpc_server.h"

#include <grpc/grpc.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_arg.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_call.h"
#include "rpc/rpc_inflate.h"
#include "rpc/rpc_listener.h"
#include "rpc/rpc_unknown.h"
#include "rpc/rpc_wake.h"
#include "rpc/rpc_watch.h"

#define HOT_REQUESTS 12                 /* requested calls per hot method: 8–16 serve equally well */
#define OWN_MAX 256
#define OVERHEAD_BYTES (512 * 1024)     /* of a request message beyond the request itself, as in etcd */
#define FRAME_BYTES_MAX (1024 * 1024)
#define METADATA_BYTES_MAX 65536        /* long tokens */
#define STUCK_WAIT_NS NS_PER_MS         /* without a stuck function: until held bytes are tried again */
#define FREE_GRACE_NS (100 * NS_PER_MS) /* for the last answers */
#define FREE_SHUT_NS (2 * NS_PER_S)     /* then, for connections whose clients do not read */
#define BORROWED_MAX 1024               /* requests that one take hands out */

struct server_method {
    const struct rpc_method *method;
    void *registered;
    uint32_t owed; /* requests that found no free slot */
};

struct rpc_server {
    struct call_port port;
    struct rpc_server_options options;
    grpc_completion_queue *queue;
    grpc_server *server;
    grpc_resource_quota *quota;
    struct rpc_listener listener;
    struct rpc_listener tls_listener; /* bound if there is TLS */
    struct rpc_wake wake;
    struct rpc_signal_inbox inbox; /* of calls that wait */
    struct rpc_homes homes;
    struct rpc_unknown unknown;
    struct rpc_watch *watch;
    struct rpc_tag shutdown;
    bool is_refusing, is_shut_down;
    struct server_method *methods;
    uint32_t method_count;
    uint32_t owed; /* over all methods */
    struct rpc_call *calls;
    uint32_t *free_slots; /* a stack: a slot whose memory is warm is used first */
    uint32_t free_count;
    uint32_t open_count;  /* calls of the role */
    grpc_event kept;      /* wait()'s event, for the next take */
    bool has_kept;
    size_t stuck_count;   /* sockets that the next flush has to try again */
    grpc_byte_buffer *borrowed[BORROWED_MAX];
    size_t borrowed_count;
};

static struct rpc_server *server_of(struct call_port *port) { return (struct rpc_server *)(void *)port; }

/* The call of that name, NULL if the name is dead. */
static struct rpc_call *find_named(struct rpc_server *server, uint64_t name)
{
    uint32_t slot = (uint32_t)name;
    if (slot >= server->port.slot_count) return NULL;
    struct rpc_call *call = &server->calls[slot];
    ASSERT(call->slot == slot);
    return rpc_call_name(call) == name && !call->is_own ? call : NULL;
}

/* The same, if its answer is not under way. */
static struct rpc_call *find_call(struct rpc_server *server, uint64_t name)
{
    struct rpc_call *call = find_named(server, name);
    return call != NULL && call->state == RPC_CALL_OPEN && !call->ends_after_send ? call : NULL;
}

/* Asks gRPC for one more call of the method, or notes that it is owed. */
static void arm(struct rpc_server *server, uint32_t method)
{
    if (server->is_refusing) return;
    if (server->free_count == 0) {
        server->methods[method].owed++;
        server->owed++;
        return;
    }
    struct rpc_call *call = &server->calls[server->free_slots[--server->free_count]];
    call->method = method;
    bool waits = server->methods[method].method->waits;
    rpc_call_request(call, server->server, server->methods[method].registered, server->queue, waits ? &server->homes : NULL);
}

static void free_call(struct rpc_server *server, struct rpc_call *call)
{
    rpc_call_release(call);
    ASSERT(server->free_count < server->port.slot_count);
    server->free_slots[server->free_count++] = call->slot;
    for (uint32_t i = 0; server->owed > 0 && i < server->method_count; i++) {
        if (server->methods[i].owed == 0) continue;
        server->methods[i].owed--;
        server->owed--;
        arm(server, i);
        return;
    }
}

/* The port's own answer to a call that the role shall not see. */
static void answer_own(struct rpc_call *call, enum err err)
{
    call->is_own = true;
    rpc_call_answer(call, err, NULL);
}

/* A call came. Re-armed first, so that the next one finds a request. */
static size_t call_arrived(struct rpc_server *server, struct rpc_call *call, bool ok, struct call_event *out_event)
{
    if (!ok) {
        free_call(server, call);
        return 0;
    }
    rpc_call_open(call);
    arm(server, call->method);
    if (server->open_count >= server->options.calls_max) {
        answer_own(call, ERR_TOO_MANY_REQUESTS);
        return 0;
    }
    if (call->payload == NULL) { /* the client closed its side without a message, or went away */
        answer_own(call, ERR_MALFORMED);
        return 0;
    }
    enum err err = rpc_inflate(&call->payload, server->options.max_request_bytes + OVERHEAD_BYTES);
    if (err != ERR_OK) {
        answer_own(call, err);
        return 0;
    }
    server->open_count++;
    *out_event = (struct call_event){.kind = CALL_NEW, .call = rpc_call_name(call), .method = server->methods[call->method].method,
                                     .ok = true};
    rpc_call_read_metadata(call, out_event);
    if (out_event->method->id == RPC_HEALTH_WATCH || out_event->method->waits) rpc_call_watch(call);
    out_event->body = rpc_bytes_flatten(&call->payload);
    ASSERT(server->borrowed_count < BORROWED_MAX);
    server->borrowed[server->borrowed_count++] = call->payload;
    call->payload = NULL;
    return 1;
}

static size_t call_sent(struct rpc_call *call, bool ok, struct call_event *out_event)
{
    bool is_ending = call->ends_after_send;
    rpc_call_sent(call);
    if (is_ending) return 0; /* the role has said its last word: only CLOSED follows */
    *out_event = (struct call_event){.kind = CALL_SENT, .call = rpc_call_name(call), .ok = ok && !call->is_gone};
    return 1;
}

/* Both of the call's last tags are out. */
static size_t call_over(struct rpc_server *server, struct rpc_call *call, bool ok, struct call_event *out_event)
{
    *out_event = (struct call_event){.kind = CALL_CLOSED, .call = rpc_call_name(call), .ok = ok && !call->is_cancelled};
    bool is_own = call->is_own;
    free_call(server, call);
    if (is_own) return 0;
    ASSERT(server->open_count > 0);
    server->open_count--;
    return 1;
}

static size_t call_closed(struct rpc_server *server, struct rpc_call *call, bool ok, struct call_event *out_event)
{
    ASSERT(call->state == RPC_CALL_CLOSING && !call->is_answered);
    call->is_answered = true;
    return call->is_watched && !call->is_gone ? 0 : call_over(server, call, ok, out_event);
}

/* The client of a watched call went away, or the call is over. */
static size_t call_gone(struct rpc_server *server, struct rpc_call *call, struct call_event *out_event)
{
    ASSERT(call->is_watched && !call->is_gone);
    call->is_gone = true;
    if (call->is_answered) return call_over(server, call, true, out_event);
    if (call->state != RPC_CALL_OPEN || call->ends_after_send) return 0; /* what is under way ends it */
    if (call->away == NULL && call->is_sending) return 0;
    enum call_event_kind kind = call->away != NULL ? CALL_GONE : CALL_SENT;
    *out_event = (struct call_event){.kind = kind, .call = rpc_call_name(call), .ok = false};
    return call->is_own ? 0 : 1;
}

/* What one completion means; returns 1 if it is an event for the role. */
static size_t handle(struct rpc_server *server, const grpc_event *event, struct call_event *out_event)
{
    struct rpc_tag *tag = event->tag;
    bool ok = event->success != 0;
    RPC_TAG_ACQUIRE(tag);
    switch (tag->kind) {
    case RPC_TAG_CALL_ARRIVED: return call_arrived(server, LIST_ENTRY(tag, struct rpc_call, arrived), ok, out_event);
    case RPC_TAG_CALL_SENT: return call_sent(LIST_ENTRY(tag, struct rpc_call, sent), ok, out_event);
    case RPC_TAG_CALL_CLOSED: return call_closed(server, LIST_ENTRY(tag, struct rpc_call, closed), ok, out_event);
    case RPC_TAG_CALL_GONE: return call_gone(server, LIST_ENTRY(tag, struct rpc_call, gone), out_event);
    case RPC_TAG_UNKNOWN_ARRIVED: rpc_unknown_arrived(tag, ok); return 0;
    case RPC_TAG_UNKNOWN_ANSWERED: rpc_unknown_answered(tag); return 0;
    case RPC_TAG_WAKE: rpc_wake_answer(&server->wake); return 0;
    case RPC_TAG_SIGNAL: rpc_signal_pass(tag, ok); return 0;
    case RPC_TAG_SHUTDOWN: server->is_shut_down = true; return 0;
    default: ASSERT(false && "a tag of the client port"); return 0;
    }
}

/* The same of a call that lives on a callback queue. */
static size_t handle_signal(struct rpc_server *server, struct rpc_signal *signal, struct call_event *out_event)
{
    switch (signal->tag.kind) {
    case RPC_TAG_CALL_SENT: return call_sent(LIST_ENTRY(signal, struct rpc_call_away, sent)->call, signal->ok, out_event);
    case RPC_TAG_CALL_CLOSED: return call_closed(server, LIST_ENTRY(signal, struct rpc_call_away, closed)->call, signal->ok, out_event);
    case RPC_TAG_CALL_GONE: return call_gone(server, LIST_ENTRY(signal, struct rpc_call_away, gone)->call, out_event);
    default: ASSERT(false && "a signal of a call"); return 0;
    }
}

static void release_borrowed(struct rpc_server *server)
{
    ASSERT(server->borrowed_count <= BORROWED_MAX);
    for (size_t i = 0; i < server->borrowed_count; i++) grpc_byte_buffer_destroy(server->borrowed[i]);
    server->borrowed_count = 0;
}

/* Bounded in completions too, since not each of them is an event. */
static size_t server_take(struct call_port *port, struct call_event *out_events, size_t max)
{
    struct rpc_server *server = server_of(port);
    ASSERT(out_events != NULL && max > 0);
    if (max > BORROWED_MAX) max = BORROWED_MAX;
    release_borrowed(server);
    coalescer_cork();
    size_t count = 0;
    struct rpc_signal *signal;
    for (size_t looked = 0; count < max && looked < 2 * max && (signal = rpc_signal_take(&server->inbox)) != NULL; looked++) {
        count += handle_signal(server, signal, &out_events[count]);
    }
    for (size_t looked = 0; count < max && looked < 2 * max; looked++) {
        if (!server->has_kept) server->kept = grpc_completion_queue_next(server->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
        server->has_kept = false;
        if (server->kept.type != GRPC_OP_COMPLETE) break;
        count += handle(server, &server->kept, &out_events[count]);
    }
    return count;
}

static void server_flush(struct call_port *port)
{
    struct rpc_server *server = server_of(port);
    ASSERT(server->queue != NULL);
    server->stuck_count = coalescer_uncork();
}

static void server_wait(struct call_port *port, uint64_t deadline_ns)
{
    struct rpc_server *server = server_of(port);
    if (server->has_kept || !rpc_signal_sleep(&server->inbox)) return;
    if (server->stuck_count > 0) {
        gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
        uint64_t retry_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec + STUCK_WAIT_NS;
        if (retry_ns < deadline_ns) deadline_ns = retry_ns;
    }
    grpc_event event = grpc_completion_queue_next(server->queue, rpc_tag_deadline(deadline_ns), NULL);
    rpc_signal_awake(&server->inbox);
    if (event.type != GRPC_OP_COMPLETE) return;
    struct rpc_tag *tag = event.tag;
    RPC_TAG_ACQUIRE(tag);
    if (tag->kind == RPC_TAG_WAKE) {
        rpc_wake_answer(&server->wake);
    } else if (tag->kind == RPC_TAG_SIGNAL) { /* before the role's own step: somebody else waits for it */
        rpc_signal_pass(tag, event.success != 0);
    } else {
        server->kept = event;
        server->has_kept = true;
    }
}

static void server_ring(struct call_port *port) { rpc_wake_ring(&server_of(port)->wake); }

static void drop_pieces(struct blob **pieces, size_t piece_count)
{
    for (size_t i = 0; i < piece_count; i++) blob_unref(pieces[i]);
}

static void server_reply(struct call_port *port, uint64_t name, enum err err, struct slice head, struct blob **pieces,
                         size_t piece_count)
{
    struct rpc_call *call = find_call(server_of(port), name);
    if (call == NULL || err != ERR_OK) drop_pieces(pieces, piece_count);
    if (call == NULL) return;
    ASSERT(!call->is_sending);
    coalescer_cork();
    rpc_call_answer(call, err, err != ERR_OK ? NULL : rpc_bytes_make(head, pieces, piece_count));
}

static void server_send(struct call_port *port, uint64_t name, struct slice head, struct blob **pieces, size_t piece_count)
{
    struct rpc_call *call = find_call(server_of(port), name);
    if (call == NULL) {
        drop_pieces(pieces, piece_count);
        return;
    }
    ASSERT(!call->is_sending);
    coalescer_cork();
    rpc_call_send(call, rpc_bytes_make(head, pieces, piece_count));
}

static void server_finish(struct call_port *port, uint64_t name, enum err err)
{
    ASSERT(err_text(err) != NULL);
    struct rpc_call *call = find_named(server_of(port), name);
    if (call == NULL) return;
    bool is_ending = call->state == RPC_CALL_CLOSING || (call->state == RPC_CALL_OPEN && call->ends_after_send);
    if (is_ending && err != ERR_OK) rpc_call_cancel(call, err);
    coalescer_cork();
    if (call->state == RPC_CALL_OPEN && !call->ends_after_send) rpc_call_finish(call, err);
}

static void server_refuse(struct call_port *port)
{
    struct rpc_server *server = server_of(port);
    if (server->is_refusing) return;
    ASSERT(!server->is_shut_down);
    server->is_refusing = true;
    rpc_listener_close(&server->listener);
    rpc_listener_close(&server->tls_listener);
    RPC_TAG_RELEASE(&server->shutdown);
    grpc_server_shutdown_and_notify(server->server, server->queue, &server->shutdown);
}

static const struct call_port_table PORT_TABLE = {
    .take = server_take,
    .wait = server_wait,
    .ring = server_ring,
    .reply = server_reply,
    .send = server_send,
    .finish = server_finish,
    .flush = server_flush,
    .refuse = server_refuse,
};

static void make_server(struct rpc_server *server)
{
    const struct rpc_server_options *options = &server->options;
    server->quota = grpc_resource_quota_create("clients");
    grpc_resource_quota_resize(server->quota, options->memory_bytes_max);
    grpc_arg args[] = {
        rpc_arg_integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        rpc_arg_integer(GRPC_ARG_HTTP2_BDP_PROBE, 0), /* small calls; streams of large messages go between members */
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0), /* rpc_inflate */
        rpc_arg_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, options->max_request_bytes + OVERHEAD_BYTES),
        rpc_arg_integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, options->max_concurrent_streams),
        rpc_arg_integer(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, options->keepalive_min_time_ns / NS_PER_MS),
        rpc_arg_integer(GRPC_ARG_KEEPALIVE_TIME_MS, options->keepalive_interval_ns / NS_PER_MS),
        rpc_arg_integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, options->keepalive_timeout_ns / NS_PER_MS),
        rpc_arg_integer(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, FRAME_BYTES_MAX),
        rpc_arg_integer(GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES_MAX),
        {.type = GRPC_ARG_POINTER, .key = GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {.p = server->quota, .vtable = grpc_resource_quota_arg_vtable()}},
        rpc_arg_integer(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, RPC_SERVER_HANDSHAKE_NS / NS_PER_MS),
        rpc_listener_arg(&server->listener),
        rpc_listener_arg(&server->tls_listener),
    };
    grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
    server->server = grpc_server_create(&channel_args, NULL);
    ASSERT(server->server != NULL);
    server->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(server->server, server->queue, NULL);
}

/* What is not built yet, and the streams that are not net's, are left to rpc_unknown. */
static void register_methods(struct rpc_server *server)
{
    size_t count;
    const struct rpc_method *table = rpc_method_table(&count);
    server->methods = alloc_zero(count, sizeof *server->methods);
    for (size_t i = 0; i < count; i++) {
        if (table[i].owner != RPC_OWNER_NET || table[i].id == RPC_OTHER) continue;
        ASSERT(table[i].kind != RPC_BIDI);
        struct server_method *method = &server->methods[server->method_count++];
        method->method = &table[i];
        method->registered =
            grpc_server_register_method(server->server, table[i].path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        ASSERT(method->registered != NULL);
    }
}

static uint32_t request_count(const struct server_method *method) { return method->method->is_hot ? HOT_REQUESTS : 1; }

static void make_slots(struct rpc_server *server)
{
    uint32_t count = server->options.calls_max + OWN_MAX;
    for (uint32_t i = 0; i < server->method_count; i++) count += request_count(&server->methods[i]);
    server->port.slot_count = count;
    server->calls = alloc_zero(count, sizeof *server->calls);
    server->free_slots = alloc_zero(count, sizeof *server->free_slots);
    for (uint32_t i = 0; i < count; i++) {
        rpc_call_init(&server->calls[i], i);
        server->free_slots[server->free_count++] = count - 1 - i;
    }
    ASSERT(server->free_count == server->port.slot_count);
}

static void bind_listeners(struct rpc_server *server)
{
    rpc_listener_bind(&server->listener, server->server, NULL);
    if (server->options.tls == NULL) return;
    grpc_server_credentials *credentials = rpc_tls_credentials(server->options.tls);
    rpc_listener_bind(&server->tls_listener, server->server, credentials);
    grpc_server_credentials_release(credentials);
}

struct rpc_server *rpc_server_new(const struct rpc_server_options *options)
{
    ASSERT(options->calls_max > 0 && options->calls_max < UINT32_MAX / 2);
    ASSERT(options->max_request_bytes > 0 && options->memory_bytes_max > 0);
    struct rpc_server *server = ALLOC(struct rpc_server);
    server->port.table = &PORT_TABLE;
    server->options = *options;
    server->shutdown.kind = RPC_TAG_SHUTDOWN;
    rpc_listener_init(&server->listener, "external:clients", options->keepalive_timeout_ns);
    rpc_listener_init(&server->tls_listener, "external:clients-tls", options->keepalive_timeout_ns);
    make_server(server);
    register_methods(server);
    if (options->streams_max[WATCH_METHOD_WATCH] > 0) {
        server->watch = rpc_watch_new(server->server, options->streams_max, options->max_request_bytes + OVERHEAD_BYTES);
    }
    make_slots(server);
    rpc_signal_inbox_init(&server->inbox, &server->wake);
    rpc_homes_init(&server->homes, &server->inbox, server->port.slot_count);
    bind_listeners(server);
    grpc_server_start(server->server);
    rpc_wake_init(&server->wake, server->queue);
    if (server->watch != NULL) rpc_watch_start(server->watch);
    rpc_unknown_init(&server->unknown, server->server, server->queue, NULL, true);
    for (uint32_t i = 0; i < server->method_count; i++) {
        for (uint32_t k = 0; k < request_count(&server->methods[i]); k++) arm(server, i);
    }
    return server;
}

struct call_port *rpc_server_port(struct rpc_server *server)
{
    ASSERT(server->port.table == &PORT_TABLE);
    return &server->port;
}

struct watch_port *rpc_server_watch_port(struct rpc_server *server)
{
    return server->watch == NULL ? NULL : rpc_watch_port(server->watch);
}

void rpc_server_adopt(struct rpc_server *server, int descriptor)
{
    ASSERT(server->server != NULL);
    rpc_listener_adopt(&server->listener, descriptor);
}

void rpc_server_adopt_tls(struct rpc_server *server, int descriptor)
{
    ASSERT(server->options.tls != NULL);
    rpc_listener_adopt(&server->tls_listener, descriptor);
}

grpc_completion_queue *rpc_server_queue(struct rpc_server *server) { return server->queue; }

void rpc_server_pump(void *context, uint64_t until_ns)
{
    struct rpc_server *server = context;
    struct call_event event;
    if (!server->has_kept) server->kept = grpc_completion_queue_next(server->queue, rpc_tag_deadline(until_ns), NULL);
    server->has_kept = false;
    if (server->kept.type != GRPC_OP_COMPLETE) return;
    (void)handle(server, &server->kept, &event); /* a call that comes now is ended by rpc_server_free */
    release_borrowed(server);
}

static bool is_at_rest(struct rpc_server *server)
{
    struct call_event event;
    struct rpc_signal *signal;
    while ((signal = rpc_signal_take(&server->inbox)) != NULL) (void)handle_signal(server, signal, &event);
    bool is_watch_at_rest = server->watch == NULL || rpc_watch_drain(server->watch);
    return is_watch_at_rest && server->is_shut_down && !rpc_unknown_is_busy(&server->unknown) && server->free_count == server->port.slot_count;
}

/* Takes tags until every slot is free and the server is gone, or until the deadline. The watch streams' tags come to a queue of their own,
 * those of calls that wait as signals: they are looked at in between. */
static void drain_calls(struct rpc_server *server, gpr_timespec deadline)
{
    struct call_event event;
    while (!is_at_rest(server)) {
        gpr_timespec turn = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(1, GPR_TIMESPAN));
        bool is_last = gpr_time_cmp(deadline, turn) <= 0;
        if (!server->has_kept) server->kept = grpc_completion_queue_next(server->queue, is_last ? deadline : turn, NULL);
        server->has_kept = false;
        if (server->kept.type != GRPC_OP_COMPLETE && !is_last) continue;
        if (server->kept.type != GRPC_OP_COMPLETE) return;
        (void)handle(server, &server->kept, &event);
        release_borrowed(server);
    }
}

static void end_open_calls(struct rpc_server *server)
{
    ASSERT(server->is_refusing);
    for (uint32_t i = 0; i < server->port.slot_count; i++) {
        struct rpc_call *call = &server->calls[i];
        if (call->state == RPC_CALL_OPEN && !call->ends_after_send) rpc_call_finish(call, ERR_STOPPED);
    }
}

/* Calls that arrived before the shutdown and are still in the queue turn open while it is drained: hence the rounds. */
void rpc_server_free(struct rpc_server *server)
{
    if (server == NULL) return;
    server_refuse(&server->port);
    release_borrowed(server);
    (void)coalescer_uncork();
    end_open_calls(server);
    drain_calls(server, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(FREE_GRACE_NS, GPR_TIMESPAN)));
    grpc_server_cancel_all_calls(server->server);
    uint64_t shut_ns = clock_mono_ns() + FREE_SHUT_NS;
    while (!is_at_rest(server)) {
        end_open_calls(server);
        drain_calls(server, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(10, GPR_TIMESPAN)));
        if (clock_mono_ns() < shut_ns) continue;
        rpc_listener_shut_sockets(&server->listener);
        rpc_listener_shut_sockets(&server->tls_listener);
        shut_ns = CLOCK_NEVER;
    }
    grpc_server_destroy(server->server);
    rpc_watch_free(server->watch);
    rpc_homes_deinit(&server->homes);
    rpc_signal_inbox_deinit(&server->inbox);
    rpc_wake_deinit(&server->wake);
    grpc_completion_queue_shutdown(server->queue);
    while (grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN) continue;
    grpc_completion_queue_destroy(server->queue);
    grpc_resource_quota_unref(server->quota);
    rpc_listener_deinit(&server->listener);
    rpc_listener_deinit(&server->tls_listener);
    alloc_free(server->methods);
    alloc_free(server->calls);
    alloc_free(server->free_slots);
    alloc_free(server);
}
