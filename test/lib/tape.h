/* tape: the choices of a simulated run. Each comes from a seeded stream; a reel keeps what was chosen, and gives it again.
 *
 * A place on a reel holds a choice, not the number behind it, and 0 is the dull one: nothing happens, the first of many, at once (of waits
 * that come again and again: as late as may be). So a reel may be cut, or any part of it be zeros, and it is the reel of another, duller run:
 * behind its end all choices are dull. Choices stand on tracks by what they are for, each with a place of its own, so that one more on one
 * track moves nothing on the others.
 *
 * Without a reel a tape is its stream alone. Recording changes no choice.
 * Owner: a tape is plain data; tape_reel_new/free. A reel lies in memory that a forked process shares, so that what a run chose is there when
 * its process has died. Thread: one. Limits: TAPE_TRACK_MAX choices on a track; what is behind them is not kept. */
#ifndef TEST_LIB_TAPE_H
#define TEST_LIB_TAPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/rng.h"

/* Of a tape: its choices on its first track, its chances on the next one. Lanes: chances that have a track each. */
enum tape_track { TAPE_WORLD, TAPE_CLIENTS = 2, TAPE_FAULTS = 4, TAPE_FAULT_LANES = 6, TAPE_RARE_LANES = 70, TAPE_PAST = 102, TAPE_LOOKS = 104, TAPE_SAVES = 106, TAPE_STREAMS = 108,
    TAPE_WATCHES = 110, TAPE_LEASES = 112, TAPE_RENEWALS = 114, TAPE_LOCKS = 116, TAPE_QUOTA = 118,
    TAPE_HISTORY = 120, TAPE_WHO = 122, TAPE_UNLINKS = 124, TAPE_HASHES = 126, TAPE_NAMES = 128, TAPE_TRACKS = 130 };
#define TAPE_TRACK_MAX (1u << 21)

struct tape_reel;
struct tape {
    struct rng rng;
    struct tape_reel *reel; /* NULL = none; borrowed */
    uint32_t track;
};
void tape_init(struct tape *tape, uint64_t seed, struct tape_reel *reel, enum tape_track track);

/* What the stream said goes in, what holds comes out. */
uint64_t tape_reel_choice(struct tape_reel *reel, uint32_t track, uint64_t drawn, uint64_t limit, uint64_t dull);
bool tape_reel_chance(struct tape_reel *reel, uint32_t track, bool drawn);
uint64_t tape_reel_seed(struct tape_reel *reel, uint32_t track, uint64_t drawn);

static inline uint64_t tape_choose(struct tape *tape, uint64_t limit, uint64_t dull) /* in [0, limit) */
{
    uint64_t drawn = rng_below(&tape->rng, limit);
    return tape->reel == NULL ? drawn : tape_reel_choice(tape->reel, tape->track, drawn, limit, dull);
}
static inline uint64_t tape_below(struct tape *tape, uint64_t limit) { return tape_choose(tape, limit, 0); }
static inline uint64_t tape_late(struct tape *tape, uint64_t limit) { return tape_choose(tape, limit, limit - 1); }
/* Something happens, in `part` of `whole` cases; never if `part` is 0, whatever the reel says. */
static inline bool tape_chance_on(struct tape *tape, uint32_t track, uint64_t part, uint64_t whole)
{
    bool drawn = rng_below(&tape->rng, whole) < part;
    return tape->reel == NULL ? drawn : tape_reel_chance(tape->reel, track, drawn) && part > 0;
}
static inline bool tape_chance(struct tape *tape, uint64_t part, uint64_t whole) { return tape_chance_on(tape, tape->track + 1, part, whole); }
/* For a generator of somebody else; the dull ones are all different, so that no two timers are alike. */
static inline uint64_t tape_seed(struct tape *tape)
{
    uint64_t drawn = rng_next(&tape->rng);
    return tape->reel == NULL ? drawn : tape_reel_seed(tape->reel, tape->track, drawn);
}

/* --- reels --- */

struct tape_track_state {
    uint64_t *values;
    uint64_t count, at;
};
struct tape_reel {
    bool is_recording; /* else it plays */
    struct tape_track_state tracks[TAPE_TRACKS];
};
struct tape_reel *tape_reel_new(void); /* empty: plays nothing but dull choices */
void tape_reel_free(struct tape_reel *reel); /* NULL is fine */
void tape_reel_rewind(struct tape_reel *reel, bool is_recording); /* to the first place; recording forgets what was there */
void tape_reel_copy(struct tape_reel *to, const struct tape_reel *from); /* values; as if rewound to play */
void tape_reel_trim(struct tape_reel *reel);  /* nothing behind the places that were reached, and no zeros at an end */
uint64_t tape_reel_count(const struct tape_reel *reel);   /* of choices */
uint64_t tape_reel_lively(const struct tape_reel *reel);  /* of those that are not dull */

/* As lines "tape TRACK VALUE …"; "0*N" are N dull choices. Lines of one track follow each other. */
void tape_reel_print(const struct tape_reel *reel, FILE *out);
#define TAPE_LINE_MAX 256
bool tape_reel_read_line(struct tape_reel *reel, const char *line); /* behind "tape "; false: not understood */

#endif
