/* Does the pure half of the API plan each request as it must travel, and answer reads at one revision, whatever happens meanwhile? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/rng.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/kv_text.h"
#include "lib/service_rig.h"

#define MAX_REQUEST_BYTES (1536 * 1024) /* service_rig's */

static struct service_rig rig;

static void set_up(void)
{
    service_rig_init(&rig);
    rig.env.lease_ttl_min = 2;
}

static void tear_down(void)
{
    service_rig_deinit(&rig);
}

/* --- a read that a compaction overtakes ------------------------------------------------------------------------------------- */

static void fill(int count)
{
    for (int i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "k%04d=value", i);
        ck_assert_str_ne(kv_rig_put(&rig.kv, text), "");
    }
}

/* The mark moves when apply executes, the view when it publishes: a step in between reads the old view and gets no pin for it. */
static void compact_unpublished(void)
{
    int64_t revision = mvcc_view_revision(mvcc_view(rig.kv.mvcc));
    mvcc_begin(rig.kv.mvcc);
    mvcc_put(rig.kv.mvcc, slice_from_string("new"), slice_from_string("1"), 0);
    (void)mvcc_commit(rig.kv.mvcc);
    ck_assert_int_eq(mvcc_compact(rig.kv.mvcc, revision + 1), ERR_OK);
}

static void check_pairs(size_t count, int64_t more_or_count, Etcdserverpb__RangeResponse *response)
{
    ck_assert_uint_eq(response->n_kvs, count);
    ck_assert_int_eq(response->count, more_or_count);
    ck_assert_ptr_nonnull(response->header);
    ck_assert_int_eq(response->header->revision, mvcc_view_revision(mvcc_view(rig.kv.mvcc)));
    ck_assert_uint_eq(response->header->cluster_id, 7);
    ck_assert_uint_eq(response->header->member_id, 8);
    ck_assert_uint_eq(response->header->raft_term, 3);
}

START_TEST(test_service_range_overtaken_by_a_compaction_answers_with_the_newer_header)
{
    struct buf out, request = kv_text_range("*..*,local");
    enum err err = ERR_OK;
    fill(100);
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.KV/Range", buf_slice(&request));
    ck_assert_int_eq(plan.action, SERVICE_READ);
    ck_assert(!plan.linearizable);
    compact_unpublished();
    buf_init(&out);
    ck_assert_int_eq(service_job_step(plan.job, &rig.env, 200, &out, &err), SERVICE_MORE);
    ck_assert_uint_eq(out.size, 0);
    mvcc_publish(rig.kv.mvcc);
    while (service_job_step(plan.job, &rig.env, 200, &out, &err) == SERVICE_MORE) {}
    ck_assert_int_eq(err, ERR_OK);
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_ptr_nonnull(response);
    check_pairs(101, 101, response);
    etcdserverpb__range_response__free_unpacked(response, NULL);
    service_job_free(plan.job);
    buf_deinit(&out);
    buf_deinit(&request);
}
END_TEST

START_TEST(test_service_stream_overtaken_by_a_compaction_begins_anew_without_an_empty_message)
{
    struct buf out, merged, request = kv_text_range("*..*,local");
    enum err err = ERR_OK;
    enum service_progress progress = SERVICE_MORE;
    fill(100);
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.KV/RangeStream", buf_slice(&request));
    ck_assert_int_eq(plan.action, SERVICE_READ);
    compact_unpublished();
    buf_init(&out);
    buf_init(&merged);
    ck_assert_int_eq(service_job_step(plan.job, &rig.env, 200, &out, &err), SERVICE_MORE);
    ck_assert_uint_eq(out.size, 0);
    mvcc_publish(rig.kv.mvcc);
    for (size_t step = 0; progress == SERVICE_MORE; step++) {
        buf_clear(&out);
        progress = service_job_step(plan.job, &rig.env, 200, &out, &err);
        Etcdserverpb__RangeStreamResponse *one = etcdserverpb__range_stream_response__unpack(NULL, out.size, out.blob->data);
        ck_assert_ptr_nonnull(one);
        ck_assert((one->range_response->header != NULL) == (progress == SERVICE_DONE));
        if (step == 0) ck_assert_uint_le(one->range_response->n_kvs, 10);
        etcdserverpb__range_stream_response__free_unpacked(one, NULL);
        struct reader reader = reader_make(buf_slice(&out));
        struct pb_field field;
        ck_assert(reader_pb_field(&reader, &field) && field.number == 1);
        buf_put_slice(&merged, field.bytes); /* the merge of messages is their concatenation */
    }
    ck_assert_int_eq(progress, SERVICE_DONE);
    Etcdserverpb__RangeResponse *response = etcdserverpb__range_response__unpack(NULL, merged.size, merged.blob->data);
    ck_assert_ptr_nonnull(response);
    check_pairs(101, 101, response);
    etcdserverpb__range_response__free_unpacked(response, NULL);
    service_job_free(plan.job);
    buf_deinit(&out);
    buf_deinit(&merged);
    buf_deinit(&request);
}
END_TEST

/* --- plans ------------------------------------------------------------------------------------------------------------------ */

static enum err refusal(const char *path, struct slice request)
{
    struct service_plan plan = service_rig_plan(&rig, path, request);
    if (plan.action == SERVICE_READ) service_job_free(plan.job);
    return plan.refusal != ERR_OK ? plan.refusal : plan.err;
}

static enum err refusal_of_put(const char *text)
{
    struct buf request = kv_text_put(text);
    enum err err = refusal("/etcdserverpb.KV/Put", buf_slice(&request));
    buf_deinit(&request);
    return err;
}

static enum err refusal_of_txn(const char *text)
{
    struct buf request = kv_text_txn(text);
    enum err err = refusal("/etcdserverpb.KV/Txn", buf_slice(&request));
    buf_deinit(&request);
    return err;
}

START_TEST(test_service_space_is_asked_before_the_rules_of_a_put_and_only_for_puts)
{
    fill(10);
    ck_assert_int_eq(refusal_of_put("a=1"), ERR_OK);
    rig.env.quota_bytes = 1;
    ck_assert_int_eq(refusal_of_put("a=1"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_put("=1"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_txn("then put(a=1)"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_txn("else txn{then put(a=1)}"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_txn("then del(a) get(b)"), ERR_OK);
    struct buf request = kv_text_delete("a..*");
    ck_assert_int_eq(refusal("/etcdserverpb.KV/DeleteRange", buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
    ck_assert_int_eq(refusal("/etcdserverpb.KV/Put", slice_from_string("\x0a\x7f")), ERR_MALFORMED);
}
END_TEST

START_TEST(test_service_quota_counts_what_compaction_can_free)
{
    for (int i = 0; i < 5000; i++) ck_assert_str_ne(kv_rig_put(&rig.kv, "a=some value"), "");
    uint64_t bytes = 0, live_bytes = 0;
    mvcc_view_sizes(mvcc_view(rig.kv.mvcc), &bytes, &live_bytes);
    ck_assert_uint_gt(bytes, 100 * live_bytes);
    rig.env.quota_bytes = bytes;
    ck_assert_int_eq(refusal_of_put("a=1"), ERR_NO_SPACE);
    ck_assert_int_eq(kv_rig_compact(&rig.kv, mvcc_view_revision(mvcc_view(rig.kv.mvcc)), false), ERR_OK);
    while (mvcc_compact_step(rig.kv.mvcc, 1000)) {}
    mvcc_publish(rig.kv.mvcc);
    while (mvcc_reclaim_step(rig.kv.mvcc, 1000)) {}
    ck_assert(mvcc_is_unpublished(rig.kv.mvcc)); /* nothing is written meanwhile, yet the readers must hear of it */
    mvcc_publish(rig.kv.mvcc);
    ck_assert_int_eq(refusal_of_put("a=1"), ERR_OK);
}
END_TEST

START_TEST(test_service_full_disk_refuses_every_write_and_no_read)
{
    rig.env.no_space = true;
    ck_assert_int_eq(refusal_of_put("a=1"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_txn("then del(a)"), ERR_NO_SPACE);
    ck_assert_int_eq(refusal_of_txn("then get(a)"), ERR_OK);
    struct buf request = kv_text_range("a");
    ck_assert_int_eq(refusal("/etcdserverpb.KV/Range", buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
}
END_TEST

/* What is proposed carries no field that this level gives no meaning, at any depth. */
START_TEST(test_service_unknown_fields_do_not_reach_the_log)
{
    struct buf put, op, txn, dirty;
    struct buf clean = kv_text_txn("then put(a=1)");
    put = kv_text_put("a=1");
    buf_put_pb_bytes(&put, 200, slice_from_string("new"));
    buf_init(&op);
    buf_put_pb_bytes(&op, 2, buf_slice(&put));
    buf_put_pb_varint(&op, 99, 5);
    buf_init(&txn);
    buf_put_pb_bytes(&txn, 2, buf_slice(&op));
    buf_put_pb_bytes(&txn, 77, slice_from_string("more"));
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.KV/Txn", buf_slice(&txn));
    ck_assert_int_eq(plan.action, SERVICE_PROPOSE);
    ck_assert(slice_equal(plan.body, buf_slice(&clean)));
    buf_init(&dirty);
    buf_put_pb_varint(&dirty, 1, 5); /* the key as a number: a known field of another wire type */
    ck_assert_int_eq(refusal("/etcdserverpb.KV/Put", buf_slice(&dirty)), ERR_MALFORMED);
    struct buf *all[] = {&put, &op, &txn, &dirty, &clean};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) buf_deinit(all[i]);
}
END_TEST

static void decide_version(void)
{
    ck_assert_int_eq(kv_rig_apply(&rig.kv, COMMAND_CLUSTER_VERSION_SET, slice_from_string("\x0a\x05" "3.6.0")), ERR_OK);
}

static void assert_plan(const char *path, struct buf request, uint32_t level, uint32_t ids, int64_t ttl)
{
    struct service_plan plan = service_rig_plan(&rig, path, buf_slice(&request));
    ck_assert_int_eq(plan.action, SERVICE_PROPOSE);
    ck_assert(plan.level == level && plan.chosen_lease_ids == ids && plan.chosen_ttl == ttl);
    ck_assert(slice_equal(plan.body, buf_slice(&request)));
    buf_deinit(&request);
}

START_TEST(test_service_puts_with_a_ttl_need_a_cluster_that_knows_them)
{
    ck_assert_int_eq(refusal_of_put("a=1,ttl=60"), ERR_NOT_CAPABLE);
    ck_assert_int_eq(refusal_of_txn("then get(a) else txn{then put(a=1,ttl=60)}"), ERR_NOT_CAPABLE);
    ck_assert_int_eq(refusal_of_put("a=1,ttl=-60"), ERR_LEASE_TTL_NEGATIVE);
    ck_assert_int_eq(refusal_of_put("a=1,ttl=0"), ERR_OK);
    decide_version();
    assert_plan("/etcdserverpb.KV/Put", kv_text_put("a=1,ttl=60"), 2, 1, 2);
    assert_plan("/etcdserverpb.KV/Put", kv_text_put("a=1,lease=7,prev"), 1, 0, 0);
    assert_plan("/etcdserverpb.KV/Txn", kv_text_txn("then put(a=1,ttl=60) put(b=1) else txn{then put(a=1,ttl=1)}"), 2, 2, 2);
    assert_plan("/etcdserverpb.KV/Txn", kv_text_txn("then put(a=1) del(b)"), 1, 0, 0);
}
END_TEST

/* --- any bytes -------------------------------------------------------------------------------------------------------------- */

static struct buf mutated(struct rng *rng, struct slice from)
{
    struct buf bytes;
    buf_init(&bytes);
    buf_put_slice(&bytes, from);
    for (uint64_t n = 1 + rng_below(rng, 3); n > 0 && bytes.size > 0; n--) {
        size_t at = (size_t)rng_below(rng, bytes.size), end = at + (size_t)rng_below(rng, bytes.size - at + 1);
        switch (rng_below(rng, 5)) {
        case 0: bytes.blob->data[at] ^= (uint8_t)(1u << rng_below(rng, 8)); break;
        case 1: bytes.blob->data[at] = (uint8_t)rng_below(rng, 256); break;
        case 2: bytes.blob->data[at] = (uint8_t)(rng_below(rng, 8) << 3 | rng_below(rng, 3)); break; /* another field's tag */
        case 3: bytes.size = at; break;
        default: { /* a piece once more, at the end */
            struct blob *piece = blob_copy(slice_make(bytes.blob->data + at, end - at));
            buf_put_slice(&bytes, blob_slice(piece));
            blob_unref(piece);
        }
        }
    }
    return bytes;
}

static void run_plan(struct service_plan *plan)
{
    enum err err = ERR_OK;
    rig.kv.level = plan->level;
    rig.kv.lease_ids = plan->chosen_lease_ids;
    if (plan->action == SERVICE_PROPOSE) (void)kv_rig_apply(&rig.kv, plan->kind, plan->body);
    if (plan->action != SERVICE_READ) return;
    enum service_progress progress = SERVICE_MORE;
    struct buf out;
    buf_init(&out);
    for (int steps = 0; progress == SERVICE_MORE && steps < 1000; steps++) {
        buf_clear(&out);
        progress = service_job_step(plan->job, &rig.env, 300, &out, &err);
    }
    ck_assert_int_ne(progress, SERVICE_MORE);
    buf_deinit(&out);
    service_job_free(plan->job);
}

/* What passes the door is in every member's log: it must be understood there, too. */
START_TEST(test_service_mutated_requests_do_no_harm_at_the_door_nor_in_the_log)
{
    static const struct {
        const char *path, *text;
        struct buf (*build)(const char *text);
    } SEEDS[] = {
        {"/etcdserverpb.KV/Put", "a=1,lease=7,prev,keepvalue,keeplease", kv_text_put},
        {"/etcdserverpb.KV/Put", "a=1,ttl=600,prev,keepvalue", kv_text_put},
        {"/etcdserverpb.KV/DeleteRange", "a..c,prev", kv_text_delete},
        {"/etcdserverpb.KV/Range", "a..k,limit=2,order=2,target=1,local,minmod=1,maxmod=9", kv_text_range},
        {"/etcdserverpb.KV/RangeStream", "a..*,limit=9,local", kv_text_range},
        {"/etcdserverpb.KV/Txn", "if mod(a)=3 val(b..c)>x then put(a=1) del(b) get(c,rev=2) else txn{then get(a) put(e=1,ttl=9)} put(c=3,ttl=9)", kv_text_txn},
        {"/etcdserverpb.KV/Txn", "then txn{if ver(x)=0 then put(x=1) txn{then put(y=2) del(z..*)} else get(x)} get(*..*)", kv_text_txn},
        {"/etcdserverpb.KV/Txn", "then get(a..c,order=1) get(b,keys)", kv_text_txn},
    };
    struct rng rng;
    uint64_t proposed = 0, refused = 0;
    rng_init(&rng, 11);
    fill(20);
    decide_version();
    for (int round = 0; round < (getenv("KVD_TEST_LONG") != NULL ? 400000 : 40000); round++) {
        size_t n = (size_t)rng_below(&rng, sizeof SEEDS / sizeof SEEDS[0]);
        struct buf seed = SEEDS[n].build(SEEDS[n].text);
        struct buf bytes = mutated(&rng, buf_slice(&seed));
        struct service_plan plan = service_rig_plan(&rig, SEEDS[n].path, buf_slice(&bytes));
        proposed += plan.action == SERVICE_PROPOSE;
        refused += plan.action == SERVICE_REFUSE;
        run_plan(&plan);
        buf_deinit(&bytes);
        buf_deinit(&seed);
    }
    ck_assert_uint_gt(proposed, 1000);
    ck_assert_uint_gt(refused, 1000);
}
END_TEST

START_TEST(test_service_learner_answers_serializable_ranges_status_snapshot_and_health_only)
{
    size_t count = 0;
    const struct rpc_method *methods = rpc_method_table(&count);
    struct buf local = kv_text_range("a,local"), range = kv_text_range("a");
    rig.env.is_learner = true;
    ck_assert_int_eq(refusal("/etcdserverpb.KV/Range", buf_slice(&range)), ERR_NOT_SUPPORTED_FOR_LEARNER);
    for (size_t i = 0; i < count; i++) {
        bool may = strstr(methods[i].path, "KV/Range") != NULL && methods[i].id == RPC_KV_RANGE;
        may = may || methods[i].id == RPC_MAINTENANCE_STATUS || methods[i].id == RPC_MAINTENANCE_SNAPSHOT || strstr(methods[i].path, "Health/") != NULL ||
              methods[i].id == RPC_EXTRA_FEATURES || methods[i].id == RPC_EXTRA_WATCHERS || methods[i].id == RPC_EXTRA_CANCEL_WATCHER;
        if (methods[i].id == RPC_OTHER) continue;
        enum err err = refusal(methods[i].path, may && methods[i].id == RPC_KV_RANGE ? buf_slice(&local) : slice_empty());
        ck_assert_int_eq(err, may ? ERR_OK : ERR_NOT_SUPPORTED_FOR_LEARNER);
    }
    buf_deinit(&local);
    buf_deinit(&range);
}
END_TEST

START_TEST(test_service_large_requests_are_refused_at_the_byte)
{
    struct blob *blob = blob_new(MAX_REQUEST_BYTES + 8);
    memset(blob->data, 'v', blob->size);
    for (size_t extra = 0; extra < 2; extra++) {
        struct buf request;
        buf_init(&request);
        buf_put_pb_bytes(&request, 1, slice_from_string("k"));
        size_t head = request.size + 1 + pb_varint_size(MAX_REQUEST_BYTES - 100);
        buf_put_pb_bytes(&request, 2, slice_make(blob->data, MAX_REQUEST_BYTES - head + extra));
        ck_assert_uint_eq(request.size, MAX_REQUEST_BYTES + extra);
        ck_assert_int_eq(refusal("/etcdserverpb.KV/Put", buf_slice(&request)), extra == 0 ? ERR_OK : ERR_REQUEST_TOO_LARGE);
        buf_deinit(&request);
    }
    blob_unref(blob);
}
END_TEST

START_TEST(test_service_status_says_no_leader_and_leaves_out_an_unlimited_quota)
{
    struct buf out;
    enum err err = ERR_OK;
    rig.env.leader = 0;
    rig.env.commit_index = 12;
    rig.env.applied_index = 11;
    struct service_plan plan = service_rig_plan(&rig, "/etcdserverpb.Maintenance/Status", slice_empty());
    buf_init(&out);
    ck_assert_int_eq(service_job_step(plan.job, &rig.env, 1000, &out, &err), SERVICE_DONE);
    Etcdserverpb__StatusResponse *status = etcdserverpb__status_response__unpack(NULL, out.size, out.blob->data);
    ck_assert_ptr_nonnull(status);
    ck_assert_uint_eq(status->leader, 0);
    ck_assert_uint_eq(status->n_errors, 1);
    ck_assert_str_eq(status->errors[0], "etcdserver: no leader");
    ck_assert_uint_eq(status->raftindex, 12);
    ck_assert_uint_eq(status->raftappliedindex, 11);
    ck_assert_uint_eq(status->raftterm, 3);
    ck_assert_str_eq(status->version, SERVICE_API_VERSION);
    ck_assert_str_eq(status->storageversion, "3.6.0");
    etcdserverpb__status_response__free_unpacked(status, NULL);
    service_job_free(plan.job);
    buf_deinit(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service");
    TCase *reads = tcase_create("reads"), *plans = tcase_create("plans");
    tcase_add_checked_fixture(reads, set_up, tear_down);
    tcase_add_test(reads, test_service_range_overtaken_by_a_compaction_answers_with_the_newer_header);
    tcase_add_test(reads, test_service_stream_overtaken_by_a_compaction_begins_anew_without_an_empty_message);
    tcase_add_test(reads, test_service_status_says_no_leader_and_leaves_out_an_unlimited_quota);
    tcase_add_checked_fixture(plans, set_up, tear_down);
    tcase_add_test(plans, test_service_space_is_asked_before_the_rules_of_a_put_and_only_for_puts);
    tcase_add_test(plans, test_service_quota_counts_what_compaction_can_free);
    tcase_add_test(plans, test_service_full_disk_refuses_every_write_and_no_read);
    tcase_add_test(plans, test_service_puts_with_a_ttl_need_a_cluster_that_knows_them);
    tcase_add_test(plans, test_service_unknown_fields_do_not_reach_the_log);
    tcase_add_test(plans, test_service_mutated_requests_do_no_harm_at_the_door_nor_in_the_log);
    tcase_set_timeout(plans, 120);
    tcase_add_test(plans, test_service_learner_answers_serializable_ranges_status_snapshot_and_health_only);
    tcase_add_test(plans, test_service_large_requests_are_refused_at_the_byte);
    suite_add_tcase(suite, reads);
    suite_add_tcase(suite, plans);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
