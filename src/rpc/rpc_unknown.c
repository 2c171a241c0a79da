/* rpc_unknown: see rpc_unknown.h. */
#include "rpc/rpc_unknown.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "rpc/rpc_method.h"

static void *tag_of(const struct rpc_unknown *unknown, struct rpc_signal *signal)
{
    if (unknown->has_inbox) return rpc_signal_carrier(signal);
    RPC_TAG_RELEASE(&signal->tag);
    return &signal->tag;
}

static void arm(struct rpc_unknown *unknown)
{
    ASSERT(unknown->call == NULL && !unknown->is_busy);
    grpc_call_details_init(&unknown->details);
    grpc_metadata_array_init(&unknown->metadata);
    grpc_call_error error = grpc_server_request_call(unknown->server, &unknown->call, &unknown->details, &unknown->metadata,
                                                     unknown->queue, unknown->queue, tag_of(unknown, &unknown->arrived));
    ASSERT(error == GRPC_CALL_OK);
    unknown->is_busy = true;
}

void rpc_unknown_init(struct rpc_unknown *unknown, grpc_server *server, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox,
                      bool is_client_port)
{
    ASSERT(server != NULL && queue != NULL);
    *unknown = (struct rpc_unknown){.server = server, .queue = queue, .is_client_port = is_client_port};
    unknown->has_inbox = inbox != NULL;
    rpc_signal_init(&unknown->arrived, RPC_TAG_UNKNOWN_ARRIVED, inbox);
    rpc_signal_init(&unknown->answered, RPC_TAG_UNKNOWN_ANSWERED, inbox);
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

static grpc_slice answer_text(const struct rpc_unknown *unknown)
{
    struct slice path = slice_make(GRPC_SLICE_START_PTR(unknown->details.method), GRPC_SLICE_LENGTH(unknown->details.method));
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

void rpc_unknown_arrived(struct rpc_unknown *unknown, bool ok)
{
    ASSERT(unknown->is_busy);
    if (!ok) { /* the server was shut down */
        unknown->is_busy = false;
        return;
    }
    ASSERT(unknown->call != NULL);
    unknown->text = answer_text(unknown);
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_STATUS_FROM_SERVER}, {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    ops[1].data.send_status_from_server.status = GRPC_STATUS_UNIMPLEMENTED;
    ops[1].data.send_status_from_server.status_details = &unknown->text;
    ops[2].data.recv_close_on_server.cancelled = &unknown->is_cancelled;
    grpc_call_error error = grpc_call_start_batch(unknown->call, ops, 3, tag_of(unknown, &unknown->answered), NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static void forget_call(struct rpc_unknown *unknown)
{
    if (unknown->call != NULL) grpc_call_unref(unknown->call);
    unknown->call = NULL;
    grpc_slice_unref(unknown->text);
    unknown->text = grpc_empty_slice();
    grpc_call_details_destroy(&unknown->details);
    grpc_metadata_array_destroy(&unknown->metadata);
}

void rpc_unknown_answered(struct rpc_unknown *unknown)
{
    ASSERT(unknown->is_busy && unknown->call != NULL);
    forget_call(unknown);
    unknown->is_busy = false;
    arm(unknown); /* of a server that is shut down it comes out at once, not ok */
}

void rpc_unknown_deinit(struct rpc_unknown *unknown)
{
    ASSERT(!unknown->is_busy);
    forget_call(unknown);
}
