/* alarm: the cluster's alarms, a replicated list of {type, member}. Immutable once made; every change makes a new one, which the state
 * machine publishes under RCU.
 *
 * NOSPACE, raised by a member whose quota is reached, keeps out what needs room, on all members. CORRUPT, raised when members' states differ
 * (alarm_check.h), keeps out every change, and reads on the member that it names. Who raises an alarm, with which member's id, and of which
 * type, is the caller's business, as in etcd: an id of no member and a type without a meaning are kept and shown.
 * Owner: reference counted. Thread: any. Limits: ALARM_MAX of them. Source: API §11.
 */
#ifndef STORAGE_ALARM_H
#define STORAGE_ALARM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define ALARM_MAX 256
#define ALARM_TEXT_BYTES 64

/* Numbers of the API's AlarmType and AlarmAction. */
enum { ALARM_NONE = 0, ALARM_NOSPACE = 1, ALARM_CORRUPT = 2 };
enum { ALARM_GET = 0, ALARM_ACTIVATE = 1, ALARM_DEACTIVATE = 2 };
/* The member of a CORRUPT alarm when states differ and no majority agrees: any of them may be wrong. */
#define ALARM_ANY_MEMBER UINT64_C(0)

struct alarm {
    int32_t type;
    uint64_t member;
};
struct alarm_list {
    bool has_no_space, has_corrupt; /* of any member */
    size_t count;
    struct alarm alarms[]; /* ascending by type, then by member */
};

struct alarm_list *alarm_list_new(void); /* empty */
struct alarm_list *alarm_list_ref(const struct alarm_list *list);
void alarm_list_unref(struct alarm_list *list); /* accepts NULL */
bool alarm_list_has(const struct alarm_list *list, int32_t type, uint64_t member);
/* A changed copy; with one that is there, or without one that is not, an equal copy. There must be room (ALARM_MAX). */
struct alarm_list *alarm_list_with(const struct alarm_list *list, int32_t type, uint64_t member);
struct alarm_list *alarm_list_without(const struct alarm_list *list, int32_t type, uint64_t member);

/* What the alarms keep out: a change of the keys or of a lease, and one that needs room. ERR_OK, ERR_CORRUPT, ERR_NO_SPACE. */
MUST_USE enum err alarm_admit_change(const struct alarm_list *list, bool needs_room);
/* Reads of the state of this member. ERR_OK, ERR_CORRUPT. */
MUST_USE enum err alarm_admit_read(const struct alarm_list *list, uint64_t self);

/* AlarmRequest as plain values. ERR_OK or ERR_MALFORMED. */
struct alarm_request {
    int32_t action;
    struct alarm alarm;
};
MUST_USE enum err alarm_parse_request(struct slice bytes, struct alarm_request *out_request);
void alarm_put_request(const struct alarm_request *request, struct buf *out);
/* AlarmResponse.alarms, one element. */
void alarm_put_member(const struct alarm *alarm, struct buf *out);
/* The text that Status shows: "memberID:42 alarm:NOSPACE ". */
void alarm_format(const struct alarm *alarm, char out_text[ALARM_TEXT_BYTES]);

/* The list as bytes, and back: NULL on damage. */
void alarm_list_encode(const struct alarm_list *list, struct buf *out);
struct alarm_list *alarm_list_decode(struct slice bytes);

#endif
