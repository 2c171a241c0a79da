/* Does the registry stay what it costs little to search, whatever intervals a client asks for, and in whatever order? */
#include <check.h>
#include <stdlib.h>

#include "base/buckets.h"
#include "watch/watch_registry.h"

#define SETS 50000
#define DEPTH_MAX 80 /* twice what a tree of so many has with random priorities: about 2.8 * ln 50,000 + a little */

static struct watch_registry registry;
static struct watch_set *sets[SETS];

static void start(void) { watch_registry_init(&registry, 4711); }

static void empty(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) ck_assert(watch_registry_leave(&registry, sets[i]));
    watch_registry_deinit(&registry);
}

static void put_number(uint64_t number, uint8_t out_key[8])
{
    for (int i = 0; i < 8; i++) out_key[i] = (uint8_t)(number >> (56 - 8 * i));
}

static uint32_t depth_of(const struct watch_span *span)
{
    if (span == NULL) return 0;
    uint32_t left = depth_of(span->left), right = depth_of(span->right);
    return 1 + (left > right ? left : right);
}

static void check_depth(uint64_t number_of(uint64_t i))
{
    start();
    for (uint32_t i = 0; i < SETS; i++) {
        uint8_t key[8];
        put_number(number_of(i + 1), key);
        sets[i] = watch_registry_join(&registry, slice_make(key, 8), slice_make("\0", 1));
        if ((i & 4095) == 4095) ck_assert_uint_lt(depth_of(registry.root), DEPTH_MAX); /* soon, where it is a list */
    }
    ck_assert_uint_lt(depth_of(registry.root), DEPTH_MAX);
    empty(SETS);
}

static uint64_t ascending(uint64_t i) { return i; }
static uint64_t mixed(uint64_t i) { return buckets_mix(i); }

START_TEST(test_watch_registry_is_flat_whatever_intervals_come)
{
    check_depth(ascending);
    check_depth(mixed); /* in the order of a hash of their number */
}
END_TEST

/* Keys whose hashes without a salt end in the same 16 bits. */
static bool is_chosen(struct slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ key.size;
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return (buckets_mix(hash) & 0xffff) == 0;
}

START_TEST(test_watch_registry_keys_that_were_chosen_do_not_meet_in_one_bucket)
{
    uint32_t count = 0, longest = 0;
    start();
    for (uint64_t number = 1; count < 200; number++) {
        uint8_t key[8];
        put_number(number, key);
        if (is_chosen(slice_make(key, 8))) sets[count++] = watch_registry_join(&registry, slice_make(key, 8), slice_empty());
    }
    for (uint32_t i = 0; i < registry.bucket_count; i++) {
        uint32_t length = 0;
        for (const struct watch_single *at = registry.buckets[i]; at != NULL; at = at->chain) length++;
        if (length > longest) longest = length;
    }
    ck_assert_uint_lt(longest, 20);
    empty(count);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("watch_registry");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_watch_registry_is_flat_whatever_intervals_come);
    tcase_add_test(tests, test_watch_registry_keys_that_were_chosen_do_not_meet_in_one_bucket);
    Suite *suite = suite_create("watch_registry");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
