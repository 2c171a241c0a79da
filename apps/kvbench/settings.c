/* settings: the tables, and what is read by them. */
#include "settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "compare.h"
#include "plot.h"

#define KEYS_MAX (DISTRIBUTION_MAX - 1)
#define READERS (OF(COMMAND_GET) | OF(COMMAND_RANGE) | OF(COMMAND_TXN_MIXED) | OF(COMMAND_MIXED))
#define WRITERS (OF(COMMAND_PUT) | OF(COMMAND_TXN_PUT) | OF(COMMAND_TXN_MIXED) | OF(COMMAND_MIXED) | OF(COMMAND_FILL))
#define PICKERS (KEYED & ~(OF(COMMAND_FILL) | OF(COMMAND_RANGE) | OF(COMMAND_DELETE)))
#define NEAR_ENOUGH 2
#define WATCHES (OF(COMMAND_WATCH) | OF(COMMAND_WATCH_LATENCY))
#define STREAMERS (WATCHES | OF(COMMAND_LEASE_KEEPALIVE))
#define KEYED (OF_WORKLOADS & ~STREAMERS) /* that have --keys keys */
#define FILL_TXN_BYTES (1u << 20) /* of keys and values; servers take 1.5 MiB by default */
#define AHEAD_MAX 1000 /* renewals under way on a stream */

static const struct command_row COMMANDS[COMMAND_COUNT] = {
    [COMMAND_PUT] = {"put", "Puts: each sets one of --keys keys",
                     "  kvbench put                                         100 calls in flight on 10 connections, for 10 seconds\n"
                     "  kvbench put --clients 1000 --conns 100 --total 100000\n"
                     "  kvbench put --rate 5000 --duration 60s              5,000 each second, whether they are answered or not\n"
                     "  kvbench put --value-size uniform:100-4000 --dist zipf\n"},
    [COMMAND_GET] = {"get", "Gets of one key each, linearizable or serializable",
                     "  kvbench get --fill                                  put every key first, then read\n"
                     "  kvbench get --serializable --clients 1000 --conns 100\n"},
    [COMMAND_RANGE] = {"range", "Ranges over all keys: a page, the number of keys, or the whole list",
                       "  kvbench range --fill --limit 10                     the first ten of all keys\n"
                       "  kvbench range --count-only\n"
                       "  kvbench range --clients 4 --conns 4                 the full list, four at a time\n"},
    [COMMAND_TXN_PUT] = {"txn-put", "Transactions that put --txn-ops keys each",
                         "  kvbench txn-put --txn-ops 16                        counted are transactions\n"},
    [COMMAND_TXN_MIXED] = {"txn-mixed", "Transactions that compare a key, then get or put it",
                           "  kvbench txn-mixed --fill --write-percent 20         four of five only read\n"},
    [COMMAND_DELETE] = {"delete", "Deletions of one key each, from the first key to the last and again",
                        "  kvbench delete --fill --keys 100000 --total 100000  deletes what it has put\n"},
    [COMMAND_MIXED] = {"mixed", "YCSB's workloads a to f",
                       "  kvbench mixed --fill --ycsb a                       half reads, half updates, popular keys\n"
                       "  kvbench mixed --fill --ycsb b --dist uniform        another distribution than the workload's own\n"
                       "  a: 50 % get, 50 % put; b: 95 % get, 5 % put; c: 100 % get; d: 95 % get of the latest, 5 % new keys;\n"
                       "  e: 95 % ranges of 1 to 100 keys, 5 % new keys; f: 50 % get, 50 % get and then put of the same key\n"},
    [COMMAND_WATCH] = {"watch", "Watchers of keys that are put again and again; counted are events",
                       "  kvbench watch --watchers 1000 --streams 10          all on one key\n"
                       "  kvbench watch --watchers 1000 --streams 1000 --conns 100 --watched-keys 100\n"
                       "  A put is over when all watchers of its key have heard of it; --clients of them are under way. Latency is from\n"
                       "  the put's start to the event.\n"},
    [COMMAND_WATCH_LATENCY] = {"watch-latency", "Like watch, one put after the other: how long until a watcher hears of it",
                               "  kvbench watch-latency --watchers 1 --streams 1\n"
                               "  kvbench watch-latency --rate 100                    a put is due each 10 ms\n"},
    [COMMAND_LEASE_KEEPALIVE] = {"lease-keepalive", "Renewals of --leases leases over --streams streams",
                                 "  kvbench lease-keepalive --leases 10000 --streams 10 --clients 1000\n"
                                 "  The leases are left to themselves at the end, and gone after --ttl seconds.\n"},
    [COMMAND_FILL] = {"fill", "Puts each of --keys keys once, fast: --batch of them in a transaction",
                      "  kvbench fill --keys 1000000 --value-size 256        counted are keys, a latency is a transaction's\n"},
};

static const struct command_row COMPARE = {
    "compare", "Two clusters in turn with the same workload: medians, spreads, and the ratio of each round",
    "  kvbench compare --a kvd=127.0.0.1:2379 --b etcd=127.0.0.1:12379 --rounds 5 put --clients 1000 --conns 100\n"
    "  kvbench compare --a new=127.0.0.1:2379 --a-pids 11,12,13 --b old=127.0.0.1:12379 --b-pids 21,22,23 get --fill -w json\n"};

const struct command_row *settings_compare(void) { return &COMPARE; }

const struct command_row *settings_command(enum command command)
{
    ASSERT(command < COMMAND_COUNT);
    return &COMMANDS[command];
}

/* --- flags ----------------------------------------------------------------------------------------------------------------- */

static const struct settings DEFAULTS = {
    .endpoints = {.words = {"127.0.0.1:2379"}, .count = 1}, .server_pids = "", .write_out = "table", .live = "auto", .hdr = "", .plot = "", .raw = "", .rounds = 3, .sides = {{.text = "", .pids = ""}, {.text = "", .pids = ""}}, .value_size_text = "256", .dist_text = "",
    .ycsb = "a", .key_prefix = "", .duration_text = "", .warm_up_text = "1s", .ca_file = "", .certificate_file = "", .key_file = "",
    .clients = 100, .conns = 10, .threads = 1, .timeout_ns = 10 * NS_PER_S, .keys = 10000, .key_size = 8, .seed = 1, .txn_ops = 8,
    .watchers = 1000, .streams = 10, .watched_keys = 1, .leases = 1000, .ttl = 60,
    .write_percent = 50, .batch = 64};

int settings_flags(struct settings *settings, struct settings_flag out_flags[SETTINGS_FLAGS_MAX])
{
    struct settings *s = settings;
    *settings = DEFAULTS;
    const struct settings_flag flags[] = {
        {{"endpoints", 0, FLAG_LIST, &s->endpoints, "<list>", "Members, separated by commas; may be repeated", "Load", false}, OF_WORKLOADS},
        {{"clients", 0, FLAG_U64, &s->clients, "<n>", "Calls in flight at a time", "Load", false}, OF_WORKLOADS},
        {{"conns", 0, FLAG_U64, &s->conns, "<n>", "Connections, spread over the endpoints; one for each endpoint at least", "Load", false}, OF_WORKLOADS},
        {{"threads", 0, FLAG_U64, &s->threads, "<n>", "Threads of this program that share clients and connections", "Load", false}, KEYED},
        {{"duration", 0, FLAG_STRING, &s->duration_text, "<time>", "How long it is measured: 10, 10s, 1m30s (10s, if there is no total)", "Load", false},
         OF_WORKLOADS & ~OF(COMMAND_FILL)},
        {{"total", 0, FLAG_U64, &s->total, "<n>", "Operations that are measured; then it ends", "Load", false}, OF_WORKLOADS & ~OF(COMMAND_FILL)},
        {{"warm-up", 0, FLAG_STRING, &s->warm_up_text, "<time>", "Load before measuring begins", "Load", false}, OF_WORKLOADS & ~OF(COMMAND_FILL)},
        {{"rate", 0, FLAG_U64, &s->rate, "<n>", "Open loop: so many operations are due each second, and latency counts from when one was due", "Load", false},
         OF_WORKLOADS & ~OF(COMMAND_FILL)},
        {{"timeout", 0, FLAG_DURATION_NS, &s->timeout_ns, "<time>", "Of one call", "Load", false}, OF_WORKLOADS},
        {{"seed", 0, FLAG_U64, &s->seed, "<n>", "Of the random numbers: the same keys and sizes again", "Load", false}, OF_WORKLOADS},
        {{"keys", 0, FLAG_U64, &s->keys, "<n>", "Different keys", "Data", false}, KEYED},
        {{"key-size", 0, FLAG_U64, &s->key_size, "<bytes>", "Of a key, prefix included", "Data", false}, OF_WORKLOADS & ~OF(COMMAND_LEASE_KEEPALIVE)},
        {{"key-prefix", 0, FLAG_STRING, &s->key_prefix, "<text>", "What all keys begin with", "Data", false}, OF_WORKLOADS & ~OF(COMMAND_LEASE_KEEPALIVE)},
        {{"value-size", 0, FLAG_STRING, &s->value_size_text, "<bytes>", "Of a value: 256, uniform:100-4000 or zipf:100-4000", "Data", false},
         OF_WORKLOADS & ~OF(COMMAND_LEASE_KEEPALIVE)},
        {{"dist", 0, FLAG_STRING, &s->dist_text, "<name>", "Which keys: uniform (default), zipf (some are popular), latest (the newest are)", "Data", false},
         PICKERS},
        {{"fill", 0, FLAG_BOOL, &s->fills, NULL, "Put every key before the load begins", "Data", false}, KEYED & ~OF(COMMAND_FILL)},
        {{"serializable", 0, FLAG_BOOL, &s->serializable, NULL, "Read what the asked member has, which may be old", "Workload", false}, READERS},
        {{"limit", 0, FLAG_U64, &s->limit, "<n>", "Keys in an answer; 0 = all", "Workload", false}, OF(COMMAND_RANGE)},
        {{"count-only", 0, FLAG_BOOL, &s->count_only, NULL, "Only how many there are", "Workload", false}, OF(COMMAND_RANGE)},
        {{"keys-only", 0, FLAG_BOOL, &s->keys_only, NULL, "Without the values", "Workload", false}, OF(COMMAND_RANGE)},
        {{"txn-ops", 0, FLAG_U64, &s->txn_ops, "<n>", "Puts in a transaction; servers take 128 by default", "Workload", false}, OF(COMMAND_TXN_PUT)},
        {{"write-percent", 0, FLAG_U64, &s->write_percent, "<n>", "Transactions that put", "Workload", false}, OF(COMMAND_TXN_MIXED)},
        {{"ycsb", 0, FLAG_STRING, &s->ycsb, "<letter>", "Which of YCSB's workloads: a to f", "Workload", false}, OF(COMMAND_MIXED)},
        {{"watchers", 0, FLAG_U64, &s->watchers, "<n>", "Watchers", "Workload", false}, WATCHES},
        {{"watched-keys", 0, FLAG_U64, &s->watched_keys, "<n>", "Keys that are put, each with an equal share of the watchers", "Workload", false}, WATCHES},
        {{"leases", 0, FLAG_U64, &s->leases, "<n>", "Leases that are renewed in turn", "Workload", false}, OF(COMMAND_LEASE_KEEPALIVE)},
        {{"ttl", 0, FLAG_U64, &s->ttl, "<seconds>", "Of a lease", "Workload", false}, OF(COMMAND_LEASE_KEEPALIVE)},
        {{"streams", 0, FLAG_U64, &s->streams, "<n>", "Streams, spread over the connections", "Workload", false}, STREAMERS},
        {{"batch", 0, FLAG_U64, &s->batch, "<n>", "Puts in a transaction, 1 MiB in all at most; servers take 128 by default", "Workload", false}, OF(COMMAND_FILL)},
        {{"cacert", 0, FLAG_STRING, &s->ca_file, "<path>", "Whom to trust at https:// endpoints", "Security", false}, OF_WORKLOADS},
        {{"cert", 0, FLAG_STRING, &s->certificate_file, "<path>", "Our certificate", "Security", false}, OF_WORKLOADS},
        {{"key", 0, FLAG_STRING, &s->key_file, "<path>", "Its key", "Security", false}, OF_WORKLOADS},
        {{"insecure-skip-tls-verify", 0, FLAG_BOOL, &s->skip_verify, NULL, "Trust whoever answers (for tests)", "Security", false}, OF_WORKLOADS},
        {{"server-pids", 0, FLAG_STRING, &s->server_pids, "<list>", "Processes of this machine whose CPU, memory and disk are measured", "Output", false},
         OF_WORKLOADS},
        {{"write-out", 'w', FLAG_STRING, &s->write_out, "<format>", "table or json (one line)", "Output", false}, OF_WORKLOADS},
        {{"live", 0, FLAG_STRING, &s->live, "<how>", "Each second: json (a line to standard output), line (to standard error), none", "Output", false},
         OF_WORKLOADS},
        {{"hdr", 0, FLAG_STRING, &s->hdr, "<path>", "Latencies as HdrHistogram's percentile distribution", "Output", false}, OF_WORKLOADS},
        {{"raw", 0, FLAG_STRING, &s->raw, "<path>", "Two 64-bit numbers, little endian, of each operation: when it ended (CLOCK_MONOTONIC) and its latency, in ns; 2^64-1: it failed",
          "Output", false},
         OF_WORKLOADS},
        {{"plot", 0, FLAG_STRING, &s->plot, "<path>", "A picture by gnuplot, .svg or .png: rate over time and latencies; of compare: bars", "Output", false},
         OF_WORKLOADS | OF_COMPARE},
        {{"a", 0, FLAG_STRING, &s->sides[0].text, "<name=list>", "The first cluster: a name and its members", "Comparison", false}, OF_COMPARE},
        {{"a-pids", 0, FLAG_STRING, &s->sides[0].pids, "<list>", "Its processes on this machine", "Comparison", false}, OF_COMPARE},
        {{"b", 0, FLAG_STRING, &s->sides[1].text, "<name=list>", "The second one", "Comparison", false}, OF_COMPARE},
        {{"b-pids", 0, FLAG_STRING, &s->sides[1].pids, "<list>", "Its processes on this machine", "Comparison", false}, OF_COMPARE},
        {{"rounds", 0, FLAG_U64, &s->rounds, "<n>", "Times that each of them has its turn", "Comparison", false}, OF_COMPARE},
        {{"help", 'h', FLAG_BOOL, &s->help, NULL, "This text", "Output", false}, OF_WORKLOADS | OF_COMPARE},
    };
    const int count = (int)(sizeof flags / sizeof flags[0]);
    ASSERT(count <= SETTINGS_FLAGS_MAX);
    memcpy(out_flags, flags, sizeof flags);
    return count;
}

int settings_flags_of(const struct settings_flag *all, int count, uint32_t of, struct flag *out_flags)
{
    int taken = 0;
    for (int i = 0; i < count; i++)
        if ((all[i].of & of) != 0) out_flags[taken++] = all[i].flag;
    return taken;
}

/* --- what is read ---------------------------------------------------------------------------------------------------------- */

bool settings_parse_time(const char *text, uint64_t *out_ns)
{
    struct flag flag = {.name = "time", .kind = FLAG_DURATION_NS, .target = out_ns};
    char with_unit[64];
    bool is_plain = text[0] != '\0' && text[strspn(text, "0123456789.")] == '\0';
    if (!is_plain) return flags_set(&flag, text);
    int size = snprintf(with_unit, sizeof with_unit, "%ss", text);
    return size > 0 && (size_t)size < sizeof with_unit && flags_set(&flag, with_unit);
}

static bool wrong(char *out_text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(char *out_text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(out_text, SETTINGS_TEXT_BYTES, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_in(char *out_text, const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value >= least && value <= most) return true;
    return wrong(out_text, "--%s is %" PRIu64 ", and may be %" PRIu64 " to %" PRIu64, name, value, least, most);
}

static bool check_numbers(const struct settings *s, char *out_text)
{
    uint64_t prefix = strlen(s->key_prefix), digits = 1;
    for (uint64_t left = s->keys - 1; left > 15; left /= 16) digits++;
    if (!is_in(out_text, "clients", s->clients, 1, SETTINGS_CLIENTS_MAX) || !is_in(out_text, "conns", s->conns, 1, 4096) ||
        !is_in(out_text, "threads", s->threads, 1, 64) || !is_in(out_text, "keys", s->keys, 1, KEYS_MAX) ||
        !is_in(out_text, "key-size", s->key_size, 1, SETTINGS_KEY_BYTES_MAX) || !is_in(out_text, "txn-ops", s->txn_ops, 1, SETTINGS_TXN_OPS_MAX) ||
        !is_in(out_text, "batch", s->batch, 1, SETTINGS_TXN_OPS_MAX) || !is_in(out_text, "write-percent", s->write_percent, 0, 100) ||
        !is_in(out_text, "rate", s->rate, 0, 10000000) || !is_in(out_text, "limit", s->limit, 0, INT64_MAX))
        return false;
    if (!is_in(out_text, "watchers", s->watchers, 1, 10000000) || !is_in(out_text, "streams", s->streams, 1, 100000) ||
        !is_in(out_text, "watched-keys", s->watched_keys, 1, s->watchers) || !is_in(out_text, "leases", s->leases, 1, 10000000) ||
        !is_in(out_text, "ttl", s->ttl, 1, 1000000000))
        return false;
    if (s->timeout_ns < NS_PER_MS) return wrong(out_text, "--timeout is too short: a millisecond at least");
    if (prefix + digits > s->key_size)
        return wrong(out_text, "%" PRIu64 " keys do not fit into --key-size %" PRIu64 ": %" PRIu64 " bytes are the least", s->keys, s->key_size, prefix + digits);
    if (s->threads > s->clients) return wrong(out_text, "--threads is %" PRIu64 ": more than --clients", s->threads);
    if (s->count_only && s->keys_only) return wrong(out_text, "--count-only and --keys-only exclude each other");
    return true;
}

/* Only streamers have streams, and one thread. */
static bool check_streams(struct settings *s, bool has_clients, char *out_text)
{
    uint32_t of = OF(s->command);
    if ((of & STREAMERS) == 0) s->streams = 0;
    if (!has_clients && (of & WATCHES) != 0) s->clients = s->command == COMMAND_WATCH ? 8 : 1;
    if ((of & WATCHES) != 0 && s->watchers < s->streams) return wrong(out_text, "--streams is %" PRIu64 ": more than --watchers", s->streams);
    if ((of & WATCHES) != 0 && s->value_sizes.least < 8) return wrong(out_text, "--value-size of a watched key is 8 at least");
    if (s->streams + s->clients > SETTINGS_CLIENTS_MAX) return wrong(out_text, "--streams and --clients are %d together at most", SETTINGS_CLIENTS_MAX);
    if (s->command != COMMAND_LEASE_KEEPALIVE || s->clients <= s->streams * AHEAD_MAX) return true;
    return wrong(out_text, "--clients is %" PRIu64 ": at most %d for each of --streams", s->clients, AHEAD_MAX);
}

static bool is_set(const struct flag *flags, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(flags[i].name, name) == 0) return flags[i].is_set;
    return false;
}

static bool split_endpoints(struct settings *s, char *text, const char *whole, char *out_text)
{
    s->endpoint_count = 0;
    for (char *rest = text, *one; (one = strsep(&rest, ",")) != NULL;) {
        if (one[0] == '\0') return wrong(out_text, "endpoints \"%.80s\": one of them is empty", whole);
        if (s->endpoint_count == SETTINGS_ENDPOINTS_MAX) return wrong(out_text, "too many endpoints: %d at most", SETTINGS_ENDPOINTS_MAX);
        s->endpoint_list[s->endpoint_count++] = one;
    }
    return true;
}

static bool read_sides(struct settings *s, char *out_text)
{
    if (!is_in(out_text, "rounds", s->rounds, 1, COMPARE_ROUNDS_MAX)) return false;
    if (s->hdr[0] != '\0' || s->raw[0] != '\0' || s->servers.count > 0)
        return wrong(out_text, "--hdr, --raw and --server-pids are of one cluster: compare has --a-pids and --b-pids");
    for (size_t i = 0; i < 2; i++) {
        struct settings_side *side = &s->sides[i];
        const char *equals = strchr(side->text, '=');
        if (equals == NULL || equals == side->text || equals[1] == '\0')
            return wrong(out_text, "--%c \"%.80s\" is not NAME=ENDPOINTS, as kvd=127.0.0.1:2379,127.0.0.1:2389", "ab"[i], side->text);
        side->name = alloc_string(side->text);
        side->name[equals - side->text] = '\0';
        s->side_texts[i] = alloc_string(equals + 1);
        side->endpoints = equals + 1;
        if (!servers_parse(side->pids, &side->servers, out_text, SETTINGS_TEXT_BYTES)) return false;
        char *probe = alloc_string(equals + 1);
        bool is_good = split_endpoints(s, probe, equals + 1, out_text);
        alloc_free(probe);
        if (!is_good) return false;
    }
    return true;
}

void settings_take_side(struct settings *settings, size_t side)
{
    char text[SETTINGS_TEXT_BYTES];
    settings->servers = settings->sides[side].servers;
    bool is_good = split_endpoints(settings, settings->side_texts[side], settings->sides[side].endpoints, text);
    ASSERT(is_good);
}

static bool read_texts(struct settings *s, char *out_text)
{
    static const enum distribution_kind of_ycsb[] = {DISTRIBUTION_ZIPF,   DISTRIBUTION_ZIPF, DISTRIBUTION_ZIPF,
                                                     DISTRIBUTION_LATEST, DISTRIBUTION_ZIPF, DISTRIBUTION_ZIPF};
    if (s->duration_text[0] != '\0' && (!settings_parse_time(s->duration_text, &s->duration_ns) || s->duration_ns == 0))
        return wrong(out_text, "--duration \"%.80s\" is not a time like 10, 10s or 1m30s", s->duration_text);
    if (s->duration_ns > 0 && s->total > 0) return wrong(out_text, "--duration and --total exclude each other");
    if (s->duration_ns == 0 && s->total == 0 && s->command != COMMAND_FILL) s->duration_ns = 10 * NS_PER_S;
    if (!settings_parse_time(s->warm_up_text, &s->warm_up_ns))
        return wrong(out_text, "--warm-up \"%.80s\" is not a time like 0, 1s or 500ms", s->warm_up_text);
    if (!distribution_parse_sizes(s->value_size_text, SETTINGS_VALUE_BYTES_MAX, &s->value_sizes))
        return wrong(out_text, "--value-size \"%.80s\" is not a size: 256, uniform:100-4000 or zipf:100-4000, 64 MiB at most", s->value_size_text);
    uint64_t fitting = FILL_TXN_BYTES / (s->key_size + s->value_sizes.most);
    s->fill_batch = fitting == 0 ? 1 : fitting < s->batch ? fitting : s->batch;
    if (strlen(s->ycsb) != 1 || s->ycsb[0] < 'a' || s->ycsb[0] > 'f') return wrong(out_text, "--ycsb \"%.80s\": there are a to f", s->ycsb);
    if (s->dist_text[0] == '\0') s->dist = s->command == COMMAND_MIXED ? of_ycsb[s->ycsb[0] - 'a'] : DISTRIBUTION_UNIFORM;
    else if (!distribution_parse_kind(s->dist_text, &s->dist))
        return wrong(out_text, "--dist \"%.80s\": there are uniform, zipf and latest", s->dist_text);
    s->is_json = strcmp(s->write_out, "json") == 0;
    if (!s->is_json && strcmp(s->write_out, "table") != 0) return wrong(out_text, "--write-out \"%.80s\": there are table and json", s->write_out);
    s->is_live_json = strcmp(s->live, "json") == 0;
    s->is_live = strcmp(s->live, "line") == 0 || (strcmp(s->live, "auto") == 0 && isatty(STDERR_FILENO) == 1);
    if (!s->is_live && !s->is_live_json && strcmp(s->live, "none") != 0 && strcmp(s->live, "auto") != 0)
        return wrong(out_text, "--live \"%.80s\": there are json, line and none", s->live);
    if (!servers_parse(s->server_pids, &s->servers, out_text, SETTINGS_TEXT_BYTES)) return false;
    if (s->plot[0] != '\0' && !plot_can_write(s->plot)) return wrong(out_text, "--plot \"%.80s\": a name that ends in .svg or .png is wanted", s->plot);
    if (s->compares) return read_sides(s, out_text);
    s->endpoint_text = flags_list_string(&s->endpoints);
    char *whole = alloc_string(s->endpoint_text);
    bool is_good = split_endpoints(s, s->endpoint_text, whole, out_text);
    alloc_free(whole);
    return is_good;
}

static bool find_command(const char *word, enum command *out_command, char *out_text)
{
    size_t nearest = COMMAND_COUNT, distance = NEAR_ENOUGH + 1;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t away = nearest_distance(word, COMMANDS[i].name);
        if (away < distance) {
            distance = away;
            nearest = i;
        }
    }
    if (distance == 0) {
        *out_command = (enum command)nearest;
        return true;
    }
    if (nearest < COMMAND_COUNT) return wrong(out_text, "there is no workload \"%.80s\"; did you mean %s?", word, COMMANDS[nearest].name);
    return wrong(out_text, "there is no workload \"%.80s\": kvbench --help lists them", word);
}

static bool check_flags(const struct settings_flag *table, const struct flag *flags, int count, const struct settings *s, char *out_text)
{
    enum command command = s->command;
    uint32_t of = OF(command) | (s->compares ? OF_COMPARE : 0);
    for (int i = 0; i < count; i++)
        if (flags[i].is_set && (table[i].of & of) == 0)
            return wrong(out_text, "--%s is no flag of %s: kvbench %s --help", flags[i].name, COMMANDS[command].name, COMMANDS[command].name);
    return true;
}

bool settings_parse(struct settings *settings, int argc, char **argv, bool *out_has_command, char out_text[SETTINGS_TEXT_BYTES])
{
    struct settings_flag table[SETTINGS_FLAGS_MAX];
    struct flag flags[SETTINGS_FLAGS_MAX];
    const struct flags_options options = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = alloc_zero((size_t)argc, sizeof(char *))};
    int count = settings_flags(settings, table), word_count;
    const char **words;
    bool is_good = false;
    *out_has_command = false;
    out_text[0] = '\0';
    for (int i = 0; i < count; i++) flags[i] = table[i].flag;
    if (!flags_parse(flags, count, argc, argv, &options, &result)) {
        (void)wrong(out_text, "%s", result.error);
        goto out;
    }
    is_good = settings->help;
    words = result.arguments;
    word_count = result.arguments_count;
    settings->compares = word_count > 0 && strcmp(words[0], COMPARE.name) == 0;
    if (settings->compares) {
        words++;
        word_count--;
        if (word_count == 0 && !settings->help) (void)wrong(out_text, "compare wants a workload: kvbench compare --help");
    }
    if (word_count == 0) goto out;
    is_good = find_command(words[0], &settings->command, out_text);
    *out_has_command = is_good;
    if (!is_good || settings->help) goto out;
    is_good = word_count == 1 || wrong(out_text, "\"%.80s\" is one word too many", words[1]);
    is_good = is_good && check_flags(table, flags, count, settings, out_text) && check_numbers(settings, out_text) && read_texts(settings, out_text) &&
              check_streams(settings, is_set(flags, count, "clients"), out_text);
out:
    alloc_free(result.arguments);
    return is_good;
}

void settings_deinit(struct settings *settings)
{
    for (size_t i = 0; i < 2; i++) {
        alloc_free(settings->sides[i].name);
        alloc_free(settings->side_texts[i]);
        settings->sides[i].name = settings->side_texts[i] = NULL;
    }
    alloc_free(settings->endpoint_text);
    settings->endpoint_text = NULL;
}
