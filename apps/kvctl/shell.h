/* shell: the interactive mode: a prompt with the leader and the revision, lines with editing, history and completion, transactions over
 * several lines, watches that print while one types. See `HELP` in it.
 *
 * Owner: all of it lives in shell_run. Thread: main; watches have one of their own (shell_watch.h). Limits: lines of WORDS_MAX words,
 * HISTORY_LINES of history. Source: editline(3).
 */
#ifndef KVCTL_SHELL_H
#define KVCTL_SHELL_H
#include "ctl.h"

/* Standard input and output are a terminal; ctl->globals are set. ctl->signal: the one that ended it. */
enum ctl_exit shell_run(struct ctl *ctl);

#endif
