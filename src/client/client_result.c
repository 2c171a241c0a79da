/* client_result: what came of a call: taken from the engine, unpacked, given back. */
#include "base/alloc.h"
#include "base/assert.h"
#include "client/client_inner.h"

#define DEPTH_MAX 32           /* of transactions in transactions; servers take fewer */
#define ARENA_BYTES_PER_BYTE 96 /* an empty pair is two bytes there and sizeof(struct kvd_event) here */
#define ARENA_BYTES_LEAST 65536

const char *kvd_code_text(enum kvd_code code)
{
    static const char *const servers[] = {"OK", "canceled", "unknown", "invalid argument", "deadline exceeded", "not found", "already exists",
                                          "permission denied", "resource exhausted", "failed precondition", "aborted", "out of range",
                                          "unimplemented", "internal", "unavailable", "data loss", "unauthenticated"};
    switch (code) {
    case KVD_BUSY: return "a limit of the client is reached";
    case KVD_FORKED: return "this is a child of the process that made the client";
    case KVD_ON_LIBRARY_THREAD: return "a call-back must not wait";
    case KVD_INVALID: return "the arguments make no sense";
    case KVD_MALFORMED: return "the server's answer is not a response of this method";
    case KVD_OVER: return "it is over";
    default: return (unsigned)code < sizeof servers / sizeof servers[0] ? servers[code] : "unknown";
    }
}

void client_result_init(struct client_result *result)
{
    *result = (struct client_result){.face = {.code = KVD_UNKNOWN, .text = ""}};
    buf_init(&result->body);
    arena_init(&result->arena, ARENA_BYTES_LEAST);
}

void client_result_deinit(struct client_result *result)
{
    arena_deinit(&result->arena);
    buf_deinit(&result->body);
    alloc_free(result->text);
}

void kvd_result_free(struct kvd_result *result)
{
    if (result == NULL) return;
    struct client_result *whole = (struct client_result *)result; /* face is first */
    client_result_deinit(whole);
    alloc_free(whole);
}

struct kvd_result *client_result_refused(enum kvd_code code, const char *text)
{
    struct client_result *result = ALLOC(struct client_result);
    client_result_init(result);
    client_result_refuse(result, code, text);
    return &result->face;
}

void client_result_refuse(struct client_result *result, enum kvd_code code, const char *text)
{
    ASSERT(code != KVD_OK && text != NULL);
    result->face.code = code;
    result->face.text = text;
}

void client_result_take(struct client_result *result, const struct rpc_client_result *from, bool copies)
{
    struct kvd_result *face = &result->face;
    face->code = (enum kvd_code)from->code;
    face->is_unknown = from->is_unknown;
    face->is_unreachable = from->is_unreachable;
    face->endpoint = from->endpoint;
    face->attempts = from->attempts;
    if (copies) {
        buf_put_slice(&result->body, from->body);
        result->text = alloc_string(from->text);
    }
    face->body = client_bytes(copies ? buf_slice(&result->body) : from->body);
    face->text = copies ? result->text : from->text;
}

size_t client_arena_bytes(size_t body_bytes)
{
    return body_bytes > (SIZE_MAX - ARENA_BYTES_LEAST) / ARENA_BYTES_PER_BYTE ? SIZE_MAX : body_bytes * ARENA_BYTES_PER_BYTE + ARENA_BYTES_LEAST;
}

/* --- small messages -------------------------------------------------------------------------------------------------------- */

/* How often a field of bytes occurs; *out_items (in the arena) has room for as many of `size`, zeroed. False: bad bytes, or no room. */
static bool make_items(struct slice message, uint32_t number, size_t size, struct arena *arena, void **out_items, size_t *out_count)
{
    struct reader reader = reader_make(message);
    struct pb_field field;
    size_t count = 0;
    while (reader_pb_field(&reader, &field)) count += field.number == number && field.wire == PB_BYTES;
    *out_count = count;
    *out_items = NULL;
    if (reader.bad || count == 0) return !reader.bad;
    if (count > arena->bytes_max / size) return false;
    *out_items = arena_alloc(arena, count * size);
    if (*out_items != NULL) memset(*out_items, 0, count * size);
    return *out_items != NULL;
}

static bool decode_header(struct slice bytes, struct kvd_header *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) out->cluster_id = field.value;
        if (field.number == 2) out->member_id = field.value;
        if (field.number == 3) out->revision = (int64_t)field.value;
        if (field.number == 4) out->raft_term = field.value;
    }
    return !reader.bad;
}

static bool decode_pair(struct slice bytes, struct kvd_pair *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 1: out->key = client_bytes(field.bytes); break;
        case 2: out->create_revision = (int64_t)field.value; break;
        case 3: out->mod_revision = (int64_t)field.value; break;
        case 4: out->version = (int64_t)field.value; break;
        case 5: out->value = client_bytes(field.bytes); break;
        case 6: out->lease = (int64_t)field.value; break;
        default: break;
        }
    }
    return !reader.bad;
}

static bool decode_event(struct slice bytes, struct kvd_event *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_good = true;
    while (is_good && reader_pb_field(&reader, &field)) {
        if (field.number == 1) out->type = field.value == 1 ? KVD_EVENT_DELETE : KVD_EVENT_PUT;
        if (field.number == 2) is_good = decode_pair(field.bytes, &out->pair);
        if (field.number == 3) is_good = decode_pair(field.bytes, &out->previous);
        if (field.number == 3) out->has_previous = true;
    }
    return is_good && !reader.bad;
}

/* Repeated bytes of one field, as they stand. */
static bool decode_texts(struct slice message, uint32_t number, struct arena *arena, const struct kvd_bytes **out_texts, size_t *out_count)
{
    struct reader reader = reader_make(message);
    struct pb_field field;
    void *items = NULL;
    if (!make_items(message, number, sizeof(struct kvd_bytes), arena, &items, out_count)) return false;
    struct kvd_bytes *texts = items;
    *out_texts = texts;
    for (size_t i = 0; i < *out_count && reader_pb_field(&reader, &field);)
        if (field.number == number && field.wire == PB_BYTES) texts[i++] = client_bytes(field.bytes);
    return true;
}

/* --- responses -------------------------------------------------------------------------------------------------------------- */

typedef bool decode_fn(struct slice bytes, void *out, struct arena *arena);
static bool decode_one_pair(struct slice bytes, void *out, struct arena *arena) { return arena != NULL && decode_pair(bytes, out); }
static bool decode_one_event(struct slice bytes, void *out, struct arena *arena) { return arena != NULL && decode_event(bytes, out); }
static bool decode_one_lease(struct slice bytes, void *out, struct arena *arena)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == 1) *(int64_t *)out = (int64_t)field.value;
    return arena != NULL && !reader.bad;
}
static bool decode_one_member(struct slice bytes, void *out, struct arena *arena)
{
    struct kvd_member *member = out;
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) member->id = field.value;
        if (field.number == 2) member->name = client_bytes(field.bytes);
        if (field.number == 5) member->is_learner = field.value != 0;
    }
    return !reader.bad && decode_texts(bytes, 3, arena, &member->peer_urls, &member->peer_url_count) &&
           decode_texts(bytes, 4, arena, &member->client_urls, &member->client_url_count);
}

/* All messages of one field. */
static bool decode_items(struct slice message, uint32_t number, size_t size, decode_fn *decode, struct arena *arena, void **out_items,
                         size_t *out_count)
{
    struct reader reader = reader_make(message);
    struct pb_field field;
    bool is_good = make_items(message, number, size, arena, out_items, out_count);
    for (size_t i = 0; is_good && i < *out_count && reader_pb_field(&reader, &field);)
        if (field.number == number && field.wire == PB_BYTES) is_good = decode(field.bytes, (char *)*out_items + size * i++, arena);
    return is_good;
}

/* Every response has its header in field 1; what else is a number is picked by the kind. */
static void pick_number(enum client_kind kind, const struct pb_field *field, struct kvd_result *out)
{
    int64_t value = (int64_t)field->value;
    uint32_t number = field->number;
    switch (kind) {
    case CLIENT_RANGE:
        if (number == 3) out->has_more = value != 0;
        if (number == 4) out->count = value;
        break;
    case CLIENT_DELETE:
        if (number == 2) out->count = value;
        break;
    case CLIENT_PUT:
        if (number == 1000) out->lease = value;
        if (number == 1001) out->ttl = out->granted_ttl = value;
        break;
    case CLIENT_TXN:
        if (number == 2) out->succeeded = value != 0;
        break;
    case CLIENT_GRANT:
    case CLIENT_TIME_TO_LIVE:
        if (number == 2) out->lease = value;
        if (number == 3) out->ttl = value;
        if (number == 3 && kind == CLIENT_GRANT) out->granted_ttl = value;
        if (number == 4) out->granted_ttl = value;
        break;
    default: break;
    }
}

static bool decode_status(struct slice bytes, struct kvd_member_status *out, struct arena *arena)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        switch (field.number) {
        case 2: out->version = client_bytes(field.bytes); break;
        case 3: out->db_size = (int64_t)field.value; break;
        case 4: out->leader = field.value; break;
        case 5: out->raft_index = field.value; break;
        case 6: out->raft_term = field.value; break;
        case 7: out->raft_applied_index = field.value; break;
        case 9: out->db_size_in_use = (int64_t)field.value; break;
        case 10: out->is_learner = field.value != 0; break;
        default: break;
        }
    }
    return !reader.bad && decode_texts(bytes, 8, arena, &out->errors, &out->error_count);
}

static bool decode_response(struct slice bytes, enum client_kind kind, struct arena *arena, unsigned depth, struct kvd_result *out);

/* ResponseOp: which operation it answers stands in its field's number. */
static bool decode_operation(struct slice bytes, struct arena *arena, unsigned depth, struct kvd_result *out)
{
    static const enum client_kind kinds[] = {[1] = CLIENT_RANGE, [2] = CLIENT_PUT, [3] = CLIENT_DELETE, [4] = CLIENT_TXN};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    out->text = "";
    if (!reader_pb_field(&reader, &field)) return !reader.bad;
    out->body = client_bytes(field.bytes);
    return field.number <= 4 && field.wire == PB_BYTES && decode_response(field.bytes, kinds[field.number], arena, depth, out);
}

static bool decode_operations(struct slice bytes, struct arena *arena, unsigned depth, struct kvd_result *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    void *items = NULL;
    bool is_good = depth < DEPTH_MAX && make_items(bytes, 3, sizeof(struct kvd_result), arena, &items, &out->result_count);
    struct kvd_result *results = items;
    out->results = results;
    for (size_t i = 0; is_good && i < out->result_count && reader_pb_field(&reader, &field);)
        if (field.number == 3 && field.wire == PB_BYTES) is_good = decode_operation(field.bytes, arena, depth + 1, &results[i++]);
    return is_good;
}

static bool decode_lists(struct slice bytes, enum client_kind kind, struct arena *arena, unsigned depth, struct kvd_result *out)
{
    void *items = NULL;
    bool is_good = true;
    switch (kind) {
    case CLIENT_RANGE:
    case CLIENT_PUT:
    case CLIENT_DELETE:
        is_good = decode_items(bytes, kind == CLIENT_DELETE ? 3 : 2, sizeof(struct kvd_pair), decode_one_pair, arena, &items, &out->pair_count);
        out->pairs = items;
        break;
    case CLIENT_TXN: is_good = decode_operations(bytes, arena, depth, out); break;
    case CLIENT_TIME_TO_LIVE: is_good = decode_texts(bytes, 5, arena, &out->keys, &out->key_count); break;
    case CLIENT_LEASES:
        is_good = decode_items(bytes, 2, sizeof(int64_t), decode_one_lease, arena, &items, &out->lease_count);
        out->leases = items;
        break;
    case CLIENT_MEMBERS:
        is_good = decode_items(bytes, 2, sizeof(struct kvd_member), decode_one_member, arena, &items, &out->member_count);
        out->members = items;
        break;
    case CLIENT_HISTORY:
        is_good = decode_items(bytes, 2, sizeof(struct kvd_event), decode_one_event, arena, &items, &out->event_count);
        out->events = items;
        break;
    case CLIENT_STATUS:
        out->status = items = arena_alloc(arena, sizeof(struct kvd_member_status));
        if (items == NULL) return false;
        memset(items, 0, sizeof(struct kvd_member_status));
        is_good = decode_status(bytes, items, arena);
        break;
    default: break;
    }
    return is_good;
}

static bool decode_response(struct slice bytes, enum client_kind kind, struct arena *arena, unsigned depth, struct kvd_result *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_good = true;
    while (is_good && reader_pb_field(&reader, &field)) {
        if (field.number == 1 && field.wire == PB_BYTES) is_good = decode_header(field.bytes, &out->header);
        if (field.wire == PB_VARINT) pick_number(kind, &field, out);
        if (kind == CLIENT_HISTORY && field.number == 3) out->next = client_bytes(field.bytes);
    }
    return is_good && !reader.bad && decode_lists(bytes, kind, arena, depth, out);
}

void client_result_decode(struct client_result *result, enum client_kind kind)
{
    struct kvd_result *face = &result->face;
    if (face->code != KVD_OK || kind == CLIENT_RAW || kind == CLIENT_STREAM) return;
    result->arena.bytes_max = client_arena_bytes(face->body.size);
    if (!decode_response(client_slice(face->body), kind, &result->arena, 0, face))
        client_result_refuse(result, KVD_MALFORMED, kvd_code_text(KVD_MALFORMED));
}

/* --- streams ---------------------------------------------------------------------------------------------------------------- */

bool client_decode_watch(struct slice bytes, struct arena *arena, struct client_watch_response *out)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    void *items = NULL;
    bool is_good = true;
    *out = (struct client_watch_response){.is_created = false};
    while (is_good && reader_pb_field(&reader, &field)) {
        if (field.number == 1 && field.wire == PB_BYTES) is_good = decode_header(field.bytes, &out->header);
        if (field.number == 3) out->is_created = field.value != 0;
        if (field.number == 4) out->is_canceled = field.value != 0;
        if (field.number == 5) out->compact_revision = (int64_t)field.value;
        if (field.number == 6) out->reason = field.bytes;
    }
    is_good = is_good && !reader.bad && decode_items(bytes, 11, sizeof(struct kvd_event), decode_one_event, arena, &items, &out->event_count);
    out->events = items;
    for (size_t i = 0; is_good && i < out->event_count; i++) is_good = out->events[i].pair.mod_revision > 0;
    return is_good;
}

bool client_decode_keep_alive(struct slice bytes, struct kvd_header *out_header, int64_t *out_id, int64_t *out_ttl)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_good = true;
    *out_header = (struct kvd_header){.cluster_id = 0};
    *out_id = *out_ttl = 0;
    while (is_good && reader_pb_field(&reader, &field)) {
        if (field.number == 1 && field.wire == PB_BYTES) is_good = decode_header(field.bytes, out_header);
        if (field.number == 2) *out_id = (int64_t)field.value;
        if (field.number == 3) *out_ttl = (int64_t)field.value;
    }
    return is_good && !reader.bad;
}
