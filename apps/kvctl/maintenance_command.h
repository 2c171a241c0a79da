/* maintenance_command: `alarm list|disarm`, `defrag`, `move-leader`. Thread: main. Source: etcdctl. */
#ifndef KVCTL_MAINTENANCE_COMMAND_H
#define KVCTL_MAINTENANCE_COMMAND_H
#include "ctl.h"

enum ctl_exit maintenance_command_alarm_list(struct ctl *ctl, int count, const char **words);
/* Every alarm that is active; prints those that it took back. */
enum ctl_exit maintenance_command_alarm_disarm(struct ctl *ctl, int count, const char **words);
/* At each endpoint in turn. */
enum ctl_exit maintenance_command_defrag(struct ctl *ctl, int count, const char **words);
/* Asks the endpoints which of them leads, and that one to hand over. */
enum ctl_exit maintenance_command_move_leader(struct ctl *ctl, int count, const char **words);

#endif
