/* world_member: how members come and go. See world.h. */
#include "lib/world_inner.h"

#include <errno.h>
#include <stdio.h>

#define STOP_NS (1500 * NS_PER_MS)
#define HASTY_STOP_NS (20 * NS_PER_MS)
#define LAST_STEPS 1000
#define START_CHANGES 34 /* of its files, about as many as a start makes that finds damage */
#define UNWATCHED_NS (200 * NS_PER_MS) /* as node_stop has it */

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

static bool leave_start(struct world_member *member)
{
    data_dir_close(&member->dir);
    fs_free(member->snap_fs);
    fs_free(member->work_fs);
    fs_free(member->wal_fs);
    fs_free(member->fs);
    return false;
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
    bool has_other = is_damaged && !is_full && member->flips == 1 && strstr(member->damage.path, "/snap/") != NULL && world_has_other_snapshot(member);
    if (has_other) fprintf(stderr, "m%u, %s: %s\n", member->number, member->damage.path, message);
    if (has_other) world_watch_broken(member->world, "D3 one damaged snapshot stops nobody", member->number, 0, 0);
    bool has_others = is_damaged && !is_full && member->damage.lost_count > 0 && member->flips == 1;
    if (has_others) fprintf(stderr, "m%u: %s\n", member->number, message);
    if (has_others) world_watch_broken(member->world, "D3 who lost its snapshots gets them from the others", member->number, 0, 0);
    world_note(member->world, is_full ? "no space to start" : "too damaged to start", member->number, 0, 0);
    member->world->counts.refused_space += is_full;
    member->world->counts.refused_damage += !is_full;
    (void)leave_start(member); /* its files are closed on the disk that it found */
    if (!is_full) world_repair(member);
    return false;
}

static struct fs_sim_crash draw_crash(struct world *world)
{
    return (struct fs_sim_crash){.loss = tape_below(&world->tape, 4) == 0 ? FS_SIM_LOSE_ALL : FS_SIM_RANDOM, .seed = tape_seed(&world->tape),
                                 .names = tape_below(&world->tape, 2) == 0 ? FS_SIM_NAMES_SOME : FS_SIM_NAMES_RANDOM};
}

/* Some changes of its files later the disk is as power that is lost then would find it; rather late, when it has begun to change its log. */
static void arm_cut(struct world_member *member)
{
    struct world *world = member->world;
    bool has_lived = member->watch.cluster_id != 0;
    if (world->options.start_cut_permille == 0 || !has_lived) return;
    if (!tape_chance(&world->tape, world->options.start_cut_permille, 1000)) return;
    uint64_t changes = tape_below(&world->tape, START_CHANGES), others = tape_below(&world->tape, START_CHANGES);
    fs_sim_freeze_at(member->disk, fs_sim_op_count(member->disk) + 1 + (changes > others ? changes : others));
}

/* True: power was lost on its way, and what it has done since has never been. */
static bool is_cut(struct world_member *member, bool is_good)
{
    struct world *world = member->world;
    const struct fs_sim_disk *frozen = fs_sim_frozen(member->disk);
    if (frozen == NULL) {
        fs_sim_freeze_at(member->disk, 0);
        return false;
    }
    struct fs_sim_crash crash = draw_crash(world);
    struct fs_sim_disk *after = fs_sim_crash(frozen, &crash);
    world_note(world, "power loss in a start", member->number, 0, 0);
    world->counts.cut_starts++;
    world_grace_period(world);
    if (is_good) line_deinit(&member->line);
    world_grace_period(world);
    (void)leave_start(member);
    fs_sim_disk_free(member->disk);
    member->disk = after;
    return true;
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
    arm_cut(member);
    enum err err = data_dir_open(member->fs, member->config.data_dir_path, "", NULL, &member->dir, message, sizeof(message));
    struct line_recover_options options = {.config = &member->config, .dir = &member->dir, .wal_fs = member->wal_fs,
                                           .rcu = &world->rcu, .board = &world->board, .now_ns = world_local_ns(member),
                                           .seed = tape_seed(&world->tape), .secret = world->options.seed};
    bool is_good = err == ERR_OK && line_recover(&member->line, &options, message, sizeof(message));
    bool has_failed = world_disk_disarm_start(member);
    if (is_cut(member, is_good)) return false;
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
    member->more = member->quiet = 0;
    member->doom_steps = 0;
    member->pause_until_ns = member->nap_until_ns = 0;
    world_wake(member);
    world_watch_start(member);
    return true;
}

static void rung(void *context) { (void)context; }

void world_connect(struct world_member *member)
{
    bool is_watched = world_watchers_are_there(member->world);
    line_connect(&member->line, &(struct line_ports){.calls = &member->calls.port, .peers = &member->peers.port,
                                                     .watches = is_watched ? &member->watchers.port : NULL,
                                                     .snap_fs = member->snap_fs, .wal_fs = member->wal_fs,
                                                     .work_fs = member->work_fs, .wal_path = member->dir.wal_path,
                                                     .main = &member->main});
    doorbell_init(&member->line.raft.actor.bell, rung, NULL); /* nobody waits in its futex */
    atomic_store(&member->line.raft.actor.bell.state, DOORBELL_ASLEEP);
    world_wake(member);
    member->world->net_is_stirred = true; /* it listens now */
}

void world_close(struct world_member *member)
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
    world_grace_period(world);
    line_deinit(&member->line); /* takes in what was under way; the disk that goes on was copied before */
    world_grace_period(world);
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
    struct fs_sim_crash crash = draw_crash(world);
    struct fs_sim_disk *after = power_loss ? fs_sim_crash(member->disk, &crash) : fs_sim_copy(member->disk);
    world_note(world, power_loss ? "power loss" : "kill", number, 0, 0);
    world->counts.kills += !power_loss;
    world->counts.power_losses += power_loss;
    member->host_is_down = power_loss;
    world_close(member);
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

bool world_meet_doom(struct world_member *member)
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

void world_nap(struct world *world, uint32_t number, uint64_t ns)
{
    world_note(world, "nap", number, ns, 0);
    world->members[number].nap_until_ns = world->now_ns + ns;
}

/* As node_stop does it. */
void world_stop(struct world *world, uint32_t number)
{
    struct world_member *member = &world->members[number];
    bool is_watched = world_watchers_are_there(world);
    ASSERT(member->is_up && world->depth == 0);
    if (member->line.net.calls == NULL || member->pause_until_ns > world->now_ns) return;
    world_note(world, "stop", number, 0, 0);
    world->counts.stops++;
    if (tape_below(&world->state.tape, 2) == 0) world_net_read_all(member);
    post_from_main(member, member->line.raft.lanes.from_main, MAIL_TRANSFER);
    post_from_main(member, member->line.net.lanes.from_main, MAIL_DRAIN);
    if (is_watched) post_from_main(member, member->line.watch.lanes.from_main, MAIL_DRAIN);
    bool naps = member->nap_until_ns > world->now_ns;
    bool is_hasty = naps || tape_below(&world->state.tape, 2) == 1; /* its deadline comes while much is under way */
    uint64_t until_ns = world->now_ns + (is_hasty ? tape_below(&world->state.tape, HASTY_STOP_NS) : STOP_NS);
    if (naps) member->nap_until_ns = until_ns + UNWATCHED_NS + NS_PER_MS;
    while (world->now_ns < until_ns && member->is_up && !(member->is_transferred && member->is_drained)) world_run(world, NS_PER_MS);
    until_ns = world->now_ns + UNWATCHED_NS;
    while (is_watched && world->now_ns < until_ns && member->is_up && !member->is_unwatched) world_run(world, NS_PER_MS);
    if (!member->is_up) return; /* doomed on its way */
    world->current = member;
    raft_actor_fail_all(&member->line.raft, ERR_STOPPED);
    world->current = NULL;
    post_from_main(member, member->line.apply.lanes.from_main, MAIL_DRAIN);
    bool is_busy = true;
    for (uint32_t i = 0; i < LAST_STEPS && is_busy; i++) { /* many times: a role that is slow on purpose takes little at once */
        is_busy = i < 4;
        for (uint32_t role = 0; role < member->line.role_count; role++) {
            struct actor *actor = member->line.roles[role];
            bool has_news = (member->more & 1u << role) != 0 || actor_has_mail(actor) ||
                            (actor == &member->line.net.actor && world_net_has_calls(member)) ||
                            (actor == &member->line.watch.actor && world_watchers_has_events(member));
            if (actor == &member->line.raft.actor || (i > 3 && !has_news)) continue;
            is_busy = is_busy || has_news;
            if (!world_run_role(member, role)) return;
        }
    }
    for (uint64_t i = 0; i < world->call_count; i++) {
        bool is_left = world->calls[i].member == number && !world->calls[i].is_over && !world->calls[i].owes_sent;
        if (is_left) world_watch_broken(world, "a call is answered at stop", number, i, 0);
    }
    world_watchers_stopped(member);
    world_note(world, "stopped", number, member->is_transferred, member->is_drained);
    struct fs_sim_disk *after = fs_sim_copy(member->disk);
    world_close(member);
    fs_sim_disk_free(member->disk);
    member->disk = after;
}
