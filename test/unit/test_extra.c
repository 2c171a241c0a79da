/* Does kvd.v1.Extra answer as its proto says, refuse what is no request, and keep a history whole whatever a compaction does meanwhile?
 * (What a history's pages hold is compared with a model in test_mvcc_model.) */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvd/extra.pb-c.h"
#include "lib/service_rig.h"
#include "rpc/rpc_features.h"

#define FEATURES "/kvd.v1.Extra/Features"
#define HISTORY "/kvd.v1.Extra/History"

static struct service_rig rig;

static void set_up(void)
{
    service_rig_init(&rig);
}

static void tear_down(void)
{
    service_rig_deinit(&rig);
}

START_TEST(test_extra_features_are_told_by_every_member_in_any_state)
{
    struct buf out;
    enum err err = ERR_OK;
    struct rpc_features features;
    buf_init(&out);
    rig.env.leader = 0;
    rig.env.is_learner = true;
    struct service_plan plan = service_rig_plan(&rig, FEATURES, slice_empty());
    ck_assert_int_eq(plan.action, SERVICE_READ);
    ck_assert(!plan.linearizable);
    ck_assert_int_eq(service_job_step(plan.job, &rig.env, SIZE_MAX, &out, &err), SERVICE_DONE);
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
    ck_assert_int_eq(service_rig_plan(&rig, FEATURES, slice_from_string("\x0a\x05q")).err, ERR_MALFORMED);
    struct service_plan plan = service_rig_plan(&rig, FEATURES, slice_from_string("\x0a\x01q")); /* a field of a later version */
    ck_assert_int_eq(plan.err, ERR_OK);
    service_job_free(plan.job);
}
END_TEST

/* --- history ---------------------------------------------------------------------------------------------------------------- */

struct ask {
    const char *key, *range_end;
    int64_t from, to, limit;
    bool oldest_first;
    struct slice token;
};

static struct buf encode(const struct ask *ask)
{
    struct buf out;
    buf_init(&out);
    if (ask->key != NULL) buf_put_pb_bytes(&out, 1, slice_from_string(ask->key));
    if (ask->range_end != NULL) buf_put_pb_bytes(&out, 2, slice_from_string(ask->range_end));
    buf_put_pb_varint(&out, 3, (uint64_t)ask->from);
    buf_put_pb_varint(&out, 4, (uint64_t)ask->to);
    buf_put_pb_varint(&out, 5, ask->oldest_first);
    buf_put_pb_varint(&out, 6, (uint64_t)ask->limit);
    buf_put_pb_varint(&out, 8, 1);
    if (ask->token.size > 0) buf_put_pb_bytes(&out, 9, ask->token);
    return out;
}

static struct service_job *begin(const struct ask *ask)
{
    struct buf request = encode(ask);
    struct service_plan plan = service_rig_plan(&rig, HISTORY, buf_slice(&request));
    buf_deinit(&request);
    ck_assert_int_eq(plan.err, ERR_OK);
    ck_assert(!plan.linearizable);
    ck_assert(service_job_is_large(plan.job));
    return plan.job;
}

static Kvd__V1__HistoryResponse *unpack(const struct buf *out)
{
    Kvd__V1__HistoryResponse *response = kvd__v1__history_response__unpack(NULL, out->size, out->blob->data);
    ck_assert_ptr_nonnull(response);
    ck_assert_ptr_nonnull(response->header);
    ck_assert_uint_eq(response->header->member_id, 8);
    return response;
}

/* To the end, a few bytes per step. */
static enum err finish(struct service_job *job, struct buf *out)
{
    enum err err = ERR_OK;
    enum service_progress progress = SERVICE_MORE;
    while (progress == SERVICE_MORE) progress = service_job_step(job, &rig.env, 60, out, &err);
    service_job_free(job);
    return progress == SERVICE_DONE ? ERR_OK : err;
}

static enum err outcome(const struct ask *ask)
{
    struct buf request = encode(ask), out;
    struct service_plan plan = service_rig_plan(&rig, HISTORY, buf_slice(&request));
    enum err err = plan.err;
    buf_init(&out);
    if (err == ERR_OK) err = finish(plan.job, &out);
    buf_deinit(&out);
    buf_deinit(&request);
    return err;
}

/* Revisions 2 … count + 1, each key in turn. */
static void fill(int count, int keys)
{
    for (int i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "k%d=value%d", i % keys, i);
        ck_assert_str_ne(kv_rig_put(&rig.kv, text), "");
    }
}

static void compact(int64_t revision)
{
    ck_assert_int_eq(kv_rig_compact(&rig.kv, revision, false), ERR_OK);
    while (mvcc_compact_step(rig.kv.mvcc, 100)) continue;
    state_machine_publish(rig.kv.machine);
}

/* The mark moves when apply executes, the view when it publishes: a step in between reads the old view and gets no pin for it. */
static void compact_unpublished(int64_t revision) { ck_assert_int_eq(mvcc_compact(rig.kv.mvcc, revision), ERR_OK); }

START_TEST(test_extra_history_keeps_its_window_while_a_compaction_passes)
{
    for (int oldest_first = 0; oldest_first < 2; oldest_first++) {
        struct buf out;
        enum err err = ERR_OK;
        int64_t first = mvcc_view_revision(mvcc_view(rig.kv.mvcc)) + 1;
        buf_init(&out);
        fill(100, 5);
        struct service_job *job = begin(&(struct ask){.key = "k", .range_end = "l", .from = first, .oldest_first = oldest_first != 0});
        ck_assert_int_eq(service_job_step(job, &rig.env, 60, &out, &err), SERVICE_MORE);
        fill(10, 5);
        compact(first + 105);
        ck_assert_int_eq(finish(job, &out), ERR_OK);
        Kvd__V1__HistoryResponse *response = unpack(&out);
        ck_assert_uint_eq(response->n_events, 100);
        for (int i = 0; i < 100; i++)
            ck_assert_int_eq(response->events[i]->kv->mod_revision, oldest_first != 0 ? first + i : first + 99 - i);
        ck_assert_int_eq(response->header->revision, first + 99);
        ck_assert_uint_eq(response->next.len, 0);
        kvd__v1__history_response__free_unpacked(response, NULL);
        buf_deinit(&out);
    }
    ck_assert(!mvcc_compact_step(rig.kv.mvcc, 1000)); /* and its pin is gone */
    ck_assert_int_eq(mvcc_compact_done_revision(rig.kv.mvcc), mvcc_view_compact_revision(mvcc_view(rig.kv.mvcc)));
}
END_TEST

START_TEST(test_extra_history_that_no_pin_holds_begins_anew_or_is_compacted)
{
    for (int is_named = 0; is_named < 2; is_named++) {
        struct buf out;
        enum err err = ERR_OK;
        int64_t first = mvcc_view_revision(mvcc_view(rig.kv.mvcc)) + 1;
        buf_init(&out);
        fill(20, 5);
        struct service_job *job = begin(&(struct ask){.key = "k", .range_end = "l", .from = is_named != 0 ? first : 0});
        compact_unpublished(first + 10);
        enum service_progress progress = service_job_step(job, &rig.env, 60, &out, &err);
        ck_assert_int_eq(progress, is_named != 0 ? SERVICE_FAILED : SERVICE_MORE);
        state_machine_publish(rig.kv.machine);
        if (is_named != 0) {
            ck_assert_int_eq(err, ERR_COMPACTED);
            service_job_free(job);
        } else {
            ck_assert_uint_eq(out.size, 0);
            ck_assert_int_eq(finish(job, &out), ERR_OK);
            Kvd__V1__HistoryResponse *response = unpack(&out);
            ck_assert_uint_eq(response->n_events, 10);
            ck_assert_int_eq(response->events[9]->kv->mod_revision, first + 10);
            ck_assert_int_eq(response->compact_revision, first + 10);
            kvd__v1__history_response__free_unpacked(response, NULL);
        }
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(test_extra_history_pages_that_a_compaction_overtakes_end_or_are_refused_and_never_have_a_gap)
{
    for (int oldest_first = 0; oldest_first < 2; oldest_first++) {
        struct buf out;
        int64_t first = mvcc_view_revision(mvcc_view(rig.kv.mvcc)) + 1;
        struct ask ask = {.key = "k", .range_end = "l", .limit = 5, .oldest_first = oldest_first != 0};
        fill(30, 3);
        if (oldest_first != 0) ask.from = mvcc_view_compact_revision(mvcc_view(rig.kv.mvcc));
        buf_init(&out);
        ck_assert_int_eq(finish(begin(&ask), &out), ERR_OK);
        Kvd__V1__HistoryResponse *response = unpack(&out);
        ck_assert_uint_eq(response->n_events, 5);
        ask.token = slice_make(response->next.data, response->next.len);
        compact(first + 29);
        if (oldest_first != 0) {
            ck_assert_int_eq(outcome(&ask), ERR_COMPACTED);
            ask.from = 0;
            ck_assert_int_eq(outcome(&ask), ERR_COMPACTED);
        } else {
            struct buf rest;
            buf_init(&rest);
            ck_assert_int_eq(finish(begin(&ask), &rest), ERR_OK);
            Kvd__V1__HistoryResponse *last = unpack(&rest);
            ck_assert_uint_eq(last->n_events, 0);
            ck_assert_uint_eq(last->next.len, 0);
            kvd__v1__history_response__free_unpacked(last, NULL);
            buf_deinit(&rest);
        }
        kvd__v1__history_response__free_unpacked(response, NULL);
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(test_extra_history_refuses_what_it_cannot_answer)
{
    static const uint8_t zeros[24], foreign[24] = {9, [8] = 3};
    fill(20, 4);
    compact(10);
    const struct {
        struct ask ask;
        enum err err;
    } cases[] = {
        {{.key = NULL}, ERR_EMPTY_KEY},
        {{.key = ""}, ERR_EMPTY_KEY},
        {{.key = "k0", .from = 22}, ERR_FUTURE_REV},
        {{.key = "k0", .to = 22}, ERR_FUTURE_REV},
        {{.key = "k0", .from = INT64_MAX}, ERR_FUTURE_REV},
        {{.key = "k0", .from = 9}, ERR_COMPACTED},
        {{.key = "k0", .from = -1}, ERR_COMPACTED},
        {{.key = "k0", .to = 9}, ERR_COMPACTED},
        {{.key = "k0", .to = INT64_MIN}, ERR_COMPACTED},
        {{.key = "k0", .from = 12, .to = 11}, ERR_HISTORY_WINDOW},
        {{.key = "k0", .token = slice_from_string("x")}, ERR_BAD_PAGE_TOKEN},
        {{.key = "k0", .token = slice_make(zeros, sizeof zeros)}, ERR_BAD_PAGE_TOKEN},
        {{.key = "k0", .token = slice_make(foreign, sizeof foreign), .to = 11}, ERR_BAD_PAGE_TOKEN},
        {{.key = "k0", .token = slice_make(foreign, sizeof foreign), .from = 10}, ERR_BAD_PAGE_TOKEN},
        {{.key = "k0", .token = slice_make(foreign, sizeof foreign)}, ERR_COMPACTED}, /* its window ended at 9 */
        {{.key = "k0", .from = 10, .to = 21}, ERR_OK},
        {{.key = "k0", .limit = -5}, ERR_OK},
        {{.key = "z", .range_end = "a"}, ERR_OK},
        {{.key = "z", .range_end = "z", .oldest_first = true}, ERR_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(outcome(&cases[i].ask) == cases[i].err, "case %zu: %s", i, err_name(outcome(&cases[i].ask)));
    ck_assert_int_eq(service_rig_plan(&rig, HISTORY, slice_from_string("\x0a\x05q")).err, ERR_MALFORMED);
    ck_assert_int_eq(service_rig_plan(&rig, HISTORY, slice_from_string("\x08\x05")).err, ERR_MALFORMED);
    struct buf request = encode(&(struct ask){.key = "k0"});
    request.blob->data[request.size - 1] = 0; /* serializable */
    rig.env.is_learner = true;
    ck_assert_int_eq(service_rig_plan(&rig, HISTORY, buf_slice(&request)).err, ERR_NOT_SUPPORTED_FOR_LEARNER);
    buf_deinit(&request);
}
END_TEST

START_TEST(test_extra_history_pages_are_bounded_in_bytes_and_tombstones_are_told)
{
    struct blob *value = blob_new(600 * 1024);
    struct buf put, out;
    buf_init(&put);
    buf_init(&out);
    memset(value->data, 'v', value->size);
    buf_put_pb_bytes(&put, 1, slice_from_string("big"));
    buf_put_pb_bytes(&put, 2, blob_slice(value));
    for (int i = 0; i < 3; i++) ck_assert_int_eq(kv_rig_apply(&rig.kv, COMMAND_PUT, buf_slice(&put)), ERR_OK);
    ck_assert_str_ne(kv_rig_delete(&rig.kv, "big"), "");
    ck_assert_int_eq(finish(begin(&(struct ask){.key = "big"}), &out), ERR_OK);
    Kvd__V1__HistoryResponse *response = unpack(&out);
    ck_assert_uint_eq(response->n_events, 3);
    ck_assert_int_eq(response->events[0]->type, MVCCPB__EVENT__EVENT_TYPE__DELETE);
    ck_assert_int_eq(response->events[0]->kv->mod_revision, 5);
    ck_assert_int_eq(response->events[2]->kv->version, 2);
    ck_assert_uint_eq(response->events[2]->kv->value.len, value->size);
    ck_assert_uint_eq(response->next.len, 24);
    kvd__v1__history_response__free_unpacked(response, NULL);
    buf_deinit(&out);
    buf_deinit(&put);
    blob_unref(value);
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
    TCase *history = tcase_create("history");
    tcase_add_checked_fixture(history, set_up, tear_down);
    tcase_add_test(history, test_extra_history_keeps_its_window_while_a_compaction_passes);
    tcase_add_test(history, test_extra_history_that_no_pin_holds_begins_anew_or_is_compacted);
    tcase_add_test(history, test_extra_history_pages_that_a_compaction_overtakes_end_or_are_refused_and_never_have_a_gap);
    tcase_add_test(history, test_extra_history_refuses_what_it_cannot_answer);
    tcase_add_test(history, test_extra_history_pages_are_bounded_in_bytes_and_tombstones_are_told);
    suite_add_tcase(suite, history);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
