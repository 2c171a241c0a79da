/* metrics: see metrics.h. */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"

#define LABELS_MAX 256

static const char *const KIND_NAMES[] = {"counter", "gauge", "histogram"};

struct bounds {
    uint32_t count;
    uint64_t ns[METRICS_BOUNDS_MAX];
};
#define MS NS_PER_MS
static const struct bounds BOUNDS[METRICS_BOUNDS_COUNT] = {
    [METRICS_FROM_1MS] = {14, {MS, 2 * MS, 4 * MS, 8 * MS, 16 * MS, 32 * MS, 64 * MS, 128 * MS, 256 * MS, 512 * MS, 1024 * MS, 2048 * MS, 4096 * MS,
                               8192 * MS}},
    [METRICS_FROM_100US] = {16, {MS / 10, MS / 5, 2 * MS / 5, 4 * MS / 5, 8 * MS / 5, 16 * MS / 5, 32 * MS / 5, 64 * MS / 5, 128 * MS / 5, 256 * MS / 5,
                                 512 * MS / 5, 1024 * MS / 5, 2048 * MS / 5, 4096 * MS / 5, 8192 * MS / 5, 16384 * MS / 5}},
    [METRICS_CALLS] = {11, {5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS}},
};

struct field {
    const char *field, *name, *help;
    enum metrics_kind kind;
    size_t offset;
};
#define FIELD_ROW(field, kind, name, help) {#field, name, help, METRICS_##kind, offsetof(struct metrics, field)},
static const struct field FIELDS[] = {METRICS_LIST(FIELD_ROW)};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

static uint64_t value_of(const struct metrics *metrics, const struct field *field)
{
    const atomic_uint_fast64_t *value = (const void *)((const char *)metrics + field->offset);
    return atomic_load_explicit(value, memory_order_relaxed);
}

void metrics_observe(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns)
{
    ASSERT(bounds < METRICS_BOUNDS_COUNT);
    const struct bounds *of = &BOUNDS[bounds];
    uint32_t at = 0;
    while (at < of->count && ns > of->ns[at]) at++;
    METRIC_ADD(histogram, counts[at], 1);
    METRIC_ADD(histogram, sum_ns, ns);
}

void metrics_put_family(struct buf *out, enum metrics_kind kind, const char *name, const char *help)
{
    ASSERT(name[0] != '\0' && help[0] != '\0');
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, KIND_NAMES[kind]);
}

static void put_name(struct buf *out, const char *name, const char *labels)
{
    buf_printf(out, labels[0] == '\0' ? "%s" : "%s{%s}", name, labels);
}

void metrics_put_u64(struct buf *out, const char *name, const char *labels, uint64_t value)
{
    put_name(out, name, labels);
    buf_printf(out, " %" PRIu64 "\n", value);
}

void metrics_put_seconds(struct buf *out, const char *name, const char *labels, uint64_t ns)
{
    put_name(out, name, labels);
    buf_printf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_S, ns % NS_PER_S);
}

/* "0.001", as Go prints it: alerts select buckets by the text. */
static void put_bucket(struct buf *out, const char *name, const char *labels, uint64_t bound_ns, uint64_t count)
{
    char with[LABELS_MAX], bound[32] = "+Inf";
    if (bound_ns != 0) snprintf(bound, sizeof(bound), "%.12g", (double)bound_ns / (double)NS_PER_S);
    int size = snprintf(with, sizeof(with), "%s%sle=\"%s\"", labels, labels[0] == '\0' ? "" : ",", bound);
    ASSERT(size > 0 && (size_t)size < sizeof(with));
    metrics_put_u64(out, name, with, count);
}

void metrics_put_histogram(struct buf *out, const char *name, const char *labels, const struct metrics_histogram *histogram,
                           enum metrics_bounds bounds)
{
    char part[96];
    const struct bounds *of = &BOUNDS[bounds];
    uint64_t count = 0;
    snprintf(part, sizeof(part), "%s_bucket", name);
    for (uint32_t i = 0; i <= of->count; i++) {
        count += METRIC_GET(histogram, counts[i]);
        put_bucket(out, part, labels, i == of->count ? 0 : of->ns[i], count);
    }
    snprintf(part, sizeof(part), "%s_sum", name);
    metrics_put_seconds(out, part, labels, METRIC_GET(histogram, sum_ns));
    snprintf(part, sizeof(part), "%s_count", name);
    metrics_put_u64(out, part, labels, count); /* not counted again: the buckets may have grown since */
}

void metrics_put_one(struct buf *out, enum metrics_kind kind, const char *name, const char *help, uint64_t value)
{
    metrics_put_family(out, kind, name, help);
    metrics_put_u64(out, name, "", value);
}

/* `label`: which end the peer is; NULL: both ends are named. */
static void format_peer(char labels[LABELS_MAX], const char *label, uint64_t self, uint64_t peer)
{
    if (label != NULL) snprintf(labels, LABELS_MAX, "%s=\"%" PRIx64 "\"", label, peer);
    else snprintf(labels, LABELS_MAX, "Local=\"%" PRIx64 "\",Remote=\"%" PRIx64 "\"", self, peer);
}

static void put_peers(struct buf *out, const struct metrics *metrics, uint64_t self)
{
    static const struct {
        const char *name, *label, *help;
        size_t offset;
    } counters[] = {
        {"etcd_network_peer_sent_bytes_total", "To", "Bytes sent to peers.", offsetof(struct metrics_peer, sent_bytes)},
        {"etcd_network_peer_received_bytes_total", "From", "Bytes received from peers.", offsetof(struct metrics_peer, received_bytes)},
        {"etcd_network_peer_sent_failures_total", "To", "Messages to peers that never left.", offsetof(struct metrics_peer, sent_failures)},
        {"etcd_network_peer_received_failures_total", "From", "Frames of peers that could not be read.",
         offsetof(struct metrics_peer, received_failures)},
        {"etcd_network_disconnected_peers_total", NULL, "Streams to peers that were lost.", offsetof(struct metrics_peer, disconnected)},
        {"etcd_network_active_peers", NULL, "Peers whose stream stands.", offsetof(struct metrics_peer, is_active)},
    };
    static const char round_trip[] = "etcd_network_peer_round_trip_time_seconds";
    char labels[LABELS_MAX];
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        enum metrics_kind kind = counters[i].offset == offsetof(struct metrics_peer, is_active) ? METRICS_GAUGE : METRICS_COUNTER;
        metrics_put_family(out, kind, counters[i].name, counters[i].help);
        for (size_t n = 0; n < METRICS_PEERS_MAX && METRIC_GET(&metrics->peers[n], id) != 0; n++) {
            const atomic_uint_fast64_t *value = (const void *)((const char *)&metrics->peers[n] + counters[i].offset);
            format_peer(labels, counters[i].label, self, METRIC_GET(&metrics->peers[n], id));
            metrics_put_u64(out, counters[i].name, labels, atomic_load_explicit(value, memory_order_relaxed));
        }
    }
    metrics_put_family(out, METRICS_HISTOGRAM, round_trip, "From a heartbeat to its answer.");
    for (size_t n = 0; n < METRICS_PEERS_MAX && METRIC_GET(&metrics->peers[n], id) != 0; n++) {
        format_peer(labels, "To", self, METRIC_GET(&metrics->peers[n], id));
        metrics_put_histogram(out, round_trip, labels, &metrics->peers[n].round_trip, METRICS_FROM_100US);
    }
}

void metrics_put_all(struct buf *out, const struct metrics *metrics, uint64_t self)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &FIELDS[i];
        if (field->name[0] != '\0') metrics_put_one(out, field->kind, field->name, field->help, value_of(metrics, field));
    }
    metrics_put_family(out, METRICS_HISTOGRAM, "etcd_disk_wal_fsync_duration_seconds", "Syncs of the log.");
    metrics_put_histogram(out, "etcd_disk_wal_fsync_duration_seconds", "", &metrics->wal_sync, METRICS_FROM_1MS);
    metrics_put_family(out, METRICS_HISTOGRAM, "etcd_disk_backend_commit_duration_seconds", "A batch of entries applied and published.");
    metrics_put_histogram(out, "etcd_disk_backend_commit_duration_seconds", "", &metrics->commit, METRICS_FROM_1MS);
    put_peers(out, metrics, self);
}

void metrics_put_json(struct buf *out, const struct metrics *metrics)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        buf_printf(out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", FIELDS[i].field, value_of(metrics, &FIELDS[i]));
}
