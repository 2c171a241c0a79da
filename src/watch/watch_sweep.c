/* watch_sweep: the two walks that mark watchers: along what is new, and through the past with all that are behind. A revision is swept as a
 * whole. What the registry matches is taken out of the set's list, so that a change costs only those whom it newly concerns. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "watch/watch_sweep.h"

struct look {
    struct watch *watch;
    const struct mvcc_change *change;
    bool is_past;
};

static void look_at_set(void *context, struct watch_set *set)
{
    struct look *look = context;
    struct list *list = &set->watchers;
    const struct mvcc_change *change = look->change;
    struct list *next;
    for (struct list *at = look->is_past ? list->next : list->prev; at != list; at = next) {
        next = look->is_past ? at->next : at->prev;
        struct watcher *watcher = LIST_ENTRY(at, struct watcher, of_set);
        if (next != list) watcher_prefetch(LIST_ENTRY(next, struct watcher, of_set));
        if (watcher->state != (look->is_past ? WATCHER_SWEPT : WATCHER_LIVE)) break; /* from here on the others */
        bool is_filtered = change->is_delete ? watcher->no_delete : watcher->no_put;
        if (change->revision >= watcher->next && !is_filtered) watch_state_mark(look->watch, watcher, change->revision);
    }
}

static void note_bytes(struct watch *watch, const struct mvcc_change *change)
{
    watch->bytes += change->kv.key.size + change->kv.value.size + WATCH_CHANGE_BYTES;
    uint64_t step = watch->options.hold_bytes_max / (WATCH_MARKS - 1) + 1;
    uint64_t last = watch->mark_count == 0 ? 0 : watch->marks[(watch->mark_count - 1) % WATCH_MARKS].bytes;
    if (watch->bytes - last < step) return;
    uint32_t place = watch->mark_count++ % WATCH_MARKS;
    watch->marks[place].bytes = watch->bytes;
    watch->marks[place].revision = change->revision;
}

/* Walks the changes of revisions above `from` up to the view's, as the budget has it. The last revision that is done. */
static int64_t walk(struct watch *watch, const struct mvcc_view *view, int64_t from, int64_t to, bool is_past, size_t *budget)
{
    struct mvcc_history history;
    struct mvcc_change change;
    struct look look = {.watch = watch, .change = &change, .is_past = is_past};
    ASSERT(from < to && to <= mvcc_view_revision(view));
    mvcc_history_init(&history, view, from + 1);
    int64_t revision = from;
    while (mvcc_history_next(&history, &change) && change.revision <= to) {
        if (change.revision != revision && *budget == 0) return change.revision - 1;
        revision = change.revision;
        if (*budget > 0) (*budget)--;
        watch_registry_match(&watch->registry, change.kv.key, look_at_set, &look);
        if (!is_past) note_bytes(watch, &change);
    }
    return to;
}

static void begin_past(struct watch *watch)
{
    struct list *node;
    int64_t first = INT64_MAX;
    while ((node = watch->waiting.next) != &watch->waiting) {
        struct watcher *watcher = LIST_ENTRY(node, struct watcher, queue);
        if (watcher->next < first || MUTANT(D88)) first = watcher->next;
        watch_state_sweep(watch, watcher);
    }
    watch->sweep = first - 1;
    ASSERT(watch->sweep >= 0);
}

/* Whoever is still there has nothing to be told up to the live position. */
static void end_past(struct watch *watch)
{
    struct list *node;
    while ((node = watch->swept.next) != &watch->swept) {
        struct watcher *watcher = LIST_ENTRY(node, struct watcher, queue);
        if (watcher->next <= watch->live) watcher->next = watch->live + 1;
        watch_state_live(watch, watcher);
    }
    ASSERT(list_is_empty(&watch->swept));
}

static void cancel_overtaken(struct watch *watch)
{
    struct heap_node *node;
    while ((node = heap_first(&watch->behind)) != NULL && (int64_t)heap_key(&watch->behind, node) < watch->floor) {
        watch_state_compacted(watch, LIST_ENTRY(node, struct watcher, by_next));
    }
    if (watch->sweep + 1 < watch->floor) watch->sweep = watch->floor - 1;
    if (watch->live + 1 >= watch->floor) return;
    /* The store was put in our hands anew, or the role slept through what was held for it: nobody live saw what is gone. */
    for (struct list *at = watch->streams.next; at != &watch->streams; at = at->next) {
        struct watch_stream *stream = LIST_ENTRY(at, struct watch_stream, of_watch);
        struct watch_ids_cursor cursor = {.bucket = 0};
        struct watcher *watcher;
        while ((watcher = watch_ids_next(watch, &stream->ids, &cursor)) != NULL) {
            if (watcher->state == WATCHER_LIVE && watcher->next < watch->floor) watch_state_compacted(watch, watcher);
        }
    }
    watch->live = watch->floor - 1;
}

/* All have the same interval and some jitter: those that lie before are passed from the back. */
static void schedule(struct watch *watch, struct watch_notify *notify, uint64_t now_ns)
{
    uint64_t interval_ns = watch->options.progress_ns;
    notify->due_ns = now_ns + interval_ns + rng_below(&watch->rng, interval_ns / 10 + 1);
    list_remove(&notify->node);
    struct list *at = watch->notify.prev;
    for (int i = 0; i < 64 && at != &watch->notify; i++, at = at->prev) {
        if (LIST_ENTRY(at, struct watch_notify, node)->due_ns <= notify->due_ns) break;
    }
    list_push_front(at, &notify->node);
    ASSERT(notify->watcher->has_notify);
}

void watch_sweep_notify(struct watch *watch, struct watcher *watcher, uint64_t now_ns)
{
    ASSERT(watcher->told == NULL);
    struct watch_notify *notify = ALLOC(struct watch_notify);
    notify->watcher = watcher;
    watcher->told = &notify->told;
    watcher->has_notify = true;
    list_init(&notify->node);
    schedule(watch, notify, now_ns);
}

static void mark_notifications(struct watch *watch, uint64_t now_ns)
{
    struct list *node;
    while ((node = watch->notify.next) != &watch->notify) {
        struct watch_notify *notify = LIST_ENTRY(node, struct watch_notify, node);
        struct watcher *watcher = notify->watcher;
        if (notify->due_ns > now_ns) return;
        schedule(watch, notify, now_ns);
        bool is_due = watcher->state == WATCHER_LIVE && watcher->next <= watch->live + 1 && !watcher->was_told;
        watcher->was_told = false;
        if (!is_due || watcher->is_notify_due) continue;
        watcher->is_notify_due = true;
        watch_state_line_up(watch, watcher);
    }
}

bool watch_has_more(const struct watch *watch)
{
    ASSERT(watch->live <= watch->view_revision);
    return watch->live < watch->view_revision || !list_is_empty(&watch->swept) || !list_is_empty(&watch->waiting);
}

bool watch_step(struct watch *watch, const struct mvcc_view *view, int64_t floor, size_t budget, uint64_t now_ns)
{
    int64_t revision = mvcc_view_revision(view);
    size_t live_budget = budget, past_budget = budget;
    ASSERT(revision >= watch->live && floor <= revision);
    if (revision != watch->view_revision) watch_encode_forget(watch);
    watch->view_revision = revision;
    if (floor > watch->floor) watch->floor = floor;
    if (watch->stats.watchers == 0) watch->live = revision; /* nobody to tell */
    if (!MUTANT(D86)) cancel_overtaken(watch);
    if (watch->live < revision) watch->live = walk(watch, view, watch->live, revision, false, &live_budget);
    watch_state_reach(watch);
    if (list_is_empty(&watch->swept) && !list_is_empty(&watch->waiting)) begin_past(watch);
    if (!list_is_empty(&watch->swept)) {
        if (watch->sweep < watch->live) watch->sweep = walk(watch, view, watch->sweep, watch->live, true, &past_budget);
        if (watch->sweep >= watch->live) end_past(watch);
    }
    mark_notifications(watch, now_ns);
    return watch_has_more(watch);
}
