/* operation: the requests of the KV service as plain values, decoded by hand from protobuf bytes without an allocation, and a cursor
 * that walks a transaction of any shape without recursion.
 *
 * The door (request.c) and the state machine (txn.c, state_machine.c) read the bytes through these same functions, so that what one
 * admits the other understands in the same way.
 * Rules: unknown fields are skipped; a known field of another wire type is malformed; of a repeated scalar and of a oneof the last wins.
 * Owner: plain values; slices are borrowed from the message. Thread: any.
 * Limits: OPERATION_DEPTH_MAX nested transactions. Source: the API's messages; protobuf encoding, proto3.
 */
#ifndef STORAGE_OPERATION_H
#define STORAGE_OPERATION_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define OPERATION_DEPTH_MAX 64

struct operation_put {
    struct slice key, value;
    int64_t lease;
    int64_t ttl; /* of a lease of its own, in seconds; 0 = none */
    bool prev_kv, ignore_value, ignore_lease;
};
enum { OPERATION_PUT_TTL = 1000 }; /* number of `ttl`, which is ours */
/* Numbers of our own fields of a PutResponse. */
enum { OPERATION_PUT_RESPONSE_LEASE = 1000, OPERATION_PUT_RESPONSE_TTL = 1001 };
struct operation_delete_range {
    struct slice key, range_end;
    bool prev_kv;
};
struct operation_compaction {
    int64_t revision;
    bool physical;
};
/* Numbers of the API's enums; any other number is kept as it came. */
enum { OPERATION_EQUAL = 0, OPERATION_GREATER = 1, OPERATION_LESS = 2, OPERATION_NOT_EQUAL = 3 };
enum { OPERATION_VERSION = 0, OPERATION_CREATE = 1, OPERATION_MOD = 2, OPERATION_VALUE = 3, OPERATION_LEASE = 4 };
struct operation_compare {
    int32_t result, target;
    struct slice key, range_end;
    int32_t given;      /* which member of target_union was set, by the target that it belongs to; -1 = none */
    int64_t number;     /* of a numeric member */
    struct slice value; /* of VALUE */
};

/* Each: ERR_OK or ERR_MALFORMED. */
MUST_USE enum err operation_parse_put(struct slice bytes, struct operation_put *out_put);
MUST_USE enum err operation_parse_delete_range(struct slice bytes, struct operation_delete_range *out_request);
MUST_USE enum err operation_parse_compaction(struct slice bytes, struct operation_compaction *out_request);
MUST_USE enum err operation_parse_compare(struct slice bytes, struct operation_compare *out_compare);

/* Field numbers of RequestOp's oneof. */
enum operation_kind {
    OPERATION_NONE = 0, /* no member set */
    OPERATION_RANGE = 1,
    OPERATION_PUT = 2,
    OPERATION_DELETE_RANGE = 3,
    OPERATION_TXN = 4,
};
/* Field numbers of TxnRequest. */
enum operation_field { OPERATION_COMPARES = 1, OPERATION_SUCCESS = 2, OPERATION_FAILURE = 3 };

/* The elements of one repeated field of a TxnRequest, in order. */
struct operation_list {
    struct reader reader;
    uint32_t field;
};
struct operation_list operation_list_make(struct slice txn_bytes, enum operation_field field);
/* False at the end, or when the bytes are no TxnRequest: then list->reader.bad. */
bool operation_list_next(struct operation_list *list, struct slice *out_bytes);

struct operation {
    enum operation_kind kind;
    enum operation_field branch; /* of the transaction in which it stands */
    struct slice body;
    struct slice whole;          /* the RequestOp */
    uint32_t member_count;       /* on the wire; `kind` and `body` are the last one */
};
enum operation_step {
    OPERATION_STEP_OP,    /* *out_operation is set; to walk a nested transaction, enter it before the next step */
    OPERATION_STEP_LEAVE, /* a nested transaction is done: depth is one less */
    OPERATION_STEP_END,
    OPERATION_STEP_BAD,   /* not a TxnRequest */
};
/* A walk in the order of the operations, nested ones where they stand. `depth` numbers the transaction that is being walked, the
 * outermost is 1: callers keep what they know per level in arrays of OPERATION_DEPTH_MAX + 1. */
struct operation_cursor {
    uint32_t depth;
    struct {
        struct operation_list list;
        struct slice bytes;
        enum operation_field last;
    } levels[OPERATION_DEPTH_MAX + 1];
};
void operation_cursor_init(struct operation_cursor *cursor);
/* Walks the branches first…last of this transaction next. False: too deep. */
MUST_USE bool operation_cursor_enter(struct operation_cursor *cursor, struct slice txn_bytes, enum operation_field first,
                                     enum operation_field last);
enum operation_step operation_cursor_next(struct operation_cursor *cursor, struct operation *out_operation);

#endif
