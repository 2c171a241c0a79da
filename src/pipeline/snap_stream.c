/* snap_stream: see snap_stream.h. */
#include "pipeline/snap_stream.h"

#include <string.h>

#include "base/alloc.h"
#include "base/mutant.h"

void snap_streams_init(struct snap_streams *streams, struct fs *fs, const struct snapshot_dir *dir)
{
    ASSERT(fs != NULL && dir != NULL);
    memset(streams, 0, sizeof(*streams));
    streams->io.fs = fs;
    streams->dir = dir;
}

static void forget(struct snap_stream *stream)
{
    alloc_free(stream->path);
    sha256_free(stream->sha256);
    *stream = (struct snap_stream){.phase = SNAP_STREAM_NONE};
}

void snap_streams_deinit(struct snap_streams *streams)
{
    if (streams->current != NULL) streams->current->file = snapshot_io_abandon(&streams->io, streams->current->file);
    for (uint32_t i = 0; i < SNAP_STREAM_MAX; i++) {
        struct snap_stream *stream = &streams->streams[i];
        if (stream->file != NULL) fs_close(streams->io.fs, stream->file);
        forget(stream);
    }
    blob_unref(streams->piece);
    streams->piece = NULL;
}

static struct snap_stream *find(struct snap_streams *streams, uint64_t call)
{
    for (uint32_t i = 0; i < SNAP_STREAM_MAX; i++) {
        struct snap_stream *stream = &streams->streams[i];
        if (stream->phase != SNAP_STREAM_NONE && !stream->is_closing && stream->call == call) return stream;
    }
    return NULL;
}

bool snap_streams_open(struct snap_streams *streams, uint64_t call)
{
    ASSERT(find(streams, call) == NULL);
    for (uint32_t i = 0; i < SNAP_STREAM_MAX; i++) {
        struct snap_stream *stream = &streams->streams[i];
        if (stream->phase != SNAP_STREAM_NONE) continue;
        *stream = (struct snap_stream){.phase = SNAP_STREAM_WAITING, .call = call, .want = ++streams->want};
        return true;
    }
    return false;
}

void snap_streams_next(struct snap_streams *streams, uint64_t call)
{
    struct snap_stream *stream = find(streams, call);
    if (stream != NULL && stream->phase == SNAP_STREAM_TOLD) stream->phase = SNAP_STREAM_ASKED;
}

void snap_streams_close(struct snap_streams *streams, uint64_t call)
{
    struct snap_stream *stream = find(streams, call);
    if (stream == NULL) return;
    stream->is_closing = true;
    if (streams->current == stream) return; /* its operation ends first */
    stream->phase = SNAP_STREAM_ENDING;
}

/* Whole blocks: what the last one lacks is zeros. */
static uint64_t padded(uint64_t bytes) { return (bytes + SNAP_STREAM_BLOCK - 1) / SNAP_STREAM_BLOCK * SNAP_STREAM_BLOCK; }

static void tell(struct snap_streams *streams, struct snap_stream *stream, struct blob *piece, enum err err, bool is_last)
{
    struct mail mail = {.kind = MAIL_SNAP_PIECE,
                        .piece = {.call = stream->call, .bytes = piece, .remaining = padded(stream->file_bytes) - stream->offset,
                                  .err = err, .is_last = is_last}};
    lane_must_post(streams->to_net, &mail); /* one piece of each stream is on its way */
    stream->phase = is_last || err != ERR_OK ? SNAP_STREAM_ENDING : SNAP_STREAM_TOLD;
}

void snap_streams_taken(struct snap_streams *streams, uint64_t want, uint64_t index, uint64_t term, enum err err)
{
    for (uint32_t i = 0; i < SNAP_STREAM_MAX; i++) {
        struct snap_stream *stream = &streams->streams[i];
        if (stream->phase != SNAP_STREAM_WAITING || (stream->want > want && !MUTANT(D74))) continue;
        if (err != ERR_OK) {
            tell(streams, stream, NULL, err, false);
            continue;
        }
        stream->index = index;
        stream->term = term;
        stream->path = snapshot_dir_file(streams->dir, index, term, false);
        stream->sha256 = sha256_new();
        stream->phase = SNAP_STREAM_OPEN;
    }
}

/* --- the file --- */

static void start(struct snap_streams *streams, struct snap_stream *stream, const struct fs_op *op)
{
    streams->current = stream;
    snapshot_io_start(&streams->io, op);
}

static void tell_sum(struct snap_streams *streams, struct snap_stream *stream)
{
    struct blob *sum = blob_new(SHA256_BYTES);
    sha256_finish(stream->sha256, sum->data);
    tell(streams, stream, sum, ERR_OK, true);
}

static void read_piece(struct snap_streams *streams, struct snap_stream *stream)
{
    if (stream->is_replaced) {
        tell(streams, stream, NULL, ERR_SNAPSHOT_REPLACED, false);
        return;
    }
    if (stream->offset >= stream->file_bytes) {
        tell_sum(streams, stream);
        return;
    }
    uint64_t left = stream->file_bytes - stream->offset;
    size_t size = left < SNAP_STREAM_PIECE ? (size_t)left : SNAP_STREAM_PIECE;
    streams->piece = blob_new(padded(size));
    memset(streams->piece->data + size, 0, streams->piece->size - size);
    start(streams, stream, &(struct fs_op){.kind = FS_PREAD, .file = stream->file, .offset = stream->offset, .size = size,
                                           .memory = streams->piece->data});
}

static void piece_done(struct snap_streams *streams, struct snap_stream *stream)
{
    struct blob *piece = streams->piece;
    streams->piece = NULL;
    if (streams->io.op.error != 0 || streams->io.op.result != streams->io.op.size || stream->is_closing) {
        blob_unref(piece);
        tell(streams, stream, NULL, ERR_STOPPED, false);
        return;
    }
    stream->offset += piece->size;
    sha256_add(stream->sha256, blob_slice(piece));
    tell(streams, stream, piece, ERR_OK, false);
}

static void io_done(struct snap_streams *streams)
{
    struct snap_stream *stream = streams->current;
    const struct fs_op *op = &streams->io.op;
    streams->current = NULL;
    if (op->kind == FS_CLOSE) stream->file = NULL;
    switch (op->kind == FS_CLOSE && stream->phase != SNAP_STREAM_ENDING ? SNAP_STREAM_TOLD : stream->phase) {
    case SNAP_STREAM_OPEN:
        if (op->error == 0) stream->file = op->file;
        if (op->error == 0) stream->phase = SNAP_STREAM_SIZE;
        else tell(streams, stream, NULL, ERR_STOPPED, false);
        break;
    case SNAP_STREAM_SIZE:
        stream->file_bytes = op->result;
        if (op->error == 0) stream->phase = SNAP_STREAM_ASKED;
        else tell(streams, stream, NULL, ERR_STOPPED, false);
        break;
    case SNAP_STREAM_ASKED: piece_done(streams, stream); break;
    case SNAP_STREAM_TOLD: break; /* its file was given up; it may have asked meanwhile */
    case SNAP_STREAM_ENDING: forget(stream); return;
    case SNAP_STREAM_NONE:
    case SNAP_STREAM_WAITING: ASSERT(false);
    }
    if (stream->is_closing) stream->phase = SNAP_STREAM_ENDING;
}

/* True if it had something to do. */
static bool serve(struct snap_streams *streams, struct snap_stream *stream)
{
    switch (stream->phase) {
    case SNAP_STREAM_OPEN: start(streams, stream, &(struct fs_op){.kind = FS_OPEN, .path = stream->path, .flags = FS_READ}); return true;
    case SNAP_STREAM_SIZE: start(streams, stream, &(struct fs_op){.kind = FS_SIZE, .file = stream->file}); return true;
    case SNAP_STREAM_ASKED: read_piece(streams, stream); return true;
    case SNAP_STREAM_ENDING:
        if (stream->file == NULL) forget(stream);
        else start(streams, stream, &(struct fs_op){.kind = FS_CLOSE, .file = stream->file});
        return true;
    case SNAP_STREAM_TOLD:
        if (!stream->is_replaced || stream->file == NULL) return false;
        start(streams, stream, &(struct fs_op){.kind = FS_CLOSE, .file = stream->file});
        return true;
    case SNAP_STREAM_NONE:
    case SNAP_STREAM_WAITING: return false;
    }
    return false;
}

static bool has_no_name(const struct snap_streams *streams, const struct snap_stream *stream)
{
    return stream->path != NULL && !snapshot_dir_has(streams->dir, stream->index, stream->term);
}

/* Of the files without a name, the newest may be read to its end. */
static void give_up_old(struct snap_streams *streams)
{
    uint64_t newest = 0;
    for (uint32_t i = 0; i < SNAP_STREAM_MAX; i++) {
        const struct snap_stream *stream = &streams->streams[i];
        if (has_no_name(streams, stream) && stream->index > newest) newest = stream->index;
    }
    for (uint32_t i = 0; newest != 0 && i < SNAP_STREAM_MAX; i++) {
        struct snap_stream *stream = &streams->streams[i];
        if (has_no_name(streams, stream) && stream->index < newest) stream->is_replaced = true;
    }
}

bool snap_streams_step(struct snap_streams *streams)
{
    bool moved = snapshot_io_is_done(&streams->io);
    if (moved) io_done(streams);
    give_up_old(streams);
    for (uint32_t n = 0; streams->current == NULL && n < SNAP_STREAM_MAX; n++) {
        streams->turn = (streams->turn + 1) % SNAP_STREAM_MAX; /* fair turns */
        moved = serve(streams, &streams->streams[streams->turn]) || moved;
    }
    return moved;
}
