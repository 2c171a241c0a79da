/* Do list, heap, map, arena and blob behave like their naive models, and do blobs count right across threads? */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/blob.h"
#include "base/buckets.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"

struct item {
    int number;
    struct list node;
};

START_TEST(test_list_keeps_order_and_removes_twice_harmlessly)
{
    struct item items[4];
    struct list head;
    list_init(&head);
    ck_assert(list_is_empty(&head) && list_pop_front(&head) == NULL);
    for (int i = 0; i < 4; i++) items[i].number = i;
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[2].node);
    list_push_front(&head, &items[0].node);
    list_push_back(&head, &items[3].node);
    list_remove(&items[2].node);
    list_remove(&items[2].node);
    static const int expected[] = {0, 1, 3};
    for (int i = 0; i < 3; i++) {
        struct list *node = list_pop_front(&head);
        ck_assert_ptr_nonnull(node);
        ck_assert_int_eq(LIST_ENTRY(node, struct item, node)->number, expected[i]);
    }
    ck_assert(list_is_empty(&head));
}
END_TEST

#define NODES 200

/* The smallest key of the nodes that are in the heap, by looking at each. */
static uint64_t smallest(const struct heap *heap, const struct heap_node *nodes)
{
    uint64_t key = UINT64_MAX;
    for (int i = 0; i < NODES; i++)
        if (nodes[i].place != HEAP_NONE && heap_key(heap, &nodes[i]) < key) key = heap_key(heap, &nodes[i]);
    return key;
}

START_TEST(test_heap_random_operations_match_a_model)
{
    struct heap_node nodes[NODES];
    struct heap heap;
    struct rng rng;
    rng_init(&rng, 3);
    heap_init(&heap);
    for (int i = 0; i < NODES; i++) heap_node_init(&nodes[i]);
    ck_assert_ptr_null(heap_pop(&heap));
    size_t count = 0;
    for (int step = 0; step < 20000; step++) {
        struct heap_node *node = &nodes[rng_below(&rng, NODES)];
        uint64_t key = rng_below(&rng, 100);
        if (node->place == HEAP_NONE) {
            heap_push(&heap, node, key);
            count++;
        } else if (key < 60) {
            heap_change(&heap, node, key);
            ck_assert_uint_eq(heap_key(&heap, node), key);
        } else if (key < 80) {
            heap_remove(&heap, node);
            ck_assert_uint_eq(node->place, HEAP_NONE);
            count--;
        } else {
            ck_assert_uint_eq(heap_key(&heap, heap_first(&heap)), smallest(&heap, nodes));
            ck_assert_uint_eq(heap_pop(&heap)->place, HEAP_NONE);
            count--;
        }
        ck_assert_uint_eq(heap.count, count);
        if (count > 0) ck_assert_uint_eq(heap_key(&heap, heap_first(&heap)), smallest(&heap, nodes));
    }
    heap_deinit(&heap);
    heap_deinit(NULL);
}
END_TEST

START_TEST(test_heap_pops_in_order)
{
    struct heap_node nodes[NODES];
    struct heap heap;
    struct rng rng;
    rng_init(&rng, 4);
    heap_init(&heap);
    for (int i = 0; i < NODES; i++) {
        heap_node_init(&nodes[i]);
        heap_push(&heap, &nodes[i], rng_next(&rng));
    }
    uint64_t last = 0;
    for (int i = 0; i < NODES; i++) {
        uint64_t key = heap_key(&heap, heap_first(&heap));
        ck_assert_uint_ge(key, last);
        last = key;
        ck_assert_ptr_nonnull(heap_pop(&heap));
    }
    ck_assert_ptr_null(heap_first(&heap));
    heap_deinit(&heap);
}
END_TEST

/* From n buckets to n + 1 nothing moves but from the one source to the new one; the source is one that was there. */
START_TEST(test_buckets_grow_one_at_a_time)
{
    enum { HASHES = 500, BUCKETS_MAX = 300 };
    struct rng rng;
    uint64_t hashes[HASHES];
    rng_init(&rng, 5);
    for (int i = 0; i < HASHES; i++) hashes[i] = rng_next(&rng);
    for (uint32_t count = 1; count < BUCKETS_MAX; count++) {
        uint32_t moved = 0;
        ck_assert_uint_lt(buckets_source(count), count);
        for (int i = 0; i < HASHES; i++) {
            uint32_t before = buckets_place(count, hashes[i]), after = buckets_place(count + 1, hashes[i]);
            ck_assert_uint_lt(before, count);
            if (after == before) continue;
            ck_assert_uint_eq(after, count);
            ck_assert_uint_eq(before, buckets_source(count));
            moved++;
        }
        ck_assert(count > 40 || moved > 0);
    }
}
END_TEST

#define KEYS 512

START_TEST(test_map_random_operations_match_a_model)
{
    static int values[KEYS];
    bool present[KEYS] = {false};
    size_t count = 0;
    struct map map;
    struct rng rng;
    rng_init(&rng, 5);
    map_init(&map);
    ck_assert_ptr_null(map_get(&map, 1));
    ck_assert_ptr_null(map_take(&map, 1));
    for (int step = 0; step < 100000; step++) {
        /* phases of growth and of shrinking, so that long probes are made and torn */
        size_t number = rng_below(&rng, KEYS);
        uint64_t key = number * UINT64_C(0x100000001);
        if (rng_below(&rng, 10) < (step / 5000 % 2 == 0 ? 7u : 3u)) {
            ck_assert(map_put(&map, key, &values[number]) == !present[number]);
            count += present[number] ? 0 : 1;
            present[number] = true;
        } else {
            ck_assert_ptr_eq(map_take(&map, key), present[number] ? &values[number] : NULL);
            count -= present[number] ? 1 : 0;
            present[number] = false;
        }
        ck_assert_uint_eq(map.count, count);
        size_t other = rng_below(&rng, KEYS);
        ck_assert_ptr_eq(map_get(&map, other * UINT64_C(0x100000001)), present[other] ? &values[other] : NULL);
    }
    map_deinit(&map);
    map_deinit(NULL);
}
END_TEST

START_TEST(test_map_each_visits_every_entry_once)
{
    static int values[KEYS];
    int seen[KEYS] = {0};
    struct map map;
    map_init(&map);
    size_t cursor = 0;
    uint64_t key = 0;
    ck_assert_ptr_null(map_each(&map, &cursor, &key));
    for (uint64_t i = 0; i < KEYS; i++) ck_assert(map_put(&map, i, &values[i]));
    ck_assert(!map_put(&map, 7, &values[8]));
    ck_assert_ptr_eq(map_get(&map, 7), &values[7]);
    cursor = 0;
    for (void *value; (value = map_each(&map, &cursor, &key)) != NULL;) {
        ck_assert_ptr_eq(value, &values[key]);
        seen[key]++;
    }
    for (int i = 0; i < KEYS; i++) ck_assert_int_eq(seen[i], 1);
    map_deinit(&map);
}
END_TEST

START_TEST(test_arena_refuses_beyond_its_limit)
{
    struct arena arena;
    arena_init(&arena, 1024);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 1000));
    ck_assert_ptr_null(arena_alloc(&arena, 17));
    ck_assert(arena.exhausted);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 16));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&arena, 0));
    arena_reset(&arena);
    ck_assert(!arena.exhausted && arena.bytes == 0);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 1024));
    arena_deinit(&arena);
    arena_deinit(NULL);
    arena_init(&arena, 0);
    ck_assert_ptr_null(arena_alloc(&arena, 1));
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_arena_memory_is_aligned_and_does_not_overlap)
{
    struct arena arena;
    struct rng rng;
    arena_init(&arena, 1 << 20);
    rng_init(&rng, 6);
    for (int round = 0; round < 3; round++) {
        uint8_t *memories[100];
        size_t sizes[100];
        for (int i = 0; i < 100; i++) {
            sizes[i] = rng_below(&rng, i % 10 == 0 ? 9000 : 300);
            memories[i] = arena_alloc(&arena, sizes[i]);
            ck_assert_ptr_nonnull(memories[i]);
            ck_assert_uint_eq((uintptr_t)memories[i] % 16, 0);
            memset(memories[i], i, sizes[i]);
        }
        for (int i = 0; i < 100; i++)
            for (size_t k = 0; k < sizes[i]; k++) ck_assert_uint_eq(memories[i][k], (uint8_t)i);
        arena_reset(&arena);
    }
    arena_deinit(&arena);
}
END_TEST

START_TEST(test_alloc_of_nothing_is_something)
{
    void *memory = alloc_new(0);
    ck_assert_ptr_nonnull(memory);
    memory = alloc_resize(memory, 0);
    ck_assert_ptr_nonnull(memory);
    alloc_free(memory);
    alloc_free(NULL);
    uint64_t *zeros = alloc_zero(10, sizeof *zeros);
    for (int i = 0; i < 10; i++) ck_assert_uint_eq(zeros[i], 0);
    alloc_free(zeros);
    char *text = alloc_string("copy");
    ck_assert_str_eq(text, "copy");
    alloc_free(text);
}
END_TEST

#define THREADS 4
#define ROUNDS 20000

/* Takes and drops references of its own, and at the end the one that it was given. */
static void *use_blob(void *argument)
{
    struct blob *blob = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct blob *mine = blob_ref(blob);
        ASSERT(mine == blob && mine->data[0] == 'b');
        blob_unref(mine);
    }
    blob_unref(blob);
    return NULL;
}

START_TEST(test_blob_references_count_across_threads)
{
    struct blob *blob = blob_copy(slice_from_string("blob"));
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, use_blob, blob_ref(blob)), 0);
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(atomic_load(&blob->refs), 1);
    ck_assert(slice_equal(blob_slice(blob), slice_from_string("blob")));
    blob_unref(blob);
    blob_unref(NULL);
    ck_assert_uint_eq(blob_slice(NULL).size, 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("containers");
    tcase_add_test(tests, test_list_keeps_order_and_removes_twice_harmlessly);
    tcase_add_test(tests, test_heap_random_operations_match_a_model);
    tcase_add_test(tests, test_heap_pops_in_order);
    tcase_add_test(tests, test_buckets_grow_one_at_a_time);
    tcase_add_test(tests, test_map_random_operations_match_a_model);
    tcase_add_test(tests, test_map_each_visits_every_entry_once);
    tcase_add_test(tests, test_arena_refuses_beyond_its_limit);
    tcase_add_test(tests, test_arena_memory_is_aligned_and_does_not_overlap);
    tcase_add_test(tests, test_alloc_of_nothing_is_something);
    tcase_add_test(tests, test_blob_references_count_across_threads);
    Suite *suite = suite_create("base_containers");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
