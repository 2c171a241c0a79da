/* watch_encode: a WatchResponse's bytes: the head per response, the events once for all that want the same.
 * The head ends before the events (field 11), which stand behind it as they are. */
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "storage/range.h"
#include "watch/watch_inner.h"

#define FRAME_REVISIONS_MAX 1000
#define FRAME_LOOKS_MAX 1024      /* changes looked at for one frame: then the common sweep finds what is next */
#define LOOK_BYTES 64             /* encoded bytes that cost as much as a look */
#define HEAD_BYTES_MAX 128        /* of a response with events: the header, the watcher's id, a flag */

/* All who are told of one view share its header: it stays at the head's beginning. */
static void put_header(struct watch *watch, uint64_t term, int64_t revision)
{
    const uint64_t header[] = {watch->options.cluster_id, watch->options.member_id, (uint64_t)revision, term}; /* fields 1 to 4 */
    struct buf *buf = &watch->head;
    size_t size = 0;
    bool is_same = watch->header_size > 0 && watch->header_revision == revision && watch->header_term == term;
    buf_cut(buf, is_same ? watch->header_size : 0);
    if (is_same) return;
    watch->header_revision = revision;
    watch->header_term = term;
    for (uint32_t i = 0; i < 4; i++) size += header[i] == 0 ? 0 : 1 + pb_varint_size(header[i]);
    buf_put_varint(buf, pb_tag(1, PB_BYTES));
    buf_put_varint(buf, size);
    for (uint32_t i = 0; i < 4; i++) {
        if (header[i] != 0) buf_put_pb_varint(buf, i + 1, header[i]);
    }
    watch->header_size = buf->size;
}

void watch_encode_head(struct watch *watch, uint64_t term, const struct watch_response *response)
{
    struct buf *buf = &watch->head;
    ASSERT(watch->options.member_id != 0);
    put_header(watch, term, response->revision);
    if (response->watch_id != 0) buf_put_pb_varint(buf, 2, (uint64_t)response->watch_id);
    if (response->created) buf_put_pb_varint(buf, 3, 1);
    if (response->canceled) buf_put_pb_varint(buf, 4, 1);
    if (response->compact_revision != 0) buf_put_pb_varint(buf, 5, (uint64_t)response->compact_revision);
    if (response->reason != NULL) buf_put_pb_bytes(buf, 6, slice_from_string(response->reason));
    if (response->fragment) buf_put_pb_varint(buf, 7, 1);
}

/* The version before: what was there at the revision before, if that can still be read. */
static bool get_prev(const struct watch *watch, const struct mvcc_view *view, const struct mvcc_change *change, struct mvcc_kv *out_kv)
{
    int64_t before = MUTANT(D84) ? change->revision : change->revision - 1;
    bool is_create = !change->is_delete && change->kv.create_revision == change->revision;
    if (is_create || before < 1 || before < watch->floor) return false;
    return mvcc_get(view, change->kv.key, before, out_kv);
}

/* False: the message would be larger than one may be. */
static bool put_event(struct watch *watch, const struct mvcc_view *view, const struct mvcc_change *change, bool with_prev)
{
    struct buf event;
    struct mvcc_kv prev;
    buf_init(&event);
    range_put_event(&event, change, false);
    if (with_prev && get_prev(watch, view, change, &prev)) range_put_kv(&event, 3, &prev, false);
    size_t size = 1 + pb_varint_size(event.size) + event.size;
    bool fits = HEAD_BYTES_MAX + watch->events.size + size <= watch->options.message_bytes_max;
    if (fits) buf_put_pb_bytes(&watch->events, 11, buf_slice(&event));
    if (fits) watch->stats.encoded_events++;
    buf_deinit(&event);
    return fits;
}

static uint32_t flags_of(const struct watcher *watcher)
{
    return (uint32_t)watcher->prev_kv | (uint32_t)watcher->fragment << 1 | (uint32_t)watcher->no_put << 2 |
           (uint32_t)watcher->no_delete << 3;
}

static bool wants(const struct watcher *watcher, const struct mvcc_range *range, const struct mvcc_change *change)
{
    if (change->revision == watcher->next && change->sub < watcher->sub) return false;
    if ((change->is_delete ? watcher->no_delete : watcher->no_put) && !MUTANT(D89)) return false;
    return mvcc_range_contains(range, change->kv.key);
}

static size_t change_bytes(const struct mvcc_change *change) { return change->kv.key.size + change->kv.value.size + 64; }

/* The revision that is being written fits into no message: the frame ends before it, or is for nobody. Its memory is given back. */
static void cut_back(struct watch *watch, struct watch_memo *memo, int64_t revision, size_t size, uint32_t count)
{
    memo->next_after = revision;
    memo->is_marked_after = true;
    memo->is_too_large = count == 0;
    memo->count = count;
    buf_cut(&watch->events, size);
    if (count > 0) buf_shrink(&watch->events);
    else buf_deinit(&watch->events);
}

/* Walks from the cursor until the view ends, or the frame is full at the end of a revision, or a fragment is. */
static void collect(struct watch *watch, const struct watcher *watcher, const struct mvcc_view *view, struct watch_memo *memo, size_t *cost)
{
    struct mvcc_history history;
    struct mvcc_change change;
    struct mvcc_range range = watch_registry_range(watcher->set);
    int64_t revision = 0;
    size_t looks = 0, revisions = 0, whole_bytes = 0; /* whole_*: of the revisions before this one */
    uint32_t whole_count = 0;
    bool is_inside = false; /* events of this revision are in the frame */
    mvcc_history_init(&history, view, watcher->next);
    while (mvcc_history_next(&history, &change)) {
        looks++;
        if (change.revision != revision) {
            bool is_full = watch->events.size >= WATCH_FRAME_BYTES || revisions >= FRAME_REVISIONS_MAX || BUGGIFY(WATCH_ONE_REVISION);
            if (revision != 0 && (is_full || looks > FRAME_LOOKS_MAX)) {
                memo->next_after = change.revision;
                memo->is_marked_after = is_full;
                break;
            }
            revision = change.revision;
            is_inside = change.revision == watcher->next && watcher->sub > 0;
            revisions++;
            whole_bytes = watch->events.size;
            whole_count = memo->count;
        }
        if (!wants(watcher, &range, &change)) continue;
        bool may_cut = (watcher->fragment || MUTANT(D81)) && memo->count > 0;
        if (may_cut && (watch->events.size + change_bytes(&change) > watch->options.fragment_bytes || BUGGIFY(WATCH_FRAGMENT) || MUTANT(D81))) {
            memo->is_fragment = is_inside && !MUTANT(D81) && !MUTANT(D87);
            memo->is_marked_after = true;
            memo->next_after = change.revision;
            memo->sub_after = is_inside ? change.sub : 0;
            break;
        }
        if (!put_event(watch, view, &change, watcher->prev_kv)) {
            looks += watch->events.size / LOOK_BYTES;
            cut_back(watch, memo, revision, whole_bytes, whole_count);
            break;
        }
        is_inside = true;
        memo->count++;
    }
    *cost = looks + watch->events.size / LOOK_BYTES;
}

static bool is_of(const struct watch_memo *memo, const struct watcher *watcher)
{
    return memo->set == watcher->set && memo->next == watcher->next && memo->sub == watcher->sub && memo->flags == flags_of(watcher);
}

static struct watch_memo *memo_of(struct watch *watch, const struct watcher *watcher)
{
    uint64_t hash = watch_registry_number(watcher->set) ^ (uint64_t)watcher->next * UINT64_C(0x9e3779b97f4a7c15) ^ flags_of(watcher);
    return &watch->memos[(hash ^ hash >> 32) % WATCH_MEMO_SLOTS];
}

const struct watch_memo *watch_encode_events(struct watch *watch, const struct watcher *watcher, const struct mvcc_view *view,
                                             size_t *budget)
{
    struct watch_memo *memo = &watch->memos[watch->memo_last];
    size_t cost = 1;
    ASSERT(watch->view_revision == mvcc_view_revision(view) && watcher->next <= watch->view_revision);
    if (!is_of(memo, watcher)) memo = memo_of(watch, watcher);
    watch->memo_last = (uint32_t)(memo - watch->memos);
    if (!is_of(memo, watcher)) {
        blob_unref(memo->events);
        *memo = (struct watch_memo){.set = watcher->set, .next = watcher->next, .sub = watcher->sub, .flags = flags_of(watcher),
                                    .next_after = watch->view_revision + 1};
        buf_clear(&watch->events);
        collect(watch, watcher, view, memo, &cost);
        if (memo->count > 0) memo->events = buf_take_blob(&watch->events);
    }
    ASSERT((memo->count > 0) == (memo->events != NULL));
    *budget -= cost < *budget ? cost : *budget;
    return memo;
}

void watch_encode_forget(struct watch *watch)
{
    for (int i = 0; i < WATCH_MEMO_SLOTS; i++) {
        blob_unref(watch->memos[i].events);
        watch->memos[i] = (struct watch_memo){.set = NULL};
    }
    ASSERT(watch->memos[0].events == NULL);
}
