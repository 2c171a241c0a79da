/* history: see history.h. */
#include "storage/history.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "storage/range.h"

#define TOKEN_BYTES 24

struct history {
    struct history_request request; /* key and range_end point into `keys` */
    struct mvcc *mvcc;
    struct mvcc_range interval;
    bool is_begun;
    int pin;              /* -1 = none */
    int64_t from, to;     /* the window */
    int64_t last;         /* nothing of the interval is in it above this */
    bool has_place;       /* of the last version told, or looked at */
    int64_t revision, sub;
    int64_t told;
    int64_t bytes;        /* told */
    struct buf event;
    uint8_t keys[];
};

/* --- the request ----------------------------------------------------------------------------------------------------------- */

static bool read_token(struct slice bytes, struct history_place *out_place)
{
    struct reader reader = reader_make(bytes);
    out_place->to = (int64_t)reader_u64(&reader);
    out_place->revision = (int64_t)reader_u64(&reader);
    out_place->sub = (int64_t)reader_u64(&reader);
    bool is_good = !reader.bad && bytes.size == TOKEN_BYTES;
    return is_good && out_place->revision > 0 && out_place->sub >= 0 && out_place->sub < INT64_MAX && out_place->revision <= out_place->to;
}

static void put_token(const struct history *history, struct buf *out)
{
    ASSERT(history->has_place && history->revision <= history->to);
    buf_put_varint(out, pb_tag(3, PB_BYTES));
    buf_put_varint(out, TOKEN_BYTES);
    buf_put_u64(out, (uint64_t)history->to);
    buf_put_u64(out, (uint64_t)history->revision);
    buf_put_u64(out, (uint64_t)history->sub);
}

enum err history_parse(struct slice bytes, struct history_request *out_request)
{
    ASSERT(out_request != NULL);
    struct history_request request = {.key = slice_empty()};
    struct slice token = slice_empty();
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        int64_t number = (int64_t)field.value;
        bool is_bytes = field.number <= 2 || field.number == 9;
        switch (field.number) {
        case 1: request.key = field.bytes; break;
        case 2: request.range_end = field.bytes; break;
        case 3: request.from = number; break;
        case 4: request.to = number; break;
        case 5: request.oldest_first = number != 0; break;
        case 6: request.limit = number; break;
        case 7: request.keys_only = number != 0; break;
        case 8: request.serializable = number != 0; break;
        case 9: token = field.bytes; break;
        default: continue;
        }
        is_shaped = is_shaped && field.wire == (is_bytes ? PB_BYTES : PB_VARINT);
    }
    if (reader.bad || !is_shaped) return ERR_MALFORMED;
    request.has_place = token.size > 0;
    if (request.has_place && !read_token(token, &request.place)) return ERR_BAD_PAGE_TOKEN;
    *out_request = request;
    return ERR_OK;
}

enum err history_check(const struct history_request *request)
{
    ASSERT(request != NULL);
    if (request->key.size == 0) return ERR_EMPTY_KEY;
    if (request->from < 0 || request->to < 0) return ERR_COMPACTED;
    if (request->to > 0 && request->from > request->to) return ERR_HISTORY_WINDOW;
    if (!request->has_place) return ERR_OK;
    bool is_inside = request->place.revision >= request->from && (request->to == 0 || request->place.to == request->to);
    return is_inside ? ERR_OK : ERR_BAD_PAGE_TOKEN;
}

struct history *history_new(const struct history_request *request, struct mvcc *mvcc)
{
    ASSERT(history_check(request) == ERR_OK);
    struct history *history = alloc_new(sizeof *history + request->key.size + request->range_end.size);
    *history = (struct history){.request = *request, .mvcc = mvcc, .pin = -1};
    memcpy(history->keys, request->key.data, request->key.size);
    if (request->range_end.size > 0) memcpy(history->keys + request->key.size, request->range_end.data, request->range_end.size);
    history->request.key = slice_make(history->keys, request->key.size);
    history->request.range_end = slice_make(history->keys + request->key.size, request->range_end.size);
    history->interval = mvcc_range_make(history->request.key, history->request.range_end);
    if (request->limit <= 0 || request->limit > HISTORY_LIMIT_MAX) history->request.limit = HISTORY_LIMIT_MAX;
    buf_init(&history->event);
    return history;
}

void history_free(struct history *history)
{
    if (history == NULL) return;
    ASSERT(history->pin < 0 || history->mvcc != NULL);
    if (history->pin >= 0) mvcc_unpin(history->mvcc, history->pin);
    buf_deinit(&history->event);
    alloc_free(history);
}

bool history_is_begun(const struct history *history)
{
    ASSERT(history->request.key.size > 0);
    return history->is_begun;
}

/* --- the walk -------------------------------------------------------------------------------------------------------------- */

/* Where the next change comes from. */
struct walk {
    bool is_of_key, is_forward;
    struct mvcc_versions versions;
    struct mvcc_history changes;
};

static struct walk begin_walk(const struct history *history, const struct mvcc_view *view)
{
    bool is_forward = history->request.oldest_first;
    struct walk walk = {.is_of_key = history->interval.is_single && !is_forward, .is_forward = is_forward};
    int64_t told = history->has_place ? history->sub + 1 : 0; /* of the place's revision */
    if (walk.is_of_key) {
        mvcc_versions_init(&walk.versions, view, history->interval.key, history->from);
        mvcc_versions_pass(&walk.versions, history->has_place ? history->revision : history->last, told);
    } else if (is_forward) {
        mvcc_history_init_at(&walk.changes, view, history->has_place ? history->revision : history->from, told);
    } else {
        mvcc_history_init_back(&walk.changes, view, history->has_place ? history->revision : history->last,
                               history->has_place ? history->sub : INT64_MAX);
    }
    return walk;
}

/* False: the window ends. */
static bool next_change(const struct history *history, struct walk *walk, struct mvcc_change *out_change)
{
    bool is_there = walk->is_of_key ? mvcc_versions_next(&walk->versions, out_change)
                    : walk->is_forward ? mvcc_history_next(&walk->changes, out_change)
                                       : mvcc_history_prev(&walk->changes, out_change);
    return is_there && out_change->revision >= history->from && out_change->revision <= history->last;
}

/* There is nothing to walk along. */
static bool is_empty(const struct history *history)
{
    const struct mvcc_range *interval = &history->interval;
    if (!interval->is_single && !interval->is_open && slice_compare(interval->key, interval->end) >= 0) return true;
    return history->last < history->from || (history->has_place && history->revision < history->from);
}

static void tell(struct history *history, const struct mvcc_change *change, struct buf *out_body)
{
    size_t before = out_body->size;
    buf_clear(&history->event);
    range_put_event(&history->event, change, history->request.keys_only);
    buf_put_pb_bytes(out_body, 2, buf_slice(&history->event));
    history->told++;
    history->bytes += (int64_t)(out_body->size - before);
}

static bool is_full(const struct history *history) { return history->told >= history->request.limit || history->bytes >= HISTORY_PAGE_BYTES; }

static enum history_progress go_on(struct history *history, const struct mvcc_view *view, size_t size_max, size_t looks_max,
                                   struct buf *out_body)
{
    struct mvcc_change change;
    struct walk walk = {.is_forward = false};
    bool is_end = is_empty(history);
    if (!is_end) walk = begin_walk(history, view);
    for (size_t looks = 0; !is_end && looks < looks_max && (looks == 0 || out_body->size < size_max) && !is_full(history); looks++) {
        is_end = !next_change(history, &walk, &change);
        if (is_end) break;
        if (mvcc_range_contains(&history->interval, change.kv.key)) tell(history, &change, out_body);
        history->has_place = true;
        history->revision = change.revision;
        history->sub = change.sub;
    }
    if (!is_end && !is_full(history)) return HISTORY_MORE;
    if (!is_end) put_token(history, out_body);
    int64_t compact_revision = mvcc_view_compact_revision(view);
    if (compact_revision > 0) buf_put_pb_varint(out_body, 4, (uint64_t)compact_revision);
    return HISTORY_DONE;
}

/* --- steps ----------------------------------------------------------------------------------------------------------------- */

/* What lies behind the place, towards the present, is no longer there as a whole. */
static bool is_overtaken(const struct history *history, int64_t compact_revision)
{
    const struct history_request *request = &history->request;
    return request->has_place && request->oldest_first && request->place.revision < compact_revision;
}

/* Of a single key it is known at once: the walk towards the present may end there. */
static int64_t last_of(const struct history *history, const struct mvcc_view *view)
{
    struct mvcc_versions versions;
    struct mvcc_change change;
    if (!history->interval.is_single) return history->to;
    mvcc_versions_init(&versions, view, history->interval.key, history->from);
    mvcc_versions_pass(&versions, history->to, 0);
    return mvcc_versions_next(&versions, &change) ? change.revision : 0;
}

static enum err start(struct history *history, const struct mvcc_view *view)
{
    const struct history_request *request = &history->request;
    int64_t to = request->has_place ? request->place.to : request->to, compact_revision = mvcc_view_compact_revision(view);
    enum err err = mvcc_view_check(view, request->from);
    if (err == ERR_OK) err = mvcc_view_check(view, to);
    if (err == ERR_OK && is_overtaken(history, compact_revision)) err = ERR_COMPACTED;
    if (err != ERR_OK) return err;
    history->from = request->from > 0 ? request->from : compact_revision > 0 ? compact_revision : 1;
    history->to = to > 0 ? to : mvcc_view_revision(view);
    history->last = last_of(history, view);
    history->has_place = request->has_place;
    history->revision = request->place.revision;
    history->sub = request->place.sub;
    history->told = history->bytes = 0;
    history->is_begun = true;
    return ERR_OK;
}

/* Keeps the window for the steps to come. Who asked for what is retained begins anew where that is less by now. */
static enum history_progress pin(struct history *history, size_t size_before, struct buf *out_body, enum err *out_err)
{
    bool is_compacted = false, may_begin_anew = history->request.from == 0;
    ASSERT(history->pin < 0);
    if (may_begin_anew && BUGGIFY(BEGIN_ANEW)) is_compacted = true;
    else history->pin = mvcc_pin(history->mvcc, history->from, &is_compacted);
    if (history->pin >= 0) return HISTORY_MORE;
    if (is_compacted && may_begin_anew) {
        out_body->size = size_before;
        history->is_begun = false;
        return HISTORY_MORE;
    }
    *out_err = is_compacted ? ERR_COMPACTED : ERR_TOO_MANY_REQUESTS;
    return HISTORY_FAILED;
}

enum history_progress history_step(struct history *history, const struct mvcc_view *view, size_t bytes_max, size_t looks_max,
                                   struct buf *out_body, enum err *out_err)
{
    size_t size_before = out_body->size;
    size_t size_max = bytes_max > SIZE_MAX - size_before ? SIZE_MAX : size_before + bytes_max;
    bool is_first = !history->is_begun;
    enum err err = is_first ? start(history, view) : mvcc_view_check_pinned(view, history->from);
    ASSERT(looks_max > 0);
    if (err != ERR_OK) {
        /* A leader's snapshot took the store's place: who named no revision may simply ask again. */
        *out_err = is_first || history->request.from > 0 ? err : ERR_LEADER_CHANGED;
        return HISTORY_FAILED;
    }
    enum history_progress progress = go_on(history, view, size_max, looks_max, out_body);
    if (progress == HISTORY_MORE && is_first && history->mvcc != NULL) return pin(history, size_before, out_body, out_err);
    return progress;
}
