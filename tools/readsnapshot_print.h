/* readsnapshot_print: prints a snapshot file: head, sections and verdict, and the keys if they are asked for.
 * Owner: everything is borrowed. Thread: main. Blocking. Limits: one block, one key and its value at a time. */
#ifndef READSNAPSHOT_PRINT_H
#define READSNAPSHOT_PRINT_H
#include "tool.h"

struct readsnapshot_print_options {
    const char *path;
    bool has_keys;
    bool has_values;
    bool has_all_versions; /* each version that is retained, deletes too, instead of the keys at one revision */
    int64_t at_revision;   /* 0 = the snapshot's */
    const char *prefix;    /* only keys that begin so; "" = all */
};
enum tool_exit readsnapshot_print(struct tool *tool, const struct readsnapshot_print_options *options);

#endif
