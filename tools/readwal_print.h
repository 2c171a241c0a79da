/* readwal_print: prints a log entry by entry while recovery reads it, then what recovery says of it.
 * Owner: options are borrowed for the call. Thread: main. Limits: one entry's text at a time. */
#ifndef READWAL_PRINT_H
#define READWAL_PRINT_H
#include "tool_log.h"

struct readwal_print_options {
    struct tool_log_options log; /* batch_fn and context are filled in here */
    const uint64_t *sequences;   /* only the entries of these segments */
    size_t sequence_count;       /* 0 = all */
    uint64_t index_min;
    uint64_t index_max;
    const char *types;           /* "normal,conf,empty,head,put,…"; "" = all */
    bool has_marks;              /* each batch's hard state, too */
    bool has_summary;            /* segments and verdict instead of entries */
};

/* NULL, or the word in `types` that names no type. */
const char *readwal_print_bad_type(const char *types, char out_word[32]);
enum tool_exit readwal_print(struct tool *tool, const struct readwal_print_options *options);

#endif
