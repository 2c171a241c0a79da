/* Do large replies share the budget of reply bytes without waiting for each other for ever, and does nothing stay behind? */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "lib/kv_rig.h"
#include "lib/kv_text.h"
#include "pipeline/net_actor.h"

#define CALLS 32
#define PAIRS 64
#define VALUE_BYTES 100000
#define BUDGET ((size_t)4 << 20)
#define LANES 7

struct fake_port {
    struct call_port port; /* first */
    struct call_event events[4 * CALLS];
    size_t event_count;
    uint64_t answered[CALLS];
    size_t answer_count, finish_count, send_count;
    enum err last_err;
    size_t last_bytes;
    uint64_t last_sent;
};

static struct kv_rig rig;
static struct fake_port fake;
static struct config config;
static struct shared shared;
static struct lane lanes[LANES];
static struct net_actor net;
static struct buf request;
static size_t peak;

static size_t fake_take(struct call_port *port, struct call_event *out_events, size_t max)
{
    (void)port;
    size_t count = fake.event_count;
    ASSERT(count <= max);
    memcpy(out_events, fake.events, count * sizeof *out_events);
    fake.event_count = 0;
    return count;
}

static void fake_reply(struct call_port *port, uint64_t call, enum err err, struct slice head, struct blob **pieces, size_t piece_count)
{
    (void)port;
    fake.last_err = err;
    fake.last_bytes = head.size;
    for (size_t i = 0; i < piece_count; i++) {
        fake.last_bytes += pieces[i]->size;
        blob_unref(pieces[i]);
    }
    fake.answered[fake.answer_count++] = call;
}

static void fake_send(struct call_port *port, uint64_t call, struct slice head, struct blob **pieces, size_t piece_count)
{
    (void)port;
    (void)head;
    (void)pieces;
    ASSERT(piece_count == 0);
    fake.last_sent = call;
    fake.send_count++;
}

static void fake_finish(struct call_port *port, uint64_t call, enum err err)
{
    (void)port;
    (void)call;
    fake.last_err = err;
    fake.finish_count++;
}

static void fake_nothing(struct call_port *port) { (void)port; }
static const struct call_port_table FAKE_TABLE = {.take = fake_take, .reply = fake_reply, .send = fake_send, .finish = fake_finish,
                                                  .ring = fake_nothing, .flush = fake_nothing, .refuse = fake_nothing};

static void set_up(void)
{
    kv_rig_init(&rig);
    fake = (struct fake_port){.port = {.table = &FAKE_TABLE, .slot_count = CALLS}};
    config = (struct config){.calls_max = CALLS, .max_txn_ops = 128, .max_request_bytes = 1536 << 10, .reply_bytes_max = BUDGET, .gather_bytes_max = BUDGET,
                             .chunk_bytes = CONFIG_CHUNK_BYTES};
    memset(&shared, 0, sizeof shared);
    net_actor_init(&net, &(struct net_options){.config = &config, .shared = &shared, .port = &fake.port, .machine = rig.machine,
                                               .cluster_id = 1, .self = 2, .run_id = 3});
    net.is_caught_up = true;
    struct lane **places[LANES] = {&net.lanes.from_raft, &net.lanes.from_apply, &net.lanes.from_snap, &net.lanes.from_main,
                                   &net.lanes.to_raft,   &net.lanes.to_snap,    &net.lanes.to_main};
    for (size_t i = 0; i < LANES; i++) {
        lane_init(&lanes[i], "test", 64, NULL);
        *places[i] = &lanes[i];
    }
    char *text = alloc_new(VALUE_BYTES + 16);
    for (int n = 0; n < PAIRS; n++) {
        int length = snprintf(text, 16, "k%02d=", n);
        memset(text + length, 'v', VALUE_BYTES);
        text[length + VALUE_BYTES] = '\0';
        ck_assert_str_ne(kv_rig_put(&rig, text), "");
    }
    alloc_free(text);
    request = kv_text_range("*..*,local");
    peak = 0;
}

static void tear_down(void)
{
    net_actor_deinit(&net);
    for (size_t i = 0; i < LANES; i++) lane_deinit(&lanes[i]);
    buf_deinit(&request);
    kv_rig_deinit(&rig);
}

static uint64_t name_of(uint32_t slot) { return UINT64_C(1) << 32 | slot; }

static void call_new(uint32_t slot, const char *path, struct slice body)
{
    fake.events[fake.event_count++] = (struct call_event){.kind = CALL_NEW, .call = name_of(slot), .method = rpc_method_find(path),
                                                          .body = body, .ok = true};
}

static void call_over(uint64_t name)
{
    fake.events[fake.event_count++] = (struct call_event){.kind = CALL_CLOSED, .call = name, .ok = true};
}

static void step(uint64_t now_ns)
{
    (void)net.actor.table->step(&net.actor, now_ns);
    if (net.reply_bytes > peak) peak = net.reply_bytes;
}

START_TEST(test_net_jobs_many_large_replies_beyond_the_budget_are_all_made)
{
    size_t reply_bytes = 0;
    for (uint32_t i = 0; i < CALLS; i++) call_new(i, "/etcdserverpb.KV/Range", buf_slice(&request));
    for (int steps = 0; fake.answer_count < CALLS && steps < 10000; steps++) {
        size_t before = fake.answer_count;
        step(1);
        for (size_t i = before; i < fake.answer_count; i++) call_over(fake.answered[i]); /* read at once */
        reply_bytes = fake.last_bytes;
    }
    ck_assert_uint_eq(fake.answer_count, CALLS);
    ck_assert_uint_gt(reply_bytes, PAIRS * VALUE_BYTES);
    ck_assert_uint_lt(reply_bytes, PAIRS * (VALUE_BYTES + 100));
    ck_assert_uint_lt(peak, BUDGET + reply_bytes + CALLS * (size_t)(CONFIG_CHUNK_BYTES + VALUE_BYTES));
    step(2);
    ck_assert_uint_eq(net.reply_bytes, 0);
    ck_assert_uint_eq(net.overdraft, 0);
}
END_TEST

/* Nobody reads: one beyond the budget is made, small ones pass, and after the time is up the others get their turn. */
START_TEST(test_net_jobs_unread_replies_hold_large_ones_back_until_they_are_given_up)
{
    struct buf one = kv_text_range("k01,local");
    for (uint32_t i = 0; i < 8; i++) call_new(i, "/etcdserverpb.KV/Range", buf_slice(&request));
    for (int steps = 0; steps < 1000; steps++) step(1);
    ck_assert_uint_ge(fake.answer_count, 1);
    ck_assert_uint_lt(fake.answer_count, 8);
    ck_assert(!net_jobs_any(&net)); /* it sleeps */
    size_t before = fake.answer_count;
    call_new(20, "/etcdserverpb.KV/Range", buf_slice(&one));
    call_new(21, "/etcdserverpb.Maintenance/Status", slice_empty());
    step(1);
    ck_assert_uint_eq(fake.answer_count, before + 2);
    call_over(name_of(20));
    call_over(name_of(21));
    step(1);
    ck_assert_uint_eq(net.actor.table->deadline_ns(&net.actor), 1 + NET_UNREAD_NS);
    step(1 + NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, before);
    ck_assert_int_eq(fake.last_err, ERR_CANCELED);
    for (size_t i = 0; i < before; i++) call_over(fake.answered[i]); /* the port obeys */
    for (int steps = 0; steps < 1000; steps++) step(2 + NET_UNREAD_NS);
    ck_assert_uint_gt(fake.answer_count, before + 2);
    buf_deinit(&one);
}
END_TEST

START_TEST(test_net_jobs_large_pairs_have_twice_the_budget_and_small_ones_wait_for_nobody)
{
    struct buf large = kv_text_range("k07,local"), small = kv_text_range("s,local");
    uint32_t slot = 0, given = 0;
    ck_assert_str_ne(kv_rig_put(&rig, "s=v"), "");
    config.reply_bytes_max = 1 << 20;
    for (; slot < CALLS - 1; slot++) {
        call_new(slot, "/etcdserverpb.KV/Range", buf_slice(&large));
        step(1);
        ck_assert_uint_eq(fake.answer_count, slot + 1);
        ck_assert(fake.last_err == ERR_OK || fake.last_err == ERR_TOO_MANY_REQUESTS);
        if (fake.last_err == ERR_OK) ck_assert_uint_eq(++given, slot + 1); /* none behind the first that was refused */
    }
    ck_assert_uint_eq(given, (2u << 20) / (VALUE_BYTES + 100));
    ck_assert_uint_le(peak, 2u << 20);
    call_new(slot, "/etcdserverpb.KV/Range", buf_slice(&small));
    step(1);
    ck_assert_int_eq(fake.last_err, ERR_OK);
    for (uint32_t i = 0; i < CALLS; i++) call_over(name_of(i));
    step(2);
    ck_assert_uint_eq(net.reply_bytes, 0);
    buf_deinit(&large);
    buf_deinit(&small);
}
END_TEST

/* A transaction of more ranges than a reply may have pieces, each of which ends a step. */
START_TEST(test_net_jobs_a_reply_of_too_many_pieces_is_refused)
{
    struct buf range = kv_text_range("s,local"), op, body;
    ck_assert_str_ne(kv_rig_put(&rig, "s=v"), "");
    net.env.limits.txn_ops_max = 65536;
    config.chunk_bytes = 1;
    buf_init(&op);
    buf_init(&body);
    buf_put_pb_bytes(&op, 1, buf_slice(&range));
    for (uint32_t i = 0; i < NET_PIECES_MAX + 10; i++) buf_put_pb_bytes(&body, 2, buf_slice(&op));
    call_new(0, "/etcdserverpb.KV/Txn", buf_slice(&body));
    for (uint32_t i = 0; i < 2 * NET_PIECES_MAX && fake.answer_count == 0; i++) step(1);
    ck_assert_uint_eq(fake.answer_count, 1);
    ck_assert_int_eq(fake.last_err, ERR_TOO_MANY_REQUESTS);
    call_over(name_of(0));
    step(2);
    ck_assert_uint_eq(net.reply_bytes, 0);
    buf_deinit(&op);
    buf_deinit(&body);
    buf_deinit(&range);
}
END_TEST

/* Each has a place, however small it is, that others may want. */
START_TEST(test_net_jobs_small_answers_that_are_not_read_give_up_their_places)
{
    struct buf one = kv_text_range("k01,local,keys");
    config.calls_max = 2;
    call_new(0, "/etcdserverpb.KV/Range", buf_slice(&one));
    call_new(1, "/etcdserverpb.KV/Range", slice_from_string("garbage"));
    step(1);
    ck_assert_uint_eq(fake.answer_count, 2);
    call_new(2, "/etcdserverpb.KV/Range", buf_slice(&one));
    step(2);
    call_over(name_of(2));
    step(NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 0);
    ck_assert_uint_eq(net.actor.table->deadline_ns(&net.actor), 1 + NET_UNREAD_NS);
    step(1 + NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 2);
    ck_assert_int_eq(fake.last_err, ERR_CANCELED);
    ck_assert_uint_eq(net.actor.table->deadline_ns(&net.actor), CLOCK_NEVER);
    call_over(name_of(0));
    call_over(name_of(1));
    step(2 + NET_UNREAD_NS);
    buf_deinit(&one);
}
END_TEST

START_TEST(test_net_jobs_small_answers_may_leave_slowly_while_nobody_wants_their_places)
{
    struct buf one = kv_text_range("k01,local,keys");
    uint64_t now_ns = 1;
    call_new(0, "/etcdserverpb.KV/Range", buf_slice(&one));
    step(now_ns);
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(net.actor.table->deadline_ns(&net.actor), now_ns + NET_UNREAD_NS); /* it is looked at again, and does not spin */
        step(now_ns += NET_UNREAD_NS);
        ck_assert_uint_eq(fake.finish_count, 0);
    }
    for (uint32_t slot = 1; slot <= CALLS / 2; slot++) call_new(slot, "/etcdserverpb.KV/Range", buf_slice(&one));
    step(now_ns);
    step(now_ns + NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, CALLS / 2 + 1);
    for (uint32_t slot = 0; slot <= CALLS / 2; slot++) call_over(name_of(slot));
    step(now_ns + NET_UNREAD_NS);
    ck_assert_uint_eq(net.answered_count, 0);
    buf_deinit(&one);
}
END_TEST

START_TEST(test_net_jobs_pins_are_given_back_when_a_reply_is_made_not_when_it_is_read)
{
    call_new(0, "/etcdserverpb.KV/Range", buf_slice(&request));
    for (int steps = 0; steps < 1000 && fake.answer_count == 0; steps++) step(1);
    ck_assert_uint_eq(fake.answer_count, 1);
    int64_t revision = mvcc_view_revision(mvcc_view(rig.mvcc));
    ck_assert_str_ne(kv_rig_put(&rig, "k01=new"), "");
    ck_assert_int_eq(kv_rig_compact(&rig, revision + 1, false), ERR_OK);
    while (mvcc_compact_step(rig.mvcc, 1000)) {}
    ck_assert_int_eq(mvcc_compact_done_revision(rig.mvcc), revision + 1); /* no pin holds it back */
}
END_TEST

START_TEST(test_net_jobs_a_stream_that_is_not_read_is_given_up)
{
    call_new(0, "/etcdserverpb.KV/RangeStream", buf_slice(&request));
    step(1);
    ck_assert_uint_eq(fake.send_count, 1);
    step(2);
    ck_assert_uint_eq(fake.send_count, 1); /* one chunk on its way */
    fake.events[fake.event_count++] = (struct call_event){.kind = CALL_SENT, .call = name_of(0), .ok = true};
    step(3);
    ck_assert_uint_eq(fake.send_count, 2);
    step(3 + NET_UNREAD_NS - 1);
    ck_assert_uint_eq(fake.finish_count, 0);
    step(3 + NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 1);
    ck_assert_int_eq(fake.last_err, ERR_CANCELED);
    call_over(name_of(0));
    step(4 + NET_UNREAD_NS);
    ck_assert_uint_eq(net.call_count, 0);
}
END_TEST

START_TEST(test_net_jobs_streams_that_stay_are_few_and_end_with_their_client_or_with_us)
{
    for (uint32_t i = 0; i <= NET_STAYING_MAX; i++) call_new(i, "/grpc.health.v1.Health/Watch", slice_empty());
    step(1);
    ck_assert_uint_eq(fake.send_count, NET_STAYING_MAX);
    ck_assert_uint_eq(fake.finish_count, 1); /* one too many */
    ck_assert_int_eq(fake.last_err, ERR_UNIMPLEMENTED);
    for (uint32_t i = 0; i < NET_STAYING_MAX; i++)
        fake.events[fake.event_count++] = (struct call_event){.kind = CALL_SENT, .call = name_of(i), .ok = true};
    call_over(name_of(NET_STAYING_MAX));
    step(2);
    step(2 + 2 * NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 1); /* they stay */
    fake.events[fake.event_count++] = (struct call_event){.kind = CALL_SENT, .call = name_of(0), .ok = false};
    step(3 + 2 * NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 2);
    ck_assert_int_eq(fake.last_err, ERR_CANCELED);
    call_over(name_of(0));
    step(4 + 2 * NET_UNREAD_NS);
    ck_assert_uint_eq(net.staying_count, NET_STAYING_MAX - 1);
    struct mail drain = {.kind = MAIL_DRAIN};
    ck_assert(lane_post(net.lanes.from_main, &drain));
    step(5 + 2 * NET_UNREAD_NS);
    ck_assert_uint_eq(fake.finish_count, 2 + NET_STAYING_MAX - 1);
    ck_assert_int_eq(fake.last_err, ERR_STOPPED);
    ck_assert(net.has_reported_drained);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net_jobs");
    TCase *jobs = tcase_create("jobs");
    tcase_add_checked_fixture(jobs, set_up, tear_down);
    tcase_set_timeout(jobs, 30);
    tcase_add_test(jobs, test_net_jobs_many_large_replies_beyond_the_budget_are_all_made);
    tcase_add_test(jobs, test_net_jobs_unread_replies_hold_large_ones_back_until_they_are_given_up);
    tcase_add_test(jobs, test_net_jobs_large_pairs_have_twice_the_budget_and_small_ones_wait_for_nobody);
    tcase_add_test(jobs, test_net_jobs_a_reply_of_too_many_pieces_is_refused);
    tcase_add_test(jobs, test_net_jobs_small_answers_that_are_not_read_give_up_their_places);
    tcase_add_test(jobs, test_net_jobs_small_answers_may_leave_slowly_while_nobody_wants_their_places);
    tcase_add_test(jobs, test_net_jobs_pins_are_given_back_when_a_reply_is_made_not_when_it_is_read);
    tcase_add_test(jobs, test_net_jobs_a_stream_that_is_not_read_is_given_up);
    tcase_add_test(jobs, test_net_jobs_streams_that_stay_are_few_and_end_with_their_client_or_with_us);
    suite_add_tcase(suite, jobs);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
