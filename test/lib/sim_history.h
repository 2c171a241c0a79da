/* sim_history: a client that asks for the history of keys and ranges (kvd.v1 Extra/History), page after page, each at some member, beside the
 * others. Every page is compared with the truth (world_changes) when it comes:
 *   H1  the events of the window, as they were, in order, each once over all pages, none missing but what was compacted meanwhile
 *   H2  linearizable: not older than what anybody had published when it was asked
 *   H3  compacted or future: only who named a revision that is
 * Owner: embedded (init). Thread: one. */
#ifndef TEST_LIB_SIM_HISTORY_H
#define TEST_LIB_SIM_HISTORY_H
#include "lib/tape.h"
#include "lib/world.h"

#define SIM_HISTORY_TOKEN_MAX 64

struct sim_history_counts { /* nothing but uint64_t */
    uint64_t pages, events, compacted;
};
struct sim_history {
    struct world *world;
    struct tape tape;
    uint32_t members, keys, per_minute;
    bool is_waiting;
    uint64_t call;
    /* What is asked; the next page of it with a token. */
    uint32_t first, end;     /* keys */
    bool is_open;            /* to the end of all keys */
    int64_t from, to, limit;
    bool oldest_first, keys_only, serializable;
    uint8_t token[SIM_HISTORY_TOKEN_MAX];
    size_t token_size;       /* 0 = the first page */
    /* What is known of the answer. */
    int64_t floor;           /* published when it was asked */
    int64_t last;            /* of the window; 0 = not known yet */
    size_t at;               /* in the truth: the next one to be told is there or behind it; newest first: before it */
    bool has_at;
    struct sim_history_counts counts;
};
void sim_history_init(struct sim_history *history, struct world *world, uint64_t seed, uint32_t members, uint32_t keys,
                      uint32_t per_minute);
/* Once in so many ns; `is_over`: no new ones. */
void sim_history_step(struct sim_history *history, uint64_t ns, bool is_over);

#endif
