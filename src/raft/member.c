/* member: see member.h. The layout of raft_conf_encode, all little endian:
 *
 *   u8 version = 1 │ u32 voters │ u32 outgoing │ u32 learners │ u64 id × (voters + outgoing + learners) │ u32 size │ bytes
 *
 * It stands in the log on disk and on the wire; another layout gets another version. Nothing may follow the bytes.
 */
#include "raft/member.h"

#include "base/alloc.h"
#include "base/assert.h"

enum { CONF_VERSION = 1, STACK_MIN = 4 };

static bool ids_are_ascending(const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == RAFT_NONE || (i > 0 && ids[i - 1] >= ids[i])) return false;
    }
    return true;
}

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    ASSERT(count <= RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

static bool ids_are_equal(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

/* How many of a are not in b. */
static uint32_t ids_missing(const uint64_t *a, uint32_t a_count, const uint64_t *b, uint32_t b_count)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < a_count; i++) {
        if (!ids_have(b, b_count, a[i])) missing++;
    }
    return missing;
}

bool raft_conf_is_valid(const struct raft_conf *conf)
{
    if (conf->voter_count == 0 || conf->voter_count > RAFT_MEMBERS_MAX) return false;
    if (conf->outgoing_count > RAFT_MEMBERS_MAX || conf->learner_count > RAFT_MEMBERS_MAX) return false;
    if (!ids_are_ascending(conf->voters, conf->voter_count)) return false;
    if (!ids_are_ascending(conf->outgoing, conf->outgoing_count)) return false;
    if (!ids_are_ascending(conf->learners, conf->learner_count)) return false;
    uint32_t plain_learners = ids_missing(conf->learners, conf->learner_count, conf->voters, conf->voter_count);
    if (plain_learners != conf->learner_count) return false;
    uint32_t distinct = conf->voter_count + conf->learner_count;
    for (uint32_t i = 0; i < conf->outgoing_count; i++) {
        uint64_t id = conf->outgoing[i];
        bool is_known = ids_have(conf->voters, conf->voter_count, id) || ids_have(conf->learners, conf->learner_count, id);
        if (!is_known) distinct++;
    }
    return distinct <= RAFT_MEMBERS_MAX;
}

static void put_ids(struct buf *buf, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) buf_put_u64(buf, ids[i]);
}

struct blob *raft_conf_encode(const struct raft_conf *conf)
{
    ASSERT(raft_conf_is_valid(conf));
    struct buf buf;
    buf_init(&buf);
    buf_put_u8(&buf, CONF_VERSION);
    buf_put_u32(&buf, conf->voter_count);
    buf_put_u32(&buf, conf->outgoing_count);
    buf_put_u32(&buf, conf->learner_count);
    put_ids(&buf, conf->voters, conf->voter_count);
    put_ids(&buf, conf->outgoing, conf->outgoing_count);
    put_ids(&buf, conf->learners, conf->learner_count);
    struct slice members = blob_slice(conf->members);
    buf_put_u32(&buf, (uint32_t)members.size);
    buf_put_slice(&buf, members);
    struct blob *blob = buf_take_blob(&buf);
    ASSERT(blob != NULL);
    buf_deinit(&buf);
    return blob;
}

static void read_ids(struct reader *reader, uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) ids[i] = reader_u64(reader);
}

bool raft_conf_decode(struct slice bytes, struct raft_conf *out_conf)
{
    ASSERT(out_conf != NULL);
    struct reader reader = reader_make(bytes);
    struct raft_conf conf = {.members = NULL};
    uint8_t version = reader_u8(&reader);
    conf.voter_count = reader_u32(&reader);
    conf.outgoing_count = reader_u32(&reader);
    conf.learner_count = reader_u32(&reader);
    if (reader.bad || version != CONF_VERSION) return false;
    if (conf.voter_count > RAFT_MEMBERS_MAX || conf.outgoing_count > RAFT_MEMBERS_MAX ||
        conf.learner_count > RAFT_MEMBERS_MAX) {
        return false;
    }
    read_ids(&reader, conf.voters, conf.voter_count);
    read_ids(&reader, conf.outgoing, conf.outgoing_count);
    read_ids(&reader, conf.learners, conf.learner_count);
    uint32_t size = reader_u32(&reader);
    struct slice members = reader_bytes(&reader, size);
    if (reader.bad || reader_left(&reader) != 0 || !raft_conf_is_valid(&conf)) return false;
    if (size > 0) conf.members = blob_copy(members);
    *out_conf = conf;
    return true;
}

void raft_conf_copy(struct raft_conf *to, const struct raft_conf *from)
{
    ASSERT(to != from);
    *to = *from;
    if (to->members != NULL) blob_ref(to->members);
}

void raft_conf_deinit(struct raft_conf *conf)
{
    if (conf == NULL) return;
    blob_unref(conf->members);
    *conf = (struct raft_conf){.members = NULL};
}

bool raft_is_voter(const struct raft_conf *conf, uint64_t id)
{
    return ids_have(conf->voters, conf->voter_count, id) || ids_have(conf->outgoing, conf->outgoing_count, id);
}

void member_init(struct member_stack *stack, const struct raft_conf *base, uint64_t index)
{
    /* A joiner that knows nobody yet starts with an empty configuration; it cannot campaign. */
    ASSERT(raft_conf_is_valid(base) || (base->voter_count == 0 && base->outgoing_count == 0));
    *stack = (struct member_stack){.items = NULL};
    member_push(stack, index, base);
}

void member_deinit(struct member_stack *stack)
{
    if (stack == NULL) return;
    for (uint32_t i = 0; i < stack->count; i++) raft_conf_deinit(&stack->items[i].conf);
    alloc_free(stack->items);
    *stack = (struct member_stack){.items = NULL};
}

const struct member_conf *member_top(const struct member_stack *stack)
{
    ASSERT(stack->count > 0);
    return &stack->items[stack->count - 1];
}

void member_push(struct member_stack *stack, uint64_t index, const struct raft_conf *conf)
{
    ASSERT(stack->count == 0 || member_top(stack)->index < index);
    if (stack->count == stack->capacity) {
        stack->capacity = stack->capacity == 0 ? STACK_MIN : stack->capacity * 2;
        stack->items = alloc_resize(stack->items, stack->capacity * sizeof(*stack->items));
    }
    struct member_conf *item = &stack->items[stack->count++];
    item->index = index;
    raft_conf_copy(&item->conf, conf);
}

bool member_rollback(struct member_stack *stack, uint64_t from)
{
    bool is_changed = false;
    while (stack->count > 1 && member_top(stack)->index >= from) {
        raft_conf_deinit(&stack->items[--stack->count].conf);
        is_changed = true;
    }
    ASSERT(stack->count == 1 || member_top(stack)->index < from);
    return is_changed;
}

void member_prune(struct member_stack *stack, uint64_t commit_index)
{
    uint32_t drop = 0;
    while (drop + 1 < stack->count && stack->items[drop + 1].index <= commit_index) drop++;
    for (uint32_t i = 0; i < drop; i++) raft_conf_deinit(&stack->items[i].conf);
    stack->count -= drop;
    if (drop > 0) memmove(stack->items, stack->items + drop, stack->count * sizeof(*stack->items));
    ASSERT(stack->count > 0);
}

bool member_has_voter(const struct member_stack *stack, uint64_t id)
{
    ASSERT(stack->count > 0);
    for (uint32_t i = 0; i < stack->count; i++) {
        if (raft_is_voter(&stack->items[i].conf, id)) return true;
    }
    return false;
}

bool member_is_legal_change(const struct raft_conf *from, const struct raft_conf *to)
{
    if (!raft_conf_is_valid(to)) return false;
    bool has_same_voters = ids_are_equal(from->voters, from->voter_count, to->voters, to->voter_count);
    if (from->outgoing_count > 0) return to->outgoing_count == 0 && has_same_voters;
    if (to->outgoing_count > 0) {
        return ids_are_equal(from->voters, from->voter_count, to->outgoing, to->outgoing_count);
    }
    uint32_t removed = ids_missing(from->voters, from->voter_count, to->voters, to->voter_count);
    uint32_t added = ids_missing(to->voters, to->voter_count, from->voters, from->voter_count);
    return removed + added <= 1; /* thesis 4.1: majorities before and after one change always overlap */
}

void member_leave_joint(const struct raft_conf *joint, struct raft_conf *out_conf)
{
    ASSERT(joint->outgoing_count > 0);
    raft_conf_copy(out_conf, joint);
    out_conf->outgoing_count = 0;
    ASSERT(member_is_legal_change(joint, out_conf));
}

static uint32_t insert_id(uint64_t *ids, uint32_t count, uint64_t id)
{
    uint32_t place = count;
    for (; place > 0 && ids[place - 1] >= id; place--) {
        if (ids[place - 1] == id) return count;
    }
    ASSERT(count < RAFT_MEMBERS_MAX);
    memmove(ids + place + 1, ids + place, (count - place) * sizeof(*ids));
    ids[place] = id;
    return count + 1;
}

uint32_t member_ids(const struct raft_conf *conf, uint64_t out_ids[RAFT_MEMBERS_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < conf->voter_count; i++) count = insert_id(out_ids, count, conf->voters[i]);
    for (uint32_t i = 0; i < conf->outgoing_count; i++) count = insert_id(out_ids, count, conf->outgoing[i]);
    for (uint32_t i = 0; i < conf->learner_count; i++) count = insert_id(out_ids, count, conf->learners[i]);
    ASSERT(count <= RAFT_MEMBERS_MAX);
    return count;
}

bool member_is_only_voter(const struct raft_conf *conf, uint64_t id)
{
    return conf->voter_count == 1 && conf->outgoing_count == 0 && conf->voters[0] == id;
}
