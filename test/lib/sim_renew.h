/* sim_renew: clients of a world that keep leases alive. Each has one stream of LeaseKeepAlive at a time, at any member, and asks for one lease
 * or several at once, mostly such as live; some read slowly, some leave. When a stream ends its client goes to some member.
 *
 * Each answer is compared with what the log says of leases (world_leases.h):
 *   L4 answers come in the order of the requests, one for each      L5 who lives is renewed, who is over is not, whoever is asked
 *   L1 who was told that it lives lives for its TTL from the moment at which the member took the request, or longer (at the end)
 * Owner: sim_renew_init/deinit; the sim_clients are borrowed. Thread: one. */
#ifndef TEST_LIB_SIM_RENEW_H
#define TEST_LIB_SIM_RENEW_H
#include "lib/sim_clients.h"
#include "lib/tape.h"

#define SIM_RENEW_STREAMS_MAX 8
#define SIM_RENEW_AWAITED 64 /* answers that a stream owes */

struct sim_renew_options {
    uint64_t seed;
    uint32_t streams, members;
    uint32_t slow_percent; /* of the streams */
    uint64_t slow_ns;      /* between two messages that such a client takes, at most */
    uint64_t think_ns;     /* between two things that a client does, at most */
};
struct sim_renew_request {
    int64_t lease;
    bool was_heard;
    uint64_t heard_ns;     /* the member took it */
};
struct sim_renew_stream {
    uint64_t stream;       /* 0 = none */
    uint32_t member;
    bool is_slow, requires_leader, is_ending;
    uint64_t next_ns, read_ns;
    struct sim_renew_request awaited[SIM_RENEW_AWAITED];
    uint32_t awaited_count;
};
/* An answer: it was asked for and sent then. */
struct sim_renewal {
    int64_t lease, ttl;
    uint64_t between_ns[2];
};
/* Nothing but uint64_t. */
struct sim_renew_counts {
    uint64_t streams, asked, renewed, gone;
};
struct sim_renew {
    struct sim_renew_options options;
    struct world *world;
    struct sim_clients *clients; /* who know ids */
    struct tape tape;
    struct sim_renew_stream streams[SIM_RENEW_STREAMS_MAX];
    struct sim_renewal *renewals;
    size_t count, capacity;
    struct sim_renew_counts counts;
};
void sim_renew_init(struct sim_renew *renew, struct sim_clients *clients, const struct sim_renew_options *options);
void sim_renew_deinit(struct sim_renew *renew);
void sim_renew_step(struct sim_renew *renew, bool is_over); /* reads what came; asks for something new, unless it is over */
bool sim_renew_end(struct sim_renew *renew); /* all say goodbye; true: all streams are over */
void sim_renew_check(struct sim_renew *renew); /* at the end */

#endif
