/* mvcc_compact: the mark, and the steps that free behind it. See mvcc.h; mvcc.c's head says what is garbage when.
 *
 * Two cursors walk the history up to the limit e = min(mark, pins): `drop`, in front of which every entry ≤ e has dropped the version that it
 * followed, and `trim`, in front of which entries < e have left the history. An entry below e is passed by both at once, so that a record is
 * still there when its own entry is looked at. Entries at e are passed by `drop` only; a later e passes them with `trim`.
 * What an entry followed inside its own revision is readable by nobody, yet it is told at e; so it goes when `trim` passes.
 */
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "storage/mvcc_state.h"

#define AHEAD 8 /* entries */

enum err mvcc_compact(struct mvcc *mvcc, int64_t revision)
{
    ASSERT(!mvcc->is_in_txn);
    if (revision <= mvcc->compact_revision) return ERR_COMPACTED;
    if (revision > mvcc->revision) return ERR_FUTURE_REV;
    mvcc->garbage_hash = mvcc_history_log_garbage(&mvcc->log, revision);
    __atomic_store_n(&mvcc->compact_revision, revision, __ATOMIC_SEQ_CST); /* a fence to mvcc_pin's look at it */
    mvcc->is_changed = true;
    return ERR_OK;
}

int64_t mvcc_compact_done_revision(const struct mvcc *mvcc) { return mvcc->done_revision; }

uint64_t mvcc_compact_backlog(const struct mvcc *mvcc)
{
    if (mvcc->done_revision == mvcc->compact_revision) return 0;
    return mvcc_history_log_find(&mvcc->log, mvcc->compact_revision + 1).ordinal - mvcc->log.first;
}

/* How far the steps may go now. A pin that we miss was set after the mark moved, and its owner sees that. */
static int64_t limit_revision(const struct mvcc *mvcc)
{
    int64_t limit = mvcc->compact_revision;
    for (int slot = 0; slot < MVCC_PINS_MAX; slot++) {
        int64_t pin = __atomic_load_n(&mvcc->pins[slot], __ATOMIC_SEQ_CST);
        bool is_void = pin < mvcc->adopted_revision; /* its owner will see that its revision is compacted */
        if (pin != 0 && pin < limit && !is_void && !MUTANT(D43)) limit = pin;
    }
    return limit;
}

static void drop_record(struct mvcc *mvcc, struct mvcc_record *record)
{
    ASSERT(record != NULL && mvcc->versions > 0);
    mvcc->versions--;
    mvcc->compacted++;
    mvcc_reclaim_record(&mvcc->reclaim, record);
}

/* `drop` passes its entry. */
static void pass_drop(struct mvcc *mvcc)
{
    const struct mvcc_record *record = mvcc_history_log_next(&mvcc->drop);
    if (record->older != NULL && !mvcc_record_is_inside(record)) drop_record(mvcc, record->older);
}

/* `trim` passes its entry. A deleted key that nobody has put again leaves the index; else its successor will drop the record. */
static void pass_trim(struct mvcc *mvcc)
{
    struct mvcc_history_log_chunk *chunk = mvcc->trim.chunk;
    struct mvcc_record *record = mvcc_history_log_next(&mvcc->trim);
    struct mvcc_index_path path;
    if (mvcc->trim.chunk != chunk) mvcc_reclaim_chunk(&mvcc->reclaim, chunk);
    mvcc->log.first = mvcc->trim.ordinal;
    if (mvcc_record_is_inside(record)) drop_record(mvcc, record->older);
    if (!mvcc_record_is_delete(record)) return;
    if (mvcc_index_seek(&mvcc->index, mvcc_record_key(record), &path) != record) return;
    mvcc_index_remove(&mvcc->index, &path);
    drop_record(mvcc, record);
}

/* The record that is looked at in a while: it was written long ago, and no cache knows it. */
static void fetch_ahead(struct mvcc_history_log_place place, uint64_t end)
{
    uint64_t ordinal = place.ordinal + AHEAD;
    if (ordinal >= end || ordinal / MVCC_HISTORY_LOG_CHUNK != place.chunk->number) return;
    __builtin_prefetch(place.chunk->entries[ordinal % MVCC_HISTORY_LOG_CHUNK]);
}

static int64_t revision_at(struct mvcc_history_log_place place)
{
    return mvcc_record_revision(mvcc_history_log_next(&place));
}

/* One entry on; false if both cursors have come as far as they may. */
static bool advance(struct mvcc *mvcc, int64_t limit)
{
    ASSERT(mvcc->trim.ordinal <= mvcc->drop.ordinal);
    if (mvcc->trim.ordinal < mvcc->log.end && revision_at(mvcc->trim) < limit + MUTANT(P30)) {
        if (mvcc->drop.ordinal == mvcc->trim.ordinal) pass_drop(mvcc);
        pass_trim(mvcc);
        return true;
    }
    if (mvcc->drop.ordinal == mvcc->log.end || revision_at(mvcc->drop) > limit) return false;
    pass_drop(mvcc);
    return true;
}

bool mvcc_compact_step(struct mvcc *mvcc, size_t budget)
{
    ASSERT(!mvcc->is_in_txn);
    int64_t limit = limit_revision(mvcc);
    if (limit <= mvcc->done_revision) return false;
    ASSERT(limit >= mvcc->log.floor_revision);
    if (mvcc->trim.chunk == NULL) mvcc->trim = mvcc->drop = mvcc_history_log_find(&mvcc->log, 0);
    mvcc->log.floor_revision = limit;
    mvcc->is_changed = true;
    if (BUGGIFY(COMPACT_ONE)) budget = 1;
    for (; budget > 0; budget--) {
        fetch_ahead(mvcc->trim, mvcc->log.end);
        if (advance(mvcc, limit)) continue;
        mvcc->done_revision = limit;
        return false;
    }
    return true;
}
