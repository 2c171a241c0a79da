/* world_watch: what must hold at every step of a world, seen from outside the members: from the mail that passes between their roles, the
 * frames that leave them, and their disks (names as in the test plan: R1 …, D, K, A).
 *
 *   raft → wal     R3 log matching, R10/R11 hard state           frames out     R9 what is said is durable when the power fails
 *   raft → apply   R5, R8, own disk first, R14, one id once      apply → net    published first, one answer per call
 *   raft's step    R1, R2, R4, R7, R8, R6 (disks), R13, V5       a start        D: everything owed is there; A3: same state
 *   a start        D14 a power loss is not damage                a start        D15 nobody starts without its log
 *   time           V6: no call is open beyond its deadline       frames out     no id of a forward or a read request twice
 *                                                                frames out     D8 who lost its tail votes for whole logs only
 *
 * What a member owes (`owed`) is what it told others or its clients; a member that starts again must still have it. At chosen moments the
 * same is asked of the disks as a power loss would leave them.
 * world_watch.c has the mail and the steps, world_watch_owed.c the frames and the disks.
 * Owner: embedded in the world. Thread: one.
 */
#ifndef TEST_LIB_WORLD_WATCH_H
#define TEST_LIB_WORLD_WATCH_H
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/raft_entry.h"
#include "lib/world.h"
#include "pipeline/mail.h"

struct world;
struct world_member;

struct world_watch_seen {
    uint64_t term, previous_term, hash;
    uint64_t id;                   /* of its command, as a hash; 0 = it is none */
};
/* What is known of an index, over the whole history. */
struct world_watch_fact {
    struct world_watch_seen *seen; /* every (term) that ever stood here, with its one past */
    uint32_t seen_count;
    uint64_t term, hash;           /* of the committed entry; 0 = not committed */
    uint64_t commit_term;          /* of who was first to commit it */
    uint64_t state_hash;           /* after it; 0 = nobody was looked at here */
    int64_t revision;
};
struct world_watch {
    struct world_watch_fact *facts; /* by index */
    uint64_t fact_capacity;
    uint64_t commit_index;          /* the highest anywhere, ever */
    uint64_t *leader_of_term;
    uint64_t term_capacity;
    struct map index_of_id;         /* hash of a request id → index + 1 in the committed log */
};
struct world_watch_append {
    struct world_watch_append *next;
    uint64_t sequence;
    uint64_t reset_index; /* the log begins behind it, with a snapshot in place of all before; 0 = goes on */
    uint64_t first_index;
    uint64_t count;
    uint64_t terms[];
};
struct world_watch_log {
    uint64_t *terms; /* [1 .. last_index] */
    uint64_t last_index, capacity;
};
struct world_watch_member {
    uint64_t cluster_id;
    struct world_watch_log issued;  /* given to the wal role */
    struct world_watch_log durable; /* as the wal role says */
    struct world_watch_append *appends_first, *appends_last;
    struct raft_hard_state hard;    /* last given to the wal role */
    uint64_t durable_sequence;
    uint64_t posted_index;          /* to apply */
    uint64_t installed_index;       /* of the last snapshot that took the place of its log */
    uint64_t published_index;
    uint64_t commit_index;          /* as raft said last */
    uint64_t last_rounds[WORLD_MEMBERS_MAX];       /* to each member: of a forward or a read request that left */
    uint64_t waits_since_ns;        /* its raft role waits for the disk that long; 0 = it does not */
    uint64_t waits_index;           /* what was durable then */
    uint64_t excused_index;         /* what its damaged disk may have lost up to here is not asked of it, until it has it again */
    uint64_t leads_term, leads_last; /* leader: of which term, its last index */
    uint64_t leads_since_ns;
    uint64_t heard_ns[WORLD_MEMBERS_MAX]; /* when a frame of each came last */
    struct { uint64_t term, index, log_term; } asks; /* for votes, last: where its log ended */
    struct map floors;              /* read batch → what was committed anywhere when it was made, + 1 */
    struct {
        uint64_t term, vote, vote_term, index, index_term;
    } owed;
};

void world_watch_init(struct world *world);
void world_watch_deinit(struct world *world);
void world_watch_start(struct world_member *member);    /* it recovered */
bool world_watch_is_whole(struct world_member *member); /* nothing that it was excused from is missing any more */
void world_watch_end(struct world_member *member);      /* it died */
void world_watch_point(struct world_member *member, const char *point); /* in the middle of a role's step: a mail was posted on the lane of that name */
void world_watch_published(struct world_member *member); /* apply published its state, or recovered it */
void world_watch_raft(struct world_member *member);     /* a step of its raft role is over */
uint64_t world_watch_led(const struct world *world, uint64_t term); /* whoever led in that term, up or not; RAFT_NONE = nobody yet */
void world_watch_calls(struct world *world);             /* V6: none is open for longer than its deadline */
void world_watch_frame(struct world_member *member, struct slice frame);
/* The disks as a power loss would leave them still hold what is owed, and all that is committed is on a majority of them. */
void world_watch_disks(struct world *world);
uint64_t world_watch_state_hash(const struct world *world, uint64_t index); /* after that entry; 0 = nobody was looked at there */
uint64_t world_watch_index_of(const struct world *world, uint64_t member_id, uint64_t boot, uint64_t counter); /* 0 = nowhere */

/* Prints what is broken and aborts. */
_Noreturn void world_watch_broken(struct world *world, const char *invariant, uint64_t member, uint64_t a, uint64_t b);

/* world_trace.c: the last events, in memory that a parent process still sees when the child is dead. */
struct world_trace_event {
    const char *what;
    uint64_t now_ns, member, a, b;
};
#define WORLD_TRACE_EVENTS 400
struct world_trace {
    uint64_t count;
    uint64_t seed;      /* of whoever runs seeds */
    char options[4096]; /* as text */
    char broken[256];
    struct world_trace_event events[WORLD_TRACE_EVENTS];
};
struct world_trace *world_trace(void);             /* the one in use; at first one of this process alone */
void world_trace_use(struct world_trace *trace);   /* from now on; borrowed: memory that the parent sees, too */
void world_trace_print(const struct world_trace *trace, uint32_t events_max);

#endif
