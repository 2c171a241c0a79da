/* watch_request: see watch_request.h. */
#include "watch/watch_request.h"

#include "base/assert.h"
#include "base/buf.h"

enum { FILTER_NO_PUT = 0, FILTER_NO_DELETE = 1 };

static void set_filter(struct watch_request *request, uint64_t filter)
{
    if (filter == FILTER_NO_PUT) request->no_put = true;
    if (filter == FILTER_NO_DELETE) request->no_delete = true;
}

/* A repeated number comes packed or one by one. */
static bool read_filters(struct watch_request *request, const struct pb_field *field)
{
    if (field->wire == PB_VARINT) {
        set_filter(request, field->value);
        return true;
    }
    struct reader packed = reader_make(field->bytes);
    while (!packed.bad && reader_left(&packed) > 0) {
        uint64_t filter = reader_varint(&packed);
        if (!packed.bad) set_filter(request, filter);
    }
    return field->wire == PB_BYTES && !packed.bad;
}

static bool read_create(struct watch_request *request, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        uint32_t wire = field.number <= 2 ? PB_BYTES : PB_VARINT;
        switch (field.number) {
        case 1: request->key = field.bytes; break;
        case 2: request->range_end = field.bytes; break;
        case 3: request->start_revision = (int64_t)field.value; break;
        case 4: request->progress_notify = field.value != 0; break;
        case 5: wire = field.wire; is_shaped = read_filters(request, &field) && is_shaped; break;
        case 6: request->prev_kv = field.value != 0; break;
        case 7: request->watch_id = (int64_t)field.value; break;
        case 8: request->fragment = field.value != 0; break;
        default: continue;
        }
        is_shaped = is_shaped && field.wire == wire;
    }
    return is_shaped && !reader.bad;
}

static bool read_cancel(struct watch_request *request, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_shaped = true;
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 1) continue;
        request->watch_id = (int64_t)field.value;
        is_shaped = is_shaped && field.wire == PB_VARINT;
    }
    return is_shaped && !reader.bad;
}

static bool read_progress(struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) continue;
    return !reader.bad;
}

/* Of a union's members the last one counts. */
enum err watch_request_decode(struct slice bytes, struct watch_request *out_request)
{
    ASSERT(out_request != NULL);
    struct watch_request request = {.kind = WATCH_REQUEST_NONE};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    bool is_good = true;
    while (is_good && reader_pb_field(&reader, &field)) {
        if (field.number < 1 || field.number > 3) continue;
        request = (struct watch_request){.kind = (enum watch_request_kind)field.number};
        if (field.wire != PB_BYTES) is_good = false;
        else if (request.kind == WATCH_REQUEST_CREATE) is_good = read_create(&request, field.bytes);
        else if (request.kind == WATCH_REQUEST_CANCEL) is_good = read_cancel(&request, field.bytes);
        else is_good = read_progress(field.bytes);
    }
    if (!is_good || reader.bad) return ERR_MALFORMED;
    ASSERT(request.kind <= WATCH_REQUEST_PROGRESS);
    *out_request = request;
    return ERR_OK;
}
