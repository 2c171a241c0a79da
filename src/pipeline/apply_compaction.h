/* apply_compaction: the steps of a compaction between the apply role's drains, at a pace, and the physical ones that wait for its end.
 *
 * At full speed a million versions are an eighth of a second of a core, on every member at the same moment: whoever puts then waits for a
 * processor. So a step is due once in APPLY_COMPACTION_GAP_NS, a quarter of a million changes per second, or as often as what is left would take
 * APPLY_COMPACTION_AIM_NS at: the more there is the faster it goes, so where marks keep moving what waits is bounded by what is written in that
 * time, and a backlog of any size falls by a factor of e in it. Steps that came late are made up for, up to APPLY_COMPACTION_LATE_NS.
 * What is compacted and what the state hashes to is the log's business; the pace only says when memory comes back.
 * Owner: embedded in the apply role. Thread: apply. Limits: those that wait ≤ calls in flight.
 */
#ifndef PIPELINE_APPLY_COMPACTION_H
#define PIPELINE_APPLY_COMPACTION_H
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/metrics.h"
#include "pipeline/mailbox.h"
#include "storage/mvcc.h"

#define APPLY_COMPACTION_VERSIONS 1024 /* looked at in a step */
#define APPLY_COMPACTION_GAP_NS (4 * NS_PER_MS)
#define APPLY_COMPACTION_AIM_NS (8 * NS_PER_S)
#define APPLY_COMPACTION_LATE_NS (20 * NS_PER_MS)
#define APPLY_COMPACTION_AGAIN_NS (20 * NS_PER_MS) /* a reader's pin holds it: readers that are gone ring nobody */

struct apply_compaction {
    struct list waiting;   /* physical ones */
    uint64_t next_ns;      /* when the next step is due; CLOCK_NEVER = nothing to do */
    uint64_t began_ns;     /* for metrics; 0 = nothing to do */
};
void apply_compaction_init(struct apply_compaction *compaction);
void apply_compaction_deinit(struct apply_compaction *compaction);
/* A step, if there is something to compact and one is due, and its publish. */
void apply_compaction_step(struct apply_compaction *compaction, struct mvcc *mvcc, uint64_t now_ns, struct metrics *metrics);
/* The reply (taken over) is to go once everything up to the revision is freed. */
void apply_compaction_wait(struct apply_compaction *compaction, int64_t revision, const struct mail *reply);
/* Posts those that are done to net; if the member stops all of them, whether it is freed or not. */
void apply_compaction_answer(struct apply_compaction *compaction, const struct mvcc *mvcc, bool is_stopping, struct lane *to_net);

#endif
