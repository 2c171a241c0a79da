/* tool: what the offline tools share: exit codes, errors, a file system that cannot write, progress, bytes from text.
 *
 * Owner: struct tool is main's (or a test's); everything else borrows it. Thread: main. Blocking.
 * Limits: an input that is read whole has at most TOOL_INPUT_MAX bytes.
 */
#ifndef TOOL_H
#define TOOL_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/flags.h"
#include "base/fs.h"

#define TOOL_INPUT_MAX ((size_t)64 << 20)
#define TOOL_PROGRESS_BYTES_MIN (UINT64_C(64) << 20) /* less is read at once: no bar */

enum tool_exit {
    TOOL_CLEAN = 0,
    TOOL_ERROR = 1,   /* usage, or a file that cannot be read */
    TOOL_TORN = 3,    /* a start would cut the log's tail, or go on with a suspect one */
    TOOL_CORRUPT = 4, /* a start would refuse */
};

struct tool {
    const char *name;  /* of the program, for errors */
    struct fs *fs;
    FILE *out;
    FILE *error;
    bool is_json;
    bool has_progress; /* the bar may be drawn on `error` */
    bool is_shown;     /* `out` is a terminal: lines and a bar would get in each other's way */
    int percent;       /* that the bar shows; -1 = nothing is drawn */
};

/* The real one: standard output and error, a file system that only reads. */
void tool_init(struct tool *tool, const char *name);
void tool_deinit(struct tool *tool);
/* One line on `error`; answers TOOL_ERROR. */
enum tool_exit tool_fail(struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the output: `code`, or TOOL_ERROR with a line if it could not be written. */
enum tool_exit tool_finish(struct tool *tool, enum tool_exit code);
void tool_progress(struct tool *tool, uint64_t done, uint64_t total);
void tool_progress_end(struct tool *tool);

/* What main does with its arguments: flags, --help (usage, examples, flags, exit codes), --version. */
struct tool_text {
    const char *summary;
    const char *usage;    /* behind the name */
    const char *examples; /* whole lines */
    const char *more;     /* what the output means; whole lines */
};
/* True: go on with `words`, a NULL-terminated array that the caller frees (alloc_free). False: *out_code is what to exit with. */
bool tool_start(struct tool *tool, const struct tool_text *text, struct flag *flags, int flag_count, int argc, char **argv,
                const char ***out_words, int *out_count, enum tool_exit *out_code);

/* Passes on what reads, and refuses all else with EROFS. `inner` belongs to it afterwards. Names of log segments with a smaller sequence
 * than the one that was set are not listed. */
struct fs *tool_fs_new(struct fs *inner);
void tool_fs_hide_below(struct fs *fs, uint64_t sequence);

char *tool_join(const char *directory, const char *name); /* alloc_free */
bool tool_from_hex(struct slice text, struct buf *out);    /* blanks between bytes are passed over */
bool tool_from_base64(struct slice text, struct buf *out); /* blanks are passed over */
/* Which of `names` is most like a mistyped word; NULL = none is near. Upper case and what stands before the last dot count little. */
const char *tool_nearest(const char *word, const char *const *names, size_t count);

#endif
