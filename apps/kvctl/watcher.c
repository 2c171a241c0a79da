/* watcher: see the header. */
#include "watcher.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

struct watcher {
    struct live *live;
    watcher_fn *fn;
    void *context;
    struct buf request;
    int64_t next;               /* the revision that the next stream begins at; 0 = from now on */
    uint64_t call;              /* 0 = no stream */
    uint32_t failures;          /* streams in a row that were not answered */
    struct live_timer again;
    bool was_answered;          /* ever: a member could be reached */
    bool owes_progress, is_over, is_free;
    struct calls_answer refusal;
};

/* --- what comes ------------------------------------------------------------------------------------------------------------ */

/* What a stream that begins anew may leave out. An event's header may be ahead of the events that are still to come; where there are
 * none, all up to the header's revision have been delivered. */
static void advance(struct watcher *watcher, const Etcdserverpb__WatchResponse *response)
{
    int64_t revision = response->header == NULL ? 0 : response->header->revision;
    if (response->n_events > 0)
        watcher->next = response->events[response->n_events - 1]->kv->mod_revision + 1;
    else if (response->created ? watcher->next == 0 : revision >= watcher->next)
        watcher->next = revision + 1;
}

static bool are_events_whole(const Etcdserverpb__WatchResponse *response)
{
    for (size_t i = 0; i < response->n_events; i++)
        if (response->events[i]->kv == NULL || response->events[i]->kv->mod_revision <= 0) return false;
    return true;
}

static bool on_message(void *context, struct slice body)
{
    struct watcher *watcher = context;
    if (watcher->is_over) return false; /* it came before the cancellation */
    Etcdserverpb__WatchResponse *response = (Etcdserverpb__WatchResponse *)ctl_unpack(&etcdserverpb__watch_response__descriptor, body);
    if (response == NULL || !are_events_whole(response)) {
        if (response != NULL) protobuf_c_message_free_unpacked(&response->base, NULL);
        return false; /* the stream is given up, and the next one begins where it was good */
    }
    watcher->was_answered = true;
    watcher->failures = 0;
    if (response->canceled) {
        watcher->is_over = true;
        watcher->fn(watcher->context, response);
    } else {
        advance(watcher, response);
        bool is_progress = !response->created && response->n_events == 0;
        if (is_progress) watcher->owes_progress = false;
        if (!response->created) watcher->is_over = !watcher->fn(watcher->context, response);
    }
    protobuf_c_message_free_unpacked(&response->base, NULL);
    return !watcher->is_over;
}

/* --- the stream ------------------------------------------------------------------------------------------------------------ */

/* As etcd's client: what a member says when it leaves or has no leader; other errors would come again. */
static bool may_come_back(const struct watcher *watcher, const struct calls_result *result)
{
    if (result->is_unreachable) return watcher->was_answered;
    switch (result->code) {
    case ERR_CODE_OK:
    case ERR_CODE_CANCELLED: /* by us, who had not had enough */
    case ERR_CODE_UNAVAILABLE:
    case ERR_CODE_INTERNAL: return true;
    default: return false;
    }
}

static void on_end(void *context, const struct calls_result *result)
{
    struct watcher *watcher = context;
    watcher->call = 0;
    if (watcher->is_free) {
        buf_deinit(&watcher->request);
        calls_answer_deinit(&watcher->refusal);
        alloc_free(watcher);
    } else if (!watcher->is_over && may_come_back(watcher, result)) {
        live_set(watcher->live, &watcher->again, clock_mono_ns() + live_backoff_ns(watcher->failures++));
    } else if (!watcher->is_over) {
        watcher->is_over = true;
        watcher->refusal.code = result->code;
        watcher->refusal.text = alloc_string(result->text);
        watcher->refusal.is_unreachable = result->is_unreachable;
        watcher->refusal.took_ns = clock_mono_ns() - watcher->refusal.start_ns;
    }
}

static void open_stream(void *context, uint64_t now_ns)
{
    struct watcher *watcher = context;
    struct buf create, message;
    ASSERT(watcher->call == 0 && !watcher->is_over);
    buf_init(&create);
    buf_init(&message);
    buf_put_slice(&create, buf_slice(&watcher->request));
    if (watcher->next != 0) buf_put_pb_varint(&create, 3, (uint64_t)watcher->next);
    buf_put_pb_bytes(&message, 1, buf_slice(&create));
    const struct calls_request call = {.path = "/etcdserverpb.Watch/Watch",
                                            .body = buf_slice(&message),
                                            .policy = KVD_POLICY_ONCE,
                                            .endpoint = CALLS_ANY,
                                            .require_leader = true,
                                            .message_fn = on_message,
                                            .message_context = watcher,
                                            .is_open = true};
    watcher->refusal.start_ns = now_ns;
    watcher->call = calls_start(watcher->live->ctl->client, &call, on_end, watcher);
    if (watcher->owes_progress) watcher_ask_progress(watcher);
    buf_deinit(&message);
    buf_deinit(&create);
}

/* --- the face -------------------------------------------------------------------------------------------------------------- */

struct watcher *watcher_new(struct live *live, struct slice request, int64_t revision, watcher_fn *fn, void *context)
{
    ASSERT(fn != NULL);
    struct watcher *watcher = ALLOC(struct watcher);
    watcher->live = live;
    watcher->fn = fn;
    watcher->context = context;
    watcher->next = revision;
    buf_init(&watcher->request);
    buf_put_slice(&watcher->request, request);
    buf_init(&watcher->refusal.body);
    live_timer_init(&watcher->again, open_stream, watcher);
    open_stream(watcher, clock_mono_ns());
    return watcher;
}

void watcher_free(struct watcher *watcher)
{
    if (watcher == NULL) return;
    struct calls *client = watcher->live->ctl->client;
    live_unset(watcher->live, &watcher->again);
    watcher->is_over = watcher->is_free = true;
    if (watcher->call == 0)
        on_end(watcher, &(struct calls_result){.code = ERR_CODE_CANCELLED});
    else
        calls_cancel(client, watcher->call);
}

void watcher_ask_progress(struct watcher *watcher)
{
    struct buf message;
    buf_init(&message);
    buf_put_pb_bytes(&message, 3, slice_empty());
    watcher->owes_progress = true; /* with a stream that breaks, the next one is asked */
    if (watcher->call != 0) calls_send(watcher->live->ctl->client, watcher->call, buf_slice(&message));
    buf_deinit(&message);
}

bool watcher_is_over(const struct watcher *watcher) { return watcher->is_over; }

const struct calls_answer *watcher_refusal(const struct watcher *watcher)
{
    ASSERT(watcher->is_over);
    return &watcher->refusal;
}
