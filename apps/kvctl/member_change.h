/* member_change: member add, remove, update and promote. Thread: main. Source: etcdctl. */
#ifndef KVCTL_MEMBER_CHANGE_H
#define KVCTL_MEMBER_CHANGE_H
#include "ctl.h"

int member_change_add_flags(struct ctl_options *options, struct flag *out_flags);
int member_change_update_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit member_change_add(struct ctl *ctl, int count, const char **words);
enum ctl_exit member_change_remove(struct ctl *ctl, int count, const char **words);
enum ctl_exit member_change_update(struct ctl *ctl, int count, const char **words);
enum ctl_exit member_change_promote(struct ctl *ctl, int count, const char **words);

#endif
