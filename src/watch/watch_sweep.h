/* watch_sweep: the part of watch_sweep.c that others of this room call. Owner, thread: watch.h. Source: watch.h. */
#ifndef WATCH_WATCH_SWEEP_H
#define WATCH_WATCH_SWEEP_H
#include "watch/watch_inner.h"

#define WATCH_CHANGE_BYTES 64 /* of a change in the store beyond key and value, about */

/* From now on the watcher is to hear of progress. */
void watch_sweep_notify(struct watch *watch, struct watcher *watcher, uint64_t now_ns);

#endif
