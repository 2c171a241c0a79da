/* operation: hand-written decoders of the KV service's requests, one loop over the fields each. */
#include "storage/operation.h"

#include "base/assert.h"

/* Ends a decoder: the values are given out only if every byte made sense. */
#define PARSE_RESULT(reader, is_shaped, out, values)                                                                   \
    (!(reader).bad && (is_shaped) ? (*(out) = (values), ERR_OK) : ERR_MALFORMED)

static bool field_is(const struct pb_field *field, uint32_t wire) { return field->wire == wire; }
static int64_t field_i64(const struct pb_field *field) { return (int64_t)field->value; }
/* An enum is an int32 on the wire; the upper half of a longer varint is dropped, as protobuf says. */
static int32_t field_enum(const struct pb_field *field) { return (int32_t)(uint32_t)field->value; }

enum err operation_parse_put(struct slice bytes, struct operation_put *out_put)
{
    ASSERT(out_put != NULL);
    struct operation_put put = {.key = slice_empty()};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: put.key = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 2: put.value = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 3: put.lease = field_i64(&field), is_shaped &= field_is(&field, PB_VARINT); break;
        case 4: put.prev_kv = field.value != 0, is_shaped &= field_is(&field, PB_VARINT); break;
        case 5: put.ignore_value = field.value != 0, is_shaped &= field_is(&field, PB_VARINT); break;
        case 6: put.ignore_lease = field.value != 0, is_shaped &= field_is(&field, PB_VARINT); break;
        case OPERATION_PUT_TTL: put.ttl = field_i64(&field), is_shaped &= field_is(&field, PB_VARINT); break;
        default: break;
        }
    }
    return PARSE_RESULT(reader, is_shaped, out_put, put);
}

enum err operation_parse_delete_range(struct slice bytes, struct operation_delete_range *out_request)
{
    ASSERT(out_request != NULL);
    struct operation_delete_range request = {.key = slice_empty()};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: request.key = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 2: request.range_end = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 3: request.prev_kv = field.value != 0, is_shaped &= field_is(&field, PB_VARINT); break;
        default: break;
        }
    }
    return PARSE_RESULT(reader, is_shaped, out_request, request);
}

enum err operation_parse_compaction(struct slice bytes, struct operation_compaction *out_request)
{
    ASSERT(out_request != NULL);
    struct operation_compaction request = {.revision = 0, .physical = false};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: request.revision = field_i64(&field), is_shaped &= field_is(&field, PB_VARINT); break;
        case 2: request.physical = field.value != 0, is_shaped &= field_is(&field, PB_VARINT); break;
        default: break;
        }
    }
    return PARSE_RESULT(reader, is_shaped, out_request, request);
}

/* Fields 4…8 of Compare, by the target that each belongs to. */
static int32_t target_of_union_field(uint32_t number)
{
    static const int32_t TARGETS[] = {OPERATION_VERSION, OPERATION_CREATE, OPERATION_MOD, OPERATION_VALUE, OPERATION_LEASE};
    ASSERT(number >= 4 && number <= 8);
    return TARGETS[number - 4];
}

enum err operation_parse_compare(struct slice bytes, struct operation_compare *out_compare)
{
    ASSERT(out_compare != NULL);
    struct operation_compare compare = {.given = -1};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: compare.result = field_enum(&field), is_shaped &= field_is(&field, PB_VARINT); break;
        case 2: compare.target = field_enum(&field), is_shaped &= field_is(&field, PB_VARINT); break;
        case 3: compare.key = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 64: compare.range_end = field.bytes, is_shaped &= field_is(&field, PB_BYTES); break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 8: /* the oneof: the last member set is the one that counts */
            compare.given = target_of_union_field(field.number);
            compare.number = field_i64(&field);
            compare.value = field.bytes;
            is_shaped &= field_is(&field, field.number == 7 ? PB_BYTES : PB_VARINT);
            break;
        default: break;
        }
    }
    return PARSE_RESULT(reader, is_shaped, out_compare, compare);
}

struct operation_list operation_list_make(struct slice txn_bytes, enum operation_field field)
{
    ASSERT(field >= OPERATION_COMPARES && field <= OPERATION_FAILURE);
    return (struct operation_list){.reader = reader_make(txn_bytes), .field = field};
}

bool operation_list_next(struct operation_list *list, struct slice *out_bytes)
{
    ASSERT(list->field >= OPERATION_COMPARES && list->field <= OPERATION_FAILURE);
    struct pb_field field;
    while (reader_pb_field(&list->reader, &field)) {
        if (field.number != list->field) continue;
        if (field.wire != PB_BYTES) {
            list->reader.bad = true;
            return false;
        }
        *out_bytes = field.bytes;
        return true;
    }
    return false;
}

/* A RequestOp: which member, and its bytes. False: malformed. */
static bool parse_request_op(struct slice bytes, struct operation *out_operation)
{
    struct operation operation = {.kind = OPERATION_NONE, .branch = out_operation->branch, .whole = bytes};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number < OPERATION_RANGE || field.number > OPERATION_TXN) continue;
        if (field.wire != PB_BYTES) return false;
        operation.kind = (enum operation_kind)field.number;
        operation.body = field.bytes;
        operation.member_count++;
    }
    if (reader.bad) return false;
    *out_operation = operation;
    return true;
}

void operation_cursor_init(struct operation_cursor *cursor)
{
    ASSERT(cursor != NULL);
    cursor->depth = 0;
}

bool operation_cursor_enter(struct operation_cursor *cursor, struct slice txn_bytes, enum operation_field first,
                            enum operation_field last)
{
    ASSERT(first >= OPERATION_SUCCESS && first <= last && last <= OPERATION_FAILURE);
    ASSERT(cursor->depth <= OPERATION_DEPTH_MAX);
    if (cursor->depth == OPERATION_DEPTH_MAX) return false;
    cursor->depth++;
    cursor->levels[cursor->depth].list = operation_list_make(txn_bytes, first);
    cursor->levels[cursor->depth].bytes = txn_bytes;
    cursor->levels[cursor->depth].last = last;
    return true;
}

enum operation_step operation_cursor_next(struct operation_cursor *cursor, struct operation *out_operation)
{
    ASSERT(cursor->depth <= OPERATION_DEPTH_MAX);
    while (cursor->depth > 0) {
        struct operation_list *list = &cursor->levels[cursor->depth].list;
        struct slice bytes;
        if (operation_list_next(list, &bytes)) {
            struct operation operation = {.branch = (enum operation_field)list->field};
            if (!parse_request_op(bytes, &operation)) return OPERATION_STEP_BAD;
            *out_operation = operation;
            return OPERATION_STEP_OP;
        }
        if (list->reader.bad) return OPERATION_STEP_BAD;
        if (list->field < cursor->levels[cursor->depth].last) {
            *list = operation_list_make(cursor->levels[cursor->depth].bytes, (enum operation_field)(list->field + 1));
            continue;
        }
        cursor->depth--;
        if (cursor->depth > 0) return OPERATION_STEP_LEAVE;
    }
    return OPERATION_STEP_END;
}
