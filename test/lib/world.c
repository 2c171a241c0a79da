/* world: see world.h. */
#include "lib/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/rng.h"
#include "lib/fs_sim.h"
#include "pipeline/line.h"

#define EVENTS_MAX 4096
#define CALLS_MAX 65536

struct frame {
    struct list node;
    uint64_t at_ns;
    uint32_t from, to;
    uint32_t epoch;   /* of the connection: a frame of a broken one is lost */
    struct blob *bytes;
};
struct world_answer_slot {
    bool is_over, died, is_taken;
    uint32_t member;
    enum err err;
    struct blob *bytes;
};
struct fake_calls {
    struct call_port port; /* first */
    struct member *member;
    struct call_event events[EVENTS_MAX];
    struct blob *bodies[EVENTS_MAX];
    uint32_t first, count;
    uint32_t next_slot;
    uint64_t call_of_slot[16384]; /* world's call number + 1 */
    struct blob *borrowed[64];
    uint32_t borrowed_count;
};
struct fake_peers {
    struct peer_port port; /* first */
    struct member *member;
    struct peer_event events[EVENTS_MAX];
    uint32_t first, count;
    bool wanted[WORLD_MEMBERS_MAX];
    bool is_up[WORLD_MEMBERS_MAX];
    uint32_t epoch[WORLD_MEMBERS_MAX];
};
struct member {
    struct world *world;
    uint32_t number;
    uint64_t id;
    bool is_up, is_ready;
    struct config config;
    char name[16];
    char peer_url[40];
    struct fs_sim_disk *disk;
    struct fs *fs, *wal_fs, *snap_fs, *work_fs;
    struct data_dir dir;
    struct line line;
    struct actor main;
    struct fake_calls calls;
    struct fake_peers peers;
    uint32_t running; /* bit per role */
};
struct retired {
    struct rcu_node *node;
    void (*fn)(struct rcu_node *node);
};
struct world {
    struct rcu rcu; /* first: the double */
    struct rng rng;
    struct world_options options;
    struct switchboard board;
    uint64_t now_ns;
    uint64_t steps;
    uint32_t depth;
    struct member *current; /* whose role runs: switch points stay inside one member */
    struct member *members;
    bool cut[WORLD_MEMBERS_MAX][WORLD_MEMBERS_MAX];
    struct list frames;
    struct world_answer_slot *answers;
    uint64_t call_count;
    struct retired *retired;
    size_t retired_count, retired_capacity;
    char initial[512];
};

/* --- ports --- */

static size_t calls_take(struct call_port *port, struct call_event *out_events, size_t max)
{
    struct fake_calls *calls = (struct fake_calls *)port;
    for (uint32_t i = 0; i < calls->borrowed_count; i++) blob_unref(calls->borrowed[i]);
    calls->borrowed_count = 0;
    size_t n = 0;
    for (; n < max && n < 64 && calls->count > 0; n++) {
        uint32_t at = calls->first++ % EVENTS_MAX;
        calls->count--;
        out_events[n] = calls->events[at];
        if (calls->bodies[at] != NULL) calls->borrowed[calls->borrowed_count++] = calls->bodies[at];
        calls->bodies[at] = NULL;
    }
    return n;
}

static void calls_push(struct fake_calls *calls, struct call_event event, struct blob *body)
{
    ASSERT(calls->count < EVENTS_MAX);
    uint32_t at = (calls->first + calls->count++) % EVENTS_MAX;
    calls->events[at] = event;
    calls->bodies[at] = body;
}

static void calls_reply(struct call_port *port, uint64_t call, enum err err, struct slice head, struct blob **pieces,
                        size_t piece_count)
{
    struct fake_calls *calls = (struct fake_calls *)port;
    uint64_t number = calls->call_of_slot[(uint32_t)call] - 1;
    struct world_answer_slot *slot = &calls->member->world->answers[number];
    struct buf bytes;
    ASSERT(!slot->is_over); /* every call is answered exactly once */
    buf_init(&bytes);
    buf_put_slice(&bytes, head);
    for (size_t i = 0; i < piece_count; i++) {
        buf_put_slice(&bytes, blob_slice(pieces[i]));
        blob_unref(pieces[i]);
    }
    slot->is_over = true;
    slot->err = err;
    slot->bytes = buf_take_blob(&bytes);
    buf_deinit(&bytes);
    calls_push(calls, (struct call_event){.kind = CALL_CLOSED, .call = call}, NULL);
}

static void calls_none(struct call_port *port) { (void)port; }
static void calls_wait(struct call_port *port, uint64_t deadline_ns)
{
    (void)port;
    (void)deadline_ns;
    ASSERT(false); /* nobody waits in a world */
}
static void calls_send(struct call_port *port, uint64_t call, struct slice head, struct blob **pieces, size_t piece_count)
{
    (void)head;
    (void)pieces;
    ASSERT(piece_count == 0);
    calls_push((struct fake_calls *)port, (struct call_event){.kind = CALL_SENT, .call = call, .ok = true}, NULL);
}
static void calls_finish(struct call_port *port, uint64_t call, enum err err)
{
    calls_reply(port, call, err, slice_empty(), NULL, 0);
}
static const struct call_port_table calls_table = {.take = calls_take, .wait = calls_wait, .ring = calls_none,
                                                   .reply = calls_reply, .send = calls_send, .finish = calls_finish,
                                                   .flush = calls_none, .refuse = calls_none};

static struct member *member_of(struct world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].id == id) return &world->members[i];
    }
    ASSERT(false);
    return NULL;
}

static void peers_push(struct fake_peers *peers, struct peer_event event)
{
    if (peers->count == EVENTS_MAX) {
        blob_unref(event.body);
        return;
    }
    peers->events[(peers->first + peers->count++) % EVENTS_MAX] = event;
}

static size_t peers_take(struct peer_port *port, struct peer_event *out_events, size_t max)
{
    struct fake_peers *peers = (struct fake_peers *)port;
    size_t n = 0;
    for (; n < max && peers->count > 0; n++) {
        out_events[n] = peers->events[peers->first++ % EVENTS_MAX];
        peers->count--;
    }
    return n;
}

static void peers_connect(struct peer_port *port, uint64_t peer, const char *const *urls, size_t url_count)
{
    struct fake_peers *peers = (struct fake_peers *)port;
    ASSERT(urls != NULL && url_count > 0);
    peers->wanted[member_of(peers->member->world, peer)->number] = true;
}

static void peers_cut(struct peer_port *port, uint64_t peer)
{
    (void)port;
    (void)peer;
    ASSERT(false); /* no member of a world sends garbage */
}

static bool peers_send(struct peer_port *port, uint64_t peer, struct blob *bytes)
{
    struct fake_peers *peers = (struct fake_peers *)port;
    struct world *world = peers->member->world;
    struct member *to = member_of(world, peer);
    ASSERT(peers->is_up[to->number]);
    struct frame *frame = ALLOC(struct frame);
    *frame = (struct frame){.at_ns = world->now_ns + 100 * NS_PER_US + rng_below(&world->rng, 5 * NS_PER_MS),
                            .from = peers->member->number, .to = to->number, .epoch = peers->epoch[to->number], .bytes = bytes};
    list_push_back(&world->frames, &frame->node);
    peers_push(peers, (struct peer_event){.kind = PEER_SENT, .peer = peer});
    return true;
}

static void peers_wait(struct peer_port *port, uint64_t deadline_ns)
{
    (void)port;
    (void)deadline_ns;
    ASSERT(false);
}
static void peers_none(struct peer_port *port) { (void)port; }
static const struct peer_port_table peers_table = {.take = peers_take, .wait = peers_wait, .ring = peers_none,
                                                   .connect = peers_connect, .cut = peers_cut,
                                                   .send = peers_send, .flush = peers_none};

static struct peer_hello hello_of(const struct member *member)
{
    return (struct peer_hello){.protocol_min = 1, .protocol_max = 1, .member_id = member->id,
                               .cluster_id = member->line.identity.cluster_id, .boot_id = member->line.identity.boot_count};
}

static void link_down(struct member *from, uint32_t to, bool refused)
{
    from->peers.is_up[to] = false;
    from->peers.epoch[to]++;
    peers_push(&from->peers, (struct peer_event){.kind = PEER_DOWN, .peer = from->world->members[to].id, .refused = refused});
}

/* Streams follow what the network allows; a stream that cannot carry is broken. */
static void tend_links(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct member *from = &world->members[i];
        for (uint32_t j = 0; from->is_up && j < world->options.members; j++) {
            struct member *to = &world->members[j];
            if (!from->peers.wanted[j]) continue;
            bool can = to->is_up && !world->cut[i][j] && !world->cut[j][i];
            if (!can && from->peers.is_up[j]) link_down(from, j, !to->is_up);
            if (!can || from->peers.is_up[j] || rng_below(&world->rng, 4) != 0) continue;
            from->peers.is_up[j] = true;
            from->peers.epoch[j]++;
            peers_push(&from->peers, (struct peer_event){.kind = PEER_UP, .peer = to->id, .hello = hello_of(to)});
            peers_push(&to->peers, (struct peer_event){.kind = PEER_HELLO, .peer = from->id, .hello = hello_of(from)});
        }
    }
}

static void deliver_frames(struct world *world)
{
    struct list *next;
    for (struct list *at = world->frames.next; at != &world->frames; at = next) {
        next = at->next;
        struct frame *frame = LIST_ENTRY(at, struct frame, node);
        if (frame->at_ns > world->now_ns) continue;
        struct member *from = &world->members[frame->from], *to = &world->members[frame->to];
        bool is_lost = !to->is_up || world->cut[frame->from][frame->to] || from->peers.epoch[frame->to] != frame->epoch ||
                       rng_below(&world->rng, 100) < world->options.loss_percent;
        if (is_lost) {
            blob_unref(frame->bytes);
        } else {
            peers_push(&to->peers, (struct peer_event){.kind = PEER_BYTES, .peer = from->id, .body = frame->bytes});
        }
        list_remove(at);
        alloc_free(frame);
    }
}

/* --- roles --- */

static bool main_step(struct actor *actor, uint64_t now_ns)
{
    struct member *member = (struct member *)(void *)((char *)actor - offsetof(struct member, main));
    (void)now_ns;
    struct mail mail;
    for (uint32_t i = 0; i < actor->in_count; i++) {
        while (lane_take(actor->in[i], &mail)) {
            if (mail.kind == MAIL_READY) member->is_ready = true;
            mail_deinit(&mail);
        }
    }
    return false;
}
static const struct actor_table main_table = {.name = "main", .step = main_step};

static void run_role(struct member *member, uint32_t role)
{
    struct world *world = member->world;
    struct member *before = world->current;
    member->running |= 1u << role;
    world->current = member;
    world->depth++;
    world->steps++;
    (void)actor_step(member->line.roles[role], world->now_ns);
    world->depth--;
    world->current = before;
    member->running &= ~(1u << role);
}

/* A post or a publish: any other role of the member that is not in the middle of a step may run right here. */
static void switch_point(void *context, const char *point)
{
    struct world *world = context;
    (void)point;
    if (world->current == NULL || world->depth > 3) return;
    if (rng_below(&world->rng, 100) >= world->options.switch_percent) return;
    uint32_t role = (uint32_t)rng_below(&world->rng, LINE_ROLES);
    if ((world->current->running & 1u << role) == 0) run_role(world->current, role);
}

static void retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    struct world *world = (struct world *)rcu;
    if (world->retired_count == world->retired_capacity) {
        world->retired_capacity = world->retired_capacity == 0 ? 256 : world->retired_capacity * 2;
        world->retired = alloc_resize(world->retired, world->retired_capacity * sizeof(struct retired));
    }
    world->retired[world->retired_count++] = (struct retired){.node = node, .fn = fn};
}
static const struct rcu_table rcu_table = {.retire = retire};

/* No role is in the middle of a step: every reader has passed a quiescent state. */
static void grace_period(struct world *world)
{
    ASSERT(world->depth == 0);
    for (size_t i = 0; i < world->retired_count; i++) world->retired[i].fn(world->retired[i].node);
    world->retired_count = 0;
}

/* --- members --- */

void world_start(struct world *world, uint32_t number)
{
    struct member *member = &world->members[number];
    char message[512] = "";
    ASSERT(!member->is_up);
    member->fs = fs_sim_new(member->disk, true);
    member->wal_fs = fs_sim_new(member->disk, true);
    member->snap_fs = fs_sim_new(member->disk, true);
    member->work_fs = fs_sim_new(member->disk, true);
    enum err err = data_dir_open(member->fs, member->config.data_dir_path, "", &member->dir, message, sizeof(message));
    if (err != ERR_OK) fatal("world: %s", message);
    struct line_recover_options options = {.config = &member->config, .dir = &member->dir, .wal_fs = member->wal_fs,
                                           .rcu = &world->rcu, .board = &world->board, .now_ns = world->now_ns,
                                           .seed = rng_next(&world->rng)};
    if (!line_recover(&member->line, &options, message, sizeof(message))) fatal("world: %s", message);
    member->id = member->line.identity.member_id;
    actor_init(&member->main, &main_table);
    memset(&member->calls, 0, sizeof(member->calls));
    member->calls = (struct fake_calls){.port.table = &calls_table, .member = member};
    uint32_t epoch[WORLD_MEMBERS_MAX];
    memcpy(epoch, member->peers.epoch, sizeof(epoch));
    member->peers = (struct fake_peers){.port.table = &peers_table, .member = member};
    for (uint32_t i = 0; i < WORLD_MEMBERS_MAX; i++) member->peers.epoch[i] = epoch[i] + 1;
    member->is_up = true;
    member->is_ready = false;
}

static void connect_line(struct member *member)
{
    line_connect(&member->line, &(struct line_ports){.calls = &member->calls.port, .peers = &member->peers.port,
                                                     .snap_fs = member->snap_fs, .wal_fs = member->wal_fs,
                                                     .work_fs = member->work_fs, .wal_path = member->dir.wal_path,
                                                     .main = &member->main});
}

static void close_member(struct member *member)
{
    struct world *world = member->world;
    while (member->peers.count > 0) {
        struct peer_event event;
        (void)peers_take(&member->peers.port, &event, 1);
        if (event.kind == PEER_BYTES) blob_unref(event.body);
    }
    struct call_event none[64];
    while (member->calls.count > 0) (void)calls_take(&member->calls.port, none, 64);
    (void)calls_take(&member->calls.port, none, 64);
    for (uint64_t i = 0; i < world->call_count; i++) {
        struct world_answer_slot *slot = &world->answers[i];
        if (slot->member == member->number && !slot->is_over) *slot = (struct world_answer_slot){.is_over = true, .died = true, .err = ERR_STOPPED, .member = slot->member};
    }
    grace_period(world);
    line_deinit(&member->line);
    grace_period(world);
    data_dir_close(&member->dir);
    fs_free(member->snap_fs);
    fs_free(member->work_fs);
    fs_free(member->wal_fs);
    fs_free(member->fs);
    member->is_up = false;
}

void world_kill(struct world *world, uint32_t number, bool power_loss)
{
    struct member *member = &world->members[number];
    ASSERT(member->is_up && world->depth == 0);
    struct fs_sim_crash crash = {.loss = power_loss ? FS_SIM_RANDOM : FS_SIM_KEEP_ALL, .seed = rng_next(&world->rng),
                                 .names = power_loss ? FS_SIM_NAMES_SOME : FS_SIM_NAMES_ALL};
    struct fs_sim_disk *after = fs_sim_crash(member->disk, &crash);
    close_member(member);
    fs_sim_disk_free(member->disk);
    member->disk = after;
}

bool world_is_up(const struct world *world, uint32_t number) { return world->members[number].is_up; }
bool world_is_ready(const struct world *world, uint32_t number) { return world->members[number].is_up && world->members[number].is_ready; }
void world_cut(struct world *world, uint32_t from, uint32_t to, bool is_cut) { world->cut[from][to] = is_cut; }
uint64_t world_now_ns(const struct world *world) { return world->now_ns; }
uint64_t world_steps(const struct world *world) { return world->steps; }

int world_leader(const struct world *world)
{
    int leader = -1;
    uint64_t term = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct member *member = &world->members[i];
        if (!member->is_up || !SHARED_GET(&member->line.shared, is_leader)) continue;
        if (SHARED_GET(&member->line.shared, term) <= term) continue;
        term = SHARED_GET(&member->line.shared, term);
        leader = (int)i;
    }
    return leader;
}

struct world *world_new(const struct world_options *options)
{
    struct world *world = ALLOC(struct world);
    ASSERT(options->members >= 1 && options->members <= WORLD_MEMBERS_MAX);
    world->rcu.table = &rcu_table;
    world->options = *options;
    world->board = (struct switchboard){.fn = switch_point, .context = world};
    world->now_ns = NS_PER_S;
    rng_init(&world->rng, options->seed);
    list_init(&world->frames);
    world->answers = alloc_zero(CALLS_MAX, sizeof(struct world_answer_slot));
    world->members = alloc_zero(options->members, sizeof(struct member));
    size_t size = 0;
    for (uint32_t i = 0; i < options->members; i++) {
        size += (size_t)snprintf(world->initial + size, sizeof(world->initial) - size, "%sm%u=http://127.0.0.1:%u",
                                 i == 0 ? "" : ",", i, 1000 + i);
    }
    for (uint32_t i = 0; i < options->members; i++) {
        struct member *member = &world->members[i];
        char message[256];
        *member = (struct member){.world = world, .number = i, .disk = fs_sim_disk_new()};
        snprintf(member->name, sizeof(member->name), "m%u", i);
        snprintf(member->peer_url, sizeof(member->peer_url), "http://127.0.0.1:%u", 1000 + i);
        config_init(&member->config);
        member->config.name = member->name;
        member->config.data_dir = "/data";
        member->config.initial_cluster = world->initial;
        member->config.initial_advertise_peer_urls = member->peer_url;
        member->config.wal_segment_bytes = 64 << 10;
        bool is_good = config_check(&member->config, message, sizeof(message));
        ASSERT(is_good);
    }
    for (uint32_t i = 0; i < options->members; i++) world_start(world, i);
    for (uint32_t i = 0; i < options->members; i++) connect_line(&world->members[i]);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].is_up) close_member(&world->members[i]);
        fs_sim_disk_free(world->members[i].disk);
    }
    struct list *node;
    while ((node = list_pop_front(&world->frames)) != NULL) {
        struct frame *frame = LIST_ENTRY(node, struct frame, node);
        blob_unref(frame->bytes);
        alloc_free(frame);
    }
    for (uint64_t i = 0; i < world->call_count; i++) blob_unref(world->answers[i].bytes);
    alloc_free(world->answers);
    alloc_free(world->members);
    alloc_free(world->retired);
    alloc_free(world);
}

/* --- time --- */

static bool has_work(struct member *member, uint32_t role)
{
    struct actor *actor = member->line.roles[role];
    if (actor_has_mail(actor) || actor_deadline_ns(actor) <= member->world->now_ns) return true;
    if (actor == &member->line.net.actor) return member->calls.count > 0 || !list_is_empty(&member->line.net.jobs);
    if (actor == &member->line.peer.actor) return member->peers.count > 0;
    if (actor == &member->line.apply.actor) return member->line.apply.more_to_free;
    if (actor == &member->line.wal.actor) return !wal_is_idle(member->line.wal.wal);
    return false;
}

static bool run_members(struct world *world)
{
    bool has_run = false;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct member *member = &world->members[i];
        if (!member->is_up) continue;
        uint32_t first = (uint32_t)rng_below(&world->rng, LINE_ROLES);
        for (uint32_t r = 0; r < LINE_ROLES; r++) {
            uint32_t role = (first + r) % LINE_ROLES;
            if (!has_work(member, role)) continue;
            run_role(member, role);
            has_run = true;
        }
        (void)actor_step(&member->main, world->now_ns);
    }
    grace_period(world);
    return has_run;
}

void world_run(struct world *world, uint64_t ns)
{
    uint64_t until_ns = world->now_ns + ns;
    while (world->now_ns < until_ns) {
        for (uint32_t i = 0; i < world->options.members; i++) {
            struct member *member = &world->members[i];
            if (member->is_up && member->line.net.calls == NULL) connect_line(member);
        }
        tend_links(world);
        deliver_frames(world);
        for (int turn = 0; turn < 8 && run_members(world); turn++) continue;
        world->now_ns += 50 * NS_PER_US + rng_below(&world->rng, 500 * NS_PER_US);
    }
}

/* --- calls --- */

uint64_t world_call(struct world *world, uint32_t number, const char *path, struct slice request)
{
    struct member *member = &world->members[number];
    ASSERT(member->is_up && world->call_count < CALLS_MAX);
    uint64_t call = world->call_count++;
    world->answers[call] = (struct world_answer_slot){.member = number};
    uint32_t slot = member->calls.next_slot++;
    ASSERT(slot < 16384);
    member->calls.call_of_slot[slot] = call + 1;
    struct blob *body = blob_copy(request);
    const struct rpc_method *method = rpc_method_find(path);
    ASSERT(method != NULL);
    calls_push(&member->calls, (struct call_event){.kind = CALL_NEW, .call = UINT64_C(1) << 32 | slot, .method = method,
                                                   .body = blob_slice(body), .timeout_ns = CLOCK_NEVER}, body);
    return call;
}

bool world_answer(struct world *world, uint64_t call, enum err *out_err, struct slice *out_bytes, bool *out_died)
{
    const struct world_answer_slot *slot = &world->answers[call];
    if (!slot->is_over) return false;
    *out_err = slot->err;
    *out_bytes = blob_slice(slot->bytes);
    *out_died = slot->died;
    return true;
}

uint64_t world_hash(const struct world *world, uint32_t number, uint64_t *out_applied_index, int64_t *out_revision)
{
    const struct member *member = &world->members[number];
    ASSERT(member->is_up);
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(member->line.apply.machine));
    *out_applied_index = state_machine_applied_index(member->line.apply.machine);
    *out_revision = mvcc_view_revision(view);
    return mvcc_hash(view, 0);
}
