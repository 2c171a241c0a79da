/* rpc_peer_in: a stream that another member has made to us: its hello is judged, then its frames come in, one receive at a time, so that a
 * role that is busy slows the sender down instead of filling memory.
 * Inside of rpc_peer only. Owner: rpc_peer_in_new; rpc_peer_in_free once rpc_peer_in_is_over. Thread: the peer role's. */
#ifndef RPC_RPC_PEER_IN_H
#define RPC_RPC_PEER_IN_H
#include <grpc/grpc.h>

#include "base/list.h"
#include "rpc/peer_port.h"
#include "rpc/rpc_signal.h"

struct rpc_peer_in {
    struct list node;         /* of rpc_peer */
    uint64_t peer;            /* 0 until its hello was good */
    uint64_t due_ns;          /* until then: when it has taken too long */
    grpc_call *call;
    uint32_t batches;         /* outstanding */
    bool is_cut;              /* nothing that comes counts any more */
    bool is_greeted, is_finished, is_closed;
    struct rpc_signal received, greeted, finished, closed;
    grpc_byte_buffer *message;
    grpc_slice text;          /* of the status */
    int is_cancelled;
};

/* Takes the call over, which lives on the polling queue, and waits for its hello. */
struct rpc_peer_in *rpc_peer_in_new(grpc_call *call, struct rpc_signal_inbox *inbox, uint64_t now_ns);
void rpc_peer_in_free(struct rpc_peer_in *in);                        /* accepts NULL */
bool rpc_peer_in_is_over(const struct rpc_peer_in *in);               /* every batch is done */
/* A message came out: true = it is in in->message, the caller's next act is one of the four below. False = the stream is at its end. */
bool rpc_peer_in_received(struct rpc_peer_in *in, bool ok);
void rpc_peer_in_accept(struct rpc_peer_in *in, const struct peer_hello *self, uint64_t peer); /* greets back, receives on */
struct blob *rpc_peer_in_take(struct rpc_peer_in *in);                 /* the frame; receives on */
void rpc_peer_in_refuse(struct rpc_peer_in *in, grpc_status_code status, const char *text);
void rpc_peer_in_cut(struct rpc_peer_in *in);
void rpc_peer_in_done(struct rpc_peer_in *in, const struct rpc_signal *signal); /* any other signal of it came out */

#endif
