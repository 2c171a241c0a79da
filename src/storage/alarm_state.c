/* alarm_state: see alarm_state.h. Encoded: { alarms = 1, reports = 2 }, each as its own file says. */
#include "storage/alarm_state.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/operation.h"

struct alarm_state *alarm_state_new(void)
{
    struct alarm_state *state = ALLOC(struct alarm_state);
    state->list = alarm_list_new();
    ASSERT(state->list->count == 0);
    return state;
}

void alarm_state_free(struct alarm_state *state)
{
    if (state == NULL) return;
    alarm_list_unref(state->list);
    alloc_free(state);
}

static void set_list(struct alarm_state *state, struct alarm_list *list)
{
    ASSERT(list != NULL && list != state->list);
    alarm_list_unref(state->list);
    state->list = list;
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

static enum err activate(struct alarm_state *state, int32_t type, uint64_t member)
{
    ASSERT(type != ALARM_NONE);
    if (alarm_list_has(state->list, type, member)) return ERR_OK;
    if (state->list->count == ALARM_MAX) return ERR_TOO_MANY_REQUESTS;
    set_list(state, alarm_list_with(state->list, type, member));
    return ERR_OK;
}

enum err alarm_state_change(struct alarm_state *state, const struct alarm_request *request, bool *out_is_named)
{
    const struct alarm *alarm = &request->alarm;
    bool is_active = alarm_list_has(state->list, alarm->type, alarm->member);
    ASSERT(out_is_named != NULL && !(is_active && alarm->type == ALARM_NONE));
    *out_is_named = false;
    if (request->action == ALARM_ACTIVATE && alarm->type != ALARM_NONE) {
        enum err err = activate(state, alarm->type, alarm->member);
        *out_is_named = err == ERR_OK;
        return err;
    }
    if (request->action != ALARM_DEACTIVATE || !is_active) return ERR_OK;
    set_list(state, alarm_list_without(state->list, alarm->type, alarm->member));
    if (alarm->type == ALARM_CORRUPT) alarm_check_clear(&state->check);
    *out_is_named = true;
    return ERR_OK;
}

void alarm_state_report(struct alarm_state *state, const struct alarm_check_report *report, uint32_t member_count)
{
    struct alarm_check_verdict verdict;
    alarm_check_add(&state->check, report, member_count, &verdict);
    for (uint32_t i = 0; i < verdict.count; i++) (void)activate(state, ALARM_CORRUPT, verdict.members[i]);
    ASSERT(verdict.count == 0 || state->list->has_corrupt || state->list->count == ALARM_MAX);
}

/* --- what may pass ------------------------------------------------------------------------------------------------------- */

/* In any branch, as the quota counts it. */
static bool has_put(struct slice txn_bytes)
{
    struct operation_cursor cursor;
    struct operation operation;
    enum operation_step step;
    operation_cursor_init(&cursor);
    bool is_entered = operation_cursor_enter(&cursor, txn_bytes, OPERATION_SUCCESS, OPERATION_FAILURE);
    ASSERT(is_entered);
    while ((step = operation_cursor_next(&cursor, &operation)) != OPERATION_STEP_END && step != OPERATION_STEP_BAD) {
        if (step != OPERATION_STEP_OP) continue;
        if (operation.kind == OPERATION_PUT) return true;
        bool is_nested = operation.kind == OPERATION_TXN;
        if (is_nested && !operation_cursor_enter(&cursor, operation.body, OPERATION_SUCCESS, OPERATION_FAILURE)) return false;
    }
    return false;
}

enum err alarm_state_admit(const struct alarm_state *state, const struct command *command)
{
    const struct alarm_list *list = state->list;
    ASSERT(list != NULL);
    if (list->count == 0) return ERR_OK;
    switch (command->kind) {
    case COMMAND_PUT: return alarm_admit_change(list, true);
    case COMMAND_LEASE_GRANT: return alarm_admit_change(list, true);
    case COMMAND_DELETE_RANGE:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_LEASE_EXPIRE: return alarm_admit_change(list, false);
    case COMMAND_COMPACTION: return alarm_admit_change(list, MUTANT(A3));
    case COMMAND_TXN: return alarm_admit_change(list, list->has_no_space && has_put(command->body));
    case COMMAND_ALARM:
    case COMMAND_LEASE_CHECKPOINT:
    case COMMAND_CLUSTER_VERSION_SET:
    case COMMAND_CLUSTER_MEMBER_ATTR_SET:
    case COMMAND_STATE_HASH: break;
    }
    return ERR_OK;
}

/* --- bytes --------------------------------------------------------------------------------------------------------------- */

void alarm_state_encode(const struct alarm_state *state, struct buf *out)
{
    struct buf part;
    ASSERT(state != NULL && out != NULL);
    buf_init(&part);
    alarm_list_encode(state->list, &part);
    buf_put_pb_bytes(out, 1, buf_slice(&part));
    buf_clear(&part);
    alarm_check_encode(&state->check, &part);
    buf_put_pb_bytes(out, 2, buf_slice(&part));
    buf_deinit(&part);
}

struct alarm_state *alarm_state_decode(struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field alarms, reports, more;
    if (!reader_pb_field(&reader, &alarms) || !reader_pb_field(&reader, &reports)) return NULL;
    if (reader_pb_field(&reader, &more) || reader.bad) return NULL;
    if (alarms.number != 1 || alarms.wire != PB_BYTES || reports.number != 2 || reports.wire != PB_BYTES) return NULL;
    struct alarm_list *list = alarm_list_decode(alarms.bytes);
    if (list == NULL) return NULL;
    struct alarm_state *state = alarm_state_new();
    set_list(state, list);
    if (alarm_check_decode(&state->check, reports.bytes)) return state;
    alarm_state_free(state);
    return NULL;
}
