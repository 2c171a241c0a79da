/* elect_command: elect: a candidate that leads until a signal, or an observer of who leads.
 * Owner: nothing outlives the call. Thread: main. Source: etcdctl; see main.c for exit codes. */
#ifndef KVCTL_ELECT_COMMAND_H
#define KVCTL_ELECT_COMMAND_H
#include "ctl.h"

int elect_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit elect_command_run(struct ctl *ctl, int count, const char **words);

#endif
