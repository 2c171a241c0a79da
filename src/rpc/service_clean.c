/* service_clean: one iterative walk over nested messages, by a table of shapes.
 *
 * The clean copy is written front to back. A nested message's length is not known when its tag is written, so as many bytes as its
 * length took in the source are left free; when the message ends and its length became shorter, the content moves down. A copy is
 * never longer than its source.
 */
#include "rpc/service_clean.h"

#include "base/assert.h"
#include "base/buf.h"
#include "storage/operation.h"
#include "storage/request.h"

/* Each nested transaction stands in a RequestOp, plus the outermost message and its leaves. */
#define DEPTH_MAX (2 * REQUEST_DEPTH_MAX + 4)

enum shape_id {
    SHAPE_NONE, SHAPE_PUT, SHAPE_DELETE_RANGE, SHAPE_COMPACTION, SHAPE_LEASE_GRANT, SHAPE_LEASE_REVOKE, SHAPE_ALARM, SHAPE_RANGE,
    SHAPE_COMPARE, SHAPE_TXN, SHAPE_OP
};
struct shape {
    uint32_t varints;          /* bit n: field n is a varint */
    uint32_t bytes;            /* bit n: field n is bytes or a message */
    uint8_t last_bytes;        /* one more bytes field beyond the bits, 0 = none */
    uint16_t last_varint;      /* and one more varint */
    uint8_t children[5];       /* shape of message field n */
};
#define BITS(from, to) ((uint32_t)((UINT64_C(2) << (to)) - (UINT64_C(1) << (from))))
#define BIT(n) (UINT32_C(1) << (n))

static const struct shape SHAPES[] = {
    [SHAPE_PUT] = {.varints = BITS(3, 6), .bytes = BITS(1, 2), .last_varint = OPERATION_PUT_TTL},
    [SHAPE_DELETE_RANGE] = {.varints = BIT(3), .bytes = BITS(1, 2)},
    [SHAPE_COMPACTION] = {.varints = BITS(1, 2)},
    [SHAPE_LEASE_GRANT] = {.varints = BITS(1, 2)},
    [SHAPE_LEASE_REVOKE] = {.varints = BIT(1)},
    [SHAPE_ALARM] = {.varints = BITS(1, 3)},
    [SHAPE_RANGE] = {.varints = BITS(3, 13), .bytes = BITS(1, 2)},
    [SHAPE_COMPARE] = {.varints = BITS(1, 2) | BITS(4, 6) | BIT(8), .bytes = BIT(3) | BIT(7), .last_bytes = 64},
    [SHAPE_TXN] = {.bytes = BITS(1, 3), .children = {0, SHAPE_COMPARE, SHAPE_OP, SHAPE_OP}},
    [SHAPE_OP] = {.bytes = BITS(1, 4), .children = {0, SHAPE_RANGE, SHAPE_PUT, SHAPE_DELETE_RANGE, SHAPE_TXN}},
};

struct frame {
    const struct shape *shape;
    struct reader reader;
    size_t content;       /* where the message's bytes begin in the copy */
    size_t length_width;  /* bytes left free for its length before them; 0 = outermost */
};
struct walk {
    struct frame frames[DEPTH_MAX];
    size_t depth;
    uint8_t *copy; /* NULL = only look */
    size_t size;   /* of the copy so far */
};

static bool is_known(const struct shape *shape, const struct pb_field *field)
{
    ASSERT(field->number != 0);
    bool is_beyond = field->number >= 32;
    if (is_beyond && field->wire == PB_VARINT) return field->number == shape->last_varint;
    if (is_beyond) return field->wire == PB_BYTES && field->number == shape->last_bytes;
    if (field->wire == PB_VARINT) return (shape->varints & BIT(field->number)) != 0;
    return field->wire == PB_BYTES && (shape->bytes & BIT(field->number)) != 0;
}

static enum shape_id child_of(const struct shape *shape, const struct pb_field *field)
{
    ASSERT(shape != NULL);
    if (field->wire != PB_BYTES || field->number >= sizeof shape->children) return SHAPE_NONE;
    return (enum shape_id)shape->children[field->number];
}

static void copy_bytes(struct walk *walk, const uint8_t *from, const uint8_t *to)
{
    ASSERT(from <= to);
    size_t size = (size_t)(to - from);
    if (walk->copy != NULL && size != 0) memcpy(walk->copy + walk->size, from, size);
    walk->size += size;
}

static void put_varint(uint8_t *at, uint64_t value)
{
    ASSERT(at != NULL);
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
}

/* Begins a message: its tag, and room for its length. Field 0 = the outermost message, which has neither. */
static void open_frame(struct walk *walk, enum shape_id shape, uint32_t number, struct slice message)
{
    ASSERT(walk->depth < DEPTH_MAX && shape != SHAPE_NONE);
    size_t width = 0;
    if (number != 0) {
        width = pb_varint_size(message.size);
        if (walk->copy != NULL) put_varint(walk->copy + walk->size, pb_tag(number, PB_BYTES));
        walk->size += pb_varint_size(pb_tag(number, PB_BYTES)) + width;
    }
    walk->frames[walk->depth++] = (struct frame){
        .shape = &SHAPES[shape], .reader = reader_make(message), .content = walk->size, .length_width = width};
}

static void close_frame(struct walk *walk)
{
    ASSERT(walk->depth > 0);
    const struct frame *frame = &walk->frames[--walk->depth];
    ASSERT(!frame->reader.bad && walk->size >= frame->content);
    if (walk->copy == NULL || frame->length_width == 0) return;
    size_t length = walk->size - frame->content;
    size_t width = pb_varint_size(length);
    ASSERT(width <= frame->length_width);
    uint8_t *place = walk->copy + frame->content - frame->length_width;
    put_varint(place, length);
    memmove(place + width, walk->copy + frame->content, length);
    walk->size -= frame->length_width - width;
}

/* True if an unknown field was met. Without a copy to write, the first one ends the walk. */
static bool walk_run(struct walk *walk, enum shape_id shape, struct slice bytes)
{
    bool has_unknown = false;
    open_frame(walk, shape, 0, bytes);
    while (walk->depth > 0) {
        struct frame *frame = &walk->frames[walk->depth - 1];
        const uint8_t *tag = frame->reader.at;
        struct pb_field field;
        if (!reader_pb_field(&frame->reader, &field)) {
            close_frame(walk);
        } else if (!is_known(frame->shape, &field)) {
            has_unknown = true;
            if (walk->copy == NULL) return true;
        } else if (child_of(frame->shape, &field) != SHAPE_NONE) {
            open_frame(walk, child_of(frame->shape, &field), field.number, field.bytes);
        } else {
            copy_bytes(walk, tag, frame->reader.at);
        }
    }
    return has_unknown;
}

static enum shape_id shape_of(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_PUT: return SHAPE_PUT;
    case COMMAND_DELETE_RANGE: return SHAPE_DELETE_RANGE;
    case COMMAND_TXN: return SHAPE_TXN;
    case COMMAND_COMPACTION: return SHAPE_COMPACTION;
    case COMMAND_LEASE_GRANT: return SHAPE_LEASE_GRANT;
    case COMMAND_LEASE_REVOKE: return SHAPE_LEASE_REVOKE;
    case COMMAND_ALARM: return SHAPE_ALARM;
    default: return SHAPE_NONE;
    }
}

enum err service_clean_body(enum command_kind kind, struct slice bytes, struct arena *arena, struct slice *out_bytes)
{
    ASSERT(shape_of(kind) != SHAPE_NONE);
    struct walk walk; /* the frames are large: set as they are opened */
    walk.depth = 0;
    walk.copy = NULL;
    walk.size = 0;
    if (!walk_run(&walk, shape_of(kind), bytes)) {
        *out_bytes = bytes;
        return ERR_OK;
    }
    walk.depth = 0;
    walk.size = 0;
    walk.copy = arena_alloc(arena, bytes.size);
    if (walk.copy == NULL) return ERR_TOO_MANY_REQUESTS;
    bool has_unknown = walk_run(&walk, shape_of(kind), bytes);
    ASSERT(has_unknown && walk.size < bytes.size);
    *out_bytes = slice_make(walk.copy, walk.size);
    return ERR_OK;
}
