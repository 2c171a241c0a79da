/* Does a lock have one owner at a time, in the order of the queue, and does whoever gives up, or loses its lease, leave nothing behind?
 * The pure half over a real state machine and the real watches: the test carries the steps out as the net and the watch role would. */
#include <check.h>
#include <stdlib.h>

#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/kv_rig.h"
#include "rpc/lock_bytes.h"
#include "rpc/lock_call.h"
#include "v3electionpb/v3election.pb-c.h"
#include "v3lockpb/v3lock.pb-c.h"
#include "watch/watch.h"

#define CALLS 8
#define KEY_A "w/a"
#define KEY_B "w/b"
#define KEY_C "w/c"

struct caller {
    struct lock_call *call;
    struct lock_step step;       /* the one that is under way */
    struct watch_stream *stream; /* of a WATCH */
    struct buf said;             /* the last message */
    enum { UNDER_WAY, WATCHING, SENT, ANSWERED, FAILED } state;
    enum err err;
    int sends;
};
static struct kv_rig rig;
static struct arena scratch;
static struct service_env env;
static struct watch *watch;
static struct caller callers[CALLS];

static void set_up(void)
{
    kv_rig_init(&rig);
    arena_init(&scratch, 64 << 20);
    env = (struct service_env){.machine = rig.machine, .limits = {.txn_ops_max = 128}, .max_request_bytes = 4096, .gather_bytes_max = SIZE_MAX,
                               .lease_ttl_min = 2, .cluster_id = 7, .member_id = 8, .term = 3, .leader = 8, .scratch = &scratch};
    watch = watch_new(&(struct watch_options){.cluster_id = 7, .member_id = 8, .watchers_max = 100, .key_bytes_max = 1 << 20, .fragment_bytes = 1 << 20,
                                              .message_bytes_max = INT32_MAX, .progress_ns = NS_PER_S, .hold_bytes_max = 0}, mvcc_view(rig.mvcc));
    memset(callers, 0, sizeof callers);
    for (int64_t id = 0xa; id <= 0xd; id++) {
        struct buf grant;
        buf_init(&grant);
        buf_put_pb_varint(&grant, 1, 100);
        buf_put_pb_varint(&grant, 2, (uint64_t)id);
        ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_LEASE_GRANT, buf_slice(&grant)), ERR_OK);
        buf_deinit(&grant);
    }
}

static void tear_down(void)
{
    watch_free(watch);
    for (int i = 0; i < CALLS; i++) {
        lock_call_free(callers[i].call);
        buf_deinit(&callers[i].said);
    }
    arena_deinit(&scratch);
    kv_rig_deinit(&rig);
}

/* --- carrying out --- */

static struct service_env *env_now(void)
{
    arena_reset(&scratch);
    return &env;
}

static void keep(struct caller *caller)
{
    buf_clear(&caller->said);
    buf_put_slice(&caller->said, caller->step.message);
}

static void open_watch(struct caller *caller)
{
    struct reader requests = reader_make(blob_slice(caller->step.watch));
    struct pb_field request;
    caller->stream = watch_open(watch, 1, slice_empty());
    while (reader_pb_field(&requests, &request))
        ck_assert_int_eq(watch_request(watch, caller->stream, request.bytes, mvcc_view(rig.mvcc), 0), ERR_OK);
    blob_unref(caller->step.watch);
    caller->state = WATCHING;
}

static void settle(struct caller *caller)
{
    switch (caller->step.kind) {
    case LOCK_STEP_PLAN: caller->state = UNDER_WAY; break;
    case LOCK_STEP_WATCH: open_watch(caller); break;
    case LOCK_STEP_SEND: caller->state = SENT; caller->sends++; keep(caller); break;
    case LOCK_STEP_REPLY: caller->state = ANSWERED; keep(caller); break;
    case LOCK_STEP_FAIL: caller->state = FAILED; caller->err = caller->step.err; break;
    }
}

static void fail_step(struct caller *caller, enum err err)
{
    lock_call_failed(caller->call, env_now(), err, &caller->step);
    settle(caller);
}

static void read_state(struct caller *caller, const struct service_plan *plan)
{
    struct buf out;
    enum err err = ERR_OK;
    buf_init(&out);
    ck_assert(plan->linearizable);
    while (service_job_step(plan->job, &env, 1 << 20, &out, &err) == SERVICE_MORE) continue;
    ck_assert_int_eq(err, ERR_OK);
    service_job_free(plan->job);
    lock_call_was_read(caller->call, env_now(), buf_slice(&out), &caller->step);
    buf_deinit(&out);
}

/* One proposal or read. */
static void carry_out(struct caller *caller)
{
    struct service_plan plan = caller->step.plan;
    ck_assert_int_eq(caller->state, UNDER_WAY);
    if (plan.action == SERVICE_READ) {
        read_state(caller, &plan);
    } else if (plan.action == SERVICE_REFUSE) {
        lock_call_failed(caller->call, env_now(), plan.err, &caller->step);
    } else {
        enum err err = kv_rig_apply(&rig, plan.kind, plan.body);
        if (err != ERR_OK) lock_call_failed(caller->call, env_now(), err, &caller->step);
        else lock_call_replied(caller->call, env_now(), rig.result.revision, blob_slice(rig.result.body), &caller->step);
    }
    settle(caller);
}

static void run(struct caller *caller)
{
    while (caller->state == UNDER_WAY) carry_out(caller);
}

static struct caller *caller_of(const struct watch_stream *stream)
{
    for (int i = 0; i < CALLS; i++)
        if (callers[i].state == WATCHING && callers[i].stream == stream) return &callers[i];
    ck_abort_msg("a frame for nobody");
}

static void tell(struct caller *caller, const struct watch_frame *frame)
{
    struct lock_head head;
    lock_bytes_read_head(frame->head, &head);
    if (head.is_created && !head.is_canceled) {
        watch_sent(watch, frame->stream);
        return;
    }
    lock_call_watched(caller->call, env_now(), frame->head, frame->events, &caller->step);
    watch_close(watch, caller->stream);
    settle(caller);
    run(caller);
}

/* Frames until nobody has one. */
static void turn(void)
{
    struct watch_frame frame;
    size_t budget = 1 << 20;
    const struct mvcc_view *view = mvcc_view(rig.mvcc);
    while (watch_step(watch, view, mvcc_view_compact_revision(view), 1 << 20, 0)) continue;
    while (watch_next(watch, view, 3, &budget, &frame)) {
        tell(caller_of(frame.stream), &frame);
        view = mvcc_view(rig.mvcc);
        while (watch_step(watch, view, mvcc_view_compact_revision(view), 1 << 20, 0)) continue;
    }
}

static void give_up(struct caller *caller)
{
    lock_call_give_up(caller->call, ERR_CANCELED);
    if (caller->state == WATCHING) { /* as UNWAIT does */
        watch_close(watch, caller->stream);
        fail_step(caller, ERR_CANCELED);
    }
    run(caller);
}

/* --- callers --- */

static enum err begin(struct caller *caller, enum rpc_method_id method, struct slice request)
{
    struct service_plan plan;
    lock_call_free(caller->call);
    *caller = (struct caller){.said = caller->said};
    lock_call_plan(&env, method, request, &plan);
    if (plan.action == SERVICE_REFUSE) return plan.err;
    ck_assert_int_eq(plan.action, SERVICE_LOCK);
    caller->call = plan.lock;
    lock_call_begin(caller->call, env_now(), &caller->step);
    settle(caller);
    return ERR_OK;
}

static struct caller *start(int number, enum rpc_method_id method, int64_t lease, const char *value)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string("w"));
    if (lease != 0) buf_put_pb_varint(&request, 2, (uint64_t)lease);
    if (value[0] != '\0') buf_put_pb_bytes(&request, 3, slice_from_string(value));
    ck_assert_int_eq(begin(&callers[number], method, buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
    return &callers[number];
}

static struct caller *lock(int number, int64_t lease)
{
    struct caller *caller = start(number, RPC_LOCK_LOCK, lease, "");
    run(caller);
    return caller;
}

static struct caller *campaign(int number, int64_t lease, const char *value)
{
    struct caller *caller = start(number, RPC_ELECTION_CAMPAIGN, lease, value);
    run(caller);
    return caller;
}

static void with_leader_key(struct buf *request, const char *key, int64_t create_revision, int64_t lease)
{
    struct buf leader;
    buf_init(&leader);
    buf_put_pb_bytes(&leader, 2, slice_from_string(key));
    buf_put_pb_varint(&leader, 3, (uint64_t)create_revision);
    buf_put_pb_varint(&leader, 4, (uint64_t)lease);
    buf_put_pb_bytes(request, 1, buf_slice(&leader));
    buf_deinit(&leader);
}

static struct caller *proclaim(const char *key, int64_t create_revision, int64_t lease, const char *value)
{
    struct buf request;
    buf_init(&request);
    with_leader_key(&request, key, create_revision, lease);
    buf_put_pb_bytes(&request, 2, slice_from_string(value));
    ck_assert_int_eq(begin(&callers[CALLS - 1], RPC_ELECTION_PROCLAIM, buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
    run(&callers[CALLS - 1]);
    return &callers[CALLS - 1];
}

static void unlock(const char *key)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string(key));
    ck_assert_int_eq(begin(&callers[CALLS - 1], RPC_LOCK_UNLOCK, buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
    run(&callers[CALLS - 1]);
    ck_assert_int_eq(callers[CALLS - 1].state, ANSWERED);
}

static void revoke(int64_t lease)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)lease);
    ck_assert_int_eq(kv_rig_apply(&rig, COMMAND_LEASE_REVOKE, buf_slice(&request)), ERR_OK);
    buf_deinit(&request);
}

static bool exists(const char *key, struct mvcc_kv *out_kv)
{
    const struct mvcc_view *view = mvcc_view(rig.mvcc);
    return mvcc_get(view, slice_from_string(key), mvcc_view_revision(view), out_kv);
}

static int64_t create_revision(const char *key)
{
    struct mvcc_kv kv = {.create_revision = 0};
    return exists(key, &kv) ? kv.create_revision : 0;
}

static void check_locked(const struct caller *caller, const char *key)
{
    ck_assert_int_eq(caller->state, ANSWERED);
    V3lockpb__LockResponse *response = v3lockpb__lock_response__unpack(NULL, caller->said.size, buf_slice(&caller->said).data);
    ck_assert_ptr_nonnull(response);
    ck_assert(slice_equal(slice_make(response->key.data, response->key.len), slice_from_string(key)));
    ck_assert_int_eq(response->header->revision, mvcc_view_revision(mvcc_view(rig.mvcc)));
    ck_assert_uint_eq(response->header->member_id, 8);
    v3lockpb__lock_response__free_unpacked(response, NULL);
}

static void check_elected(const struct caller *caller, const char *key, int64_t revision)
{
    ck_assert_int_eq(caller->state, ANSWERED);
    V3electionpb__CampaignResponse *response = v3electionpb__campaign_response__unpack(NULL, caller->said.size, buf_slice(&caller->said).data);
    ck_assert_ptr_nonnull(response);
    ck_assert(slice_equal(slice_make(response->leader->key.data, response->leader->key.len), slice_from_string(key)));
    ck_assert(slice_equal(slice_make(response->leader->name.data, response->leader->name.len), slice_from_string("w")));
    ck_assert_int_eq(response->leader->rev, create_revision(key));
    ck_assert_int_eq(response->header->revision, revision);
    v3electionpb__campaign_response__free_unpacked(response, NULL);
}

static void check_failed(const struct caller *caller, enum err err)
{
    ck_assert_int_eq(caller->state, FAILED);
    ck_assert_str_eq(err_text(caller->err), err_text(err));
    ck_assert_int_eq(err_grpc_code(caller->err), err_grpc_code(err));
}

/* --- locks --- */

START_TEST(test_lock_call_is_given_in_the_order_of_the_queue)
{
    check_locked(lock(0, 0xa), KEY_A);
    struct caller *b = lock(1, 0xb), *c = lock(2, 0xc);
    ck_assert(b->state == WATCHING && c->state == WATCHING);
    turn();
    ck_assert(b->state == WATCHING && c->state == WATCHING);
    unlock(KEY_A);
    turn();
    check_locked(b, KEY_B);
    ck_assert_int_eq(c->state, WATCHING);
    unlock(KEY_B);
    turn();
    check_locked(c, KEY_C);
}
END_TEST

START_TEST(test_lock_call_asked_again_with_its_lease_finds_its_place)
{
    check_locked(lock(0, 0xa), KEY_A);
    int64_t revision = create_revision(KEY_A);
    check_locked(lock(1, 0xa), KEY_A);
    ck_assert_int_eq(create_revision(KEY_A), revision);
    struct caller *b = lock(2, 0xb), *again = lock(3, 0xb);
    ck_assert(b->state == WATCHING && again->state == WATCHING);
    unlock(KEY_A);
    turn();
    check_locked(b, KEY_B);
    check_locked(again, KEY_B);
}
END_TEST

START_TEST(test_lock_call_given_up_leaves_no_key_and_the_queue_goes_on)
{
    struct caller *a = lock(0, 0xa), *b = lock(1, 0xb), *c = lock(2, 0xc);
    give_up(b);
    check_failed(b, ERR_CANCELED);
    ck_assert_int_eq(create_revision(KEY_B), 0);
    turn();
    ck_assert_int_eq(c->state, WATCHING); /* it looked again, and found the one before */
    check_locked(lock(3, 0xa), KEY_A);
    unlock(KEY_A);
    turn();
    check_locked(c, KEY_C);
    ck_assert_int_eq(a->state, ANSWERED);
}
END_TEST

START_TEST(test_lock_call_given_up_while_its_key_is_made_takes_it_back)
{
    struct caller *a = start(0, RPC_LOCK_LOCK, 0xa, "");
    lock_call_give_up(a->call, ERR_CANCELED);
    carry_out(a);
    ck_assert_int_ne(create_revision(KEY_A), 0);
    run(a);
    check_failed(a, ERR_CANCELED);
    ck_assert_int_eq(create_revision(KEY_A), 0);
    /* A lock that its lease held before stays held. */
    check_locked(lock(1, 0xa), KEY_A);
    a = start(0, RPC_LOCK_LOCK, 0xa, "");
    lock_call_give_up(a->call, ERR_CANCELED);
    run(a);
    check_failed(a, ERR_CANCELED);
    ck_assert_int_ne(create_revision(KEY_A), 0);
}
END_TEST

START_TEST(test_lock_call_given_up_takes_only_its_own_place_back)
{
    (void)lock(0, 0xa);
    struct caller *b = lock(1, 0xb);
    ck_assert_str_ne(kv_rig_delete(&rig, KEY_B), "");
    ck_assert_str_ne(kv_rig_put(&rig, KEY_B "=another"), "");
    give_up(b);
    check_failed(b, ERR_CANCELED);
    ck_assert_int_ne(create_revision(KEY_B), 0);
}
END_TEST

START_TEST(test_lock_call_whose_lease_ends_ends_at_once)
{
    check_locked(lock(0, 0xa), KEY_A);
    struct caller *b = lock(1, 0xb), *c = campaign(2, 0xc, "v");
    revoke(0xb);
    turn();
    check_failed(b, ERR_SESSION_EXPIRED);
    ck_assert_int_eq(c->state, WATCHING);
    revoke(0xc);
    turn();
    check_failed(c, ERR_NOT_ELECTION_LEADER);
    check_failed(lock(3, 0xb), err_inner(ERR_LEASE_NOT_FOUND));
    ck_assert_int_eq(err_grpc_code(callers[3].err), ERR_CODE_UNKNOWN);
}
END_TEST

/* The place goes together with the one before it: that must not look like a turn. */
START_TEST(test_lock_call_that_lost_its_place_with_the_one_before_is_no_owner)
{
    check_locked(lock(0, 0xa), KEY_A);
    struct caller *b = lock(1, 0xb);
    ck_assert_str_ne(kv_rig_delete(&rig, "w..x"), "");
    turn();
    check_failed(b, ERR_SESSION_EXPIRED);
}
END_TEST

START_TEST(test_lock_call_overtaken_by_a_compaction_looks_again)
{
    (void)lock(0, 0xa);
    struct caller *b = lock(1, 0xb);
    unlock(KEY_A);
    for (int i = 0; i < 3; i++) ck_assert_str_ne(kv_rig_put(&rig, "x=1"), "");
    ck_assert_int_eq(kv_rig_compact(&rig, mvcc_view_revision(mvcc_view(rig.mvcc)), false), ERR_OK);
    turn();
    check_locked(b, KEY_B);
}
END_TEST

START_TEST(test_lock_call_that_fails_behind_its_key_takes_it_back)
{
    (void)lock(0, 0xa);
    struct caller *b = start(1, RPC_LOCK_LOCK, 0xb, "");
    carry_out(b); /* entered; it is about to look */
    service_job_free(b->step.plan.job);
    fail_step(b, ERR_TIMEOUT);
    run(b);
    check_failed(b, err_inner(ERR_TIMEOUT));
    ck_assert_int_eq(create_revision(KEY_B), 0);
    b = lock(1, 0xb);
    watch_close(watch, b->stream);
    fail_step(b, ERR_STOPPED);
    run(b);
    check_failed(b, ERR_STOPPED);
    ck_assert_int_eq(create_revision(KEY_B), 0);
    b = start(1, RPC_LOCK_LOCK, 0xb, "");
    fail_step(b, ERR_TOO_MANY_REQUESTS);
    check_failed(b, ERR_TOO_MANY_REQUESTS);
}
END_TEST

START_TEST(test_lock_call_without_a_lease_gets_one)
{
    struct caller *a = start(0, RPC_LOCK_LOCK, 0, "");
    ck_assert_int_eq(a->step.plan.kind, COMMAND_LEASE_GRANT);
    ck_assert_uint_eq(a->step.plan.chosen_lease_ids, 1);
    struct buf granted; /* as the log would answer with an id that the member chose */
    buf_init(&granted);
    buf_put_pb_varint(&granted, 2, 0xd);
    buf_put_pb_varint(&granted, 3, 60);
    lock_call_replied(a->call, env_now(), 1, buf_slice(&granted), &a->step);
    buf_deinit(&granted);
    settle(a);
    run(a);
    check_locked(a, "w/d");
}
END_TEST

/* --- elections --- */

START_TEST(test_lock_call_candidate_brings_its_value_and_may_change_it)
{
    struct mvcc_kv kv;
    struct caller *a = campaign(0, 0xa, "one");
    int64_t revision = create_revision(KEY_A);
    check_elected(a, KEY_A, revision);
    check_elected(campaign(0, 0xa, "one"), KEY_A, revision);
    check_elected(campaign(0, 0xa, "two"), KEY_A, revision);
    ck_assert(exists(KEY_A, &kv) && slice_equal(kv.value, slice_from_string("two")) && kv.create_revision == revision);
    struct caller *b = campaign(1, 0xb, "b");
    int64_t entered = create_revision(KEY_B);
    int64_t entered_again = entered; /* it made no key: the revision when it looked */
    struct caller *again = campaign(2, 0xb, "other");
    ck_assert(b->state == WATCHING && again->state == WATCHING);
    unlock(KEY_A);
    turn();
    check_elected(b, KEY_B, entered);
    check_elected(again, KEY_B, entered_again);
    ck_assert(exists(KEY_B, &kv) && slice_equal(kv.value, slice_from_string("other")));
}
END_TEST

START_TEST(test_lock_call_proclaims_and_resigns_its_own_place_only)
{
    struct mvcc_kv kv;
    struct buf request;
    (void)campaign(0, 0xa, "one");
    int64_t revision = create_revision(KEY_A);
    ck_assert_int_eq(proclaim(KEY_A, revision, 0xa, "two")->state, ANSWERED);
    check_failed(proclaim(KEY_A, revision - 1, 0xa, "three"), ERR_NOT_ELECTION_LEADER);
    check_failed(proclaim(KEY_A, revision, 0x77, "three"), err_inner(ERR_LEASE_NOT_FOUND));
    check_failed(proclaim("", revision, 0xa, "three"), err_inner(ERR_EMPTY_KEY));
    ck_assert(exists(KEY_A, &kv) && slice_equal(kv.value, slice_from_string("two")));
    buf_init(&request);
    with_leader_key(&request, KEY_A, revision - 1, 0xa);
    ck_assert_int_eq(begin(&callers[1], RPC_ELECTION_RESIGN, buf_slice(&request)), ERR_OK);
    run(&callers[1]);
    ck_assert_int_eq(callers[1].state, ANSWERED); /* as etcd says */
    ck_assert_int_eq(create_revision(KEY_A), revision);
    buf_clear(&request);
    with_leader_key(&request, KEY_A, revision, 0);
    ck_assert_int_eq(begin(&callers[1], RPC_ELECTION_RESIGN, buf_slice(&request)), ERR_OK);
    run(&callers[1]);
    ck_assert_int_eq(callers[1].state, ANSWERED);
    ck_assert_int_eq(create_revision(KEY_A), 0);
    buf_deinit(&request);
}
END_TEST

static void check_told(struct caller *caller, int sends, const char *key, const char *value, int64_t revision)
{
    ck_assert_int_eq(caller->sends, sends);
    ck_assert_int_eq(caller->state, SENT);
    V3electionpb__LeaderResponse *response = v3electionpb__leader_response__unpack(NULL, caller->said.size, buf_slice(&caller->said).data);
    ck_assert_ptr_nonnull(response);
    ck_assert(slice_equal(slice_make(response->kv->key.data, response->kv->key.len), slice_from_string(key)));
    ck_assert(slice_equal(slice_make(response->kv->value.data, response->kv->value.len), slice_from_string(value)));
    ck_assert_int_eq(response->header->revision, revision);
    v3electionpb__leader_response__free_unpacked(response, NULL);
}

static void sent(struct caller *caller)
{
    lock_call_sent(caller->call, env_now(), &caller->step);
    settle(caller);
    run(caller);
    turn();
}

static int64_t now(void) { return mvcc_view_revision(mvcc_view(rig.mvcc)); }

START_TEST(test_lock_call_observes_each_change_of_each_leader)
{
    struct caller *observer = start(4, RPC_ELECTION_OBSERVE, 0, ""), *leader = start(5, RPC_ELECTION_LEADER, 0, "");
    run(observer);
    run(leader);
    check_failed(leader, ERR_NO_ELECTION_LEADER);
    turn();
    ck_assert_int_eq(observer->state, WATCHING);
    (void)campaign(0, 0xa, "one");
    int64_t a = now();
    (void)campaign(1, 0xb, "next");
    turn();
    check_told(observer, 1, KEY_A, "one", a);
    sent(observer);
    ck_assert_int_eq(observer->state, WATCHING); /* who waits in the queue is nobody's leader */
    (void)proclaim(KEY_A, a, 0xa, "two");
    (void)proclaim(KEY_A, a, 0xa, "three");
    int64_t changed = now();
    turn(); /* both in one frame */
    check_told(observer, 2, KEY_A, "two", changed - 1);
    sent(observer);
    check_told(observer, 3, KEY_A, "three", changed);
    sent(observer);
    unlock(KEY_A);
    turn();
    check_told(observer, 4, KEY_B, "next", now());
    leader = start(5, RPC_ELECTION_LEADER, 0, "");
    run(leader);
    ck_assert_int_eq(leader->state, ANSWERED);
    lock_call_give_up(observer->call, ERR_CANCELED);
    sent(observer);
    check_failed(observer, ERR_CANCELED);
}
END_TEST

START_TEST(test_lock_call_observer_that_a_compaction_overtakes_is_told)
{
    struct caller *observer = start(4, RPC_ELECTION_OBSERVE, 0, "");
    (void)campaign(0, 0xa, "one");
    run(observer);
    check_told(observer, 1, KEY_A, "one", now());
    for (int i = 0; i < 3; i++) ck_assert_str_ne(kv_rig_put(&rig, "x=1"), "");
    turn();
    ck_assert_int_eq(kv_rig_compact(&rig, now(), false), ERR_OK);
    sent(observer);
    check_failed(observer, ERR_OBSERVE_CLOSED);
}
END_TEST

/* --- requests --- */

START_TEST(test_lock_call_refuses_what_is_no_request)
{
    static const uint8_t cut[] = {0x0a, 5, 'w'}, number_for_name[] = {0x08, 1}, bytes_for_lease[] = {0x12, 1, 'x'}, other[] = {0x7a, 1, 'x'};
    static const uint8_t leader_cut[] = {0x0a, 2, 0x0a, 9};
    struct caller *caller = &callers[0];
    ck_assert_int_eq(begin(caller, RPC_LOCK_LOCK, slice_make(cut, sizeof cut)), ERR_MALFORMED);
    ck_assert_int_eq(begin(caller, RPC_LOCK_LOCK, slice_make(number_for_name, 2)), ERR_MALFORMED);
    ck_assert_int_eq(begin(caller, RPC_LOCK_LOCK, slice_make(bytes_for_lease, 3)), ERR_MALFORMED);
    ck_assert_int_eq(begin(caller, RPC_ELECTION_RESIGN, slice_make(leader_cut, 4)), ERR_MALFORMED);
    ck_assert_int_eq(begin(caller, RPC_ELECTION_RESIGN, slice_empty()), ERR_NO_LEADER_KEY);
    ck_assert_int_eq(begin(caller, RPC_ELECTION_PROCLAIM, slice_empty()), ERR_NO_LEADER_KEY);
    ck_assert_int_eq(begin(caller, RPC_ELECTION_LEADER, slice_make(other, sizeof other)), ERR_OK); /* unknown fields are nothing */
    service_job_free(caller->step.plan.job);
    uint8_t long_name[5000] = {0x0a, 0x84, 0x27};
    enum err err = begin(caller, RPC_LOCK_LOCK, slice_make(long_name, sizeof long_name));
    ck_assert_str_eq(err_text(err), err_text(ERR_REQUEST_TOO_LARGE));
    ck_assert_int_eq(err_grpc_code(err), ERR_CODE_UNKNOWN);
}
END_TEST

START_TEST(test_lock_call_keys_have_the_lease_in_hex)
{
    static const struct {
        int64_t lease;
        const char *key;
    } rows[] = {{0x1f, "n/1f"}, {INT64_MAX, "n/7fffffffffffffff"}, {-5, "n/-5"}, {INT64_MIN, "n/-8000000000000000"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf key;
        buf_init(&key);
        lock_bytes_put_key(&key, slice_from_string("n/"), rows[i].lease);
        ck_assert(slice_equal(buf_slice(&key), slice_from_string(rows[i].key)));
        buf_deinit(&key);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lock_call");
    TCase *tcase = tcase_create("lock_call");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_lock_call_is_given_in_the_order_of_the_queue);
    tcase_add_test(tcase, test_lock_call_asked_again_with_its_lease_finds_its_place);
    tcase_add_test(tcase, test_lock_call_given_up_leaves_no_key_and_the_queue_goes_on);
    tcase_add_test(tcase, test_lock_call_given_up_while_its_key_is_made_takes_it_back);
    tcase_add_test(tcase, test_lock_call_given_up_takes_only_its_own_place_back);
    tcase_add_test(tcase, test_lock_call_whose_lease_ends_ends_at_once);
    tcase_add_test(tcase, test_lock_call_that_lost_its_place_with_the_one_before_is_no_owner);
    tcase_add_test(tcase, test_lock_call_overtaken_by_a_compaction_looks_again);
    tcase_add_test(tcase, test_lock_call_that_fails_behind_its_key_takes_it_back);
    tcase_add_test(tcase, test_lock_call_without_a_lease_gets_one);
    tcase_add_test(tcase, test_lock_call_candidate_brings_its_value_and_may_change_it);
    tcase_add_test(tcase, test_lock_call_proclaims_and_resigns_its_own_place_only);
    tcase_add_test(tcase, test_lock_call_observes_each_change_of_each_leader);
    tcase_add_test(tcase, test_lock_call_observer_that_a_compaction_overtakes_is_told);
    tcase_add_test(tcase, test_lock_call_refuses_what_is_no_request);
    tcase_add_test(tcase, test_lock_call_keys_have_the_lease_in_hex);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
