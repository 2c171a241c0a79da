/* Does the port of the bidirectional streams keep to its limits: who comes when all places are taken is told so, and nobody else notices?
 * Real clients of gRPC's C core over loopback; one thread plays net's role, another one the watch role. */
#include <check.h>
#include <stdlib.h>

#include "base/err.h"
#include "lib/rpc_rig.h"
#include "rpc/rpc_server.h"
#include "rpc/rpc_watch.h"

#define WATCH "/etcdserverpb.Watch/Watch"
#define KEEP_ALIVE "/etcdserverpb.Lease/LeaseKeepAlive"
#define STREAMS_MAX 3
#define BEYOND 200 /* more than the port turns away at the same time */

static struct rpc_server *server;
static struct rig_door door;
static struct rig_client client;
static pthread_t net, watch;
static atomic_bool is_over;
static atomic_uint closed;

static void *net_run(void *context)
{
    struct call_port *port = rpc_server_port(server);
    struct call_event events[16];
    (void)context;
    while (!atomic_load(&is_over)) {
        (void)port->table->take(port, events, 16);
        port->table->flush(port);
        if (!atomic_load(&is_over)) port->table->wait(port, CLOCK_NEVER);
    }
    return NULL;
}

/* Each message is answered with its own bytes; a client's last word with the end. */
static void play(struct watch_port *port, const struct watch_event *event)
{
    switch (event->kind) {
    case WATCH_OPEN:
    case WATCH_SENT: port->table->next(port, event->stream); break;
    case WATCH_MESSAGE:
        if (event->ok) port->table->send(port, event->stream, event->body, NULL);
        else port->table->finish(port, event->stream, ERR_OK);
        break;
    case WATCH_CLOSED: atomic_fetch_add(&closed, 1); break;
    default: ck_abort();
    }
}

static void *watch_run(void *context)
{
    struct watch_port *port = rpc_server_watch_port(server);
    struct watch_event events[16];
    (void)context;
    while (!atomic_load(&is_over)) {
        size_t count = port->table->take(port, events, 16);
        for (size_t i = 0; i < count; i++) play(port, &events[i]);
        port->table->flush(port);
        if (count == 0 && !atomic_load(&is_over)) port->table->wait(port, CLOCK_NEVER);
    }
    return NULL;
}

static void adopt(void *context, int descriptor) { rpc_server_adopt(context, descriptor); }

static void set_up(void)
{
    rpc_process_init();
    atomic_store(&is_over, false);
    atomic_store(&closed, 0);
    server = rpc_server_new(&(struct rpc_server_options){
        .max_request_bytes = 1 << 20, .max_concurrent_streams = UINT32_MAX, .calls_max = 100, .keepalive_min_time_ns = 5 * NS_PER_S,
        .keepalive_interval_ns = 7200 * NS_PER_S, .keepalive_timeout_ns = 20 * NS_PER_S, .memory_bytes_max = 64u << 20,
        .streams_max = {[WATCH_METHOD_WATCH] = STREAMS_MAX, [WATCH_METHOD_KEEP_ALIVE] = 1}});
    rig_door_open(&door, 0, adopt, server);
    ck_assert_int_eq(pthread_create(&net, NULL, net_run, NULL), 0);
    ck_assert_int_eq(pthread_create(&watch, NULL, watch_run, NULL), 0);
    rig_client_open(&client, door.port, 1);
}

static void tear_down(void)
{
    struct call_port *calls = rpc_server_port(server);
    struct watch_port *streams = rpc_server_watch_port(server);
    rig_client_close(&client);
    rig_door_close(&door);
    atomic_store(&is_over, true);
    streams->table->ring(streams);
    pthread_join(watch, NULL);
    calls->table->ring(calls);
    pthread_join(net, NULL);
    rpc_server_free(server);
    rpc_process_deinit();
}

/* --- a client's stream, which stays open --- */

struct stream {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *answer;
    grpc_status_code status;
    grpc_slice details;
    bool is_answered, is_ended; /* tags, too */
};

static struct stream *open_stream(const char *path)
{
    struct stream *stream = ALLOC(struct stream);
    grpc_slice bytes = grpc_slice_from_static_string("here");
    stream->call = grpc_channel_create_call(client.channels[0], NULL, GRPC_PROPAGATE_DEFAULTS, client.queue, grpc_slice_from_static_string(path),
                                            NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    stream->request = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
                      {.op = GRPC_OP_RECV_MESSAGE}};
    ops[1].data.send_message.send_message = stream->request;
    ops[2].data.recv_initial_metadata.recv_initial_metadata = &stream->initial;
    ops[3].data.recv_message.recv_message = &stream->answer;
    ck_assert_int_eq(grpc_call_start_batch(stream->call, ops, 4, &stream->is_answered, NULL), GRPC_CALL_OK);
    grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    end.data.recv_status_on_client.trailing_metadata = &stream->trailing;
    end.data.recv_status_on_client.status = &stream->status;
    end.data.recv_status_on_client.status_details = &stream->details;
    ck_assert_int_eq(grpc_call_start_batch(stream->call, &end, 1, &stream->is_ended, NULL), GRPC_CALL_OK);
    return stream;
}

static void wait_until(const bool *flag)
{
    while (!*flag) {
        bool *tag = (bool *)(void *)rig_client_wait(&client, 15000);
        ck_assert_ptr_nonnull(tag);
        *tag = true;
    }
}

static void expect_answer(struct stream *stream)
{
    wait_until(&stream->is_answered);
    ck_assert_ptr_nonnull(stream->answer);
    ck_assert(!stream->is_ended);
}

static void expect_refusal(struct stream *stream)
{
    wait_until(&stream->is_ended);
    wait_until(&stream->is_answered);
    ck_assert_ptr_null(stream->answer);
    ck_assert_int_eq(stream->status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(grpc_slice_str_cmp(stream->details, err_text(ERR_TOO_MANY_REQUESTS)), 0);
}

static void close_stream(struct stream *stream)
{
    if (!stream->is_ended) (void)grpc_call_cancel(stream->call, NULL);
    wait_until(&stream->is_ended);
    wait_until(&stream->is_answered);
    if (stream->answer != NULL) grpc_byte_buffer_destroy(stream->answer);
    grpc_byte_buffer_destroy(stream->request);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    grpc_slice_unref(stream->details);
    grpc_call_unref(stream->call);
    alloc_free(stream);
}

START_TEST(test_rpc_watch_a_stream_beyond_the_limit_is_refused_and_no_other_notices)
{
    struct stream *kept[STREAMS_MAX], *beyond[BEYOND];
    for (int i = 0; i < STREAMS_MAX; i++) expect_answer(kept[i] = open_stream(WATCH));
    for (int i = 0; i < BEYOND; i++) beyond[i] = open_stream(WATCH);
    for (int i = 0; i < BEYOND; i++) {
        expect_refusal(beyond[i]);
        close_stream(beyond[i]);
    }
    struct stream *other = open_stream(KEEP_ALIVE); /* has a limit of its own */
    expect_answer(other);
    for (int i = 0; i < STREAMS_MAX; i++) ck_assert(!kept[i]->is_ended);
    close_stream(other);
    for (int i = 0; i < STREAMS_MAX; i++) close_stream(kept[i]);
}
END_TEST

START_TEST(test_rpc_watch_who_leaves_makes_room)
{
    struct stream *kept[STREAMS_MAX];
    for (int i = 0; i < STREAMS_MAX; i++) expect_answer(kept[i] = open_stream(WATCH));
    for (int round = 1; round <= 10; round++) {
        struct stream *refused = open_stream(WATCH);
        expect_refusal(refused);
        close_stream(refused);
        close_stream(kept[round % STREAMS_MAX]);
        for (int i = 0; i < 1000 && atomic_load(&closed) < (unsigned)round; i++) ck_assert_int_eq(poll(NULL, 0, 10), 0);
        expect_answer(kept[round % STREAMS_MAX] = open_stream(WATCH));
    }
    for (int i = 0; i < STREAMS_MAX; i++) close_stream(kept[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_watch");
    TCase *tcase = tcase_create("limits");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_rpc_watch_a_stream_beyond_the_limit_is_refused_and_no_other_notices);
    tcase_add_test(tcase, test_rpc_watch_who_leaves_makes_room);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
