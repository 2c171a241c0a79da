/* raft_codec: messages between members as bytes. A frame = a sequence of messages (proto/kvd/raft.proto, written and read by hand).
 * Everything from the wire is checked: lengths before allocation, kinds, counts, indexes (no overflow, contiguous entries).
 * Thread: any. Limits: frame ≤ PEER_FRAME_BYTES_MAX, RAFT_CODEC_ENTRIES_MAX entries per message. */
#ifndef RPC_RAFT_CODEC_H
#define RPC_RAFT_CODEC_H
#include <stdbool.h>

#include "base/buf.h"
#include "raft/raft.h"

#define RAFT_CODEC_ENTRIES_MAX 65536

void raft_codec_put(struct buf *frame, const struct raft_msg *msg);           /* appends one message */
size_t raft_codec_size(const struct raft_msg *msg);                           /* bytes that raft_codec_put will write */
/* Reads the next message. Entries are allocated (array and blobs, one reference each) and belong to the caller:
 * raft_codec_entries_free. False at the end (reader at end, not bad) or on garbage (reader->bad). */
bool raft_codec_next(struct reader *frame, struct raft_msg *out_msg);
void raft_codec_entries_free(struct raft_msg *msg);

#endif
