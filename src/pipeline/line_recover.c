/* line_recover: see line_recover.h. */
#include "pipeline/line_recover.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/rng.h"
#include "pipeline/first_start.h"

#define BROKEN_TEXT 1024
#define UNREAD_TEXT 256
#define PUBLISH_EVERY 4096 /* entries replayed between two publishes: bounds what waits for reclamation */

struct replay {
    struct state_machine *machine;
    uint64_t self;
    struct raft_conf conf;
    uint64_t entries;
    uint64_t bytes;
};

static void replay_entry(void *context, const struct raft_entry *entry)
{
    struct replay *replay = context;
    struct slice members = slice_empty();
    if (entry->kind == RAFT_ENTRY_CONF) {
        struct raft_conf conf;
        bool is_good = raft_conf_decode(blob_slice(entry->data), &conf);
        ASSERT(is_good);
        raft_conf_deinit(&replay->conf);
        replay->conf = conf;
        members = blob_slice(conf.members);
    }
    struct state_machine_result result = {.err = ERR_OK};
    struct raft_entry empty = {.index = entry->index, .term = entry->term, .kind = RAFT_ENTRY_EMPTY};
    state_machine_apply(replay->machine, MUTANT(P28) && entry->index % 8 == 0 ? &empty : entry, members, false, &result);
    blob_unref(result.body);
    replay->bytes += RAFT_ENTRY_BYTES + (entry->data == NULL ? 0 : entry->data->size);
    if (++replay->entries % PUBLISH_EVERY != 0) return;
    state_machine_publish(replay->machine);
    (void)mvcc_compact_step(state_machine_mvcc(replay->machine), PUBLISH_EVERY);
    (void)mvcc_reclaim_step(state_machine_mvcc(replay->machine), 4 * PUBLISH_EVERY);
}

/* Only the log itself says whether this member is the only voter: wal asks when it found a suspect tail. */
static bool is_alone(void *context, struct slice bytes)
{
    const struct replay *replay = context;
    struct raft_conf conf;
    if (!raft_conf_decode(bytes, &conf)) return false;
    bool is_only = conf.voter_count == 1 && conf.outgoing_count == 0 && conf.voters[0] == replay->self;
    raft_conf_deinit(&conf);
    return is_only;
}

/* --- who we are --- */

static void make_uuid(uint8_t uuid[16])
{
    for (int i = 0; i < 16; i += 8) {
        uint64_t random = rng_seed_from_system();
        memcpy(uuid + i, &random, 8);
    }
}

/* --- the newest snapshot --- */

/* What a start that fails in the end says of them, too. There may be many, and one that the disk may yet give must not be lost among them. */
struct broken {
    char unread[UNREAD_TEXT]; /* the newest such */
    char text[BROKEN_TEXT];   /* the others, the newest first */
};

static void report_broken(void *context, const char *message, bool is_unread)
{
    struct broken *broken = context;
    size_t length = strlen(broken->text);
    bool is_first = is_unread && broken->unread[0] == '\0';
    if (is_first) snprintf(broken->unread, sizeof(broken->unread), "%s", message);
    else snprintf(broken->text + length, sizeof(broken->text) - length, "%s%s", length == 0 ? "" : ", ", message);
    LOG(WARN, "a snapshot is damaged: falling back to the one before it, or to the log", LOG_F_TEXT("found", message));
}

static bool load_snapshot(const struct line_recover_options *options, struct line_recovered *line, struct broken *broken, char *out_message,
                          size_t size)
{
    struct state_machine_loaded *loaded = NULL;
    uint64_t cluster_id = line->identity.cluster_id;
    uint64_t start_ns = clock_mono_ns();
    if (snapshot_dir_open(options->dir->fs, options->dir->snap_path, &line->snapshots, out_message, size) != ERR_OK) return false;
    enum err err = snapshot_dir_load(&line->snapshots, cluster_id, report_broken, broken, &loaded, out_message, size);
    if (err != ERR_OK) {
        snapshot_dir_close(&line->snapshots);
        return false;
    }
    if (loaded != NULL) {
        line->taken.last_bytes = loaded->file_bytes; /* what the next one is measured against */
        LOG(INFO, "loaded a snapshot", LOG_F_U64("index", loaded->index), LOG_F_U64("term", loaded->term),
            LOG_F_U64("bytes", line->taken.last_bytes), LOG_F_U64("took-ms", (clock_mono_ns() - start_ns) / NS_PER_MS));
    }
    struct cluster *nobody = cluster_decode_members(cluster_id, slice_empty());
    ASSERT(nobody != NULL);
    line->machine = state_machine_new(&(struct state_machine_options){.rcu = options->rcu, .cluster = nobody, .loaded = loaded});
    cluster_unref(nobody);
    return true;
}

/* --- the log --- */

static struct wal_options wal_options_of(const struct line_recover_options *options, const struct data_dir_identity *identity)
{
    const struct config *config = options->config;
    return (struct wal_options){
        .fs = options->wal_fs,
        .directory = options->dir->wal_path,
        .cluster_id = identity->cluster_id,
        .member_id = identity->member_id,
        .segment_bytes = config->wal_segment_bytes,
        .segment_entries_max = config->wal_segment_entries_max,
        .batch_bytes_max = 4u << 20,
        .idle_mark_ns = 100 * NS_PER_MS,
        .unsafe_no_fsync = config->unsafe_no_fsync,
    };
}

static void ignore_entry(void *context, const struct raft_entry *entry)
{
    (void)context;
    (void)entry;
}

/* Entry (1, 1) of a new log: the bootstrap configuration. A log that holds more belonged to a member that had an identity. */
static bool bootstrap_log(const struct wal_options *options, const struct cluster *cluster, char *out_message, size_t size)
{
    struct raft_conf conf;
    first_start_conf(cluster, &conf);
    struct blob *bytes = raft_conf_encode(&conf);
    struct wal *wal = NULL;
    struct wal_recovered recovered = {0};
    enum err err = wal_open(options, blob_slice(bytes), ignore_entry, NULL, &wal, &recovered);
    bool is_new = err == ERR_OK && recovered.last_index == 0;
    bool is_older = err == ERR_OK && recovered.last_index > 1;
    if (err != ERR_OK) snprintf(out_message, size, "%s", recovered.message);
    if (is_older) {
        snprintf(out_message, size, "%s: holds a log up to index %llu, but the identity of its member is missing: restore it, or "
                 "remove the log to start as a new member", options->directory, (unsigned long long)recovered.last_index);
    }
    if (is_new) {
        struct raft_entry entry = {.index = 1, .term = 1, .kind = RAFT_ENTRY_CONF, .data = bytes};
        struct wal_append append = {.sequence = 1, .hard = {.term = 1, .commit = 1}, .entries = &entry, .entry_count = 1};
        wal_append(wal, &append);
        while (wal_durable_sequence(wal) < 1) (void)wal_step(wal, clock_mono_ns());
    }
    if (err == ERR_OK) {
        wal_close(wal);
        wal_recovered_deinit(&recovered);
    }
    blob_unref(bytes);
    raft_conf_deinit(&conf);
    return err == ERR_OK && !is_older;
}

/* Snapshots without an identity are of a member that had one: its log, with its votes, would begin anew behind them. */
static bool is_without_snapshots(const struct line_recover_options *options, char *out_message, size_t size)
{
    struct snapshot_dir snapshots;
    if (snapshot_dir_open(options->dir->fs, options->dir->snap_path, &snapshots, out_message, size) != ERR_OK) return false;
    bool is_empty = snapshots.count == 0;
    snapshot_dir_close(&snapshots);
    if (!is_empty) {
        snprintf(out_message, size, "%s: holds snapshots, but the identity of their member is missing: restore it, or remove them to start as a "
                 "new member", options->dir->snap_path);
    }
    return is_empty;
}

static bool make_identity(const struct line_recover_options *options, struct data_dir_identity *out_identity,
                          char *out_message, size_t size)
{
    uint64_t self = 0;
    struct cluster *cluster = first_start_cluster(options->config, &self, out_message, size);
    if (cluster == NULL) return false;
    if (!is_without_snapshots(options, out_message, size)) {
        cluster_unref(cluster);
        return false;
    }
    *out_identity = (struct data_dir_identity){.cluster_id = cluster->id, .member_id = self, .boot_count = 1};
    make_uuid(out_identity->uuid);
    struct wal_options wal_options = wal_options_of(options, out_identity);
    /* The log first: without an identity the next start does both again. */
    bool is_good = bootstrap_log(&wal_options, cluster, out_message, size);
    if (is_good) is_good = data_dir_store_identity(options->dir, out_identity, out_message, size) == ERR_OK;
    cluster_unref(cluster);
    return is_good;
}

static bool load_identity(const struct line_recover_options *options, struct data_dir_identity *out_identity,
                          char *out_message, size_t size)
{
    enum err err = data_dir_load_identity(options->dir, out_identity, out_message, size);
    if (err == ERR_KEY_NOT_FOUND) return make_identity(options, out_identity, out_message, size);
    if (err != ERR_OK) return false;
    out_identity->boot_count++;
    return data_dir_store_identity(options->dir, out_identity, out_message, size) == ERR_OK;
}

/* --- raft --- */

static struct raft *make_raft(const struct line_recover_options *options, const struct line_recovered *line,
                              const struct wal_recovered *log, const struct replay *replay)
{
    const struct config *config = options->config;
    struct raft_options raft_options = {
        .self = line->identity.member_id,
        .election_timeout_ns = config->election_timeout_ms * NS_PER_MS,
        .heartbeat_ns = config->heartbeat_ms * NS_PER_MS,
        .pre_vote = config->pre_vote,
        .check_quorum = true,
        .inflight_messages_max = config->inflight_messages_max,
        .inflight_bytes_max = config->inflight_bytes_max,
        .inflight_partial_max = config->inflight_partial_max,
        .own_wait_entries_min = config->own_wait_entries_min,
        .message_bytes_max = config->message_bytes_max,
        .tail_bytes_max = config->tail_bytes_max,
        .uncommitted_bytes_max = config->uncommitted_bytes_max,
        .apply_bytes_max = config->apply_bytes_max,
        .seed = options->seed,
    };
    struct raft_restore restore = {
        .hard = log->hard,
        .snapshot_index = log->first_index - 1,
        .snapshot_term = log->prev_term,
        .applied_index = state_machine_applied_index(line->machine),
        .conf = replay->conf,
        .runs = log->runs,
        .run_count = log->run_count,
        .entries = log->pending,
        .entry_count = log->pending_count,
        .suspect_index = log->suspect_index,
        .suspect_term = log->suspect_term,
    };
    struct raft *raft = raft_new(&raft_options, &restore, options->now_ns);
    const struct snapshot_dir_entry *newest = snapshot_dir_good(&line->snapshots, 0);
    if (newest != NULL) raft_offer(raft, newest->index, newest->term);
    return raft;
}

static bool open_log(const struct line_recover_options *options, struct line_recovered *line, struct replay *replay,
                     struct wal_recovered *log, char *out_message, size_t size)
{
    struct wal_options wal_options = wal_options_of(options, &line->identity);
    wal_options.alone_fn = is_alone;
    wal_options.must_exist = true; /* the identity is stored only when entry 1 is durable */
    wal_options.may_ask_others = !snapshot_dir_has_unread(&line->snapshots); /* what the disk may yet give is not lost */
    wal_options.snapshot_index = state_machine_applied_index(line->machine);
    wal_options.snapshot_term = state_machine_applied_term(line->machine);
    wal_options.segments_kept_max = options->config->max_wals;
    uint64_t start_ns = clock_mono_ns();
    enum err err = wal_open(&wal_options, state_machine_conf(line->machine), replay_entry, replay, &line->wal, log);
    if (err != ERR_OK) {
        bool has_broken = line->snapshots.count > 0 && snapshot_dir_good(&line->snapshots, 0) == NULL;
        bool is_lost = log->is_without_state || has_broken;
        snprintf(out_message, size, "%s%s%s%s", log->message, is_lost ? "; no good snapshot that reaches there is in " : "",
                 is_lost ? line->snapshots.path : "",
                 is_lost ? ": put a copy of one there, or make the directory anew from a saved one (kvctl snapshot restore)" : "");
        return false;
    }
    if (replay->conf.voter_count == 0) { /* nothing was applied that says who the members are */
        bool is_good = log->conf != NULL && raft_conf_decode(blob_slice(log->conf), &replay->conf);
        ASSERT(is_good);
    }
    state_machine_publish(line->machine);
    LOG(INFO, "recovered the write-ahead log", LOG_F_U64("entries", replay->entries), LOG_F_U64("last-index", log->last_index),
        LOG_F_U64("commit-index", log->hard.commit), LOG_F_U64("term", log->hard.term),
        LOG_F_U64("took-ms", (clock_mono_ns() - start_ns) / NS_PER_MS));
    if (log->is_without_state) LOG(WARN, "the snapshots are lost: the state comes from a leader", LOG_F_TEXT("found", log->message));
    else if (log->message[0] != '\0') LOG(WARN, "the tail of the write-ahead log was damaged", LOG_F_TEXT("found", log->message));
    return true;
}

bool line_recover_state(const struct line_recover_options *options, struct line_recovered *out, char *out_message,
                  size_t message_size)
{
    struct line_recovered line = {0};
    struct wal_recovered log = {0};
    struct replay replay = {0};
    bool is_good = load_identity(options, &line.identity, out_message, message_size);
    if (!is_good) return false;
    struct broken broken = {.text = ""};
    if (!load_snapshot(options, &line, &broken, out_message, message_size)) return false;
    replay.machine = line.machine;
    if (state_machine_applied_index(line.machine) > 0) {
        is_good = raft_conf_decode(state_machine_conf(line.machine), &replay.conf);
        ASSERT(is_good);
    }
    replay.self = line.identity.member_id;
    is_good = open_log(options, &line, &replay, &log, out_message, message_size);
    if (is_good) {
        line.raft = make_raft(options, &line, &log, &replay);
        line.cluster = cluster_decode_members(line.identity.cluster_id, blob_slice(raft_conf(line.raft)->members));
        ASSERT(line.cluster != NULL);
        /* What a damaged last batch held counts as promised: whoever lost it knows, and is careful. */
        uint64_t promised = log.suspect_index > log.last_index ? log.suspect_index : log.last_index;
        line.start = (struct line_start){.term = log.hard.term, .vote = log.hard.vote, .index = promised};
        line.taken.entries = replay.entries;
        line.taken.log_bytes = replay.bytes;
        *out = line;
    } else {
        bool has_both = broken.unread[0] != '\0' && broken.text[0] != '\0', has_any = broken.unread[0] != '\0' || broken.text[0] != '\0';
        size_t length = strlen(out_message);
        if (has_any) snprintf(out_message + length, message_size - length, "; and what could stand for it cannot be used: %s%s%s", broken.unread,
                              has_both ? ", " : "", broken.text);
        rcu_wait(options->rcu); /* what the replay published before it met the damage may still be on its way back */
        state_machine_free(line.machine);
        snapshot_dir_close(&line.snapshots);
    }
    wal_recovered_deinit(&log);
    raft_conf_deinit(&replay.conf);
    return is_good;
}
