/* tool_rig: see tool_rig.h. */
#include "fuzz/tool_rig.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void tool_rig_init(struct tool_rig *rig, struct fs_sim_disk *disk_or_null, bool is_json)
{
    *rig = (struct tool_rig){.tool = {.name = "tool", .is_json = is_json, .percent = -1}};
    rig->tool.out = open_memstream(&rig->text, &rig->size);
    rig->tool.error = fopen("/dev/null", "we");
    ASSERT(rig->tool.out != NULL && rig->tool.error != NULL);
    if (disk_or_null != NULL) rig->tool.fs = tool_fs_new(fs_sim_new(disk_or_null, true));
}

void tool_rig_check(struct tool_rig *rig)
{
    int error = fflush(rig->tool.out);
    ASSERT(error == 0 && rig->text != NULL);
    const char *at = rig->text, *end = rig->text + rig->size;
    while (rig->tool.is_json && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        ASSERT(newline != NULL);
        json_error_t trouble;
        json_t *value = json_loadb(at, (size_t)(newline - at), JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &trouble);
        ASSERT(json_is_object(value));
        json_decref(value);
        at = newline + 1;
    }
}

void tool_rig_deinit(struct tool_rig *rig)
{
    (void)fclose(rig->tool.out);
    (void)fclose(rig->tool.error);
    tool_deinit(&rig->tool);
    free(rig->text);
}
