/* progress: a bar on the terminal for what takes long: how much, how fast, how long still. Nothing if standard error is no terminal.
 * Owner: embedded. Thread: main. Limits: drawn ten times a second at most. */
#ifndef KVCTL_PROGRESS_H
#define KVCTL_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t start_ns;   /* when the first bytes were done: what was waited for them says nothing about the rest; 0 = not yet */
    uint64_t start_done;
    uint64_t drawn_ns;   /* 0 = not yet */
    bool is_terminal;
};
void progress_init(struct progress *progress);
void progress_show(struct progress *progress, uint64_t done, uint64_t total); /* bytes */
/* Lines beside the bytes that they take; total 0 = nobody knows how much is to come. */
void progress_show_lines(struct progress *progress, uint64_t lines, uint64_t done, uint64_t total);
void progress_end(struct progress *progress);                                  /* takes the bar away */

#endif
