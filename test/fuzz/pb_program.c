/* pb_program: see pb_program.h. */
#include "fuzz/pb_program.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define OUT_BYTES_MAX (1u << 20) /* AGAIN doubles */

static const char *const words[] = {"a", "b", "c", "ab", "", "z", "b\xff"};
#define WORD_COUNT (sizeof words / sizeof words[0])

struct level {
    struct buf message;
    uint32_t field;   /* of the level below, that this message will be */
    size_t last_at;   /* where the last field begins */
};

static void put_literal(struct buf *out, enum pb_program_kind kind, uint32_t field, struct reader *program)
{
    struct slice bytes = slice_make("", 1);
    uint8_t argument = 0;
    switch (kind) {
    case PB_PROGRAM_SMALL: buf_put_pb_varint(out, field, reader_u8(program)); break;
    case PB_PROGRAM_LARGE: buf_put_pb_varint(out, field, reader_u64(program)); break;
    case PB_PROGRAM_WORD:
        argument = reader_u8(program) % (WORD_COUNT + 1);
        if (argument < WORD_COUNT) bytes = slice_from_string(words[argument]);
        buf_put_pb_bytes(out, field, bytes);
        break;
    case PB_PROGRAM_BYTES:
        argument = reader_u8(program) & 15;
        buf_put_pb_bytes(out, field, reader_bytes(program, argument));
        break;
    default: ASSERT(kind == PB_PROGRAM_RAW); buf_put_u8(out, reader_u8(program)); break;
    }
}

static void put_again(struct level *level)
{
    size_t size = level->message.size - level->last_at, at = level->message.size;
    if (size == 0 || level->message.size + size > OUT_BYTES_MAX) return;
    uint8_t *place = buf_extend(&level->message, size);
    memcpy(place, place - size, size);
    level->last_at = at;
}

static void close_level(struct level *inner, struct level *outer)
{
    outer->last_at = outer->message.size;
    if (inner->message.size + outer->message.size < OUT_BYTES_MAX)
        buf_put_pb_bytes(&outer->message, inner->field, buf_slice(&inner->message));
    buf_deinit(&inner->message);
}

void pb_program_run(struct slice program, struct buf *out)
{
    struct level levels[PB_PROGRAM_DEPTH_MAX + 1];
    uint32_t depth = 0;
    struct reader reader = reader_make(program);
    levels[0] = (struct level){.field = 0};
    buf_init(&levels[0].message);
    while (reader_left(&reader) > 0) {
        uint8_t op = reader_u8(&reader);
        enum pb_program_kind kind = op & 7;
        uint32_t field = (op >> 3) + 1u;
        if (field == 31) field = 1000; /* PutRequest.ttl */
        if (field == 32) field = 64;   /* Compare.range_end */
        struct level *level = &levels[depth];
        if (kind == PB_PROGRAM_AGAIN) {
            put_again(level);
        } else if (kind == PB_PROGRAM_CLOSE) {
            if (depth > 0) close_level(level, &levels[depth - 1]), depth--;
        } else if (kind == PB_PROGRAM_OPEN) {
            if (depth == PB_PROGRAM_DEPTH_MAX) continue;
            levels[++depth] = (struct level){.field = field};
            buf_init(&levels[depth].message);
        } else {
            level->last_at = level->message.size;
            put_literal(&level->message, kind, field, &reader);
        }
    }
    for (; depth > 0; depth--) close_level(&levels[depth], &levels[depth - 1]);
    buf_put_slice(out, buf_slice(&levels[0].message));
    buf_deinit(&levels[0].message);
}
