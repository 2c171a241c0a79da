/* metrics: counters, gauges and histograms of one node; written with relaxed atomics by the role that owns the event, read by
 * anybody. The text rendering (Prometheus) comes with the HTTP front. Owner: the node. Thread: any. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H
#include <stdatomic.h>
#include <stdint.h>

/* X(name) counters and gauges that roles bump */
#define METRICS_LIST(X)                                                                                                \
    X(proposals_committed) X(proposals_applied) X(proposals_pending) X(proposals_failed) X(leader_changes)              \
    X(wal_syncs) X(wal_bytes) X(wal_sync_ns_total) X(wal_sync_ns_max) X(peer_sent_bytes) X(peer_received_bytes)          \
    X(peer_sent_failures) X(peer_refused_handshakes) X(peer_refused_connections) X(peer_garbage_frames)                 \
    X(client_received_bytes) X(client_sent_bytes) X(client_refused_connections) X(calls_started) X(calls_answered)      \
    X(calls_refused)                                                                                                     \
    X(reads_linearizable) X(reads_serializable) X(read_rounds) X(views_published) X(bags_outstanding)                    \
    X(log_lines_dropped) X(lane_full) X(puts) X(deletes) X(ranges) X(txns)                                               \
    X(watch_streams) X(watchers) X(watchers_behind) X(watch_events) X(watch_frames) X(watchers_compacted)                \
    X(keep_alive_streams) X(keep_alives)                                                                                 \
    X(snapshots_taken) X(snapshots_failed) X(snapshot_bytes) X(snapshots_installed)                                      \
    /* where memory is: gauges, as of the owner's last step */                                                           \
    X(store_bytes) X(store_live_bytes) X(store_keys) X(store_live_keys) X(store_versions) X(raft_tail_bytes)             \
    X(request_bytes) X(reply_bytes) X(calls_in_flight) X(lane_bytes) X(watch_key_bytes)

#define METRICS_FIELD(name) atomic_uint_fast64_t name;
struct metrics {
    METRICS_LIST(METRICS_FIELD)
};
#undef METRICS_FIELD

#define METRIC_ADD(metrics, name, n) atomic_fetch_add_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_SET(metrics, name, n) atomic_store_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_GET(metrics, name) atomic_load_explicit(&(metrics)->name, memory_order_relaxed)

#endif
