/* print_fields: the fields printer. Byte strings are quoted as Go's %q does. */
#include "print_fields.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "quote.h"

static void put_quoted(struct slice bytes)
{
    struct buf text;
    buf_init(&text);
    quote_put(&text, bytes);
    ASSERT(text.size >= 2);
    fwrite(text.blob->data, 1, text.size, stdout);
    putchar('\n');
    buf_deinit(&text);
}

static void put_bytes(const char *prefix, const char *name, ProtobufCBinaryData bytes)
{
    printf("\"%s%s\" : ", prefix, name);
    put_quoted(slice_make(bytes.data, bytes.len));
}

void print_fields_header(const Etcdserverpb__ResponseHeader *header)
{
    static const Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    if (header == NULL) header = &none;
    printf("\"ClusterID\" : %" PRIu64 "\n\"MemberID\" : %" PRIu64 "\n", header->cluster_id, header->member_id);
    printf("\"Revision\" : %" PRId64 "\n\"RaftTerm\" : %" PRIu64 "\n", header->revision, header->raft_term);
}

void print_fields_bytes(const char *name, struct slice bytes)
{
    printf("\"%s\" : ", name);
    put_quoted(bytes);
}

static void put_kv(const char *prefix, const Mvccpb__KeyValue *kv)
{
    ASSERT(kv != NULL);
    put_bytes(prefix, "Key", kv->key);
    printf("\"%sCreateRevision\" : %" PRId64 "\n\"%sModRevision\" : %" PRId64 "\n", prefix, kv->create_revision, prefix,
           kv->mod_revision);
    printf("\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
    put_bytes(prefix, "Value", kv->value);
    printf("\"%sLease\" : %" PRId64 "\n", prefix, kv->lease);
}

void print_fields_range(const Etcdserverpb__RangeResponse *response)
{
    print_fields_header(response->header);
    for (size_t i = 0; i < response->n_kvs; i++) put_kv("", response->kvs[i]);
    printf("\"More\" : %s\n\"Count\" : %" PRId64 "\n", response->more ? "true" : "false", response->count);
}

void print_fields_put(const Etcdserverpb__PutResponse *response)
{
    print_fields_header(response->header);
    if (response->prev_kv != NULL) put_kv("Prev", response->prev_kv);
    if (response->lease != 0) printf("\"Lease\" : %" PRId64 "\n\"TTL\" : %" PRId64 "\n", response->lease, response->ttl);
}

void print_fields_del(const Etcdserverpb__DeleteRangeResponse *response)
{
    print_fields_header(response->header);
    printf("\"Deleted\" : %" PRId64 "\n", response->deleted);
    for (size_t i = 0; i < response->n_prev_kvs; i++) put_kv("Prev", response->prev_kvs[i]);
}

void print_fields_txn(const Etcdserverpb__TxnResponse *response)
{
    print_fields_header(response->header);
    printf("\"Succeeded\" : %s\n", response->succeeded ? "true" : "false");
    for (size_t i = 0; i < response->n_responses; i++) {
        const Etcdserverpb__ResponseOp *op = response->responses[i];
        switch (op->response_case) {
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE: print_fields_range(op->response_range); break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT: print_fields_put(op->response_put); break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE: print_fields_del(op->response_delete_range); break;
        default: puts("\"Unknown\" : true"); break;
        }
    }
}

void print_fields_alarms(const Etcdserverpb__AlarmResponse *response)
{
    if (response->header != NULL) print_fields_header(response->header);
    for (size_t i = 0; i < response->n_alarms; i++)
        printf("\"MemberID\" : %" PRIu64 "\n\"AlarmType\" : %s\n\n", response->alarms[i]->memberid,
               print_alarm_name((int32_t)response->alarms[i]->alarm));
}

void print_fields_members(const Etcdserverpb__MemberListResponse *response)
{
    print_fields_header(response->header);
    for (size_t i = 0; i < response->n_members; i++) {
        const Etcdserverpb__Member *member = response->members[i];
        printf("\"ID\" : %" PRIu64 "\n\"Name\" : \"%s\"\n", member->id, member->name);
        for (size_t k = 0; k < member->n_peerurls; k++) printf("\"PeerURL\" : \"%s\"\n", member->peerurls[k]);
        for (size_t k = 0; k < member->n_clienturls; k++) printf("\"ClientURL\" : \"%s\"\n", member->clienturls[k]);
        printf("\"IsLearner\" : %s\n\n", member->islearner ? "true" : "false");
    }
}

static void put_status(const Etcdserverpb__StatusResponse *status)
{
    print_fields_header(status->header);
    printf("\"Version\" : \"%s\"\n\"StorageVersion\" : \"%s\"\n", status->version, status->storageversion);
    printf("\"DBSize\" : %" PRId64 "\n\"DBSizeInUse\" : %" PRId64 "\n\"DBSizeQuota\" : %" PRId64 "\n", status->dbsize,
           status->dbsizeinuse, status->dbsizequota);
    printf("\"Leader\" : %" PRIu64 "\n\"IsLearner\" : %s\n", status->leader, status->islearner ? "true" : "false");
    printf("\"RaftIndex\" : %" PRIu64 "\n\"RaftTerm\" : %" PRIu64 "\n\"RaftAppliedIndex\" : %" PRIu64 "\n",
           status->raftindex, status->raftterm, status->raftappliedindex);
    printf("\"Errors\" : [");
    for (size_t i = 0; i < status->n_errors; i++) printf("%s%s", i == 0 ? "" : " ", status->errors[i]);
    puts("]");
    const Etcdserverpb__DowngradeInfo *downgrade = status->downgradeinfo;
    printf("\"DowngradeTargetVersion\" : \"%s\"\n\"DowngradeEnabled\" : %s\n", downgrade == NULL ? "" : downgrade->targetversion,
           downgrade != NULL && downgrade->enabled ? "true" : "false");
}

void print_fields_statuses(const struct print_endpoint *endpoints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (endpoints[i].response == NULL) continue;
        put_status((const Etcdserverpb__StatusResponse *)endpoints[i].response);
        printf("\"Endpoint\" : \"%s\"\n\n", endpoints[i].endpoint);
    }
}

void print_fields_hashes(const struct print_endpoint *endpoints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const Etcdserverpb__HashKVResponse *hash = (const Etcdserverpb__HashKVResponse *)endpoints[i].response;
        if (hash == NULL) continue;
        print_fields_header(hash->header);
        printf("\"Endpoint\" : \"%s\"\n\"Hash\" : %" PRIu32 "\n", endpoints[i].endpoint, hash->hash);
        printf("\"HashRevision\" : %" PRId64 "\n\n", hash->hash_revision);
    }
}

void print_fields_healths(const struct print_endpoint *endpoints, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char took[PRINT_TIME_BYTES];
        print_format_time(endpoints[i].took_ns, took);
        printf("\"Endpoint\" : \"%s\"\n\"Health\" : %s\n", endpoints[i].endpoint,
               endpoints[i].error[0] == '\0' ? "true" : "false");
        printf("\"Took\" : %s\n\"Error\" : %s\n\n", took, endpoints[i].error);
    }
}

void print_fields_event(const Mvccpb__Event *event)
{
    printf("\"Type\" : %s\n", print_event_name(event));
    if (event->prev_kv != NULL) put_kv("Prev", event->prev_kv);
    if (event->kv != NULL) put_kv("", event->kv);
}

void print_fields_watch(const Etcdserverpb__WatchResponse *response)
{
    print_fields_header(response->header);
    for (size_t i = 0; i < response->n_events; i++) print_fields_event(response->events[i]);
}
