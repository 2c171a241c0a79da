/* watcher: one of the library's watches, which outlive the members they are served by, with its responses as the server says them, on main's
 * thread.
 * Owner: watcher_new/watcher_free. Thread: main, inside live_step. Source: API §9; etcd's client. */
#ifndef KVCTL_WATCHER_H
#define KVCTL_WATCHER_H
#include "etcdserverpb/rpc.pb-c.h"
#include "live.h"

/* What the server says beside its first answer: events, progress, or (canceled) its last word. False: enough. Must not step. */
typedef bool watcher_fn(void *context, const Etcdserverpb__WatchResponse *response);

struct watcher;
/* `request`: a WatchCreateRequest without start_revision (copied); `revision` 0 = from now on. */
struct watcher *watcher_new(struct live *live, struct slice request, int64_t revision, watcher_fn *fn, void *context);
void watcher_free(struct watcher *watcher); /* the stream is canceled; accepts NULL */
void watcher_ask_progress(struct watcher *watcher);
/* True: nothing comes any more, because fn had enough, or the server canceled it, or refused the stream. */
bool watcher_is_over(const struct watcher *watcher);
/* Why, if it is over by a refusal: never NULL; code is OK otherwise. */
const struct calls_answer *watcher_refusal(const struct watcher *watcher);

#endif
