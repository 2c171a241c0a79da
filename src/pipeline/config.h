/* config: every value that a node runs by, from flags, environment or a file, and the limits derived from them. Checked once at start;
 * afterwards immutable. Owner: the app; strings are borrowed from it. Thread: any after config_check. */
#ifndef PIPELINE_CONFIG_H
#define PIPELINE_CONFIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"

#define CONFIG_NET_EVENTS_MAX 64      /* gRPC events per step of net */
#define CONFIG_NET_MAILS_MAX 1024     /* mails per step of net */
#define CONFIG_PEERS_MAX 32
#define CONFIG_URLS_MAX 16              /* in one list */
#define CONFIG_REQUEST_BYTES_MAX (48u << 20) /* upper bound of --max-request-bytes */
#define CONFIG_CHUNK_BYTES (256u << 10) /* one step of a range */
#define CONFIG_STEP_NS 1000000u         /* a step of net, peer, raft, apply should stay below about this */

struct config {
    const char *name;
    const char *data_dir;                 /* "" = NAME.etcd */
    const char *wal_dir;                  /* "" = in the data directory, by its name there */
    const char *wal_subdir;               /* names in the data directory: storage/data_names.h */
    const char *snapshot_subdir;
    const char *raft_state_file;
    const char *listen_client_urls;
    const char *advertise_client_urls;
    const char *listen_peer_urls;
    const char *listen_metrics_urls;      /* "" = none */
    const char *cert_file, *key_file;     /* of https URLs for clients; "" = none */
    const char *trusted_ca_file;          /* whose certificates clients must show; "" = they need none */
    bool client_cert_auth;                /* says the same, and needs trusted_ca_file */
    const char *initial_advertise_peer_urls;
    const char *initial_cluster;
    const char *initial_cluster_state;
    const char *initial_cluster_token;
    uint64_t heartbeat_ms;
    uint64_t election_timeout_ms;
    uint64_t snapshot_count;
    uint64_t snapshot_catchup_entries;    /* of the log stay behind a snapshot, for followers that are slow */
    uint64_t max_snapshots;               /* files kept: 2 at least, 0 = all */
    uint64_t max_wals;                    /* released log segments kept for inspection; 0 = all */
    uint64_t snapshot_rate_bytes;         /* written per second; 0 = no limit */
    uint64_t max_request_bytes;
    uint64_t max_txn_ops;
    uint64_t max_concurrent_streams;
    int64_t quota_backend_bytes;          /* 0 = 2 GiB, negative = off */
    bool auto_disarm;                     /* the leader takes NOSPACE back when there is room again */
    bool pre_vote;
    bool unsafe_no_fsync;
    const char *auto_compaction_mode;
    const char *auto_compaction_retention;
    uint64_t keepalive_min_time_ns;
    uint64_t keepalive_interval_ns;
    uint64_t keepalive_timeout_ns;
    uint64_t lease_checkpoint_ns;         /* how long a lease lives without a renewal before a checkpoint says what is left */
    uint64_t watch_progress_ns;           /* between two progress notifications of a watcher */
    uint32_t watch_message_bytes_max;     /* a watch stream that would need a larger response for one revision ends */
    uint64_t wal_segment_bytes;
    uint64_t wal_segment_entries_max;

    /* Derived by config_check. */
    char data_dir_path[4096];
    uint32_t calls_max;                   /* client calls in flight */
    uint32_t waits_max;                   /* of them, calls of methods that wait for others (Lock, Campaign, Observe) */
    uint32_t lane_calls;                  /* slots of lanes bounded by calls in flight */
    uint32_t lane_peer;                   /* slots of lanes whose mail may be dropped */
    uint64_t request_timeout_ns;          /* 5 s + 2 election timeouts, as the API says */
    size_t tail_bytes_max;
    size_t uncommitted_bytes_max;
    size_t apply_bytes_max;
    size_t message_bytes_max;
    size_t inflight_bytes_max;
    uint32_t inflight_messages_max;
    uint32_t inflight_partial_max;        /* messages that are not full, unacknowledged per peer */
    uint32_t own_wait_entries_min;        /* with so many uncommitted a leader's own disk waits for the first acknowledgement */
    size_t reply_bytes_max;               /* large ranges being encoded at once */
    size_t gather_bytes_max;              /* what a range in another order than the keys' may hold */
    size_t chunk_bytes;                   /* one step of a range */
    uint64_t quota_bytes;                 /* 0 = off */
    uint32_t watch_streams_max;           /* a stream beyond is refused */
    uint32_t keep_alive_streams_max;      /* likewise */
    uint32_t watchers_max;                /* over all streams; a watcher beyond is refused */
    uint64_t watch_key_bytes_max;         /* of what all watchers watch */
    uint64_t watch_hold_bytes_max;        /* history that compaction leaves to watchers that are behind */
};

void config_init(struct config *config);  /* the defaults of the flags */
/* Checks every value and relation, but opens no file; fills the derived part. False: out_message says which flag and why. */
bool config_check(struct config *config, char *out_message, size_t message_size);
/* One complaint: about this flag, or about it among others. */
typedef void config_complaint_fn(void *context, const char *flag, const char *message);
/* As config_check, but tells all there is to complain of. */
bool config_check_all(struct config *config, config_complaint_fn *complain, void *context);

/* --initial-cluster, or what stands for it when it is not given: this member alone, by each URL that it advertises to others.
 * Appended to out_text. */
void config_initial_cluster(const struct config *config, struct buf *out_text);

/* A listen or advertise URL: http://host:port, https://…, unix://path, unixs://path. */
struct config_url {
    bool is_unix, is_tls;
    char host[256]; /* without brackets; or the path */
    uint16_t port;
};
/* Splits "url,url", blanks round each are ignored; the number, or -1 with a message. An empty list is 0, with a message. */
int config_parse_urls(const char *urls, struct config_url *out_urls, int max, char *out_message, size_t message_size);

#endif
