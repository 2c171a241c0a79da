/* service_job: a read on its way, as the services keep it between steps. Inside of the service files only.
 *
 * Owner: made by service_job_new, handed out in a plan, freed by service_job_free (service.h). Thread: net.
 * Limits: what range, txn_reader, history and the request limits allow.
 */
#ifndef RPC_SERVICE_JOB_H
#define RPC_SERVICE_JOB_H
#include <stdbool.h>
#include <stdint.h>

#include "rpc/service.h"
#include "storage/history.h"
#include "storage/range.h"
#include "storage/txn_reader.h"

struct service_job {
    enum rpc_method_id method;
    bool is_started;      /* the first step was made */
    struct range *range;  /* Range, RangeStream */
    struct txn_reader *txn; /* Txn, read-only */
    struct history *history; /* History */
    int64_t revision;     /* HashKV: as asked for */
    int32_t alarm_type;   /* Alarm: those of this type; ALARM_NONE = all */
    bool is_unknown;      /* Health.Watch: of a service that is not the server as a whole */
};
struct service_job *service_job_new(enum rpc_method_id method);

/* The three outcomes of a plan. */
void service_plan_refuse(struct service_plan *plan, enum err err);
void service_plan_read(struct service_plan *plan, struct service_job *job, bool is_linearizable);
/* `body` still as the client sent it: refused if it is larger than a request may be; fields that this level does not know are
 * dropped (the clean copy lies in the scratch arena). */
void service_plan_propose(struct service_plan *plan, struct service_env *env, enum command_kind kind, struct slice body);

/* The published view; valid until the caller's next quiescent state. */
const struct mvcc_view *service_job_view(const struct service_env *env);

#endif
