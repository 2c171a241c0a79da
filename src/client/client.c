/* client: a client's life, its thread, and what reaches it. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fs.h"
#include "client/client_inner.h"

#define PEM_BYTES_MAX (1u << 20)
#define BACKOFF_MIN_NS (25 * NS_PER_MS) /* doubles up to the next */
#define BACKOFF_MAX_NS (400 * NS_PER_MS)

/* Forked off from a process that has made a client: gRPC's threads are not here, and nothing can bring them back. The library's only variables
 * that no client owns. Told by a handler, since to ask for the process's id is a system call for each function of the library. */
static atomic_bool is_child;
static pthread_once_t is_told = PTHREAD_ONCE_INIT;

static void note_child(void) { atomic_store(&is_child, true); }

static void listen_for_forks(void)
{
    int error = pthread_atfork(NULL, NULL, note_child);
    ASSERT(error == 0); /* no memory */
}

/* --- waiting --------------------------------------------------------------------------------------------------------------- */

void client_wait_init(struct client_wait *wait)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    int error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ASSERT(error == 0);
    pthread_mutex_init(&wait->mutex, NULL);
    pthread_cond_init(&wait->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    wait->is_done = false;
}

void client_wait_deinit(struct client_wait *wait)
{
    pthread_cond_destroy(&wait->cond);
    pthread_mutex_destroy(&wait->mutex);
}

void client_wait_end(struct client_wait *wait)
{
    pthread_mutex_lock(&wait->mutex);
    wait->is_done = true;
    pthread_cond_broadcast(&wait->cond);
    pthread_mutex_unlock(&wait->mutex);
}

void client_wait_again(struct client_wait *wait)
{
    pthread_mutex_lock(&wait->mutex);
    wait->is_done = false;
    pthread_mutex_unlock(&wait->mutex);
}

bool client_wait_until(struct client_wait *wait, uint64_t deadline_ns)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int error = 0;
    pthread_mutex_lock(&wait->mutex);
    while (!wait->is_done && error != ETIMEDOUT)
        error = deadline_ns == CLOCK_NEVER ? pthread_cond_wait(&wait->cond, &wait->mutex)
                                           : pthread_cond_timedwait(&wait->cond, &wait->mutex, &deadline);
    bool is_done = wait->is_done;
    pthread_mutex_unlock(&wait->mutex);
    return is_done;
}

/* --- times ----------------------------------------------------------------------------------------------------------------- */

void client_timer_init(struct client_timer *timer, void (*fn)(void *context, uint64_t now_ns), void *context)
{
    ASSERT(fn != NULL);
    *timer = (struct client_timer){.fn = fn, .context = context};
    heap_node_init(&timer->node);
}

void client_timer_set(struct kvd_client *client, struct client_timer *timer, uint64_t at_ns)
{
    client_timer_unset(client, timer);
    heap_push(&client->timers, &timer->node, at_ns);
}

void client_timer_unset(struct kvd_client *client, struct client_timer *timer)
{
    if (timer->node.place != HEAP_NONE) heap_remove(&client->timers, &timer->node);
}

static void run_timers(struct kvd_client *client)
{
    uint64_t now_ns = clock_mono_ns();
    for (struct heap_node *first; (first = heap_first(&client->timers)) != NULL && heap_key(&client->timers, first) <= now_ns;) {
        struct client_timer *due = LIST_ENTRY(heap_pop(&client->timers), struct client_timer, node);
        due->fn(due->context, now_ns);
    }
}

uint64_t client_backoff_ns(uint32_t failures)
{
    if (failures == 0) return 0;
    uint64_t delay_ns = BACKOFF_MIN_NS << (failures > 5 ? 5 : failures - 1);
    return delay_ns < BACKOFF_MAX_NS ? delay_ns : BACKOFF_MAX_NS;
}

uint64_t client_deadline_ns(uint64_t timeout_ms)
{
    uint64_t timeout_ns = client_ms(timeout_ms), now_ns = clock_mono_ns();
    return timeout_ns > UINT64_MAX - now_ns ? CLOCK_NEVER : now_ns + timeout_ns;
}

/* --- the thread ------------------------------------------------------------------------------------------------------------ */

bool client_is_here(const struct kvd_client *client) { return pthread_equal(pthread_self(), client->thread) != 0; }

enum kvd_code client_check(const struct kvd_client *client)
{
    ASSERT(client != NULL);
    return atomic_load_explicit(&is_child, memory_order_relaxed) ? KVD_FORKED : KVD_OK;
}

/* The ring is answered before the posts are looked at, so that one for each time that the list was empty is enough. */
void client_post_locked(struct kvd_client *client, struct client_post *post)
{
    bool was_empty = list_is_empty(&client->posts);
    list_push_back(&client->posts, &post->node);
    if (was_empty) rpc_client_ring(client->rpc);
}

void client_post(struct kvd_client *client, struct client_post *post)
{
    pthread_mutex_lock(&client->mutex);
    client_post_locked(client, post);
    pthread_mutex_unlock(&client->mutex);
}

/* True: the client is being freed. */
static bool run_posts(struct kvd_client *client)
{
    struct list posts;
    list_init(&posts);
    pthread_mutex_lock(&client->mutex);
    for (struct list *node; (node = list_pop_front(&client->posts)) != NULL;) list_push_back(&posts, node);
    bool is_stopping = client->is_stopping;
    pthread_mutex_unlock(&client->mutex);
    for (struct list *node; (node = list_pop_front(&posts)) != NULL;) {
        struct client_post *post = LIST_ENTRY(node, struct client_post, node);
        post->fn(post);
    }
    return is_stopping;
}

static void *run(void *context)
{
    struct kvd_client *client = context;
    while (!run_posts(client)) {
        run_timers(client);
        const struct heap_node *first = heap_first(&client->timers);
        rpc_client_pump(client->rpc, first == NULL ? CLOCK_NEVER : heap_key(&client->timers, first));
        run_timers(client);
    }
    client->is_ending = true;
    rpc_client_free(client->rpc);
    ASSERT(client->calls.count == 0 && client->timers.count == 0);
    return NULL;
}

struct run_post {
    struct client_post post;
    void (*fn)(void *context);
    void *context;
    struct client_wait wait;
};

static void run_for_another(struct client_post *post)
{
    struct run_post *run_post = LIST_ENTRY(post, struct run_post, post);
    run_post->fn(run_post->context);
    client_wait_end(&run_post->wait);
}

void client_run(struct kvd_client *client, void (*fn)(void *context), void *context)
{
    if (client_is_here(client)) {
        fn(context);
        return;
    }
    struct run_post run_post = {.post = {.fn = run_for_another}, .fn = fn, .context = context};
    client_wait_init(&run_post.wait);
    client_post(client, &run_post.post);
    bool is_done = client_wait_until(&run_post.wait, CLOCK_NEVER);
    ASSERT(is_done);
    client_wait_deinit(&run_post.wait);
}

enum kvd_code client_open_place(struct kvd_client *client)
{
    enum kvd_code code = client_check(client);
    if (code != KVD_OK) return code;
    pthread_mutex_lock(&client->mutex);
    if (client->is_stopping)
        code = KVD_OVER;
    else if (client->open_count == client->open_max)
        code = KVD_BUSY;
    else
        client->open_count++;
    pthread_mutex_unlock(&client->mutex);
    return code;
}

void client_close_place(struct kvd_client *client)
{
    pthread_mutex_lock(&client->mutex);
    ASSERT(client->open_count > 0);
    client->open_count--;
    pthread_mutex_unlock(&client->mutex);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

static bool fail(char *out_text, size_t text_size, const char *what, const char *why)
{
    if (out_text != NULL && text_size > 0) snprintf(out_text, text_size, "%s%s%s", what, why[0] == '\0' ? "" : ": ", why);
    return false;
}

static bool read_pem(struct fs *fs, const char *path, struct blob **out_bytes, char *out_text, size_t text_size)
{
    *out_bytes = NULL;
    if (path == NULL || path[0] == '\0') return true;
    int error = fs_read_file(fs, path, PEM_BYTES_MAX, out_bytes);
    if (error != 0 && out_text != NULL && text_size > 0) snprintf(out_text, text_size, "open %s: %s", path, strerror(error));
    return error == 0;
}

static bool is_text(const char *text) { return text != NULL && text[0] != '\0'; }

static bool are_options_good(const struct kvd_client_options *options, char *out_text, size_t text_size)
{
    if (options == NULL || options->endpoint_count == 0) return fail(out_text, text_size, "no endpoints", "");
    if (options->endpoint_count > KVD_ENDPOINTS_MAX) return fail(out_text, text_size, "too many endpoints", "64 at most");
    if (options->connection_count > RPC_CLIENT_CONNECTIONS_MAX) return fail(out_text, text_size, "too many connections", "4096 at most");
    if (options->calls_max > 65536) return fail(out_text, text_size, "calls_max", "65536 at most");
    if (options->open_max > 16384) return fail(out_text, text_size, "open_max", "16384 at most");
    if (is_text(options->user) != is_text(options->password)) return fail(out_text, text_size, "a user needs a password, and a password a user", "");
    if (is_text(options->token) && is_text(options->user)) return fail(out_text, text_size, "a token goes without a user and a password", "");
    pthread_once(&is_told, listen_for_forks);
    if (atomic_load(&is_child))
        return fail(out_text, text_size, "this process was forked from one that has used the library", "exec first");
    return true;
}

static uint64_t or_default_ns(uint64_t ms, uint64_t default_ms) { return client_ms(ms == 0 ? default_ms : ms); }
static uint64_t or_never_ns(uint64_t ns) { return ns > (uint64_t)INT64_MAX ? 0 : ns; } /* as the engine says it */
static size_t or_default(size_t value, size_t default_value) { return value == 0 ? default_value : value; }

static bool open_rpc(struct kvd_client *client, const struct kvd_client_options *options, const struct rpc_client_drain *drain, const int *sockets,
                     char *out_text, size_t text_size)
{
    struct fs *fs = fs_real_new();
    struct blob *ca = NULL, *certificate = NULL, *key = NULL;
    char message[256] = "";
    if (!read_pem(fs, options->ca_file, &ca, out_text, text_size)) goto out;
    if (!read_pem(fs, options->certificate_file, &certificate, out_text, text_size)) goto out;
    if (!read_pem(fs, options->key_file, &key, out_text, text_size)) goto out;
    const struct rpc_client_options rpc = {
        .endpoints = options->endpoints,
        .endpoint_count = options->endpoint_count,
        .connection_count = options->connection_count,
        .calls_max = client->calls_max + client->open_max * CLIENT_CALLS_PER_OPEN,
        .dial_timeout_ns = or_never_ns(or_default_ns(options->dial_timeout_ms, 5000)),
        .keepalive_time_ns = or_default_ns(options->keepalive_time_ms, 10000),
        .keepalive_timeout_ns = or_default_ns(options->keepalive_timeout_ms, 5000),
        .tls = {.ca = blob_slice(ca),
                .certificate = blob_slice(certificate),
                .key = blob_slice(key),
                .is_default = options->tls_by_default,
                .skip_verify = options->skip_verify},
        .drain = drain,
        .sockets = sockets,
        .user = options->user,
        .password = options->password,
        .token = options->token,
    };
    client->rpc = rpc_client_new(&rpc, message, sizeof message);
    if (client->rpc == NULL) fail(out_text, text_size, message, "");
out:
    blob_unref(key);
    blob_unref(certificate);
    blob_unref(ca);
    fs_free(fs);
    return client->rpc != NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct kvd_client *client)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&client->thread, NULL, run, client);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) pthread_setname_np(client->thread, "kvd-client");
    return error;
}

static void free_rest(struct kvd_client *client)
{
    for (size_t i = 0; i < client->path_count; i++) alloc_free(client->paths[i]);
    map_deinit(&client->calls);
    heap_deinit(&client->timers);
    pthread_mutex_destroy(&client->mutex);
    alloc_free(client);
}

struct kvd_client *client_new(const struct kvd_client_options *options, const struct rpc_client_drain *drain, const int *sockets, char *out_text,
                              size_t text_size)
{
    if (!are_options_good(options, out_text, text_size)) return NULL;
    struct kvd_client *client = ALLOC(struct kvd_client);
    client->endpoint_count = options->endpoint_count;
    client->has_user = is_text(options->user);
    client->calls_max = or_default(options->calls_max, 1024);
    client->bytes_max = or_default(options->bytes_max, 64u << 20);
    client->open_max = or_default(options->open_max, 256);
    client->timeout_ns = or_default_ns(options->timeout_ms, 10000);
    client->next_name = 1;
    pthread_mutex_init(&client->mutex, NULL);
    list_init(&client->posts);
    map_init(&client->calls);
    heap_init(&client->timers);
    int error = 0;
    if (open_rpc(client, options, drain, sockets, out_text, text_size) && (error = start_thread(client)) == 0) return client;
    if (error != 0) {
        rpc_client_free(client->rpc);
        fail(out_text, text_size, "no thread can be made", strerror(error));
    }
    free_rest(client);
    return NULL;
}

struct kvd_client *kvd_client_new(const struct kvd_client_options *options, char *out_text, size_t text_size)
{
    return client_new(options, NULL, NULL, out_text, text_size);
}

static void wake_up(struct client_post *post) { ASSERT(post != NULL); }

void kvd_client_free(struct kvd_client *client)
{
    if (client == NULL || client_check(client) != KVD_OK) return;
    struct client_post post = {.fn = wake_up};
    ASSERT(!client_is_here(client));
    pthread_mutex_lock(&client->mutex);
    ASSERT(client->open_count == 0 && !client->is_stopping);
    client->is_stopping = true;
    client_post_locked(client, &post);
    pthread_mutex_unlock(&client->mutex);
    pthread_join(client->thread, NULL);
    ASSERT(list_is_empty(&client->posts) && client->in_flight == 0);
    free_rest(client);
}
