/* rpc_client: calls: which connection, when again, what to tell the caller.
 *
 * A call is in one of three places: waiting (for its connection to stand, or for its turn after a failure; it has a timer in the heap),
 * in flight (gRPC has it; one tag; the timer is its deadline's), or free. What comes back is rpc_client_answer.c's.
 *
 * Tags in the completion queue: a call's address, that of a stream's status (STATUS_MARK), a connection's (rpc_client_conn_of_tag tells),
 * that of a call's outgoing messages (rpc_client_out_of_tag), or the wake's.
 */
#include "rpc/rpc_client.h"

#include <grpc/byte_buffer.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "rpc/rpc_client_inner.h"

#define RETRY_MIN_NS (25 * NS_PER_MS) /* after each endpoint was tried once; doubles up to the next */
#define RETRY_MAX_NS (400 * NS_PER_MS)
#define EVENTS_PER_PUMP 1024
#define CONNECT_WAIT_NS (2 * NS_PER_S) /* without a dial timeout: for one round over the endpoints */
#define TARGET_BYTES_MAX 512
#define STUCK_WAIT_NS NS_PER_MS /* after which a socket that was full is tried again */
#define STATUS_MARK 4 /* rpc_client_conn marks the lowest bit, rpc_client_out the next */

static void attempt(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns);

/* --- waiting ----------------------------------------------------------------------------------------------------------- */

static void stop_waiting(struct rpc_client *client, struct rpc_client_call *call)
{
    ASSERT(call->grpc == NULL);
    list_remove(&call->node);
    if (call->timer.place != HEAP_NONE) heap_remove(&client->timers, &call->timer);
}

static void set_timer(struct rpc_client *client, struct rpc_client_call *call, uint64_t at_ns)
{
    ASSERT(call->timer.place == HEAP_NONE);
    uint64_t until_ns = call->deadline_ns < call->dial_until_ns ? call->deadline_ns : call->dial_until_ns;
    heap_push(&client->timers, &call->timer, at_ns < until_ns ? at_ns : until_ns);
}

/* A delay that doubles with each round over all connections, and jitters by a quarter. */
static uint64_t retry_delay_ns(struct rpc_client *client, const struct rpc_client_call *call)
{
    size_t rounds = call->failures / client->endpoint_count;
    if (rounds == 0) return 0;
    uint64_t delay_ns = RETRY_MIN_NS << (rounds > 5 ? 4 : rounds - 1);
    if (delay_ns > RETRY_MAX_NS) delay_ns = RETRY_MAX_NS;
    ASSERT(delay_ns >= 4);
    return delay_ns - delay_ns / 4 + rng_below(&client->rng, delay_ns / 2);
}

/* The next connection whose endpoint is another one, if there is another one and the caller did not name one. */
static size_t next_endpoint(const struct rpc_client *client, const struct rpc_client_call *call)
{
    ASSERT(call->conn < client->conn_count);
    if (call->request.endpoint != RPC_CLIENT_ANY) return call->conn;
    for (size_t i = 1; i < client->conn_count; i++) {
        size_t conn = (call->conn + i) % client->conn_count;
        if (client->conns[conn]->endpoint != client->conns[call->conn]->endpoint) return conn;
    }
    return call->conn;
}

/* The attempt came to nothing and another one is allowed. */
void rpc_client_attempt_again(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    ASSERT(call->grpc == NULL);
    call->failures++;
    call->conn = next_endpoint(client, call);
    list_init(&call->node);
    set_timer(client, call, now_ns + retry_delay_ns(client, call));
}

/* A call's time has come: it is over, or it has waited and tries again. */
static void on_timer(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    if (call->grpc != NULL) {
        grpc_call_cancel_with_status(call->grpc, GRPC_STATUS_DEADLINE_EXCEEDED, "Deadline Exceeded", NULL);
        return;
    }
    bool was_connecting = !list_is_empty(&call->node);
    list_remove(&call->node);
    ASSERT(call->timer.place == HEAP_NONE);
    if (call->is_canceled)
        rpc_client_finish_unsent(client, call, ERR_CODE_CANCELLED, "call was canceled");
    else if (now_ns >= call->deadline_ns)
        rpc_client_finish_unsent(client, call, ERR_CODE_DEADLINE_EXCEEDED, "context deadline exceeded");
    else if (now_ns >= call->dial_until_ns)
        rpc_client_finish_unsent(client, call, ERR_CODE_UNAVAILABLE, "no endpoint could be reached");
    else if (was_connecting)
        rpc_client_attempt_again(client, call, now_ns);
    else
        attempt(client, call, now_ns);
}

/* --- an attempt -------------------------------------------------------------------------------------------------------- */

static void batch(struct rpc_client_call *call, const grpc_op *ops, size_t count, void *tag)
{
    grpc_call_error error = grpc_call_start_batch(call->grpc, ops, count, tag, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

void rpc_client_receive(struct rpc_client_call *call)
{
    const grpc_op next = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->response};
    ASSERT(!call->is_receiving && !call->has_all);
    call->is_receiving = true;
    batch(call, &next, 1, call);
}

/* What the call tells of itself; how many. */
static size_t fill_metadata(const struct rpc_client *client, struct rpc_client_call *call, grpc_metadata out[2])
{
    size_t count = 0;
    call->token_number = client->auth.number;
    if (call->request.require_leader)
        out[count++] = (grpc_metadata){.key = grpc_slice_from_static_string("hasleader"), .value = grpc_slice_from_static_string("true")};
    if (client->auth.has_token) out[count++] = (grpc_metadata){.key = grpc_slice_from_static_string("token"), .value = client->auth.token};
    return count;
}

static void send_call(struct rpc_client *client, struct rpc_client_call *call)
{
    grpc_metadata metadata[2];
    size_t metadata_count = fill_metadata(client, call, metadata);
    bool is_stream = call->request.message_fn != NULL;
    ASSERT(call->grpc == NULL && call->response == NULL);
    call->grpc =
        rpc_client_conn_call(client->conns[call->conn], client->queue, call->request.path, call->deadline_ns);
    call->attempts++;
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&call->body, 1);
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA,
         .data.send_initial_metadata = {.count = metadata_count, .metadata = metadata}},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &call->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->response},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &call->trailing, .status = &call->status, .status_details = &call->details}},
    };
    /* What an open call sends has batches of its own; a stream's status, too, so that it comes while no message is asked for. */
    call->is_receiving = is_stream;
    batch(call, ops, call->request.is_open ? 3 : is_stream ? 5 : 6, call);
    if (is_stream) batch(call, &ops[5], 1, (char *)call + STATUS_MARK);
    grpc_byte_buffer_destroy(message); /* its slices were taken */
    if (call->request.is_open) rpc_client_out_start(&call->out, call->grpc);
    if (call->is_canceled) grpc_call_cancel(call->grpc, NULL);
    /* A heap costs a tenth of gRPC's timers, which tell the server of the deadline all the same. */
    if (call->deadline_ns != CLOCK_NEVER) heap_push(&client->timers, &call->timer, call->deadline_ns);
}

/* How long a call waits for one connection before it looks at the next endpoint. */
static uint64_t connect_wait_ns(const struct rpc_client *client)
{
    uint64_t total_ns = client->dial_timeout_ns == 0 ? CONNECT_WAIT_NS : client->dial_timeout_ns;
    ASSERT(client->endpoint_count > 0);
    return total_ns / client->endpoint_count;
}

static void attempt(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns)
{
    struct rpc_client_conn *conn = client->conns[call->conn];
    if (rpc_client_auth_holds(client, call)) {
        call->dial_until_ns = CLOCK_NEVER; /* whether there is anybody, Authenticate finds out */
        set_timer(client, call, CLOCK_NEVER);
        return;
    }
    switch (rpc_client_conn_check(conn)) {
    case RPC_CLIENT_CONN_READY: send_call(client, call); break;
    case RPC_CLIENT_CONN_FAILED: rpc_client_attempt_again(client, call, now_ns); break;
    case RPC_CLIENT_CONN_CONNECTING:
        list_push_back(&conn->waiting, &call->node);
        set_timer(client, call, now_ns + connect_wait_ns(client));
        if (!conn->is_watched) rpc_client_conn_watch(conn, client->queue, CLOCK_NEVER);
        break;
    }
}

void rpc_client_release(struct rpc_client *client, struct rpc_client_call *call, const struct rpc_client_result *failed)
{
    uint64_t now_ns = clock_mono_ns();
    stop_waiting(client, call);
    if (failed != NULL) {
        struct rpc_client_result result = {.code = failed->code, .text = failed->text, .is_unreachable = failed->is_unreachable};
        rpc_client_finish(client, call, &result);
        return;
    }
    if (client->dial_timeout_ns != 0) call->dial_until_ns = now_ns + client->dial_timeout_ns;
    attempt(client, call, now_ns);
}

/* The connection's state changed: its waiting calls go out, or elsewhere. */
static void on_conn(struct rpc_client *client, struct rpc_client_conn *conn, uint64_t now_ns)
{
    ASSERT(conn->is_watched);
    conn->is_watched = false;
    if (client->is_stopping) return;
    enum rpc_client_conn_state state = rpc_client_conn_check(conn);
    if (state == RPC_CLIENT_CONN_CONNECTING) {
        if (!list_is_empty(&conn->waiting)) rpc_client_conn_watch(conn, client->queue, CLOCK_NEVER);
        return;
    }
    struct list waiting; /* apart, because a call may come back to this very connection */
    list_init(&waiting);
    for (struct list *node; (node = list_pop_front(&conn->waiting)) != NULL;) list_push_back(&waiting, node);
    for (struct list *node; (node = list_pop_front(&waiting)) != NULL;) {
        struct rpc_client_call *call = LIST_ENTRY(node, struct rpc_client_call, node);
        stop_waiting(client, call);
        if (state == RPC_CLIENT_CONN_READY)
            send_call(client, call);
        else
            rpc_client_attempt_again(client, call, now_ns);
    }
}

/* --- the face ---------------------------------------------------------------------------------------------------------- */

static bool open_conns(struct rpc_client *client, const struct rpc_client_options *options, char *out_message, size_t size)
{
    char target[TARGET_BYTES_MAX];
    for (size_t i = 0; i < client->conn_count; i++) {
        size_t endpoint = i % client->endpoint_count;
        bool is_tls = false;
        if (!rpc_client_conn_parse(client->endpoints[endpoint], options->tls.is_default, target, sizeof target, &is_tls)) {
            snprintf(out_message, size, "\"%.128s\" is not an endpoint (host:port, http://host:port, unix:///path)",
                     client->endpoints[endpoint]);
            return false;
        }
        grpc_channel_credentials *credentials = rpc_client_conn_credentials(&options->tls, is_tls);
        if (credentials == NULL) {
            snprintf(out_message, size, "certificate, key and CA do not make TLS credentials");
            return false;
        }
        client->conns[i] = rpc_client_conn_new(target, credentials, endpoint, options);
        grpc_channel_credentials_release(credentials);
    }
    ASSERT(client->conns[client->conn_count - 1] != NULL);
    return true;
}

static void give_sockets(struct rpc_client *client, const struct rpc_client_options *options)
{
    for (size_t i = 0; i < client->conn_count; i++)
        if (options->sockets[i] >= 0) rpc_client_conn_give(client->conns[i], options->sockets[i], options);
}

struct rpc_client *rpc_client_new(const struct rpc_client_options *options, char *out_message, size_t message_size)
{
    ASSERT(options->endpoint_count > 0 && options->endpoint_count <= RPC_CLIENT_ENDPOINTS_MAX);
    ASSERT(options->connection_count <= RPC_CLIENT_CONNECTIONS_MAX && options->calls_max > 0);
    grpc_init();
    struct rpc_client *client = ALLOC(struct rpc_client);
    client->endpoint_count = options->endpoint_count;
    client->endpoints = alloc_zero(options->endpoint_count, sizeof *client->endpoints);
    for (size_t i = 0; i < options->endpoint_count; i++) client->endpoints[i] = alloc_string(options->endpoints[i]);
    client->conn_count = options->connection_count;
    if (client->conn_count < options->endpoint_count) client->conn_count = options->endpoint_count;
    client->conns = alloc_zero(client->conn_count, sizeof *client->conns);
    client->dial_timeout_ns = options->dial_timeout_ns;
    client->calls_max = options->calls_max + 1; /* Authenticate */
    client->drain = options->drain;
    client->queue = grpc_completion_queue_create_for_next(NULL);
    client->next_name = 1;
    rpc_wake_init(&client->wake, client->queue);
    map_init(&client->calls);
    heap_init(&client->timers);
    list_init(&client->free_calls);
    rng_init(&client->rng, rng_seed_from_system());
    bool is_good = rpc_client_auth_init(&client->auth, options->user, options->password, options->token);
    if (!is_good) snprintf(out_message, message_size, "a token is printable ASCII");
    if (!is_good || !open_conns(client, options, out_message, message_size)) {
        rpc_client_free(client);
        return NULL;
    }
    if (options->sockets != NULL) give_sockets(client, options);
    return client;
}

static struct rpc_client_call *take_free_call(struct rpc_client *client)
{
    struct list *node = list_pop_front(&client->free_calls);
    struct rpc_client_call *call = node == NULL ? ALLOC(struct rpc_client_call) : LIST_ENTRY(node, struct rpc_client_call, node);
    memset(call, 0, sizeof *call);
    list_init(&call->node);
    heap_node_init(&call->timer);
    ASSERT(call->timer.place == HEAP_NONE);
    return call;
}

/* Calls go round over the connections, or where they are told to; a call to a named endpoint takes that endpoint's first. */
static size_t first_conn(struct rpc_client *client, const struct rpc_client_request *request)
{
    if (request->endpoint != RPC_CLIENT_ANY) return request->endpoint;
    if (request->connection > 0) return (request->connection - 1) % client->conn_count;
    size_t conn = client->next_conn;
    client->next_conn = (conn + 1) % client->conn_count;
    ASSERT(conn < client->conn_count);
    return conn;
}

uint64_t rpc_client_start(struct rpc_client *client, const struct rpc_client_request *request, rpc_client_done_fn *done_fn,
                          void *context)
{
    ASSERT(request->path != NULL && done_fn != NULL && !client->is_stopping);
    ASSERT(client->calls.count < client->calls_max);
    ASSERT(request->message_fn == NULL || request->policy == RPC_CLIENT_ONCE);
    ASSERT(request->message_fn != NULL || !request->is_open);
    ASSERT(request->endpoint == RPC_CLIENT_ANY || request->endpoint < client->endpoint_count);
    uint64_t now_ns = clock_mono_ns();
    struct rpc_client_call *call = take_free_call(client);
    call->client = client;
    call->name = client->next_name++;
    call->request = *request;
    call->body = grpc_slice_from_copied_buffer((const char *)request->body.data, request->body.size);
    rpc_client_out_init(&call->out);
    if (request->is_open) rpc_client_out_put(&call->out, request->body);
    call->done_fn = done_fn;
    call->context = context;
    call->deadline_ns = request->timeout_ns == 0 ? CLOCK_NEVER : now_ns + request->timeout_ns;
    call->dial_until_ns = client->dial_timeout_ns == 0 ? CLOCK_NEVER : now_ns + client->dial_timeout_ns;
    call->conn = first_conn(client, request);
    bool is_new = map_put(&client->calls, call->name, call);
    ASSERT(is_new);
    uint64_t name = call->name;
    attempt(client, call, now_ns);
    return name;
}

void rpc_client_cancel(struct rpc_client *client, uint64_t name)
{
    struct rpc_client_call *call = map_get(&client->calls, name);
    if (call == NULL || call->is_canceled) return;
    call->is_canceled = true;
    if (call->grpc != NULL) {
        grpc_call_cancel(call->grpc, NULL);
    } else {
        ASSERT(call->timer.place != HEAP_NONE);
        heap_change(&client->timers, &call->timer, 0);
    }
}

bool rpc_client_send(struct rpc_client *client, uint64_t name, struct slice body)
{
    struct rpc_client_call *call = map_get(&client->calls, name);
    if (call == NULL || call->is_canceled || call->has_all || call->has_status) return false;
    ASSERT(call->request.is_open);
    if (!rpc_client_out_put(&call->out, body)) return false;
    if (call->grpc != NULL) rpc_client_out_start(&call->out, call->grpc);
    return true;
}

bool rpc_client_is_full(const struct rpc_client *client, uint64_t name)
{
    const struct rpc_client_call *call = map_get(&client->calls, name);
    return call != NULL && call->out.count >= RPC_CLIENT_SEND_MAX;
}

void rpc_client_ring(struct rpc_client *client)
{
    ASSERT(client != NULL);
    rpc_wake_ring(&client->wake);
}

size_t rpc_client_in_flight(const struct rpc_client *client)
{
    ASSERT(client->calls.count <= client->calls_max);
    return client->calls.count;
}

const char *rpc_client_endpoint(const struct rpc_client *client, size_t index)
{
    ASSERT(index < client->endpoint_count);
    return client->endpoints[index];
}

static void on_event(struct rpc_client *client, void *tag, uint64_t now_ns)
{
    if (tag == &client->wake.tag) {
        RPC_TAG_ACQUIRE(&client->wake.tag);
        rpc_wake_answer(&client->wake);
        return;
    }
    struct rpc_client_conn *conn = rpc_client_conn_of_tag(tag);
    if (conn != NULL) {
        on_conn(client, conn, now_ns);
        return;
    }
    struct rpc_client_out *out = rpc_client_out_of_tag(tag);
    if (out != NULL) {
        rpc_client_on_sent(client, LIST_ENTRY(out, struct rpc_client_call, out), now_ns);
        return;
    }
    bool is_status = ((uintptr_t)tag & STATUS_MARK) != 0;
    struct rpc_client_call *call = (struct rpc_client_call *)(void *)((char *)tag - (is_status ? STATUS_MARK : 0));
    ASSERT(call->client == client);
    if (call->request.message_fn != NULL && !is_status) rpc_client_on_message(client, call, now_ns);
    else rpc_client_on_answer(client, call, now_ns);
}

static void run_timers(struct rpc_client *client, uint64_t now_ns)
{
    for (struct heap_node *first; (first = heap_first(&client->timers)) != NULL && heap_key(&client->timers, first) <= now_ns;) {
        struct heap_node *due = heap_pop(&client->timers);
        ASSERT(due == first);
        on_timer(client, LIST_ENTRY(due, struct rpc_client_call, timer), now_ns);
    }
}

/* What was written since the last pump leaves before anybody waits. */
static uint64_t end_drain(const struct rpc_client *client, uint64_t now_ns, uint64_t until_ns)
{
    if (client->drain == NULL || client->drain->end() == 0) return until_ns;
    return until_ns < now_ns + STUCK_WAIT_NS ? until_ns : now_ns + STUCK_WAIT_NS;
}

size_t rpc_client_pump(struct rpc_client *client, uint64_t deadline_ns)
{
    client->finished = 0;
    uint64_t now_ns = clock_mono_ns();
    run_timers(client, now_ns);
    const struct heap_node *first = heap_first(&client->timers);
    uint64_t until_ns = first != NULL && heap_key(&client->timers, first) < deadline_ns ? heap_key(&client->timers, first) : deadline_ns;
    if (client->finished > 0) until_ns = 0;
    until_ns = end_drain(client, now_ns, until_ns);
    for (size_t i = 0; i < EVENTS_PER_PUMP; i++) {
        grpc_event event = grpc_completion_queue_next(client->queue, rpc_client_conn_time(until_ns), NULL);
        if (i == 0) now_ns = clock_mono_ns(); /* the others are there already */
        if (i == 0 && client->drain != NULL) client->drain->begin();
        if (event.type != GRPC_OP_COMPLETE) break;
        on_event(client, event.tag, now_ns);
        until_ns = 0;
    }
    run_timers(client, now_ns);
    ASSERT(client->calls.count <= client->calls_max);
    return client->finished;
}

/* --- the end ----------------------------------------------------------------------------------------------------------- */

static void cancel_all(struct rpc_client *client)
{
    size_t cursor = 0;
    uint64_t name = 0;
    for (struct rpc_client_call *call; (call = map_each(&client->calls, &cursor, &name)) != NULL;) {
        ASSERT(call->name == name);
        rpc_client_cancel(client, name);
    }
}

static bool is_any_watched(const struct rpc_client *client)
{
    for (size_t i = 0; i < client->conn_count; i++)
        if (client->conns[i] != NULL && client->conns[i]->is_watched) return true;
    return false;
}

void rpc_client_free(struct rpc_client *client)
{
    if (client == NULL) return;
    client->is_stopping = true;
    cancel_all(client);
    while (client->calls.count > 0) rpc_client_pump(client, CLOCK_NEVER);
    /* A watch ends when its channel is destroyed. */
    for (size_t i = 0; i < client->conn_count; i++)
        if (client->conns[i] != NULL) rpc_client_conn_close(client->conns[i]);
    while (is_any_watched(client)) rpc_client_pump(client, CLOCK_NEVER);
    if (client->drain != NULL) (void)client->drain->end();
    for (size_t i = 0; i < client->conn_count; i++) rpc_client_conn_free(client->conns[i]);
    rpc_client_auth_deinit(&client->auth);
    rpc_wake_deinit(&client->wake);
    grpc_completion_queue_shutdown(client->queue);
    grpc_event event;
    do event = grpc_completion_queue_next(client->queue, rpc_client_conn_time(CLOCK_NEVER), NULL);
    while (event.type != GRPC_QUEUE_SHUTDOWN);
    grpc_completion_queue_destroy(client->queue);
    for (struct list *node; (node = list_pop_front(&client->free_calls)) != NULL;)
        alloc_free(LIST_ENTRY(node, struct rpc_client_call, node));
    heap_deinit(&client->timers);
    map_deinit(&client->calls);
    for (size_t i = 0; i < client->endpoint_count; i++) alloc_free(client->endpoints[i]);
    alloc_free(client->conns);
    alloc_free(client->endpoints);
    alloc_free(client);
    grpc_shutdown();
}
