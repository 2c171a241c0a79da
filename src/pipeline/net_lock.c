/* net_lock: carries out what a call of the Lock or Election service does next (rpc/lock_call), and tells it what came of it.
 *
 * A proposal and a read take the road of every other call, a watch is asked of the watch role by mail; none of them is waited for, and a
 * call has one of them under way at a time. A client that goes away ends the watch; everything else comes to its end by itself, and only
 * then is the key given back. The store has all that must last: what stands here dies with the member, and its clients ask another. */
#include "pipeline/net_actor.h"
#include "rpc/lock_call.h"

static struct service_env *env_of(struct net_actor *role)
{
    arena_reset(&role->scratch);
    return &role->env;
}

static enum err watch(struct net_actor *role, struct net_call *call, const struct lock_step *step)
{
    struct mail mail = {.kind = MAIL_WAIT, .wait = {.call = call->call, .requests = step->watch, .require_leader = call->require_leader}};
    if (role->is_draining) {
        mail_deinit(&mail);
        return ERR_STOPPED;
    }
    lane_must_post(role->lanes.to_watch, &mail);
    call->state = NET_LOCK_WATCHING;
    return ERR_OK;
}

/* Counted until it has left; who does not read it for NET_UNREAD_NS loses the stream, as with any other. */
static enum err send(struct net_actor *role, struct net_call *call, struct slice message)
{
    bool is_over = role->reply_bytes >= role->config->reply_bytes_max && message.size >= NET_COPY_BYTES_MAX;
    if (is_over) return ERR_TOO_MANY_REQUESTS;
    call->state = NET_LOCK_SENDING;
    call->reply_bytes = message.size;
    role->reply_bytes += message.size;
    call->answered_ns = role->now_ns;
    list_push_back(&role->unread, &call->turn);
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, message.size);
    rpc_metrics_send(&role->shared->rpc, call->method);
    role->port->table->send(role->port, call->call, message, NULL, 0);
    return ERR_OK;
}

/* Counted until it is gone where it is large. */
static void reply(struct net_actor *role, struct net_call *call, struct slice message)
{
    buf_clear(&role->out);
    buf_put_slice(&role->out, message);
    net_jobs_drop(role, call);
    if (message.size < NET_COPY_BYTES_MAX) {
        METRIC_ADD(&role->shared->metrics, client_sent_bytes, message.size);
        role->port->table->reply(role->port, call->call, ERR_OK, buf_slice(&role->out), NULL, 0);
    } else {
        struct blob *body = buf_take_blob(&role->out);
        net_jobs_reply(role, call, body);
    }
    net_actor_answered(role, call);
}

static void carry_out(struct net_actor *role, struct net_call *call, struct lock_step *step)
{
    enum err err;
    do {
        err = ERR_OK;
        switch (step->kind) {
        case LOCK_STEP_PLAN: err = net_actor_start(role, call, &step->plan); break;
        case LOCK_STEP_WATCH: err = watch(role, call, step); break;
        case LOCK_STEP_SEND: err = send(role, call, step->message); break;
        case LOCK_STEP_REPLY: reply(role, call, step->message); break;
        case LOCK_STEP_FAIL: net_actor_fail(role, call, step->err); break;
        }
        if (err != ERR_OK) lock_call_failed(call->lock, env_of(role), err, step);
    } while (err != ERR_OK);
}

void net_lock_begin(struct net_actor *role, struct net_call *call, struct lock_call *lock)
{
    struct lock_step step;
    ASSERT(call->lock == NULL && (!call->method->waits || role->wait_count < role->waits_max));
    call->lock = lock;
    call->lock_bytes = lock_call_held_bytes(lock);
    role->lock_bytes += call->lock_bytes;
    if (call->method->waits) role->wait_count++;
    if (role->lock_bytes > NET_LOCK_BYTES_MAX) {
        net_actor_fail(role, call, ERR_TOO_MANY_REQUESTS);
        return;
    }
    lock_call_begin(lock, env_of(role), &step);
    carry_out(role, call, &step);
}

void net_lock_drop(struct net_actor *role, struct net_call *call)
{
    if (call->lock == NULL) return;
    ASSERT(role->lock_bytes >= call->lock_bytes && (!call->method->waits || role->wait_count > 0));
    role->lock_bytes -= call->lock_bytes;
    if (call->method->waits) role->wait_count--;
    lock_call_free(call->lock);
    call->lock = NULL;
}

/* The request that is over counts no more: a call may wait for long after it. */
static void forget_request(struct net_actor *role, struct net_call *call)
{
    ASSERT(role->request_bytes >= call->request_bytes);
    role->request_bytes -= call->request_bytes;
    call->request_bytes = 0;
}

void net_lock_replied(struct net_actor *role, struct net_call *call, int64_t revision, struct slice body)
{
    struct lock_step step;
    forget_request(role, call);
    lock_call_replied(call->lock, env_of(role), revision, body, &step);
    carry_out(role, call, &step);
}

void net_lock_was_read(struct net_actor *role, struct net_call *call)
{
    struct lock_step step;
    struct buf whole;
    buf_init(&whole);
    for (uint32_t i = 0; i < call->piece_count; i++) buf_put_slice(&whole, blob_slice(call->pieces[i]));
    if (call->piece_count > 0) buf_put_slice(&whole, buf_slice(&role->out));
    struct slice response = buf_slice(call->piece_count > 0 ? &whole : &role->out);
    net_jobs_drop_job(role, call);
    lock_call_was_read(call->lock, env_of(role), response, &step);
    carry_out(role, call, &step);
    buf_deinit(&whole);
}

void net_lock_news(struct net_actor *role, struct mail *mail, struct net_call *call)
{
    struct lock_step step;
    if (call == NULL || call->state != NET_LOCK_WATCHING) {
        mail_deinit(mail);
        return;
    }
    if (mail->news.err != ERR_OK) {
        lock_call_failed(call->lock, env_of(role), (enum err)mail->news.err, &step);
    } else {
        lock_call_watched(call->lock, env_of(role), blob_slice(mail->news.head), mail->news.events, &step);
        mail->news.events = NULL;
    }
    mail_deinit(mail);
    carry_out(role, call, &step);
}

void net_lock_sent(struct net_actor *role, struct net_call *call, bool ok)
{
    struct lock_step step;
    if (call->state != NET_LOCK_SENDING) return;
    net_jobs_drop_job(role, call);
    if (ok) lock_call_sent(call->lock, env_of(role), &step);
    else lock_call_failed(call->lock, env_of(role), ERR_CANCELED, &step);
    carry_out(role, call, &step);
}

void net_lock_failed(struct net_actor *role, struct net_call *call, enum err err)
{
    struct lock_step step;
    forget_request(role, call);
    net_jobs_drop_job(role, call);
    lock_call_failed(call->lock, env_of(role), err, &step);
    carry_out(role, call, &step);
}

void net_lock_end_all(struct net_actor *role)
{
    ASSERT(role->is_alone);
    for (uint32_t slot = 0; slot < role->slot_count; slot++) {
        struct net_call *call = &role->calls[slot];
        bool waits = call->state == NET_PROPOSED || call->state == NET_READ_WAITING;
        if (call->lock != NULL && waits) net_lock_failed(role, call, ERR_STOPPED);
    }
}

void net_lock_gone(struct net_actor *role, struct net_call *call)
{
    if (call->lock == NULL) return; /* answered already */
    lock_call_give_up(call->lock, ERR_CANCELED);
    if (call->state != NET_LOCK_WATCHING) return;
    struct mail mail = {.kind = MAIL_UNWAIT, .stream.call = call->call};
    lane_must_post(role->lanes.to_watch, &mail);
}
