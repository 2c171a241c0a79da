/* wal_rig: a log on a simulated disk beside a model of it. See wal_rig.h. */
#include "lib/wal_rig.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "storage/wal_format.h"

/* As ck_assert, without its report of every check that holds: there are millions of these. */
static void expect(bool is_true, const char *what)
{
    if (!is_true) ck_abort_msg("%s", what);
}

/* The context of all call-backs is the rig. The log must ask with a configuration that it was given. */
static bool rig_is_alone(void *context, struct slice conf)
{
    struct wal_rig *rig = context;
    expect(conf.size == 40 || conf.size == 60, "the log asks with a configuration that it was not given"); /* the bootstrap's, a CONF entry's */
    rig->asked++;
    return rig->is_alone;
}

void wal_rig_init(struct wal_rig *rig)
{
    *rig = (struct wal_rig){.now_ns = NS_PER_S};
    rig->options = (struct wal_options){.directory = WAL_RIG_DIRECTORY,
                                        .cluster_id = 0xc1,
                                        .member_id = 0x11,
                                        .alone_fn = rig_is_alone,
                                        .segment_bytes = 8192,
                                        .batch_bytes_max = 4096};
    rig->disk = fs_sim_disk_new();
    struct fs *fs = fs_sim_new(rig->disk, true);
    struct fs_op make = {.kind = FS_MKDIR, .path = WAL_RIG_DIRECTORY};
    expect(fs_run(fs, &make) == 0, "no directory");
    struct fs_op sync = {.kind = FS_FSYNC_DIR, .path = "."};
    expect(fs_run(fs, &sync) == 0, "no directory on disk");
    fs_free(fs);
    rig->states[0] = ALLOC(struct wal_rig_state);
    rig->handed = ALLOC(struct wal_rig_state);
}

void wal_rig_close(struct wal_rig *rig)
{
    wal_close(rig->wal);
    rig->wal = NULL;
    fs_free(rig->fs);
    rig->fs = NULL;
    wal_recovered_deinit(&rig->found);
}

void wal_rig_deinit(struct wal_rig *rig)
{
    wal_rig_close(rig);
    fs_sim_disk_free(rig->disk);
    for (size_t i = 0; i <= WAL_RIG_APPENDS_MAX; i++) alloc_free(rig->states[i]);
    alloc_free(rig->handed);
}

void wal_rig_move(struct wal_rig *rig, struct fs_sim_disk *disk)
{
    wal_rig_close(rig);
    fs_sim_disk_free(rig->disk);
    rig->disk = disk;
}

/* Where the bytes that differ begin: not small ones are all alike before, as a command's are. */
static size_t rig_lead(size_t size) { return size >= 48 ? 32 : 0; }

/* The bytes of an entry tell its index, its term and its value apart. */
static struct blob *rig_bytes(uint64_t index, uint64_t term, uint64_t value, size_t size)
{
    struct blob *blob = blob_new(size < 16 ? 16 : size);
    size_t lead = rig_lead(blob->size);
    for (size_t i = 0; i < blob->size; i++) blob->data[i] = (uint8_t)(i < lead ? i : index * 7 + term * 13 + value + i);
    memcpy(blob->data + lead, &value, sizeof value);
    memcpy(blob->data + lead + 8, &index, sizeof index);
    return blob;
}

uint64_t wal_rig_value(const struct raft_entry *entry)
{
    uint64_t value = 0;
    memcpy(&value, entry->data->data + rig_lead(entry->data->size), sizeof value);
    return value;
}

static void rig_take(struct wal_rig *rig, const struct raft_entry *entry)
{
    expect(entry->data != NULL && entry->data->size >= 16, "an entry without its bytes");
    expect(entry->index <= WAL_RIG_INDEX_MAX, "an index beyond all");
    uint64_t value = wal_rig_value(entry);
    struct blob *expected = rig_bytes(entry->index, entry->term, value, entry->data->size);
    expect(memcmp(expected->data, entry->data->data, expected->size) == 0, "an entry with other bytes");
    blob_unref(expected);
    expect(entry->index == rig->handed->last_index + 1, "an entry out of order");
    rig->handed->last_index = entry->index;
    rig->handed->log[entry->index].term = entry->term;
    rig->handed->log[entry->index].value = value;
    rig->handed->log[entry->index].kind = entry->kind;
}

static void rig_final(void *context, const struct raft_entry *entry)
{
    struct wal_rig *rig = context;
    rig_take(rig, entry);
    rig->handed_final++;
}

/* The term of an entry of the retained log, or of the one before it, as the last open found it. */
static uint64_t rig_found_term(const struct wal_rig *rig, uint64_t index)
{
    const struct wal_recovered *found = &rig->found;
    if (index + 1 == found->first_index) return found->prev_term;
    size_t run = 0;
    while (run + 1 < found->run_count && found->runs[run + 1].first_index <= index) run++;
    expect(run < found->run_count && found->runs[run].first_index <= index, "an entry without a run of terms");
    expect(run > 0 || found->runs[0].first_index == found->first_index, "runs of terms do not begin where the log does");
    return found->runs[run].term;
}

enum err wal_rig_open(struct wal_rig *rig)
{
    ASSERT(rig->wal == NULL);
    rig->fs = fs_sim_new(rig->disk, true);
    rig->options.fs = rig->fs;
    rig->handed->last_index = rig->options.snapshot_index;
    rig->handed_final = 0;
    struct blob *conf = rig_bytes(0, 0, 0, 40);
    enum err err = wal_open(&rig->options, blob_slice(conf), rig_final, rig, &rig->wal, &rig->found);
    blob_unref(conf);
    rig->sequence_base = rig->appended;
    if (err != ERR_OK) return err;
    expect(rig->handed->last_index == rig->found.hard.commit, "final entries are not those up to the commit index");
    for (size_t i = 0; i < rig->found.pending_count; i++) rig_take(rig, &rig->found.pending[i]);
    expect(rig->handed->last_index == rig->found.last_index, "pending entries do not reach the last index");
    rig->handed->hard = rig->found.hard;
    expect(rig->found.first_index > 0 && rig->found.first_index <= rig->options.snapshot_index + 1, "the log begins too late");
    for (uint64_t index = rig->options.snapshot_index + 1; index <= rig->found.last_index; index++) {
        expect(rig_found_term(rig, index) == rig->handed->log[index].term, "a run of terms that is wrong");
    }
    return ERR_OK;
}

static struct wal_rig_state *rig_next_state(struct wal_rig *rig)
{
    expect(rig->appended < WAL_RIG_APPENDS_MAX, "too many appends");
    struct wal_rig_state *state = rig->states[rig->appended + 1];
    if (state == NULL) state = rig->states[rig->appended + 1] = ALLOC(struct wal_rig_state);
    *state = *rig->states[rig->appended];
    rig->appended++;
    return state;
}

static void rig_append_kind(struct wal_rig *rig, uint64_t first_index, size_t count, uint64_t term, uint64_t commit, size_t size,
                            enum raft_entry_kind kind)
{
    struct wal_rig_state *state = rig_next_state(rig);
    struct raft_entry *entries = alloc_zero(count + 1, sizeof *entries);
    if (term > state->hard.term) state->hard.vote = 0;
    if (term > state->hard.term) state->hard.term = term;
    state->hard.commit = commit;
    for (size_t i = 0; i < count; i++) {
        uint64_t index = first_index + i;
        expect(index <= WAL_RIG_INDEX_MAX, "too many entries");
        uint64_t value = rig->appended * 1000 + i;
        entries[i] = (struct raft_entry){.index = index, .term = term, .kind = kind};
        entries[i].data = rig_bytes(index, term, value, size);
        state->log[index].term = term;
        state->log[index].value = value;
        state->log[index].kind = kind;
        state->last_index = index;
    }
    struct wal_append append = {
        .sequence = rig->appended - rig->sequence_base, .hard = state->hard, .entries = entries, .entry_count = count};
    wal_append(rig->wal, &append);
    for (size_t i = 0; i < count; i++) blob_unref(entries[i].data);
    alloc_free(entries);
}

uint64_t wal_rig_append(struct wal_rig *rig, uint64_t first_index, size_t count, uint64_t term, uint64_t commit, size_t size)
{
    rig_append_kind(rig, first_index, count, term, commit, size, RAFT_ENTRY_COMMAND);
    return rig->appended;
}

void wal_rig_append_conf(struct wal_rig *rig, uint64_t index, uint64_t term, uint64_t commit)
{
    rig_append_kind(rig, index, 1, term, commit, 60, RAFT_ENTRY_CONF);
}

void wal_rig_hard(struct wal_rig *rig, uint64_t term, uint64_t vote, uint64_t commit)
{
    struct wal_rig_state *state = rig_next_state(rig);
    state->hard = (struct raft_hard_state){.term = term, .vote = vote, .commit = commit};
    struct wal_append append = {.sequence = rig->appended - rig->sequence_base, .hard = state->hard};
    wal_append(rig->wal, &append);
}

void wal_rig_reset(struct wal_rig *rig, uint64_t index, uint64_t term, uint64_t hard_term)
{
    struct wal_rig_state *state = rig_next_state(rig);
    if (hard_term > state->hard.term) state->hard = (struct raft_hard_state){.term = hard_term};
    state->hard.commit = index;
    state->last_index = index;
    memset(state->log, 0, sizeof state->log);
    state->log[index].term = term;
    struct blob *conf = rig_bytes(0, 0, 0, 60);
    struct wal_append append = {.sequence = rig->appended - rig->sequence_base,
                                .hard = state->hard,
                                .reset = {.is_reset = true, .index = index, .term = term, .conf = blob_slice(conf)}};
    wal_append(rig->wal, &append);
    blob_unref(conf);
}

void wal_rig_snapshot(struct wal_rig *rig, uint64_t index, uint64_t term)
{
    rig->options.snapshot_index = index;
    rig->options.snapshot_term = term;
}

void wal_rig_run(struct wal_rig *rig)
{
    size_t steps = 0;
    while (wal_step(rig->wal, rig->now_ns)) expect(++steps < 10000, "the log never rests");
}

static bool votes_equal(const struct wal_rig *rig, const struct wal_rig_state *a, const struct wal_rig_state *b)
{
    if (b->hard.term < rig->options.snapshot_term) return a->hard.term == rig->options.snapshot_term && a->hard.vote == RAFT_NONE;
    return a->hard.term == b->hard.term && a->hard.vote == b->hard.vote;
}

/* The retained terms are those of the model as far down as the model goes. */
static bool terms_equal(const struct wal_rig *rig, const struct wal_rig_state *b)
{
    for (uint64_t index = rig->found.first_index - 1; index <= rig->found.last_index; index++) {
        if (b->log[index].term != 0 && rig_found_term(rig, index) != b->log[index].term) return false;
    }
    return true;
}

static bool logs_equal(const struct wal_rig *rig, const struct wal_rig_state *a, const struct wal_rig_state *b)
{
    uint64_t snapshot_index = rig->options.snapshot_index;
    bool fits = snapshot_index == 0 || (b->last_index >= snapshot_index && b->log[snapshot_index].term == rig->options.snapshot_term);
    bool is_anew = rig->found.is_reset || (snapshot_index > 0 && rig->found.first_index == snapshot_index + 1); /* now, or at a start before */
    if (fits && rig->found.is_reset) return false;
    if (!fits) return is_anew && a->hard.commit == snapshot_index && a->last_index == snapshot_index;
    uint64_t commit = b->hard.commit > snapshot_index ? b->hard.commit : snapshot_index;
    if (a->hard.commit != commit || a->last_index != b->last_index || !terms_equal(rig, b)) return false;
    for (uint64_t i = snapshot_index + 1; i <= a->last_index; i++) {
        if (a->log[i].term != b->log[i].term || a->log[i].value != b->log[i].value || a->log[i].kind != b->log[i].kind) return false;
    }
    return true;
}

int wal_rig_match(const struct wal_rig *rig, uint64_t oldest, uint64_t newest)
{
    for (uint64_t number = newest + 1; number-- > oldest;) {
        if (!logs_equal(rig, rig->handed, rig->states[number])) continue;
        uint64_t last = rig->found.tail == WAL_TAIL_SUSPECT ? newest : number;
        for (uint64_t later = number; later <= last; later++) {
            if (votes_equal(rig, rig->handed, rig->states[later])) return (int)number;
        }
    }
    return -1;
}

void wal_rig_continue_from(struct wal_rig *rig, uint64_t number)
{
    expect(number <= rig->appended, "no such append");
    struct wal_rig_state *state = rig->states[number];
    state->hard = rig->handed->hard; /* a suspect tail's term and vote count, its entries do not */
    uint64_t snapshot_index = rig->options.snapshot_index;
    if (state->last_index != rig->found.last_index || state->log[snapshot_index].term != rig->options.snapshot_term) { /* it began anew */
        state->last_index = snapshot_index;
        memset(state->log, 0, sizeof state->log);
        state->log[state->last_index].term = rig->options.snapshot_term;
    }
    rig->appended = number;
    rig->sequence_base = number;
}

uint64_t wal_rig_durable(const struct wal_rig *rig)
{
    return rig->sequence_base + wal_durable_sequence(rig->wal);
}

bool wal_rig_segment(const struct wal_rig *rig, size_t place, char *out_path, size_t path_size)
{
    char name[256];
    uint64_t sequence = 0;
    uint64_t first_index = 0;
    for (size_t i = 0; fs_sim_name(rig->disk, WAL_RIG_DIRECTORY, i, name, sizeof name); i++) {
        if (!wal_format_parse_name(name, &sequence, &first_index) || place-- > 0) continue;
        (void)snprintf(out_path, path_size, "%s/%.200s", WAL_RIG_DIRECTORY, name);
        return true;
    }
    return false;
}
