/* bench_snapshot: what it costs to write a state to a file and to load it, each figure beside its target.
 *
 *   bench_snapshot [--full] [--json] [--keys N] [--dir DIRECTORY]
 *
 * Without --full everything is 1/20 of its size. Keys of 23 bytes with values of 256, put once in random order; then the same with every
 * key put twice more. Times are CPU times of the thread, so that neither a neighbour nor the disk counts; what a page cache cannot hold is
 * not measured here. A judgement is printed and changes nothing of the exit code.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "storage/alarm_state.h"
#include "storage/mvcc_content.h"
#include "storage/snapshot_dir.h"
#include "storage/snapshot_load.h"
#include "storage/snapshot_writer.h"

#define KEYS_FULL 1000000u
#define KEYS_SMALL 50000u
#define VALUE_BYTES 256
#define INITIAL "one=http://127.0.0.1:2380"

/* As apps/kvd sets it. */
extern const char *const malloc_conf;
const char *const malloc_conf = "background_thread:true,narenas:8,dirty_decay_ms:2000,muzzy_decay_ms:0,thp:always";

struct bench {
    uint32_t keys;
    bool is_json;
    char directory[256];
    struct fs *fs;
    struct mvcc *mvcc;
    struct rng rng;
    uint64_t index;
};

static void report(const struct bench *bench, const char *figure, double measured, const char *unit, double at_least, double at_most)
{
    bool has_goal = at_least > 0 || at_most > 0;
    bool is_ok = at_least > 0 ? measured >= at_least : measured <= at_most;
    const char *verdict = !has_goal ? "-" : is_ok ? "ok" : "below";
    double target = at_least > 0 ? at_least : at_most;
    if (bench->is_json) {
        printf("{\"figure\":\"%s\",\"measured\":%.2f,\"unit\":\"%s\"", figure, measured, unit);
        if (has_goal) printf(",\"target\":%.2f,\"bound\":\"%s\"", target, at_least > 0 ? "min" : "max");
        printf(",\"verdict\":\"%s\"}\n", verdict);
    } else {
        char wanted[32] = "-";
        if (has_goal) snprintf(wanted, sizeof wanted, "%s %.0f", at_least > 0 ? ">=" : "<=", target);
        printf("%-58s | %12.*f %-7s | %-12s | %s\n", figure, measured < 100 ? 2 : 0, measured, unit, wanted, verdict);
    }
    fflush(stdout);
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void put_all(struct bench *bench)
{
    char key[32];
    uint8_t value[VALUE_BYTES];
    memset(value, 'v', sizeof value);
    uint32_t step = 2654435761u % bench->keys | 1; /* an order that is not that of the keys; with a common factor some come twice */
    for (uint32_t i = 0, at = 0; i < bench->keys; i++, at = (at + step) % bench->keys) {
        (void)snprintf(key, sizeof key, "/registry/item/%08x", at);
        memcpy(value, &i, sizeof i);
        mvcc_begin(bench->mvcc);
        mvcc_put(bench->mvcc, slice_from_string(key), slice_make(value, sizeof value), 0);
        (void)mvcc_commit(bench->mvcc);
        if (i % 64 == 63) mvcc_publish(bench->mvcc);
        if (i % 64 == 63) (void)mvcc_reclaim_step(bench->mvcc, 64);
        rcu_reader_quiescent();
    }
    mvcc_publish(bench->mvcc);
}

static struct state_machine_image *take_image(struct bench *bench)
{
    char message[256];
    struct state_machine_image *image = ALLOC(struct state_machine_image);
    bool is_frozen = mvcc_export_freeze(bench->mvcc, &image->keys);
    ASSERT(is_frozen);
    image->index = ++bench->index;
    image->term = 1;
    image->conf = blob_copy(slice_from_string("conf"));
    image->cluster = cluster_from_initial(INITIAL, "token", message, sizeof message);
    image->mvcc = bench->mvcc;
    struct alarm_state *state = alarm_state_new();
    struct buf alarms;
    buf_init(&alarms);
    alarm_state_encode(state, &alarms);
    image->alarms = buf_take_blob(&alarms);
    alarm_state_free(state);
    return image;
}

static void write_file(struct bench *bench, const char *what)
{
    char figure[80];
    struct snapshot_writer_options options = {.fs = bench->fs, .directory = bench->directory, .member_id = 1, .unsafe_no_fsync = true};
    double begin = cpu_s();
    struct state_machine_image *image = take_image(bench);
    (void)snprintf(figure, sizeof figure, "%s: taking the image", what);
    report(bench, figure, (cpu_s() - begin) * 1e6, "us", 0, 1000);
    struct snapshot_writer *writer = snapshot_writer_new(&options, image);
    double longest = 0;
    begin = cpu_s();
    for (double before = begin, after; snapshot_writer_step(writer, 1); before = after) {
        after = cpu_s();
        if (after - before > longest) longest = after - before;
        rcu_reader_quiescent();
    }
    double seconds = cpu_s() - begin;
    ASSERT(snapshot_writer_state(writer) == SNAPSHOT_WRITER_DONE);
    struct snapshot_writer_stats stats;
    snapshot_writer_get_stats(writer, &stats);
    snapshot_writer_free(writer);
    (void)snprintf(figure, sizeof figure, "%s: written", what);
    report(bench, figure, (double)stats.bytes / 1e6 / seconds, "MB/s", 200, 0);
    (void)snprintf(figure, sizeof figure, "%s: versions written", what);
    report(bench, figure, (double)stats.versions / seconds, "/s", 0, 0);
    (void)snprintf(figure, sizeof figure, "%s: longest step of writing", what);
    report(bench, figure, longest * 1e6, "us", 0, 1000);
}

static void load_file(struct bench *bench, const char *what)
{
    char figure[80];
    struct snapshot_dir dir = {.path = bench->directory};
    char *path = snapshot_dir_file(&dir, bench->index, 1, false);
    struct snapshot_load_options options = {.fs = bench->fs, .path = path};
    struct snapshot_load *load = snapshot_load_new(&options);
    double longest = 0;
    double begin = cpu_s();
    for (double before = begin, after; snapshot_load_step(load); before = after) {
        after = cpu_s();
        if (after - before > longest) longest = after - before;
    }
    double seconds = cpu_s() - begin;
    ASSERT(snapshot_load_state(load) == SNAPSHOT_LOAD_DONE);
    struct state_machine_loaded *loaded = snapshot_load_take(load);
    struct fs_file *file = NULL;
    int error = fs_open(bench->fs, path, FS_READ, &file);
    ASSERT(error == 0);
    struct fs_op size = {.kind = FS_SIZE, .file = file};
    (void)fs_run(bench->fs, &size);
    fs_close(bench->fs, file);
    (void)snprintf(figure, sizeof figure, "%s: loaded", what);
    report(bench, figure, (double)size.result / 1e6 / seconds, "MB/s", 300, 0);
    (void)snprintf(figure, sizeof figure, "%s: versions loaded", what);
    report(bench, figure, (double)loaded->content->versions / seconds, "/s", 0, 0);
    (void)snprintf(figure, sizeof figure, "%s: longest step of loading", what);
    report(bench, figure, longest * 1e6, "us", 0, 1000);
    begin = cpu_s();
    double freed_longest = 0;
    for (double before = begin, after; mvcc_content_free_step(loaded->content, 1024); before = after) {
        after = cpu_s();
        if (after - before > freed_longest) freed_longest = after - before;
    }
    loaded->content = NULL;
    (void)snprintf(figure, sizeof figure, "%s: longest step of taking it apart", what);
    report(bench, figure, freed_longest * 1e6, "us", 0, 1000);
    state_machine_loaded_free(loaded);
    snapshot_load_free(load);
    struct fs_op drop = {.kind = FS_UNLINK, .path = path};
    (void)fs_run(bench->fs, &drop);
    alloc_free(path);
}

static int usage(void)
{
    fprintf(stderr, "usage: bench_snapshot [--full] [--json] [--keys N] [--dir DIRECTORY]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct bench bench = {.keys = KEYS_SMALL};
    const char *parent = "/tmp";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0) bench.keys = KEYS_FULL;
        else if (strcmp(argv[i], "--json") == 0) bench.is_json = true;
        else if (strcmp(argv[i], "--keys") == 0 && i + 1 < argc) bench.keys = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) parent = argv[++i];
        else return usage();
    }
    if (bench.keys == 0) return usage();
    (void)snprintf(bench.directory, sizeof bench.directory, "%s/bench_snapshot_XXXXXX", parent);
    if (mkdtemp(bench.directory) == NULL) {
        perror(parent);
        return 1;
    }
    if (!bench.is_json) printf("%u keys\n%-58s | %-20s | %-12s | ok/below\n", bench.keys, "figure", "measured", "target");
    rcu_reader_register();
    bench.fs = fs_real_new();
    bench.mvcc = mvcc_new(&(struct mvcc_options){.rcu = rcu_system()});
    put_all(&bench);
    write_file(&bench, "put once");
    load_file(&bench, "put once");
    put_all(&bench);
    put_all(&bench);
    write_file(&bench, "put three times");
    load_file(&bench, "put three times");
    rcu_reader_offline();
    rcu_wait(rcu_system());
    mvcc_free(bench.mvcc);
    rcu_reader_online();
    rcu_reader_unregister();
    fs_free(bench.fs);
    (void)rmdir(bench.directory);
    return 0;
}
