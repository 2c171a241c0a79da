/* elect_command: see the header. An observer sees every value that a leader proclaims, and every leader that was there when it looked; one
 * that came and went between two looks is not seen, as with etcdctl. */
#include "elect_command.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "kv_request.h"
#include "print.h"
#include "print_message.h"
#include "queue.h"
#include "watcher.h"

#define TTL_S 60 /* etcdctl's */
#define SORT_ASCEND 1
#define SORT_BY_CREATE 2

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
    struct buf prefix;
    int64_t count;            /* of what is printed: 1 in later news of a leader who was there when we looked, as etcdctl has it */
    int64_t revision;         /* up to where all is printed */
    Mvccpb__KeyValue *leader; /* owned; NULL = none is known */
    bool wants_leader;        /* the watch is for one to come; else for what becomes of the one there is */
    enum ctl_exit code;
};

static void set_leader(struct observer *observer, const Mvccpb__KeyValue *kv)
{
    if (observer->leader != NULL) protobuf_c_message_free_unpacked(&observer->leader->base, NULL);
    observer->leader = NULL;
    if (kv == NULL) return;
    struct buf copy;
    buf_init(&copy);
    size_t size = mvccpb__key_value__get_packed_size(kv);
    mvccpb__key_value__pack(kv, buf_extend(&copy, size));
    observer->leader = (Mvccpb__KeyValue *)ctl_unpack(&mvccpb__key_value__descriptor, buf_slice(&copy));
    ASSERT(observer->leader != NULL);
    buf_deinit(&copy);
}

static void print_leader(struct observer *observer, Etcdserverpb__ResponseHeader *header, Mvccpb__KeyValue *kv, int64_t count)
{
    Etcdserverpb__RangeResponse range = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    range.header = header;
    range.kvs = &kv;
    range.n_kvs = 1;
    range.count = count;
    observer->code = print_range(observer->live.ctl, &range);
    if (fflush(stdout) != 0 && observer->code == CTL_OK) observer->code = ctl_fail(CTL_ERROR, "standard output cannot be written");
}

static bool on_response(void *context, const Etcdserverpb__WatchResponse *response)
{
    struct observer *observer = context;
    for (size_t i = 0; i < response->n_events && observer->code == CTL_OK; i++) {
        Mvccpb__KeyValue *kv = response->events[i]->kv;
        bool is_put = response->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__PUT;
        observer->revision = kv->mod_revision;
        if (observer->wants_leader && !is_put) continue;
        if (!is_put) return false;
        if (!observer->wants_leader) {
            print_leader(observer, response->header, kv, observer->count);
            continue;
        }
        Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
        if (response->header != NULL) header = *response->header;
        header.revision = kv->mod_revision;
        print_leader(observer, &header, kv, 0);
        set_leader(observer, kv);
        return false;
    }
    return observer->code == CTL_OK;
}

static bool goes_on(void *context)
{
    struct observer *observer = context;
    return observer->code == CTL_OK && ear_signal(observer->live.ear) == 0;
}

/* Of a watch that was canceled (compaction) one looks again. */
static void watch(struct observer *observer)
{
    struct buf request;
    buf_init(&request);
    if (observer->wants_leader) {
        buf_put_pb_bytes(&request, 1, buf_slice(&observer->prefix));
        kv_request_prefix_end(&request, buf_slice(&observer->prefix));
    } else {
        buf_put_pb_bytes(&request, 1, slice_make(observer->leader->key.data, observer->leader->key.len));
    }
    struct watcher *watcher = watcher_new(&observer->live, buf_slice(&request), observer->revision + 1, on_response, observer);
    buf_deinit(&request);
    while (goes_on(observer) && !watcher_is_over(watcher)) live_step(&observer->live);
    if (watcher_is_over(watcher) && watcher_refusal(watcher)->code != ERR_CODE_OK)
        observer->code = ctl_fail_answer(observer->live.ctl, watcher_refusal(watcher));
    watcher_free(watcher);
}

/* The oldest key, and when that was. */
static void look(struct observer *observer)
{
    struct buf request;
    struct calls_answer answer;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, buf_slice(&observer->prefix));
    kv_request_prefix_end(&request, buf_slice(&observer->prefix));
    buf_put_pb_varint(&request, 3, 1);
    buf_put_pb_varint(&request, 5, SORT_ASCEND);
    buf_put_pb_varint(&request, 6, SORT_BY_CREATE);
    struct calls_request call = {.path = "/etcdserverpb.KV/Range",
                                      .body = buf_slice(&request),
                                      .policy = KVD_POLICY_READ,
                                      .timeout_ns = observer->live.ctl->globals.command_timeout_ns,
                                      .endpoint = CALLS_ANY};
    live_call(&observer->live, &call, goes_on, observer, &answer);
    buf_deinit(&request);
    Etcdserverpb__RangeResponse *range = NULL;
    if (answer.code == ERR_CODE_OK)
        range = (Etcdserverpb__RangeResponse *)ctl_unpack(&etcdserverpb__range_response__descriptor, buf_slice(&answer.body));
    if (range != NULL && range->header != NULL) {
        observer->revision = range->header->revision;
        observer->count = range->count;
        set_leader(observer, range->n_kvs == 0 ? NULL : range->kvs[0]);
        if (range->n_kvs > 0) print_leader(observer, range->header, range->kvs[0], 0);
    } else if (goes_on(observer)) {
        observer->code = answer.code == ERR_CODE_OK ? ctl_fail(CTL_ERROR, "the server's answer is no RangeResponse")
                                                    : ctl_fail_answer(observer->live.ctl, &answer);
    }
    if (range != NULL) protobuf_c_message_free_unpacked(&range->base, NULL);
    calls_answer_deinit(&answer);
}

static enum ctl_exit observe(struct ctl *ctl, const char *name)
{
    struct observer observer = {.code = CTL_OK};
    live_init(&observer.live, ctl, false);
    buf_init(&observer.prefix);
    buf_printf(&observer.prefix, "%s/", name);
    while (goes_on(&observer)) {
        look(&observer);
        observer.wants_leader = observer.leader == NULL;
        if (goes_on(&observer) && observer.wants_leader) watch(&observer);
        observer.wants_leader = false;
        if (goes_on(&observer) && observer.leader != NULL) watch(&observer);
    }
    set_leader(&observer, NULL);
    buf_deinit(&observer.prefix);
    live_deinit(&observer.live);
    return observer.code;
}

/* --- campaign ---------------------------------------------------------------------------------------------------------------- */

static enum ctl_exit campaign(struct ctl *ctl, const char *name, const char *proposal)
{
    struct live live;
    struct queue queue;
    live_init(&live, ctl, false);
    enum ctl_exit code = queue_join(&queue, &live, name, TTL_S, proposal);
    if (code == CTL_OK) code = queue_wait(&queue);
    if (code == CTL_OK && ear_signal(live.ear) != 0)
        code = ctl_fail(CTL_ERROR, "interrupted before we were elected");
    else if (code == CTL_OK)
        code = queue_hold(&queue);
    enum ctl_exit left = queue_leave(&queue);
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
