/* mvcc_reclaim: see mvcc_reclaim.h. */
#include "storage/mvcc_reclaim.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "storage/mvcc_content.h"
#include "storage/mvcc_state.h"

#define CRATE_ITEMS 30
#define AHEAD 6 /* items asked for before they are freed: readers are gone for long, and so is what the caches knew */
#define SPARES_MAX 256 /* bags and crates kept for reuse; a batch of one change needs one of each */

enum { KIND_RECORD, KIND_LEAF, KIND_INNER, KIND_TEXT, KIND_CHUNK, KIND_VIEW, KIND_CONTENT, KIND_MASK = 7 }; /* stands in the low bits of an item */

struct mvcc_reclaim_crate {
    struct mvcc_reclaim_crate *next;
    uint64_t count;
    uintptr_t items[CRATE_ITEMS];
};
struct mvcc_reclaim_bag {
    struct rcu_node rcu;
    struct mvcc_reclaim *home;
    struct mvcc_reclaim_bag *next;
    struct mvcc_reclaim_crate *crates;
    uint64_t count;
};

void mvcc_reclaim_init(struct mvcc_reclaim *reclaim, struct rcu *rcu)
{
    ASSERT(rcu != NULL);
    *reclaim = (struct mvcc_reclaim){.rcu = rcu};
}

/* --- freeing ---------------------------------------------------------------------------------------------------------------- */

static void poison(void *memory, size_t size)
{
#ifdef MVCC_POISON
    memset(memory, 0xdd, size);
#else
    (void)memory;
    (void)size;
#endif
}

static void uncount(struct mvcc_reclaim *reclaim, uint64_t bytes)
{
    ASSERT(reclaim->bytes >= bytes);
    reclaim->bytes -= bytes;
}

static void free_plain(struct mvcc_reclaim *reclaim, void *memory, size_t size)
{
    uncount(reclaim, size);
    poison(memory, size);
    alloc_free(memory);
}

void mvcc_reclaim_free_record(struct mvcc_reclaim *reclaim, struct mvcc_record *record)
{
    uncount(reclaim, mvcc_record_bytes(record));
    mvcc_record_free(record);
}

/* Does not read the memory: it went out of the cache long ago. */
static void free_node(struct mvcc_reclaim *reclaim, void *memory, bool is_leaf)
{
    struct mvcc_reclaim_nodes *spares = is_leaf ? &reclaim->spare_leaves : &reclaim->spare_inners;
    size_t size = is_leaf ? sizeof(struct mvcc_node_leaf) : sizeof(struct mvcc_node_inner);
    if (spares->count == MVCC_RECLAIM_NODES_MAX) {
        free_plain(reclaim, memory, size);
        return;
    }
    uncount(reclaim, size);
    poison(memory, size);
    *(void **)memory = spares->first;
    spares->first = memory;
    spares->count++;
}
void mvcc_reclaim_free_node(struct mvcc_reclaim *reclaim, struct mvcc_node *node)
{
    free_node(reclaim, node, node->level == 0);
}

void *mvcc_reclaim_room(struct mvcc_reclaim *reclaim, const struct mvcc_node *node)
{
    struct mvcc_reclaim_nodes *spares = node->level == 0 ? &reclaim->spare_leaves : &reclaim->spare_inners;
    if (spares->count == 0) return alloc_new(mvcc_node_bytes(node));
    void **room = spares->first;
    spares->first = *room;
    spares->count--;
    return room;
}

void mvcc_reclaim_free_text(struct mvcc_reclaim *reclaim, struct mvcc_node_text *text)
{
    free_plain(reclaim, text, sizeof *text + text->size);
}
void mvcc_reclaim_free_chunk(struct mvcc_reclaim *reclaim, struct mvcc_history_log_chunk *chunk)
{
    free_plain(reclaim, chunk, sizeof *chunk);
}
void mvcc_reclaim_free_view(struct mvcc_reclaim *reclaim, struct mvcc_view *view)
{
    free_plain(reclaim, view, sizeof *view);
}

/* A content is far more than an item: mvcc_reclaim_run takes it apart by its budget. */
static void begin_content(struct mvcc_reclaim *reclaim, struct mvcc_content *content)
{
    ASSERT(content->root != NULL);
    content->next = reclaim->contents;
    reclaim->contents = content;
}

static void run_contents(struct mvcc_reclaim *reclaim, size_t budget)
{
    struct mvcc_content *content = reclaim->contents;
    if (content == NULL || budget == 0 || mvcc_content_discard(content, reclaim, budget)) return;
    reclaim->contents = content->next;
    mvcc_pool_close(content->pool);
    alloc_free(content);
}

static void fetch_item(uintptr_t item) { __builtin_prefetch((void *)(item & ~(uintptr_t)KIND_MASK)); }

static void free_item(struct mvcc_reclaim *reclaim, uintptr_t item)
{
    void *memory = (void *)(item & ~(uintptr_t)KIND_MASK);
    switch (item & KIND_MASK) {
    case KIND_RECORD: mvcc_reclaim_free_record(reclaim, memory); break;
    case KIND_LEAF: free_node(reclaim, memory, true); break;
    case KIND_INNER: free_node(reclaim, memory, false); break;
    case KIND_TEXT: mvcc_reclaim_free_text(reclaim, memory); break;
    case KIND_CHUNK: mvcc_reclaim_free_chunk(reclaim, memory); break;
    case KIND_CONTENT: begin_content(reclaim, memory); break;
    default: ASSERT((item & KIND_MASK) == KIND_VIEW); mvcc_reclaim_free_view(reclaim, memory);
    }
}

/* --- retiring --------------------------------------------------------------------------------------------------------------- */

static struct mvcc_reclaim_bag *open_bag(struct mvcc_reclaim *reclaim)
{
    if (reclaim->open != NULL) return reclaim->open;
    struct mvcc_reclaim_bag *bag = reclaim->spare_bags;
    if (bag != NULL) {
        reclaim->spare_bags = bag->next;
        reclaim->spare_bag_count--;
    } else {
        bag = alloc_new(sizeof *bag);
    }
    *bag = (struct mvcc_reclaim_bag){.home = reclaim};
    reclaim->open = bag;
    return bag;
}

static struct mvcc_reclaim_crate *add_crate(struct mvcc_reclaim *reclaim, struct mvcc_reclaim_bag *bag)
{
    struct mvcc_reclaim_crate *crate = reclaim->spare_crates;
    if (crate != NULL) {
        reclaim->spare_crates = crate->next;
        reclaim->spare_crate_count--;
    } else {
        crate = alloc_new(sizeof *crate);
    }
    crate->next = bag->crates;
    crate->count = 0;
    bag->crates = crate;
    return crate;
}

static void retire(struct mvcc_reclaim *reclaim, void *memory, uintptr_t kind)
{
    ASSERT(memory != NULL && ((uintptr_t)memory & KIND_MASK) == 0);
    struct mvcc_reclaim_bag *bag = open_bag(reclaim);
    struct mvcc_reclaim_crate *crate = bag->crates;
    if (crate == NULL || crate->count == CRATE_ITEMS) crate = add_crate(reclaim, bag);
    crate->items[crate->count++] = (uintptr_t)memory | kind;
    bag->count++;
}

void mvcc_reclaim_record(struct mvcc_reclaim *reclaim, struct mvcc_record *record) { retire(reclaim, record, KIND_RECORD); }
void mvcc_reclaim_node(struct mvcc_reclaim *reclaim, struct mvcc_node *node)
{
    retire(reclaim, node, node->level == 0 ? KIND_LEAF : KIND_INNER);
}
void mvcc_reclaim_text(struct mvcc_reclaim *reclaim, struct mvcc_node_text *text) { retire(reclaim, text, KIND_TEXT); }
void mvcc_reclaim_chunk(struct mvcc_reclaim *reclaim, struct mvcc_history_log_chunk *chunk)
{
    retire(reclaim, chunk, KIND_CHUNK);
}
void mvcc_reclaim_view(struct mvcc_reclaim *reclaim, struct mvcc_view *view) { retire(reclaim, view, KIND_VIEW); }
void mvcc_reclaim_content(struct mvcc_reclaim *reclaim, struct mvcc_content *content) { retire(reclaim, content, KIND_CONTENT); }

/* --- bags ------------------------------------------------------------------------------------------------------------------- */

/* On any thread. Release: the readers' last looks come before the writer's frees. */
static void on_readers_gone(struct rcu_node *node)
{
    struct mvcc_reclaim_bag *bag = (struct mvcc_reclaim_bag *)(void *)((char *)node - offsetof(struct mvcc_reclaim_bag, rcu));
    struct mvcc_reclaim_bag *top = __atomic_load_n(&bag->home->returned, __ATOMIC_RELAXED);
    do {
        bag->next = top;
    } while (!__atomic_compare_exchange_n(&bag->home->returned, &top, bag, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

/* The stack is only ever taken whole, so no element can leave and come back while somebody looks at it (no ABA). */
static void take_returned(struct mvcc_reclaim *reclaim)
{
    if (__atomic_load_n(&reclaim->returned, __ATOMIC_RELAXED) == NULL) return;
    struct mvcc_reclaim_bag *bag = __atomic_exchange_n(&reclaim->returned, NULL, __ATOMIC_ACQUIRE);
    while (bag != NULL) {
        struct mvcc_reclaim_bag *next = bag->next;
        ASSERT(reclaim->bags_outstanding > 0);
        reclaim->bags_outstanding--;
        bag->next = reclaim->emptying;
        reclaim->emptying = bag;
        bag = next;
    }
}

static void put_crate_away(struct mvcc_reclaim *reclaim, struct mvcc_reclaim_bag *bag)
{
    struct mvcc_reclaim_crate *crate = bag->crates;
    ASSERT(crate->count == 0);
    bag->crates = crate->next;
    if (reclaim->spare_crate_count == SPARES_MAX) {
        alloc_free(crate);
        return;
    }
    crate->next = reclaim->spare_crates;
    reclaim->spare_crates = crate;
    reclaim->spare_crate_count++;
}

static void put_bag_away(struct mvcc_reclaim *reclaim)
{
    struct mvcc_reclaim_bag *bag = reclaim->emptying;
    ASSERT(bag->crates == NULL && bag->count == 0);
    reclaim->emptying = bag->next;
    if (reclaim->spare_bag_count == SPARES_MAX) {
        alloc_free(bag);
        return;
    }
    bag->next = reclaim->spare_bags;
    reclaim->spare_bags = bag;
    reclaim->spare_bag_count++;
}

bool mvcc_reclaim_run(struct mvcc_reclaim *reclaim, size_t budget)
{
    take_returned(reclaim);
    while (reclaim->emptying != NULL && budget > 0) {
        struct mvcc_reclaim_bag *bag = reclaim->emptying;
        struct mvcc_reclaim_crate *crate = bag->crates;
        while (crate->count > 0 && budget > 0) {
            if (crate->count > AHEAD) fetch_item(crate->items[crate->count - 1 - AHEAD]);
            free_item(reclaim, crate->items[--crate->count]);
            bag->count--;
            budget--;
        }
        if (crate->count == 0) put_crate_away(reclaim, bag);
        if (bag->crates == NULL) put_bag_away(reclaim);
    }
    run_contents(reclaim, budget);
    return reclaim->emptying != NULL || reclaim->contents != NULL;
}

void mvcc_reclaim_close(struct mvcc_reclaim *reclaim)
{
    struct mvcc_reclaim_bag *bag = reclaim->open;
    take_returned(reclaim);
    if (bag == NULL || reclaim->bags_outstanding >= MVCC_RECLAIM_BAGS_MAX) return;
    uint64_t count = bag->count;
    reclaim->open = NULL;
    reclaim->bags_outstanding++;
    if (MUTANT(P32A)) on_readers_gone(&bag->rcu);
    else rcu_retire(reclaim->rcu, &bag->rcu, on_readers_gone);
    (void)mvcc_reclaim_run(reclaim, 2 * count);
}

static void free_spare_nodes(struct mvcc_reclaim_nodes *spares)
{
    while (spares->first != NULL) {
        void **memory = spares->first;
        spares->first = *memory;
        spares->count--;
        alloc_free(memory);
    }
    ASSERT(spares->count == 0);
}

void mvcc_reclaim_deinit(struct mvcc_reclaim *reclaim)
{
    take_returned(reclaim);
    ASSERT(reclaim->bags_outstanding == 0); /* its call-back would come back to freed memory */
    if (reclaim->open != NULL) { /* nobody reads any more: what was never handed out can go as well */
        reclaim->open->next = reclaim->emptying;
        reclaim->emptying = reclaim->open;
        reclaim->open = NULL;
    }
    while (mvcc_reclaim_run(reclaim, SIZE_MAX)) ASSERT(reclaim->emptying != NULL || reclaim->contents != NULL);
    free_spare_nodes(&reclaim->spare_leaves);
    free_spare_nodes(&reclaim->spare_inners);
    while (reclaim->spare_bags != NULL) {
        struct mvcc_reclaim_bag *bag = reclaim->spare_bags;
        reclaim->spare_bags = bag->next;
        alloc_free(bag);
    }
    while (reclaim->spare_crates != NULL) {
        struct mvcc_reclaim_crate *crate = reclaim->spare_crates;
        reclaim->spare_crates = crate->next;
        alloc_free(crate);
    }
}
