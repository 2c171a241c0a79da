/* snap_metrics: snapshots on their way from and to other members, as metrics tell it. Who sends remembers nothing of who asks, so here a
 * snapshot is being sent from its first piece until its last, or until nobody has asked for SNAP_METRICS_GIVEN_UP_NS.
 * Owner: the snap role, embedded. Thread: snap. Limits: one snapshot sent to each peer, one got. Source: process §4.2.
 */
#ifndef PIPELINE_SNAP_METRICS_H
#define PIPELINE_SNAP_METRICS_H
#include "base/clock.h"
#include "base/metrics.h"
#include "pipeline/snap_pull.h"

#define SNAP_METRICS_GIVEN_UP_NS (15 * NS_PER_S)

struct snap_metrics_sending {
    uint64_t index; /* of the snapshot; 0 = none */
    uint64_t began_ns, asked_ns;
};
struct snap_metrics {
    struct metrics *metrics;
    struct snap_metrics_sending sending[METRICS_PEERS_MAX]; /* as metrics->peers */
    struct metrics_peer *from; /* whose snapshot is being got; NULL = none is */
    uint64_t got_ns;           /* since when */
    uint64_t syncs;            /* of what is got, that were noted */
};
/* One piece of `size` bytes of a file of `file_bytes`; 0: it is not there any more. */
struct snap_metrics_piece {
    uint64_t peer, index, offset, size, file_bytes;
};
void snap_metrics_sent(struct snap_metrics *note, const struct snap_metrics_piece *piece, uint64_t now_ns);
/* In every step, behind what it did. */
void snap_metrics_look(struct snap_metrics *note, const struct snap_pull *pull, uint64_t now_ns);
void snap_metrics_got(struct snap_metrics *note, uint64_t now_ns); /* what was looked at last is saved and loaded */

#endif
