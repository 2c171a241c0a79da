/* test_mvcc_model: random work on the store and on a naive model, every answer compared; grace periods at random moments.
 *
 * Two stores do the same work; they publish, compact and reclaim at different moments, and their hashes must agree. Views are held over
 * many steps, as readers do; what is freed under them is found by AddressSanitizer or by the poison (-DMVCC_POISON).
 * KVD_TEST_LONG=1 runs many more seeds, KVD_TEST_SEED=n that one alone. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kvd/extra.pb-c.h"
#include "lib/mvcc_model.h"
#include "lib/mvcc_model_tree.h"
#include "lib/rcu_double.h"
#include "storage/history.h"
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

static struct slice make_key(struct world *world, char *room)
{
    return mvcc_model_key(world->key_style, (uint32_t)below(world, world->key_space), room);
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

static void check_kv(const struct mvcc_kv *kv, const struct mvcc_model_version *version)
{
    EXPECT(slice_equal(kv->key, blob_slice(version->key)));
    EXPECT(kv->mod_revision == version->revision);
    if (version->is_delete) return;
    EXPECT(slice_equal(kv->value, blob_slice(version->value)));
    EXPECT(kv->create_revision == version->create_revision);
    EXPECT(kv->version == version->version);
    EXPECT(kv->lease == version->lease);
    EXPECT((kv->value_blob != NULL) == (kv->value.size >= MVCC_RECORD_BLOB_MIN));
}

static void check_get(struct world *world, const struct mvcc_view *view, int64_t revision)
{
    char room[MVCC_MODEL_KEY_MAX];
    struct slice key = make_key(world, room);
    struct mvcc_kv kv;
    const struct mvcc_model_version *expected = mvcc_model_get(world->model, key, revision);
    EXPECT(mvcc_get(view, key, revision, &kv) == (expected != NULL));
    if (expected != NULL) check_kv(&kv, expected);
}

static void check_range(struct world *world, const struct mvcc_view *view, int64_t revision)
{
    char room[MVCC_MODEL_KEY_MAX];
    char end_room[MVCC_MODEL_KEY_MAX];
    struct mvcc_range range = make_range(world, room, end_room);
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    size_t cursor = 0;
    int64_t count = 0;
    mvcc_scan_init(&scan, view, &range, revision);
    const struct mvcc_model_version *expected;
    while ((expected = mvcc_model_scan(world->model, &range, revision, &cursor)) != NULL) {
        EXPECT(mvcc_scan_next(&scan, &kv));
        check_kv(&kv, expected);
        count++;
    }
    EXPECT(!mvcc_scan_next(&scan, &kv));
    EXPECT(!mvcc_scan_next(&scan, &kv));
    EXPECT(mvcc_count(view, &range, revision) == count);
}

static struct range_request make_request(struct world *world, char *room, char *end_room)
{
    struct mvcc_range range = make_range(world, room, end_room);
    struct range_request request = {.key = range.key, .range_end = range.end};
    int64_t revision = world->model->revision;
    if (below(world, 3) > 0) request.limit = (int64_t)below(world, below(world, 2) == 0 ? 8 : 200);
    request.sort_order = (int32_t)below(world, 3);
    if (below(world, 2) == 0) request.sort_target = (int32_t)below(world, 5);
    request.keys_only = below(world, 4) == 0;
    request.count_only = below(world, 6) == 0;
    if (below(world, 5) == 0) request.min_mod_revision = (int64_t)below(world, (uint64_t)revision + 2);
    if (below(world, 5) == 0) request.max_mod_revision = (int64_t)below(world, (uint64_t)revision + 2);
    if (below(world, 5) == 0) request.min_create_revision = (int64_t)below(world, (uint64_t)revision + 2);
    if (below(world, 5) == 0) request.max_create_revision = (int64_t)below(world, (uint64_t)revision + 2);
    return request;
}

static void check_answer(const struct range_request *request, const struct mvcc_model_answer *answer, struct slice body)
{
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, body.size, body.data);
    EXPECT(response != NULL);
    EXPECT(response->count == answer->count);
    EXPECT(!!response->more == answer->more);
    EXPECT(response->n_kvs == answer->row_count);
    for (size_t i = 0; i < answer->row_count; i++) {
        const Mvccpb__KeyValue *kv = response->kvs[i];
        struct slice value = request->keys_only ? slice_empty() : blob_slice(answer->rows[i]->value);
        EXPECT(slice_equal(slice_make(kv->key.data, kv->key.len), blob_slice(answer->rows[i]->key)));
        EXPECT(slice_equal(slice_make(kv->value.data, kv->value.len), value));
        EXPECT(kv->mod_revision == answer->rows[i]->revision);
        EXPECT(kv->create_revision == answer->rows[i]->create_revision);
        EXPECT(kv->version == answer->rows[i]->version);
        EXPECT(kv->lease == answer->rows[i]->lease);
    }
    etcdserverpb__range_response__free_unpacked(response, NULL);
}

/* One RangeRequest on one view, in steps of any size. */
static void check_request(struct world *world, const struct mvcc_view *view, int64_t revision)
{
    char room[MVCC_MODEL_KEY_MAX];
    char end_room[MVCC_MODEL_KEY_MAX];
    struct range_request request = make_request(world, room, end_room);
    request.revision = revision;
    struct range *range = range_new(&request, NULL, SIZE_MAX);
    enum range_progress progress = RANGE_MORE;
    enum err err = ERR_OK;
    struct buf body;
    buf_init(&body);
    buf_reserve(&body, 1);
    while (progress == RANGE_MORE) progress = range_step(range, view, 1 + below(world, 3000), 1 + below(world, 300), &body, &err);
    EXPECT(progress == RANGE_DONE);
    EXPECT(range_header_revision(range) == mvcc_view_revision(view));
    struct mvcc_model_answer answer = mvcc_model_range(world->model, &request, revision);
    check_answer(&request, &answer, buf_slice(&body));
    alloc_free(answer.rows);
    buf_deinit(&body);
    range_free(range);
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
        EXPECT(mvcc_history_next(&history, &change) == is_there);
        if (!is_there) return;
        EXPECT(change.revision == expected->revision);
        EXPECT(change.sub == expected->sub);
        EXPECT(change.is_delete == expected->is_delete);
        check_kv(&change.kv, expected);
        revision = change.revision;
        sub = change.sub + 1;
    }
}

/* A walk that begins at what may be compacted begins with the first change of a revision that is there, never in the middle of one. */
static void check_history_begin(struct world *world, const struct mvcc_view *view)
{
    struct mvcc_history history;
    struct mvcc_change change;
    int64_t from = (int64_t)below(world, (uint64_t)mvcc_view_revision(view) + 1);
    mvcc_history_init(&history, view, from);
    if (!mvcc_history_next(&history, &change)) return;
    const struct mvcc_model_version *expected = mvcc_model_change(world->model, change.revision, 0);
    EXPECT(change.revision >= from && change.sub == 0);
    EXPECT(expected != NULL && expected->revision == change.revision && change.is_delete == expected->is_delete);
    check_kv(&change.kv, expected);
}

/* What the window holds of the interval, in the order of revisions; the caller frees it. */
static const struct mvcc_model_version **expect_page(struct world *world, const struct mvcc_range *range, int64_t from, int64_t to, size_t *out_count)
{
    const struct mvcc_model_version **rows = alloc_zero(world->model->count + 1, sizeof *rows), *row;
    size_t count = 0;
    for (int64_t revision = from, sub = 0; (row = mvcc_model_change(world->model, revision, sub)) != NULL && row->revision <= to;) {
        if (mvcc_range_contains(range, blob_slice(row->key))) rows[count++] = row;
        revision = row->revision;
        sub = row->sub + 1;
    }
    *out_count = count;
    return rows;
}

static void check_event(const Mvccpb__Event *event, const struct mvcc_model_version *row, bool keys_only)
{
    const Mvccpb__KeyValue *kv = event->kv;
    struct slice value = keys_only || row->is_delete ? slice_empty() : blob_slice(row->value);
    EXPECT((event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE) == row->is_delete);
    EXPECT(slice_equal(slice_make(kv->key.data, kv->key.len), blob_slice(row->key)));
    EXPECT(slice_equal(slice_make(kv->value.data, kv->value.len), value));
    EXPECT(kv->mod_revision == row->revision);
    EXPECT(row->is_delete ? kv->version == 0 && kv->create_revision == 0 : kv->version == row->version && kv->create_revision == row->create_revision);
}

/* One page after the other, each in steps of any size; the token of one page is all that the next one knows. */
static void check_pages(struct world *world, const struct mvcc_view *view, struct history_request *request)
{
    struct mvcc_range range = mvcc_range_make(request->key, request->range_end);
    int64_t to = request->to > 0 ? request->to : mvcc_view_revision(view), from = request->from;
    if (from == 0) from = mvcc_view_compact_revision(view) > 0 ? mvcc_view_compact_revision(view) : 1;
    size_t count, told = 0;
    const struct mvcc_model_version **rows = expect_page(world, &range, from, to, &count);
    for (bool has_next = true; has_next;) {
        struct history *history = history_new(request, NULL);
        enum history_progress progress = HISTORY_MORE;
        enum err err = ERR_OK;
        struct buf body;
        buf_init(&body);
        buf_reserve(&body, 1);
        while (progress == HISTORY_MORE) progress = history_step(history, view, 1 + below(world, 3000), 1 + below(world, 300), &body, &err);
        EXPECT(progress == HISTORY_DONE);
        Kvd__V1__HistoryResponse *response = kvd__v1__history_response__unpack(NULL, body.size, body.blob->data);
        EXPECT(response != NULL && (request->limit == 0 || response->n_events <= (size_t)request->limit));
        EXPECT(response->compact_revision == mvcc_view_compact_revision(view));
        for (size_t i = 0; i < response->n_events; i++, told++) {
            EXPECT(told < count);
            check_event(response->events[i], rows[request->oldest_first ? told : count - 1 - told], request->keys_only);
        }
        has_next = response->next.len > 0;
        EXPECT(!has_next || response->n_events > 0);
        if (has_next) {
            struct buf bytes;
            struct history_request parsed;
            buf_init(&bytes);
            buf_put_pb_bytes(&bytes, 9, slice_make(response->next.data, response->next.len));
            EXPECT(history_parse(buf_slice(&bytes), &parsed) == ERR_OK && parsed.has_place);
            request->has_place = true;
            request->place = parsed.place;
            EXPECT(history_check(request) == ERR_OK);
            buf_deinit(&bytes);
        }
        kvd__v1__history_response__free_unpacked(response, NULL);
        buf_deinit(&body);
        history_free(history);
    }
    EXPECT(told == count);
    alloc_free(rows);
}

static void check_history_request(struct world *world, const struct mvcc_view *view, int64_t from_revision)
{
    char room[MVCC_MODEL_KEY_MAX], end_room[MVCC_MODEL_KEY_MAX];
    struct mvcc_range range = make_range(world, room, end_room);
    if (below(world, 2) == 0) range = mvcc_range_make(range.key, slice_empty());
    struct history_request request = {.key = range.key, .range_end = range.end};
    int64_t width = mvcc_view_revision(view) - from_revision + 1;
    request.from = below(world, 4) == 0 ? 0 : from_revision;
    if (below(world, 2) == 0) request.to = from_revision + (int64_t)below(world, (uint64_t)width);
    if (below(world, 3) > 0) request.limit = 1 + (int64_t)below(world, below(world, 2) == 0 ? 8 : 200);
    request.oldest_first = below(world, 2) == 0;
    request.keys_only = below(world, 4) == 0;
    check_pages(world, view, &request);
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
    EXPECT(mvcc_view_check(view, revision) == ERR_OK);
    EXPECT(mvcc_view_check(view, mvcc_view_revision(view) + 1) == ERR_FUTURE_REV);
    for (int i = 0; i < 4; i++) check_get(world, view, revision);
    check_range(world, view, revision);
    check_request(world, view, revision);
    check_history(world, view, revision);
    check_history_begin(world, view);
    if (below(world, 3) == 0) check_history_request(world, view, revision);
    if (below(world, 4) == 0) {
        uint64_t expected = mvcc_model_hash(world->model, revision, mvcc_view_compact_revision(view));
        EXPECT(mvcc_hash(view, revision) == expected);
    }
}

static void check_pin(struct world *world, struct store *store, int64_t revision)
{
    const struct mvcc_view *view = mvcc_view(store->mvcc);
    for (int i = 0; i < 4; i++) check_get(world, view, revision);
    check_range(world, view, revision);
    check_history(world, view, revision);
}

static void check_store(struct world *world, struct store *store)
{
    const struct mvcc_view *draft = mvcc_writer_view(store->mvcc);
    EXPECT(mvcc_view_revision(draft) == world->model->revision);
    EXPECT(mvcc_model_check_tree(draft) == (uint64_t)mvcc_view_key_count(draft));
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
    char room[MVCC_MODEL_KEY_MAX];
    char end_room[MVCC_MODEL_KEY_MAX];
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
        for (int i = 0; i < STORES; i++) EXPECT(mvcc_delete(world->stores[i].mvcc, &range, NULL, NULL) == count);
    }
    int64_t revision = mvcc_model_commit(world->model);
    for (int i = 0; i < STORES; i++) EXPECT(mvcc_commit(world->stores[i].mvcc) == revision);
}

static void work_compact(struct world *world)
{
    int64_t low = world->model->compact_revision;
    int64_t revision = low + (int64_t)below(world, (uint64_t)(world->model->revision - low) + 2);
    enum err expected = revision <= low ? ERR_COMPACTED : revision > world->model->revision ? ERR_FUTURE_REV : ERR_OK;
    for (int i = 0; i < STORES; i++) EXPECT(mvcc_compact(world->stores[i].mvcc, revision) == expected);
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
    EXPECT(compacted == (store->pin_revisions[i] < world->model->compact_revision));
    EXPECT((store->pin_slots[i] < 0) == compacted);
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
    EXPECT(mvcc_compact_done_revision(store->mvcc) == world->model->compact_revision);
    check_store(world, store);
    for (int i = 0; i < HELD_MAX; i++) store->held[i].view = NULL;
    rcu_double_pass(&store->rcu, UINT64_MAX);
    while (mvcc_reclaim_step(store->mvcc, 7)) continue;
    struct mvcc_stats stats;
    mvcc_get_stats(store->mvcc, &stats);
    EXPECT(stats.bags_outstanding == 0);
    EXPECT(stats.versions >= stats.live_keys && stats.keys >= stats.live_keys);
    check_store(world, store);
}

static void run_seed(uint64_t seed)
{
    struct world world = {.model = mvcc_model_new()};
    rng_init(&world.rng, seed);
    static const uint32_t spaces[] = {5, 40, 300, 3000};
    world.key_space = spaces[below(&world, 4)];
    world.key_style = (uint32_t)(seed % MVCC_MODEL_KEY_STYLES);
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
        EXPECT(mvcc_hash(mvcc_writer_view(world.stores[0].mvcc), 0) == mvcc_hash(mvcc_writer_view(world.stores[1].mvcc), 0));
    }
    for (int i = 0; i < STORES; i++) {
        settle(&world, &world.stores[i]);
        mvcc_free(world.stores[i].mvcc);
    }
    mvcc_model_free(world.model);
}

START_TEST(test_mvcc_answers_as_the_model_does)
{
    const char *only = getenv("KVD_TEST_SEED");
    uint64_t first = only != NULL ? strtoull(only, NULL, 10) : 1;
    uint64_t last = only != NULL ? first : getenv("KVD_TEST_LONG") != NULL ? 400 : 20;
    for (uint64_t seed = first; seed <= last; seed++) run_seed(seed);
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
