/* help: what kvctl says about itself, made from the table of commands.
 * Owner: nothing is kept. Thread: main. */
#ifndef KVCTL_HELP_H
#define KVCTL_HELP_H
#include "commands.h"

void help_commands(void);                                         /* a line for each */
void help_overview(const struct flag *flags, int flag_count); /* flags: the global ones */
void help_command(const struct command *command);
/* Words that name no command: nothing at all and a group by itself are questions, all else is a mistake. */
enum ctl_exit help_explain(int count, const char **words, const struct flag *flags, int flag_count);

#endif
