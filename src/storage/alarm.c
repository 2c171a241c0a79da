/* alarm: see alarm.h. Encoded, a list is its alarms as the elements of an AlarmResponse. */
#include "storage/alarm.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

/* The count of references stands in front, out of the readers' way. */
struct counted {
    atomic_uint references;
    struct alarm_list list;
};

static struct counted *counted_of(const struct alarm_list *list)
{
    ASSERT(list != NULL);
    return (struct counted *)((uintptr_t)list - offsetof(struct counted, list));
}

static struct alarm_list *make(size_t count)
{
    ASSERT(count <= ALARM_MAX);
    struct counted *counted = alloc_zero(1, sizeof *counted + count * sizeof(struct alarm));
    atomic_init(&counted->references, 1);
    return &counted->list;
}

struct alarm_list *alarm_list_new(void) { return make(0); }

struct alarm_list *alarm_list_ref(const struct alarm_list *list)
{
    struct counted *counted = counted_of(list);
    unsigned before = atomic_fetch_add_explicit(&counted->references, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return &counted->list;
}

void alarm_list_unref(struct alarm_list *list)
{
    if (list == NULL) return;
    unsigned before = atomic_fetch_sub_explicit(&counted_of(list)->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) alloc_free(counted_of(list));
}

static bool is_before(const struct alarm *alarm, int32_t type, uint64_t member)
{
    return alarm->type != type ? alarm->type < type : alarm->member < member;
}

/* The place of the first alarm that is not before this one. */
static size_t place_of(const struct alarm_list *list, int32_t type, uint64_t member)
{
    size_t place = 0;
    ASSERT(list->count <= ALARM_MAX);
    while (place < list->count && is_before(&list->alarms[place], type, member)) place++;
    return place;
}

static bool is_at(const struct alarm_list *list, size_t place, int32_t type, uint64_t member)
{
    return place < list->count && list->alarms[place].type == type && list->alarms[place].member == member;
}

bool alarm_list_has(const struct alarm_list *list, int32_t type, uint64_t member)
{
    return is_at(list, place_of(list, type, member), type, member);
}

/* Appended in order. */
static void append(struct alarm_list *list, struct alarm alarm)
{
    ASSERT(list->count == 0 || is_before(&list->alarms[list->count - 1], alarm.type, alarm.member));
    list->alarms[list->count++] = alarm;
    list->has_no_space = list->has_no_space || alarm.type == ALARM_NOSPACE;
    list->has_corrupt = list->has_corrupt || alarm.type == ALARM_CORRUPT;
}

struct alarm_list *alarm_list_with(const struct alarm_list *list, int32_t type, uint64_t member)
{
    size_t place = place_of(list, type, member);
    bool is_there = is_at(list, place, type, member);
    struct alarm_list *next = make(list->count + !is_there);
    for (size_t i = 0; i < place; i++) append(next, list->alarms[i]);
    if (!is_there) append(next, (struct alarm){.type = type, .member = member});
    for (size_t i = place; i < list->count; i++) append(next, list->alarms[i]);
    ASSERT(alarm_list_has(next, type, member));
    return next;
}

struct alarm_list *alarm_list_without(const struct alarm_list *list, int32_t type, uint64_t member)
{
    struct alarm_list *next = make(list->count);
    size_t place = place_of(list, type, member);
    bool is_there = is_at(list, place, type, member);
    for (size_t i = 0; i < list->count; i++)
        if (!is_there || i != place) append(next, list->alarms[i]);
    ASSERT(!alarm_list_has(next, type, member));
    return next;
}

enum err alarm_admit_change(const struct alarm_list *list, bool needs_room)
{
    ASSERT(list != NULL);
    if (list->has_corrupt) return ERR_CORRUPT;
    return list->has_no_space && needs_room ? ERR_NO_SPACE : ERR_OK;
}

enum err alarm_admit_read(const struct alarm_list *list, uint64_t self)
{
    ASSERT(list != NULL && self != ALARM_ANY_MEMBER);
    if (!list->has_corrupt) return ERR_OK;
    bool is_named = alarm_list_has(list, ALARM_CORRUPT, self) || alarm_list_has(list, ALARM_CORRUPT, ALARM_ANY_MEMBER);
    return is_named ? ERR_CORRUPT : ERR_OK;
}

/* --- bytes --------------------------------------------------------------------------------------------------------------- */

enum err alarm_parse_request(struct slice bytes, struct alarm_request *out_request)
{
    ASSERT(out_request != NULL);
    struct alarm_request request = {.action = ALARM_GET};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field)) {
        if (field.number < 1 || field.number > 3) continue;
        if (field.wire != PB_VARINT) return ERR_MALFORMED;
        if (field.number == 1) request.action = (int32_t)field.value;
        if (field.number == 2) request.alarm.member = field.value;
        if (field.number == 3) request.alarm.type = (int32_t)field.value;
    }
    if (reader.bad) return ERR_MALFORMED;
    *out_request = request;
    return ERR_OK;
}

/* A negative number of an enum stands on the wire as one of 64 bits. */
static void put_enum(struct buf *out, uint32_t field, int32_t value)
{
    ASSERT(field > 0);
    if (value != 0) buf_put_pb_varint(out, field, (uint64_t)(int64_t)value);
}

void alarm_put_request(const struct alarm_request *request, struct buf *out)
{
    ASSERT(request != NULL && out != NULL);
    put_enum(out, 1, request->action);
    if (request->alarm.member != 0) buf_put_pb_varint(out, 2, request->alarm.member);
    put_enum(out, 3, request->alarm.type);
}

void alarm_put_member(const struct alarm *alarm, struct buf *out)
{
    struct buf body;
    ASSERT(alarm != NULL && out != NULL);
    buf_init(&body);
    if (alarm->member != 0) buf_put_pb_varint(&body, 1, alarm->member);
    put_enum(&body, 2, alarm->type);
    buf_put_pb_bytes(out, 2, buf_slice(&body));
    buf_deinit(&body);
}

void alarm_format(const struct alarm *alarm, char out_text[ALARM_TEXT_BYTES])
{
    char type[16], member[40] = "";
    ASSERT(alarm != NULL && out_text != NULL);
    if (alarm->type == ALARM_NOSPACE) snprintf(type, sizeof type, "NOSPACE");
    else if (alarm->type == ALARM_CORRUPT) snprintf(type, sizeof type, "CORRUPT");
    else snprintf(type, sizeof type, "%" PRId32, alarm->type);
    if (alarm->member != 0) snprintf(member, sizeof member, "memberID:%" PRIu64 " ", alarm->member);
    snprintf(out_text, ALARM_TEXT_BYTES, "%salarm:%s ", member, type);
}

void alarm_list_encode(const struct alarm_list *list, struct buf *out)
{
    ASSERT(list != NULL && list->count <= ALARM_MAX);
    for (size_t i = 0; i < list->count; i++) alarm_put_member(&list->alarms[i], out);
}

static bool read_alarm(struct slice bytes, struct alarm *out_alarm)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct alarm alarm = {.type = ALARM_NONE};
    while (reader_pb_field(&reader, &field)) {
        if (field.wire != PB_VARINT || field.number < 1 || field.number > 2) return false;
        if (field.number == 1) alarm.member = field.value;
        if (field.number == 2) alarm.type = (int32_t)field.value;
    }
    *out_alarm = alarm;
    return !reader.bad && alarm.type != ALARM_NONE;
}

struct alarm_list *alarm_list_decode(struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct alarm alarm;
    struct alarm_list *list = make(ALARM_MAX);
    bool is_good = true;
    while (is_good && reader_pb_field(&reader, &field)) {
        is_good = field.number == 2 && field.wire == PB_BYTES && list->count < ALARM_MAX && read_alarm(field.bytes, &alarm);
        if (!is_good) break;
        const struct alarm *last = list->count == 0 ? NULL : &list->alarms[list->count - 1];
        is_good = last == NULL || is_before(last, alarm.type, alarm.member);
        if (is_good) append(list, alarm);
    }
    if (is_good && !reader.bad) return list;
    alarm_list_unref(list);
    return NULL;
}
