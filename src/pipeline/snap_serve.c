/* snap_serve: see snap_serve.h.
 *
 *   IDLE ──► OPEN ──► SIZE ──► READ ──► IDLE       a question about another file goes by CLOSE first
 */
#include "pipeline/snap_serve.h"

#include "base/alloc.h"
#include "base/clock.h"

#define HOLD_NS (30 * NS_PER_S) /* from the last question: time to load the file and to ask for the log behind it */

void snap_serve_init(struct snap_serve *serve, struct fs *fs, const struct snapshot_dir *dir, uint64_t self)
{
    ASSERT(fs != NULL && dir != NULL && self != RAFT_NONE);
    *serve = (struct snap_serve){.io = {.fs = fs}, .dir = dir, .self = self};
}

void snap_serve_deinit(struct snap_serve *serve)
{
    fs_close(serve->io.fs, snapshot_io_abandon(&serve->io, serve->file));
    blob_unref(serve->chunk);
    alloc_free(serve->path);
    *serve = (struct snap_serve){.io = {.fs = NULL}};
}

void snap_serve_ask(struct snap_serve *serve, const struct raft_msg *msg, uint64_t now_ns)
{
    ASSERT(msg->kind == RAFT_MSG_CHUNK_GET);
    serve->asked_ns = now_ns;
    serve->asked_index = msg->index;
    if (serve->count == SNAP_SERVE_QUEUE) return;
    serve->questions[(serve->first + serve->count++) % SNAP_SERVE_QUEUE] =
        (struct snap_serve_question){.peer = msg->from, .index = msg->index, .term = msg->log_term, .offset = msg->hint_index};
}

uint64_t snap_serve_held_index(const struct snap_serve *serve, uint64_t now_ns)
{
    return serve->asked_ns != 0 && now_ns - serve->asked_ns < HOLD_NS ? serve->asked_index : 0;
}

/* Answers the question at the head. No chunk: that file is gone. */
static void answer(struct snap_serve *serve, struct blob *chunk_or_null)
{
    ASSERT(serve->count > 0);
    const struct snap_serve_question *question = &serve->questions[serve->first];
    struct raft_entry entry = {.kind = RAFT_ENTRY_COMMAND, .data = chunk_or_null};
    struct raft_msg msg = {.kind = RAFT_MSG_CHUNK, .reject = chunk_or_null == NULL, .from = serve->self, .to = question->peer,
                           .index = question->index, .log_term = question->term, .hint_index = question->offset,
                           .commit = serve->file_bytes, .entries = &entry, .entry_count = chunk_or_null == NULL ? 0 : 1};
    struct mail mail = {.kind = MAIL_CHUNK, .peer = {.message = mail_peer_new(&msg), .to = question->peer}};
    if (!lane_post(serve->to_peer, &mail)) mail_deinit(&mail); /* it asks again */
    serve->first = (serve->first + 1) % SNAP_SERVE_QUEUE;
    serve->count--;
    serve->phase = SNAP_SERVE_IDLE;
}

static void start(struct snap_serve *serve, enum snap_serve_phase phase, const struct fs_op *op)
{
    serve->phase = phase;
    snapshot_io_start(&serve->io, op);
}

static void read_chunk(struct snap_serve *serve)
{
    const struct snap_serve_question *question = &serve->questions[serve->first];
    if (question->offset >= serve->file_bytes) {
        answer(serve, NULL);
        return;
    }
    uint64_t left = serve->file_bytes - question->offset;
    size_t size = left < SNAP_SERVE_CHUNK ? (size_t)left : SNAP_SERVE_CHUNK;
    serve->chunk = blob_new(size);
    start(serve, SNAP_SERVE_READ, &(struct fs_op){.kind = FS_PREAD, .file = serve->file, .offset = question->offset, .size = size,
                                                  .memory = serve->chunk->data});
}

static void take_question(struct snap_serve *serve)
{
    const struct snap_serve_question *question = &serve->questions[serve->first];
    bool is_open = serve->file != NULL && serve->index == question->index && serve->term == question->term;
    if (is_open) {
        read_chunk(serve);
    } else if (!snapshot_dir_has(serve->dir, question->index, question->term)) {
        answer(serve, NULL);
    } else if (serve->file != NULL) {
        start(serve, SNAP_SERVE_CLOSE, &(struct fs_op){.kind = FS_CLOSE, .file = serve->file});
    } else {
        alloc_free(serve->path);
        serve->path = snapshot_dir_file(serve->dir, question->index, question->term, false);
        serve->index = question->index;
        serve->term = question->term;
        start(serve, SNAP_SERVE_OPEN, &(struct fs_op){.kind = FS_OPEN, .path = serve->path, .flags = FS_READ});
    }
}

static void read_done(struct snap_serve *serve)
{
    struct blob *chunk = serve->chunk;
    serve->chunk = NULL;
    bool is_good = serve->io.op.error == 0 && serve->io.op.result == chunk->size;
    answer(serve, is_good ? chunk : NULL);
    blob_unref(chunk);
}

static void io_done(struct snap_serve *serve)
{
    const struct fs_op *op = &serve->io.op;
    switch (serve->phase) {
    case SNAP_SERVE_OPEN:
        if (op->error != 0) {
            answer(serve, NULL);
            return;
        }
        serve->file = op->file;
        start(serve, SNAP_SERVE_SIZE, &(struct fs_op){.kind = FS_SIZE, .file = serve->file});
        return;
    case SNAP_SERVE_SIZE:
        serve->file_bytes = op->error == 0 ? op->result : 0;
        serve->phase = SNAP_SERVE_IDLE;
        return;
    case SNAP_SERVE_READ: read_done(serve); return;
    case SNAP_SERVE_CLOSE:
        serve->file = NULL;
        serve->phase = SNAP_SERVE_IDLE;
        return;
    case SNAP_SERVE_IDLE: ASSERT(serve->phase != SNAP_SERVE_IDLE);
    }
}

bool snap_serve_step(struct snap_serve *serve)
{
    bool moved = snapshot_io_is_done(&serve->io);
    if (moved) io_done(serve);
    if (serve->phase != SNAP_SERVE_IDLE || serve->count == 0) return moved;
    take_question(serve);
    return true;
}
