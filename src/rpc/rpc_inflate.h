/* rpc_inflate: messages that came compressed (gzip, deflate). libgrpc would inflate a message whole before it looks at the limit, on the
 * thread that reads everybody's sockets: a kilobyte becomes a megabyte, a megabyte a gigabyte. So our servers have it hand over what came
 * (GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION 0), and inflate here, up to the limit that an uncompressed message has.
 * Owner: the caller. Thread: any. Source: grpc's compression.md; zlib. */
#ifndef RPC_RPC_INFLATE_H
#define RPC_RPC_INFLATE_H
#include <grpc/byte_buffer.h>

#include "base/err.h"

/* In its place; what is not compressed stays as it is. ERR_MALFORMED: it is no such thing; ERR_MESSAGE_TOO_LARGE: it would be longer than
 * bytes_max. Of either the buffer is as it was. */
MUST_USE enum err rpc_inflate(grpc_byte_buffer **buffer, size_t bytes_max);

#endif
