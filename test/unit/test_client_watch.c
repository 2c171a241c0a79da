/* Do watches and kept leases go on where they were, whatever the server's streams do: end with what may pass or with what may not, repeat
 * themselves, send bytes that are no response? A server with a script for each stream stands on loopback. */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "client/kvd/client.h"
#include "lib/rpc_rig.h"
#include "rpc/rpc_server.h"

#define STREAMS_MAX 16
#define FRAMES_MAX 8
#define STAY -1 /* in a script: the stream does not end */

/* ---- a server with a script ---- */
struct script {
    struct buf frames[FRAMES_MAX];
    size_t count;
    int end; /* an err, or STAY */
};
static struct server {
    struct rpc_server *server;
    struct rig_door door;
    struct rig_poller poller;
    pthread_t thread;
    atomic_bool stop;
    struct script scripts[STREAMS_MAX]; /* by the order in which streams ask */
    size_t script_count;
    atomic_uint ready;                  /* moves on when scripts were written: they are the server's thread's from then on */
    atomic_uint asked;
    int64_t starts[STREAMS_MAX];        /* start_revision, or the lease's id */
    uint64_t streams[STREAMS_MAX];
    size_t sent[STREAMS_MAX];
} server;

static size_t place_of(uint64_t stream)
{
    size_t place = 0;
    while (place < atomic_load(&server.asked) && server.streams[place] != stream) place++;
    return place;
}

static void go_on(struct watch_port *port, uint64_t stream)
{
    size_t place = place_of(stream);
    const struct script *script = &server.scripts[place];
    while (server.sent[place] < script->count) {
        if (!port->table->send(port, stream, buf_slice(&script->frames[server.sent[place]++]), NULL)) return;
    }
    if (script->end != STAY) port->table->finish(port, stream, (enum err)script->end);
}

/* A number of the request: of a WatchCreateRequest its start_revision, of a keep-alive the id. */
static int64_t number_of(struct slice body, enum watch_method method)
{
    struct reader reader = reader_make(body), inner;
    struct pb_field field;
    int64_t number = 0;
    while (reader_pb_field(&reader, &field)) {
        if (method == WATCH_METHOD_KEEP_ALIVE && field.number == 1) number = (int64_t)field.value;
        if (method != WATCH_METHOD_WATCH || field.number != 1) continue;
        inner = reader_make(field.bytes);
        struct pb_field own;
        while (reader_pb_field(&inner, &own))
            if (own.number == 3) number = (int64_t)own.value;
    }
    return number;
}

static void serve(struct watch_port *port, const struct watch_event *event)
{
    switch (event->kind) {
    case WATCH_OPEN: port->table->next(port, event->stream); break;
    case WATCH_MESSAGE:
        if (!event->ok) {
            port->table->finish(port, event->stream, ERR_OK);
        } else {
            size_t place = atomic_load(&server.asked);
            ck_assert_uint_gt(atomic_load(&server.ready), 0);
            ck_assert_uint_lt(place, server.script_count);
            server.streams[place] = event->stream;
            server.starts[place] = number_of(event->body, event->method);
            atomic_store(&server.asked, (unsigned)place + 1);
            go_on(port, event->stream);
        }
        break;
    case WATCH_SENT:
        if (event->ok) go_on(port, event->stream);
        else port->table->finish(port, event->stream, ERR_CANCELED);
        break;
    case WATCH_CLOSED: break;
    }
}

static void *serve_on(void *context)
{
    struct watch_port *port = context;
    struct watch_event events[16];
    while (!atomic_load(&server.stop)) {
        size_t count = port->table->take(port, events, 16);
        for (size_t i = 0; i < count; i++) serve(port, &events[i]);
        port->table->flush(port);
        if (count == 0) port->table->wait(port, CLOCK_NEVER);
    }
    return NULL;
}

static void adopt(void *context, int descriptor)
{
    ASSERT(context == NULL);
    rpc_server_adopt(server.server, descriptor);
}

static struct kvd_client *client;

static void set_up(void)
{
    struct rpc_server_options options = {.max_request_bytes = 2u << 20, .max_concurrent_streams = UINT32_MAX, .calls_max = 16,
                                         .streams_max = {STREAMS_MAX, STREAMS_MAX}, .keepalive_min_time_ns = 5 * NS_PER_S,
                                         .keepalive_interval_ns = 7200 * NS_PER_S, .keepalive_timeout_ns = 20 * NS_PER_S,
                                         .memory_bytes_max = 512u << 20};
    char endpoint[64], text[256] = "";
    const char *endpoints[] = {endpoint};
    rpc_process_init();
    memset(&server, 0, sizeof server);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        for (size_t k = 0; k < FRAMES_MAX; k++) buf_init(&server.scripts[i].frames[k]);
    server.server = rpc_server_new(&options);
    rig_poller_start(&server.poller);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve_on, rpc_server_watch_port(server.server)), 0);
    rig_door_open(&server.door, 0, adopt, NULL);
    snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", server.door.port);
    client = kvd_client_new(&(struct kvd_client_options){.endpoints = endpoints, .endpoint_count = 1}, text, sizeof text);
    ck_assert_msg(client != NULL, "%s", text);
}

static void tear_down(void)
{
    struct watch_port *port = rpc_server_watch_port(server.server);
    kvd_client_free(client);
    rig_door_close(&server.door);
    atomic_store(&server.stop, true);
    port->table->ring(port);
    pthread_join(server.thread, NULL);
    rpc_server_free(server.server);
    rig_poller_stop(&server.poller);
    for (size_t i = 0; i < STREAMS_MAX; i++)
        for (size_t k = 0; k < FRAMES_MAX; k++) buf_deinit(&server.scripts[i].frames[k]);
    rpc_process_deinit();
}

/* ---- writing scripts ---- */
static struct script *script(int end)
{
    struct script *next = &server.scripts[server.script_count++];
    next->end = end;
    return next;
}

static struct buf *frame(struct script *script, int64_t revision)
{
    struct buf header, *frame = &script->frames[script->count++];
    buf_init(&header);
    buf_put_pb_varint(&header, 3, (uint64_t)revision);
    buf_put_pb_bytes(frame, 1, buf_slice(&header));
    buf_deinit(&header);
    return frame;
}

static void created(struct script *script, int64_t revision) { buf_put_pb_varint(frame(script, revision), 3, 1); }

static void event(struct buf *frame, int64_t revision)
{
    struct buf pair, whole;
    buf_init(&pair);
    buf_init(&whole);
    buf_put_pb_bytes(&pair, 1, slice_from_string("k"));
    buf_put_pb_varint(&pair, 3, (uint64_t)revision);
    buf_put_pb_bytes(&whole, 2, buf_slice(&pair));
    buf_put_pb_bytes(frame, 11, buf_slice(&whole));
    buf_deinit(&whole);
    buf_deinit(&pair);
}

static int64_t start_of(size_t place)
{
    ck_assert_uint_lt(place, atomic_load(&server.asked));
    return server.starts[place];
}

/* ---- watches ---- */
static struct kvd_watch *open_watch(int64_t revision)
{
    struct kvd_watch *watch = NULL;
    atomic_fetch_add(&server.ready, 1);
    ck_assert_int_eq((int)kvd_watch_open(client, kvd_text("k"), &(struct kvd_watch_options){.start_revision = revision}, NULL, NULL, &watch), KVD_OK);
    return watch;
}

static const struct kvd_news *next_news(struct kvd_watch *watch, enum kvd_code code)
{
    const struct kvd_news *news = NULL;
    enum kvd_code got = kvd_watch_next(watch, 20000, &news);
    ck_assert_msg(got == code && news != NULL, "code %d, not %d: %s", (int)got, (int)code, news == NULL ? "" : news->text);
    return news;
}

static void check_events(struct kvd_watch *watch, size_t count, int64_t first)
{
    const struct kvd_news *news = next_news(watch, KVD_OK);
    ck_assert_uint_eq(news->event_count, count);
    for (size_t i = 0; i < count; i++) ck_assert_int_eq(news->events[i].pair.mod_revision, first + (int64_t)i);
}

START_TEST(test_client_watch_begins_behind_what_it_delivered)
{
    struct script *first = script(ERR_NO_LEADER);
    created(first, 10);
    struct buf *two = frame(first, 12);
    event(two, 11);
    event(two, 12);
    struct script *second = script(ERR_MALFORMED); /* INTERNAL: comes again, as from etcd's client */
    created(second, 20);
    struct buf *again = frame(second, 13); /* one of them twice, and then only old ones */
    event(again, 12);
    event(again, 13);
    event(frame(second, 14), 13);
    frame(second, 30); /* progress: all up to 30 has been told */
    struct script *third = script(STAY);
    created(third, 30);
    buf_put(&third->frames[third->count++], "\xff\xff no response", 14);
    struct script *fourth = script(STAY);
    created(fourth, 35);
    event(frame(fourth, 40), 40);
    struct buf *last = frame(fourth, 0);
    buf_put_pb_varint(last, 4, 1);
    buf_put_pb_varint(last, 5, 50);
    struct kvd_watch *watch = open_watch(0);
    check_events(watch, 2, 11);
    check_events(watch, 1, 13);
    const struct kvd_news *news = next_news(watch, KVD_OK);
    ck_assert(news->event_count == 0 && news->header.revision == 30);
    check_events(watch, 1, 40);
    news = next_news(watch, KVD_OUT_OF_RANGE);
    ck_assert(news->compact_revision == 50 && news->body.size > 0);
    kvd_watch_close(watch);
    static const int64_t starts[] = {0, 13, 31, 31};
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(start_of(i), starts[i]);
}
END_TEST

START_TEST(test_client_watch_that_saw_nothing_begins_behind_its_creation)
{
    created(script(ERR_STOPPED), 10);
    created(script(ERR_OK), 15); /* an end without an error, too */
    struct script *third = script(STAY);
    created(third, 20);
    event(frame(third, 25), 25);
    struct kvd_watch *watch = open_watch(0);
    check_events(watch, 1, 25);
    kvd_watch_close(watch);
    ck_assert(start_of(0) == 0 && start_of(1) == 11 && start_of(2) == 11);
}
END_TEST

START_TEST(test_client_watch_is_over_by_what_would_come_again)
{
    script(ERR_UNIMPLEMENTED);
    struct script *second = script(STAY);
    struct buf *refused = frame(second, 0);
    buf_put_pb_varint(refused, 3, 1);
    buf_put_pb_varint(refused, 4, 1);
    buf_put_pb_bytes(refused, 6, slice_from_string("mvcc: watcher range is empty"));
    struct kvd_watch *watch = open_watch(0);
    const struct kvd_news *news = next_news(watch, KVD_UNIMPLEMENTED);
    ck_assert(news->body.size == 0 && news->text[0] != '\0');
    kvd_watch_close(watch);
    watch = open_watch(5);
    news = next_news(watch, KVD_CANCELLED);
    ck_assert_str_eq(news->text, "mvcc: watcher range is empty");
    kvd_watch_close(watch);
    ck_assert_uint_eq(atomic_load(&server.asked), 2);
}
END_TEST

/* ---- a stream whose messages nobody takes ---- */
static atomic_int end_code;
static atomic_uint ended;

static enum kvd_more on_message(void *context, struct kvd_bytes body) { return context == NULL && body.size > 0 ? KVD_MORE : KVD_ENOUGH; }

static void on_end(void *context, const struct kvd_result *result)
{
    ck_assert_ptr_null(context);
    atomic_store(&end_code, (int)result->code);
    atomic_fetch_add(&ended, 1);
}

START_TEST(test_client_stream_on_which_too_much_waits_is_ended)
{
    static uint8_t large[40000];
    struct buf first;
    uint64_t call = 0;
    script(STAY);
    atomic_store(&ended, 0);
    atomic_fetch_add(&server.ready, 1);
    buf_init(&first);
    buf_put_pb_bytes(&first, 1, slice_empty());
    struct kvd_request *request = kvd_raw_stream("/etcdserverpb.Watch/Watch", kvd_bytes_of(first.blob->data, first.size), true, on_message, NULL);
    ck_assert_int_eq((int)kvd_start(client, request, NULL, on_end, NULL, &call), KVD_OK);
    for (int i = 0; i < 20000 && atomic_load(&server.asked) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < 4000 && atomic_load(&ended) == 0; i++) {
        enum kvd_code code = kvd_send(client, call, kvd_bytes_of(large, sizeof large));
        ck_assert(code == KVD_OK || code == KVD_BUSY);
        if (code == KVD_BUSY) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    for (int i = 0; i < 20000 && atomic_load(&ended) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_int_eq(atomic_load(&end_code), KVD_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(atomic_load(&ended), 1);
    buf_deinit(&first);
}
END_TEST

/* ---- leases ---- */
struct seen {
    atomic_uint renewals, ends;
    atomic_int state, code;
};

static void on_news(void *context, const struct kvd_keeper_news *news)
{
    struct seen *seen = context;
    ck_assert_int_eq(news->lease, 7);
    atomic_store(&seen->state, (int)news->state);
    atomic_store(&seen->code, (int)news->code);
    atomic_fetch_add(news->state == KVD_KEEPER_RUNS ? &seen->renewals : &seen->ends, 1);
}

static void renewal(struct script *script, int64_t id, int64_t ttl)
{
    struct buf *renewed = frame(script, 5);
    buf_put_pb_varint(renewed, 2, (uint64_t)id);
    buf_put_pb_varint(renewed, 3, (uint64_t)ttl);
}

static void keep(struct seen *seen, int64_t ttl)
{
    struct kvd_keeper *keeper = NULL;
    atomic_fetch_add(&server.ready, 1);
    ck_assert_int_eq((int)kvd_keeper_open(client, 7, ttl, on_news, seen, &keeper), KVD_OK);
    for (int i = 0; i < 20000 && atomic_load(&seen->ends) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_eq(atomic_load(&seen->ends), 1);
    ck_assert_int_eq((int)kvd_keeper_state_of(keeper), atomic_load(&seen->state));
    kvd_keeper_close(keeper);
}

START_TEST(test_client_keeper_goes_on_until_the_lease_is_gone_refused_or_over)
{
    struct seen gone = {.renewals = 0}, refused = {.renewals = 0}, expired = {.renewals = 0};
    renewal(script(ERR_NO_LEADER), 7, 60);
    renewal(script(ERR_STOPPED), 8, 60); /* another lease's answer is none */
    renewal(script(STAY), 7, 0);
    keep(&gone, 60);
    ck_assert(atomic_load(&gone.renewals) == 1 && atomic_load(&gone.state) == KVD_KEEPER_GONE && atomic_load(&gone.code) == KVD_NOT_FOUND);
    script(ERR_UNIMPLEMENTED);
    keep(&refused, 60);
    ck_assert(atomic_load(&refused.state) == KVD_KEEPER_REFUSED && atomic_load(&refused.code) == KVD_UNIMPLEMENTED);
    script(STAY); /* nobody says anything */
    script(STAY);
    keep(&expired, 1);
    ck_assert(atomic_load(&expired.renewals) == 0 && atomic_load(&expired.state) == KVD_KEEPER_EXPIRED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_watch");
    TCase *all = tcase_create("streams");
    tcase_add_checked_fixture(all, set_up, tear_down);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, test_client_watch_begins_behind_what_it_delivered);
    tcase_add_test(all, test_client_watch_that_saw_nothing_begins_behind_its_creation);
    tcase_add_test(all, test_client_watch_is_over_by_what_would_come_again);
    tcase_add_test(all, test_client_stream_on_which_too_much_waits_is_ended);
    tcase_add_test(all, test_client_keeper_goes_on_until_the_lease_is_gone_refused_or_over);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
