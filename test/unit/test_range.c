/* Does a range give what filtering, sorting and cutting the whole list would give, in one step or in many, at one revision? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "storage/range.h"

/* Runs a job to its end; the same view in all steps. */
static enum err run(struct kv_rig *rig, const struct range_request *request, struct mvcc *mvcc, size_t gather_max,
                    size_t bytes_max, size_t rows_max, struct buf *out_body)
{
    struct range *range = range_new(request, mvcc, gather_max);
    enum range_progress progress = RANGE_MORE;
    enum err err = ERR_OK;
    while (progress == RANGE_MORE) {
        size_t before = out_body->size;
        progress = range_step(range, mvcc_view(rig->mvcc), bytes_max, rows_max, out_body, &err);
        ck_assert_uint_le(out_body->size - before, bytes_max > SIZE_MAX / 2 ? SIZE_MAX : bytes_max + 300);
    }
    ck_assert((progress == RANGE_FAILED) == (err != ERR_OK));
    range_free(range);
    return err;
}

/* --- the reference ---------------------------------------------------------------------------------------------------------- */

struct rows {
    struct mvcc_kv *kvs;
    size_t count;
};

static int compare_by(const struct range_request *request, const struct mvcc_kv *a, const struct mvcc_kv *b)
{
    int64_t x[] = {0, a->version, a->create_revision, a->mod_revision};
    int64_t y[] = {0, b->version, b->create_revision, b->mod_revision};
    int order;
    if (request->sort_target == 0) order = slice_compare(a->key, b->key);
    else if (request->sort_target == 4) order = slice_compare(a->value, b->value);
    else order = (x[request->sort_target] > y[request->sort_target]) - (x[request->sort_target] < y[request->sort_target]);
    return request->sort_order == 2 ? -order : order;
}

static bool is_wanted(const struct range_request *r, const struct mvcc_kv *kv)
{
    return (r->min_mod_revision == 0 || kv->mod_revision >= r->min_mod_revision) &&
           (r->max_mod_revision == 0 || kv->mod_revision <= r->max_mod_revision) &&
           (r->min_create_revision == 0 || kv->create_revision >= r->min_create_revision) &&
           (r->max_create_revision == 0 || kv->create_revision <= r->max_create_revision);
}

/* A target without an order cuts first (and one row later), sorts afterwards, unless there is a filter. */
static bool is_cut_first(const struct range_request *r)
{
    return r->limit > 0 && r->sort_order == 0 && r->min_mod_revision == 0 && r->max_mod_revision == 0 &&
           r->min_create_revision == 0 && r->max_create_revision == 0;
}

static struct rows reference(const struct mvcc_view *view, const struct range_request *request, int64_t *out_count)
{
    struct mvcc_range interval = mvcc_range_make(request->key, request->range_end);
    struct mvcc_scan scan;
    struct rows rows = {.kvs = alloc_new(1000 * sizeof *rows.kvs)};
    *out_count = 0;
    mvcc_scan_init(&scan, view, &interval, request->revision);
    for (struct mvcc_kv kv; mvcc_scan_next(&scan, &kv); ++*out_count)
        if (is_wanted(request, &kv) && (!is_cut_first(request) || *out_count <= request->limit)) rows.kvs[rows.count++] = kv;
    for (size_t i = 1; i < rows.count; i++) { /* an insertion sort is stable */
        struct mvcc_kv kv = rows.kvs[i];
        size_t n = i;
        for (; n > 0 && compare_by(request, &rows.kvs[n - 1], &kv) > 0; n--) rows.kvs[n] = rows.kvs[n - 1];
        rows.kvs[n] = kv;
    }
    return rows;
}

static void assert_response(const struct mvcc_view *view, const struct range_request *request, struct slice body)
{
    int64_t count;
    struct rows rows = reference(view, request, &count);
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, body.size, body.data);
    ck_assert_ptr_nonnull(response);
    size_t expected = request->count_only ? 0 : rows.count;
    bool more = false;
    if (request->limit > 0 && expected > (size_t)request->limit) expected = (size_t)request->limit, more = true;
    ck_assert_uint_eq(response->n_kvs, expected);
    ck_assert_int_eq(response->count, count);
    ck_assert(!!response->more == more);
    for (size_t i = 0; i < expected; i++) {
        const Mvccpb__KeyValue *kv = response->kvs[i];
        ck_assert(slice_equal(slice_make(kv->key.data, kv->key.len), rows.kvs[i].key));
        ck_assert(slice_equal(slice_make(kv->value.data, kv->value.len),
                              request->keys_only ? slice_empty() : rows.kvs[i].value));
        ck_assert_int_eq(kv->create_revision, rows.kvs[i].create_revision);
        ck_assert_int_eq(kv->mod_revision, rows.kvs[i].mod_revision);
        ck_assert_int_eq(kv->version, rows.kvs[i].version);
        ck_assert_int_eq(kv->lease, rows.kvs[i].lease);
    }
    etcdserverpb__range_response__free_unpacked(response, NULL);
    alloc_free(rows.kvs);
}

/* 300 writes and deletes over 100 keys, values of few kinds so that sorts have ties. */
static void fill(struct kv_rig *rig, struct rng *rng)
{
    for (int i = 0; i < 300; i++) {
        char key[8], value[40];
        int length = snprintf(key, sizeof key, "k%02d", (int)rng_below(rng, 100));
        int value_length = snprintf(value, sizeof value, "%.*s%d", (int)rng_below(rng, 20), "samesamesamesamesame", (int)rng_below(rng, 3));
        struct slice key_slice = slice_make(key, (size_t)length);
        mvcc_begin(rig->mvcc);
        if (rng_below(rng, 5) == 0) {
            struct mvcc_range one = mvcc_range_make(key_slice, slice_empty());
            (void)mvcc_delete(rig->mvcc, &one, NULL, NULL);
        } else {
            mvcc_put(rig->mvcc, key_slice, slice_make(value, (size_t)value_length), (int64_t)rng_below(rng, 2) * 77);
        }
        (void)mvcc_commit(rig->mvcc);
    }
    mvcc_publish(rig->mvcc);
}

static struct range_request random_request(struct rng *rng, int64_t revision, char keys[2][8])
{
    struct range_request request = {.limit = (int64_t)rng_below(rng, 3) == 0 ? 0 : (int64_t)rng_below(rng, 40)};
    int first = snprintf(keys[0], 8, "k%02d", (int)rng_below(rng, 100));
    int second = snprintf(keys[1], 8, "k%02d", (int)rng_below(rng, 100));
    request.key = slice_make(keys[0], (size_t)first);
    if (rng_below(rng, 5) != 0) request.range_end = slice_make(keys[1], (size_t)second);
    if (rng_below(rng, 3) == 0) request.key = request.range_end = slice_make("\0", 1);
    if (rng_below(rng, 3) == 0) request.revision = 1 + (int64_t)rng_below(rng, (uint64_t)revision);
    request.sort_order = (int32_t)rng_below(rng, 3);
    request.sort_target = rng_below(rng, 3) == 0 ? 0 : (int32_t)rng_below(rng, 5);
    request.keys_only = rng_below(rng, 4) == 0;
    request.count_only = rng_below(rng, 8) == 0;
    if (rng_below(rng, 4) == 0) request.min_mod_revision = (int64_t)rng_below(rng, 300);
    if (rng_below(rng, 4) == 0) request.max_mod_revision = (int64_t)rng_below(rng, 300);
    if (rng_below(rng, 4) == 0) request.min_create_revision = (int64_t)rng_below(rng, 300);
    if (rng_below(rng, 4) == 0) request.max_create_revision = (int64_t)rng_below(rng, 300);
    if (rng_below(rng, 50) == 0) request.limit = -5;
    return request;
}

START_TEST(test_range_agrees_with_filter_sort_limit_in_any_chunks)
{
    struct rng rng;
    rng_init(&rng, 3);
    for (int store = 0; store < 10; store++) {
        struct kv_rig rig;
        kv_rig_init(&rig);
        fill(&rig, &rng);
        const struct mvcc_view *view = mvcc_view(rig.mvcc);
        for (int round = 0; round < 300; round++) {
            char keys[2][8];
            struct range_request request = random_request(&rng, mvcc_view_revision(view), keys);
            struct buf whole, pieces;
            buf_init(&whole);
            buf_init(&pieces);
            buf_reserve(&whole, 1);
            ck_assert_int_eq(run(&rig, &request, NULL, SIZE_MAX, SIZE_MAX, SIZE_MAX, &whole), ERR_OK);
            assert_response(view, &request, buf_slice(&whole));
            ck_assert_int_eq(run(&rig, &request, rig.mvcc, SIZE_MAX, rng_below(&rng, 300), 1 + rng_below(&rng, 30), &pieces),
                             ERR_OK);
            ck_assert(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
            buf_deinit(&whole);
            buf_deinit(&pieces);
        }
        kv_rig_deinit(&rig);
    }
}
END_TEST

/* --- stories ------------------------------------------------------------------------------------------------------------------ */

static void assert_range(struct kv_rig *rig, const char *request, const char *expected)
{
    ck_assert_str_eq(kv_rig_range(rig, request), expected);
}

START_TEST(test_range_count_ignores_limit_and_filters)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=2");
    kv_rig_put(&rig, "c=3");
    assert_range(&rig, "a..*,limit=2", "@4 get{a=1/2.2.1 b=2/3.3.1} more count=3");
    assert_range(&rig, "a..*,limit=3", "@4 get{a=1/2.2.1 b=2/3.3.1 c=3/4.4.1} count=3");
    assert_range(&rig, "a..*,minmod=4", "@4 get{c=3/4.4.1} count=3");
    assert_range(&rig, "a..*,minmod=3,limit=1", "@4 get{b=2/3.3.1} more count=3");
    assert_range(&rig, "a..*,limit=1,order=2,target=3", "@4 get{c=3/4.4.1} more count=3");
    assert_range(&rig, "a..*,maxmod=-1", "@4 get{} count=3");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_count_only_has_no_kvs_and_no_more)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=2");
    assert_range(&rig, "a..*,count,limit=1", "@3 get{} count=2");
    assert_range(&rig, "a,count", "@3 get{} count=1");
    assert_range(&rig, "x,count", "@3 get{} count=0");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_header_is_current_when_the_past_is_read)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "a=2");
    kv_rig_put(&rig, "b=3");
    assert_range(&rig, "a..*,rev=2", "@4 get{a=1/2.2.1} count=1");
    assert_range(&rig, "a,rev=3", "@4 get{a=2/2.3.2} count=1");
    assert_range(&rig, "a..*,rev=1", "@4 get{} count=0");
    assert_range(&rig, "a,rev=5", "FUTURE_REV");
    assert_range(&rig, "a,rev=-1", "@4 get{a=2/2.3.2} count=1");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_compacted_revision_itself_is_readable)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "a=2");
    kv_rig_put(&rig, "a=3");
    ck_assert_int_eq(kv_rig_compact(&rig, 3, false), ERR_OK);
    assert_range(&rig, "a,rev=2", "COMPACTED");
    assert_range(&rig, "a,rev=3", "@4 get{a=2/2.3.2} count=1");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_empty_end_and_zero_end_differ)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=1");
    kv_rig_put(&rig, "b=2");
    assert_range(&rig, "a", "@3 get{a=1/2.2.1} count=1");
    assert_range(&rig, "a..*", "@3 get{a=1/2.2.1 b=2/3.3.1} count=2");
    assert_range(&rig, "b..*", "@3 get{b=2/3.3.1} count=1");
    assert_range(&rig, "*..*", "@3 get{a=1/2.2.1 b=2/3.3.1} count=2");
    assert_range(&rig, "b..a", "@3 get{} count=0");
    assert_range(&rig, "a..a", "@3 get{} count=0");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_keys_only_keeps_lease_and_revisions)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    mvcc_begin(rig.mvcc);
    mvcc_put(rig.mvcc, slice_from_string("a"), slice_from_string("1"), 9);
    mvcc_commit(rig.mvcc);
    mvcc_publish(rig.mvcc);
    assert_range(&rig, "a,keys", "@2 get{a=/2.2.1/l9} count=1");
    assert_range(&rig, "a..*,keys,target=4", "@2 get{a=/2.2.1/l9} count=1");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_order_none_with_a_target_is_ascending_and_stable)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=2");
    kv_rig_put(&rig, "b=1");
    kv_rig_put(&rig, "c=2");
    assert_range(&rig, "a..*,target=4", "@4 get{b=1/3.3.1 a=2/2.2.1 c=2/4.4.1} count=3");
    assert_range(&rig, "a..*,target=4,order=2", "@4 get{a=2/2.2.1 c=2/4.4.1 b=1/3.3.1} count=3");
    assert_range(&rig, "a..*,order=2,limit=2", "@4 get{c=2/4.4.1 b=1/3.3.1} more count=3");
    assert_range(&rig, "a..*,target=1,order=2,limit=2", "@4 get{a=2/2.2.1 b=1/3.3.1} more count=3");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_limit_of_a_target_without_an_order_cuts_one_row_late_and_then_sorts)
{
    struct kv_rig rig;
    kv_rig_init(&rig);
    kv_rig_put(&rig, "a=4");
    kv_rig_put(&rig, "b=3");
    kv_rig_put(&rig, "c=2");
    kv_rig_put(&rig, "d=1");
    assert_range(&rig, "a..*,target=4,limit=1", "@5 get{b=3/3.3.1} more count=4");
    assert_range(&rig, "a..*,target=4,limit=2", "@5 get{c=2/4.4.1 b=3/3.3.1} more count=4");
    assert_range(&rig, "a..*,target=4,limit=3", "@5 get{d=1/5.5.1 c=2/4.4.1 b=3/3.3.1} more count=4");
    assert_range(&rig, "a..*,target=4,limit=4", "@5 get{d=1/5.5.1 c=2/4.4.1 b=3/3.3.1 a=4/2.2.1} count=4");
    assert_range(&rig, "a..*,target=4,limit=1,order=1", "@5 get{d=1/5.5.1} more count=4");
    assert_range(&rig, "a..*,target=4,limit=1,minmod=1", "@5 get{d=1/5.5.1} more count=4");
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_beyond_its_memory_is_refused)
{
    struct kv_rig rig;
    struct rng rng;
    struct buf body;
    struct range_request request = {.key = slice_make("\0", 1), .range_end = slice_make("\0", 1), .sort_order = 2};
    kv_rig_init(&rig);
    rng_init(&rng, 5);
    fill(&rig, &rng);
    buf_init(&body);
    ck_assert_int_eq(run(&rig, &request, rig.mvcc, 1000, SIZE_MAX, 10, &body), ERR_TOO_MANY_REQUESTS);
    buf_clear(&body);
    request.limit = 3; /* a selection of three fits */
    ck_assert_int_eq(run(&rig, &request, rig.mvcc, 1000, SIZE_MAX, 10, &body), ERR_OK);
    buf_deinit(&body);
    kv_rig_deinit(&rig);
}
END_TEST

/* --- while the store changes ---------------------------------------------------------------------------------------------------- */

static void change_store(struct kv_rig *rig, struct rng *rng)
{
    fill(rig, rng);
    ck_assert_int_eq(kv_rig_compact(rig, mvcc_view_revision(mvcc_view(rig->mvcc)), false), ERR_OK);
    while (mvcc_compact_step(rig->mvcc, 1000)) {}
}

START_TEST(test_range_steps_read_one_revision_while_the_store_is_changed_and_compacted)
{
    static const struct range_request kinds[] = {
        {.sort_order = 0}, {.sort_order = 2}, {.sort_target = 4}, {.limit = 20}, {.min_mod_revision = 50, .limit = 10}};
    struct rng rng;
    rng_init(&rng, 9);
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        struct kv_rig rig;
        struct buf whole, pieces;
        struct range_request request = kinds[kind];
        enum range_progress progress = RANGE_MORE;
        enum err err = ERR_OK;
        kv_rig_init(&rig);
        fill(&rig, &rng);
        buf_init(&whole);
        buf_init(&pieces);
        request.key = request.range_end = slice_make("\0", 1);
        ck_assert_int_eq(run(&rig, &request, NULL, SIZE_MAX, SIZE_MAX, SIZE_MAX, &whole), ERR_OK);
        int64_t revision = mvcc_view_revision(mvcc_view(rig.mvcc));
        struct range *range = range_new(&request, rig.mvcc, SIZE_MAX);
        for (int step = 0; progress == RANGE_MORE; step++) {
            progress = range_step(range, mvcc_view(rig.mvcc), 100, 7, &pieces, &err);
            ck_assert_int_eq(range_header_revision(range), revision);
            if (step < 3) change_store(&rig, &rng);
        }
        ck_assert_int_eq(progress, RANGE_DONE);
        ck_assert(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
        range_free(range);
        buf_deinit(&whole);
        buf_deinit(&pieces);
        kv_rig_deinit(&rig);
    }
}
END_TEST

/* The first step works on a view that was published before a compaction, as a reader may between two quiescent states. */
static void step_on_a_view_older_than_the_mark(const char *text, enum range_progress expected, enum err expected_err)
{
    struct kv_rig rig;
    struct rng rng;
    struct buf bytes, body;
    struct range_request request;
    enum err err = ERR_OK;
    kv_rig_init(&rig);
    rng_init(&rng, 6);
    fill(&rig, &rng);
    rig.holds_retired = true;
    const struct mvcc_view *old = mvcc_view(rig.mvcc);
    fill(&rig, &rng);
    ck_assert_int_eq(kv_rig_compact(&rig, mvcc_view_revision(mvcc_view(rig.mvcc)), false), ERR_OK);
    bytes = kv_text_range(text);
    ck_assert_int_eq(range_parse(buf_slice(&bytes), &request), ERR_OK);
    buf_init(&body);
    struct range *range = range_new(&request, rig.mvcc, SIZE_MAX);
    ck_assert_int_eq(range_step(range, old, 100, 7, &body, &err), expected);
    ck_assert_int_eq(err, expected_err);
    if (expected == RANGE_MORE) {
        ck_assert_uint_eq(body.size, 0); /* begins again */
        while (range_step(range, mvcc_view(rig.mvcc), 100, 7, &body, &err) == RANGE_MORE) {}
        assert_response(mvcc_view(rig.mvcc), &request, buf_slice(&body));
        ck_assert_int_eq(range_header_revision(range), mvcc_view_revision(mvcc_view(rig.mvcc)));
    }
    range_free(range);
    buf_deinit(&body);
    buf_deinit(&bytes);
    kv_rig_deinit(&rig);
}

START_TEST(test_range_of_now_begins_again_when_a_compaction_overtakes_its_first_step)
{
    step_on_a_view_older_than_the_mark("*..*", RANGE_MORE, ERR_OK);
    step_on_a_view_older_than_the_mark("*..*,order=2", RANGE_MORE, ERR_OK);
    step_on_a_view_older_than_the_mark("*..*,rev=200", RANGE_FAILED, ERR_COMPACTED);
}
END_TEST

START_TEST(test_range_gives_its_pin_back)
{
    struct kv_rig rig;
    struct rng rng;
    kv_rig_init(&rig);
    rng_init(&rng, 5);
    fill(&rig, &rng);
    struct range_request request = {.key = slice_make("\0", 1), .range_end = slice_make("\0", 1)};
    for (int i = 0; i < 3 * MVCC_PINS_MAX; i++) {
        struct buf body;
        enum err err = ERR_OK;
        buf_init(&body);
        struct range *range = range_new(&request, rig.mvcc, SIZE_MAX);
        ck_assert_int_eq(range_step(range, mvcc_view(rig.mvcc), 10, 1, &body, &err), RANGE_MORE);
        range_free(range); /* given up half way */
        buf_deinit(&body);
    }
    kv_rig_deinit(&rig);
}
END_TEST

START_TEST(test_range_kv_bytes_are_proto3_with_zeros_left_out)
{
    struct mvcc_kv kv = {.key = slice_from_string("k")};
    struct buf buf;
    buf_init(&buf);
    range_put_kv(&buf, 2, &kv, false);
    ck_assert(slice_equal(buf_slice(&buf), slice_from_string("\x12\x03\x0a\x01k")));
    buf_clear(&buf);
    kv = (struct mvcc_kv){.key = slice_from_string("k"), .value = slice_from_string("v"), .create_revision = 2,
                          .mod_revision = 300, .version = 1, .lease = -1};
    range_put_kv(&buf, 3, &kv, false);
    ck_assert(slice_equal(buf_slice(&buf), slice_make("\x1a\x18\x0a\x01k\x10\x02\x18\xac\x02\x20\x01\x2a\x01v"
                                                      "\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                                                      26)));
    buf_deinit(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("range");
    TCase *tcase = tcase_create("jobs");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_range_agrees_with_filter_sort_limit_in_any_chunks);
    tcase_add_test(tcase, test_range_count_ignores_limit_and_filters);
    tcase_add_test(tcase, test_range_count_only_has_no_kvs_and_no_more);
    tcase_add_test(tcase, test_range_header_is_current_when_the_past_is_read);
    tcase_add_test(tcase, test_range_compacted_revision_itself_is_readable);
    tcase_add_test(tcase, test_range_empty_end_and_zero_end_differ);
    tcase_add_test(tcase, test_range_keys_only_keeps_lease_and_revisions);
    tcase_add_test(tcase, test_range_order_none_with_a_target_is_ascending_and_stable);
    tcase_add_test(tcase, test_range_limit_of_a_target_without_an_order_cuts_one_row_late_and_then_sorts);
    tcase_add_test(tcase, test_range_beyond_its_memory_is_refused);
    tcase_add_test(tcase, test_range_steps_read_one_revision_while_the_store_is_changed_and_compacted);
    tcase_add_test(tcase, test_range_of_now_begins_again_when_a_compaction_overtakes_its_first_step);
    tcase_add_test(tcase, test_range_gives_its_pin_back);
    tcase_add_test(tcase, test_range_kv_bytes_are_proto3_with_zeros_left_out);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
