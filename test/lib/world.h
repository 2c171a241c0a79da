/* world: whole members in one thread: every role of the pipeline stepped by hand over simulated disks, clock and network, from encoded
 * request bytes to encoded answers. Seeded: one seed, one history, one trace hash.
 *
 * At every post and publish another role of the member may run at once (a switch point), which shows what threads would do. Files complete
 * later, frames take time; a member can be killed (the disk keeps what was written), lose power (unsynced sectors are lost or torn), stop in
 * good order, or pause. A role runs only when the runner would run it: mail, a deadline, "more to do", an event at its port.
 * What must always hold is looked at while it runs (world_watch.h): a breach prints its name and aborts.
 *
 *   world.c         roles, time                 world_net.c    the two ports, streams and frames
 *   world_member.c  starts and ends             world_faults.c what happens to disks and files at rest
 *   world_disk.c    files that complete later   world_watch.c  the invariants, seen from outside the members
 *   world_leases.c  what the log says of leases   world_alarms.c  and of alarms
 *   world_watchers.c  the watch port, its clients' ends, and the history that streams are compared with
 *
 * Owner: world_new/world_free. Thread: one. Limits: WORLD_MEMBERS_MAX members.
 */
#ifndef TEST_LIB_WORLD_H
#define TEST_LIB_WORLD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/err.h"

#define WORLD_MEMBERS_MAX 5
struct tape_reel;

struct world_options {
    uint64_t seed;
    struct tape_reel *reel;  /* what all choices of the run go to, or come from; NULL = from the seed alone; borrowed */
    uint32_t members;
    uint32_t switch_percent; /* chance that a post runs another role at once */
    uint32_t break_permille; /* chance that a frame breaks its stream: it and all behind it are lost */
    uint64_t delay_ns;       /* of a frame, at most; 0 = 5 ms */
    uint32_t window;         /* frames under way before a sender must wait; 0 = 64 */
    uint32_t repeat_permille; /* chance that Raft's own messages of a frame come a second time, soon or much later */
    bool even_delays;        /* every frame takes delay_ns, neither more nor less */
    uint32_t nap_permille;   /* chance that the apply role is not run for a while when it could be */
    bool late_disks;         /* log files complete later */
    bool late_chores;        /* the same for segments that are prepared */
    uint32_t start_fault_permille; /* chance that a file operation fails, or a read is short, while a member starts */
    uint32_t start_cut_permille; /* chance that power is lost while a member starts */
    uint32_t flip_end_percent; /* chance that a flip hits what the log got last */
    uint32_t snap_fault_permille; /* chance that an operation on a snapshot's file fails while its member runs */
    uint32_t unlink_fault_permille; /* the same for its removal: that alone */
    uint32_t name_doom_permille; /* chance that a member dies when a snapshot has its name, which is not durable yet */
    uint32_t drift_permille; /* of the members' clocks, at most */
    uint32_t look_permille;  /* chance that a step of a member is followed by a look at its state (world_state.h) */
    uint32_t probe_percent;  /* chance that a commit is checked against what the disks would have after a power loss */
    /* The members' limits; 0 = as config derives them. */
    uint32_t calls_max, lane_calls, lane_peer, inflight_messages;
    uint64_t tail_bytes, message_bytes, inflight_bytes, apply_bytes, uncommitted_bytes, own_wait_entries, segment_bytes, segment_entries, chunk_bytes;
    uint64_t election_ms, heartbeat_ms, request_timeout_ms;
    uint64_t lease_checkpoint_ms;
    uint64_t quota_bytes;    /* of the store; 0 = off */
    bool auto_disarm;
    uint64_t snapshot_count, snapshot_catchup; /* entries between two snapshots, and kept behind one */
    uint32_t watch_streams;  /* of clients at a time (sim_watch.h); without any streams the members have no watch role */
    uint64_t watch_hold_bytes, watch_progress_ms;
    uint32_t lock_clients;   /* at a time (sim_locks.h) */
    uint32_t renew_streams;  /* of clients at a time (sim_renew.h) */
};
struct world;
struct world *world_new(const struct world_options *options);
void world_free(struct world *world);

/* Runs until `ns` of virtual time have passed. */
void world_run(struct world *world, uint64_t ns);
/* The same, but ends early behind an answer to a call. */
void world_run_to_answer(struct world *world, uint64_t ns);
uint64_t world_now_ns(const struct world *world);
struct tape_reel *world_reel(const struct world *world); /* as in its options */

/* --- faults, between two runs --- */
void world_kill(struct world *world, uint32_t member, bool power_loss);
/* The same after so many more steps of the member's roles: in the middle of a run. `all`: every member at that moment. */
void world_kill_soon(struct world *world, uint32_t member, bool power_loss, bool all, uint32_t steps);
bool world_start(struct world *world, uint32_t member); /* false: it refused to, for want of space or for a file it cannot read; down as before */
void world_stop(struct world *world, uint32_t member);     /* in good order: drain, transfer, answer the rest; takes virtual time */
void world_nap(struct world *world, uint32_t member, uint64_t ns); /* its apply role does nothing for so long */
void world_pause(struct world *world, uint32_t member, uint64_t ns);
void world_transfer(struct world *world, uint32_t member); /* asks raft to hand leadership over; ignored if it does not lead */
void world_cut(struct world *world, uint32_t from, uint32_t to, bool is_cut); /* one direction */
bool world_is_cut(const struct world *world, uint32_t from, uint32_t to);
void world_break_permille(struct world *world, uint32_t permille);
void world_quiet(struct world *world); /* from now on no stream breaks by chance, nothing comes twice, every start can read its files */
void world_hang_chores(struct world *world, uint32_t member, bool hangs); /* what the work role asks of the disk completes, or does not */
enum world_disk_speed { WORLD_DISK_FAST, WORLD_DISK_SLOW, WORLD_DISK_STUCK };
void world_disk_speed(struct world *world, uint32_t member, enum world_disk_speed speed);
void world_disk_fail(struct world *world, uint32_t member, bool fails); /* an operation that comes soon fails; false: none does */
void world_disk_room(struct world *world, uint32_t member, bool is_plenty); /* false: what is there now, and a little */

/* The nth operation of a kind (enum fs_kind) fails in the next start, whatever the options say. */
void world_fail_start(struct world *world, uint32_t member, uint32_t kind, uint64_t nth, int error);
/* The disk of a member: to look at, and while it is down to do harm to, which world_damaged tells. Its next start may refuse then. */
struct fs_sim_disk;
struct fs_sim_disk *world_disk(struct world *world, uint32_t member);
void world_damaged(struct world *world, uint32_t member);
/* Another disk for a member that is down (taken over). `is_own`: one on which all that it promised is. Otherwise nothing is asked of it any
 * more, and the others may refuse it. */
void world_give_disk(struct world *world, uint32_t member, struct fs_sim_disk *disk, bool is_own);
/* Its last word: why it did not start, or stopped. And what it said last about another's hello. */
const char *world_last_word(const struct world *world, uint32_t member);
const char *world_last_refusal(const struct world *world, uint32_t member);

/* Bits of a log file of a member that is down flip; only where enough others hold all that it holds (no two damaged members at once).
 * It must find it: refuse to start (then the bits are put right), or know what it may have lost. */
void world_flip(struct world *world, uint32_t member);
void world_lose_log(struct world *world, uint32_t member); /* no file is left in its directory, of a member that is down: it must refuse to start */
void world_lose_snapshots(struct world *world, uint32_t member); /* a bit of each of them flips, of a member that is down */

uint64_t world_member_id(const struct world *world, uint32_t member);
bool world_is_up(const struct world *world, uint32_t member);
bool world_is_paused(const struct world *world, uint32_t member);
bool world_listens(const struct world *world, uint32_t member); /* it takes calls, though it may not be ready */
bool world_is_ready(const struct world *world, uint32_t member);
int world_leader(const struct world *world); /* the member that leads in the highest term; -1 */
int world_followed_leader(const struct world *world); /* the same, if a majority follows it; -1 */
uint32_t world_followers(const struct world *world);  /* bit per member that follows it, itself included */
bool world_is_whole(struct world *world); /* nobody lacks anything that damage took */
bool world_is_tidy(const struct world *world);   /* no file of a snapshot lies on a disk that its member does not keep */
bool world_is_suspect(const struct world *world); /* somebody who is up does not know whether its log lost its tail */

/* --- calls --- */
/* A call at a member: its name; the answer belongs to the world. */
uint64_t world_call(struct world *world, uint32_t member, const char *path, struct slice request);
/* True once it is over: answered, or the member died (err = ERR_STOPPED, `died`). */
bool world_answer(struct world *world, uint64_t call, enum err *out_err, struct slice *out_bytes, bool *out_died);
/* The client of a stream reads slowly: a message leaves when it is taken. */
void world_call_slowly(struct world *world, uint64_t call);
/* Takes what waits, if something does; `is_last`: it reads on at once from now on. `is_gone`: the client went away instead. */
void world_call_take(struct world *world, uint64_t call, bool is_last, bool is_gone);
void world_call_leave(struct world *world, uint64_t call); /* the client of one that waits (Lock, Campaign) goes away; its answer comes all the same */
/* Moments in one order for the whole world: when the call entered, when it left. */
void world_call_times(const struct world *world, uint64_t call, uint64_t *out_start_ns, uint64_t *out_end_ns); /* virtual time */
void world_call_moments(const struct world *world, uint64_t call, uint64_t *out_start, uint64_t *out_end);
/* Where its command stands in the committed log: 0 = nowhere (so far). */
uint64_t world_call_index(const struct world *world, uint64_t call);

/* --- looking --- */
/* What world_state.h saw; borrowed from the world. */
struct world_look;
const struct world_look *world_looks(const struct world *world, uint32_t *out_count);
/* The members have no calls, and had time: nothing is left of what is over. */
void world_look_idle(struct world *world);
/* The state hash and applied index of a member that is up, as published. */
uint64_t world_hash(const struct world *world, uint32_t member, uint64_t *out_applied_index, int64_t *out_revision);
void world_revisions(const struct world *world, uint32_t member, int64_t *out_newest, int64_t *out_mark); /* published by a member that is up */
uint64_t world_whole_hash(const struct world *world, uint32_t member); /* of all that is replicated, leases and all */
uint64_t world_commit_index(const struct world *world); /* the highest anywhere, ever */
uint64_t world_last_index(const struct world *world);   /* of the longest log, committed or not */
uint64_t world_least_index(const struct world *world, uint32_t set); /* of the shortest one among these members */
bool world_is_settled(const struct world *world);        /* there is a leader, and all of its log is committed */
uint64_t world_steps(const struct world *world);
uint64_t world_trace_hash(const struct world *world);   /* over every step, post and frame */
struct world_counts {
    uint64_t kills, power_losses, stops, pauses, frames, streams_broken, elections, transfers, fetches, probes, refused_space, failed_disks, flips, refused_damage, suspects, lost_snapshots, lost_states, lost_logs;
    uint64_t looks, looks_compared, looks_freed_apart, holds; /* world_state.h */
    uint64_t refused_hellos;
    uint64_t snap_faults, unlink_faults, name_dooms, probes_older;
    uint64_t repeats, late_chores, reused_files, start_faults, cut_starts, refused_reads, suspect_votes;
    uint64_t snapshots, installs;
    uint64_t watch_streams; /* opened */
    uint64_t leases_granted, leases_expired, checkpoints; /* entries of the committed log */
    uint64_t timers_renewed; /* as looked at */
    uint64_t naps;
    uint64_t alarms, disarms;                /* the same */
};
void world_get_counts(const struct world *world, struct world_counts *out_counts);

#endif
