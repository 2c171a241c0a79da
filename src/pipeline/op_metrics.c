/* op_metrics: see op_metrics.h. */
#include "pipeline/op_metrics.h"

#include <stdio.h>

#include "base/assert.h"

static const struct {
    enum command_kind kind;
    const char *name;
} KINDS[OP_METRICS_KINDS] = {
    {COMMAND_PUT, "Put"},
    {COMMAND_TXN, "Txn"},
    {COMMAND_DELETE_RANGE, "DeleteRange"},
    {COMMAND_COMPACTION, "Compaction"},
    {COMMAND_LEASE_GRANT, "LeaseGrant"},
    {COMMAND_LEASE_REVOKE, "LeaseRevoke"},
    {COMMAND_LEASE_EXPIRE, "LeaseExpire"},
    {COMMAND_LEASE_CHECKPOINT, "LeaseCheckpoint"},
    {COMMAND_ALARM, "Alarm"},
    {COMMAND_CLUSTER_VERSION_SET, "ClusterVersionSet"},
    {COMMAND_CLUSTER_MEMBER_ATTR_SET, "ClusterMemberAttrSet"},
    {COMMAND_STATE_HASH, "StateHash"},
};

static const char *const SUCCESS[] = {"false", "true"};

void op_metrics_apply(struct op_metrics *ops, enum command_kind kind, enum err err, uint64_t took_ns)
{
    size_t at = 0;
    while (KINDS[at].kind != kind) {
        at++;
        ASSERT(at < OP_METRICS_KINDS);
    }
    metrics_observe(&ops->apply[at][err == ERR_OK], METRICS_FROM_100US_20, took_ns);
}

void op_metrics_range(struct op_metrics *ops, enum err err, uint64_t took_ns)
{
    metrics_observe(&ops->range[err == ERR_OK], METRICS_FROM_100US_20, took_ns);
}

static bool is_empty(const struct metrics_histogram *histogram)
{
    for (size_t i = 0; i <= METRICS_BOUNDS_MAX; i++)
        if (METRIC_GET(histogram, counts[i]) != 0) return false;
    return true;
}

void op_metrics_put(struct buf *out, const struct op_metrics *ops)
{
    static const char apply[] = "etcd_server_apply_duration_seconds", range[] = "etcd_server_range_duration_seconds";
    char labels[96];
    metrics_put_family(out, METRICS_HISTOGRAM, apply, "Commands of the log, until they are in the state.");
    for (size_t i = 0; i < OP_METRICS_KINDS; i++) {
        for (size_t good = 0; good < 2; good++) {
            if (is_empty(&ops->apply[i][good])) continue;
            snprintf(labels, sizeof(labels), "op=\"%s\",success=\"%s\",version=\"v3\"", KINDS[i].name, SUCCESS[good]);
            metrics_put_histogram(out, apply, labels, &ops->apply[i][good], METRICS_FROM_100US_20);
        }
    }
    metrics_put_family(out, METRICS_HISTOGRAM, range, "Ranges read, without the time that they waited for their turn.");
    for (size_t good = 0; good < 2; good++) {
        snprintf(labels, sizeof(labels), "success=\"%s\"", SUCCESS[good]);
        metrics_put_histogram(out, range, labels, &ops->range[good], METRICS_FROM_100US_20);
    }
}
