/* raft_core: the state that the files of this room share, and the few services that all of them use.
 *
 * raft.c        dispatch of inputs, assembly of outputs         election.c     who leads
 * replication.c how the log spreads, what is committed          read.c         read-index rounds
 * snapshot.c    who is behind the retained log
 * Private: nothing outside src/raft includes this.
 *
 * Owner: raft_new. Thread: raft's. Limits: RAFT_CORE_HELD_MAX answers that wait for the disk (more are dropped, as a network would).
 */
#ifndef RAFT_RAFT_CORE_H
#define RAFT_RAFT_CORE_H
#include "base/rng.h"
#include "raft/member.h"
#include "raft/progress.h"
#include "raft/raft_log.h"
#include "raft/read.h"

#define RAFT_CORE_HELD_MAX 1024

/* A message and what must be durable before it may leave, besides the term and vote under which it was made. */
struct raft_core_held {
    struct raft_msg msg;
    uint64_t ack_index; /* 0 = nothing of the log */
    bool is_fresh;      /* made since the last output */
};

struct raft_core_messages {
    struct raft_msg *items;
    size_t count;
    size_t capacity;
};

struct raft_core_told { /* what the caller was told last (leader_changed) */
    uint64_t term;
    uint64_t leader;
    enum raft_role role;
};

struct raft {
    struct raft_options options;
    struct rng rng;
    uint64_t now_ns;

    uint64_t term;
    uint64_t vote;
    uint64_t leader;
    enum raft_role role;
    struct raft_log log;
    struct member_stack confs;
    struct progress peers[RAFT_MEMBERS_MAX]; /* one per id of the effective configuration, ascending */
    uint32_t peer_count;

    /* Durability. */
    uint64_t sequence;           /* of the last append given out */
    uint64_t persisted_sequence;
    uint64_t hard_sequence;      /* the append that carries (term, vote); UINT64_MAX = not given out yet */
    uint64_t wal_progress_ns;    /* when a sync was last reported */
    bool has_no_space;

    /* Election. */
    uint64_t election_span_ns; /* this round's random timeout */
    uint64_t election_deadline_ns;
    uint64_t leader_heard_ns;
    uint64_t question;       /* the number of the last round of questions; answers repeat it */
    uint64_t died_term;      /* the term in which a dead leader was already forgotten */
    bool is_suspect;
    uint64_t suspect_index;
    uint64_t suspect_term;

    /* Leader. */
    uint64_t lead_index; /* its own first entry: below it nothing is committed by counting */
    uint64_t heartbeat_deadline_ns;
    bool is_heartbeat_due;
    uint64_t transferee;
    uint64_t transfer_deadline_ns;
    bool is_quorum_dirty; /* match indexes, durability or configuration changed: commit and rounds may advance */
    struct read_queue reads;

    /* Snapshots. */
    uint64_t offer_index; /* the newest that is durable here; 0 = none */
    uint64_t offer_term;
    struct raft_offer wanted; /* the leader's, as heard last, for the output once the term is durable; index 0 = none */
    bool has_install;         /* for the output: put into effect here, not given out yet */
    uint64_t install_index;
    uint64_t install_term;
    struct raft_conf install_conf;

    /* Output. */
    bool is_output_taken; /* what was lent may be released now */
    struct raft_core_held *held;
    size_t held_count;
    size_t held_capacity;
    struct raft_core_messages messages;
    struct raft_core_messages messages_after;
    struct raft_fetch fetches[RAFT_MEMBERS_MAX];
    uint32_t fetch_count;
    struct raft_offer offered;
    bool has_conf_changed;
    struct raft_core_told told;
    struct raft_output output;
};

static inline const struct raft_conf *raft_core_conf(const struct raft *raft) { return &member_top(&raft->confs)->conf; }
uint32_t raft_core_place(const struct raft *raft, uint64_t id); /* in peers; peer_count = not a member */
static inline struct progress *raft_core_peer(struct raft *raft, uint64_t id) /* NULL = not a member */
{
    uint32_t place = raft_core_place(raft, id);
    return place < raft->peer_count ? &raft->peers[place] : NULL;
}

/* A message of the current term to `to`, everything else zero. */
struct raft_msg raft_core_message(const struct raft *raft, enum raft_msg_kind kind, uint64_t to);
/* Leaves when term, vote and the own log up to ack_index (0 = none) are durable; dropped when the term changes before. No entries. */
void raft_core_send(struct raft *raft, const struct raft_msg *msg, uint64_t ack_index);
/* Leaves with this output. Only while raft_core_hard_is_durable. */
void raft_core_send_now(struct raft *raft, const struct raft_msg *msg);
void raft_core_push_message(struct raft_core_messages *messages, const struct raft_msg *msg);
bool raft_core_hard_is_durable(const struct raft *raft);
/* A sync is longer under way than an election timeout. */
uint64_t raft_core_wal_deadline_ns(const struct raft *raft); /* when the disk is late from; UINT64_MAX = nothing waits for it */
bool raft_core_wal_is_stuck(const struct raft *raft);
void raft_core_set_term(struct raft *raft, uint64_t term, uint64_t vote);

/* Appends to the own log; a CONF takes effect (thesis 4.1). The bytes of a CONF are known to be valid. */
void raft_core_append(struct raft *raft, uint64_t term, enum raft_entry_kind kind, struct blob *data);
void raft_core_conf_changed(struct raft *raft);
void raft_core_truncate(struct raft *raft, uint64_t from);
void raft_core_commit(struct raft *raft, uint64_t index);

#endif
