/* health_service: Check. */
#include "rpc/health_service.h"

#include "base/assert.h"
#include "storage/request.h"

#define SERVING 1 /* HealthCheckResponse.ServingStatus */

static const uint32_t STRINGS[] = {1, 0};

/* True if the service asked for is the server as a whole: the last field 1 is empty, or there is none. */
static bool is_whole_server(struct slice request)
{
    bool is_whole = true;
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == 1 && field.wire == PB_BYTES) is_whole = field.bytes.size == 0;
    ASSERT(!reader.bad);
    return is_whole;
}

void health_service_plan(struct slice request, struct service_plan *plan)
{
    ASSERT(plan != NULL);
    enum err err = request_scan(request, STRINGS);
    if (err == ERR_OK && !is_whole_server(request)) err = ERR_UNKNOWN_SERVICE;
    if (err != ERR_OK)
        service_plan_refuse(plan, err);
    else
        service_plan_read(plan, service_job_new(RPC_HEALTH_CHECK), false);
}

enum service_progress health_service_step(struct service_job *job, struct buf *out)
{
    ASSERT(job != NULL && !job->is_started);
    buf_put_pb_varint(out, 1, SERVING);
    return SERVICE_DONE;
}
