/* watch_list: see watch_list.h. */
#include "watch/watch_list.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "watch/watch_inner.h"

/* --- places ------------------------------------------------------------------------------------------------------------------ */

static uint32_t more(uint32_t capacity) { return capacity < 64 ? 64 : capacity + capacity / 2; }

void watch_list_join(struct watch *watch, struct watcher *watcher)
{
    struct watch_places *places = &watch->places;
    if (places->free_count == 0 && places->count == places->capacity) {
        places->capacity = more(places->capacity);
        places->watchers = alloc_resize(places->watchers, places->capacity * sizeof *places->watchers);
    }
    watcher->place = places->free_count > 0 ? places->free[--places->free_count] : places->count++;
    ASSERT(watcher->place < places->count);
    places->watchers[watcher->place] = watcher;
}

void watch_list_leave(struct watch *watch, struct watcher *watcher)
{
    struct watch_places *places = &watch->places;
    ASSERT(places->watchers[watcher->place] == watcher);
    if (places->free_count == places->free_capacity) {
        places->free_capacity = more(places->free_capacity);
        places->free = alloc_resize(places->free, places->free_capacity * sizeof *places->free);
    }
    places->watchers[watcher->place] = NULL;
    places->free[places->free_count++] = watcher->place;
    if (places->free_count == places->count) watch_list_forget(watch);
}

void watch_list_forget(struct watch *watch)
{
    ASSERT(watch->places.free_count == watch->places.count);
    alloc_free(watch->places.watchers);
    alloc_free(watch->places.free);
    watch->places = (struct watch_places){.watchers = NULL};
}

/* --- a page ------------------------------------------------------------------------------------------------------------------ */

struct request {
    struct slice key, range_end; /* no key: all */
    int64_t limit;
    uint64_t place;
};

static bool read_request(struct slice bytes, struct request *out_request)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    ASSERT(out_request != NULL);
    *out_request = (struct request){.key = slice_empty()};
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: out_request->key = field.bytes; break;
        case 2: out_request->range_end = field.bytes; break;
        case 3: out_request->limit = (int64_t)field.value; break;
        case 4: out_request->place = field.value; break;
        default: continue;
        }
        is_shaped = is_shaped && field.wire == (field.number <= 2 ? PB_BYTES : PB_VARINT);
    }
    return is_shaped && !reader.bad;
}

/* Every key of the interval is below `key`. */
static bool ends_before(const struct mvcc_range *range, struct slice key)
{
    if (range->is_open) return false;
    return range->is_single ? slice_compare(range->key, key) < 0 : slice_compare(range->end, key) <= 0;
}

static bool overlaps(const struct mvcc_range *a, const struct mvcc_range *b) { return !ends_before(a, b->key) && !ends_before(b, a->key); }

/* The first revision that it has not been told and may still be. */
static int64_t next_of(const struct watch *watch, const struct watcher *watcher)
{
    int64_t passed = watcher->state == WATCHER_LIVE ? watch->live : watcher->state == WATCHER_SWEPT ? watch->sweep : 0;
    return watcher->next > passed ? watcher->next : passed + 1;
}

static void put_count(struct buf *out, uint32_t field, uint64_t value)
{
    ASSERT(field > 0);
    if (value != 0) buf_put_pb_varint(out, field, value);
}

static void put_key(struct buf *out, uint32_t field, struct slice bytes)
{
    ASSERT(field > 0);
    if (bytes.size > 0) buf_put_pb_bytes(out, field, bytes);
}

/* As the client said it: an interval without end is "\0". */
static struct slice range_end_of(const struct mvcc_range *range) { return range->is_open ? slice_make("", 1) : range->end; }

static void put_watcher(const struct watch *watch, const struct watcher *watcher, int64_t revision, uint64_t now_ns, struct buf *out)
{
    const struct watch_stream *stream = watcher->stream;
    struct mvcc_range range = watch_registry_range(watcher->set);
    int64_t next = next_of(watch, watcher);
    put_count(out, 1, stream->name);
    put_count(out, 2, (uint64_t)watcher->id);
    put_key(out, 3, range.key);
    if (!range.is_single) put_key(out, 4, range_end_of(&range));
    put_count(out, 5, watcher->prev_kv);
    put_count(out, 6, watcher->fragment);
    put_count(out, 7, watcher->has_notify);
    if (watcher->no_put) buf_put_pb_varint(out, 8, 0);
    if (watcher->no_delete) buf_put_pb_varint(out, 8, 1);
    put_count(out, 9, (uint64_t)next);
    put_count(out, 10, next <= revision ? (uint64_t)(revision - next + 1) : 0);
    put_count(out, 11, watcher->told == NULL ? 0 : watcher->told->events);
    put_count(out, 12, watcher->told == NULL ? 0 : watcher->told->bytes);
    put_key(out, 13, stream->address);
    put_count(out, 14, now_ns / NS_PER_S - watcher->born_s);
    put_count(out, 15, stream->is_sending);
}

enum err watch_list_page(const struct watch *watch, struct slice request, const struct mvcc_view *view, uint64_t now_ns, struct buf *out)
{
    struct request asked;
    const struct watch_places *places = &watch->places;
    if (!read_request(request, &asked)) return ERR_MALFORMED;
    int64_t limit = asked.limit <= 0 || asked.limit > WATCH_LIST_LIMIT_MAX ? WATCH_LIST_LIMIT_MAX : asked.limit, told = 0;
    struct mvcc_range interval = mvcc_range_make(asked.key, asked.range_end);
    uint64_t at = asked.place;
    struct buf row;
    buf_init(&row);
    for (size_t looks = 0; at < places->count && looks < WATCH_LIST_LOOKS_MAX && told < limit && out->size < WATCH_LIST_PAGE_BYTES; looks++, at++) {
        const struct watcher *watcher = places->watchers[at];
        if (watcher == NULL || watcher->is_compacted) continue; /* its client is about to be told that it is over */
        struct mvcc_range range = watch_registry_range(watcher->set);
        if (asked.key.size > 0 && !overlaps(&interval, &range)) continue;
        buf_clear(&row);
        put_watcher(watch, watcher, mvcc_view_revision(view), now_ns, &row);
        buf_put_pb_bytes(out, 2, buf_slice(&row));
        told++;
    }
    buf_deinit(&row);
    put_count(out, 3, at < places->count ? at : 0);
    put_count(out, 4, watch->stats.streams);
    put_count(out, 5, watch->stats.watchers);
    put_count(out, 6, watch->behind.count);
    return ERR_OK;
}

/* --- one that is cancelled ---------------------------------------------------------------------------------------------------------------- */

enum err watch_list_parse_cancel(struct slice request, struct watch_list_cancel *out_cancel)
{
    struct reader reader = reader_make(request);
    struct pb_field field;
    bool is_shaped = true;
    ASSERT(out_cancel != NULL);
    *out_cancel = (struct watch_list_cancel){.stream = 0};
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: out_cancel->member_id = field.value; break;
        case 2: out_cancel->stream = field.value; break;
        case 3: out_cancel->watch_id = (int64_t)field.value; break;
        default: continue;
        }
        is_shaped = is_shaped && field.wire == PB_VARINT;
    }
    return is_shaped && !reader.bad ? ERR_OK : ERR_MALFORMED;
}
