/* client_stream: what stays open over the death of members, on the client's thread: a watch, and a lease that is kept alive. kvd_watch,
 * kvd_keeper and kvd_lock stand on them. Both are freed by themselves once their last stream has ended.
 *
 * Owner: client_*_new/client_*_free. Thread: the client's. Limits: one stream each at a time, and one that is being given up.
 * Source: API §9, §10; etcd's client. */
#ifndef CLIENT_CLIENT_STREAM_H
#define CLIENT_CLIENT_STREAM_H
#include "client/client_inner.h"

/* --- a watch: a stream of its own; when that breaks, the next one begins behind the last revision that was delivered --- */

struct client_watch;
/* Borrowed; news whose code is not OK are the last. May free the watch; then the answer does not matter. */
typedef enum kvd_more client_watch_fn(void *context, const struct kvd_news *news);
/* `request`: a WatchCreateRequest without start_revision (copied); `revision` 0 = from now on. */
struct client_watch *client_watch_new(struct kvd_client *client, struct slice request, int64_t revision, client_watch_fn *fn, void *context);
void client_watch_free(struct client_watch *watch); /* no news any more; accepts NULL */
void client_watch_resume(struct client_watch *watch); /* after KVD_PAUSE */
void client_watch_ask_progress(struct client_watch *watch);

/* --- a lease: renewed three times per TTL; a member that does not answer is left --- */

struct client_keeper;
/* Borrowed; news whose state is not RUNS are the last. May free the keeper. */
typedef void client_keeper_fn(void *context, const struct kvd_keeper_news *news);
/* `until_ns`: when the lease is over unless somebody answers. */
struct client_keeper *client_keeper_new(struct kvd_client *client, int64_t lease, uint64_t until_ns, client_keeper_fn *fn, void *context);
void client_keeper_free(struct client_keeper *keeper); /* the lease is left alone; accepts NULL */

#endif
