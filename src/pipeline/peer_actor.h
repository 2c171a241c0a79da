/* peer_actor: the streams to and from the other members: frames in, raft messages out, and the other way round.
 *
 * Per member one queue; whatever waits when the stream is free leaves as one frame. A member that is down costs nothing: what may be
 * dropped is dropped, what may not (forwards, read requests) goes back to raft as UNSENT. Garbage disconnects and is counted. A member that has
 * forgotten what it promised is refused at its hello (peer_past.h).
 * Owner: the node. Thread: peer. Limits: PEER_QUEUE_MESSAGES and _BYTES per member, frames of PEER_FRAME_BYTES.
 */
#ifndef PIPELINE_PEER_ACTOR_H
#define PIPELINE_PEER_ACTOR_H
#include "pipeline/actor.h"
#include "pipeline/config.h"
#include "pipeline/peer_past.h"
#include "pipeline/shared.h"
#include "rpc/peer_port.h"
#include "storage/cluster.h"

#define PEER_QUEUE_MESSAGES 8192
#define PEER_QUEUE_BYTES (64u << 20)
#define PEER_FRAME_BYTES (2u << 20)
#define PEER_EVENTS_MAX 64

struct peer_lanes {
    struct lane *from_raft, *from_raft_calls, *from_wal, *from_snap, *from_main, *to_raft, *to_raft_calls, *to_snap, *to_main;
};
struct peer_link {
    uint64_t id;
    bool is_up;
    bool is_sending;
    uint64_t boot_id;      /* of its last hello; 0 = never heard */
    struct peer_past past;
    struct peer_message *first, *last;
    uint32_t count;
    size_t bytes;
    struct metrics_peer *metrics;      /* the node's */
    uint64_t heartbeat_ns;             /* the one under way left then; 0 = none */
    uint64_t heartbeat_round;          /* what its answer will say */
};
struct peer_actor {
    struct actor actor; /* first */
    struct shared *shared;
    struct peer_port *port; /* borrowed */
    struct peer_lanes lanes;
    uint64_t self;
    uint64_t now_ns;
    struct peer_link links[CONFIG_PEERS_MAX];
    uint32_t link_count;
};
/* Connects to every other member of `cluster`. */
void peer_actor_init(struct peer_actor *role, struct peer_port *port, struct shared *shared, const struct cluster *cluster,
                     uint64_t self);
void peer_actor_deinit(struct peer_actor *role);

#endif
