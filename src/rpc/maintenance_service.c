/* maintenance_service: what a member knows about itself, hashes from the published view, alarms, the leader's move.
 *
 * Defragment has nothing to do: bytes are freed as they die, and it answers at once. Downgrade answers as etcd does for a version to which
 * there is no way: nothing is ever under way.
 */
#include "rpc/maintenance_service.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "storage/request.h"

#define ACCOUNT_FIELD 1000 /* of StatusResponse: numbers from there on are ours */

static const uint32_t NO_STRINGS[] = {0};
static const uint32_t DOWNGRADE_STRINGS[] = {2, 0};

/* --- plans --------------------------------------------------------------------------------------------------------------- */

/* The value of an integer field of a request; the last one wins. */
static uint64_t integer_field(struct slice request, uint32_t number)
{
    uint64_t value = 0;
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == number && field.wire == PB_VARINT) value = field.value;
    ASSERT(!reader.bad);
    return value;
}

static struct slice text_field(struct slice request, uint32_t number)
{
    struct slice text = slice_empty();
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == number && field.wire == PB_BYTES) text = field.bytes;
    ASSERT(!reader.bad);
    return text;
}

/* An alarm that is got is read where it stands; one that is set or taken back goes through the log. An action without a meaning does
 * nothing, in the log. */
static void plan_alarm(struct service_env *env, struct slice request, struct service_plan *plan)
{
    struct alarm_request parsed;
    enum err err = alarm_parse_request(request, &parsed);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
    } else if (parsed.action == ALARM_GET) {
        struct service_job *job = service_job_new(RPC_MAINTENANCE_ALARM);
        job->alarm_type = parsed.alarm.type;
        service_plan_read(plan, job, true);
    } else if (env->no_space) { /* the log takes no more */
        service_plan_refuse(plan, ERR_NO_SPACE);
    } else {
        service_plan_propose(plan, env, COMMAND_ALARM, request);
    }
    ASSERT(plan->action != SERVICE_MOVE_LEADER);
}

void maintenance_service_plan_no_space(struct service_env *env, struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    if (alarm_list_has(state_machine_alarms(env->machine), ALARM_NOSPACE, env->member_id)) {
        service_plan_refuse(plan, ERR_NO_SPACE);
        return;
    }
    struct alarm_request request = {.action = ALARM_ACTIVATE, .alarm = {.type = ALARM_NOSPACE, .member = env->member_id}};
    struct buf body;
    buf_init(&body);
    alarm_put_request(&request, &body);
    uint8_t *copy = arena_alloc(env->scratch, body.size);
    if (copy == NULL) {
        service_plan_refuse(plan, ERR_NO_SPACE);
    } else {
        memcpy(copy, buf_slice(&body).data, body.size);
        service_plan_propose(plan, env, COMMAND_ALARM, slice_make(copy, body.size));
        if (plan->action == SERVICE_PROPOSE) plan->refusal = ERR_NO_SPACE;
    }
    buf_deinit(&body);
}

static void plan_move_leader(const struct service_env *env, struct slice request, struct service_plan *plan)
{
    uint64_t target = integer_field(request, 1);
    const struct cluster_member *member = cluster_find(state_machine_cluster(env->machine), target);
    ASSERT(plan != NULL);
    if (env->leader != env->member_id)
        service_plan_refuse(plan, ERR_NOT_LEADER);
    else if (member == NULL || member->is_learner)
        service_plan_refuse(plan, ERR_BAD_LEADER_TRANSFEREE);
    else
        *plan = (struct service_plan){.action = SERVICE_MOVE_LEADER, .err = ERR_OK, .target = target};
}

static bool skip_number(struct reader *reader)
{
    const uint8_t *start = reader->at;
    while (reader_left(reader) > 0 && *reader->at >= '0' && *reader->at <= '9') reader->at++;
    return reader->at > start;
}

static bool skip_dot(struct reader *reader)
{
    bool is_dot = reader_left(reader) > 0 && *reader->at == '.';
    if (is_dot) reader->at++;
    return is_dot;
}

/* "3.5" or "3.5.0" */
static bool is_version(struct slice text)
{
    ASSERT(text.data != NULL || text.size == 0);
    struct reader reader = reader_make(text);
    if (!skip_number(&reader) || !skip_dot(&reader) || !skip_number(&reader)) return false;
    if (reader_left(&reader) == 0) return true;
    return skip_dot(&reader) && skip_number(&reader) && reader_left(&reader) == 0;
}

static enum err downgrade_error(struct slice request)
{
    enum { VALIDATE = 0, ENABLE = 1, CANCEL = 2 };
    enum err err = request_scan(request, DOWNGRADE_STRINGS);
    if (err != ERR_OK) return err;
    switch (integer_field(request, 1)) {
    case VALIDATE:
    case ENABLE: return is_version(text_field(request, 2)) ? ERR_DOWNGRADE_TARGET : ERR_DOWNGRADE_VERSION_FORMAT;
    case CANCEL: return ERR_NO_DOWNGRADE;
    default: return ERR_UNKNOWN_METHOD;
    }
}

static void plan_own_read(enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    struct service_job *job = service_job_new(method);
    if (method == RPC_MAINTENANCE_HASH_KV) job->revision = (int64_t)integer_field(request, 1);
    service_plan_read(plan, job, false);
}

void maintenance_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request,
                              struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    enum err err = request_scan(request, NO_STRINGS);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    switch (method) {
    case RPC_MAINTENANCE_ALARM: plan_alarm(env, request, plan); break;
    case RPC_MAINTENANCE_MOVE_LEADER: plan_move_leader(env, request, plan); break;
    case RPC_MAINTENANCE_DOWNGRADE: service_plan_refuse(plan, downgrade_error(request)); break;
    default: plan_own_read(method, request, plan); break;
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------------- */

static void put_varint(struct buf *out, uint32_t field, uint64_t value)
{
    if (value != 0) buf_put_pb_varint(out, field, value);
}

static void put_text(struct buf *out, uint32_t field, const char *text)
{
    ASSERT(text != NULL && text[0] != '\0');
    buf_put_pb_bytes(out, field, slice_from_string(text));
}

static void put_errors(const struct service_env *env, struct buf *out)
{
    const struct alarm_list *alarms = state_machine_alarms(env->machine);
    ASSERT(alarms != NULL);
    if (env->leader == 0) put_text(out, 8, err_text(ERR_NO_LEADER));
    for (size_t i = 0; i < alarms->count; i++) {
        char text[ALARM_TEXT_BYTES];
        alarm_format(&alarms->alarms[i], text);
        put_text(out, 8, text);
    }
}

/* MemberAccount, its fields in the order of their numbers. */
static void put_account(const struct service_env *env, struct buf *out)
{
    const struct metrics *metrics = env->metrics;
    struct process_stats stats = {0};
    if (env->process != NULL) env->process(&stats);
    const uint64_t fields[] = {stats.resident_bytes, stats.heap_allocated_bytes, stats.heap_active_bytes, stats.heap_resident_bytes,
                               METRIC_GET(metrics, store_bytes), METRIC_GET(metrics, raft_tail_bytes), METRIC_GET(metrics, request_bytes),
                               METRIC_GET(metrics, reply_bytes), METRIC_GET(metrics, lane_bytes), METRIC_GET(metrics, wal_disk_bytes),
                               METRIC_GET(metrics, snapshot_bytes), METRIC_GET(metrics, store_live_keys), METRIC_GET(metrics, leases),
                               METRIC_GET(metrics, watchers)};
    struct buf account;
    buf_init(&account);
    for (uint32_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) put_varint(&account, i + 1, fields[i]);
    buf_put_pb_bytes(out, ACCOUNT_FIELD, buf_slice(&account));
    buf_deinit(&account);
}

/* StatusResponse, fields in the order of their numbers. */
static void step_status(const struct service_env *env, struct buf *out)
{
    const struct mvcc_view *view = service_job_view(env);
    uint64_t bytes = 0, live_bytes = 0;
    mvcc_view_sizes(view, &bytes, &live_bytes);
    ASSERT(live_bytes <= bytes);
    service_put_header(env, mvcc_view_revision(view), out);
    put_text(out, 2, SERVICE_API_VERSION);
    put_varint(out, 3, bytes);
    put_varint(out, 4, env->leader);
    put_varint(out, 5, env->commit_index);
    put_varint(out, 6, env->term);
    put_varint(out, 7, env->applied_index);
    put_errors(env, out);
    put_varint(out, 9, live_bytes);
    put_varint(out, 10, env->is_learner);
    put_text(out, 11, SERVICE_STORAGE_VERSION);
    put_varint(out, 12, env->quota_bytes);
    if (env->metrics != NULL) put_account(env, out);
}

/* The additive 64-bit hash, folded to the wire's 32 bits. */
static uint32_t fold(uint64_t hash) { return (uint32_t)(hash ^ hash >> 32); }

/* HashResponse: the keys with their history, up to now. */
static void step_hash(const struct service_env *env, struct buf *out)
{
    const struct mvcc_view *view = service_job_view(env);
    ASSERT(view != NULL);
    service_put_header(env, mvcc_view_revision(view), out);
    put_varint(out, 2, fold(mvcc_hash(view, 0)));
}

/* HashKVResponse. A store that was never compacted says -1, as the API's clients expect. */
static enum err step_hash_kv(const struct service_env *env, int64_t revision, struct buf *out)
{
    const struct mvcc_view *view = service_job_view(env);
    enum err err = mvcc_view_check(view, revision);
    if (err != ERR_OK) return err;
    int64_t hash_revision = revision > 0 ? revision : mvcc_view_revision(view);
    int64_t compact_revision = mvcc_view_compact_revision(view);
    ASSERT(hash_revision > 0 && compact_revision <= hash_revision);
    service_put_header(env, mvcc_view_revision(view), out);
    put_varint(out, 2, fold(mvcc_hash(view, MUTANT(D120) ? 0 : hash_revision)));
    put_varint(out, 3, (uint64_t)(compact_revision == 0 ? -1 : compact_revision));
    put_varint(out, 4, (uint64_t)hash_revision);
    return ERR_OK;
}

/* AlarmResponse: all of a type, whatever member the request names. */
static void step_alarms(const struct service_env *env, int32_t type, struct buf *out)
{
    const struct alarm_list *alarms = state_machine_alarms(env->machine);
    ASSERT(alarms != NULL);
    service_put_header(env, mvcc_view_revision(service_job_view(env)), out);
    for (size_t i = 0; i < alarms->count; i++)
        if (type == ALARM_NONE || alarms->alarms[i].type == type) alarm_put_member(&alarms->alarms[i], out);
}

enum service_progress maintenance_service_step(struct service_job *job, struct service_env *env, struct buf *out,
                                               enum err *out_err)
{
    ASSERT(job != NULL && out != NULL && !job->is_started);
    enum err err = ERR_OK;
    switch (job->method) {
    case RPC_MAINTENANCE_STATUS: step_status(env, out); break;
    case RPC_MAINTENANCE_HASH: step_hash(env, out); break;
    case RPC_MAINTENANCE_ALARM: step_alarms(env, job->alarm_type, out); break;
    case RPC_MAINTENANCE_DEFRAGMENT: break; /* the response is empty */
    default:
        ASSERT(job->method == RPC_MAINTENANCE_HASH_KV);
        err = step_hash_kv(env, job->revision, out);
        break;
    }
    if (err == ERR_OK) return SERVICE_DONE;
    *out_err = err;
    return SERVICE_FAILED;
}
