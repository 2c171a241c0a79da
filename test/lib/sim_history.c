/* sim_history: see sim_history.h. Answers are read by protobuf-c, so that our own encoder is not its own judge. */
#include "lib/sim_history.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "kvd/extra.pb-c.h"
#include "lib/sim_bytes.h"
#include "lib/sim_events.h"
#include "lib/sim_watch.h"
#include "lib/world_watch.h"

#define PAGE_BYTES (1u << 20)

static uint32_t below(struct sim_history *history, uint64_t limit) { return (uint32_t)tape_below(&history->tape, limit); }

void sim_history_init(struct sim_history *history, struct world *world, uint64_t seed, uint32_t members, uint32_t keys,
                      uint32_t per_minute)
{
    *history = (struct sim_history){.world = world, .members = members, .keys = keys, .per_minute = per_minute};
    tape_init(&history->tape, seed ^ UINT64_C(0x7f4a7c159e3779b9), world_reel(world), TAPE_HISTORY);
}

static void demand(struct sim_history *history, bool holds, const char *invariant, int64_t expected, int64_t got)
{
    if (holds) return;
    fprintf(stderr, "history of keys %u to %u%s, from %" PRId64 " to %" PRId64 ", limit %" PRId64 "%s%s%s%s: the window ends at %" PRId64 "\n", history->first,
            history->end, history->is_open ? " and all behind" : "", history->from, history->to, history->limit, history->oldest_first ? ", oldest first" : "",
            history->keys_only ? ", keys only" : "", history->serializable ? ", serializable" : "", history->token_size > 0 ? ", a later page" : "", history->last);
    world_watch_broken(history->world, invariant, (uint64_t)history->call, (uint64_t)expected, (uint64_t)got);
}

static int64_t newest(const struct sim_history *history)
{
    size_t count;
    const struct world_change *changes = world_changes(history->world, &count);
    return count == 0 ? 1 : changes[count - 1].pair.mod_revision;
}

/* --- asking --- */

static void draw(struct sim_history *history)
{
    int64_t now = newest(history), span = now < 60 ? now : 60;
    uint32_t dice = below(history, 4);
    history->token_size = 0;
    history->has_at = false;
    history->last = 0;
    history->first = below(history, history->keys);
    history->end = history->first + 1;
    history->is_open = dice == 3;
    if (dice == 2) history->end = history->first + 1 + below(history, history->keys - history->first);
    history->from = below(history, 2) == 0 ? 0 : now + 1 - (int64_t)below(history, (uint64_t)span + 1);
    history->to = below(history, 2) == 0 ? 0 : now + 2 - (int64_t)below(history, (uint64_t)span + 1);
    if (history->from > 0 && history->to > 0 && history->from > history->to) history->to = history->from;
    history->limit = below(history, 3) == 0 ? 0 : 1 + (int64_t)below(history, 6);
    history->oldest_first = below(history, 2) == 1;
    history->keys_only = below(history, 4) == 3;
    history->serializable = below(history, 3) == 2;
}

static void put_request(const struct sim_history *history, struct buf *out)
{
    sim_bytes_put_key(out, 1, history->first);
    if (history->is_open) buf_put_pb_bytes(out, 2, slice_make("", 1));
    else if (history->end > history->first + 1) sim_bytes_put_key(out, 2, history->end);
    if (history->from > 0) buf_put_pb_varint(out, 3, (uint64_t)history->from);
    if (history->to > 0) buf_put_pb_varint(out, 4, (uint64_t)history->to);
    if (history->oldest_first) buf_put_pb_varint(out, 5, 1);
    if (history->limit > 0) buf_put_pb_varint(out, 6, (uint64_t)history->limit);
    if (history->keys_only) buf_put_pb_varint(out, 7, 1);
    if (history->serializable) buf_put_pb_varint(out, 8, 1);
    if (history->token_size > 0) buf_put_pb_bytes(out, 9, slice_make(history->token, history->token_size));
}

static void ask(struct sim_history *history)
{
    struct buf request;
    uint32_t member = below(history, history->members);
    if (!world_is_up(history->world, member) || !world_is_ready(history->world, member)) return;
    if (history->token_size == 0) draw(history);
    buf_init(&request);
    put_request(history, &request);
    history->floor = newest(history);
    history->call = world_call(history->world, member, "/kvd.v1.Extra/History", buf_slice(&request));
    history->is_waiting = true;
    buf_deinit(&request);
}

/* --- the answer --- */

static bool concerns(const struct sim_history *history, const struct world_change *change)
{
    return change->pair.key >= history->first && (history->is_open || change->pair.key < history->end);
}

/* The next change of the interval, in the order of the answer, from `at` on; SIZE_MAX: none within the window. */
static size_t next_of(const struct sim_history *history, const struct world_change *changes, size_t count, size_t at)
{
    for (; history->oldest_first && at < count && changes[at].pair.mod_revision <= history->last; at++) {
        if (concerns(history, &changes[at])) return at;
    }
    for (; !history->oldest_first && at > 0 && changes[at - 1].pair.mod_revision >= history->from; at--) {
        if (concerns(history, &changes[at - 1])) return at - 1;
    }
    return SIZE_MAX;
}

/* Of who asked for what is retained, oldest first: where that begins is told by the first event; all from the mark on is retained. */
static size_t first_told(struct sim_history *history, const Kvd__V1__HistoryResponse *response)
{
    int64_t mark = response->compact_revision, from = history->from;
    if (from == 0) from = mark > 0 ? mark : 1;
    size_t at = sim_watch_place(history->world, from);
    if (history->from > 0 || response->n_events == 0 || response->events[0]->kv == NULL) return at;
    size_t told = sim_watch_place(history->world, response->events[0]->kv->mod_revision);
    return told < at ? told : at;
}

static void begin(struct sim_history *history, const Kvd__V1__HistoryResponse *response)
{
    history->last = history->to > 0 ? history->to : response->header->revision;
    demand(history, response->header->revision >= history->last, "H3 the future is not told", history->last, response->header->revision);
    history->at = history->oldest_first ? first_told(history, response) : sim_watch_place(history->world, history->last + 1);
    history->has_at = true;
}

static void check_events(struct sim_history *history, const Kvd__V1__HistoryResponse *response, const struct world_change *changes, size_t count)
{
    for (size_t i = 0; i < response->n_events; i++) {
        size_t at = next_of(history, changes, count, history->at);
        int64_t told = response->events[i]->kv == NULL ? 0 : response->events[i]->kv->mod_revision;
        demand(history, at != SIZE_MAX, "H1 nothing is told that is not in the window", 0, told);
        bool is_same = sim_event_is(response->events[i], &changes[at], history->keys_only) && response->events[i]->prev_kv == NULL;
        demand(history, is_same, "H1 a history tells what was written, in order", changes[at].pair.mod_revision, told);
        history->at = history->oldest_first ? at + 1 : at;
    }
    history->counts.events += response->n_events;
}

/* Either it is full, or all is told that is retained. */
static void check_end(struct sim_history *history, const Kvd__V1__HistoryResponse *response, const struct world_change *changes, size_t count, size_t size)
{
    int64_t limit = history->limit > 0 ? history->limit : 10000;
    bool is_full = (int64_t)response->n_events == limit || size >= PAGE_BYTES;
    demand(history, (int64_t)response->n_events <= limit, "H1 a page has its limit", limit, (int64_t)response->n_events);
    if (response->next.len > 0) {
        demand(history, is_full && response->next.len <= SIM_HISTORY_TOKEN_MAX, "H1 a page goes on when it is full", limit, (int64_t)response->n_events);
        return;
    }
    size_t at = next_of(history, changes, count, history->at);
    bool is_all = at == SIZE_MAX || (history->from == 0 && !history->oldest_first && changes[at].pair.mod_revision < response->compact_revision);
    demand(history, is_all, "H1 a history tells all that is retained", at == SIZE_MAX ? 0 : changes[at].pair.mod_revision, response->compact_revision);
}

static void take_page(struct sim_history *history, struct slice bytes)
{
    size_t count;
    const struct world_change *changes = world_changes(history->world, &count);
    Kvd__V1__HistoryResponse *response = kvd__v1__history_response__unpack(NULL, bytes.size, bytes.data);
    demand(history, response != NULL && response->header != NULL, "H1 a history is an answer", 0, (int64_t)bytes.size);
    int64_t revision = response->header->revision;
    demand(history, history->serializable || revision >= history->floor, "H2 a history is not older than its request", history->floor, revision);
    if (!history->has_at) begin(history, response);
    check_events(history, response, changes, count);
    check_end(history, response, changes, count, bytes.size);
    history->token_size = response->next.len;
    if (history->token_size > 0) memcpy(history->token, response->next.data, response->next.len);
    if (below(history, 10) == 9) history->token_size = 0; /* it has seen enough */
    history->counts.pages++;
    kvd__v1__history_response__free_unpacked(response, NULL);
}

static void take_answer(struct sim_history *history, enum err err, struct slice bytes)
{
    bool is_later = history->token_size > 0;
    if (err == ERR_OK) {
        take_page(history, bytes);
        return;
    }
    history->token_size = 0;
    history->counts.compacted += err == ERR_COMPACTED;
    int64_t asked = history->to > history->from ? history->to : history->from;
    bool is_refused = err == ERR_COMPACTED || err == ERR_FUTURE_REV;
    if (err == ERR_COMPACTED) demand(history, is_later || history->from > 0 || history->to > 0, "H3 who names no revision is not compacted", 0, 0);
    if (err == ERR_FUTURE_REV) demand(history, history->serializable || asked > history->floor, "H3 a revision is there and called future", history->floor, asked);
    bool may_fail = err == ERR_TOO_MANY_REQUESTS || err == ERR_NO_LEADER || err == ERR_STOPPED || err == ERR_TIMEOUT ||
                    err == ERR_TIMEOUT_LEADER_FAIL || err == ERR_TIMEOUT_CONN_LOST || err == ERR_LEADER_CHANGED;
    demand(history, is_refused || may_fail, err_name(err), 0, 0);
}

void sim_history_step(struct sim_history *history, uint64_t ns, bool is_over)
{
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false;
    if (history->per_minute == 0) return;
    if (!history->is_waiting) {
        uint64_t per_minute = history->token_size > 0 ? 10 * (uint64_t)history->per_minute : history->per_minute;
        if (!is_over && tape_chance(&history->tape, per_minute * ns, 60 * NS_PER_S)) ask(history);
        return;
    }
    if (!world_answer(history->world, history->call, &err, &bytes, &died)) return;
    history->is_waiting = false;
    if (died) history->token_size = 0;
    else take_answer(history, err, bytes);
}
