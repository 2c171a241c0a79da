/* tool_entry: what an entry of the log says, into a tree: a command with the client's message, or a configuration with its members.
 * Thread: any. Limits: as tool_message. */
#ifndef TOOL_ENTRY_H
#define TOOL_ENTRY_H
#include "base/raft_entry.h"
#include "storage/cluster.h"
#include "tool_tree.h"

/* "normal", "conf", "empty"; "unknown". */
const char *tool_entry_kind_name(enum raft_entry_kind kind);
/* What of a command is asked for (--type put): its kind's name; "" = not one that can be read. */
const char *tool_entry_command_name(struct slice data);
/* The fields, into an open object: command {…} or conf {…}; for bytes that are neither, `damaged`. */
void tool_entry_put(struct tool_tree *tree, enum raft_entry_kind kind, struct slice data);
void tool_entry_put_conf(struct tool_tree *tree, const char *name, struct slice data);
void tool_entry_put_members(struct tool_tree *tree, const char *name, const struct cluster *cluster);

#endif
