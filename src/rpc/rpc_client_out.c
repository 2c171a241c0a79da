/* rpc_client_out: see the header. */
#include "rpc/rpc_client_out.h"

#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/rpc_client.h"

#define TAG_MARK 2 /* rpc_client_conn marks the lowest bit, this one the next */

struct message {
    struct list node;
    grpc_slice body;
};

void rpc_client_out_init(struct rpc_client_out *out)
{
    ASSERT(out != NULL);
    list_init(&out->messages);
    out->count = 0;
    out->is_sending = false;
}

static grpc_slice take(struct rpc_client_out *out)
{
    ASSERT(out->count > 0);
    struct message *message = LIST_ENTRY(list_pop_front(&out->messages), struct message, node);
    grpc_slice body = message->body;
    out->count--;
    alloc_free(message);
    return body;
}

void rpc_client_out_deinit(struct rpc_client_out *out)
{
    ASSERT(!out->is_sending);
    while (out->count > 0) grpc_slice_unref(take(out));
}

bool rpc_client_out_put(struct rpc_client_out *out, struct slice body)
{
    if (out->count == RPC_CLIENT_SEND_MAX) return false;
    struct message *message = ALLOC(struct message);
    message->body = grpc_slice_from_copied_buffer((const char *)body.data, body.size);
    list_push_back(&out->messages, &message->node);
    out->count++;
    return true;
}

void rpc_client_out_start(struct rpc_client_out *out, grpc_call *call)
{
    if (out->is_sending || out->count == 0) return;
    grpc_slice body = take(out);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&body, 1);
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    out->is_sending = true;
    grpc_call_error error = grpc_call_start_batch(call, &op, 1, (char *)out + TAG_MARK, NULL);
    ASSERT(error == GRPC_CALL_OK);
    grpc_byte_buffer_destroy(message);
    grpc_slice_unref(body);
}

void rpc_client_out_sent(struct rpc_client_out *out)
{
    ASSERT(out->is_sending);
    out->is_sending = false;
}

struct rpc_client_out *rpc_client_out_of_tag(void *tag)
{
    ASSERT(tag != NULL);
    return ((uintptr_t)tag & TAG_MARK) == 0 ? NULL : (struct rpc_client_out *)(void *)((char *)tag - TAG_MARK);
}
