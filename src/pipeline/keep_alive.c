/* keep_alive: see keep_alive.h. */
#include "pipeline/keep_alive.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "raft/raft.h"

struct keep_alive_request {
    struct list node;              /* waiting, or of a batch; of none once it is answered */
    struct list of_stream;
    struct keep_alive_stream *stream; /* NULL: it ended, and the request is still in a batch */
    int64_t lease;
    int64_t ttl;
    uint64_t deadline_ns;
    bool is_in_batch;
    bool is_answered;
};
struct keep_alive_stream {
    struct list node;
    uint64_t name;
    uint64_t opened_ns;
    struct list requests;          /* in the order in which they came */
    uint32_t request_count;
    bool require_leader;
    bool is_receiving, is_sending;
    bool is_over;                  /* the client has said its last word: what it asked is answered, then */
    enum err last_err;             /* it ends with this */
    bool is_ended;                 /* CLOSED has not come yet */
};

/* --- streams --- */

static void free_request(struct keep_alive *keeper, struct keep_alive_request *request)
{
    list_remove(&request->node);
    list_remove(&request->of_stream);
    ASSERT(keeper->request_count > 0);
    keeper->request_count--;
    alloc_free(request);
}

/* Those in a batch come back to nobody. */
static void drop_requests(struct keep_alive *keeper, struct keep_alive_stream *stream)
{
    struct list *node;
    while ((node = list_pop_front(&stream->requests)) != NULL) {
        struct keep_alive_request *request = LIST_ENTRY(node, struct keep_alive_request, of_stream);
        request->stream = NULL;
        if (!request->is_in_batch) free_request(keeper, request);
    }
    stream->request_count = 0;
}

static void end(struct keep_alive *keeper, struct keep_alive_stream *stream, enum err err)
{
    if (stream->is_ended) return;
    stream->is_ended = true;
    if (stream->require_leader) keeper->leader_count--;
    drop_requests(keeper, stream);
    keeper->port->table->finish(keeper->port, stream->name, err);
    rpc_metrics_end(&keeper->shared->rpc, keeper->method, err, keeper->now_ns - stream->opened_ns);
}

static void receive(struct keep_alive *keeper, struct keep_alive_stream *stream)
{
    bool has_room = stream->request_count < KEEP_ALIVE_STREAM_MAX &&
                    (stream->request_count == 0 || keeper->request_count < KEEP_ALIVE_REQUESTS_MAX);
    if (stream->is_ended || stream->is_over || stream->is_receiving || !has_room) return;
    stream->is_receiving = true;
    keeper->port->table->next(keeper->port, stream->name);
}

static void encode(struct keep_alive *keeper, const struct keep_alive_request *request, int64_t revision)
{
    buf_clear(&keeper->out);
    keeper->env.term = SHARED_GET(keeper->shared, term);
    service_put_header(&keeper->env, revision, &keeper->out);
    lease_request_put_kept_alive(request->lease, request->ttl, &keeper->out);
}

/* The next answers leave, as far as they are there and the stream takes them. */
static void send_next(struct keep_alive *keeper, struct keep_alive_stream *stream, int64_t revision)
{
    while (!stream->is_ended && !stream->is_sending && !list_is_empty(&stream->requests)) {
        struct keep_alive_request *request = LIST_ENTRY(stream->requests.next, struct keep_alive_request, of_stream);
        if (!request->is_answered) return;
        encode(keeper, request, revision);
        METRIC_ADD(&keeper->shared->metrics, client_sent_bytes, keeper->out.size);
        rpc_metrics_send(&keeper->shared->rpc, keeper->method);
        stream->is_sending = !keeper->port->table->send(keeper->port, stream->name, buf_slice(&keeper->out), NULL);
        stream->request_count--;
        free_request(keeper, request);
        receive(keeper, stream);
    }
    if (!stream->is_sending && list_is_empty(&stream->requests) && stream->is_over) end(keeper, stream, stream->last_err);
}

/* --- events --- */

static void take_open(struct keep_alive *keeper, const struct watch_event *event)
{
    struct keep_alive_stream *stream = ALLOC(struct keep_alive_stream);
    stream->name = event->stream;
    stream->opened_ns = keeper->now_ns;
    stream->require_leader = event->require_leader;
    list_init(&stream->requests);
    bool is_new = map_put(&keeper->names, stream->name, stream);
    ASSERT(is_new);
    list_push_back(&keeper->streams, &stream->node);
    keeper->stream_count++;
    if (stream->require_leader) keeper->leader_count++;
    receive(keeper, stream);
}

static void take_message(struct keep_alive *keeper, struct keep_alive_stream *stream, const struct watch_event *event, int64_t revision,
                         uint64_t now_ns)
{
    int64_t lease = 0;
    stream->is_receiving = false;
    if (stream->is_ended) return;
    stream->last_err = event->err;
    if (event->ok && event->err == ERR_OK) stream->last_err = lease_request_parse_keep_alive(event->body, &lease);
    if (stream->last_err != ERR_OK) METRIC_ADD(&keeper->shared->metrics, keep_alive_receive_failures, 1);
    if (!event->ok || stream->last_err != ERR_OK) {
        stream->is_over = true;
        send_next(keeper, stream, revision);
        return;
    }
    METRIC_ADD(&keeper->shared->metrics, client_received_bytes, event->body.size);
    struct keep_alive_request *request = ALLOC(struct keep_alive_request);
    *request = (struct keep_alive_request){.stream = stream, .lease = lease, .deadline_ns = now_ns + keeper->config->request_timeout_ns};
    list_push_back(&keeper->waiting, &request->node);
    list_push_back(&stream->requests, &request->of_stream);
    stream->request_count++;
    keeper->request_count++;
    receive(keeper, stream);
}

static void take_sent(struct keep_alive *keeper, struct keep_alive_stream *stream, bool ok, int64_t revision)
{
    stream->is_sending = false;
    if (!ok) {
        METRIC_ADD(&keeper->shared->metrics, keep_alive_send_failures, 1);
        end(keeper, stream, ERR_OK);
    }
    send_next(keeper, stream, revision);
}

static void forget(struct keep_alive *keeper, struct keep_alive_stream *stream)
{
    ASSERT(stream->is_ended && stream->request_count == 0);
    (void)map_take(&keeper->names, stream->name);
    list_remove(&stream->node);
    keeper->stream_count--;
    alloc_free(stream);
}

void keep_alive_take_event(struct keep_alive *keeper, const struct watch_event *event, int64_t revision, uint64_t now_ns)
{
    ASSERT(event->method == WATCH_METHOD_KEEP_ALIVE);
    keeper->now_ns = now_ns;
    if (event->kind == WATCH_OPEN) {
        take_open(keeper, event);
        return;
    }
    struct keep_alive_stream *stream = map_get(&keeper->names, event->stream);
    if (stream == NULL) return; /* turned away when it came */
    switch (event->kind) {
    case WATCH_MESSAGE: take_message(keeper, stream, event, revision, now_ns); break;
    case WATCH_SENT: take_sent(keeper, stream, event->ok, revision); break;
    case WATCH_CLOSED: forget(keeper, stream); break;
    case WATCH_OPEN:
    default: ASSERT(false);
    }
}

/* --- batches --- */

static struct keep_alive_batch *find_batch(struct keep_alive *keeper, const struct read_batch *read)
{
    uint32_t at = 0;
    while (keeper->batches[at].read != read) {
        at++;
        ASSERT(at < KEEP_ALIVE_BATCHES_MAX);
    }
    return &keeper->batches[at];
}

static void fill(struct keep_alive *keeper, struct keep_alive_batch *batch, uint64_t now_ns)
{
    static const uint64_t NO_CALLS[KEEP_ALIVE_BATCH_MAX];
    struct lease_question questions[KEEP_ALIVE_BATCH_MAX];
    uint32_t count = 0;
    while (count < KEEP_ALIVE_BATCH_MAX && !list_is_empty(&keeper->waiting)) {
        struct keep_alive_request *request = LIST_ENTRY(keeper->waiting.next, struct keep_alive_request, node);
        list_remove(&request->node);
        list_push_back(&batch->requests, &request->node);
        request->is_in_batch = true;
        questions[count++] = (struct lease_question){.is_renewal = true, .lease = request->lease};
    }
    batch->read = mail_questions_new(NO_CALLS, questions, count, now_ns);
}

bool keep_alive_flush(struct keep_alive *keeper, uint64_t now_ns)
{
    METRIC_SET(&keeper->shared->metrics, keep_alive_streams, keeper->stream_count);
    if (list_is_empty(&keeper->waiting) || keeper->batch_count == KEEP_ALIVE_BATCHES_MAX) return false;
    struct keep_alive_batch *batch = find_batch(keeper, NULL);
    fill(keeper, batch, now_ns);
    keeper->batch_count++;
    struct mail mail = {.kind = MAIL_READ, .read.batch = batch->read};
    lane_must_post(keeper->to_raft, &mail); /* has room for all that may be under way */
    return !list_is_empty(&keeper->waiting) && keeper->batch_count < KEEP_ALIVE_BATCHES_MAX;
}

static void answer(struct keep_alive *keeper, struct keep_alive_request *request, int64_t ttl, int64_t revision)
{
    METRIC_ADD(&keeper->shared->metrics, keep_alives, 1);
    request->ttl = ttl;
    request->is_answered = true;
    send_next(keeper, request->stream, revision);
}

/* It was asked of one who leads no more, or the call has waited long enough. `again` gathers what is to be asked once more. */
static void fail(struct keep_alive *keeper, struct keep_alive_request *request, enum err err, struct list *again, uint64_t now_ns)
{
    if (err == ERR_LEADER_CHANGED && now_ns < request->deadline_ns) {
        list_push_back(again, &request->node);
        return;
    }
    if (err == ERR_LEADER_CHANGED) err = ERR_TIMEOUT;
    if (err == ERR_TIMEOUT && SHARED_GET(keeper->shared, leader) == RAFT_NONE) err = ERR_NO_LEADER;
    end(keeper, request->stream, err);
}

static void take_back(struct keep_alive *keeper, const struct mail *mail, int64_t revision, uint64_t now_ns)
{
    struct read_batch *read = mail->read.batch;
    struct keep_alive_batch *batch = find_batch(keeper, read);
    struct list again;
    list_init(&again);
    for (uint32_t i = 0; i < read->count; i++) {
        struct keep_alive_request *request = LIST_ENTRY(list_pop_front(&batch->requests), struct keep_alive_request, node);
        ASSERT(request->lease == read->questions[i].lease);
        request->is_in_batch = false;
        if (request->stream == NULL) free_request(keeper, request);
        else if (mail->kind == MAIL_READ_BATCH) answer(keeper, request, read->questions[i].ttl, revision);
        else fail(keeper, request, (enum err)mail->read.err, &again, now_ns);
    }
    while (!list_is_empty(&again)) { /* before those that came after them */
        struct list *last = again.prev;
        list_remove(last);
        list_push_front(&keeper->waiting, last);
    }
    ASSERT(list_is_empty(&batch->requests) && keeper->batch_count > 0);
    batch->read = NULL;
    keeper->batch_count--;
    alloc_free(read);
}

void keep_alive_take_mail(struct keep_alive *keeper, int64_t revision, uint64_t now_ns)
{
    struct mail mail;
    keeper->now_ns = now_ns;
    if (lane_take(keeper->from_apply, &mail)) take_back(keeper, &mail, revision, now_ns);
    if (lane_take(keeper->from_raft, &mail)) take_back(keeper, &mail, revision, now_ns);
}

void keep_alive_end_all(struct keep_alive *keeper, bool only_with_leader, enum err err)
{
    for (struct list *at = keeper->streams.next; at != &keeper->streams; at = at->next) {
        struct keep_alive_stream *stream = LIST_ENTRY(at, struct keep_alive_stream, node);
        if (!only_with_leader || stream->require_leader) end(keeper, stream, err);
    }
}

/* --- make and free --- */

void keep_alive_init(struct keep_alive *keeper, const struct keep_alive_options *options)
{
    STATIC_ASSERT(KEEP_ALIVE_BATCHES_MAX < KEEP_ALIVE_LANE, "one slot of a ring stays free");
    *keeper = (struct keep_alive){.config = options->config, .shared = options->shared, .port = options->port};
    keeper->method = rpc_method_find("/etcdserverpb.Lease/LeaseKeepAlive");
    keeper->env = (struct service_env){.cluster_id = options->cluster_id, .member_id = options->self};
    list_init(&keeper->streams);
    map_init(&keeper->names);
    list_init(&keeper->waiting);
    buf_init(&keeper->out);
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++) list_init(&keeper->batches[i].requests);
}

/* The batches that are under way belong to whoever has them. */
void keep_alive_deinit(struct keep_alive *keeper)
{
    struct list *node;
    for (struct list *at = keeper->streams.next; at != &keeper->streams; at = at->next) {
        drop_requests(keeper, LIST_ENTRY(at, struct keep_alive_stream, node));
    }
    for (uint32_t i = 0; i < KEEP_ALIVE_BATCHES_MAX; i++) {
        while ((node = list_pop_front(&keeper->batches[i].requests)) != NULL) free_request(keeper, LIST_ENTRY(node, struct keep_alive_request, node));
    }
    while ((node = list_pop_front(&keeper->streams)) != NULL) alloc_free(LIST_ENTRY(node, struct keep_alive_stream, node));
    ASSERT(keeper->request_count == 0);
    map_deinit(&keeper->names);
    buf_deinit(&keeper->out);
}
