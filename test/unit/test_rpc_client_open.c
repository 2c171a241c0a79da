/* Do calls whose side stays open work: messages leave in order, whatever the connection's state, answers come in order, and the end comes
 * once, from either side, while messages are on their way or wait? Does a ring wake the pump? An rpc_server's Watch method stands on
 * loopback, with a thread that plays the watch role and echoes. */
#include <check.h>
#include <stdlib.h>

#include "lib/rpc_rig.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"

#define STREAMS_MAX 8
#define PATH "/etcdserverpb.Watch/Watch"

/* ---- a server that echoes ---- */
static struct echo {
    struct rpc_server *server;
    struct rig_door door;
    struct rig_poller poller;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint opened, came, with_leader;
    atomic_uint end_after; /* messages, with ERR_NO_LEADER; 0 = never */
    atomic_bool is_deaf;   /* takes no message */
} echo;

static void echo_event(struct watch_port *port, const struct watch_event *event)
{
    switch (event->kind) {
    case WATCH_OPEN:
        atomic_fetch_add(&echo.opened, 1);
        if (event->require_leader) atomic_fetch_add(&echo.with_leader, 1);
        if (!atomic_load(&echo.is_deaf)) port->table->next(port, event->stream);
        break;
    case WATCH_MESSAGE:
        if (!event->ok) {
            port->table->finish(port, event->stream, ERR_OK);
        } else if (atomic_fetch_add(&echo.came, 1) + 1 == atomic_load(&echo.end_after)) {
            port->table->finish(port, event->stream, ERR_NO_LEADER);
        } else if (port->table->send(port, event->stream, event->body, NULL)) {
            port->table->next(port, event->stream);
        }
        break;
    case WATCH_SENT:
        if (event->ok) port->table->next(port, event->stream);
        else port->table->finish(port, event->stream, ERR_CANCELED);
        break;
    case WATCH_CLOSED: break;
    }
}

static void *echo_run(void *context)
{
    struct watch_port *port = context;
    struct watch_event events[16];
    while (!atomic_load(&echo.stop)) {
        size_t count = port->table->take(port, events, 16);
        for (size_t i = 0; i < count; i++) echo_event(port, &events[i]);
        port->table->flush(port);
        if (count == 0) port->table->wait(port, CLOCK_NEVER);
    }
    return NULL;
}

static void echo_adopt(void *context, int descriptor)
{
    ASSERT(context == NULL);
    rpc_server_adopt(echo.server, descriptor);
}

static void open_door(uint16_t port) { rig_door_open(&echo.door, port, echo_adopt, NULL); }

static void echo_start(void)
{
    struct rpc_server_options options = {.max_request_bytes = 2u << 20, .max_concurrent_streams = UINT32_MAX, .calls_max = 16,
                                         .streams_max = {STREAMS_MAX, STREAMS_MAX}, .keepalive_min_time_ns = 5 * NS_PER_S,
                                         .keepalive_interval_ns = 7200 * NS_PER_S, .keepalive_timeout_ns = 20 * NS_PER_S,
                                         .memory_bytes_max = 512u << 20};
    memset(&echo, 0, sizeof echo);
    echo.server = rpc_server_new(&options);
    rig_poller_start(&echo.poller);
    ck_assert_int_eq(pthread_create(&echo.thread, NULL, echo_run, rpc_server_watch_port(echo.server)), 0);
}

static void echo_stop(void)
{
    struct watch_port *port = rpc_server_watch_port(echo.server);
    atomic_store(&echo.stop, true);
    port->table->ring(port);
    pthread_join(echo.thread, NULL);
    rpc_server_free(echo.server);
    rig_poller_stop(&echo.poller);
}

/* ---- a client of it ---- */
static struct rpc_client *client;
static struct talk {
    uint32_t sent, received, size;
    unsigned ends;
    enum err_code code;
    char text[64];
    bool has_enough;
} talk;

static void connect_client(uint16_t port)
{
    char endpoint[64], message[256] = "";
    const char *endpoints[] = {endpoint};
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", port);
    struct rpc_client_options options = {.endpoints = endpoints, .endpoint_count = 1, .calls_max = 4, .dial_timeout_ns = 20 * NS_PER_S};
    client = rpc_client_new(&options, message, sizeof message);
    ck_assert_msg(client != NULL, "%s", message);
}

/* The number, and bytes that follow from it. */
static struct blob *numbered(uint32_t number, uint32_t size)
{
    struct blob *blob = blob_new(size);
    for (uint32_t i = 0; i < size; i++) blob->data[i] = (uint8_t)(i < 4 ? number >> 8 * i : number * 7 + i);
    return blob;
}

static bool on_message(void *context, struct slice body)
{
    ck_assert_ptr_eq(context, &talk);
    struct blob *expected = numbered(talk.received, talk.size);
    ck_assert_msg(slice_equal(body, blob_slice(expected)), "echo %u", talk.received);
    blob_unref(expected);
    talk.received++;
    return !talk.has_enough;
}

static void on_end(void *context, const struct rpc_client_result *result)
{
    ck_assert_ptr_eq(context, &talk);
    talk.ends++;
    talk.code = result->code;
    snprintf(talk.text, sizeof talk.text, "%s", result->text);
}

static bool say(uint64_t call)
{
    struct blob *body = numbered(talk.sent, talk.size);
    bool is_sent = rpc_client_send(client, call, blob_slice(body));
    blob_unref(body);
    if (is_sent) talk.sent++;
    return is_sent;
}

static uint64_t start_talk(uint32_t size)
{
    talk = (struct talk){.size = size, .sent = 1};
    struct blob *first = numbered(0, size);
    const struct rpc_client_request request = {.path = PATH, .body = blob_slice(first), .policy = RPC_CLIENT_ONCE,
                                               .endpoint = RPC_CLIENT_ANY, .require_leader = true, .message_fn = on_message,
                                               .message_context = &talk, .is_open = true};
    uint64_t call = rpc_client_start(client, &request, on_end, &talk);
    blob_unref(first);
    return call;
}

static void pump_until(const uint32_t *number, uint32_t value)
{
    uint64_t give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
    while (*number < value) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, give_up_ns);
    }
}

static void set_up(void)
{
    rpc_process_init();
    echo_start();
}

static void tear_down(void)
{
    rpc_client_free(client);
    client = NULL;
    echo_stop();
    rpc_process_deinit();
}

START_TEST(test_rpc_client_open_sends_and_receives_in_order)
{
    open_door(0);
    connect_client(echo.door.port);
    const uint32_t sizes[] = {4, 1000, 300000};
    for (size_t i = 0; i < 3; i++) {
        uint64_t call = start_talk(sizes[i]);
        for (int k = 0; k < 100; k++) ck_assert(say(call)); /* before the connection stands */
        pump_until(&talk.received, 101);
        for (int k = 0; k < 20; k++) { /* one by one */
            ck_assert(say(call));
            pump_until(&talk.received, talk.sent);
        }
        rpc_client_cancel(client, call);
        pump_until(&talk.ends, 1);
        ck_assert_int_eq(talk.code, ERR_CODE_CANCELLED);
        ck_assert(!say(call));
    }
    ck_assert_uint_eq(atomic_load(&echo.with_leader), 3);
    rig_door_close(&echo.door);
}
END_TEST

START_TEST(test_rpc_client_open_waits_for_an_endpoint_that_comes_up)
{
    uint16_t port = 0;
    close(rig_listen(0, &port));
    connect_client(port);
    uint64_t call = start_talk(16);
    while (talk.sent < RPC_CLIENT_SEND_MAX) ck_assert(say(call));
    ck_assert_msg(!say(call), "more than the limit may wait");
    rpc_client_pump(client, clock_mono_ns() + 200 * NS_PER_MS);
    open_door(port);
    pump_until(&talk.received, RPC_CLIENT_SEND_MAX);
    ck_assert_uint_eq(talk.ends, 0);
    rig_door_close(&echo.door);
}
END_TEST

START_TEST(test_rpc_client_open_ends_once_when_the_server_ends_it)
{
    open_door(0);
    connect_client(echo.door.port);
    for (uint32_t after = 1; after <= 5; after++) {
        atomic_store(&echo.came, 0);
        atomic_store(&echo.end_after, after);
        uint64_t call = start_talk(200000);
        for (int k = 0; k < 50; k++) ck_assert(say(call)); /* most of them are never taken */
        pump_until(&talk.ends, 1);
        ck_assert_int_eq(talk.code, ERR_CODE_UNAVAILABLE);
        ck_assert_str_eq(talk.text, "etcdserver: no leader");
        ck_assert_uint_eq(talk.received, after - 1);
        ck_assert(!say(call));
        rpc_client_pump(client, clock_mono_ns() + 10 * NS_PER_MS);
        ck_assert_uint_eq(talk.ends, 1);
    }
    rig_door_close(&echo.door);
}
END_TEST

START_TEST(test_rpc_client_open_ends_once_when_enough_came)
{
    open_door(0);
    connect_client(echo.door.port);
    uint64_t call = start_talk(5000);
    talk.has_enough = true;
    for (int k = 0; k < 200; k++) ck_assert(say(call));
    pump_until(&talk.ends, 1);
    ck_assert_int_eq(talk.code, ERR_CODE_CANCELLED);
    ck_assert_uint_eq(talk.received, 1);
    rig_door_close(&echo.door);
}
END_TEST

/* Messages that the server does not take: they fill the window, and the rest waits here. */
START_TEST(test_rpc_client_open_is_canceled_and_freed_with_messages_on_their_way)
{
    atomic_store(&echo.is_deaf, true);
    open_door(0);
    for (int round = 0; round < 4; round++) {
        connect_client(echo.door.port);
        uint64_t call = start_talk(500000);
        for (int k = 0; k < 20; k++) ck_assert(say(call));
        uint64_t give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
        while (round > 0 && atomic_load(&echo.opened) < (unsigned)round && clock_mono_ns() < give_up_ns)
            rpc_client_pump(client, clock_mono_ns() + 10 * NS_PER_MS);
        if (round % 2 == 1) rpc_client_cancel(client, call);
        rpc_client_free(client);
        client = NULL;
        ck_assert_uint_eq(talk.ends, 1);
        ck_assert_int_eq(talk.code, ERR_CODE_CANCELLED);
    }
    rig_door_close(&echo.door);
}
END_TEST

static void *ring_soon(void *context)
{
    ASSERT(context == NULL);
    struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&moment, NULL);
    rpc_client_ring(client);
    return NULL;
}

START_TEST(test_rpc_client_ring_wakes_the_pump_that_waits_and_the_next_one)
{
    uint64_t give_up_ns = clock_mono_ns() + 30 * NS_PER_S;
    connect_client(1);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, ring_soon, NULL), 0);
        rpc_client_pump(client, give_up_ns);
        pthread_join(thread, NULL);
        rpc_client_ring(client); /* nobody waits */
        rpc_client_ring(client);
        rpc_client_pump(client, give_up_ns);
    }
    ck_assert_msg(clock_mono_ns() < give_up_ns, "a ring was lost");
    rpc_client_ring(client); /* and is in the queue when the client goes */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_client_open");
    TCase *tests = tcase_create("open");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, test_rpc_client_open_sends_and_receives_in_order);
    tcase_add_test(tests, test_rpc_client_open_waits_for_an_endpoint_that_comes_up);
    tcase_add_test(tests, test_rpc_client_open_ends_once_when_the_server_ends_it);
    tcase_add_test(tests, test_rpc_client_open_ends_once_when_enough_came);
    tcase_add_test(tests, test_rpc_client_open_is_canceled_and_freed_with_messages_on_their_way);
    tcase_add_test(tests, test_rpc_client_ring_wakes_the_pump_that_waits_and_the_next_one);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
