/* mvcc_history_log: see mvcc_history_log.h. */
#include "storage/mvcc_history_log.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"

static uint64_t chunk_number(uint64_t ordinal) { return ordinal / MVCC_HISTORY_LOG_CHUNK; }

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

void mvcc_history_log_add(struct mvcc_history_log_sums *sums, const struct mvcc_record *record, int64_t sign)
{
    const struct mvcc_record *older = record->older;
    uint64_t factor = (uint64_t)sign;
    sums->hash += factor * record->hash;
    if (mvcc_record_is_create(record)) sums->live += sign;
    if (mvcc_record_is_delete(record)) {
        sums->live -= sign;
        sums->vanished += factor * record->hash;
    }
    if (older == NULL || mvcc_record_is_delete(older)) return;
    if (mvcc_record_is_inside(record)) {
        sums->vanished += factor * older->hash;
    } else {
        sums->superseded += factor * older->hash;
    }
}

/* The rule of mvcc_record.h, for chunks; `before` is always there when a chunk is appended. A skip to a chunk that may be gone ends the
 * chain. */
static void set_skip(struct mvcc_history_log_chunk *chunk, uint64_t first_number)
{
    struct mvcc_history_log_chunk *before = chunk->before;
    if (before == NULL) {
        chunk->skip = NULL;
        chunk->skip_number = 0;
        return;
    }
    chunk->skip = before;
    chunk->skip_number = before->number;
    if (before->skip == NULL || before->skip_number < first_number) return;
    const struct mvcc_history_log_chunk *second = before->skip;
    bool spans = before->number - before->skip_number == second->number - second->skip_number;
    if (!spans || second->skip == NULL || second->skip_number < first_number) return;
    chunk->skip = second->skip;
    chunk->skip_number = second->skip_number;
}

void mvcc_history_log_link(struct mvcc_history_log *log, struct mvcc_history_log_chunk *chunk, uint64_t number, int64_t first_revision)
{
    ASSERT(log->last == NULL || log->last->number + 1 == number);
    chunk->number = number;
    chunk->first_revision = first_revision;
    chunk->before = log->last;
    chunk->next = NULL;
    set_skip(chunk, chunk_number(log->first));
    if (log->last != NULL) log->last->next = chunk;
    log->last = chunk;
}

static void append_chunk(struct mvcc_history_log *log, int64_t first_revision)
{
    struct mvcc_history_log_chunk *chunk = alloc_new(sizeof *chunk);
    chunk->sums = log->sums;
    mvcc_history_log_link(log, chunk, chunk_number(log->end), first_revision);
    ASSERT(log->last == chunk);
}

uint64_t mvcc_history_log_append(struct mvcc_history_log *log, struct mvcc_record *record)
{
    bool is_first_of_chunk = log->end % MVCC_HISTORY_LOG_CHUNK == 0;
    ASSERT(is_first_of_chunk || mvcc_record_revision(record) >= log->last->first_revision);
    if (is_first_of_chunk) append_chunk(log, mvcc_record_revision(record));
    ASSERT(log->last->number == chunk_number(log->end));
    log->last->entries[log->end % MVCC_HISTORY_LOG_CHUNK] = record;
    log->end++;
    mvcc_history_log_add(&log->sums, record, 1);
    return is_first_of_chunk ? sizeof *log->last : 0;
}

/* The newest chunk that begins below `revision`, or the oldest that is there. */
static struct mvcc_history_log_chunk *find_chunk(const struct mvcc_history_log *log, int64_t revision)
{
    uint64_t first_number = chunk_number(log->first);
    struct mvcc_history_log_chunk *chunk = log->last;
    while (chunk->first_revision >= revision && chunk->number > first_number) {
        bool has_skip = chunk->skip != NULL && chunk->skip_number >= first_number;
        chunk = has_skip && chunk->skip->first_revision >= revision ? chunk->skip : chunk->before;
    }
    return chunk;
}

struct mvcc_history_log_place mvcc_history_log_find(const struct mvcc_history_log *log, int64_t revision)
{
    if (log->last == NULL) return (struct mvcc_history_log_place){.chunk = NULL, .ordinal = log->end};
    if (revision < log->floor_revision) revision = log->floor_revision;
    struct mvcc_history_log_chunk *chunk = find_chunk(log, revision);
    uint64_t start = chunk->number * MVCC_HISTORY_LOG_CHUNK;
    uint64_t low = start < log->first ? log->first : start;
    uint64_t high = least(start + MVCC_HISTORY_LOG_CHUNK, log->end);
    ASSERT(low <= high);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (mvcc_record_revision(chunk->entries[middle - start]) < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (struct mvcc_history_log_place){.chunk = chunk, .ordinal = low};
}

/* The sums in front of a place: those at the end of its chunk, less the entries from the place on. */
static struct mvcc_history_log_sums sums_before(const struct mvcc_history_log *log, struct mvcc_history_log_place place)
{
    if (place.chunk == NULL) return log->sums;
    uint64_t start = place.chunk->number * MVCC_HISTORY_LOG_CHUNK;
    uint64_t end = least(start + MVCC_HISTORY_LOG_CHUNK, log->end);
    ASSERT(place.ordinal >= start && place.ordinal <= end);
    struct mvcc_history_log_sums sums = place.chunk == log->last || MUTANT(D41) ? log->sums : place.chunk->next->sums;
    for (uint64_t ordinal = place.ordinal; ordinal < end; ordinal++) {
        mvcc_history_log_add(&sums, place.chunk->entries[ordinal - start], -1);
    }
    return sums;
}

struct mvcc_history_log_sums mvcc_history_log_sums_at(const struct mvcc_history_log *log, int64_t revision)
{
    ASSERT(revision >= log->floor_revision);
    return sums_before(log, mvcc_history_log_find(log, revision + 1));
}

uint64_t mvcc_history_log_garbage(const struct mvcc_history_log *log, int64_t revision)
{
    ASSERT(revision > log->floor_revision);
    struct mvcc_history_log_sums superseded = sums_before(log, mvcc_history_log_find(log, revision + 1));
    struct mvcc_history_log_sums vanished = sums_before(log, mvcc_history_log_find(log, MUTANT(D42) ? revision - 1 : revision));
    return superseded.superseded + vanished.vanished;
}
