/* command: the envelope's bytes.
 *
 *   level (10000) varint · request member (10001) fixed64 · boot (10002) fixed64 · counter (10003) varint
 *   header (100) { user name (2), auth revision (3) }, only if there is one
 *   chosen lease id (10004) varint, or packed varints for puts (level 2); chosen TTL (10005) varint; only if there are any
 *   body, as the field whose number is the kind
 *
 * Protobuf lets fields stand in any order; ours come first and the three of the id always stand, zero or not, so that the id is read
 * from the first bytes. A field that this level does not know is no detail to be skipped: it would be honoured by a newer member and
 * not by this one, and the two would differ. So decode refuses it, and the node stops.
 */
#include "storage/command.h"

#include "base/assert.h"
#include "base/buf.h"

enum {
    FIELD_HEADER = 100,
    FIELD_LEVEL = 10000,
    FIELD_MEMBER = 10001,
    FIELD_BOOT = 10002,
    FIELD_COUNTER = 10003,
    FIELD_CHOSEN_LEASE_ID = 10004,
    FIELD_CHOSEN_TTL = 10005,
};
#define HEAD_BYTES_MAX 120 /* of everything before the body, user name and lease ids of puts apart */

const char *command_kind_name(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_PUT: return "put";
    case COMMAND_DELETE_RANGE: return "delete_range";
    case COMMAND_TXN: return "txn";
    case COMMAND_COMPACTION: return "compaction";
    case COMMAND_LEASE_GRANT: return "lease_grant";
    case COMMAND_LEASE_REVOKE: return "lease_revoke";
    case COMMAND_ALARM: return "alarm";
    case COMMAND_LEASE_CHECKPOINT: return "lease_checkpoint";
    case COMMAND_CLUSTER_VERSION_SET: return "cluster_version_set";
    case COMMAND_CLUSTER_MEMBER_ATTR_SET: return "cluster_member_attr_set";
    case COMMAND_STATE_HASH: return "state_hash";
    case COMMAND_LEASE_EXPIRE: return "lease_expire";
    }
    return "unknown";
}

static bool is_kind(uint32_t number)
{
    switch (number) {
    case COMMAND_PUT:
    case COMMAND_DELETE_RANGE:
    case COMMAND_TXN:
    case COMMAND_COMPACTION:
    case COMMAND_LEASE_GRANT:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_ALARM:
    case COMMAND_LEASE_CHECKPOINT:
    case COMMAND_CLUSTER_VERSION_SET:
    case COMMAND_CLUSTER_MEMBER_ATTR_SET:
    case COMMAND_STATE_HASH:
    case COMMAND_LEASE_EXPIRE: return true;
    default: return false;
    }
}

static void put_fixed64(struct buf *buf, uint32_t field, uint64_t value)
{
    buf_put_varint(buf, pb_tag(field, PB_FIXED64));
    buf_put_u64(buf, value);
}

static void put_header(struct buf *buf, const struct command *command)
{
    if (command->user.size == 0 && command->auth_revision == 0) return;
    struct buf header;
    buf_init(&header);
    if (command->user.size > 0) buf_put_pb_bytes(&header, 2, command->user);
    if (command->auth_revision > 0) buf_put_pb_varint(&header, 3, command->auth_revision);
    buf_put_pb_bytes(buf, FIELD_HEADER, buf_slice(&header));
    buf_deinit(&header);
}

struct blob *command_encode(const struct command *command)
{
    ASSERT(is_kind(command->kind));
    ASSERT(command->level >= COMMAND_LEVEL_FIRST && command->level <= COMMAND_LEVEL);
    struct buf buf;
    size_t size_max = HEAD_BYTES_MAX + command->user.size + command->chosen_lease_ids.size + command->body.size;
    buf_init(&buf);
    buf_reserve(&buf, size_max);
    buf_put_pb_varint(&buf, FIELD_LEVEL, command->level);
    put_fixed64(&buf, FIELD_MEMBER, command->id.member);
    put_fixed64(&buf, FIELD_BOOT, command->id.boot);
    buf_put_pb_varint(&buf, FIELD_COUNTER, command->id.counter);
    put_header(&buf, command);
    if (command->chosen_lease_id != 0) buf_put_pb_varint(&buf, FIELD_CHOSEN_LEASE_ID, (uint64_t)command->chosen_lease_id);
    if (command->chosen_lease_ids.size != 0) buf_put_pb_bytes(&buf, FIELD_CHOSEN_LEASE_ID, command->chosen_lease_ids);
    if (command->chosen_ttl != 0) buf_put_pb_varint(&buf, FIELD_CHOSEN_TTL, (uint64_t)command->chosen_ttl);
    buf_put_pb_bytes(&buf, (uint32_t)command->kind, command->body);
    ASSERT(buf.size <= size_max);
    return buf_take_blob(&buf);
}

static bool decode_header(struct slice bytes, struct command *command)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 2 && field.wire == PB_BYTES) command->user = field.bytes;
        else if (field.number == 3 && field.wire == PB_VARINT) command->auth_revision = field.value;
        else return false;
    }
    return !reader.bad;
}

/* The fields of the id, in their order; leaves the reader behind them. */
static bool read_head(struct reader *reader, uint32_t *out_level, struct command_id *out_id)
{
    struct pb_field level, member, boot, counter;
    bool ok = reader_pb_field(reader, &level) && reader_pb_field(reader, &member) && reader_pb_field(reader, &boot) &&
              reader_pb_field(reader, &counter);
    if (!ok) return false;
    if (level.number != FIELD_LEVEL || level.wire != PB_VARINT || level.value > UINT32_MAX) return false;
    if (member.number != FIELD_MEMBER || member.wire != PB_FIXED64) return false;
    if (boot.number != FIELD_BOOT || boot.wire != PB_FIXED64) return false;
    if (counter.number != FIELD_COUNTER || counter.wire != PB_VARINT) return false;
    *out_level = (uint32_t)level.value;
    *out_id = (struct command_id){.member = member.value, .boot = boot.value, .counter = counter.value};
    return true;
}

/* False: it is none, or stands twice. */
static bool take_chosen(struct command *command, const struct pb_field *field)
{
    int64_t *place = field->number == FIELD_CHOSEN_LEASE_ID ? &command->chosen_lease_id : &command->chosen_ttl;
    bool is_chosen = field->number == FIELD_CHOSEN_LEASE_ID || field->number == FIELD_CHOSEN_TTL;
    if (!is_chosen || *place != 0 || field->value == 0) return false;
    *place = (int64_t)field->value;
    return true;
}

/* One id for a grant, ids for puts; a TTL for either. */
static bool may_be_chosen(const struct command *command)
{
    bool is_grant = command->kind == COMMAND_LEASE_GRANT;
    bool may_make = command->level >= COMMAND_LEVEL_PUT_TTL && (command->kind == COMMAND_PUT || command->kind == COMMAND_TXN);
    if (command->chosen_lease_id != 0 && !is_grant) return false;
    if (command->chosen_lease_ids.size != 0 && !may_make) return false;
    return command->chosen_ttl == 0 || is_grant || may_make;
}

bool command_decode(struct slice bytes, struct command *out_command)
{
    ASSERT(out_command != NULL);
    struct reader reader = reader_make(bytes);
    struct command command = {.level = 0};
    if (!read_head(&reader, &command.level, &command.id)) return false;
    if (command.level < COMMAND_LEVEL_FIRST || command.level > COMMAND_LEVEL) return false;
    struct pb_field field;
    bool has_header = false, has_body = false;
    while (reader_pb_field(&reader, &field)) {
        if (field.wire == PB_VARINT && take_chosen(&command, &field)) continue;
        if (field.wire != PB_BYTES) return false;
        if (field.number == FIELD_HEADER && !has_header) {
            has_header = true;
            if (!decode_header(field.bytes, &command)) return false;
        } else if (field.number == FIELD_CHOSEN_LEASE_ID && command.chosen_lease_ids.size == 0 && field.bytes.size > 0) {
            command.chosen_lease_ids = field.bytes;
        } else if (is_kind(field.number) && !has_body) {
            has_body = true;
            command.kind = (enum command_kind)field.number;
            command.body = field.bytes;
        } else {
            return false;
        }
    }
    if (reader.bad || !has_body || !may_be_chosen(&command)) return false;
    *out_command = command;
    return true;
}

bool command_peek_id(struct slice bytes, struct command_id *out_id)
{
    ASSERT(out_id != NULL);
    struct reader reader = reader_make(bytes);
    uint32_t level;
    return read_head(&reader, &level, out_id);
}
