/* explore_state: see explore_state.h. */
#include "sim/explore_state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

/* ---- Making --------------------------------------------------------------------------------------------------------- */

static uint32_t keep_ghost(struct explore_world *world, struct explore_ghost *ghost)
{
    for (uint32_t order = 0; order < world->pool.order_count; order++) {
        uint64_t hash = explore_mix(ghost->log + UINT64_C(0x51ed270b)) + ghost->read_floor;
        hash = explore_hash(slice_make(ghost->commit_terms, sizeof ghost->commit_terms)) ^ explore_mix(hash);
        for (uint32_t term = 1; term <= EXPLORE_TERMS_MAX; term++) {
            uint64_t leader = ghost->leaders[term] == 0 ? 0 : world->pool.names[order][ghost->leaders[term]];
            hash = explore_mix(hash + leader);
        }
        ghost->hash[order] = hash;
    }
    void *known = map_get(&world->ghost_ids, ghost->hash[0]);
    if (known != NULL) return (uint32_t)((uintptr_t)known - 1);
    world->ghosts = explore_room(world->ghosts, world->ghost_count, &world->ghost_capacity, sizeof(*world->ghosts));
    world->ghosts[world->ghost_count++] = *ghost;
    bool is_new = map_put(&world->ghost_ids, ghost->hash[0], (void *)(uintptr_t)world->ghost_count);
    ASSERT(is_new);
    return (uint32_t)(world->ghost_count - 1);
}

void explore_world_init(struct explore_world *world, const struct explore_scope *scope)
{
    ASSERT(scope->terms >= 1 && scope->terms <= EXPLORE_TERMS_MAX && scope->reads <= 1);
    ASSERT(scope->confs == 0 || scope->appends > 0); /* else a step may count under two configurations */
    ASSERT(!scope->disk_lies || (scope->snapshots == 0 && scope->installs == 0));
    ASSERT(scope->flight >= 4 && scope->flight <= EXPLORE_FLIGHT_MAX);
    *world = (struct explore_world){.scope = scope};
    bool is_symmetric = !scope->is_asymmetric && scope->confs == 0 && scope->voters == scope->nodes;
    explore_pool_init(&world->pool, scope->nodes, is_symmetric);
    world->nodes = explore_nodes_new(scope, &world->pool);
    map_init(&world->ghost_ids);
}

void explore_world_deinit(struct explore_world *world)
{
    explore_nodes_free(world->nodes);
    explore_pool_deinit(&world->pool);
    map_deinit(&world->ghost_ids);
    alloc_free(world->ghosts);
}

struct explore_state explore_world_first(struct explore_world *world)
{
    struct explore_state state = {.place = 0};
    struct explore_ghost ghost = {.log = 0};
    state.ghost = keep_ghost(world, &ghost);
    for (uint32_t i = 0; i < world->scope->nodes; i++) state.nodes[i] = explore_node_first(world->nodes, i + 1);
    return state;
}

uint64_t explore_world_hash(const struct explore_world *world, const struct explore_state *state)
{
    uint64_t words[2];
    STATIC_ASSERT(sizeof words == sizeof state->used, "what was used up fits into two words");
    memcpy(words, &state->used, sizeof words);
    uint64_t used = words[0] + explore_mix(words[1]);
    uint32_t order_count = world->pool.order_count;
    uint64_t sums[EXPLORE_ORDERS_MAX];
    const struct explore_ghost *ghost = &world->ghosts[state->ghost];
    for (uint32_t order = 0; order < order_count; order++) sums[order] = used * UINT64_C(0x9e3779b97f4a7c15) + ghost->hash[order];
    for (uint32_t i = 0; i < world->scope->nodes; i++) {
        const uint64_t *hash = explore_node(world->nodes, state->nodes[i])->hash;
        for (uint32_t order = 0; order < order_count; order++) sums[order] += hash[order];
    }
    for (uint32_t i = 0; i < state->used.flight; i++) {
        const uint64_t *hash = world->pool.msgs[state->flight[i]].hash;
        for (uint32_t order = 0; order < order_count; order++) sums[order] += hash[order];
    }
    uint64_t least = UINT64_MAX;
    for (uint32_t order = 0; order < order_count; order++) {
        uint64_t hash = explore_mix(sums[order]);
        if (hash < least) least = hash;
    }
    return least == 0 ? 1 : least;
}

/* ---- The rules between nodes ---------------------------------------------------------------------------------------- */

struct view { /* of the state that is looked at */
    struct explore_world *world;
    const struct explore_node *nodes[EXPLORE_NODES_MAX];
    struct explore_ghost *ghost;
    struct explore_next *next;
};

static void broken(struct view *view, enum explore_rule rule)
{
    if (view->next->rule == EXPLORE_HOLDS) view->next->rule = rule;
}

static bool is_majority(uint32_t voters, uint32_t yes)
{
    return voters == 0 || 2 * __builtin_popcount(voters & yes) > __builtin_popcount(voters);
}

static bool is_quorum(const struct explore_node *node, uint32_t yes)
{
    return is_majority(node->voters, yes) && is_majority(node->outgoing, yes);
}

static void check_logs(struct view *view, const uint32_t *a, uint32_t a_last, const uint32_t *b, uint32_t b_last)
{
    const struct explore_pool *pool = &view->world->pool;
    for (uint32_t index = a_last < b_last ? a_last : b_last; index > 0 && a[index] != b[index]; index--) {
        if (explore_pool_term(pool, a[index]) == explore_pool_term(pool, b[index])) broken(view, EXPLORE_R3);
    }
}

static void check_log_matching(struct view *view, uint32_t changed)
{
    const struct explore_node *node = view->nodes[changed];
    for (uint32_t i = 0; i < view->world->scope->nodes; i++) {
        const struct explore_node *other = view->nodes[i];
        if (i == changed) continue;
        check_logs(view, node->log, node->last, other->log, other->last);
        check_logs(view, node->disk, node->disk_last, other->disk, other->disk_last);
        check_logs(view, node->log, node->last, other->disk, other->disk_last);
    }
}

/* What a leader counts for a member is on that member's disk, as long as the member's disk knows of no later term. */
static void check_match(struct view *view)
{
    for (uint32_t i = 0; i < view->world->scope->nodes; i++) {
        const struct explore_node *leader = view->nodes[i];
        if (leader->role != RAFT_LEADER) continue;
        for (uint32_t k = 0; k < view->world->scope->nodes; k++) {
            const struct explore_node *peer = view->nodes[k];
            uint32_t match = leader->match[k];
            if (k == i || match == 0 || peer->disk_term > leader->term) continue;
            if (peer->disk_last < match || peer->disk[match] != leader->log[match]) broken(view, EXPLORE_R6_MATCH);
        }
    }
}

static void check_leaders_are_complete(struct view *view)
{
    const struct explore_ghost *ghost = view->ghost;
    for (uint32_t i = 0; i < view->world->scope->nodes; i++) {
        const struct explore_node *leader = view->nodes[i];
        if (leader->role != RAFT_LEADER) continue;
        for (uint32_t index = ghost->committed; index > 0; index--) {
            if (ghost->commit_terms[index] >= leader->term) continue;
            if (leader->last < index || leader->log[index] != ghost->chain[index]) broken(view, EXPLORE_R4);
            break; /* those before come with it */
        }
    }
}

static void check_elected(struct view *view, uint32_t who)
{
    const struct explore_node *leader = view->nodes[who];
    uint8_t *known = &view->ghost->leaders[leader->term];
    if (*known != 0 && *known != who + 1) broken(view, EXPLORE_R1);
    *known = (uint8_t)(who + 1);
    uint32_t yes = 0; /* whose disk is in a later term may have voted */
    for (uint32_t i = 0; i < view->world->scope->nodes; i++) {
        const struct explore_node *node = view->nodes[i];
        bool has_voted = node->disk_term == leader->term && node->disk_vote == who + 1;
        if (has_voted || node->disk_term > leader->term) yes |= 1u << i;
    }
    if (!is_quorum(leader, yes)) broken(view, EXPLORE_R1_VOTES);
}

static void check_commit(struct view *view, uint32_t who, const struct explore_node *before)
{
    struct explore_ghost *ghost = view->ghost;
    const struct explore_node *node = view->nodes[who];
    uint32_t commit = node->commit;
    bool is_counting = before->role == RAFT_LEADER || node->role == RAFT_LEADER;
    uint32_t known = commit < ghost->committed ? commit : ghost->committed;
    if (node->log[known] != ghost->chain[known]) broken(view, EXPLORE_R5);
    if (commit <= ghost->committed) return;
    if (!is_counting) {
        broken(view, EXPLORE_R8); /* heard of something that nobody has committed */
        return;
    }
    if (explore_pool_term(&view->world->pool, node->log[commit]) != node->term) broken(view, EXPLORE_R7);
    uint32_t yes = 0;
    for (uint32_t i = 0; i < view->world->scope->nodes; i++) {
        const struct explore_node *other = view->nodes[i];
        if (other->disk_last >= commit && other->disk[commit] == node->log[commit]) yes |= 1u << i;
    }
    /* A leader counts first, and then leaves a joint configuration that has become certain. */
    bool is_counted_before = before->role == RAFT_LEADER && view->next->choice != EXPLORE_CHOICE_CONF;
    if (!is_quorum(is_counted_before ? before : node, yes)) broken(view, EXPLORE_R6);
    for (uint32_t index = ghost->committed + 1u; index <= commit; index++) {
        ghost->chain[index] = node->log[index];
        ghost->commit_terms[index] = node->term;
    }
    ghost->committed = (uint8_t)commit;
    ghost->log = node->log[commit];
}

/* Looks at what the move of node `who` from `before` has made. */
static void check(struct explore_world *world, struct explore_next *next, uint32_t who, uint32_t before_id,
                  const struct explore_move *move)
{
    struct explore_ghost ghost = world->ghosts[next->state.ghost];
    struct view view = {.world = world, .ghost = &ghost, .next = next};
    for (uint32_t i = 0; i < world->scope->nodes; i++) view.nodes[i] = explore_node(world->nodes, next->state.nodes[i]);
    const struct explore_node *before = explore_node(world->nodes, before_id);
    const struct explore_node *node = view.nodes[who];
    bool is_ghost_changed = false;
    bool is_elected = node->role == RAFT_LEADER && (before->role != RAFT_LEADER || before->term != node->term);
    if (is_elected) check_elected(&view, who);
    if (node->commit != before->commit) check_commit(&view, who, before);
    is_ghost_changed = is_elected || ghost.committed != world->ghosts[next->state.ghost].committed;
    if (is_ghost_changed) check_leaders_are_complete(&view);
    bool is_log_changed = node->last != before->last || node->log[node->last] != before->log[before->last];
    bool is_disk_changed = node->disk_last != before->disk_last || node->disk[node->disk_last] != before->disk[before->disk_last];
    if (is_log_changed || is_disk_changed) check_log_matching(&view, who);
    if (is_disk_changed || node->role == RAFT_LEADER) check_match(&view);
    if (next->choice == EXPLORE_CHOICE_READ) {
        ghost.read_floor = ghost.committed;
        is_ghost_changed = true;
    }
    if (move->read_index != UINT8_MAX && move->read_index < ghost.read_floor) broken(&view, EXPLORE_R14);
    if (is_ghost_changed) next->state.ghost = keep_ghost(world, &ghost);
}

/* ---- What can happen ------------------------------------------------------------------------------------------------ */

static bool is_in_flight(const struct explore_state *state, uint32_t message)
{
    for (uint32_t i = 0; i < state->used.flight; i++) {
        if (state->flight[i] == message) return true;
    }
    return false;
}

static void take_message(struct explore_state *state, uint32_t place)
{
    state->flight[place] = state->flight[--state->used.flight];
    state->flight[state->used.flight] = 0;
}

/* Node `who` gets the input; `next` is the state with what the choice has used up. False: it comes to nothing. */
static bool move(struct explore_world *world, struct explore_next *next, uint32_t who, uint32_t input)
{
    world->trying = *next;
    uint32_t before = next->state.nodes[who];
    struct explore_move made = explore_node_move(world->nodes, before, input);
    if (made.rule != EXPLORE_HOLDS) {
        next->rule = (enum explore_rule)made.rule;
        return true;
    }
    if (made.node == EXPLORE_NOTHING) return false;
    if (made.node == before && made.message_count == 0) return false;
    const uint32_t *messages = explore_move_messages(world->nodes, &made);
    for (uint32_t i = 0; i < made.message_count; i++) {
        if (is_in_flight(&next->state, messages[i])) continue;
        if (next->state.used.flight == world->scope->flight) {
            world->has_blocked = true;
            return false;
        }
        next->state.flight[next->state.used.flight++] = messages[i];
    }
    next->state.nodes[who] = made.node;
    if (made.node != before) check(world, next, who, before, &made);
    return true;
}

static void try(struct explore_world *world, const struct explore_next *next, uint32_t input)
{
    ASSERT(world->next_count < EXPLORE_NEXT_MAX);
    struct explore_next *place = &world->nexts[world->next_count];
    *place = *next;
    if (!move(world, place, next->node, input)) return;
    if (place->rule == EXPLORE_HOLDS) place->hash = explore_world_hash(world, &place->state);
    world->next_count++;
}

static void expand_messages(struct explore_world *world, const struct explore_state *state)
{
    for (uint32_t i = 0; i < state->used.flight; i++) {
        uint32_t message = state->flight[i];
        struct explore_next next = {.state = *state, .choice = EXPLORE_CHOICE_DELIVER, .argument = message};
        next.node = (uint32_t)world->pool.msgs[message].msg.to - 1;
        uint32_t input = explore_input(EXPLORE_DELIVER, message);
        if (state->used.duplicates < world->scope->duplicates) {
            struct explore_next twice = next;
            twice.choice = EXPLORE_CHOICE_DUPLICATE;
            twice.state.used.duplicates++;
            try(world, &twice, input);
        }
        take_message(&next.state, i);
        try(world, &next, input);
    }
}

static void expand_losses(struct explore_world *world, const struct explore_state *state)
{
    for (uint32_t i = 0; i < state->used.flight; i++) {
        ASSERT(world->next_count < EXPLORE_NEXT_MAX);
        struct explore_next *next = &world->nexts[world->next_count++];
        *next = (struct explore_next){.state = *state, .choice = EXPLORE_CHOICE_LOSE, .argument = state->flight[i]};
        take_message(&next->state, i);
        next->hash = explore_world_hash(world, &next->state);
    }
}

static void expand_conf(struct explore_world *world, struct explore_next next)
{
    next.choice = EXPLORE_CHOICE_CONF;
    next.state.used.confs++;
    for (uint32_t member = 1; member <= world->scope->nodes; member++) {
        for (uint32_t joint = 0; joint < 2; joint++) {
            next.argument = explore_conf_change(member, joint == 1);
            try(world, &next, explore_input(EXPLORE_CONF, next.argument));
        }
    }
}

static void expand_leader(struct explore_world *world, const struct explore_next *base)
{
    const struct explore_scope *scope = world->scope;
    const struct explore_used *used = &base->state.used;
    struct explore_next next = *base;
    if (used->beats < scope->beats) {
        next.choice = EXPLORE_CHOICE_BEAT;
        next.state.used.beats++;
        try(world, &next, explore_input(EXPLORE_BEAT, 0));
    }
    next = *base;
    if (used->proposals < scope->proposals) {
        next.choice = EXPLORE_CHOICE_PROPOSE;
        next.argument = next.state.used.proposals++;
        try(world, &next, explore_input(EXPLORE_PROPOSE, next.argument));
    }
    next = *base;
    if (used->reads < scope->reads) {
        next.choice = EXPLORE_CHOICE_READ;
        next.state.used.reads++;
        try(world, &next, explore_input(EXPLORE_READ, 0));
    }
    if (used->confs < scope->confs) expand_conf(world, *base);
}

static void expand_node(struct explore_world *world, const struct explore_state *state, uint32_t who)
{
    const struct explore_scope *scope = world->scope;
    struct explore_next next = {.state = *state, .node = who};
    const struct explore_node node = *explore_node(world->nodes, state->nodes[who]);
    if (node.append_count > 0) {
        next.choice = EXPLORE_CHOICE_PERSIST;
        try(world, &next, explore_input(EXPLORE_PERSIST, 0));
    }
    if (node.role == RAFT_LEADER) {
        expand_leader(world, &next);
    } else {
        next.choice = EXPLORE_CHOICE_TIMEOUT;
        try(world, &next, explore_input(EXPLORE_TIMEOUT, 0));
    }
    if (scope->check_quorum && state->used.ages < scope->ages) {
        next.choice = EXPLORE_CHOICE_AGE;
        next.state.used.ages++;
        try(world, &next, explore_input(EXPLORE_AGE, 0));
        next.state.used = state->used;
    }
    if (state->used.crashes < scope->crashes) {
        next.choice = EXPLORE_CHOICE_CRASH;
        next.state.used.crashes++;
        try(world, &next, explore_input(EXPLORE_CRASH, 0));
    }
}

/* A node may be given any snapshot that another one has, if it has been in that one's term (else nobody would have offered it). */
static void expand_snapshots(struct explore_world *world, const struct explore_state *state, uint32_t who)
{
    const struct explore_scope *scope = world->scope;
    struct explore_next next = {.state = *state, .node = who};
    const struct explore_node node = *explore_node(world->nodes, state->nodes[who]);
    if (state->used.snapshots < scope->snapshots && node.commit > node.base) {
        next.choice = EXPLORE_CHOICE_TAKE;
        next.state.used.snapshots++;
        try(world, &next, explore_input(EXPLORE_TAKE, 0));
        next.state.used = state->used;
    }
    if (state->used.installs >= scope->installs) return;
    next.choice = EXPLORE_CHOICE_INSTALL;
    next.state.used.installs++;
    for (uint32_t i = 0; i < scope->nodes; i++) {
        uint32_t snapshot = explore_node(world->nodes, state->nodes[i])->snapshot;
        if (i == who || snapshot == 0 || explore_pool_term(&world->pool, snapshot) > node.disk_term) continue;
        next.argument = snapshot;
        try(world, &next, explore_input(EXPLORE_INSTALL, snapshot));
    }
}

void explore_world_expand(struct explore_world *world, const struct explore_state *state)
{
    world->next_count = 0;
    world->has_blocked = false;
    expand_messages(world, state);
    for (uint32_t who = 0; who < world->scope->nodes; who++) {
        expand_node(world, state, who);
        expand_snapshots(world, state, who);
    }
    if (world->has_blocked) expand_losses(world, state);
}
