/* elect_command: see the header. An observer sees every value that a leader proclaims, and every leader that was there when it looked; one
 * that came and went between two looks is not seen, as with etcdctl. */
#include "elect_command.h"

#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "place.h"
#include "print.h"
#include "print_message.h"

#define TTL_S 60 /* etcdctl's */

int elect_command_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL);
    out_flags[0] = (struct flag){"listen", 'l', FLAG_BOOL, &options->listen, NULL, "do not run: print who leads, and each change", "Options",
                                 false};
    return 1;
}

/* --- observe ----------------------------------------------------------------------------------------------------------------- */

struct observer {
    struct live live;
    pthread_mutex_t mutex; /* of what follows */
    bool is_over;
    struct calls_answer end; /* code OK: what was to be printed could not be */
};

static ProtobufCBinaryData binary(struct kvd_bytes bytes)
{
    return (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data}; /* nobody writes there */
}

/* As etcdctl shows it: a range's response with the leader's key. */
static enum ctl_exit print_leader(const struct ctl *ctl, const struct kvd_leader_news *news)
{
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT, *kvs = &kv;
    Etcdserverpb__RangeResponse range = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    header.cluster_id = news->header.cluster_id;
    header.member_id = news->header.member_id;
    header.revision = news->header.revision;
    header.raft_term = news->header.raft_term;
    kv.key = binary(news->leader->key);
    kv.value = binary(news->leader->value);
    kv.create_revision = news->leader->create_revision;
    kv.mod_revision = news->leader->mod_revision;
    kv.version = news->leader->version;
    kv.lease = news->leader->lease;
    range.header = &header;
    range.kvs = &kvs;
    range.n_kvs = 1;
    enum ctl_exit code = print_range(ctl, &range);
    return fflush(stdout) == 0 || code != CTL_OK ? code : CTL_ERROR;
}

/* On the library's thread, which alone prints meanwhile: where nobody reads what is printed, the server is held up. */
static void on_news(void *context, const struct kvd_leader_news *news)
{
    struct observer *observer = context;
    bool is_good = news->code == KVD_OK && (news->leader == NULL || print_leader(observer->live.ctl, news) == CTL_OK);
    if (is_good) return;
    pthread_mutex_lock(&observer->mutex);
    if (!observer->is_over) {
        observer->is_over = true;
        observer->end.code = (unsigned)news->code <= ERR_CODE_UNAUTHENTICATED ? (enum err_code)news->code : ERR_CODE_UNKNOWN;
        observer->end.text = alloc_string(news->text);
        observer->end.is_unreachable = news->is_unreachable;
        observer->end.took_ns = clock_mono_ns() - observer->end.start_ns;
    }
    pthread_mutex_unlock(&observer->mutex);
    calls_ring(observer->live.ctl->client);
}

static bool is_over(struct observer *observer)
{
    pthread_mutex_lock(&observer->mutex);
    bool is_over = observer->is_over;
    pthread_mutex_unlock(&observer->mutex);
    return is_over;
}

static enum ctl_exit observe(struct ctl *ctl, const char *name)
{
    struct observer observer = {.is_over = false};
    struct kvd_observer *opened = NULL;
    enum ctl_exit code = CTL_OK;
    live_init(&observer.live, ctl, false);
    pthread_mutex_init(&observer.mutex, NULL);
    buf_init(&observer.end.body);
    observer.end.start_ns = clock_mono_ns();
    enum kvd_code started = kvd_observer_open(calls_client(ctl->client), kvd_text(name), on_news, &observer, &opened);
    ASSERT(started == KVD_OK);
    while (!is_over(&observer) && ear_signal(observer.live.ear) == 0) live_step(&observer.live);
    kvd_observer_close(opened);
    if (observer.is_over && observer.end.code == ERR_CODE_OK) code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    else if (observer.is_over) code = ctl_fail_answer(ctl, &observer.end);
    calls_answer_deinit(&observer.end);
    pthread_mutex_destroy(&observer.mutex);
    live_deinit(&observer.live);
    return code;
}

/* --- campaign ---------------------------------------------------------------------------------------------------------------- */

static enum ctl_exit campaign(struct ctl *ctl, const char *name, const char *proposal)
{
    struct live live;
    live_init(&live, ctl, false);
    struct place *place = place_take(&live, name, TTL_S, proposal);
    enum ctl_exit code = place_wait(place, "interrupted before we were elected");
    if (code == CTL_OK) code = place_hold(place);
    enum ctl_exit left = place_leave(place);
    live_deinit(&live);
    return code == CTL_OK ? left : code;
}

enum ctl_exit elect_command_run(struct ctl *ctl, int count, const char **words)
{
    if (count != 1 && count != 2) return ctl_fail(CTL_BAD_ARGS, "elect takes one election name argument and an optional proposal argument");
    if (ctl->format == CTL_TABLE) return print_message_no_format(ctl);
    if (count == 1 && !ctl->options.listen) return ctl_fail(CTL_BAD_ARGS, "no proposal argument but -l not set");
    if (count == 2 && ctl->options.listen) return ctl_fail(CTL_BAD_ARGS, "proposal given but -l is set");
    return ctl->options.listen ? observe(ctl, words[0]) : campaign(ctl, words[0], words[1]);
}
