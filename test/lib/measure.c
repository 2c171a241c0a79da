/* measure: see measure.h. */
#include "lib/measure.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"

#define PIDS_MAX 16

static size_t bucket_of(uint64_t ns)
{
    if (ns < MEASURE_BUCKETS_PER_POWER) return (size_t)ns;
    unsigned shift = 58 - (unsigned)__builtin_clzll(ns); /* leaves the 6 highest bits: 32..63 */
    size_t bucket = (size_t)(shift + 1) * MEASURE_BUCKETS_PER_POWER + (size_t)(ns >> shift) - MEASURE_BUCKETS_PER_POWER;
    ASSERT(bucket < MEASURE_BUCKETS);
    return bucket;
}

static uint64_t bucket_ns(size_t bucket)
{
    ASSERT(bucket < MEASURE_BUCKETS);
    if (bucket < MEASURE_BUCKETS_PER_POWER) return bucket;
    unsigned shift = (unsigned)(bucket / MEASURE_BUCKETS_PER_POWER) - 1;
    return (bucket % MEASURE_BUCKETS_PER_POWER + MEASURE_BUCKETS_PER_POWER) << shift;
}

void measure_add(struct measure_latencies *latencies, uint64_t ns)
{
    latencies->count++;
    latencies->buckets[bucket_of(ns)]++;
    if (ns > latencies->max_ns) latencies->max_ns = ns;
}

uint64_t measure_percentile_ns(const struct measure_latencies *latencies, double share)
{
    uint64_t wanted = (uint64_t)((double)latencies->count * share), seen = 0;
    for (size_t i = 0; i < MEASURE_BUCKETS; i++) {
        seen += latencies->buckets[i];
        if (seen > wanted) return bucket_ns(i);
    }
    ASSERT(seen == latencies->count);
    return latencies->max_ns;
}

uint64_t measure_own_cpu_ns(void)
{
    struct timespec time;
    int error = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    ASSERT(error == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* --- processes --- */

static uint64_t cpu_ns_of(long pid)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL) fatal("%s: no such process", path);
    uint64_t total_ns = 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", pid, task->d_name);
        FILE *file = fopen(path, "r");
        uint64_t run_ns = 0;
        if (file == NULL) continue;
        if (fscanf(file, "%" SCNu64, &run_ns) == 1) total_ns += run_ns;
        fclose(file);
    }
    closedir(tasks);
    return total_ns;
}

static uint64_t rss_bytes_of(long pid)
{
    char path[320];
    uint64_t pages = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%*u %" SCNu64, &pages) != 1) fatal("%s: no such process", path);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t sum(const char *pids, uint64_t (*of)(long pid))
{
    uint64_t total = 0;
    const char *at = pids;
    for (int i = 0; i < PIDS_MAX && at != NULL && *at != '\0'; i++) {
        char *end = NULL;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0) fatal("processes %s: numbers with commas are wanted", pids);
        total += of(pid);
        at = *end == ',' ? end + 1 : end;
    }
    return total;
}

uint64_t measure_cpu_ns(const char *pids) { return sum(pids, cpu_ns_of); }
uint64_t measure_rss_bytes(const char *pids) { return sum(pids, rss_bytes_of); }

bool measure_read_flags(const char *program, struct flag *flags, int count, int argc, char **argv, const bool *help)
{
    struct flags_options options = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = alloc_zero((size_t)argc, sizeof(char *))};
    ASSERT(count > 0);
    bool ok = flags_parse(flags, count, argc, argv, &options, &result);
    if (!ok) fprintf(stderr, "%s: %s\n", program, result.error);
    if (ok && *help) flags_print_help(flags, count);
    alloc_free(result.arguments);
    return ok && !*help;
}

bool measure_in_range(const char *program, bool is_in_range)
{
    if (!is_in_range) fprintf(stderr, "%s: a setting is out of its range (see --help)\n", program);
    return is_in_range;
}
