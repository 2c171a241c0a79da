/* cluster_service: MemberListResponse by hand; the cluster's members already stand in the order of their ids. */
#include "rpc/cluster_service.h"

#include "base/assert.h"
#include "storage/request.h"

static const uint32_t NO_STRINGS[] = {0};

/* MemberListRequest.linearizable */
static bool is_linearizable(struct slice request)
{
    bool value = false;
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == 1 && field.wire == PB_VARINT) value = field.value != 0;
    ASSERT(!reader.bad);
    return value;
}

void cluster_service_plan(struct service_env *env, struct slice request, struct service_plan *plan)
{
    ASSERT(env != NULL && plan != NULL);
    enum err err = request_scan(request, NO_STRINGS);
    if (err != ERR_OK)
        service_plan_refuse(plan, err);
    else
        service_plan_read(plan, service_job_new(RPC_CLUSTER_MEMBER_LIST), is_linearizable(request));
}

static void put_member(struct buf *out, const struct cluster_member *member)
{
    ASSERT(member->id != 0);
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, member->id);
    if (member->name[0] != '\0') buf_put_pb_bytes(&body, 2, slice_from_string(member->name));
    for (size_t i = 0; i < member->peer_url_count; i++)
        buf_put_pb_bytes(&body, 3, slice_from_string(member->peer_urls[i]));
    for (size_t i = 0; i < member->client_url_count; i++)
        buf_put_pb_bytes(&body, 4, slice_from_string(member->client_urls[i]));
    if (member->is_learner) buf_put_pb_varint(&body, 5, 1);
    buf_put_pb_bytes(out, 2, buf_slice(&body));
    buf_deinit(&body);
}

enum service_progress cluster_service_step(struct service_job *job, struct service_env *env, struct buf *out)
{
    ASSERT(job != NULL && !job->is_started);
    const struct cluster *cluster = state_machine_cluster(env->machine);
    ASSERT(cluster != NULL);
    service_put_header(env, 0, out);
    for (size_t i = 0; i < cluster->member_count; i++) put_member(out, &cluster->members[i]);
    return SERVICE_DONE;
}
