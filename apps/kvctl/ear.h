/* ear: what reaches a command beside its calls: signals, lines of standard input, the end of a child. One thread waits for them and rings
 * the client, so that a pump returns; the command then asks here.
 *
 * Signals must be blocked before any thread is made: ear_block_signals, first of all. SIGINT, SIGTERM and SIGHUP are kept for the command;
 * while a child runs they are passed on to it, unless they came from the terminal, which told the child itself. A SIGHUP or SIGINT that
 * was ignored when we were started stays so: that is nohup's word, or a shell's about a job in the background.
 * Owner: ear_new/ear_free. Thread: main, but for its own thread. Limits: lines of 1 MiB, EAR_LINES_MAX waiting. Source: signalfd(2). */
#ifndef KVCTL_EAR_H
#define KVCTL_EAR_H
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "calls.h"

#define EAR_LINES_MAX 64

struct ear;
void ear_signals(sigset_t *out_set); /* that an ear hears, SIGCHLD included */
void ear_block_signals(void);
struct ear *ear_new(struct calls *client, bool wants_lines);
void ear_free(struct ear *ear); /* accepts NULL */

int ear_signal(struct ear *ear); /* the first one that asked us to end; 0 = none */
/* The next line without its end (owned: alloc_free); NULL: none yet, or, *out_is_over, no more: input ended, or a line was too long. */
char *ear_line(struct ear *ear, bool *out_is_over);

/* The one child that runs: told to the ear, and taken from it when it is over. */
void ear_adopt(struct ear *ear, pid_t child);
/* Its status as waitpid's. False: it still runs (never with `wait`). */
bool ear_child_ended(struct ear *ear, bool wait, int *out_status);

#endif
