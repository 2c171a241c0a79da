/* raft_codec: see raft_codec.h. The bytes are those of proto/kvd/raft.proto.
 *
 * A frame is a protobuf message with one repeated field (1: Message), so that frames may be cut and joined between messages. A message
 * is read in two passes: the first checks its fields and counts its entries, the second, after everything is known to be in bounds,
 * allocates exactly what they need. index and term of an entry are fixed and always there, so that the 22 bytes that it has on the
 * wire at least pay for the 32 of its struct: decoding takes at most twice the bytes of its input and a constant.
 *
 * What makes a message garbage: an unknown kind, a known field of another wire type, an entry without index, term or with an unknown
 * kind, entries of an APPEND that are not contiguous from index + 1, whose terms fall, or lie outside [log_term, term], entries of a
 * FORWARD, CHUNK, READ_INDEX or READ_ANSWER with an index or a term, entries on any other kind, more than RAFT_CODEC_ENTRIES_MAX (of all but
 * APPEND and FORWARD: one). Unknown
 * fields are passed over. */
#include "rpc/raft_codec.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "rpc/peer_port.h"

enum { FRAME_MESSAGES = 1 };
enum {
    MESSAGE_KIND = 1,
    MESSAGE_REJECT = 2,
    MESSAGE_TRANSFER = 3,
    MESSAGE_FROM = 4,
    MESSAGE_TO = 5,
    MESSAGE_TERM = 6,
    MESSAGE_INDEX = 7,
    MESSAGE_LOG_TERM = 8,
    MESSAGE_COMMIT = 9,
    MESSAGE_HINT_INDEX = 10,
    MESSAGE_HINT_TERM = 11,
    MESSAGE_ROUND = 12,
    MESSAGE_ENTRIES = 13,
};
enum { ENTRY_INDEX = 1, ENTRY_TERM = 2, ENTRY_KIND = 3, ENTRY_DATA = 4 };

/* Every tag is one byte (field numbers below 16). */
#define FIXED_FIELD_BYTES 9
#define ENTRY_FIXED_BYTES (2 * FIXED_FIELD_BYTES)
STATIC_ASSERT(MESSAGE_ENTRIES < 16, "tags are one byte");
STATIC_ASSERT(sizeof(struct raft_entry) <= 2 * (ENTRY_FIXED_BYTES + 2), "an entry's struct is paid for by its bytes");

static size_t varint_field_size(uint64_t value) { return value == 0 ? 0 : 1 + pb_varint_size(value); }
static size_t fixed_field_size(uint64_t value) { return value == 0 ? 0 : FIXED_FIELD_BYTES; }
static size_t bytes_field_size(size_t size) { return 1 + pb_varint_size(size) + size; }

static size_t entry_size(const struct raft_entry *entry)
{
    size_t data_size = blob_slice(entry->data).size;
    return ENTRY_FIXED_BYTES + varint_field_size(entry->kind) + (data_size == 0 ? 0 : bytes_field_size(data_size));
}

static size_t message_size(const struct raft_msg *msg)
{
    size_t size = varint_field_size(msg->kind) + varint_field_size(msg->reject) + varint_field_size(msg->transfer) +
                  fixed_field_size(msg->from) + fixed_field_size(msg->to) + varint_field_size(msg->term) +
                  varint_field_size(msg->index) + varint_field_size(msg->log_term) + varint_field_size(msg->commit) +
                  varint_field_size(msg->hint_index) + varint_field_size(msg->hint_term) + varint_field_size(msg->round);
    ASSERT(msg->entries != NULL || msg->entry_count == 0);
    for (size_t i = 0; i < msg->entry_count; i++) size += bytes_field_size(entry_size(&msg->entries[i]));
    return size;
}

size_t raft_codec_size(const struct raft_msg *msg)
{
    ASSERT(msg->entry_count <= RAFT_CODEC_ENTRIES_MAX);
    return bytes_field_size(message_size(msg));
}

static void put_varint(struct buf *frame, uint32_t field, uint64_t value)
{
    if (value != 0) buf_put_pb_varint(frame, field, value);
}

static void put_fixed(struct buf *frame, uint32_t field, uint64_t value)
{
    buf_put_u8(frame, (uint8_t)pb_tag(field, PB_FIXED64));
    buf_put_u64(frame, value);
}

/* Entries that have no place in a log. */
static bool carries_one(enum raft_msg_kind kind)
{
    return kind == RAFT_MSG_CHUNK || kind == RAFT_MSG_READ_INDEX || kind == RAFT_MSG_READ_ANSWER;
}
static bool carries_bytes(enum raft_msg_kind kind) { return kind == RAFT_MSG_FORWARD || carries_one(kind); }

static void put_entry(struct buf *frame, const struct raft_msg *msg, size_t i)
{
    const struct raft_entry *entry = &msg->entries[i];
    bool is_append = msg->kind == RAFT_MSG_APPEND;
    ASSERT(is_append || carries_bytes(msg->kind));
    ASSERT(!is_append || entry->index == msg->index + 1 + i);
    buf_put_varint(frame, pb_tag(MESSAGE_ENTRIES, PB_BYTES));
    buf_put_varint(frame, entry_size(entry));
    put_fixed(frame, ENTRY_INDEX, is_append ? entry->index : 0);
    put_fixed(frame, ENTRY_TERM, is_append ? entry->term : 0);
    put_varint(frame, ENTRY_KIND, entry->kind);
    struct slice data = blob_slice(entry->data);
    if (data.size != 0) buf_put_pb_bytes(frame, ENTRY_DATA, data);
}

void raft_codec_put(struct buf *frame, const struct raft_msg *msg)
{
    size_t before = buf_slice(frame).size;
    buf_reserve(frame, raft_codec_size(msg));
    buf_put_varint(frame, pb_tag(FRAME_MESSAGES, PB_BYTES));
    buf_put_varint(frame, message_size(msg));
    put_varint(frame, MESSAGE_KIND, msg->kind);
    put_varint(frame, MESSAGE_REJECT, msg->reject);
    put_varint(frame, MESSAGE_TRANSFER, msg->transfer);
    if (msg->from != 0) put_fixed(frame, MESSAGE_FROM, msg->from);
    if (msg->to != 0) put_fixed(frame, MESSAGE_TO, msg->to);
    put_varint(frame, MESSAGE_TERM, msg->term);
    put_varint(frame, MESSAGE_INDEX, msg->index);
    put_varint(frame, MESSAGE_LOG_TERM, msg->log_term);
    put_varint(frame, MESSAGE_COMMIT, msg->commit);
    put_varint(frame, MESSAGE_HINT_INDEX, msg->hint_index);
    put_varint(frame, MESSAGE_HINT_TERM, msg->hint_term);
    put_varint(frame, MESSAGE_ROUND, msg->round);
    for (size_t i = 0; i < msg->entry_count; i++) put_entry(frame, msg, i);
    ASSERT(buf_slice(frame).size - before == raft_codec_size(msg));
}

static bool is_known_kind(uint64_t kind)
{
    return (kind >= RAFT_MSG_PRE_VOTE && kind <= RAFT_MSG_SNAPSHOT) || (kind >= RAFT_MSG_FORWARD && kind <= RAFT_MSG_CHUNK);
}

/* Where a scalar field of a message goes; NULL = not a 64-bit scalar. */
static uint64_t *scalar_place(struct raft_msg *msg, uint32_t number, uint32_t *out_wire)
{
    *out_wire = PB_VARINT;
    switch (number) {
    case MESSAGE_FROM: *out_wire = PB_FIXED64; return &msg->from;
    case MESSAGE_TO: *out_wire = PB_FIXED64; return &msg->to;
    case MESSAGE_TERM: return &msg->term;
    case MESSAGE_INDEX: return &msg->index;
    case MESSAGE_LOG_TERM: return &msg->log_term;
    case MESSAGE_COMMIT: return &msg->commit;
    case MESSAGE_HINT_INDEX: return &msg->hint_index;
    case MESSAGE_HINT_TERM: return &msg->hint_term;
    case MESSAGE_ROUND: return &msg->round;
    default: return NULL;
    }
}

/* First pass: scalars into msg, entries counted. False = garbage. */
static bool read_scalars(struct slice bytes, struct raft_msg *msg)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    uint64_t kind = 0;
    while (reader_pb_field(&reader, &field)) {
        uint32_t wire = PB_VARINT;
        uint64_t *place = scalar_place(msg, field.number, &wire);
        if (field.number == MESSAGE_ENTRIES) {
            wire = PB_BYTES;
            msg->entry_count++;
        }
        if (field.number >= MESSAGE_KIND && field.number <= MESSAGE_ENTRIES && field.wire != wire) return false;
        if (place != NULL) *place = field.value;
        if (field.number == MESSAGE_KIND) kind = field.value;
        if (field.number == MESSAGE_REJECT) msg->reject = field.value != 0;
        if (field.number == MESSAGE_TRANSFER) msg->transfer = field.value != 0;
    }
    if (reader.bad || !is_known_kind(kind) || msg->entry_count > RAFT_CODEC_ENTRIES_MAX) return false;
    msg->kind = (enum raft_msg_kind)kind;
    if (msg->kind == RAFT_MSG_APPEND) return msg->index <= UINT64_MAX - 1 - msg->entry_count;
    if (carries_one(msg->kind)) return msg->entry_count <= 1;
    return msg->kind == RAFT_MSG_FORWARD || msg->entry_count == 0;
}

/* One entry, whose data is borrowed; everything that can be said of it alone. */
static bool read_entry(struct slice bytes, struct raft_entry *out_entry, struct slice *out_data)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct raft_entry entry = {.data = NULL};
    struct slice data = slice_empty();
    bool has_index = false, has_term = false;
    uint64_t kind = 0;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == ENTRY_INDEX && field.wire == PB_FIXED64) {
            entry.index = field.value;
            has_index = true;
        } else if (field.number == ENTRY_TERM && field.wire == PB_FIXED64) {
            entry.term = field.value;
            has_term = true;
        } else if (field.number == ENTRY_KIND && field.wire == PB_VARINT) {
            kind = field.value;
        } else if (field.number == ENTRY_DATA && field.wire == PB_BYTES) {
            data = field.bytes;
        } else if (field.number <= ENTRY_DATA) {
            return false;
        }
    }
    if (reader.bad || !has_index || !has_term || kind > RAFT_ENTRY_CONF) return false;
    entry.kind = (enum raft_entry_kind)kind;
    *out_entry = entry;
    *out_data = data;
    return true;
}

/* Entry i in its place: Raft's log matching holds within a message (thesis 3.5: the terms of a log never fall). */
static bool entry_fits(const struct raft_msg *msg, const struct raft_entry *entries, size_t i)
{
    const struct raft_entry *entry = &entries[i];
    if (carries_bytes(msg->kind)) return entry->index == 0 && entry->term == 0;
    ASSERT(msg->kind == RAFT_MSG_APPEND);
    uint64_t term_before = i == 0 ? msg->log_term : entries[i - 1].term;
    return entry->index == msg->index + 1 + i && entry->term >= term_before && entry->term <= msg->term;
}

/* Second pass: entries. False = garbage, and nothing is left allocated. */
static bool read_entries(struct slice bytes, struct raft_msg *msg)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct raft_entry *entries = alloc_zero(msg->entry_count, sizeof *entries);
    size_t count = 0;
    bool good = true;
    while (good && reader_pb_field(&reader, &field)) {
        if (field.number != MESSAGE_ENTRIES) continue;
        ASSERT(count < msg->entry_count);
        struct slice data;
        good = read_entry(field.bytes, &entries[count], &data) && entry_fits(msg, entries, count);
        if (good && data.size != 0) entries[count].data = blob_copy(data);
        count++;
    }
    ASSERT(!reader.bad && (!good || count == msg->entry_count));
    msg->entries = entries;
    if (!good) raft_codec_entries_free(msg);
    return good;
}

bool raft_codec_next(struct reader *frame, struct raft_msg *out_msg)
{
    ASSERT(out_msg != NULL);
    struct pb_field field;
    bool found = false;
    while (!found && reader_pb_field(frame, &field)) found = field.number == FRAME_MESSAGES;
    if (!found) return false;
    struct raft_msg msg = {.entries = NULL};
    bool good = field.wire == PB_BYTES && read_scalars(field.bytes, &msg);
    if (good && msg.entry_count > 0) good = read_entries(field.bytes, &msg);
    if (!good) {
        frame->bad = true;
        frame->at = frame->end;
        return false;
    }
    *out_msg = msg;
    return true;
}

void raft_codec_entries_free(struct raft_msg *msg)
{
    ASSERT(msg->entries != NULL || msg->entry_count == 0);
    for (size_t i = 0; i < msg->entry_count; i++) blob_unref(msg->entries[i].data);
    alloc_free((void *)(uintptr_t)msg->entries);
    msg->entries = NULL;
    msg->entry_count = 0;
}
