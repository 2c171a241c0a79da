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
#define METRICS_BOUNDS_MAX 24

/* X(field, kind, name, help); the name "" is not shown: it is shown otherwise, or in another unit */
#define METRICS_LIST(X)                                                                                                                       \
    X(proposals_committed, GAUGE, "etcd_server_proposals_committed_total", "Entries committed and handed to the state machine.")             \
    X(proposals_applied, GAUGE, "etcd_server_proposals_applied_total", "Entries applied.")                                                   \
    X(proposals_pending, GAUGE, "etcd_server_proposals_pending", "Proposals of this member's clients that wait for an outcome.")             \
    X(proposals_failed, COUNTER, "etcd_server_proposals_failed_total", "Proposals of this member's clients that failed.")                    \
    X(leader_changes, COUNTER, "etcd_server_leader_changes_seen_total", "Leaders that this member has seen.")                                \
    X(heartbeats_late, COUNTER, "etcd_server_heartbeat_send_failures_total", "Heartbeats that left more than an interval late.")             \
    X(slow_applies, COUNTER, "etcd_server_slow_apply_total", "Entries that took more than 100 ms to apply.")                                 \
    X(slow_read_indexes, COUNTER, "etcd_server_slow_read_indexes_total", "Read indexes that had to be asked for again.")                     \
    X(read_indexes_failed, COUNTER, "etcd_server_read_indexes_failed_total", "Batches of reads that got no read index.")                     \
    X(snapshot_loading, GAUGE, "etcd_server_snapshot_apply_in_progress_total", "Whether a leader's snapshot is being loaded.")               \
    X(cluster_version, GAUGE, "", "")                                                                                                        \
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
    X(put_bytes, GAUGE, "etcd_debugging_mvcc_total_put_size_in_bytes", "Keys and values put since the start.")                               \
    X(compacted, COUNTER, "etcd_debugging_mvcc_db_compaction_keys_total", "Versions of keys that compactions freed.")                        \
    X(compacted_s, GAUGE, "etcd_debugging_mvcc_db_compaction_last", "When the last compaction was done, in seconds since the epoch; 0 = none yet.") \
    X(pins, GAUGE, "etcd_mvcc_db_open_read_transactions", "Readers that hold back a compaction's freeing.")                                  \
    X(store_live_keys, GAUGE, "etcd_debugging_mvcc_keys_total", "Keys there are.")                                                           \
    X(store_versions, GAUGE, "kvd_store_versions", "Versions of keys that the store holds, tombstones included.")                            \
    X(store_keys, GAUGE, "kvd_store_keys", "Keys that the store knows, deleted ones with history included.")                                 \
    X(store_bytes, GAUGE, "etcd_mvcc_db_total_size_in_bytes", "Bytes that the store's keys and history take.")                               \
    X(store_live_bytes, GAUGE, "etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes that live keys take: what the quota counts.")               \
    X(current_revision, GAUGE, "etcd_debugging_mvcc_current_revision", "The newest revision.")                                               \
    X(compact_revision, GAUGE, "etcd_debugging_mvcc_compact_revision", "What is below was compacted.")                                       \
    X(leases, GAUGE, "kvd_leases", "Leases there are.")                                                                                      \
    X(leases_granted, COUNTER, "etcd_debugging_lease_granted_total", "Leases granted.")                                                     \
    X(leases_revoked, COUNTER, "etcd_debugging_lease_revoked_total", "Leases that clients revoked.")                                        \
    X(leases_expired, COUNTER, "etcd_debugging_server_lease_expired_total", "Leases that went because their time was over.")                 \
    X(watch_streams, GAUGE, "etcd_debugging_mvcc_watch_stream_total", "Watch streams.")                                                      \
    X(watchers, GAUGE, "etcd_debugging_mvcc_watcher_total", "Watchers.")                                                                     \
    X(watchers_behind, GAUGE, "etcd_debugging_mvcc_slow_watcher_total", "Watchers that are behind the newest revision.")                     \
    X(watch_events, COUNTER, "etcd_debugging_mvcc_events_total", "Events sent to watchers.")                                                 \
    X(watch_events_pending, GAUGE, "etcd_debugging_mvcc_pending_events_total", "Events in messages that have not left yet.")                 \
    X(watch_send_failures, COUNTER, "", "")                                                                                                  \
    X(watch_receive_failures, COUNTER, "", "")                                                                                               \
    X(keep_alive_send_failures, COUNTER, "", "")                                                                                             \
    X(keep_alive_receive_failures, COUNTER, "", "")                                                                                          \
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

/* X(field, bounds, name, help) */
#define METRICS_HISTOGRAMS(X)                                                                                                                \
    X(wal_sync, FROM_1MS, "etcd_disk_wal_fsync_duration_seconds", "Syncs of the log.")                                                       \
    X(wal_write, FROM_1MS, "etcd_disk_wal_write_duration_seconds", "Writes of the log.")                                                     \
    X(commit, FROM_1MS, "etcd_disk_backend_commit_duration_seconds", "A batch of entries applied and published.")                            \
    X(snapshot_written, FROM_10MS, "etcd_disk_backend_snapshot_duration_seconds", "Snapshots of the state, written while work goes on.")     \
    X(snapshot_got, FROM_100MS, "etcd_snap_db_save_total_duration_seconds", "Snapshots of a leader, got, saved and loaded.")                 \
    X(snapshot_sync, FROM_1MS, "etcd_snap_fsync_duration_seconds", "Syncs of snapshots that are written.")                                   \
    X(got_sync, FROM_1MS, "etcd_snap_db_fsync_duration_seconds", "Syncs of snapshots that are got.")                                         \
    X(defrag, FROM_100MS_13, "etcd_disk_backend_defrag_duration_seconds", "Defragment calls: there is nothing to do for them.")              \
    X(hash, FROM_10MS_15, "etcd_mvcc_hash_duration_seconds", "Hash calls.")                                                                  \
    X(hash_rev, FROM_10MS_15, "etcd_mvcc_hash_rev_duration_seconds", "HashKV calls.")                                                        \
    X(compaction_pause, IN_MS, "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", "Steps of compactions between writes.")      \
    X(compaction_index_pause, IN_500US, "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",                                   \
      "The same steps between writes: they compact index and history together.")                                                            \
    X(compaction_total, IN_100MS, "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", "Compactions, until all is freed.")       \
    X(lease_ttl, IN_S, "etcd_debugging_lease_ttl_total", "TTLs of the leases granted, in seconds.")                                          \
    X(snapshot_saved, FROM_1MS, "etcd_debugging_snap_save_total_duration_seconds", "Snapshots of the state, until they have their name.")    \
    X(snapshot_encoded, FROM_1MS, "etcd_debugging_snap_save_marshalling_duration_seconds",                                                   \
      "The same, without the file's syncs and the pauses.")                                                                 \
    X(watch_events_sent, FROM_1MS, "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",                                    \
      "Messages with events: made and sent, until the stream takes another; of a run of them the mean.")                                                            \
    X(watch_event_sent, FROM_1MS, "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",                           \
      "The same, divided by the events of the message.")                                                                                    \
    X(watch_answer_sent, FROM_1MS, "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",                                  \
      "The same, of answers to requests and of cancellations.")                                                                             \
    X(watch_progress_sent, FROM_1MS, "etcd_debugging_server_watch_send_loop_progress_duration_seconds",                                      \
      "The same, of progress that is told.")

enum metrics_kind { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

/* Upper bounds of a histogram's buckets. */
enum metrics_bounds {
    METRICS_FROM_1MS,      /* × 2, 14 of them */
    METRICS_FROM_100US,    /* × 2, 16 */
    METRICS_FROM_100US_20, /* × 2, 20 */
    METRICS_FROM_10MS,     /* × 2, 17 */
    METRICS_FROM_10MS_15,  /* × 2, 15 */
    METRICS_FROM_100MS,    /* × 2, 10 */
    METRICS_FROM_100MS_13, /* × 2, 13 */
    METRICS_IN_MS,         /* 1 ms × 2, 13; told in ms */
    METRICS_IN_500US,      /* 0.5 ms × 2, 14; told in ms */
    METRICS_IN_100MS,      /* 100 ms × 2, 14; told in ms */
    METRICS_IN_S,          /* 1 s × 2, 24: whole seconds, which may be more than ns can count */
    METRICS_CALLS,         /* 5 ms to 10 s, 11, as the grpc_server_ metrics have it */
    METRICS_BOUNDS_COUNT,
};
struct metrics_histogram {
    atomic_uint_fast64_t counts[METRICS_BOUNDS_MAX + 1]; /* the last: above all bounds */
    atomic_uint_fast64_t sum_ns; /* METRICS_IN_S: seconds */
};
struct metrics_peer {
    atomic_uint_fast64_t id; /* 0 = none */
    atomic_uint_fast64_t sent_bytes, received_bytes, sent_failures, received_failures;
    atomic_uint_fast64_t is_active, disconnected;
    struct metrics_histogram round_trip; /* METRICS_FROM_100US */
    /* Snapshots, by the snap role. */
    atomic_uint_fast64_t snapshots_sent, snapshots_not_sent, snapshots_sending;
    atomic_uint_fast64_t snapshots_received, snapshots_not_received, snapshots_receiving;
    struct metrics_histogram snapshot_sent, snapshot_received; /* METRICS_FROM_100MS */
};

#define METRICS_FIELD(field, kind, name, help) atomic_uint_fast64_t field;
#define METRICS_HISTOGRAM_FIELD(field, bounds, name, help) struct metrics_histogram field;
struct metrics {
    METRICS_LIST(METRICS_FIELD)
    METRICS_HISTOGRAMS(METRICS_HISTOGRAM_FIELD)
    struct metrics_peer peers[METRICS_PEERS_MAX];     /* written by peer */
};
#undef METRICS_HISTOGRAM_FIELD
#undef METRICS_FIELD

#define METRIC_ADD(metrics, name, n) atomic_fetch_add_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_SET(metrics, name, n) atomic_store_explicit(&(metrics)->name, (n), memory_order_relaxed)
#define METRIC_GET(metrics, name) atomic_load_explicit(&(metrics)->name, memory_order_relaxed)

/* One thread at a time per histogram. `ns`: of METRICS_IN_S seconds. */
void metrics_observe(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns);
void metrics_observe_many(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns, uint64_t count); /* each of them */

/* A peer's; NULL: it has none. The ids are there before any role runs. */
struct metrics_peer *metrics_find_peer(struct metrics *metrics, uint64_t id);

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
