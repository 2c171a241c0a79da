/* damage_rig: see damage_rig.h. */
#include "lib/damage_rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/snapshot_format.h"
#include "storage/wal_format.h"

#define WRITES_AT_FIRST 230
#define TOGETHER 8 /* calls in flight at once */

void damage_rig_fail(const struct damage_rig *rig, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "member %u: ", rig->target);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _Exit(3);
}

/* --- calls --- */

static void value_of(uint32_t number, char out_value[128]) { snprintf(out_value, 128, "value %u %0*u", number, 40 + (int)(number * 7 % 60), number); }

static uint64_t put(struct damage_rig *rig, uint32_t member, uint32_t number)
{
    char key[16], value[128];
    struct buf buf;
    snprintf(key, sizeof(key), "k%05u", number);
    value_of(number, value);
    buf_init(&buf);
    buf_put_pb_bytes(&buf, 1, slice_from_string(key));
    buf_put_pb_bytes(&buf, 2, slice_from_string(value));
    uint64_t call = world_call(rig->world, member, "/etcdserverpb.KV/Put", buf_slice(&buf));
    buf_deinit(&buf);
    return call;
}

/* Whoever takes calls, the leader first. */
static bool choose(const struct damage_rig *rig, uint32_t *out_member)
{
    int leader = world_leader(rig->world);
    for (uint32_t i = 0; i <= rig->members; i++) {
        uint32_t member = i == 0 && leader >= 0 ? (uint32_t)leader : i % rig->members;
        if ((rig->away >> member & 1) != 0 || !world_listens(rig->world, member)) continue;
        *out_member = member;
        return true;
    }
    return false;
}

static bool is_over(struct damage_rig *rig, const uint64_t *calls, uint32_t count, uint32_t first)
{
    bool all = true;
    for (uint32_t i = 0; i < count; i++) {
        enum err err;
        struct slice bytes;
        bool died;
        if (!world_answer(rig->world, calls[i], &err, &bytes, &died)) {
            all = false;
        } else if (err == ERR_OK && !died && !rig->is_acked[first + i]) {
            rig->is_acked[first + i] = true;
            rig->acked++;
        }
    }
    return all;
}

bool damage_rig_write(struct damage_rig *rig, uint32_t count)
{
    uint32_t acked = rig->acked;
    for (uint32_t done = 0; done < count;) {
        uint64_t calls[TOGETHER];
        uint32_t member = 0, n = count - done < TOGETHER ? count - done : TOGETHER, first = rig->writes;
        for (int i = 0; i < 300 && !choose(rig, &member); i++) damage_rig_run_ms(rig, 10);
        if (!choose(rig, &member)) return false;
        ASSERT(rig->writes + n <= DAMAGE_RIG_WRITES_MAX);
        for (uint32_t i = 0; i < n; i++) calls[i] = put(rig, member, rig->writes++);
        for (int i = 0; i < 3000 && !is_over(rig, calls, n, first); i++) damage_rig_run_ms(rig, 5);
        if (!is_over(rig, calls, n, first)) damage_rig_fail(rig, "a call is not answered");
        done += n;
    }
    return rig->acked - acked == count;
}

void damage_rig_run_ms(struct damage_rig *rig, uint64_t ms) { world_run(rig->world, ms * NS_PER_MS); }

/* --- start and end --- */

/* The part of a warning that says what was found. */
static void hear(void *context, struct slice line)
{
    struct damage_rig *rig = context;
    size_t used = strlen(rig->said);
    const char *text = (const char *)line.data, *found = memmem(text, line.size, "\"found\":\"", 9);
    const char *end = text + line.size;
    if (found == NULL || used + 3 > sizeof(rig->said)) return;
    found += 9;
    const char *quote = memchr(found, '"', (size_t)(end - found));
    if (quote == NULL) quote = end;
    bool is_snapshot = memmem(text, line.size, "a snapshot is damaged", 21) != NULL, is_lost = memmem(text, line.size, "snapshots are lost", 18) != NULL;
    const char *kind = is_snapshot ? "[snapshot] " : is_lost ? "[lost] " : "";
    snprintf(rig->said + used, sizeof(rig->said) - used, "%s%s%.*s", used > 0 ? "; " : "", kind, (int)(quote - found), found);
}

static void wait_ready(struct damage_rig *rig)
{
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t ready = 0;
        for (uint32_t m = 0; m < rig->members; m++) ready += world_is_ready(rig->world, m);
        if (ready == rig->members && world_followed_leader(rig->world) >= 0) return;
        damage_rig_run_ms(rig, 10);
    }
    damage_rig_fail(rig, "the members never became ready");
}

void damage_rig_init(struct damage_rig *rig, uint32_t members, bool at_leader, uint64_t seed)
{
    *rig = (struct damage_rig){.members = members};
    struct world_options options = {.seed = seed, .members = members, .switch_percent = 5, .late_disks = true, .late_chores = true,
                                    .delay_ns = NS_PER_MS, .segment_entries = 25, .snapshot_count = 50, .snapshot_catchup = 10,
                                    .request_timeout_ms = 2000};
    rig->world = world_new(&options);
    log_set_level(LOG_WARN);
    log_set_thread_sink(hear, rig);
    wait_ready(rig);
    if (!damage_rig_write(rig, WRITES_AT_FIRST)) damage_rig_fail(rig, "a healthy cluster refuses a write");
    damage_rig_run_ms(rig, 300);
    int leader = world_leader(rig->world);
    if (leader < 0) damage_rig_fail(rig, "there is no leader");
    rig->target = at_leader || members == 1 ? (uint32_t)leader : ((uint32_t)leader + 1) % members;
    rig->said[0] = '\0';
}

void damage_rig_deinit(struct damage_rig *rig)
{
    fs_sim_disk_free(rig->whole);
    world_free(rig->world);
    log_set_thread_sink(NULL, NULL);
}

void damage_rig_kill(struct damage_rig *rig)
{
    world_kill(rig->world, rig->target, false);
    fs_sim_disk_free(rig->whole);
    rig->whole = fs_sim_copy(world_disk(rig->world, rig->target));
}

enum damage_rig_start damage_rig_start(struct damage_rig *rig)
{
    rig->said[0] = '\0';
    if (!world_start(rig->world, rig->target)) {
        snprintf(rig->said, sizeof(rig->said), "%s", world_last_word(rig->world, rig->target));
        return DAMAGE_RIG_REFUSED;
    }
    if (strstr(rig->said, "[lost]") != NULL) return DAMAGE_RIG_ASKED;
    if (strstr(rig->said, "[snapshot]") != NULL) return DAMAGE_RIG_FELL_BACK;
    return rig->said[0] != '\0' ? DAMAGE_RIG_REPAIRED : DAMAGE_RIG_CLEAN;
}

void damage_rig_put_right(struct damage_rig *rig)
{
    ASSERT(rig->whole != NULL && !world_is_up(rig->world, rig->target));
    world_give_disk(rig->world, rig->target, fs_sim_copy(rig->whole), true);
}

/* --- at the end --- */

static uint32_t count_there(const struct damage_rig *rig, struct slice response, bool *out_seen)
{
    struct reader reader = reader_make(response);
    struct pb_field at, part;
    uint32_t count = 0;
    while (reader_pb_field(&reader, &at)) {
        if (at.number != 2 || at.wire != PB_BYTES) continue;
        struct reader pair = reader_make(at.bytes);
        struct slice key = slice_empty(), value = slice_empty();
        while (reader_pb_field(&pair, &part)) {
            if (part.number == 1) key = part.bytes;
            if (part.number == 5) value = part.bytes;
        }
        char digits[8] = "", expected[128];
        if (key.size != 6) damage_rig_fail(rig, "a key that nobody wrote");
        memcpy(digits, key.data + 1, 5);
        uint32_t number = (uint32_t)strtoul(digits, NULL, 10);
        value_of(number, expected);
        if (number >= rig->writes || value.size != strlen(expected) || memcmp(value.data, expected, value.size) != 0) {
            damage_rig_fail(rig, "key %u has a value that nobody wrote", number);
        }
        out_seen[number] = true;
        count++;
    }
    return count;
}

static uint32_t missing(struct damage_rig *rig, uint32_t member, bool is_serializable)
{
    static bool seen[DAMAGE_RIG_WRITES_MAX];
    struct buf buf;
    enum err err = ERR_STOPPED;
    struct slice bytes = slice_empty();
    bool died = false;
    memset(seen, 0, sizeof(seen));
    buf_init(&buf);
    buf_put_pb_bytes(&buf, 1, slice_from_string("k"));
    buf_put_pb_bytes(&buf, 2, slice_from_string("l"));
    if (is_serializable) buf_put_pb_varint(&buf, 7, 1);
    for (int tries = 0; tries < 5; tries++) {
        uint64_t call = world_call(rig->world, member, "/etcdserverpb.KV/Range", buf_slice(&buf));
        for (int i = 0; i < 1000 && !world_answer(rig->world, call, &err, &bytes, &died); i++) damage_rig_run_ms(rig, 10);
        if (world_answer(rig->world, call, &err, &bytes, &died) && err == ERR_OK) break;
    }
    buf_deinit(&buf);
    if (err != ERR_OK || died) damage_rig_fail(rig, "member %u does not serve: %s", member, err_name(err));
    (void)count_there(rig, bytes, seen);
    uint32_t lost = 0;
    for (uint32_t i = 0; i < rig->writes; i++) lost += rig->is_acked[i] && !seen[i];
    return lost;
}

uint32_t damage_rig_missing(struct damage_rig *rig, uint32_t member) { return missing(rig, member, true); }

static bool is_equal(const struct damage_rig *rig)
{
    uint64_t index = 0, hash = 0;
    int64_t revision = 0;
    for (uint32_t m = 0; m < rig->members; m++) {
        uint64_t other_index;
        int64_t other_revision;
        uint64_t other = world_hash(rig->world, m, &other_index, &other_revision);
        if (m > 0 && other_index != index) return false;
        if (m > 0 && (other != hash || other_revision != revision)) damage_rig_fail(rig, "HashKV of member %u differs", m);
        index = other_index;
        hash = other;
        revision = other_revision;
    }
    return true;
}

void damage_rig_check(struct damage_rig *rig)
{
    rig->away = 0;
    wait_ready(rig);
    bool is_good = damage_rig_write(rig, 16);
    for (int i = 0; i < 20 && !is_good; i++) {
        damage_rig_run_ms(rig, 500); /* room is looked for each second */
        is_good = damage_rig_write(rig, 16);
    }
    if (!is_good) damage_rig_fail(rig, "the cluster takes no writes any more");
    for (uint32_t m = 0; m < rig->members; m++) {
        uint32_t lost = missing(rig, m, false);
        if (lost > 0) damage_rig_fail(rig, "member %u lacks %u acknowledged writes", m, lost);
    }
    for (int i = 0; i < 500 && !is_equal(rig); i++) damage_rig_run_ms(rig, 20);
    if (!is_equal(rig)) damage_rig_fail(rig, "the members do not come to the same place");
}

/* --- files --- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

/* Names come in order. */
static uint32_t list(const struct damage_rig *rig, const char *directory, const char *suffix, char (*out_names)[64], uint32_t max)
{
    char name[64];
    uint32_t count = 0;
    for (size_t i = 0; fs_sim_name(world_disk(rig->world, rig->target), directory, i, name, sizeof(name)); i++) {
        if (!ends_with(name, suffix) || count == max) continue;
        memcpy(out_names[count++], name, sizeof(name));
    }
    return count;
}

void damage_rig_segment(const struct damage_rig *rig, int place, char out_path[128])
{
    char names[64][64];
    uint32_t count = list(rig, DAMAGE_RIG_WAL, WAL_FORMAT_SUFFIX, names, 64);
    int at = place < 0 ? (int)count + place : place;
    if (at < 0 || at >= (int)count) damage_rig_fail(rig, "there are %u segments only", count);
    snprintf(out_path, 128, "%s/%.63s", DAMAGE_RIG_WAL, names[at]);
}

void damage_rig_snapshot(const struct damage_rig *rig, uint32_t place, char out_path[128])
{
    char names[64][64];
    uint32_t count = list(rig, DAMAGE_RIG_SNAP, SNAPSHOT_FORMAT_SUFFIX, names, 64);
    if (place >= count) damage_rig_fail(rig, "there are %u snapshots only", count);
    snprintf(out_path, 128, "%s/%.63s", DAMAGE_RIG_SNAP, names[count - 1 - place]); /* terms do not matter: one leader took them */
}

uint64_t damage_rig_snapshot_index(const struct damage_rig *rig, uint32_t place)
{
    char path[128];
    uint64_t index = 0, term = 0;
    damage_rig_snapshot(rig, place, path);
    bool is_good = snapshot_format_parse_name(strrchr(path, '/') + 1, &index, &term);
    ASSERT(is_good);
    return index;
}

static bool is_used(const struct damage_rig *rig, const char *path, uint64_t offset, struct wal_format_stamp *out_stamp)
{
    uint8_t block[WAL_FORMAT_BLOCK];
    fs_sim_peek(world_disk(rig->world, rig->target), path, offset, block, sizeof(block));
    return wal_format_classify(block, out_stamp) == WAL_FORMAT_GOOD;
}

uint64_t damage_rig_block(const struct damage_rig *rig, const char *path, uint32_t percent)
{
    uint64_t size = fs_sim_size(world_disk(rig->world, rig->target), path), used = 0;
    struct wal_format_stamp stamp;
    while (used + WAL_FORMAT_BLOCK <= size && is_used(rig, path, used, &stamp)) used += WAL_FORMAT_BLOCK;
    ASSERT(used > 0 && percent <= 100);
    return (used - WAL_FORMAT_BLOCK) / WAL_FORMAT_BLOCK * percent / 100 * WAL_FORMAT_BLOCK;
}

uint64_t damage_rig_behind_snapshot(const struct damage_rig *rig, char out_path[128])
{
    char names[64][64];
    uint32_t count = list(rig, DAMAGE_RIG_WAL, WAL_FORMAT_SUFFIX, names, 64);
    uint64_t snapshot = damage_rig_snapshot_index(rig, 0);
    for (uint32_t i = 0; i + 1 < count; i++) {
        uint64_t first = strtoull(strchr(names[i], '-') + 1, NULL, 16);
        if (first <= snapshot + 1) continue;
        snprintf(out_path, 128, "%s/%.63s", DAMAGE_RIG_WAL, names[i]);
        return damage_rig_block(rig, out_path, 50);
    }
    damage_rig_fail(rig, "no segment lies behind the snapshot at %" PRIu64, snapshot);
}

void damage_rig_last_batch(const struct damage_rig *rig, char out_path[128], uint64_t *out_first, uint64_t *out_last)
{
    struct wal_format_stamp stamp = {0}, last;
    damage_rig_segment(rig, -1, out_path);
    *out_last = damage_rig_block(rig, out_path, 100);
    bool is_good = is_used(rig, out_path, *out_last, &last);
    ASSERT(is_good);
    for (*out_first = *out_last; *out_first > 0; *out_first -= WAL_FORMAT_BLOCK) {
        if (!is_used(rig, out_path, *out_first - WAL_FORMAT_BLOCK, &stamp) || stamp.batch != last.batch) break;
    }
}

uint64_t damage_rig_section(const struct damage_rig *rig, const char *path, uint32_t section)
{
    struct fs_sim_disk *disk = world_disk(rig->world, rig->target);
    uint64_t size = fs_sim_size(disk, path);
    for (uint64_t offset = SNAPSHOT_FORMAT_HEAD; offset + SNAPSHOT_FORMAT_FRAME <= size;) {
        uint8_t frame[SNAPSHOT_FORMAT_FRAME];
        fs_sim_peek(disk, path, offset, frame, sizeof(frame));
        struct snapshot_format_block block = snapshot_format_get_frame(frame);
        if (block.section == section) return offset + SNAPSHOT_FORMAT_FRAME;
        offset += SNAPSHOT_FORMAT_FRAME + block.payload_bytes;
    }
    damage_rig_fail(rig, "%s has no section %u", path, section);
}

void damage_rig_make_file(struct damage_rig *rig, const char *path, const void *bytes, size_t size)
{
    struct fs *fs = fs_sim_new(world_disk(rig->world, rig->target), true);
    struct fs_file *file = NULL;
    int error = fs_open(fs, path, FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    struct fs_op write = {.kind = FS_PWRITE, .file = file, .size = size, .data = bytes};
    if (error == 0 && size > 0) error = fs_run(fs, &write);
    ASSERT(error == 0);
    fs_close(fs, file);
    fs_free(fs);
}

void damage_rig_copy_file(struct damage_rig *rig, const char *from, const char *to)
{
    struct fs_sim_disk *disk = world_disk(rig->world, rig->target);
    size_t size = (size_t)fs_sim_size(disk, from);
    uint8_t *bytes = alloc_new(size + 1);
    fs_sim_peek(disk, from, 0, bytes, size);
    damage_rig_make_file(rig, to, bytes, size);
    alloc_free(bytes);
}
