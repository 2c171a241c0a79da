/* snapshot_load: see snapshot_load.h; bytes: the essay in snapshot_format.c. */
#include "storage/snapshot_load.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "storage/mvcc_content.h"
#include "storage/mvcc_import.h"

#define FINISH_BUDGET 1024 /* entries of the history linked per step */

struct snapshot_load {
    struct snapshot_reader reader;
    uint64_t cluster_id;
    bool is_verify_only;
    bool is_read;                      /* the file is at its end */
    bool has_conf, has_sums, has_keys; /* sections met */
    enum snapshot_load_state state;
    struct mvcc_export_image image;    /* what the file promises */
    struct mvcc_import *import;        /* from the first block of keys on */
    struct snapshot_format_end end;
    uint64_t keys;                     /* met */
    uint64_t versions;
    struct buf key;                    /* the last one met, and what it belongs to: */
    int64_t lease;                     /* 0 = to none, or it is deleted */
    struct state_machine_loaded *loaded;
};

struct snapshot_load *snapshot_load_new(const struct snapshot_load_options *options)
{
    ASSERT(options->fs != NULL && options->path != NULL);
    struct snapshot_load *load = ALLOC(struct snapshot_load);
    snapshot_reader_init(&load->reader, options->fs, options->path, options->is_blocking);
    snapshot_reader_set_trailer(&load->reader, options->trailer);
    load->cluster_id = options->cluster_id;
    load->is_verify_only = options->is_verify_only;
    load->loaded = ALLOC(struct state_machine_loaded);
    buf_init(&load->key);
    return load;
}

void snapshot_load_free(struct snapshot_load *load)
{
    if (load == NULL) return;
    snapshot_reader_deinit(&load->reader);
    mvcc_import_free(load->import);
    state_machine_loaded_free(load->loaded);
    buf_deinit(&load->key);
    alloc_free(load);
}

static void refuse(struct snapshot_load *load, enum err err, const char *reason)
{
    ASSERT(load->state == SNAPSHOT_LOAD_RUNNING);
    snapshot_reader_refuse(&load->reader, err, "%s", reason);
    load->state = SNAPSHOT_LOAD_FAILED;
}

/* --- sections ---------------------------------------------------------------------------------------------------------------- */

static void take_conf(struct snapshot_load *load, struct slice payload)
{
    const struct snapshot_format_head *head = &load->reader.head;
    if (load->has_conf || payload.size == 0) {
        refuse(load, ERR_CORRUPT, "its configuration is empty or stands twice");
        return;
    }
    if (load->cluster_id != 0 && head->cluster_id != load->cluster_id) {
        refuse(load, ERR_CLUSTER_ID_MISMATCH, "it is of another cluster");
        return;
    }
    load->has_conf = true;
    load->loaded->conf = blob_copy(payload);
    load->loaded->index = head->index;
    load->loaded->term = head->term;
}

static void take_cluster(struct snapshot_load *load, struct slice payload)
{
    struct cluster *cluster = load->loaded->cluster == NULL ? snapshot_format_get_cluster(payload, load->reader.head.cluster_id) : NULL;
    if (cluster == NULL) {
        refuse(load, ERR_CORRUPT, "its members make no sense");
        return;
    }
    load->loaded->cluster = cluster;
}

static void take_alarms(struct snapshot_load *load, struct slice payload)
{
    struct alarm_state *alarms = load->loaded->alarms == NULL ? alarm_state_decode(payload) : NULL;
    if (alarms == NULL) {
        refuse(load, ERR_CORRUPT, "its alarms make no sense");
        return;
    }
    load->loaded->alarms = alarms;
}

static void take_leases(struct snapshot_load *load, struct slice payload)
{
    struct reader reader = reader_make(payload);
    struct lease_row row;
    if (load->loaded->leases == NULL) load->loaded->leases = lease_set_new();
    while (snapshot_format_get_lease(&reader, &row)) {
        bool is_granted = row.granted_index <= load->reader.head.index && lease_set_grant(load->loaded->leases, &row) == ERR_OK;
        if (is_granted) continue;
        refuse(load, ERR_CORRUPT, "a lease stands twice, or is not of its time");
        return;
    }
    if (reader.bad) refuse(load, ERR_CORRUPT, "a lease makes no sense");
}

static void take_sums(struct snapshot_load *load, struct slice payload)
{
    const struct snapshot_format_head *head = &load->reader.head;
    if (load->has_sums || !snapshot_format_get_sums(payload, &load->image)) {
        refuse(load, ERR_CORRUPT, "its sums make no sense");
        return;
    }
    load->has_sums = true;
    load->image.revision = head->revision;
    load->image.compact_revision = head->compact_revision;
    load->image.live_keys = head->live_keys;
    load->image.live_bytes = head->live_bytes;
    load->image.history_count = head->history_count;
    load->image.pin = -1;
    if (head->history_count > load->reader.file_bytes / SNAPSHOT_FORMAT_VERSION_MIN)
        refuse(load, ERR_CORRUPT, "it promises more changes than it has room for");
}

/* Everything before the keys has come. False: refused. */
static bool begin_keys(struct snapshot_load *load)
{
    if (load->has_keys) return true;
    if (!load->has_conf || !load->has_sums || load->loaded->cluster == NULL) {
        refuse(load, ERR_CORRUPT, "a section is missing");
        return false;
    }
    load->has_keys = true;
    if (!load->is_verify_only) load->import = mvcc_import_new(&load->image);
    return true;
}

/* The last version that came is its key's newest: that one says to which lease the key belongs. */
static void end_key(struct snapshot_load *load)
{
    if (load->lease != 0) lease_set_attach(load->loaded->leases, buf_slice(&load->key), load->lease);
    load->lease = 0;
}

static void follow_lease(struct snapshot_load *load, const struct mvcc_export_version *version)
{
    if (load->loaded->leases == NULL) return;
    if (version->is_first) {
        end_key(load);
        buf_clear(&load->key);
        buf_put_slice(&load->key, version->kv.key);
    }
    load->lease = version->is_delete ? 0 : version->kv.lease;
    ASSERT(load->key.size > 0);
}

static void take_keys(struct snapshot_load *load, struct slice payload)
{
    if (!begin_keys(load) || load->is_verify_only) return;
    struct reader reader = reader_make(payload);
    struct mvcc_export_version version;
    while (snapshot_format_get_version(&reader, &version)) {
        if (!mvcc_import_put(load->import, &version)) {
            refuse(load, ERR_CORRUPT, mvcc_import_complaint(load->import));
            return;
        }
        follow_lease(load, &version);
        load->versions++;
        if (version.is_first) load->keys++;
    }
    if (reader.bad) refuse(load, ERR_CORRUPT, "a version makes no sense");
}

static void take_end(struct snapshot_load *load, struct slice payload)
{
    if (!begin_keys(load)) return;
    end_key(load);
    bool is_good = snapshot_format_get_end(payload, &load->end);
    ASSERT(is_good); /* the reader has seen it */
    bool differs = load->keys != load->end.keys || load->versions != load->end.versions;
    if (load->end.history_count != load->reader.head.history_count || (differs && !load->is_verify_only))
        refuse(load, ERR_CORRUPT, "it does not hold as much as its end says");
}

static void take_block(struct snapshot_load *load, const struct snapshot_format_block *block, struct slice payload)
{
    bool is_late = load->has_keys && block->section != SNAPSHOT_FORMAT_KEYS && block->section != SNAPSHOT_FORMAT_END;
    if (is_late) {
        refuse(load, ERR_CORRUPT, "its sections are out of order");
        return;
    }
    switch (block->section) {
    case SNAPSHOT_FORMAT_CONF: take_conf(load, payload); break;
    case SNAPSHOT_FORMAT_CLUSTER: take_cluster(load, payload); break;
    case SNAPSHOT_FORMAT_SUMS: take_sums(load, payload); break;
    case SNAPSHOT_FORMAT_ALARMS: take_alarms(load, payload); break;
    case SNAPSHOT_FORMAT_LEASES: take_leases(load, payload); break;
    case SNAPSHOT_FORMAT_KEYS: take_keys(load, payload); break;
    case SNAPSHOT_FORMAT_END: take_end(load, payload); break;
    default:
        if ((block->flags & SNAPSHOT_FORMAT_INCOMPATIBLE) == 0) return;
        load->reader.is_unsupported = true;
        refuse(load, ERR_STOPPED, "it holds a section that this program does not know and must not leave out: a newer program must open it");
    }
}

/* --- steps ------------------------------------------------------------------------------------------------------------------- */

static void finish(struct snapshot_load *load)
{
    if (load->is_verify_only) {
        load->state = SNAPSHOT_LOAD_DONE;
        return;
    }
    if (mvcc_import_finish_step(load->import, FINISH_BUDGET)) return;
    load->loaded->content = mvcc_import_take(load->import);
    if (load->loaded->content == NULL) refuse(load, ERR_CORRUPT, mvcc_import_complaint(load->import));
    else load->state = SNAPSHOT_LOAD_DONE;
}

bool snapshot_load_step(struct snapshot_load *load)
{
    struct snapshot_format_block block;
    struct slice payload;
    if (load->state != SNAPSHOT_LOAD_RUNNING) return false;
    if (load->is_read) {
        finish(load);
        return load->state == SNAPSHOT_LOAD_RUNNING;
    }
    switch (snapshot_reader_step(&load->reader, &block, &payload)) {
    case SNAPSHOT_READER_WAIT: return false;
    case SNAPSHOT_READER_AGAIN: break;
    case SNAPSHOT_READER_BLOCK: take_block(load, &block, payload); break;
    case SNAPSHOT_READER_END: load->is_read = true; break;
    case SNAPSHOT_READER_FAILED: load->state = SNAPSHOT_LOAD_FAILED; break;
    }
    return load->state == SNAPSHOT_LOAD_RUNNING;
}

/* --- questions --------------------------------------------------------------------------------------------------------------- */

bool snapshot_load_is_waiting(const struct snapshot_load *load) { return load->reader.io.in_flight; }
enum snapshot_load_state snapshot_load_state(const struct snapshot_load *load) { return load->state; }

const struct snapshot_format_head *snapshot_load_head(const struct snapshot_load *load)
{
    ASSERT(load->state == SNAPSHOT_LOAD_DONE);
    return &load->reader.head;
}

const struct snapshot_format_end *snapshot_load_end(const struct snapshot_load *load)
{
    ASSERT(load->state == SNAPSHOT_LOAD_DONE);
    return &load->end;
}

uint64_t snapshot_load_hash(const struct snapshot_load *load)
{
    ASSERT(load->state == SNAPSHOT_LOAD_DONE);
    return load->image.hash - load->image.garbage_hash;
}

const struct cluster *snapshot_load_cluster(const struct snapshot_load *load)
{
    ASSERT(load->state == SNAPSHOT_LOAD_DONE && load->loaded != NULL);
    return load->loaded->cluster;
}

void snapshot_load_get_place(const struct snapshot_load *load, uint64_t *out_bytes, uint64_t *out_total)
{
    *out_bytes = load->reader.offset + load->reader.used;
    *out_total = load->reader.file_bytes;
    ASSERT(*out_bytes <= *out_total);
}

struct state_machine_loaded *snapshot_load_take(struct snapshot_load *load)
{
    ASSERT(load->state == SNAPSHOT_LOAD_DONE && !load->is_verify_only && load->loaded != NULL);
    struct state_machine_loaded *loaded = load->loaded;
    loaded->file_bytes = load->reader.file_bytes;
    load->loaded = NULL;
    return loaded;
}

enum err snapshot_load_err(const struct snapshot_load *load) { return load->reader.err; }
const char *snapshot_load_message(const struct snapshot_load *load) { return load->reader.message; }
bool snapshot_load_is_unsupported(const struct snapshot_load *load) { return load->reader.is_unsupported; }
