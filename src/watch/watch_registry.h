/* watch_registry: which intervals of keys are watched: a hash for single keys, a tree with the largest end of each subtree for ranges.
 * All watchers of one interval share one set; a set holds those that wait for changes at the live end and those that are swept through the
 * past; who already knows of a change to fetch is in neither, so that a change costs no look at him.
 * Owner: embedded; sets are freed when their last watcher leaves. Thread: the watch role's.
 * Limits: sets ≤ watchers; a match costs O(log sets + matches); a single key costs 32 bytes beyond its own and a bucket of eight. Priorities
 * and the salt of hashes come from a seed that clients must not know: with keys chosen for them the tree would be a list, as deep as the
 * stack at last, and the hash one bucket. */
#ifndef WATCH_WATCH_REGISTRY_H
#define WATCH_WATCH_REGISTRY_H
#include "base/list.h"
#include "base/rng.h"
#include "storage/mvcc.h"

struct watch_set {
    uint32_t watcher_count;
    uint32_t key_bytes : 31;
    bool is_span : 1;              /* a struct watch_span, else a struct watch_single */
    struct list watchers;          /* those that are swept before those that are live */
};
struct watch_single {
    struct watch_set set;
    struct watch_single *chain;    /* the next one in its bucket */
    uint8_t key[];
};
struct watch_span {
    struct watch_set set;
    struct watch_span *left, *right;
    const struct watch_span *last; /* of the subtree, the one whose end is the largest */
    uint64_t priority;
    uint32_t end_bytes;
    uint8_t bytes[];               /* the key, and the range's end behind it */
};
struct watch_registry {
    struct watch_single **buckets; /* base/buckets.h */
    uint32_t single_count, bucket_count, capacity;
    struct watch_span *root;
    struct rng rng;
    uint64_t salt;
    size_t key_bytes;              /* of all sets' intervals */
};

void watch_registry_init(struct watch_registry *registry, uint64_t seed);
void watch_registry_deinit(struct watch_registry *registry); /* empty */
/* As it was asked for. */
struct mvcc_range watch_registry_range(const struct watch_set *set);
uint64_t watch_registry_number(const struct watch_set *set); /* the same for the same interval; of others seldom */
/* The set of that interval, made if it is not there; counts one more watcher. */
struct watch_set *watch_registry_join(struct watch_registry *registry, struct slice key, struct slice range_end);
/* One watcher less (out of its lists already). True: the set is gone. */
bool watch_registry_leave(struct watch_registry *registry, struct watch_set *set);
/* Each set whose interval holds the key. The function must not add or remove sets. */
typedef void watch_registry_fn(void *context, struct watch_set *set);
void watch_registry_match(const struct watch_registry *registry, struct slice key, watch_registry_fn *fn, void *context);

#endif
