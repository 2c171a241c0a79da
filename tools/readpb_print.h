/* readpb_print: bytes as a named message, onto the tool's output.
 * Owner: everything is borrowed. Thread: main. Limits: TOOL_INPUT_MAX bytes, tool_message's depth. */
#ifndef READPB_PRINT_H
#define READPB_PRINT_H
#include "tool.h"

enum readpb_print_encoding { READPB_PRINT_RAW, READPB_PRINT_HEX, READPB_PRINT_BASE64 };

void readpb_print_list(struct tool *tool);
/* TOOL_CORRUPT with the offset on tool->error if the bytes are not such a message. */
enum tool_exit readpb_print(struct tool *tool, const char *message, struct slice input, enum readpb_print_encoding encoding);

#endif
