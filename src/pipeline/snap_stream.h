/* snap_stream: snapshots for clients that ask for one (Maintenance.Snapshot).
 *
 * A stream waits for a snapshot that was taken after it asked, and is then told the file's bytes piece by piece, each when the one before
 * has left (SNAP_NEXT): a client that does not read costs an open file. The bytes are padded to whole blocks of 512, and the SHA-256 of all
 * of them follows, as the API's clients check it.
 *
 * A file that is read stays on the disk though newer ones have taken its place and its name is gone. There is one such file at a time at most:
 * when a second one goes, whoever reads the first gets ERR_SNAPSHOT_REPLACED.
 * Owner: the snap role, embedded. Thread: snap, with its fs. Limits: SNAP_STREAM_MAX streams, one read in flight.
 */
#ifndef PIPELINE_SNAP_STREAM_H
#define PIPELINE_SNAP_STREAM_H
#include "base/sha256.h"
#include "pipeline/mailbox.h"
#include "storage/snapshot_dir.h"

#define SNAP_STREAM_MAX 16
#define SNAP_STREAM_PIECE (256u << 10)
#define SNAP_STREAM_BLOCK SNAPSHOT_FORMAT_SAVED_BLOCK

enum snap_stream_phase {
    SNAP_STREAM_NONE,
    SNAP_STREAM_WAITING, /* for the snapshot with number `want`, or a later one */
    SNAP_STREAM_OPEN,    /* to be opened */
    SNAP_STREAM_SIZE,
    SNAP_STREAM_ASKED,   /* a piece is due */
    SNAP_STREAM_TOLD,    /* until the piece has left */
    SNAP_STREAM_ENDING,  /* the file is to be closed */
};
struct snap_stream {
    enum snap_stream_phase phase;
    bool is_closing;      /* its client is gone: ends when no operation of its own is under way */
    bool is_replaced;     /* its file is given up, and its client is told so when it asks for the next piece */
    uint64_t call;
    uint64_t want;
    uint64_t index, term; /* of the snapshot */
    char *path;
    struct fs_file *file;
    uint64_t file_bytes;
    uint64_t offset;
    struct sha256 *sha256;
};
struct snap_streams {
    struct snapshot_io io;
    const struct snapshot_dir *dir;
    struct lane *to_net;
    struct snap_stream streams[SNAP_STREAM_MAX];
    struct snap_stream *current; /* whose operation is under way */
    struct blob *piece;          /* being read */
    uint32_t turn;
    uint64_t want;               /* number of the last snapshot that was asked for */
};

void snap_streams_init(struct snap_streams *streams, struct fs *fs, const struct snapshot_dir *dir);
void snap_streams_deinit(struct snap_streams *streams);
/* False: too many. True: snapshot number streams->want is to be taken. */
bool snap_streams_open(struct snap_streams *streams, uint64_t call);
void snap_streams_next(struct snap_streams *streams, uint64_t call); /* the piece has left */
void snap_streams_close(struct snap_streams *streams, uint64_t call);
/* A snapshot that was asked for with number `want` is durable, or could not be taken. */
void snap_streams_taken(struct snap_streams *streams, uint64_t want, uint64_t index, uint64_t term, enum err err);
/* True if something moved. */
bool snap_streams_step(struct snap_streams *streams);

#endif
