/* range: a job in three phases, each of which can stop after any row.
 *
 *   natural order:  scan rows → write them                                                    → more, count
 *   any other:      scan rows → range_sort keeps the best `limit` → sort → look up and write  → more, count
 *
 * A limit cuts behind a sort and behind a filter, with one exception that every etcd has: a target without an order (order NONE, not by
 * key), unfiltered, sorts only the first `limit` + 1 rows in key order and then cuts.
 *
 * The count is of the interval at the range's revision, whatever limit and filters say. The first step takes it from the index (now), from a
 * short history, or from what the page before left (range_memo.h); else the scan counts, and goes on for that behind the limit.
 * The first step also fixes the revision and, if it could not finish, pins it before it gives the view back: until then the view itself
 * keeps every version. If a compaction was published in between (the pin is refused), a read of "now" forgets what it wrote and begins again
 * at the newer revision; a read at a named revision is answered as compacted. So is any read whose pinned revision an installed snapshot
 * does not reach back to.
 */
#include "storage/range.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "storage/range_sort.h"

enum range_phase { RANGE_PHASE_START, RANGE_PHASE_SCAN, RANGE_PHASE_GATHER, RANGE_PHASE_SORT, RANGE_PHASE_SORTED, RANGE_PHASE_END };

struct range {
    struct range_request request; /* key and range_end point into `keys` */
    struct mvcc *mvcc;
    size_t gather_bytes_max;
    enum range_phase phase;
    bool is_sorted;      /* an order that the index does not have */
    bool has_filter;
    bool is_cut_first;   /* the limit cuts before the sort */
    int pin;             /* -1 = none */
    bool is_kept;        /* the revision was checked by the caller, who has a pin */
    int64_t revision;    /* that the rows are read at */
    int64_t header_revision;
    bool is_counted;     /* `count` is known; else it is `seen` when the scan has come to the end */
    int64_t count;
    int64_t seen;        /* rows scanned */
    int64_t matched;     /* rows that passed the filters */
    int64_t written;
    struct mvcc_range interval;
    struct mvcc_range left; /* what has not been scanned */
    struct buf resume;   /* the last scanned key and a zero byte: the least key behind it */
    struct range_memo *memo; /* NULL = none */
    struct buf next_page;    /* as `resume`, of the last row that the limit let through; empty = there is none */
    struct range_sort sort;
    uint8_t keys[];
};

enum err range_parse(struct slice bytes, struct range_request *out_request)
{
    ASSERT(out_request != NULL);
    struct range_request request = {.key = slice_empty()};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        int64_t number = (int64_t)field.value;
        switch (field.number) {
        case 1: request.key = field.bytes; break;
        case 2: request.range_end = field.bytes; break;
        case 3: request.limit = number; break;
        case 4: request.revision = number; break;
        case 5: request.sort_order = (int32_t)(uint32_t)field.value; break;
        case 6: request.sort_target = (int32_t)(uint32_t)field.value; break;
        case 7: request.serializable = number != 0; break;
        case 8: request.keys_only = number != 0; break;
        case 9: request.count_only = number != 0; break;
        case 10: request.min_mod_revision = number; break;
        case 11: request.max_mod_revision = number; break;
        case 12: request.min_create_revision = number; break;
        case 13: request.max_create_revision = number; break;
        default: continue;
        }
        is_shaped = is_shaped && field.wire == (field.number <= 2 ? PB_BYTES : PB_VARINT);
    }
    if (reader.bad || !is_shaped) return ERR_MALFORMED;
    *out_request = request;
    return ERR_OK;
}

enum err range_check(const struct range_request *request)
{
    ASSERT(request != NULL);
    if (request->key.size == 0) return ERR_EMPTY_KEY;
    if (request->sort_order < 0 || request->sort_order >= RANGE_SORT_ORDERS) return ERR_INVALID_SORT_OPTION;
    if (request->sort_target < 0 || request->sort_target >= RANGE_SORT_TARGETS) return ERR_INVALID_SORT_OPTION;
    return ERR_OK;
}

static bool has_filter(const struct range_request *request)
{
    return (request->min_mod_revision | request->max_mod_revision | request->min_create_revision |
            request->max_create_revision) != 0;
}

/* An order other than ascending by key. NONE with another target than the key is ASCEND by that target. */
static bool is_sorted(const struct range_request *request)
{
    return request->sort_target != RANGE_SORT_KEY || request->sort_order == RANGE_SORT_DESCEND;
}

static bool is_cut_first(const struct range_request *request)
{
    if (MUTANT(D65)) return request->limit > 0 && is_sorted(request);
    return request->limit > 0 && request->sort_order == RANGE_SORT_NONE && is_sorted(request) && !has_filter(request);
}

enum err range_check_stream(const struct range_request *request)
{
    enum err err = range_check(request);
    if (err != ERR_OK) return err;
    if (is_sorted(request)) return ERR_RANGE_STREAM_SORT;
    return has_filter(request) ? ERR_RANGE_STREAM_FILTER : ERR_OK;
}

struct range *range_new(const struct range_request *request, struct mvcc *mvcc, size_t gather_bytes_max)
{
    ASSERT(range_check(request) == ERR_OK);
    size_t key_bytes = request->key.size + request->range_end.size;
    struct range *range = alloc_new(sizeof *range + key_bytes);
    *range = (struct range){
        .request = *request,
        .mvcc = mvcc,
        .gather_bytes_max = gather_bytes_max,
        .phase = RANGE_PHASE_START,
        .is_sorted = is_sorted(request),
        .has_filter = has_filter(request),
        .is_cut_first = is_cut_first(request),
        .pin = -1,
    };
    memcpy(range->keys, request->key.data, request->key.size);
    if (request->range_end.size > 0)
        memcpy(range->keys + request->key.size, request->range_end.data, request->range_end.size);
    range->request.key = slice_make(range->keys, request->key.size);
    range->request.range_end = slice_make(range->keys + request->key.size, request->range_end.size);
    range->interval = mvcc_range_make(range->request.key, range->request.range_end);
    buf_init(&range->resume);
    buf_init(&range->next_page);
    return range;
}

void range_set_kept(struct range *range)
{
    ASSERT(range->phase == RANGE_PHASE_START && range->mvcc == NULL);
    range->is_kept = true;
}

void range_set_memo(struct range *range, struct range_memo *memo)
{
    ASSERT(range->phase == RANGE_PHASE_START);
    range->memo = memo;
}

void range_free(struct range *range)
{
    if (range == NULL) return;
    ASSERT(range->pin < 0 || range->mvcc != NULL);
    if (range->pin >= 0 && !MUTANT(D61)) mvcc_unpin(range->mvcc, range->pin);
    range_sort_deinit(&range->sort);
    buf_deinit(&range->resume);
    buf_deinit(&range->next_page);
    alloc_free(range);
}

bool range_is_single(const struct range *range)
{
    ASSERT(range->request.key.size > 0);
    return range->interval.is_single;
}

bool range_is_begun(const struct range *range)
{
    ASSERT(range->phase <= RANGE_PHASE_END);
    return range->phase != RANGE_PHASE_START;
}

int64_t range_header_revision(const struct range *range)
{
    ASSERT(range->phase != RANGE_PHASE_START && range->header_revision > 0);
    return range->header_revision;
}

/* --- bytes ---------------------------------------------------------------------------------------------------------------- */

static size_t field_size(int64_t value) { return value == 0 ? 0 : 1 + pb_varint_size((uint64_t)value); }
static size_t bytes_size(size_t size) { return size == 0 ? 0 : 1 + pb_varint_size(size) + size; }

static uint8_t *write_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *write_field(uint8_t *at, uint8_t field, int64_t value)
{
    if (value == 0) return at;
    *at++ = (uint8_t)pb_tag(field, PB_VARINT);
    return write_varint(at, (uint64_t)value);
}

static uint8_t *write_bytes(uint8_t *at, uint8_t field, const uint8_t *data, size_t size)
{
    if (size == 0) return at;
    *at++ = (uint8_t)pb_tag(field, PB_BYTES);
    at = write_varint(at, size);
    memcpy(at, data, size);
    return at + size;
}

void range_put_kv(struct buf *buf, uint32_t field, const struct mvcc_kv *kv, bool keys_only)
{
    ASSERT(field > 0 && field < 16); /* its tag is one byte */
    struct slice value = keys_only ? slice_empty() : kv->value;
    size_t size = bytes_size(kv->key.size) + field_size(kv->create_revision) + field_size(kv->mod_revision) +
                  field_size(kv->version) + bytes_size(value.size) + field_size(kv->lease);
    uint8_t *at = buf_extend(buf, 1 + pb_varint_size(size) + size);
    *at++ = (uint8_t)pb_tag(field, PB_BYTES);
    at = write_varint(at, size);
    at = write_bytes(at, 1, kv->key.data, kv->key.size);
    at = write_field(at, 2, kv->create_revision);
    at = write_field(at, 3, kv->mod_revision);
    at = write_field(at, 4, kv->version);
    at = write_bytes(at, 5, value.data, value.size);
    at = write_field(at, 6, kv->lease);
    ASSERT(at == buf->blob->data + buf->size);
}

void range_put_event(struct buf *buf, const struct mvcc_change *change, bool keys_only)
{
    ASSERT(change->kv.mod_revision == change->revision);
    if (change->is_delete) {
        struct mvcc_kv kv = {.key = change->kv.key, .mod_revision = change->revision};
        buf_put_pb_varint(buf, 1, 1); /* DELETE; PUT is 0 */
        range_put_kv(buf, 2, &kv, false);
    } else {
        range_put_kv(buf, 2, &change->kv, keys_only);
    }
}

static void write_row(struct range *range, const struct mvcc_kv *kv, struct buf *out_body)
{
    ASSERT(range->request.limit <= 0 || range->written < range->request.limit);
    range_put_kv(out_body, 2, kv, range->request.keys_only);
    range->written++;
}

/* The rest of the interval is what the client will ask for next. */
static void leave_count(struct range *range)
{
    struct range_memo_key rest = {.key = buf_slice(&range->next_page), .range_end = range->request.range_end, .revision = range->revision};
    ASSERT(range->memo != NULL && range->is_counted && !range->has_filter);
    range_memo_put(range->memo, &rest, range->count - range->written + MUTANT(D63));
}

static enum range_progress finish(struct range *range, struct buf *out_body)
{
    ASSERT(range->is_counted);
    bool is_more = !range->request.count_only && range->matched > range->written;
    ASSERT(range->count >= range->written);
    if (is_more) buf_put_pb_varint(out_body, 3, 1);
    if (is_more && range->next_page.size > 0) leave_count(range);
    if (MUTANT(D64) && range->has_filter) range->count = range->matched;
    if (range->count > 0) buf_put_pb_varint(out_body, 4, (uint64_t)range->count);
    range->phase = RANGE_PHASE_END;
    return RANGE_DONE;
}

/* --- steps ---------------------------------------------------------------------------------------------------------------- */

static bool passes_filter(const struct range_request *request, const struct mvcc_kv *kv)
{
    if (request->min_mod_revision != 0 && kv->mod_revision < request->min_mod_revision) return false;
    if (request->max_mod_revision != 0 && kv->mod_revision > request->max_mod_revision - MUTANT(D66)) return false;
    if (request->min_create_revision != 0 && kv->create_revision < request->min_create_revision) return false;
    return request->max_create_revision == 0 || kv->create_revision <= request->max_create_revision;
}

/* One key needs neither count nor scan: most reads are this. */
static enum range_progress read_single(struct range *range, const struct mvcc_view *view, struct buf *out_body)
{
    struct mvcc_kv kv;
    ASSERT(range->interval.is_single && range->count == 0);
    range->is_counted = true;
    if (mvcc_get(view, range->request.key, range->revision, &kv)) {
        range->count = 1;
        if (!range->request.count_only && passes_filter(&range->request, &kv)) {
            range->matched = 1;
            write_row(range, &kv, out_body);
        }
    }
    return finish(range, out_body);
}

static void put_key_behind(struct buf *buf, struct slice key)
{
    buf_clear(buf);
    buf_put_slice(buf, key);
    buf_put_u8(buf, 0);
}

static void set_resume(struct range *range, struct slice key)
{
    put_key_behind(&range->resume, key);
    range->left.key = buf_slice(&range->resume);
    ASSERT(!range->left.is_single);
}

static bool has_room(const struct range *range)
{
    return !range->request.count_only && (range->request.limit <= 0 || range->written < range->request.limit);
}

/* Without filters the count says how many rows there are to write, so that a full page needs no look beyond it. */
static bool scan_is_complete(const struct range *range)
{
    if (!range->is_counted) return false;
    if (range->has_filter) return range->request.limit > 0 && range->matched > range->request.limit;
    ASSERT(range->written <= range->count);
    return range->written == range->count || (range->request.limit > 0 && range->written == range->request.limit);
}

/* At the end of a scan that may have had to count. */
static void settle_count(struct range *range)
{
    if (!range->is_counted) range->count = range->seen;
    range->is_counted = true;
    ASSERT(range->written <= range->count && range->matched <= range->count);
}

static enum range_progress scan(struct range *range, const struct mvcc_view *view, size_t size_max, size_t rows_max,
                                struct buf *out_body)
{
    struct mvcc_scan scan;
    struct mvcc_kv kv = {.key = slice_empty()};
    size_t rows = 0;
    bool is_end = scan_is_complete(range);
    if (!is_end) mvcc_scan_init(&scan, view, &range->left, MUTANT(P32B) ? 0 : range->revision);
    while (!is_end && rows < rows_max && !(rows > 0 && BUGGIFY(RANGE_ONE)) && (rows == 0 || !has_room(range) || out_body->size < size_max)) {
        is_end = !mvcc_scan_next(&scan, &kv);
        if (is_end) break;
        rows++;
        range->seen++;
        if (!passes_filter(&range->request, &kv)) continue;
        range->matched++;
        if (has_room(range)) {
            write_row(range, &kv, out_body);
            bool is_last = range->written == range->request.limit;
            if (is_last && range->memo != NULL && !range->has_filter) put_key_behind(&range->next_page, kv.key);
        }
        is_end = scan_is_complete(range);
    }
    if (!is_end) {
        set_resume(range, kv.key);
        return RANGE_MORE;
    }
    settle_count(range);
    if (!range->has_filter) range->matched = range->count;
    return finish(range, out_body);
}

/* The sort gets no more rows. */
static bool is_cut(const struct range *range) { return range->is_cut_first && range->matched > range->request.limit; }

/* False: more memory than the caller gives. */
static bool gather(struct range *range, const struct mvcc_view *view, size_t rows_max)
{
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    ASSERT(range->phase == RANGE_PHASE_GATHER && rows_max > 0);
    mvcc_scan_init(&scan, view, &range->left, range->revision);
    for (size_t rows = 0; rows < rows_max; rows++) {
        if (!mvcc_scan_next(&scan, &kv)) {
            settle_count(range);
            range->phase = RANGE_PHASE_SORT;
            return true;
        }
        range->seen++;
        if (!is_cut(range) && passes_filter(&range->request, &kv)) {
            range->matched++;
            range_sort_add(&range->sort, &kv);
            if (range->sort.bytes > range->gather_bytes_max) return false;
        }
        if (is_cut(range) && range->is_counted) {
            range->phase = RANGE_PHASE_SORT;
            return true;
        }
        if (rows + 1 == rows_max) set_resume(range, kv.key);
    }
    return true;
}

static enum range_progress write_sorted(struct range *range, const struct mvcc_view *view, size_t size_max,
                                        size_t rows_max, struct buf *out_body)
{
    for (size_t rows = 0; rows < rows_max && (rows == 0 || out_body->size < size_max); rows++) {
        struct slice key;
        struct mvcc_kv kv;
        if (!range_sort_next(&range->sort, &key)) return finish(range, out_body);
        bool is_found = mvcc_get(view, key, range->revision, &kv);
        ASSERT(is_found); /* the revision is pinned, or the view is the same */
        write_row(range, &kv, out_body);
    }
    return RANGE_MORE;
}

static void start(struct range *range, const struct mvcc_view *view)
{
    const struct range_request *request = &range->request;
    range->header_revision = mvcc_view_revision(view);
    range->revision = request->revision > 0 ? request->revision : range->header_revision;
    ASSERT(range->header_revision > 0 && range->revision <= range->header_revision);
    range->count = range->seen = range->matched = range->written = 0;
    range->is_counted = false;
    buf_clear(&range->next_page);
    range->left = range->interval;
    range_sort_deinit(&range->sort);
    if (range->is_sorted)
        range_sort_init(&range->sort, request->sort_target, request->sort_order == RANGE_SORT_DESCEND,
                        request->limit > 0 ? (size_t)request->limit : SIZE_MAX);
    range->phase = range->is_sorted && !request->count_only ? RANGE_PHASE_GATHER : RANGE_PHASE_SCAN;
}

static bool take_count(struct range *range, const struct mvcc_view *view, size_t rows_max)
{
    struct range_memo_key whole = {.key = range->request.key, .range_end = range->request.range_end, .revision = range->revision};
    ASSERT(!range->interval.is_single);
    if (range->memo != NULL && range_memo_get(range->memo, &whole, &range->count)) return true;
    return mvcc_count_quickly(view, &range->interval, range->revision, rows_max, &range->count);
}

/* Goes on with the phases until one asks for another step. */
static enum range_progress go_on(struct range *range, const struct mvcc_view *view, size_t size_max, size_t rows_max,
                                 struct buf *out_body, enum err *out_err)
{
    if (range->phase == RANGE_PHASE_SCAN) return scan(range, view, size_max, rows_max, out_body);
    if (range->phase == RANGE_PHASE_GATHER) {
        if (!gather(range, view, rows_max)) {
            *out_err = ERR_TOO_MANY_REQUESTS;
            return RANGE_FAILED;
        }
        if (range->phase == RANGE_PHASE_GATHER) return RANGE_MORE;
    }
    if (range->phase == RANGE_PHASE_SORT) {
        if (!range_sort_step(&range->sort, rows_max)) return RANGE_MORE;
        range->phase = RANGE_PHASE_SORTED;
    }
    ASSERT(range->phase == RANGE_PHASE_SORTED);
    return write_sorted(range, view, size_max, rows_max, out_body);
}

/* Keeps the revision for the steps to come. */
static enum range_progress pin(struct range *range, size_t size_before, struct buf *out_body, enum err *out_err)
{
    bool is_compacted = false;
    ASSERT(range->mvcc != NULL && range->pin < 0);
    if (MUTANT(D60)) return RANGE_MORE;
    if (range->request.revision <= 0 && BUGGIFY(BEGIN_ANEW)) is_compacted = true;
    else range->pin = mvcc_pin(range->mvcc, range->revision, &is_compacted);
    if (range->pin >= 0) return RANGE_MORE;
    if (is_compacted && range->request.revision <= 0) {
        if (!MUTANT(D62)) out_body->size = size_before;
        range->phase = RANGE_PHASE_START;
        return RANGE_MORE;
    }
    *out_err = is_compacted ? ERR_COMPACTED : ERR_TOO_MANY_REQUESTS;
    return RANGE_FAILED;
}

enum range_progress range_step(struct range *range, const struct mvcc_view *view, size_t bytes_max, size_t rows_max,
                               struct buf *out_body, enum err *out_err)
{
    ASSERT(range->phase != RANGE_PHASE_END && rows_max > 0);
    size_t size_before = out_body->size;
    size_t size_max = bytes_max > SIZE_MAX - size_before ? SIZE_MAX : size_before + bytes_max;
    bool is_first = range->phase == RANGE_PHASE_START;
    if (is_first) {
        enum err err = range->is_kept ? ERR_OK : mvcc_view_check(view, range->request.revision);
        if (err != ERR_OK) {
            *out_err = err;
            return RANGE_FAILED;
        }
        start(range, view);
        if (range->interval.is_single) return read_single(range, view, out_body);
        range->is_counted = take_count(range, view, rows_max);
        if (range->is_counted && (range->request.count_only || range->count == 0)) return finish(range, out_body);
    }
    if (!is_first && !range->is_kept && mvcc_view_check_pinned(view, range->revision) != ERR_OK) {
        /* A leader's snapshot took the store's place. Who asked for "now" asked for no revision: it may simply ask again. */
        *out_err = range->request.revision > 0 ? ERR_COMPACTED : ERR_LEADER_CHANGED;
        return RANGE_FAILED;
    }
    enum range_progress progress = go_on(range, view, size_max, rows_max, out_body, out_err);
    if (progress == RANGE_MORE && is_first && range->mvcc != NULL) return pin(range, size_before, out_body, out_err);
    return progress;
}
