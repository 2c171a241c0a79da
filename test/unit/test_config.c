/* Are the defaults a node that starts, does each bad value get a message that names it, are URLs split as etcd does? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rpc/peer_port.h"
#include "pipeline/config.h"

static struct config config;
static char message[256];
static struct config_url urls[4];

static void set_up(void)
{
    config_init(&config);
    message[0] = '\0';
    memset(urls, 0xee, sizeof(urls));
}

static bool check(void) { return config_check(&config, message, sizeof(message)); }

static int parse(const char *text) { return config_parse_urls(text, urls, 4, message, sizeof(message)); }

/* The value is refused with a message that has this word in it; then the defaults are back. */
static void refused(const char *word)
{
    ck_assert_msg(!check(), "accepted: %s", word);
    ck_assert_msg(strstr(message, word) != NULL, "\"%s\" is not in \"%s\"", word, message);
    set_up();
}

START_TEST(test_config_defaults_are_valid_and_etcds)
{
    ck_assert_msg(check(), "%s", message);
    ck_assert_str_eq(config.name, "default");
    ck_assert_str_eq(config.data_dir_path, "default.etcd");
    ck_assert_str_eq(config.listen_client_urls, "http://localhost:2379");
    ck_assert_str_eq(config.listen_peer_urls, "http://localhost:2380");
    ck_assert_uint_eq(config.heartbeat_ms, 100);
    ck_assert_uint_eq(config.election_timeout_ms, 1000);
    ck_assert_uint_eq(config.max_request_bytes, 1572864);
    ck_assert_uint_eq(config.max_txn_ops, 128);
    ck_assert_uint_eq(config.max_concurrent_streams, UINT32_MAX);
    ck_assert_uint_eq(config.keepalive_min_time_ns, 5 * NS_PER_S);
    ck_assert(config.pre_vote && !config.unsafe_no_fsync);
}
END_TEST

START_TEST(test_config_timing_must_leave_room_for_heartbeats)
{
    config.heartbeat_ms = 0;
    refused("--heartbeat-interval must be >0 (set to 0ms)");
    config.election_timeout_ms = 0;
    refused("--election-timeout must be >0 (set to 0ms)");
    config.election_timeout_ms = 499;
    refused("--election-timeout[499ms] should be at least as 5 times as --heartbeat-interval[100ms]");
    config.election_timeout_ms = 50001;
    refused("--election-timeout[50001ms] is too long, and should be set less than 50000ms");
    config.heartbeat_ms = UINT64_MAX / 4; /* five of these do not fit into 64 bits */
    refused("--heartbeat-interval");
    config.election_timeout_ms = 500;
    ck_assert(check());
    config.election_timeout_ms = 50000;
    ck_assert(check());
}
END_TEST

START_TEST(test_config_each_bad_value_is_named)
{
    config.initial_cluster_state = "old";
    refused("\"old\" for --initial-cluster-state");
    config.name = "";
    refused("--name");
    config.max_request_bytes = 1023;
    refused("--max-request-bytes");
    config.max_request_bytes = CONFIG_REQUEST_BYTES_MAX + 1;
    refused("--max-request-bytes");
    config.max_txn_ops = 0;
    refused("--max-txn-ops");
    config.max_txn_ops = 65537;
    refused("--max-txn-ops");
    config.max_concurrent_streams = 0;
    refused("--max-concurrent-streams");
    config.max_concurrent_streams = UINT64_C(1) << 32;
    refused("--max-concurrent-streams");
    config.wal_segment_bytes = 65536 - 4096;
    refused("--wal-segment-bytes");
    config.wal_segment_bytes = 65536 + 512;
    refused("--wal-segment-bytes");
    config.lease_checkpoint_ns = NS_PER_S - 1;
    refused("--lease-checkpoint-interval");
    config.auto_compaction_mode = "hourly";
    refused("unknown auto-compaction-mode \"hourly\"");
    config.auto_compaction_retention = "soon";
    refused("--auto-compaction-retention \"soon\"");
    config.auto_compaction_mode = "revision";
    config.auto_compaction_retention = "-1";
    refused("--auto-compaction-retention \"-1\"");
}
END_TEST

START_TEST(test_config_each_url_list_is_checked_and_named)
{
    config.listen_client_urls = "http://127.0.0.1";
    refused("\"http://127.0.0.1\" for --listen-client-urls: URL address does not have the form \"host:port\"");
    config.listen_peer_urls = "127.0.0.1:2380";
    refused("\"127.0.0.1:2380\" for --listen-peer-urls: URL scheme must be http, https, unix, or unixs");
    config.advertise_client_urls = "http://a:1,http://b";
    refused("\"http://a:1,http://b\" for --advertise-client-urls: ");
    config.initial_advertise_peer_urls = "";
    refused("--initial-advertise-peer-urls: no valid URLs given");
}
END_TEST

START_TEST(test_config_only_addresses_can_be_listened_on)
{
    config.listen_client_urls = "http://node1:2379";
    refused("--listen-client-urls: expected IP in URL for binding (node1)");
    config.listen_peer_urls = "http://127.0.0.1:2380,http://a.example:2380";
    refused("--listen-peer-urls: expected IP in URL for binding (a.example)");
    config.listen_metrics_urls = "http://a.example:1";
    refused("--listen-metrics-urls: expected IP in URL for binding (a.example)");
    config.listen_metrics_urls = "http://127.0.0.1:0,unix://metrics.sock";
    ck_assert_msg(check(), "%s", message);
    config.listen_client_urls = "http://localhost:1,http://0.0.0.0:2,http://[::]:3,http://[fe80::1%eth0]:0,unix://kvd.sock";
    ck_assert_msg(check(), "%s", message);
    config.advertise_client_urls = "http://node1:2379";
    config.initial_advertise_peer_urls = "http://node1:2380";
    ck_assert_msg(check(), "%s", message);
}
END_TEST

START_TEST(test_config_tls_between_members_is_refused)
{
    config.listen_peer_urls = "unixs:///run/kvd.sock";
    refused("--listen-peer-urls: https and unixs (TLS) between members are not supported");
    config.initial_advertise_peer_urls = "https://127.0.0.1:2380";
    refused("--initial-advertise-peer-urls: https and unixs (TLS) between members are not supported");
    config.advertise_client_urls = "https://kvd.example:443"; /* something in front of it may */
    ck_assert_msg(check(), "%s", message);
}
END_TEST

START_TEST(test_config_tls_for_clients_needs_all_of_its_files)
{
    config.listen_client_urls = "https://127.0.0.1:2379";
    refused("--listen-client-urls: https and unixs (TLS) need --cert-file and --key-file");
    config.listen_metrics_urls = "https://127.0.0.1:2381";
    refused("--listen-metrics-urls: https and unixs (TLS) need --cert-file and --key-file");
    config.cert_file = "a.pem";
    refused("--cert-file needs --key-file");
    config.key_file = "a.key";
    refused("--key-file needs --cert-file");
    config.client_cert_auth = true;
    refused("--client-cert-auth needs --trusted-ca-file");
    config.trusted_ca_file = "ca.pem";
    refused("--trusted-ca-file needs --cert-file and --key-file");
    config.cert_file = "a.pem";
    config.key_file = "a.key";
    refused("no URL of --listen-client-urls is https");
    config.cert_file = "a.pem";
    config.key_file = "a.key";
    config.listen_client_urls = "https://127.0.0.1:2379,http://127.0.0.1:2378,unixs:///run/kvd.sock"; /* as etcd: each as it says */
    ck_assert_msg(check(), "%s", message);
    config.trusted_ca_file = "ca.pem";
    config.client_cert_auth = true;
    ck_assert_msg(check(), "%s", message);
    config.listen_client_urls = "http://127.0.0.1:2379";
    config.listen_metrics_urls = "https://127.0.0.1:2381";
    ck_assert_msg(check(), "%s", message);
}
END_TEST

static void check_initial(const char *expected)
{
    struct buf text;
    buf_init(&text);
    config_initial_cluster(&config, &text);
    ck_assert_msg(slice_equal(buf_slice(&text), slice_from_string(expected)), "%.*s", (int)text.size, buf_slice(&text).data);
    buf_deinit(&text);
}

START_TEST(test_config_a_member_without_initial_cluster_is_alone_by_all_its_urls)
{
    check_initial("default=http://localhost:2380");
    config.name = "m1";
    config.initial_advertise_peer_urls = "http://a:1, http://b:2";
    check_initial("m1=http://a:1,m1=http://b:2");
    config.initial_cluster = "m1=http://c:3";
    check_initial("m1=http://c:3");
}
END_TEST

START_TEST(test_config_limits_are_derived_and_related)
{
    config.election_timeout_ms = 2000;
    config.data_dir = "/srv/kvd";
    config.name = "m1";
    ck_assert(check());
    ck_assert_str_eq(config.data_dir_path, "/srv/kvd");
    ck_assert_uint_eq(config.request_timeout_ns, 9 * NS_PER_S);
    ck_assert(config.tail_bytes_max > config.max_request_bytes);
    ck_assert(config.uncommitted_bytes_max >= config.max_request_bytes);
    ck_assert(config.lane_calls >= 2 * config.calls_max);
    ck_assert_uint_eq(config.lane_calls & (config.lane_calls - 1), 0);
    ck_assert_uint_eq(config.lane_peer & (config.lane_peer - 1), 0);
    ck_assert(config.inflight_bytes_max >= config.message_bytes_max);
    ck_assert(config.message_bytes_max + CONFIG_REQUEST_BYTES_MAX < PEER_FRAME_BYTES_MAX);
    config.max_request_bytes = CONFIG_REQUEST_BYTES_MAX;
    config.snapshot_count = 0;
    ck_assert(check());
    ck_assert(config.tail_bytes_max > 2 * config.max_request_bytes);
    ck_assert_uint_eq(config.snapshot_count, 1000000);
}
END_TEST

START_TEST(test_config_quota_zero_is_two_gibibytes_and_negative_is_none)
{
    ck_assert(check());
    ck_assert_uint_eq(config.quota_bytes, UINT64_C(2) << 30);
    config.quota_backend_bytes = -1;
    ck_assert(check());
    ck_assert_uint_eq(config.quota_bytes, 0);
    config.quota_backend_bytes = 4096;
    ck_assert(check());
    ck_assert_uint_eq(config.quota_bytes, 4096);
}
END_TEST

START_TEST(test_config_urls_have_host_and_port)
{
    ck_assert_int_eq(parse("http://127.0.0.1:2379,http://[::1]:0, http://localhost:65535 ,unix:///run/kvd.sock"), 4);
    ck_assert_str_eq(urls[0].host, "127.0.0.1");
    ck_assert_uint_eq(urls[0].port, 2379);
    ck_assert(!urls[0].is_unix);
    ck_assert_str_eq(urls[1].host, "::1");
    ck_assert_uint_eq(urls[1].port, 0);
    ck_assert_str_eq(urls[2].host, "localhost");
    ck_assert_uint_eq(urls[2].port, 65535);
    ck_assert(urls[3].is_unix);
    ck_assert_str_eq(urls[3].host, "/run/kvd.sock");
    ck_assert_int_eq(parse("unix://kvd:1"), 1);
    ck_assert_str_eq(urls[0].host, "kvd:1");
    ck_assert_int_eq(parse("https://a-b.c_d:1"), 1);
    ck_assert(urls[0].is_tls && !urls[0].is_unix);
    ck_assert_int_eq(parse("http://[::]:2379"), 1);
    ck_assert_str_eq(urls[0].host, "::");
}
END_TEST

START_TEST(test_config_what_is_not_a_url_is_refused_with_the_reason)
{
    static const struct {
        const char *url, *reason;
    } bad[] = {
        {"http://a", "host:port"},       {"http://a:", "host:port"},         {"http://a:1x", "host:port"},
        {"http://a:-1", "host:port"},    {"http://a:+1", "host:port"},       {"http://a: 1", "host:port"},
        {"http://::1:2", "host"},        {"http://[::1]", "host:port"},      {"http://[::1:2", "host:port"},
        {"http://a:123456", "host:port"}, {"http://a:65536", "above 65535"}, {"http://:1", "empty host"},
        {"http://[]:1", "empty host"},   {"http://", "host:port"},           {"http://a:1/path", "path"},
        {"http://a:1/", "path"},         {"http://a b:1", "character"},      {"http://u@a:1", "character"},
        {"http://[a.example]:1", "character"}, {"a:1", "scheme"},            {"ftp://a:1", "scheme"},
        {"HTTP", "scheme"},              {"http://a:1, ", "scheme"},         {"http://a:1,,http://b:1", "scheme"},
        {"unix://", "missing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_up();
        ck_assert_msg(parse(bad[i].url) < 0, "accepted: %s", bad[i].url);
        ck_assert_msg(strstr(message, bad[i].reason) != NULL, "%s: %s", bad[i].url, message);
    }
    ck_assert_int_eq(parse(""), 0);
    ck_assert_str_eq(message, "no valid URLs given");
    ck_assert_int_eq(parse("http://a:1,http://a:2,http://a:3,http://a:4,http://a:5"), -1);
    ck_assert_ptr_nonnull(strstr(message, "too many"));
}
END_TEST

START_TEST(test_config_long_url_is_refused_and_not_cut)
{
    static const char *const schemes[] = {"http://", "unix://"};
    static const size_t lengths[] = {256, 300, 650};
    char text[700], tail[660];
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 2; k++) {
            memset(tail, 'a', lengths[i]);
            snprintf(tail + lengths[i], sizeof(tail) - lengths[i], ":1");
            snprintf(text, sizeof(text), "%s%s", schemes[k], tail);
            ck_assert_int_eq(parse(text), -1);
            ck_assert_ptr_nonnull(strstr(message, "too long"));
        }
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("config");
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, test_config_defaults_are_valid_and_etcds);
    tcase_add_test(tests, test_config_timing_must_leave_room_for_heartbeats);
    tcase_add_test(tests, test_config_each_bad_value_is_named);
    tcase_add_test(tests, test_config_each_url_list_is_checked_and_named);
    tcase_add_test(tests, test_config_only_addresses_can_be_listened_on);
    tcase_add_test(tests, test_config_tls_between_members_is_refused);
    tcase_add_test(tests, test_config_tls_for_clients_needs_all_of_its_files);
    tcase_add_test(tests, test_config_a_member_without_initial_cluster_is_alone_by_all_its_urls);
    tcase_add_test(tests, test_config_limits_are_derived_and_related);
    tcase_add_test(tests, test_config_quota_zero_is_two_gibibytes_and_negative_is_none);
    tcase_add_test(tests, test_config_urls_have_host_and_port);
    tcase_add_test(tests, test_config_what_is_not_a_url_is_refused_with_the_reason);
    tcase_add_test(tests, test_config_long_url_is_refused_and_not_cut);
    Suite *suite = suite_create("config");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
