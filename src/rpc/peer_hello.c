/* peer_hello: see peer_hello.h. */
#include "rpc/peer_hello.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

enum {
    HELLO_PROTOCOL_MIN = 1,
    HELLO_PROTOCOL_MAX = 2,
    HELLO_FEATURES = 3,
    HELLO_CLUSTER_ID = 4,
    HELLO_MEMBER_ID = 5,
    HELLO_TARGET_ID = 6,
    HELLO_DIRECTORY_UUID = 7,
    HELLO_BOOT_ID = 8,
    HELLO_LEVEL = 9,
    HELLO_RUN_ID = 10,
    HELLO_START_TERM = 11,
    HELLO_START_VOTE = 12,
    HELLO_START_INDEX = 13,
};

static void put_varint(struct buf *bytes, uint32_t field, uint64_t value)
{
    if (value != 0) buf_put_pb_varint(bytes, field, value);
}

static void put_fixed(struct buf *bytes, uint32_t field, uint64_t value)
{
    if (value == 0) return;
    buf_put_u8(bytes, (uint8_t)pb_tag(field, PB_FIXED64));
    buf_put_u64(bytes, value);
}

void peer_hello_encode(const struct peer_hello *hello, struct buf *out_bytes)
{
    ASSERT(hello->protocol_min >= 1 && hello->protocol_min <= hello->protocol_max);
    put_varint(out_bytes, HELLO_PROTOCOL_MIN, hello->protocol_min);
    put_varint(out_bytes, HELLO_PROTOCOL_MAX, hello->protocol_max);
    put_varint(out_bytes, HELLO_FEATURES, hello->features);
    put_fixed(out_bytes, HELLO_CLUSTER_ID, hello->cluster_id);
    put_fixed(out_bytes, HELLO_MEMBER_ID, hello->member_id);
    put_fixed(out_bytes, HELLO_TARGET_ID, hello->target_id);
    buf_put_pb_bytes(out_bytes, HELLO_DIRECTORY_UUID, slice_make(hello->directory_uuid, sizeof hello->directory_uuid));
    put_fixed(out_bytes, HELLO_BOOT_ID, hello->boot_id);
    put_varint(out_bytes, HELLO_LEVEL, hello->level);
    put_fixed(out_bytes, HELLO_RUN_ID, hello->run_id);
    put_varint(out_bytes, HELLO_START_TERM, hello->start_term);
    put_fixed(out_bytes, HELLO_START_VOTE, hello->start_vote);
    put_varint(out_bytes, HELLO_START_INDEX, hello->start_index);
    ASSERT(buf_slice(out_bytes).size <= PEER_HELLO_BYTES_MAX);
}

static uint32_t wire_of(uint32_t field)
{
    if (field == HELLO_DIRECTORY_UUID) return PB_BYTES;
    bool is_fixed = field == HELLO_CLUSTER_ID || field == HELLO_MEMBER_ID || field == HELLO_TARGET_ID || field == HELLO_BOOT_ID ||
                    field == HELLO_RUN_ID || field == HELLO_START_VOTE;
    return is_fixed ? PB_FIXED64 : PB_VARINT;
}

/* One known field of the right wire type; false = a value that cannot be. */
static bool take_field(const struct pb_field *field, struct peer_hello *hello)
{
    bool is_narrow = field->number == HELLO_PROTOCOL_MIN || field->number == HELLO_PROTOCOL_MAX || field->number == HELLO_LEVEL;
    if (is_narrow && field->value > UINT32_MAX) return false;
    switch (field->number) {
    case HELLO_PROTOCOL_MIN: hello->protocol_min = (uint32_t)field->value; break;
    case HELLO_PROTOCOL_MAX: hello->protocol_max = (uint32_t)field->value; break;
    case HELLO_FEATURES: hello->features = field->value; break;
    case HELLO_CLUSTER_ID: hello->cluster_id = field->value; break;
    case HELLO_MEMBER_ID: hello->member_id = field->value; break;
    case HELLO_TARGET_ID: hello->target_id = field->value; break;
    case HELLO_BOOT_ID: hello->boot_id = field->value; break;
    case HELLO_LEVEL: hello->level = (uint32_t)field->value; break;
    case HELLO_RUN_ID: hello->run_id = field->value; break;
    case HELLO_START_TERM: hello->start_term = field->value; break;
    case HELLO_START_VOTE: hello->start_vote = field->value; break;
    case HELLO_START_INDEX: hello->start_index = field->value; break;
    case HELLO_DIRECTORY_UUID:
        if (field->bytes.size != sizeof hello->directory_uuid) return false;
        memcpy(hello->directory_uuid, field->bytes.data, sizeof hello->directory_uuid);
        break;
    default: ASSERT(false && "a known field");
    }
    return true;
}

bool peer_hello_decode(struct slice bytes, struct peer_hello *out_hello)
{
    ASSERT(out_hello != NULL);
    if (bytes.size > PEER_HELLO_BYTES_MAX) return false;
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct peer_hello hello = {.protocol_min = 0};
    while (reader_pb_field(&reader, &field)) {
        if (field.number > HELLO_START_INDEX) continue; /* of a later version */
        if (field.wire != wire_of(field.number) || !take_field(&field, &hello)) return false;
    }
    if (reader.bad || hello.protocol_min == 0 || hello.protocol_max < hello.protocol_min || hello.member_id == 0) return false;
    *out_hello = hello;
    return true;
}

bool peer_hello_conflict(const struct peer_hello *self, const struct peer_hello *other, char out_text[160])
{
    ASSERT(self->member_id != 0 && other->member_id != 0);
    if (other->cluster_id != self->cluster_id) {
        snprintf(out_text, 160, "cluster ID mismatch: member %" PRIx64 " is of cluster %" PRIx64 ", member %" PRIx64 " of cluster %" PRIx64,
                 self->member_id, self->cluster_id, other->member_id, other->cluster_id);
        return true;
    }
    if (other->protocol_max < self->protocol_min || other->protocol_min > self->protocol_max) {
        snprintf(out_text, 160, "protocol mismatch: member %" PRIx64 " speaks %u to %u, member %" PRIx64 " speaks %u to %u",
                 self->member_id, self->protocol_min, self->protocol_max, other->member_id, other->protocol_min, other->protocol_max);
        return true;
    }
    return false;
}
