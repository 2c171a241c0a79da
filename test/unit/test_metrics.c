/* Are metrics what Prometheus takes: families with their series, buckets that add up, labels of peers and of methods? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/process_stats.h"
#include "pipeline/op_metrics.h"
#include "pipeline/snap_metrics.h"
#include "rpc/rpc_metrics.h"

static struct buf out;
static struct metrics metrics;
static struct rpc_metrics rpc;
static struct op_metrics ops;

static void set_up(void)
{
    buf_init(&out);
    memset(&metrics, 0, sizeof metrics);
    memset(&rpc, 0, sizeof rpc);
    memset(&ops, 0, sizeof ops);
}

static void tear_down(void) { buf_deinit(&out); }

static const char *text(void)
{
    buf_put_u8(&out, 0);
    return (const char *)buf_slice(&out).data;
}

static void expect(const char *whole, const char *part) { ck_assert_msg(strstr(whole, part) != NULL, "not there: %s\n%.2000s", part, whole); }

START_TEST(test_metrics_a_histogram_counts_each_value_once_and_adds_up)
{
    struct metrics_histogram histogram = {.sum_ns = 0};
    const uint64_t values_ns[] = {0, NS_PER_MS, NS_PER_MS + 1, 3 * NS_PER_MS, 8192 * NS_PER_MS, 8192 * NS_PER_MS + 1, 100 * NS_PER_S};
    uint64_t sum_ns = 0;
    for (size_t i = 0; i < sizeof values_ns / sizeof values_ns[0]; i++) {
        metrics_observe(&histogram, METRICS_FROM_1MS, values_ns[i]);
        sum_ns += values_ns[i];
    }
    ck_assert_uint_eq(sum_ns / NS_PER_S, 116);
    metrics_put_histogram(&out, "x_seconds", "a=\"b\"", &histogram, METRICS_FROM_1MS);
    const char *got = text();
    expect(got, "x_seconds_bucket{a=\"b\",le=\"0.001\"} 2\nx_seconds_bucket{a=\"b\",le=\"0.002\"} 3\nx_seconds_bucket{a=\"b\",le=\"0.004\"} 4\n");
    expect(got, "x_seconds_bucket{a=\"b\",le=\"4.096\"} 4\nx_seconds_bucket{a=\"b\",le=\"8.192\"} 5\nx_seconds_bucket{a=\"b\",le=\"+Inf\"} 7\n");
    expect(got, "x_seconds_sum{a=\"b\"} 116.389000002\nx_seconds_count{a=\"b\"} 7\n");
}
END_TEST

START_TEST(test_metrics_bounds_are_those_that_alerts_select)
{
    const struct metrics_histogram none = {.sum_ns = 0};
    metrics_put_histogram(&out, "a", "", &none, METRICS_FROM_100US);
    metrics_put_histogram(&out, "b", "", &none, METRICS_CALLS);
    const char *got = text();
    expect(got, "a_bucket{le=\"0.0001\"} 0\na_bucket{le=\"0.0002\"} 0\n");
    expect(got, "a_bucket{le=\"1.6384\"} 0\na_bucket{le=\"3.2768\"} 0\na_bucket{le=\"+Inf\"} 0\n");
    expect(got, "b_bucket{le=\"0.005\"} 0\nb_bucket{le=\"0.01\"} 0\nb_bucket{le=\"0.025\"} 0\n");
    expect(got, "b_bucket{le=\"2.5\"} 0\nb_bucket{le=\"5\"} 0\nb_bucket{le=\"10\"} 0\nb_bucket{le=\"+Inf\"} 0\nb_sum 0.000000000\nb_count 0\n");
}
END_TEST

START_TEST(test_metrics_bounds_in_other_units_say_so)
{
    struct metrics_histogram one = {.sum_ns = 0}, ttls = {.sum_ns = 0};
    metrics_observe(&one, METRICS_IN_MS, 3 * NS_PER_MS / 2);
    metrics_put_histogram(&out, "a", "", &one, METRICS_IN_MS);
    metrics_put_histogram(&out, "b", "", &one, METRICS_IN_100MS);
    metrics_put_histogram(&out, "c", "", &one, METRICS_FROM_100US_20);
    metrics_put_histogram(&out, "d", "", &one, METRICS_FROM_10MS);
    metrics_put_histogram(&out, "e", "", &one, METRICS_IN_500US);
    for (int i = 0; i < 3; i++) metrics_observe(&ttls, METRICS_IN_S, UINT64_C(9000000000)); /* in ns their sum would be more than fits */
    metrics_observe(&ttls, METRICS_IN_S, 60);
    metrics_put_histogram(&out, "f", "", &ttls, METRICS_IN_S);
    const char *got = text();
    expect(got, "a_bucket{le=\"1\"} 0\na_bucket{le=\"2\"} 1\n");
    expect(got, "a_bucket{le=\"4096\"} 1\na_bucket{le=\"+Inf\"} 1\na_sum 1.500000\na_count 1\n");
    expect(got, "b_bucket{le=\"100\"} 0\n");
    expect(got, "b_bucket{le=\"819200\"} 1\nb_bucket{le=\"+Inf\"}");
    expect(got, "c_bucket{le=\"52.4288\"} 1\nc_bucket{le=\"+Inf\"}");
    expect(got, "d_bucket{le=\"655.36\"} 1\nd_bucket{le=\"+Inf\"}");
    expect(got, "e_bucket{le=\"0.5\"} 0\ne_bucket{le=\"1\"} 1\ne_bucket{le=\"2\"} 1\n");
    expect(got, "e_bucket{le=\"4096\"} 1\ne_bucket{le=\"+Inf\"} 1\ne_sum 1.500000\n");
    expect(got, "f_bucket{le=\"1\"} 0\n");
    expect(got, "f_bucket{le=\"32\"} 0\nf_bucket{le=\"64\"} 1\n");
    expect(got, "f_bucket{le=\"524288\"} 1\nf_bucket{le=\"1.048576e+06\"} 1\n");
    expect(got, "f_bucket{le=\"8.388608e+06\"} 1\nf_bucket{le=\"+Inf\"} 4\nf_sum 27000000060\nf_count 4\n");
}
END_TEST

START_TEST(test_metrics_commands_are_told_when_they_came)
{
    op_metrics_apply(&ops, COMMAND_TXN, ERR_OK, NS_PER_MS);
    op_metrics_apply(&ops, COMMAND_TXN, ERR_COMPACTED, NS_PER_MS);
    op_metrics_range(&ops, ERR_OK, NS_PER_MS);
    op_metrics_put(&out, &ops);
    const char *got = text();
    expect(got, "etcd_server_apply_duration_seconds_count{op=\"Txn\",success=\"false\",version=\"v3\"} 1\n");
    expect(got, "etcd_server_apply_duration_seconds_count{op=\"Txn\",success=\"true\",version=\"v3\"} 1\n");
    ck_assert_ptr_null(strstr(got, "op=\"Put\""));
    expect(got, "etcd_server_range_duration_seconds_count{success=\"true\"} 1\n");
}
END_TEST

static uint64_t piece(struct snap_metrics *note, uint64_t index, uint64_t offset, uint64_t file_bytes, uint64_t now_ns)
{
    snap_metrics_sent(note, &(struct snap_metrics_piece){.peer = 7, .index = index, .offset = offset, .size = 10, .file_bytes = file_bytes}, now_ns);
    return METRIC_GET(&metrics.peers[0], snapshots_sending);
}

START_TEST(test_metrics_a_snapshot_is_sent_once_its_last_piece_is_and_given_up_when_nobody_asks)
{
    struct snap_metrics note = {.metrics = &metrics};
    struct snap_pull idle = {.phase = SNAP_PULL_IDLE}, got = {.phase = SNAP_PULL_GET, .from = 7};
    METRIC_SET(&metrics.peers[0], id, 7);
    ck_assert_uint_eq(piece(&note, 5, 10, 30, NS_PER_S), 0); /* asked for again by who began elsewhere */
    ck_assert_uint_eq(piece(&note, 5, 0, 30, NS_PER_S), 1);
    ck_assert_uint_eq(piece(&note, 5, 10, 30, 2 * NS_PER_S), 1);
    ck_assert_uint_eq(piece(&note, 5, 20, 30, 4 * NS_PER_S), 0);
    ck_assert_uint_eq(piece(&note, 5, 20, 30, 4 * NS_PER_S), 0);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_sent), 1);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0].snapshot_sent, sum_ns), 3 * NS_PER_S);
    ck_assert_uint_eq(piece(&note, 6, 0, 30, 5 * NS_PER_S), 1);
    ck_assert_uint_eq(piece(&note, 8, 0, 30, 6 * NS_PER_S), 1); /* a newer one */
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_not_sent), 1);
    snap_metrics_look(&note, &idle, 6 * NS_PER_S + SNAP_METRICS_GIVEN_UP_NS);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_not_sent), 2);
    ck_assert_uint_eq(piece(&note, 8, 0, 0, 30 * NS_PER_S), 0);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_not_sent), 2);
    snap_metrics_look(&note, &got, NS_PER_S);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_receiving), 1);
    got.phase = SNAP_PULL_REMOVE;
    snap_metrics_look(&note, &got, NS_PER_S);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_not_received), 1);
    got.phase = SNAP_PULL_READY;
    snap_metrics_look(&note, &got, NS_PER_S);
    snap_metrics_got(&note, 3 * NS_PER_S);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_received), 1);
    ck_assert_uint_eq(METRIC_GET(&metrics.peers[0], snapshots_receiving), 0);
    ck_assert_uint_eq(METRIC_GET(&metrics.snapshot_got, sum_ns), 2 * NS_PER_S);
}
END_TEST

START_TEST(test_metrics_every_family_has_its_head_and_peers_their_labels)
{
    METRIC_SET(&metrics, proposals_applied, 41);
    METRIC_ADD(&metrics, proposals_applied, 1);
    METRIC_SET(&metrics.peers[0], id, UINT64_C(0x32b1f71e7000234));
    METRIC_SET(&metrics.peers[0], sent_bytes, 7);
    metrics_observe(&metrics.peers[0].round_trip, METRICS_FROM_100US, NS_PER_MS);
    METRIC_SET(&metrics.peers[0], is_active, 1);
    metrics_put_all(&out, &metrics, 0x17);
    const char *got = text();
    expect(got, "# HELP etcd_server_proposals_applied_total Entries applied.\n# TYPE etcd_server_proposals_applied_total gauge\n"
                "etcd_server_proposals_applied_total 42\n");
    expect(got, "# TYPE etcd_network_peer_sent_bytes_total counter\netcd_network_peer_sent_bytes_total{To=\"32b1f71e7000234\"} 7\n#");
    expect(got, "etcd_network_peer_received_bytes_total{From=\"32b1f71e7000234\"} 0\n");
    expect(got, "etcd_network_peer_round_trip_time_seconds_bucket{To=\"32b1f71e7000234\",le=\"0.0008\"} 0\n"
                "etcd_network_peer_round_trip_time_seconds_bucket{To=\"32b1f71e7000234\",le=\"0.0016\"} 1\n");
    expect(got, "# TYPE etcd_network_active_peers gauge\netcd_network_active_peers{Local=\"17\",Remote=\"32b1f71e7000234\"} 1\n");
    expect(got, "etcd_network_disconnected_peers_total{Local=\"17\",Remote=\"32b1f71e7000234\"} 0\n");
    ck_assert_ptr_null(strstr(got, "alarms_no_space"));
    buf_clear(&out);
    metrics_put_json(&out, &metrics);
    expect(text(), "\"proposals_committed\":0,\"proposals_applied\":42,");
}
END_TEST

START_TEST(test_metrics_calls_are_counted_by_method_and_code)
{
    const struct rpc_method *put = rpc_method_find("/etcdserverpb.KV/Put"), *watch = rpc_method_find("/etcdserverpb.Watch/Watch");
    rpc_metrics_start(&rpc, put, "");
    rpc_metrics_receive(&rpc, put);
    rpc_metrics_end(&rpc, put, ERR_COMPACTED, 20 * NS_PER_MS);
    rpc_metrics_start(&rpc, watch, "3.5");
    rpc_metrics_send(&rpc, watch);
    ck_assert_uint_eq(rpc_metrics_started(&rpc, RPC_KV_PUT), 1);
    ck_assert_uint_eq(rpc_metrics_started(&rpc, RPC_KV_RANGE), 0);
    rpc_metrics_put(&out, &rpc);
    const char *got = text();
    expect(got, "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1\n");
    expect(got, "grpc_server_started_total{grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 0\n");
    expect(got, "grpc_server_handled_total{grpc_code=\"OutOfRange\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 1\n");
    expect(got, "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 0\n");
    expect(got, "grpc_server_msg_sent_total{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"} 1\n");
    expect(got, "grpc_server_handling_seconds_bucket{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\",le=\"0.025\"} 1\n");
}
END_TEST

START_TEST(test_metrics_calls_are_counted_by_their_clients_versions_up_to_a_limit)
{
    const struct rpc_method *put = rpc_method_find("/etcdserverpb.KV/Put"), *watch = rpc_method_find("/etcdserverpb.Watch/Watch");
    const struct rpc_method *stream = rpc_method_find("/etcdserverpb.Maintenance/Snapshot");
    char version[RPC_API_VERSION_BYTES];
    rpc_metrics_start(&rpc, put, "");
    rpc_metrics_start(&rpc, put, "3.5");
    rpc_metrics_start(&rpc, put, "3.5");
    rpc_metrics_start(&rpc, watch, "3.5");
    rpc_metrics_start(&rpc, stream, "3.5");
    rpc_metrics_start(&rpc, watch, "3.6");
    for (int i = 0; i < 100; i++) {
        snprintf(version, sizeof version, "9.%d", i);
        rpc_metrics_start(&rpc, put, version);
    }
    rpc_metrics_put(&out, &rpc);
    const char *got = text();
    expect(got, "# TYPE etcd_server_client_requests_total counter\n"
                "etcd_server_client_requests_total{client_api_version=\"unknown\",type=\"unary\"} 1\n"
                "etcd_server_client_requests_total{client_api_version=\"3.5\",type=\"unary\"} 2\n"
                "etcd_server_client_requests_total{client_api_version=\"3.5\",type=\"stream\"} 2\n"
                "etcd_server_client_requests_total{client_api_version=\"9.0\",type=\"unary\"} 1\n");
    expect(got, "etcd_server_client_requests_total{client_api_version=\"9.12\",type=\"unary\"} 1\n"
                "etcd_server_client_requests_total{client_api_version=\"other\",type=\"unary\"} 87\n"
                "etcd_server_client_requests_total{client_api_version=\"3.6\",type=\"stream\"} 1\n#");
}
END_TEST

START_TEST(test_metrics_the_process_knows_itself)
{
    struct process_stats stats;
    process_stats_read(&stats);
    ck_assert_uint_gt(stats.resident_bytes, 100000);
    ck_assert_uint_gt(stats.virtual_bytes, stats.resident_bytes);
    ck_assert_uint_gt(stats.descriptors_max, 10);
    ck_assert_uint_le(stats.start_ns, clock_wall_ns() + NS_PER_S);
    ck_assert_uint_gt(stats.start_ns, clock_wall_ns() - 3600 * NS_PER_S);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *cases = tcase_create("metrics");
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, test_metrics_a_histogram_counts_each_value_once_and_adds_up);
    tcase_add_test(cases, test_metrics_bounds_are_those_that_alerts_select);
    tcase_add_test(cases, test_metrics_bounds_in_other_units_say_so);
    tcase_add_test(cases, test_metrics_commands_are_told_when_they_came);
    tcase_add_test(cases, test_metrics_a_snapshot_is_sent_once_its_last_piece_is_and_given_up_when_nobody_asks);
    tcase_add_test(cases, test_metrics_every_family_has_its_head_and_peers_their_labels);
    tcase_add_test(cases, test_metrics_calls_are_counted_by_method_and_code);
    tcase_add_test(cases, test_metrics_calls_are_counted_by_their_clients_versions_up_to_a_limit);
    tcase_add_test(cases, test_metrics_the_process_knows_itself);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
