/* print_json: -w json: the messages as etcdctl's JSON. Inside of print only; see print.h. */
#ifndef KVCTL_PRINT_JSON_H
#define KVCTL_PRINT_JSON_H
#include "json.h"
#include "print.h"

/* Parts of a message. */
void print_json_header(struct json *json, const char *name, const Etcdserverpb__ResponseHeader *header); /* NULL: none */
void print_json_event(struct json *json, const Mvccpb__Event *event);                                   /* an element of an array */

void print_json_range(const Etcdserverpb__RangeResponse *response);
void print_json_put(const Etcdserverpb__PutResponse *response);
void print_json_del(const Etcdserverpb__DeleteRangeResponse *response);
void print_json_put_txn(struct json *json, const char *name, const Etcdserverpb__TxnResponse *response);
void print_json_txn(const Etcdserverpb__TxnResponse *response);
void print_json_watch(const Etcdserverpb__WatchResponse *response);
void print_json_alarms(const Etcdserverpb__AlarmResponse *response);
void print_json_members(const Etcdserverpb__MemberListResponse *response);
void print_json_statuses(const struct print_endpoint *endpoints, size_t count);
void print_json_hashes(const struct print_endpoint *endpoints, size_t count);
void print_json_healths(const struct print_endpoint *endpoints, size_t count);

#endif
