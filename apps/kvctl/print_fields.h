/* print_fields: -w fields: one "Name" : value per line. Inside of the print files only; see print.h. */
#ifndef KVCTL_PRINT_FIELDS_H
#define KVCTL_PRINT_FIELDS_H
#include "print.h"

void print_fields_header(const Etcdserverpb__ResponseHeader *header); /* NULL = all zero */
void print_fields_bytes(const char *name, struct slice bytes);
void print_fields_range(const Etcdserverpb__RangeResponse *response);
void print_fields_put(const Etcdserverpb__PutResponse *response);
void print_fields_del(const Etcdserverpb__DeleteRangeResponse *response);
void print_fields_txn(const Etcdserverpb__TxnResponse *response);
void print_fields_event(const Mvccpb__Event *event);
void print_fields_watch(const Etcdserverpb__WatchResponse *response);
void print_fields_alarms(const Etcdserverpb__AlarmResponse *response);
void print_fields_members(const Etcdserverpb__MemberListResponse *response);
void print_fields_statuses(const struct print_endpoint *endpoints, size_t count);
void print_fields_hashes(const struct print_endpoint *endpoints, size_t count);
void print_fields_healths(const struct print_endpoint *endpoints, size_t count);

#endif
