/* mvcc_view: what a reader asks of a view as a whole. See mvcc.h. */
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/mvcc_state.h"

const struct mvcc_view *mvcc_view(const struct mvcc *mvcc) { return RCU_LOAD(mvcc->published); }

int64_t mvcc_view_revision(const struct mvcc_view *view) { return view->revision; }

int64_t mvcc_view_compact_revision(const struct mvcc_view *view) { return view->compact_revision; }

uint64_t mvcc_view_epoch(const struct mvcc_view *view) { return view->epoch; }

int64_t mvcc_view_key_count(const struct mvcc_view *view)
{
    ASSERT(view->log.sums.live >= 0);
    return view->log.sums.live;
}

enum err mvcc_view_check(const struct mvcc_view *view, int64_t revision)
{
    ASSERT(view->compact_revision <= view->revision);
    if (revision <= 0) return ERR_OK;
    if (revision > view->revision) return ERR_FUTURE_REV;
    if (MUTANT(D46) && revision == view->compact_revision) return ERR_COMPACTED;
    return revision < (MUTANT(P29) ? view->log.floor_revision : view->compact_revision) ? ERR_COMPACTED : ERR_OK;
}

enum err mvcc_view_check_pinned(const struct mvcc_view *view, int64_t revision)
{
    ASSERT(revision > 0 && revision <= view->revision);
    return revision < view->adopted_revision ? ERR_COMPACTED : ERR_OK;
}

void mvcc_view_sizes(const struct mvcc_view *view, uint64_t *out_bytes, uint64_t *out_live_bytes)
{
    ASSERT(view->live_bytes <= view->bytes);
    *out_bytes = view->bytes;
    *out_live_bytes = view->live_bytes;
}
