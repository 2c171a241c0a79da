/* tool_message: see tool_message.h. The table of descriptors is made by the build from the generated headers (cmake/programs.cmake). */
#include "tool_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tool_message_headers.inc"

#define ONEOFS_MAX 8 /* of one message */

static const ProtobufCMessageDescriptor *const descriptors[] = {
#define X(name) &name,
#include "tool_message_names.inc"
#undef X
};

size_t tool_message_count(void)
{
    return sizeof descriptors / sizeof descriptors[0];
}

const ProtobufCMessageDescriptor *tool_message_at(size_t place)
{
    ASSERT(place < tool_message_count());
    return descriptors[place];
}

const ProtobufCMessageDescriptor *tool_message_find(const char *name)
{
    ASSERT(name != NULL);
    for (size_t i = 0; i < tool_message_count(); i++)
        if (strcmp(descriptors[i]->name, name) == 0) return descriptors[i];
    return NULL;
}

const ProtobufCMessageDescriptor *tool_message_of_field(const ProtobufCMessageDescriptor *descriptor, uint32_t number)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor, number);
    return field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE ? NULL : field->descriptor;
}

/* ---- what the bytes may be ---- */

static uint32_t wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return PB_BYTES;
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return PB_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return PB_FIXED64;
    default: return PB_VARINT;
    }
}

static bool is_packed(const ProtobufCFieldDescriptor *field, const struct pb_field *read)
{
    return field->label == PROTOBUF_C_LABEL_REPEATED && wire_of(field->type) != PB_BYTES && read->wire == PB_BYTES;
}

/* What the descriptor says of a field that was read; NULL: it does not know it, or knows it as something else. */
static const ProtobufCFieldDescriptor *known_field(const ProtobufCMessageDescriptor *descriptor, const struct pb_field *read)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(descriptor, read->number);
    if (field == NULL) return NULL;
    return read->wire == wire_of(field->type) || is_packed(field, read) ? field : NULL;
}

/* The next value of packed ones; false at the end or when bad. */
static bool next_packed(struct reader *reader, ProtobufCType type, struct pb_field *out_value)
{
    if (reader->bad || reader_left(reader) == 0) return false;
    uint32_t wire = wire_of(type);
    uint64_t value = wire == PB_VARINT ? reader_varint(reader) : wire == PB_FIXED64 ? reader_u64(reader) : reader_u32(reader);
    *out_value = (struct pb_field){.wire = wire, .value = value};
    return !reader->bad;
}

static bool is_packed_sound(const ProtobufCFieldDescriptor *field, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field value;
    while (next_packed(&reader, field->type, &value)) ASSERT(value.wire != PB_BYTES);
    return !reader.bad;
}

static bool refuse(struct tool_message_error *out_error, const ProtobufCMessageDescriptor *descriptor, const uint8_t *start,
                   const uint8_t *at, const char *reason)
{
    *out_error = (struct tool_message_error){
        .offset = start == NULL ? 0 : (size_t)(at - start), .reason = reason, .message = descriptor->name};
    return false;
}

/* Recursion is bounded by TOOL_MESSAGE_DEPTH_MAX. */
static bool check(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, const uint8_t *start, uint32_t depth,
                  struct tool_message_error *out_error)
{
    struct reader reader = reader_make(bytes);
    struct pb_field read;
    const uint8_t *at = bytes.data;
    if (depth > TOOL_MESSAGE_DEPTH_MAX) return refuse(out_error, descriptor, start, at, "too many messages in each other");
    while (reader_pb_field(&reader, &read)) {
        const ProtobufCFieldDescriptor *field = known_field(descriptor, &read);
        if (field != NULL && is_packed(field, &read) && !is_packed_sound(field, read.bytes)) {
            return refuse(out_error, descriptor, start, read.bytes.data, "packed values that do not fill their field");
        }
        bool is_message = field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE;
        if (is_message && !check(field->descriptor, read.bytes, start, depth + 1, out_error)) return false;
        at = reader.at;
    }
    if (reader.bad) return refuse(out_error, descriptor, start, at, "no whole field begins here");
    return true;
}

bool tool_message_check(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct tool_message_error *out_error)
{
    ASSERT(descriptor != NULL && bytes.size <= UINT32_MAX);
    return check(descriptor, bytes, bytes.data, 1, out_error);
}

/* ---- what is shown ---- */

/* Where the fields of a message stand: place in the descriptor << 32 | offset in the bytes, so that sorting groups them in the order of
 * the descriptor, and within it in the order of the bytes. What is not known has the place behind the last. */
struct places {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

struct oneof {
    unsigned id;     /* offset of the case in the struct: the same for all its fields */
    uint32_t place;  /* the field that was set last */
    uint32_t offset; /* where its values begin that count */
};

static void push_place(struct places *places, uint64_t item)
{
    if (places->count == places->capacity) {
        places->capacity = places->capacity == 0 ? 16 : places->capacity * 2;
        places->items = alloc_resize(places->items, places->capacity * sizeof *places->items);
    }
    places->items[places->count++] = item;
}

static struct oneof *find_oneof(struct oneof *oneofs, const ProtobufCFieldDescriptor *field)
{
    size_t i = 0;
    if (field == NULL || (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0) return NULL;
    while (oneofs[i].id != 0 && oneofs[i].id != field->quantifier_offset) i++;
    ASSERT(i < ONEOFS_MAX);
    return &oneofs[i];
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static struct places find_places(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct oneof *oneofs)
{
    struct places places = {.items = NULL};
    struct reader reader = reader_make(bytes);
    struct pb_field read;
    const uint8_t *at = bytes.data;
    while (reader_pb_field(&reader, &read)) {
        const ProtobufCFieldDescriptor *field = known_field(descriptor, &read);
        uint32_t place = field == NULL ? descriptor->n_fields : (uint32_t)(field - descriptor->fields);
        uint32_t offset = (uint32_t)(at - bytes.data);
        push_place(&places, (uint64_t)place << 32 | offset);
        struct oneof *oneof = find_oneof(oneofs, field);
        if (oneof != NULL && (oneof->id == 0 || oneof->place != place)) {
            *oneof = (struct oneof){.id = field->quantifier_offset, .place = place, .offset = offset};
        }
        at = reader.at;
    }
    ASSERT(!reader.bad);
    if (places.count > 1) qsort(places.items, places.count, sizeof *places.items, compare_places);
    return places;
}

static struct pb_field field_at(struct slice bytes, uint64_t item)
{
    struct pb_field read = {0};
    struct reader reader = reader_make(slice_from(bytes, (uint32_t)item));
    bool is_there = reader_pb_field(&reader, &read);
    ASSERT(is_there);
    return read;
}

static void put_enum(struct tool_tree *tree, const char *name, const ProtobufCEnumDescriptor *descriptor, int32_t value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(descriptor, value);
    if (known != NULL) tool_tree_word(tree, name, known->name);
    else tool_tree_i64(tree, name, value);
}

static void put_scalar(struct tool_tree *tree, const char *name, const ProtobufCFieldDescriptor *field, const struct pb_field *read)
{
    uint64_t value = read->value;
    int64_t zigzag = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: tool_tree_string(tree, name, read->bytes); break;
    case PROTOBUF_C_TYPE_BYTES: tool_tree_bytes(tree, name, read->bytes); break;
    case PROTOBUF_C_TYPE_BOOL: tool_tree_bool(tree, name, value != 0); break;
    case PROTOBUF_C_TYPE_ENUM: put_enum(tree, name, field->descriptor, (int32_t)(uint32_t)value); break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SFIXED32: tool_tree_i64(tree, name, (int32_t)(uint32_t)value); break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64: tool_tree_i64(tree, name, (int64_t)value); break;
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SINT64: tool_tree_i64(tree, name, zigzag); break;
    case PROTOBUF_C_TYPE_UINT32: tool_tree_u64(tree, name, (uint32_t)value); break;
    default: tool_tree_u64(tree, name, value); break; /* unsigned; of a float, which no message of ours has, the bits */
    }
}

static void put_unknown(struct tool_tree *tree, struct slice bytes, const uint64_t *items, size_t count)
{
    tool_tree_open(tree, "unknown_fields", '[');
    for (size_t i = 0; i < count; i++) {
        struct pb_field read = field_at(bytes, items[i]);
        tool_tree_open(tree, NULL, '{');
        tool_tree_u64(tree, "number", read.number);
        tool_tree_u64(tree, "wire", read.wire);
        if (read.wire == PB_BYTES) tool_tree_bytes(tree, "bytes", read.bytes);
        else tool_tree_u64(tree, "value", read.value);
        tool_tree_close(tree);
    }
    tool_tree_close(tree);
}

static void put_member(struct tool_tree *tree, const ProtobufCFieldDescriptor *field, const struct pb_field *read)
{
    if (is_packed(field, read)) {
        struct reader reader = reader_make(read->bytes);
        struct pb_field value;
        while (next_packed(&reader, field->type, &value)) put_scalar(tree, NULL, field, &value);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        tool_tree_open(tree, NULL, '{');
        tool_message_put(tree, field->descriptor, read->bytes);
        tool_tree_close(tree);
    } else {
        put_scalar(tree, NULL, field, read);
    }
}

/* Messages behind each other are the message that they merge to. */
static void put_merged(struct tool_tree *tree, const ProtobufCFieldDescriptor *field, struct slice bytes, const uint64_t *items,
                       size_t count)
{
    ASSERT(field->type == PROTOBUF_C_TYPE_MESSAGE && count > 0);
    struct pb_field read = field_at(bytes, items[0]);
    struct buf merged;
    buf_init(&merged);
    for (size_t i = 0; count > 1 && i < count; i++) buf_put_slice(&merged, field_at(bytes, items[i]).bytes);
    tool_tree_open(tree, field->name, '{');
    tool_message_put(tree, field->descriptor, count > 1 ? buf_slice(&merged) : read.bytes);
    tool_tree_close(tree);
    buf_deinit(&merged);
}

/* All places of one field. */
static void put_field(struct tool_tree *tree, const ProtobufCFieldDescriptor *field, struct slice bytes, const uint64_t *items,
                      size_t count)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        tool_tree_open(tree, field->name, '[');
        for (size_t i = 0; i < count; i++) {
            struct pb_field read = field_at(bytes, items[i]);
            put_member(tree, field, &read);
        }
        tool_tree_close(tree);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        put_merged(tree, field, bytes, items, count);
    } else {
        struct pb_field read = field_at(bytes, items[count - 1]);
        put_scalar(tree, field->name, field, &read);
    }
}

void tool_message_put(struct tool_tree *tree, const ProtobufCMessageDescriptor *descriptor, struct slice bytes)
{
    ASSERT(tree->depth > 0);
    struct oneof oneofs[ONEOFS_MAX] = {{0}};
    struct places places = find_places(descriptor, bytes, oneofs);
    for (size_t first = 0, next; first < places.count; first = next) {
        uint32_t place = (uint32_t)(places.items[first] >> 32);
        next = first + 1;
        while (next < places.count && places.items[next] >> 32 == place) next++;
        if (place == descriptor->n_fields) {
            put_unknown(tree, bytes, places.items + first, next - first);
            continue;
        }
        const ProtobufCFieldDescriptor *field = &descriptor->fields[place];
        const struct oneof *oneof = find_oneof(oneofs, field);
        size_t from = first;
        if (oneof != NULL && oneof->place != place) continue;
        while (oneof != NULL && (uint32_t)places.items[from] < oneof->offset) from++;
        put_field(tree, field, bytes, places.items + from, next - from);
    }
    alloc_free(places.items);
}
