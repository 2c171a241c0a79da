/* mvcc_content: see mvcc_content.h. */
#include "storage/mvcc_content.h"

#include "base/alloc.h"
#include "base/assert.h"

static void begin(struct mvcc_content *content)
{
    ASSERT(content->root != NULL && content->depth == 0);
    bool is_untouched = content->trim.chunk == NULL;
    if (is_untouched) content->trim = mvcc_history_log_find(&content->log, 0);
    content->is_walking = true;
}

/* One entry: the version that it followed is the newest of its key no more, and no later entry names it. */
static void pass_entry(struct mvcc_content *content, struct mvcc_reclaim *reclaim)
{
    bool is_passed = content->trim.ordinal < content->drop.ordinal;
    struct mvcc_history_log_chunk *chunk = content->trim.chunk;
    const struct mvcc_record *record = mvcc_history_log_next(&content->trim);
    bool has_dropped = is_passed && !mvcc_record_is_inside(record);
    if (record->older != NULL && !has_dropped) mvcc_reclaim_free_record(reclaim, record->older);
    if (content->trim.chunk != chunk) mvcc_reclaim_free_chunk(reclaim, chunk);
}

static void push(struct mvcc_content *content, struct mvcc_node *node)
{
    ASSERT(content->depth < MVCC_INDEX_DEPTH_MAX);
    content->path[content->depth].node = node;
    content->path[content->depth++].slot = 0;
}

static void enter_tree(struct mvcc_content *content, struct mvcc_reclaim *reclaim)
{
    if (content->trim.chunk != NULL) {
        ASSERT(content->trim.chunk->next == NULL);
        mvcc_reclaim_free_chunk(reclaim, content->trim.chunk);
    }
    content->log.last = NULL;
    content->is_in_tree = true;
    push(content, content->root);
}

/* One slot of the node at the path's end, or the node itself. */
static void pass_slot(struct mvcc_content *content, struct mvcc_reclaim *reclaim)
{
    ASSERT(content->depth > 0);
    struct mvcc_node *node = content->path[content->depth - 1].node;
    uint32_t slot = content->path[content->depth - 1].slot++;
    if (slot == node->count) {
        mvcc_reclaim_free_node(reclaim, node);
        content->depth--;
    } else if (node->level == 0) {
        mvcc_reclaim_free_record(reclaim, mvcc_node_leaf(node)->records[slot]);
    } else {
        if (slot > 0) mvcc_reclaim_free_text(reclaim, mvcc_node_inner(node)->separators[slot]);
        push(content, mvcc_node_inner(node)->children[slot]);
    }
}

bool mvcc_content_discard(struct mvcc_content *content, struct mvcc_reclaim *reclaim, size_t budget)
{
    if (content->root == NULL) return false;
    if (!content->is_walking) begin(content);
    for (; budget > 0; budget--) {
        if (!content->is_in_tree && content->trim.ordinal < content->log.end) {
            pass_entry(content, reclaim);
        } else if (!content->is_in_tree) {
            enter_tree(content, reclaim);
        } else {
            pass_slot(content, reclaim);
            if (content->depth > 0) continue;
            content->root = NULL;
            return false;
        }
    }
    return true;
}

bool mvcc_content_free_step(struct mvcc_content *content, size_t budget)
{
    struct mvcc_reclaim reclaim = {.bytes = content->bytes}; /* only counts: nothing is retired */
    bool more = mvcc_content_discard(content, &reclaim, budget);
    content->bytes = reclaim.bytes;
    mvcc_reclaim_deinit(&reclaim);
    if (more) return true;
    ASSERT(content->bytes == 0);
    mvcc_pool_close(content->pool);
    alloc_free(content);
    return false;
}

void mvcc_content_free(struct mvcc_content *content)
{
    if (content == NULL) return;
    bool more = mvcc_content_free_step(content, SIZE_MAX);
    ASSERT(!more);
}
