/* Are the defaults a node that starts, does each bad value get a message that names it, are URLs split as etcd does? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
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
    refused("--heartbeat-interval");
    config.election_timeout_ms = 499;
    refused("--election-timeout");
    config.election_timeout_ms = 50001;
    refused("--election-timeout");
    config.election_timeout_ms = 500;
    ck_assert(check());
    config.election_timeout_ms = 50000;
    ck_assert(check());
}
END_TEST

START_TEST(test_config_each_bad_value_is_named)
{
    config.initial_cluster_state = "old";
    refused("--initial-cluster-state");
    config.name = "";
    refused("--name");
    config.max_request_bytes = 1023;
    refused("--max-request-bytes");
    config.max_request_bytes = (UINT64_C(512) << 20) + 1;
    refused("--max-request-bytes");
    config.max_txn_ops = 0;
    refused("--max-txn-ops");
    config.max_txn_ops = 65537;
    refused("--max-txn-ops");
    config.max_concurrent_streams = 0;
    refused("--max-concurrent-streams");
    config.wal_segment_bytes = 65535;
    refused("--wal-segment-bytes");
    config.wal_segment_bytes = 65536 + 512;
    refused("--wal-segment-bytes");
}
END_TEST

START_TEST(test_config_each_url_list_is_checked)
{
    config.listen_client_urls = "https://127.0.0.1:2379";
    refused("https://127.0.0.1:2379");
    config.listen_peer_urls = "127.0.0.1:2380";
    refused("127.0.0.1:2380");
    config.advertise_client_urls = "http://a:1,http://b";
    refused("http://b");
    config.initial_advertise_peer_urls = "";
    refused("empty");
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
    ck_assert_int_eq(parse("http://127.0.0.1:2379,http://[::1]:0,http://localhost:65535/,unix:///run/kvd.sock"), 4);
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
    ck_assert_int_eq(parse("http://[::]:2379"), 1);
    ck_assert_str_eq(urls[0].host, "::");
}
END_TEST

START_TEST(test_config_what_is_not_a_url_is_refused_by_name)
{
    static const char *const bad[] = {"https://a:1",  "http://a",       "http://:1", "http://a:", "http://a:65536",
                                      "http://a:1x",  "http://a:1/path", "a:1",       "unix://",   "ftp://a:1",
                                      "http://a:1, ", "http://a:-1",    "http://a: 1", "http://[]:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        set_up();
        ck_assert_msg(parse(bad[i]) < 0, "accepted: %s", bad[i]);
        ck_assert_msg(strstr(message, "is not a URL") != NULL, "%s: %s", bad[i], message);
    }
    ck_assert_int_eq(parse(""), 0);
    ck_assert_int_eq(parse("http://a:1,http://a:2,http://a:3,http://a:4,http://a:5"), -1);
}
END_TEST

START_TEST(test_config_long_url_is_refused_and_not_cut)
{
    char text[700];
    memset(text, 'a', sizeof(text));
    static const size_t lengths[] = {300, 650};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        snprintf(text, sizeof(text), "http://");
        memset(text + 7, 'a', lengths[i]);
        snprintf(text + 7 + lengths[i], sizeof(text) - 7 - lengths[i], ":1");
        ck_assert_int_eq(parse(text), -1);
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
    tcase_add_test(tests, test_config_each_url_list_is_checked);
    tcase_add_test(tests, test_config_limits_are_derived_and_related);
    tcase_add_test(tests, test_config_quota_zero_is_two_gibibytes_and_negative_is_none);
    tcase_add_test(tests, test_config_urls_have_host_and_port);
    tcase_add_test(tests, test_config_what_is_not_a_url_is_refused_by_name);
    tcase_add_test(tests, test_config_long_url_is_refused_and_not_cut);
    Suite *suite = suite_create("config");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
