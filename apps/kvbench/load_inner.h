/* load_inner: what load.c (calls) and streams.c (watchers, renewals) share: clients, workers, and how an operation ends.
 * Owner, thread, limits: load.h. */
#ifndef KVBENCH_LOAD_INNER_H
#define KVBENCH_LOAD_INNER_H
#include <stdatomic.h>

#include "load.h"
#include "workload.h"

struct worker;
struct client {
    struct worker *worker;
    struct client *next; /* of those that are free */
    struct workload_call call;
    uint64_t start_ns;   /* in an open loop: when it was due */
    size_t connection;
    struct kvd_request *request; /* of the operation that was just taken; NULL: a renewal */
    /* of a put that watchers are waited for, and of a renewal */
    uint32_t number, sequence;
    uint64_t left;       /* events that are still to come */
    bool is_acked;
    struct client *next_sent; /* of the renewals under way on a stream */
};
struct worker {
    struct load *load;
    struct kvd_client *kvd;
    struct tally tally; /* its mutex is of all that follows */
    struct rng rng;
    struct client *clients, *free;
    uint64_t client_count, conn_count;
};
struct load {
    const struct settings *settings;
    void (*on_idle)(void);
    struct workload workload;
    struct worker *workers;
    size_t worker_count, next_worker;
    enum load_phase phase;
    atomic_bool is_open;         /* an open loop */
    atomic_bool is_stopping;
    atomic_bool is_broken;       /* a stream is over: nothing will be answered any more */
    atomic_bool is_freeing;
    atomic_uint_fast64_t taken;  /* operations that were begun (of LOAD_FILL: keys) */
    atomic_uint_fast64_t end_ns; /* open loop: what is due later is not begun */
    uint64_t total;              /* UINT64_MAX = no end */
    uint64_t start_ns;
    atomic_uint_fast64_t in_flight;
    struct streams *streams;     /* NULL: the command has none */
};

/* An operation has ended, whether counted or not: the client takes its next one, or rests. Without the worker's lock. */
void load_client_next(struct client *client, uint64_t now_ns);
void load_leave(struct load *load); /* one thing less in flight */

#endif
