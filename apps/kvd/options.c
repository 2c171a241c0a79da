/* options: see options.h. Two tables: what has a meaning, and the names of what is only accepted. */
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

struct option {
    const char *name;
    enum flag_kind kind;
    size_t offset; /* of the target in struct options */
    const char *value_name;
    const char *help;
    const char *group;
};

#define AT(member) offsetof(struct options, member)

static const struct option options_table[] = {
    {"name", FLAG_STRING, AT(config.name), "<name>", "name of this member", "Member"},
    {"data-dir", FLAG_STRING, AT(config.data_dir), "<path>", "data directory; NAME.etcd if not given", "Member"},
    {"wal-dir", FLAG_STRING, AT(config.wal_dir), "<path>", "directory of the log, if not in the data directory",
     "Member"},
    {"snapshot-count", FLAG_U64, AT(config.snapshot_count), "<n>", "entries applied before a snapshot", "Member"},
    {"snapshot-catchup-entries", FLAG_U64, AT(config.snapshot_catchup_entries), "<n>",
     "log entries kept behind a snapshot for slow followers", "Member"},
    {"max-snapshots", FLAG_U64, AT(config.max_snapshots), "<n>", "snapshot files kept, 2 at least; 0 = all", "Member"},
    {"max-wals", FLAG_U64, AT(config.max_wals), "<n>", "log files kept that are not needed any more; 0 = all", "Member"},
    {"heartbeat-interval", FLAG_U64, AT(config.heartbeat_ms), "<ms>", "interval of a leader's heartbeats", "Member"},
    {"election-timeout", FLAG_U64, AT(config.election_timeout_ms), "<ms>", "at least 5 heartbeats, at most 50000",
     "Member"},
    {"listen-peer-urls", FLAG_STRING, AT(config.listen_peer_urls), "<urls>", "where to listen for members", "Member"},
    {"listen-client-urls", FLAG_STRING, AT(config.listen_client_urls), "<urls>", "where to listen for clients",
     "Member"},
    {"listen-metrics-urls", FLAG_STRING, AT(config.listen_metrics_urls), "<urls>",
     "where to listen for /metrics and /health besides the client URLs", "Member"},
    {"quota-backend-bytes", FLAG_I64, AT(config.quota_backend_bytes), "<bytes>",
     "size that raises an alarm; 0 = 2 GiB, negative = none", "Member"},
    {"auto-disarm", FLAG_BOOL, AT(config.auto_disarm), NULL, "take a NOSPACE alarm back when a tenth of the quota is free again",
     "Member"},
    {"max-txn-ops", FLAG_U64, AT(config.max_txn_ops), "<n>", "operations in a transaction", "Member"},
    {"max-request-bytes", FLAG_U64, AT(config.max_request_bytes), "<bytes>", "size of a request", "Member"},
    {"max-concurrent-streams", FLAG_U64, AT(config.max_concurrent_streams), "<n>", "streams of a connection", "Member"},
    {"grpc-keepalive-min-time", FLAG_DURATION_NS, AT(config.keepalive_min_time_ns), "<time>",
     "pings of a client that come faster are refused", "Member"},
    {"grpc-keepalive-interval", FLAG_DURATION_NS, AT(config.keepalive_interval_ns), "<time>",
     "pings to a silent client", "Member"},
    {"grpc-keepalive-timeout", FLAG_DURATION_NS, AT(config.keepalive_timeout_ns), "<time>",
     "a client that does not answer them for so long is disconnected", "Member"},
    {"watch-progress-notify-interval", FLAG_DURATION_NS, AT(config.watch_progress_ns), "<time>",
     "between two progress notifications of a watch that wants them", "Member"},
    {"experimental-watch-progress-notify-interval", FLAG_DURATION_NS, AT(config.watch_progress_ns), "<time>",
     "the same, by its older name", "Member"},

    {"initial-advertise-peer-urls", FLAG_STRING, AT(config.initial_advertise_peer_urls), "<urls>",
     "this member's peer URLs as the others see them", "Clustering"},
    {"initial-cluster", FLAG_STRING, AT(config.initial_cluster), "<name=url,...>", "the first members; this one alone if not given",
     "Clustering"},
    {"initial-cluster-state", FLAG_STRING, AT(config.initial_cluster_state), "<new|existing>",
     "ignored when the data directory has a member", "Clustering"},
    {"initial-cluster-token", FLAG_STRING, AT(config.initial_cluster_token), "<text>", "tells clusters apart",
     "Clustering"},
    {"advertise-client-urls", FLAG_STRING, AT(config.advertise_client_urls), "<urls>",
     "this member's client URLs as clients see them", "Clustering"},
    {"pre-vote", FLAG_BOOL, AT(config.pre_vote), NULL, "ask before disturbing a leader", "Clustering"},
    {"auto-compaction-mode", FLAG_STRING, AT(config.auto_compaction_mode), "<periodic|revision>",
     "what the retention counts", "Clustering"},
    {"auto-compaction-retention", FLAG_STRING, AT(config.auto_compaction_retention), "<n|time>",
     "history that is kept; 0 = all of it", "Clustering"},

    {"discovery", FLAG_STRING, AT(discovery), "<url>", "refused: not supported by this version", "Clustering"},
    {"discovery-endpoints", FLAG_STRING, AT(discovery_endpoints), "<list>", "refused: not supported by this version", "Clustering"},
    {"discovery-srv", FLAG_STRING, AT(discovery_srv), "<domain>", "refused: not supported by this version", "Clustering"},

    {"log-level", FLAG_STRING, AT(log_level_text), "<level>", "debug, info, warn, error, panic, fatal", "Logging"},
    {"log-format", FLAG_STRING, AT(log_format_text), "<json|console>", "form of the lines on stderr", "Logging"},

    {"force-new-cluster", FLAG_BOOL, AT(is_force_new_cluster), NULL, "refused: not supported by this version", "Unsafe"},
    {"unsafe-no-fsync", FLAG_BOOL, AT(config.unsafe_no_fsync), NULL, "do not sync: a power loss loses data", "Unsafe"},

    {"snapshot-rate-bytes", FLAG_U64, AT(config.snapshot_rate_bytes), "<bytes>", "a snapshot is written at, per second; 0 = as fast as it goes",
     "kvd's own"},
    {"lease-checkpoint-interval", FLAG_DURATION_NS, AT(config.lease_checkpoint_ns), "<time>",
     "a longer lease that nobody renews has what is left of it written to the log so often", "kvd's own"},
    {"wal-segment-bytes", FLAG_U64, AT(config.wal_segment_bytes), "<bytes>", "size of a file of the log", "kvd's own"},
    {"wal-segment-entries-max", FLAG_U64, AT(config.wal_segment_entries_max), "<n>",
     "entries of a file of the log; 0 = by size only", "kvd's own"},

    {"config-file", FLAG_STRING, AT(config_file), "<path>", "refused: not supported by this version", "Other"},
    {"version", FLAG_BOOL, AT(is_version), NULL, "print the version and exit", "Other"},
    {"help", FLAG_BOOL, AT(is_help), NULL, "print this and exit", "Other"},
};

static const char *const options_accepted[] = {
    /* member */
    "initial-election-tick-advance",
    "listen-client-http-urls",
    "memory-mlock",
    "backend-bbolt-freelist-type",
    "backend-batch-interval",
    "backend-batch-limit",
    "socket-reuse-port",
    "socket-reuse-address",
    "enable-grpc-gateway",
    "raft-read-timeout",
    "raft-write-timeout",
    "feature-gates",
    /* clustering */
    "discovery-fallback",
    "discovery-proxy",
    "discovery-token",
    "discovery-dial-timeout",
    "discovery-request-timeout",
    "discovery-keepalive-time",
    "discovery-keepalive-timeout",
    "discovery-insecure-transport",
    "discovery-insecure-skip-tls-verify",
    "discovery-cert",
    "discovery-key",
    "discovery-cacert",
    "discovery-user",
    "discovery-password",
    "discovery-srv-name",
    "strict-reconfig-check",
    /* security */
    "cert-file",
    "key-file",
    "client-cert-auth",
    "client-cert-file",
    "client-key-file",
    "client-crl-file",
    "client-cert-allowed-hostname",
    "trusted-ca-file",
    "auto-tls",
    "peer-cert-file",
    "peer-key-file",
    "peer-client-cert-auth",
    "peer-client-cert-file",
    "peer-client-key-file",
    "peer-trusted-ca-file",
    "peer-cert-allowed-cn",
    "peer-cert-allowed-hostname",
    "peer-auto-tls",
    "self-signed-cert-validity",
    "peer-crl-file",
    "cipher-suites",
    "cors",
    "host-whitelist",
    "tls-min-version",
    "tls-max-version",
    "peer-skip-client-san-verification",
    "ca-file",
    "peer-ca-file",
    /* auth */
    "auth-token",
    "bcrypt-cost",
    "auth-token-ttl",
    /* monitoring, logging, tracing */
    "enable-pprof",
    "metrics",
    "logger",
    "log-outputs",
    "enable-log-rotation",
    "log-rotation-config-json",
    "warning-unary-request-duration",
    "warning-apply-duration",
    "debug",
    "log-package-levels",
    "enable-distributed-tracing",
    "distributed-tracing-address",
    "distributed-tracing-service-name",
    "distributed-tracing-instance-id",
    "distributed-tracing-sampling-rate",
    /* features */
    "corrupt-check-time",
    "compact-hash-check-time",
    "compaction-batch-limit",
    "compaction-sleep-interval",
    "bootstrap-defrag-threshold-megabytes",
    "max-learners",
    "downgrade-check-time",
    /* etcd 3.4 to 3.6 */
    "experimental-backend-bbolt-freelist-type",
    "experimental-bootstrap-defrag-threshold-megabytes",
    "experimental-compact-hash-check-enabled",
    "experimental-compact-hash-check-time",
    "experimental-compaction-batch-limit",
    "experimental-compaction-sleep-interval",
    "experimental-corrupt-check-time",
    "experimental-distributed-tracing-address",
    "experimental-distributed-tracing-instance-id",
    "experimental-distributed-tracing-sampling-rate",
    "experimental-distributed-tracing-service-name",
    "experimental-downgrade-check-time",
    "experimental-enable-distributed-tracing",
    "experimental-enable-lease-checkpoint",
    "experimental-enable-lease-checkpoint-persist",
    "experimental-initial-corrupt-check",
    "experimental-max-learners",
    "experimental-memory-mlock",
    "experimental-peer-skip-client-san-verification",
    "experimental-snapshot-catchup-entries",
    "experimental-stop-grpc-service-on-defrag",
    "experimental-txn-mode-write-with-shared-buffer",
    "experimental-warning-apply-duration",
    "experimental-warning-unary-request-duration",
    /* one release only */
    "enable-v2",
    "experimental-enable-v2v3",
    "proxy",
    "proxy-failure-wait",
    "proxy-refresh-interval",
    "proxy-dial-timeout",
    "proxy-write-timeout",
    "proxy-read-timeout",
    "v2-deprecation",
    /* before etcd 3 */
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void make_flags(struct options *options)
{
    options->flag_count = COUNT(options_table) + COUNT(options_accepted);
    options->flags = alloc_zero((size_t)options->flag_count, sizeof(struct flag));
    for (int i = 0; i < COUNT(options_table); i++) {
        const struct option *option = &options_table[i];
        ASSERT(option->kind != FLAG_IGNORED && option->offset < sizeof(*options));
        options->flags[i] = (struct flag){.name = option->name,
                                          .kind = option->kind,
                                          .target = (char *)options + option->offset,
                                          .value_name = option->value_name,
                                          .help = option->help,
                                          .group = option->group};
    }
    options->flags[COUNT(options_table) - 1].letter = 'h';
    for (int i = 0; i < COUNT(options_accepted); i++) {
        options->flags[COUNT(options_table) + i] = (struct flag){.name = options_accepted[i], .kind = FLAG_IGNORED};
    }
    ASSERT(strcmp(options->flags[COUNT(options_table) - 1].name, "help") == 0);
}

static bool is_set(const struct options *options, const char *name)
{
    for (int i = 0; i < options->flag_count; i++) {
        if (strcmp(options->flags[i].name, name) == 0) return options->flags[i].is_set;
    }
    ASSERT(false);
    return false;
}

/* etcd's rule: a member that listens elsewhere than by default must be told what clients shall dial. */
static bool is_advertise_missing(const struct options *options)
{
    return is_set(options, "listen-client-urls") && !is_set(options, "advertise-client-urls");
}

/* Flags that cannot be passed over with a warning: without them the member would run by other settings, or with other members, than
 * those that it was told. NULL, or the complaint. */
static const char *refused_flag(const struct options *options)
{
    ASSERT(options->config_file != NULL);
    if (options->config_file[0] != '\0') {
        return "--config-file is not supported by this version: give its keys as flags or as ETCD_ variables";
    }
    if (options->discovery[0] != '\0' || options->discovery_endpoints[0] != '\0' || options->discovery_srv[0] != '\0') {
        return "discovery is not supported by this version, and without it each member would found a cluster of its own: give the members "
               "with --initial-cluster";
    }
    if (options->is_force_new_cluster) {
        return "--force-new-cluster is not supported by this version: it makes a member forget the others and what only they have "
               "acknowledged; start a majority of the members instead";
    }
    return NULL;
}

static enum options_verdict check(struct options *options)
{
    const struct flags_result *result = &options->result;
    bool is_console = strcmp(options->log_format_text, "console") == 0;
    const char *refused = refused_flag(options);
    options->log_format = is_console ? LOG_FORMAT_CONSOLE : LOG_FORMAT_JSON;
    if (result->arguments_count > 0) {
        snprintf(options->message, sizeof(options->message), "'%.200s' is not a valid flag", result->arguments[0]);
    } else if (refused != NULL) {
        snprintf(options->message, sizeof(options->message), "%s", refused);
    } else if (!log_level_from_text(options->log_level_text, &options->log_level)) {
        snprintf(options->message, sizeof(options->message), "unknown --log-level \"%.200s\"", options->log_level_text);
    } else if (!is_console && strcmp(options->log_format_text, "json") != 0) {
        snprintf(options->message, sizeof(options->message), "unknown --log-format \"%.200s\"",
                 options->log_format_text);
    } else if (!config_check(&options->config, options->message, sizeof(options->message))) {
        ASSERT(options->message[0] != '\0');
    } else if (is_advertise_missing(options)) {
        snprintf(options->message, sizeof(options->message),
                 "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    } else {
        return OPTIONS_RUN;
    }
    ASSERT(options->message[0] != '\0');
    return OPTIONS_INVALID;
}

enum options_verdict options_init(struct options *options, int argc, char **argv)
{
    ASSERT(argc >= 1);
    const struct flags_options rules = {.environment_prefix = "ETCD", .strict_environment = true};
    *options = (struct options){.log_level_text = "info", .log_format_text = "json", .config_file = "", .discovery = "",
                                .discovery_endpoints = "", .discovery_srv = ""};
    config_init(&options->config);
    make_flags(options);
    options->result.arguments = alloc_zero((size_t)argc, sizeof(char *));
    bool is_parsed = flags_parse(options->flags, options->flag_count, argc, argv, &rules, &options->result);
    if (!is_parsed) snprintf(options->message, sizeof(options->message), "%s", options->result.error);
    if (!is_parsed) return options->result.is_environment ? OPTIONS_INVALID : OPTIONS_USAGE;
    if (options->is_help) return OPTIONS_HELP;
    if (options->is_version) return OPTIONS_VERSION;
    return check(options);
}

void options_deinit(struct options *options)
{
    alloc_free(options->flags);
    alloc_free(options->result.arguments);
    options->flags = NULL;
    options->result.arguments = NULL;
}

/* The names of what is accepted and has no effect, in lines of bounded width. */
static void print_accepted(void)
{
    const size_t width_max = 110;
    size_t width = width_max;
    printf("\nAccepted for the sake of unit files and manifests that were written for etcd, without effect (one warning each):");
    for (int i = 0; i < COUNT(options_accepted); i++) {
        size_t length = strlen(options_accepted[i]) + 1;
        ASSERT(length < width_max);
        if (width + length > width_max) {
            printf("\n ");
            width = 1;
        }
        printf(" %s", options_accepted[i]);
        width += length;
    }
    printf("\n");
}

void options_print_help(const struct options *options)
{
    ASSERT(options->flags != NULL);
    printf("Usage: kvd [flags]\n\n"
           "One member of a replicated key-value store that speaks etcd's v3 API and takes etcd's flags.\n\n"
           "Examples:\n"
           "  kvd                                        one member on localhost, data in ./default.etcd\n"
           "  kvd --name a --data-dir /var/lib/kvd \\\n"
           "      --listen-client-urls http://10.0.0.1:2379,http://127.0.0.1:2379 \\\n"
           "      --advertise-client-urls http://10.0.0.1:2379 \\\n"
           "      --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
           "      --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380\n"
           "                                             one of three members; b and c are started alike\n"
           "  ETCD_NAME=a ETCD_DATA_DIR=/var/lib/kvd kvd   the same names in the environment\n\n"
           "A flag is --name value or --name=value, a boolean --name or --name=false; of a repeated flag the last counts.\n"
           "--some-flag may also be ETCD_SOME_FLAG in the environment; both at once is an error.\n"
           "The initial-... flags count at the first start only: a data directory that has a member knows its cluster.\n\n");
    flags_print_help(options->flags, options->flag_count);
    print_accepted();
    fflush(stdout);
}

/* "ETCD_DATA_DIR" against "data-dir". */
static bool is_variable_of(const char *name, size_t length, const char *flag)
{
    if (strlen(flag) != length) return false;
    for (size_t i = 0; i < length; i++) {
        char upper = flag[i] == '-' ? '_' : flag[i] >= 'a' && flag[i] <= 'z' ? (char)(flag[i] - 'a' + 'A') : flag[i];
        if (name[i] != upper) return false;
    }
    return true;
}

static bool is_known_variable(const struct options *options, const char *name, size_t length)
{
    static const char quiet[] = "UNSUPPORTED_ARCH"; /* concerns Go's ports */
    if (length == sizeof(quiet) - 1 && strncmp(name, quiet, length) == 0) return true;
    for (int i = 0; i < options->flag_count; i++) {
        if (is_variable_of(name, length, options->flags[i].name)) return true;
    }
    return false;
}

void options_log_warnings(const struct options *options)
{
    ASSERT(options->flags != NULL);
    for (int i = 0; i < options->result.ignored_count; i++) {
        LOG(WARN, "flag is accepted and has no effect", LOG_F_TEXT("flag", options->result.ignored[i]));
    }
    for (char **at = environ; *at != NULL; at++) {
        const char *name = *at;
        size_t length = strcspn(name, "=");
        if (strncmp(name, "ETCD_", 5) != 0 || is_known_variable(options, name + 5, length - 5)) continue;
        char variable[256];
        snprintf(variable, sizeof(variable), "%.*s", (int)(length < 255 ? length : 255), name);
        LOG(WARN, "unrecognized environment variable", LOG_F_TEXT("environment-variable", variable));
    }
}
