/* Does a whole node start, serve and stop without a race, with calls of every kind in flight? For TSan; test/unit/test_node.c asks the
 * rest. */
#include "lib/node_rig.h"

static uint32_t rounds(uint32_t gate) { return getenv("KVD_TEST_LONG") != NULL ? 1000 : gate; }

static void set_up(void)
{
    log_set_level(LOG_FATAL);
    rpc_process_init();
}

static void tear_down(void) { rpc_process_deinit(); }

START_TEST(test_node_stress_a_loaded_node_stops_and_starts)
{
    struct node_rig rig;
    struct rng rng;
    bool is_acknowledged[NODE_RIG_LOAD_MAX];
    rng_init(&rng, 3);
    node_rig_init(&rig, 1);
    for (uint32_t round = 0; round < rounds(8); round++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "r%u", round);
        node_rig_start(&rig, 0);
        if (rng_below(&rng, 4) != 0) node_rig_wait_ready(&rig);
        node_rig_stop_loaded(&rig, 0, &rng, prefix, 20 + (uint32_t)rng_below(&rng, 120), is_acknowledged);
    }
    node_rig_deinit(&rig);
}
END_TEST

START_TEST(test_node_stress_loaded_members_of_three_stop_and_start)
{
    struct node_rig rig;
    struct rng rng;
    bool is_acknowledged[NODE_RIG_LOAD_MAX];
    rng_init(&rng, 4);
    node_rig_init(&rig, 3);
    for (uint32_t i = 0; i < 3; i++) node_rig_start(&rig, i);
    for (uint32_t round = 0; round < rounds(6); round++) {
        char prefix[24];
        uint32_t i = (uint32_t)rng_below(&rng, 3);
        snprintf(prefix, sizeof prefix, "t%u", round);
        if (rng_below(&rng, 3) != 0) node_rig_wait_ready(&rig);
        node_rig_stop_loaded(&rig, i, &rng, prefix, 60, is_acknowledged);
        node_rig_start(&rig, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        rig_client_close(&rig.members[i].client);
        node_stop(rig.members[i].node, 1500 * NS_PER_MS);
        node_rig_close(&rig, i);
    }
    node_rig_deinit(&rig);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("node_stress");
    tcase_set_timeout(tests, getenv("KVD_TEST_LONG") != NULL ? 3600 : 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_node_stress_a_loaded_node_stops_and_starts);
    tcase_add_test(tests, test_node_stress_loaded_members_of_three_stop_and_start);
    Suite *suite = suite_create("node_stress");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
