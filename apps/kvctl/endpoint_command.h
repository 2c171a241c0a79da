/* endpoint_command: endpoint status, health and hashkv: each endpoint is asked by itself. Returns the exit code.
 * Owner: nothing is kept. Thread: main. */
#ifndef KVCTL_ENDPOINT_COMMAND_H
#define KVCTL_ENDPOINT_COMMAND_H
#include "ctl.h"

int endpoint_command_flags(struct ctl_options *options, struct flag *out_flags);
int endpoint_command_hashkv_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit endpoint_command_status(struct ctl *ctl, int count, const char **words);
enum ctl_exit endpoint_command_health(struct ctl *ctl, int count, const char **words);
enum ctl_exit endpoint_command_hashkv(struct ctl *ctl, int count, const char **words);

#endif
