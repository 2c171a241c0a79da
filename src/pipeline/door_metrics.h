/* door_metrics: the pages of numbers: /metrics, and /debug/vars, which has the same as JSON. Thread: any. Source: process §4. */
#ifndef PIPELINE_DOOR_METRICS_H
#define PIPELINE_DOOR_METRICS_H
#include "base/buf.h"
#include "pipeline/config.h"
#include "pipeline/shared.h"

struct door_metrics {
    const struct config *config;
    const struct shared *shared;
    uint64_t self;
    uint64_t healthy, unhealthy; /* answers of /health */
};
void door_metrics_put(struct buf *out, const struct door_metrics *of);
void door_metrics_put_vars(struct buf *out, const struct shared *shared, uint64_t self);

#endif
