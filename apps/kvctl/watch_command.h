/* watch_command: watch, for one watch or, with -i, for as many as lines of standard input ask for.
 * Owner: nothing outlives the call. Thread: main. Source: etcdctl; see main.c for exit codes. */
#ifndef KVCTL_WATCH_COMMAND_H
#define KVCTL_WATCH_COMMAND_H
#include "base/buf.h"
#include "ctl.h"

int watch_command_flags(struct ctl_options *options, struct flag *out_flags);
/* The WatchCreateRequest of keys and flags, without start_revision, appended to `out`. Fails with a message. */
enum ctl_exit watch_command_request(const struct ctl_options *options, int count, const char **words, struct buf *out);
enum ctl_exit watch_command_run(struct ctl *ctl, int count, const char **words);

#endif
