/* peer_port: the streams to and from the other members as the peer role sees them. gRPC stands behind it in production (rpc_peer).
 *
 * Towards each member there is one outgoing stream of our own making (re-connected with back-off by the port for as long as the
 * member is wanted); theirs to us comes in. Frames go one way, from the stream's maker. Both ends say hello first and check cluster id,
 * member ids, protocol range, features; then the role's judge is asked. A mismatch is refused and reported as PEER_REFUSED.
 * Thread: the role's, whichever thread steps it; `rouse` is called on any.
 * Limits: one frame in flight per peer (PEER_SENT gives the next turn); frames ≤ PEER_FRAME_BYTES_MAX; RAFT_MEMBERS_MAX peers.
 */
#ifndef RPC_PEER_PORT_H
#define RPC_PEER_PORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"

#define PEER_FRAME_BYTES_MAX (64u << 20)
#define PEER_PROTOCOL_MIN 1
#define PEER_PROTOCOL_MAX 1

struct peer_hello {
    uint32_t protocol_min, protocol_max;
    uint64_t features;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t target_id;       /* whom the maker of the stream believes to talk to */
    uint8_t directory_uuid[16];
    uint64_t boot_id;         /* how often its directory was started */
    uint32_t level;           /* highest state-machine level */
    uint64_t run_id;          /* drawn anew by each process */
    uint64_t start_term, start_vote, start_index; /* of its log when the run began; the index: of what it may have acknowledged */
};

enum peer_event_kind {
    PEER_UP,       /* outgoing stream to `peer` stands: hello of the other side */
    PEER_DOWN,     /* outgoing stream broke, or could not be made: `refused` = the connection was refused (no process there) */
    PEER_SENT,     /* the frame has left: the next may come */
    PEER_BYTES,    /* a frame from `peer`, on its stream to us; body is a reference that the taker owns */
    PEER_HELLO,    /* `peer` opened its stream to us: hello (new boot id = it restarted) */
    PEER_REFUSED,  /* a handshake was refused by us or by them: text says why; peer may be 0 (unknown) */
};
struct peer_event {
    enum peer_event_kind kind;
    uint64_t peer;
    bool refused;
    struct blob *body;
    struct peer_hello hello;
    char text[160];
};

/* Inside of take(): is the hello of a known member, in order so far, welcome? False: out_text says why not, to both sides. */
typedef bool peer_judge_fn(void *context, const struct peer_hello *hello, char out_text[160]);

struct peer_port;
struct peer_port_table {
    size_t (*take)(struct peer_port *port, struct peer_event *out_events, size_t max); /* never blocks */
    bool (*has_events)(const struct peer_port *port);     /* any thread: has something come since the last take()? */
    uint64_t (*deadline_ns)(const struct peer_port *port); /* when take() has something to do although nothing came */
    void (*connect)(struct peer_port *port, uint64_t peer, const char *const *urls, size_t url_count); /* wanted from now on; new URLs replace */
    void (*cut)(struct peer_port *port, uint64_t peer);                                 /* it misbehaves: both streams end; ours is made again with back-off */
    bool (*send)(struct peer_port *port, uint64_t peer, struct blob *frame);            /* takes the reference; false (and unref'ed): not up or one in flight */
    void (*flush)(struct peer_port *port);
};
struct peer_port {
    const struct peer_port_table *table;
    peer_judge_fn *judge; /* the role's; NULL = everybody is welcome */
    void *judge_context;
    void (*rouse)(void *context); /* the role's; behind everything that comes, on the thread that brings it; set before the first connect() */
    void *rouse_context;
};

#endif
