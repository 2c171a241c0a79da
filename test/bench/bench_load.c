/* bench_load: load for a cluster: a closed loop of N calls in flight over M connections, in one thread.
 *
 *   bench_load --endpoints 127.0.0.1:2379 --workload put --clients 1000 --conns 100 --seconds 10
 *   bench_load --endpoints a:2379,b:2379,c:2379 --workload get --clients 100 --total 100000 --server-pids 11,12,13 -w json
 *
 * Reports ops/s, latencies, errors, its own CPU time per operation and, with --server-pids, that of the servers (the run times of
 * all their threads, from /proc/PID/task/TID/schedstat, before and after). Works against anything that speaks the v3 API.
 * --raw FILE: of every call two little-endian 64-bit numbers, when it ended (CLOCK_MONOTONIC) and how long it took in ns; the latter is
 * 2^64-1 of a call that failed. SIGTERM ends the measured time early, with a report as else.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/flags.h"
#include "base/rng.h"
#include "lib/measure.h"
#include "rpc/rpc_client.h"

#define PATH_PUT "/etcdserverpb.KV/Put"
#define PATH_RANGE "/etcdserverpb.KV/Range"
#define VALUE_BYTES_MAX (1u << 20)
#define KEY_BYTES_MAX 1024

enum workload { WORKLOAD_PUT, WORKLOAD_GET, WORKLOAD_GET_SERIALIZABLE };
static const char *const WORKLOADS[] = {"put", "get", "get-serializable"};

struct settings {
    const char *endpoints, *workload_name, *server_pids, *write_out, *raw_path;
    uint64_t clients, conns, total, seconds, key_size, value_size, keys, timeout_ns, warmup_ns;
    bool no_fill, help;
};

struct load;
struct client {
    struct load *load;
    uint64_t start_ns;
};
struct load {
    struct settings settings;
    enum workload workload;
    struct rpc_client *rpc;
    struct client *clients;
    struct rng rng;
    struct buf request;
    uint8_t *value;
    bool is_filling;          /* one put for each key, in order */
    uint64_t fill_next;
    bool is_measured;
    bool is_ending;
    uint64_t started, errors;
    struct measure_latencies latencies; /* of what is done */
    FILE *raw;                /* NULL = not wanted */
    uint64_t unknown;
    char first_error[160];
};

/* --- requests ------------------------------------------------------------------------------------------------------------ */

static void put_key(struct load *load, uint64_t number)
{
    char key[KEY_BYTES_MAX + 32];
    int size = (int)load->settings.key_size;
    int length = snprintf(key, sizeof key, "%0*" PRIx64, size, number);
    ASSERT(length >= size);
    buf_put_pb_bytes(&load->request, 1, slice_make(key + (length - size), (size_t)size));
}

static volatile sig_atomic_t is_told_to_end; /* by SIGTERM */

static void tell_to_end(int signal_number)
{
    (void)signal_number;
    is_told_to_end = 1;
}

static void write_raw(struct load *load, uint64_t end_ns, uint64_t took_ns)
{
    const uint64_t record[2] = {end_ns, took_ns};
    if (fwrite(record, sizeof record, 1, load->raw) != 1) fatal("%s: cannot be written", load->settings.raw_path);
}

static void start_one(struct client *client);

static void on_done(void *context, const struct rpc_client_result *result)
{
    struct client *client = context;
    struct load *load = client->load;
    uint64_t end_ns = clock_mono_ns(), took_ns = end_ns - client->start_ns;
    if (result->code != ERR_CODE_OK) {
        load->errors++;
        if (load->first_error[0] == '\0')
            snprintf(load->first_error, sizeof load->first_error, "%d %.140s", (int)result->code, result->text);
    }
    load->unknown += result->is_unknown;
    if (load->is_measured) measure_add(&load->latencies, took_ns);
    if (load->is_measured && load->raw != NULL) write_raw(load, end_ns, result->code == ERR_CODE_OK ? took_ns : UINT64_MAX);
    start_one(client);
}

static void start_one(struct client *client)
{
    struct load *load = client->load;
    if (load->is_ending || (load->is_filling && load->fill_next == load->settings.keys)) return;
    if (load->is_measured && load->settings.total != 0 && load->started >= load->settings.total) return;
    bool is_put = load->is_filling || load->workload == WORKLOAD_PUT;
    uint64_t key = load->is_filling ? load->fill_next++ : rng_below(&load->rng, load->settings.keys);
    buf_clear(&load->request);
    put_key(load, key);
    if (is_put) buf_put_pb_bytes(&load->request, 2, slice_make(load->value, load->settings.value_size));
    if (!is_put && load->workload == WORKLOAD_GET_SERIALIZABLE) buf_put_pb_varint(&load->request, 7, 1);
    load->started++;
    client->start_ns = clock_mono_ns();
    struct rpc_client_request request = {.path = is_put ? PATH_PUT : PATH_RANGE,
                                         .body = buf_slice(&load->request),
                                         .policy = is_put ? RPC_CLIENT_WRITE : RPC_CLIENT_READ,
                                         .timeout_ns = load->settings.timeout_ns,
                                         .endpoint = RPC_CLIENT_ANY};
    rpc_client_start(load->rpc, &request, on_done, client);
}

/* --- phases -------------------------------------------------------------------------------------------------------------- */

static void start_all(struct load *load)
{
    ASSERT(rpc_client_in_flight(load->rpc) == 0);
    for (uint64_t i = 0; i < load->settings.clients; i++) start_one(&load->clients[i]);
}

static void pump_until(struct load *load, uint64_t until_ns)
{
    while (rpc_client_in_flight(load->rpc) > 0 && clock_mono_ns() < until_ns && !(load->is_measured && is_told_to_end))
        rpc_client_pump(load->rpc, until_ns);
}

static void fill(struct load *load)
{
    load->is_filling = true;
    start_all(load);
    pump_until(load, CLOCK_NEVER);
    load->is_filling = false;
    ASSERT(load->fill_next == load->settings.keys);
    if (load->errors > 0) fatal("filling the store failed: %s", load->first_error);
}

struct report {
    double seconds, ops_per_s, own_us, server_us;
};

static struct report measure(struct load *load)
{
    const struct settings *settings = &load->settings;
    start_all(load);
    pump_until(load, clock_mono_ns() + settings->warmup_ns);
    load->is_measured = true;
    load->started = rpc_client_in_flight(load->rpc);
    load->errors = 0;
    uint64_t start_ns = clock_mono_ns(), own_ns = measure_own_cpu_ns();
    uint64_t server_ns = measure_cpu_ns(settings->server_pids);
    pump_until(load, settings->seconds == 0 ? CLOCK_NEVER : start_ns + settings->seconds * NS_PER_S);
    server_ns = measure_cpu_ns(settings->server_pids) - server_ns;
    own_ns = measure_own_cpu_ns() - own_ns;
    double seconds = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S;
    load->is_measured = false;
    load->is_ending = true;
    pump_until(load, CLOCK_NEVER);
    double done = load->latencies.count == 0 ? 1 : (double)load->latencies.count;
    return (struct report){.seconds = seconds,
                           .ops_per_s = (double)load->latencies.count / seconds,
                           .own_us = (double)own_ns / (double)NS_PER_US / done,
                           .server_us = (double)server_ns / (double)NS_PER_US / done};
}

static void print_report(const struct load *load, const struct report *report)
{
    const struct settings *settings = &load->settings;
    const struct measure_latencies *took = &load->latencies;
    const double p50 = (double)measure_percentile_ns(took, 0.50) / 1e3, p90 = (double)measure_percentile_ns(took, 0.90) / 1e3;
    const double p99 = (double)measure_percentile_ns(took, 0.99) / 1e3, max = (double)took->max_ns / 1e3;
    if (strcmp(settings->write_out, "json") == 0) {
        printf("{\"workload\":\"%s\",\"clients\":%" PRIu64 ",\"conns\":%" PRIu64 ",\"ops\":%" PRIu64 ",\"seconds\":%.3f,"
               "\"ops_per_s\":%.0f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"errors\":%" PRIu64
               ",\"unknown\":%" PRIu64 ",\"client_cpu_us\":%.2f,\"server_cpu_us\":%.2f}\n",
               settings->workload_name, settings->clients, settings->conns, took->count, report->seconds, report->ops_per_s,
               p50, p90, p99, max, load->errors, load->unknown, report->own_us, report->server_us);
        return;
    }
    printf("%s, %" PRIu64 " clients, %" PRIu64 " connections: %" PRIu64 " ops in %.2f s\n", settings->workload_name,
           settings->clients, settings->conns, took->count, report->seconds);
    printf("  %.0f ops/s   p50 %.0f us   p90 %.0f us   p99 %.0f us   max %.0f us\n", report->ops_per_s, p50, p90, p99, max);
    printf("  CPU per op: client %.2f us", report->own_us);
    if (settings->server_pids[0] != '\0') printf(", servers %.2f us", report->server_us);
    printf("   errors %" PRIu64 " (fate unknown %" PRIu64 ")%s%s\n", load->errors, load->unknown,
           load->errors > 0 ? ", first: " : "", load->errors > 0 ? load->first_error : "");
}

/* --- start --------------------------------------------------------------------------------------------------------------- */

static bool parse(int argc, char **argv, struct settings *settings)
{
    *settings = (struct settings){.endpoints = "127.0.0.1:2379", .workload_name = "put", .server_pids = "", .raw_path = "",
                                  .write_out = "simple", .clients = 100, .conns = 10, .key_size = 8, .value_size = 256,
                                  .keys = 10000, .timeout_ns = 10 * NS_PER_S, .warmup_ns = 300 * NS_PER_MS};
    struct flag flags[] = {
        {"endpoints", 0, FLAG_STRING, &settings->endpoints, "<list>", "host:port, separated by commas", "Load", false},
        {"workload", 0, FLAG_STRING, &settings->workload_name, "<name>", "put, get or get-serializable", "Load", false},
        {"clients", 0, FLAG_U64, &settings->clients, "<n>", "calls in flight", "Load", false},
        {"conns", 0, FLAG_U64, &settings->conns, "<n>", "connections, spread over the endpoints", "Load", false},
        {"total", 0, FLAG_U64, &settings->total, "<n>", "stop after this many calls", "Load", false},
        {"seconds", 0, FLAG_U64, &settings->seconds, "<n>", "stop after this time (5, if there is no total)", "Load", false},
        {"key-size", 0, FLAG_U64, &settings->key_size, "<bytes>", "of a key", "Load", false},
        {"value-size", 0, FLAG_U64, &settings->value_size, "<bytes>", "of a value", "Load", false},
        {"keys", 0, FLAG_U64, &settings->keys, "<n>", "different keys", "Load", false},
        {"no-fill", 0, FLAG_BOOL, &settings->no_fill, NULL, "read without putting every key first", "Load", false},
        {"timeout", 0, FLAG_DURATION_NS, &settings->timeout_ns, "<time>", "of a call", "Load", false},
        {"warmup", 0, FLAG_DURATION_NS, &settings->warmup_ns, "<time>", "before measuring begins", "Load", false},
        {"server-pids", 0, FLAG_STRING, &settings->server_pids, "<list>", "measure these processes' CPU", "Output", false},
        {"raw", 0, FLAG_STRING, &settings->raw_path, "<file>", "end and latency of every call", "Output", false},
        {"write-out", 'w', FLAG_STRING, &settings->write_out, "<format>", "simple or json", "Output", false},
        {"help", 'h', FLAG_BOOL, &settings->help, NULL, "this text", "Output", false},
    };
    const int count = (int)(sizeof flags / sizeof flags[0]);
    bool ok = measure_read_flags("bench_load", flags, count, argc, argv, &settings->help);
    if (settings->total == 0 && settings->seconds == 0) settings->seconds = 5;
    return ok;
}

static bool check(struct load *load)
{
    const struct settings *settings = &load->settings;
    size_t workload = 0;
    while (workload < 3 && strcmp(WORKLOADS[workload], settings->workload_name) != 0) workload++;
    load->workload = (enum workload)workload;
    return measure_in_range("bench_load", workload < 3 && settings->clients > 0 && settings->clients <= 100000 && settings->conns > 0 &&
                                          settings->conns <= RPC_CLIENT_CONNECTIONS_MAX && settings->key_size > 0 &&
                                          settings->key_size <= KEY_BYTES_MAX && settings->value_size <= VALUE_BYTES_MAX && settings->keys > 0);
}

static struct rpc_client *connect_all(const struct settings *settings, char *text)
{
    const char *endpoints[RPC_CLIENT_ENDPOINTS_MAX];
    size_t count = 0;
    for (char *rest = text, *one; (one = strsep(&rest, ",")) != NULL && count < RPC_CLIENT_ENDPOINTS_MAX;)
        endpoints[count++] = one;
    ASSERT(count > 0);
    struct rpc_client_options options = {.endpoints = endpoints,
                                         .endpoint_count = count,
                                         .connection_count = settings->conns,
                                         .calls_max = settings->clients,
                                         .dial_timeout_ns = 5 * NS_PER_S};
    char message[256];
    struct rpc_client *client = rpc_client_new(&options, message, sizeof message);
    if (client == NULL) fprintf(stderr, "bench_load: %s\n", message);
    return client;
}

int main(int argc, char **argv)
{
    struct load load = {.workload = WORKLOAD_PUT};
    if (!parse(argc, argv, &load.settings) || !check(&load)) return load.settings.help ? 0 : 2;
    char *endpoints = alloc_string(load.settings.endpoints);
    load.rpc = connect_all(&load.settings, endpoints);
    alloc_free(endpoints);
    if (load.rpc == NULL) return 2;
    rng_init(&load.rng, 1);
    buf_init(&load.request);
    load.value = alloc_new(VALUE_BYTES_MAX);
    memset(load.value, 'v', VALUE_BYTES_MAX);
    if (load.settings.raw_path[0] != '\0' && (load.raw = fopen(load.settings.raw_path, "wb")) == NULL)
        fatal("%s: cannot be made", load.settings.raw_path);
    signal(SIGTERM, tell_to_end);
    load.clients = alloc_zero(load.settings.clients, sizeof *load.clients);
    for (uint64_t i = 0; i < load.settings.clients; i++) load.clients[i].load = &load;
    if (load.workload != WORKLOAD_PUT && !load.settings.no_fill) fill(&load);
    struct report report = measure(&load);
    print_report(&load, &report);
    if (load.raw != NULL && fclose(load.raw) != 0) fatal("%s: cannot be written", load.settings.raw_path);
    rpc_client_free(load.rpc);
    buf_deinit(&load.request);
    alloc_free(load.value);
    alloc_free(load.clients);
    return load.errors > 0 ? 1 : 0;
}
