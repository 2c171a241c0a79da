/* rpc_client: the client library: calls of the v3 API from C, to a cluster of several endpoints. No gRPC type shows here.
 *
 * A call is a path ("/etcdserverpb.KV/Put") and the request's bytes; the answer is a gRPC code, its text and the response's bytes.
 * Calls are started, and their call-backs run inside rpc_client_pump.
 *
 * What is tried again (the rules of etcd's client):
 *   RPC_CLIENT_READ   changes nothing, so it may be repeated: on Unavailable it goes to another endpoint, until its deadline.
 *   RPC_CLIENT_WRITE  never runs twice: it goes to another endpoint only while it surely was not sent (no connection). Anything that
 *                     leaves its fate open is answered with `is_unknown`: it may have happened, or may still happen.
 *   RPC_CLIENT_ONCE   one attempt, one endpoint.
 * A call that was refused for its token did nothing and is sent again with a new one, whatever its policy; a stream is not.
 * A call is sent only on a connection that stands. If no endpoint can be reached for dial_timeout_ns, the call ends with
 * Unavailable; surely not sent.
 *
 * Owner: rpc_client_new/rpc_client_free. Thread: one thread owns the client and all its calls; call-backs run on it; rpc_client_ring: any.
 * Limits: calls_max calls at a time (asserted), RPC_CLIENT_ENDPOINTS_MAX endpoints, RPC_CLIENT_CONNECTIONS_MAX connections,
 * RPC_CLIENT_PATHS_MAX different paths. Responses: the server's own limit.
 * Source: API §3 (which errors clients may retry); gRPC's status codes.
 */
#ifndef RPC_RPC_CLIENT_H
#define RPC_RPC_CLIENT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define RPC_CLIENT_ENDPOINTS_MAX 64
#define RPC_CLIENT_CONNECTIONS_MAX 4096
#define RPC_CLIENT_PATHS_MAX 64
#define RPC_CLIENT_SEND_MAX 1024
#define RPC_CLIENT_ANY SIZE_MAX

/* PEM texts; empty = none. Used by endpoints with https:// or unixs://. */
struct rpc_client_tls {
    struct slice ca;          /* whom to trust; empty = the system's roots */
    struct slice certificate; /* ours, and its key */
    struct slice key;
    bool is_default;          /* endpoints without a scheme use it too */
    bool skip_verify;         /* tests only: trust whoever answers */
};

/* What a program may do round the writes of one pump: begin is called when the pump has something to do, end before it waits (and in
 * rpc_client_free); end answers how many sockets did not take all, so that it must be called again soon. Both on the client's thread. */
struct rpc_client_drain {
    void (*begin)(void);
    size_t (*end)(void);
};

struct rpc_client_options {
    const char *const *endpoints; /* "host:port", "http://host:port", "https://…", "unix:///path"; copied */
    size_t endpoint_count;
    size_t connection_count;      /* in all, spread over the endpoints in turn; 0 = one for each endpoint */
    size_t calls_max;
    uint64_t dial_timeout_ns;
    uint64_t keepalive_time_ns;   /* 0 = no pings; below 10 s it is 10 s */
    uint64_t keepalive_timeout_ns;
    struct rpc_client_tls tls;    /* borrowed until rpc_client_new returns */
    const struct rpc_client_drain *drain; /* outlives the client; NULL = each write leaves at once */
    /* One for each connection: a socket that is connected to its endpoint without TLS (rpc_client_dial), or -1 = gRPC connects. A call on such
     * a socket is cheaper, since what gRPC has to find and keep connections is not in its way; once a call on it was unavailable, gRPC
     * connects as ever. The client's when rpc_client_new has made one. NULL = all -1. */
    const int *sockets;
    const char *user, *password;  /* calls carry a token that this user is given, if there is authentication; NULL or "" = none */
    const char *token;            /* without a user: calls carry this one; NULL or "" = none */
};

/* One message of a stream; `body` is borrowed. False: enough, the call ends with CANCELLED. Must not pump. */
typedef bool rpc_client_message_fn(void *context, struct slice body);

enum rpc_client_policy { RPC_CLIENT_READ, RPC_CLIENT_WRITE, RPC_CLIENT_ONCE };
struct rpc_client_request {
    const char *path;       /* a constant: it outlives the client */
    struct slice body;      /* copied */
    enum rpc_client_policy policy;
    uint64_t timeout_ns;    /* for all attempts together; 0 = none */
    size_t endpoint;        /* its index, and no other is tried; RPC_CLIENT_ANY = the client chooses */
    size_t connection;      /* 1 + a number: with RPC_CLIENT_ANY the first attempt is on that connection, modulo their count; 0 = the next one */
    bool require_leader;    /* metadata hasleader: true */
    rpc_client_message_fn *message_fn; /* NULL = one message is the answer. Else the server answers with a stream: each message comes here,
                                        * inside rpc_client_pump, and the next is taken when it returns; the result has no body.
                                        * RPC_CLIENT_ONCE only: what came before a failure cannot be taken back */
    void *message_context;
    bool is_open;           /* with message_fn: our side stays open for rpc_client_send; `body` is the first message */
};

struct rpc_client_result {
    enum err_code code;
    const char *text;       /* "" when OK; borrowed */
    struct slice body;      /* borrowed */
    bool is_unknown;        /* a write that may or may not have happened */
    bool is_unreachable;    /* no endpoint could be reached (in time, or at all); surely not sent */
    size_t endpoint;        /* of the last attempt */
    uint32_t attempts;      /* times that it was sent */
    bool is_stale_token;    /* a stream was refused for its token; one that is started now gets a new one */
};

struct rpc_client;
/* NULL: an endpoint, a certificate or a key is not valid; out_message (≥ 256 bytes) says which. Nothing is connected yet. */
struct rpc_client *rpc_client_new(const struct rpc_client_options *options, char *out_message, size_t message_size);
/* Cancels what is in flight (its call-backs run with CANCELLED), closes the connections. Accepts NULL. */
void rpc_client_free(struct rpc_client *client);
const char *rpc_client_endpoint(const struct rpc_client *client, size_t index); /* as given */

/* Runs once, inside rpc_client_pump or _free; may start calls (not inside _free), must not pump. `result` is borrowed. */
typedef void rpc_client_done_fn(void *context, const struct rpc_client_result *result);
/* The call's name, never 0, for rpc_client_cancel. */
uint64_t rpc_client_start(struct rpc_client *client, const struct rpc_client_request *request, rpc_client_done_fn *done_fn,
                          void *context);
/* The call ends soon with CANCELLED, or as it just did. A name that is over is ignored. */
void rpc_client_cancel(struct rpc_client *client, uint64_t call);
/* One more message (copied) of a call that is open; they leave in order. False: the call is over, or RPC_CLIENT_SEND_MAX wait already. */
bool rpc_client_send(struct rpc_client *client, uint64_t call, struct slice body);
bool rpc_client_is_full(const struct rpc_client *client, uint64_t call); /* RPC_CLIENT_SEND_MAX wait */
/* In a message_fn: no more messages of this stream are taken, so that the server is held up, until it is resumed or cancelled. Its end comes
 * as ever: by its deadline, a broken connection, or the server, once all its messages were taken. */
void rpc_client_pause(struct rpc_client *client, uint64_t call);
void rpc_client_resume(struct rpc_client *client, uint64_t call);
/* Calls that are started from now on get a new token: a server has refused the one there is in its own way. */
void rpc_client_drop_token(struct rpc_client *client);
/* Makes the running or the next pump return. Any thread, until rpc_client_free. */
void rpc_client_ring(struct rpc_client *client);
size_t rpc_client_in_flight(const struct rpc_client *client);
/* Waits until something happened or deadline_ns (base/clock.h's monotonic time) passed, and runs what is ready; the number of calls
 * that ended. */
size_t rpc_client_pump(struct rpc_client *client, uint64_t deadline_ns);

#endif
