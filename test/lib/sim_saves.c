/* sim_saves: see sim_saves.h. */
#include "lib/sim_saves.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "lib/fs_sim.h"
#include "lib/sim_backups.h"
#include "lib/world_watch.h"
#include "storage/snapshot_load.h"

#define SAVE_PATH "saved.db"

void sim_saves_init(struct sim_saves *saves, struct world *world, uint64_t seed, uint32_t members, uint32_t per_minute)
{
    *saves = (struct sim_saves){.world = world, .members = members, .per_minute = per_minute};
    tape_init(&saves->tape, seed ^ UINT64_C(0x2545f4914f6cdd1d), world_reel(world), TAPE_SAVES);
}

static void ask(struct sim_saves *saves)
{
    uint32_t member = (uint32_t)tape_below(&saves->tape, saves->members);
    int64_t revision = 0;
    if (!world_is_up(saves->world, member) || !world_is_ready(saves->world, member)) return;
    (void)world_hash(saves->world, member, &saves->floor_index, &revision);
    saves->call = world_call(saves->world, member, "/etcdserverpb.Maintenance/Snapshot", slice_empty());
    saves->is_slow = tape_below(&saves->tape, 3) == 2;
    if (saves->is_slow) world_call_slowly(saves->world, saves->call);
}

static void demand(struct sim_saves *saves, bool holds, const char *invariant, uint64_t a, uint64_t b)
{
    if (!holds) world_watch_broken(saves->world, invariant, 0, a, b);
}

/* The bytes of all pieces, without the sum behind them. False: not all came. */
static bool join_pieces(struct sim_saves *saves, struct slice messages, struct buf *out_file)
{
    struct reader reader = reader_make(messages);
    struct pb_field field;
    struct sha256 *sha256 = sha256_new();
    uint8_t sum[SHA256_BYTES];
    uint64_t remaining = UINT64_MAX, left = 0;
    struct slice last = slice_empty();
    while (reader_pb_field(&reader, &field)) {
        if (field.number == 1) left = 0; /* a message begins; what is left is told if it is not 0 */
        if (field.number == 2) left = field.value;
        if (field.number != 3) continue;
        demand(saves, left <= remaining, "S1 what remains of a snapshot goes down", left, remaining);
        remaining = left;
        sha256_add(sha256, last);
        buf_put_slice(out_file, last);
        last = field.bytes;
    }
    sha256_finish(sha256, sum);
    sha256_free(sha256);
    demand(saves, !reader.bad && remaining == 0, "S1 a snapshot that ends well is whole", remaining, messages.size);
    bool is_sum = last.size == SHA256_BYTES && memcmp(last.data, sum, SHA256_BYTES) == 0;
    demand(saves, is_sum, "S1 the last message is the sum of all others", last.size, out_file->size);
    demand(saves, out_file->size % 512 == 0 && out_file->size > 0, "S1 a snapshot is whole blocks", out_file->size, 0);
    buf_put_slice(out_file, slice_make(sum, SHA256_BYTES));
    return true;
}

static void check_state(struct sim_saves *saves, struct slice file)
{
    struct fs_sim_disk *disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(disk, true);
    struct fs_file *out = NULL;
    bool is_put = fs_open(fs, SAVE_PATH, FS_WRITE | FS_CREATE, &out) == 0;
    struct fs_op write = {.kind = FS_PWRITE, .file = out, .data = file.data, .size = file.size};
    is_put = is_put && fs_run(fs, &write) == 0;
    ASSERT(is_put);
    fs_close(fs, out);
    struct snapshot_load *load = snapshot_load_new(&(struct snapshot_load_options){
        .fs = fs, .path = SAVE_PATH, .trailer = SNAPSHOT_READER_TRAILER_MUST, .is_blocking = true});
    while (snapshot_load_step(load)) continue;
    bool is_loaded = snapshot_load_state(load) == SNAPSHOT_LOAD_DONE;
    if (!is_loaded) fprintf(stderr, "a saved snapshot: %s\n", snapshot_load_message(load));
    demand(saves, is_loaded, "S1 a saved snapshot loads", file.size, 0);
    uint64_t index = snapshot_load_head(load)->index, hash = snapshot_load_hash(load);
    demand(saves, index >= saves->floor_index, "S2 a saved snapshot is not older than its request", index, saves->floor_index);
    uint64_t known = world_watch_state_hash(saves->world, index);
    demand(saves, known == 0 || known == (hash | 1), "S2 a saved snapshot is the state at its index", index, hash);
    struct state_machine_loaded *loaded = snapshot_load_take(load);
    snapshot_load_free(load);
    if (tape_below(&saves->tape, 4) == 3) {
        saves->restored++;
        sim_backups_check(saves->world, fs, SAVE_PATH, loaded, tape_below(&saves->tape, 3) == 0 ? 0 : 1 + (int64_t)tape_below(&saves->tape, 1000000));
    }
    state_machine_loaded_free(loaded);
    fs_free(fs);
    fs_sim_disk_free(disk);
}

static void take_answer(struct sim_saves *saves, enum err err, struct slice messages, bool died)
{
    struct buf file;
    saves->call = 0;
    if (err != ERR_OK || died) {
        saves->failed++;
        return;
    }
    buf_init(&file);
    if (join_pieces(saves, messages, &file)) check_state(saves, buf_slice(&file));
    buf_deinit(&file);
    saves->saved++;
}

void sim_saves_step(struct sim_saves *saves, uint64_t ns, bool is_over)
{
    enum err err = ERR_OK;
    struct slice messages = slice_empty();
    bool died = false;
    if (saves->per_minute == 0) return;
    if (saves->call == 0) {
        if (!is_over && tape_chance(&saves->tape, saves->per_minute * ns, 60 * NS_PER_S)) ask(saves);
        return;
    }
    if (world_answer(saves->world, saves->call, &err, &messages, &died)) {
        take_answer(saves, err, messages, died);
    } else if (saves->is_slow && (is_over || tape_chance(&saves->tape, 1, 4))) {
        world_call_take(saves->world, saves->call, is_over, !is_over && tape_below(&saves->tape, 20) == 19);
    }
}
