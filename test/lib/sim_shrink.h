/* sim_shrink: a run that breaks an invariant, made smaller while it breaks the same one: fewer kinds of faults, fewer members and clients, less
 * time, a duller tape (tape.h). Each try runs in a forked process, one after the other, until nothing smaller breaks or the time is over.
 *
 * Owner: sim_shrink_result's reel belongs to the caller (tape_reel_free). Thread: one, and no other in the process (it forks). */
#ifndef TEST_LIB_SIM_SHRINK_H
#define TEST_LIB_SIM_SHRINK_H
#include "lib/sim_options.h"
#include "lib/tape.h"

/* How big a failing run is. */
struct sim_size {
    uint64_t events;         /* of the trace, until it broke */
    uint64_t choices, lively; /* on the tape; those that are not dull */
    uint32_t members, faults; /* kinds of faults that there are */
    uint64_t clients, ops_max, run_ns;
};
struct sim_shrink_plan {
    const struct sim_options *options; /* of the run that breaks; its reel plays, if it has one, else its seed is recorded */
    uint64_t until_ns;                 /* of clock_mono_ns */
    void (*progress)(uint64_t tries, const struct sim_size *size, const char *what, void *context); /* at each success; NULL = nobody looks */
    void *context;
};
struct sim_shrink_result {
    struct sim_options options; /* with a reel that plays */
    struct sim_size before, after;
    uint64_t tries;
    char invariant[160];        /* without the figures behind it */
};
/* False: the run as given breaks nothing. */
bool sim_shrink(const struct sim_shrink_plan *plan, struct sim_shrink_result *out_result);

/* Runs once in a process of its own: what it broke, without figures; "" if nothing. What the reel reached can be seen behind it. */
void sim_shrink_try(const struct sim_options *options, char *out_broken, size_t size, uint64_t *out_events);

#endif
