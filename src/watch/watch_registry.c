/* watch_registry: see watch_registry.h. The tree is a treap: ordered by (key, end), a heap by priority. */
#include "watch/watch_registry.h"

#include "base/alloc.h"
#include "base/assert.h"

static uint64_t mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static uint64_t hash_key(struct slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ key.size;
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return mix(hash);
}

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

static void refresh(struct watch_set *set)
{
    const struct watch_set *below[2] = {set->left, set->right};
    struct mvcc_range largest = watch_registry_range(set);
    set->last = set;
    for (int i = 0; i < 2; i++) {
        if (below[i] == NULL) continue;
        struct mvcc_range range = watch_registry_range(below[i]->last);
        if (compare_end(&range, &largest) <= 0) continue;
        set->last = below[i]->last;
        largest = range;
    }
}

static struct watch_set *turn_right(struct watch_set *set)
{
    struct watch_set *top = set->left;
    set->left = top->right;
    top->right = set;
    refresh(set);
    refresh(top);
    return top;
}

static struct watch_set *turn_left(struct watch_set *set)
{
    struct watch_set *top = set->right;
    set->right = top->left;
    top->left = set;
    refresh(set);
    refresh(top);
    return top;
}

static int compare_sets(const struct watch_set *a, const struct watch_set *b)
{
    struct mvcc_range range_a = watch_registry_range(a), range_b = watch_registry_range(b);
    return compare_range(&range_a, &range_b);
}

static struct watch_set *insert(struct watch_set *root, struct watch_set *set)
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

static struct watch_set *merge(struct watch_set *low, struct watch_set *high)
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

static struct watch_set *take_out(struct watch_set *root, struct watch_set *set)
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

void watch_registry_init(struct watch_registry *registry)
{
    *registry = (struct watch_registry){.root = NULL};
    map_init(&registry->singles);
    ASSERT(registry->singles.count == 0);
}

void watch_registry_deinit(struct watch_registry *registry)
{
    ASSERT(registry->root == NULL && registry->singles.count == 0);
    map_deinit(&registry->singles);
}

static struct slice key_of(const struct watch_set *set) { return slice_make(set->bytes, set->key_bytes); }

static struct watch_set *find_single(const struct watch_registry *registry, struct slice key)
{
    struct watch_set *set = registry->singles.count == 0 ? NULL : map_get(&registry->singles, hash_key(key));
    while (set != NULL && !slice_equal(key_of(set), key)) set = set->chain;
    return set;
}

static struct watch_set *find(const struct watch_registry *registry, const struct mvcc_range *range)
{
    if (range->is_single) return find_single(registry, range->key);
    struct watch_set *set = registry->root;
    while (set != NULL) {
        struct mvcc_range here = watch_registry_range(set);
        int order = compare_range(range, &here);
        if (order == 0) break;
        set = order < 0 ? set->left : set->right;
    }
    return set;
}

static struct watch_set *make(struct watch_registry *registry, struct slice key, struct slice range_end)
{
    struct watch_set *set = alloc_new(sizeof *set + key.size + range_end.size);
    *set = (struct watch_set){.priority = mix(++registry->made), .key_bytes = (uint32_t)key.size, .end_bytes = (uint32_t)range_end.size};
    if (key.size > 0) memcpy(set->bytes, key.data, key.size);
    if (range_end.size > 0) memcpy(set->bytes + key.size, range_end.data, range_end.size);
    list_init(&set->live);
    list_init(&set->swept);
    registry->key_bytes += key.size + range_end.size;
    return set;
}

struct watch_set *watch_registry_join(struct watch_registry *registry, struct slice key, struct slice range_end)
{
    struct mvcc_range range = mvcc_range_make(key, range_end);
    struct watch_set *set = find(registry, &range);
    if (set == NULL) {
        set = make(registry, key, range_end);
        if (range.is_single) {
            set->chain = map_take(&registry->singles, hash_key(key));
            bool is_put = map_put(&registry->singles, hash_key(key), set);
            ASSERT(is_put);
        } else {
            refresh(set);
            registry->root = insert(registry->root, set);
        }
    }
    set->watcher_count++;
    return set;
}

static void unchain(struct watch_registry *registry, struct watch_set *set)
{
    uint64_t hash = hash_key(key_of(set));
    struct watch_set *first = map_take(&registry->singles, hash);
    struct watch_set **at = &first;
    while (*at != set) at = &(*at)->chain;
    *at = set->chain;
    if (first != NULL) (void)map_put(&registry->singles, hash, first);
}

bool watch_registry_leave(struct watch_registry *registry, struct watch_set *set)
{
    ASSERT(set->watcher_count > 0);
    if (--set->watcher_count > 0) return false;
    ASSERT(list_is_empty(&set->live) && list_is_empty(&set->swept));
    size_t bytes = (size_t)set->key_bytes + set->end_bytes;
    ASSERT(registry->key_bytes >= bytes);
    registry->key_bytes -= bytes;
    if (set->end_bytes == 0) unchain(registry, set);
    else registry->root = take_out(registry->root, set);
    alloc_free(set);
    return true;
}

/* Left out: subtrees that end at or before the key, and what begins behind it. */
static void match_tree(struct watch_set *set, struct slice key, watch_registry_fn *fn, void *context)
{
    while (set != NULL) {
        struct mvcc_range last = watch_registry_range(set->last), range = watch_registry_range(set);
        if (!last.is_open && slice_compare(last.end, key) <= 0) return;
        match_tree(set->left, key, fn, context);
        if (slice_compare(range.key, key) > 0) return;
        if (mvcc_range_contains(&range, key)) fn(context, set);
        set = set->right;
    }
}

void watch_registry_match(const struct watch_registry *registry, struct slice key, watch_registry_fn *fn, void *context)
{
    ASSERT(fn != NULL);
    struct watch_set *set = find_single(registry, key);
    if (set != NULL) fn(context, set);
    match_tree(registry->root, key, fn, context);
}
