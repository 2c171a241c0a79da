/* tool_snap: snapshot files: verified as a start does it, and the few things in them that are not keys.
 *
 * Owner: tool_snap_init/tool_snap_deinit for one file, tool_snap_list_init/_deinit for a directory. Thread: main. Blocking.
 * Limits: SNAPSHOT_DIR_MAX files, one block of memory at a time.
 */
#ifndef TOOL_SNAP_H
#define TOOL_SNAP_H
#include "storage/alarm_state.h"
#include "storage/snapshot_dir.h"
#include "storage/snapshot_format.h"
#include "storage/snapshot_reader.h"
#include "tool.h"
#include "tool_log.h"
#include "tool_tree.h"

#define TOOL_SNAP_SECTIONS_MAX 32 /* what comes behind is counted with the last */

struct tool_snap_section {
    uint16_t section;
    uint16_t flags;
    uint64_t blocks;
    uint64_t bytes; /* of payload */
};

/* Each version that the file holds, in its order; borrowed for the call. The key is there for every version. */
typedef void tool_snap_version_fn(void *context, const struct mvcc_export_version *version);

struct tool_snap {
    struct tool *tool;
    char *path;
    enum snapshot_reader_trailer trailer; /* none, as a start wants it, unless the caller says otherwise before it reads */
    uint64_t file_bytes;
    bool has_head;
    struct snapshot_format_head head;
    struct blob *conf;       /* NULL = not read */
    struct cluster *cluster; /* NULL = not read */
    struct alarm_state *alarms; /* NULL = not read, or none */
    struct tool_snap_section sections[TOOL_SNAP_SECTIONS_MAX];
    size_t section_count;
    uint64_t versions;
    struct buf key; /* of the version that was read last */

    enum err err;
    enum tool_exit code;
    const char *verdict; /* good, corrupt, refused */
    char message[512];
};

void tool_snap_init(struct tool_snap *snap, struct tool *tool, const char *path);
void tool_snap_deinit(struct tool_snap *snap);
/* Reads the file to its end, or to damage; then verifies what only the whole can show. version_fn may be NULL. */
enum tool_exit tool_snap_read(struct tool_snap *snap, uint64_t cluster_id, tool_snap_version_fn *version_fn, void *context);
/* Head, configuration, members, sections and verdict, into an open object. */
void tool_snap_put(const struct tool_snap *snap, struct tool_tree *tree);

struct tool_snap_list {
    struct tool *tool;
    char *directory; /* which may be missing */
    uint64_t cluster_id;
    bool is_newest_only; /* what is older than the newest good one is passed over */
    struct tool_snap snaps[SNAPSHOT_DIR_MAX]; /* newest first; all were read */
    size_t count;
};
/* The list is large: not on the stack. */
void tool_snap_list_init(struct tool_snap_list *list, struct tool *tool, const char *directory, uint64_t cluster_id, bool is_newest_only);
void tool_snap_list_deinit(struct tool_snap_list *list);
void tool_snap_list_read(struct tool_snap_list *list); /* anew */
const struct tool_snap *tool_snap_list_newest(const struct tool_snap_list *list); /* the newest good one; NULL = none */
/* Is there one before the newest good one that a start does not pass over: of a newer program, of another cluster? */
bool tool_snap_list_is_refused(const struct tool_snap_list *list);
/* What a good one stands for; the configuration is borrowed. All zeros without one. */
struct tool_log_snapshot tool_snap_position(const struct tool_snap *snap_or_null);
/* A tool_log_snapshot_fn: reads the list and answers the newest good one's position. */
struct tool_log_snapshot tool_snap_list_ask(void *list);
void tool_snap_list_put(const struct tool_snap_list *list, struct tool_tree *tree, const char *name);

#endif
