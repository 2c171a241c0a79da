/* Keep-alives: the streams over a port made of arrays; then whole members in one thread: who may renew, and for how long. */
#include <check.h>
#include <stdlib.h>

#include "lib/world_inner.h"
#include "pipeline/keep_alive.h"

/* --- the streams ------------------------------------------------------------------------------------------------------------- */

#define STREAMS 4
#define SENT_MAX 4096

struct double_port {
    struct watch_port port; /* first */
    bool wants[STREAMS], is_sending[STREAMS], is_finished[STREAMS];
    enum err err[STREAMS];
    int64_t ids[STREAMS][SENT_MAX], ttls[STREAMS][SENT_MAX];
    uint32_t sent[STREAMS];
};
static struct double_port port;
static struct keep_alive keeper;
static struct config config;
static struct shared shared;
static struct lane from_raft, from_apply, to_raft;

static void port_next(struct watch_port *self, uint64_t stream)
{
    (void)self;
    ck_assert(!port.wants[stream] && !port.is_finished[stream]);
    port.wants[stream] = true;
}

static bool port_send(struct watch_port *self, uint64_t stream, struct slice head, struct blob *rest)
{
    struct reader reader = reader_make(head);
    struct pb_field field;
    (void)self;
    ck_assert(rest == NULL && !port.is_sending[stream] && !port.is_finished[stream] && port.sent[stream] < SENT_MAX);
    uint32_t at = port.sent[stream]++;
    port.ids[stream][at] = port.ttls[stream][at] = 0;
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 2) port.ids[stream][at] = (int64_t)field.value;
        if (field.number == 3) port.ttls[stream][at] = (int64_t)field.value;
    }
    port.is_sending[stream] = true;
    return false;
}

static void port_finish(struct watch_port *self, uint64_t stream, enum err err)
{
    (void)self;
    ck_assert(!port.is_finished[stream]);
    port.is_finished[stream] = true;
    port.err[stream] = err;
}

static const struct watch_port_table PORT_TABLE = {.next = port_next, .send = port_send, .finish = port_finish};

static void event(enum watch_event_kind kind, uint64_t stream, struct slice body, bool ok)
{
    struct watch_event what = {.kind = kind, .method = WATCH_METHOD_KEEP_ALIVE, .stream = stream, .body = body, .ok = ok};
    if (kind == WATCH_MESSAGE) port.wants[stream] = false;
    if (kind == WATCH_SENT) port.is_sending[stream] = false;
    keep_alive_take_event(&keeper, &what, 1, NS_PER_S);
}

static void ask(uint64_t stream, int64_t lease)
{
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)lease);
    ck_assert(port.wants[stream]);
    event(WATCH_MESSAGE, stream, buf_slice(&body), true);
    buf_deinit(&body);
}

static void set_up(void)
{
    struct lane *lanes[] = {&from_raft, &from_apply, &to_raft};
    port = (struct double_port){.port.table = &PORT_TABLE};
    config_init(&config);
    config.request_timeout_ns = 7 * NS_PER_S;
    for (size_t i = 0; i < 3; i++) lane_init(lanes[i], "lane", KEEP_ALIVE_LANE, NULL);
    keep_alive_init(&keeper, &(struct keep_alive_options){.config = &config, .shared = &shared, .port = &port.port, .cluster_id = 1, .self = 2});
    keeper.from_raft = &from_raft;
    keeper.from_apply = &from_apply;
    keeper.to_raft = &to_raft;
    for (uint64_t i = 0; i < STREAMS; i++) event(WATCH_OPEN, i, slice_empty(), true);
}

static void tear_down(void)
{
    keep_alive_deinit(&keeper);
    lane_deinit(&from_raft);
    lane_deinit(&from_apply);
    lane_deinit(&to_raft);
}

/* The next batch on its way to raft; NULL = none. */
static struct read_batch *batch(void)
{
    struct mail mail;
    while (keep_alive_flush(&keeper, NS_PER_S)) continue;
    if (!lane_take(&to_raft, &mail)) return NULL;
    ck_assert(mail.kind == MAIL_READ && read_batch_is_renewal(mail.read.batch));
    return mail.read.batch;
}

/* It comes back: each lease has its id as TTL. */
static void answer(struct read_batch *read, enum err err, uint64_t now_ns)
{
    struct mail mail = {.kind = err == ERR_OK ? MAIL_READ_BATCH : MAIL_READ_FAIL, .read = {.batch = read, .err = err}};
    for (uint32_t i = 0; i < read->count; i++) read->questions[i].ttl = read->questions[i].lease;
    lane_must_post(err == ERR_OK ? &from_apply : &from_raft, &mail);
    keep_alive_take_mail(&keeper, 1, now_ns);
}

START_TEST(test_what_several_streams_ask_leaves_as_one_batch_and_is_answered_in_order)
{
    ask(0, 5);
    ask(1, 6);
    ask(0, 7);
    struct read_batch *read = batch();
    ck_assert(read != NULL && read->count == 3 && batch() == NULL);
    ask(0, 8); /* waits for the next one */
    answer(read, ERR_OK, NS_PER_S);
    ck_assert(port.sent[0] == 1 && port.sent[1] == 1 && port.ids[0][0] == 5 && port.ttls[0][0] == 5 && port.ids[1][0] == 6);
    event(WATCH_SENT, 0, slice_empty(), true);
    event(WATCH_SENT, 0, slice_empty(), true);
    ck_assert(port.sent[0] == 2 && port.ids[0][1] == 7);
    answer(batch(), ERR_OK, NS_PER_S);
    ck_assert(port.sent[0] == 3 && port.ids[0][2] == 8 && keeper.request_count == 0);
}
END_TEST

START_TEST(test_a_stream_that_does_not_read_is_asked_for_no_more_than_may_wait)
{
    uint32_t asked = 0;
    while (port.wants[0]) ask(0, ++asked);
    ck_assert_uint_eq(asked, KEEP_ALIVE_STREAM_MAX);
    answer(batch(), ERR_OK, NS_PER_S);
    ck_assert(port.sent[0] == 1 && port.wants[0]); /* one has left */
    ask(0, ++asked);
    ck_assert(!port.wants[0]);
    answer(batch(), ERR_OK, NS_PER_S);
    ck_assert(port.sent[0] == 1 && !port.wants[0]);
}
END_TEST

START_TEST(test_no_more_batches_are_under_way_than_may_be)
{
    struct read_batch *batches[KEEP_ALIVE_BATCHES_MAX];
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++) {
        ask(i % STREAMS, i + 1);
        batches[i] = batch();
        ck_assert_ptr_nonnull(batches[i]);
    }
    ask(0, 100);
    ask(1, 101);
    ck_assert_ptr_null(batch());
    answer(batches[1], ERR_OK, NS_PER_S);
    struct read_batch *last = batch();
    ck_assert(last != NULL && last->count == 2);
    ck_assert_uint_eq(port.sent[1], 1);
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++)
        if (i != 1) answer(batches[i], ERR_OK, NS_PER_S);
    answer(last, ERR_OK, NS_PER_S);
    ck_assert_uint_eq(keeper.request_count, STREAMS + 2); /* of each stream one has left, the others wait behind it */
}
END_TEST

START_TEST(test_a_leader_that_changes_is_asked_again_in_the_same_order_until_the_calls_time_is_over)
{
    ask(0, 5);
    ask(1, 6);
    struct read_batch *read = batch();
    ask(0, 7);
    answer(read, ERR_LEADER_CHANGED, NS_PER_S);
    read = batch();
    ck_assert(read != NULL && read->count == 3 && read->questions[0].lease == 5 && read->questions[2].lease == 7);
    ck_assert(!port.is_finished[0] && port.sent[0] == 0);
    SHARED_SET(&shared, leader, 9);
    answer(read, ERR_LEADER_CHANGED, 9 * NS_PER_S);
    ck_assert(port.is_finished[0] && port.err[0] == ERR_TIMEOUT && port.is_finished[1] && keeper.request_count == 0);
    SHARED_SET(&shared, leader, 0);
    ask(2, 8);
    answer(batch(), ERR_TIMEOUT, NS_PER_S);
    ck_assert(port.err[2] == ERR_NO_LEADER && !port.is_finished[3]);
}
END_TEST

START_TEST(test_the_last_word_waits_for_the_answers_before_it)
{
    ask(0, 5);
    event(WATCH_MESSAGE, 0, slice_empty(), false);
    ask(1, 6);
    event(WATCH_MESSAGE, 1, slice_make("\x08", 1), true);
    ck_assert(!port.is_finished[0] && !port.is_finished[1] && !port.wants[0] && !port.wants[1]);
    answer(batch(), ERR_OK, NS_PER_S);
    ck_assert(port.sent[0] == 1 && port.sent[1] == 1 && !port.is_finished[0]);
    event(WATCH_SENT, 0, slice_empty(), true);
    event(WATCH_SENT, 1, slice_empty(), true);
    ck_assert(port.is_finished[0] && port.err[0] == ERR_OK && port.is_finished[1] && port.err[1] == ERR_MALFORMED);
    event(WATCH_CLOSED, 0, slice_empty(), false);
    ck_assert_uint_eq(keeper.stream_count, STREAMS - 1);
}
END_TEST

START_TEST(test_a_stream_that_is_gone_leaves_nothing_behind)
{
    ask(0, 5);
    ask(0, 6);
    struct read_batch *read = batch();
    ask(0, 7);
    ask(1, 8);
    keep_alive_end_all(&keeper, false, ERR_STOPPED);
    ck_assert(port.is_finished[0] && port.err[0] == ERR_STOPPED);
    ck_assert_uint_eq(keeper.request_count, 2); /* those that are under way */
    for (uint64_t i = 0; i < STREAMS; i++) event(WATCH_CLOSED, i, slice_empty(), false);
    answer(read, ERR_OK, NS_PER_S);
    ck_assert(keeper.request_count == 0 && keeper.stream_count == 0 && batch() == NULL && port.sent[0] == 0);
}
END_TEST

/* --- whole members ----------------------------------------------------------------------------------------------------------- */

#define MEMBERS 3

/* In the place of the watch role: batches of one renewal go in by hand. */
struct hand {
    struct actor actor;
    struct lane to_raft, from_raft, from_apply;
};
static struct hand hands[MEMBERS];
static bool hand_step(struct actor *actor, uint64_t now_ns)
{
    (void)actor;
    (void)now_ns;
    return false;
}
static const struct actor_table hand_table = {.name = "hand", .step = hand_step};
static struct world *world;

static void attach(uint32_t number)
{
    struct hand *hand = &hands[number];
    struct line *line = &world->members[number].line;
    actor_init(&hand->actor, &hand_table);
    lane_init(&hand->to_raft, "watch→raft", KEEP_ALIVE_LANE, &world->board); /* which hears it, as on every lane of the line */
    lane_init(&hand->from_raft, "raft→watch", KEEP_ALIVE_LANE, NULL);
    lane_init(&hand->from_apply, "apply→watch answers", KEEP_ALIVE_LANE, NULL);
    actor_connect(&hand->actor, &line->raft.actor, &hand->to_raft);
    actor_connect(&line->raft.actor, &hand->actor, &hand->from_raft);
    actor_connect(&line->apply.actor, &hand->actor, &hand->from_apply);
    line->raft.lanes.from_watch = &hand->to_raft;
    line->raft.lanes.to_watch = &hand->from_raft;
    line->apply.lanes.to_watch_answers = &hand->from_apply;
}

static void set_up_world(void)
{
    world = world_new(&(struct world_options){.seed = 5, .members = MEMBERS, .switch_percent = 10, .election_ms = 1000, .lease_checkpoint_ms = 5000});
    for (uint32_t i = 0; i < MEMBERS; i++) attach(i);
    for (int i = 0; i < 1000 && !(world_is_ready(world, 0) && world_is_ready(world, 1) && world_is_ready(world, 2)); i++) world_run(world, 10 * NS_PER_MS);
}

static void tear_down_world(void)
{
    world_free(world);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        lane_deinit(&hands[i].to_raft);
        lane_deinit(&hands[i].from_raft);
        lane_deinit(&hands[i].from_apply);
    }
}

static void renew_soon(uint32_t member, int64_t lease)
{
    const uint64_t no_call = 0;
    struct lease_question question = {.is_renewal = true, .lease = lease};
    struct mail mail = {.kind = MAIL_READ, .read.batch = mail_questions_new(&no_call, &question, 1, world_local_ns(&world->members[member]))};
    lane_must_post(&hands[member].to_raft, &mail);
    world_wake(&world->members[member]);
}

/* The TTL; −1: it was told that it failed, or was told nothing. */
static int64_t renewed(uint32_t member)
{
    struct mail mail;
    if (!lane_take(&hands[member].from_apply, &mail) && !lane_take(&hands[member].from_raft, &mail)) return -1;
    int64_t ttl = mail.kind == MAIL_READ_BATCH ? mail.read.batch->questions[0].ttl : -1;
    mail_deinit(&mail);
    return ttl;
}

static int64_t renew(uint32_t member, int64_t lease)
{
    renew_soon(member, lease);
    world_run(world, 100 * NS_PER_MS);
    return renewed(member);
}

/* The answer of a call about leases: field 3, the TTL. */
static int64_t ask_ttl(uint32_t member, const char *path, int64_t first, int64_t second)
{
    struct buf body;
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false;
    buf_init(&body);
    buf_put_pb_varint(&body, 1, (uint64_t)first);
    buf_put_pb_varint(&body, 2, (uint64_t)second);
    uint64_t call = world_call(world, member, path, buf_slice(&body));
    buf_deinit(&body);
    for (int i = 0; i < 500 && !world_answer(world, call, &err, &bytes, &died); i++) world_run(world, 10 * NS_PER_MS);
    ck_assert(world_answer(world, call, &err, &bytes, &died) && !died && err == ERR_OK);
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (field.number == 3 && field.wire == PB_VARINT) return (int64_t)field.value;
    return 0;
}

static void grant(uint32_t member, int64_t lease, int64_t ttl) { ck_assert_int_eq(ask_ttl(member, "/etcdserverpb.Lease/LeaseGrant", ttl, lease), ttl); }
static bool lives(uint32_t member, int64_t lease) { return ask_ttl(member, "/etcdserverpb.Lease/LeaseTimeToLive", lease, 0) != -1; }

static uint32_t leader(void)
{
    int found = -1;
    for (int i = 0; i < 2000 && found < 0; i++) {
        world_run(world, 10 * NS_PER_MS);
        found = world_followed_leader(world);
    }
    ck_assert_int_ge(found, 0);
    return (uint32_t)found;
}

static void isolate(uint32_t member, bool is_cut)
{
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (i == member) continue;
        world_cut(world, member, i, is_cut);
        world_cut(world, i, member, is_cut);
    }
}

START_TEST(test_every_member_renews_what_lives_and_nothing_else)
{
    uint32_t first = leader();
    grant(first, 7, 4);
    for (uint32_t i = 0; i < 8; i++) {
        ck_assert_int_eq(renew((first + i) % MEMBERS, 7), 4);
        ck_assert_int_eq(renew((first + i) % MEMBERS, 8), 0);
        world_run(world, NS_PER_S);
    }
    ck_assert(lives(first, 7));
    world_run(world, 6 * NS_PER_S);
    ck_assert(!lives(first, 7) && renew(first, 7) == 0);
}
END_TEST

START_TEST(test_a_leader_that_is_cut_off_renews_nothing)
{
    uint32_t old = leader();
    grant(old, 7, 4);
    isolate(old, true);
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++) {
        ck_assert_int_eq(renew(old, 7), -1);
        world_run(world, 300 * NS_PER_MS); /* over the time at which it notices */
    }
    uint32_t other = leader();
    ck_assert_uint_ne(other, old);
    world_run(world, 8 * NS_PER_S); /* the other leader lets it go */
    ck_assert(!lives(other, 7));
    isolate(old, false);
    world_run(world, 10 * NS_PER_S);
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++) ck_assert_int_le(renewed(old), 0);
    ck_assert_int_eq(renew(old, 7), 0);
}
END_TEST

START_TEST(test_a_new_leader_gives_a_lease_its_time_anew)
{
    uint32_t old = leader();
    grant(old, 7, 3);
    for (uint32_t i = 0; i < 6; i++) {
        ck_assert_int_eq(renew(old, 7), 3);
        world_run(world, NS_PER_S);
    }
    ck_assert_int_eq(renew(old, 7), 3);
    uint64_t renewed_ns = world_now_ns(world) - 100 * NS_PER_MS;
    world_kill(world, old, false);
    uint32_t other = leader();
    while (world_now_ns(world) < renewed_ns + 2900 * NS_PER_MS) {
        ck_assert(lives(other, 7));
        world_run(world, 50 * NS_PER_MS);
    }
    world_run(world, 5 * NS_PER_S);
    ck_assert(!lives(other, 7));
}
END_TEST

/* What a lease has left is in the log: neither does a new leader give it its whole time, nor does a renewal live by an old checkpoint. */
static void change_leader_after(bool is_renewed, uint64_t *out_lived_ns)
{
    uint32_t old = leader(), rest = (old + 1) % MEMBERS;
    grant(old, 7, 20);
    world_run(world, 12 * NS_PER_S);
    struct lease_set *set = state_machine_leases(world->members[rest].line.apply.machine);
    int64_t remaining = lease_set_row(set, lease_set_find(set, 7))->remaining;
    ck_assert(remaining > 5 && remaining < 15);
    if (is_renewed) ck_assert_int_eq(renew(rest, 7), 20); /* through a follower */
    if (is_renewed) ck_assert_int_eq(lease_set_row(set, lease_set_find(set, 7))->remaining, 0);
    world_kill(world, old, false);
    uint64_t since_ns = world_now_ns(world);
    uint32_t other = leader();
    while (lives(other, 7)) world_run(world, 50 * NS_PER_MS);
    *out_lived_ns = world_now_ns(world) - since_ns;
}

START_TEST(test_a_new_leader_counts_from_the_last_checkpoint)
{
    uint64_t lived_ns;
    change_leader_after(false, &lived_ns);
    ck_assert(lived_ns >= 8 * NS_PER_S && lived_ns < 17 * NS_PER_S);
}
END_TEST

START_TEST(test_a_renewal_takes_the_checkpoint_back_before_it_is_answered)
{
    uint64_t lived_ns;
    change_leader_after(true, &lived_ns);
    ck_assert(lived_ns >= 19900 * NS_PER_MS && lived_ns < 25 * NS_PER_S);
}
END_TEST

START_TEST(test_a_renewal_of_many_with_checkpoints_waits_for_all_of_them)
{
    uint32_t first = leader();
    for (int64_t id = 1; id <= 10; id++) grant(first, id, 20);
    world_run(world, 6 * NS_PER_S);
    const uint64_t no_calls[10] = {0};
    struct lease_question questions[10];
    for (int64_t id = 1; id <= 10; id++) questions[id - 1] = (struct lease_question){.is_renewal = true, .lease = id};
    struct mail mail = {.kind = MAIL_READ, .read.batch = mail_questions_new(no_calls, questions, 10, world_local_ns(&world->members[first]))};
    lane_must_post(&hands[first].to_raft, &mail);
    renew_soon(first, 3); /* behind it, in order */
    world_run(world, NS_PER_S);
    ck_assert(lane_take(&hands[first].from_apply, &mail) && mail.kind == MAIL_READ_BATCH && mail.read.batch->count == 10);
    for (uint32_t i = 0; i < 10; i++) ck_assert_int_eq(mail.read.batch->questions[i].ttl, 20);
    mail_deinit(&mail);
    ck_assert_int_eq(renewed(first), 20);
    const struct lease_set *set = state_machine_leases(world->members[first].line.apply.machine);
    for (int64_t id = 1; id <= 10; id++) ck_assert_int_eq(lease_set_row(set, lease_set_find(set, id))->remaining, 0);
}
END_TEST

START_TEST(test_who_leads_no_more_calls_nothing_over)
{
    uint32_t first = leader(), other = (first + 1) % MEMBERS;
    grant(first, 7, 100);
    struct lease *lease = lease_set_find(state_machine_leases(world->members[first].line.apply.machine), 7);
    struct lease_request_expiry expiry = {
        .id = 7, .granted_index = lease_set_row(state_machine_leases(world->members[first].line.apply.machine), lease)->granted_index};
    struct buf body;
    buf_init(&body);
    lease_request_put_expiry(&expiry, &body);
    struct command command = {.level = COMMAND_LEVEL, .kind = COMMAND_LEASE_EXPIRE, .body = buf_slice(&body),
                              .id = {.member = world->members[other].id, .boot = world->members[other].line.run_id, .counter = UINT64_C(1) << 62}};
    struct mail mail = {.kind = MAIL_LEASES, .leases = {.command = command_encode(&command), .term = SHARED_GET(&world->members[other].line.shared, term)}};
    buf_deinit(&body);
    lane_must_post(world->members[other].line.apply.lanes.to_raft, &mail); /* as if it had led until a moment ago */
    world_wake(&world->members[other]);
    world_run(world, NS_PER_S);
    ck_assert(lives(first, 7));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keep_alive");
    TCase *streams = tcase_create("streams"), *members = tcase_create("members");
    tcase_set_timeout(members, 60);
    tcase_add_checked_fixture(streams, set_up, tear_down);
    tcase_add_test(streams, test_what_several_streams_ask_leaves_as_one_batch_and_is_answered_in_order);
    tcase_add_test(streams, test_a_stream_that_does_not_read_is_asked_for_no_more_than_may_wait);
    tcase_add_test(streams, test_no_more_batches_are_under_way_than_may_be);
    tcase_add_test(streams, test_a_leader_that_changes_is_asked_again_in_the_same_order_until_the_calls_time_is_over);
    tcase_add_test(streams, test_the_last_word_waits_for_the_answers_before_it);
    tcase_add_test(streams, test_a_stream_that_is_gone_leaves_nothing_behind);
    tcase_add_checked_fixture(members, set_up_world, tear_down_world);
    tcase_add_test(members, test_every_member_renews_what_lives_and_nothing_else);
    tcase_add_test(members, test_a_leader_that_is_cut_off_renews_nothing);
    tcase_add_test(members, test_a_new_leader_gives_a_lease_its_time_anew);
    tcase_add_test(members, test_a_new_leader_counts_from_the_last_checkpoint);
    tcase_add_test(members, test_a_renewal_takes_the_checkpoint_back_before_it_is_answered);
    tcase_add_test(members, test_a_renewal_of_many_with_checkpoints_waits_for_all_of_them);
    tcase_add_test(members, test_who_leads_no_more_calls_nothing_over);
    suite_add_tcase(suite, streams);
    suite_add_tcase(suite, members);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
