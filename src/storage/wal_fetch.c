/* wal_fetch: old entries back from disk, beside the running log, with an fs of its own.
 *
 * Where to begin: a segment's name says its first index, and no version of that entry or a later one in older segments counts any
 * more. So the last segment whose first index is not above the wanted one holds, or is followed by, the version that counts.
 * Which version counts: the log is read forward and later records win; an entry at or below a batch's commit index is final.
 * Where the intact log ends the newest version of an entry known committed is the final one, too: it was durable before it was
 * committed, so it has been read. What the writer is just writing is not intact yet and is taken for the end.
 *
 * The writer removes segments at the same time, and uses their files again. A file that is gone since the listing asks for a new listing;
 * what stands before the oldest one, before a reset, or before damage for which a snapshot stands, is not in the log any more. A file that is
 * used again has lost its name before its bytes change, and those that are another segment's are never taken for this one's: so where nothing
 * intact follows, the name is looked for before that is believed.
 *
 * A few positions are remembered, so that followers who read on in order do not read a segment from its start each time.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buggify.h"
#include "base/mutant.h"
#include "storage/wal.h"
#include "storage/wal_reader.h"

#define WAL_FETCH_PLACES 8
#define WAL_FETCH_LISTS_MAX 8 /* so often it looks again after a file was gone */

/* The version of entry `index` that counts does not stand before `position`. */
struct fetch_place {
    uint64_t index; /* 0 = unused */
    uint64_t used;  /* the least recently used one is replaced */
    struct wal_reader_position position;
};

struct fetch_candidate {
    struct raft_entry entry;
    struct wal_reader_position position;
};

struct wal_fetch {
    struct wal_reader reader;
    struct fetch_place places[WAL_FETCH_PLACES];
    uint64_t clock; /* counts reads */
    struct wal_reader_position end; /* the newest end of a segment behind which no block of a batch was found */

    /* The read under way: versions of first_index, first_index + 1, … */
    uint64_t first_index;
    uint64_t last_index;
    size_t bytes_max;
    struct fetch_candidate *candidates;
    size_t count;
    size_t capacity;
    size_t bytes;
    bool is_full; /* the next one did not fit */
    bool is_gone; /* the log begins behind first_index */
};

struct wal_fetch *wal_fetch_new(struct fs *fs, const char *directory)
{
    struct wal_fetch *fetch = ALLOC(struct wal_fetch);
    wal_reader_init(&fetch->reader, fs, directory);
    return fetch;
}

/* Drops candidates from the end until `count` are left. */
static void fetch_drop(struct wal_fetch *fetch, size_t count)
{
    ASSERT(count <= fetch->count);
    while (fetch->count > count) {
        struct raft_entry *entry = &fetch->candidates[--fetch->count].entry;
        fetch->bytes -= entry->data == NULL ? 0 : entry->data->size;
        blob_unref(entry->data);
        fetch->is_full = false;
    }
}

void wal_fetch_free(struct wal_fetch *fetch)
{
    if (fetch == NULL) return;
    fetch_drop(fetch, 0);
    alloc_free(fetch->candidates);
    wal_reader_deinit(&fetch->reader);
    alloc_free(fetch);
}

void wal_entries_free(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) blob_unref(entries[i].data);
    alloc_free(entries);
}

/* From the nearest remembered place, or the segment. False if the log does not hold that index any more. */
static bool fetch_seek(struct wal_fetch *fetch)
{
    struct wal_reader *reader = &fetch->reader;
    struct fetch_place *best = NULL;
    for (size_t i = 0; i < WAL_FETCH_PLACES; i++) {
        struct fetch_place *place = &fetch->places[i];
        bool is_nearer = best == NULL || place->index > best->index;
        if (place->index != 0 && place->index <= fetch->first_index && is_nearer) best = place;
    }
    size_t start = 0; /* nothing is missing behind it */
    for (size_t gap = wal_reader_gap(reader, 0); gap < reader->segment_count; gap = wal_reader_gap(reader, gap + 1)) start = gap;
    size_t at = reader->segment_count;
    while (at > start && reader->segments[at - 1].first_index > fetch->first_index) at--;
    if (at == start) return false;
    if (best != NULL && best->position.sequence >= reader->segments[at - 1].sequence) {
        best->used = ++fetch->clock;
        if (wal_reader_seek(reader, &best->position)) return true;
        best->index = 0;
    }
    wal_reader_rewind(reader, at - 1);
    return true;
}

static void fetch_remember(struct wal_fetch *fetch)
{
    ASSERT(fetch->count > 0);
    const struct fetch_candidate *last = &fetch->candidates[fetch->count - 1];
    struct fetch_place *oldest = &fetch->places[0];
    for (size_t i = 0; i < WAL_FETCH_PLACES; i++) {
        struct fetch_place *place = &fetch->places[i];
        bool continues = place->index != 0 && place->index + 1 == fetch->first_index; /* the reader before has moved on */
        if (continues || place->used < oldest->used) oldest = place;
        if (continues) break;
    }
    *oldest = (struct fetch_place){.index = last->entry.index, .used = ++fetch->clock, .position = last->position};
}

static void fetch_take_record(struct wal_fetch *fetch, const struct wal_format_record *record)
{
    if (record->kind != WAL_FORMAT_ENTRY) return;
    uint64_t expected = fetch->first_index + fetch->count;
    if (record->index < expected) {
        fetch_drop(fetch, record->index <= fetch->first_index ? 0 : (size_t)(record->index - fetch->first_index));
        expected = fetch->first_index + fetch->count;
    }
    if (record->index > expected && fetch->count == 0) fetch->is_gone = true;
    if (record->index != expected || record->index > fetch->last_index) return;
    fetch->is_gone = false;
    bool is_too_much = fetch->bytes + wal_format_record_bytes(record) > fetch->bytes_max;
    if (fetch->is_full || (fetch->count > 0 && BUGGIFY(FETCH_ONE)) || (fetch->count > 0 && is_too_much)) {
        fetch->is_full = true;
        return;
    }
    if (fetch->count == fetch->capacity) {
        fetch->capacity = fetch->capacity == 0 ? 64 : fetch->capacity * 2;
        fetch->candidates = alloc_resize(fetch->candidates, fetch->capacity * sizeof *fetch->candidates);
    }
    struct raft_entry entry = {.index = record->index, .term = record->term, .kind = record->entry_kind};
    entry.data = wal_format_record_blob(record);
    fetch->candidates[fetch->count++] = (struct fetch_candidate){.entry = entry, .position = fetch->reader.last};
    fetch->bytes += wal_format_record_bytes(record);
}

/* Has the segment that is read still its name? If not, its bytes may be another's already, and where they end says nothing. */
static bool fetch_is_there(struct wal_fetch *fetch)
{
    struct wal_reader *reader = &fetch->reader;
    if (reader->at == reader->segment_count || MUTANT(D133)) return true;
    struct fs_file *file = NULL;
    reader->error = fs_open(reader->fs, reader->path, FS_READ, &file);
    fs_close(reader->fs, file);
    return reader->error == 0;
}

/* Is this damage behind which recovery has let the log begin, and not the end? Where nothing stood behind the end once, only the writer
 * has been since. */
static bool fetch_skip(struct wal_fetch *fetch)
{
    struct wal_reader *reader = &fetch->reader;
    if (reader->at == reader->segment_count) return false;
    const struct wal_reader_position here = {.sequence = reader->segments[reader->at].sequence, .offset = reader->offset};
    if (here.sequence == fetch->end.sequence && here.offset >= fetch->end.offset) return false;
    if (wal_reader_skip(reader)) {
        fetch_drop(fetch, 0);
        return true;
    }
    fetch->end = here;
    return false;
}

/* Reads until all candidates are final and no more are wanted, or to the end of the intact log. */
static enum err fetch_scan(struct wal_fetch *fetch)
{
    struct wal_format_batch batch;
    enum wal_reader_verdict verdict = wal_reader_next(&fetch->reader, &batch);
    for (;; verdict = wal_reader_next(&fetch->reader, &batch)) {
        if (verdict == WAL_READER_END && !fetch_is_there(fetch)) verdict = WAL_READER_FAILED;
        if (verdict == WAL_READER_END && fetch_skip(fetch)) continue;
        if (verdict != WAL_READER_BATCH) break;
        if (batch.has_head && batch.head.sequence != fetch->reader.last.sequence && !fetch_is_there(fetch)) {
            verdict = WAL_READER_FAILED;
            break;
        }
        if (batch.has_head && wal_format_is_reset(&batch.head)) {
            fetch_drop(fetch, 0);
            if (batch.head.reset_index >= fetch->first_index) return ERR_COMPACTED;
        }
        struct wal_format_records records = wal_format_records(&batch);
        struct wal_format_record record;
        while (wal_format_record_next(&records, &record)) fetch_take_record(fetch, &record);
        if (records.reader.bad) return ERR_CORRUPT;
        uint64_t held_index = fetch->first_index + fetch->count - 1;
        bool is_enough = fetch->count > 0 && (fetch->is_full || held_index == fetch->last_index);
        if (is_enough && batch.hard.commit >= held_index) return ERR_OK;
    }
    if (fetch->is_gone || (verdict == WAL_READER_FAILED && fetch->reader.error == ENOENT)) return ERR_COMPACTED;
    if (verdict == WAL_READER_FAILED || fetch->count == 0) return ERR_CORRUPT;
    return ERR_OK;
}

/* From a fresh listing. ERR_COMPACTED also if a file was removed meanwhile. */
static enum err fetch_attempt(struct wal_fetch *fetch)
{
    fetch_drop(fetch, 0);
    fetch->is_full = false;
    fetch->is_gone = false;
    fetch->reader.error = 0;
    if (wal_reader_list(&fetch->reader) != 0 || fetch->reader.segment_count == 0) return ERR_CORRUPT;
    return fetch_seek(fetch) ? fetch_scan(fetch) : ERR_COMPACTED;
}

enum err wal_fetch_read(struct wal_fetch *fetch, uint64_t first_index, uint64_t last_index, size_t bytes_max,
                        struct raft_entry **out_entries, size_t *out_count)
{
    ASSERT(first_index > 0 && first_index <= last_index);
    fetch->first_index = first_index;
    fetch->last_index = last_index;
    fetch->bytes_max = bytes_max;
    enum err err = fetch_attempt(fetch);
    for (size_t lists = 1; err == ERR_COMPACTED && fetch->reader.error == ENOENT && lists < WAL_FETCH_LISTS_MAX; lists++) {
        err = fetch_attempt(fetch);
    }
    if (err != ERR_OK) return err;

    fetch_remember(fetch);
    *out_entries = alloc_resize(*out_entries, (*out_count + fetch->count) * sizeof **out_entries);
    for (size_t i = 0; i < fetch->count; i++) (*out_entries)[(*out_count)++] = fetch->candidates[i].entry;
    fetch->count = 0;
    fetch->bytes = 0;
    return ERR_OK;
}
