/* sim_hashes: see sim_hashes.h. Answers are read by protobuf-c, so that our own encoder is not its own judge. */
#include "lib/sim_hashes.h"

#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/world_watch.h"

static uint32_t below(struct sim_hashes *hashes, uint64_t limit) { return (uint32_t)tape_below(&hashes->tape, limit); }

void sim_hashes_init(struct sim_hashes *hashes, struct world *world, const struct kv_history *history, uint64_t seed, uint32_t members, uint32_t per_minute)
{
    *hashes = (struct sim_hashes){.world = world, .history = history, .members = members, .per_minute = per_minute};
    tape_init(&hashes->tape, seed ^ UINT64_C(0x3c6ef372fe94f82b), world_reel(world), TAPE_HASHES);
}

static void demand(struct sim_hashes *hashes, bool holds, const char *invariant, int64_t expected, int64_t got)
{
    if (!holds) world_watch_broken(hashes->world, invariant, hashes->member, (uint64_t)expected, (uint64_t)got);
}

/* --- asking --- */

/* Mostly where the edges are: the mark, the newest of this member, and the newest of others. */
static int64_t draw_revision(struct sim_hashes *hashes, int64_t newest)
{
    int64_t revision = 0;
    switch (below(hashes, 6)) {
    case 0: return 0;
    case 1: revision = hashes->mark + 2 - (int64_t)below(hashes, 5); break;
    case 2: revision = hashes->revision + 2 - (int64_t)below(hashes, 5); break;
    case 3: revision = newest - (int64_t)below(hashes, 4); break;
    default: revision = hashes->mark + (int64_t)below(hashes, (uint64_t)(hashes->revision - hashes->mark) + 1); break;
    }
    return revision < 0 ? 0 : revision;
}

static void ask(struct sim_hashes *hashes)
{
    struct world *world = hashes->world;
    struct buf request;
    int64_t newest = 0, revision = 0, mark = 0;
    hashes->member = below(hashes, hashes->members);
    if (!world_listens(world, hashes->member)) return;
    for (uint32_t i = 0; i < hashes->members; i++) {
        if (!world_is_up(world, i)) continue;
        world_revisions(world, i, &revision, &mark);
        if (revision > newest) newest = revision;
    }
    world_revisions(world, hashes->member, &hashes->revision, &hashes->mark);
    hashes->lags = hashes->revision < newest;
    hashes->asked = draw_revision(hashes, newest);
    buf_init(&request);
    if (hashes->asked > 0) buf_put_pb_varint(&request, 1, (uint64_t)hashes->asked);
    hashes->call = world_call(world, hashes->member, "/etcdserverpb.Maintenance/HashKV", buf_slice(&request));
    hashes->is_waiting = true;
    buf_deinit(&request);
}

/* --- the answer --- */

static void note_marks(struct sim_hashes *hashes)
{
    for (; hashes->history_seen < hashes->history->count; hashes->history_seen++) {
        const struct kv_op *op = &hashes->history->ops[hashes->history_seen];
        if (op->kind == KV_OP_COMPACT && op->revision > hashes->highest_mark) hashes->highest_mark = op->revision;
    }
}

static void take_hash(struct sim_hashes *hashes, struct slice bytes)
{
    Etcdserverpb__HashKVResponse *response = etcdserverpb__hash_kvresponse__unpack(NULL, bytes.size, bytes.data);
    demand(hashes, response != NULL && response->header != NULL, "E3 a hash is an answer", 0, (int64_t)bytes.size);
    int64_t newest = response->header->revision, revision = response->hash_revision, mark = response->compact_revision;
    demand(hashes, mark == -1 || mark > 0, "E3 a store that was never compacted says -1", -1, mark);
    if (mark == -1) mark = 0;
    bool is_own = response->header->member_id == world_member_id(hashes->world, hashes->member);
    demand(hashes, is_own, "E3 a hash is of the member that was asked", (int64_t)world_member_id(hashes->world, hashes->member), (int64_t)response->header->member_id);
    demand(hashes, newest >= hashes->revision, "E3 a hash is not older than what its member had", hashes->revision, newest);
    demand(hashes, revision == (hashes->asked > 0 ? hashes->asked : newest), "E3 a hash is of the revision that was named", hashes->asked, revision);
    demand(hashes, revision <= newest, "E2 the future has no hash", newest, revision);
    demand(hashes, mark >= hashes->mark && mark <= hashes->highest_mark, "E3 a mark is what somebody asked for, and stays", hashes->mark, mark);
    demand(hashes, revision >= mark, "E1 what is compacted has no hash", mark, revision);
    hashes->answers[hashes->count++] = (struct sim_hash){.member = hashes->member, .revision = revision, .compact_revision = mark, .hash = response->hash};
    hashes->counts.hashes++;
    hashes->counts.lagging += hashes->lags;
    etcdserverpb__hash_kvresponse__free_unpacked(response, NULL);
}

static void take_answer(struct sim_hashes *hashes, enum err err, struct slice bytes)
{
    bool is_past = hashes->asked > 0 && hashes->asked < hashes->mark;
    bool is_refused = err == ERR_COMPACTED || err == ERR_FUTURE_REV;
    note_marks(hashes);
    if (err == ERR_OK || is_refused) demand(hashes, !is_past || err == ERR_COMPACTED, "E1 what is compacted is said to be", hashes->mark, hashes->asked);
    if (err == ERR_OK) {
        take_hash(hashes, bytes);
        return;
    }
    if (err == ERR_COMPACTED) demand(hashes, hashes->asked > 0 && hashes->asked < hashes->highest_mark, "E1 a revision is there and called compacted", hashes->highest_mark, hashes->asked);
    if (err == ERR_FUTURE_REV) demand(hashes, hashes->asked > hashes->revision, "E2 a revision is there and called future", hashes->revision, hashes->asked);
    hashes->counts.compacted += err == ERR_COMPACTED;
    hashes->counts.future += err == ERR_FUTURE_REV;
    bool may_fail = err == ERR_TOO_MANY_REQUESTS || err == ERR_STOPPED;
    demand(hashes, is_refused || may_fail, err_name(err), 0, 0);
}

void sim_hashes_step(struct sim_hashes *hashes, uint64_t ns, bool is_over)
{
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false;
    if (hashes->per_minute == 0) return;
    if (!hashes->is_waiting) {
        bool asks = !is_over && hashes->count < SIM_HASHES_MAX && tape_chance(&hashes->tape, hashes->per_minute * ns, 60 * NS_PER_S);
        if (asks) ask(hashes);
        return;
    }
    if (!world_answer(hashes->world, hashes->call, &err, &bytes, &died)) return;
    hashes->is_waiting = false;
    if (!died) take_answer(hashes, err, bytes);
}
