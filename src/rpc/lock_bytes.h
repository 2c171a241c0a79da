/* lock_bytes: what the Lock and Election services ask of the KV service, and what its answers say: the bytes of both.
 *
 * A place in the queue is a key under the name's prefix, known by its create revision: a key that was deleted and made again is another
 * place. The oldest place under a prefix holds the lock, or leads.
 * Owner: the caller; slices are borrowed from the bytes. Thread: any. Answers come from the member's own services: a malformed one is a bug.
 * Source: API §14; messages of KV, Watch and Election. */
#ifndef RPC_LOCK_BYTES_H
#define RPC_LOCK_BYTES_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* name + "/" and every key below it: name/lease in hex. Appended. */
void lock_bytes_put_key(struct buf *out, struct slice prefix, int64_t lease);

/* --- requests, appended to out --- */
/* TxnRequest: makes the key if there is none, else reads it; and in both cases reads the oldest key of the prefix. */
void lock_bytes_enter(struct buf *out, struct slice prefix, struct slice key, struct slice value, int64_t lease);
/* TxnRequest: the value, while the place is the same one. */
void lock_bytes_change(struct buf *out, struct slice key, int64_t create_revision, struct slice value, int64_t lease);
/* TxnRequest: deletes the key, while the place is the same one. */
void lock_bytes_leave(struct buf *out, struct slice key, int64_t create_revision);
/* TxnRequest, read-only: the youngest key of the prefix that is older than the place; and the place. */
void lock_bytes_look(struct buf *out, struct slice prefix, struct slice key, int64_t create_revision);
/* RangeRequest: the oldest key of the prefix. */
void lock_bytes_first(struct buf *out, struct slice prefix);
/* DeleteRangeRequest of a single key. */
void lock_bytes_delete(struct buf *out, struct slice key);
/* LeaseGrantRequest; the id is the server's to choose. */
void lock_bytes_grant(struct buf *out, int64_t ttl);
/* A WatchRequest as one element of a list (field 1 of it): of a key, or of a prefix, from a revision on. */
enum lock_bytes_wants { LOCK_WANTS_ALL, LOCK_WANTS_DELETES, LOCK_WANTS_PUTS };
void lock_bytes_watch(struct buf *out, struct slice key, bool is_prefix, int64_t revision, enum lock_bytes_wants wants);

/* --- answers --- */
struct lock_kv {
    struct slice bytes; /* of the whole KeyValue; empty = there is none */
    struct slice key, value;
    int64_t create_revision, mod_revision;
};
struct lock_answer {
    int64_t revision;       /* of the header, where it is part of the bytes */
    bool succeeded;
    struct lock_kv kvs[2];  /* the first pair of the first two responses */
};
void lock_bytes_read_txn(struct slice bytes, struct lock_answer *out_answer);   /* TxnResponse */
void lock_bytes_read_range(struct slice bytes, struct lock_answer *out_answer); /* RangeResponse: kvs[0] */
int64_t lock_bytes_read_grant(struct slice bytes);                              /* LeaseGrantResponse: the id */
/* The head of a WatchResponse. */
struct lock_head {
    bool is_created, is_canceled;
    int64_t compact_revision;
};
void lock_bytes_read_head(struct slice bytes, struct lock_head *out_head);
/* The next event behind the head; false = that was the last. */
bool lock_bytes_read_event(struct reader *events, bool *out_is_delete, struct lock_kv *out_kv);

#endif
