/* watch_list: who is watching, told to operators page by page; and one watcher cancelled by them.
 *
 * Each watcher has a place in one array as long as it lives, and a page goes on at a place: it costs a bounded number of looks wherever it
 * begins, whatever came and went between two pages; a watcher that lives through all of them is told exactly once.
 * Thread: the watch role's. Owner: the caller's buffers; slices of requests are borrowed. Limits: below.
 * Source: proto/kvd/extra.proto: Watchers, CancelWatcher. */
#ifndef WATCH_WATCH_LIST_H
#define WATCH_WATCH_LIST_H
#include "base/buf.h"
#include "base/err.h"
#include "watch/watch.h"

#define WATCH_LIST_REASON "kvd: canceled by an operator" /* for watch_cancel */
#define WATCH_LIST_LIMIT_MAX 1000          /* watchers in a page */
#define WATCH_LIST_LOOKS_MAX 4096
#define WATCH_LIST_PAGE_BYTES (256u * 1024) /* the watcher that passes it is the last */

/* `request` is a WatchersRequest, what is written a WatchersResponse without its header. ERR_MALFORMED. */
MUST_USE enum err watch_list_page(const struct watch *watch, struct slice request, const struct mvcc_view *view, uint64_t now_ns, struct buf *out);

struct watch_list_cancel {
    uint64_t member_id, stream;
    int64_t watch_id;
};
MUST_USE enum err watch_list_parse_cancel(struct slice request, struct watch_list_cancel *out_cancel); /* ERR_MALFORMED */

#endif
