/* rpc_peer_in: see rpc_peer_in.h. */
#include "rpc/rpc_peer_in.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/peer_hello.h"
#include "rpc/rpc_bytes.h"

#define HELLO_NS (5 * NS_PER_S) /* a stream that says nothing is ended */

static void start(struct rpc_peer_in *in, const grpc_op *ops, size_t op_count, struct rpc_signal *signal)
{
    grpc_call_error error = grpc_call_start_batch(in->call, ops, op_count, rpc_signal_carrier(signal), NULL);
    ASSERT(error == GRPC_CALL_OK);
    in->batches++;
}

static void receive(struct rpc_peer_in *in)
{
    ASSERT(in->message == NULL);
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &in->message};
    start(in, &op, 1, &in->received);
}

struct rpc_peer_in *rpc_peer_in_new(grpc_call *call, struct rpc_signal_inbox *inbox, uint64_t now_ns)
{
    ASSERT(call != NULL);
    struct rpc_peer_in *in = ALLOC(struct rpc_peer_in);
    *in = (struct rpc_peer_in){.call = call, .due_ns = now_ns + HELLO_NS, .text = grpc_empty_slice()};
    rpc_signal_init(&in->received, RPC_TAG_IN_RECEIVED, inbox);
    rpc_signal_init(&in->greeted, RPC_TAG_IN_GREETED, inbox);
    rpc_signal_init(&in->finished, RPC_TAG_IN_FINISHED, inbox);
    rpc_signal_init(&in->closed, RPC_TAG_IN_CLOSED, inbox);
    list_init(&in->node);
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &in->is_cancelled};
    start(in, &close, 1, &in->closed);
    receive(in);
    return in;
}

void rpc_peer_in_free(struct rpc_peer_in *in)
{
    if (in == NULL) return;
    ASSERT(rpc_peer_in_is_over(in));
    if (in->message != NULL) grpc_byte_buffer_destroy(in->message);
    grpc_slice_unref(in->text);
    grpc_call_unref(in->call);
    list_remove(&in->node);
    alloc_free(in);
}

bool rpc_peer_in_is_over(const struct rpc_peer_in *in) { return in->is_closed && in->batches == 0; }

bool rpc_peer_in_received(struct rpc_peer_in *in, bool ok)
{
    ASSERT(in->batches > 0);
    in->batches--;
    if (ok && in->message != NULL && !in->is_cut) return true;
    if (!in->is_closed && !in->is_finished) rpc_peer_in_refuse(in, GRPC_STATUS_OK, "");
    return false;
}

void rpc_peer_in_accept(struct rpc_peer_in *in, const struct peer_hello *self, uint64_t peer)
{
    ASSERT(in->peer == 0 && in->message != NULL && !in->is_greeted);
    struct peer_hello hello = *self;
    struct buf bytes;
    hello.target_id = peer;
    buf_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    grpc_byte_buffer *message = rpc_bytes_make(buf_slice(&bytes), NULL, 0);
    buf_deinit(&bytes);
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE}};
    ops[1].data.send_message.send_message = message;
    start(in, ops, 2, &in->greeted);
    grpc_byte_buffer_destroy(message);
    grpc_byte_buffer_destroy(in->message);
    in->message = NULL;
    in->peer = peer;
    in->due_ns = CLOCK_NEVER;
    in->is_greeted = true;
    receive(in);
}

struct blob *rpc_peer_in_take(struct rpc_peer_in *in)
{
    ASSERT(in->peer != 0 && in->message != NULL);
    struct blob *frame = rpc_bytes_copy(in->message);
    grpc_byte_buffer_destroy(in->message);
    in->message = NULL;
    receive(in);
    return frame;
}

void rpc_peer_in_refuse(struct rpc_peer_in *in, grpc_status_code status, const char *text)
{
    ASSERT(!in->is_finished);
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}};
    in->is_finished = in->is_cut = true;
    in->due_ns = CLOCK_NEVER;
    in->text = grpc_slice_from_copied_string(text);
    ops[1].data.send_status_from_server.status = status;
    ops[1].data.send_status_from_server.status_details = &in->text;
    size_t first = in->is_greeted ? 1 : 0;
    start(in, ops + first, 2 - first, &in->finished);
}

void rpc_peer_in_cut(struct rpc_peer_in *in)
{
    in->is_cut = true;
    in->due_ns = CLOCK_NEVER;
    (void)grpc_call_cancel(in->call, NULL);
}

void rpc_peer_in_done(struct rpc_peer_in *in, const struct rpc_signal *signal)
{
    ASSERT(in->batches > 0 && signal != &in->received);
    in->batches--;
    if (signal == &in->closed) in->is_closed = true;
}
