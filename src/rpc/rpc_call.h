/* rpc_call: one slot of rpc_server's table: a call that gRPC was asked for, then one that a client made, then one that is being
 * answered. What gRPC wants batch by batch stands here; which slot is used when stands in rpc_server.
 *
 *   FREE → REQUESTED → OPEN → CLOSING → FREE
 *
 * A unary call that waits for its answer has no tag outstanding (libgrpc scans all of them at each completion): the client's
 * going away is met when the answer is sent. A stream has one while a message is on its way; one that stays open with nothing to say is
 * watched: it has one all the time, so there may be few of them.
 * A call of a method that waits for others lives on a callback queue: its batches complete as signals, so that its client's going away
 * (`gone`, too) can be listened for as long as it takes, by many.
 * Owner: rpc_server. Thread: net. */
#ifndef RPC_RPC_CALL_H
#define RPC_RPC_CALL_H
#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "base/err.h"
#include "rpc/call_port.h"
#include "rpc/rpc_homes.h"
#include "rpc/rpc_tag.h"

enum rpc_call_state { RPC_CALL_FREE, RPC_CALL_REQUESTED, RPC_CALL_OPEN, RPC_CALL_CLOSING };

struct rpc_call;
struct rpc_call_away {
    struct rpc_call *call;
    struct rpc_home *home;
    struct rpc_signal sent, closed, gone;
};
struct rpc_call {
    struct rpc_tag arrived, sent, closed, gone;
    struct rpc_call_away *away; /* of a call on a callback queue; its tags are these, not those above. NULL = on the server's own */
    enum rpc_call_state state;
    uint32_t slot;
    uint32_t generation;       /* of the name; advanced when the slot is freed */
    uint32_t method;           /* rpc_server's number of it */
    bool is_own;               /* the port answers it by itself: the role never hears of it */
    bool is_greeted;           /* the initial metadata has left */
    bool is_watched;           /* `gone` comes when the client goes away, and in any case before the slot is free */
    bool is_gone;
    bool is_answered;          /* the answer's batch is over */
    bool is_sending;           /* a message of a stream is on its way */
    bool ends_after_send;      /* finish(OK) came while it was */
    enum err end;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload; /* the request, until it is taken */
    grpc_byte_buffer *answer;  /* the message that is being sent */
    grpc_slice text;           /* status details of the answer */
    int is_cancelled;
};

void rpc_call_init(struct rpc_call *call, uint32_t slot);
/* homes: NULL, or where the call is to live; `arrived` comes to the queue in any case. */
void rpc_call_request(struct rpc_call *call, grpc_server *server, void *registered, grpc_completion_queue *queue, struct rpc_homes *homes);
void rpc_call_open(struct rpc_call *call);      /* it came: from REQUESTED to OPEN */
void rpc_call_watch(struct rpc_call *call);     /* once, before anything is sent */
void rpc_call_read_metadata(struct rpc_call *call, struct call_event *event); /* and the deadline; once */
/* The whole answer: message (taken over; NULL = none), then status. From OPEN to CLOSING. */
void rpc_call_answer(struct rpc_call *call, enum err err, grpc_byte_buffer *message);
void rpc_call_send(struct rpc_call *call, grpc_byte_buffer *message); /* one message of a stream; takes it over */
void rpc_call_sent(struct rpc_call *call);      /* it has left, or failed */
void rpc_call_finish(struct rpc_call *call, enum err err); /* now, or when the message that is on its way has left */
void rpc_call_cancel(struct rpc_call *call, enum err err); /* gives up what the client does not take; the completions follow */
void rpc_call_release(struct rpc_call *call);   /* all is over: from CLOSING or REQUESTED to FREE, with a new name */
static inline uint64_t rpc_call_name(const struct rpc_call *call) { return (uint64_t)call->generation << 32 | call->slot; }

#endif
