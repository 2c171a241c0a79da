/* progress: what a node knows of one member of the configuration: how far its log matches, what is on its way to it, when it was
 * heard, how it voted.
 *
 *   PROBE      where the logs agree is not known: one message at a time, each answer (or heartbeat answer) lets the next one go
 *   REPLICATE  they agree up to match_index: entries leave ahead of their acknowledgements, inside the window
 *   FETCH      as REPLICATE, but the next entries are being read back from disk
 *   SNAPSHOT   what it lacks is not in the log any more: a snapshot is offered at each heartbeat answer until it has needed_index
 *
 * Owner: struct raft has one per member, itself included. Thread: raft's. Limits: the window, in messages and in bytes; entries of
 * one fetch.
 */
#ifndef RAFT_PROGRESS_H
#define RAFT_PROGRESS_H
#include "raft/quorum.h"
#include "raft/raft.h"

enum progress_state { PROGRESS_PROBE, PROGRESS_REPLICATE, PROGRESS_FETCH, PROGRESS_SNAPSHOT };

struct progress_flight {
    uint64_t last_index;
    size_t bytes;
    uint64_t sent_ns;
};

struct progress {
    uint64_t id;
    enum progress_state state;
    uint64_t match_index;  /* known to be in the peer's durable log */
    uint64_t next_index;   /* the next entry to send */
    uint64_t commit_sent;  /* the commit index that it was last told */
    uint64_t needed_index; /* SNAPSHOT: entries can go on once it has this one */
    bool is_paused;        /* PROBE, SNAPSHOT: wait for an answer */
    bool is_nudged;        /* send something, even without entries: the answer tells whether anything was lost */
    bool is_fetching;      /* a read from disk is under way; survives changes of state and of leader */
    uint64_t heard_ns;     /* leader: last answer of this term */
    uint64_t round_acked;  /* leader: last read-index round that it confirmed */

    enum quorum_ballot ballot; /* candidate: its answer in this election */
    bool has_position;         /* suspect: it told the end of its log since the last question */
    uint64_t position_index;
    uint64_t position_term;

    struct progress_flight *flights; /* ring */
    uint32_t flight_head;
    uint32_t flight_count;
    uint32_t flights_max;
    size_t flight_bytes;
    size_t flight_bytes_max;
    size_t window;             /* bytes in flight at present: from RAFT_PROBE_BYTES_MAX to flight_bytes_max */
    uint64_t patience_ns;      /* the election timeout */

    struct raft_entry *fetched; /* read back, waiting to be sent or lent to the last output; references */
    size_t fetched_count;
    bool is_fetched_sent;
};

void progress_init(struct progress *progress, uint64_t id, const struct raft_options *options);
void progress_deinit(struct progress *progress);
bool progress_is_valid(const struct progress *progress);

/* A new leader knows nothing but its own log (thesis 3.5: nextIndex = last + 1, matchIndex = 0). */
void progress_lead(struct progress *progress, uint64_t last_index, uint64_t now_ns);
void progress_become_probe(struct progress *progress);
void progress_become_snapshot(struct progress *progress, uint64_t needed_index);
/* The peer has everything up to index. True if that was news. The window grows while it is what holds entries back and they are acknowledged
 * within a quarter of the election timeout, by as much as was acknowledged (twice per round trip); beyond half of it, it is halved: heartbeats
 * go the same road behind the entries. */
bool progress_acknowledge(struct progress *progress, uint64_t index, uint64_t now_ns);
/* The peer refused the previous index `refused`, its log may agree up to hint_index. True if that is not stale: probe there. */
bool progress_refuse(struct progress *progress, uint64_t refused, uint64_t hint_index);

/* Bytes that may still leave; 0 = wait. An empty window lets any single entry pass. */
size_t progress_room(const struct progress *progress);
void progress_sent(struct progress *progress, uint64_t last_index, size_t bytes, uint64_t now_ns);

void progress_keep_fetched(struct progress *progress, const struct raft_entry *entries, size_t count);
void progress_release_fetched(struct progress *progress);

#endif
