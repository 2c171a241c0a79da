/* test_mvcc_tree: the store's numbers that never change, what stays readable at the compact revision, and a tree of three levels that grows and
 * shrinks in every order. */
#include <check.h>
#include <stdlib.h>

#include "lib/mvcc_model_tree.h"
#include "lib/rcu_double.h"
#include "storage/mvcc_state.h"

static void put_text(struct mvcc *mvcc, const char *key, const char *value)
{
    mvcc_begin(mvcc);
    mvcc_put(mvcc, slice_from_string(key), slice_from_string(value), 0);
    (void)mvcc_commit(mvcc);
}

static void delete_key(struct mvcc *mvcc, struct slice key)
{
    struct mvcc_range one = mvcc_range_make(key, slice_empty());
    mvcc_begin(mvcc);
    EXPECT(mvcc_delete(mvcc, &one, NULL, NULL) == 1);
    (void)mvcc_commit(mvcc);
}

/* Members compare this number over versions of the program: a failure here is a break of the format, not a number to mend. */
START_TEST(test_mvcc_hash_of_a_known_history_never_changes)
{
    struct rcu_double rcu;
    rcu_double_init(&rcu);
    struct mvcc *mvcc = mvcc_new(&(struct mvcc_options){.rcu = &rcu.rcu});
    put_text(mvcc, "key", "value");
    put_text(mvcc, "a key of more than sixteen bytes", "and a value of more than twice sixteen bytes");
    put_text(mvcc, "key", "");
    delete_key(mvcc, slice_from_string("key"));
    mvcc_begin(mvcc);
    mvcc_put(mvcc, slice_from_string("leased"), slice_from_string("0123456789abcdef"), 0x1234);
    (void)mvcc_commit(mvcc);
    ck_assert_uint_eq(mvcc_hash(mvcc_writer_view(mvcc), 0), UINT64_C(13363824401894400761));
    ck_assert_int_eq(mvcc_compact(mvcc, 5), ERR_OK);
    ck_assert_uint_eq(mvcc_hash(mvcc_writer_view(mvcc), 0), UINT64_C(2883272949645630868));
    mvcc_publish(mvcc);
    rcu_double_pass(&rcu, UINT64_MAX);
    mvcc_free(mvcc);
}
END_TEST

/* A delete at the compact revision is still told by the history, and the key is gone at it; one step of compaction later it is the same. */
START_TEST(test_mvcc_tombstone_at_the_compact_revision_is_readable)
{
    struct rcu_double rcu;
    rcu_double_init(&rcu);
    struct mvcc *mvcc = mvcc_new(&(struct mvcc_options){.rcu = &rcu.rcu});
    put_text(mvcc, "a", "1");              /* 2 */
    put_text(mvcc, "b", "1");              /* 3 */
    delete_key(mvcc, slice_from_string("a")); /* 4 */
    put_text(mvcc, "b", "2");              /* 5 */
    ck_assert_int_eq(mvcc_compact(mvcc, 4), ERR_OK);
    for (int round = 0; round < 3; round++) {
        struct mvcc_history history;
        struct mvcc_change change;
        struct mvcc_kv kv;
        const struct mvcc_view *view = mvcc_writer_view(mvcc);
        ck_assert_int_eq(mvcc_view_check(view, 4), ERR_OK);
        ck_assert_int_eq(mvcc_view_check(view, 3), ERR_COMPACTED);
        mvcc_history_init(&history, view, 4);
        ck_assert(mvcc_history_next(&history, &change));
        ck_assert(change.is_delete && change.revision == 4 && slice_equal(change.kv.key, slice_from_string("a")));
        ck_assert(!mvcc_get(view, slice_from_string("a"), 4, &kv));
        ck_assert(mvcc_get(view, slice_from_string("b"), 4, &kv) && kv.mod_revision == 3);
        while (round > 0 && mvcc_compact_step(mvcc, 1)) continue;
        mvcc_publish(mvcc);
        rcu_double_pass(&rcu, UINT64_MAX);
        while (mvcc_reclaim_step(mvcc, 1)) continue;
    }
    ck_assert_int_eq(mvcc_compact(mvcc, 5), ERR_OK);
    while (mvcc_compact_step(mvcc, 1)) continue;
    mvcc_publish(mvcc);
    struct mvcc_stats stats;
    mvcc_get_stats(mvcc, &stats);
    ck_assert_uint_eq(stats.keys, 1);
    ck_assert_uint_eq(stats.versions, 1);
    rcu_double_pass(&rcu, UINT64_MAX);
    mvcc_free(mvcc);
}
END_TEST

#define TREE_KEYS 9000u /* three levels */

/* The i-th of n in one of four orders: up, down, jumping, from the middle out. */
static uint32_t in_order(uint32_t order, uint32_t i, uint32_t n)
{
    switch (order) {
    case 0: return i;
    case 1: return n - 1 - i;
    case 2: return (uint32_t)((uint64_t)i * 7919 % n);
    default: return i % 2 == 0 ? n / 2 + i / 2 : n / 2 - 1 - i / 2;
    }
}

static void check_whole(struct mvcc *mvcc, uint32_t live)
{
    const struct mvcc_view *view = mvcc_writer_view(mvcc);
    ck_assert_uint_eq(mvcc_model_check_tree(view), live);
    ck_assert_int_eq(mvcc_view_key_count(view), live);
}

static void end_batch(struct mvcc *mvcc, struct rcu_double *rcu)
{
    enum err err = mvcc_compact(mvcc, mvcc_view_revision(mvcc_writer_view(mvcc)));
    ck_assert_int_eq(err, ERR_OK);
    while (mvcc_compact_step(mvcc, 300)) continue;
    mvcc_publish(mvcc);
    rcu_double_pass(rcu, UINT64_MAX);
    (void)mvcc_reclaim_step(mvcc, SIZE_MAX);
}

static void grow_and_shrink(uint32_t style, uint32_t put_order, uint32_t delete_order)
{
    char room[MVCC_MODEL_KEY_MAX];
    struct rcu_double rcu;
    struct mvcc_stats stats;
    rcu_double_init(&rcu);
    struct mvcc *mvcc = mvcc_new(&(struct mvcc_options){.rcu = &rcu.rcu});
    for (uint32_t i = 0; i < TREE_KEYS; i++) {
        mvcc_begin(mvcc);
        mvcc_put(mvcc, mvcc_model_key(style, in_order(put_order, i, TREE_KEYS), room), slice_empty(), 0);
        (void)mvcc_commit(mvcc);
        if (i % 1500 == 1499) end_batch(mvcc, &rcu);
    }
    check_whole(mvcc, TREE_KEYS);
    ck_assert_uint_ge(mvcc_writer_view(mvcc)->root->level, 2);
    for (uint32_t i = 0; i < TREE_KEYS; i++) {
        delete_key(mvcc, mvcc_model_key(style, in_order(delete_order, i, TREE_KEYS), room));
        if (i % 1500 != 1499) continue;
        end_batch(mvcc, &rcu);
        check_whole(mvcc, TREE_KEYS - 1 - i);
    }
    mvcc_get_stats(mvcc, &stats);
    ck_assert_uint_le(stats.keys, 1); /* the delete at the compact revision stays */
    ck_assert_uint_eq(mvcc_writer_view(mvcc)->root->level, 0);
    mvcc_free(mvcc);
}

START_TEST(test_mvcc_tree_grows_and_shrinks_in_every_order)
{
    for (uint32_t orders = 0; orders < 16; orders++) grow_and_shrink(orders % 3, orders % 4, orders / 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mvcc_tree");
    TCase *tcase = tcase_create("stories");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, test_mvcc_hash_of_a_known_history_never_changes);
    tcase_add_test(tcase, test_mvcc_tombstone_at_the_compact_revision_is_readable);
    tcase_add_test(tcase, test_mvcc_tree_grows_and_shrinks_in_every_order);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
