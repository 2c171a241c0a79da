/* client_watch: see client_stream.h. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "client/client_stream.h"

#define TOKENS_MAX 3 /* that are refused in a row */

struct client_watch {
    struct kvd_client *client;
    client_watch_fn *fn;
    void *context;
    struct buf request;
    int64_t next;             /* the revision that the next stream begins at; 0 = from now on */
    uint64_t call;            /* 0 = no stream */
    uint32_t failures;        /* streams in a row that were not answered */
    struct client_timer again;
    bool was_answered;        /* ever: a member could be reached */
    bool is_paused;
    bool has_end;             /* a stream ended meanwhile: what came of it is in `end`, and told, or the next stream begun, afterwards */
    struct rpc_client_result end; /* its text is owned */
    bool has_new_token;       /* the last stream was refused, and another token is to help */
    bool owes_progress, is_over, is_free;
};

/* --- what comes ------------------------------------------------------------------------------------------------------------ */

/* What a stream that begins anew may leave out. An event's header may be ahead of the events that are still to come; where there are
 * none, all up to the header's revision have been delivered. */
static void advance(struct client_watch *watch, const struct client_watch_response *response)
{
    int64_t revision = response->header.revision;
    if (response->event_count > 0)
        watch->next = response->events[response->event_count - 1].pair.mod_revision + 1;
    else if (response->is_created ? watch->next == 0 : revision >= watch->next)
        watch->next = revision + 1;
}

/* Events that an earlier stream has delivered: a server that repeats them is wrong, and the caller does not see it. */
static void drop_old(const struct client_watch *watch, struct client_watch_response *response)
{
    size_t old = 0;
    while (old < response->event_count && response->events[old].pair.mod_revision < watch->next) old++;
    response->events += old;
    response->event_count -= old;
}

static enum kvd_more tell(struct client_watch *watch, const struct kvd_news *news)
{
    if (news->code != KVD_OK) watch->is_over = true;
    enum kvd_more more = watch->fn(watch->context, news);
    if (news->code == KVD_OK && more == KVD_ENOUGH) watch->is_over = true; /* else it may be gone */
    return more;
}

/* A member takes no token that is old, or that an earlier life of it has given: once, another one is asked for. */
static bool wants_new_token(struct client_watch *watch, const struct client_watch_response *response)
{
    static const char *const reasons[] = {"permission denied", "invalid auth token", "user name is empty", "revision of auth store is old"};
    bool is_refused = false;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0] && response->reason.size > 0; i++)
        is_refused = is_refused || memmem(response->reason.data, response->reason.size, reasons[i], strlen(reasons[i])) != NULL;
    if (!watch->client->has_user || !is_refused || watch->has_new_token || watch->client->is_ending) return false;
    watch->has_new_token = true;
    rpc_client_drop_token(watch->client->rpc);
    return true;
}

static enum kvd_more on_canceled(struct client_watch *watch, const struct client_watch_response *response, struct slice body)
{
    struct buf text;
    buf_init(&text);
    bool is_compacted = response->compact_revision > 0;
    if (is_compacted) buf_printf(&text, "%s", err_text(ERR_COMPACTED));
    else if (response->reason.size > 0) buf_put_slice(&text, response->reason);
    else buf_printf(&text, "the server canceled the watch");
    buf_put_u8(&text, 0);
    const struct kvd_news news = {.code = is_compacted ? KVD_OUT_OF_RANGE : KVD_CANCELLED,
                                  .text = (const char *)buf_slice(&text).data,
                                  .compact_revision = response->compact_revision,
                                  .header = response->header,
                                  .body = client_bytes(body)};
    enum kvd_more more = tell(watch, &news);
    buf_deinit(&text);
    return more;
}

static enum kvd_more on_response(struct client_watch *watch, struct client_watch_response *response, struct slice body)
{
    watch->was_answered = true;
    watch->failures = 0;
    if (response->is_canceled && wants_new_token(watch, response)) return KVD_ENOUGH; /* of this stream */
    if (response->is_canceled) return on_canceled(watch, response, body);
    watch->has_new_token = false;
    bool had_events = response->event_count > 0;
    drop_old(watch, response);
    if (!had_events || response->event_count > 0) advance(watch, response);
    bool is_progress = !response->is_created && !had_events;
    if (is_progress) watch->owes_progress = false;
    if (response->is_created || (had_events && response->event_count == 0)) return KVD_MORE;
    const struct kvd_news news = {
        .text = "", .header = response->header, .events = response->events, .event_count = response->event_count, .body = client_bytes(body)};
    return tell(watch, &news);
}

static bool on_message(void *context, struct slice body)
{
    struct client_watch *watch = context;
    struct client_watch_response response;
    struct arena arena;
    if (watch->is_over || watch->is_free) return false; /* it came before the cancellation */
    arena_init(&arena, client_arena_bytes(body.size));
    /* Bytes that are no response: the stream is given up, and the next one begins where it was good. */
    enum kvd_more more = client_decode_watch(body, &arena, &response) ? on_response(watch, &response, body) : KVD_ENOUGH;
    arena_deinit(&arena);
    if (more == KVD_PAUSE && !watch->is_free) {
        watch->is_paused = true;
        rpc_client_pause(watch->client->rpc, watch->call);
    }
    return more != KVD_ENOUGH && !watch->is_over && !watch->is_free;
}

/* --- the stream ------------------------------------------------------------------------------------------------------------ */

/* As etcd's client: what a member says when it leaves or has no leader; other errors would come again. */
static bool may_come_back(const struct client_watch *watch, const struct rpc_client_result *result)
{
    if (watch->client->is_ending) return false;
    if (result->is_stale_token) return watch->failures < TOKENS_MAX;
    if (result->is_unreachable) return watch->was_answered;
    switch (result->code) {
    case ERR_CODE_OK:
    case ERR_CODE_CANCELLED: /* by us, who had not had enough */
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_INTERNAL: return true;
    default: return false;
    }
}

static void watch_free(struct client_watch *watch)
{
    alloc_free((char *)(uintptr_t)watch->end.text);
    buf_deinit(&watch->request);
    alloc_free(watch);
}

static void on_over(struct client_watch *watch, const struct rpc_client_result *result)
{
    if (!watch->is_over && may_come_back(watch, result)) {
        client_timer_set(watch->client, &watch->again, clock_mono_ns() + client_backoff_ns(watch->failures++));
    } else if (!watch->is_over) {
        const struct kvd_news news = {.code = result->code == ERR_CODE_OK ? KVD_CANCELLED : (enum kvd_code)result->code,
                                      .text = result->text,
                                      .endpoint = result->endpoint,
                                      .is_unreachable = result->is_unreachable};
        tell(watch, &news);
    }
}

static void on_end(void *context, const struct rpc_client_result *result)
{
    struct client_watch *watch = context;
    watch->call = 0;
    if (watch->is_free) {
        watch_free(watch);
    } else if (watch->is_paused && !watch->client->is_ending) {
        watch->has_end = true;
        watch->end = *result;
        watch->end.body = slice_empty();
        watch->end.text = alloc_string(result->text);
    } else {
        on_over(watch, result);
    }
}

static void open_stream(void *context, uint64_t now_ns)
{
    struct client_watch *watch = context;
    struct buf create, message;
    ASSERT(watch->call == 0 && !watch->is_over && now_ns > 0);
    buf_init(&create);
    buf_init(&message);
    buf_put_slice(&create, buf_slice(&watch->request));
    if (watch->next != 0) buf_put_pb_varint(&create, 3, (uint64_t)watch->next);
    buf_put_pb_bytes(&message, 1, buf_slice(&create));
    const struct rpc_client_request call = {.path = "/etcdserverpb.Watch/Watch",
                                            .body = buf_slice(&message),
                                            .policy = RPC_CLIENT_ONCE,
                                            .endpoint = RPC_CLIENT_ANY,
                                            .require_leader = true,
                                            .message_fn = on_message,
                                            .message_context = watch,
                                            .is_open = true};
    watch->call = rpc_client_start(watch->client->rpc, &call, on_end, watch);
    if (watch->owes_progress) client_watch_ask_progress(watch);
    buf_deinit(&message);
    buf_deinit(&create);
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

struct client_watch *client_watch_new(struct kvd_client *client, struct slice request, int64_t revision, client_watch_fn *fn, void *context)
{
    ASSERT(fn != NULL && !client->is_ending);
    struct client_watch *watch = ALLOC(struct client_watch);
    watch->client = client;
    watch->fn = fn;
    watch->context = context;
    watch->next = revision;
    buf_init(&watch->request);
    buf_put_slice(&watch->request, request);
    client_timer_init(&watch->again, open_stream, watch);
    open_stream(watch, clock_mono_ns());
    return watch;
}

void client_watch_free(struct client_watch *watch)
{
    if (watch == NULL) return;
    ASSERT(!watch->is_free);
    client_timer_unset(watch->client, &watch->again);
    watch->is_free = true;
    if (watch->call == 0)
        watch_free(watch);
    else
        rpc_client_cancel(watch->client->rpc, watch->call);
}

void client_watch_resume(struct client_watch *watch)
{
    watch->is_paused = false;
    if (watch->call != 0) rpc_client_resume(watch->client->rpc, watch->call);
    if (!watch->has_end) return;
    struct rpc_client_result end = watch->end; /* telling it may free the watch */
    watch->has_end = false;
    watch->end.text = NULL;
    on_over(watch, &end);
    alloc_free((char *)(uintptr_t)end.text);
}

void client_watch_ask_progress(struct client_watch *watch)
{
    struct buf message;
    buf_init(&message);
    buf_put_pb_bytes(&message, 3, slice_empty());
    watch->owes_progress = true; /* with a stream that breaks, the next one is asked */
    if (watch->call != 0) rpc_client_send(watch->client->rpc, watch->call, buf_slice(&message));
    buf_deinit(&message);
}
