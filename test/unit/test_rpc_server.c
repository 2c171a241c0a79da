/* Does the client port turn gRPC calls into events and actions into replies, whatever clients do, and does it stop cleanly?
 * A real client of gRPC's C core talks to an rpc_server over loopback; a thread plays the net role. */
#include <check.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lib/rpc_rig.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_server.h"

#define REQUEST_BYTES_MAX (1536 * 1024)
#define CALLS_MAX 12000
#define EVENTS_MAX 64
#define CHUNKS 20

/* The role of the test: what it does with a call is said by the method. */
struct role {
    struct rpc_server *server;
    struct call_port *port;
    struct rig_door door;
    pthread_t thread;
    atomic_bool stop, release; /* release: answer the held calls */
    atomic_bool gives_up;      /* the last Range, whose answer is on its way */
    uint64_t last_range;
    atomic_uint held, started, closed, waits;
    uint64_t *held_calls; /* CALLS_MAX */
    uint32_t chunks_left[CALLS_MAX * 2];
};

/* Put: echo. DeleteRange: the error with the number of the first byte. Compact: the metadata as text. Txn: held until released.
 * Range: head, then small, large, small pieces (a huge one, if the request has bytes). RangeStream: CHUNKS messages. */
static void role_new(struct role *role, const struct call_event *event)
{
    const struct call_port_table *port = role->port->table;
    struct blob *pieces[3];
    char text[128];
    atomic_fetch_add(&role->started, 1);
    switch (event->method->id) {
    case RPC_KV_PUT: port->reply(role->port, event->call, ERR_OK, event->body, NULL, 0); break;
    case RPC_KV_DELETE_RANGE: port->reply(role->port, event->call, event->body.data[0], slice_empty(), NULL, 0); break;
    case RPC_KV_TXN: role->held_calls[atomic_fetch_add(&role->held, 1)] = event->call; break;
    case RPC_KV_COMPACT:
        snprintf(text, sizeof text, "leader=%d version=%s bad=%d deadline=%d", event->require_leader, event->api_version, event->bad_api_version,
                 event->timeout_ns == CLOCK_NEVER ? -1 : (int)((event->timeout_ns + NS_PER_S / 2) / NS_PER_S));
        port->reply(role->port, event->call, ERR_OK, slice_from_string(text), NULL, 0);
        break;
    case RPC_KV_RANGE:
        role->last_range = event->call;
        for (int i = 0; i < 3; i++) {
            pieces[i] = blob_new(i != 1 ? 10 : event->body.size == 0 ? 300000 : 7 << 19);
            memset(pieces[i]->data, 'a' + i, pieces[i]->size);
        }
        port->reply(role->port, event->call, ERR_OK, slice_from_string("head"), pieces, 3);
        break;
    case RPC_HEALTH_WATCH: /* one message, then open until the client goes */
        role->chunks_left[(uint32_t)event->call] = UINT32_MAX;
        port->send(role->port, event->call, slice_from_string("up"), NULL, 0);
        break;
    case RPC_KV_RANGE_STREAM:
        role->chunks_left[(uint32_t)event->call] = CHUNKS - 1;
        port->send(role->port, event->call, slice_from_string("chunk"), NULL, 0);
        break;
    default: port->reply(role->port, event->call, ERR_UNKNOWN_METHOD, slice_empty(), NULL, 0);
    }
}

static void role_sent(struct role *role, const struct call_event *event)
{
    uint32_t *left = &role->chunks_left[(uint32_t)event->call];
    if (event->ok && *left == UINT32_MAX) return;
    if (event->ok && *left > 0) {
        (*left)--;
        role->port->table->send(role->port, event->call, slice_from_string("chunk"), NULL, 0);
    } else {
        role->port->table->finish(role->port, event->call, event->ok ? ERR_OK : ERR_CANCELED);
    }
}

static void *role_run(void *context)
{
    struct role *role = context;
    const struct call_port_table *port = role->port->table;
    struct call_event events[EVENTS_MAX];
    while (!atomic_load(&role->stop)) {
        size_t count = port->take(role->port, events, EVENTS_MAX);
        for (size_t i = 0; i < count; i++) {
            if (events[i].kind == CALL_NEW) role_new(role, &events[i]);
            if (events[i].kind == CALL_SENT) role_sent(role, &events[i]);
            if (events[i].kind == CALL_CLOSED) atomic_fetch_add(&role->closed, 1);
        }
        if (atomic_load(&role->release)) {
            unsigned held = atomic_exchange(&role->held, 0);
            for (unsigned i = 0; i < held; i++) port->reply(role->port, role->held_calls[i], ERR_OK, slice_from_string("free"), NULL, 0);
        }
        if (atomic_exchange(&role->gives_up, false)) port->finish(role->port, role->last_range, ERR_CANCELED);
        port->flush(role->port);
        /* take() may have answered the ring: what was to be seen by it is looked at before the wait. */
        if (count < EVENTS_MAX && !atomic_load(&role->stop)) {
            atomic_fetch_add(&role->waits, 1);
            port->wait(role->port, CLOCK_NEVER);
        }
    }
    return NULL;
}

static void adopt(void *context, int descriptor) { rpc_server_adopt(context, descriptor); }

static struct role *role_start_with(uint32_t calls_max, uint64_t keepalive_timeout_ns)
{
    struct role *role = ALLOC(struct role);
    struct rpc_server_options options = {.max_request_bytes = REQUEST_BYTES_MAX, .max_concurrent_streams = UINT32_MAX,
                                         .calls_max = calls_max, .keepalive_min_time_ns = 5 * NS_PER_S,
                                         .keepalive_interval_ns = 7200 * NS_PER_S, .keepalive_timeout_ns = keepalive_timeout_ns,
                                         .memory_bytes_max = 512u << 20};
    role->held_calls = alloc_zero(CALLS_MAX, sizeof *role->held_calls);
    role->server = rpc_server_new(&options);
    role->port = rpc_server_port(role->server);
    rig_door_open(&role->door, 0, adopt, role->server);
    ck_assert_int_eq(pthread_create(&role->thread, NULL, role_run, role), 0);
    return role;
}

static struct role *role_start(uint32_t calls_max) { return role_start_with(calls_max, 20 * NS_PER_S); }

static void role_stop(struct role *role)
{
    rig_door_close(&role->door);
    atomic_store(&role->stop, true);
    role->port->table->ring(role->port);
    pthread_join(role->thread, NULL);
    rpc_server_free(role->server);
    alloc_free(role->held_calls);
    alloc_free(role);
}

static struct role *role;
static struct rig_client client;

static void set_up(void)
{
    rpc_process_init();
    role = role_start(CALLS_MAX);
    rig_client_open(&client, role->door.port, 1);
}

static void tear_down(void)
{
    rig_client_close(&client);
    role_stop(role);
    rpc_process_deinit();
}

static struct rig_call *call_once(const char *path, struct slice request)
{
    rig_call_start(&client, 0, path, request, 10000, NULL, 0);
    struct rig_call *call = rig_client_wait(&client, 15000);
    ck_assert_ptr_nonnull(call);
    return call;
}

static void check_answer(const char *path, struct slice request, int status, const char *details)
{
    struct rig_call *call = call_once(path, request);
    ck_assert_int_eq((int)call->status, status);
    if (details != NULL && !rig_details_are(call, details)) {
        char *got = grpc_slice_to_c_string(call->details);
        ck_abort_msg("%s: details \"%s\", not \"%s\"", path, got, details);
    }
    rig_call_free(call);
}

static void check_echo(struct slice request)
{
    struct rig_call *call = call_once("/etcdserverpb.KV/Put", request);
    struct blob *answer = rig_bytes(call->response);
    ck_assert_int_eq((int)call->status, 0);
    ck_assert(slice_equal(blob_slice(answer), request));
    blob_unref(answer);
    rig_call_free(call);
}

START_TEST(test_rpc_server_replies_with_the_bytes_that_the_role_gave)
{
    static const size_t SIZES[] = {0, 1, 23, 24, 4096, 65535, 65536, REQUEST_BYTES_MAX};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct blob *request = blob_new(SIZES[i]);
        for (uint32_t k = 0; k < request->size; k++) request->data[k] = (uint8_t)(k * 7 + k / 256);
        check_echo(blob_slice(request));
        blob_unref(request);
    }
}
END_TEST

START_TEST(test_rpc_server_sends_head_and_pieces_in_order)
{
    struct rig_call *call = call_once("/etcdserverpb.KV/Range", slice_empty());
    struct blob *answer = rig_bytes(call->response);
    ck_assert_uint_eq(answer->size, 4 + 10 + 300000 + 10);
    ck_assert_int_eq(memcmp(answer->data, "headaaaaaaaaaab", 15), 0);
    ck_assert_int_eq(memcmp(answer->data + 4 + 10 + 300000 - 1, "bcccccccccc", 11), 0);
    blob_unref(answer);
    rig_call_free(call);
}
END_TEST

static void wait_for(atomic_uint *count, unsigned value)
{
    for (int i = 0; i < 1000 && atomic_load(count) < value; i++) ck_assert_int_eq(poll(NULL, 0, 10), 0);
    ck_assert_uint_eq(atomic_load(count), value);
}

/* A client that asks for no message takes nothing beyond the window of its stream. */
START_TEST(test_rpc_server_gives_up_an_answer_that_the_client_does_not_read)
{
    grpc_call *call = grpc_channel_create_call(client.channels[0], NULL, GRPC_PROPAGATE_DEFAULTS, client.queue,
                                               grpc_slice_from_static_string("/etcdserverpb.KV/Range"), NULL,
                                               gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_slice large = grpc_slice_from_static_string("large");
    grpc_byte_buffer *request = grpc_raw_byte_buffer_create(&large, 1);
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}};
    ops[1].data.send_message.send_message = request;
    ck_assert_int_eq(grpc_call_start_batch(call, ops, 3, call, NULL), GRPC_CALL_OK);
    ck_assert_ptr_eq(rig_client_wait(&client, 15000), (struct rig_call *)(void *)call);
    wait_for(&role->started, 1);
    ck_assert_int_eq(poll(NULL, 0, 100), 0);
    ck_assert_uint_eq(atomic_load(&role->closed), 0);
    atomic_store(&role->gives_up, true);
    role->port->table->ring(role->port);
    wait_for(&role->closed, 1);
    grpc_byte_buffer_destroy(request);
    grpc_call_unref(call);
}
END_TEST

START_TEST(test_rpc_server_hears_that_the_client_of_an_open_stream_went_away)
{
    for (unsigned round = 1; round <= 20; round++) {
        grpc_call *call = grpc_channel_create_call(client.channels[0], NULL, GRPC_PROPAGATE_DEFAULTS, client.queue,
                                                   grpc_slice_from_static_string("/grpc.health.v1.Health/Watch"), NULL,
                                                   gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        grpc_byte_buffer *request = grpc_raw_byte_buffer_create(NULL, 0), *message = NULL;
        grpc_metadata_array initial;
        grpc_metadata_array_init(&initial);
        grpc_op ops[5] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                          {.op = GRPC_OP_RECV_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE}};
        ops[1].data.send_message.send_message = request;
        ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
        ops[4].data.recv_message.recv_message = &message;
        ck_assert_int_eq(grpc_call_start_batch(call, ops, 5, call, NULL), GRPC_CALL_OK);
        ck_assert_ptr_eq(rig_client_wait(&client, 15000), (struct rig_call *)(void *)call);
        struct blob *bytes = rig_bytes(message);
        ck_assert(slice_equal(blob_slice(bytes), slice_from_string("up")));
        ck_assert_uint_eq(atomic_load(&role->closed), round - 1); /* it stays open */
        ck_assert_int_eq(grpc_call_cancel(call, NULL), GRPC_CALL_OK);
        wait_for(&role->closed, round);
        blob_unref(bytes);
        grpc_byte_buffer_destroy(message);
        grpc_byte_buffer_destroy(request);
        grpc_metadata_array_destroy(&initial);
        grpc_call_unref(call);
    }
}
END_TEST

START_TEST(test_rpc_server_gives_each_error_its_code_and_exact_text)
{
    for (uint8_t err = 1; err < ERR_COUNT; err++)
        check_answer("/etcdserverpb.KV/DeleteRange", slice_make(&err, 1), (int)err_grpc_code(err), err_text(err));
}
END_TEST

START_TEST(test_rpc_server_refuses_an_oversized_request)
{
    struct blob *request = blob_new(REQUEST_BYTES_MAX + 512 * 1024 + 1);
    memset(request->data, 'x', request->size);
    unsigned before = atomic_load(&role->started);
    check_answer("/etcdserverpb.KV/Put", blob_slice(request), GRPC_STATUS_RESOURCE_EXHAUSTED,
                 "Received message larger than max (2097153 vs. 2097152)");
    ck_assert_uint_eq(atomic_load(&role->started), before);
    blob_unref(request);
}
END_TEST

START_TEST(test_rpc_server_answers_unknown_methods_as_go_does)
{
    check_answer("/etcdserverpb.KV/Nothing", slice_empty(), 12, "unknown method Nothing for service etcdserverpb.KV");
    check_answer("/no.such.Service/Put", slice_empty(), 12, "unknown service no.such.Service");
    check_answer("/etcdserverpb.KVX/Put", slice_empty(), 12, "unknown service etcdserverpb.KVX");
    check_answer("/a/b/c", slice_empty(), 12, "unknown service a/b");
    check_answer("/etcdserverpb.Watch/Watch", slice_empty(), 12, err_text(ERR_UNIMPLEMENTED));
    check_answer("/etcdserverpb.Cluster/MemberAdd", slice_empty(), 12, err_text(ERR_UNIMPLEMENTED));
}
END_TEST

START_TEST(test_rpc_server_streams_chunks_and_ends)
{
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_call *call = grpc_channel_create_call(client.channels[0], NULL, GRPC_PROPAGATE_DEFAULTS, client.queue,
                                               grpc_slice_from_static_string("/etcdserverpb.KV/RangeStream"), NULL,
                                               gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_byte_buffer *request = grpc_raw_byte_buffer_create(NULL, 0), *message = NULL;
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    grpc_slice details;
    grpc_op first[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                        {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    first[1].data.send_message.send_message = request;
    first[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
    ck_assert_int_eq(grpc_call_start_batch(call, first, 4, &first, NULL), GRPC_CALL_OK);
    ck_assert_ptr_eq((void *)rig_client_wait(&client, 5000), (void *)&first);
    int chunks = 0;
    for (;; chunks++) {
        grpc_op next = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &message};
        ck_assert_int_eq(grpc_call_start_batch(call, &next, 1, &next, NULL), GRPC_CALL_OK);
        ck_assert_ptr_eq((void *)rig_client_wait(&client, 5000), (void *)&next);
        if (message == NULL) break;
        ck_assert_uint_eq(grpc_byte_buffer_length(message), 5);
        grpc_byte_buffer_destroy(message);
    }
    ck_assert_int_eq(chunks, CHUNKS);
    grpc_op last = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    last.data.recv_status_on_client.trailing_metadata = &trailing;
    last.data.recv_status_on_client.status = &status;
    last.data.recv_status_on_client.status_details = &details;
    ck_assert_int_eq(grpc_call_start_batch(call, &last, 1, &last, NULL), GRPC_CALL_OK);
    ck_assert_ptr_eq((void *)rig_client_wait(&client, 5000), (void *)&last);
    ck_assert_int_eq((int)status, 0);
    grpc_slice_unref(details);
    grpc_byte_buffer_destroy(request);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
}
END_TEST

static void check_metadata(grpc_metadata *metadata, size_t count, int64_t timeout_ms, const char *expected)
{
    rig_call_start(&client, 0, "/etcdserverpb.KV/Compact", slice_empty(), timeout_ms, metadata, count);
    struct rig_call *call = rig_client_wait(&client, 5000);
    ck_assert_ptr_nonnull(call);
    struct blob *answer = rig_bytes(call->response);
    ck_assert_int_eq((int)call->status, 0);
    ck_assert_msg(slice_equal(blob_slice(answer), slice_from_string(expected)), "%.*s", (int)answer->size, answer->data);
    blob_unref(answer);
    rig_call_free(call);
}

static grpc_metadata pair(const char *key, const char *value)
{
    return (grpc_metadata){.key = grpc_slice_from_static_string(key), .value = grpc_slice_from_static_string(value)};
}

START_TEST(test_rpc_server_reads_metadata_and_deadline)
{
    grpc_metadata leader = pair("hasleader", "true"), other = pair("hasleader", "yes");
    grpc_metadata both[2] = {leader, pair("client-api-version", "3.5")};
    grpc_metadata odd = pair("client-api-version", "3\"5"), large = pair("client-api-version", "0123456789012345");
    check_metadata(NULL, 0, 0, "leader=0 version= bad=0 deadline=-1");
    check_metadata(NULL, 0, 3000, "leader=0 version= bad=0 deadline=3");
    check_metadata(&leader, 1, 0, "leader=1 version= bad=0 deadline=-1");
    check_metadata(&other, 1, 0, "leader=0 version= bad=0 deadline=-1");
    check_metadata(both, 2, 0, "leader=1 version=3.5 bad=0 deadline=-1");
    check_metadata(&odd, 1, 0, "leader=0 version=other bad=0 deadline=-1");
    check_metadata(&large, 1, 0, "leader=0 version=other bad=0 deadline=-1");
}
END_TEST

START_TEST(test_rpc_server_survives_a_client_that_does_not_wait)
{
    rig_call_start(&client, 0, "/etcdserverpb.KV/Txn", slice_from_string("x"), 100, NULL, 0);
    struct rig_call *call = rig_client_wait(&client, 5000);
    ck_assert_int_eq((int)call->status, GRPC_STATUS_DEADLINE_EXCEEDED);
    rig_call_free(call);
    atomic_store(&role->release, true);
    role->port->table->ring(role->port);
    check_echo(slice_from_string("still here"));
}
END_TEST

START_TEST(test_rpc_server_holds_ten_thousand_calls)
{
    const size_t count = 10000;
    for (size_t i = 0; i < count; i++) rig_call_start(&client, 0, "/etcdserverpb.KV/Txn", slice_from_string("x"), 0, NULL, 0);
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S;
    while (atomic_load(&role->held) < count && clock_mono_ns() < give_up_ns) ck_assert_ptr_null(rig_client_wait(&client, 1));
    ck_assert_uint_eq(atomic_load(&role->held), count);
    check_echo(slice_from_string("beside them"));
    atomic_store(&role->release, true);
    role->port->table->ring(role->port);
    for (size_t i = 0; i < count; i++) {
        struct rig_call *call = rig_client_wait(&client, 5000);
        ck_assert_ptr_nonnull(call);
        ck_assert_int_eq((int)call->status, 0);
        rig_call_free(call);
    }
}
END_TEST

START_TEST(test_rpc_server_refuses_calls_beyond_its_limit_by_itself)
{
    struct role *small = role_start(10);
    struct rig_client other;
    rig_client_open(&other, small->door.port, 1);
    for (size_t i = 0; i < 1000; i++) rig_call_start(&other, 0, "/etcdserverpb.KV/Txn", slice_from_string("x"), 0, NULL, 0);
    for (size_t i = 0; i < 990; i++) {
        struct rig_call *call = rig_client_wait(&other, 5000);
        ck_assert_ptr_nonnull(call);
        ck_assert_int_eq((int)call->status, GRPC_STATUS_RESOURCE_EXHAUSTED);
        ck_assert(rig_details_are(call, "etcdserver: too many requests"));
        rig_call_free(call);
    }
    atomic_store(&small->release, true);
    small->port->table->ring(small->port);
    for (size_t i = 0; i < 10; i++) {
        struct rig_call *call = rig_client_wait(&other, 5000);
        ck_assert_int_eq((int)call->status, 0);
        rig_call_free(call);
    }
    rig_client_close(&other);
    role_stop(small);
}
END_TEST

START_TEST(test_rpc_server_ring_ends_a_wait)
{
    for (int i = 0; i < 200; i++) {
        unsigned before = atomic_load(&role->waits);
        role->port->table->ring(role->port);
        uint64_t give_up_ns = clock_mono_ns() + 5 * NS_PER_S;
        while (atomic_load(&role->waits) == before && clock_mono_ns() < give_up_ns) sched_yield();
        ck_assert_uint_ne(atomic_load(&role->waits), before);
    }
}
END_TEST

START_TEST(test_rpc_server_wait_ends_at_its_deadline)
{
    struct rpc_server_options options = {.max_request_bytes = 1000, .calls_max = 1, .max_concurrent_streams = 10,
                                         .keepalive_min_time_ns = NS_PER_S, .keepalive_interval_ns = NS_PER_S,
                                         .keepalive_timeout_ns = NS_PER_S, .memory_bytes_max = 1 << 20};
    struct rpc_server *server = rpc_server_new(&options);
    struct call_port *port = rpc_server_port(server);
    uint64_t start_ns = clock_mono_ns();
    port->table->wait(port, start_ns + 30 * NS_PER_MS);
    uint64_t took_ns = clock_mono_ns() - start_ns;
    ck_assert(took_ns >= 29 * NS_PER_MS && took_ns < 2 * NS_PER_S);
    rpc_server_free(server);
}
END_TEST

START_TEST(test_rpc_server_ignores_actions_on_dead_names)
{
    struct blob *piece = blob_copy(slice_from_string("x"));
    role_stop(role);
    role = role_start(100); /* its thread waits: this one may act for a moment */
    role->port->table->send(role->port, UINT64_C(77) << 32 | 5, slice_empty(), &piece, 1);
    role->port->table->finish(role->port, UINT64_MAX, ERR_OK);
    role->port->table->reply(role->port, 0, ERR_NO_LEADER, slice_empty(), NULL, 0);
    rig_client_close(&client);
    rig_client_open(&client, role->door.port, 1);
    check_echo(slice_from_string("alive"));
}
END_TEST

static size_t end_calls(struct rig_client *other, struct rig_call **calls, size_t ended, int64_t timeout_ms)
{
    struct rig_call *call = rig_client_wait(other, timeout_ms);
    if (call == NULL) return ended;
    calls[call->number] = NULL;
    rig_call_free(call);
    return ended + 1;
}

/* A loaded server is refused, joined and freed: every call of the client ends, nothing leaks, nothing hangs. (A stream whose messages
 * nobody reads hides its end from the client: these are cancelled.) */
static void stop_under_load(struct rng *rng)
{
    static const char *const PATHS[] = {"/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/RangeStream", "/no.such/Method",
                                        "/etcdserverpb.KV/Range"};
    struct role *loaded = role_start(40);
    struct rig_client other;
    struct rig_call *calls[120];
    size_t count = 60 + rng_below(rng, 60), ended = 0;
    rig_client_open(&other, loaded->door.port, 3);
    for (size_t i = 0; i < count; i++) {
        calls[i] = rig_call_start(&other, i % 3, PATHS[rng_below(rng, 5)], slice_from_string("x"), 0, NULL, 0);
        calls[i]->number = i;
    }
    unsigned enough = (unsigned)rng_below(rng, 40);
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_MS;
    while (atomic_load(&loaded->started) < enough && clock_mono_ns() < give_up_ns) ended = end_calls(&other, calls, ended, 1);
    role_stop(loaded);
    for (size_t i = 0; i < count; i++) {
        if (calls[i] != NULL) grpc_call_cancel(calls[i]->call, NULL);
    }
    while (ended < count) {
        size_t before = ended;
        ended = end_calls(&other, calls, ended, 10000);
        ck_assert_uint_gt(ended, before);
    }
    rig_client_close(&other);
}

START_TEST(test_rpc_server_stops_under_load)
{
    const char *many = getenv("KVD_TEST_LONG");
    int rounds = many != NULL && many[0] != 0 ? 1000 : 50;
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < rounds; round++) stop_under_load(&rng);
}
END_TEST

START_TEST(test_rpc_server_stops_though_a_client_leaves_its_socket_full)
{
    int pair[2];
    struct role *stopped = role_start(40);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    rpc_server_adopt(stopped->server, pair[1]);
    rig_ask_and_never_read(pair[0], "/etcdserverpb.KV/Range", 20);
    wait_for(&stopped->started, 20);
    ck_assert_uint_lt(atomic_load(&stopped->closed), 20);
    role_stop(stopped);
    close(pair[0]);
}
END_TEST

START_TEST(test_rpc_server_ends_a_connection_that_takes_nothing)
{
    struct role *impatient = role_start_with(40, NS_PER_S);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(impatient->door.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    rig_ask_and_never_read(descriptor, "/etcdserverpb.KV/Range", 20);
    wait_for(&impatient->started, 20);
    wait_for(&impatient->closed, 20); /* their places are free */
    close(descriptor);
    role_stop(impatient);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_server");
    TCase *calls = tcase_create("calls");
    tcase_set_timeout(calls, 60);
    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_add_test(calls, test_rpc_server_replies_with_the_bytes_that_the_role_gave);
    tcase_add_test(calls, test_rpc_server_sends_head_and_pieces_in_order);
    tcase_add_test(calls, test_rpc_server_gives_up_an_answer_that_the_client_does_not_read);
    tcase_add_test(calls, test_rpc_server_hears_that_the_client_of_an_open_stream_went_away);
    tcase_add_test(calls, test_rpc_server_gives_each_error_its_code_and_exact_text);
    tcase_add_test(calls, test_rpc_server_refuses_an_oversized_request);
    tcase_add_test(calls, test_rpc_server_answers_unknown_methods_as_go_does);
    tcase_add_test(calls, test_rpc_server_streams_chunks_and_ends);
    tcase_add_test(calls, test_rpc_server_reads_metadata_and_deadline);
    tcase_add_test(calls, test_rpc_server_survives_a_client_that_does_not_wait);
    tcase_add_test(calls, test_rpc_server_holds_ten_thousand_calls);
    tcase_add_test(calls, test_rpc_server_refuses_calls_beyond_its_limit_by_itself);
    tcase_add_test(calls, test_rpc_server_ring_ends_a_wait);
    tcase_add_test(calls, test_rpc_server_wait_ends_at_its_deadline);
    tcase_add_test(calls, test_rpc_server_ignores_actions_on_dead_names);
    tcase_add_test(calls, test_rpc_server_stops_under_load);
    tcase_add_test(calls, test_rpc_server_ends_a_connection_that_takes_nothing);
    tcase_add_test(calls, test_rpc_server_stops_though_a_client_leaves_its_socket_full);
    suite_add_tcase(suite, calls);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
