/* watch_inner: what the files of this room share behind watch.h: the watcher, the stream, the whole; which state lies in which list.
 * Owner, thread: watch.h. Source: watch.h. */
#ifndef WATCH_WATCH_INNER_H
#define WATCH_WATCH_INNER_H
#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "watch/watch.h"
#include "watch/watch_registry.h"
#include "watch/watch_request.h"

#define WATCH_MEMO_SLOTS 16

enum watcher_state { WATCHER_LIVE, WATCHER_MARKED, WATCHER_WAITING, WATCHER_SWEPT };

/* What a watcher was sent. */
struct watch_told {
    uint64_t events, bytes;    /* bytes: of the responses that held them */
};

/* Of a watcher that wants progress notifications. */
struct watch_notify {
    struct watch_told told;    /* first */
    struct list node;          /* in watch->notify */
    struct watcher *watcher;
    uint64_t due_ns;
};

struct watcher {
    struct watch_stream *stream;
    struct watch_set *set;
    struct list of_set;        /* LIVE, SWEPT: in set->watchers; else alone */
    struct list queue;         /* the stream's line (MARKED; LIVE with a notification due), or watch->waiting, watch->swept */
    struct watch_told *told;   /* NULL: nothing yet; has_notify: the beginning of a watch_notify */
    int64_t id;
    int64_t next;              /* first revision not told */
    uint32_t sub;              /* of it, the first change not told: above 0 inside of fragments only */
    uint32_t place;            /* in watch->places */
    uint32_t chain;            /* place + 1 of the next one in its bucket of stream->ids; 0 = none */
    struct heap_node by_next;  /* not LIVE: in watch->behind; LIVE and beginning above what is live: in watch->ahead */
    uint32_t born_s;           /* on the clock of now_ns */
    enum watcher_state state : 8;
    bool is_compacted : 1;     /* its turn will say so */
    bool has_notify : 1, is_notify_due : 1, was_told : 1;
    bool prev_kv : 1, fragment : 1, no_put : 1, no_delete : 1;
};
STATIC_ASSERT(sizeof(struct watcher) <= 96, "an allocator's size class; a million of them are allowed");

/* Whoever walks over many of them says which is next: of ten thousand hardly one is in the cache, and each lies on two of its lines. */
static inline void watcher_prefetch(const struct watcher *watcher)
{
    __builtin_prefetch(&watcher->of_set);
    __builtin_prefetch(&watcher->chain);
}

/* A response without events that waits for its turn. */
struct watch_answer {
    struct list node;
    int64_t watch_id, revision;
    const char *reason;        /* static; NULL = none */
    bool created, canceled;
};

/* The watchers of a stream, by id. Like the registry's singles it grows bucket by bucket: none of its steps is long. */
struct watch_ids {
    uint32_t *buckets;         /* place + 1 of the first; 0 = empty */
    uint32_t count, bucket_count, capacity;
};
struct watch_ids_cursor {
    uint32_t bucket, next;     /* next: as `chain` */
};

struct watch_stream {
    struct list of_watch;
    struct list of_ready;
    uint64_t name;
    struct slice address;      /* of the client; borrowed from the port */
    struct watch_ids ids;
    struct list answers;
    struct list line;          /* of watchers that have something to say */
    uint32_t answer_count;
    uint32_t behind_count, ahead_count; /* its watchers in the heaps of those names */
    uint32_t progress_count;   /* progress requests not yet answered */
    int64_t next_id;
    uint32_t sending_events;   /* in the frame that is on its way */
    uint32_t turn_bytes;       /* in frames, since its turn began; one frame may make it a lot */
    bool is_sending;
};

/* Encoded events of one interval from one cursor on, for the next watcher that wants the same. */
struct watch_memo {
    const struct watch_set *set; /* NULL = free */
    int64_t next, sub;
    uint32_t flags;
    struct blob *events;         /* NULL = there were none */
    int64_t next_after, sub_after;
    uint32_t count;
    bool is_fragment, is_marked_after;
    bool is_too_large;           /* for a message: no events */
};

/* Every watcher stands at one place as long as it lives. */
struct watch_places {
    struct watcher **watchers;   /* NULL = free */
    uint32_t *free;              /* places that somebody left */
    uint32_t count, capacity, free_count, free_capacity;
};

#define WATCH_MARKS 64
struct watch {
    struct watch_options options;
    struct watch_registry registry;
    struct watch_places places;
    struct list streams, ready;
    struct list waiting, swept;  /* watchers */
    struct list notify;          /* of watchers, soonest first */
    struct heap behind, ahead;   /* watchers by `next` */
    int64_t live;                /* every change ≤ it has marked whom it concerns */
    int64_t sweep;               /* the same for those that are swept */
    int64_t floor;
    int64_t view_revision;       /* that the memos belong to */
    struct watch_memo memos[WATCH_MEMO_SLOTS];
    uint32_t memo_last;          /* that was asked for */
    /* Bytes of changes up to `live`, and where the revisions stood at steps of hold_bytes_max / WATCH_MARKS. */
    uint64_t bytes;
    struct { uint64_t bytes; int64_t revision; } marks[WATCH_MARKS];
    uint32_t mark_count;
    struct rng rng;
    struct buf head, events;
    size_t header_size;          /* the head begins with the last header, as field 1 of a response; 0 = with none yet */
    int64_t header_revision;
    uint64_t header_term;
    struct watch_stats stats;
};

/* watch_state.c: a watcher from one state into another; its stream becomes ready where it has something to say. */
void watch_state_live(struct watch *watch, struct watcher *watcher);
void watch_state_mark(struct watch *watch, struct watcher *watcher, int64_t revision);
void watch_state_wait(struct watch *watch, struct watcher *watcher);
void watch_state_sweep(struct watch *watch, struct watcher *watcher);
void watch_state_compacted(struct watch *watch, struct watcher *watcher);
void watch_state_remove(struct watch *watch, struct watcher *watcher); /* and frees */
void watch_state_line_up(struct watch *watch, struct watcher *watcher);
void watch_state_reach(struct watch *watch); /* what is live has moved: whoever begins there is ahead no more */
bool watch_state_has_words(const struct watch_stream *stream);
void watch_state_ready(struct watch *watch, struct watch_stream *stream);

/* watch_ids.c */
struct watcher *watch_ids_find(const struct watch *watch, const struct watch_ids *ids, int64_t id); /* NULL = none */
void watch_ids_put(struct watch *watch, struct watch_ids *ids, struct watcher *watcher);  /* it has a place; its id is free */
void watch_ids_take(struct watch *watch, struct watch_ids *ids, struct watcher *watcher); /* the last one takes the memory along */
/* All, from a zeroed cursor on, in the order of the buckets. Only the one that came last may be taken out meanwhile. */
struct watcher *watch_ids_next(const struct watch *watch, const struct watch_ids *ids, struct watch_ids_cursor *cursor);

/* watch_list.c: the places. */
void watch_list_join(struct watch *watch, struct watcher *watcher);
void watch_list_leave(struct watch *watch, struct watcher *watcher);
void watch_list_forget(struct watch *watch); /* all are free */

/* watch_encode.c */
struct watch_response {
    int64_t watch_id, revision, compact_revision;
    const char *reason;
    bool created, canceled, fragment;
};
void watch_encode_head(struct watch *watch, uint64_t term, const struct watch_response *response); /* into watch->head */
/* The watcher's events from its cursor on, by the memo if it is there. Moves nothing. */
const struct watch_memo *watch_encode_events(struct watch *watch, const struct watcher *watcher, const struct mvcc_view *view,
                                             size_t *budget);
void watch_encode_forget(struct watch *watch); /* all memos */

#endif
