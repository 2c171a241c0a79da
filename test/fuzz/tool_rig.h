/* tool_rig: the offline tools as fuzz targets run them: on a simulated disk, with their output kept and looked at.
 * Owner: tool_rig_init/tool_rig_deinit; the disk is borrowed. Thread: one. */
#ifndef TEST_FUZZ_TOOL_RIG_H
#define TEST_FUZZ_TOOL_RIG_H
#include "lib/fs_sim.h"
#include "tool.h"

struct tool_rig {
    struct tool tool;
    char *text; /* what was printed, once it was ended; the C library's */
    size_t size;
};

void tool_rig_init(struct tool_rig *rig, struct fs_sim_disk *disk_or_null, bool is_json);
/* Ends the output. In JSON every line must be one object that jansson can read. */
void tool_rig_check(struct tool_rig *rig);
void tool_rig_deinit(struct tool_rig *rig);

#endif
