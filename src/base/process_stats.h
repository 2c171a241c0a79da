/* process_stats: what the system and the allocator say of this process. Thread: any. */
#ifndef BASE_PROCESS_STATS_H
#define BASE_PROCESS_STATS_H
#include <stdint.h>

struct process_stats {
    uint64_t resident_bytes, virtual_bytes;
    uint64_t cpu_ns;       /* user and system */
    uint64_t start_ns;     /* of the wall clock */
    uint64_t descriptors, descriptors_max;
    /* jemalloc's; 0 without it */
    uint64_t heap_allocated_bytes; /* handed out */
    uint64_t heap_active_bytes;    /* pages that hold them */
    uint64_t heap_resident_bytes;  /* and what is kept for the next */
};
/* About 20 µs. What cannot be read is 0. */
void process_stats_read(struct process_stats *out_stats);

#endif
