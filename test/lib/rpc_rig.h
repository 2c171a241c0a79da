/* rpc_rig: what the tests and benchmarks of gRPC's edge share: a listening socket with a thread that accepts for the server under
 * test, and a client of gRPC's C core. A header, so that only programs that want gRPC link it.
 * Thread: the client's functions on one thread; the door has its own. */
#ifndef TEST_LIB_RPC_RIG_H
#define TEST_LIB_RPC_RIG_H
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "rpc/rpc_signal.h"

/* One allocation of c-ares lives as long as the process. */
const char *__lsan_default_suppressions(void);
__attribute__((used)) const char *__lsan_default_suppressions(void) { return "leak:libcares\n"; }
/* gRPC is not built for TSan: what it alone touches is not looked at. */
const char *__tsan_default_options(void);
__attribute__((used)) const char *__tsan_default_options(void) { return "ignore_noninstrumented_modules=1"; }

/* ---- the door ---- */
typedef void rig_adopt_fn(void *context, int descriptor);
struct rig_door {
    int listener;
    uint16_t port;
    atomic_bool stop;
    atomic_bool refuse; /* close what comes at once */
    pthread_t thread;
    rig_adopt_fn *adopt;
    void *context;
};

static inline int rig_listen(uint16_t port, uint16_t *out_port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ASSERT(bind(fd, (struct sockaddr *)&address, size) == 0);
    ASSERT(listen(fd, 1024) == 0);
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *out_port = ntohs(address.sin_port);
    return fd;
}

static inline void *rig_door_run(void *context)
{
    struct rig_door *door = context;
    while (!atomic_load(&door->stop)) {
        struct pollfd waits = {.fd = door->listener, .events = POLLIN};
        if (poll(&waits, 1, 20) <= 0) continue;
        int fd = accept4(door->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) continue;
        if (atomic_load(&door->refuse)) close(fd);
        else door->adopt(door->context, fd);
    }
    return NULL;
}

static inline void rig_door_open(struct rig_door *door, uint16_t port, rig_adopt_fn *adopt, void *context)
{
    *door = (struct rig_door){.adopt = adopt, .context = context};
    door->listener = rig_listen(port, &door->port);
    ASSERT(pthread_create(&door->thread, NULL, rig_door_run, door) == 0);
}

static inline void rig_door_close(struct rig_door *door)
{
    atomic_store(&door->stop, true);
    pthread_join(door->thread, NULL);
    close(door->listener);
}

/* ---- the poller ---- */
/* Moves the bytes of every connection of the process and passes signals on, as net's thread does: without one nothing goes on. */
struct rig_poller {
    grpc_completion_queue *queue;
    pthread_t thread;
    atomic_bool runs;
};

/* True: it is shut down. */
static inline bool rig_poller_take(struct rig_poller *poller, uint64_t until_ns)
{
    grpc_event event = grpc_completion_queue_next(poller->queue, rpc_tag_deadline(until_ns), NULL);
    if (event.type == GRPC_OP_COMPLETE) rpc_signal_pass(event.tag, event.success != 0);
    return event.type == GRPC_QUEUE_SHUTDOWN;
}

static inline void *rig_poller_run(void *context)
{
    struct rig_poller *poller = context;
    while (atomic_load(&poller->runs)) (void)rig_poller_take(poller, clock_mono_ns() + 20 * NS_PER_MS);
    return NULL;
}

static inline void rig_poller_resume(struct rig_poller *poller)
{
    atomic_store(&poller->runs, true);
    ASSERT(pthread_create(&poller->thread, NULL, rig_poller_run, poller) == 0);
}

static inline void rig_poller_pause(struct rig_poller *poller)
{
    atomic_store(&poller->runs, false);
    pthread_join(poller->thread, NULL);
}

static inline void rig_poller_start(struct rig_poller *poller)
{
    poller->queue = grpc_completion_queue_create_for_next(NULL);
    rig_poller_resume(poller);
}

static inline void rig_poller_stop(struct rig_poller *poller)
{
    rig_poller_pause(poller);
    grpc_completion_queue_shutdown(poller->queue);
    while (!rig_poller_take(poller, CLOCK_NEVER)) continue;
    grpc_completion_queue_destroy(poller->queue);
}

/* For an rpc_peer that is freed. */
static inline void rig_poller_pump(void *context, uint64_t until_ns)
{
    struct rig_poller *poller = context;
    if (atomic_load(&poller->runs)) usleep(100);
    else (void)rig_poller_take(poller, until_ns);
}

/* ---- the proxy ---- */
/* Between a client and 127.0.0.1:`to`. It can stop to forward (a hung process), break every connection (RST), and counts them. */
#define RIG_PROXY_PAIRS 32
struct rig_proxy {
    int listener;
    uint16_t port, to;
    atomic_bool stop, hang, cut;
    atomic_uint accepted;
    pthread_t thread;
    int ends[RIG_PROXY_PAIRS][2]; /* -1 = free */
};

static inline void rig_proxy_end(int ends[2])
{
    struct linger now = {.l_onoff = 1};
    for (int i = 0; i < 2; i++) {
        if (ends[i] < 0) continue;
        setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(ends[i]);
        ends[i] = -1;
    }
}

static inline void rig_proxy_accept(struct rig_proxy *proxy)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(proxy->to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC), i = 0;
    if (fd < 0) return;
    atomic_fetch_add(&proxy->accepted, 1);
    while (i < RIG_PROXY_PAIRS && proxy->ends[i][0] >= 0) i++;
    ASSERT(i < RIG_PROXY_PAIRS);
    proxy->ends[i][0] = fd;
    proxy->ends[i][1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(proxy->ends[i][1], (struct sockaddr *)&address, sizeof address) != 0) rig_proxy_end(proxy->ends[i]);
}

static inline bool rig_proxy_move(int from, int to)
{
    char bytes[65536];
    ssize_t size = recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN;
    for (ssize_t sent = 0, n; sent < size; sent += n) {
        if ((n = send(to, bytes + sent, (size_t)(size - sent), MSG_NOSIGNAL)) <= 0) return false;
    }
    return size > 0;
}

static inline void *rig_proxy_run(void *context)
{
    struct rig_proxy *proxy = context;
    while (!atomic_load(&proxy->stop)) {
        struct pollfd waits[1 + 2 * RIG_PROXY_PAIRS] = {{.fd = proxy->listener, .events = POLLIN}};
        bool hangs = atomic_load(&proxy->hang);
        for (int i = 0; i < 2 * RIG_PROXY_PAIRS; i++)
            waits[1 + i] = (struct pollfd){.fd = hangs ? -1 : proxy->ends[i / 2][i % 2], .events = POLLIN};
        (void)poll(waits, 1 + 2 * RIG_PROXY_PAIRS, 10);
        for (int i = 0; i < 2 * RIG_PROXY_PAIRS; i++) {
            int *ends = proxy->ends[i / 2];
            if (waits[1 + i].fd >= 0 && waits[1 + i].revents != 0 && ends[0] >= 0 && !rig_proxy_move(ends[i % 2], ends[1 - i % 2]))
                rig_proxy_end(ends);
        }
        if (atomic_exchange(&proxy->cut, false)) {
            for (int i = 0; i < RIG_PROXY_PAIRS; i++) rig_proxy_end(proxy->ends[i]);
        }
        if (waits[0].revents != 0) rig_proxy_accept(proxy);
    }
    return NULL;
}

static inline void rig_proxy_open(struct rig_proxy *proxy, uint16_t to)
{
    *proxy = (struct rig_proxy){.to = to};
    for (int i = 0; i < RIG_PROXY_PAIRS; i++) proxy->ends[i][0] = proxy->ends[i][1] = -1;
    proxy->listener = rig_listen(0, &proxy->port);
    ASSERT(pthread_create(&proxy->thread, NULL, rig_proxy_run, proxy) == 0);
}

static inline void rig_proxy_close(struct rig_proxy *proxy)
{
    atomic_store(&proxy->stop, true);
    pthread_join(proxy->thread, NULL);
    for (int i = 0; i < RIG_PROXY_PAIRS; i++) rig_proxy_end(proxy->ends[i]);
    close(proxy->listener);
}

/* ---- the client ---- */
#define RIG_CHANNELS_MAX 128
struct rig_client {
    grpc_completion_queue *queue;
    grpc_channel *channels[RIG_CHANNELS_MAX];
    size_t channel_count;
};

struct rig_call {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code status;
    grpc_slice details;
    size_t channel;
    size_t number; /* the test's own */
    bool is_put;   /* the test's own */
};

static inline void rig_client_open(struct rig_client *client, uint16_t port, size_t channel_count)
{
    char target[64];
    snprintf(target, sizeof target, "dns:///127.0.0.1:%u", port);
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_CHANNELZ, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_HTTP2_BDP_PROBE, .value.integer = 0},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MINIMAL_STACK, .value.integer = 1},
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_ENABLE_HTTP_PROXY, .value.integer = 0},
    };
    grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    client->queue = grpc_completion_queue_create_for_next(NULL);
    client->channel_count = channel_count;
    for (size_t i = 0; i < channel_count; i++) client->channels[i] = grpc_channel_create(target, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
}

static inline void rig_client_close(struct rig_client *client)
{
    for (size_t i = 0; i < client->channel_count; i++) grpc_channel_destroy(client->channels[i]);
    grpc_completion_queue_shutdown(client->queue);
    while (grpc_completion_queue_next(client->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type != GRPC_QUEUE_SHUTDOWN) continue;
    grpc_completion_queue_destroy(client->queue);
}

static inline struct rig_call *rig_call_start(struct rig_client *client, size_t channel, const char *path, struct slice request,
                                              int64_t timeout_ms, grpc_metadata *metadata, size_t metadata_count)
{
    struct rig_call *call = ALLOC(struct rig_call);
    call->channel = channel;
    gpr_timespec deadline = timeout_ms == 0 ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                                            : gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    call->call = grpc_channel_create_call(client->channels[channel], NULL, GRPC_PROPAGATE_DEFAULTS, client->queue,
                                          grpc_slice_from_static_string(path), NULL, deadline, NULL);
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    grpc_slice bytes = grpc_slice_from_copied_buffer((const char *)request.data, request.size);
    call->request = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice_unref(bytes);
    grpc_op ops[6] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}, {.op = GRPC_OP_SEND_MESSAGE},   {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                      {.op = GRPC_OP_RECV_INITIAL_METADATA}, {.op = GRPC_OP_RECV_MESSAGE}, {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
    ops[0].data.send_initial_metadata.metadata = metadata;
    ops[0].data.send_initial_metadata.count = metadata_count;
    ops[1].data.send_message.send_message = call->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[4].data.recv_message.recv_message = &call->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[5].data.recv_status_on_client.status = &call->status;
    ops[5].data.recv_status_on_client.status_details = &call->details;
    ASSERT(grpc_call_start_batch(call->call, ops, 6, call, NULL) == GRPC_CALL_OK);
    return call;
}

/* The next call that is over; NULL when the time is up. */
static inline struct rig_call *rig_client_wait(struct rig_client *client, int64_t timeout_ms)
{
    gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    grpc_event event = grpc_completion_queue_next(client->queue, deadline, NULL);
    return event.type == GRPC_OP_COMPLETE ? event.tag : NULL;
}

static inline void rig_call_free(struct rig_call *call)
{
    if (call->response != NULL) grpc_byte_buffer_destroy(call->response);
    grpc_byte_buffer_destroy(call->request);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_call_unref(call->call);
    alloc_free(call);
}

static inline struct blob *rig_bytes(grpc_byte_buffer *buffer)
{
    if (buffer == NULL) return blob_new(0);
    grpc_byte_buffer_reader reader;
    ASSERT(grpc_byte_buffer_reader_init(&reader, buffer));
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    struct blob *blob = blob_copy(slice_make(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all)));
    grpc_slice_unref(all);
    return blob;
}

static inline bool rig_details_are(const struct rig_call *call, const char *text) { return grpc_slice_str_cmp(call->details, text) == 0; }

/* ---- a client that does not read ---- */
static inline void rig_put_frame(struct buf *out, uint8_t type, uint8_t flags, uint8_t stream, struct slice payload)
{
    const uint8_t head[9] = {0, (uint8_t)(payload.size >> 8), (uint8_t)payload.size, type, flags, 0, 0, 0, stream};
    buf_put(out, head, sizeof head);
    buf_put_slice(out, payload);
}

static inline void rig_put_field(struct buf *out, const char *name, const char *value)
{
    buf_put_u8(out, 0); /* a literal */
    buf_put_u8(out, (uint8_t)strlen(name));
    buf_put_slice(out, slice_from_string(name));
    buf_put_u8(out, (uint8_t)strlen(value));
    buf_put_slice(out, slice_from_string(value));
}

/* HTTP/2 by hand: calls with a message of one byte, over windows as large as they can be; nothing is read. The descriptor stays open. */
static inline void rig_ask_and_never_read(int descriptor, const char *path, uint8_t call_count)
{
    static const uint8_t WINDOW[] = {0, 4, 0x7f, 0xff, 0xff, 0xff}, UPDATE[] = {0x7f, 0xfe, 0, 0}, MESSAGE[] = {0, 0, 0, 0, 1, 'x'};
    static const char *const FIELDS[][2] = {{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {"content-type", "application/grpc"},
                                            {"te", "trailers"}};
    struct buf bytes, fields;
    ASSERT(call_count < 128);
    buf_init(&bytes);
    buf_init(&fields);
    rig_put_field(&fields, ":path", path);
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) rig_put_field(&fields, FIELDS[i][0], FIELDS[i][1]);
    buf_put_slice(&bytes, slice_from_string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    rig_put_frame(&bytes, 4, 0, 0, slice_make(WINDOW, sizeof WINDOW));
    rig_put_frame(&bytes, 8, 0, 0, slice_make(UPDATE, sizeof UPDATE));
    for (uint8_t i = 0; i < call_count; i++) {
        rig_put_frame(&bytes, 1, 4, (uint8_t)(2 * i + 1), buf_slice(&fields));
        rig_put_frame(&bytes, 0, 1, (uint8_t)(2 * i + 1), slice_make(MESSAGE, sizeof MESSAGE));
    }
    ASSERT(send(descriptor, bytes.blob->data, bytes.size, MSG_NOSIGNAL) == (ssize_t)bytes.size);
    buf_deinit(&fields);
    buf_deinit(&bytes);
}

#endif
