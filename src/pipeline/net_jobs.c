/* net_jobs: reads in slices with fair turns. A unary reply gathers chunks until it is whole; a stream sends one chunk and waits for it to
 * leave; it pins a revision meanwhile, so a client that takes no chunk for NET_UNREAD_NS loses its stream.
 *
 * The budget: large replies are made while what is made and not yet gone stays below it. Beyond it one goes on, and no other until that one
 * is gone: if all waited, half-made replies would wait for each other for ever. So the bound is the budget and one reply. Whatever is not
 * gone after NET_UNREAD_NS is given up, small ones too where places among calls_max are scarce. */
#include "base/clock.h"
#include "base/mutant.h"
#include "pipeline/net_actor.h"

#define BYTES_PER_STEP (1u << 20) /* about a millisecond of encoding */
#define PIECE_SPARE_BYTES 4096    /* of a chunk: for its last row and the blob's head, so that the whole is not much more than a chunk */

static bool is_stream(const struct net_call *call) { return call->method->kind == RPC_SERVER_STREAM; }

void net_jobs_start(struct net_actor *role, struct net_call *call)
{
    ASSERT(call->job != NULL);
    call->state = NET_JOB;
    list_push_back(&role->jobs, &call->turn);
}

void net_jobs_drop_job(struct net_actor *role, struct net_call *call)
{
    list_remove(&call->turn);
    service_job_free(call->job);
    call->job = NULL;
    for (uint32_t i = 0; i < call->piece_count; i++) blob_unref(call->pieces[i]);
    alloc_free(call->pieces);
    call->pieces = NULL;
    call->piece_count = 0;
    ASSERT(role->reply_bytes >= call->reply_bytes);
    if (role->overdraft == call->call) role->overdraft = 0;
    if (!MUTANT(D69)) role->reply_bytes -= call->reply_bytes;
    call->reply_bytes = call->held_bytes = 0;
}

void net_jobs_drop(struct net_actor *role, struct net_call *call)
{
    net_jobs_drop_job(role, call);
    net_lock_drop(role, call);
    ASSERT(role->request_bytes >= call->request_bytes);
    if (call->stays) role->staying_count--;
    call->stays = false;
    role->request_bytes -= call->request_bytes;
    call->request_bytes = 0;
}

/* What the job of a call has made and keeps for itself counts like what it handed out. */
static void note_held(struct net_actor *role, struct net_call *call, size_t bytes)
{
    ASSERT(call->reply_bytes >= call->held_bytes && role->reply_bytes >= call->held_bytes);
    call->reply_bytes += bytes - call->held_bytes;
    role->reply_bytes += bytes - call->held_bytes;
    call->held_bytes = bytes;
}

static void keep_piece(struct net_actor *role, struct net_call *call)
{
    ASSERT(call->piece_count < NET_PIECES_MAX);
    if ((call->piece_count & (call->piece_count - 1)) == 0) { /* room grows at every power of two */
        uint32_t room = call->piece_count == 0 ? 1 : call->piece_count * 2;
        call->pieces = alloc_resize(call->pieces, room * sizeof(struct blob *));
    }
    if (role->out.capacity - role->out.size > PIECE_SPARE_BYTES) buf_shrink(&role->out);
    call->reply_bytes += role->out.size;
    role->reply_bytes += role->out.size;
    call->pieces[call->piece_count++] = buf_take_blob(&role->out);
}

void net_jobs_reply(struct net_actor *role, struct net_call *call, struct blob *body)
{
    ASSERT(body != NULL && call->reply_bytes == 0);
    call->reply_bytes = body->size;
    role->reply_bytes += body->size;
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, role->out.size + body->size);
    role->port->table->reply(role->port, call->call, ERR_OK, buf_slice(&role->out), &body, 1);
}

/* The whole reply leaves. Small ones are copied by the port; large ones go by reference and count until they are gone. */
static void send_unary(struct net_actor *role, struct net_call *call)
{
    const struct call_port_table *port = role->port->table;
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, call->reply_bytes + role->out.size);
    if (call->piece_count == 0 && role->out.size < NET_COPY_BYTES_MAX) {
        port->reply(role->port, call->call, ERR_OK, buf_slice(&role->out), NULL, 0);
    } else {
        if (role->out.size > 0) keep_piece(role, call);
        port->reply(role->port, call->call, ERR_OK, slice_empty(), call->pieces, call->piece_count);
        call->piece_count = 0;
    }
    list_remove(&call->turn);
    service_job_free(call->job); /* and its pin: that depends on no client */
    call->job = NULL;
    net_actor_answered(role, call);
}

static void send_chunk(struct net_actor *role, struct net_call *call, bool is_last)
{
    list_remove(&call->turn);
    call->state = NET_JOB_SENDING;
    call->answered_ns = role->now_ns;
    list_push_back(&role->unread, &call->turn);
    if (is_last) {
        service_job_free(call->job);
        call->job = NULL;
    }
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, role->out.size);
    rpc_metrics_send(&role->shared->rpc, call->method);
    role->port->table->send(role->port, call->call, buf_slice(&role->out), NULL, 0);
}

static void end_stream(struct net_actor *role, struct net_call *call, enum err err)
{
    ASSERT(call->state == NET_JOB_SENDING || call->state == NET_STAYING);
    call->err = err;
    role->port->table->finish(role->port, call->call, err);
    net_actor_answered(role, call);
}

void net_jobs_end_staying(struct net_actor *role)
{
    ASSERT(role->is_draining); /* those whose message is on its way end with it */
    for (uint32_t i = 0; role->staying_count > 0 && i < role->slot_count; i++)
        if (role->calls[i].state == NET_STAYING) end_stream(role, &role->calls[i], ERR_STOPPED);
}

static void stay(struct net_actor *role, struct net_call *call, bool ok)
{
    if (ok && !role->is_draining) call->state = NET_STAYING;
    else end_stream(role, call, ok ? ERR_STOPPED : ERR_CANCELED);
}

void net_jobs_sent(struct net_actor *role, struct net_call *call, bool ok)
{
    if (call->state != NET_JOB_SENDING && call->state != NET_STAYING) return;
    list_remove(&call->turn);
    if (call->stays) {
        stay(role, call, ok);
        return;
    }
    if (!ok || call->job == NULL) {
        end_stream(role, call, ok ? ERR_OK : ERR_CANCELED);
    } else {
        net_jobs_start(role, call);
    }
}

/* Its job has come to an end. */
static void note_ran(struct net_actor *role, const struct net_call *call, enum err err)
{
    struct shared *shared = role->shared;
    enum rpc_method_id id = call->method->id;
    if (id == RPC_KV_RANGE || id == RPC_KV_RANGE_STREAM) op_metrics_range(&shared->ops, err, call->job_ns);
    if (id == RPC_MAINTENANCE_DEFRAGMENT) metrics_observe(&shared->metrics.defrag, METRICS_FROM_100MS_13, call->job_ns);
    if (id == RPC_MAINTENANCE_HASH) metrics_observe(&shared->metrics.hash, METRICS_FROM_10MS_15, call->job_ns);
    if (id == RPC_MAINTENANCE_HASH_KV) metrics_observe(&shared->metrics.hash_rev, METRICS_FROM_10MS_15, call->job_ns);
}

static enum service_progress step_job(struct net_actor *role, struct net_call *call, enum err *out_err)
{
    uint64_t before_ns = clock_mono_ns();
    size_t bytes_max = role->config->chunk_bytes;
    if (bytes_max > 2 * PIECE_SPARE_BYTES) bytes_max -= PIECE_SPARE_BYTES;
    buf_clear(&role->out);
    if (call->piece_count > 0) buf_reserve(&role->out, bytes_max + PIECE_SPARE_BYTES / 2); /* not by doubling: half of it would stay unused */
    enum service_progress progress = service_job_step(call->job, &role->env, bytes_max, &role->out, out_err);
    call->job_ns += clock_mono_ns() - before_ns;
    if (progress == SERVICE_DONE || progress == SERVICE_FAILED) note_ran(role, call, *out_err);
    return progress;
}

/* More than a reply may have, or than there is room for. A single pair waits for nobody, as nearly all are small; one that is not small counts
 * as the large replies do, and has as much room again. */
static bool is_too_much(const struct net_actor *role, const struct net_call *call, enum service_progress progress, size_t size)
{
    if (call->reply_bytes + size > NET_REPLY_BYTES_MAX || call->piece_count == NET_PIECES_MAX) return true;
    bool is_large_pair = progress == SERVICE_DONE && size >= NET_COPY_BYTES_MAX && !service_job_is_large(call->job);
    return is_large_pair && role->reply_bytes + size > 2 * role->config->reply_bytes_max;
}

static size_t run_one(struct net_actor *role, struct net_call *call)
{
    enum err err = ERR_OK;
    enum service_progress progress = step_job(role, call, &err);
    size_t size = role->out.size;
    note_held(role, call, service_job_held_bytes(call->job));
    if (progress == SERVICE_FAILED) {
        net_actor_refuse(role, call, err);
    } else if (call->lock != NULL && progress == SERVICE_DONE) {
        net_lock_was_read(role, call);
    } else if (is_too_much(role, call, progress, size)) {
        net_actor_fail(role, call, ERR_TOO_MANY_REQUESTS);
    } else if (progress == SERVICE_STAYS && role->staying_count == NET_STAYING_MAX) {
        net_actor_fail(role, call, ERR_UNIMPLEMENTED);
    } else if (call->lock == NULL && is_stream(call) && size > 0) {
        call->stays = progress == SERVICE_STAYS;
        if (call->stays) role->staying_count++;
        send_chunk(role, call, progress != SERVICE_MORE);
    } else if (progress == SERVICE_DONE) {
        send_unary(role, call);
    } else {
        if (role->out.size > 0) keep_piece(role, call);
        list_remove(&call->turn);
        list_push_back(&role->jobs, &call->turn);
    }
    return size;
}

static bool may_run(const struct net_actor *role, const struct net_call *call)
{
    if (role->reply_bytes < role->config->reply_bytes_max || !service_job_is_large(call->job)) return true;
    return role->overdraft == 0 || role->overdraft == call->call;
}

/* The turn of one job; the bytes that it made. */
static size_t take_turn(struct net_actor *role, struct net_call *call)
{
    if (!may_run(role, call)) return 0;
    bool is_over = role->reply_bytes >= role->config->reply_bytes_max && service_job_is_large(call->job);
    ASSERT(!is_over || role->overdraft == 0 || role->overdraft == call->call);
    if (is_over) role->overdraft = call->call;
    return run_one(role, call) + 64;
}

void net_jobs_run(struct net_actor *role)
{
    size_t bytes = 0;
    struct list *at = role->jobs.next;
    for (uint32_t n = 0; n < CONFIG_NET_MAILS_MAX && bytes < BYTES_PER_STEP && at != &role->jobs; n++) {
        struct list *next = at->next;
        bytes += take_turn(role, LIST_ENTRY(at, struct net_call, turn));
        at = next;
    }
}

bool net_jobs_any(const struct net_actor *role)
{
    for (const struct list *at = role->jobs.next; at != &role->jobs; at = at->next) {
        if (may_run(role, LIST_ENTRY(at, struct net_call, turn))) return true;
    }
    return false;
}
