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

/* The first and its doubles, or a list. */
struct bounds {
    uint32_t count;
    uint64_t first_ns;
    uint64_t unit_ns; /* that the text counts in */
    const uint64_t *list_ns;
};
#define MS NS_PER_MS
static const uint64_t CALLS_NS[] = {5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS};
static const struct bounds BOUNDS[METRICS_BOUNDS_COUNT] = {
    [METRICS_FROM_1MS] = {14, MS, NS_PER_S, NULL},
    [METRICS_FROM_100US] = {16, MS / 10, NS_PER_S, NULL},
    [METRICS_FROM_100US_20] = {20, MS / 10, NS_PER_S, NULL},
    [METRICS_FROM_10MS] = {17, 10 * MS, NS_PER_S, NULL},
    [METRICS_FROM_10MS_15] = {15, 10 * MS, NS_PER_S, NULL},
    [METRICS_FROM_100MS] = {10, 100 * MS, NS_PER_S, NULL},
    [METRICS_FROM_100MS_13] = {13, 100 * MS, NS_PER_S, NULL},
    [METRICS_IN_MS] = {13, MS, MS, NULL},
    [METRICS_IN_500US] = {14, MS / 2, MS, NULL},
    [METRICS_IN_100MS] = {14, 100 * MS, MS, NULL},
    [METRICS_IN_S] = {24, 1, 1, NULL},
    [METRICS_CALLS] = {sizeof(CALLS_NS) / sizeof(CALLS_NS[0]), 0, NS_PER_S, CALLS_NS},
};

static uint64_t bound_ns(const struct bounds *bounds, uint32_t at)
{
    ASSERT(at < bounds->count && bounds->count <= METRICS_BOUNDS_MAX);
    return bounds->list_ns != NULL ? bounds->list_ns[at] : bounds->first_ns << at;
}

struct field {
    const char *field, *name, *help;
    enum metrics_kind kind;
    size_t offset;
};
#define FIELD_ROW(field, kind, name, help) {#field, name, help, METRICS_##kind, offsetof(struct metrics, field)},
static const struct field FIELDS[] = {METRICS_LIST(FIELD_ROW)};
#define FIELD_COUNT (sizeof(FIELDS) / sizeof(FIELDS[0]))

struct histogram {
    const char *name, *help;
    enum metrics_bounds bounds;
    size_t offset;
};
#define HISTOGRAM_ROW(field, bounds, name, help) {name, help, METRICS_##bounds, offsetof(struct metrics, field)},
static const struct histogram HISTOGRAMS[] = {METRICS_HISTOGRAMS(HISTOGRAM_ROW)};

static uint64_t value_of(const struct metrics *metrics, const struct field *field)
{
    const atomic_uint_fast64_t *value = (const void *)((const char *)metrics + field->offset);
    return atomic_load_explicit(value, memory_order_relaxed);
}

void metrics_observe(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns) { metrics_observe_many(histogram, bounds, ns, 1); }

void metrics_observe_many(struct metrics_histogram *histogram, enum metrics_bounds bounds, uint64_t ns, uint64_t count)
{
    ASSERT(bounds < METRICS_BOUNDS_COUNT);
    const struct bounds *of = &BOUNDS[bounds];
    uint32_t at = 0;
    while (at < of->count && ns > bound_ns(of, at)) at++;
    METRIC_SET(histogram, counts[at], METRIC_GET(histogram, counts[at]) + count);
    METRIC_SET(histogram, sum_ns, METRIC_GET(histogram, sum_ns) + ns * count);
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

static void put_units(struct buf *out, const char *name, const char *labels, uint64_t ns, uint64_t unit_ns)
{
    put_name(out, name, labels);
    if (unit_ns == NS_PER_S) buf_printf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / NS_PER_S, ns % NS_PER_S);
    else if (unit_ns == 1) buf_printf(out, " %" PRIu64 "\n", ns);
    else buf_printf(out, " %" PRIu64 ".%06" PRIu64 "\n", ns / NS_PER_MS, ns % NS_PER_MS);
}

void metrics_put_seconds(struct buf *out, const char *name, const char *labels, uint64_t ns) { put_units(out, name, labels, ns, NS_PER_S); }

/* "0.001", as Go prints it: alerts select buckets by the text. 0 = above all bounds. */
static void put_bucket(struct buf *out, const char *name, const char *labels, double bound, uint64_t count)
{
    char with[LABELS_MAX], text[32] = "+Inf";
    if (bound > 0) snprintf(text, sizeof(text), bound < 1e6 ? "%.12g" : "%.6e", bound);
    int size = snprintf(with, sizeof(with), "%s%sle=\"%s\"", labels, labels[0] == '\0' ? "" : ",", text);
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
        put_bucket(out, part, labels, i == of->count ? 0 : (double)bound_ns(of, i) / (double)of->unit_ns, count);
    }
    snprintf(part, sizeof(part), "%s_sum", name);
    put_units(out, part, labels, METRIC_GET(histogram, sum_ns), of->unit_ns);
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

struct metrics_peer *metrics_find_peer(struct metrics *metrics, uint64_t id)
{
    for (size_t i = 0; i < METRICS_PEERS_MAX && METRIC_GET(&metrics->peers[i], id) != 0; i++)
        if (METRIC_GET(&metrics->peers[i], id) == id) return &metrics->peers[i];
    return NULL;
}

static size_t count_peers(const struct metrics *metrics)
{
    size_t count = 0;
    while (count < METRICS_PEERS_MAX && METRIC_GET(&metrics->peers[count], id) != 0) count++;
    return count;
}

static const struct peer_counter {
    const char *name, *label, *help; /* the label: which end the peer is; NULL: both ends are named */
    enum metrics_kind kind;
    size_t offset;
} PEER_COUNTERS[] = {
#define PEER_ROW(field, kind, label, name, help) {name, label, help, METRICS_##kind, offsetof(struct metrics_peer, field)}
    PEER_ROW(sent_bytes, COUNTER, "To", "etcd_network_peer_sent_bytes_total", "Bytes sent to peers."),
    PEER_ROW(received_bytes, COUNTER, "From", "etcd_network_peer_received_bytes_total", "Bytes received from peers."),
    PEER_ROW(sent_failures, COUNTER, "To", "etcd_network_peer_sent_failures_total", "Messages to peers that never left."),
    PEER_ROW(received_failures, COUNTER, "From", "etcd_network_peer_received_failures_total", "Frames of peers that could not be read."),
    PEER_ROW(disconnected, COUNTER, NULL, "etcd_network_disconnected_peers_total", "Streams to peers that were lost."),
    PEER_ROW(is_active, GAUGE, NULL, "etcd_network_active_peers", "Peers whose stream stands."),
    PEER_ROW(snapshots_sent, COUNTER, "To", "etcd_network_snapshot_send_success", "Snapshots of which the last piece was sent."),
    PEER_ROW(snapshots_not_sent, COUNTER, "To", "etcd_network_snapshot_send_failures", "Snapshots that nobody asked for any more before the last piece."),
    PEER_ROW(snapshots_sending, GAUGE, "To", "etcd_network_snapshot_send_inflights_total", "Snapshots being sent."),
    PEER_ROW(snapshots_received, COUNTER, "From", "etcd_network_snapshot_receive_success", "Snapshots received, saved and loaded."),
    PEER_ROW(snapshots_not_received, COUNTER, "From", "etcd_network_snapshot_receive_failures", "Snapshots that were given up."),
    PEER_ROW(snapshots_receiving, GAUGE, "From", "etcd_network_snapshot_receive_inflights_total", "Snapshots being received."),
#undef PEER_ROW
};
static const struct peer_histogram {
    const char *name, *label, *help;
    enum metrics_bounds bounds;
    size_t offset;
} PEER_HISTOGRAMS[] = {
    {"etcd_network_peer_round_trip_time_seconds", "To", "From a heartbeat to its answer.", METRICS_FROM_100US, offsetof(struct metrics_peer, round_trip)},
    {"etcd_network_snapshot_send_total_duration_seconds", "To", "Snapshots, from the first piece to the last.", METRICS_FROM_100MS,
     offsetof(struct metrics_peer, snapshot_sent)},
    {"etcd_network_snapshot_receive_total_duration_seconds", "From", "Snapshots, from the offer until they are loaded.", METRICS_FROM_100MS,
     offsetof(struct metrics_peer, snapshot_received)},
};

static void put_peers(struct buf *out, const struct metrics *metrics, uint64_t self)
{
    static const char known[] = "etcd_network_known_peers";
    char labels[LABELS_MAX];
    size_t count = count_peers(metrics);
    for (size_t i = 0; i < sizeof(PEER_COUNTERS) / sizeof(PEER_COUNTERS[0]); i++) {
        const struct peer_counter *counter = &PEER_COUNTERS[i];
        metrics_put_family(out, counter->kind, counter->name, counter->help);
        for (size_t n = 0; n < count; n++) {
            const atomic_uint_fast64_t *value = (const void *)((const char *)&metrics->peers[n] + counter->offset);
            format_peer(labels, counter->label, self, METRIC_GET(&metrics->peers[n], id));
            metrics_put_u64(out, counter->name, labels, atomic_load_explicit(value, memory_order_relaxed));
        }
    }
    metrics_put_family(out, METRICS_GAUGE, known, "Peers that the configuration names.");
    for (size_t n = 0; n < count; n++) {
        format_peer(labels, NULL, self, METRIC_GET(&metrics->peers[n], id));
        metrics_put_u64(out, known, labels, 1);
    }
    for (size_t i = 0; i < sizeof(PEER_HISTOGRAMS) / sizeof(PEER_HISTOGRAMS[0]); i++) {
        const struct peer_histogram *histogram = &PEER_HISTOGRAMS[i];
        metrics_put_family(out, METRICS_HISTOGRAM, histogram->name, histogram->help);
        for (size_t n = 0; n < count; n++) {
            format_peer(labels, histogram->label, self, METRIC_GET(&metrics->peers[n], id));
            metrics_put_histogram(out, histogram->name, labels, (const void *)((const char *)&metrics->peers[n] + histogram->offset), histogram->bounds);
        }
    }
}

void metrics_put_all(struct buf *out, const struct metrics *metrics, uint64_t self)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &FIELDS[i];
        if (field->name[0] != '\0') metrics_put_one(out, field->kind, field->name, field->help, value_of(metrics, field));
    }
    for (size_t i = 0; i < sizeof(HISTOGRAMS) / sizeof(HISTOGRAMS[0]); i++) {
        const struct histogram *histogram = &HISTOGRAMS[i];
        metrics_put_family(out, METRICS_HISTOGRAM, histogram->name, histogram->help);
        metrics_put_histogram(out, histogram->name, "", (const void *)((const char *)metrics + histogram->offset), histogram->bounds);
    }
    put_peers(out, metrics, self);
}

void metrics_put_json(struct buf *out, const struct metrics *metrics)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        buf_printf(out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", FIELDS[i].field, value_of(metrics, &FIELDS[i]));
}
