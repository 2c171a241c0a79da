/* snapshot_command: snapshots of a server into a file, what such a file is, and a new member's directory out of one.
 * Owner: nothing is kept. Thread: main. Source: etcdctl's and etcdutl's commands of these names. */
#ifndef KVCTL_SNAPSHOT_COMMAND_H
#define KVCTL_SNAPSHOT_COMMAND_H
#include "ctl.h"

enum ctl_exit snapshot_command_save(struct ctl *ctl, int count, const char **words);
enum ctl_exit snapshot_command_status(struct ctl *ctl, int count, const char **words);
int snapshot_command_restore_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit snapshot_command_restore(struct ctl *ctl, int count, const char **words);

#endif
