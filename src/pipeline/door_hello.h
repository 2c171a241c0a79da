/* door_hello: what the first bytes of a TLS connection say that the client will speak inside. Pure.
 *
 * A TLS client begins with a ClientHello (RFC 8446 4.1.2), in plain text, in one record or several. Its extension ALPN (RFC 7301) lists
 * protocols: gRPC's clients name h2 and never http/1.1; browsers, curl and Prometheus name both, or none, and all of them speak
 * HTTP/1.1, which is what such a one gets. Thread: any. Limits: DOOR_HELLO_BYTES_MAX; real ones are below 2 KiB.
 */
#ifndef PIPELINE_DOOR_HELLO_H
#define PIPELINE_DOOR_HELLO_H
#include "base/slice.h"

#define DOOR_HELLO_BYTES_MAX 16384

enum door_hello {
    DOOR_HELLO_MORE,  /* too few bytes to tell */
    DOOR_HELLO_HTTP2, /* h2 and not http/1.1: gRPC */
    DOOR_HELLO_HTTP1, /* everybody else's */
    DOOR_HELLO_OTHER, /* no ClientHello, or a longer one than any */
};

/* `bytes`: what has come so far, from the first one on. */
enum door_hello door_hello_of(struct slice bytes);

#endif
