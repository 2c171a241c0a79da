/* test_mvcc_pool: do big records lie close together, apart from each other, and does what is empty go back? */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "storage/mvcc_pool.h"

enum { HELD = 400 };

struct held {
    uint8_t *memory;
    size_t size;
    uint8_t mark;
};

static void expect_whole(const struct held *held)
{
    for (size_t i = 0; i < held->size; i += 97) ck_assert_uint_eq(held->memory[i], held->mark);
    ck_assert_uint_eq(held->memory[held->size - 1], held->mark);
}

static void hold(struct mvcc_pool *pool, struct held *held, size_t size, uint8_t mark)
{
    *held = (struct held){.memory = mvcc_pool_take(pool, size), .size = size, .mark = mark};
    ck_assert_uint_eq((uintptr_t)held->memory % 8, 0);
    memset(held->memory, mark, size);
}

START_TEST(test_mvcc_pool_places_of_all_sizes_are_apart_whatever_comes_and_goes)
{
    struct rng rng;
    struct held held[HELD] = {{0}};
    struct mvcc_pool *pool = mvcc_pool_new();
    rng_init(&rng, 1);
    for (uint32_t step = 0; step < 20000; step++) {
        struct held *one = &held[rng_below(&rng, HELD)];
        if (one->memory != NULL) {
            expect_whole(one);
            mvcc_pool_give(one->memory);
            one->memory = NULL;
        } else {
            size_t span = rng_below(&rng, 4) == 0 ? MVCC_POOL_MAX - MVCC_POOL_MIN + 1 : 3000;
            hold(pool, one, MVCC_POOL_MIN + rng_below(&rng, span), (uint8_t)step);
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        if (held[i].memory == NULL) continue;
        expect_whole(&held[i]);
        mvcc_pool_give(held[i].memory);
    }
    mvcc_pool_close(pool);
}
END_TEST

START_TEST(test_mvcc_pool_values_of_16_kib_take_a_tenth_more_at_most)
{
    struct held held[HELD];
    struct mvcc_pool *pool = mvcc_pool_new();
    size_t size = (16 << 10) + 90;
    for (uint32_t i = 0; i < HELD; i++) hold(pool, &held[i], size, (uint8_t)i);
    ck_assert_uint_le(mvcc_pool_slabs(pool) * (260 << 10), HELD * size / 10 * 11);
    for (uint32_t round = 0; round < 3; round++) { /* what is overwritten goes to where something was freed */
        size_t slabs = mvcc_pool_slabs(pool);
        for (uint32_t i = round; i < HELD; i += 3) {
            mvcc_pool_give(held[i].memory);
            hold(pool, &held[i], size, (uint8_t)(i + round));
        }
        ck_assert_uint_eq(mvcc_pool_slabs(pool), slabs);
    }
    for (uint32_t i = 0; i < HELD; i++) {
        expect_whole(&held[i]);
        mvcc_pool_give(held[i].memory);
    }
    ck_assert_uint_eq(mvcc_pool_slabs(pool), 1); /* for the next one */
    mvcc_pool_close(pool);
}
END_TEST

START_TEST(test_mvcc_pool_that_is_closed_goes_with_its_last_record)
{
    struct held held[HELD];
    struct mvcc_pool *pool = mvcc_pool_new();
    for (uint32_t i = 0; i < HELD; i++) hold(pool, &held[i], MVCC_POOL_MIN + i * 100, (uint8_t)i);
    mvcc_pool_close(pool);
    for (uint32_t i = 0; i < HELD; i++) {
        expect_whole(&held[i]);
        mvcc_pool_give(held[i].memory); /* leaks are the sanitizer's to see */
    }
    mvcc_pool_close(mvcc_pool_new());
    mvcc_pool_close(NULL);
}
END_TEST

int main(void)
{
    TCase *pool = tcase_create("pool");
    tcase_set_timeout(pool, 60);
    tcase_add_test(pool, test_mvcc_pool_places_of_all_sizes_are_apart_whatever_comes_and_goes);
    tcase_add_test(pool, test_mvcc_pool_values_of_16_kib_take_a_tenth_more_at_most);
    tcase_add_test(pool, test_mvcc_pool_that_is_closed_goes_with_its_last_record);
    Suite *suite = suite_create("mvcc_pool");
    suite_add_tcase(suite, pool);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
