/* snap_pull: see snap_pull.h. */
#include "pipeline/snap_pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "pipeline/snap_serve.h"

#define WAIT_MIN_NS NS_PER_S           /* for a chunk that may be lost */
#define WAIT_MAX_NS (30 * NS_PER_S)
#define SLOW_NS (300 * NS_PER_MS)      /* a chunk that takes longer waits behind others: fewer are asked for at once */
#define ABANDON_NS (3 * NS_PER_S)      /* without a chunk for so long, another offer of the same leader is better */
#define ASIDE_SUFFIX ".got" SNAPSHOT_FORMAT_TMP_SUFFIX /* not the name under which this member would write the same one */
#define PAUSE_NS (2 * NS_PER_S)        /* after a failure of the disk or of the file */
#define FLUSH_BYTES (UINT64_C(16) << 20) /* between two syncs on the way: the log's own sync waits for the same disk */
#define FILE_BYTES_MAX (UINT64_C(1) << 46)

void snap_pull_init(struct snap_pull *pull, struct fs *fs, struct snapshot_dir *dir, uint64_t self, uint64_t cluster_id,
                    bool unsafe_no_fsync)
{
    ASSERT(fs != NULL && dir != NULL && self != RAFT_NONE);
    *pull = (struct snap_pull){.io = {.fs = fs, .failed_syncs = &dir->failed_syncs}, .dir = dir, .self = self, .cluster_id = cluster_id,
                               .unsafe_no_fsync = unsafe_no_fsync};
}

static void forget(struct snap_pull *pull)
{
    while (pull->count > 0) {
        blob_unref(pull->chunks[pull->first]);
        pull->first = (pull->first + 1) % SNAP_PULL_WINDOW;
        pull->count--;
    }
    snapshot_load_free(pull->load);
    pull->load = NULL;
    alloc_free(pull->tmp_path);
    alloc_free(pull->path);
    pull->tmp_path = pull->path = NULL;
    pull->from = pull->index = pull->term = 0;
    pull->complaint = NULL;
    pull->is_named = false;
    pull->file_bytes = pull->asked = pull->received = pull->written = pull->synced = pull->restarts = 0;
    pull->phase = SNAP_PULL_IDLE;
}

void snap_pull_deinit(struct snap_pull *pull)
{
    fs_close(pull->io.fs, snapshot_io_abandon(&pull->io, pull->file));
    pull->file = NULL;
    forget(pull);
    state_machine_loaded_free(pull->loaded);
    pull->loaded = NULL;
}

static void start(struct snap_pull *pull, enum snap_pull_phase phase, const struct fs_op *op)
{
    pull->phase = phase;
    snapshot_io_start(&pull->io, op);
}

/* --- giving up --- */

/* A name that could not be made durable goes, too: a start would take the file for good, and build upon it. */
static void remove_file(struct snap_pull *pull)
{
    if (pull->file != NULL) {
        start(pull, SNAP_PULL_CLOSE_BROKEN, &(struct fs_op){.kind = FS_CLOSE, .file = pull->file});
    } else {
        start(pull, SNAP_PULL_REMOVE, &(struct fs_op){.kind = FS_UNLINK, .path = pull->is_named ? pull->path : pull->tmp_path});
    }
}

static void fail(struct snap_pull *pull, const char *reason, uint64_t now_ns)
{
    LOG(WARN, "could not take over the leader's snapshot; trying again", LOG_F_HEX("leader", pull->from), LOG_F_U64("index", pull->index),
        LOG_F_TEXT("file", pull->tmp_path), LOG_F_TEXT("reason", reason));
    pull->not_before_ns = now_ns + PAUSE_NS;
    remove_file(pull);
}

/* --- asking --- */

static char *aside(const char *path)
{
    size_t size = strlen(path) + sizeof(ASIDE_SUFFIX);
    char *name = alloc_new(size);
    snprintf(name, size, "%s" ASIDE_SUFFIX, path);
    return name;
}

/* Another offers its own: the former leader may have died, so that one chunk that is lost is enough, and nothing got is nothing lost. */
static bool is_stale(const struct snap_pull *pull, uint64_t from, uint64_t now_ns)
{
    if (pull->phase != SNAP_PULL_GET) return false;
    if (from != pull->from) return pull->received == 0 || pull->is_overdue;
    uint64_t patience_ns = pull->wait_ns > ABANDON_NS ? pull->wait_ns : ABANDON_NS;
    return now_ns - pull->progress_ns > patience_ns;
}

/* The paths are the next pull's if nothing is in their way. */
static bool claim(struct snap_pull *pull, uint64_t index, uint64_t term)
{
    pull->path = snapshot_dir_file(pull->dir, index, term, false);
    pull->tmp_path = aside(pull->path);
    if (snapshot_dir_claim(pull->dir, index, term, pull->tmp_path)) return true;
    alloc_free(pull->path);
    alloc_free(pull->tmp_path);
    pull->path = pull->tmp_path = NULL;
    return false;
}

void snap_pull_offer(struct snap_pull *pull, uint64_t from, uint64_t index, uint64_t term, uint64_t now_ns)
{
    ASSERT(from != RAFT_NONE && index > 0);
    bool is_other = pull->index != index || pull->term != term || pull->from != from;
    if (is_other && is_stale(pull, from, now_ns) && !pull->io.in_flight && !pull->io.is_done) {
        fail(pull, "its sender does not answer any more, another one is offered", now_ns);
        pull->not_before_ns = now_ns; /* the offer comes again, and nothing speaks against it */
        return;
    }
    if (pull->phase != SNAP_PULL_IDLE || now_ns < pull->not_before_ns || !claim(pull, index, term)) return;
    pull->from = from;
    pull->index = index;
    pull->term = term;
    pull->progress_ns = now_ns;
    pull->is_overdue = false;
    pull->window = 1;
    pull->wait_ns = WAIT_MIN_NS;
    LOG(INFO, "the log that this member needs is gone: getting the leader's snapshot", LOG_F_HEX("leader", from), LOG_F_U64("index", index),
        LOG_F_U64("term", term));
    start(pull, SNAP_PULL_OPEN, &(struct fs_op){.kind = FS_OPEN, .path = pull->tmp_path, .flags = FS_WRITE | FS_CREATE | FS_TRUNC});
}

static uint64_t *asked_ns(struct snap_pull *pull, uint64_t offset)
{
    return &pull->asked_ns[offset / SNAP_SERVE_CHUNK % SNAP_PULL_WINDOW];
}

static void post(struct snap_pull *pull, uint64_t offset, bool is_damaged)
{
    struct raft_msg msg = {.kind = RAFT_MSG_CHUNK_GET, .from = pull->self, .to = pull->from, .index = pull->index,
                           .log_term = pull->term, .hint_index = offset, .reject = is_damaged};
    struct mail mail = {.kind = MAIL_CHUNK, .peer = {.message = mail_peer_new(&msg), .to = pull->from}};
    if (!lane_post(pull->to_peer, &mail)) mail_deinit(&mail); /* as if it were lost on its way */
}

static void ask(struct snap_pull *pull, uint64_t now_ns)
{
    post(pull, pull->asked, false);
    if (pull->asked == pull->received) pull->waiting_ns = now_ns;
    *asked_ns(pull, pull->asked) = now_ns;
    pull->asked += SNAP_SERVE_CHUNK;
}

/* Until the size is told, the first chunk only. */
static bool ask_more(struct snap_pull *pull, uint64_t now_ns)
{
    bool moved = false;
    if (now_ns >= snap_pull_deadline_ns(pull)) {
        pull->asked = pull->received;
        pull->window = 1;
        pull->wait_ns = pull->wait_ns < WAIT_MAX_NS / 2 ? pull->wait_ns * 2 : WAIT_MAX_NS;
        pull->restarts++;
        pull->is_overdue = true;
    }
    uint64_t end = pull->file_bytes == 0 ? 1 : pull->file_bytes;
    while (pull->asked < end && pull->asked - pull->received < (uint64_t)pull->window * SNAP_SERVE_CHUNK &&
           pull->asked - pull->written < (uint64_t)SNAP_PULL_WINDOW * SNAP_SERVE_CHUNK) {
        ask(pull, now_ns);
        moved = true;
    }
    return moved;
}

/* NULL, or why this cannot be the next piece of that file. */
static const char *complaint(const struct snap_pull *pull, const struct raft_msg *msg)
{
    if (msg->reject || msg->entry_count != 1 || msg->entries[0].data == NULL) return "the sender has it no more";
    if (msg->commit == 0 || msg->commit > FILE_BYTES_MAX) return "the sender's file has no possible size";
    if (pull->file_bytes != 0 && msg->commit != pull->file_bytes) return "the sender's file changed its size";
    uint64_t left = msg->commit - pull->received;
    if (msg->entries[0].data->size != (left < SNAP_SERVE_CHUNK ? left : SNAP_SERVE_CHUNK)) return "a piece of a wrong size";
    return NULL;
}

/* A chunk of this file came: what that says about the stream. One that was asked for again counts from then: too short when the first one
 * comes late, so the wait gets shorter by halves only; from the first time on, a few cuts in a row would pass for a stream that got slow. */
static void note_speed(struct snap_pull *pull, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - *asked_ns(pull, pull->received);
    ASSERT(pull->window >= 1 && pull->window <= SNAP_PULL_WINDOW);
    if (took_ns > SLOW_NS && pull->window > 1) pull->window--;
    if (took_ns <= SLOW_NS && pull->window < SNAP_PULL_WINDOW) pull->window++;
    uint64_t wait_ns = pull->wait_ns / 2 > 2 * took_ns ? pull->wait_ns / 2 : 2 * took_ns;
    pull->wait_ns = wait_ns < WAIT_MIN_NS ? WAIT_MIN_NS : wait_ns < WAIT_MAX_NS ? wait_ns : WAIT_MAX_NS;
    pull->progress_ns = pull->waiting_ns = now_ns;
    pull->is_overdue = false;
}

void snap_pull_chunk(struct snap_pull *pull, const struct raft_msg *msg, uint64_t now_ns)
{
    ASSERT(msg->kind == RAFT_MSG_CHUNK);
    bool is_expected = (pull->phase == SNAP_PULL_GET || pull->phase == SNAP_PULL_FLUSH) && msg->from == pull->from && msg->index == pull->index &&
                       msg->log_term == pull->term && msg->hint_index == pull->received && pull->received < pull->asked;
    if (!is_expected || pull->count == SNAP_PULL_WINDOW) return;
    pull->complaint = complaint(pull, msg);
    if (pull->complaint != NULL) return; /* given up when no operation is under way */
    pull->file_bytes = msg->commit;
    pull->chunks[(pull->first + pull->count++) % SNAP_PULL_WINDOW] = blob_ref(msg->entries[0].data);
    note_speed(pull, now_ns);
    pull->received += msg->entries[0].data->size;
}

/* --- writing and loading --- */

static bool get_more(struct snap_pull *pull, uint64_t now_ns)
{
    ASSERT(pull->phase == SNAP_PULL_GET && !pull->io.in_flight);
    if (pull->complaint != NULL) {
        fail(pull, pull->complaint, now_ns);
        return true;
    }
    bool moved = ask_more(pull, now_ns);
    if (pull->written - pull->synced >= FLUSH_BYTES && !pull->unsafe_no_fsync) {
        start(pull, SNAP_PULL_FLUSH, &(struct fs_op){.kind = FS_FDATASYNC, .file = pull->file});
        return true;
    }
    if (pull->count > 0) {
        const struct blob *chunk = pull->chunks[pull->first];
        snapshot_io_start(&pull->io, &(struct fs_op){.kind = FS_PWRITE, .file = pull->file, .offset = pull->written,
                                                     .size = chunk->size, .data = chunk->data});
        return true;
    }
    if (pull->file_bytes == 0 || pull->written < pull->file_bytes) return moved;
    if (pull->unsafe_no_fsync) {
        start(pull, SNAP_PULL_CLOSE, &(struct fs_op){.kind = FS_CLOSE, .file = pull->file});
    } else {
        start(pull, SNAP_PULL_SYNC, &(struct fs_op){.kind = FS_FDATASYNC, .file = pull->file});
    }
    return true;
}

static void chunk_written(struct snap_pull *pull)
{
    struct blob *chunk = pull->chunks[pull->first];
    pull->written += chunk->size;
    pull->first = (pull->first + 1) % SNAP_PULL_WINDOW;
    pull->count--;
    blob_unref(chunk);
}

static void begin_load(struct snap_pull *pull)
{
    pull->load = snapshot_load_new(&(struct snapshot_load_options){.fs = pull->io.fs, .path = pull->tmp_path, .cluster_id = pull->cluster_id});
    pull->phase = SNAP_PULL_LOAD;
}

static bool load_more(struct snap_pull *pull, uint64_t now_ns)
{
    bool moved = snapshot_load_step(pull->load);
    if (snapshot_load_is_waiting(pull->load)) return moved;
    switch (snapshot_load_state(pull->load)) {
    case SNAPSHOT_LOAD_RUNNING: return moved;
    case SNAPSHOT_LOAD_FAILED:
        if (snapshot_load_err(pull->load) == ERR_CORRUPT && !MUTANT(D114)) post(pull, 0, true); /* or the same would come again */
        fail(pull, snapshot_load_message(pull->load), now_ns);
        return true;
    case SNAPSHOT_LOAD_DONE: break;
    }
    const struct snapshot_format_head *head = snapshot_load_head(pull->load);
    if (head->index != pull->index || head->term != pull->term) {
        fail(pull, "it is another one than was offered", now_ns);
        return true;
    }
    pull->loaded = snapshot_load_take(pull->load);
    start(pull, SNAP_PULL_RENAME, &(struct fs_op){.kind = FS_RENAME, .path = pull->tmp_path, .path2 = pull->path});
    return true;
}

static void ready(struct snap_pull *pull)
{
    LOG(INFO, "got the leader's snapshot", LOG_F_HEX("leader", pull->from), LOG_F_U64("index", pull->index),
        LOG_F_U64("bytes", pull->file_bytes), LOG_F_U64("asked-again", pull->restarts));
    pull->phase = SNAP_PULL_READY;
}

static void io_failed(struct snap_pull *pull, uint64_t now_ns)
{
    state_machine_loaded_free(pull->loaded);
    pull->loaded = NULL;
    fail(pull, strerror(pull->io.op.error), now_ns);
}

static void was_removed(struct snap_pull *pull, uint64_t now_ns)
{
    int error = pull->io.op.error;
    if (error != 0 && error != ENOENT) snapshot_dir_leave(pull->dir, pull->io.op.path, now_ns);
    forget(pull);
}

static void io_done(struct snap_pull *pull, uint64_t now_ns)
{
    bool is_removing = pull->phase == SNAP_PULL_REMOVE || pull->phase == SNAP_PULL_CLOSE_BROKEN;
    bool is_closing = pull->phase == SNAP_PULL_CLOSE || pull->phase == SNAP_PULL_CLOSE_BROKEN;
    if (is_closing) pull->file = NULL;
    if (pull->phase == SNAP_PULL_FLUSH || pull->phase == SNAP_PULL_SYNC) {
        pull->syncs++;
        pull->sync_ns_last = pull->io.op.took_ns;
    }
    if (pull->io.op.error != 0 && !is_removing) {
        io_failed(pull, now_ns);
        return;
    }
    switch (pull->phase) {
    case SNAP_PULL_OPEN:
        pull->file = pull->io.op.file;
        pull->phase = SNAP_PULL_GET;
        return;
    case SNAP_PULL_GET: chunk_written(pull); return;
    case SNAP_PULL_FLUSH:
        pull->synced = pull->written;
        pull->phase = SNAP_PULL_GET;
        return;
    case SNAP_PULL_SYNC: start(pull, SNAP_PULL_CLOSE, &(struct fs_op){.kind = FS_CLOSE, .file = pull->file}); return;
    case SNAP_PULL_CLOSE: begin_load(pull); return;
    case SNAP_PULL_RENAME:
        pull->is_named = true;
        if (pull->unsafe_no_fsync) {
            ready(pull);
        } else {
            start(pull, SNAP_PULL_SYNC_DIR, &(struct fs_op){.kind = FS_FSYNC_DIR, .path = pull->dir->path});
        }
        return;
    case SNAP_PULL_SYNC_DIR: ready(pull); return;
    case SNAP_PULL_CLOSE_BROKEN: remove_file(pull); return;
    case SNAP_PULL_REMOVE: was_removed(pull, now_ns); return;
    case SNAP_PULL_IDLE:
    case SNAP_PULL_LOAD:
    case SNAP_PULL_READY: ASSERT(false);
    }
}

bool snap_pull_step(struct snap_pull *pull, uint64_t now_ns)
{
    bool moved = snapshot_io_is_done(&pull->io);
    if (moved) io_done(pull, now_ns);
    if (pull->io.in_flight || pull->io.is_done) return moved;
    if (pull->phase == SNAP_PULL_GET) moved = get_more(pull, now_ns) || moved;
    if (pull->phase == SNAP_PULL_LOAD) moved = load_more(pull, now_ns) || moved;
    return moved;
}

uint64_t snap_pull_deadline_ns(const struct snap_pull *pull)
{
    bool is_asking = pull->phase == SNAP_PULL_GET && pull->asked > pull->received && !pull->io.in_flight;
    return is_asking ? pull->waiting_ns + pull->wait_ns : CLOCK_NEVER;
}

struct state_machine_loaded *snap_pull_take(struct snap_pull *pull)
{
    if (pull->phase != SNAP_PULL_READY) return NULL;
    struct state_machine_loaded *loaded = pull->loaded;
    pull->loaded = NULL;
    forget(pull);
    return loaded;
}
