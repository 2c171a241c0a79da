/* raft_image: see raft_image.h. One list of fields serves both ways: a cursor that writes, or reads. */
#include "raft/raft_image.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "raft/raft_core.h"

/* A field that is new in one of these must be weighed here: written, or said to be of no account. */
STATIC_ASSERT(sizeof(struct progress) == 176, "progress has changed: look at image_peer");
STATIC_ASSERT(sizeof(struct raft_log) == 1688, "raft_log has changed: look at image_log");
STATIC_ASSERT(sizeof(struct read_queue) == 128, "read_queue has changed: look at image_reads");
STATIC_ASSERT(sizeof(struct raft) == 10008, "raft has changed: look at image_node");

struct image {
    struct buf *out;       /* NULL: reading */
    struct reader *in;     /* NULL: writing */
    const uint64_t *names; /* NULL: ids as they are */
    uint64_t now_ns;
    uint64_t age_max_ns;
};

static void image_u64(struct image *image, uint64_t *value)
{
    if (image->out != NULL) {
        buf_put_varint(image->out, *value);
    } else {
        *value = reader_varint(image->in);
    }
}

static void image_u32(struct image *image, uint32_t *value)
{
    uint64_t wide = *value;
    image_u64(image, &wide);
    *value = (uint32_t)wide;
}

static void image_size(struct image *image, size_t *value)
{
    uint64_t wide = *value;
    image_u64(image, &wide);
    *value = (size_t)wide;
}

static void image_bool(struct image *image, bool *value)
{
    uint64_t wide = *value;
    image_u64(image, &wide);
    *value = wide != 0;
}

static uint64_t new_name(const struct image *image, uint64_t id) { return image->names == NULL ? id : image->names[id]; }

static void image_id(struct image *image, uint64_t *id)
{
    uint64_t name = image->out == NULL ? 0 : new_name(image, *id);
    image_u64(image, &name);
    if (image->out == NULL) *id = name;
}

/* A moment in the past. */
static void image_age(struct image *image, uint64_t *moment_ns)
{
    uint64_t age_ns = image->now_ns - *moment_ns;
    if (age_ns > image->age_max_ns) age_ns = image->age_max_ns;
    image_u64(image, &age_ns);
    if (image->in != NULL) *moment_ns = image->now_ns - age_ns;
}

/* A moment that is due, or how far away it is. */
static void image_deadline(struct image *image, uint64_t *moment_ns)
{
    uint64_t distance_ns = *moment_ns > image->now_ns ? *moment_ns - image->now_ns : 0;
    image_u64(image, &distance_ns);
    if (image->in != NULL) *moment_ns = image->now_ns + distance_ns;
}

static void image_blob(struct image *image, struct blob **blob)
{
    struct slice bytes = blob_slice(*blob);
    size_t size = bytes.size;
    image_size(image, &size);
    if (image->out != NULL) {
        buf_put_slice(image->out, bytes);
    } else {
        bytes = reader_bytes(image->in, size);
        *blob = size == 0 ? NULL : blob_copy(bytes);
    }
}

static void image_ids(struct image *image, uint64_t *ids, uint32_t *count)
{
    image_u32(image, count);
    ASSERT(*count <= RAFT_MEMBERS_MAX);
    uint64_t sorted[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; image->out != NULL && i < *count; i++) {
        uint64_t name = new_name(image, ids[i]);
        uint32_t place = i;
        for (; place > 0 && sorted[place - 1] > name; place--) sorted[place] = sorted[place - 1];
        sorted[place] = name;
    }
    for (uint32_t i = 0; i < *count; i++) image_u64(image, image->out != NULL ? &sorted[i] : &ids[i]);
}

static void image_conf(struct image *image, struct raft_conf *conf)
{
    image_ids(image, conf->voters, &conf->voter_count);
    image_ids(image, conf->outgoing, &conf->outgoing_count);
    image_ids(image, conf->learners, &conf->learner_count);
    image_blob(image, &conf->members);
}

static void image_confs(struct image *image, struct raft *raft)
{
    uint32_t count = raft->confs.count;
    image_u32(image, &count);
    if (image->in != NULL) {
        member_deinit(&raft->confs);
        raft->confs = (struct member_stack){.items = NULL};
    }
    for (uint32_t i = 0; i < count; i++) {
        struct member_conf item = {.index = 0};
        if (image->out != NULL) item = raft->confs.items[i];
        image_u64(image, &item.index);
        image_conf(image, &item.conf);
        if (image->in == NULL) continue;
        member_push(&raft->confs, item.index, &item.conf);
        raft_conf_deinit(&item.conf);
    }
}

static void image_entry(struct image *image, struct raft_log *log, uint64_t index)
{
    struct raft_entry entry = {.index = index};
    if (image->out != NULL) entry = *raft_log_entry(log, index);
    ASSERT(image->names == NULL || entry.kind != RAFT_ENTRY_CONF);
    uint32_t kind = entry.kind;
    image_u64(image, &entry.term);
    image_u32(image, &kind);
    image_blob(image, &entry.data);
    if (image->in == NULL) return;
    raft_log_push(log, entry.term, (enum raft_entry_kind)kind, entry.data);
    blob_unref(entry.data);
}

static void image_appends(struct image *image, struct raft *raft)
{
    struct raft_log *log = &raft->log;
    uint64_t base = image->out != NULL ? raft->persisted_sequence : 0;
    uint64_t sequence = raft->sequence - base;
    uint64_t hard_sequence = raft->hard_sequence;
    if (hard_sequence != UINT64_MAX) hard_sequence = hard_sequence > base ? hard_sequence - base : 0;
    image_u64(image, &sequence);
    image_u64(image, &hard_sequence);
    image_u32(image, &log->append_count);
    if (image->in != NULL) {
        raft->sequence = sequence;
        raft->hard_sequence = hard_sequence;
        raft->persisted_sequence = 0;
        log->append_head = 0;
    }
    for (uint32_t i = 0; i < log->append_count; i++) {
        struct raft_log_append *append = &log->appends[(log->append_head + i) % RAFT_APPENDS_MAX];
        uint64_t append_sequence = append->sequence - base;
        image_u64(image, &append_sequence);
        if (image->in != NULL) append->sequence = append_sequence;
        image_u64(image, &append->last_index);
        image_age(image, &append->since_ns);
    }
}

static void image_log(struct image *image, struct raft *raft)
{
    struct raft_log *log = &raft->log;
    uint64_t last = raft_log_last(log);
    ASSERT(image->in != NULL || log->tail_first == log->snapshot_index + 1);
    uint64_t snapshot_index = log->snapshot_index;
    image_u64(image, &snapshot_index);
    image_u64(image, &last);
    if (image->in != NULL) {
        for (size_t i = 0; i < log->count; i++) blob_unref(log->entries[log->head + i].data);
        log->run_count = log->head = log->count = 0;
        log->head_end = 0;
        log->snapshot_index = log->applied = snapshot_index;
        log->tail_first = snapshot_index + 1;
    }
    image_u64(image, &log->snapshot_term);
    for (uint64_t index = snapshot_index + 1; index <= last; index++) image_entry(image, log, index);
    image_u64(image, &log->commit);
    image_u64(image, &log->applied);
    image_u64(image, &log->handed);
    image_u64(image, &log->durable);
    image_u64(image, &log->unsent);
    image_appends(image, raft);
}

static void image_msg(struct image *image, struct raft_msg *msg)
{
    ASSERT(image->in != NULL || msg->entry_count == 0); /* what waits for the disk is never an APPEND */
    uint32_t kind = msg->kind;
    image_u32(image, &kind);
    msg->kind = (enum raft_msg_kind)kind;
    image_bool(image, &msg->reject);
    image_bool(image, &msg->transfer);
    image_id(image, &msg->from);
    image_id(image, &msg->to);
    image_u64(image, &msg->term);
    image_u64(image, &msg->index);
    image_u64(image, &msg->log_term);
    image_u64(image, &msg->commit);
    image_u64(image, &msg->hint_index);
    image_u64(image, &msg->hint_term);
    image_u64(image, &msg->round);
}

static void image_held(struct image *image, struct raft *raft)
{
    size_t count = raft->held_count;
    image_size(image, &count);
    if (image->in != NULL) raft->held_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct raft_core_held held = {.ack_index = 0};
        if (image->out != NULL) held = raft->held[i];
        image_msg(image, &held.msg);
        image_u64(image, &held.ack_index);
        if (image->in == NULL) continue;
        raft_core_send(raft, &held.msg, held.ack_index);
        ASSERT(raft->held_count == i + 1);
        raft->held[i].is_fresh = false;
    }
}

static void image_leader_peer(struct image *image, struct progress *peer)
{
    uint32_t state = peer->state;
    image_u32(image, &state);
    peer->state = (enum progress_state)state;
    image_u64(image, &peer->match_index);
    image_u64(image, &peer->next_index);
    image_u64(image, &peer->commit_sent);
    if (peer->state == PROGRESS_SNAPSHOT) image_u64(image, &peer->needed_index);
    image_bool(image, &peer->is_paused);
    image_bool(image, &peer->is_nudged);
    image_age(image, &peer->heard_ns);
    image_u64(image, &peer->round_acked);
    image_u32(image, &peer->flight_count);
    if (image->in != NULL) peer->flight_head = 0;
    for (uint32_t i = 0; i < peer->flight_count; i++) {
        struct progress_flight *flight = &peer->flights[(peer->flight_head + i) % peer->flights_max];
        image_u64(image, &flight->last_index);
        image_size(image, &flight->bytes);
        if (image->in != NULL) flight->sent_ns = image->now_ns; /* as is the window: of speed alone */
        if (image->in != NULL) peer->flight_bytes += flight->bytes;
    }
}

static void image_peer(struct image *image, struct raft *raft, uint32_t place)
{
    struct progress *peer = &raft->peers[place];
    ASSERT(image->in != NULL || (!peer->is_fetching && peer->fetched_count == 0));
    uint64_t id = peer->id;
    image_id(image, &id);
    if (image->in != NULL) {
        progress_init(peer, id, &raft->options);
        progress_lead(peer, raft_log_last(&raft->log), raft->now_ns);
    }
    if (raft->role == RAFT_LEADER) image_leader_peer(image, peer);
    if (raft->role != RAFT_CANDIDATE && raft->role != RAFT_PRE_CANDIDATE) return;
    uint32_t ballot = peer->ballot;
    image_u32(image, &ballot);
    peer->ballot = (enum quorum_ballot)ballot;
}

static void image_peers(struct image *image, struct raft *raft)
{
    uint32_t count = raft->peer_count;
    image_u32(image, &count);
    if (image->in != NULL) {
        for (uint32_t i = 0; i < raft->peer_count; i++) progress_deinit(&raft->peers[i]);
        raft->peer_count = count;
        for (uint32_t i = 0; i < count; i++) image_peer(image, raft, i);
        return;
    }
    uint64_t done = 0; /* the smallest new name behind this one comes next */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t next = count;
        for (uint32_t k = 0; k < count; k++) {
            uint64_t name = new_name(image, raft->peers[k].id);
            if (name > done && (next == count || name < new_name(image, raft->peers[next].id))) next = k;
        }
        ASSERT(next < count);
        image_peer(image, raft, next);
        done = new_name(image, raft->peers[next].id);
    }
}

static void image_reads(struct image *image, struct raft *raft)
{
    struct read_queue *reads = &raft->reads;
    image_u64(image, &reads->round);
    image_u32(image, &reads->count);
    image_u32(image, &reads->round_count);
    if (image->in != NULL) reads->head = reads->confirmed_count = reads->lost_count = 0;
    for (uint32_t i = 0; i < reads->round_count; i++) {
        struct read_round *round = &reads->rounds[i];
        image_u64(image, &round->number);
        image_u64(image, &round->index);
        image_u32(image, &round->count);
        if (image->in != NULL) round->started_ns = image->now_ns; /* only told, nothing hangs on it */
    }
    for (uint32_t i = 0; i < reads->count; i++) {
        image_u64(image, &reads->contexts[(reads->head + i) % RAFT_READS_MAX]);
    }
}

static void image_election(struct image *image, struct raft *raft)
{
    image_deadline(image, &raft->election_deadline_ns);
    image_u64(image, &raft->election_span_ns);
    /* When a leader was heard says nothing while none is known. */
    uint64_t heard_ns = raft->leader == RAFT_NONE ? 0 : raft->leader_heard_ns;
    image_age(image, &heard_ns);
    if (image->in != NULL) raft->leader_heard_ns = heard_ns;
    image_u64(image, &raft->question);
    image_u64(image, &raft->died_term);
    if (raft->role != RAFT_LEADER) return;
    image_u64(image, &raft->lead_index);
    image_deadline(image, &raft->heartbeat_deadline_ns);
    image_bool(image, &raft->is_heartbeat_due);
    image_id(image, &raft->transferee);
    if (raft->transferee != RAFT_NONE) image_deadline(image, &raft->transfer_deadline_ns);
}

/* Of no account: told, has_conf_changed and the install (all was told with the output), the output and its messages. */
static void image_node(struct image *image, struct raft *raft)
{
    uint32_t role = raft->role;
    image_id(image, &raft->options.self);
    image_u64(image, &raft->term);
    image_id(image, &raft->vote);
    image_id(image, &raft->leader);
    image_u32(image, &role);
    raft->role = (enum raft_role)role;
    image_log(image, raft);
    image_confs(image, raft);
    image_age(image, &raft->wal_progress_ns);
    image_bool(image, &raft->has_no_space);
    image_bool(image, &raft->is_quorum_dirty);
    image_u64(image, &raft->offer_index);
    image_u64(image, &raft->offer_term);
    image_id(image, &raft->wanted.from);
    image_u64(image, &raft->wanted.index);
    image_u64(image, &raft->wanted.term);
    image_election(image, raft);
    image_peers(image, raft);
    image_held(image, raft);
    image_reads(image, raft);
}

void raft_image_save(const struct raft *raft, const uint64_t *names, struct buf *out_bytes)
{
    ASSERT(raft->is_output_taken && !raft->is_suspect && !raft->has_conf_changed && !raft->has_install);
    struct image image = {
        .out = out_bytes, .names = names, .now_ns = raft->now_ns, .age_max_ns = raft->options.election_timeout_ns};
    image_node(&image, (struct raft *)(uintptr_t)raft); /* writing changes nothing */
}

void raft_image_load(struct raft *raft, struct reader *bytes, uint64_t now_ns)
{
    ASSERT(now_ns >= 2 * raft->options.election_timeout_ns);
    raft->now_ns = now_ns;
    raft->transferee = RAFT_NONE;
    raft->is_heartbeat_due = false;
    raft->is_suspect = false;
    raft->is_output_taken = false; /* the queues of what is lent are emptied below */
    struct image image = {.in = bytes, .now_ns = now_ns, .age_max_ns = raft->options.election_timeout_ns};
    image_node(&image, raft);
    ASSERT(!bytes->bad && raft_log_is_valid(&raft->log));
    rng_init(&raft->rng, raft->options.seed);
    raft->has_conf_changed = raft->has_install = false;
    raft->fetch_count = 0;
    raft->told = (struct raft_core_told){.term = raft->term, .leader = raft->leader, .role = raft->role};
}

const struct raft_entry *raft_image_entries(const struct raft *raft, size_t *out_count)
{
    const struct raft_log *log = &raft->log;
    ASSERT(log->tail_first == log->snapshot_index + 1);
    *out_count = log->count;
    return log->count == 0 ? NULL : raft_log_entry(log, log->tail_first);
}

void raft_image_make_due(struct raft *raft)
{
    if (raft->role == RAFT_LEADER) {
        raft->heartbeat_deadline_ns = raft->now_ns;
    } else {
        raft->election_deadline_ns = raft->now_ns;
    }
}
