/* mvcc_model_tree: see mvcc_model_tree.h. */
#include "lib/mvcc_model_tree.h"

#include <stdio.h>

#include "storage/mvcc_state.h"

/* Short binary keys of zeros, ones, twos and 0xff, where one is often another's prefix. */
static size_t make_binary(char *room, uint32_t number)
{
    size_t size = 0;
    do {
        room[size++] = (char)(number % 4 == 3 ? 0xff : number % 4);
        number /= 4;
    } while (number != 0);
    return size;
}

/* Up to MVCC_MODEL_KEY_MAX bytes: numbers of one length share all but the end, or differ in a byte far behind the node's prefix and heads. */
static size_t make_long(char *room, uint32_t number)
{
    static const size_t lengths[] = {39, 40, 41, 48, 49, 300, 2000, 4096};
    size_t size = lengths[number % 8];
    memset(room, number % 3 == 0 ? 0xff : number % 3 == 1 ? 0 : 'x', size);
    return size + make_binary(room + size, number / 8);
}

struct slice mvcc_model_key(uint32_t style, uint32_t number, char *room)
{
    static const char *const folders[] = {"pods/default/", "pods/kube-system/a-namespace-with-quite-a-long-name/", "leases/"};
    switch (style) {
    case 0: return slice_make(room, (size_t)sprintf(room, "/registry/%s%u", folders[number % 3], number));
    case 1: return slice_make(room, make_binary(room, number));
    case 2: return slice_make(room, (size_t)sprintf(room, "%08u", number));
    case 3: return slice_make(room, make_long(room, number));
    default: return mvcc_model_key(number % (MVCC_MODEL_KEY_STYLES - 1), number, room);
    }
}

static uint64_t check_tree(const struct mvcc_node *node, struct slice low, struct slice high, bool has_high)
{
    uint64_t live = 0;
    for (uint32_t slot = 0; slot < node->count; slot++) {
        if (node->level == 0) {
            struct slice key = mvcc_record_key(mvcc_node_leaf(node)->records[slot]);
            bool is_equal = false;
            EXPECT(mvcc_node_search(node, key, &is_equal) == slot);
            EXPECT(is_equal && slice_compare(low, key) <= 0 && (!has_high || slice_compare(key, high) < 0));
            bool is_live = (node->live >> slot & 1) != 0;
            EXPECT(is_live != mvcc_record_is_delete(mvcc_node_leaf(node)->records[slot]));
            live += is_live;
            continue;
        }
        const struct mvcc_node_inner *inner = mvcc_node_inner(node);
        struct slice from = slot == 0 ? low : slice_make(inner->separators[slot]->data, inner->separators[slot]->size);
        bool has_next = slot + 1 < node->count;
        struct slice to = has_next ? slice_make(inner->separators[slot + 1]->data, inner->separators[slot + 1]->size) : high;
        EXPECT(slot == 0 || mvcc_node_child(node, from) == slot);
        EXPECT(inner->children[slot]->level + 1 == node->level && inner->children[slot]->count > 0);
        uint64_t below_child = check_tree(inner->children[slot], from, to, has_next || has_high);
        EXPECT(inner->lives[slot] == below_child);
        live += below_child;
    }
    return live;
}

uint64_t mvcc_model_check_tree(const struct mvcc_view *view)
{
    return check_tree(view->root, slice_empty(), slice_empty(), false);
}
