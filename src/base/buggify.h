/* buggify: places at which the simulator makes the product do what is rare and allowed: a batch of one, a lane that is taken slowly, a
 * window of one message. Only in the build KVD_SIM; in every other BUGGIFY() is the constant false and leaves no symbol.
 *
 * For each run every site is enabled with a chance of 1/4; an enabled one fires with 5 to 25 % at each visit. All of it comes from the seed,
 * and each site has a stream of its own, so that one more visit of one changes nothing at the others. Without buggify_start nothing fires.
 *
 * Owner: nobody; the one state of the process. Thread: the simulator's. Programs with threads never start it.
 * Limits: sites as listed. A site must not change what is promised: whatever fires, the answer is one that the design allows.
 * Source: FoundationDB's BUGGIFY; reliability by simulation.
 */
#ifndef BASE_BUGGIFY_H
#define BASE_BUGGIFY_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* X(site, what the product does where it fires) */
#define BUGGIFY_SITES(X)                                                                                                                 \
    X(APPEND_ONE, "raft: one entry per append, however many wait")                                                                       \
    X(WINDOW_ONE, "raft: one message in flight to a peer")                                                                               \
    X(PROPOSE_FULL, "raft: proposals are refused as too many")                                                                           \
    X(READ_LATE, "raft: a round of the read index begins a step later")                                                                  \
    X(APPLY_ONE, "raft: one committed entry is handed out at a time")                                                                    \
    X(ACK_LATE, "raft: an answer that may leave stays for a step")                                                                       \
    X(RAFT_ONE_MAIL, "raft role: one mail of a lane per step")                                                                           \
    X(PEER_LANE_FULL, "raft role: a message to a peer finds its lane full")                                                              \
    X(CALL_LANE_FULL, "raft role: a forward or a read request finds its lane full")                                                      \
    X(APPLY_LANE_FULL, "raft role: what is for apply finds the lane full")                                                               \
    X(APPLY_PAUSE, "apply role: a view after few entries, or after none")                                                                \
    X(NET_ONE_EVENT, "net role: one event of the port per step")                                                                         \
    X(NET_ONE_MAIL, "net role: one mail of a lane per step")                                                                             \
    X(PEER_ONE_MESSAGE, "peer role: one message per frame")                                                                              \
    X(WAL_ONE_APPEND, "wal: one append per batch")                                                                                       \
    X(FETCH_ONE, "wal: one entry is read back per fetch")                                                                                \
    X(RANGE_ONE, "storage: one row per step of a range")                                                                                 \
    X(SNAPSHOT_ONE, "storage: one record is looked at per step of a snapshot")                                                            \
    X(COMPACT_ONE, "storage: one version is freed per step of compaction")                                                               \
    X(REPUBLISH, "storage: a view is published though nothing changed")                                                                  \
    X(BEGIN_ANEW, "storage: a read of now finds its revision compacted behind its first step")                                           \
    X(WATCH_FRAGMENT, "watch: a response in fragments is cut though it is small")                                                        \
    X(WATCH_ONE_REVISION, "watch: a frame ends behind one revision")                                                                     \
    X(WATCH_SWEEP_ONE, "watch role: one revision per step of a sweep")                                                                   \
    X(WATCH_ONE_EVENT, "watch role: one event of the port per step")

enum buggify_site {
#define BUGGIFY_ENUM(site, text) BUGGIFY_##site,
    BUGGIFY_SITES(BUGGIFY_ENUM)
#undef BUGGIFY_ENUM
    BUGGIFY_SITE_COUNT
};

#ifdef KVD_SIM
#define BUGGIFY(site) buggify_fires(BUGGIFY_##site)
bool buggify_fires(enum buggify_site site);
void buggify_start(uint64_t seed); /* draws which sites are enabled; the counters go on */
void buggify_stop(void);           /* nothing fires any more */
/* Has the last word at each visit while started: gets what the stream says, answers what holds. NULL = the stream alone. */
typedef bool (*buggify_judge_fn)(void *context, enum buggify_site site, bool fires);
void buggify_judge(buggify_judge_fn judge, void *context);
uint64_t buggify_visited(enum buggify_site site); /* since the process began, while started and enabled */
uint64_t buggify_fired(enum buggify_site site);
void buggify_report(struct buf *out_text);        /* a line per site: name, visits, how often it fired */
#else
#define BUGGIFY(site) ((void)BUGGIFY_##site, false)
static inline void buggify_start(uint64_t seed) { (void)seed; }
static inline void buggify_stop(void) {}
typedef bool (*buggify_judge_fn)(void *context, enum buggify_site site, bool fires);
static inline void buggify_judge(buggify_judge_fn judge, void *context) { (void)judge, (void)context; }
#endif

#endif
