/* Does the port of the bidirectional streams keep to its limits: who comes when all places are taken is told so, and nobody else notices;
 * who does not read is sent no more; and do messages in a row come whole, in order, and before the end?
 * Real clients of gRPC's C core over loopback; one thread plays net's role, another one the watch role. */
#include <check.h>
#include <stdlib.h>

#include "base/err.h"
#include "lib/rpc_rig.h"
#include "rpc/rpc_bytes.h"
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

/* What a stream sends that asks for many messages: each as long as the port takes them. */
static struct burst {
    uint64_t left, size, end; /* size 0: all sizes up to some that are not held back; end: an enum err, when all are sent */
    bool is_asked;
    atomic_ullong sent;
} bursts[STREAMS_MAX];

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

static size_t burst_size(const struct burst *burst, uint64_t number) { return burst->size > 0 ? burst->size : 8 + number * 37 % 6000; }

static void pump(struct watch_port *port, uint64_t stream)
{
    struct burst *burst = &bursts[(uint32_t)stream % STREAMS_MAX];
    if (!burst->is_asked) return;
    while (burst->left > 0) {
        uint64_t number = atomic_load(&burst->sent);
        struct blob *rest = blob_new(burst_size(burst, number) - sizeof(number));
        memset(rest->data, (int)(number & 0xff), rest->size);
        bool takes_next = port->table->send(port, stream, slice_make(&number, sizeof(number)), rest);
        burst->left--;
        atomic_store(&burst->sent, number + 1);
        if (!takes_next) return;
    }
    burst->is_asked = false;
    port->table->finish(port, stream, (enum err)burst->end);
}

/* "burst COUNT SIZE ERR" */
static bool starts_burst(uint64_t stream, struct slice text)
{
    char copy[64] = "";
    unsigned long long count, size, end;
    struct burst *burst = &bursts[(uint32_t)stream % STREAMS_MAX];
    memcpy(copy, text.data, text.size < sizeof copy ? text.size : sizeof copy - 1);
    if (sscanf(copy, "burst %llu %llu %llu", &count, &size, &end) != 3) return false;
    burst->left = count;
    burst->size = size;
    burst->end = end;
    burst->is_asked = true;
    atomic_store(&burst->sent, 0);
    return true;
}

/* Each message is answered with its own bytes, or with a burst; a client's last word with the end. */
static void play(struct watch_port *port, const struct watch_event *event)
{
    switch (event->kind) {
    case WATCH_OPEN: port->table->next(port, event->stream); break;
    case WATCH_SENT:
        port->table->next(port, event->stream);
        if (event->ok) pump(port, event->stream);
        break;
    case WATCH_MESSAGE:
        if (!event->ok) port->table->finish(port, event->stream, ERR_OK);
        else if (starts_burst(event->stream, event->body)) pump(port, event->stream);
        else if (port->table->send(port, event->stream, event->body, NULL)) port->table->next(port, event->stream);
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

static struct stream *open_stream_with(const char *path, const char *text)
{
    struct stream *stream = ALLOC(struct stream);
    grpc_slice bytes = grpc_slice_from_copied_string(text);
    stream->call = grpc_channel_create_call(client.channels[0], NULL, GRPC_PROPAGATE_DEFAULTS, client.queue, grpc_slice_from_static_string(path),
                                            NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    stream->request = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
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

static struct stream *open_stream(const char *path) { return open_stream_with(path, "here"); }

static void wait_until(const bool *flag)
{
    while (!*flag) {
        bool *tag = (bool *)(void *)rig_client_wait(&client, 15000);
        if (tag == NULL) ck_abort_msg("nothing comes");
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

/* --- many messages --- */

static void expect_message(struct stream *stream, const struct burst *burst, uint64_t number)
{
    uint64_t read;
    wait_until(&stream->is_answered);
    if (stream->answer == NULL) ck_abort_msg("it ended before message %llu", (unsigned long long)number);
    struct blob *bytes = rpc_bytes_copy(stream->answer);
    size_t right = sizeof(read);
    memcpy(&read, bytes->data, sizeof(read));
    while (right < bytes->size && bytes->data[right] == (uint8_t)number) right++;
    bool is_good = read == number && bytes->size == burst_size(burst, number) && right == bytes->size;
    if (!is_good) ck_abort_msg("message %llu is not what was sent", (unsigned long long)number); /* libcheck writes a file at each assertion */
    blob_unref(bytes);
}

static void read_next(struct stream *stream)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->answer};
    grpc_byte_buffer_destroy(stream->answer);
    stream->answer = NULL;
    stream->is_answered = false;
    grpc_call_error error = grpc_call_start_batch(stream->call, &op, 1, &stream->is_answered, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static void expect_burst(struct stream *stream, const struct burst *burst, uint64_t count, grpc_status_code status)
{
    for (uint64_t i = 0; i < count; i++) {
        expect_message(stream, burst, i);
        read_next(stream);
    }
    wait_until(&stream->is_ended);
    wait_until(&stream->is_answered);
    ck_assert_ptr_null(stream->answer);
    ck_assert_int_eq(stream->status, status);
}

START_TEST(test_rpc_watch_messages_in_a_row_come_whole_in_order_and_before_the_end)
{
    const struct burst of_100 = {.size = 100}, of_all_sizes = {.size = 0};
    for (int round = 0; round < 3; round++) {
        struct stream *small = open_stream_with(WATCH, "burst 5000 100 0"), *mixed = open_stream_with(WATCH, "burst 3000 0 0");
        expect_burst(small, &of_100, 5000, GRPC_STATUS_OK);
        expect_burst(mixed, &of_all_sizes, 3000, GRPC_STATUS_OK);
        close_stream(small);
        close_stream(mixed);
    }
}
END_TEST

START_TEST(test_rpc_watch_what_was_taken_comes_before_an_end_with_an_error)
{
    const struct burst of_20 = {.size = 20};
    char text[64];
    for (uint64_t round = 0; round < 300; round++) { /* now and then net's thread is writing just then */
        uint64_t count = 1 + round % 4;
        snprintf(text, sizeof text, "burst %llu 20 %d", (unsigned long long)count, ERR_NO_LEADER);
        struct stream *stream = open_stream_with(WATCH, text);
        expect_burst(stream, &of_20, count, GRPC_STATUS_UNAVAILABLE);
        close_stream(stream);
    }
}
END_TEST

static unsigned long long sent_at_rest(const struct burst *burst)
{
    unsigned long long before = 0;
    for (int i = 0; i < 1000; i++) {
        ck_assert_int_eq(poll(NULL, 0, 200), 0);
        unsigned long long sent = atomic_load(&burst->sent);
        if (sent == before && sent > 0) return sent;
        before = sent;
    }
    ck_abort_msg("it sends for ever");
}

/* Another stream of its connection goes on meanwhile. */
START_TEST(test_rpc_watch_who_does_not_read_is_sent_no_more_and_gets_all_when_he_reads)
{
    const uint64_t count = 200000;
    const struct burst of_100 = {.size = 100};
    struct stream *stalled = open_stream_with(WATCH, "burst 200000 100 0");
    expect_message(stalled, &of_100, 0);
    unsigned long long sent = sent_at_rest(&bursts[0]);
    ck_assert_uint_gt(sent, 100);
    ck_assert_uint_lt(sent, count / 2);
    struct stream *other = open_stream_with(WATCH, "burst 1000 100 0");
    expect_burst(other, &of_100, 1000, GRPC_STATUS_OK);
    close_stream(other);
    ck_assert_uint_eq(atomic_load(&bursts[0].sent), sent);
    expect_burst(stalled, &of_100, count, GRPC_STATUS_OK);
    close_stream(stalled);
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
    tcase_add_test(tcase, test_rpc_watch_messages_in_a_row_come_whole_in_order_and_before_the_end);
    tcase_add_test(tcase, test_rpc_watch_what_was_taken_comes_before_an_end_with_an_error);
    tcase_add_test(tcase, test_rpc_watch_who_does_not_read_is_sent_no_more_and_gets_all_when_he_reads);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
