/* Does the client library get a token before its first call and a new one when a server does not take it, once for all calls that wait, go
 * without one where there is no authentication, and say why a user is refused? A scripted server answers (lib/rpc_fake.h): what it echoes to
 * Authenticate has the password where a response has its token. Whether the token arrives, test_client.py asks a real etcd. */
#include <check.h>
#include <stdlib.h>

#include "lib/rpc_fake.h"
#include "rpc/rpc_client.h"

#define PUT "/etcdserverpb.KV/Put"
#define CALLS 20

static struct rpc_client *client;
static struct fake *fake;

static void set_up(void)
{
    rpc_process_init();
    client = NULL;
    fake = NULL;
}

static void tear_down(void)
{
    rpc_client_free(client);
    if (fake != NULL) fake_stop(fake);
    rpc_process_deinit();
}

static void connect_as(uint16_t port, const char *user, const char *password, const char *token)
{
    char endpoint[64], message[256] = "";
    const char *endpoints[] = {endpoint};
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", port);
    const struct rpc_client_options options = {.endpoints = endpoints, .endpoint_count = 1, .calls_max = CALLS,
                                               .dial_timeout_ns = 300 * NS_PER_MS, .user = user, .password = password, .token = token};
    client = rpc_client_new(&options, message, sizeof message);
    ck_assert_str_eq(message, client != NULL ? "" : "a token is printable ASCII");
}

static void connect_to(uint16_t port) { connect_as(port, "root", "secret", NULL); }

static void serve(unsigned script_size, const int *script)
{
    fake = fake_start(0, script_size, script);
    connect_to(fake->door.port);
}

struct outcome {
    unsigned times;
    struct rpc_client_result result; /* its text is `text`; no body */
    char text[128];
};

static void on_done(void *context, const struct rpc_client_result *result)
{
    struct outcome *outcome = context;
    outcome->times++;
    outcome->result = *result;
    snprintf(outcome->text, sizeof outcome->text, "%s", result->text);
}

static uint64_t start(struct outcome *outcome, uint64_t timeout_ms)
{
    const struct rpc_client_request request = {.path = PUT, .body = slice_from_string("question"), .policy = RPC_CLIENT_WRITE,
                                               .timeout_ns = timeout_ms * NS_PER_MS, .endpoint = RPC_CLIENT_ANY};
    *outcome = (struct outcome){.times = 0};
    return rpc_client_start(client, &request, on_done, outcome);
}

static void finish(const struct outcome *outcome)
{
    uint64_t give_up_ns = clock_mono_ns() + 20 * NS_PER_S;
    while (outcome->times == 0) {
        ck_assert(clock_mono_ns() < give_up_ns);
        rpc_client_pump(client, give_up_ns);
    }
    ck_assert_uint_eq(outcome->times, 1);
}

/* A write, what comes of it, and how many calls the server has seen by then. */
static void check_put(enum err_code code, const char *text, uint32_t attempts, unsigned seen)
{
    struct outcome outcome;
    start(&outcome, 0);
    finish(&outcome);
    ck_assert_msg(outcome.result.code == code, "%d: %s", (int)outcome.result.code, outcome.text);
    ck_assert_str_eq(outcome.text, text);
    ck_assert_uint_eq(outcome.result.attempts, attempts);
    ck_assert(!outcome.result.is_unknown);
    ck_assert_uint_eq(atomic_load(&fake->started), seen);
}

START_TEST(test_rpc_client_asks_for_a_token_once)
{
    serve(1, (const int[]){ERR_OK});
    check_put(ERR_CODE_OK, "", 1, 2);
    check_put(ERR_CODE_OK, "", 1, 3);
}
END_TEST

START_TEST(test_rpc_client_goes_without_a_token_where_there_is_no_authentication)
{
    serve(2, (const int[]){ERR_AUTH_NOT_ENABLED, ERR_OK});
    check_put(ERR_CODE_OK, "", 1, 2);
    check_put(ERR_CODE_OK, "", 1, 3);
    rpc_client_free(client);
    fake_stop(fake);
    serve(2, (const int[]){ERR_UNIMPLEMENTED, ERR_OK});
    check_put(ERR_CODE_OK, "", 1, 2);
}
END_TEST

START_TEST(test_rpc_client_gets_a_new_token_when_one_is_refused_and_sends_writes_again)
{
    serve(5, (const int[]){ERR_OK, ERR_INVALID_AUTH_TOKEN, ERR_OK, ERR_OK, ERR_OK});
    check_put(ERR_CODE_OK, "", 2, 4);
    rpc_client_free(client);
    fake_stop(fake);
    serve(8, (const int[]){ERR_AUTH_NOT_ENABLED, ERR_USER_EMPTY, ERR_OK, ERR_AUTH_OLD_REVISION, ERR_OK, ERR_OK, ERR_OK, ERR_OK});
    check_put(ERR_CODE_OK, "", 3, 6); /* it was enabled meanwhile, and changed */
}
END_TEST

START_TEST(test_rpc_client_gives_up_when_every_token_is_refused)
{
    serve(8, (const int[]){ERR_OK, ERR_INVALID_AUTH_TOKEN, ERR_OK, ERR_INVALID_AUTH_TOKEN, ERR_OK, ERR_INVALID_AUTH_TOKEN, ERR_OK, ERR_OK});
    check_put(ERR_CODE_UNAUTHENTICATED, "etcdserver: invalid auth token", 3, 6);
    check_put(ERR_CODE_OK, "", 1, 8);
}
END_TEST

START_TEST(test_rpc_client_says_why_a_user_is_refused_and_asks_again_for_the_next_call)
{
    serve(4, (const int[]){ERR_EMPTY_KEY, ERR_EMPTY_KEY, ERR_OK, ERR_OK});
    check_put(ERR_CODE_INVALID_ARGUMENT, err_text(ERR_EMPTY_KEY), 0, 1);
    check_put(ERR_CODE_INVALID_ARGUMENT, err_text(ERR_EMPTY_KEY), 0, 2);
    check_put(ERR_CODE_OK, "", 1, 4);
}
END_TEST

START_TEST(test_rpc_client_calls_that_wait_for_the_token_have_their_own_ends)
{
    struct outcome late, canceled, others[CALLS - 2];
    serve(1, (const int[]){HOLD});
    start(&late, 200);
    uint64_t name = start(&canceled, 0);
    for (size_t i = 0; i < CALLS - 2; i++) start(&others[i], 0);
    rpc_client_cancel(client, name);
    finish(&canceled);
    ck_assert_int_eq((int)canceled.result.code, ERR_CODE_CANCELLED);
    finish(&late);
    ck_assert_int_eq((int)late.result.code, ERR_CODE_DEADLINE_EXCEEDED);
    ck_assert(!late.result.is_unreachable && late.result.attempts == 0);
    while (atomic_load(&fake->started) == 0) rpc_client_pump(client, clock_mono_ns() + 10 * NS_PER_MS);
    atomic_store(&fake->release, true); /* with an answer that has no token */
    fake_ring(fake);
    for (size_t i = 0; i < CALLS - 2; i++) {
        finish(&others[i]);
        ck_assert_str_eq(others[i].text, "the server answered Authenticate without a token that calls can carry");
        ck_assert_int_eq((int)others[i].result.code, ERR_CODE_INTERNAL);
    }
    ck_assert_uint_eq(atomic_load(&fake->started), 1);
    start(&late, 0);
    rpc_client_free(client);
    client = NULL;
    ck_assert_int_eq((int)late.result.code, ERR_CODE_CANCELLED);
}
END_TEST

START_TEST(test_rpc_client_carries_the_token_that_it_was_given_and_asks_for_none)
{
    fake = fake_start(0, 2, (const int[]){ERR_OK, ERR_INVALID_AUTH_TOKEN});
    connect_as(fake->door.port, "", NULL, "header.claims.signature");
    check_put(ERR_CODE_OK, "", 1, 1);
    rpc_client_drop_token(client);
    check_put(ERR_CODE_UNAUTHENTICATED, "etcdserver: invalid auth token", 1, 2);
}
END_TEST

START_TEST(test_rpc_client_refuses_a_token_that_no_call_can_carry)
{
    const char *const bad[] = {"a\nb", "\x7f", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        connect_as(1, NULL, NULL, bad[i]);
        ck_assert_ptr_null(client);
    }
    fake = fake_start(0, 1, (const int[]){ERR_OK});
    connect_as(fake->door.port, "root", "a\nb", NULL); /* which is the token that this server gives */
    check_put(ERR_CODE_INTERNAL, "the server answered Authenticate without a token that calls can carry", 0, 1);
}
END_TEST

START_TEST(test_rpc_client_says_that_nobody_is_there_to_be_asked)
{
    struct outcome outcome;
    connect_to(fake_free_port());
    start(&outcome, 10000);
    finish(&outcome);
    ck_assert_int_eq((int)outcome.result.code, ERR_CODE_UNAVAILABLE);
    ck_assert(outcome.result.is_unreachable && !outcome.result.is_unknown);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_client_auth");
    TCase *tokens = tcase_create("tokens");
    tcase_add_checked_fixture(tokens, set_up, tear_down);
    tcase_add_test(tokens, test_rpc_client_asks_for_a_token_once);
    tcase_add_test(tokens, test_rpc_client_goes_without_a_token_where_there_is_no_authentication);
    tcase_add_test(tokens, test_rpc_client_gets_a_new_token_when_one_is_refused_and_sends_writes_again);
    tcase_add_test(tokens, test_rpc_client_gives_up_when_every_token_is_refused);
    tcase_add_test(tokens, test_rpc_client_says_why_a_user_is_refused_and_asks_again_for_the_next_call);
    tcase_add_test(tokens, test_rpc_client_calls_that_wait_for_the_token_have_their_own_ends);
    tcase_add_test(tokens, test_rpc_client_carries_the_token_that_it_was_given_and_asks_for_none);
    tcase_add_test(tokens, test_rpc_client_refuses_a_token_that_no_call_can_carry);
    tcase_add_test(tokens, test_rpc_client_says_that_nobody_is_there_to_be_asked);
    suite_add_tcase(suite, tokens);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
