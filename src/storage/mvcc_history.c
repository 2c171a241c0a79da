/* mvcc_history: a reader's walk along the changes of a view. See mvcc.h. */
#include "base/assert.h"
#include "storage/mvcc_state.h"

void mvcc_history_init(struct mvcc_history *history, const struct mvcc_view *view, int64_t from_revision)
{
    struct mvcc_history_log_place place = mvcc_history_log_find(&view->log, from_revision);
    *history = (struct mvcc_history){.view = view, .chunk = place.chunk, .ordinal = place.ordinal};
}

bool mvcc_history_next(struct mvcc_history *history, struct mvcc_change *out_change)
{
    const struct mvcc_history_log *log = &history->view->log;
    ASSERT(history->ordinal <= log->end);
    if (history->ordinal == log->end) return false;
    struct mvcc_history_log_place place = {.chunk = (struct mvcc_history_log_chunk *)(uintptr_t)history->chunk,
                                           .ordinal = history->ordinal};
    const struct mvcc_record *record = mvcc_history_log_next(&place);
    int64_t revision = mvcc_record_revision(record);
    ASSERT(revision >= history->revision);
    history->sub = revision == history->revision ? history->sub + 1 : 0; /* a walk begins with a revision's first change */
    history->revision = revision;
    history->chunk = place.chunk;
    history->ordinal = place.ordinal;
    out_change->revision = revision;
    out_change->sub = history->sub;
    out_change->is_delete = mvcc_record_is_delete(record);
    mvcc_record_kv(record, &out_change->kv);
    return true;
}
