/* snapshot_rewrite: a snapshot file made over for other members: the same keys at the same revisions, under another cluster's identity and
 * configuration.
 *
 * With a bump the revision goes on from `bump_revision` further up and all below is compacted: of each key only what is there now stays, as
 * it was, and the history begins empty. Alarms stay behind: they were about members that are gone. Sections that this program knows nothing
 * of are passed on.
 * What is written is a function of the file and the options: members that are given the same have the same state.
 * Blocking. Owner: nothing is kept. Thread: one, with an fs of its own. Limits: one block, and one version, in memory.
 */
#ifndef STORAGE_SNAPSHOT_REWRITE_H
#define STORAGE_SNAPSHOT_REWRITE_H
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/mvcc_record.h"
#include "storage/snapshot_reader.h"

#define SNAPSHOT_REWRITE_REVISION_MAX (MVCC_RECORD_REVISION_MAX / 2) /* the rest is for what is written from then on */

/* `done` of `total` bytes of the file. */
typedef void snapshot_rewrite_progress_fn(void *context, uint64_t done, uint64_t total);
struct snapshot_rewrite_options {
    struct fs *fs;
    const char *from;
    const char *to;                       /* made, or made anew; synced, its name is not */
    enum snapshot_reader_trailer trailer; /* of `from`; what is written has none */
    const struct cluster *cluster;
    uint64_t member_id;
    struct slice conf;                    /* raft_conf_encode's bytes */
    uint64_t term;                        /* the position: the file's index in this term */
    int64_t bump_revision;                /* 0 = revisions stay, and so does the history; see _REVISION_MAX */
    snapshot_rewrite_progress_fn *progress_fn; /* NULL = nobody asks */
    void *context;
};

/* On failure out_message has path and reason, and `to` may be there in part. */
MUST_USE enum err snapshot_rewrite(const struct snapshot_rewrite_options *options, struct snapshot_format_head *out_head, char *out_message,
                                   size_t message_size);

#endif
