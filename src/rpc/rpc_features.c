/* rpc_features: see rpc_features.h. */
#include "rpc/rpc_features.h"

#include "base/assert.h"

static const char *const NAMES[] = {
    [RPC_FEATURE_KVD] = "kvd",
    [RPC_FEATURE_PUT_TTL] = "put_ttl",
    [RPC_FEATURE_HISTORY] = "history",
    [RPC_FEATURE_WATCHERS] = "watchers",
};
STATIC_ASSERT(sizeof NAMES / sizeof NAMES[0] == RPC_FEATURE_COUNT && RPC_FEATURE_COUNT <= 32, "a name and a bit each");

const char *rpc_feature_name(enum rpc_feature feature)
{
    ASSERT(feature < RPC_FEATURE_COUNT);
    return NAMES[feature];
}

void rpc_features_put(const struct rpc_features *features, struct buf *out)
{
    buf_put_pb_bytes(out, 2, slice_from_string(KVD_VERSION));
    for (uint32_t i = 0; i < RPC_FEATURE_COUNT; i++) {
        ASSERT(NAMES[i] != NULL);
        if (rpc_features_have(features, (enum rpc_feature)i)) buf_put_pb_bytes(out, 3, slice_from_string(NAMES[i]));
    }
}

bool rpc_features_decode(struct slice bytes, struct rpc_features *out_features)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    ASSERT(out_features != NULL);
    *out_features = (struct rpc_features){.bits = 0};
    while (reader_pb_field(&reader, &field)) {
        if (field.number != 3 || field.wire != PB_BYTES) continue;
        for (uint32_t i = 0; i < RPC_FEATURE_COUNT; i++)
            if (slice_equal(field.bytes, slice_from_string(NAMES[i]))) out_features->bits |= UINT32_C(1) << i;
    }
    return !reader.bad;
}
