/* door_hello: see door_hello.h. */
#include "pipeline/door_hello.h"

#include "base/assert.h"
#include "base/buf.h"

#define RECORD_HANDSHAKE 22
#define RECORD_HEAD_BYTES 5
#define RECORD_BYTES_MAX 16384
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_HEAD_BYTES 4
#define EXTENSION_ALPN 16

/* TLS writes the larger byte first. */
static uint16_t take_u16(struct reader *reader)
{
    uint16_t high = reader_u8(reader);
    return (uint16_t)(high << 8 | reader_u8(reader));
}

/* Of the whole message, as far as its head has come. */
static size_t wanted_size(const uint8_t *message, size_t size)
{
    if (size < MESSAGE_HEAD_BYTES) return MESSAGE_HEAD_BYTES;
    return MESSAGE_HEAD_BYTES + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
}

/* The payloads of the records, one behind the other, until the message is whole: what stands behind it is not looked at. False = that are no
 * records of a handshake. */
static bool join_records(struct slice bytes, uint8_t *out_message, size_t *out_size)
{
    struct reader reader = reader_make(bytes);
    *out_size = 0;
    while (reader_left(&reader) > 0 && *out_size < wanted_size(out_message, *out_size)) {
        uint8_t head[RECORD_HEAD_BYTES];
        size_t known = reader_left(&reader) < sizeof(head) ? reader_left(&reader) : sizeof(head);
        memcpy(head, reader_bytes(&reader, known).data, known);
        if (head[0] != RECORD_HANDSHAKE || (known > 1 && head[1] != 3)) return false;
        if (known < sizeof(head)) return true;
        size_t size = (size_t)head[3] << 8 | head[4];
        if (size == 0 || size > RECORD_BYTES_MAX) return false;
        if (size > reader_left(&reader)) size = reader_left(&reader);
        if (size == 0) return true;
        memcpy(out_message + *out_size, reader_bytes(&reader, size).data, size);
        *out_size += size;
    }
    return true;
}

/* The list of an ALPN extension. */
static void look_at_protocols(struct reader *list, bool *has_http2, bool *has_http1)
{
    while (reader_left(list) > 0 && !list->bad) {
        struct slice name = reader_bytes(list, reader_u8(list));
        *has_http2 = *has_http2 || slice_equal(name, slice_from_string("h2"));
        *has_http1 = *has_http1 || slice_equal(name, slice_from_string("http/1.1"));
    }
}

/* The body of a whole ClientHello. */
static enum door_hello look_inside(struct reader *body)
{
    bool has_http2 = false, has_http1 = false;
    reader_skip(body, 2 + 32);           /* version, random */
    reader_skip(body, reader_u8(body));  /* session */
    reader_skip(body, take_u16(body));   /* cipher suites */
    reader_skip(body, reader_u8(body));  /* compression */
    if (body->bad) return DOOR_HELLO_OTHER;
    if (reader_left(body) == 0) return DOOR_HELLO_HTTP1; /* without extensions: old, and no gRPC */
    struct reader extensions = reader_make(reader_bytes(body, take_u16(body)));
    while (reader_left(&extensions) > 0 && !extensions.bad) {
        uint16_t type = take_u16(&extensions);
        struct reader extension = reader_make(reader_bytes(&extensions, take_u16(&extensions)));
        if (type != EXTENSION_ALPN) continue;
        struct reader list = reader_make(reader_bytes(&extension, take_u16(&extension)));
        look_at_protocols(&list, &has_http2, &has_http1);
        extensions.bad = extensions.bad || extension.bad || list.bad;
    }
    if (body->bad || extensions.bad) return DOOR_HELLO_OTHER;
    return has_http2 && !has_http1 ? DOOR_HELLO_HTTP2 : DOOR_HELLO_HTTP1;
}

enum door_hello door_hello_of(struct slice bytes)
{
    uint8_t message[DOOR_HELLO_BYTES_MAX];
    size_t size;
    ASSERT(bytes.data != NULL || bytes.size == 0);
    bool is_full = bytes.size >= DOOR_HELLO_BYTES_MAX;
    if (is_full) bytes.size = DOOR_HELLO_BYTES_MAX;
    if (!join_records(bytes, message, &size)) return DOOR_HELLO_OTHER;
    if (size > 0 && message[0] != MESSAGE_CLIENT_HELLO) return DOOR_HELLO_OTHER;
    size_t wanted = wanted_size(message, size);
    if (wanted > DOOR_HELLO_BYTES_MAX - RECORD_HEAD_BYTES) return DOOR_HELLO_OTHER;
    if (size < wanted) return is_full ? DOOR_HELLO_OTHER : DOOR_HELLO_MORE;
    struct reader body = reader_make(slice_make(message + MESSAGE_HEAD_BYTES, wanted - MESSAGE_HEAD_BYTES));
    return look_inside(&body);
}
