/* auth_command: auth, user and role. Thread: main. Source: etcdctl's commands and what they print. */
#ifndef KVCTL_AUTH_COMMAND_H
#define KVCTL_AUTH_COMMAND_H
#include "ctl.h"

enum ctl_exit auth_command_enable(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_disable(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_status(struct ctl *ctl, int count, const char **words);

int auth_command_user_add_flags(struct ctl_options *options, struct flag *out_flags);
int auth_command_user_get_flags(struct ctl_options *options, struct flag *out_flags);
int auth_command_user_passwd_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit auth_command_user_add(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_delete(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_get(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_list(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_passwd(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_grant_role(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_user_revoke_role(struct ctl *ctl, int count, const char **words);

int auth_command_role_permission_flags(struct ctl_options *options, struct flag *out_flags);
enum ctl_exit auth_command_role_add(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_role_delete(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_role_get(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_role_list(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_role_grant(struct ctl *ctl, int count, const char **words);
enum ctl_exit auth_command_role_revoke(struct ctl *ctl, int count, const char **words);

#endif
