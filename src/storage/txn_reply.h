/* txn_reply: one ResponseOp { one of four responses { header { revision }, … } } whose length and revision are known only at its end.
 *
 * Room for both is kept at its begin and filled in at its end. Lengths are then written minimal by moving the bytes up; a long
 * response stays where it is, its length written in full width (which every decoder of protobuf takes), so that nesting does not
 * multiply the copying. Private to txn.c. Owner: a mark is a plain value, valid until its buffer is cut below it. Thread: the run's.
 * Source: API, Header and revision rules: nested responses carry a header with the revision only; that of a nested TxnResponse is empty,
 * in every etcd (it fills in the revision of the outermost one only).
 */
#ifndef STORAGE_TXN_REPLY_H
#define STORAGE_TXN_REPLY_H
#include <stdint.h>

#include "base/buf.h"

struct txn_reply_mark {
    size_t start;          /* of the ResponseOp's length */
    size_t header_size;    /* bytes kept for what is in the header */
};
/* `member`: field number in ResponseOp. The revision of the close may be any from 1 to revision_max; 0 for both: an empty header. */
struct txn_reply_mark txn_reply_open(struct buf *body, uint32_t member, int64_t revision_max);
void txn_reply_close(struct buf *body, const struct txn_reply_mark *mark, int64_t revision);

#endif
