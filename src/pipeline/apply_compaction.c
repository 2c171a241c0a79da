/* apply_compaction: see apply_compaction.h. */
#include "pipeline/apply_compaction.h"

#include "base/alloc.h"
#include "base/mutant.h"

struct waiting_compaction {
    struct list node;
    int64_t revision;
    struct mail reply;
};

void apply_compaction_init(struct apply_compaction *compaction)
{
    *compaction = (struct apply_compaction){.next_ns = CLOCK_NEVER};
    list_init(&compaction->waiting);
}

void apply_compaction_deinit(struct apply_compaction *compaction)
{
    struct list *node;
    while ((node = list_pop_front(&compaction->waiting)) != NULL) {
        struct waiting_compaction *waiting = LIST_ENTRY(node, struct waiting_compaction, node);
        mail_deinit(&waiting->reply);
        alloc_free(waiting);
    }
}

/* --- the pace --- */

static uint64_t gap_ns(uint64_t backlog)
{
    uint64_t steps = backlog / APPLY_COMPACTION_VERSIONS + 1;
    uint64_t gap = APPLY_COMPACTION_AIM_NS / steps;
    return gap < APPLY_COMPACTION_GAP_NS ? gap : APPLY_COMPACTION_GAP_NS;
}

static bool is_done(const struct mvcc *mvcc) { return mvcc_compact_done_revision(mvcc) >= mvcc_view_compact_revision(mvcc_view(mvcc)); }

/* After a step at its time. */
static void plan_next(struct apply_compaction *compaction, const struct mvcc *mvcc, uint64_t now_ns, bool more)
{
    uint64_t late_ns = now_ns - compaction->next_ns;
    if (late_ns > APPLY_COMPACTION_LATE_NS) late_ns = APPLY_COMPACTION_LATE_NS;
    if (is_done(mvcc)) compaction->next_ns = CLOCK_NEVER;
    else if (more) compaction->next_ns = now_ns - late_ns + gap_ns(mvcc_compact_backlog(mvcc));
    else compaction->next_ns = now_ns + APPLY_COMPACTION_AGAIN_NS;
}

void apply_compaction_step(struct apply_compaction *compaction, struct mvcc *mvcc, uint64_t now_ns, struct metrics *metrics)
{
    if (is_done(mvcc)) {
        compaction->next_ns = CLOCK_NEVER;
        compaction->began_ns = 0;
        return;
    }
    if (compaction->next_ns == CLOCK_NEVER) compaction->next_ns = now_ns;
    if (now_ns < compaction->next_ns) return;
    uint64_t before_ns = clock_mono_ns();
    if (compaction->began_ns == 0) compaction->began_ns = before_ns;
    bool more = mvcc_compact_step(mvcc, APPLY_COMPACTION_VERSIONS);
    mvcc_publish(mvcc);
    plan_next(compaction, mvcc, now_ns, more);
    uint64_t after_ns = clock_mono_ns();
    metrics_observe(&metrics->compaction_pause, METRICS_IN_MS, after_ns - before_ns);
    metrics_observe(&metrics->compaction_index_pause, METRICS_IN_500US, after_ns - before_ns);
    if (compaction->next_ns != CLOCK_NEVER) return;
    metrics_observe(&metrics->compaction_total, METRICS_IN_100MS, after_ns - compaction->began_ns);
    METRIC_SET(metrics, compacted_s, clock_wall_ns() / NS_PER_S);
    compaction->began_ns = 0;
}

/* --- who waits for the end --- */

void apply_compaction_wait(struct apply_compaction *compaction, int64_t revision, const struct mail *reply)
{
    struct waiting_compaction *waiting = ALLOC(struct waiting_compaction);
    waiting->revision = revision;
    waiting->reply = *reply;
    list_push_back(&compaction->waiting, &waiting->node);
}

/* It is compacted, but not all of it freed: whether it was is not known when the member stops. */
static void give_up(struct mail *reply)
{
    ASSERT(reply->kind == MAIL_REPLY && reply->reply.err == ERR_OK);
    blob_unref(reply->reply.body);
    reply->reply.body = NULL;
    reply->reply.err = ERR_STOPPED;
}

void apply_compaction_answer(struct apply_compaction *compaction, const struct mvcc *mvcc, bool is_stopping, struct lane *to_net)
{
    int64_t done = mvcc_compact_done_revision(mvcc);
    struct list *next;
    for (struct list *at = compaction->waiting.next; at != &compaction->waiting; at = next) {
        next = at->next;
        struct waiting_compaction *waiting = LIST_ENTRY(at, struct waiting_compaction, node);
        if (waiting->revision > done && (!is_stopping || MUTANT(D70))) continue;
        if (waiting->revision > done) give_up(&waiting->reply);
        list_remove(&waiting->node);
        lane_must_post(to_net, &waiting->reply);
        alloc_free(waiting);
    }
}
