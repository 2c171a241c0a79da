/* Does the client library follow its rules: what is sent again and where, what is never sent twice, what is told of a write whose fate is
 * open, and do deadlines, cancellation, large answers and many calls at once work? Several scripted servers stand on loopback: an
 * rpc_server each, with a thread that plays the net role. A door in front lets the test cut connections as a crash would. */
#include <check.h>
#include <stdlib.h>

#include "lib/rpc_fake.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_server.h"

#define CALLS_MAX FAKE_CALLS_MAX
#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"
#define STREAM FAKE_STREAM

/* ---- the client ---- */
static struct rpc_client *client;
static char endpoint_texts[4][64];
static const char *endpoints[4];
static size_t endpoint_count;

static void add_port(uint16_t port)
{
    snprintf(endpoint_texts[endpoint_count], sizeof endpoint_texts[0], "http://127.0.0.1:%u", port);
    endpoints[endpoint_count] = endpoint_texts[endpoint_count];
    endpoint_count++;
}

static void connect_client(uint64_t dial_timeout_ms)
{
    struct rpc_client_options options = {.endpoints = endpoints, .endpoint_count = endpoint_count, .calls_max = CALLS_MAX,
                                         .dial_timeout_ns = dial_timeout_ms * NS_PER_MS, .keepalive_timeout_ns = 6 * NS_PER_S};
    char message[256] = "";
    client = rpc_client_new(&options, message, sizeof message);
    ck_assert_msg(client != NULL, "%s", message);
}

static void connect_to(struct fake *first, struct fake *second)
{
    add_port(first->door.port);
    if (second != NULL) add_port(second->door.port);
    connect_client(5000);
}

static struct rpc_client_request request_of(const char *path, enum rpc_client_policy policy, uint64_t timeout_ms)
{
    return (struct rpc_client_request){.path = path, .body = slice_from_string("question"), .policy = policy,
                                       .timeout_ns = timeout_ms * NS_PER_MS, .endpoint = RPC_CLIENT_ANY};
}

/* What came of a call. */
struct outcome {
    unsigned times;
    enum err_code code;
    char text[128];
    struct buf body;
    bool is_unknown, is_unreachable;
    size_t endpoint;
    uint32_t attempts;
};

static void on_done(void *context, const struct rpc_client_result *result)
{
    struct outcome *outcome = context;
    outcome->times++;
    outcome->code = result->code;
    snprintf(outcome->text, sizeof outcome->text, "%s", result->text);
    buf_put_slice(&outcome->body, result->body);
    outcome->is_unknown = result->is_unknown;
    outcome->is_unreachable = result->is_unreachable;
    outcome->endpoint = result->endpoint;
    outcome->attempts = result->attempts;
}

static void pump_until_idle(void)
{
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S;
    while (rpc_client_in_flight(client) > 0) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, give_up_ns);
    }
}

static void pump_for(uint64_t ms)
{
    uint64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end_ns) rpc_client_pump(client, end_ns);
}

static void pump_until_started(struct fake *fake, unsigned count)
{
    for (int i = 0; i < 1000 && atomic_load(&fake->started) < count; i++) pump_for(10);
    ck_assert_uint_eq(atomic_load(&fake->started), count);
}

static struct outcome call(const char *path, enum rpc_client_policy policy, uint64_t timeout_ms)
{
    struct outcome outcome = {.times = 0};
    struct rpc_client_request request = request_of(path, policy, timeout_ms);
    rpc_client_start(client, &request, on_done, &outcome);
    pump_until_idle();
    ck_assert_uint_eq(outcome.times, 1);
    return outcome;
}

static void check_ok(struct outcome outcome, const char *body, size_t endpoint, uint32_t attempts)
{
    ck_assert_msg(outcome.code == ERR_CODE_OK, "code %d: %s", (int)outcome.code, outcome.text);
    ck_assert(slice_equal(buf_slice(&outcome.body), slice_from_string(body)));
    ck_assert(!outcome.is_unknown && !outcome.is_unreachable && outcome.text[0] == '\0');
    ck_assert_uint_eq(outcome.endpoint, endpoint);
    ck_assert_uint_eq(outcome.attempts, attempts);
    buf_deinit(&outcome.body);
}

static void check_failed(struct outcome outcome, enum err_code code, const char *text, bool is_unknown, bool is_unreachable)
{
    ck_assert_int_eq((int)outcome.code, (int)code);
    if (text != NULL) ck_assert_str_eq(outcome.text, text);
    ck_assert_msg(outcome.is_unknown == is_unknown, "%s: unknown %d", outcome.text, outcome.is_unknown);
    ck_assert_msg(outcome.is_unreachable == is_unreachable, "%s: unreachable %d", outcome.text, outcome.is_unreachable);
    ck_assert_uint_eq(outcome.body.size, 0);
    buf_deinit(&outcome.body);
}

static void set_up(void)
{
    rpc_process_init();
    endpoint_count = 0;
    client = NULL;
}

static void tear_down(void) { rpc_process_deinit(); }

START_TEST(test_rpc_client_gives_back_the_answer_or_code_and_text)
{
    const int script[] = {ERR_OK, ERR_EMPTY_KEY, ERR_NO_SPACE, ERR_CORRUPT, ERR_UNIMPLEMENTED, ERR_OK};
    struct fake *fake = fake_start(0, 6, script);
    connect_to(fake, NULL);
    check_ok(call(PUT, RPC_CLIENT_WRITE, 10000), "question", 0, 1);
    for (size_t i = 1; i < 5; i++) {
        enum err err = (enum err)script[i];
        check_failed(call(PUT, RPC_CLIENT_WRITE, 10000), err_grpc_code(err), err_text(err), false, false);
    }
    check_ok(call(RANGE, RPC_CLIENT_READ, 0), "question", 0, 1);
    struct outcome with_leader = {.times = 0};
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 10000);
    request.require_leader = true;
    rpc_client_start(client, &request, on_done, &with_leader);
    pump_until_idle();
    check_ok(with_leader, "question", 0, 1);
    ck_assert_uint_eq(atomic_load(&fake->with_leader), 1);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_goes_past_an_endpoint_that_is_down_with_writes_too)
{
    struct fake *fake = fake_always(ERR_OK);
    add_port(fake_free_port());
    add_port(fake->door.port);
    connect_client(5000);
    for (int i = 0; i < 4; i++) {
        check_ok(call(PUT, RPC_CLIENT_WRITE, 10000), "question", 1, 1); /* sent once: the first endpoint never saw it */
        check_ok(call(RANGE, RPC_CLIENT_READ, 10000), "question", 1, 1);
    }
    ck_assert_uint_eq(atomic_load(&fake->started), 8);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_goes_past_endpoints_that_accept_and_say_nothing_or_hang_up)
{
    struct fake *good = fake_always(ERR_OK), *closing = fake_always(ERR_OK);
    uint16_t silent_port = 0;
    int silent = rig_listen(0, &silent_port); /* the kernel accepts; nobody ever speaks HTTP/2 */
    atomic_store(&closing->door.refuse, true);
    add_port(silent_port);
    add_port(closing->door.port);
    add_port(good->door.port);
    connect_client(600);
    check_ok(call(PUT, RPC_CLIENT_WRITE, 10000), "question", 2, 1);
    check_ok(call(RANGE, RPC_CLIENT_READ, 10000), "question", 2, 1);
    rpc_client_free(client);
    endpoint_count = 1; /* the silent one alone */
    connect_client(300);
    check_failed(call(PUT, RPC_CLIENT_WRITE, 10000), ERR_CODE_UNAVAILABLE, "no endpoint could be reached", false, true);
    rpc_client_free(client);
    close(silent);
    fake_stop(closing);
    fake_stop(good);
}
END_TEST

START_TEST(test_rpc_client_waits_for_an_endpoint_that_comes_up)
{
    uint16_t port = fake_free_port();
    add_port(port);
    connect_client(10000);
    struct outcome outcome = {.times = 0};
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 10000);
    rpc_client_start(client, &request, on_done, &outcome);
    pump_for(200);
    ck_assert_uint_eq(outcome.times, 0);
    const int answer = ERR_OK;
    struct fake *fake = fake_start(port, 1, &answer);
    pump_until_idle();
    check_ok(outcome, "question", 0, 1);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_says_when_no_endpoint_can_be_reached)
{
    struct fake *fake = fake_always(ERR_OK);
    add_port(fake_free_port());
    add_port(fake_free_port());
    connect_client(300);
    check_failed(call(PUT, RPC_CLIENT_WRITE, 20000), ERR_CODE_UNAVAILABLE, "no endpoint could be reached", false, true);
    check_failed(call(RANGE, RPC_CLIENT_READ, 20000), ERR_CODE_UNAVAILABLE, "no endpoint could be reached", false, true);
    rpc_client_free(client);
    add_port(fake->door.port);
    connect_client(300); /* a call to a named endpoint goes to no other */
    struct outcome outcome = {.times = 0};
    struct rpc_client_request request = request_of(RANGE, RPC_CLIENT_READ, 20000);
    request.endpoint = 1;
    rpc_client_start(client, &request, on_done, &outcome);
    pump_until_idle();
    check_failed(outcome, ERR_CODE_UNAVAILABLE, NULL, false, true);
    ck_assert_uint_eq(atomic_load(&fake->started), 0);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_repeats_a_read_on_another_endpoint_after_unavailable)
{
    const int script[] = {ERR_NO_LEADER, ERR_TIMEOUT, ERR_STOPPED};
    struct fake *bad = fake_start(0, 3, script), *good = fake_always(ERR_OK);
    connect_to(bad, good);
    check_ok(call(RANGE, RPC_CLIENT_READ, 10000), "question", 1, 2);
    ck_assert_uint_eq(atomic_load(&bad->started), 1);
    ck_assert_uint_eq(atomic_load(&good->started), 1);
    rpc_client_free(client);
    fake_stop(good);
    fake_stop(bad);
}
END_TEST

START_TEST(test_rpc_client_repeats_a_read_on_the_only_endpoint_until_it_is_answered)
{
    const int script[] = {ERR_LEADER_CHANGED, ERR_NO_LEADER, ERR_NO_LEADER, ERR_OK};
    struct fake *fake = fake_start(0, 4, script);
    connect_to(fake, NULL);
    check_ok(call(RANGE, RPC_CLIENT_READ, 10000), "question", 0, 4);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_repeats_no_read_that_was_refused_for_another_reason)
{
    struct fake *bad = fake_always(ERR_COMPACTED), *good = fake_always(ERR_OK);
    connect_to(bad, good);
    check_failed(call(RANGE, RPC_CLIENT_READ, 10000), ERR_CODE_OUT_OF_RANGE, err_text(ERR_COMPACTED), false, false);
    ck_assert_uint_eq(atomic_load(&good->started), 0);
    rpc_client_free(client);
    fake_stop(good);
    fake_stop(bad);
}
END_TEST

START_TEST(test_rpc_client_never_repeats_a_write_that_a_server_has_seen)
{
    const int script[] = {ERR_TIMEOUT, ERR_NO_LEADER, ERR_CANCELED};
    struct fake *bad = fake_start(0, 3, script), *good = fake_always(ERR_OK);
    connect_to(bad, good);
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 10000);
    const struct {
        enum err err;
        bool is_unknown;
    } expected[] = {{ERR_TIMEOUT, true}, {ERR_NO_LEADER, false /* said before anything is proposed */}, {ERR_CANCELED, true}};
    for (size_t i = 0; i < 3; i++) {
        struct outcome outcome = {.times = 0};
        request.endpoint = 0;
        rpc_client_start(client, &request, on_done, &outcome);
        pump_until_idle();
        check_failed(outcome, err_grpc_code(expected[i].err), err_text(expected[i].err), expected[i].is_unknown, false);
        ck_assert_uint_eq(outcome.attempts, 1);
    }
    atomic_store(&bad->script[0], ERR_TIMEOUT_LEADER_FAIL);
    atomic_store(&bad->script_size, 1);
    check_failed(call(PUT, RPC_CLIENT_WRITE, 10000), ERR_CODE_UNAVAILABLE, err_text(ERR_TIMEOUT_LEADER_FAIL), true, false);
    pump_for(50);
    ck_assert_uint_eq(atomic_load(&bad->started), 4);
    ck_assert_uint_eq(atomic_load(&good->started), 0);
    rpc_client_free(client);
    fake_stop(good);
    fake_stop(bad);
}
END_TEST

START_TEST(test_rpc_client_sends_once_what_is_to_be_sent_once)
{
    struct fake *bad = fake_always(ERR_NO_LEADER), *good = fake_always(ERR_OK);
    connect_to(bad, good);
    check_failed(call(RANGE, RPC_CLIENT_ONCE, 10000), ERR_CODE_UNAVAILABLE, err_text(ERR_NO_LEADER), false, false);
    ck_assert_uint_eq(atomic_load(&good->started), 0);
    rpc_client_free(client);
    fake_stop(good);
    fake_stop(bad);
}
END_TEST

START_TEST(test_rpc_client_endpoint_that_dies_costs_reads_nothing_and_writes_their_certainty)
{
    struct fake *dying = fake_always(HOLD), *good = fake_always(ERR_OK);
    connect_to(dying, good);
    struct outcome read = {.times = 0}, write = {.times = 0};
    struct rpc_client_request request = request_of(RANGE, RPC_CLIENT_READ, 10000);
    rpc_client_start(client, &request, on_done, &read);
    struct outcome between = {.times = 0}; /* calls go round: this one is the second endpoint's */
    rpc_client_start(client, &request, on_done, &between);
    request = request_of(PUT, RPC_CLIENT_WRITE, 10000);
    rpc_client_start(client, &request, on_done, &write);
    pump_until_started(dying, 2);
    ck_assert(read.times == 0 && write.times == 0);
    fake_cut(dying, true);
    pump_until_idle();
    check_ok(between, "question", 1, 1);
    check_ok(read, "question", 1, 2);
    check_failed(write, ERR_CODE_UNAVAILABLE, NULL, true, false);
    ck_assert_uint_eq(write.attempts, 1);
    ck_assert_uint_eq(atomic_load(&good->started), 2);
    rpc_client_free(client);
    fake_stop(good);
    fake_stop(dying);
}
END_TEST

START_TEST(test_rpc_client_connects_again_after_its_connection_broke)
{
    struct fake *fake = fake_always(ERR_OK);
    connect_to(fake, NULL);
    for (int i = 0; i < 5; i++) {
        check_ok(call(PUT, RPC_CLIENT_WRITE, 10000), "question", 0, 1);
        fake_cut(fake, false);
        pump_for(100); /* the end of the connection is seen */
    }
    ck_assert_uint_eq(atomic_load(&fake->started), 5);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_deadline_ends_calls_in_flight_and_calls_that_wait)
{
    struct fake *fake = fake_always(HOLD);
    connect_to(fake, NULL);
    uint64_t start_ns = clock_mono_ns();
    check_failed(call(RANGE, RPC_CLIENT_READ, 200), ERR_CODE_DEADLINE_EXCEEDED, NULL, false, false);
    check_failed(call(PUT, RPC_CLIENT_WRITE, 200), ERR_CODE_DEADLINE_EXCEEDED, NULL, true, false);
    ck_assert_uint_ge(clock_mono_ns() - start_ns, 380 * NS_PER_MS);
    ck_assert_uint_eq(atomic_load(&fake->started), 2);
    rpc_client_free(client);
    endpoint_count = 0;
    add_port(fake_free_port());
    connect_client(20000);
    check_failed(call(PUT, RPC_CLIENT_WRITE, 200), ERR_CODE_DEADLINE_EXCEEDED, NULL, false, true); /* it was never sent */
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_deadline_covers_all_attempts_of_a_read)
{
    struct fake *bad = fake_always(ERR_NO_LEADER);
    connect_to(bad, NULL);
    struct outcome outcome = {.times = 0};
    struct rpc_client_request request = request_of(RANGE, RPC_CLIENT_READ, 2000);
    uint64_t start_ns = clock_mono_ns();
    rpc_client_start(client, &request, on_done, &outcome);
    pump_until_idle();
    uint64_t took_ns = clock_mono_ns() - start_ns;
    /* With pauses between them, of 25 ms at least and then of twice as much; a busy machine makes fewer of them. */
    ck_assert_uint_gt(outcome.attempts, 1);
    ck_assert_uint_lt(outcome.attempts, 10 + took_ns / (100 * NS_PER_MS));
    ck_assert_uint_ge(took_ns, 2 * NS_PER_S - 50 * NS_PER_MS);
    check_failed(outcome, ERR_CODE_DEADLINE_EXCEEDED, NULL, false, false);
    rpc_client_free(client);
    fake_stop(bad);
}
END_TEST

START_TEST(test_rpc_client_takes_answers_above_four_mebibytes)
{
    static const uint32_t SIZES[] = {1, 100000, 5u << 20, 33u << 20};
    struct fake *fake = fake_always(ERR_OK);
    connect_to(fake, NULL);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        atomic_store(&fake->answer_bytes, SIZES[i]);
        struct outcome outcome = call(RANGE, RPC_CLIENT_READ, 20000);
        ck_assert_msg(outcome.code == ERR_CODE_OK, "%u bytes: %s", SIZES[i], outcome.text);
        ck_assert_uint_eq(outcome.body.size, SIZES[i]);
        bool is_same = true;
        for (uint32_t k = 0; k < SIZES[i]; k++) is_same &= outcome.body.blob->data[k] == (uint8_t)(k * 31 + k / 4096);
        ck_assert(is_same);
        buf_deinit(&outcome.body);
    }
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_cancels_calls_wherever_they_are)
{
    struct fake *fake = fake_always(HOLD);
    connect_to(fake, NULL);
    struct outcome flying = {.times = 0}, waiting = {.times = 0};
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 0);
    uint64_t name = rpc_client_start(client, &request, on_done, &waiting);
    rpc_client_cancel(client, name); /* before there is a connection */
    pump_until_idle();
    check_failed(waiting, ERR_CODE_CANCELLED, NULL, false, false);
    ck_assert_uint_eq(waiting.attempts, 0);
    name = rpc_client_start(client, &request, on_done, &flying);
    pump_until_started(fake, 1);
    rpc_client_cancel(client, name);
    rpc_client_cancel(client, name);
    pump_until_idle();
    check_failed(flying, ERR_CODE_CANCELLED, NULL, true, false);
    rpc_client_cancel(client, name); /* over: ignored */
    ck_assert(flying.times == 1 && waiting.times == 1);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_holds_thousands_of_calls_in_flight)
{
    struct fake *fake = fake_always(HOLD);
    connect_to(fake, NULL);
    struct outcome *outcomes = alloc_zero(CALLS_MAX, sizeof *outcomes);
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 60000);
    for (int i = 0; i < CALLS_MAX; i++) rpc_client_start(client, &request, on_done, &outcomes[i]);
    pump_until_started(fake, CALLS_MAX);
    ck_assert_uint_eq(rpc_client_in_flight(client), CALLS_MAX);
    atomic_store(&fake->release, true);
    fake_ring(fake);
    pump_until_idle();
    for (int i = 0; i < CALLS_MAX; i++) {
        ck_assert_uint_eq(outcomes[i].times, 1);
        check_ok(outcomes[i], "released", 0, 1);
    }
    alloc_free(outcomes);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

/* Each answer starts the next call until `left` is used up. */
struct chain {
    unsigned left, ok;
};

static void on_link(void *context, const struct rpc_client_result *result)
{
    struct chain *chain = context;
    chain->ok += result->code == ERR_CODE_OK;
    if (chain->left == 0) return;
    chain->left--;
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 20000);
    rpc_client_start(client, &request, on_link, chain);
}

START_TEST(test_rpc_client_call_backs_may_start_calls_which_go_round_the_endpoints)
{
    struct fake *fakes[3];
    for (int i = 0; i < 3; i++) {
        fakes[i] = fake_always(ERR_OK);
        add_port(fakes[i]->door.port);
    }
    connect_client(5000);
    struct chain chain = {.left = 2970}; /* thirty chains share it */
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 20000);
    for (int i = 0; i < 30; i++) rpc_client_start(client, &request, on_link, &chain);
    pump_until_idle();
    unsigned total = 0;
    for (int i = 0; i < 3; i++) {
        unsigned started = atomic_load(&fakes[i]->started);
        ck_assert_uint_gt(started, 700);
        total += started;
    }
    ck_assert_uint_eq(total, 3000);
    ck_assert_uint_eq(chain.ok, total);
    rpc_client_free(client);
    for (int i = 0; i < 3; i++) fake_stop(fakes[i]);
}
END_TEST

START_TEST(test_rpc_client_calls_stay_on_the_connection_that_they_name)
{
    struct fake *fakes[2] = {fake_always(ERR_OK), fake_always(ERR_OK)};
    connect_to(fakes[0], fakes[1]);
    for (size_t connection = 1; connection <= 4; connection++) {
        for (int i = 0; i < 3; i++) {
            struct outcome outcome = {.times = 0};
            struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 20000);
            request.connection = connection;
            rpc_client_start(client, &request, on_done, &outcome);
            pump_until_idle();
            ck_assert_uint_eq(outcome.endpoint, (connection - 1) % 2);
            buf_deinit(&outcome.body);
        }
    }
    fake_stop(fakes[1]);
    struct outcome outcome = {.times = 0};
    struct rpc_client_request request = request_of(RANGE, RPC_CLIENT_READ, 20000);
    request.connection = 2;
    rpc_client_start(client, &request, on_done, &outcome);
    pump_until_idle();
    ck_assert_int_eq((int)outcome.code, (int)ERR_CODE_OK); /* it only tries that one first */
    ck_assert_uint_eq(outcome.endpoint, 0);
    buf_deinit(&outcome.body);
    rpc_client_free(client);
    fake_stop(fakes[0]);
}
END_TEST

static struct {
    unsigned begun, ended, stuck; /* stuck: ends that answer that a socket was full */
    bool is_begun;
} drain;

static void begin_drain(void)
{
    drain.begun++;
    drain.is_begun = true;
}

static size_t end_drain(void)
{
    drain.ended++;
    drain.is_begun = false;
    if (drain.stuck == 0) return 0;
    drain.stuck--;
    return 1;
}

START_TEST(test_rpc_client_drains_begin_with_events_and_end_before_it_waits)
{
    static const struct rpc_client_drain table = {.begin = begin_drain, .end = end_drain};
    struct fake *fake = fake_always(ERR_OK);
    char message[256] = "";
    memset(&drain, 0, sizeof drain);
    add_port(fake->door.port);
    struct rpc_client_options options = {.endpoints = endpoints, .endpoint_count = 1, .calls_max = 4, .dial_timeout_ns = 5 * NS_PER_S, .drain = &table};
    client = rpc_client_new(&options, message, sizeof message);
    ck_assert_msg(client != NULL, "%s", message);
    struct chain chain = {.left = 100};
    struct rpc_client_request request = request_of(PUT, RPC_CLIENT_WRITE, 20000);
    rpc_client_start(client, &request, on_link, &chain);
    pump_until_idle();
    ck_assert_uint_eq(chain.ok, 101);
    ck_assert(drain.begun > 0 && drain.ended >= drain.begun && drain.is_begun);
    /* Nothing happens, and yet the pump comes back to try the full socket again. */
    drain.stuck = 3;
    for (uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S; drain.stuck > 0;) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, CLOCK_NEVER);
    }
    rpc_client_free(client);
    ck_assert(!drain.is_begun);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_free_ends_every_call_once)
{
    struct fake *fake = fake_always(HOLD);
    add_port(fake->door.port);
    add_port(fake_free_port());
    connect_client(20000);
    struct outcome outcomes[40] = {{.times = 0}};
    struct rpc_client_request request = request_of(RANGE, RPC_CLIENT_READ, 0);
    for (size_t i = 0; i < 40; i++) {
        request.endpoint = i % 2;
        rpc_client_start(client, &request, on_done, &outcomes[i]);
    }
    pump_until_started(fake, 20);
    rpc_client_free(client);
    for (size_t i = 0; i < 40; i++) {
        ck_assert_uint_eq(outcomes[i].times, 1);
        ck_assert_int_eq((int)outcomes[i].code, ERR_CODE_CANCELLED);
    }
    fake_stop(fake);
}
END_TEST

/* ---- streams ---- */
struct stream {
    unsigned messages;
    unsigned wanted; /* messages; then it is enough */
    uint32_t bytes;  /* of each */
};

static bool on_piece(void *context, struct slice body)
{
    struct stream *stream = context;
    struct blob *expected = fake_piece(stream->bytes, stream->messages);
    ck_assert_msg(slice_equal(body, blob_slice(expected)), "message %u of %zu bytes", stream->messages, body.size);
    blob_unref(expected);
    ck_assert_uint_lt(stream->messages, stream->wanted);
    return ++stream->messages < stream->wanted;
}

static uint64_t start_stream(struct fake *fake, unsigned messages, struct stream *stream, struct outcome *outcome)
{
    atomic_store(&fake->stream_messages, messages);
    atomic_store(&fake->answer_bytes, stream->bytes);
    struct rpc_client_request request = request_of(STREAM, RPC_CLIENT_ONCE, 20000);
    request.message_fn = on_piece;
    request.message_context = stream;
    return rpc_client_start(client, &request, on_done, outcome);
}

START_TEST(test_rpc_client_takes_a_stream_in_order_and_whole)
{
    static const struct {
        unsigned messages;
        uint32_t bytes;
    } shapes[] = {{0, 1}, {1, 1}, {3, 0}, {1000, 10}, {40, 1u << 20}, {2, 9u << 20}};
    struct fake *fake = fake_always(ERR_OK);
    connect_to(fake, NULL);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct stream stream = {.wanted = UINT32_MAX, .bytes = shapes[i].bytes};
        struct outcome outcome = {.times = 0};
        start_stream(fake, shapes[i].messages, &stream, &outcome);
        pump_until_idle();
        ck_assert_uint_eq(stream.messages, shapes[i].messages);
        check_ok(outcome, "", 0, 1);
    }
    ck_assert_uint_eq(atomic_load(&fake->stream_lost), 0);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_stream_that_fails_gives_what_came_and_the_reason)
{
    const int script[] = {ERR_NO_SPACE};
    struct fake *fake = fake_start(0, 1, script), *other = fake_always(ERR_OK);
    connect_to(fake, other);
    for (unsigned messages = 0; messages < 12; messages += 5) {
        struct stream stream = {.wanted = UINT32_MAX, .bytes = 1000};
        struct outcome outcome = {.times = 0};
        rpc_client_free(client);
        connect_client(5000); /* begins at the first endpoint */
        start_stream(fake, messages, &stream, &outcome);
        pump_until_idle();
        ck_assert_uint_eq(stream.messages, messages);
        check_failed(outcome, err_grpc_code(ERR_NO_SPACE), err_text(ERR_NO_SPACE), false, false);
    }
    ck_assert_uint_eq(atomic_load(&other->started), 0); /* nobody is asked again */
    rpc_client_free(client);
    fake_stop(fake);
    fake_stop(other);
}
END_TEST

START_TEST(test_rpc_client_stream_ends_when_enough_came)
{
    struct fake *fake = fake_always(ERR_OK);
    connect_to(fake, NULL);
    struct stream stream = {.wanted = 3, .bytes = 100000};
    struct outcome outcome = {.times = 0};
    start_stream(fake, 1000000, &stream, &outcome);
    pump_until_idle();
    ck_assert_uint_eq(stream.messages, 3);
    check_failed(outcome, ERR_CODE_CANCELLED, NULL, false, false);
    rpc_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_stream_that_is_cut_ends_once)
{
    struct fake *fake = fake_always(HOLD);
    connect_to(fake, NULL);
    for (int way = 0; way < 3; way++) {
        struct stream stream = {.wanted = UINT32_MAX, .bytes = 10};
        struct outcome outcome = {.times = 0};
        uint64_t name = start_stream(fake, 4, &stream, &outcome);
        for (int i = 0; i < 1000 && stream.messages < 4; i++) pump_for(10);
        ck_assert_uint_eq(stream.messages, 4);
        ck_assert_uint_eq(outcome.times, 0);
        if (way == 0) fake_cut(fake, false);
        if (way == 1) rpc_client_cancel(client, name);
        if (way == 2) rpc_client_free(client);
        else pump_until_idle();
        ck_assert_uint_eq(outcome.times, 1);
        check_failed(outcome, way == 0 ? ERR_CODE_UNAVAILABLE : ERR_CODE_CANCELLED, NULL, false, false);
    }
    ck_assert_uint_eq(atomic_load(&fake->started), 3);
    fake_stop(fake);
}
END_TEST

START_TEST(test_rpc_client_bad_endpoints_and_certificates_are_named)
{
    static const char *const bad[] = {"", "localhost", "ftp://a:1", "http://", "unix://"};
    char message[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rpc_client_options options = {.endpoints = &bad[i], .endpoint_count = 1, .calls_max = 1};
        ck_assert_msg(rpc_client_new(&options, message, sizeof message) == NULL, "accepted: %s", bad[i]);
        ck_assert_ptr_nonnull(strstr(message, bad[i]));
    }
    const char *secure = "https://127.0.0.1:1";
    struct rpc_client_options options = {.endpoints = &secure, .endpoint_count = 1, .calls_max = 1,
                                         .tls = {.certificate = slice_from_string("half a pair")}};
    ck_assert_ptr_null(rpc_client_new(&options, message, sizeof message));
    ck_assert_ptr_nonnull(strstr(message, "certificate"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_client");
    TCase *rules = tcase_create("rules");
    tcase_add_checked_fixture(rules, set_up, tear_down);
    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, test_rpc_client_gives_back_the_answer_or_code_and_text);
    tcase_add_test(rules, test_rpc_client_goes_past_an_endpoint_that_is_down_with_writes_too);
    tcase_add_test(rules, test_rpc_client_goes_past_endpoints_that_accept_and_say_nothing_or_hang_up);
    tcase_add_test(rules, test_rpc_client_waits_for_an_endpoint_that_comes_up);
    tcase_add_test(rules, test_rpc_client_says_when_no_endpoint_can_be_reached);
    tcase_add_test(rules, test_rpc_client_repeats_a_read_on_another_endpoint_after_unavailable);
    tcase_add_test(rules, test_rpc_client_repeats_a_read_on_the_only_endpoint_until_it_is_answered);
    tcase_add_test(rules, test_rpc_client_repeats_no_read_that_was_refused_for_another_reason);
    tcase_add_test(rules, test_rpc_client_never_repeats_a_write_that_a_server_has_seen);
    tcase_add_test(rules, test_rpc_client_sends_once_what_is_to_be_sent_once);
    tcase_add_test(rules, test_rpc_client_endpoint_that_dies_costs_reads_nothing_and_writes_their_certainty);
    tcase_add_test(rules, test_rpc_client_connects_again_after_its_connection_broke);
    tcase_add_test(rules, test_rpc_client_deadline_ends_calls_in_flight_and_calls_that_wait);
    tcase_add_test(rules, test_rpc_client_deadline_covers_all_attempts_of_a_read);
    tcase_add_test(rules, test_rpc_client_takes_answers_above_four_mebibytes);
    tcase_add_test(rules, test_rpc_client_cancels_calls_wherever_they_are);
    tcase_add_test(rules, test_rpc_client_holds_thousands_of_calls_in_flight);
    tcase_add_test(rules, test_rpc_client_call_backs_may_start_calls_which_go_round_the_endpoints);
    tcase_add_test(rules, test_rpc_client_calls_stay_on_the_connection_that_they_name);
    tcase_add_test(rules, test_rpc_client_drains_begin_with_events_and_end_before_it_waits);
    tcase_add_test(rules, test_rpc_client_free_ends_every_call_once);
    tcase_add_test(rules, test_rpc_client_takes_a_stream_in_order_and_whole);
    tcase_add_test(rules, test_rpc_client_stream_that_fails_gives_what_came_and_the_reason);
    tcase_add_test(rules, test_rpc_client_stream_ends_when_enough_came);
    tcase_add_test(rules, test_rpc_client_stream_that_is_cut_ends_once);
    tcase_add_test(rules, test_rpc_client_bad_endpoints_and_certificates_are_named);
    suite_add_tcase(suite, rules);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
