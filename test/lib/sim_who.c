/* sim_who: see sim_who.h. Answers are read by protobuf-c, so that our own encoder is not its own judge. */
#include "lib/sim_who.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "kvd/extra.pb-c.h"
#include "lib/world_watch.h"

#define WAIT_STEPS 5000
#define PAGES_MAX 200

static void demand(struct sim_who *who, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(who->watch->world, invariant, who->member, a, b);
}

void sim_who_init(struct sim_who *who, struct sim_watch *watch, uint32_t per_minute)
{
    *who = (struct sim_who){.watch = watch, .members = watch->options.members, .per_minute = per_minute};
    tape_init(&who->tape, watch->options.seed ^ UINT64_C(0xd6e8feb86659fd93), world_reel(watch->world), TAPE_WHO);
}

/* --- asking --- */

static void ask_page(struct sim_who *who, uint32_t member)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 3, 1 + tape_below(&who->tape, 4));
    if (who->place != 0) buf_put_pb_varint(&request, 4, who->place);
    who->member = member;
    who->is_cancel = false;
    who->is_waiting = true;
    who->call = world_call(who->watch->world, member, "/kvd.v1.Extra/Watchers", buf_slice(&request));
    buf_deinit(&request);
}

static void ask_cancel(struct sim_who *who, uint64_t stream, int64_t watch_id)
{
    struct buf request;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, world_member_id(who->watch->world, who->member));
    buf_put_pb_varint(&request, 2, stream);
    if (watch_id != 0) buf_put_pb_varint(&request, 3, (uint64_t)watch_id);
    who->is_cancel = who->is_waiting = true;
    who->watch->cancels++;
    who->counts.cancels++;
    who->call = world_call(who->watch->world, who->member, "/kvd.v1.Extra/CancelWatcher", buf_slice(&request));
    buf_deinit(&request);
}

static void ask(struct sim_who *who)
{
    struct world *world = who->watch->world;
    bool goes_on = who->place != 0 || who->stream != 0;
    uint32_t member = goes_on ? who->member : (uint32_t)tape_below(&who->tape, who->members);
    if (!world_is_up(world, member) || !world_is_ready(world, member)) {
        who->place = who->stream = 0;
        return;
    }
    if (who->stream != 0 && tape_below(&who->tape, 4) == 3) ask_cancel(who, who->stream, who->watch_id);
    else ask_page(who, member);
    who->stream = 0;
}

/* --- answers --- */

/* The caller frees it. */
static Kvd__V1__WatchersResponse *read_page(struct sim_who *who, struct slice bytes)
{
    Kvd__V1__WatchersResponse *response = kvd__v1__watchers_response__unpack(NULL, bytes.size, bytes.data);
    demand(who, response != NULL && response->header != NULL, "H4 a page of watchers is one", bytes.size, 0);
    for (size_t i = 0; i < response->n_watchers; i++) {
        const Kvd__V1__Watcher *told = response->watchers[i];
        demand(who, told->stream != 0 && told->next_revision > 0, "H4 a watcher has its name and its place", told->stream, (uint64_t)told->watch_id);
    }
    demand(who, response->watcher_count >= response->behind_count && response->watcher_count >= response->n_watchers, "H4 the counts fit", response->watcher_count, response->behind_count);
    who->place = response->next;
    who->counts.pages++;
    return response;
}

static void take_answer(struct sim_who *who, enum err err, struct slice bytes)
{
    if (who->is_cancel) {
        bool may_be = err == ERR_OK || err == ERR_WATCHER_NOT_FOUND || err == ERR_STOPPED || err == ERR_TIMEOUT || err == ERR_TOO_MANY_REQUESTS;
        demand(who, may_be, err_name(err), who->stream, 0);
        return;
    }
    if (err != ERR_OK) {
        who->place = 0;
        return;
    }
    Kvd__V1__WatchersResponse *response = read_page(who, bytes);
    if (response->n_watchers > 0) {
        const Kvd__V1__Watcher *told = response->watchers[tape_below(&who->tape, response->n_watchers)];
        who->stream = told->stream;
        who->watch_id = told->watch_id;
    }
    kvd__v1__watchers_response__free_unpacked(response, NULL);
}

void sim_who_step(struct sim_who *who, uint64_t ns, bool is_over)
{
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false;
    if (who->per_minute == 0) return;
    if (!who->is_waiting) {
        if (!is_over && tape_chance(&who->tape, who->per_minute * ns, 60 * NS_PER_S)) ask(who);
        return;
    }
    if (!world_answer(who->watch->world, who->call, &err, &bytes, &died)) return;
    who->is_waiting = false;
    if (died) who->place = who->stream = 0;
    else take_answer(who, err, bytes);
}

/* --- the end --- */

static struct slice wait_for(struct sim_who *who)
{
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false, is_there = false;
    for (uint32_t i = 0; i < WAIT_STEPS && !is_there; i++) {
        world_run(who->watch->world, NS_PER_MS);
        sim_watch_step(who->watch, true);
        is_there = world_answer(who->watch->world, who->call, &err, &bytes, &died);
    }
    who->is_waiting = false;
    demand(who, is_there && !died && err == ERR_OK, "H5 a quiet member says who is watching", (uint64_t)err, is_there);
    return bytes;
}

struct seen {
    bool is_told[SIM_WATCH_STREAMS_MAX][SIM_WATCH_WATCHERS];
    uint64_t told;
    struct { uint64_t stream; int64_t watch_id; } names[SIM_WHO_MAX];
};

/* The client's watcher that the member tells, which was not told before. */
static bool take_told(struct sim_who *who, const Kvd__V1__Watcher *told, struct seen *seen)
{
    for (uint32_t s = 0; s < who->watch->options.streams; s++) {
        const struct sim_watch_stream *stream = &who->watch->streams[s];
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS && stream->stream != 0 && stream->member == who->member; w++) {
            const struct sim_watcher *watcher = &stream->watchers[w];
            bool is_it = watcher->state == SIM_WATCHER_LIVE && !seen->is_told[s][w] && watcher->id == told->watch_id &&
                         (told->prev_kv != 0) == watcher->prev_kv && (told->fragment != 0) == watcher->fragment &&
                         (told->progress_notify != 0) == watcher->progress && told->n_filters == (size_t)watcher->no_put + watcher->no_delete &&
                         sim_watch_is_interval(watcher, slice_make(told->key.data, told->key.len), slice_make(told->range_end.data, told->range_end.len));
            if (is_it) seen->is_told[s][w] = true;
            if (is_it) return true;
        }
    }
    return false;
}

static void list_all(struct sim_who *who, uint32_t member, struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    who->place = 0;
    for (uint32_t pages = 0; pages == 0 || who->place != 0; pages++) {
        demand(who, pages < PAGES_MAX, "H5 pages come to an end", pages, who->place);
        ask_page(who, member);
        Kvd__V1__WatchersResponse *response = read_page(who, wait_for(who));
        for (size_t i = 0; i < response->n_watchers; i++) {
            const Kvd__V1__Watcher *told = response->watchers[i];
            demand(who, take_told(who, told, seen), "H5 who is told of is watching, and told once", told->stream, (uint64_t)told->watch_id);
            demand(who, told->behind == 0, "H5 nobody is behind when all is quiet", told->stream, told->behind);
            seen->names[seen->told].stream = told->stream;
            seen->names[seen->told++].watch_id = told->watch_id;
        }
        kvd__v1__watchers_response__free_unpacked(response, NULL);
    }
}

static uint64_t live_at(const struct sim_who *who, uint32_t member)
{
    uint64_t live = 0;
    for (uint32_t s = 0; s < who->watch->options.streams; s++) {
        const struct sim_watch_stream *stream = &who->watch->streams[s];
        for (uint32_t w = 0; w < SIM_WATCH_WATCHERS; w++) live += stream->stream != 0 && stream->member == member && stream->watchers[w].state == SIM_WATCHER_LIVE;
    }
    return live;
}

void sim_who_check(struct sim_who *who)
{
    struct seen seen;
    for (uint32_t member = 0; who->per_minute > 0 && member < who->members; member++) {
        list_all(who, member, &seen);
        demand(who, seen.told == live_at(who, member), "H5 whoever is watching is told", live_at(who, member), seen.told);
    }
}

void sim_who_cancel_some(struct sim_who *who)
{
    struct seen seen;
    for (uint32_t member = 0; who->per_minute > 0 && member < who->members; member++) {
        list_all(who, member, &seen);
        if (seen.told == 0) continue;
        uint64_t chosen = tape_below(&who->tape, seen.told);
        who->watch->must_be_told++;
        ask_cancel(who, seen.names[chosen].stream, seen.names[chosen].watch_id);
        (void)wait_for(who);
    }
}

bool sim_who_all_told(const struct sim_who *who) { return who->watch->must_be_told == 0; }
