/* member_command: member list, and the cluster's own list of endpoints. Returns the exit code.
 * Owner: nothing is kept. Thread: main. */
#ifndef KVCTL_MEMBER_COMMAND_H
#define KVCTL_MEMBER_COMMAND_H
#include "ctl.h"

int member_command_list_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit member_command_list(struct ctl *ctl, int count, const char **words);
/* Connects to all client URLs of the member list in place of --endpoints. */
enum ctl_exit member_command_use_cluster(struct ctl *ctl);

#endif
