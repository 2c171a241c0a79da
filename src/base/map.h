/* map: hash map from a 64-bit integer to a pointer; open addressing, grows by itself. No iteration by address: map_each
 * visits in the order of the table, which depends on keys and history only. Owner: embedded. Thread: one at a time. */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key;
    void *value; /* NULL = free */
};
struct map {
    struct map_slot *slots;
    size_t count;
    size_t capacity; /* power of two, or 0 */
};

void map_init(struct map *map);
void map_deinit(struct map *map); /* values are left alone */
void *map_get(const struct map *map, uint64_t key);            /* NULL = absent */
bool map_put(struct map *map, uint64_t key, void *value);      /* value != NULL; false (and unchanged) if present */
void *map_take(struct map *map, uint64_t key);                 /* removes and returns; NULL = absent */
/* Starts with *cursor = 0; NULL at the end. The map must not change in between. */
void *map_each(const struct map *map, size_t *cursor, uint64_t *out_key);

#endif
