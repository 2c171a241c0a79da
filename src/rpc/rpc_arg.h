/* rpc_arg: a number among the arguments of a gRPC channel or server; what its int cannot hold is as good as without limit.
 * Owner: the key is borrowed. Thread: any. */
#ifndef RPC_RPC_ARG_H
#define RPC_RPC_ARG_H
#include <stdint.h>

#include <grpc/grpc.h>

static inline grpc_arg rpc_arg_integer(char *key, uint64_t value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key, .value.integer = value > INT32_MAX ? INT32_MAX : (int)value};
}

#endif
