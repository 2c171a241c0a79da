/* bench_lease: load of leases for one member.
 *
 *   bench_lease --endpoint 127.0.0.1:2379 --server-pids 11 --leases 1000000 --seconds 5
 *   bench_lease --endpoint 127.0.0.1:2379 --server-pids 11 --leases 100000 --ttl 10 --expire
 *
 * Grants the leases and renews them again and again over some streams: grants and renewals per second, the server's processor time and
 * memory for each. A server that does not grant all in --grant-seconds is measured with those that it has granted. With --expire each lease has
 * a key; all are renewed once, so that they expire together, while clients put: latencies of their puts before, and until the last key is gone
 * (or --seconds-max have passed). HTTP/2 by hand (test/lib/http2.h), in one thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/flags.h"
#include "lib/http2.h"
#include "lib/measure.h"

#define PATH_PUT "/etcdserverpb.KV/Put"
#define PATH_WATCH "/etcdserverpb.Watch/Watch"
#define PATH_GRANT "/etcdserverpb.Lease/LeaseGrant"
#define PATH_KEEP_ALIVE "/etcdserverpb.Lease/LeaseKeepAlive"
#define FIRST_LEASE UINT64_C(1000000007)
#define CONNECTIONS_MAX 1024
#define CLIENTS_MAX 65536

struct settings {
    const char *endpoint, *server_pids, *write_out;
    uint64_t leases, ttl, grant_seconds, streams, conns, in_flight, ahead, seconds, put_clients, seconds_max, settle_ns;
    bool expire, help;
};

struct run;
struct renewer {
    struct run *run;
    struct http2_stream *stream;
    uint64_t next;        /* lease */
    uint64_t waiting;     /* answers */
};
struct client {
    struct run *run;
    uint64_t number, start_ns;
};
struct run {
    struct settings settings;
    struct http2 *http2;
    struct http2_connection *connections[CONNECTIONS_MAX], *puts_on;
    struct buf request, inner;
    bool is_putting;          /* the unary calls of a fill are puts with a lease; else grants */
    uint64_t started, done;   /* of a fill */
    uint64_t until_ns;        /* no more are started */
    struct renewer *renewers;
    bool is_renewing, is_once;
    uint64_t renewed, gone;
    struct client clients[CLIENTS_MAX];
    bool is_loading;
    struct measure_latencies *latencies; /* of puts, now */
    uint64_t deleted;
};

static void no_message(void *user, struct http2_stream *stream, struct slice body)
{
    (void)user;
    (void)stream;
    (void)body;
}

static void stream_end(void *user, struct http2_stream *stream, uint64_t message_count)
{
    (void)user;
    (void)stream;
    fatal("a stream ended after %" PRIu64 " messages", message_count);
}

/* --- granting, and a key for each --- */

static void fill_next(struct run *run, uint64_t lane);

static void on_filled(void *user, struct http2_stream *stream, uint64_t message_count)
{
    struct client *lane = user;
    (void)stream;
    if (message_count != 1) fatal("a %s failed", lane->run->is_putting ? "put" : "grant");
    lane->run->done++;
    fill_next(lane->run, lane->number);
}

static void fill_next(struct run *run, uint64_t lane)
{
    const struct settings *settings = &run->settings;
    if (run->started == settings->leases || clock_mono_ns() >= run->until_ns) return;
    uint64_t number = run->started++;
    struct http2_handler handler = {.user = &run->clients[lane], .message = no_message, .ended = on_filled};
    buf_clear(&run->request);
    if (run->is_putting) {
        char key[32];
        int size = snprintf(key, sizeof key, "leased/%08" PRIx64, number);
        buf_put_pb_bytes(&run->request, 1, slice_make(key, (size_t)size));
        buf_put_pb_varint(&run->request, 3, FIRST_LEASE + number);
    } else {
        buf_put_pb_varint(&run->request, 1, settings->ttl);
        buf_put_pb_varint(&run->request, 2, FIRST_LEASE + number);
    }
    struct http2_connection *connection = run->connections[lane % settings->conns];
    http2_send(http2_open(connection, run->is_putting ? PATH_PUT : PATH_GRANT, &handler), buf_slice(&run->request), true);
}

static void fill(struct run *run, bool is_putting)
{
    run->is_putting = is_putting;
    run->started = run->done = 0;
    run->until_ns = is_putting || run->settings.grant_seconds == 0 ? CLOCK_NEVER : clock_mono_ns() + run->settings.grant_seconds * NS_PER_S;
    for (uint64_t lane = 0; lane < run->settings.in_flight; lane++) {
        run->clients[lane] = (struct client){.run = run, .number = lane};
        fill_next(run, lane);
    }
    while (run->done < run->started) http2_pump(run->http2, CLOCK_NEVER);
    run->settings.leases = run->done;
    if (run->done < run->settings.streams) fatal("%" PRIu64 " leases were granted in time: too few", run->done);
}

/* --- renewing --- */

static void renew_some(struct renewer *renewer)
{
    struct run *run = renewer->run;
    const struct settings *settings = &run->settings;
    while (run->is_renewing && renewer->waiting < settings->ahead) {
        if (renewer->next >= settings->leases) {
            if (run->is_once) return;
            renewer->next %= settings->streams;
        }
        buf_clear(&run->request);
        buf_put_pb_varint(&run->request, 1, FIRST_LEASE + renewer->next);
        http2_send(renewer->stream, buf_slice(&run->request), false);
        renewer->next += settings->streams;
        renewer->waiting++;
    }
}

static void on_renewed(void *user, struct http2_stream *stream, struct slice body)
{
    struct renewer *renewer = user;
    struct reader reader = reader_make(body);
    struct pb_field field;
    uint64_t ttl = 0;
    (void)stream;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 3) ttl = field.value;
    }
    renewer->run->renewed++;
    renewer->run->gone += ttl == 0;
    renewer->waiting--;
    renew_some(renewer);
}

static uint64_t renewals_waiting(const struct run *run)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < run->settings.streams; i++) count += run->renewers[i].waiting;
    return count;
}

static void open_renewers(struct run *run)
{
    const struct settings *settings = &run->settings;
    run->renewers = alloc_zero(settings->streams, sizeof(*run->renewers));
    for (uint64_t i = 0; i < settings->streams; i++) {
        struct renewer *renewer = &run->renewers[i];
        struct http2_handler handler = {.user = renewer, .message = on_renewed, .ended = stream_end};
        *renewer = (struct renewer){.run = run, .next = i};
        renewer->stream = http2_open(run->connections[i % settings->conns], PATH_KEEP_ALIVE, &handler);
    }
}

/* For so long, or (0) each lease once. */
static void renew(struct run *run, uint64_t seconds)
{
    run->is_renewing = true;
    run->is_once = seconds == 0;
    for (uint64_t i = 0; i < run->settings.streams; i++) {
        run->renewers[i].next = i;
        renew_some(&run->renewers[i]);
    }
    uint64_t until_ns = seconds == 0 ? CLOCK_NEVER : clock_mono_ns() + seconds * NS_PER_S;
    while (clock_mono_ns() < until_ns && (!run->is_once || renewals_waiting(run) > 0)) http2_pump(run->http2, until_ns);
    run->is_renewing = false;
    while (renewals_waiting(run) > 0) http2_pump(run->http2, CLOCK_NEVER);
}

/* --- puts beside, and the end of the keys --- */

static void put_next(struct client *client);

static void on_put(void *user, struct http2_stream *stream, uint64_t message_count)
{
    struct client *client = user;
    (void)stream;
    if (message_count != 1) fatal("a put failed");
    measure_add(client->run->latencies, clock_mono_ns() - client->start_ns);
    put_next(client);
}

static void put_next(struct client *client)
{
    struct run *run = client->run;
    char key[32];
    if (!run->is_loading) return;
    struct http2_handler handler = {.user = client, .message = no_message, .ended = on_put};
    int size = snprintf(key, sizeof key, "put/%" PRIu64, client->number);
    client->start_ns = clock_mono_ns();
    buf_clear(&run->request);
    buf_put_pb_bytes(&run->request, 1, slice_make(key, (size_t)size));
    buf_put_pb_bytes(&run->request, 2, slice_from_string("value"));
    http2_send(http2_open(run->puts_on, PATH_PUT, &handler), buf_slice(&run->request), true);
}

static void on_watch_message(void *user, struct http2_stream *stream, struct slice body)
{
    struct run *run = user;
    struct reader reader = reader_make(body);
    struct pb_field field;
    (void)stream;
    while (reader_pb_field(&reader, &field)) run->deleted += field.number == 11;
}

static void watch_keys(struct run *run)
{
    struct http2_handler handler = {.user = run, .message = on_watch_message, .ended = stream_end};
    buf_clear(&run->inner);
    buf_clear(&run->request);
    buf_put_pb_bytes(&run->inner, 1, slice_from_string("leased/"));
    buf_put_pb_bytes(&run->inner, 2, slice_from_string("leased0"));
    buf_put_pb_bytes(&run->request, 1, buf_slice(&run->inner));
    http2_send(http2_open(run->puts_on, PATH_WATCH, &handler), buf_slice(&run->request), false);
}

static void pump_for(struct run *run, uint64_t ns)
{
    uint64_t until_ns = clock_mono_ns() + ns;
    while (clock_mono_ns() < until_ns) http2_pump(run->http2, until_ns);
}

/* --- phases --- */

static double seconds_since(uint64_t start_ns) { return (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S; }

static void measure_renewals(struct run *run)
{
    const struct settings *settings = &run->settings;
    pump_for(run, settings->settle_ns);
    uint64_t rss = measure_rss_bytes(settings->server_pids), start_ns = clock_mono_ns(), cpu_ns = measure_cpu_ns(settings->server_pids);
    fill(run, false);
    const double leases = (double)settings->leases;
    double grant_s = seconds_since(start_ns), grant_us = (double)(measure_cpu_ns(settings->server_pids) - cpu_ns) / 1e3 / leases;
    pump_for(run, settings->settle_ns);
    double lease_bytes = ((double)measure_rss_bytes(settings->server_pids) - (double)rss) / leases;
    open_renewers(run);
    start_ns = clock_mono_ns();
    cpu_ns = measure_cpu_ns(settings->server_pids);
    renew(run, settings->seconds);
    double renew_s = seconds_since(start_ns), renewed = (double)run->renewed;
    double renew_us = (double)(measure_cpu_ns(settings->server_pids) - cpu_ns) / 1e3 / renewed;
    if (strcmp(settings->write_out, "json") == 0) {
        printf("{\"leases\":%.0f,\"grants_per_s\":%.0f,\"grant_server_us\":%.2f,\"rss_per_lease\":%.1f,\"renewals_per_s\":%.0f,"
               "\"renewals_per_server_s\":%.0f,\"renewal_server_us\":%.3f,\"gone\":%" PRIu64 "}\n",
               leases, leases / grant_s, grant_us, lease_bytes, renewed / renew_s, 1e6 / renew_us, renew_us, run->gone);
        return;
    }
    printf("%.0f leases granted: %.0f per s, server CPU %.1f us and memory %.0f bytes each\n", leases, leases / grant_s, grant_us, lease_bytes);
    printf("  %.0f renewals per s on %" PRIu64 " streams, server CPU %.2f us each, %" PRIu64 " leases were gone\n", renewed / renew_s,
           settings->streams, renew_us, run->gone);
}

static void measure_expiry(struct run *run)
{
    const struct settings *settings = &run->settings;
    struct measure_latencies *before = ALLOC(struct measure_latencies), *during = ALLOC(struct measure_latencies);
    fill(run, false);
    fill(run, true);
    watch_keys(run);
    open_renewers(run);
    uint64_t renewing_ns = clock_mono_ns();
    renew(run, 0);
    if (run->gone > 0) fatal("%" PRIu64 " leases were gone before they were renewed: --ttl is too short", run->gone);
    run->is_loading = true;
    run->latencies = before;
    for (uint64_t i = 0; i < settings->put_clients; i++) put_next(&run->clients[i]);
    while (run->deleted == 0) http2_pump(run->http2, clock_mono_ns() + NS_PER_S);
    uint64_t first_ns = clock_mono_ns(), cpu_ns = measure_cpu_ns(settings->server_pids);
    run->latencies = during;
    while (run->deleted < settings->leases && clock_mono_ns() < first_ns + settings->seconds_max * NS_PER_S) {
        http2_pump(run->http2, clock_mono_ns() + NS_PER_S);
    }
    double took_s = seconds_since(first_ns), deleted = (double)run->deleted;
    double expiry_us = (double)(measure_cpu_ns(settings->server_pids) - cpu_ns) / 1e3 / deleted;
    double before_ms = (double)measure_percentile_ns(before, 0.99) / 1e6, during_ms = (double)measure_percentile_ns(during, 0.99) / 1e6;
    double late_s = (double)(first_ns - renewing_ns) / (double)NS_PER_S - (double)settings->ttl;
    if (late_s < 0) fatal("a lease expired %.3f s before its time", -late_s);
    if (strcmp(settings->write_out, "json") == 0) {
        printf("{\"leases\":%" PRIu64 ",\"expired\":%.0f,\"expired_per_s\":%.0f,\"seconds\":%.3f,\"first_late_s\":%.3f,\"server_us\":%.2f,"
               "\"put_p99_before_ms\":%.3f,\"put_p99_ms\":%.3f,\"puts_before\":%" PRIu64 ",\"puts\":%" PRIu64 "}\n",
               settings->leases, deleted, deleted / took_s, took_s, late_s, expiry_us, before_ms, during_ms, before->count, during->count);
    } else {
        printf("%.0f of %" PRIu64 " leases expired within %.2f s, the first %.2f s behind its time; p99 of puts before %.2f ms, meanwhile %.2f ms\n",
               deleted, settings->leases, took_s, late_s, before_ms, during_ms);
    }
    alloc_free(before);
    alloc_free(during);
}

/* --- start --- */

static bool parse(int argc, char **argv, struct settings *settings)
{
    *settings = (struct settings){.endpoint = "127.0.0.1:2379", .server_pids = "", .write_out = "simple", .leases = 10000, .ttl = 3600,
                                  .in_flight = 1024, .streams = 10, .conns = 10, .ahead = 64, .seconds = 5, .put_clients = 10, .seconds_max = 60,
                                  .settle_ns = 500 * NS_PER_MS};
    struct flag flags[] = {
        {"endpoint", 0, FLAG_STRING, &settings->endpoint, "<address>", "address:port", "Load", false},
        {"leases", 0, FLAG_U64, &settings->leases, "<n>", "to be granted", "Load", false},
        {"ttl", 0, FLAG_U64, &settings->ttl, "<seconds>", "of a lease", "Load", false},
        {"streams", 0, FLAG_U64, &settings->streams, "<n>", "of renewals", "Load", false},
        {"conns", 0, FLAG_U64, &settings->conns, "<n>", "connections", "Load", false},
        {"grant-seconds", 0, FLAG_U64, &settings->grant_seconds, "<n>", "for granting (0: for all of them)", "Load", false},
        {"in-flight", 0, FLAG_U64, &settings->in_flight, "<n>", "grants without an answer", "Load", false},
        {"ahead", 0, FLAG_U64, &settings->ahead, "<n>", "renewals without an answer, per stream", "Load", false},
        {"seconds", 0, FLAG_U64, &settings->seconds, "<n>", "of renewals", "Load", false},
        {"expire", 0, FLAG_BOOL, &settings->expire, NULL, "let them expire together, beside puts", "Load", false},
        {"put-clients", 0, FLAG_U64, &settings->put_clients, "<n>", "puts in flight meanwhile", "Load", false},
        {"seconds-max", 0, FLAG_U64, &settings->seconds_max, "<n>", "that the expiry is looked at", "Load", false},
        {"settle", 0, FLAG_DURATION_NS, &settings->settle_ns, "<time>", "before memory is looked at", "Load", false},
        {"server-pids", 0, FLAG_STRING, &settings->server_pids, "<list>", "measure these processes", "Output", false},
        {"write-out", 'w', FLAG_STRING, &settings->write_out, "<format>", "simple or json", "Output", false},
        {"help", 'h', FLAG_BOOL, &settings->help, NULL, "this text", "Output", false},
    };
    const int count = (int)(sizeof flags / sizeof flags[0]);
    if (!measure_read_flags("bench_lease", flags, count, argc, argv, &settings->help)) return false;
    bool ok = settings->conns > 0 && settings->conns <= CONNECTIONS_MAX && settings->streams > 0 && settings->leases >= settings->streams &&
              settings->in_flight > 0 && settings->in_flight <= CLIENTS_MAX && settings->ahead > 0 && settings->put_clients <= CLIENTS_MAX &&
              settings->ttl > 0 && settings->seconds > 0;
    return measure_in_range("bench_lease", ok);
}

int main(int argc, char **argv)
{
    struct run *run = ALLOC(struct run);
    int status = 0;
    if (!parse(argc, argv, &run->settings)) {
        status = run->settings.help ? 0 : 2;
        alloc_free(run);
        return status;
    }
    run->http2 = http2_new();
    for (uint64_t i = 0; i < run->settings.conns; i++) run->connections[i] = http2_connect(run->http2, run->settings.endpoint);
    run->puts_on = http2_connect(run->http2, run->settings.endpoint);
    buf_init(&run->request);
    buf_init(&run->inner);
    if (run->settings.expire) measure_expiry(run);
    else measure_renewals(run);
    http2_free(run->http2);
    buf_deinit(&run->request);
    buf_deinit(&run->inner);
    alloc_free(run->renewers);
    alloc_free(run);
    return status;
}
