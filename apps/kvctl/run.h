/* run: from the words of a command line to the command: flags, help, the connection.
 * Owner: the caller's struct ctl, whose texts are borrowed from argv and the environment. Thread: main. */
#ifndef KVCTL_RUN_H
#define KVCTL_RUN_H
#include "commands.h"

/* argv[0] is the program's name. `base`: the global options before those of the line; NULL = those of the environment. */
enum ctl_exit run_line(struct ctl *ctl, const struct ctl_globals *base, int argc, char **argv);
/* The global options of the command line and the environment into ctl->globals, when it names no command; false: it does, or is wrong. */
bool run_is_bare(struct ctl *ctl, int argc, char **argv);

#endif
