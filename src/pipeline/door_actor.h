/* door_actor: the listening sockets of the client, the peer and the metrics port. Accepts, counts by descriptor number, refuses
 * when descriptors run short, looks at the first bytes, hands HTTP/2 to gRPC, and serves HTTP/1.1 itself (door_http).
 *
 * Descriptors: the kernel gives the lowest free number, so the number of an accepted socket says how many are in use:
 * one at or above the port's limit (RLIMIT_NOFILE less a reserve for WAL, snapshots and, on the client port, peers) is
 * closed at once and counted. On EMFILE the reserve descriptor is given up to accept and close, so that the queue does
 * not stand. A connection that has not shown an HTTP/2 preface after DOOR_PREFACE_TIMEOUT_NS is closed; what a port
 * does not speak gets a short answer that says so; of a TLS connection the ClientHello tells which of the two it is
 * (door_hello); when too many wait, the one that has waited longest goes. Peers have a
 * reserve of their own: the peer port accepts while the client port refuses. It also finishes sockets whose coalesced
 * write met a full kernel buffer (door_actor_finish, coalescer). Owner: the node. Thread: door; it waits in its epoll
 * only. Limits: DOOR_PENDING_MAX connections without a preface, a third of them for each port.
 */
#ifndef PIPELINE_DOOR_ACTOR_H
#define PIPELINE_DOOR_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/door_http.h"
#include "pipeline/shared.h"

#define DOOR_PENDING_MAX 1536
#define DOOR_PREFACE_TIMEOUT_NS (10 * UINT64_C(1000000000))

/* Where a connection goes once it has shown its preface: non-blocking, nothing consumed. Called on door's thread. */
struct door_target {
    void (*adopt)(void *context, int descriptor);
    void *context;
};
struct door_options {
    const struct config *config;
    struct shared *shared;
    struct door_target client;
    struct door_target client_tls; /* of https:// URLs, with the ClientHello to come; needed if there are any */
    struct door_target peer;
    struct door_http *http; /* borrowed: speaks HTTP/1.1 with clients and on the metrics URLs; NULL = nobody does */
};
struct door_actor;
/* Binds every listen URL (door_listen.h has the forms). RLIMIT_NOFILE is read here: raise it before. NULL: message. */
struct door_actor *door_actor_new(const struct door_options *options, char *out_message, size_t message_size);
void door_actor_free(struct door_actor *door); /* closes the listeners and what was not handed on; accepts NULL */
struct actor *door_actor_base(struct door_actor *door);
/* The lanes from main (PING; DRAIN: closes both ports and goes on finishing sockets) and to main (PONG), connected by
 * actor_connect beside this. Before the first step. */
void door_actor_set_lanes(struct door_actor *door, struct lane *from_main, struct lane *to_main);
const char *door_actor_client_addresses(const struct door_actor *door); /* "127.0.0.1:2379,[::1]:2379" */
const char *door_actor_peer_addresses(const struct door_actor *door);
const char *door_actor_metrics_addresses(const struct door_actor *door); /* "" = none */
/* Any thread; fits coalescer_set_stuck_fn: the bytes held for this socket leave as soon as it is writable again. */
void door_actor_finish(void *door, int descriptor);

#endif
