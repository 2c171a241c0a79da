/* fuzz_raft_frame: a frame from another member. What is read can be written again and reads the same; decoding takes at most twice the bytes
 * of the frame and a constant. Thread: one. */
#include "base/alloc.h"
#include "fuzz/fuzz.h"
#include "rpc/raft_codec.h"

#define MESSAGES_MAX 1024
#define CONSTANT_BYTES 4096

static struct raft_msg messages[MESSAGES_MAX];

static void check_same(const struct raft_msg *a, const struct raft_msg *b)
{
    ASSERT(a->kind == b->kind && a->reject == b->reject && a->transfer == b->transfer && a->from == b->from && a->to == b->to);
    ASSERT(a->term == b->term && a->index == b->index && a->log_term == b->log_term && a->commit == b->commit);
    ASSERT(a->hint_index == b->hint_index && a->hint_term == b->hint_term && a->round == b->round);
    ASSERT(a->entry_count == b->entry_count);
    for (size_t i = 0; i < a->entry_count; i++) {
        const struct raft_entry *x = &a->entries[i], *y = &b->entries[i];
        ASSERT(x->index == y->index && x->term == y->term && x->kind == y->kind);
        ASSERT(slice_equal(blob_slice(x->data), blob_slice(y->data)));
    }
}

/* Raft relies on this of every message that it is given. */
static void check_message(const struct raft_msg *msg)
{
    ASSERT(msg->entry_count <= RAFT_CODEC_ENTRIES_MAX);
    bool may_carry_one = msg->kind == RAFT_MSG_CHUNK || msg->kind == RAFT_MSG_READ_INDEX || msg->kind == RAFT_MSG_READ_ANSWER;
    bool is_one = may_carry_one && msg->entry_count == 1;
    ASSERT(msg->entry_count == 0 || msg->kind == RAFT_MSG_APPEND || msg->kind == RAFT_MSG_FORWARD || is_one);
    for (size_t i = 0; msg->kind == RAFT_MSG_APPEND && i < msg->entry_count; i++) {
        ASSERT(msg->entries[i].index == msg->index + 1 + i && msg->entries[i].index > msg->index);
        ASSERT(msg->entries[i].term <= msg->term && msg->entries[i].term >= msg->log_term);
    }
}

static void check_round_trip(const struct raft_msg *msg)
{
    struct buf frame;
    struct raft_msg back;
    buf_init(&frame);
    raft_codec_put(&frame, msg);
    ASSERT(frame.size == raft_codec_size(msg));
    struct reader reader = reader_make(buf_slice(&frame));
    bool is_read = raft_codec_next(&reader, &back);
    ASSERT(is_read && !reader.bad && reader_left(&reader) == 0);
    check_same(msg, &back);
    raft_codec_entries_free(&back);
    buf_deinit(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before = fuzz_allocated(), count = 0;
    struct reader reader = reader_make(slice_make(data, size));
    while (count < MESSAGES_MAX && raft_codec_next(&reader, &messages[count])) count++;
    ASSERT(fuzz_allocated() <= before + 2 * size + CONSTANT_BYTES);
    for (size_t i = 0; i < count; i++) {
        check_message(&messages[i]);
        check_round_trip(&messages[i]);
        raft_codec_entries_free(&messages[i]);
    }
    ASSERT(fuzz_allocated() == before);
    return 0;
}
