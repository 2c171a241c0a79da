/* world_state: looks at the members' stores themselves: the hash of the past, counts, rows and changes at drawn revisions of drawn members
 * while they run, and at the end. What can be compared at once is (A2, K8: one hash per revision and mark, however far freeing has come;
 * K10: what a reader holds stays as it was until it lets go); everything is kept, for sim_looks.h to compare with the naive model.
 *
 *   a look       after a step of any role, at any depth           a hold     around a step of apply: a reader that is between two
 *   at the end   all members, many revisions, nothing is left                quiescent states meanwhile
 *
 * It draws from a stream of its own and changes nothing. Owner: embedded in the world. Thread: one. Limits: WORLD_STATE_LOOKS_MAX looks. */
#ifndef TEST_LIB_WORLD_STATE_H
#define TEST_LIB_WORLD_STATE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "lib/kv_history.h"
#include "lib/tape.h"
#include "storage/mvcc.h"

#define WORLD_STATE_LOOKS_MAX 2000
#define WORLD_STATE_CHANGES 64 /* told in one look */

struct world;
struct world_member;

/* What a store said. Numbers of keys and tokens as in kv_history. */
struct world_look {
    uint32_t member;
    int64_t revision;        /* looked at */
    int64_t compact_revision;
    int64_t newest;          /* of the view */
    uint64_t hash;           /* at `revision` */
    uint32_t first, end;     /* keys counted */
    int64_t count;
    int64_t live;            /* keys now */
    uint64_t rows_digest;    /* of all rows at `revision` */
    int64_t from;            /* changes told begin here */
    uint32_t changes;
    uint64_t changes_digest;
    int64_t versions;        /* records that are kept, once freeing is done; -1: it is not */
};
struct world_state {
    struct tape tape;
    struct world_look *looks;
    uint32_t count;
    struct map known;        /* (revision, mark) → first look there + 1 */
    int64_t *done;           /* of each look: what was freed then */
};
/* A reader: what it saw. */
struct world_state_hold {
    const struct mvcc_view *view; /* NULL = nobody holds anything */
    int64_t revision;
    uint64_t digest, hash;
};
void world_state_init(struct world *world);
void world_state_deinit(struct world *world);
/* After a step of a role of a member that is up. */
void world_state_step(struct world_member *member);
void world_state_hold(struct world_member *member, struct world_state_hold *out_hold);
void world_state_release(struct world_member *member, const struct world_state_hold *hold);
/* Nothing is left of what is over: calls, bytes, memory that nobody reads. The member has no call and had time. */
void world_state_idle(struct world_member *member);

/* A row or a change as one number, for whoever has to say the same from a model. */
uint64_t world_state_digest(uint64_t digest, const struct kv_pair *pair, int64_t sub);

#endif
