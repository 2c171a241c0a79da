/* door_metrics: see door_metrics.h. */
#include "pipeline/door_metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/process_stats.h"
#include "rpc/rpc_features.h"
#include "rpc/service.h"

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metrics_put_one(out, METRICS_GAUGE, name, help, value);
}

static void put_seconds(struct buf *out, enum metrics_kind kind, const char *name, const char *help, uint64_t ns)
{
    metrics_put_family(out, kind, name, help);
    metrics_put_seconds(out, name, "", ns);
}

static void put_label(struct buf *out, const char *name, const char *help, const char *labels)
{
    metrics_put_family(out, METRICS_GAUGE, name, help);
    metrics_put_u64(out, name, labels, 1);
}

static void put_process(struct buf *out)
{
    struct process_stats stats;
    process_stats_read(&stats);
    put_seconds(out, METRICS_COUNTER, "process_cpu_seconds_total", "Processor time, user and system.", stats.cpu_ns);
    put_seconds(out, METRICS_GAUGE, "process_start_time_seconds", "When the process began, since the epoch.", stats.start_ns);
    put_gauge(out, "process_resident_memory_bytes", "Memory that is there.", stats.resident_bytes);
    put_gauge(out, "process_virtual_memory_bytes", "Addresses that are mapped.", stats.virtual_bytes);
    put_gauge(out, "process_open_fds", "Descriptors that are open.", stats.descriptors);
    put_gauge(out, "process_max_fds", "Descriptors that may be open.", stats.descriptors_max);
    put_gauge(out, "os_fd_used", "Descriptors that are open.", stats.descriptors);
    put_gauge(out, "os_fd_limit", "Descriptors that may be open.", stats.descriptors_max);
    put_gauge(out, "kvd_heap_allocated_bytes", "The heap: handed out.", stats.heap_allocated_bytes);
    put_gauge(out, "kvd_heap_active_bytes", "The heap: pages that hold what is handed out.", stats.heap_active_bytes);
    put_gauge(out, "kvd_heap_resident_bytes", "The heap: those pages and what is kept for the next.", stats.heap_resident_bytes);
}

/* Not decided yet: a family without series. */
static void put_cluster_version(struct buf *out, uint64_t packed)
{
    char labels[64];
    metrics_put_family(out, METRICS_GAUGE, "etcd_cluster_version", "The version that the members agreed on.");
    snprintf(labels, sizeof(labels), "cluster_version=\"%" PRIu64 ".%" PRIu64 "\"", packed >> 32, packed >> 16 & UINT16_MAX);
    if (packed != 0) metrics_put_u64(out, "etcd_cluster_version", labels, 1);
}

/* As kvd.v1.Extra/Features names them. */
static void put_features(struct buf *out)
{
    static const char name[] = "etcd_server_feature_enabled";
    char labels[96];
    metrics_put_family(out, METRICS_GAUGE, name, "What this member offers beyond etcd's API; there are no feature gates.");
    for (uint32_t i = 0; i < RPC_FEATURE_COUNT; i++) {
        snprintf(labels, sizeof(labels), "name=\"%s\",stage=\"\"", rpc_feature_name((enum rpc_feature)i));
        metrics_put_u64(out, name, labels, 1);
    }
}

static void put_stream_failures(struct buf *out, const struct metrics *metrics)
{
    static const char name[] = "etcd_network_server_stream_failures_total";
    metrics_put_family(out, METRICS_COUNTER, name, "Streams that ended with a message that could not be sent, or made no sense.");
    metrics_put_u64(out, name, "API=\"watch\",Type=\"send\"", METRIC_GET(metrics, watch_send_failures));
    metrics_put_u64(out, name, "API=\"watch\",Type=\"receive\"", METRIC_GET(metrics, watch_receive_failures));
    metrics_put_u64(out, name, "API=\"lease-keepalive\",Type=\"send\"", METRIC_GET(metrics, keep_alive_send_failures));
    metrics_put_u64(out, name, "API=\"lease-keepalive\",Type=\"receive\"", METRIC_GET(metrics, keep_alive_receive_failures));
}

static void put_server(struct buf *out, const struct door_metrics *of)
{
    const struct shared *shared = of->shared;
    char labels[96];
    put_gauge(out, "etcd_server_has_leader", "Whether there is a leader.", SHARED_GET(shared, leader) != 0);
    put_gauge(out, "etcd_server_is_leader", "Whether this member leads.", SHARED_GET(shared, is_leader));
    put_gauge(out, "etcd_server_is_learner", "Whether this member is a learner.", SHARED_GET(shared, is_learner));
    put_gauge(out, "etcd_server_quota_backend_bytes", "Size that raises an alarm; 0 = none.", of->config->quota_bytes);
    put_gauge(out, "kvd_raft_term", "Raft's term.", SHARED_GET(shared, term));
    put_gauge(out, "kvd_raft_commit_index", "The last index that is committed.", SHARED_GET(shared, commit_index));
    put_gauge(out, "kvd_raft_applied_index", "The last index that is applied.", SHARED_GET(shared, applied_index));
    put_gauge(out, "kvd_disk_full", "Whether the log's disk takes no more.", SHARED_GET(shared, no_space));
    metrics_put_one(out, METRICS_COUNTER, "etcd_server_health_success", "Answers of /health that were good.", of->healthy);
    metrics_put_one(out, METRICS_COUNTER, "etcd_server_health_failures", "Answers of /health that were bad.", of->unhealthy);
    snprintf(labels, sizeof(labels), "server_id=\"%" PRIx64 "\"", of->self);
    put_label(out, "etcd_server_id", "This member.", labels);
    put_label(out, "etcd_server_version", "The level of the API.", "server_version=\"" SERVICE_API_VERSION "\"");
    put_label(out, "kvd_build_info", "This program.", "version=\"" KVD_VERSION "\"");
    put_cluster_version(out, METRIC_GET(&shared->metrics, cluster_version));
    put_features(out);
    put_gauge(out, "etcd_disk_defrag_inflight", "Defragmentations under way: there is nothing to do for one.", 0);
    metrics_put_family(out, METRICS_GAUGE, "etcd_debugging_server_alarms", "Alarms there are.");
    snprintf(labels, sizeof(labels), "alarm_type=\"NOSPACE\",server_id=\"%" PRIx64 "\"", of->self);
    metrics_put_u64(out, "etcd_debugging_server_alarms", labels, METRIC_GET(&shared->metrics, alarms_no_space));
    snprintf(labels, sizeof(labels), "alarm_type=\"CORRUPT\",server_id=\"%" PRIx64 "\"", of->self);
    metrics_put_u64(out, "etcd_debugging_server_alarms", labels, METRIC_GET(&shared->metrics, alarms_corrupt));
    put_seconds(out, METRICS_GAUGE, "kvd_wal_sync_max_seconds", "The slowest sync of the log.", METRIC_GET(&shared->metrics, wal_sync_ns_max));
}

/* etcd counts operations by the same two names. */
static void put_operations(struct buf *out, const struct shared *shared)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"put_total", "Keys put.", METRIC_GET(&shared->metrics, puts)},
        {"delete_total", "Keys deleted.", METRIC_GET(&shared->metrics, deletes)},
        {"range_total", "Range calls.", rpc_metrics_started(&shared->rpc, RPC_KV_RANGE)},
        {"txn_total", "Txn calls.", rpc_metrics_started(&shared->rpc, RPC_KV_TXN)},
    };
    static const char *const prefixes[] = {"etcd_mvcc_", "etcd_debugging_mvcc_"};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        for (size_t n = 0; n < 2; n++) {
            char name[64];
            snprintf(name, sizeof(name), "%s%s", prefixes[n], counters[i].name);
            metrics_put_one(out, METRICS_COUNTER, name, counters[i].help, counters[i].value);
        }
    }
}

void door_metrics_put(struct buf *out, const struct door_metrics *of)
{
    put_server(out, of);
    metrics_put_all(out, &of->shared->metrics, of->self);
    put_operations(out, of->shared);
    put_stream_failures(out, &of->shared->metrics);
    op_metrics_put(out, &of->shared->ops);
    rpc_metrics_put(out, &of->shared->rpc);
    put_process(out);
}

void door_metrics_put_vars(struct buf *out, const struct shared *shared, uint64_t self)
{
    struct process_stats stats;
    process_stats_read(&stats);
    buf_printf(out, "{\"file_descriptor_limit\":%" PRIu64 ",\"raft.status\":{\"id\":\"%" PRIx64 "\",\"term\":%" PRIu64
                    ",\"lead\":\"%" PRIx64 "\",\"commit\":%" PRIu64 ",\"applied\":%" PRIu64 ",\"raftState\":\"%s\"},",
               stats.descriptors_max, self, (uint64_t)SHARED_GET(shared, term), (uint64_t)SHARED_GET(shared, leader),
               (uint64_t)SHARED_GET(shared, commit_index), (uint64_t)SHARED_GET(shared, applied_index),
               SHARED_GET(shared, is_leader) ? "StateLeader" : "StateFollower");
    buf_printf(out, "\"memory\":{\"resident\":%" PRIu64 ",\"heap_allocated\":%" PRIu64 ",\"heap_active\":%" PRIu64
                    ",\"heap_resident\":%" PRIu64 "},\"kvd\":{",
               stats.resident_bytes, stats.heap_allocated_bytes, stats.heap_active_bytes, stats.heap_resident_bytes);
    metrics_put_json(out, &shared->metrics);
    buf_printf(out, "}}\n");
}
