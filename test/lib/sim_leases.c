/* sim_leases: see sim_leases.h. */
#include "lib/sim_leases.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "lib/sim_clients.h"
#include "lib/world_leases.h"
#include "lib/world_watch.h"

#define HUNT_NS (150 * NS_PER_MS)

static uint32_t below(struct sim_clients *clients, uint64_t limit) { return (uint32_t)tape_below(&clients->leases.tape, limit); }

void sim_leases_init(struct sim_clients *clients)
{
    ASSERT(clients->options.lease_ids <= SIM_LEASES_IDS_MAX);
    tape_init(&clients->leases.tape, clients->options.seed ^ UINT64_C(0x8cb92ba72f3d8dd7), world_reel(clients->world), TAPE_LEASES);
}

/* --- what is asked --- */

int64_t sim_leases_draw(struct sim_clients *clients, struct tape *tape)
{
    struct sim_leases *leases = &clients->leases;
    int64_t id = 1;
    if (leases->chosen_count > 0 && tape_below(tape, 4) == 3) return leases->chosen[tape_below(tape, leases->chosen_count)];
    for (int i = 0; i < 3; i++) {
        id = 1 + (int64_t)tape_below(tape, clients->options.lease_ids);
        if (leases->lives[id]) break;
    }
    return id;
}

static int64_t draw_id(struct sim_clients *clients) { return sim_leases_draw(clients, &clients->leases.tape); }

static void draw_grant(struct sim_clients *clients, struct kv_op *op)
{
    op->kind = KV_OP_GRANT;
    op->lease = below(clients, 5) == 4 ? 0 : 1 + (int64_t)below(clients, clients->options.lease_ids);
    op->ttl = 1 + (int64_t)below(clients, below(clients, 3) == 2 ? SIM_LEASES_SHORT_TTL : 2);
    if (below(clients, 10) == 9) op->ttl = SIM_LEASES_FOREVER;
    clients->lease_counts.grants++;
}

static void replace(struct sim_clients *clients, struct kv_op *op)
{
    uint32_t dice = below(clients, 10);
    *op = (struct kv_op){.kind = KV_OP_LIVES};
    if (dice < 5) {
        draw_grant(clients, op);
        return;
    }
    op->lease = draw_id(clients);
    if (dice < 7) op->kind = KV_OP_REVOKE;
    clients->lease_counts.revokes += op->kind == KV_OP_REVOKE;
    clients->lease_counts.questions += op->kind == KV_OP_LIVES;
}

/* `ttl` > 0: to a lease of its own. */
static void attach(struct sim_clients *clients, struct kv_step *steps, uint32_t count, int64_t ttl)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind != KV_STEP_PUT) continue;
        if (ttl > 0 && below(clients, 4) != 3) {
            steps[i].ttl = ttl;
            clients->lease_counts.makers++;
            continue;
        }
        steps[i].lease = draw_id(clients);
        clients->lease_counts.puts++;
    }
}

/* Two clients that are free, one behind the other. */
static bool join_hunt(struct sim_clients *clients, struct kv_op *op)
{
    struct sim_leases *leases = &clients->leases;
    for (uint32_t i = 0; i < leases->hunt_count; i++) {
        struct sim_leases_hunt *hunt = &leases->hunts[i];
        if (hunt->at_ns > world_now_ns(clients->world)) continue;
        *op = (struct kv_op){.kind = hunt->is_revoked ? KV_OP_GRANT : KV_OP_REVOKE, .lease = hunt->lease};
        if (hunt->is_revoked) op->ttl = 1;
        if (hunt->is_revoked) *hunt = leases->hunts[--leases->hunt_count];
        else hunt->is_revoked = true;
        clients->lease_counts.hunts += op->kind == KV_OP_GRANT;
        return true;
    }
    return false;
}

static void plan_hunt(struct sim_clients *clients, const struct kv_op *grant)
{
    struct sim_leases *leases = &clients->leases;
    bool is_wanted = clients->options.hunt_percent > 0 && grant->granted_ttl <= SIM_LEASES_SHORT_TTL && leases->hunt_count < SIM_LEASES_HUNTS;
    if (!is_wanted || !tape_chance(&leases->tape, clients->options.hunt_percent, 100)) return;
    uint64_t over_ns = world_now_ns(clients->world) + (uint64_t)grant->granted_ttl * NS_PER_S;
    leases->hunts[leases->hunt_count++] = (struct sim_leases_hunt){.at_ns = over_ns - tape_below(&leases->tape, HUNT_NS), .lease = grant->lease};
}

void sim_leases_vary(struct sim_clients *clients, struct kv_op *op)
{
    if (join_hunt(clients, op)) return;
    if (clients->options.lease_percent == 0 || !tape_chance(&clients->leases.tape, clients->options.lease_percent, 100)) return;
    ASSERT(clients->options.lease_ids > 0);
    if (op->kind == KV_OP_RANGE) {
        replace(clients, op);
    } else if (op->kind == KV_OP_PUT || op->kind == KV_OP_TXN) {
        bool makes = clients->options.ttl_percent > 0 && below(clients, 100) < clients->options.ttl_percent;
        int64_t ttl = makes ? 1 + (int64_t)below(clients, SIM_LEASES_SHORT_TTL) : 0;
        attach(clients, op->success, op->success_count, ttl);
        attach(clients, op->failure, op->failure_count, ttl);
    }
}

static void remember(struct sim_clients *clients, int64_t lease)
{
    struct sim_leases *leases = &clients->leases;
    if (leases->chosen_count < SIM_LEASES_CHOSEN) leases->chosen[leases->chosen_count++] = lease;
    else leases->chosen[below(clients, SIM_LEASES_CHOSEN)] = lease;
}

static void note_made(struct sim_clients *clients, const struct kv_op *op)
{
    const struct kv_step *steps = op->kind == KV_OP_TXN && !op->succeeded ? op->failure : op->success;
    uint32_t count = op->kind == KV_OP_TXN && !op->succeeded ? op->failure_count : op->success_count;
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].ttl > 0) remember(clients, steps[i].made_lease);
    }
}

void sim_leases_note(struct sim_clients *clients, const struct kv_op *op)
{
    struct sim_leases *leases = &clients->leases;
    bool is_chosen = op->kind == KV_OP_GRANT && op->lease > SIM_LEASES_IDS_MAX && op->outcome == KV_DONE;
    bool is_ours = op->lease > 0 && op->lease <= SIM_LEASES_IDS_MAX;
    int64_t missing = op->outcome != KV_NO_LEASE ? 0 : op->kind == KV_OP_PUT ? op->success[0].lease : op->lease;
    if (missing > 0 && missing <= SIM_LEASES_IDS_MAX) leases->lives[missing] = false;
    if (op->outcome != KV_DONE) return;
    if (op->kind == KV_OP_PUT || op->kind == KV_OP_TXN) note_made(clients, op);
    if (is_ours && op->kind == KV_OP_GRANT) leases->lives[op->lease] = true;
    if (is_ours && op->kind == KV_OP_GRANT) plan_hunt(clients, op);
    if (is_ours && (op->kind == KV_OP_REVOKE || (op->kind == KV_OP_LIVES && op->lives_s < 0))) leases->lives[op->lease] = false;
    if (is_chosen) remember(clients, op->lease);
}

/* --- what the store did by itself --- */

void sim_leases_take(struct sim_clients *clients)
{
    size_t count;
    const struct world_lease_entry *entries = world_lease_entries(clients->world, &count);
    for (; clients->leases.seen < count; clients->leases.seen++) {
        const struct world_lease_entry *entry = &entries[clients->leases.seen];
        if (entry->kind != WORLD_LEASE_EXPIRE) continue;
        const struct kv_history *history = &clients->history;
        struct kv_op op = {.kind = KV_OP_EXPIRE, .outcome = KV_UNKNOWN, .end = UINT64_MAX, .lease = entry->id,
                           .granted_place = entry->granted_index * WORLD_LEASE_PLACES};
        if (history->count > 0) op.start = history->ops[history->count - 1].start; /* it came behind whatever was asked before it */
        sim_clients_add(clients, &op, SIM_CLIENTS_NO_CALL | clients->leases.seen);
    }
}

/* --- the end --- */

/* What was chosen for them stands in the log. */
static void fill_in_ids(struct sim_clients *clients, struct kv_op *op)
{
    uint64_t index = op->place / WORLD_LEASE_PLACES;
    uint32_t count = 0;
    const struct world_lease_entry *entry = NULL;
    bool is_put = op->kind == KV_OP_PUT || op->kind == KV_OP_TXN, is_grant = op->kind == KV_OP_GRANT && op->lease == 0;
    if (op->place == 0 || !(is_put || is_grant)) return;
    while ((entry = world_lease_at(clients->world, index, entry)) != NULL) count += entry->is_made;
    while ((entry = world_lease_at(clients->world, index, entry)) != NULL) {
        if (is_grant) op->lease = entry->id;
        if (!is_put || !entry->is_made) continue;
        ASSERT(count > 0 && count <= KV_HISTORY_STEPS * 2);
        op->made_leases[--count] = entry->id; /* the last comes first */
    }
}

static void fill_in(struct sim_clients *clients)
{
    size_t count;
    const struct world_lease_entry *entries = world_lease_entries(clients->world, &count);
    for (size_t i = 0; i < clients->history.count; i++) {
        struct kv_op *op = &clients->history.ops[i];
        if (op->kind == KV_OP_EXPIRE) {
            const struct world_lease_entry *entry = &entries[clients->calls[i] & ~SIM_CLIENTS_NO_CALL];
            op->place = entry->committed_ns > 0 ? entry->index * WORLD_LEASE_PLACES + entry->place : 0;
        }
        fill_in_ids(clients, op);
    }
}

/* Whole seconds by the clock of who leads then; another may lead later, whose clock runs faster. */
static void check_promise(struct sim_clients *clients, const struct kv_op *op, uint64_t call)
{
    uint64_t between_ns[2];
    if (op->outcome != KV_DONE || op->lives_s <= 0) return;
    world_call_times(clients->world, call, &between_ns[0], &between_ns[1]);
    bool holds = world_lease_keeps(clients->world, op->lease, between_ns, between_ns[0], op->lives_s);
    if (!holds) world_watch_broken(clients->world, "L1 a lease lives as long as was said", op->server, (uint64_t)op->lease, (uint64_t)op->lives_s);
}

void sim_leases_check(struct sim_clients *clients)
{
    ASSERT(clients->calls != NULL || clients->history.count == 0);
    sim_leases_take(clients);
    fill_in(clients);
    for (size_t i = 0; i < clients->history.count; i++) {
        if (clients->history.ops[i].kind == KV_OP_LIVES) check_promise(clients, &clients->history.ops[i], clients->calls[i]);
    }
}
