/* shell_watch: the watches of the interactive mode: a thread with a client of its own keeps them; what it hears waits in a queue until the
 * thread that owns the terminal prints it.
 *
 * Owner: shell_watch_new/shell_watch_free. Thread: the caller's; its own sees the client and the watchers only. Limits: SHELL_WATCH_MAX
 * watches, SHELL_WATCH_QUEUE messages that are not printed: then the stream is not read.
 */
#ifndef KVCTL_SHELL_WATCH_H
#define KVCTL_SHELL_WATCH_H
#include "ctl.h"
#include "etcdserverpb/rpc.pb-c.h"

#define SHELL_WATCH_MAX 64
#define SHELL_WATCH_QUEUE 256

struct shell_watch;
/* Connects when the first watch is added. */
struct shell_watch *shell_watch_new(const struct ctl_globals *globals);
void shell_watch_free(struct shell_watch *watch); /* accepts NULL */

/* `request`: a WatchCreateRequest without start_revision; `label`: how it is told of. Its number; 0 = there are too many; -1 = no
 * connection can be made, which was said. */
int shell_watch_add(struct shell_watch *watch, struct slice request, int64_t revision, const char *label);
bool shell_watch_drop(struct shell_watch *watch, int number); /* 0 = the newest; false: there is none */
void shell_watch_list(struct shell_watch *watch);             /* prints a line for each */

/* Readable while there is something to print. */
int shell_watch_descriptor(const struct shell_watch *watch);
/* Prints the next message; false: there is none. */
bool shell_watch_print(struct shell_watch *watch, const struct ctl *ctl);
bool shell_watch_has_news(struct shell_watch *watch);

#endif
