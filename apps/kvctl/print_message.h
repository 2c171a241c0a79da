/* print_message: any message of the API by its own description, for answers that are a header and little more.
 * Owner: nothing is kept. Thread: main. Source: the JSON of the generated Go structs, which etcdctl prints as they are. */
#ifndef KVCTL_PRINT_MESSAGE_H
#define KVCTL_PRINT_MESSAGE_H
#include "ctl.h"
#include "json.h"

/* -w json, protobuf: the whole message; fields: its header alone. CTL_BAD_FEATURE, with a message: table. */
enum ctl_exit print_message(const struct ctl *ctl, const ProtobufCMessage *message);
/* As a member of an object, or (name NULL) as an element. What is zero or empty is left out, unions too. */
void print_message_json(struct json *json, const char *name, const ProtobufCMessage *message);
void print_message_bytes(const ProtobufCMessage *message); /* -w protobuf: as on the wire, and nothing behind it */
enum ctl_exit print_message_no_format(const struct ctl *ctl); /* "fields not supported as output format" */

#endif
