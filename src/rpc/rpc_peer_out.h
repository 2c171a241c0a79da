/* rpc_peer_out: our stream to one other member: made again with back-off for as long as the member is wanted, greeted, one frame at a time.
 *
 *   WAITING ──due──► GREETING ──hello──► UP ──status──► WAITING
 *                        └──mismatch, refusal, no answer in time──► (ENDING, until its batches are done) ──► WAITING
 *
 * Each attempt has a channel of its own: gRPC's back-off would go on counting after the member is there again. The first attempt after a
 * good stream broke follows at once, because its outcome tells a dead process (refused) from a broken connection. A stream that we cut,
 * or that breaks as soon as it stands, is no good one: the back-off goes on growing, or two members that disagree would spin.
 * Inside of rpc_peer only. Owner: embedded. Thread: the peer role's. Limits: RPC_PEER_OUT_URLS_MAX URLs. */
#ifndef RPC_RPC_PEER_OUT_H
#define RPC_RPC_PEER_OUT_H
#include <grpc/grpc.h>

#include "base/rng.h"
#include "rpc/rpc_peer.h"
#include "rpc/rpc_signal.h"

#define RPC_PEER_OUT_URLS_MAX 8
#define RPC_PEER_OUT_TARGET_MAX 320

enum rpc_peer_out_state { RPC_PEER_OUT_WAITING, RPC_PEER_OUT_GREETING, RPC_PEER_OUT_UP, RPC_PEER_OUT_ENDING };
struct rpc_peer_out {
    uint64_t peer;
    enum rpc_peer_out_state state;
    const struct rpc_peer_options *options;
    const struct peer_port *port; /* its judge */
    struct rng *rng;
    grpc_completion_queue *queue; /* a callback queue */
    char targets[RPC_PEER_OUT_URLS_MAX][RPC_PEER_OUT_TARGET_MAX];
    uint32_t target_count, target, next_target; /* target: of the running attempt */
    uint64_t due_ns;     /* WAITING: of the next attempt; GREETING: when it has taken too long */
    uint64_t back_off_ns; /* before the next attempt, if that fails as the last one */
    uint64_t up_ns;       /* UP: since when */
    grpc_channel *channel;
    grpc_call *call;
    uint32_t batches;    /* outstanding */
    bool is_sending;
    bool is_refused;     /* one side refused the handshake: reported once, tried again late */
    bool is_cut;         /* by the role */
    bool is_closed;      /* the status came */
    const char *why;     /* we ended it ourselves; NULL = the status says */
    struct rpc_signal greeted, sent, closed;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *answer;
    grpc_status_code status;
    grpc_slice details;
};

void rpc_peer_out_init(struct rpc_peer_out *out, uint64_t peer, const struct rpc_peer_options *options, const struct peer_port *port,
                       struct rng *rng, grpc_completion_queue *queue, struct rpc_signal_inbox *inbox);
void rpc_peer_out_set_urls(struct rpc_peer_out *out, const char *const *urls, size_t url_count); /* and tries at once */
void rpc_peer_out_tick(struct rpc_peer_out *out, uint64_t now_ns);   /* what is due at due_ns */
uint64_t rpc_peer_out_deadline_ns(const struct rpc_peer_out *out);
bool rpc_peer_out_send(struct rpc_peer_out *out, struct blob *frame); /* takes the reference; false: not up, or one in flight */
void rpc_peer_out_cut(struct rpc_peer_out *out, const char *why); /* a static text */
/* A signal came out. True: out_event says what it means to the role. */
bool rpc_peer_out_greeted(struct rpc_peer_out *out, bool ok, uint64_t now_ns, struct peer_event *out_event);
bool rpc_peer_out_sent(struct rpc_peer_out *out, bool ok, uint64_t now_ns, struct peer_event *out_event);
bool rpc_peer_out_closed(struct rpc_peer_out *out, uint64_t now_ns, struct peer_event *out_event);

#endif
