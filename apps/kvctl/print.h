/* print: responses on standard output in the format of -w, as etcdctl prints them.
 * Owner: nothing is kept. Thread: main. Source: etcdctl's printers. */
#ifndef KVCTL_PRINT_H
#define KVCTL_PRINT_H
#include "ctl.h"
#include "etcdserverpb/rpc.pb-c.h"

/* CTL_BAD_FEATURE, with a message: the format cannot show this. */
enum ctl_exit print_range(const struct ctl *ctl, const Etcdserverpb__RangeResponse *response);
enum ctl_exit print_put(const struct ctl *ctl, const Etcdserverpb__PutResponse *response);
enum ctl_exit print_del(const struct ctl *ctl, const Etcdserverpb__DeleteRangeResponse *response);
enum ctl_exit print_txn(const struct ctl *ctl, const Etcdserverpb__TxnResponse *response);
enum ctl_exit print_watch(const struct ctl *ctl, const Etcdserverpb__WatchResponse *response); /* what is not printed of it: reasons */
enum ctl_exit print_alarms(const struct ctl *ctl, const Etcdserverpb__AlarmResponse *response); /* a header is printed if there is one */
enum ctl_exit print_members(const struct ctl *ctl, const Etcdserverpb__MemberListResponse *response);

/* One endpoint's answer; the message is NULL if it did not answer. */
struct print_endpoint {
    const char *endpoint;
    const ProtobufCMessage *response; /* StatusResponse, HashKVResponse; unused for health */
    uint64_t took_ns;
    const char *error;                /* "" = healthy */
};
enum ctl_exit print_statuses(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count);
enum ctl_exit print_hashes(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count);
enum ctl_exit print_healths(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count);

void print_line(const struct ctl *ctl, ProtobufCBinaryData bytes); /* as -w simple prints a key or a value */
const char *print_event_name(const Mvccpb__Event *event); /* "PUT" */
const char *print_alarm_name(int32_t type); /* "NOSPACE"; "UNKNOWN" for what has no name */

#define PRINT_TIME_BYTES 32
void print_format_time(uint64_t ns, char out_text[PRINT_TIME_BYTES]);     /* "2.230505ms" */
void print_format_size(uint64_t bytes, char out_text[PRINT_TIME_BYTES]);  /* "20 kB" */

#endif
