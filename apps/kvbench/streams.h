/* streams: operations that need a stream: puts that end when all watchers of their key have heard of them, and renewals of leases.
 *
 * Watchers: --watchers of them on --streams streams, watcher i on key i modulo --watched-keys. A put's value begins with who put it and its
 * number, so that an event finds its put. An operation is an event; its latency is from the put's start (or when it was due) to the event.
 * Renewals: --leases leases, renewed over --streams streams; a stream answers in order.
 *
 * Owner: load.c. Thread: requests and opening: under the worker's lock on any; all else on the library's. One worker only.
 * Limits: STREAMS_AHEAD watchers of a stream are created at a time. Source: proto/etcdserverpb/rpc.proto. */
#ifndef KVBENCH_STREAMS_H
#define KVBENCH_STREAMS_H
#include "load_inner.h"

#define STREAMS_AHEAD 256
#define STREAMS_VALUE_BYTES_MIN 8

struct streams;
struct streams *streams_new(struct load *load);
void streams_free(struct streams *streams); /* when the library's client is free; accepts NULL */
void streams_open(struct streams *streams);  /* one thing in flight for each stream until it is open */

/* The request of the client's next operation, under the lock; NULL: it goes over a stream, by streams_send. */
struct kvd_request *streams_request(struct streams *streams, enum load_phase phase, struct client *client);
enum kvd_code streams_send(struct streams *streams, struct client *client);
/* Under the lock: what a good answer of a request means. True: the operation is over. */
bool streams_answered(struct streams *streams, struct client *client, const struct kvd_result *result);

#endif
