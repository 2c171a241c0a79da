/* Does libkvd-client keep its word towards a program: one result for each call, blocking or not, from any thread; what is full refused at
 * once; call-backs that may start but not wait; cancellation and the end of a client; streams that are held up; nothing in a forked child?
 * Scripted servers stand on loopback (lib/rpc_fake.h). */
#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/kvd/client.h"
#include "lib/rpc_fake.h"

#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"
#define THREADS 4
#define CALLS_EACH 500

static struct kvd_client *client;
static char endpoint_texts[4][64];
static const char *endpoints[4];
static size_t endpoint_count;

static void set_up(void)
{
    rpc_process_init();
    endpoint_count = 0;
    client = NULL;
}

static void tear_down(void) { rpc_process_deinit(); }

static void add_port(uint16_t port)
{
    snprintf(endpoint_texts[endpoint_count], sizeof endpoint_texts[0], "http://127.0.0.1:%u", port);
    endpoints[endpoint_count] = endpoint_texts[endpoint_count];
    endpoint_count++;
}

static void connect_with(struct kvd_client_options options)
{
    char text[256] = "";
    options.endpoints = endpoints;
    options.endpoint_count = endpoint_count;
    client = kvd_client_new(&options, text, sizeof text);
    ck_assert_msg(client != NULL, "%s", text);
}

static struct fake *connect_to(int answer)
{
    struct fake *fake = fake_always(answer);
    add_port(fake->door.port);
    connect_with((struct kvd_client_options){.dial_timeout_ms = 5000});
    return fake;
}

static struct kvd_request *question(const char *path, enum kvd_policy policy) { return kvd_raw(path, kvd_text("question"), policy); }

static void check_echo(const struct kvd_result *result)
{
    ck_assert_msg(result->code == KVD_OK, "code %d: %s", (int)result->code, result->text);
    ck_assert_uint_eq(result->body.size, 8);
    ck_assert_mem_eq(result->body.data, "question", 8);
}

/* Counts ends, and the codes of the last one. */
struct ends {
    atomic_uint count, ok, canceled, unknown;
    atomic_uint next; /* calls that a call-back still has to start */
};

static void on_end(void *context, const struct kvd_result *result)
{
    struct ends *ends = context;
    if (result->code == KVD_OK) atomic_fetch_add(&ends->ok, 1);
    if (result->code == KVD_CANCELLED) atomic_fetch_add(&ends->canceled, 1);
    if (result->is_unknown) atomic_fetch_add(&ends->unknown, 1);
    if (atomic_load(&ends->next) > 0) {
        atomic_fetch_sub(&ends->next, 1);
        struct kvd_result *refused = kvd_call(client, question(RANGE, KVD_POLICY_READ), NULL);
        ck_assert_int_eq((int)refused->code, KVD_ON_LIBRARY_THREAD);
        kvd_result_free(refused);
        ck_assert_int_eq((int)kvd_start(client, question(RANGE, KVD_POLICY_READ), NULL, on_end, ends, NULL), KVD_OK);
    }
    atomic_fetch_add(&ends->count, 1);
}

static void wait_for(atomic_uint *counter, unsigned count)
{
    for (int i = 0; i < 20000 && atomic_load(counter) < count; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_eq(atomic_load(counter), count);
}

START_TEST(test_client_gives_back_the_answer_or_code_and_text)
{
    const int script[] = {ERR_OK, ERR_EMPTY_KEY, ERR_OK};
    struct fake *fake = fake_start(0, 3, script);
    add_port(fake->door.port);
    connect_with((struct kvd_client_options){.calls_max = 2});
    struct kvd_result *result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
    check_echo(result);
    ck_assert_uint_eq(result->attempts, 1);
    kvd_result_free(result);
    result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
    ck_assert_int_eq((int)result->code, KVD_INVALID_ARGUMENT);
    ck_assert_str_eq(result->text, err_text(ERR_EMPTY_KEY));
    ck_assert(!result->is_unknown && result->body.size == 0);
    kvd_result_free(result);
    result = kvd_call(client, question(RANGE, KVD_POLICY_READ), &(struct kvd_call_options){.endpoint = 1, .timeout_ms = KVD_FOREVER});
    check_echo(result);
    kvd_result_free(result);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_client_mistakes_are_named_and_nothing_is_sent)
{
    struct fake *fake = connect_to(ERR_OK);
    struct kvd_request *txn = kvd_txn();
    kvd_txn_then(txn, kvd_grant(5, 0));
    struct {
        struct kvd_request *request;
        struct kvd_call_options options;
        enum kvd_code code;
    } cases[] = {{kvd_raw("no path", kvd_text(""), KVD_POLICY_READ), {.endpoint = 0}, KVD_INVALID},
                 {kvd_raw(NULL, kvd_text(""), KVD_POLICY_READ), {.endpoint = 0}, KVD_INVALID},
                 {kvd_raw("/with blank", kvd_text(""), KVD_POLICY_READ), {.endpoint = 0}, KVD_INVALID},
                 {kvd_raw(PUT, kvd_text(""), (enum kvd_policy)7), {.endpoint = 0}, KVD_INVALID},
                 {question(RANGE, KVD_POLICY_READ), {.endpoint = 2}, KVD_INVALID},
                 {kvd_put(kvd_text("a"), kvd_text("b"), &(struct kvd_put_options){.ttl = 5, .lease = 6}), {.endpoint = 0}, KVD_INVALID},
                 {kvd_put(kvd_text("a"), kvd_text("b"), &(struct kvd_put_options){.ttl = -5}), {.endpoint = 0}, KVD_INVALID},
                 {kvd_range(kvd_text("a"), &(struct kvd_range_options){.is_prefix = true, .is_from_key = true}), {.endpoint = 0}, KVD_INVALID},
                 {kvd_raw_stream(PUT, kvd_text(""), false, NULL, NULL), {.endpoint = 0}, KVD_INVALID},
                 {txn, {.endpoint = 0}, KVD_INVALID},
                 {kvd_get(kvd_text("a")), {.endpoint = 0}, KVD_MALFORMED}}; /* the echo of a RangeRequest is no RangeResponse */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kvd_result *result = kvd_call(client, cases[i].request, &cases[i].options);
        ck_assert_msg(result->code == cases[i].code, "case %zu: %d %s", i, (int)result->code, result->text);
        ck_assert(result->text[0] != '\0');
        kvd_result_free(result);
    }
    ck_assert_uint_eq(atomic_load(&fake->started), 1);
    char path[32];
    for (int i = 0; i <= KVD_PATHS_MAX; i++) {
        snprintf(path, sizeof path, "/some.Service/Method%d", i);
        struct kvd_result *result = kvd_call(client, kvd_raw(path, kvd_text(""), KVD_POLICY_ONCE), NULL);
        ck_assert_int_eq((int)result->code, i < KVD_PATHS_MAX ? KVD_UNIMPLEMENTED : KVD_INVALID);
        kvd_result_free(result);
    }
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_client_options_that_cannot_be_are_named)
{
    char text[256] = "";
    ck_assert_ptr_null(kvd_client_new(&(struct kvd_client_options){.endpoint_count = 0}, text, sizeof text));
    ck_assert_str_eq(text, "no endpoints");
    const char *bad[] = {"nonsense"}, *good[] = {"https://127.0.0.1:1"};
    ck_assert_ptr_null(kvd_client_new(&(struct kvd_client_options){.endpoints = bad, .endpoint_count = 1}, text, sizeof text));
    ck_assert_ptr_nonnull(strstr(text, "nonsense"));
    ck_assert_ptr_null(kvd_client_new(&(struct kvd_client_options){.endpoints = good, .endpoint_count = 1, .ca_file = "/no/such.pem"}, text,
                                      sizeof text));
    ck_assert_str_eq(text, "open /no/such.pem: No such file or directory");
    ck_assert_ptr_null(kvd_client_new(&(struct kvd_client_options){.endpoints = good, .endpoint_count = 1, .calls_max = 1u << 20}, NULL, 0));
    ck_assert_ptr_null(kvd_client_new(&(struct kvd_client_options){.endpoints = good, .endpoint_count = 1, .user = "root"}, text, sizeof text));
    ck_assert_str_eq(text, "a user needs a password, and a password a user");
    kvd_client_free(NULL);
}
END_TEST

START_TEST(test_client_refuses_what_is_full_and_takes_again_what_ended)
{
    struct fake *fake = fake_always(HOLD);
    struct ends ends = {.count = 0};
    uint64_t calls[3];
    add_port(fake->door.port);
    connect_with((struct kvd_client_options){.calls_max = 3, .bytes_max = 100});
    for (int i = 0; i < 3; i++) ck_assert_int_eq((int)kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, &calls[i]), KVD_OK);
    ck_assert_int_eq((int)kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_BUSY);
    struct kvd_result *refused = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
    ck_assert_int_eq((int)refused->code, KVD_BUSY);
    ck_assert(!refused->is_unknown);
    kvd_result_free(refused);
    wait_for(&fake->started, 3);
    ck_assert_int_eq((int)kvd_cancel(client, calls[1]), KVD_OK);
    wait_for(&ends.count, 1);
    ck_assert_uint_eq(atomic_load(&ends.canceled), 1);
    ck_assert_uint_eq(atomic_load(&ends.unknown), 1); /* it had been sent */
    ck_assert_int_eq((int)kvd_cancel(client, calls[1]), KVD_OK);
    uint8_t large[100] = {0};
    ck_assert_int_eq((int)kvd_start(client, kvd_raw(PUT, kvd_bytes_of(large, 85), KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_BUSY);
    ck_assert_int_eq((int)kvd_start(client, kvd_raw(PUT, kvd_bytes_of(large, 84), KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_OK);
    wait_for(&fake->started, 4);
    atomic_store(&fake->release, true);
    fake_ring(fake);
    wait_for(&ends.count, 4);
    ck_assert_uint_eq(atomic_load(&ends.ok), 3);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_client_call_backs_may_start_calls_and_may_not_wait)
{
    struct fake *fake = connect_to(ERR_OK);
    struct ends ends = {.count = 0, .next = 50};
    ck_assert_int_eq((int)kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_OK);
    wait_for(&ends.count, 51);
    ck_assert_uint_eq(atomic_load(&ends.ok), 51);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

static void *call_again_and_again(void *context)
{
    struct ends *ends = context;
    for (int i = 0; i < CALLS_EACH; i++) {
        struct kvd_result *result = kvd_call(client, question(i % 2 == 0 ? PUT : RANGE, KVD_POLICY_WRITE), NULL);
        check_echo(result);
        kvd_result_free(result);
        enum kvd_code code = kvd_start(client, question(RANGE, KVD_POLICY_READ), NULL, on_end, ends, NULL);
        ck_assert_int_eq((int)code, KVD_OK);
    }
    return NULL;
}

START_TEST(test_client_serves_many_threads_each_call_once)
{
    struct fake *fake = fake_always(ERR_OK);
    struct ends ends = {.count = 0};
    pthread_t threads[THREADS];
    add_port(fake->door.port);
    connect_with((struct kvd_client_options){.calls_max = THREADS * CALLS_EACH * 2, .connection_count = 3});
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, call_again_and_again, &ends);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    wait_for(&ends.count, THREADS * CALLS_EACH);
    ck_assert_uint_eq(atomic_load(&ends.ok), THREADS * CALLS_EACH);
    ck_assert_uint_eq(atomic_load(&fake->started), 2 * THREADS * CALLS_EACH);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

START_TEST(test_client_free_ends_every_call_once)
{
    struct fake *fake = connect_to(HOLD);
    struct ends ends = {.count = 0};
    for (int i = 0; i < 100; i++) ck_assert_int_eq((int)kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_OK);
    wait_for(&fake->started, 100);
    for (int i = 0; i < 100; i++) ck_assert_int_eq((int)kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, NULL), KVD_OK);
    kvd_client_free(client);
    ck_assert_uint_eq(atomic_load(&ends.count), 200);
    ck_assert_uint_eq(atomic_load(&ends.canceled), 200);
    fake_stop(fake);
}
END_TEST

START_TEST(test_client_deadlines_end_calls)
{
    struct fake *fake = connect_to(HOLD);
    struct kvd_result *result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), &(struct kvd_call_options){.timeout_ms = 50});
    ck_assert_int_eq((int)result->code, KVD_DEADLINE_EXCEEDED);
    ck_assert(result->is_unknown);
    kvd_result_free(result);
    kvd_client_free(client);
    add_port(fake_free_port());
    endpoints[0] = endpoints[1];
    endpoint_count = 1;
    connect_with((struct kvd_client_options){.dial_timeout_ms = 100});
    result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
    ck_assert_int_eq((int)result->code, KVD_UNAVAILABLE);
    ck_assert(!result->is_unknown && result->is_unreachable);
    kvd_result_free(result);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

/* A server without the question, or without the feature (an echo of nothing), is asked for a lease first: its echo of that grants none. One
 * that fails is not taken for such. */
START_TEST(test_client_asks_before_it_sends_a_put_with_a_ttl)
{
    static const struct { int script; enum kvd_code code; unsigned sent; } cases[] = {
        {ERR_OK, KVD_MALFORMED, 2}, {ERR_UNIMPLEMENTED, KVD_UNIMPLEMENTED, 2}, {ERR_MALFORMED, KVD_INTERNAL, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        endpoint_count = 0;
        struct fake *fake = connect_to(cases[i].script);
        struct kvd_result *result = kvd_call(client, kvd_put(kvd_text("k"), kvd_text("v"), &(struct kvd_put_options){.ttl = 5}), NULL);
        ck_assert_msg(result->code == cases[i].code, "case %zu: %d %s", i, (int)result->code, result->text);
        ck_assert(!result->is_unknown && result->lease == 0);
        ck_assert_uint_eq(atomic_load(&fake->started), cases[i].sent);
        kvd_result_free(result);
        kvd_client_free(client);
        fake_stop(fake);
    }
}
END_TEST

/* ---- streams ---- */
struct talk {
    atomic_uint messages, ends;
    atomic_int code;
    unsigned pause_at, enough_at;
};

static enum kvd_more on_message(void *context, struct kvd_bytes body)
{
    struct talk *talk = context;
    ck_assert_uint_eq(body.size, 1000);
    unsigned count = atomic_fetch_add(&talk->messages, 1) + 1;
    return count == talk->pause_at ? KVD_PAUSE : count == talk->enough_at ? KVD_ENOUGH : KVD_MORE;
}

static void on_stream_end(void *context, const struct kvd_result *result)
{
    struct talk *talk = context;
    atomic_store(&talk->code, (int)result->code);
    atomic_fetch_add(&talk->ends, 1);
}

static uint64_t start_stream(struct talk *talk)
{
    uint64_t call = 0;
    struct kvd_request *request = kvd_raw_stream(FAKE_STREAM, kvd_text(""), false, on_message, talk);
    ck_assert_int_eq((int)kvd_start(client, request, NULL, on_stream_end, talk, &call), KVD_OK);
    return call;
}

START_TEST(test_client_streams_come_whole_end_when_enough_came_and_are_held_up)
{
    struct fake *fake = connect_to(ERR_OK);
    struct talk whole = {.pause_at = 0}, part = {.enough_at = 3}, held = {.pause_at = 5}, canceled = {.pause_at = 5};
    atomic_store(&fake->answer_bytes, 1000);
    atomic_store(&fake->stream_messages, 20);
    start_stream(&whole);
    wait_for(&whole.ends, 1);
    ck_assert_int_eq(atomic_load(&whole.code), KVD_OK);
    ck_assert_uint_eq(atomic_load(&whole.messages), 20);
    start_stream(&part);
    wait_for(&part.ends, 1);
    ck_assert_int_eq(atomic_load(&part.code), KVD_CANCELLED); /* although the end may have come before */
    ck_assert_uint_eq(atomic_load(&part.messages), 3);
    uint64_t call = start_stream(&held);
    wait_for(&held.messages, 5);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    ck_assert_uint_eq(atomic_load(&held.messages), 5);
    ck_assert_int_eq((int)kvd_resume(client, call), KVD_OK);
    wait_for(&held.ends, 1);
    ck_assert_uint_eq(atomic_load(&held.messages), 20);
    ck_assert_int_eq(atomic_load(&held.code), KVD_OK);
    call = start_stream(&canceled);
    wait_for(&canceled.messages, 5);
    ck_assert_int_eq((int)kvd_cancel(client, call), KVD_OK);
    wait_for(&canceled.ends, 1);
    ck_assert_int_eq(atomic_load(&canceled.code), KVD_CANCELLED);
    ck_assert_uint_eq(atomic_load(&canceled.messages), 5);
    struct kvd_request *stream = kvd_raw_stream(FAKE_STREAM, kvd_text(""), false, on_message, &held);
    struct kvd_result *refused = kvd_call(client, stream, NULL);
    ck_assert_int_eq((int)refused->code, KVD_INVALID);
    kvd_result_free(refused);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

/* ---- fork ---- */
/* A stream of 20 messages that is held up behind one of them, from a server of its own; what it ended with. */
static int end_of_held(unsigned pause_at, int answer, uint64_t timeout_ms, bool is_cut)
{
    struct fake *fake = connect_to(answer);
    struct talk talk = {.pause_at = pause_at};
    const struct kvd_call_options options = {.timeout_ms = timeout_ms};
    atomic_store(&fake->answer_bytes, 1000);
    atomic_store(&fake->stream_messages, 20);
    struct kvd_request *request = kvd_raw_stream(FAKE_STREAM, kvd_text(""), false, on_message, &talk);
    ck_assert_int_eq((int)kvd_start(client, request, &options, on_stream_end, &talk, NULL), KVD_OK);
    if (is_cut) wait_for(&talk.messages, pause_at);
    if (is_cut) fake_cut(fake, true);
    wait_for(&talk.ends, 1);
    ck_assert_uint_le(atomic_load(&talk.messages), pause_at);
    kvd_client_free(client);
    fake_stop(fake);
    return atomic_load(&talk.code);
}

START_TEST(test_client_stream_that_is_held_up_ends_all_the_same)
{
    ck_assert_int_eq(end_of_held(5, HOLD, 300, false), KVD_DEADLINE_EXCEEDED);
    ck_assert_int_eq(end_of_held(5, HOLD, KVD_FOREVER, true), KVD_UNAVAILABLE);
    ck_assert_int_eq(end_of_held(20, ERR_OK, KVD_FOREVER, false), KVD_OK); /* behind its last message: nothing is held back */
}
END_TEST

START_TEST(test_client_answers_an_error_in_a_forked_child)
{
    struct fake *fake = connect_to(ERR_OK);
    struct ends ends = {.count = 0};
    struct kvd_result *result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
    check_echo(result);
    kvd_result_free(result);
    pid_t child = fork();
    if (child == 0) {
        char text[256] = "";
        alarm(10);
        result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL);
        bool is_good = result->code == KVD_FORKED && result->text[0] != '\0' && !result->is_unknown;
        kvd_result_free(result);
        is_good = is_good && kvd_start(client, question(PUT, KVD_POLICY_WRITE), NULL, on_end, &ends, NULL) == KVD_FORKED;
        is_good = is_good && kvd_cancel(client, 1) == KVD_FORKED && kvd_send(client, 1, kvd_text("")) == KVD_FORKED;
        struct kvd_client_options options = {.endpoints = endpoints, .endpoint_count = 1};
        is_good = is_good && kvd_client_new(&options, text, sizeof text) == NULL && strstr(text, "forked") != NULL;
        kvd_client_free(client);
        _exit(is_good ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with %d", status);
    result = kvd_call(client, question(PUT, KVD_POLICY_WRITE), NULL); /* the parent goes on */
    check_echo(result);
    kvd_result_free(result);
    kvd_client_free(client);
    fake_stop(fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *calls = tcase_create("calls");
    tcase_add_checked_fixture(calls, set_up, tear_down);
    tcase_set_timeout(calls, 60);
    tcase_add_test(calls, test_client_gives_back_the_answer_or_code_and_text);
    tcase_add_test(calls, test_client_mistakes_are_named_and_nothing_is_sent);
    tcase_add_test(calls, test_client_options_that_cannot_be_are_named);
    tcase_add_test(calls, test_client_refuses_what_is_full_and_takes_again_what_ended);
    tcase_add_test(calls, test_client_call_backs_may_start_calls_and_may_not_wait);
    tcase_add_test(calls, test_client_serves_many_threads_each_call_once);
    tcase_add_test(calls, test_client_free_ends_every_call_once);
    tcase_add_test(calls, test_client_deadlines_end_calls);
    tcase_add_test(calls, test_client_asks_before_it_sends_a_put_with_a_ttl);
    tcase_add_test(calls, test_client_streams_come_whole_end_when_enough_came_and_are_held_up);
    tcase_add_test(calls, test_client_stream_that_is_held_up_ends_all_the_same);
    tcase_add_test(calls, test_client_answers_an_error_in_a_forked_child);
    suite_add_tcase(suite, calls);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
