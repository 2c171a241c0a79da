/* metrics: counters, gauges and histograms of one node; written with relaxed atomics by the role that owns the event, read by
 * anybody; and their text, as Prometheus takes it (exposition format 0.0.4).
 *
 * Names, kinds and buckets are etcd's where etcd has the thing: alerts and dashboards select them. What it has not begins with kvd_.
 * Owner: the node. Thread: any. Source: process §4.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"

#define METRICS_PEERS_MAX 32
#define METRICS_BOUNDS_MAX 16

/* X(field, kind, name, help); the name "" is not shown: it is shown otherwise, or in another unit */
#define METRICS_LIST(X)                                                                                                                       \
    X(proposals_committed, GAUGE, "etcd_server_proposals_committed_total", "Entries committed and handed to the state machine.")             \
    X(proposals_applied, GAUGE, "etcd_server_proposals_applied_total", "Entries applied.")                                                   \
    X(proposals_pending, GAUGE, "etcd_server_proposals_pending", "Proposals of this member's clients that wait for an outcome.")             \
    X(proposals_failed, COUNTER, "etcd_server_proposals_failed_total", "Proposals of this member's clients that failed.")                    \
    X(leader_changes, COUNTER, "etcd_server_leader_changes_seen_total", "Leaders that this member has seen.")                                \
    X(alarms_no_space, GAUGE, "", "")                                                                                                        \
    X(alarms_corrupt, GAUGE, "", "")                                                                                                         \
    X(wal_syncs, COUNTER, "kvd_wal_syncs_total", "Syncs of the log.")                                                                        \
    X(wal_bytes, GAUGE, "etcd_disk_wal_write_bytes_total", "Bytes written to the log.")                                                      \
    X(wal_disk_bytes, GAUGE, "kvd_wal_disk_bytes", "Disk of the log's files, the prepared one included.")                                    \
    X(wal_sync_ns_max, GAUGE, "", "")                                                                                                        \
    X(peer_refused_handshakes, COUNTER, "kvd_peer_refused_handshakes_total", "Handshakes of peers refused.")                                 \
    X(peer_refused_connections, COUNTER, "kvd_peer_refused_connections_total", "Connections to the peer port closed for want of descriptors.") \
    X(peer_garbage_frames, COUNTER, "kvd_peer_garbage_frames_total", "Frames of peers that could not be read.")                              \
    X(client_received_bytes, COUNTER, "etcd_network_client_grpc_received_bytes_total", "Bytes of requests of gRPC clients.")                 \
    X(client_sent_bytes, COUNTER, "etcd_network_client_grpc_sent_bytes_total", "Bytes of answers to gRPC clients.")                          \
    X(client_refused_connections, COUNTER, "kvd_client_refused_connections_total", "Client connections closed for want of descriptors.")     \
    X(calls_started, COUNTER, "kvd_calls_started_total", "Calls that came in.")                                                              \
    X(calls_answered, COUNTER, "kvd_calls_answered_total", "Calls that were answered.")                                                      \
    X(calls_refused, COUNTER, "kvd_calls_refused_total", "Calls refused at the door.")                                                       \
    X(calls_in_flight, GAUGE, "kvd_calls_in_flight", "Calls that wait for their answer.")                                                    \
    X(reads_linearizable, COUNTER, "kvd_reads_linearizable_total", "Reads that went through a read-index round.")                            \
    X(reads_serializable, COUNTER, "kvd_reads_serializable_total", "Reads of the member's own view.")                                        \
    X(bags_outstanding, GAUGE, "kvd_store_bags_outstanding", "Bags of retired nodes that wait for readers to pass.")                         \
    X(views_published, COUNTER, "kvd_store_views_published_total", "Views of the store that were published.")                                \
    X(lane_full, COUNTER, "kvd_lane_full_total", "Mails between roles that found their lane full.")                                          \
    X(puts, COUNTER, "", "")                                                                                                                 \
    X(deletes, COUNTER, "", "")                                                                                                              \
    X(store_live_keys, GAUGE, "etcd_debugging_mvcc_keys_total", "Keys there are.")                                                           \
    X(store_versions, GAUGE, "kvd_store_versions", "Versions of keys that the store holds, tombstones included.")                            \
    X(store_keys, GAUGE, "kvd_store_keys", "Keys that the store knows, deleted ones with history included.")                                 \
    X(store_bytes, GAUGE, "etcd_mvcc_db_total_size_in_bytes", "Bytes that the store's keys and history take.")                               \
    X(store_live_bytes, GAUGE, "etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes that live keys take: what the quota counts.")               \
    X(current_revision, GAUGE, "etcd_debugging_mvcc_current_revision", "The newest revision.")                                               \
    X(compact_revision, GAUGE, "etcd_debugging_mvcc_compact_revision", "What is below was compacted.")                                       \
    X(leases, GAUGE, "kvd_leases", "Leases there are.")                                                                                      \
    X(watch_streams, GAUGE, "etcd_debugging_mvcc_watch_stream_total", "Watch streams.")                                                      \
    X(watchers, GAUGE, "etcd_debugging_mvcc_watcher_total", "Watchers.")                                                                     \
    X(watchers_behind, GAUGE, "etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind the newest revision.")                     \
    X(watch_events, COUNTER, "etcd_debugging_mvcc_events_total", "Events sent to watchers.")                                                 \
    X(watch_frames, COUNTER, "kvd_watch_frames_total", "Messages sent on watch streams.")                                                    \
    X(watchers_compacted, COUNTER, "kvd_watchers_compacted_total", "Watchers cancelled because what they need is compacted.")                \
    X(keep_alive_streams, GAUGE, "kvd_keep_alive_streams", "Streams that keep leases alive.")                                                \
    X(keep_alives, COUNTER, "etcd_debugging_lease_renewed_total", "Leases renewed for this member's clients.")                               \
    X(snapshots_taken, COUNTER, "kvd_snapshots_taken_total", "Snapshots written.")                                                           \
    X(snapshots_failed, COUNTER, "kvd_snapshots_failed_total", "Snapshots that could not be written.")                                       \
    X(snapshot_bytes, GAUGE, "kvd_snapshot_bytes", "Size of the newest snapshot.")                                                           \
    X(snapshots_installed, COUNTER, "kvd_snapshots_installed_total", "Snapshots of a leader that took this state's place.")          \
    X(raft_tail_bytes, GAUGE, "kvd_raft_tail_bytes", "Entries of the log in memory.")                                                        \
    X(request_bytes, GAUGE, "kvd_request_bytes", "Proposals of this member's clients in flight.")                                            \
    X(reply_bytes, GAUGE, "kvd_reply_bytes", "Large answers that are made or under way.")                                                    \
    X(lane_bytes, GAUGE, "kvd_lane_bytes", "The lanes between the roles, bursts aside.")                                                           \
    X(watch_key_bytes, GAUGE, "kvd_watch_key_bytes", "Keys and intervals that watchers wait for.")

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* Upper bounds of a histogram's buckets. */
enum metrics_bounds {
    METRICS_FROM_1MS,   /* × 2, 14 of them */
    METRICS_FROM_100US, /* × 2, 16 */
    METRICS_CALLS,      /* 5 ms to 10 s, 11, as the grpc_server_ metrics have it */
    METRICS_BOUNDS_COUNT,
};
struct metrics_histogram {
    atomic_uint_fast64_t counts[METRICS_BOUNDS_MAX + 1]; /* the last: above all bounds */
    atomic_uint_fast64_t sum_ns;
};
struct metrics_peer {
    atomic_uint_fast64_t id; /* 0 = none */
    atomic_uint_fast64_t sent_bytes, received_bytes, sent_failures, received_failures;
    atomic_uint_fast64_t is_active, disconnected;
    struct metrics_histogram round_trip; /* METRICS_FROM_100US */
};

#define METRICS_FIELD(field, kind, name, help) atomic_uint_fast64_t field;
struct metrics {
    METRICS_LIST(METRICS_FIELD)
    struct metrics_histogram wal_sync;                /* METRICS_FROM_1MS */
    struct metrics_histogram commit;                  /* METRICS_FROM_1MS: a batch applied and published */
    struct metrics_peer peers[METRICS_PEERS_MAX];     /* written by peer */
};
#undef METRICS_FIELD

#define METRIC_ADD(metrics, name, n) atomic_fetch_add_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_SET(metrics, name, n) atomic_store_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_GET(metrics, name) atomic_load_explicit(&(metrics)->name, memory_order_relaxed)

void metrics_observe(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns);

/* --- text: a family's head, then its series --- */

void metrics_put_family(struct buf *out, enum metrics_kind kind, const char *name, const char *help);
/* `labels`: as they stand between the braces, "" = none. */
void metrics_put_u64(struct buf *out, const char *name, const char *labels, uint64_t value);
void metrics_put_seconds(struct buf *out, const char *name, const char *labels, uint64_t ns);
void metrics_put_histogram(struct buf *out, const char *name, const char *labels, const struct metrics_histogram *histogram,
                           enum metrics_bounds bounds);
/* A family of one series without labels. */
void metrics_put_one(struct buf *out, enum metrics_kind kind, const char *name, const char *help, uint64_t value);
/* All of struct metrics. `self`: this member. */
void metrics_put_all(struct buf *out, const struct metrics *metrics, uint64_t self);
/* The counters and gauges as members of a JSON object: "proposals_committed":12,… */
void metrics_put_json(struct buf *out, const struct metrics *metrics);

#endif
