/* state_machine_lease: the commands of leases, and which keys belong to which. See state_machine.h. */
#include "storage/state_machine_inner.h"

#include "base/alloc.h"
#include "base/mutant.h"
#include "storage/lease_request.h"

void state_machine_lease_follow(struct state_machine *machine, int64_t before)
{
    const struct mvcc_view *view = mvcc_writer_view(machine->mvcc);
    struct mvcc_history history;
    struct mvcc_change change;
    if (lease_set_count(machine->leases) == 0 || mvcc_view_revision(view) == before) return;
    mvcc_history_init(&history, view, before + 1);
    while (mvcc_history_next(&history, &change)) {
        ASSERT(change.revision == before + 1);
        if (MUTANT(D93) && !change.is_delete && change.kv.lease == 0) continue;
        lease_set_attach(machine->leases, change.kv.key, change.is_delete ? 0 : change.kv.lease);
    }
}

/* All of it in one revision, in the order of the keys. */
static void end_lease(struct state_machine *machine, struct lease *lease)
{
    struct slice *keys = lease_set_keys(machine->leases, lease);
    mvcc_begin(machine->mvcc);
    for (uint32_t i = 0; i < lease->key_count; i++) {
        struct mvcc_range range = mvcc_range_make(keys[i], slice_empty());
        int64_t deleted = mvcc_delete(machine->mvcc, &range, NULL, NULL);
        ASSERT(deleted == 1); /* a key that goes leaves its lease */
        if (MUTANT(D94) && mvcc_commit(machine->mvcc) > 0) mvcc_begin(machine->mvcc);
    }
    (void)mvcc_commit(machine->mvcc);
    alloc_free(keys);
    lease_set_remove(machine->leases, lease);
}

void state_machine_lease_grant(struct state_machine *machine, const struct raft_entry *entry, const struct command *command, bool wants_reply,
                              struct state_machine_result *result)
{
    struct lease_request_grant request;
    state_machine_demand(entry, lease_request_parse_grant(command->body, &request));
    struct lease_row row = {.id = request.id != 0 ? request.id : command->chosen_lease_id,
                            .ttl = request.ttl < command->chosen_ttl ? command->chosen_ttl : request.ttl,
                            .granted_index = entry->index};
    state_machine_demand(entry, row.id == 0 || row.ttl <= 0 ? ERR_MALFORMED : ERR_OK); /* the door chooses both where the client did not */
    result->err = lease_set_grant(machine->leases, &row);
    if (result->err != ERR_OK || !wants_reply) return;
    struct buf body;
    buf_init(&body);
    buf_put_pb_varint(&body, 2, (uint64_t)row.id);
    buf_put_pb_varint(&body, 3, (uint64_t)row.ttl);
    state_machine_take_body(&body, result);
}

void state_machine_lease_revoke(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes,
                               struct state_machine_result *result)
{
    int64_t id = 0;
    state_machine_demand(entry, lease_request_parse_revoke(bytes, &id));
    struct lease *lease = lease_set_find(machine->leases, id);
    if (lease == NULL) result->err = ERR_LEASE_NOT_FOUND;
    else end_lease(machine, lease);
}

/* The leader's word may come late: the lease was revoked meanwhile, and its id perhaps granted again. */
static struct lease *find_granted(const struct state_machine *machine, int64_t id, uint64_t granted_index)
{
    struct lease *lease = lease_set_find(machine->leases, id);
    return lease != NULL && (lease_set_row(machine->leases, lease)->granted_index == granted_index || MUTANT(D92)) ? lease : NULL;
}

void state_machine_lease_expire(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct lease_request_expiry expiry;
    while (lease_request_next_expiry(&reader, &expiry)) {
        struct lease *lease = find_granted(machine, expiry.id, expiry.granted_index);
        if (lease != NULL) end_lease(machine, lease);
    }
    state_machine_demand(entry, reader.bad ? ERR_MALFORMED : ERR_OK);
}

void state_machine_lease_checkpoint(struct state_machine *machine, const struct raft_entry *entry, struct slice bytes)
{
    struct reader reader = reader_make(bytes);
    struct lease_request_checkpoint checkpoint;
    while (lease_request_next_checkpoint(&reader, &checkpoint)) {
        struct lease *lease = find_granted(machine, checkpoint.id, checkpoint.granted_index);
        if (lease == NULL) continue;
        state_machine_demand(entry, checkpoint.remaining > lease_set_row(machine->leases, lease)->ttl ? ERR_MALFORMED : ERR_OK);
        lease_set_checkpoint(machine->leases, lease, checkpoint.remaining);
        if (checkpoint.remaining == 0) lease->void_number = checkpoint.number; /* for the leader's timers: no part of the state */
    }
    state_machine_demand(entry, reader.bad ? ERR_MALFORMED : ERR_OK);
}
