/* Is every watcher told exactly the history that it asked for, whatever streams are slow, whatever is compacted, whoever comes and goes? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/rcu_double.h"
#include "watch/watch.h"
#include "watch/watch_request.h"

#define KEYS 6
#define CHANGES_MAX 20000
#define STREAMS 6
#define WATCHERS_MAX 64

struct change { /* of the model: all that was ever written */
    int64_t revision;
    int key;
    bool is_delete;
    int64_t value, prev; /* a value is its revision; prev 0 = there was none */
};
struct model_watcher {
    int64_t id, next; /* revisions below it were told, or are not wanted */
    size_t place;     /* of the next change to look at */
    int low, high;    /* keys [low, high) */
    bool no_put, no_delete, prev_kv, fragment, is_gone, is_created, is_doomed, is_cancelling;
};
struct model_stream {
    struct watch_stream *stream;
    bool is_sending;
    struct model_watcher watchers[WATCHERS_MAX];
    size_t count;
    int progress_asked, progress_told;
};

static struct rig {
    struct rcu_double rcu;
    struct mvcc *mvcc;
    struct watch *watch;
    struct rng rng;
    struct change *changes;
    size_t change_count;
    int64_t values[KEYS]; /* now; 0 = not there */
    struct model_stream streams[STREAMS];
    bool is_holding;
    int pin;
    int64_t pin_revision;
    uint64_t events, compacted, fragments, shared;
    struct watch_options options;
} *rig;

static const struct mvcc_view *view_now(void) { return mvcc_view(rig->mvcc); }
static uint64_t below(uint64_t limit) { return rng_below(&rig->rng, limit); }

static void rig_make(uint64_t seed, bool is_holding, uint64_t hold_bytes)
{
    rig = ALLOC(struct rig);
    rcu_double_init(&rig->rcu);
    rig->mvcc = mvcc_new(&(struct mvcc_options){.rcu = &rig->rcu.rcu});
    rng_init(&rig->rng, seed);
    rig->changes = alloc_zero(CHANGES_MAX, sizeof(struct change));
    rig->is_holding = is_holding;
    rig->pin = -1;
    rig->options = (struct watch_options){.cluster_id = 1, .member_id = 2, .watchers_max = 1000, .key_bytes_max = 100000,
                                          .fragment_bytes = 150, .message_bytes_max = 1 << 20, .progress_ns = NS_PER_S, .hold_bytes_max = hold_bytes, .seed = seed};
    rig->watch = watch_new(&rig->options, view_now());
}

static void rig_free(void)
{
    watch_free(rig->watch);
    if (rig->pin >= 0) mvcc_unpin(rig->mvcc, rig->pin);
    rcu_double_pass(&rig->rcu, UINT64_MAX);
    mvcc_free(rig->mvcc);
    rcu_double_pass(&rig->rcu, UINT64_MAX);
    alloc_free(rig->changes);
    alloc_free(rig);
}

/* --- the store and its model --- */

static void note_change(int key, bool is_delete, int64_t revision, int64_t prev)
{
    ck_assert_uint_lt(rig->change_count, CHANGES_MAX);
    rig->changes[rig->change_count++] = (struct change){.revision = revision, .key = key, .is_delete = is_delete,
                                                        .value = revision, .prev = prev};
}

static struct slice key_slice(const uint8_t *byte, int key)
{
    *(uint8_t *)(uintptr_t)byte = (uint8_t)('a' + key);
    return slice_make(byte, 1);
}

static void write_puts(void)
{
    int64_t revision = mvcc_view_revision(mvcc_writer_view(rig->mvcc)) + 1;
    mvcc_begin(rig->mvcc);
    uint8_t byte;
    for (int key = 0; key < KEYS; key++) {
        if (below(3) != 0 && !(key == KEYS - 1)) continue;
        mvcc_put(rig->mvcc, key_slice(&byte, key), slice_make(&revision, sizeof(revision)), 0);
        note_change(key, false, revision, rig->values[key]);
        rig->values[key] = revision;
    }
    ck_assert_int_eq(mvcc_commit(rig->mvcc), revision);
    mvcc_publish(rig->mvcc);
}

static void write_delete(void)
{
    int low = (int)below(KEYS), high = low + 1 + (int)below(KEYS);
    int64_t revision = mvcc_view_revision(mvcc_writer_view(rig->mvcc)) + 1;
    uint8_t first, last;
    struct mvcc_range range = mvcc_range_make(key_slice(&first, low), key_slice(&last, high));
    mvcc_begin(rig->mvcc);
    (void)mvcc_delete(rig->mvcc, &range, NULL, NULL);
    for (int key = low; key < high && key < KEYS; key++) {
        if (rig->values[key] == 0) continue;
        note_change(key, true, revision, rig->values[key]);
        rig->values[key] = 0;
    }
    (void)mvcc_commit(rig->mvcc);
    mvcc_publish(rig->mvcc);
}

static void compact(void)
{
    int64_t from = mvcc_view_compact_revision(view_now()), to = mvcc_view_revision(view_now());
    if (from >= to) return;
    int64_t revision = below(3) == 0 ? to : from + 1 + (int64_t)below((uint64_t)(to - from));
    ck_assert_int_eq(mvcc_compact(rig->mvcc, revision), ERR_OK);
    mvcc_publish(rig->mvcc);
}

static void free_some(void)
{
    (void)mvcc_compact_step(rig->mvcc, 1 + below(50));
    mvcc_publish(rig->mvcc);
    rcu_double_pass(&rig->rcu, UINT64_MAX);
    (void)mvcc_reclaim_step(rig->mvcc, 100);
}

/* As the role does it at the end of a step. */
static void hold(void)
{
    bool is_compacted;
    int64_t revision = watch_hold_revision(rig->watch);
    if (!rig->is_holding) return;
    if (rig->pin >= 0 && revision >= rig->pin_revision) {
        mvcc_move_pin(rig->mvcc, rig->pin, revision);
        rig->pin_revision = revision;
        return;
    }
    int64_t mark = mvcc_view_compact_revision(view_now());
    if (revision < mark) revision = mark;
    if (rig->pin >= 0 && revision >= rig->pin_revision) return;
    int pin = mvcc_pin(rig->mvcc, revision, &is_compacted);
    if (pin < 0) return;
    if (rig->pin >= 0) mvcc_unpin(rig->mvcc, rig->pin);
    rig->pin = pin;
    rig->pin_revision = revision;
}

/* --- streams --- */

static void put_request(struct buf *out, uint32_t field, const struct buf *inner) { buf_put_pb_bytes(out, field, buf_slice(inner)); }

static void request(struct model_stream *stream, uint32_t field, const struct buf *inner)
{
    struct buf message;
    buf_init(&message);
    put_request(&message, field, inner);
    ck_assert_int_eq(watch_request(rig->watch, stream->stream, buf_slice(&message), view_now(), 0), ERR_OK);
    buf_deinit(&message);
}

static size_t place_of(int64_t revision)
{
    size_t low = 0, high = rig->change_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rig->changes[middle].revision < revision) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void create(struct model_stream *stream)
{
    if (stream->count == WATCHERS_MAX) return;
    int64_t revision = mvcc_view_revision(view_now()), start = 0;
    struct model_watcher *watcher = &stream->watchers[stream->count];
    int low = (int)below(KEYS), high = low + (below(2) == 0 ? 1 : 1 + (int)below(KEYS));
    *watcher = (struct model_watcher){.id = (int64_t)stream->count++, .low = low, .high = high, .no_put = below(5) == 0, .no_delete = below(5) == 0,
                                      .prev_kv = below(2) == 0, .fragment = below(3) == 0};
    if (below(2) == 0) start = 1 + (int64_t)below((uint64_t)revision + 5);
    watcher->next = start > 0 ? start : revision + 1;
    watcher->place = place_of(watcher->next);
    watcher->is_doomed = watcher->next < mvcc_view_compact_revision(view_now());
    struct buf body;
    uint8_t first, last;
    buf_init(&body);
    buf_put_pb_bytes(&body, 1, key_slice(&first, low));
    if (high > low + 1 || below(4) == 0) buf_put_pb_bytes(&body, 2, key_slice(&last, high));
    if (start > 0) buf_put_pb_varint(&body, 3, (uint64_t)start);
    if (watcher->no_put) buf_put_pb_varint(&body, 5, 0);
    if (watcher->no_delete) buf_put_pb_varint(&body, 5, 1);
    if (watcher->prev_kv) buf_put_pb_varint(&body, 6, 1);
    if (watcher->fragment) buf_put_pb_varint(&body, 8, 1);
    request(stream, 1, &body);
    buf_deinit(&body);
    hold();
}

static void cancel(struct model_stream *stream, struct model_watcher *watcher)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)watcher->id);
    request(stream, 2, &body);
    buf_deinit(&body);
    if (!watcher->is_gone) watcher->is_cancelling = true;
}

static void cancel_one(struct model_stream *stream)
{
    if (stream->count > 0) cancel(stream, &stream->watchers[below(stream->count)]);
}

static void ask_progress(struct model_stream *stream)
{
    struct buf body;
    buf_init(&body);
    request(stream, 3, &body);
    buf_deinit(&body);
    stream->progress_asked++;
}

/* --- what is told --- */

static bool is_wanted(const struct model_watcher *watcher, const struct change *change)
{
    return change->revision >= watcher->next && change->key >= watcher->low && change->key < watcher->high &&
           !(change->is_delete ? watcher->no_delete : watcher->no_put);
}

static const struct change *next_change(struct model_watcher *watcher)
{
    while (watcher->place < rig->change_count && !is_wanted(watcher, &rig->changes[watcher->place])) watcher->place++;
    return watcher->place < rig->change_count ? &rig->changes[watcher->place] : NULL;
}

static int64_t value_of(const Mvccpb__KeyValue *kv)
{
    int64_t value;
    ck_assert_uint_eq(kv->value.len, sizeof(value));
    memcpy(&value, kv->value.data, sizeof(value));
    return value;
}

static void check_event(struct model_watcher *watcher, const Mvccpb__Event *event)
{
    const struct change *change = next_change(watcher);
    ck_assert_ptr_nonnull(change);
    ck_assert_int_eq(event->kv->mod_revision, change->revision);
    ck_assert_int_eq(event->kv->key.data[0], 'a' + change->key);
    ck_assert_int_eq(event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE, change->is_delete);
    ck_assert_int_eq(event->kv->create_revision == event->kv->mod_revision, !change->is_delete && change->prev == 0);
    if (!change->is_delete) ck_assert_int_eq(value_of(event->kv), change->value);
    bool may_have = watcher->prev_kv && change->prev != 0;
    bool is_past = change->revision - 1 < mvcc_view_compact_revision(view_now());
    if (!may_have) ck_assert_ptr_null(event->prev_kv);
    if (may_have && !is_past) ck_assert_ptr_nonnull(event->prev_kv);
    if (event->prev_kv != NULL) ck_assert_int_eq(value_of(event->prev_kv), change->prev);
    watcher->place++;
    rig->events++;
}

static void check_events(struct model_watcher *watcher, const Etcdserverpb__WatchResponse *response)
{
    ck_assert(watcher->is_created && !watcher->is_gone && !watcher->is_doomed && !response->created && !response->canceled);
    for (size_t i = 0; i < response->n_events; i++) check_event(watcher, response->events[i]);
    int64_t last = response->events[response->n_events - 1]->kv->mod_revision;
    const struct change *after = next_change(watcher);
    ck_assert(watcher->fragment || !response->fragment);
    /* Whole revisions, unless more of this one follows. */
    ck_assert_int_eq(response->fragment, after != NULL && after->revision == last);
    ck_assert_int_ge(response->header->revision, last);
    rig->fragments += response->fragment != 0;
}

static void check_cancel(struct model_watcher *watcher, const Etcdserverpb__WatchResponse *response)
{
    ck_assert(watcher->is_created && !watcher->is_gone);
    watcher->is_gone = true;
    if (response->compact_revision == 0) {
        ck_assert(watcher->is_cancelling);
        return;
    }
    ck_assert_int_eq(response->compact_revision, mvcc_view_compact_revision(view_now()));
    ck_assert_int_lt(watcher->next, response->compact_revision);
    if (rig->is_holding && rig->options.hold_bytes_max > UINT32_MAX) ck_assert(watcher->is_doomed);
    rig->compacted++;
}

static void check_progress(struct model_stream *stream, int64_t revision)
{
    stream->progress_told++;
    ck_assert_int_le(stream->progress_told, stream->progress_asked);
    for (size_t i = 0; i < stream->count; i++) {
        struct model_watcher *watcher = &stream->watchers[i];
        if (watcher->is_gone || watcher->is_cancelling) continue;
        const struct change *next = next_change(watcher);
        ck_assert(next == NULL || next->revision > revision);
        ck_assert_int_le(watcher->next, revision + 1);
    }
}

static void take_frame(const struct watch_frame *frame)
{
    struct model_stream *stream = &rig->streams[frame->name];
    struct slice rest = blob_slice(frame->events);
    struct buf bytes;
    buf_init(&bytes);
    buf_put_slice(&bytes, frame->head);
    buf_put_slice(&bytes, rest);
    blob_unref(frame->events);
    Etcdserverpb__WatchResponse *response = etcdserverpb__watch_response__unpack(NULL, bytes.size, buf_slice(&bytes).data);
    ck_assert_ptr_nonnull(response);
    ck_assert(frame->stream == stream->stream && !stream->is_sending);
    stream->is_sending = true;
    if (response->watch_id == -1) {
        check_progress(stream, response->header->revision);
    } else {
        struct model_watcher *watcher = &stream->watchers[response->watch_id];
        ck_assert_int_lt(response->watch_id, (int64_t)stream->count);
        if (response->created) ck_assert(!watcher->is_created);
        if (response->created) watcher->is_created = true;
        else if (response->canceled) check_cancel(watcher, response);
        else check_events(watcher, response);
    }
    etcdserverpb__watch_response__free_unpacked(response, NULL);
    buf_deinit(&bytes);
}

static bool turn(size_t step_budget, size_t frame_budget)
{
    int64_t floor = mvcc_view_compact_revision(view_now());
    if (rig->pin >= 0 && rig->pin_revision < floor) floor = rig->pin_revision;
    bool has_more = watch_step(rig->watch, view_now(), floor, step_budget, 0);
    struct watch_frame frame;
    while (watch_next(rig->watch, view_now(), 1, &frame_budget, &frame)) take_frame(&frame);
    hold();
    return has_more || frame_budget == 0;
}

static void toggle(size_t number)
{
    struct model_stream *stream = &rig->streams[number];
    if (stream->stream == NULL) {
        stream->stream = watch_open(rig->watch, number, slice_from_string("10.0.0.7:4242"));
    } else if (below(4) == 0) {
        watch_close(rig->watch, stream->stream);
        memset(stream, 0, sizeof(*stream));
    }
}

static void take_sent(struct model_stream *stream)
{
    if (!stream->is_sending) return;
    stream->is_sending = false;
    watch_sent(rig->watch, stream->stream);
}

static void random_act(void)
{
    struct model_stream *stream = &rig->streams[below(STREAMS)];
    uint64_t what = below(100);
    if (what < 25) write_puts();
    else if (what < 33) write_delete();
    else if (what < 35) compact();
    else if (what < 45) free_some();
    else if (what < 70) (void)turn(1 + below(20), 1 + below(40));
    else if (what < 72) toggle((size_t)(stream - rig->streams));
    else if (stream->stream == NULL) return;
    else if (what < 76) create(stream);
    else if (what < 77) cancel_one(stream);
    else if (what < 80) ask_progress(stream);
    else if (stream != &rig->streams[0] || below(30) == 0) take_sent(stream); /* the first one is slow */
}

/* Everything that is owed is told; nobody is forgotten. */
static void settle(void)
{
    bool has_more = true;
    for (int round = 0; has_more || round < 3; round++) {
        for (size_t i = 0; i < STREAMS; i++) {
            if (rig->streams[i].is_sending) has_more = true;
            take_sent(&rig->streams[i]);
        }
        has_more = turn(1000, 1000);
        for (size_t i = 0; i < STREAMS; i++) has_more = has_more || rig->streams[i].is_sending;
        ck_assert_int_lt(round, 100000);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        for (size_t k = 0; k < rig->streams[i].count; k++) {
            struct model_watcher *watcher = &rig->streams[i].watchers[k];
            ck_assert(watcher->is_created && watcher->is_cancelling <= watcher->is_gone && watcher->is_doomed <= watcher->is_gone);
            if (!watcher->is_gone) ck_assert_ptr_null(next_change(watcher));
        }
    }
}

static uint64_t run_model(uint64_t seed, bool is_holding, uint64_t hold_bytes)
{
    rig_make(seed, is_holding, hold_bytes);
    for (int act = 0; act < 3000; act++) random_act();
    settle();
    struct watch_stats stats;
    watch_get_stats(rig->watch, &stats);
    ck_assert_uint_eq(stats.behind, 0);
    ck_assert_uint_eq(stats.events, rig->events);
    ck_assert_uint_gt(rig->events, 100);
    uint64_t compacted = rig->compacted;
    rig_free();
    return compacted;
}

START_TEST(test_watch_tells_each_watcher_the_history_it_asked_for)
{
    uint64_t compacted = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) compacted += run_model(seed, true, UINT64_C(1) << 40);
    ck_assert_uint_gt(compacted, 0); /* who began in what was compacted */
}
END_TEST

START_TEST(test_watch_cancels_whom_compaction_overtakes)
{
    uint64_t compacted = 0;
    for (uint64_t seed = 100; seed < 120; seed++) compacted += run_model(seed, false, 1 << 20);
    for (uint64_t seed = 120; seed < 140; seed++) compacted += run_model(seed, true, 5000);
    ck_assert_uint_gt(compacted, 50);
}
END_TEST

/* --- one thing at a time --- */

static struct model_stream *open_one(size_t number)
{
    rig->streams[number].stream = watch_open(rig->watch, number, slice_from_string("10.0.0.7:4242"));
    return &rig->streams[number];
}

static void create_all_keys(struct model_stream *stream, int64_t start)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_bytes(&body, 1, slice_make("a", 1));
    buf_put_pb_bytes(&body, 2, slice_make("", 1));
    if (start > 0) buf_put_pb_varint(&body, 3, (uint64_t)start);
    stream->watchers[stream->count] = (struct model_watcher){.id = (int64_t)stream->count, .high = KEYS, .place = rig->change_count,
                                                             .next = start > 0 ? start : mvcc_view_revision(view_now()) + 1};
    if (start > 0) stream->watchers[stream->count].place = place_of(start);
    stream->count++;
    request(stream, 1, &body);
    buf_deinit(&body);
}

START_TEST(test_watch_encodes_an_event_once_for_all_who_send_the_same)
{
    rig_make(1, true, 1 << 20);
    for (size_t i = 0; i < STREAMS; i++) {
        struct model_stream *stream = open_one(i);
        for (int k = 0; k < 20; k++) create_all_keys(stream, 0);
    }
    settle();
    write_puts();
    settle();
    struct watch_stats stats;
    watch_get_stats(rig->watch, &stats);
    ck_assert_uint_eq(stats.encoded_events, rig->change_count);
    ck_assert_uint_eq(stats.events, rig->change_count * STREAMS * 20);
    rig_free();
}
END_TEST

START_TEST(test_watch_does_not_ask_a_stream_that_does_not_read_for_more)
{
    rig_make(1, true, 1 << 20);
    struct model_stream *stream = open_one(0);
    for (int i = 0; i < WATCH_ANSWERS_MAX; i++) {
        ck_assert(watch_may_receive(stream->stream));
        stream->count = 0;
        create_all_keys(stream, 0);
    }
    ck_assert(!watch_may_receive(stream->stream));
    rig_free();
}
END_TEST

/* They wait for a watcher whose time has not come; the word that ends it must not wait behind them. */
START_TEST(test_watch_hears_a_cancel_behind_any_number_of_progress_requests)
{
    rig_make(1, true, 1 << 20);
    struct model_stream *stream = open_one(0);
    create_all_keys(stream, 0);
    create_all_keys(stream, 1000);
    settle();
    for (int i = 0; i < 10 * WATCH_ANSWERS_MAX; i++) {
        ck_assert(watch_may_receive(stream->stream));
        ask_progress(stream);
    }
    settle();
    ck_assert(watch_may_receive(stream->stream));
    ck_assert_int_eq(stream->progress_told, 0);
    cancel(stream, &stream->watchers[1]);
    settle();
    ck_assert_int_eq(stream->progress_told, stream->progress_asked);
    rig_free();
}
END_TEST

/* Whether the created response that is next refuses the watcher for want of room. */
static bool is_refused(struct model_stream *stream)
{
    struct watch_frame frame;
    size_t budget = 100;
    ck_assert(watch_next(rig->watch, view_now(), 1, &budget, &frame));
    Etcdserverpb__WatchResponse *response = etcdserverpb__watch_response__unpack(NULL, frame.head.size, frame.head.data);
    bool is_canceled = response->canceled;
    ck_assert(response->created);
    ck_assert_str_eq(response->cancel_reason, is_canceled ? err_text(ERR_TOO_MANY_REQUESTS) : "");
    etcdserverpb__watch_response__free_unpacked(response, NULL);
    watch_sent(rig->watch, stream->stream);
    return is_canceled;
}

START_TEST(test_watch_refuses_watchers_beyond_the_limit)
{
    rig_make(1, true, 1 << 20);
    struct model_stream *stream = open_one(0);
    for (uint32_t i = 0; i <= rig->options.watchers_max; i++) {
        stream->count = 0;
        create_all_keys(stream, 0);
        ck_assert_int_eq(is_refused(stream), i == rig->options.watchers_max);
    }
    rig_free();
}
END_TEST

START_TEST(test_watch_refuses_keys_beyond_the_limit)
{
    enum { KEY_BYTES = 10000 };
    rig_make(1, true, 1 << 20);
    struct model_stream *streams[] = {open_one(0), open_one(1)};
    uint8_t *key = alloc_zero(1, KEY_BYTES);
    size_t room = rig->options.key_bytes_max / KEY_BYTES;
    for (size_t i = 0; i <= room; i++) {
        struct buf body;
        buf_init(&body);
        key[0] = (uint8_t)i;
        buf_put_pb_bytes(&body, 1, slice_make(key, KEY_BYTES));
        request(streams[i % 2], 1, &body);
        ck_assert_int_eq(is_refused(streams[i % 2]), i == room);
        buf_deinit(&body);
    }
    struct watch_stats stats;
    watch_close(rig->watch, streams[0]->stream);
    watch_get_stats(rig->watch, &stats);
    ck_assert_uint_eq(stats.key_bytes, KEY_BYTES * (room / 2));
    streams[0]->stream = NULL;
    alloc_free(key);
    rig_free();
}
END_TEST

START_TEST(test_watch_request_is_read_or_refused)
{
    struct watch_request request;
    ck_assert_int_eq(watch_request_decode(slice_empty(), &request), ERR_OK);
    ck_assert_int_eq(request.kind, WATCH_REQUEST_NONE);
    ck_assert_int_eq(watch_request_decode(slice_make("\x0a\x0b\x0a\x01k\x2a\x02\x00\x01\x38\x05\x40\x01", 13), &request), ERR_OK);
    ck_assert(request.kind == WATCH_REQUEST_CREATE && request.no_put && request.no_delete && request.watch_id == 5 && request.fragment);
    ck_assert_int_eq(watch_request_decode(slice_make("\x1a\x00", 2), &request), ERR_OK);
    ck_assert_int_eq(request.kind, WATCH_REQUEST_PROGRESS);
    ck_assert_int_eq(watch_request_decode(slice_make("\x08\x01", 2), &request), ERR_MALFORMED);
    ck_assert_int_eq(watch_request_decode(slice_make("\x0a\x02\x08\x01", 4), &request), ERR_MALFORMED);
    ck_assert_int_eq(watch_request_decode(slice_make("\x0a\x04\x2a\x02\x00\x80", 6), &request), ERR_MALFORMED);
    ck_assert_int_eq(watch_request_decode(slice_make("\x12\x02\x0a\x00", 4), &request), ERR_MALFORMED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *tcase = tcase_create("watch");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_watch_tells_each_watcher_the_history_it_asked_for);
    tcase_add_test(tcase, test_watch_cancels_whom_compaction_overtakes);
    tcase_add_test(tcase, test_watch_encodes_an_event_once_for_all_who_send_the_same);
    tcase_add_test(tcase, test_watch_does_not_ask_a_stream_that_does_not_read_for_more);
    tcase_add_test(tcase, test_watch_hears_a_cancel_behind_any_number_of_progress_requests);
    tcase_add_test(tcase, test_watch_refuses_watchers_beyond_the_limit);
    tcase_add_test(tcase, test_watch_refuses_keys_beyond_the_limit);
    tcase_add_test(tcase, test_watch_request_is_read_or_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
