/* kv_history_json: see kv_history_json.h. */
#include "lib/kv_history_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static const char *const outcomes[] = {"ok", "refused", "unknown", "compacted", "future", "no lease", "lease exists", "no space"}; /* as enum kv_outcome */
static const char *const targets[] = {"version", "create", "mod", "value"};                /* as enum kv_target */
static const char *const relations[] = {"=", ">", "<", "!="};                              /* as enum kv_relation */
static const char *const sorts[] = {"none", "ascend", "descend"};                         /* as enum kv_sort */
static const char *const sort_targets[] = {"key", "version", "create", "mod", "value"};   /* as enum kv_sort_target */
static const char *const lease_ops[] = {"grant", "revoke", "expire", "lives", "alarm", "disarm"}; /* as enum kv_op_kind, from KV_OP_GRANT on */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- writing --- */

static json_t *key_name(uint32_t key) { return json_sprintf("k%02" PRIu32, key); }
static json_t *value_name(uint64_t token) { return token == 0 ? json_null() : json_sprintf("%016" PRIx64, token); }

static void put_interval(json_t *object, const struct kv_step *step)
{
    json_object_set_new(object, "key", key_name(step->first));
    if (step->end != step->first + 1) json_object_set_new(object, "range_end", key_name(step->end));
}

static void put_number(json_t *object, const char *name, int64_t number)
{
    if (number != 0) json_object_set_new(object, name, json_integer((json_int_t)number));
}

static void put_range(json_t *object, const struct kv_step *step, bool serializable)
{
    put_interval(object, step);
    put_number(object, "limit", step->limit);
    put_number(object, "revision", step->at_revision);
    put_number(object, "min_mod", step->min_mod);
    put_number(object, "max_mod", step->max_mod);
    put_number(object, "min_create", step->min_create);
    put_number(object, "max_create", step->max_create);
    if (step->sort != KV_SORT_NONE) json_object_set_new(object, "sort", json_string(sorts[step->sort]));
    if (step->sort_target != KV_SORT_KEY) json_object_set_new(object, "sort_target", json_string(sort_targets[step->sort_target]));
    if (step->keys_only) json_object_set_new(object, "keys_only", json_true());
    if (step->count_only) json_object_set_new(object, "count_only", json_true());
    if (serializable) json_object_set_new(object, "serializable", json_true());
}

static json_t *request_of(const struct kv_step *step, bool serializable)
{
    json_t *inner = json_object();
    switch (step->kind) {
    case KV_STEP_RANGE:
        put_range(inner, step, serializable);
        return json_pack("{so}", "range", inner);
    case KV_STEP_PUT:
        json_object_set_new(inner, "key", key_name(step->first));
        json_object_set_new(inner, "value", step->token == 0 ? json_string("") : value_name(step->token)); /* of a lock's place */
        put_number(inner, "lease", step->lease);
        put_number(inner, "ttl", step->ttl);
        if (step->wants_previous) json_object_set_new(inner, "prev_kv", json_true());
        return json_pack("{so}", "put", inner);
    case KV_STEP_DELETE:
        put_interval(inner, step);
        if (step->wants_previous) json_object_set_new(inner, "prev_kv", json_true());
        return json_pack("{so}", "delete", inner);
    }
    return inner;
}

static json_t *response_of(const struct kv_step *step)
{
    json_t *pairs = json_array(), *object = json_object();
    for (uint32_t i = 0; i < step->pair_count; i++) {
        const struct kv_pair *pair = &step->pairs[i];
        json_t *item = json_pack("[o o I I I]", key_name(pair->key), value_name(pair->token), (json_int_t)pair->create_revision,
                                 (json_int_t)pair->mod_revision, (json_int_t)pair->version);
        if (pair->lease != 0) json_array_append_new(item, json_integer((json_int_t)pair->lease));
        json_array_append_new(pairs, item);
    }
    json_object_set_new(object, step->kind == KV_STEP_RANGE ? "kvs" : "prev_kvs", pairs);
    if (step->kind == KV_STEP_RANGE) json_object_set_new(object, "count", json_integer(step->count));
    if (step->kind == KV_STEP_RANGE && step->more) json_object_set_new(object, "more", json_true());
    if (step->kind == KV_STEP_DELETE) json_object_set_new(object, "deleted", json_integer(step->count));
    put_number(object, "lease", step->made_lease);
    put_number(object, "ttl", step->made_ttl);
    return object;
}

static json_t *branch_of(const struct kv_step *steps, uint32_t count, bool is_request)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) json_array_append_new(list, is_request ? request_of(&steps[i], false) : response_of(&steps[i]));
    return list;
}

static json_t *txn_of(const struct kv_op *op)
{
    json_t *compares = json_array();
    for (uint32_t i = 0; i < op->compare_count; i++) {
        const struct kv_compare *compare = &op->compares[i];
        json_t *object = json_pack("{so ss ss}", "key", key_name(compare->key), "target", targets[compare->target], "result",
                                   relations[compare->relation]);
        if (compare->target == KV_TARGET_VALUE) {
            json_object_set_new(object, "value", value_name(compare->token));
        } else {
            json_object_set_new(object, "number", json_integer(compare->number));
        }
        json_array_append_new(compares, object);
    }
    return json_pack("{s{so so so sb}}", "txn", "compare", compares, "success", branch_of(op->success, op->success_count, true), "failure",
                     branch_of(op->failure, op->failure_count, true), "serializable", op->serializable);
}

static json_t *lease_request_of(const struct kv_op *op)
{
    json_t *inner = json_object();
    put_number(inner, "id", op->lease);
    put_number(inner, "ttl", op->ttl);
    put_number(inner, "granted", (int64_t)op->granted_place);
    return json_pack("{so}", lease_ops[op->kind - KV_OP_GRANT], inner);
}

static void put_request(json_t *line, const struct kv_op *op)
{
    json_t *request;
    if (op->kind == KV_OP_COMPACT) {
        request = json_pack("{s{sI}}", "compact", "revision", (json_int_t)op->revision);
    } else if (op->kind >= KV_OP_GRANT) {
        request = lease_request_of(op);
    } else if (op->kind == KV_OP_TXN) {
        request = txn_of(op);
    } else {
        request = request_of(&op->success[0], op->serializable);
    }
    json_object_set_new(line, "request", request);
}

static void put_made(json_t *line, const struct kv_op *op)
{
    json_t *made = json_array();
    for (uint32_t i = 0; i < KV_HISTORY_STEPS * 2 && op->made_leases[i] != 0; i++) json_array_append_new(made, json_integer((json_int_t)op->made_leases[i]));
    if (json_array_size(made) > 0) json_object_set(line, "made", made);
    json_decref(made);
}

static void put_response(json_t *line, const struct kv_op *op)
{
    if (op->outcome != KV_DONE) return;
    json_object_set_new(line, "revision", json_integer(op->kind == KV_OP_COMPACT ? op->answer_revision : op->revision));
    if (op->kind == KV_OP_COMPACT) return;
    json_t *response;
    if (op->kind >= KV_OP_GRANT) {
        response = json_pack("{sI sI}", "granted_ttl", (json_int_t)op->granted_ttl, "ttl", (json_int_t)op->lives_s);
        json_t *keys = json_array();
        for (uint32_t key = 0; key < KV_HISTORY_KEYS; key++) {
            if ((op->lease_keys >> key & 1) != 0) json_array_append_new(keys, key_name(key));
        }
        json_object_set_new(response, "keys", keys);
    } else if (op->kind == KV_OP_TXN) {
        const struct kv_step *steps = op->succeeded ? op->success : op->failure;
        response = json_pack("{sb so}", "succeeded", op->succeeded, "responses",
                             branch_of(steps, op->succeeded ? op->success_count : op->failure_count, false));
    } else {
        response = response_of(&op->success[0]);
    }
    json_object_set_new(line, "response", response);
}

void kv_history_json_write(const struct kv_history *history, FILE *out)
{
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_op *op = &history->ops[i];
        json_t *end = op->end == UINT64_MAX ? json_null() : json_integer((json_int_t)op->end);
        json_t *line = json_pack("{sI sI sI so ss}", "process", (json_int_t)op->client, "server", (json_int_t)op->server, "call",
                                 (json_int_t)op->start, "return", end, "outcome", outcomes[op->outcome]);
        ASSERT(line != NULL);
        if (op->place > 0) json_object_set_new(line, "place", json_integer((json_int_t)op->place));
        put_request(line, op);
        put_made(line, op);
        put_response(line, op);
        json_dumpf(line, out, JSON_COMPACT);
        fputc('\n', out);
        json_decref(line);
    }
}

/* --- reading: names → numbers --- */

struct reader {
    char *keys[KV_HISTORY_KEYS]; /* sorted, once all are known */
    size_t key_count;
    json_t *values;     /* text → token: as the texts are ordered */
    json_t *lines;
    bool has_places;
    const char *reason; /* NULL = all is understood so far */
};

static bool refuse(struct reader *reader, const char *reason)
{
    if (reader->reason == NULL) reader->reason = reason;
    return false;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void add_key(struct reader *reader, const json_t *name)
{
    if (!json_is_string(name)) return;
    for (size_t i = 0; i < reader->key_count; i++) {
        if (strcmp(reader->keys[i], json_string_value(name)) == 0) return;
    }
    if (reader->key_count == KV_HISTORY_KEYS) {
        (void)refuse(reader, "too many different keys");
        return;
    }
    reader->keys[reader->key_count++] = alloc_string(json_string_value(name));
}

static void add_value(struct reader *reader, const json_t *value)
{
    if (json_is_string(value)) json_object_set_new(reader->values, json_string_value(value), json_null());
}

/* The keys of which something is said, and the values; the bounds of an interval are none of them. */
static void gather(struct reader *reader, json_t *request)
{
    size_t i;
    json_t *item, *txn = json_object_get(request, "txn");
    add_key(reader, json_object_get(json_object_get(request, "put"), "key"));
    add_value(reader, json_object_get(json_object_get(request, "put"), "value"));
    if (json_object_get(json_object_get(request, "range"), "range_end") == NULL) add_key(reader, json_object_get(json_object_get(request, "range"), "key"));
    if (json_object_get(json_object_get(request, "delete"), "range_end") == NULL) add_key(reader, json_object_get(json_object_get(request, "delete"), "key"));
    json_array_foreach(json_object_get(txn, "compare"), i, item)
    {
        add_key(reader, json_object_get(item, "key"));
        add_value(reader, json_object_get(item, "value"));
    }
    json_array_foreach(json_object_get(txn, "success"), i, item) gather(reader, item);
    json_array_foreach(json_object_get(txn, "failure"), i, item) gather(reader, item);
}

static void gather_answers(struct reader *reader, json_t *response)
{
    size_t i;
    json_t *item;
    for (int which = 0; which < 2; which++) {
        json_array_foreach(json_object_get(response, which == 0 ? "kvs" : "prev_kvs"), i, item)
        {
            add_key(reader, json_array_get(item, 0));
            add_value(reader, json_array_get(item, 1));
        }
    }
    json_array_foreach(json_object_get(response, "keys"), i, item) add_key(reader, item);
    json_array_foreach(json_object_get(response, "responses"), i, item) gather_answers(reader, item);
}

/* The number of the first key that is not before this one. */
static uint32_t key_from(const struct reader *reader, const json_t *name)
{
    uint32_t at = 0;
    const char *text = json_is_string(name) ? json_string_value(name) : "";
    while (at < reader->key_count && strcmp(reader->keys[at], text) < 0) at++;
    return at;
}

/* Behind gathering. */
static void number_values(struct reader *reader)
{
    size_t count = 0;
    const char *name, **names = alloc_zero(json_object_size(reader->values) + 1, sizeof(char *));
    json_t *value;
    json_object_foreach(reader->values, name, value) names[count++] = name;
    qsort(names, count, sizeof(char *), by_text);
    for (size_t i = 0; i < count; i++) json_object_set_new(reader->values, names[i], json_integer((json_int_t)i + 1));
    alloc_free(names);
}

static uint64_t token_of(const struct reader *reader, const json_t *value)
{
    return json_is_string(value) ? (uint64_t)json_integer_value(json_object_get(reader->values, json_string_value(value))) : 0;
}

static int64_t number(const json_t *object, const char *name) { return (int64_t)json_integer_value(json_object_get(object, name)); }
static bool flag(const json_t *object, const char *name) { return json_is_true(json_object_get(object, name)); }

/* False: none of them. */
static bool choose(const json_t *text, const char *const *among, size_t count, int *out_place)
{
    for (size_t i = 0; i < count && json_is_string(text); i++) {
        if (strcmp(among[i], json_string_value(text)) != 0) continue;
        *out_place = (int)i;
        return true;
    }
    return false;
}

/* --- reading: operations --- */

static bool read_range(struct reader *reader, const json_t *range, struct kv_step *step)
{
    const json_t *sort = json_object_get(range, "sort"), *sort_target = json_object_get(range, "sort_target");
    int which = 0, what = 0;
    if (sort != NULL && !choose(sort, sorts, COUNT(sorts), &which)) return refuse(reader, "a sort that is none");
    if (sort_target != NULL && !choose(sort_target, sort_targets, COUNT(sort_targets), &what)) return refuse(reader, "a sort by nothing known");
    step->sort = (enum kv_sort)which;
    step->sort_target = (enum kv_sort_target)what;
    step->limit = number(range, "limit");
    step->at_revision = number(range, "revision");
    step->min_mod = number(range, "min_mod");
    step->max_mod = number(range, "max_mod");
    step->min_create = number(range, "min_create");
    step->max_create = number(range, "max_create");
    step->keys_only = flag(range, "keys_only");
    step->count_only = flag(range, "count_only");
    return true;
}

static bool read_step(struct reader *reader, const json_t *request, struct kv_step *step, bool *out_serializable)
{
    const json_t *put = json_object_get(request, "put"), *delete = json_object_get(request, "delete");
    const json_t *inner = put != NULL ? put : delete != NULL ? delete : json_object_get(request, "range");
    const json_t *end = json_object_get(inner, "range_end");
    if (!json_is_string(json_object_get(inner, "key"))) return refuse(reader, "a request without its key");
    step->kind = put != NULL ? KV_STEP_PUT : delete != NULL ? KV_STEP_DELETE : KV_STEP_RANGE;
    step->first = key_from(reader, json_object_get(inner, "key"));
    step->end = json_is_string(end) ? key_from(reader, end) : step->first + 1;
    if (step->end < step->first) step->end = step->first;
    step->token = token_of(reader, json_object_get(inner, "value"));
    step->lease = number(inner, "lease");
    step->ttl = number(inner, "ttl");
    if (!read_range(reader, inner, step)) return false;
    step->wants_previous = flag(inner, "prev_kv");
    *out_serializable = flag(inner, "serializable");
    bool has_value = put == NULL || step->token != 0 || json_is_string(json_object_get(inner, "value"));
    return has_value || refuse(reader, "a put without its value");
}

static bool read_answer(struct reader *reader, const json_t *response, struct kv_step *step)
{
    const json_t *pairs = json_object_get(response, step->kind == KV_STEP_RANGE ? "kvs" : "prev_kvs");
    step->count = number(response, step->kind == KV_STEP_RANGE ? "count" : "deleted");
    step->more = flag(response, "more");
    step->made_lease = number(response, "lease");
    step->made_ttl = number(response, "ttl");
    step->pair_count = (uint32_t)json_array_size(pairs);
    if (step->pair_count == 0) return true;
    step->pairs = alloc_zero(step->pair_count, sizeof(struct kv_pair));
    for (uint32_t i = 0; i < step->pair_count; i++) {
        const json_t *pair = json_array_get(pairs, i);
        if (json_array_size(pair) != 5 && json_array_size(pair) != 6) return refuse(reader, "a pair is [key, value, create, mod, version, lease]");
        step->pairs[i] = (struct kv_pair){.key = key_from(reader, json_array_get(pair, 0)), .token = token_of(reader, json_array_get(pair, 1)),
                                          .create_revision = (int64_t)json_integer_value(json_array_get(pair, 2)),
                                          .mod_revision = (int64_t)json_integer_value(json_array_get(pair, 3)),
                                          .version = (int64_t)json_integer_value(json_array_get(pair, 4)),
                                          .lease = (int64_t)json_integer_value(json_array_get(pair, 5))};
    }
    return true;
}

static bool read_branch(struct reader *reader, const json_t *list, struct kv_step *steps, uint32_t *out_count)
{
    bool serializable;
    if (json_array_size(list) > KV_HISTORY_STEPS) return refuse(reader, "too many steps in a transaction");
    *out_count = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < *out_count; i++) {
        if (!read_step(reader, json_array_get(list, i), &steps[i], &serializable)) return false;
    }
    return true;
}

static bool read_compare(struct reader *reader, const json_t *object, struct kv_compare *compare)
{
    int target, relation;
    if (!choose(json_object_get(object, "target"), targets, COUNT(targets), &target)) return refuse(reader, "a compare of nothing known");
    if (!choose(json_object_get(object, "result"), relations, COUNT(relations), &relation)) return refuse(reader, "a compare by nothing known");
    *compare = (struct kv_compare){.key = key_from(reader, json_object_get(object, "key")), .target = (enum kv_target)target,
                                   .relation = (enum kv_relation)relation, .number = number(object, "number"),
                                   .token = token_of(reader, json_object_get(object, "value"))};
    return true;
}

static bool read_txn(struct reader *reader, const json_t *txn, const json_t *response, struct kv_op *op)
{
    const json_t *compares = json_object_get(txn, "compare"), *answers = json_object_get(response, "responses");
    op->kind = KV_OP_TXN;
    op->serializable = flag(txn, "serializable");
    if (json_array_size(compares) > KV_HISTORY_COMPARES) return refuse(reader, "too many compares in a transaction");
    op->compare_count = (uint32_t)json_array_size(compares);
    for (uint32_t i = 0; i < op->compare_count; i++) {
        if (!read_compare(reader, json_array_get(compares, i), &op->compares[i])) return false;
    }
    bool is_good = read_branch(reader, json_object_get(txn, "success"), op->success, &op->success_count) &&
                   read_branch(reader, json_object_get(txn, "failure"), op->failure, &op->failure_count);
    if (!is_good || op->outcome != KV_DONE) return is_good;
    op->succeeded = flag(response, "succeeded");
    struct kv_step *steps = op->succeeded ? op->success : op->failure;
    uint32_t count = op->succeeded ? op->success_count : op->failure_count;
    if (json_array_size(answers) != count) return refuse(reader, "not a response for each request of the branch");
    for (uint32_t i = 0; i < count; i++) {
        if (!read_answer(reader, json_array_get(answers, i), &steps[i])) return false;
    }
    return true;
}

static void read_lease(const struct reader *reader, const json_t *inner, const json_t *response, struct kv_op *op)
{
    size_t i;
    json_t *key;
    op->lease = number(inner, "id");
    op->ttl = number(inner, "ttl");
    op->granted_place = (uint64_t)number(inner, "granted");
    op->granted_ttl = number(response, "granted_ttl");
    op->lives_s = number(response, "ttl");
    json_array_foreach(json_object_get(response, "keys"), i, key) op->lease_keys |= UINT64_C(1) << (key_from(reader, key) % KV_HISTORY_KEYS);
}

static bool read_request(struct reader *reader, const json_t *line, struct kv_op *op)
{
    const json_t *request = json_object_get(line, "request"), *response = json_object_get(line, "response");
    const json_t *compact = json_object_get(request, "compact"), *txn = json_object_get(request, "txn");
    op->revision = number(line, "revision");
    if (compact != NULL) {
        op->kind = KV_OP_COMPACT;
        op->answer_revision = op->revision;
        op->revision = number(compact, "revision");
        return true;
    }
    if (txn != NULL) return read_txn(reader, txn, response, op);
    for (size_t i = 0; i < COUNT(lease_ops); i++) {
        const json_t *inner = json_object_get(request, lease_ops[i]);
        if (inner == NULL) continue;
        op->kind = (enum kv_op_kind)(KV_OP_GRANT + (int)i);
        read_lease(reader, inner, response, op);
        return true;
    }
    op->success_count = 1;
    if (!read_step(reader, request, &op->success[0], &op->serializable)) return false;
    op->kind = op->success[0].kind == KV_STEP_PUT ? KV_OP_PUT : op->success[0].kind == KV_STEP_DELETE ? KV_OP_DELETE : KV_OP_RANGE;
    return op->outcome != KV_DONE || read_answer(reader, response, &op->success[0]);
}

static bool read_made(struct reader *reader, const json_t *made, struct kv_op *op)
{
    if (json_array_size(made) > KV_HISTORY_STEPS * 2) return refuse(reader, "too many leases made by one operation");
    for (size_t i = 0; i < json_array_size(made); i++) op->made_leases[i] = (int64_t)json_integer_value(json_array_get(made, i));
    return true;
}

static bool read_op(struct reader *reader, const json_t *line, struct kv_op *op)
{
    int outcome;
    const json_t *end = json_object_get(line, "return");
    if (!choose(json_object_get(line, "outcome"), outcomes, COUNT(outcomes), &outcome)) return refuse(reader, "no outcome that is known");
    if (!json_is_integer(json_object_get(line, "call"))) return refuse(reader, "no moment of the call");
    op->outcome = (enum kv_outcome)outcome;
    op->client = (uint32_t)number(line, "process");
    op->server = (uint32_t)number(line, "server");
    if (number(line, "server") < 0 || number(line, "server") >= KV_HISTORY_SERVERS) return refuse(reader, "no number of a server");
    op->start = (uint64_t)number(line, "call");
    op->end = json_is_integer(end) && op->outcome != KV_UNKNOWN ? (uint64_t)json_integer_value(end) : UINT64_MAX;
    op->place = (uint64_t)number(line, "place");
    if (op->end < op->start) return refuse(reader, "a return before the call");
    return read_made(reader, json_object_get(line, "made"), op) && read_request(reader, line, op);
}

static int by_start(const void *a, const void *b)
{
    const struct kv_op *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static bool read_lines(struct reader *reader, FILE *in, size_t *out_line)
{
    char *text = NULL;
    size_t capacity = 0;
    json_error_t error;
    for (*out_line = 1; reader->reason == NULL && getline(&text, &capacity, in) >= 0; (*out_line)++) {
        if (text[0] == '#' || text[0] == '\n') continue;
        json_t *line = json_loads(text, 0, &error);
        if (!json_is_object(line)) {
            json_decref(line);
            (void)refuse(reader, "no JSON object");
            break;
        }
        gather(reader, json_object_get(line, "request"));
        gather_answers(reader, json_object_get(line, "response"));
        reader->has_places = reader->has_places || json_object_get(line, "place") != NULL;
        json_object_set_new(line, "#", json_integer((json_int_t)*out_line));
        json_array_append_new(reader->lines, line);
    }
    free(text);
    return reader->reason == NULL;
}

bool kv_history_json_read(FILE *in, struct kv_history *history, char *out_reason, size_t size)
{
    struct reader reader = {.values = json_object(), .lines = json_array()};
    size_t number_of_line = 0, i;
    json_t *line;
    bool is_good = read_lines(&reader, in, &number_of_line);
    qsort(reader.keys, reader.key_count, sizeof(char *), by_text);
    number_values(&reader);
    for (i = 0; is_good && i < json_array_size(reader.lines); i++) {
        line = json_array_get(reader.lines, i);
        struct kv_op empty = {.kind = KV_OP_RANGE};
        is_good = read_op(&reader, line, kv_history_add(history, &empty));
        if (!is_good) number_of_line = (size_t)number(line, "#");
    }
    if (history->count > 0) qsort(history->ops, history->count, sizeof(*history->ops), by_start);
    if (is_good && !reader.has_places) kv_history_place_by_revision(history);
    if (!is_good) snprintf(out_reason, size, "line %zu: %s", number_of_line, reader.reason);
    for (i = 0; i < reader.key_count; i++) alloc_free(reader.keys[i]);
    json_decref(reader.values);
    json_decref(reader.lines);
    return is_good;
}
