/* buf: an owning, growing byte buffer to write into, and a reader (cursor) to decode from.
 * They are the only way to encode or decode: fixed little-endian integers, protobuf varints and fields.
 * Owner: the struct is embedded by its user; buf_deinit frees. Thread: one at a time.
 * The buffer keeps room for a blob header in front of its bytes, so that buf_take_blob() copies nothing. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/slice.h"

struct buf {
    struct blob *blob; /* storage; NULL when nothing was written */
    size_t size;       /* bytes written */
    size_t capacity;   /* bytes that fit without growing */
};

void buf_init(struct buf *buf);
void buf_deinit(struct buf *buf);
void buf_clear(struct buf *buf);                      /* size := 0, keeps the memory */
void buf_cut(struct buf *buf, size_t size);           /* what stands behind `size` goes, the memory stays */
void buf_reserve(struct buf *buf, size_t more);       /* afterwards `more` bytes fit */
void buf_shrink(struct buf *buf);                     /* gives back what is reserved and not used */
uint8_t *buf_extend(struct buf *buf, size_t more);    /* appends `more` uninitialised bytes, returns their place */
void buf_put(struct buf *buf, const void *data, size_t size);
void buf_put_slice(struct buf *buf, struct slice bytes);
void buf_put_base64(struct buf *buf, struct slice bytes); /* with its padding, without line ends */
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);    /* little endian */
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_varint(struct buf *buf, uint64_t value); /* protobuf varint */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline struct slice buf_slice(const struct buf *buf)
{
    return buf->blob == NULL ? slice_empty() : slice_make(buf->blob->data, buf->size);
}
struct blob *buf_take_blob(struct buf *buf);          /* hands the bytes over (one reference); buf is empty after */

/* Protobuf writing: fields with the value 0 / empty are written too; the caller decides on proto3 omission. */
enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };
size_t pb_varint_size(uint64_t value);
static inline uint32_t pb_tag(uint32_t field, uint32_t wire) { return field << 3 | wire; }
void buf_put_pb_varint(struct buf *buf, uint32_t field, uint64_t value);
void buf_put_pb_bytes(struct buf *buf, uint32_t field, struct slice bytes);

/* Reading: a cursor that turns bad once it would pass its end, and then answers zeros. Check `bad` once at the end. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline struct reader reader_make(struct slice bytes)
{
    return (struct reader){.at = bytes.data, .end = bytes.data == NULL ? NULL : bytes.data + bytes.size, .bad = false};
}
static inline size_t reader_left(const struct reader *reader) { return (size_t)(reader->end - reader->at); }
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
uint64_t reader_varint(struct reader *reader);                   /* > 10 bytes is bad */
struct slice reader_bytes(struct reader *reader, size_t size);   /* borrowed from the source */
void reader_skip(struct reader *reader, size_t size);

/* One protobuf field. For PB_BYTES `bytes` is borrowed; for the others `value`. */
struct pb_field {
    uint32_t number;
    uint32_t wire;
    uint64_t value;
    struct slice bytes;
};
/* False at the end or when bad (look at reader->bad); *out_field stays as it was then. Groups (wire 3, 4) and field number 0 are bad. */
bool reader_pb_field(struct reader *reader, struct pb_field *out_field);

#endif
