/* fuzz_peer_hello: the first message on a stream between members. What is accepted names a member and can be written again. Thread: one. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "rpc/peer_hello.h"

static bool is_same(const struct peer_hello *a, const struct peer_hello *b)
{
    return a->protocol_min == b->protocol_min && a->protocol_max == b->protocol_max && a->features == b->features &&
           a->cluster_id == b->cluster_id && a->member_id == b->member_id && a->target_id == b->target_id &&
           memcmp(a->directory_uuid, b->directory_uuid, sizeof a->directory_uuid) == 0 && a->boot_id == b->boot_id &&
           a->level == b->level;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct peer_hello self = {.protocol_min = 1, .protocol_max = 1, .cluster_id = 5, .member_id = 1, .level = 1};
    struct peer_hello hello, back;
    if (!peer_hello_decode(slice_make(data, size), &hello)) return 0;
    ASSERT(hello.member_id != 0 && hello.protocol_min >= 1 && hello.protocol_min <= hello.protocol_max);
    struct buf bytes;
    buf_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    bool is_read = peer_hello_decode(buf_slice(&bytes), &back);
    ASSERT(is_read && is_same(&hello, &back));
    buf_deinit(&bytes);
    char text[160] = "";
    if (peer_hello_conflict(&self, &hello, text)) ASSERT(text[0] != '\0' && strlen(text) < sizeof text);
    else ASSERT(hello.cluster_id == self.cluster_id);
    return 0;
}
