/* A member that stops while calls of the Lock service are in the middle of their steps: each gets its answer. Whole members in one thread. */
#include <check.h>
#include <stdlib.h>

#include "lib/world_inner.h"

static uint64_t call(struct world *world, uint32_t member, const char *path, struct buf *request)
{
    uint64_t name = world_call(world, member, path, buf_slice(request));
    buf_deinit(request);
    return name;
}

static bool is_answered(struct world *world, uint64_t name, enum err *out_err)
{
    struct slice bytes;
    bool died;
    return world_answer(world, name, out_err, &bytes, &died);
}

static void wait_for(struct world *world, uint64_t name)
{
    enum err err = ERR_OK;
    for (int i = 0; i < 2000 && !is_answered(world, name, &err); i++) world_run_to_answer(world, NS_PER_MS);
    ck_assert(is_answered(world, name, &err));
    ck_assert_int_eq(err, ERR_OK);
}

static void grant(struct world *world, uint32_t member, uint64_t lease)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, 600);
    buf_put_pb_varint(&request, 2, lease);
    wait_for(world, call(world, member, "/etcdserverpb.Lease/LeaseGrant", &request));
}

static uint64_t lock(struct world *world, uint32_t member, uint64_t lease)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string("l0"));
    buf_put_pb_varint(&request, 2, lease);
    return call(world, member, "/v3lockpb.Lock/Lock", &request);
}

/* The lock is given back to the first in the queue, who looks: but nobody is there who could confirm the look, or delete the place. */
START_TEST(test_a_look_that_nobody_confirms)
{
    struct world *world = world_new(&(struct world_options){.seed = 7, .members = 3, .lock_clients = 1, .request_timeout_ms = 60000});
    struct buf request;
    enum err err = ERR_OK;
    for (int i = 0; i < 10000 && world_followed_leader(world) < 0; i++) world_run(world, NS_PER_MS);
    ck_assert_int_ge(world_followed_leader(world), 0);
    uint32_t leader = (uint32_t)world_leader(world);
    world_run(world, NS_PER_S);
    grant(world, leader, 1);
    grant(world, leader, 2);
    wait_for(world, lock(world, leader, 1));
    uint64_t waiting = lock(world, leader, 2);
    world_run(world, NS_PER_S);
    ck_assert(!is_answered(world, waiting, &err));
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string("l0/1"));
    wait_for(world, call(world, leader, "/v3lockpb.Lock/Unlock", &request));
    for (uint32_t i = 0; i < 3; i++) {
        if (i != leader) world_kill(world, i, false);
    }
    world_run(world, 50 * NS_PER_MS);
    ck_assert(!is_answered(world, waiting, &err)); /* it looks */
    world_stop(world, leader);
    ck_assert(is_answered(world, waiting, &err));
    ck_assert_int_eq(err, ERR_STOPPED);
    world_free(world);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock_stop");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_a_look_that_nobody_confirms);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
