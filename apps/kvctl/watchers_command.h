/* watchers_command: watchers list, watchers cancel: each endpoint tells its own watchers.
 * Owner: nothing outlives the call. Thread: main. Source: proto/kvd/extra.proto. */
#ifndef KVCTL_WATCHERS_COMMAND_H
#define KVCTL_WATCHERS_COMMAND_H
#include "ctl.h"

int watchers_command_list_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit watchers_command_list(struct ctl *ctl, int count, const char **words);
enum ctl_exit watchers_command_cancel(struct ctl *ctl, int count, const char **words); /* flags: endpoint_command_flags */

#endif
