/* sim_watch: clients of a world that watch. Each has one stream at a time with a few watchers of every kind: single keys, ranges, prefixes, all;
 * from now, the past, the future, below the mark; filters, prev_kv, fragments, progress; some read slowly, some leave. When a stream ends, for
 * whatever reason, its client goes to some member and goes on where its watchers were.
 *
 * Every message is compared with the truth (world_changes) when it is read:
 *   W1 only what was asked for    W2, W3 in order, once    W4 a revision is whole           W5, W6 nothing is missing, over all streams of a watcher
 *   W7 progress is what was told  W8, W9 as it was         W10 nothing below its start      W11 compacted: said with the mark, and only then
 *   W12 created first, over is over                        W14 at the end all know all, and a stream that is asked says so
 * That slow clients cost nobody else anything (W13) follows from W14 while they do not read.
 * Owner: sim_watch_init/deinit. Thread: one. */
#ifndef TEST_LIB_SIM_WATCH_H
#define TEST_LIB_SIM_WATCH_H
#include "lib/tape.h"
#include "lib/world.h"
#include "lib/world_watchers.h"

#define SIM_WATCH_STREAMS_MAX 8
#define SIM_WATCH_WATCHERS 4 /* of a stream */
#define SIM_WATCH_AWAITED 64 /* answers to what a stream was asked */

struct sim_watch_options {
    uint64_t seed;
    uint32_t streams, members, keys;
    uint32_t slow_percent;     /* of the streams */
    uint64_t slow_ns;          /* between two messages that such a client takes, at most */
    uint64_t think_ns;         /* between two things that a client does, at most */
};
enum sim_watcher_state {
    SIM_WATCHER_NONE,
    SIM_WATCHER_WANTED,        /* to be asked for, on this stream or the next */
    SIM_WATCHER_ASKED,
    SIM_WATCHER_LIVE,
    SIM_WATCHER_LEAVING,       /* its end was asked for */
};
struct sim_watcher {
    enum sim_watcher_state state;
    int64_t id;
    uint32_t shape;            /* how its interval is written */
    uint32_t first, end;       /* keys */
    bool no_put, no_delete, prev_kv, fragment, progress;
    int64_t start;             /* as asked on this stream; 0 = now */
    int64_t next;              /* the first revision that it does not know all of; 0 = not known */
    size_t at;                 /* in the truth: all before is told, or does not concern it */
    bool is_inside;            /* of a revision that came in fragments */
    bool must_be_compacted;    /* it asked for less than the member had */
    uint64_t progress_count;   /* notifications since it was asked to count */
};
enum sim_awaited_kind { SIM_AWAITED_CREATE, SIM_AWAITED_REFUSAL, SIM_AWAITED_CANCEL, SIM_AWAITED_PROGRESS };
struct sim_awaited {
    enum sim_awaited_kind kind;
    uint32_t watcher;
    bool is_void;              /* no answer comes any more */
    bool was_heard;            /* by the member, which then stood: */
    struct world_view_point point;
};
struct sim_watch_stream {
    uint64_t stream;           /* 0 = none */
    uint32_t member;
    bool is_slow, requires_leader, is_ending;
    uint64_t next_ns;          /* it does something */
    uint64_t read_ns;          /* a slow one takes a message */
    struct sim_watcher watchers[SIM_WATCH_WATCHERS];
    struct sim_awaited awaited[SIM_WATCH_AWAITED]; /* in the order in which it was asked */
    uint32_t awaited_count;
    uint32_t progress_asked, progress_answered;
    bool progress_is_free;     /* it was without watchers: what was asked until then need not be answered */
    uint64_t progress_ns;      /* when it was asked last */
    int64_t progress_revision; /* of the last answer */
};
/* Nothing but uint64_t. */
struct sim_watch_counts {
    uint64_t streams, resumed, watchers, messages, events, with_previous, fragments, progress, notifications, compacted, refused, left;
};
struct sim_watch {
    struct sim_watch_options options;
    struct world *world;
    struct tape tape;
    struct sim_watch_stream streams[SIM_WATCH_STREAMS_MAX];
    uint64_t cancels;          /* that operators asked for: who is told of one was meant */
    uint64_t must_be_told;     /* of these */
    struct sim_watch_counts counts;
};
void sim_watch_init(struct sim_watch *watch, struct world *world, const struct sim_watch_options *options);
void sim_watch_deinit(struct sim_watch *watch);
/* Reads what came; asks for something new, unless `is_over`. */
void sim_watch_step(struct sim_watch *watch, bool is_over);
/* All is healed and nothing is written any more. All streams are there, read, and ask how far they are; true: all watchers know all. */
bool sim_watch_settle(struct sim_watch *watch);
/* Behind that: watchers that want notifications get one. */
void sim_watch_count_notifications(struct sim_watch *watch);
bool sim_watch_all_notified(const struct sim_watch *watch);
/* All say goodbye; true: all streams are over. */
bool sim_watch_end(struct sim_watch *watch);
void sim_watch_print(const struct sim_watch *watch); /* on stderr: who waits for what */

/* sim_watch_check.c: one message of a stream. */
void sim_watch_check(struct sim_watch *watch, struct sim_watch_stream *stream, struct slice bytes, const struct world_view_point *sent);
/* Where in the truth a revision begins. */
size_t sim_watch_place(const struct world *world, int64_t revision);
bool sim_watch_is_interval(const struct sim_watcher *watcher, struct slice key, struct slice end); /* as it was asked for */
bool sim_watch_knows_all(const struct sim_watch *watch, const struct sim_watcher *watcher);

#endif
