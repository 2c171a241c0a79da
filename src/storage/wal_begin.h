/* wal_begin: where the log begins, at start: behind a reset, behind damage for which the snapshot stands, behind the snapshot itself.
 * The rules: THE HEAD OF THE LOG and the end of RECOVERY in wal_format.c. Reading only; what is void is removed by the running log.
 *
 * Owner, Thread, Limits: wal_recover's, of which it is a part.
 */
#ifndef STORAGE_WAL_BEGIN_H
#define STORAGE_WAL_BEGIN_H
#include "storage/wal_recover.h"

/* Where the intact log ends, before it was judged. */
struct wal_begin_damage {
    struct wal_reader_position position;
    size_t at;
    bool is_inside; /* the segment's first batch is intact */
};

/* Which segment is the oldest that counts. */
MUST_USE enum err wal_begin_find(struct wal_recover *recover);
/* From here on the log begins at `index`, behind an entry of that term (0 = not known); all entries read so far are forgotten. */
void wal_begin_at(struct wal_recover *recover, uint64_t index, uint64_t prev_term);
struct wal_begin_damage wal_begin_damage(const struct wal_recover *recover);
/* After a refusal: goes on behind the damage, if the snapshot stands for all that may be lost. False: the refusal stands. */
bool wal_begin_behind(struct wal_recover *recover, const struct wal_begin_damage *damage);
/* The whole log was read: does the snapshot fit it, or does it begin anew behind the snapshot? */
MUST_USE enum err wal_begin_with_snapshot(struct wal_recover *recover);

#endif
