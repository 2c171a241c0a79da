/* watch_state: see watch_inner.h. Every change of a watcher's state goes through here, so that lists, heap and counts agree. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "watch/watch_inner.h"

/* A progress request waits until nobody of the stream is behind and nobody begins above what is live. */
static bool is_in_sync(const struct watch_stream *stream)
{
    bool is_told = stream->behind_count == 0 || MUTANT(P31A);
    return is_told && stream->ahead_count == 0 && stream->ids.count > 0;
}

bool watch_state_has_words(const struct watch_stream *stream)
{
    if (!list_is_empty(&stream->answers) || !list_is_empty(&stream->line)) return true;
    return stream->progress_count > 0 && is_in_sync(stream);
}

void watch_state_ready(struct watch *watch, struct watch_stream *stream)
{
    if (stream->is_sending || !list_is_empty(&stream->of_ready)) return;
    list_push_back(&watch->ready, &stream->of_ready);
    ASSERT(!list_is_empty(&watch->ready));
}

static void leave_ahead(struct watch *watch, struct watcher *watcher)
{
    ASSERT(watcher->stream->ahead_count > 0);
    watcher->stream->ahead_count--;
    heap_remove(&watch->ahead, &watcher->by_next);
}

/* Out of every list that its state has it in, the line included. */
static void detach(struct watch *watch, struct watcher *watcher)
{
    list_remove(&watcher->of_set);
    list_remove(&watcher->queue);
    if (watcher->state == WATCHER_LIVE) {
        if (watcher->by_next.place != HEAP_NONE) leave_ahead(watch, watcher);
        return;
    }
    ASSERT(watcher->stream->behind_count > 0);
    watcher->stream->behind_count--;
    heap_remove(&watch->behind, &watcher->by_next);
}

static void attach_behind(struct watch *watch, struct watcher *watcher, enum watcher_state state)
{
    ASSERT(state != WATCHER_LIVE && watcher->next > 0);
    watcher->state = state;
    watcher->stream->behind_count++;
    heap_push(&watch->behind, &watcher->by_next, (uint64_t)watcher->next);
}

void watch_state_live(struct watch *watch, struct watcher *watcher)
{
    detach(watch, watcher);
    watcher->state = WATCHER_LIVE;
    list_push_back(&watcher->set->watchers, &watcher->of_set);
    if (watcher->next > watch->live + 1) {
        watcher->stream->ahead_count++;
        heap_push(&watch->ahead, &watcher->by_next, (uint64_t)watcher->next);
    }
    if (watcher->stream->progress_count > 0) watch_state_ready(watch, watcher->stream);
}

void watch_state_reach(struct watch *watch)
{
    struct heap_node *node;
    while ((node = heap_first(&watch->ahead)) != NULL && (int64_t)heap_key(&watch->ahead, node) <= watch->live + 1) {
        struct watcher *watcher = LIST_ENTRY(node, struct watcher, by_next);
        ASSERT(watcher->state == WATCHER_LIVE);
        leave_ahead(watch, watcher);
        if (watcher->stream->progress_count > 0) watch_state_ready(watch, watcher->stream);
    }
}

void watch_state_line_up(struct watch *watch, struct watcher *watcher)
{
    list_remove(&watcher->queue);
    list_push_back(&watcher->stream->line, &watcher->queue);
    watch_state_ready(watch, watcher->stream);
}

void watch_state_mark(struct watch *watch, struct watcher *watcher, int64_t revision)
{
    ASSERT(revision >= watcher->next);
    detach(watch, watcher);
    if (revision > watcher->next) watcher->sub = 0;
    watcher->next = revision;
    attach_behind(watch, watcher, WATCHER_MARKED);
    watch_state_line_up(watch, watcher);
}

void watch_state_wait(struct watch *watch, struct watcher *watcher)
{
    detach(watch, watcher);
    attach_behind(watch, watcher, WATCHER_WAITING);
    list_push_back(&watch->waiting, &watcher->queue);
    ASSERT(watcher->sub == 0);
}

void watch_state_sweep(struct watch *watch, struct watcher *watcher)
{
    ASSERT(watcher->state == WATCHER_WAITING);
    detach(watch, watcher);
    attach_behind(watch, watcher, WATCHER_SWEPT);
    list_push_back(&watch->swept, &watcher->queue);
    list_push_front(&watcher->set->watchers, &watcher->of_set);
}

/* It needs no history any more: it leaves the heap when its turn has come and told it. Until then it holds nothing back. */
void watch_state_compacted(struct watch *watch, struct watcher *watcher)
{
    ASSERT(!watcher->is_compacted);
    watcher->is_compacted = true;
    detach(watch, watcher);
    watcher->next = INT64_MAX;
    attach_behind(watch, watcher, WATCHER_MARKED);
    watch_state_line_up(watch, watcher);
    watch->stats.compacted++;
}

void watch_state_remove(struct watch *watch, struct watcher *watcher)
{
    struct watch_stream *stream = watcher->stream;
    detach(watch, watcher);
    if (watcher->has_notify) list_remove(&LIST_ENTRY(watcher->told, struct watch_notify, told)->node);
    alloc_free(watcher->told); /* the notify's first */
    watch_ids_take(watch, &stream->ids, watcher);
    watch_list_leave(watch, watcher);
    watch->stats.watchers--;
    if (stream->ids.count == 0) stream->progress_count = 0;
    if (stream->progress_count > 0) watch_state_ready(watch, stream);
    for (int i = 0; i < WATCH_MEMO_SLOTS; i++) {
        struct watch_memo *memo = &watch->memos[i];
        if (memo->set != watcher->set || watcher->set->watcher_count > 1) continue;
        blob_unref(memo->events);
        *memo = (struct watch_memo){.set = NULL};
    }
    (void)watch_registry_leave(&watch->registry, watcher->set);
    alloc_free(watcher);
}
