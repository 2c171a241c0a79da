/* watch_ids: see watch_inner.h: the watchers of a stream by id. Places instead of pointers: four bytes each for bucket and chain. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/buckets.h"
#include "watch/watch_inner.h"

static struct watcher *at(const struct watch *watch, uint32_t link) { return link == 0 ? NULL : watch->places.watchers[link - 1]; }

static uint32_t *bucket_of(const struct watch_ids *ids, int64_t id)
{
    ASSERT(ids->bucket_count > 0);
    return &ids->buckets[buckets_place(ids->bucket_count, buckets_mix((uint64_t)id))];
}

struct watcher *watch_ids_find(const struct watch *watch, const struct watch_ids *ids, int64_t id)
{
    struct watcher *watcher = ids->count == 0 ? NULL : at(watch, *bucket_of(ids, id));
    while (watcher != NULL && watcher->id != id) watcher = at(watch, watcher->chain);
    return watcher;
}

/* One bucket more, with what belongs into it. */
static void grow(const struct watch *watch, struct watch_ids *ids)
{
    if (ids->bucket_count == ids->capacity) {
        ids->capacity = ids->capacity == 0 ? 4 : ids->capacity * 2;
        ids->buckets = alloc_resize(ids->buckets, ids->capacity * sizeof *ids->buckets);
    }
    uint32_t new = ids->bucket_count++;
    uint32_t *from = &ids->buckets[buckets_source(new)];
    ids->buckets[new] = 0;
    if (new == 0) return;
    struct watcher *watcher;
    while ((watcher = at(watch, *from)) != NULL) {
        if (bucket_of(ids, watcher->id) != &ids->buckets[new]) {
            from = &watcher->chain;
            continue;
        }
        uint32_t next = watcher->chain;
        watcher->chain = ids->buckets[new];
        ids->buckets[new] = *from;
        *from = next;
    }
}

void watch_ids_put(struct watch *watch, struct watch_ids *ids, struct watcher *watcher)
{
    ASSERT(at(watch, watcher->place + 1) == watcher && watch_ids_find(watch, ids, watcher->id) == NULL);
    if (ids->count == ids->bucket_count) grow(watch, ids);
    uint32_t *bucket = bucket_of(ids, watcher->id);
    watcher->chain = *bucket;
    *bucket = watcher->place + 1;
    ids->count++;
}

void watch_ids_take(struct watch *watch, struct watch_ids *ids, struct watcher *watcher)
{
    uint32_t *link = bucket_of(ids, watcher->id);
    while (at(watch, *link) != watcher) link = &at(watch, *link)->chain;
    *link = watcher->chain;
    ASSERT(ids->count > 0);
    if (--ids->count > 0) return;
    alloc_free(ids->buckets);
    *ids = (struct watch_ids){.buckets = NULL};
}

struct watcher *watch_ids_next(const struct watch *watch, const struct watch_ids *ids, struct watch_ids_cursor *cursor)
{
    while (cursor->next == 0 && cursor->bucket < ids->bucket_count) cursor->next = ids->buckets[cursor->bucket++];
    struct watcher *watcher = at(watch, cursor->next);
    cursor->next = watcher == NULL ? 0 : watcher->chain;
    return watcher;
}
