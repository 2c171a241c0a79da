/* rpc_bytes: between our bytes and gRPC's byte buffers. Small pieces are packed into one slice (one allocation, one copy); a piece of
 * RPC_BYTES_REFERENCE_MIN or more is sent as it lies, by reference (measured: below that the copy is cheaper).
 * Owner: byte buffers belong to the caller. Thread: any; a referenced blob may be dropped on one of gRPC's threads. */
#ifndef RPC_RPC_BYTES_H
#define RPC_RPC_BYTES_H
#include <grpc/byte_buffer.h>

#include "base/blob.h"

#define RPC_BYTES_REFERENCE_MIN 65536

/* One message: head (copied), then the pieces (the references are taken over). */
grpc_byte_buffer *rpc_bytes_make(struct slice head, struct blob **pieces, size_t piece_count);
/* The same into an empty buffer; and empty again: one that is used anew saves what making one costs. */
void rpc_bytes_put(grpc_byte_buffer *buffer, struct slice head, struct blob **pieces, size_t piece_count);
void rpc_bytes_clear(grpc_byte_buffer *buffer);
/* The message as one slice: in place if it came as one, else it is copied together once. Borrowed from *buffer. */
struct slice rpc_bytes_flatten(grpc_byte_buffer **buffer);
struct blob *rpc_bytes_copy(grpc_byte_buffer *buffer); /* one reference */

#endif
