/* put_leases: leases that the puts of one entry make of their own (PutRequest.ttl): made, attached and answered by that entry.
 *
 * First every put that will run is checked, in the order in which they will; then nothing can fail any more. The entry member chose the ids,
 * as many as puts with a TTL stand in all branches: those that run take them in their order.
 * Owner: a plain value; it borrows the set, and the ids from the entry. Thread: apply. Limits: LEASE_MAX.
 * Ids that no door would have chosen are fatal: they stand in the log, so no member may guess. Source: proto/kvd/command.proto.
 */
#ifndef STORAGE_PUT_LEASES_H
#define STORAGE_PUT_LEASES_H
#include "base/buf.h"
#include "base/err.h"
#include "storage/command.h"
#include "storage/lease.h"
#include "storage/operation.h"

struct put_leases {
    struct lease_set *set;
    uint64_t index;          /* of the entry */
    int64_t ttl_min;
    bool is_known;           /* the entry's level knows of TTLs: else puts have none */
    struct reader unchecked; /* ids for the checks to come */
    struct reader unmade;    /* and for the leases to come */
    uint32_t checked_count;
};
struct put_leases put_leases_begin(struct lease_set *set, uint64_t entry_index, const struct command *command);
/* The lease that the put names must be there, the one that it makes must not: ERR_LEASE_NOT_FOUND, ERR_LEASE_EXISTS,
 * ERR_TOO_MANY_REQUESTS (LEASE_MAX). Once for each put that will run. */
MUST_USE enum err put_leases_check(struct put_leases *leases, const struct operation_put *put);
/* The lease to put the key under: *out_row is the one that was made, or has no id; then it is the one that the put names. */
int64_t put_leases_take(struct put_leases *leases, const struct operation_put *put, struct lease_row *out_row);
/* Its fields of the PutResponse, which come last. */
void put_leases_say(const struct lease_row *row, struct buf *out_body);

#endif
