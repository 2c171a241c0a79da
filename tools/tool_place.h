/* tool_place: what a word on the command line leads to: a data directory, a directory of segments, or segments by name; and who the member
 * is that they belong to.
 * Owner: tool_place_init/tool_place_deinit. Thread: main. Blocking. Limits: as many files as words. */
#ifndef TOOL_PLACE_H
#define TOOL_PLACE_H
#include "storage/data_dir.h"
#include "tool.h"

struct tool_place {
    char *data_path; /* NULL = not known */
    char *wal_path;
    char *snap_path;
    struct data_names names; /* in the data directory */
    bool has_identity;
    struct data_dir_identity identity;
    uint64_t *sequences; /* of the segments that were named; none = all */
    size_t sequence_count;
};

/* False: said so on tool->error. `wal_dir` as the member's own flag, or "". */
bool tool_place_init(struct tool_place *place, struct tool *tool, const char *const *words, int count, const char *wal_dir);
void tool_place_deinit(struct tool_place *place);

#endif
