/* op_metrics: how long commands took to apply and ranges to read, by what they are and whether they went well.
 * Owner: embedded by the node. Thread: `apply` is written by apply, `range` by net, with relaxed atomics; read by any. Source: process §4.2.
 */
#ifndef PIPELINE_OP_METRICS_H
#define PIPELINE_OP_METRICS_H
#include "base/err.h"
#include "base/metrics.h"
#include "storage/command.h"

#define OP_METRICS_KINDS 12

struct op_metrics {
    struct metrics_histogram apply[OP_METRICS_KINDS][2]; /* METRICS_FROM_100US_20; [1]: without an error */
    struct metrics_histogram range[2];
};
void op_metrics_apply(struct op_metrics *ops, enum command_kind kind, enum err err, uint64_t took_ns);
void op_metrics_range(struct op_metrics *ops, enum err err, uint64_t took_ns);
void op_metrics_put(struct buf *out, const struct op_metrics *ops); /* the text; of commands, those that came */

#endif
