/* wal_conf: the configurations of the log that may still count. See wal_conf.h. */
#include "storage/wal_conf.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void wal_conf_init(struct wal_conf *conf)
{
    *conf = (struct wal_conf){0};
}

void wal_conf_deinit(struct wal_conf *conf)
{
    if (conf == NULL) return;
    for (size_t i = 0; i < conf->count; i++) blob_unref(conf->items[i].data);
    alloc_free(conf->items);
    wal_conf_init(conf);
}

void wal_conf_push(struct wal_conf *conf, uint64_t index, struct blob *data)
{
    ASSERT(data != NULL);
    ASSERT(conf->count == 0 || conf->items[conf->count - 1].index < index);
    if (conf->count == conf->capacity) {
        conf->capacity = conf->capacity == 0 ? 4 : conf->capacity * 2;
        conf->items = alloc_resize(conf->items, conf->capacity * sizeof *conf->items);
    }
    conf->items[conf->count++] = (struct wal_conf_item){.index = index, .data = blob_ref(data)};
}

void wal_conf_cut(struct wal_conf *conf, uint64_t from_index)
{
    ASSERT(from_index > 0);
    while (conf->count > 0 && conf->items[conf->count - 1].index >= from_index) {
        blob_unref(conf->items[--conf->count].data);
    }
}

void wal_conf_settle(struct wal_conf *conf, uint64_t commit_index)
{
    size_t replaced = 0;
    while (replaced + 1 < conf->count && conf->items[replaced + 1].index <= commit_index) {
        blob_unref(conf->items[replaced++].data);
    }
    if (replaced == 0) return;
    conf->count -= replaced;
    memmove(conf->items, conf->items + replaced, conf->count * sizeof *conf->items);
    ASSERT(conf->count > 0);
}

const struct wal_conf_item *wal_conf_newest(const struct wal_conf *conf)
{
    return conf->count == 0 ? NULL : &conf->items[conf->count - 1];
}

const struct wal_conf_item *wal_conf_before(const struct wal_conf *conf, uint64_t index)
{
    size_t count = conf->count;
    while (count > 0 && conf->items[count - 1].index >= index) count--;
    return count == 0 ? NULL : &conf->items[count - 1];
}
