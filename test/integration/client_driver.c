/* client_driver: what test_client.py has a program do with libkvd-client, as an installed library: nothing of the tree is included.
 *
 *   client_driver kill ENDPOINTS   puts, watches, holds a lock and keeps a lease while the test kills the leader after "ready"
 *   client_driver fork ENDPOINTS   a child that was forked off calls, and exits as a program does
 *   client_driver etcd ENDPOINTS   a put with a TTL on a server that makes no leases with puts
 *   client_driver auth ENDPOINTS   the user u, password p, who may write below "p/"; after "ready" the test makes the server forget its tokens
 *
 * Prints what it saw; the exit code says whether it was right. */
#include <kvd/client.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PUTS 3000
#define IN_FLIGHT 64
#define READY_AT 600
#define PAUSE_NS 1000000

#define CHECK(condition) check(condition, #condition, __LINE__)

static void check(bool condition, const char *text, int line)
{
    if (condition) return;
    printf("line %d: not so: %s\n", line, text);
    fflush(stdout);
    _Exit(1);
}

static void nap(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

static struct kvd_client *connect_as(char *list, size_t *out_count, const char *user, const char *password)
{
    const char *endpoints[KVD_ENDPOINTS_MAX];
    char text[256] = "";
    struct kvd_client_options options = {.endpoints = endpoints, .dial_timeout_ms = 20000, .timeout_ms = 20000};
    options.user = user;
    options.password = password;
    for (char *one; (one = strsep(&list, ",")) != NULL;) endpoints[options.endpoint_count++] = one;
    if (out_count != NULL) *out_count = options.endpoint_count;
    struct kvd_client *client = kvd_client_new(&options, text, sizeof text);
    if (client == NULL) printf("%s\n", text);
    CHECK(client != NULL);
    return client;
}

static struct kvd_client *connect_to(char *list, size_t *out_count) { return connect_as(list, out_count, NULL, NULL); }

/* --- the leader dies ---------------------------------------------------------------------------------------------------------- */

static struct put {
    atomic_int answers;
    atomic_bool is_done, is_unknown;
    unsigned seen; /* by the watch */
} all[PUTS];
static atomic_int in_flight, done;
static atomic_int lock_losses, keeper_ends, renewals;

static void on_put(void *context, const struct kvd_result *result)
{
    struct put *put = context;
    atomic_fetch_add(&put->answers, 1);
    atomic_store(&put->is_done, result->code == KVD_OK);
    atomic_store(&put->is_unknown, result->is_unknown);
    atomic_fetch_sub(&in_flight, 1);
    atomic_fetch_add(&done, 1);
}

static void on_lock(void *context, const struct kvd_lock_news *news)
{
    (void)context;
    if (news->state == KVD_LOCK_LOST) atomic_fetch_add(&lock_losses, 1);
}

static void on_renewal(void *context, const struct kvd_keeper_news *news)
{
    (void)context;
    atomic_fetch_add(news->state == KVD_KEEPER_RUNS ? &renewals : &keeper_ends, 1);
}

static void put_all(struct kvd_client *client)
{
    char key[32];
    for (int i = 0; i < PUTS; i++) {
        while (atomic_load(&in_flight) >= IN_FLIGHT) nap(PAUSE_NS);
        snprintf(key, sizeof key, "d/%06d", i);
        atomic_fetch_add(&in_flight, 1);
        CHECK(kvd_start(client, kvd_put(kvd_text(key), kvd_text(key), NULL), NULL, on_put, &all[i], NULL) == KVD_OK);
        if (i == READY_AT) {
            printf("ready\n");
            fflush(stdout);
        }
        nap(PAUSE_NS);
    }
    for (int i = 0; i < 60000 && atomic_load(&done) < PUTS; i++) nap(PAUSE_NS);
    CHECK(atomic_load(&done) == PUTS);
}

/* Until the watch has come to the last revision. */
static void take_news(struct kvd_watch *watch, int64_t last)
{
    int64_t revision = 0, before = 0;
    while (revision < last) {
        const struct kvd_news *news = NULL;
        enum kvd_code code = kvd_watch_next(watch, 2000, &news);
        if (code == KVD_DEADLINE_EXCEEDED) CHECK(kvd_watch_ask_progress(watch) == KVD_OK);
        if (code == KVD_DEADLINE_EXCEEDED) continue;
        if (code != KVD_OK) printf("%s\n", news->text);
        CHECK(code == KVD_OK);
        for (size_t i = 0; i < news->event_count; i++) {
            const struct kvd_pair *pair = &news->events[i].pair;
            char key[32];
            snprintf(key, sizeof key, "%.*s", (int)pair->key.size, (const char *)pair->key.data);
            CHECK(pair->mod_revision > before);
            before = revision = pair->mod_revision;
            all[strtol(key + 2, NULL, 10)].seen++;
        }
        if (news->event_count == 0) revision = news->header.revision;
    }
}

static void check_puts(void)
{
    int known = 0, unknown = 0, refused = 0;
    for (int i = 0; i < PUTS; i++) {
        CHECK(atomic_load(&all[i].answers) == 1);
        CHECK(all[i].seen <= 1);
        if (atomic_load(&all[i].is_done)) known++;
        else if (atomic_load(&all[i].is_unknown)) unknown++;
        else refused++;
        if (atomic_load(&all[i].is_done)) CHECK(all[i].seen == 1);
        else if (!atomic_load(&all[i].is_unknown)) CHECK(all[i].seen == 0);
    }
    printf("puts: %d done, %d unknown, %d refused\n", known, unknown, refused);
    CHECK(known > PUTS / 2);
}

/* The lock's fence holds, the lease's key is there. */
static void check_held(struct kvd_client *client, struct kvd_lock *lock)
{
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(lock));
    kvd_txn_then(txn, kvd_get(kvd_text("alive")));
    struct kvd_result *result = kvd_call(client, txn, NULL);
    CHECK(result->code == KVD_OK && result->succeeded && result->results[0].pair_count == 1);
    kvd_result_free(result);
    CHECK(atomic_load(&lock_losses) == 0 && atomic_load(&keeper_ends) == 0 && kvd_lock_state_of(lock) == KVD_LOCK_HELD);
    printf("renewals: %d\n", atomic_load(&renewals));
}

static void test_kill(char *list)
{
    struct kvd_client *client = connect_to(list, NULL);
    struct kvd_watch *watch = NULL;
    struct kvd_lock *lock = NULL;
    struct kvd_keeper *keeper = NULL;
    struct kvd_result *granted = kvd_call(client, kvd_grant(6, 0), NULL);
    CHECK(granted->code == KVD_OK);
    CHECK(kvd_keeper_open(client, granted->lease, granted->ttl, on_renewal, NULL, &keeper) == KVD_OK);
    struct kvd_put_options attached = {.lease = granted->lease};
    struct kvd_result *alive = kvd_call(client, kvd_put(kvd_text("alive"), kvd_text("yes"), &attached), NULL);
    CHECK(alive->code == KVD_OK);
    struct kvd_lock_options options = {.ttl = 6};
    CHECK(kvd_lock_open(client, kvd_text("lock"), &options, on_lock, NULL, &lock) == KVD_OK);
    CHECK(kvd_lock_wait(lock, 20000) == KVD_OK);
    struct kvd_watch_options from = {.is_prefix = true, .start_revision = alive->header.revision};
    CHECK(kvd_watch_open(client, kvd_text("d/"), &from, NULL, NULL, &watch) == KVD_OK);
    put_all(client);
    struct kvd_result *last = kvd_call(client, kvd_get(kvd_text("alive")), NULL);
    CHECK(last->code == KVD_OK);
    take_news(watch, last->header.revision);
    check_puts();
    check_held(client, lock);
    kvd_watch_close(watch);
    CHECK(kvd_lock_close(lock) == KVD_OK);
    kvd_keeper_close(keeper);
    kvd_result_free(last);
    kvd_result_free(alive);
    kvd_result_free(granted);
    kvd_client_free(client);
}

/* --- a child ------------------------------------------------------------------------------------------------------------------- */

static enum kvd_more on_watch(void *context, const struct kvd_news *news) { return context == NULL && news == NULL ? KVD_ENOUGH : KVD_MORE; }

static void be_child(struct kvd_client *client, struct kvd_watch *watch, struct kvd_lock *lock)
{
    char text[256] = "";
    const char *endpoints[] = {"127.0.0.1:1"};
    const struct kvd_news *news = NULL;
    struct kvd_watch *other = NULL;
    struct kvd_result *result = kvd_call(client, kvd_put(kvd_text("child"), kvd_text(""), NULL), NULL);
    CHECK(result->code == KVD_FORKED && !result->is_unknown);
    printf("in the child: %s\n", result->text);
    kvd_result_free(result);
    CHECK(kvd_watch_open(client, kvd_text("child"), NULL, on_watch, NULL, &other) == KVD_FORKED);
    CHECK(kvd_watch_next(watch, 1000, &news) == KVD_FORKED);
    CHECK(kvd_lock_wait(lock, 1000) == KVD_FORKED);
    CHECK(kvd_lock_close(lock) == KVD_FORKED);
    kvd_watch_close(watch);
    kvd_client_free(client);
    CHECK(kvd_client_new(&(struct kvd_client_options){.endpoints = endpoints, .endpoint_count = 1}, text, sizeof text) == NULL);
    printf("in the child: %s\n", text);
}

static void test_fork(char *list)
{
    struct kvd_client *client = connect_to(list, NULL);
    struct kvd_watch *watch = NULL;
    struct kvd_lock *lock = NULL;
    CHECK(kvd_watch_open(client, kvd_text("x"), NULL, NULL, NULL, &watch) == KVD_OK);
    CHECK(kvd_lock_open(client, kvd_text("fork"), NULL, NULL, NULL, &lock) == KVD_OK);
    CHECK(kvd_lock_wait(lock, 20000) == KVD_OK);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        be_child(client, watch, lock);
        exit(0); /* with all that runs at a program's end, gRPC's own included */
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct kvd_result *result = kvd_call(client, kvd_put(kvd_text("x"), kvd_text("parent"), NULL), NULL);
    CHECK(result->code == KVD_OK);
    kvd_result_free(result);
    const struct kvd_news *news = NULL;
    CHECK(kvd_watch_next(watch, 20000, &news) == KVD_OK && news->event_count == 1);
    CHECK(kvd_lock_close(lock) == KVD_OK);
    kvd_watch_close(watch);
    kvd_client_free(client);
    printf("the parent goes on\n");
}

/* --- an etcd -------------------------------------------------------------------------------------------------------------------- */

static void test_etcd(char *list)
{
    struct kvd_client *client = connect_to(list, NULL);
    struct kvd_put_options options = {.ttl = 60};
    for (int i = 0; i < 2; i++) {
        struct kvd_result *put = kvd_call(client, kvd_put(kvd_text("short"), kvd_text("lived"), &options), NULL);
        CHECK(put->code == KVD_OK && put->has_two_steps && put->lease != 0 && put->ttl == 60);
        struct kvd_result *left = kvd_call(client, kvd_time_to_live(put->lease, true), NULL);
        CHECK(left->code == KVD_OK && left->ttl > 50 && left->key_count == 1);
        kvd_result_free(left);
        kvd_result_free(put);
    }
    struct kvd_request *txn = kvd_txn();
    kvd_txn_then(txn, kvd_put(kvd_text("never"), kvd_text(""), &options));
    struct kvd_result *refused = kvd_call(client, txn, NULL);
    CHECK(refused->code == KVD_UNIMPLEMENTED && !refused->is_unknown);
    printf("%s\n", refused->text);
    kvd_result_free(refused);
    refused = kvd_call(client, kvd_history(kvd_text("short"), NULL), NULL);
    CHECK(refused->code == KVD_UNIMPLEMENTED || refused->code == KVD_UNKNOWN);
    kvd_result_free(refused);
    struct kvd_result *none = kvd_call(client, kvd_get(kvd_text("never")), NULL);
    CHECK(none->code == KVD_OK && none->pair_count == 0);
    kvd_result_free(none);
    struct kvd_lock *lock = NULL;
    CHECK(kvd_lock_open(client, kvd_text("lock"), NULL, NULL, NULL, &lock) == KVD_OK);
    CHECK(kvd_lock_wait(lock, 20000) == KVD_OK);
    CHECK(kvd_lock_close(lock) == KVD_OK);
    kvd_client_free(client);
}

/* --- a user ------------------------------------------------------------------------------------------------------------------- */

static void expect_put(struct kvd_client *client, const char *key, enum kvd_code code)
{
    struct kvd_result *put = kvd_call(client, kvd_put(kvd_text(key), kvd_text("v"), NULL), NULL);
    if (put->code != code) printf("%s: %s\n", key, put->text);
    CHECK(put->code == code && !put->is_unknown);
    printf("%s: %s, sent %u times\n", key, put->code == KVD_OK ? "done" : put->text, put->attempts);
    kvd_result_free(put);
}

static void await_key(struct kvd_watch *watch, const char *key)
{
    const struct kvd_news *news = NULL;
    for (bool has_come = false; !has_come;) {
        CHECK(kvd_watch_next(watch, 30000, &news) == KVD_OK);
        for (size_t i = 0; i < news->event_count; i++) {
            struct kvd_bytes own = news->events[i].pair.key;
            has_come = has_come || (own.size == strlen(key) && memcmp(own.data, key, own.size) == 0);
        }
    }
}

static void test_auth(char *list)
{
    struct kvd_watch *watch = NULL;
    struct kvd_lock *lock = NULL;
    char *again = strdup(list), *once_more = strdup(list);
    struct kvd_client *wrong = connect_as(again, NULL, "u", "wrong"), *nobody = connect_to(once_more, NULL);
    struct kvd_client *client = connect_as(list, NULL, "u", "p");
    expect_put(wrong, "p/wrong", KVD_INVALID_ARGUMENT);
    expect_put(nobody, "p/nobody", KVD_INVALID_ARGUMENT);
    kvd_client_free(wrong);
    kvd_client_free(nobody);
    CHECK(kvd_watch_open(client, kvd_text("p/"), &(struct kvd_watch_options){.is_prefix = true, .start_revision = 1}, NULL, NULL, &watch) == KVD_OK);
    CHECK(kvd_lock_open(client, kvd_text("p/lock"), NULL, NULL, NULL, &lock) == KVD_OK && kvd_lock_wait(lock, 20000) == KVD_OK);
    expect_put(client, "p/a", KVD_OK);
    expect_put(client, "q", KVD_PERMISSION_DENIED);
    await_key(watch, "p/a");
    printf("ready\n");
    fflush(stdout);
    CHECK(getchar() == '\n');
    expect_put(client, "p/b", KVD_OK);
    await_key(watch, "p/b");
    struct kvd_request *txn = kvd_txn();
    kvd_txn_if(txn, kvd_lock_fence(lock));
    struct kvd_result *fenced = kvd_call(client, txn, NULL);
    CHECK(fenced->code == KVD_OK && fenced->succeeded && kvd_lock_state_of(lock) == KVD_LOCK_HELD);
    kvd_result_free(fenced);
    CHECK(kvd_lock_close(lock) == KVD_OK);
    kvd_watch_close(watch);
    kvd_client_free(client);
    free(once_more);
    free(again);
}

int main(int count, char **arguments)
{
    if (count != 3) return 2;
    if (strcmp(arguments[1], "kill") == 0) test_kill(arguments[2]);
    else if (strcmp(arguments[1], "fork") == 0) test_fork(arguments[2]);
    else if (strcmp(arguments[1], "etcd") == 0) test_etcd(arguments[2]);
    else if (strcmp(arguments[1], "auth") == 0) test_auth(arguments[2]);
    else return 2;
    printf("ok\n");
    return 0;
}
