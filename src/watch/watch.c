/* watch: the face: streams, what their clients ask for, and the frames that they take. See watch.h. */
#include "watch/watch.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mutant.h"
#include "watch/watch_sweep.h"

#define DUPLICATE_ID "mvcc: duplicate watch ID provided on the WatchStream"
#define EMPTY_RANGE "mvcc: watcher range is empty"

/* --- make and free --- */

struct watch *watch_new(const struct watch_options *options, const struct mvcc_view *view)
{
    ASSERT(options->member_id != 0 && options->watchers_max > 0 && options->fragment_bytes > 0 && options->progress_ns > 0);
    ASSERT(options->message_bytes_max > options->fragment_bytes && options->message_bytes_max <= INT32_MAX);
    struct watch *watch = ALLOC(struct watch);
    *watch = (struct watch){.options = *options, .live = mvcc_view_revision(view), .view_revision = mvcc_view_revision(view),
                            .floor = mvcc_view_compact_revision(view)};
    watch_registry_init(&watch->registry, options->secret);
    list_init(&watch->streams);
    list_init(&watch->ready);
    list_init(&watch->waiting);
    list_init(&watch->swept);
    list_init(&watch->notify);
    heap_init(&watch->behind);
    heap_init(&watch->ahead);
    rng_init(&watch->rng, options->seed);
    buf_init(&watch->head);
    buf_init(&watch->events);
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL) return;
    while (!list_is_empty(&watch->streams)) watch_close(watch, LIST_ENTRY(watch->streams.next, struct watch_stream, of_watch));
    ASSERT(watch->stats.watchers == 0 && watch->behind.count == 0 && watch->ahead.count == 0);
    watch_encode_forget(watch);
    watch_list_forget(watch);
    watch_registry_deinit(&watch->registry);
    heap_deinit(&watch->behind);
    heap_deinit(&watch->ahead);
    buf_deinit(&watch->head);
    buf_deinit(&watch->events);
    alloc_free(watch);
}

/* --- streams --- */

struct watch_stream *watch_open(struct watch *watch, uint64_t name, struct slice address)
{
    struct watch_stream *stream = ALLOC(struct watch_stream);
    *stream = (struct watch_stream){.name = name, .address = address};
    list_init(&stream->of_ready);
    list_init(&stream->answers);
    list_init(&stream->line);
    list_push_back(&watch->streams, &stream->of_watch);
    watch->stats.streams++;
    return stream;
}

/* The frame on its way is gone, or its stream is. */
static void frame_left(struct watch *watch, struct watch_stream *stream)
{
    ASSERT(watch->stats.pending_events >= stream->sending_events);
    watch->stats.pending_events -= stream->sending_events;
    stream->sending_events = 0;
}

void watch_close(struct watch *watch, struct watch_stream *stream)
{
    ASSERT(watch->stats.streams > 0);
    struct watch_ids_cursor cursor = {.bucket = 0};
    struct watcher *watcher;
    frame_left(watch, stream);
    while ((watcher = watch_ids_next(watch, &stream->ids, &cursor)) != NULL) watch_state_remove(watch, watcher);
    struct list *node;
    while ((node = list_pop_front(&stream->answers)) != NULL) alloc_free(LIST_ENTRY(node, struct watch_answer, node));
    ASSERT(stream->behind_count == 0 && stream->ahead_count == 0 && stream->ids.count == 0);
    list_remove(&stream->of_ready);
    list_remove(&stream->of_watch);
    alloc_free(stream);
    watch->stats.streams--;
}

bool watch_may_receive(const struct watch_stream *stream)
{
    return stream->answer_count < WATCH_ANSWERS_MAX;
}

void watch_sent(struct watch *watch, struct watch_stream *stream)
{
    ASSERT(stream->is_sending);
    stream->is_sending = false;
    frame_left(watch, stream);
    bool has_words = watch_state_has_words(stream), is_its_turn = stream->turn_bytes < WATCH_TURN_BYTES;
    if (!has_words || !is_its_turn) stream->turn_bytes = 0;
    if (!has_words) return;
    watch_state_ready(watch, stream);
    if (!is_its_turn) return;
    list_remove(&stream->of_ready);
    list_push_front(&watch->ready, &stream->of_ready);
}

/* --- requests --- */

static void answer(struct watch *watch, struct watch_stream *stream, const struct watch_answer *said)
{
    struct watch_answer *waiting = ALLOC(struct watch_answer);
    *waiting = *said;
    list_push_back(&stream->answers, &waiting->node);
    stream->answer_count++;
    watch_state_ready(watch, stream);
}

static void refuse(struct watch *watch, struct watch_stream *stream, const struct mvcc_view *view, const char *reason)
{
    ASSERT(reason != NULL);
    answer(watch, stream, &(struct watch_answer){.watch_id = -1, .revision = mvcc_view_revision(view), .created = true, .canceled = true,
                                                 .reason = reason});
}

/* 0 = the next one that is free. False: it is in use. */
static bool choose_id(const struct watch *watch, struct watch_stream *stream, int64_t asked, int64_t *out_id)
{
    if (asked == 0) {
        while (watch_ids_find(watch, &stream->ids, stream->next_id) != NULL) stream->next_id++;
        *out_id = stream->next_id++;
        return true;
    }
    *out_id = asked;
    return watch_ids_find(watch, &stream->ids, asked) == NULL;
}

static bool is_empty_range(struct slice key, struct slice range_end)
{
    bool is_open = range_end.size == 1 && range_end.data[0] == 0;
    return range_end.size > 0 && !is_open && slice_compare(key, range_end) >= 0;
}

static struct watcher *make_watcher(struct watch *watch, struct watch_stream *stream, const struct watch_request *request, struct slice key,
                                    int64_t id)
{
    struct watcher *watcher = ALLOC(struct watcher);
    *watcher = (struct watcher){.stream = stream, .id = id, .state = WATCHER_LIVE, .prev_kv = request->prev_kv,
                                .fragment = request->fragment, .no_put = request->no_put,
                                .no_delete = request->no_delete};
    watcher->set = watch_registry_join(&watch->registry, key, request->range_end);
    list_init(&watcher->of_set);
    list_init(&watcher->queue);
    heap_node_init(&watcher->by_next);
    watch->stats.watchers++;
    watch_list_join(watch, watcher);
    watch_ids_put(watch, &stream->ids, watcher);
    return watcher;
}

static void create(struct watch *watch, struct watch_stream *stream, const struct watch_request *request, const struct mvcc_view *view,
                   uint64_t now_ns)
{
    static const uint8_t zero = 0;
    struct slice key = request->key.size > 0 ? request->key : slice_make(&zero, 1);
    int64_t revision = mvcc_view_revision(view), id;
    if (is_empty_range(key, request->range_end)) return refuse(watch, stream, view, EMPTY_RANGE);
    if (request->start_revision < 0) return refuse(watch, stream, view, err_text(ERR_COMPACTED));
    size_t key_bytes = watch->registry.key_bytes + key.size + request->range_end.size;
    bool is_full = watch->stats.watchers >= watch->options.watchers_max || key_bytes > watch->options.key_bytes_max;
    if (is_full) return refuse(watch, stream, view, err_text(ERR_TOO_MANY_REQUESTS));
    if (!choose_id(watch, stream, request->watch_id, &id)) return refuse(watch, stream, view, DUPLICATE_ID);
    answer(watch, stream, &(struct watch_answer){.watch_id = id, .revision = revision, .created = true});
    struct watcher *watcher = make_watcher(watch, stream, request, key, id);
    watcher->born_s = (uint32_t)(now_ns / NS_PER_S);
    watcher->next = request->start_revision > 0 ? request->start_revision : revision + 1;
    if (MUTANT(D80)) watcher->next++;
    if (MUTANT(P31C) && watcher->next > revision + 1) watcher->next = revision + 1;
    if (MUTANT(D83) && watcher->next < mvcc_view_compact_revision(view)) watcher->next = mvcc_view_compact_revision(view);
    if (request->progress_notify) watch_sweep_notify(watch, watcher, now_ns);
    if (watcher->next < mvcc_view_compact_revision(view) + MUTANT(D90)) watch_state_compacted(watch, watcher);
    else if (watcher->next <= watch->live) watch_state_wait(watch, watcher);
    else watch_state_live(watch, watcher);
}

bool watch_cancel(struct watch *watch, struct watch_stream *stream, int64_t id, const struct mvcc_view *view, const char *reason)
{
    struct watcher *watcher = watch_ids_find(watch, &stream->ids, id);
    if (watcher == NULL) return false;
    watch_state_remove(watch, watcher);
    answer(watch, stream, &(struct watch_answer){.watch_id = id, .revision = mvcc_view_revision(view), .canceled = true, .reason = reason});
    return true;
}

enum err watch_request(struct watch *watch, struct watch_stream *stream, struct slice message, const struct mvcc_view *view, uint64_t now_ns)
{
    struct watch_request request;
    ASSERT(mvcc_view_revision(view) >= watch->live);
    enum err err = watch_request_decode(message, &request);
    if (err != ERR_OK) return err;
    if (request.kind == WATCH_REQUEST_CREATE) create(watch, stream, &request, view, now_ns);
    if (request.kind == WATCH_REQUEST_CANCEL) (void)watch_cancel(watch, stream, request.watch_id, view, NULL);
    bool is_lost = MUTANT(D91) && stream->is_sending;
    /* They are a number only, and the request that lets them be answered may come behind them. */
    if (request.kind == WATCH_REQUEST_PROGRESS && stream->ids.count > 0 && stream->progress_count < UINT32_MAX && !is_lost) {
        stream->progress_count++;
        watch_state_ready(watch, stream);
    }
    return ERR_OK;
}

/* --- frames --- */

static void tell_answer(struct watch *watch, struct watch_stream *stream, uint64_t term)
{
    struct watch_answer *said = LIST_ENTRY(list_pop_front(&stream->answers), struct watch_answer, node);
    ASSERT(stream->answer_count > 0);
    stream->answer_count--;
    watch_encode_head(watch, term, &(struct watch_response){.watch_id = said->watch_id, .revision = said->revision, .created = said->created,
                                                   .canceled = said->canceled, .reason = said->reason});
    alloc_free(said);
}

/* Where the watcher goes on, once its frame holds everything before. */
static void move_on(struct watch *watch, struct watcher *watcher, const struct watch_memo *memo)
{
    watcher->next = memo->next_after;
    watcher->sub = (uint32_t)memo->sub_after;
    if (memo->is_marked_after) watch_state_mark(watch, watcher, memo->next_after);
    else if (watcher->next <= watch->live && !MUTANT(P31B)) watch_state_wait(watch, watcher);
    else watch_state_live(watch, watcher);
}

static void note_told(struct watcher *watcher, uint32_t events, size_t bytes)
{
    ASSERT(events > 0);
    if (watcher->told == NULL) watcher->told = ALLOC(struct watch_told);
    watcher->told->events += events;
    watcher->told->bytes += bytes;
}

static bool tell_events(struct watch *watch, struct watcher *watcher, const struct mvcc_view *view, uint64_t term, size_t *budget,
                        struct watch_frame *frame)
{
    const struct watch_memo *memo = watch_encode_events(watch, watcher, view, budget);
    if (memo->is_too_large) {
        frame->err = ERR_WATCH_TOO_LARGE;
        return true;
    }
    move_on(watch, watcher, memo);
    if (memo->count == 0) return false; /* none passed its filters */
    watch_encode_head(watch, term, &(struct watch_response){.watch_id = watcher->id, .revision = mvcc_view_revision(view), .fragment = memo->is_fragment});
    frame->events = blob_ref(memo->events);
    watcher->was_told = true;
    note_told(watcher, memo->count, watch->head.size + memo->events->size);
    watch->stats.events += memo->count;
    frame->stream->sending_events = frame->event_count = memo->count;
    watch->stats.pending_events += memo->count;
    return true;
}

static void tell_compacted(struct watch *watch, struct watcher *watcher, const struct mvcc_view *view, uint64_t term)
{
    watch_encode_head(watch, term, &(struct watch_response){.watch_id = watcher->id, .canceled = true,
                                                   .compact_revision = MUTANT(D82) ? mvcc_view_revision(view) : mvcc_view_compact_revision(view)});
    watch_state_remove(watch, watcher);
}

/* The head of the stream's line has its turn. False: it had nothing to say after all. */
static bool tell_watcher(struct watch *watch, struct watch_stream *stream, const struct mvcc_view *view, uint64_t term, size_t *budget,
                         struct watch_frame *frame)
{
    struct watcher *watcher = LIST_ENTRY(stream->line.next, struct watcher, queue);
    __builtin_prefetch(watcher->told);
    if (watcher->queue.next != &stream->line) watcher_prefetch(LIST_ENTRY(watcher->queue.next, struct watcher, queue));
    bool is_notify_due = watcher->is_notify_due;
    watcher->is_notify_due = false;
    if (watcher->is_compacted) {
        tell_compacted(watch, watcher, view, term);
        return true;
    }
    if (watcher->state == WATCHER_MARKED) return tell_events(watch, watcher, view, term, budget, frame);
    ASSERT(watcher->state == WATCHER_LIVE);
    list_remove(&watcher->queue);
    if (!is_notify_due || watcher->next > watch->live + 1) return false;
    frame->is_progress = true;
    watch_encode_head(watch, term, &(struct watch_response){.watch_id = watcher->id, .revision = watch->live});
    return true;
}

static bool tell(struct watch *watch, struct watch_stream *stream, const struct mvcc_view *view, uint64_t term, size_t *budget,
                 struct watch_frame *frame)
{
    if (!list_is_empty(&stream->answers)) {
        tell_answer(watch, stream, term);
        frame->is_answer = true;
        return true;
    }
    while (*budget > 0 && !list_is_empty(&stream->line)) {
        if (tell_watcher(watch, stream, view, term, budget, frame)) return true;
    }
    if (!list_is_empty(&stream->line) || !watch_state_has_words(stream)) return false;
    ASSERT(stream->progress_count > 0);
    stream->progress_count--;
    frame->is_progress = true;
    watch_encode_head(watch, term, &(struct watch_response){.watch_id = -1, .revision = watch->live});
    return true;
}

bool watch_next(struct watch *watch, const struct mvcc_view *view, uint64_t term, size_t *budget, struct watch_frame *out_frame)
{
    while (*budget > 0 && !list_is_empty(&watch->ready)) {
        struct watch_stream *stream = LIST_ENTRY(list_pop_front(&watch->ready), struct watch_stream, of_ready);
        *out_frame = (struct watch_frame){.stream = stream, .name = stream->name};
        ASSERT(!stream->is_sending);
        (*budget)--;
        if (!tell(watch, stream, view, term, budget, out_frame)) {
            if (!list_is_empty(&stream->line)) watch_state_ready(watch, stream);
            continue;
        }
        list_remove(&stream->of_ready); /* what was told may have lined somebody up */
        stream->is_sending = true;
        if (out_frame->err != ERR_OK) return true;
        stream->turn_bytes += (uint32_t)(watch->head.size + blob_slice(out_frame->events).size);
        out_frame->head = buf_slice(&watch->head);
        watch->stats.frames++;
        return true;
    }
    return false;
}

uint64_t watch_deadline_ns(const struct watch *watch)
{
    if (list_is_empty(&watch->notify)) return CLOCK_NEVER;
    ASSERT(watch->stats.watchers > 0);
    return LIST_ENTRY(watch->notify.next, struct watch_notify, node)->due_ns;
}

/* The newest mark that lies hold_bytes_max behind what is live. */
static int64_t window_revision(const struct watch *watch)
{
    uint32_t count = watch->mark_count < WATCH_MARKS ? watch->mark_count : WATCH_MARKS;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t place = (watch->mark_count - i) % WATCH_MARKS;
        if (watch->bytes - watch->marks[place].bytes >= watch->options.hold_bytes_max) return watch->marks[place].revision;
    }
    return 0;
}

int64_t watch_hold_revision(const struct watch *watch)
{
    const struct heap_node *first = heap_first(&watch->behind);
    int64_t hold = watch->live;
    if (first != NULL && (int64_t)heap_key(&watch->behind, first) - 1 < hold) hold = (int64_t)heap_key(&watch->behind, first) - 1;
    int64_t window = window_revision(watch);
    if (window > hold) hold = window;
    return hold < 1 ? 1 : hold;
}

void watch_get_stats(const struct watch *watch, struct watch_stats *out_stats)
{
    *out_stats = watch->stats;
    out_stats->behind = watch->behind.count;
    out_stats->key_bytes = watch->registry.key_bytes;
    ASSERT(out_stats->behind <= out_stats->watchers);
}
