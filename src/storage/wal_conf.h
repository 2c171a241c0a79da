/* wal_conf: which configurations the log holds that may still count: the newest one that is known committed, and every later one
 * (a later one goes when the log is overwritten from its index or below).
 *
 * Owner: embedded by its user, holds a reference to each. Thread: the wal role. Limits: at most as many as uncommitted entries.
 */
#ifndef STORAGE_WAL_CONF_H
#define STORAGE_WAL_CONF_H
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"

struct wal_conf_item {
    uint64_t index; /* 0 = the bootstrap configuration */
    struct blob *data;
};
struct wal_conf {
    struct wal_conf_item *items; /* ascending by index */
    size_t count;
    size_t capacity;
};

void wal_conf_init(struct wal_conf *conf);
void wal_conf_deinit(struct wal_conf *conf);
void wal_conf_push(struct wal_conf *conf, uint64_t index, struct blob *data); /* takes a reference of its own */
void wal_conf_cut(struct wal_conf *conf, uint64_t from_index);                /* the log is overwritten from there on */
void wal_conf_settle(struct wal_conf *conf, uint64_t commit_index);           /* forgets what a committed one replaced */
const struct wal_conf_item *wal_conf_newest(const struct wal_conf *conf);     /* NULL = none */
const struct wal_conf_item *wal_conf_before(const struct wal_conf *conf, uint64_t index); /* the newest below index; NULL = none */

#endif
