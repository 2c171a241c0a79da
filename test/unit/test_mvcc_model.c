/* test_mvcc_model: random work on the store and on a naive model, every answer compared; grace periods at random moments.
 *
 * Two stores do the same work; they publish, compact and reclaim at different moments, and their hashes must agree. Views are held over
 * many steps, as readers do; what is freed under them is found by AddressSanitizer or by the poison (-DMVCC_POISON).
 * KVD_TEST_LONG=1 runs many more seeds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lib/mvcc_model.h"
#include "lib/rcu_double.h"
#include "storage/mvcc_state.h"

#define HELD_MAX 3
#define PINS 3
#define STORES 2

struct held {
    const struct mvcc_view *view;
    uint64_t time;
};
struct store {
    struct rcu_double rcu;
    struct mvcc *mvcc;
    struct held held[HELD_MAX];
    int pin_slots[PINS]; /* -1 = none */
    int64_t pin_revisions[PINS];
};
struct world {
    struct rng rng;
    struct mvcc_model *model;
    struct store stores[STORES];
    uint32_t key_space;
    uint32_t key_style;
};

static uint64_t below(struct world *world, uint64_t limit) { return rng_below(&world->rng, limit); }

/* Styles: long shared prefixes; short binary keys with zeros, where one is often another's prefix; decimal numbers. */
static struct slice make_key(struct world *world, char *room)
{
    uint32_t number = (uint32_t)below(world, world->key_space);
    if (world->key_style == 0) {
        static const char *const folders[] = {"pods/default/", "pods/kube-system/a-namespace-with-quite-a-long-name/", "leases/"};
        int size = sprintf(room, "/registry/%s%u", folders[number % 3], number);
        return slice_make(room, (size_t)size);
    }
    if (world->key_style == 1) {
        size_t size = 0;
        do {
            room[size++] = (char)(number % 4 == 3 ? 0xff : number % 4);
            number /= 4;
        } while (number != 0);
        return slice_make(room, size);
    }
    return slice_make(room, (size_t)sprintf(room, "%08u", number));
}

static struct mvcc_range make_range(struct world *world, char *room, char *end_room)
{
    struct slice key = make_key(world, room);
    uint64_t kind = below(world, 8);
    if (kind == 0) return mvcc_range_make(slice_make("", 1), slice_make("", 1));
    if (kind == 1) return mvcc_range_make(key, slice_make("", 1));
    if (kind == 2) return mvcc_range_make(key, slice_empty());
    struct slice end = make_key(world, end_room);
    if (kind > 3 && slice_compare(key, end) > 0) return mvcc_range_make(end, key);
    return mvcc_range_make(key, end);
}

/* --- comparing ------------------------------------------------------------------------------------------------------------- */

static void check_kv(const struct mvcc_kv *kv, const struct mvcc_model_version *version)
{
    ck_assert(slice_equal(kv->key, blob_slice(version->key)));
    ck_assert_int_eq(kv->mod_revision, version->revision);
    if (version->is_delete) return;
    ck_assert(slice_equal(kv->value, blob_slice(version->value)));
    ck_assert_int_eq(kv->create_revision, version->create_revision);
    ck_assert_int_eq(kv->version, version->version);
    ck_assert_int_eq(kv->lease, version->lease);
    ck_assert((kv->value_blob != NULL) == (kv->value.size >= MVCC_RECORD_BLOB_MIN));
}

static void check_get(struct world *world, const struct mvcc_view *view, int64_t revision)
{
    char room[128];
    struct slice key = make_key(world, room);
    struct mvcc_kv kv;
    const struct mvcc_model_version *expected = mvcc_model_get(world->model, key, revision);
    ck_assert(mvcc_get(view, key, revision, &kv) == (expected != NULL));
    if (expected != NULL) check_kv(&kv, expected);
}

static void check_range(struct world *world, const struct mvcc_view *view, int64_t revision)
{
    char room[128];
    char end_room[128];
    struct mvcc_range range = make_range(world, room, end_room);
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    size_t cursor = 0;
    int64_t count = 0;
    mvcc_scan_init(&scan, view, &range, revision);
    const struct mvcc_model_version *expected;
    while ((expected = mvcc_model_scan(world->model, &range, revision, &cursor)) != NULL) {
        ck_assert(mvcc_scan_next(&scan, &kv));
        check_kv(&kv, expected);
        count++;
    }
    ck_assert(!mvcc_scan_next(&scan, &kv));
    ck_assert(!mvcc_scan_next(&scan, &kv));
    ck_assert_int_eq(mvcc_count(view, &range, revision), count);
}

static void check_history(struct world *world, const struct mvcc_view *view, int64_t from_revision)
{
    struct mvcc_history history;
    struct mvcc_change change;
    int64_t revision = from_revision;
    int64_t sub = 0;
    mvcc_history_init(&history, view, from_revision);
    for (uint64_t steps = below(world, 40); steps > 0; steps--) {
        const struct mvcc_model_version *expected = mvcc_model_change(world->model, revision, sub);
        bool is_there = expected != NULL && expected->revision <= mvcc_view_revision(view);
        ck_assert(mvcc_history_next(&history, &change) == is_there);
        if (!is_there) return;
        ck_assert_int_eq(change.revision, expected->revision);
        ck_assert_int_eq(change.sub, expected->sub);
        ck_assert(change.is_delete == expected->is_delete);
        check_kv(&change.kv, expected);
        revision = change.revision;
        sub = change.sub + 1;
    }
}

/* A revision that the view can read. */
static int64_t choose_revision(struct world *world, const struct mvcc_view *view)
{
    int64_t low = mvcc_view_compact_revision(view) > 0 ? mvcc_view_compact_revision(view) : 1;
    int64_t high = mvcc_view_revision(view);
    uint64_t kind = below(world, 6);
    if (kind == 0) return low;
    return kind == 1 ? high : low + (int64_t)below(world, (uint64_t)(high - low + 1));
}

static void check_view(struct world *world, const struct mvcc_view *view)
{
    int64_t revision = choose_revision(world, view);
    ck_assert_int_eq(mvcc_view_check(view, revision), ERR_OK);
    ck_assert_int_eq(mvcc_view_check(view, mvcc_view_revision(view) + 1), ERR_FUTURE_REV);
    for (int i = 0; i < 4; i++) check_get(world, view, revision);
    check_range(world, view, revision);
    check_history(world, view, revision);
    if (below(world, 16) == 0) {
        uint64_t expected = mvcc_model_hash(world->model, revision, mvcc_view_compact_revision(view));
        ck_assert_uint_eq(mvcc_hash(view, revision), expected);
    }
}

static void check_pin(struct world *world, struct store *store, int64_t revision)
{
    const struct mvcc_view *view = mvcc_view(store->mvcc);
    for (int i = 0; i < 4; i++) check_get(world, view, revision);
    check_range(world, view, revision);
    check_history(world, view, revision);
}

/* Counts in inner nodes, bounds of separators, order and heads of the whole tree. */
static uint64_t check_tree(const struct mvcc_node *node, struct slice low, struct slice high, bool has_high)
{
    uint64_t live = 0;
    for (uint32_t slot = 0; slot < node->count; slot++) {
        if (node->level == 0) {
            struct slice key = mvcc_record_key(mvcc_node_leaf(node)->records[slot]);
            bool is_equal = false;
            ck_assert_uint_eq(mvcc_node_search(node, key, &is_equal), slot);
            ck_assert(is_equal && slice_compare(low, key) <= 0 && (!has_high || slice_compare(key, high) < 0));
            bool is_live = (node->live >> slot & 1) != 0;
            ck_assert(is_live != mvcc_record_is_delete(mvcc_node_leaf(node)->records[slot]));
            live += is_live;
            continue;
        }
        const struct mvcc_node_inner *inner = mvcc_node_inner(node);
        struct slice from = slot == 0 ? low : slice_make(inner->separators[slot]->data, inner->separators[slot]->size);
        bool has_next = slot + 1 < node->count;
        struct slice to = has_next ? slice_make(inner->separators[slot + 1]->data, inner->separators[slot + 1]->size) : high;
        ck_assert(slot == 0 || mvcc_node_child(node, from) == slot);
        ck_assert(inner->children[slot]->level + 1 == node->level && inner->children[slot]->count > 0);
        uint64_t below_child = check_tree(inner->children[slot], from, to, has_next || has_high);
        ck_assert_uint_eq(inner->lives[slot], below_child);
        live += below_child;
    }
    return live;
}

static void check_store(struct world *world, struct store *store)
{
    const struct mvcc_view *draft = mvcc_writer_view(store->mvcc);
    ck_assert_int_eq(mvcc_view_revision(draft), world->model->revision);
    ck_assert_uint_eq(check_tree(draft->root, slice_empty(), slice_empty(), false), (uint64_t)mvcc_view_key_count(draft));
    check_view(world, draft);
    check_view(world, mvcc_view(store->mvcc));
    for (int i = 0; i < HELD_MAX; i++) {
        if (store->held[i].view != NULL) check_view(world, store->held[i].view);
    }
    for (int i = 0; i < PINS; i++) {
        bool is_readable = store->pin_slots[i] >= 0 && store->pin_revisions[i] <= mvcc_view_revision(mvcc_view(store->mvcc));
        if (is_readable) check_pin(world, store, store->pin_revisions[i]);
    }
}

/* --- working --------------------------------------------------------------------------------------------------------------- */

static void work_txn(struct world *world)
{
    uint64_t ops = below(world, 4) == 0 ? below(world, 8) : 1;
    static uint8_t value[MVCC_RECORD_BLOB_MIN + 16];
    char room[128];
    char end_room[128];
    mvcc_model_begin(world->model);
    for (int i = 0; i < STORES; i++) mvcc_begin(world->stores[i].mvcc);
    for (; ops > 0; ops--) {
        if (below(world, 5) > 0) {
            struct slice key = make_key(world, room);
            size_t size = below(world, 400) == 0 ? sizeof value - below(world, 32) : below(world, 24);
            value[0] = (uint8_t)below(world, 256);
            int64_t lease = below(world, 4) == 0 ? (int64_t)below(world, 9) : 0;
            mvcc_model_put(world->model, key, slice_make(value, size), lease);
            for (int i = 0; i < STORES; i++) mvcc_put(world->stores[i].mvcc, key, slice_make(value, size), lease);
            continue;
        }
        struct mvcc_range range = make_range(world, room, end_room);
        if (below(world, 12) != 0) range = mvcc_range_make(range.key, slice_empty());
        int64_t count = mvcc_model_delete(world->model, &range);
        for (int i = 0; i < STORES; i++) ck_assert_int_eq(mvcc_delete(world->stores[i].mvcc, &range, NULL, NULL), count);
    }
    int64_t revision = mvcc_model_commit(world->model);
    for (int i = 0; i < STORES; i++) ck_assert_int_eq(mvcc_commit(world->stores[i].mvcc), revision);
}

static void work_compact(struct world *world)
{
    int64_t low = world->model->compact_revision;
    int64_t revision = low + (int64_t)below(world, (uint64_t)(world->model->revision - low) + 2);
    enum err expected = revision <= low ? ERR_COMPACTED : revision > world->model->revision ? ERR_FUTURE_REV : ERR_OK;
    for (int i = 0; i < STORES; i++) ck_assert_int_eq(mvcc_compact(world->stores[i].mvcc, revision), expected);
    if (expected == ERR_OK) world->model->compact_revision = revision;
}

/* A grace period that respects the views that are held. */
static void work_grace(struct world *world, struct store *store)
{
    uint64_t time = store->rcu.now;
    if (below(world, 2) == 0) time -= below(world, time + 1);
    for (int i = 0; i < HELD_MAX; i++) {
        if (store->held[i].view != NULL && store->held[i].time < time) time = store->held[i].time;
    }
    rcu_double_pass(&store->rcu, time);
}

static void work_hold(struct world *world, struct store *store)
{
    struct held *held = &store->held[below(world, HELD_MAX)];
    bool drops = held->view != NULL;
    *held = (struct held){.view = drops ? NULL : mvcc_view(store->mvcc), .time = store->rcu.now};
}

static void work_pin(struct world *world, struct store *store)
{
    uint64_t i = below(world, PINS);
    bool compacted = false;
    if (store->pin_slots[i] >= 0) {
        mvcc_unpin(store->mvcc, store->pin_slots[i]);
        store->pin_slots[i] = -1;
        return;
    }
    store->pin_revisions[i] = 1 + (int64_t)below(world, (uint64_t)world->model->revision);
    store->pin_slots[i] = mvcc_pin(store->mvcc, store->pin_revisions[i], &compacted);
    ck_assert(compacted == (store->pin_revisions[i] < world->model->compact_revision));
    ck_assert((store->pin_slots[i] < 0) == compacted);
}

static void work_store(struct world *world, struct store *store)
{
    switch (below(world, 8)) {
    case 0: case 1: mvcc_publish(store->mvcc); break;
    case 2: work_grace(world, store); break;
    case 3: (void)mvcc_reclaim_step(store->mvcc, below(world, 40)); break;
    case 4: (void)mvcc_compact_step(store->mvcc, below(world, 60)); break;
    case 5: work_hold(world, store); break;
    case 6: if (below(world, 8) == 0) work_pin(world, store); break;
    default: break;
    }
}

/* Finishes all compaction and checks that nothing is left but what a reader at the mark may want. */
static void settle(struct world *world, struct store *store)
{
    for (int i = 0; i < PINS; i++) {
        if (store->pin_slots[i] >= 0) mvcc_unpin(store->mvcc, store->pin_slots[i]);
        store->pin_slots[i] = -1;
    }
    while (mvcc_compact_step(store->mvcc, 1 + below(world, 100))) continue;
    mvcc_publish(store->mvcc);
    ck_assert_int_eq(mvcc_compact_done_revision(store->mvcc), world->model->compact_revision);
    check_store(world, store);
    for (int i = 0; i < HELD_MAX; i++) store->held[i].view = NULL;
    rcu_double_pass(&store->rcu, UINT64_MAX);
    while (mvcc_reclaim_step(store->mvcc, 7)) continue;
    struct mvcc_stats stats;
    mvcc_get_stats(store->mvcc, &stats);
    ck_assert_uint_eq(stats.bags_outstanding, 0);
    ck_assert(stats.versions >= stats.live_keys && stats.keys >= stats.live_keys);
    check_store(world, store);
}

static void run_seed(uint64_t seed)
{
    struct world world = {.model = mvcc_model_new()};
    rng_init(&world.rng, seed);
    static const uint32_t spaces[] = {5, 40, 300, 3000};
    world.key_space = spaces[below(&world, 4)];
    world.key_style = (uint32_t)below(&world, 3);
    for (int i = 0; i < STORES; i++) {
        struct store *store = &world.stores[i];
        rcu_double_init(&store->rcu);
        store->mvcc = mvcc_new(&(struct mvcc_options){.rcu = &store->rcu.rcu});
        for (int pin = 0; pin < PINS; pin++) store->pin_slots[pin] = -1;
    }
    uint64_t ops = world.key_space >= 3000 ? 4000 : 1200;
    for (uint64_t op = 0; op < ops; op++) {
        work_txn(&world);
        if (below(&world, 50) == 0) work_compact(&world);
        for (int i = 0; i < STORES; i++) work_store(&world, &world.stores[i]);
        if (below(&world, 24) == 0) check_store(&world, &world.stores[below(&world, STORES)]);
        ck_assert_uint_eq(mvcc_hash(mvcc_writer_view(world.stores[0].mvcc), 0), mvcc_hash(mvcc_writer_view(world.stores[1].mvcc), 0));
    }
    for (int i = 0; i < STORES; i++) {
        settle(&world, &world.stores[i]);
        mvcc_free(world.stores[i].mvcc);
    }
    mvcc_model_free(world.model);
}

START_TEST(test_mvcc_answers_as_the_model_does)
{
    bool is_long = getenv("KVD_TEST_LONG") != NULL;
    const char *only = getenv("KVD_TEST_SEED");
    struct timespec start;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    uint64_t seed = only != NULL ? strtoull(only, NULL, 10) : 1;
    for (;; seed++) {
        run_seed(seed);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (only != NULL || now.tv_sec - start.tv_sec >= (is_long ? 120 : 5)) break;
    }
    printf("seeds run up to %llu\n", (unsigned long long)seed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mvcc_model");
    TCase *tcase = tcase_create("random");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_mvcc_answers_as_the_model_does);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
