/* Leases: the set with its rows, keys, images and timers; what the state machine does with them; when the leader calls one over. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "pipeline/apply_leases.h"
#include "storage/lease.h"
#include "storage/snapshot_format.h"

#define IDS 40
#define KEYS 60
#define ELECTION_NS NS_PER_S
#define CHECKPOINT_NS (300 * NS_PER_S)

static struct lease_set *set;

static void set_up(void) { set = lease_set_new(); }
static void tear_down(void) { lease_set_free(set); }

static enum err grant(int64_t id, int64_t ttl, uint64_t index)
{
    return lease_set_grant(set, &(struct lease_row){.id = id, .ttl = ttl, .granted_index = index});
}

static struct slice key_of(uint64_t number, char out_text[16])
{
    (void)snprintf(out_text, 16, "key%llu", (unsigned long long)number);
    return slice_from_string(out_text);
}

START_TEST(test_a_grant_is_refused_twice_and_above_the_longest_ttl)
{
    ck_assert_int_eq(grant(7, LEASE_TTL_MAX, 1), ERR_OK);
    ck_assert_int_eq(grant(7, 5, 2), ERR_LEASE_EXISTS);
    ck_assert_int_eq(grant(7, LEASE_TTL_MAX + 1, 2), ERR_LEASE_TTL_TOO_LARGE);
    ck_assert_int_eq(grant(-7, 5, 2), ERR_OK);
    ck_assert_uint_eq(lease_set_count(set), 2);
    ck_assert_ptr_null(lease_set_find(set, 8));
    ck_assert_int_eq(lease_set_row(set, lease_set_find(set, -7))->ttl, 5);
}
END_TEST

START_TEST(test_the_hash_says_which_leases_there_are_and_forgets_the_way)
{
    ck_assert_uint_eq(lease_set_hash(set), 0);
    ck_assert_int_eq(grant(1, 5, 10), ERR_OK);
    uint64_t one = lease_set_hash(set);
    ck_assert_int_eq(grant(2, 5, 11), ERR_OK);
    ck_assert_uint_ne(lease_set_hash(set), one);
    lease_set_remove(set, lease_set_find(set, 2));
    ck_assert_uint_eq(lease_set_hash(set), one);
    lease_set_remove(set, lease_set_find(set, 1));
    ck_assert_uint_eq(lease_set_hash(set), 0);
    ck_assert_int_eq(grant(1, 5, 12), ERR_OK);
    ck_assert_uint_ne(lease_set_hash(set), one);
}
END_TEST

/* Against an array: which lease has which key. */
START_TEST(test_keys_belong_to_the_lease_that_the_model_says)
{
    static int64_t owner[KEYS];
    static bool lives[IDS + 1];
    struct rng rng;
    char text[16];
    rng_init(&rng, 11);
    memset(owner, 0, sizeof owner);
    memset(lives, 0, sizeof lives);
    for (uint64_t step = 1; step <= 20000; step++) {
        int64_t id = 1 + (int64_t)rng_below(&rng, IDS);
        uint64_t key = rng_below(&rng, KEYS);
        switch (rng_below(&rng, 8)) {
        case 0:
            ck_assert_int_eq(grant(id, 5, step), lives[id] ? ERR_LEASE_EXISTS : ERR_OK);
            lives[id] = true;
            break;
        case 1:
            if (!lives[id]) break;
            lease_set_remove(set, lease_set_find(set, id));
            lives[id] = false;
            for (size_t i = 0; i < KEYS; i++)
                if (owner[i] == id) owner[i] = 0;
            break;
        case 2:
            lease_set_attach(set, key_of(key, text), 0);
            owner[key] = 0;
            break;
        default:
            lease_set_attach(set, key_of(key, text), id);
            owner[key] = lives[id] ? id : 0;
            break;
        }
        struct lease *lease = lease_set_find(set, id);
        ck_assert_int_eq(lease != NULL, lives[id]);
        if (lease == NULL) continue;
        struct slice *keys = lease_set_keys(set, lease);
        uint32_t count = 0;
        for (size_t i = 0; i < KEYS; i++) count += owner[i] == id;
        ck_assert_uint_eq(lease->key_count, count);
        for (uint32_t i = 0; i < count; i++) {
            (void)snprintf(text, sizeof text, "%.*s", (int)keys[i].size - 3, (const char *)keys[i].data + 3);
            ck_assert_int_eq(owner[strtoul(text, NULL, 10)], id);
        }
        for (uint32_t i = 1; i < count; i++) ck_assert_int_lt(slice_compare(keys[i - 1], keys[i]), 0);
        alloc_free(keys);
    }
}
END_TEST

START_TEST(test_an_image_stays_as_it_was_whatever_happens_behind_it)
{
    for (int64_t id = 1; id <= 1000; id++) ck_assert_int_eq(grant(id, id, (uint64_t)id), ERR_OK);
    struct lease_image *image = lease_set_freeze(set);
    for (int64_t id = 1; id <= 1000; id += 3) lease_set_remove(set, lease_set_find(set, id));
    for (int64_t id = 5000; id < 5600; id++) ck_assert_int_eq(grant(id, 1, (uint64_t)id), ERR_OK);
    struct lease_row row;
    uint32_t cursor = 0;
    int64_t sum = 0;
    size_t count = 0;
    for (; lease_image_next(image, &cursor, &row); count++) {
        ck_assert(row.ttl == row.id && row.granted_index == (uint64_t)row.id && row.id <= 1000);
        sum += row.id;
    }
    ck_assert(count == 1000 && lease_image_count(image) == 1000 && sum == 500500);
    lease_image_free(image);
}
END_TEST

START_TEST(test_a_large_set_is_freed_in_steps)
{
    char text[16];
    struct lease_set *large = lease_set_new();
    for (int64_t id = 1; id <= 3000; id++) {
        ck_assert_int_eq(lease_set_grant(large, &(struct lease_row){.id = id, .ttl = 5, .granted_index = 1}), ERR_OK);
        lease_set_attach(large, key_of((uint64_t)id, text), id);
    }
    uint32_t steps = 1;
    while (lease_set_free_step(large, 100)) steps++;
    ck_assert_uint_ge(steps, 60);
}
END_TEST

/* --- the leader's timers ----------------------------------------------------------------------------------------------------- */

static struct apply_leases leases;

static void lead(uint64_t term, uint64_t index)
{
    apply_leases_lead(&leases, term);
    apply_leases_met(&leases, &(struct raft_entry){.term = term, .index = index});
}

static void arm(uint64_t now_ns)
{
    do apply_leases_arm_step(&leases, set, now_ns);
    while (apply_leases_is_arming(&leases, set));
}

/* The id that is called over now; 0 = none. */
static int64_t expired(uint64_t now_ns)
{
    struct lease_request_expiry expiry = {.id = 0};
    return apply_leases_next_expiry(&leases, set, now_ns, &expiry) ? expiry.id : 0;
}

START_TEST(test_who_does_not_lead_calls_nothing_over)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 2, 3), ERR_OK);
    arm(0);
    ck_assert_int_eq(expired(1000 * NS_PER_S), 0);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), CLOCK_NEVER);
    apply_leases_lead(&leases, 4);
    apply_leases_met(&leases, &(struct raft_entry){.term = 3, .index = 9}); /* of a leader before */
    arm(0);
    ck_assert_int_eq(expired(1000 * NS_PER_S), 0);
}
END_TEST

START_TEST(test_a_new_leader_gives_all_leases_their_time_and_an_election_timeout)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 10, 3), ERR_OK);
    lead(4, 5);
    arm(NS_PER_S);
    ck_assert_int_eq(grant(2, 10, 6), ERR_OK);
    arm(NS_PER_S);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 11 * NS_PER_S);
    ck_assert_int_eq(expired(11 * NS_PER_S - 1), 0);
    ck_assert_int_eq(expired(11 * NS_PER_S), 2);
    ck_assert_int_eq(expired(12 * NS_PER_S - 1), 0);
    ck_assert_int_eq(expired(12 * NS_PER_S), 1);
    ck_assert_int_eq(expired(12 * NS_PER_S), 0); /* asked for */
    ck_assert_int_eq(expired(14 * NS_PER_S), 2); /* and again, as it is still there */
}
END_TEST

START_TEST(test_leading_again_begins_with_the_whole_time)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 10, 3), ERR_OK);
    lead(4, 5);
    arm(0);
    apply_leases_lead(&leases, 0);
    lead(6, 9);
    arm(8 * NS_PER_S);
    ck_assert_int_eq(expired(19 * NS_PER_S - 1), 0);
    ck_assert_int_eq(expired(19 * NS_PER_S), 1);
}
END_TEST

START_TEST(test_no_more_expiries_are_under_way_than_may_be_and_what_was_lost_is_asked_for_again)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    lead(2, 1);
    uint32_t count = APPLY_LEASES_EXPIRIES_MAX + 50, asked = 0;
    for (uint32_t id = 1; id <= count; id++) ck_assert_int_eq(grant(id, 2, 1 + id), ERR_OK);
    arm(0);
    while (expired(2 * NS_PER_S) != 0) asked++;
    ck_assert_uint_eq(asked, APPLY_LEASES_EXPIRIES_MAX);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 5 * NS_PER_S);
    struct lease *gone = NULL;
    for (int64_t id = 1; gone == NULL; id++)
        if (lease_set_find(set, id)->expiring != 0) gone = lease_set_find(set, id);
    lease_set_remove(set, gone);
    ck_assert_int_ne(expired(2 * NS_PER_S), 0);
    ck_assert_int_eq(expired(2 * NS_PER_S), 0);
    for (asked = 0; expired(6 * NS_PER_S) != 0; asked++) {}
    ck_assert_uint_eq(asked, APPLY_LEASES_EXPIRIES_MAX);
}
END_TEST

/* −1: a checkpoint must be void first. */
static int64_t renew(int64_t id, uint64_t started_ns, uint64_t now_ns)
{
    int64_t ttl = 0;
    return apply_leases_renew(&leases, set, id, started_ns, now_ns, &ttl) ? ttl : -1;
}

START_TEST(test_a_renewal_counts_from_the_start_of_its_round_and_shortens_nothing)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 10, 3), ERR_OK);
    lead(4, 5);
    arm(NS_PER_S);
    ck_assert_int_eq(renew(1, NS_PER_S + 1, NS_PER_S + 2), 10);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 12 * NS_PER_S); /* the election timeout of a new leader stays */
    ck_assert_int_eq(renew(1, 5 * NS_PER_S, 7 * NS_PER_S), 10);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 15 * NS_PER_S);
    ck_assert_int_eq(renew(1, 4 * NS_PER_S, 8 * NS_PER_S), 10);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 15 * NS_PER_S);
    ck_assert_int_eq(renew(2, 8 * NS_PER_S, 8 * NS_PER_S), 0);
}
END_TEST

START_TEST(test_what_is_over_is_not_renewed_whether_it_is_gone_yet_or_not)
{
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    lead(4, 5);
    ck_assert_int_eq(grant(1, 10, 6), ERR_OK);
    ck_assert_int_eq(grant(2, 10, 7), ERR_OK);
    ck_assert_int_eq(renew(1, 1, 1), 10); /* its time has not begun */
    arm(NS_PER_S);
    ck_assert_int_eq(renew(1, 10 * NS_PER_S, 11 * NS_PER_S), 0);
    ck_assert_int_ne(expired(11 * NS_PER_S), 0);
    ck_assert_int_ne(expired(11 * NS_PER_S), 0);
    ck_assert_int_eq(renew(2, 11 * NS_PER_S, 12 * NS_PER_S), 0);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 14 * NS_PER_S);
}
END_TEST

static uint32_t checkpoints(uint64_t now_ns, struct lease_request_checkpoint out_checkpoints[4])
{
    return apply_leases_checkpoints(&leases, set, now_ns, 4, out_checkpoints);
}

/* As the state does it. */
static void apply_checkpoint(const struct lease_request_checkpoint *checkpoint)
{
    struct lease *lease = lease_set_find(set, checkpoint->id);
    lease_set_checkpoint(set, lease, checkpoint->remaining);
    if (checkpoint->remaining == 0) lease->void_number = checkpoint->number;
}

START_TEST(test_a_long_lease_that_nobody_renews_is_checkpointed_and_a_new_leader_counts_from_there)
{
    struct lease_request_checkpoint asked[4];
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    lead(4, 5);
    ck_assert_int_eq(grant(1, 1000, 6), ERR_OK);
    ck_assert_int_eq(grant(2, 300, 7), ERR_OK);
    arm(0);
    ck_assert_uint_eq(apply_leases_deadline_ns(&leases, set), 300 * NS_PER_S);
    ck_assert_uint_eq(checkpoints(300 * NS_PER_S - 1, asked), 0);
    ck_assert_uint_eq(checkpoints(300 * NS_PER_S + 1, asked), 1);
    ck_assert(asked[0].id == 1 && asked[0].remaining == 700 && asked[0].granted_index == 6); /* never less than what was promised */
    apply_checkpoint(&asked[0]);
    ck_assert_uint_eq(checkpoints(600 * NS_PER_S, asked), 0);
    ck_assert_uint_eq(checkpoints(601 * NS_PER_S, asked), 1);
    ck_assert(asked[0].id == 1 && asked[0].remaining == 399);
    apply_checkpoint(&asked[0]);
    ck_assert_uint_eq(checkpoints(950 * NS_PER_S, asked), 0); /* too little is left */
    lead(6, 9);
    arm(800 * NS_PER_S);
    lease_set_remove(set, lease_set_find(set, 2));
    ck_assert_int_eq(expired(800 * NS_PER_S + 400 * NS_PER_S - 1), 0);
    ck_assert_int_eq(expired(800 * NS_PER_S + 400 * NS_PER_S), 1);
}
END_TEST

START_TEST(test_a_renewal_waits_until_the_checkpoint_before_it_is_void)
{
    struct lease_request_checkpoint asked[4], taken_back, again;
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    lead(4, 5);
    ck_assert_int_eq(grant(1, 1000, 6), ERR_OK);
    arm(0);
    ck_assert(!apply_leases_void(&leases, set, 1, 0, &taken_back) && !apply_leases_void(&leases, set, 2, 0, &taken_back));
    ck_assert_uint_eq(checkpoints(300 * NS_PER_S, asked), 1);
    ck_assert_int_eq(renew(1, 301 * NS_PER_S, 301 * NS_PER_S), -1); /* it is on its way */
    ck_assert(apply_leases_void(&leases, set, 1, 301 * NS_PER_S, &taken_back));
    ck_assert(taken_back.id == 1 && taken_back.remaining == 0 && taken_back.number > asked[0].number);
    apply_checkpoint(&asked[0]);
    ck_assert_int_eq(renew(1, 301 * NS_PER_S, 302 * NS_PER_S), -1);
    ck_assert(apply_leases_void(&leases, set, 1, 302 * NS_PER_S, &again)); /* in case the first was lost */
    apply_checkpoint(&taken_back);
    ck_assert_int_eq(renew(1, 301 * NS_PER_S, 303 * NS_PER_S), 1000);
    ck_assert_uint_eq(lease_set_deadline_ns(set, lease_set_first_due(set)), 1301 * NS_PER_S);
    ck_assert_uint_eq(checkpoints(602 * NS_PER_S, asked), 0);
    ck_assert_uint_eq(checkpoints(603 * NS_PER_S, asked), 1);
    apply_checkpoint(&again); /* late: it takes nothing back that was asked for behind it */
    ck_assert_int_eq(renew(1, 604 * NS_PER_S, 604 * NS_PER_S), -1);
}
END_TEST

START_TEST(test_numbers_of_a_leader_before_void_nothing)
{
    struct lease_request_checkpoint asked[4], taken_back;
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 1000, 3), ERR_OK);
    apply_checkpoint(&(struct lease_request_checkpoint){.id = 1, .remaining = 0, .granted_index = 3, .number = 1000});
    lead(4, 5);
    arm(0);
    ck_assert_uint_eq(checkpoints(300 * NS_PER_S, asked), 1);
    ck_assert(asked[0].number < 1000 && renew(1, 1, 301 * NS_PER_S) == -1);
    lead(6, 9);
    arm(400 * NS_PER_S);
    ck_assert_int_eq(renew(1, 401 * NS_PER_S, 401 * NS_PER_S), 1000); /* it was lost with the term */
    apply_checkpoint(&asked[0]);
    ck_assert(renew(1, 402 * NS_PER_S, 402 * NS_PER_S) == -1 && apply_leases_void(&leases, set, 1, 402 * NS_PER_S, &taken_back));
}
END_TEST

START_TEST(test_a_checkpoint_stands_in_a_snapshot)
{
    struct buf bytes;
    struct lease_row rows[2] = {{.id = 7, .ttl = 60, .granted_index = 9, .remaining = 60}, {.id = -1, .ttl = 5, .granted_index = 1}}, row;
    buf_init(&bytes);
    for (size_t i = 0; i < 2; i++) snapshot_format_put_lease(&bytes, &rows[i]);
    struct reader reader = reader_make(buf_slice(&bytes));
    for (size_t i = 0; i < 2; i++) {
        ck_assert(snapshot_format_get_lease(&reader, &row) && row.id == rows[i].id && row.ttl == rows[i].ttl);
        ck_assert(row.granted_index == rows[i].granted_index && row.remaining == rows[i].remaining);
    }
    ck_assert(!snapshot_format_get_lease(&reader, &row) && !reader.bad);
    buf_clear(&bytes);
    rows[0].remaining = 61; /* more than was ever granted */
    snapshot_format_put_lease(&bytes, &rows[0]);
    reader = reader_make(buf_slice(&bytes));
    ck_assert(!snapshot_format_get_lease(&reader, &row) && reader.bad);
    buf_deinit(&bytes);
}
END_TEST

START_TEST(test_the_time_to_live_is_the_leaders_to_tell)
{
    struct buf body;
    struct lease_question question = {.lease = 1};
    buf_init(&body);
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    ck_assert_int_eq(grant(1, 10, 3), ERR_OK);
    ck_assert_int_eq(apply_leases_time_to_live(&leases, set, &question, 0, &body), ERR_LEADER_CHANGED);
    lead(4, 5);
    arm(0);
    ck_assert_int_eq(apply_leases_time_to_live(&leases, set, &question, 3 * NS_PER_S + 1, &body), ERR_OK);
    ck_assert(slice_equal(buf_slice(&body), slice_make("\x10\x01\x18\x07\x20\x0a", 6)));
    buf_clear(&body);
    question.lease = 2;
    ck_assert_int_eq(apply_leases_time_to_live(&leases, set, &question, 0, &body), ERR_OK);
    ck_assert(slice_equal(buf_slice(&body), slice_make("\x10\x02\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13)));
    buf_deinit(&body);
}
END_TEST

START_TEST(test_a_long_list_is_told_in_slices_as_it_was_when_it_was_asked_for)
{
    struct mail reply;
    apply_leases_init(&leases, ELECTION_NS, CHECKPOINT_NS);
    for (int64_t id = 1; id <= 20000; id++) ck_assert_int_eq(grant(id, 5, 1), ERR_OK);
    apply_leases_list(&leases, set, 77, 3);
    ck_assert_int_eq(grant(20001, 5, 1), ERR_OK);
    uint32_t steps = 1;
    while (!apply_leases_list_step(&leases, &reply)) steps++;
    ck_assert(steps == 3 && reply.reply.call == 77 && reply.reply.revision == 3 && !apply_leases_is_listing(&leases));
    struct reader reader = reader_make(blob_slice(reply.reply.body));
    struct pb_field field;
    uint32_t count = 0;
    while (reader_pb_field(&reader, &field)) count++;
    ck_assert(!reader.bad && count == 20000);
    mail_deinit(&reply);
    apply_leases_list(&leases, set, 78, 3);
    apply_leases_deinit(&leases);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lease");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_a_grant_is_refused_twice_and_above_the_longest_ttl);
    tcase_add_test(tests, test_the_hash_says_which_leases_there_are_and_forgets_the_way);
    tcase_add_test(tests, test_keys_belong_to_the_lease_that_the_model_says);
    tcase_add_test(tests, test_an_image_stays_as_it_was_whatever_happens_behind_it);
    tcase_add_test(tests, test_a_large_set_is_freed_in_steps);
    tcase_add_test(tests, test_who_does_not_lead_calls_nothing_over);
    tcase_add_test(tests, test_a_new_leader_gives_all_leases_their_time_and_an_election_timeout);
    tcase_add_test(tests, test_leading_again_begins_with_the_whole_time);
    tcase_add_test(tests, test_no_more_expiries_are_under_way_than_may_be_and_what_was_lost_is_asked_for_again);
    tcase_add_test(tests, test_a_renewal_counts_from_the_start_of_its_round_and_shortens_nothing);
    tcase_add_test(tests, test_what_is_over_is_not_renewed_whether_it_is_gone_yet_or_not);
    tcase_add_test(tests, test_a_long_lease_that_nobody_renews_is_checkpointed_and_a_new_leader_counts_from_there);
    tcase_add_test(tests, test_a_renewal_waits_until_the_checkpoint_before_it_is_void);
    tcase_add_test(tests, test_numbers_of_a_leader_before_void_nothing);
    tcase_add_test(tests, test_a_checkpoint_stands_in_a_snapshot);
    tcase_add_test(tests, test_the_time_to_live_is_the_leaders_to_tell);
    tcase_add_test(tests, test_a_long_list_is_told_in_slices_as_it_was_when_it_was_asked_for);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
