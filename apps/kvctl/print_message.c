/* print_message: see the header. */
#include "print_message.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/buf.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "print_fields.h"

/* The value at `at`, as protobuf-c lays it out for this field; false: a type that the API has not. */
static void put_value(struct json *json, const ProtobufCFieldDescriptor *field, const char *name, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64: json_i64(json, name, *(const int64_t *)at); break;
    case PROTOBUF_C_TYPE_UINT64: json_u64(json, name, *(const uint64_t *)at); break;
    case PROTOBUF_C_TYPE_UINT32: json_u64(json, name, *(const uint32_t *)at); break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: json_i64(json, name, *(const int32_t *)at); break;
    case PROTOBUF_C_TYPE_BOOL:
        if (name == NULL) json_bool(json, NULL, *(const protobuf_c_boolean *)at != 0);
        else json_true(json, name, *(const protobuf_c_boolean *)at != 0);
        break;
    case PROTOBUF_C_TYPE_STRING: json_text(json, name, *(const char *const *)at); break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = at;
        json_bytes(json, name, slice_make(bytes->data, bytes->len));
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(const ProtobufCMessage *const *)at != NULL) print_message_json(json, name, *(const ProtobufCMessage *const *)at);
        break;
    default: ASSERT(false);
    }
}

static size_t size_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM: return sizeof(int32_t);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return sizeof(uint64_t); /* pointers, too */
    }
}

void print_message_json(struct json *json, const char *name, const ProtobufCMessage *message)
{
    json_open(json, name, '{');
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *at = (const char *)message + field->offset;
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            put_value(json, field, field->name, at);
            continue;
        }
        size_t count = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
        const char *elements = *(const char *const *)(const void *)at;
        if (count == 0) continue;
        json_open(json, field->name, '[');
        for (size_t k = 0; k < count; k++) put_value(json, field, NULL, elements + k * size_of(field));
        json_close(json, ']');
    }
    json_close(json, '}');
}

enum ctl_exit print_message_no_format(const struct ctl *ctl)
{
    ASSERT(ctl->globals.write_out != NULL);
    return ctl_fail(CTL_BAD_FEATURE, "%s not supported as output format", ctl->globals.write_out);
}

void print_message_bytes(const ProtobufCMessage *message)
{
    struct buf bytes;
    buf_init(&bytes);
    size_t size = protobuf_c_message_get_packed_size(message);
    buf_reserve(&bytes, size + 1);
    size_t packed = protobuf_c_message_pack(message, bytes.blob->data);
    ASSERT(packed == size);
    fwrite(bytes.blob->data, 1, size, stdout); /* whoever flushes sees that it failed */
    buf_deinit(&bytes);
}

/* The first field of every response is its header. */
static const Etcdserverpb__ResponseHeader *header_of(const ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field = &message->descriptor->fields[0];
    ASSERT(field->type == PROTOBUF_C_TYPE_MESSAGE && field->descriptor == &etcdserverpb__response_header__descriptor);
    return *(const Etcdserverpb__ResponseHeader *const *)(const void *)((const char *)message + field->offset);
}

enum ctl_exit print_message(const struct ctl *ctl, const ProtobufCMessage *message)
{
    ASSERT(ctl->format != CTL_SIMPLE);
    if (ctl->format == CTL_TABLE) return print_message_no_format(ctl);
    if (ctl->format == CTL_FIELDS) {
        print_fields_header(header_of(message));
        return CTL_OK;
    }
    if (ctl->format == CTL_PROTOBUF) {
        print_message_bytes(message);
        return CTL_OK;
    }
    struct json json;
    json_init(&json);
    print_message_json(&json, NULL, message);
    json_print(&json);
    json_deinit(&json);
    return CTL_OK;
}
