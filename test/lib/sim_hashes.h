/* sim_hashes: a client that asks members for HashKV, whatever they are at: now, in the past, at and below the mark, in the future. A member answers
 * from what it has, also if it is cut off or far behind. What can be said at once is looked at when the answer comes:
 *   E1  compacted: only who named a revision below a mark that somebody asked for, and surely one below the mark that its member had
 *   E2  future: only who named a revision that its member had not when it was asked
 *   E3  the answer is of the revision that was named, and not older than what its member had published; its mark does not go back
 * The hashes are kept for sim_looks.h, which knows from the clients' history what they have to be (K8).
 * Owner: embedded (init). Thread: one. Limits: SIM_HASHES_MAX answers; it asks no more behind them. */
#ifndef TEST_LIB_SIM_HASHES_H
#define TEST_LIB_SIM_HASHES_H
#include "lib/kv_history.h"
#include "lib/tape.h"
#include "lib/world.h"

#define SIM_HASHES_MAX 200

struct sim_hash {
    uint32_t member;
    int64_t revision;         /* of the hash */
    int64_t compact_revision; /* 0 = never */
    uint32_t hash;
};
struct sim_hashes_counts { /* nothing but uint64_t */
    uint64_t hashes, lagging, compacted, future;
};
struct sim_hashes {
    struct world *world;
    const struct kv_history *history; /* of the clients: which marks they asked for */
    size_t history_seen;
    int64_t highest_mark;     /* of these */
    struct tape tape;
    uint32_t members, per_minute;
    bool is_waiting;
    uint64_t call;
    uint32_t member;
    int64_t asked;            /* revision; 0 = now */
    int64_t revision, mark;   /* of that member, when it was asked */
    bool lags;                /* others had more */
    struct sim_hash answers[SIM_HASHES_MAX];
    uint32_t count;
    struct sim_hashes_counts counts;
};
void sim_hashes_init(struct sim_hashes *hashes, struct world *world, const struct kv_history *history, uint64_t seed, uint32_t members, uint32_t per_minute);
/* Once in so many ns; `is_over`: no new ones. */
void sim_hashes_step(struct sim_hashes *hashes, uint64_t ns, bool is_over);

#endif
