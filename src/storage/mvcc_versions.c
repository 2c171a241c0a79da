/* mvcc_versions: the versions of one key, from a revision back. See mvcc.h. */
#include "base/assert.h"
#include "storage/mvcc_state.h"

void mvcc_versions_init(struct mvcc_versions *versions, const struct mvcc_view *view, struct slice key, int64_t floor)
{
    ASSERT(floor > 0);
    *versions = (struct mvcc_versions){.next = mvcc_index_get(view->root, key), .floor = floor};
}

void mvcc_versions_pass(struct mvcc_versions *versions, int64_t revision, int64_t count)
{
    struct mvcc_change change;
    ASSERT(revision >= versions->floor && count >= 0);
    if (versions->next != NULL) versions->next = mvcc_record_find(versions->next, revision);
    while (count-- > 0 && versions->next != NULL && mvcc_record_revision(versions->next) == revision) (void)mvcc_versions_next(versions, &change);
}

bool mvcc_versions_next(struct mvcc_versions *versions, struct mvcc_change *out_change)
{
    const struct mvcc_record *record = versions->next;
    if (record == NULL || mvcc_record_revision(record) < versions->floor) return false;
    int64_t revision = mvcc_record_revision(record);
    versions->sub = revision == versions->revision ? versions->sub + 1 : 0;
    versions->revision = revision;
    /* What a record at the floor followed may be gone, unless it was written in the same revision. */
    versions->next = revision > versions->floor || mvcc_record_is_inside(record) ? record->older : NULL;
    out_change->revision = revision;
    out_change->sub = versions->sub;
    out_change->is_delete = mvcc_record_is_delete(record);
    mvcc_record_kv(record, &out_change->kv);
    return true;
}
