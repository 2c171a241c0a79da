/* snap_actor: FETCH, TAKE, OFFER and chunks. See snap_actor.h. */
#include "pipeline/snap_actor.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"

#define MAILS_PER_STEP 64

static void fetch(struct snap_actor *role, const struct mail *mail)
{
    struct fetched_batch *batch = ALLOC(struct fetched_batch);
    batch->peer = mail->fetch.peer;
    batch->err = wal_fetch_read(role->fetch, mail->fetch.first_index, mail->fetch.last_index, mail->fetch.bytes_max,
                                &batch->entries, &batch->count);
    if (batch->err != ERR_OK) {
        LOG(WARN, "could not read old log entries for a follower", LOG_F_HEX("peer", batch->peer),
            LOG_F_U64("first-index", mail->fetch.first_index), LOG_F_TEXT("error", err_name(batch->err)));
    }
    struct mail answer = {.kind = MAIL_FETCHED, .fetched.batch = batch};
    lane_must_post(role->lanes.to_raft, &answer);
}

/* --- taking --- */

/* A client's stream begins with a state that is at least as new as its request. */
static void want(struct snap_actor *role)
{
    if (role->want_posted != 0 || role->streams.want == role->writer_want) return;
    role->want_posted = role->streams.want;
    struct mail mail = {.kind = MAIL_WANT, .want.number = role->want_posted};
    lane_must_post(role->lanes.to_apply, &mail); /* one under way */
}

/* There is such a file; or one that has to go first. */
static void taken_at_once(struct snap_actor *role, struct state_machine_image *image, enum err err)
{
    snap_streams_taken(&role->streams, role->writer_want, image->index, image->term, err);
    state_machine_image_free(image);
    struct mail done = {.kind = MAIL_TAKEN, .taken = {.bytes = 0, .err = err}};
    lane_must_post(role->lanes.to_apply, &done);
}

static void take(struct snap_actor *role, const struct mail *mail, uint64_t now_ns)
{
    struct state_machine_image *image = mail->take.image;
    ASSERT(role->writer == NULL && mail->take.want >= role->writer_want);
    role->writer_want = mail->take.want;
    if (role->want_posted <= role->writer_want) role->want_posted = 0;
    want(role);
    bool is_there = snapshot_dir_has(role->dir, image->index, image->term);
    char *tmp_path = snapshot_dir_file(role->dir, image->index, image->term, true);
    bool is_claimed = is_there || snapshot_dir_claim(role->dir, image->index, image->term, tmp_path);
    alloc_free(tmp_path);
    if (is_there || !is_claimed) {
        taken_at_once(role, image, is_there ? ERR_OK : ERR_STOPPED);
        return;
    }
    role->writer_start_ns = now_ns;
    role->writer_syncs = role->writer_busy_ns = role->writer_synced_ns = 0;
    role->writer_log_bytes = METRIC_GET(&role->shared->metrics, wal_bytes);
    role->writer = snapshot_writer_new(&(struct snapshot_writer_options){.fs = role->fs, .directory = role->dir->path,
                                                                         .member_id = role->self,
                                                                         .rate_bytes = role->config->snapshot_rate_bytes,
                                                                         .unsafe_no_fsync = role->config->unsafe_no_fsync || MUTANT(D73),
                                                                         .failed_syncs = &role->dir->failed_syncs},
                                       image);
}

/* The log is kept back to the older of the two newest snapshots, and to the one that somebody is getting now. */
static uint64_t kept_index(const struct snap_actor *role, uint64_t now_ns)
{
    const struct snapshot_dir_entry *older = snapshot_dir_good(role->dir, MUTANT(D72) ? 0 : 1);
    uint64_t index = older == NULL ? 0 : older->index;
    uint64_t held = snap_serve_held_index(&role->serve, now_ns);
    return held != 0 && held < index ? held : index;
}

static void taken(struct snap_actor *role, uint64_t now_ns)
{
    struct snapshot_writer_stats stats;
    uint64_t index = snapshot_writer_index(role->writer), term = snapshot_writer_term(role->writer);
    uint64_t busy_ns = role->writer_busy_ns > role->writer_synced_ns ? role->writer_busy_ns - role->writer_synced_ns : 0;
    snapshot_writer_get_stats(role->writer, &stats);
    snapshot_dir_add(role->dir, index, term);
    snapshot_dir_purge(role->dir, role->config->max_snapshots);
    METRIC_ADD(&role->shared->metrics, snapshots_taken, 1);
    METRIC_SET(&role->shared->metrics, snapshot_bytes, stats.bytes);
    metrics_observe(&role->shared->metrics.snapshot_written, METRICS_FROM_10MS, now_ns - role->writer_start_ns);
    metrics_observe(&role->shared->metrics.snapshot_saved, METRICS_FROM_1MS, now_ns - role->writer_start_ns);
    metrics_observe(&role->shared->metrics.snapshot_encoded, METRICS_FROM_1MS, busy_ns);
    LOG(INFO, "took a snapshot", LOG_F_U64("index", index), LOG_F_U64("term", term), LOG_F_U64("bytes", stats.bytes),
        LOG_F_U64("keys", stats.keys), LOG_F_U64("took-ms", (now_ns - role->writer_start_ns) / NS_PER_MS));
    struct mail news = {.kind = MAIL_SNAPSHOT, .snapshot = {.index = index, .term = term, .kept_index = kept_index(role, now_ns)}};
    lane_must_post(role->lanes.to_raft, &news);
    snap_streams_taken(&role->streams, role->writer_want, index, term, ERR_OK);
    struct mail done = {.kind = MAIL_TAKEN, .taken = {.bytes = stats.bytes, .err = ERR_OK}};
    lane_must_post(role->lanes.to_apply, &done);
}

static void not_taken(struct snap_actor *role, uint64_t now_ns)
{
    enum err err = snapshot_writer_err(role->writer);
    METRIC_ADD(&role->shared->metrics, snapshots_failed, 1);
    if (role->anew_ns > now_ns + SNAP_AGAIN_NS) role->anew_ns = now_ns + SNAP_AGAIN_NS;
    LOG(WARN, "could not take a snapshot; the log stays until one is taken", LOG_F_U64("index", snapshot_writer_index(role->writer)),
        LOG_F_TEXT("reason", snapshot_writer_message(role->writer)));
    const char *left = snapshot_writer_left(role->writer);
    if (left != NULL) snapshot_dir_leave(role->dir, left, now_ns);
    snap_streams_taken(&role->streams, role->writer_want, 0, 0, err == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_STOPPED);
    struct mail done = {.kind = MAIL_TAKEN, .taken = {.err = err}};
    lane_must_post(role->lanes.to_apply, &done);
}

static void note_syncs(struct snap_actor *role)
{
    struct snapshot_writer_stats stats;
    snapshot_writer_get_stats(role->writer, &stats);
    if (stats.syncs > role->writer_syncs) {
        metrics_observe(&role->shared->metrics.snapshot_sync, METRICS_FROM_1MS, stats.sync_ns_last);
        role->writer_synced_ns += stats.sync_ns_last;
    }
    role->writer_syncs = stats.syncs; /* a step takes in one at most */
}

static bool write_more(struct snap_actor *role, uint64_t now_ns)
{
    if (role->writer == NULL) return false;
    snapshot_writer_keep_up(role->writer, METRIC_GET(&role->shared->metrics, wal_bytes) - role->writer_log_bytes);
    uint64_t before_ns = clock_mono_ns();
    bool moved = snapshot_writer_step(role->writer, now_ns);
    role->writer_busy_ns += clock_mono_ns() - before_ns;
    note_syncs(role);
    enum snapshot_writer_state state = snapshot_writer_state(role->writer);
    if (state == SNAPSHOT_WRITER_RUNNING) return moved;
    if (state == SNAPSHOT_WRITER_DONE) {
        taken(role, now_ns);
    } else {
        not_taken(role, now_ns);
    }
    snapshot_writer_free(role->writer);
    role->writer = NULL;
    return true;
}

/* What replaces it may have the same name: a member in the middle of it gets a whole that cannot be verified, and begins anew. */
static bool replace_suspect(struct snap_actor *role, uint64_t now_ns)
{
    uint64_t index, term;
    if (!snap_serve_take_suspect(&role->serve, &index, &term)) return false;
    if (now_ns < role->anew_ns || !snapshot_dir_mark_broken(role->dir, index, term)) return true;
    const struct snapshot_dir_entry *newest = snapshot_dir_good(role->dir, 0);
    if (newest != NULL && newest->index > index) return true;
    LOG(WARN, "a snapshot cannot be read, or came to another member damaged: taking another one", LOG_F_U64("index", index),
        LOG_F_U64("term", term), LOG_F_TEXT("directory", role->dir->path));
    role->anew_ns = now_ns + SNAP_ANEW_NS;
    role->streams.want++;
    want(role);
    return true;
}

/* --- getting --- */

static bool pull_more(struct snap_actor *role, uint64_t now_ns)
{
    bool moved = snap_pull_step(&role->pull, now_ns);
    snap_metrics_look(&role->note, &role->pull, now_ns);
    struct state_machine_loaded *loaded = snap_pull_take(&role->pull);
    if (loaded == NULL) return moved;
    snap_metrics_got(&role->note, now_ns);
    snapshot_dir_add(role->dir, loaded->index, loaded->term);
    snapshot_dir_purge(role->dir, role->config->max_snapshots);
    struct mail mail = {.kind = MAIL_RECEIVED, .loaded.state = loaded};
    lane_must_post(role->lanes.to_raft, &mail);
    return true;
}

/* --- the role --- */

static void take_raft(struct snap_actor *role, struct mail *mail)
{
    switch ((enum mail_kind)mail->kind) {
    case MAIL_FETCH: fetch(role, mail); break;
    case MAIL_UNWANTED: mail_deinit(mail); break;
    default: ASSERT(false);
    }
}

static void take_peer(struct snap_actor *role, struct mail *mail, uint64_t now_ns)
{
    ASSERT(mail->kind == MAIL_CHUNK);
    const struct raft_msg *msg = &mail->peer.message->msg;
    if (msg->kind == RAFT_MSG_CHUNK_GET) {
        snap_serve_ask(&role->serve, msg, now_ns);
    } else {
        snap_pull_chunk(&role->pull, msg, now_ns);
    }
    mail_deinit(mail);
}

static void take_net(struct snap_actor *role, const struct mail *mail)
{
    uint64_t call = mail->stream.call;
    switch ((enum mail_kind)mail->kind) {
    case MAIL_SNAP_NEXT: snap_streams_next(&role->streams, call); return;
    case MAIL_SNAP_CLOSE: snap_streams_close(&role->streams, call); return;
    default: ASSERT(mail->kind == MAIL_SNAP_OPEN);
    }
    if (snap_streams_open(&role->streams, call)) {
        want(role);
        return;
    }
    struct mail piece = {.kind = MAIL_SNAP_PIECE, .piece = {.call = call, .err = ERR_TOO_MANY_REQUESTS}};
    lane_must_post(role->lanes.to_net, &piece);
}

static bool drain(struct snap_actor *role, uint64_t now_ns)
{
    struct mail mail;
    uint32_t count = 0;
    for (uint32_t n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_peer, &mail); n++, count++) take_peer(role, &mail, now_ns);
    if (lane_take(role->lanes.from_apply, &mail)) {
        ASSERT(mail.kind == MAIL_TAKE);
        take(role, &mail, now_ns);
        count++;
    }
    for (uint32_t n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_net, &mail); n++, count++) take_net(role, &mail);
    if (lane_take(role->lanes.from_raft, &mail)) { /* one: a FETCH reads from the disk */
        take_raft(role, &mail);
        count++;
    }
    if (lane_take(role->lanes.from_raft_offers, &mail)) {
        ASSERT(mail.kind == MAIL_OFFER);
        snap_pull_offer(&role->pull, mail.offer.from, mail.offer.index, mail.offer.term, now_ns);
        count++;
    }
    actor_answer_pings(role->lanes.from_main, role->lanes.to_main);
    return count > 0;
}

/* Behind the others, who may have left it something. */
static bool clean(struct snap_actor *role, uint64_t now_ns)
{
    const char *path = NULL;
    bool moved = snapshot_dir_step(role->dir, now_ns);
    int error = snapshot_dir_take_error(role->dir, &path);
    if (error != 0) {
        LOG(WARN, "a snapshot's file that is to go cannot be removed; trying again", LOG_F_TEXT("file", path),
            LOG_F_TEXT("reason", strerror(error)));
    }
    return moved;
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct snap_actor *role = (struct snap_actor *)actor;
    bool moved = drain(role, now_ns);
    moved = write_more(role, now_ns) || moved;
    moved = snap_serve_step(&role->serve, now_ns) || moved;
    moved = replace_suspect(role, now_ns) || moved;
    moved = snap_streams_step(&role->streams) || moved;
    moved = pull_more(role, now_ns) || moved;
    return clean(role, now_ns) || moved;
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct snap_actor *role = (const struct snap_actor *)actor;
    uint64_t pull_ns = snap_pull_deadline_ns(&role->pull);
    uint64_t writer_ns = role->writer == NULL ? CLOCK_NEVER : snapshot_writer_deadline_ns(role->writer);
    uint64_t serve_ns = snap_serve_deadline_ns(&role->serve);
    uint64_t dir_ns = snapshot_dir_deadline_ns(role->dir);
    uint64_t due_ns = pull_ns < writer_ns ? pull_ns : writer_ns, later_ns = serve_ns < dir_ns ? serve_ns : dir_ns;
    return due_ns < later_ns ? due_ns : later_ns;
}

static const struct actor_table table = {.name = "kvd-snap", .is_reader = true, .is_background = true, .step = step, .deadline_ns = deadline_ns};

void snap_actor_init(struct snap_actor *role, const struct snap_options *options)
{
    ASSERT(options->fetch != NULL && options->dir != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->config = options->config;
    role->shared = options->shared;
    role->fs = options->fs;
    role->self = options->self;
    role->fetch = options->fetch;
    role->dir = options->dir;
    snapshot_dir_set_fs(role->dir, role->fs);
    snapshot_dir_purge(role->dir, role->config->max_snapshots); /* what could not be removed before the start, too */
    role->note.metrics = &role->shared->metrics;
    snap_serve_init(&role->serve, role->fs, role->dir, role->self);
    snap_streams_init(&role->streams, role->fs, role->dir);
    snap_pull_init(&role->pull, role->fs, role->dir, role->self, options->cluster_id, role->config->unsafe_no_fsync);
}

void snap_actor_connect(struct snap_actor *role)
{
    role->serve.note = &role->note;
    role->serve.to_peer = role->lanes.to_peer;
    role->pull.to_peer = role->lanes.to_peer;
    role->streams.to_net = role->lanes.to_net;
}

void snap_actor_deinit(struct snap_actor *role)
{
    if (role->fetch == NULL) return;
    actor_deinit(&role->actor);
    struct snapshot_io sweep = {.fs = role->fs, .in_flight = true};
    (void)snapshot_io_is_done(&sweep); /* what the disk has done meanwhile goes to whoever asked for it */
    snap_serve_deinit(&role->serve);
    snap_streams_deinit(&role->streams);
    snap_pull_deinit(&role->pull);
    snapshot_writer_free(role->writer);
    wal_fetch_free(role->fetch);
    role->fetch = NULL;
}
