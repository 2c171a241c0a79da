/* sim_watch_check: one message of a watch stream against the truth. See sim_watch.h. Messages are read by protobuf-c, so that our own encoder is
 * not its own judge. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/sim_bytes.h"
#include "lib/sim_events.h"
#include "lib/sim_watch.h"
#include "lib/world_watch.h"
#include "watch/watch_list.h"

/* One message, and whom it is for. */
struct said {
    struct sim_watch *watch;
    struct sim_watch_stream *stream;
    struct sim_watcher *watcher;
    const Etcdserverpb__WatchResponse *response;
    const struct world_view_point *sent;
    const struct world_change *changes; /* the truth */
    size_t change_count;
};

static void demand(const struct said *said, bool holds, const char *invariant, int64_t a, int64_t b)
{
    const struct sim_watcher *watcher = said->watcher;
    if (holds) return;
    if (watcher != NULL) {
        fprintf(stderr, "stream %" PRIu64 ", watcher %" PRId64 ": keys %u to %u, asked from %" PRId64 ", knows all below %" PRId64 "%s%s%s%s%s\n",
                said->stream->stream, watcher->id, watcher->first, watcher->end, watcher->start, watcher->next, watcher->no_put ? ", no puts" : "",
                watcher->no_delete ? ", no deletes" : "", watcher->prev_kv ? ", with previous" : "", watcher->fragment ? ", in fragments" : "",
                watcher->progress ? ", with progress" : "");
    }
    fprintf(stderr, "the member's view: revision %" PRId64 ", mark %" PRId64 "\n", said->sent->revision, said->sent->mark);
    world_watch_broken(said->watch->world, invariant, said->stream->member, (uint64_t)a, (uint64_t)b);
}

/* --- the truth --- */

size_t sim_watch_place(const struct world *world, int64_t revision)
{
    size_t low = 0, high;
    const struct world_change *changes = world_changes(world, &high);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (changes[middle].pair.mod_revision < revision) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool concerns(const struct sim_watcher *watcher, const struct world_change *change)
{
    bool is_filtered = change->is_delete ? watcher->no_delete : watcher->no_put;
    return !is_filtered && change->pair.key >= watcher->first && change->pair.key < watcher->end;
}

/* The next change that the watcher must be told, at or behind `at`. */
static size_t next_of(const struct sim_watcher *watcher, const struct world_change *changes, size_t count, size_t at)
{
    while (at < count && (changes[at].pair.mod_revision < watcher->next || !concerns(watcher, &changes[at]))) at++;
    return at;
}

bool sim_watch_knows_all(const struct sim_watch *watch, const struct sim_watcher *watcher)
{
    size_t count;
    const struct world_change *changes = world_changes(watch->world, &count);
    ASSERT(watcher->state == SIM_WATCHER_LIVE && watcher->at <= count);
    return next_of(watcher, changes, count, watcher->at) == count;
}

/* --- events --- */

/* What is wrong with an event that is not the next one. */
static void misplaced(const struct said *said, const Mvccpb__Event *event, const struct world_change *expected)
{
    const struct sim_watcher *watcher = said->watcher;
    int64_t revision = event->kv->mod_revision;
    uint32_t key = UINT32_MAX;
    (void)sim_bytes_read_key(slice_make(event->kv->key.data, event->kv->key.len), &key);
    struct world_change like = {.pair.key = key, .is_delete = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE};
    demand(said, concerns(watcher, &like), "W1 an event that nobody asked for", revision, key);
    demand(said, watcher->start == 0 || revision >= watcher->start, "W10 no event below the start", revision, watcher->start);
    demand(said, revision >= watcher->next, "W3 an event twice, or out of order", revision, watcher->next);
    demand(said, expected != NULL, "W5 an event that nobody wrote", revision, key);
    demand(said, revision <= expected->pair.mod_revision, "W5 an event is missing", expected->pair.mod_revision, revision);
    demand(said, false, "W2 an event out of order", revision, key);
}

/* W8: what was there before; it may lack only what was compacted. */
static void check_previous(const struct said *said, const Mvccpb__Event *event, const struct world_change *change)
{
    const struct world_change *before = change->before == 0 ? NULL : &said->changes[change->before - 1];
    bool was_there = before != NULL && !before->is_delete;
    bool is_free = change->pair.mod_revision - 1 < said->sent->mark;
    if (event->prev_kv == NULL) {
        demand(said, !said->watcher->prev_kv || !was_there || is_free, "W8 prev_kv is missing", change->pair.mod_revision, said->sent->mark);
        return;
    }
    said->watch->counts.with_previous++;
    demand(said, said->watcher->prev_kv && was_there, "W8 prev_kv of nothing", change->pair.mod_revision, event->prev_kv->mod_revision);
    demand(said, sim_event_is_pair(event->prev_kv, &before->pair, false), "W8 prev_kv is not what was before", change->pair.mod_revision, event->prev_kv->mod_revision);
}

static void check_event(const struct said *said, const Mvccpb__Event *event)
{
    struct sim_watcher *watcher = said->watcher;
    size_t at = next_of(watcher, said->changes, said->change_count, watcher->at);
    const struct world_change *expected = at < said->change_count ? &said->changes[at] : NULL;
    bool is_delete = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    demand(said, event->kv != NULL, "W9 an event without its key", 0, 0);
    uint32_t key = UINT32_MAX;
    bool is_next = expected != NULL && expected->pair.mod_revision == event->kv->mod_revision && expected->is_delete == is_delete &&
                   sim_bytes_read_key(slice_make(event->kv->key.data, event->kv->key.len), &key) && key == expected->pair.key;
    if (!is_next) misplaced(said, event, expected);
    bool is_same = sim_event_is(event, expected, false);
    demand(said, is_same, "W9 an event is not what was written", expected->pair.mod_revision, event->kv->version);
    check_previous(said, event, expected);
    watcher->at = at + 1;
    said->watch->counts.events++;
}

static void take_events(const struct said *said)
{
    const Etcdserverpb__WatchResponse *response = said->response;
    struct sim_watcher *watcher = said->watcher;
    int64_t last = response->events[response->n_events - 1]->kv == NULL ? 0 : response->events[response->n_events - 1]->kv->mod_revision;
    demand(said, !watcher->must_be_compacted, "W11 what is compacted is not told", last, said->sent->mark);
    for (size_t i = 0; i < response->n_events; i++) check_event(said, response->events[i]);
    demand(said, response->header->revision >= last, "W7 an event of a revision that the member has not got", last, response->header->revision);
    size_t at = next_of(watcher, said->changes, said->change_count, watcher->at);
    bool is_cut = at < said->change_count && said->changes[at].pair.mod_revision == last;
    demand(said, !response->fragment || watcher->fragment, "W4 a fragment that nobody asked for", last, 0);
    demand(said, !is_cut || response->fragment, "W4 a revision is whole", last, (int64_t)response->n_events);
    watcher->is_inside = response->fragment != 0;
    watcher->next = response->fragment ? last : last + 1;
    said->watch->counts.fragments += response->fragment != 0;
}

/* --- all else --- */

/* All up to there was told: W7. */
static void take_progress(const struct said *said, struct sim_watcher *watcher)
{
    int64_t revision = said->response->header->revision;
    struct said own = *said;
    own.watcher = watcher;
    size_t at = next_of(watcher, said->changes, said->change_count, watcher->at);
    bool is_true = at == said->change_count || said->changes[at].pair.mod_revision > revision;
    demand(&own, is_true, "W7 progress overtakes events", revision, is_true ? 0 : said->changes[at].pair.mod_revision);
    demand(&own, !watcher->is_inside, "W4 a revision that began in fragments goes on", revision, watcher->next);
    demand(&own, !watcher->must_be_compacted, "W11 who is compacted makes no progress", revision, said->sent->mark);
    if (revision < watcher->next) return;
    watcher->next = revision + 1;
    watcher->at = sim_watch_place(said->watch->world, watcher->next);
}

static struct sim_awaited *awaited_of(struct sim_watch_stream *stream, bool is_cancel, uint32_t watcher)
{
    for (uint32_t i = 0; i < stream->awaited_count; i++) {
        struct sim_awaited *awaited = &stream->awaited[i];
        if (awaited->is_void || is_cancel != (awaited->kind == SIM_AWAITED_CANCEL)) continue;
        if (!is_cancel || awaited->watcher == watcher) return awaited;
    }
    return NULL;
}

static void take_created(struct said *said)
{
    const Etcdserverpb__WatchResponse *response = said->response;
    struct sim_awaited *awaited = awaited_of(said->stream, false, 0);
    demand(said, awaited != NULL && awaited->was_heard && response->n_events == 0, "W12 one answer to each wish", response->watch_id, 0);
    demand(said, response->header->revision == awaited->point.revision, "W12 created at the revision of the view", awaited->point.revision, response->header->revision);
    awaited->is_void = true;
    bool is_refusal = awaited->kind == SIM_AWAITED_REFUSAL;
    demand(said, is_refusal == (response->canceled != 0), "W12 what can be watched is watched", response->watch_id, is_refusal);
    said->watch->counts.refused += is_refusal;
    if (is_refusal) {
        demand(said, response->watch_id == -1 && response->cancel_reason != NULL && response->cancel_reason[0] != '\0', "W12 a refusal has its reason", response->watch_id, 0);
        return;
    }
    struct sim_watcher *watcher = &said->stream->watchers[awaited->watcher];
    said->watcher = watcher;
    ASSERT(watcher->state == SIM_WATCHER_ASKED);
    demand(said, watcher->id == 0 || watcher->id == response->watch_id, "W12 a watcher has the id that it asked for", watcher->id, response->watch_id);
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) {
        const struct sim_watcher *other = &said->stream->watchers[i];
        bool is_there = other->state == SIM_WATCHER_LIVE || other->state == SIM_WATCHER_LEAVING;
        demand(said, !is_there || other->id != response->watch_id, "W12 ids are different", response->watch_id, i);
    }
    watcher->id = response->watch_id;
    watcher->state = SIM_WATCHER_LIVE;
    watcher->next = watcher->start != 0 ? watcher->start : response->header->revision + 1;
    watcher->at = sim_watch_place(said->watch->world, watcher->next);
    watcher->must_be_compacted = watcher->next < awaited->point.mark;
}

static bool is_by_operator(const struct said *said)
{
    struct sim_watch *watch = said->watch;
    const char *reason = said->response->cancel_reason;
    if (reason == NULL || strcmp(reason, WATCH_LIST_REASON) != 0 || watch->cancels == 0) return false;
    watch->cancels--;
    if (watch->must_be_told > 0) watch->must_be_told--;
    return true;
}

static void take_canceled(const struct said *said)
{
    const Etcdserverpb__WatchResponse *response = said->response;
    struct sim_watcher *watcher = said->watcher;
    bool is_leaving = watcher->state == SIM_WATCHER_LEAVING;
    uint32_t number = (uint32_t)(watcher - said->stream->watchers);
    demand(said, response->n_events == 0, "W12 an end has no events", watcher->id, (int64_t)response->n_events);
    struct sim_awaited *awaited = is_leaving ? awaited_of(said->stream, true, number) : NULL;
    if (awaited != NULL) awaited->is_void = true; /* answered; or it came too late */
    watcher->state = SIM_WATCHER_NONE;
    bool has_watcher = false;
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) has_watcher = has_watcher || said->stream->watchers[i].state >= SIM_WATCHER_LIVE;
    if (!has_watcher) said->stream->progress_is_free = true;
    if (response->compact_revision == 0) {
        demand(said, is_leaving || is_by_operator(said), "W12 nobody ends without a reason", watcher->id, watcher->next);
        if (!is_leaving) watcher->state = SIM_WATCHER_WANTED; /* an operator may not know that it is needed */
        return;
    }
    said->watch->counts.compacted++;
    demand(said, response->compact_revision == said->sent->mark, "W11 a compacted watch is told the mark", said->sent->mark, response->compact_revision);
    demand(said, watcher->next < response->compact_revision, "W11 only who needs what is compacted", watcher->next, response->compact_revision);
    if (is_leaving) return;
    watcher->state = SIM_WATCHER_WANTED; /* as clients do: from there on */
    watcher->next = response->compact_revision;
}

static void take_answer_of_all(const struct said *said)
{
    struct sim_watch_stream *stream = said->stream;
    demand(said, said->response->n_events == 0 && stream->progress_answered < stream->progress_asked, "W7 progress that nobody asked for", stream->progress_asked, stream->progress_answered);
    stream->progress_answered++;
    stream->progress_revision = said->response->header->revision;
    said->watch->counts.progress++;
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) {
        bool is_there = stream->watchers[i].state == SIM_WATCHER_LIVE || stream->watchers[i].state == SIM_WATCHER_LEAVING;
        if (is_there) take_progress(said, &stream->watchers[i]);
    }
}

static struct sim_watcher *find(struct sim_watch_stream *stream, int64_t id)
{
    for (uint32_t i = 0; i < SIM_WATCH_WATCHERS; i++) {
        struct sim_watcher *watcher = &stream->watchers[i];
        if (watcher->id == id && (watcher->state == SIM_WATCHER_LIVE || watcher->state == SIM_WATCHER_LEAVING)) return watcher;
    }
    return NULL;
}

static void take(struct said *said)
{
    const Etcdserverpb__WatchResponse *response = said->response;
    demand(said, response->header != NULL && response->header->revision <= said->sent->revision, "W7 no word of what the member has not published",
           response->header == NULL ? -1 : response->header->revision, said->sent->revision);
    if (response->created) {
        take_created(said);
        return;
    }
    if (response->watch_id == -1) {
        take_answer_of_all(said);
        return;
    }
    said->watcher = find(said->stream, response->watch_id);
    demand(said, said->watcher != NULL, "W12 a word for a watcher that is not there", response->watch_id, response->canceled);
    if (response->canceled) {
        take_canceled(said);
    } else if (response->n_events > 0) {
        take_events(said);
    } else {
        demand(said, said->watcher->progress, "W7 a notification that nobody asked for", response->watch_id, 0);
        take_progress(said, said->watcher);
        said->watcher->progress_count++;
        said->watch->counts.notifications++;
    }
}

void sim_watch_check(struct sim_watch *watch, struct sim_watch_stream *stream, struct slice bytes, const struct world_view_point *sent)
{
    struct said said = {.watch = watch, .stream = stream, .sent = sent};
    said.changes = world_changes(watch->world, &said.change_count);
    Etcdserverpb__WatchResponse *response = etcdserverpb__watch_response__unpack(NULL, bytes.size, bytes.data);
    if (response == NULL) world_watch_broken(watch->world, "a watch message is none", stream->member, stream->stream, bytes.size);
    said.response = response;
    take(&said);
    etcdserverpb__watch_response__free_unpacked(response, NULL);
}
