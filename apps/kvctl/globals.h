/* globals: the options that every command takes, from the command line and from KVCTL_NAME and ETCDCTL_NAME in the environment.
 * Owner: texts are borrowed from argv and the environment. Thread: main. Source: etcdctl. */
#ifndef KVCTL_GLOBALS_H
#define KVCTL_GLOBALS_H
#include "ctl.h"

#define GLOBALS_FLAGS_MAX 24

/* Defaults into *globals, and the flags (GLOBALS_FLAGS_MAX at most) for them; how many. */
int globals_flags(struct ctl_globals *globals, struct flag *out_flags);
/* flags_parse, noting whether --command-timeout was given. */
bool globals_parse(struct ctl *ctl, struct flag *flags, int flag_count, int argc, char **argv, const struct flags_options *options,
                   struct flags_result *result);
/* The environment into the global options; what is parsed afterwards wins. */
bool globals_parse_environment(struct ctl *ctl, struct flag *flags, int flag_count, struct flags_result *result);
/* -w into ctl->format, and what is not built is refused. Fails with a message. */
enum ctl_exit globals_check(struct ctl *ctl);

#endif
