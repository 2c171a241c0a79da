/* kv_service: etcdserverpb.KV: Range, RangeStream, Put, DeleteRange, Txn, Compact. Source: API §5–8; order of checks as there.
 * Thread: net. Owner: jobs as in service.h. Inside of the service files only. */
#ifndef RPC_KV_SERVICE_H
#define RPC_KV_SERVICE_H
#include "rpc/service_job.h"

/* `method` is one of RPC_KV_*. */
void kv_service_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *plan);
/* A write as it may leave: `err` is what its own bytes say, `cost_bytes` what it adds (0: it makes room, and is refused only when the log
 * itself takes no more). Of any service whose writes need room or make some. */
struct kv_service_write {
    enum command_kind kind;
    struct slice request;
    enum err err;
    uint64_t cost_bytes;
    uint32_t lease_count; /* puts of it that make a lease */
};
void kv_service_plan_write(struct service_env *env, const struct kv_service_write *write, struct service_plan *plan);
/* One step of a Range, a RangeStream or a read-only Txn. */
enum service_progress kv_service_step(struct service_job *job, struct service_env *env, size_t bytes_max, struct buf *out,
                                      enum err *out_err);

#endif
