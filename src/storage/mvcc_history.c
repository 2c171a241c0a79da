/* mvcc_history: a reader's walk along the changes of a view. See mvcc.h. */
#include "base/assert.h"
#include "storage/mvcc_state.h"

void mvcc_history_init(struct mvcc_history *history, const struct mvcc_view *view, int64_t from_revision)
{
    struct mvcc_history_log_place place = mvcc_history_log_find(&view->log, from_revision);
    *history = (struct mvcc_history){.view = view, .chunk = place.chunk, .ordinal = place.ordinal};
}

/* In front of the change (revision, sub): steps over what is skipped by its number, without a look. */
static struct mvcc_history place_of(const struct mvcc_view *view, int64_t revision, int64_t sub)
{
    struct mvcc_history_log_place place = mvcc_history_log_find(&view->log, revision);
    struct mvcc_history_log_place behind = mvcc_history_log_find(&view->log, revision + 1);
    ASSERT(sub >= 0 && place.ordinal <= behind.ordinal);
    uint64_t count = behind.ordinal - place.ordinal;
    place.ordinal += (uint64_t)sub < count ? (uint64_t)sub : count;
    while (place.chunk != behind.chunk && place.chunk->number < place.ordinal / MVCC_HISTORY_LOG_CHUNK) place.chunk = place.chunk->next;
    return (struct mvcc_history){.view = view, .chunk = place.chunk, .ordinal = place.ordinal};
}

void mvcc_history_init_at(struct mvcc_history *history, const struct mvcc_view *view, int64_t revision, int64_t sub)
{
    *history = place_of(view, revision, sub);
    history->revision = revision;
    history->sub = sub - 1;
}

void mvcc_history_init_back(struct mvcc_history *history, const struct mvcc_view *view, int64_t revision, int64_t sub)
{
    *history = place_of(view, revision, sub);
}

/* Of the first change that is met of a revision: one look before it mostly says that it is alone. */
static int64_t sub_of(const struct mvcc_history *history, const struct mvcc_history_log_chunk *chunk, int64_t revision)
{
    const struct mvcc_history_log *log = &history->view->log;
    uint64_t ordinal = history->ordinal;
    if (ordinal == log->first) return 0;
    bool is_in_chunk = ordinal % MVCC_HISTORY_LOG_CHUNK > 0;
    const struct mvcc_record *before = is_in_chunk ? chunk->entries[ordinal % MVCC_HISTORY_LOG_CHUNK - 1]
                                                   : chunk->before->entries[MVCC_HISTORY_LOG_CHUNK - 1];
    if (mvcc_record_revision(before) != revision) return 0;
    return (int64_t)(ordinal - mvcc_history_log_find(log, revision).ordinal);
}

bool mvcc_history_prev(struct mvcc_history *history, struct mvcc_change *out_change)
{
    const struct mvcc_history_log_chunk *chunk = history->chunk;
    if (history->ordinal <= history->view->log.first) return false;
    history->ordinal--;
    if (chunk->number != history->ordinal / MVCC_HISTORY_LOG_CHUNK) chunk = chunk->before;
    ASSERT(chunk->number == history->ordinal / MVCC_HISTORY_LOG_CHUNK);
    const struct mvcc_record *record = chunk->entries[history->ordinal % MVCC_HISTORY_LOG_CHUNK];
    int64_t revision = mvcc_record_revision(record);
    history->chunk = chunk;
    history->sub = revision == history->revision ? history->sub - 1 : sub_of(history, chunk, revision);
    history->revision = revision;
    out_change->revision = revision;
    out_change->sub = history->sub;
    out_change->is_delete = mvcc_record_is_delete(record);
    mvcc_record_kv(record, &out_change->kv);
    return true;
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
