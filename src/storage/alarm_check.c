/* alarm_check: see alarm_check.h. Encoded, the rounds are their reports, oldest round first, each as field 1. */
#include "storage/alarm_check.h"

#include <string.h>

#include "base/assert.h"
#include "storage/alarm.h"

/* The round of an index; made if it is newer than the oldest one that is kept. NULL: too late. */
static struct alarm_check_round *round_of(struct alarm_check *check, uint64_t index)
{
    struct alarm_check_round *rounds = check->rounds;
    uint32_t place = 0;
    ASSERT(index > 0);
    while (place < ALARM_CHECK_ROUNDS && rounds[place].index < index) place++;
    if (place < ALARM_CHECK_ROUNDS && rounds[place].index == index) return &rounds[place];
    if (place == 0) return NULL;
    /* Goes in front of `place`; the oldest makes room. */
    memmove(&rounds[0], &rounds[1], (place - 1) * sizeof rounds[0]);
    rounds[place - 1] = (struct alarm_check_round){.index = index};
    ASSERT(place == ALARM_CHECK_ROUNDS || rounds[place].index > index);
    return &rounds[place - 1];
}

static bool has_reported(const struct alarm_check_round *round, uint64_t member)
{
    ASSERT(round->count <= ALARM_CHECK_MEMBERS_MAX);
    for (uint32_t i = 0; i < round->count; i++)
        if (round->reports[i].member == member) return true;
    return false;
}

/* The report whose hash `needed` members share, or NULL. */
static const uint64_t *find_agreed(const struct alarm_check_round *round, uint32_t needed)
{
    ASSERT(needed > 0);
    for (uint32_t i = 0; i < round->count; i++) {
        uint32_t same = 0;
        for (uint32_t k = 0; k < round->count; k++) same += round->reports[k].hash == round->reports[i].hash;
        if (same >= needed) return &round->reports[i].hash;
    }
    return NULL;
}

void alarm_check_add(struct alarm_check *check, const struct alarm_check_report *report, uint32_t member_count,
                     struct alarm_check_verdict *out_verdict)
{
    ASSERT(report->member != 0 && member_count > 0);
    out_verdict->count = 0;
    struct alarm_check_round *round = round_of(check, report->index);
    if (round == NULL || round->count == ALARM_CHECK_MEMBERS_MAX || has_reported(round, report->member)) return;
    round->reports[round->count].member = report->member;
    round->reports[round->count++].hash = report->hash;
    const uint64_t *agreed = find_agreed(round, member_count / 2 + 1);
    if (agreed == NULL) {
        if (round->count >= member_count) out_verdict->members[out_verdict->count++] = ALARM_ANY_MEMBER;
        return;
    }
    for (uint32_t i = 0; i < round->count; i++)
        if (round->reports[i].hash != *agreed) out_verdict->members[out_verdict->count++] = round->reports[i].member;
    ASSERT(out_verdict->count < round->count);
}

void alarm_check_clear(struct alarm_check *check)
{
    ASSERT(check != NULL);
    *check = (struct alarm_check){.rounds = {{.index = 0}}};
}

/* --- bytes --------------------------------------------------------------------------------------------------------------- */

enum err alarm_check_parse(struct slice bytes, struct alarm_check_report *out_report)
{
    struct alarm_check_report report = {.member = 0};
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    ASSERT(out_report != NULL);
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1 && field.wire == PB_FIXED64) report.member = field.value;
        else if (field.number == 2 && field.wire == PB_VARINT) report.index = field.value;
        else if (field.number == 3 && field.wire == PB_FIXED64) report.hash = field.value;
        else return ERR_MALFORMED;
    }
    if (reader.bad || report.member == 0 || report.index == 0) return ERR_MALFORMED;
    *out_report = report;
    return ERR_OK;
}

void alarm_check_put(const struct alarm_check_report *report, struct buf *out)
{
    ASSERT(report->member != 0 && report->index != 0);
    buf_put_varint(out, pb_tag(1, PB_FIXED64));
    buf_put_u64(out, report->member);
    buf_put_pb_varint(out, 2, report->index);
    buf_put_varint(out, pb_tag(3, PB_FIXED64));
    buf_put_u64(out, report->hash);
}

void alarm_check_encode(const struct alarm_check *check, struct buf *out)
{
    ASSERT(check != NULL && out != NULL);
    for (uint32_t i = 0; i < ALARM_CHECK_ROUNDS; i++) {
        const struct alarm_check_round *round = &check->rounds[i];
        for (uint32_t k = 0; k < round->count; k++) {
            struct buf body;
            buf_init(&body);
            alarm_check_put(&(struct alarm_check_report){.member = round->reports[k].member, .index = round->index,
                                                         .hash = round->reports[k].hash}, &body);
            buf_put_pb_bytes(out, 1, buf_slice(&body));
            buf_deinit(&body);
        }
    }
}

bool alarm_check_decode(struct alarm_check *check, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    struct alarm_check_report report;
    struct alarm_check read = {.rounds = {{.index = 0}}};
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 1 || field.wire != PB_BYTES || alarm_check_parse(field.bytes, &report) != ERR_OK) return false;
        struct alarm_check_round *round = round_of(&read, report.index);
        bool is_good = round != NULL && round->count < ALARM_CHECK_MEMBERS_MAX && !has_reported(round, report.member);
        if (!is_good) return false;
        round->reports[round->count].member = report.member;
        round->reports[round->count++].hash = report.hash;
    }
    ASSERT(check != NULL);
    if (reader.bad) return false;
    *check = read;
    return true;
}
