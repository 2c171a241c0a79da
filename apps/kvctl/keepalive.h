/* keepalive: one of the library's kept leases, with its renewals as the server says them, on main's thread.
 * Owner: keepalive_new/keepalive_free. Thread: main, inside live_step. Source: API §10; etcd's client. */
#ifndef KVCTL_KEEPALIVE_H
#define KVCTL_KEEPALIVE_H
#include "etcdserverpb/rpc.pb-c.h"
#include "live.h"

enum keepalive_state {
    KEEPALIVE_RUNS,
    KEEPALIVE_GONE,    /* the server says that there is no such lease */
    KEEPALIVE_EXPIRED, /* nobody answered while it lived, as far as one can tell here */
    KEEPALIVE_REFUSED,
};
/* Each renewal. False: enough, the state stays as it is. Must not step. */
typedef bool keepalive_fn(void *context, const Etcdserverpb__LeaseKeepAliveResponse *response);

struct keepalive;
/* `until_ns`: when the lease is over unless somebody answers. fn may be NULL. */
struct keepalive *keepalive_new(struct live *live, int64_t id, uint64_t until_ns, keepalive_fn *fn, void *context);
void keepalive_free(struct keepalive *keepalive); /* the lease is left alone; accepts NULL */
enum keepalive_state keepalive_state(const struct keepalive *keepalive);
/* Why nobody answered, or it was refused. */
const struct calls_answer *keepalive_refusal(const struct keepalive *keepalive);

#endif
