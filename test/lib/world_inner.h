/* world_inner: what the parts of a world share. For test/lib/world*.c only. */
#ifndef TEST_LIB_WORLD_INNER_H
#define TEST_LIB_WORLD_INNER_H
#include <setjmp.h>

#include "base/clock.h"
#include "lib/fs_sim.h"
#include "lib/tape.h"
#include "lib/world.h"
#include "lib/world_alarms.h"
#include "lib/world_leases.h"
#include "lib/world_locks.h"
#include "lib/world_state.h"
#include "lib/world_watch.h"
#include "lib/world_watchers.h"
#include "pipeline/line.h"

#define WORLD_EVENTS_MAX 8192
#define WORLD_LOST_MAX 512 /* those that are to go, too */

struct world_flip {
    char path[128];
    uint64_t offset;
    uint8_t mask;
};

struct world_call {
    bool is_over, died;
    bool is_slow;          /* its client reads a message when it likes */
    bool is_lock;          /* of the Lock or Election service: many commands, one after the other */
    bool owes_sent;        /* CALL_SENT is held back: the client did not read */
    uint64_t name;         /* as the port calls it */
    uint8_t mails;         /* REPLY and FAIL that raft and apply posted for it: one at most */
    uint32_t member;
    enum err err;
    struct blob *bytes;
    uint64_t start, end;   /* moments */
    uint64_t start_ns, end_ns;
    uint64_t published_index, commit_index; /* of its member, and of anybody, when it was asked */
    bool has_no_deadline;  /* it ends when its client has read, or when nobody reads what it compacts, or waits for a disk */
    bool raises_alarm;     /* its command is an alarm, whatever it asked for */
    uint64_t boot, counter; /* of its command, or the last one; boot 0 = it never became one */
};

struct world_calls {
    struct call_port port; /* first */
    struct world_member *member;
    struct call_event events[WORLD_EVENTS_MAX];
    struct blob *bodies[WORLD_EVENTS_MAX];
    uint32_t first, count;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t generation;
    uint64_t *call_of_slot;  /* the world's number + 1 */
    struct blob *borrowed[64];
    uint32_t borrowed_count;
};

/* The stream from one member to another, with what is under way on it. */
struct world_link {
    struct list frames;
    struct list repeats;     /* what comes a second time, in no order */
    uint32_t repeat_count;
    uint64_t repeat_ns;      /* when the first of them does */
    uint32_t count;
    uint64_t last_ns;
    uint64_t next_ns;        /* what is late waits for this */
    uint64_t try_ns;         /* when the maker tries next to connect; 0 = not planned */
    uint64_t bad_ns;         /* when a stream that carries nothing any more is found broken; 0 = it is good */
    bool is_up;
    bool is_stale;           /* its other end died with its host, and nobody told */
    bool owes_sent;          /* PEER_SENT is held back: the window is full */
};
struct world_frame {
    struct list node;
    uint64_t at_ns;
    struct blob *bytes;
};
struct world_peers {
    struct peer_port port; /* first */
    struct world_member *member;
    struct peer_event events[WORLD_EVENTS_MAX];
    uint32_t first, count;
    bool wanted[WORLD_MEMBERS_MAX];
};

struct world_member {
    struct world *world;
    uint32_t number;
    uint64_t id;
    bool is_up, is_ready, host_is_down, is_drained, is_transferred, is_unwatched;
    uint64_t pause_until_ns;
    uint64_t nap_until_ns;   /* its apply role sleeps */
    uint64_t idle_until_ns;  /* no role has anything to do before; 0 = look */
    struct config config;
    char name[16];
    char peer_url[40];
    struct fs_sim_disk *disk;
    struct fs *fs, *wal_fs, *snap_fs, *work_fs;
    enum world_disk_speed speed;
    bool chores_hang;
    bool is_foreign;         /* its disk is not the one that it made its promises with */
    char refusal[160];       /* what it said last about another's hello */
    char message[512];       /* why it did not start, or stopped: its last word */
    struct { uint64_t nth; enum fs_kind kind; int error; } next_start; /* of its next start: that operation fails; nth 0 = none */
    bool start_is_armed;     /* a file operation of its start is going to fail */
    enum fs_kind start_fault;
    uint64_t start_failed;   /* of fs_sim_failed, before */
    struct data_dir dir;
    struct line line;
    struct actor main;
    struct world_calls calls;
    struct world_peers peers;
    struct world_watchers watchers;
    uint32_t running;        /* bit per role */
    uint32_t more;           /* bit per role: the last step said so */
    uint32_t quiet;          /* bit per role, and the last for main: its lanes were looked at, and nothing was posted since */
    uint32_t doom_steps;     /* killed after so many more steps; 0 = not */
    bool doom_power, doom_all;
    uint32_t failed_steps;   /* steps of its wal role since an operation failed for it, + 1; 0 = none did */
    struct {
        bool is_there;       /* in the disk, not yet met by a start */
        char path[128];
        uint64_t offset;
        uint8_t mask;
        struct world_flip lost[WORLD_LOST_MAX]; /* a bit of each snapshot besides */
        uint32_t lost_count;
        struct fs_sim_disk *whole; /* as it was before its log was lost; NULL = that is there */
    } damage;
    char damaged_snapshot[128]; /* "" = none */
    uint32_t flips;             /* ever */
    uint32_t rate_permille;  /* of its clock: it drifts */
    struct world_watch_member watch;
};

struct world {
    struct rcu rcu; /* first: the double */
    jmp_buf escape;               /* out of a step that ended in fatal() */
    bool may_escape;
    struct tape tape, unlink_tape, name_tape;
    struct world_options options;
    struct switchboard board;
    uint64_t now_ns, steps, moment, trace_hash;
    uint64_t net_next_ns;         /* nothing happens to streams before, unless net_is_stirred */
    bool net_is_stirred, is_answered;
    uint32_t depth;
    struct world_member *current; /* whose role runs: switch points stay inside one member */
    struct world_member *members;
    bool cut[WORLD_MEMBERS_MAX][WORLD_MEMBERS_MAX];
    struct world_link links[WORLD_MEMBERS_MAX][WORLD_MEMBERS_MAX];
    struct world_call *calls;
    uint64_t call_count, call_capacity, first_open_call;
    struct { struct rcu_node *node; void (*fn)(struct rcu_node *node); } *retired;
    size_t retired_count, retired_capacity;
    struct world_counts counts;
    struct world_watch watch;
    struct world_state state;
    struct world_streams streams;
    struct world_leases leases;
    struct world_alarms alarms;
    struct world_locks locks;
    char initial[512];
};

/* A member's own clock, which drifts, and back: the first moment of the world at which the member's clock shows so much. */
static inline uint64_t world_local_ns(const struct world_member *member)
{
    return member->world->now_ns / 1000 * member->rate_permille;
}
static inline uint64_t world_global_ns(const struct world_member *member, uint64_t local_ns)
{
    return local_ns == CLOCK_NEVER ? CLOCK_NEVER : (local_ns + member->rate_permille - 1) / member->rate_permille * 1000;
}
static inline void world_mix(struct world *world, uint64_t value)
{
    world->trace_hash = (world->trace_hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    world->trace_hash ^= world->trace_hash >> 29;
}
/* Something came from outside its roles: they are looked at again. */
static inline void world_wake(struct world_member *member) { member->idle_until_ns = 0; }
/* One line of the trace: kept in a ring that outlives the process (world_trace.c), mixed into the hash. `what` is a literal. */
void world_note(struct world *world, const char *what, uint64_t member, uint64_t a, uint64_t b);

/* world.c */
bool world_run_role(struct world_member *member, uint32_t role); /* false: the member died of it */
void world_grace_period(struct world *world); /* no role is in the middle of a step: every reader has passed a quiescent state */

/* world_member.c */
void world_connect(struct world_member *member);   /* it has recovered: its lanes and ports */
void world_close(struct world_member *member);     /* the process is no more */
bool world_meet_doom(struct world_member *member); /* true: it was doomed to die now (world_kill_soon), and did */

/* world_faults.c */
void world_repair(struct world_member *member);    /* the bits are put right again, as from a copy */
/* Is there another snapshot to fall back to? For one that was installed, only a newer one: the log begins behind it. */
bool world_has_other_snapshot(const struct world_member *member);

/* world_net.c */
void world_net_open(struct world_member *member);   /* ports of a member that starts */
void world_net_close(struct world_member *member);  /* it died: its streams break, what it held is dropped */
void world_net_tend(struct world *world);           /* streams come and go, frames arrive */
void world_net_free(struct world *world);
void world_net_read_all(struct world_member *member); /* slow clients, from now on */
bool world_net_has_calls(const struct world_member *member);
bool world_net_has_peers(const struct world_member *member);

/* world_disk.c: an fs whose submitted operations complete later. fs_run always completes at once. */
struct fs *world_disk_fs(struct world_member *member, bool is_late);
void world_disk_set_late(struct fs *fs, bool is_late);
void world_disk_tend(struct world_member *member);
void world_disk_settle(struct fs *fs);               /* the process is gone: all completes, now and from now on */
uint64_t world_disk_stuck_ns(const struct world_member *member); /* for how long an operation is overdue while the member runs */
uint64_t world_disk_next_ns(const struct world_member *member);
/* A start: with some luck one of its file operations is going to fail. The other: true if one has failed since, and no more will. */
void world_disk_arm_start(struct world_member *member);
bool world_disk_disarm_start(struct world_member *member);
/* The log as a power loss at this moment would leave it. */
struct world_disk_log {
    bool is_good;
    struct raft_hard_state hard;
    uint64_t last_index;
    uint64_t *terms;         /* [0 .. last_index], of what is in the log */
    uint64_t snapshot_index, snapshot_term; /* of the newest good one: 0 = none */
    bool is_suspect;         /* its end is taken for damaged */
    char message[512];
};
void world_disk_probe(struct world_member *member, const struct fs_sim_crash *crash, struct world_disk_log *out_log);
void world_disk_log_deinit(struct world_disk_log *log);

#endif
