/* http_front: HTTP/1.1 for what is no gRPC: monitoring, and who asks with curl. libmicrohttpd behind it, without a thread and without a
 * listener of its own: the door hands connections over and steps it.
 *
 * A request is served by a function of the owner, at once or later (then its connection sleeps). It may come in pieces, stay away, or
 * never end: a connection that is taken, or has its last answer, and does not send a whole request within HTTP_FRONT_TIMEOUT_S is closed, and so
 * is one that does not take an answer in that time. Bodies are thrown away; those over HTTP_FRONT_BODY_BYTES, or of a length that is not
 * told, are refused (413, 411), heads over HTTP_FRONT_HEAD_BYTES, too.
 * Owner: http_front_new/_free; an exchange is the front's. Thread: one, the door's.
 * Limits: HTTP_FRONT_CONNECTIONS_MAX at once. One more takes the place of the one that keeps us waiting for the longest, for a whole request or to
 * take an answer; where there is none, it is closed.
 * With an rpc_tls every connection of the front is TLS: libmicrohttpd's, that is GnuTLS's (http_tls).
 */
#ifndef RPC_HTTP_FRONT_H
#define RPC_HTTP_FRONT_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "rpc/rpc_tls.h"

#define HTTP_FRONT_CONNECTIONS_MAX 64
#define HTTP_FRONT_HEAD_BYTES 16384
#define HTTP_FRONT_BODY_BYTES 65536
#define HTTP_FRONT_TIMEOUT_S 30

struct http_front;
struct http_exchange; /* a request and its answer */

struct http_front_owner {
    /* http_exchange_answer inside, or later. */
    void (*serve)(void *context, struct http_exchange *exchange);
    /* The exchange ends although it waits for its answer: forget it. */
    void (*forget)(void *context, struct http_exchange *exchange);
    void *context;
};
/* NULL: no descriptors, or no memory. `tls` is borrowed; NULL = plain. */
struct http_front *http_front_new(const struct http_front_owner *owner, struct rpc_tls *tls);
/* Answers 503 to who waits, and to requests that have come; closes all connections. Accepts NULL. */
void http_front_free(struct http_front *front);
int http_front_descriptor(const struct http_front *front);               /* readable: http_front_step is due */
/* Takes the connected descriptor (non-blocking, nothing consumed); http_front_step is due. It may serve others, to make room. */
void http_front_adopt(struct http_front *front, int descriptor, uint64_t now_ns);
void http_front_step(struct http_front *front, uint64_t now_ns); /* bounded, never blocks */
/* When the next step is due at the latest; CLOCK_NEVER = not before something happens. */
uint64_t http_front_deadline_ns(const struct http_front *front);

const char *http_exchange_method(const struct http_exchange *exchange); /* "GET" */
const char *http_exchange_path(const struct http_exchange *exchange);   /* "/health", without the query */
/* Whether the query has the name with the value, or with any (NULL). */
bool http_exchange_has(const struct http_exchange *exchange, const char *name, const char *value);
/* Once, then the exchange is dead to the owner; http_front_step is due. The body is copied. */
void http_exchange_answer(struct http_exchange *exchange, unsigned status, const char *content_type, struct slice body);

#endif
