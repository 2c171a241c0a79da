/* wal_promise: see wal_promise.h. */
#include "fuzz/wal_promise.h"

#include "base/assert.h"
#include "base/clock.h"

static void next_entry(void *context, const struct raft_entry *entry)
{
    uint64_t *last = context;
    ASSERT(entry->index == *last + 1);
    *last = entry->index;
}

/* What raft may ask for. After a forgery nothing is promised but an answer. */
static void read_back(struct fs *fs, uint64_t first_index, uint64_t last_index)
{
    struct wal_fetch *fetch = wal_fetch_new(fs, WAL_RIG_DIRECTORY);
    struct raft_entry *entries = NULL;
    size_t count = 0;
    enum err err = wal_fetch_read(fetch, first_index, last_index, 1 << 20, &entries, &count);
    ASSERT(err == ERR_OK ? count > 0 && entries[0].index == first_index : err == ERR_CORRUPT || err == ERR_COMPACTED);
    wal_entries_free(entries, count);
    wal_fetch_free(fetch);
}

/* That of the script, or none, or one that reaches to entry `number`, or of a later term to a place beyond the log. */
static void choose_snapshot(struct wal_rig *rig, uint8_t number)
{
    const struct wal_rig_state *state = rig->states[rig->appended];
    if (number < 0x80) return;
    uint64_t index = (number & 0x7f) % (state->last_index + 3);
    wal_rig_snapshot(rig, index, index == 0 ? 0 : index <= state->hard.commit ? state->log[index].term : state->hard.term + 1);
}

/* Opens without the model, and appends an entry; false: refused. */
static bool go_on(const struct wal_rig *rig, uint64_t *out_last_index)
{
    struct wal_recovered found = {0};
    struct wal *wal = NULL;
    struct wal_options options = rig->options;
    uint64_t last = options.snapshot_index;
    struct blob *conf = blob_copy(slice_make("conf", 4));
    options.fs = fs_sim_new(rig->disk, true);
    options.alone_fn = NULL;
    options.may_ask_others = true;
    enum err err = wal_open(&options, blob_slice(conf), next_entry, &last, &wal, &found);
    blob_unref(conf);
    ASSERT(err == ERR_OK || found.message[0] != '\0');
    if (err == ERR_OK) {
        ASSERT(last == found.hard.commit && found.last_index == last + found.pending_count);
        ASSERT(found.first_index <= options.snapshot_index + 1 && found.last_index + 1 >= found.first_index);
        ASSERT(found.run_count == 0 ? found.last_index + 1 == found.first_index : found.runs[0].first_index == found.first_index);
        uint64_t term = found.hard.term + 1;
        struct raft_entry entry = {.index = found.last_index + 1, .term = term, .kind = RAFT_ENTRY_EMPTY};
        if (found.first_index <= found.hard.commit) read_back(options.fs, found.first_index, found.hard.commit);
        struct wal_append append = {.sequence = 1, .hard = found.hard, .entries = &entry, .entry_count = 1};
        append.hard.term = term;
        bool has_room = found.last_index < UINT64_MAX / 2 && found.hard.term < UINT64_MAX / 2;
        if (has_room) wal_append(wal, &append);
        for (size_t steps = 0; wal_step(wal, NS_PER_S); steps++) ASSERT(steps < 10000);
        ASSERT(!has_room || wal_durable_sequence(wal) == 1);
        *out_last_index = found.last_index + has_room;
        wal_close(wal);
    }
    wal_recovered_deinit(&found);
    fs_free(options.fs);
    return err == ERR_OK;
}

static void check_promise(struct wal_rig *rig, uint64_t oldest)
{
    uint64_t appended = rig->appended;
    enum err err = wal_rig_open(rig);
    ASSERT(err == ERR_OK || rig->found.message[0] != '\0');
    if (err == ERR_OK) ASSERT(wal_rig_match(rig, oldest, appended) >= 0);
    bool is_open = err == ERR_OK;
    wal_rig_close(rig);
    uint64_t before = 0, after = 0;
    if (!is_open) return;
    bool goes_on = go_on(rig, &before) && go_on(rig, &after);
    ASSERT(goes_on && after == before + 1);
}

void wal_promise_check(struct wal_edit *edit, struct slice input)
{
    struct wal_rig *rig = wal_edit_begin(edit);
    struct reader reader = reader_make(input);
    bool is_forged = wal_edit_apply(edit, &reader);
    choose_snapshot(rig, reader_left(&reader) > 0 ? reader_u8(&reader) : 0);
    uint64_t last = 0;
    if (!is_forged) check_promise(rig, wal_edit_promised(edit));
    else if (go_on(rig, &last)) (void)go_on(rig, &last);
}
