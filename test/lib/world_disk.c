/* world_disk: files that complete when the world says so, and a look at what a power loss would leave. */
#include <errno.h>
#include <stdio.h>

#include "lib/world_inner.h"
#include "storage/wal_spare.h"

#define FAST_NS (400 * NS_PER_US)
#define SLOW_NS (300 * NS_PER_MS)

struct world_fs {
    struct fs fs; /* first */
    struct fs *inner;
    struct world_member *member;
    bool is_late, is_settled;    /* settled: its member is gone */
    struct fs_op *held;          /* it failed, and that is told in a step that nothing encloses */
    uint64_t due_ns[FS_OPS_MAX]; /* of the operations in flight, oldest first */
    bool is_sync[FS_OPS_MAX];    /* the same */
    uint32_t due_count;
};

/* A snapshot that cannot be written, or read, and old entries that cannot be read for another member, stop nobody and lose nothing. What must go
 * because its name could not be made durable does go: else a start would see it, and two failures were one after the other. */
static bool draw_failure(struct world_fs *fs, enum fs_kind kind)
{
    struct world_member *member = fs->member;
    struct world *world = member->world;
    bool may = &fs->fs == member->snap_fs && member->is_up && !fs->is_settled && kind != FS_CLOSE && kind != FS_UNLINK;
    if (!may || !tape_chance(&world->tape, world->options.snap_fault_permille, 1000)) return false;
    bool grows = kind == FS_PWRITE || kind == FS_OPEN || kind == FS_RENAME;
    fs_sim_fail_now(member->disk, grows && tape_below(&world->tape, 2) == 1 ? ENOSPC : EIO);
    world_note(world, "a snapshot's file fails", member->number, kind, 0);
    world->counts.snap_faults++;
    return true;
}

/* What is to go stays, or somebody else has removed it. Of the whole files those whose name is durable: the others must go, as above. */
static void draw_removal(struct world_fs *fs, const struct fs_op *op)
{
    static const int errors[] = {EIO, EROFS, EACCES, ENOENT};
    struct world_member *member = fs->member;
    struct world *world = member->world;
    size_t size = strlen(op->path), suffix = strlen(SNAPSHOT_FORMAT_TMP_SUFFIX);
    bool is_whole = size <= suffix || strcmp(op->path + size - suffix, SNAPSHOT_FORMAT_TMP_SUFFIX) != 0;
    bool may = &fs->fs == member->snap_fs && member->is_up && !fs->is_settled && (!is_whole || fs_sim_is_named(member->disk, op->path));
    if (!may || !tape_chance(&world->unlink_tape, world->options.unlink_fault_permille, 1000)) return;
    int error = errors[tape_below(&world->unlink_tape, 4)];
    if (error == ENOENT) fs_sim_remove(member->disk, op->path);
    else fs_sim_fail_now(member->disk, error);
    world_note(world, "a removal fails", member->number, (uint64_t)error, is_whole);
    world->counts.unlink_faults++;
}

/* A snapshot has just been given its name; the sync of it comes next. */
static void draw_doom(struct world_fs *fs)
{
    struct world_member *member = fs->member;
    struct world *world = member->world;
    bool may = &fs->fs == member->snap_fs && fs->is_late && member->is_up && !fs->is_settled && member->doom_steps == 0;
    if (!may || !tape_chance(&world->name_tape, world->options.name_doom_permille, 1000)) return;
    bool loses_power = tape_below(&world->name_tape, 4) == 3;
    world_note(world, "doomed beside a new name", member->number, loses_power, 0);
    world->counts.name_dooms++;
    world_kill_soon(world, member->number, loses_power, false, 1 + (uint32_t)tape_below(&world->name_tape, 3));
}

static void run(struct fs *base, struct fs_op *op)
{
    struct world_fs *fs = (struct world_fs *)base;
    (void)draw_failure(fs, op->kind);
    (void)fs_run(fs->inner, op);
}

/* A sync fails when it completes, all else when it is asked for; what is asked for is the last of those in flight. */
static bool fails_at_once(enum fs_kind kind) { return kind != FS_FDATASYNC && kind != FS_FSYNC_DIR && kind != FS_CLOSE; }

static uint64_t due_ns(struct world_fs *fs, enum fs_kind kind)
{
    struct world *world = fs->member->world;
    bool is_sync = kind == FS_FDATASYNC || kind == FS_FSYNC_DIR;
    uint64_t span_ns = fs->member->speed == WORLD_DISK_FAST || !is_sync ? FAST_NS : SLOW_NS;
    return world->now_ns + tape_below(&world->tape, span_ns);
}

static void submit(struct fs *base, struct fs_op *op)
{
    struct world_fs *fs = (struct world_fs *)base;
    world_note(fs->member->world, "file", fs->member->number, op->kind, op->size);
    bool is_reused = &fs->fs == fs->member->work_fs && op->kind == FS_OPEN && (op->flags & FS_CREATE) == 0;
    if (is_reused) fs->member->world->counts.reused_files++;
    if (fails_at_once(op->kind)) (void)draw_failure(fs, op->kind);
    if (op->kind == FS_UNLINK) draw_removal(fs, op);
    fs_submit(fs->inner, op);
    if (op->kind == FS_RENAME) draw_doom(fs);
    if (fs->is_late) {
        ASSERT(fs->due_count < FS_OPS_MAX);
        fs->is_sync[fs->due_count] = !fails_at_once(op->kind) && op->kind != FS_CLOSE;
        fs->due_ns[fs->due_count++] = due_ns(fs, op->kind);
        if (&fs->fs == fs->member->work_fs) fs->member->world->counts.late_chores++;
    } else {
        if (!fails_at_once(op->kind)) (void)draw_failure(fs, op->kind);
        bool is_done = fs_sim_complete(fs->inner, 0);
        ASSERT(is_done);
    }
}

/* After these the page cache is not to be trusted: the member has to stop. */
static bool is_grave(const struct world_fs *fs, const struct fs_op *op)
{
    if (&fs->fs == fs->member->snap_fs) return false; /* a snapshot that fails is not trusted, and the log is still whole */
    if (op->kind == FS_RENAME && wal_spare_is_name(strrchr(op->path2, '/') + 1)) return false; /* an old segment that is not kept is removed */
    bool changes = op->kind == FS_PWRITE || op->kind == FS_FDATASYNC || op->kind == FS_FSYNC_DIR || op->kind == FS_RENAME ||
                   op->kind == FS_ALLOCATE || op->kind == FS_OPEN;
    bool is_made = op->kind == FS_PWRITE || op->kind == FS_FDATASYNC; /* room was made before: there cannot be too little */
    return changes && op->error != 0 && (op->error != ENOSPC || (is_made && &fs->fs == fs->member->wal_fs));
}

static struct fs_op *take_done(struct fs *base)
{
    struct world_fs *fs = (struct world_fs *)base;
    struct world_member *member = fs->member;
    struct fs_op *op = fs->held;
    if (op == NULL) op = fs_take_done(fs->inner);
    fs->held = NULL;
    if (op == NULL || !is_grave(fs, op)) return op;
    if (fs->is_settled) op->error = 0; /* there is nobody any more who could stop */
    if (fs->is_settled) return op;
    if (member->world->depth > 1) {
        fs->held = op;
        member->more = UINT32_MAX; /* all roles: who waits for it will ask again */
        return NULL;
    }
    if (member->failed_steps == 0) member->failed_steps = 1;
    return op;
}

static void free_fs(struct fs *base)
{
    fs_free(((struct world_fs *)base)->inner);
    alloc_free(base);
}

struct fs *world_disk_fs(struct world_member *member, bool is_late)
{
    static const struct fs_table table = {.run = run, .submit = submit, .take_done = take_done, .free = free_fs};
    struct world_fs *fs = ALLOC(struct world_fs);
    fs->fs.table = &table;
    fs->inner = fs_sim_new(member->disk, false);
    fs->member = member;
    fs->is_late = is_late;
    return &fs->fs;
}

static bool is_stuck(const struct world_fs *fs)
{
    const struct world_member *member = fs->member;
    return &fs->fs == member->work_fs ? member->chores_hang : member->speed == WORLD_DISK_STUCK;
}

void world_disk_set_late(struct fs *fs, bool is_late) { ((struct world_fs *)fs)->is_late = is_late; }

/* The role that submitted them is rung. */
static void tend_fs(struct world_member *member, struct world_fs *fs, const struct actor *role_of_fs)
{
    if (fs->due_count == 0 || is_stuck(fs)) return;
    for (uint32_t i = 0; i < fs->due_count;) {
        if (fs->due_ns[i] > member->world->now_ns) {
            i++;
            continue;
        }
        if (fs->is_sync[i]) (void)draw_failure(fs, FS_FDATASYNC);
        bool is_done = fs_sim_complete(fs->inner, i);
        ASSERT(is_done);
        fs->due_count--;
        memmove(&fs->is_sync[i], &fs->is_sync[i + 1], (fs->due_count - i) * sizeof(bool));
        world_wake(member);
        memmove(&fs->due_ns[i], &fs->due_ns[i + 1], (fs->due_count - i) * sizeof(uint64_t));
        for (uint32_t role = 0; role < member->line.role_count; role++) {
            if (member->line.roles[role] == role_of_fs) member->more |= 1u << role;
        }
    }
}

void world_disk_tend(struct world_member *member)
{
    tend_fs(member, (struct world_fs *)member->wal_fs, &member->line.wal.actor);
    tend_fs(member, (struct world_fs *)member->work_fs, &member->line.work.actor);
    tend_fs(member, (struct world_fs *)member->snap_fs, &member->line.snap.actor);
}

static uint64_t stuck_ns(const struct world_member *member, const struct world_fs *fs)
{
    uint64_t first_ns = CLOCK_NEVER, now_ns = member->world->now_ns;
    if (!is_stuck(fs)) return 0;
    for (uint32_t i = 0; i < fs->due_count; i++) {
        if (fs->due_ns[i] < first_ns) first_ns = fs->due_ns[i];
    }
    if (first_ns < member->pause_until_ns) first_ns = member->pause_until_ns; /* while it slept it could do nothing about it */
    return first_ns < now_ns ? now_ns - first_ns : 0;
}

uint64_t world_disk_stuck_ns(const struct world_member *member)
{
    uint64_t wal_ns = stuck_ns(member, (const struct world_fs *)member->wal_fs);
    uint64_t work_ns = stuck_ns(member, (const struct world_fs *)member->work_fs);
    return wal_ns > work_ns ? wal_ns : work_ns;
}

static uint64_t next_ns_of(const struct world_fs *fs)
{
    uint64_t next_ns = CLOCK_NEVER;
    if (is_stuck(fs)) return next_ns;
    for (uint32_t i = 0; i < fs->due_count; i++) {
        if (fs->due_ns[i] < next_ns) next_ns = fs->due_ns[i];
    }
    return next_ns;
}

uint64_t world_disk_next_ns(const struct world_member *member)
{
    uint64_t wal_ns = next_ns_of((const struct world_fs *)member->wal_fs), work_ns = next_ns_of((const struct world_fs *)member->work_fs);
    uint64_t snap_ns = next_ns_of((const struct world_fs *)member->snap_fs);
    if (snap_ns < wal_ns) wal_ns = snap_ns;
    return wal_ns < work_ns ? wal_ns : work_ns;
}

void world_disk_settle(struct fs *base)
{
    struct world_fs *fs = (struct world_fs *)base;
    while (fs_sim_complete(fs->inner, 0)) continue;
    fs->due_count = 0;
    fs->is_late = false;
    fs->is_settled = true;
}

/* --- a start --- */

/* Reads mostly: a start does little else. Any of the first operations of its kind, or a late one, where the log is read. */
void world_disk_arm_start(struct world_member *member)
{
    static const enum fs_kind kinds[] = {FS_OPEN, FS_PREAD, FS_PREAD, FS_PREAD, FS_SIZE, FS_LIST, FS_LOCK, FS_PWRITE, FS_FDATASYNC,
                                         FS_TRUNCATE, FS_RENAME, FS_UNLINK, FS_MKDIR, FS_FSYNC_DIR, FS_ALLOCATE};
    struct world *world = member->world;
    bool has_lived = member->watch.cluster_id != 0, is_planned = member->next_start.nth > 0;
    if (is_planned) {
        member->start_fault = member->next_start.kind;
        member->start_failed = fs_sim_failed(member->disk);
        member->start_is_armed = true;
        fs_sim_fail(member->disk, member->next_start.kind, member->next_start.nth, member->next_start.error);
        member->next_start.nth = 0;
        return;
    }
    if (world->options.start_fault_permille == 0 || !has_lived) return;
    if (!tape_chance(&world->tape, world->options.start_fault_permille, 1000)) return;
    enum fs_kind kind = kinds[tape_below(&world->tape, sizeof(kinds) / sizeof(kinds[0]))];
    uint64_t nth = 1 + tape_below(&world->tape, tape_below(&world->tape, 2) == 0 ? 3 : 20);
    bool is_short = kind == FS_PREAD && tape_below(&world->tape, 2) == 1;
    member->start_fault = kind;
    member->start_failed = fs_sim_failed(member->disk);
    member->start_is_armed = true;
    world_note(world, is_short ? "a read will be short" : "a file operation will fail", member->number, kind, nth);
    fs_sim_fail(member->disk, kind, nth, is_short ? FS_SIM_SHORT : EIO);
}

bool world_disk_disarm_start(struct world_member *member)
{
    if (!member->start_is_armed) return false;
    member->start_is_armed = false;
    fs_sim_fail(member->disk, member->start_fault, 0, 0);
    bool has_failed = fs_sim_failed(member->disk) > member->start_failed;
    member->world->counts.start_faults += has_failed;
    return has_failed;
}

/* --- what a power loss would leave --- */

struct probe {
    struct world_disk_log *log;
    uint64_t capacity;
};

static void keep_term(void *context, const struct raft_entry *entry)
{
    struct probe *probe = context;
    struct world_disk_log *log = probe->log;
    if (entry->index >= probe->capacity) {
        probe->capacity = entry->index * 2 + 64;
        log->terms = alloc_resize(log->terms, probe->capacity * sizeof(uint64_t));
    }
    log->terms[entry->index] = entry->term;
    log->last_index = entry->index;
}

/* The newest good snapshot: what it stands for is not asked of the log. */
static enum err probe_snapshots(struct world_member *member, struct fs *fs, struct world_disk_log *log, struct blob **out_conf)
{
    char path[4200];
    struct snapshot_dir dir;
    struct state_machine_loaded *loaded = NULL;
    snprintf(path, sizeof(path), "%s/snap", member->config.data_dir_path);
    enum err err = snapshot_dir_open(fs, path, &dir, log->message, sizeof(log->message));
    if (err != ERR_OK) return err;
    err = snapshot_dir_load(&dir, member->watch.cluster_id, NULL, NULL, &loaded, log->message, sizeof(log->message));
    if (err == ERR_OK && loaded != NULL) {
        log->snapshot_index = loaded->index;
        log->snapshot_term = loaded->term;
        *out_conf = blob_ref(loaded->conf);
    }
    state_machine_loaded_free(loaded);
    snapshot_dir_close(&dir);
    return err;
}

static void probe_disk(struct world_member *member, struct fs_sim_disk *disk, struct world_disk_log *out_log)
{
    struct fs *fs = fs_sim_new(disk, true);
    char directory[4200];
    snprintf(directory, sizeof(directory), "%s/wal", member->config.data_dir_path);
    struct blob *conf = NULL;
    struct wal *wal = NULL;
    struct wal_recovered found = {0};
    struct probe probe = {.log = out_log};
    *out_log = (struct world_disk_log){.is_good = false};
    bool has_state = probe_snapshots(member, fs, out_log, &conf) == ERR_OK;
    struct wal_options options = {.fs = fs, .directory = directory, .cluster_id = member->watch.cluster_id, .member_id = member->id,
                                  .segment_bytes = member->config.wal_segment_bytes, .batch_bytes_max = 4u << 20,
                                  .snapshot_index = out_log->snapshot_index, .snapshot_term = out_log->snapshot_term, .must_exist = true};
    out_log->is_good = has_state && wal_open(&options, blob_slice(conf), keep_term, &probe, &wal, &found) == ERR_OK;
    if (has_state) snprintf(out_log->message, sizeof(out_log->message), "%s", found.message);
    for (size_t i = 0; out_log->is_good && i < found.pending_count; i++) keep_term(&probe, &found.pending[i]);
    if (out_log->is_good) {
        out_log->hard = found.hard;
        out_log->is_suspect = found.tail == WAL_TAIL_SUSPECT;
        wal_close(wal);
    }
    wal_recovered_deinit(&found);
    blob_unref(conf);
    fs_free(fs);
}

/* As if the newest snapshot were damaged. False: there is no other one to fall back to, or none is owed. */
static bool take_newest_away(struct world_member *member, struct fs_sim_disk *disk, uint64_t newest)
{
    char directory[64], name[64], path[160] = "";
    uint64_t index = 0, term = 0, older = 0;
    snprintf(directory, sizeof(directory), "%.40s/snap", member->config.data_dir_path);
    for (size_t i = 0; fs_sim_name(disk, directory, i, name, sizeof(name)); i++) {
        if (!snapshot_format_parse_name(name, &index, &term)) continue;
        if (index == newest) snprintf(path, sizeof(path), "%s/%s", directory, name);
        if (index < newest && index > older) older = index;
    }
    bool is_owed = older > 0 && older >= member->watch.installed_index && member->flips == 0; /* one damage at a time */
    if (!is_owed || path[0] == '\0') return false;
    fs_sim_remove(disk, path);
    return true;
}

void world_disk_probe(struct world_member *member, const struct fs_sim_crash *crash, struct world_disk_log *out_log)
{
    const struct world *world = member->world;
    bool is_only_loss = world->counts.snap_faults + world->counts.start_faults == 0 && crash->names != FS_SIM_NAMES_RANDOM;
    struct fs_sim_disk *disk = fs_sim_crash(member->disk, crash);
    struct fs_sim_disk *again = is_only_loss ? fs_sim_copy(disk) : NULL; /* a start changes the other */
    struct world_disk_log older;
    probe_disk(member, disk, out_log);
    bool may_lack = is_only_loss && out_log->is_good && out_log->snapshot_index > 0;
    if (may_lack && take_newest_away(member, again, out_log->snapshot_index)) {
        probe_disk(member, again, &older);
        bool is_own = out_log->snapshot_index <= member->watch.posted_index; /* else it was got, and is ahead of the log */
        bool reaches = older.is_good && (!is_own || (older.last_index >= out_log->last_index && older.last_index >= out_log->snapshot_index));
        out_log->is_good = reaches;
        if (!reaches) snprintf(out_log->message, sizeof(out_log->message), "without the newest snapshot: %.480s", older.message);
        world_disk_log_deinit(&older);
        member->world->counts.probes_older++;
    }
    fs_sim_disk_free(again);
    fs_sim_disk_free(disk);
}

void world_disk_log_deinit(struct world_disk_log *log)
{
    alloc_free(log->terms);
    log->terms = NULL;
}
