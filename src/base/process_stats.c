/* process_stats: see process_stats.h. */
#include "base/process_stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

/* Only where jemalloc is linked. */
extern int mallctl(const char *name, void *old_value, size_t *old_size, void *new_value, size_t new_size) __attribute__((weak));

static uint64_t read_allocator(const char *name)
{
    size_t value = 0, size = sizeof(value);
    ASSERT(name != NULL);
    return mallctl != NULL && mallctl(name, &value, &size, NULL, 0) == 0 ? value : 0;
}

static void read_heap(struct process_stats *stats)
{
    uint64_t epoch = 1;
    size_t size = sizeof(epoch);
    if (mallctl != NULL) (void)mallctl("epoch", &epoch, &size, &epoch, size); /* its figures are of the last one */
    stats->heap_allocated_bytes = read_allocator("stats.allocated");
    stats->heap_active_bytes = read_allocator("stats.active");
    stats->heap_resident_bytes = read_allocator("stats.resident");
}

static uint64_t clock_of(clockid_t id)
{
    struct timespec time = {0};
    int error = clock_gettime(id, &time);
    ASSERT(error == 0);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* Field 1 is the pid, field 2 a name in parentheses that may hold anything, field 3 the state (proc(5)). */
static void read_stat(struct process_stats *stats)
{
    char text[1024];
    int descriptor = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t size = descriptor < 0 ? -1 : read(descriptor, text, sizeof(text) - 1);
    if (descriptor >= 0) close(descriptor);
    if (size <= 0) return;
    text[size] = '\0';
    const char *at = strrchr(text, ')');
    uint64_t user = 0, system = 0, start = 0, virtual_bytes = 0, pages = 0;
    int found = at == NULL ? 0
                           : sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64 " %*s %*s %*s %*s %*s %*s %" SCNu64
                                            " %" SCNu64 " %" SCNu64, &user, &system, &start, &virtual_bytes, &pages);
    if (found != 5) return;
    uint64_t tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
    stats->cpu_ns = (user + system) * tick_ns;
    stats->start_ns = clock_of(CLOCK_REALTIME) - clock_of(CLOCK_BOOTTIME) + start * tick_ns;
    stats->virtual_bytes = virtual_bytes;
    stats->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void process_stats_read(struct process_stats *out_stats)
{
    struct rlimit limit = {0};
    struct stat directory = {0};
    memset(out_stats, 0, sizeof(*out_stats));
    read_stat(out_stats);
    read_heap(out_stats);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) out_stats->descriptors_max = limit.rlim_cur;
    /* Since Linux 6.2 its size is the number of entries: no walk over tens of thousands. */
    if (stat("/proc/self/fd", &directory) == 0) out_stats->descriptors = (uint64_t)directory.st_size;
}
