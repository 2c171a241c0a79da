/* mvcc_history_log: the history: every record in the order in which it was written, in chunks.
 *
 * An entry is a pointer to a record, found by its ordinal (0, 1, 2 … since the store was made); chunk n holds the ordinals from
 * n × MVCC_HISTORY_LOG_CHUNK on. The writer appends behind the end that readers know; what is published never changes. Compaction takes
 * entries away at the front; a chunk goes when all its entries have gone.
 *
 * Each chunk says what the sums were before its first entry (struct mvcc_history_log_sums), so that a sum at revision r is the sum at the
 * end of r's chunk less the entries of that chunk above r. The walk goes backward, because the front of a chunk may be compacted.
 * Chunks are found through skip pointers as in mvcc_record.h: a chunk that may be gone is never touched, its number is compared first.
 * Owner: embedded in struct mvcc, copied into each view. Thread: the writer; a view's copy any reader.
 */
#ifndef STORAGE_MVCC_HISTORY_LOG_H
#define STORAGE_MVCC_HISTORY_LOG_H
#include <stdbool.h>
#include <stdint.h>

#include "storage/mvcc_record.h"

#define MVCC_HISTORY_LOG_CHUNK 501

/* Sums over entries. `superseded` and `vanished` are hashes of what compaction makes garbage: at revision c the versions that some version
 * ≤ c follows (counted at the follower), and what goes only when c has passed its revision: deletes, and versions that were followed
 * inside their own revision. G(c) = superseded up to c + vanished up to c − 1. */
struct mvcc_history_log_sums {
    uint64_t hash;
    uint64_t superseded;
    uint64_t vanished;
    int64_t live; /* keys */
};

struct mvcc_history_log_chunk {
    uint64_t number;
    int64_t first_revision;
    struct mvcc_history_log_chunk *before; /* may be gone */
    struct mvcc_history_log_chunk *next;
    struct mvcc_history_log_chunk *skip;   /* may be gone */
    uint64_t skip_number;
    struct mvcc_history_log_sums sums; /* before the first entry */
    struct mvcc_record *entries[MVCC_HISTORY_LOG_CHUNK];
};
STATIC_ASSERT(sizeof(struct mvcc_history_log_chunk) <= 4096, "a page");

/* The writer's own; a view holds a copy. */
struct mvcc_history_log {
    struct mvcc_history_log_chunk *last;   /* NULL = nothing was ever written */
    uint64_t first;                    /* ordinals [first, end) are there */
    uint64_t end;
    int64_t floor_revision;            /* entries below it may be gone, or their records */
    struct mvcc_history_log_sums sums; /* at the end */
};

struct mvcc_history_log_place {
    struct mvcc_history_log_chunk *chunk;
    uint64_t ordinal;
};

/* Takes over nothing: records belong to the index and to compaction. Returns a chunk's bytes if it allocated one, else 0. */
uint64_t mvcc_history_log_append(struct mvcc_history_log *log, struct mvcc_record *record);
/* What one entry adds to sums (sign 1) or takes away (sign −1). Reads the record before it too, which must still be there. */
void mvcc_history_log_add(struct mvcc_history_log_sums *sums, const struct mvcc_record *record, int64_t sign);
/* A chunk (made elsewhere, its sums and first entry there) behind the last one. */
void mvcc_history_log_link(struct mvcc_history_log *log, struct mvcc_history_log_chunk *chunk, uint64_t number, int64_t first_revision);
/* The first entry with a revision ≥ max(revision, floor); the log's end if there is none (its chunk may then be NULL). */
struct mvcc_history_log_place mvcc_history_log_find(const struct mvcc_history_log *log, int64_t revision);
/* The sums at the end of `revision`, which is not below the floor. */
struct mvcc_history_log_sums mvcc_history_log_sums_at(const struct mvcc_history_log *log, int64_t revision);
/* G(revision), for a revision above all that compaction has touched. */
uint64_t mvcc_history_log_garbage(const struct mvcc_history_log *log, int64_t revision);

/* The entry at a place that is not the end; steps on. */
static inline struct mvcc_record *mvcc_history_log_next(struct mvcc_history_log_place *place)
{
    uint64_t number = place->ordinal / MVCC_HISTORY_LOG_CHUNK;
    if (number != place->chunk->number) place->chunk = place->chunk->next;
    ASSERT(place->chunk->number == number);
    return place->chunk->entries[place->ordinal++ % MVCC_HISTORY_LOG_CHUNK];
}

#endif
