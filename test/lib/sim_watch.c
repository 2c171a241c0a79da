/* sim_watch: see sim_watch.h. */
#include "lib/sim_watch.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "lib/sim_bytes.h"
#include "lib/world_watch.h"

#define ASK_AGAIN_NS (300 * NS_PER_MS)

enum shape { SHAPE_KEY, SHAPE_RANGE, SHAPE_PREFIX, SHAPE_FROM, SHAPE_ALL, SHAPES };

static uint32_t below(struct sim_watch *watch, uint64_t limit) { return (uint32_t)tape_below(&watch->tape, limit); }

void sim_watch_init(struct sim_watch *watch, struct world *world, const struct sim_watch_options *options)
{
    memset(watch, 0, sizeof(*watch));
    ASSERT(options->streams <= SIM_WATCH_STREAMS_MAX && options->keys <= KV_HISTORY_KEYS);
    watch->options = *options;
    watch->world = world;
    tape_init(&watch->tape, options->seed ^ UINT64_C(0x9fb21c651e98df25), world_reel(world), TAPE_WATCHES);
}

void sim_watch_deinit(struct sim_watch *watch)
{
    ASSERT(watch->world != NULL);
    watch->world = NULL;
}

/* --- what is asked --- */

static void say(struct sim_watch *watch, struct sim_watch_stream *stream, uint32_t field, const struct buf *body, const struct sim_awaited *awaited)
{
    struct buf message;
    ASSERT(stream->awaited_count < SIM_WATCH_AWAITED);
    buf_init(&message);
    buf_put_pb_bytes(&message, field, buf_slice(body));
    stream->awaited[stream->awaited_count++] = *awaited;
    world_stream_say(watch->world, stream->stream, buf_slice(&message));
    buf_deinit(&message);
}

static bool has_room(const struct sim_watch_stream *stream) { return stream->awaited_count + 2 < SIM_WATCH_AWAITED; }

static void put_interval(struct buf *out, const struct sim_watcher *watcher)
{
    static const char zero[1] = "";
    char prefix[8];
    switch ((enum shape)watcher->shape) {
    case SHAPE_KEY: sim_bytes_put_key(out, 1, watcher->first); break;
    case SHAPE_RANGE:
        sim_bytes_put_key(out, 1, watcher->first);
        sim_bytes_put_key(out, 2, watcher->end);
        break;
    case SHAPE_PREFIX:
        prefix[0] = watcher->first >= SIM_BYTES_PLACES ? 'l' : 'k';
        prefix[1] = (char)('0' + (watcher->first >= SIM_BYTES_PLACES ? watcher->first > SIM_BYTES_PLACES : watcher->first / 10));
        buf_put_pb_bytes(out, 1, slice_make(prefix, 2));
        prefix[1]++;
        buf_put_pb_bytes(out, 2, slice_make(prefix, 2));
        break;
    case SHAPE_FROM:
        sim_bytes_put_key(out, 1, watcher->first);
        buf_put_pb_bytes(out, 2, slice_make(zero, 1));
        break;
    case SHAPE_ALL: buf_put_pb_bytes(out, 2, slice_make(zero, 1)); break; /* an empty key is the first one */
    case SHAPES: break;
    }
}

bool sim_watch_is_interval(const struct sim_watcher *watcher, struct slice key, struct slice end)
{
    struct buf asked;
    struct pb_field field;
    struct slice own[2] = {slice_make("", 1), slice_empty()}; /* an empty key is the first one */
    buf_init(&asked);
    put_interval(&asked, watcher);
    struct reader reader = reader_make(buf_slice(&asked));
    while (reader_pb_field(&reader, &field)) own[field.number - 1] = field.bytes;
    bool is_first = key.size == 0 || slice_equal(key, slice_make("", 1));
    bool is_same = (slice_equal(key, own[0]) || (is_first && slice_equal(own[0], slice_make("", 1)))) && slice_equal(end, own[1]);
    buf_deinit(&asked);
    return is_same;
}

static void create(struct sim_watch *watch, struct sim_watch_stream *stream, uint32_t number)
{
    struct sim_watcher *watcher = &stream->watchers[number];
    struct buf body;
    buf_init(&body);
    watcher->start = watcher->next;
    watcher->id = below(watch, 3) == 0 ? 100 + (int64_t)number : 0;
    watcher->is_inside = watcher->must_be_compacted = false;
    put_interval(&body, watcher);
    if (watcher->start != 0) buf_put_pb_varint(&body, 3, (uint64_t)watcher->start);
    if (watcher->progress) buf_put_pb_varint(&body, 4, 1);
    if (watcher->no_put) buf_put_pb_varint(&body, 5, 0);
    if (watcher->no_delete) buf_put_pb_varint(&body, 5, 1);
    if (watcher->prev_kv) buf_put_pb_varint(&body, 6, 1);
    if (watcher->id != 0) buf_put_pb_varint(&body, 7, (uint64_t)watcher->id);
    if (watcher->fragment) buf_put_pb_varint(&body, 8, 1);
    watcher->state = SIM_WATCHER_ASKED;
    watch->counts.watchers++;
    say(watch, stream, 1, &body, &(struct sim_awaited){.kind = SIM_AWAITED_CREATE, .watcher = number});
    buf_deinit(&body);
}

/* What no server may take: an interval that is empty, or a revision that is none. */
static void create_badly(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    struct buf body;
    buf_init(&body);
    sim_bytes_put_key(&body, 1, 7);
    if (below(watch, 2) == 0) sim_bytes_put_key(&body, 2, 3);
    else buf_put_pb_varint(&body, 3, (uint64_t)INT64_C(-5));
    say(watch, stream, 1, &body, &(struct sim_awaited){.kind = SIM_AWAITED_REFUSAL});
    buf_deinit(&body);
}

static void cancel(struct sim_watch *watch, struct sim_watch_stream *stream, uint32_t number)
{
    struct sim_watcher *watcher = &stream->watchers[number];
    struct buf body;
    buf_init(&body);
    if (watcher->id != 0) buf_put_pb_varint(&body, 1, (uint64_t)watcher->id);
    watcher->state = SIM_WATCHER_LEAVING;
    say(watch, stream, 2, &body, &(struct sim_awaited){.kind = SIM_AWAITED_CANCEL, .watcher = number});
    buf_deinit(&body);
}

static void ask_progress(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    struct buf body;
    buf_init(&body);
    bool has_watcher = false;
    for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) has_watcher = has_watcher || stream->watchers[w].state >= SIM_WATCHER_ASKED;
    if (!has_watcher) stream->progress_is_free = true;
    stream->progress_asked++;
    stream->progress_ns = world_now_ns(watch->world);
    say(watch, stream, 3, &body, &(struct sim_awaited){.kind = SIM_AWAITED_PROGRESS, .is_void = true}); /* without watchers there is no answer */
    buf_deinit(&body);
}

static int64_t newest(const struct sim_watch *watch)
{
    size_t count;
    const struct world_change *changes = world_changes(watch->world, &count);
    return count == 0 ? 1 : changes[count - 1].pair.mod_revision;
}

static void set_prefix(struct sim_watcher *watcher)
{
    uint32_t base = watcher->first >= SIM_BYTES_PLACES ? SIM_BYTES_PLACES : 0, width = base > 0 ? SIM_BYTES_PLACES_OF_NAME : 10;
    watcher->first = base + (watcher->first - base) / width * width;
    watcher->end = watcher->first + width;
}

static void draw_watcher(struct sim_watch *watch, struct sim_watcher *watcher)
{
    uint32_t keys = watch->options.keys, dice;
    int64_t now = newest(watch);
    *watcher = (struct sim_watcher){.state = SIM_WATCHER_WANTED, .shape = below(watch, SHAPES)};
    watcher->first = below(watch, keys);
    watcher->end = watcher->first + 1;
    if (watcher->shape == SHAPE_RANGE) watcher->end = watcher->first + 1 + below(watch, keys - watcher->first);
    if (watcher->shape == SHAPE_PREFIX) set_prefix(watcher);
    if (watcher->shape == SHAPE_ALL) watcher->first = 0;
    if (watcher->shape == SHAPE_FROM || watcher->shape == SHAPE_ALL) watcher->end = KV_HISTORY_KEYS;
    dice = below(watch, 8);
    watcher->no_put = dice == 1 || dice == 3;
    watcher->no_delete = dice == 2 || dice == 3;
    watcher->prev_kv = below(watch, 3) == 0;
    watcher->fragment = below(watch, 3) == 0;
    watcher->progress = below(watch, 3) == 0;
    dice = below(watch, 8);
    if (dice == 2 || dice == 3) watcher->next = 1 + (int64_t)below(watch, (uint64_t)now);      /* anywhere */
    if (dice == 4) watcher->next = now > 10 ? now - (int64_t)below(watch, 10) : now;             /* a moment ago */
    if (dice == 5) watcher->next = now + 1 + (int64_t)below(watch, 20);                          /* later */
    if (dice == 6) watcher->next = 1;
}

/* --- streams --- */

static bool choose_member(struct sim_watch *watch, uint32_t *out_member)
{
    uint32_t member = below(watch, watch->options.members);
    for (uint32_t i = 0; i < watch->options.members; i++) {
        *out_member = (member + i) % watch->options.members;
        if (world_listens(watch->world, *out_member) && !world_is_paused(watch->world, *out_member)) return true;
    }
    return false;
}

static void open_stream(struct sim_watch *watch, struct sim_watch_stream *stream, bool is_over)
{
    uint32_t member;
    if (!choose_member(watch, &member)) return;
    stream->member = member;
    stream->is_slow = !is_over && tape_chance(&watch->tape, watch->options.slow_percent, 100);
    stream->requires_leader = below(watch, 4) == 3;
    stream->is_ending = stream->progress_is_free = false;
    stream->awaited_count = stream->progress_asked = stream->progress_answered = 0;
    stream->progress_ns = 0;
    stream->progress_revision = 0;
    stream->stream = world_stream_open(watch->world, member, WATCH_METHOD_WATCH, stream->requires_leader, stream->is_slow);
    watch->counts.streams++;
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) {
        if (stream->watchers[i].state != SIM_WATCHER_WANTED) continue;
        watch->counts.resumed += stream->watchers[i].next > 0;
        create(watch, stream, i);
        if (has_room(stream) && below(watch, 4) == 3) ask_progress(watch, stream); /* while it catches up */
    }
}

/* What its watchers knew they still know; who was about to leave is gone. */
static void forget_stream(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) {
        struct sim_watcher *watcher = &stream->watchers[i];
        if (watcher->state == SIM_WATCHER_LEAVING || stream->is_ending) watcher->state = SIM_WATCHER_NONE;
        if (watcher->state != SIM_WATCHER_NONE) watcher->state = SIM_WATCHER_WANTED;
    }
    stream->stream = 0;
    stream->next_ns = world_now_ns(watch->world) + tape_below(&watch->tape, watch->options.think_ns + 1);
}

static void take_end(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    enum err err = ERR_OK;
    bool died = false;
    if (!world_stream_is_over(watch->world, stream->stream, &err, &died)) return;
    bool is_good = died || err == ERR_STOPPED || (err == ERR_NO_LEADER && stream->requires_leader) || (err == ERR_OK && stream->is_ending);
    if (!is_good) world_watch_broken(watch->world, "a stream ends for a reason", stream->member, stream->stream, err);
    forget_stream(watch, stream);
}

static void note_heard(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    struct world_view_point point;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stream->awaited_count; i++) {
        struct sim_awaited *awaited = &stream->awaited[i];
        if (!awaited->was_heard && world_stream_heard(watch->world, stream->stream, &point)) {
            awaited->was_heard = true;
            awaited->point = point;
        }
        if (!awaited->was_heard || !awaited->is_void) stream->awaited[kept++] = *awaited;
    }
    stream->awaited_count = kept;
}

static void read_stream(struct sim_watch *watch, struct sim_watch_stream *stream, bool is_over)
{
    struct world_view_point sent;
    struct blob *bytes;
    uint64_t now_ns = world_now_ns(watch->world);
    if (stream->is_slow && !is_over && stream->read_ns > now_ns) return;
    if (stream->is_slow && !is_over) stream->read_ns = now_ns + 1 + tape_below(&watch->tape, watch->options.slow_ns + 1);
    note_heard(watch, stream);
    while ((bytes = world_stream_take(watch->world, stream->stream, &sent)) != NULL) {
        watch->counts.messages++;
        sim_watch_check(watch, stream, blob_slice(bytes), &sent);
        blob_unref(bytes);
        if (stream->is_slow && !is_over) break;
    }
    take_end(watch, stream);
}

static void act(struct sim_watch *watch, struct sim_watch_stream *stream)
{
    uint32_t dice = below(watch, 24), number = below(watch, SIM_WATCH_WATCHERS);
    struct sim_watcher *watcher = &stream->watchers[number];
    if (!has_room(stream) || stream->is_ending) return;
    if (watcher->state == SIM_WATCHER_WANTED) { /* compacted: it goes on from the mark */
        create(watch, stream, number);
    } else if (dice < 12 && watcher->state == SIM_WATCHER_NONE) {
        draw_watcher(watch, watcher);
        create(watch, stream, number);
        if (below(watch, 2) == 1) ask_progress(watch, stream);
    } else if (dice < 14 && watcher->state == SIM_WATCHER_LIVE) {
        cancel(watch, stream, number);
    } else if (dice < 18) {
        ask_progress(watch, stream);
    } else if (dice == 18) {
        create_badly(watch, stream);
    } else if (dice == 19) {
        stream->is_ending = true;
        world_stream_end(watch->world, stream->stream);
    } else if (dice == 20 && below(watch, 2) == 0) { /* it vanishes; nobody reads what still comes */
        world_stream_leave(watch->world, stream->stream);
        watch->counts.left++;
        forget_stream(watch, stream);
    }
}

void sim_watch_step(struct sim_watch *watch, bool is_over)
{
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        struct sim_watch_stream *stream = &watch->streams[i];
        if (stream->stream != 0) read_stream(watch, stream, is_over);
        if (is_over || stream->next_ns > world_now_ns(watch->world)) continue;
        if (stream->stream == 0) open_stream(watch, stream, false);
        else act(watch, stream);
        stream->next_ns = world_now_ns(watch->world) + tape_below(&watch->tape, watch->options.think_ns + 1);
    }
}

/* --- the end --- */

bool sim_watch_settle(struct sim_watch *watch)
{
    bool is_settled = true;
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        struct sim_watch_stream *stream = &watch->streams[i];
        bool has_watchers = false, knows_all = true, asks = world_now_ns(watch->world) < stream->progress_ns + ASK_AGAIN_NS;
        if (stream->stream == 0) open_stream(watch, stream, true);
        if (stream->stream == 0 || stream->is_ending) return false;
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) {
            struct sim_watcher *watcher = &stream->watchers[w];
            if (watcher->state == SIM_WATCHER_WANTED && has_room(stream)) create(watch, stream, w);
            has_watchers = has_watchers || watcher->state == SIM_WATCHER_LIVE;
            knows_all = knows_all && (watcher->state == SIM_WATCHER_NONE || (watcher->state == SIM_WATCHER_LIVE && sim_watch_knows_all(watch, watcher)));
            /* Nobody writes any more: a watch of the future would keep the stream's answer for ever. */
            bool is_early = watcher->state == SIM_WATCHER_LIVE && watcher->start > newest(watch) + 1;
            if (is_early && has_room(stream)) cancel(watch, stream, w);
            knows_all = knows_all && !is_early;
        }
        bool has_said = !has_watchers || stream->progress_revision >= newest(watch);
        if (knows_all && !has_said && !asks && has_room(stream)) ask_progress(watch, stream);
        bool owes = has_watchers && !stream->progress_is_free && stream->progress_answered < stream->progress_asked; /* W7: each is answered */
        is_settled = is_settled && knows_all && has_said && !owes;
    }
    return is_settled;
}

void sim_watch_count_notifications(struct sim_watch *watch)
{
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) watch->streams[i].watchers[w].progress_count = 0;
    }
}

bool sim_watch_all_notified(const struct sim_watch *watch)
{
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) {
            const struct sim_watcher *watcher = &watch->streams[i].watchers[w];
            if (watcher->state == SIM_WATCHER_LIVE && watcher->progress && watcher->progress_count == 0) return false;
        }
    }
    return true;
}

void sim_watch_print(const struct sim_watch *watch)
{
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        const struct sim_watch_stream *stream = &watch->streams[i];
        fprintf(stderr, "stream %" PRIu64 " at m%u: %u answers awaited, progress %u asked %u answered, last at %" PRId64 " of %" PRId64 "\n", stream->stream,
                stream->member, stream->awaited_count, stream->progress_asked, stream->progress_answered, stream->progress_revision, newest(watch));
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) {
            const struct sim_watcher *watcher = &stream->watchers[w];
            if (watcher->state == SIM_WATCHER_NONE) continue;
            bool knows_all = watcher->state == SIM_WATCHER_LIVE && sim_watch_knows_all(watch, watcher);
            fprintf(stderr, "  watcher %" PRId64 ": state %d, keys %u to %u, asked from %" PRId64 ", knows all below %" PRId64 "%s\n", watcher->id, (int)watcher->state,
                    watcher->first, watcher->end, watcher->start, watcher->next, knows_all ? ", all" : "");
        }
    }
}

bool sim_watch_end(struct sim_watch *watch)
{
    bool is_over = true;
    for (uint32_t i = 0; i < watch->options.streams; i++) {
        struct sim_watch_stream *stream = &watch->streams[i];
        if (stream->stream == 0) continue;
        is_over = false;
        if (stream->is_ending) continue;
        stream->is_ending = true;
        world_stream_end(watch->world, stream->stream);
    }
    return is_over;
}
