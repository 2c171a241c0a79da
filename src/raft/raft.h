/* raft: consensus as a pure function of its inputs: plain data in (raft_step), plain data out (raft_take_output), a deadline.
 *
 * No clock, no files, no threads, no chance but the seed that is passed in. The caller (the raft role, a test, the simulator)
 * feeds events in any number, then takes the output once: entries that came in between leave in one message and one append.
 *
 * Owner: raft_new/raft_free. Thread: one at a time (the raft role).
 * Limits: RAFT_MEMBERS_MAX members, RAFT_READS_MAX read contexts waiting, bytes by struct raft_options.
 * Source: Ongaro's thesis (sections stand at the lines that obey them), pre-vote 9.6, check-quorum 6.2, read index 6.4,
 * leadership transfer 3.10, joint consensus 4.3.
 *
 * Who owns what: blobs inside inputs are borrowed (raft takes its own references to what it keeps); everything that hangs on
 * struct raft_output is borrowed until the next raft_step, raft_take_output or raft_free: take references to what you keep.
 *
 * Not here, but in the raft role: forwarding proposals and read requests from followers and the bytes of snapshots (messages
 * RAFT_MSG_FORWARD and behind exist for the codec and never enter raft_step), the calls and their deadlines.
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buf.h"
#include "base/raft_entry.h"

#define RAFT_MEMBERS_MAX 32
#define RAFT_READS_MAX 4096
#define RAFT_READ_ROUNDS_MAX 2 /* at once (raft/read.h), and questions of a follower: with one, whoever just missed it would wait twice as long */
#define RAFT_APPENDS_MAX 64  /* appends on their way to the WAL at once; what comes on top waits inside raft */
#define RAFT_PROBE_BYTES_MAX (64u << 10) /* entries of an APPEND to a peer whose log is not known; a single bigger entry goes alone */
#define RAFT_OWN_WAIT_BYTES_MAX (256u << 10) /* what waits for another member before the own disk gets it */
#define RAFT_ENTRY_BYTES 32  /* what an entry counts in every limit in bytes, besides its data */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* A whole configuration. Joint while outgoing_count > 0. Ids ascending and distinct within each list. */
struct raft_conf {
    uint32_t voter_count;    /* incoming */
    uint32_t outgoing_count;
    uint32_t learner_count;
    uint64_t voters[RAFT_MEMBERS_MAX];
    uint64_t outgoing[RAFT_MEMBERS_MAX];
    uint64_t learners[RAFT_MEMBERS_MAX];
    struct blob *members;    /* opaque member data (names, URLs); NULL = none; a reference */
};
bool raft_conf_is_valid(const struct raft_conf *conf);
/* Fixed layout, little endian: u8 version=1, u32 counts ×3, u64 ids, u32 size + opaque bytes. */
struct blob *raft_conf_encode(const struct raft_conf *conf);
/* False on damage, out untouched; the reference in out_conf->members is the caller's. */
bool raft_conf_decode(struct slice bytes, struct raft_conf *out_conf);
void raft_conf_copy(struct raft_conf *to, const struct raft_conf *from); /* `to` must be empty or deinit'ed */
void raft_conf_deinit(struct raft_conf *conf);

enum raft_msg_kind {
    RAFT_MSG_PRE_VOTE = 1,       /* term = the term it would campaign in; index/log_term = last entry; round = number of the question */
    RAFT_MSG_PRE_VOTE_ANSWER = 2,/* index/log_term = last entry, or the last one that may have been lost; round = number of the question */
    RAFT_MSG_VOTE = 3,           /* as PRE_VOTE, of a term that it has entered */
    RAFT_MSG_VOTE_ANSWER = 4,    /* as PRE_VOTE_ANSWER */
    RAFT_MSG_APPEND = 5,         /* index/log_term = previous entry; commit; entries */
    RAFT_MSG_APPEND_ANSWER = 6,  /* index = matched (or, rejected, the refused previous index); hint_index/hint_term */
    RAFT_MSG_HEARTBEAT = 7,      /* commit (bounded by match); round of read index */
    RAFT_MSG_HEARTBEAT_ANSWER = 8,
    RAFT_MSG_TIMEOUT_NOW = 9,    /* leadership transfer: campaign at once */
    RAFT_MSG_COMMIT = 10,        /* commit (bounded by match): news between two appends; not answered */
    RAFT_MSG_SNAPSHOT = 11,      /* index/log_term = the leader's newest snapshot: the receiver's log ends before the retained one
                                  * begins; answered by APPEND_ANSWER once the receiver has all up to there */
    /* The role's own, never given to raft_step: */
    RAFT_MSG_FORWARD = 32,       /* term = leader's term known to the sender; entries[].data = proposals; round = first id */
    RAFT_MSG_REFUSED = 33,       /* answer to a forward that was not proposed: round = its id */
    RAFT_MSG_READ_INDEX = 34,    /* round = sender's context; an entry = questions that only the leader answers */
    RAFT_MSG_READ_ANSWER = 35,   /* round = context, index, reject = not leader; an entry = the answers */
    RAFT_MSG_CHUNK_GET = 36,     /* index/log_term = of which snapshot; hint_index = offset of the bytes wanted; reject = none:
                                  * what came of it is damaged */
    RAFT_MSG_CHUNK = 37,         /* the same of the question; commit = size of the file; one entry (COMMAND, index and term 0) with the
                                  * bytes from that offset on; reject = that file is gone, no entry */
};

struct raft_msg {
    enum raft_msg_kind kind;
    bool reject;
    bool transfer;        /* VOTE, PRE_VOTE: campaign by transfer, ignore the lease of the old leader (thesis 4.2.3) */
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint64_t index;
    uint64_t log_term;
    uint64_t commit;
    uint64_t hint_index;
    uint64_t hint_term;
    uint64_t round;
    const struct raft_entry *entries;
    size_t entry_count;
};

struct raft_options {
    uint64_t self;
    uint64_t election_timeout_ns;  /* randomised to [1, 2) of it at each round */
    uint64_t heartbeat_ns;
    bool pre_vote;
    bool check_quorum;
    uint32_t inflight_messages_max; /* per peer, ≥ 1 */
    size_t inflight_bytes_max;      /* per peer, ≥ message_bytes_max */
    uint32_t inflight_partial_max;  /* a message that is not full waits while so many are unacknowledged; 0 = never */
    uint32_t own_wait_entries_min;  /* leader: with so many uncommitted the own disk waits until another has more than it, a heartbeat at most; 0 = never */
    size_t message_bytes_max;       /* entries of one APPEND; a single bigger entry goes alone */
    size_t tail_bytes_max;          /* entries in memory; what is not applied is never dropped: a full tail refuses proposals,
                                     * and on a follower more entries while committed ones wait to be applied */
    size_t uncommitted_bytes_max;   /* leader: refuse proposals beyond */
    size_t apply_bytes_max;         /* committed bytes handed out and not yet reported applied */
    uint64_t seed;
};

/* What recovery found; entries and runs are borrowed for the call. The retained log is (snapshot_index, last]; `runs` says
 * its terms; `entries` are its newest part, durable and contiguous up to the last index, and hold at least all that is not
 * applied yet (older ones stay on disk and come by fetch). With no entries the log ends at applied_index. */
struct raft_restore {
    struct raft_hard_state hard;
    uint64_t snapshot_index;      /* the log begins behind it; 0 = at index 1 */
    uint64_t snapshot_term;
    uint64_t applied_index;       /* the state machine already holds up to here (≥ snapshot_index, ≤ hard.commit) */
    struct raft_conf conf;        /* effective at applied_index; CONF entries among `entries` take effect on top; copied */
    const struct raft_term_run *runs; /* ascending; the first run begins at snapshot_index + 1; may be 0 runs if the log is empty */
    size_t run_count;
    const struct raft_entry *entries; /* entries[0].index ≤ applied_index + 1 */
    size_t entry_count;
    /* What was lost and may have been acknowledged (wal, "suspect"): position of its last entry, or 0. To be given again
     * at every restart until the durable hard.commit has reached it: what settles it in memory may be lost with the process. */
    uint64_t suspect_index;
    uint64_t suspect_term;
};

enum raft_input_kind {
    RAFT_IN_TICK,       /* time has passed: only now_ns counts */
    RAFT_IN_MESSAGE,    /* message */
    RAFT_IN_PROPOSE,    /* proposals[], kinds COMMAND; or one CONF (validated by the caller's rules too) */
    RAFT_IN_READ,       /* context: confirm leadership, then answer in output.reads */
    RAFT_IN_PERSISTED,  /* sequence: that APPEND and all before it are durable */
    RAFT_IN_APPLIED,    /* index: the state machine has it (credit; the tail may be dropped up to here) */
    RAFT_IN_FETCHED,    /* peer, entries (older ones read back from disk); entry_count 0 = could not be read */
    RAFT_IN_TRANSFER,   /* peer: hand leadership over; RAFT_NONE = to the most up-to-date voter */
    RAFT_IN_UNREACHABLE,/* peer: its stream broke; messages in flight may be lost → probe */
    RAFT_IN_PEER_DIED,  /* peer: its process is known to have died (design: once per term, forget having heard this leader) */
    RAFT_IN_NO_SPACE,   /* flag: the disk cannot take more; refuse proposals and appends, a leader hands over */
    RAFT_IN_INSTALL,    /* index, term, conf: this snapshot is durable here and loaded aside; may it take the place of log and state? */
};

struct raft_input {
    enum raft_input_kind kind;
    uint64_t now_ns; /* monotonic; never goes back */
    struct raft_msg message;
    const struct raft_entry *proposals; /* kind and data; index and term are filled in by raft */
    size_t proposal_count;
    uint64_t context;
    uint64_t sequence;
    uint64_t index;
    uint64_t term;
    uint64_t peer;
    const struct raft_conf *conf; /* valid; copied */
    const struct raft_entry *entries;
    size_t entry_count;
    bool flag;
};

enum raft_answer {
    RAFT_OK,
    RAFT_NOT_LEADER, /* PROPOSE, READ, TRANSFER on a follower */
    RAFT_FULL,       /* PROPOSE: uncommitted or tail limit, transfer under way, no space; READ: too many waiting */
    RAFT_IGNORED,    /* a stale message, an unknown member: nothing changed. INSTALL: the state aside is not wanted, its log has all of it.
                      * TRANSFER: to nobody, or to a peer that must get a snapshot first */
};

struct raft_read {
    uint64_t context;
    uint64_t index; /* serve once applied up to here */
    uint64_t started_ns; /* of the round that confirmed it: at that time nobody else led */
};
struct raft_fetch {
    uint64_t peer;
    uint64_t first_index;
    uint64_t last_index;
    size_t bytes_max;
};
struct raft_offer {
    uint64_t from;
    uint64_t index;
    uint64_t term;
};

struct raft_output {
    /* A snapshot that RAFT_IN_INSTALL gave takes the place of log and state. Comes with `persist` and before all else of this output: to
     * the WAL, in the same APPEND, "the log begins behind (install_index, install_term)"; to the state machine, in order with what is
     * committed, the state loaded aside. Of several that were given since the last output, the last. */
    bool install;
    uint64_t install_index;
    uint64_t install_term;
    const struct raft_conf *install_conf;
    /* To the WAL, as one APPEND. Entries overwrite from entries[0].index on (a conflicting suffix is gone). */
    bool persist;
    uint64_t sequence;            /* ascending by one per append */
    struct raft_hard_state hard;
    const struct raft_entry *entries;
    size_t entry_count;
    const struct raft_msg *messages_after; /* leave only when `sequence` is durable */
    size_t message_after_count;
    /* To the peers at once. */
    const struct raft_msg *messages;
    size_t message_count;
    /* To the state machine, in order, each exactly once. Only entries ≤ min(commit, own durable index). */
    const struct raft_entry *committed;
    size_t committed_count;
    /* Reads whose leadership is confirmed, ascending by index; and contexts that lost their leader (never proposed, may be repeated). */
    const struct raft_read *reads;
    size_t read_count;
    const uint64_t *reads_lost;
    size_t read_lost_count;
    const struct raft_fetch *fetches; /* at most one under way per peer */
    size_t fetch_count;
    const struct raft_offer *offer; /* a leader's snapshot that this member needs: get it; NULL = none. Comes again until it is installed */
    bool leader_changed;          /* since the last output: leader id or term or role */
    bool conf_changed;            /* the effective configuration changed (raft_conf) */
};

/* Plain values for logs, Status and the role's decisions. */
struct raft_status {
    enum raft_role role;
    uint64_t term;
    uint64_t vote;
    uint64_t leader;         /* RAFT_NONE = unknown */
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t durable_index;  /* own log */
    uint64_t last_index;
    uint64_t first_index;    /* oldest retained entry */
    uint64_t tail_first_index; /* oldest entry in memory */
    size_t tail_bytes;
    uint64_t transferee;     /* RAFT_NONE = no transfer under way */
    bool is_suspect;         /* damaged tail not yet settled */
    bool has_own_commit;     /* leader: an entry of its own term is committed */
};

struct raft;
struct raft *raft_new(const struct raft_options *options, const struct raft_restore *restore, uint64_t now_ns);
void raft_free(struct raft *raft);
enum raft_answer raft_step(struct raft *raft, const struct raft_input *input);
const struct raft_output *raft_take_output(struct raft *raft, uint64_t now_ns);
uint64_t raft_deadline_ns(const struct raft *raft); /* when RAFT_IN_TICK is due */
void raft_get_status(const struct raft *raft, struct raft_status *out_status);
const struct raft_conf *raft_conf(const struct raft *raft); /* effective; borrowed until the next step */
/* Per peer, for Status, logs and the transfer's choice: match index; false if not a member. Leader only. */
bool raft_peer_match(const struct raft *raft, uint64_t peer, uint64_t *out_match_index);
bool raft_is_voter(const struct raft_conf *conf, uint64_t id);
/* The term at an index of the retained log (0 = unknown). */
uint64_t raft_term_at(const struct raft *raft, uint64_t index);
/* The newest snapshot that is durable here, which a peer behind the retained log is offered. To be told at start, after each one taken,
 * always before raft_compact, and of one that was given by RAFT_IN_INSTALL and not wanted, if its file stays (an installed one is known).
 * `index` is committed here; one older than known, or than the retained log, is passed over. */
void raft_offer(struct raft *raft, uint64_t index, uint64_t term);
/* Snapshots release the log up to `index` (terms and tail), which is applied. A peer that still needs it gets the newest snapshot, so
 * keep what peers that are slow, or that are getting a snapshot now, will ask for next. */
void raft_compact(struct raft *raft, uint64_t index);

/* describe.c: everything as text, for golden traces, logs, tools. */
void raft_describe_msg(const struct raft_msg *msg, struct buf *out_text);
void raft_describe_entry(const struct raft_entry *entry, struct buf *out_text);
void raft_describe_conf(const struct raft_conf *conf, struct buf *out_text);
void raft_describe_status(const struct raft *raft, struct buf *out_text);
void raft_describe_log(const struct raft *raft, struct buf *out_text);
const char *raft_role_name(enum raft_role role);
const char *raft_msg_name(enum raft_msg_kind kind);

#endif
