/* lease_command: `lease grant|revoke|timetolive|list|keep-alive`. Ids are hexadecimal. Thread: main. Source: etcdctl. */
#ifndef KVCTL_LEASE_COMMAND_H
#define KVCTL_LEASE_COMMAND_H
#include "base/flags.h"
#include "ctl.h"

enum ctl_exit lease_command_grant(struct ctl *ctl, int count, const char **words);
enum ctl_exit lease_command_revoke(struct ctl *ctl, int count, const char **words);
int lease_command_time_to_live_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit lease_command_time_to_live(struct ctl *ctl, int count, const char **words);
int lease_command_keep_alive_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit lease_command_keep_alive(struct ctl *ctl, int count, const char **words);
enum ctl_exit lease_command_list(struct ctl *ctl, int count, const char **words);

#endif
