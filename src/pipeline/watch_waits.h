/* watch_waits: the watch role's streams for calls of this very member: net asks by WAIT, with the requests of a stream, and gets the first
 * frame that says something as NEWS; with it the stream is over. Every WAIT gets one NEWS: at a frame, at UNWAIT, without a leader where
 * one is wanted, at stop.
 *
 * So a waiting Lock or Observe costs a stream and a watcher or two, and its events come on the one road of all events.
 * Owner: embedded in the watch role. Thread: watch. Limits: net's waits_max. */
#ifndef PIPELINE_WATCH_WAITS_H
#define PIPELINE_WATCH_WAITS_H
#include "base/list.h"
#include "base/map.h"
#include "watch/watch.h"

struct mail;
struct watch_actor;
struct watch_waits {
    struct list all;
    struct map by_call, by_stream;
};
void watch_waits_init(struct watch_waits *waits);
void watch_waits_deinit(struct watch_waits *waits); /* streams are left to watch_free */
/* False: the mail is none of a wait's. */
bool watch_waits_mail(struct watch_actor *role, const struct mail *mail, const struct mvcc_view *view, uint64_t now_ns);
/* False: the frame is none of a wait's. */
bool watch_waits_frame(struct watch_actor *role, const struct watch_frame *frame);
void watch_waits_end_all(struct watch_actor *role, bool only_with_leader, enum err err);

#endif
