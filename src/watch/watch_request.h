/* watch_request: what a client says on a watch stream: bytes of a WatchRequest into plain values.
 * Owner: the caller; slices are borrowed from the bytes. Thread: any. Limits: one pass, nothing is allocated.
 * Source: the API's WatchRequest, WatchCreateRequest, WatchCancelRequest, WatchProgressRequest; unknown fields are skipped. */
#ifndef WATCH_WATCH_REQUEST_H
#define WATCH_WATCH_REQUEST_H
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum watch_request_kind { WATCH_REQUEST_NONE, WATCH_REQUEST_CREATE, WATCH_REQUEST_CANCEL, WATCH_REQUEST_PROGRESS };

struct watch_request {
    enum watch_request_kind kind; /* NONE: an unset or unknown union, to be ignored */
    struct slice key, range_end;
    int64_t start_revision;
    int64_t watch_id;             /* of create and cancel */
    bool progress_notify, prev_kv, fragment, no_put, no_delete;
};

/* ERR_OK, or ERR_MALFORMED. */
MUST_USE enum err watch_request_decode(struct slice bytes, struct watch_request *out_request);

#endif
