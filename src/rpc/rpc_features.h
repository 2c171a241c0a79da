/* rpc_features: what a server offers beyond etcd's API: the names, for the server that says them and for the client that asks.
 *
 * A server without the method kvd.v1.Extra/Features has none: it is an etcd. Ask once per endpoint before the first use of one.
 * Thread: any; the client's own where one is given. Source: proto/kvd/extra.proto. */
#ifndef RPC_RPC_FEATURES_H
#define RPC_RPC_FEATURES_H
#include "rpc/rpc_client.h"

/* A new one stands at the end, with its name in rpc_features.c. */
enum rpc_feature {
    RPC_FEATURE_KVD,     /* it is a kvd */
    RPC_FEATURE_PUT_TTL, /* PutRequest.ttl makes a lease */
    RPC_FEATURE_HISTORY, /* kvd.v1.Extra/History */
    RPC_FEATURE_WATCHERS, /* kvd.v1.Extra/Watchers and CancelWatcher */
    RPC_FEATURE_COUNT
};

struct rpc_features {
    uint32_t bits; /* 1 << feature */
};

static inline bool rpc_features_have(const struct rpc_features *features, enum rpc_feature feature)
{
    return (features->bits >> feature & 1) != 0;
}

/* FeaturesResponse without its header. */
void rpc_features_put(const struct rpc_features *features, struct buf *out);
/* False: the bytes are no FeaturesResponse. Names that we do not know are passed over. */
bool rpc_features_decode(struct slice bytes, struct rpc_features *out_features);
/* One call to one endpoint (RPC_CLIENT_ANY: see out_answer->endpoint). A server that does not know the method has no features, and that
 * is a good answer. False: nobody answered; out_answer says why. It is filled and owned in any case. */
bool rpc_features_ask(struct rpc_client *client, size_t endpoint, uint64_t timeout_ns, struct rpc_features *out_features,
                      struct rpc_client_answer *out_answer);

#endif
