/* txn: compares, the path, and running it. The bytes of the responses: txn_reply.h. */
#include "storage/txn.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "storage/range.h"
#include "storage/txn_reply.h"

/* Parsing of what a door has already checked. */
static void demand(enum err err, const char *what)
{
    if (err != ERR_OK) fatal("log entry: %s: %s: no door lets this through, the log is damaged", what, err_name(err));
}

/* --- compares ---------------------------------------------------------------------------------------------------------------- */

static int compare_numbers(int64_t a, int64_t b) { return (a > b) - (a < b); }

static bool holds_for(const struct operation_compare *compare, const struct mvcc_kv *kv)
{
    int order = 0; /* an unknown target compares as equal */
    bool is_given = compare->given == compare->target;
    int64_t number = is_given ? compare->number : 0;
    switch (compare->target) {
    case OPERATION_VERSION: order = compare_numbers(kv->version, number); break;
    case OPERATION_CREATE: order = compare_numbers(kv->create_revision, number); break;
    case OPERATION_MOD: order = compare_numbers(kv->mod_revision, number); break;
    case OPERATION_LEASE: order = compare_numbers(kv->lease, number); break;
    case OPERATION_VALUE: order = slice_compare(kv->value, is_given ? compare->value : slice_empty()); break;
    default: break;
    }
    switch (compare->result) {
    case OPERATION_EQUAL: return order == 0;
    case OPERATION_NOT_EQUAL: return order != 0;
    case OPERATION_GREATER: return order > 0;
    case OPERATION_LESS: return order < 0;
    default: return true; /* an unknown result is true */
    }
}

/* A missing key is all zeros, but has no value that anything could be compared with. */
static bool holds_for_missing(const struct operation_compare *compare)
{
    struct mvcc_kv missing = {.version = 0};
    return compare->target != OPERATION_VALUE && holds_for(compare, &missing);
}

static bool compare_holds(const struct operation_compare *compare, const struct mvcc_view *view)
{
    ASSERT(compare->key.size > 0);
    struct mvcc_range range = mvcc_range_make(compare->key, compare->range_end);
    struct mvcc_kv kv;
    if (range.is_single) {
        return mvcc_get(view, compare->key, 0, &kv) ? holds_for(compare, &kv) : holds_for_missing(compare);
    }
    struct mvcc_scan scan;
    mvcc_scan_init(&scan, view, &range, 0);
    if (!mvcc_scan_next(&scan, &kv)) return holds_for_missing(compare);
    do {
        if (!holds_for(compare, &kv)) return false;
    } while (mvcc_scan_next(&scan, &kv));
    return true;
}

static bool compares_hold(struct slice txn, const struct mvcc_view *view)
{
    struct operation_list list = operation_list_make(txn, OPERATION_COMPARES);
    struct slice bytes;
    while (operation_list_next(&list, &bytes)) {
        struct operation_compare compare;
        demand(operation_parse_compare(bytes, &compare), "compare");
        if (!compare_holds(&compare, view)) return false;
    }
    if (list.reader.bad) demand(ERR_MALFORMED, "txn");
    return true;
}

/* --- the path ------------------------------------------------------------------------------------------------------------------ */

void txn_init(struct txn *txn)
{
    ASSERT(txn != NULL);
    txn->bytes = slice_empty();
    buf_init(&txn->path);
}

void txn_deinit(struct txn *txn)
{
    if (txn == NULL) return;
    buf_deinit(&txn->path);
}

static void enter_branch(struct operation_cursor *cursor, struct slice txn, bool succeeded)
{
    enum operation_field branch = succeeded ? OPERATION_SUCCESS : OPERATION_FAILURE;
    if (!operation_cursor_enter(cursor, txn, branch, branch)) demand(ERR_TOO_DEEP, "txn");
}

static void decide_branch(struct txn *txn, struct operation_cursor *cursor, struct slice bytes, const struct mvcc_view *view)
{
    bool succeeded = compares_hold(bytes, view) || MUTANT(D48);
    buf_put_u8(&txn->path, succeeded);
    enter_branch(cursor, bytes, succeeded);
}

enum err txn_check_put_key(const struct mvcc_view *view, const struct operation_put *put)
{
    ASSERT(put->key.size > 0);
    struct mvcc_kv kv;
    if (!put->ignore_value && !put->ignore_lease) return ERR_OK;
    return mvcc_get(view, put->key, 0, &kv) ? ERR_OK : ERR_KEY_NOT_FOUND;
}

static enum err check_put(struct slice body, const struct mvcc_view *view, struct put_leases *leases)
{
    struct operation_put put;
    demand(operation_parse_put(body, &put), "put");
    ASSERT(leases != NULL);
    enum err err = txn_check_put_key(view, &put);
    return err != ERR_OK ? err : put_leases_check(leases, &put);
}

/* A negative revision is "now" to a Range of its own. In a transaction every etcd takes it for one before the compacted revision, which
 * is -1 while nothing was ever compacted. */
static enum err check_range(struct slice body, const struct mvcc_view *view)
{
    struct range_request request;
    demand(range_parse(body, &request), "range");
    ASSERT(request.key.size > 0);
    bool is_behind = request.revision < (mvcc_view_compact_revision(view) > 0 ? 0 : -1);
    return is_behind ? ERR_COMPACTED : mvcc_view_check(view, request.revision);
}

/* Puts refuse before ranges do, wherever they stand (the API checks all puts of the path, then all ranges). */
enum err txn_decide(struct txn *txn, struct slice bytes, const struct mvcc_view *view, struct put_leases *leases)
{
    ASSERT(bytes.data != NULL || bytes.size == 0);
    struct operation_cursor cursor;
    struct operation operation;
    enum err range_err = ERR_OK;
    txn->bytes = bytes;
    buf_clear(&txn->path);
    operation_cursor_init(&cursor);
    decide_branch(txn, &cursor, bytes, view);
    enum operation_step step;
    while ((step = operation_cursor_next(&cursor, &operation)) != OPERATION_STEP_END) {
        enum err err = ERR_OK;
        if (step == OPERATION_STEP_BAD) demand(ERR_MALFORMED, "txn");
        if (step == OPERATION_STEP_LEAVE) continue;
        if (operation.kind == OPERATION_TXN) decide_branch(txn, &cursor, operation.body, view);
        else if (operation.kind == OPERATION_PUT) err = check_put(operation.body, view, leases);
        else if (operation.kind == OPERATION_RANGE && range_err == ERR_OK) range_err = check_range(operation.body, view);
        if (err != ERR_OK) return err;
    }
    return range_err;
}

/* --- single operations ---------------------------------------------------------------------------------------------------------- */

void txn_put(struct mvcc *mvcc, struct put_leases *leases, const struct operation_put *put, struct buf *out_body)
{
    ASSERT(put->key.size > 0);
    struct mvcc_kv previous;
    struct buf kept;
    struct slice value = put->value;
    struct lease_row made;
    int64_t lease = put_leases_take(leases, put, &made);
    bool keeps = put->ignore_value || put->ignore_lease;
    bool is_wanted = put->prev_kv && out_body != NULL;
    bool exists = (keeps || is_wanted) && mvcc_get(mvcc_writer_view(mvcc), put->key, 0, &previous);
    ASSERT(exists || !keeps); /* decided before */
    buf_init(&kept);
    if (put->ignore_value) {
        buf_put_slice(&kept, previous.value); /* the store's own bytes must not be handed to its writer */
        value = buf_slice(&kept);
    }
    if (put->ignore_lease) lease = previous.lease;
    if (is_wanted && exists) range_put_kv(out_body, 2, &previous, false);
    mvcc_put(mvcc, put->key, value, lease);
    if (out_body != NULL) put_leases_say(&made, out_body);
    buf_deinit(&kept);
}

static void put_previous(void *context, const struct mvcc_kv *kv)
{
    struct buf *body = context;
    if (body->size <= TXN_REPLY_BYTES_MAX) range_put_kv(body, 3, kv, false); /* one pair beyond the limit shows that it was met */
}

void txn_delete_range(struct mvcc *mvcc, const struct operation_delete_range *request, struct buf *out_body)
{
    ASSERT(request->key.size > 0);
    struct mvcc_range range = mvcc_range_make(request->key, request->range_end);
    if (out_body == NULL) {
        (void)mvcc_delete(mvcc, &range, NULL, NULL);
        return;
    }
    int64_t count = mvcc_count(mvcc_writer_view(mvcc), &range, 0);
    if (count > 0) buf_put_pb_varint(out_body, 2, (uint64_t)count);
    int64_t deleted = mvcc_delete(mvcc, &range, request->prev_kv ? put_previous : NULL, out_body);
    ASSERT(deleted == count);
}

/* --- running --------------------------------------------------------------------------------------------------------------------- */

/* A run: where it writes and answers. */
struct run {
    struct mvcc *mvcc;
    struct put_leases *leases;
    struct buf *body;             /* NULL: nobody waits for an answer */
    int64_t revision_max;         /* what the transaction will have made if it changes anything */
    struct txn_reply_mark marks[OPERATION_DEPTH_MAX + 1]; /* of the nested responses that are open, by depth */
    bool is_over;                 /* the reply met its limit; from then on nothing is encoded */
};

/* Where the reply goes now; NULL: nowhere. */
static struct buf *run_body(struct run *run)
{
    if (run->body != NULL && run->body->size > TXN_REPLY_BYTES_MAX) run->is_over = true;
    return run->is_over ? NULL : run->body;
}

static void run_range(struct run *run, struct slice bytes)
{
    struct buf *body = run_body(run);
    if (body == NULL) return; /* its errors were decided; it changes nothing */
    struct range_request request;
    demand(range_parse(bytes, &request), "range");
    struct range *range = range_new(&request, NULL, TXN_REPLY_BYTES_MAX);
    const struct mvcc_view *view = MUTANT(D47) ? mvcc_view(run->mvcc) : mvcc_writer_view(run->mvcc);
    struct txn_reply_mark mark = txn_reply_open(body, OPERATION_RANGE, run->revision_max);
    enum range_progress progress = RANGE_MORE;
    enum err err = ERR_OK;
    while (progress == RANGE_MORE && body->size <= TXN_REPLY_BYTES_MAX)
        progress = range_step(range, view, TXN_REPLY_BYTES_MAX, SIZE_MAX, body, &err);
    ASSERT(progress != RANGE_FAILED || err == ERR_TOO_MANY_REQUESTS);
    if (progress != RANGE_DONE) run->is_over = true;
    txn_reply_close(body, &mark, mvcc_view_revision(view));
    range_free(range);
}

static void run_put(struct run *run, struct slice bytes)
{
    struct operation_put put;
    demand(operation_parse_put(bytes, &put), "put");
    ASSERT(run->mvcc != NULL);
    struct buf *body = run_body(run);
    struct txn_reply_mark mark;
    if (body != NULL) mark = txn_reply_open(body, OPERATION_PUT, run->revision_max);
    txn_put(run->mvcc, run->leases, &put, body);
    if (body != NULL) txn_reply_close(body, &mark, run->revision_max);
}

static void run_delete_range(struct run *run, struct slice bytes)
{
    struct operation_delete_range request;
    demand(operation_parse_delete_range(bytes, &request), "delete_range");
    ASSERT(run->mvcc != NULL);
    struct buf *body = run_body(run);
    struct txn_reply_mark mark;
    if (body != NULL) mark = txn_reply_open(body, OPERATION_DELETE_RANGE, run->revision_max);
    txn_delete_range(run->mvcc, &request, body);
    if (body != NULL) txn_reply_close(body, &mark, mvcc_view_revision(mvcc_writer_view(run->mvcc)));
}

/* `depth` is that of the nested transaction itself. */
static void open_nested(struct run *run, uint32_t depth, bool succeeded)
{
    struct buf *body = run_body(run);
    ASSERT(depth >= 2 && depth <= OPERATION_DEPTH_MAX);
    if (body == NULL) return;
    run->marks[depth] = txn_reply_open(body, OPERATION_TXN, 0);
    if (succeeded) buf_put_pb_varint(body, 2, 1);
}

static void close_nested(struct run *run, uint32_t depth)
{
    struct buf *body = run_body(run);
    ASSERT(depth >= 2 && depth <= OPERATION_DEPTH_MAX);
    if (body == NULL) return;
    txn_reply_close(body, &run->marks[depth], 0);
}

static bool run_path(struct run *run, const struct txn *txn)
{
    struct operation_cursor cursor;
    struct operation operation;
    struct reader path = reader_make(buf_slice(&txn->path));
    bool succeeded = reader_u8(&path) != 0;
    if (run->body != NULL && succeeded) buf_put_pb_varint(run->body, 2, 1);
    operation_cursor_init(&cursor);
    enter_branch(&cursor, txn->bytes, succeeded);
    enum operation_step step;
    while ((step = operation_cursor_next(&cursor, &operation)) != OPERATION_STEP_END) {
        ASSERT(step != OPERATION_STEP_BAD);
        if (step == OPERATION_STEP_LEAVE) {
            close_nested(run, cursor.depth + 1);
            continue;
        }
        switch (operation.kind) {
        case OPERATION_RANGE: run_range(run, operation.body); break;
        case OPERATION_PUT: run_put(run, operation.body); break;
        case OPERATION_DELETE_RANGE: run_delete_range(run, operation.body); break;
        case OPERATION_TXN:
            succeeded = reader_u8(&path) != 0;
            enter_branch(&cursor, operation.body, succeeded);
            open_nested(run, cursor.depth, succeeded);
            break;
        case OPERATION_NONE: demand(ERR_KEY_NOT_FOUND, "operation"); break;
        }
    }
    ASSERT(!path.bad && reader_left(&path) == 0);
    return run_body(run) != NULL || run->body == NULL;
}

bool txn_run(struct txn *txn, struct mvcc *mvcc, struct put_leases *leases, struct buf *out_body)
{
    ASSERT(mvcc != NULL && leases != NULL);
    struct run run = {.mvcc = mvcc, .leases = leases, .body = out_body};
    run.revision_max = mvcc_view_revision(mvcc_writer_view(mvcc)) + 1;
    return run_path(&run, txn);
}
