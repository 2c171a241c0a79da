/* mvcc_import: see mvcc_import.h.
 *
 * The tree: one open node per level. A full one is closed and handed to the level above with the separator that stands in front of it; so
 * every node is written once. The history: a chunk is made when the first of its entries comes; what an entry adds to the sums is added to
 * its chunk at once, while the version before it is at hand, and what stood before each chunk follows from the end backward.
 *
 * What is left of a compacted store begins in the middle of things: a version at the compact revision may follow one that is gone, and the
 * one in force at the mark stands outside the history. Behind the mark every version must follow what the one before it says.
 */
#include "storage/mvcc_import.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/mvcc_state.h"

#define AHEAD 8 /* records asked for before they are looked at */

enum phase { PHASE_PUT, PHASE_SUM, PHASE_LINK, PHASE_DONE };
struct level {
    struct mvcc_node *node;           /* open; NULL = none yet */
    struct mvcc_node_text *separator; /* in front of it; NULL = it is the leftmost */
};
struct mvcc_import {
    struct mvcc_export_image image;
    struct mvcc_content *content;     /* being filled; NULL = taken */
    struct level levels[MVCC_INDEX_DEPTH_MAX];
    struct mvcc_record *record;       /* the last version that came, not in a leaf yet; NULL = none */
    struct mvcc_record *newest;       /* of the key before, in a leaf; NULL = none */
    uint32_t ordinal;                 /* of `record`, if the history tells it */
    uint64_t told;                    /* entries of the history that came */
    uint64_t hash;                    /* sum over the versions that came */
    uint64_t live_keys;
    struct mvcc_history_log_chunk **chunks; /* NULL = no entry came yet; until they are linked, sums = what their entries add */
    uint64_t chunk_count;
    enum phase phase;
    uint64_t cursor;                  /* of the phase: entries or chunks done */
    int64_t revision;                 /* of the last entry linked */
    const char *complaint;
};

static bool refuse(struct mvcc_import *import, const char *complaint)
{
    if (import->complaint == NULL) import->complaint = complaint;
    return false;
}

struct mvcc_import *mvcc_import_new(const struct mvcc_export_image *image)
{
    struct mvcc_import *import = ALLOC(struct mvcc_import);
    bool is_sound = image->revision > 0 && image->revision < MVCC_RECORD_REVISION_MAX && image->compact_revision >= 0 &&
                    image->compact_revision <= image->revision && image->history_count < UINT32_MAX;
    import->image = *image;
    import->content = ALLOC(struct mvcc_content);
    import->content->pool = mvcc_pool_new();
    if (!is_sound) {
        (void)refuse(import, "its revisions make no sense");
        return import;
    }
    import->chunk_count = (image->history_count + MVCC_HISTORY_LOG_CHUNK - 1) / MVCC_HISTORY_LOG_CHUNK;
    import->chunks = alloc_zero(import->chunk_count + 1, sizeof(struct mvcc_history_log_chunk *));
    import->revision = image->compact_revision > 0 ? image->compact_revision : 1;
    return import;
}

/* --- taking apart what was refused --------------------------------------------------------------------------------------------- */

/* Nothing was dropped here, so all versions of a key hang on its newest. */
static void free_chain(struct mvcc_record *record)
{
    while (record != NULL) {
        struct mvcc_record *older = record->older;
        mvcc_record_free(record);
        record = older;
    }
}

/* As deep as the tree, at most MVCC_INDEX_DEPTH_MAX. */
static void free_tree(struct mvcc_node *node)
{
    if (node == NULL) return;
    ASSERT(node->level < MVCC_INDEX_DEPTH_MAX);
    for (uint32_t slot = 0; slot < node->count; slot++) {
        if (node->level == 0) {
            free_chain(mvcc_node_leaf(node)->records[slot]);
        } else {
            free_tree(mvcc_node_inner(node)->children[slot]);
            alloc_free(mvcc_node_inner(node)->separators[slot]);
        }
    }
    alloc_free(node);
}

void mvcc_import_free(struct mvcc_import *import)
{
    if (import == NULL) return;
    if (import->content != NULL) {
        free_chain(import->record);
        for (uint32_t level = 0; level < MVCC_INDEX_DEPTH_MAX; level++) {
            free_tree(import->levels[level].node);
            alloc_free(import->levels[level].separator);
        }
        free_tree(import->content->root);
        for (uint64_t at = 0; at < import->chunk_count; at++) alloc_free(import->chunks[at]);
        mvcc_pool_close(import->content->pool);
        alloc_free(import->content);
    }
    alloc_free(import->chunks);
    alloc_free(import);
}

/* --- the tree ---------------------------------------------------------------------------------------------------------------- */

static struct mvcc_node *new_node(struct mvcc_import *import, uint32_t level)
{
    struct mvcc_node *node = mvcc_node_new(0, level); /* batches begin with 1: the first change of a store copies it */
    import->content->bytes += mvcc_node_bytes(node);
    return node;
}

/* Hands a closed node to `level`, and closes that one's node if it is full. */
static void hand_up(struct mvcc_import *import, uint32_t level, struct mvcc_node *child, struct mvcc_node_text *separator)
{
    for (;; level++) {
        ASSERT(level > 0 && level < MVCC_INDEX_DEPTH_MAX);
        struct level *here = &import->levels[level];
        ASSERT((here->node == NULL) == (separator == NULL));
        if (here->node != NULL && here->node->count < MVCC_IMPORT_INNER) {
            mvcc_node_inner_insert(here->node, here->node->count, (struct mvcc_node_carry){.right = child, .separator = separator});
            return;
        }
        struct level closed = *here;
        here->node = new_node(import, level);
        here->separator = separator;
        mvcc_node_inner_insert(here->node, 0, (struct mvcc_node_carry){.right = child});
        if (closed.node == NULL) return;
        child = closed.node;
        separator = closed.separator;
    }
}

static void add_to_leaf(struct mvcc_import *import, struct mvcc_record *record)
{
    struct level *here = &import->levels[0];
    bool is_live = !mvcc_record_is_delete(record);
    if (here->node == NULL) here->node = new_node(import, 0);
    if (here->node->count == MVCC_IMPORT_LEAF) {
        struct mvcc_node_text *separator = mvcc_node_separator(mvcc_record_key(import->newest), mvcc_record_key(record));
        import->content->bytes += sizeof *separator + separator->size;
        struct level closed = *here;
        here->node = new_node(import, 0);
        here->separator = separator;
        hand_up(import, 1, closed.node, closed.separator);
    }
    mvcc_node_leaf_insert(here->node, here->node->count, record, is_live);
    import->content->keys++;
    import->newest = record;
    if (!is_live) return;
    import->live_keys++;
    import->content->live_bytes += (uint64_t)record->key_size + record->value_size;
}

/* Closes all levels; the topmost node is the root. */
static void close_tree(struct mvcc_import *import)
{
    if (import->levels[0].node == NULL) import->levels[0].node = new_node(import, 0);
    for (uint32_t level = 0;; level++) {
        struct level closed = import->levels[level];
        ASSERT(closed.node != NULL);
        import->levels[level] = (struct level){.node = NULL};
        bool is_top = level + 1 == MVCC_INDEX_DEPTH_MAX || import->levels[level + 1].node == NULL;
        if (is_top) {
            ASSERT(closed.separator == NULL);
            import->content->root = closed.node;
            return;
        }
        hand_up(import, level + 1, closed.node, closed.separator);
    }
}

/* --- versions ----------------------------------------------------------------------------------------------------------------- */

/* Does it follow the version before it? */
static bool check_life(struct mvcc_import *import, const struct mvcc_export_version *version, const struct mvcc_record *older)
{
    const struct mvcc_kv *kv = &version->kv;
    bool is_behind_mark = kv->mod_revision > import->image.compact_revision;
    bool is_first_life = older == NULL || mvcc_record_is_delete(older);
    if (version->is_delete) {
        if (kv->value.size != 0 || kv->lease != 0 || kv->version != 0) return refuse(import, "a delete carries a value");
        bool follows_nothing = older == NULL ? is_behind_mark : mvcc_record_is_delete(older);
        return follows_nothing ? refuse(import, "a key that is not there is deleted") : true;
    }
    bool is_possible = kv->version >= 1 && kv->version <= kv->mod_revision && kv->create_revision >= 1;
    if (!is_possible || kv->create_revision > kv->mod_revision) return refuse(import, "a version makes no sense");
    if (kv->version == 1 && kv->create_revision != kv->mod_revision) return refuse(import, "a first version is not the one that creates");
    if (is_first_life) {
        bool must_create = older != NULL || is_behind_mark;
        return must_create && kv->version != 1 ? refuse(import, "a key begins with a later version") : true;
    }
    struct mvcc_kv before;
    mvcc_record_kv(older, &before);
    bool follows = kv->version - 1 == before.version && kv->create_revision == before.create_revision;
    return follows ? true : refuse(import, "a version does not follow the one before it");
}

/* `older`: the version before it, NULL = it is its key's first. */
static bool check_order(struct mvcc_import *import, const struct mvcc_export_version *version, const struct mvcc_record *older)
{
    const struct mvcc_export_image *image = &import->image;
    int64_t revision = version->kv.mod_revision;
    if (revision < 1 || revision > image->revision) return refuse(import, "a version is not of its time");
    if (version->is_told != (revision >= image->compact_revision)) return refuse(import, "a version stands on the wrong side of the mark");
    if (version->is_told && version->ordinal >= image->history_count) return refuse(import, "a version has no place in the history");
    if (!version->is_told && (!version->is_first || version->is_delete)) return refuse(import, "more than one version from before the mark");
    if (older != NULL) {
        int64_t before = mvcc_record_revision(older);
        bool is_later = revision > before || (revision == before && version->is_told && version->ordinal > import->ordinal);
        return is_later ? true : refuse(import, "versions of a key are out of order");
    }
    if (version->kv.key.size == 0 || version->kv.key.size > UINT32_MAX) return refuse(import, "a key is empty");
    struct mvcc_record *last = import->record;
    if (last != NULL && slice_compare(mvcc_record_key(last), version->kv.key) >= 0) return refuse(import, "keys are out of order");
    return true;
}

static bool tell(struct mvcc_import *import, struct mvcc_record *record, uint32_t ordinal)
{
    struct mvcc_history_log_chunk **chunk = &import->chunks[ordinal / MVCC_HISTORY_LOG_CHUNK];
    if (*chunk == NULL) {
        *chunk = alloc_zero(1, sizeof **chunk);
        import->content->bytes += sizeof **chunk;
    }
    struct mvcc_record **entry = &(*chunk)->entries[ordinal % MVCC_HISTORY_LOG_CHUNK];
    if (*entry != NULL) return refuse(import, "two versions have one place in the history");
    *entry = record;
    mvcc_history_log_add(&(*chunk)->sums, record, 1);
    import->ordinal = ordinal;
    import->told++;
    return true;
}

bool mvcc_import_put(struct mvcc_import *import, const struct mvcc_export_version *version)
{
    ASSERT(import->phase == PHASE_PUT);
    if (import->complaint != NULL) return false;
    struct mvcc_record *older = version->is_first ? NULL : import->record;
    if (!version->is_first && older == NULL) return refuse(import, "it begins in the middle of a key");
    if (!check_order(import, version, older) || !check_life(import, version, older)) return false;
    if (version->is_first && import->record != NULL) {
        struct mvcc_record *record = import->record;
        import->record = NULL;
        add_to_leaf(import, record);
    }
    struct mvcc_record_options options = {.key = version->is_first ? version->kv.key : mvcc_record_key(older),
                                          .value = version->kv.value,
                                          .revision = version->kv.mod_revision,
                                          .create_revision = version->kv.create_revision,
                                          .version = version->kv.version,
                                          .lease = version->kv.lease,
                                          .is_delete = version->is_delete,
                                          .older = older,
                                          .floor_revision = import->image.compact_revision,
                                          .pool = import->content->pool};
    import->record = mvcc_record_new(&options);
    import->hash += import->record->hash;
    import->content->versions++;
    import->content->bytes += mvcc_record_bytes(import->record);
    return version->is_told ? tell(import, import->record, version->ordinal) : true;
}

/* --- the end ----------------------------------------------------------------------------------------------------------------- */

static bool begin_finish(struct mvcc_import *import)
{
    const struct mvcc_export_image *image = &import->image;
    struct mvcc_record *record = import->record;
    import->record = NULL;
    if (record != NULL) add_to_leaf(import, record);
    close_tree(import);
    if (import->told != image->history_count) return refuse(import, "changes are missing in its history");
    if (import->live_keys != image->live_keys) return refuse(import, "the number of live keys differs");
    if (import->content->live_bytes != image->live_bytes) return refuse(import, "the bytes of live keys differ");
    if (import->hash != image->hash - image->garbage_hash) return refuse(import, "the state's hash differs");
    return true;
}

/* From the last chunk backward: what was before it. */
static void sum_chunk(struct mvcc_import *import, uint64_t at)
{
    struct mvcc_history_log_sums *sums = &import->content->log.sums; /* what is before the chunk behind */
    struct mvcc_history_log_sums *own = &import->chunks[at]->sums;
    sums->hash -= own->hash;
    sums->superseded -= own->superseded;
    sums->vanished -= own->vanished;
    sums->live -= own->live;
    *own = *sums;
}

static bool link_entry(struct mvcc_import *import, uint64_t ordinal)
{
    struct mvcc_history_log_chunk *chunk = import->chunks[ordinal / MVCC_HISTORY_LOG_CHUNK];
    uint64_t slot = ordinal % MVCC_HISTORY_LOG_CHUNK;
    ASSERT(chunk->entries[slot] != NULL); /* as many came as there are places, and none twice */
    if (slot + AHEAD < MVCC_HISTORY_LOG_CHUNK) __builtin_prefetch(chunk->entries[slot + AHEAD]);
    int64_t revision = mvcc_record_revision(chunk->entries[slot]);
    if (revision != import->revision && revision != import->revision + 1) return refuse(import, "its history has a gap or goes back");
    import->revision = revision;
    if (slot == 0) mvcc_history_log_link(&import->content->log, chunk, ordinal / MVCC_HISTORY_LOG_CHUNK, revision);
    return true;
}

static bool end_finish(struct mvcc_import *import)
{
    const struct mvcc_export_image *image = &import->image;
    struct mvcc_content *content = import->content;
    if (import->revision != image->revision) return refuse(import, "its history ends too early");
    content->log.end = image->history_count;
    content->log.floor_revision = image->compact_revision;
    content->log.sums = (struct mvcc_history_log_sums){.hash = image->hash,
                                                       .superseded = image->superseded,
                                                       .vanished = image->vanished,
                                                       .live = (int64_t)image->live_keys};
    content->revision = image->revision;
    content->compact_revision = image->compact_revision;
    content->garbage_hash = image->garbage_hash;
    return true;
}

/* One unit of work; false: this phase is over. */
static bool advance(struct mvcc_import *import)
{
    const struct mvcc_export_image *image = &import->image;
    if (import->phase == PHASE_SUM) {
        if (import->cursor == import->chunk_count) return false;
        sum_chunk(import, import->chunk_count - ++import->cursor);
        return true;
    }
    ASSERT(import->phase == PHASE_LINK);
    if (import->cursor == image->history_count) return false;
    return link_entry(import, import->cursor++);
}

bool mvcc_import_finish_step(struct mvcc_import *import, size_t budget)
{
    if (import->complaint != NULL || import->phase == PHASE_DONE) return false;
    if (import->phase == PHASE_PUT) {
        if (!begin_finish(import)) return false;
        import->content->log.sums = (struct mvcc_history_log_sums){.hash = import->image.hash,
                                                                   .superseded = import->image.superseded,
                                                                   .vanished = import->image.vanished,
                                                                   .live = (int64_t)import->image.live_keys};
        import->phase = PHASE_SUM;
    }
    for (; budget > 0; budget--) {
        if (advance(import)) continue;
        if (import->complaint != NULL) return false;
        import->cursor = 0;
        import->phase++;
        if (import->phase < PHASE_DONE) continue;
        (void)end_finish(import);
        return false;
    }
    return true;
}

struct mvcc_content *mvcc_import_take(struct mvcc_import *import)
{
    if (import->phase != PHASE_DONE || import->complaint != NULL) return NULL;
    struct mvcc_content *content = import->content;
    ASSERT(content != NULL);
    import->content = NULL;
    return content;
}

const char *mvcc_import_complaint(const struct mvcc_import *import) { return import->complaint; }
