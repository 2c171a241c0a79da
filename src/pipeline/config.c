/* config: defaults, checks, derived limits. */
#include "pipeline/config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "rpc/peer_port.h"
#include "storage/compactor.h"
#include "storage/data_names.h"

#define MIB (UINT64_C(1) << 20)
#define SNAPSHOT_COUNT 1000000
#define SNAPSHOTS_MIN 2 /* the newest, and the one to fall back to when it is damaged */

/* An entry of the largest request, its envelope, and the rest of the message that it travels in fit one frame between members. */
STATIC_ASSERT(CONFIG_REQUEST_BYTES_MAX + 4 * MIB <= PEER_FRAME_BYTES_MAX, "the largest request fits a frame");

void config_init(struct config *config)
{
    *config = (struct config){
        .name = "default",
        .data_dir = "",
        .wal_dir = "",
        .wal_subdir = DATA_NAMES_WAL,
        .snapshot_subdir = DATA_NAMES_SNAP,
        .raft_state_file = DATA_NAMES_IDENTITY,
        .listen_client_urls = "http://localhost:2379",
        .advertise_client_urls = "http://localhost:2379",
        .listen_peer_urls = "http://localhost:2380",
        .listen_metrics_urls = "",
        .cert_file = "",
        .key_file = "",
        .trusted_ca_file = "",
        .initial_advertise_peer_urls = "http://localhost:2380",
        .initial_cluster = "",
        .initial_cluster_state = "new",
        .initial_cluster_token = "etcd-cluster",
        .heartbeat_ms = 100,
        .election_timeout_ms = 1000,
        .snapshot_count = SNAPSHOT_COUNT,
        .snapshot_catchup_entries = 5000,
        .max_snapshots = SNAPSHOTS_MIN,
        .max_wals = 1,
        .snapshot_rate_bytes = 128 * MIB,
        .max_request_bytes = 1572864,
        .max_txn_ops = 128,
        .max_concurrent_streams = UINT32_MAX,
        .pre_vote = true,
        .auto_compaction_mode = "periodic",
        .auto_compaction_retention = "0",
        .keepalive_min_time_ns = 5 * NS_PER_S,
        .keepalive_interval_ns = 7200 * NS_PER_S,
        .keepalive_timeout_ns = 20 * NS_PER_S,
        .watch_progress_ns = 600 * NS_PER_S,
        .watch_message_bytes_max = INT32_MAX, /* what gRPC's other servers send at most, etcd's too */
        .lease_checkpoint_ns = 300 * NS_PER_S,
        .wal_segment_bytes = 16 * MIB,
    };
}

struct complaints {
    config_complaint_fn *fn;
    void *context;
    uint32_t count;
};

__attribute__((format(printf, 3, 4))) static void complain(struct complaints *complaints, const char *flag, const char *format, ...)
{
    char message[1280];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    ASSERT(flag != NULL && message[0] != '\0');
    complaints->count++;
    complaints->fn(complaints->context, flag, message);
}

static void check_timing(const struct config *config, struct complaints *complaints)
{
    uint64_t heartbeat = config->heartbeat_ms, election = config->election_timeout_ms;
    if (heartbeat == 0) {
        complain(complaints, "heartbeat-interval", "--heartbeat-interval must be >0 (set to 0ms)");
    } else if (election == 0) {
        complain(complaints, "election-timeout", "--election-timeout must be >0 (set to 0ms)");
    } else if (heartbeat > election / 5) {
        complain(complaints, "election-timeout",
                 "--election-timeout[%" PRIu64 "ms] should be at least as 5 times as --heartbeat-interval[%" PRIu64 "ms]", election,
                 heartbeat);
    } else if (election > 50000) {
        complain(complaints, "election-timeout",
                 "--election-timeout[%" PRIu64 "ms] is too long, and should be set less than 50000ms", election);
    }
}

static void check_range(uint64_t value, uint64_t min, uint64_t max, const char *flag, struct complaints *complaints)
{
    ASSERT(min <= max && flag != NULL);
    if (value >= min && value <= max) return;
    complain(complaints, flag, "--%s must be between %" PRIu64 " and %" PRIu64 " (set to %" PRIu64 ")", flag, min, max, value);
}

static void check_numbers(const struct config *config, struct complaints *complaints)
{
    if (config->wal_segment_bytes % 4096 != 0) {
        complain(complaints, "wal-segment-bytes", "--wal-segment-bytes must be a multiple of 4096 (set to %" PRIu64 ")",
                 config->wal_segment_bytes);
    }
    if (config->watch_progress_ns < 100 * NS_PER_MS) {
        complain(complaints, "watch-progress-notify-interval", "--watch-progress-notify-interval must be at least 100ms");
    }
    if (config->lease_checkpoint_ns < NS_PER_S)
        complain(complaints, "lease-checkpoint-interval", "--lease-checkpoint-interval must be at least 1s");
    check_range(config->max_request_bytes, 1024, CONFIG_REQUEST_BYTES_MAX, "max-request-bytes", complaints);
    check_range(config->max_txn_ops, 1, 65536, "max-txn-ops", complaints);
    check_range(config->max_concurrent_streams, 1, UINT32_MAX, "max-concurrent-streams", complaints);
    if (config->wal_segment_bytes % 4096 == 0)
        check_range(config->wal_segment_bytes, 65536, 1024 * MIB, "wal-segment-bytes", complaints);
}

static void check_words(const struct config *config, struct complaints *complaints)
{
    const char *state = config->initial_cluster_state, *mode = config->auto_compaction_mode;
    struct compactor compactor;
    if (config->name[0] == '\0') complain(complaints, "name", "--name must not be empty");
    if (strcmp(state, "new") != 0 && strcmp(state, "existing") != 0) {
        complain(complaints, "initial-cluster-state", "invalid value \"%.128s\" for --initial-cluster-state: it is new or existing", state);
    }
    if (strcmp(mode, "periodic") != 0 && strcmp(mode, "revision") != 0) {
        complain(complaints, "auto-compaction-mode", "unknown auto-compaction-mode \"%.128s\": it is periodic or revision", mode);
    } else if (!compactor_init(&compactor, mode, config->auto_compaction_retention, 0)) {
        complain(complaints, "auto-compaction-retention", "error parsing --auto-compaction-retention \"%.128s\": it is %s",
                 config->auto_compaction_retention,
                 mode[0] == 'p' ? "a time like 30m or a number of hours" : "a number of revisions");
    }
}

static void check_names(const struct config *config, struct complaints *complaints)
{
    const char *const names[] = {config->wal_subdir, config->snapshot_subdir, config->raft_state_file};
    static const char *const flags[] = {"wal-subdir", "snapshot-subdir", "raft-state-file"};
    for (int i = 0; i < 3; i++) {
        if (!data_names_is_name(names[i])) {
            complain(complaints, flags[i], "invalid value \"%.128s\" for --%s: expected a plain name of at most %d letters, digits, . _ - that "
                     "is none of the data directory's own", names[i], flags[i], DATA_NAMES_BYTES_MAX);
        }
        for (int k = 0; k < i; k++) {
            if (strcmp(names[i], names[k]) == 0) {
                complain(complaints, flags[i], "--%s and --%s are both \"%.128s\"", flags[i], flags[k], names[i]);
            }
        }
    }
}

static void derive(struct config *config)
{
    snprintf(config->data_dir_path, sizeof(config->data_dir_path), "%s%s",
             config->data_dir[0] != '\0' ? config->data_dir : config->name, config->data_dir[0] != '\0' ? "" : ".etcd");
    if (config->snapshot_count == 0) config->snapshot_count = SNAPSHOT_COUNT;
    if (config->max_snapshots == 0) config->max_snapshots = UINT64_MAX;
    if (config->max_snapshots < SNAPSHOTS_MIN) config->max_snapshots = SNAPSHOTS_MIN;
    if (config->max_wals == 0) config->max_wals = UINT64_MAX;
    config->calls_max = 16384;
    config->waits_max = 4096;
    config->lane_calls = 32768;
    config->lane_peer = 4096;
    config->request_timeout_ns = 5 * NS_PER_S + 2 * config->election_timeout_ms * NS_PER_MS;
    config->tail_bytes_max = 12 * MIB + 2 * (size_t)config->max_request_bytes;
    config->uncommitted_bytes_max = config->tail_bytes_max;
    config->apply_bytes_max = 4 * MIB;
    config->message_bytes_max = 1 * MIB;
    config->inflight_bytes_max = 8 * MIB;
    config->inflight_messages_max = 256;
    config->inflight_partial_max = 2;
    config->own_wait_entries_min = 32;
    config->reply_bytes_max = 128 * MIB;
    config->gather_bytes_max = 256 * MIB;
    config->chunk_bytes = CONFIG_CHUNK_BYTES;
    config->watch_streams_max = 20000;
    config->keep_alive_streams_max = 20000;
    config->watchers_max = 1000000;
    config->watch_key_bytes_max = 128 * MIB;
    config->watch_hold_bytes_max = 64 * MIB;
    config->quota_bytes = config->quota_backend_bytes < 0    ? 0
                          : config->quota_backend_bytes == 0 ? 2048 * MIB
                                                             : (uint64_t)config->quota_backend_bytes;
    /* Each call in flight may stand once in a lane: REPLY, FAIL, APPEND. */
    ASSERT(config->lane_calls >= 2 * config->calls_max);
    ASSERT(config->calls_max > config->waits_max && config->lane_calls >= 4 * config->waits_max);
    /* apply answers each COMMIT with one APPLIED; every peer gets its heartbeat in one step. */
    ASSERT(config->lane_calls >= config->lane_peer && config->lane_peer >= 4 * CONFIG_PEERS_MAX);
    ASSERT(config->inflight_bytes_max >= config->message_bytes_max);
    /* A window that is full still leaves the leader room to propose, and the tail room for what is not yet applied. */
    ASSERT(config->tail_bytes_max >= config->inflight_bytes_max && config->tail_bytes_max >= config->apply_bytes_max);
    ASSERT(config->uncommitted_bytes_max >= config->max_request_bytes);
}

/* --- URLs ---------------------------------------------------------------------------------------------------------------- */

/* Bound here, with a certificate for TLS or without; bound for members; dialled by members; told to clients. */
enum use { USE_LISTEN_TLS, USE_LISTEN, USE_LISTEN_PEERS, USE_PEERS, USE_CLIENTS };

/* What is asked of one URL beyond its form. NULL, or the complaint. */
static const char *url_complaint(const struct config_url *url, enum use use)
{
    struct in6_addr address;
    bool is_bound = use == USE_LISTEN_TLS || use == USE_LISTEN || use == USE_LISTEN_PEERS;
    if (url->is_tls && use == USE_LISTEN) return "https and unixs (TLS) need --cert-file and --key-file";
    if (url->is_tls && (use == USE_LISTEN_PEERS || use == USE_PEERS))
        return "https and unixs (TLS) between members are not supported by this version; use http or unix";
    if (url->is_unix || !is_bound || strcmp(url->host, "localhost") == 0) return NULL;
    ASSERT(url->host[0] != '\0');
    char host[sizeof(url->host)];
    snprintf(host, sizeof(host), "%s", url->host);
    host[strcspn(host, "%")] = '\0'; /* the zone of a link-local address */
    bool is_numeric = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    return is_numeric ? NULL : "expected IP in URL for binding";
}

static void check_urls(const char *flag, const char *urls, enum use use, struct complaints *complaints)
{
    struct config_url parsed[CONFIG_URLS_MAX];
    char why[512];
    int count = config_parse_urls(urls, parsed, CONFIG_URLS_MAX, why, sizeof(why));
    if (count < 1) complain(complaints, flag, "invalid value \"%.512s\" for --%s: %s", urls, flag, why);
    for (int i = 0; i < count; i++) {
        const char *complaint = url_complaint(&parsed[i], use);
        if (complaint == NULL) continue;
        complain(complaints, flag, "invalid value \"%.512s\" for --%s: %s (%s)", urls, flag, complaint, parsed[i].host);
        return;
    }
}

/* Certificates that nobody would be shown are a mistake, not a precaution. */
static void check_tls(const struct config *config, struct complaints *complaints)
{
    struct config_url urls[CONFIG_URLS_MAX];
    char why[512];
    bool has_certificate = config->cert_file[0] != '\0', has_key = config->key_file[0] != '\0', has_ca = config->trusted_ca_file[0] != '\0';
    bool has_tls = false;
    const char *const lists[] = {config->listen_client_urls, config->listen_metrics_urls};
    for (int list = 0; list < 2; list++) {
        int count = config_parse_urls(lists[list], urls, CONFIG_URLS_MAX, why, sizeof(why));
        for (int i = 0; i < count; i++) has_tls = has_tls || urls[i].is_tls;
    }
    if (has_certificate && !has_key) complain(complaints, "cert-file", "--cert-file needs --key-file, the private key of the certificate");
    if (has_key && !has_certificate) complain(complaints, "key-file", "--key-file needs --cert-file, the certificate of the key");
    if (config->client_cert_auth && !has_ca)
        complain(complaints, "client-cert-auth", "--client-cert-auth needs --trusted-ca-file, the CA of the clients' certificates");
    if (has_ca && !has_certificate)
        complain(complaints, "trusted-ca-file", "--trusted-ca-file needs --cert-file and --key-file: clients show certificates in TLS only");
    if (has_certificate && has_key && !has_tls)
        complain(complaints, "cert-file", "--cert-file is given, and no URL of --listen-client-urls is https: clients would talk in plain text");
}

/* Listeners of clients may speak TLS once there is a certificate. */
static enum use use_of_clients(const struct config *config)
{
    return config->cert_file[0] != '\0' && config->key_file[0] != '\0' ? USE_LISTEN_TLS : USE_LISTEN;
}

bool config_check_all(struct config *config, config_complaint_fn *fn, void *context)
{
    struct complaints complaints = {.fn = fn, .context = context};
    ASSERT(fn != NULL);
    check_timing(config, &complaints);
    check_numbers(config, &complaints);
    check_words(config, &complaints);
    check_names(config, &complaints);
    check_tls(config, &complaints);
    check_urls("listen-peer-urls", config->listen_peer_urls, USE_LISTEN_PEERS, &complaints);
    check_urls("listen-client-urls", config->listen_client_urls, use_of_clients(config), &complaints);
    if (config->listen_metrics_urls[0] != '\0') check_urls("listen-metrics-urls", config->listen_metrics_urls, use_of_clients(config), &complaints);
    check_urls("initial-advertise-peer-urls", config->initial_advertise_peer_urls, USE_PEERS, &complaints);
    check_urls("advertise-client-urls", config->advertise_client_urls, USE_CLIENTS, &complaints);
    if (strlen(config->data_dir) + strlen(config->name) + 8 > sizeof(config->data_dir_path)) {
        complain(&complaints, "data-dir", "--data-dir is too long");
    }
    if (complaints.count == 0) derive(config);
    return complaints.count == 0;
}

struct first {
    char *message;
    size_t size;
    bool is_there;
};

static void keep_first(void *context, const char *flag, const char *message)
{
    struct first *first = context;
    ASSERT(flag != NULL && first->size > 0);
    if (!first->is_there) snprintf(first->message, first->size, "%s", message);
    first->is_there = true;
}

bool config_check(struct config *config, char *out_message, size_t message_size)
{
    struct first first = {.message = out_message, .size = message_size};
    return config_check_all(config, keep_first, &first);
}

void config_initial_cluster(const struct config *config, struct buf *out_text)
{
    ASSERT(config->initial_advertise_peer_urls[0] != '\0');
    if (config->initial_cluster[0] != '\0') {
        buf_printf(out_text, "%s", config->initial_cluster);
        return;
    }
    for (const char *at = config->initial_advertise_peer_urls; *at != '\0';) {
        at += strspn(at, " ");
        size_t size = strcspn(at, ",");
        buf_printf(out_text, "%s%s=%.*s", out_text->size == 0 ? "" : ",", config->name, (int)size, at);
        at += size + (at[size] == ',');
    }
}

/* The address of an http URL, "host:port" or "[v6]:port" of `size` bytes. NULL, or the complaint. */
static const char *parse_address(const char *text, size_t size, struct config_url *url)
{
    static const char *const form = "URL address does not have the form \"host:port\"";
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", numbers[] = "0123456789";
    if (memchr(text, '/', size) != NULL) return "URL must not contain a path";
    bool is_bracketed = size > 0 && text[0] == '[';
    const char *host = text + is_bracketed;
    const char *host_end = is_bracketed ? memchr(text, ']', size) : memchr(text, ':', size);
    if (host_end == NULL) return form;
    const char *colon = host_end + is_bracketed;
    size_t length = (size_t)(host_end - host), left = (size_t)(text + size - colon);
    if (length == 0) return "unexpected empty host";
    if (length >= sizeof(url->host)) return "the host is too long";
    if (left < 2 || left > 6 || colon[0] != ':' || strspn(colon + 1, numbers) < left - 1) return form;
    memcpy(url->host, host, length);
    url->host[length] = '\0';
    bool is_host = is_bracketed ? strspn(url->host, "0123456789abcdefABCDEF:.") == strcspn(url->host, "%")
                                : strspn(url->host, names) == length;
    if (!is_host) return "invalid character in host name";
    uint32_t port = 0;
    for (size_t i = 1; i < left; i++) port = port * 10 + (uint32_t)(colon[i] - '0');
    if (port > 65535) return "the port is above 65535";
    url->port = (uint16_t)port;
    return NULL;
}

/* One URL of `size` bytes. NULL, or the complaint. */
static const char *parse_url(const char *text, size_t size, struct config_url *out_url)
{
    static const struct {
        const char *name;
        bool is_unix, is_tls;
    } schemes[] = {{"http://", false, false}, {"https://", false, true}, {"unix://", true, false}, {"unixs://", true, true}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t length = strlen(schemes[i].name);
        if (size < length || memcmp(text, schemes[i].name, length) != 0) continue;
        *out_url = (struct config_url){.is_unix = schemes[i].is_unix, .is_tls = schemes[i].is_tls};
        text += length;
        size -= length;
        if (!out_url->is_unix) return parse_address(text, size, out_url);
        if (size == 0) return "the path of the unix socket is missing";
        if (size >= sizeof(((struct sockaddr_un *)0)->sun_path)) return "the path of the unix socket is too long";
        memcpy(out_url->host, text, size);
        return NULL;
    }
    return "URL scheme must be http, https, unix, or unixs";
}

int config_parse_urls(const char *urls, struct config_url *out_urls, int max, char *out_message, size_t message_size)
{
    ASSERT(urls != NULL && out_urls != NULL && max > 0);
    int count = 0;
    for (const char *at = urls; *at != '\0';) {
        size_t size = strcspn(at, ",");
        const char *next = at + size + (at[size] == ',');
        while (size > 0 && *at == ' ') at++, size--;
        while (size > 0 && at[size - 1] == ' ') size--;
        const char *complaint = count == max ? "too many URLs" : parse_url(at, size, &out_urls[count]);
        if (complaint != NULL) {
            snprintf(out_message, message_size, "%s: \"%.*s\"", complaint, (int)(size > 256 ? 256 : size), at);
            return -1;
        }
        count++;
        at = next;
    }
    if (count == 0) snprintf(out_message, message_size, "no valid URLs given");
    return count;
}
