/* lock_call: see lock_call.h. */
#include "rpc/lock_call.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutant.h"
#include "rpc/kv_service.h"
#include "rpc/lease_service.h"
#include "rpc/lock_bytes.h"

#define SESSION_TTL_S 60 /* of a lease that the server grants for a call without one; nobody keeps it alive */

enum lock_phase {
    LOCK_GRANTING,
    LOCK_ENTERING,
    LOCK_CHANGING, /* of a candidate that was there before with another value */
    LOCK_LOOKING,
    LOCK_WAITING,
    LOCK_LEAVING,
    LOCK_WRITING,  /* the one write of an Unlock, a Proclaim, a Resign */
    LOCK_READING,
    LOCK_SENDING,
    LOCK_FOLLOWING,
};
struct lock_call {
    enum rpc_method_id method;
    enum lock_phase phase;
    struct buf prefix;        /* name + "/" */
    struct buf key, value;
    struct buf out;           /* the request or message of the step */
    int64_t lease;
    int64_t create_revision;  /* of the key: who I am in the queue */
    int64_t entered_revision; /* of the answer to entering */
    int64_t next_revision;    /* Observe: not yet seen */
    bool has_leader;          /* the request has the field */
    bool is_owner;            /* nobody was before me when I entered */
    bool is_new;              /* the key is this call's */
    bool is_led;              /* Observe: the key is a leader's; else nobody leads */
    enum err given_up;
    enum err end;             /* behind LEAVING */
    struct blob *events;      /* Observe: of the frame that is being sent */
    struct reader rest;
};

/* --- requests --- */

static void set(struct buf *buf, struct slice bytes)
{
    buf_clear(buf);
    buf_put_slice(buf, bytes);
}

static bool read_leader_key(struct lock_call *call, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct pb_field field;
    call->has_leader = true;
    while (reader_pb_field(&reader, &field)) {
        bool is_known = field.number >= 1 && field.number <= 4;
        if (is_known && field.wire != (field.number <= 2 ? PB_BYTES : PB_VARINT)) return false;
        if (field.number == 2) set(&call->key, field.bytes);
        if (field.number == 3) call->create_revision = (int64_t)field.value;
        if (field.number == 4) call->lease = (int64_t)field.value;
    }
    return !reader.bad;
}

/* Field 1 is the name, of an Unlock the key; 2 the lease, of a Proclaim the value; 3 a candidate's value. */
static bool read_field(struct lock_call *call, const struct pb_field *field)
{
    bool is_bytes = field->wire == PB_BYTES, is_varint = field->wire == PB_VARINT;
    bool has_leader_key = call->method == RPC_ELECTION_PROCLAIM || call->method == RPC_ELECTION_RESIGN;
    bool has_lease = call->method == RPC_LOCK_LOCK || call->method == RPC_ELECTION_CAMPAIGN;
    if (field->number == 1 && has_leader_key) return is_bytes && read_leader_key(call, field->bytes);
    if (field->number == 1) {
        if (is_bytes) set(call->method == RPC_LOCK_UNLOCK ? &call->key : &call->prefix, field->bytes);
        return is_bytes;
    }
    if (field->number == 2 && has_lease) {
        call->lease = (int64_t)field->value;
        return is_varint;
    }
    bool is_value = field->number == (has_lease ? 3 : 2) && (call->method == RPC_ELECTION_CAMPAIGN || call->method == RPC_ELECTION_PROCLAIM);
    if (is_value && is_bytes) set(&call->value, field->bytes);
    return is_bytes || !is_value;
}

static bool read_request(struct lock_call *call, struct slice request)
{
    struct reader reader = reader_make(request);
    struct pb_field field;
    while (reader_pb_field(&reader, &field))
        if (!read_field(call, &field)) return false;
    return !reader.bad;
}

void lock_call_plan(struct service_env *env, enum rpc_method_id method, struct slice request, struct service_plan *out_plan)
{
    static const uint32_t no_strings[] = {0};
    ASSERT(env != NULL && out_plan != NULL);
    struct lock_call *call = ALLOC(struct lock_call);
    *call = (struct lock_call){.method = method};
    struct buf *bufs[] = {&call->prefix, &call->key, &call->value, &call->out};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) buf_init(bufs[i]);
    enum err err = request.size > env->max_request_bytes ? err_inner(ERR_REQUEST_TOO_LARGE) : request_scan(request, no_strings);
    if (err == ERR_OK && !read_request(call, request)) err = ERR_MALFORMED;
    bool needs_leader = method == RPC_ELECTION_PROCLAIM || method == RPC_ELECTION_RESIGN;
    if (err == ERR_OK && needs_leader && !call->has_leader) err = ERR_NO_LEADER_KEY;
    if (err != ERR_OK) {
        lock_call_free(call);
        service_plan_refuse(out_plan, err);
        return;
    }
    buf_put_u8(&call->prefix, '/');
    *out_plan = (struct service_plan){.action = SERVICE_LOCK, .err = ERR_OK, .lock = call};
}

void lock_call_free(struct lock_call *call)
{
    if (call == NULL) return;
    buf_deinit(&call->prefix);
    buf_deinit(&call->key);
    buf_deinit(&call->value);
    buf_deinit(&call->out);
    blob_unref(call->events);
    alloc_free(call);
}

size_t lock_call_held_bytes(const struct lock_call *call) { return 2 * call->prefix.size + call->key.size; }

/* --- steps --- */

static bool is_candidate(const struct lock_call *call) { return call->method == RPC_LOCK_LOCK || call->method == RPC_ELECTION_CAMPAIGN; }

static void fail(struct lock_step *step, enum err err)
{
    ASSERT(err != ERR_OK);
    *step = (struct lock_step){.kind = LOCK_STEP_FAIL, .err = err};
}

/* The request in `out`, planned by the service whose it is. */
static void plan(struct lock_call *call, struct service_env *env, enum lock_phase phase, enum rpc_method_id method, struct lock_step *step)
{
    call->phase = phase;
    *step = (struct lock_step){.kind = LOCK_STEP_PLAN};
    if (method == RPC_LEASE_GRANT) lease_service_plan(env, method, buf_slice(&call->out), &step->plan);
    else kv_service_plan(env, method, buf_slice(&call->out), &step->plan);
}

static void enter(struct lock_call *call, struct service_env *env, struct lock_step *step)
{
    set(&call->key, slice_empty());
    lock_bytes_put_key(&call->key, buf_slice(&call->prefix), call->lease);
    buf_clear(&call->out);
    lock_bytes_enter(&call->out, buf_slice(&call->prefix), buf_slice(&call->key), buf_slice(&call->value), call->lease);
    plan(call, env, LOCK_ENTERING, RPC_KV_TXN, step);
}

static void change(struct lock_call *call, struct service_env *env, enum lock_phase phase, struct lock_step *step)
{
    buf_clear(&call->out);
    lock_bytes_change(&call->out, buf_slice(&call->key), call->create_revision, buf_slice(&call->value), call->lease);
    plan(call, env, phase, RPC_KV_TXN, step);
}

static void look(struct lock_call *call, struct service_env *env, struct lock_step *step)
{
    buf_clear(&call->out);
    lock_bytes_look(&call->out, buf_slice(&call->prefix), buf_slice(&call->key), call->create_revision);
    plan(call, env, LOCK_LOOKING, RPC_KV_TXN, step);
}

static void read_first(struct lock_call *call, struct service_env *env, struct lock_step *step)
{
    buf_clear(&call->out);
    lock_bytes_first(&call->out, buf_slice(&call->prefix));
    plan(call, env, LOCK_READING, RPC_KV_RANGE, step);
}

/* The place goes, and only that one: the key may be somebody's new place meanwhile. */
static void leave(struct lock_call *call, struct service_env *env, enum err end, struct lock_step *step)
{
    ASSERT(end != ERR_OK && call->create_revision > 0);
    call->end = end;
    if (MUTANT(D110)) {
        fail(step, end);
        return;
    }
    buf_clear(&call->out);
    lock_bytes_leave(&call->out, buf_slice(&call->key), call->create_revision);
    plan(call, env, LOCK_LEAVING, RPC_KV_TXN, step);
}

static void reply(struct lock_step *step, struct lock_call *call)
{
    *step = (struct lock_step){.kind = LOCK_STEP_REPLY, .message = buf_slice(&call->out)};
}

static void reply_header(struct lock_call *call, struct service_env *env, int64_t revision, struct lock_step *step)
{
    buf_clear(&call->out);
    service_put_header(env, revision, &call->out);
    reply(step, call);
}

/* LeaderKey, or the key alone of a lock. */
static void reply_owner(struct lock_call *call, struct service_env *env, int64_t revision, struct lock_step *step)
{
    struct slice name = slice_make(buf_slice(&call->prefix).data, call->prefix.size - 1);
    buf_clear(&call->out);
    service_put_header(env, revision, &call->out);
    if (call->method == RPC_LOCK_LOCK) {
        buf_put_pb_bytes(&call->out, 2, buf_slice(&call->key));
    } else {
        struct buf leader;
        buf_init(&leader);
        if (name.size > 0) buf_put_pb_bytes(&leader, 1, name);
        buf_put_pb_bytes(&leader, 2, buf_slice(&call->key));
        buf_put_pb_varint(&leader, 3, (uint64_t)call->create_revision);
        buf_put_pb_varint(&leader, 4, (uint64_t)call->lease);
        buf_put_pb_bytes(&call->out, 2, buf_slice(&leader));
        buf_deinit(&leader);
    }
    reply(step, call);
}

static void put_leader(struct lock_call *call, struct service_env *env, int64_t revision, struct slice kv)
{
    buf_clear(&call->out);
    service_put_header(env, revision, &call->out);
    buf_put_pb_bytes(&call->out, 2, kv);
}

void lock_call_begin(struct lock_call *call, struct service_env *env, struct lock_step *out_step)
{
    bool needs_lease = is_candidate(call) || call->method == RPC_ELECTION_PROCLAIM;
    if (needs_lease && call->lease == 0) {
        lock_bytes_grant(&call->out, SESSION_TTL_S);
        plan(call, env, LOCK_GRANTING, RPC_LEASE_GRANT, out_step);
    } else if (is_candidate(call)) {
        enter(call, env, out_step);
    } else if (call->method == RPC_ELECTION_PROCLAIM) {
        change(call, env, LOCK_WRITING, out_step);
    } else if (call->method == RPC_ELECTION_RESIGN) {
        lock_bytes_leave(&call->out, buf_slice(&call->key), call->create_revision);
        plan(call, env, LOCK_WRITING, RPC_KV_TXN, out_step);
    } else if (call->method == RPC_LOCK_UNLOCK) {
        lock_bytes_delete(&call->out, buf_slice(&call->key));
        plan(call, env, LOCK_WRITING, RPC_KV_DELETE_RANGE, out_step);
    } else {
        ASSERT(call->method == RPC_ELECTION_LEADER || call->method == RPC_ELECTION_OBSERVE);
        read_first(call, env, out_step);
    }
}

/* --- candidates --- */

/* Whoever has a place goes on from here. */
static void proceed(struct lock_call *call, struct service_env *env, struct lock_step *step)
{
    buf_deinit(&call->value);
    if (call->is_owner) reply_owner(call, env, call->entered_revision, step);
    else if (call->given_up != ERR_OK) leave(call, env, call->given_up, step);
    else look(call, env, step);
}

/* Given up: a place that this call made goes; a lock that its lease held before the call stays held. */
static void entered(struct lock_call *call, struct service_env *env, int64_t revision, struct slice body, struct lock_step *step)
{
    struct lock_answer answer;
    lock_bytes_read_txn(body, &answer);
    const struct lock_kv *mine = &answer.kvs[0], *oldest = &answer.kvs[1];
    call->is_new = answer.succeeded;
    call->entered_revision = revision;
    call->create_revision = answer.succeeded ? revision : mine->create_revision;
    call->is_owner = oldest->create_revision == call->create_revision || MUTANT(D111);
    ASSERT(call->create_revision > 0 && oldest->bytes.size > 0);
    bool is_changed = !call->is_new && call->method == RPC_ELECTION_CAMPAIGN && !slice_equal(mine->value, buf_slice(&call->value));
    if (call->given_up != ERR_OK && call->is_owner && !call->is_new) fail(step, call->given_up);
    else if (call->given_up != ERR_OK) leave(call, env, call->given_up, step);
    else if (is_changed) change(call, env, LOCK_CHANGING, step);
    else proceed(call, env, step);
}

static void changed(struct lock_call *call, struct service_env *env, struct slice body, struct lock_step *step)
{
    struct lock_answer answer;
    lock_bytes_read_txn(body, &answer);
    if (answer.succeeded) proceed(call, env, step);
    else fail(step, ERR_NOT_ELECTION_LEADER); /* the place is gone */
}

/* A place that is gone ends the wait: its lease is over, or somebody unlocked it. etcd goes on waiting for those before it, and only then
 * tells a lock so; a candidate it would even tell that it leads. */
static void looked(struct lock_call *call, struct service_env *env, struct slice response, struct lock_step *step)
{
    struct lock_answer answer;
    lock_bytes_read_txn(response, &answer);
    const struct lock_kv *before = &answer.kvs[0], *mine = &answer.kvs[1];
    bool is_lock = call->method == RPC_LOCK_LOCK;
    if (mine->create_revision != call->create_revision && !MUTANT(D112)) {
        fail(step, is_lock ? ERR_SESSION_EXPIRED : ERR_NOT_ELECTION_LEADER);
    } else if (call->given_up != ERR_OK) {
        leave(call, env, call->given_up, step);
    } else if (before->bytes.size == 0) {
        reply_owner(call, env, is_lock ? answer.revision : call->entered_revision, step);
    } else {
        call->phase = LOCK_WAITING;
        buf_clear(&call->out);
        lock_bytes_watch(&call->out, before->key, false, answer.revision + 1, LOCK_WANTS_DELETES);
        lock_bytes_watch(&call->out, buf_slice(&call->key), false, answer.revision + 1, LOCK_WANTS_DELETES);
        *step = (struct lock_step){.kind = LOCK_STEP_WATCH, .watch = buf_take_blob(&call->out)};
    }
}

/* --- observers --- */

static void watch_on(struct lock_call *call, bool is_led, struct lock_step *step)
{
    struct slice what = buf_slice(is_led ? &call->key : &call->prefix);
    call->is_led = is_led;
    call->phase = LOCK_FOLLOWING;
    buf_clear(&call->out);
    lock_bytes_watch(&call->out, what, !is_led, call->next_revision, is_led ? LOCK_WANTS_ALL : LOCK_WANTS_PUTS);
    *step = (struct lock_step){.kind = LOCK_STEP_WATCH, .watch = buf_take_blob(&call->out)};
}

static void send(struct lock_call *call, struct service_env *env, int64_t revision, const struct lock_kv *kv, struct lock_step *step)
{
    put_leader(call, env, revision, kv->bytes);
    set(&call->key, kv->key);
    call->next_revision = revision + 1;
    call->phase = LOCK_SENDING;
    *step = (struct lock_step){.kind = LOCK_STEP_SEND, .message = buf_slice(&call->out)};
}

static void forget_events(struct lock_call *call)
{
    blob_unref(call->events);
    call->events = NULL;
    call->rest = reader_make(slice_empty());
}

/* The next event of the frame, or the next frame. The header of a message has the revision of its change. */
static void follow(struct lock_call *call, struct service_env *env, struct lock_step *step)
{
    struct lock_kv kv;
    bool is_delete, was_led = call->is_led;
    call->is_led = true; /* once a message has left */
    if (!lock_bytes_read_event(&call->rest, &is_delete, &kv)) {
        forget_events(call);
        watch_on(call, true, step);
    } else if (is_delete) {
        forget_events(call);
        read_first(call, env, step);
    } else {
        send(call, env, kv.mod_revision, &kv, step);
        if (!was_led) forget_events(call); /* of the prefix: those behind may be other keys' */
    }
}

/* Leader's answer, or where an Observe stands. */
static void was_read(struct lock_call *call, struct service_env *env, struct slice response, struct lock_step *step)
{
    struct lock_answer answer;
    lock_bytes_read_range(response, &answer);
    bool is_led = answer.kvs[0].bytes.size > 0;
    if (call->method == RPC_ELECTION_LEADER) {
        if (!is_led) {
            fail(step, ERR_NO_ELECTION_LEADER);
            return;
        }
        put_leader(call, env, answer.revision, answer.kvs[0].bytes);
        reply(step, call);
        return;
    }
    call->next_revision = answer.revision + 1;
    call->is_led = is_led;
    if (is_led) send(call, env, answer.revision, &answer.kvs[0], step);
    else watch_on(call, false, step);
}

/* --- events --- */

void lock_call_replied(struct lock_call *call, struct service_env *env, int64_t revision, struct slice body, struct lock_step *out_step)
{
    struct lock_answer answer;
    switch (call->phase) {
    case LOCK_GRANTING:
        call->lease = lock_bytes_read_grant(body);
        if (call->given_up != ERR_OK) fail(out_step, call->given_up);
        else if (is_candidate(call)) enter(call, env, out_step);
        else change(call, env, LOCK_WRITING, out_step);
        break;
    case LOCK_ENTERING: entered(call, env, revision, body, out_step); break;
    case LOCK_CHANGING: changed(call, env, body, out_step); break;
    case LOCK_LEAVING: fail(out_step, call->end); break;
    default:
        ASSERT(call->phase == LOCK_WRITING);
        lock_bytes_read_txn(body, &answer);
        if (call->method == RPC_ELECTION_PROCLAIM && !answer.succeeded) fail(out_step, ERR_NOT_ELECTION_LEADER);
        else reply_header(call, env, revision, out_step);
        break;
    }
}

void lock_call_was_read(struct lock_call *call, struct service_env *env, struct slice response, struct lock_step *out_step)
{
    ASSERT(call->phase == LOCK_LOOKING || call->phase == LOCK_READING);
    if (call->phase == LOCK_LOOKING) looked(call, env, response, out_step);
    else if (call->given_up != ERR_OK) fail(out_step, call->given_up);
    else was_read(call, env, response, out_step);
}

/* Refused by the watch role, or overtaken by a compaction. Whoever waits looks again; an observer has missed something, and is told so. */
void lock_call_watched(struct lock_call *call, struct service_env *env, struct slice head, struct blob *events, struct lock_step *out_step)
{
    struct lock_head told;
    ASSERT(call->phase == LOCK_WAITING || call->phase == LOCK_FOLLOWING);
    lock_bytes_read_head(head, &told);
    if (told.is_canceled && told.compact_revision == 0) {
        blob_unref(events);
        lock_call_failed(call, env, ERR_TOO_MANY_REQUESTS, out_step);
    } else if (call->given_up != ERR_OK) {
        blob_unref(events);
        lock_call_failed(call, env, call->given_up, out_step);
    } else if (call->phase == LOCK_WAITING) {
        blob_unref(events);
        look(call, env, out_step);
    } else if (told.is_canceled) {
        blob_unref(events);
        fail(out_step, ERR_OBSERVE_CLOSED);
    } else {
        call->events = events;
        call->rest = reader_make(blob_slice(events));
        follow(call, env, out_step);
    }
}

void lock_call_sent(struct lock_call *call, struct service_env *env, struct lock_step *out_step)
{
    ASSERT(call->phase == LOCK_SENDING);
    if (call->given_up != ERR_OK) fail(out_step, call->given_up);
    else follow(call, env, out_step);
}

/* What says something of this member, and not of what was asked, keeps its code. */
static enum err outer(enum err err)
{
    bool is_own = err == ERR_STOPPED || err == ERR_NO_LEADER || err == ERR_CANCELED || err == ERR_TOO_MANY_REQUESTS;
    return is_own ? err : err_inner(err);
}

/* Whether a write that was not answered took place is not known: its key then goes with its lease. */
void lock_call_failed(struct lock_call *call, struct service_env *env, enum err err, struct lock_step *out_step)
{
    ASSERT(err != ERR_OK);
    enum err end = outer(call->given_up != ERR_OK ? call->given_up : err);
    switch (call->phase) {
    case LOCK_CHANGING:
    case LOCK_LOOKING:
    case LOCK_WAITING: leave(call, env, end, out_step); break;
    case LOCK_LEAVING: fail(out_step, call->end); break;
    default: fail(out_step, end); break;
    }
}

void lock_call_give_up(struct lock_call *call, enum err err)
{
    ASSERT(err != ERR_OK);
    if (call->given_up == ERR_OK) call->given_up = err;
}
