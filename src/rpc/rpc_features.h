/* rpc_features: what a server offers beyond etcd's API: the names, for the server that says them and for the client that asks.
 *
 * A server without the method kvd.v1.Extra/Features (UNIMPLEMENTED) has none: it is an etcd. Ask once per endpoint before the first use of one.
 * Thread: any. Source: proto/kvd/extra.proto. */
#ifndef RPC_RPC_FEATURES_H
#define RPC_RPC_FEATURES_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

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

const char *rpc_feature_name(enum rpc_feature feature);

/* FeaturesResponse without its header. */
void rpc_features_put(const struct rpc_features *features, struct buf *out);
/* False: the bytes are no FeaturesResponse. Names that we do not know are passed over. */
bool rpc_features_decode(struct slice bytes, struct rpc_features *out_features);

#endif
