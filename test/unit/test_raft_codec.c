/* Do messages between members survive their way as bytes, do the bytes agree with proto/kvd/raft.proto, and is garbage refused without
 * harm? */
#include <check.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "kvd/raft.pb-c.h"
#include "rpc/peer_hello.h"
#include "rpc/raft_codec.h"

#define ENTRIES_MAX 40
#define ROUNDS 3000

static const enum raft_msg_kind KINDS[] = {RAFT_MSG_PRE_VOTE, RAFT_MSG_PRE_VOTE_ANSWER, RAFT_MSG_VOTE, RAFT_MSG_VOTE_ANSWER,
                                           RAFT_MSG_APPEND, RAFT_MSG_APPEND_ANSWER, RAFT_MSG_HEARTBEAT, RAFT_MSG_HEARTBEAT_ANSWER,
                                           RAFT_MSG_TIMEOUT_NOW, RAFT_MSG_COMMIT, RAFT_MSG_FORWARD, RAFT_MSG_REFUSED, RAFT_MSG_READ_INDEX,
                                           RAFT_MSG_READ_ANSWER, RAFT_MSG_SNAPSHOT, RAFT_MSG_CHUNK_GET, RAFT_MSG_CHUNK};

static uint64_t some_number(struct rng *rng)
{
    return rng_next(rng) >> rng_below(rng, 64);
}

static struct blob *some_data(struct rng *rng)
{
    size_t size = rng_below(rng, 4) == 0 ? rng_below(rng, 3000) : rng_below(rng, 40);
    if (size == 0) return NULL;
    struct blob *data = blob_new(size);
    for (size_t i = 0; i < size; i++) data->data[i] = (uint8_t)rng_next(rng);
    return data;
}

/* A message that the sender could have meant; its entries belong to the caller (raft_codec_entries_free). */
static struct raft_msg some_message(struct rng *rng)
{
    struct raft_msg msg = {.kind = KINDS[rng_below(rng, sizeof KINDS / sizeof KINDS[0])],
                           .reject = rng_below(rng, 2) == 0,
                           .transfer = rng_below(rng, 2) == 0,
                           .from = some_number(rng),
                           .to = some_number(rng),
                           .term = some_number(rng),
                           .index = some_number(rng) >> 1,
                           .commit = some_number(rng),
                           .hint_index = some_number(rng),
                           .hint_term = some_number(rng),
                           .round = some_number(rng)};
    msg.log_term = msg.term == 0 ? 0 : rng_below(rng, msg.term);
    bool is_append = msg.kind == RAFT_MSG_APPEND;
    if (!is_append && msg.kind != RAFT_MSG_FORWARD && msg.kind != RAFT_MSG_CHUNK) return msg;
    msg.entry_count = rng_below(rng, msg.kind == RAFT_MSG_CHUNK ? 2 : ENTRIES_MAX);
    if (msg.entry_count == 0) return msg;
    struct raft_entry *entries = alloc_zero(msg.entry_count, sizeof *entries);
    uint64_t term = msg.log_term;
    for (size_t i = 0; i < msg.entry_count; i++) {
        if (msg.term > term && rng_below(rng, 5) == 0) term += rng_below(rng, msg.term - term) + 1;
        entries[i] = (struct raft_entry){.index = is_append ? msg.index + 1 + i : 0, .term = is_append ? term : 0,
                                         .kind = (enum raft_entry_kind)rng_below(rng, 3), .data = some_data(rng)};
    }
    msg.entries = entries;
    return msg;
}

static void check_same(const struct raft_msg *a, const struct raft_msg *b)
{
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert(a->reject == b->reject && a->transfer == b->transfer);
    ck_assert(a->from == b->from && a->to == b->to && a->term == b->term && a->index == b->index);
    ck_assert(a->log_term == b->log_term && a->commit == b->commit && a->round == b->round);
    ck_assert(a->hint_index == b->hint_index && a->hint_term == b->hint_term);
    ck_assert_uint_eq(a->entry_count, b->entry_count);
    for (size_t i = 0; i < a->entry_count; i++) {
        ck_assert(a->entries[i].index == b->entries[i].index && a->entries[i].term == b->entries[i].term);
        ck_assert_int_eq(a->entries[i].kind, b->entries[i].kind);
        ck_assert(slice_equal(blob_slice(a->entries[i].data), blob_slice(b->entries[i].data)));
    }
}

START_TEST(test_raft_codec_messages_come_back_as_they_were)
{
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < ROUNDS; round++) {
        struct raft_msg sent[5], came;
        size_t count = 1 + rng_below(&rng, 5), size = 0;
        struct buf frame;
        buf_init(&frame);
        for (size_t i = 0; i < count; i++) {
            sent[i] = some_message(&rng);
            raft_codec_put(&frame, &sent[i]);
            size += raft_codec_size(&sent[i]);
        }
        ck_assert_uint_eq(frame.size, size);
        struct reader reader = reader_make(buf_slice(&frame));
        for (size_t i = 0; i < count; i++) {
            ck_assert(raft_codec_next(&reader, &came));
            check_same(&sent[i], &came);
            raft_codec_entries_free(&came);
            raft_codec_entries_free(&sent[i]);
        }
        ck_assert(!raft_codec_next(&reader, &came) && !reader.bad);
        buf_deinit(&frame);
    }
}
END_TEST

static void check_generated(const struct raft_msg *msg, const Kvd__Message *seen)
{
    ck_assert_int_eq((int)msg->kind, (int)seen->kind);
    ck_assert(msg->reject == !!seen->reject && msg->transfer == !!seen->transfer);
    ck_assert(msg->from == seen->from && msg->to == seen->to && msg->term == seen->term && msg->index == seen->index);
    ck_assert(msg->log_term == seen->log_term && msg->commit == seen->commit && msg->round == seen->round);
    ck_assert(msg->hint_index == seen->hint_index && msg->hint_term == seen->hint_term);
    ck_assert_uint_eq(msg->entry_count, seen->n_entries);
    for (size_t i = 0; i < msg->entry_count; i++) {
        const Kvd__Entry *entry = seen->entries[i];
        ck_assert(msg->entries[i].index == entry->index && msg->entries[i].term == entry->term);
        ck_assert_uint_eq((uint32_t)msg->entries[i].kind, entry->kind);
        ck_assert(slice_equal(blob_slice(msg->entries[i].data), slice_make(entry->data.data, entry->data.len)));
    }
}

START_TEST(test_raft_codec_bytes_are_what_the_proto_file_says)
{
    struct rng rng;
    rng_init(&rng, 2);
    for (int round = 0; round < ROUNDS; round++) {
        struct raft_msg msg = some_message(&rng), came;
        struct buf frame;
        buf_init(&frame);
        raft_codec_put(&frame, &msg);
        Kvd__Frame *seen = kvd__frame__unpack(NULL, frame.size, frame.blob->data);
        ck_assert_ptr_nonnull(seen);
        ck_assert_uint_eq(seen->n_messages, 1);
        check_generated(&msg, seen->messages[0]);
        /* And back: what the generated code packs is read, as far as it keeps what is "always" there. */
        if (msg.entry_count == 0) {
            size_t size = kvd__frame__get_packed_size(seen);
            uint8_t *packed = alloc_new(size);
            kvd__frame__pack(seen, packed);
            struct reader reader = reader_make(slice_make(packed, size));
            ck_assert(raft_codec_next(&reader, &came));
            check_same(&msg, &came);
            alloc_free(packed);
        }
        kvd__frame__free_unpacked(seen, NULL);
        buf_deinit(&frame);
        raft_codec_entries_free(&msg);
    }
}
END_TEST

/* Reads all messages; returns the bytes that they took in memory at most at once. */
static size_t read_all(struct slice bytes, bool *out_bad)
{
    struct reader reader = reader_make(bytes);
    struct raft_msg msg;
    size_t total = 0;
    while (raft_codec_next(&reader, &msg)) {
        total += msg.entry_count * sizeof *msg.entries;
        for (size_t i = 0; i < msg.entry_count; i++) {
            if (msg.entries[i].data != NULL) total += sizeof(struct blob) + msg.entries[i].data->size;
            ck_assert(msg.kind != RAFT_MSG_APPEND || msg.entries[i].index == msg.index + 1 + i);
        }
        raft_codec_entries_free(&msg);
    }
    *out_bad = reader.bad;
    return total;
}

START_TEST(test_raft_codec_mutated_frames_do_no_harm)
{
    struct rng rng;
    rng_init(&rng, 3);
    size_t refused = 0;
    for (int round = 0; round < 20 * ROUNDS; round++) {
        struct raft_msg msg = some_message(&rng);
        struct buf frame;
        buf_init(&frame);
        raft_codec_put(&frame, &msg);
        raft_codec_entries_free(&msg);
        size_t size = frame.size;
        if (rng_below(&rng, 3) == 0) size = rng_below(&rng, size + 1);
        struct blob *bytes = blob_copy(slice_make(frame.blob->data, size)); /* exact size: the sanitizer sees each byte too far */
        for (uint64_t k = rng_below(&rng, 4); k > 0 && size > 0; k--) bytes->data[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
        bool bad;
        ck_assert_uint_le(read_all(blob_slice(bytes), &bad), 2 * size);
        refused += bad;
        blob_unref(bytes);
        buf_deinit(&frame);
    }
    ck_assert_uint_gt(refused, ROUNDS);
}
END_TEST

/* An APPEND of index 10, log term 3, term 5, with one entry that the caller describes. */
static bool is_read(uint64_t kind, uint64_t index, uint64_t term, uint64_t entry_kind, uint64_t previous)
{
    struct buf frame, message, entry;
    buf_init(&frame);
    buf_init(&message);
    buf_init(&entry);
    if (index != UINT64_MAX) {
        buf_put_u8(&entry, 1 << 3 | PB_FIXED64);
        buf_put_u64(&entry, index);
    }
    buf_put_u8(&entry, 2 << 3 | PB_FIXED64);
    buf_put_u64(&entry, term);
    buf_put_pb_varint(&entry, 3, entry_kind);
    buf_put_pb_varint(&message, 1, kind);
    buf_put_pb_varint(&message, 6, 5);
    buf_put_pb_varint(&message, 7, previous);
    buf_put_pb_varint(&message, 8, 3);
    buf_put_pb_bytes(&message, 13, buf_slice(&entry));
    buf_put_pb_varint(&message, 200, 1); /* unknown: passed over */
    buf_put_pb_bytes(&frame, 1, buf_slice(&message));
    bool bad;
    (void)read_all(buf_slice(&frame), &bad);
    buf_deinit(&frame);
    buf_deinit(&message);
    buf_deinit(&entry);
    return !bad;
}

START_TEST(test_raft_codec_refuses_what_no_member_sends)
{
    ck_assert(is_read(RAFT_MSG_APPEND, 11, 4, 1, 10));
    ck_assert(!is_read(0, 11, 4, 1, 10));                       /* no kind */
    ck_assert(!is_read(12, 11, 4, 1, 10));                      /* unknown kinds */
    ck_assert(!is_read(38, 0, 0, 1, 10));
    ck_assert(!is_read(UINT64_C(1) << 32 | RAFT_MSG_APPEND, 11, 4, 1, 10));
    ck_assert(!is_read(RAFT_MSG_HEARTBEAT, 11, 4, 1, 10));      /* a kind without entries */
    ck_assert(!is_read(RAFT_MSG_APPEND, 12, 4, 1, 10));         /* a gap */
    ck_assert(!is_read(RAFT_MSG_APPEND, UINT64_MAX, 4, 1, 10)); /* no index */
    ck_assert(!is_read(RAFT_MSG_APPEND, 11, 2, 1, 10));         /* terms fall */
    ck_assert(!is_read(RAFT_MSG_APPEND, 11, 6, 1, 10));         /* beyond the leader's term */
    ck_assert(!is_read(RAFT_MSG_APPEND, 11, 4, 3, 10));         /* an unknown kind of entry */
    ck_assert(!is_read(RAFT_MSG_APPEND, 0, 4, 1, UINT64_MAX));  /* overflow */
    ck_assert(!is_read(RAFT_MSG_APPEND, UINT64_MAX - 1, 4, 1, UINT64_MAX - 1));
    ck_assert(!is_read(RAFT_MSG_FORWARD, 11, 0, 1, 10));
    ck_assert(is_read(RAFT_MSG_FORWARD, 0, 0, 1, 10));
    ck_assert(!is_read(RAFT_MSG_CHUNK, 11, 0, 1, 10));
    ck_assert(is_read(RAFT_MSG_CHUNK, 0, 0, 1, 10));
    ck_assert(!is_read(RAFT_MSG_CHUNK_GET, 0, 0, 1, 10));
    ck_assert(!is_read(RAFT_MSG_SNAPSHOT, 0, 0, 1, 10));
}
END_TEST

static bool is_read_with_entries(enum raft_msg_kind kind, size_t count)
{
    struct buf frame, message;
    buf_init(&frame);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, kind);
    for (size_t i = 0; i < count; i++) {
        static const uint8_t ENTRY[18] = {1 << 3 | PB_FIXED64, 0, 0, 0, 0, 0, 0, 0, 0, 2 << 3 | PB_FIXED64};
        buf_put_pb_bytes(&message, 13, slice_make(ENTRY, sizeof ENTRY));
    }
    buf_put_pb_bytes(&frame, 1, buf_slice(&message));
    bool bad;
    size_t total = read_all(buf_slice(&frame), &bad);
    ck_assert(!bad || total == 0);
    buf_deinit(&frame);
    buf_deinit(&message);
    return !bad;
}

START_TEST(test_raft_codec_refuses_too_many_entries)
{
    ck_assert(is_read_with_entries(RAFT_MSG_FORWARD, RAFT_CODEC_ENTRIES_MAX));
    ck_assert(!is_read_with_entries(RAFT_MSG_FORWARD, RAFT_CODEC_ENTRIES_MAX + 1));
    ck_assert(is_read_with_entries(RAFT_MSG_CHUNK, 1));
    ck_assert(!is_read_with_entries(RAFT_MSG_CHUNK, 2));
    ck_assert(is_read_with_entries(RAFT_MSG_READ_INDEX, 1));
    ck_assert(!is_read_with_entries(RAFT_MSG_READ_INDEX, 2));
    ck_assert(is_read_with_entries(RAFT_MSG_READ_ANSWER, 1));
    ck_assert(!is_read_with_entries(RAFT_MSG_READ_ANSWER, 2));
}
END_TEST

/* Member by member: the padding of a struct says nothing. */
static bool is_same_hello(const struct peer_hello *a, const struct peer_hello *b)
{
    return a->protocol_min == b->protocol_min && a->protocol_max == b->protocol_max && a->features == b->features &&
           a->cluster_id == b->cluster_id && a->member_id == b->member_id && a->target_id == b->target_id &&
           memcmp(a->directory_uuid, b->directory_uuid, sizeof a->directory_uuid) == 0 && a->boot_id == b->boot_id &&
           a->level == b->level && a->run_id == b->run_id && a->start_term == b->start_term && a->start_vote == b->start_vote &&
           a->start_index == b->start_index;
}

START_TEST(test_peer_hello_comes_back_and_agrees_with_the_proto_file)
{
    struct peer_hello hello = {.protocol_min = 1, .protocol_max = 3, .features = 5, .cluster_id = UINT64_MAX, .member_id = 7,
                               .target_id = 9, .directory_uuid = {1, 2, 3}, .boot_id = 77, .level = 4, .run_id = UINT64_MAX - 1,
                               .start_term = 5, .start_vote = 9, .start_index = UINT64_C(1) << 40};
    struct peer_hello came;
    struct buf bytes;
    buf_init(&bytes);
    peer_hello_encode(&hello, &bytes);
    ck_assert(peer_hello_decode(buf_slice(&bytes), &came));
    ck_assert(is_same_hello(&hello, &came));
    Kvd__Hello *seen = kvd__hello__unpack(NULL, bytes.size, bytes.blob->data);
    ck_assert_ptr_nonnull(seen);
    ck_assert(seen->protocol_max == 3 && seen->features == 5 && seen->cluster_id == UINT64_MAX && seen->member_id == 7);
    ck_assert(seen->target_id == 9 && seen->boot_id == 77 && seen->level == 4 && seen->directory_uuid.len == 16);
    ck_assert(seen->run_id == UINT64_MAX - 1 && seen->start_term == 5 && seen->start_vote == 9 && seen->start_index == UINT64_C(1) << 40);
    kvd__hello__free_unpacked(seen, NULL);
    struct rng rng;
    rng_init(&rng, 4);
    for (int round = 0; round < 20 * ROUNDS; round++) {
        size_t size = rng_below(&rng, 2) == 0 ? bytes.size : rng_below(&rng, bytes.size);
        struct blob *copy = blob_copy(slice_make(bytes.blob->data, size));
        if (size > 0) copy->data[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
        if (peer_hello_decode(blob_slice(copy), &came)) ck_assert(came.member_id != 0 && came.protocol_min <= came.protocol_max);
        blob_unref(copy);
    }
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_peer_hello_conflicts_are_told)
{
    struct peer_hello a = {.protocol_min = 1, .protocol_max = 2, .cluster_id = 5, .member_id = 1}, b = a;
    char text[160] = "";
    b.member_id = 2;
    ck_assert(!peer_hello_conflict(&a, &b, text));
    b.protocol_min = b.protocol_max = 3;
    ck_assert(peer_hello_conflict(&a, &b, text));
    ck_assert_str_eq(text, "protocol mismatch: member 1 speaks 1 to 2, member 2 speaks 3 to 3");
    b.cluster_id = 6;
    ck_assert(peer_hello_conflict(&a, &b, text));
    ck_assert_str_eq(text, "cluster ID mismatch: member 1 is of cluster 5, member 2 of cluster 6");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft_codec");
    TCase *codec = tcase_create("codec");
    tcase_set_timeout(codec, 60);
    tcase_add_test(codec, test_raft_codec_messages_come_back_as_they_were);
    tcase_add_test(codec, test_raft_codec_bytes_are_what_the_proto_file_says);
    tcase_add_test(codec, test_raft_codec_mutated_frames_do_no_harm);
    tcase_add_test(codec, test_raft_codec_refuses_what_no_member_sends);
    tcase_add_test(codec, test_raft_codec_refuses_too_many_entries);
    tcase_add_test(codec, test_peer_hello_comes_back_and_agrees_with_the_proto_file);
    tcase_add_test(codec, test_peer_hello_conflicts_are_told);
    suite_add_tcase(suite, codec);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
