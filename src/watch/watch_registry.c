/* watch_registry: see watch_registry.h. The tree is a treap: ordered by (key, end), a heap by priority. */
#include "watch/watch_registry.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buckets.h"

static uint64_t hash_key(uint64_t salt, struct slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ salt ^ key.size;
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return buckets_mix(hash);
}

static struct watch_single *single_of(struct watch_set *set) { return LIST_ENTRY(set, struct watch_single, set); }
static struct slice key_of(const struct watch_single *single) { return slice_make(single->key, single->set.key_bytes); }

static struct mvcc_range range_of(const struct watch_span *span)
{
    return mvcc_range_make(slice_make(span->bytes, span->set.key_bytes), slice_make(span->bytes + span->set.key_bytes, span->end_bytes));
}

struct mvcc_range watch_registry_range(const struct watch_set *set)
{
    if (set->is_span) return range_of(LIST_ENTRY(set, const struct watch_span, set));
    return mvcc_range_make(key_of(LIST_ENTRY(set, const struct watch_single, set)), slice_empty());
}

uint64_t watch_registry_number(const struct watch_set *set)
{
    if (set->is_span) return LIST_ENTRY(set, const struct watch_span, set)->priority;
    struct slice key = key_of(LIST_ENTRY(set, const struct watch_single, set)); /* long ones differ at their ends */
    const size_t tail = 16;
    return hash_key(0, key.size <= tail ? key : slice_make(key.data + key.size - tail, tail));
}

/* --- the tree --- */

/* No upper bound stands above all ends. */
static int compare_end(const struct mvcc_range *a, const struct mvcc_range *b)
{
    if (a->is_open || b->is_open) return (int)a->is_open - (int)b->is_open;
    return slice_compare(a->end, b->end);
}

static int compare_range(const struct mvcc_range *a, const struct mvcc_range *b)
{
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order : compare_end(a, b);
}

static void refresh(struct watch_span *set)
{
    const struct watch_span *below[2] = {set->left, set->right};
    struct mvcc_range largest = range_of(set);
    set->last = set;
    for (int i = 0; i < 2; i++) {
        if (below[i] == NULL) continue;
        struct mvcc_range range = range_of(below[i]->last);
        if (compare_end(&range, &largest) <= 0) continue;
        set->last = below[i]->last;
        largest = range;
    }
}

static struct watch_span *turn_right(struct watch_span *set)
{
    struct watch_span *top = set->left;
    set->left = top->right;
    top->right = set;
    refresh(set);
    refresh(top);
    return top;
}

static struct watch_span *turn_left(struct watch_span *set)
{
    struct watch_span *top = set->right;
    set->right = top->left;
    top->left = set;
    refresh(set);
    refresh(top);
    return top;
}

static int compare_sets(const struct watch_span *a, const struct watch_span *b)
{
    struct mvcc_range range_a = range_of(a), range_b = range_of(b);
    return compare_range(&range_a, &range_b);
}

static struct watch_span *insert(struct watch_span *root, struct watch_span *set)
{
    if (root == NULL) return set;
    int order = compare_sets(set, root);
    ASSERT(order != 0);
    if (order < 0) {
        root->left = insert(root->left, set);
        if (root->left->priority > root->priority) return turn_right(root);
    } else {
        root->right = insert(root->right, set);
        if (root->right->priority > root->priority) return turn_left(root);
    }
    refresh(root);
    return root;
}

static struct watch_span *merge(struct watch_span *low, struct watch_span *high)
{
    if (low == NULL) return high;
    if (high == NULL) return low;
    if (low->priority > high->priority) {
        low->right = merge(low->right, high);
        refresh(low);
        return low;
    }
    high->left = merge(low, high->left);
    refresh(high);
    return high;
}

static struct watch_span *take_out(struct watch_span *root, struct watch_span *set)
{
    ASSERT(root != NULL);
    if (root == set) return merge(set->left, set->right);
    if (compare_sets(set, root) < 0) {
        root->left = take_out(root->left, set);
    } else {
        root->right = take_out(root->right, set);
    }
    refresh(root);
    return root;
}

/* --- the hash --- */

static struct watch_single **bucket_of(const struct watch_registry *registry, struct slice key)
{
    ASSERT(registry->bucket_count > 0);
    return &registry->buckets[buckets_place(registry->bucket_count, hash_key(registry->salt, key))];
}

/* One bucket more, with what belongs into it. */
static void grow(struct watch_registry *registry)
{
    if (registry->bucket_count == registry->capacity) {
        registry->capacity = registry->capacity == 0 ? 16 : registry->capacity * 2;
        registry->buckets = alloc_resize(registry->buckets, registry->capacity * sizeof(*registry->buckets));
    }
    uint32_t new = registry->bucket_count++;
    struct watch_single **from = &registry->buckets[buckets_source(new)], *single;
    registry->buckets[new] = NULL;
    if (new == 0) return;
    while ((single = *from) != NULL) {
        if (bucket_of(registry, key_of(single)) != &registry->buckets[new]) {
            from = &single->chain;
            continue;
        }
        *from = single->chain;
        single->chain = registry->buckets[new];
        registry->buckets[new] = single;
    }
}

static void enter(struct watch_registry *registry, struct watch_single *single)
{
    if (registry->single_count == registry->bucket_count) grow(registry);
    struct watch_single **bucket = bucket_of(registry, key_of(single));
    single->chain = *bucket;
    *bucket = single;
    registry->single_count++;
}

static void leave(struct watch_registry *registry, struct watch_single *single)
{
    struct watch_single **at = bucket_of(registry, key_of(single));
    while (*at != single) at = &(*at)->chain;
    *at = single->chain;
    ASSERT(registry->single_count > 0);
    if (--registry->single_count > 0) return;
    alloc_free(registry->buckets);
    registry->buckets = NULL;
    registry->bucket_count = registry->capacity = 0;
}

static struct watch_single *find_single(const struct watch_registry *registry, struct slice key)
{
    struct watch_single *single = registry->single_count == 0 ? NULL : *bucket_of(registry, key);
    while (single != NULL && !slice_equal(key_of(single), key)) single = single->chain;
    return single;
}

/* --- the face --- */

void watch_registry_init(struct watch_registry *registry, uint64_t seed)
{
    *registry = (struct watch_registry){.root = NULL};
    rng_init(&registry->rng, seed);
    registry->salt = rng_next(&registry->rng);
}

void watch_registry_deinit(struct watch_registry *registry)
{
    ASSERT(registry->root == NULL && registry->single_count == 0 && registry->buckets == NULL);
    *registry = (struct watch_registry){.root = NULL};
}

static struct watch_set *find(const struct watch_registry *registry, const struct mvcc_range *range)
{
    if (range->is_single) {
        struct watch_single *single = find_single(registry, range->key);
        return single == NULL ? NULL : &single->set;
    }
    struct watch_span *span = registry->root;
    while (span != NULL) {
        struct mvcc_range here = range_of(span);
        int order = compare_range(range, &here);
        if (order == 0) return &span->set;
        span = order < 0 ? span->left : span->right;
    }
    return NULL;
}

static struct watch_set *make_single(struct watch_registry *registry, struct slice key)
{
    struct watch_single *single = alloc_new(sizeof(*single) + key.size);
    *single = (struct watch_single){.set = {.key_bytes = (uint32_t)key.size & INT32_MAX}};
    memcpy(single->key, key.data, key.size);
    enter(registry, single);
    return &single->set;
}

static struct watch_set *make_span(struct watch_registry *registry, struct slice key, struct slice range_end)
{
    struct watch_span *span = alloc_new(sizeof(*span) + key.size + range_end.size);
    *span = (struct watch_span){.set = {.key_bytes = (uint32_t)key.size & INT32_MAX, .is_span = true},
                                .priority = rng_next(&registry->rng), .end_bytes = (uint32_t)range_end.size};
    memcpy(span->bytes, key.data, key.size);
    memcpy(span->bytes + key.size, range_end.data, range_end.size);
    refresh(span);
    registry->root = insert(registry->root, span);
    return &span->set;
}

struct watch_set *watch_registry_join(struct watch_registry *registry, struct slice key, struct slice range_end)
{
    struct mvcc_range range = mvcc_range_make(key, range_end);
    struct watch_set *set = find(registry, &range);
    ASSERT(key.size > 0 && key.size <= INT32_MAX);
    if (set == NULL) {
        set = range.is_single ? make_single(registry, key) : make_span(registry, key, range_end);
        list_init(&set->watchers);
        registry->key_bytes += key.size + range_end.size;
    }
    set->watcher_count++;
    return set;
}

bool watch_registry_leave(struct watch_registry *registry, struct watch_set *set)
{
    ASSERT(set->watcher_count > 0);
    if (--set->watcher_count > 0) return false;
    ASSERT(list_is_empty(&set->watchers));
    struct watch_span *span = set->is_span ? LIST_ENTRY(set, struct watch_span, set) : NULL;
    size_t bytes = set->key_bytes + (span == NULL ? 0 : (size_t)span->end_bytes);
    ASSERT(registry->key_bytes >= bytes);
    registry->key_bytes -= bytes;
    if (span == NULL) leave(registry, single_of(set));
    else registry->root = take_out(registry->root, span);
    alloc_free(set);
    return true;
}

/* Left out: subtrees that end at or before the key, and what begins behind it. */
static void match_tree(struct watch_span *span, struct slice key, watch_registry_fn *fn, void *context)
{
    while (span != NULL) {
        struct mvcc_range last = range_of(span->last), range = range_of(span);
        if (!last.is_open && slice_compare(last.end, key) <= 0) return;
        match_tree(span->left, key, fn, context);
        if (slice_compare(range.key, key) > 0) return;
        if (mvcc_range_contains(&range, key)) fn(context, &span->set);
        span = span->right;
    }
}

void watch_registry_match(const struct watch_registry *registry, struct slice key, watch_registry_fn *fn, void *context)
{
    ASSERT(fn != NULL);
    struct watch_single *single = find_single(registry, key);
    if (single != NULL) fn(context, &single->set);
    match_tree(registry->root, key, fn, context);
}
