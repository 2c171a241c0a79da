/* tool_message: any of our protobuf messages, by its descriptor, from its bytes into a tree.
 *
 * The bytes are walked as they are, not unpacked: an error has its offset, and what the descriptor does not know is shown, too. Fields come
 * in the order of the descriptor; what appears twice is merged as protobuf says (the last scalar, the last of a oneof, messages
 * field by field). Only what stands in the bytes is shown: what is missing has its default.
 *
 * Thread: any. Limits: TOOL_MESSAGE_DEPTH_MAX messages in each other; eight bytes of memory per field.
 */
#ifndef TOOL_MESSAGE_H
#define TOOL_MESSAGE_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "tool_tree.h"

#define TOOL_MESSAGE_DEPTH_MAX 200

size_t tool_message_count(void);
const ProtobufCMessageDescriptor *tool_message_at(size_t place);
const ProtobufCMessageDescriptor *tool_message_find(const char *name); /* "etcdserverpb.PutRequest"; NULL = unknown */
const ProtobufCMessageDescriptor *tool_message_of_field(const ProtobufCMessageDescriptor *descriptor, uint32_t number); /* NULL = no message */

struct tool_message_error {
    size_t offset;
    const char *reason;
    const char *message; /* name of the innermost message that was read */
};
bool tool_message_check(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct tool_message_error *out_error);
/* The fields, into an object that is open. The bytes must have passed the check. */
void tool_message_put(struct tool_tree *tree, const ProtobufCMessageDescriptor *descriptor, struct slice bytes);

#endif
