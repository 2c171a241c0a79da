/* snap_serve: bytes of our snapshots for members that ask for them (CHUNK_GET → CHUNK).
 *
 * Who asks says which snapshot and where in it: nothing is remembered about anybody, so a broken stream costs nothing. A file that is
 * being read stays open while somebody asks for it, even when it was purged meanwhile; after SNAP_SERVE_HOLD_NS without a question it is
 * closed, so that its room on the disk is free. A file that cannot be read SNAP_SERVE_FAILURES times in a row, or of which a member says
 * that it came damaged, is told to the role (snap_serve_take_suspect), and closed.
 * Owner: the snap role, embedded. Thread: snap, with its fs. Limits: SNAP_SERVE_QUEUE questions (more are dropped: they come again), one
 * read in flight, SNAP_SERVE_FILES open (for one more, the file that was not asked for the longest time is closed).
 */
#ifndef PIPELINE_SNAP_SERVE_H
#define PIPELINE_SNAP_SERVE_H
#include "base/clock.h"
#include "pipeline/mailbox.h"
#include "pipeline/snap_metrics.h"
#include "storage/snapshot_dir.h"

#define SNAP_SERVE_QUEUE 64
#define SNAP_SERVE_CHUNK (256u << 10)
#define SNAP_SERVE_FILES 4
#define SNAP_SERVE_FAILURES 8
#define SNAP_SERVE_HOLD_NS (30 * NS_PER_S) /* from the last question: time to load the file and to ask for the log behind it */

struct snap_serve_question {
    uint64_t peer;
    uint64_t index;
    uint64_t term;
    uint64_t offset;
};
struct snap_serve_file {
    struct fs_file *file; /* NULL = free */
    uint64_t index, term;
    uint64_t bytes;
    uint64_t asked_ns;    /* when a chunk was last asked for */
    bool is_suspect;      /* no more chunks of it: it is closed, and opened anew if it is still wanted */
};
enum snap_serve_phase { SNAP_SERVE_IDLE, SNAP_SERVE_OPEN, SNAP_SERVE_SIZE, SNAP_SERVE_READ, SNAP_SERVE_CLOSE };
struct snap_serve {
    struct snapshot_io io;
    const struct snapshot_dir *dir;
    struct lane *to_peer;
    uint64_t self;
    struct snap_serve_question questions[SNAP_SERVE_QUEUE];
    uint32_t first, count;
    enum snap_serve_phase phase;
    struct snap_serve_file files[SNAP_SERVE_FILES];
    struct snap_serve_file *current; /* not IDLE: whose operation is under way */
    char *path;
    struct blob *chunk;              /* being read */
    uint32_t failures;               /* since a chunk was read last */
    uint64_t suspect_index, suspect_term; /* the last one that was found wanting; index 0 = none since it was last taken */
    struct snap_metrics *note;       /* borrowed; NULL = nobody wants to know */
    uint64_t now_ns;
};

void snap_serve_init(struct snap_serve *serve, struct fs *fs, const struct snapshot_dir *dir, uint64_t self);
void snap_serve_deinit(struct snap_serve *serve);
void snap_serve_ask(struct snap_serve *serve, const struct raft_msg *msg, uint64_t now_ns); /* CHUNK_GET */
/* One that was asked for and is no good, if there is such a one: once. */
bool snap_serve_take_suspect(struct snap_serve *serve, uint64_t *out_index, uint64_t *out_term);
/* True if something moved. */
bool snap_serve_step(struct snap_serve *serve, uint64_t now_ns);
uint64_t snap_serve_deadline_ns(const struct snap_serve *serve);
/* The oldest snapshot that somebody is getting now: the log behind it will be asked for next. 0 = none. */
uint64_t snap_serve_held_index(const struct snap_serve *serve, uint64_t now_ns);

#endif
