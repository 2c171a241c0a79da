/* rpc_metadata: what a client says of a call beside its request. Of a repeated key the first value counts, as in etcd.
 * Thread: any. Limits: a version of RPC_API_VERSION_BYTES - 1 letters, digits and ".+-_"; another one is told as "other", since it becomes a label.
 * Source: API §1. */
#ifndef RPC_RPC_METADATA_H
#define RPC_RPC_METADATA_H
#include <grpc/grpc.h>
#include <stdbool.h>

#include "rpc/call_port.h"

struct rpc_metadata {
    bool require_leader;  /* hasleader: true */
    bool bad_api_version; /* client-api-version is not valid UTF-8 */
    char api_version[RPC_API_VERSION_BYTES]; /* client-api-version; "" = not told */
};
void rpc_metadata_read(const grpc_metadata_array *metadata, struct rpc_metadata *out_metadata);

#endif
