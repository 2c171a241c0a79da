/* workload: what the next call is, by the command and its flags, and what an answer holds.
 * Owner: workload_init/workload_deinit. Thread: any; what changes is atomic, `rng` is the caller's. Source: YCSB's core workloads (2010). */
#ifndef KVBENCH_WORKLOAD_H
#define KVBENCH_WORKLOAD_H
#include <stdatomic.h>
#include <stdbool.h>

#include "base/rng.h"
#include "client/kvd/client.h"
#include "settings.h"
#include "tally.h"

struct workload {
    const struct settings *settings;
    struct distribution_keys keys;
    uint8_t *bytes;               /* what values are cut from */
    atomic_uint_fast64_t turn;    /* the next key of who goes through all of them */
    atomic_uint_fast64_t next_key; /* the next one that nobody has put yet … */
    atomic_uint_fast64_t key_count; /* … and as many as were acknowledged */
};
struct workload_call {
    uint64_t key, ops, bytes_written;
    bool owes_put;                /* it is a read, and a put of the same key follows as part of the operation */
    bool is_insert;
};

void workload_init(struct workload *workload, const struct settings *settings);
void workload_deinit(struct workload *workload);
struct kvd_request *workload_next(struct workload *workload, struct rng *rng, struct workload_call *out_call);
struct kvd_request *workload_then(struct workload *workload, struct rng *rng, struct workload_call *call); /* the put that is owed */
/* `count` puts from key number `first` on, in one transaction. */
struct kvd_request *workload_fill(struct workload *workload, struct rng *rng, uint64_t first, uint64_t count, struct workload_call *out_call);
/* Counts what a good answer holds. */
void workload_answered(struct workload *workload, const struct workload_call *call, const struct kvd_result *result, struct tally_counts *counts);

/* For others that make requests: the key's bytes, settings->key_size of them. */
void workload_key(const struct workload *workload, uint64_t number, char *out_key);
struct kvd_bytes workload_value(struct workload *workload, struct rng *rng);

#endif
