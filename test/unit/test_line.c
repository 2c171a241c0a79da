/* test_line: whole members in one thread, from encoded request to encoded answer, with switch points, crashes, power loss and cuts. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "lib/world_inner.h"

#define WRITES_MAX 4000

static struct blob *put_request(const char *key, const char *value)
{
    struct buf buf;
    buf_init(&buf);
    buf_put_pb_bytes(&buf, 1, slice_from_string(key));
    buf_put_pb_bytes(&buf, 2, slice_from_string(value));
    struct blob *blob = buf_take_blob(&buf);
    buf_deinit(&buf);
    return blob;
}

static uint64_t put(struct world *world, uint32_t member, const char *key, const char *value)
{
    struct blob *request = put_request(key, value);
    uint64_t call = world_call(world, member, "/etcdserverpb.KV/Put", blob_slice(request));
    blob_unref(request);
    return call;
}

static uint64_t get(struct world *world, uint32_t member, const char *key)
{
    struct buf buf;
    buf_init(&buf);
    buf_put_pb_bytes(&buf, 1, slice_from_string(key));
    uint64_t call = world_call(world, member, "/etcdserverpb.KV/Range", buf_slice(&buf));
    buf_deinit(&buf);
    return call;
}

static struct slice field(struct slice message, uint32_t number)
{
    struct reader reader = reader_make(message);
    struct pb_field at;
    while (reader_pb_field(&reader, &at)) {
        if (at.number == number && at.wire == PB_BYTES) return at.bytes;
    }
    return slice_empty();
}

static int64_t header_revision(struct slice response)
{
    struct reader reader = reader_make(field(response, 1));
    struct pb_field at;
    while (reader_pb_field(&reader, &at)) {
        if (at.number == 3) return (int64_t)at.value;
    }
    return 0;
}

static void run_until(struct world *world, uint64_t call, enum err *out_err, struct slice *out_bytes)
{
    bool died = false;
    for (int i = 0; i < 2000 && !world_answer(world, call, out_err, out_bytes, &died); i++) world_run(world, 10 * NS_PER_MS);
    ck_assert(world_answer(world, call, out_err, out_bytes, &died));
    ck_assert(!died);
}

static void wait_ready(struct world *world, uint32_t members)
{
    for (int i = 0; i < 1000; i++) {
        uint32_t ready = 0;
        for (uint32_t m = 0; m < members; m++) ready += world_is_ready(world, m);
        if (ready == members) return;
        world_run(world, 10 * NS_PER_MS);
    }
    ck_abort_msg("the members never became ready");
}

static void write_and_read(uint32_t members, uint64_t seed)
{
    struct world *world = world_new(&(struct world_options){.seed = seed, .members = members, .switch_percent = 10});
    enum err err;
    struct slice bytes;
    wait_ready(world, members);
    for (uint32_t i = 0; i < 20; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "k%u", i % 7);
        snprintf(value, sizeof(value), "v%u", i);
        run_until(world, put(world, i % members, key, value), &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
        ck_assert_int_eq(header_revision(bytes), 2 + i);
        run_until(world, get(world, (i + 1) % members, key), &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
        ck_assert(slice_equal(field(field(bytes, 2), 5), slice_from_string(value)));
    }
    world_free(world);
}

START_TEST(test_a_single_member_takes_writes_and_serves_them) { write_and_read(1, 1); }
END_TEST

START_TEST(test_every_member_of_three_takes_writes_and_reads_what_any_other_acknowledged) { write_and_read(3, 2); }
END_TEST

START_TEST(test_bad_requests_are_answered_with_the_texts_of_the_api)
{
    struct world *world = world_new(&(struct world_options){.seed = 3, .members = 1});
    enum err err;
    struct slice bytes;
    wait_ready(world, 1);
    run_until(world, put(world, 0, "", "x"), &err, &bytes);
    ck_assert_str_eq(err_text(err), "etcdserver: key is not provided");
    run_until(world, world_call(world, 0, "/etcdserverpb.KV/Put", slice_from_string("\x0a\x7f garbage")), &err, &bytes);
    ck_assert_int_ne(err, ERR_OK);
    run_until(world, world_call(world, 0, "/etcdserverpb.Cluster/MemberAdd", slice_empty()), &err, &bytes);
    ck_assert_int_eq(err_grpc_code(err), ERR_CODE_UNIMPLEMENTED);
    world_free(world);
}
END_TEST

/* A large range pins its revision over many steps; a compaction that waits for it is looked at again when the pin is gone. */
START_TEST(test_a_physical_compaction_that_waits_for_a_reader_is_answered_though_nothing_else_happens)
{
    struct world *world = world_new(&(struct world_options){.seed = 4, .members = 1});
    enum err err;
    struct slice bytes;
    struct buf compact;
    bool is_gone = false, died = false;
    wait_ready(world, 1);
    for (uint32_t i = 0; i < 30; i++) {
        run_until(world, put(world, 0, "k", "v"), &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
    }
    struct mvcc *mvcc = state_machine_mvcc(world->members[0].line.apply.machine);
    int pin = mvcc_pin(mvcc, 5, &is_gone);
    ck_assert_int_ge(pin, 0);
    buf_init(&compact);
    buf_put_pb_varint(&compact, 1, 20);
    buf_put_pb_varint(&compact, 2, 1);
    uint64_t compaction = world_call(world, 0, "/etcdserverpb.KV/Compact", buf_slice(&compact));
    world_run(world, 5 * NS_PER_S);
    ck_assert(!world_answer(world, compaction, &err, &bytes, &died));
    mvcc_unpin(mvcc, pin);
    world_run(world, NS_PER_S);
    ck_assert(world_answer(world, compaction, &err, &bytes, &died));
    ck_assert_int_eq(err, ERR_OK);
    buf_deinit(&compact);
    world_free(world);
}
END_TEST

/* Of a new world (the caller frees it), whose members have "k" = "v" and nothing to do. */
static struct world_member *follower_of_three(uint64_t seed)
{
    struct world *world = world_new(&(struct world_options){.seed = seed, .members = 3});
    enum err err;
    struct slice bytes;
    wait_ready(world, 3);
    run_until(world, put(world, 0, "k", "v"), &err, &bytes);
    ck_assert_int_eq(err, ERR_OK);
    world_run(world, NS_PER_S);
    return &world->members[(world_leader(world) + 1) % 3];
}

/* Reads are asked for, others come while as many questions are under way as may be: net wakes nobody for them, and one question more is enough
 * for all. */
START_TEST(test_reads_that_come_while_a_follower_asks_go_with_its_next_question)
{
    struct world_member *member = follower_of_three(7);
    struct world *world = member->world;
    enum err err;
    struct slice bytes;
    struct line *line = &member->line;
    const uint32_t most = RAFT_READ_ROUNDS_MAX;
    uint64_t first_id = line->raft.next_id, calls[RAFT_READ_ROUNDS_MAX + 3];
    for (uint32_t i = 0; i < most + 3; i++) {
        atomic_store(&line->raft.actor.bell.state, DOORBELL_ASLEEP);
        calls[i] = get(world, member->number, "k");
        (void)actor_step(&line->net.actor, world_local_ns(member));
        ck_assert_uint_eq(atomic_load(&line->raft.actor.bell.state), i >= most ? DOORBELL_ASLEEP : DOORBELL_AWAKE);
        (void)actor_step(&line->raft.actor, world_local_ns(member));
        ck_assert_uint_eq(line->raft.reads.count, i < most ? i + 1 : most);
        ck_assert_uint_eq(line->raft.read_count, i + 1);
    }
    ck_assert_uint_eq(line->raft.next_id, first_id + most);
    member->idle_until_ns = 0;
    for (uint32_t i = 0; i < most + 3; i++) {
        run_until(world, calls[i], &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
        ck_assert(slice_equal(field(field(bytes, 2), 5), slice_from_string("v")));
    }
    ck_assert_uint_eq(line->raft.next_id, first_id + most + 1);
    ck_assert_uint_eq(line->raft.reads.count, 0);
    world_free(world);
}
END_TEST

/* The question is lost: all that waited for it are asked for again, together. */
START_TEST(test_reads_of_a_follower_whose_question_is_lost_are_asked_for_again)
{
    struct world_member *member = follower_of_three(8);
    struct world *world = member->world;
    enum err err;
    struct slice bytes;
    struct raft_actor *raft = &member->line.raft;
    uint64_t calls[3];
    for (uint32_t i = 0; i < 3; i++) {
        struct mail mail;
        calls[i] = get(world, member->number, "k");
        (void)actor_step(&member->line.net.actor, world_local_ns(member));
        (void)actor_step(&raft->actor, world_local_ns(member));
        while (lane_take(raft->lanes.to_peer_calls, &mail)) mail_deinit(&mail);
    }
    ck_assert_uint_eq(raft->reads.count, RAFT_READ_ROUNDS_MAX);
    uint64_t asked_ns = raft->gathered[0]->asked_ns, last_ns = asked_ns + 600 * NS_PER_MS;
    ck_assert_uint_le(raft_reads_deadline_ns(raft), last_ns);
    member->idle_until_ns = 0;
    for (uint32_t i = 0; i < 3; i++) {
        run_until(world, calls[i], &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
    }
    ck_assert_uint_le(raft->now_ns, last_ns + 100 * NS_PER_MS);
    world_free(world);
}
END_TEST

/* A member alone that has k = v. */
static struct world *single_with_value(const struct world_options *options)
{
    struct world *world = world_new(options);
    enum err err;
    struct slice bytes;
    wait_ready(world, 1);
    run_until(world, put(world, 0, "k", "v"), &err, &bytes);
    ck_assert_int_eq(err, ERR_OK);
    return world;
}

START_TEST(test_a_read_of_what_is_published_does_not_pass_through_apply)
{
    struct world *world = single_with_value(&(struct world_options){.seed = 9, .members = 1});
    struct line *line = &world->members[0].line;
    enum err err;
    struct slice bytes;
    bool died = false;
    world_run(world, NS_PER_S);
    uint64_t call = get(world, 0, "k");
    (void)actor_step(&line->net.actor, world_local_ns(&world->members[0]));
    (void)actor_step(&line->raft.actor, world_local_ns(&world->members[0]));
    (void)actor_step(&line->net.actor, world_local_ns(&world->members[0]));
    ck_assert(world_answer(world, call, &err, &bytes, &died));
    ck_assert_int_eq(err, ERR_OK);
    ck_assert(slice_equal(field(field(bytes, 2), 5), slice_from_string("v")));
    world_free(world);
}
END_TEST

/* Both are decided, and wait in front of a full lane for a role that is not stepped any more. */
START_TEST(test_a_read_and_a_write_that_are_held_back_for_apply_are_answered_when_the_member_stops)
{
    struct world *world = single_with_value(&(struct world_options){.seed = 6, .members = 1, .lane_peer = 8});
    struct line *line = &world->members[0].line;
    struct mail filler = {.kind = MAIL_LEADER};
    enum err err;
    struct slice bytes;
    bool died = false;
    while (line->raft.backlog_count == 0) raft_actor_post_apply(&line->raft, &filler);
    uint64_t calls[2] = {put(world, 0, "k", "w"), 0};
    for (uint32_t i = 0; i < 8; i++) { /* everybody but apply */
        if (i == 4) calls[1] = get(world, 0, "k"); /* it must see the write */
        (void)actor_step(&line->net.actor, world_local_ns(&world->members[0]));
        (void)actor_step(&line->raft.actor, world_local_ns(&world->members[0]));
        (void)actor_step(&line->wal.actor, world_local_ns(&world->members[0]));
    }
    ck_assert_uint_ge(line->raft.backlog_count, 3);
    raft_actor_fail_all(&line->raft, ERR_STOPPED);
    (void)actor_step(&line->net.actor, world_local_ns(&world->members[0]));
    for (uint32_t i = 0; i < 2; i++) {
        ck_assert_msg(world_answer(world, calls[i], &err, &bytes, &died), "call %u", i);
        ck_assert_int_eq(err, ERR_STOPPED);
    }
    world_free(world);
}
END_TEST

/* What apply takes out of a full lane need not be a commit: the room is news, too. */
START_TEST(test_a_write_behind_a_lane_full_of_other_news_is_answered_when_apply_has_taken_it)
{
    struct world *world = single_with_value(&(struct world_options){.seed = 6, .members = 1, .lane_peer = 8});
    struct line *line = &world->members[0].line;
    enum err err;
    struct slice bytes;
    bool died = false;
    struct mail filler = {.kind = MAIL_LEADER, .leader = {.term = SHARED_GET(line->raft.shared, term), .leader = line->raft.self, .is_me = true}};
    while (!lane_is_full(line->raft.lanes.to_apply)) raft_actor_post_apply(&line->raft, &filler);
    world->members[0].nap_until_ns = world->now_ns + 100 * NS_PER_MS; /* apply's */
    uint64_t call = put(world, 0, "k", "w");
    world_run(world, 50 * NS_PER_MS);
    ck_assert_uint_eq(line->raft.backlog_count, 1);
    world_run(world, NS_PER_S);
    ck_assert(world_answer(world, call, &err, &bytes, &died));
    ck_assert_int_eq(err, ERR_OK);
    world_free(world);
}
END_TEST

/* A client that does not read its stream keeps a pin, and a compaction waits for that: neither may keep the other's call for ever. */
START_TEST(test_a_physical_compaction_that_waits_for_a_reader_is_answered_when_the_member_stops)
{
    struct world *world = world_new(&(struct world_options){.seed = 5, .members = 1, .chunk_bytes = 1});
    enum err err;
    struct slice bytes;
    struct buf compact, range;
    bool died = false;
    wait_ready(world, 1);
    for (uint32_t i = 0; i < 30; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        run_until(world, put(world, 0, key, "v"), &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
    }
    buf_init(&range);
    buf_put_pb_bytes(&range, 1, slice_from_string("k"));
    buf_put_pb_bytes(&range, 2, slice_from_string("l"));
    buf_put_pb_varint(&range, 4, 25);
    uint64_t stream = world_call(world, 0, "/etcdserverpb.KV/RangeStream", buf_slice(&range));
    world_call_slowly(world, stream);
    world_run(world, NS_PER_S);
    buf_init(&compact);
    buf_put_pb_varint(&compact, 1, 30);
    buf_put_pb_varint(&compact, 2, 1);
    uint64_t compaction = world_call(world, 0, "/etcdserverpb.KV/Compact", buf_slice(&compact));
    world_run(world, NS_PER_S);
    ck_assert(!world_answer(world, stream, &err, &bytes, &died));
    ck_assert(!world_answer(world, compaction, &err, &bytes, &died));
    struct world_member *member = &world->members[0];
    struct mail mail = {.kind = MAIL_DRAIN};
    ck_assert(lane_post(member->line.apply.lanes.from_main, &mail));
    member->idle_until_ns = 0;
    world_run(world, 10 * NS_PER_MS);
    ck_assert(world_answer(world, compaction, &err, &bytes, &died));
    ck_assert(!died);
    ck_assert_int_eq(err, ERR_STOPPED);
    buf_deinit(&compact);
    buf_deinit(&range);
    world_free(world);
}
END_TEST

/* --- random faults --- */

struct write {
    uint64_t call;
    char key[16];
    char value[24];
    bool is_acknowledged;
    int64_t revision;
};
struct history {
    struct write writes[WRITES_MAX];
    uint32_t count;
    uint32_t acknowledged;
};

static void check_answers(struct world *world, struct history *history)
{
    for (uint32_t i = 0; i < history->count; i++) {
        struct write *write = &history->writes[i];
        enum err err;
        struct slice bytes;
        bool died;
        if (write->is_acknowledged || !world_answer(world, write->call, &err, &bytes, &died) || died || err != ERR_OK) continue;
        write->is_acknowledged = true;
        write->revision = header_revision(bytes);
        history->acknowledged++;
    }
}

static void random_fault(struct world *world, struct rng *rng, uint32_t members)
{
    uint32_t member = (uint32_t)rng_below(rng, members);
    switch (rng_below(rng, 8)) {
    case 0:
        if (world_is_up(world, member)) world_kill(world, member, rng_below(rng, 2) == 0);
        break;
    case 1:
        for (uint32_t i = 0; i < members; i++) {
            if (world_is_up(world, i)) world_kill(world, i, true);
        }
        break;
    case 2:
        world_cut(world, member, (member + 1) % members, true);
        break;
    case 3:
        for (uint32_t i = 0; i < members; i++) {
            world_cut(world, member, i, i != member);
            world_cut(world, i, member, i != member);
        }
        break;
    case 4:
    case 5:
        for (uint32_t i = 0; i < members; i++) {
            for (uint32_t j = 0; j < members; j++) world_cut(world, i, j, false);
        }
        break;
    default: break;
    }
    for (uint32_t i = 0; i < members; i++) {
        if (!world_is_up(world, i) && rng_below(rng, 2) == 0) (void)world_start(world, i);
    }
}

static void heal(struct world *world, uint32_t members)
{
    for (uint32_t i = 0; i < members; i++) {
        for (uint32_t j = 0; j < members; j++) world_cut(world, i, j, false);
        if (!world_is_up(world, i)) (void)world_start(world, i);
    }
}

/* Every key is written once, so what was acknowledged must be there as it was, at its revision. */
static void check_all_there(struct world *world, struct history *history, uint32_t members)
{
    for (uint32_t i = 0; i < history->count; i++) {
        struct write *write = &history->writes[i];
        enum err err;
        struct slice bytes;
        if (!write->is_acknowledged) continue;
        run_until(world, get(world, i % members, write->key), &err, &bytes);
        ck_assert_int_eq(err, ERR_OK);
        struct slice kv = field(bytes, 2);
        ck_assert_msg(kv.size > 0, "%s was acknowledged at revision %ld and is gone", write->key, (long)write->revision);
        ck_assert(slice_equal(field(kv, 5), slice_from_string(write->value)));
        struct reader reader = reader_make(kv);
        struct pb_field at;
        while (reader_pb_field(&reader, &at)) {
            if (at.number == 3) ck_assert_int_eq((int64_t)at.value, write->revision);
        }
    }
}

static void check_members_agree(struct world *world, uint32_t members)
{
    uint64_t applied[WORLD_MEMBERS_MAX], hash[WORLD_MEMBERS_MAX];
    int64_t revision[WORLD_MEMBERS_MAX];
    bool agree = false;
    for (int i = 0; i < 1000 && !agree; i++) {
        world_run(world, 20 * NS_PER_MS);
        agree = true;
        for (uint32_t m = 0; m < members; m++) {
            hash[m] = world_hash(world, m, &applied[m], &revision[m]);
            agree = agree && applied[m] == applied[0];
        }
    }
    ck_assert(agree);
    for (uint32_t m = 1; m < members; m++) {
        ck_assert_int_eq(revision[m], revision[0]);
        ck_assert_uint_eq(hash[m], hash[0]);
    }
}

static void run_faults(uint64_t seed, uint32_t members)
{
    struct world *world = world_new(&(struct world_options){
        .seed = seed, .members = members, .switch_percent = seed % 3 == 0 ? 0 : 10, .break_permille = seed % 2 == 0 ? 0 : 50});
    struct history *history = calloc(1, sizeof(*history));
    struct rng rng;
    rng_init(&rng, seed * 7919);
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t i = 0; i < 10 && history->count < WRITES_MAX; i++) {
            uint32_t member = (uint32_t)rng_below(&rng, members);
            if (!world_is_up(world, member)) continue;
            struct write *write = &history->writes[history->count];
            snprintf(write->key, sizeof(write->key), "k%u", history->count);
            snprintf(write->value, sizeof(write->value), "v%u", history->count);
            write->call = put(world, member, write->key, write->value);
            history->count++;
        }
        world_run(world, 20 * NS_PER_MS + rng_below(&rng, 400 * NS_PER_MS));
        check_answers(world, history);
        random_fault(world, &rng, members);
    }
    heal(world, members);
    wait_ready(world, members);
    world_run(world, 8 * NS_PER_S); /* every call has its answer or its deadline */
    check_answers(world, history);
    for (uint32_t i = 0; i < history->count; i++) {
        enum err err;
        struct slice bytes;
        bool died;
        ck_assert_msg(world_answer(world, history->writes[i].call, &err, &bytes, &died), "call %u was never answered", i);
    }
    ck_assert_uint_gt(history->acknowledged, history->count / 20);
    check_all_there(world, history, members);
    check_members_agree(world, members);
    free(history);
    world_free(world);
}

static uint64_t seed_count(void)
{
    const char *is_long = getenv("KVD_TEST_LONG");
    return is_long != NULL && is_long[0] == '1' ? 200 : 8;
}

START_TEST(test_nothing_acknowledged_is_lost_under_kills_power_loss_and_cuts)
{
    for (uint64_t seed = 1; seed <= seed_count(); seed++) {
        const char *only = getenv("KVD_TEST_SEED");
        if (only != NULL && (uint64_t)atoll(only) != seed) continue;
        run_faults(seed, seed % 4 == 0 ? 5 : seed % 4 == 1 ? 1 : 3);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("line");
    TCase *tcase = tcase_create("line");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, test_a_single_member_takes_writes_and_serves_them);
    tcase_add_test(tcase, test_every_member_of_three_takes_writes_and_reads_what_any_other_acknowledged);
    tcase_add_test(tcase, test_bad_requests_are_answered_with_the_texts_of_the_api);
    tcase_add_test(tcase, test_a_physical_compaction_that_waits_for_a_reader_is_answered_though_nothing_else_happens);
    tcase_add_test(tcase, test_reads_that_come_while_a_follower_asks_go_with_its_next_question);
    tcase_add_test(tcase, test_reads_of_a_follower_whose_question_is_lost_are_asked_for_again);
    tcase_add_test(tcase, test_a_read_of_what_is_published_does_not_pass_through_apply);
    tcase_add_test(tcase, test_a_read_and_a_write_that_are_held_back_for_apply_are_answered_when_the_member_stops);
    tcase_add_test(tcase, test_a_write_behind_a_lane_full_of_other_news_is_answered_when_apply_has_taken_it);
    tcase_add_test(tcase, test_a_physical_compaction_that_waits_for_a_reader_is_answered_when_the_member_stops);
    tcase_add_test(tcase, test_nothing_acknowledged_is_lost_under_kills_power_loss_and_cuts);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
