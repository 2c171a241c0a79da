/* net_snapshot: Maintenance.Snapshot: what the snap role reads goes to the client, and one piece at a time. A client that takes none for
 * NET_UNREAD_NS loses its stream, as with any reply. */
#include "pipeline/net_actor.h"
#include "pipeline/snap_stream.h"

#define LANE_USED_MAX 64 /* of net → snap: a stream that is let in can say all that it may have to say */

static void post(struct net_actor *role, enum mail_kind kind, const struct net_call *call)
{
    struct mail mail = {.kind = kind, .stream.call = call->call};
    lane_must_post(role->lanes.to_snap, &mail);
}

void net_snapshot_open(struct net_actor *role, struct net_call *call)
{
    ASSERT(call->method->kind == RPC_SERVER_STREAM);
    if (role->snapshot_count == SNAP_STREAM_MAX || ring_size(&role->lanes.to_snap->ring) >= LANE_USED_MAX) {
        net_actor_fail(role, call, ERR_TOO_MANY_REQUESTS);
        return;
    }
    role->snapshot_count++;
    call->state = NET_SNAPSHOT;
    post(role, MAIL_SNAP_OPEN, call);
}

void net_snapshot_gone(struct net_actor *role, struct net_call *call)
{
    if (call->state != NET_SNAPSHOT && call->state != NET_SNAPSHOT_SENDING) return;
    ASSERT(role->snapshot_count > 0);
    role->snapshot_count--;
    post(role, MAIL_SNAP_CLOSE, call);
}

static void end(struct net_actor *role, struct net_call *call, enum err err)
{
    net_snapshot_gone(role, call);
    net_jobs_drop(role, call);
    call->err = err;
    role->port->table->finish(role->port, call->call, err);
    net_actor_answered(role, call);
}

void net_snapshot_piece(struct net_actor *role, struct mail *mail, struct net_call *call_or_null)
{
    struct net_call *call = call_or_null;
    if (call == NULL || call->state != NET_SNAPSHOT) {
        mail_deinit(mail); /* of a stream that ended meanwhile */
        return;
    }
    if (mail->piece.err != ERR_OK) {
        end(role, call, (enum err)mail->piece.err);
        return;
    }
    buf_clear(&role->out);
    service_encode_piece(&role->env, mail->piece.remaining, mail->piece.bytes->size, &role->out);
    call->state = NET_SNAPSHOT_SENDING;
    call->is_last_piece = mail->piece.is_last;
    call->answered_ns = role->now_ns;
    call->reply_bytes = mail->piece.bytes->size;
    role->reply_bytes += call->reply_bytes;
    list_push_back(&role->unread, &call->turn);
    METRIC_ADD(&role->shared->metrics, client_sent_bytes, role->out.size + call->reply_bytes);
    rpc_metrics_send(&role->shared->rpc, call->method);
    role->port->table->send(role->port, call->call, buf_slice(&role->out), &mail->piece.bytes, 1);
}

void net_snapshot_sent(struct net_actor *role, struct net_call *call, bool ok)
{
    ASSERT(call->state == NET_SNAPSHOT_SENDING);
    if (!ok || call->is_last_piece) {
        end(role, call, ok ? ERR_OK : ERR_CANCELED);
        return;
    }
    net_jobs_drop(role, call); /* the piece's place in the budget and among the unread */
    call->state = NET_SNAPSHOT;
    post(role, MAIL_SNAP_NEXT, call);
}

void net_snapshot_end_all(struct net_actor *role)
{
    for (uint32_t i = 0; role->snapshot_count > 0 && i < role->slot_count; i++) {
        struct net_call *call = &role->calls[i];
        if (call->state == NET_SNAPSHOT || call->state == NET_SNAPSHOT_SENDING) end(role, call, ERR_STOPPED);
    }
}
