/* http2: HTTP/2 by hand, as much of it as gRPC calls need, for load generators that must cost next to nothing beside the servers that they
 * load: a received message costs its bytes, and ten thousand open streams cost nothing while they are silent.
 *
 * What comes in headers is not decoded: a call that ends without a message has failed. Windows towards us are as large as they can be.
 * Owner: http2_new/_free; a stream lives until its `ended` has returned. Thread: one.
 * Errors: what is no HTTP/2, or a connection that breaks, ends the program with a text.
 * Limits: HTTP2_MESSAGE_BYTES_MAX per message received. Source: RFC 9113, gRPC over HTTP2. */
#ifndef TEST_LIB_HTTP2_H
#define TEST_LIB_HTTP2_H
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define HTTP2_MESSAGE_BYTES_MAX (64u << 20)

struct http2;
struct http2_connection;
struct http2_stream;
struct http2_handler {
    void *user; /* of the stream's owner */
    void (*message)(void *user, struct http2_stream *stream, struct slice body); /* borrowed */
    void (*ended)(void *user, struct http2_stream *stream, uint64_t message_count);
};

struct http2 *http2_new(void);
void http2_free(struct http2 *http2); /* closes all; nobody is told */
/* "127.0.0.1:2379" */
struct http2_connection *http2_connect(struct http2 *http2, const char *endpoint);
struct http2_stream *http2_open(struct http2_connection *connection, const char *path, const struct http2_handler *handler);
/* One gRPC message; it leaves in a pump, as soon as the windows let it. */
void http2_send(struct http2_stream *stream, struct slice body, bool is_last);
/* Sends what waits, waits until something comes or deadline_ns (base/clock.h) passes, and tells it. */
void http2_pump(struct http2 *http2, uint64_t deadline_ns);

#endif
