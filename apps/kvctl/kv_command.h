/* kv_command: get, put, del and compaction. Each runs one request and prints its response; returns the exit code.
 * Owner: nothing is kept. Thread: main. */
#ifndef KVCTL_KV_COMMAND_H
#define KVCTL_KV_COMMAND_H
#include "ctl.h"

int kv_command_compaction_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit kv_command_get(struct ctl *ctl, int count, const char **words);
enum ctl_exit kv_command_put(struct ctl *ctl, int count, const char **words);
enum ctl_exit kv_command_del(struct ctl *ctl, int count, const char **words);
enum ctl_exit kv_command_compaction(struct ctl *ctl, int count, const char **words);

#endif
