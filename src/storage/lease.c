/* lease: see lease.h.
 *
 * A key is found by a hash of its bytes; keys with one hash hang on one another. Free slots of rows are used again, last freed first, so that
 * pages stay full; where a row stands decides nothing that anybody can see but the order of a list.
 */
#include "storage/lease.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/map.h"

#define PAGE_ROWS 128u

struct lease_page {
    atomic_uint refs;
    struct lease_row rows[PAGE_ROWS]; /* id 0 = free */
};
struct lease_image {
    size_t count;
    uint32_t page_count;
    struct lease_page *pages[];
};
struct lease_key {
    struct list of_lease;
    struct lease *lease;
    struct lease_key *same_hash;
    uint32_t size;
    uint8_t bytes[];
};
struct lease_set {
    struct map leases; /* id → struct lease */
    struct map keys;   /* hash → struct lease_key */
    size_t key_count;
    struct lease_page **pages;
    uint32_t page_count;
    uint32_t page_capacity;
    uint32_t slot_count; /* ever used */
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t free_capacity;
    uint64_t hash;
    struct heap timers;
    struct list unarmed;
    struct list awaiting; /* a checkpoint; ascending by time */
    uint32_t round; /* of expiries, from 1 */
    uint32_t expiring;
    size_t free_cursor; /* of lease_set_free_step */
};

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static uint64_t hash_row(const struct lease_row *row)
{
    ASSERT(row->id != 0);
    return mix((uint64_t)row->id ^ mix((uint64_t)row->ttl ^ mix((uint64_t)row->remaining ^ mix(row->granted_index + 1))));
}

static uint64_t hash_key(struct slice key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    ASSERT(key.size > 0);
    for (size_t i = 0; i < key.size; i++) hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

struct lease_set *lease_set_new(void)
{
    struct lease_set *set = ALLOC(struct lease_set);
    map_init(&set->leases);
    map_init(&set->keys);
    heap_init(&set->timers);
    list_init(&set->unarmed);
    list_init(&set->awaiting);
    set->round = 1;
    return set;
}

static void page_unref(struct lease_page *page)
{
    if (atomic_fetch_sub_explicit(&page->refs, 1, memory_order_acq_rel) == 1) alloc_free(page);
}

static void free_chain(struct lease_key *key)
{
    while (key != NULL) {
        struct lease_key *next = key->same_hash;
        alloc_free(key);
        key = next;
    }
}

/* Values are freed and left in the map, which goes as a whole; nobody looks into it any more. */
static bool free_some(struct lease_set *set, size_t budget)
{
    void *value;
    uint64_t key = 0;
    size_t key_slots = set->keys.capacity;
    for (; budget > 0 && set->free_cursor < key_slots; budget--) {
        value = map_each(&set->keys, &set->free_cursor, &key);
        if (value == NULL) set->free_cursor = key_slots;
        free_chain(value);
    }
    for (; budget > 0; budget--) {
        size_t cursor = set->free_cursor - key_slots;
        value = map_each(&set->leases, &cursor, &key);
        set->free_cursor = cursor + key_slots;
        if (value == NULL) return false;
        alloc_free(value);
    }
    return true;
}

bool lease_set_free_step(struct lease_set *set, size_t budget)
{
    ASSERT(budget > 0);
    if (free_some(set, budget)) return true;
    for (uint32_t i = 0; i < set->page_count; i++) page_unref(set->pages[i]);
    alloc_free(set->pages);
    alloc_free(set->free_slots);
    heap_deinit(&set->timers);
    map_deinit(&set->keys);
    map_deinit(&set->leases);
    alloc_free(set);
    return false;
}

void lease_set_free(struct lease_set *set)
{
    if (set == NULL) return;
    while (lease_set_free_step(set, SIZE_MAX)) {
    }
}

/* --- rows ---------------------------------------------------------------------------------------------------------------- */

/* The page to write to: a copy, if an image has the one that is there. */
static struct lease_page *own_page(struct lease_set *set, uint32_t at)
{
    struct lease_page *page = set->pages[at];
    if (atomic_load_explicit(&page->refs, memory_order_acquire) == 1) return page;
    struct lease_page *copy = ALLOC(struct lease_page);
    memcpy(copy->rows, page->rows, sizeof copy->rows);
    atomic_init(&copy->refs, 1);
    set->pages[at] = copy;
    page_unref(page);
    return copy;
}

static void add_page(struct lease_set *set)
{
    if (set->page_count == set->page_capacity) {
        set->page_capacity = set->page_capacity == 0 ? 16 : set->page_capacity * 2;
        set->pages = alloc_resize(set->pages, set->page_capacity * sizeof(struct lease_page *));
    }
    struct lease_page *page = ALLOC(struct lease_page);
    atomic_init(&page->refs, 1);
    set->pages[set->page_count++] = page;
}

static uint32_t take_slot(struct lease_set *set)
{
    if (set->free_count > 0) return set->free_slots[--set->free_count];
    if (set->slot_count == set->page_count * PAGE_ROWS) add_page(set);
    ASSERT(set->slot_count < set->page_count * PAGE_ROWS);
    return set->slot_count++;
}

static void give_slot(struct lease_set *set, uint32_t slot)
{
    if (set->free_count == set->free_capacity) {
        set->free_capacity = set->free_capacity == 0 ? 64 : set->free_capacity * 2;
        set->free_slots = alloc_resize(set->free_slots, set->free_capacity * sizeof(uint32_t));
    }
    set->free_slots[set->free_count++] = slot;
}

/* --- the state ----------------------------------------------------------------------------------------------------------- */

enum err lease_set_grant(struct lease_set *set, const struct lease_row *row)
{
    ASSERT(row->id != 0);
    if (row->ttl > LEASE_TTL_MAX) return ERR_LEASE_TTL_TOO_LARGE;
    if (lease_set_find(set, row->id) != NULL) return ERR_LEASE_EXISTS;
    if (set->leases.count == LEASE_MAX) return ERR_TOO_MANY_REQUESTS;
    struct lease *lease = ALLOC(struct lease);
    lease->id = row->id;
    lease->slot = take_slot(set);
    list_init(&lease->keys);
    heap_node_init(&lease->timer);
    list_push_back(&set->unarmed, &lease->queue);
    own_page(set, lease->slot / PAGE_ROWS)->rows[lease->slot % PAGE_ROWS] = *row;
    set->hash += hash_row(row);
    bool is_new = map_put(&set->leases, (uint64_t)row->id, lease);
    ASSERT(is_new);
    return ERR_OK;
}

struct lease *lease_set_find(const struct lease_set *set, int64_t id)
{
    ASSERT(set != NULL);
    return map_get(&set->leases, (uint64_t)id);
}

const struct lease_row *lease_set_row(const struct lease_set *set, const struct lease *lease)
{
    const struct lease_row *row = &set->pages[lease->slot / PAGE_ROWS]->rows[lease->slot % PAGE_ROWS];
    ASSERT(row->id == lease->id);
    return row;
}

/* Unhooks it from the keys with its hash. */
static void drop_key(struct lease_set *set, struct lease_key *key)
{
    uint64_t hash = hash_key(slice_make(key->bytes, key->size));
    struct lease_key *first = map_take(&set->keys, hash);
    struct lease_key **at = &first;
    while (*at != key) at = &(*at)->same_hash;
    *at = key->same_hash;
    if (first != NULL) (void)map_put(&set->keys, hash, first);
    list_remove(&key->of_lease);
    ASSERT(key->lease->key_count > 0 && set->key_count > 0);
    key->lease->key_count--;
    set->key_count--;
    alloc_free(key);
}

void lease_set_remove(struct lease_set *set, struct lease *lease)
{
    const struct lease_row *row = lease_set_row(set, lease);
    set->hash -= hash_row(row);
    while (!list_is_empty(&lease->keys)) drop_key(set, LIST_ENTRY(lease->keys.next, struct lease_key, of_lease));
    own_page(set, lease->slot / PAGE_ROWS)->rows[lease->slot % PAGE_ROWS] = (struct lease_row){.id = 0};
    give_slot(set, lease->slot);
    if (lease->timer.place != HEAP_NONE) heap_remove(&set->timers, &lease->timer);
    list_remove(&lease->queue);
    if (lease->expiring == set->round) set->expiring--;
    (void)map_take(&set->leases, (uint64_t)lease->id);
    ASSERT(lease->key_count == 0);
    alloc_free(lease);
}

void lease_set_checkpoint(struct lease_set *set, struct lease *lease, int64_t remaining)
{
    struct lease_row row = *lease_set_row(set, lease);
    ASSERT(remaining >= 0 && remaining <= row.ttl);
    set->hash -= hash_row(&row);
    row.remaining = remaining;
    set->hash += hash_row(&row);
    own_page(set, lease->slot / PAGE_ROWS)->rows[lease->slot % PAGE_ROWS] = row;
}

static struct lease_key *find_key(const struct lease_set *set, struct slice key, uint64_t hash)
{
    struct lease_key *at = map_get(&set->keys, hash);
    while (at != NULL && !slice_equal(slice_make(at->bytes, at->size), key)) at = at->same_hash;
    return at;
}

static struct lease_key *add_key(struct lease_set *set, struct slice key, uint64_t hash)
{
    ASSERT(key.size <= UINT32_MAX);
    struct lease_key *added = alloc_new(sizeof(struct lease_key) + key.size);
    added->size = (uint32_t)key.size;
    memcpy(added->bytes, key.data, key.size);
    added->same_hash = map_take(&set->keys, hash);
    bool is_new = map_put(&set->keys, hash, added);
    ASSERT(is_new);
    set->key_count++;
    return added;
}

void lease_set_attach(struct lease_set *set, struct slice key, int64_t id)
{
    struct lease *lease = id == 0 ? NULL : lease_set_find(set, id);
    uint64_t hash = hash_key(key);
    struct lease_key *known = set->key_count == 0 ? NULL : find_key(set, key, hash);
    if (known != NULL && known->lease == lease) return;
    if (lease == NULL) {
        if (known != NULL) drop_key(set, known);
        return;
    }
    if (known != NULL) {
        list_remove(&known->of_lease);
        known->lease->key_count--;
    } else {
        known = add_key(set, key, hash);
    }
    known->lease = lease;
    lease->key_count++;
    list_push_back(&lease->keys, &known->of_lease);
    ASSERT(lease->key_count <= set->key_count);
}

size_t lease_set_count(const struct lease_set *set) { return set->leases.count; }
size_t lease_set_key_count(const struct lease_set *set) { return set->key_count; }
uint64_t lease_set_hash(const struct lease_set *set) { return set->hash; }

static int compare_slices(const void *a, const void *b) { return slice_compare(*(const struct slice *)a, *(const struct slice *)b); }

struct slice *lease_set_keys(const struct lease_set *set, const struct lease *lease)
{
    ASSERT(lease->key_count <= set->key_count);
    struct slice *keys = alloc_zero((size_t)lease->key_count + 1, sizeof(struct slice));
    size_t count = 0;
    for (const struct list *at = lease->keys.next; at != &lease->keys; at = at->next) {
        const struct lease_key *key = LIST_ENTRY(at, struct lease_key, of_lease);
        keys[count++] = slice_make(key->bytes, key->size);
    }
    ASSERT(count == lease->key_count);
    qsort(keys, count, sizeof(struct slice), compare_slices);
    return keys;
}

/* --- images -------------------------------------------------------------------------------------------------------------- */

struct lease_image *lease_set_freeze(struct lease_set *set)
{
    struct lease_image *image = alloc_new(sizeof(struct lease_image) + set->page_count * sizeof(struct lease_page *));
    image->count = set->leases.count;
    image->page_count = set->page_count;
    for (uint32_t i = 0; i < set->page_count; i++) {
        atomic_fetch_add_explicit(&set->pages[i]->refs, 1, memory_order_relaxed);
        image->pages[i] = set->pages[i];
    }
    return image;
}

bool lease_image_next(const struct lease_image *image, uint32_t *cursor, struct lease_row *out_row)
{
    ASSERT(*cursor <= image->page_count * PAGE_ROWS);
    while (*cursor < image->page_count * PAGE_ROWS) {
        const struct lease_row *row = &image->pages[*cursor / PAGE_ROWS]->rows[*cursor % PAGE_ROWS];
        (*cursor)++;
        if (row->id == 0) continue;
        *out_row = *row;
        return true;
    }
    return false;
}

size_t lease_image_count(const struct lease_image *image) { return image->count; }

void lease_image_free(struct lease_image *image)
{
    if (image == NULL) return;
    for (uint32_t i = 0; i < image->page_count; i++) page_unref(image->pages[i]);
    alloc_free(image);
}

/* --- timers -------------------------------------------------------------------------------------------------------------- */

struct lease *lease_set_first_unarmed(const struct lease_set *set)
{
    return list_is_empty(&set->unarmed) ? NULL : LIST_ENTRY(set->unarmed.next, struct lease, queue);
}

struct lease *lease_set_first_due(const struct lease_set *set)
{
    struct heap_node *node = heap_first(&set->timers);
    return node == NULL ? NULL : LIST_ENTRY(node, struct lease, timer);
}

uint64_t lease_set_deadline_ns(const struct lease_set *set, const struct lease *lease)
{
    ASSERT(lease->timer.place != HEAP_NONE);
    return heap_key(&set->timers, &lease->timer);
}

void lease_set_arm(struct lease_set *set, struct lease *lease, uint64_t deadline_ns)
{
    ASSERT(lease_set_find(set, lease->id) == lease);
    list_remove(&lease->queue);
    if (lease->timer.place != HEAP_NONE) {
        heap_change(&set->timers, &lease->timer, deadline_ns);
        return;
    }
    lease->asked_number = lease->void_number = 0; /* those of leaders before */
    heap_push(&set->timers, &lease->timer, deadline_ns);
}

void lease_set_await_checkpoint(struct lease_set *set, struct lease *lease, uint64_t at_ns)
{
    const struct lease *last = list_is_empty(&set->awaiting) ? NULL : LIST_ENTRY(set->awaiting.prev, struct lease, queue);
    ASSERT(lease->timer.place != HEAP_NONE && (last == NULL || last->checkpoint_ns <= at_ns));
    list_remove(&lease->queue);
    list_push_back(&set->awaiting, &lease->queue);
    lease->checkpoint_ns = at_ns;
}

struct lease *lease_set_first_awaiting(const struct lease_set *set)
{
    return list_is_empty(&set->awaiting) ? NULL : LIST_ENTRY(set->awaiting.next, struct lease, queue);
}

void lease_set_await_no_checkpoint(struct lease *lease)
{
    ASSERT(lease->timer.place != HEAP_NONE);
    list_remove(&lease->queue);
}

bool lease_set_disarm_step(struct lease_set *set, size_t budget)
{
    for (; budget > 0 && set->timers.count > 0; budget--) {
        struct heap_node *last = set->timers.slots[set->timers.count - 1].node; /* the one whose removal moves no other */
        struct lease *lease = LIST_ENTRY(last, struct lease, timer);
        heap_remove(&set->timers, last);
        lease->expiring = 0;
        list_remove(&lease->queue);
        list_push_back(&set->unarmed, &lease->queue);
    }
    return set->timers.count > 0;
}

void lease_set_note_expiring(struct lease_set *set, struct lease *lease)
{
    if (lease->expiring == set->round) return;
    lease->expiring = set->round;
    set->expiring++;
}

uint32_t lease_set_expiring(const struct lease_set *set) { return set->expiring; }

void lease_set_new_round(struct lease_set *set)
{
    set->round = set->round == UINT32_MAX ? 1 : set->round + 1;
    set->expiring = 0;
}
