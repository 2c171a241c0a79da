/* config: defaults, checks, derived limits. */
#include "pipeline/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define MIB (UINT64_C(1) << 20)

void config_init(struct config *config)
{
    *config = (struct config){
        .name = "default",
        .data_dir = "",
        .wal_dir = "",
        .listen_client_urls = "http://localhost:2379",
        .advertise_client_urls = "http://localhost:2379",
        .listen_peer_urls = "http://localhost:2380",
        .initial_advertise_peer_urls = "http://localhost:2380",
        .initial_cluster = "",
        .initial_cluster_state = "new",
        .initial_cluster_token = "etcd-cluster",
        .heartbeat_ms = 100,
        .election_timeout_ms = 1000,
        .snapshot_count = 10000,
        .max_request_bytes = 1572864,
        .max_txn_ops = 128,
        .max_concurrent_streams = UINT32_MAX,
        .pre_vote = true,
        .auto_compaction_mode = "periodic",
        .auto_compaction_retention = "0",
        .keepalive_min_time_ns = 5 * NS_PER_S,
        .keepalive_interval_ns = 7200 * NS_PER_S,
        .keepalive_timeout_ns = 20 * NS_PER_S,
        .wal_segment_bytes = 16 * MIB,
    };
}

static bool complain(char *out_message, size_t size, const char *text)
{
    snprintf(out_message, size, "%s", text);
    return false;
}

static bool check_timing(const struct config *config, char *out_message, size_t size)
{
    if (config->heartbeat_ms == 0) return complain(out_message, size, "--heartbeat-interval must be > 0");
    if (config->election_timeout_ms < 5 * config->heartbeat_ms) {
        return complain(out_message, size, "--election-timeout should be at least 5 times as long as --heartbeat-interval");
    }
    if (config->election_timeout_ms > 50000) return complain(out_message, size, "--election-timeout should be less than 50000ms");
    return true;
}

static bool check_words(const struct config *config, char *out_message, size_t size)
{
    if (strcmp(config->initial_cluster_state, "new") != 0 && strcmp(config->initial_cluster_state, "existing") != 0) {
        return complain(out_message, size, "--initial-cluster-state must be \"new\" or \"existing\"");
    }
    if (config->name[0] == '\0') return complain(out_message, size, "--name must not be empty");
    if (config->max_request_bytes < 1024 || config->max_request_bytes > 512 * MIB) {
        return complain(out_message, size, "--max-request-bytes must be between 1024 and 536870912");
    }
    if (config->max_txn_ops == 0 || config->max_txn_ops > 65536) {
        return complain(out_message, size, "--max-txn-ops must be between 1 and 65536");
    }
    if (config->max_concurrent_streams == 0) return complain(out_message, size, "--max-concurrent-streams must be > 0");
    if (config->wal_segment_bytes < 64 << 10 || config->wal_segment_bytes % 4096 != 0) {
        return complain(out_message, size, "--wal-segment-bytes must be a multiple of 4096 and at least 65536");
    }
    return true;
}

static void derive(struct config *config)
{
    snprintf(config->data_dir_path, sizeof(config->data_dir_path), "%s%s",
             config->data_dir[0] != '\0' ? config->data_dir : config->name, config->data_dir[0] != '\0' ? "" : ".etcd");
    config->calls_max = 16384;
    config->lane_calls = 32768;
    config->lane_peer = 4096;
    config->request_timeout_ns = 5 * NS_PER_S + 2 * config->election_timeout_ms * NS_PER_MS;
    config->tail_bytes_max = 16 * MIB + 2 * (size_t)config->max_request_bytes;
    config->uncommitted_bytes_max = config->tail_bytes_max;
    config->apply_bytes_max = 4 * MIB;
    config->message_bytes_max = 1 * MIB;
    config->inflight_bytes_max = 8 * MIB;
    config->inflight_messages_max = 256;
    config->reply_bytes_max = 256 * MIB;
    config->quota_bytes = config->quota_backend_bytes < 0    ? 0
                          : config->quota_backend_bytes == 0 ? 2048 * MIB
                                                             : (uint64_t)config->quota_backend_bytes;
    /* Each call in flight may stand once in a lane: REPLY, FAIL, APPEND. */
    ASSERT(config->lane_calls >= 2 * config->calls_max);
    ASSERT(config->inflight_bytes_max >= config->message_bytes_max);
}

bool config_check(struct config *config, char *out_message, size_t message_size)
{
    if (!check_timing(config, out_message, message_size)) return false;
    if (!check_words(config, out_message, message_size)) return false;
    struct config_url urls[16];
    if (config_parse_urls(config->listen_client_urls, urls, 16, out_message, message_size) < 1) return false;
    if (config_parse_urls(config->listen_peer_urls, urls, 16, out_message, message_size) < 1) return false;
    if (config_parse_urls(config->advertise_client_urls, urls, 16, out_message, message_size) < 1) return false;
    if (config_parse_urls(config->initial_advertise_peer_urls, urls, 16, out_message, message_size) < 1) return false;
    derive(config);
    return true;
}

/* One "http://host:port" or "unix://path" of `size` bytes. */
static bool parse_url(const char *text, size_t size, struct config_url *out_url)
{
    char url[512];
    if (size >= sizeof(url)) return false;
    memcpy(url, text, size);
    url[size] = '\0';
    *out_url = (struct config_url){.is_unix = strncmp(url, "unix://", 7) == 0};
    if (out_url->is_unix) {
        snprintf(out_url->host, sizeof(out_url->host), "%.255s", url + 7);
        return url[7] != '\0';
    }
    if (strncmp(url, "http://", 7) != 0) return false;
    char *host = url + 7;
    char *colon = strrchr(host, ':');
    if (colon == NULL || colon == host) return false;
    *colon = '\0';
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || (*end != '\0' && strcmp(end, "/") != 0) || port > 65535) return false;
    size_t length = strlen(host);
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        host++;
    }
    snprintf(out_url->host, sizeof(out_url->host), "%.255s", host);
    out_url->port = (uint16_t)port;
    return true;
}

int config_parse_urls(const char *urls, struct config_url *out_urls, int max, char *out_message, size_t message_size)
{
    int count = 0;
    for (const char *at = urls; at != NULL && *at != '\0';) {
        const char *comma = strchr(at, ',');
        size_t size = comma == NULL ? strlen(at) : (size_t)(comma - at);
        if (count == max || !parse_url(at, size, &out_urls[count])) {
            snprintf(out_message, message_size, "\"%.*s\" is not a URL like http://host:port or unix://path", (int)size, at);
            return -1;
        }
        count++;
        at = comma == NULL ? NULL : comma + 1;
    }
    if (count == 0) snprintf(out_message, message_size, "a URL list is empty");
    return count;
}
