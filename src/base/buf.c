/* buf: writing. Reading stands in reader.c. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

#define BUF_CAPACITY_MIN 64
#define BUF_CAPACITY_MAX ((size_t)UINT32_MAX) /* what a blob can hold */
#define BUF_VARINT_MAX 10                     /* bytes of the longest varint */

STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed integers are copied as they stand in memory");

void buf_init(struct buf *buf)
{
    ASSERT(buf != NULL);
    *buf = (struct buf){.blob = NULL, .size = 0, .capacity = 0};
}

void buf_deinit(struct buf *buf)
{
    if (buf == NULL) return;
    blob_unref(buf->blob);
    buf_init(buf);
}

void buf_clear(struct buf *buf)
{
    ASSERT(buf->size <= buf->capacity);
    buf->size = 0;
}

void buf_cut(struct buf *buf, size_t size)
{
    ASSERT(size <= buf->size);
    buf->size = size;
}

void buf_reserve(struct buf *buf, size_t more)
{
    ASSERT(buf->size <= buf->capacity && more <= BUF_CAPACITY_MAX - buf->size);
    size_t needed = buf->size + more;
    if (needed <= buf->capacity && buf->blob != NULL) return;
    size_t capacity = buf->capacity * 2;
    if (capacity < BUF_CAPACITY_MIN) capacity = BUF_CAPACITY_MIN;
    if (capacity < needed) capacity = needed;
    if (capacity > BUF_CAPACITY_MAX) capacity = BUF_CAPACITY_MAX;
    if (buf->blob == NULL)
        buf->blob = blob_new(capacity);
    else
        buf->blob = alloc_resize(buf->blob, sizeof *buf->blob + capacity);
    buf->capacity = capacity;
    ASSERT(buf->capacity - buf->size >= more);
}

void buf_shrink(struct buf *buf)
{
    ASSERT(buf->size <= buf->capacity);
    if (buf->size == buf->capacity) return;
    buf->blob = alloc_resize(buf->blob, sizeof *buf->blob + buf->size);
    buf->capacity = buf->size;
}

uint8_t *buf_extend(struct buf *buf, size_t more)
{
    buf_reserve(buf, more);
    uint8_t *place = buf->blob->data + buf->size;
    buf->size += more;
    return place;
}

void buf_put(struct buf *buf, const void *data, size_t size)
{
    ASSERT(data != NULL || size == 0);
    if (size != 0) memcpy(buf_extend(buf, size), data, size);
}

void buf_put_slice(struct buf *buf, struct slice bytes) { buf_put(buf, bytes.data, bytes.size); }
void buf_put_u8(struct buf *buf, uint8_t value) { *buf_extend(buf, 1) = value; }
void buf_put_u16(struct buf *buf, uint16_t value) { memcpy(buf_extend(buf, sizeof value), &value, sizeof value); }
void buf_put_u32(struct buf *buf, uint32_t value) { memcpy(buf_extend(buf, sizeof value), &value, sizeof value); }
void buf_put_u64(struct buf *buf, uint64_t value) { memcpy(buf_extend(buf, sizeof value), &value, sizeof value); }

/* With room for BUF_VARINT_MAX bytes; where it ends. */
static inline uint8_t *write_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

void buf_put_varint(struct buf *buf, uint64_t value)
{
    buf_reserve(buf, BUF_VARINT_MAX);
    uint8_t *end = write_varint(buf->blob->data + buf->size, value);
    buf->size = (size_t)(end - buf->blob->data);
    ASSERT(buf->size <= buf->capacity);
}

void buf_put_base64(struct buf *buf, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_reserve(buf, (bytes.size + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t word = (uint32_t)bytes.data[i] << 16;
        if (left > 1) word |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) word |= bytes.data[i + 2];
        ASSERT(word < 1u << 24);
        uint8_t *place = buf_extend(buf, 4);
        place[0] = (uint8_t)digits[word >> 18];
        place[1] = (uint8_t)digits[word >> 12 & 63];
        place[2] = left > 1 ? (uint8_t)digits[word >> 6 & 63] : '=';
        place[3] = left > 2 ? (uint8_t)digits[word & 63] : '=';
    }
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(length >= 0);
    buf_reserve(buf, (size_t)length + 1); /* vsnprintf ends with a NUL that is not part of the buffer */
    int written = vsnprintf((char *)buf->blob->data + buf->size, (size_t)length + 1, format, again);
    va_end(again);
    ASSERT(written == length);
    buf->size += (size_t)length;
}

struct blob *buf_take_blob(struct buf *buf)
{
    buf_reserve(buf, 0);
    struct blob *blob = buf->blob;
    ASSERT(buf->size <= buf->capacity && atomic_load_explicit(&blob->refs, memory_order_relaxed) == 1);
    blob->size = (uint32_t)buf->size;
    buf_init(buf);
    return blob;
}

size_t pb_varint_size(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    ASSERT(bits >= 1 && bits <= 64);
    return (bits + 6) / 7;
}

void buf_put_pb_varint(struct buf *buf, uint32_t field, uint64_t value)
{
    ASSERT(field != 0 && field < UINT32_C(1) << 29);
    buf_reserve(buf, 2 * BUF_VARINT_MAX);
    uint8_t *end = write_varint(write_varint(buf->blob->data + buf->size, pb_tag(field, PB_VARINT)), value);
    buf->size = (size_t)(end - buf->blob->data);
}

void buf_put_pb_bytes(struct buf *buf, uint32_t field, struct slice bytes)
{
    ASSERT(field != 0 && field < UINT32_C(1) << 29);
    buf_put_varint(buf, pb_tag(field, PB_BYTES));
    buf_put_varint(buf, bytes.size);
    buf_put_slice(buf, bytes);
}
