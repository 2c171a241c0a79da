/* watch: who waits for which changes, and what each is told when: streams of watchers over the history of the published view.
 *
 * A watcher is a cursor (`next`, the first revision that it has not been told) and never a queue of events. One sweep walks the new changes
 * of each view and marks the watchers that they concern; another walks those that are behind through the past, all of them at once. A
 * marked watcher waits in its stream's line until the stream takes a frame; the frame is then encoded from the history, from the cursor to
 * the view's revision, once for all watchers that send the same bytes. So live and catching up are the same code, and a client that does
 * not read costs its cursors.
 *
 *   LIVE     has all up to the live position; `next` may lie in the future
 *   MARKED   something is at `next`: in its stream's line
 *   WAITING  behind, until the sweep through the past begins anew    SWEPT  the sweep takes it along
 *
 * Owner: watch_new/_free. Thread: the watch role's. Borrowed views: one per call, of one store.
 * Limits: watchers_max and key_bytes_max over all streams (refused in the created response); answers that wait per stream: a stream that has
 * WATCH_ANSWERS_MAX of them is not asked for its next message; a frame ends with the revision that makes it WATCH_FRAME_BYTES. One
 * revision is never cut, in memory or on the wire, unless the watcher asked for fragments; whose is larger than message_bytes_max ends.
 * Source: the API's rules for watch streams; the invariants W1–W14 of the tests. */
#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H
#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/mvcc.h"

#define WATCH_ANSWERS_MAX 64
#define WATCH_FRAME_BYTES (1u << 20)
#define WATCH_TURN_BYTES (1u << 16)  /* a stream's turn: frames in a row while it takes them */

struct watch_options {
    uint64_t cluster_id, member_id; /* of headers */
    uint32_t watchers_max;
    size_t key_bytes_max;           /* of all intervals together */
    size_t fragment_bytes;          /* a response beyond it is cut for watchers that asked for fragments */
    size_t message_bytes_max;       /* a stream that would need a larger response for one revision ends; > fragment_bytes + an event */
    uint64_t progress_ns;           /* between two progress notifications of a watcher that wants them */
    uint64_t hold_bytes_max;        /* history that is held back from compaction for who is behind */
    uint64_t seed;                  /* of the jitter of progress notifications */
    uint64_t secret;                /* seed of the registry: clients must not be able to know it (watch_registry.h) */
};
struct watch;
struct watch_stream;

struct watch *watch_new(const struct watch_options *options, const struct mvcc_view *view); /* live from the view on */
void watch_free(struct watch *watch); /* closes what is open; accepts NULL */

/* --- streams --- */
/* `address` of the client, for who asks: borrowed until watch_close. */
struct watch_stream *watch_open(struct watch *watch, uint64_t name, struct slice address);
void watch_close(struct watch *watch, struct watch_stream *stream);
/* A message of the client; ERR_MALFORMED: the stream is to be ended. */
MUST_USE enum err watch_request(struct watch *watch, struct watch_stream *stream, struct slice message, const struct mvcc_view *view,
                                uint64_t now_ns);
/* What a client's own cancel does; `reason` (static, or NULL) is told with it. False: the stream has no such watcher. */
bool watch_cancel(struct watch *watch, struct watch_stream *stream, int64_t id, const struct mvcc_view *view, const char *reason);
/* The stream has taken its frame; while its turn lasts it has the next one, too. */
void watch_sent(struct watch *watch, struct watch_stream *stream);
/* The client's next message is welcome. */
bool watch_may_receive(const struct watch_stream *stream);

/* --- turns --- */
/* Goes on with the sweeps by about `budget` changes. History from `floor` on is complete in the view; who needs more is cancelled as
 * compacted. True: more to do. */
bool watch_step(struct watch *watch, const struct mvcc_view *view, int64_t floor, size_t budget, uint64_t now_ns);
bool watch_has_more(const struct watch *watch); /* the same, behind requests and frames: a watch of the past waits for a step */
struct watch_frame {
    struct watch_stream *stream;
    uint64_t name;              /* of the stream */
    struct slice head;          /* borrowed until the next call */
    struct blob *events;        /* behind the head; a reference; NULL = none */
    bool is_answer;             /* to a request: see watch_may_receive */
    bool is_progress;           /* told by itself, or because it was asked for */
    uint32_t event_count;
    enum err err;               /* not ERR_OK: no message, the stream can be told no more: watch_close it */
};
/* The next message of a stream that is not sending, streams in turn, WATCH_TURN_BYTES each; then it is sending. Takes what it cost off the budget.
 * False: none is ready, or the budget is used up (*budget = 0: there may be more). */
bool watch_next(struct watch *watch, const struct mvcc_view *view, uint64_t term, size_t *budget, struct watch_frame *out_frame);
uint64_t watch_deadline_ns(const struct watch *watch);
/* The state at this revision and all changes behind it are still needed. It may go back when a watcher of the past comes. */
int64_t watch_hold_revision(const struct watch *watch);

struct watch_stats {
    uint64_t streams, watchers, behind, key_bytes;
    uint64_t events, frames, encoded_events; /* told; sent; encoded: less than told when watchers share */
    uint64_t compacted;                      /* watchers that were cancelled so */
    uint64_t pending_events;                 /* in frames that have not left yet */
};
void watch_get_stats(const struct watch *watch, struct watch_stats *out_stats);

#endif
