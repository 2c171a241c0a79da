/* map: open addressing with linear probing, at most 3/4 full; a removal moves later entries back, so that there are no
 * tombstones and a probe ends at the first free slot. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/assert.h"

#define MAP_CAPACITY_MIN 16

void map_init(struct map *map)
{
    ASSERT(map != NULL);
    *map = (struct map){.slots = NULL, .count = 0, .capacity = 0};
}

void map_deinit(struct map *map)
{
    if (map == NULL) return;
    alloc_free(map->slots);
    map_init(map);
}

/* Where the probe for a key starts: the finalizer of MurmurHash3, for keys that are counters or share low bits. */
static size_t home(const struct map *map, uint64_t key)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    key ^= key >> 33;
    key *= UINT64_C(0xc4ceb9fe1a85ec53);
    key ^= key >> 33;
    return (size_t)key & (map->capacity - 1);
}

/* The slot of the key, or the free slot where its probe ends. */
static size_t find(const struct map *map, uint64_t key)
{
    ASSERT(map->count < map->capacity);
    size_t place = home(map, key);
    while (map->slots[place].value != NULL && map->slots[place].key != key) place = (place + 1) & (map->capacity - 1);
    return place;
}

static void grow(struct map *map)
{
    struct map old = *map;
    map->capacity = old.capacity == 0 ? MAP_CAPACITY_MIN : old.capacity * 2;
    ASSERT(map->capacity > old.capacity && (map->capacity & (map->capacity - 1)) == 0);
    map->slots = alloc_zero(map->capacity, sizeof *map->slots);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].value != NULL) map->slots[find(map, old.slots[i].key)] = old.slots[i];
    alloc_free(old.slots);
}

void *map_get(const struct map *map, uint64_t key)
{
    ASSERT(map->count <= map->capacity);
    return map->capacity == 0 ? NULL : map->slots[find(map, key)].value;
}

bool map_put(struct map *map, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    if (map_get(map, key) != NULL) return false;
    if (map->count >= map->capacity / 4 * 3) grow(map);
    struct map_slot *slot = &map->slots[find(map, key)];
    ASSERT(slot->value == NULL);
    *slot = (struct map_slot){.key = key, .value = value};
    map->count++;
    return true;
}

void *map_take(struct map *map, uint64_t key)
{
    if (map->capacity == 0) return NULL;
    size_t mask = map->capacity - 1, hole = find(map, key);
    void *value = map->slots[hole].value;
    if (value == NULL) return NULL;
    ASSERT(map->count > 0);
    map->count--;
    /* An entry may fill the hole if the hole lies on its probe: between its home and its place. */
    for (size_t place = (hole + 1) & mask; map->slots[place].value != NULL; place = (place + 1) & mask) {
        size_t from_home = (place - home(map, map->slots[place].key)) & mask;
        if (from_home < ((place - hole) & mask)) continue;
        map->slots[hole] = map->slots[place];
        hole = place;
    }
    map->slots[hole] = (struct map_slot){.key = 0, .value = NULL};
    return value;
}

void *map_each(const struct map *map, size_t *cursor, uint64_t *out_key)
{
    ASSERT(cursor != NULL && out_key != NULL);
    while (*cursor < map->capacity) {
        const struct map_slot *slot = &map->slots[(*cursor)++];
        if (slot->value == NULL) continue;
        *out_key = slot->key;
        return slot->value;
    }
    return NULL;
}
