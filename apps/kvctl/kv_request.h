/* kv_request: the requests of get, put and del from command words and flags, for the commands and for the lines of a txn.
 * Owner: the caller's buffer. Thread: main. Source: etcdctl's commands, the rules of ranges of the API. */
#ifndef KVCTL_KV_REQUEST_H
#define KVCTL_KV_REQUEST_H
#include "base/buf.h"
#include "ctl.h"

#define KV_REQUEST_FLAGS_MAX 20

/* Defaults, and the command's flags into `out_flags` (at least KV_REQUEST_FLAGS_MAX); their number. */
int kv_request_get_flags(struct ctl_options *options, struct flag *out_flags);
int kv_request_put_flags(struct ctl_options *options, struct flag *out_flags);
int kv_request_del_flags(struct ctl_options *options, struct flag *out_flags);

/* Fields 1 and 2 of a RangeRequest, a DeleteRangeRequest or a WatchCreateRequest: key and range_end. */
enum ctl_exit kv_request_interval(const struct ctl_options *options, const char *command, int count, const char **words,
                                  struct buf *out);
/* Field 2 only, for all keys that begin with `prefix`. */
void kv_request_prefix_end(struct buf *out, struct slice prefix);
/* The encoded request appended to `out`. Words are what stands on the line beside flags. Fails with a message. */
enum ctl_exit kv_request_get(const struct ctl_options *options, int count, const char **words, struct buf *out);
/* Of a get that has one answer: --stream is refused. */
enum ctl_exit kv_request_get_whole(const struct ctl_options *options, int count, const char **words, struct buf *out);
enum ctl_exit kv_request_del(const struct ctl_options *options, int count, const char **words, struct buf *out);
/* `value`: read from elsewhere if the line has none; NULL = the line must have it. */
enum ctl_exit kv_request_put(const struct ctl_options *options, int count, const char **words, const struct slice *value,
                             struct buf *out);

#endif
