/* range_memo: see range_memo.h. */
#include "storage/range_memo.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/blob.h"
#include "base/crc32c.h"

struct range_memo_place {
    struct blob *bytes; /* key, then end; NULL = free */
    size_t key_size;
    int64_t revision;
    int64_t count;
};
struct range_memo {
    struct range_memo_place places[RANGE_MEMO_PLACES];
};

struct range_memo *range_memo_new(void) { return ALLOC(struct range_memo); }

void range_memo_free(struct range_memo *memo)
{
    if (memo == NULL) return;
    for (size_t i = 0; i < RANGE_MEMO_PLACES; i++) blob_unref(memo->places[i].bytes);
    alloc_free(memo);
}

static size_t place_of(const struct range_memo_key *key)
{
    uint32_t hash = crc32c(0, &key->revision, sizeof key->revision);
    hash = crc32c(hash, key->key.data, key->key.size);
    return crc32c(hash, key->range_end.data, key->range_end.size) % RANGE_MEMO_PLACES;
}

void range_memo_put(struct range_memo *memo, const struct range_memo_key *key, int64_t count)
{
    struct range_memo_place *place = &memo->places[place_of(key)];
    size_t size = key->key.size + key->range_end.size;
    ASSERT(key->key.size > 0 && key->range_end.size > 0 && key->revision > 0 && count >= 0);
    if (size > RANGE_MEMO_BYTES_MAX) return;
    blob_unref(place->bytes);
    *place = (struct range_memo_place){
        .bytes = blob_new(size), .key_size = key->key.size, .revision = key->revision, .count = count};
    memcpy(place->bytes->data, key->key.data, key->key.size);
    memcpy(place->bytes->data + key->key.size, key->range_end.data, key->range_end.size);
}

bool range_memo_get(const struct range_memo *memo, const struct range_memo_key *key, int64_t *out_count)
{
    const struct range_memo_place *place = &memo->places[place_of(key)];
    if (place->bytes == NULL || place->revision != key->revision || place->key_size != key->key.size) return false;
    struct slice bytes = blob_slice(place->bytes);
    if (!slice_equal(slice_make(bytes.data, place->key_size), key->key)) return false;
    if (!slice_equal(slice_from(bytes, place->key_size), key->range_end)) return false;
    ASSERT(place->count >= 0);
    *out_count = place->count;
    return true;
}
