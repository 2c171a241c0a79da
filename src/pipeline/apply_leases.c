/* apply_leases: see apply_leases.h. */
#include "pipeline/apply_leases.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mutant.h"

#define ARM_BUDGET 4096                 /* timers per step */
#define LIST_BUDGET 8192                /* leases of an answer per step */
#define CHECKPOINT_PAUSE_NS (10 * NS_PER_MS) /* between two entries of them, when a million are due at once */
#define EXPIRE_AGAIN_NS (3 * NS_PER_S)  /* what is not in the log by then is asked for again */

struct listing {
    struct list node;
    uint64_t call;
    int64_t revision;
    struct lease_image *image;
    uint32_t cursor;
    struct buf body;
};

void apply_leases_init(struct apply_leases *leases, uint64_t election_timeout_ns, uint64_t checkpoint_ns)
{
    ASSERT(election_timeout_ns > 0 && checkpoint_ns > 0);
    *leases = (struct apply_leases){.election_timeout_ns = election_timeout_ns, .checkpoint_ns = checkpoint_ns, .held_until_ns = CLOCK_NEVER};
    list_init(&leases->listings);
}

static void listing_free(struct listing *listing)
{
    list_remove(&listing->node);
    lease_image_free(listing->image);
    buf_deinit(&listing->body);
    alloc_free(listing);
}

void apply_leases_deinit(struct apply_leases *leases)
{
    while (!list_is_empty(&leases->listings)) listing_free(LIST_ENTRY(leases->listings.next, struct listing, node));
}

/* --- timers -------------------------------------------------------------------------------------------------------------- */

void apply_leases_lead(struct apply_leases *leases, uint64_t term)
{
    if (term == leases->term) return;
    leases->term = term;
    leases->first_index = 0;
    leases->is_disarming = !MUTANT(P24);
    leases->is_held = false;
}

/* All entries of a term in which this member leads are its own, the first one included. */
void apply_leases_met(struct apply_leases *leases, const struct raft_entry *entry)
{
    if (leases->term == 0 || leases->first_index != 0 || entry->term != leases->term) return;
    leases->first_index = entry->index;
    ASSERT(entry->index > 0);
}

static uint64_t lifetime_ns(const struct apply_leases *leases, const struct lease_row *row)
{
    ASSERT(row->ttl > 0 && row->ttl <= LEASE_TTL_MAX);
    uint64_t ns = (uint64_t)(row->remaining > 0 ? row->remaining : row->ttl) * NS_PER_S;
    if (MUTANT(D95) && row->granted_index <= leases->first_index) ns *= 1000;
    return row->granted_index <= leases->first_index ? ns + leases->election_timeout_ns : ns;
}

static void await_checkpoint(const struct apply_leases *leases, struct lease_set *set, struct lease *lease, uint64_t now_ns)
{
    if ((uint64_t)lease_set_row(set, lease)->ttl * NS_PER_S <= leases->checkpoint_ns) return;
    lease_set_await_checkpoint(set, lease, now_ns + leases->checkpoint_ns);
}

void apply_leases_arm_step(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns)
{
    struct lease *lease;
    if (leases->is_disarming) {
        leases->is_disarming = lease_set_disarm_step(set, ARM_BUDGET);
        if (leases->is_disarming) return;
        lease_set_new_round(set);
    }
    if (leases->first_index == 0 && !MUTANT(P24)) return;
    for (uint32_t i = 0; i < ARM_BUDGET && (lease = lease_set_first_unarmed(set)) != NULL; i++) {
        lease_set_arm(set, lease, now_ns + lifetime_ns(leases, lease_set_row(set, lease)));
        await_checkpoint(leases, set, lease, now_ns);
    }
}

bool apply_leases_is_arming(const struct apply_leases *leases, const struct lease_set *set)
{
    return leases->is_disarming || (leases->first_index != 0 && lease_set_first_unarmed(set) != NULL);
}

static bool is_running(const struct apply_leases *leases) { return leases->first_index != 0 && !leases->is_disarming; }

/* What was asked for and is not there yet may have been lost: then it is asked for again, and as many may be under way as at first. */
static bool may_ask(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns)
{
    if (lease_set_expiring(set) < APPLY_LEASES_EXPIRIES_MAX) return true;
    if (!leases->is_held) {
        leases->is_held = true;
        leases->held_until_ns = now_ns + EXPIRE_AGAIN_NS;
    }
    if (now_ns < leases->held_until_ns) return false;
    lease_set_new_round(set);
    return true;
}

bool apply_leases_next_expiry(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns, struct lease_request_expiry *out_expiry)
{
    if (!is_running(leases)) return false;
    struct lease *lease = lease_set_first_due(set);
    if (lease == NULL || lease_set_deadline_ns(set, lease) > now_ns) return false;
    if (!may_ask(leases, set, now_ns)) return false;
    leases->is_held = false;
    *out_expiry = (struct lease_request_expiry){.id = lease->id, .granted_index = lease_set_row(set, lease)->granted_index};
    lease_set_note_expiring(set, lease);
    lease_set_arm(set, lease, now_ns + (MUTANT(D96) ? 1000 : 1) * EXPIRE_AGAIN_NS);
    return true;
}

uint32_t apply_leases_checkpoints(struct apply_leases *leases, struct lease_set *set, uint64_t now_ns, uint32_t max,
                                  struct lease_request_checkpoint *out_checkpoints)
{
    struct lease *lease;
    uint32_t count = 0;
    if (!is_running(leases) || now_ns < leases->pause_until_ns) return 0;
    while (count < max && (lease = lease_set_first_awaiting(set)) != NULL && lease->checkpoint_ns <= now_ns) {
        const struct lease_row *row = lease_set_row(set, lease);
        uint64_t deadline_ns = lease_set_deadline_ns(set, lease), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        lease_set_await_no_checkpoint(lease);
        if (left_ns <= leases->checkpoint_ns) continue; /* what may be lost by a new leader is not worth an entry */
        int64_t left = (int64_t)((left_ns + NS_PER_S - 1) / NS_PER_S);
        lease->asked_number = ++leases->number;
        out_checkpoints[count++] = (struct lease_request_checkpoint){
            .id = lease->id, .remaining = left < row->ttl ? left : row->ttl, .granted_index = row->granted_index, .number = leases->number};
        lease_set_await_checkpoint(set, lease, now_ns + leases->checkpoint_ns);
    }
    if (count > 0) leases->pause_until_ns = now_ns + CHECKPOINT_PAUSE_NS;
    return count;
}

uint64_t apply_leases_deadline_ns(const struct apply_leases *leases, const struct lease_set *set)
{
    const struct lease *due = is_running(leases) ? lease_set_first_due(set) : NULL;
    if (due == NULL) return CLOCK_NEVER;
    bool is_held = leases->is_held && lease_set_expiring(set) >= APPLY_LEASES_EXPIRIES_MAX;
    uint64_t first_ns = lease_set_deadline_ns(set, due);
    if (is_held && first_ns < leases->held_until_ns) first_ns = leases->held_until_ns;
    const struct lease *awaiting = lease_set_first_awaiting(set);
    if (awaiting == NULL) return first_ns;
    uint64_t checkpoint_ns = awaiting->checkpoint_ns > leases->pause_until_ns ? awaiting->checkpoint_ns : leases->pause_until_ns;
    return checkpoint_ns < first_ns ? checkpoint_ns : first_ns;
}

/* --- renewals ------------------------------------------------------------------------------------------------------------ */

/* Of one that is not armed the time begins when it is: later than any round that was confirmed before. */
static bool is_armed(const struct apply_leases *leases, const struct lease *lease)
{
    return lease->timer.place != HEAP_NONE && !leases->is_disarming;
}

/* In force, or asked for and not taken back by something later. */
static bool needs_void(const struct lease_set *set, const struct lease *lease)
{
    return lease_set_row(set, lease)->remaining > 0 || lease->asked_number > lease->void_number;
}

bool apply_leases_renew(const struct apply_leases *leases, struct lease_set *set, int64_t id, uint64_t started_ns, uint64_t now_ns, int64_t *out_ttl)
{
    ASSERT(leases->first_index != 0 && started_ns > 0); /* raft may have looked at the clock after apply did */
    struct lease *lease = lease_set_find(set, id);
    bool is_over = lease != NULL && is_armed(leases, lease) && (lease->expiring != 0 || lease_set_deadline_ns(set, lease) <= now_ns);
    *out_ttl = 0;
    if (lease == NULL || is_over) return true;
    if (needs_void(set, lease) && !MUTANT(D103)) return false;
    *out_ttl = lease_set_row(set, lease)->ttl;
    if (!is_armed(leases, lease)) return true;
    uint64_t deadline_ns = (MUTANT(D102) ? now_ns : started_ns) + (uint64_t)*out_ttl * NS_PER_S;
    if (deadline_ns <= lease_set_deadline_ns(set, lease)) return true;
    lease_set_arm(set, lease, deadline_ns);
    await_checkpoint(leases, set, lease, now_ns);
    return true;
}

bool apply_leases_void(struct apply_leases *leases, struct lease_set *set, int64_t id, uint64_t now_ns, struct lease_request_checkpoint *out_void)
{
    struct lease *lease = lease_set_find(set, id);
    ASSERT(leases->first_index != 0);
    if (lease == NULL || !needs_void(set, lease)) return false;
    *out_void = (struct lease_request_checkpoint){
        .id = id, .granted_index = lease_set_row(set, lease)->granted_index, .number = ++leases->number};
    if (is_armed(leases, lease) && lease->expiring == 0) await_checkpoint(leases, set, lease, now_ns); /* none until it is renewed */
    return true;
}

/* --- answers ------------------------------------------------------------------------------------------------------------- */

/* Whole seconds, rounded down; of one whose expiry was asked for: 0. One that is not armed yet begins its life now. */
static int64_t remaining_s(const struct apply_leases *leases, const struct lease_set *set, const struct lease *lease, uint64_t now_ns)
{
    if (!is_armed(leases, lease)) return (int64_t)(lifetime_ns(leases, lease_set_row(set, lease)) / NS_PER_S);
    uint64_t deadline_ns = lease_set_deadline_ns(set, lease);
    return lease->expiring != 0 || deadline_ns <= now_ns ? 0 : (int64_t)((deadline_ns - now_ns) / NS_PER_S);
}

enum err apply_leases_time_to_live(const struct apply_leases *leases, const struct lease_set *set, const struct lease_question *question,
                                   uint64_t now_ns, struct buf *out_body)
{
    if (leases->first_index == 0) return ERR_LEADER_CHANGED;
    const struct lease *lease = lease_set_find(set, question->lease);
    ASSERT(out_body->size == 0);
    if (question->lease != 0) buf_put_pb_varint(out_body, 2, (uint64_t)question->lease);
    if (lease == NULL) {
        buf_put_pb_varint(out_body, 3, (uint64_t)INT64_C(-1));
        return ERR_OK;
    }
    int64_t remaining = remaining_s(leases, set, lease, now_ns);
    if (remaining > 0) buf_put_pb_varint(out_body, 3, (uint64_t)remaining);
    buf_put_pb_varint(out_body, 4, (uint64_t)lease_set_row(set, lease)->ttl);
    if (!question->wants_keys) return ERR_OK;
    struct slice *keys = lease_set_keys(set, lease);
    for (uint32_t i = 0; i < lease->key_count; i++) buf_put_pb_bytes(out_body, 5, keys[i]);
    alloc_free(keys);
    return ERR_OK;
}

static void note_ttl(const struct lease_set *set, int64_t id, uint64_t index, struct metrics *metrics)
{
    const struct lease *lease = lease_set_find(set, id);
    if (lease == NULL || lease_set_row(set, lease)->granted_index != index) return; /* a branch that was not taken */
    metrics_observe(&metrics->lease_ttl, METRICS_IN_S, (uint64_t)lease_set_row(set, lease)->ttl);
}

void apply_leases_note_ttls(const struct lease_set *set, const struct raft_entry *entry, struct metrics *metrics)
{
    struct command command;
    struct lease_request_grant grant = {.id = 0};
    if (entry->kind != RAFT_ENTRY_COMMAND || !command_decode(blob_slice(entry->data), &command)) return;
    if (command.kind == COMMAND_LEASE_GRANT && lease_request_parse_grant(command.body, &grant) == ERR_OK)
        note_ttl(set, grant.id != 0 ? grant.id : command.chosen_lease_id, entry->index, metrics);
    struct reader ids = reader_make(command.chosen_lease_ids);
    while (ids.at < ids.end && !ids.bad) note_ttl(set, (int64_t)reader_varint(&ids), entry->index, metrics);
}

void apply_leases_list(struct apply_leases *leases, struct lease_set *set, uint64_t call, int64_t revision)
{
    struct listing *listing = ALLOC(struct listing);
    ASSERT(revision > 0);
    listing->call = call;
    listing->revision = revision;
    listing->image = lease_set_freeze(set);
    buf_init(&listing->body);
    list_push_back(&leases->listings, &listing->node);
}

bool apply_leases_list_step(struct apply_leases *leases, struct mail *out_reply)
{
    ASSERT(apply_leases_is_listing(leases));
    struct listing *listing = LIST_ENTRY(leases->listings.next, struct listing, node);
    struct lease_row row;
    for (uint32_t i = 0; i < LIST_BUDGET; i++) {
        if (!lease_image_next(listing->image, &listing->cursor, &row)) {
            *out_reply = (struct mail){.kind = MAIL_REPLY, .reply = {.call = listing->call, .revision = listing->revision}};
            if (listing->body.size > 0) out_reply->reply.body = buf_take_blob(&listing->body);
            listing_free(listing);
            return true;
        }
        size_t size = 1 + pb_varint_size((uint64_t)row.id);
        buf_put_varint(&listing->body, pb_tag(2, PB_BYTES));
        buf_put_varint(&listing->body, size);
        buf_put_pb_varint(&listing->body, 1, (uint64_t)row.id);
    }
    return false;
}
