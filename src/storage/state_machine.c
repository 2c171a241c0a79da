/* state_machine: one function per command kind. What may refuse is asked before mvcc_begin, so that a refused command leaves nothing
 * behind; the answer's bytes are made beside the writes and never decide anything, so that a member with a waiting call and one
 * without end in the same state. */
#include "storage/state_machine_inner.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/list.h"
#include "base/mutant.h"
#include "storage/mvcc_content.h"
#include "storage/operation.h"

/* What readers may still look at, either or both. liburcu's thread pushes it back; apply drops the references. */
struct retired {
    struct rcu_node node;
    struct cluster *cluster;
    struct alarm_list *alarms;
    struct state_machine *machine;
    struct retired *next;
};
void state_machine_loaded_free(struct state_machine_loaded *loaded)
{
    if (loaded == NULL) return;
    mvcc_content_free(loaded->content);
    cluster_unref(loaded->cluster);
    blob_unref(loaded->conf);
    alarm_state_free(loaded->alarms);
    lease_set_free(loaded->leases);
    alloc_free(loaded);
}

static struct mvcc_content *take_content(struct state_machine_loaded *loaded)
{
    struct mvcc_content *content = loaded->content;
    ASSERT(content != NULL);
    loaded->content = NULL;
    return content;
}

/* All but keys and cluster; frees it. */
static void take_position(struct state_machine *machine, struct state_machine_loaded *loaded)
{
    ASSERT(loaded->content == NULL && loaded->index > 0 && loaded->term > 0);
    blob_unref(machine->conf);
    machine->conf = loaded->conf;
    loaded->conf = NULL;
    alarm_state_free(machine->alarms);
    machine->alarms = loaded->alarms != NULL ? loaded->alarms : alarm_state_new();
    loaded->alarms = NULL;
    lease_set_free(machine->old_leases);
    machine->old_leases = machine->leases;
    machine->leases = loaded->leases != NULL ? loaded->leases : lease_set_new();
    loaded->leases = NULL;
    machine->applied_index = loaded->index;
    machine->applied_term = loaded->term;
    state_machine_loaded_free(loaded);
}

struct state_machine *state_machine_new(const struct state_machine_options *options)
{
    struct state_machine_loaded *loaded = options->loaded;
    ASSERT(options->rcu != NULL && (options->cluster != NULL || loaded != NULL));
    struct state_machine *machine = ALLOC(struct state_machine);
    machine->rcu = options->rcu;
    machine->mvcc = mvcc_new(&(struct mvcc_options){.rcu = options->rcu, .content = loaded == NULL ? NULL : take_content(loaded)});
    machine->cluster = cluster_ref(loaded == NULL ? options->cluster : loaded->cluster);
    machine->published = cluster_ref(machine->cluster);
    if (loaded != NULL) take_position(machine, loaded);
    else if (options->conf.size > 0) machine->conf = blob_copy(options->conf);
    if (machine->alarms == NULL) machine->alarms = alarm_state_new();
    if (machine->leases == NULL) machine->leases = lease_set_new();
    machine->published_alarms = alarm_list_ref(machine->alarms->list);
    txn_init(&machine->txn);
    atomic_init(&machine->returned, NULL);
    return machine;
}

static void drop_returned(struct state_machine *machine)
{
    struct retired *retired = atomic_exchange_explicit(&machine->returned, NULL, memory_order_acquire);
    while (retired != NULL) {
        struct retired *next = retired->next;
        ASSERT(machine->retired_count > 0);
        machine->retired_count--;
        cluster_unref(retired->cluster);
        alarm_list_unref(retired->alarms);
        alloc_free(retired);
        retired = next;
    }
}

void state_machine_free(struct state_machine *machine)
{
    if (machine == NULL) return;
    drop_returned(machine);
    ASSERT(machine->retired_count == 0); /* the owner waited for the call-backs */
    txn_deinit(&machine->txn);
    cluster_unref(machine->published);
    cluster_unref(machine->cluster);
    alarm_list_unref(machine->published_alarms);
    alarm_state_free(machine->alarms);
    lease_set_free(machine->leases);
    lease_set_free(machine->old_leases);
    mvcc_free(machine->mvcc);
    blob_unref(machine->conf);
    alloc_free(machine);
}

uint64_t state_machine_applied_index(const struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return machine->applied_index;
}

uint64_t state_machine_applied_term(const struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return machine->applied_term;
}

struct slice state_machine_conf(const struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return blob_slice(machine->conf);
}

struct mvcc *state_machine_mvcc(struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return machine->mvcc;
}

const struct cluster *state_machine_cluster(const struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return RCU_LOAD(machine->published);
}

const struct alarm_list *state_machine_alarms(const struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return RCU_LOAD(machine->published_alarms);
}

/* On liburcu's thread. */
static void give_back(struct rcu_node *node)
{
    struct retired *retired = LIST_ENTRY(node, struct retired, node);
    struct state_machine *machine = retired->machine;
    ASSERT(machine != NULL && (retired->cluster != NULL || retired->alarms != NULL));
    retired->next = atomic_load_explicit(&machine->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&machine->returned, &retired->next, retired, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static void publish_cluster_and_alarms(struct state_machine *machine)
{
    bool is_cluster_new = machine->published != machine->cluster, are_alarms_new = machine->published_alarms != machine->alarms->list;
    if (!is_cluster_new && !are_alarms_new) return;
    struct retired *retired = ALLOC(struct retired);
    retired->machine = machine;
    if (is_cluster_new) {
        retired->cluster = machine->published;
        RCU_PUBLISH(machine->published, cluster_ref(machine->cluster));
    }
    if (are_alarms_new) {
        retired->alarms = machine->published_alarms;
        RCU_PUBLISH(machine->published_alarms, alarm_list_ref(machine->alarms->list));
    }
    machine->retired_count++;
    rcu_retire(machine->rcu, &retired->node, give_back);
    ASSERT(machine->published == machine->cluster && machine->published_alarms == machine->alarms->list);
}

void state_machine_publish(struct state_machine *machine)
{
    ASSERT(machine != NULL);
    mvcc_publish(machine->mvcc);
    publish_cluster_and_alarms(machine);
    drop_returned(machine);
}

/* --- snapshots ------------------------------------------------------------------------------------------------------------ */

struct state_machine_image *state_machine_take_image(struct state_machine *machine)
{
    struct mvcc_export_image keys;
    ASSERT(machine->applied_index > 0 && machine->conf != NULL);
    if (!mvcc_export_freeze(machine->mvcc, &keys)) return NULL;
    struct state_machine_image *image = ALLOC(struct state_machine_image);
    image->index = machine->applied_index;
    image->term = machine->applied_term;
    image->conf = blob_ref(machine->conf);
    image->cluster = cluster_ref(machine->cluster);
    image->mvcc = machine->mvcc;
    image->keys = keys;
    struct buf alarms;
    buf_init(&alarms);
    alarm_state_encode(machine->alarms, &alarms);
    image->alarms = buf_take_blob(&alarms);
    if (lease_set_count(machine->leases) > 0) image->leases = lease_set_freeze(machine->leases);
    buf_deinit(&alarms);
    return image;
}

void state_machine_image_unpin(struct state_machine_image *image)
{
    ASSERT(image != NULL);
    mvcc_export_thaw(image->mvcc, &image->keys);
}

void state_machine_image_free(struct state_machine_image *image)
{
    if (image == NULL) return;
    state_machine_image_unpin(image);
    cluster_unref(image->cluster);
    blob_unref(image->conf);
    blob_unref(image->alarms);
    lease_image_free(image->leases);
    alloc_free(image);
}

void state_machine_install(struct state_machine *machine, struct state_machine_loaded *loaded)
{
    ASSERT(loaded->index > machine->applied_index && loaded->term >= machine->applied_term);
    ASSERT(loaded->cluster->id == machine->cluster->id);
    mvcc_adopt(machine->mvcc, take_content(loaded));
    cluster_unref(machine->cluster);
    machine->cluster = cluster_ref(loaded->cluster);
    take_position(machine, loaded);
    publish_cluster_and_alarms(machine);
}

bool state_machine_discard_step(struct state_machine *machine, size_t budget)
{
    ASSERT(budget > 0);
    if (machine->old_leases != NULL && !lease_set_free_step(machine->old_leases, budget)) machine->old_leases = NULL;
    return machine->old_leases != NULL;
}

struct lease_set *state_machine_leases(struct state_machine *machine)
{
    ASSERT(machine != NULL);
    return machine->leases;
}

/* --- for all commands ---------------------------------------------------------------------------------------------------- */

int64_t state_machine_revision(struct state_machine *machine)
{
    int64_t revision = mvcc_view_revision(mvcc_writer_view(machine->mvcc));
    ASSERT(revision > 0);
    return revision;
}

void state_machine_demand(const struct raft_entry *entry, enum err err)
{
    if (err != ERR_OK)
        fatal("log entry %llu: %s: no door lets such a body through, the log is damaged",
              (unsigned long long)entry->index, err_name(err));
}

void state_machine_take_body(struct buf *body, struct state_machine_result *result)
{
    if (body->size > 0) result->body = buf_take_blob(body);
    buf_deinit(body);
}

/* --- KV ------------------------------------------------------------------------------------------------------------------ */

/* Here the lease is asked for before the key; in a transaction it is the other way round (API, Put and Txn). */
static void apply_put(struct state_machine *machine, const struct raft_entry *entry, const struct command *command, bool wants_reply,
                      struct state_machine_result *result)
{
    struct operation_put put;
    struct put_leases leases = put_leases_begin(machine->leases, entry->index, command);
    state_machine_demand(entry, operation_parse_put(command->body, &put));
    state_machine_demand(entry, put.key.size == 0 ? ERR_EMPTY_KEY : ERR_OK);
    result->err = put_leases_check(&leases, &put);
    if (result->err == ERR_OK) result->err = txn_check_put_key(mvcc_writer_view(machine->mvcc), &put);
    if (result->err != ERR_OK) return;
    struct buf body;
    buf_init(&body);
    int64_t before = state_machine_revision(machine);
    mvcc_begin(machine->mvcc);
    txn_put(machine->mvcc, &leases, &put, wants_reply ? &body : NULL);
    (void)mvcc_commit(machine->mvcc);
    state_machine_lease_follow(machine, before);
    state_machine_take_body(&body, result);
}

static void apply_delete_range(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                               bool wants_reply, struct state_machine_result *result)
{
    struct operation_delete_range request;
    state_machine_demand(entry, operation_parse_delete_range(bytes, &request));
    state_machine_demand(entry, request.key.size == 0 ? ERR_EMPTY_KEY : ERR_OK);
    struct buf body;
    buf_init(&body);
    int64_t before = state_machine_revision(machine);
    mvcc_begin(machine->mvcc);
    txn_delete_range(machine->mvcc, &request, wants_reply ? &body : NULL);
    (void)mvcc_commit(machine->mvcc);
    state_machine_lease_follow(machine, before);
    bool is_over = body.size > TXN_REPLY_BYTES_MAX;
    if (is_over) buf_clear(&body);
    if (is_over) result->err = ERR_TIMEOUT; /* done, but the answer cannot be sent: outcome unknown to the caller */
    state_machine_take_body(&body, result);
}

static void apply_txn(struct state_machine *machine, const struct raft_entry *entry, const struct command *command, bool wants_reply,
                      struct state_machine_result *result)
{
    struct mvcc *mvcc = machine->mvcc;
    struct put_leases leases = put_leases_begin(machine->leases, entry->index, command);
    result->err = txn_decide(&machine->txn, command->body, mvcc_writer_view(mvcc), &leases);
    if (result->err != ERR_OK) return;
    struct buf body;
    buf_init(&body);
    int64_t before = state_machine_revision(machine);
    mvcc_begin(mvcc);
    bool is_whole = txn_run(&machine->txn, mvcc, &leases, wants_reply ? &body : NULL);
    (void)mvcc_commit(mvcc);
    state_machine_lease_follow(machine, before);
    if (!is_whole) buf_clear(&body);
    if (!is_whole) result->err = ERR_TIMEOUT; /* as for delete_range */
    state_machine_take_body(&body, result);
}

static void apply_compaction(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                             struct state_machine_result *result)
{
    struct operation_compaction request;
    state_machine_demand(entry, operation_parse_compaction(bytes, &request));
    result->err = mvcc_compact(machine->mvcc, request.revision);
    if (result->err == ERR_OK && request.physical) result->wait_compacted = request.revision;
    ASSERT(result->err != ERR_OK || request.revision > 0);
}

/* --- alarms --------------------------------------------------------------------------------------------------------------- */

/* The answer names the alarm that changed, or that was active already. */
static void apply_alarm(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes, bool wants_reply,
                        struct state_machine_result *result)
{
    struct alarm_request request;
    bool is_named = false;
    state_machine_demand(entry, alarm_parse_request(bytes, &request));
    if (MUTANT(A2) && !wants_reply) return;
    result->err = alarm_state_change(machine->alarms, &request, &is_named);
    if (!is_named || !wants_reply) return;
    struct buf body;
    buf_init(&body);
    alarm_put_member(&request.alarm, &body);
    state_machine_take_body(&body, result);
}

static void apply_state_hash(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes)
{
    struct alarm_check_report report;
    state_machine_demand(entry, alarm_check_parse(bytes, &report));
    if (cluster_find(machine->cluster, report.member) == NULL) return; /* removed in between */
    alarm_state_report(machine->alarms, &report, (uint32_t)machine->cluster->member_count);
}

uint64_t state_machine_hash(struct state_machine *machine)
{
    const struct mvcc_view *view = mvcc_writer_view(machine->mvcc);
    const int64_t marks[2] = {mvcc_view_revision(view), mvcc_view_compact_revision(view)};
    struct buf alarms;
    buf_init(&alarms);
    alarm_list_encode(machine->alarms->list, &alarms);
    uint32_t rest = crc32c(crc32c(0, marks, sizeof marks), buf_slice(&alarms).data, alarms.size);
    buf_deinit(&alarms);
    ASSERT(marks[0] >= marks[1]);
    return (mvcc_hash(view, 0) ^ (uint64_t)rest << 16) + lease_set_hash(machine->leases);
}

/* For the mutant: what is allocated depends on how far this member came with freeing. */
static bool is_over_own_quota(const struct state_machine *machine)
{
    uint64_t bytes = 0, live_bytes = 0;
    mvcc_view_sizes(mvcc_writer_view(machine->mvcc), &bytes, &live_bytes);
    return bytes > 3 * live_bytes + 65536;
}

static enum err admit(const struct state_machine *machine, const struct command *command)
{
    ASSERT(machine->alarms != NULL);
    if (MUTANT(A1) && command->kind == COMMAND_PUT && is_over_own_quota(machine)) return ERR_NO_SPACE;
    return alarm_state_admit(machine->alarms, command);
}

/* --- entries -------------------------------------------------------------------------------------------------------------- */

static void apply_command(struct state_machine *machine, const struct raft_entry *entry, bool wants_reply,
                          struct state_machine_result *result)
{
    struct command command;
    if (!command_decode(blob_slice(entry->data), &command))
        fatal("log entry %llu: no command that this version (level %d) knows: a newer member wrote it, or the log is damaged",
              (unsigned long long)entry->index, COMMAND_LEVEL);
    ASSERT(command.level <= COMMAND_LEVEL);
    result->has_id = true;
    result->id = command.id;
    result->kind = command.kind;
    result->err = admit(machine, &command);
    if (result->err != ERR_OK) return;
    switch (command.kind) {
    case COMMAND_PUT: apply_put(machine, entry, &command, wants_reply, result); break;
    case COMMAND_DELETE_RANGE: apply_delete_range(machine, entry, command.body, wants_reply, result); break;
    case COMMAND_TXN: apply_txn(machine, entry, &command, wants_reply, result); break;
    case COMMAND_COMPACTION: apply_compaction(machine, entry, command.body, result); break;
    case COMMAND_LEASE_GRANT: state_machine_lease_grant(machine, entry, &command, wants_reply, result); break;
    case COMMAND_LEASE_REVOKE: state_machine_lease_revoke(machine, entry, command.body, result); break;
    case COMMAND_LEASE_EXPIRE: state_machine_lease_expire(machine, entry, command.body); break;
    case COMMAND_LEASE_CHECKPOINT: state_machine_lease_checkpoint(machine, entry, command.body); break;
    case COMMAND_CLUSTER_VERSION_SET: state_machine_cluster_version_set(machine, entry, command.body); break;
    case COMMAND_CLUSTER_MEMBER_ATTR_SET: state_machine_cluster_attributes_set(machine, entry, command.body, result); break;
    case COMMAND_ALARM: apply_alarm(machine, entry, command.body, wants_reply, result); break;
    case COMMAND_STATE_HASH: apply_state_hash(machine, entry, command.body); break;
    }
}

void state_machine_apply(struct state_machine *machine, const struct raft_entry *entry, struct slice conf_members,
                         bool wants_reply, struct state_machine_result *out_result)
{
    ASSERT(entry->index == machine->applied_index + 1);
    struct state_machine_result result = {.err = ERR_OK};
    switch (entry->kind) {
    case RAFT_ENTRY_EMPTY: break;
    case RAFT_ENTRY_CONF: state_machine_cluster_conf(machine, entry, conf_members); break;
    case RAFT_ENTRY_COMMAND: apply_command(machine, entry, wants_reply, &result); break;
    default: fatal("log entry %llu: kind %d is not known", (unsigned long long)entry->index, (int)entry->kind);
    }
    machine->applied_index = entry->index;
    machine->applied_term = entry->term;
    result.revision = state_machine_revision(machine);
    ASSERT(wants_reply || result.body == NULL);
    *out_result = result;
}
