/* test_damage_matrix: fault × who it hits → what was observed. Whole members over simulated disks; one table at the end.
 *
 * What holds in every line, or the line fails: a member serves nothing wrong, what was acknowledged is on every member at the end (lines marked
 * "lost, said openly" or "not noticed" say where nobody could know, and what that costs), the others go on meanwhile, hashes are equal, and
 * who refuses or stops names the file (and the offset, in the log) or the path and the reason.
 *
 *   test_damage_matrix            every line, each in a process of its own
 *   test_damage_matrix WORD       lines whose fault or place contains a word
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "lib/damage_rig.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"
#include "storage/wal_spare.h"

enum outcome { CLEAN, REPAIRED, FELL_BACK, ASKED, REFUSED, STOPPED, STEPPED_DOWN, WENT_ON, NO_ROOM, SHUT_OUT, LOST_OPENLY, NOT_NOTICED, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = {
    "starts clean", "repaired", "falls back to an older snapshot", "gets all from a leader", "refuses to start", "stops", "steps down", "goes on", "goes on without room",
    "shut out by the others", "lost, said openly", "not noticed"};
#define BIT(outcome) (1u << (outcome))

enum who { LEADER, FOLLOWER, ALONE, WHO };
static const char *const who_names[WHO] = {"leader", "follower", "alone"};

struct row {
    bool is_done;
    enum outcome outcome;
    char message[400];
};
struct line {
    const char *fault, *place;
    enum outcome (*run)(struct damage_rig *rig, const struct line *line, char *out_message);
    void (*harm)(struct damage_rig *rig, int argument); /* of run_at_rest */
    int argument;
    uint32_t expected[WHO]; /* bits; 0 = not run */
};

static void say(char *out_message, const char *text) { snprintf(out_message, 400, "%.399s", text); }

/* --- while it is down: its files --- */

static void flip(struct damage_rig *rig, const char *path, uint64_t offset) { fs_sim_flip(world_disk(rig->world, rig->target), path, offset, 0x10); }

static void flip_head(struct damage_rig *rig, int place)
{
    char path[128];
    damage_rig_segment(rig, place, path);
    flip(rig, path, 40);
}

static void flip_middle(struct damage_rig *rig, int place)
{
    char path[128];
    damage_rig_segment(rig, place, path);
    flip(rig, path, damage_rig_block(rig, path, 50) + 77);
}

static void flip_behind_snapshot(struct damage_rig *rig, int argument)
{
    char path[128];
    (void)argument;
    flip(rig, path, damage_rig_behind_snapshot(rig, path) + 77);
}

enum { FIRST = 1, LAST = 2 };
static void flip_tail(struct damage_rig *rig, int ends)
{
    char path[128];
    uint64_t first, last;
    damage_rig_last_batch(rig, path, &first, &last);
    if ((ends & FIRST) != 0) flip(rig, path, first + 77);
    if ((ends & LAST) != 0) flip(rig, path, last + 77);
}

static void flip_snapshot(struct damage_rig *rig, int section)
{
    char path[128];
    damage_rig_snapshot(rig, 0, path);
    flip(rig, path, section == 0 ? 60 : damage_rig_section(rig, path, (uint32_t)section) + 3);
}

static void flip_older_snapshot(struct damage_rig *rig, int argument)
{
    char path[128];
    (void)argument;
    damage_rig_snapshot(rig, 1, path);
    flip(rig, path, damage_rig_section(rig, path, SNAPSHOT_FORMAT_KEYS) + 3);
}

static void flip_all_snapshots(struct damage_rig *rig, int argument)
{
    flip_snapshot(rig, argument);
    flip_older_snapshot(rig, argument);
}

enum { OLDEST_SEGMENT, MIDDLE_SEGMENT, LAST_SEGMENT, NEWEST_SNAPSHOT, OLDER_SNAPSHOT, IDENTITY, SPARE, LOCK };
static void choose_spare(const struct damage_rig *rig, char out_path[128])
{
    char name[64];
    snprintf(out_path, 128, DAMAGE_RIG_WAL "/" WAL_SPARE_NAME);
    for (size_t i = 0; fs_sim_name(world_disk(rig->world, rig->target), DAMAGE_RIG_WAL, i, name, sizeof name); i++) {
        if (wal_spare_is_name(name)) snprintf(out_path, 128, DAMAGE_RIG_WAL "/%s", name);
    }
}

static void choose_file(const struct damage_rig *rig, int file, char out_path[128])
{
    if (file == OLDEST_SEGMENT) damage_rig_segment(rig, 0, out_path);
    if (file == MIDDLE_SEGMENT) (void)damage_rig_behind_snapshot(rig, out_path);
    if (file == LAST_SEGMENT) damage_rig_segment(rig, -1, out_path);
    if (file == NEWEST_SNAPSHOT || file == OLDER_SNAPSHOT) damage_rig_snapshot(rig, file == OLDER_SNAPSHOT, out_path);
    if (file == IDENTITY) snprintf(out_path, 128, DAMAGE_RIG_IDENTITY);
    if (file == SPARE) choose_spare(rig, out_path);
    if (file == LOCK) snprintf(out_path, 128, "/data/LOCK");
}

static void flip_file(struct damage_rig *rig, int file)
{
    char path[128];
    choose_file(rig, file, path);
    if (fs_sim_exists(world_disk(rig->world, rig->target), path)) flip(rig, path, file == IDENTITY ? 44 : 700);
}

static void cut_file(struct damage_rig *rig, int file)
{
    char path[128];
    choose_file(rig, file, path);
    uint64_t size = fs_sim_size(world_disk(rig->world, rig->target), path);
    uint64_t used = file <= LAST_SEGMENT ? damage_rig_block(rig, path, 100) + WAL_FORMAT_BLOCK : size;
    fs_sim_cut(world_disk(rig->world, rig->target), path, file == SPARE ? size / 2 : used / 1024 * 512);
}

static void empty_file(struct damage_rig *rig, int file)
{
    char path[128];
    choose_file(rig, file, path);
    damage_rig_make_file(rig, path, NULL, 0);
}

static void remove_file(struct damage_rig *rig, int file)
{
    char path[128];
    choose_file(rig, file, path);
    if (fs_sim_exists(world_disk(rig->world, rig->target), path)) fs_sim_remove(world_disk(rig->world, rig->target), path);
}

enum { LOG = 1, SNAPSHOTS = 2, WHO_IT_IS = 4 };
static void remove_all(struct damage_rig *rig, int what)
{
    struct fs_sim_disk *disk = world_disk(rig->world, rig->target);
    char name[64], path[128];
    for (int part = LOG; part <= SNAPSHOTS; part *= 2) {
        const char *directory = part == LOG ? DAMAGE_RIG_WAL : DAMAGE_RIG_SNAP;
        while ((what & part) != 0 && fs_sim_name(disk, directory, 0, name, sizeof(name))) {
            snprintf(path, sizeof(path), "%s/%s", directory, name);
            fs_sim_remove(disk, path);
        }
    }
    if ((what & WHO_IT_IS) != 0) fs_sim_remove(disk, DAMAGE_RIG_IDENTITY);
}

enum { NOTES_IN_LOG, NOTES_IN_SNAP, TWO_OF_A_NUMBER, SEGMENT_OF_LATER, SNAPSHOT_OF_NOISE, SNAPSHOT_RENAMED, SNAPSHOT_TMP };
static void add_file(struct damage_rig *rig, int what)
{
    char from[128], to[128], name[SNAPSHOT_FORMAT_NAME_SIZE], segment[WAL_FORMAT_NAME_SIZE];
    uint64_t later = damage_rig_snapshot_index(rig, 0) + 1000;
    snapshot_format_name(later, 7, name);
    snprintf(to, sizeof(to), DAMAGE_RIG_SNAP "/%s%s", name, what == SNAPSHOT_TMP ? SNAPSHOT_FORMAT_TMP_SUFFIX : "");
    if (what == NOTES_IN_LOG) snprintf(to, sizeof(to), DAMAGE_RIG_WAL "/notes.txt");
    if (what == NOTES_IN_SNAP) snprintf(to, sizeof(to), DAMAGE_RIG_SNAP "/notes.txt");
    damage_rig_segment(rig, what == TWO_OF_A_NUMBER ? 1 : -1, from);
    uint64_t sequence = strtoull(strrchr(from, '/') + 1, NULL, 16), first = strtoull(strchr(from, '-') + 1, NULL, 16);
    wal_format_name(what == TWO_OF_A_NUMBER ? sequence : sequence + 1, first + (what == TWO_OF_A_NUMBER ? 1 : 9), segment);
    if (what == TWO_OF_A_NUMBER || what == SEGMENT_OF_LATER) snprintf(to, sizeof(to), DAMAGE_RIG_WAL "/%s", segment);
    if (what == SNAPSHOT_RENAMED) damage_rig_snapshot(rig, 0, from);
    bool is_copy = what == TWO_OF_A_NUMBER || what == SEGMENT_OF_LATER || what == SNAPSHOT_RENAMED;
    if (is_copy) damage_rig_copy_file(rig, from, to);
    if (!is_copy) damage_rig_make_file(rig, to, "not a file of this directory, whatever it is called", 51);
}

/* --- what a line does --- */

/* A refusal stands until the files are right again; a second start says the same. */
static void check_refusal(struct damage_rig *rig, const struct line *line, const char *message)
{
    char again[sizeof(rig->said)];
    bool is_flip_in_log = line->harm == flip_head || line->harm == flip_middle || line->harm == flip_behind_snapshot || line->harm == flip_tail;
    if (strstr(message, "/data") == NULL) damage_rig_fail(rig, "a refusal without a file: %s", message);
    if (strchr(message, ' ') == NULL) damage_rig_fail(rig, "a refusal without a reason: %s", message);
    if (is_flip_in_log && strstr(message, "offset ") == NULL) damage_rig_fail(rig, "a refusal without an offset: %s", message);
    snprintf(again, sizeof(again), "%s", message);
    world_damaged(rig->world, rig->target);
    if (damage_rig_start(rig) != DAMAGE_RIG_REFUSED || strncmp(rig->said, again, strlen(again)) != 0) damage_rig_fail(rig, "then: %s", rig->said);
}

static enum outcome start_after_harm(struct damage_rig *rig, const struct line *line, char *out_message)
{
    static const enum outcome outcomes[] = {CLEAN, REPAIRED, FELL_BACK, ASKED, REFUSED};
    if (rig->members > 1 && !damage_rig_write(rig, 16)) damage_rig_fail(rig, "the others do not go on");
    world_damaged(rig->world, rig->target);
    enum outcome outcome = outcomes[damage_rig_start(rig)];
    say(out_message, rig->said);
    if (outcome == REFUSED) {
        check_refusal(rig, line, out_message);
        damage_rig_put_right(rig);
        if (damage_rig_start(rig) != DAMAGE_RIG_CLEAN) damage_rig_fail(rig, "put right, and not clean: %s", rig->said);
    }
    return outcome;
}

static enum outcome run_at_rest(struct damage_rig *rig, const struct line *line, char *out_message)
{
    damage_rig_kill(rig);
    line->harm(rig, line->argument);
    enum outcome outcome = start_after_harm(rig, line, out_message);
    damage_rig_check(rig);
    return outcome;
}

/* The last batch holds entries that were acknowledged, and no mark covers it: killed right behind the answer. */
static enum outcome run_tail(struct damage_rig *rig, const struct line *line, char *out_message)
{
    if (!damage_rig_write(rig, 1)) damage_rig_fail(rig, "a write is refused");
    uint64_t before = world_last_index(rig->world);
    damage_rig_kill(rig);
    line->harm(rig, line->argument);
    bool is_alone = rig->members == 1;
    if (is_alone) world_give_disk(rig->world, rig->target, fs_sim_copy(world_disk(rig->world, rig->target)), false);
    enum outcome outcome = start_after_harm(rig, line, out_message);
    if (!is_alone || outcome == REFUSED) {
        damage_rig_check(rig);
        return outcome;
    }
    uint64_t after = world_last_index(rig->world), lost = before > after ? before - after : 0; /* no step further: the world would ask for what is lost */
    bool is_said = strstr(out_message, "may have been acknowledged") != NULL;
    if (lost > 2 || !is_said) damage_rig_fail(rig, "loses %u and says %s", (uint32_t)lost, out_message);
    return lost > 0 ? LOST_OPENLY : outcome;
}

/* --- operations that fail while it runs --- */

#define NTH_MAX 5
#define TRANSFERS 3 /* so many writes make the logs begin behind who is away */

/* Who stopped starts again as if it had been killed. */
static void start_again(struct damage_rig *rig)
{
    const char *word = world_last_word(rig->world, rig->target);
    if (strstr(word, "/data/") == NULL || strchr(word, ' ') == NULL) damage_rig_fail(rig, "stops without path and reason: %s", word);
    if (rig->members > 1 && !damage_rig_write(rig, 8)) (void)damage_rig_write(rig, 8); /* what was under way when it died is of unknown outcome */
    world_disk_fail(rig->world, rig->target, false);
    if (damage_rig_start(rig) == DAMAGE_RIG_REFUSED) damage_rig_fail(rig, "does not start again: %s", rig->said);
}

static enum outcome run_failing(struct damage_rig *rig, const struct line *line, char *out_message)
{
    enum fs_kind kind = (enum fs_kind)(line->argument & 0xff);
    int error = line->argument >> 8 == 0 ? EIO : line->argument >> 8;
    uint32_t stops = 0, failures = 0;
    char word[300] = "";
    for (uint64_t nth = 1; nth <= NTH_MAX; nth++) {
        struct fs_sim_disk *disk = world_disk(rig->world, rig->target);
        uint64_t failed = fs_sim_failed(disk);
        fs_sim_fail(disk, kind, nth, error);
        for (int i = 0; i < 40 && world_is_up(rig->world, rig->target) && fs_sim_failed(disk) == failed; i++) (void)damage_rig_write(rig, 8);
        for (int i = 0; i < 100 && world_is_up(rig->world, rig->target); i++) damage_rig_run_ms(rig, 5);
        if (!world_is_up(rig->world, rig->target)) {
            stops++;
            failures++;
            snprintf(word, sizeof(word), "%s", world_last_word(rig->world, rig->target));
            start_again(rig);
        } else {
            failures += fs_sim_failed(disk) > failed;
            fs_sim_fail(disk, kind, 0, 0);
        }
        damage_rig_check(rig);
    }
    if (failures == 0) damage_rig_fail(rig, "no such operation was asked for");
    snprintf(out_message, 400, "%u of %u failures stop it%s%s", stops, failures, stops > 0 ? ": " : "", word);
    return stops > 0 ? STOPPED : WENT_ON;
}

/* One member is behind what the others' logs still have and takes a snapshot: it, or the leader that gives it, cannot read or write. */
static enum outcome run_failing_transfer(struct damage_rig *rig, const struct line *line, char *out_message)
{
    uint32_t stops = 0, failures = 0, target = rig->target;
    bool gives = world_leader(rig->world) == (int)target;
    char word[300] = "";
    for (uint64_t nth = 1; nth <= TRANSFERS; nth++) {
        uint32_t behind = gives ? (target + 1) % rig->members : target;
        world_kill(rig->world, behind, false);
        rig->away = 1u << behind;
        if (!damage_rig_write(rig, 500)) damage_rig_fail(rig, "the others do not go on");
        if (!world_start(rig->world, behind)) damage_rig_fail(rig, "member %u does not start", behind);
        struct fs_sim_disk *disk = world_disk(rig->world, target);
        uint64_t failed = fs_sim_failed(disk);
        fs_sim_fail(disk, (enum fs_kind)line->argument, nth, EIO);
        for (int i = 0; i < 300 && world_is_up(rig->world, target) && fs_sim_failed(disk) == failed; i++) damage_rig_run_ms(rig, 10);
        damage_rig_run_ms(rig, 100);
        failures++;
        if (!world_is_up(rig->world, target)) {
            stops++;
            snprintf(word, sizeof(word), "%.299s", world_last_word(rig->world, target));
            start_again(rig);
        } else {
            failures -= fs_sim_failed(disk) == failed;
            fs_sim_fail(disk, (enum fs_kind)line->argument, 0, 0);
        }
        damage_rig_check(rig);
    }
    if (failures == 0) damage_rig_fail(rig, "no such operation was asked for");
    snprintf(out_message, 400, "%u of %u failures stop it%s%s", stops, failures, stops > 0 ? ": " : "", word);
    return stops > 0 ? STOPPED : WENT_ON;
}

/* --- operations that fail while it starts --- */

static enum outcome run_failing_start(struct damage_rig *rig, const struct line *line, char *out_message)
{
    uint32_t refusals = 0, starts = 0;
    char word[300] = "";
    damage_rig_kill(rig);
    if (rig->members > 1 && !damage_rig_write(rig, 8)) damage_rig_fail(rig, "the others do not go on");
    for (uint64_t nth = 1; nth < 400; nth = nth < 12 ? nth + 1 : nth + nth / 4) {
        uint64_t failed = fs_sim_failed(world_disk(rig->world, rig->target));
        world_fail_start(rig->world, rig->target, (uint32_t)line->argument, nth, EIO);
        if (damage_rig_start(rig) == DAMAGE_RIG_REFUSED) {
            refusals++;
            snprintf(word, sizeof(word), "%.299s", rig->said);
            if (strstr(word, "/data") == NULL) damage_rig_fail(rig, "refuses without a path: %s", word);
            continue;
        }
        starts++;
        bool has_failed = fs_sim_failed(world_disk(rig->world, rig->target)) > failed;
        if (!has_failed) break; /* there are not so many */
        damage_rig_kill(rig);
    }
    if (!world_is_up(rig->world, rig->target) && damage_rig_start(rig) == DAMAGE_RIG_REFUSED) damage_rig_fail(rig, "then: %s", rig->said);
    damage_rig_check(rig);
    snprintf(out_message, 400, "%u refused, %u started%s%s", refusals, starts, refusals > 0 ? ": " : "", word);
    return refusals > 0 ? REFUSED : CLEAN;
}

/* --- no room, slow and stuck disks --- */

static enum outcome run_full(struct damage_rig *rig, const struct line *line, char *out_message)
{
    struct fs_sim_disk *disk = world_disk(rig->world, rig->target);
    bool was_refused = false;
    (void)line;
    fs_sim_set_room(disk, fs_sim_used(disk) + (4u << 10));
    for (int i = 0; i < 30 && !was_refused; i++) was_refused = !damage_rig_write(rig, 8);
    if (!world_is_up(rig->world, rig->target)) damage_rig_fail(rig, "a full disk ends it: %s", world_last_word(rig->world, rig->target));
    if (damage_rig_missing(rig, rig->target) > 0 && rig->members == 1) damage_rig_fail(rig, "does not serve what was acknowledged");
    fs_sim_set_room(disk, UINT64_MAX);
    damage_rig_run_ms(rig, 3000);
    damage_rig_check(rig);
    snprintf(out_message, 400, "writes are %s; reads are served; with room again it goes on", was_refused ? "refused" : "still taken");
    return NO_ROOM;
}

static enum outcome run_slow(struct damage_rig *rig, const struct line *line, char *out_message)
{
    bool is_stuck = line->argument == WORLD_DISK_STUCK, has_led = world_leader(rig->world) == (int)rig->target, steps_down = false;
    world_disk_speed(rig->world, rig->target, (enum world_disk_speed)line->argument);
    (void)damage_rig_write(rig, 8);
    for (int i = 0; i < 2000 && has_led && is_stuck && rig->members > 1 && !steps_down; i++) {
        damage_rig_run_ms(rig, 10);
        steps_down = world_followed_leader(rig->world) >= 0 && world_leader(rig->world) != (int)rig->target;
    }
    rig->away = 1u << rig->target;
    bool others_go_on = rig->members > 1 && (damage_rig_write(rig, 8) || damage_rig_write(rig, 8));
    if (!world_is_up(rig->world, rig->target)) damage_rig_fail(rig, "ends");
    if (rig->members > 1 && !others_go_on) damage_rig_fail(rig, "the others do not go on");
    world_disk_speed(rig->world, rig->target, WORLD_DISK_FAST);
    damage_rig_run_ms(rig, 1000);
    damage_rig_check(rig);
    say(out_message, steps_down ? "another leads within moments, and takes writes" : "");
    return steps_down ? STEPPED_DOWN : WENT_ON;
}

/* --- other directories in its place --- */

enum { SAME_START, EARLIER_START, WIPED };

static uint32_t refusing(struct damage_rig *rig, char *out_message)
{
    uint32_t count = 0;
    for (uint32_t m = 0; m < rig->members; m++) {
        const char *text = world_last_refusal(rig->world, m);
        if (m == rig->target || text[0] == '\0') continue;
        count++;
        say(out_message, text);
    }
    return count;
}

static void restart_others(struct damage_rig *rig)
{
    for (uint32_t m = 0; m < rig->members; m++) {
        if (m == rig->target) continue;
        world_kill(rig->world, m, false);
        if (!world_start(rig->world, m)) damage_rig_fail(rig, "member %u does not start again", m);
    }
    damage_rig_run_ms(rig, 2000);
}

/* Its own comes back. Whoever had let the other one in has seen its number of starts: a second start goes beyond that. */
static void own_comes_back(struct damage_rig *rig)
{
    for (int i = 0; i < 2; i++) {
        if (i == 0) world_kill(rig->world, rig->target, false);
        if (i == 0) damage_rig_put_right(rig);
        if (i == 1) world_kill(rig->world, rig->target, false);
        if (damage_rig_start(rig) == DAMAGE_RIG_REFUSED) damage_rig_fail(rig, "its own directory: %s", rig->said);
    }
    damage_rig_run_ms(rig, 6000);
    damage_rig_check(rig);
}

/* A directory that was put back has forgotten; the others may know. `line->argument`: which; 0x10: nobody remembers, all were restarted. */
static enum outcome run_other_directory(struct damage_rig *rig, const struct line *line, char *out_message)
{
    int which = line->argument & 0xf;
    struct fs_sim_disk *copy = which == WIPED ? fs_sim_disk_new() : fs_sim_copy(world_disk(rig->world, rig->target));
    if (which == EARLIER_START) {
        for (int i = 0; i < 2; i++) {
            damage_rig_kill(rig);
            if (damage_rig_start(rig) == DAMAGE_RIG_REFUSED) damage_rig_fail(rig, "%s", rig->said);
            damage_rig_run_ms(rig, 1000);
        }
    }
    if (!damage_rig_write(rig, 40)) damage_rig_fail(rig, "a write is refused");
    uint64_t before = world_last_index(rig->world);
    damage_rig_kill(rig);
    world_give_disk(rig->world, rig->target, copy, false);
    rig->away = 1u << rig->target;
    if (rig->members > 1 && (line->argument & 0x10) != 0) restart_others(rig);
    if (rig->members > 1 && !damage_rig_write(rig, 8)) damage_rig_fail(rig, "the others do not go on");
    if (damage_rig_start(rig) == DAMAGE_RIG_REFUSED) {
        say(out_message, rig->said);
        return REFUSED;
    }
    if (rig->members == 1) { /* no step further: the world would ask for what is lost */
        uint64_t after = world_last_index(rig->world);
        snprintf(out_message, 400, "the last %u entries are gone, and nobody else was told of them", (uint32_t)(before - after));
        return NOT_NOTICED;
    }
    damage_rig_run_ms(rig, 3000);
    if (!damage_rig_write(rig, 8)) damage_rig_fail(rig, "the others do not go on");
    uint32_t refusals = refusing(rig, out_message);
    if (refusals == 0) {
        damage_rig_check(rig);
        say(out_message, "nobody remembers it: it catches up; until then it may vote again");
        return NOT_NOTICED;
    }
    size_t used = strlen(out_message);
    snprintf(out_message + used, 400 - used, " (%u of %u)", refusals, rig->members - 1);
    own_comes_back(rig);
    return SHUT_OUT;
}

/* --- the table --- */

#define AT_REST(fault, place, harm, argument, cluster, alone) {fault, place, run_at_rest, harm, argument, {cluster, cluster, alone}}
#define STARTING(kind, place, bits) {"EIO, N-th while it starts", place, run_failing_start, NULL, kind, {bits, bits, bits}}

static struct line lines[] = {
    AT_REST("bit flip", "log: head of the oldest segment", flip_head, 0, BIT(REPAIRED), BIT(REPAIRED)),
    AT_REST("bit flip", "log: middle of the oldest segment", flip_middle, 0, BIT(REPAIRED), BIT(REPAIRED)),
    AT_REST("bit flip", "log: behind the snapshot", flip_behind_snapshot, 0, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("bit flip", "log: head of the last segment", flip_head, -1, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("bit flip", "log: last mark, first block", flip_tail, FIRST, BIT(REPAIRED), BIT(REPAIRED)),
    AT_REST("bit flip", "log: last mark, last block", flip_tail, LAST, BIT(REPAIRED), BIT(REPAIRED)),
    {"bit flip", "log: last entries, first block", run_tail, flip_tail, FIRST, {BIT(REPAIRED), BIT(REPAIRED), BIT(LOST_OPENLY)}},
    {"bit flip", "log: last entries, last block", run_tail, flip_tail, LAST, {BIT(REPAIRED), BIT(REPAIRED), BIT(LOST_OPENLY)}},
    {"bit flip", "log: last entries, both ends", run_tail, flip_tail, FIRST | LAST, {BIT(REFUSED), BIT(REFUSED), BIT(LOST_OPENLY)}},
    AT_REST("bit flip", "log: the spare", flip_file, SPARE, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("bit flip", "newest snapshot: head", flip_snapshot, 0, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "newest snapshot: configuration", flip_snapshot, SNAPSHOT_FORMAT_CONF, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "newest snapshot: members", flip_snapshot, SNAPSHOT_FORMAT_CLUSTER, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "newest snapshot: sums", flip_snapshot, SNAPSHOT_FORMAT_SUMS, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "newest snapshot: keys", flip_snapshot, SNAPSHOT_FORMAT_KEYS, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "newest snapshot: end", flip_snapshot, SNAPSHOT_FORMAT_END, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("bit flip", "older snapshot: keys", flip_older_snapshot, 0, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("bit flip", "all snapshots: keys", flip_all_snapshots, SNAPSHOT_FORMAT_KEYS, BIT(ASKED), BIT(REFUSED)),
    AT_REST("bit flip", "identity", flip_file, IDENTITY, BIT(REFUSED), BIT(REFUSED)),

    AT_REST("cut short", "log: oldest segment", cut_file, OLDEST_SEGMENT, BIT(REPAIRED), BIT(REPAIRED)),
    AT_REST("cut short", "log: behind the snapshot", cut_file, MIDDLE_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("cut short", "log: last segment", cut_file, LAST_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("cut short", "log: the spare", cut_file, SPARE, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("cut short", "newest snapshot", cut_file, NEWEST_SNAPSHOT, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("cut short", "older snapshot", cut_file, OLDER_SNAPSHOT, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("cut short", "identity", cut_file, IDENTITY, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("empty", "log: oldest segment", empty_file, OLDEST_SEGMENT, BIT(REPAIRED), BIT(REPAIRED)),
    AT_REST("empty", "log: behind the snapshot", empty_file, MIDDLE_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("empty", "log: last segment", empty_file, LAST_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("empty", "log: the spare", empty_file, SPARE, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("empty", "newest snapshot", empty_file, NEWEST_SNAPSHOT, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("empty", "older snapshot", empty_file, OLDER_SNAPSHOT, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("empty", "identity", empty_file, IDENTITY, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "log: oldest segment", remove_file, OLDEST_SEGMENT, BIT(CLEAN) | BIT(REPAIRED), BIT(CLEAN) | BIT(REPAIRED)),
    AT_REST("missing", "log: behind the snapshot", remove_file, MIDDLE_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "log: last segment", remove_file, LAST_SEGMENT, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "log: the spare", remove_file, SPARE, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("missing", "log: all of it", remove_all, LOG, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "newest snapshot", remove_file, NEWEST_SNAPSHOT, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("missing", "older snapshot", remove_file, OLDER_SNAPSHOT, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("missing", "all snapshots", remove_all, SNAPSHOTS, BIT(ASKED), BIT(REFUSED)),
    AT_REST("missing", "log and all snapshots", remove_all, LOG | SNAPSHOTS, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "identity", remove_file, IDENTITY, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "identity and log", remove_all, WHO_IT_IS | LOG, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "identity and snapshots", remove_all, WHO_IT_IS | SNAPSHOTS, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("missing", "the lock", remove_file, LOCK, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("extra", "log: a note", add_file, NOTES_IN_LOG, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("extra", "log: two segments of a number", add_file, TWO_OF_A_NUMBER, BIT(REFUSED) | BIT(REPAIRED), BIT(REFUSED) | BIT(REPAIRED)),
    AT_REST("extra", "log: a copy as the next segment", add_file, SEGMENT_OF_LATER, BIT(REFUSED), BIT(REFUSED)),
    AT_REST("extra", "snapshots: a note", add_file, NOTES_IN_SNAP, BIT(CLEAN), BIT(CLEAN)),
    AT_REST("extra", "snapshots: noise as the newest", add_file, SNAPSHOT_OF_NOISE, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("extra", "snapshots: a copy as the newest", add_file, SNAPSHOT_RENAMED, BIT(FELL_BACK), BIT(FELL_BACK)),
    AT_REST("extra", "snapshots: one half written", add_file, SNAPSHOT_TMP, BIT(CLEAN), BIT(CLEAN)),

    {"old copy put back", "of the same start", run_other_directory, NULL, SAME_START, {BIT(SHUT_OUT) | BIT(NOT_NOTICED), BIT(SHUT_OUT), BIT(NOT_NOTICED)}},
    {"old copy put back", "of an earlier start", run_other_directory, NULL, EARLIER_START, {BIT(SHUT_OUT), BIT(SHUT_OUT), BIT(NOT_NOTICED)}},
    {"old copy put back", "all others restarted", run_other_directory, NULL, EARLIER_START | 0x10, {BIT(NOT_NOTICED), BIT(NOT_NOTICED), 0}},
    {"wiped", "the old id, others remember", run_other_directory, NULL, WIPED, {BIT(SHUT_OUT), BIT(SHUT_OUT), BIT(NOT_NOTICED)}},
    {"wiped", "the old id, others restarted", run_other_directory, NULL, WIPED | 0x10, {BIT(NOT_NOTICED), BIT(NOT_NOTICED), 0}},

    {"no room", "the disk is full", run_full, NULL, 0, {BIT(NO_ROOM), BIT(NO_ROOM), BIT(NO_ROOM)}},
    {"ENOSPC, N-th", "allocate", run_failing, NULL, FS_ALLOCATE | ENOSPC << 8, {BIT(WENT_ON), BIT(WENT_ON), BIT(WENT_ON)}},
    {"ENOSPC, N-th", "rename", run_failing, NULL, FS_RENAME | ENOSPC << 8, {BIT(WENT_ON), BIT(WENT_ON), BIT(WENT_ON)}},
    {"ENOSPC, N-th", "open", run_failing, NULL, FS_OPEN | ENOSPC << 8, {BIT(WENT_ON), BIT(WENT_ON), BIT(WENT_ON)}},
    {"ENOSPC, N-th", "write to the log", run_failing, NULL, FS_PWRITE | ENOSPC << 8, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "write", run_failing, NULL, FS_PWRITE, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "fdatasync", run_failing, NULL, FS_FDATASYNC, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "fsync of a directory", run_failing, NULL, FS_FSYNC_DIR, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "allocate", run_failing, NULL, FS_ALLOCATE, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "rename", run_failing, NULL, FS_RENAME, {BIT(STOPPED), BIT(STOPPED), BIT(STOPPED)}},
    {"EIO, N-th while it runs", "open", run_failing, NULL, FS_OPEN, {BIT(STOPPED) | BIT(WENT_ON), BIT(STOPPED) | BIT(WENT_ON), BIT(STOPPED) | BIT(WENT_ON)}},
    {"EIO, N-th while it runs", "unlink", run_failing, NULL, FS_UNLINK, {BIT(WENT_ON), BIT(WENT_ON), BIT(WENT_ON)}},
    {"EIO, N-th of a transfer", "read", run_failing_transfer, NULL, FS_PREAD, {BIT(WENT_ON), BIT(WENT_ON), 0}},
    {"EIO, N-th of a transfer", "write", run_failing_transfer, NULL, FS_PWRITE, {0, BIT(STOPPED) | BIT(WENT_ON), 0}},
    {"EIO, N-th of a transfer", "fdatasync", run_failing_transfer, NULL, FS_FDATASYNC, {0, BIT(STOPPED) | BIT(WENT_ON), 0}},
    {"EIO, N-th of a transfer", "rename", run_failing_transfer, NULL, FS_RENAME, {0, BIT(STOPPED) | BIT(WENT_ON), 0}},
    STARTING(FS_OPEN, "open", BIT(REFUSED)),
    STARTING(FS_PREAD, "read", BIT(REFUSED)),
    STARTING(FS_SIZE, "size", BIT(REFUSED)),
    STARTING(FS_LIST, "list", BIT(REFUSED)),
    STARTING(FS_LOCK, "lock", BIT(REFUSED)),
    STARTING(FS_PWRITE, "write", BIT(REFUSED)),
    STARTING(FS_FDATASYNC, "fdatasync", BIT(REFUSED)),
    STARTING(FS_FSYNC_DIR, "fsync of a directory", BIT(REFUSED) | BIT(CLEAN)),
    STARTING(FS_RENAME, "rename", BIT(REFUSED)),
    STARTING(FS_UNLINK, "unlink", BIT(REFUSED) | BIT(CLEAN)),
    {"slow fsync", "300 ms each", run_slow, NULL, WORLD_DISK_SLOW, {BIT(WENT_ON), BIT(WENT_ON), BIT(WENT_ON)}},
    {"stuck fsync", "for seconds", run_slow, NULL, WORLD_DISK_STUCK, {BIT(STEPPED_DOWN), BIT(WENT_ON), BIT(WENT_ON)}},
};

/* In a child, which has a copy of the cluster: an invariant that breaks ends it, and its text comes on stderr. */
static struct row run_line(struct damage_rig *rig, const struct line *line)
{
    struct row row = {.is_done = false};
    int ends[2];
    int made = pipe(ends);
    ASSERT(made == 0);
    fflush(stdout);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        close(ends[0]);
        row.outcome = line->run(rig, line, row.message);
        row.is_done = true;
        damage_rig_deinit(rig);
        ssize_t wrote = write(ends[1], &row, sizeof(row));
        _Exit(wrote == sizeof(row) ? 0 : 4);
    }
    close(ends[1]);
    if (read(ends[0], &row, sizeof(row)) != sizeof(row)) row.is_done = false;
    close(ends[0]);
    int status = 0;
    (void)waitpid(child, &status, 0);
    return row;
}

static bool is_wanted(const struct line *line, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(line->fault, argv[i]) == NULL && strstr(line->place, argv[i]) == NULL) return false;
    }
    return true;
}

struct sums {
    uint32_t passed, failed, counts[OUTCOMES];
};

static void run_lines(enum who who, int argc, char **argv, struct sums *sums)
{
    static struct damage_rig rig;
    damage_rig_init(&rig, who == ALONE ? 1 : 3, who == LEADER, 1 + (uint64_t)who);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].expected[who] == 0 || !is_wanted(&lines[i], argc, argv)) continue;
        struct row row = run_line(&rig, &lines[i]);
        bool is_good = row.is_done && (lines[i].expected[who] & BIT(row.outcome)) != 0;
        printf("%-9s %-24s %-34s %-31s %.180s%s\n", who_names[who], lines[i].fault, lines[i].place,
               row.is_done ? outcome_names[row.outcome] : "BROKEN", row.is_done ? row.message : "", is_good ? "" : "   <── NOT AS IT SHOULD BE");
        sums->passed += is_good;
        sums->failed += !is_good;
        if (row.is_done) sums->counts[row.outcome]++;
    }
    damage_rig_deinit(&rig);
}

int main(int argc, char **argv)
{
    struct sums sums = {.passed = 0};
    printf("%-9s %-24s %-34s %-31s %s\n", "member", "fault", "place", "outcome", "message");
    for (enum who who = 0; who < WHO; who++) run_lines(who, argc, argv, &sums);
    for (uint32_t i = 0; i < OUTCOMES; i++) printf("%u %s%s", sums.counts[i], outcome_names[i], i + 1 < OUTCOMES ? ", " : "\n");
    printf("%u lines: %u passed, %u failed\n", sums.passed + sums.failed, sums.passed, sums.failed);
    return sums.failed == 0 && sums.passed > 0 ? 0 : 1;
}
