/* world: see world.h. */
#include "lib/world_inner.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

#define STOP_NS (1500 * NS_PER_MS)
#define UNWATCHED_NS (200 * NS_PER_MS) /* as node_stop has it */

/* --- roles --- */

static bool main_step(struct actor *actor, uint64_t now_ns)
{
    struct world_member *member = (struct world_member *)(void *)((char *)actor - offsetof(struct world_member, main));
    (void)now_ns;
    struct mail mail;
    for (uint32_t i = 0; i < actor->in_count; i++) {
        while (lane_take(actor->in[i], &mail)) {
            if (mail.kind == MAIL_READY) member->is_ready = true;
            if (mail.kind == MAIL_DRAINED) member->is_drained = true;
            if (mail.kind == MAIL_TRANSFERRED) member->is_transferred = true;
            if (mail.kind == MAIL_UNWATCHED) member->is_unwatched = true;
            mail_deinit(&mail);
        }
    }
    return false;
}
static const struct actor_table main_table = {.name = "main", .step = main_step};

static void run_role(struct world_member *member, uint32_t role)
{
    struct world *world = member->world;
    struct world_member *before = world->current;
    uint32_t bit = 1u << role;
    member->running |= bit;
    member->more &= ~bit;
    world_wake(member);
    world->current = member;
    world->depth++;
    world->steps++;
    if (member->doom_steps > 1) member->doom_steps--;
    world_note(world, member->line.roles[role]->table->name, member->number, world->depth, 0);
    bool is_apply = member->line.roles[role] == &member->line.apply.actor;
    struct world_state_hold hold = {.view = NULL};
    if (is_apply) world_state_hold(member, &hold);
    if (actor_step(member->line.roles[role], world_local_ns(member))) member->more |= bit;
    world_state_release(member, &hold);
    world_state_step(member);
    if (member->line.roles[role] == &member->line.raft.actor) world_watch_raft(member);
    bool goes_on = member->failed_steps > 0 && member->line.roles[role] == &member->line.wal.actor;
    if (goes_on && member->failed_steps++ > 3) world_watch_broken(world, "D5 a failed write or sync stops the member", member->number, 0, 0);
    world->depth--;
    world->current = before;
    member->running &= ~bit;
}

/* A post or a publish: any other role of the member that is not in the middle of a step may run right here. */
static void switch_point(void *context, const char *point)
{
    struct world *world = context;
    if (world->current == NULL) return;
    struct world_member *member = world->current;
    world_watch_point(member, point);
    if (strcmp(point, "publish") == 0) world_watchers_note(member);
    if (world->depth > 3 || !tape_chance(&world->tape, world->options.switch_percent, 100)) return;
    uint32_t role = (uint32_t)tape_below(&world->tape, member->line.role_count);
    if (member->failed_steps > 0 && member->line.roles[role] == &member->line.wal.actor) return; /* it dies alone, in nobody's step */
    if ((member->running & 1u << role) == 0) run_role(member, role);
}

/* fatal() is one member's end. It comes in a step of the wal role that nothing encloses (world_disk.c sees to it). */
static struct world *the_world;

static void die(const char *text)
{
    struct world *world = the_world;
    if (world == NULL || !world->may_escape) return;
    snprintf(world->current->message, sizeof(world->current->message), "%s", text);
    world_note(world, "fatal", world->current->number, 0, 0);
    if (world->depth != 1 || world->current->failed_steps == 0) {
        fprintf(stderr, "%s\n", text);
        world_watch_broken(world, "nobody stops without a reason", world->current->number, world->depth, 0);
    }
    longjmp(world->escape, 1);
}

/* False: the member died of it. */
static bool run_role_guarded(struct world_member *member, uint32_t role)
{
    struct world *world = member->world;
    if (member->line.roles[role] != &member->line.wal.actor) {
        run_role(member, role);
        return true;
    }
    bool died = setjmp(world->escape) != 0;
    world->may_escape = !died;
    if (!died) run_role(member, role);
    world->may_escape = false;
    if (!died) return true;
    world->depth = 0;
    world->current = NULL;
    member->running = 0;
    member->failed_steps = 0;
    world->counts.failed_disks++;
    world->net_is_stirred = true;
    world_kill(world, member->number, false);
    return false;
}

static void retire(struct rcu *rcu, struct rcu_node *node, void (*fn)(struct rcu_node *node))
{
    struct world *world = (struct world *)rcu;
    if (world->retired_count == world->retired_capacity) {
        world->retired_capacity = world->retired_capacity == 0 ? 256 : world->retired_capacity * 2;
        world->retired = alloc_resize(world->retired, world->retired_capacity * sizeof(*world->retired));
    }
    world->retired[world->retired_count].node = node;
    world->retired[world->retired_count++].fn = fn;
}
static const struct rcu_table rcu_table = {.retire = retire};

/* No role is in the middle of a step: every reader has passed a quiescent state. */
static void grace_period(struct world *world)
{
    ASSERT(world->depth == 0);
    for (size_t i = 0; i < world->retired_count; i++) world->retired[i].fn(world->retired[i].node);
    world->retired_count = 0;
}

/* --- members --- */

/* The bits are put right again, as from a copy. */
static void repair(struct world_member *member)
{
    bool is_there = fs_sim_exists(member->disk, member->damage.path) && fs_sim_size(member->disk, member->damage.path) > member->damage.offset;
    if (is_there) fs_sim_flip(member->disk, member->damage.path, member->damage.offset, member->damage.mask);
    if (strcmp(member->damage.path, member->damaged_snapshot) == 0) member->damaged_snapshot[0] = '\0';
    member->damage.is_there = false;
}

static bool leave_start(struct world_member *member)
{
    data_dir_close(&member->dir);
    fs_free(member->snap_fs);
    fs_free(member->work_fs);
    fs_free(member->wal_fs);
    fs_free(member->fs);
    return false;
}

/* Is there another snapshot to fall back to? For one that was installed, only a newer one: the log begins behind it. */
static bool has_other_snapshot(const struct world_member *member)
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

/* It says why it does not start; a full disk is such a reason, and space that comes later is the remedy. */
static bool refuse_start(struct world_member *member, const char *message, bool has_failed)
{
    snprintf(member->message, sizeof(member->message), "%.511s", message);
    bool is_full = strstr(message, "No space left on device") != NULL, names_error = strstr(message, strerror(EIO)) != NULL;
    has_failed = has_failed && !is_full && (names_error || !member->damage.is_there); /* with both, either is a reason */
    bool is_damaged = member->damage.is_there && !has_failed;
    if (has_failed) {
        bool has_reason = names_error || strstr(message, "corrupt") != NULL; /* too short is corrupt */
        bool is_clear = has_reason && strstr(message, member->config.data_dir_path) != NULL;
        if (!is_clear) fprintf(stderr, "m%u: %s\n", member->number, message);
        if (!is_clear) world_watch_broken(member->world, "D4 a start that cannot read says which file and why", member->number, 0, 0);
        world_note(member->world, "a start refused", member->number, 0, 0);
        member->world->counts.refused_reads++;
        return leave_start(member);
    }
    if (!is_full && !is_damaged) fprintf(stderr, "m%u: %s\n", member->number, message);
    if (!is_full && !is_damaged) world_watch_broken(member->world, "a member starts again", member->number, 0, 0);
    bool has_other = is_damaged && !is_full && member->flips == 1 && strstr(member->damage.path, "/snap/") != NULL && has_other_snapshot(member);
    if (has_other) fprintf(stderr, "m%u, %s: %s\n", member->number, member->damage.path, message);
    if (has_other) world_watch_broken(member->world, "D3 one damaged snapshot stops nobody", member->number, 0, 0);
    world_note(member->world, is_full ? "no space to start" : "too damaged to start", member->number, 0, 0);
    member->world->counts.refused_space += is_full;
    member->world->counts.refused_damage += !is_full;
    if (!is_full) repair(member);
    return leave_start(member);
}

bool world_start(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    char message[2048] = "";
    ASSERT(!member->is_up && world->depth == 0);
    world_note(world, "start", number, 0, 0);
    member->fs = fs_sim_new(member->disk, true);
    member->wal_fs = world_disk_fs(member, false);
    member->snap_fs = world_disk_fs(member, false);
    member->work_fs = world_disk_fs(member, false);
    world_disk_fail(world, number, false);
    member->failed_steps = 0;
    world_disk_arm_start(member);
    enum err err = data_dir_open(member->fs, member->config.data_dir_path, "", &member->dir, message, sizeof(message));
    struct line_recover_options options = {.config = &member->config, .dir = &member->dir, .wal_fs = member->wal_fs,
                                           .rcu = &world->rcu, .board = &world->board, .now_ns = world_local_ns(member),
                                           .seed = tape_seed(&world->tape)};
    bool is_good = err == ERR_OK && line_recover(&member->line, &options, message, sizeof(message));
    bool has_failed = world_disk_disarm_start(member);
    if (!is_good) return refuse_start(member, message, has_failed);
    world_disk_set_late(member->wal_fs, world->options.late_disks);
    world_disk_set_late(member->work_fs, world->options.late_chores);
    world_disk_set_late(member->snap_fs, world->options.late_disks);
    member->id = member->line.identity.member_id;
    actor_init(&member->main, &main_table);
    world_net_open(member);
    world_watchers_open(member);
    member->is_up = true;
    member->is_ready = member->is_drained = member->is_transferred = member->is_unwatched = member->host_is_down = false;
    member->more = 0;
    member->doom_steps = 0;
    member->pause_until_ns = 0;
    world_wake(member);
    world_watch_start(member);
    return true;
}

static void connect_line(struct world_member *member)
{
    bool is_watched = member->world->options.watch_streams > 0;
    line_connect(&member->line, &(struct line_ports){.calls = &member->calls.port, .peers = &member->peers.port,
                                                     .watches = is_watched ? &member->watchers.port : NULL,
                                                     .snap_fs = member->snap_fs, .wal_fs = member->wal_fs,
                                                     .work_fs = member->work_fs, .wal_path = member->dir.wal_path,
                                                     .main = &member->main});
    world_wake(member);
    member->world->net_is_stirred = true; /* it listens now */
}

static void close_member(struct world_member *member)
{
    struct world *world = member->world;
    ASSERT(world->depth == 0);
    world_net_close(member);
    world_watchers_close(member);
    world_watch_end(member);
    world_disk_settle(member->wal_fs);
    world_disk_settle(member->work_fs);
    world_disk_settle(member->snap_fs);
    while (member->line.net.calls != NULL && actor_step(&member->line.work.actor, world_local_ns(member))) continue; /* it gives back what it has */
    grace_period(world);
    line_deinit(&member->line); /* takes in what was under way; the disk that goes on was copied before */
    grace_period(world);
    data_dir_close(&member->dir);
    fs_free(member->snap_fs);
    fs_free(member->work_fs);
    fs_free(member->wal_fs);
    fs_free(member->fs);
    member->is_up = false;
}

void world_kill(struct world *world, uint32_t number, bool power_loss)
{
    struct world_member *member = &world->members[number];
    ASSERT(member->is_up && world->depth == 0);
    struct fs_sim_crash crash = {.loss = tape_below(&world->tape, 4) == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = tape_seed(&world->tape),
                                 .names = FS_SIM_NAMES_SOME};
    struct fs_sim_disk *after = power_loss ? fs_sim_crash(member->disk, &crash) : fs_sim_copy(member->disk);
    world_note(world, power_loss ? "power loss" : "kill", number, 0, 0);
    world->counts.kills += !power_loss;
    world->counts.power_losses += power_loss;
    member->host_is_down = power_loss;
    close_member(member);
    fs_sim_disk_free(member->disk);
    member->disk = after;
    member->speed = WORLD_DISK_FAST;
    member->chores_hang = false;
}

void world_kill_soon(struct world *world, uint32_t number, bool power_loss, bool all, uint32_t steps)
{
    struct world_member *member = &world->members[number];
    member->doom_steps = steps + 1;
    member->doom_power = power_loss;
    member->doom_all = all;
}

static bool meet_doom(struct world_member *member)
{
    struct world *world = member->world;
    if (member->doom_steps != 1) return false;
    bool power_loss = member->doom_power, all = member->doom_all;
    member->doom_steps = 0;
    world->net_is_stirred = true;
    world_kill(world, member->number, power_loss);
    for (uint32_t i = 0; all && i < world->options.members; i++) {
        if (world->members[i].is_up) world_kill(world, i, power_loss);
    }
    return true;
}

void world_pause(struct world *world, uint32_t number, uint64_t ns)
{
    world_note(world, "pause", number, ns, 0);
    world->counts.pauses++;
    world->members[number].pause_until_ns = world->now_ns + ns;
}

static void post_from_main(struct world_member *member, struct lane *lane, enum mail_kind kind)
{
    struct mail mail = {.kind = (uint32_t)kind};
    ASSERT(member->world->depth == 0);
    (void)lane_post(lane, &mail);
    world_wake(member);
}

void world_transfer(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    if (!member->is_up || member->line.net.calls == NULL) return;
    world_note(world, "transfer", number, 0, 0);
    world->counts.transfers++;
    post_from_main(member, member->line.raft.lanes.from_main, MAIL_TRANSFER);
}

/* As node_stop does it. */
void world_stop(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    bool is_watched = world->options.watch_streams > 0;
    ASSERT(member->is_up && world->depth == 0);
    if (member->line.net.calls == NULL || member->pause_until_ns > world->now_ns) return;
    world_note(world, "stop", number, 0, 0);
    world->counts.stops++;
    if (tape_below(&world->state.tape, 2) == 0) world_net_read_all(member);
    post_from_main(member, member->line.raft.lanes.from_main, MAIL_TRANSFER);
    post_from_main(member, member->line.net.lanes.from_main, MAIL_DRAIN);
    if (is_watched) post_from_main(member, member->line.watch.lanes.from_main, MAIL_DRAIN);
    uint64_t until_ns = world->now_ns + STOP_NS;
    while (world->now_ns < until_ns && member->is_up && !(member->is_transferred && member->is_drained)) world_run(world, NS_PER_MS);
    until_ns = world->now_ns + UNWATCHED_NS;
    while (is_watched && world->now_ns < until_ns && member->is_up && !member->is_unwatched) world_run(world, NS_PER_MS);
    if (!member->is_up) return; /* doomed on its way */
    world->current = member;
    raft_actor_fail_all(&member->line.raft, ERR_STOPPED);
    world->current = NULL;
    post_from_main(member, member->line.apply.lanes.from_main, MAIL_DRAIN);
    for (uint32_t i = 0; i < 64; i++) { /* many times: a role that is slow on purpose takes little at once */
        for (uint32_t role = 0; role < member->line.role_count; role++) {
            struct actor *actor = member->line.roles[role];
            bool has_news = actor_has_mail(actor) || (actor == &member->line.watch.actor && world_watchers_has_events(member));
            if (actor == &member->line.raft.actor || (i > 3 && !has_news)) continue;
            if (!run_role_guarded(member, role)) return;
        }
    }
    for (uint64_t i = 0; i < world->call_count; i++) {
        bool is_left = world->calls[i].member == number && !world->calls[i].is_over && !world->calls[i].owes_sent;
        if (is_left) world_watch_broken(world, "a call is answered at stop", number, i, 0);
    }
    world_watchers_stopped(member);
    world_note(world, "stopped", number, member->is_transferred, member->is_drained);
    struct fs_sim_disk *after = fs_sim_copy(member->disk);
    close_member(member);
    fs_sim_disk_free(member->disk);
    member->disk = after;
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
    if (!may || !choose_byte(member)) return;
    member->damage.mask = (uint8_t)(1u + tape_below(&world->tape, 255));
    member->damage.is_there = true;
    member->flips++;
    world->counts.flips++;
    world_note(world, "flip", number, member->damage.offset, member->damage.mask);
    fs_sim_flip(member->disk, member->damage.path, member->damage.offset, member->damage.mask);
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
    world->options.break_permille = world->options.repeat_permille = world->options.start_fault_permille = 0;
}
bool world_is_up(const struct world *world, uint32_t number) { return world->members[number].is_up; }
bool world_is_paused(const struct world *world, uint32_t number) { return world->members[number].pause_until_ns > world->now_ns; }
bool world_listens(const struct world *world, uint32_t number)
{
    return world->members[number].is_up && world->members[number].line.net.calls != NULL;
}
bool world_is_ready(const struct world *world, uint32_t number) { return world->members[number].is_up && world->members[number].is_ready; }
bool world_is_cut(const struct world *world, uint32_t from, uint32_t to) { return world->cut[from][to]; }

void world_cut(struct world *world, uint32_t from, uint32_t to, bool is_cut) { world->cut[from][to] = is_cut && from != to; }
uint64_t world_now_ns(const struct world *world) { return world->now_ns; }
uint64_t world_steps(const struct world *world) { return world->steps; }
uint64_t world_trace_hash(const struct world *world) { return world->trace_hash; }
uint64_t world_commit_index(const struct world *world) { return world->watch.commit_index; }
uint64_t world_last_index(const struct world *world)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        uint64_t own = world->members[i].watch.issued.last_index;
        if (own > last) last = own;
    }
    return last;
}
void world_get_counts(const struct world *world, struct world_counts *out_counts) { *out_counts = world->counts; }

int world_leader(const struct world *world)
{
    int leader = -1;
    uint64_t term = 0;
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        if (!member->is_up || !SHARED_GET(&member->line.shared, is_leader)) continue;
        if (SHARED_GET(&member->line.shared, term) <= term) continue;
        term = SHARED_GET(&member->line.shared, term);
        leader = (int)i;
    }
    return leader;
}

uint32_t world_followers(const struct world *world)
{
    int leader = world_leader(world);
    uint32_t followers = 0;
    if (leader < 0) return 0;
    const struct world_member *leads = &world->members[leader];
    for (uint32_t i = 0; i < world->options.members; i++) {
        const struct world_member *member = &world->members[i];
        bool follows = member->is_up && member->pause_until_ns <= world->now_ns && SHARED_GET(&member->line.shared, leader) == leads->id &&
                       SHARED_GET(&member->line.shared, term) == SHARED_GET(&leads->line.shared, term);
        followers |= (uint32_t)follows << i;
    }
    return followers;
}

int world_followed_leader(const struct world *world)
{
    uint32_t followers = world_followers(world), count = 0;
    for (uint32_t i = 0; i < world->options.members; i++) count += followers >> i & 1;
    return count > world->options.members / 2 ? world_leader(world) : -1;
}

bool world_is_suspect(const struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct raft_status status;
        if (!world->members[i].is_up) continue;
        raft_get_status(world->members[i].line.raft.raft, &status);
        if (status.is_suspect) return true;
    }
    return false;
}

bool world_is_settled(const struct world *world)
{
    struct raft_status status;
    int leader = world_leader(world);
    if (leader < 0) return false;
    raft_get_status(world->members[leader].line.raft.raft, &status);
    return status.commit_index == status.last_index;
}

uint64_t world_hash(const struct world *world, uint32_t number, uint64_t *out_applied_index, int64_t *out_revision)
{
    const struct world_member *member = &world->members[number];
    ASSERT(member->is_up);
    const struct mvcc_view *view = mvcc_view(state_machine_mvcc(member->line.apply.machine));
    *out_applied_index = state_machine_applied_index(member->line.apply.machine);
    *out_revision = mvcc_view_revision(view);
    return mvcc_hash(view, 0);
}

uint64_t world_whole_hash(const struct world *world, uint32_t number)
{
    ASSERT(world->members[number].is_up);
    return state_machine_hash(world->members[number].line.apply.machine);
}

/* --- make and free --- */

#define LIMIT(field, value) \
    if ((value) != 0) config->field = (value)

static void set_limits(const struct world_options *options, struct config *config)
{
    LIMIT(calls_max, options->calls_max);
    LIMIT(lane_calls, options->lane_calls);
    LIMIT(lane_peer, options->lane_peer);
    LIMIT(inflight_messages_max, options->inflight_messages);
    LIMIT(tail_bytes_max, options->tail_bytes);
    LIMIT(message_bytes_max, options->message_bytes);
    LIMIT(inflight_bytes_max, options->inflight_bytes);
    LIMIT(apply_bytes_max, options->apply_bytes);
    LIMIT(chunk_bytes, options->chunk_bytes);
    LIMIT(uncommitted_bytes_max, options->uncommitted_bytes);
    LIMIT(request_timeout_ns, options->request_timeout_ms * NS_PER_MS);
    LIMIT(watch_hold_bytes_max, options->watch_hold_bytes);
}

static void make_member(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    struct config *config = &member->config;
    char message[256];
    member->world = world;
    member->number = number;
    uint32_t drift = world->options.drift_permille;
    member->rate_permille = 1000 + (uint32_t)tape_choose(&world->tape, 2 * (uint64_t)drift + 1, drift) - drift;
    member->disk = fs_sim_disk_new();
    snprintf(member->name, sizeof(member->name), "m%u", number);
    snprintf(member->peer_url, sizeof(member->peer_url), "http://127.0.0.1:%u", 1000 + number);
    config_init(config);
    config->name = member->name;
    config->data_dir = "/data";
    config->initial_cluster = world->initial;
    config->initial_advertise_peer_urls = member->peer_url;
    config->wal_segment_bytes = 64 << 10;
    LIMIT(wal_segment_bytes, world->options.segment_bytes);
    LIMIT(wal_segment_entries_max, world->options.segment_entries);
    LIMIT(watch_progress_ns, world->options.watch_progress_ms * NS_PER_MS);
    LIMIT(election_timeout_ms, world->options.election_ms);
    LIMIT(lease_checkpoint_ns, world->options.lease_checkpoint_ms * NS_PER_MS);
    LIMIT(heartbeat_ms, world->options.heartbeat_ms);
    LIMIT(snapshot_count, world->options.snapshot_count);
    if (world->options.snapshot_count != 0) config->snapshot_catchup_entries = world->options.snapshot_catchup;
    bool is_good = config_check(config, message, sizeof(message));
    if (!is_good) fatal("world: %s", message);
    set_limits(&world->options, config);
}

struct world *world_new(const struct world_options *options)
{
    struct world *world = ALLOC(struct world);
    ASSERT(options->members >= 1 && options->members <= WORLD_MEMBERS_MAX);
    log_set_level(LOG_FATAL);
    the_world = world;
    fatal_set_handler(die);
    world->rcu.table = &rcu_table;
    world->options = *options;
    if (world->options.delay_ns == 0) world->options.delay_ns = 5 * NS_PER_MS;
    if (world->options.window == 0) world->options.window = 64;
    world->board = (struct switchboard){.fn = switch_point, .context = world};
    world->now_ns = NS_PER_S;
    tape_init(&world->tape, options->seed, options->reel, TAPE_WORLD);
    world_watch_init(world);
    world_state_init(world);
    world_watchers_init(world);
    world_leases_init(world);
    for (uint32_t i = 0; i < WORLD_MEMBERS_MAX; i++) {
        for (uint32_t j = 0; j < WORLD_MEMBERS_MAX; j++) {
            list_init(&world->links[i][j].frames);
            list_init(&world->links[i][j].repeats);
        }
    }
    world->members = alloc_zero(options->members, sizeof(struct world_member));
    size_t size = 0;
    for (uint32_t i = 0; i < options->members; i++) {
        size += (size_t)snprintf(world->initial + size, sizeof(world->initial) - size, "%sm%u=http://127.0.0.1:%u",
                                 i == 0 ? "" : ",", i, 1000 + i);
    }
    for (uint32_t i = 0; i < options->members; i++) make_member(world, i);
    for (uint32_t i = 0; i < options->members; i++) (void)world_start(world, i);
    for (uint32_t i = 0; i < options->members; i++) connect_line(&world->members[i]);
    return world;
}

void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (member->is_up) close_member(member);
        fs_sim_disk_free(member->disk);
        alloc_free(member->watch.issued.terms);
        alloc_free(member->watch.durable.terms);
    }
    the_world = NULL;
    world_net_free(world);
    world_watch_deinit(world);
    world_state_deinit(world);
    world_watchers_deinit(world);
    world_leases_deinit(world);
    for (uint64_t i = 0; i < world->call_count; i++) blob_unref(world->calls[i].bytes);
    alloc_free(world->calls);
    alloc_free(world->members);
    alloc_free(world->retired);
    alloc_free(world);
}

/* --- time --- */

/* As the runner decides it, so that a wake-up that is missing in the product is missing here. */
static bool has_work(struct world_member *member, uint32_t role)
{
    struct actor *actor = member->line.roles[role];
    if ((member->more & 1u << role) != 0) return true;
    if (actor_has_mail(actor) || actor_deadline_ns(actor) <= world_local_ns(member)) return true;
    if (actor == &member->line.net.actor) return world_net_has_calls(member);
    if (actor == &member->line.peer.actor) return world_net_has_peers(member);
    if (actor == &member->line.watch.actor) return world_watchers_has_events(member);
    return false;
}

static bool is_running(const struct world_member *member)
{
    return member->is_up && member->pause_until_ns <= member->world->now_ns && member->line.net.calls != NULL;
}

static uint64_t next_deadline_ns(struct world_member *member)
{
    uint64_t next_ns = CLOCK_NEVER;
    for (uint32_t role = 0; role < member->line.role_count; role++) {
        uint64_t deadline_ns = world_global_ns(member, actor_deadline_ns(member->line.roles[role]));
        if (deadline_ns < next_ns) next_ns = deadline_ns;
    }
    return next_ns;
}

static bool run_member(struct world_member *member)
{
    bool has_run = false;
    if (member->idle_until_ns > member->world->now_ns) return false;
    uint32_t first = (uint32_t)tape_below(&member->world->tape, member->line.role_count);
    for (uint32_t r = 0; r < member->line.role_count; r++) {
        uint32_t role = (first + r) % member->line.role_count;
        if (!has_work(member, role)) continue;
        has_run = true;
        if (!run_role_guarded(member, role) || meet_doom(member)) return true;
    }
    if (has_run) {
        (void)actor_step(&member->main, world_local_ns(member));
    } else {
        member->idle_until_ns = next_deadline_ns(member);
    }
    return has_run;
}

static bool run_members(struct world *world)
{
    bool has_run = false;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (!is_running(member)) continue;
        world_disk_tend(member);
        if (run_member(member)) has_run = true;
    }
    grace_period(world);
    return has_run;
}

/* To the next moment at which anything happens anywhere; a little further than now in any case. */
static void advance(struct world *world, uint64_t until_ns)
{
    uint64_t next_ns = world->net_next_ns < until_ns ? world->net_next_ns : until_ns;
    for (uint32_t i = 0; i < world->options.members; i++) {
        struct world_member *member = &world->members[i];
        if (!is_running(member)) continue;
        uint64_t disk_ns = world_disk_next_ns(member);
        if (disk_ns < next_ns) next_ns = disk_ns;
        if (member->idle_until_ns < next_ns) next_ns = member->idle_until_ns;
    }
    uint64_t first_ns = world->now_ns + 20 * NS_PER_US + tape_below(&world->tape, 200 * NS_PER_US);
    world->now_ns = next_ns > first_ns ? next_ns : first_ns;
}

static void run_until(struct world *world, uint64_t until_ns, bool to_answer)
{
    world->net_is_stirred = true; /* by whatever was done since */
    world->is_answered = false;
    while (world->now_ns < until_ns && !(to_answer && world->is_answered)) {
        for (uint32_t i = 0; i < world->options.members; i++) {
            struct world_member *member = &world->members[i];
            if (member->is_up && member->line.net.calls == NULL) connect_line(member);
        }
        world_net_tend(world);
        for (int turn = 0; turn < 8 && run_members(world); turn++) continue;
        advance(world, until_ns);
    }
    world_watch_calls(world);
}

struct tape_reel *world_reel(const struct world *world) { return world->options.reel; }
void world_run(struct world *world, uint64_t ns) { run_until(world, world->now_ns + ns, false); }
void world_run_to_answer(struct world *world, uint64_t ns) { run_until(world, world->now_ns + ns, true); }
