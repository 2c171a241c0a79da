/* Does everything that kvd can be told arrive, by flags, variables, etcd's YAML and config.env, with where it came from; and are all mistakes of a
 * file told at once, each with its line and what was meant? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "config_file.h"

static struct options options;
static char directory[] = "/tmp/test_config_file.XXXXXX";
static char path[64];

/* A file of this name with these bytes; its path is `path`. */
static const char *file_of(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* Words behind the program's name, up to NULL. */
static enum options_verdict run(const char *first, const char *second, const char *third, const char *fourth)
{
    static char words[5][128];
    char *argv[6] = {words[0]};
    const char *const given[] = {first, second, third, fourth};
    int argc = 1;
    snprintf(words[0], sizeof words[0], "kvd");
    for (int i = 0; i < 4 && given[i] != NULL; i++) {
        snprintf(words[argc], sizeof words[argc], "%s", given[i]);
        argv[argc] = words[argc];
        argc++;
    }
    return options_init(&options, argc, argv);
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_config_file.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    clearenv();
}

static void tear_down(void)
{
    options_deinit(&options);
    (void)unlink(path);
    (void)rmdir(directory);
}

static const struct options_origin *origin_of(const char *name)
{
    struct flag *flag = options_find(&options, name);
    ck_assert_ptr_nonnull(flag);
    return &options.origins[flag - options.flags];
}

/* The mistakes are exactly these, "line: text; did you mean …", each as the beginning or as a whole. */
static void expect_mistakes(const char *const *expected, int count)
{
    for (int i = 0; i < options.mistakes.count || i < count; i++) {
        struct buf text;
        ck_assert_msg(i < options.mistakes.count, "not told: %s", expected[i]);
        buf_init(&text);
        mistakes_text(&options.mistakes.items[i], &text);
        buf_put_u8(&text, 0);
        const char *told = (const char *)buf_slice(&text).data + strlen(options.file);
        ck_assert_msg(i < count, "not expected: %s", told);
        ck_assert_msg(strncmp(told, expected[i], strlen(expected[i])) == 0, "told: %s\nexpected: %s", told, expected[i]);
        buf_deinit(&text);
    }
}
#define EXPECT(...)                                                                                                    \
    do {                                                                                                               \
        static const char *const expected[] = {__VA_ARGS__};                                                           \
        expect_mistakes(expected, (int)(sizeof expected / sizeof expected[0]));                                        \
    } while (0)

START_TEST(test_config_file_flags_and_variables)
{
    setenv("ETCD_SNAPSHOT_COUNT", "77", 1);
    setenv("KVD_MAX_TXN_OPS", "9", 1);
    setenv("ETCD_CIPHER_SUITES", "A", 1);
    setenv("KVD_CONFIG", "not a setting", 1);
    setenv("KVD_VERSION", "1.2.3", 1); /* nor is this */
    setenv("ETCD_HELP", "at the door", 1);
    ck_assert_int_eq(run("--name", "a", "--pre-vote=false", NULL), OPTIONS_RUN);
    ck_assert_str_eq(options.config.name, "a");
    ck_assert_uint_eq(options.config.snapshot_count, 77);
    ck_assert_uint_eq(options.config.max_txn_ops, 9);
    ck_assert(!options.config.pre_vote);
    ck_assert_int_eq(options.result.ignored_count, 1);
    ck_assert_int_eq(origin_of("name")->from, OPTIONS_FLAG);
    ck_assert_int_eq(origin_of("snapshot-count")->from, OPTIONS_VARIABLE);
    ck_assert_str_eq(origin_of("max-txn-ops")->variable, "KVD");
    ck_assert_int_eq(origin_of("max-wals")->from, OPTIONS_DEFAULT);
}
END_TEST

/* Of a flag without effect, too: what follows a boolean is the file. */
START_TEST(test_config_file_stands_behind_a_boolean)
{
    static const char *const booleans[] = {"--enable-v2", "--debug", "--force", "--strict-reconfig-check", "--enable-pprof"};
    const char *file = file_of("b.yml", "name: c\n");
    for (size_t i = 0; i < sizeof booleans / sizeof booleans[0]; i++) {
        ck_assert_int_eq(run("--check-config", booleans[i], file, NULL), OPTIONS_CHECK);
        ck_assert_str_eq(options.config.name, "c");
        options_deinit(&options);
    }
    ck_assert_int_eq(run("--check-config", "--cors", "x", file), OPTIONS_CHECK);
    ck_assert_str_eq(options.config.name, "c");
}
END_TEST

START_TEST(test_config_file_a_setting_given_two_ways_is_an_error)
{
    setenv("ETCD_NAME", "b", 1);
    ck_assert_int_eq(run("--name", "a", NULL, NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "\"ETCD_NAME\" is shadowed by corresponding command-line flag"));
    options_deinit(&options);
    setenv("KVD_NAME", "b", 1);
    ck_assert_int_eq(run(NULL, NULL, NULL, NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "conflicting environment variables ETCD_NAME and KVD_NAME"));
}
END_TEST

START_TEST(test_config_file_unknown_flags_and_all_others_at_once)
{
    ck_assert_int_eq(run("--nmae", "a", "--max-txn-ops=x", NULL), OPTIONS_USAGE);
    ck_assert_str_eq(options.message, "unknown flag: --nmae; did you mean --name? (and 1 more: kvd --check-config lists them)");
    options_deinit(&options);
    ck_assert_int_eq(run("--SERVER_HOST=127.0.0.1", NULL, NULL, NULL), OPTIONS_USAGE);
    options_deinit(&options);
    ck_assert_int_eq(run("--check-config", "--nmae=a", "--heartbeat-interval=0", "--log-level=loud"), OPTIONS_CHECK);
    ck_assert_int_eq(options.mistakes.count, 3);
}
END_TEST

/* As Debian and etcd's own sample have it, of the second of three members. */
static const char etcds[] = "# This is the configuration file for the etcd server.\n"
                            "\n"
                            "# Human-readable name for this member.\n"
                            "name: 'infra1'\n"
                            "data-dir: /var/lib/etcd\n"
                            "wal-dir:\n"
                            "snapshot-count: 10000\n"
                            "heartbeat-interval: 100\n"
                            "election-timeout: 1000\n"
                            "quota-backend-bytes: 0\n"
                            "listen-peer-urls: http://127.0.0.1:12380\n"
                            "listen-client-urls: http://127.0.0.1:12379,http://127.0.0.1:14001\n"
                            "max-snapshots: 5\n"
                            "max-wals: 5\n"
                            "cors:\n"
                            "initial-advertise-peer-urls: http://127.0.0.1:12380\n"
                            "advertise-client-urls: http://127.0.0.1:12379\n"
                            "discovery:\n"
                            "discovery-fallback: 'proxy'\n"
                            "discovery-proxy:\n"
                            "discovery-srv:\n"
                            "initial-cluster: infra0=http://127.0.0.1:2380,infra1=http://127.0.0.1:12380,infra2=http://127.0.0.1:22380\n"
                            "initial-cluster-token: 'etcd-cluster'\n"
                            "initial-cluster-state: 'new'\n"
                            "strict-reconfig-check: false\n"
                            "enable-pprof: true\n"
                            "proxy: 'off'\n"
                            "proxy-failure-wait: 5000\n"
                            "client-transport-security:\n"
                            "  cert-file:\n"
                            "  key-file:\n"
                            "  client-cert-auth: false\n"
                            "  trusted-ca-file:\n"
                            "  auto-tls: false\n"
                            "peer-transport-security:\n"
                            "  cert-file:\n"
                            "  client-cert-auth: false\n"
                            "  allowed-cn:\n"
                            "  allowed-hostname:\n"
                            "self-signed-cert-validity: 1\n"
                            "log-level: debug\n"
                            "logger: zap\n"
                            "log-outputs: [stderr]\n"
                            "force-new-cluster: false\n"
                            "auto-compaction-mode: periodic\n"
                            "auto-compaction-retention: \"1\"\n"
                            "grpc-keepalive-interval: 3600000000000\n"
                            "watch-progress-notify-interval: 5m\n"
                            "cipher-suites: [\n"
                            "  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,\n"
                            "  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n"
                            "]\n"
                            "tls-min-version: 'TLS1.2'\n";

START_TEST(test_config_file_etcds_own)
{
    setenv("ETCD_NAME", "void", 1);
    ck_assert_int_eq(run("--config-file", file_of("etcd.conf.yml", etcds), "--max-txn-ops=7", NULL), OPTIONS_RUN);
    ck_assert_str_eq(options.config.name, "infra1");
    ck_assert_str_eq(options.config.data_dir_path, "/var/lib/etcd");
    ck_assert_str_eq(options.config.wal_dir, "");
    ck_assert_str_eq(options.config.listen_client_urls, "http://127.0.0.1:12379,http://127.0.0.1:14001");
    ck_assert_ptr_nonnull(strstr(options.config.initial_cluster, "infra2="));
    ck_assert_str_eq(options.config.auto_compaction_retention, "1");
    ck_assert_uint_eq(options.config.keepalive_interval_ns, 3600 * NS_PER_S);
    ck_assert_uint_eq(options.config.watch_progress_ns, 300 * NS_PER_S);
    ck_assert_uint_eq(options.config.max_txn_ops, 128); /* the file is all there is */
    ck_assert_int_eq(options.log_level, LOG_DEBUG);
    ck_assert(options.is_overridden);
    ck_assert_int_eq(origin_of("name")->from, OPTIONS_FILE);
    ck_assert_uint_eq(origin_of("name")->line, 4);
    ck_assert_int_eq(origin_of("wal-dir")->from, OPTIONS_DEFAULT);
}
END_TEST

START_TEST(test_config_file_the_variable_names_it_too_and_what_cannot_be_read_is_told)
{
    setenv("ETCD_CONFIG_FILE", file_of("a.json", "{\"name\": \"a\", \"pre-vote\": false}"), 1);
    ck_assert_int_eq(run(NULL, NULL, NULL, NULL), OPTIONS_RUN);
    ck_assert_str_eq(options.config.name, "a");
    ck_assert(!options.config.pre_vote && !options.is_overridden);
    options_deinit(&options);
    setenv("ETCD_CONFIG_FILE", "/absent/x.yml", 1);
    ck_assert_int_eq(run(NULL, NULL, NULL, NULL), OPTIONS_INVALID);
    ck_assert_str_eq(options.message, "/absent/x.yml: cannot be read: No such file or directory");
}
END_TEST

START_TEST(test_config_file_yaml_with_many_kinds_of_mistakes)
{
    const char *file = file_of("bad.yml", "name: a\n"
                                          "datadir: /x\n"
                                          "heartbeat-interval: soon\n"
                                          "election-timeout: 100\n"
                                          "client-transport-security:\n"
                                          "  cert-fil: x\n"
                                          "peer-transport-security: true\n"
                                          "grpc-keepalive-min-time: 5 seconds\n"
                                          "name: b\n"
                                          "listen-peer-urls: peers\n"
                                          "wal-dir: *anchor\n"
                                          "max-txn-ops: {a: 1}\n"
                                          "log-level: wran\n"
                                          "force-new-cluster: true\n"
                                          "config-file: x\n"
                                          "zzz: [1, {b: 2]\n");
    ck_assert_int_eq(run("--check-config", file, NULL, NULL), OPTIONS_CHECK);
    EXPECT(":2: unknown key datadir; did you mean data-dir?", ":3: invalid value \"soon\" for heartbeat-interval: expected a whole number",
           ":4: --election-timeout[100ms] should be at least", ":6: unknown key client-transport-security.cert-fil; did you mean cert-file?",
           ":7: peer-transport-security: expected keys below it", ":8: invalid value \"5 seconds\" for grpc-keepalive-min-time: expected a time",
           ":9: name is given twice; first in line 1", ":10: invalid value \"peers\" for --listen-peer-urls: URL scheme",
           ":11: wal-dir: anchors and aliases are not read", ":12: max-txn-ops: expected a single value",
           ":13: unknown log-level \"wran\"; did you mean warn?", ":14: --force-new-cluster is not supported", ":15: unknown key config-file",
           ":16: unknown key zzz", ":16: did not find expected ',' or '}'");
    options_deinit(&options);
    ck_assert_int_eq(run("--config-file", file, NULL, NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "bad.yml:2: unknown key datadir; did you mean data-dir? (and "));
}
END_TEST

START_TEST(test_config_file_yaml_that_is_no_configuration)
{
    static const struct {
        const char *text, *mistake;
    } cases[] = {{"just words\n", ":1: not a map"}, {"- a\n", ":1: not a map"}, {"name: a\n---\nname: b\n", ":3: a second document"},
                 {"name: \"a\\nb\"\n", ":1: name: a control character"}, {"[[[[[[[[", ":1: not a map"}, {"\tname: a\n", ":1: found character"},
                 {"name: \xff\n", ":1: "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(run("--check-config", file_of("x.yml", cases[i].text), NULL, NULL), OPTIONS_CHECK);
        ck_assert_msg(options.mistakes.count >= 1, "%s", cases[i].text);
        struct buf text;
        buf_init(&text);
        mistakes_text(&options.mistakes.items[0], &text);
        buf_put_u8(&text, 0);
        ck_assert_msg(strstr((const char *)buf_slice(&text).data, cases[i].mistake) != NULL, "%s", (const char *)buf_slice(&text).data);
        buf_deinit(&text);
        options_deinit(&options);
    }
    ck_assert_int_eq(run("--config-file", file_of("x.yml", "# nothing\n"), NULL, NULL), OPTIONS_RUN);
}
END_TEST

START_TEST(test_config_file_env_every_name_of_the_users_takes_effect)
{
    const char *file = file_of("config.env", "# mine\n"
                                             "SERVER_CLIENT_PORT_BASE=4001\r\n"
                                             "SERVER_PEER_PORT_BASE=4002   # other members\n"
                                             "SERVER_NODE_COUNT=5\n"
                                             "SERVER_HOST=::1\n"
                                             "SERVER_MAX_WAL_ENTRIES=1000\n"
                                             "SERVER_SNAPSHOT_INTERVAL=500\n"
                                             "SERVER_DATA_BASE_PATH=\"/var/my \\\"data\\\"\"\n"
                                             "SERVER_WAL_SUBDIR=log\n"
                                             "SERVER_RAFT_STATE_FILE='raft_state.bin'\n"
                                             "SERVER_SNAPSHOT_FILE=snapshot\n"
                                             "CLIENT_SERVERS=[::1]:4001,http://[::1]:4011\n"
                                             "CLIENT_HISTORY_DIR='$HOME is not expanded'\n"
                                             "CLIENT_HISTORY_FILE=h\n"
                                             "SERVER_MAX_TXN_OPS=300\n"
                                             "SERVER_QUOTA_BACKEND_BYTES=-1");
    ck_assert_int_eq(run("--config-file", file, "--node", "2"), OPTIONS_RUN);
    const struct config *config = &options.config;
    ck_assert_str_eq(config->name, "kvd2");
    ck_assert_str_eq(config->data_dir, "/var/my \"data\"/kvd2");
    ck_assert_str_eq(config->listen_client_urls, "http://[::1]:4011");
    ck_assert_str_eq(config->advertise_client_urls, "http://[::1]:4011");
    ck_assert_str_eq(config->listen_peer_urls, "http://[::1]:4012");
    ck_assert_str_eq(config->initial_cluster, "kvd1=http://[::1]:4002,kvd2=http://[::1]:4012,kvd3=http://[::1]:4022,kvd4=http://[::1]:4032,"
                                              "kvd5=http://[::1]:4042");
    ck_assert_str_eq(config->initial_cluster_token, "kvd-local");
    ck_assert_uint_eq(config->wal_segment_entries_max, 1000);
    ck_assert_uint_eq(config->snapshot_count, 500);
    ck_assert_str_eq(config->wal_subdir, "log");
    ck_assert_str_eq(config->raft_state_file, "raft_state.bin");
    ck_assert_str_eq(config->snapshot_subdir, "snapshot");
    ck_assert_uint_eq(config->max_txn_ops, 300);
    ck_assert_int_eq(config->quota_backend_bytes, -1);
    ck_assert_str_eq(options.cluster.client_servers, "[::1]:4001,http://[::1]:4011");
    ck_assert_str_eq(options.cluster.client_history_dir, "$HOME is not expanded");
    ck_assert_str_eq(options.cluster.client_history_file, "h");
    ck_assert_uint_eq(origin_of("snapshot-count")->line, 7);
}
END_TEST

START_TEST(test_config_file_env_with_many_kinds_of_mistakes)
{
    const char *file = file_of("bad.env", "SERVER_NODE_COUT=3\n"
                                          "SERVER_COUNT=3\n"
                                          "SERVER_SNAPSHOT_INTERVAL=many\n"
                                          "SERVER_CLIENT_PORT_BASE=70000\n"
                                          "SERVER_PRE_VOTE=perhaps\n"
                                          "SERVER_LEASE_CHECKPOINT_INTERVAL=5\n"
                                          "SERVER_HEARTBEAT_INTERVAL 100\n"
                                          "SERVER_CLUSTER_TOKEN=\"never closed\n"
                                          "SERVER_LOG_LEVEL=inof\n"
                                          "SERVER_MAX_WALS=1\n"
                                          "SERVER_MAX_WALS=2\n"
                                          "SERVER_DATA_BASE_PATH=$HOME/data\n"
                                          "SERVER_WAL_SUBDIR=a/b\n"
                                          "SERVER_LISTEN_PEER_URLS=http://x\n"
                                          "SERVER_HOST=localhost\n"
                                          "CLIENT_HISTORY_DIR=two words\n"
                                          "CLIENT_SERVERS=here\n"
                                          "SERVER_NODE_COUNT=4\n"
                                          "SERVER_MAX_TXN_OPS=0\n"
                                          "SERVER_RAFT_STATE_FILE=snap\n"
                                          "SERVER_LOG_FORMAT=a\x01\n"
                                          "CLIENT_HISTORY_FILE=a\"b\"\n");
    ck_assert_int_eq(run("--check-config", file, NULL, NULL), OPTIONS_CHECK);
    EXPECT(":1: unknown name SERVER_NODE_COUT; did you mean SERVER_NODE_COUNT?", ":2: unknown name SERVER_COUNT; did you mean SERVER_NODE_COUNT?",
           ":3: invalid value \"many\" for SERVER_SNAPSHOT_INTERVAL: expected a whole number", ":4: SERVER_CLIENT_PORT_BASE must be between 1 and 65535",
           ":5: invalid value \"perhaps\" for SERVER_PRE_VOTE: expected true or false", ":6: invalid value \"5\" for SERVER_LEASE_CHECKPOINT_INTERVAL",
           ":7: not NAME=value", ":8: SERVER_CLUSTER_TOKEN: the closing \" is missing", ":9: unknown SERVER_LOG_LEVEL \"inof\"; did you mean info?",
           ":11: SERVER_MAX_WALS is given twice; first in line 10", ":12: SERVER_DATA_BASE_PATH: nothing is expanded here",
           ":13: SERVER_WAL_SUBDIR: invalid value \"a/b\"", ":14: SERVER_LISTEN_PEER_URLS differs from member to member",
           ":15: invalid value \"localhost\" for SERVER_HOST", ":16: CLIENT_HISTORY_DIR: \"words\" behind the value",
           ":17: invalid value \"here\" for CLIENT_SERVERS", ":18: SERVER_NODE_COUNT must be 1, 3 or 5 (set to 4)",
           ":19: SERVER_MAX_TXN_OPS: --max-txn-ops must be between", ":20: SERVER_RAFT_STATE_FILE: --raft-state-file and --snapshot-subdir are both",
           ":21: a control character", ":22: CLIENT_HISTORY_FILE: a quote in the middle");
}
END_TEST

START_TEST(test_config_file_env_ports_must_not_meet_and_the_member_must_be_said)
{
    ck_assert_int_eq(run("--check-config", file_of("c.env", "SERVER_PEER_PORT_BASE=2389\n"), NULL, NULL), OPTIONS_CHECK);
    EXPECT(":1: port 2389 would be one member's for clients and one's for members");
    options_deinit(&options);
    ck_assert_int_eq(run("--check-config", file_of("c.env", "SERVER_PEER_PORT_BASE=2409\n"), NULL, NULL), OPTIONS_CHECK);
    ck_assert_int_eq(options.mistakes.count, 0);
    options_deinit(&options);
    ck_assert_int_eq(run("--config-file", path, NULL, NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "which of its 3 members? --node says so"));
    options_deinit(&options);
    ck_assert_int_eq(run("--config-file", path, "--node=4", NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "--node 4: there are 3 members"));
    options_deinit(&options);
    ck_assert_int_eq(run("--node=1", NULL, NULL, NULL), OPTIONS_INVALID);
    ck_assert_ptr_nonnull(strstr(options.message, "it needs --config-file"));
}
END_TEST

/* What etcd can and kvd cannot is refused where it is asked for, and passed over where it is not. */
START_TEST(test_config_file_of_certificates)
{
    static const char *const asked[] = {"--auto-tls", "--peer-auto-tls=true", "--ca-file=x", "--client-crl-file=x", "--peer-crl-file=x",
                                        "--client-cert-allowed-hostname=x", "--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2", "--peer-ca-file=x",
                                        "--peer-cert-allowed-cn=x", "--peer-cert-allowed-hostname=x", "--peer-cert-file=x", "--peer-key-file=x",
                                        "--peer-client-cert-auth", "--peer-trusted-ca-file=x"};
    static const char *const empty[] = {"--auto-tls=false", "--peer-auto-tls=false", "--client-crl-file=", "--tls-min-version=TLS1.2",
                                        "--tls-max-version=TLS1.3", "--peer-cert-file=", "--cert-file=", "--client-cert-auth=false"};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        ck_assert_msg(run(asked[i], NULL, NULL, NULL) == OPTIONS_INVALID, "%s", asked[i]);
        ck_assert_msg(strstr(options.message, " is not supported by this version: ") != NULL, "%s", options.message);
        ck_assert_msg(strncmp(options.message, asked[i], strcspn(asked[i], "=")) == 0, "%s", options.message);
        options_deinit(&options);
    }
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        ck_assert_msg(run(empty[i], NULL, NULL, NULL) == OPTIONS_RUN, "%s: %s", empty[i], options.message);
        options_deinit(&options);
    }
    const char *text = "listen-client-urls: https://127.0.0.1:2379\nadvertise-client-urls: https://127.0.0.1:2379\n"
                       "client-transport-security:\n  cert-file: /nonexistent/a.pem\n  key-file: /nonexistent/a.key\n";
    ck_assert_int_eq(run("--check-config", file_of("c.yml", text), NULL, NULL), OPTIONS_CHECK);
    EXPECT(":4: --cert-file: the certificate file /nonexistent/a.pem cannot be read: No such file or directory");
}
END_TEST

START_TEST(test_config_file_an_empty_file_leaves_all_open)
{
    ck_assert_int_eq(run("--config-file", file_of("c.env", ""), "--node=3", NULL), OPTIONS_RUN);
    ck_assert_str_eq(options.config.name, "kvd3");
    options_deinit(&options);
    (void)unlink(path);
    ck_assert_int_eq(run("--config-file", file_of("c.yml", ""), NULL, NULL), OPTIONS_RUN);
    ck_assert_str_eq(options.config.name, "default");
}
END_TEST

START_TEST(test_config_file_more_mistakes_than_are_kept_are_counted)
{
    char text[MISTAKES_MAX * 8 + 64] = "";
    for (int i = 0; i < MISTAKES_MAX + 7; i++) strcat(text, "X=1\n");
    ck_assert_int_eq(run("--check-config", file_of("c.env", text), NULL, NULL), OPTIONS_CHECK);
    ck_assert_int_eq(options.mistakes.count, MISTAKES_MAX);
    ck_assert_int_eq(options.mistakes.more, 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("apps/kvd/config_file");
    TCase *tcase = tcase_create("config_file");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_config_file_flags_and_variables);
    tcase_add_test(tcase, test_config_file_stands_behind_a_boolean);
    tcase_add_test(tcase, test_config_file_a_setting_given_two_ways_is_an_error);
    tcase_add_test(tcase, test_config_file_unknown_flags_and_all_others_at_once);
    tcase_add_test(tcase, test_config_file_etcds_own);
    tcase_add_test(tcase, test_config_file_the_variable_names_it_too_and_what_cannot_be_read_is_told);
    tcase_add_test(tcase, test_config_file_yaml_with_many_kinds_of_mistakes);
    tcase_add_test(tcase, test_config_file_yaml_that_is_no_configuration);
    tcase_add_test(tcase, test_config_file_env_every_name_of_the_users_takes_effect);
    tcase_add_test(tcase, test_config_file_env_with_many_kinds_of_mistakes);
    tcase_add_test(tcase, test_config_file_env_ports_must_not_meet_and_the_member_must_be_said);
    tcase_add_test(tcase, test_config_file_of_certificates);
    tcase_add_test(tcase, test_config_file_an_empty_file_leaves_all_open);
    tcase_add_test(tcase, test_config_file_more_mistakes_than_are_kept_are_counted);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
