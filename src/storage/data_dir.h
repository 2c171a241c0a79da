/* data_dir: the member's directory: paths, the lock against a second process, and the identity file.
 *
 *   DATA/LOCK       flock'ed while a process serves
 *   DATA/identity   who this is (versioned, checksummed, replaced atomically); there is no second truth for term and vote (wal)
 *   DATA/wal/       segments (or --wal-dir)
 *   DATA/snap/      snapshots
 *   DATA/names      how these three are called, if not so (data_names.h)
 * Owner: data_dir_open/data_dir_close. Thread: start-up. Directories are 0700, files 0600.
 */
#ifndef STORAGE_DATA_DIR_H
#define STORAGE_DATA_DIR_H
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "storage/data_names.h"

struct data_dir_identity {
    uint64_t cluster_id;
    uint64_t member_id;
    uint8_t uuid[16];     /* of this directory: a wiped directory under an old id is noticed by the others */
    uint64_t boot_count;  /* raised and synced at each start */
};

struct data_dir {
    struct fs *fs;
    char *path;
    char *wal_path;
    char *snap_path;
    struct data_names names;
    struct fs_file *lock;
};

/* Makes what is missing, syncs the parents, takes the lock. `names` NULL = the usual ones, whatever the directory says. On failure
 * `out_message` (size ≥ 256) says what and why. */
MUST_USE enum err data_dir_open(struct fs *fs, const char *path, const char *wal_path_or_empty, const struct data_names *names,
                                struct data_dir *out_dir, char *out_message, size_t message_size);
void data_dir_close(struct data_dir *dir);
/* ERR_KEY_NOT_FOUND = no identity yet (a new member); ERR_CORRUPT with message. */
MUST_USE enum err data_dir_load_identity(struct data_dir *dir, struct data_dir_identity *out_identity, char *out_message,
                                         size_t message_size);
MUST_USE enum err data_dir_store_identity(struct data_dir *dir, const struct data_dir_identity *identity, char *out_message,
                                          size_t message_size);

#endif
