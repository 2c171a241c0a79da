/* pb_program: bytes as a program that writes a protobuf message, so that a change of one byte moves a field and leaves the lengths round
 * it right. One instruction is a byte: its low three bits say what, the others which field (1 to 30, 1000 for 31, and 64 for 32).
 *
 * Thread: one. Limits: PB_PROGRAM_DEPTH_MAX open messages; what would open more is passed over. */
#ifndef TEST_FUZZ_PB_PROGRAM_H
#define TEST_FUZZ_PB_PROGRAM_H
#include "base/buf.h"

#define PB_PROGRAM_DEPTH_MAX 80

enum pb_program_kind {
    PB_PROGRAM_SMALL,  /* a varint: the next byte */
    PB_PROGRAM_LARGE,  /* a varint: the next eight bytes */
    PB_PROGRAM_WORD,   /* one of a few keys: the next byte */
    PB_PROGRAM_BYTES,  /* the next byte's low four bits say how many follow */
    PB_PROGRAM_OPEN,   /* a message; its fields follow, up to its CLOSE */
    PB_PROGRAM_CLOSE,
    PB_PROGRAM_AGAIN,  /* the last field of this message once more */
    PB_PROGRAM_RAW,    /* one byte as it is: the next one */
};
#define PB_PROGRAM_OP(kind, field) (uint8_t)((kind) | ((field) - 1) << 3)

void pb_program_run(struct slice program, struct buf *out);

#endif
