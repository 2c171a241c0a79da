/* bench_wal: what an append to the log costs beside what the disk itself asks for, and what the making of segments adds.
 *
 *   bench_wal [--full] [--json] [--dir DIR]     DIR: on the disk to be measured; a directory is made there and removed again
 *
 * Three loads, each run first on a bare file of zeros (write, fdatasync: the floor) and then on the log, in one thread, as the wal role
 * runs it. One after the other: the next append comes when the last one was acknowledged. Groups: 64 at a time. Steady: appends come
 * at fixed times whatever the log does, so that one that waits behind a chore counts with its whole wait; the size is chosen so that
 * segments change several times. It runs twice on the log: chores on the thread of the appends, and on one of their own, as the work role
 * does them. Operations are timed by kind, and told apart by whom they serve: a batch, or the next segment.
 * Without --full everything is small: it shows that the program works, not what the disk can do.
 */
#include <errno.h>
#include <pthread.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "storage/wal.h"
#include "storage/wal_format.h"

#define OPS_MAX 200000u
#define KINDS (FS_LOCK + 1)

struct settings {
    bool is_json;
    uint64_t appends;       /* of the load one after the other, and groups of the second */
    uint64_t steady_ns;     /* how long the steady load lasts */
    uint64_t steady_every_ns;
    uint64_t segment_bytes;
    char directory[400];
};

/* ---- a file system with a watch in its hand ---- */

struct timing {
    uint64_t count, sum_ns, max_ns;
};

struct timed_fs {
    struct fs fs; /* first */
    struct fs *inner;
    struct fs_file *spare; /* the file that has no batch yet */
    struct timing batch[KINDS];
    struct timing chore[KINDS];
};

static void timed_note(struct timed_fs *timed, const struct fs_op *op, struct fs_file *file, uint64_t start_ns)
{
    uint64_t spent_ns = clock_mono_ns() - start_ns;
    bool makes_spare = op->kind == FS_OPEN && strstr(op->path, "/spare") != NULL;
    if (makes_spare) timed->spare = op->file;
    if (op->kind == FS_PWRITE && file == timed->spare) timed->spare = NULL; /* its first batch: it is a segment now */
    bool is_batch = op->kind == FS_PWRITE || op->kind == FS_RENAME || op->kind == FS_FSYNC_DIR ||
                    (op->kind == FS_FDATASYNC && file != timed->spare);
    struct timing *timing = is_batch ? &timed->batch[op->kind] : &timed->chore[op->kind];
    timing->count++;
    timing->sum_ns += spent_ns;
    if (spent_ns > timing->max_ns) timing->max_ns = spent_ns;
}

static void timed_run(struct fs *fs, struct fs_op *op)
{
    struct timed_fs *timed = (struct timed_fs *)fs;
    struct fs_file *file = op->file;
    uint64_t start_ns = clock_mono_ns();
    (void)fs_run(timed->inner, op);
    timed_note(timed, op, file, start_ns);
}

static void timed_submit(struct fs *fs, struct fs_op *op)
{
    struct timed_fs *timed = (struct timed_fs *)fs;
    struct fs_file *file = op->file;
    uint64_t start_ns = clock_mono_ns();
    fs_submit(timed->inner, op);
    timed_note(timed, op, file, start_ns);
}

static struct fs_op *timed_take_done(struct fs *fs) { return fs_take_done(((struct timed_fs *)fs)->inner); }
static void timed_free(struct fs *fs) { (void)fs; }

static const struct fs_table timed_table = {
    .run = timed_run, .submit = timed_submit, .take_done = timed_take_done, .free = timed_free};

/* ---- a file system that works on a thread of its own ---- */

struct thread_fs {
    struct fs fs; /* first */
    struct timed_fs *timed;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wakes;
    struct list asked, done;
    bool is_over;
};

static void *thread_main(void *context)
{
    struct thread_fs *thread = context;
    (void)pthread_mutex_lock(&thread->lock);
    while (!thread->is_over) {
        struct list *node = list_pop_front(&thread->asked);
        if (node == NULL) {
            (void)pthread_cond_wait(&thread->wakes, &thread->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&thread->lock);
        (void)fs_run(&thread->timed->fs, LIST_ENTRY(node, struct fs_op, node));
        (void)pthread_mutex_lock(&thread->lock);
        list_push_back(&thread->done, node);
    }
    (void)pthread_mutex_unlock(&thread->lock);
    return NULL;
}

static void thread_run(struct fs *fs, struct fs_op *op) { (void)fs_run(((struct thread_fs *)fs)->timed->inner, op); }
static void thread_free(struct fs *fs) { (void)fs; }

static void thread_submit(struct fs *fs, struct fs_op *op)
{
    struct thread_fs *thread = (struct thread_fs *)fs;
    (void)pthread_mutex_lock(&thread->lock);
    list_push_back(&thread->asked, &op->node);
    (void)pthread_cond_signal(&thread->wakes);
    (void)pthread_mutex_unlock(&thread->lock);
}

static struct fs_op *thread_take_done(struct fs *fs)
{
    struct thread_fs *thread = (struct thread_fs *)fs;
    (void)pthread_mutex_lock(&thread->lock);
    struct list *node = list_pop_front(&thread->done);
    (void)pthread_mutex_unlock(&thread->lock);
    return node == NULL ? NULL : LIST_ENTRY(node, struct fs_op, node);
}

static const struct fs_table thread_table = {
    .run = thread_run, .submit = thread_submit, .take_done = thread_take_done, .free = thread_free};

static void thread_start(struct thread_fs *thread, struct timed_fs *timed)
{
    *thread = (struct thread_fs){.fs.table = &thread_table, .timed = timed};
    list_init(&thread->asked);
    list_init(&thread->done);
    int error = pthread_mutex_init(&thread->lock, NULL);
    if (error == 0) error = pthread_cond_init(&thread->wakes, NULL);
    if (error == 0) error = pthread_create(&thread->thread, NULL, thread_main, thread);
    if (error != 0) fatal("bench_wal: thread: %s", strerror(error));
}

static void thread_stop(struct thread_fs *thread)
{
    (void)pthread_mutex_lock(&thread->lock);
    thread->is_over = true;
    (void)pthread_cond_signal(&thread->wakes);
    (void)pthread_mutex_unlock(&thread->lock);
    (void)pthread_join(thread->thread, NULL);
    (void)pthread_cond_destroy(&thread->wakes);
    (void)pthread_mutex_destroy(&thread->lock);
}

/* ---- figures ---- */

struct samples {
    uint64_t *ns;
    size_t count;
    uint64_t start_ns, end_ns;
};

static void samples_begin(struct samples *samples)
{
    *samples = (struct samples){.ns = alloc_zero(OPS_MAX, sizeof(uint64_t)), .start_ns = clock_mono_ns()};
}

static void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count < OPS_MAX) samples->ns[samples->count++] = ns;
    samples->end_ns = clock_mono_ns();
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const struct settings *settings, const char *load, const char *what, double measured, const char *unit)
{
    if (settings->is_json) {
        printf("{\"figure\":\"%s: %s\",\"measured\":%.2f,\"unit\":\"%s\",\"verdict\":\"-\"}\n", load, what, measured, unit);
    } else {
        printf("%-34s | %-40s | %12.2f %s\n", load, what, measured, unit);
    }
}

static void report_samples(const struct settings *settings, const char *load, struct samples *samples, uint64_t per_sample)
{
    ASSERT(samples->count > 0);
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare_u64);
    double seconds = (double)(samples->end_ns - samples->start_ns) / 1e9;
    report(settings, load, "appends per second", (double)(samples->count * per_sample) / seconds, "/s");
    report(settings, load, "latency p50", (double)samples->ns[samples->count / 2] / 1e3, "us");
    report(settings, load, "latency p99", (double)samples->ns[samples->count * 99 / 100] / 1e3, "us");
    report(settings, load, "latency worst", (double)samples->ns[samples->count - 1] / 1e3, "us");
    alloc_free(samples->ns);
    *samples = (struct samples){0};
}

static void report_operations(const struct settings *settings, const struct timed_fs *timed)
{
    static const char *const names[KINDS] = {"open", "close", "read", "write", "fdatasync", "write zeros", "truncate",
                                             "size", "rename", "unlink", "mkdir", "fsync of directory", "list", "lock"};
    char what[80];
    for (int chore = 0; chore < 2; chore++) {
        for (size_t kind = 0; kind < KINDS; kind++) {
            const struct timing *timing = chore != 0 ? &timed->chore[kind] : &timed->batch[kind];
            if (timing->count == 0 || kind == FS_SIZE || kind == FS_LIST || kind == FS_PREAD) continue;
            const char *whom = chore != 0 ? "for the next segment" : "for batches";
            snprintf(what, sizeof what, "%s, count", names[kind]);
            report(settings, whom, what, (double)timing->count, "");
            snprintf(what, sizeof what, "%s, mean", names[kind]);
            report(settings, whom, what, (double)timing->sum_ns / 1e3 / (double)timing->count, "us");
            snprintf(what, sizeof what, "%s, worst", names[kind]);
            report(settings, whom, what, (double)timing->max_ns / 1e3, "us");
        }
    }
}

/* ---- the floor: a bare file of zeros ---- */

#define FLOOR_PIECE ((uint64_t)1 << 20)

struct floor_file {
    struct fs *fs;
    struct fs_file *file;
    char path[450];
    uint64_t bytes, offset;
    uint8_t *data;
};

static void must(int error, const char *path)
{
    if (error != 0) fatal("bench_wal: %s: %s", path, strerror(error));
}

static void floor_open(struct floor_file *floor, struct fs *fs, const char *directory, uint64_t bytes)
{
    *floor = (struct floor_file){.fs = fs, .bytes = bytes, .data = alloc_zero(1, FLOOR_PIECE)};
    snprintf(floor->path, sizeof floor->path, "%s/floor", directory);
    must(fs_open(fs, floor->path, FS_READ | FS_WRITE | FS_CREATE | FS_TRUNC, &floor->file), floor->path);
    for (uint64_t at = 0; at < bytes; at += FLOOR_PIECE) {
        struct fs_op write = {.kind = FS_PWRITE, .file = floor->file, .offset = at, .size = FLOOR_PIECE, .data = floor->data};
        must(fs_run(fs, &write), floor->path);
    }
    memset(floor->data, 0x5a, FLOOR_PIECE);
    must(fs_run(fs, &(struct fs_op){.kind = FS_FDATASYNC, .file = floor->file}), floor->path);
}

static void floor_append(struct floor_file *floor, uint64_t size)
{
    if (floor->offset + size > floor->bytes) floor->offset = 0;
    struct fs_op write = {.kind = FS_PWRITE, .file = floor->file, .offset = floor->offset, .size = size, .data = floor->data};
    must(fs_run(floor->fs, &write), floor->path);
    must(fs_run(floor->fs, &(struct fs_op){.kind = FS_FDATASYNC, .file = floor->file}), floor->path);
    floor->offset += size;
}

static void floor_close(struct floor_file *floor)
{
    fs_close(floor->fs, floor->file);
    must(fs_run(floor->fs, &(struct fs_op){.kind = FS_UNLINK, .path = floor->path}), floor->path);
    alloc_free(floor->data);
}

/* ---- the loads ---- */

struct load {
    struct wal *wal;
    uint64_t sequence, index;
    struct blob *data;
};

static void load_append(struct load *load)
{
    struct raft_entry entry = {.index = ++load->index, .term = 1, .kind = RAFT_ENTRY_COMMAND, .data = load->data};
    struct wal_append append = {.sequence = ++load->sequence, .entries = &entry, .entry_count = 1};
    append.hard = (struct raft_hard_state){.term = 1, .vote = 1, .commit = load->index - 1};
    wal_append(load->wal, &append);
}

/* As the wal role: a step, then what is durable is told. */
static void load_until(struct load *load, uint64_t sequence)
{
    while (wal_durable_sequence(load->wal) < sequence) (void)wal_step(load->wal, clock_mono_ns());
}

static void closed_loop(const struct settings *settings, struct load *load, struct floor_file *floor, uint64_t group)
{
    struct samples samples;
    char name[60];
    uint64_t bytes = wal_format_batch_bytes(false, group, group * load->data->size);
    samples_begin(&samples);
    for (uint64_t i = 0; i < settings->appends; i++) {
        uint64_t start_ns = clock_mono_ns();
        if (floor != NULL) {
            floor_append(floor, bytes);
        } else {
            for (uint64_t j = 0; j < group; j++) load_append(load);
            load_until(load, load->sequence);
        }
        samples_add(&samples, clock_mono_ns() - start_ns);
    }
    snprintf(name, sizeof name, "%s, %s", group == 1 ? "one after the other" : "groups of 64", floor != NULL ? "floor" : "log");
    report_samples(settings, name, &samples, group);
}

static void sleep_until(uint64_t when_ns)
{
    uint64_t now_ns = clock_mono_ns();
    if (when_ns <= now_ns) return;
    struct timespec left = {.tv_sec = (time_t)((when_ns - now_ns) / NS_PER_S), .tv_nsec = (long)((when_ns - now_ns) % NS_PER_S)};
    (void)nanosleep(&left, NULL);
}

/* Appends that are due when the one before is done go together. */
static void steady_floor(const struct settings *settings, struct floor_file *floor, uint64_t size)
{
    struct samples samples;
    samples_begin(&samples);
    uint64_t total = settings->steady_ns / settings->steady_every_ns;
    for (uint64_t done = 0; done < total;) {
        sleep_until(samples.start_ns + done * settings->steady_every_ns);
        uint64_t due = (clock_mono_ns() - samples.start_ns) / settings->steady_every_ns + 1;
        if (due > total) due = total;
        floor_append(floor, wal_format_batch_bytes(false, due - done, (due - done) * size));
        for (; done < due; done++) samples_add(&samples, clock_mono_ns() - (samples.start_ns + done * settings->steady_every_ns));
    }
    report_samples(settings, "steady, floor", &samples, 1);
}

static void steady_log(const struct settings *settings, struct load *load, const char *name)
{
    struct samples samples;
    struct wal_stats before, after;
    wal_get_stats(load->wal, &before);
    samples_begin(&samples);
    uint64_t total = settings->steady_ns / settings->steady_every_ns;
    uint64_t base = load->sequence;
    uint64_t issued = 0;
    for (uint64_t done = 0; done < total;) {
        for (; issued < total && samples.start_ns + issued * settings->steady_every_ns <= clock_mono_ns(); issued++) load_append(load);
        bool moved = wal_step(load->wal, clock_mono_ns());
        uint64_t durable = wal_durable_sequence(load->wal) - base;
        for (; done < durable; done++) samples_add(&samples, clock_mono_ns() - (samples.start_ns + done * settings->steady_every_ns));
        if (!moved && done == issued) sleep_until(samples.start_ns + issued * settings->steady_every_ns);
    }
    report_samples(settings, name, &samples, 1);
    wal_get_stats(load->wal, &after);
    report(settings, name, "changes of segment", (double)(after.segments - before.segments), "");
}

static void ignore_entry(void *context, const struct raft_entry *entry)
{
    (void)context;
    (void)entry;
}

static void remove_file(void *owner, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", (const char *)owner, name);
    (void)unlink(path);
}

/* A start on the log that is there; with a snapshot at its end nothing is handed out. */
static void start_again(const struct settings *settings, struct wal_options *options, const char *name, struct raft_entry *end)
{
    struct wal *wal = NULL;
    struct wal_recovered recovered;
    struct wal_stats stats;
    options->snapshot_index = end->index;
    options->snapshot_term = end->term;
    uint64_t start_ns = clock_mono_ns();
    if (wal_open(options, slice_make("conf", 4), ignore_entry, NULL, &wal, &recovered) != ERR_OK) fatal("bench_wal: %s", recovered.message);
    uint64_t ns = clock_mono_ns() - start_ns;
    wal_get_stats(wal, &stats);
    report(settings, name, "log on disk", (double)stats.disk_bytes / 1e6, "MB");
    report(settings, name, "speed", (double)stats.disk_bytes * 1e3 / (double)ns, "MB/s");
    end->index = recovered.last_index;
    end->term = recovered.hard.term;
    wal_close(wal);
    wal_recovered_deinit(&recovered);
}

static void bench(struct settings *settings)
{
    struct fs *inner = fs_real_new();
    struct timed_fs timed = {.fs.table = &timed_table, .inner = inner};
    struct timed_fs chores = {.fs.table = &timed_table, .inner = inner};
    struct thread_fs thread;
    struct load load = {.wal = NULL};
    struct floor_file floor;
    struct wal_recovered recovered;
    struct wal_options options = {.fs = &timed.fs,
                                  .directory = settings->directory,
                                  .cluster_id = 1,
                                  .member_id = 1,
                                  .segment_bytes = settings->segment_bytes,
                                  .batch_bytes_max = 4u << 20,
                                  .idle_mark_ns = 100 * NS_PER_MS};
    floor_open(&floor, inner, settings->directory, settings->segment_bytes);
    enum err err = wal_open(&options, slice_empty(), ignore_entry, NULL, &load.wal, &recovered);
    if (err != ERR_OK) fatal("bench_wal: %s", recovered.message);
    load.data = blob_new(256);
    memset(load.data->data, 1, load.data->size);
    closed_loop(settings, &load, &floor, 1);
    closed_loop(settings, &load, NULL, 1);
    closed_loop(settings, &load, &floor, 64);
    closed_loop(settings, &load, NULL, 64);
    blob_unref(load.data);
    load.data = blob_new(8192);
    memset(load.data->data, 2, load.data->size);
    steady_floor(settings, &floor, load.data->size);
    steady_log(settings, &load, "steady, log with its chores");
    while (!wal_is_idle(load.wal)) (void)wal_step(load.wal, clock_mono_ns());
    thread_start(&thread, &chores);
    wal_set_chores(load.wal, &thread.fs);
    steady_log(settings, &load, "steady, log, chores on a thread");
    while (!wal_is_idle(load.wal)) (void)wal_step(load.wal, clock_mono_ns());
    wal_set_chores(load.wal, &timed.fs);
    thread_stop(&thread);
    report_operations(settings, &timed);
    blob_unref(load.data);
    wal_close(load.wal);
    wal_recovered_deinit(&recovered);
    struct raft_entry end = {.index = 0};
    start_again(settings, &options, "start", &end);
    start_again(settings, &options, "start, snapshot at the end", &end);
    floor_close(&floor);
    struct fs_op list = {.kind = FS_LIST, .path = settings->directory, .list_fn = remove_file, .owner = settings->directory};
    (void)fs_run(inner, &list);
    fs_free(inner);
}

int main(int argc, char **argv)
{
    struct settings settings = {.appends = 200, .steady_ns = NS_PER_S, .steady_every_ns = 2 * NS_PER_MS, .segment_bytes = 1u << 20};
    const char *directory = ".";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            settings.is_json = true;
        } else if (strcmp(argv[i], "--full") == 0) {
            settings.appends = 3000;
            settings.steady_ns = 30 * NS_PER_S;
            settings.segment_bytes = 16u << 20;
        } else if (strcmp(argv[i], "--dir") == 0 && i + 1 < argc) {
            directory = argv[++i];
        } else {
            fprintf(stderr, "usage: bench_wal [--full] [--json] [--dir DIR]\n");
            return 2;
        }
    }
    snprintf(settings.directory, sizeof settings.directory, "%.380s/bench_wal_XXXXXX", directory);
    if (mkdtemp(settings.directory) == NULL) fatal("bench_wal: %s: %s", settings.directory, strerror(errno));
    if (!settings.is_json) printf("%-34s | %-40s | %s\n", "load", "figure", "measured");
    bench(&settings);
    (void)rmdir(settings.directory);
    return EXIT_SUCCESS;
}
