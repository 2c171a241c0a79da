/* other_command: version, options and downgrade. Thread: main. Source: etcdctl. */
#ifndef KVCTL_OTHER_COMMAND_H
#define KVCTL_OTHER_COMMAND_H
#include "ctl.h"

enum ctl_exit other_command_version(struct ctl *ctl, int count, const char **words);
enum ctl_exit other_command_options(struct ctl *ctl, int count, const char **words);
enum ctl_exit other_command_downgrade_validate(struct ctl *ctl, int count, const char **words);
enum ctl_exit other_command_downgrade_enable(struct ctl *ctl, int count, const char **words);
enum ctl_exit other_command_downgrade_cancel(struct ctl *ctl, int count, const char **words);

#endif
