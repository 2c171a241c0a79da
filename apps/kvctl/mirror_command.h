/* mirror_command: make-mirror: the keys of one cluster, and every change of them, to another, until a signal.
 * Owner: nothing outlives the call. Thread: main. Limits: --max-txn-ops changes in a transaction; pages of 1000 keys. Source: etcdctl. */
#ifndef KVCTL_MIRROR_COMMAND_H
#define KVCTL_MIRROR_COMMAND_H
#include "ctl.h"

int mirror_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit mirror_command_run(struct ctl *ctl, int count, const char **words);

#endif
