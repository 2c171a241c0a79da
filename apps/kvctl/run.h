/* run: from the words of a command line to the command: flags, help, the connection.
 * Owner: the caller's struct ctl, whose texts are borrowed from argv and the environment. Thread: main. */
#ifndef KVCTL_RUN_H
#define KVCTL_RUN_H
#include "commands.h"

/* argv[0] is the program's name. */
enum ctl_exit run_line(struct ctl *ctl, int argc, char **argv);

#endif
