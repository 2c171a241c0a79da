/* sim_clients_state: the part of the workload that asks about the past and in every shape: old revisions around the mark, filters, orders,
 * pages, compactions close behind the newest write, streams that are read slowly while the mark passes them. It draws from a stream of its own. */
#include "base/assert.h"
#include "lib/sim_clients.h"

static uint32_t below(struct sim_clients *clients, uint64_t limit) { return (uint32_t)tape_below(&clients->past_tape, limit); }

/* Mostly what can be read, from the mark to now; sometimes a little below or above. */
static int64_t draw_revision(struct sim_clients *clients)
{
    int64_t mark = clients->compacted > 1 ? clients->compacted : 1;
    int64_t span = clients->revision > mark ? clients->revision - mark : 0;
    uint32_t dice = below(clients, 12);
    if (dice == 0) return mark > 4 ? mark - 1 - below(clients, 3) : mark;
    if (dice == 1) return clients->revision + 1 + below(clients, 2);
    if (dice < 5) return mark;
    if (dice < 8) return clients->revision - (int64_t)below(clients, span < 4 ? (uint64_t)span + 1 : 4);
    return mark + (int64_t)below(clients, (uint64_t)span + 1);
}

static int64_t draw_bound(struct sim_clients *clients)
{
    if (below(clients, 3) != 0) return 0;
    return 1 + (int64_t)below(clients, (uint64_t)clients->revision + 1);
}

static void draw_shape(struct sim_clients *clients, struct kv_step *step)
{
    if (below(clients, 2) == 0) {
        step->sort = (enum kv_sort)below(clients, 3);
        step->sort_target = (enum kv_sort_target)below(clients, 5);
    }
    if (below(clients, 3) != 0) return;
    step->min_mod = draw_bound(clients);
    step->max_mod = draw_bound(clients);
    step->min_create = draw_bound(clients);
    step->max_create = draw_bound(clients);
}

static void vary_range(struct sim_clients *clients, struct kv_step *step, bool is_stream)
{
    uint32_t keys = clients->options.keys;
    if (below(clients, 2) == 0) {
        step->first = below(clients, 4) == 0 ? below(clients, keys / 2) : 0;
        step->end = keys;
    }
    step->at_revision = below(clients, 3) == 0 ? 0 : draw_revision(clients);
    step->keys_only = below(clients, 6) == 0;
    step->count_only = below(clients, 8) == 0;
    step->limit = below(clients, 3) == 0 ? 1 + below(clients, keys) : 0;
    if (!is_stream) draw_shape(clients, step);
    clients->counts.old_reads += step->at_revision > 0;
    clients->counts.shaped_reads += step->sort_target != KV_SORT_KEY || step->sort != KV_SORT_NONE ||
                                    (step->min_mod | step->max_mod | step->min_create | step->max_create) != 0;
}

static void vary_steps(struct sim_clients *clients, struct kv_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (steps[i].kind == KV_STEP_RANGE) vary_range(clients, &steps[i], false);
    }
}

/* A stream of everything, which takes many steps, or a mark close behind the newest write. */
static void replace(struct sim_clients *clients, struct kv_op *op)
{
    bool compacts = below(clients, 4) == 0;
    *op = (struct kv_op){.kind = compacts ? KV_OP_COMPACT : KV_OP_RANGE, .success_count = !compacts};
    if (compacts) {
        op->revision = clients->revision - (int64_t)below(clients, 4);
        if (op->revision < 1) op->revision = 1;
        return;
    }
    op->streams = true;
    op->serializable = below(clients, 3) == 0;
    op->success[0] = (struct kv_step){.kind = KV_STEP_RANGE, .first = 0, .end = clients->options.keys};
    if (below(clients, 3) != 0) op->success[0].at_revision = draw_revision(clients);
    clients->counts.old_reads += op->success[0].at_revision > 0;
}

void sim_clients_vary(struct sim_clients *clients, struct kv_op *op)
{
    if (clients->options.history_percent == 0 || !tape_chance(&clients->past_tape, clients->options.history_percent, 100)) return;
    ASSERT(clients->revision > 0);
    if (below(clients, 5) == 0) {
        replace(clients, op);
    } else if (op->kind == KV_OP_RANGE) {
        vary_range(clients, &op->success[0], op->streams);
    } else if (op->kind == KV_OP_TXN) {
        vary_steps(clients, op->success, op->success_count);
        vary_steps(clients, op->failure, op->failure_count);
    }
}

/* --- pages --- */

void sim_clients_plan_page(struct sim_clients *clients, struct sim_client *client, const struct kv_op *op)
{
    const struct kv_step *step = &op->success[0];
    bool is_natural = op->kind == KV_OP_RANGE && step->sort_target == KV_SORT_KEY && step->sort != KV_SORT_DESCEND;
    client->has_page = false;
    if (clients->options.history_percent == 0 || !is_natural || !step->more || step->pair_count == 0) return;
    if (below(clients, 8) == 0) return;
    client->has_page = true;
    client->page = (struct kv_op){.kind = KV_OP_RANGE, .success_count = 1, .serializable = op->serializable, .streams = op->streams};
    client->page.success[0] = *step;
    struct kv_step *page = &client->page.success[0];
    page->pairs = NULL;
    page->pair_count = 0;
    page->first = step->pairs[step->pair_count - 1].key + 1;
    page->is_page = true;
    if (step->at_revision == 0) page->at_revision = op->revision;
    clients->counts.pages++;
}

/* --- slow readers --- */

void sim_clients_begin_slowly(struct sim_clients *clients, struct sim_client *client, const struct kv_op *op)
{
    client->is_slow = false;
    if (!op->streams || clients->options.slow_percent == 0) return;
    if (!tape_chance(&clients->past_tape, clients->options.slow_percent, 100)) return;
    client->is_slow = true;
    client->piece_ns = world_now_ns(clients->world) + tape_below(&clients->past_tape, clients->options.slow_ns + 1);
    clients->counts.slow_streams++;
    world_call_slowly(clients->world, client->call);
}

void sim_clients_read_on(struct sim_clients *clients, struct sim_client *client, bool is_last)
{
    if (!client->is_slow || (!is_last && client->piece_ns > world_now_ns(clients->world))) return;
    bool is_gone = tape_chance(&clients->past_tape, 1, 40);
    world_call_take(clients->world, client->call, is_last || is_gone, is_gone);
    client->piece_ns = world_now_ns(clients->world) + 1 + tape_below(&clients->past_tape, clients->options.slow_ns + 1);
    if (is_last || is_gone) client->is_slow = false;
}
