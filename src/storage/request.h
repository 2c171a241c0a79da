/* request: bytes from outside, before anything is unpacked: one iterative scan per message that checks shape, nesting depth, numbers
 * of operations and compares, strings (UTF-8, no NUL); and the API's own checks of KV requests (order and texts of the API).
 * No recursion on input, no allocation but the caller's arena. Thread: any.
 * Limits: REQUEST_DEPTH_MAX nested transactions; arena bytes by the caller.
 */
#ifndef STORAGE_REQUEST_H
#define STORAGE_REQUEST_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define REQUEST_DEPTH_MAX 64
#define REQUEST_LEASE_COST 64 /* what a lease counts against the quota, in bytes */

struct request_limits {
    uint32_t txn_ops_max;      /* --max-txn-ops */
};

/* Each: parse, scan and check as the API says; ERR_OK means the bytes may be proposed. */
MUST_USE enum err request_check_put(struct slice bytes);
MUST_USE enum err request_check_delete_range(struct slice bytes);
MUST_USE enum err request_check_compaction(struct slice bytes, int64_t *out_revision, bool *out_physical);
/* Also says how the transaction must travel: read-only ones (ranges only, no nesting) are served like reads. */
struct request_txn_info {
    bool is_read_only;
    bool is_serializable;      /* read-only and every range serializable, or no operation at all */
    bool has_put;              /* in any branch: quota */
    uint64_t cost_bytes;       /* quota estimate: larger branch's puts, 256 + key + value each, and 64 for a lease that it makes */
    uint32_t lease_count;      /* puts that make a lease, in all branches; at most txn_ops_max */
};
MUST_USE enum err request_check_txn(struct slice bytes, const struct request_limits *limits, struct arena *arena,
                                    struct request_txn_info *out_info);
uint64_t request_put_cost(struct slice bytes);
bool request_put_makes_lease(struct slice bytes); /* a `ttl` */
/* Any other message: well-formed fields, depth, strings named by number must be UTF-8 without NUL (0-terminated list of field numbers). */
MUST_USE enum err request_scan(struct slice bytes, const uint32_t *string_fields);

#endif
