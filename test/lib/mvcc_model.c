/* mvcc_model: see mvcc_model.h. */
#include "lib/mvcc_model.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/mvcc_record.h"

struct mvcc_model *mvcc_model_new(void)
{
    struct mvcc_model *model = ALLOC(struct mvcc_model);
    model->revision = 1;
    return model;
}

void mvcc_model_free(struct mvcc_model *model)
{
    if (model == NULL) return;
    for (size_t i = 0; i < model->count; i++) {
        blob_unref(model->versions[i].key);
        blob_unref(model->versions[i].value);
    }
    alloc_free(model->versions);
    alloc_free(model);
}

void mvcc_model_begin(struct mvcc_model *model) { model->sub = 0; }

/* One past the last version of all keys ≤ key. */
static size_t place_after(const struct mvcc_model *model, struct slice key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(blob_slice(model->versions[middle].key), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void add(struct mvcc_model *model, struct slice key, struct mvcc_model_version version)
{
    size_t place = place_after(model, key);
    if (model->count == model->capacity) {
        model->capacity = model->capacity == 0 ? 256 : model->capacity * 2;
        model->versions = alloc_resize(model->versions, model->capacity * sizeof *model->versions);
    }
    memmove(model->versions + place + 1, model->versions + place, (model->count - place) * sizeof *model->versions);
    version.key = blob_copy(key);
    version.revision = model->revision + 1;
    version.sub = model->sub++;
    model->versions[place] = version;
    model->count++;
}

void mvcc_model_put(struct mvcc_model *model, struct slice key, struct slice value, int64_t lease)
{
    const struct mvcc_model_version *before = mvcc_model_get(model, key, INT64_MAX);
    struct mvcc_model_version version = {.value = blob_copy(value), .lease = lease};
    version.create_revision = before != NULL ? before->create_revision : model->revision + 1;
    version.version = before != NULL ? before->version + 1 : 1;
    add(model, key, version);
}

int64_t mvcc_model_delete(struct mvcc_model *model, const struct mvcc_range *range)
{
    int64_t count = 0;
    size_t cursor = 0;
    const struct mvcc_model_version *found;
    while ((found = mvcc_model_scan(model, range, INT64_MAX, &cursor)) != NULL) {
        struct blob *key = blob_ref(found->key);
        add(model, blob_slice(key), (struct mvcc_model_version){.is_delete = true});
        blob_unref(key);
        cursor++; /* the array grew in front of it */
        count++;
    }
    return count;
}

int64_t mvcc_model_commit(struct mvcc_model *model)
{
    if (model->sub > 0) model->revision++;
    return model->revision;
}

const struct mvcc_model_version *mvcc_model_get(const struct mvcc_model *model, struct slice key, int64_t revision)
{
    for (size_t i = place_after(model, key); i > 0; i--) {
        const struct mvcc_model_version *version = &model->versions[i - 1];
        if (!slice_equal(blob_slice(version->key), key)) return NULL;
        if (version->revision <= revision) return version->is_delete ? NULL : version;
    }
    return NULL;
}

const struct mvcc_model_version *mvcc_model_scan(const struct mvcc_model *model, const struct mvcc_range *range, int64_t revision,
                                                 size_t *cursor)
{
    while (*cursor < model->count) {
        struct slice key = blob_slice(model->versions[*cursor].key);
        *cursor = place_after(model, key);
        if (!mvcc_range_contains(range, key)) continue;
        const struct mvcc_model_version *version = mvcc_model_get(model, key, revision);
        if (version != NULL) return version;
    }
    return NULL;
}

static bool is_before(int64_t revision, int64_t sub, const struct mvcc_model_version *b)
{
    return revision < b->revision || (revision == b->revision && sub < b->sub);
}

const struct mvcc_model_version *mvcc_model_change(const struct mvcc_model *model, int64_t revision, int64_t sub)
{
    const struct mvcc_model_version *best = NULL;
    for (size_t i = 0; i < model->count; i++) {
        const struct mvcc_model_version *version = &model->versions[i];
        if (!is_before(revision, sub - 1, version)) continue;
        if (best == NULL || is_before(version->revision, version->sub, best)) best = version;
    }
    return best;
}

/* Versions below c go if they are deletes or something ≤ c follows them. */
static bool is_garbage(const struct mvcc_model *model, size_t place, int64_t compact_revision)
{
    const struct mvcc_model_version *version = &model->versions[place];
    if (version->revision >= compact_revision) return false;
    if (version->is_delete) return true;
    if (place + 1 == model->count) return false;
    const struct mvcc_model_version *next = version + 1;
    return slice_equal(blob_slice(next->key), blob_slice(version->key)) && next->revision <= compact_revision;
}

static uint64_t hash_of(const struct mvcc_model_version *version)
{
    struct mvcc_record_options options = {.key = blob_slice(version->key),
                                          .value = blob_slice(version->value),
                                          .revision = version->revision,
                                          .create_revision = version->create_revision,
                                          .version = version->version,
                                          .lease = version->lease,
                                          .is_delete = version->is_delete};
    struct mvcc_record *record = mvcc_record_new(&options);
    uint64_t hash = record->hash;
    mvcc_record_free(record);
    return hash;
}

uint64_t mvcc_model_hash(const struct mvcc_model *model, int64_t revision, int64_t compact_revision)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model->count; i++) {
        if (model->versions[i].revision > revision) continue;
        if (!is_garbage(model, i, compact_revision)) sum += hash_of(&model->versions[i]);
    }
    return sum;
}
