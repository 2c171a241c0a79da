/* range: a RangeRequest as a resumable job: one bounded chunk per step into protobuf bytes, at one revision.
 *
 * The bytes are the body of a RangeResponse without its header: kvs (2)…, more (3), count (4), proto3 rules (zero fields are
 * omitted). A job that needs more than one step pins its revision between the steps.
 * Owner: range_new/range_free; the request's bytes are copied. Thread: one reader (net, under RCU) or the writer.
 * Limits: bytes per step by the caller; rows gathered for a custom sort stay under `gather_bytes_max`.
 * Source: API, Range: checks in the order key, sort enums, revision; count ignores limit and filters.
 */
#ifndef STORAGE_RANGE_H
#define STORAGE_RANGE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "storage/mvcc.h"
#include "storage/range_memo.h"

/* A RangeRequest by its fields; slices borrowed. */
struct range_request {
    struct slice key, range_end;
    int64_t limit, revision;
    int32_t sort_order, sort_target;
    bool serializable, keys_only, count_only;
    int64_t min_mod_revision, max_mod_revision, min_create_revision, max_create_revision;
};
/* Hand-written, no allocation; ERR_MALFORMED. Unknown fields are skipped, the last of a repeated scalar wins. */
MUST_USE enum err range_parse(struct slice bytes, struct range_request *out_request);
MUST_USE enum err range_check(const struct range_request *request);        /* key, sort enums */
MUST_USE enum err range_check_stream(const struct range_request *request); /* the two UNIMPLEMENTED texts of RangeStream */

enum range_progress { RANGE_DONE, RANGE_MORE, RANGE_FAILED };
struct range;
/* `mvcc` is for the pin; NULL = the caller holds one view for the whole job (the writer inside a transaction), or see range_set_kept. */
struct range *range_new(const struct range_request *request, struct mvcc *mvcc, size_t gather_bytes_max);
/* Before the first step: counts that pages leave for each other. Borrowed; of the thread that steps. */
void range_set_memo(struct range *range, struct range_memo *memo);
/* Before the first step: the caller has checked the revision, keeps it for the whole job by a pin of its own, and checks that in each step. */
void range_set_kept(struct range *range);
void range_free(struct range *range); /* accepts NULL; unpins */
/* Appends at most about bytes_max to out_body (at least one row), looks at no more than rows_max rows. RANGE_FAILED: *out_err. With
 * is_stream, `more` and `count` are written with the last step only (as in both forms), and rows end exactly at chunk borders. */
enum range_progress range_step(struct range *range, const struct mvcc_view *view, size_t bytes_max, size_t rows_max,
                               struct buf *out_body, enum err *out_err);
/* False before the first step, and again after a step that has to begin anew (RANGE_MORE, nothing written): what the caller wrote in front
 * of the body belongs to a revision that is no longer read. */
bool range_is_begun(const struct range *range);
bool range_is_single(const struct range *range); /* one key: one step */
int64_t range_header_revision(const struct range *range); /* store revision at the first step */

/* mvccpb.KeyValue as field `field` of the message being written. */
void range_put_kv(struct buf *buf, uint32_t field, const struct mvcc_kv *kv, bool keys_only);
/* The fields of a mvccpb.Event: its type and what there is now, of a delete key and revision. */
void range_put_event(struct buf *buf, const struct mvcc_change *change, bool keys_only);

#endif
