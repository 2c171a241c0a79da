/* world_state: see world_state.h. */
#include "lib/world_state.h"

#include <stdlib.h>

#include "lib/sim_bytes.h"
#include "lib/world_inner.h"

static void require(const struct world_member *member, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(member->world, invariant, member->number, a, b);
}

static uint64_t mix(uint64_t digest, uint64_t number)
{
    digest = (digest ^ number) * UINT64_C(0xd6e8feb86659fd93);
    return digest ^ digest >> 32;
}

uint64_t world_state_digest(uint64_t digest, const struct kv_pair *pair, int64_t sub)
{
    digest = mix(mix(digest, pair->key), pair->token);
    digest = mix(mix(digest, (uint64_t)pair->create_revision), (uint64_t)pair->mod_revision);
    digest = mix(digest, (uint64_t)pair->lease);
    return mix(mix(digest, (uint64_t)pair->version), (uint64_t)sub);
}

void world_state_init(struct world *world)
{
    struct world_state *state = &world->state;
    tape_init(&state->tape, world->options.seed ^ UINT64_C(0x2545f4914f6cdd1d), world->options.reel, TAPE_LOOKS);
    map_init(&state->known);
    state->looks = alloc_new(WORLD_STATE_LOOKS_MAX * sizeof(*state->looks));
    state->done = alloc_new(WORLD_STATE_LOOKS_MAX * sizeof(*state->done));
}

void world_state_deinit(struct world *world)
{
    map_deinit(&world->state.known);
    alloc_free(world->state.looks);
    alloc_free(world->state.done);
}

static const struct mvcc_view *view_of(const struct world_member *member)
{
    return mvcc_view(state_machine_mvcc(member->line.apply.machine));
}

/* --- one look --- */

/* The padding is not looked at: reads do that. */
static struct kv_pair pair_of(const struct mvcc_kv *kv)
{
    struct kv_pair pair = {.create_revision = kv->create_revision, .mod_revision = kv->mod_revision, .version = kv->version, .lease = kv->lease};
    char text[17] = "";
    if (!sim_bytes_read_key(kv->key, &pair.key)) pair.key = UINT32_MAX;
    if (kv->value.size >= 16) memcpy(text, kv->value.data, 16);
    pair.token = strtoull(text, NULL, 16);
    return pair;
}

static uint64_t digest_rows(const struct mvcc_view *view, int64_t revision)
{
    struct mvcc_range all = mvcc_range_make(slice_make("\0", 1), slice_make("\0", 1));
    struct mvcc_scan scan;
    struct mvcc_kv kv;
    uint64_t digest = 1;
    mvcc_scan_init(&scan, view, &all, revision);
    while (mvcc_scan_next(&scan, &kv)) {
        struct kv_pair pair = pair_of(&kv);
        digest = world_state_digest(digest, &pair, 0);
    }
    return digest;
}

static void tell_changes(const struct mvcc_view *view, struct world_look *look)
{
    struct mvcc_history history;
    struct mvcc_change change;
    look->changes_digest = 1;
    mvcc_history_init(&history, view, look->from);
    while (look->changes < WORLD_STATE_CHANGES && mvcc_history_next(&history, &change)) {
        struct kv_pair pair = pair_of(&change.kv);
        if (change.is_delete) pair.create_revision = pair.version = 0;
        if (change.is_delete) pair.token = 0;
        if (change.is_delete) pair.lease = 0;
        look->changes_digest = world_state_digest(look->changes_digest, &pair, change.sub);
        look->changes++;
    }
}

static void count_keys(const struct mvcc_view *view, struct world_look *look)
{
    struct buf first, end;
    buf_init(&first);
    buf_init(&end);
    sim_bytes_key(look->first, &first);
    sim_bytes_key(look->end, &end);
    struct mvcc_range range = mvcc_range_make(buf_slice(&first), buf_slice(&end));
    look->count = mvcc_count(view, &range, look->revision);
    buf_deinit(&first);
    buf_deinit(&end);
}

/* The mark and now are where the edges are; every eighth revision is where others look, too. */
static int64_t draw_revision(struct tape *tape, int64_t mark, int64_t newest)
{
    int64_t revision = mark + (int64_t)tape_below(tape, (uint64_t)(newest - mark) + 1);
    uint64_t dice = tape_below(tape, 8);
    if (dice == 0) return mark;
    if (dice == 1) return newest;
    if (dice < 5 && revision / 8 * 8 >= mark) revision = revision / 8 * 8;
    return revision;
}

/* K8, A2: at once against whoever looked there first. */
static void compare(struct world_member *member, uint32_t number)
{
    struct world_state *state = &member->world->state;
    const struct world_look *look = &state->looks[number];
    uint64_t place = mix(mix(7, (uint64_t)look->revision), (uint64_t)look->compact_revision);
    void *found = map_get(&state->known, place);
    if (found == NULL) {
        (void)map_put(&state->known, place, (void *)(uintptr_t)(number + 1)); /* a number that the map keeps as a pointer */
        return;
    }
    uint32_t other = (uint32_t)(uintptr_t)found - 1;
    const struct world_look *first = &state->looks[other];
    ASSERT(first->revision == look->revision && first->compact_revision == look->compact_revision);
    require(member, first->hash == look->hash, "K8 one hash per revision and mark", (uint64_t)look->revision, (uint64_t)look->compact_revision);
    require(member, first->rows_digest == look->rows_digest, "A2 one past on all members", (uint64_t)look->revision, first->member);
    member->world->counts.looks_compared += first->member != look->member;
    member->world->counts.looks_freed_apart += first->member != look->member && state->done[number] != state->done[other];
}

static void look_at(struct world_member *member, int64_t revision, bool is_idle)
{
    struct world *world = member->world;
    struct world_state *state = &world->state;
    struct mvcc *mvcc = state_machine_mvcc(member->line.apply.machine);
    const struct mvcc_view *view = view_of(member);
    if (state->count == WORLD_STATE_LOOKS_MAX) return;
    uint32_t number = state->count++;
    struct world_look *look = &state->looks[number];
    int64_t mark = mvcc_view_compact_revision(view), newest = mvcc_view_revision(view);
    *look = (struct world_look){.member = member->number, .compact_revision = mark, .newest = newest, .revision = revision, .versions = -1};
    require(member, mvcc_view_check(view, revision) == ERR_OK, "K6 from the mark to now all can be read", (uint64_t)revision, (uint64_t)mark);
    look->hash = mvcc_hash(view, revision);
    look->rows_digest = digest_rows(view, revision);
    look->first = (uint32_t)tape_below(&state->tape, KV_HISTORY_KEYS);
    look->end = look->first + 1 + (uint32_t)tape_below(&state->tape, KV_HISTORY_KEYS - look->first);
    count_keys(view, look);
    look->live = mvcc_view_key_count(view);
    look->from = draw_revision(&state->tape, mark, newest);
    tell_changes(view, look);
    state->done[number] = mvcc_compact_done_revision(mvcc);
    if (is_idle && state->done[number] >= mark) {
        struct mvcc_stats stats;
        mvcc_get_stats(mvcc, &stats);
        look->versions = (int64_t)stats.versions;
    }
    world->counts.looks++;
    compare(member, number);
}

static int64_t lowest(const struct mvcc_view *view)
{
    int64_t mark = mvcc_view_compact_revision(view);
    return mark < 1 ? 1 : mark;
}

void world_state_step(struct world_member *member)
{
    struct world *world = member->world;
    struct tape *tape = &world->state.tape;
    if (!tape_chance(tape, world->options.look_permille, 4000)) return;
    const struct mvcc_view *view = view_of(member);
    look_at(member, draw_revision(tape, lowest(view), mvcc_view_revision(view)), false);
}

/* --- a reader between two quiescent states --- */

void world_state_hold(struct world_member *member, struct world_state_hold *out_hold)
{
    struct world *world = member->world;
    out_hold->view = NULL;
    if (!tape_chance(&world->state.tape, 2 * world->options.look_permille, 1000)) return;
    const struct mvcc_view *view = view_of(member);
    out_hold->view = view;
    out_hold->revision = draw_revision(&world->state.tape, lowest(view), mvcc_view_revision(view));
    out_hold->digest = digest_rows(view, out_hold->revision);
    out_hold->hash = mvcc_hash(view, out_hold->revision);
    world->counts.holds++;
}

void world_state_release(struct world_member *member, const struct world_state_hold *hold)
{
    if (hold->view == NULL) return;
    bool is_same = digest_rows(hold->view, hold->revision) == hold->digest && mvcc_hash(hold->view, hold->revision) == hold->hash;
    require(member, is_same, "K10 what a reader holds stays as it was", (uint64_t)hold->revision, (uint64_t)mvcc_view_revision(hold->view));
}

/* --- nothing is left --- */

void world_state_idle(struct world_member *member)
{
    const struct net_actor *net = &member->line.net;
    struct mvcc *mvcc = state_machine_mvcc(member->line.apply.machine);
    const struct mvcc_view *view = view_of(member);
    for (uint32_t i = 0; i < member->config.calls_max; i++) {
        require(member, net->calls[i].state == NET_FREE, "a call leaves once and for all", i, net->calls[i].state);
    }
    require(member, net->call_count == 0 && list_is_empty(&net->jobs) && list_is_empty(&net->unread), "no call is left", net->call_count, 0);
    require(member, net->reply_bytes == 0 && net->request_bytes == 0, "no bytes of calls are left", net->reply_bytes, net->request_bytes);
    require(member, member->calls.free_count == member->config.calls_max, "each call has left its port", member->calls.free_count, member->config.calls_max);
    require(member, pending_oldest(&member->line.raft.pending) == NULL, "nobody waits for what is over", 0, 0);
    require(member, member->line.raft.reads.count == 0, "no read waits for what is over", member->line.raft.reads.count, 0);
    require(member, list_is_empty(&member->line.apply.compaction.waiting), "no compaction waits for what is over", 0, 0);
    world_watchers_idle(member);
    bool is_freed = mvcc_compact_done_revision(mvcc) >= mvcc_view_compact_revision(view);
    require(member, is_freed, "K10 nobody reads, and all that is compacted is freed", (uint64_t)mvcc_compact_done_revision(mvcc),
            (uint64_t)mvcc_view_compact_revision(view));
    for (uint32_t i = 0; i < 8; i++) look_at(member, draw_revision(&member->world->state.tape, lowest(view), mvcc_view_revision(view)), true);
}

void world_look_idle(struct world *world)
{
    ASSERT(world->depth == 0);
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (world->members[i].is_up) world_state_idle(&world->members[i]);
    }
}

const struct world_look *world_looks(const struct world *world, uint32_t *out_count)
{
    *out_count = world->state.count;
    return world->state.looks;
}
