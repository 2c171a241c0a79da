/* place: see the header. What the library's thread tells is kept behind a mutex, and main is rung. */
#include "place.h"

#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "print.h"

struct place {
    struct live *live;
    struct kvd_lock *lock;
    uint64_t start_ns;
    pthread_mutex_t mutex;    /* of what follows */
    enum kvd_lock_state state;
    bool was_held;
    struct calls_answer loss; /* once it is lost: why */
};

static void on_news(void *context, const struct kvd_lock_news *news)
{
    struct place *place = context;
    pthread_mutex_lock(&place->mutex);
    place->state = news->state;
    place->was_held = place->was_held || news->state == KVD_LOCK_HELD;
    if (news->state == KVD_LOCK_LOST) {
        place->loss.code = (unsigned)news->code <= ERR_CODE_UNAUTHENTICATED ? (enum err_code)news->code : ERR_CODE_UNKNOWN;
        place->loss.text = alloc_string(news->text);
        place->loss.is_unreachable = news->is_unreachable;
        place->loss.took_ns = clock_mono_ns() - place->start_ns;
    }
    pthread_mutex_unlock(&place->mutex);
    calls_ring(place->live->ctl->client);
}

static enum kvd_lock_state state_of(struct place *place)
{
    pthread_mutex_lock(&place->mutex);
    enum kvd_lock_state state = place->state;
    pthread_mutex_unlock(&place->mutex);
    return state;
}

struct place *place_take(struct live *live, const char *name, int64_t ttl, const char *value)
{
    struct place *place = ALLOC(struct place);
    const struct kvd_lock_options options = {.ttl = ttl > 0 ? ttl : 0, .value = kvd_text(value)};
    place->live = live;
    place->start_ns = clock_mono_ns();
    pthread_mutex_init(&place->mutex, NULL);
    buf_init(&place->loss.body);
    enum kvd_code code = kvd_lock_open(calls_client(live->ctl->client), kvd_text(name), &options, on_news, place, &place->lock);
    ASSERT(code == KVD_OK);
    return place;
}

/* It does not change any more once it is lost. */
static enum ctl_exit fail_lost(const struct place *place)
{
    const struct calls_answer *loss = &place->loss;
    if (!place->was_held) return ctl_fail_answer(place->live->ctl, loss);
    return ctl_fail(CTL_ERROR, "session expired%s%s%s", loss->text[0] == '\0' ? "" : " (", loss->text, loss->text[0] == '\0' ? "" : ")");
}

enum ctl_exit place_wait(struct place *place, const char *interrupted)
{
    while (state_of(place) == KVD_LOCK_WAITS && ear_signal(place->live->ear) == 0) live_step(place->live);
    switch (state_of(place)) {
    case KVD_LOCK_HELD: return CTL_OK;
    case KVD_LOCK_LOST: return fail_lost(place);
    case KVD_LOCK_WAITS: break;
    }
    return ctl_fail(CTL_ERROR, "%s", interrupted);
}

static enum ctl_exit print_key(struct place *place)
{
    struct ctl *ctl = place->live->ctl;
    struct buf request;
    ProtobufCMessage *range = NULL;
    struct kvd_bytes key = kvd_lock_key(place->lock);
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_make(key.data, key.size));
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Range", buf_slice(&request), KVD_POLICY_READ,
                                         &etcdserverpb__range_response__descriptor, &range);
    buf_deinit(&request);
    if (code != CTL_OK) return code;
    code = print_range(ctl, (const Etcdserverpb__RangeResponse *)range);
    protobuf_c_message_free_unpacked(range, NULL);
    if (fflush(stdout) != 0 && code == CTL_OK) code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    return code;
}

enum ctl_exit place_hold(struct place *place)
{
    enum ctl_exit code = print_key(place);
    if (code != CTL_OK) return code;
    while (place_is_held(place) && ear_signal(place->live->ear) == 0) live_step(place->live);
    return place_is_held(place) ? CTL_OK : fail_lost(place);
}

bool place_is_held(struct place *place) { return state_of(place) == KVD_LOCK_HELD; }

struct kvd_lock *place_lock(struct place *place) { return place->lock; }

enum ctl_exit place_leave(struct place *place)
{
    enum kvd_code code = kvd_lock_close(place->lock);
    pthread_mutex_destroy(&place->mutex);
    calls_answer_deinit(&place->loss);
    alloc_free(place);
    return code == KVD_OK ? CTL_OK : ctl_fail(CTL_ERROR, "the place in the queue goes with its lease only: %s", kvd_code_text(code));
}
