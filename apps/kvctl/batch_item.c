/* batch_item: see the header. */
#include "batch_item.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_command.h"
#include "kv_request.h"
#include "print.h"
#include "print_json.h"
#include "print_lease.h"
#include "print_message.h"
#include "words.h"

enum op_kind { OP_GET, OP_PUT, OP_DEL, OP_COMPACTION, OP_GRANT, OP_REVOKE, OP_TXN };
struct batch_op {
    enum op_kind kind;
    const char *name, *second; /* second word; NULL = one */
    const char *path;
    enum kvd_policy policy;
    const ProtobufCMessageDescriptor *type;
    int (*flags)(struct ctl_options *options, struct flag *out_flags); /* NULL = none */
};
static const struct batch_op OPS[] = {
    {OP_GET, "get", NULL, "/etcdserverpb.KV/Range", KVD_POLICY_READ, &etcdserverpb__range_response__descriptor, kv_request_get_flags},
    {OP_PUT, "put", NULL, "/etcdserverpb.KV/Put", KVD_POLICY_WRITE, &etcdserverpb__put_response__descriptor, kv_request_put_flags},
    {OP_DEL, "del", NULL, "/etcdserverpb.KV/DeleteRange", KVD_POLICY_WRITE, &etcdserverpb__delete_range_response__descriptor, kv_request_del_flags},
    {OP_COMPACTION, "compaction", NULL, "/etcdserverpb.KV/Compact", KVD_POLICY_WRITE, &etcdserverpb__compaction_response__descriptor,
     kv_command_compaction_flags},
    {OP_GRANT, "lease", "grant", "/etcdserverpb.Lease/LeaseGrant", KVD_POLICY_WRITE, &etcdserverpb__lease_grant_response__descriptor, NULL},
    {OP_REVOKE, "lease", "revoke", "/etcdserverpb.Lease/LeaseRevoke", KVD_POLICY_WRITE, &etcdserverpb__lease_revoke_response__descriptor, NULL},
};
static const struct batch_op TXN_OP = {OP_TXN, "txn", NULL, "/etcdserverpb.KV/Txn", KVD_POLICY_WRITE, &etcdserverpb__txn_response__descriptor, NULL};
#define OP_COUNT (sizeof OPS / sizeof OPS[0])

void batch_item_init(struct batch_item *item)
{
    *item = (struct batch_item){.line = 0};
    buf_init(&item->request);
    buf_init(&item->error);
    buf_init(&item->response);
}

void batch_item_deinit(struct batch_item *item)
{
    buf_deinit(&item->request);
    buf_deinit(&item->error);
    buf_deinit(&item->response);
}

static void reset(struct batch_item *item, uint64_t line)
{
    struct buf request = item->request, error = item->error, response = item->response;
    *item = (struct batch_item){.line = line, .request = request, .error = error, .response = response};
    buf_clear(&item->request);
    buf_clear(&item->error);
    buf_clear(&item->response);
}

void batch_item_fail(struct batch_item *item, uint64_t line, const char *why)
{
    reset(item, line);
    item->is_done = true;
    item->error_kind = "INVALID";
    buf_printf(&item->error, "%s", why);
}

void batch_item_txn(struct batch_item *item, uint64_t line, const struct txn_build *build)
{
    reset(item, line);
    item->op = &TXN_OP;
    item->has_ttl = build->has_ttl;
    buf_put_slice(&item->request, buf_slice(&build->request));
}

/* --- the request ------------------------------------------------------------------------------------------------------------- */

static const struct batch_op *find_op(int count, char **words)
{
    for (size_t i = 0; i < OP_COUNT; i++)
        if (strcmp(words[0], OPS[i].name) == 0 && (OPS[i].second == NULL || (count > 1 && strcmp(words[1], OPS[i].second) == 0))) return &OPS[i];
    return NULL;
}

/* A single number as field 1 of the request. */
static enum ctl_exit encode_number(struct batch_item *item, int count, const char **words, int base, const char *what)
{
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "%s%s%s needs 1 argument: %s", item->op->name, item->op->second == NULL ? "" : " ",
                                    item->op->second == NULL ? "" : item->op->second, what);
    char *end = NULL;
    errno = 0;
    item->lease = strtoll(words[0], &end, base);
    if (end == words[0] || *end != '\0' || errno != 0) return ctl_fail(CTL_BAD_ARGS, "\"%s\" is not %s", words[0], what);
    buf_put_pb_varint(&item->request, 1, (uint64_t)item->lease);
    return CTL_OK;
}

static enum ctl_exit encode(struct batch_item *item, const struct ctl_options *options, int count, const char **words)
{
    switch (item->op->kind) {
    case OP_GET: return kv_request_get_whole(options, count, words, &item->request);
    case OP_PUT: return kv_request_put(options, count, words, NULL, &item->request);
    case OP_DEL: return kv_request_del(options, count, words, &item->request);
    case OP_COMPACTION: {
        enum ctl_exit code = encode_number(item, count, words, 10, "a revision");
        if (options->physical) buf_put_pb_varint(&item->request, 2, 1);
        return code;
    }
    case OP_GRANT: return encode_number(item, count, words, 10, "a TTL in seconds");
    case OP_TXN: break;
    case OP_REVOKE: return encode_number(item, count, words, 16, "a lease ID in hexadecimal digits");
    }
    ASSERT(false);
    return CTL_ERROR;
}

/* Key and range_end out of the request, where they are fields 1 and 2. */
static void find_keys(struct batch_item *item)
{
    struct reader reader = reader_make(buf_slice(&item->request));
    struct pb_field field;
    item->start = item->end = slice_make("", 0);
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) item->start = field.bytes;
        if (field.number == 2 && item->op->kind != OP_PUT) item->end = field.bytes;
    }
    item->hash = 14695981039346656037u;
    for (size_t i = 0; i < item->start.size; i++) item->hash = (item->hash ^ item->start.data[i]) * 1099511628211u;
}

void batch_item_parse(struct batch_item *item, uint64_t line, int count, char **words)
{
    struct ctl_options options = {.prefix = false};
    struct flag flags[KV_REQUEST_FLAGS_MAX];
    const char *arguments[WORDS_MAX + 1];
    const struct flags_options how = {.environment_prefix = NULL};
    struct flags_result result = {.arguments = arguments};
    reset(item, line);
    ctl_fail_into(&item->error);
    const struct batch_op *op = find_op(count, words);
    item->op = op;
    int skip = op == NULL || op->second == NULL ? 0 : 1, flag_count = op == NULL || op->flags == NULL ? 0 : op->flags(&options, flags);
    enum ctl_exit code = CTL_OK;
    if (op == NULL)
        code = ctl_fail(CTL_INVALID_INPUT, "\"%s\" is no command of a batch: they are put, get, del, txn, compaction, lease grant and lease revoke", words[0]);
    else if (!flags_parse(flags, flag_count, count - skip, words + skip, &how, &result))
        code = ctl_fail(CTL_INVALID_INPUT, "%s", result.error);
    else
        code = encode(item, &options, result.arguments_count, arguments);
    ctl_fail_into(NULL);
    item->print_value_only = options.print_value_only;
    item->has_ttl = op != NULL && op->kind == OP_PUT && options.ttl != NULL;
    if (code == CTL_OK) {
        if (op->kind <= OP_DEL) find_keys(item);
        return;
    }
    item->op = NULL;
    item->error_kind = "INVALID";
    item->is_done = true;
}

const char *batch_item_path(const struct batch_item *item) { return item->op->path; }
enum kvd_policy batch_item_policy(const struct batch_item *item) { return item->op->policy; }
size_t batch_item_bytes(const struct batch_item *item) { return item->request.size + item->response.size; }

/* --- order ------------------------------------------------------------------------------------------------------------------- */

static bool is_open(const struct batch_item *item) { return item->end.size == 1 && item->end.data[0] == '\0'; }

/* Whether a key lies below the end of the item's keys. */
static bool is_below_end(struct slice key, const struct batch_item *item)
{
    if (item->end.size == 0) return slice_compare(key, item->start) <= 0;
    return is_open(item) || slice_compare(key, item->end) < 0;
}

bool batch_item_blocks(const struct batch_item *first, const struct batch_item *second)
{
    if (first->is_done || first->op == NULL || second->op == NULL) return false;
    if (first->op->kind > OP_DEL || second->op->kind > OP_DEL) return true;
    if (first->op->kind == OP_GET && second->op->kind == OP_GET) return false;
    if (first->end.size == 0 && second->end.size == 0) return first->hash == second->hash && slice_equal(first->start, second->start);
    return is_below_end(first->start, second) && is_below_end(second->start, first);
}

/* --- the outcome ------------------------------------------------------------------------------------------------------------- */

/* gRPC's names of its codes, by number. */
static const char *const CODE_NAMES[] = {"OK",           "CANCELLED",        "UNKNOWN",           "INVALID_ARGUMENT",    "DEADLINE_EXCEEDED", "NOT_FOUND",
                                         "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",   "OUT_OF_RANGE",
                                         "UNIMPLEMENTED", "INTERNAL",        "UNAVAILABLE",       "DATA_LOSS",           "UNAUTHENTICATED"};

void batch_item_take(struct batch_item *item, const struct calls_result *result)
{
    ASSERT((size_t)result->code < sizeof CODE_NAMES / sizeof CODE_NAMES[0]);
    item->is_done = true;
    if (result->code == ERR_CODE_OK) {
        buf_put_slice(&item->response, result->body);
        return;
    }
    item->error_kind = CODE_NAMES[result->code];
    item->is_unknown = result->is_unknown;
    const char *text = result->code == ERR_CODE_DEADLINE_EXCEEDED ? "context deadline exceeded" : result->text;
    buf_printf(&item->error, "%s", result->is_unreachable ? "no endpoint could be reached" : text[0] == '\0' ? "the server gave no reason" : text);
    if (result->is_unknown) buf_printf(&item->error, " (the request may have been carried out, or may still be)");
}

static void print_text(const struct batch_item *item, struct ctl *ctl, const ProtobufCMessage *message)
{
    ctl->options.print_value_only = item->print_value_only;
    switch (item->op->kind) {
    case OP_GET: print_range(ctl, (const Etcdserverpb__RangeResponse *)message); break;
    case OP_PUT: print_put(ctl, (const Etcdserverpb__PutResponse *)message); break;
    case OP_DEL: print_del(ctl, (const Etcdserverpb__DeleteRangeResponse *)message); break;
    case OP_COMPACTION: printf("compacted revision %" PRId64 "\n", item->lease); break;
    case OP_GRANT: print_lease_grant(ctl, (const Etcdserverpb__LeaseGrantResponse *)message); break;
    case OP_TXN: print_txn(ctl, (const Etcdserverpb__TxnResponse *)message); break;
    case OP_REVOKE: print_lease_revoke(ctl, item->lease, (const Etcdserverpb__LeaseRevokeResponse *)message); break;
    }
}

static void print_object(const struct batch_item *item, const ProtobufCMessage *message)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_number(&json, "line", item->line);
    json_bool(&json, "ok", item->error_kind == NULL);
    bool is_txn = item->op != NULL && item->op->kind == OP_TXN;
    if (message != NULL && is_txn) print_json_put_txn(&json, "result", (const Etcdserverpb__TxnResponse *)message);
    else if (message != NULL) print_message_json(&json, "result", message);
    if (item->error_kind != NULL) {
        struct buf text;
        buf_init(&text);
        buf_put_slice(&text, buf_slice(&item->error));
        buf_put_u8(&text, '\0');
        json_string(&json, "code", item->error_kind);
        json_string(&json, "error", (const char *)text.blob->data);
        json_true(&json, "unknown", item->is_unknown);
        buf_deinit(&text);
    }
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

void batch_item_print(const struct batch_item *item, struct ctl *ctl, bool is_quiet)
{
    ProtobufCMessage *message = NULL;
    bool is_good = item->error_kind == NULL;
    if (is_good && is_quiet) return;
    if (is_good) message = ctl_unpack(item->op->type, buf_slice(&item->response));
    if (is_good && message == NULL) {
        ctl_fail(CTL_ERROR, "line %" PRIu64 ": the answer is not a %s", item->line, item->op->type->short_name);
    } else if (ctl->format == CTL_JSON) {
        print_object(item, message);
    } else if (is_good) {
        print_text(item, ctl, message);
    } else {
        ctl_fail(CTL_ERROR, "line %" PRIu64 ": %.*s", item->line, (int)item->error.size, item->error.size == 0 ? "" : (const char *)item->error.blob->data);
    }
    if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
}
