/* readstate_print: who a member is, and where it stands, from its data directory.
 * Owner: everything is borrowed. Thread: main. Blocking. Limits: tool_log's; keys and values are passed over. */
#ifndef READSTATE_PRINT_H
#define READSTATE_PRINT_H
#include "tool.h"
#include "tool_place.h"

/* The log's verdict decides the exit code, and whether a start would refuse a snapshot. */
enum tool_exit readstate_print(struct tool *tool, const struct tool_place *place, uint32_t settle_ms);

#endif
