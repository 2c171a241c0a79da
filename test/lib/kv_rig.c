/* kv_rig: see the header. */
#include "lib/kv_rig.h"

#include "base/assert.h"
#include "lib/kv_text.h"
#include "storage/range.h"

static void retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    struct kv_rig *rig = (struct kv_rig *)(void *)rcu;
    if (!rig->holds_retired) {
        fn(node);
        return;
    }
    node->fn = fn;
    node->next = rig->held;
    rig->held = node;
}
static void give_back(struct rcu *rcu)
{
    struct kv_rig *rig = (struct kv_rig *)(void *)rcu;
    while (rig->held != NULL) {
        struct rcu_node *node = rig->held;
        rig->held = node->next;
        node->fn(node);
    }
}
static const struct rcu_table RIG_RCU = {.retire = retire, .wait = give_back};

void kv_rig_init(struct kv_rig *rig)
{
    char message[256];
    *rig = (struct kv_rig){.rcu = {.table = &RIG_RCU}, .wants_reply = true, .level = COMMAND_LEVEL, .lease_ids = 4, .lease_ttl_min = 2};
    struct cluster *cluster = cluster_from_initial("a=http://127.0.0.1:2380,b=http://127.0.0.1:2381", "rig", message,
                                                   sizeof message);
    ASSERT(cluster != NULL);
    rig->machine = state_machine_new(&(struct state_machine_options){.rcu = &rig->rcu, .cluster = cluster, .conf = slice_from_string("rig")});
    rig->mvcc = state_machine_mvcc(rig->machine);
    cluster_unref(cluster);
    buf_init(&rig->text);
}

void kv_rig_deinit(struct kv_rig *rig)
{
    rcu_wait(&rig->rcu);
    blob_unref(rig->result.body);
    buf_deinit(&rig->text);
    state_machine_free(rig->machine);
}

/* As the member would that received it. */
static void choose(const struct kv_rig *rig, struct command *command, struct buf *ids)
{
    int64_t first = (int64_t)(rig->index + 1) * 100;
    bool is_grant = command->kind == COMMAND_LEASE_GRANT;
    bool may_put = (command->kind == COMMAND_PUT || command->kind == COMMAND_TXN) && rig->level >= COMMAND_LEVEL_PUT_TTL;
    if (is_grant) command->chosen_lease_id = first;
    if (is_grant || may_put) command->chosen_ttl = rig->lease_ttl_min;
    if (!may_put) return;
    for (uint32_t i = 0; i < rig->lease_ids; i++) buf_put_varint(ids, (uint64_t)(first + i));
    command->chosen_lease_ids = buf_slice(ids);
}

enum err kv_rig_apply(struct kv_rig *rig, enum command_kind kind, struct slice body)
{
    struct command command = {.level = rig->level, .kind = kind, .id = {1, 2, rig->index + 1}, .body = body};
    struct buf ids;
    buf_init(&ids);
    choose(rig, &command, &ids);
    struct blob *data = command_encode(&command);
    struct raft_entry entry = {.index = ++rig->index, .term = 1, .kind = RAFT_ENTRY_COMMAND, .data = data};
    buf_deinit(&ids);
    blob_unref(rig->result.body);
    state_machine_apply(rig->machine, &entry, slice_empty(), rig->wants_reply, &rig->result);
    state_machine_publish(rig->machine);
    blob_unref(data);
    ASSERT(rig->result.has_id && rig->result.id.counter == rig->index);
    ASSERT(state_machine_applied_index(rig->machine) == rig->index);
    return rig->result.err;
}

static const char *answer(struct kv_rig *rig, enum command_kind kind, struct buf *request,
                          struct buf (*describe)(struct slice response))
{
    enum err err = kv_rig_apply(rig, kind, buf_slice(request));
    struct buf body = describe(blob_slice(rig->result.body));
    buf_deinit(request);
    buf_clear(&rig->text);
    if (err == ERR_OK) buf_printf(&rig->text, "@%lld %s", (long long)rig->result.revision, kv_text_string(&body));
    else buf_printf(&rig->text, "%s", err_name(err));
    buf_put_u8(&rig->text, 0);
    buf_deinit(&body);
    return kv_text_string(&rig->text);
}

const char *kv_rig_put(struct kv_rig *rig, const char *text)
{
    struct buf request = kv_text_put(text);
    return answer(rig, COMMAND_PUT, &request, kv_text_of_put);
}

const char *kv_rig_delete(struct kv_rig *rig, const char *text)
{
    struct buf request = kv_text_delete(text);
    return answer(rig, COMMAND_DELETE_RANGE, &request, kv_text_of_delete);
}

const char *kv_rig_txn(struct kv_rig *rig, const char *text)
{
    struct buf request = kv_text_txn(text);
    return answer(rig, COMMAND_TXN, &request, kv_text_of_txn);
}

const char *kv_rig_range(struct kv_rig *rig, const char *text)
{
    struct buf bytes = kv_text_range(text), body;
    struct range_request request;
    enum err err = range_parse(buf_slice(&bytes), &request);
    if (err == ERR_OK) err = range_check(&request);
    buf_init(&body);
    buf_clear(&rig->text);
    if (err == ERR_OK) {
        struct range *range = range_new(&request, NULL, SIZE_MAX);
        enum range_progress progress = range_step(range, mvcc_view(rig->mvcc), SIZE_MAX, SIZE_MAX, &body, &err);
        ASSERT(progress != RANGE_MORE);
        if (progress == RANGE_DONE) buf_printf(&rig->text, "@%lld ", (long long)range_header_revision(range));
        range_free(range);
    }
    struct buf said = kv_text_of_range(buf_slice(&body));
    buf_printf(&rig->text, "%s", err == ERR_OK ? kv_text_string(&said) : err_name(err));
    buf_put_u8(&rig->text, 0);
    buf_deinit(&said);
    buf_deinit(&body);
    buf_deinit(&bytes);
    return kv_text_string(&rig->text);
}

enum err kv_rig_compact(struct kv_rig *rig, int64_t revision, bool physical)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)revision);
    buf_put_pb_varint(&request, 2, physical);
    enum err err = kv_rig_apply(rig, COMMAND_COMPACTION, buf_slice(&request));
    buf_deinit(&request);
    return err;
}

uint64_t kv_rig_hash(struct kv_rig *rig) { return mvcc_hash(mvcc_view(rig->mvcc), 0); }
