/* echo_server: the floor under kvd's cost of a read: gRPC's C core alone, with the settings and the turn of kvd's client port.
 *
 *   echo_server --listen 127.0.0.1:2379 --value-size 256        prints "ready" and runs until it is killed
 *
 * Every Range is answered with one reply, made once: a header, one key of 8 bytes, one value; Put and Status with a header. Nothing is parsed,
 * looked up or handed to another thread. What a server of this API adds to this is what its own work costs; the listener is gRPC's own.
 */
#include <stdio.h>
#include <string.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/flags.h"
#include "lib/measure.h"
#include "rpc/coalescer.h"
#include "rpc/rpc_arg.h"
#include "rpc/rpc_server.h"
#include "rpc/rpc_tag.h"

#define METHODS 3
#define REQUESTS 12     /* requested calls per method, as kvd's hot methods have */
#define EVENTS_MAX 64   /* between two flushes, likewise */
#define VALUE_BYTES_MAX (1u << 20)

struct method {
    void *registered;
    struct buf reply;
};

struct call {
    struct method *method;
    bool is_answered;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload, *answer;
    int is_cancelled;
};

struct echo {
    grpc_server *server;
    grpc_completion_queue *queue;
    struct method methods[METHODS];
};

/* ResponseHeader, and of a Range one KeyValue and the count; numbers as large as real ones. */
static void make_reply(struct method *method, bool is_range, size_t value_size)
{
    struct buf part;
    uint8_t *value = alloc_new(value_size + 1);
    memset(value, 'v', value_size);
    buf_init(&part);
    buf_init(&method->reply);
    buf_put_pb_varint(&part, 1, UINT64_MAX / 3);
    buf_put_pb_varint(&part, 2, UINT64_MAX / 5);
    buf_put_pb_varint(&part, 3, 1000000);
    buf_put_pb_varint(&part, 4, 2);
    buf_put_pb_bytes(&method->reply, 1, buf_slice(&part));
    buf_clear(&part);
    buf_put_pb_bytes(&part, 1, slice_from_string("00000001"));
    buf_put_pb_varint(&part, 2, 1000000);
    buf_put_pb_varint(&part, 3, 1000000);
    buf_put_pb_varint(&part, 4, 1);
    buf_put_pb_bytes(&part, 5, slice_make(value, value_size));
    if (is_range) buf_put_pb_bytes(&method->reply, 2, buf_slice(&part));
    if (is_range) buf_put_pb_varint(&method->reply, 4, 1);
    buf_deinit(&part);
    alloc_free(value);
}

static void request_call(struct echo *echo, struct call *call)
{
    call->is_answered = false;
    grpc_metadata_array_init(&call->metadata);
    grpc_call_error error = grpc_server_request_registered_call(echo->server, call->method->registered, &call->call, &call->deadline,
                                                                &call->metadata, &call->payload, echo->queue, echo->queue, call);
    ASSERT(error == GRPC_CALL_OK);
}

/* All of the answer in one batch. A call that came is replaced first, as kvd does it. */
static void answer(struct echo *echo, struct call *call)
{
    struct call *next = ALLOC(struct call);
    next->method = call->method;
    request_call(echo, next);
    struct slice reply = buf_slice(&call->method->reply);
    grpc_slice bytes = grpc_slice_from_copied_buffer((const char *)reply.data, reply.size);
    call->answer = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    ops[1] = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->answer};
    ops[2] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER, .data.send_status_from_server.status = GRPC_STATUS_OK};
    ops[3] = (grpc_op){.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &call->is_cancelled};
    call->is_answered = true;
    grpc_call_error error = grpc_call_start_batch(call->call, ops, 4, call, NULL);
    ASSERT(error == GRPC_CALL_OK);
}

static void end(struct call *call)
{
    grpc_byte_buffer_destroy(call->answer);
    if (call->payload != NULL) grpc_byte_buffer_destroy(call->payload);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_unref(call->call);
    alloc_free(call);
}

static void handle(struct echo *echo, const grpc_event *event)
{
    struct call *call = event->tag;
    if (call->is_answered) {
        end(call);
        return;
    }
    if (event->success == 0) fatal("gRPC takes no more calls");
    answer(echo, call);
}

static void serve(struct echo *echo)
{
    for (;;) {
        size_t stuck = coalescer_uncork(); /* sockets that are full are tried again after a millisecond */
        grpc_event event = grpc_completion_queue_next(echo->queue, rpc_tag_deadline(stuck > 0 ? clock_mono_ns() + NS_PER_MS : CLOCK_NEVER), NULL);
        coalescer_cork();
        for (int i = 0; i < EVENTS_MAX && event.type == GRPC_OP_COMPLETE; i++) {
            handle(echo, &event);
            event = grpc_completion_queue_next(echo->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
        }
        if (event.type == GRPC_OP_COMPLETE) handle(echo, &event);
    }
}

static void start(struct echo *echo, const char *address)
{
    grpc_resource_quota *quota = grpc_resource_quota_create("clients");
    grpc_resource_quota_resize(quota, (size_t)512 << 20);
    grpc_arg args[] = {
        rpc_arg_integer(GRPC_ARG_ENABLE_CHANNELZ, 0),
        rpc_arg_integer(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        rpc_arg_integer(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        rpc_arg_integer(GRPC_ARG_ALLOW_REUSEPORT, 0),
        rpc_arg_integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 2u << 20),
        rpc_arg_integer(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1u << 20),
        rpc_arg_integer(GRPC_ARG_MAX_METADATA_SIZE, 65536),
        {.type = GRPC_ARG_POINTER, .key = GRPC_ARG_RESOURCE_QUOTA, .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}},
    };
    grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
    echo->server = grpc_server_create(&channel_args, NULL);
    echo->queue = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(echo->server, echo->queue, NULL);
    const char *const paths[METHODS] = {"/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put", "/etcdserverpb.Maintenance/Status"};
    for (size_t i = 0; i < METHODS; i++) {
        echo->methods[i].registered = grpc_server_register_method(echo->server, paths[i], NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        ASSERT(echo->methods[i].registered != NULL);
    }
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    if (grpc_server_add_http2_port(echo->server, address, credentials) == 0) fatal("%s: cannot listen", address);
    grpc_server_credentials_release(credentials);
    grpc_server_start(echo->server);
    for (size_t i = 0; i < METHODS * REQUESTS; i++) {
        struct call *call = ALLOC(struct call);
        call->method = &echo->methods[i % METHODS];
        request_call(echo, call);
    }
}

int main(int argc, char **argv)
{
    const char *address = "127.0.0.1:2379";
    uint64_t value_size = 256;
    bool help = false;
    struct flag flags[] = {
        {"listen", 0, FLAG_STRING, &address, "<address>", "address:port", "Server", false},
        {"value-size", 0, FLAG_U64, &value_size, "<bytes>", "of the value in a Range's reply", "Server", false},
        {"help", 'h', FLAG_BOOL, &help, NULL, "this text", "Server", false},
    };
    const int count = (int)(sizeof flags / sizeof flags[0]);
    if (!measure_read_flags("echo_server", flags, count, argc, argv, &help)) return help ? 0 : 2;
    if (!measure_in_range("echo_server", value_size <= VALUE_BYTES_MAX)) return 2;
    struct echo echo = {.server = NULL};
    rpc_process_init();
    for (size_t i = 0; i < METHODS; i++) make_reply(&echo.methods[i], i == 0, value_size);
    start(&echo, address);
    printf("ready\n");
    fflush(stdout);
    serve(&echo);
}
