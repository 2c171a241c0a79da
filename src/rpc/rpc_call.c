/* rpc_call: see rpc_call.h. */
#include "rpc/rpc_call.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/rpc_bytes.h"
#include "rpc/rpc_metadata.h"

void rpc_call_init(struct rpc_call *call, uint32_t slot)
{
    *call = (struct rpc_call){.slot = slot, .generation = 1};
    call->arrived.kind = RPC_TAG_CALL_ARRIVED;
    call->sent.kind = RPC_TAG_CALL_SENT;
    call->closed.kind = RPC_TAG_CALL_CLOSED;
    call->gone.kind = RPC_TAG_CALL_GONE;
    ASSERT(call->state == RPC_CALL_FREE);
}

static struct rpc_call_away *go_away(struct rpc_call *call, struct rpc_homes *homes)
{
    struct rpc_call_away *away = ALLOC(struct rpc_call_away);
    away->call = call;
    away->home = rpc_homes_enter(homes);
    rpc_signal_init(&away->sent, RPC_TAG_CALL_SENT, homes->inbox);
    rpc_signal_init(&away->closed, RPC_TAG_CALL_CLOSED, homes->inbox);
    rpc_signal_init(&away->gone, RPC_TAG_CALL_GONE, homes->inbox);
    return away;
}

void rpc_call_request(struct rpc_call *call, grpc_server *server, void *registered, grpc_completion_queue *queue, struct rpc_homes *homes)
{
    ASSERT(call->state == RPC_CALL_FREE && call->call == NULL && call->payload == NULL && call->away == NULL);
    if (homes != NULL) call->away = go_away(call, homes);
    grpc_metadata_array_init(&call->metadata);
    RPC_TAG_RELEASE(&call->arrived);
    grpc_call_error error = grpc_server_request_registered_call(server, registered, &call->call, &call->deadline, &call->metadata,
                                                                &call->payload, homes != NULL ? call->away->home->queue : queue, queue,
                                                                &call->arrived);
    ASSERT(error == GRPC_CALL_OK);
    call->state = RPC_CALL_REQUESTED;
}

void rpc_call_open(struct rpc_call *call)
{
    ASSERT(call->state == RPC_CALL_REQUESTED && call->call != NULL);
    call->state = RPC_CALL_OPEN;
    call->is_own = call->is_greeted = call->is_sending = call->ends_after_send = false;
    call->is_watched = call->is_gone = call->is_answered = false;
}

static uint64_t time_left_ns(gpr_timespec deadline)
{
    if (deadline.tv_sec == INT64_MAX) return CLOCK_NEVER;
    gpr_timespec left = gpr_time_sub(gpr_convert_clock_type(deadline, GPR_CLOCK_MONOTONIC), gpr_now(GPR_CLOCK_MONOTONIC));
    if (left.tv_sec < 0) return 0;
    if ((uint64_t)left.tv_sec >= CLOCK_NEVER / NS_PER_S) return CLOCK_NEVER;
    return (uint64_t)left.tv_sec * NS_PER_S + (uint64_t)left.tv_nsec;
}

void rpc_call_read_metadata(struct rpc_call *call, struct call_event *event)
{
    struct rpc_metadata metadata;
    ASSERT(call->state == RPC_CALL_OPEN);
    rpc_metadata_read(&call->metadata, &metadata);
    event->require_leader = metadata.require_leader;
    event->bad_api_version = metadata.bad_api_version;
    memcpy(event->api_version, metadata.api_version, sizeof(event->api_version));
    event->timeout_ns = time_left_ns(call->deadline);
    grpc_metadata_array_destroy(&call->metadata); /* a waiting call keeps none of it */
    grpc_metadata_array_init(&call->metadata);
}

static void *tag_of(struct rpc_call *call, struct rpc_tag *tag)
{
    if (call->away == NULL) {
        RPC_TAG_RELEASE(tag);
        return tag;
    }
    struct rpc_signal *signal = tag == &call->sent ? &call->away->sent : tag == &call->closed ? &call->away->closed : &call->away->gone;
    rpc_signal_release(signal);
    return &signal->functor;
}

static void start(struct rpc_call *call, const grpc_op *ops, size_t op_count, struct rpc_tag *tag)
{
    grpc_call_error error = grpc_call_start_batch(call->call, ops, op_count, tag_of(call, tag), NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static grpc_op recv_close(struct rpc_call *call)
{
    return (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->is_cancelled};
}

void rpc_call_watch(struct rpc_call *call)
{
    ASSERT(call->state == RPC_CALL_OPEN && !call->is_watched && !call->is_greeted);
    grpc_op op = recv_close(call);
    call->is_watched = true;
    start(call, &op, 1, &call->gone);
}

/* All that is left of the call in one batch: three batches would cost twice the CPU. RECV_CLOSE rides along, because without it the
 * last unref would cancel the call. */
void rpc_call_answer(struct rpc_call *call, enum err err, grpc_byte_buffer *message)
{
    ASSERT(call->state == RPC_CALL_OPEN && !call->is_sending);
    ASSERT(err == ERR_OK || message == NULL);
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    size_t count = 0;
    if (!call->is_greeted) ops[count++] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    if (message != NULL) ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    call->text = grpc_slice_from_static_string(err_text(err));
    ops[count] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    ops[count].data.send_status_from_server.status = (grpc_status_code)err_grpc_code(err);
    ops[count++].data.send_status_from_server.status_details = err == ERR_OK ? NULL : &call->text;
    if (!call->is_watched) ops[count++] = recv_close(call);
    call->answer = message;
    call->state = RPC_CALL_CLOSING;
    start(call, ops, count, &call->closed);
}

/* The initial metadata goes with the first message; no hint that more is to come: it would never complete (grpc-core 3). */
void rpc_call_send(struct rpc_call *call, grpc_byte_buffer *message)
{
    ASSERT(call->state == RPC_CALL_OPEN && !call->is_sending && message != NULL);
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    size_t count = call->is_greeted ? 0 : 1;
    ops[count++] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = message};
    call->answer = message;
    call->is_greeted = call->is_sending = true;
    start(call, ops, count, &call->sent);
}

void rpc_call_sent(struct rpc_call *call)
{
    ASSERT(call->state == RPC_CALL_OPEN && call->is_sending);
    grpc_byte_buffer_destroy(call->answer);
    call->answer = NULL;
    call->is_sending = false;
    if (call->ends_after_send) rpc_call_answer(call, call->end, NULL);
}

void rpc_call_cancel(struct rpc_call *call, enum err err)
{
    ASSERT(call->call != NULL && err != ERR_OK);
    grpc_call_error error = grpc_call_cancel_with_status(call->call, (grpc_status_code)err_grpc_code(err), err_text(err), NULL);
    ASSERT(error == GRPC_CALL_OK);
}

/* A good end waits for the message that is on its way; a bad one may be there because the client does not read: that message is
 * given up, which completes it. */
void rpc_call_finish(struct rpc_call *call, enum err err)
{
    ASSERT(call->state == RPC_CALL_OPEN);
    if (!call->is_sending) {
        rpc_call_answer(call, err, NULL);
        return;
    }
    call->ends_after_send = true;
    call->end = err;
    if (err != ERR_OK) rpc_call_cancel(call, err);
}

void rpc_call_release(struct rpc_call *call)
{
    ASSERT(call->state == RPC_CALL_CLOSING || (call->state == RPC_CALL_REQUESTED && call->call == NULL));
    if (call->answer != NULL) grpc_byte_buffer_destroy(call->answer);
    if (call->payload != NULL) grpc_byte_buffer_destroy(call->payload);
    grpc_metadata_array_destroy(&call->metadata);
    if (call->call != NULL) grpc_call_unref(call->call);
    if (call->away != NULL) rpc_homes_leave(call->away->home);
    alloc_free(call->away);
    call->away = NULL;
    call->answer = call->payload = NULL;
    call->call = NULL;
    call->state = RPC_CALL_FREE;
    if (++call->generation == 0) call->generation = 1; /* 0 names no call */
}
