/* Does a whole node start, serve and stop as the app needs it: three in one process that share nothing, a stop that loses no call and
 * hands leadership over, opens that fail half-way? */
#include "lib/node_rig.h"

#define ROUNDS_GATE 12
#define ROUNDS_LONG 1000

static void set_up(void)
{
    log_set_level(LOG_FATAL);
    rpc_process_init();
}

static void tear_down(void) { rpc_process_deinit(); }

static uint32_t rounds(uint32_t gate) { return getenv("KVD_TEST_LONG") != NULL ? ROUNDS_LONG : gate; }

static void stop(struct node_rig *rig, uint32_t i)
{
    rig_client_close(&rig->members[i].client);
    node_stop(rig->members[i].node, 1500 * NS_PER_MS);
    node_rig_close(rig, i);
}

/* Writes through member i until it works: right after a change of leader a write may fail. */
static void put_until_done(struct node_rig *rig, uint32_t i, const char *key)
{
    bool is_done = false;
    for (int tries = 0; !is_done && tries < 20; tries++) {
        node_rig_put(rig, i, key, slice_from_string("value"));
        struct rig_call *call = node_rig_wait(rig, i);
        ck_assert_ptr_nonnull(call);
        is_done = call->status == GRPC_STATUS_OK;
        rig_call_free(call);
    }
    ck_assert_msg(is_done, "%s", key);
}

static uint32_t leader_of(const struct node_rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        if (rig->members[i].node != NULL && SHARED_GET(node_shared(rig->members[i].node), is_leader)) return i;
    }
    return UINT32_MAX;
}

START_TEST(test_node_three_in_one_process_elect_and_serve)
{
    struct node_rig rig;
    char key[32];
    node_rig_init(&rig, 3);
    for (uint32_t i = 0; i < 3; i++) node_rig_start(&rig, i);
    node_rig_wait_ready(&rig);
    ck_assert_uint_ne(leader_of(&rig), UINT32_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(node_cluster_id(rig.members[i].node), node_cluster_id(rig.members[0].node));
        snprintf(key, sizeof key, "key-of-%u", i);
        put_until_done(&rig, i, key);
        for (uint32_t k = 0; k < 3; k++) ck_assert_int_eq(node_rig_has(&rig, k, key), 1); /* linearizable */
        ck_assert_uint_gt(METRIC_GET(&node_shared(rig.members[i].node)->metrics, calls_started), 0);
    }
    ck_assert_uint_ne(node_member_id(rig.members[0].node), node_member_id(rig.members[1].node));
    for (uint32_t i = 0; i < 3; i++) stop(&rig, i);
    for (uint32_t i = 0; i < 3; i++) node_rig_start(&rig, i); /* all of it again, from the files */
    node_rig_wait_ready(&rig);
    for (uint32_t k = 0; k < 3; k++) ck_assert_int_eq(node_rig_has(&rig, k, "key-of-2"), 1);
    for (uint32_t i = 0; i < 3; i++) stop(&rig, 2 - i);
    node_rig_deinit(&rig);
}
END_TEST

START_TEST(test_node_leader_that_stops_hands_leadership_over)
{
    struct node_rig rig;
    node_rig_init(&rig, 3);
    for (uint32_t i = 0; i < 3; i++) {
        rig.members[i].config.heartbeat_ms = 300;
        rig.members[i].config.election_timeout_ms = 3000; /* nobody is elected in time but by a transfer */
        node_rig_start(&rig, i);
    }
    node_rig_wait_ready(&rig);
    for (int round = 0; round < 2; round++) {
        char key[32];
        snprintf(key, sizeof key, "round-%d", round);
        uint32_t leader = leader_of(&rig);
        put_until_done(&rig, leader, key);
        uint64_t start_ns = clock_mono_ns();
        stop(&rig, leader);
        uint32_t next = UINT32_MAX;
        while ((next = leader_of(&rig)) == UINT32_MAX && clock_mono_ns() - start_ns < 2500 * NS_PER_MS) usleep(1000);
        ck_assert_uint_ne(next, UINT32_MAX);
        ck_assert_uint_ne(next, leader);
        put_until_done(&rig, next, key);
        node_rig_start(&rig, leader);
        node_rig_wait_ready(&rig);
    }
    for (uint32_t i = 0; i < 3; i++) stop(&rig, i);
    node_rig_deinit(&rig);
}
END_TEST

/* A restarted node has every write that it acknowledged, and every call has its one end. */
START_TEST(test_node_stops_and_starts_under_load)
{
    struct node_rig rig;
    struct rng rng;
    bool is_acknowledged[NODE_RIG_LOAD_MAX];
    char prefix[24], key[64];
    rng_init(&rng, 1);
    node_rig_init(&rig, 1);
    for (uint32_t round = 0; round < rounds(ROUNDS_GATE); round++) {
        uint32_t count = 20 + (uint32_t)rng_below(&rng, 120);
        snprintf(prefix, sizeof prefix, "r%u", round);
        node_rig_start(&rig, 0);
        if (rng_below(&rng, 3) != 0) node_rig_wait_ready(&rig);
        node_rig_stop_loaded(&rig, 0, &rng, prefix, count, is_acknowledged);
        if (round % 4 != 3) continue;
        node_rig_start(&rig, 0);
        node_rig_wait_ready(&rig);
        for (uint32_t n = 0; n < count; n++) {
            snprintf(key, sizeof key, "%s.%u", prefix, n);
            if (is_acknowledged[n]) ck_assert_msg(node_rig_has(&rig, 0, key), "%s is lost", key);
        }
        stop(&rig, 0);
    }
    node_rig_deinit(&rig);
}
END_TEST

START_TEST(test_node_of_three_stops_and_starts_under_load)
{
    struct node_rig rig;
    struct rng rng;
    bool is_acknowledged[NODE_RIG_LOAD_MAX];
    rng_init(&rng, 2);
    node_rig_init(&rig, 3);
    for (uint32_t i = 0; i < 3; i++) node_rig_start(&rig, i);
    for (uint32_t round = 0; round < rounds(6); round++) {
        char prefix[24], key[64];
        uint32_t i = (uint32_t)rng_below(&rng, 3), other = (i + 1) % 3;
        snprintf(prefix, sizeof prefix, "t%u", round);
        if (rng_below(&rng, 4) != 0) node_rig_wait_ready(&rig);
        node_rig_stop_loaded(&rig, i, &rng, prefix, 60, is_acknowledged);
        put_until_done(&rig, other, "again");
        for (uint32_t n = 0; n < 60; n++) {
            snprintf(key, sizeof key, "%s.%u", prefix, n);
            if (is_acknowledged[n]) ck_assert_msg(node_rig_has(&rig, other, key), "%s is lost", key);
        }
        node_rig_start(&rig, i);
    }
    for (uint32_t i = 0; i < 3; i++) stop(&rig, i);
    node_rig_deinit(&rig);
}
END_TEST

/* Reads of one of three members, which wait for the others. What gRPC is asked for beforehand has slots, too: more than the calls that may
 * wait. */
START_TEST(test_node_refuses_calls_beyond_its_limit_and_answers_those_within)
{
    enum { CALLS_MAX = 100, COUNT = 3 * CALLS_MAX };
    struct node_rig rig;
    char message[512] = "";
    uint32_t by_status[GRPC_STATUS_UNAUTHENTICATED + 1] = {0};
    node_rig_init(&rig, 3);
    struct config *config = &rig.members[0].config;
    ck_assert_msg(config_check(config, message, sizeof message), "%s", message);
    config->calls_max = CALLS_MAX;
    config->waits_max = CALLS_MAX / 2;
    rig.members[0].node = node_open(config, message, sizeof message);
    ck_assert_msg(rig.members[0].node != NULL && node_start(rig.members[0].node, message, sizeof message), "%s", message);
    rig_client_open(&rig.members[0].client, node_rig_port(&rig, 0), 2);
    for (uint32_t i = 0; i < COUNT; i++) node_rig_get(&rig, 0, "/etcdserverpb.KV/Range", "key");
    for (uint32_t i = 0; i < COUNT; i++) {
        if (i == COUNT - CALLS_MAX) node_rig_start(&rig, 1);
        struct rig_call *call = node_rig_wait(&rig, 0);
        ck_assert_ptr_nonnull(call);
        ck_assert(call->status != GRPC_STATUS_RESOURCE_EXHAUSTED || rig_details_are(call, err_text(ERR_TOO_MANY_REQUESTS)));
        by_status[call->status]++;
        rig_call_free(call);
    }
    ck_assert_uint_eq(by_status[GRPC_STATUS_RESOURCE_EXHAUSTED], COUNT - CALLS_MAX);
    ck_assert_uint_eq(by_status[GRPC_STATUS_OK], CALLS_MAX);
    for (uint32_t i = 0; i < 2; i++) stop(&rig, i);
    node_rig_deinit(&rig);
}
END_TEST

START_TEST(test_node_that_cannot_be_made_says_why_and_leaves_nothing)
{
    struct node_rig rig;
    char message[512] = "";
    node_close(NULL);
    node_rig_init(&rig, 1);
    struct node_rig_member *member = &rig.members[0];
    ck_assert(node_rig_open(&rig, 0, message, sizeof message)); /* opened, never started */
    struct node *first = member->node;
    ck_assert(!node_rig_open(&rig, 0, message, sizeof message)); /* the directory is locked */
    ck_assert_msg(strstr(message, rig.root) != NULL, "%s", message);
    node_stop(first, NS_PER_S); /* of a node that does not run: nothing to do */
    node_close(first);
    uint16_t port;
    char url[64];
    int taken = rig_listen(0, &port);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    member->config.listen_client_urls = url;
    ck_assert(node_rig_open(&rig, 0, message, sizeof message));
    ck_assert(!node_start(member->node, message, sizeof message));
    ck_assert_msg(strstr(message, "Address already in use") != NULL, "%s", message);
    node_stop(member->node, NS_PER_S);
    node_rig_close(&rig, 0);
    close(taken);
    member->config.name = "nobody";
    if (node_rig_open(&rig, 0, message, sizeof message)) node_rig_close(&rig, 0); /* the name counts for a new directory only */
    member->config.data_dir = "/proc/no/such";
    ck_assert(!node_rig_open(&rig, 0, message, sizeof message));
    ck_assert_msg(strstr(message, "/proc/no/such") != NULL, "%s", message);
    member->config.name = member->name;
    member->config.data_dir = member->data_dir;
    node_rig_start(&rig, 0); /* and it works when it can */
    node_rig_wait_ready(&rig);
    put_until_done(&rig, 0, "key");
    stop(&rig, 0);
    node_rig_deinit(&rig);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("node");
    tcase_set_timeout(tests, getenv("KVD_TEST_LONG") != NULL ? 3600 : 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_node_three_in_one_process_elect_and_serve);
    tcase_add_test(tests, test_node_leader_that_stops_hands_leadership_over);
    tcase_add_test(tests, test_node_stops_and_starts_under_load);
    tcase_add_test(tests, test_node_of_three_stops_and_starts_under_load);
    tcase_add_test(tests, test_node_refuses_calls_beyond_its_limit_and_answers_those_within);
    tcase_add_test(tests, test_node_that_cannot_be_made_says_why_and_leaves_nothing);
    Suite *suite = suite_create("node");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
