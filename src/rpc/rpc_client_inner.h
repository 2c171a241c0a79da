/* rpc_client_inner: a call and the client, for the files of the client library's engine: rpc_client.c (where calls wait and leave),
 * rpc_client_answer.c (what comes back, and how a call ends), rpc_client_auth.c (the token).
 * Inside of rpc_client only. Owner, thread, limits: rpc_client.h. Source: grpc/grpc.h. */
#ifndef RPC_RPC_CLIENT_INNER_H
#define RPC_RPC_CLIENT_INNER_H
#include <grpc/grpc.h>

#include "base/heap.h"
#include "base/map.h"
#include "base/rng.h"
#include "rpc/rpc_client_auth.h"
#include "rpc/rpc_client_conn.h"
#include "rpc/rpc_client_out.h"
#include "rpc/rpc_wake.h"

struct rpc_client_call {
    struct rpc_client *client;
    uint64_t name;
    struct list node;           /* of conn->waiting, of auth.waiting, of client->free, or alone */
    struct heap_node timer;     /* waiting: when to look again; in flight: the deadline */
    struct rpc_client_request request; /* body unused */
    grpc_slice body;
    rpc_client_done_fn *done_fn;
    void *context;
    uint64_t deadline_ns;
    uint64_t dial_until_ns;     /* give up if nothing could be reached till then; moves on after each contact */
    size_t conn;                /* of the running or the next attempt */
    uint32_t failures;          /* attempts that did not answer, connections included */
    uint32_t attempts;          /* times sent */
    bool is_canceled;
    uint64_t token_number;      /* of the token that it was sent with */
    uint32_t tokens_refused;
    bool is_receiving;          /* of a stream: a message is asked for, or is being delivered */
    bool has_all;               /* of a stream: its last message has come */
    bool is_paused;             /* of a stream: no message is to be asked for */
    bool has_status;            /* the end waits for a message that is on its way, in or out */
    struct rpc_client_out out;  /* of a call that is open */
    grpc_call *grpc;            /* in flight */
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *response;
    grpc_status_code status;
    grpc_slice details;
};

struct rpc_client {
    char **endpoints;
    size_t endpoint_count;
    struct rpc_client_conn **conns;
    size_t conn_count;
    size_t next_conn;
    uint64_t dial_timeout_ns;
    grpc_completion_queue *queue;
    struct map calls;           /* by name */
    struct list free_calls;
    struct heap timers;
    struct rng rng;             /* jitter only */
    uint64_t next_name;
    size_t calls_max;
    size_t finished;            /* since the pump began */
    const struct rpc_client_drain *drain; /* may be NULL */
    struct rpc_wake wake;
    struct rpc_client_auth auth;
    bool is_stopping;
};

/* A call that waited for the token goes on, or ends with `failed` (NULL = it goes on). */
void rpc_client_release(struct rpc_client *client, struct rpc_client_call *call, const struct rpc_client_result *failed);
/* Another attempt, after a delay, at the next endpoint. */
void rpc_client_attempt_again(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns);
void rpc_client_receive(struct rpc_client_call *call); /* asks for a stream's next message */

/* The end of a call that was not sent, or was told no more than that. */
void rpc_client_finish_unsent(struct rpc_client *client, struct rpc_client_call *call, enum err_code code, const char *text);
void rpc_client_finish(struct rpc_client *client, struct rpc_client_call *call, struct rpc_client_result *result);
/* gRPC's tags of a call: a message of a stream or that there is none more, an answer or a stream's status, a message of ours that left. */
void rpc_client_on_message(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns);
void rpc_client_on_answer(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns);
void rpc_client_on_sent(struct rpc_client *client, struct rpc_client_call *call, uint64_t now_ns);

#endif
