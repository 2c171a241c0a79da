/* door_preface: what the first bytes of a connection say that the client speaks. Pure.
 *
 * An HTTP/2 client that needs no upgrade begins with the 24 bytes "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" (RFC 9113 3.4);
 * they were chosen so that no HTTP/1.1 request begins like it. A method of HTTP/1.1 is capital letters; a TLS
 * ClientHello begins with 0x16. Thread: any.
 */
#ifndef PIPELINE_DOOR_PREFACE_H
#define PIPELINE_DOOR_PREFACE_H
#include "base/slice.h"

#define DOOR_PREFACE_BYTES 24

enum door_preface {
    DOOR_PREFACE_MORE,  /* too few bytes to tell */
    DOOR_PREFACE_HTTP2, /* complete */
    DOOR_PREFACE_HTTP1,
    DOOR_PREFACE_OTHER,
};

/* `bytes`: what has come so far, from the first one on. */
enum door_preface door_preface_of(struct slice bytes);

#endif
