/* print_json: the messages' JSON. Names and order are those of the generated Go structs, which etcdctl prints as they are. */
#include "print_json.h"

#include "base/assert.h"
#include "json.h"

static struct slice bytes_of(ProtobufCBinaryData bytes) { return slice_make(bytes.data, bytes.len); }

void print_json_header(struct json *json, const char *name, const Etcdserverpb__ResponseHeader *header)
{
    if (header == NULL) return;
    json_open(json, name, '{');
    json_u64(json, "cluster_id", header->cluster_id);
    json_u64(json, "member_id", header->member_id);
    json_i64(json, "revision", header->revision);
    json_u64(json, "raft_term", header->raft_term);
    json_close(json, '}');
}

static void put_header(struct json *json, const Etcdserverpb__ResponseHeader *header)
{
    print_json_header(json, "header", header);
}

static void put_kv(struct json *json, const char *name, const Mvccpb__KeyValue *kv)
{
    ASSERT(kv != NULL);
    json_open(json, name, '{');
    json_bytes(json, "key", bytes_of(kv->key));
    json_i64(json, "create_revision", kv->create_revision);
    json_i64(json, "mod_revision", kv->mod_revision);
    json_i64(json, "version", kv->version);
    json_bytes(json, "value", bytes_of(kv->value));
    json_i64(json, "lease", kv->lease);
    json_close(json, '}');
}

static void put_kvs(struct json *json, const char *name, Mvccpb__KeyValue **kvs, size_t count)
{
    if (count == 0) return;
    json_open(json, name, '[');
    for (size_t i = 0; i < count; i++) put_kv(json, NULL, kvs[i]);
    json_close(json, ']');
}

static void put_range(struct json *json, const char *name, const Etcdserverpb__RangeResponse *response)
{
    json_open(json, name, '{');
    put_header(json, response->header);
    put_kvs(json, "kvs", response->kvs, response->n_kvs);
    json_true(json, "more", response->more);
    json_i64(json, "count", response->count);
    json_close(json, '}');
}

static void put_put(struct json *json, const char *name, const Etcdserverpb__PutResponse *response)
{
    json_open(json, name, '{');
    put_header(json, response->header);
    if (response->prev_kv != NULL) put_kv(json, "prev_kv", response->prev_kv);
    json_i64(json, "lease", response->lease);
    json_i64(json, "ttl", response->ttl);
    json_close(json, '}');
}

static void put_del(struct json *json, const char *name, const Etcdserverpb__DeleteRangeResponse *response)
{
    json_open(json, name, '{');
    put_header(json, response->header);
    json_i64(json, "deleted", response->deleted);
    put_kvs(json, "prev_kvs", response->prev_kvs, response->n_prev_kvs);
    json_close(json, '}');
}

/* kvctl sends no nested transactions, so none comes back. */
static void put_op(struct json *json, const Etcdserverpb__ResponseOp *op)
{
    json_open(json, NULL, '{');
    json_open(json, "Response", '{');
    switch (op->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE: put_range(json, "ResponseRange", op->response_range); break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT: put_put(json, "ResponsePut", op->response_put); break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        put_del(json, "ResponseDeleteRange", op->response_delete_range);
        break;
    default: break;
    }
    json_close(json, '}');
    json_close(json, '}');
}

void print_json_range(const Etcdserverpb__RangeResponse *response)
{
    struct json json;
    json_init(&json);
    put_range(&json, NULL, response);
    json_print(&json);
    json_deinit(&json);
}

void print_json_put(const Etcdserverpb__PutResponse *response)
{
    struct json json;
    json_init(&json);
    put_put(&json, NULL, response);
    json_print(&json);
    json_deinit(&json);
}

void print_json_del(const Etcdserverpb__DeleteRangeResponse *response)
{
    struct json json;
    json_init(&json);
    put_del(&json, NULL, response);
    json_print(&json);
    json_deinit(&json);
}

void print_json_put_txn(struct json *json, const char *name, const Etcdserverpb__TxnResponse *response)
{
    json_open(json, name, '{');
    put_header(json, response->header);
    json_true(json, "succeeded", response->succeeded);
    if (response->n_responses > 0) {
        json_open(json, "responses", '[');
        for (size_t i = 0; i < response->n_responses; i++) put_op(json, response->responses[i]);
        json_close(json, ']');
    }
    json_close(json, '}');
}

void print_json_txn(const Etcdserverpb__TxnResponse *response)
{
    struct json json;
    json_init(&json);
    print_json_put_txn(&json, NULL, response);
    json_print(&json);
    json_deinit(&json);
}

void print_json_event(struct json *json, const Mvccpb__Event *event)
{
    ASSERT(event != NULL);
    json_open(json, NULL, '{');
    json_i64(json, "type", (int64_t)event->type);
    if (event->kv != NULL) put_kv(json, "kv", event->kv);
    if (event->prev_kv != NULL) put_kv(json, "prev_kv", event->prev_kv);
    json_close(json, '}');
}

/* The struct of Go's client library, which has no tags: names as in Go, and nothing is left out. */
void print_json_watch(const Etcdserverpb__WatchResponse *response)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    print_json_header(&json, "Header", response->header);
    json_open(&json, "Events", '[');
    for (size_t i = 0; i < response->n_events; i++) print_json_event(&json, response->events[i]);
    json_close(&json, ']');
    json_number(&json, "CompactRevision", (uint64_t)response->compact_revision);
    json_bool(&json, "Canceled", response->canceled);
    json_bool(&json, "Created", response->created);
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

static void put_texts(struct json *json, const char *name, char **texts, size_t count)
{
    if (count == 0) return;
    json_open(json, name, '[');
    for (size_t i = 0; i < count; i++) json_text(json, NULL, texts[i]);
    json_close(json, ']');
}

void print_json_alarms(const Etcdserverpb__AlarmResponse *response)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    if (response->header != NULL) put_header(&json, response->header);
    if (response->n_alarms > 0) json_open(&json, "alarms", '[');
    for (size_t i = 0; i < response->n_alarms; i++) {
        json_open(&json, NULL, '{');
        json_u64(&json, "memberID", response->alarms[i]->memberid);
        json_i64(&json, "alarm", (int64_t)response->alarms[i]->alarm);
        json_close(&json, '}');
    }
    if (response->n_alarms > 0) json_close(&json, ']');
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

void print_json_members(const Etcdserverpb__MemberListResponse *response)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    put_header(&json, response->header);
    if (response->n_members > 0) json_open(&json, "members", '[');
    for (size_t i = 0; i < response->n_members; i++) {
        const Etcdserverpb__Member *member = response->members[i];
        ASSERT(member != NULL);
        json_open(&json, NULL, '{');
        json_u64(&json, "ID", member->id);
        json_text(&json, "name", member->name);
        put_texts(&json, "peerURLs", member->peerurls, member->n_peerurls);
        put_texts(&json, "clientURLs", member->clienturls, member->n_clienturls);
        json_true(&json, "isLearner", member->islearner);
        json_close(&json, '}');
    }
    if (response->n_members > 0) json_close(&json, ']');
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

static void put_status(struct json *json, const Etcdserverpb__StatusResponse *status)
{
    json_open(json, "Status", '{');
    put_header(json, status->header);
    json_text(json, "version", status->version);
    json_i64(json, "dbSize", status->dbsize);
    json_u64(json, "leader", status->leader);
    json_u64(json, "raftIndex", status->raftindex);
    json_u64(json, "raftTerm", status->raftterm);
    json_u64(json, "raftAppliedIndex", status->raftappliedindex);
    put_texts(json, "errors", status->errors, status->n_errors);
    json_i64(json, "dbSizeInUse", status->dbsizeinuse);
    json_true(json, "isLearner", status->islearner);
    json_text(json, "storageVersion", status->storageversion);
    json_i64(json, "dbSizeQuota", status->dbsizequota);
    if (status->downgradeinfo != NULL) {
        json_open(json, "downgradeInfo", '{');
        json_true(json, "enabled", status->downgradeinfo->enabled);
        json_text(json, "targetVersion", status->downgradeinfo->targetversion);
        json_close(json, '}');
    }
    json_close(json, '}');
}

void print_json_statuses(const struct print_endpoint *endpoints, size_t count)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        if (endpoints[i].response == NULL) continue;
        json_open(&json, NULL, '{');
        json_text(&json, "Endpoint", endpoints[i].endpoint);
        put_status(&json, (const Etcdserverpb__StatusResponse *)endpoints[i].response);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_print(&json);
    json_deinit(&json);
}

void print_json_hashes(const struct print_endpoint *endpoints, size_t count)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        const Etcdserverpb__HashKVResponse *hash = (const Etcdserverpb__HashKVResponse *)endpoints[i].response;
        if (hash == NULL) continue;
        json_open(&json, NULL, '{');
        json_text(&json, "Endpoint", endpoints[i].endpoint);
        json_open(&json, "HashKV", '{');
        put_header(&json, hash->header);
        json_u64(&json, "hash", hash->hash);
        json_i64(&json, "compact_revision", hash->compact_revision);
        json_i64(&json, "hash_revision", hash->hash_revision);
        json_close(&json, '}');
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_print(&json);
    json_deinit(&json);
}

void print_json_healths(const struct print_endpoint *endpoints, size_t count)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        char took[PRINT_TIME_BYTES];
        ASSERT(endpoints[i].error != NULL);
        print_format_time(endpoints[i].took_ns, took);
        json_open(&json, NULL, '{');
        json_text(&json, "endpoint", endpoints[i].endpoint);
        json_bool(&json, "health", endpoints[i].error[0] == '\0');
        json_text(&json, "took", took);
        json_text(&json, "error", endpoints[i].error);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_print(&json);
    json_deinit(&json);
}
