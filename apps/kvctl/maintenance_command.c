/* maintenance_command: see the header. */
#include "maintenance_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "member_command.h"
#include "print.h"

#define ALARM_PATH "/etcdserverpb.Maintenance/Alarm"
#define DEFRAGMENT_PATH "/etcdserverpb.Maintenance/Defragment"
#define STATUS_PATH "/etcdserverpb.Maintenance/Status"
#define MOVE_LEADER_PATH "/etcdserverpb.Maintenance/MoveLeader"
enum { ACTION_GET = 0, ACTION_DEACTIVATE = 2 };

/* --- alarms -------------------------------------------------------------------------------------------------------------- */

static enum ctl_exit ask_alarms(struct ctl *ctl, uint64_t action, const Etcdserverpb__AlarmMember *alarm,
                                Etcdserverpb__AlarmResponse **out_response)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    enum kvd_policy policy = action == ACTION_GET ? KVD_POLICY_READ : KVD_POLICY_WRITE;
    buf_init(&request);
    if (action != ACTION_GET) buf_put_pb_varint(&request, 1, action);
    if (alarm != NULL && alarm->memberid != 0) buf_put_pb_varint(&request, 2, alarm->memberid);
    if (alarm != NULL) buf_put_pb_varint(&request, 3, (uint64_t)(int64_t)alarm->alarm);
    enum ctl_exit code = ctl_call_unpack(ctl, ALARM_PATH, buf_slice(&request), policy, &etcdserverpb__alarm_response__descriptor, &response);
    buf_deinit(&request);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) *out_response = (Etcdserverpb__AlarmResponse *)response;
    return code;
}

enum ctl_exit maintenance_command_alarm_list(struct ctl *ctl, int count, const char **words)
{
    Etcdserverpb__AlarmResponse *response = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "alarm list command accepts no arguments");
    enum ctl_exit code = ask_alarms(ctl, ACTION_GET, NULL, &response);
    if (code != CTL_OK) return code;
    code = print_alarms(ctl, response);
    etcdserverpb__alarm_response__free_unpacked(response, NULL);
    return code;
}

/* What was taken back, joined into one response. */
enum ctl_exit maintenance_command_alarm_disarm(struct ctl *ctl, int count, const char **words)
{
    Etcdserverpb__AlarmResponse *active = NULL, disarmed = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "alarm disarm command accepts no arguments");
    enum ctl_exit code = ask_alarms(ctl, ACTION_GET, NULL, &active);
    if (code != CTL_OK) return code;
    disarmed.alarms = alloc_zero(active->n_alarms + 1, sizeof *disarmed.alarms);
    for (size_t i = 0; i < active->n_alarms && code == CTL_OK; i++) {
        Etcdserverpb__AlarmResponse *response = NULL;
        code = ask_alarms(ctl, ACTION_DEACTIVATE, active->alarms[i], &response);
        if (code != CTL_OK) break;
        if (response->n_alarms > 0) disarmed.alarms[disarmed.n_alarms++] = active->alarms[i];
        etcdserverpb__alarm_response__free_unpacked(response, NULL);
    }
    ASSERT(disarmed.n_alarms <= active->n_alarms);
    if (code == CTL_OK) code = print_alarms(ctl, &disarmed);
    alloc_free(disarmed.alarms);
    etcdserverpb__alarm_response__free_unpacked(active, NULL);
    return code;
}

/* --- defragment ---------------------------------------------------------------------------------------------------------- */

enum ctl_exit maintenance_command_defrag(struct ctl *ctl, int count, const char **words)
{
    ASSERT(count >= 0 && words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "defrag command accepts no arguments; endpoints are named by --endpoints");
    enum ctl_exit code = ctl->options.cluster ? member_command_use_cluster(ctl) : CTL_OK;
    if (code != CTL_OK) return code;
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        struct calls_answer answer;
        ctl_call(ctl, DEFRAGMENT_PATH, slice_empty(), KVD_POLICY_READ, i, &answer);
        if (answer.code == ERR_CODE_OK) {
            printf("Finished defragmenting etcd member[%s]\n", ctl->endpoints[i]);
        } else {
            const char *why = answer.is_unreachable ? "context deadline exceeded" : ctl_error_text(&answer);
            fflush(stdout);
            fprintf(stderr, "Failed to defragment etcd member[%s] (%s)\n", ctl->endpoints[i], why);
            code = CTL_ERROR;
        }
        calls_answer_deinit(&answer);
    }
    return code;
}

/* --- the leader ---------------------------------------------------------------------------------------------------------- */

/* The endpoint whose member says that it leads, and that member's id. */
static enum ctl_exit find_leader(struct ctl *ctl, size_t *out_endpoint, uint64_t *out_id)
{
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        struct calls_answer answer;
        uint64_t id = 0;
        ctl_call(ctl, STATUS_PATH, slice_empty(), KVD_POLICY_READ, i, &answer);
        ProtobufCMessage *message =
            answer.code == ERR_CODE_OK ? ctl_unpack(&etcdserverpb__status_response__descriptor, buf_slice(&answer.body)) : NULL;
        const Etcdserverpb__StatusResponse *status = (const Etcdserverpb__StatusResponse *)message;
        if (status != NULL && status->header != NULL && status->header->member_id == status->leader) id = status->leader;
        if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
        calls_answer_deinit(&answer);
        if (id == 0) continue;
        *out_endpoint = i;
        *out_id = id;
        return CTL_OK;
    }
    return ctl_fail(CTL_BAD_ARGS, "no leader endpoint given at [%s]", ctl->endpoint_list);
}

enum ctl_exit maintenance_command_move_leader(struct ctl *ctl, int count, const char **words)
{
    size_t endpoint = 0;
    uint64_t leader = 0;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "move-leader command needs 1 argument");
    char *end = NULL;
    errno = 0;
    uint64_t target = strtoull(words[0], &end, 16);
    if (end == words[0] || *end != '\0' || errno != 0 || words[0][0] == '-')
        return ctl_fail(CTL_BAD_ARGS, "\"%s\" is not a member's id in hexadecimal digits", words[0]);
    enum ctl_exit code = find_leader(ctl, &endpoint, &leader);
    if (code != CTL_OK) return code;
    ASSERT(leader != 0);
    struct calls_answer answer;
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, target);
    ctl_call(ctl, MOVE_LEADER_PATH, buf_slice(&request), KVD_POLICY_ONCE, endpoint, &answer);
    buf_deinit(&request);
    if (answer.code != ERR_CODE_OK)
        code = ctl_fail(CTL_ERROR, "%s", ctl_error_text(&answer));
    else if (ctl->format == CTL_JSON)
        puts("{}");
    else
        printf("Leadership transferred from %" PRIx64 " to %" PRIx64 "\n", leader, target);
    calls_answer_deinit(&answer);
    return code;
}
