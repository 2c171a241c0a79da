/* batch_command: batch: commands from a file or standard input, one a line, many under way at a time.
 * Owner: nothing outlives the call. Thread: main.
 * Limits: BATCH_PARALLEL_MAX calls and BATCH_FLIGHT_BYTES of them under way; BATCH_GROUP_MAX lines of one --atomic group. */
#ifndef KVCTL_BATCH_COMMAND_H
#define KVCTL_BATCH_COMMAND_H
#include "ctl.h"

#define BATCH_PARALLEL_MAX 1024
#define BATCH_FLIGHT_BYTES (16u << 20)
#define BATCH_GROUP_MAX 65536

int batch_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit batch_command_run(struct ctl *ctl, int count, const char **words);

#endif
