/* sim_bytes: see sim_bytes.h. */
#include "lib/sim_bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"

#define PADDING_BITS 20

uint64_t sim_bytes_token(uint64_t number, uint32_t padding)
{
    ASSERT(padding < 1u << PADDING_BITS);
    return number << PADDING_BITS | padding;
}

STATIC_ASSERT(SIM_BYTES_PLACES + 2 * SIM_BYTES_PLACES_OF_NAME == KV_HISTORY_KEYS, "two names");

/* The last one is the end of an interval only. */
void sim_bytes_key(uint32_t key, struct buf *out)
{
    uint32_t place = key - SIM_BYTES_PLACES;
    if (key < SIM_BYTES_PLACES) buf_printf(out, "k%02u", key);
    else if (key < KV_HISTORY_KEYS) buf_printf(out, "l%u/%x", place / SIM_BYTES_PLACES_OF_NAME, 1 + place % SIM_BYTES_PLACES_OF_NAME);
    else buf_put_u8(out, 'm');
}

void sim_bytes_value(uint64_t token, struct buf *out)
{
    size_t padding = token & ((UINT64_C(1) << PADDING_BITS) - 1);
    if (token == 0) return;
    buf_printf(out, "%016" PRIx64, token);
    memset(buf_extend(out, padding), 'p', padding);
}

void sim_bytes_put_key(struct buf *out, uint32_t field, uint32_t key)
{
    struct buf text;
    buf_init(&text);
    sim_bytes_key(key, &text);
    buf_put_pb_bytes(out, field, buf_slice(&text));
    buf_deinit(&text);
}

/* The least key behind the last of the page before. */
static void put_page_key(struct buf *out, uint32_t key)
{
    struct buf text;
    ASSERT(key > 0);
    buf_init(&text);
    sim_bytes_key(key - 1, &text);
    buf_put_u8(&text, 0);
    buf_put_pb_bytes(out, 1, buf_slice(&text));
    buf_deinit(&text);
}

static void put_value(struct buf *out, uint32_t field, uint64_t token)
{
    struct buf value;
    buf_init(&value);
    sim_bytes_value(token, &value);
    buf_put_pb_bytes(out, field, buf_slice(&value));
    buf_deinit(&value);
}

static void put_number(struct buf *out, uint32_t field, int64_t number)
{
    if (number != 0) buf_put_pb_varint(out, field, (uint64_t)number);
}

static void put_range(const struct kv_step *step, bool serializable, struct buf *out)
{
    if (step->is_page) put_page_key(out, step->first);
    else sim_bytes_put_key(out, 1, step->first);
    if (step->is_page || step->end > step->first + 1) sim_bytes_put_key(out, 2, step->end);
    put_number(out, 3, step->limit);
    put_number(out, 4, step->at_revision);
    put_number(out, 5, (int64_t)step->sort);
    put_number(out, 6, (int64_t)step->sort_target);
    put_number(out, 7, serializable);
    put_number(out, 8, step->keys_only);
    put_number(out, 9, step->count_only);
    put_number(out, 10, step->min_mod);
    put_number(out, 11, step->max_mod);
    put_number(out, 12, step->min_create);
    put_number(out, 13, step->max_create);
}

static void put_step(const struct kv_step *step, bool serializable, struct buf *out)
{
    if (step->kind == KV_STEP_RANGE) {
        put_range(step, serializable, out);
        return;
    }
    sim_bytes_put_key(out, 1, step->first);
    if (step->kind == KV_STEP_PUT) {
        put_value(out, 2, step->token);
        put_number(out, 3, step->lease);
        if (step->wants_previous) buf_put_pb_varint(out, 4, 1);
        put_number(out, 1000, step->ttl);
        return;
    }
    if (step->end > step->first + 1) sim_bytes_put_key(out, 2, step->end);
    if (step->wants_previous) buf_put_pb_varint(out, 3, 1);
}

static void put_steps(const struct kv_step *steps, uint32_t count, uint32_t nested_from, uint32_t field, struct buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        struct buf body, op;
        buf_init(&body);
        buf_init(&op);
        bool is_nested = nested_from > 0 && i == nested_from;
        if (is_nested) {
            put_steps(steps + i, count - i, 0, 2, &body);
        } else {
            put_step(&steps[i], false, &body);
        }
        uint32_t kind = steps[i].kind == KV_STEP_RANGE ? 1 : steps[i].kind == KV_STEP_PUT ? 2 : 3;
        buf_put_pb_bytes(&op, is_nested ? 4 : kind, buf_slice(&body));
        buf_put_pb_bytes(out, field, buf_slice(&op));
        buf_deinit(&body);
        buf_deinit(&op);
        if (is_nested) return;
    }
}

static void put_compare(const struct kv_compare *compare, struct buf *out)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)compare->relation);
    buf_put_pb_varint(&body, 2, (uint64_t)compare->target);
    sim_bytes_put_key(&body, 3, compare->key);
    if (compare->target == KV_TARGET_VALUE) {
        put_value(&body, 7, compare->token);
    } else {
        buf_put_pb_varint(&body, 4 + (uint32_t)compare->target, (uint64_t)compare->number);
    }
    buf_put_pb_bytes(out, 1, buf_slice(&body));
    buf_deinit(&body);
}

const char *sim_bytes_path(const struct kv_op *op)
{
    switch (op->kind) {
    case KV_OP_RANGE: return op->streams ? "/etcdserverpb.KV/RangeStream" : "/etcdserverpb.KV/Range";
    case KV_OP_PUT: return "/etcdserverpb.KV/Put";
    case KV_OP_DELETE: return "/etcdserverpb.KV/DeleteRange";
    case KV_OP_TXN: return "/etcdserverpb.KV/Txn";
    case KV_OP_COMPACT: return "/etcdserverpb.KV/Compact";
    case KV_OP_GRANT: return "/etcdserverpb.Lease/LeaseGrant";
    case KV_OP_REVOKE: return "/etcdserverpb.Lease/LeaseRevoke";
    case KV_OP_LIVES: return "/etcdserverpb.Lease/LeaseTimeToLive";
    case KV_OP_EXPIRE:
    case KV_OP_ALARM:
    case KV_OP_DISARM: break;
    }
    return NULL;
}

void sim_bytes_request(const struct kv_op *op, struct buf *out)
{
    if (op->kind == KV_OP_COMPACT) {
        buf_put_pb_varint(out, 1, (uint64_t)op->revision);
        if (op->client % 2 == 0) buf_put_pb_varint(out, 2, 1); /* physical */
    } else if (op->kind == KV_OP_GRANT) {
        put_number(out, 1, op->ttl);
        put_number(out, 2, op->lease);
    } else if (op->kind == KV_OP_REVOKE || op->kind == KV_OP_LIVES) {
        put_number(out, 1, op->lease);
        if (op->kind == KV_OP_LIVES) buf_put_pb_varint(out, 2, 1); /* with its keys */
    } else if (op->kind == KV_OP_TXN) {
        for (uint32_t i = 0; i < op->compare_count; i++) put_compare(&op->compares[i], out);
        put_steps(op->success, op->success_count, op->nested_from, 2, out);
        put_steps(op->failure, op->failure_count, op->nested_from, 3, out);
    } else {
        put_step(&op->success[0], op->serializable, out);
    }
}

/* --- answers --- */

bool sim_bytes_read_value(struct slice value, uint64_t *out_token)
{
    char text[17] = "";
    *out_token = 0;
    if (value.size < 16) return value.size == 0;
    memcpy(text, value.data, 16);
    *out_token = strtoull(text, NULL, 16);
    if (value.size != 16 + (*out_token & ((UINT64_C(1) << PADDING_BITS) - 1))) return false;
    for (size_t i = 16; i < value.size; i++) {
        if (value.data[i] != 'p') return false;
    }
    return true;
}

bool sim_bytes_read_key(struct slice key, uint32_t *out_key)
{
    bool is_place = key.size == 4 && key.data[0] == 'l' && key.data[2] == '/';
    if (is_place) {
        *out_key = SIM_BYTES_PLACES + (uint32_t)(key.data[1] - '0') * SIM_BYTES_PLACES_OF_NAME + (uint32_t)(key.data[3] - '1');
        return key.data[1] <= '1' && key.data[3] >= '1' && key.data[3] < '1' + (int)SIM_BYTES_PLACES_OF_NAME;
    }
    if (key.size != 3 || key.data[0] != 'k') return false;
    *out_key = (uint32_t)(key.data[1] - '0') * 10 + (uint32_t)(key.data[2] - '0');
    return *out_key < SIM_BYTES_PLACES;
}

static bool read_pair(const Mvccpb__KeyValue *kv, bool keys_only, struct kv_pair *pair)
{
    if (!sim_bytes_read_key(slice_make(kv->key.data, kv->key.len), &pair->key)) return false;
    pair->create_revision = kv->create_revision;
    pair->mod_revision = kv->mod_revision;
    pair->version = kv->version;
    pair->lease = kv->lease;
    if (keys_only) return kv->value.len == 0;
    return sim_bytes_read_value(slice_make(kv->value.data, kv->value.len), &pair->token);
}

static bool read_pairs(Mvccpb__KeyValue *const *kvs, size_t count, struct kv_step *step)
{
    alloc_free(step->pairs);
    step->pairs = count == 0 ? NULL : alloc_zero(count, sizeof(struct kv_pair));
    step->pair_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (!read_pair(kvs[i], step->keys_only, &step->pairs[i])) return false;
    }
    return true;
}

static bool read_range(const Etcdserverpb__RangeResponse *response, struct kv_step *step)
{
    if (response == NULL) return false;
    step->count = response->count;
    step->more = response->more;
    return read_pairs(response->kvs, response->n_kvs, step);
}

static int64_t ttl_of_ops(Etcdserverpb__RequestOp *const *ops, size_t count);
static int64_t ttl_of_txn(const Etcdserverpb__TxnRequest *txn)
{
    int64_t ttl = ttl_of_ops(txn->success, txn->n_success);
    return ttl > 0 ? ttl : ttl_of_ops(txn->failure, txn->n_failure);
}

static int64_t ttl_of_ops(Etcdserverpb__RequestOp *const *ops, size_t count)
{
    int64_t ttl = 0;
    for (size_t i = 0; i < count && ttl == 0; i++) {
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT) ttl = ops[i]->request_put->ttl;
        if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) ttl = ttl_of_txn(ops[i]->request_txn);
    }
    return ttl;
}

int64_t sim_bytes_put_ttl(struct slice request, bool is_txn)
{
    const ProtobufCMessageDescriptor *descriptor = is_txn ? &etcdserverpb__txn_request__descriptor : &etcdserverpb__put_request__descriptor;
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, request.size, request.data);
    ASSERT(message != NULL);
    int64_t ttl = is_txn ? ttl_of_txn((const void *)message) : ((const Etcdserverpb__PutRequest *)(const void *)message)->ttl;
    protobuf_c_message_free_unpacked(message, NULL);
    return ttl;
}

static bool read_put(const Etcdserverpb__PutResponse *response, struct kv_step *step)
{
    if (response == NULL) return false;
    step->made_lease = response->lease;
    step->made_ttl = response->ttl;
    return read_pairs(&response->prev_kv, response->prev_kv != NULL, step);
}

static bool read_delete(const Etcdserverpb__DeleteRangeResponse *response, struct kv_step *step)
{
    if (response == NULL) return false;
    step->count = response->deleted;
    return read_pairs(response->prev_kvs, response->n_prev_kvs, step);
}

static bool read_steps(Etcdserverpb__ResponseOp *const *responses, size_t count, struct kv_step *steps, uint32_t wanted,
                       uint32_t nested_from)
{
    bool has_nested = nested_from > 0 && nested_from < wanted;
    if (count != (has_nested ? nested_from + 1 : wanted)) return false;
    for (size_t i = 0; i < count; i++) {
        const Etcdserverpb__ResponseOp *at = responses[i];
        bool is_good = false;
        if (has_nested && i == nested_from) {
            const Etcdserverpb__TxnResponse *inner = at->response_case == 4 ? at->response_txn : NULL;
            return inner != NULL && inner->succeeded &&
                   read_steps(inner->responses, inner->n_responses, steps + i, wanted - nested_from, 0);
        }
        switch (steps[i].kind) {
        case KV_STEP_RANGE: is_good = at->response_case == 1 && read_range(at->response_range, &steps[i]); break;
        case KV_STEP_PUT: is_good = at->response_case == 2 && read_put(at->response_put, &steps[i]); break;
        case KV_STEP_DELETE: is_good = at->response_case == 3 && read_delete(at->response_delete_range, &steps[i]); break;
        }
        if (!is_good) return false;
    }
    return true;
}

static bool read_txn(const Etcdserverpb__TxnResponse *response, struct kv_op *op)
{
    if (response == NULL) return false;
    op->succeeded = response->succeeded;
    struct kv_step *steps = op->succeeded ? op->success : op->failure;
    return read_steps(response->responses, response->n_responses, steps, op->succeeded ? op->success_count : op->failure_count,
                      op->nested_from);
}

/* The store chooses an id where none was asked for. */
static bool read_grant(const Etcdserverpb__LeaseGrantResponse *response, struct kv_op *op)
{
    bool is_good = response->id > 0 && (op->lease == 0 || op->lease == response->id) && response->error[0] == '\0';
    op->lease = response->id;
    op->granted_ttl = response->ttl;
    return is_good && op->granted_ttl > 0;
}

static bool read_lives(const Etcdserverpb__LeaseTimeToLiveResponse *response, struct kv_op *op)
{
    op->lives_s = response->ttl;
    op->granted_ttl = response->grantedttl;
    op->lease_keys = 0;
    for (size_t i = 0; i < response->n_keys; i++) {
        uint32_t key;
        if (!sim_bytes_read_key(slice_make(response->keys[i].data, response->keys[i].len), &key) || key >= KV_HISTORY_KEYS) return false;
        op->lease_keys |= UINT64_C(1) << key;
    }
    return response->id == op->lease && response->ttl >= -1;
}

/* The pieces, one behind the other, are one message: the format merges what comes twice. */
static bool read_stream(struct slice bytes, struct kv_op *op)
{
    Etcdserverpb__RangeStreamResponse *response = etcdserverpb__range_stream_response__unpack(NULL, bytes.size, bytes.data);
    if (response == NULL) return false;
    const Etcdserverpb__RangeResponse *range = response->range_response;
    bool is_good = range != NULL && range->header != NULL && read_range(range, &op->success[0]);
    if (is_good) op->revision = range->header->revision;
    etcdserverpb__range_stream_response__free_unpacked(response, NULL);
    return is_good && op->revision > 0;
}

static const ProtobufCMessageDescriptor *descriptor_of(const struct kv_op *op)
{
    switch (op->kind) {
    case KV_OP_RANGE: return &etcdserverpb__range_response__descriptor;
    case KV_OP_PUT: return &etcdserverpb__put_response__descriptor;
    case KV_OP_DELETE: return &etcdserverpb__delete_range_response__descriptor;
    case KV_OP_TXN: return &etcdserverpb__txn_response__descriptor;
    case KV_OP_COMPACT: return &etcdserverpb__compaction_response__descriptor;
    case KV_OP_GRANT: return &etcdserverpb__lease_grant_response__descriptor;
    case KV_OP_REVOKE: return &etcdserverpb__lease_revoke_response__descriptor;
    case KV_OP_LIVES: return &etcdserverpb__lease_time_to_live_response__descriptor;
    case KV_OP_EXPIRE:
    case KV_OP_ALARM:
    case KV_OP_DISARM: break;
    }
    return NULL;
}

/* The header is field 1 of each of them, and the first member behind the base of each struct. */
static int64_t revision_of(const ProtobufCMessage *message)
{
    const Etcdserverpb__CompactionResponse *any = (const void *)message;
    return any->header == NULL ? 0 : any->header->revision;
}

bool sim_bytes_response(struct slice bytes, struct kv_op *op)
{
    if (op->streams) return read_stream(bytes, op);
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor_of(op), NULL, bytes.size, bytes.data);
    if (message == NULL) return false;
    bool is_good = true;
    if (op->kind == KV_OP_COMPACT) {
        op->answer_revision = revision_of(message);
    } else {
        op->revision = revision_of(message);
    }
    switch (op->kind) {
    case KV_OP_RANGE: is_good = read_range((const void *)message, &op->success[0]); break;
    case KV_OP_PUT: is_good = read_put((const void *)message, &op->success[0]); break;
    case KV_OP_DELETE: is_good = read_delete((const void *)message, &op->success[0]); break;
    case KV_OP_TXN: is_good = read_txn((const void *)message, op); break;
    case KV_OP_GRANT: is_good = read_grant((const void *)message, op); break;
    case KV_OP_LIVES: is_good = read_lives((const void *)message, op); break;
    case KV_OP_COMPACT:
    case KV_OP_REVOKE:
    case KV_OP_EXPIRE:
    case KV_OP_ALARM:
    case KV_OP_DISARM: break;
    }
    protobuf_c_message_free_unpacked(message, NULL);
    return is_good && (op->kind == KV_OP_COMPACT ? op->answer_revision : op->revision) > 0;
}
