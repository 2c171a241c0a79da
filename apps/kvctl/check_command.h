/* check_command: check perf and check datascale: a load on the cluster, and a judgement. What they write they delete.
 * Owner: nothing outlives the call. Thread: main. Limits: CHECK_CALLS_MAX calls under way. Source: etcdctl, for loads and limits. */
#ifndef KVCTL_CHECK_COMMAND_H
#define KVCTL_CHECK_COMMAND_H
#include "ctl.h"

#define CHECK_CALLS_MAX 1000

int check_command_perf_flags(struct ctl_options *options, struct flag *out_flags);
int check_command_datascale_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit check_command_perf(struct ctl *ctl, int count, const char **words);
enum ctl_exit check_command_datascale(struct ctl *ctl, int count, const char **words);

#endif
