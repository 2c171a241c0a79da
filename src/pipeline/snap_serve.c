/* snap_serve: see snap_serve.h.
 *
 *   IDLE ──► OPEN ──► SIZE ──► READ ──► IDLE       CLOSE before it when too many files are open, and when nobody asks any more
 */
#include "pipeline/snap_serve.h"

#include "base/alloc.h"

void snap_serve_init(struct snap_serve *serve, struct fs *fs, const struct snapshot_dir *dir, uint64_t self)
{
    ASSERT(fs != NULL && dir != NULL && self != RAFT_NONE);
    *serve = (struct snap_serve){.io = {.fs = fs}, .dir = dir, .self = self};
}

void snap_serve_deinit(struct snap_serve *serve)
{
    if (serve->current != NULL) serve->current->file = snapshot_io_abandon(&serve->io, serve->current->file);
    ASSERT(!serve->io.in_flight);
    for (size_t i = 0; i < SNAP_SERVE_FILES; i++) fs_close(serve->io.fs, serve->files[i].file);
    blob_unref(serve->chunk);
    alloc_free(serve->path);
    *serve = (struct snap_serve){.io = {.fs = NULL}};
}

static struct snap_serve_file *find(struct snap_serve *serve, uint64_t index, uint64_t term)
{
    for (size_t i = 0; i < SNAP_SERVE_FILES; i++) {
        struct snap_serve_file *file = &serve->files[i];
        if (file->file != NULL && !file->is_suspect && file->index == index && file->term == term) return file;
    }
    return NULL;
}

static struct snap_serve_file *free_place(struct snap_serve *serve)
{
    for (size_t i = 0; i < SNAP_SERVE_FILES; i++)
        if (serve->files[i].file == NULL) return &serve->files[i];
    return NULL;
}

static uint64_t close_ns(const struct snap_serve_file *file) { return file->is_suspect ? 0 : file->asked_ns + SNAP_SERVE_HOLD_NS; }

/* The open one that is to be closed first; NULL: none is open. */
static struct snap_serve_file *oldest(const struct snap_serve *serve)
{
    const struct snap_serve_file *best = NULL;
    for (size_t i = 0; i < SNAP_SERVE_FILES; i++) {
        const struct snap_serve_file *file = &serve->files[i];
        if (file->file != NULL && (best == NULL || close_ns(file) < close_ns(best))) best = file;
    }
    return (struct snap_serve_file *)best;
}

static void suspect(struct snap_serve *serve, uint64_t index, uint64_t term)
{
    struct snap_serve_file *file = find(serve, index, term);
    if (file != NULL) file->is_suspect = true;
    serve->failures = 0;
    serve->suspect_index = index;
    serve->suspect_term = term;
}

bool snap_serve_take_suspect(struct snap_serve *serve, uint64_t *out_index, uint64_t *out_term)
{
    *out_index = serve->suspect_index;
    *out_term = serve->suspect_term;
    serve->suspect_index = serve->suspect_term = 0;
    return *out_index != 0;
}

void snap_serve_ask(struct snap_serve *serve, const struct raft_msg *msg, uint64_t now_ns)
{
    ASSERT(msg->kind == RAFT_MSG_CHUNK_GET);
    if (msg->reject) {
        suspect(serve, msg->index, msg->log_term);
        return;
    }
    struct snap_serve_file *file = find(serve, msg->index, msg->log_term);
    if (file != NULL) file->asked_ns = now_ns;
    if (serve->count == SNAP_SERVE_QUEUE) return;
    serve->questions[(serve->first + serve->count++) % SNAP_SERVE_QUEUE] =
        (struct snap_serve_question){.peer = msg->from, .index = msg->index, .term = msg->log_term, .offset = msg->hint_index};
}

uint64_t snap_serve_held_index(const struct snap_serve *serve, uint64_t now_ns)
{
    uint64_t held = 0;
    for (size_t i = 0; i < SNAP_SERVE_FILES; i++) {
        const struct snap_serve_file *file = &serve->files[i];
        if (file->file == NULL || file->is_suspect || now_ns - file->asked_ns >= SNAP_SERVE_HOLD_NS) continue;
        if (held == 0 || file->index < held) held = file->index;
    }
    return held;
}

uint64_t snap_serve_deadline_ns(const struct snap_serve *serve)
{
    const struct snap_serve_file *file = serve->phase == SNAP_SERVE_IDLE ? oldest(serve) : NULL;
    return file == NULL ? CLOCK_NEVER : close_ns(file);
}

/* Answers the question at the head. No chunk: that file is gone. */
static void answer(struct snap_serve *serve, struct blob *chunk_or_null)
{
    ASSERT(serve->count > 0 && (chunk_or_null == NULL || serve->current != NULL));
    const struct snap_serve_question *question = &serve->questions[serve->first];
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = chunk_or_null};
    struct raft_msg msg = {.kind = RAFT_MSG_CHUNK, .reject = chunk_or_null == NULL, .from = serve->self, .to = question->peer,
                           .index = question->index, .log_term = question->term, .hint_index = question->offset,
                           .commit = chunk_or_null == NULL ? 0 : serve->current->bytes, .entries = &entry, .entry_count = chunk_or_null == NULL ? 0 : 1};
    struct mail mail = {.kind = MAIL_CHUNK, .peer = {.message = mail_peer_new(&msg), .to = question->peer}};
    if (!lane_post(serve->to_peer, &mail)) mail_deinit(&mail); /* it asks again */
    if (serve->note != NULL)
        snap_metrics_sent(serve->note, &(struct snap_metrics_piece){.peer = question->peer, .index = question->index, .offset = question->offset,
                                                                    .size = chunk_or_null == NULL ? 0 : chunk_or_null->size,
                                                                    .file_bytes = msg.commit}, serve->now_ns);
    serve->first = (serve->first + 1) % SNAP_SERVE_QUEUE;
    serve->count--;
    serve->phase = SNAP_SERVE_IDLE;
    serve->current = NULL;
}

static void start(struct snap_serve *serve, struct snap_serve_file *file, enum snap_serve_phase phase, const struct fs_op *op)
{
    serve->current = file;
    serve->phase = phase;
    snapshot_io_start(&serve->io, op);
}

/* The file of the question at the head could not be read. A disk may fail once: the file is opened anew when it is asked for again. */
static void failed(struct snap_serve *serve)
{
    const struct snap_serve_question *question = &serve->questions[serve->first];
    struct snap_serve_file *file = find(serve, question->index, question->term);
    if (file != NULL) file->is_suspect = true;
    if (++serve->failures >= SNAP_SERVE_FAILURES) suspect(serve, question->index, question->term);
    answer(serve, NULL);
}

static void read_chunk(struct snap_serve *serve, struct snap_serve_file *file)
{
    const struct snap_serve_question *question = &serve->questions[serve->first];
    if (question->offset >= file->bytes) {
        answer(serve, NULL);
        return;
    }
    uint64_t left = file->bytes - question->offset;
    size_t size = left < SNAP_SERVE_CHUNK ? (size_t)left : SNAP_SERVE_CHUNK;
    serve->chunk = blob_new(size);
    start(serve, file, SNAP_SERVE_READ, &(struct fs_op){.kind = FS_PREAD, .file = file->file, .offset = question->offset, .size = size,
                                                        .memory = serve->chunk->data});
}

static void close_file(struct snap_serve *serve, struct snap_serve_file *file)
{
    ASSERT(file->file != NULL);
    start(serve, file, SNAP_SERVE_CLOSE, &(struct fs_op){.kind = FS_CLOSE, .file = file->file});
}

static void take_question(struct snap_serve *serve, uint64_t now_ns)
{
    const struct snap_serve_question *question = &serve->questions[serve->first];
    struct snap_serve_file *file = find(serve, question->index, question->term);
    if (file != NULL) {
        read_chunk(serve, file);
        return;
    }
    if (!snapshot_dir_has(serve->dir, question->index, question->term)) {
        suspect(serve, question->index, question->term);
        answer(serve, NULL);
        return;
    }
    file = free_place(serve);
    if (file == NULL) {
        close_file(serve, oldest(serve));
        return;
    }
    alloc_free(serve->path);
    serve->path = snapshot_dir_file(serve->dir, question->index, question->term, false);
    *file = (struct snap_serve_file){.index = question->index, .term = question->term, .asked_ns = now_ns};
    start(serve, file, SNAP_SERVE_OPEN, &(struct fs_op){.kind = FS_OPEN, .path = serve->path, .flags = FS_READ});
}

static void read_done(struct snap_serve *serve)
{
    struct blob *chunk = serve->chunk;
    serve->chunk = NULL;
    if (serve->io.op.error == 0 && serve->io.op.result == chunk->size) {
        serve->failures = 0;
        answer(serve, chunk);
    } else {
        failed(serve);
    }
    blob_unref(chunk);
}

static void io_done(struct snap_serve *serve)
{
    const struct fs_op *op = &serve->io.op;
    struct snap_serve_file *file = serve->current;
    switch (serve->phase) {
    case SNAP_SERVE_OPEN:
        if (op->error != 0) {
            failed(serve);
            return;
        }
        file->file = op->file;
        start(serve, file, SNAP_SERVE_SIZE, &(struct fs_op){.kind = FS_SIZE, .file = file->file});
        return;
    case SNAP_SERVE_SIZE:
        if (op->error != 0) {
            failed(serve);
            return;
        }
        file->bytes = op->result;
        break;
    case SNAP_SERVE_READ: read_done(serve); return;
    case SNAP_SERVE_CLOSE: file->file = NULL; break;
    case SNAP_SERVE_IDLE: ASSERT(serve->phase != SNAP_SERVE_IDLE);
    }
    serve->phase = SNAP_SERVE_IDLE;
    serve->current = NULL;
}

bool snap_serve_step(struct snap_serve *serve, uint64_t now_ns)
{
    bool moved = snapshot_io_is_done(&serve->io);
    serve->now_ns = now_ns;
    if (moved) io_done(serve);
    if (serve->phase != SNAP_SERVE_IDLE) return moved;
    if (serve->count > 0) {
        take_question(serve, now_ns);
        return true;
    }
    if (snap_serve_deadline_ns(serve) > now_ns) return moved;
    close_file(serve, oldest(serve));
    return true;
}
