/* rpc_watch: see rpc_watch.h.
 *
 * A stream's batches: one receive, one send, one end, each with its signal; it is over when the end is done and none is outstanding. A
 * client that vanishes is met by the receive, or, where the role does not want a message now, by the send that is then under way.
 *
 * A small message is held back until the next one comes, or the flush: so gRPC is told of each whether another one follows
 * (GRPC_WRITE_BUFFER_HINT), puts it beside the others, and writes them in one go with the last. Such a run ends after
 * WATCH_PORT_RUN_BYTES, and there is none while all runs whose end was not written yet, because their clients do not read, have
 * WATCH_PORT_RUNS_BYTES. A batch is nearly always done when its start returns; then the role goes on without another look at the inbox. */
#include "rpc/rpc_watch.h"

#include <grpc/support/alloc.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_homes.h"
#include "rpc/rpc_inflate.h"
#include "rpc/rpc_metadata.h"
#include "rpc/rpc_still.h"
#include "rpc/rpc_tag.h"
#include "rpc/rpc_wake.h"

#define BORROWED_MAX 256
#define STUCK_WAIT_NS NS_PER_MS /* without a stuck function: until held bytes are tried again */
#define ADDRESS_BYTES 56 /* an IPv6 address with its zone and port; a longer one is cut */
#define PARTING_NS (100 * NS_PER_MS)
#define HELD_BYTES_MAX 4096 /* a message beyond it leaves at once */
#define OWN_MAX 64 /* streams that the port itself turns away at the same time */
#define SPARES_MAX 256 /* byte buffers that are kept for the next messages */

/* One request of each method is armed as long as there is a slot for it. */
struct watch_arrival {
    void *method;
    struct rpc_tag arrived;
    bool is_armed;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    struct rpc_home *home;
    uint32_t streams_max, stream_count;
};

struct watch_call {
    struct rpc_watch *watch;
    struct watch_arrival *arrival; /* of its method */
    struct rpc_home *home;
    grpc_call *call;
    uint32_t slot, generation;
    uint32_t batches;
    bool is_own;               /* turned away; the role does not hear of it */
    bool is_greeted, is_receiving;
    bool is_sending;           /* `answer` is gRPC's */
    bool is_run;               /* `answer` need not be written yet */
    bool owes_sent;            /* the role waits for SENT */
    bool is_finished;          /* the end was asked for */
    bool is_ending;            /* and its batch started */
    bool is_ended;             /* and is done */
    enum err end;
    struct rpc_signal received, sent, finished;
    grpc_byte_buffer *message, *answer;
    grpc_byte_buffer *held;    /* goes behind `answer`, or without one when the next message comes, or with the flush; NULL = none */
    struct list of_held;       /* in watch->held, if there is no `answer`; in watch->parting */
    uint64_t parts_ns;
    size_t run_bytes;          /* that gRPC was told to put beside others, since all before was written */
    grpc_slice text;
    int is_cancelled;
    char address[ADDRESS_BYTES];
};

struct rpc_watch {
    struct watch_port port;
    grpc_server *server;
    struct rpc_still still;        /* arrivals; the role waits here */
    struct watch_arrival arrivals[WATCH_METHODS];
    struct rpc_wake wake;
    struct rpc_signal_inbox inbox;
    bool is_refusing;
    uint32_t armed_count, own_count;
    struct watch_call **calls;     /* by slot; the streams of all methods + OWN_MAX */
    uint32_t *generations;
    uint32_t *free_slots;
    uint32_t free_count, slot_count;
    struct rpc_homes homes;
    grpc_byte_buffer *borrowed[BORROWED_MAX];
    size_t borrowed_count;
    grpc_byte_buffer *spares[SPARES_MAX]; /* empty */
    size_t spare_count;
    struct list held;              /* calls */
    struct list parting;           /* calls, soonest first: what they send is given up then */
    size_t run_bytes;              /* of all calls */
    size_t message_bytes_max;      /* inflated */
    size_t stuck_count;            /* sockets that the next flush has to try again */
};

static struct rpc_watch *watch_of(struct watch_port *port) { return (struct rpc_watch *)(void *)port; }

static uint64_t name_of(const struct watch_call *call) { return (uint64_t)call->generation << 32 | call->slot; }

static struct watch_call *find(struct rpc_watch *watch, uint64_t name)
{
    uint32_t slot = (uint32_t)name;
    if (slot >= watch->slot_count || watch->calls[slot] == NULL) return NULL;
    struct watch_call *call = watch->calls[slot];
    ASSERT(call->slot == slot);
    return name_of(call) == name && !call->is_own ? call : NULL;
}

/* --- arrivals --- */

static void arm(struct rpc_watch *watch, struct watch_arrival *arrival)
{
    if (arrival->is_armed || watch->is_refusing || watch->free_count <= watch->armed_count) return;
    arrival->home = rpc_homes_enter(&watch->homes);
    grpc_metadata_array_init(&arrival->metadata);
    RPC_TAG_RELEASE(&arrival->arrived);
    grpc_call_error error =
        grpc_server_request_registered_call(watch->server, arrival->method, &arrival->call, &arrival->deadline, &arrival->metadata,
                                            NULL, arrival->home->queue, watch->still.queue, &arrival->arrived);
    ASSERT(error == GRPC_CALL_OK);
    arrival->is_armed = true;
    watch->armed_count++;
}

static void arm_all(struct rpc_watch *watch)
{
    for (uint32_t i = 0; i < WATCH_METHODS; i++) arm(watch, &watch->arrivals[i]);
}

static void start(struct watch_call *call, const grpc_op *ops, size_t op_count, struct rpc_signal *signal)
{
    rpc_signal_release(signal);
    call->batches++;
    grpc_call_error error = grpc_call_start_batch(call->call, ops, op_count, &signal->functor, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static void start_end(struct watch_call *call)
{
    ASSERT(call->is_finished && !call->is_ending && !call->is_sending);
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}, {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    call->is_ending = true;
    call->text = grpc_slice_from_static_string(err_text(call->end));
    ops[1].data.send_status_from_server.status = (grpc_status_code)err_grpc_code(call->end);
    ops[1].data.send_status_from_server.status_details = call->end == ERR_OK ? NULL : &call->text;
    ops[2].data.recv_close_on_server.cancelled = &call->is_cancelled;
    size_t first = call->is_greeted ? 1 : 0;
    start(call, ops + first, 3 - first, &call->finished);
}

/* Making and freeing a byte buffer costs as much as a good part of a small message. */
static grpc_byte_buffer *make_bytes(struct rpc_watch *watch, struct slice head, struct blob *rest)
{
    if (watch->spare_count == 0) return rpc_bytes_make(head, &rest, rest == NULL ? 0 : 1);
    grpc_byte_buffer *bytes = watch->spares[--watch->spare_count];
    rpc_bytes_put(bytes, head, &rest, rest == NULL ? 0 : 1);
    return bytes;
}

static void drop_bytes(struct rpc_watch *watch, grpc_byte_buffer *bytes)
{
    if (watch->spare_count == SPARES_MAX) {
        grpc_byte_buffer_destroy(bytes);
        return;
    }
    rpc_bytes_clear(bytes);
    watch->spares[watch->spare_count++] = bytes;
}

static void hold(struct watch_call *call, grpc_byte_buffer *bytes)
{
    ASSERT(call->held == NULL);
    call->held = bytes;
    if (!call->is_sending) list_push_back(&call->watch->held, &call->of_held);
}

static void drop_held(struct watch_call *call)
{
    list_remove(&call->of_held);
    if (call->held != NULL) drop_bytes(call->watch, call->held);
    call->held = NULL;
}

static void run_is_over(struct watch_call *call)
{
    ASSERT(call->watch->run_bytes >= call->run_bytes);
    call->watch->run_bytes -= call->run_bytes;
    call->run_bytes = 0;
}

static bool may_run(struct watch_call *call, size_t size)
{
    if (call->run_bytes + size > WATCH_PORT_RUN_BYTES || call->watch->run_bytes + size > WATCH_PORT_RUNS_BYTES) return false;
    call->run_bytes += size;
    call->watch->run_bytes += size;
    return true;
}

static void answer_taken(struct watch_call *call)
{
    if (!call->is_run) run_is_over(call);
    call->batches--;
    call->is_sending = false;
    drop_bytes(call->watch, call->answer);
    call->answer = NULL;
}

/* False: it is on its way, and its signal comes. */
static bool start_send(struct watch_call *call, grpc_byte_buffer *bytes, bool is_followed)
{
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}};
    size_t first = call->is_greeted ? 1 : 0;
    ASSERT(!call->is_sending && call->answer == NULL && !(is_followed && first == 0));
    call->is_run = is_followed && may_run(call, grpc_byte_buffer_length(bytes));
    if (call->is_run) ops[1].flags = GRPC_WRITE_BUFFER_HINT;
    ops[1].data.send_message.send_message = call->answer = bytes;
    call->is_greeted = call->is_sending = true;
    call->batches++;
    rpc_signal_catch(&call->sent);
    grpc_call_error error = grpc_call_start_batch(call->call, ops + first, 2 - first, &call->sent.functor, NULL);
    ASSERT(error == GRPC_CALL_OK);
    if (!rpc_signal_caught(&call->sent)) return false;
    if (!call->sent.ok) {
        rpc_signal_post(&call->sent); /* the role is to hear of it */
        return false;
    }
    answer_taken(call);
    return true;
}

static bool start_held(struct watch_call *call, bool is_followed)
{
    grpc_byte_buffer *bytes = call->held;
    ASSERT(bytes != NULL);
    call->held = NULL;
    list_remove(&call->of_held);
    return start_send(call, bytes, is_followed);
}

static void give_up(struct watch_call *call)
{
    (void)grpc_call_cancel_with_status(call->call, (grpc_status_code)err_grpc_code(call->end), err_text(call->end), NULL);
}

/* With an error, what the role waits for is given up at once; what it takes for sent has a moment, since another thread may be writing. */
static void end_when_sent(struct watch_call *call)
{
    if (!call->is_sending) {
        start_end(call);
    } else if (call->end != ERR_OK && call->owes_sent) {
        give_up(call);
    } else if (call->end != ERR_OK) {
        call->parts_ns = clock_mono_ns() + PARTING_NS;
        list_push_back(&call->watch->parting, &call->of_held);
    }
}

static void give_up_parting(struct rpc_watch *watch)
{
    uint64_t now_ns = list_is_empty(&watch->parting) ? 0 : clock_mono_ns();
    while (!list_is_empty(&watch->parting)) {
        struct watch_call *call = LIST_ENTRY(watch->parting.next, struct watch_call, of_held);
        if (call->parts_ns > now_ns) return;
        list_remove(&call->of_held);
        give_up(call);
    }
}

static void finish(struct watch_call *call, enum err err)
{
    if (call->is_finished) return;
    call->is_finished = true;
    call->end = err;
    if (call->held == NULL || call->is_sending) end_when_sent(call); /* else the flush does */
}

/* A client of gRPC's C core drops what it has not read when an error comes: so what was sent before leaves before it. */
static void flush_held(struct rpc_watch *watch)
{
    struct list ended;
    list_init(&ended);
    while (!list_is_empty(&watch->held)) {
        struct watch_call *call = LIST_ENTRY(watch->held.next, struct watch_call, of_held);
        (void)start_held(call, false);
        if (call->is_finished) list_push_back(&ended, &call->of_held);
    }
    if (list_is_empty(&ended)) return;
    (void)coalescer_uncork();
    coalescer_cork();
    while (!list_is_empty(&ended)) end_when_sent(LIST_ENTRY(list_pop_front(&ended), struct watch_call, of_held));
}

/* gRPC says "ipv4:10.0.0.7:4242" and "ipv6:%5Bfd00::7%5D:4242". */
static void read_address(struct watch_call *call)
{
    char *peer = grpc_call_get_peer(call->call);
    const char *from = strchr(peer, ':');
    size_t size = 0;
    for (from = from == NULL ? peer : from + 1; *from != '\0' && size + 1 < ADDRESS_BYTES; from++) {
        unsigned byte = (unsigned char)*from;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) from += 2;
        call->address[size++] = (char)byte;
    }
    call->address[size] = '\0';
    gpr_free(peer);
}

static struct watch_call *open_call(struct rpc_watch *watch, struct watch_arrival *arrival)
{
    struct watch_call *call = ALLOC(struct watch_call);
    uint32_t slot = watch->free_slots[--watch->free_count];
    *call = (struct watch_call){.watch = watch, .arrival = arrival, .home = arrival->home, .call = arrival->call, .slot = slot,
                                .generation = watch->generations[slot], .text = grpc_empty_slice()};
    list_init(&call->of_held);
    rpc_signal_init(&call->received, RPC_TAG_WATCH_RECEIVED, &watch->inbox);
    rpc_signal_init(&call->sent, RPC_TAG_WATCH_SENT, &watch->inbox);
    rpc_signal_init(&call->finished, RPC_TAG_WATCH_FINISHED, &watch->inbox);
    read_address(call);
    watch->calls[slot] = call;
    arrival->call = NULL;
    return call;
}

static struct watch_event event_of(const struct watch_call *call, enum watch_event_kind kind)
{
    return (struct watch_event){.kind = kind, .method = (enum watch_method)(call->arrival - call->watch->arrivals), .stream = name_of(call)};
}

static size_t call_arrived(struct rpc_watch *watch, struct watch_arrival *arrival, bool ok, struct watch_event *out_event)
{
    struct rpc_metadata metadata;
    rpc_metadata_read(&arrival->metadata, &metadata); /* empty where no call came */
    arrival->is_armed = false;
    watch->armed_count--;
    grpc_metadata_array_destroy(&arrival->metadata);
    if (!ok) {
        rpc_homes_leave(arrival->home);
        return 0;
    }
    struct watch_call *call = open_call(watch, arrival);
    arm(watch, arrival);
    call->is_own = arrival->stream_count >= arrival->streams_max || watch->is_refusing;
    if (call->is_own) {
        watch->own_count++;
        finish(call, watch->is_refusing ? ERR_STOPPED : ERR_TOO_MANY_REQUESTS);
        return 0;
    }
    arrival->stream_count++;
    *out_event = event_of(call, WATCH_OPEN);
    out_event->address = slice_from_string(call->address);
    out_event->require_leader = metadata.require_leader;
    memcpy(out_event->api_version, metadata.api_version, sizeof(out_event->api_version));
    out_event->ok = true;
    return 1;
}

/* --- completions --- */

static void free_call(struct watch_call *call)
{
    struct rpc_watch *watch = call->watch;
    ASSERT(call->batches == 0 && call->answer == NULL && call->held == NULL);
    if (call->message != NULL) grpc_byte_buffer_destroy(call->message);
    run_is_over(call);
    grpc_call_unref(call->call);
    rpc_homes_leave(call->home);
    watch->calls[call->slot] = NULL;
    if (++watch->generations[call->slot] == 0) watch->generations[call->slot] = 1; /* 0 names no stream */
    watch->free_slots[watch->free_count++] = call->slot;
    if (call->is_own) watch->own_count--;
    else call->arrival->stream_count--;
    alloc_free(call);
    arm_all(watch);
}

static size_t over(struct watch_call *call, struct watch_event *out_event)
{
    if (!call->is_ended || call->batches > 0) return 0;
    bool is_own = call->is_own;
    *out_event = event_of(call, WATCH_CLOSED);
    free_call(call);
    return is_own ? 0 : 1;
}

static size_t received(struct watch_call *call, bool ok, struct watch_event *out_event)
{
    struct rpc_watch *watch = call->watch;
    call->batches--;
    call->is_receiving = false;
    if (call->is_finished) return over(call, out_event);
    *out_event = event_of(call, WATCH_MESSAGE);
    out_event->ok = ok && call->message != NULL;
    if (call->message == NULL) return 1;
    out_event->err = rpc_inflate(&call->message, watch->message_bytes_max);
    out_event->body = rpc_bytes_flatten(&call->message);
    ASSERT(watch->borrowed_count < BORROWED_MAX);
    watch->borrowed[watch->borrowed_count++] = call->message;
    call->message = NULL;
    return 1;
}

static size_t sent(struct watch_call *call, bool ok, struct watch_event *out_event)
{
    answer_taken(call);
    list_remove(&call->of_held);
    bool is_lost = !ok || (call->is_finished && call->end != ERR_OK);
    if (is_lost) drop_held(call);
    if (call->held != NULL) (void)start_held(call, false);
    if (call->is_finished) {
        if (!call->is_sending) start_end(call);
        return 0;
    }
    if (ok && !call->owes_sent) return 0;
    call->owes_sent = false;
    *out_event = event_of(call, WATCH_SENT);
    out_event->ok = ok;
    return 1;
}

static size_t finished(struct watch_call *call, struct watch_event *out_event)
{
    call->batches--;
    call->is_ended = true;
    ASSERT(call->is_ending);
    /* A client that sends on would keep the receive waiting: the call is over, so gRPC completes it. */
    return over(call, out_event);
}

static size_t handle(struct rpc_signal *signal, struct watch_event *out_event)
{
    switch (signal->tag.kind) {
    case RPC_TAG_WATCH_RECEIVED: return received(LIST_ENTRY(signal, struct watch_call, received), signal->ok, out_event);
    case RPC_TAG_WATCH_SENT: return sent(LIST_ENTRY(signal, struct watch_call, sent), signal->ok, out_event);
    case RPC_TAG_WATCH_FINISHED: return finished(LIST_ENTRY(signal, struct watch_call, finished), out_event);
    default: ASSERT(false && "a signal of a watch stream"); return 0;
    }
}

static void release_borrowed(struct rpc_watch *watch)
{
    ASSERT(watch->borrowed_count <= BORROWED_MAX);
    for (size_t i = 0; i < watch->borrowed_count; i++) grpc_byte_buffer_destroy(watch->borrowed[i]);
    watch->borrowed_count = 0;
}

/* One completion of the arrivals' queue; false: look no further. */
static bool take_arrival(struct rpc_watch *watch, struct watch_event *out_event, size_t *count)
{
    grpc_event event;
    if (!rpc_still_take(&watch->still, &event)) return false;
    struct rpc_tag *tag = event.tag;
    RPC_TAG_ACQUIRE(tag);
    if (tag->kind == RPC_TAG_WAKE) {
        rpc_wake_answer(&watch->wake);
        return false;
    }
    ASSERT(tag->kind == RPC_TAG_WATCH_ARRIVED);
    *count += call_arrived(watch, LIST_ENTRY(tag, struct watch_arrival, arrived), event.success != 0, out_event);
    return true;
}

static size_t watch_take(struct watch_port *port, struct watch_event *out_events, size_t max)
{
    struct rpc_watch *watch = watch_of(port);
    size_t count = 0;
    struct rpc_signal *signal;
    ASSERT(max > 0);
    if (max > BORROWED_MAX) max = BORROWED_MAX;
    release_borrowed(watch);
    coalescer_cork();
    give_up_parting(watch);
    bool is_looking = rpc_still_is_due(&watch->still) || watch->is_refusing;
    for (size_t looked = 0; is_looking && looked < max && count < max; looked++) {
        is_looking = take_arrival(watch, &out_events[count], &count);
    }
    for (size_t looked = 0; looked < 2 * max && count < max && (signal = rpc_signal_take(&watch->inbox)) != NULL; looked++) {
        count += handle(signal, &out_events[count]);
    }
    return count;
}

static void watch_flush(struct watch_port *port)
{
    struct rpc_watch *watch = watch_of(port);
    flush_held(watch);
    watch->stuck_count = coalescer_uncork();
}

static void watch_wait(struct watch_port *port, uint64_t deadline_ns)
{
    struct rpc_watch *watch = watch_of(port);
    if (watch->stuck_count > 0) {
        uint64_t retry_ns = clock_mono_ns() + STUCK_WAIT_NS;
        if (retry_ns < deadline_ns) deadline_ns = retry_ns;
    }
    if (!list_is_empty(&watch->parting)) {
        uint64_t parts_ns = LIST_ENTRY(watch->parting.next, struct watch_call, of_held)->parts_ns;
        if (parts_ns < deadline_ns) deadline_ns = parts_ns;
    }
    rpc_still_wait(&watch->still, &watch->inbox, deadline_ns);
}

static void watch_ring(struct watch_port *port) { rpc_wake_ring(&watch_of(port)->wake); }

static void watch_next_message(struct watch_port *port, uint64_t name)
{
    struct watch_call *call = find(watch_of(port), name);
    if (call == NULL || call->is_finished || call->is_receiving) return;
    ASSERT(call->message == NULL);
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->message};
    call->is_receiving = true;
    start(call, &op, 1, &call->received);
}

/* At most one message waits behind the one that is on its way. */
static bool watch_send(struct watch_port *port, uint64_t name, struct slice head, struct blob *rest)
{
    struct watch_call *call = find(watch_of(port), name);
    if (call == NULL || call->is_finished) {
        blob_unref(rest);
        return false;
    }
    ASSERT(!call->owes_sent);
    bool is_small = head.size + blob_slice(rest).size <= HELD_BYTES_MAX;
    grpc_byte_buffer *bytes = make_bytes(call->watch, head, rest);
    if (call->held != NULL) (void)start_held(call, true);
    if (call->is_sending || (is_small && call->is_greeted)) {
        hold(call, bytes);
        call->owes_sent = call->is_sending;
    } else {
        call->owes_sent = !start_send(call, bytes, false);
    }
    return !call->owes_sent;
}

static void watch_finish(struct watch_port *port, uint64_t name, enum err err)
{
    struct watch_call *call = find(watch_of(port), name);
    if (call != NULL) finish(call, err);
}

static const struct watch_port_table PORT_TABLE = {
    .take = watch_take,
    .flush = watch_flush,
    .wait = watch_wait,
    .ring = watch_ring,
    .next = watch_next_message,
    .send = watch_send,
    .finish = watch_finish,
};

/* --- make and free --- */

static const char *const PATHS[WATCH_METHODS] = {
    [WATCH_METHOD_WATCH] = "/etcdserverpb.Watch/Watch",
    [WATCH_METHOD_KEEP_ALIVE] = "/etcdserverpb.Lease/LeaseKeepAlive",
};

static void register_method(struct rpc_watch *watch, enum watch_method method, uint32_t streams_max)
{
    struct watch_arrival *arrival = &watch->arrivals[method];
    ASSERT(streams_max > 0 && streams_max < UINT32_MAX / 4);
    arrival->streams_max = streams_max;
    arrival->arrived.kind = RPC_TAG_WATCH_ARRIVED;
    arrival->method = grpc_server_register_method(watch->server, PATHS[method], NULL, GRPC_SRM_PAYLOAD_NONE, 0);
    ASSERT(arrival->method != NULL);
    watch->slot_count += streams_max;
}

static void make_slots(struct rpc_watch *watch)
{
    watch->slot_count += OWN_MAX;
    rpc_homes_init(&watch->homes, &watch->inbox, watch->slot_count + WATCH_METHODS);
    watch->calls = alloc_zero(watch->slot_count, sizeof(*watch->calls));
    watch->generations = alloc_zero(watch->slot_count, sizeof(*watch->generations));
    watch->free_slots = alloc_zero(watch->slot_count, sizeof(*watch->free_slots));
    for (uint32_t i = 0; i < watch->slot_count; i++) {
        watch->generations[i] = 1;
        watch->free_slots[watch->free_count++] = watch->slot_count - 1 - i;
    }
}

struct rpc_watch *rpc_watch_new(grpc_server *server, const uint32_t streams_max[WATCH_METHODS], size_t message_bytes_max)
{
    ASSERT(server != NULL);
    struct rpc_watch *watch = ALLOC(struct rpc_watch);
    watch->port.table = &PORT_TABLE;
    watch->server = server;
    watch->message_bytes_max = message_bytes_max;
    list_init(&watch->held);
    list_init(&watch->parting);
    rpc_still_init(&watch->still);
    grpc_server_register_completion_queue(server, watch->still.queue, NULL);
    for (uint32_t i = 0; i < WATCH_METHODS; i++) register_method(watch, (enum watch_method)i, streams_max[i]);
    make_slots(watch);
    rpc_signal_inbox_init(&watch->inbox, &watch->wake);
    return watch;
}

void rpc_watch_start(struct rpc_watch *watch)
{
    rpc_wake_init(&watch->wake, watch->still.queue);
    arm_all(watch);
    ASSERT(watch->armed_count == WATCH_METHODS);
}

struct watch_port *rpc_watch_port(struct rpc_watch *watch)
{
    ASSERT(watch->port.table == &PORT_TABLE);
    return &watch->port;
}

bool rpc_watch_drain(struct rpc_watch *watch)
{
    struct watch_event events[16];
    watch->is_refusing = true;
    for (uint32_t i = 0; watch->free_count < watch->slot_count && i < watch->slot_count; i++) {
        if (watch->calls[i] != NULL) finish(watch->calls[i], ERR_STOPPED);
    }
    (void)watch_take(&watch->port, events, 16);
    release_borrowed(watch);
    watch_flush(&watch->port);
    ASSERT(watch->free_count <= watch->slot_count);
    return watch->armed_count == 0 && watch->free_count == watch->slot_count;
}

void rpc_watch_free(struct rpc_watch *watch)
{
    if (watch == NULL) return;
    ASSERT(watch->armed_count == 0 && watch->free_count == watch->slot_count);
    rpc_homes_deinit(&watch->homes);
    rpc_signal_inbox_deinit(&watch->inbox);
    rpc_wake_deinit(&watch->wake);
    rpc_still_deinit(&watch->still);
    while (watch->spare_count > 0) grpc_byte_buffer_destroy(watch->spares[--watch->spare_count]);
    alloc_free(watch->calls);
    alloc_free(watch->generations);
    alloc_free(watch->free_slots);
    alloc_free(watch);
}
