/* maintenance_service: Status from what the member knows about itself, HashKV from the published view. */
#include "rpc/maintenance_service.h"

#include "base/assert.h"
#include "storage/request.h"

static const uint32_t NO_STRINGS[] = {0};

/* The value of a request's field 1, an int64; the last one wins. */
static int64_t first_field(struct slice request)
{
    int64_t value = 0;
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == 1 && field.wire == PB_VARINT) value = (int64_t)field.value;
    ASSERT(!reader.bad);
    return value;
}

void maintenance_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request,
                              struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    ASSERT(method == RPC_MAINTENANCE_STATUS || method == RPC_MAINTENANCE_HASH_KV);
    enum err err = request_scan(request, NO_STRINGS);
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    struct service_job *job = service_job_new(method);
    if (method == RPC_MAINTENANCE_HASH_KV) job->revision = first_field(request);
    service_plan_read(plan, job, false);
}

static void put_varint(struct buf *out, uint32_t field, uint64_t value)
{
    if (value != 0) buf_put_pb_varint(out, field, value);
}

static void put_text(struct buf *out, uint32_t field, const char *text)
{
    ASSERT(text != NULL && text[0] != '\0');
    buf_put_pb_bytes(out, field, slice_from_string(text));
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
    if (env->leader == 0) put_text(out, 8, err_text(ERR_NO_LEADER));
    put_varint(out, 9, live_bytes);
    put_varint(out, 10, env->is_learner);
    put_text(out, 11, SERVICE_STORAGE_VERSION);
    put_varint(out, 12, env->quota_bytes);
}

/* HashKVResponse. The additive 64-bit hash is folded to the wire's 32 bits. A store that was never compacted says -1, as the API's
 * clients expect. */
static enum err step_hash_kv(const struct service_env *env, int64_t revision, struct buf *out)
{
    const struct mvcc_view *view = service_job_view(env);
    enum err err = mvcc_view_check(view, revision);
    if (err != ERR_OK) return err;
    int64_t hash_revision = revision > 0 ? revision : mvcc_view_revision(view);
    int64_t compact_revision = mvcc_view_compact_revision(view);
    ASSERT(hash_revision > 0 && compact_revision <= hash_revision);
    uint64_t hash = mvcc_hash(view, hash_revision);
    service_put_header(env, mvcc_view_revision(view), out);
    put_varint(out, 2, (uint32_t)(hash ^ hash >> 32));
    put_varint(out, 3, (uint64_t)(compact_revision == 0 ? -1 : compact_revision));
    put_varint(out, 4, (uint64_t)hash_revision);
    return ERR_OK;
}

enum service_progress maintenance_service_step(struct service_job *job, struct service_env *env, struct buf *out,
                                               enum err *out_err)
{
    ASSERT(job != NULL && out != NULL && !job->is_started);
    if (job->method == RPC_MAINTENANCE_STATUS) {
        step_status(env, out);
        return SERVICE_DONE;
    }
    ASSERT(job->method == RPC_MAINTENANCE_HASH_KV);
    enum err err = step_hash_kv(env, job->revision, out);
    if (err == ERR_OK) return SERVICE_DONE;
    *out_err = err;
    return SERVICE_FAILED;
}
