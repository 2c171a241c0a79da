/* child: a program that a command runs, with its own words and more environment. Its standard input is empty, as under etcdctl.
 * Owner: nothing is kept; the process is the ear's. Thread: main. Source: Go's os/exec, for the words of its errors. */
#ifndef KVCTL_CHILD_H
#define KVCTL_CHILD_H
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

/* `extra`: NAME=VALUE texts, before all of the same names in our environment. Negative: it did not start, *why has the words. */
pid_t child_start(const char *const *words, int count, const char *const *extra, size_t extra_count, struct buf *why);
/* "exit status 3", "signal: killed". */
void child_put_status(struct buf *out, int status);
int child_exit_code(int status); /* as a program that ends like it: 255 for a signal */

#endif
