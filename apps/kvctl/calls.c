/* calls: see the header. A call stands in the inbox while something has come for it that main has not taken. */
#include "calls.h"

#include <errno.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

struct call {
    struct calls *calls;
    uint64_t name;
    calls_message_fn *message_fn;
    void *message_context;
    calls_done_fn *done_fn;
    void *context;
    bool has_enough;          /* main's */
    struct calls_item item;
    struct buf message;       /* this, and all that follows, behind the mutex */
    bool has_message, is_over;
    struct calls_answer end;
};

struct calls {
    struct kvd_client *client;
    struct map map;           /* by name; main's */
    pthread_mutex_t mutex;
    pthread_cond_t cond;      /* in monotonic time */
    struct list inbox;
    bool is_rung;
};

/* --- the library's thread ------------------------------------------------------------------------------------------------------ */

static void post_locked(struct calls *calls, struct calls_item *item)
{
    if (list_is_empty(&item->node)) list_push_back(&calls->inbox, &item->node);
    pthread_cond_signal(&calls->cond);
}

void calls_item_init(struct calls_item *item, void (*fn)(struct calls_item *item))
{
    ASSERT(fn != NULL);
    list_init(&item->node);
    item->fn = fn;
}

void calls_post(struct calls *calls, struct calls_item *item)
{
    pthread_mutex_lock(&calls->mutex);
    post_locked(calls, item);
    pthread_mutex_unlock(&calls->mutex);
}

void calls_drop(struct calls *calls, struct calls_item *item)
{
    pthread_mutex_lock(&calls->mutex);
    list_remove(&item->node);
    pthread_mutex_unlock(&calls->mutex);
}

static enum kvd_more on_message(void *context, struct kvd_bytes body)
{
    struct call *call = context;
    pthread_mutex_lock(&call->calls->mutex);
    ASSERT(!call->has_message);
    buf_clear(&call->message);
    buf_put(&call->message, body.data, body.size);
    call->has_message = true;
    post_locked(call->calls, &call->item);
    pthread_mutex_unlock(&call->calls->mutex);
    return KVD_PAUSE;
}

static void on_done(void *context, const struct kvd_result *result)
{
    struct call *call = context;
    pthread_mutex_lock(&call->calls->mutex);
    call->end.code = (unsigned)result->code <= ERR_CODE_UNAUTHENTICATED ? (enum err_code)result->code : ERR_CODE_UNKNOWN;
    call->end.text = alloc_string(result->text);
    buf_put(&call->end.body, result->body.data, result->body.size);
    call->end.is_unknown = result->is_unknown;
    call->end.is_unreachable = result->is_unreachable;
    call->end.endpoint = result->endpoint;
    call->is_over = true;
    post_locked(call->calls, &call->item);
    pthread_mutex_unlock(&call->calls->mutex);
}

/* --- main ---------------------------------------------------------------------------------------------------------------------- */

static void finish(struct call *call)
{
    const struct calls_result result = {.code = call->end.code,
                                        .text = call->end.text,
                                        .body = buf_slice(&call->end.body),
                                        .is_unknown = call->end.is_unknown,
                                        .is_unreachable = call->end.is_unreachable,
                                        .endpoint = call->end.endpoint};
    void *taken = map_take(&call->calls->map, call->name);
    ASSERT(taken == call && list_is_empty(&call->item.node));
    call->done_fn(call->context, &result);
    calls_answer_deinit(&call->end);
    buf_deinit(&call->message);
    alloc_free(call);
}

static void take(struct calls_item *item)
{
    struct call *call = LIST_ENTRY(item, struct call, item);
    struct calls *calls = call->calls;
    pthread_mutex_lock(&calls->mutex);
    bool has_message = call->has_message, is_over = call->is_over;
    pthread_mutex_unlock(&calls->mutex);
    if (has_message && !call->has_enough) call->has_enough = !call->message_fn(call->message_context, buf_slice(&call->message));
    if (is_over) {
        calls_drop(calls, item);
        finish(call);
    } else if (has_message) {
        pthread_mutex_lock(&calls->mutex);
        call->has_message = false;
        pthread_mutex_unlock(&calls->mutex);
        if (call->has_enough) calls_cancel(calls, call->name);
        enum kvd_code code = kvd_resume(calls->client, call->name);
        ASSERT(code == KVD_OK);
    }
}

static bool take_one(struct calls *calls)
{
    pthread_mutex_lock(&calls->mutex);
    struct list *node = list_pop_front(&calls->inbox);
    pthread_mutex_unlock(&calls->mutex);
    if (node == NULL) return false;
    struct calls_item *item = LIST_ENTRY(node, struct calls_item, node);
    item->fn(item);
    return true;
}

void calls_pump(struct calls *calls, uint64_t deadline_ns)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int error = 0;
    pthread_mutex_lock(&calls->mutex);
    while (list_is_empty(&calls->inbox) && !calls->is_rung && error != ETIMEDOUT)
        error = deadline_ns == CLOCK_NEVER ? pthread_cond_wait(&calls->cond, &calls->mutex)
                                           : pthread_cond_timedwait(&calls->cond, &calls->mutex, &deadline);
    calls->is_rung = false;
    pthread_mutex_unlock(&calls->mutex);
    for (size_t i = 0; i < CALLS_MAX && take_one(calls); i++) continue; /* what comes meanwhile may wait for the next pump */
}

static uint64_t milliseconds(uint64_t ns) { return ns / NS_PER_MS + (ns % NS_PER_MS != 0); }

uint64_t calls_start(struct calls *calls, const struct calls_request *request, calls_done_fn *done_fn, void *context)
{
    struct kvd_bytes body = kvd_bytes_of(request->body.data, request->body.size);
    struct call *call = ALLOC(struct call);
    *call = (struct call){.calls = calls, .message_fn = request->message_fn, .message_context = request->message_context, .done_fn = done_fn,
                          .context = context};
    calls_item_init(&call->item, take);
    buf_init(&call->message);
    buf_init(&call->end.body);
    const struct kvd_call_options options = {.timeout_ms = request->timeout_ns == 0 ? KVD_FOREVER : milliseconds(request->timeout_ns),
                                             .endpoint = request->endpoint == CALLS_ANY ? 0 : request->endpoint + 1,
                                             .require_leader = request->require_leader};
    struct kvd_request *raw = request->message_fn == NULL ? kvd_raw(request->path, body, request->policy)
                                                          : kvd_raw_stream(request->path, body, request->is_open, on_message, call);
    enum kvd_code code = kvd_start(calls->client, raw, &options, on_done, call, &call->name);
    ASSERT(code == KVD_OK);
    bool is_new = map_put(&calls->map, call->name, call);
    ASSERT(is_new && calls->map.count <= CALLS_MAX);
    return call->name;
}

void calls_cancel(struct calls *calls, uint64_t name)
{
    if (map_get(&calls->map, name) != NULL) (void)kvd_cancel(calls->client, name);
}

void calls_send(struct calls *calls, uint64_t name, struct slice body)
{
    if (map_get(&calls->map, name) != NULL) (void)kvd_send(calls->client, name, kvd_bytes_of(body.data, body.size));
}

void calls_ring(struct calls *calls)
{
    pthread_mutex_lock(&calls->mutex);
    calls->is_rung = true;
    pthread_cond_signal(&calls->cond);
    pthread_mutex_unlock(&calls->mutex);
}

struct kvd_client *calls_client(struct calls *calls) { return calls->client; }

size_t calls_in_flight(const struct calls *calls) { return calls->map.count; }

/* --- life ---------------------------------------------------------------------------------------------------------------------- */

struct calls *calls_new(const struct kvd_client_options *options, char *out_text, size_t text_size)
{
    struct kvd_client_options own = *options;
    own.calls_max = own.open_max = CALLS_MAX;
    own.bytes_max = SIZE_MAX; /* whoever starts many calls counts their bytes */
    struct kvd_client *client = kvd_client_new(&own, out_text, text_size);
    if (client == NULL) return NULL;
    struct calls *calls = ALLOC(struct calls);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    int error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ASSERT(error == 0);
    calls->client = client;
    map_init(&calls->map);
    list_init(&calls->inbox);
    pthread_mutex_init(&calls->mutex, NULL);
    pthread_cond_init(&calls->cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return calls;
}

void calls_free(struct calls *calls)
{
    if (calls == NULL) return;
    kvd_client_free(calls->client);
    while (take_one(calls)) continue;
    ASSERT(calls->map.count == 0);
    map_deinit(&calls->map);
    pthread_cond_destroy(&calls->cond);
    pthread_mutex_destroy(&calls->mutex);
    alloc_free(calls);
}

/* --- one call ------------------------------------------------------------------------------------------------------------------- */

static void keep_answer(void *context, const struct calls_result *result)
{
    struct calls_answer *answer = context;
    ASSERT(answer->text == NULL);
    answer->code = result->code;
    answer->text = alloc_string(result->text);
    answer->is_unknown = result->is_unknown;
    answer->is_unreachable = result->is_unreachable;
    answer->endpoint = result->endpoint;
    answer->took_ns = clock_mono_ns() - answer->start_ns;
    buf_put_slice(&answer->body, result->body);
}

uint64_t calls_begin(struct calls *calls, const struct calls_request *request, struct calls_answer *out_answer)
{
    *out_answer = (struct calls_answer){.code = ERR_CODE_UNKNOWN, .start_ns = clock_mono_ns()};
    buf_init(&out_answer->body);
    return calls_start(calls, request, keep_answer, out_answer);
}

void calls_answer_deinit(struct calls_answer *answer)
{
    if (answer == NULL) return;
    alloc_free(answer->text);
    buf_deinit(&answer->body);
    answer->text = NULL;
}
