/* door_preface: see door_preface.h. */
#include "pipeline/door_preface.h"

#include "base/assert.h"

#define METHOD_BYTES 3 /* the shortest methods are GET and PUT */

static bool looks_like_method(struct slice bytes)
{
    ASSERT(bytes.size > 0);
    for (size_t i = 0; i < bytes.size && i < METHOD_BYTES; i++) {
        if (bytes.data[i] < 'A' || bytes.data[i] > 'Z') return false;
    }
    return true;
}

enum door_preface door_preface_of(struct slice bytes)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    STATIC_ASSERT(sizeof(preface) == DOOR_PREFACE_BYTES + 1, "the preface has 24 bytes");
    ASSERT(bytes.data != NULL || bytes.size == 0);
    size_t size = bytes.size < DOOR_PREFACE_BYTES ? bytes.size : DOOR_PREFACE_BYTES;
    if (size == 0) return DOOR_PREFACE_MORE;
    if (memcmp(bytes.data, preface, size) == 0)
        return size == DOOR_PREFACE_BYTES ? DOOR_PREFACE_HTTP2 : DOOR_PREFACE_MORE;
    if (!looks_like_method(bytes)) return DOOR_PREFACE_OTHER;
    return size < METHOD_BYTES ? DOOR_PREFACE_MORE : DOOR_PREFACE_HTTP1;
}
