/* Does a client take sockets that stand already, tell nobody of the difference, and go on by gRPC's own connections once they broke; and does
 * the dialler give what stands, and nothing else? */
#include <check.h>
#include <stdlib.h>

#include "lib/rpc_fake.h"
#include "rpc/rpc_client.h"
#include "rpc/rpc_client_dial.h"

#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"
#define WAIT_NS (10 * NS_PER_S)

static struct fake *fake;
static struct rpc_client *client;
static char endpoint[64];

static const char *endpoint_of(uint16_t port)
{
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", port);
    return endpoint;
}

static void set_up(void)
{
    rpc_process_init();
    fake = NULL;
    client = NULL;
}

static void tear_down(void)
{
    rpc_client_free(client);
    if (fake != NULL) fake_stop(fake);
    rpc_process_deinit();
}

static void start(int answer, size_t connection_count)
{
    int sockets[8];
    char message[256] = "";
    fake = fake_always(answer);
    const char *endpoints[] = {endpoint_of(fake->door.port)};
    rpc_client_dial(endpoints, 1, sockets, connection_count, WAIT_NS);
    for (size_t i = 0; i < connection_count; i++) ck_assert_int_ge(sockets[i], 0);
    const struct rpc_client_options options = {.endpoints = endpoints, .endpoint_count = 1, .connection_count = connection_count, .calls_max = 16,
                                               .dial_timeout_ns = WAIT_NS, .keepalive_timeout_ns = 6 * NS_PER_S, .sockets = sockets};
    client = rpc_client_new(&options, message, sizeof message);
    ck_assert_msg(client != NULL, "%s", message);
}

struct outcome {
    unsigned times;
    enum err_code code;
    bool is_unknown;
    uint32_t attempts;
};

static void on_done(void *context, const struct rpc_client_result *result)
{
    struct outcome *outcome = context;
    *outcome = (struct outcome){outcome->times + 1, result->code, result->is_unknown, result->attempts};
}

static void begin(struct outcome *outcome, const char *path, enum rpc_client_policy policy, uint64_t timeout_ns)
{
    const struct rpc_client_request request = {.path = path, .body = slice_from_string("question"), .policy = policy, .timeout_ns = timeout_ns,
                                               .endpoint = RPC_CLIENT_ANY};
    *outcome = (struct outcome){.times = 0};
    rpc_client_start(client, &request, on_done, outcome);
}

static void pump_until(const struct outcome *outcome)
{
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S;
    while (outcome->times == 0) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, give_up_ns);
    }
    ck_assert_uint_eq(outcome->times, 1);
}

static void pump_until_started(unsigned count)
{
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S;
    while (atomic_load(&fake->started) < count) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, clock_mono_ns() + 10 * NS_PER_MS);
    }
}

static struct outcome call(const char *path, enum rpc_client_policy policy, uint64_t timeout_ns)
{
    struct outcome outcome;
    begin(&outcome, path, policy, timeout_ns);
    pump_until(&outcome);
    return outcome;
}

START_TEST(test_rpc_client_dial_gives_what_stands_and_nothing_else)
{
    int sockets[14];
    char port[64], bare[64], slash[64], tls[64], name[64];
    fake = fake_always(ERR_OK);
    snprintf(port, sizeof port, "http://127.0.0.1:%u", fake->door.port);
    snprintf(bare, sizeof bare, "127.0.0.1:%u", fake->door.port);
    snprintf(slash, sizeof slash, "http://127.0.0.1:%u/", fake->door.port);
    snprintf(tls, sizeof tls, "https://127.0.0.1:%u", fake->door.port);
    snprintf(name, sizeof name, "localhost:%u", fake->door.port);
    const char *endpoints[] = {port, bare, endpoint_of(fake_free_port()), tls, name, "unix:///nowhere", slash};
    rpc_client_dial(endpoints, 7, sockets, 14, WAIT_NS);
    for (size_t i = 0; i < 14; i++) {
        bool stands = i % 7 < 2;
        ck_assert_msg((sockets[i] >= 0) == stands, "%s: %d", endpoints[i % 7], sockets[i]);
        if (stands) ck_assert_int_eq(close(sockets[i]), 0);
    }
}
END_TEST

/* Nobody accepts and the queue is full, so that the last ones hang in the middle of connecting. */
START_TEST(test_rpc_client_dial_gives_up_in_time)
{
    uint16_t port = 0;
    int sockets[8], queue = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    ck_assert_int_eq(bind(queue, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(queue, 0), 0);
    ck_assert_int_eq(getsockname(queue, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);
    const char *endpoints[] = {endpoint_of(port)};
    size_t standing = 0;
    rpc_client_dial(endpoints, 1, sockets, 8, 200 * NS_PER_MS);
    for (size_t i = 0; i < 8; i++) {
        if (sockets[i] < 0) continue;
        standing++;
        close(sockets[i]);
    }
    ck_assert_uint_lt(standing, 8);
    close(queue);
}
END_TEST

START_TEST(test_rpc_client_given_sockets_are_its_connections)
{
    start(ERR_OK, 3);
    for (int i = 0; i < 6; i++) {
        struct outcome outcome = call(i % 2 == 0 ? PUT : RANGE, i % 2 == 0 ? RPC_CLIENT_WRITE : RPC_CLIENT_READ, WAIT_NS);
        ck_assert_int_eq((int)outcome.code, ERR_CODE_OK);
        ck_assert_uint_eq(outcome.attempts, 1);
    }
    ck_assert_uint_eq(atomic_load(&fake->socket_count), 3); /* gRPC made none beside */
}
END_TEST

START_TEST(test_rpc_client_deadline_holds_on_a_given_socket)
{
    struct outcome outcome;
    start(HOLD, 1);
    outcome = call(RANGE, RPC_CLIENT_READ, 100 * NS_PER_MS);
    ck_assert_int_eq((int)outcome.code, ERR_CODE_DEADLINE_EXCEEDED);
    outcome = call(PUT, RPC_CLIENT_WRITE, 100 * NS_PER_MS);
    ck_assert_int_eq((int)outcome.code, ERR_CODE_DEADLINE_EXCEEDED);
    ck_assert(outcome.is_unknown);
}
END_TEST

START_TEST(test_rpc_client_goes_on_when_a_given_socket_breaks)
{
    struct outcome read, write, after;
    start(HOLD, 1);
    begin(&read, RANGE, RPC_CLIENT_READ, WAIT_NS);
    begin(&write, PUT, RPC_CLIENT_WRITE, WAIT_NS);
    pump_until_started(2);
    atomic_store(&fake->script[0], ERR_OK);
    fake_cut(fake, false);
    pump_until(&write);
    ck_assert_int_eq((int)write.code, ERR_CODE_UNAVAILABLE);
    ck_assert(write.is_unknown && write.attempts == 1);
    pump_until(&read);
    ck_assert_int_eq((int)read.code, ERR_CODE_OK);
    ck_assert_uint_eq(read.attempts, 2);
    after = call(PUT, RPC_CLIENT_WRITE, WAIT_NS);
    ck_assert_int_eq((int)after.code, ERR_CODE_OK);
    ck_assert_uint_eq(atomic_load(&fake->socket_count), 2);
}
END_TEST

/* Unavailable may be the server's own word: what else is under way there is still answered. */
START_TEST(test_rpc_client_leaves_a_given_socket_without_ending_its_calls)
{
    struct outcome held, refused;
    start(HOLD, 1);
    begin(&held, PUT, RPC_CLIENT_WRITE, WAIT_NS);
    pump_until_started(1);
    atomic_store(&fake->script[0], ERR_NO_LEADER);
    refused = call(PUT, RPC_CLIENT_WRITE, WAIT_NS);
    ck_assert_int_eq((int)refused.code, ERR_CODE_UNAVAILABLE);
    atomic_store(&fake->script[0], ERR_OK);
    ck_assert_int_eq((int)call(PUT, RPC_CLIENT_WRITE, WAIT_NS).code, ERR_CODE_OK);
    ck_assert_uint_eq(held.times, 0);
    atomic_store(&fake->release, true);
    fake_ring(fake);
    pump_until(&held);
    ck_assert_int_eq((int)held.code, ERR_CODE_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_client_dial");
    TCase *dial = tcase_create("dial");
    tcase_add_checked_fixture(dial, set_up, tear_down);
    tcase_set_timeout(dial, 60);
    tcase_add_test(dial, test_rpc_client_dial_gives_what_stands_and_nothing_else);
    tcase_add_test(dial, test_rpc_client_dial_gives_up_in_time);
    tcase_add_test(dial, test_rpc_client_given_sockets_are_its_connections);
    tcase_add_test(dial, test_rpc_client_deadline_holds_on_a_given_socket);
    tcase_add_test(dial, test_rpc_client_goes_on_when_a_given_socket_breaks);
    tcase_add_test(dial, test_rpc_client_leaves_a_given_socket_without_ending_its_calls);
    suite_add_tcase(suite, dial);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
