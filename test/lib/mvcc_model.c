/* mvcc_model: see mvcc_model.h. */
#include "lib/mvcc_model.h"

#include "base/alloc.h"
#include "base/assert.h"

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

/* The first version of the first key ≥ key. */
static size_t place_before(const struct mvcc_model *model, struct slice key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(blob_slice(model->versions[middle].key), key) < 0) {
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
    if (*cursor == 0) *cursor = place_before(model, range->key);
    while (*cursor < model->count) {
        struct slice key = blob_slice(model->versions[*cursor].key);
        const struct mvcc_model_version *found = NULL;
        if (!mvcc_range_contains(range, key)) return NULL;
        for (; *cursor < model->count && slice_equal(blob_slice(model->versions[*cursor].key), key); ++*cursor) {
            if (model->versions[*cursor].revision <= revision) found = &model->versions[*cursor];
        }
        if (found != NULL && !found->is_delete) return found;
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

/* --- the hash of one version, written a second time, byte by byte: members of a cluster compare sums of it, so it never changes -------- */

struct hash_word {
    uint64_t low, high;
};

static uint64_t fold(uint64_t a, uint64_t b)
{
    uint64_t a_low = a & UINT32_MAX, a_high = a >> 32, b_low = b & UINT32_MAX, b_high = b >> 32;
    uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
    uint64_t other = a_low * b_high + (middle & UINT32_MAX);
    uint64_t high = a_high * b_high + (middle >> 32) + (other >> 32);
    return (a * b) ^ high;
}

/* Up to 16 bytes, little-endian, zeros behind the end. */
static struct hash_word hash_word_at(struct slice bytes, size_t at)
{
    struct hash_word word = {0, 0};
    for (size_t i = 0; i < 16 && at + i < bytes.size; i++) {
        uint64_t byte = bytes.data[at + i];
        if (i < 8) {
            word.low |= byte << (8 * i);
        } else {
            word.high |= byte << (8 * (i - 8));
        }
    }
    return word;
}

static const uint64_t salt_a = 0x9e3779b97f4a7c15, salt_b = 0xd1b54a32d192ed03, salt_c = 0x8ebc6af09c88c6e3;

static uint64_t hash_text(uint64_t seed, struct slice bytes)
{
    uint64_t hash = seed ^ salt_c;
    size_t at = 0;
    for (; bytes.size - at >= 16; at += 16) {
        struct hash_word word = hash_word_at(bytes, at);
        hash = fold(word.low ^ salt_a, word.high ^ hash);
    }
    struct hash_word last = hash_word_at(bytes, at);
    return fold(last.low ^ salt_a ^ bytes.size, last.high ^ hash ^ salt_b);
}

uint64_t mvcc_model_hash_one(const struct mvcc_model_version *version)
{
    uint64_t kind = version->is_delete ? 2 : 1;
    uint64_t hash = fold((uint64_t)version->revision ^ salt_a, kind ^ salt_b);
    hash = hash_text(hash, blob_slice(version->key));
    if (version->is_delete) return hash;
    hash = fold((uint64_t)version->create_revision ^ salt_b, (uint64_t)version->version ^ hash);
    hash = fold((uint64_t)version->lease ^ salt_a, hash ^ salt_c);
    return hash_text(hash, blob_slice(version->value));
}

uint64_t mvcc_model_hash(const struct mvcc_model *model, int64_t revision, int64_t compact_revision)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < model->count; i++) {
        if (model->versions[i].revision > revision) continue;
        if (!is_garbage(model, i, compact_revision)) sum += mvcc_model_hash_one(&model->versions[i]);
    }
    return sum;
}
