/* reader: the decoding half of buf.h. A bad reader stands at its end, so that every later read is refused too. */
#include "base/assert.h"
#include "base/buf.h"

#define READER_VARINT_MAX 10 /* bytes of the longest varint */

static void turn_bad(struct reader *reader)
{
    reader->bad = true;
    reader->at = reader->end;
    ASSERT(reader_left(reader) == 0);
}

struct slice reader_bytes(struct reader *reader, size_t size)
{
    ASSERT(reader->at <= reader->end);
    if (reader->bad || size > reader_left(reader)) {
        turn_bad(reader);
        return slice_empty();
    }
    struct slice bytes = slice_make(reader->at, size);
    reader->at = size == 0 ? reader->at : reader->at + size;
    return bytes;
}

void reader_skip(struct reader *reader, size_t size) { (void)reader_bytes(reader, size); }

/* Copies a fixed little-endian integer out; leaves the zero of the caller if there are too few bytes. */
static void read_fixed(struct reader *reader, void *out_value, size_t size)
{
    struct slice bytes = reader_bytes(reader, size);
    if (bytes.size != 0) memcpy(out_value, bytes.data, size);
}

uint8_t reader_u8(struct reader *reader)
{
    uint8_t value = 0;
    read_fixed(reader, &value, sizeof value);
    return value;
}

uint16_t reader_u16(struct reader *reader)
{
    uint16_t value = 0;
    read_fixed(reader, &value, sizeof value);
    return value;
}

uint32_t reader_u32(struct reader *reader)
{
    uint32_t value = 0;
    read_fixed(reader, &value, sizeof value);
    return value;
}

uint64_t reader_u64(struct reader *reader)
{
    uint64_t value = 0;
    read_fixed(reader, &value, sizeof value);
    return value;
}

/* Bits of the tenth byte beyond the 64th are dropped, as the generated protobuf parsers do. */
uint64_t reader_varint(struct reader *reader)
{
    ASSERT(reader->at <= reader->end);
    const uint8_t *at = reader->at;
    uint64_t value = 0;
    for (unsigned i = 0; i < READER_VARINT_MAX && at < reader->end; i++) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            reader->at = at;
            return value;
        }
    }
    turn_bad(reader);
    return 0;
}

bool reader_pb_field(struct reader *reader, struct pb_field *out_field)
{
    ASSERT(out_field != NULL);
    if (reader->bad || reader_left(reader) == 0) return false;
    uint64_t tag = reader_varint(reader);
    uint32_t wire = (uint32_t)(tag & 7);
    uint64_t value = 0;
    struct slice bytes = slice_empty();
    bool bad = tag > UINT32_MAX || tag >> 3 == 0;
    if (bad) {
        turn_bad(reader);
    } else if (wire == PB_VARINT) {
        value = reader_varint(reader);
    } else if (wire == PB_FIXED64) {
        value = reader_u64(reader);
    } else if (wire == PB_FIXED32) {
        value = reader_u32(reader);
    } else if (wire == PB_BYTES) {
        bytes = reader_bytes(reader, reader_varint(reader));
    } else {
        turn_bad(reader);
    }
    if (reader->bad) return false;
    /* One by one: a struct that was written in pieces and is copied at once waits until they have left the store buffer. */
    out_field->number = (uint32_t)(tag >> 3);
    out_field->wire = wire;
    out_field->value = value;
    out_field->bytes = bytes;
    return true;
}
