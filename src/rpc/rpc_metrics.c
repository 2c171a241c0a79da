/* rpc_metrics: see rpc_metrics.h. */
#include "rpc/rpc_metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define LABELS_MAX 192

static const char *const CODE_NAMES[RPC_METRICS_CODES] = {
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
    "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"};

static struct rpc_metrics_method *of(struct rpc_metrics *metrics, const struct rpc_method *method)
{
    size_t count;
    size_t at = (size_t)(method - rpc_method_table(&count));
    ASSERT(at < count && count <= RPC_METRICS_METHODS_MAX);
    return &metrics->methods[at];
}

static size_t find_client(const struct rpc_metrics_clients *clients, size_t count, const char *version)
{
    size_t at = 0;
    while (at < count && strcmp(clients->of[at].version, version) != 0) at++;
    return at;
}

/* The last place is everybody's who comes when the others are taken. */
static void count_client(struct rpc_metrics_clients *clients, const char *version, bool is_stream)
{
    size_t count = METRIC_GET(clients, count), at = find_client(clients, count, version);
    ASSERT(strlen(version) < RPC_API_VERSION_BYTES);
    if (at == RPC_METRICS_CLIENTS_MAX) at--;
    if (at == count) {
        snprintf(clients->of[at].version, sizeof(clients->of[at].version), "%s", at == RPC_METRICS_CLIENTS_MAX - 1 ? "other" : version);
        atomic_store_explicit(&clients->count, count + 1, memory_order_release);
    }
    METRIC_ADD(&clients->of[at], calls[is_stream], 1);
}

void rpc_metrics_start(struct rpc_metrics *metrics, const struct rpc_method *method, const char *api_version)
{
    METRIC_ADD(of(metrics, method), started, 1);
    count_client(&metrics->clients[method->owner], api_version[0] == '\0' ? "unknown" : api_version, method->kind != RPC_UNARY);
}

void rpc_metrics_receive(struct rpc_metrics *metrics, const struct rpc_method *method) { METRIC_ADD(of(metrics, method), received, 1); }

void rpc_metrics_send(struct rpc_metrics *metrics, const struct rpc_method *method) { rpc_metrics_send_many(metrics, method, 1); }

void rpc_metrics_send_many(struct rpc_metrics *metrics, const struct rpc_method *method, uint64_t count)
{
    METRIC_ADD(of(metrics, method), sent, count);
}

void rpc_metrics_end(struct rpc_metrics *metrics, const struct rpc_method *method, enum err err, uint64_t took_ns)
{
    METRIC_ADD(of(metrics, method), handled[err_grpc_code(err)], 1);
    metrics_observe(&of(metrics, method)->seconds, METRICS_CALLS, took_ns);
    if (method->kind == RPC_UNARY) metrics_observe(&of(metrics, method)->requests[err == ERR_OK], METRICS_FROM_1MS, took_ns);
}

uint64_t rpc_metrics_started(const struct rpc_metrics *metrics, enum rpc_method_id id)
{
    size_t count;
    uint64_t started = 0;
    const struct rpc_method *table = rpc_method_table(&count);
    for (size_t i = 0; i < count; i++)
        if (table[i].id == id) started += METRIC_GET(&metrics->methods[i], started);
    return started;
}

/* grpc_type, grpc_service and grpc_method of "/etcdserverpb.KV/Put". */
static void format_labels(const struct rpc_method *method, char out_labels[LABELS_MAX])
{
    static const char *const types[] = {[RPC_UNARY] = "unary", [RPC_SERVER_STREAM] = "server_stream", [RPC_BIDI] = "bidi_stream"};
    const char *slash = strrchr(method->path, '/');
    ASSERT(slash != NULL && slash > method->path);
    int size = snprintf(out_labels, LABELS_MAX, "grpc_method=\"%s\",grpc_service=\"%.*s\",grpc_type=\"%s\"", slash + 1,
                        (int)(slash - method->path - 1), method->path + 1, types[method->kind]);
    ASSERT(size > 0 && size < LABELS_MAX);
}

static void put_counter(struct buf *out, const struct rpc_metrics *metrics, const char *name, const char *help, size_t offset)
{
    size_t count;
    char labels[LABELS_MAX];
    const struct rpc_method *table = rpc_method_table(&count);
    metrics_put_family(out, METRICS_COUNTER, name, help);
    for (size_t i = 0; i < count; i++) {
        const atomic_uint_fast64_t *value = (const void *)((const char *)&metrics->methods[i] + offset);
        format_labels(&table[i], labels);
        metrics_put_u64(out, name, labels, atomic_load_explicit(value, memory_order_relaxed));
    }
}

static void put_handled(struct buf *out, const struct rpc_metrics *metrics)
{
    static const char name[] = "grpc_server_handled_total";
    size_t count;
    char labels[LABELS_MAX], with_code[LABELS_MAX + 40];
    const struct rpc_method *table = rpc_method_table(&count);
    metrics_put_family(out, METRICS_COUNTER, name, "RPCs completed on the server, by code.");
    for (size_t i = 0; i < count; i++) {
        format_labels(&table[i], labels);
        for (size_t code = 0; code < RPC_METRICS_CODES; code++) {
            snprintf(with_code, sizeof(with_code), "grpc_code=\"%s\",%s", CODE_NAMES[code], labels);
            metrics_put_u64(out, name, with_code, METRIC_GET(&metrics->methods[i], handled[code]));
        }
    }
}

static void put_seconds(struct buf *out, const struct rpc_metrics *metrics)
{
    static const char name[] = "grpc_server_handling_seconds";
    size_t count;
    char labels[LABELS_MAX];
    const struct rpc_method *table = rpc_method_table(&count);
    metrics_put_family(out, METRICS_HISTOGRAM, name, "Time from a call's arrival to its answer.");
    for (size_t i = 0; i < count; i++) {
        if (METRIC_GET(&metrics->methods[i], started) == 0) continue; /* etcd shows none of them by default */
        format_labels(&table[i], labels);
        metrics_put_histogram(out, name, labels, &metrics->methods[i].seconds, METRICS_CALLS);
    }
}

/* etcd's own name for the same, in other buckets. */
static void put_requests(struct buf *out, const struct rpc_metrics *metrics)
{
    static const char name[] = "etcd_server_request_duration_seconds";
    size_t count;
    char labels[LABELS_MAX];
    const struct rpc_method *table = rpc_method_table(&count);
    metrics_put_family(out, METRICS_HISTOGRAM, name, "Calls with one answer, by how they went.");
    for (size_t i = 0; i < count; i++) {
        if (table[i].kind != RPC_UNARY || METRIC_GET(&metrics->methods[i], started) == 0) continue;
        for (size_t good = 0; good < 2; good++) {
            snprintf(labels, sizeof(labels), "success=\"%s\",type=\"%s\"", good ? "true" : "false", strrchr(table[i].path, '/') + 1);
            metrics_put_histogram(out, name, labels, &metrics->methods[i].requests[good], METRICS_FROM_1MS);
        }
    }
}

/* Both owners may have met a version: the first of them tells for both. */
static void put_clients(struct buf *out, const struct rpc_metrics *metrics)
{
    static const char name[] = "etcd_server_client_requests_total";
    size_t counts[RPC_OWNERS];
    metrics_put_family(out, METRICS_COUNTER, name, "Calls, by the version that their clients tell of themselves.");
    for (size_t i = 0; i < RPC_OWNERS; i++) counts[i] = atomic_load_explicit(&metrics->clients[i].count, memory_order_acquire);
    for (size_t n = 0; n < counts[0] + counts[1]; n++) {
        const struct rpc_metrics_clients *mine = &metrics->clients[n >= counts[0]], *others = &metrics->clients[n < counts[0]];
        size_t at = n < counts[0] ? n : n - counts[0];
        size_t there = find_client(others, counts[n < counts[0]], mine->of[at].version);
        bool is_there = there < counts[n < counts[0]];
        if (is_there && n >= counts[0]) continue;
        for (size_t is_stream = 0; is_stream < 2; is_stream++) {
            char labels[LABELS_MAX];
            uint64_t calls = METRIC_GET(&mine->of[at], calls[is_stream]) + (is_there ? METRIC_GET(&others->of[there], calls[is_stream]) : 0);
            snprintf(labels, sizeof(labels), "client_api_version=\"%s\",type=\"%s\"", mine->of[at].version, is_stream ? "stream" : "unary");
            if (calls > 0) metrics_put_u64(out, name, labels, calls);
        }
    }
}

void rpc_metrics_put(struct buf *out, const struct rpc_metrics *metrics)
{
    put_clients(out, metrics);
    put_counter(out, metrics, "grpc_server_started_total", "RPCs started on the server.", offsetof(struct rpc_metrics_method, started));
    put_handled(out, metrics);
    put_counter(out, metrics, "grpc_server_msg_received_total", "RPC messages received on the server.",
                offsetof(struct rpc_metrics_method, received));
    put_counter(out, metrics, "grpc_server_msg_sent_total", "RPC messages sent by the server.", offsetof(struct rpc_metrics_method, sent));
    put_seconds(out, metrics);
    put_requests(out, metrics);
}
