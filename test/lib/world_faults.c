/* world_faults: what happens to disks, and where. See world.h. */
#include "lib/world_inner.h"

#include <errno.h>
#include <stdio.h>

#include "storage/wal_format.h"

#define END_BYTES (2 * WAL_FORMAT_BLOCK)

/* The disk from before is put in again. */
static void give_log_back(struct world_member *member)
{
    fs_sim_disk_free(member->disk);
    member->disk = member->damage.whole;
    member->damage.whole = NULL;
    member->damage.is_there = false;
}

/* The bits are put right again, as from a copy. */
void world_repair(struct world_member *member)
{
    if (member->damage.whole != NULL) {
        give_log_back(member);
        return;
    }
    for (uint32_t i = 0; i < member->damage.lost_count; i++) {
        const struct world_flip *lost = &member->damage.lost[i];
        if (fs_sim_exists(member->disk, lost->path)) fs_sim_flip(member->disk, lost->path, lost->offset, lost->mask);
    }
    member->damage.lost_count = 0;
    bool is_there = fs_sim_exists(member->disk, member->damage.path) && fs_sim_size(member->disk, member->damage.path) > member->damage.offset;
    if (is_there) fs_sim_flip(member->disk, member->damage.path, member->damage.offset, member->damage.mask);
    if (strcmp(member->damage.path, member->damaged_snapshot) == 0) member->damaged_snapshot[0] = '\0';
    member->damage.is_there = false;
}

/* Is there another snapshot to fall back to? For one that was installed, only a newer one: the log begins behind it. */
bool world_has_other_snapshot(const struct world_member *member)
{
    char directory[64], name[64];
    uint64_t index = 0, term = 0, other_index = 0;
    bool has_other = false;
    if (!snapshot_format_parse_name(strrchr(member->damage.path, '/') + 1, &index, &term)) return true; /* not finished, or no snapshot */
    snprintf(directory, sizeof(directory), "%.40s/snap", member->config.data_dir_path);
    for (size_t i = 0; fs_sim_name(member->disk, directory, i, name, sizeof(name)); i++) {
        if (!snapshot_format_parse_name(name, &other_index, &term) || other_index == index) continue;
        has_other = has_other || other_index > index || index != member->watch.installed_index;
    }
    return has_other;
}

void world_disk_speed(struct world *world, uint32_t member, enum world_disk_speed speed)
{
    world_note(world, "disk speed", member, speed, 0);
    world->members[member].speed = speed;
}

void world_hang_chores(struct world *world, uint32_t member, bool hangs)
{
    world_note(world, "chores", member, hangs, 0);
    world->members[member].chores_hang = hangs;
}

void world_disk_room(struct world *world, uint32_t member, bool is_plenty)
{
    struct fs_sim_disk *disk = world->members[member].disk;
    world->alarms.was_full = world->alarms.was_full || !is_plenty;
    world_note(world, "disk room", member, is_plenty, 0);
    fs_sim_set_room(disk, is_plenty ? UINT64_MAX : fs_sim_used(disk) + tape_below(&world->tape, 32 << 10));
}

void world_fail_start(struct world *world, uint32_t number, uint32_t kind, uint64_t nth, int error)
{
    struct world_member *member = &world->members[number];
    ASSERT(!member->is_up && nth > 0);
    member->next_start.kind = (enum fs_kind)kind;
    member->next_start.nth = nth;
    member->next_start.error = error;
}

struct fs_sim_disk *world_disk(struct world *world, uint32_t member) { return world->members[member].disk; }

void world_damaged(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    ASSERT(!member->is_up);
    world_note(world, "damage", number, 0, 0);
    member->damage.is_there = true;
    member->damage.path[0] = '\0'; /* whoever did it puts it right */
}

void world_give_disk(struct world *world, uint32_t number, struct fs_sim_disk *disk, bool is_own)
{
    struct world_member *member = &world->members[number];
    ASSERT(!member->is_up && disk != member->disk);
    world_note(world, "another disk", number, is_own, 0);
    fs_sim_disk_free(member->disk);
    member->disk = disk;
    member->is_foreign = !is_own;
    if (is_own) return;
    memset(&member->watch.owed, 0, sizeof(member->watch.owed));
    memset(member->watch.last_rounds, 0, sizeof(member->watch.last_rounds));
    member->watch.excused_index = 0;
}

const char *world_last_word(const struct world *world, uint32_t member) { return world->members[member].message; }
const char *world_last_refusal(const struct world *world, uint32_t member) { return world->members[member].refusal; }

bool world_is_whole(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        if (!world_watch_is_whole(&world->members[i])) return false;
    }
    return true;
}

/* Some sectors at most before the last byte that is not zero: there stands what was written last. */
static uint64_t near_end(struct world_member *member, const char *path, uint64_t size)
{
    uint8_t sector[FS_SIM_SECTOR];
    for (uint64_t place = size / sizeof(sector); place > 0; place--) {
        fs_sim_peek(member->disk, path, (place - 1) * sizeof(sector), sector, sizeof(sector));
        if (sector[0] == 0 && memcmp(sector, sector + 1, sizeof(sector) - 1) == 0) continue;
        uint64_t end = place * sizeof(sector), span = end < 3 * sizeof(sector) ? end : 3 * sizeof(sector);
        return end - 1 - tape_below(&member->world->tape, span);
    }
    return 0;
}

/* In the last sectors of what counts of the newest segment; 0 = there is none. */
static uint64_t newest_end(struct world_member *member, char *out_path, size_t path_size)
{
    char directory[64], name[64], segment[64] = "";
    uint64_t sequence = 0, first_index = 0, end = 0;
    snprintf(directory, sizeof(directory), "%.40s/wal", member->config.data_dir_path);
    for (size_t i = 0; fs_sim_name(member->disk, directory, i, name, sizeof(name)); i++) {
        if (wal_format_parse_name(name, &sequence, &first_index)) snprintf(segment, sizeof(segment), "%s", name);
    }
    if (segment[0] == '\0') return 0;
    snprintf(out_path, path_size, "%s/%s", directory, segment);
    struct wal_format_stamp stamp, first = {.segment_id = 0};
    for (uint64_t offset = 0; offset + WAL_FORMAT_BLOCK <= fs_sim_size(member->disk, out_path); offset += WAL_FORMAT_BLOCK) {
        uint8_t block[WAL_FORMAT_BLOCK];
        fs_sim_peek(member->disk, out_path, offset, block, sizeof(block));
        bool is_good = wal_format_classify(block, &stamp) == WAL_FORMAT_GOOD;
        if (is_good && offset == 0) first = stamp;
        if (is_good && stamp.segment_id == first.segment_id) end = offset + WAL_FORMAT_BLOCK;
    }
    return end == 0 ? 0 : end - 1 - tape_below(&member->world->tape, end < END_BYTES ? end : END_BYTES);
}

static bool choose_end(struct world_member *member)
{
    struct world *world = member->world;
    char path[128];
    if (world->options.flip_end_percent == 0 || !tape_chance(&world->tape, world->options.flip_end_percent, 100)) return false;
    uint64_t offset = newest_end(member, path, sizeof(path));
    if (offset == 0) return false;
    snprintf(member->damage.path, sizeof(member->damage.path), "%s", path);
    member->damage.offset = offset;
    return true;
}

/* A byte that is not zero, so that the damage is mostly where something stands. */
static bool choose_byte(struct world_member *member)
{
    struct world *world = member->world;
    char directory[64], name[64], path[128];
    size_t count = 0;
    /* One damaged snapshot at a time: there is another one to fall back to. */
    bool may_snapshot = world->options.snapshot_count != 0 && !fs_sim_exists(member->disk, member->damaged_snapshot);
    bool has_snapshots = may_snapshot && tape_below(&world->tape, 4) == 3;
    snprintf(directory, sizeof(directory), "%.40s/%s", member->config.data_dir_path, has_snapshots ? "snap" : "wal");
    while (fs_sim_name(member->disk, directory, count, name, sizeof(name))) count++;
    for (uint32_t tries = 0; count > 0 && tries < 50; tries++) {
        uint8_t byte = 0;
        (void)fs_sim_name(member->disk, directory, (size_t)tape_below(&world->tape, count), name, sizeof(name));
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        uint64_t size = fs_sim_size(member->disk, path);
        if (size == 0) continue;
        bool is_old = tape_below(&world->tape, 2) == 0;
        uint64_t offset = is_old ? tape_below(&world->tape, size) : near_end(member, path, size);
        fs_sim_peek(member->disk, path, offset, &byte, 1);
        if (byte == 0) continue;
        snprintf(member->damage.path, sizeof(member->damage.path), "%s", path);
        if (has_snapshots) snprintf(member->damaged_snapshot, sizeof(member->damaged_snapshot), "%s", path);
        member->damage.offset = offset;
        return true;
    }
    return false;
}

void world_flip(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    bool may = !member->is_up && world->options.members >= 3 && world_is_whole(world);
    if (!may || (!choose_end(member) && !choose_byte(member))) return;
    member->damage.mask = (uint8_t)(1u + tape_below(&world->tape, 255));
    member->damage.is_there = true;
    member->flips++;
    world->counts.flips++;
    world_note(world, "flip", number, member->damage.offset, member->damage.mask);
    fs_sim_flip(member->disk, member->damage.path, member->damage.offset, member->damage.mask);
}

/* One bit of each: nothing is left to begin with, but what the log holds from its beginning on. */
void world_lose_snapshots(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    char directory[64], name[64];
    uint64_t index = 0, term = 0;
    if (member->is_up || world->options.members < 3 || !world_is_whole(world)) return;
    ASSERT(member->damage.lost_count == 0);
    snprintf(directory, sizeof(directory), "%.40s/snap", member->config.data_dir_path);
    for (size_t i = 0; fs_sim_name(member->disk, directory, i, name, sizeof(name)); i++) {
        if (!snapshot_format_parse_name(name, &index, &term)) continue;
        ASSERT(member->damage.lost_count < WORLD_LOST_MAX);
        struct world_flip *lost = &member->damage.lost[member->damage.lost_count++];
        snprintf(lost->path, sizeof(lost->path), "%s/%s", directory, name);
        lost->offset = tape_below(&world->tape, fs_sim_size(member->disk, lost->path));
        lost->mask = (uint8_t)(1u + tape_below(&world->tape, 255));
        fs_sim_flip(member->disk, lost->path, lost->offset, lost->mask);
    }
    if (member->damage.lost_count == 0) return;
    member->damage.is_there = true;
    member->damage.path[0] = '\0';
    member->flips++;
    world->counts.flips++;
    world->counts.lost_snapshots++;
    world_note(world, "all snapshots damaged", number, member->damage.lost_count, 0);
}

/* As after a repair of its file system that found no names for them; it ends with a sync, so that no power loss brings the name of an older one
 * back. Who has voted before must not vote as if it were new. */
void world_lose_log(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    char directory[64], name[64], path[128];
    if (member->is_up || !world_is_whole(world)) return;
    ASSERT(member->damage.whole == NULL && member->damage.lost_count == 0);
    struct fs_sim_disk *synced = fs_sim_crash(member->disk, &(struct fs_sim_crash){.loss = FS_SIM_KEEP_ALL, .names = FS_SIM_NAMES_ALL});
    fs_sim_disk_free(member->disk);
    member->disk = synced;
    member->damage.whole = fs_sim_copy(member->disk);
    snprintf(directory, sizeof(directory), "%.40s/wal", member->config.data_dir_path);
    while (fs_sim_name(member->disk, directory, 0, name, sizeof(name))) {
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        fs_sim_remove(member->disk, path);
    }
    member->damage.is_there = true;
    member->damage.path[0] = '\0';
    world->counts.lost_logs++;
    world_note(world, "its log is gone", number, 0, 0);
}

/* The operation that fails comes soon; each of them must end the member. */
void world_disk_fail(struct world *world, uint32_t number, bool fails)
{
    static const enum fs_kind kinds[] = {FS_FDATASYNC, FS_FDATASYNC, FS_PWRITE, FS_FSYNC_DIR, FS_RENAME, FS_ALLOCATE};
    struct fs_sim_disk *disk = world->members[number].disk;
    enum fs_kind kind = kinds[fails ? tape_below(&world->tape, 6) : 0];
    if (fails) world_note(world, "disk fails soon", number, kind, 0);
    for (uint32_t i = 0; !fails && i < 6; i++) fs_sim_fail(disk, kinds[i], 0, 0);
    if (fails) fs_sim_fail(disk, kind, 1 + tape_below(&world->tape, 12), EIO);
}

void world_break_permille(struct world *world, uint32_t permille) { world->options.break_permille = permille; }
void world_quiet(struct world *world)
{
    world->options.break_permille = world->options.repeat_permille = world->options.start_fault_permille = world->options.nap_permille = 0;
    world->options.snap_fault_permille = world->options.unlink_fault_permille = world->options.start_cut_permille = 0;
    world->options.name_doom_permille = 0;
}
