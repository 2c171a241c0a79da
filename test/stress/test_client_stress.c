/* Does libkvd-client keep count when everything happens at once: several threads that call, start, cancel, stream, pause, open and close, on
 * connections that are cut? Each call that was taken ends once, each that was refused never; at the end nothing is left. Under TSan. */
#include <check.h>
#include <stdlib.h>

#include "base/rng.h"
#include "client/kvd/client.h"
#include "lib/rpc_fake.h"

#define THREADS 4
#define STEPS 1500
#define CALLS_MAX 48
#define RECENT 16

static struct kvd_client *client;
static atomic_uint taken, ended, refused, messages, threads_left;

static void on_end(void *context, const struct kvd_result *result)
{
    atomic_uint *own = context;
    ck_assert(result->text != NULL && (result->code != KVD_OK || result->text[0] == '\0'));
    ck_assert_uint_eq(atomic_fetch_add(own, 1), 0);
    atomic_fetch_add(&ended, 1);
}

/* Now and then a stream is held up; whoever cancels or resumes it lets it go. */
static enum kvd_more on_message(void *context, struct kvd_bytes body)
{
    ck_assert(context != NULL && body.size == 100);
    unsigned count = atomic_fetch_add(&messages, 1);
    return count % 7 == 3 ? KVD_PAUSE : count % 31 == 5 ? KVD_ENOUGH : KVD_MORE;
}

static uint64_t start_one(struct rng *rng, atomic_uint *end)
{
    uint64_t call = 0;
    struct kvd_call_options options = {.timeout_ms = rng_below(rng, 4) == 0 ? 1 + rng_below(rng, 20) : 20000};
    struct kvd_request *request = rng_below(rng, 4) == 0 ? kvd_raw_stream(FAKE_STREAM, kvd_text(""), false, on_message, end)
                                  : rng_below(rng, 2) == 0 ? kvd_put(kvd_text("key"), kvd_text("value"), NULL)
                                                           : kvd_raw("/etcdserverpb.KV/Range", kvd_text("x"), KVD_POLICY_READ);
    enum kvd_code code = kvd_start(client, request, &options, on_end, end, &call);
    ck_assert(code == KVD_OK || code == KVD_BUSY);
    atomic_fetch_add(code == KVD_OK ? &taken : &refused, 1);
    return call;
}

static void wait_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

static void open_and_close(struct rng *rng)
{
    struct kvd_watch *watch = NULL;
    struct kvd_keeper *keeper = NULL;
    struct kvd_lock *lock = NULL;
    const struct kvd_news *news = NULL;
    if (kvd_watch_open(client, kvd_text("w"), NULL, NULL, NULL, &watch) == KVD_OK) (void)kvd_watch_next(watch, rng_below(rng, 3), &news);
    (void)kvd_keeper_open(client, 7, 5, NULL, NULL, &keeper);
    if (kvd_lock_open(client, kvd_text("l"), NULL, NULL, NULL, &lock) == KVD_OK) (void)kvd_lock_wait(lock, rng_below(rng, 3));
    (void)kvd_lock_close(lock);
    kvd_keeper_close(keeper);
    kvd_watch_close(watch);
}

static void *play(void *context)
{
    struct rng rng;
    static atomic_uint ends[THREADS][STEPS];
    uint64_t recent[RECENT] = {0}, number = (uint64_t)(uintptr_t)context;
    rng_init(&rng, number + 1);
    for (unsigned i = 0; i < STEPS; i++) {
        recent[i % RECENT] = start_one(&rng, &ends[number][i]);
        uint64_t other = recent[rng_below(&rng, RECENT)];
        if (recent[i % RECENT] == 0) { /* full */
            for (unsigned k = 0; k < RECENT; k += 2) (void)kvd_cancel(client, recent[k]);
            wait_a_little();
        }
        switch (rng_below(&rng, 8)) {
        case 0: ck_assert_int_eq((int)kvd_cancel(client, other), KVD_OK); break;
        case 1: ck_assert_int_eq((int)kvd_send(client, other, kvd_text("more")), KVD_OK); break;
        case 2:
            for (unsigned k = 0; k < RECENT; k++) ck_assert_int_eq((int)kvd_resume(client, recent[k]), KVD_OK);
            break;
        case 3: kvd_result_free(kvd_call(client, kvd_raw("/etcdserverpb.KV/Put", kvd_text("x"), KVD_POLICY_WRITE), NULL)); break;
        case 4:
            if (i % 8 == 0) open_and_close(&rng);
            break;
        default: wait_a_little();
        }
    }
    for (unsigned i = 0; i < RECENT; i++) (void)kvd_cancel(client, recent[i]);
    atomic_fetch_sub(&threads_left, 1);
    return NULL;
}

START_TEST(test_client_ends_each_call_once_whatever_happens_at_once)
{
    rpc_process_init();
    struct fake *fakes[2] = {fake_always(ERR_OK), fake_always(ERR_OK)};
    char texts[2][64], text[256] = "";
    const char *endpoints[2];
    pthread_t threads[THREADS];
    for (int i = 0; i < 2; i++) {
        atomic_store(&fakes[i]->stream_messages, 10);
        atomic_store(&fakes[i]->answer_bytes, 100);
        snprintf(texts[i], sizeof texts[i], "127.0.0.1:%u", fakes[i]->door.port);
        endpoints[i] = texts[i];
    }
    struct kvd_client_options options = {.endpoints = endpoints, .endpoint_count = 2, .calls_max = CALLS_MAX, .open_max = 8, .dial_timeout_ms = 20000,
                                         .timeout_ms = 1000};
    client = kvd_client_new(&options, text, sizeof text);
    ck_assert_msg(client != NULL, "%s", text);
    atomic_store(&threads_left, THREADS);
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, play, (void *)i);
    for (unsigned i = 0; i < 6 && atomic_load(&threads_left) > 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
        if (atomic_load(&fakes[i % 2]->socket_count) < FAKE_SOCKETS_MAX / 2) fake_cut(fakes[i % 2], false);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    kvd_client_free(client); /* ends what is still held up */
    printf("%u taken, %u refused, %u messages\n", atomic_load(&taken), atomic_load(&refused), atomic_load(&messages));
    ck_assert_uint_eq(atomic_load(&ended), atomic_load(&taken));
    ck_assert_uint_eq(atomic_load(&taken) + atomic_load(&refused), THREADS * STEPS);
    ck_assert_uint_gt(atomic_load(&messages), 100);
    for (int i = 0; i < 2; i++) fake_stop(fakes[i]);
    rpc_process_deinit();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_stress");
    TCase *all = tcase_create("all at once");
    tcase_set_timeout(all, 100);
    tcase_add_test(all, test_client_ends_each_call_once_whatever_happens_at_once);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
