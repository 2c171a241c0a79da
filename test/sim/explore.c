/* explore: the search; see explore.h. One depth after the other: the first way found to a broken rule is a shortest one.
 *
 * A known state keeps the place of the state that it came from. A way is found again forwards: from the first state on, the choice
 * is taken whose result has the hash that stands next in the chain of places. (With states that differ in names only taken for
 * one, the way that is printed may name the nodes otherwise than the search did.)
 */
#include "sim/explore.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "sim/explore_set.h"
#include "sim/explore_state.h"

enum { STATES_PER_S = 3000000, CLOCK_EVERY = 1024 };

struct level { /* the states of one depth */
    struct explore_state *items;
    size_t count;
    size_t capacity;
    uint64_t offered;
};

struct search {
    struct explore_world world;
    const struct explore_limits *limits;
    struct explore_set set;
    struct level now;
    struct level later;
    struct rng rng;
    struct explore_result result;
    double start_s;
    struct explore_state broken; /* the state from which the step went wrong */
    bool is_timed_out;
};

static sigjmp_buf stopped_in_core;

static void on_abort(int signal_number)
{
    (void)signal_number;
    siglongjmp(stopped_in_core, 1);
}

const char *explore_rule_text(enum explore_rule rule)
{
    static const char *const TEXTS[EXPLORE_RULES] = {
        [EXPLORE_HOLDS] = "all rules hold",
        [EXPLORE_R1] = "R1 two leaders in one term",
        [EXPLORE_R1_VOTES] = "R1 M2 a leader without the votes of a quorum on disk",
        [EXPLORE_R2] = "R2 a leader changed its own log",
        [EXPLORE_R3] = "R3 same index and term, different logs",
        [EXPLORE_R4] = "R4 a leader lacks what was committed in an earlier term",
        [EXPLORE_R5] = "R5 different entries committed at one index",
        [EXPLORE_R6] = "R6 committed, and not on the disks of a quorum",
        [EXPLORE_R6_MATCH] = "R6 a leader counts for a member what is not on its disk",
        [EXPLORE_R7] = "R7 an entry of an older term committed by counting",
        [EXPLORE_R8] = "R8 the commit index went back or ahead of what is committed or durable",
        [EXPLORE_R9] = "R9 said before it was durable",
        [EXPLORE_R10] = "R10 two votes in one term",
        [EXPLORE_R11] = "R11 a term went back, or a message of an older term changed something",
        [EXPLORE_R12] = "R12 a pre-vote changed term or vote",
        [EXPLORE_R14] = "R14 a read that may miss what was committed before it",
        [EXPLORE_R15] = "R15 the log does not begin behind a committed entry, or began further on before",
        [EXPLORE_M1] = "M1 a change of configuration too early, or two at once",
        [EXPLORE_M2_CONF] = "M2 another configuration in force than the newest in the log",
        [EXPLORE_ASSERT] = "an ASSERT of the core failed",
    };
    return TEXTS[rule];
}

const char *explore_choice_text(uint32_t choice)
{
    static const char *const TEXTS[EXPLORE_CHOICES] = {"deliver", "deliver twice", "lose", "persist", "timeout", "heartbeat",
                                                       "age",     "propose",       "conf", "read",    "crash",
                                                       "snapshot", "install"};
    return choice < EXPLORE_CHOICES ? TEXTS[choice] : NULL;
}

static double clock_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- Levels --------------------------------------------------------------------------------------------------------- */

static void level_add(struct search *search, struct level *level, const struct explore_state *state)
{
    uint64_t width = search->limits->width;
    level->offered++;
    if (width > 0 && level->count == width) { /* each that was offered stays with the same chance */
        search->result.left_out++;
        uint64_t place = rng_below(&search->rng, level->offered);
        if (place < width) level->items[place] = *state;
        return;
    }
    if (level->count == level->capacity) {
        level->capacity = level->capacity == 0 ? 4096 : level->capacity * 2;
        level->items = alloc_resize(level->items, level->capacity * sizeof(*level->items));
    }
    level->items[level->count++] = *state;
}

/* By seed, which states come first when the time does not suffice for all. */
static void level_shuffle(struct search *search, struct level *level)
{
    if (search->limits->seed == 0) return;
    for (size_t i = level->count; i > 1; i--) {
        size_t other = (size_t)rng_below(&search->rng, i);
        struct explore_state state = level->items[i - 1];
        level->items[i - 1] = level->items[other];
        level->items[other] = state;
    }
}

/* ---- The way to a broken rule --------------------------------------------------------------------------------------- */

static void print_choice(struct search *search, uint32_t number, const struct explore_next *next)
{
    struct buf text;
    buf_init(&text);
    bool has_message = next->choice <= EXPLORE_CHOICE_LOSE;
    if (has_message) {
        struct raft_msg msg = explore_pool_msg(&search->world.pool, next->argument);
        raft_describe_msg(&msg, &text);
    } else if (next->choice == EXPLORE_CHOICE_PROPOSE) {
        buf_printf(&text, "node %u \"%c\"", next->node + 1, (char)('a' + next->argument));
    } else if (next->choice == EXPLORE_CHOICE_CONF) {
        buf_printf(&text, "node %u: member %u %s", next->node + 1, next->argument >> 1, (next->argument & 1) != 0 ? "jointly" : "");
    } else {
        buf_printf(&text, "node %u", next->node + 1);
    }
    struct slice bytes = buf_slice(&text);
    printf("%4u. %-13s %.*s\n", number, explore_choice_text(next->choice), (int)bytes.size, (const char *)bytes.data);
    buf_deinit(&text);
}

static void print_node(struct search *search, const struct explore_state *state, uint32_t who)
{
    struct buf text;
    buf_init(&text);
    explore_node_describe(search->world.nodes, state->nodes[who], &text);
    struct slice bytes = buf_slice(&text);
    printf("      %.*s\n", (int)bytes.size, (const char *)bytes.data);
    buf_deinit(&text);
}

/* The place of each state on the way to `place`, the first one included; returns how many. */
static uint32_t way_to(const struct search *search, uint32_t place, uint32_t places[EXPLORE_STEPS_MAX])
{
    uint32_t count = 0;
    for (uint32_t at = place; at != EXPLORE_SET_NONE; at = search->set.parents[at]) count++;
    ASSERT(count <= EXPLORE_STEPS_MAX);
    uint32_t left = count;
    for (uint32_t at = place; at != EXPLORE_SET_NONE; at = search->set.parents[at]) places[--left] = at;
    return count;
}

/* Walks the way with printing; the state at its end. */
static struct explore_state walk(struct search *search, const uint32_t *places, uint32_t count)
{
    struct explore_world *world = &search->world;
    struct explore_state state = explore_world_first(world);
    for (uint32_t step = 1; step < count; step++) {
        explore_world_expand(world, &state);
        const struct explore_next *found = NULL;
        for (uint32_t i = 0; i < world->next_count && found == NULL; i++) {
            const struct explore_next *next = &world->nexts[i];
            if (next->rule == EXPLORE_HOLDS && next->hash == search->set.hashes[places[step]]) found = next;
        }
        ASSERT(found != NULL);
        struct explore_next taken = *found;
        print_choice(search, step, &taken);
        if (taken.choice != EXPLORE_CHOICE_LOSE) print_node(search, &taken.state, taken.node);
        state = taken.state;
    }
    return state;
}

static void print_broken_step(struct search *search, const struct explore_state *state)
{
    explore_world_expand(&search->world, state);
    for (uint32_t i = 0; i < search->world.next_count; i++) {
        const struct explore_next next = search->world.nexts[i];
        if (next.rule != search->result.rule) continue;
        print_choice(search, search->result.path_steps, &next);
        print_node(search, &next.state, next.node);
        break;
    }
    printf("before that step:\n");
    for (uint32_t i = 0; i < search->world.scope->nodes; i++) print_node(search, state, i);
}

/* The core stops again in the same step. */
static void print_stopping_step(struct search *search, const struct explore_state *state)
{
    if (sigsetjmp(stopped_in_core, 1) == 0) {
        explore_world_expand(&search->world, state);
    } else {
        print_choice(search, search->result.path_steps, &search->world.trying);
    }
}

static void print_way(struct search *search)
{
    uint32_t places[EXPLORE_STEPS_MAX];
    uint32_t count = way_to(search, search->broken.place, places);
    printf("broken: %s, after %u steps:\n", explore_rule_text(search->result.rule), count);
    search->result.path_steps = count;
    struct explore_state state = walk(search, places, count);
    if (search->result.rule == EXPLORE_ASSERT) {
        print_stopping_step(search, &state);
    } else {
        print_broken_step(search, &state);
    }
    (void)fflush(stdout);
}

/* ---- The search ----------------------------------------------------------------------------------------------------- */

static bool is_over(struct search *search)
{
    const struct explore_limits *limits = search->limits;
    if (search->result.rule != EXPLORE_HOLDS || explore_set_is_full(&search->set)) return true;
    if (limits->states > 0 && search->set.count >= limits->states) return true;
    size_t bytes = (search->now.capacity + search->later.capacity) * sizeof(struct explore_state);
    return search->is_timed_out || bytes > limits->memory / 2;
}

static void go_on_from(struct search *search, const struct explore_state *state)
{
    struct explore_world *world = &search->world;
    search->broken = *state;
    explore_world_expand(world, state);
    for (uint32_t i = 0; i < world->next_count; i++) explore_set_prefetch(&search->set, world->nexts[i].hash);
    for (uint32_t i = 0; i < world->next_count; i++) {
        struct explore_next *next = &world->nexts[i];
        search->result.steps++;
        search->result.by_choice[next->choice]++;
        if (next->rule != EXPLORE_HOLDS) {
            search->result.rule = next->rule;
            return;
        }
        bool is_new = explore_set_add(&search->set, next->hash, state->place, &next->state.place);
        if (is_new) level_add(search, &search->later, &next->state);
    }
}

static void run_levels(struct search *search)
{
    uint32_t until_clock = CLOCK_EVERY;
    while (search->now.count > 0 && !is_over(search)) {
        level_shuffle(search, &search->now);
        for (size_t i = 0; i < search->now.count && !is_over(search); i++) {
            go_on_from(search, &search->now.items[i]);
            if (--until_clock > 0) continue;
            until_clock = CLOCK_EVERY;
            search->is_timed_out = clock_s() - search->start_s >= search->limits->seconds;
        }
        if (is_over(search)) break;
        struct level old = search->now;
        search->now = search->later;
        search->later = (struct level){.items = old.items, .capacity = old.capacity};
        if (search->now.count > 0) search->result.depth++;
    }
    search->result.is_exhausted = search->now.count == 0 && search->result.left_out == 0;
}

static void start(struct search *search, const struct explore_scope *scope, const struct explore_limits *limits)
{
    search->limits = limits;
    search->start_s = clock_s();
    rng_init(&search->rng, limits->seed);
    explore_world_init(&search->world, scope);
    uint64_t expected = (uint64_t)(limits->seconds * STATES_PER_S) + CLOCK_EVERY;
    if (limits->states > 0 && limits->states < expected) expected = limits->states;
    explore_set_init(&search->set, expected / 7 * 8 + CLOCK_EVERY, limits->memory / 2);
    struct explore_state first = explore_world_first(&search->world);
    uint64_t hash = explore_world_hash(&search->world, &first);
    (void)explore_set_add(&search->set, hash, EXPLORE_SET_NONE, &first.place);
    level_add(search, &search->now, &first);
}

struct explore_result explore_run(const struct explore_scope *scope, const struct explore_limits *limits)
{
    struct search *search = ALLOC(struct search);
    struct sigaction action = {.sa_handler = on_abort};
    struct sigaction before;
    (void)sigaction(SIGABRT, &action, &before);
    start(search, scope, limits);
    if (sigsetjmp(stopped_in_core, 1) == 0) {
        run_levels(search);
    } else {
        search->result.rule = EXPLORE_ASSERT;
        explore_nodes_renew(search->world.nodes); /* what the step was made in is left as it is */
    }
    struct explore_result *result = &search->result;
    result->seconds = clock_s() - search->start_s;
    result->states = search->set.count;
    result->node_states = explore_nodes_count(search->world.nodes);
    result->core_runs = explore_nodes_moves(search->world.nodes);
    if (result->rule != EXPLORE_HOLDS) print_way(search);
    (void)sigaction(SIGABRT, &before, NULL);
    struct explore_result found = *result;
    explore_world_deinit(&search->world);
    explore_set_deinit(&search->set);
    alloc_free(search->now.items);
    alloc_free(search->later.items);
    alloc_free(search);
    return found;
}
