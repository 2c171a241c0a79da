/* alarm_state: what the state machine keeps of alarms: the list, and what members reported of their hashes (alarm_check.h).
 * Owner: alarm_state_new/_free. Thread: apply; the list is immutable and published by the state machine.
 */
#ifndef STORAGE_ALARM_STATE_H
#define STORAGE_ALARM_STATE_H
#include "storage/alarm.h"
#include "storage/alarm_check.h"
#include "storage/command.h"

struct alarm_state {
    struct alarm_list *list; /* one reference; replaced as a whole */
    struct alarm_check check;
};
struct alarm_state *alarm_state_new(void); /* no alarms, no reports */
void alarm_state_free(struct alarm_state *state); /* accepts NULL */

/* Whether a command may pass, by the alarms that stand in the log and by nothing else: what a member knows of its own disk or quota decides
 * at its door. ERR_OK, ERR_CORRUPT, ERR_NO_SPACE. */
MUST_USE enum err alarm_state_admit(const struct alarm_state *state, const struct command *command);
/* ACTIVATE, DEACTIVATE; all else does nothing. *out_is_named: the answer names the alarm, which changed or was active already.
 * ERR_OK, or ERR_TOO_MANY_REQUESTS: the list is full. */
MUST_USE enum err alarm_state_change(struct alarm_state *state, const struct alarm_request *request, bool *out_is_named);
/* A report of a member of the cluster; raises CORRUPT for whom it convicts. */
void alarm_state_report(struct alarm_state *state, const struct alarm_check_report *report, uint32_t member_count);

/* All of it as bytes, for a snapshot, and back: NULL on damage. */
void alarm_state_encode(const struct alarm_state *state, struct buf *out);
struct alarm_state *alarm_state_decode(struct slice bytes);

#endif
