/* history_command: history: every retained version of a key or a range, page by page.
 * Owner: nothing outlives the call. Thread: main. Source: proto/kvd/extra.proto. */
#ifndef KVCTL_HISTORY_COMMAND_H
#define KVCTL_HISTORY_COMMAND_H
#include "ctl.h"

int history_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit history_command_run(struct ctl *ctl, int count, const char **words);

#endif
