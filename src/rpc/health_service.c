/* health_service: Check, and Watch, which tells the same once and then stays open: a process that serves this does not change its mind. */
#include "rpc/health_service.h"

#include "base/assert.h"
#include "storage/request.h"

/* HealthCheckResponse.ServingStatus */
#define SERVING 1
#define SERVICE_UNKNOWN 3

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

/* Check refuses a service that it does not know, Watch tells so and waits for it to come. */
void health_service_plan(enum rpc_method_id method, struct slice request, struct service_plan *plan)
{
    ASSERT(plan != NULL);
    enum err err = request_scan(request, STRINGS);
    bool is_unknown = err == ERR_OK && !is_whole_server(request);
    if (is_unknown && method == RPC_HEALTH_CHECK) err = ERR_UNKNOWN_SERVICE;
    if (err != ERR_OK) {
        service_plan_refuse(plan, err);
        return;
    }
    struct service_job *job = service_job_new(method);
    job->is_unknown = is_unknown;
    service_plan_read(plan, job, false);
}

enum service_progress health_service_step(struct service_job *job, struct buf *out)
{
    ASSERT(job != NULL && !job->is_started);
    buf_put_pb_varint(out, 1, job->is_unknown ? SERVICE_UNKNOWN : SERVING);
    return job->method == RPC_HEALTH_WATCH ? SERVICE_STAYS : SERVICE_DONE;
}
