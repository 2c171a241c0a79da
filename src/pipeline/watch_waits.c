/* watch_waits: see watch_waits.h. */
#include "pipeline/watch_waits.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "pipeline/watch_actor.h"
#include "rpc/lock_bytes.h"

#define ADDRESS "a call of this member" /* in lists of who watches */

struct watch_wait {
    struct list node;
    uint64_t call;
    struct watch_stream *stream;
    bool require_leader;
};

static uint64_t key_of(const struct watch_stream *stream) { return (uint64_t)(uintptr_t)stream; }

void watch_waits_init(struct watch_waits *waits)
{
    list_init(&waits->all);
    map_init(&waits->by_call);
    map_init(&waits->by_stream);
}

static void forget(struct watch_waits *waits, struct watch_wait *wait)
{
    (void)map_take(&waits->by_call, wait->call);
    (void)map_take(&waits->by_stream, key_of(wait->stream));
    list_remove(&wait->node);
    alloc_free(wait);
}

void watch_waits_deinit(struct watch_waits *waits)
{
    while (!list_is_empty(&waits->all)) forget(waits, LIST_ENTRY(waits->all.next, struct watch_wait, node));
    map_deinit(&waits->by_call);
    map_deinit(&waits->by_stream);
}

/* Takes the reference to the events over. The lane has room: net has waits_max calls that wait, and each gets one NEWS for its one WAIT. */
static void tell(struct watch_actor *role, uint64_t call, enum err err, struct slice head, struct blob *events)
{
    struct mail mail = {.kind = MAIL_NEWS, .news = {.call = call, .events = events, .err = err}};
    if (err == ERR_OK) mail.news.head = blob_copy(head);
    lane_must_post(role->lanes.to_net, &mail);
}

static void end(struct watch_actor *role, struct watch_wait *wait)
{
    watch_close(role->watch, wait->stream);
    if (wait->require_leader) role->leader_count--;
    forget(&role->waits, wait);
}

static void end_without_news(struct watch_actor *role, struct watch_wait *wait, enum err err)
{
    tell(role, wait->call, err, slice_empty(), NULL);
    end(role, wait);
}

static void open(struct watch_actor *role, const struct mail *mail, const struct mvcc_view *view, uint64_t now_ns)
{
    struct watch_wait *wait = ALLOC(struct watch_wait);
    struct reader requests = reader_make(blob_slice(mail->wait.requests));
    struct pb_field request;
    *wait = (struct watch_wait){.call = mail->wait.call, .require_leader = mail->wait.require_leader};
    wait->stream = watch_open(role->watch, wait->call, slice_from_string(ADDRESS));
    list_push_back(&role->waits.all, &wait->node);
    bool is_new = map_put(&role->waits.by_call, wait->call, wait);
    ASSERT(is_new);
    is_new = map_put(&role->waits.by_stream, key_of(wait->stream), wait);
    ASSERT(is_new);
    if (wait->require_leader) role->leader_count++;
    if (wait->require_leader && role->look_ns == CLOCK_NEVER) role->look_ns = now_ns;
    while (reader_pb_field(&requests, &request)) {
        enum err err = watch_request(role->watch, wait->stream, request.bytes, view, now_ns);
        ASSERT(err == ERR_OK);
    }
    ASSERT(!requests.bad);
}

bool watch_waits_mail(struct watch_actor *role, const struct mail *mail, const struct mvcc_view *view, uint64_t now_ns)
{
    if (mail->kind == MAIL_WAIT && role->is_stopping) {
        tell(role, mail->wait.call, ERR_STOPPED, slice_empty(), NULL);
    } else if (mail->kind == MAIL_WAIT) {
        open(role, mail, view, now_ns);
    } else if (mail->kind == MAIL_UNWAIT) {
        struct watch_wait *wait = map_get(&role->waits.by_call, mail->stream.call);
        if (wait != NULL) end_without_news(role, wait, ERR_CANCELED);
    } else {
        return false;
    }
    return true;
}

bool watch_waits_frame(struct watch_actor *role, const struct watch_frame *frame)
{
    struct watch_wait *wait = map_get(&role->waits.by_stream, key_of(frame->stream));
    struct lock_head head;
    if (wait == NULL) return false;
    if (frame->err != ERR_OK) {
        end_without_news(role, wait, frame->err);
        return true;
    }
    lock_bytes_read_head(frame->head, &head);
    if (head.is_created && !head.is_canceled) {
        watch_sent(role->watch, wait->stream);
        return true;
    }
    tell(role, wait->call, ERR_OK, frame->head, frame->events);
    end(role, wait);
    return true;
}

void watch_waits_end_all(struct watch_actor *role, bool only_with_leader, enum err err)
{
    struct list *at = role->waits.all.next;
    while (at != &role->waits.all) {
        struct watch_wait *wait = LIST_ENTRY(at, struct watch_wait, node);
        at = at->next;
        if (!only_with_leader || wait->require_leader) end_without_news(role, wait, err);
    }
}
