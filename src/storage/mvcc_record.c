/* mvcc_record: see mvcc_record.h. */
#include "storage/mvcc_record.h"

#include <string.h>

#include "base/alloc.h"

STATIC_ASSERT(sizeof(struct mvcc_record_skip) == 24, "three words of tail");
#define PLACE_SHIFT 6
STATIC_ASSERT(MVCC_RECORD_GROUP == 1 << (MVCC_RECORD_STAMP_SHIFT - PLACE_SHIFT), "the place has the bits between");
STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the hash reads little-endian words");

static uint32_t place_of(uint64_t stamp) { return (uint32_t)(stamp >> PLACE_SHIFT) & (MVCC_RECORD_GROUP - 1); }

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define HASH_SALT_A UINT64_C(0x9e3779b97f4a7c15)
#define HASH_SALT_B UINT64_C(0xd1b54a32d192ed03)
#define HASH_SALT_C UINT64_C(0x8ebc6af09c88c6e3)

static uint64_t word_at(const uint8_t *data, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, data, size < sizeof word ? size : sizeof word);
    return word;
}

/* 16 bytes per multiplication; the size ends it, so that a key's end cannot pass for a value's beginning. */
static uint64_t hash_bytes(uint64_t seed, struct slice bytes)
{
    const uint8_t *data = bytes.data;
    size_t left = bytes.size;
    uint64_t hash = seed ^ HASH_SALT_C;
    while (left >= 16) {
        hash = mix(word_at(data, 8) ^ HASH_SALT_A, word_at(data + 8, 8) ^ hash);
        data += 16;
        left -= 16;
    }
    uint64_t low = left == 0 ? 0 : word_at(data, left);
    uint64_t high = left <= 8 ? 0 : word_at(data + 8, left - 8);
    return mix(low ^ HASH_SALT_A ^ bytes.size, high ^ hash ^ HASH_SALT_B);
}

/* Members of a cluster compare sums of these, so the function is part of the replicated format: it never changes. */
uint64_t mvcc_record_hash(const struct mvcc_record_options *options)
{
    uint64_t hash = mix((uint64_t)options->revision ^ HASH_SALT_A, (options->is_delete ? 2u : 1u) ^ HASH_SALT_B);
    hash = hash_bytes(hash, options->key);
    if (options->is_delete) return hash;
    hash = mix((uint64_t)options->create_revision ^ HASH_SALT_B, (uint64_t)options->version ^ hash);
    hash = mix((uint64_t)options->lease ^ HASH_SALT_A, hash ^ HASH_SALT_C);
    return hash_bytes(hash, options->value);
}

static struct mvcc_record_skip *skip_of(const struct mvcc_record *record)
{
    ASSERT((record->stamp & MVCC_RECORD_SKIP) != 0);
    uint32_t words = mvcc_record_tail_words(record->stamp) - (uint32_t)(sizeof(struct mvcc_record_skip) / sizeof(uint64_t));
    return (struct mvcc_record_skip *)(void *)((uint64_t *)record->tail + words);
}

/* The milestone before a new one, NULL if compaction has reached in between. */
static struct mvcc_record *milestone_before(struct mvcc_record *record, int64_t floor_revision)
{
    for (int steps = 0; record != NULL && steps < MVCC_RECORD_GROUP; steps++) {
        if ((record->stamp & MVCC_RECORD_SKIP) != 0) return record;
        if (mvcc_record_revision(record) <= floor_revision) return NULL;
        record = record->older;
    }
    return NULL;
}

/* Myers: if the last two skips are of one length, the new one spans both; else it goes to the milestone before. A target that may be
 * gone ends the chain: no reader will want it. */
static struct mvcc_record_skip skip_for(struct mvcc_record *older, int64_t floor_revision)
{
    struct mvcc_record *before = milestone_before(older, floor_revision);
    if (before == NULL) return (struct mvcc_record_skip){.depth = 1};
    const struct mvcc_record_skip *skip = skip_of(before);
    struct mvcc_record_skip next = {.target = before,
                                    .target_revision = mvcc_record_revision(before),
                                    .depth = skip->depth + 1,
                                    .target_depth = skip->depth};
    if (skip->target_revision <= floor_revision) return next;
    const struct mvcc_record_skip *second = skip_of(skip->target);
    bool spans = skip->depth - skip->target_depth == skip->target_depth - second->target_depth;
    if (!spans || second->target_revision <= floor_revision) return next;
    next.target = second->target;
    next.target_revision = second->target_revision;
    next.target_depth = second->target_depth;
    return next;
}

static uint64_t stamp_for(const struct mvcc_record_options *options)
{
    uint32_t place = options->older == NULL ? 1 : (place_of(options->older->stamp) + 1) % MVCC_RECORD_GROUP;
    uint64_t flags = 0;
    if (options->is_delete) flags |= MVCC_RECORD_DELETE;
    if (options->version > 1) flags |= MVCC_RECORD_LIFE;
    if (options->lease != 0) flags |= MVCC_RECORD_LEASE;
    if (options->value.size >= MVCC_RECORD_BLOB_MIN) flags |= MVCC_RECORD_BLOB;
    if (place == 0) flags |= MVCC_RECORD_SKIP;
    if (options->older != NULL && mvcc_record_revision(options->older) == options->revision) flags |= MVCC_RECORD_INSIDE;
    return (uint64_t)options->revision << MVCC_RECORD_STAMP_SHIFT | (uint64_t)place << PLACE_SHIFT | flags;
}

static void fill_tail(struct mvcc_record *record, const struct mvcc_record_options *options)
{
    uint64_t *word = record->tail;
    if ((record->stamp & MVCC_RECORD_LIFE) != 0) {
        *word++ = (uint64_t)options->create_revision;
        *word++ = (uint64_t)options->version;
    }
    if ((record->stamp & MVCC_RECORD_LEASE) != 0) *word++ = (uint64_t)options->lease;
    if ((record->stamp & MVCC_RECORD_BLOB) != 0) *word++ = (uint64_t)(uintptr_t)blob_copy(options->value);
    if ((record->stamp & MVCC_RECORD_SKIP) != 0) {
        struct mvcc_record_skip skip = skip_for(options->older, options->floor_revision);
        memcpy(word, &skip, sizeof skip);
        word += sizeof skip / sizeof *word;
    }
    uint8_t *bytes = (uint8_t *)word;
    if (options->key.size != 0) memcpy(bytes, options->key.data, options->key.size);
    bool is_inline = (record->stamp & MVCC_RECORD_BLOB) == 0;
    if (is_inline && options->value.size != 0) memcpy(bytes + options->key.size, options->value.data, options->value.size);
}

struct mvcc_record *mvcc_record_new(const struct mvcc_record_options *options)
{
    ASSERT(options->revision > 0 && options->revision < MVCC_RECORD_REVISION_MAX);
    ASSERT(options->key.size <= UINT32_MAX && options->value.size <= UINT32_MAX);
    ASSERT(!options->is_delete || (options->value.size == 0 && options->lease == 0 && options->version == 0));
    ASSERT(options->is_delete || options->version > 1 || options->create_revision == options->revision);
    ASSERT(options->older == NULL || mvcc_record_revision(options->older) <= options->revision);
    uint64_t stamp = stamp_for(options);
    size_t value_bytes = (stamp & MVCC_RECORD_BLOB) != 0 ? 0 : options->value.size;
    size_t tail_bytes = mvcc_record_tail_words(stamp) * sizeof(uint64_t);
    size_t bytes = sizeof(struct mvcc_record) + tail_bytes + options->key.size + value_bytes;
    struct mvcc_record *record = mvcc_pool_takes(bytes) ? mvcc_pool_take(options->pool, bytes) : alloc_new(bytes);
    record->stamp = stamp;
    record->older = options->older;
    record->hash = mvcc_record_hash(options);
    record->key_size = (uint32_t)options->key.size;
    record->value_size = (uint32_t)options->value.size;
    fill_tail(record, options);
    return record;
}

/* NULL if the value stands in the record itself. */
static struct blob *blob_of(const struct mvcc_record *record)
{
    if ((record->stamp & MVCC_RECORD_BLOB) == 0) return NULL;
    uint32_t before = mvcc_record_tail_words(record->stamp & (MVCC_RECORD_LIFE | MVCC_RECORD_LEASE));
    return (struct blob *)(uintptr_t)record->tail[before];
}

/* Of the record's own allocation. */
static uint64_t own_bytes(const struct mvcc_record *record)
{
    bool is_blob = (record->stamp & MVCC_RECORD_BLOB) != 0;
    return sizeof *record + mvcc_record_tail_words(record->stamp) * sizeof(uint64_t) + record->key_size +
           (is_blob ? 0 : record->value_size);
}

void mvcc_record_free(struct mvcc_record *record)
{
    if (record == NULL) return;
    size_t bytes = own_bytes(record);
    blob_unref(blob_of(record));
#ifdef MVCC_POISON
    memset(record, 0xdd, bytes);
#endif
    if (mvcc_pool_takes(bytes)) mvcc_pool_give(record);
    else alloc_free(record);
}

uint64_t mvcc_record_bytes(const struct mvcc_record *record)
{
    bool is_blob = (record->stamp & MVCC_RECORD_BLOB) != 0;
    return own_bytes(record) + (is_blob ? sizeof(struct blob) + record->value_size : 0);
}

void mvcc_record_kv(const struct mvcc_record *record, struct mvcc_kv *out_kv)
{
    uint64_t stamp = record->stamp;
    const uint64_t *word = record->tail;
    int64_t revision = mvcc_record_revision(record);
    bool is_delete = (stamp & MVCC_RECORD_DELETE) != 0;
    out_kv->mod_revision = revision;
    out_kv->create_revision = is_delete ? 0 : revision;
    out_kv->version = is_delete ? 0 : 1;
    if ((stamp & MVCC_RECORD_LIFE) != 0) {
        out_kv->create_revision = (int64_t)*word++;
        out_kv->version = (int64_t)*word++;
    }
    out_kv->lease = (stamp & MVCC_RECORD_LEASE) != 0 ? (int64_t)*word : 0;
    out_kv->key = mvcc_record_key(record);
    out_kv->value_blob = blob_of(record);
    out_kv->value = out_kv->value_blob != NULL ? blob_slice(out_kv->value_blob)
                                               : slice_make(out_kv->key.data + record->key_size, record->value_size);
}

const struct mvcc_record *mvcc_record_find(const struct mvcc_record *record, int64_t revision)
{
    ASSERT(revision > 0);
    while (record != NULL && mvcc_record_revision(record) > revision) {
        bool is_milestone = (record->stamp & MVCC_RECORD_SKIP) != 0;
        if (is_milestone && skip_of(record)->target_revision > revision) {
            record = skip_of(record)->target;
        } else {
            record = record->older;
        }
    }
    return record;
}
