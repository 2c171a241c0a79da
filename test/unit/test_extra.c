/* Does kvd.v1.Extra answer as its proto says, and refuse what is no request? */
#include <check.h>
#include <stdlib.h>

#include "kvd/extra.pb-c.h"
#include "lib/kv_rig.h"
#include "rpc/rpc_features.h"
#include "rpc/service.h"

#define FEATURES "/kvd.v1.Extra/Features"

static struct kv_rig rig;
static struct arena scratch;
static struct service_env env;

static void set_up(void)
{
    kv_rig_init(&rig);
    arena_init(&scratch, 64 << 20);
    env = (struct service_env){.machine = rig.machine, .limits = {.txn_ops_max = 128}, .max_request_bytes = 1536 * 1024,
                               .gather_bytes_max = SIZE_MAX, .cluster_id = 7, .member_id = 8, .term = 3, .leader = 8,
                               .scratch = &scratch};
}

static void tear_down(void)
{
    arena_deinit(&scratch);
    kv_rig_deinit(&rig);
}

static struct service_plan plan_of(const char *path, struct slice request)
{
    struct service_plan plan;
    arena_reset(&scratch);
    service_plan(&env, rpc_method_find(path), request, &plan);
    return plan;
}

START_TEST(test_extra_features_are_told_by_every_member_in_any_state)
{
    struct buf out;
    enum err err = ERR_OK;
    struct rpc_features features;
    buf_init(&out);
    env.leader = 0;
    env.is_learner = true;
    struct service_plan plan = plan_of(FEATURES, slice_empty());
    ck_assert_int_eq(plan.action, SERVICE_READ);
    ck_assert(!plan.linearizable);
    ck_assert_int_eq(service_job_step(plan.job, &env, SIZE_MAX, &out, &err), SERVICE_DONE);
    Kvd__V1__FeaturesResponse *response = kvd__v1__features_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_ptr_nonnull(response);
    ck_assert_uint_eq(response->header->member_id, 8);
    ck_assert_int_eq(response->header->revision, 1);
    ck_assert_str_eq(response->version, KVD_VERSION);
    ck_assert_uint_eq(response->n_features, RPC_FEATURE_COUNT);
    ck_assert_str_eq(response->features[0], "kvd");
    ck_assert(rpc_features_decode(buf_slice(&out), &features));
    ck_assert_uint_eq(features.bits, (UINT64_C(1) << RPC_FEATURE_COUNT) - 1);
    kvd__v1__features_response__free_unpacked(response, NULL);
    service_job_free(plan.job);
    buf_deinit(&out);
}
END_TEST

START_TEST(test_extra_features_of_the_future_are_passed_over)
{
    struct buf out;
    struct rpc_features features;
    buf_init(&out);
    ck_assert(rpc_features_decode(slice_empty(), &features)); /* a server may answer so: it has nothing */
    ck_assert_uint_eq(features.bits, 0);
    buf_put_pb_bytes(&out, 3, slice_from_string("kv"));
    buf_put_pb_bytes(&out, 3, slice_from_string("kvdx"));
    buf_put_pb_bytes(&out, 99, slice_from_string("kvd"));
    buf_put_pb_varint(&out, 3, 7);
    ck_assert(rpc_features_decode(buf_slice(&out), &features));
    ck_assert_uint_eq(features.bits, 0);
    buf_put_pb_bytes(&out, 3, slice_from_string("kvd"));
    ck_assert(rpc_features_decode(buf_slice(&out), &features));
    ck_assert(rpc_features_have(&features, RPC_FEATURE_KVD));
    ck_assert(!rpc_features_decode(slice_make(out.blob->data, out.size - 1), &features));
    buf_deinit(&out);
}
END_TEST

START_TEST(test_extra_what_is_no_request_is_refused)
{
    ck_assert_int_eq(plan_of(FEATURES, slice_from_string("\x0a\x05q")).err, ERR_MALFORMED);
    struct service_plan plan = plan_of(FEATURES, slice_from_string("\x0a\x01q")); /* a field of a later version */
    ck_assert_int_eq(plan.err, ERR_OK);
    service_job_free(plan.job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("extra");
    TCase *features = tcase_create("features");
    tcase_add_checked_fixture(features, set_up, tear_down);
    tcase_add_test(features, test_extra_features_are_told_by_every_member_in_any_state);
    tcase_add_test(features, test_extra_features_of_the_future_are_passed_over);
    tcase_add_test(features, test_extra_what_is_no_request_is_refused);
    suite_add_tcase(suite, features);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
