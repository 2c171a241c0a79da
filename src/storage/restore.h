/* restore: a new member's data directory out of a snapshot file, and what such a file is.
 *
 * The members that are restored from one file with the same cluster and the same bump begin at one position of one log with one state, so
 * that they form a cluster. The position is the file's index in the term behind the file's: no log of the cluster that the file comes from
 * has such an entry, so that none of its members can be taken for one of these. The log begins behind it.
 *
 * All is made aside in DATA.part (and WAL.part), read back and verified as a start would, and renamed: DATA is whole or not there. What an
 * interrupted restore left aside is used again by the next one. With a log directory of its own that one gets its name first: a member never
 * starts on it without DATA's identity.
 *
 * Blocking. Owner: nothing is kept. Thread: one, with an fs of its own. Limits: memory as the state, once.
 */
#ifndef STORAGE_RESTORE_H
#define STORAGE_RESTORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "storage/cluster.h"
#include "storage/data_names.h"
#include "storage/snapshot_reader.h"

/* Called now and then: so much of all that there is to do. */
typedef void restore_progress_fn(void *context, uint64_t done, uint64_t total);

struct restore_file {
    struct snapshot_format_head head;
    uint64_t file_bytes; /* with padding and trailer */
    uint64_t versions;
    uint64_t hash;       /* mvcc_hash at its revision */
    char version[32];    /* the cluster's; "" = not decided */
};
/* Verifies every block and the totals, not what keys say. ERR_CORRUPT, ERR_STOPPED: out_message says file, place and reason. */
MUST_USE enum err restore_inspect(struct fs *fs, const char *path, enum snapshot_reader_trailer trailer, restore_progress_fn *progress_fn,
                                  void *context, struct restore_file *out_file, char *out_message, size_t message_size);

struct restore_options {
    struct fs *fs;
    const char *file;
    const char *data_path;
    const char *wal_path;          /* "" = in the data directory */
    const struct data_names *names; /* of what is in the data directory; NULL = the usual ones */
    const struct cluster *cluster; /* as its members would found it */
    uint64_t member_id;            /* one of them */
    struct slice conf;             /* their configuration: raft_conf_encode's bytes */
    uint8_t uuid[16];              /* of the new directory: by chance */
    int64_t bump_revision;         /* see snapshot_rewrite.h; 0 = none */
    bool skip_hash_check;          /* a file without the hash that a saved one ends with, or with a wrong one, will do */
    uint64_t segment_bytes;        /* of the log */
    restore_progress_fn *progress_fn; /* NULL = nobody asks */
    void *context;
};
struct restore_result {
    struct snapshot_format_head head; /* of the new member's snapshot */
    uint64_t file_cluster_id;         /* where the file comes from */
    int64_t file_revision;
};
/* On failure nothing is there that was not there before, but for DATA.part if that cannot be removed. */
MUST_USE enum err restore_run(const struct restore_options *options, struct restore_result *out_result, char *out_message,
                              size_t message_size);

#endif
