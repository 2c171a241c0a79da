/* put_leases: see put_leases.h. */
#include "storage/put_leases.h"

#include "base/assert.h"

struct put_leases put_leases_begin(struct lease_set *set, uint64_t entry_index, const struct command *command)
{
    ASSERT(set != NULL && entry_index > 0);
    struct reader ids = reader_make(command->chosen_lease_ids);
    return (struct put_leases){.set = set, .index = entry_index, .ttl_min = command->chosen_ttl,
                               .is_known = command->level >= COMMAND_LEVEL_PUT_TTL, .unchecked = ids, .unmade = ids};
}

static bool makes_lease(const struct put_leases *leases, const struct operation_put *put) { return leases->is_known && put->ttl != 0; }

/* The next id with the TTL that the put asks for, or the least. */
static struct lease_row next_row(const struct put_leases *leases, struct reader *ids, const struct operation_put *put)
{
    struct lease_row row = {.id = (int64_t)reader_varint(ids), .ttl = put->ttl, .granted_index = leases->index};
    if (row.ttl < leases->ttl_min) row.ttl = leases->ttl_min;
    if (ids->bad || row.id == 0 || row.ttl <= 0 || row.ttl > LEASE_TTL_MAX || put->lease != 0 || put->ignore_lease)
        fatal("log entry %llu: a put with a TTL that no door lets through, the log is damaged", (unsigned long long)leases->index);
    return row;
}

enum err put_leases_check(struct put_leases *leases, const struct operation_put *put)
{
    ASSERT(leases != NULL);
    if (put->lease != 0 && lease_set_find(leases->set, put->lease) == NULL) return ERR_LEASE_NOT_FOUND;
    if (!makes_lease(leases, put)) return ERR_OK;
    struct lease_row row = next_row(leases, &leases->unchecked, put);
    leases->checked_count++;
    if (lease_set_find(leases->set, row.id) != NULL) return ERR_LEASE_EXISTS;
    return lease_set_count(leases->set) + leases->checked_count > LEASE_MAX ? ERR_TOO_MANY_REQUESTS : ERR_OK;
}

int64_t put_leases_take(struct put_leases *leases, const struct operation_put *put, struct lease_row *out_row)
{
    ASSERT(leases != NULL);
    *out_row = (struct lease_row){.id = 0};
    if (!makes_lease(leases, put)) return put->lease;
    *out_row = next_row(leases, &leases->unmade, put);
    enum err err = lease_set_grant(leases->set, out_row);
    if (err != ERR_OK) fatal("log entry %llu: an id for two leases, the log is damaged", (unsigned long long)leases->index);
    return out_row->id;
}

void put_leases_say(const struct lease_row *row, struct buf *out_body)
{
    if (row->id == 0) return;
    ASSERT(row->ttl > 0);
    buf_put_pb_varint(out_body, OPERATION_PUT_RESPONSE_LEASE, (uint64_t)row->id);
    buf_put_pb_varint(out_body, OPERATION_PUT_RESPONSE_TTL, (uint64_t)row->ttl);
}
