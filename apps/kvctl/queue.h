/* queue: a place in line under a name, the recipe behind locks and elections, with etcd's keys: NAME/<lease in hex>, attached to a lease of
 * our own that is kept alive. Who has the lowest create_revision is first; each waits for the one before it to go.
 * Being first is told by revisions, not by clocks: what a holder writes elsewhere is safe only if it carries the key's create_revision.
 * Owner: queue_join/queue_leave. Thread: main. Source: etcd's package concurrency; API §14. */
#ifndef KVCTL_QUEUE_H
#define KVCTL_QUEUE_H
#include "etcdserverpb/rpc.pb-c.h"
#include "keepalive.h"
#include "live.h"

struct queue {
    struct live *live;
    struct buf prefix, key;
    int64_t lease;
    int64_t revision;       /* the key's create_revision; 0 = it is not known to be there */
    int64_t first_revision; /* of the store, when we were seen to be first */
    struct keepalive *keepalive; /* NULL = there is no lease */
};

/* A lease of `ttl` seconds, and the key with `value` at the end of the line. Fails with a message; then, too, queue_leave. */
enum ctl_exit queue_join(struct queue *queue, struct live *live, const char *name, int64_t ttl, const char *value);
/* Until we are first. Fails with a message; CTL_OK and a signal in the ear, if that came first. */
enum ctl_exit queue_wait(struct queue *queue);
/* Prints the key, and stays until a signal (then all is well) or until the lease is over. Fails with a message. */
enum ctl_exit queue_hold(struct queue *queue);
/* Is the lease alive, as far as one can tell here? */
bool queue_is_held(const struct queue *queue);
/* Deletes the key and revokes the lease. Fails with a message. */
enum ctl_exit queue_leave(struct queue *queue);

#endif
