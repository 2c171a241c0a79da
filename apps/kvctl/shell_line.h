/* shell_line: one line from the terminal, with editing, history and completion; meanwhile news of watches are printed above it.
 *
 * libedit asks for each character here, where one poll waits for the terminal, signals and news.
 * The history: $CLIENT_HISTORY_DIR/$CLIENT_HISTORY_FILE (history/kvcli_history), written after each line; a line that begins with a blank
 * is not kept. Signals must be blocked (ear_block_signals).
 * Owner: shell_line_new/shell_line_free. Thread: main. Limits: SHELL_LINE_HISTORY lines. Source: editline(3), signalfd(2).
 */
#ifndef KVCTL_SHELL_LINE_H
#define KVCTL_SHELL_LINE_H
#include "shell_state.h"
#include "shell_watch.h"

#define SHELL_LINE_HISTORY 1000

enum shell_line_kind {
    SHELL_LINE,                 /* a line */
    SHELL_LINE_CLEARED,         /* Ctrl-C took it away */
    SHELL_LINE_EMPTY_CANCELLED, /* Ctrl-C with nothing typed */
    SHELL_LINE_END,             /* Ctrl-D */
    SHELL_LINE_SIGNAL,          /* another signal: shell_line_signal */
};

struct shell_line;
struct shell_line *shell_line_new(const struct ctl *ctl, struct shell_state *state, struct shell_watch *watch);
void shell_line_free(struct shell_line *line); /* accepts NULL */
/* *out_text: without its end, until the next read. `prompt` is borrowed until the return. */
enum shell_line_kind shell_line_read(struct shell_line *line, const char *prompt, const char **out_text);
int shell_line_signal(const struct shell_line *line);

#endif
