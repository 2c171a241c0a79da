/* world_watchers: see world_watchers.h. */
#include <stdlib.h>

#include "lib/sim_bytes.h"
#include "lib/world_inner.h"

struct said {
    struct list node;
    struct blob *bytes;
};
struct heard {
    struct list node;
    struct world_view_point point;
};
struct word {
    struct list node;
    struct blob *bytes;
    struct world_view_point sent;
};
struct world_stream {
    uint32_t member;
    enum watch_method method;
    bool wants;       /* the role does: the client's next message */
    bool has_ended;   /* the client has said its last word */
    bool was_told_end;
    bool is_gone;     /* the client */
    bool is_slow;
    bool owes_sent;   /* the client has not taken what was sent */
    bool is_finished; /* by the role */
    bool is_over;     /* for the client, once it took what came */
    bool died;
    enum err err;
    struct list said, heard, words;
};

static void require(const struct world_member *member, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(member->world, invariant, member->number, a, b);
}

static const struct mvcc_view *view_of(const struct world_member *member)
{
    return mvcc_view(state_machine_mvcc(member->line.apply.machine));
}

static struct world_view_point point_of(const struct world_member *member)
{
    const struct mvcc_view *view = view_of(member);
    return (struct world_view_point){.revision = mvcc_view_revision(view), .mark = mvcc_view_compact_revision(view), .ns = member->world->now_ns};
}

static struct world_stream *stream_of(const struct world *world, uint64_t number)
{
    ASSERT(number > 0 && number <= world->streams.count);
    return world->streams.all[number - 1];
}

/* --- the port --- */

static void push(struct world_member *member, struct watch_event event, struct blob *body)
{
    struct world_watchers *watchers = &member->watchers;
    ASSERT(watchers->count < WORLD_WATCH_EVENTS_MAX);
    event.method = stream_of(member->world, event.stream)->method;
    if (watchers->count == 0) watchers->first = 0;
    uint32_t at = (watchers->first + watchers->count++) % WORLD_WATCH_EVENTS_MAX;
    watchers->events[at] = event;
    watchers->bodies[at] = body;
    world_wake(member);
}

static void push_message(struct world *world, uint64_t number)
{
    struct world_stream *stream = stream_of(world, number);
    struct world_member *member = &world->members[stream->member];
    if (!stream->wants || stream->is_finished) return;
    if (!list_is_empty(&stream->said) && !stream->is_gone) {
        struct said *said = LIST_ENTRY(list_pop_front(&stream->said), struct said, node);
        push(member, (struct watch_event){.kind = WATCH_MESSAGE, .stream = number, .body = blob_slice(said->bytes), .ok = true}, said->bytes);
        alloc_free(said);
    } else if (stream->has_ended || stream->is_gone) {
        if (stream->was_told_end) return;
        stream->was_told_end = true;
        push(member, (struct watch_event){.kind = WATCH_MESSAGE, .stream = number, .ok = false}, NULL);
    } else {
        return;
    }
    stream->wants = false;
}

static void release_borrowed(struct world_watchers *watchers)
{
    for (uint32_t i = 0; i < watchers->borrowed_count; i++) blob_unref(watchers->borrowed[i]);
    watchers->borrowed_count = 0;
}

static size_t port_take(struct watch_port *port, struct watch_event *out_events, size_t max)
{
    struct world_watchers *watchers = (struct world_watchers *)port;
    size_t n = 0;
    release_borrowed(watchers);
    for (; n < max && watchers->count > 0; n++) {
        uint32_t at = watchers->first++ % WORLD_WATCH_EVENTS_MAX;
        watchers->count--;
        out_events[n] = watchers->events[at];
        if (watchers->bodies[at] == NULL) continue;
        watchers->borrowed[watchers->borrowed_count++] = watchers->bodies[at];
        struct heard *heard = ALLOC(struct heard);
        heard->point = watchers->step;
        list_push_back(&stream_of(watchers->member->world, out_events[n].stream)->heard, &heard->node);
    }
    return n;
}

static void port_wait(struct watch_port *port, uint64_t deadline_ns)
{
    (void)port;
    (void)deadline_ns;
    ASSERT(false); /* nobody waits in a world */
}
static void port_none(struct watch_port *port) { (void)port; }

static void port_next(struct watch_port *port, uint64_t number)
{
    const struct world_watchers *watchers = (const struct world_watchers *)port;
    struct world_stream *stream = stream_of(watchers->member->world, number);
    require(watchers->member, !stream->wants, "a stream's next message is asked for once", number, 0);
    stream->wants = true;
    push_message(watchers->member->world, number);
}

/* Half of the messages are out of the way at once. */
static bool port_send(struct watch_port *port, uint64_t number, struct slice head, struct blob *rest)
{
    const struct world_watchers *watchers = (const struct world_watchers *)port;
    struct world *world = watchers->member->world;
    struct world_stream *stream = stream_of(world, number);
    require(watchers->member, !stream->owes_sent && !stream->is_finished, "one message of a stream is on its way", number, stream->is_finished);
    struct word *word = ALLOC(struct word);
    size_t rest_size = blob_slice(rest).size;
    word->bytes = blob_new(head.size + rest_size);
    if (head.size > 0) memcpy(word->bytes->data, head.data, head.size);
    if (rest_size > 0) memcpy(word->bytes->data + head.size, rest->data, rest_size);
    word->sent = watchers->step; /* apply may have published another view within the step */
    word->sent.ns = world->now_ns;
    list_push_back(&stream->words, &word->node);
    blob_unref(rest);
    world_note(world, "tell", stream->member, number, word->bytes->size);
    stream->owes_sent = stream->is_slow && !stream->is_gone;
    if (!stream->owes_sent && !stream->is_gone && (number + head.size) % 2 == 0) return true;
    if (!stream->owes_sent) push(&world->members[stream->member], (struct watch_event){.kind = WATCH_SENT, .stream = number, .ok = !stream->is_gone}, NULL);
    return false;
}

/* Behind the last message: it is closed, and the client may know. */
static void close_stream(struct world *world, uint64_t number)
{
    struct world_stream *stream = stream_of(world, number);
    stream->is_over = true;
    push(&world->members[stream->member], (struct watch_event){.kind = WATCH_CLOSED, .stream = number}, NULL);
}

static void port_finish(struct watch_port *port, uint64_t number, enum err err)
{
    const struct world_watchers *watchers = (const struct world_watchers *)port;
    struct world *world = watchers->member->world;
    struct world_stream *stream = stream_of(world, number);
    require(watchers->member, !stream->is_finished, "a stream ends once", number, err);
    bool has_leader = SHARED_GET(&watchers->member->line.shared, leader) != RAFT_NONE;
    require(watchers->member, err != ERR_NO_LEADER || !has_leader, "a stream ends without a leader, and there is one", number, 0);
    world_note(world, err == ERR_OK ? "end" : err_name(err), stream->member, number, 0);
    stream->is_finished = true;
    stream->err = err;
    if (!stream->owes_sent || err != ERR_OK) close_stream(world, number);
}

static const struct watch_port_table port_table = {.take = port_take, .flush = port_none, .wait = port_wait, .ring = port_none,
                                                   .next = port_next, .send = port_send, .finish = port_finish};

bool world_watchers_are_there(const struct world *world) { return world->options.watch_streams + world->options.renew_streams + world->options.lock_clients > 0; }
void world_watchers_step(struct world_member *member) { member->watchers.step = point_of(member); }

bool world_watchers_has_events(const struct world_member *member) { return member->watchers.count > 0; }

/* --- clients --- */

uint64_t world_stream_open(struct world *world, uint32_t member, enum watch_method method, bool requires_leader, bool is_slow)
{
    struct world_streams *streams = &world->streams;
    ASSERT(world->members[member].is_up && world->depth == 0);
    if (streams->count == streams->capacity) {
        streams->capacity = streams->capacity == 0 ? 64 : streams->capacity * 2;
        streams->all = alloc_resize(streams->all, streams->capacity * sizeof(struct world_stream *));
    }
    struct world_stream *stream = ALLOC(struct world_stream);
    *stream = (struct world_stream){.member = member, .method = method, .is_slow = is_slow};
    list_init(&stream->said);
    list_init(&stream->heard);
    list_init(&stream->words);
    streams->all[streams->count++] = stream;
    world->counts.watch_streams += method == WATCH_METHOD_WATCH;
    world_note(world, "stream", member, streams->count, is_slow);
    push(&world->members[member], (struct watch_event){.kind = WATCH_OPEN, .stream = streams->count, .require_leader = requires_leader, .ok = true},
         NULL);
    return streams->count;
}

void world_stream_say(struct world *world, uint64_t number, struct slice message)
{
    struct world_stream *stream = stream_of(world, number);
    struct said *said = ALLOC(struct said);
    ASSERT(world->depth == 0 && !stream->has_ended);
    world_note(world, "say", stream->member, number, message.size);
    said->bytes = blob_copy(message);
    list_push_back(&stream->said, &said->node);
    if (!stream->is_over) push_message(world, number);
}

void world_stream_end(struct world *world, uint64_t number)
{
    struct world_stream *stream = stream_of(world, number);
    ASSERT(world->depth == 0);
    stream->has_ended = true;
    if (!stream->is_over) push_message(world, number);
}

void world_stream_leave(struct world *world, uint64_t number)
{
    struct world_stream *stream = stream_of(world, number);
    bool owed = stream->owes_sent;
    ASSERT(world->depth == 0);
    stream->is_gone = true;
    stream->owes_sent = false;
    if (stream->is_over) return;
    world_note(world, "leaves", stream->member, number, owed);
    if (owed && stream->is_finished) {
        close_stream(world, number);
        return;
    }
    if (owed) push(&world->members[stream->member], (struct watch_event){.kind = WATCH_SENT, .stream = number, .ok = false}, NULL);
    push_message(world, number);
}

struct blob *world_stream_take(struct world *world, uint64_t number, struct world_view_point *out_sent)
{
    struct world_stream *stream = stream_of(world, number);
    if (list_is_empty(&stream->words)) return NULL;
    struct word *word = LIST_ENTRY(list_pop_front(&stream->words), struct word, node);
    struct blob *bytes = word->bytes;
    ASSERT(world->depth == 0);
    *out_sent = word->sent;
    alloc_free(word);
    if (!stream->owes_sent) return bytes;
    stream->owes_sent = false;
    if (stream->is_finished) {
        if (!stream->is_over) close_stream(world, number);
        return bytes;
    }
    push(&world->members[stream->member], (struct watch_event){.kind = WATCH_SENT, .stream = number, .ok = true}, NULL);
    return bytes;
}

bool world_stream_heard(struct world *world, uint64_t number, struct world_view_point *out_point)
{
    struct world_stream *stream = stream_of(world, number);
    if (list_is_empty(&stream->heard)) return false;
    struct heard *heard = LIST_ENTRY(list_pop_front(&stream->heard), struct heard, node);
    *out_point = heard->point;
    alloc_free(heard);
    return true;
}

bool world_stream_is_over(const struct world *world, uint64_t number, enum err *out_err, bool *out_died)
{
    const struct world_stream *stream = stream_of(world, number);
    if (!stream->is_over || !list_is_empty(&stream->words)) return false;
    *out_err = stream->err;
    *out_died = stream->died;
    return true;
}

/* --- the truth --- */

const struct world_change *world_changes(const struct world *world, size_t *out_count)
{
    *out_count = world->streams.change_count;
    return world->streams.changes;
}

static void add_change(struct world_member *member, const struct mvcc_change *change)
{
    struct world_streams *streams = &member->world->streams;
    char text[17] = "";
    struct world_change added = {.is_delete = change->is_delete};
    bool is_key = sim_bytes_read_key(change->kv.key, &added.pair.key) && added.pair.key < KV_HISTORY_KEYS;
    require(member, is_key, "nobody wrote such a key", (uint64_t)change->revision, 0);
    added.pair.mod_revision = change->revision;
    if (!change->is_delete) {
        if (change->kv.value.size >= 16) memcpy(text, change->kv.value.data, 16);
        added.pair.token = strtoull(text, NULL, 16);
        added.pair.create_revision = change->kv.create_revision;
        added.pair.version = change->kv.version;
        added.pair.lease = change->kv.lease;
    }
    if (streams->change_count == streams->change_capacity) {
        streams->change_capacity = streams->change_capacity == 0 ? 1024 : streams->change_capacity * 2;
        streams->changes = alloc_resize(streams->changes, streams->change_capacity * sizeof(struct world_change));
    }
    added.before = streams->last_of_key[added.pair.key];
    streams->changes[streams->change_count++] = added;
    streams->last_of_key[added.pair.key] = streams->change_count;
}

/* Whoever publishes a revision first says what it was; that all say the same is asked elsewhere (A2), and that it is what was written (sim_looks). */
void world_watchers_note(struct world_member *member)
{
    struct world_streams *streams = &member->world->streams;
    if (member->world->options.watch_streams == 0) return;
    const struct mvcc_view *view = view_of(member);
    int64_t last = streams->change_count == 0 ? 1 : streams->changes[streams->change_count - 1].pair.mod_revision;
    if (mvcc_view_revision(view) <= last) return;
    struct mvcc_history history;
    struct mvcc_change change;
    mvcc_history_init(&history, view, last + 1);
    while (mvcc_history_next(&history, &change)) {
        require(member, change.revision == last || change.revision == last + 1, "every revision has a change", (uint64_t)last, (uint64_t)change.revision);
        last = change.revision;
        add_change(member, &change);
    }
}

/* --- a member comes and goes --- */

void world_watchers_init(struct world *world)
{
    tape_init(&world->streams.tape, world->options.seed ^ UINT64_C(0x632be59bd9b4e019), world->options.reel, TAPE_STREAMS);
}

static void drop_said(struct world_stream *stream)
{
    struct list *node;
    while ((node = list_pop_front(&stream->said)) != NULL) {
        struct said *said = LIST_ENTRY(node, struct said, node);
        blob_unref(said->bytes);
        alloc_free(said);
    }
}

static void drop_words(struct world_stream *stream, uint64_t kept)
{
    struct list *next;
    for (struct list *at = stream->words.next; at != &stream->words; at = next) {
        struct word *word = LIST_ENTRY(at, struct word, node);
        next = at->next;
        if (kept > 0) {
            kept--;
            continue;
        }
        list_remove(at);
        blob_unref(word->bytes);
        alloc_free(word);
    }
}

void world_watchers_deinit(struct world *world)
{
    struct world_streams *streams = &world->streams;
    struct list *node;
    for (uint64_t i = 0; i < streams->count; i++) {
        struct world_stream *stream = streams->all[i];
        drop_said(stream);
        drop_words(stream, 0);
        while ((node = list_pop_front(&stream->heard)) != NULL) alloc_free(LIST_ENTRY(node, struct heard, node));
        alloc_free(stream);
    }
    alloc_free(streams->all);
    alloc_free(streams->changes);
}

void world_watchers_open(struct world_member *member)
{
    struct world_watchers *watchers = &member->watchers;
    watchers->port.table = &port_table;
    watchers->member = member;
    watchers->first = watchers->count = watchers->borrowed_count = 0;
    world_watchers_note(member);
}

static uint64_t count_words(const struct world_stream *stream)
{
    uint64_t count = 0;
    for (const struct list *at = stream->words.next; at != &stream->words; at = at->next) count++;
    return count;
}

void world_watchers_close(struct world_member *member)
{
    struct world *world = member->world;
    struct world_watchers *watchers = &member->watchers;
    struct world_streams *streams = &world->streams;
    release_borrowed(watchers);
    for (; watchers->count > 0; watchers->count--) blob_unref(watchers->bodies[watchers->first++ % WORLD_WATCH_EVENTS_MAX]);
    while (streams->first_open < streams->count && streams->all[streams->first_open]->is_over) streams->first_open++;
    for (uint64_t i = streams->first_open; i < streams->count; i++) {
        struct world_stream *stream = streams->all[i];
        if (stream->member != member->number || stream->is_over) continue;
        stream->is_over = stream->died = true;
        stream->owes_sent = false;
        stream->err = ERR_STOPPED;
        drop_said(stream);
        uint64_t count = count_words(stream);
        if (count > 0) drop_words(stream, tape_below(&streams->tape, count + 1));
    }
}

void world_watchers_stopped(struct world_member *member)
{
    const struct world_streams *streams = &member->world->streams;
    for (uint64_t i = streams->first_open; i < streams->count; i++) {
        const struct world_stream *stream = streams->all[i];
        if (stream->member != member->number || stream->is_over) continue;
        require(member, stream->is_finished, "a stream is told its end at stop", i + 1, 0);
    }
}

void world_watchers_idle(struct world_member *member)
{
    struct watch_stats stats;
    const struct keep_alive *keeper = &member->line.watch.keep_alive;
    if (!world_watchers_are_there(member->world)) return;
    require(member, keeper->stream_count == 0 && keeper->request_count == 0 && keeper->batch_count == 0, "nothing is left of renewals that are over",
            keeper->stream_count, keeper->request_count);
    watch_get_stats(member->line.watch.watch, &stats);
    require(member, stats.streams == 0 && stats.watchers == 0 && stats.behind == 0, "nothing is left of streams that are over", stats.streams, stats.watchers);
    require(member, list_is_empty(&member->line.watch.streams) && member->line.watch.pin < 0, "nothing is held for streams that are over",
            (uint64_t)member->line.watch.pin_revision, 0);
}
