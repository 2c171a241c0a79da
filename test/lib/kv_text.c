/* kv_text: a recursive descent over the text, and a walk over what protobuf-c unpacked. */
#include "lib/kv_text.h"

#include <stdlib.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"

static bool starts(const char *at, const char *word) { return strncmp(at, word, strlen(word)) == 0; }

static bool take(const char **at, const char *word)
{
    if (!starts(*at, word)) return false;
    *at += strlen(word);
    return true;
}

static struct slice take_until(const char **at, const char *stops)
{
    size_t size = strcspn(*at, stops);
    struct slice text = slice_make(*at, size);
    *at += size;
    return text;
}

static int64_t take_number(const char **at)
{
    char *end;
    long long number = strtoll(*at, &end, 10);
    ASSERT(end != *at);
    *at = end;
    return number;
}

/* "*" is the key of one zero byte. */
static void put_key(struct buf *out, uint32_t field, struct slice key)
{
    if (key.size == 1 && key.data[0] == '*') key = slice_make("\0", 1);
    buf_put_pb_bytes(out, field, key);
}

static void parse_interval(const char **at, struct buf *out, uint32_t end_field, uint32_t key_field, const char *stops)
{
    struct slice text = take_until(at, stops);
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] != '.' || text.data[i + 1] != '.') continue;
        put_key(out, key_field, slice_make(text.data, i));
        put_key(out, end_field, slice_from(text, i + 2));
        return;
    }
    if (text.size > 0) put_key(out, key_field, text);
}

/* One option "name=number" or a bare "name"; false if it is another one. */
static bool option(const char **at, struct buf *out, const char *name, uint32_t field)
{
    const char *start = *at;
    if (!take(at, name)) return false;
    if (**at == '=') {
        (*at)++;
        buf_put_pb_varint(out, field, (uint64_t)take_number(at));
        return true;
    }
    if (**at == ',' || **at == ')' || **at == '\0') {
        buf_put_pb_varint(out, field, 1);
        return true;
    }
    *at = start;
    return false;
}

static void parse_put(const char **at, struct buf *out)
{
    struct slice key = take_until(at, "=,)");
    if (key.size > 0) buf_put_pb_bytes(out, 1, key);
    if (take(at, "=")) buf_put_pb_bytes(out, 2, take_until(at, ",)"));
    while (take(at, ",")) {
        bool known = option(at, out, "lease", 3) || option(at, out, "prev", 4) || option(at, out, "keepvalue", 5) ||
                     option(at, out, "keeplease", 6) || option(at, out, "ttl", 1000);
        ASSERT(known);
    }
}

static void parse_delete(const char **at, struct buf *out)
{
    parse_interval(at, out, 2, 1, ",)");
    while (take(at, ",")) {
        bool known = option(at, out, "prev", 3);
        ASSERT(known);
    }
}

static void parse_range(const char **at, struct buf *out)
{
    parse_interval(at, out, 2, 1, ",)");
    while (take(at, ",")) {
        bool known = option(at, out, "limit", 3) || option(at, out, "rev", 4) || option(at, out, "order", 5) ||
                     option(at, out, "target", 6) || option(at, out, "local", 7) || option(at, out, "keys", 8) ||
                     option(at, out, "count", 9) || option(at, out, "minmod", 10) || option(at, out, "maxmod", 11) ||
                     option(at, out, "mincreate", 12) || option(at, out, "maxcreate", 13);
        ASSERT(known);
    }
}

static void parse_compare(const char **at, struct buf *out)
{
    static const char *const TARGETS[] = {"ver(", "create(", "mod(", "val(", "lease("};
    static const uint32_t FIELDS[] = {4, 5, 6, 7, 8};
    uint32_t target = 0;
    while (target < 5 && !take(at, TARGETS[target])) target++;
    ASSERT(target < 5);
    buf_put_pb_varint(out, 2, target);
    parse_interval(at, out, 64, 3, ")");
    take(at, ")");
    uint32_t result = take(at, "!=") ? 3 : take(at, "=") ? 0 : take(at, ">") ? 1 : 2;
    if (result == 2) take(at, "<");
    buf_put_pb_varint(out, 1, result);
    if (FIELDS[target] == 7) buf_put_pb_bytes(out, 7, take_until(at, " }"));
    else buf_put_pb_varint(out, FIELDS[target], (uint64_t)take_number(at));
}

static void parse_txn(const char **at, struct buf *out);

static void put_message(struct buf *out, uint32_t field, struct buf *message)
{
    buf_put_pb_bytes(out, field, buf_slice(message));
    buf_deinit(message);
}

static void parse_operation(const char **at, struct buf *out)
{
    struct buf body;
    buf_init(&body);
    uint32_t kind = take(at, "get(") ? 1 : take(at, "put(") ? 2 : take(at, "del(") ? 3 : take(at, "txn{") ? 4 : 0;
    if (kind == 1) parse_range(at, &body);
    if (kind == 2) parse_put(at, &body);
    if (kind == 3) parse_delete(at, &body);
    if (kind == 4) parse_txn(at, &body);
    if (kind == 0) ASSERT(take(at, "none"));
    else *at += 1; /* ")" or "}" */
    if (kind != 0) put_message(out, kind, &body);
    buf_deinit(&body);
}

static void parse_txn(const char **at, struct buf *out)
{
    uint32_t field = 0;
    for (;;) {
        while (take(at, " ")) {}
        if (**at == '\0' || **at == '}') return;
        if (take(at, "if ")) field = 1;
        else if (take(at, "then")) field = 2;
        else if (take(at, "else")) field = 3;
        else {
            struct buf element;
            buf_init(&element);
            if (field == 1) parse_compare(at, &element);
            else parse_operation(at, &element);
            put_message(out, field, &element);
        }
    }
}

static struct buf build(const char *text, void (*parse)(const char **at, struct buf *out))
{
    struct buf buf;
    buf_init(&buf);
    buf_reserve(&buf, 1); /* an empty message is bytes too */
    parse(&text, &buf);
    ASSERT(*text == '\0');
    return buf;
}
struct buf kv_text_put(const char *text) { return build(text, parse_put); }
struct buf kv_text_delete(const char *text) { return build(text, parse_delete); }
struct buf kv_text_range(const char *text) { return build(text, parse_range); }
struct buf kv_text_txn(const char *text) { return build(text, parse_txn); }

/* --- responses ------------------------------------------------------------------------------------------------------------ */

static void say_header(struct buf *out, const Etcdserverpb__ResponseHeader *header)
{
    if (header == NULL) return;
    ASSERT(header->cluster_id == 0 && header->member_id == 0 && header->raft_term == 0);
    buf_printf(out, "@%lld", (long long)header->revision);
}

static void say_kvs(struct buf *out, Mvccpb__KeyValue **kvs, size_t count)
{
    buf_printf(out, "{");
    for (size_t i = 0; i < count; i++) {
        const Mvccpb__KeyValue *kv = kvs[i];
        buf_printf(out, "%s%.*s=%.*s/%lld.%lld.%lld", i == 0 ? "" : " ", (int)kv->key.len, (const char *)kv->key.data,
                   (int)kv->value.len, kv->value.len == 0 ? "" : (const char *)kv->value.data,
                   (long long)kv->create_revision, (long long)kv->mod_revision, (long long)kv->version);
        if (kv->lease != 0) buf_printf(out, "/l%lld", (long long)kv->lease);
    }
    buf_printf(out, "}");
}

static void say_range(struct buf *out, const Etcdserverpb__RangeResponse *response)
{
    buf_printf(out, "get");
    say_header(out, response->header);
    say_kvs(out, response->kvs, response->n_kvs);
    buf_printf(out, "%s count=%lld", response->more ? " more" : "", (long long)response->count);
}

static void say_put(struct buf *out, const Etcdserverpb__PutResponse *response)
{
    Mvccpb__KeyValue *previous = response->prev_kv;
    buf_printf(out, "put");
    say_header(out, response->header);
    say_kvs(out, &previous, previous != NULL);
    if (response->lease != 0 || response->ttl != 0) buf_printf(out, "/l%lld/t%lld", (long long)response->lease, (long long)response->ttl);
}

static void say_delete(struct buf *out, const Etcdserverpb__DeleteRangeResponse *response)
{
    buf_printf(out, "del");
    say_header(out, response->header);
    buf_printf(out, " n=%lld", (long long)response->deleted);
    say_kvs(out, response->prev_kvs, response->n_prev_kvs);
}

static void say_txn(struct buf *out, const Etcdserverpb__TxnResponse *response)
{
    buf_printf(out, response->succeeded ? "yes" : "no");
    say_header(out, response->header);
    buf_printf(out, "[");
    for (size_t i = 0; i < response->n_responses; i++) {
        const Etcdserverpb__ResponseOp *op = response->responses[i];
        if (i > 0) buf_printf(out, " ");
        switch ((int)op->response_case) {
        case 1: say_range(out, op->response_range); break;
        case 2: say_put(out, op->response_put); break;
        case 3: say_delete(out, op->response_delete_range); break;
        case 4: say_txn(out, op->response_txn); break;
        default: buf_printf(out, "unset"); break;
        }
    }
    buf_printf(out, "]");
}

typedef void kv_text_say_fn(struct buf *out, const ProtobufCMessage *message);
static void say_range_message(struct buf *out, const ProtobufCMessage *m) { say_range(out, (const void *)m); }
static void say_put_message(struct buf *out, const ProtobufCMessage *m) { say_put(out, (const void *)m); }
static void say_delete_message(struct buf *out, const ProtobufCMessage *m) { say_delete(out, (const void *)m); }
static void say_txn_message(struct buf *out, const ProtobufCMessage *m) { say_txn(out, (const void *)m); }

static struct buf describe(struct slice bytes, const ProtobufCMessageDescriptor *descriptor, kv_text_say_fn *say)
{
    struct buf out;
    buf_init(&out);
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, NULL, bytes.size, bytes.data);
    ASSERT(message != NULL);
    say(&out, message);
    buf_put_u8(&out, 0);
    protobuf_c_message_free_unpacked(message, NULL);
    return out;
}
struct buf kv_text_of_range(struct slice response)
{
    return describe(response, &etcdserverpb__range_response__descriptor, say_range_message);
}
struct buf kv_text_of_put(struct slice response)
{
    return describe(response, &etcdserverpb__put_response__descriptor, say_put_message);
}
struct buf kv_text_of_delete(struct slice response)
{
    return describe(response, &etcdserverpb__delete_range_response__descriptor, say_delete_message);
}
struct buf kv_text_of_txn(struct slice response)
{
    return describe(response, &etcdserverpb__txn_response__descriptor, say_txn_message);
}
