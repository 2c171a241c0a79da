/* history: a HistoryRequest as a resumable job: one page of the retained versions of a key or a range, deletions included, in bounded steps.
 *
 * The bytes are the body of a HistoryResponse without its header. A page ends at the limit or about HISTORY_PAGE_BYTES, and then carries the
 * token of the next one: window, revision and place of the last version told. A job that needs more than one step pins its oldest revision
 * between the steps; between pages nothing is kept, so what a compaction overtakes there is refused as compacted.
 * The newest versions of a single key are found from the key, which costs no look at other keys; everything else walks the changes of
 * the window.
 * Owner: history_new/history_free; the request's bytes are copied. Thread: one reader (net, under RCU).
 * Limits: HISTORY_LIMIT_MAX versions a page; bytes and looks per step by the caller.
 * Source: proto/kvd/extra.proto; compacted and future revisions as the API's Range has them.
 */
#ifndef STORAGE_HISTORY_H
#define STORAGE_HISTORY_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "storage/mvcc.h"

#define HISTORY_LIMIT_MAX 10000
#define HISTORY_PAGE_BYTES (1u << 20) /* the version that passes it is the last */

/* Where a page ended. */
struct history_place {
    int64_t to;            /* of the window, as the first page had it */
    int64_t revision, sub; /* of the last version told */
};
struct history_request {
    struct slice key, range_end;
    int64_t from, to, limit; /* 0: from what is retained; to now; as many as fit */
    bool oldest_first, keys_only, serializable;
    bool has_place;
    struct history_place place;
};
/* Hand-written, no allocation; ERR_MALFORMED, ERR_BAD_PAGE_TOKEN. Unknown fields are skipped. */
MUST_USE enum err history_parse(struct slice bytes, struct history_request *out_request);
MUST_USE enum err history_check(const struct history_request *request); /* key, window, token */

enum history_progress { HISTORY_DONE, HISTORY_MORE, HISTORY_FAILED };
struct history;
/* `mvcc` is for the pin; NULL = the caller holds one view for the whole job. */
struct history *history_new(const struct history_request *request, struct mvcc *mvcc);
void history_free(struct history *history); /* accepts NULL; unpins */
/* Appends at most about bytes_max to out_body (at least one version), looks at no more than looks_max changes. HISTORY_FAILED: *out_err. */
enum history_progress history_step(struct history *history, const struct mvcc_view *view, size_t bytes_max, size_t looks_max,
                                   struct buf *out_body, enum err *out_err);
/* False before the first step, and again after one that has to begin anew (HISTORY_MORE, nothing written). */
bool history_is_begun(const struct history *history);

#endif
