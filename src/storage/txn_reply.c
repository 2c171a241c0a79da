/* txn_reply: the bytes from a mark on are
 *
 *   length of ResponseOp (LENGTH_BYTES) · tag of the member · length of the response (LENGTH_BYTES)
 *   · tag of the header · its length (1) · [tag of revision · revision: header_size] · the fields of the response
 *
 * The tag of the ResponseOp itself (TxnResponse.responses = 3) stands before the mark.
 */
#include "storage/txn_reply.h"

#include "base/assert.h"

#define LENGTH_BYTES 5               /* a varint below 2^35 */
#define COMPACT_BYTES_MAX (64 << 10) /* longer responses keep their lengths in full width */
#define FIELD_RESPONSES 3
#define FIELD_HEADER 1
#define FIELD_REVISION 3
#define OUTER_HEAD LENGTH_BYTES
#define INNER_HEAD (1 + LENGTH_BYTES)
#define HEADER_HEAD 2 /* tag, length */

/* In exactly `size` bytes; the last ones may carry nothing but zeros. */
static void write_varint(uint8_t *at, size_t size, uint64_t value)
{
    ASSERT(size >= pb_varint_size(value) && size <= 10);
    for (size_t i = 0; i < size; i++, value >>= 7) at[i] = (uint8_t)((value & 0x7f) | (i + 1 < size ? 0x80 : 0));
}

struct txn_reply_mark txn_reply_open(struct buf *body, uint32_t member, int64_t revision_max)
{
    ASSERT(member >= 1 && member <= 4);
    ASSERT(revision_max >= 0);
    buf_put_u8(body, (uint8_t)pb_tag(FIELD_RESPONSES, PB_BYTES));
    size_t header_size = revision_max == 0 ? 0 : 1 + pb_varint_size((uint64_t)revision_max);
    struct txn_reply_mark mark = {.start = body->size, .header_size = header_size};
    uint8_t *at = buf_extend(body, OUTER_HEAD + INNER_HEAD + HEADER_HEAD + header_size);
    at[OUTER_HEAD] = (uint8_t)pb_tag(member, PB_BYTES);
    at += OUTER_HEAD + INNER_HEAD;
    at[0] = (uint8_t)pb_tag(FIELD_HEADER, PB_BYTES);
    at[1] = (uint8_t)header_size;
    if (header_size != 0) at[HEADER_HEAD] = (uint8_t)pb_tag(FIELD_REVISION, PB_VARINT);
    return mark;
}

/* Takes the bytes of a length that are not needed out of the buffer. */
static size_t compact(struct buf *body, size_t place, size_t length)
{
    size_t needed = pb_varint_size(length);
    size_t surplus = LENGTH_BYTES - needed;
    uint8_t *at = body->blob->data + place;
    ASSERT(place + LENGTH_BYTES + length == body->size);
    write_varint(at, needed, length);
    memmove(at + needed, at + LENGTH_BYTES, length);
    body->size -= surplus;
    return surplus;
}

void txn_reply_close(struct buf *body, const struct txn_reply_mark *mark, int64_t revision)
{
    size_t inner_place = mark->start + OUTER_HEAD + 1;
    uint8_t *data = body->blob->data;
    uint8_t *header = data + inner_place + LENGTH_BYTES + HEADER_HEAD;
    ASSERT((revision == 0) == (mark->header_size == 0));
    ASSERT(body->size >= inner_place + LENGTH_BYTES + HEADER_HEAD + mark->header_size);
    if (revision != 0) write_varint(header + 1, mark->header_size - 1, (uint64_t)revision);
    size_t inner = body->size - inner_place - LENGTH_BYTES;
    size_t outer = body->size - mark->start - LENGTH_BYTES;
    if (inner > COMPACT_BYTES_MAX) {
        write_varint(data + inner_place, LENGTH_BYTES, inner);
        write_varint(data + mark->start, LENGTH_BYTES, outer);
        return;
    }
    outer -= compact(body, inner_place, inner);
    (void)compact(body, mark->start, outer);
}
