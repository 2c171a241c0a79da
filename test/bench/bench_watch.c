/* bench_watch: load of watchers for one member.
 *
 *   bench_watch --endpoint 127.0.0.1:2379 --server-pids 11 --watchers 1000 --streams 100 --conns 10 --ahead 8 --seconds 5
 *   bench_watch --endpoint 127.0.0.1:2379 --server-pids 11 --watchers 100000 --streams 1 --own-keys
 *
 * All watchers watch one key, which is put again and again: at most `ahead` puts are in flight or not yet told to everybody. Reports events
 * delivered per second and per second of the server's processor time, and how long after the put's acknowledgement (as this client sees
 * both; 0 when the event is first, and how many are) and after its start an event comes. The server's processor time holds the puts' own:
 * with --apart the same puts go on before anybody watches, and what an event adds is told, too. With --own-keys each watches a key of its own
 * and nothing is put: the server's memory per watcher and per stream. Its own part is small: HTTP/2 by hand (test/lib/http2.h), in one thread.
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
#define CONNECTIONS_MAX 4096
#define CREATES_AHEAD 256   /* per stream: created responses that are waited for */
#define VALUE_BYTES_MAX (1u << 20)
#define PUTS_MAX (1u << 18)

struct settings {
    const char *endpoint, *server_pids, *write_out;
    uint64_t watchers, streams, conns, seconds, ahead, value_size, warmup_ns, settle_ns;
    bool own_keys, apart, help;
};

struct run;
struct put {
    struct run *run;
    uint64_t number, start_ns, acked_ns; /* acked_ns 0 = not yet */
};
struct run {
    struct settings settings;
    struct http2 *http2;
    struct http2_connection *connections[CONNECTIONS_MAX], *puts_on;
    struct watch_side *streams;
    struct buf request, inner;
    uint8_t *value;
    uint64_t created;
    struct put *puts;            /* a ring of PUTS_MAX; a value begins with its put's number */
    uint64_t put_count, acked;
    uint64_t unwatched;          /* puts before the first that is watched; UINT64_MAX = none is */
    bool is_ending, is_measured;
    uint64_t events, frames, events_first; /* the first: their puts were not acknowledged yet; of those that are measured */
    struct measure_latencies behind_ack, behind_start;
};
struct watch_side {
    struct run *run;
    struct http2_stream *stream;
    uint64_t asked, wanted;      /* watchers created */
    uint64_t first_key;
};

/* --- watchers --- */

static void create_some(struct watch_side *side, uint64_t created)
{
    struct run *run = side->run;
    while (side->asked < side->wanted && side->asked < created + CREATES_AHEAD) {
        char key[32];
        int size = run->settings.own_keys ? snprintf(key, sizeof key, "own/%012" PRIx64, side->first_key + side->asked)
                                          : snprintf(key, sizeof key, "watched");
        buf_clear(&run->inner);
        buf_clear(&run->request);
        buf_put_pb_bytes(&run->inner, 1, slice_make(key, (size_t)size));
        buf_put_pb_bytes(&run->request, 1, buf_slice(&run->inner));
        http2_send(side->stream, buf_slice(&run->request), false);
        side->asked++;
    }
}

/* The put that an event tells of. */
static struct put *put_of(struct run *run, struct slice event)
{
    struct reader reader = reader_make(event), pair, value;
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 2) continue;
        pair = reader_make(field.bytes);
        while (reader_pb_field(&pair, &field)) {
            if (field.number != 5) continue;
            value = reader_make(field.bytes);
            uint64_t number = reader_u64(&value);
            struct put *put = &run->puts[number % PUTS_MAX];
            if (put->number != number) fatal("a watcher is %u puts behind", PUTS_MAX);
            return put;
        }
    }
    fatal("an event without a value");
}

static void take_event(struct run *run, struct slice event, uint64_t now_ns)
{
    const struct put *put = put_of(run, event);
    run->events++;
    if (!run->is_measured) return;
    run->events_first += put->acked_ns == 0;
    measure_add(&run->behind_ack, put->acked_ns == 0 ? 0 : now_ns - put->acked_ns);
    measure_add(&run->behind_start, now_ns - put->start_ns);
}

static void start_puts(struct run *run);

static void on_watch_message(void *user, struct http2_stream *stream, struct slice body)
{
    struct watch_side *side = user;
    struct run *run = side->run;
    struct reader reader = reader_make(body);
    struct pb_field field;
    uint64_t events = run->events, now_ns = clock_mono_ns();
    bool is_created = false;
    ASSERT(stream == side->stream);
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 11) take_event(run, field.bytes, now_ns);
        if (field.number == 3) is_created = true;
        if (field.number == 4) fatal("a watcher was canceled");
    }
    if (is_created) {
        run->created++;
        create_some(side, side->asked - CREATES_AHEAD / 2);
    }
    if (run->events == events) return;
    run->frames++;
    start_puts(run);
}

static void on_watch_end(void *user, struct http2_stream *stream, uint64_t message_count)
{
    (void)user;
    (void)stream;
    fatal("a watch stream ended after %" PRIu64 " messages", message_count);
}

static void open_streams(struct run *run)
{
    const struct settings *settings = &run->settings;
    run->streams = alloc_zero(settings->streams, sizeof(*run->streams));
    for (uint64_t i = 0; i < settings->streams; i++) {
        struct watch_side *side = &run->streams[i];
        struct http2_handler handler = {.user = side, .message = on_watch_message, .ended = on_watch_end};
        uint64_t first = settings->watchers * i / settings->streams, end = settings->watchers * (i + 1) / settings->streams;
        *side = (struct watch_side){.run = run, .wanted = end - first, .first_key = first};
        side->stream = http2_open(run->connections[i % settings->conns], PATH_WATCH, &handler);
        create_some(side, 0);
    }
    while (run->created < settings->watchers) http2_pump(run->http2, CLOCK_NEVER);
}

/* --- puts --- */

static void on_put_message(void *user, struct http2_stream *stream, struct slice body)
{
    struct put *put = user;
    (void)stream;
    (void)body;
    put->acked_ns = clock_mono_ns();
}

static void on_put_end(void *user, struct http2_stream *stream, uint64_t message_count)
{
    struct put *put = user;
    (void)stream;
    if (message_count != 1) fatal("a put failed");
    put->run->acked++;
    start_puts(put->run);
}

static bool is_watched(const struct run *run) { return run->unwatched != UINT64_MAX; }

/* Puts that everybody has heard of who is to hear. */
static uint64_t puts_told(const struct run *run)
{
    return is_watched(run) ? run->unwatched + run->events / run->settings.watchers : run->acked;
}

static void start_puts(struct run *run)
{
    const struct settings *settings = &run->settings;
    while (!run->is_ending && run->put_count < run->acked + settings->ahead && run->put_count < puts_told(run) + settings->ahead) {
        struct put *put = &run->puts[run->put_count % PUTS_MAX];
        struct http2_handler handler = {.user = put, .message = on_put_message, .ended = on_put_end};
        *put = (struct put){.run = run, .number = run->put_count++, .start_ns = clock_mono_ns()};
        memcpy(run->value, &put->number, sizeof(put->number));
        buf_clear(&run->request);
        buf_put_pb_bytes(&run->request, 1, slice_from_string("watched"));
        buf_put_pb_bytes(&run->request, 2, slice_make(run->value, settings->value_size));
        http2_send(http2_open(run->puts_on, PATH_PUT, &handler), buf_slice(&run->request), true);
    }
}

/* --- phases --- */

static void pump_for(struct run *run, uint64_t ns)
{
    uint64_t until_ns = clock_mono_ns() + ns;
    while (clock_mono_ns() < until_ns) http2_pump(run->http2, until_ns);
}

struct rate {
    double seconds, server_s, own_s, events, frames, puts;
};

/* From one moment under load to the one when the last event has come. */
static struct rate measure_rate(struct run *run)
{
    const struct settings *settings = &run->settings;
    run->is_ending = false;
    start_puts(run);
    pump_for(run, settings->warmup_ns);
    run->is_measured = is_watched(run);
    uint64_t events = run->events, frames = run->frames, puts = run->acked;
    uint64_t start_ns = clock_mono_ns(), own_ns = measure_own_cpu_ns(), server_ns = measure_cpu_ns(settings->server_pids);
    pump_for(run, settings->seconds * NS_PER_S);
    run->is_ending = true;
    while (run->acked < run->put_count || puts_told(run) < run->put_count) http2_pump(run->http2, CLOCK_NEVER);
    server_ns = measure_cpu_ns(settings->server_pids) - server_ns;
    own_ns = measure_own_cpu_ns() - own_ns;
    ASSERT(puts_told(run) == run->put_count && run->acked > puts);
    return (struct rate){.seconds = (double)(clock_mono_ns() - start_ns) / (double)NS_PER_S,
                         .server_s = (double)server_ns / (double)NS_PER_S,
                         .own_s = (double)own_ns / (double)NS_PER_S,
                         .events = (double)(run->events - events),
                         .frames = (double)(run->frames - frames),
                         .puts = (double)(run->acked - puts)};
}

static double percentile_us(const struct measure_latencies *latencies, double share)
{
    return (double)measure_percentile_ns(latencies, share) / (double)NS_PER_US;
}

/* `alone`: the puts before anybody watched; NULL = they were not asked for. */
static void print_rate(const struct run *run, const struct rate *rate, const struct rate *alone)
{
    const struct settings *settings = &run->settings;
    const double ack50 = percentile_us(&run->behind_ack, 0.5), ack99 = percentile_us(&run->behind_ack, 0.99);
    const double start50 = percentile_us(&run->behind_start, 0.5), start99 = percentile_us(&run->behind_start, 0.99);
    const double per_server_s = rate->server_s > 0 ? rate->events / rate->server_s : 0;
    const double server_us = rate->server_s * 1e6 / rate->events, own_us = rate->own_s * 1e6 / rate->events;
    const double put_us = rate->server_s * 1e6 / rate->puts, alone_us = alone == NULL ? 0 : alone->server_s * 1e6 / alone->puts;
    const double added_us = (put_us - alone_us) / (double)settings->watchers, first = (double)run->events_first / rate->events;
    if (strcmp(settings->write_out, "json") == 0) {
        printf("{\"watchers\":%" PRIu64 ",\"streams\":%" PRIu64 ",\"ahead\":%" PRIu64 ",\"events\":%.0f,\"events_per_frame\":%.2f,"
               "\"puts_per_s\":%.0f,\"events_per_s\":%.0f,\"events_per_server_s\":%.0f,\"server_us\":%.3f,\"client_us\":%.3f,"
               "\"ack_p50_us\":%.1f,\"ack_p99_us\":%.1f,\"start_p50_us\":%.1f,\"start_p99_us\":%.1f,\"before_ack\":%.3f,"
               "\"put_server_us\":%.2f",
               settings->watchers, settings->streams, settings->ahead, rate->events, rate->events / rate->frames,
               rate->puts / rate->seconds, rate->events / rate->seconds, per_server_s, server_us, own_us, ack50, ack99, start50, start99,
               first, put_us);
        if (alone != NULL) printf(",\"alone_server_us\":%.2f,\"added_server_us\":%.3f", alone_us, added_us);
        printf("}\n");
        return;
    }
    printf("%" PRIu64 " watchers on %" PRIu64 " streams, %" PRIu64 " puts ahead: %.0f events in %.2f s, %.1f per frame, %.0f puts/s\n",
           settings->watchers, settings->streams, settings->ahead, rate->events, rate->seconds, rate->events / rate->frames,
           rate->puts / rate->seconds);
    printf("  %.0f events/s   %.0f events per second of the server's CPU   CPU per event: server %.3f us, client %.3f us\n",
           rate->events / rate->seconds, per_server_s, server_us, own_us);
    printf("  behind the acknowledgement p50 %.0f us, p99 %.0f us, %.0f %% before it   behind the put's start p50 %.0f us, p99 %.0f us\n", ack50,
           ack99, 100 * first, start50, start99);
    if (alone == NULL) return;
    printf("  server CPU per put %.1f us, before anybody watched %.1f us: an event adds %.3f us\n", put_us, alone_us, added_us);
}

static void measure_events(struct run *run)
{
    struct rate alone = {.puts = 0};
    if (run->settings.apart) alone = measure_rate(run);
    run->is_ending = true;
    open_streams(run);
    run->unwatched = run->put_count;
    struct rate rate = measure_rate(run);
    ASSERT(run->events == (run->put_count - run->unwatched) * run->settings.watchers);
    print_rate(run, &rate, run->settings.apart ? &alone : NULL);
}

static void measure_memory(struct run *run)
{
    const struct settings *settings = &run->settings;
    pump_for(run, settings->settle_ns);
    uint64_t before = measure_rss_bytes(settings->server_pids), server_ns = measure_cpu_ns(settings->server_pids);
    open_streams(run);
    server_ns = measure_cpu_ns(settings->server_pids) - server_ns;
    pump_for(run, settings->settle_ns);
    double grown = (double)measure_rss_bytes(settings->server_pids) - (double)before;
    double create_us = (double)server_ns / (double)NS_PER_US / (double)settings->watchers;
    if (strcmp(settings->write_out, "json") == 0) {
        printf("{\"watchers\":%" PRIu64 ",\"streams\":%" PRIu64 ",\"rss_bytes\":%.0f,\"rss_per_watcher\":%.1f,\"rss_per_stream\":%.1f,"
               "\"create_server_us\":%.3f}\n",
               settings->watchers, settings->streams, grown, grown / (double)settings->watchers, grown / (double)settings->streams, create_us);
        return;
    }
    printf("%" PRIu64 " watchers on %" PRIu64 " streams: %.0f KiB of the server's memory, %.0f bytes per watcher, %.0f per stream, "
           "server CPU to create one %.2f us\n",
           settings->watchers, settings->streams, grown / 1024, grown / (double)settings->watchers, grown / (double)settings->streams, create_us);
}

/* --- start --- */

static bool parse(int argc, char **argv, struct settings *settings)
{
    *settings = (struct settings){.endpoint = "127.0.0.1:2379", .server_pids = "", .write_out = "simple", .watchers = 1000, .streams = 100,
                                  .conns = 10, .seconds = 5, .ahead = 8, .value_size = 256, .warmup_ns = 300 * NS_PER_MS,
                                  .settle_ns = 3 * NS_PER_S};
    struct flag flags[] = {
        {"endpoint", 0, FLAG_STRING, &settings->endpoint, "<address>", "address:port", "Load", false},
        {"watchers", 0, FLAG_U64, &settings->watchers, "<n>", "over all streams", "Load", false},
        {"streams", 0, FLAG_U64, &settings->streams, "<n>", "over all connections", "Load", false},
        {"conns", 0, FLAG_U64, &settings->conns, "<n>", "connections of watch streams; one more is for the puts", "Load", false},
        {"ahead", 0, FLAG_U64, &settings->ahead, "<n>", "puts that not all watchers were told of", "Load", false},
        {"seconds", 0, FLAG_U64, &settings->seconds, "<n>", "of puts", "Load", false},
        {"value-size", 0, FLAG_U64, &settings->value_size, "<bytes>", "of a value", "Load", false},
        {"warmup", 0, FLAG_DURATION_NS, &settings->warmup_ns, "<time>", "before measuring begins", "Load", false},
        {"apart", 0, FLAG_BOOL, &settings->apart, NULL, "measure the puts before anybody watches, too, as long", "Load", false},
        {"own-keys", 0, FLAG_BOOL, &settings->own_keys, NULL, "measure memory: a key for each watcher, no puts", "Load", false},
        {"settle", 0, FLAG_DURATION_NS, &settings->settle_ns, "<time>", "before memory is looked at: an allocator gives back late", "Load", false},
        {"server-pids", 0, FLAG_STRING, &settings->server_pids, "<list>", "measure these processes", "Output", false},
        {"write-out", 'w', FLAG_STRING, &settings->write_out, "<format>", "simple or json", "Output", false},
        {"help", 'h', FLAG_BOOL, &settings->help, NULL, "this text", "Output", false},
    };
    const int count = (int)(sizeof flags / sizeof flags[0]);
    if (!measure_read_flags("bench_watch", flags, count, argc, argv, &settings->help)) return false;
    bool ok = settings->conns > 0 && settings->conns <= CONNECTIONS_MAX && settings->streams > 0 && settings->watchers >= settings->streams &&
              settings->ahead > 0 && settings->ahead < PUTS_MAX / 2 && settings->value_size >= sizeof(uint64_t) &&
              settings->value_size <= VALUE_BYTES_MAX && settings->seconds > 0;
    return measure_in_range("bench_watch", ok);
}

int main(int argc, char **argv)
{
    struct run run = {.unwatched = UINT64_MAX};
    if (!parse(argc, argv, &run.settings)) return run.settings.help ? 0 : 2;
    run.http2 = http2_new();
    for (uint64_t i = 0; i < run.settings.conns; i++) run.connections[i] = http2_connect(run.http2, run.settings.endpoint);
    run.puts_on = http2_connect(run.http2, run.settings.endpoint);
    run.puts = alloc_zero(PUTS_MAX, sizeof(*run.puts));
    run.value = alloc_zero(1, run.settings.value_size);
    buf_init(&run.request);
    buf_init(&run.inner);
    if (run.settings.own_keys) {
        measure_memory(&run);
    } else {
        measure_events(&run);
    }
    http2_free(run.http2);
    buf_deinit(&run.request);
    buf_deinit(&run.inner);
    alloc_free(run.value);
    alloc_free(run.puts);
    alloc_free(run.streams);
    return 0;
}
