/* world_net: the two ports of a member without gRPC: calls as bytes, and streams between members that are ordered and break.
 *
 * A stream carries frames in order, each after a delay. When it breaks, a first part of what is under way may still arrive (until its maker
 * makes a new one), the rest is lost. A cut or a pause stalls it; it is found broken a while later, as pings would find it, or goes on,
 * and then what is late trickles in: old answers meet new questions. A process that died is found at once, a host without power is not.
 */
#include <stdio.h>

#include "lib/world_inner.h"
#include "rpc/raft_codec.h"

#define LATE_NS (5 * NS_PER_MS)
#define TRICKLE_NS (3 * NS_PER_MS)
#define CONNECT_NS (2 * NS_PER_MS)   /* until an attempt is made, at most */
#define REFUSED_NS (60 * NS_PER_MS)  /* the same, where nobody listens */
#define REFUSAL_NS (5 * NS_PER_S)    /* after a handshake that was refused */
#define REPEATS_MAX 8u               /* of a link, that are still to come */

/* --- calls --- */

static void calls_push(struct world_calls *calls, struct call_event event, struct blob *body)
{
    ASSERT(calls->count < WORLD_EVENTS_MAX);
    if (calls->count == 0) calls->first = 0;
    uint32_t at = (calls->first + calls->count++) % WORLD_EVENTS_MAX;
    calls->events[at] = event;
    calls->bodies[at] = body;
    world_wake(calls->member);
}

static size_t calls_take(struct call_port *port, struct call_event *out_events, size_t max)
{
    struct world_calls *calls = (struct world_calls *)port;
    for (uint32_t i = 0; i < calls->borrowed_count; i++) blob_unref(calls->borrowed[i]);
    calls->borrowed_count = 0;
    size_t n = 0;
    for (; n < max && n < 64 && calls->count > 0; n++) {
        uint32_t at = calls->first++ % WORLD_EVENTS_MAX;
        calls->count--;
        out_events[n] = calls->events[at];
        if (calls->events[at].kind == CALL_CLOSED) calls->free_slots[calls->free_count++] = (uint32_t)calls->events[at].call;
        if (calls->bodies[at] != NULL) calls->borrowed[calls->borrowed_count++] = calls->bodies[at];
        calls->bodies[at] = NULL;
    }
    return n;
}

static void end_call(struct world *world, uint64_t number, enum err err, struct slice head, struct blob **pieces, size_t piece_count)
{
    struct world_call *call = &world->calls[number];
    struct buf bytes;
    if (call->is_over) world_watch_broken(world, "every call is answered exactly once", call->member, number, err);
    buf_init(&bytes);
    buf_put_slice(&bytes, blob_slice(call->bytes)); /* of a stream: what was sent */
    buf_put_slice(&bytes, head);
    for (size_t i = 0; i < piece_count; i++) {
        buf_put_slice(&bytes, blob_slice(pieces[i]));
        blob_unref(pieces[i]);
    }
    blob_unref(call->bytes);
    call->is_over = world->is_answered = true;
    call->err = err;
    call->bytes = buf_take_blob(&bytes);
    call->end = ++world->moment;
    call->end_ns = world->now_ns;
    world_note(world, err == ERR_OK ? "answer" : err_name(err), call->member, number, bytes.size);
    buf_deinit(&bytes);
}

static void calls_reply(struct call_port *port, uint64_t call, enum err err, struct slice head, struct blob **pieces,
                        size_t piece_count)
{
    struct world_calls *calls = (struct world_calls *)port;
    end_call(calls->member->world, calls->call_of_slot[(uint32_t)call] - 1, err, head, pieces, piece_count);
    calls_push(calls, (struct call_event){.kind = CALL_CLOSED, .call = call}, NULL);
}

static void calls_none(struct call_port *port) { (void)port; }
static void calls_wait(struct call_port *port, uint64_t deadline_ns)
{
    (void)port;
    (void)deadline_ns;
    ASSERT(false); /* nobody waits in a world */
}
/* A piece of a stream; they are kept one behind the other. */
static void calls_send(struct call_port *port, uint64_t name, struct slice head, struct blob **pieces, size_t piece_count)
{
    struct world_calls *calls = (struct world_calls *)port;
    struct world_call *call = &calls->member->world->calls[calls->call_of_slot[(uint32_t)name] - 1];
    struct buf bytes;
    ASSERT(!call->is_over);
    buf_init(&bytes);
    buf_put_slice(&bytes, blob_slice(call->bytes));
    buf_put_slice(&bytes, head);
    for (size_t i = 0; i < piece_count; i++) {
        buf_put_slice(&bytes, blob_slice(pieces[i]));
        blob_unref(pieces[i]);
    }
    blob_unref(call->bytes);
    call->bytes = buf_take_blob(&bytes);
    buf_deinit(&bytes);
    call->owes_sent = call->is_slow;
    if (!call->owes_sent) calls_push(calls, (struct call_event){.kind = CALL_SENT, .call = name, .ok = true}, NULL);
}
/* Of a stream; or of an answered unary call whose client does not read (no answer any more: the bytes are cancelled). */
static void calls_finish(struct call_port *port, uint64_t call, enum err err)
{
    const struct world_calls *calls = (const struct world_calls *)port;
    if (calls->member->world->calls[calls->call_of_slot[(uint32_t)call] - 1].is_over) return;
    calls_reply(port, call, err, slice_empty(), NULL, 0);
}
static const struct call_port_table calls_table = {.take = calls_take, .wait = calls_wait, .ring = calls_none,
                                                   .reply = calls_reply, .send = calls_send, .finish = calls_finish,
                                                   .flush = calls_none, .refuse = calls_none};

bool world_net_has_calls(const struct world_member *member) { return member->calls.count > 0; }

uint64_t world_call(struct world *world, uint32_t number, const char *path, struct slice request)
{
    struct world_member *member = &world->members[number];
    struct world_calls *calls = &member->calls;
    const struct rpc_method *method = rpc_method_find(path);
    ASSERT(member->is_up && world->depth == 0 && method != NULL);
    if (world->call_count == world->call_capacity) {
        world->call_capacity = world->call_capacity == 0 ? 1024 : world->call_capacity * 2;
        world->calls = alloc_resize(world->calls, world->call_capacity * sizeof(*world->calls));
    }
    uint64_t call = world->call_count++;
    bool is_lock = strncmp(path, "/v3lockpb.", 10) == 0 || strncmp(path, "/v3electionpb.", 14) == 0;
    world->calls[call] = (struct world_call){.member = number, .start = ++world->moment, .start_ns = world->now_ns, .is_lock = is_lock,
                                               .published_index = member->watch.published_index, .commit_index = world->watch.commit_index,
                                               .has_no_deadline = method->waits || strcmp(path, "/etcdserverpb.KV/Compact") == 0 ||
                                                                  strcmp(path, "/etcdserverpb.Maintenance/Snapshot") == 0};
    world_note(world, path, number, call, request.size);
    if (calls->free_count == 0) { /* as the real port does */
        end_call(world, call, ERR_TOO_MANY_REQUESTS, slice_empty(), NULL, 0);
        return call;
    }
    uint32_t slot = calls->free_slots[--calls->free_count];
    calls->call_of_slot[slot] = call + 1;
    struct blob *body = blob_copy(request);
    world->calls[call].name = (uint64_t)++calls->generation << 32 | slot;
    calls_push(calls, (struct call_event){.kind = CALL_NEW, .call = world->calls[call].name, .method = method,
                                          .body = blob_slice(body), .timeout_ns = CLOCK_NEVER}, body);
    return call;
}

void world_call_leave(struct world *world, uint64_t number)
{
    const struct world_call *call = &world->calls[number];
    ASSERT(world->depth == 0 && call->is_lock);
    if (call->is_over) return;
    world_note(world, "gone", call->member, number, 0);
    calls_push(&world->members[call->member].calls, (struct call_event){.kind = CALL_GONE, .call = call->name}, NULL);
}

void world_call_slowly(struct world *world, uint64_t number) { world->calls[number].is_slow = world->calls[number].has_no_deadline = true; }

void world_call_take(struct world *world, uint64_t number, bool is_last, bool is_gone)
{
    struct world_call *call = &world->calls[number];
    struct world_calls *calls = &world->members[call->member].calls;
    bool owes = call->owes_sent && !call->is_over;
    ASSERT(world->depth == 0);
    if (is_last) call->is_slow = false;
    call->owes_sent = false;
    if (!owes) return;
    world_note(world, is_gone ? "gone" : "read", call->member, number, 0);
    calls_push(calls, (struct call_event){.kind = CALL_SENT, .call = call->name, .ok = !is_gone}, NULL);
}

void world_net_read_all(struct world_member *member)
{
    struct world *world = member->world;
    for (uint64_t i = 0; i < world->call_count; i++) {
        if (world->calls[i].member == member->number && !world->calls[i].is_over) world_call_take(world, i, true, false);
    }
}

bool world_answer(struct world *world, uint64_t number, enum err *out_err, struct slice *out_bytes, bool *out_died)
{
    const struct world_call *call = &world->calls[number];
    if (!call->is_over) return false;
    *out_err = call->err;
    *out_bytes = blob_slice(call->bytes);
    *out_died = call->died;
    return true;
}

void world_call_times(const struct world *world, uint64_t call, uint64_t *out_start_ns, uint64_t *out_end_ns)
{
    *out_start_ns = world->calls[call].start_ns;
    *out_end_ns = world->calls[call].end_ns;
}

void world_call_moments(const struct world *world, uint64_t call, uint64_t *out_start, uint64_t *out_end)
{
    *out_start = world->calls[call].start;
    *out_end = world->calls[call].end;
}

uint64_t world_call_index(const struct world *world, uint64_t number)
{
    const struct world_call *call = &world->calls[number];
    return call->boot == 0 ? 0 : world_watch_index_of(world, world->members[call->member].id, call->boot, call->counter);
}

/* --- streams --- */

static struct world_member *member_of(struct world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].id == id) return &world->members[i];
    }
    ASSERT(false);
    return NULL;
}

static struct world_link *link_of(struct world *world, uint32_t from, uint32_t to) { return &world->links[from][to]; }

static void peers_push(struct world_member *member, const struct peer_event *event)
{
    struct world_peers *peers = &member->peers;
    ASSERT(peers->count < WORLD_EVENTS_MAX);
    if (peers->count == 0) peers->first = 0; /* the same few lines of memory, most of the time */
    peers->events[(peers->first + peers->count++) % WORLD_EVENTS_MAX] = *event;
    world_wake(member);
}

static size_t peers_take(struct peer_port *port, struct peer_event *out_events, size_t max)
{
    struct world_peers *peers = (struct world_peers *)port;
    size_t n = 0;
    for (; n < max && peers->count > 0; n++) {
        out_events[n] = peers->events[peers->first++ % WORLD_EVENTS_MAX];
        peers->count--;
    }
    return n;
}

static void peers_connect(struct peer_port *port, uint64_t peer, const char *const *urls, size_t url_count)
{
    struct world_peers *peers = (struct world_peers *)port;
    ASSERT(urls != NULL && url_count > 0);
    peers->wanted[member_of(peers->member->world, peer)->number] = true;
    peers->member->world->net_is_stirred = true;
}

static void peers_cut(struct peer_port *port, uint64_t peer)
{
    (void)port;
    (void)peer;
    ASSERT(false); /* no member of a world sends garbage */
}

static void drop_frames(struct world_link *link, uint64_t kept)
{
    uint64_t place = 0;
    struct list *next;
    for (struct list *at = link->frames.next; at != &link->frames; at = next) {
        next = at->next;
        if (place++ < kept) continue;
        struct world_frame *frame = LIST_ENTRY(at, struct world_frame, node);
        list_remove(at);
        blob_unref(frame->bytes);
        alloc_free(frame);
        link->count--;
    }
}

/* `refused`: nobody listens there any more. */
static void break_link(struct world *world, uint32_t from, uint32_t to, bool refused)
{
    struct world_link *link = link_of(world, from, to);
    struct world_member *maker = &world->members[from];
    if (link->is_up) world->counts.streams_broken++;
    link->is_up = link->owes_sent = link->is_stale = false;
    link->bad_ns = 0;
    drop_frames(link, world->members[to].is_up ? tape_below(&world->tape, (uint64_t)link->count + 1) : 0);
    world_note(world, "break", from, to, refused);
    if (maker->is_up) peers_push(maker, &(struct peer_event){.kind = PEER_DOWN, .peer = world->members[to].id, .refused = refused});
}

static bool peers_send(struct peer_port *port, uint64_t peer, struct blob *bytes)
{
    struct world_peers *peers = (struct world_peers *)port;
    struct world *world = peers->member->world;
    uint32_t from = peers->member->number, to = member_of(world, peer)->number;
    struct world_link *link = link_of(world, from, to);
    world_watch_frame(peers->member, blob_slice(bytes));
    if (!link->is_up || link->owes_sent) { /* it broke, and the member does not know yet */
        ASSERT(!link->is_up);
        blob_unref(bytes);
        return false;
    }
    world->counts.frames++;
    struct world_frame *frame = ALLOC(struct world_frame);
    uint64_t delay_ns = world->options.even_delays ? world->options.delay_ns : tape_below(&world->tape, world->options.delay_ns);
    uint64_t at_ns = world->now_ns + 50 * NS_PER_US + delay_ns;
    if (at_ns < link->last_ns) at_ns = link->last_ns;
    link->last_ns = at_ns;
    if (at_ns < world->net_next_ns) world->net_next_ns = at_ns;
    *frame = (struct world_frame){.at_ns = at_ns, .bytes = bytes};
    list_push_back(&link->frames, &frame->node);
    link->owes_sent = ++link->count >= world->options.window;
    if (!link->owes_sent) peers_push(peers->member, &(struct peer_event){.kind = PEER_SENT, .peer = peer});
    return true;
}

static bool peers_has_events(const struct peer_port *port) { return ((const struct world_peers *)port)->count > 0; }

static uint64_t peers_deadline_ns(const struct peer_port *port)
{
    (void)port;
    return CLOCK_NEVER;
}
static void peers_none(struct peer_port *port) { (void)port; }
static const struct peer_port_table peers_table = {.take = peers_take, .has_events = peers_has_events,
                                                   .deadline_ns = peers_deadline_ns, .connect = peers_connect, .cut = peers_cut,
                                                   .send = peers_send, .flush = peers_none};

bool world_net_has_peers(const struct world_member *member) { return member->peers.count > 0; }

static struct peer_hello hello_of(const struct world_member *member)
{
    struct peer_hello hello;
    line_hello(&member->line, &hello);
    return hello;
}

/* Both ends judge the other's hello; true: one of them refuses, which only an old copy of a disk justifies. */
static bool is_refused(struct world *world, struct world_member *judge, struct world_member *other)
{
    struct peer_event refusal = {.kind = PEER_REFUSED, .hello = hello_of(other)};
    const struct peer_port *port = &judge->peers.port;
    if (port->judge == NULL || port->judge(port->judge_context, &refusal.hello, refusal.text)) return false;
    if (!other->is_foreign) fprintf(stderr, "m%u: %s\n", judge->number, refusal.text);
    if (!other->is_foreign) world_watch_broken(world, "nobody is refused who has forgotten nothing", judge->number, other->number, 0);
    world_note(world, "refused", judge->number, other->number, 0);
    world->counts.refused_hellos++;
    snprintf(judge->refusal, sizeof(judge->refusal), "%s", refusal.text);
    refusal.peer = other->id;
    peers_push(judge, &refusal);
    refusal.peer = judge->id;
    peers_push(other, &refusal);
    return true;
}

static bool is_paused(const struct world_member *member) { return member->pause_until_ns > member->world->now_ns; }

/* A moment in the future at which to look again. */
static void look_at(struct world *world, uint64_t at_ns)
{
    if (at_ns < world->net_next_ns) world->net_next_ns = at_ns;
}

static void connect_link(struct world *world, uint32_t i, uint32_t j)
{
    struct world_link *link = link_of(world, i, j);
    struct world_member *from = &world->members[i], *to = &world->members[j];
    drop_frames(link, 0);
    link->bad_ns = 0;
    if (is_refused(world, to, from) || is_refused(world, from, to)) {
        link->try_ns = world->now_ns + REFUSAL_NS;
        look_at(world, link->try_ns);
        return;
    }
    link->is_up = true;
    world_note(world, "connect", i, j, 0);
    peers_push(from, &(struct peer_event){.kind = PEER_UP, .peer = to->id, .hello = hello_of(to)});
    peers_push(to, &(struct peer_event){.kind = PEER_HELLO, .peer = from->id, .hello = hello_of(from)});
}

static void tend_link(struct world *world, uint32_t i, uint32_t j)
{
    struct world_link *link = link_of(world, i, j);
    struct world_member *from = &world->members[i], *to = &world->members[j];
    bool is_bad = world->cut[i][j] || world->cut[j][i] || to->host_is_down || is_paused(to);
    if (link->is_stale && !is_bad) break_link(world, i, j, !to->is_up); /* the host answers again: it does not know the stream */
    if (!is_bad) link->bad_ns = 0;
    if (link->is_up && is_bad && link->bad_ns == 0) {
        link->bad_ns = world->now_ns + tape_below(&world->tape, 3 * from->config.election_timeout_ms * NS_PER_MS);
    }
    if (link->is_up && is_bad && link->bad_ns <= world->now_ns) break_link(world, i, j, false);
    if (link->is_up && is_bad) look_at(world, link->bad_ns);
    if (link->is_up || is_bad) return;
    if (link->try_ns == 0) link->try_ns = world->now_ns + tape_late(&world->tape, to->is_up ? CONNECT_NS : REFUSED_NS);
    if (link->try_ns > world->now_ns) {
        look_at(world, link->try_ns);
        return;
    }
    link->try_ns = 0;
    if (!to->is_up) { /* an attempt that is refused */
        break_link(world, i, j, true);
        world->net_next_ns = world->now_ns; /* for the next one */
    } else if (to->line.net.calls != NULL) { /* it listens already */
        connect_link(world, i, j);
    }
}

/* --- what comes twice ---
 *
 * A stream delivers each frame once and in order, and an older stream of the same maker is cut before a new one counts (rpc_peer), so that
 * in truth nothing comes twice. Raft does not rely on that: any message of its own may come again, at any later time, over another stream,
 * to another run of the receiver (thesis 3.5: requests are idempotent). Calls of the roles do rely on it: a FORWARD proposes (its entry
 * carries the id of the call, but nobody compares ids at the door), so those are left out of the copy. */

static bool is_rafts_own(enum raft_msg_kind kind) { return kind < RAFT_MSG_FORWARD; }

static struct blob *copy_of_rafts_own(struct slice frame)
{
    struct reader reader = reader_make(frame);
    struct raft_msg msg;
    struct buf bytes;
    buf_init(&bytes);
    while (raft_codec_next(&reader, &msg)) {
        if (is_rafts_own(msg.kind)) raft_codec_put(&bytes, &msg);
        raft_codec_entries_free(&msg);
    }
    struct blob *copy = buf_slice(&bytes).size == 0 ? NULL : buf_take_blob(&bytes);
    buf_deinit(&bytes);
    return copy;
}

static void plan_repeat(struct world *world, struct world_link *link, const struct blob *bytes)
{
    bool is_chosen = world->options.repeat_permille > 0 && tape_chance(&world->tape, world->options.repeat_permille, 1000);
    if (!is_chosen || link->repeat_count == REPEATS_MAX) return;
    struct blob *copy = copy_of_rafts_own(blob_slice(bytes));
    if (copy == NULL) return;
    uint64_t election_ns = world->members[0].config.election_timeout_ms * NS_PER_MS;
    uint64_t span_ns = tape_below(&world->tape, 2) == 0 ? world->options.delay_ns : 6 * election_ns;
    struct world_frame *frame = ALLOC(struct world_frame);
    *frame = (struct world_frame){.at_ns = world->now_ns + tape_below(&world->tape, span_ns), .bytes = copy};
    list_push_back(&link->repeats, &frame->node);
    if (link->repeat_count++ == 0 || frame->at_ns < link->repeat_ns) link->repeat_ns = frame->at_ns;
}

static void repeat(struct world *world, uint32_t i, uint32_t j)
{
    struct world_link *link = link_of(world, i, j);
    struct world_member *to = &world->members[j];
    struct list *next;
    if (link->repeat_count == 0 || world->cut[i][j] || !to->is_up || is_paused(to) || to->line.net.calls == NULL) return;
    if (link->repeat_ns > world->now_ns) {
        look_at(world, link->repeat_ns);
        return;
    }
    link->repeat_ns = CLOCK_NEVER;
    for (struct list *at = link->repeats.next; at != &link->repeats; at = next) {
        struct world_frame *frame = LIST_ENTRY(at, struct world_frame, node);
        next = at->next;
        if (frame->at_ns > world->now_ns || to->peers.count >= WORLD_EVENTS_MAX / 2) {
            if (frame->at_ns < link->repeat_ns) link->repeat_ns = frame->at_ns;
            continue;
        }
        list_remove(at);
        link->repeat_count--;
        world->counts.repeats++;
        world_note(world, "repeat", j, i, frame->bytes->size);
        to->watch.heard_ns[i] = world->now_ns;
        peers_push(to, &(struct peer_event){.kind = PEER_BYTES, .peer = world->members[i].id, .body = frame->bytes});
        alloc_free(frame);
    }
    look_at(world, link->repeat_ns);
}

static void deliver(struct world *world, uint32_t i, uint32_t j)
{
    struct world_link *link = link_of(world, i, j);
    struct world_member *from = &world->members[i], *to = &world->members[j];
    if (link->is_stale) drop_frames(link, 0);
    if (world->cut[i][j] || !to->is_up || is_paused(to)) return;
    while (!list_is_empty(&link->frames) && to->peers.count < WORLD_EVENTS_MAX / 2) {
        struct world_frame *frame = LIST_ENTRY(link->frames.next, struct world_frame, node);
        uint64_t at_ns = frame->at_ns > link->next_ns ? frame->at_ns : link->next_ns;
        if (at_ns > world->now_ns) {
            look_at(world, at_ns);
            return;
        }
        bool is_late = frame->at_ns + LATE_NS < world->now_ns;
        if (is_late) link->next_ns = world->now_ns + tape_below(&world->tape, TRICKLE_NS);
        if (link->is_up && tape_chance(&world->tape, world->options.break_permille, 1000)) {
            break_link(world, i, j, false);
            look_at(world, world->now_ns);
            return;
        }
        list_remove(&frame->node);
        link->count--;
        world_note(world, "frame", j, i, frame->bytes->size);
        to->watch.heard_ns[i] = world->now_ns;
        plan_repeat(world, link, frame->bytes);
        peers_push(to, &(struct peer_event){.kind = PEER_BYTES, .peer = from->id, .body = frame->bytes});
        alloc_free(frame);
        if (!link->owes_sent) continue;
        link->owes_sent = false;
        if (link->is_up && from->is_up) peers_push(from, &(struct peer_event){.kind = PEER_SENT, .peer = to->id});
    }
    if (!list_is_empty(&link->frames)) look_at(world, world->now_ns); /* it has to take first what is there */
}

void world_net_tend(struct world *world)
{
    if (!world->net_is_stirred && world->net_next_ns > world->now_ns) return;
    world->net_is_stirred = false;
    world->net_next_ns = CLOCK_NEVER;
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (is_paused(&world->members[i])) look_at(world, world->members[i].pause_until_ns);
        for (uint32_t j = 0; j < world->options.members; j++) {
            if (i == j) continue;
            if (world->members[i].is_up && !is_paused(&world->members[i]) && world->members[i].peers.wanted[j]) tend_link(world, i, j);
            deliver(world, i, j);
            repeat(world, i, j);
        }
    }
}

/* --- a member comes and goes --- */

void world_net_open(struct world_member *member)
{
    struct world_calls *calls = &member->calls;
    calls->first = calls->count = calls->free_count = calls->borrowed_count = 0;
    calls->port = (struct call_port){.table = &calls_table, .slot_count = member->config.calls_max};
    calls->member = member;
    calls->free_slots = alloc_new(member->config.calls_max * sizeof(uint32_t));
    calls->call_of_slot = alloc_zero(member->config.calls_max, sizeof(uint64_t));
    for (uint32_t i = member->config.calls_max; i > 0; i--) calls->free_slots[calls->free_count++] = i - 1;
    member->peers.first = member->peers.count = 0;
    memset(member->peers.wanted, 0, sizeof(member->peers.wanted));
    member->peers.port = (struct peer_port){.table = &peers_table};
    member->peers.member = member;
}

/* The process at the other end is gone; its host says so at once, if there is one. */
static void link_end(struct world *world, uint32_t from, struct world_member *to)
{
    struct world_link *link = link_of(world, from, to->number);
    drop_frames(link, 0);
    link->is_stale = link->is_up;
    bool is_told = !to->host_is_down && !world->cut[from][to->number] && !world->cut[to->number][from];
    if (link->is_up && is_told) break_link(world, from, to->number, true);
}

void world_net_close(struct world_member *member)
{
    struct world *world = member->world;
    struct peer_event event;
    while (peers_take(&member->peers.port, &event, 1) > 0) {
        if (event.kind == PEER_BYTES) blob_unref(event.body);
    }
    struct call_event none[64];
    while (member->calls.count > 0) (void)calls_take(&member->calls.port, none, 64);
    (void)calls_take(&member->calls.port, none, 64);
    for (uint64_t i = 0; i < world->call_count; i++) {
        struct world_call *call = &world->calls[i];
        if (call->member != member->number || call->is_over) continue;
        call->is_over = call->died = true;
        call->err = ERR_STOPPED;
        call->end = ++world->moment;
        call->end_ns = world->now_ns;
    }
    for (uint32_t j = 0; j < world->options.members; j++) {
        if (j == member->number) continue;
        if (world->links[member->number][j].is_up) break_link(world, member->number, j, false); /* nobody is told: it is dead */
        link_end(world, j, member);
    }
    alloc_free(member->calls.free_slots);
    alloc_free(member->calls.call_of_slot);
    member->calls.free_slots = NULL;
    member->calls.call_of_slot = NULL;
}

static void drop_repeats(struct world_link *link)
{
    struct list *node;
    while ((node = list_pop_front(&link->repeats)) != NULL) {
        struct world_frame *frame = LIST_ENTRY(node, struct world_frame, node);
        blob_unref(frame->bytes);
        alloc_free(frame);
    }
    link->repeat_count = 0;
}

void world_net_free(struct world *world)
{
    for (uint32_t i = 0; i < WORLD_MEMBERS_MAX; i++) {
        for (uint32_t j = 0; j < WORLD_MEMBERS_MAX; j++) {
            drop_frames(&world->links[i][j], 0);
            drop_repeats(&world->links[i][j]);
        }
    }
}
