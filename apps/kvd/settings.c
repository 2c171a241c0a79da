/* settings: see settings.h. */
#include "settings.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "options.h"

#define AT(member) offsetof(struct options, member)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct setting table[] = {
    {"name", FLAG_STRING, AT(config.name), "<name>", "name of this member", "Member", SETTING_MEMBER, NULL},
    {"data-dir", FLAG_STRING, AT(config.data_dir), "<path>", "data directory; NAME.etcd if not given", "Member", SETTING_MEMBER, NULL},
    {"wal-dir", FLAG_STRING, AT(config.wal_dir), "<path>", "directory of the log, if not in the data directory", "Member", SETTING_MEMBER,
     NULL},
    {"snapshot-count", FLAG_U64, AT(config.snapshot_count), "<n>", "entries applied before a snapshot", "Member", SETTING_ALL,
     "SERVER_SNAPSHOT_INTERVAL"},
    {"snapshot-catchup-entries", FLAG_U64, AT(config.snapshot_catchup_entries), "<n>",
     "log entries kept behind a snapshot for slow followers", "Member", SETTING_ALL, NULL},
    {"max-snapshots", FLAG_U64, AT(config.max_snapshots), "<n>", "snapshot files kept, 2 at least; 0 = all", "Member", SETTING_ALL, NULL},
    {"max-wals", FLAG_U64, AT(config.max_wals), "<n>", "log files kept that are not needed any more; 0 = all", "Member", SETTING_ALL, NULL},
    {"heartbeat-interval", FLAG_U64, AT(config.heartbeat_ms), "<ms>", "interval of a leader's heartbeats", "Member", SETTING_ALL, NULL},
    {"election-timeout", FLAG_U64, AT(config.election_timeout_ms), "<ms>", "at least 5 heartbeats, at most 50000", "Member", SETTING_ALL,
     NULL},
    {"listen-peer-urls", FLAG_STRING, AT(config.listen_peer_urls), "<urls>", "where to listen for members", "Member", SETTING_MEMBER, NULL},
    {"listen-client-urls", FLAG_STRING, AT(config.listen_client_urls), "<urls>", "where to listen for clients", "Member", SETTING_MEMBER,
     NULL},
    {"listen-metrics-urls", FLAG_STRING, AT(config.listen_metrics_urls), "<urls>",
     "where to listen for /metrics and /health besides the client URLs", "Member", SETTING_MEMBER, NULL},
    {"quota-backend-bytes", FLAG_I64, AT(config.quota_backend_bytes), "<bytes>", "size that raises an alarm; 0 = 2 GiB, negative = none",
     "Member", SETTING_ALL, NULL},
    {"auto-disarm", FLAG_BOOL, AT(config.auto_disarm), NULL, "take a NOSPACE alarm back when a tenth of the quota is free again", "Member",
     SETTING_ALL, NULL},
    {"max-txn-ops", FLAG_U64, AT(config.max_txn_ops), "<n>", "operations in a transaction", "Member", SETTING_ALL, NULL},
    {"max-request-bytes", FLAG_U64, AT(config.max_request_bytes), "<bytes>", "size of a request", "Member", SETTING_ALL, NULL},
    {"max-concurrent-streams", FLAG_U64, AT(config.max_concurrent_streams), "<n>", "streams of a connection", "Member", SETTING_ALL, NULL},
    {"grpc-keepalive-min-time", FLAG_DURATION_NS, AT(config.keepalive_min_time_ns), "<time>",
     "pings of a client that come faster are refused", "Member", SETTING_ALL, NULL},
    {"grpc-keepalive-interval", FLAG_DURATION_NS, AT(config.keepalive_interval_ns), "<time>", "pings to a silent client", "Member",
     SETTING_ALL, NULL},
    {"grpc-keepalive-timeout", FLAG_DURATION_NS, AT(config.keepalive_timeout_ns), "<time>",
     "a client that does not answer them, or takes nothing it is sent, for so long is disconnected", "Member", SETTING_ALL, NULL},
    {"watch-progress-notify-interval", FLAG_DURATION_NS, AT(config.watch_progress_ns), "<time>",
     "between two progress notifications of a watch that wants them", "Member", SETTING_ALL, NULL},
    {"experimental-watch-progress-notify-interval", FLAG_DURATION_NS, AT(config.watch_progress_ns), "<time>",
     "the same, by its older name", "Member", SETTING_MEMBER, NULL},

    {"initial-advertise-peer-urls", FLAG_STRING, AT(config.initial_advertise_peer_urls), "<urls>",
     "this member's peer URLs as the others see them", "Clustering", SETTING_MEMBER, NULL},
    {"initial-cluster", FLAG_STRING, AT(config.initial_cluster), "<name=url,...>", "the first members; this one alone if not given",
     "Clustering", SETTING_MEMBER, NULL},
    {"initial-cluster-state", FLAG_STRING, AT(config.initial_cluster_state), "<new|existing>",
     "ignored when the data directory has a member", "Clustering", SETTING_MEMBER, NULL},
    {"initial-cluster-token", FLAG_STRING, AT(config.initial_cluster_token), "<text>",
     "tells clusters apart: members of different ones never talk to each other", "Clustering", SETTING_ALL, "SERVER_CLUSTER_TOKEN"},
    {"advertise-client-urls", FLAG_STRING, AT(config.advertise_client_urls), "<urls>", "this member's client URLs as clients see them",
     "Clustering", SETTING_MEMBER, NULL},
    {"pre-vote", FLAG_BOOL, AT(config.pre_vote), NULL, "ask before disturbing a leader", "Clustering", SETTING_ALL, NULL},
    {"auto-compaction-mode", FLAG_STRING, AT(config.auto_compaction_mode), "<periodic|revision>", "what the retention counts",
     "Clustering", SETTING_ALL, NULL},
    {"auto-compaction-retention", FLAG_STRING, AT(config.auto_compaction_retention), "<n|time>", "history that is kept; 0 = all of it",
     "Clustering", SETTING_ALL, NULL},
    {"discovery", FLAG_STRING, AT(discovery), "<url>", "refused: not supported by this version", "Clustering", SETTING_MEMBER, NULL},
    {"discovery-endpoints", FLAG_STRING, AT(discovery_endpoints), "<list>", "refused: not supported by this version", "Clustering",
     SETTING_MEMBER, NULL},
    {"discovery-srv", FLAG_STRING, AT(discovery_srv), "<domain>", "refused: not supported by this version", "Clustering", SETTING_MEMBER,
     NULL},

    {"log-level", FLAG_STRING, AT(log_level_text), "<level>", "debug, info, warn, error, panic, fatal", "Logging", SETTING_ALL, NULL},
    {"log-format", FLAG_STRING, AT(log_format_text), "<json|console>", "form of the lines on stderr", "Logging", SETTING_ALL, NULL},

    {"cert-file", FLAG_STRING, AT(config.cert_file), "<path>", "certificate (PEM) for https URLs of clients, with its chain; SIGHUP reads it again",
     "Security", SETTING_MEMBER, NULL},
    {"key-file", FLAG_STRING, AT(config.key_file), "<path>", "its private key (PEM), without a password", "Security", SETTING_MEMBER, NULL},
    {"trusted-ca-file", FLAG_STRING, AT(config.trusted_ca_file), "<path>",
     "CAs (PEM): clients must show a certificate of one of them; SIGHUP reads it again", "Security", SETTING_MEMBER, NULL},
    {"client-cert-auth", FLAG_BOOL, AT(config.client_cert_auth), NULL, "clients must show a certificate; needs --trusted-ca-file", "Security",
     SETTING_MEMBER, NULL},
    {"auto-tls", FLAG_BOOL, AT(refused.auto_tls), NULL, "refused: not supported by this version", "Security", SETTING_MEMBER, NULL},
    {"ca-file", FLAG_STRING, AT(refused.ca_file), "<path>", "refused: not supported by this version", "Security", SETTING_MEMBER, NULL},
    {"client-crl-file", FLAG_STRING, AT(refused.client_crl_file), "<path>", "refused: not supported by this version", "Security",
     SETTING_MEMBER, NULL},
    {"client-cert-allowed-hostname", FLAG_STRING, AT(refused.client_cert_allowed_hostname), "<name>",
     "refused: not supported by this version", "Security", SETTING_MEMBER, NULL},
    {"tls-min-version", FLAG_STRING, AT(refused.tls_min_version), "<TLS1.2>", "refused but for TLS1.2", "Security", SETTING_MEMBER, NULL},
    {"tls-max-version", FLAG_STRING, AT(refused.tls_max_version), "<TLS1.3>", "refused but for TLS1.3", "Security", SETTING_MEMBER, NULL},
    {"peer-auto-tls", FLAG_BOOL, AT(refused.peer_auto_tls), NULL, "refused: not supported by this version", "Security", SETTING_MEMBER, NULL},
    {"peer-ca-file", FLAG_STRING, AT(refused.peer_ca_file), "<path>", "refused: not supported by this version", "Security", SETTING_MEMBER,
     NULL},
    {"peer-cert-allowed-cn", FLAG_STRING, AT(refused.peer_cert_allowed_cn), "<name>", "refused: not supported by this version", "Security",
     SETTING_MEMBER, NULL},
    {"peer-cert-allowed-hostname", FLAG_STRING, AT(refused.peer_cert_allowed_hostname), "<name>",
     "refused: not supported by this version", "Security", SETTING_MEMBER, NULL},
    {"peer-cert-file", FLAG_STRING, AT(refused.peer_cert_file), "<path>", "refused: not supported by this version", "Security",
     SETTING_MEMBER, NULL},
    {"peer-client-cert-auth", FLAG_BOOL, AT(refused.peer_client_cert_auth), NULL, "refused: not supported by this version", "Security",
     SETTING_MEMBER, NULL},
    {"peer-crl-file", FLAG_STRING, AT(refused.peer_crl_file), "<path>", "refused: not supported by this version", "Security", SETTING_MEMBER,
     NULL},
    {"peer-key-file", FLAG_STRING, AT(refused.peer_key_file), "<path>", "refused: not supported by this version", "Security", SETTING_MEMBER,
     NULL},
    {"peer-trusted-ca-file", FLAG_STRING, AT(refused.peer_trusted_ca_file), "<path>", "refused: not supported by this version", "Security",
     SETTING_MEMBER, NULL},

    {"force-new-cluster", FLAG_BOOL, AT(is_force_new_cluster), NULL, "refused: not supported by this version", "Unsafe", SETTING_MEMBER,
     NULL},
    {"unsafe-no-fsync", FLAG_BOOL, AT(config.unsafe_no_fsync), NULL, "do not sync: a power loss loses data", "Unsafe", SETTING_ALL, NULL},

    {"snapshot-rate-bytes", FLAG_U64, AT(config.snapshot_rate_bytes), "<bytes>",
     "a snapshot is written at, per second; 0 = as fast as it goes", "kvd's own", SETTING_ALL, NULL},
    {"lease-checkpoint-interval", FLAG_DURATION_NS, AT(config.lease_checkpoint_ns), "<time>",
     "a longer lease that nobody renews has what is left of it written to the log so often", "kvd's own", SETTING_ALL, NULL},
    {"wal-segment-bytes", FLAG_U64, AT(config.wal_segment_bytes), "<bytes>", "size of a file of the log", "kvd's own", SETTING_ALL, NULL},
    {"wal-segment-entries-max", FLAG_U64, AT(config.wal_segment_entries_max), "<n>",
     "entries of a file of the log; 0 = by size only", "kvd's own", SETTING_ALL, "SERVER_MAX_WAL_ENTRIES"},
    {"wal-subdir", FLAG_STRING, AT(config.wal_subdir), "<name>", "directory of the log in a new data directory", "kvd's own", SETTING_ALL,
     "SERVER_WAL_SUBDIR"},
    {"snapshot-subdir", FLAG_STRING, AT(config.snapshot_subdir), "<name>", "directory of the snapshot files in a new data directory",
     "kvd's own", SETTING_ALL, "SERVER_SNAPSHOT_FILE"},
    {"raft-state-file", FLAG_STRING, AT(config.raft_state_file), "<name>",
     "file of member and cluster identity in a new data directory; term and vote stand in the log", "kvd's own", SETTING_ALL,
     "SERVER_RAFT_STATE_FILE"},

    {"SERVER_NODE_COUNT", FLAG_U64, AT(cluster.node_count), "<n>",
     "members: 1, 3 or 5; three survive the loss of one, five the loss of two", "Cluster", SETTING_CLUSTER, NULL},
    {"SERVER_HOST", FLAG_STRING, AT(cluster.host), "<address>",
     "numeric address of this machine that members listen on and tell to clients and each other; on loopback nobody else reaches them",
     "Cluster", SETTING_CLUSTER, NULL},
    {"SERVER_CLIENT_PORT_BASE", FLAG_U64, AT(cluster.client_port_base), "<port>",
     "clients: member number n (from 1) listens on this + 10 * (n - 1)", "Cluster", SETTING_CLUSTER, NULL},
    {"SERVER_PEER_PORT_BASE", FLAG_U64, AT(cluster.peer_port_base), "<port>", "other members: likewise", "Cluster", SETTING_CLUSTER, NULL},
    {"SERVER_DATA_BASE_PATH", FLAG_STRING, AT(cluster.data_base_path), "<path>",
     "member n keeps its data in kvdN below; the scripts put logs and pid files beside, and run in the project's directory", "Cluster",
     SETTING_CLUSTER, NULL},
    {"SERVER_START_TIMEOUT", FLAG_U64, AT(cluster.start_timeout_s), "<s>", "the scripts wait so long until every member serves", "Cluster",
     SETTING_CLUSTER, NULL},
    {"SERVER_STOP_TIMEOUT", FLAG_U64, AT(cluster.stop_timeout_s), "<s>", "and so long until it has ended, before they kill it", "Cluster",
     SETTING_CLUSTER, NULL},
    {"CLIENT_SERVERS", FLAG_STRING, AT(cluster.client_servers), "<urls>",
     "endpoints of scripts/client.sh; all members if not given", "Client", SETTING_CLUSTER, NULL},
    {"CLIENT_HISTORY_DIR", FLAG_STRING, AT(cluster.client_history_dir), "<path>", "where kvctl keeps what was typed at its prompt",
     "Client", SETTING_CLUSTER, NULL},
    {"CLIENT_HISTORY_FILE", FLAG_STRING, AT(cluster.client_history_file), "<name>", "the file there", "Client", SETTING_CLUSTER, NULL},

    {"config-file", FLAG_STRING, AT(config_file), "<path>",
     "all settings from this file, nothing else counts: YAML as etcd's, or config.env (*.env) with --node", "Other", SETTING_PROGRAM, NULL},
    {"node", FLAG_U64, AT(node), "<n>", "which member of config.env, from 1", "Other", SETTING_PROGRAM, NULL},
    {"check-config", FLAG_BOOL, AT(is_check), NULL,
     "print what would be in force and where it comes from, or all mistakes, and exit; of a file: --check-config FILE", "Other",
     SETTING_PROGRAM, NULL},
    {"write-out", FLAG_STRING, AT(write_out), "<table|json|env>", "form of that; env: lines for a shell, of a config.env", "Other",
     SETTING_PROGRAM, NULL},
    {"print", FLAG_STRING, AT(print), "<example|man>", "print config.example.env or the man page and exit", "Other", SETTING_PROGRAM, NULL},
    {"version", FLAG_BOOL, AT(is_version), NULL, "print the version and exit", "Other", SETTING_PROGRAM, NULL},
    {"help", FLAG_BOOL, AT(is_help), NULL, "print this and exit", "Other", SETTING_PROGRAM, NULL},
};

static const struct setting_accepted accepted[] = {
    /* member */
    {"initial-election-tick-advance", FLAG_IGNORED_BOOL},
    {"listen-client-http-urls", FLAG_IGNORED},
    {"memory-mlock", FLAG_IGNORED_BOOL},
    {"backend-bbolt-freelist-type", FLAG_IGNORED},
    {"backend-batch-interval", FLAG_IGNORED},
    {"backend-batch-limit", FLAG_IGNORED},
    {"socket-reuse-port", FLAG_IGNORED_BOOL},
    {"socket-reuse-address", FLAG_IGNORED_BOOL},
    {"enable-grpc-gateway", FLAG_IGNORED_BOOL},
    {"raft-read-timeout", FLAG_IGNORED},
    {"raft-write-timeout", FLAG_IGNORED},
    {"feature-gates", FLAG_IGNORED},
    /* clustering */
    {"discovery-fallback", FLAG_IGNORED},
    {"discovery-proxy", FLAG_IGNORED},
    {"discovery-token", FLAG_IGNORED},
    {"discovery-dial-timeout", FLAG_IGNORED},
    {"discovery-request-timeout", FLAG_IGNORED},
    {"discovery-keepalive-time", FLAG_IGNORED},
    {"discovery-keepalive-timeout", FLAG_IGNORED},
    {"discovery-insecure-transport", FLAG_IGNORED_BOOL},
    {"discovery-insecure-skip-tls-verify", FLAG_IGNORED_BOOL},
    {"discovery-cert", FLAG_IGNORED},
    {"discovery-key", FLAG_IGNORED},
    {"discovery-cacert", FLAG_IGNORED},
    {"discovery-user", FLAG_IGNORED},
    {"discovery-password", FLAG_IGNORED},
    {"discovery-srv-name", FLAG_IGNORED},
    {"strict-reconfig-check", FLAG_IGNORED_BOOL},
    /* security */
    {"client-cert-file", FLAG_IGNORED},
    {"client-key-file", FLAG_IGNORED},
    {"peer-client-cert-file", FLAG_IGNORED},
    {"peer-client-key-file", FLAG_IGNORED},
    {"self-signed-cert-validity", FLAG_IGNORED},
    {"cipher-suites", FLAG_IGNORED},
    {"cors", FLAG_IGNORED},
    {"host-whitelist", FLAG_IGNORED},
    {"peer-skip-client-san-verification", FLAG_IGNORED_BOOL},
    /* auth */
    {"auth-token", FLAG_IGNORED},
    {"bcrypt-cost", FLAG_IGNORED},
    {"auth-token-ttl", FLAG_IGNORED},
    /* monitoring, logging, tracing */
    {"enable-pprof", FLAG_IGNORED_BOOL},
    {"metrics", FLAG_IGNORED},
    {"logger", FLAG_IGNORED},
    {"log-outputs", FLAG_IGNORED},
    {"enable-log-rotation", FLAG_IGNORED_BOOL},
    {"log-rotation-config-json", FLAG_IGNORED},
    {"warning-unary-request-duration", FLAG_IGNORED},
    {"warning-apply-duration", FLAG_IGNORED},
    {"debug", FLAG_IGNORED_BOOL},
    {"log-package-levels", FLAG_IGNORED},
    {"enable-distributed-tracing", FLAG_IGNORED_BOOL},
    {"distributed-tracing-address", FLAG_IGNORED},
    {"distributed-tracing-service-name", FLAG_IGNORED},
    {"distributed-tracing-instance-id", FLAG_IGNORED},
    {"distributed-tracing-sampling-rate", FLAG_IGNORED},
    /* features */
    {"corrupt-check-time", FLAG_IGNORED},
    {"compact-hash-check-time", FLAG_IGNORED},
    {"compaction-batch-limit", FLAG_IGNORED},
    {"compaction-sleep-interval", FLAG_IGNORED},
    {"bootstrap-defrag-threshold-megabytes", FLAG_IGNORED},
    {"max-learners", FLAG_IGNORED},
    {"downgrade-check-time", FLAG_IGNORED},
    /* etcd 3.4 to 3.6 */
    {"experimental-backend-bbolt-freelist-type", FLAG_IGNORED},
    {"experimental-bootstrap-defrag-threshold-megabytes", FLAG_IGNORED},
    {"experimental-compact-hash-check-enabled", FLAG_IGNORED_BOOL},
    {"experimental-compact-hash-check-time", FLAG_IGNORED},
    {"experimental-compaction-batch-limit", FLAG_IGNORED},
    {"experimental-compaction-sleep-interval", FLAG_IGNORED},
    {"experimental-corrupt-check-time", FLAG_IGNORED},
    {"experimental-distributed-tracing-address", FLAG_IGNORED},
    {"experimental-distributed-tracing-instance-id", FLAG_IGNORED},
    {"experimental-distributed-tracing-sampling-rate", FLAG_IGNORED},
    {"experimental-distributed-tracing-service-name", FLAG_IGNORED},
    {"experimental-downgrade-check-time", FLAG_IGNORED},
    {"experimental-enable-distributed-tracing", FLAG_IGNORED_BOOL},
    {"experimental-enable-lease-checkpoint", FLAG_IGNORED_BOOL},
    {"experimental-enable-lease-checkpoint-persist", FLAG_IGNORED_BOOL},
    {"experimental-initial-corrupt-check", FLAG_IGNORED_BOOL},
    {"experimental-max-learners", FLAG_IGNORED},
    {"experimental-memory-mlock", FLAG_IGNORED_BOOL},
    {"experimental-peer-skip-client-san-verification", FLAG_IGNORED_BOOL},
    {"experimental-snapshot-catchup-entries", FLAG_IGNORED},
    {"experimental-stop-grpc-service-on-defrag", FLAG_IGNORED_BOOL},
    {"experimental-txn-mode-write-with-shared-buffer", FLAG_IGNORED_BOOL},
    {"experimental-warning-apply-duration", FLAG_IGNORED},
    {"experimental-warning-unary-request-duration", FLAG_IGNORED},
    /* one release only */
    {"enable-v2", FLAG_IGNORED_BOOL},
    {"experimental-enable-v2v3", FLAG_IGNORED},
    {"proxy", FLAG_IGNORED},
    {"proxy-failure-wait", FLAG_IGNORED},
    {"proxy-refresh-interval", FLAG_IGNORED},
    {"proxy-dial-timeout", FLAG_IGNORED},
    {"proxy-write-timeout", FLAG_IGNORED},
    {"proxy-read-timeout", FLAG_IGNORED},
    {"v2-deprecation", FLAG_IGNORED},
    /* before etcd 3, which takes them for booleans and does not look at their values */
    {"cluster-active-size", FLAG_IGNORED_BOOL},
    {"cluster-remove-delay", FLAG_IGNORED_BOOL},
    {"cluster-sync-interval", FLAG_IGNORED_BOOL},
    {"config", FLAG_IGNORED_BOOL},
    {"force", FLAG_IGNORED_BOOL},
    {"max-result-buffer", FLAG_IGNORED_BOOL},
    {"max-retry-attempts", FLAG_IGNORED_BOOL},
    {"peer-heartbeat-interval", FLAG_IGNORED_BOOL},
    {"peer-election-timeout", FLAG_IGNORED_BOOL},
    {"retry-interval", FLAG_IGNORED_BOOL},
    {"snapshot", FLAG_IGNORED_BOOL},
    {"v", FLAG_IGNORED_BOOL},
    {"vv", FLAG_IGNORED_BOOL},
};

static const char *const renamed[][2] = {
    {"SERVER_COUNT", "SERVER_NODE_COUNT"},
    {"SERVER_NODES", "SERVER_NODE_COUNT"},
    {"SERVER_BASE_CLIENT_PORT", "SERVER_CLIENT_PORT_BASE"},
    {"SERVER_BASE_PEER_PORT", "SERVER_PEER_PORT_BASE"},
    {"SERVER_DATA_DIR", "SERVER_DATA_BASE_PATH"},
    {"SERVER_SNAPSHOT_COUNT", "SERVER_SNAPSHOT_INTERVAL"},
    {"SERVER_WAL_SEGMENT_ENTRIES_MAX", "SERVER_MAX_WAL_ENTRIES"},
    {"SERVER_SNAPSHOT_SUBDIR", "SERVER_SNAPSHOT_FILE"},
    {"SERVER_INITIAL_CLUSTER_TOKEN", "SERVER_CLUSTER_TOKEN"},
    {"SERVER_EXTRA_FLAGS", "a line for each flag, SERVER_MAX_TXN_OPS=256 for --max-txn-ops=256"},
    {"CLIENT_ENDPOINTS", "CLIENT_SERVERS"},
};

const struct setting *settings_table(int *out_count)
{
    *out_count = COUNT(table);
    ASSERT(table[0].offset < sizeof(struct options));
    return table;
}

const struct setting_accepted *settings_accepted(int *out_count)
{
    *out_count = COUNT(accepted);
    return accepted;
}

const char *const (*settings_renamed(int *out_count))[2]
{
    *out_count = COUNT(renamed);
    return renamed;
}

void settings_env_name(const struct setting *setting, char out_name[FLAGS_VARIABLE_MAX])
{
    ASSERT(setting->name != NULL && strlen(setting->name) < FLAGS_VARIABLE_MAX - sizeof("SERVER_"));
    const char *own = setting->scope == SETTING_CLUSTER ? setting->name : setting->env_name;
    out_name[0] = '\0';
    if (own != NULL) snprintf(out_name, FLAGS_VARIABLE_MAX, "%s", own);
    else if (setting->scope == SETTING_ALL) flags_variable_name("SERVER", setting->name, out_name);
}
