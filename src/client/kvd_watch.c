/* kvd_watch: a program's watch, round a client_watch. With a call-back, news are handed through; without, one response at a time is kept
 * for kvd_watch_next, and the stream is held up until the program asks for the next. */
#include "base/alloc.h"
#include "base/assert.h"
#include "client/client_stream.h"

struct kvd_watch {
    struct kvd_client *client;
    struct client_watch *watch;  /* the client's thread's */
    kvd_watch_fn *fn;            /* NULL: kvd_watch_next */
    void *context;
    struct buf request;
    int64_t revision;

    struct client_wait wait;     /* is_done: what follows is the program's thread's, until it asks for more */
    struct kvd_news news;
    struct buf body;
    char *text;
    struct arena arena;
    bool is_taken;               /* news were handed out */
    struct client_post resume;
    bool is_resuming;            /* `resume` is posted; behind the client's mutex */
};

static enum kvd_more hand_through(void *context, const struct kvd_news *news)
{
    struct kvd_watch *watch = context;
    return watch->fn(watch->context, news); /* may close it */
}

static enum kvd_more keep(void *context, const struct kvd_news *news)
{
    struct kvd_watch *watch = context;
    ASSERT(!watch->wait.is_done);
    buf_clear(&watch->body);
    buf_put_slice(&watch->body, client_slice(news->body));
    alloc_free(watch->text);
    watch->text = alloc_string(news->text);
    watch->news = *news;
    watch->news.body = client_bytes(buf_slice(&watch->body));
    watch->news.text = watch->text;
    watch->news.events = NULL;
    client_wait_end(&watch->wait);
    return KVD_PAUSE;
}

static void resume(struct client_post *post)
{
    struct kvd_watch *watch = LIST_ENTRY(post, struct kvd_watch, resume);
    pthread_mutex_lock(&watch->client->mutex);
    watch->is_resuming = false;
    pthread_mutex_unlock(&watch->client->mutex);
    client_watch_resume(watch->watch);
}

static void post_resume(struct kvd_watch *watch)
{
    pthread_mutex_lock(&watch->client->mutex);
    if (!watch->is_resuming) client_post_locked(watch->client, &watch->resume);
    watch->is_resuming = true;
    pthread_mutex_unlock(&watch->client->mutex);
}

enum kvd_code kvd_watch_resume(struct kvd_watch *watch)
{
    enum kvd_code code = client_check(watch->client);
    if (code != KVD_OK || watch->fn == NULL) return code == KVD_OK ? KVD_INVALID : code;
    if (client_is_here(watch->client))
        client_watch_resume(watch->watch);
    else
        post_resume(watch);
    return KVD_OK;
}

static void begin(void *context)
{
    struct kvd_watch *watch = context;
    watch->watch = client_watch_new(watch->client, buf_slice(&watch->request), watch->revision, watch->fn == NULL ? keep : hand_through, watch);
}

static void put_flag(struct buf *buf, uint32_t field, bool value)
{
    if (value) buf_put_pb_varint(buf, field, 1);
}

/* A WatchCreateRequest without start_revision. */
static void put_request(struct buf *request, struct kvd_bytes key, const struct kvd_watch_options *options)
{
    struct buf scratch;
    struct slice first = client_slice(key), end;
    buf_init(&scratch);
    bool has_end = client_interval(&first, options->range_end, options->is_prefix, options->is_from_key, &scratch, &end);
    buf_put_pb_bytes(request, 1, first);
    if (has_end) buf_put_pb_bytes(request, 2, end);
    put_flag(request, 4, options->progress_notify);
    if (options->no_puts) buf_put_pb_varint(request, 5, 0);
    if (options->no_deletes) buf_put_pb_varint(request, 5, 1);
    put_flag(request, 6, options->previous);
    buf_deinit(&scratch);
}

static void watch_free(struct kvd_watch *watch)
{
    client_wait_deinit(&watch->wait);
    arena_deinit(&watch->arena);
    buf_deinit(&watch->body);
    buf_deinit(&watch->request);
    alloc_free(watch->text);
    alloc_free(watch);
}

enum kvd_code kvd_watch_open_raw(struct kvd_client *client, struct kvd_bytes create_request, int64_t start_revision, kvd_watch_fn *fn,
                                 void *context, struct kvd_watch **out_watch)
{
    if (out_watch == NULL) return KVD_INVALID;
    enum kvd_code code = client_open_place(client);
    if (code != KVD_OK) return code;
    struct kvd_watch *watch = ALLOC(struct kvd_watch);
    watch->client = client;
    watch->fn = fn;
    watch->context = context;
    watch->revision = start_revision;
    watch->resume.fn = resume;
    buf_init(&watch->request);
    buf_init(&watch->body);
    buf_put_slice(&watch->request, client_slice(create_request));
    arena_init(&watch->arena, 0);
    client_wait_init(&watch->wait);
    *out_watch = watch; /* a call-back may want it before this returns */
    client_run(client, begin, watch);
    return KVD_OK;
}

enum kvd_code kvd_watch_open(struct kvd_client *client, struct kvd_bytes key, const struct kvd_watch_options *options, kvd_watch_fn *fn,
                             void *context, struct kvd_watch **out_watch)
{
    static const struct kvd_watch_options none = {.start_revision = 0};
    struct buf request;
    if (options == NULL) options = &none;
    if (options->is_prefix + options->is_from_key + (options->range_end.size > 0) > 1 || options->start_revision < 0) return KVD_INVALID;
    buf_init(&request);
    put_request(&request, key, options);
    enum kvd_code code = kvd_watch_open_raw(client, client_bytes(buf_slice(&request)), options->start_revision, fn, context, out_watch);
    buf_deinit(&request);
    return code;
}

/* The events of the kept response, without those in front that were not news. */
static void unpack(struct kvd_watch *watch)
{
    struct client_watch_response response;
    watch->arena.bytes_max = client_arena_bytes(watch->body.size);
    bool is_good = client_decode_watch(buf_slice(&watch->body), &watch->arena, &response);
    ASSERT(is_good && response.event_count >= watch->news.event_count);
    watch->news.events = response.events + (response.event_count - watch->news.event_count);
}

enum kvd_code kvd_watch_next(struct kvd_watch *watch, uint64_t timeout_ms, const struct kvd_news **out_news)
{
    *out_news = NULL;
    enum kvd_code code = client_check(watch->client);
    if (code != KVD_OK) return code;
    if (client_is_here(watch->client)) return KVD_ON_LIBRARY_THREAD;
    if (watch->fn != NULL) return KVD_INVALID;
    if (watch->is_taken && watch->news.code == KVD_OK) {
        watch->is_taken = false;
        arena_deinit(&watch->arena);
        arena_init(&watch->arena, 0);
        client_wait_again(&watch->wait);
        post_resume(watch);
    }
    if (!client_wait_until(&watch->wait, client_deadline_ns(timeout_ms))) return KVD_DEADLINE_EXCEEDED;
    if (!watch->is_taken && watch->news.event_count > 0) unpack(watch);
    watch->is_taken = true;
    *out_news = &watch->news;
    return watch->news.code;
}

static void ask_progress(void *context) { client_watch_ask_progress(((struct kvd_watch *)context)->watch); }

enum kvd_code kvd_watch_ask_progress(struct kvd_watch *watch)
{
    enum kvd_code code = client_check(watch->client);
    if (code == KVD_OK) client_run(watch->client, ask_progress, watch);
    return code;
}

static void end(void *context)
{
    struct kvd_watch *watch = context;
    pthread_mutex_lock(&watch->client->mutex);
    if (watch->is_resuming) list_remove(&watch->resume.node);
    pthread_mutex_unlock(&watch->client->mutex);
    client_watch_free(watch->watch);
}

void kvd_watch_close(struct kvd_watch *watch)
{
    if (watch == NULL || client_check(watch->client) != KVD_OK) return;
    client_run(watch->client, end, watch);
    client_close_place(watch->client);
    watch_free(watch);
}
