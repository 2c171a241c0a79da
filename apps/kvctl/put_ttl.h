/* put_ttl: puts that make their lease: by one request where the server can, by a grant and a put that attaches where it cannot. An etcd
 * would pass over the TTL and keep the key for ever, so the server is asked first. Source: proto/kvd/extra.proto, PutRequest.ttl.
 * Owner: plain values. Thread: main. */
#ifndef KVCTL_PUT_TTL_H
#define KVCTL_PUT_TTL_H
#include "ctl.h"

/* Whether an endpoint makes leases with puts; calls go to that one only from now on. Fails with a message. */
enum ctl_exit put_ttl_ask(struct ctl *ctl, bool *out_is_known);

/* What was granted beforehand; id 0 = nothing, the put will make its lease. */
struct put_ttl {
    int64_t id, ttl;
    char id_text[20];
};
/* Before the put of ctl->options, which has a `ttl`: on a server that makes no leases with puts they name a lease afterwards, which was
 * granted, and stderr says so; *out_granted has to outlive them. */
enum ctl_exit put_ttl_prepare(struct ctl *ctl, struct put_ttl *out_granted);

#endif
