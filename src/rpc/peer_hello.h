/* peer_hello: the first message each way on a stream between members, as bytes (kvd.Hello of proto/kvd/raft.proto), and whether two
 * hellos go together. Thread: any. Limits: PEER_HELLO_BYTES_MAX on the wire. */
#ifndef RPC_PEER_HELLO_H
#define RPC_PEER_HELLO_H
#include "base/buf.h"
#include "rpc/peer_port.h"

#define PEER_HELLO_BYTES_MAX 1024

void peer_hello_encode(const struct peer_hello *hello, struct buf *out_bytes);
bool peer_hello_decode(struct slice bytes, struct peer_hello *out_hello); /* false = garbage */
/* Why `other` cannot be talked to, as text for both sides' operators; false = it can. */
bool peer_hello_conflict(const struct peer_hello *self, const struct peer_hello *other, char out_text[160]);

#endif
