/* apply_actor: execute the drain, publish, post. See apply_actor.h. */
#include "pipeline/apply_actor.h"

#include <stdio.h>

#include "base/buggify.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "raft/raft.h"
#include "storage/alarm_check.h"

#define ENTRIES_PER_STEP 1024
#define RECLAIM_BUDGET 64    /* nodes, beyond those that each publish frees */
#define PROPOSE_AGAIN_NS NS_PER_S
#define FREE_AGAIN_NS (20 * NS_PER_MS) /* readers that are gone ring nobody */
#define SNAPSHOT_LOG_BYTES (UINT64_C(256) << 20) /* what a start reads again stays less than a second's work */
#define SNAPSHOT_AGAIN_NS (10 * NS_PER_S) /* after one that failed; looked at when something is applied */
#define DISCARD_BUDGET 1024  /* leases and their keys, of a state that is gone */
#define CLUSTER_VERSION "3.6.0"
#define SLOW_APPLY_NS (100 * NS_PER_MS)

/* --- entries --- */

void apply_actor_after_publish(struct apply_actor *role, const struct mail *mail)
{
    if ((MUTANT(D31) && mail->kind == MAIL_REPLY) || (MUTANT(D32) && mail->kind == MAIL_READ_BATCH)) {
        lane_must_post(role->lanes.to_net, mail);
        return;
    }
    if (role->after_count == role->after_capacity) {
        role->after_capacity = role->after_capacity == 0 ? 1024 : role->after_capacity * 2;
        role->after = alloc_resize(role->after, role->after_capacity * sizeof(struct mail));
    }
    role->after[role->after_count++] = *mail;
}

void apply_actor_answer(struct apply_actor *role, uint64_t call, struct state_machine_result *result)
{
    struct mail mail = {.kind = MAIL_REPLY,
                        .reply = {.call = call, .body = result->body, .revision = result->revision, .err = result->err}};
    if (result->wait_compacted == 0) {
        apply_actor_after_publish(role, &mail);
        return;
    }
    apply_compaction_wait(&role->compaction, result->wait_compacted, &mail);
}

struct blob *apply_actor_command(struct apply_actor *role, enum command_kind kind, struct slice body)
{
    struct command command = {.level = COMMAND_LEVEL_FIRST, .kind = kind, .body = body,
                              .id = {.member = role->self, .boot = role->run_id,
                                     .counter = role->counter++ | UINT64_C(1) << 63}};
    return command_encode(&command);
}

static void propose(struct apply_actor *role, enum command_kind kind, struct slice body)
{
    struct mail mail = {.kind = MAIL_INTERNAL, .propose.command = apply_actor_command(role, kind, body)};
    if (!lane_post(role->lanes.to_raft, &mail)) mail_deinit(&mail); /* whoever wants it asks again */
}

/* alarm_check.h: what the state is behind this entry, for all members to compare. */
static void report_hash(struct apply_actor *role, uint64_t index)
{
    if (state_machine_cluster(role->machine)->member_count < 2) return;
    struct alarm_check_report report = {.member = role->self, .index = index, .hash = state_machine_hash(role->machine)};
    struct buf body;
    buf_init(&body);
    alarm_check_put(&report, &body);
    propose(role, COMMAND_STATE_HASH, buf_slice(&body));
    buf_deinit(&body);
}

/* For the mutant: the last byte of what a put says, on one member only. */
static struct blob *spoiled(const struct apply_actor *role, const struct raft_entry *entry)
{
    struct command command;
    bool is_one = role->self == state_machine_cluster(role->machine)->members[0].id;
    if (entry->data == NULL) return NULL;
    if (!is_one || entry->index % 7 != 0 || entry->kind != RAFT_ENTRY_COMMAND) return blob_ref(entry->data);
    struct slice bytes = blob_slice(entry->data);
    struct blob *copy = blob_copy(bytes);
    if (command_decode(bytes, &command) && command.kind == COMMAND_PUT) copy->data[bytes.size - 1] ^= 1;
    return copy;
}

/* An entry ends where the next begins: one look at the clock for each. */
static void note_applied(struct apply_actor *role, const struct raft_entry *entry, const struct state_machine_result *result, size_t leases_before)
{
    struct metrics *metrics = &role->shared->metrics;
    size_t leases = lease_set_count(state_machine_leases(role->machine));
    if (leases > leases_before) {
        METRIC_ADD(metrics, leases_granted, leases - leases_before);
        apply_leases_note_ttls(state_machine_leases(role->machine), entry, metrics);
    }
    if (leases < leases_before && result->kind == COMMAND_LEASE_EXPIRE) METRIC_ADD(metrics, leases_expired, leases_before - leases);
    else if (leases < leases_before) METRIC_ADD(metrics, leases_revoked, leases_before - leases);
    if (role->board != NULL) return; /* where steps are made by hand, there is no clock but theirs */
    uint64_t before_ns = role->entry_ns;
    role->entry_ns = clock_mono_ns();
    if (result->has_id) op_metrics_apply(&role->shared->ops, result->kind, result->err, role->entry_ns - before_ns);
    if (role->entry_ns - before_ns > SLOW_APPLY_NS) METRIC_ADD(metrics, slow_applies, 1);
}

static void apply_entry(struct apply_actor *role, const struct raft_entry *whole_entry, uint64_t call)
{
    struct raft_entry copy = *whole_entry;
    const struct raft_entry *entry = &copy;
    if (MUTANT(A4)) copy.data = spoiled(role, whole_entry);
    struct raft_conf conf = {.members = NULL};
    struct slice members = slice_empty();
    if (entry->kind == RAFT_ENTRY_CONF) {
        bool is_good = raft_conf_decode(blob_slice(entry->data), &conf);
        ASSERT(is_good);
        members = blob_slice(conf.members);
    }
    struct state_machine_result result = {.err = ERR_OK};
    size_t leases = lease_set_count(state_machine_leases(role->machine));
    state_machine_apply(role->machine, entry, members, call != 0, &result);
    note_applied(role, entry, &result, leases);
    if (call != 0) {
        apply_actor_answer(role, call, &result);
    } else {
        blob_unref(result.body);
    }
    apply_leases_met(&role->leases, entry);
    raft_conf_deinit(&conf);
    if (MUTANT(A4)) blob_unref(copy.data);
    if (entry->index % ALARM_CHECK_INTERVAL == 0) report_hash(role, entry->index);
}

static uint32_t take_commit(struct apply_actor *role, struct commit_batch *batch)
{
    uint32_t count = batch->count;
    if (role->board == NULL) role->entry_ns = clock_mono_ns();
    for (uint32_t i = 0; i < count; i++) apply_entry(role, &batch->entries[i], batch->calls[i]);
    role->applied_bytes += batch->bytes;
    role->snapshots.entries += count;
    role->snapshots.log_bytes += batch->bytes + (uint64_t)count * RAFT_ENTRY_BYTES;
    METRIC_ADD(&role->shared->metrics, proposals_applied, count);
    mail_commit_free(batch);
    return count;
}

static void take_leader(struct apply_actor *role, const struct mail *mail)
{
    role->leader = mail->leader.leader;
    role->is_leader = mail->leader.is_me;
    role->propose_ns = role->now_ns;
    apply_leases_lead(&role->leases, mail->leader.is_me ? mail->leader.term : 0);
}

static void take_read_batch(struct apply_actor *role, struct mail *mail)
{
    /* The one lane keeps position: whatever the read needs was posted before it. */
    ASSERT(mail->read.index <= state_machine_applied_index(role->machine) || MUTANT(D30));
    if (mail->read.batch == NULL) {
        struct mail ready = {.kind = MAIL_READY};
        lane_must_post(role->lanes.to_main, &ready);
        apply_actor_after_publish(role, &(struct mail){.kind = MAIL_CAUGHT_UP});
    } else if (mail->read.batch->questions == NULL) {
        apply_actor_after_publish(role, mail);
    } else {
        apply_asks_take(role, mail);
    }
}

static void take_main(struct apply_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_DRAIN) {
        role->is_draining = true;
        return;
    }
    actor_answer_ping(mail, role->lanes.to_main);
}

/* What was answered from the old state stands: the new one holds all of it. */
static void take_install(struct apply_actor *role, const struct mail *mail)
{
    LOG(INFO, "the state is the leader's snapshot from now on", LOG_F_U64("index", mail->loaded.state->index),
        LOG_F_U64("before", state_machine_applied_index(role->machine)));
    role->snapshots.last_bytes = mail->loaded.state->file_bytes;
    state_machine_install(role->machine, mail->loaded.state);
    role->snapshots.entries = role->snapshots.log_bytes = 0;
    role->snapshots.taking_entries = role->snapshots.taking_log_bytes = 0; /* of the state that is gone */
    role->snapshots.is_alone = true;
}

static void take_snap(struct apply_actor *role, const struct mail *mail)
{
    if (mail->kind == MAIL_WANT) {
        role->snapshots.want = mail->want.number;
        return;
    }
    ASSERT(mail->kind == MAIL_TAKEN && role->snapshots.is_taking);
    role->snapshots.is_taking = false;
    if (mail->taken.err == ERR_OK) {
        if (mail->taken.bytes > 0) role->snapshots.last_bytes = mail->taken.bytes;
        if (role->snapshots.is_taking_beside) role->snapshots.is_alone = false;
    } else { /* still due: the log is as long as before */
        role->snapshots.entries += role->snapshots.taking_entries;
        role->snapshots.log_bytes += role->snapshots.taking_log_bytes;
        role->snapshots.not_before_ns = role->now_ns + SNAPSHOT_AGAIN_NS;
    }
    role->snapshots.taking_entries = role->snapshots.taking_log_bytes = 0;
}

static void drain(struct apply_actor *role)
{
    struct mail mail;
    uint32_t entries = 0;
    while (entries < ENTRIES_PER_STEP && !BUGGIFY(APPLY_PAUSE) && lane_take(role->lanes.from_raft, &mail)) {
        switch ((enum mail_kind)mail.kind) {
        case MAIL_COMMIT: entries += take_commit(role, mail.commit.batch); break;
        case MAIL_READ_BATCH: entries++; take_read_batch(role, &mail); break;
        case MAIL_LEADER: take_leader(role, &mail); break;
        case MAIL_INSTALL: take_install(role, &mail); break;
        default: ASSERT(false);
        }
    }
    while (lane_take(role->lanes.from_snap, &mail)) take_snap(role, &mail);
    while (lane_take(role->lanes.from_main, &mail)) take_main(role, &mail);
}

/* --- publish, then post --- */

/* Full: a wake is under way. Either we see that there are streams, or watch sees this view. */
static void wake_watch(struct apply_actor *role)
{
    if (role->lanes.to_watch == NULL || MUTANT(D85)) return;
    if (atomic_fetch_add_explicit(&role->shared->is_watched, 0, memory_order_seq_cst) == 0) return;
    (void)lane_post(role->lanes.to_watch, &(struct mail){.kind = MAIL_PUBLISHED});
}

/* "3.6.0" as a number, for whoever shows it without asking. Each publish looks, so a cluster that came in between has another address. */
static void note_version(struct apply_actor *role)
{
    unsigned major = 0, minor = 0, patch = 0;
    const struct cluster *cluster = state_machine_cluster(role->machine);
    if (cluster == role->cluster) return;
    role->cluster = cluster;
    if (sscanf(cluster->version, "%u.%u.%u", &major, &minor, &patch) != 3) return;
    METRIC_SET(&role->shared->metrics, cluster_version, (uint64_t)major << 32 | (minor & UINT16_MAX) << 16 | (patch & UINT16_MAX));
}

static void note_published(struct apply_actor *role)
{
    note_version(role);
    struct metrics *metrics = &role->shared->metrics;
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(role->machine));
    METRIC_ADD(metrics, views_published, 1);
    METRIC_SET(metrics, current_revision, (uint64_t)mvcc_view_revision(view));
    METRIC_SET(metrics, compact_revision, (uint64_t)mvcc_view_compact_revision(view));
    /* Where steps are made by hand, there is no clock but theirs. */
    if (role->board == NULL) metrics_observe(&metrics->commit, METRICS_FROM_1MS, clock_mono_ns() - role->now_ns);
}

static void publish(struct apply_actor *role)
{
    uint64_t applied = state_machine_applied_index(role->machine);
    if (applied == role->applied_reported) return;
    state_machine_publish(role->machine);
    switchboard_point(role->board, "publish", NULL);
    SHARED_SET(role->shared, applied_index, applied);
    note_published(role);
    wake_watch(role);
}

static struct lane *home_of(const struct apply_actor *role, const struct mail *mail)
{
    bool is_read = mail->kind == MAIL_READ_BATCH || mail->kind == MAIL_READ_FAIL;
    return is_read && read_batch_is_renewal(mail->read.batch) ? role->lanes.to_watch_answers : role->lanes.to_net;
}

static void post_after(struct apply_actor *role)
{
    for (uint32_t i = 0; i < role->after_count; i++) lane_must_post(home_of(role, &role->after[i]), &role->after[i]);
    role->after_count = 0;
    uint64_t applied = state_machine_applied_index(role->machine);
    if (applied != role->applied_reported) {
        struct mail mail = {.kind = MAIL_APPLIED, .applied = {.index = applied, .bytes = role->applied_bytes}};
        lane_must_post_quietly(role->lanes.to_raft, &mail); /* at most one per COMMIT that raft posted */
        role->applied_reported = applied;
        role->applied_bytes = 0;
    }
    /* Either we see that raft waits, or raft sees the mail before it sleeps, or the room that its lane has now. */
    bool is_wanted = atomic_fetch_add_explicit(&role->shared->wants_applied, 0, memory_order_seq_cst) != 0;
    if (is_wanted && !MUTANT(D118)) role->lanes.to_raft->posted = true;
}

/* --- alarms --- */

static void log_alarms(const struct apply_actor *role, const struct alarm_list *from, const struct alarm_list *to, const char *what)
{
    for (size_t i = 0; i < to->count; i++) {
        char text[ALARM_TEXT_BYTES];
        if (alarm_list_has(from, to->alarms[i].type, to->alarms[i].member)) continue;
        alarm_format(&to->alarms[i], text);
        LOG(WARN, what, LOG_F_TEXT("alarm", text), LOG_F_HEX("member", to->alarms[i].member), LOG_F_HEX("local-member-id", role->self));
    }
}

static void set_alarm_gauges(struct apply_actor *role)
{
    uint64_t no_space = 0, corrupt = 0;
    for (size_t i = 0; i < role->alarms->count; i++) {
        no_space += role->alarms->alarms[i].type == ALARM_NOSPACE;
        corrupt += role->alarms->alarms[i].type == ALARM_CORRUPT;
    }
    METRIC_SET(&role->shared->metrics, alarms_no_space, no_space);
    METRIC_SET(&role->shared->metrics, alarms_corrupt, corrupt);
}

static void note_alarms(struct apply_actor *role)
{
    const struct alarm_list *alarms = state_machine_alarms(role->machine);
    if (alarms == role->alarms) return;
    log_alarms(role, role->alarms, alarms, "alarm raised");
    log_alarms(role, alarms, role->alarms, "alarm disarmed");
    alarm_list_unref(role->alarms);
    role->alarms = alarm_list_ref(alarms);
    set_alarm_gauges(role);
    role->disarm_ns = role->config->auto_disarm && alarms->has_no_space ? role->now_ns : CLOCK_NEVER;
}

/* A tenth of the quota free: below the quota alone, the next put might raise the alarm again. */
static void auto_disarm(struct apply_actor *role)
{
    uint64_t bytes = 0, live_bytes = 0, quota = role->config->quota_bytes;
    mvcc_view_sizes(mvcc_view(state_machine_mvcc(role->machine)), &bytes, &live_bytes);
    role->disarm_ns = role->now_ns + PROPOSE_AGAIN_NS;
    if (!role->is_leader || bytes >= quota - quota / 10) return;
    for (size_t i = 0; i < role->alarms->count; i++) {
        struct alarm_request request = {.action = ALARM_DEACTIVATE, .alarm = role->alarms->alarms[i]};
        if (request.alarm.type != ALARM_NOSPACE) continue;
        struct buf body;
        buf_init(&body);
        alarm_put_request(&request, &body);
        propose(role, COMMAND_ALARM, buf_slice(&body));
        buf_deinit(&body);
        LOG(INFO, "there is room again: NOSPACE is disarmed", LOG_F_U64("bytes", bytes), LOG_F_U64("quota", quota));
    }
}

/* --- snapshots --- */

/* So that all snapshots ever written are less than the log: the log has outgrown the last one. And it is worth it: many entries, or
 * much of it, so that a small state with big entries does not fill the disk. */
static bool is_snapshot_due(const struct apply_actor *role)
{
    const struct apply_snapshots *snapshots = &role->snapshots;
    if (snapshots->is_taking || role->now_ns < snapshots->pin_ns) return false;
    if (state_machine_applied_index(role->machine) == 0) return false; /* the state is lost, and comes from a leader */
    if (snapshots->want > snapshots->want_taken) return true; /* a client asks: what failed before may go well now */
    if (role->now_ns < snapshots->not_before_ns) return false;
    if (snapshots->entries == 0) return false;
    if (snapshots->is_alone) return true;
    bool is_much = snapshots->entries >= role->config->snapshot_count || snapshots->log_bytes >= SNAPSHOT_LOG_BYTES;
    return is_much && snapshots->log_bytes >= snapshots->last_bytes;
}

static void take_snapshot(struct apply_actor *role)
{
    struct state_machine_image *image = state_machine_take_image(role->machine);
    if (image == NULL) { /* every pin is taken by readers */
        role->snapshots.pin_ns = role->now_ns + NS_PER_S;
        return;
    }
    state_machine_publish(role->machine);
    role->snapshots.is_taking = true;
    role->snapshots.is_taking_beside = role->snapshots.is_alone;
    role->snapshots.taking_entries = role->snapshots.entries;
    role->snapshots.taking_log_bytes = role->snapshots.log_bytes;
    role->snapshots.entries = role->snapshots.log_bytes = 0;
    role->snapshots.want_taken = role->snapshots.want;
    struct mail mail = {.kind = MAIL_TAKE, .take = {.image = image, .want = role->snapshots.want}};
    lane_must_post(role->lanes.to_snap, &mail);
}

/* --- what is to be freed --- */

static void note_memory(struct apply_actor *role, const struct mvcc_stats *stats)
{
    struct metrics *metrics = &role->shared->metrics;
    ASSERT(stats->live_bytes <= stats->bytes);
    METRIC_SET(metrics, store_bytes, stats->bytes);
    METRIC_SET(metrics, store_live_bytes, stats->live_bytes);
    METRIC_SET(metrics, store_keys, stats->keys);
    METRIC_SET(metrics, store_live_keys, stats->live_keys);
    METRIC_SET(metrics, store_versions, stats->versions);
    METRIC_SET(metrics, puts, stats->puts);
    METRIC_SET(metrics, deletes, stats->deletes);
    METRIC_SET(metrics, put_bytes, stats->put_bytes);
    METRIC_SET(metrics, compacted, stats->compacted);
    METRIC_SET(metrics, pins, stats->pins);
    METRIC_SET(metrics, leases, lease_set_count(state_machine_leases(role->machine)));
    METRIC_SET(metrics, bags_outstanding, stats->bags_outstanding);
}

static void free_garbage(struct apply_actor *role)
{
    struct mvcc *mvcc = state_machine_mvcc(role->machine);
    role->more_to_free = false;
    mvcc_publish(mvcc); /* what the last step freed: the quota asks the view */
    apply_compaction_step(&role->compaction, mvcc, role->now_ns, &role->shared->metrics);
    role->more_to_free = mvcc_reclaim_step(mvcc, RECLAIM_BUDGET) || role->more_to_free;
    role->more_to_free = state_machine_discard_step(role->machine, DISCARD_BUDGET) || role->more_to_free;
    if (mvcc_is_unpublished(mvcc)) role->more_to_free = true;
    struct mvcc_stats stats;
    mvcc_get_stats(mvcc, &stats);
    note_memory(role, &stats);
    role->free_ns = stats.bags_outstanding > 0 ? role->now_ns + FREE_AGAIN_NS : CLOCK_NEVER;
    if (role->compaction.next_ns < role->free_ns) role->free_ns = role->compaction.next_ns;
    apply_compaction_answer(&role->compaction, mvcc, role->is_draining, role->lanes.to_net);
}

/* --- what is missing in the state --- */

static void propose_attributes(struct apply_actor *role)
{
    struct buf attributes, body;
    buf_init(&attributes);
    buf_init(&body);
    buf_put_pb_bytes(&attributes, 1, slice_from_string(role->config->name));
    for (const char *at = role->config->advertise_client_urls; *at != '\0';) {
        size_t size = strcspn(at, ",");
        buf_put_pb_bytes(&attributes, 2, slice_make(at, size));
        at += size + (at[size] == ',');
    }
    buf_put_pb_varint(&body, 1, role->self);
    buf_put_pb_bytes(&body, 2, buf_slice(&attributes));
    propose(role, COMMAND_CLUSTER_MEMBER_ATTR_SET, buf_slice(&body));
    buf_deinit(&attributes);
    buf_deinit(&body);
}

static bool has_own_attributes(const struct apply_actor *role, const struct cluster_member *member)
{
    if (strcmp(member->name, role->config->name) != 0) return false;
    const char *at = role->config->advertise_client_urls;
    for (size_t i = 0; i < member->client_url_count; i++) {
        size_t size = strcspn(at, ",");
        if (strlen(member->client_urls[i]) != size || memcmp(at, member->client_urls[i], size) != 0) return false;
        at += size + (at[size] == ',');
    }
    return *at == '\0';
}

static void propose_missing(struct apply_actor *role)
{
    role->propose_ns = CLOCK_NEVER;
    if (role->leader == RAFT_NONE) return;
    const struct cluster *cluster = state_machine_cluster(role->machine);
    const struct cluster_member *member = cluster_find(cluster, role->self);
    bool has_attributes = member == NULL || has_own_attributes(role, member);
    bool has_version = !role->is_leader || cluster->version[0] != '\0';
    if (!has_attributes) propose_attributes(role);
    if (!has_version) {
        struct buf body;
        buf_init(&body);
        buf_put_pb_bytes(&body, 1, slice_from_string(CLUSTER_VERSION));
        propose(role, COMMAND_CLUSTER_VERSION_SET, buf_slice(&body));
        buf_deinit(&body);
    }
    if (!has_attributes || !has_version) role->propose_ns = role->now_ns + PROPOSE_AGAIN_NS;
}

static void auto_compact(struct apply_actor *role)
{
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(role->machine));
    int64_t revision = compactor_step(&role->compactor, role->now_ns, mvcc_view_revision(view),
                                      mvcc_view_compact_revision(view), role->is_leader);
    if (revision == 0) return;
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)revision);
    propose(role, COMMAND_COMPACTION, buf_slice(&body));
    buf_deinit(&body);
    LOG(INFO, "auto compaction", LOG_F_I64("revision", revision));
}

/* --- the role --- */

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct apply_actor *role = (struct apply_actor *)actor;
    role->now_ns = now_ns;
    apply_leases_arm_step(&role->leases, state_machine_leases(role->machine), now_ns);
    drain(role);
    apply_asks_resume(role);
    publish(role);
    post_after(role);
    note_alarms(role);
    if (is_snapshot_due(role)) take_snapshot(role);
    free_garbage(role);
    if (role->disarm_ns <= now_ns) auto_disarm(role);
    if (role->propose_ns <= now_ns) propose_missing(role);
    if (compactor_deadline_ns(&role->compactor) <= now_ns) auto_compact(role);
    bool more = apply_asks_step(role);
    return more || role->more_to_free || role->compaction.next_ns <= now_ns;
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct apply_actor *role = (const struct apply_actor *)actor;
    uint64_t compact_ns = compactor_deadline_ns(&role->compactor);
    uint64_t due_ns = role->propose_ns < compact_ns ? role->propose_ns : compact_ns;
    if (role->disarm_ns < due_ns) due_ns = role->disarm_ns;
    bool is_wanted = role->snapshots.want > role->snapshots.want_taken && !role->snapshots.is_taking;
    if (is_wanted && role->snapshots.pin_ns < due_ns) due_ns = role->snapshots.pin_ns;
    uint64_t lease_ns = apply_leases_deadline_ns(&role->leases, state_machine_leases(role->machine));
    if (lease_ns < due_ns) due_ns = lease_ns;
    lease_ns = apply_asks_deadline_ns(role);
    if (lease_ns < due_ns) due_ns = lease_ns;
    return due_ns < role->free_ns ? due_ns : role->free_ns;
}

static const struct actor_table table = {.name = "kvd-apply", .is_reader = true, .may_be_lent = true, .step = step, .deadline_ns = deadline_ns};

void apply_actor_init(struct apply_actor *role, const struct apply_options *options)
{
    ASSERT(options->machine != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->config = options->config;
    role->shared = options->shared;
    role->board = options->board;
    role->machine = options->machine;
    role->self = options->self;
    role->run_id = options->run_id;
    role->now_ns = options->now_ns;
    role->applied_reported = state_machine_applied_index(options->machine);
    role->propose_ns = CLOCK_NEVER;
    role->free_ns = CLOCK_NEVER;
    role->disarm_ns = CLOCK_NEVER;
    role->alarms = alarm_list_new();
    role->snapshots = options->snapshots;
    apply_leases_init(&role->leases, options->config->election_timeout_ms * NS_PER_MS, options->config->lease_checkpoint_ns);
    list_init(&role->renewals);
    apply_compaction_init(&role->compaction);
    bool is_good = compactor_init(&role->compactor, options->config->auto_compaction_mode,
                                  options->config->auto_compaction_retention, options->now_ns);
    ASSERT(is_good); /* config_check saw it */
}

void apply_actor_deinit(struct apply_actor *role)
{
    if (role->machine == NULL) return;
    actor_deinit(&role->actor);
    apply_compaction_deinit(&role->compaction);
    alloc_free(role->after);
    alarm_list_unref(role->alarms);
    apply_asks_deinit(role);
    apply_leases_deinit(&role->leases);
    state_machine_free(role->machine);
    role->machine = NULL;
}
