/* wal_actor: group commit. See wal_actor.h. */
#include "pipeline/wal_actor.h"

#include "base/log.h"

#define APPENDS_PER_STEP 4096

static void take_append(struct wal_actor *role, struct append_batch *batch)
{
    struct wal_append append = {.sequence = batch->sequence, .hard = batch->hard, .entries = batch->entries,
                                .entry_count = batch->entry_count,
                                .reset = {.is_reset = batch->is_reset, .index = batch->reset_index, .term = batch->reset_term,
                                          .conf = blob_slice(batch->reset_conf)}};
    ASSERT(role->last == NULL || role->last->sequence < batch->sequence);
    wal_append(role->wal, &append);
    batch->next = NULL;
    if (role->last == NULL) {
        role->first = batch;
    } else {
        role->last->next = batch;
    }
    role->last = batch;
}

static void drain(struct wal_actor *role)
{
    struct mail mail;
    for (uint32_t n = 0; n < APPENDS_PER_STEP && lane_take(role->from_raft, &mail); n++) {
        if (mail.kind == MAIL_DROP_HEAD) {
            wal_drop_head(role->wal, mail.drop_head.index);
        } else {
            ASSERT(mail.kind == MAIL_APPEND);
            take_append(role, mail.append.batch);
        }
    }
    actor_answer_pings(role->from_main, role->to_main);
    (void)work_files_take(&role->files);
}

/* Thesis 3.8: an acknowledgement may leave once what it promises is on disk. */
static void post_messages(struct wal_actor *role, struct append_batch *batch)
{
    while (batch->messages != NULL) {
        struct peer_message *message = batch->messages;
        batch->messages = message->next;
        message->next = NULL;
        struct mail mail = {.kind = MAIL_PEER, .peer = {.message = message, .to = message->msg.to}};
        if (!lane_post(role->to_peer, &mail)) {
            METRIC_ADD(&role->shared->metrics, lane_full, 1);
            mail_deinit(&mail);
        }
    }
}

static void release(struct wal_actor *role)
{
    uint64_t durable = wal_durable_sequence(role->wal);
    if (durable == role->persisted) return;
    ASSERT(durable > role->persisted);
    while (role->first != NULL && role->first->sequence <= durable) {
        struct append_batch *batch = role->first;
        role->first = batch->next;
        if (role->first == NULL) role->last = NULL;
        post_messages(role, batch);
        mail_append_free(batch);
    }
    role->persisted = durable;
    struct mail mail = {.kind = MAIL_PERSISTED, .persisted.sequence = durable};
    lane_must_post(role->to_raft, &mail);
}

static void report_space(struct wal_actor *role)
{
    bool no_space = wal_no_space(role->wal);
    if (no_space == role->no_space) return;
    role->no_space = no_space;
    struct mail mail = {.kind = MAIL_SPACE, .space.full = no_space};
    lane_must_post(role->to_raft, &mail);
    if (no_space) {
        LOG0(ERROR, "no space left for the write-ahead log: writes are refused, reads go on; free some space, the member resumes by itself");
    } else {
        LOG0(INFO, "there is space for the write-ahead log again: writes are taken");
    }
}

static void note_stats(struct wal_actor *role)
{
    struct wal_stats stats;
    wal_get_stats(role->wal, &stats);
    if (stats.syncs > METRIC_GET(&role->shared->metrics, wal_syncs))
        metrics_observe(&role->shared->metrics.wal_sync, METRICS_FROM_1MS, stats.sync_ns_last);
    if (stats.bytes > METRIC_GET(&role->shared->metrics, wal_bytes))
        metrics_observe(&role->shared->metrics.wal_write, METRICS_FROM_1MS, stats.write_ns_last);
    METRIC_SET(&role->shared->metrics, wal_syncs, stats.syncs);
    METRIC_SET(&role->shared->metrics, wal_disk_bytes, stats.disk_bytes);
    METRIC_SET(&role->shared->metrics, wal_bytes, stats.bytes);
    METRIC_SET(&role->shared->metrics, wal_sync_ns_max, stats.sync_ns_max);
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct wal_actor *role = (struct wal_actor *)actor;
    drain(role);
    bool moved = wal_step(role->wal, now_ns);
    release(role);
    report_space(role);
    if (moved) note_stats(role);
    return moved && !wal_is_idle(role->wal);
}

static uint64_t deadline_ns(struct actor *actor) { return wal_deadline_ns(((struct wal_actor *)actor)->wal); }

static const struct actor_table table = {.name = "kvd-wal", .step = step, .deadline_ns = deadline_ns};

void wal_actor_init(struct wal_actor *role, struct wal *wal, struct shared *shared)
{
    ASSERT(wal != NULL && shared != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->wal = wal;
    role->shared = shared;
    role->persisted = wal_durable_sequence(wal);
}

void wal_actor_connect_work(struct wal_actor *role, struct fs *direct, struct lane *to_work, struct lane *from_work)
{
    work_files_init(&role->files, direct, to_work, from_work);
    wal_set_chores(role->wal, &role->files.fs);
}

void wal_actor_settle(struct wal_actor *role)
{
    if (role->files.direct == NULL) return;
    work_files_settle(&role->files);
    wal_settle(role->wal);
}

void wal_actor_deinit(struct wal_actor *role)
{
    if (role->wal == NULL) return;
    actor_deinit(&role->actor);
    while (role->first != NULL) {
        struct append_batch *batch = role->first;
        role->first = batch->next;
        mail_append_free(batch);
    }
    wal_close(role->wal);
    role->wal = NULL;
}
