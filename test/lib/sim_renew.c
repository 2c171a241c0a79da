/* sim_renew: see sim_renew.h. */
#include "lib/sim_renew.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/world_leases.h"
#include "lib/world_watch.h"
#include "lib/world_watchers.h"

#define REMEMBERED 64 /* renewals that are looked at for whether a lease must live */

static uint32_t below(struct sim_renew *renew, uint64_t limit) { return (uint32_t)tape_below(&renew->tape, limit); }

void sim_renew_init(struct sim_renew *renew, struct sim_clients *clients, const struct sim_renew_options *options)
{
    memset(renew, 0, sizeof(*renew));
    ASSERT(options->streams <= SIM_RENEW_STREAMS_MAX);
    renew->options = *options;
    renew->world = clients->world;
    renew->clients = clients;
    tape_init(&renew->tape, options->seed ^ UINT64_C(0x3c79ac492ba7b653), world_reel(renew->world), TAPE_RENEWALS);
}

void sim_renew_deinit(struct sim_renew *renew) { alloc_free(renew->renewals); }

/* --- answers --- */

static void demand(struct sim_renew *renew, const struct sim_renew_stream *stream, bool holds, const char *invariant, int64_t a, int64_t b)
{
    if (!holds) world_watch_broken(renew->world, invariant, stream->member, (uint64_t)a, (uint64_t)b);
}

static bool overlaps(const struct world_lease_entry *life, const uint64_t between_ns[2])
{
    return life->committed_ns <= between_ns[1] && (life->ended_ns == 0 || life->ended_ns >= between_ns[0]);
}

/* Until when what was said before promises, by the fastest clock. */
static uint64_t promised_ns(const struct sim_renew *renew, const struct world_lease_entry *life, uint64_t until_ns)
{
    uint64_t promised_ns = life->committed_ns + world_lease_least_ns(renew->world, life->ttl);
    size_t first = renew->count > REMEMBERED ? renew->count - REMEMBERED : 0;
    for (size_t i = first; i < renew->count; i++) {
        const struct sim_renewal *before = &renew->renewals[i];
        bool is_its = before->lease == life->id && before->ttl > 0 && before->between_ns[0] >= life->committed_ns && before->between_ns[1] < until_ns;
        uint64_t own_ns = before->between_ns[0] + world_lease_least_ns(renew->world, before->ttl);
        if (is_its && own_ns > promised_ns) promised_ns = own_ns;
    }
    return promised_ns;
}

/* It was there before the member heard of it, and long enough behind its answer. */
static bool must_live(const struct sim_renew *renew, const struct sim_renewal *renewal)
{
    const struct world_lease_entry *life = world_lease_newest(renew->world, renewal->lease);
    while (life != NULL && life->committed_ns >= renewal->between_ns[0]) life = world_lease_earlier(renew->world, life);
    if (life == NULL || life->ended_ns > 0) return false;
    return renewal->between_ns[1] < promised_ns(renew, life, renewal->between_ns[0]);
}

static bool may_live(const struct sim_renew *renew, const struct sim_renewal *renewal)
{
    const struct world_lease_entry *life = world_lease_newest(renew->world, renewal->lease);
    while (life != NULL && !(overlaps(life, renewal->between_ns) && life->ttl == renewal->ttl)) life = world_lease_earlier(renew->world, life);
    return life != NULL;
}

static void remember(struct sim_renew *renew, const struct sim_renewal *renewal)
{
    if (renew->count == renew->capacity) {
        renew->capacity = renew->capacity == 0 ? 256 : renew->capacity * 2;
        renew->renewals = alloc_resize(renew->renewals, renew->capacity * sizeof(*renew->renewals));
    }
    renew->renewals[renew->count++] = *renewal;
}

static void take_answer(struct sim_renew *renew, struct sim_renew_stream *stream, struct slice bytes, uint64_t sent_ns)
{
    const struct sim_renew_request *request = &stream->awaited[0];
    Etcdserverpb__LeaseKeepAliveResponse *answer = etcdserverpb__lease_keep_alive_response__unpack(NULL, bytes.size, bytes.data);
    demand(renew, stream, answer != NULL && answer->header != NULL && answer->header->revision > 0, "an answer is no answer", 0, (int64_t)bytes.size);
    demand(renew, stream, stream->awaited_count > 0 && request->was_heard, "L4 a renewal is answered once", answer->id, answer->ttl);
    demand(renew, stream, answer->id == request->lease, "L4 renewals are answered in their order", request->lease, answer->id);
    struct sim_renewal renewal = {.lease = answer->id, .ttl = answer->ttl, .between_ns = {request->heard_ns, sent_ns}};
    etcdserverpb__lease_keep_alive_response__free_unpacked(answer, NULL);
    demand(renew, stream, renewal.ttl >= 0, "L9 a TTL is a TTL", renewal.lease, renewal.ttl);
    if (renewal.ttl > 0) demand(renew, stream, may_live(renew, &renewal), "L5 a lease that is over is not renewed", renewal.lease, renewal.ttl);
    else demand(renew, stream, !must_live(renew, &renewal), "L5 a lease that lives is renewed", renewal.lease, renewal.ttl);
    remember(renew, &renewal);
    renew->counts.renewed += renewal.ttl > 0;
    renew->counts.gone += renewal.ttl == 0;
    stream->awaited_count--;
    memmove(stream->awaited, stream->awaited + 1, stream->awaited_count * sizeof(stream->awaited[0]));
}

/* --- streams --- */

static void note_heard(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    struct world_view_point point;
    for (uint32_t i = 0; i < stream->awaited_count; i++) {
        struct sim_renew_request *request = &stream->awaited[i];
        if (request->was_heard) continue;
        if (!world_stream_heard(renew->world, stream->stream, &point)) return;
        request->was_heard = true;
        request->heard_ns = point.ns;
    }
}

static void forget_stream(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    stream->stream = 0;
    stream->awaited_count = 0;
    stream->is_ending = false;
    stream->next_ns = world_now_ns(renew->world) + tape_below(&renew->tape, renew->options.think_ns + 1);
}

static void take_end(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    enum err err = ERR_OK;
    bool died = false;
    if (!world_stream_is_over(renew->world, stream->stream, &err, &died)) return;
    bool is_excused = died || err == ERR_STOPPED || err == ERR_NO_LEADER || err == ERR_TOO_MANY_REQUESTS || err == ERR_TIMEOUT;
    demand(renew, stream, is_excused || (err == ERR_OK && stream->is_ending), "a stream ends for a reason", (int64_t)stream->stream, (int64_t)err);
    demand(renew, stream, is_excused || stream->awaited_count == 0, "L4 what was asked before the end is answered", (int64_t)stream->stream, stream->awaited_count);
    forget_stream(renew, stream);
}

static void read_stream(struct sim_renew *renew, struct sim_renew_stream *stream, bool is_over)
{
    struct world_view_point sent;
    struct blob *bytes;
    uint64_t now_ns = world_now_ns(renew->world);
    if (stream->is_slow && !is_over && stream->read_ns > now_ns) return;
    if (stream->is_slow && !is_over) stream->read_ns = now_ns + 1 + tape_below(&renew->tape, renew->options.slow_ns + 1);
    note_heard(renew, stream);
    while ((bytes = world_stream_take(renew->world, stream->stream, &sent)) != NULL) {
        take_answer(renew, stream, blob_slice(bytes), sent.ns);
        blob_unref(bytes);
        if (stream->is_slow && !is_over) break;
    }
    take_end(renew, stream);
}

static void open_stream(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    uint32_t members = renew->options.members, first = below(renew, members);
    for (uint32_t i = 0; i < members; i++) {
        stream->member = (first + i) % members;
        if (!world_listens(renew->world, stream->member) || world_is_paused(renew->world, stream->member)) continue;
        stream->is_slow = tape_chance(&renew->tape, renew->options.slow_percent, 100);
        stream->requires_leader = below(renew, 4) == 3;
        stream->stream = world_stream_open(renew->world, stream->member, WATCH_METHOD_KEEP_ALIVE, stream->requires_leader, stream->is_slow);
        renew->counts.streams++;
        return;
    }
}

static void ask(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    struct buf message;
    int64_t lease = sim_leases_draw(renew->clients, &renew->tape);
    ASSERT(stream->awaited_count < SIM_RENEW_AWAITED);
    buf_init(&message);
    buf_put_pb_varint(&message, 1, (uint64_t)lease);
    stream->awaited[stream->awaited_count++] = (struct sim_renew_request){.lease = lease};
    world_stream_say(renew->world, stream->stream, buf_slice(&message));
    renew->counts.asked++;
    buf_deinit(&message);
}

static void act(struct sim_renew *renew, struct sim_renew_stream *stream)
{
    uint32_t dice = below(renew, 32), count = 1 + (dice % 4 == 3 ? below(renew, 4) : 0);
    if (stream->is_ending) return;
    if (dice == 31 && below(renew, 4) == 3) {
        world_stream_leave(renew->world, stream->stream);
        forget_stream(renew, stream);
    } else if (dice == 30 && below(renew, 4) == 3) {
        stream->is_ending = true;
        world_stream_end(renew->world, stream->stream);
    } else {
        for (uint32_t i = 0; i < count && stream->awaited_count < SIM_RENEW_AWAITED; i++) ask(renew, stream);
    }
}

void sim_renew_step(struct sim_renew *renew, bool is_over)
{
    for (uint32_t i = 0; i < renew->options.streams; i++) {
        struct sim_renew_stream *stream = &renew->streams[i];
        uint64_t now_ns = world_now_ns(renew->world);
        if (stream->stream != 0) read_stream(renew, stream, is_over);
        if (is_over || stream->next_ns > now_ns) continue;
        if (stream->stream == 0) open_stream(renew, stream);
        else act(renew, stream);
        stream->next_ns = now_ns + tape_below(&renew->tape, renew->options.think_ns + 1);
    }
}

/* --- the end --- */

bool sim_renew_end(struct sim_renew *renew)
{
    bool is_over = true;
    for (uint32_t i = 0; i < renew->options.streams; i++) {
        struct sim_renew_stream *stream = &renew->streams[i];
        if (stream->stream == 0) continue;
        is_over = false;
        if (stream->is_ending) continue;
        stream->is_ending = true;
        world_stream_end(renew->world, stream->stream);
    }
    return is_over;
}

void sim_renew_check(struct sim_renew *renew)
{
    ASSERT(renew->count == 0 || renew->renewals != NULL);
    for (size_t i = 0; i < renew->count; i++) {
        const struct sim_renewal *renewal = &renew->renewals[i];
        if (renewal->ttl == 0) continue;
        bool holds = world_lease_keeps(renew->world, renewal->lease, renewal->between_ns, renewal->between_ns[0], renewal->ttl);
        if (!holds) world_watch_broken(renew->world, "L1 a lease that was renewed lives for its TTL", 0, (uint64_t)renewal->lease, renewal->between_ns[0]);
    }
}
