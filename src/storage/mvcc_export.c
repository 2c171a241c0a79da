/* mvcc_export: see mvcc_export.h.
 *
 * Which pointers may be followed (mvcc_record.h): with e the revision up to which compaction has worked, `older` of a record above e is
 * there. The pin holds e at or below the image's compact revision c, so from a record above c one may go on; from one at c only inside its
 * own revision, because what it followed there goes when its entry leaves the history, which e ≤ c does not allow.
 */
#include "storage/mvcc_export.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/map.h"
#include "storage/mvcc_state.h"

#define AHEAD 8         /* records asked for before they are looked at */
#define NEIGHBOURS 64   /* changes of one revision from which on the last place found is remembered */

enum phase { PHASE_HISTORY, PHASE_KEYS, PHASE_END, PHASE_LOST };
struct mvcc_export {
    struct mvcc_export_image image;
    const struct mvcc_view *view; /* of the read section */
    enum phase phase;
    int64_t base;                 /* revision of begins[0] */
    uint32_t *begins;             /* revision − base → ordinal of its first change, or of the next there is */
    int64_t noted;                /* begins are known up to this revision */
    struct mvcc_history_log_place place;
    struct mvcc_history_log_chunk **chunks; /* from the chunk of history_first on */
    struct map fingers;           /* revision of many changes → 1 + ordinal where the last one was found */
    struct buf key;               /* the last one looked at; empty = none */
    bool is_placed;               /* in this read section: */
    struct mvcc_index_path path;
    const struct mvcc_record *collecting; /* the next to look at; NULL = the key's are all in `records` */
    const struct mvcc_record **records;   /* newest first */
    size_t record_count;
    size_t record_capacity;
    bool is_first;
};

/* --- the image --------------------------------------------------------------------------------------------------------------- */

static int64_t base_of(const struct mvcc_export_image *image)
{
    ASSERT(image->revision > 0 && image->compact_revision <= image->revision);
    return image->compact_revision > 0 ? image->compact_revision : 1;
}

bool mvcc_export_freeze(struct mvcc *mvcc, struct mvcc_export_image *out_image)
{
    ASSERT(!mvcc->is_in_txn);
    bool is_compacted = false;
    int pin = mvcc_pin(mvcc, mvcc->compact_revision > 0 ? mvcc->compact_revision : 1, &is_compacted);
    ASSERT(!is_compacted); /* only this thread moves the mark */
    if (pin < 0) return false;
    struct mvcc_history_log_place first = mvcc_history_log_find(&mvcc->log, mvcc->compact_revision);
    *out_image = (struct mvcc_export_image){.revision = mvcc->revision,
                                            .compact_revision = mvcc->compact_revision,
                                            .hash = mvcc->log.sums.hash,
                                            .superseded = mvcc->log.sums.superseded,
                                            .vanished = mvcc->log.sums.vanished,
                                            .garbage_hash = mvcc->garbage_hash,
                                            .live_keys = (uint64_t)mvcc->log.sums.live,
                                            .live_bytes = mvcc->live_bytes,
                                            .history_count = mvcc->log.end - first.ordinal,
                                            .history_first = first.ordinal,
                                            .epoch = mvcc->epoch,
                                            .pin = pin};
    return true;
}

void mvcc_export_thaw(struct mvcc *mvcc, struct mvcc_export_image *image)
{
    if (image->pin < 0) return;
    ASSERT(mvcc != NULL);
    mvcc_unpin(mvcc, image->pin);
    image->pin = -1;
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static uint64_t chunk_number(uint64_t ordinal) { return ordinal / MVCC_HISTORY_LOG_CHUNK; }

struct mvcc_export *mvcc_export_new(const struct mvcc_export_image *image)
{
    ASSERT(image->pin >= 0 && image->history_count < UINT32_MAX);
    struct mvcc_export *export = ALLOC(struct mvcc_export);
    export->image = *image;
    export->base = base_of(image);
    export->noted = export->base - 1;
    export->begins = alloc_new((size_t)(image->revision - export->base + 2) * sizeof *export->begins);
    uint64_t chunks = chunk_number(image->history_first + image->history_count) - chunk_number(image->history_first) + 1;
    export->chunks = alloc_zero(chunks, sizeof *export->chunks);
    map_init(&export->fingers);
    buf_init(&export->key);
    return export;
}

void mvcc_export_free(struct mvcc_export *export)
{
    if (export == NULL) return;
    alloc_free(export->begins);
    alloc_free(export->chunks);
    alloc_free(export->records);
    map_deinit(&export->fingers);
    buf_deinit(&export->key);
    alloc_free(export);
}

bool mvcc_export_enter(struct mvcc_export *export, const struct mvcc_view *view)
{
    if (view->epoch != export->image.epoch) export->phase = PHASE_LOST;
    if (export->phase == PHASE_LOST) return false;
    ASSERT(view->revision >= export->image.revision && view->log.floor_revision <= export->base);
    export->view = view;
    export->is_placed = false;
    return true;
}

/* --- where revisions begin in the history -------------------------------------------------------------------------------------- */

static void note(struct mvcc_export *export, int64_t revision, uint64_t ordinal)
{
    ASSERT(revision <= export->image.revision + 1 && ordinal <= export->image.history_count);
    while (export->noted < revision) export->begins[++export->noted - export->base] = (uint32_t)ordinal;
}

static bool walk_history(struct mvcc_export *export, size_t *budget)
{
    const struct mvcc_export_image *image = &export->image;
    struct mvcc_history_log_place *place = &export->place;
    uint64_t end = image->history_first + image->history_count;
    if (place->chunk == NULL) *place = mvcc_history_log_find(&export->view->log, image->compact_revision);
    ASSERT(place->ordinal >= image->history_first && place->ordinal <= end);
    while (place->ordinal < end && *budget > 0) {
        uint64_t ordinal = place->ordinal - image->history_first;
        const struct mvcc_record *record = mvcc_history_log_next(place);
        uint64_t slot = (place->ordinal - 1) % MVCC_HISTORY_LOG_CHUNK;
        if (slot + AHEAD < MVCC_HISTORY_LOG_CHUNK && place->ordinal + AHEAD <= end) __builtin_prefetch(place->chunk->entries[slot + AHEAD]);
        export->chunks[place->chunk->number - chunk_number(image->history_first)] = place->chunk;
        note(export, mvcc_record_revision(record), ordinal);
        (*budget)--;
    }
    if (place->ordinal < end) return false;
    note(export, image->revision + 1, image->history_count);
    return true;
}

static const struct mvcc_record *entry_at(const struct mvcc_export *export, uint32_t ordinal)
{
    uint64_t place = export->image.history_first + ordinal;
    const struct mvcc_history_log_chunk *chunk =
        export->chunks[chunk_number(place) - chunk_number(export->image.history_first)];
    ASSERT(chunk != NULL);
    return chunk->entries[place % MVCC_HISTORY_LOG_CHUNK];
}

/* Among many changes of one revision: from behind the last one found. What one delete did stands there in the order of keys, too. */
static uint32_t find_neighbour(struct mvcc_export *export, const struct mvcc_record *record, uint32_t begin, uint32_t end, size_t *budget)
{
    uint64_t revision = (uint64_t)mvcc_record_revision(record);
    bool is_many = end - begin > NEIGHBOURS;
    uint32_t at = is_many ? (uint32_t)(uintptr_t)map_get(&export->fingers, revision) : begin;
    if (at < begin || at >= end) at = begin;
    uint32_t looks = 0;
    for (; entry_at(export, at) != record; looks++) {
        at = at + 1 == end ? begin : at + 1;
        ASSERT(looks <= end - begin);
    }
    *budget -= *budget > looks / NEIGHBOURS ? looks / NEIGHBOURS : *budget;
    if (!is_many) return at;
    (void)map_take(&export->fingers, revision);
    bool is_put = map_put(&export->fingers, revision, (void *)((uintptr_t)at + 1));
    ASSERT(is_put);
    return at;
}

static uint32_t ordinal_of(struct mvcc_export *export, const struct mvcc_record *record, size_t *budget)
{
    int64_t place = mvcc_record_revision(record) - export->base;
    ASSERT(place >= 0 && mvcc_record_revision(record) <= export->image.revision);
    uint32_t begin = export->begins[place];
    uint32_t end = export->begins[place + 1];
    ASSERT(begin < end);
    return end - begin == 1 ? begin : find_neighbour(export, record, begin, end, budget);
}

/* --- keys -------------------------------------------------------------------------------------------------------------------- */

static bool next_leaf(struct mvcc_index_path *path)
{
    uint32_t level = path->depth - 1;
    while (level > 0) {
        const struct mvcc_node *node = path->nodes[--level];
        if (path->slots[level] + 1 >= node->count) continue;
        path->slots[level]++;
        for (; node->level > 0; node = path->nodes[level]) {
            path->nodes[level + 1] = mvcc_node_inner(node)->children[path->slots[level]];
            path->slots[++level] = 0;
        }
        ASSERT(level + 1 == path->depth);
        return true;
    }
    return false;
}

/* The newest record of the next key, whatever its revision; NULL at the end. */
static const struct mvcc_record *next_key(struct mvcc_export *export)
{
    struct mvcc_index_path *path = &export->path;
    if (!export->is_placed) {
        struct mvcc_index index = {.root = (struct mvcc_node *)(uintptr_t)export->view->root};
        (void)mvcc_index_seek(&index, buf_slice(&export->key), path);
        if (path->is_found) path->slots[path->depth - 1]++;
        export->is_placed = true;
    }
    while (path->slots[path->depth - 1] >= path->nodes[path->depth - 1]->count) {
        if (!next_leaf(path)) return NULL;
    }
    const struct mvcc_node *leaf = path->nodes[path->depth - 1];
    uint32_t slot = path->slots[path->depth - 1]++;
    if (slot + AHEAD < leaf->count) __builtin_prefetch(mvcc_node_leaf(leaf)->records[slot + AHEAD]);
    return mvcc_node_leaf(leaf)->records[slot];
}

static void keep(struct mvcc_export *export, const struct mvcc_record *record)
{
    if (export->record_count == export->record_capacity) {
        export->record_capacity = export->record_capacity == 0 ? 16 : export->record_capacity * 2;
        export->records = alloc_resize(export->records, export->record_capacity * sizeof *export->records);
    }
    ASSERT(export->record_count < export->record_capacity);
    export->records[export->record_count++] = record;
}

/* One record of the key that is being collected. */
static void collect(struct mvcc_export *export)
{
    const struct mvcc_record *record = export->collecting;
    int64_t revision = mvcc_record_revision(record);
    int64_t mark = export->image.compact_revision;
    ASSERT(revision <= export->image.revision);
    bool is_told = revision >= mark;
    if (is_told || !mvcc_record_is_delete(record)) keep(export, record);
    bool goes_on = revision > mark || (revision == mark && mvcc_record_is_inside(record));
    export->collecting = goes_on ? record->older : NULL;
}

static void emit(struct mvcc_export *export, size_t *budget, struct mvcc_export_version *out_version)
{
    ASSERT(export->record_count > 0 && export->collecting == NULL);
    const struct mvcc_record *record = export->records[--export->record_count];
    out_version->is_first = export->is_first;
    out_version->is_delete = mvcc_record_is_delete(record);
    out_version->is_told = mvcc_record_revision(record) >= export->image.compact_revision;
    out_version->ordinal = out_version->is_told ? ordinal_of(export, record, budget) : 0;
    mvcc_record_kv(record, &out_version->kv);
    export->is_first = false;
}

/* Takes up a key by its newest record. One that was deleted before the mark and not put again until the image is not retained: no pin holds
 * that record, so it must not be carried into another read section. */
static void take_up(struct mvcc_export *export, const struct mvcc_record *newest)
{
    const struct mvcc_record *record = mvcc_record_find(newest, export->image.revision);
    bool is_gone = record != NULL && mvcc_record_is_delete(record) && mvcc_record_revision(record) < export->image.compact_revision;
    ASSERT(export->collecting == NULL && export->record_count == 0);
    buf_clear(&export->key);
    buf_put_slice(&export->key, mvcc_record_key(newest));
    export->collecting = is_gone ? NULL : record;
    export->is_first = true;
}

static enum mvcc_export_progress walk_keys(struct mvcc_export *export, size_t *budget, struct mvcc_export_version *out_version)
{
    while (*budget > 0) {
        (*budget)--;
        if (export->collecting != NULL) {
            collect(export);
        } else if (export->record_count > 0) {
            emit(export, budget, out_version);
            return MVCC_EXPORT_VERSION;
        } else {
            const struct mvcc_record *newest = next_key(export);
            if (newest == NULL) {
                export->phase = PHASE_END;
                return MVCC_EXPORT_END;
            }
            take_up(export, newest);
        }
    }
    return MVCC_EXPORT_PAUSE;
}

enum mvcc_export_progress mvcc_export_next(struct mvcc_export *export, size_t *budget, struct mvcc_export_version *out_version)
{
    ASSERT(export->view != NULL);
    if (export->phase == PHASE_LOST) return MVCC_EXPORT_LOST;
    if (export->phase == PHASE_HISTORY) {
        if (!walk_history(export, budget)) return MVCC_EXPORT_PAUSE;
        export->phase = PHASE_KEYS;
    }
    if (export->phase == PHASE_END) return MVCC_EXPORT_END;
    return walk_keys(export, budget, out_version);
}
