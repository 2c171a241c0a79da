/* mail: the one message between roles, 64 bytes, every kind on this page with the owner of each pointer.
 *
 * A pointer in a mail changes hands completely with the mail: who takes the mail owns what it points to, unless it says "borrowed".
 * What a full lane means is said per lane in node.c's table and per kind here.
 */
#ifndef PIPELINE_MAIL_H
#define PIPELINE_MAIL_H
#include <stdbool.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/err.h"
#include "raft/raft.h"
#include "storage/lease_request.h"

enum mail_kind {
    MAIL_NONE = 0,

    /* net → raft */
    MAIL_PROPOSE,     /* propose: a write of a call; refused when full */
    MAIL_READ,        /* read: a batch of linearizable reads; refused when full; also watch → raft: renewals of leases */
    MAIL_MOVE_LEADER, /* move: a call that hands leadership over; refused when full */

    /* peer → raft (PEER may be dropped: raft sends again) */
    MAIL_PEER,        /* peer: raft's own message, either direction */
    /* peer ⇄ raft, lanes of their own */
    MAIL_FORWARD,     /* peer: FORWARD, REFUSED, READ_INDEX, READ_ANSWER, either direction */
    /* peer ⇄ snap (may be dropped: asked for again) */
    MAIL_CHUNK,       /* peer: CHUNK_GET, CHUNK, either direction */
    MAIL_UNSENT,      /* peer → raft: peer: that forward or request never left; proposals in it were surely not proposed */
    MAIL_LINK,        /* peer → raft: link: a stream stands, broke, or the member's process died */

    /* raft → wal, wal → raft */
    MAIL_APPEND,      /* append: one WAL append, with messages that wait for it */
    MAIL_PERSISTED,   /* persisted: everything up to the sequence is durable */
    MAIL_DROP_HEAD,   /* raft → wal: drop_head: a snapshot stands for the log up to there */
    MAIL_SPACE,       /* space: the disk takes no more / takes again */

    /* raft → apply, in position */
    MAIL_COMMIT,      /* commit: entries with their calls */
    MAIL_READ_BATCH,  /* read: a confirmed batch; also to net, from apply or raft; and to watch, from apply or raft: renewals with their answers */
    MAIL_LEADER,      /* leader: coalesced by the sender */
    MAIL_INSTALL,     /* loaded: this state takes the place of what there is */

    /* apply → raft */
    MAIL_APPLIED,     /* applied: credit */
    MAIL_INTERNAL,    /* propose: a command of the member's own (attributes, cluster version, auto compaction), no call */
    MAIL_ANSWERED,    /* answered: questions that another member asked of the leader */
    MAIL_LEASES,      /* leases: a leader says that some are over, or how long they have to live; appended by the leader of that term only, else dropped */

    /* → net */
    MAIL_REPLY,       /* reply: apply's answer to a call */
    MAIL_FAIL,        /* fail: raft's answer to a call that did not get through */
    MAIL_MOVED,       /* move: raft's answer to a call: the other member leads */
    MAIL_READ_FAIL,   /* read + err; to watch: renewals */
    MAIL_CAUGHT_UP,   /* apply: once in a run: the published view is at least as new as all that was acknowledged before the start */

    /* raft ⇄ snap */
    MAIL_FETCH,       /* fetch */
    MAIL_FETCHED,     /* fetched */
    MAIL_OFFER,       /* offer: a leader's snapshot that this member needs; comes again until it is installed */
    MAIL_SNAPSHOT,    /* snapshot: a new one is durable */
    MAIL_RECEIVED,    /* loaded: a leader's snapshot, durable here and loaded */
    MAIL_UNWANTED,    /* loaded: raft has no use for it */

    /* apply ⇄ snap, one at a time */
    MAIL_TAKE,        /* take: an image to be written */
    MAIL_TAKEN,       /* taken */
    MAIL_WANT,        /* want: snap → apply: a client waits for an image of a state from now on */

    /* net ⇄ snap: a client's snapshot */
    MAIL_SNAP_OPEN,   /* stream: answered by the first PIECE */
    MAIL_SNAP_NEXT,   /* stream: the piece has left */
    MAIL_SNAP_CLOSE,  /* stream: its client is gone, or got enough */
    MAIL_SNAP_PIECE,  /* piece */

    /* net ⇄ watch: what an operator asks */
    MAIL_WATCHERS,       /* ask: a page of the list of watchers */
    MAIL_CANCEL_WATCHER, /* ask */
    MAIL_TOLD,           /* reply */

    /* apply → watch, coalesced */
    MAIL_PUBLISHED,   /* there is a newer view */

    /* net ⇄ watch: a call that waits for changes. Each WAIT is answered by one NEWS, and a call has one at a time */
    MAIL_WAIT,        /* wait */
    MAIL_UNWAIT,      /* stream: the NEWS is wanted now; ignored when it has left */
    MAIL_NEWS,        /* news: the first frame that says something, or why there will be none */

    /* wal ⇄ work */
    MAIL_JOB,         /* job: a file operation to carry out; it stays the submitter's */
    MAIL_DONE,        /* job: it is done */

    /* main → roles */
    MAIL_TRANSFER,    /* raft: hand leadership over */
    MAIL_PING,        /* every role: answered with PONG on its lane to main */
    MAIL_DRAIN,       /* net: refuse new calls (stop, phase 1); apply: answer who still waits for freeing (phase 2); watch: end all streams */
    MAIL_PEER_URLS,   /* reserved for changes of membership: connect */

    /* roles → main */
    MAIL_PONG,
    MAIL_LOG,         /* log: a formatted line; dropped (and counted) when full */
    MAIL_READY,       /* raft: the member serves */
    MAIL_TRANSFERRED, /* raft: leadership is elsewhere, or there is none to hand over */
    MAIL_DRAINED,     /* net: no call is waiting any more */
    MAIL_UNWATCHED,   /* watch: no stream is open any more */

    /* door ⇄ net: what the HTTP front wants to know; one of each kind at a time */
    MAIL_CHECK,       /* check */
    MAIL_CHECKED,     /* checked */
};

struct state_machine_loaded;
struct state_machine_image;

/* A batch of linearizable reads: made by net, travels net → raft → apply → net, freed by net. One of questions about leases ends in apply, which
 * answers each call by a REPLY; what lives how long only the leader's knows: from a follower the questions travel raft → leader's raft → apply →
 * raft and back, and the batch goes to the follower's apply with the answers, in position behind what the leader had applied. One of renewals is
 * made by watch and goes back there, with the answers in its questions. */
struct read_batch {
    uint64_t made_ns;
    uint32_t count;
    struct lease_question *questions; /* of each call; same allocation; NULL = reads of the view */
    uint64_t remote_peer;             /* who asked, and how it knows the answers; 0 = a member's own calls */
    uint64_t remote_context;
    struct blob *answers;             /* the leader's to the questions; a reference; NULL = they are answered here */
    uint64_t calls[];
};

static inline bool read_batch_is_renewal(const struct read_batch *batch)
{
    return batch != NULL && batch->questions != NULL && batch->questions[0].is_renewal;
}

/* A message with its entries, on the heap; entries hold references. Freed by whoever ends its way: mail_peer_free. */
struct peer_message {
    struct peer_message *next; /* of the owner */
    struct raft_msg msg;       /* msg.entries points at entries[] */
    struct raft_entry entries[];
};

/* One APPEND for the WAL: entries hold references; `messages` leave for the peers once it is durable. */
struct append_batch {
    struct append_batch *next; /* of the owner */
    uint64_t sequence;
    struct raft_hard_state hard;
    bool is_reset;                 /* the log begins anew behind (reset_index, reset_term) */
    uint64_t reset_index;
    uint64_t reset_term;
    struct blob *reset_conf;       /* one reference; NULL without reset */
    struct peer_message *messages; /* list */
    uint32_t entry_count;
    struct raft_entry entries[];
};

/* Committed entries for apply: entries hold references; calls[i] is the waiting call of entries[i], or 0. */
struct commit_batch {
    uint64_t *calls; /* behind the entries, same allocation */
    uint64_t bytes;
    uint32_t count;
    struct raft_entry entries[];
};

/* Entries read back from disk. */
struct fetched_batch {
    uint64_t peer;
    enum err err;
    size_t count;
    struct raft_entry *entries; /* wal_entries_free */
};

enum link_state { LINK_UP, LINK_DOWN, LINK_DIED };

struct mail {
    uint32_t kind; /* enum mail_kind */
    uint32_t flags;
    union {
        struct { uint64_t call; struct blob *command; } propose;
        struct { struct blob *command; uint64_t term; } leases;
        struct { struct blob *bytes; uint64_t peer; uint64_t context; uint64_t index; } answered; /* index: applied when they were answered */
        struct { struct read_batch *batch; uint64_t index; uint64_t started_ns; uint32_t err; } read; /* started_ns: of the round that confirmed it */
        struct { struct peer_message *message; uint64_t to; } peer;
        struct { uint64_t peer; uint64_t boot_id; uint32_t state; } link;
        struct { struct append_batch *batch; } append;
        struct { uint64_t sequence; } persisted;
        struct { bool full; } space;
        struct { struct commit_batch *batch; } commit;
        struct { uint64_t term; uint64_t leader; bool is_me; } leader;
        struct { uint64_t index; uint64_t bytes; } applied;
        struct { uint64_t call; struct blob *body; int64_t revision; uint32_t err; } reply;
        struct { uint64_t call; uint32_t err; } fail;
        struct { uint64_t call; uint64_t target; } move;
        struct { uint64_t peer; uint64_t first_index; uint64_t last_index; uint64_t bytes_max; } fetch;
        struct { struct fetched_batch *batch; } fetched;
        struct { uint64_t from; uint64_t index; uint64_t term; } offer;
        struct { uint64_t index; uint64_t term; uint64_t kept_index; } snapshot; /* kept_index: the log behind it stays */
        struct { struct state_machine_loaded *state; } loaded;
        struct { struct state_machine_image *image; uint64_t want; } take; /* want: the last WANT that it answers */
        struct { uint64_t number; } want;
        struct { uint64_t call; } stream;
        struct { uint64_t call; struct blob *request; } ask;
        struct { uint64_t call; struct blob *bytes; uint64_t remaining; uint32_t err; bool is_last; } piece;
        struct { uint64_t call; struct blob *requests; bool require_leader; } wait; /* lock_bytes_watch */
        struct { uint64_t call; struct blob *head; struct blob *events; uint32_t err; } news; /* events may be NULL; err: both are */
        struct { uint64_t bytes; uint32_t err; } taken; /* bytes 0: there was one already */
        struct { uint64_t index; } drop_head;
        struct { struct fs_op *op; } job;
        struct { uint64_t cookie; } ping;
        struct { bool is_linearizable; } check;
        struct {
            uint32_t err; /* of the read */
            bool is_linearizable, has_no_space, has_corrupt, has_leader, is_learner;
            char version[24]; /* the cluster's; "" = not decided */
        } checked;
        struct { struct blob *line; } log;
        uint64_t words[7];
    };
};
STATIC_ASSERT(sizeof(struct mail) == 64, "one cache line");

/* mail.c */
struct peer_message *mail_peer_new(const struct raft_msg *msg); /* copies; takes references to the entries' data */
void mail_peer_free(struct peer_message *message);              /* one; accepts NULL */
void mail_peer_free_list(struct peer_message *messages);
struct append_batch *mail_append_new(const struct raft_output *output); /* entries and messages_after, with references */
void mail_append_free(struct append_batch *batch);                     /* accepts NULL; its messages too */
struct commit_batch *mail_commit_new(const struct raft_entry *entries, uint32_t count); /* calls all 0 */
void mail_commit_free(struct commit_batch *batch);
struct read_batch *mail_read_new(const uint64_t *calls, uint32_t count, uint64_t now_ns);
struct read_batch *mail_questions_new(const uint64_t *calls, const struct lease_question *questions, uint32_t count, uint64_t now_ns);
void mail_read_free(struct read_batch *batch); /* accepts NULL */
/* Frees what a mail carries: for what is left in lanes at stop. */
void mail_deinit(struct mail *mail);

#endif
