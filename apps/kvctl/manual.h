/* manual: the page kvctl(1), made from the table of commands.
 * Owner: nothing is kept. Thread: main. Source: man(7). */
#ifndef KVCTL_MANUAL_H
#define KVCTL_MANUAL_H
#include "ctl.h"

enum ctl_exit manual_command(struct ctl *ctl, int count, const char **words);

#endif
