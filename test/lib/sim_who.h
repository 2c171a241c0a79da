/* sim_who: an operator who asks members who is watching, page by page, and cancels watchers by the names that it was told (kvd.v1 Extra/Watchers,
 * CancelWatcher), beside the clients that watch.
 *
 *   H4  meanwhile: an answer is one, each watcher in it has a name and a place, and who is canceled is told why (sim_watch_check.c)
 *   H5  in the end, when all is quiet: the pages of a member tell exactly the watchers that its clients have, as they were asked for
 *   H6  who is canceled then is told, and told of no more
 *
 * Owner: embedded (init). Thread: one. */
#ifndef TEST_LIB_SIM_WHO_H
#define TEST_LIB_SIM_WHO_H
#include "lib/sim_watch.h"

#define SIM_WHO_MAX (SIM_WATCH_STREAMS_MAX * SIM_WATCH_WATCHERS)

struct sim_who_counts { /* nothing but uint64_t */
    uint64_t pages, cancels;
};
struct sim_who {
    struct sim_watch *watch;
    struct tape tape;
    uint32_t members, per_minute;
    bool is_waiting, is_cancel;
    uint64_t call;
    uint32_t member;           /* that was asked */
    uint64_t place;            /* of the next page; 0 = the first */
    uint64_t stream;           /* one that it was told of, at `member`; 0 = none */
    int64_t watch_id;
    struct sim_who_counts counts;
};
void sim_who_init(struct sim_who *who, struct sim_watch *watch, uint32_t per_minute);
/* Once in so many ns; `is_over`: no new ones. */
void sim_who_step(struct sim_who *who, uint64_t ns, bool is_over);
/* All is quiet, and all watchers know all: H5 of each member. Takes virtual time. */
void sim_who_check(struct sim_who *who);
/* Behind that: one watcher of each member is canceled. */
void sim_who_cancel_some(struct sim_who *who);
bool sim_who_all_told(const struct sim_who *who); /* of what was canceled */

#endif
