/* client_request: the requests' bytes. Fields that are 0 or empty are left out, as proto3 does. Source: proto/etcdserverpb/rpc.proto. */
#include "base/alloc.h"
#include "base/assert.h"
#include "client/client_inner.h"

#define PATH_BYTES_MAX 256

struct slice client_slice(struct kvd_bytes bytes) { return slice_make(bytes.data, bytes.data == NULL ? 0 : bytes.size); }
struct kvd_bytes client_bytes(struct slice slice) { return kvd_bytes_of(slice.data, slice.size); }

static struct kvd_request *request_new(enum client_kind kind, const char *path, enum rpc_client_policy policy)
{
    struct kvd_request *request = ALLOC(struct kvd_request);
    request->kind = kind;
    request->path = path;
    request->policy = policy;
    buf_init(&request->body);
    return request;
}

void kvd_request_free(struct kvd_request *request)
{
    if (request == NULL) return;
    buf_deinit(&request->body);
    alloc_free(request->own_path);
    alloc_free(request);
}

static void put_number(struct buf *buf, uint32_t field, int64_t value)
{
    if (value != 0) buf_put_pb_varint(buf, field, (uint64_t)value);
}

static void put_bytes(struct buf *buf, uint32_t field, struct slice bytes)
{
    if (bytes.size > 0) buf_put_pb_bytes(buf, field, bytes);
}

/* --- intervals ------------------------------------------------------------------------------------------------------------- */

/* The first key behind all that begin with `prefix`: its last byte below 0xff, one higher; "\0", to the end, if there is none. */
static void prefix_end(struct slice prefix, struct buf *out)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.data[size - 1] == 0xff) size--;
    if (size == 0) {
        buf_put_u8(out, 0);
        return;
    }
    buf_put(out, prefix.data, size - 1);
    buf_put_u8(out, (uint8_t)(prefix.data[size - 1] + 1));
}

bool client_interval(struct slice *key, struct kvd_bytes range_end, bool is_prefix, bool is_from_key, struct buf *scratch, struct slice *out_end)
{
    static const uint8_t zero[1] = {0};
    *out_end = client_slice(range_end);
    if (is_prefix) {
        prefix_end(*key, scratch);
        *out_end = buf_slice(scratch);
    } else if (is_from_key) {
        *out_end = slice_make(zero, 1);
    }
    if (key->size == 0 && (is_prefix || is_from_key)) *key = slice_make(zero, 1);
    return out_end->size > 0;
}

static void put_interval(struct kvd_request *request, struct kvd_bytes key, struct kvd_bytes range_end, bool is_prefix, bool is_from_key)
{
    struct buf scratch;
    struct slice first = client_slice(key), end;
    buf_init(&scratch);
    if (is_prefix + is_from_key + (range_end.size > 0) > 1) request->mistake = "range_end, is_prefix and is_from_key exclude one another";
    bool has_end = client_interval(&first, range_end, is_prefix, is_from_key, &scratch, &end);
    put_bytes(&request->body, 1, first);
    if (has_end) buf_put_pb_bytes(&request->body, 2, end);
    buf_deinit(&scratch);
}

/* --- keys and values ------------------------------------------------------------------------------------------------------- */

struct kvd_request *kvd_put(struct kvd_bytes key, struct kvd_bytes value, const struct kvd_put_options *options)
{
    static const struct kvd_put_options none = {.lease = 0};
    struct kvd_request *request = request_new(CLIENT_PUT, "/etcdserverpb.KV/Put", RPC_CLIENT_WRITE);
    if (options == NULL) options = &none;
    put_bytes(&request->body, 1, client_slice(key));
    put_bytes(&request->body, 2, client_slice(value));
    put_number(&request->body, 3, options->lease);
    put_number(&request->body, 4, options->previous);
    put_number(&request->body, 5, options->ignore_value);
    put_number(&request->body, 6, options->ignore_lease);
    request->ttl = options->ttl;
    if (options->ttl < 0) request->mistake = "a TTL is a number of seconds, not below 0";
    if (options->ttl != 0 && (options->lease != 0 || options->ignore_lease)) request->mistake = "a put has either a TTL or a lease";
    return request;
}

struct kvd_request *kvd_get(struct kvd_bytes key) { return kvd_range(key, NULL); }

struct kvd_request *kvd_range(struct kvd_bytes key, const struct kvd_range_options *options)
{
    static const struct kvd_range_options none = {.limit = 0};
    struct kvd_request *request = request_new(CLIENT_RANGE, "/etcdserverpb.KV/Range", RPC_CLIENT_READ);
    if (options == NULL) options = &none;
    put_interval(request, key, options->range_end, options->is_prefix, options->is_from_key);
    put_number(&request->body, 3, options->limit);
    put_number(&request->body, 4, options->revision);
    put_number(&request->body, 5, (int64_t)options->order);
    put_number(&request->body, 6, (int64_t)options->target);
    put_number(&request->body, 7, options->serializable);
    put_number(&request->body, 8, options->keys_only);
    put_number(&request->body, 9, options->count_only);
    put_number(&request->body, 10, options->min_mod_revision);
    put_number(&request->body, 11, options->max_mod_revision);
    put_number(&request->body, 12, options->min_create_revision);
    put_number(&request->body, 13, options->max_create_revision);
    return request;
}

struct kvd_request *kvd_delete(struct kvd_bytes key, const struct kvd_delete_options *options)
{
    static const struct kvd_delete_options none = {.previous = false};
    struct kvd_request *request = request_new(CLIENT_DELETE, "/etcdserverpb.KV/DeleteRange", RPC_CLIENT_WRITE);
    if (options == NULL) options = &none;
    put_interval(request, key, options->range_end, options->is_prefix, options->is_from_key);
    put_number(&request->body, 3, options->previous);
    return request;
}

/* --- transactions ---------------------------------------------------------------------------------------------------------- */

struct kvd_request *kvd_txn(void)
{
    return request_new(CLIENT_TXN, "/etcdserverpb.KV/Txn", RPC_CLIENT_READ); /* until something in it writes */
}

void kvd_txn_if(struct kvd_request *txn, struct kvd_compare compare)
{
    static const uint32_t fields[] = {[KVD_COMPARE_VERSION] = 4, [KVD_COMPARE_CREATE] = 5, [KVD_COMPARE_MOD] = 6, [KVD_COMPARE_VALUE] = 7,
                                      [KVD_COMPARE_LEASE] = 8};
    struct buf body;
    if (txn->kind != CLIENT_TXN || (unsigned)compare.target > KVD_COMPARE_LEASE || (unsigned)compare.result > KVD_NOT_EQUAL) {
        txn->mistake = "a comparison is a transaction's, with a target and a result that there are";
        return;
    }
    buf_init(&body);
    put_number(&body, 1, (int64_t)compare.result);
    put_number(&body, 2, (int64_t)compare.target);
    put_bytes(&body, 3, client_slice(compare.key));
    if (compare.target == KVD_COMPARE_VALUE)
        buf_put_pb_bytes(&body, fields[compare.target], client_slice(compare.value));
    else
        buf_put_pb_varint(&body, fields[compare.target], (uint64_t)compare.number);
    put_bytes(&body, 64, client_slice(compare.range_end));
    buf_put_pb_bytes(&txn->body, 1, buf_slice(&body));
    buf_deinit(&body);
}

/* The field of an operation in RequestOp; 0 = none can be. */
static uint32_t operation_field(enum client_kind kind)
{
    switch (kind) {
    case CLIENT_RANGE: return 1;
    case CLIENT_PUT: return 2;
    case CLIENT_DELETE: return 3;
    case CLIENT_TXN: return 4;
    default: return 0;
    }
}

static void add_operation(struct kvd_request *txn, uint32_t branch, struct kvd_request *operation)
{
    struct buf body;
    uint32_t field = operation_field(operation->kind);
    buf_init(&body);
    if (operation->mistake != NULL) txn->mistake = operation->mistake;
    if (txn->kind != CLIENT_TXN || field == 0) txn->mistake = "a transaction is made of puts, gets, ranges, deletions and transactions";
    if (operation->policy == RPC_CLIENT_WRITE) txn->policy = RPC_CLIENT_WRITE;
    txn->has_ttl = txn->has_ttl || operation->has_ttl || operation->ttl != 0;
    put_number(&operation->body, 1000, operation->ttl);
    if (field != 0) buf_put_pb_bytes(&body, field, buf_slice(&operation->body));
    buf_put_pb_bytes(&txn->body, branch, buf_slice(&body));
    buf_deinit(&body);
    kvd_request_free(operation);
}

void kvd_txn_then(struct kvd_request *txn, struct kvd_request *operation) { add_operation(txn, 2, operation); }
void kvd_txn_else(struct kvd_request *txn, struct kvd_request *operation) { add_operation(txn, 3, operation); }

/* --- the rest -------------------------------------------------------------------------------------------------------------- */

struct kvd_request *kvd_compact(int64_t revision, bool is_physical)
{
    struct kvd_request *request = request_new(CLIENT_HEADER_ONLY, "/etcdserverpb.KV/Compact", RPC_CLIENT_WRITE);
    put_number(&request->body, 1, revision);
    put_number(&request->body, 2, is_physical);
    return request;
}

struct kvd_request *kvd_grant(int64_t ttl, int64_t id)
{
    struct kvd_request *request = request_new(CLIENT_GRANT, "/etcdserverpb.Lease/LeaseGrant", RPC_CLIENT_WRITE);
    put_number(&request->body, 1, ttl);
    put_number(&request->body, 2, id);
    return request;
}

struct kvd_request *kvd_revoke(int64_t lease)
{
    struct kvd_request *request = request_new(CLIENT_HEADER_ONLY, "/etcdserverpb.Lease/LeaseRevoke", RPC_CLIENT_WRITE);
    put_number(&request->body, 1, lease);
    return request;
}

struct kvd_request *kvd_time_to_live(int64_t lease, bool with_keys)
{
    struct kvd_request *request = request_new(CLIENT_TIME_TO_LIVE, "/etcdserverpb.Lease/LeaseTimeToLive", RPC_CLIENT_READ);
    put_number(&request->body, 1, lease);
    put_number(&request->body, 2, with_keys);
    return request;
}

struct kvd_request *kvd_leases(void) { return request_new(CLIENT_LEASES, "/etcdserverpb.Lease/LeaseLeases", RPC_CLIENT_READ); }

struct kvd_request *kvd_members(bool is_linearizable)
{
    struct kvd_request *request = request_new(CLIENT_MEMBERS, "/etcdserverpb.Cluster/MemberList", RPC_CLIENT_READ);
    put_number(&request->body, 1, is_linearizable);
    return request;
}

struct kvd_request *kvd_status(void) { return request_new(CLIENT_STATUS, "/etcdserverpb.Maintenance/Status", RPC_CLIENT_READ); }

struct kvd_request *kvd_history(struct kvd_bytes key, const struct kvd_history_options *options)
{
    static const struct kvd_history_options none = {.limit = 0};
    struct kvd_request *request = request_new(CLIENT_HISTORY, "/kvd.v1.Extra/History", RPC_CLIENT_READ);
    if (options == NULL) options = &none;
    put_interval(request, key, options->range_end, options->is_prefix, options->is_from_key);
    put_number(&request->body, 3, options->from_revision);
    put_number(&request->body, 4, options->to_revision);
    put_number(&request->body, 5, options->oldest_first);
    put_number(&request->body, 6, options->limit);
    put_number(&request->body, 7, options->keys_only);
    put_number(&request->body, 8, options->serializable);
    put_bytes(&request->body, 9, client_slice(options->token));
    return request;
}

/* --- raw ------------------------------------------------------------------------------------------------------------------- */

static struct kvd_request *raw_new(enum client_kind kind, const char *path, struct kvd_bytes body, enum rpc_client_policy policy)
{
    struct kvd_request *request = request_new(kind, NULL, policy);
    size_t length = path == NULL ? 0 : strlen(path);
    bool is_good = length > 1 && length <= PATH_BYTES_MAX && path[0] == '/';
    for (size_t i = 0; is_good && i < length; i++) is_good = path[i] > ' ' && path[i] < 127;
    if (!is_good) request->mistake = "a path is like /package.Service/Method";
    request->own_path = alloc_string(is_good ? path : "/");
    request->path = request->own_path;
    buf_put_slice(&request->body, client_slice(body));
    return request;
}

struct kvd_request *kvd_raw(const char *path, struct kvd_bytes body, enum kvd_policy policy)
{
    static const enum rpc_client_policy policies[] = {
        [KVD_POLICY_READ] = RPC_CLIENT_READ, [KVD_POLICY_WRITE] = RPC_CLIENT_WRITE, [KVD_POLICY_ONCE] = RPC_CLIENT_ONCE};
    bool is_policy = (unsigned)policy <= KVD_POLICY_ONCE;
    struct kvd_request *request = raw_new(CLIENT_RAW, path, body, is_policy ? policies[policy] : RPC_CLIENT_ONCE);
    if (!is_policy) request->mistake = "there is no such policy";
    return request;
}

struct kvd_request *kvd_raw_stream(const char *path, struct kvd_bytes body, bool is_open, kvd_message_fn *message_fn, void *message_context)
{
    struct kvd_request *request = raw_new(CLIENT_STREAM, path, body, RPC_CLIENT_ONCE);
    if (message_fn == NULL) request->mistake = "a stream's messages need a function that takes them";
    request->is_open = is_open;
    request->message_fn = message_fn;
    request->message_context = message_context;
    return request;
}
