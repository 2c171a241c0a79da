/* tally: what has been counted: operations, latencies, errors by kind, bytes. One for each thread that counts, and sums of them.
 * Owner: tally_init/tally_deinit, embedded. Thread: the holder of `mutex`; sums have one thread.
 * Limits: TALLY_KINDS_MAX kinds of errors are told apart, the rest is one. */
#ifndef KVBENCH_TALLY_H
#define KVBENCH_TALLY_H
#include <pthread.h>
#include <stdint.h>

#include "client/kvd/client.h"
#include "histogram.h"

#define TALLY_KINDS_MAX 16
#define TALLY_TEXT_BYTES 120

struct tally_kind {
    enum kvd_code code;
    char text[TALLY_TEXT_BYTES];
    uint64_t count;
};
struct tally_counts {
    uint64_t ops;             /* that succeeded */
    uint64_t errors, unknown; /* that failed, and of these whose fate is open */
    uint64_t retries;         /* attempts beyond the first */
    uint64_t bytes_read, bytes_written; /* of keys and values */
    uint64_t found;           /* keys and events that answers held or counted */
};
struct tally {
    pthread_mutex_t mutex;
    struct tally_counts counts;
    struct histogram latencies; /* of what succeeded, and of what failed for want of time */
    struct tally_kind kinds[TALLY_KINDS_MAX];
    size_t kind_count;
    uint64_t other_errors;
    FILE *raw;                /* where each end is written; NULL = nowhere */
};

void tally_init(struct tally *tally);
void tally_deinit(struct tally *tally);
void tally_clear(struct tally *tally);
/* One call's end, for `ops` operations. */
void tally_done(struct tally *tally, uint64_t now_ns, uint64_t start_ns, uint64_t ops);
void tally_failed(struct tally *tally, uint64_t now_ns, uint64_t start_ns, enum kvd_code code, const char *text, bool is_unknown);
void tally_merge(struct tally *into, const struct tally *from);

#endif
