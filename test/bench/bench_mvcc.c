/* bench_mvcc: what the store costs, each figure beside its target.
 *
 *   bench_mvcc [--full] [--json] [--keys N] [ONLY]     ONLY: the figures of the part with that name
 *
 * Without --full everything is 1/20 of its size: it shows that the program works, not what the store can do.
 * Times are CPU times of the thread that does the work, so that a neighbour on the machine does not count; work that liburcu's own thread
 * does is told apart. A put is a transaction of its own; a batch is what lies between two publishes, with the reclaiming that the
 * apply role would do there. A judgement is printed and changes nothing of the exit code: a slow machine is no bug.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "storage/mvcc.h"
#include "storage/range.h"
#include "storage/rcu.h"

#define KEYS_FULL 1000000u
#define KEYS_SMALL 50000u
#define COMPACT_BUDGET 1024 /* as in the apply role */
#define RECLAIM_BUDGET 64
#define KEY_PREFIX "/registry/item/"
#define KEY_BYTES (sizeof KEY_PREFIX - 1 + 8)
#define VALUE_BYTES_MAX 64 /* sizes from 0 up to it, all alike: so that the allocator's rounding is the usual one */

enum goal { GOAL_NONE, GOAL_AT_LEAST, GOAL_AT_MOST };
struct bench {
    uint32_t keys;
    bool is_json;
    const char *only; /* NULL = all */
    struct rng rng;
    uint32_t *order; /* the keys' numbers, shuffled */
    uint8_t value[VALUE_BYTES_MAX];
};

/* As apps/kvd sets it. */
extern const char *const malloc_conf;
const char *const malloc_conf = "background_thread:true,narenas:8,dirty_decay_ms:2000,muzzy_decay_ms:0,thp:always";

/* --- figures ---------------------------------------------------------------------------------------------------------------- */

static void report(const struct bench *bench, const char *figure, double measured, const char *unit, enum goal goal, double target)
{
    bool is_ok = goal == GOAL_NONE || (goal == GOAL_AT_LEAST ? measured >= target : measured <= target);
    const char *verdict = goal == GOAL_NONE ? "-" : is_ok ? "ok" : "below";
    if (bench->is_json) {
        printf("{\"figure\":\"%s\",\"measured\":%.2f,\"unit\":\"%s\"", figure, measured, unit);
        if (goal != GOAL_NONE) printf(",\"target\":%.2f,\"bound\":\"%s\"", target, goal == GOAL_AT_LEAST ? "min" : "max");
        printf(",\"verdict\":\"%s\"}\n", verdict);
    } else {
        char wanted[32] = "-";
        if (goal != GOAL_NONE) snprintf(wanted, sizeof wanted, "%s %.0f", goal == GOAL_AT_LEAST ? ">=" : "<=", target);
        printf("%-58s | %12.*f %-7s | %-12s | %s\n", figure, measured < 100 ? 2 : 0, measured, unit, wanted, verdict);
    }
    fflush(stdout);
}

static double clock_s(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
static double cpu_s(void) { return clock_s(CLOCK_THREAD_CPUTIME_ID); }
static double process_cpu_s(void) { return clock_s(CLOCK_PROCESS_CPUTIME_ID); }

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    ASSERT(file != NULL);
    int fields = fscanf(file, "%llu %llu", &pages, &resident);
    ASSERT(fields == 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Bytes that the allocator has handed out, rounding included; 0 without jemalloc. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));
static uint64_t heap_bytes(void)
{
    uint64_t epoch = 1;
    size_t bytes = 0;
    size_t size = sizeof epoch;
    if (mallctl == NULL) return 0;
    mallctl("epoch", &epoch, &size, &epoch, size);
    size = sizeof bytes;
    mallctl("stats.allocated", &bytes, &size, NULL, 0);
    return bytes;
}

/* --- keys ------------------------------------------------------------------------------------------------------------------- */

struct key {
    uint8_t bytes[KEY_BYTES];
};
static struct slice make_key(struct key *room, uint32_t number)
{
    memcpy(room->bytes, KEY_PREFIX, sizeof KEY_PREFIX - 1);
    for (int i = 0; i < 8; i++) room->bytes[KEY_BYTES - 1 - (size_t)i] = (uint8_t)"0123456789abcdef"[number >> (4 * i) & 15];
    return slice_make(room->bytes, KEY_BYTES);
}
static uint32_t value_size(uint32_t number) { return number * 2654435761u >> 26; }

static void shuffle(struct bench *bench, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) bench->order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)rng_below(&bench->rng, i);
        uint32_t number = bench->order[i - 1];
        bench->order[i - 1] = bench->order[other];
        bench->order[other] = number;
    }
}

static struct mvcc_range everything(void) { return mvcc_range_make(slice_make("", 1), slice_make("", 1)); }

/* --- writing ---------------------------------------------------------------------------------------------------------------- */

static struct mvcc *store_new(void) { return mvcc_new(&(struct mvcc_options){.rcu = rcu_system()}); }

static void put(struct bench *bench, struct mvcc *mvcc, uint32_t number)
{
    struct key room;
    mvcc_begin(mvcc);
    mvcc_put(mvcc, make_key(&room, number), slice_make(bench->value, value_size(number)), 0);
    mvcc_commit(mvcc);
}

static void end_batch(struct mvcc *mvcc)
{
    mvcc_publish(mvcc);
    (void)mvcc_reclaim_step(mvcc, RECLAIM_BUDGET);
}

static void put_all(struct bench *bench, struct mvcc *mvcc, uint32_t count, uint32_t batch)
{
    for (uint32_t i = 0; i < count; i++) {
        put(bench, mvcc, bench->order[i]);
        if ((i + 1) % batch == 0) end_batch(mvcc);
    }
    end_batch(mvcc);
}

struct compaction {
    double seconds, longest_s;
    uint64_t versions;
};
/* Everything older than now, in the apply role's steps, each with its publish. */
static struct compaction compact_all(struct mvcc *mvcc)
{
    struct compaction compaction = {.seconds = 0};
    struct mvcc_stats before;
    struct mvcc_stats after;
    mvcc_get_stats(mvcc, &before);
    enum err err = mvcc_compact(mvcc, mvcc_view_revision(mvcc_writer_view(mvcc)));
    ASSERT(err == ERR_OK);
    for (bool is_more = true; is_more;) {
        double start = cpu_s();
        is_more = mvcc_compact_step(mvcc, COMPACT_BUDGET);
        end_batch(mvcc);
        double step = cpu_s() - start;
        compaction.seconds += step;
        if (step > compaction.longest_s) compaction.longest_s = step;
    }
    mvcc_get_stats(mvcc, &after);
    compaction.versions = before.versions - after.versions;
    return compaction;
}

static void settle(struct mvcc *mvcc)
{
    mvcc_publish(mvcc);
    rcu_wait(rcu_system());
    while (mvcc_reclaim_step(mvcc, SIZE_MAX)) continue;
}

static void store_free(struct mvcc *mvcc)
{
    settle(mvcc);
    mvcc_free(mvcc);
}

static struct mvcc *store_filled(struct bench *bench, uint32_t count)
{
    struct mvcc *mvcc = store_new();
    shuffle(bench, count);
    put_all(bench, mvcc, count, 64);
    settle(mvcc);
    return mvcc;
}

static void bench_put(struct bench *bench, uint32_t batch, double target)
{
    char figure[80];
    double keys = bench->keys;
    struct mvcc *mvcc = store_new();
    shuffle(bench, bench->keys);
    double start = cpu_s();
    put_all(bench, mvcc, bench->keys, batch);
    snprintf(figure, sizeof figure, "put new keys, random order, batches of %" PRIu32, batch);
    report(bench, figure, keys / (cpu_s() - start), "/s", GOAL_AT_LEAST, target);
    settle(mvcc);
    shuffle(bench, bench->keys);
    start = cpu_s();
    double process_start = process_cpu_s();
    put_all(bench, mvcc, bench->keys, batch);
    double seconds = cpu_s() - start;
    double others = process_cpu_s() - process_start - seconds;
    snprintf(figure, sizeof figure, "put over old keys, random order, batches of %" PRIu32, batch);
    report(bench, figure, keys / seconds, "/s", GOAL_AT_LEAST, target);
    snprintf(figure, sizeof figure, "  CPU of liburcu's thread beside it, per put");
    report(bench, figure, others * 1e9 / keys, "ns", GOAL_NONE, 0);
    store_free(mvcc);
}

static void part_put(struct bench *bench)
{
    bench_put(bench, 64, 500000);
    bench_put(bench, 1, 250000);
}

/* --- reading ---------------------------------------------------------------------------------------------------------------- */

struct point_reader {
    struct mvcc *mvcc;
    uint32_t keys, reads;
    double seconds;
    atomic_bool is_done;
};

static void *read_points(void *context)
{
    struct point_reader *reader = context;
    struct rng rng;
    rng_init(&rng, 7);
    rcu_reader_register();
    double start = cpu_s();
    for (uint32_t i = 0; i < reader->reads; i += 32) {
        const struct mvcc_view *view = mvcc_view(reader->mvcc);
        for (int read = 0; read < 32; read++) {
            struct key room;
            struct mvcc_kv kv;
            bool is_found = mvcc_get(view, make_key(&room, (uint32_t)rng_below(&rng, reader->keys)), 0, &kv);
            ASSERT(is_found);
        }
        rcu_reader_quiescent();
    }
    reader->seconds = cpu_s() - start;
    rcu_reader_unregister();
    atomic_store(&reader->is_done, true);
    return NULL;
}

/* The main thread writes in batches of 64 until the readers are done; it compacts as it goes, so that it can go on for ever. */
static void bench_readers(struct bench *bench, int count, bool is_writing, double target)
{
    struct point_reader readers[2];
    pthread_t threads[2];
    char figure[80];
    double slowest = 0;
    struct mvcc *mvcc = store_filled(bench, bench->keys);
    for (int i = 0; i < count; i++) {
        readers[i] = (struct point_reader){.mvcc = mvcc, .keys = bench->keys, .reads = bench->keys * 2};
        int failed = pthread_create(&threads[i], NULL, read_points, &readers[i]);
        ASSERT(failed == 0);
    }
    for (int i = 0; is_writing && i < count; i++) {
        while (!atomic_load(&readers[i].is_done)) {
            for (int k = 0; k < 64; k++) put(bench, mvcc, (uint32_t)rng_below(&bench->rng, bench->keys));
            end_batch(mvcc);
        }
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        if (readers[i].seconds > slowest) slowest = readers[i].seconds;
    }
    snprintf(figure, sizeof figure, "point reads per reader, %d reader%s, %s", count, count > 1 ? "s" : "",
             is_writing ? "a writer running" : "no writer");
    report(bench, figure, (double)readers[0].reads / slowest, "/s", target > 0 ? GOAL_AT_LEAST : GOAL_NONE, target);
    store_free(mvcc);
}

static void part_get(struct bench *bench)
{
    bench_readers(bench, 1, false, 0);
    bench_readers(bench, 1, true, 1500000);
    bench_readers(bench, 2, true, 1500000);
}

static double scan_rate(const struct mvcc_view *view, int64_t revision, uint64_t *out_sum)
{
    struct mvcc_range range = everything();
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    uint64_t count = 0;
    double start = cpu_s();
    mvcc_scan_init(&scan, view, &range, revision);
    for (; mvcc_scan_next(&scan, &kv); count++) *out_sum += kv.value.size;
    return (double)count / (cpu_s() - start);
}

static void part_scan(struct bench *bench)
{
    struct mvcc *mvcc = store_filled(bench, bench->keys);
    int64_t revision = mvcc_view_revision(mvcc_view(mvcc));
    uint64_t sum = 0;
    report(bench, "keys scanned now", scan_rate(mvcc_view(mvcc), 0, &sum), "/s", GOAL_AT_LEAST, 10e6);
    shuffle(bench, bench->keys);
    put_all(bench, mvcc, bench->keys, 64);
    report(bench, "keys scanned now, two versions each", scan_rate(mvcc_view(mvcc), 0, &sum), "/s", GOAL_NONE, 0);
    report(bench, "keys scanned at the old revision", scan_rate(mvcc_view(mvcc), revision, &sum), "/s", GOAL_NONE, 0);
    ASSERT(sum > 0);
    store_free(mvcc);
}

/* --- ranges ----------------------------------------------------------------------------------------------------------------- */

struct page {
    int64_t rows_max;
    int64_t revision;
    struct slice key, end;
};
/* One RangeRequest as net would run it; the seconds of its longest step. */
static double run_range(struct mvcc *mvcc, const struct page *page, struct range_memo *memo, struct buf *out_body)
{
    struct range_request request = {.key = page->key, .range_end = page->end, .limit = page->rows_max, .revision = page->revision};
    struct range *range = range_new(&request, mvcc, SIZE_MAX);
    enum err err = ERR_OK;
    enum range_progress progress = RANGE_MORE;
    double longest = 0;
    range_set_memo(range, memo);
    buf_clear(out_body);
    while (progress == RANGE_MORE) {
        double start = cpu_s();
        progress = range_step(range, mvcc_view(mvcc), 256 * 1024, 8192, out_body, &err);
        double step = cpu_s() - start;
        if (step > longest) longest = step;
    }
    ASSERT(progress == RANGE_DONE && err == ERR_OK);
    range_free(range);
    return longest;
}

/* Nanoseconds of a count and of a range of 10 rows, at random places. */
static void time_ranges(struct bench *bench, struct mvcc *mvcc, uint32_t keys, double *out_count_ns, double *out_limited_ns)
{
    const uint32_t rounds = 20000;
    struct key room;
    struct key end_room;
    struct buf body;
    int64_t sum = 0;
    double start = cpu_s();
    buf_init(&body);
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t low = (uint32_t)rng_below(&bench->rng, keys);
        struct mvcc_range range = mvcc_range_make(make_key(&room, low), make_key(&end_room, keys - low / 2));
        sum += mvcc_count(mvcc_view(mvcc), &range, 0);
    }
    *out_count_ns = (cpu_s() - start) * 1e9 / rounds;
    ASSERT(sum > 0);
    start = cpu_s();
    for (uint32_t i = 0; i < rounds; i++) {
        struct page page = {.rows_max = 10, .key = make_key(&room, (uint32_t)rng_below(&bench->rng, keys)), .end = slice_make("", 1)};
        (void)run_range(mvcc, &page, NULL, &body);
    }
    *out_limited_ns = (cpu_s() - start) * 1e9 / rounds;
    buf_deinit(&body);
}

/* Independent of n but for the tree's height and what the caches hold: a walk would cost a hundred times as much, this a few times. */
static void part_range(struct bench *bench)
{
    double count_ns[3];
    double limited_ns[3];
    char figure[80];
    for (int i = 0; i < 3; i++) {
        uint32_t keys = bench->keys / (i == 0 ? 100 : i == 1 ? 10 : 1);
        struct mvcc *mvcc = store_filled(bench, keys);
        time_ranges(bench, mvcc, keys, &count_ns[i], &limited_ns[i]);
        snprintf(figure, sizeof figure, "count of a random interval, n = %" PRIu32, keys);
        report(bench, figure, count_ns[i], "ns", GOAL_NONE, 0);
        snprintf(figure, sizeof figure, "range with limit 10, n = %" PRIu32, keys);
        report(bench, figure, limited_ns[i], "ns", GOAL_NONE, 0);
        store_free(mvcc);
    }
    report(bench, "count: cost at n over cost at n / 100", count_ns[2] / count_ns[0], "times", GOAL_AT_MOST, 10);
    report(bench, "limit 10: cost at n over cost at n / 100", limited_ns[2] / limited_ns[0], "times", GOAL_AT_MOST, 10);
}

/* --- memory ----------------------------------------------------------------------------------------------------------------- */

static void part_memory(struct bench *bench)
{
    shuffle(bench, bench->keys);
    uint64_t heap_before = heap_bytes();
    uint64_t resident_before = resident_bytes();
    struct mvcc *mvcc = store_new();
    struct mvcc_stats stats;
    put_all(bench, mvcc, bench->keys, 64);
    settle(mvcc);
    mvcc_get_stats(mvcc, &stats);
    double keys = bench->keys;
    double data = (double)stats.live_bytes;
    double heap = (double)(heap_bytes() - heap_before);
    report(bench, "bytes per key beyond key and value, as counted", ((double)stats.bytes - data) / keys, "B", GOAL_NONE, 0);
    if (heap_bytes() > 0) {
        report(bench, "bytes per key beyond key and value, with rounding", (heap - data) / keys, "B", GOAL_AT_MOST, 80);
    }
    double resident = (double)(resident_bytes() - resident_before);
    report(bench, "bytes per key beyond key and value, resident", (resident - data) / keys, "B", GOAL_NONE, 0);
    store_free(mvcc);
}

/* --- patterns that hurt other stores ------------------------------------------------------------------------------------------ */

/* One key with as many versions as the other figures have keys. No collapse: as fast as an ordinary put or read. */
static void part_hot(struct bench *bench)
{
    const uint32_t reads = 200000;
    struct key room;
    struct slice key = make_key(&room, 1);
    struct mvcc *mvcc = store_new();
    struct mvcc_kv kv;
    double start = cpu_s();
    for (uint32_t i = 0; i < bench->keys; i++) {
        put(bench, mvcc, 1);
        if (i % 64 == 63) end_batch(mvcc);
    }
    end_batch(mvcc);
    report(bench, "hot key: puts, batches of 64", (double)bench->keys / (cpu_s() - start), "/s", GOAL_AT_LEAST, 500000);
    start = cpu_s();
    for (uint32_t i = 0; i < reads; i++) (void)mvcc_get(mvcc_view(mvcc), key, 0, &kv);
    report(bench, "hot key: reads now", reads / (cpu_s() - start), "/s", GOAL_AT_LEAST, 1500000);
    start = cpu_s();
    for (uint32_t i = 0; i < reads; i++) {
        int64_t revision = 2 + (int64_t)rng_below(&bench->rng, bench->keys);
        bool is_found = mvcc_get(mvcc_view(mvcc), key, revision, &kv);
        ASSERT(is_found && kv.mod_revision == revision);
    }
    report(bench, "hot key: reads at a random old revision", reads / (cpu_s() - start), "/s", GOAL_AT_LEAST, 100000);
    struct compaction compaction = compact_all(mvcc);
    report(bench, "hot key: versions compacted", (double)compaction.versions / compaction.seconds, "/s", GOAL_AT_LEAST, 1000000);
    report(bench, "hot key: longest step of compaction", compaction.longest_s * 1e6, "us", GOAL_AT_MOST, 1000);
    store_free(mvcc);
}

/* First in, first out: each round puts one at the tail, reads the first by a limited range, deletes it. Nothing is compacted meanwhile, so
 * deleted keys pile up at the head. */
static void part_queue(struct bench *bench)
{
    const uint32_t waiting = 1000;
    struct key room;
    struct mvcc_range range = everything();
    struct mvcc *mvcc = store_new();
    struct buf body;
    double late = 0;
    double start = cpu_s();
    double middle = start;
    buf_init(&body);
    for (uint32_t i = 0; i < waiting; i++) put(bench, mvcc, i);
    for (uint32_t i = 0; i < bench->keys; i++) {
        if (i == bench->keys / 2) middle = cpu_s();
        put(bench, mvcc, waiting + i);
        end_batch(mvcc);
        struct page page = {.rows_max = 1, .key = range.key, .end = range.end};
        (void)run_range(mvcc, &page, NULL, &body);
        struct mvcc_range head = mvcc_range_make(make_key(&room, i), slice_empty());
        mvcc_begin(mvcc);
        int64_t deleted = mvcc_delete(mvcc, &head, NULL, NULL);
        ASSERT(deleted == 1);
        mvcc_commit(mvcc);
        end_batch(mvcc);
    }
    double end = cpu_s();
    late = end - middle;
    report(bench, "queue: rounds of put, read first, delete it", (double)bench->keys / (end - start), "/s", GOAL_AT_LEAST, 100000);
    report(bench, "queue: time of the second half over the first", late / (middle - start), "times", GOAL_AT_MOST, 1.5);
    struct compaction compaction = compact_all(mvcc);
    report(bench, "queue: versions compacted", (double)compaction.versions / compaction.seconds, "/s", GOAL_AT_LEAST, 1000000);
    report(bench, "queue: longest step of compaction", compaction.longest_s * 1e6, "us", GOAL_AT_MOST, 1000);
    buf_deinit(&body);
    store_free(mvcc);
}

/* Since `revision` every key was written again and a tenth of them deleted. */
static struct mvcc *store_with_past(struct bench *bench, int64_t *out_revision)
{
    struct mvcc *mvcc = store_filled(bench, bench->keys);
    struct key room;
    *out_revision = mvcc_view_revision(mvcc_view(mvcc));
    shuffle(bench, bench->keys);
    put_all(bench, mvcc, bench->keys, 64);
    for (uint32_t i = 0; i < bench->keys; i += 10) {
        struct mvcc_range one = mvcc_range_make(make_key(&room, i), slice_empty());
        mvcc_begin(mvcc);
        (void)mvcc_delete(mvcc, &one, NULL, NULL);
        mvcc_commit(mvcc);
        if (i % 640 == 0) end_batch(mvcc);
    }
    end_batch(mvcc);
    return mvcc;
}

/* A client reads all keys in pages of 500 at an old revision. The first page must count, the others are told by the page before. */
static void part_paging(struct bench *bench)
{
    int64_t revision = 0;
    struct mvcc *mvcc = store_with_past(bench, &revision);
    struct range_memo *memo = range_memo_new();
    struct key room;
    struct key end_room;
    struct buf body;
    uint32_t pages = 0;
    double longest = 0;
    double after_first = 0;
    struct page page = {.rows_max = 500, .revision = revision, .end = make_key(&end_room, UINT32_MAX)};
    buf_init(&body);
    double start = cpu_s();
    for (uint32_t first = 0; first < bench->keys; first += 500, pages++) {
        uint8_t key[KEY_BYTES + 1] = {0}; /* right behind the last row of the page before */
        memcpy(key, make_key(&room, first == 0 ? 0 : first - 1).data, KEY_BYTES);
        page.key = slice_make(key, first == 0 ? KEY_BYTES : sizeof key);
        double step = run_range(mvcc, &page, memo, &body);
        if (step > longest) longest = step;
        if (first == 0) after_first = cpu_s();
    }
    double seconds = cpu_s() - after_first;
    report(bench, "paging at an old revision: first page of 500", (after_first - start) * 1e6, "us", GOAL_NONE, 0);
    report(bench, "paging at an old revision: each page of 500 after it", seconds * 1e6 / (pages - 1), "us", GOAL_AT_MOST, 500);
    report(bench, "paging at an old revision: longest step", longest * 1e6, "us", GOAL_AT_MOST, 1000);
    report(bench, "paging at an old revision: keys", pages * 500.0 / (cpu_s() - start), "/s", GOAL_NONE, 0);
    range_memo_free(memo);
    buf_deinit(&body);
    store_free(mvcc);
}

static void part_compaction(struct bench *bench)
{
    struct mvcc *mvcc = store_filled(bench, bench->keys);
    shuffle(bench, bench->keys);
    put_all(bench, mvcc, bench->keys, 64);
    settle(mvcc);
    struct compaction compaction = compact_all(mvcc);
    ASSERT(compaction.versions == bench->keys);
    report(bench, "old versions compacted, in steps of 1024", (double)compaction.versions / compaction.seconds, "/s", GOAL_AT_LEAST, 1000000);
    report(bench, "old versions: longest step of compaction", compaction.longest_s * 1e6, "us", GOAL_AT_MOST, 1000);
    store_free(mvcc);
}

/* --- program ---------------------------------------------------------------------------------------------------------------- */

static const struct part {
    const char *name;
    void (*run)(struct bench *bench);
} parts[] = {{"memory", part_memory}, {"put", part_put},       {"get", part_get},       {"scan", part_scan},
             {"range", part_range},   {"hot", part_hot},       {"queue", part_queue},   {"paging", part_paging},
             {"compaction", part_compaction}};

static void parse(struct bench *bench, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--full") == 0) {
            bench->keys = KEYS_FULL;
        } else if (strcmp(arguments[i], "--json") == 0) {
            bench->is_json = true;
        } else if (strcmp(arguments[i], "--keys") == 0 && i + 1 < count) {
            bench->keys = (uint32_t)strtoul(arguments[++i], NULL, 10);
        } else if (arguments[i][0] != '-' && bench->only == NULL) {
            bench->only = arguments[i];
        } else {
            fprintf(stderr, "usage: bench_mvcc [--full] [--json] [--keys N] [PART]\n");
            exit(2);
        }
    }
    if (bench->keys < 10000) bench->keys = 10000;
}

int main(int argument_count, char **arguments)
{
    struct bench bench = {.keys = KEYS_SMALL};
    size_t runs = 0;
    parse(&bench, argument_count, arguments);
    rng_init(&bench.rng, 1);
    bench.order = alloc_new(bench.keys * sizeof *bench.order);
    memset(bench.value, 'v', sizeof bench.value);
    if (!bench.is_json) {
        printf("bench_mvcc, n = %" PRIu32 " keys of %zu bytes, values of 0 to %d bytes\n", bench.keys, KEY_BYTES, VALUE_BYTES_MAX - 1);
        printf("%-58s | %-20s | %-12s | %s\n", "figure", "measured", "target", "ok/below");
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (bench.only != NULL && strcmp(bench.only, parts[i].name) != 0) continue;
        parts[i].run(&bench);
        runs++;
    }
    alloc_free(bench.order);
    if (runs == 0) fprintf(stderr, "bench_mvcc: no part named %s\n", bench.only);
    return runs == 0 ? 2 : 0;
}
