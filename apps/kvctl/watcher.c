/* watcher: see the header. The library's watch brings one response at a time, which is the library's thread's until it is posted, and
 * main's until the watch is resumed. */
#include "watcher.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

struct watcher {
    struct live *live;
    watcher_fn *fn;
    void *context;
    struct kvd_watch *watch;
    struct calls_item item;
    struct buf body;            /* a WatchResponse; empty: why there is none stands in refusal */
    bool is_last, is_over;
    struct calls_answer refusal;
};

static enum kvd_more on_news(void *context, const struct kvd_news *news)
{
    struct watcher *watcher = context;
    buf_clear(&watcher->body);
    buf_put(&watcher->body, news->body.data, news->body.size);
    watcher->is_last = news->code != KVD_OK;
    if (watcher->is_last && news->body.size == 0) {
        watcher->refusal.code = (unsigned)news->code <= ERR_CODE_UNAUTHENTICATED ? (enum err_code)news->code : ERR_CODE_UNKNOWN;
        watcher->refusal.text = alloc_string(news->text);
        watcher->refusal.is_unreachable = news->is_unreachable;
        watcher->refusal.took_ns = clock_mono_ns() - watcher->refusal.start_ns;
    }
    calls_post(watcher->live->ctl->client, &watcher->item);
    return KVD_PAUSE;
}

static void take(struct calls_item *item)
{
    struct watcher *watcher = LIST_ENTRY(item, struct watcher, item);
    bool wants_more = true;
    if (watcher->body.size > 0) {
        struct slice body = buf_slice(&watcher->body);
        Etcdserverpb__WatchResponse *response = (Etcdserverpb__WatchResponse *)ctl_unpack(&etcdserverpb__watch_response__descriptor, body);
        ASSERT(response != NULL); /* the library has unpacked it, too */
        wants_more = watcher->fn(watcher->context, response);
        protobuf_c_message_free_unpacked(&response->base, NULL);
    }
    watcher->is_over = watcher->is_last || !wants_more;
    if (!watcher->is_over) (void)kvd_watch_resume(watcher->watch);
}

struct watcher *watcher_new(struct live *live, struct slice request, int64_t revision, watcher_fn *fn, void *context)
{
    ASSERT(fn != NULL);
    struct watcher *watcher = ALLOC(struct watcher);
    watcher->live = live;
    watcher->fn = fn;
    watcher->context = context;
    watcher->refusal.start_ns = clock_mono_ns();
    buf_init(&watcher->body);
    buf_init(&watcher->refusal.body);
    calls_item_init(&watcher->item, take);
    enum kvd_code code = kvd_watch_open_raw(calls_client(live->ctl->client), kvd_bytes_of(request.data, request.size), revision, on_news, watcher,
                                            &watcher->watch);
    ASSERT(code == KVD_OK);
    return watcher;
}

void watcher_free(struct watcher *watcher)
{
    if (watcher == NULL) return;
    kvd_watch_close(watcher->watch);
    calls_drop(watcher->live->ctl->client, &watcher->item);
    buf_deinit(&watcher->body);
    calls_answer_deinit(&watcher->refusal);
    alloc_free(watcher);
}

void watcher_ask_progress(struct watcher *watcher) { (void)kvd_watch_ask_progress(watcher->watch); }

bool watcher_is_over(const struct watcher *watcher) { return watcher->is_over; }

const struct calls_answer *watcher_refusal(const struct watcher *watcher)
{
    ASSERT(watcher->is_over);
    return &watcher->refusal;
}
