/* txn_reader: a read-only transaction as a resumable job: compares and revisions are decided on the first view, then its ranges run one
 * after the other in bounded steps, all on the state of that view.
 *
 * The bytes are the body of a TxnResponse without its header. The length of a nested response stands before it, so the rows of one range
 * are held in chunks until it is done, and then leave one chunk per step.
 * Owner: txn_reader_new/_free; the request is copied. Thread: one reader (net, under RCU).
 * Limits: TXN_REPLY_BYTES_MAX held; what is held is told by txn_reader_held_bytes and counts as reply bytes.
 * Source: API, Txn: a read-only transaction is served without the log.
 */
#ifndef STORAGE_TXN_READER_H
#define STORAGE_TXN_READER_H
#include "storage/range.h"
#include "storage/txn.h"

struct txn_reader;
/* `request` passed request_check_txn, which said that it is read-only. */
struct txn_reader *txn_reader_new(struct slice request, struct mvcc *mvcc);
void txn_reader_free(struct txn_reader *reader); /* accepts NULL; unpins */
/* Appends about bytes_max to out_body at most (at least one row), looks at about rows_max rows. RANGE_FAILED: *out_err. */
enum range_progress txn_reader_step(struct txn_reader *reader, const struct mvcc_view *view, size_t bytes_max, size_t rows_max,
                                    struct buf *out_body, enum err *out_err);
/* The store's revision at the first step; 0 before it, and again after a step that has to begin anew (RANGE_MORE; what was written in
 * front of the body belongs to a revision that is no longer read). */
int64_t txn_reader_revision(const struct txn_reader *reader);
size_t txn_reader_held_bytes(const struct txn_reader *reader);

#endif
