/* test_mvcc_paging: does a client that reads page after page at one revision see every row once and the right count on each page, whether the
 * count comes from the index, from the history, from a scan or from the page before, while others write and compact? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/rcu_double.h"
#include "storage/range.h"

#define KEYS 300

struct store {
    struct rcu_double rcu;
    struct mvcc *mvcc;
    struct rng rng;
    int64_t keep_revision; /* a client reads at it */
};

static struct slice make_key(char *room, int number) { return slice_make(room, (size_t)sprintf(room, "k%03d", number)); }

static void change(struct store *store, int changes)
{
    char room[16];
    for (; changes > 0; changes--) {
        struct slice key = make_key(room, (int)rng_below(&store->rng, KEYS));
        struct mvcc_range one = mvcc_range_make(key, slice_empty());
        mvcc_begin(store->mvcc);
        if (rng_below(&store->rng, 3) > 0) {
            mvcc_put(store->mvcc, key, key, 0);
        } else {
            (void)mvcc_delete(store->mvcc, &one, NULL, NULL);
        }
        (void)mvcc_commit(store->mvcc);
    }
    if (rng_below(&store->rng, 4) == 0 && store->keep_revision > 0) {
        enum err err = mvcc_compact(store->mvcc, store->keep_revision - (int64_t)rng_below(&store->rng, 3));
        ck_assert(err == ERR_OK || err == ERR_COMPACTED);
    }
    (void)mvcc_compact_step(store->mvcc, rng_below(&store->rng, 50));
    mvcc_publish(store->mvcc);
}

static void store_init(struct store *store, uint64_t seed)
{
    *store = (struct store){.keep_revision = 0};
    rng_init(&store->rng, seed);
    rcu_double_init(&store->rcu);
    store->mvcc = mvcc_new(&(struct mvcc_options){.rcu = &store->rcu.rcu});
    change(store, 600);
}

static void store_deinit(struct store *store)
{
    rcu_double_pass(&store->rcu, UINT64_MAX);
    mvcc_free(store->mvcc);
}

/* One page in steps of few rows; the caller frees the response. */
static Etcdserverpb__RangeResponse *read_page(struct store *store, const struct range_request *request, struct range_memo *memo,
                                              int64_t *out_revision)
{
    struct range *range = range_new(request, store->mvcc, SIZE_MAX);
    struct buf body;
    enum err err = ERR_OK;
    enum range_progress progress = RANGE_MORE;
    buf_init(&body);
    buf_reserve(&body, 1);
    range_set_memo(range, memo);
    while (progress == RANGE_MORE) {
        progress = range_step(range, mvcc_view(store->mvcc), 1 + rng_below(&store->rng, 400), 1 + rng_below(&store->rng, 60), &body, &err);
        if (rng_below(&store->rng, 8) == 0) change(store, 3);
    }
    ck_assert_int_eq(progress, RANGE_DONE);
    *out_revision = range_header_revision(range);
    range_free(range);
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, body.size, buf_slice(&body).data);
    ck_assert_ptr_nonnull(response);
    buf_deinit(&body);
    return response;
}

static int64_t count_by_scan(struct store *store, const struct mvcc_range *range, int64_t revision)
{
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    int64_t count = 0;
    mvcc_scan_init(&scan, mvcc_view(store->mvcc), range, revision);
    while (mvcc_scan_next(&scan, &kv)) count++;
    return count;
}

/* From the present of the first page on, as clients do, or at a named revision from the beginning. */
static void page_through(struct store *store, struct range_memo *memo)
{
    char room[16];
    char next[32];
    int64_t now = mvcc_view_revision(mvcc_view(store->mvcc));
    int64_t oldest = mvcc_view_compact_revision(mvcc_view(store->mvcc));
    int64_t named = rng_below(&store->rng, 2) == 0 ? 0 : now - (int64_t)rng_below(&store->rng, (uint64_t)(now - oldest < 40 ? now - oldest + 1 : 40));
    struct range_request request = {.key = slice_make(next, (size_t)sprintf(next, "k%03d", (int)rng_below(&store->rng, 100))),
                                    .range_end = slice_make(room, (size_t)sprintf(room, "k%03d", 100 + (int)rng_below(&store->rng, 250))),
                                    .limit = 1 + (int64_t)rng_below(&store->rng, 40),
                                    .revision = named};
    int64_t left = -1;
    store->keep_revision = named > 0 ? named : now;
    for (bool is_more = true; is_more;) {
        int64_t revision = 0;
        Etcdserverpb__RangeResponse *page = read_page(store, &request, memo, &revision);
        if (request.revision <= 0) request.revision = revision;
        struct mvcc_range range = mvcc_range_make(request.key, request.range_end);
        ck_assert_int_eq(page->count, count_by_scan(store, &range, request.revision));
        ck_assert_int_eq(page->count, mvcc_count(mvcc_view(store->mvcc), &range, request.revision));
        ck_assert(left < 0 || page->count == left);
        is_more = page->more;
        ck_assert(is_more == (page->count > (int64_t)page->n_kvs));
        left = page->count - (int64_t)page->n_kvs;
        if (is_more) {
            ck_assert_uint_eq(page->n_kvs, (size_t)request.limit);
            const Mvccpb__KeyValue *last = page->kvs[page->n_kvs - 1];
            request.key = slice_make(next, (size_t)sprintf(next, "%.*s", (int)last->key.len, (const char *)last->key.data) + 1);
        }
        etcdserverpb__range_response__free_unpacked(page, NULL);
        change(store, (int)rng_below(&store->rng, 30));
    }
    ck_assert_int_eq(left, 0);
    store->keep_revision = 0;
}

START_TEST(test_mvcc_paging_tells_the_count_of_the_rest_on_every_page)
{
    struct range_memo *memo = range_memo_new();
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct store store;
        store_init(&store, seed);
        range_memo_free(memo); /* what it knows is of another store */
        memo = range_memo_new();
        for (int client = 0; client < 60; client++) page_through(&store, client % 4 == 0 ? NULL : memo);
        store_deinit(&store);
    }
    range_memo_free(memo);
}
END_TEST

START_TEST(test_mvcc_paging_memo_tells_keys_from_ends_and_revisions)
{
    struct range_memo *memo = range_memo_new();
    int64_t count = -1;
    struct range_memo_key ab_c = {.key = slice_from_string("ab"), .range_end = slice_from_string("c"), .revision = 5};
    struct range_memo_key a_bc = {.key = slice_from_string("a"), .range_end = slice_from_string("bc"), .revision = 5};
    struct range_memo_key later = ab_c;
    range_memo_put(memo, &ab_c, 7);
    ck_assert(range_memo_get(memo, &ab_c, &count));
    ck_assert_int_eq(count, 7);
    ck_assert(!range_memo_get(memo, &a_bc, &count)); /* the same bytes in one piece, so the same place */
    for (later.revision = 6; later.revision < 20 * RANGE_MEMO_PLACES; later.revision++) { /* some fall into the same place */
        ck_assert(!range_memo_get(memo, &later, &count));
    }
    range_memo_put(memo, &a_bc, 9);
    ck_assert(range_memo_get(memo, &a_bc, &count) && count == 9);
    ck_assert(!range_memo_get(memo, &ab_c, &count));
    range_memo_free(memo);
}
END_TEST

START_TEST(test_mvcc_paging_memo_does_not_keep_what_is_too_long)
{
    static uint8_t bytes[RANGE_MEMO_BYTES_MAX];
    struct range_memo *memo = range_memo_new();
    int64_t count = -1;
    struct range_memo_key long_one = {.key = slice_make(bytes, sizeof bytes), .range_end = slice_make("", 1), .revision = 5};
    range_memo_put(memo, &long_one, 7);
    ck_assert(!range_memo_get(memo, &long_one, &count));
    long_one.key.size--;
    range_memo_put(memo, &long_one, 7);
    ck_assert(range_memo_get(memo, &long_one, &count) && count == 7);
    range_memo_free(memo);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mvcc_paging");
    TCase *tcase = tcase_create("pages");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_mvcc_paging_tells_the_count_of_the_rest_on_every_page);
    tcase_add_test(tcase, test_mvcc_paging_memo_tells_keys_from_ends_and_revisions);
    tcase_add_test(tcase, test_mvcc_paging_memo_does_not_keep_what_is_too_long);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
