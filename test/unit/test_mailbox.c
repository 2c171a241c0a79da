/* Do mails arrive once, in order and freed, and does posting wake exactly those who sleep? */
#include <check.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "pipeline/actor.h"
#include "pipeline/mailbox.h"

#define CAPACITY 8

static struct lane lane;
static struct doorbell bell;
static int rings;

static void count_ring(void *context) { (*(int *)context)++; }

static void set_up(void)
{
    rings = 0;
    doorbell_init(&bell, count_ring, &rings);
    lane_init(&lane, "a→b", CAPACITY, NULL);
    lane.bell = &bell;
}

static void tear_down(void) { lane_deinit(&lane); }

static struct mail ping(uint64_t cookie) { return (struct mail){.kind = MAIL_PING, .ping.cookie = cookie}; }

static struct blob *bytes(void) { return blob_copy(slice_from_string("bytes")); }

START_TEST(test_mailbox_lane_is_first_in_first_out)
{
    uint64_t posted = 0, taken = 0;
    struct mail mail;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 1 + round % (CAPACITY - 1); i++) {
            mail = ping(posted++);
            ck_assert(lane_post(&lane, &mail));
        }
        while (lane_take(&lane, &mail)) {
            ck_assert_uint_eq(mail.kind, MAIL_PING);
            ck_assert_uint_eq(mail.ping.cookie, taken++);
        }
        ck_assert_uint_eq(posted, taken);
    }
}
END_TEST

START_TEST(test_mailbox_full_lane_refuses_and_changes_nothing)
{
    struct mail mail;
    for (uint64_t i = 0; i < CAPACITY - 1; i++) {
        mail = ping(i);
        ck_assert(lane_post(&lane, &mail));
    }
    struct blob *command = bytes();
    struct mail refused = {.kind = MAIL_PROPOSE, .propose.command = command};
    ck_assert(!lane_post(&lane, &refused));
    ck_assert_ptr_eq(refused.propose.command, command);
    ck_assert_uint_eq(ring_size(&lane.ring), CAPACITY - 1);
    ck_assert(lane_take(&lane, &mail));
    ck_assert_uint_eq(mail.ping.cookie, 0);
    ck_assert(lane_post(&lane, &refused)); /* one slot is free again */
}
END_TEST

/* Its limit is exact, whichever part the mails are in, and they come in order when they go on coming while the rest is emptied. */
START_TEST(test_mailbox_long_lane_takes_its_rest_when_it_needs_it)
{
    enum { LONG = 4 * RING_FIRST_SLOTS };
    struct mail mail;
    struct lane all;
    uint64_t posted = 0, taken = 0;
    lane_init(&all, "a→b", LONG, NULL);
    all.bell = &bell;
    for (uint64_t i = 0; i < 3 * LONG; i++) {
        mail = ping(posted++);
        ck_assert(lane_post(&all, &mail) && lane_take(&all, &mail) && mail.ping.cookie == taken++);
    }
    ck_assert_ptr_null(all.ring.rest_slots); /* nothing was needed of it */
    for (int round = 0; round < 3; round++) {
        while (mail = ping(posted), lane_post(&all, &mail)) posted++;
        ck_assert_uint_eq(ring_size(&all.ring), LONG - 1);
        for (int i = 0; i < LONG - 10; i++) ck_assert(lane_take(&all, &mail) && mail.ping.cookie == taken++);
        for (int i = 0; i < RING_FIRST_SLOTS; i++) {
            mail = ping(posted++);
            ck_assert(lane_post(&all, &mail));
            ck_assert_uint_eq(ring_newest(&all.ring)->ping.cookie, posted - 1);
            ck_assert(lane_take(&all, &mail) && mail.ping.cookie == taken++);
        }
        while (lane_take(&all, &mail)) ck_assert_uint_eq(mail.ping.cookie, taken++);
        ck_assert_uint_eq(posted, taken);
    }
    ck_assert_ptr_nonnull(all.ring.rest_slots);
    mail = (struct mail){.kind = MAIL_PROPOSE, .propose.command = bytes()};
    for (int i = 0; i < RING_FIRST_SLOTS + 5; i++) { /* freed with the lane, in both parts */
        blob_ref(mail.propose.command);
        ck_assert(lane_post(&all, &mail));
    }
    blob_unref(mail.propose.command);
    lane_deinit(&all);
}
END_TEST

START_TEST(test_mailbox_empty_lane_gives_nothing)
{
    struct mail mail = ping(7);
    ck_assert(!lane_take(&lane, &mail));
    ck_assert_uint_eq(mail.ping.cookie, 7);
}
END_TEST

START_TEST(test_mailbox_doorbell_rings_a_sleeper_only)
{
    doorbell_ring(&bell);
    ck_assert_int_eq(rings, 0);
    atomic_store(&bell.state, DOORBELL_ASLEEP);
    doorbell_ring(&bell);
    ck_assert_int_eq(rings, 1);
    doorbell_ring(&bell); /* rung once, it is awake */
    ck_assert_int_eq(rings, 1);
}
END_TEST

START_TEST(test_mailbox_lane_rings_once_for_all_posts_of_a_step)
{
    struct mail mail = ping(1);
    atomic_store(&bell.state, DOORBELL_ASLEEP);
    lane_ring(&lane); /* nothing was posted */
    ck_assert_int_eq(rings, 0);
    ck_assert(lane_post(&lane, &mail) && lane_post(&lane, &mail));
    ck_assert_int_eq(rings, 0); /* posting only marks */
    lane_ring(&lane);
    atomic_store(&bell.state, DOORBELL_ASLEEP);
    lane_ring(&lane);
    ck_assert_int_eq(rings, 1);
}
END_TEST

/* What is posted quietly is there for who looks, and takes no ring from what is posted loudly in the same step. */
START_TEST(test_mailbox_quiet_post_rings_nobody)
{
    struct mail mail = ping(1);
    atomic_store(&bell.state, DOORBELL_ASLEEP);
    lane_must_post_quietly(&lane, &mail);
    lane_ring(&lane);
    ck_assert_int_eq(rings, 0);
    ck_assert_uint_eq(ring_size(&lane.ring), 1);
    ck_assert(lane_post(&lane, &mail));
    lane_must_post_quietly(&lane, &mail);
    lane_ring(&lane);
    ck_assert_int_eq(rings, 1);
    ck_assert_uint_eq(ring_size(&lane.ring), 3);
}
END_TEST

START_TEST(test_mailbox_refused_post_does_not_ring)
{
    struct mail mail = ping(1);
    while (lane_post(&lane, &mail)) {}
    lane_ring(&lane);
    atomic_store(&bell.state, DOORBELL_ASLEEP);
    ck_assert(!lane_post(&lane, &mail));
    lane_ring(&lane);
    ck_assert_int_eq(rings, 0);
}
END_TEST

struct points {
    int count;
    uint32_t size_seen;
    const char *name;
    const struct doorbell *to;
};

static void on_point(void *context, const char *name, const struct doorbell *to)
{
    struct points *points = context;
    points->count++;
    points->name = name;
    points->to = to;
    points->size_seen = ring_size(&lane.ring);
}

START_TEST(test_mailbox_each_post_is_a_switch_point_after_the_mail_is_there)
{
    struct points points = {.count = 0};
    const struct switchboard board = {.fn = on_point, .context = &points};
    lane.board = &board;
    struct mail mail = ping(1);
    for (int i = 1; i < CAPACITY; i++) {
        ck_assert(lane_post(&lane, &mail));
        ck_assert_int_eq(points.count, i);
        ck_assert_uint_eq(points.size_seen, (uint32_t)i);
        ck_assert_str_eq(points.name, "a→b");
        ck_assert_ptr_eq(points.to, &bell);
    }
    ck_assert(!lane_post(&lane, &mail)); /* nothing happened, nobody may switch */
    ck_assert_int_eq(points.count, CAPACITY - 1);
}
END_TEST

static struct peer_message *message(void)
{
    struct blob *data = bytes();
    const struct raft_entry entries[2] = {{.index = 1, .data = data}, {.index = 2, .data = NULL}};
    const struct raft_msg msg = {.kind = RAFT_MSG_HEARTBEAT, .entries = entries, .entry_count = 2};
    struct peer_message *made = mail_peer_new(&msg);
    blob_unref(data);
    return made;
}

static struct append_batch *append(void)
{
    struct blob *data = bytes();
    const struct raft_entry entries[1] = {{.index = 9, .data = data}};
    const struct raft_msg messages[2] = {{.entries = entries, .entry_count = 1}, {.entry_count = 0}};
    const struct raft_output output = {.persist = true, .entries = entries, .entry_count = 1, .messages_after = messages,
                                       .message_after_count = 2};
    struct append_batch *made = mail_append_new(&output);
    blob_unref(data);
    return made;
}

static struct commit_batch *commit(void)
{
    struct blob *data = bytes();
    const struct raft_entry entries[2] = {{.index = 1, .data = data}, {.index = 2, .data = data}};
    struct commit_batch *made = mail_commit_new(entries, 2);
    ck_assert_uint_eq(made->bytes, 2 * data->size);
    blob_unref(data);
    return made;
}

static struct read_batch *reads(void) { return mail_read_new((const uint64_t[]){1, 2, 3}, 3, 5); }

/* What is left behind is seen by the address sanitizer. */
START_TEST(test_mailbox_deinit_frees_what_each_kind_carries)
{
    struct mail mails[] = {
        {.kind = MAIL_PROPOSE, .propose.command = bytes()},
        {.kind = MAIL_INTERNAL, .propose.command = bytes()},
        {.kind = MAIL_ANSWERED, .answered.bytes = bytes()},
        {.kind = MAIL_LEASES, .leases.command = bytes()},
        {.kind = MAIL_READ, .read.batch = reads()},
        {.kind = MAIL_READ_BATCH, .read.batch = reads()},
        {.kind = MAIL_READ_FAIL, .read.batch = reads()},
        {.kind = MAIL_PEER, .peer.message = message()},
        {.kind = MAIL_FORWARD, .peer.message = message()},
        {.kind = MAIL_UNSENT, .peer.message = message()},
        {.kind = MAIL_APPEND, .append.batch = append()},
        {.kind = MAIL_COMMIT, .commit.batch = commit()},
        {.kind = MAIL_REPLY, .reply.body = bytes()},
        {.kind = MAIL_REPLY, .reply.body = NULL},
        {.kind = MAIL_LOG, .log.line = bytes()},
        {.kind = MAIL_FAIL, .fail.call = 3},
        {.kind = MAIL_PING},
    };
    struct lane wide;
    lane_init(&wide, "wide", 32, NULL);
    for (size_t i = 0; i < sizeof(mails) / sizeof(mails[0]); i++) lane_must_post(&wide, &mails[i]);
    lane_deinit(&wide);
    lane_deinit(&wide); /* twice is harmless */
    struct mail mail = {.kind = MAIL_PROPOSE, .propose.command = bytes()};
    mail_deinit(&mail);
    ck_assert_uint_eq(mail.kind, MAIL_NONE);
    mail_deinit(&mail);
}
END_TEST

/* A role that hands on what it gets, one mail a step. */
struct relay {
    struct actor actor;
    int steps;
};

static bool relay_step(struct actor *actor, uint64_t now_ns)
{
    struct relay *relay = (struct relay *)(void *)actor;
    struct mail mail;
    (void)now_ns;
    relay->steps++;
    if (actor->in_count > 0 && lane_take(actor->in[0], &mail) && actor->out_count > 0) lane_must_post(actor->out[0], &mail);
    return false;
}

START_TEST(test_mailbox_actor_step_rings_the_consumers_at_its_end)
{
    static const struct actor_table table = {.name = "relay", .step = relay_step};
    static struct relay first, second;
    struct lane in, out;
    lane_init(&in, "in", CAPACITY, NULL);
    lane_init(&out, "out", CAPACITY, NULL);
    actor_init(&first.actor, &table);
    actor_init(&second.actor, &table);
    actor_connect(&second.actor, &first.actor, &in);
    actor_connect(&first.actor, &second.actor, &out);
    ck_assert_ptr_eq(in.bell, &first.actor.bell);
    doorbell_init(&second.actor.bell, count_ring, &rings);
    struct mail mail = ping(1);
    lane_must_post(&in, &mail);
    lane_must_post(&in, &mail);
    ck_assert(actor_has_mail(&first.actor) && !actor_has_mail(&second.actor));
    atomic_store(&second.actor.bell.state, DOORBELL_ASLEEP);
    ck_assert(actor_step(&first.actor, 1)); /* more: there is a second mail */
    ck_assert_int_eq(rings, 1);
    ck_assert(!actor_step(&first.actor, 2));
    ck_assert_int_eq(rings, 1); /* it is awake already */
    ck_assert(actor_has_mail(&second.actor));
    ck_assert_uint_eq(actor_deadline_ns(&first.actor), UINT64_MAX);
    actor_deinit(&first.actor);
    actor_deinit(&second.actor);
    lane_deinit(&in);
    lane_deinit(&out);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("mailbox");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_mailbox_lane_is_first_in_first_out);
    tcase_add_test(tests, test_mailbox_full_lane_refuses_and_changes_nothing);
    tcase_add_test(tests, test_mailbox_long_lane_takes_its_rest_when_it_needs_it);
    tcase_add_test(tests, test_mailbox_empty_lane_gives_nothing);
    tcase_add_test(tests, test_mailbox_doorbell_rings_a_sleeper_only);
    tcase_add_test(tests, test_mailbox_lane_rings_once_for_all_posts_of_a_step);
    tcase_add_test(tests, test_mailbox_quiet_post_rings_nobody);
    tcase_add_test(tests, test_mailbox_refused_post_does_not_ring);
    tcase_add_test(tests, test_mailbox_each_post_is_a_switch_point_after_the_mail_is_there);
    tcase_add_test(tests, test_mailbox_deinit_frees_what_each_kind_carries);
    tcase_add_test(tests, test_mailbox_actor_step_rings_the_consumers_at_its_end);
    Suite *suite = suite_create("mailbox");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
