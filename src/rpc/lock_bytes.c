/* lock_bytes: see lock_bytes.h. */
#include "rpc/lock_bytes.h"

#include <inttypes.h>

#include "base/assert.h"

enum { TXN_COMPARE = 1, TXN_SUCCESS = 2, TXN_FAILURE = 3 };
enum { OP_RANGE = 1, OP_PUT = 2, OP_DELETE_RANGE = 3 };
enum { COMPARE_TARGET = 2, COMPARE_KEY = 3, COMPARE_CREATE_REVISION = 5, TARGET_CREATE = 1 };
enum { RANGE_KEY = 1, RANGE_END = 2, RANGE_LIMIT = 3, RANGE_ORDER = 5, RANGE_TARGET = 6, RANGE_KEYS_ONLY = 8, RANGE_MAX_CREATE = 13 };
enum { ORDER_ASCEND = 1, ORDER_DESCEND = 2, SORT_BY_CREATE = 2 };
enum { WATCH_CREATE = 1, WATCH_REVISION = 3, WATCH_FILTER = 5, FILTER_NO_PUT = 0, FILTER_NO_DELETE = 1 };

void lock_bytes_put_key(struct buf *out, struct slice prefix, int64_t lease)
{
    buf_put_slice(out, prefix);
    if (lease < 0) buf_printf(out, "-%" PRIx64, -(uint64_t)lease);
    else buf_printf(out, "%" PRIx64, (uint64_t)lease);
}

/* --- requests --- */

static void put_nested(struct buf *out, uint32_t field, struct buf *message)
{
    buf_put_pb_bytes(out, field, buf_slice(message));
    buf_deinit(message);
}

/* The prefix ends with a slash, so that its end is the same with the byte behind it. */
static void put_prefix(struct buf *out, struct slice prefix)
{
    ASSERT(prefix.size > 0 && prefix.data[prefix.size - 1] == '/');
    buf_put_pb_bytes(out, RANGE_KEY, prefix);
    buf_put_pb_bytes(out, RANGE_END, prefix);
    out->blob->data[out->size - 1] = '/' + 1;
}

static void put_op(struct buf *out, uint32_t branch, uint32_t kind, struct buf *request)
{
    struct buf op;
    buf_init(&op);
    put_nested(&op, kind, request);
    put_nested(out, branch, &op);
}

/* The create revision that the key has to have; 0 = there is none. */
static void put_compare(struct buf *out, struct slice key, int64_t create_revision)
{
    struct buf compare;
    buf_init(&compare);
    buf_put_pb_varint(&compare, COMPARE_TARGET, TARGET_CREATE);
    buf_put_pb_bytes(&compare, COMPARE_KEY, key);
    buf_put_pb_varint(&compare, COMPARE_CREATE_REVISION, (uint64_t)create_revision);
    put_nested(out, TXN_COMPARE, &compare);
}

static void put_put(struct buf *out, struct slice key, struct slice value, int64_t lease)
{
    struct buf put;
    buf_init(&put);
    buf_put_pb_bytes(&put, 1, key);
    buf_put_pb_bytes(&put, 2, value);
    buf_put_pb_varint(&put, 3, (uint64_t)lease);
    put_op(out, TXN_SUCCESS, OP_PUT, &put);
}

static void put_get(struct buf *out, uint32_t branch, struct slice key, bool keys_only)
{
    struct buf range;
    buf_init(&range);
    buf_put_pb_bytes(&range, RANGE_KEY, key);
    if (keys_only) buf_put_pb_varint(&range, RANGE_KEYS_ONLY, 1);
    put_op(out, branch, OP_RANGE, &range);
}

/* The oldest; or the youngest up to max_create. */
static void put_end_of_queue(struct buf *range, struct slice prefix, int64_t max_create)
{
    put_prefix(range, prefix);
    buf_put_pb_varint(range, RANGE_LIMIT, 1);
    buf_put_pb_varint(range, RANGE_ORDER, max_create > 0 ? ORDER_DESCEND : ORDER_ASCEND);
    buf_put_pb_varint(range, RANGE_TARGET, SORT_BY_CREATE);
    if (max_create > 0) buf_put_pb_varint(range, RANGE_MAX_CREATE, (uint64_t)max_create);
}

static void put_neighbour(struct buf *out, uint32_t branch, struct slice prefix, int64_t max_create)
{
    struct buf range;
    buf_init(&range);
    put_end_of_queue(&range, prefix, max_create);
    buf_put_pb_varint(&range, RANGE_KEYS_ONLY, 1);
    put_op(out, branch, OP_RANGE, &range);
}

void lock_bytes_enter(struct buf *out, struct slice prefix, struct slice key, struct slice value, int64_t lease)
{
    put_compare(out, key, 0);
    put_put(out, key, value, lease);
    put_neighbour(out, TXN_SUCCESS, prefix, 0);
    put_get(out, TXN_FAILURE, key, false);
    put_neighbour(out, TXN_FAILURE, prefix, 0);
}

void lock_bytes_change(struct buf *out, struct slice key, int64_t create_revision, struct slice value, int64_t lease)
{
    put_compare(out, key, create_revision);
    put_put(out, key, value, lease);
}

void lock_bytes_leave(struct buf *out, struct slice key, int64_t create_revision)
{
    struct buf request;
    buf_init(&request);
    lock_bytes_delete(&request, key);
    put_compare(out, key, create_revision);
    put_op(out, TXN_SUCCESS, OP_DELETE_RANGE, &request);
}

void lock_bytes_look(struct buf *out, struct slice prefix, struct slice key, int64_t create_revision)
{
    ASSERT(create_revision > 1); /* the first revision is nobody's */
    put_neighbour(out, TXN_SUCCESS, prefix, create_revision - 1);
    put_get(out, TXN_SUCCESS, key, true);
}

void lock_bytes_first(struct buf *out, struct slice prefix) { put_end_of_queue(out, prefix, 0); }

void lock_bytes_delete(struct buf *out, struct slice key) { buf_put_pb_bytes(out, 1, key); }

void lock_bytes_grant(struct buf *out, int64_t ttl)
{
    ASSERT(ttl > 0);
    buf_put_pb_varint(out, 1, (uint64_t)ttl);
}

void lock_bytes_watch(struct buf *out, struct slice key, bool is_prefix, int64_t revision, enum lock_bytes_wants wants)
{
    struct buf create, request;
    buf_init(&create);
    buf_init(&request);
    ASSERT(revision > 0);
    if (is_prefix) put_prefix(&create, key);
    else buf_put_pb_bytes(&create, RANGE_KEY, key);
    buf_put_pb_varint(&create, WATCH_REVISION, (uint64_t)revision);
    if (wants != LOCK_WANTS_ALL) buf_put_pb_varint(&create, WATCH_FILTER, wants == LOCK_WANTS_DELETES ? FILTER_NO_PUT : FILTER_NO_DELETE);
    put_nested(&request, WATCH_CREATE, &create);
    put_nested(out, 1, &request);
}

/* --- answers --- */

static void read_kv(struct slice bytes, struct lock_kv *out_kv)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    *out_kv = (struct lock_kv){.bytes = bytes};
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) out_kv->key = field.bytes;
        if (field.number == 2) out_kv->create_revision = (int64_t)field.value;
        if (field.number == 3) out_kv->mod_revision = (int64_t)field.value;
        if (field.number == 5) out_kv->value = field.bytes;
    }
    ASSERT(!reader.bad && out_kv->key.size > 0);
}

static int64_t read_revision(struct slice header)
{
    struct reader reader = reader_make(header);
    struct pb_field field;
    int64_t revision = 0;
    while (reader_pb_field(&reader, &field))
        if (field.number == 3) revision = (int64_t)field.value;
    ASSERT(!reader.bad);
    return revision;
}

/* Limit 1: there is one pair at most. */
static void read_pair(struct slice range_response, int64_t *out_revision, struct lock_kv *out_kv)
{
    struct reader reader = reader_make(range_response);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) *out_revision = read_revision(field.bytes);
        if (field.number == 2) read_kv(field.bytes, out_kv);
    }
    ASSERT(!reader.bad);
}

void lock_bytes_read_range(struct slice bytes, struct lock_answer *out_answer)
{
    *out_answer = (struct lock_answer){.revision = 0};
    read_pair(bytes, &out_answer->revision, &out_answer->kvs[0]);
}

static void read_response(struct slice response_op, struct lock_kv *out_kv)
{
    struct reader reader = reader_make(response_op);
    struct pb_field field;
    int64_t revision = 0;
    while (reader_pb_field(&reader, &field))
        if (field.number == OP_RANGE) read_pair(field.bytes, &revision, out_kv);
    ASSERT(!reader.bad);
}

void lock_bytes_read_txn(struct slice bytes, struct lock_answer *out_answer)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    size_t count = 0;
    *out_answer = (struct lock_answer){.revision = 0};
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) out_answer->revision = read_revision(field.bytes);
        if (field.number == 2) out_answer->succeeded = field.value != 0;
        if (field.number == 3 && count < 2) read_response(field.bytes, &out_answer->kvs[count++]);
    }
    ASSERT(!reader.bad);
}

int64_t lock_bytes_read_grant(struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    int64_t id = 0;
    while (reader_pb_field(&reader, &field))
        if (field.number == 2) id = (int64_t)field.value;
    ASSERT(!reader.bad && id != 0);
    return id;
}

void lock_bytes_read_head(struct slice bytes, struct lock_head *out_head)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    *out_head = (struct lock_head){.is_canceled = false};
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 3) out_head->is_created = field.value != 0;
        if (field.number == 4) out_head->is_canceled = field.value != 0;
        if (field.number == 5) out_head->compact_revision = (int64_t)field.value;
    }
    ASSERT(!reader.bad);
}

bool lock_bytes_read_event(struct reader *events, bool *out_is_delete, struct lock_kv *out_kv)
{
    struct pb_field event, field;
    if (!reader_pb_field(events, &event)) return false;
    struct reader reader = reader_make(event.bytes);
    *out_is_delete = false;
    *out_kv = (struct lock_kv){.create_revision = 0};
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) *out_is_delete = field.value != 0;
        if (field.number == 2) read_kv(field.bytes, out_kv);
    }
    ASSERT(!reader.bad && out_kv->bytes.size > 0);
    return true;
}
