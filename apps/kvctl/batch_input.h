/* batch_input: the lines of a batch, from a file or standard input, as they come: what is not read yet costs nothing.
 * Owner: batch_input_open/_close. Thread: main. Limits: lines of BATCH_LINE_BYTES_MAX. */
#ifndef KVCTL_BATCH_INPUT_H
#define KVCTL_BATCH_INPUT_H
#include "base/buf.h"
#include "ctl.h"

#define BATCH_LINE_BYTES_MAX (16u << 20)

struct batch_input {
    int descriptor;
    struct buf part;       /* read, and not given out */
    size_t at;             /* in it */
    uint64_t line;         /* the number of the line given out last; the first is 1 */
    uint64_t bytes, total; /* given out, and in all; total 0 = not known */
    bool is_over;
};

enum ctl_exit batch_input_open(struct batch_input *input, const char *path); /* NULL or "-" = standard input. Fails with a message */
void batch_input_close(struct batch_input *input);
/* Whether batch_input_next would return without waiting. */
bool batch_input_is_ready(struct batch_input *input);
/* The next line without its end, until the next call; NULL: *out_wrong says why, or (NULL) there is no more. */
char *batch_input_next(struct batch_input *input, const char **out_wrong);

#endif
