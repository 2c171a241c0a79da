/* lock_command: lock: a name's lock held while a program runs, or until a signal.
 * Owner: nothing outlives the call. Thread: main. Source: etcdctl; see main.c for exit codes. */
#ifndef KVCTL_LOCK_COMMAND_H
#define KVCTL_LOCK_COMMAND_H
#include "ctl.h"

int lock_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit lock_command_run(struct ctl *ctl, int count, const char **words);

#endif
