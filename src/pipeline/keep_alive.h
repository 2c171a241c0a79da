/* keep_alive: the streams of LeaseKeepAlive, in the watch role. Requests of all streams leave together, as one batch of renewals for a read-index
 * round; they come back answered, and each stream gets its answers in the order of its requests, one message in flight.
 *
 * A request may wait for a leader as long as a call may; then its stream ends with the error. A leader that changes meanwhile is asked anew. A
 * stream whose client does not read holds STREAM_MAX requests and nothing more: it is asked for no other.
 * Owner: embedded in the watch role. Thread: watch. Limits: STREAM_MAX requests of a stream, about REQUESTS_MAX of all, BATCHES_MAX batches
 * under way. Source: API §10; order and errors as etcd's LeaseKeepAlive has them. */
#ifndef PIPELINE_KEEP_ALIVE_H
#define PIPELINE_KEEP_ALIVE_H
#include "base/list.h"
#include "base/map.h"
#include "pipeline/config.h"
#include "pipeline/mailbox.h"
#include "pipeline/shared.h"
#include "rpc/service.h"
#include "rpc/watch_port.h"

#define KEEP_ALIVE_BATCHES_MAX 8    /* under way; meanwhile the next one gathers */
#define KEEP_ALIVE_LANE 16          /* mails, one per batch */
#define KEEP_ALIVE_BATCH_MAX 256    /* requests of one, answered in one step */
#define KEEP_ALIVE_STREAM_MAX 32    /* requests of a stream that it has no answer to in its hands */
#define KEEP_ALIVE_REQUESTS_MAX 65536 /* beyond it a stream has one at a time */

struct keep_alive_batch {
    struct read_batch *read; /* as it left; NULL = free */
    struct list requests;    /* in the order of its questions */
};
struct keep_alive {
    const struct config *config;
    struct shared *shared;
    struct watch_port *port;     /* borrowed */
    struct lane *from_raft, *from_apply, *to_raft;
    const struct rpc_method *method;
    struct service_env env;      /* what a header says */
    uint64_t now_ns;
    struct list streams;
    struct map names;            /* name → stream */
    struct list waiting;         /* requests for the next batch */
    struct keep_alive_batch batches[KEEP_ALIVE_BATCHES_MAX];
    uint32_t batch_count;
    uint32_t request_count;      /* of all streams, and those in batches whose stream is gone */
    uint32_t stream_count;
    uint32_t leader_count;       /* streams that want a leader */
    struct buf out;
};
struct keep_alive_options {
    const struct config *config;
    struct shared *shared;
    struct watch_port *port;
    uint64_t cluster_id, self;
};
void keep_alive_init(struct keep_alive *keeper, const struct keep_alive_options *options);
void keep_alive_deinit(struct keep_alive *keeper);
/* A batch that came back, of each who may send one. revision: of the view, for headers. */
void keep_alive_take_mail(struct keep_alive *keeper, int64_t revision, uint64_t now_ns);
/* Of a stream of this method; one that may not stay was turned away by the caller. */
void keep_alive_take_event(struct keep_alive *keeper, const struct watch_event *event, int64_t revision, uint64_t now_ns);
bool keep_alive_flush(struct keep_alive *keeper, uint64_t now_ns); /* what waits leaves; true: more could */
void keep_alive_end_all(struct keep_alive *keeper, bool only_with_leader, enum err err);

#endif
