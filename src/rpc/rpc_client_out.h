/* rpc_client_out: the messages of an open call that are still to leave, in order, one batch of gRPC's at a time.
 * Inside of rpc_client only. Owner: embedded in the call. Thread: the client's. Limits: RPC_CLIENT_SEND_MAX messages wait. */
#ifndef RPC_RPC_CLIENT_OUT_H
#define RPC_RPC_CLIENT_OUT_H
#include <grpc/grpc.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/slice.h"

struct rpc_client_out {
    struct list messages;
    size_t count;
    bool is_sending; /* a tag is outstanding */
};

void rpc_client_out_init(struct rpc_client_out *out);
void rpc_client_out_deinit(struct rpc_client_out *out); /* nothing is being sent; what waits is dropped */
bool rpc_client_out_put(struct rpc_client_out *out, struct slice body); /* copied; false: too many wait */
void rpc_client_out_start(struct rpc_client_out *out, grpc_call *call); /* unless there is nothing, or one is under way */
void rpc_client_out_sent(struct rpc_client_out *out);                   /* the tag came */
struct rpc_client_out *rpc_client_out_of_tag(void *tag);                /* NULL = not the tag of one */

#endif
