/* rpc_unknown: see rpc_unknown.h. */
#include "rpc/rpc_unknown.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "rpc/rpc_method.h"

static void *tag_of(const struct rpc_unknown *unknown, struct rpc_signal *signal)
{
    if (unknown->has_inbox) return rpc_signal_carrier(signal);
    RPC_TAG_RELEASE(&signal->tag);
    return &signal->tag;
}

/* Asks for the next call, if one may come. */
static void arm(struct rpc_unknown *unknown)
{
    if (unknown->armed != NULL || unknown->is_shut_down || unknown->busy_count == RPC_UNKNOWN_CALLS_MAX) return;
    struct rpc_unknown_call *call = unknown->calls;
    while (call->is_busy) call++;
    ASSERT(call < unknown->calls + RPC_UNKNOWN_CALLS_MAX && call->call == NULL);
    grpc_call_details_init(&call->details);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_error error = grpc_server_request_call(unknown->server, &call->call, &call->details, &call->metadata, unknown->queue,
                                                     unknown->queue, tag_of(unknown, &call->arrived));
    ASSERT(error == GRPC_CALL_OK);
    call->is_busy = true;
    unknown->busy_count++;
    unknown->armed = call;
}

void rpc_unknown_init(struct rpc_unknown *unknown, grpc_server *server, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox,
                      bool is_client_port)
{
    ASSERT(server != NULL && queue != NULL);
    *unknown = (struct rpc_unknown){.server = server, .queue = queue, .is_client_port = is_client_port, .has_inbox = inbox != NULL};
    for (uint32_t i = 0; i < RPC_UNKNOWN_CALLS_MAX; i++) {
        struct rpc_unknown_call *call = &unknown->calls[i];
        call->unknown = unknown;
        rpc_signal_init(&call->arrived, RPC_TAG_UNKNOWN_ARRIVED, inbox);
        rpc_signal_init(&call->answered, RPC_TAG_UNKNOWN_ANSWERED, inbox);
    }
    arm(unknown);
}

static bool has_service(struct slice service)
{
    size_t count;
    const struct rpc_method *methods = rpc_method_table(&count);
    for (size_t i = 0; i < count; i++) {
        struct slice path = slice_from_string(methods[i].path);
        if (path.size > service.size + 2 && slice_equal(slice_make(path.data + 1, service.size), service) &&
            path.data[1 + service.size] == '/')
            return true;
    }
    return false;
}

/* Go: the service is what stands before the last slash. A path is at most the metadata limit long. */
static void describe(const struct rpc_unknown *unknown, struct slice path, struct buf *out_text)
{
    struct slice name = path.size > 0 && path.data[0] == '/' ? slice_from(path, 1) : path;
    size_t slash = name.size;
    while (slash > 0 && name.data[slash - 1] != '/') slash--;
    if (slash == 0) {
        buf_printf(out_text, "malformed method name: \"%.*s\"", (int)path.size, (const char *)path.data);
        return;
    }
    struct slice service = slice_make(name.data, slash - 1);
    struct slice method = slice_from(name, slash);
    if (unknown->is_client_port && has_service(service)) {
        buf_printf(out_text, "unknown method %.*s for service %.*s", (int)method.size, (const char *)method.data, (int)service.size,
                   (const char *)service.data);
    } else {
        buf_printf(out_text, "unknown service %.*s", (int)service.size, (const char *)service.data);
    }
}

static grpc_slice answer_text(const struct rpc_unknown *unknown, grpc_slice method)
{
    struct slice path = slice_make(GRPC_SLICE_START_PTR(method), GRPC_SLICE_LENGTH(method));
    struct buf text;
    buf_init(&text);
    buf_put_slice(&text, path);
    buf_put_u8(&text, 0);
    bool is_in_table = unknown->is_client_port && rpc_method_find((const char *)text.blob->data) != NULL;
    buf_clear(&text);
    if (is_in_table) {
        buf_put_slice(&text, slice_from_string(err_text(ERR_UNIMPLEMENTED)));
    } else {
        describe(unknown, path, &text);
    }
    ASSERT(text.size > 0);
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)text.blob->data, text.size);
    buf_deinit(&text);
    return slice;
}

static void forget(struct rpc_unknown_call *call)
{
    if (call->call != NULL) grpc_call_unref(call->call);
    call->call = NULL;
    grpc_slice_unref(call->text);
    call->text = grpc_empty_slice();
    grpc_call_details_destroy(&call->details);
    grpc_metadata_array_destroy(&call->metadata);
    ASSERT(call->is_busy && call->unknown->busy_count > 0);
    call->is_busy = false;
    call->unknown->busy_count--;
}

static void answer(struct rpc_unknown_call *call)
{
    ASSERT(call->call != NULL);
    call->text = answer_text(call->unknown, call->details.method);
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}, {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    ops[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
    ops[1].data.send_status_from_server.status_details = &call->text;
    ops[2].data.recv_close_on_server.cancelled = &call->is_cancelled;
    grpc_call_error error = grpc_call_start_batch(call->call, ops, 3, tag_of(call->unknown, &call->answered), NULL);
    ASSERT(error == GRPC_CALL_OK);
}

void rpc_unknown_arrived(struct rpc_tag *tag, bool ok)
{
    struct rpc_unknown_call *call = LIST_ENTRY(tag, struct rpc_unknown_call, arrived.tag);
    struct rpc_unknown *unknown = call->unknown;
    ASSERT(unknown->armed == call);
    unknown->armed = NULL;
    unknown->is_shut_down = !ok;
    if (ok) answer(call);
    else forget(call);
    arm(unknown);
}

void rpc_unknown_answered(struct rpc_tag *tag)
{
    struct rpc_unknown_call *call = LIST_ENTRY(tag, struct rpc_unknown_call, answered.tag);
    forget(call);
    arm(call->unknown); /* of a server that is shut down it comes out at once, not ok */
}

bool rpc_unknown_is_busy(const struct rpc_unknown *unknown) { return unknown->busy_count > 0; }
