/* peer_actor: see peer_actor.h. */
#include "pipeline/peer_actor.h"

#include <stdio.h>

#include "base/buggify.h"
#include "base/log.h"
#include "rpc/raft_codec.h"

#define MAILS_PER_STEP 4096

static struct peer_link *find(struct peer_actor *role, uint64_t id)
{
    for (uint32_t i = 0; i < role->link_count; i++) {
        if (role->links[i].id == id) return &role->links[i];
    }
    return NULL;
}

/* --- out --- */

static bool is_chunk(const struct raft_msg *msg) { return msg->kind == RAFT_MSG_CHUNK_GET || msg->kind == RAFT_MSG_CHUNK; }
static bool may_drop(const struct raft_msg *msg) { return msg->kind < RAFT_MSG_FORWARD || is_chunk(msg); }

/* It never left. Raft sends its own messages again, chunks are asked for again; calls must be told. */
static void give_back(struct peer_actor *role, struct peer_message *message)
{
    struct mail mail = {.kind = MAIL_UNSENT, .peer = {.message = message, .to = message->msg.to}};
    if (may_drop(&message->msg) || !lane_post(role->lanes.to_raft_calls, &mail)) mail_peer_free(message);
}

static void enqueue(struct peer_actor *role, struct mail *mail)
{
    struct peer_message *message = mail->peer.message;
    struct peer_link *link = find(role, mail->peer.to);
    if (link == NULL || !link->is_up || link->count >= PEER_QUEUE_MESSAGES || link->bytes >= PEER_QUEUE_BYTES) {
        if (link != NULL) METRIC_ADD(link->metrics, sent_failures, 1);
        give_back(role, message);
        return;
    }
    message->next = NULL;
    if (link->last == NULL) {
        link->first = message;
    } else {
        link->last->next = message;
    }
    link->last = message;
    link->count++;
    link->bytes += raft_codec_size(&message->msg);
}

static struct peer_message *dequeue(struct peer_link *link)
{
    struct peer_message *message = link->first;
    link->first = message->next;
    if (link->first == NULL) link->last = NULL;
    link->count--;
    link->bytes -= raft_codec_size(&message->msg);
    return message;
}

static void drop_queue(struct peer_actor *role, struct peer_link *link)
{
    while (link->first != NULL) give_back(role, dequeue(link));
    ASSERT(link->count == 0 && link->bytes == 0);
}

/* One at a time is measured. Its answer may be lost: then a later round's answer ends it, unmeasured. */
static void note_heartbeat(const struct peer_actor *role, struct peer_link *link, uint64_t round)
{
    if (link->heartbeat_ns != 0) return;
    link->heartbeat_ns = role->now_ns;
    link->heartbeat_round = round;
}

static void note_answer(const struct peer_actor *role, struct peer_link *link, uint64_t round)
{
    if (link->heartbeat_ns == 0 || round < link->heartbeat_round) return;
    if (round == link->heartbeat_round) metrics_observe(&link->metrics->round_trip, METRICS_FROM_100US, role->now_ns - link->heartbeat_ns);
    link->heartbeat_ns = 0;
}

/* Everything that waits, up to a frame's size, in one message of the stream. */
static void send_frame(struct peer_actor *role, struct peer_link *link)
{
    struct buf frame;
    buf_init(&frame);
    buf_reserve(&frame, link->bytes < PEER_FRAME_BYTES ? link->bytes : PEER_FRAME_BYTES);
    while (link->first != NULL && (frame.size == 0 || frame.size + raft_codec_size(&link->first->msg) <= PEER_FRAME_BYTES)) {
        if (frame.size > 0 && BUGGIFY(PEER_ONE_MESSAGE)) break;
        struct peer_message *message = dequeue(link);
        raft_codec_put(&frame, &message->msg);
        if (message->msg.kind == RAFT_MSG_HEARTBEAT) note_heartbeat(role, link, message->msg.round);
        mail_peer_free(message);
    }
    METRIC_ADD(link->metrics, sent_bytes, frame.size);
    link->is_sending = role->port->table->send(role->port, link->id, buf_take_blob(&frame));
    buf_deinit(&frame);
}

static void send_all(struct peer_actor *role)
{
    for (uint32_t i = 0; i < role->link_count; i++) {
        struct peer_link *link = &role->links[i];
        if (link->is_up && !link->is_sending && link->first != NULL) send_frame(role, link);
    }
}

/* --- in --- */

static void take_message(struct peer_actor *role, const struct raft_msg *msg)
{
    struct mail mail = {.kind = MAIL_PEER, .peer = {.message = mail_peer_new(msg), .to = msg->to}};
    struct lane *lane = role->lanes.to_raft;
    if (is_chunk(msg)) {
        mail.kind = MAIL_CHUNK;
        lane = role->lanes.to_snap;
    } else if (msg->kind >= RAFT_MSG_FORWARD) {
        mail.kind = MAIL_FORWARD;
        lane = role->lanes.to_raft_calls;
    }
    if (lane_post(lane, &mail)) return;
    METRIC_ADD(&role->shared->metrics, lane_full, 1);
    mail_deinit(&mail);
}

static void take_frame(struct peer_actor *role, struct peer_link *link, const struct peer_event *event)
{
    struct reader frame = reader_make(blob_slice(event->body));
    struct raft_msg msg;
    bool is_foreign = false;
    METRIC_ADD(link->metrics, received_bytes, event->body->size);
    while (!is_foreign && raft_codec_next(&frame, &msg)) {
        is_foreign = msg.from != event->peer || msg.to != role->self;
        if (!is_foreign) peer_past_hear(&link->past, &msg);
        if (!is_foreign && msg.kind == RAFT_MSG_HEARTBEAT_ANSWER) note_answer(role, link, msg.round);
        if (!is_foreign) take_message(role, &msg);
        raft_codec_entries_free(&msg);
    }
    if (!frame.bad && !is_foreign) return;
    METRIC_ADD(&role->shared->metrics, peer_garbage_frames, 1);
    METRIC_ADD(link->metrics, received_failures, 1);
    LOG(WARN, "a peer sent bytes that are no frame; disconnecting it", LOG_F_HEX("peer", event->peer),
        LOG_F_U64("frame-bytes", event->body->size));
    role->port->table->cut(role->port, event->peer);
}

static void post_link(struct peer_actor *role, const struct peer_link *link, enum link_state state)
{
    struct mail mail = {.kind = MAIL_LINK, .link = {.peer = link->id, .boot_id = link->boot_id, .state = state}};
    if (!lane_post(role->lanes.to_raft_calls, &mail)) METRIC_ADD(&role->shared->metrics, lane_full, 1);
}

static void take_down(struct peer_actor *role, struct peer_link *link, bool refused)
{
    bool was_up = link->is_up;
    link->is_up = false;
    link->is_sending = false;
    link->heartbeat_ns = 0;
    drop_queue(role, link);
    if (was_up) {
        METRIC_SET(link->metrics, is_active, 0);
        METRIC_ADD(link->metrics, disconnected, 1);
        LOG(WARN, "lost the stream to a peer", LOG_F_HEX("peer", link->id), LOG_F_BOOL("connection-refused", refused));
        post_link(role, link, LINK_DOWN);
    }
    /* Nobody listens where a process was: it died. A reset alone is no such sign. */
    if (refused && link->boot_id != 0) {
        link->boot_id = 0;
        post_link(role, link, LINK_DIED);
    }
}

static void take_hello(struct peer_actor *role, struct peer_link *link, const struct peer_hello *hello)
{
    bool has_restarted = link->boot_id != 0 && link->boot_id != hello->boot_id;
    link->boot_id = hello->boot_id;
    if (has_restarted) post_link(role, link, LINK_DIED);
}

/* The port asks, inside of take(). */
static bool judge(void *context, const struct peer_hello *hello, char out_text[160])
{
    struct peer_actor *role = context;
    struct peer_link *link = find(role, hello->member_id);
    if (link == NULL) {
        snprintf(out_text, 160, "member %016llx is not known here", (unsigned long long)hello->member_id);
        return false;
    }
    if (peer_past_conflict(&link->past, role->self, hello, out_text)) return false;
    peer_past_meet(&link->past, hello);
    return true;
}

static void take_event(struct peer_actor *role, struct peer_event *event)
{
    struct peer_link *link = find(role, event->peer);
    if (event->kind == PEER_REFUSED) {
        METRIC_ADD(&role->shared->metrics, peer_refused_handshakes, 1);
        LOG(WARN, "refused a peer's handshake", LOG_F_HEX("peer", event->peer), LOG_F_TEXT("reason", event->text));
    } else if (link == NULL) {
        blob_unref(event->kind == PEER_BYTES ? event->body : NULL);
    } else if (event->kind == PEER_UP) {
        take_hello(role, link, &event->hello);
        link->is_up = true;
        METRIC_SET(link->metrics, is_active, 1);
        LOG(INFO, "established the stream to a peer", LOG_F_HEX("peer", link->id));
        post_link(role, link, LINK_UP);
    } else if (event->kind == PEER_DOWN) {
        take_down(role, link, event->refused);
    } else if (event->kind == PEER_SENT) {
        link->is_sending = false;
    } else if (event->kind == PEER_HELLO) {
        take_hello(role, link, &event->hello);
    } else {
        ASSERT(event->kind == PEER_BYTES);
        take_frame(role, link, event);
        blob_unref(event->body);
    }
}

/* --- the role --- */

static void drain(struct peer_actor *role)
{
    struct mail mail;
    uint32_t n;
    for (n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_raft, &mail); n++) enqueue(role, &mail);
    for (n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_wal, &mail); n++) enqueue(role, &mail);
    for (n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_raft_calls, &mail); n++) enqueue(role, &mail);
    for (n = 0; n < MAILS_PER_STEP && lane_take(role->lanes.from_snap, &mail); n++) enqueue(role, &mail);
    actor_answer_pings(role->lanes.from_main, role->lanes.to_main);
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct peer_actor *role = (struct peer_actor *)actor;
    struct peer_event events[PEER_EVENTS_MAX];
    role->now_ns = now_ns;
    size_t count = role->port->table->take(role->port, events, PEER_EVENTS_MAX);
    for (size_t i = 0; i < count; i++) take_event(role, &events[i]);
    drain(role);
    send_all(role);
    role->port->table->flush(role->port);
    return count == PEER_EVENTS_MAX;
}

static uint64_t deadline_ns(struct actor *actor)
{
    const struct peer_port *port = ((struct peer_actor *)actor)->port;
    return port->table->deadline_ns(port);
}

static bool has_events(const struct actor *actor)
{
    const struct peer_port *port = ((const struct peer_actor *)actor)->port;
    return port->table->has_events(port);
}

static void rouse(void *context) { actor_rouse(context); }

static const struct actor_table table = {.name = "kvd-peer", .may_be_lent = true, .step = step, .deadline_ns = deadline_ns, .has_more = has_events};

void peer_actor_init(struct peer_actor *role, struct peer_port *port, struct shared *shared, const struct cluster *cluster,
                     uint64_t self)
{
    ASSERT(port != NULL && cluster->member_count <= CONFIG_PEERS_MAX);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->port = port;
    role->shared = shared;
    role->self = self;
    port->judge = judge;
    port->judge_context = role;
    port->rouse = rouse;
    port->rouse_context = &role->actor;
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct cluster_member *member = &cluster->members[i];
        if (member->id == self) continue;
        struct metrics_peer *metrics = &shared->metrics.peers[role->link_count];
        METRIC_SET(metrics, id, member->id);
        role->links[role->link_count++] = (struct peer_link){.id = member->id, .metrics = metrics};
        port->table->connect(port, member->id, (const char *const *)member->peer_urls, member->peer_url_count);
    }
}

void peer_actor_deinit(struct peer_actor *role)
{
    if (role->port == NULL) return;
    actor_deinit(&role->actor);
    for (uint32_t i = 0; i < role->link_count; i++) {
        while (role->links[i].first != NULL) mail_peer_free(dequeue(&role->links[i]));
    }
    role->port = NULL;
}
