/* http2: see http2.h. */
#include "lib/http2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_SETTINGS = 4, FRAME_PING = 6, FRAME_GOAWAY = 7,
       FRAME_WINDOW_UPDATE = 8 };
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4 };
#define SETTING_WINDOW 4
#define HEAD_BYTES 9
#define FRAME_BYTES_MAX 16384
#define WINDOW_FIRST 65535
#define WINDOW_MAX 0x7fffffff
#define WINDOW_STEP (1u << 30) /* received before the other side is told that there is room again */
#define READ_BYTES (256u << 10)
#define EVENTS_MAX 128
#define GRPC_HEAD_BYTES 5

struct http2_stream {
    struct http2_connection *connection;
    struct http2_handler handler;
    struct list of_blocked;    /* has bytes that a window holds back */
    uint32_t id;
    int64_t window;
    uint64_t received;         /* since the last update of the window */
    uint64_t message_count;
    struct buf partial;        /* of a message */
    struct buf waiting;        /* to be sent */
    size_t waiting_done;
    bool is_last;
};

struct http2_connection {
    struct http2 *http2;
    int descriptor;
    struct list of_http2, of_dirty;
    struct map streams;
    struct list blocked;
    uint32_t next_id;
    int64_t window, window_of_new;
    uint64_t received;
    struct buf out;
    size_t out_done;
    uint8_t *in;
    size_t in_size;
};

struct http2 {
    int epoll;
    struct list connections, dirty;
};

struct http2 *http2_new(void)
{
    struct http2 *http2 = ALLOC(struct http2);
    http2->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (http2->epoll < 0) fatal("epoll: %s", strerror(errno));
    list_init(&http2->connections);
    list_init(&http2->dirty);
    return http2;
}

static void free_stream(struct http2_stream *stream)
{
    struct http2_stream *taken = map_take(&stream->connection->streams, stream->id);
    ASSERT(taken == stream);
    list_remove(&stream->of_blocked);
    buf_deinit(&stream->partial);
    buf_deinit(&stream->waiting);
    alloc_free(stream);
}

void http2_free(struct http2 *http2)
{
    struct list *node;
    while ((node = list_pop_front(&http2->connections)) != NULL) {
        struct http2_connection *connection = LIST_ENTRY(node, struct http2_connection, of_http2);
        uint64_t id;
        size_t cursor = 0;
        void *stream;
        while ((stream = map_each(&connection->streams, &cursor, &id)) != NULL) {
            free_stream(stream);
            cursor = 0;
        }
        map_deinit(&connection->streams);
        list_remove(&connection->of_dirty);
        buf_deinit(&connection->out);
        close(connection->descriptor);
        alloc_free(connection->in);
        alloc_free(connection);
    }
    close(http2->epoll);
    alloc_free(http2);
}

/* --- out --- */

static void put_big_endian(struct buf *buf, uint64_t value, int bytes)
{
    while (bytes-- > 0) buf_put_u8(buf, (uint8_t)(value >> 8 * bytes));
}

static void put_head(struct http2_connection *connection, size_t size, int kind, int flags, uint32_t stream)
{
    ASSERT(size <= FRAME_BYTES_MAX);
    put_big_endian(&connection->out, size, 3);
    buf_put_u8(&connection->out, (uint8_t)kind);
    buf_put_u8(&connection->out, (uint8_t)flags);
    put_big_endian(&connection->out, stream, 4);
    if (list_is_empty(&connection->of_dirty)) list_push_back(&connection->http2->dirty, &connection->of_dirty);
}

static void put_window(struct http2_connection *connection, uint32_t stream, uint64_t more)
{
    put_head(connection, 4, FRAME_WINDOW_UPDATE, 0, stream);
    put_big_endian(&connection->out, more, 4);
}

static void put_setting(struct http2_connection *connection, uint32_t name, uint32_t value)
{
    put_head(connection, 6, FRAME_SETTINGS, 0, 0);
    put_big_endian(&connection->out, name, 2);
    put_big_endian(&connection->out, value, 4);
}

/* A field that no table knows, as it is. */
static void put_field(struct buf *buf, const char *name, const char *value)
{
    size_t name_size = strlen(name), value_size = strlen(value);
    ASSERT(name_size < 127 && value_size < 127);
    buf_put_u8(buf, 0);
    buf_put_u8(buf, (uint8_t)name_size);
    buf_put(buf, name, name_size);
    buf_put_u8(buf, (uint8_t)value_size);
    buf_put(buf, value, value_size);
}

static void connect_to(int descriptor, const char *endpoint)
{
    char host[64];
    const char *colon = strrchr(endpoint, ':');
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (colon == NULL || (size_t)(colon - endpoint) >= sizeof host) fatal("%s: address:port is wanted", endpoint);
    snprintf(host, sizeof host, "%.*s", (int)(colon - endpoint), endpoint);
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) fatal("%s: address:port is wanted", endpoint);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fatal("%s: %s", endpoint, strerror(errno));
}

struct http2_connection *http2_connect(struct http2 *http2, const char *endpoint)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    int on = 1;
    struct http2_connection *connection = ALLOC(struct http2_connection);
    *connection = (struct http2_connection){.http2 = http2, .next_id = 1, .window = WINDOW_FIRST, .window_of_new = WINDOW_FIRST};
    connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->descriptor < 0) fatal("socket: %s", strerror(errno));
    connect_to(connection->descriptor, endpoint);
    (void)setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->in = alloc_new(READ_BYTES);
    map_init(&connection->streams);
    list_init(&connection->blocked);
    list_init(&connection->of_dirty);
    buf_init(&connection->out);
    list_push_back(&http2->connections, &connection->of_http2);
    buf_put(&connection->out, preface, sizeof preface - 1);
    put_setting(connection, SETTING_WINDOW, WINDOW_MAX);
    put_window(connection, 0, WINDOW_MAX - WINDOW_FIRST);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(http2->epoll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) fatal("epoll: %s", strerror(errno));
    return connection;
}

struct http2_stream *http2_open(struct http2_connection *connection, const char *path, const struct http2_handler *handler)
{
    struct buf fields;
    struct http2_stream *stream = ALLOC(struct http2_stream);
    *stream = (struct http2_stream){.connection = connection, .handler = *handler, .id = connection->next_id, .window = connection->window_of_new};
    ASSERT(connection->next_id < WINDOW_MAX - 2);
    connection->next_id += 2;
    list_init(&stream->of_blocked);
    buf_init(&stream->partial);
    buf_init(&stream->waiting);
    bool is_put = map_put(&connection->streams, stream->id, stream);
    ASSERT(is_put);
    buf_init(&fields);
    buf_put_u8(&fields, 0x83); /* :method POST */
    buf_put_u8(&fields, 0x86); /* :scheme http */
    put_field(&fields, ":path", path);
    put_field(&fields, ":authority", "load");
    put_field(&fields, "content-type", "application/grpc");
    put_field(&fields, "te", "trailers");
    put_head(connection, fields.size, FRAME_HEADERS, FLAG_END_HEADERS, stream->id);
    buf_put_slice(&connection->out, buf_slice(&fields));
    buf_deinit(&fields);
    return stream;
}

/* As much as the windows let. True: nothing is left. */
static bool push(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    while (stream->waiting_done < stream->waiting.size) {
        int64_t size = (int64_t)(stream->waiting.size - stream->waiting_done);
        if (size > FRAME_BYTES_MAX) size = FRAME_BYTES_MAX;
        if (size > stream->window) size = stream->window;
        if (size > connection->window) size = connection->window;
        if (size <= 0) return false;
        bool is_end = stream->is_last && stream->waiting_done + (size_t)size == stream->waiting.size;
        put_head(connection, (size_t)size, FRAME_DATA, is_end ? FLAG_END_STREAM : 0, stream->id);
        buf_put(&connection->out, buf_slice(&stream->waiting).data + stream->waiting_done, (size_t)size);
        stream->waiting_done += (size_t)size;
        stream->window -= size;
        connection->window -= size;
    }
    buf_clear(&stream->waiting);
    stream->waiting_done = 0;
    list_remove(&stream->of_blocked);
    return true;
}

void http2_send(struct http2_stream *stream, struct slice body, bool is_last)
{
    ASSERT(!stream->is_last);
    stream->is_last = is_last;
    buf_put_u8(&stream->waiting, 0);
    put_big_endian(&stream->waiting, body.size, 4);
    buf_put_slice(&stream->waiting, body);
    if (!push(stream) && list_is_empty(&stream->of_blocked)) list_push_back(&stream->connection->blocked, &stream->of_blocked);
}

/* --- in --- */

static uint64_t big_endian(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

/* Whole messages at the front of the bytes are told; answers how many bytes they took. */
static size_t tell(struct http2_stream *stream, struct slice bytes)
{
    size_t at = 0;
    while (bytes.size - at >= GRPC_HEAD_BYTES) {
        size_t size = (size_t)big_endian(bytes.data + at + 1, 4);
        if (size > HTTP2_MESSAGE_BYTES_MAX) fatal("a message of %zu bytes", size);
        if (bytes.size - at < GRPC_HEAD_BYTES + size) break;
        stream->message_count++;
        stream->handler.message(stream->handler.user, stream, slice_make(bytes.data + at + GRPC_HEAD_BYTES, size));
        at += GRPC_HEAD_BYTES + size;
    }
    return at;
}

static void take_data(struct http2_connection *connection, struct http2_stream *stream, struct slice bytes)
{
    connection->received += bytes.size;
    if (connection->received >= WINDOW_STEP) {
        put_window(connection, 0, connection->received);
        connection->received = 0;
    }
    if (stream == NULL) return;
    stream->received += bytes.size;
    if (stream->received >= WINDOW_STEP) {
        put_window(connection, stream->id, stream->received);
        stream->received = 0;
    }
    if (stream->partial.size > 0) {
        struct buf whole = stream->partial;
        buf_init(&stream->partial);
        buf_put_slice(&whole, bytes);
        size_t told = tell(stream, buf_slice(&whole));
        if (told == 0) {
            stream->partial = whole;
            return;
        }
        buf_put_slice(&stream->partial, slice_from(buf_slice(&whole), told));
        buf_deinit(&whole);
        return;
    }
    size_t told = tell(stream, bytes);
    if (told < bytes.size) buf_put_slice(&stream->partial, slice_from(bytes, told));
}

static void take_settings(struct http2_connection *connection, struct slice bytes)
{
    for (size_t at = 0; at + 6 <= bytes.size; at += 6) {
        if (big_endian(bytes.data + at, 2) != SETTING_WINDOW) continue;
        int64_t value = (int64_t)big_endian(bytes.data + at + 2, 4), grown = value - connection->window_of_new;
        uint64_t id;
        size_t cursor = 0;
        struct http2_stream *stream;
        connection->window_of_new = value;
        while ((stream = map_each(&connection->streams, &cursor, &id)) != NULL) stream->window += grown;
    }
    put_head(connection, 0, FRAME_SETTINGS, FLAG_ACK, 0);
}

static void push_blocked(struct http2_connection *connection)
{
    struct list *next;
    for (struct list *at = connection->blocked.next; at != &connection->blocked; at = next) {
        next = at->next;
        (void)push(LIST_ENTRY(at, struct http2_stream, of_blocked));
    }
}

static void end(struct http2_stream *stream)
{
    stream->handler.ended(stream->handler.user, stream, stream->message_count);
    free_stream(stream);
}

static void take_frame(struct http2_connection *connection, int kind, int flags, uint32_t id, struct slice bytes)
{
    struct http2_stream *stream = id == 0 ? NULL : map_get(&connection->streams, id);
    switch (kind) {
    case FRAME_DATA: take_data(connection, stream, bytes); break;
    case FRAME_SETTINGS:
        if ((flags & FLAG_ACK) == 0) take_settings(connection, bytes);
        push_blocked(connection);
        break;
    case FRAME_PING:
        if ((flags & FLAG_ACK) != 0) break;
        put_head(connection, bytes.size, FRAME_PING, FLAG_ACK, 0);
        buf_put_slice(&connection->out, bytes);
        break;
    case FRAME_WINDOW_UPDATE:
        ASSERT(bytes.size == 4);
        if (id == 0) connection->window += (int64_t)big_endian(bytes.data, 4);
        else if (stream != NULL) stream->window += (int64_t)big_endian(bytes.data, 4);
        push_blocked(connection);
        break;
    case FRAME_GOAWAY: fatal("the server sent GOAWAY"); break;
    default: break;
    }
    bool is_end = kind == FRAME_RST_STREAM || ((kind == FRAME_DATA || kind == FRAME_HEADERS) && (flags & FLAG_END_STREAM) != 0);
    if (is_end && stream != NULL) end(stream);
}

static size_t take_frames(struct http2_connection *connection)
{
    size_t at = 0;
    while (connection->in_size - at >= HEAD_BYTES) {
        const uint8_t *head = connection->in + at;
        size_t size = (size_t)big_endian(head, 3);
        if (size > FRAME_BYTES_MAX) fatal("a frame of %zu bytes", size);
        if (connection->in_size - at < HEAD_BYTES + size) break;
        take_frame(connection, head[3], head[4], (uint32_t)big_endian(head + 5, 4) & WINDOW_MAX, slice_make(head + HEAD_BYTES, size));
        at += HEAD_BYTES + size;
    }
    return at;
}

static void receive(struct http2_connection *connection)
{
    for (;;) {
        size_t room = READ_BYTES - connection->in_size;
        ssize_t count = recv(connection->descriptor, connection->in + connection->in_size, room, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) fatal("the server closed a connection: %s", count == 0 ? "end" : strerror(errno));
        connection->in_size += (size_t)count;
        size_t taken = take_frames(connection);
        memmove(connection->in, connection->in + taken, connection->in_size - taken);
        connection->in_size -= taken;
        if ((size_t)count < room) return;
    }
}

static void flush(struct http2 *http2)
{
    struct list *next;
    for (struct list *at = http2->dirty.next; at != &http2->dirty; at = next) {
        struct http2_connection *connection = LIST_ENTRY(at, struct http2_connection, of_dirty);
        next = at->next;
        struct slice rest = slice_from(buf_slice(&connection->out), connection->out_done);
        ssize_t count = send(connection->descriptor, rest.data, rest.size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN && errno != EINTR) fatal("the server closed a connection: %s", strerror(errno));
        if (count > 0) connection->out_done += (size_t)count;
        if (connection->out_done < connection->out.size) continue; /* the next pump tries again, woken by EPOLLOUT */
        buf_clear(&connection->out);
        connection->out_done = 0;
        list_remove(&connection->of_dirty);
    }
}

void http2_pump(struct http2 *http2, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS_MAX];
    flush(http2);
    uint64_t now_ns = clock_mono_ns();
    uint64_t left_ms = deadline_ns <= now_ns ? 0 : (deadline_ns - now_ns) / NS_PER_MS + 1;
    int timeout_ms = deadline_ns == CLOCK_NEVER || left_ms > 60000 ? 60000 : (int)left_ms;
    int count = epoll_wait(http2->epoll, events, EVENTS_MAX, timeout_ms);
    if (count < 0 && errno != EINTR) fatal("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) receive(events[i].data.ptr);
    }
    flush(http2);
}
