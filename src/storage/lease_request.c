/* lease_request: nearly every message here has at most three fields, all integers. */
#include "storage/lease_request.h"

#include "base/assert.h"

#define FIELDS_MAX 3

/* Fields 1 to `count`; the last of each wins, others are skipped. */
static enum err parse_integers(struct slice bytes, uint32_t count, uint64_t out_values[FIELDS_MAX])
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    uint64_t values[FIELDS_MAX] = {0};
    ASSERT(count <= FIELDS_MAX);
    while (reader_pb_field(&reader, &field)) {
        if (field.number > count) continue;
        if (field.wire != PB_VARINT) return ERR_MALFORMED;
        values[field.number - 1] = field.value;
    }
    if (reader.bad) return ERR_MALFORMED;
    for (uint32_t i = 0; i < count; i++) out_values[i] = values[i];
    return ERR_OK;
}

enum err lease_request_parse_grant(struct slice bytes, struct lease_request_grant *out_request)
{
    uint64_t values[FIELDS_MAX];
    ASSERT(out_request != NULL);
    enum err err = parse_integers(bytes, 2, values);
    if (err == ERR_OK) *out_request = (struct lease_request_grant){.ttl = (int64_t)values[0], .id = (int64_t)values[1]};
    return err;
}

/* Its message has one field: a second one is unknown, whatever its type. */
enum err lease_request_parse_revoke(struct slice bytes, int64_t *out_id)
{
    uint64_t values[FIELDS_MAX];
    ASSERT(out_id != NULL);
    enum err err = parse_integers(bytes, 1, values);
    if (err == ERR_OK) *out_id = (int64_t)values[0];
    return err;
}

enum err lease_request_parse_keep_alive(struct slice bytes, int64_t *out_id) { return lease_request_parse_revoke(bytes, out_id); }

enum err lease_request_parse_time_to_live(struct slice bytes, struct lease_question *out_question)
{
    uint64_t values[FIELDS_MAX];
    ASSERT(out_question != NULL);
    enum err err = parse_integers(bytes, 2, values);
    if (err == ERR_OK) *out_question = (struct lease_question){.lease = (int64_t)values[0], .wants_keys = values[1] != 0};
    return err;
}

void lease_request_put_kept_alive(int64_t id, int64_t ttl, struct buf *out)
{
    ASSERT(ttl >= 0);
    if (id != 0) buf_put_pb_varint(out, 2, (uint64_t)id);
    if (ttl != 0) buf_put_pb_varint(out, 3, (uint64_t)ttl);
}

/* --- what a leader says -------------------------------------------------------------------------------------------------- */

/* The bytes of the next field 1; false at the end, or on anything else: then the reader is bad. */
static bool next_message(struct reader *reader, struct slice *out_bytes)
{
    struct pb_field field;
    if (!reader_pb_field(reader, &field)) return false;
    if (field.number != 1 || field.wire != PB_BYTES) reader->bad = true;
    if (reader->bad) return false;
    *out_bytes = field.bytes;
    return true;
}

/* Appends it as the next field 1. */
static void put_message(struct buf *message, struct buf *out)
{
    buf_put_pb_bytes(out, 1, buf_slice(message));
    buf_deinit(message);
}

void lease_request_put_expiry(const struct lease_request_expiry *expiry, struct buf *out)
{
    struct buf message;
    ASSERT(expiry->id != 0 && expiry->granted_index > 0);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, (uint64_t)expiry->id);
    buf_put_pb_varint(&message, 2, expiry->granted_index);
    put_message(&message, out);
}

bool lease_request_next_expiry(struct reader *reader, struct lease_request_expiry *out_expiry)
{
    struct slice bytes;
    uint64_t values[FIELDS_MAX];
    if (!next_message(reader, &bytes)) return false;
    bool is_good = parse_integers(bytes, 2, values) == ERR_OK && values[0] != 0 && values[1] > 0;
    if (is_good) *out_expiry = (struct lease_request_expiry){.id = (int64_t)values[0], .granted_index = values[1]};
    else reader->bad = true;
    return is_good;
}

/* Ours behind those of the API. */
enum { CHECKPOINT_ID = 1, CHECKPOINT_REMAINING = 2, CHECKPOINT_GRANTED_INDEX = 1000, CHECKPOINT_NUMBER = 1001 };

void lease_request_put_checkpoint(const struct lease_request_checkpoint *checkpoint, struct buf *out)
{
    struct buf message;
    ASSERT(checkpoint->id != 0 && checkpoint->granted_index > 0 && checkpoint->remaining >= 0 && checkpoint->number > 0);
    buf_init(&message);
    buf_put_pb_varint(&message, CHECKPOINT_ID, (uint64_t)checkpoint->id);
    if (checkpoint->remaining > 0) buf_put_pb_varint(&message, CHECKPOINT_REMAINING, (uint64_t)checkpoint->remaining);
    buf_put_pb_varint(&message, CHECKPOINT_GRANTED_INDEX, checkpoint->granted_index);
    buf_put_pb_varint(&message, CHECKPOINT_NUMBER, checkpoint->number);
    put_message(&message, out);
}

bool lease_request_next_checkpoint(struct reader *reader, struct lease_request_checkpoint *out_checkpoint)
{
    struct lease_request_checkpoint checkpoint = {.id = 0};
    struct slice bytes;
    struct pb_field field;
    if (!next_message(reader, &bytes)) return false;
    struct reader message = reader_make(bytes);
    while (reader_pb_field(&message, &field)) {
        switch (field.number) {
        case CHECKPOINT_ID: checkpoint.id = (int64_t)field.value; break;
        case CHECKPOINT_REMAINING: checkpoint.remaining = (int64_t)field.value; break;
        case CHECKPOINT_GRANTED_INDEX: checkpoint.granted_index = field.value; break;
        case CHECKPOINT_NUMBER: checkpoint.number = field.value; break;
        default: message.bad = true;
        }
        if (field.wire != PB_VARINT) message.bad = true;
    }
    if (message.bad || checkpoint.id == 0 || checkpoint.granted_index == 0 || checkpoint.remaining < 0) reader->bad = true;
    if (!reader->bad) *out_checkpoint = checkpoint;
    return !reader->bad;
}

/* --- between members ----------------------------------------------------------------------------------------------------- */

void lease_request_put_question(const struct lease_question *question, struct buf *out)
{
    struct buf message;
    ASSERT(!question->is_list);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, (uint64_t)question->lease);
    buf_put_pb_varint(&message, 2, question->wants_keys);
    if (question->is_renewal) buf_put_pb_varint(&message, 3, 1);
    put_message(&message, out);
}

bool lease_request_next_question(struct reader *reader, struct lease_question *out_question)
{
    struct slice bytes;
    uint64_t values[FIELDS_MAX];
    ASSERT(out_question != NULL);
    if (!next_message(reader, &bytes)) return false;
    bool is_good = parse_integers(bytes, 3, values) == ERR_OK;
    if (is_good) *out_question = (struct lease_question){.lease = (int64_t)values[0], .wants_keys = values[1] != 0, .is_renewal = values[2] != 0};
    else reader->bad = true;
    return is_good;
}

void lease_request_put_answer(const struct lease_answer *answer, struct buf *out)
{
    struct buf message;
    ASSERT(answer->err == ERR_OK || answer->body.size == 0);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, (uint64_t)answer->err);
    buf_put_pb_bytes(&message, 2, answer->body);
    put_message(&message, out);
}

bool lease_request_next_answer(struct reader *reader, struct lease_answer *out_answer)
{
    struct slice bytes;
    struct pb_field err, body;
    if (!next_message(reader, &bytes)) return false;
    struct reader message = reader_make(bytes);
    bool is_good = reader_pb_field(&message, &err) && reader_pb_field(&message, &body) && err.wire == PB_VARINT && err.value < ERR_COUNT &&
                   body.wire == PB_BYTES;
    if (!is_good) {
        reader->bad = true;
        return false;
    }
    *out_answer = (struct lease_answer){.err = (enum err)err.value, .body = body.bytes};
    return true;
}
