/* servers: what processes have used, as the kernel tells it: processor time of all their threads (schedstat), memory, bytes to and from the
 * disk, context switches. A thread that ended between two looks takes its time with it.
 * Owner: embedded. Thread: one at a time. Limits: SERVERS_MAX processes. Source: proc(5). */
#ifndef KVBENCH_SERVERS_H
#define KVBENCH_SERVERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVERS_MAX 64

struct servers {
    long pids[SERVERS_MAX];
    size_t count;
};
struct servers_usage { /* summed over all */
    uint64_t cpu_ns, rss_bytes, peak_rss_bytes, write_bytes, read_bytes, switches;
};

/* "11,12,13"; "" = none. False: it is no such list, or out_text says of which process nothing can be read. */
bool servers_parse(const char *text, struct servers *out_servers, char *out_text, size_t text_size);
/* The peak of memory counts from here on, where we may say so to the kernel; else it is that of the process's life. */
void servers_reset_peaks(const struct servers *servers);
/* False: a process is gone; what is left of the others is in *out_usage. */
bool servers_read(const struct servers *servers, struct servers_usage *out_usage);
/* What was used in between; of memory, what there was at the end. Nothing, where a process that is gone took its numbers with it. */
struct servers_usage servers_difference(const struct servers_usage *before, const struct servers_usage *after);

#endif
