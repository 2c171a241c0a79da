/* txn: the write requests of the KV service against the store: one operation at a time, and transactions as a whole: decide first,
 * then run.
 *
 * Decide evaluates every compare of the path that will be taken, nested ones included, against the state before the transaction, and
 * makes every check that may refuse. After that nothing can fail: a transaction is all or nothing.
 * Owner: struct txn is embedded and reused; it borrows the request's bytes, from txn_decide until the run is over.
 * Thread: apply, or any reader for a read-only transaction. Limits: OPERATION_DEPTH_MAX; TXN_REPLY_BYTES_MAX.
 * Bytes that did not pass request_check_* are fatal: they stand in the log, so no member may guess.
 * Source: API, Put/DeleteRange and Txn.
 */
#ifndef STORAGE_TXN_H
#define STORAGE_TXN_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "storage/mvcc.h"
#include "storage/operation.h"
#include "storage/put_leases.h"

/* What one response may hold. Beyond it there is no body: the answer is that the outcome is unknown (the writes are done). */
#define TXN_REPLY_BYTES_MAX (UINT64_C(256) << 20)

/* --- single operations, between mvcc_begin and mvcc_commit; what may refuse was checked --------------------------------------- */

/* The two conditions of a put on the state: ignore_value and ignore_lease need an existing key. */
MUST_USE enum err txn_check_put_key(const struct mvcc_view *view, const struct operation_put *put);
/* Each appends the fields of its response behind the header to out_body; NULL = no reply. */
void txn_put(struct mvcc *mvcc, struct put_leases *leases, const struct operation_put *put, struct buf *out_body);
void txn_delete_range(struct mvcc *mvcc, const struct operation_delete_range *request, struct buf *out_body);

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

struct txn {
    struct slice bytes;
    struct buf path; /* one byte per transaction of the decided path, in the order of the walk: 1 = success */
};
void txn_init(struct txn *txn);
void txn_deinit(struct txn *txn);
/* `leases` may be NULL if the transaction is read-only (txn_reader.h). */
MUST_USE enum err txn_decide(struct txn *txn, struct slice bytes, const struct mvcc_view *view, struct put_leases *leases);
/* Runs what was decided, between mvcc_begin and mvcc_commit. False: the body was over TXN_REPLY_BYTES_MAX and is incomplete; the
 * writes are done all the same. */
bool txn_run(struct txn *txn, struct mvcc *mvcc, struct put_leases *leases, struct buf *out_body);

#endif
