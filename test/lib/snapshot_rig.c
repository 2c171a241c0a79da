/* snapshot_rig: see snapshot_rig.h. */
#include "lib/snapshot_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/sha256.h"
#include "storage/alarm_state.h"
#include "storage/mvcc_record.h"

#define MEMBER_ID 0x1234
#define INITIAL "one=http://10.0.0.1:2380,two=http://10.0.0.2:2380"

void snapshot_rig_store_init(struct snapshot_rig_store *store, struct mvcc_content *content_or_null)
{
    rcu_double_init(&store->rcu);
    store->mvcc = mvcc_new(&(struct mvcc_options){.rcu = &store->rcu.rcu, .content = content_or_null});
}

void snapshot_rig_store_deinit(struct snapshot_rig_store *store)
{
    rcu_double_pass(&store->rcu, UINT64_MAX);
    mvcc_free(store->mvcc);
    store->mvcc = NULL;
}

struct rng snapshot_rig_rng(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    return rng;
}

void snapshot_rig_compact(struct mvcc *mvcc, int64_t revision)
{
    bool is_higher = revision > mvcc_view_compact_revision(mvcc_writer_view(mvcc));
    enum err err = mvcc_compact(mvcc, revision);
    ASSERT(err == (is_higher ? ERR_OK : ERR_COMPACTED));
}

void snapshot_rig_change(struct mvcc *mvcc, struct rng *rng, uint32_t keys, bool with_blobs)
{
    static uint8_t bytes[MVCC_RECORD_BLOB_MIN + 100];
    char key[32];
    char end[32];
    uint64_t operations = 1 + (rng_below(rng, 3) == 0 ? rng_below(rng, 6) : 0);
    mvcc_begin(mvcc);
    for (; operations > 0; operations--) {
        uint32_t number = (uint32_t)rng_below(rng, keys);
        uint64_t kind = rng_below(rng, 8);
        uint64_t size = rng_below(rng, 40);
        uint64_t lease = rng_below(rng, 4) == 0 ? rng_below(rng, UINT64_MAX) : 0;
        if (with_blobs && rng_below(rng, 60) == 0) size += MVCC_RECORD_BLOB_MIN;
        (void)snprintf(key, sizeof key, "/key/%05u", number);
        (void)snprintf(end, sizeof end, "/key/%05u", number + 1 + (uint32_t)(kind == 0 ? keys / 3 : 0));
        memset(bytes, (int)rng_below(rng, 256), (size_t)size);
        struct mvcc_range range = mvcc_range_make(slice_from_string(key), slice_from_string(end));
        if (kind < 2) (void)mvcc_delete(mvcc, &range, NULL, NULL);
        else mvcc_put(mvcc, slice_from_string(kind == 7 ? "/hot" : key), slice_make(bytes, (size_t)size), (int64_t)lease);
    }
    (void)mvcc_commit(mvcc);
}

void snapshot_rig_settle(struct snapshot_rig_store *store)
{
    mvcc_publish(store->mvcc);
    while (mvcc_compact_step(store->mvcc, 1000)) mvcc_publish(store->mvcc);
    mvcc_publish(store->mvcc);
    rcu_double_pass(&store->rcu, UINT64_MAX);
    while (mvcc_reclaim_step(store->mvcc, 1000)) ASSERT(store->mvcc != NULL);
}

static struct blob *no_alarms(void)
{
    struct alarm_state *state = alarm_state_new();
    struct buf buf;
    buf_init(&buf);
    alarm_state_encode(state, &buf);
    alarm_state_free(state);
    return buf_take_blob(&buf);
}

struct state_machine_image *snapshot_rig_image(struct mvcc *mvcc, uint64_t index)
{
    char message[256];
    struct state_machine_image *image = ALLOC(struct state_machine_image);
    mvcc_publish(mvcc);
    bool is_frozen = mvcc_export_freeze(mvcc, &image->keys);
    ASSERT(is_frozen);
    struct cluster *cluster = cluster_from_initial(INITIAL, "token", message, sizeof message);
    image->index = index;
    image->term = 3;
    image->conf = blob_copy(slice_from_string("a configuration"));
    image->cluster = cluster_with_version(cluster, "3.6.0");
    image->mvcc = mvcc;
    image->alarms = no_alarms();
    cluster_unref(cluster);
    return image;
}

enum err snapshot_rig_write(struct fs *fs, struct state_machine_image *image, snapshot_rig_between_fn *between_fn, void *context)
{
    struct snapshot_writer_options options = {.fs = fs, .directory = SNAPSHOT_RIG_DIR, .member_id = MEMBER_ID};
    struct snapshot_writer *writer = snapshot_writer_new(&options, image);
    while (snapshot_writer_step(writer, 1))
        if (between_fn != NULL) between_fn(context);
    bool is_done = snapshot_writer_state(writer) == SNAPSHOT_WRITER_DONE;
    enum err err = snapshot_writer_err(writer);
    ASSERT(snapshot_writer_state(writer) != SNAPSHOT_WRITER_RUNNING);
    ASSERT(is_done == (err == ERR_OK) && is_done == (snapshot_writer_message(writer)[0] == '\0'));
    snapshot_writer_free(writer);
    return err;
}

enum err snapshot_rig_load(struct fs *fs, const char *path, struct state_machine_loaded **out_loaded)
{
    struct snapshot_load_options options = {.fs = fs, .path = path, .is_blocking = true};
    struct snapshot_load *load = snapshot_load_new(&options);
    while (snapshot_load_step(load)) ASSERT(snapshot_load_state(load) == SNAPSHOT_LOAD_RUNNING);
    enum err err = snapshot_load_err(load);
    ASSERT((snapshot_load_state(load) == SNAPSHOT_LOAD_DONE) == (err == ERR_OK));
    ASSERT(err == ERR_OK || strstr(snapshot_load_message(load), path) != NULL);
    if (err == ERR_OK) *out_loaded = snapshot_load_take(load);
    snapshot_load_free(load);
    return err;
}

char *snapshot_rig_path(uint64_t index)
{
    struct snapshot_dir dir = {.path = (char *)(uintptr_t)SNAPSHOT_RIG_DIR};
    return snapshot_dir_file(&dir, index, 3, false);
}

void snapshot_rig_make_dir(struct fs *fs)
{
    static const char *const names[] = {"data", SNAPSHOT_RIG_DIR};
    for (size_t i = 0; i < 2; i++) {
        struct fs_op make = {.kind = FS_MKDIR, .path = names[i]};
        int error = fs_run(fs, &make);
        ASSERT(error == 0);
    }
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = "data"};
    (void)fs_run(fs, &sync);
    sync.path = ".";
    (void)fs_run(fs, &sync);
}

struct blob *snapshot_rig_bytes(struct fs *fs, const char *path)
{
    struct blob *bytes = NULL;
    int error = fs_read_file(fs, path, 64u << 20, &bytes);
    ASSERT(error == 0);
    return bytes;
}

struct blob *snapshot_rig_saved(struct slice file)
{
    struct blob *bytes = blob_new((size_t)snapshot_format_saved_bytes(file.size));
    struct sha256 *sha256 = sha256_new();
    memset(bytes->data, 0, bytes->size);
    if (file.size > 0) memcpy(bytes->data, file.data, file.size);
    sha256_add(sha256, slice_make(bytes->data, bytes->size - SHA256_BYTES));
    sha256_finish(sha256, bytes->data + bytes->size - SHA256_BYTES);
    sha256_free(sha256);
    return bytes;
}

void snapshot_rig_put(struct fs *fs, const char *path, struct slice bytes)
{
    struct fs_file *file = NULL;
    int error = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    ASSERT(error == 0);
    struct fs_op op = {.kind = FS_PWRITE, .file = file, .data = bytes.data, .size = bytes.size};
    if (bytes.size > 0) error = fs_run(fs, &op);
    ASSERT(error == 0);
    fs_close(fs, file);
}

/* --- are two stores one? ----------------------------------------------------------------------------------------------------- */

static void compare_kv(const struct mvcc_kv *a, const struct mvcc_kv *b)
{
    ASSERT(slice_equal(a->key, b->key) && slice_equal(a->value, b->value));
    ASSERT(a->create_revision == b->create_revision && a->mod_revision == b->mod_revision);
    ASSERT(a->version == b->version && a->lease == b->lease);
    ASSERT((a->value_blob == NULL) == (b->value_blob == NULL));
}

static void compare_at(const struct mvcc_view *a, const struct mvcc_view *b, int64_t revision)
{
    struct mvcc_range all = mvcc_range_make(slice_make("", 1), slice_make("", 1));
    struct mvcc_range some = mvcc_range_make(slice_from_string("/key/00003"), slice_from_string("/key/00040"));
    struct mvcc_scan scan_a, scan_b;
    struct mvcc_kv kv_a, kv_b, kv;
    ASSERT(mvcc_hash(a, revision) == mvcc_hash(b, revision));
    ASSERT(mvcc_count(a, &all, revision) == mvcc_count(b, &all, revision));
    ASSERT(mvcc_count(a, &some, revision) == mvcc_count(b, &some, revision));
    mvcc_scan_init(&scan_a, a, &all, revision);
    mvcc_scan_init(&scan_b, b, &all, revision);
    while (mvcc_scan_next(&scan_a, &kv_a)) {
        bool has_both = mvcc_scan_next(&scan_b, &kv_b);
        ASSERT(has_both);
        compare_kv(&kv_a, &kv_b);
        bool is_found = mvcc_get(b, kv_a.key, revision, &kv);
        ASSERT(is_found);
        compare_kv(&kv_a, &kv);
    }
    bool has_more = mvcc_scan_next(&scan_b, &kv_b);
    ASSERT(!has_more);
}

static void compare_history(const struct mvcc_view *a, const struct mvcc_view *b, int64_t from)
{
    struct mvcc_history history_a, history_b;
    struct mvcc_change change_a, change_b;
    mvcc_history_init(&history_a, a, from);
    mvcc_history_init(&history_b, b, from);
    while (mvcc_history_next(&history_a, &change_a)) {
        bool has_both = mvcc_history_next(&history_b, &change_b);
        ASSERT(has_both && change_a.revision == change_b.revision && change_a.sub == change_b.sub);
        ASSERT(change_a.is_delete == change_b.is_delete);
        compare_kv(&change_a.kv, &change_b.kv);
    }
    bool has_more = mvcc_history_next(&history_b, &change_b);
    ASSERT(!has_more);
}

void snapshot_rig_compare(const struct mvcc_view *a, const struct mvcc_view *b)
{
    uint64_t bytes_a, bytes_b, live_a, live_b;
    ASSERT(mvcc_view_revision(a) == mvcc_view_revision(b));
    ASSERT(mvcc_view_compact_revision(a) == mvcc_view_compact_revision(b));
    ASSERT(mvcc_view_key_count(a) == mvcc_view_key_count(b));
    mvcc_view_sizes(a, &bytes_a, &live_a);
    mvcc_view_sizes(b, &bytes_b, &live_b);
    ASSERT(live_a == live_b);
    int64_t first = mvcc_view_compact_revision(a) > 0 ? mvcc_view_compact_revision(a) : 1;
    for (int64_t revision = first; revision <= mvcc_view_revision(a); revision++) {
        compare_at(a, b, revision);
        if (revision % 4 == 0 || revision == first) compare_history(a, b, revision);
    }
}
