/* data_names: how the log's directory, the directory of the snapshots and the identity file are called in a data directory.
 *
 * A directory is made with its names and keeps them: a member that looked under others would find nothing and begin anew as a member that
 * has forgotten what it promised. So names that are not the usual ones stand in DATA/names, which is written before anything else of a new
 * member, and whoever starts with others is refused. The programs that look at a directory read the names there.
 *
 *   DATA/names    "kvd-names 1\n", then the names of log, snapshots and identity, a line each; not there = the usual ones
 * Thread: start-up, tools.
 */
#ifndef STORAGE_DATA_NAMES_H
#define STORAGE_DATA_NAMES_H
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/fs.h"

#define DATA_NAMES_WAL "wal"
#define DATA_NAMES_SNAP "snap"
#define DATA_NAMES_IDENTITY "identity"
#define DATA_NAMES_BYTES_MAX 64

struct data_names {
    char wal[DATA_NAMES_BYTES_MAX + 1];
    char snap[DATA_NAMES_BYTES_MAX + 1];
    char identity[DATA_NAMES_BYTES_MAX + 1];
};

struct data_names data_names_usual(void);
/* Each is a name (data_names_is_name); they differ. */
struct data_names data_names_make(const char *wal, const char *snap, const char *identity);
/* Letters, digits, . _ - but not first a dot; none of the names that a data directory has besides (LOCK, names, anything.tmp). */
bool data_names_is_name(const char *text);

/* The names of a directory; the usual ones if it says nothing. ERR_CORRUPT, ERR_STOPPED: out_message says file and reason. */
MUST_USE enum err data_names_load(struct fs *fs, const char *data_path, struct data_names *out_names, char *out_message, size_t message_size);
/* Before anything else of a directory is made or read: are these its names? A directory without a member gets them. On failure `out_message`
 * says which names it has. */
MUST_USE enum err data_names_settle(struct fs *fs, const char *data_path, const struct data_names *names, char *out_message,
                                    size_t message_size);

#endif
