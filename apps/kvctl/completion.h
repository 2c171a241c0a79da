/* completion: scripts by which bash, zsh and fish complete kvctl's commands and flags, made from the table of commands.
 * Owner: nothing is kept. Thread: main. Source: bash(1), zshcompsys(1), complete(1) of fish. */
#ifndef KVCTL_COMPLETION_H
#define KVCTL_COMPLETION_H
#include "ctl.h"

enum ctl_exit completion_command(struct ctl *ctl, int count, const char **words);

#endif
