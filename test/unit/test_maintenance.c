/* Does the Maintenance service answer as the API says, and does a reached quota raise its alarm before its client hears of it? */
#include <check.h>
#include <stdlib.h>

#include "etcdserverpb/rpc.pb-c.h"
#include "lib/kv_text.h"
#include "lib/service_rig.h"

static struct service_rig rig;
static struct buf out;

static void set_up(void)
{
    service_rig_init(&rig);
    buf_init(&out);
}

static void tear_down(void)
{
    buf_deinit(&out);
    service_rig_deinit(&rig);
}

/* A method that this member answers by itself; its response is in `out`. */
static enum err ask(const char *path, struct slice request)
{
    struct service_plan plan = service_rig_plan(&rig, path, request);
    enum err err = plan.err;
    buf_clear(&out);
    ck_assert_uint_ne(plan.action, SERVICE_PROPOSE);
    if (plan.action == SERVICE_READ && service_job_step(plan.job, &rig.env, 1000000, &out, &err) == SERVICE_DONE) err = ERR_OK;
    service_job_free(plan.job);
    return err;
}

static struct slice alarm_request(int32_t action, int32_t type, uint64_t member)
{
    static struct buf body;
    buf_deinit(&body);
    buf_init(&body);
    alarm_put_request(&(struct alarm_request){.action = action, .alarm = {.type = type, .member = member}}, &body);
    return buf_slice(&body);
}

static void apply_alarm(int32_t action, int32_t type, uint64_t member)
{
    ck_assert_int_eq(kv_rig_apply(&rig.kv, COMMAND_ALARM, alarm_request(action, type, member)), ERR_OK);
}

static struct service_plan plan_of_put(const char *text)
{
    static struct buf request;
    buf_deinit(&request);
    request = kv_text_put(text);
    return service_rig_plan(&rig, "/etcdserverpb.KV/Put", buf_slice(&request));
}

START_TEST(test_maintenance_reached_quota_proposes_the_alarm_in_the_puts_stead)
{
    rig.env.quota_bytes = 1;
    struct service_plan plan = plan_of_put("a=1");
    ck_assert_int_eq(plan.action, SERVICE_PROPOSE);
    ck_assert_int_eq(plan.kind, COMMAND_ALARM);
    ck_assert_int_eq(plan.refusal, ERR_NO_SPACE);
    ck_assert_int_eq(kv_rig_apply(&rig.kv, plan.kind, plan.body), ERR_OK);
    ck_assert(alarm_list_has(state_machine_alarms(rig.kv.machine), ALARM_NOSPACE, 8));
    plan = plan_of_put("a=1");
    ck_assert_int_eq(plan.action, SERVICE_REFUSE);
    ck_assert_int_eq(plan.err, ERR_NO_SPACE);
}
END_TEST

START_TEST(test_maintenance_nospace_alarm_of_any_member_refuses_before_proposing_and_after_the_rules)
{
    apply_alarm(ALARM_ACTIVATE, ALARM_NOSPACE, 99);
    ck_assert_int_eq(plan_of_put("a=1").err, ERR_NO_SPACE);
    ck_assert_int_eq(plan_of_put("=1").err, ERR_EMPTY_KEY);
    struct buf range = kv_text_delete("a"), txn = kv_text_txn("then put(a=1)"), deletes = kv_text_txn("then del(a)");
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/DeleteRange", buf_slice(&range)).action, SERVICE_PROPOSE);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/Txn", buf_slice(&txn)).err, ERR_NO_SPACE);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/Txn", buf_slice(&deletes)).action, SERVICE_PROPOSE);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/Compact", slice_from_string("\x08\x01")).action, SERVICE_PROPOSE);
    buf_deinit(&range);
    buf_deinit(&txn);
    buf_deinit(&deletes);
}
END_TEST

START_TEST(test_maintenance_corrupt_member_serves_no_reads_and_its_neighbours_do)
{
    struct buf range = kv_text_range("a,local"), txn = kv_text_txn("then get(a)"), request = kv_text_delete("a");
    kv_rig_put(&rig.kv, "a=1");
    apply_alarm(ALARM_ACTIVATE, ALARM_CORRUPT, 99);
    ck_assert_int_eq(ask("/etcdserverpb.KV/Range", buf_slice(&range)), ERR_OK);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/DeleteRange", buf_slice(&request)).err, ERR_CORRUPT);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.KV/Compact", slice_from_string("\x08\x01")).err, ERR_CORRUPT);
    ck_assert_int_eq(plan_of_put("a=1").err, ERR_CORRUPT);
    /* A read that was planned before is not answered after. */
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.KV/Range", buf_slice(&range));
    enum err err = ERR_OK;
    apply_alarm(ALARM_ACTIVATE, ALARM_CORRUPT, 8);
    buf_clear(&out);
    ck_assert_int_eq(service_job_step(plan.job, &rig.env, 1000, &out, &err), SERVICE_FAILED);
    ck_assert_int_eq(err, ERR_CORRUPT);
    service_job_free(plan.job);
    ck_assert_int_eq(ask("/etcdserverpb.KV/Txn", buf_slice(&txn)), ERR_CORRUPT);
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/HashKV", slice_empty()), ERR_OK);
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/Status", slice_empty()), ERR_OK);
    buf_deinit(&range);
    buf_deinit(&txn);
    buf_deinit(&request);
}
END_TEST

static size_t alarms_listed(int32_t type, uint64_t member)
{
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/Alarm", alarm_request(ALARM_GET, type, member)), ERR_OK);
    Etcdserverpb__AlarmResponse *response = etcdserverpb__alarm_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_ptr_nonnull(response);
    ck_assert_uint_eq(response->header->member_id, 8);
    size_t count = response->n_alarms;
    etcdserverpb__alarm_response__free_unpacked(response, NULL);
    return count;
}

START_TEST(test_maintenance_alarms_are_got_by_type_and_changed_through_the_log)
{
    apply_alarm(ALARM_ACTIVATE, ALARM_NOSPACE, 1);
    apply_alarm(ALARM_ACTIVATE, ALARM_NOSPACE, 2);
    apply_alarm(ALARM_ACTIVATE, ALARM_CORRUPT, 2);
    ck_assert_uint_eq(alarms_listed(ALARM_NONE, 0), 3);
    ck_assert_uint_eq(alarms_listed(ALARM_NONE, 2), 3); /* as etcd does */
    ck_assert_uint_eq(alarms_listed(ALARM_NOSPACE, 0), 2);
    ck_assert_uint_eq(alarms_listed(ALARM_CORRUPT, 9), 1);
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.Maintenance/Alarm", alarm_request(ALARM_GET, 0, 0));
    ck_assert(plan.linearizable);
    service_job_free(plan.job);
    plan = service_rig_plan(&rig, "/etcdserverpb.Maintenance/Alarm", alarm_request(ALARM_DEACTIVATE, ALARM_NOSPACE, 1));
    ck_assert_int_eq(plan.action, SERVICE_PROPOSE);
    ck_assert_int_eq(plan.kind, COMMAND_ALARM);
    ck_assert_int_eq(plan.refusal, ERR_OK);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.Maintenance/Alarm", slice_from_string("\x0a\x01x")).err, ERR_MALFORMED);
}
END_TEST

START_TEST(test_maintenance_status_shows_alarms_behind_a_missing_leader)
{
    apply_alarm(ALARM_ACTIVATE, ALARM_NOSPACE, 42);
    rig.env.leader = 0;
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/Status", slice_empty()), ERR_OK);
    Etcdserverpb__StatusResponse *status = etcdserverpb__status_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_uint_eq(status->n_errors, 2);
    ck_assert_str_eq(status->errors[0], "etcdserver: no leader");
    ck_assert_str_eq(status->errors[1], "memberID:42 alarm:NOSPACE ");
    etcdserverpb__status_response__free_unpacked(status, NULL);
}
END_TEST

static enum err hash_at(int64_t revision, Etcdserverpb__HashKVResponse **out_response)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)revision);
    enum err err = ask("/etcdserverpb.Maintenance/HashKV", buf_slice(&request));
    *out_response = err == ERR_OK ? etcdserverpb__hash_kvresponse__unpack(NULL, out.size, out.blob->data) : NULL;
    buf_deinit(&request);
    return err;
}

START_TEST(test_maintenance_hash_of_a_revision_keeps_to_the_rules_of_reads)
{
    Etcdserverpb__HashKVResponse *now, *then;
    for (int i = 0; i < 9; i++) kv_rig_put(&rig.kv, "a=1");
    ck_assert_int_eq(hash_at(11, &now), ERR_FUTURE_REV);
    ck_assert_int_eq(hash_at(0, &now), ERR_OK);
    ck_assert_int_eq(now->hash_revision, 10);
    ck_assert_int_eq(now->compact_revision, -1);
    ck_assert_int_eq(now->header->revision, 10);
    ck_assert_int_eq(hash_at(5, &then), ERR_OK);
    ck_assert_int_eq(then->hash_revision, 5);
    ck_assert_uint_ne(then->hash, now->hash);
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/Hash", slice_empty()), ERR_OK);
    Etcdserverpb__HashResponse *whole = etcdserverpb__hash_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_uint_eq(whole->hash, now->hash);
    etcdserverpb__hash_response__free_unpacked(whole, NULL);
    etcdserverpb__hash_kvresponse__free_unpacked(now, NULL);
    etcdserverpb__hash_kvresponse__free_unpacked(then, NULL);
    ck_assert_int_eq(kv_rig_compact(&rig.kv, 6, false), ERR_OK);
    ck_assert_int_eq(hash_at(5, &then), ERR_COMPACTED);
    ck_assert_int_eq(hash_at(6, &then), ERR_OK);
    ck_assert_int_eq(then->compact_revision, 6);
    etcdserverpb__hash_kvresponse__free_unpacked(then, NULL);
}
END_TEST

START_TEST(test_maintenance_leader_moves_only_from_the_leader_and_to_a_voter)
{
    struct buf request;
    buf_init(&request);
    uint64_t voter = state_machine_cluster(rig.kv.machine)->members[0].id;
    buf_put_pb_varint(&request, 1, voter);
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.Maintenance/MoveLeader", buf_slice(&request));
    ck_assert_int_eq(plan.action, SERVICE_MOVE_LEADER);
    ck_assert_uint_eq(plan.target, voter);
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.Maintenance/MoveLeader", slice_empty()).err, ERR_BAD_LEADER_TRANSFEREE);
    rig.env.leader = 9;
    ck_assert_int_eq(service_rig_plan(&rig, "/etcdserverpb.Maintenance/MoveLeader", buf_slice(&request)).err, ERR_NOT_LEADER);
    buf_deinit(&request);
}
END_TEST

static enum err downgrade(uint64_t action, const char *version)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, action);
    buf_put_pb_bytes(&request, 2, slice_from_string(version));
    enum err err = ask("/etcdserverpb.Maintenance/Downgrade", buf_slice(&request));
    buf_deinit(&request);
    return err;
}

START_TEST(test_maintenance_no_version_can_be_downgraded_to)
{
    ck_assert_int_eq(downgrade(0, "3.5"), ERR_DOWNGRADE_TARGET);
    ck_assert_int_eq(downgrade(0, "3.5.0"), ERR_DOWNGRADE_TARGET);
    ck_assert_int_eq(downgrade(1, "9.9"), ERR_DOWNGRADE_TARGET);
    for (const char *const *bad = (const char *const[]){"", "3", "3.", ".5", "3.5.", "3.5.0.1", "v3.5", "3.x", NULL}; *bad != NULL; bad++)
        ck_assert_int_eq(downgrade(0, *bad), ERR_DOWNGRADE_VERSION_FORMAT);
    ck_assert_int_eq(downgrade(2, ""), ERR_NO_DOWNGRADE);
    ck_assert_int_eq(downgrade(3, "3.5"), ERR_UNKNOWN_METHOD);
    ck_assert_int_eq(downgrade(0, "\xff"), ERR_BAD_UTF8);
}
END_TEST

START_TEST(test_maintenance_defragment_answers_at_once_with_nothing)
{
    ck_assert_int_eq(ask("/etcdserverpb.Maintenance/Defragment", slice_empty()), ERR_OK);
    ck_assert_uint_eq(out.size, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maintenance");
    TCase *tcase = tcase_create("service");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_maintenance_reached_quota_proposes_the_alarm_in_the_puts_stead);
    tcase_add_test(tcase, test_maintenance_nospace_alarm_of_any_member_refuses_before_proposing_and_after_the_rules);
    tcase_add_test(tcase, test_maintenance_corrupt_member_serves_no_reads_and_its_neighbours_do);
    tcase_add_test(tcase, test_maintenance_alarms_are_got_by_type_and_changed_through_the_log);
    tcase_add_test(tcase, test_maintenance_status_shows_alarms_behind_a_missing_leader);
    tcase_add_test(tcase, test_maintenance_hash_of_a_revision_keeps_to_the_rules_of_reads);
    tcase_add_test(tcase, test_maintenance_leader_moves_only_from_the_leader_and_to_a_voter);
    tcase_add_test(tcase, test_maintenance_no_version_can_be_downgraded_to);
    tcase_add_test(tcase, test_maintenance_defragment_answers_at_once_with_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
