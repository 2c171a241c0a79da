/* txn_command: txn: three sections from standard input, separated by empty lines. Returns the exit code.
 * Owner: nothing is kept. Thread: main. Limits: a line of standard input ≤ 16 MiB. */
#ifndef KVCTL_TXN_COMMAND_H
#define KVCTL_TXN_COMMAND_H
#include "ctl.h"

int txn_command_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit txn_command_run(struct ctl *ctl, int count, const char **words);

#endif
