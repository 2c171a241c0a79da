/* mvcc_node: see mvcc_node.h. */
#include "storage/mvcc_node.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static const uint64_t *heads_of(const struct mvcc_node *node)
{
    return (const uint64_t *)(const void *)(node + 1); /* both kinds begin with them */
}
static uint64_t *heads_of_mine(struct mvcc_node *node) { return (uint64_t *)(void *)(node + 1); }
STATIC_ASSERT(offsetof(struct mvcc_node_leaf, heads) == sizeof(struct mvcc_node), "see heads_of");
STATIC_ASSERT(offsetof(struct mvcc_node_inner, heads) == sizeof(struct mvcc_node), "see heads_of");

static uint32_t first_slot(const struct mvcc_node *node) { return node->level == 0 ? 0 : 1; }

static struct slice text_at(const struct mvcc_node *node, uint32_t slot)
{
    ASSERT(slot >= first_slot(node) && slot < node->count);
    if (node->level == 0) return mvcc_record_key(mvcc_node_leaf(node)->records[slot]);
    const struct mvcc_node_text *text = mvcc_node_inner(node)->separators[slot];
    return slice_make(text->data, text->size);
}

/* The 8 bytes from `offset` on, big-endian, zeros behind the end. */
static uint64_t head_of(struct slice text, uint32_t offset)
{
    ASSERT(text.size >= offset);
    size_t left = text.size - offset;
    uint64_t word = 0;
    if (left >= sizeof word) {
        memcpy(&word, text.data + offset, sizeof word);
    } else {
        for (size_t i = 0; i < left; i++) word |= (uint64_t)text.data[offset + i] << (8 * i);
    }
    return __builtin_bswap64(word);
}

static uint32_t common_size(struct slice a, struct slice b, uint32_t size_max)
{
    uint32_t size = 0;
    while (size < size_max && size < a.size && size < b.size && a.data[size] == b.data[size]) size++;
    return size;
}

/* --- search ---------------------------------------------------------------------------------------------------------------- */

static int compare_with_prefix(const struct mvcc_node *node, struct slice key)
{
    uint32_t size = node->prefix_size;
    uint32_t common = key.size < size ? (uint32_t)key.size : size;
    int order = common == 0 ? 0 : memcmp(key.data, node->prefix, common);
    return order != 0 ? order : (key.size < size ? -1 : 0);
}

/* Among slots whose heads equal the key's: the texts decide. */
static uint32_t search_ties(const struct mvcc_node *node, struct slice key, uint32_t low, uint32_t high, bool *out_equal)
{
    struct slice rest = slice_from(key, node->prefix_size);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(slice_from(text_at(node, middle), node->prefix_size), rest);
        if (order == 0) {
            *out_equal = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t mvcc_node_search(const struct mvcc_node *node, struct slice key, bool *out_equal)
{
    uint32_t base = first_slot(node);
    uint32_t count = node->count;
    *out_equal = false;
    int order = compare_with_prefix(node, key);
    if (order != 0) return order < 0 || count < base ? base : count;
    const uint64_t *heads = heads_of(node);
    uint64_t head = head_of(key, node->prefix_size);
    uint32_t length = count > base ? count - base : 0;
    while (length > 1) { /* compiles to moves, not jumps: the outcome of a comparison cannot be guessed */
        uint32_t half = length / 2;
        base = heads[base + half - 1] < head ? base + half : base;
        length -= half;
    }
    if (length == 1 && heads[base] < head) base++;
    if (base >= count || heads[base] != head) return base;
    uint32_t end = base + 1;
    while (end < count && heads[end] == head) end++;
    return search_ties(node, key, base, end, out_equal);
}

uint32_t mvcc_node_child(const struct mvcc_node *node, struct slice key)
{
    ASSERT(node->level > 0 && node->count > 0);
    bool is_equal = false;
    uint32_t slot = mvcc_node_search(node, key, &is_equal);
    ASSERT(slot >= 1);
    return is_equal ? slot : slot - 1;
}

/* --- prefix and heads ------------------------------------------------------------------------------------------------------ */

/* Texts are sorted, so what the first and the last share, all share. With the heads there already and a prefix that cannot grow there is
 * nothing to do. */
static void rehead(struct mvcc_node *node, bool has_heads)
{
    uint32_t first = first_slot(node);
    if (node->count <= first) return;
    struct slice text = text_at(node, first);
    uint32_t size = common_size(text, text_at(node, node->count - 1u), MVCC_NODE_PREFIX_MAX);
    if (has_heads && size == node->prefix_size) return;
    for (uint32_t slot = first; slot < node->count && node->level == 0; slot++) {
        __builtin_prefetch(mvcc_node_leaf(node)->records[slot]);
    }
    memcpy(node->prefix, text.data, size);
    node->prefix_size = (uint8_t)size;
    uint64_t *heads = heads_of_mine(node);
    for (uint32_t slot = first; slot < node->count; slot++) heads[slot] = head_of(text_at(node, slot), size);
}

/* The new right half of a split begins with its left neighbour's prefix and heads. */
static void take_heads(struct mvcc_node *right, const struct mvcc_node *left, uint32_t at, uint32_t count)
{
    ASSERT(at <= count && right->level == left->level);
    memcpy(heads_of_mine(right), heads_of(left) + at, (count - at) * sizeof(uint64_t));
    memcpy(right->prefix, left->prefix, sizeof right->prefix);
    right->prefix_size = left->prefix_size;
    right->count = (uint16_t)(count - at);
}

/* Gives the end of the prefix back to the heads; no text is touched. */
static void shrink_prefix(struct mvcc_node *node, uint32_t size)
{
    uint32_t shift = node->prefix_size - size;
    ASSERT(size < node->prefix_size);
    uint64_t front = head_of(slice_make(node->prefix, node->prefix_size), size);
    uint64_t *heads = heads_of_mine(node);
    for (uint32_t slot = first_slot(node); slot < node->count; slot++) {
        heads[slot] = shift >= 8 ? front : front | heads[slot] >> (8 * shift);
    }
    node->prefix_size = (uint8_t)size;
}

/* Makes the prefix one that `text` has too. */
static void admit(struct mvcc_node *node, struct slice text)
{
    if (node->count <= first_slot(node)) {
        node->prefix_size = (uint8_t)(text.size < MVCC_NODE_PREFIX_MAX ? text.size : MVCC_NODE_PREFIX_MAX);
        if (node->prefix_size != 0) memcpy(node->prefix, text.data, node->prefix_size);
        return;
    }
    uint32_t size = common_size(slice_make(node->prefix, node->prefix_size), text, node->prefix_size);
    if (size < node->prefix_size) shrink_prefix(node, size);
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

struct mvcc_node *mvcc_node_new(uint64_t batch, uint32_t level)
{
    ASSERT(level < UINT8_MAX);
    size_t size = level == 0 ? sizeof(struct mvcc_node_leaf) : sizeof(struct mvcc_node_inner);
    struct mvcc_node *node = alloc_new(size);
    *node = (struct mvcc_node){.batch = batch, .level = (uint8_t)level};
    return node;
}

struct mvcc_node *mvcc_node_copy(const struct mvcc_node *node, uint64_t batch, void *room)
{
    ASSERT(node->batch < batch && node->count <= mvcc_node_max(node));
    struct mvcc_node *copy = room;
    *copy = *node;
    copy->batch = batch;
    size_t words = node->count;
    memcpy(heads_of_mine(copy), heads_of(node), words * sizeof(uint64_t));
    if (node->level == 0) {
        memcpy(mvcc_node_leaf(copy)->records, mvcc_node_leaf(node)->records, words * sizeof(void *));
        return copy;
    }
    const struct mvcc_node_inner *from = mvcc_node_inner(node);
    struct mvcc_node_inner *to = mvcc_node_inner(copy);
    memcpy(to->children, from->children, words * sizeof(void *));
    memcpy(to->lives, from->lives, words * sizeof(uint64_t));
    memcpy(to->separators, from->separators, words * sizeof(void *));
    return copy;
}

uint64_t mvcc_node_live(const struct mvcc_node *node)
{
    if (node->level == 0) return (uint64_t)__builtin_popcountll(node->live);
    const struct mvcc_node_inner *inner = mvcc_node_inner(node);
    uint64_t sum = 0;
    for (uint32_t slot = 0; slot < node->count; slot++) sum += inner->lives[slot];
    return sum;
}

/* --- changes --------------------------------------------------------------------------------------------------------------- */

#define SHIFT(array, slot, count, by) \
    memmove((array) + (slot) + (by), (array) + (slot), ((size_t)(count) - (slot)) * sizeof *(array))

static uint64_t below(uint32_t slot)
{
    ASSERT(slot < 64);
    return (UINT64_C(1) << slot) - 1;
}

void mvcc_node_leaf_insert(struct mvcc_node *node, uint32_t slot, struct mvcc_record *record, bool is_live)
{
    struct mvcc_node_leaf *leaf = mvcc_node_leaf(node);
    ASSERT(node->count < MVCC_NODE_LEAF_MAX && slot <= node->count);
    struct slice key = mvcc_record_key(record);
    admit(node, key);
    SHIFT(leaf->heads, slot, node->count, 1);
    SHIFT(leaf->records, slot, node->count, 1);
    leaf->heads[slot] = head_of(key, node->prefix_size);
    leaf->records[slot] = record;
    node->live = (node->live & below(slot)) | (node->live & ~below(slot)) << 1 | (uint64_t)is_live << slot;
    node->count++;
}

void mvcc_node_inner_insert(struct mvcc_node *node, uint32_t slot, struct mvcc_node_carry carry)
{
    struct mvcc_node_inner *inner = mvcc_node_inner(node);
    ASSERT(node->count < MVCC_NODE_INNER_MAX && slot <= node->count);
    ASSERT((slot == 0) == (carry.separator == NULL));
    if (slot > 0) admit(node, slice_make(carry.separator->data, carry.separator->size));
    SHIFT(inner->heads, slot, node->count, 1);
    SHIFT(inner->children, slot, node->count, 1);
    SHIFT(inner->lives, slot, node->count, 1);
    SHIFT(inner->separators, slot, node->count, 1);
    inner->heads[slot] = slot == 0 ? 0 : head_of(slice_make(carry.separator->data, carry.separator->size), node->prefix_size);
    inner->children[slot] = carry.right;
    inner->lives[slot] = mvcc_node_live(carry.right);
    inner->separators[slot] = carry.separator;
    node->count++;
}

struct mvcc_node_text *mvcc_node_separator(struct slice left, struct slice right)
{
    ASSERT(slice_compare(left, right) < 0);
    uint32_t size = common_size(left, right, UINT32_MAX - 1) + 1;
    struct mvcc_node_text *text = alloc_new(sizeof *text + size);
    text->size = size;
    memcpy(text->data, right.data, size);
    return text;
}

struct mvcc_node_carry mvcc_node_leaf_split(struct mvcc_node *node, uint32_t slot, struct mvcc_record *record, bool is_live)
{
    ASSERT(node->count == MVCC_NODE_LEAF_MAX);
    uint32_t count = node->count;
    uint32_t at = slot == count || slot == 0 ? slot : count / 2;
    struct mvcc_node *right = mvcc_node_new(node->batch, 0);
    struct mvcc_node_leaf *from = mvcc_node_leaf(node);
    struct mvcc_node_leaf *to = mvcc_node_leaf(right);
    memcpy(to->records, from->records + at, (count - at) * sizeof(void *));
    take_heads(right, node, at, count);
    right->live = node->live >> at;
    node->count = (uint16_t)at;
    node->live &= below(at);
    rehead(right, true);
    rehead(node, true);
    bool goes_left = slot == 0 || slot < at;
    mvcc_node_leaf_insert(goes_left ? node : right, goes_left ? slot : slot - at, record, is_live);
    struct slice last = text_at(node, node->count - 1u);
    return (struct mvcc_node_carry){.right = right, .separator = mvcc_node_separator(last, text_at(right, 0))};
}

struct mvcc_node_carry mvcc_node_inner_split(struct mvcc_node *node, uint32_t slot, struct mvcc_node_carry carry)
{
    ASSERT(node->count == MVCC_NODE_INNER_MAX && slot > 0);
    uint32_t count = node->count;
    struct mvcc_node *right = mvcc_node_new(node->batch, node->level);
    if (slot == count) {
        mvcc_node_inner_insert(right, 0, (struct mvcc_node_carry){.right = carry.right});
        return (struct mvcc_node_carry){.right = right, .separator = carry.separator};
    }
    uint32_t at = count / 2;
    struct mvcc_node_inner *from = mvcc_node_inner(node);
    struct mvcc_node_inner *to = mvcc_node_inner(right);
    struct mvcc_node_text *separator = from->separators[at];
    memcpy(to->children, from->children + at, (count - at) * sizeof(void *));
    memcpy(to->lives, from->lives + at, (count - at) * sizeof(uint64_t));
    memcpy(to->separators, from->separators + at, (count - at) * sizeof(void *));
    to->separators[0] = NULL;
    take_heads(right, node, at, count);
    to->heads[0] = 0;
    node->count = (uint16_t)at;
    rehead(right, true);
    rehead(node, true);
    bool goes_left = slot <= at;
    mvcc_node_inner_insert(goes_left ? node : right, goes_left ? slot : slot - at, carry);
    return (struct mvcc_node_carry){.right = right, .separator = separator};
}

void mvcc_node_leaf_remove(struct mvcc_node *node, uint32_t slot)
{
    struct mvcc_node_leaf *leaf = mvcc_node_leaf(node);
    ASSERT(slot < node->count);
    SHIFT(leaf->heads, slot + 1, node->count, -1);
    SHIFT(leaf->records, slot + 1, node->count, -1);
    node->live = (node->live & below(slot)) | (node->live >> 1 & ~below(slot));
    node->count--;
}

/* The first `count` of right go behind left. */
static void pass_left(struct mvcc_node *left, struct mvcc_node *right, uint32_t count)
{
    struct mvcc_node_leaf *to = mvcc_node_leaf(left), *from = mvcc_node_leaf(right);
    memcpy(to->heads + left->count, from->heads, count * sizeof(uint64_t));
    memcpy(to->records + left->count, from->records, count * sizeof(void *));
    SHIFT(from->heads, count, right->count, -(int32_t)count);
    SHIFT(from->records, count, right->count, -(int32_t)count);
    left->live |= (right->live & below(count)) << left->count;
    right->live >>= count;
}

/* The last `count` of left go before right. */
static void pass_right(struct mvcc_node *left, struct mvcc_node *right, uint32_t count)
{
    struct mvcc_node_leaf *from = mvcc_node_leaf(left), *to = mvcc_node_leaf(right);
    uint32_t stay = left->count - count;
    SHIFT(to->heads, 0, right->count, (int32_t)count);
    SHIFT(to->records, 0, right->count, (int32_t)count);
    memcpy(to->heads, from->heads + stay, count * sizeof(uint64_t));
    memcpy(to->records, from->records + stay, count * sizeof(void *));
    right->live = right->live << count | left->live >> stay;
    left->live &= below(stay);
}

/* Heads can move between nodes that strip the same prefix. */
struct mvcc_node_text *mvcc_node_leaf_even(struct mvcc_node *left, struct mvcc_node *right)
{
    uint32_t total = (uint32_t)left->count + right->count, stay = total / 2;
    ASSERT(left->level == 0 && right->level == 0 && left->count > 0 && right->count > 0);
    admit(left, slice_make(right->prefix, right->prefix_size));
    admit(right, slice_make(left->prefix, left->prefix_size));
    ASSERT(left->prefix_size == right->prefix_size);
    if (left->count < stay) pass_left(left, right, stay - left->count);
    else pass_right(left, right, left->count - stay);
    left->count = (uint16_t)stay;
    right->count = (uint16_t)(total - stay);
    rehead(left, true);
    rehead(right, true);
    return mvcc_node_separator(text_at(left, stay - 1), text_at(right, 0));
}

struct mvcc_node_text *mvcc_node_inner_separate(struct mvcc_node *node, uint32_t slot, struct mvcc_node_text *separator)
{
    struct mvcc_node_inner *inner = mvcc_node_inner(node);
    ASSERT(slot > 0 && slot < node->count && separator != NULL);
    struct slice text = slice_make(separator->data, separator->size);
    struct mvcc_node_text *old = inner->separators[slot];
    admit(node, text);
    inner->heads[slot] = head_of(text, node->prefix_size);
    inner->separators[slot] = separator;
    return old;
}

struct mvcc_node_text *mvcc_node_inner_remove(struct mvcc_node *node, uint32_t slot)
{
    struct mvcc_node_inner *inner = mvcc_node_inner(node);
    ASSERT(slot < node->count);
    uint32_t needless = slot > 0 ? slot : 1; /* the new first child needs no separator */
    struct mvcc_node_text *separator = needless < node->count ? inner->separators[needless] : NULL;
    SHIFT(inner->heads, slot + 1, node->count, -1);
    SHIFT(inner->children, slot + 1, node->count, -1);
    SHIFT(inner->lives, slot + 1, node->count, -1);
    SHIFT(inner->separators, slot + 1, node->count, -1);
    node->count--;
    inner->separators[0] = NULL;
    inner->heads[0] = 0;
    return separator;
}

void mvcc_node_merge(struct mvcc_node *left, const struct mvcc_node *right, struct mvcc_node_text *separator)
{
    uint32_t count = left->count;
    ASSERT(left->level == right->level && count + right->count <= mvcc_node_max(left));
    if (left->level == 0) {
        memcpy(mvcc_node_leaf(left)->records + count, mvcc_node_leaf(right)->records, right->count * sizeof(void *));
        if (right->count > 0) left->live |= right->live << count;
    } else {
        struct mvcc_node_inner *to = mvcc_node_inner(left);
        const struct mvcc_node_inner *from = mvcc_node_inner(right);
        ASSERT(count > 0 && right->count > 0 && separator != NULL);
        memcpy(to->children + count, from->children, right->count * sizeof(void *));
        memcpy(to->lives + count, from->lives, right->count * sizeof(uint64_t));
        memcpy(to->separators + count, from->separators, right->count * sizeof(void *));
        to->separators[count] = separator;
    }
    left->count = (uint16_t)(count + right->count);
    rehead(left, false);
}
